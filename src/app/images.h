/*
 * Pictures by URL, as the configuration has them: see serve/pictures.h and docs/guide/images.md.
 */
#pragma once

#include "base/arena.h"
#include "base/own.h"

#include <sluice/rt/fiber.h>
#include <sluice/schema.h>

typedef struct EngineConfig EngineConfig;
typedef struct RunDoors RunDoors;
typedef struct Pictures Pictures;

/* The settings below `images`. */
typedef struct ImagesConfig {
    SchemaList keys; /* of Str, in hexadecimal */
    Str keys_file;   /* a key on each line; empty: none */
    bool is_unsigned;
    SchemaList sources; /* of Str: rules, see image_url_fits */
    Str folder;         /* empty: none */
    Str jobs_folder;    /* below which jobs may use files; empty: none */
    bool allow_private; /* the named sources may have private addresses */
    Str cache;          /* a folder; empty: none */
    int64_t cache_mib;
    int64_t max_age_ms;
    bool heed_source;
    int64_t source_timeout_ms;
    int64_t error_age_ms; /* 0: errors are not kept */
    bool vector;

    /* What images_settle makes of the above. */
    const Str *key_bytes; /* secret */
    size_t n_keys;
} ImagesConfig;

extern const Schema images_config_schema;

/* Read the keys and check the rest. 0 or -ERR_CONFIG. Before anything runs: reads a file. */
MUST int images_settle(Arena *arena, ImagesConfig *config);

/* What serves pictures, with its own HTTP client; *RET is NULL where the settings ask for none. On
 * loop 0. */
typedef struct Images Images;
MUST SUSPENDS int images_start(Images **ret_images, sl_nursery *nursery, const EngineConfig *config,
                               const RunDoors *doors);
Pictures *images_pictures(Images *images); /* NULL for NULL */
SUSPENDS void images_stop(Images *images); /* NULL is nothing */
