/*
 * Charsets. The prescan follows the HTML standard's "prescan a byte stream to determine its
 * encoding" step by step, on views of the first 1024 bytes: any step that runs off the end of them
 * ends it without an answer, even if a charset was seen, for the tag may not be what it looks like.
 *
 * Decoding feeds lexbor's decoders a piece at a time into a buffer of code points that is always
 * large enough (no decoder gives more than two for a byte, three at the end), and writes those as
 * UTF-8. UTF-8 that is valid never gets that far.
 */
#include "codec/charset.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <lexbor/encoding/encoding.h>

#define PRESCAN_BYTES     1024
#define PIECE_BYTES       4096
#define PIECE_CODE_POINTS (2 * PIECE_BYTES + 8)
#define REPLACEMENT       0xFFFDu

/* ---- labels ---------------------------------------------------------------------------------- */

static Charset from_lexbor(const lxb_encoding_data_t *data, CharsetSource source)
{
    Charset charset = { .name = (const char *) data->name, .source = source };

    if (data->encoding != LXB_ENCODING_UTF_8)
        charset.id = (uint8_t) data->encoding;
    return charset;
}

static Charset from_id(lxb_encoding_t id, CharsetSource source)
{
    return from_lexbor(lxb_encoding_data(id), source);
}

static const lxb_encoding_data_t *find_data(Str label)
{
    if (label.len == 0 || label.len > 64)
        return NULL;
    return lxb_encoding_data_by_pre_name((const lxb_char_t *) label.data, label.len);
}

bool charset_find(Str label, Charset *ret_charset)
{
    const lxb_encoding_data_t *data = find_data(label);

    if (!data || data->encoding <= LXB_ENCODING_UNDEFINED)
        return false;
    *ret_charset = from_lexbor(data, CHARSET_FROM_HTTP);
    return true;
}

/* ---- the prescan ----------------------------------------------------------------------------- */

/* What a label inside a document may mean: it was read as ASCII, so it is not UTF-16. */
static bool find_inside(Str label, CharsetSource source, Charset *ret_charset)
{
    const lxb_encoding_data_t *data = find_data(label);

    if (!data || data->encoding <= LXB_ENCODING_UNDEFINED)
        return false;
    if (data->encoding == LXB_ENCODING_UTF_16BE || data->encoding == LXB_ENCODING_UTF_16LE)
        *ret_charset = from_id(LXB_ENCODING_UTF_8, source);
    else if (data->encoding == LXB_ENCODING_X_USER_DEFINED && source == CHARSET_FROM_META)
        *ret_charset = from_id(LXB_ENCODING_WINDOWS_1252, source);
    else
        *ret_charset = from_lexbor(data, source);
    return true;
}

