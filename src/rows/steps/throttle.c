/*
 * throttle: at most so many rows a second, for each key.
 *
 *   throttle: { rate: 10, by: [sensor] }
 *   throttle: { rate: 1000, burst: 5000, over: mark }
 *
 * Time is that of arrival. A key has one number: when it would be served next if all that was let
 * through had been spread evenly (GCRA). It may be ahead of time by the burst. What is over is
 * dropped and counted, or passes with true in the column `mark`.
 *
 * Keys stand in two tables, the younger of which takes new ones. When that is half of
 * LIMIT_THROTTLE_KEYS the older is let go, and with it keys that were not seen since: those begin
 * with a full burst again.
 *
 * Over a restart the numbers of those are kept that may have less than a full burst.
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"
#include "codec/varint.h"
#include "rows/derive.h"
#include "rows/step.h"
#include "rows/step_key.h"
#include "rows/step_share.h"

#define CACHED_SHAPES 16
#define VERSION       1

typedef enum Over { OVER_DROP, OVER_MARK } Over;

typedef struct ThrottleArgs {
    double rate;
    int64_t burst;
    SchemaList by; /* of Str */
    int over;
    Str mark;
} ThrottleArgs;

static const char *const over_words[] = { "drop", "mark", NULL };
static const SchemaField name_item = ITEM(STR, .range = RANGE(1, 256));
static const SchemaField throttle_fields[] = {
    FIELD_REAL(ThrottleArgs, rate, "rows a second", .is_required = true,
               .real_range = REAL_RANGE(1e-6, 1e9), .positional = 1),
    FIELD_INT(ThrottleArgs, burst, "rows at once after a pause; as many as in a second otherwise",
              .range = AT_LEAST(1)),
    FIELD_LIST(ThrottleArgs, by, &name_item, "columns of the key that the rate is for",
               .range = RANGE(0, 16)),
    FIELD_ENUM(ThrottleArgs, over, over_words, "what is over: drop it, or mark it and let it pass",
               .default_text = "drop"),
    FIELD_STR(ThrottleArgs, mark, "the column that marks what is over", .default_text = "throttled",
              .range = RANGE(1, 256)),
};
static const Schema throttle_args = SCHEMA(ThrottleArgs, throttle_fields,
                                           "Settings of the step throttle.");

/* Keys, and what they may have. */
typedef struct Generation {
    Map keys;    /* to int64_t: when the key is due next, in ns */
    Arena arena; /* of the numbers */
} Generation;

typedef struct Throttle {
    int64_t interval_ns; /* between two rows */
    int64_t burst_ns;    /* how far ahead a key may be */
    Over over;
    Str mark;
    StepKey key;
    int64_t due_ns; /* where there is no key */
    int64_t now_ns; /* of the last run */
    Generation young, old;
    Shapes *made;
    StepCache plans[CACHED_SHAPES]; /* of Derived; for the mark */
} Throttle;

/* ---- open and close -------------------------------------------------------------------------- */

static void free_plan(void *plan)
{
    derived_deinit(plan);
    mem_free(plan);
}

static void generation_init(Generation *generation)
{
    map_init(&generation->keys, rand_entropy(), rand_entropy());
    arena_init(&generation->arena, 0);
}

static void generation_deinit(Generation *generation)
{
    map_deinit(&generation->keys);
    arena_deinit(&generation->arena);
}

static void throttle_close(void *state)
{
    Throttle *throttle = state;

    if (!throttle)
        return;
    step_cache_deinit(throttle->plans, CACHED_SHAPES, free_plan);
    step_key_deinit(&throttle->key);
    generation_deinit(&throttle->young);
    generation_deinit(&throttle->old);
    shapes_free(throttle->made);
    mem_free(throttle);
}

