/*
 * The JSON writer: appends to a buffer, one comma flag, one bit for each open level.
 *
 * Text is written in runs: as many bytes as need no escape go out in one copy, found eight at a
 * time. Bytes of 0x80 and above are checked to be UTF-8 on the way, for what we answer must be
 * valid JSON whatever a header or a file name contained; a bad byte becomes U+FFFD.
 *
 * Where nothing is left to write to (the buffer is full or failed) the calls go on doing nothing;
 * buf_check() tells at the end.
 */
#include "codec/json.h"

#include "base/assert.h"
#include "codec/json_int.h"
#include "codec/time_text.h"

#include <math.h>

/* ---- what stands between the items ----------------------------------------------------------- */

static bool top_is_object(const JsonWriter *writer)
{
    unsigned top = writer->depth - 1;

    return writer->is_object[top / 8] >> (top % 8) & 1;
}

static void new_line(JsonWriter *writer)
{
    static const char spaces[] = "                                ";
    size_t n = (size_t) writer->indent * writer->depth;

    buf_add_char(writer->out, '\n');
    for (; n > 0; n -= MIN(n, sizeof(spaces) - 1))
        buf_add(writer->out, spaces, MIN(n, sizeof(spaces) - 1));
}

static void begin_item(JsonWriter *writer)
{
    if (writer->needs_comma)
        buf_add_char(writer->out, ',');
    if (writer->indent > 0 && writer->depth > 0)
        new_line(writer);
}

/* Before a value: after its key in an object, after a comma in an array. */
static void begin_value(JsonWriter *writer)
{
    if (writer->has_key) {
        writer->has_key = false;
    } else {
        if (writer->depth > 0)
            ASSERT(!top_is_object(writer));
        begin_item(writer);
    }
    writer->needs_comma = true;
}

static void open_level(JsonWriter *writer, bool is_object)
{
    unsigned bit = 1u << (writer->depth % 8);
    uint8_t *byte = &writer->is_object[writer->depth / 8];

    ASSERT(writer->depth < JSON_WRITER_DEPTH_MAX);
    begin_value(writer);
    *byte = (uint8_t) (is_object ? *byte | bit : *byte & ~bit);
    writer->depth++;
    writer->needs_comma = false;
    buf_add_char(writer->out, is_object ? '{' : '[');
}

static void close_level(JsonWriter *writer, bool is_object)
{
    ASSERT(writer->depth > 0);
    ASSERT(top_is_object(writer) == is_object);
    ASSERT(!writer->has_key);
    writer->depth--;
    if (writer->indent > 0 && writer->needs_comma)
        new_line(writer);
    writer->needs_comma = true;
    buf_add_char(writer->out, is_object ? '}' : ']');
}

void json_write_object(JsonWriter *writer)
{
    open_level(writer, true);
}

void json_write_object_end(JsonWriter *writer)
{
    close_level(writer, true);
}

void json_write_array(JsonWriter *writer)
{
    open_level(writer, false);
}

void json_write_array_end(JsonWriter *writer)
{
    close_level(writer, false);
}

/* ---- text ------------------------------------------------------------------------------------ */

#define EACH_BYTE(x) (0x0101010101010101ULL * (x))

/* Whether one of the eight bytes is a control, a quote, a backslash or not ASCII. */
static bool needs_care(uint64_t eight)
{
    uint64_t quote = eight ^ EACH_BYTE('"');
    uint64_t slash = eight ^ EACH_BYTE('\\');
    uint64_t found = eight | (eight - EACH_BYTE(0x20)) | (quote - EACH_BYTE(1)) |
                     (slash - EACH_BYTE(1));

    return (found & EACH_BYTE(0x80)) != 0;
}

