/*
 * Sinks: what is the same for all of them.
 *
 * The driver does the work; here the order of calls is asserted, rows are counted, and an error
 * gets the sentence that says what of the rows is left (S4):
 *
 *   prices.csv: write file: No space left on device; 12400 rows up to the last checkpoint are kept
 *   in prices.csv.partial
 */
#include "rows/sink.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "rows/sink_option.h"

struct Sink {
    const SinkDriver *driver;
    void *state; /* the driver's */
    SinkSpec spec;
    size_t n_columns;
    bool is_resumable;
    bool is_ended;         /* committed, or failed: only close is allowed */
    uint64_t rows;         /* written by this process */
    uint64_t rows_durable; /* of them, up to the last checkpoint */
    uint64_t mark;
};

/* End error R of SINK with what is left of the rows. */
static int say_what_is_left(Sink *sink, int r)
{
    int len = (int) sink->spec.text.len;
    const char *text = sink->spec.text.data;
    const char *place;
    Err err;

    sink->is_ended = true;
    if (r == -ECANCELED)
        return r;
    place = sink->driver->get_place ? sink->driver->get_place(sink->state) : NULL;
    err_take(r, &err);
    if (!place)
        return fail(r, "%.*s: %s; %llu rows were taken before it", len, text, err.text,
                    (unsigned long long) sink->rows);
    if (sink->mark == 0)
        return fail(r, "%.*s: %s; none of the %llu rows taken before it is kept", len, text,
                    err.text, (unsigned long long) sink->rows);
    return fail(r, "%.*s: %s; the rows up to the last checkpoint (%llu of this run) are kept in %s",
                len, text, err.text, (unsigned long long) sink->rows_durable, place);
}

static int check_columns(const SinkSpec *spec, const SinkOpts *opts)
{
    int len = (int) spec->text.len;
    const char *text = spec->text.data;

    if (opts->n_columns == 0)
        return fail(-ERR_INVALID, "%.*s: rows without columns", len, text);
    if (opts->n_columns > LIMIT_ROW_COLUMNS)
        return fail(-ERR_TOO_LARGE, "%.*s: rows have %zu columns; at most %d are taken", len, text,
                    opts->n_columns, LIMIT_ROW_COLUMNS);
    for (size_t i = 0; i < opts->n_columns; i++) {
        for (size_t k = 0; k < i; k++) {
            if (str_eq(opts->columns[i].name, opts->columns[k].name))
                return fail(-ERR_INVALID, "%.*s: two columns are called %.*s", len, text,
                            (int) opts->columns[i].name.len, opts->columns[i].name.data);
        }
    }
    return 0;
}

static int check_keys(const SinkSpec *spec, const SinkOpts *opts)
{
    for (size_t k = 0; k < spec->n_keys; k++) {
        size_t i = 0;

        while (i < opts->n_columns && !str_eq(opts->columns[i].name, spec->keys[k]))
            i++;
        if (i == opts->n_columns)
            return fail(-ERR_INVALID, "%.*s: key=%.*s: the rows have no such column",
                        (int) spec->text.len, spec->text.data, (int) spec->keys[k].len,
                        spec->keys[k].data);
    }
    return 0;
}

int sink_open(Sink **ret_sink, const SinkSpec *spec, const SinkOpts *opts, uint64_t *ret_mark)
{
    AUTO(mem_free) Sink *sink = mem_new(Sink);
    uint64_t mark = opts->is_resume ? opts->mark : 0;
    int r;

    ASSERT(ret_sink && spec->driver);
    if (opts->is_resume)
        ASSERT(opts->run_id.len > 0);
    if (!spec->driver->open)
        return fail(-ERR_INVALID,
                    "%.*s: the sink %s takes only rows without end (sluice ingest), not those of "
                    "a run",
                    (int) spec->text.len, spec->text.data, spec->driver->name);
    r = check_columns(spec, opts);
    if (r == 0)
        r = check_keys(spec, opts);
    if (r == 0)
        r = sink_option_check_run(spec);
    if (r < 0)
        return r;
    sink->driver = spec->driver;
    sink->spec = *spec;
    sink->n_columns = opts->n_columns;
    sink->is_resumable = opts->run_id.len > 0;
    r = spec->driver->open(&sink->spec, opts, &sink->state, &mark);
    if (r < 0)
        return wrap(r, "%.*s", (int) spec->text.len, spec->text.data);
    ASSERT(mark >= (opts->is_resume ? opts->mark : 0));
    sink->mark = mark;
    if (ret_mark)
        *ret_mark = mark;
    *ret_sink = TAKE(sink);
    return 0;
}

int sink_write(Sink *sink, const RowBatch *batch)
{
    int r;

    ASSERT(!sink->is_ended && row_batch_width(batch) == sink->n_columns);
    if (row_batch_count(batch) == 0)
        return 0;
    r = sink->driver->write(sink->state, batch);
    if (r < 0)
        return say_what_is_left(sink, r);
    sink->rows += row_batch_count(batch);
    return 0;
}

int sink_checkpoint(Sink *sink, uint64_t mark, Buf *position)
{
    int r;

    ASSERT(!sink->is_ended && sink->is_resumable && mark > sink->mark);
    r = sink->driver->checkpoint(sink->state, mark, position);
    if (r < 0)
        return say_what_is_left(sink, r);
    sink->mark = mark;
    sink->rows_durable = sink->rows;
    return 0;
}

int sink_commit(Sink *sink)
{
    int r;

    ASSERT(!sink->is_ended);
    r = sink->driver->commit(sink->state);
    if (r < 0)
        return say_what_is_left(sink, r);
    sink->is_ended = true;
    return 0;
}

void sink_close(Sink *sink)
{
    if (!sink)
        return;
    sink->driver->close(sink->state);
    mem_free(sink);
}

void sink_put_note(Sink *sink, Str note)
{
    if (sink->driver->put_note)
        sink->driver->put_note(sink->state, note);
}

Str sink_get_note(const Sink *sink)
{
    return sink->driver->get_note ? sink->driver->get_note(sink->state) : (Str){ 0 };
}
