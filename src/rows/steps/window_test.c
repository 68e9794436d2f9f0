/*
 * The window step, against a model that keeps every row, and case by case. Would catch a row that
 * counts twice or nowhere, a window handed on early, late, twice or out of order, results that
 * depend on how rows were cut into parcels or on where the step was saved and loaded, state that
 * grows without bound, and what hostile times do.
 */
#include "rows/step_rig_test.h"

#include "base/limits.h"
#include "base/map.h"
#include "base/rand.h"
#include "codec/json.h"
#include "codec/time_text.h"
#include "rows/window_int.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

extern const StepDriver step_window;

#define S       NS_PER_S
#define BASE    (INT64_C(1800000000) * S) /* 2027-01-15T08:00:00Z */
#define COLUMNS "time:time sensor:text value:number"

/* A row T seconds after BASE. */
static void add(StepRig *rig, double t, const char *sensor, double value)
{
    RowValue *row = rig_row(rig);

    row[0] = row_time_ns(BASE + (int64_t) (t * S));
    row[1] = row_text(rig_text(rig, sensor));
    row[2] = row_real(value, (Str){ 0 });
}

static void open_rig(StepRig *rig, const char *settings)
{
    rig_open(rig, &step_window, settings, COLUMNS);
    rig->now_ns = BASE;
}

/* ---- case by case ---------------------------------------------------------------------------- */

TEST(a_tumbling_window_is_handed_on_when_the_watermark_passes_its_end)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"every\": \"1m\", \"by\": [\"sensor\"], \"lateness\": \"10s\", "
                   "\"aggregate\": {\"value\": [\"count\", \"sum\", \"min\", \"max\", \"mean\"]}}");
    add(&rig, 1, "a", 1.5);
    add(&rig, 59.9, "b", 7);
    add(&rig, 2, "a", 2.5);
    add(&rig, 61, "a", 9);
    add(&rig, 58, "a", 5); /* out of order and not late */
    rig_push(&rig);
    add(&rig, 69.999, "a", 1);
    rig_push(&rig);
    RIG_EXPECT(&rig, "");
    add(&rig, 70, "a", 2);
    rig_push(&rig);
    RIG_EXPECT(&rig,
               "{\"sensor\":\"a\",\"window_start\":\"2027-01-15T08:00:00Z\",\"window_end\":"
               "\"2027-01-15T08:01:00Z\",\"value_count\":3,\"value_sum\":9.0,\"value_min\":1.5,"
               "\"value_max\":5.0,\"value_mean\":3.0}\n"
               "{\"sensor\":\"b\",\"window_start\":\"2027-01-15T08:00:00Z\",\"window_end\":"
               "\"2027-01-15T08:01:00Z\",\"value_count\":1,\"value_sum\":7.0,\"value_min\":7.0,"
               "\"value_max\":7.0,\"value_mean\":7.0}\n");
    rig_tick(&rig, false);
    RIG_EXPECT(&rig, "");
    rig_tick(&rig, true);
    RIG_EXPECT(&rig,
               "{\"sensor\":\"a\",\"window_start\":\"2027-01-15T08:01:00Z\",\"window_end\":"
               "\"2027-01-15T08:02:00Z\",\"value_count\":3,\"value_sum\":12.0,\"value_min\":1.0,"
               "\"value_max\":9.0,\"value_mean\":4.0}\n");
    EXPECT_EQ(rig.filtered, rig.rows);
}

TEST(all_functions_say_what_they_say)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"every\": \"10s\", \"aggregate\": \"value:stddev,first,last,rate,median,p100;"
                   "count;rate\"}");
    add(&rig, 3, "a", 4);
    add(&rig, 1, "a", 2); /* the first by time */
    add(&rig, 9, "a", 6);
    add(&rig, 9, "a", 10); /* of two with one time the later one */
    add(&rig, 5, "a", 8);
    rig_push(&rig);
    rig_tick(&rig, true);
    RIG_EXPECT(&rig, "{\"window_start\":\"2027-01-15T08:00:00Z\",\"window_end\":"
                     "\"2027-01-15T08:00:10Z\",\"value_stddev\":3.1622776601683795,"
                     "\"value_first\":2.0,\"value_last\":10.0,\"value_rate\":1.0,"
                     "\"value_median\":6.013111678578661,\"value_p100\":10.0,\"count\":5,"
                     "\"rate\":0.5}\n");
}

TEST(what_has_no_value_counts_as_a_row_only)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"every\": \"10s\", \"aggregate\": {\"value\": [\"count\", \"mean\", "
                   "\"stddev\"], \"*\": \"count\", \"absent\": \"max\"}}");
    add(&rig, 1, "a", NAN);
    add(&rig, 1, "a", INFINITY);
    add(&rig, 1, "a", -INFINITY);
    rig_row(&rig)[0] = row_time_ns(BASE);
    rig_push(&rig);
    rig_tick(&rig, true);
    RIG_EXPECT(&rig, "{\"window_start\":\"2027-01-15T08:00:00Z\",\"window_end\":"
                     "\"2027-01-15T08:00:10Z\",\"value_count\":0,\"value_mean\":null,"
                     "\"value_stddev\":null,\"count\":4,\"absent_max\":null}\n");
}

TEST(text_can_be_counted)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"every\": \"10s\", \"aggregate\": {\"sensor\": [\"count\"]}}");
    add(&rig, 1, "a", 1);
    add(&rig, 1, "b", 2);
    rig_row(&rig)[0] = row_time_ns(BASE); /* no sensor */
    rig_push(&rig);
    rig_tick(&rig, true);
    RIG_EXPECT(&rig, "{\"window_start\":\"2027-01-15T08:00:00Z\",\"window_end\":"
                     "\"2027-01-15T08:00:10Z\",\"sensor_count\":2}\n");
}

