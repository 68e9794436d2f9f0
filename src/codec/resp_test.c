/*
 * RESP: every type of versions 2 and 3, frames that come in pieces, counts that two readers could
 * take in two ways, limits, and what is no RESP.
 */
#include "codec/resp.h"

#include "base/limits.h"
#include "base/test.h"

#include <math.h>

/* VALUE as text: what a test compares. */
static void show(const RespValue *value, Buf *out)
{
    const char *comma = "";

    if (value->is_push)
        buf_add_c(out, "push");
    switch (value->type) {
    case RESP_NULL: buf_add_c(out, "null"); return;
    case RESP_TEXT: buf_printf(out, "'%.*s'", (int) value->text.len, value->text.data); return;
    case RESP_ERROR: buf_printf(out, "!%.*s", (int) value->text.len, value->text.data); return;
    case RESP_NUMBER: buf_add_i64(out, value->number); return;
    case RESP_REAL: buf_printf(out, "%.17gr", value->real); return;
    case RESP_BOOL: buf_add_c(out, value->number ? "true" : "false"); return;
    case RESP_LIST:
    case RESP_MAP: break;
    }
    buf_add_char(out, value->type == RESP_MAP ? '{' : '[');
    for (size_t i = 0; i < value->n; i++, comma = ",") {
        buf_add_c(out, comma);
        show(&value->items[i], out);
    }
    buf_add_char(out, value->type == RESP_MAP ? '}' : ']');
}

/* The frame that BYTES is, as text; with pieces of PIECE bytes, and of all the sizes below. */
static void expect(const char *file, int line, Str bytes, const char *want)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf got = { 0 };
    RespScan scan = { 0 }, zero = { 0 };
    RespValue value;
    size_t len = 0;
    int r = RESP_MORE;

    for (size_t n = 0; n < bytes.len; n++) {
        r = resp_scan(&scan, str_sub(bytes, 0, n), &len);
        if (r != RESP_MORE)
            test_fail(file, line, "%zu bytes: got %d (%s)", n, r, r < 0 ? err_text(r) : "whole");
    }
    r = resp_scan(&scan, bytes, &len);
    if (r != 0 || len != bytes.len)
        return test_fail(file, line, "all: got %d (%s), length %zu", r, r < 0 ? err_text(r) : "",
                         len);
    if (memcmp(&scan, &zero, sizeof(scan)) != 0)
        test_fail(file, line, "the scan is not zero behind the frame");
    r = resp_scan(&scan, bytes, &len);
    if (r != 0 || len != bytes.len)
        test_fail(file, line, "in one piece: got %d, length %zu", r, len);
    r = resp_decode(&arena, bytes, &value);
    if (r < 0)
        return test_fail(file, line, "decode: %s", err_text(r));
    show(&value, &got);
    if (!str_eq_c(buf_str(&got), want))
        test_fail(file, line, "got %.*s, want %s", (int) got.len, got.data, want);
}

#define EXPECT_FRAME(literal, want) expect(__FILE__, __LINE__, STR_C(literal), want)

/* BYTES are refused by the scan, and by decoding, with these words. */
static void expect_refused(const char *file, int line, Str bytes, const char *words, bool by_scan)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    RespScan scan = { 0 };
    RespValue value;
    size_t len = 0;
    int r = resp_scan(&scan, bytes, &len);

    if (by_scan && (r != -ERR_NETWORK || !strstr(err_text(r), words)))
        test_fail(file, line, "scan: got %d (%s), want %s", r, r < 0 ? err_text(r) : "", words);
    if (!by_scan && r != 0)
        test_fail(file, line, "scan: got %d (%s)", r, r < 0 ? err_text(r) : "");
    r = resp_decode(&arena, bytes, &value);
    if (r != -ERR_NETWORK || (!by_scan && !strstr(err_text(r), words)))
        test_fail(file, line, "decode: got %d (%s), want %s", r, r < 0 ? err_text(r) : "", words);
}

#define EXPECT_NO_FRAME(literal, words) \
    expect_refused(__FILE__, __LINE__, STR_C(literal), words, true)
#define EXPECT_NO_VALUE(literal, words) \
    expect_refused(__FILE__, __LINE__, STR_C(literal), words, false)

