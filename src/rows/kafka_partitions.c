/*
 * Partitions of Kafka; see the header. There are few of them, and messages come in bursts of one:
 * the one found last is looked at first.
 */
#include "rows/kafka_partitions.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

typedef struct Range {
    ListLink link;
    int64_t first, last;
    bool is_done;
} Range;

static bool is_called(const Partition *partition, const char *topic, int32_t number)
{
    return partition->number == number && strcmp(partition->topic, topic) == 0;
}

Partition *partitions_find(Partitions *partitions, const char *topic, int32_t number)
{
    if (partitions->last && is_called(partitions->last, topic, number))
        return partitions->last;
    for (size_t i = 0; i < partitions->n; i++) {
        if (is_called(partitions->items[i], topic, number))
            return partitions->last = partitions->items[i];
    }
    return NULL;
}

Partition *partitions_get(Partitions *partitions, const char *topic, int32_t number)
{
    Partition *partition = partitions_find(partitions, topic, number);
    char track[300];

    if (partition || partitions->n == LIMIT_KAFKA_PARTITIONS)
        return partition;
    partition = mem_new(Partition);
    (void) snprintf(track, sizeof(track), "%s/%d", topic, number);
    partition->topic = mem_copy_c(topic, strlen(topic));
    partition->track = mem_copy_c(track, strlen(track));
    partition->number = number;
    partition->index = partitions->n;
    partition->done = -1;
    partition->committed = -1;
    partition->rewind = -1;
    partitions->items = mem_resize_array(partitions->items, partitions->n + 1, sizeof(Partition *));
    partitions->items[partitions->n++] = partition;
    return partition;
}

void partitions_deinit(Partitions *partitions)
{
    for (size_t i = 0; i < partitions->n; i++) {
        Partition *partition = partitions->items[i];

        partition_clear(partition);
        mem_free(partition->topic);
        mem_free(partition->track);
        mem_free(partition);
    }
    mem_free(partitions->items);
}

void partition_add_range(Partition *partition, int64_t first, int64_t last)
{
    Range *range = mem_new(Range);

    ASSERT(first <= last);
    range->first = first;
    range->last = last;
    list_push_back(&partition->ranges, &range->link);
}

static Range *find_range(const Partition *partition, int64_t first, int64_t last)
{
    list_each(&partition->ranges, link) {
        Range *range = LIST_ITEM(link, Range, link);

        if (range->first == first && range->last == last && !range->is_done)
            return range;
    }
    return NULL;
}

void partition_settle(Partition *partition, int64_t first, int64_t last, int r)
{
    Range *range = find_range(partition, first, last);

    if (range && r < 0) {
        if (partition->rewind < 0 || partition->rewind > first)
            partition->rewind = first;
    } else if (range) {
        range->is_done = true;
    }
    while (partition->ranges.first) {
        range = LIST_ITEM(partition->ranges.first, Range, link);
        if (!range->is_done)
            break;
        partition->done = range->last + 1;
        list_remove(&range->link);
        mem_free(range);
    }
}

void partition_rewind(Partition *partition)
{
    if (partition->ranges.first) /* the oldest is not done */
        partition->rewind = MIN(partition->rewind,
                                LIST_ITEM(partition->ranges.first, Range, link)->first);
    partition_clear(partition);
}

void partition_clear(Partition *partition)
{
    ListLink *link;

    while ((link = list_pop_front(&partition->ranges)) != NULL)
        mem_free(LIST_ITEM(link, Range, link));
}
