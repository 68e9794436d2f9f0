/*
 * UUIDs: made, read and written. The layout of version 7 is drawn in uuid.h.
 *
 * I1  The (ms, counter) pair of a maker grows with every id, so the first 64 bits of its ids
 *     do.
 * I2  An id is ahead of the clock only when more than 2048 ids were made in one millisecond, or
 *     when the clock has stepped back.
 */
#include "codec/uuid.h"

#include "base/assert.h"
#include "base/err.h"
#include "codec/hex.h"

#define COUNTER_MAX 0xfffu
#define MS_MAX      ((1LL << 48) - 1)

void uuid_maker_init(UuidMaker *maker, Rand *rand)
{
    ASSERT(rand);
    *maker = (UuidMaker){ .rand = rand, .last_ms = -1 };
}

Uuid uuid_make_v7(UuidMaker *maker, int64_t now_ms)
{
    uint64_t random = rand_u64(maker->rand);
    uint64_t high, low;
    Uuid uuid;

    now_ms = MIN(MAX(now_ms, 0), MS_MAX - 1);
    if (now_ms > maker->last_ms || maker->counter == COUNTER_MAX) {
        maker->last_ms = MAX(now_ms, maker->last_ms + 1);
        maker->counter = (uint32_t) rand_below(maker->rand, 2048);
    } else {
        maker->counter++; /* I1 */
    }
    high = (uint64_t) maker->last_ms << 16 | 0x7000 | maker->counter;
    low = 2ull << 62 | random >> 2;
    for (int i = 0; i < 8; i++) {
        uuid.bytes[i] = (uint8_t) (high >> (56 - 8 * i));
        uuid.bytes[8 + i] = (uint8_t) (low >> (56 - 8 * i));
    }
    return uuid;
}

/* Whether a dash stands before byte I of the text. */
static bool has_dash(size_t i)
{
    return i == 4 || i == 6 || i == 8 || i == 10;
}

static bool read_uuid(Str text, Uuid *uuid)
{
    size_t at = 0;

    if (text.len != UUID_TEXT_BYTES - 1)
        return false;
    for (size_t i = 0; i < UUID_BYTES; i++) {
        int high, low;

        if (has_dash(i) && text.data[at++] != '-')
            return false;
        high = hex_digit(text.data[at++]);
        low = hex_digit(text.data[at++]);
        if (high < 0 || low < 0)
            return false;
        uuid->bytes[i] = (uint8_t) (high << 4 | low);
    }
    return true;
}

int uuid_parse(Str text, Uuid *ret_uuid)
{
    Uuid uuid;

    if (!read_uuid(text, &uuid))
        return fail(-ERR_INVALID, "\"%.*s\" is not a UUID", (int) MIN(text.len, 40ul),
                    text.data ? text.data : "");
    *ret_uuid = uuid;
    return 0;
}

Str uuid_format(const Uuid *uuid, char *out)
{
    char *at = out;

    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (has_dash(i))
            *at++ = '-';
        hex_encode(&uuid->bytes[i], 1, at);
        at += 2;
    }
    *at = '\0';
    return str_from(out, (size_t) (at - out));
}

bool uuid_is_v7(const Uuid *uuid)
{
    return uuid->bytes[6] >> 4 == 7 && uuid->bytes[8] >> 6 == 2;
}

bool uuid_is_nil(const Uuid *uuid)
{
    static const Uuid nil;

    return uuid_cmp(uuid, &nil) == 0;
}

int uuid_cmp(const Uuid *a, const Uuid *b)
{
    return memcmp(a->bytes, b->bytes, UUID_BYTES);
}

int64_t uuid_time_ms(const Uuid *uuid)
{
    int64_t ms = 0;

    for (size_t i = 0; i < 6; i++)
        ms = ms << 8 | uuid->bytes[i];
    return ms;
}
