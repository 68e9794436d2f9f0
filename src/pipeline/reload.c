/*
 * Reload: another plan in the place of the one that runs, while the sources go on.
 *
 *   look      sinks that are new are opened and closed again, steps are opened: what is wrong is
 *             found here, and nothing has changed
 *   end       sources that are gone, or set otherwise, come to their end; their rows go the old way
 *   silence   the channel is held; what was in it when the reload was asked for has passed
 *   leave     the lanes go. What a window holds that nobody carries on is handed on, to the sinks
 *             that are still the old ones. State and positions are saved
 *   exchange  in one stretch that nobody sees half done: plan, lanes, writers, dead letters
 *   come      writers open, lanes run, new sources begin where the old ones have come to
 *
 *   R1  A source that is the same (name, settings) does not hear of it: its sockets stay open, and
 *       what it brings meanwhile waits in the channel, or before it as at any full channel.
 *   R2  A row goes the old way or the new way, whole: nothing is between channel and sinks when the
 *       plan changes.
 *   R3  The books, the tracks and the receipts are the pipeline's, and so stay what they are. A
 *       sink that is the same keeps its feed, with mark and note.
 *   R4  Before silence an error changes nothing: sources that were ended begin again where they had
 *       come to. Behind it an error is a failure of the pipeline, as at any other time.
 *
 * The fiber that does it is a child of the nursery of sources, so that the pipeline neither drains
 * nor ends meanwhile.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "pipeline/pipeline_int.h"

#include <stdio.h>

#define EXCHANGE_GRACE_MS 10000 /* beyond what the plan allows for draining */

struct Reload {
    Pipeline *pipeline;
    Plan *plan;  /* the new one, a reference; NULL: the pipeline has it */
    Lane *lanes; /* of it; NULL: the same */
    size_t n_lanes;
    bool has_stopped[LIMIT_PIPELINE_SOURCES]; /* by us */
    sl_event done;
    bool is_abandoned; /* who asked has gone */
    int r;
    Err err;
};

/* ---- what is the same ------------------------------------------------------------------------ */

static const PlanSource *find_source(const Plan *plan, const PlanSource *source)
{
    for (size_t i = 0; i < plan->n_sources; i++) {
        if (plan_source_is_same(&plan->sources[i], source))
            return &plan->sources[i];
    }
    return NULL;
}

static const PlanStep *find_step(const Plan *plan, const PlanStep *step)
{
    for (size_t i = 0; i < plan->n_steps; i++) {
        if (plan_step_is_same(&plan->steps[i], step))
            return &plan->steps[i];
    }
    return NULL;
}

/* The sink of PLAN that can go on with what SINK has. */
static const PlanSink *find_sink(const Plan *plan, const Plan *other, const PlanSink *sink)
{
    if (pipeline_must_sync(plan) != pipeline_must_sync(other) ||
        plan->config.grow != other->config.grow)
        return NULL;
    for (size_t i = 0; i < plan->n_sinks; i++) {
        if (plan_sink_is_same(&plan->sinks[i], sink))
            return &plan->sinks[i];
    }
    return NULL;
}

static bool keeps_dead(const Plan *plan, const Plan *other)
{
    return str_eq(plan->dead_letters.json, other->dead_letters.json) &&
           pipeline_must_sync(plan) == pipeline_must_sync(other);
}

/* ---- looking --------------------------------------------------------------------------------- */

static int refuse(const char *setting)
{
    return fail(-ERR_CONFLICT,
                "a reload cannot change %s; start it anew (`sluice pipeline restart`)", setting);
}

/* Whether the sink at INDEX spills in neither plan, or is the same in both: its spill goes on. */
static bool is_spill_kept(const Plan *plan, const Plan *other, size_t index)
{
    const PlanSink *sink = index < plan->n_sinks ? &plan->sinks[index] : NULL;
    const PlanSink *was = index < other->n_sinks ? &other->sinks[index] : NULL;
    bool spills = sink && sink->overflow == SINK_SPILL;
    bool did = was && was->overflow == SINK_SPILL;

    if (!spills && !did)
        return true;
    return spills && did && find_sink(plan, other, was) == sink;
}

