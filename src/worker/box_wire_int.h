/*
 * What engine, spawner and box say to each other. One program is at both ends, so the messages are
 * structs as they lie in memory.
 *
 *   engine -> spawner   SPAWN_START with four descriptors, SPAWN_KILL
 *   spawner -> engine   SPAWN_ENDED, SPAWN_FAILED
 *   engine -> box       BOX_RUN, BOX_GRANT
 *   box -> engine       BOX_READY once, then for each run any number of BOX_PROGRESS, BOX_LOG and
 *                       BOX_RESERVE, and one BOX_RESULT
 *
 * The input memory holds the arguments from its first byte on, and behind them the input; the
 * output memory what the handler gave, and the result's text. Both have their full size from the
 * start (their pages come with use), and are sealed, so that nobody can pull them away under the
 * other side.
 *
 * A box that has no run says nothing, and an answer names the run it is for: whoever is late is not
 * taken for somebody else.
 *
 * Everything from a box is hostile: the engine reads a message into its own memory first, checks
 * its length against its kind, each offset against the memory's size, and that texts end.
 */
#pragma once

#include "base/limits.h"

#include <sluice/handler.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Descriptors that come with SPAWN_START, in this order. */
enum { SPAWN_FD_SOCKET, SPAWN_FD_WORDS, SPAWN_FD_INPUT, SPAWN_FD_OUTPUT, SPAWN_FDS };

typedef enum SpawnKind { SPAWN_START = 1, SPAWN_KILL, SPAWN_ENDED, SPAWN_FAILED } SpawnKind;

typedef struct SpawnMessage {
    uint32_t kind;
    uint32_t id;           /* the engine's number of the box */
    int32_t status;        /* ENDED: as waitpid has it; FAILED: errno */
    uint64_t memory_bytes; /* START: of working memory */
    bool does_preload;     /* START: it is worth while to load first what all boxes need */
} SpawnMessage;

typedef enum BoxKind {
    BOX_RUN = 1,
    BOX_GRANT,
    BOX_READY,
    BOX_PROGRESS,
    BOX_LOG,
    BOX_RESERVE,
    BOX_RESULT,
    BOX_GIVE_BACK
} BoxKind;

#define BOX_TYPE_BYTES  128
#define BOX_ID_BYTES    64
#define BOX_NAME_BYTES  128
#define BOX_CODE_BYTES  64
#define BOX_ERROR_BYTES 1024
#define BOX_TEXT_BYTES  1024

/* A run begins. */
typedef struct BoxRunMessage {
    uint32_t kind;
    uint32_t attempt, max_attempts;
    bool is_direct;
    bool is_foreground;
    bool is_vector_allowed;
    bool has_media_type;
    uint64_t number; /* of the run; the answer repeats it */
    int64_t cpu_seconds;
    uint64_t args_len, input_len;
    char type[BOX_TYPE_BYTES];
    char job_id[BOX_ID_BYTES];
    char media_type[BOX_NAME_BYTES];
} BoxRunMessage;

/* READY: the walls it lacks. RESERVE, GIVE_BACK: bytes. GRANT: 0 or why not. */
typedef struct BoxWord {
    uint32_t kind;
    uint32_t missing;
    int64_t value;
} BoxWord;

/* PROGRESS and LOG: as many bytes of text as the message has beyond the head. */
typedef struct BoxText {
    uint32_t kind;
    double fraction;
    char text[BOX_TEXT_BYTES];
} BoxText;

typedef struct BoxOutput {
    uint64_t offset, len;
    char name[BOX_NAME_BYTES];       /* "" for none */
    char media_type[BOX_NAME_BYTES]; /* "" for none */
} BoxOutput;

/* A run has ended; N_OUTPUTS of the outputs are sent. */
typedef struct BoxResult {
    uint32_t kind;
    int32_t r;
    uint64_t number;      /* of the run that it answers */
    uint64_t offset, len; /* of the result's text */
    uint64_t own_bytes;   /* of the box's memory, for the engine to decide whether it is replaced */
    uint8_t is_final;     /* not bool: a box may say 2 */
    uint8_t is_partial;
    uint32_t n_outputs;
    char code[BOX_CODE_BYTES]; /* "" for none */
    char words[BOX_ERROR_BYTES];
    BoxOutput outputs[TASK_OUTPUTS];
} BoxResult;

_Static_assert(sizeof(BoxResult) <= LIMIT_BOX_FRAME_BYTES, "a result fits into a message");