TEST(sums_that_overflow_are_no_numbers)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"every\": \"10s\", \"aggregate\": {\"value\": [\"sum\", \"mean\", "
                   "\"stddev\", \"max\"]}}");
    for (int i = 0; i < 10; i++)
        add(&rig, 1, "a", i % 2 ? 1.7e308 : 1.6e308);
    rig_push(&rig);
    rig_tick(&rig, true);
    RIG_EXPECT(&rig, "{\"window_start\":\"2027-01-15T08:00:00Z\",\"window_end\":"
                     "\"2027-01-15T08:00:10Z\",\"value_sum\":null,\"value_mean\":null,"
                     "\"value_stddev\":null,\"value_max\":1.7e308}\n");
}

TEST(overlapping_windows_count_a_row_in_each)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"every\": \"10s\", \"size\": \"30s\", \"by\": [\"sensor\"], \"lateness\": 0, "
                   "\"aggregate\": {\"value\": [\"count\", \"sum\", \"first\", \"last\"]}}");
    add(&rig, 5, "a", 1);
    add(&rig, 15, "b", 10);
    add(&rig, 25, "a", 2);
    add(&rig, 71, "c", 5); /* a gap: windows in which nothing came are not made */
    rig_push(&rig);
    rig_tick(&rig, true);
#define LINE(sensor, from, to, count, sum, first, last)                                      \
    "{\"sensor\":\"" sensor "\",\"window_start\":\"2027-01-15T" from                         \
    "Z\",\"window_end\":\"2027-01-15T" to "Z\",\"value_count\":" count ",\"value_sum\":" sum \
    ",\"value_first\":" first ",\"value_last\":" last "}\n"
    RIG_EXPECT(&rig, LINE("a", "07:59:40", "08:00:10", "1", "1.0", "1.0", "1.0") /* -20 … 10 */
               LINE("a", "07:59:50", "08:00:20", "1", "1.0", "1.0", "1.0")       /* */
               LINE("b", "07:59:50", "08:00:20", "1", "10.0", "10.0", "10.0")    /* */
               LINE("a", "08:00:00", "08:00:30", "2", "3.0", "1.0", "2.0")       /* */
               LINE("b", "08:00:00", "08:00:30", "1", "10.0", "10.0", "10.0")    /* */
               LINE("b", "08:00:10", "08:00:40", "1", "10.0", "10.0", "10.0")    /* */
               LINE("a", "08:00:10", "08:00:40", "1", "2.0", "2.0", "2.0")       /* */
               LINE("a", "08:00:20", "08:00:50", "1", "2.0", "2.0", "2.0")       /* */
               LINE("c", "08:00:50", "08:01:20", "1", "5.0", "5.0", "5.0")       /* */
               LINE("c", "08:01:00", "08:01:30", "1", "5.0", "5.0", "5.0")       /* */
               LINE("c", "08:01:10", "08:01:40", "1", "5.0", "5.0", "5.0"));
#undef LINE
}

/* The one window that holds all rows, made of several panes, says what a tumbling one says. */
TEST(panes_that_are_merged_say_what_one_pane_says)
{
    AUTO(rig_close) StepRig whole = { 0 };
    AUTO(rig_close) StepRig merged = { 0 };
    double values[2][6] = { { 0 } };
    static const char *const names[6] = { "v_sum",   "v_mean", "v_stddev",
                                          "v_first", "v_rate", "v_p50" };
    Rand rand;

    rand_init(&rand, 4);
    EXPECT_OK(rig_try_open(&whole, &step_window,
                           "{\"every\": \"1m\", \"aggregate\": "
                           "\"v:sum,mean,stddev,first,rate,p50;count\"}"));
    EXPECT_OK(rig_try_open(&merged, &step_window,
                           "{\"every\": \"10s\", \"size\": \"1m\", \"lateness\": \"1m\", "
                           "\"aggregate\": \"v:sum,mean,stddev,first,rate,p50;count\"}"));
    rig_shape(&whole, "r", "time:time v:number");
    rig_shape(&merged, "r", "time:time v:number");
    whole.now_ns = merged.now_ns = BASE;
    for (int i = 0; i < 2000; i++) {
        int64_t time_ns = BASE + (int64_t) rand_below(&rand, 60 * S);
        double value = rand_unit(&rand) * 1000 - 300 + 1e6;

        for (int k = 0; k < 2; k++) {
            RowValue *row = rig_row(k == 0 ? &whole : &merged);

            row[0] = row_time_ns(time_ns);
            row[1] = row_real(value, (Str){ 0 });
        }
    }
    for (int k = 0; k < 2; k++) {
        StepRig *rig = k == 0 ? &whole : &merged;
        Str rest, line;

        rig_push(rig);
        rig_tick(rig, true);
        for (rest = buf_str(&rig->out); rest.len > 0;) {
            AUTO(arena_deinit) Arena arena = { 0 };
            JsonDoc doc;

            line = str_cut(rest, '\n', &rest);
            EXPECT_OK(json_parse(&arena, line, &doc));
            if (json_i64_or(json_find(doc.root, "count"), 0) != 2000)
                continue;
            for (size_t i = 0; i < 6; i++)
                values[k][i] = json_real_or(json_find(doc.root, names[i]), NAN);
        }
    }
    for (size_t i = 0; i < 6; i++) {
        EXPECT(values[0][i] != 0);
        EXPECT(fabs(values[0][i] - values[1][i]) <= 1e-9 * fabs(values[0][i]));
    }
}

