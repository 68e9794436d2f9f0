/*
 * Handlers: the code behind a job's type.
 *
 * A handler is declared once, as a `Handler`: its type, what it takes and gives, what it costs and
 * a function. From that one declaration come the command (`sluice run digest --data x`), the
 * synchronous API (`POST /v1/run/digest`) and the queued job (`POST /ojs/v1/jobs`), each with
 * validation, help and documentation.
 *
 *   typedef struct GreetArgs { Str name; } GreetArgs;
 *
 *   static int greet(Task *task, const void *args, JsonWriter *result)
 *   {
 *       const GreetArgs *greet_args = args;
 *       json_write_str(result, greet_args->name);
 *       return 0;
 *   }
 *
 * A handler sees its arguments (validated against its schema and bound into its struct), a `Task`
 * (its link to whoever runs it) and a writer for its one result value. It never sees a queue or a
 * store. What it returns below zero is the failure of this attempt; whether the job is tried again
 * is the queue's policy, unless `task_fail` says never.
 *
 * A job is run at least once, so a handler may run twice for one job: make its effect idempotent,
 * for example with `task->job_id` as a key.
 */
#pragma once

#include <sluice/attr.h>
#include <sluice/json.h>
#include <sluice/rt/run.h>
#include <sluice/schema.h>
#include <sluice/str.h>

#include <stdbool.h>
#include <stdint.h>

SL_BEGIN_DECLS

typedef struct Task Task;
typedef struct HttpClient HttpClient;
typedef struct RowBatch RowBatch;

/* What running it costs, which decides where it runs. */
typedef enum HandlerCost {
    HANDLER_WAITS, /* mostly waits: runs on a fiber; may call everything marked SL_SUSPENDS */
    HANDLER_BURNS  /* burns processor time or blocks: runs on the offload pool; must not suspend,
                      asks task_is_cancelled */
} HandlerCost;

typedef struct Handler {
    const char *type; /* "digest": lower-case letters, digits, dots, dashes; its name everywhere */
    const char *summary; /* one line, a sentence */
    const char *details; /* further help text; NULL for none */
    const Schema *args;  /* of the one argument object; NULL: takes anything, as a SchemaJson */
    const SchemaField *result; /* the result, as ITEM(...) with a summary; NULL: any JSON value */
    HandlerCost cost;
    int64_t timeout_ms;   /* of one attempt unless the job says otherwise; 0 means 30 minutes */
    bool is_for_tests;    /* left out of `sluice help` and the docs */
    bool is_command;      /* is `sluice TYPE` too, beside `sluice run TYPE` */
    const char *examples; /* lines "  $ …" for the help of that command; NULL for none */

    /*
     * Run once. ARGS points at the struct that the schema binds into, valid until this returns;
     * where the schema is NULL, at a SchemaJson: the array of a job's arguments, or the body of a
     * direct run, as given. Write exactly one JSON value to RESULT; writing none means null. 0 or
     * an error.
     */
    int (*run)(Task *task, const void *args, JsonWriter *result);
} Handler;

/* How a task reaches whoever runs it. Tests of handlers make their own. All may be called from any
 * thread but http. */
typedef struct TaskOps {
    bool (*is_cancelled)(Task *task);
    void (*progress)(Task *task, double fraction, Str message);
    void (*log)(Task *task, Str line);
    HttpClient *(*http)(Task *task);

    /* Take rows as they come, for a person who watches; NULL rows: what came is complete, show it,
     * further ones are the next answer. NULL: rows belong into the result. */
    SL_SUSPENDS int (*emit)(Task *task, const RowBatch *batch);

    /* Whether rows may go to OUT, the text of a sink, and where that is: *RET_OUT, in the task's
     * arena. 0 or an error with words. NULL: anywhere. */
    int (*allow_out)(Task *task, Str out, Str *ret_out);
} TaskOps;

struct Task {
    const TaskOps *ops;
    const char *job_id;      /* UUIDv7 text; of the run, where there is no job */
    const char *type;        /* the handler's */
    uint32_t attempt;        /* from 1 */
    uint32_t max_attempts;   /* 1 where there are no retries */
    Arena *arena;            /* scratch, freed after the attempt */
    const char *error_code;  /* set by task_fail; NULL otherwise */
    const char *shared_dir;  /* a folder that this user's processes share; NULL: there is none */
    bool is_final;           /* set by task_fail: do not try again */
    bool is_foreground;      /* a person waits in front of it, on this machine */
    bool is_private_allowed; /* the caller may reach private addresses through it */
    bool is_partial;         /* set by the handler: done, but some of the work failed */
};

/* Whether the attempt should stop: cancelled, timed out, or the worker is stopping. Any thread;
 * does not suspend. */
static inline bool task_is_cancelled(Task *task)
{
    return task->ops->is_cancelled(task);
}

/* How far it is, 0 to 1, and a short message; kept with the job and shown. Cheap to call often: the
 * newest counts. */
static inline void task_progress(Task *task, double fraction, Str message)
{
    task->ops->progress(task, fraction, message);
}

/* A line for the job's log. */
static inline void task_log(Task *task, Str line)
{
    task->ops->log(task, line);
}

/* The HTTP client of this loop; only for handlers that wait. Borrowed. */
static inline HttpClient *task_http(Task *task)
{
    return task->ops->http(task);
}

/* Whether somebody takes rows while the task runs; otherwise they are part of the result. */
static inline bool task_has_watcher(const Task *task)
{
    return task->ops->emit != NULL;
}

/* Hand ROWS (NULL: that is all) to who watches. Borrowed. May suspend. */
SL_MUST SL_SUSPENDS static inline int task_emit(Task *task, const RowBatch *rows)
{
    return task->ops->emit(task, rows);
}

#define TASK_FAILED 1021 /* the number of HANDLER in errors.def */

static inline int task_mark_final(Task *task, const char *code)
{
    task->error_code = code;
    task->is_final = true;
    return -TASK_FAILED;
}

/* Fail for good: CODE (static text) names the failure in the job's error, the words follow as for
 * printf; no further attempt. The value of the expression is the error to return. */
#define task_fail(task, code, ...) sl_fail(task_mark_final((task), (code)), __VA_ARGS__)

SL_END_DECLS
