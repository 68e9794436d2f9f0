/*
 * Work on stores without an engine; see the header.
 *
 * A store is opened still: nothing is promoted, no lease ends, nothing is swept while it is being
 * copied or looked at.
 */
#include "app/store_command.h"

#include "app/config.h"
#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/json.h"
#include "queue/queue.h"

#include <sluice/rt.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#define NAME_BYTES  256
#define BAR_COLUMNS 30
#define DRAW_NS     (100 * NS_PER_MS)
#define STACK_BYTES (256 << 10)

typedef struct StoreCommand {
    const StoreRequest *request;
    Arena arena;
    Queues *from, *to;
    char from_name[NAME_BYTES], to_name[NAME_BYTES];
    int64_t drawn_ns;
    bool is_drawn;
    sl_scope scope; /* around the work; ^C cancels it */
    bool has_scope; /* it is there: a signal may come before the work, or behind it */
    bool is_interrupted;
    int r;
    Err err;
} StoreCommand;

/* ---- opening --------------------------------------------------------------------------------- */

/* The URL without user, password and options. */
static void describe(Str url, char *out)
{
    Str rest, scheme = str_cut(url, ':', &rest);
    ssize_t end = str_find(rest, '?'), at = -1;

    if (end >= 0)
        rest = str_sub(rest, 0, (size_t) end);
    if (!str_starts(rest, str_from_c("//"))) {
        (void) snprintf(out, NAME_BYTES, "%.*s:%.*s", (int) scheme.len, scheme.data, (int) rest.len,
                        rest.data);
        return;
    }
    for (size_t i = 0; i < rest.len; i++)
        at = rest.data[i] == '@' ? (ssize_t) i : at;
    rest = at >= 0 ? str_sub(rest, (size_t) at + 1, rest.len) : str_sub(rest, 2, rest.len);
    (void) snprintf(out, NAME_BYTES, "%.*s://%.*s", (int) scheme.len, scheme.data, (int) rest.len,
                    rest.data);
}

SUSPENDS static int open_still(StoreCommand *command, sl_nursery *nursery, Str text, char *name,
                               Queues **ret_queues)
{
    QueueOpts opts = { .is_still = true };
    Str url;
    int r;

    if (text.len && text.data[0] == '@')
        r = config_store_file(&command->arena, str_sub(text, 1, text.len), &url);
    else
        r = config_store_url(&command->arena, text, &url);
    if (r < 0)
        return r;
    describe(url, name);
    opts.store = arena_copy_c(&command->arena, url);
    r = queue_start(nursery, &opts, ret_queues);
    return r < 0 ? wrap(r, "%s", name) : 0;
}

/* ---- migrate --------------------------------------------------------------------------------- */

static void draw(void *ctx, const MigrateStats *stats)
{
    StoreCommand *command = ctx;
    int64_t now_ns = sl_now_ns();
    int full = stats->total ? (int) (MIN(stats->seen, stats->total) * BAR_COLUMNS / stats->total)
                            : BAR_COLUMNS;
    char bar[BAR_COLUMNS + 1];

    if (!command->request->shows_progress || now_ns - command->drawn_ns < DRAW_NS)
        return;
    for (int i = 0; i < BAR_COLUMNS; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR_COLUMNS] = '\0';
    command->drawn_ns = now_ns;
    command->is_drawn = true;
    (void) fprintf(stderr, "\r\033[K[%s] %llu of %llu jobs", bar, (unsigned long long) stats->seen,
                   (unsigned long long) stats->total);
    (void) fflush(stderr);
}

static void write_stats(StoreCommand *command, const MigrateStats *stats)
{
    JsonWriter out = JSON_WRITER(command->request->result);

    json_write_object(&out);
    json_write_member_c(&out, "from", command->from_name);
    json_write_member_c(&out, "to", command->to_name);
    json_write_member_bool(&out, "dry_run", command->request->dry_run);
    json_write_member_u64(&out, "jobs", stats->total);
    json_write_key(&out, "states");
    json_write_object(&out);
    for (int state = 0; state < JOB_STATE_COUNT; state++)
        json_write_member_u64(&out, job_state_name((JobState) state), stats->jobs[state]);
    json_write_object_end(&out);
    json_write_member_u64(&out, "copied", stats->added);
    json_write_member_u64(&out, "already_there", stats->seen - stats->added);
    json_write_member_u64(&out, "idempotency_keys", stats->keys);
    json_write_member_u64(&out, "queues", stats->queues);
    json_write_object_end(&out);
}

SUSPENDS static int migrate(StoreCommand *command, sl_nursery *nursery)
{
    const StoreRequest *request = command->request;
    MigrateOpts opts = { .from_name = command->from_name,
                         .to_name = command->to_name,
                         .merges = request->merge,
                         .forces = request->force,
                         .is_dry = request->dry_run,
                         .progress = draw,
                         .ctx = command };
    MigrateStats *stats = arena_new(&command->arena, MigrateStats);
    int r = open_still(command, nursery, request->to, command->to_name, &command->to);

    opts.from = command->from;
    opts.to = command->to;
    if (r == 0)
        r = queue_migrate(&opts, stats);
    if (command->is_drawn)
        (void) fputs("\r\033[K", stderr);
    if (r == 0)
        write_stats(command, stats);
    return r;
}

