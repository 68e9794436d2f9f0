/*
 * The pipelines of an engine.
 */
#include "pipeline/pipeline_set.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/json.h"

struct PipelineEntry {
    ListLink link;
    char *file;
    char *name;
    Pipeline *pipeline; /* NULL: it could not be started, or is being exchanged */
    bool is_busy;       /* somebody exchanges it */
    Err why;
};

struct PipelineSet {
    PipelineSetOpts opts;
    sl_nursery *nursery;
    List entries;
    bool is_stopping; /* nothing is started any more */
};

PipelineSet *pipeline_set_new(sl_nursery *nursery, const PipelineSetOpts *opts)
{
    PipelineSet *set = mem_new(PipelineSet);

    set->opts = *opts;
    set->nursery = nursery;
    return set;
}

static void entry_free(PipelineEntry *entry)
{
    mem_free(entry->file);
    mem_free(entry->name);
    mem_free(entry);
}

/* ---- starting -------------------------------------------------------------------------------- */

typedef struct Compiling {
    const PipelineConfig *config;
    Plan *plan;
} Compiling;

static int compile(void *arg)
{
    Compiling *compiling = arg;

    return plan_new(compiling->config, &compiling->plan);
}

SUSPENDS static int read_plan(PipelineSet *set, Str file, Plan **ret_plan)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    PipelineConfig config;
    Compiling compiling = { .config = &config };
    int r = set->opts.read(set->opts.ctx, &arena, file, &config);

    if (r == 0)
        r = sl_offload(compile, &compiling, .name = "compile a pipeline");
    if (r == 0)
        *ret_plan = compiling.plan;
    return wrap(r, "pipeline %.*s", (int) file.len, file.data);
}

static int check_going(const PipelineSet *set)
{
    return set->is_stopping ? fail(-ERR_UNAVAILABLE, "the engine is stopping") : 0;
}

/* The stop of the set does not see a pipeline that comes to be meanwhile. */
SUSPENDS static int start_pipeline(PipelineSet *set, Pipeline **ret_pipeline, TAKES Plan *plan)
{
    int r = check_going(set);

    if (r < 0) {
        plan_unref(plan);
        return r;
    }
    r = pipeline_start(ret_pipeline, set->nursery, plan, &set->opts.pipeline);
    if (r == 0 && set->is_stopping) {
        (void) pipeline_stop(TAKE(*ret_pipeline), set->opts.drain_ms); /* the words are below */
        r = check_going(set);
    }
    return r;
}

SUSPENDS static int start(PipelineSet *set, PipelineEntry *entry, TAKES Plan *plan)
{
    Pipeline *pipeline = NULL;
    int r = start_pipeline(set, &pipeline, plan);

    entry->why = (Err){ 0 };
    if (r == 0) {
        entry->pipeline = pipeline;
        return 0;
    }
    r = wrap(r, "pipeline %s", entry->name);
    err_take(r, &entry->why);
    return err_put(&entry->why);
}

SUSPENDS int pipeline_set_add(PipelineSet *set, Str file)
{
    PipelineEntry *entry;
    Plan *plan = NULL;
    int r = read_plan(set, file, &plan);

    if (r < 0)
        return r;
    if (pipeline_set_find(set, plan->name)) {
        r = fail(-ERR_CONFLICT, "pipeline %.*s: there is one called %.*s already", (int) file.len,
                 file.data, (int) plan->name.len, plan->name.data);
        plan_unref(plan);
        return r;
    }
    entry = mem_new(PipelineEntry);
    entry->file = mem_copy_c(file.data, file.len);
    entry->name = mem_copy_c(plan->name.data, plan->name.len);
    list_push_back(&set->entries, &entry->link);
    return start(set, entry, plan);
}

/* ---- stopping -------------------------------------------------------------------------------- */

typedef struct Stopping {
    PipelineEntry *entry;
    int64_t drain_ms;
} Stopping;

SUSPENDS static int stop_one(void *arg)
{
    Stopping *stopping = arg;
    Pipeline *pipeline = TAKE(stopping->entry->pipeline);
    int64_t drain_ms;

    if (!pipeline) /* somebody was quicker */
        return 0;
    drain_ms = MIN(stopping->drain_ms, pipeline_plan(pipeline)->config.drain_ms);
    (void) pipeline_stop(pipeline, drain_ms); /* how it ended was shown while it ran */
    return 0;
}

SUSPENDS static int stop_all(void *arg)
{
    PipelineSet *set = arg;
    sl_nursery *nursery = sl_nursery_open(.name = "stop pipelines", .keep_going = true);
    Stopping *stoppings = mem_new_array(Stopping, MAX(set->entries.len, (size_t) 1));
    size_t n = 0;

    list_each(&set->entries, link) {
        PipelineEntry *entry = LIST_ITEM(link, PipelineEntry, link);

        if (!entry->pipeline)
            continue;
        stoppings[n] = (Stopping){ .entry = entry, .drain_ms = set->opts.drain_ms };
        (void) sl_spawn(nursery, stop_one, &stoppings[n++], .name = "stop pipeline");
    }
    (void) sl_nursery_join(nursery); /* none of them fails */
    sl_nursery_close(nursery);
    mem_free(stoppings);
    return 0;
}

