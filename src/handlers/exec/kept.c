/*
 * Programs that are kept alive and fed jobs as lines (frame.h).
 *
 *   call ── line ──▶ stdin          one fiber at a time writes a line (`writing`)
 *   call ◀── done ── reader ◀── stdout
 *
 * Each process has a fiber that starts it, reads its answers, and buries it; the fibers of the jobs
 * find a process with a free place, write their line and wait for their answer. A process is
 * started when all are busy and the declaration allows another.
 *
 * A job that is cancelled is taken back with a line; the program has the grace to answer. If it
 * does not, it is taken for stuck and ended, and with it the other jobs in it, which fail and may
 * be tried again. The same happens to all its jobs when a process ends by itself or says what is
 * no answer; one that it has got nothing of goes to another process, once. A line that has been
 * begun is written to its end, also for a job that is cancelled: the next one would be unreadable
 * behind half of it.
 *
 * K1  A process takes jobs exactly while it is in its loop's list.
 * K2  A call is in its process's list from before its line is written until it is answered or the
 *     process has ended; both set `done`.
 * K3  The fiber of a process frees it last, when no call holds it any more (`n_users`).
 */
#include "handlers/exec/exec_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "handlers/exec/frame.h"

#include <sluice/rt/fiber.h>
#include <sluice/rt/io.h>
#include <sluice/rt/scope.h>

#include <signal.h>
#include <stdio.h>

#define READ_BYTES  16384
#define KILL_MS     1000                      /* for the kernel to carry out SIGKILL */
#define FOR_EVER_MS (INT64_C(365) * 86400000) /* of a shield, which wants an end */

typedef struct Kept {
    ListLink link; /* of the loop's list (K1) */
    ProgramLoop *loop;
    sl_process *process;
    List calls; /* KeptCall (K2) */
    size_t n_users;
    sl_cond unused;
    sl_mutex writing;
    bool is_torn;     /* stdin ends in half a line */
    sl_scope reading; /* around the reading of answers, while is_reading */
    bool is_reading;
    sl_event has_read; /* it is over */
    sl_event ended;    /* set by `watch`, which alone waits for the process */
    sl_exit end;       /* once it has_ended */
    bool has_ended;
    uint64_t n_given;
    Buf input; /* what stdout said and was not a whole line yet */
    Arena arena;
    Words words;
    char why[96]; /* why it is not kept any longer; empty: it ended by itself */
} Kept;

typedef struct KeptCall {
    ListLink link; /* of the process's list (K2) */
    uint64_t id;
    bool is_begun;  /* the process has got some of its line */
    bool is_missed; /* it had ended before, and nobody knew yet */
    Task *task;
    JsonWriter *result;
    sl_event done;
    int r; /* of the job, with its words in the task's arena */
    Str message;
} KeptCall;

