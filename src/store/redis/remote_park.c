/*
 * Leases that wait for jobs.
 *
 * A parked lease is its caller's fiber, which stands in the line of each queue it takes from. It
 * asks every partition once, and the script registers this loop as one that waits; when a job comes
 * in, the server takes one who waits out of its register and tells it by a message. The first of
 * that line then asks again.
 *
 *   queue "mail"   lease A, lease C        message "mail" --> A asks
 *   queue "web"    lease A, lease B
 *   any queue      lease E                 behind the line of the queue itself
 *
 *   W1  A line of a partition is registered, or one of its leases is going to ask there. A lease
 *       that is granted something while its line is not registered lets the next one ask.
 *   W2  A message is owed by the lease that it woke until that lease asks. When it leaves before,
 *       the next of the line owes it; when there is none, the server is told to wake another
 *       process ("pass").
 *   W3  An answer says "registered" of the moment when the script ran. If a message has come since
 *       the request was made, the registration may be the one that it used up, and does not count.
 *
 * After a gap in the messages, and every LIMIT_STORE_ASK_MS, the first of each line asks whatever
 * it knows: what a process took with it when it died between message and lease is found then.
 */
#include "store/redis/remote_int.h"

#include "store/redis/value.h"

typedef struct ParkLine {
    List spots;
    bool *is_registered; /* by partition */
    unsigned *messages;  /* by partition: how many have come */
    size_t key_len;
    char key[];
} ParkLine;

typedef struct ParkSpot {
    ListLink link;
    ParkLine *line;
    struct ParkedLease *parked;
    struct SpotPart {
        unsigned owed;     /* messages that nobody has asked for yet */
        unsigned asked;    /* those that the request under way asks for */
        unsigned messages; /* line->messages when the request was made */
    } * parts;
} ParkSpot;

typedef struct ParkedLease {
    ListLink link; /* of the loop's parked */
    RemoteLoop *loop;
    StoreOp *op;
    bool is_asking;
    bool is_full; /* it was given as much as it asked for */
    bool *wanted; /* partitions to ask */
    bool *asked;  /* by the request under way */
    sl_event woken;
    size_t n_spots;
    ParkSpot spots[];
} ParkedLease;

static const Str any_queue = STR("*");

/* ---- lines ----------------------------------------------------------------------------------- */

static ParkLine *line_need(RemoteLoop *loop, Str key)
{
    ParkLine *line = map_find(&loop->lines, key);

    if (!line) {
        line = mem_zalloc(sizeof(ParkLine) + key.len);
        line->is_registered = mem_new_array(bool, loop->remote->n_parts);
        line->messages = mem_new_array(unsigned, loop->remote->n_parts);
        line->key_len = key.len;
        memcpy(line->key, key.data, key.len);
        map_put(&loop->lines, key, line);
    }
    return line;
}

static Str line_key(const ParkLine *line)
{
    return str_from(line->key, line->key_len);
}

static void line_free(RemoteLoop *loop, ParkLine *line)
{
    (void) map_remove(&loop->lines, line_key(line));
    mem_free(line->is_registered);
    mem_free(line->messages);
    mem_free(line);
}

static void spot_wake(ParkSpot *spot, uint32_t p, unsigned owed)
{
    spot->parts[p].owed += owed;
    spot->parked->wanted[p] = true;
    sl_event_set(&spot->parked->woken);
}

/* The first of LINE that is not going to ask P anyway does so, for OWED messages (W2). */
static bool line_wake(ParkLine *line, uint32_t p, unsigned owed)
{
    ParkSpot *next = NULL;

    list_each(&line->spots, link) {
        ParkSpot *spot = LIST_ITEM(link, ParkSpot, link);

        if (!next || (next->parked->wanted[p] && !spot->parked->wanted[p]))
            next = spot;
    }
    if (next)
        spot_wake(next, p, owed);
    return next != NULL;
}

