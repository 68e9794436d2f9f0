/*
 * Fuzz: values for COPY's binary format. Each field has the length that it says, and a decimal
 * number that was taken is the same number in numeric's digits to the base of 10 000.
 */
#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"
#include "rows/pg_binary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define DIGITS_MAX 4000

static unsigned get16(const char *at)
{
    return (unsigned) (uint8_t) at[0] << 8 | (uint8_t) at[1];
}

/* A number as its digits without zeros around them, and the place of the point from the first. */
typedef struct Plain {
    char digits[DIGITS_MAX];
    size_t n;
    int64_t point;
} Plain;

static void add_digit(Plain *plain, unsigned digit)
{
    if (plain->n == 0 && digit == 0)
        plain->point--;
    else
        plain->digits[plain->n++] = (char) digit;
}

static void trim(Plain *plain)
{
    while (plain->n > 0 && plain->digits[plain->n - 1] == 0)
        plain->n--;
    if (plain->n == 0)
        plain->point = 0;
}

/* By hand from the text, which is known to be a number. */
static void read_text(Str text, Plain *plain)
{
    bool is_behind = false;
    size_t i = 0;

    for (; i < text.len && text.data[i] != 'e' && text.data[i] != 'E'; i++) {
        char c = text.data[i];

        is_behind |= c == '.';
        if (c < '0' || c > '9')
            continue;
        plain->point += !is_behind;
        add_digit(plain, (unsigned) (c - '0'));
    }
    if (i < text.len) {
        bool is_negative = text.data[i + 1] == '-';
        int64_t exponent = 0;

        for (i++; i < text.len; i++) {
            if (text.data[i] >= '0' && text.data[i] <= '9')
                exponent = 10 * exponent + (text.data[i] - '0');
        }
        plain->point += is_negative ? -exponent : exponent;
    }
    trim(plain);
}

static void read_numeric(const char *field, Plain *plain)
{
    size_t groups = get16(field);

    plain->point = 4 * ((int64_t) (int16_t) get16(field + 2) + 1);
    for (size_t g = 0; g < groups; g++) {
        unsigned group = get16(field + 8 + 2 * g);

        ASSERT(group < 10000);
        if (g == 0 || g + 1 == groups)
            ASSERT(group > 0);
        for (unsigned unit = 1000; unit > 0; unit /= 10)
            add_digit(plain, group / unit % 10);
    }
    trim(plain);
}

static void check_numeric(Str text)
{
    static Plain want, got;
    static char out[DIGITS_MAX + 36];
    size_t bytes;

    if (text.len > DIGITS_MAX - 8 || pg_binary_numeric(out, text, &bytes) != 0)
        return;
    ASSERT(bytes >= 12 && bytes <= text.len + 36 && bytes == 12 + 2 * get16(out + 4));
    ASSERT((get16(out) << 16 | get16(out + 2)) + 4 == bytes);
    want = got = (Plain){ 0 };
    read_text(text, &want);
    read_numeric(out + 4, &got);
    ASSERT(want.n == got.n && want.point == got.point);
    ASSERT(memcmp(want.digits, got.digits, want.n) == 0);
    if (want.n > 0)
        ASSERT((get16(out + 8) == 0x4000) == (text.data[0] == '-'));
}

/* A row of each kind of value in a column of each type. */
static void check_types(Str text, int64_t number)
{
    const RowValue values[] = { row_text(text), row_json(text), row_integer(number),
                                row_real((double) number, text), row_time_ns(number) };

    for (PgType type = PG_INT2; type <= PG_BYTEA; type++) {
        for (size_t v = 0; v < ARRAY_LEN(values); v++) {
            AUTO(pg_binary_deinit) PgBinary binary = { .types = &type, .n_columns = 1 };
            int r = pg_binary_add(&binary, &values[v], 0);

            if (r == 0)
                ASSERT(binary.out.len - 6 ==
                       ((size_t) get16(binary.out.data + 2) << 16 | get16(binary.out.data + 4)));
            else
                ASSERT(r == PG_BINARY_ODD && binary.out.len == 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    int64_t number = 0;

    check_numeric(str_from((const char *) data, len));
    if (len < sizeof(number))
        return 0;
    memcpy(&number, data, sizeof(number));
    check_types(str_from((const char *) data + sizeof(number), len - sizeof(number)), number);
    return 0;
}
