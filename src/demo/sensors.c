/*
 * A crowd of sensors whose readings come as a stream.
 *
 *   /sensors.ndjson   /sensors.lp   /sensors.csv      ?sensors=1000&rate=100&count=0&late=0.02 …
 *   /sensors/         what they take
 *
 * The readings are those of codec/sensors.h, which the source sim of ingest has too: the same
 * settings give the same readings there and here, in whatever form. What is asked for in the query
 * is one table, from which the page is made as well.
 */
#include "demo/demo_int.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "codec/sensors.h"
#include "codec/time_text.h"
#include "codec/url.h"

#define PIECE_BYTES   (32 << 10)
#define TICK_MS       10 /* between two looks at the clock */
#define QUERY_PAIRS   24
#define EXAMPLE_LINES 3

typedef struct SensorsQuery {
    int64_t sensors;
    int64_t count;
    int64_t from;
    double rate;
    int64_t seed;
    Str start;
    int64_t interval_ms;
    double duplicated;
    double late;
    double out_of_order;
    double malformed;
    double out_of_range;
    double gaps;
} SensorsQuery;

#define FIELD_SHARE(member, text)                                                         \
    FIELD_REAL(SensorsQuery, member, text, .real_range = REAL_RANGE(0, SENSORS_RATE_MAX), \
               .default_text = "0")

static const SchemaField fields[] = {
    FIELD_INT(SensorsQuery, sensors, "how many there are; they take turns",
              .range = RANGE(1, LIMIT_DEMO_SENSORS), .default_text = "1000"),
    FIELD_INT(SensorsQuery, count, "readings, missing ones counted; 0: for ever",
              .range = AT_LEAST(0), .default_text = "1000"),
    FIELD_INT(SensorsQuery, from, "number of the first reading", .range = AT_LEAST(0),
              .default_text = "0"),
    FIELD_REAL(SensorsQuery, rate, "readings a second; 0: as fast as they are read",
               .real_range = REAL_RANGE(0, 1e9), .default_text = "0"),
    FIELD_INT(SensorsQuery, seed, "decides who measures what; the playground's unless given",
              .range = AT_LEAST(0), .absent = -1),
    FIELD_STR(SensorsQuery, start, "time of reading 0: RFC 3339 or now",
              .default_text = "2026-01-01T00:00:00Z"),
    FIELD_DURATION(SensorsQuery, interval_ms, "interval",
                   "from one reading of a sensor to its next", .range = RANGE(1, 86400000),
                   .default_text = "1s"),
    FIELD_SHARE(duplicated, "share that comes a second time"),
    FIELD_SHARE(late, "share that is 1 to 31 intervals old"),
    FIELD_SHARE(out_of_order, "share that comes 1 to 32 turns after its own"),
    FIELD_SHARE(malformed, "share that is a line and no reading"),
    FIELD_SHARE(out_of_range, "share with a value far from 0 to 100"),
    FIELD_SHARE(gaps, "share that never comes: sensors fall silent for a while"),
};

static const Schema query_schema = SCHEMA(SensorsQuery, fields, "What a stream of readings takes.");

/* ---- what is asked for ----------------------------------------------------------------------- */

/* "--late=0.02" of the pair late=0.02; '_' of a name is '-' in its flag. */
static const char *flag_of(Arena *arena, const UrlPair *pair)
{
    AUTO(buf_deinit) Buf flag = { 0 };

    ADD(&flag, "--");
    for (size_t i = 0; i < pair->name.len; i++)
        buf_add_char(&flag, pair->name.data[i] == '_' ? '-' : pair->name.data[i]);
    ADD(&flag, "=");
    buf_add_str(&flag, pair->value);
    return arena_copy_c(arena, buf_str(&flag));
}

