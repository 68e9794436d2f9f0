/*
 * JSON written: commas and escapes where they belong, numbers that read back to themselves, bytes
 * that are not UTF-8 never let through, and misuse caught.
 */
#include "codec/json.h"

#include "base/rand.h"
#include "base/test.h"

#include <math.h>

TEST(writes_objects_and_arrays)
{
    AUTO(buf_deinit) Buf out = { 0 };
    JsonWriter writer = JSON_WRITER(&out);

    json_write_object(&writer);
    json_write_member_str(&writer, "s", STR_C("x"));
    json_write_key(&writer, "a");
    json_write_array(&writer);
    json_write_i64(&writer, -1);
    json_write_u64(&writer, UINT64_MAX);
    json_write_array(&writer);
    json_write_array_end(&writer);
    json_write_object(&writer);
    json_write_object_end(&writer);
    json_write_array_end(&writer);
    json_write_member_bool(&writer, "t", true);
    json_write_member_raw(&writer, "raw", STR_C("[ 1.0 ]"));
    json_write_member_raw(&writer, "none", (Str){ 0 });
    json_write_member_c(&writer, "c", "y");
    json_write_member_time_ms(&writer, "at", 1795230900250);
    json_write_member_i64(&writer, "i", INT64_MIN);
    json_write_object_end(&writer);
    EXPECT_OK(buf_check(&out));
    EXPECT_STR(buf_str(&out),
               STR_C("{\"s\":\"x\",\"a\":[-1,18446744073709551615,[],{}],\"t\":true,"
                     "\"raw\":[ 1.0 ],\"none\":null,\"c\":\"y\","
                     "\"at\":\"2026-11-21T03:15:00.250Z\",\"i\":-9223372036854775808}"));
}

TEST(writes_for_people)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    JsonWriter writer = JSON_WRITER(&out, .indent = 2);
    JsonDoc doc;

    EXPECT_OK(json_parse(&arena, STR_C("{\"a\":[1,{\"b\":[]},{}],\"c\":\"d\"}"), &doc));
    json_write_value(&writer, doc.root);
    EXPECT_STR(buf_str(&out),
               STR_C("{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    },\n    {}\n"
                     "  ],\n  \"c\": \"d\"\n}"));
}

static void expect_text(Str text, const char *want, int line)
{
    AUTO(buf_deinit) Buf out = { 0 };
    JsonWriter writer = JSON_WRITER(&out);

    json_write_str(&writer, text);
    if (!str_eq_c(buf_str(&out), want))
        test_fail(__FILE__, line, "got %.*s, want %s", (int) out.len, out.data, want);
}

