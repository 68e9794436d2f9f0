/*
 * The dedupe step. Would catch a row that is taken out though nothing like it came, one that goes
 * on twice, a key that depends on the order of columns or on columns without a value, and state
 * that is lost over a restart. The set of keys itself is tested in rows/recent_test.c.
 */
#include "rows/step_rig_test.h"

#include "base/limits.h"
#include "base/rand.h"

#include <stdlib.h>
#include <time.h>

extern const StepDriver step_dedupe;

#define S       NS_PER_S
#define BASE    (INT64_C(1800000000) * S)
#define COLUMNS "time:time sensor:text value:number"

static void add(StepRig *rig, double t, const char *sensor, double value)
{
    RowValue *row = rig_row(rig);

    row[0] = row_time_ns(BASE + (int64_t) (t * S));
    row[1] = row_text(rig_text(rig, sensor));
    row[2] = row_real(value, (Str){ 0 });
}

static void open_rig(StepRig *rig, const char *settings)
{
    rig_open(rig, &step_dedupe, settings, COLUMNS);
    rig->now_ns = BASE;
}

/* How many of the rows that were added go on. */
static uint64_t push(StepRig *rig)
{
    uint64_t before = rig->handed_on;

    rig_push(rig);
    return rig->handed_on - before;
}

TEST(the_first_of_a_key_goes_on)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"within\": \"1m\", \"key\": [\"sensor\"]}");
    add(&rig, 0, "a", 1);
    add(&rig, 1, "b", 1);
    add(&rig, 2, "a", 2);
    rig_push(&rig);
    RIG_EXPECT(&rig, "{\"time\":\"2027-01-15T08:00:00Z\",\"sensor\":\"a\",\"value\":1.0}\n"
                     "{\"time\":\"2027-01-15T08:00:01Z\",\"sensor\":\"b\",\"value\":1.0}\n");
    EXPECT_EQ(rig.filtered, 1);
    rig.now_ns += 59 * S;
    add(&rig, 0, "a", 1);
    EXPECT_EQ(push(&rig), 0);
    rig.now_ns += S;
    add(&rig, 0, "a", 1);
    EXPECT_EQ(push(&rig), 1);
    EXPECT_EQ(rig.filtered, 2);
}

TEST(without_a_key_the_whole_row_counts)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"within\": \"1m\"}");
    add(&rig, 0, "a", 1);
    add(&rig, 0, "a", 2);
    add(&rig, 1, "a", 1);
    add(&rig, 0, "a", 1);
    EXPECT_EQ(push(&rig), 3);
    rig_shape(&rig, "others", COLUMNS);
    add(&rig, 0, "a", 1);
    EXPECT_EQ(push(&rig), 1); /* another table */
}

TEST(the_order_of_columns_and_empty_ones_do_not_matter)
{
    AUTO(rig_close) StepRig rig = { 0 };
    RowValue *row;

    open_rig(&rig, "{\"within\": \"1m\"}");
    add(&rig, 0, "a", 1);
    EXPECT_EQ(push(&rig), 1);
    rig_shape(&rig, "readings", "value:number note:text sensor:text time:time");
    row = rig_row(&rig);
    row[0] = row_real(1, (Str){ 0 });
    row[2] = row_text(STR_C("a"));
    row[3] = row_time_ns(BASE);
    EXPECT_EQ(push(&rig), 0);
    row = rig_row(&rig);
    row[0] = row_real(1, (Str){ 0 });
    row[1] = row_text(STR_C("a")); /* the same value in another column */
    row[3] = row_time_ns(BASE);
    EXPECT_EQ(push(&rig), 1);
}

TEST(a_row_without_a_key_goes_on)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"within\": \"1m\", \"key\": [\"id\", \"sensor\"]}");
    for (int i = 0; i < 3; i++)
        rig_row(&rig)[0] = row_time_ns(BASE);
    add(&rig, 0, "a", 1); /* a part of the key is one */
    add(&rig, 0, "a", 1);
    EXPECT_EQ(push(&rig), 4);
}

TEST(values_of_any_length_are_told_apart)
{
    AUTO(rig_close) StepRig rig = { 0 };
    static char text[5000];
    RowValue *row;

    open_rig(&rig, "{\"within\": \"1m\"}");
    rig_shape(&rig, "long", "a:text b:json c:integer d:boolean");
    memset(text, 'x', sizeof(text));
    for (int i = 0; i < 6; i++) {
        text[4000] = (char) ('0' + i % 3);
        row = rig_row(&rig);
        row[0] = row_text(parcel_copy_text(rig.parcel, str_from(text, sizeof(text))));
        row[1] = row_json(parcel_copy_text(rig.parcel, str_from(text + 3000, 2000)));
        row[2] = row_integer(INT64_MIN);
        row[3] = row_boolean(true);
    }
    EXPECT_EQ(push(&rig), 3);
    row = rig_row(&rig);
    row[0] = row_text(str_from(text, sizeof(text)));
    row[1] = row_json(str_from(text, 2000));
    row[2] = row_integer(INT64_MIN);
    row[3] = row_boolean(true);
    EXPECT_EQ(push(&rig), 1);
}

TEST(by_event_time_rows_may_come_in_any_order)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"within\": \"10s\", \"key\": [\"sensor\"], \"time\": \"time\"}");
    rig.now_ns = BASE + 3600 * S;
    add(&rig, 100, "a", 1);
    add(&rig, 95, "a", 1);
    add(&rig, 109.9, "a", 1);
    EXPECT_EQ(push(&rig), 1);
    add(&rig, 110, "a", 1);
    add(&rig, 500, "b", 1);
    EXPECT_EQ(push(&rig), 2);
    rig_row(&rig)[1] = row_text(STR_C("c")); /* without a time: by arrival */
    rig_row(&rig)[1] = row_text(STR_C("c"));
    EXPECT_EQ(push(&rig), 1);
}

