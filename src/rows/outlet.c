/*
 * Outlet: one door for a handler's rows, whatever is behind it; see the header.
 *
 * Positions of a resumable run are a line for each sink, in the order of `out`, an empty one for a
 * database. A checkpoint makes the files durable first; a database then commits its rows, the mark
 * and the positions of the files in one transaction. After a crash between the two, the database
 * tells where the files stood at its own mark, and they are cut back to that, so that all sinks
 * hold the rows of the same marks. Two databases cannot be brought into step like this: a resumable
 * run writes to one at most.
 */
#include "rows/outlet.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

#define OUTLET_SINKS_MAX 8 /* as RANGE in FIELD_OUT */

typedef enum OutletWay { OUTLET_SINKS, OUTLET_WATCHER, OUTLET_RESULT } OutletWay;

struct Outlet {
    Task *task;
    OutletWay way;
    Arena arena; /* specs */
    SinkSpec specs[OUTLET_SINKS_MAX];
    Sink *sinks[OUTLET_SINKS_MAX]; /* owned */
    size_t n_sinks;
    uint64_t rows;
    Buf result; /* of OUTLET_RESULT: always a whole array */
};

const SchemaField outlet_out_item = ITEM(STR, .range = RANGE(1, LIMIT_SINK_SPEC_BYTES));

/* ---- opening --------------------------------------------------------------------------------- */

