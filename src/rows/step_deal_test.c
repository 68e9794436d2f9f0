/*
 * State that is dealt out to another number of lanes: what comes out is what one lane that never
 * changed would have given, in whatever order.
 *
 * A crowd of lanes shares rows by their sensor, as the router does; between phases each lane saves,
 * and all that was saved is dealt out among another number of fresh ones.
 */
#include "rows/step_rig_test.h"

#include "base/mem.h"
#include "rows/step_share.h"

#include <stdlib.h>

#define LANES_MAX 5
#define SEED      UINT64_C(0x5eed)
#define BASE_NS   INT64_C(1700000000000000000)

extern const StepDriver step_window;
extern const StepDriver step_dedupe;

typedef struct Crowd {
    const StepDriver *driver;
    const char *settings;
    StepRig lanes[LANES_MAX];
    size_t n;
    Buf out; /* of lanes that are gone */
} Crowd;

static void crowd_open(Crowd *crowd, size_t n)
{
    crowd->n = n;
    crowd->out.max_bytes = 1 << 30;
    for (size_t i = 0; i < n; i++)
        rig_open(&crowd->lanes[i], crowd->driver, crowd->settings,
                 "time:time sensor:text value:number");
}

static void crowd_close(Crowd *crowd)
{
    for (size_t i = 0; i < crowd->n; i++) {
        buf_add_str(&crowd->out, buf_str(&crowd->lanes[i].out));
        EXPECT_EQ(crowd->lanes[i].refused, 0);
        EXPECT_EQ(crowd->lanes[i].late, 0);
        rig_close(&crowd->lanes[i]);
    }
}

/* Go on with N lanes. */
static void crowd_change(Crowd *crowd, size_t n)
{
    static const Str columns[] = { STR("sensor") };
    StepShare share = { .n_lanes = n, .seed = SEED, .columns = columns, .n_columns = 1 };
    Buf saved[LANES_MAX] = { 0 };
    void *states[LANES_MAX];
    size_t n_saved = crowd->n;

    for (size_t i = 0; i < n_saved; i++) {
        saved[i].max_bytes = 1 << 30;
        EXPECT_OK(crowd->driver->save(crowd->lanes[i].state, &saved[i]));
    }
    crowd_close(crowd);
    crowd_open(crowd, n);
    for (size_t i = 0; i < n; i++)
        states[i] = crowd->lanes[i].state;
    for (size_t i = 0; i < n_saved; i++) {
        EXPECT_OK(crowd->driver->deal(states, &share, buf_str(&saved[i])));
        buf_deinit(&saved[i]);
    }
}

static void crowd_add(Crowd *crowd, int64_t time_ns, size_t sensor, double value)
{
    char name[32];
    RowValue text = row_text(str_from(name, (size_t) snprintf(name, sizeof(name), "s%zu", sensor)));
    StepRig *rig = &crowd->lanes[step_share_lane(step_share_add(SEED, &text), crowd->n)];
    RowValue *row = rig_row(rig);

    rig->now_ns = time_ns;
    row[0] = row_time_ns(time_ns);
    row[1] = row_text(rig_text(rig, name));
    row[2] = row_real(value, (Str){ 0 });
}

/* Rows FROM to TO, ten a second of 13 sensors, and every fourth comes twice. */
static void crowd_feed(Crowd *crowd, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        for (int twice = 0; twice < (i % 4 == 0 ? 2 : 1); twice++)
            crowd_add(crowd, BASE_NS + (int64_t) i * NS_PER_S / 10, i * 7 % 13, (double) (i % 8));
    }
    for (size_t i = 0; i < crowd->n; i++)
        rig_push(&crowd->lanes[i]);
}

static int compare_lines(const void *a, const void *b)
{
    const Str *x = a, *y = b;

    return str_cmp(*x, *y);
}

/* What came out, in the order of the lines. */
static void sort_lines(Buf *text)
{
    AUTO(buf_deinit) Buf sorted = { .max_bytes = 1 << 30 };
    AUTO(mem_free) Str *lines = mem_new_array(Str, text->len + 1);
    Str rest = buf_str(text);
    size_t n = 0;

    while (rest.len > 0)
        lines[n++] = str_cut(rest, '\n', &rest);
    qsort(lines, n, sizeof(lines[0]), compare_lines);
    for (size_t i = 0; i < n; i++) {
        buf_add_str(&sorted, lines[i]);
        buf_add_char(&sorted, '\n');
    }
    buf_reset(text);
    buf_add_str(text, buf_str(&sorted));
}

