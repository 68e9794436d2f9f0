/*
 * Keys of rows. Would catch two different rows with one key, one row with two, and a key that is
 * taken apart wrongly.
 */
#include "rows/row_key.h"

#include "base/test.h"

#include <math.h>

static const RowValue *values(size_t *ret_n)
{
    static RowValue list[32];
    size_t n = 0;

    list[n++] = row_null();
    list[n++] = row_text(STR_C(""));
    list[n++] = row_text(STR_C("a"));
    list[n++] = row_text(STR_C("ab"));
    list[n++] = row_text(str_from("a\0b", 3));
    list[n++] = row_json(STR_C("\"a\""));
    list[n++] = row_json(STR_C("a"));
    list[n++] = row_integer(0);
    list[n++] = row_integer(1);
    list[n++] = row_integer(INT64_MIN);
    list[n++] = row_time_ns(0);
    list[n++] = row_time_ns(1);
    list[n++] = row_real(0, (Str){ 0 });
    list[n++] = row_real(1, (Str){ 0 });
    list[n++] = row_real(NAN, (Str){ 0 });
    list[n++] = row_real(-INFINITY, (Str){ 0 });
    list[n++] = row_boolean(false);
    list[n++] = row_boolean(true);
    *ret_n = n;
    return list;
}

static void make(RowKey *key, const RowValue *a, const RowValue *b)
{
    key->len = 0;
    EXPECT(row_key_add(key, a));
    EXPECT(row_key_add(key, b));
}

TEST(different_values_have_different_keys)
{
    size_t n;
    const RowValue *list = values(&n);
    RowKey one, other;

    for (size_t i = 0; i < n * n; i++) {
        make(&one, &list[i % n], &list[i / n]);
        for (size_t k = 0; k < n * n; k++) {
            make(&other, &list[k % n], &list[k / n]);
            if (str_eq(row_key_str(&one), row_key_str(&other)) != (i == k))
                test_fail(__FILE__, __LINE__, "pairs %zu and %zu", i, k);
        }
    }
}

TEST(a_key_is_taken_apart_into_what_it_was_made_of)
{
    size_t n;
    const RowValue *list = values(&n);
    RowKey key, again;
    RowValue a, b;

    for (size_t i = 0; i < n * n; i++) {
        Str bytes;

        make(&key, &list[i % n], &list[i / n]);
        bytes = row_key_str(&key);
        EXPECT(row_key_take(&bytes, &a) && row_key_take(&bytes, &b));
        EXPECT_EQ(bytes.len, 0);
        EXPECT(!row_key_take(&bytes, &a));
        bytes = row_key_str(&key);
        EXPECT(row_key_take(&bytes, &a) && row_key_take(&bytes, &b));
        make(&again, &a, &b);
        EXPECT(str_eq(row_key_str(&key), row_key_str(&again)));
    }
}

TEST(zeros_are_one_and_so_are_those_that_are_no_number)
{
    RowValue zero = row_real(0.0, (Str){ 0 }), minus = row_real(-0.0, STR_C("-0"));
    RowValue one = row_real(NAN, (Str){ 0 }), other = row_real(-NAN, (Str){ 0 });
    RowKey a, b;

    make(&a, &zero, &one);
    make(&b, &minus, &other);
    EXPECT(str_eq(row_key_str(&a), row_key_str(&b)));
}

TEST(a_key_has_its_limit)
{
    static char text[LIMIT_ROW_KEY_BYTES];
    RowValue longest = row_text(str_from(text, LIMIT_ROW_KEY_BYTES - 3));
    RowValue longer = row_text(str_from(text, LIMIT_ROW_KEY_BYTES - 2));
    RowValue number = row_integer(1), nothing = row_null();
    RowKey key = { 0 };

    EXPECT(!row_key_add(&key, &longer));
    EXPECT_EQ(key.len, 0);
    EXPECT(row_key_add(&key, &longest));
    EXPECT(!row_key_add(&key, &number));
    EXPECT(!row_key_add(&key, &nothing));
    EXPECT_EQ(key.len, LIMIT_ROW_KEY_BYTES);
}

TEST(cut_keys_are_none)
{
    size_t n;
    const RowValue *list = values(&n);

    for (size_t i = 0; i < n; i++) {
        RowKey key = { 0 };
        RowValue value;

        EXPECT(row_key_add(&key, &list[i]));
        for (size_t len = 0; len < key.len; len++) {
            Str cut = str_from(key.bytes, len);

            EXPECT(!row_key_take(&cut, &value));
            EXPECT_EQ(cut.len, len);
        }
    }
}

TEST_MAIN()