/* ---- check, info, reopen --------------------------------------------------------------------- */

static void write_notes(JsonWriter *out, Queues *queues, StoreNote *notes)
{
    size_t n = queue_store_notes(queues, notes, STORE_NOTES_MAX);

    json_write_key(out, "notes");
    json_write_array(out);
    for (size_t i = 0; i < n; i++)
        json_write_str(out, str_from_c(notes[i].text));
    json_write_array_end(out);
}

SUSPENDS static int info(StoreCommand *command)
{
    JsonWriter out = JSON_WRITER(command->request->result);
    StoreNote *notes = arena_zalloc(&command->arena, STORE_NOTES_MAX * sizeof(StoreNote));
    uint64_t counts[JOB_STATE_COUNT] = { 0 }, n_queues = 0;
    StoreQueueInfo *infos;
    Str after = { 0 };
    size_t n;

    do {
        int r = queue_list_queues(&command->arena, command->from, after, 100, &infos, &n);

        if (r < 0)
            return r;
        for (size_t i = 0; i < n; i++) {
            for (int state = 0; state < JOB_STATE_COUNT; state++)
                counts[state] += infos[i].counts[state];
        }
        n_queues += n;
        after = n ? str_from_c(infos[n - 1].name) : after;
    } while (n == 100);
    json_write_object(&out);
    json_write_member_c(&out, "store", command->from_name);
    json_write_member_u64(&out, "queues", n_queues);
    json_write_key(&out, "states");
    json_write_object(&out);
    for (int state = 0; state < JOB_STATE_COUNT; state++)
        json_write_member_u64(&out, job_state_name((JobState) state), counts[state]);
    json_write_object_end(&out);
    write_notes(&out, command->from, notes);
    json_write_object_end(&out);
    return 0;
}

SUSPENDS static int check(StoreCommand *command)
{
    JsonWriter out = JSON_WRITER(command->request->result);
    uint64_t jobs = 0;
    int r = queue_check(command->from, &jobs);

    if (r < 0)
        return wrap(r, "%s", command->from_name);
    json_write_object(&out);
    json_write_member_c(&out, "store", command->from_name);
    json_write_member_bool(&out, "sound", true);
    json_write_member_u64(&out, "jobs", jobs);
    json_write_object_end(&out);
    return 0;
}

SUSPENDS static int reopen(StoreCommand *command)
{
    JsonWriter out = JSON_WRITER(command->request->result);
    int r = queue_reopen(command->from);

    if (r < 0)
        return wrap(r, "%s", command->from_name);
    json_write_object(&out);
    json_write_member_c(&out, "store", command->from_name);
    json_write_member_bool(&out, "reopened", true);
    json_write_object_end(&out);
    return 0;
}

/* ---- the run --------------------------------------------------------------------------------- */

SUSPENDS static int work(StoreCommand *command, sl_nursery *nursery)
{
    int r = open_still(command, nursery, command->request->store, command->from_name,
                       &command->from);

    if (r < 0)
        return r;
    switch (command->request->verb) {
    case STORE_VERB_MIGRATE: return migrate(command, nursery);
    case STORE_VERB_CHECK: return check(command);
    case STORE_VERB_INFO: return info(command);
    case STORE_VERB_REOPEN: return reopen(command);
    }
    return 0;
}

SUSPENDS static int work_fiber(void *arg)
{
    StoreCommand *command = arg;
    sl_nursery *nursery = sl_nursery_open(.name = "stores", .keep_going = true);
    int r;

    sl_scope_begin(&command->scope);
    command->has_scope = true;
    if (command->is_interrupted) /* before there was a scope */
        sl_scope_cancel(&command->scope);
    r = work(command, nursery);
    command->has_scope = false;
    if (sl_scope_end(&command->scope, r) == 0 && r < 0 && command->is_interrupted)
        r = fail(-EINTR, "interrupted; run it again and it goes on");
    command->r = r;
    if (r < 0)
        err_take(r, &command->err);
    queue_stop(command->to);
    queue_stop(command->from);
    sl_nursery_close(nursery);
    return 0;
}

SUSPENDS static int watch_interrupt(void *arg)
{
    StoreCommand *command = arg;
    int which, r;

    r = sl_signal_wait(1ULL << SIGINT | 1ULL << SIGTERM, &which);
    if (r < 0)
        return r;
    command->is_interrupted = true;
    if (command->has_scope)
        sl_scope_cancel(&command->scope);
    return 0;
}

SUSPENDS static int command_main(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *watchers = sl_nursery_open(.name = "signals");
    sl_nursery *nursery = sl_nursery_open(.name = "store");
    int r;

    r = sl_spawn(nursery, work_fiber, arg, .name = "store", .stack_bytes = STACK_BYTES);
    if (r == 0)
        r = sl_spawn(watchers, watch_interrupt, arg, .name = "signals");
    if (r == 0)
        r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    return r;
}

int store_command_run(const StoreRequest *request)
{
    StoreCommand command = { .request = request };
    int r;

    arena_init(&command.arena, 0);
    r = sl_run(command_main, &command, .stall_ms = -1, .name = "store");
    if (r == 0 && command.r < 0)
        r = err_put(&command.err);
    arena_deinit(&command.arena);
    return r;
}
