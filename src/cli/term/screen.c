/*
 * Lines in their place; see the header.
 */
#include "cli/term/screen.h"

#include "base/assert.h"
#include "base/macro.h"
#include "codec/width.h"

/* From the beginning of the last line to that of the first. One that is wider than the terminal
 * takes several. */
static void go_up(const Screen *screen, size_t columns, Buf *out)
{
    size_t up = 0;

    for (size_t i = 0; i + 1 < screen->n_lines; i++)
        up += columns > 0 && screen->widths[i] > columns
                  ? (screen->widths[i] + columns - 1) / columns
                  : 1;
    buf_add_char(out, '\r');
    if (up > 0)
        buf_printf(out, "\x1b[%zuA", up);
}

static size_t shown_width(Str line)
{
    AUTO(buf_deinit) Buf clean = { 0 };

    width_add_clean(&clean, line);
    return width_of(buf_str(&clean));
}

void screen_draw(Screen *screen, Str frame, size_t columns, Buf *out)
{
    if (screen->n_lines > 0)
        go_up(screen, columns, out);
    screen->n_lines = 0;
    while (frame.len > 0) {
        Str line = str_cut(frame, '\n', &frame);

        ASSERT(screen->n_lines < SCREEN_LINES_MAX);
        if (screen->n_lines > 0)
            buf_add_char(out, '\n');
        buf_add_str(out, line);
        buf_add_c(out, "\x1b[K");
        screen->widths[screen->n_lines++] = (uint16_t) MIN(shown_width(line), (size_t) UINT16_MAX);
    }
    buf_add_c(out, "\x1b[J\r");
}

void screen_clear(Screen *screen, size_t columns, Buf *out)
{
    if (screen->n_lines == 0)
        return;
    go_up(screen, columns, out);
    buf_add_c(out, "\x1b[J");
    screen->n_lines = 0;
}
