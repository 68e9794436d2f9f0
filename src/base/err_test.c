/*
 * Catches: frames in the wrong order, a record that outlives its error or speaks for another one,
 * text that overruns or is cut inside a character, bytes from outside that reach a terminal, and
 * codes that map to nothing.
 */
#include "base/err.h"

#include "base/test.h"

#include <errno.h>

TEST(frames_read_inward)
{
    Err err;
    int r = fail(-ERR_TLS, "certificate expired");

    r = wrap(r, "tls");
    r = wrap(r, "fetch %s", "https://x");
    r = wrap(r, "job %d (%s)", 81, "crawl");
    EXPECT_EQ(r, -ERR_TLS);
    EXPECT_C(err_text(r), "job 81 (crawl): fetch https://x: tls: certificate expired");
    err_take(r, &err);
    EXPECT_EQ(err.code, -ERR_TLS);
    EXPECT_EQ(err.len, (long long) strlen(err.text));
    EXPECT_C(err.text, "job 81 (crawl): fetch https://x: tls: certificate expired");
}

TEST(take_clears)
{
    Err err;

    err_take(fail(-ERR_INVALID, "old words"), &err);
    EXPECT_EQ(err_peek()->code, 0);
    EXPECT_C(err_text(-ERR_INVALID), "the input is not valid");
    err_take(-ERR_INVALID, &err);
    EXPECT_C(err.text, "the input is not valid");
    err_take(fail(-ERR_INVALID, "dropped"), NULL);
    EXPECT_EQ(err_peek()->code, 0);
}

TEST(wrap_leaves_outcomes_alone)
{
    err_take(-ERR_INTERNAL, NULL);
    EXPECT_EQ(wrap(0, "no"), 0);
    EXPECT_EQ(wrap(7, "no"), 7);
    EXPECT_EQ(err_peek()->code, 0);
}

TEST(a_record_of_another_code_says_nothing)
{
    int r = fail(-ERR_TLS, "stale words");

    EXPECT_EQ(r, -ERR_TLS);
    EXPECT_C(err_text(-ENOENT), "No such file or directory");
    r = wrap(-ENOENT, "open %s", "a.txt");
    EXPECT_EQ(r, -ENOENT);
    EXPECT_C(err_text(-ENOENT), "open a.txt: No such file or directory");
    err_take(-ERR_HTTP, NULL);
}

TEST(errno_speaks)
{
    int r;

    errno = EACCES;
    r = fail_errno("open %s", "/x");
    EXPECT_EQ(r, -EACCES);
    EXPECT_C(err_text(r), "open /x: Permission denied");
    err_take(r, NULL);
}

