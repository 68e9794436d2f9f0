/*
 * Lanes: parcels through the steps, one after another.
 *
 * With one lane it takes from the channel itself. With several, the router deals out pieces by key
 * and puts what comes of them back into the order of the channel. Steps that burn, and the steps of
 * several lanes, run on the pool; the lane's fiber waits meanwhile, so a lane's steps never run
 * twice at once. Steps that may hang are watched from the loop meanwhile.
 *
 * The counts of a run are kept with the step and entered into the books on the loop, afterwards.
 *
 * A lane ends when its channel is closed, and then every step hands on what it holds; or when it is
 * told to go (crew_leave), and then only those do which nobody carries on.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "pipeline/pipeline_int.h"

/* One call of the steps. */
typedef struct LaneWork {
    Lane *lane;
    List parcels; /* in: what comes; out: what is left of it, and what was made */
    int64_t now_ns;
    bool is_elsewhere; /* on the pool */
    bool is_tick;
    bool is_last;
    bool is_leaving;
} LaneWork;

/* ---- steps ----------------------------------------------------------------------------------- */

/* Take out the rows that have ended in STEP, and count. HAD: rows before it. */
static void account(LaneStep *step, Parcel *parcel, const Parcel *before)
{
    uint64_t filtered, dropped, refused, left;

    parcel_compact(parcel);
    filtered = parcel->filtered - before->filtered;
    dropped = parcel->dropped - before->dropped;
    refused = parcel->refused - before->refused;
    left = parcel_count(parcel);
    step->filtered += filtered;
    step->dropped += dropped;
    step->refused += refused;
    step->rows_out += left;
    ASSERT(left + filtered + dropped + refused >= before->rows.n_rows); /* no row just vanishes */
    step->made += left + filtered + dropped + refused - before->rows.n_rows;
}

/* Rows that a step hands on beside the parcel it was given, or in a tick. */
static void take_made(LaneStep *step, List *made, const Parcel *of, List *to)
{
    ListLink *link;

    while ((link = list_pop_front(made)) != NULL) {
        Parcel *parcel = LIST_ITEM(link, Parcel, link);

        step->made += parcel_count(parcel);
        step->rows_out += parcel_count(parcel);
        if (of && parcel->receipt && parcel->receipt == of->receipt)
            voucher_share(parcel, of);
        list_push_back(to, &parcel->link);
    }
}

/* PARCEL, and what is made of it, goes to the end of the work's parcels. */
static int step_over(LaneWork *work, LaneStep *step, Parcel *parcel)
{
    const Parcel before = *parcel;
    List made = { 0 };
    StepRun run = { .parcel = parcel,
                    .now_ns = parcel->received_ns,
                    .pool = work->is_elsewhere ? NULL : &work->lane->pipeline->pool,
                    .made = &made,
                    .late = &step->late };
    int r = 0;

    step->rows_in += parcel_count(parcel);
    if (parcel_count(parcel) > 0)
        r = step->plan->driver->run(step->state, &run);
    account(step, parcel, &before); /* also what has ended before an error */
    take_made(step, &made, parcel, &work->parcels);
    list_push_back(&work->parcels, &parcel->link);
    return wrap(r, "step %.*s", (int) step->plan->name.len, step->plan->name.data);
}

static int step_tick(LaneWork *work, LaneStep *step)
{
    List made = { 0 };
    StepRun run = { .now_ns = work->now_ns,
                    .pool = work->is_elsewhere ? NULL : &work->lane->pipeline->pool,
                    .made = &made,
                    .late = &step->late };
    bool is_last = work->is_last || (work->is_leaving && step->ends_here);
    int r;

    if (!step->plan->driver->tick || !(work->is_tick || is_last))
        return 0;
    r = step->plan->driver->tick(step->state, &run, is_last);
    take_made(step, &made, NULL, &work->parcels);
    return wrap(r, "step %.*s", (int) step->plan->name.len, step->plan->name.data);
}

static int work_main(void *arg)
{
    LaneWork *work = arg;
    int r = 0;

    for (size_t i = 0; i < work->lane->n_steps && r == 0; i++) {
        LaneStep *step = &work->lane->steps[i];

        for (size_t left = work->parcels.len; left > 0 && r == 0; left--)
            r = step_over(work, step, LIST_ITEM(list_pop_front(&work->parcels), Parcel, link));
        if (r == 0)
            r = step_tick(work, step);
    }
    return r;
}