static int check_settings(const Plan *plan, const Plan *other)
{
    const ChannelConfig *channel = &plan->config.channel, *was = &other->config.channel;

    if (!str_eq(plan->name, other->name))
        return refuse("the name");
    if (!str_eq(plan->config.state, other->config.state))
        return refuse("state");
    if ((channel->overflow == OVERFLOW_SPILL) != (was->overflow == OVERFLOW_SPILL))
        return refuse("channel.overflow from or to spill");
    if (channel->overflow == OVERFLOW_SPILL &&
        (channel->spill_bytes != was->spill_bytes || !str_eq(channel->spill_dir, was->spill_dir)))
        return refuse("the spill");
    for (size_t i = 0; i < MAX(plan->n_sinks, other->n_sinks); i++) {
        if (!is_spill_kept(plan, other, i))
            return refuse("a sink that spills, or its place among the sinks");
    }
    return 0;
}

static bool has_target(const Plan *plan, const PlanSink *sink)
{
    for (size_t i = 0; i < plan->n_sinks; i++) {
        if (str_eq(plan->sinks[i].spec.target, sink->spec.target))
            return true;
    }
    return false;
}

/* Open a sink and close it: whether it takes rows at all. One that is away will be waited for. */
SUSPENDS static int try_sink(const Reload *reload, const PlanSink *sink)
{
    const Pipeline *pipeline = reload->pipeline;
    AUTO(buf_deinit) Buf run_id = { 0 };
    FeedVerdict verdict = { 0 };
    FeedOpts opts = { .is_synced = pipeline_must_sync(reload->plan),
                      .can_grow = reload->plan->config.grow,
                      .http = pipeline->opts.http,
                      .engine_url = pipeline->opts.engine_url };
    Feed *feed = NULL;
    uint64_t mark;
    sl_scope scope;
    int r;

    buf_printf(&run_id, "%.*s/%.*s", (int) reload->plan->name.len, reload->plan->name.data,
               (int) sink->name.len, sink->name.data);
    opts.run_id = buf_str(&run_id);
    sl_scope_begin(&scope, .timeout_ms = LIMIT_RELOAD_TRY_MS);
    r = feed_open(&feed, &sink->spec, &opts, &mark, &verdict);
    r = sl_scope_end(&scope, r);
    feed_close(feed);
    if (r == FEED_STOP)
        r = fail(-ERR_CONFLICT, "%s", verdict.text);
    feed_verdict_deinit(&verdict);
    if (r == -ETIMEDOUT)
        return 0;
    return wrap(MIN(r, 0), "sink %.*s", (int) sink->name.len, sink->name.data);
}

/* The sinks that are new. One at the place of an old one is left out: that one has it locked, or
 * goes on writing marks that would be read too early. */
SUSPENDS static int try_sinks(const Reload *reload)
{
    const Plan *plan = reload->plan, *other = reload->pipeline->plan;
    int r = 0;

    for (size_t i = 0; i < plan->n_sinks && r == 0; i++) {
        const PlanSink *sink = &plan->sinks[i];

        if (!sink->is_by_table && !has_target(other, sink))
            r = try_sink(reload, sink);
    }
    return r;
}

static Deal deal_of(const Reload *reload)
{
    return (Deal){ .pipeline = reload->pipeline,
                   .plan = reload->plan,
                   .lanes = reload->lanes,
                   .is_reload = true };
}

SUSPENDS static int look(Reload *reload)
{
    Deal deal;
    int r;

    reload->n_lanes = (size_t) reload->plan->config.consumers.count;
    reload->lanes = mem_new_array(Lane, reload->n_lanes);
    r = lanes_open(reload->lanes, reload->n_lanes, reload->pipeline, reload->plan);
    deal = deal_of(reload);
    if (r == 0)
        r = deal_check(&deal);
    return r < 0 ? r : try_sinks(reload);
}

/* ---- sources that end ------------------------------------------------------------------------ */

SUSPENDS static int end_sources(Reload *reload)
{
    Pipeline *pipeline = reload->pipeline;
    int r = 0;

    for (size_t i = 0; i < pipeline->n_springs; i++) {
        Spring *spring = pipeline->springs[i];

        if (spring->has_ended || find_source(reload->plan, &pipeline->plan->sources[i]))
            continue;
        reload->has_stopped[i] = true;
        sl_event_set(&spring->stopping); /* all at the same time */
    }
    for (size_t i = 0; i < pipeline->n_springs && r == 0; i++) {
        if (reload->has_stopped[i])
            r = spring_stop(pipeline->springs[i]);
    }
    return r;
}

/* The reload comes to nothing. */
SUSPENDS static void begin_sources_again(Reload *reload)
{
    Pipeline *pipeline = reload->pipeline;
    AUTO(buf_deinit) Buf positions = { 0 };

    vouchers_format(pipeline, &positions);
    for (size_t i = 0; i < pipeline->n_springs; i++) {
        if (reload->has_stopped[i] && pipeline->springs[i]->has_ended)
            spring_start(pipeline->springs[i], buf_str(&positions));
    }
}

