/*
 * Simulated sensors: the same for the same number however one comes to it, faults as often as
 * asked, values that move as values of sensors do, and texts that are what they say.
 */
#include "codec/sensors.h"

#include "base/limits.h"
#include "base/map.h"
#include "base/test.h"
#include "codec/json.h"
#include "codec/time_text.h"

#include <stdlib.h>

#define START_NS INT64_C(1767225600000000000) /* 2026-01-01T00:00:00Z */

static const SensorsOpts all_faults = {
    .seed = 7,
    .n_sensors = 100,
    .start_ns = START_NS,
    .interval_ns = NS_PER_S,
    .duplicated = 0.02,
    .gaps = 0.05,
    .malformed = 0.01,
    .out_of_range = 0.03,
    .late = 0.04,
    .out_of_order = 0.06,
};

static bool is_same(const SensorReading *a, const SensorReading *b)
{
    return a->number == b->number && a->sensor == b->sensor && a->time_ns == b->time_ns &&
           a->hundredths == b->hundredths && a->kind == b->kind && a->fault == b->fault &&
           a->is_duplicate == b->is_duplicate;
}

/* Catches a reading that depends on those read before it: a run that is killed could not go on. */
TEST(a_reading_depends_on_its_number_alone)
{
    AUTO(sensors_free) Sensors *one = NULL, *other = NULL, *third = NULL;
    SensorsOpts opts = all_faults;
    SensorReading a, b;
    size_t n_equal = 0;

    EXPECT_OK(sensors_new(&opts, &one));
    EXPECT_OK(sensors_new(&opts, &other));
    opts.seed++;
    EXPECT_OK(sensors_new(&opts, &third));
    for (uint64_t i = 0; i < 5000; i++) {
        sensors_read(one, i, &a);
        sensors_read(other, 4999 - i, &b);
        sensors_read(other, i, &b);
        EXPECT(is_same(&a, &b));
        sensors_read(third, i, &b);
        n_equal += a.fault == SENSOR_FAULT_NONE && a.hundredths == b.hundredths;
    }
    EXPECT(n_equal < 50); /* another seed is another crowd */
    sensors_read(one, UINT64_MAX, &a);
    sensors_read(other, UINT64_MAX, &b);
    EXPECT(is_same(&a, &b));
}

/* Catches a turn that is another sensor's, or at another time, for every size of the crowd. */
TEST(everybody_takes_turns)
{
    static const uint64_t sizes[] = { 1, 2, 3, 7, 64, 1000, 999983, LIMIT_SENSORS };
    static const uint64_t numbers[] = { 0,       1,          2,          999982,     999983,
                                        1999966, UINT32_MAX, 1ull << 40, 1ull << 62, UINT64_MAX };

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        SensorsOpts opts = { .n_sensors = sizes[i], .interval_ns = (int64_t) sizes[i] * 1000 };
        AUTO(sensors_free) Sensors *sensors = NULL;

        EXPECT_OK(sensors_new(&opts, &sensors));
        for (size_t k = 0; k < ARRAY_LEN(numbers); k++) {
            SensorReading reading;

            sensors_read(sensors, numbers[k], &reading);
            EXPECT_EQ(reading.sensor, numbers[k] % sizes[i]);
            EXPECT_EQ(reading.time_ns, (int64_t) (numbers[k] * 1000));
            EXPECT(reading.fault == SENSOR_FAULT_NONE && !reading.is_duplicate);
        }
    }
}

static void expect_share(const char *what, size_t n, size_t of, double share)
{
    double got = (double) n / (double) of;

    if (got < share * 0.9 || got > share * 1.1)
        test_fail(__FILE__, __LINE__, "%s: got %.4f, want %.4f", what, got, share);
}

