/*
 * STORE_CHECK: everything is walked, page by page, and compared with docs/internals/redis.md.
 *
 *   C1  A job's text can be read, and it is in exactly one place: the one that its state says.
 *   C2  A number in line is the one that the job's text has.
 *   C3  What is due in a state of a queue is not due before P:due says.
 *   C4  A line with entries is to be found in P:prio of its queue.
 *   C5  There is no key of a kind that is not known.
 *
 * It reads with SCAN and ranges, not with a script, so the server goes on serving. What moves
 * meanwhile may be seen in two places or in none; so whatever looks wrong is looked at again by
 * itself, several times, and counts when it stays wrong. Its memory grows with the number of jobs.
 */
#include "store/redis/remote_int.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE "500"

enum { LOOKS = 5 };

typedef struct CheckJob {
    bool is_placed;
    char place[]; /* "active:QUEUE", "line:QUEUE:PRIORITY NUMBER" */
} CheckJob;

/* A job that looks wrong, and where it was seen. */
typedef struct Suspect {
    struct Suspect *next;
    const char *place; /* empty: nowhere */
    char id[64];
} Suspect;

typedef struct Check {
    RemotePart *part;
    StoreOp *op;
    Map jobs;    /* id -> CheckJob */
    Map keys;    /* every key of the partition, without its prefix -> itself */
    Arena arena; /* of one page */
    Arena kept;  /* of the suspects */
    Suspect *suspects;
    int r;
} Check;

static void violated(Check *check, const char *fmt, ...) SL_PRINTF(2, 3);
static void violated(Check *check, const char *fmt, ...)
{
    va_list args;

    if (check->op->check.why[0])
        return;
    va_start(args, fmt);
    vsnprintf(check->op->check.why, sizeof(check->op->check.why), fmt, args);
    va_end(args);
}

/* ---- commands -------------------------------------------------------------------------------- */

/* NAME on P:KEY with arguments; false when the server did not answer. */
SUSPENDS static bool command(Check *check, const char *name, Str key, const char *const *more,
                             size_t n, RespValue *ret_reply)
{
    RemotePart *part = check->part;
    const char *argv[10] = { name };
    Str full = arena_printf(&check->arena, "%.*s%.*s", (int) part->prefix.len, part->prefix.data,
                            (int) key.len, key.data);

    argv[1] = full.data;
    ASSERT(n + 2 <= ARRAY_LEN(argv));
    for (size_t i = 0; i < n; i++)
        argv[2 + i] = more[i];
    check->r = remote_command(part->loop, &check->arena, part->slot, argv, n + 2, ret_reply);
    return check->r == 0;
}

static const char *text_of(Check *check, int64_t number)
{
    return arena_printf(&check->arena, "%lld", (long long) number).data;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static const char *const kinds[] = {
    "epoch",      "job:",       "ready:",     "back:",      "prio:",   "line",
    "stale:",     "passed:",    "pending:",   "scheduled:", "active:", "retryable:",
    "completed:", "cancelled:", "discarded:", "dead:",      "due",     "queues",
    "names",      "paused",     "key:",       "ops:",       "wait:",   "ticker",
    "meta:",      "worker:",    "workers",    "turn",       "listen"
};

static void note_key(Check *check, Str key)
{
    bool is_known = false;

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        Str kind = str_from_c(kinds[i]);
        is_known |= str_ends(kind, str_from_c(":")) ? str_starts(key, kind) : str_eq(key, kind);
    }
    if (!is_known) /* C5 */
        violated(check, "a key that is not ours: %.*s", (int) key.len, key.data);
    if (!map_find(&check->keys, key))
        (void) map_put(&check->keys, key, check);
}