/* Behind SPOT, the first that takes other types than it does. */
static bool line_wake_other(ParkSpot *spot, uint32_t p)
{
    const StoreFilter *filter = spot->parked->op->lease.filter;

    for (ListLink *link = spot->link.next; link; link = link->next) {
        ParkSpot *next = LIST_ITEM(link, ParkSpot, link);
        const StoreFilter *other = next->parked->op->lease.filter;

        if (other && other->accepts == filter->accepts && other->ctx == filter->ctx)
            continue;
        spot_wake(next, p, 1);
        return true;
    }
    return false;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* LINE has been told, or the line of any queue has: its registration is used up. */
static void line_hear(ParkLine *line, uint32_t p)
{
    line->messages[p]++;
    line->is_registered[p] = false;
}

/*
 * A job has come to QUEUE. The message does not say whether the register of the queue or that of
 * any queue brought it here; so both lines see to it that they are registered.
 */
static void on_job(RemotePart *part, Str queue)
{
    RemoteLoop *loop = part->loop;
    uint32_t p = part->index;
    ParkLine *line = map_find(&loop->lines, queue), *any = map_find(&loop->lines, any_queue);
    bool is_owed = true;

    if (line) {
        line_hear(line, p);
        is_owed = !line_wake(line, p, 1);
    }
    if (any) {
        line_hear(any, p);
        is_owed = !line_wake(any, p, is_owed ? 1 : 0) && is_owed;
    }
    if (is_owed)
        care_pass(part, queue);
}

void remote_ask_again(RemoteLoop *loop, const RemotePart *part)
{
    size_t cursor = 0;
    void *line;
    Str key;

    while (map_next(&loop->lines, &cursor, &key, &line)) {
        for (uint32_t p = 0; p < loop->remote->n_parts; p++) {
            if (!part || part->index == p)
                (void) line_wake(line, p, 0);
        }
    }
}

void remote_hear(RemotePart *part, Str message, bool is_gap)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str queue;

    if (is_gap) { /* registrations may have been used up by messages that nobody heard */
        remote_ask_again(part->loop, part);
        watch_wake(part->loop);
    } else if (str_eq_c(message, "*")) { /* something is due earlier than the ticker knows */
        watch_wake(part->loop);
    } else {
        arena_init(&arena, 0);
        if (value_take_name(&arena, message, &queue))
            on_job(part, queue);
    }
}

void remote_subscribe(RemoteLoop *loop)
{
    if (loop->is_subscribed)
        return;
    loop->is_subscribed = true;
    for (uint32_t p = 0; p < loop->remote->n_parts; p++)
        redis_subscribe(loop->redis, &loop->parts[p].wake);
}

void remote_unpark(RemoteLoop *loop)
{
    ASSERT(loop->is_ending);
    list_each(&loop->parked, link)
        sl_event_set(&LIST_ITEM(link, ParkedLease, link)->woken);
}

/* ---- entering and leaving -------------------------------------------------------------------- */

static bool is_repeated(const StoreOp *op, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (str_eq(op->lease.queues[i], op->lease.queues[index]))
            return true;
    }
    return false;
}

static void enter(ParkedLease *parked, Str queue)
{
    ParkSpot *spot = &parked->spots[parked->n_spots++];

    if (!map_find(&parked->loop->registered, queue))
        (void) map_put(&parked->loop->registered, queue, parked->loop);

    spot->parked = parked;
    spot->line = line_need(parked->loop, queue);
    spot->parts = mem_new_array(struct SpotPart, parked->loop->remote->n_parts);
    list_push_back(&spot->line->spots, &spot->link);
}

static ParkedLease *park_new(RemoteLoop *loop, StoreOp *op)
{
    size_t n = MAX(op->lease.n_queues, (size_t) 1);
    uint32_t n_parts = loop->remote->n_parts;
    ParkedLease *parked = mem_zalloc(sizeof(ParkedLease) + n * sizeof(ParkSpot));

    parked->loop = loop;
    parked->op = op;
    parked->wanted = mem_new_array(bool, n_parts);
    parked->asked = mem_new_array(bool, n_parts);
    for (uint32_t p = 0; p < n_parts; p++)
        parked->wanted[p] = true;
    if (op->lease.n_queues == 0)
        enter(parked, any_queue);
    for (size_t i = 0; i < op->lease.n_queues; i++) {
        if (!is_repeated(op, i))
            enter(parked, op->lease.queues[i]);
    }
    list_push_back(&loop->parked, &parked->link);
    atomic_fetch_add_explicit(&loop->remote->parked, 1, memory_order_relaxed);
    return parked;
}

/* Leave a line: what is owed there goes to the next (W1, W2). */
static void leave(ParkedLease *parked, ParkSpot *spot)
{
    RemoteLoop *loop = parked->loop;
    ParkLine *line = spot->line;

    list_remove(&spot->link);
    for (uint32_t p = 0; p < loop->remote->n_parts; p++) {
        bool is_owed = spot->parts[p].owed > 0;

        if (!is_owed && line->is_registered[p])
            continue;
        if (!line_wake(line, p, is_owed ? 1 : 0) && is_owed)
            care_pass(&loop->parts[p], line_key(line));
    }
    mem_free(spot->parts);
    if (list_is_empty(&line->spots))
        line_free(loop, line);
}

