/*
 * Events: from the store's side to those who listen, on the loop that started the queues.
 *
 * The store tells of each batch after its commit. The events and their texts are copied once and
 * posted; listeners are called from the loop's task, in the order of the commits.
 */
#include "queue/queue_int.h"

#include "base/assert.h"

typedef struct EventBatch {
    sl_task task;
    Queues *queues;
    size_t n;
    StoreEvent events[]; /* and their texts behind them */
} EventBatch;

static void on_batch(sl_task *task)
{
    EventBatch *batch = CONTAINER_OF(task, EventBatch, task);
    Queues *queues = batch->queues;

    for (QueueListener *listener = queues->listeners, *next; listener; listener = next) {
        next = listener->next_; /* it may leave while it is called */
        listener->fn(listener->ctx, batch->events, batch->n);
    }
    mem_free(batch);
    atomic_fetch_sub(&queues->events_under_way, 1);
}

static Str move_text(Str text, char **at)
{
    Str moved = str_from(*at, text.len);

    if (text.len > 0)
        memcpy(*at, text.data, text.len);
    *at += text.len;
    return moved;
}

void events_from_store(void *ctx, const StoreEvent *events, size_t n)
{
    Queues *queues = ctx;
    EventBatch *batch;
    size_t bytes = sizeof(EventBatch) + n * sizeof(StoreEvent);
    char *at;

    if (!atomic_load_explicit(&queues->has_listeners, memory_order_relaxed))
        return;
    for (size_t i = 0; i < n; i++)
        bytes += events[i].type.len + events[i].queue.len;
    batch = mem_zalloc(bytes);
    batch->task.fn = on_batch;
    batch->queues = queues;
    batch->n = n;
    at = (char *) &batch->events[n];
    for (size_t i = 0; i < n; i++) {
        batch->events[i] = events[i];
        batch->events[i].type = move_text(events[i].type, &at);
        batch->events[i].queue = move_text(events[i].queue, &at);
    }
    ASSERT(at == (char *) batch + bytes);
    atomic_fetch_add(&queues->events_under_way, 1);
    sl_post(queues->home, &batch->task);
}

void events_drain(Queues *queues)
{
    while (atomic_load(&queues->events_under_way) > 0)
        (void) sl_yield(); /* cancelled or not: the tasks must have run */
}

/* A store elsewhere has to be asked for events. */
static void want_events(Queues *queues)
{
    bool wants_all = false;

    for (const QueueListener *listener = queues->listeners; listener; listener = listener->next_)
        wants_all |= !listener->only_cancels;
    store_want_events(queues->store, wants_all);
}

void queue_listen(Queues *queues, QueueListener *listener)
{
    ASSERT(listener->fn);
    listener->next_ = queues->listeners;
    queues->listeners = listener;
    atomic_store(&queues->has_listeners, true);
    want_events(queues);
}

void queue_unlisten(Queues *queues, QueueListener *listener)
{
    QueueListener **slot = &queues->listeners;

    while (*slot && *slot != listener)
        slot = &(*slot)->next_;
    if (*slot)
        *slot = listener->next_;
    atomic_store(&queues->has_listeners, queues->listeners != NULL);
    want_events(queues);
}