TEST(late_rows_are_dropped_refused_or_handed_on)
{
    static const char *const settings[] = {
        "{\"every\": \"10s\", \"lateness\": \"1s\", \"late\": \"drop\"}",
        "{\"every\": \"10s\", \"lateness\": \"1s\", \"late\": \"refuse\"}",
        "{\"every\": \"10s\", \"lateness\": \"1s\", \"late\": \"emit\"}",
    };

    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        AUTO(rig_close) StepRig rig = { 0 };

        open_rig(&rig, settings[i]);
        add(&rig, 5, "a", 1);
        add(&rig, 11, "a", 1);
        add(&rig, 9, "a", 1);
        add(&rig, 8, "a", 1);
        rig_push(&rig);
        EXPECT_EQ(rig.late, 2);
        EXPECT_EQ(rig.dropped, i == 0 ? 2 : 0);
        EXPECT_EQ(rig.refused, i == 1 ? 2 : 0);
        EXPECT_EQ(rig.filtered, i == 2 ? 4 : 2);
        EXPECT_STR(buf_str(&rig.codes), i == 1 ? STR_C("late\nlate\n") : STR_C(""));
        if (i < 2)
            RIG_EXPECT(&rig, "{\"window_start\":\"2027-01-15T08:00:00Z\",\"window_end\":"
                             "\"2027-01-15T08:00:10Z\",\"count\":1}\n");
        else
            RIG_EXPECT(&rig, "{\"window_start\":\"2027-01-15T08:00:00Z\",\"window_end\":"
                             "\"2027-01-15T08:00:10Z\",\"count\":1,\"late\":false}\n"
                             "{\"window_start\":\"2027-01-15T08:00:00Z\",\"window_end\":"
                             "\"2027-01-15T08:00:10Z\",\"count\":2,\"late\":true}\n");
    }
}

TEST(a_row_far_ahead_ends_no_window)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"every\": \"10s\", \"lateness\": 0}");
    add(&rig, 1, "a", 1);
    add(&rig, 3601, "a", 1);            /* a second more than an hour ahead */
    add(&rig, 3600 * 24 * 365, "a", 1); /* a year */
    rig_row(&rig)[0] = row_time_ns(INT64_MAX);
    rig_row(&rig)[0] = row_time_ns(INT64_MIN);
    rig_push(&rig);
    RIG_EXPECT(&rig, "");
    EXPECT_STR(buf_str(&rig.codes), STR_C("too_new\ntoo_new\nbad_time\nbad_time\n"));
    add(&rig, 3600, "a", 1); /* within the hour it counts */
    rig_push(&rig);
    EXPECT_EQ(rig.handed_on, 1);
}

TEST(rows_before_1970_have_windows_too)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"every\": \"1m\", \"lateness\": 0}");
    rig_row(&rig)[0] = row_time_ns(WINDOW_TIME_MIN);
    rig_row(&rig)[0] = row_time_ns(-1);
    rig_row(&rig)[0] = row_time_ns(-60 * S);
    rig_row(&rig)[0] = row_time_ns(0);
    rig_push(&rig);
    rig_tick(&rig, true);
    RIG_EXPECT(&rig, "{\"window_start\":\"1686-09-28T00:12:00Z\",\"window_end\":"
                     "\"1686-09-28T00:13:00Z\",\"count\":1}\n"
                     "{\"window_start\":\"1969-12-31T23:59:00Z\",\"window_end\":"
                     "\"1970-01-01T00:00:00Z\",\"count\":2}\n"
                     "{\"window_start\":\"1970-01-01T00:00:00Z\",\"window_end\":"
                     "\"1970-01-01T00:01:00Z\",\"count\":1}\n");
}

TEST(an_offset_moves_the_bounds)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"every\": \"1d\", \"offset\": \"23h\", \"lateness\": 0}"); /* days in UTC+1 */
    add(&rig, 15 * 3600 - 1, "a", 1);
    add(&rig, 15 * 3600, "a", 1);
    rig.now_ns = BASE + 86400 * S;
    rig_push(&rig);
    RIG_EXPECT(&rig, "{\"window_start\":\"2027-01-14T23:00:00Z\",\"window_end\":"
                     "\"2027-01-15T23:00:00Z\",\"count\":1}\n");
}

TEST(silence_lets_time_go_on_by_the_clock)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"every\": \"10s\", \"lateness\": \"5s\", \"idle\": \"30s\"}");
    EXPECT_EQ(step_window.next_tick_ns(rig.state), INT64_MAX);
    add(&rig, 12, "a", 1);
    rig_push(&rig);
    EXPECT_EQ(step_window.next_tick_ns(rig.state), BASE + 30 * S);
    rig.now_ns = BASE + 29 * S;
    rig_tick(&rig, false);
    RIG_EXPECT(&rig, "");
    rig.now_ns = BASE + 30 * S;
    rig_tick(&rig, false);
    RIG_EXPECT(&rig, "{\"window_start\":\"2027-01-15T08:00:10Z\",\"window_end\":"
                     "\"2027-01-15T08:00:20Z\",\"count\":1}\n");
    EXPECT_EQ(step_window.next_tick_ns(rig.state), INT64_MAX);
    add(&rig, 39, "a", 1);
    rig_push(&rig);
    rig.now_ns -= 3600 * S; /* a clock that jumps back ends nothing, and breaks nothing */
    rig_tick(&rig, false);
    RIG_EXPECT(&rig, "");
}

TEST(without_idle_windows_wait_for_rows)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"every\": \"10s\"}");
    add(&rig, 12, "a", 1);
    rig_push(&rig);
    EXPECT_EQ(step_window.next_tick_ns(rig.state), INT64_MAX);
    rig.now_ns += 3600 * 24 * S;
    rig_tick(&rig, false);
    RIG_EXPECT(&rig, "");
}

