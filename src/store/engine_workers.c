/*
 * The cards of the workers, of a store that one process has to itself.
 *
 * They live in memory and outside of transactions: a card says who was alive a moment ago, which a
 * restart makes untrue, and its owner renews it every few seconds. One whose time is over is gone.
 */
#include "store/engine_int.h"

#include <stdlib.h>

typedef struct WorkerCard {
    int64_t until_ms; /* steady */
    size_t name_len, card_len;
    char text[]; /* the name, then the card */
} WorkerCard;

static Str card_name(const WorkerCard *card)
{
    return str_from(card->text, card->name_len);
}

static void forget(Engine *engine, Str name)
{
    mem_free(map_remove(&engine->workers, name));
}

/* Drop what was not renewed in time. */
static void forget_silent(Engine *engine)
{
    WorkerCard *silent;

    do {
        size_t cursor = 0;
        void *value;
        Str name;

        silent = NULL;
        while (!silent && map_next(&engine->workers, &cursor, &name, &value)) {
            if (((WorkerCard *) value)->until_ms <= engine->now.steady_ms)
                silent = value;
        }
        if (silent)
            forget(engine, card_name(silent));
    } while (silent);
}

int engine_worker(Engine *engine, StoreOp *op)
{
    size_t bytes = sizeof(WorkerCard) + op->worker.name.len + op->worker.card.len;
    WorkerCard *card;

    ASSERT(op->worker.name.len > 0);
    if (op->worker.card.len == 0) {
        forget(engine, op->worker.name);
        return 0;
    }
    if (!map_find(&engine->workers, op->worker.name) && engine->workers.len >= LIMIT_WORKERS) {
        forget_silent(engine);
        if (engine->workers.len >= LIMIT_WORKERS)
            return op_fail(op, -ERR_BUSY, "there are too many workers (%d)", LIMIT_WORKERS);
    }
    card = mem_zalloc(bytes);
    card->until_ms = engine->now.steady_ms + op->worker.ttl_ms;
    card->name_len = op->worker.name.len;
    card->card_len = op->worker.card.len;
    memcpy(card->text, op->worker.name.data, card->name_len);
    memcpy(card->text + card->name_len, op->worker.card.data, card->card_len);
    mem_free(map_put(&engine->workers, op->worker.name, card));
    return 0;
}

static int compare(Str a, Str b)
{
    int order = memcmp(a.data, b.data, MIN(a.len, b.len));

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *a, const void *b)
{
    return compare(card_name(*(WorkerCard *const *) a), card_name(*(WorkerCard *const *) b));
}

int engine_workers(Engine *engine, StoreOp *op)
{
    WorkerCard **cards;
    size_t n = 0, cursor = 0;
    void *value;
    Str name;
    int r = 0;

    forget_silent(engine);
    op->workers.n = 0;
    cards = mem_new_array(WorkerCard *, engine->workers.len + 1);
    while (map_next(&engine->workers, &cursor, &name, &value)) {
        if (op->workers.after.len == 0 || compare(name, op->workers.after) > 0)
            cards[n++] = value;
    }
    qsort(cards, n, sizeof(WorkerCard *), by_name);
    for (size_t i = 0; i < n && op->workers.n < op->workers.max && r == 0; i++) {
        r = op_add_text(op, card_name(cards[i]));
        if (r == 0)
            r = op_add_text(op, str_from(cards[i]->text + cards[i]->name_len, cards[i]->card_len));
        op->workers.n++;
    }
    if (r == 0 && op->workers.n < n)
        op->r = STORE_MORE;
    mem_free(cards);
    return r;
}

void engine_workers_deinit(Engine *engine)
{
    size_t cursor = 0;
    void *value;
    Str name;

    while (map_next(&engine->workers, &cursor, &name, &value))
        mem_free(value);
    map_deinit(&engine->workers);
}
