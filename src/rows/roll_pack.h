/*
 * Files that are closed become .gz, a piece at a time: whoever writes rows gives it some
 * milliseconds now and then, so that no lot waits for a whole file. What is half done when the
 * process ends is begun anew.
 *
 * Blocks: on a pool thread.
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stddef.h>
#include <stdint.h>

/* Zeroed it does nothing. */
typedef struct RollPack {
    struct RollPackRun *run; /* the file that is packed now; NULL: none */
} RollPack;

/* Whether this build can. */
bool roll_pack_is_there(void);

/* Begin to pack the file PATH, unless one is being packed. */
MUST int roll_pack_begin(RollPack *pack, const char *path);
bool roll_pack_is_busy(const RollPack *pack);

/* Go on for about BYTES. When the file is done, PATH.gz is there and PATH is gone. After an error
 * the file stays as it is. */
MUST int roll_pack_step(RollPack *pack, size_t bytes);

/* Give up what is half done. */
void roll_pack_deinit(RollPack *pack);
