/*
 * Dealing: state that was saved goes to the lanes that carry it on.
 *
 *   the same lanes     what lane i has saved, lane i loads
 *   other lanes        with another number or another key each step deals out what each lane has
 *                      saved, by the hash by which the router will share the rows (step_share.h)
 *
 * That is right when the key of what a step remembers tells the values by which the rows are
 * shared. So the columns of `consumers.key` are followed from the sources to the step: each step
 * before it says what a column is called when it leaves (column_after), and the step itself whether
 * the column is in its key (knows). With one lane nothing needs to be known. Where it cannot be
 * known the change is refused, before anything has happened; the state stays where it was.
 *
 * State and positions are of one moment (save.c), and the file is not touched by dealing. So a
 * pipeline that is killed right after it has begun with other lanes begins with the same file
 * again, and each row counts as often as without the change.
 *
 * Without a key the lanes share the rows by their source. With one source all of them come through
 * one lane, which gets everything; with several, what came from which is not known.
 */
#include "base/assert.h"
#include "codec/json.h"
#include "pipeline/pipeline_int.h"
#include "rows/step_share.h"

typedef struct SavedStep {
    Str name;
    Str settings;
    int64_t lane;
    int64_t bytes;
    bool is_by_arrival;
} SavedStep;

/* What is known of the file. */
typedef struct Saved {
    Json steps;
    Str blobs;
    uint64_t lanes;
    bool is_moved; /* to other lanes */
} Saved;

#define TO_DO                                                                                  \
    "set consumers back, or take one consumer, or let the pipeline come to its end before it " \
    "changes, or begin anew with --forget"

void deal_format_key(const Plan *plan, Buf *out)
{
    const SchemaList *key = &plan->config.consumers.key;
    const Str *names = key->items;

    for (size_t i = 0; i < key->len; i++)
        buf_printf(out, "%s%.*s", i > 0 ? " " : "", (int) names[i].len, names[i].data);
}

/* ---- which steps go on ----------------------------------------------------------------------- */

/* The step of the plan that carries on what a step of NAME and SETTINGS held; n_steps: none. */
static size_t find_step(const Plan *plan, Str name, Str settings)
{
    size_t k = 0;

    while (k < plan->n_steps &&
           !(plan->steps[k].driver->is_stateful && str_eq(plan->steps[k].name, name) &&
             str_eq(plan->steps[k].json, settings)))
        k++;
    return k;
}

static bool has_name(const Plan *plan, Str name)
{
    for (size_t k = 0; k < plan->n_steps; k++) {
        if (plan->steps[k].driver->is_stateful && str_eq(plan->steps[k].name, name))
            return true;
    }
    return false;
}

/* A person hears of it: what a step held counts for nothing any more. Once for each step. */
static void tell_left_behind(const Deal *deal, const SavedStep *saved)
{
    char *news = deal->pipeline->news;
    size_t len = strlen(news), max = sizeof(deal->pipeline->news);

    if (saved->lane > 0 || saved->is_by_arrival)
        return;
    (void) snprintf(news + len, max - len, "%sstep %.*s %s: %s", len > 0 ? "; " : "",
                    (int) saved->name.len, saved->name.data,
                    has_name(deal->plan, saved->name) ? "has other settings now" : "is gone",
                    deal->is_reload ? "what it held was handed on" : "what it held is left behind");
}

/* ---- by what the rows are shared ------------------------------------------------------------- */

/* The lane of the rows of the only source. */
static size_t lane_of_source(const Deal *deal)
{
    const Pipeline *pipeline = deal->pipeline;
    size_t number = 0;

    if (deal->is_reload) {
        number = pipeline->next_source;
        for (size_t i = 0; i < pipeline->n_springs; i++) {
            if (plan_source_is_same(&pipeline->plan->sources[i], &deal->plan->sources[0]))
                number = pipeline->springs[i]->source.index;
        }
    }
    return number % (size_t) deal->plan->config.consumers.count;
}

/* What column NAME of the sources is called where step INDEX stands; empty: it does not come so
 * far, and *RET_WHO is the step that keeps it. */
static Str follow(const Deal *deal, Str name, size_t index, const PlanStep **ret_who)
{
    for (size_t k = 0; k < index && name.len > 0; k++) {
        const PlanStep *step = &deal->plan->steps[k];

        *ret_who = step;
        if (step->driver->column_after)
            name = step->driver->column_after(deal->lanes[0].steps[k].state, name);
    }
    return name;
}

static int refuse_column(const PlanStep *step, Str column, const PlanStep *who)
{
    if (who)
        return fail(
            -ERR_CONFLICT,
            "consumers share the rows by %.*s, of which step %.*s makes something else "
            "before step %.*s remembers it: what that holds cannot be dealt out anew; " TO_DO,
            (int) column.len, column.data, (int) who->name.len, who->name.data,
            (int) step->name.len, step->name.data);
    return fail(-ERR_CONFLICT,
                "consumers share the rows by %.*s, which is not in the key of step %.*s: what "
                "that holds cannot be dealt out anew; " TO_DO,
                (int) column.len, column.data, (int) step->name.len, step->name.data);
}

