/*
 * Moving: every job of one store into another.
 *
 *   look     no workers are there, the target is empty or half filled by this very move
 *   mark     both stores, under one id; from then on no engine opens either of them
 *   copy     queue by queue and state by state, in the order of the line; then idempotency keys,
 *            then which queues are paused
 *   compare  the counts of both
 *   mark     the target as done: it may be opened. The source stays marked as moved
 *
 * Each step may be made twice: a job that is in the target already is passed over (an import never
 * takes a fence back), so a move that was cut short anywhere is simply made again. That both marks
 * have the same id tells it from a target that is somebody else's.
 *
 * A record travels as it is, but for the times of the steady clock (leases, retries), which are
 * moved to the other store's. Jobs that run are moved with their lease: a worker elsewhere that
 * comes back in time may still answer, at the new store; otherwise the lease ends there and the job
 * is run again, which counts as a loss and not as a failure.
 */
#include "queue/queue_int.h"

#include "base/assert.h"
#include "codec/json.h"
#include "codec/time_text.h"

#include <errno.h>
#include <stdio.h>

#define MARK_NAME    "migration"
#define QUEUES_PAGE  200
#define WORKERS_PAGE 100
#define KEYS_PAGE    500

/* Jobs that may come back to the line first, so that they stand before those that wait in it. */
static const JobState order_of_states[] = { JOB_ACTIVE,    JOB_AVAILABLE, JOB_PENDING,
                                            JOB_SCHEDULED, JOB_RETRYABLE, JOB_COMPLETED,
                                            JOB_CANCELLED, JOB_DISCARDED };

typedef struct Migration {
    const MigrateOpts *opts;
    MigrateStats *stats;
    Arena arena; /* names of queues, and the mark */
    StoreQueueInfo *queues;
    size_t n_queues;
    char id[UUID_TEXT_BYTES]; /* of this move */
    bool *was_paused;         /* of each queue, before the move */
    size_t page;              /* jobs in one step */
} Migration;

/* ---- marks ----------------------------------------------------------------------------------- */

typedef struct Mark {
    Str id;    /* empty: there is none */
    Str role;  /* "source", "target" */
    Str state; /* "copying", "done" */
    Str with;  /* the other store */
    Json paused;
} Mark;

SUSPENDS static int read_mark(Arena *arena, Queues *queues, Mark *ret_mark)
{
    static const Str name = STR(MARK_NAME);
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_META, .meta.name = name };
    JsonDoc doc;
    int r = store_run(queues->store, &op);

    *ret_mark = (Mark){ 0 };
    if (r < 0)
        return r;
    if (op.r < 0 && err_http_status(op.r) == 404)
        return 0;
    if (op.r < 0)
        return store_op_fail(&op);
    r = json_parse(arena, arena_copy(arena, buf_str(&op.out)), &doc);
    if (r < 0)
        return wrap(r, "the mark of a move");
    ret_mark->id = json_str_or(json_find(doc.root, "id"), (Str){ 0 });
    ret_mark->role = json_str_or(json_find(doc.root, "role"), (Str){ 0 });
    ret_mark->state = json_str_or(json_find(doc.root, "state"), (Str){ 0 });
    ret_mark->with = json_str_or(json_find(doc.root, "with"), (Str){ 0 });
    ret_mark->paused = json_find(doc.root, "paused");
    return 0;
}

SUSPENDS static int write_mark(const Migration *move, Queues *queues, const char *role,
                               const char *state, const char *with)
{
    static const Str name = STR(MARK_NAME);
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter out = JSON_WRITER(&text);

    json_write_object(&out);
    json_write_member_c(&out, "id", move->id);
    json_write_member_c(&out, "role", role);
    json_write_member_c(&out, "state", state);
    json_write_member_c(&out, "with", with);
    json_write_member_time_ms(&out, "at", queue_now_ms(queues));
    json_write_key(&out, "paused");
    json_write_array(&out);
    for (size_t i = 0; i < move->n_queues; i++) {
        if (move->was_paused[i])
            json_write_str(&out, str_from_c(move->queues[i].name));
    }
    json_write_array_end(&out);
    json_write_object_end(&out);
    return queue_meta_put(queues, name, buf_str(&text));
}

static bool is_mark(const Mark *mark, const char *role, const char *state)
{
    return mark->id.len > 0 && str_eq_c(mark->role, role) && str_eq_c(mark->state, state);
}

