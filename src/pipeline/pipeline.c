/*
 * A pipeline's life.
 *
 *   start   the crew: writers open their sinks, dead letters, lanes; state and positions are read;
 *           then the sources begin where the sinks say
 *   run     until every source is at its end, or a stop is asked for, or something fails
 *   drain   the channel is closed; lanes end (windows close), lines are written, state is saved
 *   end     sinks are closed; the balance must be even
 *
 * One fiber leads all of it. Sources live in a nursery of their own, because they end first. A
 * failure anywhere sets `is_failing`: the crew is cancelled, what is in flight goes back to its
 * producers, which hear of it by their receipts.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "base/rand.h"
#include "pipeline/spill.h"
#include "rows/feed.h"

#include <stdio.h>

#define CLOSE_GRACE_MS 10000

/* ---- state ----------------------------------------------------------------------------------- */

const char *pipeline_state_name(PipelineState state)
{
    static const char *const names[] = {
#define STATE_NAME_(name, word, text) word,
        PIPELINE_STATES(STATE_NAME_)
#undef STATE_NAME_
    };

    return names[state];
}

void pipeline_set_state(Pipeline *pipeline, PipelineState state, const char *fmt, ...)
{
    bool is_over = pipeline->state == PIPELINE_ENDED || pipeline->state == PIPELINE_STOPPED;
    PipelineState before = pipeline->state;
    va_list args;

    if (is_over)
        return;
    pipeline->state = state;
    va_start(args, fmt);
    (void) vsnprintf(pipeline->about, sizeof(pipeline->about), fmt, args);
    va_end(args);
    if (state != before && pipeline->opts.on_state)
        pipeline->opts.on_state(pipeline->opts.on_state_ctx, pipeline, state, pipeline->about);
}

void pipeline_show_state(Pipeline *pipeline)
{
    if (pipeline->obstacles.last) {
        const Obstacle *obstacle = LIST_ITEM(pipeline->obstacles.last, Obstacle, link);

        pipeline_set_state(pipeline, obstacle->state, "%s", obstacle->about);
    } else if (pipeline->is_draining) {
        pipeline_set_state(pipeline, PIPELINE_DRAINING, "%s", "");
    } else if (pipeline->is_pausing) {
        pipeline_set_state(pipeline, PIPELINE_PAUSED, "%s", "by request");
    } else {
        pipeline_set_state(pipeline, pipeline->has_begun ? PIPELINE_RUNNING : PIPELINE_STARTING,
                           "%s", "");
    }
}

void obstacle_meet(Pipeline *pipeline, Obstacle *obstacle, PipelineState state, const char *fmt,
                   ...)
{
    va_list args;

    va_start(args, fmt);
    (void) vsnprintf(obstacle->about, sizeof(obstacle->about), fmt, args);
    va_end(args);
    obstacle->state = state;
    list_remove(&obstacle->link);
    list_push_back(&pipeline->obstacles, &obstacle->link);
    pipeline_show_state(pipeline);
}

void obstacle_pass(Pipeline *pipeline, Obstacle *obstacle)
{
    if (!list_is_linked(&obstacle->link))
        return;
    list_remove(&obstacle->link);
    pipeline_show_state(pipeline);
}

bool obstacle_is_passing(int r)
{
    return r != -ECANCELED && -r < ERR_INVALID && feed_outcome_of_errno(-r) != FEED_STOP;
}

void pipeline_fail(Pipeline *pipeline, int r)
{
    ASSERT(r < 0);
    if (pipeline->is_failing)
        return;
    pipeline->is_failing = true;
    pipeline->end_r = r;
    err_take(r, &pipeline->end_err);
    (void) err_put(&pipeline->end_err); /* for whoever returns it */
    pipeline_stop_sources(pipeline);
    if (pipeline->sources_nursery)
        sl_nursery_cancel(pipeline->sources_nursery);
    if (pipeline->crew)
        sl_nursery_cancel(pipeline->crew);
    if (pipeline->crew_writers)
        sl_nursery_cancel(pipeline->crew_writers);
    if (pipeline->spillers)
        sl_nursery_cancel(pipeline->spillers);
    sl_event_set(&pipeline->opened);
    pipeline_wake(pipeline);
}

/* ---- the way up and down --------------------------------------------------------------------- */

