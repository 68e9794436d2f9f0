/*
 * push: a job into the queue of a running engine.
 */
#include "base/macro.h"
#include "cli/command.h"
#include "client/client.h"
#include "codec/time_text.h"

#include <sluice/rt.h>

#include <stdio.h>

typedef struct PushFlags {
    Str queue;
    int64_t priority;
    int64_t delay_ms;
    Str at;
    int64_t attempts;
    int64_t timeout_ms;
    Str id;
    Str key;
    bool wait;
    int64_t wait_ms;
} PushFlags;

static const SchemaField push_fields[] = {
    FIELD_STR(PushFlags, queue, "the queue", .range = RANGE(1, 128)),
    FIELD_INT(PushFlags, priority, "higher runs first", .range = RANGE(-100, 100)),
    FIELD_DURATION(PushFlags, delay_ms, "delay", "run it after this time"),
    FIELD_STR(PushFlags, at, "run it at this time (RFC 3339)", .holder = "TIME"),
    FIELD_INT(PushFlags, attempts, "how often it is tried", .range = RANGE(0, 10000)),
    FIELD_DURATION(PushFlags, timeout_ms, "timeout", "of one attempt"),
    FIELD_STR(PushFlags, id, "the job's id, a UUID version 7"),
    FIELD_STR(PushFlags, key, "idempotency key: a second push with it gives the first job"),
    FIELD_BOOL(PushFlags, wait, "wait for the job to end and print its result"),
    FIELD_DURATION(PushFlags, wait_ms, "wait-for", "how long to wait", .default_text = "10m"),
};
static const Schema push_flags = SCHEMA(PushFlags, push_fields, "Flags of push.");

static void write_retry(JsonWriter *out, const PushFlags *flags)
{
    if (!flags->attempts)
        return;
    json_write_key(out, "retry");
    json_write_object(out);
    json_write_member_i64(out, "max_attempts", flags->attempts);
    json_write_object_end(out);
}

static void write_delay(JsonWriter *out, const PushFlags *flags)
{
    char text[TIME_TEXT_BYTES + 1] = "+";

    if (flags->at.len) {
        json_write_member_str(out, "delay_until", flags->at);
    } else if (flags->delay_ms) {
        Str iso = duration_format_iso(flags->delay_ms, text + 1);

        json_write_member_str(out, "delay_until", str_from(text, iso.len + 1));
    }
}

/* The request: ARGUMENT is the array of arguments, or the one argument; empty for none. */
static void write_job(JsonWriter *out, const char *type, Str argument, const PushFlags *flags)
{
    json_write_object(out);
    json_write_member_c(out, "type", type);
    if (flags->id.len)
        json_write_member_str(out, "id", flags->id);
    json_write_key(out, "args");
    if (argument.len && argument.data[0] == '[') {
        json_write_raw(out, argument);
    } else {
        json_write_array(out);
        if (argument.len)
            json_write_raw(out, argument);
        json_write_array_end(out);
    }
    json_write_key(out, "options");
    json_write_object(out);
    if (flags->queue.len)
        json_write_member_str(out, "queue", flags->queue);
    if (flags->priority)
        json_write_member_i64(out, "priority", flags->priority);
    if (flags->timeout_ms)
        json_write_member_i64(out, "timeout_ms", flags->timeout_ms);
    write_delay(out, flags);
    write_retry(out, flags);
    json_write_object_end(out);
    json_write_object_end(out);
}

static const Handler *find_handler(const CommandHost *host, const char *type)
{
    for (size_t i = 0; i < host->n_handlers; i++) {
        if (!strcmp(host->handlers[i]->type, type))
            return host->handlers[i];
    }
    return NULL;
}

SUSPENDS static int push_and_print(CommandContext *context, Client *client, const char *type,
                                   Str argument, const PushFlags *flags)
{
    AUTO(buf_deinit) Buf body = { 0 };
    JsonWriter out = JSON_WRITER(&body);
    HttpHeader key = { STR("Idempotency-Key"), flags->key };
    JsonDoc doc;
    Str id;
    int r;

    write_job(&out, type, argument, flags);
    r = client_call(context->arena, client, "POST", str_from_c("/ojs/v1/jobs"), buf_str(&body),
                    flags->key.len ? &key : NULL, &doc, NULL);
    if (r < 0)
        return r;
    id = json_str_or(json_find(json_find(doc.root, "job"), "id"), str_from_c(""));
    if (flags->wait)
        return cli_wait_for_job(context, client, id, flags->wait_ms);
    if (context->common->json) {
        Str job = json_raw(&doc, json_find(doc.root, "job"));

        (void) printf("%.*s\n", (int) job.len, job.data);
    } else {
        (void) printf("%.*s\n", (int) id.len, id.data);
    }
    return 0;
}

SUSPENDS static int run_push(CommandContext *context)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "push");
    PushFlags flags = { 0 };
    Client *client;
    Str argument;
    int r;

    if (!context->n_words || context->words[0][0] == '-')
        return fail(-ERR_USAGE,
                    "push needs a type first, for example `sluice push digest --data x`");
    r = cli_read_argument(context, find_handler(context->host, context->words[0]), &push_flags,
                          &flags, context->words + 1, context->n_words - 1, &argument);
    if (r == 0)
        r = client_start(&client, nursery, context->common->server);
    if (r < 0)
        return r;
    r = push_and_print(context, client, context->words[0], argument, &flags);
    client_stop(client);
    return r;
}

static const CommandVerb push_verbs[] = {
    { .usage = "TYPE [JSON | FLAGS]",
      .summary = "Pushes a job, and prints its id once the engine has it on disk.",
      .details = "The argument is JSON (an array is the list of arguments), or flags made from the "
                 "type's schema.",
      .examples = "  $ sluice push digest '{\"data\": \"hello\"}'\n"
                  "  $ sluice push digest --data hello --wait\n"
                  "  $ sluice push webhook --url http://127.0.0.1:9000/hook --delay 2s\n",
      .flags = &push_flags,
      .reads_words = true,
      .is_client = true,
      .run = run_push },
};

extern const Command cmd_push;
const Command cmd_push = {
    .name = "push",
    .summary = "Push a job to a running engine.",
    COMMAND_VERBS(push_verbs),
};
