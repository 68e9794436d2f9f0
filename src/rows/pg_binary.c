/*
 * Rows for COPY in its binary format; see the header.
 *
 * This is the hot path of every row that goes into PostgreSQL. A row reserves what its numbers can
 * need at most, once; a text asks for its own room and is checked while it is copied, eight bytes
 * at a time: text that is ASCII without NUL, nearly all of it, is never looked at twice.
 */
#include "rows/pg_binary.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"
#include "codec/time_text.h"
#include "codec/uuid.h"
#include "rows/pg_copy.h"

#include <endian.h>
#include <math.h>

#define FIELD_BYTES_MAX      40 /* of one value beside its text, its length included */
#define EPOCH_SECONDS        INT64_C(946684800) /* 2000-01-01, where PostgreSQL counts from */
#define EPOCH_DAYS           10957
#define SECONDS_PER_DAY      86400
#define HIGH_BITS            UINT64_C(0x8080808080808080)
#define LOW_BITS             UINT64_C(0x0101010101010101)

#define NUMERIC_NEGATIVE     0x4000
#define NUMERIC_NAN          0xc000
#define NUMERIC_SCALE_MAX    0x3fff
#define NUMERIC_EXPONENT_MAX 10000
#define NUMERIC_BYTES_MAX    50000
#define NUMERIC_DIGITS       4 /* decimal ones in one of its own */

static const struct {
    const char *receive;
    PgType type;
} receivers[] = {
    { "int2recv", PG_INT2 },
    { "int4recv", PG_INT4 },
    { "int8recv", PG_INT8 },
    { "float4recv", PG_FLOAT4 },
    { "float8recv", PG_FLOAT8 },
    { "numeric_recv", PG_NUMERIC },
    { "textrecv", PG_TEXT },
    { "varcharrecv", PG_TEXT },
    { "bpcharrecv", PG_TEXT },
    { "namerecv", PG_TEXT },
    { "enum_recv", PG_TEXT },
    { "boolrecv", PG_BOOL },
    { "timestamptz_recv", PG_TIMESTAMPTZ },
    { "timestamp_recv", PG_TIMESTAMP },
    { "date_recv", PG_DATE },
    { "json_recv", PG_JSON },
    { "jsonb_recv", PG_JSONB },
    { "uuid_recv", PG_UUID },
    { "bytearecv", PG_BYTEA },
};

PgType pg_type_of(const char *receive)
{
    for (size_t i = 0; i < ARRAY_LEN(receivers); i++) {
        if (strcmp(receive, receivers[i].receive) == 0)
            return receivers[i].type;
    }
    return PG_OTHER;
}

/* ---- big-endian ------------------------------------------------------------------------------ */