TEST(dead_letters_that_are_fed_back_go_on)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"within\": \"1m\"}");
    add(&rig, 0, "a", 1);
    EXPECT_EQ(push(&rig), 1);
    add(&rig, 0, "a", 1);
    rig.parcel->is_replay = true;
    EXPECT_EQ(push(&rig), 1);
}

TEST(what_it_knows_survives_a_restart)
{
    static const char *const settings[] = {
        "{\"within\": \"30s\", \"key\": [\"sensor\"]}",
        "{\"within\": \"30s\", \"key\": [\"sensor\"], \"time\": \"time\"}",
    };

    for (size_t c = 0; c < ARRAY_LEN(settings); c++) {
        AUTO(rig_close) StepRig uncut = { 0 };
        AUTO(rig_close) StepRig stopped = { 0 };
        char name[16];
        Rand rand;

        rand_init(&rand, c);
        open_rig(&uncut, settings[c]);
        open_rig(&stopped, settings[c]);
        for (int i = 0; i < 5000; i++) {
            double t = i * 0.1 - (double) rand_below(&rand, 40);

            (void) snprintf(name, sizeof(name), "s%d", (int) rand_below(&rand, 100));
            add(&uncut, t, name, i);
            add(&stopped, t, name, i);
            if (rand_below(&rand, 30) > 0)
                continue;
            uncut.now_ns = stopped.now_ns = BASE + i * S / 10;
            rig_push(&uncut);
            rig_push(&stopped);
            rig_restart(&stopped, settings[c]);
        }
        rig_push(&uncut);
        rig_push(&stopped);
        EXPECT(uncut.filtered > 500);
        EXPECT_EQ(uncut.filtered + uncut.handed_on, 5000);
        EXPECT(str_eq(buf_str(&uncut.out), buf_str(&stopped.out)));
    }
}

TEST(state_of_other_settings_or_damaged_is_refused)
{
    AUTO(rig_close) StepRig rig = { 0 };
    AUTO(rig_close) StepRig other = { 0 };
    AUTO(buf_deinit) Buf bytes = { 0 };

    open_rig(&rig, "{\"within\": \"1m\", \"key\": [\"sensor\"]}");
    add(&rig, 0, "a", 1);
    rig_push(&rig);
    EXPECT_OK(step_dedupe.save(rig.state, &bytes));
    open_rig(&other, "{\"within\": \"1m\", \"key\": [\"time\"]}");
    EXPECT_ERR(step_dedupe.load(other.state, buf_str(&bytes)), -ERR_CONFLICT, "other settings");
    for (size_t n = 0; n < bytes.len; n++) {
        AUTO(rig_close) StepRig cut = { 0 };

        open_rig(&cut, "{\"within\": \"1m\", \"key\": [\"sensor\"]}");
        EXPECT_ERR(step_dedupe.load(cut.state, str_from(bytes.data, n)), -ERR_CONFLICT, "state");
    }
}

TEST(settings_that_cannot_be_are_refused)
{
    AUTO(rig_close) StepRig none = { 0 };
    AUTO(rig_close) StepRig zero = { 0 };
    AUTO(rig_close) StepRig unknown = { 0 };

    EXPECT_OK(schema_check(step_dedupe.args));
    EXPECT_ERR(rig_try_open(&none, &step_dedupe, "{}"), -ERR_INVALID, "within");
    EXPECT_ERR(rig_try_open(&zero, &step_dedupe, "{\"within\": 0}"), -ERR_INVALID, "within");
    EXPECT_ERR(rig_try_open(&unknown, &step_dedupe, "{\"within\": 1, \"keys\": []}"), -ERR_INVALID,
               "did you mean");
}

/* Only with SLUICE_TEST_FIGURES: what a row costs. */
TEST(what_a_row_costs)
{
    static const struct {
        const char *name, *settings;
        int64_t tick_ns;
    } cases[] = {
        { "the whole row, 100 000 keys", "{\"within\": \"1s\"}", 10000 },
        { "two columns, 100 000 keys", "{\"within\": \"1s\", \"key\": [\"sensor\",\"time\"]}",
          10000 },
        { "two columns, 1 000 000 keys", "{\"within\": \"10s\", \"key\": [\"sensor\",\"time\"]}",
          10000 },
    };

    for (size_t c = 0; c < ARRAY_LEN(cases) && getenv("SLUICE_TEST_FIGURES"); c++) {
        AUTO(rig_close) StepRig rig = { 0 };
        struct timespec begin, end;
        int64_t spent_ns = 0, n = 0;
        char name[32];

        open_rig(&rig, cases[c].settings);
        for (size_t i = 0; i < 1000; i++) {
            (void) snprintf(name, sizeof(name), "sensor-%zu", i);
            add(&rig, 0, name, 20);
        }
        for (int round = 0; round < 3000; round++) {
            StepRun run = rig_run_of(&rig, rig.parcel);

            for (size_t i = 0; i < 1000; i++)
                parcel_row(rig.parcel, i)[0].time_ns = BASE + n++ * cases[c].tick_ns;
            run.now_ns = BASE + n * cases[c].tick_ns;
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
            EXPECT_OK(step_dedupe.run(rig.state, &run));
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
            spent_ns += (end.tv_sec - begin.tv_sec) * S + end.tv_nsec - begin.tv_nsec;
            EXPECT_EQ(parcel_count(rig.parcel), 1000);
        }
        printf("%s: %lld ns a row\n", cases[c].name, (long long) (spent_ns / n));
    }
}

TEST_MAIN()