int migrate_refuse_moved(Queues *queues)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Mark mark;
    int r;

    arena_init(&arena, 0);
    r = read_mark(&arena, queues, &mark);
    if (r < 0 || mark.id.len == 0 || is_mark(&mark, "target", "done"))
        return r;
    if (str_eq_c(mark.role, "target"))
        return fail(-ERR_CONFIG,
                    "the jobs of %.*s are being moved into this store and not all are here; run "
                    "`sluice store migrate` again",
                    (int) MIN(mark.with.len, (size_t) 200), mark.with.data);
    return fail(-ERR_CONFIG,
                "the jobs of this store were moved to %.*s; `sluice store reopen` takes it into "
                "use again",
                (int) MIN(mark.with.len, (size_t) 200), mark.with.data);
}

static bool names(Json list, const char *name)
{
    for (JsonIter it = json_iter(list); json_next(&it);) {
        if (str_eq_c(json_str_or(it.value, (Str){ 0 }), name))
            return true;
    }
    return false;
}

/* ---- looking --------------------------------------------------------------------------------- */

/* All queues of a store, into ARENA. */
SUSPENDS static int read_queues(Arena *arena, Queues *queues, StoreQueueInfo **ret_infos,
                                size_t *ret_n)
{
    StoreQueueInfo *all = NULL, *page = NULL;
    size_t n = 0, got = 0;
    Str after = { 0 };

    do {
        StoreQueueInfo *grown;
        int r = queue_list_queues(arena, queues, after, QUEUES_PAGE, &page, &got);

        if (r < 0)
            return r;
        grown = arena_try(arena, (n + got + 1) * sizeof(StoreQueueInfo));
        if (!grown)
            return fail(-ENOMEM, "no memory for queues");
        if (n > 0)
            memcpy(grown, all, n * sizeof(StoreQueueInfo));
        memcpy(grown + n, page, got * sizeof(StoreQueueInfo));
        all = grown;
        n += got;
        after = got > 0 ? str_from_c(all[n - 1].name) : after;
    } while (got == QUEUES_PAGE);
    *ret_infos = all;
    *ret_n = n;
    return 0;
}

static uint64_t count_jobs(const StoreQueueInfo *infos, size_t n)
{
    uint64_t total = 0;

    for (size_t i = 0; i < n; i++) {
        for (int state = 0; state < JOB_STATE_COUNT; state++)
            total += infos[i].counts[state];
    }
    return total;
}

/* Whether a worker with CARD has shown itself lately. */
static bool is_alive(Arena *arena, Str card, int64_t now_ms)
{
    int64_t after_ms = 3 * LIMIT_WORKER_CARD_MS, seen_ms;
    JsonDoc doc;
    int r = json_parse(arena, card, &doc);

    if (r < 0) {
        err_take(r, NULL);
        return true; /* of another program's making, but somebody renews it */
    }
    (void) json_get_i64(json_find(doc.root, "gone_after_ms"), &after_ms);
    if (time_parse_rfc3339(json_str_or(json_find(doc.root, "seen_at"), (Str){ 0 }), &seen_ms) < 0)
        return true;
    return now_ms - seen_ms <= after_ms;
}

SUSPENDS static int look_for_workers(Arena *arena, Queues *queues)
{
    QueueWorker *workers = NULL;
    bool has_more = false;
    size_t n = 0, alive = 0, first = 0;
    int r = queue_worker_list(arena, queues, (Str){ 0 }, WORKERS_PAGE, &workers, &n, &has_more);

    if (r < 0)
        return r;
    for (size_t i = n; i > 0; i--) {
        if (is_alive(arena, workers[i - 1].card, queue_now_ms(queues))) {
            alive++;
            first = i - 1;
        }
    }
    if (alive == 0)
        return 0;
    return fail(-ERR_CONFLICT,
                "%zu%s workers are at work in the source, %.*s among them; stop them first, or say "
                "--force",
                alive, has_more ? " or more" : "", (int) MIN(workers[first].name.len, (size_t) 100),
                workers[first].name.data);
}

