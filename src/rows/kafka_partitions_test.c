/*
 * Partitions of Kafka: what is done with is what all before it is settled of, whatever the order.
 */
#include "rows/kafka_partitions.h"

#include "base/test.h"

TEST(done_moves_over_what_is_settled)
{
    Partitions partitions = { 0 };
    Partition *partition = partitions_get(&partitions, "t", 3);

    EXPECT(partitions_find(&partitions, "t", 3) == partition);
    EXPECT(partitions_find(&partitions, "t", 4) == NULL);
    EXPECT_STR(str_from_c(partition->track), STR_C("t/3"));
    partition_add_range(partition, 10, 14);
    partition_add_range(partition, 15, 15);
    partition_add_range(partition, 18, 20); /* offsets may have gaps */
    partition_settle(partition, 18, 20, 0);
    partition_settle(partition, 15, 15, 0);
    EXPECT_EQ(partition->done, -1);
    partition_settle(partition, 10, 14, 0);
    EXPECT_EQ(partition->done, 21);
    EXPECT(list_is_empty(&partition->ranges));
    partitions_deinit(&partitions);
}

TEST(what_is_given_back_is_read_again)
{
    Partitions partitions = { 0 };
    Partition *partition = partitions_get(&partitions, "t", 0);

    partition_add_range(partition, 0, 4);
    partition_add_range(partition, 5, 9);
    partition_settle(partition, 5, 9, -ERR_UNAVAILABLE);
    partition_settle(partition, 0, 4, -ERR_UNAVAILABLE);
    EXPECT_EQ(partition->rewind, 0);
    EXPECT_EQ(partition->done, -1);
    /* A range of another time, which is no range now: nothing moves. */
    partition_clear(partition);
    partition_add_range(partition, 0, 9);
    partition_settle(partition, 0, 4, 0);
    EXPECT_EQ(partition->done, -1);
    partition_settle(partition, 0, 9, 0);
    EXPECT_EQ(partition->done, 10);
    partitions_deinit(&partitions);
}

/* Would catch: what is out before it being taken for done once all behind it is. */
TEST(what_is_out_before_is_read_again_too)
{
    Partitions partitions = { 0 };
    Partition *partition = partitions_get(&partitions, "t", 0);

    partition_add_range(partition, 0, 4);
    partition_add_range(partition, 5, 9);
    partition_add_range(partition, 10, 12);
    partition_settle(partition, 0, 4, 0);
    partition_settle(partition, 10, 12, -ERR_UNAVAILABLE);
    EXPECT_EQ(partition->rewind, 10);
    partition_rewind(partition);
    EXPECT_EQ(partition->rewind, 5);
    EXPECT_EQ(partition->done, 5);
    partition_settle(partition, 5, 9, -ERR_UNAVAILABLE);
    partition_rewind(partition);
    EXPECT_EQ(partition->rewind, 5);
    partitions_deinit(&partitions);
}

TEST_MAIN()
