/*
 * dedupe: rows that came before, within some time, are taken out.
 *
 *   - dedupe: 5m                                       # the whole row again
 *   - dedupe: { within: 1h, key: [sensor, time] }      # the same sensor and time again
 *   - dedupe: { within: 1h, key: [id], time: time }    # by the rows' own time
 *
 * The first row of a key goes on, and those like it that come less than `within` after it are taken
 * out as filtered; then one goes on again. Without a key the whole row counts: its table and every
 * column with a value. A row that has no value in any column of the key has no key, and goes on.
 *
 * By arrival, unless `time` names a column: then two rows are alike when their times are less than
 * `within` apart, whichever comes first, and what is `within` older than the newest time is
 * forgotten. A row without a time goes by its arrival.
 *
 * Dead letters that are fed back go on even when they came before: that is what they are fed back
 * for.
 *
 * What is remembered, how much memory it takes and how often it errs is in rows/recent.h. Above
 * LIMIT_DEDUPE_KEYS keys the oldest are forgotten first, and counted.
 */
#include "rows/recent.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/varint.h"
#include "rows/row_key.h"
#include "rows/step.h"
#include "rows/step_share.h"

#include <stdlib.h>

#define DEDUPE_TAG   TAG_OF('d', 'd', 'u', 'p')
#define DEDUPE_KEYS  16
#define DEDUPE_PLANS 4
#define DEDUPE_PIECE 32 /* rows that are hashed before they are looked up */
#define VERSION      2
#define WITHIN_MAX   (366ll * 24 * 3600 * 1000)

typedef struct DedupeArgs {
    int64_t within_ms;
    SchemaList key; /* of Str */
    Str time;
} DedupeArgs;

static const SchemaField key_item = ITEM(STR, .range = RANGE(1, 256));

static const SchemaField dedupe_fields[] = {
    FIELD_DURATION(DedupeArgs, within_ms, "within", "how long a row is remembered", .positional = 1,
                   .is_required = true, .range = RANGE(1, WITHIN_MAX)),
    FIELD_LIST(DedupeArgs, key, &key_item,
               "the columns by which rows are alike; none: all of them, and the table",
               .range = RANGE(0, DEDUPE_KEYS)),
    FIELD_STR(DedupeArgs, time, "the column with the time that counts; none: when a row arrives",
              .range = RANGE(0, 256)),
};

static const Schema dedupe_args_schema = SCHEMA(DedupeArgs, dedupe_fields,
                                                "Rows that came before are taken out");

/* Where the columns of a shape stand. */
typedef struct DedupePlan {
    size_t time; /* or SHAPE_NONE */
    size_t n;
    RowValue table; /* the name of the shape, when all columns count */
    struct DedupeColumn {
        size_t index; /* or SHAPE_NONE */
        RowValue name;
    } columns[];
} DedupePlan;

typedef struct Dedupe {
    uint32_t tag;
    const DedupeArgs *args;
    Recent recent;
    StepCache plans[DEDUPE_PLANS];
    RowKey key; /* scratch */
} Dedupe;

/* ---- life ------------------------------------------------------------------------------------ */

static void free_plan(void *plan)
{
    mem_free(plan);
}

static int dedupe_open(const StepOpts *opts, void **ret_state)
{
    Dedupe *dedupe = mem_new(Dedupe);
    uint64_t seed[2] = { opts->seed[0], opts->seed[1] };

    if (seed[0] == 0 && seed[1] == 0) {
        seed[0] = rand_entropy();
        seed[1] = rand_entropy();
    }
    dedupe->tag = DEDUPE_TAG;
    dedupe->args = opts->args;
    recent_init(&dedupe->recent, dedupe->args->within_ms * NS_PER_MS, dedupe->args->time.len > 0,
                seed);
    *ret_state = dedupe;
    return 0;
}

static void dedupe_close(void *state)
{
    Dedupe *dedupe = CAST(Dedupe, DEDUPE_TAG, state);

    recent_deinit(&dedupe->recent);
    step_cache_deinit(dedupe->plans, DEDUPE_PLANS, free_plan);
    mem_free(dedupe);
}

/* ---- what a shape has ------------------------------------------------------------------------ */

/* Among the parcel's own columns: the shape may just be growing on another thread. */
static size_t find_column(const Parcel *parcel, Str name)
{
    for (size_t i = 0; name.len > 0 && i < parcel->rows.n_columns; i++) {
        if (str_eq(parcel->rows.columns[i].name, name))
            return i;
    }
    return SHAPE_NONE;
}