TEST(what_cannot_count_is_refused_in_words)
{
    AUTO(rig_close) StepRig rig = { 0 };
    char *longish = mem_copy_c("", 0);

    open_rig(&rig, "{\"every\": \"10s\", \"by\": [\"sensor\"], \"aggregate\": \"value:mean\"}");
    add(&rig, 1, "a", 1);
    rig_row(&rig)[2] = row_real(1, (Str){ 0 });
    rig_push(&rig);
    EXPECT_STR(buf_str(&rig.codes), STR_C("no_time\n"));
    rig_shape(&rig, "a", "sensor:text value:number");
    (void) rig_row(&rig);
    rig_push(&rig);
    rig_shape(&rig, "b", "time:time sensor:text value:text");
    (void) rig_row(&rig);
    rig_push(&rig);
    rig_shape(&rig, "c", "time:time sensor:integer value:number");
    (void) rig_row(&rig);
    rig_push(&rig);
    rig_shape(&rig, "d", "time:integer sensor:text value:number");
    rig_row(&rig)[0] = row_integer(12);
    rig_push(&rig);
    EXPECT_STR(buf_str(&rig.codes), STR_C("no_time\nno_time\nnot_a_number\nfield_type_conflict\n"
                                          "no_time\n"));
    rig_shape(&rig, "readings", COLUMNS);
    mem_free(longish);
    longish = mem_copy_c((char[LIMIT_ROW_KEY_BYTES]){ [0 ... LIMIT_ROW_KEY_BYTES - 2] = 'x' },
                         LIMIT_ROW_KEY_BYTES - 1);
    add(&rig, 1, longish, 1);
    longish[LIMIT_ROW_KEY_BYTES - 3] = '\0';
    add(&rig, 1, longish, 1);
    rig_push(&rig);
    EXPECT_EQ(rig.filtered, 2);
    EXPECT_EQ(rig.refused, 6);
    mem_free(longish);
}

TEST(the_name_of_a_shape_stands_for_its_measurement)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"every\": \"10s\", \"by\": [\"measurement\"], \"aggregate\": \"value:max\"}");
    rig_shape(&rig, "cpu", "time:time value:number");
    rig_row(&rig)[0] = row_time_ns(BASE);
    rig_push(&rig);
    rig_shape(&rig, "mem", "value:integer time:time");
    rig_row(&rig)[1] = row_time_ns(BASE);
    rig_row(&rig)[1] = row_time_ns(BASE);
    parcel_row(rig.parcel, 0)[0] = row_integer(8);
    rig_push(&rig);
    rig_tick(&rig, true);
    RIG_EXPECT(&rig, "{\"measurement\":\"cpu\",\"window_start\":\"2027-01-15T08:00:00Z\","
                     "\"window_end\":\"2027-01-15T08:00:10Z\",\"value_max\":null}\n"
                     "{\"measurement\":\"mem\",\"window_start\":\"2027-01-15T08:00:00Z\","
                     "\"window_end\":\"2027-01-15T08:00:10Z\",\"value_max\":8.0}\n");
}

TEST(settings_that_cannot_be_are_refused)
{
    static const struct {
        const char *settings, *words;
    } cases[] = {
        { "{}", "every" },
        { "{\"every\": 0}", "every" },
        { "{\"every\": \"1m\", \"size\": \"90s\"}", "size: must be a multiple of every" },
        { "{\"every\": \"1m\", \"size\": \"30s\"}", "size: must be a multiple of every" },
        { "{\"every\": \"1ms\", \"size\": \"1h\"}", "size: at most 1024 times every" },
        { "{\"every\": \"1m\", \"size\": \"2m\", \"late\": \"emit\"}", "late: emit" },
        { "{\"every\": \"1m\", \"aggregate\": \"value:meen\"}", "did you mean mean" },
        { "{\"every\": \"1m\", \"aggregate\": \"value:p101\"}", "unknown function \"p101\"" },
        { "{\"every\": \"1m\", \"aggregate\": \"value\"}", "unknown function \"value\"" },
        { "{\"every\": \"1m\", \"aggregate\": \"mean\"}", "wants a column" },
        { "{\"every\": \"1m\", \"aggregate\": \":mean\"}", "is not COLUMN:FUNCTION" },
        { "{\"every\": \"1m\", \"aggregate\": \"v:\"}", "is not COLUMN:FUNCTION" },
        { "{\"every\": \"1m\", \"aggregate\": \"\"}", "asks for nothing" },
        { "{\"every\": \"1m\", \"aggregate\": {}}", "asks for nothing" },
        { "{\"every\": \"1m\", \"aggregate\": 5}", "is an object or a text" },
        { "{\"every\": \"1m\", \"aggregate\": {\"value\": []}}", "wants a function" },
        { "{\"every\": \"1m\", \"aggregate\": {\"value\": [7]}}", "a function is a word" },
        { "{\"every\": \"1m\", \"aggregate\": {\"\": \"count\"}}", "without a name" },
        { "{\"every\": \"1m\", \"aggregate\": {\"a\": [\"sum\", \"sum\"]}}", "a_sum" },
        { "{\"every\": \"1m\", \"by\": [\"x\", \"x\"]}", "two columns of the result are called x" },
        { "{\"every\": \"1m\", \"by\": [\"count\"]}", "two columns of the result are called" },
        { "{\"every\": \"1m\", \"late\": \"perhaps\"}", "late" },
        { "{\"every\": \"1m\", \"lateness\": \"-1s\"}", "lateness" },
    };

    EXPECT_OK(schema_check(&window_args_schema));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(rig_close) StepRig rig = { 0 };

        EXPECT_ERR(rig_try_open(&rig, &step_window, cases[i].settings), -ERR_INVALID,
                   cases[i].words);
    }
}

/* ---- against a model ------------------------------------------------------------------------- */

#define MODEL_ROWS    3000
#define MODEL_SENSORS 7

typedef struct ModelRow {
    int64_t time_ns;
    int sensor;
    double value;
} ModelRow;