SUSPENDS static int start_crew(Pipeline *pipeline)
{
    int r = crew_start_writers(pipeline);

    if (r < 0)
        return r;
    (void) sl_spawn(pipeline->crew_writers, dead_run, pipeline->dead, .name = "dead letters");
    r = lanes_open(pipeline->lanes, pipeline->n_lanes, pipeline, pipeline->plan);
    if (r == 0 && pipeline->has_state)
        r = save_load(pipeline);
    if (r == 0)
        crew_start_lanes(pipeline);
    return r;
}

/* Sinks that the others do not wait for need only have been tried. */
static bool are_sinks_open(const Pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->n_writers; i++) {
        const Writer *writer = pipeline->writers[i];

        if (writer && !writer->is_open &&
            (writer->sink->overflow == SINK_BLOCK || !writer->is_tried))
            return false;
    }
    return true;
}

SUSPENDS static int wait_for_sinks(Pipeline *pipeline)
{
    int r = 0;

    while (r == 0 && !pipeline->is_failing && !are_sinks_open(pipeline)) {
        if (pipeline->state == PIPELINE_WAITING || pipeline->state == PIPELINE_PAUSED)
            sl_event_set(&pipeline->opened); /* it will take a while */
        if (pipeline->stopping.is_set)
            return fail(-ECANCELED, "stopped before its sinks were there");
        r = sl_cond_wait(&pipeline->quiet);
    }
    return pipeline->is_failing ? err_put(&pipeline->end_err) : r;
}

/* Everything that is in flight is written: the spill first, then the lanes, then what they feed. */
SUSPENDS static int drain(Pipeline *pipeline)
{
    int r = 0;

    pipeline->is_draining = true;
    pipeline_set_state(pipeline, PIPELINE_DRAINING, "%s", "");
    if (pipeline->spill)
        r = spill_wait_empty(pipeline->spill);
    if (pipeline->is_failing)
        return err_put(&pipeline->end_err);
    if (r < 0)
        return r;
    channel_close(&pipeline->channel);
    r = sl_nursery_join(pipeline->crew);
    if (r == 0)
        r = spills_wait_sinks(pipeline);
    if (r < 0)
        return r;
    for (size_t i = 0; i < pipeline->n_writers; i++) {
        for (Writer *writer = pipeline->writers[i]; writer; writer = writer->next) {
            writer->line.is_closed = true;
            sl_cond_wake_all(&writer->line.item);
            if (writer->has_opening && writer_is_idle(writer)) /* nothing waits for it */
                sl_scope_cancel(&writer->opening);
        }
    }
    dead_finish(pipeline->dead);
    return sl_nursery_join(pipeline->crew_writers);
}

/* ---- the leading fiber ----------------------------------------------------------------------- */

SUSPENDS static int work(Pipeline *pipeline)
{
    sl_nursery *saver = NULL;
    int r = start_crew(pipeline), ended;

    if (r == 0)
        r = wait_for_sinks(pipeline);
    if (r == 0)
        r = spills_start(pipeline);
    if (r < 0)
        return r;
    pipeline->has_begun = true;
    pipeline_show_state(pipeline);
    sl_event_set(&pipeline->opened);
    saver = sl_nursery_open(.name = "saver");
    if (pipeline->has_state)
        (void) sl_spawn(saver, save_run, pipeline, .name = "saver");  /* it tells by failing */
    (void) sl_spawn(saver, publish_run, pipeline, .name = "metrics"); /* cannot fail */
    r = springs_run(pipeline);
    ended = pipeline->is_failing ? 0
                                 : drain(pipeline); /* which may need saves, to trim the spill */
    sl_nursery_close(saver);
    if (pipeline->is_failing)
        return err_put(&pipeline->end_err);
    if (ended == 0 && pipeline->has_state)
        ended = save_now(pipeline);
    return r < 0 ? r : ended;
}

/* Parcels that never reached a sink, after a failure. */
static void give_back_all(Pipeline *pipeline)
{
    Parcel *parcel;
    ListLink *link;

    while ((parcel = channel_drop_oldest(&pipeline->channel)) != NULL)
        parcel_give_back(pipeline, parcel);
    for (size_t i = 0; i < pipeline->n_lanes; i++) {
        while ((parcel = channel_drop_oldest(&pipeline->lanes[i].in)) != NULL)
            parcel_give_back(pipeline, parcel);
    }
    while ((link = list_pop_front(&pipeline->batches)) != NULL) {
        Batch *batch = LIST_ITEM(link, Batch, link);

        while ((link = list_pop_front(&batch->results)) != NULL)
            parcel_give_back(pipeline, LIST_ITEM(link, Parcel, link));
        mem_free(batch);
    }
    for (size_t i = 0; i < pipeline->n_writers; i++) {
        for (Writer *writer = pipeline->writers[i]; writer; writer = writer->next)
            writer_abort(writer);
    }
    spills_abort(pipeline);
    dead_abort(pipeline->dead);
}

