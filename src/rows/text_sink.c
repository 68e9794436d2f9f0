/*
 * Sinks that write text; see the header.
 *
 * A batch is formatted into the file's buffer at once, on a pool thread when it has many values,
 * and the buffer goes to the file when enough has gathered. A file that is appended to must end
 * where a row may begin: a missing line end is added, a head that says other columns is refused.
 */
#include "rows/text_sink.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"

#define TEXT_OFFLOAD_VALUES 4096 /* formatted on a pool thread: more than half a millisecond */

typedef struct TextSink {
    const TextForm *form;
    const SinkSpec *spec; /* borrowed from the sink */
    OutFile *file;
    uint64_t rows; /* in the file, those of earlier processes of the run included */
} TextSink;

/* ---- positions ------------------------------------------------------------------------------- */

void text_position_format(Buf *out, const TextPosition *position)
{
    buf_printf(out, "%llu %llu %llu", (unsigned long long) position->bytes,
               (unsigned long long) position->rows, (unsigned long long) position->inode);
}

int text_position_parse(Str text, TextPosition *ret_position)
{
    TextPosition position = { 0 };
    Str rest, bytes = str_cut(text, ' ', &rest), rows = str_cut(rest, ' ', &rest);
    int r;

    r = str_to_u64(bytes, INT64_MAX, &position.bytes);
    if (r == 0)
        r = str_to_u64(rows, UINT64_MAX, &position.rows);
    if (r == 0)
        r = str_to_u64(rest, UINT64_MAX, &position.inode);
    if (r < 0)
        return wrap(r, "position of a file");
    *ret_position = position;
    return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* The head of the file that is appended to must be ours, whatever its line end. */
SUSPENDS static int compare_head(TextSink *sink, Str head)
{
    AUTO(buf_deinit) Buf found = { 0 };
    Str want = str_trim(head), have;
    int r = out_file_read_head(sink->file, head.len + 3, &found);

    if (r < 0)
        return r;
    have = buf_str(&found);
    if (str_starts(have, str_from_c("\xef\xbb\xbf")))
        have = str_sub(have, 3, have.len);
    if (!str_starts(have, want) ||
        (have.len > want.len && have.data[want.len] != '\r' && have.data[want.len] != '\n'))
        return fail(-ERR_CONFLICT, "the file has other columns: it must begin with %.*s",
                    (int) want.len, want.data);
    return 0;
}

/* Make the file ready for rows behind what is there. */
SUSPENDS static int continue_old(TextSink *sink, Str head)
{
    char last;
    int r = sink->form->is_head_needed ? compare_head(sink, head) : 0;

    if (r == 0)
        r = out_file_read_last(sink->file, &last);
    if (r == 0 && last != '\n' && sink->form->row_end)
        buf_add_c(out_file_buf(sink->file), sink->form->row_end);
    return r;
}

SUSPENDS static int begin(TextSink *sink, const SinkOpts *opts, uint64_t bytes)
{
    AUTO(buf_deinit) Buf head = { 0 };
    int r;

    if (sink->form->head)
        sink->form->head(&head, sink->spec, opts->columns, opts->n_columns);
    r = buf_check(&head);
    if (r < 0)
        return r;
    if (bytes > 0)
        return continue_old(sink, buf_str(&head));
    buf_add_str(out_file_buf(sink->file), buf_str(&head));
    return 0;
}

int text_sink_open(const TextForm *form, const SinkSpec *spec, const SinkOpts *opts,
                   void **ret_state, uint64_t *ret_mark)
{
    AUTO(mem_free) TextSink *sink = mem_new(TextSink);
    AUTO(out_file_close) OutFile *file = NULL;
    TextPosition position = { 0 };
    uint64_t bytes;
    int r = opts->position.len > 0 ? text_position_parse(opts->position, &position) : 0;

    if (r < 0)
        return r;
    r = out_file_open(&file,
                      &(OutFileOpts){ .path = spec->target,
                                      .fd = opts->fd,
                                      .is_append = spec->mode == SINK_APPEND,
                                      .is_resumable = opts->run_id.len > 0,
                                      .is_resume = opts->is_resume,
                                      .bytes = position.bytes,
                                      .inode = position.inode },
                      &bytes);
    if (r < 0)
        return r;
    *sink = (TextSink){ .form = form, .spec = spec, .file = file, .rows = position.rows };
    /* A stream that is resumed has had its head and its rows. */
    if (!opts->is_resume || (position.bytes == 0 && opts->mark == 0)) {
        r = begin(sink, opts, bytes);
        if (r < 0)
            return r;
    }
    (void) ret_mark; /* the position belongs to the caller's own mark */
    (void) TAKE(file);
    *ret_state = TAKE(sink);
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

typedef struct TextRows {
    TextSink *sink;
    const RowBatch *batch;
} TextRows;

static int format_main(void *arg)
{
    TextRows *rows = arg;
    TextSink *sink = rows->sink;
    Buf *out = out_file_buf(sink->file);
    size_t count = row_batch_count(rows->batch);

    for (size_t i = 0; i < count; i++)
        sink->form->row(out, sink->spec, rows->batch, i, sink->rows);
    sink->rows += count;
    return 0;
}

int text_sink_write(void *state, const RowBatch *batch)
{
    TextRows rows = { state, batch };
    size_t values = row_batch_count(batch) * row_batch_width(batch);
    int r = values > TEXT_OFFLOAD_VALUES ? sl_offload(format_main, &rows, .name = "format rows")
                                         : format_main(&rows);

    return r < 0 ? r : out_file_push(rows.sink->file);
}

int text_sink_checkpoint(void *state, uint64_t mark, Buf *position)
{
    TextSink *sink = state;
    int r = out_file_sync(sink->file);

    (void) mark; /* kept by the caller, with the position */
    if (r < 0)
        return r;
    text_position_format(position, &(TextPosition){ .bytes = out_file_bytes(sink->file),
                                                    .rows = sink->rows,
                                                    .inode = out_file_inode(sink->file) });
    return buf_check(position);
}

int text_sink_commit(void *state)
{
    TextSink *sink = state;

    if (sink->form->tail)
        sink->form->tail(out_file_buf(sink->file), sink->spec, sink->rows);
    return out_file_commit(sink->file);
}

void text_sink_close(void *state)
{
    TextSink *sink = state;

    out_file_close(sink->file);
    mem_free(sink);
}

const char *text_sink_place(const void *state)
{
    const TextSink *sink = state;

    return out_file_partial(sink->file);
}
