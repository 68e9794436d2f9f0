/*
 * Springs: the sources of a pipeline at work, and the way of their parcels into the channel.
 *
 * Each source has a fiber in the nursery of sources, a scope and an event of its own, so that one
 * can be stopped while the others run (reload.c). A spring holds the plan that its source was read
 * from: after a reload that may be an older one than the pipeline's, with the same settings.
 *
 * Springs are numbered as they are made, and a number is never used again: receipts carry it, and
 * may outlive their source.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "pipeline/spill.h"

#include <stdio.h>

#define SOURCES_GRACE_MS 2000 /* for sources to come to their end by themselves */

/* ---- what comes from sources ----------------------------------------------------------------- */

static void drop(Pipeline *pipeline, Parcel *parcel, const char *cause)
{
    books_drop(&pipeline->books, cause, parcel_count(parcel));
    if (parcel->receipt)
        parcel->receipt->dropped += parcel_count(parcel);
    parcel->rows.n_rows = 0;
    parcel->owed = 1;
    if (parcel->n_dead > 0) {
        parcel->owed++;
        dead_put(pipeline->dead, parcel);
    }
    parcel_answer(pipeline, parcel);
}

/* The parcel is in: it is counted, and its end will be known. */
static void receive(Pipeline *pipeline, Spring *spring, Parcel *parcel)
{
    uint64_t n = parcel_count(parcel) + parcel->refused + parcel->filtered + parcel->dropped;

    books_receive(&pipeline->books, n, false);
    books_filter(&pipeline->books, "source", parcel->filtered);
    books_drop(&pipeline->books, "source", parcel->dropped);
    spring->source.rows += n;
    spring->source.bytes += parcel->bytes;
    spring->errors += parcel->refused;
    voucher_attach(pipeline, parcel);
}

/* With --dry-run: rows beyond the number wished for are left out, and the sources end. */
static void cut_to_wish(Pipeline *pipeline, Parcel *parcel)
{
    uint64_t wish = (uint64_t) pipeline->opts.rows_max;
    uint64_t left = wish - MIN(wish, pipeline->books.received);

    if (wish == 0)
        return;
    parcel->rows.n_rows = MIN(parcel->rows.n_rows, (size_t) left);
    if (parcel->rows.n_rows + pipeline->books.received < wish)
        return;
    pipeline_stop_sources(pipeline);
    if (pipeline->sources_nursery) /* they may have ended by themselves */
        sl_nursery_cancel(pipeline->sources_nursery);
}

SUSPENDS static int wait_while_paused(Pipeline *pipeline)
{
    int r = 0;

    while (r == 0 && pipeline->is_pausing)
        r = sl_cond_wait(&pipeline->resumed);
    return r;
}

SUSPENDS static int wait_for_room(Pipeline *pipeline, const Parcel *parcel)
{
    int r = wait_while_paused(pipeline);

    if (r == 0 && pipeline->plan->config.channel.overflow == OVERFLOW_BLOCK)
        r = channel_wait_room(&pipeline->channel, parcel->bytes);
    else if (r == 0 && pipeline->spill)
        r = spill_wait_room(pipeline->spill);
    else if (r == 0)
        r = sl_checkpoint();
    return r;
}

/* What a source hands on again though the spill has it. */
static void leave_out_spilled(Pipeline *pipeline, Parcel *parcel)
{
    uint64_t n = spill_leave_out(pipeline->spill, parcel);

    books_receive(&pipeline->books, n, false);
    books_drop(&pipeline->books, "already spilled", n);
    pipeline->books.repeats += n;
}

SUSPENDS int pipeline_put(Pipeline *pipeline, TAKES Parcel *parcel, Spring *spring)
{
    int r;

    parcel_compact(parcel);
    r = wait_for_room(pipeline, parcel);
    if (r < 0 || pipeline->is_failing || pipeline->channel.is_closed) {
        if (parcel->receipt)
            parcel->receipt->r = r < 0 ? r : -ECANCELED;
        parcel_free(&pipeline->pool, parcel);
        return r < 0 ? r : -ECANCELED;
    }
    if (pipeline->spill)
        leave_out_spilled(pipeline, parcel);
    cut_to_wish(pipeline, parcel);
    receive(pipeline, spring, parcel);
    if (pipeline->spill &&
        (channel_is_full(&pipeline->channel) || !spill_is_empty(pipeline->spill)))
        return spill_put(pipeline->spill, parcel);
    if (channel_is_full(&pipeline->channel) &&
        pipeline->plan->config.channel.overflow == OVERFLOW_DROP_NEW) {
        drop(pipeline, parcel, "channel full");
        return 0;
    }
    while (channel_is_full(&pipeline->channel) &&
           pipeline->plan->config.channel.overflow == OVERFLOW_DROP_OLD)
        drop(pipeline, channel_drop_oldest(&pipeline->channel), "channel full");
    channel_push(&pipeline->channel, parcel);
    return 0;
}

