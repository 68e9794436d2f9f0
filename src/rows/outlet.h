/*
 * Outlet: where a handler's rows go, whatever was asked for.
 *
 * A handler opens one outlet, writes batches and commits. Behind it are the sinks that its
 * arguments name (`out`, any number of them), or, when they name none, whoever runs the task: the
 * terminal shows a table, a direct run and a job put the rows into the result. The handler cannot
 * tell which.
 *
 * Resumable runs: the outlet's marks are those of its sinks. With several sinks the mark that holds
 * is the least of theirs, and on resume the others are cut back to it.
 */
#pragma once

#include "rows/sink.h"

#include <sluice/handler.h>

typedef struct Outlet Outlet;

typedef struct OutletOpts {
    const RowColumn *columns; /* borrowed while the outlet is open */
    size_t n_columns;
    SchemaList out; /* of Str: the texts of sinks; empty: whoever runs the task */
    Str run_id;     /* as in SinkOpts */
    bool is_resume;
    uint64_t mark;
    Str positions; /* with is_resume: what outlet_checkpoint gave */
} OutletOpts;

/*
 * The field for `out` in a handler's schema; the member is a SchemaList.
 */
extern const SchemaField outlet_out_item;
#define FIELD_OUT(Struct, member)                                                        \
    FIELD_LIST(Struct, member, &outlet_out_item,                                         \
               "where rows go: FILE.csv, .json, .jsonl, .md, .db, sqlite:FILE?table=T, " \
               "postgresql://…, table:-",                                                \
               .range = RANGE(0, 8), .holder = "SINK")

/* Whether outlet_open would take the texts of OUT: for who opens only once there are rows.
 * Suspends. */
MUST SUSPENDS int outlet_check(Task *task, SchemaList out);

/* Open. Every sink's text is first shown to the task (task_allow_out), which may refuse or place
 * it. Suspends. */
MUST SUSPENDS int outlet_open(Outlet **ret_outlet, Task *task, const OutletOpts *opts,
                              uint64_t *ret_mark);
MUST SUSPENDS int outlet_write(Outlet *outlet, const RowBatch *batch);
MUST SUSPENDS int outlet_checkpoint(Outlet *outlet, uint64_t mark, Buf *positions);
MUST SUSPENDS int outlet_commit(Outlet *outlet);
SUSPENDS void outlet_close(Outlet *outlet);
DEFINE_AUTO(Outlet *, outlet_close);

/*
 * The rows kept for the result, as the text of a JSON array, when there were no sinks and nobody
 * took the rows as they came; empty otherwise. Bounded by LIMIT_OUTLET_RESULT_BYTES: beyond it
 * outlet_write fails and names --out. Borrowed.
 */
Str outlet_result_rows(const Outlet *outlet);

/* A line for people: "wrote 2 000 rows to prices.csv". */
void outlet_describe(const Outlet *outlet, Buf *out);