/* The end of the rows, and all that came out. */
static void crowd_end(Crowd *crowd)
{
    for (size_t i = 0; i < crowd->n && crowd->driver->tick; i++)
        rig_tick(&crowd->lanes[i], true);
    crowd_close(crowd);
}

#define PHASE 371 /* rows */

static void is_same(const StepDriver *driver, const char *settings)
{
    static const size_t counts[] = { 1, 4, 2, 5, 3, 3, 1, 2 };
    Crowd one = { .driver = driver, .settings = settings };
    Crowd many = { .driver = driver, .settings = settings };

    crowd_open(&one, 1);
    crowd_open(&many, counts[0]);
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        if (i > 0)
            crowd_change(&many, counts[i]);
        crowd_feed(&many, i * PHASE, (i + 1) * PHASE);
        crowd_feed(&one, i * PHASE, (i + 1) * PHASE);
    }
    crowd_end(&one);
    crowd_end(&many);
    sort_lines(&one.out);
    sort_lines(&many.out);
    EXPECT(one.out.len > 0);
    EXPECT_STR(buf_str(&many.out), buf_str(&one.out));
    buf_deinit(&one.out);
    buf_deinit(&many.out);
}

TEST(tumbling_windows_go_on_in_other_lanes)
{
    is_same(&step_window, "{\"every\": \"10s\", \"by\": [\"sensor\"], \"lateness\": \"2s\", "
                          "\"aggregate\": \"value:count,sum,min,max,first,last,rate,p90;count\"}");
}

TEST(sliding_windows_go_on_in_other_lanes)
{
    is_same(&step_window, "{\"every\": \"10s\", \"size\": \"1m\", \"by\": [\"sensor\"], "
                          "\"lateness\": \"2s\", \"aggregate\": \"value:count,sum,rate,p50\"}");
}

TEST(known_rows_are_known_in_other_lanes)
{
    is_same(&step_dedupe, "{\"within\": \"1m\", \"key\": [\"sensor\", \"value\"]}");
    is_same(&step_dedupe, "{\"within\": \"1m\", \"key\": [\"sensor\", \"value\"], "
                          "\"time\": \"time\"}");
    is_same(&step_dedupe, "{\"within\": \"1m\"}");
}

/* ---- in the middle of a window that goes out ------------------------------------------------- */

#define MANY 40000 /* series: more than one call hands on */

/* A window of many series, of which some have gone out when the lanes change. */
static void goes_out_once(const char *settings, size_t n_results)
{
    Crowd crowd = { .driver = &step_window, .settings = settings };
    size_t lines = 0;

    crowd_open(&crowd, 1);
    for (size_t i = 0; i < MANY; i++)
        crowd_add(&crowd, BASE_NS, i, 1);
    for (int calls = 0; crowd.lanes[0].handed_on == 0 && calls < 10; calls++) {
        crowd_add(&crowd, BASE_NS + 10 * NS_PER_S, 0, 1);
        rig_push(&crowd.lanes[0]);
    }
    EXPECT(crowd.lanes[0].handed_on > 0 && crowd.lanes[0].handed_on < MANY);
    crowd_change(&crowd, 3);
    crowd_change(&crowd, 2);
    crowd_end(&crowd);
    for (size_t i = 0; i < crowd.out.len; i++)
        lines += crowd.out.data[i] == '\n';
    EXPECT_EQ(lines, n_results);
    buf_deinit(&crowd.out);
}

TEST(a_window_that_goes_out_goes_on_where_it_was)
{
    goes_out_once("{\"every\": \"10s\", \"by\": [\"sensor\"], \"lateness\": 0, "
                  "\"aggregate\": \"count\"}",
                  MANY + 1);
    goes_out_once("{\"every\": \"10s\", \"size\": \"20s\", \"by\": [\"sensor\"], "
                  "\"lateness\": 0, \"aggregate\": \"count\"}",
                  2 * MANY + 1);
}

TEST_MAIN()
