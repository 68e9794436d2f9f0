/*
 * Bars; see the header. A block can be cut to eighths, so that a bar of w columns has 8 w lengths.
 */
#include "rows/bar.h"

#include "base/macro.h"
#include "codec/width.h"

#include <math.h>

#define BAR_COLUMNS     80
#define BAR_GAP         2
#define BAR_ROOM_MIN    8
#define BAR_LABEL_SHARE 2 /* a label takes at most half of the line */
#define BAR_PARTS       8 /* of a column */

static void pad(Buf *out, size_t n)
{
    while (n-- > 0)
        buf_add_char(out, ' ');
}

static bool is_shown(double value)
{
    return isfinite(value) && value > 0;
}

/* How many parts of a column the bar of VALUE has, where GREATEST has all of ROOM. */
static size_t parts_of(double value, double greatest, size_t room)
{
    size_t parts;

    if (!is_shown(value))
        return 0;
    parts = (size_t) lround(value / greatest * (double) (room * BAR_PARTS));
    return MAX(parts, (size_t) 1);
}

static size_t add_bar(Buf *out, size_t parts, bool is_ascii)
{
    static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
    size_t whole = parts / BAR_PARTS, rest = parts % BAR_PARTS;

    if (is_ascii) {
        whole = (parts + BAR_PARTS / 2) / BAR_PARTS;
        whole = MAX(whole, (size_t) (parts > 0));
        rest = 0;
    }
    for (size_t i = 0; i < whole; i++)
        buf_add_c(out, is_ascii ? "#" : "█");
    buf_add_c(out, eighths[rest]);
    return whole + (rest > 0);
}

static void add_line(Buf *out, const Bar *bar, size_t label_width, size_t room, double greatest,
                     const BarStyle *style)
{
    AUTO(buf_deinit) Buf label = { 0 };
    size_t taken;

    width_add_clean(&label, bar->label);
    width_add_cut(out, buf_str(&label), label_width);
    taken = MIN(width_of(buf_str(&label)), label_width);
    pad(out, label_width - taken + BAR_GAP);
    buf_add_c(out, style->has_colour ? "\x1b[36m" : "");
    taken = add_bar(out, parts_of(bar->value, greatest, room), style->is_ascii);
    buf_add_c(out, style->has_colour ? "\x1b[0m" : "");
    if (bar->text.len > 0) {
        pad(out, room - MIN(taken, room) + BAR_GAP);
        width_add_clean(out, bar->text);
    }
    buf_add_char(out, '\n');
}

void bar_print(Buf *out, const Bar *bars, size_t n, const BarStyle *style)
{
    size_t columns = style->columns > 0 ? style->columns : BAR_COLUMNS;
    size_t label_width = 0, text_width = 0, taken;
    double greatest = 0;

    for (size_t i = 0; i < n; i++) {
        label_width = MAX(label_width, width_of(bars[i].label));
        text_width = MAX(text_width, width_of(bars[i].text));
        if (is_shown(bars[i].value))
            greatest = MAX(greatest, bars[i].value);
    }
    label_width = MIN(label_width, columns / BAR_LABEL_SHARE);
    taken = label_width + text_width + 2 * BAR_GAP;
    for (size_t i = 0; i < n; i++)
        add_line(out, &bars[i], label_width,
                 columns > taken + BAR_ROOM_MIN ? columns - taken : BAR_ROOM_MIN, greatest, style);
}
