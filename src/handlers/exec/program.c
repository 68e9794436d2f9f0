/*
 * Declarations read, and their part on each loop; see the header.
 *
 * A declaration is checked as a whole when the engine starts, so that a mistake is told with its
 * line before the first job. Only whether the program can be started is left to the first job:
 * files come and go.
 */
#define SL_MAY_BLOCK
#include "handlers/exec/program.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/text.h"
#include "codec/size_text.h"
#include "handlers/exec/exec_int.h"
#include "handlers/exec/program_args.h"

#include <sluice/rt/fiber.h>

#include <stdlib.h>

#define PROGRAM_LOOPS     256 /* loops of an engine, as its setting allows */
#define PROGRAM_WORDS_MAX 256
#define PROGRAM_NAMES_MAX 256
#define PROGRAM_GRACE     "10s"

/* What the file says of one handler. */
typedef struct Declaration {
    Str summary;
    Str details;
    SchemaList command;
    Str shell;
    bool keep;
    int64_t processes;
    int64_t at_once;
    int64_t max_jobs;
    int64_t timeout_ms;
    int64_t grace_ms;
    int output;
    SchemaList env;
    SchemaPairs set;
    Str folder;
    Str memory;
    int64_t cpu_ms;
    int64_t files;
    int64_t nice;
    SchemaList final_exit_codes;
    SchemaJson args;
} Declaration;

static const char *const output_names[] = { "json", "text", "none", NULL };
static const SchemaField word_item = ITEM(STR, .range = RANGE(0, 65536));
static const SchemaField name_item = ITEM(STR, .range = RANGE(1, 256));
static const SchemaField code_item = ITEM(INT, .range = RANGE(1, 255));

static const SchemaField declaration_fields[] = {
    FIELD_STR(Declaration, summary, "a sentence about it, for help and documentation",
              .range = RANGE(1, 200)),
    FIELD_STR(Declaration, details, "further help", .range = RANGE(1, 8192)),
    FIELD_LIST(Declaration, command, &word_item, "the program and its arguments",
               .range = RANGE(1, PROGRAM_WORDS_MAX)),
    FIELD_STR(Declaration, shell, "instead of command: a line for /bin/sh",
              .range = RANGE(1, 65536)),
    FIELD_BOOL(Declaration, keep, "keep the program alive and feed it jobs as lines of JSON"),
    FIELD_INT(Declaration, processes, "processes at once on each loop; default 16, kept alive 1",
              .range = RANGE(1, 1000)),
    FIELD_INT(Declaration, at_once, "jobs at once in each process that is kept",
              .range = RANGE(1, 1000), .default_text = "1"),
    FIELD_INT(Declaration, max_jobs, "jobs after which a kept process is replaced; 0: never",
              .range = AT_LEAST(0), .default_text = "0"),
    FIELD_DURATION(Declaration, timeout_ms, "timeout", "of one attempt",
                   .range = RANGE(1, INT64_C(30) * 86400000), .default_text = "30m"),
    FIELD_DURATION(Declaration, grace_ms, "grace", "between SIGTERM and SIGKILL",
                   .range = RANGE(0, 3600000), .default_text = PROGRAM_GRACE),
    FIELD_ENUM(Declaration, output, output_names, "what stdout is", .default_text = "json"),
    FIELD_LIST(Declaration, env, &name_item,
               "variables of the engine's environment that it gets beside PATH, HOME, USER, LANG, "
               "LC_ALL, TZ and TMPDIR",
               .range = RANGE(0, PROGRAM_NAMES_MAX)),
    FIELD_MAP(Declaration, set, "variables set for it", .range = RANGE(0, PROGRAM_NAMES_MAX)),
    FIELD_STR(Declaration, folder, "the folder it runs in; default: the engine's",
              .range = RANGE(1, 4096)),
    FIELD_STR(Declaration, memory, "address space of each process, such as 512MiB",
              .range = RANGE(1, 32)),
    FIELD_DURATION(Declaration, cpu_ms, "cpu", "processor time of each process",
                   .range = RANGE(1000, INT64_C(365) * 86400000)),
    FIELD_INT(Declaration, files, "files open at once in each process", .range = RANGE(8, 1048576)),
    FIELD_INT(Declaration, nice, "added to its niceness", .range = RANGE(0, 19)),
    FIELD_LIST(Declaration, final_exit_codes, &code_item,
               "exit statuses after which a job is not tried again", .range = RANGE(0, 255)),
    FIELD_JSON(Declaration, args, "the fields of its argument, by name", .range = RANGE(0, 65536)),
};