TEST(reads_version_2)
{
    EXPECT_FRAME("+OK\r\n", "'OK'");
    EXPECT_FRAME("+\r\n", "''");
    EXPECT_FRAME("-MOVED 3999 10.0.0.1:6381\r\n", "!MOVED 3999 10.0.0.1:6381");
    EXPECT_FRAME(":0\r\n", "0");
    EXPECT_FRAME(":-12\r\n", "-12");
    EXPECT_FRAME(":+12\r\n", "12");
    EXPECT_FRAME(":9223372036854775807\r\n", "9223372036854775807");
    EXPECT_FRAME(":-9223372036854775808\r\n", "-9223372036854775808");
    EXPECT_FRAME("$5\r\nhello\r\n", "'hello'");
    EXPECT_FRAME("$0\r\n\r\n", "''");
    EXPECT_FRAME("$6\r\na\r\n\r\nb\r\n", "'a\r\n\r\nb'");
    EXPECT_FRAME("$-1\r\n", "null");
    EXPECT_FRAME("*-1\r\n", "null");
    EXPECT_FRAME("*0\r\n", "[]");
    EXPECT_FRAME("*2\r\n$3\r\nfoo\r\n:7\r\n", "['foo',7]");
    EXPECT_FRAME("*3\r\n*-1\r\n$-1\r\n*2\r\n*0\r\n-ERR x\r\n", "[null,null,[[],!ERR x]]");
}

TEST(reads_version_3)
{
    EXPECT_FRAME("_\r\n", "null");
    EXPECT_FRAME("#t\r\n", "true");
    EXPECT_FRAME("#f\r\n", "false");
    EXPECT_FRAME(",1.5\r\n", "1.5r");
    EXPECT_FRAME(",10\r\n", "10r");
    EXPECT_FRAME(",-1.25e-3\r\n", "-0.00125r");
    EXPECT_FRAME(",inf\r\n", "infr");
    EXPECT_FRAME(",-inf\r\n", "-infr");
    EXPECT_FRAME("(3492890328409238509324850943850943825024385\r\n",
                 "'3492890328409238509324850943850943825024385'");
    EXPECT_FRAME("(-1\r\n", "'-1'");
    EXPECT_FRAME("!21\r\nSYNTAX invalid syntax\r\n", "!SYNTAX invalid syntax");
    EXPECT_FRAME("=15\r\ntxt:Some string\r\n", "'Some string'");
    EXPECT_FRAME("=4\r\nmkd:\r\n", "''");
    EXPECT_FRAME("%2\r\n+first\r\n:1\r\n+second\r\n*1\r\n#t\r\n", "{'first',1,'second',[true]}");
    EXPECT_FRAME("%0\r\n", "{}");
    EXPECT_FRAME("~3\r\n+a\r\n_\r\n:5\r\n", "['a',null,5]");
    EXPECT_FRAME(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n", "push['message','c','hi']");
}

/* Attributes stand before a value, anywhere, and count for nothing. */
TEST(drops_attributes)
{
    EXPECT_FRAME("|1\r\n+ttl\r\n:3600\r\n:7\r\n", "7");
    EXPECT_FRAME("|0\r\n|0\r\n+x\r\n", "'x'");
    EXPECT_FRAME("*3\r\n:1\r\n:2\r\n|1\r\n+ttl\r\n:3600\r\n:3\r\n", "[1,2,3]");
    EXPECT_FRAME("*1\r\n|1\r\n|1\r\n+a\r\n+b\r\n+k\r\n%1\r\n$1\r\na\r\n,0.1923\r\n*0\r\n", "[[]]");
    EXPECT_FRAME("%1\r\n|1\r\n+a\r\n_\r\n+k\r\n|1\r\n+a\r\n_\r\n+v\r\n", "{'k','v'}");
    EXPECT_FRAME("|1\r\n+a\r\n+b\r\n>1\r\n+p\r\n", "push['p']");
}

TEST(reads_a_nan)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    RespValue value;

    EXPECT_OK(resp_decode(&arena, STR_C(",nan\r\n"), &value));
    EXPECT(value.type == RESP_REAL && isnan(value.real));
    EXPECT_OK(resp_decode(&arena, STR_C(",-nan\r\n"), &value));
    EXPECT(isnan(value.real));
}

/* Frames that follow each other, in pieces of every size: what one read of a connection gives. */
TEST(finds_frames_in_a_row)
{
    static const char stream[] =
        "+OK\r\n*2\r\n$3\r\nfoo\r\n|1\r\n+a\r\n+b\r\n:7\r\n$0\r\n\r\n:1\r\n"
        "%1\r\n+k\r\n~0\r\n-E\r\n";
    static const size_t lens[] = { 5, 29, 6, 4, 12, 4 };

    for (size_t piece = 1; piece < sizeof(stream); piece++) {
        RespScan scan = { 0 };
        size_t begin = 0, there = 0, n = 0, len;

        while (begin < sizeof(stream) - 1) {
            there = there + piece < sizeof(stream) - 1 ? there + piece : sizeof(stream) - 1;
            for (;;) {
                int r = resp_scan(&scan, str_from(stream + begin, there - begin), &len);

                if (r != 0) {
                    EXPECT_EQ(r, RESP_MORE);
                    break;
                }
                REQUIRE(n < sizeof(lens) / sizeof(lens[0]));
                EXPECT_EQ(len, lens[n++]);
                begin += len;
            }
        }
        EXPECT_EQ(n, sizeof(lens) / sizeof(lens[0]));
    }
}

