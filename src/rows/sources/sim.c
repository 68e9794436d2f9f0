/*
 * sim: sensors that do not exist, for trying out, for tests and for measuring.
 *
 * Readings are decided by the settings and their number (codec/sensors.h). Rows are made directly:
 * time, sensor, kind, value. A malformed reading is a refused row that carries its text, as if it
 * had been decoded. The position is the number of the next reading, so that a run that was killed
 * goes on exactly where the sinks are.
 *
 * The track's name holds a hash of the settings that decide the readings and the time at which the
 * first one was due. So other settings begin anew, and a run that began "now" goes on with the
 * times it had.
 *
 * Names of sensors are not copied for each row: all parcels hold one payload with the names of the
 * whole crowd. Only a parcel with malformed readings, whose payload is their text, gets a copy of
 * the names it uses.
 */
#include "rows/source.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/map.h"
#include "codec/json.h"
#include "codec/sensors.h"
#include "codec/time_text.h"

#include <stdio.h>

#define TRACK_BYTES 200

typedef struct SimArgs {
    int64_t sensors;
    int64_t count;
    double rate;
    int64_t seed;
    Str start;
    int64_t interval_ms;
    double duplicated;
    double gaps;
    double malformed;
    double out_of_range;
    double late;
    double out_of_order;
} SimArgs;

#define FIELD_SHARE(member, text)                                                    \
    FIELD_REAL(SimArgs, member, text, .real_range = REAL_RANGE(0, SENSORS_RATE_MAX), \
               .default_text = "0")

static const SchemaField fields[] = {
    FIELD_INT(SimArgs, sensors, "how many there are; they take turns",
              .range = RANGE(1, LIMIT_SENSORS), .default_text = "1000"),
    FIELD_INT(SimArgs, count, "end after so many readings; 0: never", .range = AT_LEAST(0),
              .default_text = "0"),
    FIELD_REAL(SimArgs, rate, "readings a second, evenly; 0: as fast as they are taken",
               .real_range = REAL_RANGE(0, 1e9), .default_text = "0"),
    FIELD_INT(SimArgs, seed, "decides who measures what, and what is wrong with it",
              .range = AT_LEAST(0), .default_text = "1"),
    FIELD_STR(SimArgs, start,
              "time of the first reading: RFC 3339 or `now`; now with a rate, otherwise the "
              "beginning of 2026",
              .holder = "TIME"),
    FIELD_DURATION(SimArgs, interval_ms, "interval",
                   "from one reading of a sensor to its next; as the rate makes it, otherwise 1s",
                   .range = AT_LEAST(0)),
    FIELD_SHARE(duplicated, "share of readings that come a second time"),
    FIELD_SHARE(late, "share that is 1 to 31 intervals old when it comes"),
    FIELD_SHARE(out_of_order, "share that comes 1 to 32 turns after its own"),
    FIELD_SHARE(malformed, "share that is a text and no reading"),
    FIELD_SHARE(out_of_range, "share whose value is far from 0 to 100"),
    FIELD_SHARE(gaps, "share that never comes: sensors fall silent for a while"),
};

static const Schema args_schema = SCHEMA(SimArgs, fields, "Sensors that do not exist.");

typedef struct Sim {
    Source *source;
    const SimArgs *args;
    SensorsOpts opts;
    Sensors *sensors;
    Payload *names; /* of all sensors */
    size_t name_len;
    Shape *shape;
    size_t time, sensor, kind, value; /* columns */
    char track[TRACK_BYTES];
    uint64_t next; /* number of the next reading */
    uint64_t end;
    Buf texts; /* of malformed readings of the parcel that is being made */
} Sim;

/* ---- settings -------------------------------------------------------------------------------- */

static uint64_t hash_options(const SensorsOpts *opts)
{
    double shares[] = { opts->duplicated,   opts->gaps, opts->malformed,
                        opts->out_of_range, opts->late, opts->out_of_order };
    uint64_t hash = hash_bytes(shares, sizeof(shares), opts->seed, opts->n_sensors);

    return hash_bytes(&opts->interval_ns, sizeof(opts->interval_ns), hash, opts->seed);
}

/* When a run with positions began whose tracks are called PREFIX and that time; FALLBACK_NS when
 * there is none. */
static int64_t find_earlier_start(const Source *source, Str prefix, int64_t fallback_ns)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    int64_t start_ns = fallback_ns;
    JsonDoc doc;

    if (source->positions.len == 0 || json_parse(&arena, source->positions, &doc) < 0)
        return fallback_ns;
    for (JsonIter it = json_iter(doc.root); json_next(&it);) {
        if (!str_starts(it.key, prefix) ||
            str_to_i64(str_sub(it.key, prefix.len, SIZE_MAX), INT64_MIN, INT64_MAX, &start_ns) < 0)
            continue;
        return start_ns;
    }
    return fallback_ns;
}

