/*
 * Readings from a seed.
 *
 * Everything about reading I comes from the bits of two hashes: one of I (which fault, how much
 * noise), one of its sensor (kind, mean, phase of the wave). The walk between two knots, 64 rounds
 * from each other, is a line between hashes of the knots. So nothing is remembered from reading to
 * reading, and there is no division: turns are counted by a multiplication with 2^64 / sensors.
 *
 * Times. A reading is due at start + round * interval + sensor * step, where step is the interval's
 * share of a sensor. One that comes too late has its time moved back by K turns (or rounds) and by
 * K (or 32 + K) parts of 64 of a step: so the part of a step in a time tells K and which of the two
 * it was, and no two readings of a sensor have the same time.
 *
 * A duplicate is a reading up to 64 turns back that is neither missing nor a duplicate itself;
 * where that one is, the one before it, and so on. Reading 0 is always there.
 */
#include "codec/sensors.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/time_text.h"

#define ONE             (UINT64_C(1) << 32) /* the share 1 */
#define GOLDEN          UINT64_C(0x9e3779b97f4a7c15)
#define KNOT_BITS       6  /* rounds from one knot of the walk to the next: 64 */
#define WAVE_BITS       20 /* 4096 rounds to a wave: 2^32 >> 20 */
#define SILENCE_BITS    5
#define NAME_PREFIX     "sensor-"
#define NAME_DIGITS_MIN 4
#define BACK_TURNS      64 /* a duplicate repeats one of so many */

STATIC_ASSERT(1 << SILENCE_BITS == SENSORS_SILENCE, "a silence is a run of rounds");

typedef struct SensorTraits {
    Str name;
    Str unit;
    int32_t mean, spread, wave, walk, noise;
} SensorTraits;

static const SensorTraits kinds[] = {
#define X(name, word, unit, mean, spread, wave, walk, noise) \
    { STR(word), STR(unit), mean, spread, wave, walk, noise },
    SENSOR_KINDS(X)
#undef X
};

struct Sensors {
    uint64_t seed;
    uint64_t n;
    uint64_t inverse; /* 2^64 / n */
    int64_t start_ns;
    uint64_t interval_ns;
    uint64_t step_ns;    /* from turn to turn */
    uint64_t duplicated; /* shares of ONE */
    uint64_t missing;
    uint64_t malformed; /* sums: of malformed, and out of range, and … */
    uint64_t out_of_range;
    uint64_t late;
    uint64_t out_of_order;
    char *names; /* all behind each other; owned */
    size_t name_len;
};

static inline uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static inline uint64_t mix_reading(const Sensors *sensors, uint64_t number)
{
    return mix(sensors->seed + number * GOLDEN);
}

static inline uint64_t mix_sensor(const Sensors *sensors, uint64_t sensor)
{
    return mix((sensors->seed ^ 0x632be59bd9b4e019u) + sensor * 0xd1342543de82ef95u);
}

/* NUMBER divided by the number of sensors: the round, and whose turn it is. */
static inline uint64_t split(const Sensors *sensors, uint64_t number, uint64_t *ret_sensor)
{
    uint64_t round = (uint64_t) (((unsigned __int128) number * sensors->inverse) >> 64);
    uint64_t rest = number - round * sensors->n;

    while (rest >= sensors->n) {
        rest -= sensors->n;
        round++;
    }
    *ret_sensor = rest;
    return round;
}

/* ---- what is wrong with a reading ------------------------------------------------------------ */

static inline bool is_duplicate(const Sensors *sensors, uint64_t number, uint64_t bits)
{
    return (bits & (ONE - 1)) < sensors->duplicated && number > 0;
}

static bool is_missing(const Sensors *sensors, uint64_t number)
{
    uint64_t sensor, round = split(sensors, number, &sensor);
    uint64_t silence = mix_sensor(sensors, sensor) + (round >> SILENCE_BITS) * GOLDEN;

    return (mix(silence) & (ONE - 1)) < sensors->missing && number > 0;
}

/* The reading that the duplicate NUMBER repeats. */
static uint64_t find_original(const Sensors *sensors, uint64_t number, uint64_t bits)
{
    uint64_t back = 1 + (bits >> 32) % BACK_TURNS;

    number -= MIN(back, number);
    while (is_duplicate(sensors, number, mix_reading(sensors, number)) ||
           (sensors->missing > 0 && is_missing(sensors, number)))
        number--;
    return number;
}

static SensorFault choose_fault(const Sensors *sensors, uint64_t bits)
{
    uint64_t choice = bits >> 32;

    if (LIKELY(choice >= sensors->out_of_order))
        return SENSOR_FAULT_NONE;
    if (choice < sensors->malformed)
        return SENSOR_FAULT_MALFORMED;
    if (choice < sensors->out_of_range)
        return SENSOR_FAULT_OUT_OF_RANGE;
    return choice < sensors->late ? SENSOR_FAULT_LATE : SENSOR_FAULT_OUT_OF_ORDER;
}

