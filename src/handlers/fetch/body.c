/*
 * Bodies: bytes that came become JSON, whatever their Content-Type claims.
 *
 * Taken as they are: UTF-8 with and without its mark, UTF-16 in both orders, ISO 8859-1 where the
 * header says so. Mended, and noted as a warning, is what many programs write and JSON forbids:
 * NaN and Infinity (null), lone surrogates and bytes that are not UTF-8 (U+FFFD). Everything else
 * is refused with the place and the first bytes of what came, because half a number in a table is
 * worse than none: text behind the end, comments, single quotes, a page of HTML.
 */
#include "base/limits.h"
#include "base/macro.h"
#include "codec/http_text.h"
#include "handlers/fetch/fetch_int.h"

/* ---- encodings ------------------------------------------------------------------------------- */

static void add_utf8(Buf *out, uint32_t c)
{
    char bytes[4];

    if (c < 0x80) {
        buf_add_char(out, (char) c);
    } else if (c < 0x800) {
        bytes[0] = (char) (0xc0 | c >> 6);
        bytes[1] = (char) (0x80 | (c & 0x3f));
        buf_add(out, bytes, 2);
    } else if (c < 0x10000) {
        bytes[0] = (char) (0xe0 | c >> 12);
        bytes[1] = (char) (0x80 | (c >> 6 & 0x3f));
        bytes[2] = (char) (0x80 | (c & 0x3f));
        buf_add(out, bytes, 3);
    } else {
        bytes[0] = (char) (0xf0 | c >> 18);
        bytes[1] = (char) (0x80 | (c >> 12 & 0x3f));
        bytes[2] = (char) (0x80 | (c >> 6 & 0x3f));
        bytes[3] = (char) (0x80 | (c & 0x3f));
        buf_add(out, bytes, 4);
    }
}

static uint32_t unit_at(Str text, size_t at, bool is_big)
{
    uint32_t first = (unsigned char) text.data[at], second = (unsigned char) text.data[at + 1];

    return is_big ? first << 8 | second : second << 8 | first;
}