static int find_start(const Sim *sim, Str prefix, int64_t *ret_start_ns)
{
    Str start = sim->args->start;
    int64_t start_ms = 0;
    int r;

    if (start.len == 0)
        start = sim->args->rate > 0 ? str_from_c("now") : str_from_c("2026-01-01T00:00:00Z");
    if (str_eq_c(start, "now")) {
        *ret_start_ns = find_earlier_start(sim->source, prefix, sl_wall_ms() * NS_PER_MS);
        return 0;
    }
    r = time_parse_rfc3339(start, &start_ms);
    if (r < 0)
        return wrap(r, "start");
    if (start_ms > INT64_MAX / NS_PER_MS || start_ms < INT64_MIN / NS_PER_MS)
        return fail(-ERR_INVALID, "start: must be between the years 1678 and 2261");
    *ret_start_ns = start_ms * NS_PER_MS;
    return 0;
}

static int64_t interval_of(const SimArgs *args)
{
    double interval_ns = (double) NS_PER_S;

    if (args->interval_ms > 0)
        interval_ns = (double) args->interval_ms * NS_PER_MS;
    else if (args->rate > 0)
        interval_ns = (double) args->sensors / args->rate * NS_PER_S;
    return (int64_t) MIN(interval_ns, 9e18);
}

static int read_settings(Sim *sim)
{
    const SimArgs *args = sim->args;
    SensorsOpts *opts = &sim->opts;
    Str name = sim->source->name;
    int n, r;

    *opts = (SensorsOpts){ .seed = (uint64_t) args->seed,
                           .n_sensors = (uint64_t) args->sensors,
                           .interval_ns = interval_of(args),
                           .duplicated = args->duplicated,
                           .gaps = args->gaps,
                           .malformed = args->malformed,
                           .out_of_range = args->out_of_range,
                           .late = args->late,
                           .out_of_order = args->out_of_order };
    n = snprintf(sim->track, TRACK_BYTES, "%.*s/sim-%016llx@", (int) MIN(name.len, (size_t) 100),
                 name.data, (unsigned long long) hash_options(opts));
    r = find_start(sim, str_from(sim->track, (size_t) n), &opts->start_ns);
    if (r < 0)
        return r;
    (void) snprintf(sim->track + n, TRACK_BYTES - (size_t) n, "%lld", (long long) opts->start_ns);
    sim->next = source_start_position(sim->source, str_from_c(sim->track));
    sim->end = args->count > 0 ? (uint64_t) args->count : UINT64_MAX;
    return 0;
}

static int find_columns(Sim *sim)
{
    Str table = sim->source->decode.table, none = str_from(NULL, 0);
    int r = shapes_get(sim->source->shapes, table.len > 0 ? table : str_from_c("readings"),
                       &sim->shape);

    if (r == 0)
        r = shape_add(sim->shape, str_from_c("time"), ROW_TIME, none, &sim->time);
    if (r == 0)
        r = shape_add(sim->shape, str_from_c("sensor"), ROW_TEXT, none, &sim->sensor);
    if (r == 0)
        r = shape_add(sim->shape, str_from_c("kind"), ROW_TEXT, none, &sim->kind);
    if (r == 0)
        r = shape_add(sim->shape, str_from_c("value"), ROW_REAL, none, &sim->value);
    return r;
}

/* On the pool: millions of names take a while. */
static int make_sensors(void *arg)
{
    Sim *sim = arg;
    int r = sensors_new(&sim->opts, &sim->sensors);

    if (r < 0)
        return r;
    sim->names = payload_copy(sensors_names(sim->sensors));
    sim->name_len = sensors_name(sim->sensors, 0).len;
    return buf_check(&sim->names->bytes);
}

/* ---- parcels --------------------------------------------------------------------------------- */

static void add_row(Sim *sim, Parcel *parcel, const SensorReading *reading)
{
    RowPlace place = { .position = sim->next, .line = sim->next };
    RowValue *row = parcel_add(parcel, &place);
    const char *name = sim->names->bytes.data + reading->sensor * sim->name_len;

    row[sim->time] = row_time_ns(reading->time_ns);
    row[sim->sensor] = row_text(str_from(name, sim->name_len));
    row[sim->kind] = row_text(sensor_kind_name(reading->kind));
    row[sim->value] = row_real(sensor_value(reading), str_from(NULL, 0));
}

COLD static void add_malformed(Sim *sim, Parcel *parcel, const SensorReading *reading)
{
    size_t from = sim->texts.len;
    RowPlace place = { .position = sim->next, .line = sim->next, .offset = (uint32_t) from };

    sensors_write(sim->sensors, reading, SENSORS_INFLUX, &sim->texts);
    place.len = (uint32_t) (sim->texts.len - from) - 1; /* without the line end */
    (void) parcel_add(parcel, &place);
}

/* Refuse the rows that have a text: PARCEL's payload becomes the texts, with a copy of the names
 * behind them. */