SUSPENDS void pipeline_set_stop(PipelineSet *set)
{
    if (!set)
        return;
    set->is_stopping = true;
    (void) sl_shielded(set->opts.drain_ms + LIMIT_PIPELINE_DRAIN_MS, stop_all, set);
}

void pipeline_set_free(PipelineSet *set)
{
    ListLink *link;

    if (!set)
        return;
    while ((link = list_pop_front(&set->entries)) != NULL)
        entry_free(LIST_ITEM(link, PipelineEntry, link));
    mem_free(set);
}

/* The plan that the file of ENTRY says now. */
SUSPENDS static int read_again(PipelineSet *set, const PipelineEntry *entry, Plan **ret_plan)
{
    Plan *plan = NULL;
    int r = read_plan(set, str_from_c(entry->file), &plan);

    if (r == 0 && !str_eq_c(plan->name, entry->name)) {
        r = fail(-ERR_CONFLICT, "%s: its name is %.*s, and was %s", entry->file,
                 (int) plan->name.len, plan->name.data, entry->name);
        plan_unref(TAKE(plan));
    }
    *ret_plan = plan;
    return r;
}

SUSPENDS static int replace(PipelineSet *set, PipelineEntry *entry, TAKES Plan *plan)
{
    if (entry->pipeline) {
        int64_t drain_ms = pipeline_plan(entry->pipeline)->config.drain_ms;

        (void) pipeline_stop(TAKE(entry->pipeline), drain_ms); /* it is replaced */
    }
    return start(set, entry, plan);
}

static int check_idle(const PipelineEntry *entry)
{
    return entry->is_busy ? fail(-ERR_BUSY, "pipeline %s is being changed", entry->name) : 0;
}

SUSPENDS int pipeline_set_restart(PipelineSet *set, PipelineEntry *entry)
{
    Plan *plan = NULL;
    int r = check_idle(entry);

    if (r < 0)
        return r;
    entry->is_busy = true;
    r = read_again(set, entry, &plan);
    if (r == 0)
        r = replace(set, entry, plan);
    entry->is_busy = false;
    return r;
}

SUSPENDS static int reload(PipelineSet *set, PipelineEntry *entry)
{
    Plan *plan = NULL;
    int r = read_again(set, entry, &plan);

    if (r < 0)
        return r;
    if (!entry->pipeline || set->is_stopping)
        return start(set, entry, plan); /* which refuses it in a set that stops */
    r = pipeline_reload(entry->pipeline, plan_ref(plan));
    if (r == PIPELINE_NOT_RUNNING)
        return replace(set, entry, plan);
    plan_unref(plan);
    return wrap(r, "%s", entry->file);
}

SUSPENDS int pipeline_set_reload(PipelineSet *set, PipelineEntry *entry)
{
    int r = check_idle(entry);

    if (r < 0)
        return r;
    entry->is_busy = true;
    r = reload(set, entry);
    entry->is_busy = false;
    return r;
}

/* ---- to see ---------------------------------------------------------------------------------- */

size_t pipeline_set_count(const PipelineSet *set)
{
    return set->entries.len;
}

PipelineEntry *pipeline_set_at(const PipelineSet *set, size_t index)
{
    list_each(&set->entries, link) {
        if (index-- == 0)
            return LIST_ITEM(link, PipelineEntry, link);
    }
    return NULL;
}

PipelineEntry *pipeline_set_find(const PipelineSet *set, Str name)
{
    list_each(&set->entries, link) {
        PipelineEntry *entry = LIST_ITEM(link, PipelineEntry, link);

        if (str_eq_c(name, entry->name))
            return entry;
    }
    return NULL;
}

Str pipeline_entry_name(const PipelineEntry *entry)
{
    return str_from_c(entry->name);
}

Pipeline *pipeline_entry_get(const PipelineEntry *entry)
{
    return entry->pipeline;
}

const char *pipeline_entry_why(const PipelineEntry *entry)
{
    return entry->why.text;
}

const char *pipeline_entry_state(const PipelineEntry *entry)
{
    PipelineStats stats;

    if (!entry->pipeline)
        return entry->is_busy ? "starting" : "stopped";
    pipeline_stats(entry->pipeline, &stats);
    return pipeline_state_name(stats.state);
}

void pipeline_entry_write_json(const PipelineEntry *entry, JsonWriter *out)
{
    if (entry->pipeline)
        return pipeline_write_json(entry->pipeline, out);
    json_write_object(out);
    json_write_member_c(out, "name", entry->name);
    json_write_member_c(out, "state", pipeline_entry_state(entry));
    json_write_member_c(out, "about", entry->why.text);
    json_write_object_end(out);
}