TEST(escapes_text)
{
    expect_text(STR_C(""), "\"\"", __LINE__);
    expect_text(STR_C("plain text that is longer than eight bytes"),
                "\"plain text that is longer than eight bytes\"", __LINE__);
    expect_text(STR_C("1234567\"9"), "\"1234567\\\"9\"", __LINE__);
    expect_text(STR_C("12345678\\"), "\"12345678\\\\\"", __LINE__);
    expect_text(STR_C("\b\t\n\v\f\r\x1f\x7f"), "\"\\b\\t\\n\\u000b\\f\\r\\u001f\x7f\"", __LINE__);
    expect_text(STR_C("a\0b"), "\"a\\u0000b\"", __LINE__);
    expect_text(STR_C("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
                "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", __LINE__);
    /* lone bytes, overlong forms, surrogates, too large, cut short */
    expect_text(STR_C("a\xff"), "\"a\xef\xbf\xbd\"", __LINE__);
    expect_text(STR_C("\xc0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\"", __LINE__);
    expect_text(STR_C("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", __LINE__);
    expect_text(STR_C("\xf4\x90\x80\x80z"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"",
                __LINE__);
    expect_text(STR_C("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\"", __LINE__);
}

/* Whatever the bytes: the result is JSON, and bytes that were UTF-8 come back as they were. */
TEST(random_text_comes_back)
{
    Rand rand;

    rand_init(&rand, 3);
    for (int i = 0; i < 3000; i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf out = { 0 };
        JsonWriter writer = JSON_WRITER(&out);
        char text[32];
        size_t len = rand_below(&rand, sizeof(text));
        JsonDoc doc = { 0 };
        Str back = { 0 };

        rand_bytes(&rand, text, len);
        for (size_t k = 0; k < len; k++)
            if (rand_below(&rand, 4))
                text[k] = (char) (text[k] & 0x7f);
        json_write_str(&writer, str_from(text, len));
        EXPECT_OK(json_parse(&arena, buf_str(&out), &doc));
        EXPECT(json_get_str(doc.root, &back));
        if (str_is_utf8(str_from(text, len)))
            EXPECT_STR(back, str_from(text, len));
    }
}

TEST(random_reals_come_back)
{
    Rand rand;

    rand_init(&rand, 5);
    for (int i = 0; i < 3000; i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf out = { 0 };
        JsonWriter writer = JSON_WRITER(&out);
        uint64_t bits = rand_u64(&rand);
        double real, back = 0;
        JsonDoc doc = { 0 };

        memcpy(&real, &bits, sizeof(real));
        if (!isfinite(real))
            continue;
        json_write_real(&writer, real);
        EXPECT_OK(json_parse(&arena, buf_str(&out), &doc));
        EXPECT(json_get_real(doc.root, &back));
        EXPECT(back == real);
    }
}

TEST(reals_in_few_digits)
{
    static const struct {
        double real;
        const char *text;
    } cases[] = {
        { 0.1, "0.1" },  { 1, "1.0" },         { -2.5, "-2.5" },      { 1e300, "1e300" },
        { NAN, "null" }, { INFINITY, "null" }, { -INFINITY, "null" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(buf_deinit) Buf out = { 0 };
        JsonWriter writer = JSON_WRITER(&out);

        json_write_array(&writer);
        json_write_real(&writer, cases[i].real);
        json_write_real(&writer, cases[i].real);
        json_write_array_end(&writer);
        EXPECT_EQ(out.len, 3 + 2 * strlen(cases[i].text));
        EXPECT_STR(str_sub(buf_str(&out), 1, strlen(cases[i].text)), str_from_c(cases[i].text));
    }
}

TEST(a_full_buffer_is_told_at_the_end)
{
    AUTO(buf_deinit) Buf out = { 0 };
    JsonWriter writer = JSON_WRITER(&out);

    buf_init(&out, 16);
    json_write_array(&writer);
    for (int i = 0; i < 100; i++)
        json_write_str(&writer, STR_C("text\n"));
    json_write_array_end(&writer);
    EXPECT_ERR(buf_check(&out), -ERR_TOO_LARGE, "");
    EXPECT(out.len <= 16);
}

TEST(survives_without_memory)
{
    FOR_EACH_FAULT {
        AUTO(buf_deinit) Buf out = { 0 };
        JsonWriter writer = JSON_WRITER(&out);

        json_write_object(&writer);
        for (int i = 0; i < 200; i++)
            json_write_member_str(&writer, "key", STR_C("a value\twith an escape"));
        json_write_object_end(&writer);
        if (mem_faults_hit())
            EXPECT_ERR(buf_check(&out), -ENOMEM, "");
        else
            EXPECT_OK(buf_check(&out));
    }
}

static void value_without_key(void)
{
    AUTO(buf_deinit) Buf out = { 0 };
    JsonWriter writer = JSON_WRITER(&out);

    json_write_object(&writer);
    json_write_null(&writer);
}

static void wrong_end(void)
{
    AUTO(buf_deinit) Buf out = { 0 };
    JsonWriter writer = JSON_WRITER(&out);

    json_write_object(&writer);
    json_write_array_end(&writer);
}

static void key_without_value(void)
{
    AUTO(buf_deinit) Buf out = { 0 };
    JsonWriter writer = JSON_WRITER(&out);

    json_write_object(&writer);
    json_write_key(&writer, "k");
    json_write_object_end(&writer);
}

TEST(misuse_is_caught)
{
    EXPECT_ABORT(value_without_key(), "top_is_object");
    EXPECT_ABORT(wrong_end(), "top_is_object");
    EXPECT_ABORT(key_without_value(), "has_key");
}

TEST_MAIN()