static inline char *put16(char *at, uint16_t value)
{
    value = htobe16(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static inline char *put32(char *at, uint32_t value)
{
    value = htobe32(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static inline char *put64(char *at, uint64_t value)
{
    value = htobe64(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static inline char *put_int16(char *at, int64_t value)
{
    return put16(put32(at, 2), (uint16_t) value);
}

static inline char *put_int32(char *at, int64_t value)
{
    return put32(put32(at, 4), (uint32_t) value);
}

static inline char *put_int64(char *at, int64_t value)
{
    return put64(put32(at, 8), (uint64_t) value);
}

/* ---- where the bytes go ---------------------------------------------------------------------- */

/* A row that is being written; AT is NULL once there is no memory. */
typedef struct Pen {
    PgBinary *binary;
    char *at, *end;
    size_t rest; /* room that the row's further numbers were promised */
} Pen;

/* Room for BYTES beside what was promised. */
static COLD bool pen_grow(Pen *pen, size_t bytes)
{
    Buf *out = &pen->binary->out;
    size_t used = (size_t) (pen->at - out->data);
    char *data;

    out->len = used;
    data = buf_reserve(out, bytes + pen->rest);
    if (!data)
        return false;
    pen->at = data;
    pen->end = out->data + out->cap;
    return true;
}

static inline bool pen_has(Pen *pen, size_t bytes)
{
    return LIKELY((size_t) (pen->end - pen->at) >= bytes + pen->rest) || pen_grow(pen, bytes);
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* Copy LEN bytes if all of them are ASCII and none is NUL. */
static inline bool copy_plain(char *to, const char *from, size_t len)
{
    uint64_t word, bad = 0;
    size_t i = 0;

    if (len < sizeof(word)) {
        bool is_bad = false;

        for (; i < len; i++) {
            to[i] = from[i];
            is_bad |= (signed char) from[i] <= 0;
        }
        return !is_bad;
    }
    for (; i + sizeof(word) <= len; i += sizeof(word)) {
        memcpy(&word, from + i, sizeof(word));
        memcpy(to + i, &word, sizeof(word));
        bad |= word | (word - LOW_BITS);
    }
    memcpy(&word, from + len - sizeof(word), sizeof(word));
    memcpy(to + len - sizeof(word), &word, sizeof(word));
    bad |= word | (word - LOW_BITS);
    return (bad & HIGH_BITS) == 0;
}

/* A text that is not plain: UTF-8 goes as it is, NUL and what is no UTF-8 as U+FFFD. */
static COLD bool put_repaired(Pen *pen, Str text, size_t version)
{
    static const char replacement[] = "\xef\xbf\xbd";
    AUTO(buf_deinit) Buf good = { 0 };

    for (Str rest = text; rest.len > 0;) {
        size_t len = str_utf8_len(rest);

        if (len == 0 || rest.data[0] == '\0')
            buf_add(&good, replacement, sizeof(replacement) - 1);
        else
            buf_add(&good, rest.data, len);
        rest = str_sub(rest, MAX(len, (size_t) 1), rest.len);
    }
    if (good.is_failed || !pen_has(pen, good.len))
        return false;
    memcpy(pen->at + 4 + version, good.data, good.len);
    (void) put32(pen->at, (uint32_t) (good.len + version));
    pen->at += 4 + version + good.len;
    return true;
}

/* A text, with VERSION (0 or 1) bytes before it that say 1. */
static inline int put_text(Pen *pen, Str text, size_t version)
{
    char *at;

    if (!pen_has(pen, text.len))
        return -ENOMEM;
    at = pen->at + 4;
    if (version > 0)
        *at++ = 1;
    if (UNLIKELY(!copy_plain(at, text.data, text.len)) &&
        (!str_is_utf8(text) || memchr(text.data, '\0', text.len)))
        return put_repaired(pen, text, version) ? 0 : -ENOMEM;
    (void) put32(pen->at, (uint32_t) (text.len + version));
    pen->at = at + text.len;
    return 0;
}

/* VALUE in words. */
static int put_words(Pen *pen, const RowValue *value, size_t version)
{
    Buf *scratch = &pen->binary->scratch;

    buf_reset(scratch);
    if (value->kind == ROW_JSON)
        pg_copy_mend_json(scratch, value->text);
    else
        row_value_format(scratch, value);
    return scratch->is_failed ? -ENOMEM : put_text(pen, buf_str(scratch), version);
}

/* ---- numeric --------------------------------------------------------------------------------- */

/* The parts of a decimal number. */
typedef struct Decimal {
    Str digits;    /* those before the point and behind it, the point among them, maybe */
    size_t point;  /* where it is in digits; digits.len when it is not */
    int64_t shift; /* the exponent as written */
    bool is_negative;
} Decimal;

static size_t count_digits(Str text)
{
    size_t n = 0;

    while (n < text.len && text.data[n] >= '0' && text.data[n] <= '9')
        n++;
    return n;
}

static bool cut_decimal(Str text, Decimal *ret)
{
    size_t whole, part = 0, used;

    *ret = (Decimal){ .is_negative = text.len > 0 && text.data[0] == '-' };
    if (text.len > 0 && (text.data[0] == '-' || text.data[0] == '+'))
        text = str_sub(text, 1, text.len);
    whole = used = count_digits(text);
    if (used < text.len && text.data[used] == '.') {
        part = count_digits(str_sub(text, used + 1, text.len));
        used += 1 + part;
    }
    if (whole + part == 0)
        return false;
    ret->digits = str_sub(text, 0, used);
    ret->point = whole;
    if (used == text.len)
        return true;
    if (text.data[used] != 'e' && text.data[used] != 'E')
        return false;
    text = str_sub(text, used + 1, text.len);
    if (text.len > 0 && text.data[0] == '+') {
        text = str_sub(text, 1, text.len);
        if (count_digits(text) == 0)
            return false;
    }
    return count_digits(str_sub(text, text.len > 0 && text.data[0] == '-', text.len)) > 0 &&
           str_to_i64(text, -NUMERIC_EXPONENT_MAX, NUMERIC_EXPONENT_MAX, &ret->shift) == 0;
}

/* Digit I of those before and behind the point, counted as if that were not there. */
static inline unsigned digit_at(const Decimal *decimal, size_t i)
{
    return (unsigned) (decimal->digits.data[i + (i >= decimal->point)] - '0');
}

/*
 * Four decimal digits make one of numeric's, counted from the point both ways: 1234567.891 is
 * 123 4567 8910. Its weight is the place of the first one, 0 for what stands just before the point.
 */
static size_t add_groups(char *out, const Decimal *decimal, size_t first, size_t n, size_t in_group)
{
    size_t groups = 0, good = 0;
    unsigned group = 0;

    for (size_t i = first; i < n; i++) {
        group = 10 * group + digit_at(decimal, i);
        if (++in_group < NUMERIC_DIGITS && i + 1 < n)
            continue;
        for (; in_group < NUMERIC_DIGITS; in_group++)
            group *= 10;
        (void) put16(out + 2 * groups++, (uint16_t) group);
        if (group > 0)
            good = groups;
        group = 0;
        in_group = 0;
    }
    return good;
}

int pg_binary_numeric(char *out, Str digits, size_t *ret_bytes)
{
    Decimal decimal;
    size_t n, first = 0, groups;
    int64_t before, scale, weight;

    if (digits.len > NUMERIC_BYTES_MAX || !cut_decimal(digits, &decimal))
        return PG_BINARY_ODD;
    n = decimal.digits.len - (decimal.point < decimal.digits.len);
    scale = MAX((int64_t) (n - decimal.point) - decimal.shift, (int64_t) 0);
    if (scale > NUMERIC_SCALE_MAX)
        return PG_BINARY_ODD;
    while (first < n && digit_at(&decimal, first) == 0)
        first++;
    before = (int64_t) decimal.point + decimal.shift - (int64_t) first; /* digits, from FIRST on */
    weight = (before > 0 ? before + NUMERIC_DIGITS - 1 : before) / NUMERIC_DIGITS - 1;
    groups = add_groups(out + 12, &decimal, first, n,
                        (size_t) ((weight + 1) * NUMERIC_DIGITS - before));
    if (groups == 0)
        weight = 0;
    out = put32(out, (uint32_t) (8 + 2 * groups));
    out = put16(put16(out, (uint16_t) groups), (uint16_t) weight);
    out = put16(out, decimal.is_negative && groups > 0 ? NUMERIC_NEGATIVE : 0);
    (void) put16(out, (uint16_t) scale);
    *ret_bytes = 12 + 2 * groups;
    return 0;
}

static int put_numeric(Pen *pen, Str digits)
{
    size_t bytes;

    if (!pen_has(pen, digits.len))
        return -ENOMEM;
    if (pg_binary_numeric(pen->at, digits, &bytes) != 0)
        return PG_BINARY_ODD;
    pen->at += bytes;
    return 0;
}

/* ---- one value of each type ------------------------------------------------------------------ */

static int add_integer(Pen *pen, PgType type, const RowValue *value)
{
    int64_t number;

    if (LIKELY(value->kind == ROW_INT)) {
        number = value->integer;
    } else if (value->kind == ROW_REAL && value->text.len == 0 && fabs(value->real) < 0x1p53 &&
               value->real == (double) (int64_t) value->real) {
        number = (int64_t) value->real; /* is written without a fraction */
    } else if (value->kind != ROW_TEXT || str_to_i64(value->text, INT64_MIN, INT64_MAX, &number)) {
        return PG_BINARY_ODD;
    }
    if (type == PG_INT8)
        pen->at = put_int64(pen->at, number);
    else if (type == PG_INT4 && number == (int32_t) number)
        pen->at = put_int32(pen->at, number);
    else if (type == PG_INT2 && number == (int16_t) number)
        pen->at = put_int16(pen->at, number);
    else
        return PG_BINARY_ODD;
    return 0;
}

static int add_real(Pen *pen, PgType type, const RowValue *value)
{
    double real = value->real;
    uint64_t wide;
    uint32_t narrow;
    float low;

    if (value->kind == ROW_INT)
        real = (double) value->integer;
    else if (UNLIKELY(value->kind != ROW_REAL || (isinf(real) && value->text.len > 0)))
        return PG_BINARY_ODD;
    if (type == PG_FLOAT8) {
        memcpy(&wide, &real, sizeof(wide));
        pen->at = put_int64(pen->at, (int64_t) wide);
        return 0;
    }
    low = (float) real;
    if ((isinf(low) && !isinf(real)) || (low == 0 && real != 0))
        return PG_BINARY_ODD;
    memcpy(&narrow, &low, sizeof(narrow));
    pen->at = put_int32(pen->at, narrow);
    return 0;
}

static int add_numeric(Pen *pen, const RowValue *value)
{
    Buf *scratch = &pen->binary->scratch;

    if (value->kind == ROW_TEXT || (value->kind == ROW_REAL && value->text.len > 0))
        return put_numeric(pen, value->text);
    if (value->kind == ROW_REAL && isnan(value->real)) {
        pen->at = put16(put16(put32(put32(pen->at, 8), 0), NUMERIC_NAN), 0);
        return 0;
    }
    if (value->kind != ROW_INT && (value->kind != ROW_REAL || isinf(value->real)))
        return PG_BINARY_ODD;
    buf_reset(scratch);
    row_value_format(scratch, value);
    return scratch->is_failed ? -ENOMEM : put_numeric(pen, buf_str(scratch));
}

static int add_boolean(Pen *pen, const RowValue *value)
{
    bool is_number = value->kind == ROW_INT && (value->integer == 0 || value->integer == 1);

    if (value->kind != ROW_BOOL && !is_number)
        return PG_BINARY_ODD;
    pen->at = put32(pen->at, 1);
    *pen->at++ = value->kind == ROW_BOOL ? value->boolean : (char) value->integer;
    return 0;
}

/* Nanoseconds as microseconds, the nearest one, the even one of two. */
static inline int64_t micros_of(int64_t time_ns)
{
    int64_t micros = time_ns / NS_PER_US, rest = time_ns % NS_PER_US;

    if (rest < 0) {
        rest += NS_PER_US;
        micros--;
    }
    return micros + (rest > NS_PER_US / 2 || (rest == NS_PER_US / 2 && (micros & 1)));
}

static int add_time(Pen *pen, PgType type, const RowValue *value)
{
    int64_t micros, time_ms, days;

    if (LIKELY(value->kind == ROW_TIME))
        micros = micros_of(value->time_ns);
    else if (value->kind == ROW_TEXT && type == PG_TIMESTAMPTZ && value->text.len <= 24 &&
             time_parse_rfc3339(value->text, &time_ms) == 0)
        micros = time_ms * (NS_PER_MS / NS_PER_US);
    else
        return PG_BINARY_ODD;
    if (type == PG_DATE) {
        /* The day that the text of the time names, which is not rounded up into the next one. */
        days = value->time_ns / (SECONDS_PER_DAY * NS_PER_S);
        days -= value->time_ns % (SECONDS_PER_DAY * NS_PER_S) < 0;
        pen->at = put_int32(pen->at, days - EPOCH_DAYS);
        return 0;
    }
    pen->at = put_int64(pen->at, micros - EPOCH_SECONDS * (NS_PER_S / NS_PER_US));
    return 0;
}

static int add_json(Pen *pen, PgType type, const RowValue *value)
{
    static const RowValue nothing = { .kind = ROW_JSON, .text = STR("null") };
    Buf *scratch = &pen->binary->scratch;
    size_t version = type == PG_JSONB;

    if (value->kind == ROW_JSON && str_find(value->text, '\\') < 0)
        return put_text(pen, value->text.len > 0 ? value->text : nothing.text, version);
    if (value->kind == ROW_JSON)
        return put_words(pen, value, version);
    if (value->kind == ROW_TEXT) /* has JSON in it, or is refused */
        return put_text(pen, value->text, version);
    buf_reset(scratch);
    row_value_format_json(scratch, value);
    return scratch->is_failed ? -ENOMEM : put_text(pen, buf_str(scratch), version);
}

static int add_uuid(Pen *pen, const RowValue *value)
{
    Uuid uuid;

    if (value->kind != ROW_TEXT || uuid_parse(value->text, &uuid) < 0)
        return PG_BINARY_ODD;
    memcpy(put32(pen->at, UUID_BYTES), uuid.bytes, UUID_BYTES);
    pen->at += 4 + UUID_BYTES;
    return 0;
}

/* Bytes as they are; a backslash is for the server to make sense of. */
static int add_bytes(Pen *pen, const RowValue *value)
{
    if (value->kind != ROW_TEXT || str_find(value->text, '\\') >= 0)
        return PG_BINARY_ODD;
    if (!pen_has(pen, value->text.len))
        return -ENOMEM;
    (void) put32(pen->at, (uint32_t) value->text.len);
    if (value->text.len > 0)
        memcpy(pen->at + 4, value->text.data, value->text.len);
    pen->at += 4 + value->text.len;
    return 0;
}

static inline int add_value(Pen *pen, PgType type, const RowValue *value)
{
    if (value->kind == ROW_ANY) {
        pen->at = put32(pen->at, UINT32_MAX);
        return 0;
    }
    switch (type) {
    case PG_INT2:
    case PG_INT4:
    case PG_INT8: return add_integer(pen, type, value);
    case PG_FLOAT4:
    case PG_FLOAT8: return add_real(pen, type, value);
    case PG_NUMERIC: return add_numeric(pen, value);
    case PG_TEXT:
        return LIKELY(value->kind == ROW_TEXT) ? put_text(pen, value->text, 0)
                                               : put_words(pen, value, 0);
    case PG_BOOL: return add_boolean(pen, value);
    case PG_TIMESTAMPTZ:
    case PG_TIMESTAMP:
    case PG_DATE: return add_time(pen, type, value);
    case PG_JSON:
    case PG_JSONB: return add_json(pen, type, value);
    case PG_UUID: return add_uuid(pen, value);
    case PG_BYTEA: return add_bytes(pen, value);
    case PG_OTHER: break;
    }
    UNREACHABLE("a column that is only text does not come here");
}

/* ---- rows ------------------------------------------------------------------------------------ */

void pg_binary_begin(PgBinary *binary)
{
    static const char head[19] = "PGCOPY\n\377\r\n";

    buf_add(&binary->out, head, sizeof(head));
}

void pg_binary_end(PgBinary *binary)
{
    buf_add(&binary->out, "\xff\xff", 2);
}

int pg_binary_add(PgBinary *binary, const RowValue *row, uint64_t number)
{
    Buf *out = &binary->out;
    size_t fields = binary->n_columns + binary->has_number, from = out->len;
    Pen pen = { .binary = binary, .rest = 2 + (fields + 1) * FIELD_BYTES_MAX };
    int r = 0;

    pen.at = buf_reserve(out, pen.rest);
    if (!pen.at)
        return buf_check(out);
    pen.end = out->data + out->cap;
    pen.at = put16(pen.at, (uint16_t) fields);
    for (size_t c = 0; c < binary->n_columns && r == 0; c++)
        r = add_value(&pen, binary->types[c], &row[c]);
    if (binary->has_number && r == 0)
        pen.at = put_int64(pen.at, (int64_t) number);
    out->len = r == 0 ? (size_t) (pen.at - out->data) : from;
    if (UNLIKELY(r < 0))
        return out->is_failed ? buf_check(out) : fail(-ENOMEM, "no memory for a row");
    return r;
}

void pg_binary_deinit(PgBinary *binary)
{
    buf_deinit(&binary->out);
    buf_deinit(&binary->scratch);
}