static int read_query(const DemoCall *call, SensorsQuery *query)
{
    Arena *arena = call->request->arena;
    SchemaFlags set = { .schema = &query_schema, .out = query };
    Str rest = call->request->query;
    const char *words[QUERY_PAIRS];
    UrlPair pair;
    size_t n = 0;
    int r = 0;

    while (n < QUERY_PAIRS && (r = url_query_next(arena, &rest, &pair)) == 0) {
        words[n] = flag_of(arena, &pair);
        if (!words[n++])
            return fail(-ENOMEM, "no memory for the query");
    }
    return r < 0 ? r : schema_from_flags(arena, &set, 1, words, n);
}

static int make_sensors(const DemoCall *call, const SensorsQuery *query, Sensors **ret_sensors)
{
    int64_t start_ms = sl_wall_ms(), seed = query->seed;
    SensorsOpts opts = { .n_sensors = (uint64_t) query->sensors,
                         .interval_ns = query->interval_ms * NS_PER_MS,
                         .duplicated = query->duplicated,
                         .gaps = query->gaps,
                         .malformed = query->malformed,
                         .out_of_range = query->out_of_range,
                         .late = query->late,
                         .out_of_order = query->out_of_order };
    int r = str_eq_c(query->start, "now") ? 0 : time_parse_rfc3339(query->start, &start_ms);

    if (r < 0)
        return wrap(r, "start");
    if (start_ms > INT64_MAX / NS_PER_MS || start_ms < INT64_MIN / NS_PER_MS)
        return fail(-ERR_INVALID, "start: must be between the years 1678 and 2261");
    opts.start_ns = start_ms * NS_PER_MS;
    opts.seed = seed < 0 ? call->demo->shop.seed : (uint64_t) seed;
    return sensors_new(&opts, ret_sensors);
}

/* ---- the streams ----------------------------------------------------------------------------- */

typedef struct Pace {
    double per_ns; /* 0: none */
    int64_t since_ns;
    uint64_t from;
} Pace;

/* How far the stream may be by now. */
static uint64_t due_of(const Pace *pace, uint64_t end)
{
    double passed = (double) (sl_clock_ns() - pace->since_ns) * pace->per_ns;

    if (pace->per_ns <= 0 || passed >= (double) (end - pace->from))
        return end;
    return MIN(end, pace->from + 1 + (uint64_t) passed);
}

SUSPENDS static int send_readings(DemoCall *call, const Sensors *sensors, const SensorsQuery *query)
{
    SensorFormat format = (SensorFormat) call->page->number;
    uint64_t next = (uint64_t) query->from;
    uint64_t end = query->count > 0 ? next + (uint64_t) query->count : UINT64_MAX;
    Pace pace = { query->rate / NS_PER_S, sl_clock_ns(), next };
    AUTO(buf_deinit) Buf piece = { 0 };
    int r = http_response_begin(call->response);

    sensors_write_head(format, &piece);
    while (r == 0 && (next < end || piece.len > 0)) {
        uint64_t due = due_of(&pace, end);

        while (next < due && piece.len < PIECE_BYTES) {
            SensorReading reading;

            sensors_read(sensors, next++, &reading);
            sensors_write(sensors, &reading, format, &piece);
        }
        r = buf_check(&piece);
        if (r == 0 && piece.len > 0)
            r = http_response_write(call->response, buf_str(&piece));
        else if (r == 0)
            r = next < due ? sl_checkpoint() : sl_sleep_ms(TICK_MS);
        buf_reset(&piece);
    }
    return r;
}

/* Say why a query is refused. */
static int refuse(DemoCall *call, int r)
{
    AUTO(buf_deinit) Buf html = { 0 };
    Err err;
    int status = err_http_status(r);

    err_take(r, &err);
    demo_add_html(&html, str_from(err.text, (size_t) err.len));
    buf_add_char(&html, '\0');
    r = buf_check(&html);
    return r < 0 ? r : demo_plain(call, status < 500 ? 400 : status, html.data);
}

SUSPENDS static int answer_stream(DemoCall *call)
{
    AUTO(sensors_free) Sensors *sensors = NULL;
    SensorsQuery query;
    int r = read_query(call, &query);

    if (r == 0)
        r = make_sensors(call, &query, &sensors);
    if (r < 0)
        return refuse(call, r);
    call->response->content_type = str_from_c(call->page->text);
    r = http_request_watch(call->request);
    return r < 0 ? r : send_readings(call, sensors, &query);
}