COLD static void refuse_malformed(Sim *sim, Parcel *parcel)
{
    size_t n = parcel_count(parcel);

    (void) buf_reserve(&sim->texts, n * sim->name_len); /* so that it does not move */
    for (size_t i = 0; i < n; i++) {
        RowValue *row = parcel_row(parcel, i);
        const char *name = sim->texts.data + sim->texts.len;

        if (parcel->places[i].len > 0)
            continue;
        buf_add_str(&sim->texts, row[sim->sensor].text);
        row[sim->sensor].text.data = name;
    }
    payload_unref(parcel->payload);
    parcel->payload = payload_take(&sim->texts);
    for (size_t i = 0; i < n; i++) {
        if (parcel->places[i].len > 0)
            parcel_refuse(parcel, i, "parse", "malformed", "the sensor sent what is no reading");
    }
    parcel_compact(parcel);
}

/* The next N readings, at most LIMIT_ROW_BATCH. */
static Parcel *make_parcel(Sim *sim, uint64_t n)
{
    Source *source = sim->source;
    Receipt *receipt = receipt_new(source->index, str_from_c("sim"), str_from_c(sim->track));
    Parcel *parcel;

    receipt->received_ns = sl_wall_ms() * NS_PER_MS;
    receipt->arrived_ns = sl_now_ns();
    parcel = parcel_new(source->pool, sim->shape, receipt, sim->names);
    while (n-- > 0) {
        SensorReading reading;

        sensors_read(sim->sensors, sim->next++, &reading);
        if (UNLIKELY(reading.fault == SENSOR_FAULT_MISSING))
            continue;
        if (UNLIKELY(reading.fault == SENSOR_FAULT_MALFORMED))
            add_malformed(sim, parcel, &reading);
        else
            add_row(sim, parcel, &reading);
    }
    receipt->position = sim->next;
    if (sim->texts.len > 0)
        refuse_malformed(sim, parcel);
    receipt_seal(receipt);
    return parcel;
}

/* ---- pace ------------------------------------------------------------------------------------ */

/* Wait until DUE_NS or until it shall stop. 0 or -ECANCELED. */
SUSPENDS static int wait_until(Source *source, int64_t due_ns)
{
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .deadline_ns = due_ns);
    r = sl_event_wait(source->stopping);
    r = sl_scope_end(&scope, r);
    return r == -ETIMEDOUT ? 0 : r;
}

/* As fast as they are taken. */
SUSPENDS static int run_freely(Sim *sim)
{
    int r = 0;

    while (r == 0 && sim->next < sim->end && !source_is_stopping(sim->source))
        r = source_put(sim->source,
                       make_parcel(sim, MIN(sim->end - sim->next, (uint64_t) LIMIT_ROW_BATCH)));
    return r;
}

/* Between two looks at the clock: some readings, unless that takes too long. */
static int64_t tick_of(double per_ns)
{
    int64_t tick_ns = MIN((int64_t) (LIMIT_SIM_TICK_ROWS / per_ns), LIMIT_SIM_TICK_MS * NS_PER_MS);

    return MAX(MAX(tick_ns, NS_PER_MS), (int64_t) (1 / per_ns));
}

/* At an even pace. What could not be handed on in its time because the channel was full is made up
 * for, but no more than LIMIT_SIM_DEBT_MS of it. */
SUSPENDS static int run_paced(Sim *sim)
{
    double per_ns = sim->args->rate / NS_PER_S;
    uint64_t debt_max = (uint64_t) ((double) LIMIT_SIM_DEBT_MS * NS_PER_MS * per_ns) + 1;
    int64_t tick_ns = tick_of(per_ns), since_ns = sl_clock_ns();
    uint64_t from = sim->next;
    int r = 0;

    while (r == 0 && sim->next < sim->end && !source_is_stopping(sim->source)) {
        int64_t now_ns = sl_clock_ns();
        uint64_t due = from + 1 + (uint64_t) ((double) (now_ns - since_ns) * per_ns);

        if (due <= sim->next) {
            r = wait_until(sim->source, now_ns + tick_ns);
        } else if (due - sim->next > debt_max) {
            since_ns = now_ns;
            from = sim->next;
        } else {
            r = source_put(sim->source, make_parcel(sim, MIN(MIN(due, sim->end) - sim->next,
                                                             (uint64_t) LIMIT_ROW_BATCH)));
        }
    }
    return r;
}

SUSPENDS static int sim_run(Source *source)
{
    Sim sim = { .source = source, .args = source->args };
    int r = read_settings(&sim);

    if (r == 0)
        r = find_columns(&sim);
    if (r == 0)
        r = sl_offload(make_sensors, &sim, .name = "sensors");
    if (r == 0) {
        source_say(source, true, "sensors are at work");
        r = sim.args->rate > 0 ? run_paced(&sim) : run_freely(&sim);
    }
    buf_deinit(&sim.texts);
    payload_unref(sim.names);
    sensors_free(sim.sensors);
    return r;
}

const SourceDriver source_sim = {
    .name = "sim",
    .summary = "sensors that do not exist, with readings that are late, doubled or nonsense",
    .args = &args_schema,
    .has_position = true,
    .is_endless = true,
    .run = sim_run,
};