/* ---- silence --------------------------------------------------------------------------------- */

SUSPENDS static int wait_for_silence(Reload *reload)
{
    Pipeline *pipeline = reload->pipeline;
    uint64_t until = pipeline->channel.pushed;
    int r = 0;

    while (r == 0 && pipeline->channel.taken < until)
        r = sl_cond_wait(&pipeline->quiet);
    return r < 0 ? r : pipeline_quiet(pipeline);
}

/* The lock of saving is held from here on when it is 0. */
SUSPENDS static int silence(Reload *reload)
{
    Pipeline *pipeline = reload->pipeline;
    int64_t drain_ms = pipeline->plan->config.drain_ms;
    bool is_locked;
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .timeout_ms = MAX(drain_ms, (int64_t) 1));
    r = sl_mutex_lock(&pipeline->saving); /* a save may wait for silence, too */
    is_locked = r == 0;
    if (r == 0)
        r = wait_for_silence(reload);
    r = sl_scope_end(&scope, r);
    if (r == 0)
        return 0;
    if (is_locked) {
        channel_hold(&pipeline->channel, false);
        sl_mutex_unlock(&pipeline->saving);
    }
    if (r == PIPELINE_RESTLESS)
        return fail(
            -ERR_UNAVAILABLE,
            "a sink that the others do not wait for is away and holds rows (%s), so nothing "
            "was changed; once it is back, reload again",
            pipeline->about);
    if (r != -ETIMEDOUT)
        return r;
    return fail(-ERR_UNAVAILABLE,
                "rows in flight were not written within %lld ms (%s%s%s), so nothing was changed; "
                "once they are, reload again",
                (long long) drain_ms, pipeline_state_name(pipeline->state),
                pipeline->about[0] != '\0' ? ": " : "", pipeline->about);
}

/* ---- leaving --------------------------------------------------------------------------------- */

/* What a step holds that nobody carries on is handed on. */
static void mark_ends(Reload *reload)
{
    Pipeline *pipeline = reload->pipeline;

    for (size_t i = 0; i < pipeline->n_lanes; i++) {
        for (size_t k = 0; k < pipeline->lanes[i].n_steps; k++) {
            LaneStep *step = &pipeline->lanes[i].steps[k];

            step->ends_here = !step->plan->driver->is_stateful ||
                              !find_step(reload->plan, step->plan);
        }
    }
}

SUSPENDS static int wait_for_writers(Pipeline *pipeline, bool (*has_ended)(const Writer *writer))
{
    int r = 0;

    for (size_t i = 0; i < pipeline->n_writers; i++) {
        for (Writer *writer = pipeline->writers[i]; writer; writer = writer->next) {
            while (r == 0 && !has_ended(writer) && !pipeline->is_failing)
                r = sl_cond_wait(&pipeline->quiet);
        }
    }
    return pipeline->is_failing ? err_put(&pipeline->end_err) : r;
}

static bool is_gone_or_stays(const Writer *writer)
{
    return writer->has_ended || !writer->line.is_closed;
}

/* Sinks that are gone, or set otherwise, are closed. */
SUSPENDS static int close_sinks(Reload *reload)
{
    Pipeline *pipeline = reload->pipeline;
    int r;

    for (size_t i = 0; i < pipeline->n_writers; i++) {
        if (find_sink(reload->plan, pipeline->plan, &pipeline->plan->sinks[i]))
            continue;
        for (Writer *writer = pipeline->writers[i]; writer; writer = writer->next)
            writer_leave(writer);
    }
    r = wait_for_writers(pipeline, is_gone_or_stays);
    for (size_t i = 0; i < pipeline->n_writers && r == 0; i++) {
        for (Writer *writer = pipeline->writers[i]; writer; writer = writer->next) {
            if (writer->line.is_closed)
                feed_close(TAKE(writer->feed));
        }
    }
    return r;
}

SUSPENDS static int close_dead(Reload *reload)
{
    Pipeline *pipeline = reload->pipeline;

    return keeps_dead(reload->plan, pipeline->plan) ? 0 : dead_leave(pipeline->dead);
}

