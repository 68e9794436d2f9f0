/*
 * A program of somebody else: fibers and a channel from libsluice, and a handler as a plug-in would
 * declare it.
 *
 * It has functions of its own that are called like Sluice's inside, to show that those never meet.
 */
#include <sluice/handler.h>
#include <sluice/rt.h>

#include <stdio.h>

typedef struct GreetArgs {
    Str name;
} GreetArgs;

static int greet_run(Task *task, const void *args, JsonWriter *result)
{
    const GreetArgs *greet_args = args;

    (void) task;
    json_write_str(result, greet_args->name);
    return 0;
}

static const SchemaField greet_fields[] = {
    FIELD_STR(GreetArgs, name, "whom to greet", .positional = 1),
};
static const Schema greet_args = SCHEMA(GreetArgs, greet_fields, "Arguments of greet.");
static const Handler handler_greet = {
    .type = "greet",
    .summary = "Greets.",
    .args = &greet_args,
    .run = greet_run,
};

/* Names that Sluice uses inside itself. */
int arena_new(void);
int buf_append(int x);
int map_put(int x);

int arena_new(void)
{
    return 40;
}

int buf_append(int x)
{
    return x + 1;
}

int map_put(int x)
{
    return buf_append(x);
}

static int produce(void *arg)
{
    sl_chan *numbers = arg;
    int r = 0;

    for (int i = 1; i <= 3 && r == 0; i++)
        r = sl_chan_send(numbers, &i);
    sl_chan_close(numbers);
    return r < 0 ? r : 0;
}

static int program(void *arg)
{
    SL_CLEANUP(sl_chan_free_auto_)
    sl_chan *numbers = sl_chan_new(sizeof(int), 1, .name = "numbers");
    SL_CLEANUP(sl_nursery_close_auto) sl_nursery *nursery = sl_nursery_open(.name = "hello");
    int *sum = arg;
    int number;
    int r;

    sl_spawn(nursery, produce, numbers, .name = "produce");
    sl_chan_each(r, numbers, number)
        *sum += number;
    return r < 0 ? r : sl_nursery_join(nursery);
}

int main(void)
{
    int sum = 0;
    int r = sl_run(program, &sum);

    if (r < 0) {
        fprintf(stderr, "hello: %s\n", sl_error_text(r));
        return 1;
    }
    printf("sum %d, own %d\n", sum, map_put(arena_new()));
    printf("handler %s: %s\n", handler_greet.type,
           schema_check(&greet_args) == 0 ? "declared well" : "badly");
    return 0;
}
