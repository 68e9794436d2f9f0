/*
 * The configuration of a pipeline: one object, from a YAML file, from flags, or from a job's
 * argument.
 *
 *   name: readings
 *   sources:
 *     - sim: { sensors: 1000, rate: 50000 }        # a driver and its settings
 *     - mqtt://localhost/sensors/#?qos=1           # or a text
 *   channel: { rows: 100000, bytes: 64MiB, overflow: block }
 *   consumers: { count: 2, key: [sensor] }
 *   steps:
 *     - validate: { columns: { value: { kind: number, min: -40, max: 125 } } }
 *     - filter: value > 0
 *   sinks:
 *     - sqlite:readings.db?table=readings
 *     - { to: postgresql://…, where: "kind == 'temp'", batch: { rows: 10000, age: 100ms } }
 *   dead_letters: dead.jsonl
 *   state: readings.state
 *
 * One entry of sources or steps is an object with one member, whose name is the driver's and whose
 * value its settings; a text; or, for a step whose settings have one positional field, that alone.
 */
#pragma once

#include "base/arena.h"
#include "rows/decode.h"

#include <sluice/schema.h>

/* What happens when the channel is full. */
typedef enum Overflow {
    OVERFLOW_BLOCK,
    OVERFLOW_DROP_NEW,
    OVERFLOW_DROP_OLD,
    OVERFLOW_SPILL
} Overflow;

/* Whether a commit has to survive a loss of power. */
typedef enum PlanSync {
    PLAN_SYNC_AUTO, /* where a producer is told of it and will not send its rows again */
    PLAN_SYNC_ALWAYS,
    PLAN_SYNC_NEVER /* it survives kill -9 all the same */
} PlanSync;

typedef struct ChannelConfig {
    int64_t rows;        /* 0: LIMIT_CHANNEL_ROWS */
    int64_t bytes;       /* 0: LIMIT_CHANNEL_BYTES */
    int overflow;        /* Overflow */
    int64_t spill_bytes; /* on disk, at most; 0: LIMIT_SPILL_BYTES */
    Str spill_dir;       /* empty: below the state's folder */
} ChannelConfig;

typedef struct ConsumersConfig {
    int64_t count;  /* lanes; 1 unless said */
    SchemaList key; /* of Str: columns; none: the source's name */
} ConsumersConfig;

typedef struct BatchConfig {
    int64_t rows;   /* 0: LIMIT_BATCH_ROWS */
    int64_t bytes;  /* 0: LIMIT_BATCH_BYTES */
    int64_t age_ms; /* of the oldest row in it */
} BatchConfig;

typedef struct PipelineConfig {
    Str name;           /* letters, digits, - _ . ; empty: "ingest" */
    SchemaJson sources; /* array */
    SchemaJson steps;   /* array, or absent */
    SchemaJson sinks;   /* array of text or object; absent: see out */
    SchemaList source;  /* of Str: --source */
    SchemaList step;    /* of Str, YAML of one step: --step 'filter: value > 0' */
    SchemaList out;     /* of Str: --out */
    ChannelConfig channel;
    ConsumersConfig consumers;
    BatchConfig batch;    /* of sinks that say nothing else */
    Str dead_letters;     /* a sink's text; empty: <state>/dead.jsonl, or ./NAME.dead.jsonl */
    Str state;            /* folder for positions, state and spill; empty: none is kept */
    bool forget;          /* begin anew: what the state and the sinks remember does not count */
    bool grow;            /* tables get columns that are new; default true */
    int sync;             /* 0 auto, 1 always, 2 never: whether a commit survives a loss of power */
    int64_t drain_ms;     /* what a stop waits; 0: LIMIT_PIPELINE_DRAIN_MS */
    int64_t dry_run;      /* rows to show instead of writing any; 0: none */
    int64_t save_ms;      /* between two saves of state; 0: LIMIT_PIPELINE_SAVE_MS */
    int64_t retry_max_ms; /* between two tries of a sink; 0: LIMIT_FEED_RETRY_MAX_MS */
} PipelineConfig;

extern const Schema pipeline_config_schema;
extern const Schema batch_config_schema; /* of BatchConfig */