SUSPENDS static int close_sinks(void *arg)
{
    Pipeline *pipeline = arg;

    for (size_t i = 0; i < pipeline->n_writers; i++) {
        for (Writer *writer = pipeline->writers[i]; writer; writer = writer->next) {
            feed_close(TAKE(writer->feed));
        }
    }
    dead_close(pipeline->dead);
    return 0;
}

/* Everything has ended, well or not: nothing stays in flight, and people hear of it. */
SUSPENDS static void finish(Pipeline *pipeline, int r)
{
    if (r < 0)
        pipeline_fail(pipeline, r);
    sl_nursery_close(TAKE(pipeline->spillers));
    sl_nursery_close(TAKE(pipeline->crew));
    sl_nursery_close(TAKE(pipeline->crew_writers));
    if (pipeline->is_failing)
        give_back_all(pipeline);
    save_release_receipts(pipeline, pipeline->n_held, pipeline->is_failing ? -ECANCELED : 0);
    (void) sl_shielded(CLOSE_GRACE_MS, close_sinks, pipeline);  /* closing cannot fail */
    ASSERT(pipeline->books.in_flight == spills_rows(pipeline)); /* P1 */
    if (pipeline->end_r < 0 && pipeline->end_r != -ECANCELED)
        pipeline_set_state(pipeline, PIPELINE_STOPPED, "%s", pipeline->end_err.text);
    else
        pipeline_set_state(pipeline, PIPELINE_ENDED, "%s", "");
    pipeline_publish(pipeline);
    sl_event_set(&pipeline->opened);
    sl_event_set(&pipeline->ended);
}

SUSPENDS static int pipeline_run(void *arg)
{
    Pipeline *pipeline = arg;
    int r;

    sl_scope_begin(&pipeline->work);
    pipeline->has_work = true;
    pipeline->crew_writers = sl_nursery_open(.name = "writers");
    pipeline->crew = sl_nursery_open(.name = "lanes");
    r = work(pipeline);
    pipeline->has_work = false;
    finish(pipeline, r);
    (void) sl_scope_end(&pipeline->work, r); /* end_r has it */
    return 0;
}

/* ---- from outside ---------------------------------------------------------------------------- */

static void pipeline_free(Pipeline *pipeline)
{
    lanes_free(pipeline->lanes, pipeline->n_lanes);
    for (size_t i = 0; i < pipeline->n_writers; i++) {
        while (pipeline->writers[i]) {
            Writer *writer = pipeline->writers[i];

            pipeline->writers[i] = writer->next;
            writer_free(writer);
        }
    }
    spills_free(pipeline);
    dead_free(pipeline->dead);
    vouchers_deinit(pipeline);
    tracks_deinit(&pipeline->settled);
    parcel_pool_deinit(&pipeline->pool);
    shapes_free(pipeline->shapes);
    books_deinit(&pipeline->books);
    for (size_t i = 0; i < pipeline->n_springs; i++)
        spring_free(pipeline->springs[i]);
    mem_free(pipeline->held);
    mem_free(pipeline->steps_before);
    mem_free(pipeline->sinks_before);
    mem_free(pipeline->springs);
    mem_free(pipeline->writers);
    plan_unref(pipeline->plan);
    mem_free(pipeline);
}

/* Whether commits have to survive a loss of power: asked for, or because a producer that hears of
 * the commit will not send its rows again. Rows with positions come again if the sink loses both
 * them and the position. */
bool pipeline_must_sync(const Plan *plan)
{
    if (plan->config.sync != PLAN_SYNC_AUTO)
        return plan->config.sync == PLAN_SYNC_ALWAYS;
    for (size_t i = 0; i < plan->n_sources; i++) {
        if (plan->sources[i].driver->is_acknowledged)
            return true;
    }
    return false;
}