/* Give no further job to it (K1). */
static void retire(Kept *kept)
{
    list_remove(&kept->link);
    sl_cond_wake_all(&kept->loop->changed);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void answer(Kept *kept, KeptCall *call, int r, Str message)
{
    list_remove(&call->link);
    call->r = r;
    call->message = arena_copy(call->task->arena, message);
    sl_event_set(&call->done);
    sl_cond_wake_all(&kept->loop->changed);
}

static void answer_result(Kept *kept, KeptCall *call, Str result)
{
    char message[96];

    if (result.len <= LIMIT_JOB_RESULT_BYTES) {
        json_write_raw(call->result, result);
        answer(kept, call, 0, (Str){ 0 });
        return;
    }
    (void) snprintf(message, sizeof(message), "its result is larger than %d bytes",
                    LIMIT_JOB_RESULT_BYTES);
    answer(kept, call, -ERR_PROCESS, str_from_c(message));
}

static KeptCall *find_call(const Kept *kept, uint64_t id)
{
    list_each(&kept->calls, link) {
        KeptCall *call = LIST_ITEM(link, KeptCall, link);

        if (call->id == id)
            return call;
    }
    return NULL;
}

static int take_frame(Kept *kept, const Frame *frame)
{
    KeptCall *call = find_call(kept, frame->id);
    Task *task;

    if (!call)
        return fail(-ERR_INVALID, "it answers job %llu, which it does not have",
                    (unsigned long long) frame->id);
    task = call->task;
    switch (frame->kind) {
    case FRAME_PROGRESS: task_progress(task, frame->fraction, frame->text); break;
    case FRAME_LOG: task_log(task, frame->text); break;
    case FRAME_RESULT: answer_result(kept, call, frame->result); break;
    case FRAME_ERROR:
        task->is_final = frame->is_final;
        if (frame->code.len)
            task->error_code = arena_copy_c(task->arena, frame->code);
        answer(kept, call, -ERR_HANDLER, frame->text);
        break;
    }
    return 0;
}

static int take_line(Kept *kept, Str line)
{
    Frame frame;
    int r;

    line = str_trim(line);
    if (line.len == 0)
        return 0;
    r = frame_read(&kept->arena, line, &frame);
    if (r == 0)
        r = take_frame(kept, &frame);
    arena_reset(&kept->arena);
    return r;
}

/* Take the whole lines that have come. */
static int take_lines(Kept *kept)
{
    Str rest = buf_str(&kept->input);
    size_t used = 0;
    ssize_t end;
    int r = 0;

    while (r == 0 && (end = str_find(rest, '\n')) >= 0) {
        r = take_line(kept, str_sub(rest, 0, (size_t) end));
        used += (size_t) end + 1;
        rest = str_sub(rest, (size_t) end + 1, rest.len);
    }
    buf_consume(&kept->input, used);
    return r;
}

/* Until the process closes its stdout: 0; or what it said is no answer. */
SUSPENDS static int read_answers(Kept *kept)
{
    ssize_t n = 1;
    int r = 0;

    while (r == 0 && n > 0) {
        char *room = buf_reserve(&kept->input, READ_BYTES);

        if (!room)
            return fail(-ERR_TOO_LARGE, "a line is longer than %d bytes", LIMIT_EXEC_LINE_BYTES);
        n = sl_fd_read(sl_process_stdout(kept->process), room, READ_BYTES);
        if (n > 0) {
            kept->input.len += (size_t) n;
            r = take_lines(kept);
        }
    }
    return n < 0 ? (int) n : r;
}

/* ---- the life of a process ------------------------------------------------------------------- */

/* A line of stderr belongs to the job that runs, where there is only one. */
static void on_line(void *ctx, Str line)
{
    Kept *kept = ctx;

    if (kept->calls.len == 1)
        task_log(LIST_ITEM(kept->calls.first, KeptCall, link)->task, line);
    else
        log_debug("program says", L_C("type", kept->loop->program->type), L_STR("line", line));
}

SUSPENDS static int hear(void *arg)
{
    Kept *kept = arg;

    return words_read(&kept->words, sl_process_stderr(kept->process), on_line, kept);
}

/* Whether the process ends within MS; also in a cancelled fiber. */
SUSPENDS static bool wait_for_end(Kept *kept, int64_t ms)
{
    sl_scope shield;
    int r;

    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = ms);
    r = sl_event_wait(&kept->ended);
    return sl_scope_end(&shield, r) == 0;
}

/* SIGTERM, then SIGKILL after the grace. */
SUSPENDS static void stop_process(Kept *kept)
{
    (void) sl_process_kill_group(kept->process, SIGTERM); /* it may have ended */
    if (wait_for_end(kept, kept->loop->program->grace_ms))
        return;
    (void) sl_process_kill_group(kept->process, SIGKILL);
    (void) wait_for_end(kept, KILL_MS);
}