/* Rows of a clock that goes on, with disorder, storms, jumps and hostile times. */
static void make_rows(ModelRow *rows, size_t n, uint64_t seed)
{
    int64_t clock_ns = BASE;
    Rand rand;

    rand_init(&rand, seed);
    for (size_t i = 0; i < n; i++) {
        int64_t time_ns;

        clock_ns += (int64_t) rand_below(&rand, 500) * NS_PER_MS;
        if (rand_below(&rand, 400) == 0)
            clock_ns += (int64_t) rand_below(&rand, 300) * S;
        time_ns = clock_ns - (int64_t) rand_below(&rand, 3) * (int64_t) rand_below(&rand, 9) * S;
        if (rand_below(&rand, 200) == 0)
            time_ns -= (int64_t) rand_below(&rand, 4000) * S;
        if (rand_below(&rand, 500) == 0)
            time_ns = (int64_t) rand_u64(&rand);
        rows[i] = (ModelRow){ time_ns, (int) rand_below(&rand, MODEL_SENSORS),
                              rand_unit(&rand) * 100 - 20 };
    }
}

static void push_row(StepRig *rig, const ModelRow *row)
{
    RowValue *values = rig_row(rig);
    char name[8];

    (void) snprintf(name, sizeof(name), "s%d", row->sensor);
    values[0] = row_time_ns(row->time_ns);
    values[1] = row_text(rig_text(rig, name));
    values[2] = row_real(row->value, (Str){ 0 });
}

static int64_t floor_to(int64_t time_ns, int64_t every_ns)
{
    int64_t rest = time_ns % every_ns;

    return time_ns - (rest < 0 ? rest + every_ns : rest);
}

/* Which of ROWS count: all but late ones, those from the future and the impossible ones. */
static void judge(const ModelRow *rows, size_t n, int64_t every_ns, int64_t lateness_ns,
                  int64_t now_ns, bool *counts)
{
    int64_t newest = INT64_MIN;

    for (size_t i = 0; i < n; i++) {
        int64_t t = rows[i].time_ns;

        counts[i] = false;
        if (t < WINDOW_TIME_MIN || t > WINDOW_TIME_MAX || (t > newest && t > now_ns + 3600 * S))
            continue;
        newest = MAX(newest, t);
        counts[i] = floor_to(t, every_ns) + every_ns > newest - lateness_ns;
    }
}

/* What the model says of one sensor in one window; as the step's row would say it. */
static bool model_line(const ModelRow *rows, const bool *counts, size_t n, int sensor,
                       int64_t start, int64_t size_ns, char *line, size_t cap)
{
    double min = 0, max = 0;
    int count = 0;

    for (size_t i = 0; i < n; i++) {
        double value = rows[i].value;

        if (!counts[i] || rows[i].sensor != sensor || rows[i].time_ns < start ||
            rows[i].time_ns >= start + size_ns)
            continue;
        min = count == 0 ? value : MIN(min, value);
        max = count == 0 ? value : MAX(max, value);
        count++;
    }
    (void) snprintf(line, cap, "s%d %lld %d %.17g %.17g", sensor, (long long) start, count, min,
                    max);
    return count > 0;
}

/* Rows that went on, as the lines of the model. */
static void check_rows(StepRig *rig, const ModelRow *rows, const bool *counts, size_t n,
                       int64_t every_ns, int64_t size_ns)
{
    Map seen = { 0 };
    char line[200];
    size_t found = 0, lines = 0;
    Str rest = buf_str(&rig->out);
    int64_t low = INT64_MAX, high = INT64_MIN;

    while (rest.len > 0) {
        AUTO(arena_deinit) Arena arena = { 0 };
        JsonDoc doc;
        int64_t start_ms, count = 0;
        double min = 0, max = 0;
        Str text = str_cut(rest, '\n', &rest), sensor;

        EXPECT_OK(json_parse(&arena, text, &doc));
        sensor = json_str_or(json_find(doc.root, "sensor"), (Str){ 0 });
        EXPECT_OK(time_parse_rfc3339(json_str_or(json_find(doc.root, "window_start"), (Str){ 0 }),
                                     &start_ms));
        (void) json_get_i64(json_find(doc.root, "value_count"), &count);
        (void) json_get_real(json_find(doc.root, "value_min"), &min);
        (void) json_get_real(json_find(doc.root, "value_max"), &max);
        (void) snprintf(line, sizeof(line), "%.*s %lld %d %.17g %.17g", (int) sensor.len,
                        sensor.data, (long long) start_ms * NS_PER_MS, (int) count, min, max);
        EXPECT(!map_put(&seen, str_from_c(line), rig)); /* no window twice */
        lines++;
    }
    for (size_t i = 0; i < n; i++) {
        low = counts[i] ? MIN(low, rows[i].time_ns) : low;
        high = counts[i] ? MAX(high, rows[i].time_ns) : high;
    }
    for (size_t i = 0; i < n; i++) {
        for (int64_t start = floor_to(rows[i].time_ns, every_ns) - size_ns + every_ns;
             counts[i] && start <= rows[i].time_ns; start += every_ns) {
            for (int s = 0; s < MODEL_SENSORS; s++) {
                if (!model_line(rows, counts, n, s, start, size_ns, line, sizeof(line)))
                    continue;
                if (!map_find(&seen, str_from_c(line)))
                    test_fail(__FILE__, __LINE__, "missing: %s", line);
                found++;
            }
            break; /* the first window of each row: enough, and quick */
        }
    }
    EXPECT(found > 0 && lines > 0);
    map_deinit(&seen);
}

