/*
 * Partitions: which one a job lies in, and the tag that brings its keys into one slot.
 *
 * Partition I of N has the slots [I * 16384 / N, (I + 1) * 16384 / N); its tag is the smallest
 * number whose slot is among them. The search is short: with LIMIT_REDIS_PARTITIONS each has
 * sixteen slots, which one of a few thousand numbers hits.
 */
#include "store/redis/request_int.h"

#include "base/assert.h"
#include "codec/redis_url.h"

#include <stdio.h>

uint32_t partition_of_id(const JobId *id, uint32_t n)
{
    ASSERT(n > 0);
    return (uint32_t) (id->bytes[14] << 8 | id->bytes[15]) % n;
}

uint32_t partition_of_key(Str key, uint32_t n)
{
    ASSERT(n > 0);
    return (uint32_t) redis_slot(key) % n;
}

static uint16_t slot_of_number(uint32_t number)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%u", number);

    return redis_slot(str_from(text, (size_t) len));
}

uint32_t partition_tag(uint32_t i, uint32_t n)
{
    uint32_t first, end;

    ASSERT(n > 0 && n <= REDIS_SLOTS && i < n);
    first = (uint32_t) ((uint64_t) i * REDIS_SLOTS / n);
    end = (uint32_t) ((uint64_t) (i + 1) * REDIS_SLOTS / n);
    for (uint32_t number = 0;; number++) {
        uint16_t slot = slot_of_number(number);

        ASSERT(number < 10000000); /* the sum spreads: far fewer do */
        if (slot >= first && slot < end)
            return number;
    }
}
