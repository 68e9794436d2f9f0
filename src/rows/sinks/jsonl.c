/*
 * jsonl: JSON lines, an object for each row. Numbers keep the digits they were written with, times
 * are RFC 3339 strings, no value is null, and the text is always UTF-8.
 */
#include "rows/file_feed.h"
#include "rows/text_sink.h"

static void jsonl_row(Buf *out, const SinkSpec *spec, const RowBatch *batch, size_t index,
                      uint64_t first)
{
    (void) spec;
    (void) first;
    row_format_json(out, batch, index);
    buf_add_char(out, '\n');
}

static const TextForm jsonl_form = { .row = jsonl_row, .row_end = "\n" };

SUSPENDS static int jsonl_open(const SinkSpec *spec, const SinkOpts *opts, void **ret_state,
                               uint64_t *ret_mark)
{
    return text_sink_open(&jsonl_form, spec, opts, ret_state, ret_mark);
}

SUSPENDS static int jsonl_feed_open(const SinkSpec *spec, const FeedOpts *opts, void **ret_state,
                                    uint64_t *ret_mark, FeedVerdict *verdict)
{
    return file_feed_open(&jsonl_form, spec, opts, ret_state, ret_mark, verdict);
}

static const FeedDriver jsonl_feed = { .open = jsonl_feed_open, FILE_FEED_OPS };

const SinkDriver sink_jsonl = {
    .name = "jsonl",
    .summary = "JSON lines: one object for each row",
    .suffixes = { ".jsonl", ".ndjson" },
    .modes = 1u << SINK_REPLACE | 1u << SINK_APPEND,
    .is_stdout = true,
    .options = file_feed_options,
    .feed = &jsonl_feed,
    .open = jsonl_open,
    TEXT_SINK_OPS,
};
