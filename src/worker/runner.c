/*
 * One attempt, from argument text to result text.
 *
 *   text --json_parse--> tree --schema--> C struct --handler--> JSON value --buffer--> result text
 *
 * Where the handler runs. A handler that waits is called on this fiber, inside a scope with the
 * time-out. A handler that burns is called on a pool thread while this fiber waits in sl_offload;
 * cancellation and time-outs reach it as a flag (task_is_cancelled), because nobody can interrupt
 * a thread, and the fiber goes on waiting until the handler has noticed. A handler that needs a box
 * runs in another process; what it fetches before and delivers afterwards is done on this fiber.
 * Before either of them stands the limit of the handler's type, where there is one.
 *
 * I1  `state` is set exactly while the handler may run; the task never outlives runner_run.
 * I2  Only the handler's thread writes the result buffer and the arena between start and end.
 * I3  Progress crosses threads under a spin lock that is held for a copy of 120 bytes.
 */
#include "worker/runner.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "worker/box.h"
#include "worker/burns.h"
#include "worker/type_limits.h"

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
    size_t log_bytes; /* that the handler has said */
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
    Str cut = str_cut_utf8(message, RUNNER_PROGRESS_MESSAGE);

    progress_lock(state);
    state->progress.is_set = true;
    state->progress.fraction = !(fraction > 0) ? 0 : fraction > 1 ? 1 : fraction; /* NaN is 0 */
    if (cut.len)
        memcpy(state->progress.message, cut.data, cut.len);
    state->progress.message[cut.len] = '\0';
    progress_unlock(state);
}

/* Whether there is room for LINE in the log. What a program says without an end must not fill the
 * disk; a person in front of it decides for himself. */
static bool is_log_open(RunState *state, Str line)
{
    const RunDoors *doors = state->run->doors;
    bool was_open = state->log_bytes <= LIMIT_JOB_LOG_BYTES;

    if (doors && doors->is_foreground)
        return true;
    if (was_open)
        state->log_bytes += line.len + 1;
    if (was_open && state->log_bytes > LIMIT_JOB_LOG_BYTES)
        log_warn("job says too much; the rest is left out", L_C("job", state->task.job_id),
                 L_C("type", state->task.type));
    return state->log_bytes <= LIMIT_JOB_LOG_BYTES;
}