/* End of input, then SIGTERM, then SIGKILL, each after the grace; also in a cancelled fiber. */
SUSPENDS static void end_process(Kept *kept)
{
    sl_process_close_stdin(kept->process);
    if (!wait_for_end(kept, kept->loop->program->grace_ms)) {
        if (!kept->why[0])
            (void) snprintf(kept->why, sizeof(kept->why), "it closed its stdout and went on");
        stop_process(kept);
    }
    (void) sl_process_kill_group(kept->process, SIGKILL); /* what it left behind holds stderr */
}

static void fail_calls(Kept *kept)
{
    Str last = words_last(&kept->words);
    char end[96] = "ended", message[640];

    if (kept->has_ended)
        exec_describe_end(&kept->end, end, sizeof(end));
    (void) snprintf(message, sizeof(message), "%s: %s; %s%s%.*s", kept->loop->program->argv[0],
                    kept->why[0] ? kept->why : "it did not answer", end, last.len ? ": " : "",
                    (int) last.len, last.data);
    while (!list_is_empty(&kept->calls))
        answer(kept, LIST_ITEM(kept->calls.first, KeptCall, link), -ERR_PROCESS,
               str_from_c(message));
}

/* Wait until nobody holds it (K3): its calls have been answered, and none of them waits for us. */
SUSPENDS static void wait_for_users(Kept *kept)
{
    while (kept->n_users > 0) {
        sl_scope shield;
        int r;

        sl_scope_begin(&shield, .is_shield = true, .timeout_ms = FOR_EVER_MS);
        r = sl_cond_wait(&kept->unused);
        (void) sl_scope_end(&shield, r);
    }
}

/* Read answers until its stdout ends (0), nobody wants more of it (0), it says what is no answer,
 * or this loop stops using programs (-ECANCELED). */
SUSPENDS static int read_until_end(Kept *kept)
{
    int r;

    sl_scope_begin(&kept->reading);
    kept->is_reading = true;
    r = read_answers(kept);
    kept->is_reading = false;
    sl_event_set(&kept->has_read);
    return sl_scope_end(&kept->reading, r);
}

/* When the process has ended, end what it left in its group; and no longer read what somebody holds
 * open who has left the group. */
SUSPENDS static int watch(void *arg)
{
    Kept *kept = arg;
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .is_shield = true, .timeout_ms = FOR_EVER_MS);
    r = sl_process_wait(kept->process, &kept->end); /* `live` sees to it that it ends */
    r = sl_scope_end(&scope, r);
    kept->has_ended = r == 0;
    sl_event_set(&kept->ended);
    if (r < 0)
        return r;
    (void) sl_process_kill_group(kept->process, SIGKILL);
    sl_scope_begin(&scope, .timeout_ms = EXEC_LAST_MS);
    r = sl_event_wait(&kept->has_read);
    r = sl_scope_end(&scope, r);
    if (r == -ETIMEDOUT && kept->is_reading)
        sl_scope_cancel(&kept->reading);
    return r == -ECANCELED ? r : 0;
}

/* The last words, which may not end while somebody holds stderr open. */
SUSPENDS static void hear_out(sl_nursery *nursery)
{
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .timeout_ms = EXEC_LAST_MS);
    r = sl_nursery_join(nursery);
    (void) sl_scope_end(&scope, r); /* or we are cancelled, and do without */
    sl_nursery_close(nursery);
}

SUSPENDS static int live(Kept *kept)
{
    sl_nursery *nursery = sl_nursery_open(.name = "kept program", .keep_going = true);
    int r;

    (void) sl_spawn(nursery, hear, kept, .name = "program stderr"); /* without it: no words */
    r = sl_spawn(nursery, watch, kept, .name = "program");
    if (r == 0)
        r = read_until_end(kept);
    else
        sl_event_set(&kept->ended); /* it is killed, and nobody tells how it ended */
    if (r < 0) {
        Err err;

        err_take(r, &err);
        if (r != -ECANCELED)
            (void) snprintf(kept->why, sizeof(kept->why), "%.90s", err.text);
    }
    retire(kept);
    end_process(kept);
    hear_out(nursery);
    return r == -ECANCELED ? r : 0;
}