static void decode_utf16(Str text, bool is_big, Buf *out)
{
    for (size_t i = 0; i + 1 < text.len; i += 2) {
        uint32_t c = unit_at(text, i, is_big), low;

        if (c >= 0xd800 && c < 0xdc00 && i + 3 < text.len) {
            low = unit_at(text, i + 2, is_big);
            if (low >= 0xdc00 && low < 0xe000) {
                add_utf8(out, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
                i += 2;
                continue;
            }
        }
        add_utf8(out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    }
}

typedef enum BodyCharset { BODY_UTF8, BODY_UTF16_LE, BODY_UTF16_BE, BODY_LATIN1 } BodyCharset;

/* By its mark, by the zeros that ASCII has in UTF-16, by what the header says. */
static BodyCharset find_charset(Str type, Str *body)
{
    const unsigned char *bytes = (const unsigned char *) body->data;
    Str label;

    if (body->len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        *body = str_sub(*body, 3, body->len);
        return BODY_UTF8;
    }
    if (body->len >= 2 &&
        (memcmp(bytes, "\xff\xfe", 2) == 0 || memcmp(bytes, "\xfe\xff", 2) == 0)) {
        *body = str_sub(*body, 2, body->len);
        return bytes[0] == 0xff ? BODY_UTF16_LE : BODY_UTF16_BE;
    }
    if (body->len >= 4 && bytes[0] != 0 && bytes[1] == 0 && bytes[3] == 0)
        return BODY_UTF16_LE;
    if (body->len >= 4 && bytes[0] == 0 && bytes[1] != 0 && bytes[2] == 0)
        return BODY_UTF16_BE;
    if (http_media_param(type, "charset", &label) && !str_is_utf8(*body) &&
        (str_eq_nocase(label, (Str) STR("iso-8859-1")) ||
         str_eq_nocase(label, (Str) STR("latin1")) ||
         str_eq_nocase(label, (Str) STR("windows-1252"))))
        return BODY_LATIN1;
    return BODY_UTF8;
}

/* BODY as UTF-8: itself, or in OUT. */
static Str to_utf8(Str type, Str body, Buf *out)
{
    BodyCharset charset = find_charset(type, &body);

    if (charset == BODY_UTF8)
        return body;
    if (charset == BODY_LATIN1)
        for (size_t i = 0; i < body.len; i++)
            add_utf8(out, (unsigned char) body.data[i]);
    else
        decode_utf16(body, charset == BODY_UTF16_BE, out);
    return buf_str(out);
}

/* ---- mending --------------------------------------------------------------------------------- */

typedef struct Mending {
    Buf *out;
    size_t n_words;      /* NaN and Infinity */
    size_t n_characters; /* surrogates, bytes */
} Mending;

static bool read_unit(Str text, size_t at, uint32_t *ret_unit)
{
    *ret_unit = 0;
    if (at + 6 > text.len || text.data[at] != '\\' || text.data[at + 1] != 'u')
        return false;
    for (size_t i = at + 2; i < at + 6; i++) {
        char c = text.data[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t) (c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t) (c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t) (c - 'A' + 10)
                                                : 16;

        if (digit == 16)
            return false;
        *ret_unit = *ret_unit << 4 | digit;
    }
    return true;
}

/* The escape at AT, mended; the bytes it took. */
static size_t mend_escape(Mending *mending, Str text, size_t at)
{
    uint32_t unit, low;
    size_t len = 2;

    if (read_unit(text, at, &unit)) {
        len = 6;
        if (unit >= 0xd800 && unit < 0xdc00 && read_unit(text, at + 6, &low) && low >= 0xdc00 &&
            low < 0xe000) {
            len = 12;
        } else if (unit >= 0xd800 && unit < 0xe000) {
            buf_add_c(mending->out, "\\ufffd");
            mending->n_characters++;
            return len;
        }
    }
    buf_add_str(mending->out, str_sub(text, at, len));
    return len;
}

/* The string whose quote is at AT, mended; the bytes it took. */
static size_t mend_string(Mending *mending, Str text, size_t at)
{
    size_t from = at++;

    buf_add_char(mending->out, '"');
    while (at < text.len) {
        Str rest = str_sub(text, at, text.len);
        size_t len = str_utf8_len(rest);

        if (rest.data[0] == '\\') {
            at += MIN(mend_escape(mending, text, at), text.len - at);
            continue;
        }
        if (len == 0) {
            buf_add_c(mending->out, "\xef\xbf\xbd");
            mending->n_characters++;
            at++;
            continue;
        }
        buf_add_str(mending->out, str_sub(rest, 0, len));
        at += len;
        if (rest.data[0] == '"')
            break;
    }
    return at - from;
}

/* The bytes of NaN, Infinity or -Infinity at the beginning of REST; 0: it is none. */
static size_t odd_number(Str rest)
{
    static const char *const words[] = { "NaN", "Infinity", "-Infinity", "-NaN" };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        Str word = str_from_c(words[i]);
        Str behind = str_sub(rest, word.len, 1);

        if (str_starts(rest, word) && (behind.len == 0 || strchr(",]} \t\r\n", behind.data[0])))
            return word.len;
    }
    return 0;
}

static void mend(Mending *mending, Str text)
{
    size_t at = 0;

    while (at < text.len) {
        size_t len;

        if (text.data[at] == '"') {
            at += mend_string(mending, text, at);
            continue;
        }
        len = odd_number(str_sub(text, at, 10));
        if (len > 0) {
            buf_add_c(mending->out, "null");
            mending->n_words++;
        } else {
            buf_add_char(mending->out, text.data[at]);
            len = 1;
        }
        at += len;
    }
}

/* ---- parsing --------------------------------------------------------------------------------- */

static int fail_json(FetchSource *source, FetchPage *page, int r)
{
    Str shown = str_sub(page->body, 0, LIMIT_FETCH_EXCERPT_BYTES);
    Str type = fetch_scrub(&page->arena, source, str_sub(page->type, 0, 60));
    Str words = arena_copy(&page->arena, str_from_c(err_text(r)));

    if (strcmp(err_name(r), "TOO_LARGE") == 0) {
        (void) fetch_mark(source, FETCH_FAILURE_TOO_LARGE);
        return r;
    }
    shown = str_trim(fetch_scrub(&page->arena, source, shown));
    return fetch_fail(source, FETCH_FAILURE_NOT_JSON, "%d, %.*s: \"%.*s\"%s: %.*s", page->status,
                      (int) (type.len > 0 ? type.len : 15),
                      type.len > 0 ? type.data : "no Content-Type", (int) shown.len, shown.data,
                      page->body.len > LIMIT_FETCH_EXCERPT_BYTES ? "…" : "", (int) words.len,
                      words.data);
}

static Str keep(Arena *arena, Str text)
{
    char *copy = arena_try(arena, text.len + 1);

    if (!copy)
        return (Str){ 0 };
    memcpy(copy, text.data, text.len);
    return str_from(copy, text.len);
}

/* Parse TEXT as it is; if that fails, mended. */
static int parse(FetchSource *source, FetchPage *page, Str text)
{
    static const JsonParseOpts opts = { .max_bytes = 2 * (size_t) LIMIT_FETCH_BODY_BYTES };
    AUTO(buf_deinit) Buf mended = { 0 };
    Mending mending = { .out = &mended };
    int r = json_parse_opts(&page->arena, text, &opts, &page->doc);

    if (r == 0 || strcmp(err_name(r), "INVALID") != 0)
        return r;
    mend(&mending, text);
    if (mending.n_words + mending.n_characters == 0 || mended.is_failed)
        return r;
    text = keep(&page->arena, buf_str(&mended));
    if (!text.data || json_parse_opts(&page->arena, text, &opts, &page->doc) < 0)
        return json_parse_opts(&page->arena, page->body, &opts, &page->doc); /* the first words */
    if (mending.n_words > 0)
        fetch_note(source,
                   "NaN or Infinity, which JSON does not have, is taken as null (%zu times)",
                   mending.n_words);
    if (mending.n_characters > 0)
        fetch_note(source, "what is not Unicode is replaced by U+FFFD (%zu times)",
                   mending.n_characters);
    return 0;
}

int fetch_read_body(FetchSource *source, FetchPage *page)
{
    AUTO(buf_deinit) Buf decoded = { 0 };
    Str text = to_utf8(page->type, page->body, &decoded);
    int r;

    if (str_trim(text).len == 0)
        return fetch_fail(source, FETCH_FAILURE_NOT_JSON, "answered %d %s without a body",
                          page->status, http_reason(page->status));
    if (text.data != page->body.data && decoded.len > 0) {
        text = keep(&page->arena, text);
        if (!text.data)
            return fetch_fail(source, FETCH_FAILURE_TOO_LARGE, "the answer is too large");
    }
    r = parse(source, page, text);
    return r < 0 ? fail_json(source, page, r) : 0;
}