static void run_log(Task *task, Str line)
{
    const RunDoors *doors = state_of(task)->run->doors;

    if (!is_log_open(state_of(task), line))
        return;
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

SUSPENDS static int run_reread(Task *task, Str *ret_args)
{
    const RunDoors *doors = state_of(task)->run->doors;

    if (!doors || !doors->reread)
        return TASK_SAME;
    return doors->reread(doors->ctx, task->arena, ret_args);
}

static int run_output(Task *task, size_t bytes, unsigned char **ret_room)
{
    unsigned char *room = arena_try(task->arena, MAX(bytes, (size_t) 1));

    if (!room)
        return fail(-ERR_TOO_LARGE, "no room for an output of %zu bytes", bytes);
    *ret_room = room;
    return 0;
}

static const TaskOps run_ops = {
    .is_cancelled = run_is_cancelled,
    .progress = run_progress,
    .log = run_log,
    .http = run_http,
    .allow_out = run_allow_out,
    .reread = run_reread,
    .output = run_output,
};

static const TaskOps watched_run_ops = {
    .is_cancelled = run_is_cancelled,
    .progress = run_progress,
    .log = run_log,
    .http = run_http,
    .emit = run_emit,
    .allow_out = run_allow_out,
    .reread = run_reread,
    .output = run_output,
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

/* The arguments as an array, for a declared handler, which passes them on. */
static Str array_text(Run *run, Str args)
{
    char *text;

    if (!run->is_direct || !run->handler->declared)
        return args;
    text = arena_zalloc(&run->arena, args.len + 2);
    text[0] = '[';
    memcpy(text + 1, args.data, args.len);
    text[args.len + 1] = ']';
    return str_from(text, args.len + 2);
}

static int bind_text(Run *run, RunState *state)
{
    Str args = run->args.len ? run->args : str_from_c(run->is_direct ? "{}" : "[]");
    JsonDoc doc;
    int r;

    r = json_parse(&run->arena, args, &doc);
    if (r < 0)
        return wrap(r, "args");
    state->task.args_text = array_text(run, args);
    return runner_bind(&run->arena, run->handler, &doc, doc.root, run->is_direct, NULL,
                       &state->args);
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

static void on_box_progress(void *ctx, double fraction, Str message)
{
    RunState *state = ctx;

    run_progress(&state->task, fraction, message);
}

static void on_box_log(void *ctx, Str line)
{
    RunState *state = ctx;

    run_log(&state->task, line);
}

/* What came out of the box, as if the handler had done it here. */
static void take_from_box(Run *run, Task *task, const BoxRun *box)
{
    memcpy(task->outputs, box->outputs, sizeof(task->outputs));
    task->n_outputs = box->n_outputs;
    task->is_partial = box->is_partial;
    task->is_final = box->is_final;
    task->error_code = box->error_code;
    run->waited_ns += box->waited_ns;
    run->wait_ms = box->wait_ms;
}

static bool is_patient(const Run *run)
{
    return !run->is_direct || (run->doors && run->doors->is_foreground);
}

SUSPENDS static int call_in_box(RunState *state, int64_t timeout_ms)
{
    Run *run = state->run;
    const RunDoors *doors = run->doors;
    BoxRun *box;
    int r;

    if (!doors || !doors->boxes)
        return fail(-ERR_UNSUPPORTED, "%s runs in a box, and there are none here",
                    run->handler->type);
    box = arena_new(&run->arena, BoxRun);
    *box = (BoxRun){ .handler = run->handler,
                     .args = run->args.len ? run->args : str_from_c(run->is_direct ? "{}" : "[]"),
                     .is_direct = run->is_direct,
                     .input = state->task.input,
                     .job_id = state->task.job_id,
                     .attempt = state->task.attempt,
                     .max_attempts = state->task.max_attempts,
                     .timeout_ms = timeout_ms,
                     .caller = run->caller,
                     .priority = run->priority,
                     .is_patient = is_patient(run),
                     .is_in_line = &run->is_in_line,
                     .is_foreground = doors->is_foreground,
                     .is_vector_allowed = doors->is_vector_allowed,
                     .ctx = state,
                     .progress = on_box_progress,
                     .log = on_box_log,
                     .arena = &run->arena,
                     .result = &run->result };
    run->box = box; /* freed with the run */
    r = box_pool_run(doors->boxes, box);
    take_from_box(run, &state->task, box);
    return r;
}

/* For a line in which RUN has to stand. */
static SlotAsk ask_for(const Run *run)
{
    return (
        SlotAsk){ .caller = run->caller, .priority = run->priority, .is_patient = is_patient(run) };
}

static void set_in_line(Run *run, bool is_in_line)
{
    atomic_store_explicit(&run->is_in_line, is_in_line, memory_order_relaxed);
}

/* What the line has told. */
static void take_answer(Run *run, const SlotAsk *ask)
{
    set_in_line(run, false);
    run->waited_ns += ask->waited_ns;
    run->wait_ms = ask->wait_ms;
}

SUSPENDS static int call_on_pool(RunState *state)
{
    Run *run = state->run;
    Burns *burns = run->doors ? run->doors->burns : NULL;
    Str type = str_from_c(run->handler->type);
    SlotAsk ask = ask_for(run);
    int r;

    set_in_line(run, true);
    r = burns ? burns_enter(burns, type, &ask) : 0;
    take_answer(run, &ask);
    if (r < 0)
        return r;
    r = sl_offload(call_handler, state, .name = run->handler->type, .on_cancel = on_cancel);
    if (burns)
        burns_leave(burns, type, &ask);
    return r;
}

SUSPENDS static int call_by_cost(RunState *state, int64_t timeout_ms)
{
    switch (state->run->handler->cost) {
    case HANDLER_WAITS: return call_handler(state);
    case HANDLER_BURNS: return call_on_pool(state);
    case HANDLER_BOX: return call_in_box(state, timeout_ms);
    }
    UNREACHABLE("a cost that there is not");
}

/* Run it where its cost says, once its type's limit lets it. */
SUSPENDS static int call_in_turn(RunState *state, int64_t timeout_ms)
{
    Run *run = state->run;
    TypeLimits *limits = run->doors ? run->doors->type_limits : NULL;
    Str type = str_from_c(run->handler->type);
    SlotAsk ask = ask_for(run);
    int r;

    if (!limits)
        return call_by_cost(state, timeout_ms);
    set_in_line(run, true);
    r = type_limits_enter(limits, type, &ask);
    take_answer(run, &ask);
    if (r < 0)
        return r;
    r = call_by_cost(state, timeout_ms);
    type_limits_leave(limits, type, &ask);
    return r;
}

/* Fetch what it needs, run it, deliver what it gave. */
SUSPENDS static int call_where_it_belongs(RunState *state, int64_t timeout_ms)
{
    const Handler *handler = state->run->handler;
    Task *task = &state->task;
    int r = 0;

    if (handler->load && !task->input.bytes.data)
        r = handler->load(task, state->args);
    if (r < 0)
        return r;
    r = call_in_turn(state, timeout_ms);
    if (r == 0 && handler->deliver && !state->run->takes_outputs)
        r = handler->deliver(task, state->args);
    return r;
}

/* Run the handler under its time-out. */
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
    r = call_where_it_belongs(state, timeout_ms);
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
    run->outputs = state->task.outputs; /* in the arena, as the state is */
    run->n_outputs = state->task.n_outputs;
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

    ASSERT(run->handler && !run->state && !run->box);
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
        .is_vector_allowed = run->doors && run->doors->is_vector_allowed,
        .shared_dir = run->doors ? run->doors->shared_dir : NULL,
        .files_dir = run->doors ? run->doors->files_dir : NULL,
        .job_id = run->job_id ? run->job_id : "",
        .type = run->handler->type,
        .handler = run->handler,
        .attempt = run->attempt ? run->attempt : 1,
        .max_attempts = run->max_attempts ? run->max_attempts : 1,
        .arena = &run->arena,
        .input = run->input,
    };
    run->n_outputs = 0;
    run->waited_ns = 0;
    run->wait_ms = 0;
    run->code[0] = '\0';
    run->is_final = false;
    run->is_partial = false;
    set_in_line(run, false);
    run->ran_ns = 0;
    run->last_progress.is_set = false;

    r = bind_text(run, state);
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

const TaskWatch *runner_watch(const Run *run)
{
    static const TaskWatch none = { 0 };

    return run->state ? &run->state->task.watch : &none;
}

static void drop_outputs(Run *run)
{
    if (run->box)
        box_run_deinit(run->box);
    run->box = NULL;
    run->n_outputs = 0;
}

void runner_reset(Run *run)
{
    ASSERT(!run->state); /* I1 */
    drop_outputs(run);
    arena_reset(&run->arena);
    if (run->result.cap > LIMIT_ARENA_KEPT_BYTES)
        buf_deinit(&run->result);
    buf_reset(&run->result);
}

void runner_deinit(Run *run)
{
    ASSERT(!run->state); /* I1 */
    drop_outputs(run);
    arena_deinit(&run->arena);
    buf_deinit(&run->result);
}