/* Catches a fault that is rarer or more frequent than asked for. */
TEST(faults_are_as_frequent_as_asked)
{
    AUTO(sensors_free) Sensors *sensors = NULL;
    size_t faults[8] = { 0 }, n_duplicates = 0, n = 200000;
    SensorReading reading;

    EXPECT_OK(sensors_new(&all_faults, &sensors));
    for (uint64_t i = 0; i < n; i++) {
        sensors_read(sensors, i, &reading);
        faults[reading.fault]++;
        n_duplicates += reading.is_duplicate;
    }
    expect_share("missing", faults[SENSOR_FAULT_MISSING], n, all_faults.gaps);
    n -= faults[SENSOR_FAULT_MISSING];
    expect_share("duplicated", n_duplicates, n, all_faults.duplicated);
    expect_share("malformed", faults[SENSOR_FAULT_MALFORMED], n, all_faults.malformed);
    expect_share("out of range", faults[SENSOR_FAULT_OUT_OF_RANGE], n, all_faults.out_of_range);
    expect_share("late", faults[SENSOR_FAULT_LATE], n, all_faults.late);
    expect_share("out of order", faults[SENSOR_FAULT_OUT_OF_ORDER], n, all_faults.out_of_order);
}

/* Catches a duplicate that repeats nothing, or something that was never there. */
TEST(duplicates_repeat)
{
    AUTO(sensors_free) Sensors *sensors = NULL;
    SensorsOpts opts = all_faults;
    SensorReading reading, original;
    size_t n = 0;

    opts.duplicated = 0.5;
    opts.gaps = 0.5;
    EXPECT_OK(sensors_new(&opts, &sensors));
    for (uint64_t i = 0; i < 20000; i++) {
        sensors_read(sensors, i, &reading);
        if (!reading.is_duplicate)
            continue;
        n++;
        EXPECT(reading.number < i);
        sensors_read(sensors, reading.number, &original);
        EXPECT(!original.is_duplicate && original.fault != SENSOR_FAULT_MISSING);
        original.is_duplicate = true;
        EXPECT(is_same(&reading, &original));
    }
    EXPECT(n > 4000);
}

static int compare_pairs(const void *a, const void *b)
{
    return memcmp(a, b, 2 * sizeof(uint64_t));
}

static void expect_unique(uint64_t n_sensors)
{
    SensorsOpts opts = all_faults;
    AUTO(sensors_free) Sensors *sensors = NULL;
    size_t n = 100000, n_found = 0;
    AUTO(mem_free) uint64_t *pairs = mem_new_array(uint64_t, n * 2);
    SensorReading reading;

    opts.n_sensors = n_sensors;
    opts.late = opts.out_of_order = 0.4;
    EXPECT_OK(sensors_new(&opts, &sensors));
    for (uint64_t i = 0; i < n; i++) {
        sensors_read(sensors, i, &reading);
        if (reading.is_duplicate || reading.fault == SENSOR_FAULT_MISSING)
            continue;
        pairs[2 * n_found] = reading.sensor;
        pairs[2 * n_found++ + 1] = (uint64_t) reading.time_ns;
    }
    qsort(pairs, n_found, 2 * sizeof(uint64_t), compare_pairs);
    for (size_t i = 1; i < n_found; i++)
        EXPECT(compare_pairs(&pairs[2 * i - 2], &pairs[2 * i]) != 0);
}

/* Catches two readings of a sensor with one time: whoever takes sensor and time as a key would
 * lose one of them. */
TEST(sensor_and_time_are_a_key)
{
    expect_unique(1);
    expect_unique(2);
    expect_unique(31);
    expect_unique(1000);
    expect_unique(7); /* by which the interval cannot be divided */
}