static bool is_space(char c)
{
    return c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == ' ';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Where the prescan stands; `at` of text.len means that it ran off the end. */
typedef struct Scan {
    Str text;
    size_t at;
} Scan;

static bool has_ended(const Scan *scan)
{
    return scan->at >= scan->text.len;
}

static char peek(const Scan *scan)
{
    return has_ended(scan) ? '\0' : scan->text.data[scan->at];
}

static void skip_space(Scan *scan)
{
    while (!has_ended(scan) && is_space(peek(scan)))
        scan->at++;
}

static bool looks_at(const Scan *scan, const char *word)
{
    return str_eq_nocase(str_sub(scan->text, scan->at, strlen(word)), str_from_c(word));
}

typedef struct Attr {
    Str name, value;
} Attr;

/* The value behind an equals sign. False: the end came first. */
static bool read_value(Scan *scan, Attr *attr)
{
    char quote;
    size_t start;

    skip_space(scan);
    if (has_ended(scan))
        return false;
    quote = peek(scan);
    if (quote == '"' || quote == '\'') {
        start = ++scan->at;
        while (!has_ended(scan) && peek(scan) != quote)
            scan->at++;
        if (has_ended(scan))
            return false;
        attr->value = str_sub(scan->text, start, scan->at - start);
        scan->at++;
        return !has_ended(scan);
    }
    start = scan->at;
    while (!has_ended(scan) && !is_space(peek(scan)) && peek(scan) != '>')
        scan->at++;
    attr->value = str_sub(scan->text, start, scan->at - start);
    return !has_ended(scan);
}

/* "Get an attribute". False: there is none, or the end came first (then has_ended). */
static bool read_attr(Scan *scan, Attr *ret_attr)
{
    Attr attr = { 0 };
    size_t start;
    char c;

    while (!has_ended(scan) && (is_space(peek(scan)) || peek(scan) == '/'))
        scan->at++;
    if (has_ended(scan) || peek(scan) == '>')
        return false;
    start = scan->at;
    for (;; scan->at++) {
        if (has_ended(scan))
            return false;
        c = peek(scan);
        if ((c == '=' && scan->at > start) || is_space(c) || c == '/' || c == '>')
            break;
    }
    attr.name = str_sub(scan->text, start, scan->at - start);
    if (is_space(c)) {
        skip_space(scan);
        if (has_ended(scan))
            return false;
        c = peek(scan);
    }
    if (c == '=') {
        scan->at++;
        if (!read_value(scan, &attr))
            return false;
    }
    *ret_attr = attr;
    return true;
}

/* The index in TEXT, from FROM on, of WORD in any case; -1: none. */
static ssize_t find_nocase(Str text, size_t from, Str word)
{
    for (size_t i = from; i + word.len <= text.len; i++)
        if (str_eq_nocase(str_sub(text, i, word.len), word))
            return (ssize_t) i;
    return -1;
}

/* "Extract a character encoding from a meta element": of `text/html; charset=x`. */
static bool find_in_content(Str content, Charset *ret_charset)
{
    static const Str word = STR("charset");
    Scan scan = { .text = content };
    size_t start;
    char quote;

    for (;;) {
        ssize_t at = find_nocase(content, scan.at, word);

        if (at < 0)
            return false;
        scan.at = (size_t) at + word.len;
        skip_space(&scan);
        if (peek(&scan) == '=' && !has_ended(&scan))
            break;
    }
    scan.at++;
    skip_space(&scan);
    quote = peek(&scan);
    if (quote == '"' || quote == '\'') {
        Str rest = str_sub(content, scan.at + 1, content.len);
        ssize_t end = str_find(rest, quote);

        return end >= 0 &&
               find_inside(str_sub(rest, 0, (size_t) end), CHARSET_FROM_META, ret_charset);
    }
    start = scan.at;
    while (!has_ended(&scan) && !is_space(peek(&scan)) && peek(&scan) != ';')
        scan.at++;
    return find_inside(str_sub(content, start, scan.at - start), CHARSET_FROM_META, ret_charset);
}

/* The attributes of a meta tag. True: it names a charset. */
static bool read_meta(Scan *scan, Charset *ret_charset)
{
    bool has_equiv = false, has_content = false, has_charset = false;
    bool is_pragma = false, needs_pragma = false, is_found = false;
    Attr attr;

    while (read_attr(scan, &attr)) {
        if (str_eq_nocase(attr.name, (Str) STR("http-equiv")) && !has_equiv) {
            has_equiv = true;
            is_pragma = str_eq_nocase(attr.value, (Str) STR("content-type"));
        } else if (str_eq_nocase(attr.name, (Str) STR("content")) && !has_content) {
            has_content = true;
            if (!is_found && !has_charset && find_in_content(attr.value, ret_charset))
                is_found = needs_pragma = true;
        } else if (str_eq_nocase(attr.name, (Str) STR("charset")) && !has_charset) {
            has_charset = true;
            is_found = find_inside(attr.value, CHARSET_FROM_META, ret_charset);
            needs_pragma = false;
        }
    }
    return !has_ended(scan) && is_found && (!needs_pragma || is_pragma);
}

static void skip_to(Scan *scan, const char *word)
{
    while (!has_ended(scan) && !looks_at(scan, word))
        scan->at++;
}

/* One step of the loop, at a "<". True: a charset was found. */
static bool read_tag(Scan *scan, Charset *ret_charset)
{
    char next = scan->at + 1 < scan->text.len ? scan->text.data[scan->at + 1] : '\0';
    char after = scan->at + 2 < scan->text.len ? scan->text.data[scan->at + 2] : '\0';
    Attr attr;

    if (looks_at(scan, "<!--")) {
        scan->at += 2; /* its two dashes may be those of the end */
        skip_to(scan, "-->");
        scan->at += 2;
    } else if (looks_at(scan, "<meta") && scan->at + 5 < scan->text.len &&
               (is_space(scan->text.data[scan->at + 5]) || scan->text.data[scan->at + 5] == '/')) {
        scan->at += 5;
        return read_meta(scan, ret_charset);
    } else if (is_alpha(next) || (next == '/' && is_alpha(after))) {
        while (!has_ended(scan) && !is_space(peek(scan)) && peek(scan) != '>')
            scan->at++;
        while (read_attr(scan, &attr)) {}
    } else if (next == '!' || next == '/' || next == '?') {
        skip_to(scan, ">");
    }
    return false;
}

/* "Get an XML encoding": `<?xml version="1.0" encoding="x"?>` at the very beginning. */
static bool find_in_xml(Str text, Charset *ret_charset)
{
    static const Str word = STR("encoding");
    Str rest;
    ssize_t at, end;
    size_t i;

    if (!str_starts(text, (Str) STR("<?xml")))
        return false;
    at = -1;
    for (i = 5; at < 0 && i + word.len <= text.len; i++)
        if (str_eq(str_sub(text, i, word.len), word))
            at = (ssize_t) i;
    if (at < 0)
        return false;
    i = (size_t) at + word.len;
    while (i < text.len && (unsigned char) text.data[i] <= 0x20)
        i++;
    if (i >= text.len || text.data[i] != '=')
        return false;
    i++;
    while (i < text.len && (unsigned char) text.data[i] <= 0x20)
        i++;
    if (i >= text.len || (text.data[i] != '"' && text.data[i] != '\''))
        return false;
    rest = str_sub(text, i + 1, text.len);
    end = str_find(rest, text.data[i]);
    if (end < 0)
        return false;
    rest = str_sub(rest, 0, (size_t) end);
    for (i = 0; i < rest.len; i++)
        if ((unsigned char) rest.data[i] <= 0x20)
            return false;
    return find_inside(rest, CHARSET_FROM_XML, ret_charset);
}

/* Whether an element of this name has text inside it, whatever it looks like. */
static bool is_text_element(Str name)
{
    static const char *const names[] = { "script",   "style",    "title",
                                         "textarea", "noscript", "template" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_nocase(name, str_from_c(names[i])))
            return true;
    return false;
}

/* What a browser finds when it parses on: a meta element outside of text. */
static bool find_late(Str text, Charset *ret_charset)
{
    Scan scan = { .text = text };

    for (; !has_ended(&scan); scan.at++) {
        size_t start = scan.at + 1;
        Str name;

        if (peek(&scan) != '<')
            continue;
        while (start + 1 < text.len && is_alpha(text.data[start]))
            start++;
        name = str_sub(text, scan.at + 1, start - scan.at - 1);
        if (read_tag(&scan, ret_charset))
            return true;
        if (!is_text_element(name))
            continue;
        while (!has_ended(&scan) && !(looks_at(&scan, "</") &&
                                      str_eq_nocase(str_sub(text, scan.at + 2, name.len), name)))
            scan.at++;
    }
    return false;
}

bool charset_prescan(Str bytes, Charset *ret_charset)
{
    Scan scan = { .text = str_sub(bytes, 0, PRESCAN_BYTES) };

    if (str_starts(bytes, str_from("<\0?\0x\0", 6))) {
        *ret_charset = from_id(LXB_ENCODING_UTF_16LE, CHARSET_FROM_XML);
        return true;
    }
    if (str_starts(bytes, str_from("\0<\0?\0x", 6))) {
        *ret_charset = from_id(LXB_ENCODING_UTF_16BE, CHARSET_FROM_XML);
        return true;
    }
    for (; !has_ended(&scan); scan.at++)
        if (peek(&scan) == '<' && read_tag(&scan, ret_charset))
            return true;
    return find_in_xml(scan.text, ret_charset);
}

Charset charset_detect(Str bytes, Str http_label)
{
    const lxb_char_t *begin = (const lxb_char_t *) bytes.data;
    lxb_encoding_t bom = bytes.len ? lxb_encoding_bom_sniff(begin, bytes.len) : 0;
    Charset charset;

    if (bom != LXB_ENCODING_DEFAULT) {
        charset = from_id(bom, CHARSET_FROM_BOM);
        charset.bom_len = bom == LXB_ENCODING_UTF_8 ? 3 : 2;
        return charset;
    }
    if (charset_find(http_label, &charset) || charset_prescan(bytes, &charset) ||
        find_late(str_sub(bytes, 0, LIMIT_CHARSET_BYTES), &charset))
        return charset;
    return from_id(LXB_ENCODING_WINDOWS_1252, CHARSET_FROM_FALLBACK);
}

/* ---- decoding -------------------------------------------------------------------------------- */

/* Append N code points as UTF-8. Returns how many were U+FFFD. */
static size_t add_code_points(Buf *out, const lxb_codepoint_t *points, size_t n)
{
    char *to = buf_reserve(out, 4 * n + 1);
    size_t n_replaced = 0, len = 0;

    if (!to)
        return 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t c = points[i];

        if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
            c = REPLACEMENT;
        n_replaced += c == REPLACEMENT;
        if (c < 0x80) {
            to[len++] = (char) c;
        } else if (c < 0x800) {
            to[len++] = (char) (0xC0 | c >> 6);
            to[len++] = (char) (0x80 | (c & 63));
        } else if (c < 0x10000) {
            to[len++] = (char) (0xE0 | c >> 12);
            to[len++] = (char) (0x80 | (c >> 6 & 63));
            to[len++] = (char) (0x80 | (c & 63));
        } else {
            to[len++] = (char) (0xF0 | c >> 18);
            to[len++] = (char) (0x80 | (c >> 12 & 63));
            to[len++] = (char) (0x80 | (c >> 6 & 63));
            to[len++] = (char) (0x80 | (c & 63));
        }
    }
    out->len += len;
    return n_replaced;
}