static void tell_start_failed(ProgramLoop *loop, int r)
{
    r = exec_blame_program(r);
    err_take(r, &loop->start_err);
    loop->start_r = r;
    loop->n_start_errors++;
    sl_cond_wake_all(&loop->changed);
}

SUSPENDS static int start(Kept *kept)
{
    const Program *program = kept->loop->program;

    return sl_process_start(&kept->process, program->argv, .env = program->env, .cwd = program->cwd,
                            .stdin_as = SL_STDIO_PIPE, .stdout_as = SL_STDIO_PIPE,
                            .stderr_as = SL_STDIO_PIPE, .limits = program->limits);
}

/* The fiber of one process. */
SUSPENDS static int kept_main(void *arg)
{
    ProgramLoop *loop = arg;
    Kept *kept = mem_new(Kept);
    int r;

    kept->loop = loop;
    buf_init(&kept->input, LIMIT_EXEC_LINE_BYTES);
    r = start(kept);
    loop->n_starting--;
    if (r < 0) {
        tell_start_failed(loop, r);
    } else {
        list_push_back(&loop->kept, &kept->link);
        sl_cond_wake_all(&loop->changed);
        r = live(kept);
        fail_calls(kept);
        wait_for_users(kept);
    }
    sl_process_close(kept->process);
    buf_deinit(&kept->input);
    arena_deinit(&kept->arena);
    mem_free(kept);
    return r == -ECANCELED ? r : 0;
}

/* ---- a job ----------------------------------------------------------------------------------- */

static Kept *least_busy(ProgramLoop *loop)
{
    Kept *best = NULL;

    list_each(&loop->kept, link) {
        Kept *kept = LIST_ITEM(link, Kept, link);

        if (kept->calls.len < loop->program->at_once &&
            (!best || kept->calls.len < best->calls.len))
            best = kept;
    }
    return best;
}

/* A process with a free place; waits for one. */
SUSPENDS static int find_place(ProgramLoop *loop, Kept **ret_kept)
{
    uint64_t seen = loop->n_start_errors;
    int r = 0;

    while (r == 0) {
        *ret_kept = least_busy(loop);
        if (*ret_kept)
            return 0;
        if (loop->n_start_errors != seen)
            return err_put(&loop->start_err);
        if (loop->kept.len + loop->n_starting < loop->program->processes_max) {
            loop->n_starting++;
            r = sl_spawn(loop->nursery, kept_main, loop, .name = loop->program->type);
            if (r < 0)
                loop->n_starting--;
        }
        if (r == 0)
            r = sl_cond_wait(&loop->changed);
    }
    return r;
}

/* Write LINE; *RET_LEFT is what has not been written when that fails. */
SUSPENDS static int write_some(const Kept *kept, Str line, Str *ret_left)
{
    *ret_left = line;
    while (ret_left->len > 0) {
        int fd = sl_process_stdin(kept->process); /* it may be closed while we wait */
        ssize_t n;

        if (fd < 0)
            return fail(-ERR_PROCESS, "the program takes no further line");
        n = sl_fd_write(fd, ret_left->data, ret_left->len);
        if (n < 0)
            return (int) n;
        *ret_left = str_sub(*ret_left, (size_t) n, ret_left->len);
    }
    return 0;
}

/* Write the rest of a line whose job is cancelled, within the grace. */
SUSPENDS static void end_line(Kept *kept, Str left)
{
    sl_scope shield;
    int r;

    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = kept->loop->program->grace_ms);
    r = write_some(kept, left, &left);
    r = sl_scope_end(&shield, r);
    kept->is_torn = r < 0;
}