/* Catches a late reading that is not late, and one out of order that is. */
TEST(late_and_out_of_order)
{
    AUTO(sensors_free) Sensors *sensors = NULL;
    int64_t step_ns = NS_PER_S / 100;
    SensorReading reading;

    EXPECT_OK(sensors_new(&all_faults, &sensors));
    for (uint64_t i = 0; i < 20000; i++) {
        int64_t delay;

        sensors_read(sensors, i, &reading);
        delay = START_NS + (int64_t) reading.number * step_ns - reading.time_ns;
        if (reading.fault == SENSOR_FAULT_LATE)
            EXPECT(delay > NS_PER_S && delay < 32 * NS_PER_S);
        else if (reading.fault == SENSOR_FAULT_OUT_OF_ORDER)
            EXPECT(delay > step_ns && delay < 33 * step_ns);
        else if (reading.fault != SENSOR_FAULT_MISSING)
            EXPECT_EQ(delay, 0);
    }
}

/* Catches values that jump, that never move, or that are out of range unasked. */
TEST(values_drift)
{
    SensorsOpts opts = { .seed = 3, .n_sensors = 8, .interval_ns = NS_PER_S };
    AUTO(sensors_free) Sensors *sensors = NULL;

    EXPECT_OK(sensors_new(&opts, &sensors));
    for (uint64_t sensor = 0; sensor < 8; sensor++) {
        int64_t least = INT64_MAX, most = INT64_MIN, last = 0;
        SensorReading reading;

        for (uint64_t round = 0; round < 8192; round++) {
            sensors_read(sensors, round * 8 + sensor, &reading);
            EXPECT(reading.hundredths >= SENSORS_VALUE_MIN * 100);
            EXPECT(reading.hundredths <= SENSORS_VALUE_MAX * 100);
            least = MIN(least, reading.hundredths);
            most = MAX(most, reading.hundredths);
            if (round > 0)
                EXPECT(llabs(reading.hundredths - last) < 150);
            last = reading.hundredths;
        }
        EXPECT(most - least >= 25); /* a battery moves by half a volt, the others by more */
    }
}

/* Catches a kind that no sensor has, and out-of-range values that are in range. */
TEST(kinds_and_ranges)
{
    SensorsOpts opts = { .seed = 3, .n_sensors = 1000, .out_of_range = 0.5 };
    AUTO(sensors_free) Sensors *sensors = NULL;
    size_t n_of_kind[4] = { 0 }, n_below = 0, n_above = 0;
    SensorReading reading;

    EXPECT_OK(sensors_new(&opts, &sensors));
    for (uint64_t i = 0; i < 1000; i++) {
        sensors_read(sensors, i, &reading);
        n_of_kind[reading.kind]++;
        if (reading.fault == SENSOR_FAULT_OUT_OF_RANGE) {
            EXPECT(llabs(reading.hundredths) >= 100000);
            n_below += reading.hundredths < 0;
            n_above += reading.hundredths > 0;
        }
    }
    for (size_t kind = 0; kind < 4; kind++)
        EXPECT(n_of_kind[kind] > 150);
    EXPECT(n_below > 100 && n_above > 100);
    EXPECT_STR(sensor_kind_name(SENSOR_WIND), STR_C("wind"));
    EXPECT_STR(sensor_kind_unit(SENSOR_HUMIDITY), STR_C("%"));
    EXPECT_STR(sensors_name(sensors, 7), STR_C("sensor-0007"));
    EXPECT(str_starts(sensors_names(sensors), STR_C("sensor-0000sensor-0001sensor-0002")));
}

