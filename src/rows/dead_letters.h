/*
 * Dead letters in a file of JSON lines, read back.
 *
 * Which letters have been tried again is noted in a journal beside the file, `FILE.done`; settling
 * takes them out of the file. The journal names the file by its inode, so that it means nothing
 * once the file has been replaced:
 *
 *   K1  A letter leaves the file only after its receipt was done: its row is written, or it is a
 *       new letter, or a step took it out.
 *   K2  The file is replaced whole; letters that came to it meanwhile stay.
 *   K3  Killed at any moment, every letter is in the file or was tried again, or both.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"
#include "rows/row.h"

#include <sluice/rt.h>

/* X(NAME, "column", KIND): what is read of a letter, and what a filter may name. */
#define DEAD_LETTER_COLUMNS(X)       \
    X(AT, "at", TIME)                \
    X(PIPELINE, "pipeline", TEXT)    \
    X(SOURCE, "source", TEXT)        \
    X(ORIGIN, "origin", TEXT)        \
    X(TABLE, "table", TEXT)          \
    X(LINE, "line", INT)             \
    X(STAGE, "stage", TEXT)          \
    X(CODE, "code", TEXT)            \
    X(MESSAGE, "message", TEXT)      \
    X(ATTEMPTS, "attempts", INT)     \
    X(RECEIVED, "received_at", TIME) \
    X(FORMAT, "format", TEXT)        \
    X(HEAD, "head", TEXT)            \
    X(ENCODING, "encoding", TEXT)    \
    X(BYTES, "bytes", TEXT)

enum DeadLetterColumn {
#define DEAD_LETTER_ENUM_(name, column, kind) DEAD_LETTER_##name,
    DEAD_LETTER_COLUMNS(DEAD_LETTER_ENUM_)
#undef DEAD_LETTER_ENUM_
        DEAD_LETTER_WIDTH
};

extern const RowColumn dead_letter_columns[DEAD_LETTER_WIDTH];

/* Read one line. Its values live in ARENA. False when it is no dead letter. */
bool dead_letter_parse(Arena *arena, Str line, RowValue values[static DEAD_LETTER_WIDTH]);

/* Note that the letters at the N offsets (sorted) of the file at PATH have been tried again; the
 * file is the one with INODE. Suspends. */
MUST SUSPENDS int dead_letters_note(const char *path, uint64_t inode, const uint64_t *offsets,
                                    size_t n);

#define DEAD_LETTERS_PLAIN 1

/*
 * A part that was packed when it was closed, PATH with .gz at its end, becomes the file it was: it
 * cannot be settled otherwise. 0; DEAD_LETTERS_PLAIN when the name has another end, and nothing is
 * done; an error, after which the packed one is there. Suspends.
 */
MUST SUSPENDS int dead_letters_unpack(const char *path);

/*
 * Take the letters that are noted out of the file at PATH. 0; or -EBUSY with words when a pipeline
 * has the file open; or another error, after which nothing has changed. Suspends.
 */
MUST SUSPENDS int dead_letters_settle(const char *path);