static int decode_pieces(const lxb_encoding_data_t *data, Str bytes, Buf *out, size_t *ret_replaced)
{
    AUTO(mem_free) lxb_codepoint_t *points = mem_try(PIECE_CODE_POINTS * sizeof(*points));
    lxb_encoding_decode_t decode;
    size_t n_replaced = 0;

    if (!points)
        return fail(-ENOMEM, "no memory to decode %s", (const char *) data->name);
    (void) lxb_encoding_decode_init(&decode, data, points, PIECE_CODE_POINTS);
    (void) lxb_encoding_decode_replace_set(&decode, LXB_ENCODING_REPLACEMENT_BUFFER,
                                           LXB_ENCODING_REPLACEMENT_BUFFER_LEN);
    for (size_t at = 0; at < bytes.len && !out->is_failed; at += PIECE_BYTES) {
        Str piece = str_sub(bytes, at, PIECE_BYTES);
        const lxb_char_t *begin = (const lxb_char_t *) piece.data;

        lxb_encoding_decode_buf_used_set(&decode, 0);
        decode.status = data->decode(&decode, &begin, begin + piece.len);
        ASSERT(decode.status != LXB_STATUS_SMALL_BUFFER);
        n_replaced += add_code_points(out, points, lxb_encoding_decode_buf_used(&decode));
        if (data->encoding == LXB_ENCODING_REPLACEMENT)
            break;
    }
    lxb_encoding_decode_buf_used_set(&decode, 0);
    (void) lxb_encoding_decode_finish(&decode);
    n_replaced += add_code_points(out, points, lxb_encoding_decode_buf_used(&decode));
    *ret_replaced = n_replaced;
    return buf_check(out);
}

int charset_decode_counted(Charset charset, Str bytes, Buf *out, Str *ret_text,
                           size_t *ret_replaced)
{
    lxb_encoding_t id = charset.id ? (lxb_encoding_t) charset.id : LXB_ENCODING_UTF_8;
    int r;

    ASSERT(id < LXB_ENCODING_LAST_ENTRY);
    *ret_replaced = 0;
    bytes = str_sub(bytes, charset.bom_len, bytes.len);
    if (id == LXB_ENCODING_UTF_8 && str_is_utf8(bytes)) {
        *ret_text = bytes;
        return 0;
    }
    buf_reset(out);
    r = decode_pieces(lxb_encoding_data(id), bytes, out, ret_replaced);
    if (r < 0)
        return r;
    *ret_text = buf_str(out);
    return 0;
}

int charset_decode(Charset charset, Str bytes, Buf *out, Str *ret_text)
{
    size_t n_replaced;

    return charset_decode_counted(charset, bytes, out, ret_text, &n_replaced);
}