static const char *check_declaration(const void *value)
{
    const Declaration *declaration = value;

    if ((declaration->command.len > 0) == (declaration->shell.len > 0))
        return "needs either command (a list) or shell (a line)";
    if (declaration->keep && declaration->output != PROGRAM_JSON)
        return "a program that is kept answers in JSON: leave output out";
    if (!declaration->keep && (declaration->at_once > 1 || declaration->max_jobs > 0))
        return "at_once and max_jobs are for programs that are kept (keep: true)";
    return NULL;
}

static const Schema declaration_schema = SCHEMA(
    Declaration, declaration_fields, "A handler that is a program.", .check = check_declaration);

/* ---- the parts of a program ------------------------------------------------------------------ */

static const char *const *make_argv(Arena *arena, const Declaration *declaration)
{
    const Str *words = declaration->command.items;
    size_t n = declaration->command.len;
    const char **argv = arena_zalloc(arena, (MAX(n, (size_t) 3) + 1) * sizeof(char *));

    for (size_t i = 0; i < n; i++)
        argv[i] = arena_copy_c(arena, words[i]);
    if (n == 0) {
        argv[0] = "/bin/sh";
        argv[1] = "-c";
        argv[2] = arena_copy_c(arena, declaration->shell);
    }
    return argv;
}

static void add_variable(Arena *arena, const char **env, size_t *n, const char *name)
{
    const char *value = getenv(name);

    if (value)
        env[(*n)++] = arena_printf(arena, "%s=%s", name, value).data;
}

/* The allow-list of the engine's variables, and over it what is set. */
static const char *const *make_env(Arena *arena, const Declaration *declaration)
{
    static const char *const always[] = {
        "PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"
    };
    const Str *names = declaration->env.items;
    size_t n = 0;
    const char **env = arena_zalloc(
        arena,
        (ARRAY_LEN(always) + declaration->env.len + declaration->set.len + 1) * sizeof(char *));

    env[n++] = declaration->keep ? "SLUICE_PROGRAM=kept" : "SLUICE_PROGRAM=once";
    for (size_t i = 0; i < declaration->set.len; i++) /* first: the first of a name counts */
        env[n++] = arena_printf(arena, "%.*s=%.*s", (int) declaration->set.items[i].name.len,
                                declaration->set.items[i].name.data,
                                (int) declaration->set.items[i].value.len,
                                declaration->set.items[i].value.data)
                       .data;
    for (size_t i = 0; i < ARRAY_LEN(always); i++)
        add_variable(arena, env, &n, always[i]);
    for (size_t i = 0; i < declaration->env.len; i++)
        add_variable(arena, env, &n, arena_copy_c(arena, names[i]));
    return env;
}

static int make_limits(const Declaration *declaration, sl_process_limits *limits)
{
    int64_t bytes = 0;
    int r = declaration->memory.len ? size_parse(declaration->memory, &bytes) : 0;

    *limits = (sl_process_limits){ .memory_bytes = (uint64_t) bytes,
                                   .cpu_seconds = (declaration->cpu_ms + 999) / 1000,
                                   .files = (uint64_t) declaration->files,
                                   .nice = (int) declaration->nice };
    return r < 0 ? wrap(r, "memory") : 0;
}

static int make_program(Arena *arena, const char *type, const Declaration *declaration,
                        Program **ret_program)
{
    int64_t processes = declaration->processes ? declaration->processes
                        : declaration->keep    ? 1
                                               : LIMIT_EXEC_PROCESSES;
    Program *program = arena_new(arena, Program);

    *program = (Program){
        .type = type,
        .argv = make_argv(arena, declaration),
        .env = make_env(arena, declaration),
        .cwd = declaration->folder.len ? arena_copy_c(arena, declaration->folder) : NULL,
        .output = (ProgramOutput) declaration->output,
        .is_kept = declaration->keep,
        .processes_max = (size_t) processes,
        .at_once = (size_t) declaration->at_once,
        .jobs_max = (uint64_t) declaration->max_jobs,
        .grace_ms = declaration->grace_ms,
        .final_codes = declaration->final_exit_codes.items,
        .n_final_codes = declaration->final_exit_codes.len,
        .loops = arena_zalloc(arena, PROGRAM_LOOPS * sizeof(ProgramLoop *)),
    };
    *ret_program = program;
    return make_limits(declaration, &program->limits);
}

/* ---- the handler ----------------------------------------------------------------------------- */

SUSPENDS static int program_run(Task *task, const void *args, JsonWriter *result)
{
    const Program *program = task->handler->declared;
    ProgramLoop *loop = program->loops[sl_loop_index()];
    int r;

    (void) args; /* checked; the program gets them as they were given */
    if (!loop)
        return fail(-ERR_INTERNAL, "programs have not been started on this loop");
    if (program->is_kept)
        return kept_run(loop, task, result);
    r = sl_sem_acquire(&loop->places);
    if (r < 0)
        return r;
    r = once_run(program, task, result);
    sl_sem_release(&loop->places);
    return r;
}

