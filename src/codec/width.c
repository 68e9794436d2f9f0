/*
 * Text on a terminal; see the header.
 *
 * A step takes one character as a reader sees it: a base, the marks behind it, and, behind a joiner
 * (U+200D), the next base with its marks. U+FE0F behind a base asks for its emoji, which is two
 * columns wide; a skin colour behind an emoji takes none. Two regional indicators make a flag, one
 * column each.
 */
#include "codec/width.h"

#include "base/macro.h"
#include "codec/width_int.h"

#define ZERO_WIDTH_JOINER 0x200d
#define EMOJI_SELECTOR    0xfe0f
#define ESCAPE            0x1b

static bool is_in(const WidthRange *ranges, size_t n, uint32_t c)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (c > ranges[middle].last)
            low = middle + 1;
        else if (c < ranges[middle].first)
            high = middle;
        else
            return true;
    }
    return false;
}

/* The character that TEXT begins with and its bytes; U+FFFD and 1 where it is no UTF-8. */
static uint32_t decode(Str text, size_t *ret_len)
{
    const unsigned char *at = (const unsigned char *) text.data;
    size_t len = str_utf8_len(text);

    *ret_len = MAX(len, (size_t) 1);
    switch (len) {
    case 1: return at[0];
    case 2: return (at[0] & 0x1fu) << 6 | (at[1] & 0x3fu);
    case 3: return (at[0] & 0x0fu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
    case 4:
        return (at[0] & 0x07u) << 18 | (at[1] & 0x3fu) << 12 | (at[2] & 0x3fu) << 6 |
               (at[3] & 0x3fu);
    }
    return 0xfffd;
}

static size_t columns_of(uint32_t c)
{
    if (c < 0x300)
        return 1;
    if (is_in(width_zero_ranges, width_zero_count, c))
        return 0;
    return is_in(width_wide_ranges, width_wide_count, c) ? 2 : 1;
}

static bool is_skin_colour(uint32_t c)
{
    return c >= 0x1f3fb && c <= 0x1f3ff;
}

static bool is_flag_letter(uint32_t c)
{
    return c >= 0x1f1e6 && c <= 0x1f1ff;
}

/* Take one character of TEXT (not empty) as a reader sees it: its bytes, and its columns. */
static size_t step(Str text, size_t *ret_columns)
{
    size_t len, more;
    uint32_t base = decode(text, &len);
    size_t columns = columns_of(base);
    bool is_joined = false;

    for (; len < text.len; len += more) {
        uint32_t c = decode(str_sub(text, len, text.len), &more);

        if (c < 0x300)
            break;
        if (c == EMOJI_SELECTOR)
            columns = 2;
        else if (is_flag_letter(base) && is_flag_letter(c))
            columns = 2;
        else if (!is_joined && columns_of(c) != 0 && !(columns == 2 && is_skin_colour(c)))
            break;
        base = 0;
        is_joined = c == ZERO_WIDTH_JOINER;
    }
    *ret_columns = columns;
    return len;
}

size_t width_of(Str text)
{
    size_t total = 0, columns, len;

    for (; text.len > 0; text = str_sub(text, len, text.len)) {
        len = step(text, &columns);
        total += columns;
    }
    return total;
}

Str width_cut(Str text, size_t columns)
{
    size_t at = 0, taken = 0;

    while (at < text.len) {
        size_t wide, len = step(str_sub(text, at, text.len), &wide);

        if (taken + wide > columns)
            break;
        taken += wide;
        at += len;
    }
    return str_sub(text, 0, at);
}

void width_add_cut(Buf *out, Str text, size_t columns)
{
    Str whole = width_cut(text, columns);

    if (whole.len == text.len) {
        buf_add_str(out, text);
        return;
    }
    if (columns == 0)
        return;
    buf_add_str(out, width_cut(text, columns - 1));
    buf_add_c(out, "…");
}

/* ---- cleaning -------------------------------------------------------------------------------- */

/* The end of a string that a terminal swallows (OSC, DCS …): BEL, ESC \ or U+009C. A string without
 * its end reaches as far as a terminal would wait: to the end. */
static size_t skip_string(Str text, size_t at)
{
    for (; at < text.len; at++) {
        unsigned char c = (unsigned char) text.data[at];

        if (c == 0x07)
            return at + 1;
        if (c == ESCAPE)
            return at + 1 < text.len && text.data[at + 1] == '\\' ? at + 2 : at;
        if (c == 0xc2 && at + 1 < text.len && (unsigned char) text.data[at + 1] == 0x9c)
            return at + 2;
    }
    return at;
}

/* The end of what stands behind CSI: parameters, intermediates, one final byte. */
static size_t skip_control(Str text, size_t at)
{
    while (at < text.len && (unsigned char) text.data[at] >= 0x20 &&
           (unsigned char) text.data[at] <= 0x3f)
        at++;
    return at < text.len && (unsigned char) text.data[at] >= 0x40 &&
                   (unsigned char) text.data[at] <= 0x7e
               ? at + 1
               : at;
}

/* The end of the escape sequence whose introducer KIND (of 7 bits) ends before AT. */
static size_t skip_sequence(Str text, size_t at, unsigned char kind)
{
    if (kind == '[')
        return skip_control(text, at);
    if (kind == ']' || kind == 'P' || kind == 'X' || kind == '^' || kind == '_')
        return skip_string(text, at);
    /* ESC, intermediates, a final byte. */
    if (kind < 0x20 || kind > 0x7e)
        return at - 1;
    if (kind < 0x30) {
        while (at < text.len && (unsigned char) text.data[at] >= 0x20 &&
               (unsigned char) text.data[at] < 0x30)
            at++;
        return at < text.len && (unsigned char) text.data[at] < 0x7f ? at + 1 : at;
    }
    return at;
}

/* Marks that turn the direction of writing: U+202A–202E, U+2066–2069. */
static bool is_direction(uint32_t c)
{
    return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static bool is_plain(Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char) text.data[i];

        if (c < 0x20 || c >= 0x7f)
            return false;
    }
    return true;
}

void width_add_clean(Buf *out, Str text)
{
    size_t at = 0, len;

    if (is_plain(text)) {
        buf_add_str(out, text);
        return;
    }
    while (at < text.len) {
        bool is_valid = str_utf8_len(str_sub(text, at, text.len)) > 0;
        uint32_t c = decode(str_sub(text, at, text.len), &len);
        size_t from = at;

        at += len;
        if (!is_valid)
            buf_add_c(out, "\xef\xbf\xbd");
        else if (c == ESCAPE)
            at = at < text.len ? skip_sequence(text, at + 1, (unsigned char) text.data[at]) : at;
        else if (c >= 0x80 && c <= 0x9f)
            at = skip_sequence(text, at, (unsigned char) (c - 0x40));
        else if (c < 0x20 || c == 0x7f)
            buf_add_char(out, ' ');
        else if (!is_direction(c))
            buf_add(out, text.data + from, len);
    }
}
