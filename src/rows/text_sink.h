/*
 * Sinks that write text: what CSV, JSON lines, JSON and Markdown have in common.
 *
 * A form says how a head, a row and a tail look; the file (out_file), marks, appending and where
 * the formatting runs are here. To add such a sink: a TextForm and a SinkDriver made by
 * TEXT_SINK_OPS.
 */
#pragma once

#include "rows/out_file.h"
#include "rows/sink.h"

typedef struct TextForm {
    /* Each may be NULL. FIRST: how many rows stand before. */
    void (*head)(Buf *out, const SinkSpec *spec, const RowColumn *columns, size_t n_columns);
    void (*row)(Buf *out, const SinkSpec *spec, const RowBatch *batch, size_t index,
                uint64_t first);
    void (*tail)(Buf *out, const SinkSpec *spec, uint64_t rows);
    const char *row_end; /* what a file that is appended to must end in; NULL: anything */
    bool is_head_needed; /* an existing file that is appended to must begin with the head */
} TextForm;

MUST SUSPENDS int text_sink_open(const TextForm *form, const SinkSpec *spec, const SinkOpts *opts,
                                 void **ret_state, uint64_t *ret_mark);
MUST SUSPENDS int text_sink_write(void *state, const RowBatch *batch);
MUST SUSPENDS int text_sink_checkpoint(void *state, uint64_t mark, Buf *position);
MUST SUSPENDS int text_sink_commit(void *state);
SUSPENDS void text_sink_close(void *state);
const char *text_sink_place(const void *state);

#define TEXT_SINK_OPS                                                                         \
    .write = text_sink_write, .checkpoint = text_sink_checkpoint, .commit = text_sink_commit, \
    .close = text_sink_close, .get_place = text_sink_place

/* What a checkpoint of a file gives, "BYTES ROWS INODE": written and read. */
typedef struct TextPosition {
    uint64_t bytes;
    uint64_t rows;
    uint64_t inode;
} TextPosition;

void text_position_format(Buf *out, const TextPosition *position);
MUST int text_position_parse(Str text, TextPosition *ret_position);