static int compare_columns(const void *a, const void *b)
{
    const struct DedupeColumn *x = a, *y = b;

    return str_cmp(x->name.text, y->name.text);
}

/* All columns in the order of their names, so that it does not matter which came first. */
static void plan_all(DedupePlan *plan, const Parcel *parcel)
{
    plan->table = row_text(shape_name(parcel->shape));
    for (size_t i = 0; i < plan->n; i++) {
        plan->columns[i].index = i;
        plan->columns[i].name = row_text(parcel->rows.columns[i].name);
    }
    qsort(plan->columns, plan->n, sizeof(plan->columns[0]), compare_columns);
}

static const DedupePlan *plan_for(Dedupe *dedupe, const Parcel *parcel)
{
    const SchemaList *key = &dedupe->args->key;
    DedupePlan *plan = step_cache_find(dedupe->plans, DEDUPE_PLANS, parcel);
    size_t n = key->len > 0 ? key->len : parcel->rows.n_columns;

    if (LIKELY(plan != NULL))
        return plan;
    plan = mem_zalloc(sizeof(DedupePlan) + n * sizeof(plan->columns[0]));
    plan->n = n;
    plan->time = find_column(parcel, dedupe->args->time);
    for (size_t i = 0; i < key->len; i++)
        plan->columns[i].index = find_column(parcel, ((const Str *) key->items)[i]);
    if (key->len == 0)
        plan_all(plan, parcel);
    step_cache_put(dedupe->plans, DEDUPE_PLANS, parcel, plan, free_plan);
    return plan;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static uint64_t hash_of(const Dedupe *dedupe, Str bytes)
{
    return hash_bytes(bytes.data, bytes.len, dedupe->recent.seed[0], dedupe->recent.seed[1]);
}

/* The key is too long: what is there, or VALUE's text, is replaced by its hashes. */
static COLD void add_long_value(Dedupe *dedupe, const RowValue *value)
{
    RowKey *key = &dedupe->key;
    uint64_t hash = hash_of(dedupe, row_key_str(key));
    RowValue folded = row_integer((int64_t) hash);

    key->len = 0;
    if (!row_key_add(key, &folded))
        UNREACHABLE("a number fits an empty key");
    if (row_key_add(key, value))
        return;
    folded = row_integer((int64_t) hash_of(dedupe, value->text));
    if (!row_key_add(key, &folded))
        UNREACHABLE("a second number fits, too");
}

static void add_value(Dedupe *dedupe, const RowValue *value)
{
    if (UNLIKELY(!row_key_add(&dedupe->key, value)))
        add_long_value(dedupe, value);
}

/* The hash of the key of ROW. False when it has none. */
static bool key_of(Dedupe *dedupe, const DedupePlan *plan, const RowValue *row, uint64_t *ret_hash)
{
    static const RowValue nothing = { 0 };
    bool is_whole_row = plan->table.kind == ROW_TEXT, has_value = false;

    dedupe->key.len = 0;
    if (is_whole_row)
        add_value(dedupe, &plan->table);
    for (size_t i = 0; i < plan->n; i++) {
        size_t index = plan->columns[i].index;
        const RowValue *value = index != SHAPE_NONE ? &row[index] : &nothing;

        has_value |= value->kind != ROW_ANY;
        if (is_whole_row && value->kind == ROW_ANY)
            continue;
        if (is_whole_row)
            add_value(dedupe, &plan->columns[i].name);
        add_value(dedupe, value);
    }
    *ret_hash = hash_of(dedupe, row_key_str(&dedupe->key));
    return has_value;
}

/* ---- the contract ---------------------------------------------------------------------------- */

/* The rows FROM to TO. All are hashed first, so that memory is asked for before it is needed. */
static int run_piece(Dedupe *dedupe, StepRun *run, const DedupePlan *plan, size_t from, size_t to)
{
    Parcel *parcel = run->parcel;
    uint64_t hashes[DEDUPE_PIECE];
    bool has_key[DEDUPE_PIECE];

    for (size_t i = from; i < to; i++) {
        has_key[i - from] = key_of(dedupe, plan, parcel_row(parcel, i), &hashes[i - from]);
        recent_expect(&dedupe->recent, hashes[i - from], (uint32_t) (i - from));
    }
    for (size_t i = from; i < to; i++) {
        const RowValue *row = parcel_row(parcel, i);
        bool has_time = plan->time != SHAPE_NONE && row[plan->time].kind == ROW_TIME;
        int r;

        if (!has_key[i - from])
            continue;
        r = recent_add(&dedupe->recent, hashes[i - from],
                       has_time ? row[plan->time].time_ns : run->now_ns, run->now_ns);
        if (r < 0)
            return r;
        if (r == RECENT_BEFORE && !parcel->is_replay)
            parcel_end_row(parcel, i, FATE_FILTERED);
    }
    return 0;
}

static int dedupe_run(void *state, StepRun *run)
{
    Dedupe *dedupe = CAST(Dedupe, DEDUPE_TAG, state);
    const DedupePlan *plan = plan_for(dedupe, run->parcel);
    size_t n = parcel_count(run->parcel);
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i += DEDUPE_PIECE)
        r = run_piece(dedupe, run, plan, i, MIN(i + DEDUPE_PIECE, n));
    if (r == 0)
        parcel_compact(run->parcel);
    return r;
}