static Spring *spring_of(Source *source)
{
    return CONTAINER_OF(source, Spring, source);
}

SUSPENDS static int host_put(Source *source, TAKES Parcel *parcel)
{
    return pipeline_put(spring_of(source)->pipeline, parcel, spring_of(source));
}

SUSPENDS static int host_wait_room(Source *source, size_t bytes)
{
    Pipeline *pipeline = spring_of(source)->pipeline;

    int r = wait_while_paused(pipeline);

    if (r < 0)
        return r;
    if (pipeline->plan->config.channel.overflow != OVERFLOW_BLOCK)
        return sl_checkpoint();
    return channel_wait_room(&pipeline->channel, bytes);
}

static void host_say(Source *source, bool is_up, const char *text)
{
    Spring *spring = spring_of(source);

    spring->is_up = is_up;
    (void) snprintf(spring->about, sizeof(spring->about), "%s", text);
    log_debug("source", L_STR("source", source->name), L_BOOL("up", is_up), L_C("about", text));
}

static void host_lost(Source *source, const char *cause, uint64_t rows)
{
    Pipeline *pipeline = spring_of(source)->pipeline;

    books_receive(&pipeline->books, rows, false);
    books_drop(&pipeline->books, cause, rows);
}

static const SourceHost source_host = {
    .put = host_put,
    .wait_room = host_wait_room,
    .say = host_say,
    .lost = host_lost,
};

/* ---- sources --------------------------------------------------------------------------------- */

SUSPENDS static int spring_run(void *arg)
{
    Spring *spring = arg;
    int r;

    sl_scope_begin(&spring->work);
    spring->has_work = true;
    r = spring->source.driver->run(&spring->source);
    spring->has_work = false;
    r = sl_scope_end(&spring->work, r);
    if (spring->is_up)
        spring->about[0] = '\0'; /* what it was at is over */
    spring->is_up = false;
    spring->has_ended = true;
    pipeline_wake(spring->pipeline);
    if (r < 0 && r != -ECANCELED)
        return wrap(r, "source %.*s", (int) spring->source.name.len, spring->source.name.data);
    return r < 0 ? 0 : r;
}

/*
 * Where the sources begin. What was saved is the surest, because everything before it has its fate.
 * Without a saved state a sink that keeps marks knows; with several such the least of them counts,
 * and the others leave out what they have. With state of steps the saved position alone is right.
 *
 * A track that a sink has heard of after the last save begins at 0 under the name it had: a source
 * that called it anew would write again what the sink knows by the old name.
 */
static void find_positions(Pipeline *pipeline, Tracks *from)
{
    bool is_first = true;

    if (pipeline->plan->is_stateful || tracks_count(&pipeline->settled) > 0)
        return;
    for (size_t i = 0; i < pipeline->n_writers; i++) {
        const Writer *writer = pipeline->writers[i];

        if (!writer || !writer->feed || !feed_is_exact(writer->feed)) {
            tracks_deinit(from);
            return;
        }
        if (is_first) {
            AUTO(buf_deinit) Buf text = { 0 };

            tracks_format(&writer->before, &text);
            (void) tracks_parse(from, buf_str(&text)); /* it was formatted just now */
        } else {
            tracks_lower_to(from, &writer->before);
        }
        is_first = false;
    }
}

static void settle_positions(Pipeline *pipeline, Buf *text)
{
    Tracks from = { 0 };

    find_positions(pipeline, &from);
    if (tracks_count(&from) > 0) {
        AUTO(buf_deinit) Buf copy = { 0 };

        tracks_format(&from, &copy);
        (void) tracks_parse(&pipeline->settled, buf_str(&copy)); /* as above */
    }
    tracks_deinit(&from);
    for (size_t i = 0; i < pipeline->n_writers; i++) {
        if (pipeline->writers[i])
            tracks_learn(&pipeline->settled, &pipeline->writers[i]->before);
    }
    tracks_format(&pipeline->settled, text);
}