static const SchemaField program_result = ITEM(JSON, .summary = "what the program answered");

static int make_handler(Arena *arena, const YamlDoc *doc, Json value, const char *type,
                        const Handler **ret_handler)
{
    Handler *handler = arena_new(arena, Handler);
    Declaration declaration = { 0 };
    Program *program;
    int r;

    r = yaml_decode(arena, doc, &declaration_schema, value, &declaration, NULL);
    if (r < 0)
        return r;
    *handler = (Handler){
        .type = type,
        .summary = declaration.summary.len ? arena_copy_c(arena, declaration.summary)
                                           : arena_printf(arena, "Run the program %s.", type).data,
        .details = declaration.details.len ? arena_copy_c(arena, declaration.details) : NULL,
        .result = &program_result,
        .cost = HANDLER_WAITS,
        .timeout_ms = declaration.timeout_ms,
        .run = program_run,
    };
    r = make_program(arena, type, &declaration, &program);
    handler->declared = program;
    if (r == 0 && declaration.args.value)
        r = program_args_read(arena, doc, json_find(value, "args"), type, &handler->args);
    if (r < 0)
        return wrap(r, "%s:%u: %s", doc->name, yaml_line(doc, value), type);
    *ret_handler = handler;
    return 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

static int check_name(const YamlDoc *doc, const JsonIter *it, const ProgramTable *table)
{
    unsigned line = yaml_line(doc, it->key_at);
    int len = (int) MIN(it->key.len, (size_t) 128);

    if (it->key.len > 128 || !schema_is_name(it->key))
        return fail(-ERR_CONFIG,
                    "%s:%u: handlers: \"%.*s\" is no name of a type: words of lower-case letters, "
                    "digits, - and _, joined by dots",
                    doc->name, line, len, it->key.data);
    for (size_t i = 0; i < table->n_handlers; i++) {
        if (str_eq_c(it->key, table->handlers[i]->type))
            return fail(-ERR_CONFIG, "%s:%u: handlers: there is a handler \"%.*s\" already",
                        doc->name, line, len, it->key.data);
    }
    return 0;
}

int programs_read(Arena *arena, const YamlDoc *doc, Json map, const Handler *const *builtin,
                  size_t n_builtin, ProgramTable *ret_table)
{
    size_t n = n_builtin;
    const Handler **handlers;
    int r;

    *ret_table = (ProgramTable){ .handlers = builtin, .n_handlers = n_builtin };
    if (!map || json_is_null(map))
        return 0;
    if (!json_is_object(map))
        return fail(-ERR_CONFIG, "%s:%u: handlers: must be a mapping of types to programs",
                    doc->name, yaml_line(doc, map));
    if (json_len(map) > LIMIT_EXEC_HANDLERS)
        return fail(-ERR_CONFIG, "%s:%u: handlers: at most %d can be declared", doc->name,
                    yaml_line(doc, map), LIMIT_EXEC_HANDLERS);

    handlers = arena_zalloc(arena, (n_builtin + json_len(map)) * sizeof(Handler *));
    for (size_t i = 0; i < n_builtin; i++)
        handlers[i] = builtin[i];
    ret_table->handlers = handlers;
    for (JsonIter it = json_iter(map); json_next(&it);) {
        r = check_name(doc, &it, ret_table);
        if (r == 0)
            r = make_handler(arena, doc, it.value, arena_copy_c(arena, it.key), &handlers[n]);
        if (r < 0)
            return r;
        ret_table->n_handlers = ++n;
    }
    ret_table->declared = handlers + n_builtin;
    ret_table->n_declared = n - n_builtin;
    return 0;
}

/* ---- on a loop ------------------------------------------------------------------------------- */

sl_nursery *programs_start(const ProgramTable *table)
{
    sl_nursery *nursery;

    if (table->n_declared == 0)
        return NULL;
    nursery = sl_nursery_open(.name = "programs", .keep_going = true);
    for (size_t i = 0; i < table->n_declared; i++) {
        Program *program = table->declared[i]->declared;
        ProgramLoop *loop = mem_new(ProgramLoop);

        *loop = (ProgramLoop){ .program = program,
                               .nursery = nursery,
                               .places = { .count = program->processes_max } };
        program->loops[sl_loop_index()] = loop;
    }
    return nursery;
}

void programs_stop(const ProgramTable *table, sl_nursery *nursery)
{
    sl_nursery_close(nursery);
    for (size_t i = 0; i < table->n_declared; i++) {
        Program *program = table->declared[i]->declared;

        mem_free(program->loops[sl_loop_index()]);
        program->loops[sl_loop_index()] = NULL;
    }
}