SUSPENDS static int leave(Reload *reload)
{
    Pipeline *pipeline = reload->pipeline;
    AUTO(buf_deinit) Buf text = { .max_bytes = 2 * (size_t) LIMIT_STATE_BYTES };
    const Deal deal = deal_of(reload);
    int r;

    mark_ends(reload);
    r = crew_leave(pipeline);
    if (r == 0)
        r = pipeline_quiet(pipeline); /* what the lanes have handed on is written */
    if (r == PIPELINE_RESTLESS)
        return fail(-ERR_UNAVAILABLE, "a sink that the others do not wait for has gone away while "
                                      "the pipeline was reloaded");
    if (r == 0)
        r = save_format(pipeline, &text);
    if (r == 0)
        r = deal_out(&deal, buf_str(&text));
    if (r == 0)
        r = save_write(pipeline, &text);
    if (r == 0)
        r = close_sinks(reload);
    if (r == 0)
        r = close_dead(reload);
    return r;
}

/* ---- the exchange ---------------------------------------------------------------------------- */

/* What the sinks counted, to go on from; writers that stay go over. */
static void exchange_writers(Reload *reload)
{
    Pipeline *pipeline = reload->pipeline;
    const Plan *plan = reload->plan, *old = pipeline->plan;
    Writer **writers = mem_new_array(Writer *, MAX(plan->n_sinks, (size_t) 1));
    PipelinePart *before = mem_new_array(PipelinePart, MAX(plan->n_sinks, (size_t) 1));

    for (size_t i = 0; i < old->n_sinks; i++) {
        const PlanSink *same = find_sink(plan, old, &old->sinks[i]);
        Writer *next;

        for (size_t k = 0; k < plan->n_sinks; k++) {
            if (str_eq(plan->sinks[k].name, old->sinks[i].name))
                before[k] = same ? pipeline->sinks_before[i] : pipeline_sink(pipeline, i);
        }
        for (Writer *writer = pipeline->writers[i]; writer; writer = next) {
            next = writer->next;
            if (same) {
                writer->sink = same;
                writer->index = (uint32_t) (same - plan->sinks);
            } else {
                writer_free(writer);
            }
        }
        if (same)
            writers[same - plan->sinks] = pipeline->writers[i];
    }
    mem_free(pipeline->writers);
    mem_free(pipeline->sinks_before);
    pipeline->writers = writers;
    pipeline->sinks_before = before;
    pipeline->n_writers = plan->n_sinks;
}

static void exchange_lanes(Reload *reload)
{
    Pipeline *pipeline = reload->pipeline;
    const Plan *plan = reload->plan, *old = pipeline->plan;
    PipelinePart *before = mem_new_array(PipelinePart, MAX(plan->n_steps, (size_t) 1));

    for (size_t i = 0; i < old->n_steps; i++) {
        for (size_t k = 0; k < plan->n_steps; k++) {
            if (str_eq(plan->steps[k].name, old->steps[i].name))
                before[k] = pipeline_step(pipeline, i);
        }
    }
    lanes_free(pipeline->lanes, pipeline->n_lanes);
    mem_free(pipeline->steps_before);
    pipeline->steps_before = before;
    pipeline->lanes = TAKE(reload->lanes);
    pipeline->n_lanes = reload->n_lanes;
}

static Spring *take_spring(Pipeline *pipeline, const PlanSource *source)
{
    for (size_t i = 0; i < pipeline->n_springs; i++) {
        if (pipeline->springs[i] && plan_source_is_same(&pipeline->plan->sources[i], source))
            return TAKE(pipeline->springs[i]);
    }
    return NULL;
}

static void exchange_springs(Reload *reload)
{
    Pipeline *pipeline = reload->pipeline;
    Plan *plan = reload->plan;
    Spring **springs = mem_new_array(Spring *, plan->n_sources);

    for (size_t i = 0; i < plan->n_sources; i++) {
        springs[i] = take_spring(pipeline, &plan->sources[i]);
        if (!springs[i])
            springs[i] = spring_new(pipeline, plan, i);
    }
    for (size_t i = 0; i < pipeline->n_springs; i++)
        spring_free(pipeline->springs[i]);
    mem_free(pipeline->springs);
    pipeline->springs = springs;
    pipeline->n_springs = plan->n_sources;
}

/* A pipeline of the new plan, of which nothing new runs yet. Does not suspend. */
static void exchange(Reload *reload)
{
    Pipeline *pipeline = reload->pipeline;
    Plan *old = pipeline->plan;
    Dead *old_dead = keeps_dead(reload->plan, old) ? NULL : pipeline->dead;

    pipeline_publish(pipeline);
    exchange_writers(reload);
    exchange_lanes(reload);
    exchange_springs(reload);
    pipeline->is_synced = pipeline_must_sync(reload->plan);
    pipeline->channel.rows_max = (size_t) reload->plan->config.channel.rows;
    pipeline->channel.bytes_max = (size_t) reload->plan->config.channel.bytes;
    pipeline->plan = TAKE(reload->plan);
    if (old_dead) {
        pipeline->dead = dead_new(pipeline);
        dead_inherit(pipeline->dead, old_dead);
        dead_free(old_dead);
        pipeline_wake(pipeline); /* sinks may wait for it */
    }
    plan_unref(old);
    pipeline->reloads++;
    pipeline->is_dirty = true;
    pipeline_publish_from_here(pipeline);
}

