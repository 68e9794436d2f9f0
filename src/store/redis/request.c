/*
 * Requests of the busy scripts and what their answers mean: push, work, beat.
 *
 * Moves with the same guard and change are sent as one group, so that each job costs its id and its
 * fence. A job that is moved twice in one call must be seen twice: then pieces have one job each.
 */
#include "store/redis/args_int.h"

#include "store/engine_int.h"
#include "store/redis/value.h"

#include <errno.h>
#include <stdlib.h>

/* ---- push ------------------------------------------------------------------------------------ */

typedef struct PushId {
    const char *bytes;
    size_t op, at;
} PushId;

static int compare_push_ids(const void *a, const void *b)
{
    const PushId *left = a, *right = b;
    int order = memcmp(left->bytes, right->bytes, RECORD_ID_BYTES);

    if (order == 0)
        order = (left->op > right->op) - (left->op < right->op);
    return order != 0 ? order : (left->at > right->at) - (left->at < right->at);
}

static bool push_ascends(StoreOp *const *ops, size_t n)
{
    const char *last = NULL;

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < ops[i]->push.n; j++) {
            const char *bytes = ops[i]->push.records[j].data;
            if (last && memcmp(last, bytes, RECORD_ID_BYTES) >= 0)
                return false;
            last = bytes;
        }
    }
    return true;
}

/*
 * Ids that stand twice: TWINS[i] becomes the later one's place in push I (0: none), *RET_ACROSS
 * whether one stands in two pushes. Ids made by us ascend: one pass.
 */
static int push_find_twins(Arena *arena, StoreOp *const *ops, size_t n, size_t *twins,
                           bool *ret_across)
{
    size_t total = 0, at = 0;
    PushId *ids;

    *ret_across = false;
    if (push_ascends(ops, n))
        return 0;
    for (size_t i = 0; i < n; i++)
        total += ops[i]->push.n;
    ids = arena_try(arena, total * sizeof(PushId));
    if (!ids)
        return fail(-ENOMEM, "no memory for a push");
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < ops[i]->push.n; j++)
            ids[at++] = (PushId){ ops[i]->push.records[j].data, i, j };
    }
    qsort(ids, total, sizeof(PushId), compare_push_ids);
    for (size_t i = 1; i < total; i++) {
        if (memcmp(ids[i - 1].bytes, ids[i].bytes, RECORD_ID_BYTES) != 0)
            continue;
        if (ids[i - 1].op == ids[i].op && twins[ids[i].op] == 0)
            twins[ids[i].op] = ids[i].at;
        *ret_across |= ids[i - 1].op != ids[i].op;
    }
    return 0;
}

/* Whether all queues have names that can be; *RET_AT the first that has not. */
static bool push_is_valid(const StoreOp *op, size_t *ret_at)
{
    for (size_t i = 0; i < op->push.n; i++) {
        Str name;

        *ret_at = i;
        if (!record_find(record_body(op->push.records[i]), RECORD_QUEUE, &name) || name.len == 0 ||
            name.len > QUEUE_NAME_MAX)
            return false;
    }
    *ret_at = 0;
    return true;
}

static int push_add_job(Args *args, Str record, Buf *head, Buf *tail)
{
    JobId id = record_id(record);
    int r;

    buf_reset(head);
    buf_reset(tail);
    r = value_add_new(args->arena, record, head, tail);
    if (r == 0)
        r = buf_check(tail);
    if (r == 0)
        r = buf_check(head);
    if (r < 0)
        return wrap(r, "write a job for Redis");
    /* The same head as the job before: it is not copied again. */
    if (args->n >= 3 && str_eq(args->items[args->n - 3], buf_str(head)))
        args_add(args, args->items[args->n - 3]);
    else
        args_add_copy(args, buf_str(head));
    args_add_id(args, &id);
    args_add_copy(args, buf_str(tail));
    return 0;
}