SUSPENDS static void scan_keys(Check *check)
{
    RemotePart *part = check->part;
    char cursor[32] = "0";

    do {
        Str pattern = arena_printf(&check->arena, "%.*s*", (int) part->prefix.len,
                                   part->prefix.data);
        const char *argv[] = { "SCAN", cursor, "MATCH", pattern.data, "COUNT", PAGE };
        const RespValue *keys;
        RespValue reply;

        check->r = remote_command(part->loop, &check->arena, part->slot, argv, ARRAY_LEN(argv),
                                  &reply);
        if (check->r < 0)
            return;
        keys = resp_item(&reply, 1);
        for (size_t i = 0; i < keys->n; i++)
            note_key(check, str_sub(resp_item(keys, i)->text, part->prefix.len, SIZE_MAX));
        snprintf(cursor, sizeof(cursor), "%.*s", (int) resp_item(&reply, 0)->text.len,
                 resp_item(&reply, 0)->text.data);
        arena_reset(&check->arena);
    } while (strcmp(cursor, "0") != 0);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

enum { F_STATE = 0, F_FLAGS = 3, F_QUEUE = 5, F_LINE = 11, F_PRIORITY = 15, F_COUNT = 16 };

/* Where a job with TEXT should stand; empty when it cannot be read. */
static Str place_of(Check *check, Str text)
{
    Str line = str_cut(text, '\n', &(Str){ 0 }), fields[F_COUNT], rest = line;
    const char *name;
    JobState state;

    for (size_t i = 0; i < F_COUNT; i++) {
        Str left = rest;
        fields[i] = str_cut(left, ' ', &rest);
    }
    if (!job_state_parse(fields[F_STATE], &state) || fields[F_PRIORITY].len == 0)
        return (Str){ 0 };
    if (state == JOB_AVAILABLE)
        return arena_printf(&check->arena, "line:%.*s:%.*s %.*s", (int) fields[F_QUEUE].len,
                            fields[F_QUEUE].data, (int) fields[F_PRIORITY].len,
                            fields[F_PRIORITY].data, (int) fields[F_LINE].len, fields[F_LINE].data);
    name = str_contains(fields[F_FLAGS], str_from_c("D")) ? "dead" : job_state_name(state);
    return arena_printf(&check->arena, "%s:%.*s", name, (int) fields[F_QUEUE].len,
                        fields[F_QUEUE].data);
}

static void note_job(Check *check, Str id, Str text)
{
    Str place = place_of(check, text);
    CheckJob *job;

    if (place.len == 0) { /* C1 */
        violated(check, "job %.*s cannot be read", (int) id.len, id.data);
        return;
    }
    job = mem_zalloc(sizeof(CheckJob) + place.len + 1);
    memcpy(job->place, place.data, place.len);
    mem_free(map_put(&check->jobs, id, job));
    check->op->check.jobs++;
}

SUSPENDS static void read_jobs(Check *check)
{
    size_t cursor = 0;
    RespValue reply;
    void *value;
    Str key;

    while (check->r == 0 && map_next(&check->keys, &cursor, &key, &value)) {
        if (!str_starts(key, str_from_c("job:")))
            continue;
        if (!command(check, "GET", key, NULL, 0, &reply))
            return;
        if (reply.type == RESP_TEXT)
            note_job(check, str_sub(key, 4, SIZE_MAX), reply.text);
        arena_reset(&check->arena);
    }
}

static void suspect(Check *check, Str id, Str place)
{
    Suspect *new = arena_new(&check->kept, Suspect);

    snprintf(new->id, sizeof(new->id), "%.*s", (int) id.len, id.data);
    new->place = arena_copy_c(&check->kept, place);
    new->next = check->suspects;
    check->suspects = new;
}

/* ID stands in PLACE: it must be its own (C1, C2). */
static void place_job(Check *check, Str id, Str place)
{
    CheckJob *job = map_find(&check->jobs, id);

    if (!job || !str_eq_c(place, job->place))
        suspect(check, id, place);
    else
        job->is_placed = true;
}

/* ---- places ---------------------------------------------------------------------------------- */

/* Every member of a sorted set, with its score. */
SUSPENDS static void walk_set(Check *check, Str key,
                              void (*each)(Check *check, Str key, Str member, Str score))
{
    static const int step = 500;
    RespValue reply;
    size_t n;

    for (int64_t from = 0;; from += step) {
        const char *range[] = { text_of(check, from), text_of(check, from + step - 1),
                                "WITHSCORES" };

        if (!command(check, "ZRANGE", key, range, 3, &reply))
            return;
        n = reply.n;
        for (size_t i = 0; i < n; i++) {
            const RespValue *item = resp_item(&reply, i);

            if (item->type == RESP_LIST) { /* RESP3 gives pairs */
                Str score = arena_printf(&check->arena, "%.0f", resp_item(item, 1)->real);
                each(check, key, resp_item(item, 0)->text, score);
            } else if (i + 1 < n) {
                each(check, key, item->text, resp_item(&reply, i + 1)->text);
                i++;
            }
        }
        arena_reset(&check->arena);
        if (n == 0)
            return;
    }
}

static void in_state(Check *check, Str key, Str member, Str score)
{
    (void) score;
    place_job(check, member, key);
}

static void in_back(Check *check, Str key, Str member, Str score)
{
    Str line = str_sub(key, 5, SIZE_MAX);

    place_job(check, member,
              arena_printf(&check->arena, "line:%.*s %.*s", (int) line.len, line.data,
                           (int) score.len, score.data));
}

SUSPENDS static int64_t number_from(Check *check, const char *name, Str key, const char *field)
{
    int64_t number = 0;
    RespValue reply;

    if (!command(check, name, key, field ? &field : NULL, field ? 1 : 0, &reply))
        return 0;
    return resp_to_number(&reply, &number) ? number : 0;
}

SUSPENDS static bool is_stale(Check *check, Str line, const RespValue *id)
{
    Str key = arena_printf(&check->arena, "stale:%.*s", (int) line.len, line.data);
    const char *field = arena_copy_c(&check->arena, id->text);
    RespValue reply;

    return command(check, "HGET", key, &field, 1, &reply) && reply.type == RESP_TEXT;
}

SUSPENDS static void walk_ready(Check *check, Str key)
{
    char line[300];
    int64_t last, len;

    snprintf(line, sizeof(line), "%.*s", (int) key.len - 6, key.data + 6);
    last = number_from(check, "HGET", str_from_c("line"), line);
    len = number_from(check, "LLEN", key, NULL);
    for (int64_t from = 0; from < len && check->r == 0; from += 500) {
        const char *range[] = { text_of(check, from), text_of(check, from + 499) };
        RespValue reply;

        if (!command(check, "LRANGE", key, range, 2, &reply))
            return;
        for (size_t i = 0; i < reply.n; i++) {
            const RespValue *id = resp_item(&reply, i);
            long long number = last - len + 1 + from + (int64_t) i;

            if (!is_stale(check, str_from_c(line), id))
                place_job(check, id->text,
                          arena_printf(&check->arena, "line:%s %lld", line, number));
        }
        arena_reset(&check->arena);
    }
}

SUSPENDS static bool has_entries(Check *check, Str line)
{
    Str ready = arena_printf(&check->arena, "ready:%.*s", (int) line.len, line.data);
    Str back = arena_printf(&check->arena, "back:%.*s", (int) line.len, line.data);

    return number_from(check, "LLEN", ready, NULL) + number_from(check, "ZCARD", back, NULL) > 0;
}

/* "QUEUE:PRIORITY" is to be found by who leases (C4). */
SUSPENDS static void check_line(Check *check, Str line)
{
    size_t at = line.len;
    const char *priority;
    RespValue reply;
    Str key;

    while (at > 0 && line.data[at - 1] != ':')
        at--;
    if (at == 0) {
        violated(check, "a line without priority: %.*s", (int) line.len, line.data);
        return;
    }
    key = arena_printf(&check->arena, "prio:%.*s", (int) at - 1, line.data);
    priority = arena_copy_c(&check->arena, str_sub(line, at, SIZE_MAX));
    for (int looks = 0; looks < LOOKS; looks++) {
        if (!command(check, "ZSCORE", key, &priority, 1, &reply) || reply.type != RESP_NULL ||
            !has_entries(check, line))
            return;
    }
    violated(check, "line %.*s is in no list of priorities", (int) line.len, line.data);
}

static int64_t score_of(const RespValue *value, int64_t none)
{
    int64_t number;

    if (resp_to_number(value, &number))
        return number;
    return value->type == RESP_REAL ? (int64_t) value->real : none;
}

/* Whether nothing in STATE:QUEUE is due before P:due says. */
SUSPENDS static bool is_bounded(Check *check, Str key)
{
    const char *member = arena_copy_c(&check->arena, key);
    const char *range[] = { "0", "0", "WITHSCORES" };
    const RespValue *first;
    RespValue reply, bound;

    if (!command(check, "ZSCORE", str_from_c("due"), &member, 1, &bound) ||
        !command(check, "ZRANGE", key, range, 3, &reply) || reply.n == 0)
        return true;
    first = resp_item(&reply, 0);
    first = first->type == RESP_LIST ? resp_item(first, 1) : resp_item(&reply, 1);
    return score_of(&bound, INT64_MAX) <= score_of(first, 0);
}

SUSPENDS static void check_due(Check *check, Str key)
{
    for (int looks = 0; looks < LOOKS; looks++) {
        if (is_bounded(check, key))
            return;
    }
    violated(check, "%.*s has something due before the bound in due", (int) key.len, key.data);
}

static bool has_due(Str key)
{
    return str_starts(key, str_from_c("scheduled:")) || str_starts(key, str_from_c("retryable:")) ||
           str_starts(key, str_from_c("active:"));
}

static bool is_state(Str key)
{
    Str rest, name = str_cut(key, ':', &rest);
    JobState state;

    return rest.len > 0 && (str_eq_c(name, "dead") || job_state_parse(name, &state));
}

SUSPENDS static void check_place(Check *check, Str key)
{
    if (str_starts(key, str_from_c("ready:"))) {
        walk_ready(check, key);
        check_line(check, str_sub(key, 6, SIZE_MAX));
    } else if (str_starts(key, str_from_c("back:"))) {
        walk_set(check, key, in_back);
        check_line(check, str_sub(key, 5, SIZE_MAX));
    } else if (is_state(key)) {
        walk_set(check, key, in_state);
    }
    if (has_due(key))
        check_due(check, key);
    arena_reset(&check->arena);
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* Jobs that were seen nowhere (C1). */
static void check_placed(Check *check)
{
    size_t cursor = 0;
    void *value;
    Str id;

    while (map_next(&check->jobs, &cursor, &id, &value)) {
        const CheckJob *job = value;

        if (!job->is_placed)
            suspect(check, id, (Str){ 0 });
    }
}

/* ---- a second look --------------------------------------------------------------------------- */

/* Whether ID stands in LINE with NUMBER. */
SUSPENDS static bool is_in_line(Check *check, const char *id, Str line, int64_t number)
{
    const char *name = arena_copy_c(&check->arena, line), *index;
    Str ready = arena_printf(&check->arena, "ready:%s", name);
    Str back = arena_printf(&check->arena, "back:%s", name);
    Str stale = arena_printf(&check->arena, "stale:%s", name);
    int64_t first;
    RespValue reply;

    if (command(check, "ZSCORE", back, &id, 1, &reply) && score_of(&reply, -1) == number)
        return true;
    first = number_from(check, "HGET", str_from_c("line"), name) -
            number_from(check, "LLEN", ready, NULL) + 1;
    if (number < first || number_from(check, "HGET", stale, id) == number)
        return false;
    index = text_of(check, number - first);
    return command(check, "LINDEX", ready, &index, 1, &reply) && str_eq_c(reply.text, id);
}

SUSPENDS static bool is_in(Check *check, const char *id, Str place)
{
    RespValue reply;
    Str number, line;

    if (!str_starts(place, str_from_c("line:")))
        return command(check, "ZSCORE", place, &id, 1, &reply) && reply.type != RESP_NULL;
    line = str_cut(str_sub(place, 5, SIZE_MAX), ' ', &number);
    return is_in_line(check, id, line,
                      score_of(&(RespValue){ .type = RESP_TEXT, .text = number }, 0));
}

/* Whether the suspect is where its text says, and not where it was seen besides. */
SUSPENDS static bool is_sound(Check *check, const Suspect *one)
{
    Str key = arena_printf(&check->arena, "job:%s", one->id), seen = str_from_c(one->place), own;
    RespValue text;

    if (!command(check, "GET", key, NULL, 0, &text))
        return true; /* check->r tells */
    own = text.type == RESP_TEXT ? place_of(check, text.text) : (Str){ 0 };
    if (own.len > 0 && !is_in(check, one->id, own))
        return false;
    return seen.len == 0 || str_eq(seen, own) || !is_in(check, one->id, seen);
}

SUSPENDS static void check_suspects(Check *check)
{
    for (const Suspect *one = check->suspects; one && check->r == 0; one = one->next) {
        int looks = 0;

        while (looks < LOOKS && !is_sound(check, one))
            looks++;
        if (looks == LOOKS)
            violated(check, "job %s is not in the one place that its text says%s%s", one->id,
                     one->place[0] ? "; it was seen in " : "", one->place);
        arena_reset(&check->arena);
    }
}

static void check_free(Check *check)
{
    size_t cursor = 0;
    void *value;
    Str key;

    while (map_next(&check->jobs, &cursor, &key, &value))
        mem_free(value);
    map_deinit(&check->jobs);
    map_deinit(&check->keys);
    arena_deinit(&check->arena);
    arena_deinit(&check->kept);
    mem_free(check);
}

SUSPENDS static int check_part(RemotePart *part, StoreOp *op)
{
    Check *check = mem_new(Check);
    size_t cursor = 0;
    void *value;
    Str key;
    int r;

    check->part = part;
    check->op = op;
    map_init(&check->jobs, sl_random(), sl_random());
    map_init(&check->keys, sl_random(), sl_random());
    arena_init(&check->arena, 0);
    arena_init(&check->kept, 0);
    scan_keys(check);
    if (check->r == 0)
        read_jobs(check);
    while (check->r == 0 && map_next(&check->keys, &cursor, &key, &value))
        check_place(check, key);
    if (check->r == 0)
        check_placed(check);
    check_suspects(check);
    r = check->r;
    check_free(check);
    return r;
}

void remote_check(RemoteLoop *loop, StoreOp *op)
{
    op->r = 0;
    op->check.why[0] = '\0';
    op->check.jobs = 0;
    for (uint32_t p = 0; p < loop->remote->n_parts; p++) {
        int r = check_part(&loop->parts[p], op);

        if (r < 0) {
            op_take_error(op, r);
            return;
        }
    }
    if (op->check.why[0])
        op_set_error(op, -ERR_STORE, op->check.why);
}