/* Whether the target is ours to fill; MARK is the source's. */
SUSPENDS static int look_at_target(Migration *move, const Mark *mark)
{
    const MigrateOpts *opts = move->opts;
    StoreQueueInfo *infos;
    Mark other;
    uint64_t jobs;
    size_t n;
    int r = read_mark(&move->arena, opts->to, &other);

    if (r == 0)
        r = read_queues(&move->arena, opts->to, &infos, &n);
    if (r < 0)
        return wrap(r, "target");
    jobs = count_jobs(infos, n);
    if (other.id.len && str_eq_c(other.role, "source"))
        return fail(-ERR_CONFLICT,
                    "the target's own jobs were moved elsewhere, and older versions of them are "
                    "still in it; take another target");
    if (mark->id.len && str_eq(other.id, mark->id))
        return is_mark(&other, "target", "done")
                   ? fail(-ERR_CONFLICT, "everything was moved to %s already", opts->to_name)
                   : 0;
    if (is_mark(&other, "target", "copying"))
        return fail(-ERR_CONFLICT, "the target is being filled from another store, %.*s",
                    (int) MIN(other.with.len, (size_t) 200), other.with.data);
    if (jobs > 0 && !opts->merges)
        return fail(-ERR_CONFLICT,
                    "the target has %llu jobs of its own; say --merge to have those of both",
                    (unsigned long long) jobs);
    return 0;
}

/* ---- copying --------------------------------------------------------------------------------- */

/* The times of the steady clock, as the other store counts it. */
static void shift_times(const Migration *move, char *body)
{
    int64_t shift_ms = store_now(move->opts->to->store).steady_ms -
                       store_now(move->opts->from->store).steady_ms;
    RecordHead head;

    record_head_get(str_from(body, RECORD_HEAD_BYTES), &head);
    if (head.state == JOB_RETRYABLE || head.state == JOB_ACTIVE)
        head.due_ms = MAX(head.due_ms + shift_ms, INT64_C(0));
    if (head.started_steady_ms)
        head.started_steady_ms = MAX(head.started_steady_ms + shift_ms, INT64_C(1));
    record_head_put(body, &head);
}

SUSPENDS static int import_page(Migration *move, StoreOp *list, JobState state)
{
    StoreImport *jobs = mem_new_array(StoreImport, list->list.n);
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_IMPORT, .import = { .jobs = jobs } };
    size_t cursor = 0;
    Str record;
    int r;

    while (op.import.n < list->list.n && store_out_next(&list->out, &cursor, &record)) {
        StoreImport *job = &jobs[op.import.n++];

        shift_times(move, list->out.data + (record.data - list->out.data) + RECORD_ID_BYTES);
        *job = (StoreImport){ .record = record };
        if (state == JOB_ACTIVE)
            (void) store_out_next(&list->out, &cursor, &job->holder); /* stands behind each */
    }
    r = queue_run_op(move->opts->to, &op);
    move->stats->seen += op.import.n;
    move->stats->jobs[state] += op.import.n;
    move->stats->added += op.import.n_added;
    mem_free(jobs);
    return r < 0 ? r : 0;
}

/* One page of QUEUE's jobs in STATE; CURSOR goes on. 0, STORE_MORE. */
SUSPENDS static int copy_page(Migration *move, Str queue, JobState state, Buf *cursor)
{
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_LIST,
                   .list = { .states = 1u << state,
                             .queue = queue,
                             .max = move->page,
                             .cursor = buf_str(cursor) } };
    int more = queue_run_op(move->opts->from, &op), r;

    if (more == -ENOMEM && move->page > 1) { /* jobs may be large: fewer at once */
        move->page = move->page / 8 + 1;
        return STORE_MORE;
    }
    if (more < 0 || op.list.n == 0)
        return more < 0 ? more : 0;
    r = import_page(move, &op, state);
    if (r < 0)
        return wrap(r, "target");
    buf_reset(cursor);
    buf_add(cursor, op.list.next, op.list.next_len);
    if (move->opts->progress)
        move->opts->progress(move->opts->ctx, move->stats);
    return more;
}

SUSPENDS static int copy_jobs(Migration *move)
{
    for (size_t i = 0; i < move->n_queues; i++) {
        const StoreQueueInfo *info = &move->queues[i];

        for (size_t k = 0; k < JOB_STATE_COUNT; k++) {
            AUTO(buf_deinit) Buf cursor = { 0 };
            int r = info->counts[order_of_states[k]] > 0 ? STORE_MORE : 0;

            while (r == STORE_MORE)
                r = copy_page(move, str_from_c(info->name), order_of_states[k], &cursor);
            if (r < 0)
                return wrap(r, "queue %s", info->name);
        }
    }
    return 0;
}

