/*
 * The source sim against a host of its own: rows as the settings say, exact positions, refused rows
 * with their text, an even pace, and no haste when the channel is full.
 */
#include "codec/sensors.h"
#include "rows/source_world_int.h"

extern const SourceDriver source_sim;

/* Catches a row that is not what its reading is. */
SUSPENDS static void check_rows(SourceWorld *world)
{
    source_world_start(world, &source_sim,
                       "{\"sensors\":2,\"count\":3,\"seed\":7,\"start\":\"2026-01-01T00:00:00Z\"}");
    EXPECT_OK(source_world_join(world));
    EXPECT_EQ(world->rows, 3);
    EXPECT(
        str_starts(buf_str(&world->text),
                   STR_C("readings {\"time\":\"2026-01-01T00:00:00Z\",\"sensor\":\"sensor-0000\","
                         "\"kind\":\"")));
    EXPECT(str_contains(buf_str(&world->text), STR_C("\"time\":\"2026-01-01T00:00:00.500Z\"")));
    EXPECT(str_contains(buf_str(&world->text), STR_C("\"sensor\":\"sensor-0001\"")));
    EXPECT_EQ(world->n_tracks, 1);
    EXPECT_EQ(world->tracks[0].position, 3);
}

TEST(rows)
{
    source_world_run(check_rows);
}

static const char *const many = "{\"sensors\":10,\"count\":5000,\"malformed\":0.01,\"late\":0.1,"
                                "\"duplicated\":0.1,\"gaps\":0.1,\"out_of_range\":0.1}";

/* Catches malformed readings without their text, or that cost their neighbours. */
SUSPENDS static void check_malformed(SourceWorld *world)
{
    SensorsOpts opts = { .seed = 1,
                         .n_sensors = 10,
                         .interval_ns = NS_PER_S,
                         .malformed = 0.01,
                         .late = 0.1,
                         .duplicated = 0.1,
                         .gaps = 0.1,
                         .out_of_range = 0.1 };
    AUTO(sensors_free) Sensors *sensors = NULL;
    uint64_t n_malformed = 0, n_missing = 0;

    EXPECT_OK(sensors_new(&opts, &sensors));
    source_world_start(world, &source_sim, many);
    EXPECT_OK(source_world_join(world));
    for (uint64_t i = 0; i < 5000; i++) {
        AUTO(buf_deinit) Buf line = { 0 };
        SensorReading reading;

        sensors_read(sensors, i, &reading);
        n_missing += reading.fault == SENSOR_FAULT_MISSING;
        if (reading.fault != SENSOR_FAULT_MALFORMED)
            continue;
        n_malformed++;
        buf_printf(&line, "! %llu parse malformed: ", (unsigned long long) i + 1);
        sensors_write(sensors, &reading, SENSORS_INFLUX, &line);
        EXPECT(str_contains(buf_str(&world->text), buf_str(&line)));
    }
    EXPECT(n_malformed > 20);
    EXPECT_EQ(world->refused, n_malformed);
    EXPECT_EQ(world->rows + world->refused + n_missing, 5000);
    EXPECT_EQ(world->tracks[0].position, 5000);
}

TEST(malformed)
{
    source_world_run(check_malformed);
}

/* Catches a run that does not go on exactly where the sinks are. */
SUSPENDS static void check_resume(SourceWorld *world)
{
    AUTO(buf_deinit) Buf whole = { 0 };
    Str rest;

    source_world_start(world, &source_sim, many);
    EXPECT_OK(source_world_join(world));
    buf_add_str(&whole, buf_str(&world->text));
    buf_reset(&world->text);
    source_world_start(world, &source_sim, many);
    EXPECT_OK(source_world_join(world));
    EXPECT_EQ(world->text.len, 0); /* all has been handed on */
    world->tracks[0].position = 4321;
    source_world_start(world, &source_sim, many);
    EXPECT_OK(source_world_join(world));
    rest = buf_str(&world->text);
    EXPECT(rest.len > 1000);
    EXPECT(str_ends(buf_str(&whole), str_sub(rest, 0, rest.len)) || world->refused > 0);
    EXPECT_EQ(world->n_tracks, 1);
    source_world_start(world, &source_sim, "{\"sensors\":10,\"count\":7,\"seed\":2}");
    EXPECT_OK(source_world_join(world));
    EXPECT_EQ(world->n_tracks, 2); /* other settings, another track */
    EXPECT_EQ(world->tracks[1].position, 7);
}

TEST(resume)
{
    source_world_run(check_resume);
}

