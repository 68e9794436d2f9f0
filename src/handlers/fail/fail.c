/*
 * fail: fails its first attempts, then succeeds.
 *
 * For trying out retries, backoff and dead letters: `{"times": 2}` fails twice and completes on
 * the third attempt; `"final": true` fails in the way that is never tried again.
 */
#include "base/err.h"
#include "base/text.h"

#include <sluice/handler.h>

typedef struct FailArgs {
    int64_t times;
    Str message;
    bool final;
} FailArgs;

static const SchemaField fail_fields[] = {
    FIELD_INT(FailArgs, times, "how many attempts fail before one succeeds",
              .range = RANGE(0, 1000000), .default_text = "1", .positional = 1),
    FIELD_STR(FailArgs, message, "what the failure says", .range = RANGE(1, 200),
              .default_text = "told to fail"),
    FIELD_BOOL(FailArgs, final, "whether the failure forbids further attempts"),
};
static const Schema fail_args = SCHEMA(FailArgs, fail_fields, "Arguments of fail.");
static const SchemaField fail_result = ITEM(INT, .summary = "the attempt that succeeded");

static int fail_run(Task *task, const void *args, JsonWriter *result)
{
    const FailArgs *fail_with = args;

    if (task->attempt > fail_with->times) {
        json_write_i64(result, task->attempt);
        return 0;
    }
    if (fail_with->final)
        return task_fail(task, "told_to_fail", "%.*s", (int) fail_with->message.len,
                         fail_with->message.data);
    return fail(-ERR_HANDLER, "%.*s (attempt %u of %lld)", (int) fail_with->message.len,
                fail_with->message.data, task->attempt, (long long) fail_with->times);
}

extern const Handler handler_fail;
const Handler handler_fail = {
    .type = "fail",
    .summary = "Fails its first attempts, then succeeds.",
    .details = "For trying out retries, backoff and dead letters.",
    .args = &fail_args,
    .result = &fail_result,
    .cost = HANDLER_WAITS,
    .run = fail_run,
};