/* What is not there cannot be looked at: the scan goes over a text without its bytes. */
TEST(skips_texts_unread)
{
    RespScan scan = { 0 };
    char *bytes = mem_zalloc(64);
    size_t len;

    memcpy(bytes, "$100000\r\n", 9);
    EXPECT_EQ(resp_scan(&scan, str_from(bytes, 9), &len), RESP_MORE);
    EXPECT_EQ(scan.at, 100009);
    EXPECT_EQ(resp_scan(&scan, str_from(bytes, 64), &len), RESP_MORE);
    EXPECT_EQ(scan.at, 100009);
    mem_free(bytes);
}

TEST(refuses_counts_in_doubt)
{
    EXPECT_NO_FRAME("$05\r\nhello\r\n", "no such count: \"$05\"");
    EXPECT_NO_FRAME("$+5\r\nhello\r\n", "no such count");
    EXPECT_NO_FRAME("$-0\r\n\r\n", "no such count");
    EXPECT_NO_FRAME("$-2\r\n", "no such count");
    EXPECT_NO_FRAME("$\r\n\r\n", "no such count");
    EXPECT_NO_FRAME("$ 5\r\nhello\r\n", "no such count");
    EXPECT_NO_FRAME("$5 \r\nhello\r\n", "no such count");
    EXPECT_NO_FRAME("$0x5\r\nhello\r\n", "no such count");
    EXPECT_NO_FRAME("*00\r\n", "no such count");
    EXPECT_NO_FRAME("*-01\r\n", "no such count");
    EXPECT_NO_FRAME("%-1\r\n", "no such count");
    EXPECT_NO_FRAME("~-1\r\n", "no such count");
    EXPECT_NO_FRAME(">-1\r\n", "no such count");
    EXPECT_NO_FRAME("!-1\r\n", "no such count");
    EXPECT_NO_FRAME("=-1\r\n", "no such count");
    EXPECT_NO_FRAME("$99999999999999999999\r\n", "no such count");
    EXPECT_NO_FRAME("$18446744073709551621\r\nhello\r\n", "no such count"); /* 2^64 + 5 */
    EXPECT_NO_FRAME("*18446744073709551615\r\n", "more values than the limit");
    EXPECT_NO_FRAME("%9223372036854775809\r\n+a\r\n+b\r\n", "more values than the limit");
    EXPECT_NO_FRAME("$5\r\nhello!\r\n", "longer than its length");
    EXPECT_NO_FRAME("$5\r\nhello\n\r", "longer than its length");
}

TEST(refuses_what_is_no_resp)
{
    EXPECT_NO_FRAME("HTTP/1.1 400 Bad Request\r\n", "no value begins with 'H'");
    EXPECT_NO_FRAME("H", "no value begins with 'H'");
    EXPECT_NO_FRAME("\x15\x03\x01", "speaks TLS");
    EXPECT_NO_FRAME("\r\n", "the byte 0x0d");
    EXPECT_NO_FRAME("*1\r\n\xff", "the byte 0xff");
    EXPECT_NO_FRAME("+a\rb\r\n", "carriage return");
    EXPECT_NO_FRAME("*1\r\n>1\r\n+a\r\n", "push message inside");
    EXPECT_NO_FRAME("$?\r\n;4\r\nHell\r\n;0\r\n", "streamed");
    EXPECT_NO_FRAME("*?\r\n:1\r\n.\r\n", "streamed");
    EXPECT_NO_FRAME("%?\r\n", "streamed");
    EXPECT_NO_FRAME("*1\r\n.\r\n", "streamed");
}

