/*
 * UUIDs, version 7 (RFC 9562): job ids that sort by the time they were made.
 *
 *   0                   1                   2                   3
 *   +------------- 48 bits: ms since 1970 -------------+
 *   | 4 bits: 7 | 12 bits: counter within the ms | 2 bits: 10 | 62 bits: random |
 *
 * One UuidMaker for each thread that makes ids. Its ids always grow, also when the clock stands
 * still or steps back: the counter starts at a random number below 2048 in each millisecond, and
 * when it is used up the maker borrows the next millisecond.
 */
#pragma once

#include "base/own.h"
#include "base/rand.h"
#include <sluice/str.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UUID_BYTES      16
#define UUID_TEXT_BYTES 37 /* with the NUL */

typedef struct Uuid {
    uint8_t bytes[UUID_BYTES];
} Uuid;

typedef struct UuidMaker {
    Rand *rand;       /* borrowed */
    int64_t last_ms;  /* of the newest id */
    uint32_t counter; /* of the newest id */
} UuidMaker;

void uuid_maker_init(UuidMaker *maker, Rand *rand);

/* The next id; NOW_MS is wall-clock time in ms since 1970. */
Uuid uuid_make_v7(UuidMaker *maker, int64_t now_ms);

/* 8-4-4-4-12 hexadecimal digits of either case. 0 or -ERR_INVALID with words. */
MUST int uuid_parse(Str text, Uuid *ret_uuid);

/* Lower case, 36 bytes and a NUL, into OUT (UUID_TEXT_BYTES). */
Str uuid_format(const Uuid *uuid, char *out);

bool uuid_is_v7(const Uuid *uuid);
bool uuid_is_nil(const Uuid *uuid);
int uuid_cmp(const Uuid *a, const Uuid *b); /* bytewise: older version 7 ids first */

/* The time in a version 7 id, in ms since 1970. */
int64_t uuid_time_ms(const Uuid *uuid);
