/*
 * One process for each job.
 *
 *   feed    ── the job as one line of JSON ──▶ stdin, then its end
 *   listen  ◀── stdout, to a limit
 *   hear    ◀── stderr, line by line, into the job's log
 *   watch   the process's end; then what it left in its group is killed, and soon after the other
 *           three end, whoever has left the group and holds the pipes open
 *
 * Four fibers, because a program may do all of it in any order. Whichever fails cancels the
 * others; a job that is cancelled or out of time gets SIGTERM, and SIGKILL after the grace.
 */
#include "handlers/exec/exec_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "handlers/exec/frame.h"

#include <sluice/rt/fiber.h>
#include <sluice/rt/io.h>
#include <sluice/rt/scope.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define KILL_WAIT_MS 1000 /* for the kernel to carry out SIGKILL */

typedef struct Once Once;

/* A fiber at one of the process's pipes. */
typedef struct Talk {
    Once *once;
    SUSPENDS int (*run)(Once *once);
    sl_scope scope; /* while is_open */
    bool is_open;
} Talk;

enum { TALK_IN, TALK_OUT, TALK_ERR, TALKS };

struct Once {
    const Program *program;
    Task *task;
    sl_process *process;
    Buf input;
    Buf output;
    Words words;
    sl_exit end;
    Talk talks[TALKS];
    size_t n_open; /* of them */
    sl_event all_said;
};

void exec_describe_end(const sl_exit *end, char *out, size_t cap)
{
    if (!end->signal)
        (void) snprintf(out, cap, "exit status %d", end->code);
    else if (end->signal == SIGXCPU)
        (void) snprintf(out, cap, "killed because it used its processor time");
    else
        (void) snprintf(out, cap, "killed by signal %d (%s)", end->signal, strsignal(end->signal));
}

int exec_blame_program(int r)
{
    Err err;

    if (r >= 0 || err_http_status(r) >= 500)
        return r;
    err_take(r, &err);
    return fail(-ERR_PROCESS, "%s", err.text);
}

bool exec_wait(sl_process *process, int64_t ms, sl_exit *ret_end)
{
    sl_scope shield;
    int r;

    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = ms);
    r = sl_process_wait(process, ret_end);
    return sl_scope_end(&shield, r) == 0;
}

bool exec_stop(sl_process *process, int64_t grace_ms, sl_exit *ret_end)
{
    (void) sl_process_kill_group(process, SIGTERM); /* it may have ended */
    if (exec_wait(process, grace_ms, ret_end))
        return true;
    (void) sl_process_kill_group(process, SIGKILL);
    return exec_wait(process, KILL_WAIT_MS, ret_end);
}

/* ---- the four fibers ------------------------------------------------------------------------- */

SUSPENDS static int feed(Once *once)
{
    int r = sl_fd_write_all(sl_process_stdin(once->process), once->input.data, once->input.len);

    if (r == -ECANCELED)
        return r;
    if (r < 0) {
        Err err;

        err_take(r, &err); /* a program need not read what it is given */
    }
    sl_process_close_stdin(once->process);
    return 0;
}

SUSPENDS static int listen_to(Once *once)
{
    ssize_t n;

    do {
        char *room = buf_reserve(&once->output, 4096);

        if (!room)
            return fail(-ERR_TOO_LARGE, "its output is larger than %zu bytes",
                        once->output.max_bytes);
        n = sl_fd_read(sl_process_stdout(once->process), room, 4096);
        if (n > 0)
            once->output.len += (size_t) n;
    } while (n > 0);
    return n < 0 ? (int) n : 0;
}

static void on_line(void *ctx, Str line)
{
    task_log(ctx, line);
}

SUSPENDS static int hear(Once *once)
{
    return words_read(&once->words, sl_process_stderr(once->process), on_line, once->task);
}

/* A fiber at a pipe, until it has done or `watch` wants no more of it. */
SUSPENDS static int talk(void *arg)
{
    Talk *talk = arg;
    Once *once = talk->once;
    int r;

    sl_scope_begin(&talk->scope);
    talk->is_open = true;
    r = talk->run(once);
    talk->is_open = false;
    if (--once->n_open == 0)
        sl_event_set(&once->all_said);
    return sl_scope_end(&talk->scope, r);
}