/* What the steps counted goes into the books. */
static void enter(Lane *lane)
{
    Books *books = &lane->pipeline->books;

    for (size_t i = 0; i < lane->n_steps; i++) {
        LaneStep *step = &lane->steps[i];

        books_receive(books, step->made, true);
        books_filter(books, step->plan->name.data, step->filtered);
        books_drop(books, step->plan->name.data, step->dropped);
        step->made = step->filtered = step->dropped = 0;
    }
}

static void watch(Lane *lane, bool is_given_up)
{
    for (size_t i = 0; i < lane->n_steps; i++) {
        const StepDriver *driver = lane->steps[i].plan->driver;

        if (driver->watch)
            driver->watch(lane->steps[i].state, sl_now_ns(), is_given_up);
    }
}

SUSPENDS static int watch_run(void *arg)
{
    int r = 0;

    while (r == 0) {
        watch(arg, false);
        r = sl_sleep_ms(LIMIT_LANE_WATCH_MS);
    }
    return r;
}

/* The rows of WORK are given up, while the steps are at them. */
static void on_work_cancel(void *arg)
{
    LaneWork *work = arg;

    watch(work->lane, true);
}

/* The steps on the pool. */
SUSPENDS static int work_elsewhere(LaneWork *work)
{
    sl_nursery *watcher = NULL;
    int r = 0;

    if (work->lane->is_watched) {
        watcher = sl_nursery_open(.name = "watch of steps");
        r = sl_spawn(watcher, watch_run, work->lane, .name = "watch of steps");
    }
    if (r == 0)
        r = sl_offload(work_main, work, .name = "steps", .on_cancel = on_work_cancel);
    if (watcher)
        sl_nursery_close(watcher);
    return r;
}

/* Whether a step is about to read a file. */
static bool may_block(const LaneWork *work)
{
    const Lane *lane = work->lane;

    for (size_t i = 0; i < lane->n_steps; i++) {
        const StepDriver *driver = lane->steps[i].plan->driver;

        if (driver->may_block && driver->may_block(lane->steps[i].state, work->now_ns))
            return true;
    }
    return false;
}

SUSPENDS static int lane_work(LaneWork *work)
{
    Lane *lane = work->lane;
    int r;

    if (lane->n_steps == 0)
        return 0;
    work->is_elsewhere = lane->is_offloaded || may_block(work);
    lane->is_elsewhere = work->is_elsewhere;
    if (work->is_elsewhere)
        r = work_elsewhere(work);
    else
        r = work_main(work);
    lane->is_elsewhere = false;
    enter(lane);
    return r;
}

/* ---- the fiber ------------------------------------------------------------------------------- */

/* When a step wants to be called though nothing comes, on the clock of sl_now_ns. */
static int64_t next_tick_ns(const Lane *lane)
{
    int64_t wall_ns = sl_wall_ms() * NS_PER_MS, next = INT64_MAX;

    for (size_t i = 0; i < lane->n_steps; i++) {
        const LaneStep *step = &lane->steps[i];

        if (step->plan->driver->next_tick_ns)
            next = MIN(next, step->plan->driver->next_tick_ns(step->state));
    }
    if (next == INT64_MAX)
        return INT64_MAX;
    return sl_now_ns() + MAX(next - wall_ns, (int64_t) NS_PER_MS);
}

/* Whether a step has more to hand on at once: the end is not reached before. */
static bool has_more(const LaneWork *work)
{
    for (size_t i = 0; i < work->lane->n_steps; i++) {
        const LaneStep *step = &work->lane->steps[i];

        if (work->is_leaving && !step->ends_here)
            continue;
        if (step->plan->driver->next_tick_ns && step->plan->driver->next_tick_ns(step->state) == 0)
            return true;
    }
    return false;
}

