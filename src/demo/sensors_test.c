/*
 * The playground's sensors: the streams hold the readings of the crowd, at the pace that was asked
 * for, with the faults that were asked for, and what makes no sense is refused in words.
 */
#include "demo/talk_int.h"

#include "codec/sensors.h"

/* What the codec gives for the same settings. */
static void expected(const SensorsOpts *opts, SensorFormat format, uint64_t from, uint64_t to,
                     Buf *out)
{
    AUTO(sensors_free) Sensors *sensors = NULL;

    EXPECT_OK(sensors_new(opts, &sensors));
    sensors_write_head(format, out);
    for (uint64_t i = from; i < to; i++) {
        SensorReading reading;

        sensors_read(sensors, i, &reading);
        sensors_write(sensors, &reading, format, out);
    }
}

static void expect_stream(const char *path, const char *type, const SensorsOpts *opts,
                          SensorFormat format, uint64_t from, uint64_t to)
{
    AUTO(buf_deinit) Buf want = { 0 };
    Talk talk = { 0 };

    expected(opts, format, from, to, &want);
    get(&talk, path);
    EXPECT_EQ(talk.status, 200);
    EXPECT(talk.is_ended);
    expect_head(&talk, type);
    EXPECT(want.len > 1000);
    EXPECT_STR(talk.body, buf_str(&want));
    talk_end(&talk);
}

/* Catches a stream that holds other readings than the crowd, or is cut. */
TEST(streams_hold_the_readings)
{
    SensorsOpts opts = { .seed = 1,
                         .n_sensors = 1000,
                         .start_ns = INT64_C(1767225600000000000),
                         .interval_ns = NS_PER_S };

    expect_stream("/sensors.lp", "Content-Type: text/plain", &opts, SENSORS_INFLUX, 0, 1000);
    expect_stream("/sensors.csv?count=5000&from=77", "Content-Type: text/csv", &opts, SENSORS_CSV,
                  77, 5077);
    opts = (SensorsOpts){ .seed = 9,
                          .n_sensors = 10,
                          .start_ns = INT64_C(1795230900000000000),
                          .interval_ns = 2 * NS_PER_S,
                          .duplicated = 0.1,
                          .late = 0.1,
                          .out_of_order = 0.1,
                          .malformed = 0.1,
                          .out_of_range = 0.1,
                          .gaps = 0.1 };
    expect_stream(
        "/sensors.ndjson?sensors=10&seed=9&start=2026-11-21T03:15:00Z&interval=2s"
        "&duplicated=0.1&late=0.1&out_of_order=0.1&malformed=0.1&out_of_range=0.1&gaps=0.1"
        "&count=2000",
        "Content-Type: application/x-ndjson", &opts, SENSORS_NDJSON, 0, 2000);
}

/* Catches a pace that is none, and a stream that ends although it should not. */
TEST(pace)
{
    Talk talk = { 0 };

    get(&talk, "/sensors.lp?rate=100&count=500");
    EXPECT(talk.took_ms > 4900 && talk.took_ms < 5200);
    talk.patience_ms = 2000;
    get(&talk, "/sensors.lp?rate=100&count=0&sensors=1");
    EXPECT(!talk.is_ended);
    EXPECT(talk.body.len > 180 * 40 && talk.body.len < 220 * 80);
    talk_end(&talk);
}

/* Catches a query that is taken and makes no sense. */
TEST(refusals)
{
    Talk talk = { 0 };

    get(&talk, "/sensors.lp?late=2");
    EXPECT_EQ(talk.status, 400);
    expect_body(&talk, "--late: ");
    get(&talk, "/sensors.lp?late=0.5&out_of_order=0.5");
    EXPECT_EQ(talk.status, 400);
    expect_body(&talk, "together");
    get(&talk, "/sensors.csv?lat%3Ce=0.5");
    EXPECT_EQ(talk.status, 400);
    EXPECT(!str_contains(talk.body, STR_C("lat<e")));
    get(&talk, "/sensors.csv?start=soon");
    EXPECT_EQ(talk.status, 400);
    get(&talk, "/sensors.csv?sensors=1000000000");
    EXPECT_EQ(talk.status, 400);
    talk_end(&talk);
}

/* Catches a setting that the page about the sensors does not name. */
TEST(the_page_names_everything)
{
    Talk talk = { 0 };

    get(&talk, "/sensors/");
    EXPECT_EQ(talk.status, 200);
    expect_body(&talk, "<code>out_of_order</code>");
    expect_body(&talk, "<code>wind</code> in m/s");
    expect_body(&talk, "readings,kind=");
    expect_body(&talk, "{&quot;time&quot;:&quot;2026-01-01T00:00:00.000000000Z&quot;");
    expect_body(&talk, "http://shop.test/sensors.lp?rate=1000");
    get(&talk, "/");
    expect_body(&talk, "/sensors/");
    EXPECT(!str_contains(talk.body, STR_C("href=\"/sensors")));
    talk_end(&talk);
}

TEST_MAIN()
