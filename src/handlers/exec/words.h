/*
 * Words: what a program says on stderr, line by line, and its last lines for the error of its end.
 */
#pragma once

#include "base/own.h"

#include <sluice/handler.h>

#define WORDS_LINE_BYTES 4096 /* of one line; the rest of it is cut */
#define WORDS_LAST_BYTES 400  /* of the last words in an error */

/* Zeroed it is ready. */
typedef struct Words {
    char line[WORDS_LINE_BYTES]; /* the line that has begun */
    size_t len;                  /* may be counted beyond it: the rest is cut */
    char last[WORDS_LAST_BYTES]; /* the end of what was said, without control characters */
    size_t last_len;
} Words;

/* Read FD to its end; each line goes to ON_LINE(CTX). 0 or an error. */
MUST SUSPENDS int words_read(Words *words, int fd, void (*on_line)(void *ctx, Str line), void *ctx);

/* The last words: empty, or ": " and the end of what was said. */
Str words_last(Words *words);