/* The length of the UTF-8 sequence at AT, of which the first byte is not ASCII; 0: not UTF-8. */
static size_t sequence_bytes(const unsigned char *at, size_t left)
{
    size_t n = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;

    if (at[0] < 0xc2 || at[0] > 0xf4 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return n;
}

/* Eight bytes that hold all of the N < 8 bytes at AT, some of them twice, and spaces. */
static uint64_t load_short(const char *at, size_t n)
{
    uint64_t eight = EACH_BYTE(' ');
    uint32_t low, high;

    if (n >= 4) {
        memcpy(&low, at, 4);
        memcpy(&high, at + n - 4, 4);
        return (uint64_t) high << 32 | low;
    }
    if (n > 0) {
        memcpy(&eight, at, 1);
        memcpy((char *) &eight + 1, at + n / 2, 1);
        memcpy((char *) &eight + 2, at + n - 1, 1);
    }
    return eight;
}

/* Whether nothing in S needs an escape or a closer look. */
static bool is_plain(Str s)
{
    uint64_t eight;

    if (s.len < 8)
        return !needs_care(load_short(s.data, s.len));
    for (size_t i = 0; i + 8 < s.len; i += 8) {
        memcpy(&eight, s.data + i, 8);
        if (needs_care(eight))
            return false;
    }
    memcpy(&eight, s.data + s.len - 8, 8);
    return !needs_care(eight);
}

/* How many bytes from FROM on can be copied as they are, byte by byte where it is not clear. */
static size_t plain_run(Str s, size_t from)
{
    size_t i = from;

    while (i < s.len) {
        unsigned char c = (unsigned char) s.data[i];
        size_t n = 1;

        if (c < 0x20 || c == '"' || c == '\\')
            break;
        if (c >= 0x80)
            n = sequence_bytes((const unsigned char *) s.data + i, s.len - i);
        if (n == 0)
            break;
        i += n;
        while (s.len - i >= 8) {
            uint64_t eight;

            memcpy(&eight, s.data + i, 8);
            if (needs_care(eight))
                break;
            i += 8;
        }
    }
    return i - from;
}

static void add_escaped(Buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[] = "btn.fr"; /* for 8 to 13 */
    char unicode[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
    char pair[2] = { '\\', (char) c };

    if (c >= 0x80) {
        buf_add(out, "\xef\xbf\xbd", 3);
        return;
    }
    if (c >= 8 && c <= 13 && c != 11)
        pair[1] = letters[c - 8];
    if (c == '"' || c == '\\' || pair[1] != (char) c)
        buf_add(out, pair, sizeof(pair));
    else
        buf_add(out, unicode, sizeof(unicode));
}

static void add_odd(Buf *out, Str s)
{
    buf_add_char(out, '"');
    for (size_t at = 0; at < s.len;) {
        size_t run = plain_run(s, at);

        buf_add(out, s.data + at, run);
        at += run;
        if (at < s.len)
            add_escaped(out, (unsigned char) s.data[at++]);
    }
    buf_add_char(out, '"');
}

/*
 * LEAD, which is at most one byte, then S in quotes. Most text needs no escape and most buffers
 * have room: that case is one check and one copy.
 */
static void add_quoted(Buf *out, Str lead, Str s)
{
    char *at;

    if (UNLIKELY(!is_plain(s))) {
        buf_add_str(out, lead);
        add_odd(out, s);
        return;
    }
    if (UNLIKELY(s.len + 3 > out->cap - out->len))
        at = buf_reserve(out, s.len + 2 + lead.len); /* to the byte: it may be near its limit */
    else
        at = out->data + out->len;
    if (UNLIKELY(!at))
        return;
    if (lead.len > 0)
        *at++ = lead.data[0];
    *at++ = '"';
    if (s.len > 0)
        memcpy(at, s.data, s.len);
    at += s.len;
    *at++ = '"';
    out->len = (size_t) (at - out->data);
}

/* What stands before an item, when that is no line of its own. */
static Str lead_of(JsonWriter *writer)
{
    static const Str comma = STR(","), nothing = STR("");

    if (writer->indent == 0)
        return writer->needs_comma ? comma : nothing;
    begin_item(writer);
    return nothing;
}

void json_write_key_str(JsonWriter *writer, Str name)
{
    ASSERT(writer->depth > 0 && !writer->has_key);
    ASSERT(top_is_object(writer));
    add_quoted(writer->out, lead_of(writer), name);
    buf_add_char(writer->out, ':');
    if (writer->indent > 0)
        buf_add_char(writer->out, ' ');
    writer->has_key = true;
}

void json_write_str(JsonWriter *writer, Str value)
{
    static const Str nothing = STR("");
    Str lead = nothing;

    if (writer->has_key) {
        writer->has_key = false;
    } else {
        if (writer->depth > 0)
            ASSERT(!top_is_object(writer));
        lead = lead_of(writer);
    }
    writer->needs_comma = true;
    add_quoted(writer->out, lead, value);
}

void json_write_raw(JsonWriter *writer, Str text)
{
    begin_value(writer);
    if (text.len > 0)
        buf_add_str(writer->out, text);
    else
        buf_add(writer->out, "null", 4);
}

void json_write_time_ms(JsonWriter *writer, int64_t time_ms)
{
    char text[TIME_TEXT_BYTES];

    json_write_str(writer, time_format_rfc3339(time_ms, text));
}

/* ---- numbers and words ----------------------------------------------------------------------- */

void json_write_i64(JsonWriter *writer, int64_t value)
{
    begin_value(writer);
    buf_add_i64(writer->out, value);
}

void json_write_u64(JsonWriter *writer, uint64_t value)
{
    begin_value(writer);
    buf_add_u64(writer->out, value);
}

void json_write_real(JsonWriter *writer, double value)
{
    char room[512]; /* more than yyjson asks for to write one number */
    yyjson_alc alc;
    yyjson_val val = { 0 };
    size_t len = 0;
    char *text;

    if (!isfinite(value)) {
        json_write_null(writer);
        return;
    }
    ASSERT(yyjson_alc_pool_init(&alc, room, sizeof(room)));
    unsafe_yyjson_set_real(&val, value);
    text = yyjson_val_write_opts(&val, YYJSON_WRITE_NOFLAG, &alc, &len, NULL);
    ASSERT(text && len > 0);
    begin_value(writer);
    buf_add(writer->out, text, len);
}

void json_write_bool(JsonWriter *writer, bool value)
{
    begin_value(writer);
    buf_add_c(writer->out, value ? "true" : "false");
}

void json_write_null(JsonWriter *writer)
{
    begin_value(writer);
    buf_add(writer->out, "null", 4);
}

/* ---- whole values ---------------------------------------------------------------------------- */

static void write_number(JsonWriter *writer, Json value)
{
    yyjson_val *val = json_val(value);

    if (unsafe_yyjson_is_raw(val))
        json_write_raw(writer, json_text_of(val));
    else if (unsafe_yyjson_is_uint(val))
        json_write_u64(writer, val->uni.u64);
    else if (unsafe_yyjson_is_int(val))
        json_write_i64(writer, val->uni.i64);
    else
        json_write_real(writer, val->uni.f64);
}

void json_write_value(JsonWriter *writer, Json value)
{
    switch (json_kind(value)) {
    case JSON_NONE:
    case JSON_NULL: json_write_null(writer); return;
    case JSON_BOOL: json_write_bool(writer, json_bool_or(value, false)); return;
    case JSON_NUMBER: write_number(writer, value); return;
    case JSON_STRING: json_write_str(writer, json_str_or(value, (Str){ 0 })); return;
    case JSON_ARRAY:
        json_write_array(writer);
        for (JsonIter it = json_iter(value); json_next(&it);)
            json_write_value(writer, it.value);
        json_write_array_end(writer);
        return;
    case JSON_OBJECT:
        json_write_object(writer);
        for (JsonIter it = json_iter(value); json_next(&it);) {
            json_write_key_str(writer, it.key);
            json_write_value(writer, it.value);
        }
        json_write_object_end(writer);
        return;
    }
}
