/*
 * The cache of pictures: a folder with a bounded number of bytes, of which what was used longest
 * ago goes first.
 *
 *   DIR/ab/cdef…    ab cdef… is the key, a SHA-256 in hexadecimal: no name comes from outside
 *
 *   sluice-picture 2 SUM KEPT_S FRESH_S TYPE ETAG TAG\n    SUM: of all that follows it; TAG: in
 *   the picture's bytes                                    hexadecimal
 *
 * Files appear whole, by rename, and what is damaged nevertheless is found out by its sum and
 * counts as absent. What is there is known from an index in memory, made from the folder at the
 * start; the time of last use is the file's modification time, set at most once in TOUCH_S.
 *
 * Files that are not ours are left alone and do not count. The folder may be emptied or removed
 * while it is used: what is not there is made anew, the folder too. Several engines may share one:
 * they find each other's pictures when they start, and each of them counts what it knows of.
 */
#pragma once

#include "base/arena.h"
#include "base/own.h"
#include "base/text.h"

#include <sluice/rt/fiber.h>

#define PICTURE_KEY_BYTES 64 /* hexadecimal digits */

typedef struct PictureCache PictureCache;

/* What is kept of a picture. */
typedef struct PictureEntry {
    Str type;
    Str etag;
    Str tag;         /* of the source; may be empty */
    int64_t kept_s;  /* when it was put there, since 1970 */
    int64_t fresh_s; /* for how long its source said that it would be fresh; -1: it said nothing */
    Str bytes;
    char *memory; /* what the texts are in; picture_entry_deinit frees it */
} PictureEntry;

void picture_entry_deinit(PictureEntry *entry);
DEFINE_AUTO_VALUE(PictureEntry, picture_entry_deinit);

/* Open DIR, which is made if it is not there, and bring it down to MAX_BYTES. */
MUST SUSPENDS int picture_cache_open(PictureCache **ret_cache, const char *dir, uint64_t max_bytes);
void picture_cache_free(PictureCache *cache);

/* What is kept under KEY. 0, PICTURE_CACHE_NONE, or -ECANCELED. */
enum { PICTURE_CACHE_NONE = 1 };
MUST SUSPENDS int picture_cache_get(PictureCache *cache, const char *key, PictureEntry *ret_entry);

/* Keep ENTRY (its `memory` does not count) under KEY, in place of what was there. What cannot be
 * kept is logged and forgotten. */
SUSPENDS void picture_cache_put(PictureCache *cache, const char *key, const PictureEntry *entry);

/* Keep nothing under KEY any more. */
SUSPENDS void picture_cache_remove(PictureCache *cache, const char *key);

size_t picture_cache_len(const PictureCache *cache);
uint64_t picture_cache_bytes(const PictureCache *cache);
