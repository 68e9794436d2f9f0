/*
 * json: one JSON array with an object for each row, a row on each line.
 */
#include "rows/text_sink.h"

static void json_row(Buf *out, const SinkSpec *spec, const RowBatch *batch, size_t index,
                     uint64_t first)
{
    (void) spec;
    buf_add_c(out, first + index == 0 ? "[\n" : ",\n");
    row_format_json(out, batch, index);
}

static void json_tail(Buf *out, const SinkSpec *spec, uint64_t rows)
{
    (void) spec;
    buf_add_c(out, rows == 0 ? "[]\n" : "\n]\n");
}

static const TextForm json_form = { .row = json_row, .tail = json_tail };

SUSPENDS static int json_open(const SinkSpec *spec, const SinkOpts *opts, void **ret_state,
                              uint64_t *ret_mark)
{
    return text_sink_open(&json_form, spec, opts, ret_state, ret_mark);
}

const SinkDriver sink_json = {
    .name = "json",
    .summary = "one JSON array of objects",
    .suffixes = { ".json" },
    .modes = 1u << SINK_REPLACE,
    .is_stdout = true,
    .open = json_open,
    TEXT_SINK_OPS,
};