TEST(it_agrees_with_a_model_that_keeps_every_row)
{
    static ModelRow rows[MODEL_ROWS];
    static bool counts[MODEL_ROWS];
    static const struct {
        const char *settings;
        int every_s, size_s, lateness_s;
    } cases[] = {
        { "{\"every\": \"10s\", \"by\": [\"sensor\"], \"lateness\": \"5s\", \"aggregate\": "
          "\"value:count,min,max\"}",
          10, 10, 5 },
        { "{\"every\": \"7s\", \"size\": \"35s\", \"by\": [\"sensor\"], \"lateness\": \"20s\", "
          "\"aggregate\": \"value:count,min,max\"}",
          7, 35, 20 },
    };

    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        for (uint64_t seed = 1; seed <= 2; seed++) {
            AUTO(rig_close) StepRig rig = { 0 };
            size_t n_counted = 0;

            make_rows(rows, MODEL_ROWS, seed);
            open_rig(&rig, cases[c].settings);
            rig.now_ns = BASE + 3600 * S;
            judge(rows, MODEL_ROWS, cases[c].every_s * S, cases[c].lateness_s * S, rig.now_ns,
                  counts);
            for (size_t i = 0; i < MODEL_ROWS; i++)
                push_row(&rig, &rows[i]);
            rig_push(&rig);
            rig_tick(&rig, true);
            for (size_t i = 0; i < MODEL_ROWS; i++)
                n_counted += counts[i];
            EXPECT_EQ(rig.filtered, n_counted);
            EXPECT_EQ(rig.rows, rig.filtered + rig.dropped + rig.refused);
            EXPECT_EQ(rig.late, rig.dropped);
            check_rows(&rig, rows, counts, MODEL_ROWS, cases[c].every_s * S, cases[c].size_s * S);
        }
    }
}

/* ---- T1 and T2 ------------------------------------------------------------------------------- */

static const char *const stateful_settings[] = {
    "{\"every\": \"10s\", \"by\": [\"sensor\"], \"lateness\": \"5s\", \"aggregate\": "
    "\"value:count,sum,min,max,mean,stddev,p50,p99,first,last,rate;count;rate\"}",
    "{\"every\": \"7s\", \"size\": \"35s\", \"offset\": \"3s\", \"by\": [\"sensor\"], "
    "\"lateness\": \"20s\", \"late\": \"refuse\", \"aggregate\": "
    "\"value:sum,mean,stddev,p50,p99,first,last,rate\"}",
    "{\"every\": \"1m\", \"late\": \"drop\", \"aggregate\": \"value:p5,median\"}",
};

TEST(how_rows_are_cut_into_parcels_changes_nothing)
{
    static ModelRow rows[MODEL_ROWS];

    for (size_t c = 0; c < ARRAY_LEN(stateful_settings); c++) {
        AUTO(rig_close) StepRig whole = { 0 };
        AUTO(rig_close) StepRig cut = { 0 };
        Rand rand;

        rand_init(&rand, c);
        make_rows(rows, MODEL_ROWS, 10 + c);
        open_rig(&whole, stateful_settings[c]);
        open_rig(&cut, stateful_settings[c]);
        whole.now_ns = cut.now_ns = BASE + 3600 * S;
        for (size_t i = 0; i < MODEL_ROWS; i++) {
            push_row(&whole, &rows[i]);
            push_row(&cut, &rows[i]);
            if (rand_below(&rand, 20) == 0)
                rig_push(&cut);
        }
        rig_push(&whole);
        rig_push(&cut);
        rig_tick(&whole, true);
        rig_tick(&cut, true);
        EXPECT(whole.out.len > 1000);
        EXPECT(str_eq(buf_str(&whole.out), buf_str(&cut.out)));
        EXPECT(str_eq(buf_str(&whole.codes), buf_str(&cut.codes)));
    }
}

TEST(a_step_that_is_saved_and_loaded_anywhere_goes_on_as_if_it_had_never_stopped)
{
    static ModelRow rows[MODEL_ROWS];

    for (size_t c = 0; c < ARRAY_LEN(stateful_settings); c++) {
        AUTO(rig_close) StepRig uncut = { 0 };
        AUTO(rig_close) StepRig stopped = { 0 };
        Rand rand;

        rand_init(&rand, 100 + c);
        make_rows(rows, MODEL_ROWS, 20 + c);
        open_rig(&uncut, stateful_settings[c]);
        open_rig(&stopped, stateful_settings[c]);
        uncut.now_ns = stopped.now_ns = BASE + 3600 * S;
        for (size_t i = 0; i < MODEL_ROWS; i++) {
            push_row(&uncut, &rows[i]);
            push_row(&stopped, &rows[i]);
            if (rand_below(&rand, 40) > 0)
                continue;
            rig_push(&uncut);
            rig_push(&stopped);
            rig_restart(&stopped, stateful_settings[c]);
        }
        rig_push(&uncut);
        rig_push(&stopped);
        rig_restart(&stopped, stateful_settings[c]);
        rig_tick(&uncut, true);
        rig_tick(&stopped, true);
        EXPECT(uncut.out.len > 1000);
        EXPECT(str_eq(buf_str(&uncut.out), buf_str(&stopped.out)));
        EXPECT(str_eq(buf_str(&uncut.codes), buf_str(&stopped.codes)));
        EXPECT_EQ(uncut.late, stopped.late);
    }
}

/* Windows of more series than one call hands on. */
static void push_many(StepRig *rig, size_t n, double t)
{
    char name[32];

    for (size_t i = 0; i < n; i++) {
        (void) snprintf(name, sizeof(name), "sensor-%zu", i);
        add(rig, t, name, (double) i);
    }
    rig_push(rig);
}

