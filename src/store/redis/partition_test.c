/*
 * Partitions: tags lie in the slots they stand for, for every number of partitions that is allowed;
 * jobs spread, and one that is found by its id is found there again.
 */
#include "base/limits.h"
#include "base/test.h"
#include "codec/redis_url.h"
#include "store/redis/request_int.h"

static uint32_t slot_of_tag(uint32_t tag)
{
    char key[40];
    int len = snprintf(key, sizeof(key), "sl{%u}:job:x", tag);

    return redis_slot(str_from(key, (size_t) len));
}

TEST(a_tag_lies_in_its_share_of_the_slots)
{
    static const uint32_t counts[] = { 1, 2, 3, 16, 100, LIMIT_REDIS_PARTITIONS };

    EXPECT_EQ(partition_tag(0, 1), 0);
    for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
        uint32_t n = counts[c];
        for (uint32_t i = 0; i < n; i++) {
            uint32_t slot = slot_of_tag(partition_tag(i, n));
            EXPECT(slot >= (uint64_t) i * REDIS_SLOTS / n);
            EXPECT(slot < (uint64_t) (i + 1) * REDIS_SLOTS / n);
        }
    }
}

TEST(ids_and_keys_spread_over_all_partitions)
{
    uint32_t by_id[16] = { 0 }, by_key[16] = { 0 };

    for (unsigned i = 0; i < 16000; i++) {
        JobId id = { { 0 } };
        char key[16];

        id.bytes[14] = (uint8_t) (i >> 8);
        id.bytes[15] = (uint8_t) i;
        by_id[partition_of_id(&id, 16)]++;
        snprintf(key, sizeof(key), "key-%u", i);
        by_key[partition_of_key(str_from_c(key), 16)]++;
    }
    for (size_t i = 0; i < 16; i++) {
        EXPECT_EQ(by_id[i], 1000);
        EXPECT(by_key[i] > 500 && by_key[i] < 1500);
    }
}

TEST_MAIN()