/* How long before its turn a reading's time is; MORE are bits that nothing else depends on. */
static uint64_t find_delay(const Sensors *sensors, SensorFault fault, uint64_t more)
{
    uint64_t part = sensors->step_ns / 64;

    if (fault == SENSOR_FAULT_LATE) {
        uint64_t rounds = 1 + more % 31;

        return rounds * sensors->interval_ns + (32 + rounds) * part;
    }
    if (fault == SENSOR_FAULT_OUT_OF_ORDER) {
        uint64_t turns = 1 + more % 32;

        return turns * sensors->step_ns + turns * part;
    }
    return 0;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* A number of -AMOUNT … AMOUNT from 16 bits of BITS. */
static inline int64_t scatter(uint64_t bits, int32_t amount)
{
    return ((int64_t) (bits & 0xffff) - 0x8000) * amount >> 15;
}

/* A wave of parabolas, -2^15 … 2^15, with PHASE as part of 2^32. */
static inline int64_t wave_at(uint32_t phase)
{
    int64_t x = (int32_t) phase >> 16; /* -2^15 … 2^15 */

    return 4 * x * ((1 << 15) - (x < 0 ? -x : x)) >> 15;
}

/* Where the walk of the sensor with hash SELF is in ROUND. */
static inline int64_t walk_at(uint64_t self, uint64_t round, int32_t amount)
{
    uint64_t knot = round >> KNOT_BITS, part = round & ((1u << KNOT_BITS) - 1);
    int64_t from = scatter(mix(self + knot * GOLDEN) >> 40, amount);
    int64_t to = scatter(mix(self + (knot + 1) * GOLDEN) >> 40, amount);

    return from + ((to - from) * (int64_t) part >> KNOT_BITS);
}

static inline int64_t value_at(uint64_t self, const SensorTraits *kind, uint64_t round,
                               uint64_t bits)
{
    uint32_t phase = (uint32_t) (self >> 32) + (uint32_t) (round << WAVE_BITS);

    return kind->mean + scatter(self >> 16, kind->spread) + (wave_at(phase) * kind->wave >> 15) +
           walk_at(self, round, kind->walk) + scatter(bits, kind->noise);
}

static int64_t value_out_of_range(uint64_t more)
{
    int64_t value = 100000 + (int64_t) (more % 100000);

    return more & 1u << 30 ? -value : value;
}

void sensors_read(const Sensors *sensors, uint64_t number, SensorReading *ret_reading)
{
    uint64_t bits = mix_reading(sensors, number), more, round, self;
    SensorReading *reading = ret_reading;

    reading->is_duplicate = false;
    if (UNLIKELY(sensors->missing > 0) && is_missing(sensors, number)) {
        *reading = (SensorReading){ .number = number, .fault = SENSOR_FAULT_MISSING };
        return;
    }
    if (UNLIKELY(is_duplicate(sensors, number, bits))) {
        number = find_original(sensors, number, bits);
        bits = mix_reading(sensors, number);
        reading->is_duplicate = true;
    }
    more = bits * GOLDEN >> 16;
    reading->number = number;
    reading->fault = choose_fault(sensors, bits);
    round = split(sensors, number, &reading->sensor);
    self = mix_sensor(sensors, reading->sensor);
    reading->kind = (SensorKind) ((self & 0xffff) % ARRAY_LEN(kinds));
    reading->hundredths = value_at(self, &kinds[reading->kind], round, more >> 32);
    reading->time_ns = (int64_t) ((uint64_t) sensors->start_ns + round * sensors->interval_ns +
                                  reading->sensor * sensors->step_ns -
                                  find_delay(sensors, reading->fault, more));
    if (UNLIKELY(reading->fault == SENSOR_FAULT_OUT_OF_RANGE))
        reading->hundredths = value_out_of_range(more);
}

/* ---- names ----------------------------------------------------------------------------------- */

Str sensors_name(const Sensors *sensors, uint64_t sensor)
{
    ASSERT(sensor < sensors->n);
    return str_from(sensors->names + sensor * sensors->name_len, sensors->name_len);
}

Str sensors_names(const Sensors *sensors)
{
    return str_from(sensors->names, sensors->n * sensors->name_len);
}

Str sensor_kind_name(SensorKind kind)
{
    return kinds[kind].name;
}

Str sensor_kind_unit(SensorKind kind)
{
    return kinds[kind].unit;
}

static int make_names(Sensors *sensors)
{
    size_t prefix = sizeof(NAME_PREFIX) - 1, n_digits = NAME_DIGITS_MIN;

    for (uint64_t most = 10000; sensors->n > most; most *= 10)
        n_digits++;
    sensors->name_len = prefix + n_digits;
    sensors->names = mem_try(sensors->n * sensors->name_len);
    if (!sensors->names)
        return fail(-ENOMEM, "no memory for the names of %llu sensors",
                    (unsigned long long) sensors->n);
    for (uint64_t i = 0; i < sensors->n; i++) {
        char *name = sensors->names + i * sensors->name_len;
        uint64_t left = i;

        memcpy(name, NAME_PREFIX, prefix);
        for (size_t digit = sensors->name_len; digit > prefix; digit--) {
            name[digit - 1] = (char) ('0' + left % 10);
            left /= 10;
        }
    }
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int check_share(const char *name, double share)
{
    if (share >= 0 && share <= SENSORS_RATE_MAX)
        return 0;
    return fail(-ERR_INVALID, "%s: must be between 0 and %.1f, got %g", name, SENSORS_RATE_MAX,
                share);
}

static int check_opts(const SensorsOpts *opts)
{
    double sum = opts->malformed + opts->out_of_range + opts->late + opts->out_of_order;
    int r = check_share("duplicated", opts->duplicated);

    if (r == 0)
        r = check_share("gaps", opts->gaps);
    if (r == 0)
        r = check_share("malformed", opts->malformed);
    if (r == 0)
        r = check_share("out_of_range", opts->out_of_range);
    if (r == 0)
        r = check_share("late", opts->late);
    if (r == 0)
        r = check_share("out_of_order", opts->out_of_order);
    if (r == 0)
        r = check_share("malformed, out_of_range, late and out_of_order together", sum);
    if (r == 0 && (opts->n_sensors < 1 || opts->n_sensors > LIMIT_SENSORS))
        r = fail(-ERR_INVALID, "sensors: must be between 1 and %llu, got %llu",
                 (unsigned long long) LIMIT_SENSORS, (unsigned long long) opts->n_sensors);
    if (r == 0 && opts->interval_ns < 0)
        r = fail(-ERR_INVALID, "interval: must not be below 0");
    return r;
}

static uint64_t share_of_one(double share)
{
    return (uint64_t) (share * (double) ONE);
}

int sensors_new(const SensorsOpts *opts, Sensors **ret_sensors)
{
    AUTO(sensors_free) Sensors *sensors = NULL;
    int r = check_opts(opts);

    if (r < 0)
        return r;
    sensors = mem_new(Sensors);
    sensors->seed = mix(opts->seed + GOLDEN);
    sensors->n = opts->n_sensors;
    sensors->inverse = UINT64_MAX / opts->n_sensors;
    sensors->start_ns = opts->start_ns;
    sensors->interval_ns = MAX((uint64_t) opts->interval_ns, opts->n_sensors * SENSORS_STEP_NS);
    sensors->step_ns = sensors->interval_ns / opts->n_sensors;
    sensors->duplicated = share_of_one(opts->duplicated);
    sensors->missing = share_of_one(opts->gaps);
    sensors->malformed = share_of_one(opts->malformed);
    sensors->out_of_range = sensors->malformed + share_of_one(opts->out_of_range);
    sensors->late = sensors->out_of_range + share_of_one(opts->late);
    sensors->out_of_order = sensors->late + share_of_one(opts->out_of_order);
    r = make_names(sensors);
    if (r < 0)
        return r;
    *ret_sensors = TAKE(sensors);
    return 0;
}

void sensors_free(Sensors *sensors)
{
    if (!sensors)
        return;
    mem_free(sensors->names);
    mem_free(sensors);
}

/* ---- readings as text ------------------------------------------------------------------------ */

#define ADD(out, literal) buf_add((out), "" literal, sizeof(literal) - 1)

void sensor_write_value(Buf *out, const SensorReading *reading)
{
    uint64_t left = (uint64_t) (reading->hundredths < 0 ? -reading->hundredths
                                                        : reading->hundredths);
    char text[24], *at = text + sizeof(text);

    for (int digit = 0; digit < 3 || left > 0; digit++) {
        *--at = (char) ('0' + left % 10);
        left /= 10;
        if (digit == 1)
            *--at = '.';
    }
    if (reading->hundredths < 0)
        *--at = '-';
    buf_add(out, at, (size_t) (text + sizeof(text) - at));
}

/* "2026-11-21T03:15:00.000000064Z" */
static void write_time(Buf *out, int64_t time_ns)
{
    char text[TIME_TEXT_BYTES], fraction[10];
    int64_t seconds = time_ns / NS_PER_S, ns = time_ns % NS_PER_S;
    Str second;

    if (ns < 0) {
        ns += NS_PER_S;
        seconds--;
    }
    second = time_format_rfc3339(seconds * MS_PER_S, text);
    buf_add(out, second.data, sizeof("2026-11-21T03:15:00") - 1);
    fraction[0] = '.';
    for (size_t digit = 9; digit > 0; digit--) {
        fraction[digit] = (char) ('0' + ns % 10);
        ns /= 10;
    }
    buf_add(out, fraction, sizeof(fraction));
    ADD(out, "Z");
}

static void write_influx(const Sensors *sensors, const SensorReading *reading, Buf *out)
{
    ADD(out, "readings,kind=");
    buf_add_str(out, kinds[reading->kind].name);
    ADD(out, ",sensor=");
    buf_add_str(out, sensors_name(sensors, reading->sensor));
    ADD(out, " value=");
    sensor_write_value(out, reading);
    ADD(out, " ");
    buf_add_i64(out, reading->time_ns);
    ADD(out, "\n");
}

static void write_ndjson(const Sensors *sensors, const SensorReading *reading, Buf *out)
{
    ADD(out, "{\"time\":\"");
    write_time(out, reading->time_ns);
    ADD(out, "\",\"sensor\":\"");
    buf_add_str(out, sensors_name(sensors, reading->sensor));
    ADD(out, "\",\"kind\":\"");
    buf_add_str(out, kinds[reading->kind].name);
    ADD(out, "\",\"value\":");
    sensor_write_value(out, reading);
    ADD(out, "}\n");
}

static void write_csv(const Sensors *sensors, const SensorReading *reading, Buf *out)
{
    write_time(out, reading->time_ns);
    ADD(out, ",");
    buf_add_str(out, sensors_name(sensors, reading->sensor));
    ADD(out, ",");
    buf_add_str(out, kinds[reading->kind].name);
    ADD(out, ",");
    sensor_write_value(out, reading);
    ADD(out, "\n");
}

/* Lines that no reader takes, each for a reason of its own. The sensor's name goes where '#' is. */
static const char *const malformed_influx[] = {
    "readings,kind=temp,sensor=# value=",
    "readings,kind=temp,sensor=# value=21.5.3 1767225600000000000",
    "readings,kind=temp,sensor= value=21.5",
    "readings,kind=temp,sensor=# value=21.5 yesterday",
    "readings,sensor=#",
    "\x01\xff\xfe\x7f#\x80\x02",
    "readings,kind=temp sensor=# value=21.5",
};
static const char *const malformed_ndjson[] = {
    "{\"time\":\"2026-01-01T00:00:00Z\",\"sensor\":\"#",
    "{\"sensor\":\"#\",\"value\":}",
    "{\"sensor\":\"#\",\"value\":21.5.3}",
    "{sensor:#,value:21.5}",
    "[\"#\",21.5",
    "\x01\xff\xfe\x7f#\x80\x02",
    "# rebooted",
};
static const char *const malformed_csv[] = {
    "#",
    "yesterday,#,temp,21.5",
    "2026-13-45T99:00:00Z,#,temp",
    "2026-01-01T00:00:00Z,#,temp,21,5",
    "\x01\xff\xfe\x7f#\x80\x02",
    "# rebooted",
    "2026-01-01T00:00:00Z;#;temp;21.5",
};
#define MALFORMED_LINES 7
STATIC_ASSERT(ARRAY_LEN(malformed_influx) == MALFORMED_LINES, "as many for each format");
STATIC_ASSERT(ARRAY_LEN(malformed_ndjson) == MALFORMED_LINES, "as many for each format");
STATIC_ASSERT(ARRAY_LEN(malformed_csv) == MALFORMED_LINES, "as many for each format");

static void write_malformed(const Sensors *sensors, const SensorReading *reading,
                            const char *const *lines, Buf *out)
{
    Str line = str_from_c(lines[mix_reading(sensors, reading->number) % MALFORMED_LINES]);
    ssize_t mark = str_find(line, '#');

    if (mark >= 0) {
        buf_add(out, line.data, (size_t) mark);
        buf_add_str(out, sensors_name(sensors, reading->sensor));
        line = str_sub(line, (size_t) mark + 1, SIZE_MAX);
    }
    buf_add_str(out, line);
    ADD(out, "\n");
}

void sensors_write(const Sensors *sensors, const SensorReading *reading, SensorFormat format,
                   Buf *out)
{
    static const char *const *const malformed[] = { malformed_influx, malformed_ndjson,
                                                    malformed_csv };

    if (reading->fault == SENSOR_FAULT_MISSING)
        return;
    if (reading->fault == SENSOR_FAULT_MALFORMED)
        return write_malformed(sensors, reading, malformed[format], out);
    switch (format) {
    case SENSORS_INFLUX: write_influx(sensors, reading, out); break;
    case SENSORS_NDJSON: write_ndjson(sensors, reading, out); break;
    case SENSORS_CSV: write_csv(sensors, reading, out); break;
    }
}

void sensors_write_head(SensorFormat format, Buf *out)
{
    if (format == SENSORS_CSV)
        ADD(out, "time,sensor,kind,value\n");
}