/* How what step INDEX holds is to be dealt out; COLUMNS has room for the key. 0, or why not. */
static int share_of(const Deal *deal, size_t index, Str *columns, StepShare *ret)
{
    const Plan *plan = deal->plan;
    const PlanStep *step = &plan->steps[index], *who = NULL;
    const SchemaList *key = &plan->config.consumers.key;
    const Str *names = key->items;

    *ret = (StepShare){ .n_lanes = (size_t) plan->config.consumers.count,
                        .seed = deal->pipeline->key_seed,
                        .columns = columns,
                        .n_columns = key->len };
    if (ret->n_lanes == 1 || !step->driver->knows)
        return 0;
    if (plan->n_sources == 1)
        ret->lane_of_none = lane_of_source(deal);
    else if (key->len == 0)
        return fail(-ERR_CONFLICT,
                    "without a consumers.key the consumers share the rows by their source, and "
                    "what step %.*s holds does not say from which source it came; give "
                    "consumers.key, or " TO_DO,
                    (int) step->name.len, step->name.data);
    ASSERT(key->len <= ROUTER_KEYS_MAX);
    for (size_t i = 0; i < key->len; i++) {
        columns[i] = follow(deal, names[i], index, &who);
        if (columns[i].len == 0)
            return refuse_column(step, names[i], who);
        if (!step->driver->knows(deal->lanes[0].steps[index].state, columns[i]))
            return refuse_column(step, names[i], NULL);
    }
    return 0;
}

/* Whether the rows come through other lanes than those before. KEY NULL: not known. */
static bool is_moved(const Plan *plan, uint64_t lanes, const Str *key)
{
    AUTO(buf_deinit) Buf now = { 0 };

    if (lanes != (uint64_t) plan->config.consumers.count)
        return true;
    if (lanes == 1)
        return false;
    if (plan->config.consumers.key.len == 0 && plan->n_sources == 1)
        return true; /* it may have another number */
    deal_format_key(plan, &now);
    return key && !str_eq(*key, buf_str(&now));
}

int deal_check(const Deal *deal)
{
    AUTO(buf_deinit) Buf key = { 0 };
    const Plan *old = deal->pipeline->plan;
    Str key_text, columns[ROUTER_KEYS_MAX];
    StepShare share;
    int r = 0;

    deal_format_key(old, &key);
    key_text = buf_str(&key);
    if (!is_moved(deal->plan, deal->pipeline->n_lanes, &key_text))
        return 0;
    for (size_t i = 0; i < old->n_steps && r == 0; i++) {
        size_t k = find_step(deal->plan, old->steps[i].name, old->steps[i].json);

        if (k < deal->plan->n_steps)
            r = share_of(deal, k, columns, &share);
    }
    return r;
}

/* ---- dealing --------------------------------------------------------------------------------- */

static int deal_anew(const Deal *deal, size_t index, Str bytes)
{
    void *states[LIMIT_PIPELINE_LANES];
    Str columns[ROUTER_KEYS_MAX];
    StepShare share;
    int r = share_of(deal, index, columns, &share);

    if (r < 0)
        return r;
    for (size_t i = 0; i < share.n_lanes; i++)
        states[i] = deal->lanes[i].steps[index].state;
    return deal->plan->steps[index].driver->deal(states, &share, bytes);
}

/* Give BYTES to the step that they are of; one that is gone, or is set otherwise, begins anew. */
static int load_step(const Deal *deal, const Saved *saved, const SavedStep *step, Str bytes)
{
    const Plan *plan = deal->plan;
    size_t k = find_step(plan, step->name, step->settings);
    int r;

    if (k == plan->n_steps) {
        tell_left_behind(deal, step);
        return 0;
    }
    if (saved->is_moved)
        r = deal_anew(deal, k, bytes);
    else
        r = plan->steps[k].driver->load(deal->lanes[step->lane].steps[k].state, bytes);
    return wrap(r, "state of step %.*s", (int) step->name.len, step->name.data);
}

static int load_steps(const Deal *deal, const Saved *saved)
{
    Str blobs = saved->blobs;

    for (JsonIter it = json_iter(saved->steps); json_next(&it);) {
        SavedStep step = { .name = json_str_or(json_find(it.value, "name"), (Str){ 0 }),
                           .settings = json_str_or(json_find(it.value, "settings"), (Str){ 0 }),
                           .lane = json_i64_or(json_find(it.value, "lane"), -1),
                           .bytes = json_i64_or(json_find(it.value, "bytes"), -1) };

        (void) json_get_bool(json_find(it.value, "by_arrival"), &step.is_by_arrival);
        int r;

        if (step.lane < 0 || (uint64_t) step.lane >= saved->lanes || step.bytes < 0 ||
            (uint64_t) step.bytes > blobs.len)
            return fail(-ERR_CONFLICT, "it is damaged");
        r = load_step(deal, saved, &step, str_sub(blobs, 0, (size_t) step.bytes));
        if (r < 0)
            return r;
        blobs = str_sub(blobs, (size_t) step.bytes, SIZE_MAX);
    }
    return 0;
}

int deal_out(const Deal *deal, Str text)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Saved saved = { 0 };
    Str line = str_cut(text, '\n', &saved.blobs), key;
    JsonDoc doc;
    bool has_key;
    int r = json_parse(&arena, line, &doc);

    if (r < 0)
        return r;
    if (json_i64_or(json_find(doc.root, "version"), 0) != SAVE_VERSION)
        return fail(-ERR_CONFLICT, "it is of another version of this program; begin anew with "
                                   "--forget");
    if (deal->is_reload)
        deal->pipeline->news[0] = '\0';
    (void) json_get_u64(json_find(doc.root, "lanes"), &saved.lanes);
    (void) json_get_u64(json_find(doc.root, "seed"), &deal->pipeline->key_seed);
    has_key = json_get_str(json_find(doc.root, "key"), &key);
    saved.steps = json_find(doc.root, "steps");
    saved.is_moved = is_moved(deal->plan, saved.lanes, has_key ? &key : NULL);
    r = load_steps(deal, &saved);
    if (r == 0 && !deal->is_reload)
        r = tracks_parse(&deal->pipeline->settled,
                         json_raw(&doc, json_find(doc.root, "positions")));
    return r;
}