/* ---- the page about them --------------------------------------------------------------------- */

static void add_fields(Buf *out)
{
    ADD(out, "<table>\n<tr><th>in the query</th><th>is</th><th>otherwise</th></tr>\n");
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        buf_printf(out, "<tr><td><code>%s</code></td><td>%s</td><td>%s</td></tr>\n", fields[i].name,
                   fields[i].summary, fields[i].default_text ? fields[i].default_text : "");
    }
    ADD(out, "</table>\n");
}

static void add_kinds(Buf *out)
{
    ADD(out, "<p>A sensor measures one of:");
#define X(name, word, unit, mean, spread, wave, walk, noise) \
    buf_add_c(out, " <code>" word "</code> in " unit ",");
    SENSOR_KINDS(X)
#undef X
    ADD(out, " always from 0 to 100.</p>\n");
}

/* The first readings of every form. */
static int add_examples(DemoCall *call)
{
    AUTO(sensors_free) Sensors *sensors = NULL;
    SensorsQuery query = {
        .sensors = 1000, .interval_ms = 1000, .seed = -1, .start = STR("2026-01-01T00:00:00Z")
    };
    int r = make_sensors(call, &query, &sensors);

    for (int format = SENSORS_INFLUX; r == 0 && format <= SENSORS_CSV; format++) {
        AUTO(buf_deinit) Buf text = { 0 };

        sensors_write_head((SensorFormat) format, &text);
        for (uint64_t i = 0; i < EXAMPLE_LINES; i++) {
            SensorReading reading;

            sensors_read(sensors, i, &reading);
            sensors_write(sensors, &reading, (SensorFormat) format, &text);
        }
        ADD(call->out, "<pre>");
        demo_add_html(call->out, buf_str(&text));
        ADD(call->out, "</pre>\n");
    }
    return r;
}

static int answer_about(DemoCall *call)
{
    Buf *out = call->out;
    int r;

    demo_html_begin(call, "Sensors");
    ADD(out,
        "<p>A crowd of sensors that reports for ever, or as long as you like: "
        "<a href=\"/sensors.ndjson\">JSON lines</a>, <a href=\"/sensors.lp\">line protocol</a>, "
        "<a href=\"/sensors.csv\">CSV</a>. The same settings give the same readings, always, "
        "and those of <code>sluice ingest --source sim:</code>.</p>\n");
    add_fields(out);
    add_kinds(out);
    r = add_examples(call);
    ADD(out, "<pre>curl -N '");
    buf_add_str(out, call->origin);
    ADD(out, "/sensors.lp?rate=1000&amp;count=0&amp;start=now&amp;late=0.02&amp;malformed=0.001'"
             "</pre>\n");
    demo_html_end(call);
    return r;
}

static const DemoPage pages[] = {
    { .path = "/sensors/",
      .kind = DEMO_PLAIN,
      .answer = answer_about,
      .summary = "what the sensors report, and what they can be asked" },
    { .path = "/sensors.lp",
      .example = "?sensors=100&count=1000",
      .kind = DEMO_PLAIN,
      .number = SENSORS_INFLUX,
      .text = "text/plain; charset=utf-8",
      .answer = answer_stream,
      .summary = "readings as line protocol" },
    { .path = "/sensors.ndjson",
      .example = "?sensors=100&rate=50&count=100",
      .kind = DEMO_PLAIN,
      .number = SENSORS_NDJSON,
      .text = "application/x-ndjson",
      .answer = answer_stream,
      .summary = "readings as JSON, one on each line" },
    { .path = "/sensors.csv",
      .example = "?sensors=100&count=1000&malformed=0.01",
      .kind = DEMO_PLAIN,
      .number = SENSORS_CSV,
      .text = "text/csv; charset=utf-8; header=present",
      .answer = answer_stream,
      .summary = "readings as CSV" },
};

const DemoPages demo_sensors_pages = DEMO_PAGES("Sensors", pages);
