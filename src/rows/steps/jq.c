/*
 * jq: each row as a JSON object through a program of jq, objects out.
 *
 *   jq: .celsius = (.fahrenheit - 32) / 1.8 | del(.fahrenheit)
 *   jq: select(.value > 0)
 *   jq: .readings[] as $r | {sensor, value: $r}
 *
 * Members of an object become columns; those that the rows had as times and integers stay so. A row
 * that gives nothing is filtered, one that gives several objects becomes as many rows, one for
 * which the program fails, or gives something else, is refused. Numbers of more than 17 digits lose
 * some (codec/jq). It takes microseconds a row and runs on the pool; `filter` and `convert` take
 * nanoseconds.
 *
 * A program may take its time for a row, which is `timeout`; a row for which it takes longer is
 * refused ("too_slow"). That is seen from outside, by `watch` on the loop: it looks which run is
 * going on and ends one that was already going on a time-out ago. A run that began in the moment it
 * was ended is run once more. It is the one place where a clock decides about a row (T1): a bound
 * against programs that do not end, and nothing that a good program comes near.
 *
 * Objects come in the order of their rows. What does not fit into the parcel goes before it, into
 * parcels of its own, which belong to the same delivery; the objects of one row stay together, so
 * that a position stands for all of its row (unless one row gives more than a parcel holds).
 */
#include "codec/jq.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/cells.h"
#include "rows/derive.h"
#include "rows/step.h"

#include <stdatomic.h>

#define STAGE         "jq"
#define CACHED_SHAPES 16
#define WORDS_MAX     160

typedef struct JqArgs {
    Str program;
    int64_t timeout_ms;
} JqArgs;

static const SchemaField jq_fields[] = {
    FIELD_STR(JqArgs, program, "a program of jq, run over each row as an object",
              .is_required = true, .positional = 1, .range = RANGE(1, 1 << 16)),
    FIELD_DURATION(JqArgs, timeout_ms, "timeout",
                   "for one row; one for which the program takes longer is refused",
                   .range = RANGE(1, 3600000), .default_text = "1s"),
};
static const Schema jq_args = SCHEMA(JqArgs, jq_fields, "Settings of the step jq.");

STATIC_ASSERT(LIMIT_STEP_JQ_MS == 1000, "the default of timeout says so");

/* An object that came out: a row to be. */
typedef struct Out {
    RowPlace place;    /* of the row it was made of */
    uint32_t row;      /* the index of that */
    size_t first_cell; /* of its cells */
} Out;

typedef struct JqStep {
    const JqArgs *args;
    Jq *jq;
    atomic_ullong runs;      /* begun so far: tells the watch which one it sees */
    atomic_ullong late_run;  /* the one that was ended for its time */
    atomic_bool is_given_up; /* nobody wants the rows any more */
    uint64_t seen_run;       /* of the watch: what it saw first at SEEN_NS */
    int64_t seen_ns;
    Shapes *made;
    StepCache plans[CACHED_SHAPES]; /* of Derived */
    Cells cells;
    Out *outs;
    size_t n_outs, cap_outs;
    Buf in, out;
    Arena arena; /* what came out of one row */
} JqStep;

/* ---- open and close -------------------------------------------------------------------------- */

static void free_plan(void *plan)
{
    derived_deinit(plan);
    mem_free(plan);
}

static void jq_close(void *state)
{
    JqStep *step = state;

    if (!step)
        return;
    step_cache_deinit(step->plans, CACHED_SHAPES, free_plan);
    jq_free(step->jq);
    shapes_free(step->made);
    cells_deinit(&step->cells);
    mem_free(step->outs);
    buf_deinit(&step->in);
    buf_deinit(&step->out);
    arena_deinit(&step->arena);
    mem_free(step);
}

static int jq_open(const StepOpts *opts, void **ret_state)
{
    const JqArgs *args = opts->args;
    AUTO(jq_free) Jq *jq = NULL;
    JqStep *step;
    int r = jq_new(args->program, &jq);

    if (r < 0)
        return wrap(r, "program");
    step = mem_new(JqStep);
    step->args = args;
    step->jq = TAKE(jq);
    step->made = shapes_new();
    arena_init(&step->arena, 0);
    *ret_state = step;
    return 0;
}

/* ---- from a row to objects ------------------------------------------------------------------- */

static void add_out(JqStep *step, const Parcel *parcel, size_t index)
{
    if (step->n_outs == step->cap_outs) {
        step->cap_outs = MAX(2 * step->cap_outs, (size_t) 1024);
        step->outs = mem_resize_array(step->outs, step->cap_outs, sizeof(step->outs[0]));
    }
    step->outs[step->n_outs] = (Out){ .place = parcel->places[index],
                                      .row = (uint32_t) index,
                                      .first_cell = step->cells.n };
    cells_row(&step->cells, step->n_outs++);
}