SUSPENDS static int import_keys(Migration *move, const StoreOp *page)
{
    StoreKey *keys = mem_new_array(StoreKey, page->keys.n + 1);
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_IMPORT, .import = { .keys = keys } };
    size_t cursor = 0;
    Str name, value;
    int r;

    while (op.import.n_keys < page->keys.n && store_out_next(&page->out, &cursor, &name) &&
           store_out_next(&page->out, &cursor, &value)) {
        StoreKey *key = &keys[op.import.n_keys];

        if (value.len < 16)
            continue;
        *key = (StoreKey){ .key = name,
                           .ids = (const uint8_t *) value.data + 16,
                           .n_ids = (value.len - 16) / RECORD_ID_BYTES };
        memcpy(&key->until_ms, value.data, 8);
        memcpy(&key->print, value.data + 8, 8);
        op.import.n_keys++;
    }
    move->stats->keys += op.import.n_keys;
    r = op.import.n_keys ? queue_run_op(move->opts->to, &op) : 0;
    mem_free(keys);
    return r < 0 ? r : 0;
}

SUSPENDS static int copy_keys(Migration *move)
{
    AUTO(buf_deinit) Buf cursor = { 0 };
    AUTO(buf_deinit) Buf next = { 0 };
    int more;

    do {
        AUTO(store_op_deinit)
        StoreOp op = { .kind = STORE_KEYS,
                       .keys = { .cursor = buf_str(&cursor), .max = KEYS_PAGE, .next = &next } };
        int r;

        more = queue_run_op(move->opts->from, &op);
        r = more < 0 ? more : import_keys(move, &op);
        if (r < 0)
            return wrap(r, "idempotency keys");
        buf_reset(&cursor);
        buf_add_str(&cursor, buf_str(&next));
    } while (more == STORE_MORE);
    return 0;
}

SUSPENDS static int copy_pauses(Migration *move)
{
    int r = 0;

    for (size_t i = 0; i < move->n_queues && r >= 0; i++) {
        if (move->was_paused[i])
            r = queue_pause(move->opts->to, str_from_c(move->queues[i].name), true);
    }
    return r < 0 ? r : 0;
}

/* Where other processes have the source open, no job may be taken from it any more. */
SUSPENDS static int pause_source(Migration *move)
{
    int r = 0;

    if (!queue_is_shared(move->opts->from))
        return 0;
    for (size_t i = 0; i < move->n_queues && r >= 0; i++)
        r = queue_pause(move->opts->from, str_from_c(move->queues[i].name), true);
    return r < 0 ? r : 0;
}