SUSPENDS static int come(Reload *reload, bool has_new_dead)
{
    Pipeline *pipeline = reload->pipeline;
    AUTO(buf_deinit) Buf positions = { 0 };
    int r;

    pipeline_show_state(pipeline); /* an old sink may have been away */
    r = crew_start_writers(pipeline);
    if (r < 0)
        return r;
    if (has_new_dead)
        (void) sl_spawn(pipeline->crew_writers, dead_run, pipeline->dead, .name = "dead letters");
    crew_start_lanes(pipeline);
    vouchers_format(pipeline, &positions);
    for (size_t i = 0; i < pipeline->n_springs; i++) {
        Spring *spring = pipeline->springs[i];

        if (!spring->positions) /* it has never begun */
            spring_start(spring, buf_str(&positions));
    }
    return 0;
}

SUSPENDS static int leave_and_come(void *arg)
{
    Reload *reload = arg;
    bool has_new_dead = !keeps_dead(reload->plan, reload->pipeline->plan);
    int r = leave(reload);

    if (r < 0)
        return r;
    SL_NO_SUSPEND
    {
        exchange(reload);
    }
    return come(reload, has_new_dead);
}

/* ---- the whole ------------------------------------------------------------------------------- */

SUSPENDS static int change(Reload *reload)
{
    Pipeline *pipeline = reload->pipeline;
    int64_t grace_ms = pipeline->plan->config.drain_ms + EXCHANGE_GRACE_MS;
    int r = look(reload);

    if (r == 0)
        r = end_sources(reload);
    if (r == 0)
        r = silence(reload);
    if (r < 0) {
        begin_sources_again(reload); /* R4 */
        return r;
    }
    r = sl_shielded(grace_ms, leave_and_come, reload); /* a stop waits for it */
    if (r < 0)
        pipeline_fail(pipeline, r);
    channel_hold(&pipeline->channel, false);
    sl_cond_wake_all(&pipeline->channel.room); /* it may be larger now */
    sl_mutex_unlock(&pipeline->saving);
    return r;
}

static void reload_free(Reload *reload)
{
    if (reload->lanes)
        lanes_free(reload->lanes, reload->n_lanes);
    plan_unref(reload->plan);
    mem_free(reload);
}

SUSPENDS static int reload_run(void *arg)
{
    Reload *reload = arg;

    reload->r = change(reload);
    if (reload->r < 0)
        err_take(reload->r, &reload->err);
    reload->pipeline->reload = NULL;
    if (reload->is_abandoned)
        reload_free(reload);
    else
        sl_event_set(&reload->done);
    return 0;
}

/* Wait for it; who is cancelled meanwhile leaves it alone. */
SUSPENDS static int wait_for_reload(Reload *reload)
{
    int r = sl_event_wait(&reload->done);

    if (!reload->done.is_set) {
        reload->is_abandoned = true;
        return r;
    }
    r = reload->r < 0 ? err_put(&reload->err) : 0;
    reload_free(reload);
    return r;
}

SUSPENDS int pipeline_reload(Pipeline *pipeline, TAKES Plan *plan)
{
    Reload *reload;
    int r = 0;

    if (pipeline->reload)
        r = fail(-ERR_BUSY, "it is being reloaded");
    else if (!pipeline->sources_nursery || pipeline->stopping.is_set || pipeline->is_failing)
        r = PIPELINE_NOT_RUNNING;
    else if (pipeline->opts.show)
        r = fail(-ERR_CONFLICT, "a dry run is not reloaded");
    else
        r = check_settings(plan, pipeline->plan);
    if (r != 0) {
        plan_unref(plan);
        return r;
    }
    reload = mem_new(Reload);
    reload->pipeline = pipeline;
    reload->plan = plan;
    pipeline->reload = reload;
    r = sl_spawn(pipeline->sources_nursery, reload_run, reload, .name = "reload",
                 .stack_bytes = LANE_STACK_BYTES);
    if (r < 0) {
        pipeline->reload = NULL;
        reload_free(reload);
        return r;
    }
    return wait_for_reload(reload);
}