static int push_add_op(Args *args, const StoreOp *op, size_t twin, Buf *head, Buf *tail)
{
    size_t at, n = push_is_valid(op, &at) ? op->push.n : 0;

    if (op->push.key.len > 0 && n > 0)
        args_add(args, arena_printf(args->arena, "%llu %lld %.*s",
                                    (unsigned long long) op->push.key_print,
                                    (long long) MAX(op->push.key_ttl_ms, INT64_C(1)),
                                    (int) op->push.key.len, op->push.key.data));
    else
        args_add(args, (Str){ 0 });
    if (twin > 0 && n > 0)
        args_add(args, arena_printf(args->arena, "%zu %zu", n, twin));
    else
        args_add_number(args, (int64_t) n);
    for (size_t i = 0; i < n; i++) {
        int r = push_add_job(args, op->push.records[i], head, tail);
        if (r < 0)
            return r;
    }
    return 0;
}

int request_push(Arena *arena, const RequestHead *head, bool has_functions, StoreOp *const *ops,
                 size_t n, Request *ret)
{
    AUTO(buf_deinit) Buf head_text = { 0 }, tail = { 0 };
    size_t *twins = arena_try(arena, n * sizeof(size_t));
    bool is_across;
    Args args;
    int r;

    ASSERT(n > 0);
    if (!twins)
        return fail(-ENOMEM, "no memory for a push");
    memset(twins, 0, n * sizeof(size_t));
    r = push_find_twins(arena, ops, n, twins, &is_across);
    if (r < 0)
        return r;
    args_begin(&args, arena, SCRIPT_PUSH, head, has_functions, ret);
    args_add_flag(&args, is_across);
    args_add_number(&args, (int64_t) n);
    for (size_t i = 0; i < n; i++) {
        r = push_add_op(&args, ops[i], twins[i], &head_text, &tail);
        if (r < 0)
            return r;
    }
    return args_end(&args, ret);
}

static int add_texts(StoreOp *op, const RespValue *list)
{
    for (size_t i = 0; i + 1 < list->n; i += 2) {
        int r = reply_add_job(op, resp_item(list, i)->text, resp_item(list, i + 1)->text, -1,
                              false);
        if (r < 0)
            return r;
    }
    return 0;
}

/* What the word of one push says. *KNOWN counts the lists of known keys that were used. */
static int answer_push_one(const RespValue *reply, StoreOp *op, Str word, size_t *known)
{
    uint64_t number = 0;
    char letter = word.len > 0 ? word.data[0] : '\0';
    bool has_number = letter >= '0' && letter <= '9';
    RecordHead head;

    op->r = 0;
    op->push.at = 0;
    if (str_to_u64(str_sub(word, !has_number, word.len), INT64_MAX, &number) < 0)
        has_number = false;
    if (has_number) {
        record_head_get(record_body(op->push.records[0]), &head);
        op->push.orders = number > 0 ? line_order(head.priority, number) : 0;
        return 0;
    }
    op->push.at = number < op->push.n ? (size_t) number : 0;
    switch (letter) {
    case 'd': return op_fail(op, -ERR_DUPLICATE, "a job with this id exists already");
    case 't': return op_fail(op, -ERR_DUPLICATE, "two jobs of the push have the same id");
    case 'k':
        return op_fail(op, -ERR_DUPLICATE, "the idempotency key was used for another request");
    case 'b': return op_fail(op, -ERR_BUSY, "there are too many queues (%d)", LIMIT_QUEUES);
    case 'x': op->r = STORE_EXISTS; return add_texts(op, resp_item(reply, 2 + (*known)++));
    default: return fail(-ERR_STORE, "a reply of Redis is none of ours");
    }
}