SUSPENDS static int write_line(Kept *kept, Str line, bool *ret_is_begun)
{
    int r = sl_mutex_lock(&kept->writing);
    Str left;

    if (r < 0)
        return r;
    if (kept->is_torn) {
        sl_mutex_unlock(&kept->writing);
        return fail(-ERR_PROCESS, "the program has got half a line");
    }
    r = write_some(kept, line, &left);
    *ret_is_begun = left.len < line.len;
    if (r == -ECANCELED && *ret_is_begun)
        end_line(kept, left);
    sl_mutex_unlock(&kept->writing);
    return r;
}

/* Say that the job is not wanted any more, and wait for its answer. */
SUSPENDS static int ask_back(Kept *kept, KeptCall *call)
{
    AUTO(buf_deinit) Buf line = { 0 };
    bool is_begun = false;
    int r;

    frame_write_cancel(&line, call->id);
    r = write_line(kept, buf_str(&line), &is_begun);
    return r < 0 ? r : sl_event_wait(&call->done);
}

/* The job is cancelled: take it back, and end a process that does not let go of it. */
SUSPENDS static void take_back(Kept *kept, KeptCall *call)
{
    sl_scope shield;
    int r;

    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = kept->loop->program->grace_ms);
    r = ask_back(kept, call);
    r = sl_scope_end(&shield, r);
    if (r == 0 || call->done.is_set)
        return;
    if (!kept->why[0])
        (void) snprintf(kept->why, sizeof(kept->why), "it did not answer a cancelled job");
    retire(kept);
    stop_process(kept);
    if (kept->is_reading)
        sl_scope_cancel(&kept->reading); /* somebody else may hold its stdout open */
    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = FOR_EVER_MS);
    r = sl_event_wait(&call->done); /* by the fiber that buries the process */
    (void) sl_scope_end(&shield, r);
}

/* Leave the process; the last one to leave a process that takes no more jobs ends it. */
static void leave(Kept *kept)
{
    kept->n_users--;
    if (kept->n_users > 0)
        return;
    if (!list_is_linked(&kept->link) && kept->is_reading)
        sl_scope_cancel(&kept->reading);
    sl_cond_wake_all(&kept->unused);
}

/* Give CALL to the process, and wait until it is answered or taken back. */
SUSPENDS static int exchange(Kept *kept, KeptCall *call, Str line)
{
    int r = write_line(kept, line, &call->is_begun);

    if (r == 0)
        r = sl_event_wait(&call->done);
    if (r == -ECANCELED && !call->is_begun)
        return r; /* the process has never heard of it */
    if (r < 0 && !call->done.is_set)
        take_back(kept, call);
    return r;
}

/* Run CALL in a process that has a place for it. */
SUSPENDS static int try_once(ProgramLoop *loop, KeptCall *call)
{
    AUTO(buf_deinit) Buf line = { .max_bytes = LIMIT_EXEC_LINE_BYTES };
    Kept *kept;
    int r;

    r = find_place(loop, &kept);
    if (r < 0)
        return r;
    call->id = kept->n_given + 1;
    frame_write_job(&line, call->id, call->task);
    r = buf_check(&line);
    if (r < 0)
        return r; /* its line is too long, which is not the process's fault */
    kept->n_given = call->id;
    kept->n_users++;
    list_push_back(&kept->calls, &call->link); /* K2 */
    if (loop->program->jobs_max && kept->n_given >= loop->program->jobs_max)
        retire(kept);
    r = exchange(kept, call, buf_str(&line));
    call->is_missed = r < 0 && r != -ECANCELED && !call->is_begun;
    list_remove(&call->link);
    sl_cond_wake_all(&loop->changed);
    leave(kept);
    return r;
}

int kept_run(ProgramLoop *loop, Task *task, JsonWriter *result)
{
    KeptCall call = { .task = task, .result = result };
    int r = try_once(loop, &call);

    if (call.is_missed && !sl_is_cancelled()) {
        call = (KeptCall){ .task = task, .result = result };
        r = try_once(loop, &call);
    }
    if (r < 0)
        return r;
    if (call.r < 0)
        return fail(call.r, "%.*s", (int) call.message.len, call.message.data);
    return 0;
}
