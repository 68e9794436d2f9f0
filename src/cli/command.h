/*
 * Commands as data: each file of cli/cmd/ defines one, `const Command cmd_<file>`, and the build
 * makes the table.
 *
 * A command has verbs (`sluice job list`), or is one itself (`sluice version`). From the table come
 * the parser of flags, the help, the man pages and the completion. A flag is a field of a schema,
 * so that it is checked, documented and bound into a struct in one place. Every command takes the
 * common flags (`--json`, `--server`, `--help`).
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/text.h"

#include <sluice/handler.h>
#include <sluice/schema.h>

typedef struct CommandContext CommandContext;
typedef struct CommandVerb CommandVerb;
typedef struct Client Client;

/* One run of a handler in the foreground. */
typedef struct HandlerRun {
    const Handler *handler;
    Str args;        /* JSON text of its argument */
    Str rows_to;     /* the text of a sink for the rows it shows */
    size_t columns;  /* of the terminal; 0 when stdout is none */
    bool has_colour; /* on stdout */
    bool is_quiet;   /* no progress on stderr */

    /* The argument read again, in ARENA; blocks. NULL: it cannot be. */
    int (*reread)(void *ctx, Arena *arena, Str *ret_args);
    void *reread_ctx;
    const char *file; /* that it is read from; NULL: words alone */

    Buf *result;     /* gets the result's JSON text; after an error what there is of it */
    int stopped_by;  /* the signal that ended it before it was done; 0: none */
    int hurried_by;  /* the signal that made it hurry, by which it ended; 0: none */
    bool has_rows;   /* rows were shown */
    bool is_partial; /* it is done, but some of the work failed */
} HandlerRun;

/* Work on stores that no engine has open. */
typedef struct StoreRequest {
    enum { STORE_VERB_MIGRATE, STORE_VERB_CHECK, STORE_VERB_INFO, STORE_VERB_REOPEN } verb;
    Str store; /* a URL, or @FILE; of MIGRATE the source */
    Str to;    /* MIGRATE: the target */
    bool merge, force, dry_run;
    bool shows_progress; /* on stderr */

    Buf *result; /* gets a JSON object */
} StoreRequest;

/* What can be asked of pipelines without running one; see docs/guide/ingest.md. */
typedef struct IngestRequest {
    enum { INGEST_CHECK, INGEST_DRIVERS, INGEST_REPLAY } verb;
    Str args;         /* CHECK, REPLAY: the configuration as JSON text; REPLAY's may be empty */
    const char *file; /* CHECK: that it was read from, for messages; NULL: flags */
    Str kind;         /* DRIVERS: "source", "step" or "sink"; empty: all */
    Str name;         /* DRIVERS: of one, whose settings are told; empty: a line for each */
    bool is_json;

    Str dead;        /* REPLAY: the file of dead letters */
    SchemaList out;  /* REPLAY: of Str, sinks instead of the configuration's */
    Str filter;      /* REPLAY: an expression; empty: all */
    int64_t limit;   /* REPLAY: letters; 0: all */
    bool keep;       /* REPLAY: the file stays as it is */
    HandlerRun *run; /* REPLAY: what it runs, but for the arguments */

    Buf *result; /* gets text for people, or JSON; not of REPLAY */
} IngestRequest;

/* Pictures of files, made by the handler image; see docs/guide/images.md. */
typedef struct ImageRequest {
    const Handler *handler;
    Str args;                  /* of each run, JSON text */
    const char *const *inputs; /* files, folders, patterns; "-" is stdin */
    size_t n_inputs;
    Str out;         /* as --out says; empty with is_info */
    bool is_info;    /* nothing is written, facts are printed */
    bool is_forced;  /* files that are there are written over */
    bool is_json;    /* a line of JSON for each picture on stdout */
    bool has_format; /* a format is named, by itself or by the end of the name of OUT */
    bool shows_progress;

    int stopped_by; /* the signal; 0: none */
    size_t n_done;  /* pictures, the failed ones counted */
    size_t n_failed;
} ImageRequest;

/* What a process is: API and workers, the API alone, workers alone. */
typedef enum EngineFace { ENGINE_ALL, ENGINE_API, ENGINE_WORKERS } EngineFace;

/* What the commands may ask of the program around them: app/ fills it in. Both start the runtime.
 */
typedef struct CommandHost {
    const Handler *const *handlers;
    size_t n_handlers;

    /* Those that the configuration FILE declares behind them, in ARENA. 0 or an error. */
    int (*read_handlers)(Arena *arena, const char *file, const Handler *const **ret_handlers,
                         size_t *ret_n);
    const Schema *engine_flags; /* of `up`, `serve` and `work` */
    int (*run_engine)(const void *flags, Str given, EngineFace face); /* until it has stopped */
    const Schema *demo_flags;                                         /* of `demo` */
    int (*run_demo)(const void *flags);                               /* until it has stopped */
    int (*run_handler)(HandlerRun *run);                              /* once, in the foreground */
    int (*run_store)(const StoreRequest *request);
    int (*run_ingest)(const IngestRequest *request);
    int (*run_images)(ImageRequest *request);
    void (*list_features)(void (*tell)(void *ctx, const char *name, bool is_in), void *ctx);
} CommandHost;

typedef struct CommonFlags {
    bool json;
    bool help;
    Str server;
} CommonFlags;