static int throttle_open(const StepOpts *opts, void **ret_state)
{
    const ThrottleArgs *args = opts->args;
    Throttle *throttle = mem_new(Throttle);
    double burst = args->burst > 0 ? (double) args->burst : MAX(args->rate, 1.0);

    throttle->interval_ns = (int64_t) (1e9 / args->rate);
    throttle->burst_ns = (int64_t) MIN(burst / args->rate * 1e9, 4e18) - throttle->interval_ns;
    throttle->over = (Over) args->over;
    throttle->mark = args->mark;
    step_key_init(&throttle->key, args->by);
    generation_init(&throttle->young);
    generation_init(&throttle->old);
    throttle->made = shapes_new();
    *ret_state = throttle;
    return 0;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Put KEY among the young, as it was among the old. */
static int64_t *add_key(Throttle *throttle, Str key)
{
    const int64_t *known;
    int64_t *due;

    if (throttle->young.keys.len >= LIMIT_THROTTLE_KEYS / 2) {
        generation_deinit(&throttle->old);
        throttle->old = throttle->young;
        generation_init(&throttle->young);
    }
    known = map_find(&throttle->old.keys, key);
    due = arena_zalloc(&throttle->young.arena, sizeof(*due));
    *due = known ? *known : INT64_MIN;
    (void) map_put(&throttle->young.keys, key, due);
    return due;
}

/* When the key of ROW is due. One that is too long for a key counts as all the others like it. */
static int64_t *due_of(Throttle *throttle, const RowValue *row)
{
    RowKey key;
    int64_t *due;

    if (throttle->key.n == 0 || !step_key_of(&throttle->key, row, &key))
        return &throttle->due_ns;
    due = map_find(&throttle->young.keys, row_key_str(&key));
    return due ? due : add_key(throttle, row_key_str(&key));
}

/* Whether a row that came at NOW_NS may pass; then it is counted. */
static bool may_pass(const Throttle *throttle, int64_t *due_ns, int64_t now_ns)
{
    int64_t due_max = now_ns + throttle->burst_ns + throttle->interval_ns, due;

    if (*due_ns > due_max) /* the clock went back: nobody gains, and nobody waits for it */
        *due_ns = due_max;
    due = MAX(*due_ns, now_ns);
    if (due - now_ns > throttle->burst_ns)
        return false;
    *due_ns = due + throttle->interval_ns;
    return true;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Give the rows the column of the mark: where it is in *RET_COLUMN. */
static int add_mark(Throttle *throttle, Parcel *parcel, size_t *ret_column)
{
    Derived *plan = step_cache_find(throttle->plans, CACHED_SHAPES, parcel);
    size_t n = parcel->rows.n_columns, column = shape_find(parcel->shape, throttle->mark, 0);
    DeriveColumn *columns;
    int r;

    if (!plan) {
        plan = mem_new(Derived);
        columns = mem_new_array(DeriveColumn, n + 1);
        for (size_t c = 0; c < n; c++)
            columns[c] = (DeriveColumn){ parcel->rows.columns[c].name, parcel->rows.columns[c].kind,
                                         parcel->rows.columns[c].unit, c };
        column = column < n ? column : n++;
        columns[column] = (DeriveColumn){ throttle->mark, ROW_BOOL, { 0 }, SHAPE_NONE };
        r = derive(throttle->made, parcel, columns, n, DERIVE_AS_BEFORE, plan);
        mem_free(columns);
        if (r < 0) {
            mem_free(plan);
            return r;
        }
        step_cache_put(throttle->plans, CACHED_SHAPES, parcel, plan, free_plan);
    }
    derived_apply(plan, parcel);
    *ret_column = shape_find(plan->shape, throttle->mark, column);
    return 0;
}

static int throttle_run(void *state, StepRun *run)
{
    Throttle *throttle = state;
    Parcel *parcel = run->parcel;
    bool is_marking = throttle->over == OVER_MARK;
    size_t mark = 0;
    int r = 0;

    if (is_marking)
        r = add_mark(throttle, parcel, &mark);
    if (r < 0)
        return r;
    throttle->now_ns = run->now_ns;
    step_key_bind(&throttle->key, parcel);
    for (size_t i = 0; i < parcel_count(parcel); i++) {
        RowValue *row = parcel_row(parcel, i);
        bool is_over;

        if (parcel->fates[i] != FATE_OPEN)
            continue;
        is_over = !may_pass(throttle, due_of(throttle, row), run->now_ns);
        if (is_marking)
            row[mark] = row_boolean(is_over);
        else if (is_over)
            parcel_end_row(parcel, i, FATE_DROPPED);
    }
    parcel_compact(parcel);
    return 0;
}

/* ---- state ----------------------------------------------------------------------------------- */

/* The keys of GENERATION that are due later than now, but those that are among the NEWER too. */
static void save_keys(const Throttle *throttle, const Generation *generation,
                      const Generation *newer, Buf *out)
{
    size_t cursor = 0;
    void *due;
    Str key;

    while (map_next(&generation->keys, &cursor, &key, &due)) {
        if (*(const int64_t *) due <= throttle->now_ns || (newer && map_find(&newer->keys, key)))
            continue;
        varint_add_str(out, key);
        varint_add_signed(out, *(const int64_t *) due);
    }
}

static int throttle_save(const void *state, Buf *out)
{
    const Throttle *throttle = state;

    buf_add_char(out, VERSION);
    varint_add_signed(out, throttle->due_ns);
    save_keys(throttle, &throttle->old, &throttle->young, out);
    save_keys(throttle, &throttle->young, NULL, out);
    return buf_check(out);
}

static int throttle_load(void *state, Str bytes)
{
    Throttle *throttle = state;
    int64_t due_ns, *known;
    Str key;

    if (bytes.len == 0 || bytes.data[0] != VERSION)
        return fail(-ERR_CONFLICT, "this is no state of a throttle step, or of another version");
    bytes = str_sub(bytes, 1, bytes.len);
    if (!varint_take_signed(&bytes, &due_ns))
        return fail(-ERR_CONFLICT, "the state of the throttle step is damaged: its head");
    throttle->due_ns = MAX(throttle->due_ns, due_ns);
    while (bytes.len > 0) {
        if (!varint_take_str(&bytes, &key) || !varint_take_signed(&bytes, &due_ns))
            return fail(-ERR_CONFLICT, "the state of the throttle step is damaged: its keys");
        known = map_find(&throttle->young.keys, key);
        known = known ? known : add_key(throttle, key);
        *known = MAX(*known, due_ns);
    }
    return 0;
}

/* Each lane gets all keys: in those where the rows do not come they do no harm. */
static int throttle_deal(void *const *states, const StepShare *share, Str bytes)
{
    int r = 0;

    for (size_t i = 0; i < share->n_lanes && r == 0; i++)
        r = throttle_load(states[i], bytes);
    return r;
}

static Str throttle_column_after(const void *state, Str name)
{
    const Throttle *throttle = state;
    bool is_mark = throttle->over == OVER_MARK && str_eq(name, throttle->mark);

    return is_mark ? (Str){ 0 } : name;
}

extern const StepDriver step_throttle;
const StepDriver step_throttle = {
    .name = "throttle",
    .summary = "Lets at most so many rows a second pass, for each key",
    .args = &throttle_args,
    .is_stateful = true,
    .is_by_arrival = true,
    .open = throttle_open,
    .close = throttle_close,
    .run = throttle_run,
    .save = throttle_save,
    .load = throttle_load,
    .deal = throttle_deal,
    .column_after = throttle_column_after,
};
