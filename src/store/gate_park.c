/*
 * Parking: operations that wait in the gate for something to happen.
 *
 * A lease waits for jobs of its queues, a WAIT for one job's end, a WATCH for something that is due
 * earlier than it knows. They hold no fiber of the gate and no timer: whoever hands them over sets
 * its own time limit and takes them back with STORE_CANCEL.
 *
 *   queue "mail"  ->  lease A, lease C          a lease that asks for two queues stands in two lines
 *   queue "web"   ->  lease A, lease B
 *   any queue     ->  lease E                   served behind the line of the queue itself
 *   job 0197…     ->  wait D
 *
 * When a batch makes jobs available their queue's line is served from its front, inside the same
 * transaction (S5): one job wakes one waiter. Lines go when they are empty.
 */
#include "store/gate_int.h"

#include "base/mem.h"

/* The line of those who take from any queue: no queue has this name. */
static const Str any_queue = STR("*");

void parking_init(Parking *parking)
{
    *parking = (Parking){ 0 };
    map_init(&parking->lease_lines, rand_entropy(), rand_entropy());
    map_init(&parking->wait_lines, rand_entropy(), rand_entropy());
}

void parking_deinit(Parking *parking)
{
    ASSERT(parking->lease_lines.len == 0 && parking->wait_lines.len == 0);
    ASSERT(list_is_empty(&parking->in_batch));
    map_deinit(&parking->lease_lines);
    map_deinit(&parking->wait_lines);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static Map *map_for(Parking *parking, const StoreOp *op)
{
    return op->kind == STORE_LEASE ? &parking->lease_lines : &parking->wait_lines;
}

static ParkLine *line_need(Map *lines, Str key)
{
    ParkLine *line = map_find(lines, key);

    if (!line) {
        line = mem_zalloc(sizeof(ParkLine) + key.len);
        line->key_len = key.len;
        memcpy(line->key, key.data, key.len);
        map_put(lines, key, line);
    }
    return line;
}

static void spot_enter(ParkSpot *spot, StorePark *park, ParkLine *line)
{
    spot->line = line;
    spot->park = park;
    list_push_back(&line->spots, &spot->link);
}

static void spot_leave(Map *lines, ParkSpot *spot)
{
    ParkLine *line = spot->line;

    list_remove(&spot->link);
    if (list_is_empty(&line->spots)) {
        map_remove(lines, str_from(line->key, line->key_len));
        mem_free(line);
    }
}

/* Whether the lease has the queue at INDEX twice: one spot is enough. */
static bool is_repeated(const StoreOp *op, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (str_eq(op->lease.queues[i], op->lease.queues[index]))
            return true;
    }
    return false;
}

static void note_in_batch(Store *store, StorePark *park)
{
    if (!list_is_linked(&park->in_batch))
        list_push_back(&store->parking.in_batch, &park->in_batch);
}

void park_add(Store *store, StoreOp *op)
{
    Parking *parking = &store->parking;
    bool is_any = op->kind == STORE_LEASE && op->lease.n_queues == 0;
    size_t n = op->kind == STORE_LEASE && !is_any ? op->lease.n_queues : 1;
    StorePark *park;

    ASSERT(op->chain == op && !op->next); /* G2 */
    ASSERT(!op->is_parked);
    if ((op->kind == STORE_LEASE && parking->n_leases >= LIMIT_LEASE_WAITERS) ||
        (op->kind == STORE_WAIT && parking->n_waits >= LIMIT_JOB_WAITERS)) {
        op->r = -ERR_BUSY;
        return;
    }
    park = mem_zalloc(sizeof(StorePark) + n * sizeof(ParkSpot));
    park->op = op;
    park->is_new = true;
    op->park = park;
    op->is_parked = true;
    note_in_batch(store, park);
    if (op->kind == STORE_WATCH) {
        list_push_back(&parking->watchers, &park->watch);
    } else if (op->kind == STORE_WAIT) {
        Str id = str_from((const char *) op->get.id.bytes, sizeof(op->get.id.bytes));
        spot_enter(&park->spots[park->n_spots++], park, line_need(&parking->wait_lines, id));
        parking->n_waits++;
    } else {
        ASSERT(op->kind == STORE_LEASE);
        for (size_t i = 0; i < n; i++) {
            if (is_any)
                spot_enter(&park->spots[park->n_spots++], park,
                           line_need(&parking->lease_lines, any_queue));
            else if (!is_repeated(op, i))
                spot_enter(&park->spots[park->n_spots++], park,
                           line_need(&parking->lease_lines, op->lease.queues[i]));
        }
        parking->n_leases++;
    }
}

static void unpark(Store *store, StorePark *park)
{
    Parking *parking = &store->parking;
    StoreOp *op = park->op;

    list_remove(&park->in_batch);
    list_remove(&park->watch);
    for (size_t i = 0; i < park->n_spots; i++)
        spot_leave(map_for(parking, op), &park->spots[i]);
    if (op->kind == STORE_LEASE)
        parking->n_leases--;
    if (op->kind == STORE_WAIT)
        parking->n_waits--;
    op->park = NULL;
    op->is_parked = false;
    mem_free(park);
}

/* ---- serving --------------------------------------------------------------------------------- */