TEST(a_window_of_many_series_is_handed_on_in_pieces_and_saved_between_them)
{
    static const char *const settings[] = {
        "{\"every\": \"10s\", \"by\": [\"sensor\"], \"lateness\": 0, \"aggregate\": \"value:sum\"}",
        "{\"every\": \"10s\", \"size\": \"20s\", \"by\": [\"sensor\"], \"lateness\": 0, "
        "\"aggregate\": \"value:sum,p50\"}",
    };
    enum { SERIES = LIMIT_WINDOW_EMIT_ROWS + LIMIT_WINDOW_EMIT_ROWS / 2 };

    for (size_t c = 0; c < ARRAY_LEN(settings); c++) {
        AUTO(rig_close) StepRig uncut = { 0 };
        AUTO(rig_close) StepRig stopped = { 0 };

        open_rig(&uncut, settings[c]);
        open_rig(&stopped, settings[c]);
        push_many(&uncut, SERIES, 1);
        push_many(&stopped, SERIES, 1);
        add(&uncut, 12, "sensor-7", 1);
        add(&stopped, 12, "sensor-7", 1);
        rig_push(&uncut);
        rig_push(&stopped);
        EXPECT(uncut.handed_on <= LIMIT_WINDOW_EMIT_ROWS);
        EXPECT_EQ(step_window.next_tick_ns(uncut.state), 0);
        rig_restart(&stopped, settings[c]);
        EXPECT_EQ(step_window.next_tick_ns(stopped.state), 0);
        rig_tick(&uncut, false);
        for (int i = 0; step_window.next_tick_ns(stopped.state) == 0 && i < 20; i++) {
            StepRun run = rig_run_of(&stopped, NULL);

            EXPECT_OK(step_window.tick(stopped.state, &run, false));
            rig_take_made(&stopped);
            if (i % 2 == 1) /* what is merged is merged anew, which takes two calls */
                rig_restart(&stopped, settings[c]);
        }
        EXPECT_EQ(uncut.handed_on, SERIES);
        EXPECT(str_eq(buf_str(&uncut.out), buf_str(&stopped.out)));
        for (int i = 0; step_window.next_tick_ns(uncut.state) != INT64_MAX && i < 9; i++)
            rig_tick(&uncut, false);
        /* The end, begun, interrupted by a save, and followed by rows after all. */
        for (int i = 0; i < 2; i++) {
            StepRig *rig = i == 0 ? &uncut : &stopped;
            StepRun run = rig_run_of(rig, NULL);

            EXPECT_OK(step_window.tick(rig->state, &run, true));
            rig_take_made(rig);
            if (i == 1)
                rig_restart(rig, settings[c]);
            add(rig, 25, "sensor-9", 1);
            rig_push(rig);
            rig_tick(rig, true);
        }
        EXPECT(str_eq(buf_str(&uncut.out), buf_str(&stopped.out)));
        EXPECT_EQ(uncut.handed_on, stopped.handed_on);
    }
}

TEST(state_of_other_settings_is_refused)
{
    AUTO(rig_close) StepRig rig = { 0 };
    AUTO(rig_close) StepRig other = { 0 };
    AUTO(rig_close) StepRig same = { 0 };
    AUTO(buf_deinit) Buf bytes = { 0 };

    open_rig(&rig, "{\"every\": \"10s\", \"by\": [\"sensor\"]}");
    add(&rig, 1, "a", 1);
    rig_push(&rig);
    EXPECT_OK(step_window.save(rig.state, &bytes));
    open_rig(&other, "{\"every\": \"20s\", \"by\": [\"sensor\"]}");
    EXPECT_ERR(step_window.load(other.state, buf_str(&bytes)), -ERR_CONFLICT, "other settings");
    /* How long it waits, and what it does with late rows, may change. */
    open_rig(&same, "{\"every\": \"10s\", \"by\": [\"sensor\"], \"lateness\": \"1m\", \"late\": "
                    "\"refuse\"}");
    EXPECT_OK(step_window.load(same.state, buf_str(&bytes)));
}

TEST(damaged_state_is_refused_and_does_no_harm)
{
    AUTO(buf_deinit) Buf bytes = { 0 };
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, stateful_settings[0]);
    for (int i = 0; i < 30; i++)
        add(&rig, i, i % 3 ? "a" : "b", i);
    rig_push(&rig);
    EXPECT_OK(step_window.save(rig.state, &bytes));
    for (size_t n = 0; n < bytes.len; n++) {
        AUTO(rig_close) StepRig cut = { 0 };

        open_rig(&cut, stateful_settings[0]);
        EXPECT_ERR(step_window.load(cut.state, str_from(bytes.data, n)), -ERR_CONFLICT, "state");
    }
    for (size_t i = 0; i < 8 * bytes.len; i++) {
        AUTO(rig_close) StepRig damaged = { 0 };

        open_rig(&damaged, stateful_settings[0]);
        bytes.data[i / 8] = (char) (bytes.data[i / 8] ^ 1 << i % 8);
        if (step_window.load(damaged.state, buf_str(&bytes)) == 0) {
            add(&damaged, 40, "a", 1);
            rig_push(&damaged);
            rig_tick(&damaged, true);
        }
        bytes.data[i / 8] = (char) (bytes.data[i / 8] ^ 1 << i % 8);
    }
}

/* ---- bounds ---------------------------------------------------------------------------------- */

TEST(windows_that_wait_are_bounded)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"every\": \"1ms\", \"lateness\": \"1h\"}");
    for (int i = 0; i < LIMIT_WINDOW_PANES + 10; i++)
        add(&rig, i / 1000.0 + 0.0005, "a", 1);
    rig_push(&rig);
    EXPECT_EQ(rig.refused, 10);
    EXPECT(str_starts(buf_str(&rig.codes), STR_C("too_many_windows\n")));
}

