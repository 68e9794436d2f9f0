/*
 * A crowd of sensors that does not exist: readings decided by a seed.
 *
 * Reading number I is a function of the options and of I alone, so that a run may begin anywhere
 * and gives what a run from the beginning gives there. All sensors take turns; each reports once
 * an interval, and reading I is due at start + I * interval / sensors. A sensor measures one thing
 * (a kind), about a mean of its own, with a slow wave, a walk and noise, in hundredths.
 *
 * Some readings are bad, as often as the options ask:
 *
 *   duplicated    comes as an exact repetition of one of the last readings
 *   gaps          never comes: a sensor is silent for SENSORS_SILENCE rounds
 *   malformed     is a text that is no reading
 *   out_of_range  has a value beyond SENSORS_VALUE_MIN … SENSORS_VALUE_MAX, which holds all others
 *   late          has a time of 1 to 31 intervals before its turn
 *   out_of_order  has a time of 1 to 32 turns before its turn
 *
 * The last four exclude each other. Readings that are no duplicates differ in sensor or time.
 */
#pragma once

#include "base/text.h"

/* X(NAME, "word", "unit", mean, spread of the means, wave, walk, noise): hundredths of the unit */
#define SENSOR_KINDS(X)                                     \
    X(TEMP, "temp", "\u00b0C", 2000, 1000, 600, 200, 20)    \
    X(HUMIDITY, "humidity", "%", 5500, 1500, 1000, 500, 50) \
    X(BATTERY, "battery", "V", 370, 20, 10, 15, 2)          \
    X(WIND, "wind", "m/s", 800, 200, 300, 200, 50)

typedef enum SensorKind {
#define SENSOR_KIND_ENUM_(name, word, unit, mean, spread, wave, walk, noise) SENSOR_##name,
    SENSOR_KINDS(SENSOR_KIND_ENUM_)
#undef SENSOR_KIND_ENUM_
} SensorKind;

#define SENSORS_SILENCE   32 /* rounds that a sensor is silent at a time, at least */
#define SENSORS_VALUE_MIN 0  /* of a reading that is not out of range */
#define SENSORS_VALUE_MAX 100
#define SENSORS_STEP_NS   64  /* between two readings, at least */
#define SENSORS_RATE_MAX  0.9 /* of one fault, and of the four that exclude each other together */

typedef struct SensorsOpts {
    uint64_t seed;
    uint64_t n_sensors;  /* 1 … LIMIT_SENSORS */
    int64_t start_ns;    /* since 1970: when reading 0 is due */
    int64_t interval_ns; /* from one reading of a sensor to its next; at least SENSORS_STEP_NS for
                            each sensor, or it is taken as that */
    double duplicated;   /* shares of the readings, 0 … SENSORS_RATE_MAX */
    double gaps;
    double malformed;
    double out_of_range;
    double late;
    double out_of_order;
} SensorsOpts;

/* X(NAME, "word") */
#define SENSOR_FAULTS(X)            \
    X(NONE, "none")                 \
    X(MISSING, "missing")           \
    X(MALFORMED, "malformed")       \
    X(OUT_OF_RANGE, "out_of_range") \
    X(LATE, "late")                 \
    X(OUT_OF_ORDER, "out_of_order")

typedef enum SensorFault {
#define SENSOR_FAULT_ENUM_(name, word) SENSOR_FAULT_##name,
    SENSOR_FAULTS(SENSOR_FAULT_ENUM_)
#undef SENSOR_FAULT_ENUM_
} SensorFault;

typedef struct SensorReading {
    uint64_t number; /* of the reading that this is: an earlier one when it is a duplicate */
    uint64_t sensor; /* from 0 */
    int64_t time_ns; /* since 1970 */
    int64_t hundredths;
    SensorKind kind;
    SensorFault fault; /* with MISSING nothing comes, with MALFORMED only its text */
    bool is_duplicate;
} SensorReading;

typedef enum SensorFormat { SENSORS_INFLUX, SENSORS_NDJSON, SENSORS_CSV } SensorFormat;

typedef struct Sensors Sensors;

/* A crowd. 0; -ERR_INVALID with words for options out of range, -ENOMEM. */
MUST int sensors_new(const SensorsOpts *opts, Sensors **ret_sensors);
void sensors_free(Sensors *sensors);
DEFINE_AUTO(Sensors *, sensors_free);

/* Reading NUMBER: some tens of nanoseconds. */
void sensors_read(const Sensors *sensors, uint64_t number, SensorReading *ret_reading);

static inline double sensor_value(const SensorReading *reading)
{
    return (double) reading->hundredths / 100;
}

/* "sensor-0007"; lives as long as the crowd, all of one length. */
Str sensors_name(const Sensors *sensors, uint64_t sensor);

/* All names, one behind the other. */
Str sensors_names(const Sensors *sensors);

/* "temp", "°C"; static. */
Str sensor_kind_name(SensorKind kind);
Str sensor_kind_unit(SensorKind kind);

/* The value with its two digits: "21.50". */
void sensor_write_value(Buf *out, const SensorReading *reading);

/*
 * READING as a line with its end: line protocol of the measurement "readings" with tags kind and
 * sensor; an object of JSON; a row of CSV (sensors_write_head before the first). Times of line
 * protocol are nanoseconds, the others RFC 3339. Nothing for one that is missing, and for one that
 * is malformed a line that no reader of the format takes, never with a line end or a quote in it.
 */
void sensors_write(const Sensors *sensors, const SensorReading *reading, SensorFormat format,
                   Buf *out);
void sensors_write_head(SensorFormat format,
                        Buf *out); /* CSV: names of the columns; else nothing */