/* What has come of a piece goes to its batch, or straight to the sinks. */
SUSPENDS static int forward(LaneWork *work, Batch *batch, int r)
{
    Pipeline *pipeline = work->lane->pipeline;
    ListLink *link;

    if (!batch && r == 0 && !list_is_empty(&work->parcels)) {
        r = lines_wait_room(pipeline, &work->parcels);
        if (r < 0)
            pipeline_fail(pipeline, r);
    }
    while ((link = list_pop_front(&work->parcels)) != NULL) {
        Parcel *parcel = LIST_ITEM(link, Parcel, link);

        if (batch)
            list_push_back(&batch->results, &parcel->link);
        else if (r == 0)
            r = lines_put(pipeline, parcel);
        else
            parcel_give_back(pipeline, parcel);
        if (r < 0)
            pipeline_fail(pipeline, r);
    }
    if (batch && --batch->pieces == 0)
        sl_cond_wake_all(&pipeline->batches_done);
    return r;
}

SUSPENDS static int lane_take(Lane *lane, LaneWork *work, Batch **ret_batch)
{
    Pipeline *pipeline = lane->pipeline;
    Channel *from = pipeline->n_lanes > 1 ? &lane->in : &pipeline->channel;
    Parcel *parcel = NULL;
    int r = channel_take(from, next_tick_ns(lane), &parcel);

    *work = (LaneWork){ .lane = lane, .now_ns = sl_wall_ms() * NS_PER_MS };
    *ret_batch = NULL;
    if (r == 0) {
        *ret_batch = parcel->batch;
        if (pipeline->n_lanes == 1)
            save_hold_receipt(pipeline, parcel);
        work->now_ns = parcel->received_ns;
        list_push_back(&work->parcels, &parcel->link);
    }
    work->is_tick = r == SL_EMPTY || r == SL_CLOSED;
    work->is_last = r == SL_CLOSED;
    work->is_leaving = r == CHANNEL_LEFT;
    return r == SL_EMPTY ? 0 : r;
}

SUSPENDS int lane_run(void *arg)
{
    Lane *lane = arg;
    Batch *batch;
    LaneWork work;
    int r = 0, w;

    while (r == 0) {
        r = lane_take(lane, &work, &batch);
        if (r < 0)
            break;
        lane->is_busy = true;
        w = lane_work(&work);
        if (w < 0)
            pipeline_fail(lane->pipeline, w);
        w = forward(&work, batch, w);
        lane->is_busy = false;
        pipeline_wake(lane->pipeline);
        r = w < 0 ? w : r > 0 && has_more(&work) ? 0 : r;
    }
    if (r < 0)
        pipeline_fail(lane->pipeline, r);
    if (lane->pipeline->n_lanes == 1)
        lane->pipeline->has_crew = false;
    pipeline_wake(lane->pipeline);
    return MIN(r, 0);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* A step of a lane, opened on the pool: it may read a file. */
typedef struct StepOpening {
    const StepDriver *driver;
    StepOpts opts;
    void *state;
} StepOpening;

static int open_step(void *arg)
{
    StepOpening *opening = arg;

    return opening->driver->open(&opening->opts, &opening->state);
}

int lane_open(Lane *lane, Pipeline *pipeline, const Plan *plan, uint32_t index, uint32_t n_lanes)
{
    *lane = (Lane){ .pipeline = pipeline, .index = index, .n_steps = plan->n_steps };
    channel_init(&lane->in, LIMIT_LANE_ROWS, (size_t) LIMIT_CHANNEL_BYTES);
    lane->steps = mem_new_array(LaneStep, MAX(plan->n_steps, (size_t) 1));
    lane->is_offloaded = n_lanes > 1;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const PlanStep *step = &plan->steps[i];
        StepOpening opening = { .driver = step->driver,
                                .opts = {
                                    .args = step->args,
                                    .name = step->name,
                                    .table = plan->name,
                                    .seed = { pipeline->step_seed[0], pipeline->step_seed[1] } } };
        int r = sl_offload(open_step, &opening, .name = "open a step");

        if (r < 0)
            return wrap(r, "step %.*s", (int) step->name.len, step->name.data);
        lane->steps[i].state = opening.state;
        lane->steps[i].plan = step;
        lane->is_offloaded = lane->is_offloaded || step->driver->burns;
        lane->is_watched = lane->is_watched || step->driver->watch;
    }
    return 0;
}

void lane_deinit(Lane *lane)
{
    if (!lane->pipeline)
        return;
    for (size_t i = 0; i < lane->n_steps; i++) {
        if (lane->steps[i].plan)
            lane->steps[i].plan->driver->close(lane->steps[i].state);
    }
    mem_free(lane->steps);
}
