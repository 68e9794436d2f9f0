/*
 * exec: a program as a handler. Declared ones (program.h) are run by program_run; `sluice run exec
 * -- PROGRAM ARGUMENTS` runs one that is named on the command line, to try it.
 */
#include "base/err.h"
#include "base/macro.h"
#include "handlers/exec/exec_int.h"

#include <sluice/handler.h>

#define EXEC_WORDS_MAX 256

typedef struct ExecArgs {
    SchemaList command;
    SchemaJson input;
    int output;
    int64_t grace_ms;
} ExecArgs;

static const char *const output_names[] = { "json", "text", "none", NULL };
static const SchemaField word_item = ITEM(STR, .range = RANGE(0, 65536));

static const SchemaField exec_fields[] = {
    FIELD_LIST(ExecArgs, command, &word_item, "the program and its arguments",
               .range = RANGE(1, EXEC_WORDS_MAX), .is_required = true, .positional = 1),
    FIELD_JSON(ExecArgs, input, "the job's argument, as the program gets it"),
    FIELD_ENUM(ExecArgs, output, output_names, "what the program prints", .default_text = "text"),
    FIELD_DURATION(ExecArgs, grace_ms, "grace", "between SIGTERM and SIGKILL when it is stopped",
                   .range = RANGE(0, 3600000), .default_text = "10s"),
};
static const Schema exec_args = SCHEMA(ExecArgs, exec_fields, "Arguments of exec.");

SUSPENDS static int exec_run(Task *task, const void *args, JsonWriter *result)
{
    const ExecArgs *exec_args_given = args;
    const Str *words = exec_args_given->command.items;
    size_t n = exec_args_given->command.len;
    const char **argv;
    Program program = { .type = "exec",
                        .output = (ProgramOutput) exec_args_given->output,
                        .grace_ms = exec_args_given->grace_ms };

    if (!task->is_foreground)
        return task_fail(task, "forbidden",
                         "exec runs programs from the command line only; declare the program under "
                         "`handlers:` in the engine's configuration and use its type");
    argv = arena_zalloc(task->arena, (n + 1) * sizeof(char *));
    for (size_t i = 0; i < n; i++)
        argv[i] = arena_copy_c(task->arena, words[i]);
    program.argv = argv;
    task->args_text = arena_printf(task->arena, "[%.*s]", (int) exec_args_given->input.raw.len,
                                   exec_args_given->input.raw.data);
    return once_run(&program, task, result);
}

static const SchemaField exec_result = ITEM(JSON, .summary = "what the program printed");

extern const Handler handler_exec;
const Handler handler_exec = {
    .type = "exec",
    .summary = "Run a program.",
    .details =
        "Runs the program without a shell and hands it the job as one line of JSON on stdin. "
        "What it prints is the result, what it says on stderr the log, and an exit status "
        "other than 0 a failure. A queue runs programs that the engine's configuration "
        "declares: see docs/guide/any-language.md.",
    .args = &exec_args,
    .result = &exec_result,
    .cost = HANDLER_WAITS,
    .run = exec_run,
};