int answer_push(const RespValue *reply, StoreOp *const *ops, size_t n)
{
    bool is_full = resp_is_error(reply, "OOM");
    size_t known = 0;
    Str words, word;
    int r = is_full ? 0 : reply_check(reply, 2);

    if (r < 0)
        return r;
    words = is_full ? (Str){ 0 } : resp_item(reply, 1)->text;
    for (size_t i = 0; i < n; i++) {
        size_t at;

        word = str_cut(words, ' ', &words);
        if (!push_is_valid(ops[i], &at)) {
            ops[i]->push.at = at;
            r = op_fail(ops[i], -ERR_INVALID, "the queue's name is not valid");
        } else if (is_full) {
            r = op_fail(ops[i], -ERR_STORE_FULL, "the store has no room for new jobs");
        } else {
            r = answer_push_one(reply, ops[i], word, &known);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- work: moves ----------------------------------------------------------------------------- */

static bool is_same_group(const StoreMove *a, const StoreMove *b)
{
    bool has_more = a->result.len > 0 || a->error || b->result.len > 0 || b->error;

    return a->from == b->from && a->to == b->to && a->reason == b->reason &&
           a->only_dead_letter == b->only_dead_letter && a->only_expired == b->only_expired &&
           a->is_dead_letter == b->is_dead_letter && a->gives_back == b->gives_back &&
           a->is_loss == b->is_loss && a->keeps_place == b->keeps_place &&
           a->starts_over_if == b->starts_over_if && a->due_ms == b->due_ms &&
           a->retry_delay_ms == b->retry_delay_ms && str_eq(a->worker, b->worker) &&
           (!has_more || ((a->error != NULL) == (b->error != NULL) &&
                          (a->result.len > 0) == (b->result.len > 0)));
}

static bool has_sections(const StoreMove *move)
{
    return move->error || (move->to == JOB_COMPLETED && move->result.len > 0);
}

static void add_group(Args *args, const StoreMove *move, size_t n)
{
    AUTO(buf_deinit) Buf text = { 0 };
    const struct {
        bool is_set;
        char letter;
    } options[] = { { move->only_dead_letter, 'd' }, { move->only_expired, 'e' },
                    { move->is_dead_letter, 'D' },   { move->gives_back, 'g' },
                    { move->is_loss, 'l' },          { move->keeps_place, 'k' },
                    { has_sections(move), 's' },     { move->error != NULL, 'x' } };
    size_t before;

    buf_printf(&text, "%u %s %s ", (unsigned) move->from, job_state_name(move->to),
               job_reason_name(move->reason));
    before = text.len;
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (options[i].is_set)
            buf_add_char(&text, options[i].letter);
    }
    if (text.len == before)
        buf_add_char(&text, '-');
    buf_printf(&text, " %lld %u %u ", (long long) MAX(move->due_ms, INT64_C(0)),
               (unsigned) move->retry_delay_ms, (unsigned) move->starts_over_if);
    value_add_name(&text, move->worker);
    buf_printf(&text, " %zu", n);
    if (buf_check(&text) < 0)
        args->is_failed = true;
    else
        args_add_copy(args, buf_str(&text));
}

static int add_sections(Args *args, const StoreMove *move)
{
    AUTO(buf_deinit) Buf text = { 0 };
    int r = 0;

    if (move->to == JOB_COMPLETED && move->result.len > 0)
        value_add_result(&text, move->result);
    if (move->error)
        r = value_add_error(args->arena, &text, move->error);
    if (r == 0)
        r = buf_check(&text);
    if (r < 0)
        return wrap(r, "write the end of an attempt for Redis");
    args_add_copy(args, buf_str(&text));
    return 0;
}

/* Whether a job is moved twice. A table with open addressing over the random end of the ids. */
static int moves_have_twins(Arena *arena, StoreMove *const *moves, size_t n, bool *ret_twins)
{
    size_t size = 4;
    uint32_t *slots;

    while (size < n * 2)
        size *= 2;
    *ret_twins = false;
    slots = arena_try(arena, size * sizeof(uint32_t));
    if (!slots)
        return fail(-ENOMEM, "no memory for moves");
    memset(slots, 0, size * sizeof(uint32_t));
    for (size_t i = 0; i < n; i++) {
        uint64_t hash;

        memcpy(&hash, moves[i]->id.bytes + 8, sizeof(hash));
        hash *= UINT64_C(0x9e3779b97f4a7c15);
        size_t at = (size_t) (hash >> 32) & (size - 1);
        for (; slots[at]; at = (at + 1) & (size - 1)) {
            if (job_id_eq(&moves[slots[at] - 1]->id, &moves[i]->id)) {
                *ret_twins = true;
                return 0;
            }
        }
        slots[at] = (uint32_t) i + 1;
    }
    return 0;
}

static int add_moves(Args *args, StoreMove *const *moves, size_t n)
{
    for (size_t i = 0; i < n;) {
        const StoreMove *first = moves[i];
        size_t end = i + 1;

        while (end < n && is_same_group(first, moves[end]))
            end++;
        add_group(args, first, end - i);
        for (; i < end; i++) {
            args_add_id(args, &moves[i]->id);
            args_add_number(args, moves[i]->fence);
            int r = has_sections(first) ? add_sections(args, moves[i]) : 0;
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* ---- work: the lease ------------------------------------------------------------------------- */

static void add_lease(Args *args, const StoreOp *lease, Str process, const Str *skip, size_t n_skip)
{
    uint64_t print = hash_bytes("", 0, n_skip, 0);

    ASSERT(lease->lease.max >= lease->lease.n); /* none: a pass */
    args_add_number(args, (int64_t) (lease->lease.max - lease->lease.n));
    args_add_number(args, MAX(lease->lease.lease_ms, INT64_C(0)));
    args_add_number(args, lease->lease.default_ms);
    args_add_name(args, lease->lease.worker);
    args_add(args, process);
    args_add_number(args, (int64_t) n_skip);
    for (size_t i = 0; i < n_skip; i++)
        print = hash_bytes(skip[i].data, skip[i].len, print, i);
    args_add(args, arena_printf(args->arena, "%016llx", (unsigned long long) print));
    for (size_t i = 0; i < n_skip; i++)
        args_add(args, skip[i]);
    args_add_number(args, (int64_t) lease->lease.n_queues);
    for (size_t i = 0; i < lease->lease.n_queues; i++)
        args_add_name(args, lease->lease.queues[i]);
}

int request_work(Arena *arena, const RequestHead *head, bool has_functions, const StoreOp *move,
                 StoreMove *const *moves, size_t n, const StoreOp *lease, Str process,
                 const Str *skip, size_t n_skip, Request *ret)
{
    bool has_twins = false;
    Args args;
    int r = n > 1 ? moves_have_twins(arena, moves, n, &has_twins) : 0;

    if (r < 0)
        return r;
    args_begin(&args, arena, SCRIPT_WORK, head, has_functions, ret);
    args_add_number(&args, (int64_t) n);
    args_add_flag(&args, move && move->move.wants_records);
    args_add_number(&args, has_twins ? 1 : LIMIT_REDIS_MOVES);
    r = add_moves(&args, moves, n);
    if (r < 0)
        return r;
    if (lease)
        add_lease(&args, lease, process, skip, n_skip);
    else
        args_add(&args, (Str){ 0 });
    return args_end(&args, ret);
}

/* R of a script, as an error of ours. */
static int outcome_of(int64_t r)
{
    static const int codes[] = { 0, -ERR_NOT_FOUND, -ERR_CONFLICT, -ERR_STALE_LEASE,
                                 -ERR_TOO_LARGE };

    return r >= 0 && (size_t) r < ARRAY_LEN(codes) ? codes[r] : -ERR_STORE;
}

/* One run of outcomes, "COUNT R WAS ATTEMPT", to the moves from *AT on. */
static int answer_run(Str run, StoreMove *const *moves, size_t n, size_t *at, int64_t now_ms)
{
    uint64_t numbers[4];

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (str_to_u64(str_cut(run, ' ', &run), UINT32_MAX, &numbers[i]) < 0)
            return fail(-ERR_STORE, "a reply of Redis is none of ours");
    }
    if (numbers[0] > n - *at)
        return fail(-ERR_STORE, "a reply of Redis has too many moves");
    for (uint64_t i = 0; i < numbers[0]; i++) {
        StoreMove *move = moves[(*at)++];

        move->r = outcome_of((int64_t) numbers[1]);
        if (numbers[2] < JOB_STATE_COUNT) {
            move->was = (JobState) numbers[2];
            move->attempt = (uint32_t) numbers[3];
        }
        if (move->r == 0)
            move->at_ms = now_ms;
    }
    return 0;
}

/* What was leased, but for jobs that cannot be read: those would take the others with them. */
static int add_granted(StoreOp *lease, const RespValue *list)
{
    int r = 0;

    for (size_t i = 0; i + 1 < list->n && r == 0; i += 2)
        r = reply_add_readable(lease, resp_item(list, i)->text, resp_item(list, i + 1)->text, -1,
                               false, &lease->lease.n);
    return r;
}

int answer_work(const RespValue *reply, StoreOp *move, StoreMove *const *moves, size_t n,
                StoreOp *lease)
{
    size_t at = 0;
    Str runs;
    int r = reply_check(reply, 5);

    if (r < 0)
        return r;
    runs = resp_item(reply, 1)->text;
    while (runs.len > 0) {
        r = answer_run(str_cut(runs, ',', &runs), moves, n, &at, answer_now_ms(reply));
        if (r < 0)
            return r;
    }
    if (at != n)
        return fail(-ERR_STORE, "a reply of Redis has %zu moves of %zu", at, n);
    r = move ? add_texts(move, resp_item(reply, 2)) : 0;
    if (r < 0 || !lease)
        return r;
    r = add_granted(lease, resp_item(reply, 4));
    if (r < 0)
        return r;
    lease->r = lease->lease.n > 0                         ? 0
               : str_eq_c(resp_item(reply, 3)->text, "m") ? STORE_MORE
                                                          : STORE_EMPTY;
    return 0;
}

/* ---- beats ----------------------------------------------------------------------------------- */

int request_beat(Arena *arena, const RequestHead *head, bool has_functions, const StoreOp *op,
                 StoreBeat *const *beats, size_t n, Request *ret)
{
    Args args;

    args_begin(&args, arena, SCRIPT_BEAT, head, has_functions, ret);
    args_add_number(&args, MAX(op->extend.lease_ms, INT64_C(0)));
    args_add_name(&args, op->extend.worker);
    args_add_number(&args, (int64_t) n);
    for (size_t i = 0; i < n; i++) {
        args_add_id(&args, &beats[i]->id);
        args_add_number(&args, beats[i]->fence);
    }
    return args_end(&args, ret);
}

int answer_beat(const RespValue *reply, StoreBeat *const *beats, size_t n)
{
    int r = reply_check(reply, n + 1);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        Str text = resp_item(reply, i + 1)->text;
        int64_t numbers[4];

        for (size_t j = 0; j < ARRAY_LEN(numbers); j++) {
            if (str_to_i64(str_cut(text, ' ', &text), 0, INT64_MAX, &numbers[j]) < 0)
                return fail(-ERR_STORE, "a reply of Redis is none of ours");
        }
        beats[i]->r = outcome_of(numbers[0]);
        if (numbers[1] < JOB_STATE_COUNT)
            beats[i]->state = (JobState) numbers[1];
        beats[i]->directive = (JobDirective) (numbers[2] & 3);
        if (beats[i]->r == 0)
            beats[i]->until_ms = numbers[3];
    }
    return 0;
}