TEST(refuses_values_in_doubt)
{
    EXPECT_NO_VALUE(":\r\n", "no such value");
    EXPECT_NO_VALUE(":-\r\n", "no such value");
    EXPECT_NO_VALUE(":-0\r\n", "no such value");
    EXPECT_NO_VALUE(":01\r\n", "no such value");
    EXPECT_NO_VALUE(":1.0\r\n", "no such value: \":1.0\"");
    EXPECT_NO_VALUE(":+-1\r\n", "no such value");
    EXPECT_NO_VALUE(":9223372036854775808\r\n", "no such value");
    EXPECT_NO_VALUE(":-9223372036854775809\r\n", "no such value");
    EXPECT_NO_VALUE("#\r\n", "no such value");
    EXPECT_NO_VALUE("#true\r\n", "no such value");
    EXPECT_NO_VALUE("_x\r\n", "no such value");
    EXPECT_NO_VALUE("(\r\n", "no such value");
    EXPECT_NO_VALUE("(1.5\r\n", "no such value");
    EXPECT_NO_VALUE(",\r\n", "no such value");
    EXPECT_NO_VALUE(",.5\r\n", "no such value");
    EXPECT_NO_VALUE(",1e\r\n", "no such value");
    EXPECT_NO_VALUE(",0x1p3\r\n", "no such value");
    EXPECT_NO_VALUE(",infinity\r\n", "no such value");
    EXPECT_NO_VALUE(",1 \r\n", "no such value");
    EXPECT_NO_VALUE("=3\r\ntxt\r\n", "verbatim");
    EXPECT_NO_VALUE("=5\r\nplain\r\n", "verbatim");
}

/* Decoding is given a frame; a piece of one, or more than one, is an error and no read beyond. */
TEST(decodes_whole_frames_only)
{
    static const char frame[] = "*4\r\n$3\r\nfoo\r\n|1\r\n+a\r\n+b\r\n%1\r\n:7\r\n!1\r\nx\r\n"
                                "=5\r\ntxt:x\r\n,1\r\n";
    AUTO(arena_deinit) Arena arena = { 0 };
    RespValue value;

    EXPECT_OK(resp_decode(&arena, str_from_c(frame), &value));
    for (size_t n = 0; n < sizeof(frame) - 1; n++) {
        char *copy = mem_zalloc(n + 1); /* so that the sanitizer sees a step beyond */

        memcpy(copy + 1, frame, n);
        EXPECT_ERR(resp_decode(&arena, str_from(copy + 1, n), &value), -ERR_NETWORK, "cut off");
        mem_free(copy);
    }
    EXPECT_ERR(resp_decode(&arena, STR_C("+OK\r\n+OK\r\n"), &value), -ERR_NETWORK,
               "behind the end");
}

static void add_many(Buf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_add_c(out, text);
}

TEST(keeps_the_limits)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf bytes = { 0 };
    RespScan scan = { 0 };
    RespValue value;
    size_t len;

    add_many(&bytes, "*1\r\n", RESP_DEPTH_MAX);
    buf_add_c(&bytes, "_\r\n");
    EXPECT_OK(resp_scan(&scan, buf_str(&bytes), &len));
    EXPECT_OK(resp_decode(&arena, buf_str(&bytes), &value));
    buf_reset(&bytes);
    add_many(&bytes, "*1\r\n", RESP_DEPTH_MAX + 1);
    EXPECT_ERR(resp_scan(&scan, buf_str(&bytes), &len), -ERR_NETWORK, "deeper than 16");
    EXPECT_ERR(resp_decode(&arena, buf_str(&bytes), &value), -ERR_NETWORK, "deeper than 16");

    buf_reset(&bytes);
    buf_printf(&bytes, "$%d\r\n", LIMIT_RESP_FRAME_BYTES + 1);
    scan = (RespScan){ 0 };
    EXPECT_ERR(resp_scan(&scan, buf_str(&bytes), &len), -ERR_NETWORK, "over the limit");
    buf_reset(&bytes);
    buf_printf(&bytes, "*2\r\n$0\r\n\r\n$%d\r\n", LIMIT_RESP_FRAME_BYTES);
    scan = (RespScan){ 0 };
    EXPECT_ERR(resp_scan(&scan, buf_str(&bytes), &len), -ERR_NETWORK, "over the limit");

    buf_reset(&bytes);
    buf_printf(&bytes, "*%d\r\n", LIMIT_RESP_ITEMS + 1);
    scan = (RespScan){ 0 };
    EXPECT_ERR(resp_scan(&scan, buf_str(&bytes), &len), -ERR_NETWORK, "more values");
    buf_reset(&bytes);
    buf_printf(&bytes, "*2\r\n*%d\r\n", LIMIT_RESP_ITEMS - 1);
    scan = (RespScan){ 0 };
    EXPECT_ERR(resp_scan(&scan, buf_str(&bytes), &len), -ERR_NETWORK, "more than");

    buf_reset(&bytes);
    buf_add_char(&bytes, '-');
    add_many(&bytes, "0123456789abcdef", LIMIT_RESP_LINE_BYTES / 16);
    scan = (RespScan){ 0 };
    EXPECT_ERR(resp_scan(&scan, buf_str(&bytes), &len), -ERR_NETWORK, "a line of more");
}