/* Serve the line of a queue from its front until there are no more jobs. */
static int serve_line(Store *store, ParkLine *line)
{
    list_each(&line->spots, link) {
        StorePark *park = LIST_ITEM(link, ParkSpot, link)->park;
        int r;

        if (park->is_granted || park->is_again)
            continue;
        r = store->driver->apply(store->db, park->op);
        if (r < 0)
            return r;
        if (park->op->r == 0) {
            ASSERT(park->op->lease.n > 0);
            park->is_granted = true;
            note_in_batch(store, park);
        } else if (park->op->r == STORE_MORE) {
            park->is_again = true;
            note_in_batch(store, park);
        } else if (!park->op->lease.filter) {
            return 0; /* the queue is empty: nobody behind gets anything either */
        }
    }
    return 0;
}

static int serve_waits(Store *store, const JobId *id)
{
    ParkLine *line = map_find(&store->parking.wait_lines,
                              str_from((const char *) id->bytes, sizeof(id->bytes)));

    if (!line)
        return 0;
    list_each(&line->spots, link) {
        StorePark *park = LIST_ITEM(link, ParkSpot, link)->park;
        int r = store->driver->apply(store->db, park->op);

        if (r < 0)
            return r;
        park->is_granted = true;
        note_in_batch(store, park);
    }
    return 0;
}

int park_serve_queue(Store *store, Str queue)
{
    ParkLine *line = map_find(&store->parking.lease_lines, queue);
    int r = line ? serve_line(store, line) : 0;

    if (r < 0)
        return r;
    line = map_find(&store->parking.lease_lines, any_queue);
    return line ? serve_line(store, line) : 0;
}

int park_serve(Store *store)
{
    Parking *parking = &store->parking;
    const StoreEvent *events;
    const char *served = NULL; /* the queue whose line was served last */
    size_t n;

    for (;;) {
        store->driver->events(store->db, &events, &n);
        if (parking->events_seen >= n)
            return 0;
        if (parking->lease_lines.len == 0 && parking->wait_lines.len == 0) {
            parking->events_seen = n;
            return 0;
        }
        StoreEvent event = events[parking->events_seen++]; /* a copy: serving adds events */
        int r = 0;

        if (event.to == JOB_AVAILABLE && event.queue.data != served) {
            r = park_serve_queue(store, event.queue);
            served = event.queue.data;
        } else if (job_state_is_final(event.to)) {
            r = serve_waits(store, &event.id);
        }
        if (r < 0)
            return r;
    }
}

void park_serve_watchers(Store *store)
{
    int64_t wall_ms, steady_ms;

    if (list_is_empty(&store->parking.watchers))
        return;
    store->driver->next_due(store->db, &wall_ms, &steady_ms);
    list_each(&store->parking.watchers, link) {
        StorePark *park = LIST_ITEM(link, StorePark, watch);
        StoreOp *op = park->op;

        if (wall_ms < op->due.next_wall_ms || steady_ms < op->due.next_steady_ms) {
            op->r = 0;
            park->is_granted = true;
            note_in_batch(store, park);
        }
    }
}

void park_cancel(Store *store, StoreOp *op)
{
    op->is_taken_back = true; /* in case it is on its way to be asked again */
    if (!op->is_parked || op->park->is_granted)
        return; /* it is answered with what it has got, or was answered already */
    op->r = STORE_EMPTY;
    op->park->is_granted = true;
    note_in_batch(store, op->park);
}

/* ---- the end of a batch ---------------------------------------------------------------------- */

void park_commit(Store *store, void (*on_done)(Store *, StoreOp *),
                 void (*on_again)(Store *, StoreOp *))
{
    list_each(&store->parking.in_batch, link) {
        StorePark *park = LIST_ITEM(link, StorePark, in_batch);
        StoreOp *op = park->op;

        park->is_new = false;
        if (park->is_granted) {
            unpark(store, park);
            on_done(store, op);
        } else if (park->is_again) {
            unpark(store, park);
            on_again(store, op);
        } else {
            list_remove(&park->in_batch);
        }
    }
}

void park_undo(Store *store)
{
    list_each(&store->parking.in_batch, link) {
        StorePark *park = LIST_ITEM(link, StorePark, in_batch);

        park->is_granted = park->is_again = false; /* G3 */
        list_remove(&park->in_batch);
        if (park->is_new)
            unpark(store, park);
    }
    store->parking.events_seen = 0;
}

static void end_lines(Store *store, Map *lines, void (*on_done)(Store *, StoreOp *))
{
    for (;;) {
        size_t cursor = 0;
        void *line;
        Str key;

        if (!map_next(lines, &cursor, &key, &line))
            return;
        StorePark *park = LIST_ITEM(((ParkLine *) line)->spots.first, ParkSpot, link)->park;
        StoreOp *op = park->op;

        unpark(store, park);
        op->r = STORE_EMPTY;
        on_done(store, op);
    }
}

void park_end(Store *store, void (*on_done)(Store *, StoreOp *))
{
    end_lines(store, &store->parking.lease_lines, on_done);
    end_lines(store, &store->parking.wait_lines, on_done);
    list_each(&store->parking.watchers, link) {
        StorePark *park = LIST_ITEM(link, StorePark, watch);
        StoreOp *op = park->op;

        unpark(store, park);
        op->r = STORE_EMPTY;
        on_done(store, op);
    }
}