static Pipeline *pipeline_new(sl_nursery *nursery, TAKES Plan *plan, const PipelineOpts *opts)
{
    Pipeline *pipeline = mem_new(Pipeline);
    const ChannelConfig *channel = &plan->config.channel;

    pipeline->plan = plan;
    pipeline->opts = *opts;
    pipeline->nursery = nursery;
    pipeline->started_ms = sl_wall_ms();
    pipeline->shapes = shapes_new();
    channel_init(&pipeline->channel, (size_t) channel->rows, (size_t) channel->bytes);
    pipeline->springs = mem_new_array(Spring *, MAX(plan->n_sources, (size_t) 1));
    for (; pipeline->n_springs < plan->n_sources; pipeline->n_springs++)
        pipeline->springs[pipeline->n_springs] = spring_new(pipeline, plan, pipeline->n_springs);
    pipeline->n_lanes = (size_t) plan->config.consumers.count;
    pipeline->lanes = mem_new_array(Lane, pipeline->n_lanes);
    pipeline->n_writers = plan->n_sinks;
    pipeline->writers = mem_new_array(Writer *, MAX(plan->n_sinks, (size_t) 1));
    pipeline->steps_before = mem_new_array(PipelinePart, MAX(plan->n_steps, (size_t) 1));
    pipeline->sinks_before = mem_new_array(PipelinePart, MAX(plan->n_sinks, (size_t) 1));
    pipeline->dead = dead_new(pipeline);
    pipeline->key_seed = rand_entropy();
    pipeline->step_seed[0] = rand_entropy();
    pipeline->step_seed[1] = rand_entropy();
    pipeline->has_state = plan->config.state.len > 0 && !opts->show;
    pipeline->is_synced = pipeline_must_sync(plan);
    return pipeline;
}

SUSPENDS int pipeline_start(Pipeline **ret_pipeline, sl_nursery *nursery, TAKES Plan *plan,
                            const PipelineOpts *opts)
{
    Pipeline *pipeline = pipeline_new(nursery, plan, opts);
    int r = sl_spawn(nursery, pipeline_run, pipeline, .name = "pipeline");

    if (r < 0) {
        pipeline_free(pipeline);
        return r;
    }
    r = sl_event_wait(&pipeline->opened);
    if (r == 0 && pipeline->is_failing && pipeline->state == PIPELINE_STARTING)
        r = err_put(&pipeline->end_err);
    if (r < 0) {
        Err err;

        err_take(r, &err);
        (void) pipeline_stop(pipeline, 0); /* why it did not start is known */
        return err_put(&err);
    }
    *ret_pipeline = pipeline;
    return 0;
}

SUSPENDS int pipeline_wait(Pipeline *pipeline)
{
    int r = sl_event_wait(&pipeline->ended);

    if (r < 0)
        return r;
    return pipeline->end_r < 0 ? err_put(&pipeline->end_err) : 0;
}

void pipeline_hurry(Pipeline *pipeline)
{
    if (pipeline->has_work)
        sl_scope_cancel(&pipeline->work);
}

SUSPENDS static int wait_for_end(void *arg)
{
    Pipeline *pipeline = arg;

    return sl_event_wait(&pipeline->ended);
}

void pipeline_ask_to_stop(Pipeline *pipeline)
{
    pipeline_stop_sources(pipeline);
    pipeline_resume(pipeline);
    pipeline_wake(pipeline);
}

SUSPENDS int pipeline_stop(Pipeline *pipeline, int64_t grace_ms)
{
    uint64_t left;
    int r;

    if (!pipeline)
        return 0;
    pipeline_ask_to_stop(pipeline);
    if (grace_ms > 0)
        (void) sl_shielded(grace_ms, wait_for_end, pipeline); /* what was not written is counted */
    left = pipeline->books.in_flight;
    while (!pipeline->ended.is_set) { /* a deliver on the pool may take longer than a shield */
        pipeline_hurry(pipeline);
        (void) sl_shielded(CLOSE_GRACE_MS, wait_for_end, pipeline); /* it is cancelled */
    }
    r = pipeline->end_r < 0 && pipeline->end_r != -ECANCELED ? err_put(&pipeline->end_err) : 0;
    if (r == 0 && pipeline->is_failing && left > 0)
        r = fail(-ETIMEDOUT, "%llu rows in flight were given back", (unsigned long long) left);
    pipeline_free(pipeline);
    return r;
}

void pipeline_pause(Pipeline *pipeline)
{
    pipeline->is_pausing = true;
    pipeline_set_state(pipeline, PIPELINE_PAUSED, "%s", "by request");
}

void pipeline_resume(Pipeline *pipeline)
{
    if (!pipeline->is_pausing)
        return;
    pipeline->is_pausing = false;
    sl_cond_wake_all(&pipeline->resumed);
    pipeline_show_state(pipeline);
}
