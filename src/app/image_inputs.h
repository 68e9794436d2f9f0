/*
 * The pictures that the words of `sluice image` name: files, folders, patterns, "-".
 */
#pragma once

#include "base/arena.h"
#include "base/own.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct ImageInput {
    const char *path; /* "-" is stdin */
    const char *tail; /* of the path, below the folder that was named: "2024/cat.jpg" */
} ImageInput;

typedef struct ImageInputs {
    Arena *arena; /* of the paths; lives longer */
    ImageInput *items;
    size_t n, cap;

    /* A folder that is not gone into, because outputs go there; 0, 0: none. */
    dev_t skipped_dev;
    ino_t skipped_ino;

    /* Of a folder below one that was named that cannot be read: R says why; the rest is listed. */
    void (*on_failed)(void *ctx, const char *path, int r);
    void *ctx;
} ImageInputs;

/* Add what WORD names. Blocks. 0; -ERR_USAGE or what the system said of it. */
MUST int image_inputs_add(ImageInputs *inputs, const char *word);
void image_inputs_deinit(ImageInputs *inputs);

/* The bytes of PATH before its last part: 4 for "a/b/c". */
size_t image_path_name_at(const char *path);