/* Each queue of the source has as many jobs in each state in the target, or more when merged. */
SUSPENDS static int compare(Migration *move)
{
    StoreQueueInfo *infos = NULL;
    size_t n = 0;
    int r = read_queues(&move->arena, move->opts->from, &infos, &n);

    for (size_t i = 0; i < n && r == 0; i++) {
        StoreQueueInfo there = { 0 };

        if (count_jobs(&infos[i], 1) == 0)
            continue;
        r = queue_stats(move->opts->to, str_from_c(infos[i].name), &there);
        for (int state = 0; state < JOB_STATE_COUNT && r == 0; state++) {
            if (there.counts[state] < infos[i].counts[state] ||
                (there.counts[state] > infos[i].counts[state] && !move->opts->merges))
                r = fail(-ERR_CONFLICT,
                         "queue %s has %llu %s jobs in the source and %llu in the target: somebody "
                         "has been at work meanwhile; stop them and run it again",
                         infos[i].name, (unsigned long long) infos[i].counts[state],
                         job_state_name((JobState) state),
                         (unsigned long long) there.counts[state]);
        }
    }
    return r;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Read what there is, and the id of the move: the source's mark has it when this is not the first
 * time. */
SUSPENDS static int look(Migration *move, Mark *ret_mark)
{
    const MigrateOpts *opts = move->opts;
    int r = read_mark(&move->arena, opts->from, ret_mark);

    if (r == 0)
        r = read_queues(&move->arena, opts->from, &move->queues, &move->n_queues);
    if (r < 0)
        return wrap(r, "source");
    if (is_mark(ret_mark, "target", "copying"))
        return fail(-ERR_CONFLICT, "the source is itself being filled from %.*s",
                    (int) MIN(ret_mark->with.len, (size_t) 200), ret_mark->with.data);
    if (ret_mark->id.len && !str_eq_c(ret_mark->role, "source"))
        *ret_mark = (Mark){ 0 }; /* of a move that brought its jobs here */
    if (is_mark(ret_mark, "source", "done") && !str_eq_c(ret_mark->with, opts->to_name))
        return fail(-ERR_CONFLICT, "the source was moved to %.*s already",
                    (int) MIN(ret_mark->with.len, (size_t) 200), ret_mark->with.data);
    if (!opts->forces)
        r = look_for_workers(&move->arena, opts->from);
    if (r == 0)
        r = look_at_target(move, ret_mark);
    move->stats->total = count_jobs(move->queues, move->n_queues);
    move->stats->queues = move->n_queues;
    return r;
}

SUSPENDS static int begin(Migration *move, const Mark *mark)
{
    const MigrateOpts *opts = move->opts;
    Rand rand;
    UuidMaker maker;
    Uuid id;
    int r;

    move->was_paused = arena_zalloc(&move->arena, move->n_queues + 1);
    for (size_t i = 0; i < move->n_queues; i++)
        move->was_paused[i] = mark->id.len && queue_is_shared(opts->from)
                                  ? names(mark->paused, move->queues[i].name)
                                  : move->queues[i].is_paused;
    if (mark->id.len) {
        (void) snprintf(move->id, sizeof(move->id), "%.*s", (int) mark->id.len, mark->id.data);
    } else {
        rand_init(&rand, sl_random());
        uuid_maker_init(&maker, &rand);
        id = uuid_make_v7(&maker, queue_now_ms(opts->from));
        (void) uuid_format(&id, move->id);
    }
    r = write_mark(move, opts->from, "source", "copying", opts->to_name);
    if (r >= 0)
        r = write_mark(move, opts->to, "target", "copying", opts->from_name);
    return r < 0 ? r : pause_source(move);
}

SUSPENDS static int copy_all(Migration *move)
{
    const MigrateOpts *opts = move->opts;
    int r = copy_jobs(move);

    if (r == 0)
        r = copy_keys(move);
    if (r == 0)
        r = copy_pauses(move);
    if (r == 0)
        r = compare(move);
    if (r == 0)
        r = write_mark(move, opts->from, "source", "done", opts->to_name);
    if (r >= 0)
        r = write_mark(move, opts->to, "target", "done", opts->from_name);
    return r < 0 ? r : 0;
}

int queue_migrate(const MigrateOpts *opts, MigrateStats *ret_stats)
{
    Migration move = { .opts = opts, .stats = ret_stats, .page = LIMIT_MIGRATE_JOBS };
    Mark mark;
    int r;

    *ret_stats = (MigrateStats){ 0 };
    arena_init(&move.arena, 0);
    r = look(&move, &mark);
    if (r == 0 && !opts->is_dry)
        r = begin(&move, &mark);
    if (r == 0 && !opts->is_dry)
        r = copy_all(&move);
    for (size_t i = 0; opts->is_dry && i < move.n_queues; i++) {
        for (int state = 0; state < JOB_STATE_COUNT; state++)
            ret_stats->jobs[state] += move.queues[i].counts[state];
    }
    arena_deinit(&move.arena);
    return r;
}

int queue_reopen(Queues *queues)
{
    static const Str name = STR(MARK_NAME);
    AUTO(arena_deinit) Arena arena = { 0 };
    StoreQueueInfo *infos;
    Mark mark;
    size_t n;
    int r;

    arena_init(&arena, 0);
    r = read_mark(&arena, queues, &mark);
    if (r == 0)
        r = read_queues(&arena, queues, &infos, &n);
    if (r < 0)
        return r;
    if (!mark.id.len || is_mark(&mark, "target", "done"))
        return fail(-ERR_CONFLICT, "the store was not moved; nothing is to be done");
    if (str_eq_c(mark.role, "target"))
        return fail(-ERR_CONFLICT, "the store is half filled from %.*s; end that first",
                    (int) MIN(mark.with.len, (size_t) 200), mark.with.data);
    for (size_t i = 0; i < n && r >= 0 && queue_is_shared(queues); i++) {
        if (!names(mark.paused, infos[i].name))
            r = queue_pause(queues, str_from_c(infos[i].name), false);
    }
    if (r >= 0)
        r = queue_meta_put(queues, name, str_from_c("{}"));
    return r < 0 ? r : 0;
}