/* The kind that the column called NAME had. */
static RowKind kind_before(const Parcel *parcel, Str name, size_t guess)
{
    size_t column = shape_find(parcel->shape, name, guess);

    return column < parcel->rows.n_columns ? parcel->rows.columns[column].kind : ROW_ANY;
}

/* The members of OBJECT as cells. 0, or an outcome of cells with *RET_NAME. */
static int take_object(JqStep *step, const Parcel *parcel, const JsonDoc *doc, Json object,
                       Str *ret_name)
{
    int r = 0;

    for (JsonIter it = json_iter(object); r == 0 && json_next(&it);) {
        *ret_name = it.key;
        r = cells_put_json(&step->cells, it.key, doc, it.value,
                           kind_before(parcel, it.key, it.index));
    }
    return r;
}

/* What the program has said wrong about a row. */
static void refuse_error(Parcel *parcel, size_t index, int r)
{
    Err err;
    Str words;

    err_take(r, &err);
    words = str_cut_utf8(str_from_c(err.text), WORDS_MAX);
    parcel_refuse(parcel, index, STAGE, "jq_error", "%.*s", (int) words.len, words.data);
}

static void refuse_slow(const JqStep *step, Parcel *parcel, size_t index)
{
    parcel_refuse(parcel, index, STAGE, "too_slow", "the program took longer than %lld ms",
                  (long long) step->args->timeout_ms);
}

/* The objects in the text of step->out, an array. */
static void take_objects(JqStep *step, Parcel *parcel, size_t index)
{
    size_t n_outs = step->n_outs, n_cells = step->cells.n;
    Str name = { 0 };
    JsonDoc doc;
    int r;

    arena_reset(&step->arena);
    r = json_parse(&step->arena, buf_str(&step->out), &doc);
    if (r < 0) {
        refuse_error(parcel, index, r);
        return;
    }
    for (JsonIter it = json_iter(doc.root); r == 0 && json_next(&it);) {
        if (!json_is_object(it.value)) {
            parcel_refuse(parcel, index, STAGE, "no_object", "the program gives %s, not an object",
                          json_kind_name(json_kind(it.value)));
            r = CELLS_CONFLICT;
            break;
        }
        add_out(step, parcel, index);
        r = take_object(step, parcel, &doc, it.value, &name);
        if (r != 0)
            cells_refuse(r, parcel, index, STAGE, name);
    }
    if (r != 0) { /* all of the row or nothing */
        step->n_outs = n_outs;
        step->cells.n = n_cells;
    } else if (step->n_outs == n_outs) {
        parcel_end_row(parcel, index, FATE_FILTERED);
    }
}

enum { RUN_SLOW = 1 };

/* The program over step->in. 0, RUN_SLOW, or an error; -ECANCELED when the rows are given up. */
static int run_program(JqStep *step)
{
    JqRunOpts opts = { .values_max = LIMIT_STEP_JQ_VALUES, .bytes_max = LIMIT_STEP_JQ_BYTES };

    for (;;) {
        uint64_t run = atomic_fetch_add(&step->runs, 1) + 1;
        int r;

        buf_reset(&step->out);
        buf_add_char(&step->out, '[');
        r = jq_run(step->jq, buf_str(&step->in), &opts, &step->out);
        if (r != -ETIMEDOUT)
            return r;
        err_take(r, NULL);
        if (atomic_load(&step->is_given_up))
            return fail(-ECANCELED, "the rows are given up");
        if (atomic_load(&step->late_run) == run)
            return RUN_SLOW;
    }
}

/* 0, or -ECANCELED. */
static int run_row(JqStep *step, Parcel *parcel, size_t index)
{
    int r;

    buf_reset(&step->in);
    row_format_json(&step->in, &parcel->rows, index);
    r = run_program(step);
    if (r == -ECANCELED)
        return r;
    if (r == RUN_SLOW) {
        refuse_slow(step, parcel, index);
    } else if (r < 0) {
        refuse_error(parcel, index, r);
    } else {
        buf_add_char(&step->out, ']');
        take_objects(step, parcel, index);
    }
    return 0;
}

/* On the loop, while runs go on elsewhere. */
static void jq_watch(void *state, int64_t now_ns, bool is_given_up)
{
    JqStep *step = state;
    uint64_t run = atomic_load(&step->runs);

    if (is_given_up) {
        atomic_store(&step->is_given_up, true);
        jq_stop(step->jq);
        return;
    }
    if (run != step->seen_run) {
        step->seen_run = run;
        step->seen_ns = now_ns;
        return;
    }
    if (now_ns - step->seen_ns < step->args->timeout_ms * NS_PER_MS)
        return;
    atomic_store(&step->late_run, run);
    jq_interrupt(step->jq);
}

/* ---- from objects to rows -------------------------------------------------------------------- */

