/* digest: known digests, as many rounds as asked, and an end when it is cancelled. */
#include "base/arena.h"
#include "base/err.h"
#include "base/test.h"

#include <sluice/handler.h>

#include <errno.h>

extern const Handler handler_digest;

static bool is_cancelled;

static bool fake_is_cancelled(Task *task)
{
    (void) task;
    return is_cancelled;
}

static const TaskOps ops = { .is_cancelled = fake_is_cancelled };

static int run(Arena *arena, const char *args, Buf *result)
{
    Task task = { .ops = &ops, .job_id = "", .type = "digest", .attempt = 1, .arena = arena };
    JsonWriter writer = JSON_WRITER(result);
    void *bound;
    int r;

    arena_init(arena, 0);
    bound = arena_zalloc(arena, handler_digest.args->struct_bytes);
    r = schema_decode_text(arena, handler_digest.args, str_from_c(args), bound, NULL);
    return r < 0 ? r : handler_digest.run(&task, bound, &writer);
}

static void expect_digest(const char *args, const char *hex)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf result = { 0 };
    AUTO(buf_deinit) Buf want = { 0 };

    buf_printf(&want, "\"%s\"", hex);
    EXPECT_OK(run(&arena, args, &result));
    EXPECT_STR(buf_str(&result), buf_str(&want));
}

/*
 * Would catch another function, a round too many or too few, and rounds over the text of a digest.
 */
TEST(digests_are_those_that_are_known)
{
    is_cancelled = false;
    expect_digest("{\"data\":\"abc\",\"rounds\":1}",
                  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_digest("{\"data\":\"\",\"rounds\":1}",
                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect_digest("{\"data\":\"abc\",\"rounds\":2}",
                  "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358");
    expect_digest("{\"data\":\"x\"}",
                  "fffb999b0e713e3a51e22dabfc8917142a5e23dc0db320e881e81911189d56de");
    expect_digest("{\"data\":\"x\",\"rounds\":5000}",
                  "9c6ed8e207b27e0f3617aa4bf5d8af51334927751620c4ead9bcb122b21eb75e");
}

/* Would catch work that nobody can stop. */
TEST(a_cancelled_digest_stops)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf result = { 0 };

    is_cancelled = true;
    EXPECT_ERR(run(&arena, "{\"data\":\"x\",\"rounds\":1000000}", &result), -ECANCELED,
               "stopped after 0 of");
    EXPECT_EQ(result.len, 0);
}

/* Would catch arguments without bounds. */
TEST(arguments_are_bounded)
{
    static const char *const bad[] = { "{\"data\":\"x\",\"rounds\":0}",
                                       "{\"data\":\"x\",\"rounds\":1000001}", "{\"data\":7}",
                                       "{\"data\":\"x\",\"more\":1}" };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf result = { 0 };

        EXPECT_ERR(run(&arena, bad[i], &result), -ERR_INVALID, "");
    }
}

TEST_MAIN()