/* One call of a command. */
struct CommandContext {
    const CommandHost *host;
    Arena *arena;
    const CommonFlags *common;
    Str given;                /* the flags of `flags` that were written, as a JSON object */
    const void *flags;        /* the struct of the verb's schema; NULL when it has none */
    const CommandVerb *verb;  /* the verb itself */
    const char *const *words; /* what followed the verb, when it reads them itself */
    size_t n_words;
    int exit_code;    /* of the process; 0: what the command returned says it */
    bool is_terminal; /* stdout is one */
    bool has_colour;
    size_t columns; /* of the terminal */
};

struct CommandVerb {
    const char *name;       /* "list"; NULL for a command without verbs */
    const char *usage;      /* what follows it: "[--state STATE]" */
    const char *summary;    /* a sentence */
    const char *details;    /* paragraphs for the man page and the help; NULL for none */
    const char *examples;   /* lines "$ …"; NULL for none */
    const Schema *flags;    /* NULL: none of its own */
    bool reads_words;       /* parses words and flags itself, from context->words */
    bool is_client;         /* runs on a fiber, and talks to an engine */
    const Handler *handler; /* what it runs; NULL for most */
    int (*run)(CommandContext *context);
};

typedef struct Command {
    const char *name;
    const char *summary;
    const CommandVerb *verbs;
    size_t n_verbs;
    bool has_engine_flags; /* its flags are host->engine_flags */
    bool has_demo_flags;   /* its flags are host->demo_flags */
} Command;

/* `sluice ingest check`, …, and the one without a name. */
extern const CommandVerb ingest_verbs[];
extern const size_t n_ingest_verbs;
int ingest_verb_run(CommandContext *context);

/* `sluice image`, and behind it N verbs with names. */
extern const CommandVerb image_verbs[];
extern const size_t n_image_verbs;

/* HANDLER, which is image, without the arguments that only jobs have. */
const Handler *cli_image_handler(Arena *arena, const Handler *handler);

#define COMMAND_VERBS(table) .verbs = (table), .n_verbs = sizeof(table) / sizeof((table)[0])

/* Parse ARGV, run what it says, print errors; the exit code. */
int cli_main(int argc, char **argv, const CommandHost *host);

/* Print help for COMMAND (NULL: all) and VERB (NULL: all of it). */
void cli_help(const CommandContext *context, const Command *command, const CommandVerb *verb);

/* Print the man page of COMMAND (NULL: the program's) in mdoc. */
void cli_man(const CommandContext *context, const Command *command);

/* The command called NAME, a handler's among them, or NULL. Borrowed from the context. */
const Command *cli_find_command(CommandContext *context, Str name);

/* The command that HANDLER is: `sluice crawl`. Verbs of its own, behind the one without a name that
 * runs it, are in cli/<type>_verbs.c. */
const Command *cli_handler_command(Arena *arena, const Handler *handler);

/* Run HANDLER in the foreground with the argument that WORDS give, and print what comes of it. */
MUST int cli_run_handler(CommandContext *context, const Handler *handler, const char *const *words,
                         size_t n);

/* Flags of all runs in the foreground, beside the handler's arguments. */
typedef struct CliRunFlags {
    bool quiet;
} CliRunFlags;
extern const Schema cli_run_flags;

/* Its two halves: read the words into *RET_RUN; and run it, with RUN->result set, and print. */
MUST int cli_prepare_run(CommandContext *context, const Handler *handler, const char *const *words,
                         size_t n, HandlerRun *ret_run);
MUST int cli_perform_run(CommandContext *context, HandlerRun *run);

/* How rows that a run shows come to stdout: fills RUN. */
void cli_place_rows(const CommandContext *context, HandlerRun *run);

/* Parse the words of a verb that reads them itself: its flags, the common ones, and EXTRA (may be
 * NULL; its JSON is given back). Fills the structs. -ERR_USAGE with words. */
MUST int cli_parse_flags(CommandContext *context, const Schema *flags, void *ret_flags,
                         const Schema *extra, Str *ret_extra_json, const char *const *words,
                         size_t n);

/*
 * Read the argument of a handler, or of a job, from the words behind a type: JSON text, or the name
 * of a YAML or JSON file (*.yaml, *.yml, *.json) and flags over it, or flags alone. In a file's
 * strings `${NAME}` is a variable of the environment, `${NAME:-text}` one with a default,
 * `${file:PATH}` the contents of a file (secrets) and `$$` a dollar sign.
 */
MUST int cli_read_argument(CommandContext *context, const Handler *handler, const Schema *flags,
                           void *ret_flags, const char *const *words, size_t n, Str *ret_json);

/* The file that WORDS begin with; NULL when they do not. */
const char *cli_argument_file(const char *const *words, size_t n);

/* The argument of HANDLER from the YAML or JSON file NAME alone, read in the same way. */
MUST int cli_read_argument_file(Arena *arena, const Handler *handler, const char *name,
                                Str *ret_json);

/* The line of the YAML or JSON file NAME where what PATH names ("steps[1].filter") stands, or as much
 * of it as there is; 0 when that is nothing. */
unsigned cli_line_in_file(Arena *arena, const char *name, Str path);

/* Wait for a job to end, at most WAIT_MS, and print its result. -ERR_JOB_FAILED when it did not
 * complete. */
MUST SUSPENDS int cli_wait_for_job(CommandContext *context, Client *client, Str id,
                                   int64_t wait_ms);