SUSPENDS static int watch(void *arg)
{
    Once *once = arg;
    int r = sl_process_wait(once->process, &once->end);
    sl_scope scope;

    if (r < 0)
        return r;
    (void) sl_process_kill_group(once->process, SIGKILL); /* what it left behind */
    sl_scope_begin(&scope, .timeout_ms = EXEC_LAST_MS);
    r = sl_event_wait(&once->all_said);
    r = sl_scope_end(&scope, r);
    if (r != -ETIMEDOUT)
        return r;
    err_take(r, NULL);
    for (size_t i = 0; i < TALKS; i++) {
        if (once->talks[i].is_open)
            sl_scope_cancel(&once->talks[i].scope);
    }
    return 0;
}

SUSPENDS static int converse(Once *once)
{
    static const struct {
        SUSPENDS int (*run)(Once *once);
        const char *name;
    } ways[TALKS] = { [TALK_IN] = { feed, "program stdin" },
                      [TALK_OUT] = { listen_to, "program stdout" },
                      [TALK_ERR] = { hear, "program stderr" } };
    sl_nursery *nursery = sl_nursery_open(.name = "program");
    int r;

    once->n_open = TALKS;
    for (size_t i = 0; i < TALKS; i++) {
        once->talks[i] = (Talk){ .once = once, .run = ways[i].run };
        (void) sl_spawn(nursery, talk, &once->talks[i], .name = ways[i].name); /* join tells */
    }
    (void) sl_spawn(nursery, watch, once, .name = "program");
    r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    return r;
}

/* ---- what came of it ------------------------------------------------------------------------- */

static bool is_final_code(const Program *program, int code)
{
    for (size_t i = 0; i < program->n_final_codes; i++) {
        if (program->final_codes[i] == code)
            return true;
    }
    return false;
}

static int fail_end(Once *once)
{
    Str last = words_last(&once->words);
    char end[96];

    exec_describe_end(&once->end, end, sizeof(end));
    once->task->error_code = once->end.signal ? "killed" : "exit_status";
    once->task->is_final = !once->end.signal && is_final_code(once->program, once->end.code);
    return fail(-ERR_HANDLER, "%s: %s%s%.*s", once->program->argv[0], end, last.len ? ": " : "",
                (int) last.len, last.data);
}

static int take_json(Once *once, JsonWriter *result)
{
    Str text = str_trim(buf_str(&once->output));
    JsonDoc doc;
    int r;

    if (text.len == 0) {
        json_write_null(result);
        return 0;
    }
    r = json_parse(once->task->arena, text, &doc);
    if (r < 0) {
        once->task->error_code = "bad_output";
        return wrap(r, "%s: its output is not JSON", once->program->argv[0]);
    }
    json_write_raw(result, text);
    return 0;
}

static int take_output(Once *once, JsonWriter *result)
{
    Str text = buf_str(&once->output);

    switch (once->program->output) {
    case PROGRAM_JSON: return take_json(once, result);
    case PROGRAM_TEXT:
        if (text.len > 0 && text.data[text.len - 1] == '\n')
            text.len--;
        if (!str_is_utf8(text)) {
            once->task->error_code = "bad_output";
            return fail(-ERR_INVALID, "%s: its output is not UTF-8", once->program->argv[0]);
        }
        json_write_str(result, text);
        return 0;
    case PROGRAM_NONE: json_write_null(result); return 0;
    }
    UNREACHABLE("the schema knows the words");
}

/* ---- one job --------------------------------------------------------------------------------- */

SUSPENDS static int run_process(Once *once, JsonWriter *result)
{
    const Program *program = once->program;
    AUTO(sl_process_close) sl_process *process = NULL;
    int r;

    r = sl_process_start(&process, program->argv, .env = program->env, .cwd = program->cwd,
                         .stdin_as = SL_STDIO_PIPE, .stdout_as = SL_STDIO_PIPE,
                         .stderr_as = SL_STDIO_PIPE, .limits = program->limits);
    if (r < 0)
        return r;
    once->process = process;
    r = converse(once);
    if (r < 0) {
        Err err;

        err_take(r, &err); /* stopping has errors of its own */
        (void) exec_stop(process, program->grace_ms, NULL);
        return wrap(err_put(&err), "%s", program->argv[0]);
    }
    if (once->end.signal || once->end.code != 0)
        return fail_end(once);
    return take_output(once, result);
}

int once_run(const Program *program, Task *task, JsonWriter *result)
{
    Once *once = arena_new(task->arena, Once);
    int r;

    once->program = program;
    once->task = task;
    buf_init(&once->output, LIMIT_JOB_RESULT_BYTES);
    buf_init(&once->input, LIMIT_EXEC_LINE_BYTES);
    frame_write_job(&once->input, 0, task);
    r = buf_check(&once->input);
    if (r == 0)
        r = exec_blame_program(run_process(once, result));
    buf_deinit(&once->input);
    buf_deinit(&once->output);
    return r;
}
