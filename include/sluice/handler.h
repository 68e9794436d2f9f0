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
    HANDLER_BURNS, /* burns processor time or blocks: runs on the offload pool; must not suspend,
                      asks task_is_cancelled */
    HANDLER_BOX    /* chews hostile input: runs in a box, a sandboxed process without network, files
                      or loop; may be killed at any moment; must not suspend */
} HandlerCost;

/* Bytes beside the arguments and the result: a picture, a document. */
typedef struct TaskBlob {
    Str bytes;              /* borrowed while the run lasts */
    const char *name;       /* of an output, where there are several; NULL for none */
    const char *media_type; /* "image/jpeg"; of an input a claim, not a fact; NULL: nobody said */
} TaskBlob;

#define TASK_FAILED  1021 /* the number of HANDLER in errors.def */
#define TASK_OUTPUTS 16   /* blobs that one run may give */

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
    bool rereads;         /* asks task_reread now and then: SIGHUP does not end it */
    const char *examples; /* lines "  $ …" for the help of that command; NULL for none */

    /*
     * Run once. ARGS points at the struct that the schema binds into, valid until this returns;
     * where the schema is NULL, at a SchemaJson: the array of a job's arguments, or the body of a
     * direct run, as given. Write exactly one JSON value to RESULT; writing none means null. 0 or
     * an error.
     */
    int (*run)(Task *task, const void *args, JsonWriter *result);

    /*
     * The rest is for handlers that take or give bytes (TaskBlob). A direct run over HTTP takes the
     * body as `task->input` and the arguments from the query where `takes_body` says so, and
     * answers with the outputs; the other doors name where bytes come from and go to in the
     * arguments. `load` fetches the input, `deliver` takes the outputs away; both run on a fiber of
     * the engine, outside any box, with the same arguments as `run`. NULL: nothing to do.
     */
    bool takes_body;
    SL_SUSPENDS int (*load)(Task *task, const void *args);
    SL_SUSPENDS int (*deliver)(Task *task, const void *args);

    /*
     * Called once in each new box, before it is shut: the last chance to read files (libraries,
     * fonts, profiles) and to do once what would otherwise be done in the first run. `run` finds
     * neither files nor network. 0, or an error that ends the box. NULL: nothing to do.
     */
    int (*prepare)(void);

    /*
     * Called once in the process that boxes are forked from, where boxes live for a few runs only
     * (--box-runs): loads libraries that `prepare` would load in each of them. The process has one
     * thread and must keep to one. 0, or an error, which `prepare` or `run` tell in their turn.
     * NULL: nothing to do.
     */
    int (*preload)(void);

    void *declared; /* what the configuration says of a handler that it declares; its own */
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

    /* Room for BYTES of an output, valid while the run lasts. 0 or -ERR_TOO_LARGE. NULL: no bytes
     * can be given here. */
    int (*output)(Task *task, size_t bytes, unsigned char **ret_room);

    /* Wait until BYTES of working memory may be used, kept until the run ends; a second call asks
     * for more. 0, or -ERR_TOO_LARGE where it can never be. NULL: memory is not counted here. */
    int (*reserve)(Task *task, int64_t bytes);

    /* Give back BYTES of it before the run ends. NULL: as above. */
    void (*give_back)(Task *task, int64_t bytes);

    /* The argument once more, as JSON text that lives as long as the task, when a person has asked
     * for it to be read again (SIGHUP): 0, TASK_SAME, or an error with words. NULL: never. */
    SL_SUSPENDS int (*reread)(Task *task, Str *ret_args);
} TaskOps;

/*
 * What a run that a handler of HANDLER_WAITS has begun lets others do with it, set in `task->watch`
 * while it lasts. Called on the run's loop, never after `run` has returned. Zero: nothing.
 */
typedef struct TaskWatch {
    void *ctx;

    /* Write what it is doing as one JSON object, for who watches. NULL: there is progress alone. */
    void (*write_state)(void *ctx, JsonWriter *out);

    /* It has been asked to stop once and is asked again: end soon, and say what was left. NULL: it
     * is ended at once, without another word. */
    void (*hurry)(void *ctx);
} TaskWatch;

struct Task {
    const TaskOps *ops;
    const char *job_id;      /* UUIDv7 text; of the run, where there is no job */
    const char *type;        /* the handler's */
    const Handler *handler;  /* that runs */
    Str args_text;           /* of a declared handler: its arguments as given, a JSON array */
    uint32_t attempt;        /* from 1 */
    uint32_t max_attempts;   /* 1 where there are no retries */
    Arena *arena;            /* scratch, freed after the attempt */
    const char *error_code;  /* set by task_fail; NULL otherwise */
    const char *shared_dir;  /* a folder that this user's processes share; NULL: there is none */
    const char *files_dir;   /* the folder below which jobs may use files; NULL: there is none */
    bool is_final;           /* set by task_fail: do not try again */
    bool is_foreground;      /* a person waits in front of it, on this machine */
    bool is_private_allowed; /* the caller may reach private addresses through it */
    bool is_vector_allowed;  /* the operator lets callers ask for drawings: SVG, PDF */
    bool is_partial;         /* set by the handler: done, but some of the work failed */
    TaskWatch watch;         /* set by the handler */
    TaskBlob input;          /* empty where there is none */
    TaskBlob outputs[TASK_OUTPUTS];
    uint32_t n_outputs;
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

/* Room for the next output, of exactly BYTES bytes: fill *RET_ROOM. 0 or an error. MEDIA_TYPE and
 * NAME (NULL: none) live as long as the task. */
SL_MUST static inline int task_output(Task *task, const char *name, const char *media_type,
                                      size_t bytes, unsigned char **ret_room)
{
    TaskBlob *blob;
    int r;

    if (!task->ops->output || task->n_outputs >= TASK_OUTPUTS)
        return sl_fail(-TASK_FAILED, "the run may give no further output");
    r = task->ops->output(task, bytes, ret_room);
    if (r < 0)
        return r;
    blob = &task->outputs[task->n_outputs++];
    blob->bytes = str_from((const char *) *ret_room, bytes);
    blob->name = name;
    blob->media_type = media_type;
    return 0;
}

#define TASK_SAME 1

/* The argument anew (TaskOps.reread): 0; TASK_SAME when nobody has asked since the last call; or an
 * error with words, and then the one it had stays. Suspends. */
SL_MUST SL_SUSPENDS static inline int task_reread(Task *task, Str *ret_args)
{
    return task->ops->reread ? task->ops->reread(task, ret_args) : TASK_SAME;
}

/* Ask for BYTES of working memory before using them (TaskOps.reserve). May wait. */
SL_MUST static inline int task_reserve(Task *task, int64_t bytes)
{
    return task->ops->reserve ? task->ops->reserve(task, bytes) : 0;
}

/* Give back BYTES of what task_reserve gave, once they are freed. What is left goes back when the
 * run ends. */
static inline void task_give_back(Task *task, int64_t bytes)
{
    if (task->ops->give_back)
        task->ops->give_back(task, bytes);
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
