/*
 * Where pages are read.
 *
 * On one processor a page is read by the fiber that fetched it, on the loop. With more of them
 * there is a queue: one fiber (the feeder) hands what has gathered in it to the pool as one batch,
 * and waits for that; a wake-up across processors costs as much as half a page, so batches of a
 * few are read on the loop instead. While the pool is busy the queue fills; a fiber that finds it
 * full reads its own page on the loop. So the loop fetches as fast as it can, the pool reads, and
 * whichever has time left over takes from the other.
 */
#include "handlers/crawl/crawl_int.h"

#include "base/list.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <sched.h>

#define POOL_MIN_PAGES 4 /* fewer are read on the loop */
#define QUEUE_PAGES    LIMIT_CRAWL_BATCH_PAGES

typedef struct Waiting {
    ListLink link;
    Arena *arena;
    PageRead *page;
    bool is_done;
    sl_event done;
} Waiting;

struct Reading {
    const ReadRules *rules;
    Reader on_loop;
    Reader on_pool; /* only the batch that is on the pool uses it */
    bool has_pool;
    bool is_stopped;
    List queue;     /* of Waiting, on their fibers' stacks */
    sl_cond filled; /* the feeder waits here */
    uint64_t pooled;
};

typedef struct Batch {
    Reading *reading;
    Waiting *items[LIMIT_CRAWL_BATCH_PAGES];
    size_t n;
} Batch;

/* ---- the feeder ------------------------------------------------------------------------------ */

static int read_batch(void *arg)
{
    Batch *batch = arg;
    Reading *reading = batch->reading;

    for (size_t i = 0; i < batch->n; i++)
        reader_read(&reading->on_pool, reading->rules, batch->items[i]->arena,
                    batch->items[i]->page);
    return 0;
}

static void end_batch(Batch *batch)
{
    for (size_t i = 0; i < batch->n; i++) {
        batch->items[i]->is_done = true;
        sl_event_set(&batch->items[i]->done);
    }
    batch->n = 0;
}

static void take_batch(Reading *reading, Batch *batch)
{
    while (batch->n < ARRAY_LEN(batch->items) && !list_is_empty(&reading->queue))
        batch->items[batch->n++] = LIST_ITEM(list_pop_front(&reading->queue), Waiting, link);
}

/* Read what is in the batch, here or on the pool. Pages are read to their end even when the crawl
 * is cancelled: their fibers wait for it. */
SUSPENDS static void feed(Reading *reading, Batch *batch)
{
    if (batch->n >= POOL_MIN_PAGES && sl_offload(read_batch, batch, .name = "read") == 0) {
        reading->pooled += batch->n;
        end_batch(batch);
        return;
    }
    for (size_t i = 0; i < batch->n; i++)
        reader_read(&reading->on_loop, reading->rules, batch->items[i]->arena,
                    batch->items[i]->page);
    end_batch(batch);
}

SUSPENDS static int run_feeder(void *arg)
{
    Reading *reading = arg;
    Batch *batch = mem_new(Batch);
    int r = 0;

    batch->reading = reading;
    while (r == 0 && !reading->is_stopped) {
        if (list_is_empty(&reading->queue)) {
            r = sl_cond_wait(&reading->filled);
            continue;
        }
        r = sl_yield(); /* what came in the same turn comes along */
        take_batch(reading, batch);
        feed(reading, batch);
    }
    while (!list_is_empty(&reading->queue)) {
        take_batch(reading, batch);
        feed(reading, batch);
    }
    reading->has_pool = false; /* who comes from here on reads by himself */
    mem_free(batch);
    return r;
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool has_processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1;
}

int reading_start(Reading **ret_reading, const ReadRules *rules, sl_nursery *nursery)
{
    Reading *reading = mem_new(Reading);
    int r = 0;

    reading->rules = rules;
    reader_init(&reading->on_loop, rules);
    reader_init(&reading->on_pool, rules);
    reading->has_pool = has_processors();
    *ret_reading = reading;
    if (reading->has_pool)
        r = sl_spawn(nursery, run_feeder, reading, .name = "read");
    return r;
}

void reading_free(Reading *reading)
{
    if (!reading)
        return;
    reader_deinit(&reading->on_loop);
    reader_deinit(&reading->on_pool);
    mem_free(reading);
}

void reading_stop(Reading *reading)
{
    reading->is_stopped = true;
    sl_cond_wake_all(&reading->filled);
}

bool reading_has_pool(const Reading *reading)
{
    return reading->has_pool;
}

/* ---- a page ---------------------------------------------------------------------------------- */

/* Wait for the feeder, who has the page: also when cancelled, since it writes into what is ours. */
SUSPENDS static int wait_done(Waiting *waiting)
{
    int r = sl_event_wait(&waiting->done);

    if (waiting->is_done)
        return r;
    if (list_is_linked(&waiting->link)) { /* not begun: take it back */
        list_remove(&waiting->link);
        return r;
    }
    while (!waiting->is_done) {
        sl_scope shield;

        sl_scope_begin(&shield, .is_shield = true, .timeout_ms = 60000);
        (void) sl_event_wait(&waiting->done);
        (void) sl_scope_end(&shield, 0);
    }
    return r;
}

int reading_read(Reading *reading, Arena *arena, PageRead *page)
{
    Waiting waiting = { .arena = arena, .page = page };

    if (!reading->has_pool || reading->queue.len >= QUEUE_PAGES) {
        reader_read(&reading->on_loop, reading->rules, arena, page);
        return sl_checkpoint();
    }
    list_push_back(&reading->queue, &waiting.link);
    sl_cond_wake_one(&reading->filled);
    return wait_done(&waiting);
}

void reading_sum(const Reading *reading, HtmlFieldCounts *counts, CrawlReport *report)
{
    const Reader *const readers[] = { &reading->on_loop, &reading->on_pool };

    report->pooled = reading->pooled;
    for (size_t k = 0; k < ARRAY_LEN(readers); k++) {
        report->cut += readers[k]->cut;
        for (size_t i = 0; i < readers[k]->n_counts; i++) {
            counts[i].found += readers[k]->counts[i].found;
            counts[i].missing += readers[k]->counts[i].missing;
            counts[i].mismatch += readers[k]->counts[i].mismatch;
            counts[i].cut += readers[k]->counts[i].cut;
        }
    }
}
