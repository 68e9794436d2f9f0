/*
 * The router: parcels dealt out to lanes by key, and put back into one order.
 *
 *   channel -> cut by key -> lane 0 … lane n-1 -> batch: all pieces are back -> the sinks
 *
 * Rows of one key always go through the same lane, so their order is kept; and because what comes
 * of a parcel goes on only when what came of the ones before it has, everything else is in order
 * too, positions of sources among it. A parcel without key columns, and a row without a value in
 * any of them, goes to the lane of its source.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "pipeline/pipeline_int.h"
#include "rows/step_share.h"

typedef struct Router {
    Pipeline *pipeline;
    size_t columns[ROUTER_KEYS_MAX]; /* of the key, in the shape that was seen last */
    size_t n_columns;
    bool has_columns; /* not all of them are SHAPE_NONE */
    const Shape *shape;
    size_t width;
    Parcel *pieces[LIMIT_PIPELINE_LANES];
} Router;

/* ---- keys ------------------------------------------------------------------------------------ */

static void find_columns(Router *router, const Parcel *parcel)
{
    const SchemaList *key = &router->pipeline->plan->config.consumers.key;
    const Str *names = key->items;

    if (router->shape == parcel->shape && router->width == parcel->rows.n_columns)
        return;
    router->has_columns = false;
    for (size_t i = 0; i < key->len; i++) {
        size_t column = shape_find(parcel->shape, names[i], 0);

        router->columns[i] = column < parcel->rows.n_columns ? column : SHAPE_NONE;
        router->has_columns |= router->columns[i] != SHAPE_NONE;
    }
    router->n_columns = key->len;
    router->shape = parcel->shape;
    router->width = parcel->rows.n_columns;
}

static size_t lane_of_source(const Router *router, const Parcel *parcel)
{
    return parcel->receipt ? parcel->receipt->source % router->pipeline->n_lanes : 0;
}

