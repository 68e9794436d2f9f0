/*
 * Screen: some lines at the bottom of a terminal that are drawn again and again in their place.
 *
 * It makes the bytes; the caller writes them, each call's at once. The cursor stands at the
 * beginning of the last line meanwhile, so that an echoed ^C does not fold it, and is never hidden,
 * so that a process that is stopped or killed leaves a terminal that works. Lines that were drawn
 * when the terminal was wider or narrower have been folded by it; the screen works out how far up
 * they begin.
 */
#pragma once

#include "base/text.h"

#include <stdint.h>

#define SCREEN_LINES_MAX 64

/* Zero is one with nothing on it. */
typedef struct Screen {
    uint16_t widths[SCREEN_LINES_MAX]; /* of the lines that stand there, in columns */
    size_t n_lines;
} Screen;

/* Append to OUT what puts FRAME in the place of what stands there, on a terminal of COLUMNS. It is
 * at most SCREEN_LINES_MAX lines with line breaks between them; it may have colours, and no other
 * escape sequences. */
void screen_draw(Screen *screen, Str frame, size_t columns, Buf *out);

/* Append what takes the lines away; the cursor is where they began. Nothing when there are none. */
void screen_clear(Screen *screen, size_t columns, Buf *out);