/* Put the cells of the objects FROM to TO into the rows of PARCEL, from its first on. */
static void fill_rows(JqStep *step, Parcel *parcel, size_t from, size_t to, bool is_other)
{
    size_t end = to < step->n_outs ? step->outs[to].first_cell : step->cells.n;

    for (size_t i = from; i < to; i++) {
        RowValue *row = parcel_row(parcel, i - from);

        for (size_t c = 0; c < parcel->rows.n_columns; c++)
            row[c] = row_null();
        parcel->places[i - from] = step->outs[i].place;
    }
    for (size_t k = from < to ? step->outs[from].first_cell : end; k < end; k++) {
        const Cell *cell = &step->cells.items[k];
        RowValue *value = &parcel_row(parcel, cell->row - from)[cell->column];

        *value = cell->value;
        if (is_other && value->text.len > 0)
            value->text = parcel_copy_text(parcel, value->text);
    }
}

/* Add rows to PARCEL until it has N: of a delivery that has counted them already, or does not count
 * what a step makes. */
static void add_rows(Parcel *parcel, size_t n)
{
    Receipt *receipt = TAKE(parcel->receipt);
    RowPlace nowhere = { 0 };

    while (parcel_count(parcel) < n) {
        RowValue *row = parcel_add(parcel, &nowhere);

        ASSERT(row);
    }
    parcel->receipt = receipt;
}

/* The objects FROM to TO in a parcel of their own, of the same delivery as PARCEL. */
static void emit(JqStep *step, StepRun *run, Parcel *parcel, Shape *shape, size_t from, size_t to)
{
    Parcel *made = parcel_new(run->pool, shape, NULL, parcel->payload);

    made->arrived_ns = parcel->arrived_ns;
    made->received_ns = parcel->received_ns;
    made->is_replay = parcel->is_replay;
    add_rows(made, to - from);
    fill_rows(step, made, from, to, true);
    if (parcel->receipt) {
        receipt_hold(parcel->receipt);
        made->receipt = parcel->receipt;
    }
    step_emit(run, made);
}

/* How many objects from FROM on go into one parcel: whole rows, if one row is not too many. */
static size_t group_end(const JqStep *step, size_t from)
{
    size_t to = from, end = from;

    while (to < step->n_outs && to - from < LIMIT_ROW_BATCH) {
        to++;
        if (to == step->n_outs || step->outs[to].row != step->outs[to - 1].row)
            end = to;
    }
    return end > from ? end : to;
}

/* The rows of PARCEL that are left become the objects; those that do not fit are emitted. */
static void make_rows(JqStep *step, StepRun *run, Parcel *parcel, Derived *plan)
{
    size_t from = 0, to = group_end(step, 0), n;

    while (to < step->n_outs) {
        emit(step, run, parcel, plan->shape, from, to);
        from = to;
        to = group_end(step, from);
    }
    n = to - from;
    derived_apply(plan, parcel);
    for (size_t i = n; i < parcel_count(parcel); i++) /* their objects have been emitted */
        parcel_end_row(parcel, i, FATE_FILTERED);
    parcel_compact(parcel);
    add_rows(parcel, n);
    fill_rows(step, parcel, from, to, false);
}

static int jq_step_run(void *state, StepRun *run)
{
    JqStep *step = state;
    Parcel *parcel = run->parcel;
    Derived *plan = step_cache_find(step->plans, CACHED_SHAPES, parcel);
    int r = 0;

    if (!plan) {
        plan = mem_new(Derived);
        r = derive(step->made, parcel, NULL, 0, DERIVE_OPEN, plan);
        if (r < 0) {
            mem_free(plan);
            return r;
        }
        step_cache_put(step->plans, CACHED_SHAPES, parcel, plan, free_plan);
    }
    parcel_compact(parcel);
    cells_begin(&step->cells, plan->shape, parcel);
    step->n_outs = 0;
    for (size_t i = 0; i < parcel_count(parcel) && r == 0; i++)
        r = run_row(step, parcel, i);
    if (r < 0)
        return r;
    parcel_compact(parcel);
    if (shape_width(plan->shape) > 0) {
        make_rows(step, run, parcel, plan);
        return 0;
    }
    for (size_t i = 0; i < parcel_count(parcel); i++)
        parcel_refuse(parcel, i, STAGE, "no_columns", "the program gives an empty object");
    parcel_compact(parcel);
    return 0;
}

/* A program may do anything. */
static Str jq_column_after(const void *state, Str name)
{
    (void) state;
    (void) name;
    return (Str){ 0 };
}

extern const StepDriver step_jq;
const StepDriver step_jq = {
    .name = "jq",
    .summary = "Runs a program of jq over each row; objects that it gives are rows",
    .args = &jq_args,
    .burns = true,
    .makes_rows = true,
    .open = jq_open,
    .close = jq_close,
    .run = jq_step_run,
    .column_after = jq_column_after,
    .watch = jq_watch,
};