static int parse_specs(Outlet *outlet, const OutletOpts *opts)
{
    const Str *texts = opts->out.items;

    if (opts->out.len > OUTLET_SINKS_MAX)
        return fail(-ERR_INVALID, "out: at most %d sinks at once", OUTLET_SINKS_MAX);
    for (size_t i = 0; i < opts->out.len; i++) {
        Str text = texts[i];
        int r = 0;

        if (outlet->task->ops->allow_out)
            r = outlet->task->ops->allow_out(outlet->task, text, &text);
        if (r == 0)
            r = sink_spec_parse(&outlet->arena, text, &outlet->specs[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The index of the database among the sinks, or their number when there is none. */
static int find_database(const Outlet *outlet, size_t n, size_t *ret_index)
{
    *ret_index = n;
    for (size_t i = 0; i < n; i++) {
        if (!outlet->specs[i].driver->has_table)
            continue;
        if (*ret_index < n)
            return fail(-ERR_INVALID,
                        "out: a run that can be resumed writes to one database at "
                        "most, not to %.*s and %.*s",
                        (int) outlet->specs[*ret_index].text.len,
                        outlet->specs[*ret_index].text.data, (int) outlet->specs[i].text.len,
                        outlet->specs[i].text.data);
        *ret_index = i;
    }
    return 0;
}

SUSPENDS static int open_sink(Outlet *outlet, const OutletOpts *opts, size_t index, uint64_t mark,
                              Str positions, uint64_t *ret_mark)
{
    SinkOpts sink_opts = { .columns = opts->columns,
                           .n_columns = opts->n_columns,
                           .run_id = opts->run_id,
                           .is_resume = opts->is_resume,
                           .mark = mark };

    for (size_t i = 0; i <= index; i++)
        sink_opts.position = str_cut(positions, '\n', &positions);
    return sink_open(&outlet->sinks[index], &outlet->specs[index], &sink_opts, ret_mark);
}

SUSPENDS static int open_sinks(Outlet *outlet, const OutletOpts *opts, uint64_t *ret_mark)
{
    size_t n = opts->out.len, database = n;
    uint64_t mark = opts->is_resume ? opts->mark : 0;
    Str positions = opts->is_resume ? opts->positions : (Str){ 0 };
    int r = opts->run_id.len > 0 ? find_database(outlet, n, &database) : 0;

    outlet->n_sinks = n;
    if (r == 0 && database < n) {
        uint64_t caller_mark = mark;

        r = open_sink(outlet, opts, database, mark, positions, &mark);
        if (r == 0 && mark > caller_mark)
            positions = arena_copy(&outlet->arena, sink_get_note(outlet->sinks[database]));
    }
    for (size_t i = 0; i < n && r == 0; i++) {
        if (i != database)
            r = open_sink(outlet, opts, i, mark, positions, NULL);
    }
    if (ret_mark)
        *ret_mark = mark;
    return r;
}

int outlet_open(Outlet **ret_outlet, Task *task, const OutletOpts *opts, uint64_t *ret_mark)
{
    AUTO(outlet_close) Outlet *outlet = mem_new(Outlet);
    int r = 0;

    outlet->task = task;
    if (ret_mark)
        *ret_mark = opts->is_resume ? opts->mark : 0;
    if (opts->out.len > 0) {
        outlet->way = OUTLET_SINKS;
        r = parse_specs(outlet, opts);
        if (r == 0)
            r = open_sinks(outlet, opts, ret_mark);
    } else if (task_has_watcher(task)) {
        outlet->way = OUTLET_WATCHER;
    } else {
        outlet->way = OUTLET_RESULT;
        buf_init(&outlet->result, LIMIT_OUTLET_RESULT_BYTES);
        buf_add_c(&outlet->result, "[]");
    }
    if (r < 0)
        return r;
    *ret_outlet = TAKE(outlet);
    return 0;
}

int outlet_check(Task *task, SchemaList out)
{
    AUTO(outlet_close) Outlet *outlet = mem_new(Outlet);

    outlet->task = task;
    return parse_specs(outlet, &(OutletOpts){ .out = out });
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int keep_rows(Outlet *outlet, const RowBatch *batch)
{
    for (size_t i = 0; i < row_batch_count(batch); i++) {
        outlet->result.len--;
        if (outlet->result.len > 1)
            buf_add_char(&outlet->result, ',');
        row_format_json(&outlet->result, batch, i);
        buf_add_char(&outlet->result, ']');
        if (outlet->result.is_failed)
            return fail(-ERR_TOO_LARGE,
                        "the result holds at most %d bytes of rows, which %llu rows "
                        "fill; send them to a file or a database with --out",
                        LIMIT_OUTLET_RESULT_BYTES, (unsigned long long) (outlet->rows + i));
    }
    return 0;
}

int outlet_write(Outlet *outlet, const RowBatch *batch)
{
    int r = 0;

    if (row_batch_count(batch) == 0)
        return 0;
    switch (outlet->way) {
    case OUTLET_WATCHER: r = task_emit(outlet->task, batch); break;
    case OUTLET_RESULT: r = keep_rows(outlet, batch); break;
    case OUTLET_SINKS:
        for (size_t i = 0; i < outlet->n_sinks && r == 0; i++)
            r = sink_write(outlet->sinks[i], batch);
        break;
    }
    if (r < 0)
        return r;
    outlet->rows += row_batch_count(batch);
    return 0;
}

int outlet_checkpoint(Outlet *outlet, uint64_t mark, Buf *positions)
{
    Sink *database = NULL;
    size_t from = positions->len;
    int r = 0;

    for (size_t i = 0; i < outlet->n_sinks && r == 0; i++) {
        if (i > 0)
            buf_add_char(positions, '\n');
        if (outlet->specs[i].driver->has_table)
            database = outlet->sinks[i];
        else
            r = sink_checkpoint(outlet->sinks[i], mark, positions);
    }
    if (r == 0)
        r = buf_check(positions);
    if (r == 0 && database) {
        AUTO(buf_deinit) Buf none = { 0 };

        sink_put_note(database, str_sub(buf_str(positions), from, positions->len));
        r = sink_checkpoint(database, mark, &none);
    }
    return r;
}

/* Commit the sinks of one sort: databases are the last to be able to say no, so they go first. */
SUSPENDS static int commit_sinks(Outlet *outlet, bool is_database)
{
    int r = 0;

    for (size_t i = 0; i < outlet->n_sinks && r == 0; i++) {
        if (outlet->specs[i].driver->has_table == is_database)
            r = sink_commit(outlet->sinks[i]);
    }
    return r;
}

int outlet_commit(Outlet *outlet)
{
    int r = 0;

    switch (outlet->way) {
    case OUTLET_WATCHER: return task_emit(outlet->task, NULL);
    case OUTLET_RESULT: return 0;
    case OUTLET_SINKS:
        r = commit_sinks(outlet, true);
        return r < 0 ? r : commit_sinks(outlet, false);
    }
    UNREACHABLE("all ways are above");
}

void outlet_close(Outlet *outlet)
{
    if (!outlet)
        return;
    for (size_t i = 0; i < outlet->n_sinks; i++)
        sink_close(outlet->sinks[i]);
    buf_deinit(&outlet->result);
    arena_deinit(&outlet->arena);
    mem_free(outlet);
}

Str outlet_result_rows(const Outlet *outlet)
{
    return outlet->way == OUTLET_RESULT ? buf_str(&outlet->result) : (Str){ 0 };
}

void outlet_describe(const Outlet *outlet, Buf *out)
{
    if (outlet->way != OUTLET_SINKS)
        return;
    buf_printf(out, "wrote %llu row%s to ", (unsigned long long) outlet->rows,
               outlet->rows == 1 ? "" : "s");
    for (size_t i = 0; i < outlet->n_sinks; i++) {
        const char *joint = i == 0 ? "" : i + 1 < outlet->n_sinks ? ", " : " and ";
        bool is_stdout = str_eq_c(outlet->specs[i].target, "-");

        buf_add_c(out, joint);
        buf_add_str(out, is_stdout ? str_from_c("standard output") : outlet->specs[i].text);
    }
}
