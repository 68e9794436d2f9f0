/* fail: fails as often as told, then says at which attempt it succeeded. */
#include "base/arena.h"
#include "base/err.h"
#include "base/test.h"

#include <sluice/handler.h>

extern const Handler handler_fail;

static int run(Task *task, const char *args, Buf *result)
{
    JsonWriter writer = JSON_WRITER(result);
    void *bound;
    int r;

    arena_init(task->arena, 0);
    bound = arena_zalloc(task->arena, handler_fail.args->struct_bytes);
    r = schema_decode_text(task->arena, handler_fail.args, str_from_c(args), bound, NULL);
    return r < 0 ? r : handler_fail.run(task, bound, &writer);
}

/* Would catch a failure too many, or words that do not say which. */
TEST(it_fails_as_often_as_told)
{
    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf result = { 0 };
        Task task = { .job_id = "", .type = "fail", .attempt = attempt, .arena = &arena };

        if (attempt <= 2) {
            EXPECT_ERR(run(&task, "{\"times\":2}", &result), -ERR_HANDLER, "told to fail (attempt");
        } else {
            EXPECT_OK(run(&task, "{\"times\":2}", &result));
            EXPECT_STR(buf_str(&result), STR_C("3"));
        }
        EXPECT(!task.is_final);
    }
}

TEST(a_final_failure_is_final)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf result = { 0 };
    Task task = { .job_id = "", .type = "fail", .attempt = 1, .arena = &arena };

    EXPECT_ERR(run(&task, "{\"message\":\"oh\",\"final\":true}", &result), -ERR_HANDLER, "oh");
    EXPECT(task.is_final);
    EXPECT_C(task.error_code, "told_to_fail");
}

TEST_MAIN()
