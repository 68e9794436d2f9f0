/*
 * echo: gives its arguments back, byte for byte.
 *
 * The smallest handler there is. It shows what reaches a handler without a schema (a SchemaJson of
 * whatever was sent), and it is what tests and benchmarks use as a job that does nothing.
 */
#include <sluice/handler.h>

static int echo_run(Task *task, const void *args, JsonWriter *result)
{
    const SchemaJson *given = args;

    (void) task;
    json_write_raw(result, given->raw);
    return 0;
}

extern const Handler handler_echo;
const Handler handler_echo = {
    .type = "echo",
    .summary = "Gives its arguments back.",
    .details = "Takes any JSON and returns it unchanged, down to the spelling of its numbers.",
    .cost = HANDLER_WAITS,
    .run = echo_run,
};
