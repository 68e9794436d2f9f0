/*
 * Configuration: the settings of an engine, from the command line and a YAML file.
 *
 * One schema says what there is: `sluice up --help`, the checks and the keys of the file come from
 * it. A flag on the command line wins over the same key in the file.
 */
#pragma once

#include "base/arena.h"

#include <sluice/schema.h>

enum { CONFIG_SYNC, CONFIG_ASYNC };

typedef struct EngineConfig {
    Str listen;        /* ADDR:PORT */
    Str store;         /* lmdb:DIR or memory: */
    int64_t workers;   /* jobs that run at once; 0: none */
    SchemaList queues; /* Str: the queues workers serve, in order of preference; none: all */
    int64_t loops;     /* loop threads; 0: one for every two processors */
    int durability;    /* CONFIG_SYNC or CONFIG_ASYNC */
    Str config;        /* the file; empty: none */
    int log_level;     /* LogLevel */
    int log_format;    /* LogFormat */
    Str port_file;     /* where to write the port; empty: nowhere */
    int64_t drain_ms;  /* how long a stop waits for running jobs */
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
} EngineConfig;

extern const Schema engine_config_schema;

/*
 * Settle the configuration: FLAGS as the command line gave them, of which GIVEN (JSON object text)
 * were really written, over those of the file it names. 0 or -ERR_CONFIG ("sluice.yaml:2: workres:
 * unknown key; did you mean "workers"?").
 */
MUST int config_settle(Arena *arena, const EngineConfig *flags, Str given,
                       EngineConfig *ret_config);
