/*
 * Programs: handlers that a configuration declares, in any language.
 *
 *   handlers:
 *     thumbnails.make:
 *       summary: Make the small pictures of an upload.
 *       command: [python3, thumbnails.py]
 *       timeout: 2m
 *
 * A declaration becomes a Handler with the three doors of any other. Its program is started without
 * a shell, in a process group, folder and environment of its own, in one of two ways:
 *
 *   one process for each job (once.c)   the job is one JSON object on stdin, stdout is the result,
 *                                       stderr the job's log, the exit status the outcome
 *   kept alive (`keep: true`, kept.c)   jobs are lines of JSON on stdin, answers lines on stdout
 *                                       (frame.h); several at once, told apart by their ids
 *
 * Processes belong to the loop whose job needs them, so a declaration has one ProgramLoop for each
 * loop, between programs_start and programs_stop on that loop.
 */
#pragma once

#include "base/arena.h"
#include "codec/yaml.h"

#include <sluice/handler.h>
#include <sluice/rt/fiber.h>
#include <sluice/rt/process.h>

typedef struct ProgramLoop ProgramLoop;

/* What stdout of a program is. */
typedef enum ProgramOutput {
    PROGRAM_JSON, /* one JSON value; nothing is null */
    PROGRAM_TEXT, /* text, which becomes a string without its last line break */
    PROGRAM_NONE  /* of no interest: the result is null */
} ProgramOutput;

typedef struct Program {
    const char *type;
    const char *const *argv; /* NULL-terminated */
    const char *const *env;  /* NULL-terminated NAME=VALUE */
    const char *cwd;         /* NULL: the engine's */
    ProgramOutput output;
    bool is_kept;
    size_t processes_max; /* alive at once on a loop */
    size_t at_once;       /* jobs at once in one kept process */
    uint64_t jobs_max;    /* of one kept process before it is replaced; 0: no end */
    int64_t grace_ms;     /* between SIGTERM and SIGKILL */
    const int64_t *final_codes;
    size_t n_final_codes;
    sl_process_limits limits;
    ProgramLoop **loops; /* by index; NULL where the loop has not started it */
} Program;

/* Declared handlers, and those built in, as one table. */
typedef struct ProgramTable {
    const Handler *const *handlers;
    size_t n_handlers;
    const Handler *const *declared; /* the part of it that is declared */
    size_t n_declared;
} ProgramTable;

/*
 * Read the declarations in MAP, a value of DOC (NULL: none), and put them behind the N_BUILTIN
 * handlers at BUILTIN. Everything lives in ARENA. 0 or -ERR_CONFIG with the line: "sluice.yaml:7:
 * handlers.thumb: command: …".
 */
MUST int programs_read(Arena *arena, const YamlDoc *doc, Json map, const Handler *const *builtin,
                       size_t n_builtin, ProgramTable *ret_table);

/*
 * Make the declared handlers of TABLE ready to run on this loop. No process is started before the
 * first job. Returns the nursery of the kept processes, for programs_stop by the same fiber; NULL
 * where nothing is declared.
 */
sl_nursery *programs_start(const ProgramTable *table);

/* Stop what is kept alive on this loop: end of input, SIGTERM after the grace, SIGKILL after
 * another. No job may run any more. */
SUSPENDS void programs_stop(const ProgramTable *table, sl_nursery *nursery);
