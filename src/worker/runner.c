/*
 * One attempt, from argument text to result text.
 *
 *   text --json_parse--> tree --schema--> C struct --handler--> JSON value --buffer--> result text
 *
 * Where the handler runs. A handler that waits is called on this fiber, inside a scope with the
 * time-out. A handler that burns is called on a pool thread while this fiber waits in sl_offload;
 * cancellation and time-outs reach it as a flag (task_is_cancelled), because nobody can interrupt
 * a thread, and the fiber goes on waiting until the handler has noticed.
 *
 * I1  `state` is set exactly while the handler may run; the task never outlives runner_run.
 * I2  Only the handler's thread writes the result buffer and the arena between start and end.
 * I3  Progress crosses threads under a spin lock that is held for a copy of 120 bytes.
 */
#include "worker/runner.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"

#include <sluice/rt/fiber.h>
#include <sluice/rt/offload.h>
#include <sluice/rt/scope.h>

#include <stdatomic.h>
#include <stdio.h>

typedef struct RunState {
    Task task;
    Run *run;
    void *args;
    JsonWriter writer;
    atomic_bool is_cancelled;
    atomic_flag lock; /* of progress (I3) */
    RunProgress progress;
} RunState;

/* ---- the task the handler sees --------------------------------------------------------------- */

static RunState *state_of(Task *task)
{
    return CONTAINER_OF(task, RunState, task);
}

static bool run_is_cancelled(Task *task)
{
    RunState *state = state_of(task);

    if (atomic_load_explicit(&state->is_cancelled, memory_order_relaxed))
        return true;
    return state->run->handler->cost == HANDLER_WAITS && sl_is_cancelled();
}

static void progress_lock(RunState *state)
{
    while (atomic_flag_test_and_set_explicit(&state->lock, memory_order_acquire)) {}
}

static void progress_unlock(RunState *state)
{
    atomic_flag_clear_explicit(&state->lock, memory_order_release);
}

static void run_progress(Task *task, double fraction, Str message)
{
    RunState *state = state_of(task);
    size_t len = MIN(message.len, (size_t) RUNNER_PROGRESS_MESSAGE);

    progress_lock(state);
    state->progress.is_set = true;
    state->progress.fraction = !(fraction > 0) ? 0 : fraction > 1 ? 1 : fraction; /* NaN is 0 */
    if (len)
        memcpy(state->progress.message, message.data, len);
    state->progress.message[len] = '\0';
    progress_unlock(state);
}

static void run_log(Task *task, Str line)
{
    const RunDoors *doors = state_of(task)->run->doors;

    if (doors && doors->log)
        return doors->log(doors->ctx, line);
    log_info("job says", L_C("job", task->job_id), L_C("type", task->type), L_STR("line", line));
}

static HttpClient *run_http(Task *task)
{
    return state_of(task)->run->http;
}

SUSPENDS static int run_emit(Task *task, const RowBatch *rows)
{
    const RunDoors *doors = state_of(task)->run->doors;

    return doors->emit(doors->ctx, rows);
}

static int run_allow_out(Task *task, Str out, Str *ret_out)
{
    const RunDoors *doors = state_of(task)->run->doors;

    if (doors && doors->allow_out)
        return doors->allow_out(doors->ctx, task->arena, out, ret_out);
    if (!doors || !doors->is_foreground)
        return fail(-ERR_FORBIDDEN, "out: rows may only go into the result here");
    *ret_out = out;
    return 0;
}

static const TaskOps run_ops = {
    .is_cancelled = run_is_cancelled,
    .progress = run_progress,
    .log = run_log,
    .http = run_http,
    .allow_out = run_allow_out,
};

static const TaskOps watched_run_ops = {
    .is_cancelled = run_is_cancelled,
    .progress = run_progress,
    .log = run_log,
    .http = run_http,
    .emit = run_emit,
    .allow_out = run_allow_out,
};

/* ---- arguments ------------------------------------------------------------------------------- */

/* The one argument object of a job, or the complaint that there are more. */
static int single_argument(Json args, bool is_direct, Json *ret_value)
{
    if (is_direct) {
        *ret_value = args;
        return 0;
    }
    if (json_len(args) > 1)
        return fail(-ERR_INVALID, "args: must hold one object, got %zu values", json_len(args));
    *ret_value = json_at(args, 0);
    return 0;
}

int runner_bind(Arena *arena, const Handler *handler, const JsonDoc *doc, Json args, bool is_direct,
                SchemaErrors *errors, void **ret_args)
{
    static const JsonPath args_path = { .key = STR("args") };
    static const JsonPath first_path = { .outer = &args_path, .index = 0 };
    SchemaDecodeOpts opts = { .doc = doc, .errors = errors, .at = is_direct ? NULL : &first_path };
    Json value = NULL;
    void *bound;
    int r;

    if (!handler->args) {
        SchemaJson *given = arena_new(arena, SchemaJson);

        given->value = args;
        given->raw = json_raw(doc, args);
        *ret_args = given;
        return 0;
    }

    r = single_argument(args, is_direct, &value);
    if (r < 0)
        return r;
    bound = arena_zalloc(arena, handler->args->struct_bytes);
    r = schema_decode(arena, handler->args, value, bound, &opts);
    if (r < 0)
        return r;
    *ret_args = bound;
    return 0;
}