Spring *spring_new(Pipeline *pipeline, Plan *plan, size_t index)
{
    const PlanSource *source = &plan->sources[index];
    Spring *spring = mem_new(Spring);

    spring->pipeline = pipeline;
    spring->plan = plan_ref(plan);
    spring->source = (Source){ .driver = source->driver,
                               .host = &source_host,
                               .owner = spring,
                               .index = pipeline->next_source++,
                               .name = source->name,
                               .args = source->args,
                               .decode = source->decode,
                               .shapes = pipeline->shapes,
                               .pool = &pipeline->pool,
                               .doors = pipeline->opts.doors,
                               .pipeline = plan->name,
                               .stopping = &spring->stopping,
                               .is_private_allowed = pipeline->opts.is_private_allowed,
                               .is_exact = true };
    return spring;
}

void spring_free(Spring *spring)
{
    if (!spring)
        return;
    ASSERT(!spring->has_work);
    mem_free(spring->positions);
    plan_unref(spring->plan);
    mem_free(spring);
}

const Spring *spring_find(const Pipeline *pipeline, uint32_t number)
{
    for (size_t i = 0; i < pipeline->n_springs; i++) {
        if (pipeline->springs[i]->source.index == number)
            return pipeline->springs[i];
    }
    return NULL;
}

SUSPENDS void spring_start(Spring *spring, Str positions)
{
    Pipeline *pipeline = spring->pipeline;

    mem_free(spring->positions);
    spring->positions = mem_copy_c(positions.data, positions.len);
    spring->source.positions = str_from(spring->positions, positions.len);
    spring->has_ended = false;
    sl_event_clear(&spring->stopping);
    if (pipeline->stopping.is_set)
        sl_event_set(&spring->stopping);
    (void) sl_spawn(pipeline->sources_nursery, spring_run, spring,
                    .name = spring->source.driver->name); /* join tells */
}

SUSPENDS int spring_stop(Spring *spring)
{
    int64_t deadline_ns = sl_now_ns() + SOURCES_GRACE_MS * NS_PER_MS;
    int r = 0;

    sl_event_set(&spring->stopping);
    while (r == 0 && !spring->has_ended) {
        sl_scope scope;

        sl_scope_begin(&scope, .deadline_ns = deadline_ns);
        r = sl_scope_end(&scope, sl_cond_wait(&spring->pipeline->quiet));
        if (r != -ETIMEDOUT)
            continue;
        if (spring->has_work)
            sl_scope_cancel(&spring->work);
        deadline_ns = 0; /* it ends now */
        r = 0;
    }
    return r;
}

void pipeline_stop_sources(Pipeline *pipeline)
{
    sl_event_set(&pipeline->stopping);
    for (size_t i = 0; i < pipeline->n_springs; i++)
        sl_event_set(&pipeline->springs[i]->stopping);
}

/* Run the sources until they have ended; when a stop is asked for, they get a moment for it. */
SUSPENDS static int join_sources(void *arg)
{
    Pipeline *pipeline = arg;

    return sl_nursery_join(pipeline->sources_nursery);
}

SUSPENDS static int watch_stopping(void *arg)
{
    Pipeline *pipeline = arg;
    int r = sl_event_wait(&pipeline->stopping);

    if (r == 0)
        r = sl_sleep_ms(SOURCES_GRACE_MS);
    if (r == 0 && pipeline->sources_nursery)
        sl_nursery_cancel(pipeline->sources_nursery);
    return r;
}

SUSPENDS int springs_run(Pipeline *pipeline)
{
    AUTO(buf_deinit) Buf positions = { 0 };
    sl_nursery *watch = sl_nursery_open(.name = "stop");
    int r;

    settle_positions(pipeline, &positions);
    pipeline->sources_nursery = sl_nursery_open(.name = "sources");
    (void) sl_spawn(watch, watch_stopping, pipeline, .name = "stop"); /* it only hastens */
    for (size_t i = 0; i < pipeline->n_springs; i++)
        spring_start(pipeline->springs[i], buf_str(&positions));
    r = join_sources(pipeline);
    sl_nursery_close(TAKE(pipeline->sources_nursery));
    sl_nursery_close(watch);
    return r;
}