/* Catches a text that has lost a digit or a sign. */
TEST(texts)
{
    SensorsOpts opts = { .n_sensors = 20000, .interval_ns = NS_PER_S };
    AUTO(sensors_free) Sensors *sensors = NULL;
    AUTO(buf_deinit) Buf out = { 0 };
    SensorReading reading = {
        .sensor = 42, .kind = SENSOR_WIND, .hundredths = -5, .time_ns = START_NS + 64
    };

    EXPECT_OK(sensors_new(&opts, &sensors));
    sensors_write_head(SENSORS_INFLUX, &out);
    sensors_write_head(SENSORS_NDJSON, &out);
    sensors_write(sensors, &reading, SENSORS_INFLUX, &out);
    EXPECT_STR(buf_str(&out), STR_C("readings,kind=wind,sensor=sensor-00042 value=-0.05 "
                                    "1767225600000000064\n"));
    buf_reset(&out);
    reading.hundredths = 123456;
    sensors_write(sensors, &reading, SENSORS_NDJSON, &out);
    EXPECT_STR(buf_str(&out),
               STR_C("{\"time\":\"2026-01-01T00:00:00.000000064Z\",\"sensor\":\"sensor-00042\","
                     "\"kind\":\"wind\",\"value\":1234.56}\n"));
    buf_reset(&out);
    reading.hundredths = 2150;
    reading.time_ns = -1;
    sensors_write_head(SENSORS_CSV, &out);
    sensors_write(sensors, &reading, SENSORS_CSV, &out);
    EXPECT_STR(buf_str(&out), STR_C("time,sensor,kind,value\n"
                                    "1969-12-31T23:59:59.999999999Z,sensor-00042,wind,21.50\n"));
    buf_reset(&out);
    reading.fault = SENSOR_FAULT_MISSING;
    sensors_write(sensors, &reading, SENSORS_CSV, &out);
    EXPECT_EQ(out.len, 0);
}

/* Catches a malformed text that would take its neighbours with it, or is JSON after all. */
TEST(malformed_texts)
{
    AUTO(sensors_free) Sensors *sensors = NULL;
    SensorReading reading;

    EXPECT_OK(sensors_new(&all_faults, &sensors));
    for (uint64_t i = 0; i < 5000; i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf out = { 0 };
        JsonDoc doc;

        sensors_read(sensors, i, &reading);
        if (reading.fault != SENSOR_FAULT_MALFORMED)
            continue;
        sensors_write(sensors, &reading, SENSORS_NDJSON, &out);
        EXPECT(str_find(buf_str(&out), '\n') == (ssize_t) out.len - 1);
        EXPECT(json_parse(&arena, str_sub(buf_str(&out), 0, out.len - 1), &doc) < 0);
        buf_reset(&out);
        sensors_write(sensors, &reading, SENSORS_CSV, &out);
        EXPECT(str_find(buf_str(&out), '\n') == (ssize_t) out.len - 1);
        EXPECT(str_find(buf_str(&out), '"') < 0);
        buf_reset(&out);
        sensors_write(sensors, &reading, SENSORS_INFLUX, &out);
        EXPECT(str_find(buf_str(&out), '\n') == (ssize_t) out.len - 1);
        EXPECT(!str_contains(buf_str(&out), STR_C("21.5sensor")));
        EXPECT(str_find(buf_str(&out), '"') < 0);
    }
}

/* Catches options that would make no crowd. */
TEST(refusals)
{
    Sensors *sensors = NULL;
    SensorsOpts opts = { .n_sensors = 0 };

    EXPECT_ERR(sensors_new(&opts, &sensors), -ERR_INVALID, "sensors: must be between 1 and");
    opts.n_sensors = LIMIT_SENSORS + 1;
    EXPECT_ERR(sensors_new(&opts, &sensors), -ERR_INVALID, "sensors: must be between 1 and");
    opts.n_sensors = 1;
    opts.duplicated = 1;
    EXPECT_ERR(sensors_new(&opts, &sensors), -ERR_INVALID, "duplicated: must be between 0 and 0.9");
    opts.duplicated = 0;
    opts.late = -0.1;
    EXPECT_ERR(sensors_new(&opts, &sensors), -ERR_INVALID, "late: must");
    opts.late = opts.out_of_order = 0.5;
    EXPECT_ERR(sensors_new(&opts, &sensors), -ERR_INVALID, "together");
    opts.late = 0;
    opts.interval_ns = -1;
    EXPECT_ERR(sensors_new(&opts, &sensors), -ERR_INVALID, "interval");
    EXPECT(!sensors);
}

TEST_MAIN()