static int bind_text(Run *run, void **ret_args)
{
    JsonDoc doc;
    int r;

    r = json_parse(&run->arena,
                   run->args.len ? run->args : str_from_c(run->is_direct ? "{}" : "[]"), &doc);
    if (r < 0)
        return wrap(r, "args");
    return runner_bind(&run->arena, run->handler, &doc, doc.root, run->is_direct, NULL, ret_args);
}

/* ---- running --------------------------------------------------------------------------------- */

static int call_handler(void *arg)
{
    RunState *state = arg;

    return state->run->handler->run(&state->task, state->args, &state->writer);
}

static void on_cancel(void *arg)
{
    RunState *state = arg;

    atomic_store_explicit(&state->is_cancelled, true, memory_order_relaxed);
}

/* Run the handler where its cost says, under its time-out. */
SUSPENDS static int call_in_scope(RunState *state)
{
    const Handler *handler = state->run->handler;
    int64_t timeout_ms = state->run->timeout_ms ? state->run->timeout_ms
                         : handler->timeout_ms  ? handler->timeout_ms
                                                : RUNNER_TIMEOUT_MS;
    bool is_over;
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .timeout_ms = timeout_ms);
    if (handler->cost == HANDLER_WAITS)
        r = call_handler(state);
    else
        r = sl_offload(call_handler, state, .name = handler->type, .on_cancel = on_cancel);
    is_over = sl_scope_is_expired(&scope);
    r = sl_scope_end(&scope, r);
    if (r == -ETIMEDOUT && is_over) /* not a time-out of the handler's own, which has its words */
        return fail(-ETIMEDOUT, "timed out after %lld ms", (long long) timeout_ms);
    return r;
}

static void set_code(Run *run, const char *code)
{
    (void) snprintf(run->code, sizeof(run->code), "%s", code);
}

/* Name the failure R for the job's error record. */
static void name_failure(Run *run, const Task *task, int r)
{
    run->is_final = task->is_final;
    if (task->error_code)
        set_code(run, task->error_code);
    else if (r == -ETIMEDOUT)
        set_code(run, "timeout");
    else if (r == -ECANCELED)
        set_code(run, "cancelled");
    else
        set_code(run, "handler_error");
}

SUSPENDS static int run_bound(Run *run, RunState *state)
{
    int64_t began_ns = sl_clock_ns();
    int r;

    run->state = state; /* I1 */
    r = call_in_scope(state);
    run->state = NULL;
    run->is_partial = state->task.is_partial;
    run->last_progress = state->progress;
    run->ran_ns = sl_clock_ns() - began_ns;

    if (r > 0)
        r = fail(-ERR_HANDLER, "the handler returned an outcome (%d) where 0 or an error belongs",
                 r);
    if (r == 0)
        r = buf_check(&run->result);
    return r;
}

int runner_run(Run *run)
{
    RunState *state;
    int r;

    ASSERT(run->handler && !run->state);
    if (!run->arena.max_bytes)
        arena_init(&run->arena, LIMIT_RUN_ARENA_BYTES);
    if (!run->result.max_bytes)
        buf_init(&run->result, LIMIT_JOB_RESULT_BYTES);

    state = arena_new(&run->arena, RunState);
    state->run = run;
    state->writer = JSON_WRITER(&run->result);
    state->task = (Task){
        .ops = run->doors && run->doors->emit ? &watched_run_ops : &run_ops,
        .is_foreground = run->doors && run->doors->is_foreground,
        .is_private_allowed = run->doors && run->doors->is_private_allowed,
        .shared_dir = run->doors ? run->doors->shared_dir : NULL,
        .job_id = run->job_id ? run->job_id : "",
        .type = run->handler->type,
        .attempt = run->attempt ? run->attempt : 1,
        .max_attempts = run->max_attempts ? run->max_attempts : 1,
        .arena = &run->arena,
    };
    run->code[0] = '\0';
    run->is_final = false;
    run->is_partial = false;
    run->ran_ns = 0;
    run->last_progress.is_set = false;

    r = bind_text(run, &state->args);
    if (r < 0)
        (void) task_mark_final(&state->task, "schema_validation");
    else
        r = run_bound(run, state);
    if (r < 0)
        name_failure(run, &state->task, r);
    return r;
}

bool runner_progress(const Run *run, RunProgress *ret_progress)
{
    RunState *state = run->state;

    if (!state) {
        *ret_progress = run->last_progress;
        return ret_progress->is_set;
    }
    progress_lock(state);
    *ret_progress = state->progress;
    progress_unlock(state);
    return ret_progress->is_set;
}

void runner_reset(Run *run)
{
    ASSERT(!run->state); /* I1 */
    arena_reset(&run->arena);
    if (run->result.cap > LIMIT_ARENA_KEPT_BYTES)
        buf_deinit(&run->result);
    buf_reset(&run->result);
}

void runner_deinit(Run *run)
{
    ASSERT(!run->state); /* I1 */
    arena_deinit(&run->arena);
    buf_deinit(&run->result);
}