TEST(text_that_does_not_fit_is_cut_at_its_end)
{
    static char long_text[3000];
    int r;

    memset(long_text, 'a', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    r = fail(-ERR_INVALID, "%s", long_text);
    EXPECT_EQ(strlen(err_text(r)), ERR_TEXT_MAX - 1);
    r = wrap(r, "near");
    EXPECT_EQ(strlen(err_text(r)), ERR_TEXT_MAX - 1);
    EXPECT(str_starts(str_from_c(err_text(r)), STR_C("near: aaaa")));
    r = wrap(r, "%s", long_text);
    EXPECT_EQ(strlen(err_text(r)), ERR_TEXT_MAX - 1);
    EXPECT_EQ(err_peek()->len, (long long) ERR_TEXT_MAX - 1);
    for (int i = 0; i < 2000; i++)
        r = wrap(r, "%d", i);
    EXPECT(str_starts(str_from_c(err_text(r)), STR_C("1999: 1998: ")));
    errno = ENOENT;
    r = fail_errno("%s", long_text);
    EXPECT_EQ(strlen(err_text(r)), ERR_TEXT_MAX - 1);
    err_take(r, NULL);
}

/* Every length around the edge, with a character of two, three and four bytes across it. */
TEST(no_character_is_cut_in_two)
{
    static const char *const marks[] = { "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };

    for (size_t m = 0; m < ARRAY_LEN(marks); m++) {
        for (size_t pad = ERR_TEXT_MAX - 12; pad <= ERR_TEXT_MAX; pad++) {
            char text[ERR_TEXT_MAX + 1] = { 0 };
            const char *words;
            int r;

            memset(text, 'x', pad);
            r = fail(-ERR_INVALID, "%s%s%s%s", text, marks[m], marks[m], marks[m]);
            words = err_text(r);
            EXPECT(str_is_utf8(str_from_c(words)));
            EXPECT(!strchr(words, '?'));
            EXPECT(strlen(words) + strlen(marks[m]) >
                   MIN(pad + 3 * strlen(marks[m]), ERR_TEXT_MAX - 1));
            r = wrap(r, "frame");
            EXPECT(str_is_utf8(str_from_c(err_text(r))));
            EXPECT(!strchr(err_text(r), '?'));
            err_take(r, NULL);
        }
    }
}

TEST(bytes_from_outside_are_cleaned)
{
    int r = fail(-ERR_INVALID, "a\nb\tc\x1b[31m\x7f\xff\xc0\x80 \xed\xa0\x80 d");

    EXPECT_C(err_text(r), "a b c?[31m???? ??? d");
    r = fail(-ERR_INVALID, "tail\xc3");
    EXPECT_C(err_text(r), "tail?");
    r = wrap(r, "\x01");
    EXPECT_C(err_text(r), "?: tail?");
    err_take(r, NULL);
}

TEST(arguments_may_point_into_the_record)
{
    int r = fail(-ERR_INVALID, "inner");

    r = fail(-ERR_HTTP, "outer (%s)", err_text(r));
    EXPECT_C(err_text(r), "outer (inner)");
    r = wrap(r, "again %s", err_text(r));
    EXPECT_C(err_text(r), "again outer (inner): outer (inner)");
    err_take(r, NULL);
}

TEST(records_move_by_value)
{
    static Err err, fiber;
    Err *old;

    err_take(wrap(fail(-ERR_STORE, "disk"), "commit"), &err);
    old = err_swap(&fiber);
    EXPECT_EQ(err_put(&err), -ERR_STORE);
    EXPECT_C(fiber.text, "commit: disk");
    EXPECT(err_swap(old) == &fiber);
    EXPECT_EQ(err_peek()->code, 0);
    fiber = (Err){ 0 };
    EXPECT_EQ(err_put(&fiber), 0);
    EXPECT_EQ(err_peek()->code, 0);
}

TEST(each_code_has_a_name_a_sentence_and_a_verdict)
{
    static const int codes[] = {
#define ERROR(name, number, ...) number,
#include "base/errors.def"
#undef ERROR
    };

    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        EXPECT(codes[i] >= 1000 && (i == 0 || codes[i] > codes[i - 1]));
        EXPECT(strlen(err_name(-codes[i])) > 0);
        EXPECT(strlen(err_sentence(-codes[i])) > 5);
        EXPECT(err_http_status(-codes[i]) >= 200 && err_http_status(-codes[i]) < 600);
        EXPECT(err_exit_code(-codes[i]) > 0 && err_exit_code(-codes[i]) < 126);
    }
    EXPECT_C(err_name(-ERR_STORE_FULL), "STORE_FULL");
    EXPECT_C(err_name(-ENOENT), "ENOENT");
    EXPECT_C(err_name(-999), "UNKNOWN");
    EXPECT_C(err_sentence(-999), "an error without a name");
}

TEST(errno_is_mapped_to_its_kin)
{
    EXPECT_EQ(err_http_status(-ENOSPC), 507);
    EXPECT(err_is_retryable(-ENOSPC));
    EXPECT_EQ(err_http_status(-ETIMEDOUT), 504);
    EXPECT_EQ(err_http_status(-ECONNREFUSED), 502);
    EXPECT_EQ(err_http_status(-ENOENT), 404);
    EXPECT_EQ(err_exit_code(-EACCES), 77);
    EXPECT_EQ(err_http_status(-EINVAL), 500);
    EXPECT(!err_is_retryable(-EINVAL));
    EXPECT_EQ(err_http_status(-ERR_STALE_LEASE), 409);
}

TEST(misuse_is_caught)
{
    EXPECT_ABORT((void) fail(0, "no code"), "code < 0");
    EXPECT_ABORT(err_take(1, NULL), "r < 0");
}

TEST_MAIN()
