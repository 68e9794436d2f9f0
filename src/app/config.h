/*
 * Configuration: the settings of an engine, from the command line and a YAML file.
 *
 * One schema says what there is: `sluice up --help`, the checks and the keys of the file come from
 * it. A flag on the command line wins over the same key in the file.
 */
#pragma once

#include "app/images.h"
#include "base/arena.h"
#include "handlers/exec/program.h"
#include "worker/type_limits.h"

#include <sluice/schema.h>

struct EngineConfig {
    Str listen;          /* ADDR:PORT; empty: CONFIG_LISTEN, and nowhere for workers alone */
    Str store;           /* lmdb:DIR, memory:, redis://…; after config_settle with its secrets */
    Str store_file;      /* a file with that text; empty: none */
    int64_t workers;     /* jobs that run at once; 0: none */
    int64_t concurrency; /* the same by another name; -1: not given */
    SchemaList queues;   /* Str: the queues workers serve, in order of preference; none: all */
    Str queue_weights;   /* "a,b:2"; empty: none */
    int64_t loops;       /* loop threads; 0: one for every two processors */
    Str durability;      /* as the store has it; empty: its default */
    bool allow_eviction;
    Str config;       /* the file; empty: none */
    int log_level;    /* LogLevel */
    int log_format;   /* LogFormat */
    Str port_file;    /* where to write the port; empty: nowhere */
    int64_t drain_ms; /* how long a stop waits for running jobs */
    int64_t lease_ms;
    int64_t keep_completed_ms;
    int64_t keep_completed_max;
    int64_t keep_discarded_ms;
    int64_t keep_discarded_max;
    int64_t store_max_mib;
    int64_t connections;
    bool allow_private;
    Str rows_dir;
    SchemaList rows_databases; /* of Str */
    SchemaList pipelines;      /* of Str: files of pipelines to run */
    SchemaJson handlers;       /* as written; `programs` is what it means */
    bool reuse_port;
    Str handover; /* the Unix socket where a successor asks for the listening sockets */
    int64_t wait_for_store_ms;
    SchemaPairs type_limits; /* as written; `limits` is what it means */
    int64_t boxes;           /* 0: one for each processor */
    int64_t boxes_ready;
    int64_t box_memory_mib;
    int64_t box_waiting;
    int64_t box_wait_ms;
    int64_t box_runs;
    int box_walls; /* BoxWalls */
    ImagesConfig images;

    /* What config_settle makes of `queues` and `queue_weights`. */
    const Str *queue_names;
    const uint32_t *weights; /* one for each name; NULL: the names are in order of preference */
    size_t n_queue_names;

    const TypeLimit *limits; /* of `type_limits` */
    size_t n_limits;

    ProgramTable programs; /* the handlers, those of the file behind those built in */
};

#define CONFIG_LISTEN "127.0.0.1:7584"

extern const Schema engine_config_schema;

/*
 * Settle the configuration: FLAGS as the command line gave them, of which GIVEN (JSON object text)
 * were really written, over those of the file it names. What stands for a secret in the store's URL
 * is put in its place. 0, -ERR_USAGE or -ERR_CONFIG ("sluice.yaml:2: workres: unknown key; did you
 * mean "workers"?").
 */
MUST int config_settle(Arena *arena, const EngineConfig *flags, Str given,
                       EngineConfig *ret_config);

/* The handlers built in, and behind them those that FILE declares; the rest of FILE does not count.
 * 0 or -ERR_CONFIG. */
MUST int config_read_programs(Arena *arena, const char *file, ProgramTable *ret_table);

/*
 * The URL of a store as it is written: `${NAME}` is a variable of the environment, `$$` a dollar
 * sign. In a URL with `//` the value is percent-encoded, unless it is the whole text.
 */
MUST int config_store_url(Arena *arena, Str text, Str *ret_url);

/* The URL of a store from the first line of a file, which may hold a password. */
MUST int config_store_file(Arena *arena, Str path, Str *ret_url);