/* Catches a run that began now and goes on with other times. */
SUSPENDS static void check_now(SourceWorld *world)
{
    static const char *const settings = "{\"sensors\":10,\"count\":%d,\"start\":\"now\"}";
    AUTO(buf_deinit) Buf first = { 0 };
    char json[100];

    (void) snprintf(json, sizeof(json), settings, 20);
    source_world_start(world, &source_sim, json);
    EXPECT_OK(source_world_join(world));
    buf_add_str(&first, buf_str(&world->text));
    buf_reset(&world->text);
    EXPECT_OK(sl_sleep_ms(5)); /* so that now is another time */
    world->tracks[0].position = 10;
    source_world_start(world, &source_sim, json);
    EXPECT_OK(source_world_join(world));
    EXPECT_EQ(world->n_tracks, 1);
    EXPECT(world->text.len > 0 && str_ends(buf_str(&first), buf_str(&world->text)));
}

TEST(now_is_kept)
{
    source_world_run(check_now);
}

/* Catches a source that goes on although the channel is full, or does not stop when it waits. */
SUSPENDS static void check_full(SourceWorld *world)
{
    uint64_t rows;

    source_world_set_full(world, true);
    source_world_start(world, &source_sim, "{\"sensors\":10}");
    source_world_wait_full(world, 1);
    EXPECT_EQ(world->rows, 0);
    source_world_set_full(world, false);
    source_world_wait_rows(world, 5000);
    EXPECT_OK(source_world_stop(world));
    rows = world->rows;
    EXPECT(rows >= 5000);
    EXPECT_EQ(world->tracks[0].position, rows);
}

TEST(full_and_stop)
{
    source_world_run(check_full);
}

typedef struct Pace {
    const char *json;
    int64_t want_ms;
    uint64_t rows;
} Pace;

/* Catches a pace that is too fast, too slow, or comes in large batches; on the virtual clock. */
SUSPENDS static void check_pace(SourceWorld *world)
{
    const Pace *pace = world->ctx;
    int64_t since_ns = sl_clock_ns(), took_ms;

    source_world_start(world, &source_sim, pace->json);
    EXPECT_OK(source_world_join(world));
    took_ms = (sl_clock_ns() - since_ns) / NS_PER_MS;
    EXPECT_EQ(world->rows, pace->rows);
    EXPECT(took_ms >= pace->want_ms * 98 / 100 - 2 && took_ms <= pace->want_ms * 102 / 100 + 20);
    EXPECT(world->n_parcels >= pace->rows / 100);
}

TEST(pace)
{
    static Pace paces[] = {
        { "{\"rate\":1000,\"count\":5000}", 5000, 5000 },
        { "{\"rate\":50000,\"count\":100000}", 2000, 100000 },
        { "{\"rate\":2,\"count\":10}", 4500, 10 },
        { "{\"rate\":0.5,\"count\":3,\"sensors\":1}", 4000, 3 },
    };

    for (size_t i = 0; i < ARRAY_LEN(paces); i++)
        source_world_run_on(SL_LOOP_SIM, check_pace, &paces[i]);
}

/* Catches a rate that floods the channel once it is free again. */
SUSPENDS static void check_debt(SourceWorld *world)
{
    source_world_start(world, &source_sim, "{\"rate\":1000}");
    source_world_wait_rows(world, 100);
    source_world_set_full(world, true);
    EXPECT_OK(sl_sleep_ms(60000));
    source_world_set_full(world, false);
    EXPECT_OK(sl_sleep_ms(10));
    EXPECT(world->rows < 1300);
    EXPECT_OK(source_world_stop(world));
}

TEST(debt)
{
    source_world_run_on(SL_LOOP_SIM, check_debt, NULL);
}

/* Catches settings that are taken and make no sense. */
SUSPENDS static void check_refusals(SourceWorld *world)
{
    source_world_start(world, &source_sim, "{\"late\":0.9,\"malformed\":0.9}");
    EXPECT_ERR(source_world_join(world), -ERR_INVALID, "together");
    source_world_start(world, &source_sim, "{\"start\":\"yesterday\"}");
    EXPECT_ERR(source_world_join(world), -ERR_INVALID, "start");
    source_world_start(world, &source_sim, "{\"start\":\"0999-01-01T00:00:00Z\"}");
    EXPECT_ERR(source_world_join(world), -ERR_INVALID, "1678");
}

TEST(refusals)
{
    source_world_run(check_refusals);
}

/* The table of settings is in order, and a text gives the same as an object. */
TEST(texts)
{
    AUTO(buf_deinit) Buf json = { 0 };

    EXPECT_OK(schema_check(source_sim.args));
    EXPECT(source_driver_find(STR_C("sim:sensors=5")) == &source_sim);
    EXPECT_OK(
        source_from_text(&source_sim, STR_C("sim:sensors=5,rate=2.5,out_of_order=0.1"), &json));
    EXPECT_STR(buf_str(&json), STR_C("{\"sensors\":5,\"rate\":2.5,\"out_of_order\":0.1}"));
}

TEST_MAIN()