static void park_free(ParkedLease *parked)
{
    list_remove(&parked->link);
    for (size_t i = 0; i < parked->n_spots; i++)
        leave(parked, &parked->spots[i]);
    atomic_fetch_sub_explicit(&parked->loop->remote->parked, 1, memory_order_relaxed);
    mem_free(parked->wanted);
    mem_free(parked->asked);
    mem_free(parked);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool wants_any(const ParkedLease *parked)
{
    for (uint32_t p = 0; p < parked->loop->remote->n_parts; p++) {
        if (parked->wanted[p])
            return true;
    }
    return false;
}

/* The request that is made now asks for all that is owed so far. */
static void begin_ask(ParkedLease *parked)
{
    uint32_t n_parts = parked->loop->remote->n_parts;

    memcpy(parked->asked, parked->wanted, n_parts * sizeof(bool));
    memset(parked->wanted, 0, n_parts * sizeof(bool));
    sl_event_clear(&parked->woken);
    parked->is_asking = true;
    for (size_t i = 0; i < parked->n_spots; i++) {
        ParkSpot *spot = &parked->spots[i];

        for (uint32_t p = 0; p < n_parts; p++) {
            if (!parked->asked[p])
                continue;
            spot->parts[p].asked = spot->parts[p].owed;
            spot->parts[p].owed = 0;
            spot->parts[p].messages = spot->line->messages[p];
        }
    }
}

/*
 * P was asked and had nothing: the line is registered there (W3). What is there may be of types
 * that this lease does not take, and others do, here or elsewhere.
 */
static void settle_none(ParkedLease *parked, ParkSpot *spot, uint32_t p)
{
    struct SpotPart *part = &spot->parts[p];

    if (part->messages == spot->line->messages[p])
        spot->line->is_registered[p] = true;
    if (part->asked == 0 || !filter_refuses(parked->loop, parked->op->lease.filter))
        return;
    if (!line_wake_other(spot, p))
        care_pass_later(&parked->loop->parts[p], line_key(spot->line));
}

/*
 * It was given something: the script has taken this loop out of the register there. When that was
 * all it asked for, there may be more than it could take.
 */
static void settle_some(const ParkedLease *parked, ParkSpot *spot, uint32_t p)
{
    struct SpotPart *part = &spot->parts[p];

    spot->line->is_registered[p] = false;
    if (parked->is_full && part->asked > 1)
        part->owed += part->asked - 1;
}

/* What the request meant for what was owed. LEFT has the partitions it did not come to. */
static void end_ask(ParkedLease *parked, const bool *left)
{
    const StoreOp *op = parked->op;

    parked->is_asking = false;
    for (size_t i = 0; i < parked->n_spots; i++) {
        ParkSpot *spot = &parked->spots[i];

        for (uint32_t p = 0; p < parked->loop->remote->n_parts; p++) {
            struct SpotPart *part = &spot->parts[p];

            if (!parked->asked[p])
                continue;
            if (left[p] || op->r < 0)
                part->owed += part->asked;
            else if (op->lease.n > 0)
                settle_some(parked, spot, p);
            else if (op->r == STORE_EMPTY)
                settle_none(parked, spot, p);
            part->asked = 0;
        }
    }
}

SUSPENDS static void ask(ParkedLease *parked)
{
    uint32_t n_parts = parked->loop->remote->n_parts;
    bool *left = mem_new_array(bool, n_parts);
    StoreOp *op = parked->op;
    unsigned turn = parked->loop->lost_turn;

    begin_ask(parked);
    memcpy(left, parked->asked, n_parts * sizeof(bool));
    op->why[0] = '\0';
    parked->is_full = remote_lease(parked->loop, op, left, true);
    if (op->r < 0 && parked->loop->lost_turn != turn)
        op->r = STORE_MORE; /* what was there is gone; what comes is waited for */
    end_ask(parked, left);
    for (uint32_t p = 0; p < n_parts; p++)
        parked->wanted[p] |= op->r == STORE_MORE && parked->asked[p];
    mem_free(left);
}

void remote_park(RemoteLoop *loop, StoreOp *op)
{
    ParkedLease *parked;

    if (loop->parked.len >= LIMIT_LEASE_WAITERS) {
        op_set_error(op, -ERR_BUSY, "too many calls wait for jobs");
        return;
    }
    remote_subscribe(loop);
    parked = park_new(loop, op);
    do {
        if (wants_any(parked))
            ask(parked);
    } while ((op->r == STORE_EMPTY || op->r == STORE_MORE) && !loop->is_ending &&
             (wants_any(parked) ? !sl_is_cancelled() : sl_event_wait(&parked->woken) == 0));
    if (op->r == STORE_MORE)
        op->r = STORE_EMPTY;
    park_free(parked);
}