/* A list says how many it has before it has them: that must not make us allocate. */
TEST(allocates_no_more_than_is_there)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    RespValue value;

    EXPECT_ERR(resp_decode(&arena, STR_C("*4000000\r\n:1\r\n"), &value), -ERR_NETWORK, "cut off");
    EXPECT_EQ(arena.total_bytes, 0);
    arena_deinit(&arena);
    arena_init(&arena, 4096);
    {
        AUTO(buf_deinit) Buf bytes = { 0 };

        buf_add_c(&bytes, "*1000\r\n");
        add_many(&bytes, "_\r\n", 1000);
        EXPECT_ERR(resp_decode(&arena, buf_str(&bytes), &value), -ENOMEM, "1000 values");
    }
}

/* One piece of memory for each list, none for texts. */
TEST(borrows_texts)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf bytes = { 0 };
    RespScan scan = { 0 };
    RespValue value;
    size_t len;

    buf_add_c(&bytes, "*2000\r\n");
    add_many(&bytes, "$10\r\n0123456789\r\n", 2000);
    EXPECT_OK(resp_scan(&scan, buf_str(&bytes), &len));
    EXPECT_EQ(len, bytes.len);
    EXPECT_OK(resp_decode(&arena, buf_str(&bytes), &value));
    EXPECT_EQ(value.n, 2000);
    EXPECT(arena.total_bytes < 2000 * sizeof(RespValue) + 1024);
    EXPECT(value.items[1999].text.data == bytes.data + bytes.len - 12);
    EXPECT_STR(value.items[1999].text, STR_C("0123456789"));
}

TEST(writes_commands)
{
    AUTO(buf_deinit) Buf out = { 0 };
    AUTO(buf_deinit) Buf small = { .max_bytes = 16 };
    const Str ping[] = { STR("PING") };
    const Str set[] = { STR("SET"), STR("k\r\n"), STR(""), STR("0123456789ab") };

    resp_add_command(&out, ping, 1);
    EXPECT_STR(buf_str(&out), STR_C("*1\r\n$4\r\nPING\r\n"));
    resp_add_command(&out, set, 4);
    EXPECT_STR(buf_str(&out), STR_C("*1\r\n$4\r\nPING\r\n"
                                    "*4\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n"
                                    "$12\r\n0123456789ab\r\n"));
    resp_add_command(&small, set, 4);
    EXPECT(small.is_failed && small.len == 0);
}

TEST(answers_questions)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    RespValue value;
    int64_t number = -1;

    EXPECT_OK(resp_decode(&arena, STR_C("-NOSCRIPT No matching script\r\n"), &value));
    EXPECT(resp_is_error(&value, "NOSCRIPT"));
    EXPECT(!resp_is_error(&value, "NO") && !resp_is_error(&value, "NOSCRIPTS"));
    EXPECT(!resp_to_number(&value, &number));
    EXPECT_OK(resp_decode(&arena, STR_C("-ASK\r\n"), &value));
    EXPECT(resp_is_error(&value, "ASK"));
    EXPECT_OK(resp_decode(&arena,
                          STR_C("-ERR Error running script (call to f_12): @user_script:7: "
                                "@user_script: 7: -READONLY You can't write\r\n"),
                          &value));
    EXPECT(resp_is_error(&value, "READONLY") && !resp_is_error(&value, "ERR"));
    EXPECT_OK(resp_decode(&arena, STR_C("-ERR Error running script: -\r\n"), &value));
    EXPECT(resp_is_error(&value, "ERR"));
    EXPECT_OK(resp_decode(&arena, STR_C("*5\r\n:7\r\n$2\r\n-8\r\n+9x\r\n,1\r\n+ASK\r\n"), &value));
    EXPECT(resp_to_number(resp_item(&value, 0), &number) && number == 7);
    EXPECT(resp_to_number(resp_item(&value, 1), &number) && number == -8);
    EXPECT(!resp_to_number(resp_item(&value, 2), &number));
    EXPECT(!resp_to_number(resp_item(&value, 3), &number));
    EXPECT(!resp_is_error(resp_item(&value, 4), "ASK"));
    EXPECT_EQ(resp_item(&value, 5)->type, RESP_NULL);
    EXPECT_EQ(resp_item(resp_item(&value, 0), 0)->type, RESP_NULL);
}

TEST_MAIN()
