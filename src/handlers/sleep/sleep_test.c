/* sleep: waits as long as told, on virtual time, and ends at once when it is cancelled. */
#include "base/arena.h"
#include "base/err.h"
#include "base/test.h"

#include <sluice/handler.h>
#include <sluice/rt.h>

#include <errno.h>

extern const Handler handler_sleep;

SUSPENDS static int run(Arena *arena, const char *args, Buf *result)
{
    Task task = { .job_id = "", .type = "sleep", .attempt = 1, .arena = arena };
    JsonWriter writer = JSON_WRITER(result);
    void *bound;
    int r;

    arena_init(arena, 0);
    bound = arena_zalloc(arena, handler_sleep.args->struct_bytes);
    r = schema_decode_text(arena, handler_sleep.args, str_from_c(args), bound, NULL);
    return r < 0 ? r : handler_sleep.run(&task, bound, &writer);
}

SUSPENDS static int sleeps_main(void *arg UNUSED)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf result = { 0 };
    int64_t began_ns = sl_now_ns();

    EXPECT_OK(run(&arena, "{\"for\":\"1h\"}", &result));
    EXPECT_STR(buf_str(&result), STR_C("3600000"));
    EXPECT_EQ((sl_now_ns() - began_ns) / 1000000000, 3600);
    return 0;
}

/* Would catch a unit that is wrong. */
TEST(it_waits_as_long_as_told)
{
    EXPECT_OK(sl_run(sleeps_main, NULL, .loop = SL_LOOP_SIM));
}

SUSPENDS static int cancelled_main(void *arg UNUSED)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf result = { 0 };
    int64_t began_ns = sl_now_ns();
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .timeout_ms = 5);
    r = run(&arena, "{\"for\":\"1h\"}", &result);
    EXPECT_EQ(r, -ECANCELED);
    EXPECT_EQ(sl_scope_end(&scope, r), -ETIMEDOUT);
    EXPECT((sl_now_ns() - began_ns) / 1000000000 < 3600);
    EXPECT_EQ(result.len, 0);
    return 0;
}

/* Would catch a wait that nobody can end. */
TEST(cancelling_ends_the_wait)
{
    EXPECT_OK(sl_run(cancelled_main, NULL, .loop = SL_LOOP_SIM));
    EXPECT_OK(sl_run(cancelled_main, NULL));
}

TEST(how_long_must_be_said)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf result = { 0 };

    EXPECT_ERR(run(&arena, "{}", &result), -ERR_INVALID, "for");
    arena_deinit(&arena);
    EXPECT_ERR(run(&arena, "{\"for\":\"2d\"}", &result), -ERR_INVALID, "for");
}

TEST_MAIN()