static void write_settings(const Dedupe *dedupe, Buf *out)
{
    const Str *key = dedupe->args->key.items;

    buf_printf(out, "time %.*s, key", (int) dedupe->args->time.len,
               dedupe->args->time.data ? dedupe->args->time.data : "");
    for (size_t i = 0; i < dedupe->args->key.len; i++)
        buf_printf(out, " %.*s", (int) key[i].len, key[i].data);
}

static int dedupe_save(const void *state, Buf *out)
{
    const Dedupe *dedupe = state;
    AUTO(buf_deinit) Buf settings = { 0 };

    write_settings(dedupe, &settings);
    buf_add_char(out, VERSION);
    varint_add_str(out, buf_str(&settings));
    recent_save(&dedupe->recent, out);
    return buf_check(out);
}

/* What stands before the keys: that they are of a step with the same settings. */
static int load_head(const Dedupe *dedupe, Str *bytes)
{
    AUTO(buf_deinit) Buf settings = { 0 };
    Str saved;

    write_settings(dedupe, &settings);
    if (bytes->len == 0 || bytes->data[0] != VERSION)
        return fail(-ERR_CONFLICT, "this is no state of a dedupe step, or of another version");
    *bytes = str_sub(*bytes, 1, bytes->len);
    if (!varint_take_str(bytes, &saved))
        return fail(-ERR_CONFLICT, "the state of the dedupe step is damaged: its head");
    if (!str_eq(saved, buf_str(&settings)))
        return fail(-ERR_CONFLICT,
                    "the state is of a dedupe step with other settings (%.*s) than these (%.*s); "
                    "begin anew with --forget, or change them back",
                    (int) MIN(saved.len, (size_t) 300), saved.data, (int) settings.len,
                    settings.data);
    return 0;
}

static int fail_outcome(int r)
{
    if (r == RECENT_DAMAGED)
        return fail(-ERR_CONFLICT, "the state of the dedupe step is damaged: its keys");
    if (r == RECENT_OTHER_SEED)
        return fail(-ERR_CONFLICT, "the state of the dedupe step is of lanes that do not know each "
                                   "other's keys: begin anew with --forget");
    return r;
}

static int dedupe_load(void *state, Str bytes)
{
    Dedupe *dedupe = CAST(Dedupe, DEDUPE_TAG, state);
    int r = load_head(dedupe, &bytes);

    return r < 0 ? r : fail_outcome(recent_load(&dedupe->recent, bytes));
}

/* Each lane gets all keys: in those where the rows do not come they do no harm. */
static int dedupe_deal(void *const *states, const StepShare *share, Str bytes)
{
    int r = load_head(states[0], &bytes);

    for (size_t i = 0; i < share->n_lanes && r == 0; i++)
        r = fail_outcome(recent_merge(&CAST(Dedupe, DEDUPE_TAG, states[i])->recent, bytes));
    return r;
}

static uint64_t dedupe_forgotten(const void *state)
{
    const Dedupe *dedupe = state;

    ASSERT(dedupe->tag == DEDUPE_TAG);
    return dedupe->recent.forgotten;
}

const StepDriver step_dedupe = {
    .name = "dedupe",
    .summary = "Take out rows that came before, within some time",
    .args = &dedupe_args_schema,
    .is_stateful = true,
    .open = dedupe_open,
    .close = dedupe_close,
    .run = dedupe_run,
    .save = dedupe_save,
    .load = dedupe_load,
    .deal = dedupe_deal,
    .forgotten = dedupe_forgotten,
};
