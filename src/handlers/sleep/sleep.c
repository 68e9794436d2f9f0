/*
 * sleep: waits for a while.
 *
 * A job that holds a fiber and nothing else. Cancelling it ends the wait at once.
 */
#include "base/err.h"

#include <sluice/handler.h>
#include <sluice/rt/fiber.h>

typedef struct SleepArgs {
    int64_t for_ms;
} SleepArgs;

static const SchemaField sleep_fields[] = {
    FIELD_DURATION(SleepArgs, for_ms, "for", "how long to wait", .is_required = true,
                   .range = RANGE(0, INT64_C(86400000)), .positional = 1),
};
static const Schema sleep_args = SCHEMA(SleepArgs, sleep_fields, "Arguments of sleep.");
static const SchemaField sleep_result = ITEM(INT, .summary = "milliseconds slept");

SUSPENDS static int sleep_run(Task *task, const void *args, JsonWriter *result)
{
    const SleepArgs *sleep = args;
    int r;

    (void) task;
    r = sl_sleep_ms(sleep->for_ms);
    if (r < 0)
        return wrap(r, "sleep");

    json_write_i64(result, sleep->for_ms);
    return 0;
}

extern const Handler handler_sleep;
const Handler handler_sleep = {
    .type = "sleep",
    .summary = "Waits for a while.",
    .args = &sleep_args,
    .result = &sleep_result,
    .cost = HANDLER_WAITS,
    .run = sleep_run,
};
