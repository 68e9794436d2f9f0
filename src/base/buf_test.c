/*
 * Catches: a limit that can be passed, failures that are forgotten, digits that are wrong at the
 * edges, and memory lost when an allocation fails.
 */
#include "base/text.h"

#include "base/rand.h"
#include "base/test.h"

#include <errno.h>
#include <inttypes.h>

TEST(pieces_add_up)
{
    AUTO(buf_deinit) Buf buf = { 0 };

    EXPECT_EQ(buf_str(&buf).len, 0);
    buf_add(&buf, "ab", 2);
    buf_add_str(&buf, STR_C("cd"));
    buf_add_c(&buf, "ef");
    buf_add_char(&buf, 'g');
    buf_add_i64(&buf, -12);
    buf_add_u64(&buf, 34);
    buf_printf(&buf, "%s|%d", "x", 5);
    buf_add(&buf, NULL, 0);
    EXPECT_STR(buf_str(&buf), STR_C("abcdefg-1234x|5"));
    EXPECT_OK(buf_check(&buf));
    buf_consume(&buf, 3);
    EXPECT_STR(buf_str(&buf), STR_C("defg-1234x|5"));
    buf_consume(&buf, 0);
    buf_consume(&buf, buf.len);
    EXPECT_EQ(buf.len, 0);
}

TEST(numbers_as_printf_writes_them)
{
    static const int64_t edges[] = {
        0, 1, -1, 9, 10, -10, 99, 100, INT64_MAX, INT64_MIN, INT32_MIN
    };
    AUTO(buf_deinit) Buf buf = { 0 };
    char text[64];

    for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
        buf_reset(&buf);
        buf_add_i64(&buf, edges[i]);
        buf_add_char(&buf, ' ');
        buf_add_u64(&buf, (uint64_t) edges[i]);
        snprintf(text, sizeof text, "%" PRId64 " %" PRIu64, edges[i], (uint64_t) edges[i]);
        EXPECT_STR(buf_str(&buf), str_from_c(text));
    }
}

TEST(the_limit_holds_and_is_remembered)
{
    for (size_t limit = 1; limit < 200; limit += 7) {
        AUTO(buf_deinit) Buf buf;

        buf_init(&buf, limit);
        for (size_t i = 0; i < limit; i++)
            buf_add_char(&buf, 'x');
        EXPECT_OK(buf_check(&buf));
        buf_add_char(&buf, 'y');
        EXPECT_EQ(buf.len, limit);
        EXPECT_ERR(buf_check(&buf), -ERR_TOO_LARGE, "passes the limit");
        EXPECT(buf.cap <= limit);
        buf_reset(&buf);
        EXPECT_OK(buf_check(&buf));
        buf_printf(&buf, "%0*d", (int) limit, 1);
        EXPECT_OK(buf_check(&buf));
        EXPECT_EQ(buf.len, limit);
        buf_reset(&buf);
        buf_printf(&buf, "%0*d", (int) limit + 1, 1);
        EXPECT_ERR(buf_check(&buf), -ERR_TOO_LARGE, "passes the limit");
        EXPECT_EQ(buf.len, 0);
        EXPECT(!buf_reserve(&buf, SIZE_MAX));
        EXPECT(!buf_reserve(&buf, SIZE_MAX - limit));
    }
}

/* Against a plain array: random appends, prints, drops and resets give the same bytes. */
TEST(behaves_as_a_plain_array)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    static char model[1 << 16];
    size_t len = 0;
    Rand rand;

    rand_init(&rand, 3);
    for (int step = 0; step < 20000; step++) {
        char piece[64];
        size_t n = rand_below(&rand, sizeof piece);
        uint64_t what = rand_below(&rand, 100);

        if (what < 60 && len + 2 * sizeof piece < sizeof model) {
            rand_bytes(&rand, piece, n);
            buf_add(&buf, piece, n);
            memcpy(model + len, piece, n);
            len += n;
        } else if (what < 80 && len + 2 * sizeof piece < sizeof model) {
            buf_printf(&buf, "%0*" PRIu64, (int) n, what);
            len += (size_t) snprintf(model + len, sizeof model - len, "%0*" PRIu64, (int) n, what);
        } else if (what < 99) {
            n = rand_below(&rand, len + 1);
            buf_consume(&buf, n);
            memmove(model, model + n, len - n);
            len -= n;
        } else {
            AUTO(mem_free) char *taken = buf_take_c(&buf);

            EXPECT(memcmp(taken, model, len) == 0 && taken[len] == '\0');
            len = 0;
        }
        REQUIRE(buf.len == len && (len == 0 || memcmp(buf.data, model, len) == 0));
    }
}

TEST(reserve_gives_room)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    char *at = buf_reserve(&buf, 1000);

    REQUIRE(at);
    memset(at, 'z', 1000);
    buf.len += 1000;
    buf_add_char(&buf, '!');
    EXPECT_EQ(buf.len, 1001);
    EXPECT(buf.data[0] == 'z' && buf.data[999] == 'z' && buf.data[1000] == '!');
    EXPECT(buf_reserve(&buf, 0));
}

TEST(a_taken_text_ends_in_nul)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    AUTO(mem_free) char *empty = buf_take_c(&buf);
    AUTO(mem_free) char *full = NULL;

    EXPECT_C(empty, "");
    buf_init(&buf, 4);
    buf_add_c(&buf, "abcd");
    full = buf_take_c(&buf);
    EXPECT_C(full, "abcd");
    EXPECT(!buf.data && buf.cap == 0 && buf.len == 0 && buf.max_bytes == 4);
}

TEST(without_memory_it_fails_and_keeps_what_it_had)
{
    FOR_EACH_FAULT {
        AUTO(buf_deinit) Buf buf = { 0 };
        AUTO(mem_free) char *text = NULL;
        size_t before;

        for (int i = 0; i < 300; i++)
            buf_add_c(&buf, "0123456789");
        buf_printf(&buf, "%0200d", 1);
        if (mem_faults_hit() && !buf.is_oom) {
            EXPECT(false);
        } else if (buf.is_oom) {
            EXPECT_ERR(buf_check(&buf), -ENOMEM, "no memory");
        } else {
            EXPECT_OK(buf_check(&buf));
            EXPECT_EQ(buf.len, 3200);
        }
        before = buf.len;
        text = buf_take_c(&buf);
        EXPECT(text || buf.len == before);
    }
}

TEST_MAIN()