TEST(series_beyond_the_limit_are_refused_and_the_others_go_on)
{
    AUTO(rig_close) StepRig rig = { 0 };
    Window *window;
    char name[16];

    open_rig(&rig, "{\"every\": \"10s\", \"by\": [\"sensor\"], \"lateness\": 0, \"aggregate\": "
                   "\"value:p50\"}");
    window = rig.state;
    window->groups_max = 100;
    for (int i = 0; i < 150; i++) {
        (void) snprintf(name, sizeof(name), "s%d", i);
        add(&rig, 1, name, i);
    }
    add(&rig, 2, "s99", 1);
    rig_push(&rig);
    EXPECT_EQ(rig.refused, 50);
    EXPECT_EQ(rig.filtered, 101);
    EXPECT(str_starts(buf_str(&rig.codes), STR_C("too_many_series\n")));
    add(&rig, 11, "s149", 1); /* the first window ends, its series make room */
    add(&rig, 12, "s148", 1);
    rig_push(&rig);
    add(&rig, 12, "s147", 1);
    rig_push(&rig);
    EXPECT_EQ(rig.refused, 52);
    EXPECT_EQ(rig.handed_on, 100);
    window->bytes_max = window->bytes; /* percentiles may grow with any row */
    add(&rig, 12, "s147", 1);
    rig_push(&rig);
    EXPECT_EQ(rig.refused, 53);
}

TEST(an_event_time_that_jumps_over_a_century_makes_no_windows_between)
{
    AUTO(rig_close) StepRig rig = { 0 };

    open_rig(&rig, "{\"every\": \"1ms\", \"size\": \"1s\", \"lateness\": 0}");
    rig_row(&rig)[0] = row_time_ns(WINDOW_TIME_MIN + 100 * S);
    add(&rig, 0, "a", 1);
    rig_push(&rig);
    rig_tick(&rig, true);
    EXPECT_EQ(rig.handed_on, 2000);
}

static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long total, resident = 0;

    if (file && fscanf(file, "%ld %ld", &total, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return (size_t) resident * 4096;
}

/* With SLUICE_TEST_FIGURES set the test prints what it measures. */
TEST(a_million_series_fit_and_go_again)
{
    static const size_t n = 1000000;
    AUTO(rig_close) StepRig rig = { 0 };
    size_t before = resident_bytes(), full, group_bytes;
    const Window *window;
    char name[32];

    open_rig(&rig, "{\"every\": \"1m\", \"by\": [\"sensor\"], \"lateness\": 0, \"aggregate\": "
                   "{\"value\": [\"count\", \"mean\", \"min\", \"max\"]}}");
    for (size_t i = 0; i < n; i++) {
        (void) snprintf(name, sizeof(name), "sensor-%zu", i * 7919 % n);
        add(&rig, (double) (i % 50), name, 1);
    }
    rig_push(&rig);
    window = rig.state;
    full = resident_bytes() - before;
    group_bytes = window->bytes / window->groups;
    rig.out.max_bytes = 1; /* what comes out is counted only */
    rig_tick(&rig, true);
    EXPECT_EQ(rig.refused, 0);
    EXPECT_EQ(rig.filtered, n);
    EXPECT_EQ(rig.handed_on, n);
    EXPECT_EQ(window->groups, 0);
    EXPECT_EQ(window->bytes, 0);
    EXPECT(group_bytes < 160);
    if (getenv("SLUICE_TEST_FIGURES"))
        printf("a million series: %zu bytes each, %zu MiB resident\n", group_bytes, full >> 20);
}

static int64_t thread_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * S + now.tv_nsec;
}

/* Only with SLUICE_TEST_FIGURES: what a row costs. */
TEST(what_a_row_costs)
{
    static const struct {
        const char *name, *settings;
        size_t series;
        bool is_shuffled;
    } cases[] = {
#define CASE_SETTINGS "{\"every\": \"1m\", \"by\": [\"sensor\"], \"aggregate\": {\"value\": "
        { "1000 series, count mean min max", CASE_SETTINGS "[\"count\",\"mean\",\"min\",\"max\"]}}",
          1000, false },
        { "the same in any order", CASE_SETTINGS "[\"count\",\"mean\",\"min\",\"max\"]}}", 1000,
          true },
        { "1000 series, mean stddev p99", CASE_SETTINGS "[\"mean\",\"stddev\",\"p99\"]}}", 1000,
          false },
        { "a million in any order, mean", CASE_SETTINGS "\"mean\"}}", 1000000, true },
    };

    for (size_t c = 0; c < ARRAY_LEN(cases) && getenv("SLUICE_TEST_FIGURES"); c++) {
        AUTO(rig_close) StepRig rig = { 0 };
        size_t n_parcels = MAX(cases[c].series / 1000, (size_t) 1), rounds = 4000 / n_parcels;
        Parcel **parcels = mem_new_array(Parcel *, n_parcels);
        int64_t spent_ns = 0;
        size_t n = 0;
        Rand rand;

        rand_init(&rand, 1);
        open_rig(&rig, cases[c].settings);
        for (size_t p = 0; p < n_parcels; p++) {
            for (size_t i = 0; i < 1000; i++) {
                size_t id = cases[c].is_shuffled ? rand_below(&rand, cases[c].series) : i;
                char name[32];

                (void) snprintf(name, sizeof(name), "sensor-%zu", id);
                add(&rig, 0, name, 20 + rand_unit(&rand));
            }
            parcels[p] = TAKE(rig.parcel);
        }
        for (size_t round = 0; round < rounds; round++) {
            for (size_t p = 0; p < n_parcels; p++) {
                Parcel *parcel = parcels[p];
                StepRun run = rig_run_of(&rig, parcel);
                int64_t begin;

                for (size_t i = 0; i < parcel_count(parcel); i++)
                    parcel_row(parcel, i)[0].time_ns = BASE + (int64_t) (n + i) * 10 * NS_PER_US;
                n += 1000;
                begin = thread_ns();
                EXPECT_OK(step_window.run(rig.state, &run));
                spent_ns += thread_ns() - begin;
                memset(parcel->fates, FATE_OPEN, 1000);
                parcel->rows.n_rows = 1000;
            }
        }
        printf("%s: %lld ns a row\n", cases[c].name, (long long) spent_ns / (long long) n);
        for (size_t p = 0; p < n_parcels; p++)
            parcel_free(&rig.pool, parcels[p]);
        mem_free(parcels);
    }
}

TEST_MAIN()