/* As state that is dealt out finds it again (deal.c). */
static size_t lane_of(const Router *router, Parcel *parcel, size_t row)
{
    static const RowValue nothing = { .kind = ROW_ANY };
    const RowValue *values = parcel_row(parcel, row);
    uint64_t share = router->pipeline->key_seed;
    bool has_value = false;

    for (size_t i = 0; i < router->n_columns; i++) {
        size_t column = router->columns[i];
        const RowValue *value = column == SHAPE_NONE ? &nothing : &values[column];

        has_value |= value->kind != ROW_ANY;
        share = step_share_add(share, value);
    }
    return has_value ? step_share_lane(share, router->pipeline->n_lanes)
                     : lane_of_source(router, parcel);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static Parcel *piece_for(Router *router, Parcel *mother, size_t lane, Batch *batch)
{
    Parcel *piece = router->pieces[lane];

    if (piece)
        return piece;
    piece = parcel_new_piece(&router->pipeline->pool, mother);
    piece->batch = batch;
    voucher_share(piece, mother);
    batch->pieces++;
    router->pieces[lane] = piece;
    return piece;
}

/* Cut MOTHER in pieces; its dead rows and counts stay with it, and it joins the results. */
static void cut(Router *router, Parcel *mother, Batch *batch)
{
    for (size_t i = 0; i < parcel_count(mother); i++) {
        size_t lane = lane_of(router, mother, i);
        bool fits = parcel_move_row(piece_for(router, mother, lane, batch), mother, i);

        ASSERT(fits); /* a piece is never larger than what it is cut from */
    }
    mother->rows.n_rows = 0;
    list_push_back(&batch->results, &mother->link);
}

SUSPENDS static int deal(Router *router, Parcel *parcel)
{
    Pipeline *pipeline = router->pipeline;
    Batch *batch = mem_new(Batch);
    int r = 0;

    list_push_back(&pipeline->batches, &batch->link);
    find_columns(router, parcel);
    if (router->has_columns && parcel_count(parcel) > 0) {
        cut(router, parcel, batch);
    } else {
        size_t lane = lane_of_source(router, parcel);

        parcel->batch = batch;
        batch->pieces = 1;
        router->pieces[lane] = parcel;
    }
    for (size_t i = 0; i < pipeline->n_lanes; i++) {
        Parcel *piece = TAKE(router->pieces[i]);

        if (!piece)
            continue;
        if (r == 0)
            r = channel_wait_room(&pipeline->lanes[i].in, piece->bytes);
        if (r == 0) {
            channel_push(&pipeline->lanes[i].in, piece);
            continue;
        }
        pipeline_fail(pipeline, r);
        parcel_give_back(pipeline, piece);
    }
    return r;
}

/* ---- back in order --------------------------------------------------------------------------- */

SUSPENDS static int hand_on(Pipeline *pipeline, Batch *batch)
{
    ListLink *link;
    int r = lines_wait_room(pipeline, &batch->results);

    if (r < 0)
        pipeline_fail(pipeline, r);
    while ((link = list_pop_front(&batch->results)) != NULL) {
        Parcel *parcel = LIST_ITEM(link, Parcel, link);

        if (r == 0)
            r = lines_put(pipeline, parcel);
        else
            parcel_give_back(pipeline, parcel);
        if (r < 0)
            pipeline_fail(pipeline, r);
    }
    return r;
}

/* The fiber that hands on batches whose pieces are all back, first in first out. */
SUSPENDS static int merge_run(void *arg)
{
    Pipeline *pipeline = arg;
    int r = 0;

    while (r == 0) {
        Batch *batch = pipeline->batches.first ? LIST_ITEM(pipeline->batches.first, Batch, link)
                                               : NULL;

        if (batch && batch->pieces == 0) {
            r = hand_on(pipeline, batch);
            list_remove(&batch->link);
            mem_free(batch);
            pipeline_wake(pipeline);
        } else if (!batch && pipeline->are_lanes_done) {
            return 0;
        } else {
            r = sl_cond_wait(&pipeline->batches_done);
        }
    }
    return r;
}

SUSPENDS static int route(Router *router)
{
    Pipeline *pipeline = router->pipeline;
    Parcel *parcel;
    int r = 0;

    while (r == 0) {
        r = channel_take(&pipeline->channel, INT64_MAX, &parcel);
        if (r == 0) {
            pipeline->is_routing = true;
            save_hold_receipt(pipeline, parcel);
            r = deal(router, parcel);
            pipeline->is_routing = false;
        }
    }
    return r;
}

SUSPENDS static int lanes_and_end(Router *router)
{
    Pipeline *pipeline = router->pipeline;
    sl_nursery *lanes = sl_nursery_open(.name = "lanes");
    int r, joined;

    for (size_t i = 0; i < pipeline->n_lanes; i++)
        (void) sl_spawn(lanes, lane_run, &pipeline->lanes[i], .name = "lane",
                        .stack_bytes = LANE_STACK_BYTES); /* join tells */
    r = route(router);
    for (size_t i = 0; i < pipeline->n_lanes; i++) {
        if (r == CHANNEL_LEFT)
            channel_leave(&pipeline->lanes[i].in);
        else
            channel_close(&pipeline->lanes[i].in);
    }
    joined = sl_nursery_join(lanes);
    sl_nursery_close(lanes);
    pipeline->are_lanes_done = true;
    sl_cond_wake_all(&pipeline->batches_done);
    return r < 0 ? r : joined;
}

SUSPENDS int router_run(void *arg)
{
    Pipeline *pipeline = arg;
    Router *router = mem_new(Router);
    sl_nursery *merger = sl_nursery_open(.name = "merge");
    int r, joined;

    router->pipeline = pipeline;
    (void) sl_spawn(merger, merge_run, pipeline, .name = "merge"); /* join tells */
    r = lanes_and_end(router);
    joined = sl_nursery_join(merger);
    sl_nursery_close(merger);
    mem_free(router);
    r = r < 0 ? r : joined;
    if (r < 0)
        pipeline_fail(pipeline, r);
    pipeline->has_crew = false;
    pipeline_wake(pipeline);
    return r;
}
