/*
 * Moves and leases over partitions.
 *
 * The moves of one chain are one request for each partition that has some, all at once; the lease
 * behind them rides on the one whose partition had jobs last (and is a request of its own when no
 * move goes there), so that "complete and lease more" is one round trip. A lease that got too
 * little then asks further partitions, several at a time, each for its share of what is missing, so
 * that never more comes than was asked for. Once something came it asks one round more at most.
 *
 * With one partition all of this is one request, made of the operations as they are.
 */
#include "store/redis/remote_int.h"

#include <stdio.h>

enum { ROUND_MAX = 4 }; /* partitions that one lease asks at a time */

/* What is asked of one partition: some of the moves, a share of the lease. */
typedef struct Share {
    Ask ask;
    StoreOp move; /* a copy with an `out` of its own */
    StoreMove **moves;
    size_t n_moves;
    StoreOp lease; /* a copy with a share of `max` */
    bool has_lease;
    bool is_get; /* a GET that follows */
} Share;

static Str process_of(const RemoteLoop *loop, bool registers)
{
    return registers ? str_from_c(loop->client) : (Str){ 0 };
}

/* ---- one share ------------------------------------------------------------------------------- */

static int share_request(RemoteLoop *loop, Share *share, bool registers)
{
    Ask *ask = &share->ask;
    bool has_functions = loop->remote->has_functions;
    const Str *skips = NULL;
    size_t n_skips = 0;

    if (share->is_get)
        return request_one(&ask->arena, &ask->head, has_functions, &share->lease, (Str){ 0 },
                           &ask->request);
    if (share->has_lease)
        skips = filter_skips(loop, &ask->arena, share->lease.lease.filter, &n_skips);
    return request_work(&ask->arena, &ask->head, has_functions,
                        share->n_moves > 0 ? &share->move : NULL, share->moves, share->n_moves,
                        share->has_lease ? &share->lease : NULL, process_of(loop, registers), skips,
                        n_skips, &ask->request);
}

static void share_fail(Share *share, int r, const char *why)
{
    if (share->n_moves > 0)
        op_set_error(&share->move, r, why);
    if (share->has_lease || share->is_get)
        op_set_error(&share->lease, r, why);
}

static void share_take(Share *share)
{
    Ask *ask = &share->ask;
    int r = ask->r;
    Err err;

    if (r == 0 && share->is_get)
        r = answer_one(&ask->reply, &share->lease);
    else if (r == 0)
        r = answer_work(&ask->reply, share->n_moves > 0 ? &share->move : NULL, share->moves,
                        share->n_moves, share->has_lease ? &share->lease : NULL);
    else
        r = fail(r, "%s", ask->why);
    if (r < 0) {
        err_take(r, &err);
        share_fail(share, r, err.text);
    } else if (share->has_lease && share->lease.lease.n > 0) {
        ask->part->loop->rich = ask->part->index;
    }
}

static ScriptKind share_kind(const Share *share)
{
    return share->is_get ? SCRIPT_GET : SCRIPT_WORK;
}

/* Ask all shares at once. */
SUSPENDS static void shares_run(RemoteLoop *loop, Share *shares, size_t n, bool registers)
{
    Ask *few[8], **asks = n <= ARRAY_LEN(few) ? few : mem_new_array(Ask *, n);
    size_t n_asks = 0;

    for (size_t i = 0; i < n; i++) {
        RemotePart *part = shares[i].ask.part;
        int r;

        ask_begin(&shares[i].ask, part, share_kind(&shares[i]));
        r = share_request(loop, &shares[i], registers);
        if (r < 0) {
            Err err;

            err_take(r, &err);
            shares[i].ask.r = r;
            snprintf(shares[i].ask.why, sizeof(shares[i].ask.why), "%.150s", err.text);
        } else {
            asks[n_asks++] = &shares[i].ask;
        }
    }
    if (n_asks > 0)
        asks_run(loop, asks, n_asks);
    for (size_t i = 0; i < n; i++) {
        share_take(&shares[i]);
        ask_end(&shares[i].ask);
    }
    if (asks != few)
        mem_free(asks);
}

/* ---- the moves ------------------------------------------------------------------------------- */

/* The moves of MOVE by partition: one share for each partition that has some. */
static size_t share_moves(RemoteLoop *loop, StoreOp *move, Share *shares, StoreMove **sorted)
{
    uint32_t n_parts = loop->remote->n_parts;
    size_t *counts = mem_new_array(size_t, n_parts), n = 0, at = 0;

    for (size_t i = 0; i < move->move.n; i++)
        counts[partition_of_id(&move->move.moves[i].id, n_parts)]++;
    for (uint32_t p = 0; p < n_parts; p++) {
        if (counts[p] == 0)
            continue;
        shares[n] = (Share){ .ask.part = &loop->parts[p], .move = *move, .moves = sorted + at };
        shares[n].move.out = (Buf){ 0 };
        at += counts[p];
        counts[p] = n++;
    }
    for (size_t i = 0; i < move->move.n; i++) {
        uint32_t p = partition_of_id(&move->move.moves[i].id, n_parts);
        Share *share = &shares[counts[p]];

        share->moves[share->n_moves++] = &move->move.moves[i];
    }
    mem_free(counts);
    return n;
}

/* Records in the order of the moves, out of the shares' answers. */
static void merge_records(RemoteLoop *loop, StoreOp *move, Share *shares, size_t n)
{
    size_t *cursors = mem_new_array(size_t, n);

    for (size_t i = 0; i < move->move.n; i++) {
        uint32_t p = partition_of_id(&move->move.moves[i].id, loop->remote->n_parts);
        size_t at = 0;
        uint32_t len;
        Str record;

        if (move->move.moves[i].r != 0)
            continue;
        while (at < n && (shares[at].ask.part->index != p || shares[at].n_moves == 0))
            at++;
        ASSERT(at < n);
        if (!store_out_next(&shares[at].move.out, &cursors[at], &record))
            continue;
        len = (uint32_t) record.len;
        buf_add(&move->out, &len, sizeof(len));
        buf_add_str(&move->out, record);
    }
    mem_free(cursors);
}

static void merge_moves(RemoteLoop *loop, StoreOp *move, Share *shares, size_t n)
{
    move->r = 0;
    for (size_t i = 0; i < n; i++) {
        if (shares[i].n_moves > 0 && shares[i].move.r < 0)
            op_set_error(move, shares[i].move.r, shares[i].move.why);
    }
    if (move->r == 0 && move->move.wants_records)
        merge_records(loop, move, shares, n);
    for (size_t i = 0; i < n; i++)
        store_op_deinit(&shares[i].move);
}

/* ---- the lease ------------------------------------------------------------------------------- */

static void lease_share(Share *share, const StoreOp *lease, size_t max)
{
    share->lease = *lease;
    share->lease.out = (Buf){ 0 };
    share->lease.lease.n = 0;
    share->lease.lease.max = max;
    share->has_lease = true;
}

/* What a share was granted, into LEASE. A grant counts more than another share's error. */
static void lease_merge(StoreOp *lease, Share *share)
{
    StoreOp *from = &share->lease;

    if (!share->has_lease)
        return;
    if (from->lease.n > 0) {
        if (lease->out.len == 0) {
            buf_deinit(&lease->out);
            lease->out = from->out;
            from->out = (Buf){ 0 };
        }
        buf_add_str(&lease->out, buf_str(&from->out));
        lease->lease.n += from->lease.n;
    } else if (from->r < 0 && lease->r >= 0) {
        op_set_error(lease, from->r, from->why);
    } else if (from->r == STORE_MORE && lease->r == STORE_EMPTY) {
        lease->r = STORE_MORE;
    }
    store_op_deinit(from);
    share->has_lease = false;
}

static void lease_end(StoreOp *lease)
{
    if (lease->lease.n > 0) {
        lease->r = 0;
        lease->why[0] = '\0';
    }
}

/* Ask up to ROUND_MAX of the partitions that WANTED has, from the loop's turn on; they are taken
 * out of WANTED. How many were asked. */
SUSPENDS static size_t lease_round(RemoteLoop *loop, StoreOp *lease, bool *wanted, bool registers)
{
    uint32_t n_parts = loop->remote->n_parts;
    size_t missing = lease->lease.max - lease->lease.n, n = 0;
    size_t n_max = MIN(missing, (size_t) ROUND_MAX);
    Share *shares = mem_new_array(Share, n_max);

    for (uint32_t i = 0; i < n_parts && n < n_max; i++) {
        uint32_t index = (loop->turn + i) % n_parts;

        if (!wanted[index])
            continue;
        wanted[index] = false;
        shares[n++].ask.part = &loop->parts[index];
    }
    for (size_t i = 0; i < n; i++)
        lease_share(&shares[i], lease, missing / n + (i < missing % n ? 1 : 0));
    if (n > 0)
        shares_run(loop, shares, n, registers);
    for (size_t i = 0; i < n; i++)
        lease_merge(lease, &shares[i]);
    mem_free(shares);
    return n;
}

/* Further rounds, until it has all; one more at most once it has something. */
/* It has as many bytes as one partition gives: another one's would be too many. */
static bool is_heavy(const StoreOp *lease)
{
    return lease->out.len > LIMIT_LEASE_BYTES;
}

SUSPENDS static void lease_further(RemoteLoop *loop, StoreOp *lease, bool *wanted, bool registers)
{
    bool had_some = lease->lease.n > 0;

    loop->turn++;
    while (lease->lease.n < lease->lease.max && lease->r >= 0 && !is_heavy(lease)) {
        if (lease_round(loop, lease, wanted, registers) == 0 || had_some)
            break;
        had_some = lease->lease.n > 0;
    }
    lease_end(lease);
}

/*
 * Again while all that came is of types that the lease does not take. Every round teaches a type,
 * or there is more than this call may look at.
 */
SUSPENDS static bool lease_filtered(RemoteLoop *loop, StoreOp *lease, bool *wanted, bool registers)
{
    uint32_t n_parts = loop->remote->n_parts;
    bool *before = mem_new_array(bool, n_parts), is_full = false;

    memcpy(before, wanted, n_parts * sizeof(bool));
    for (int tries = 0; tries < LIMIT_STORE_FILTER_TRIES; tries++) {
        memcpy(wanted, before, n_parts * sizeof(bool));
        lease_further(loop, lease, wanted, registers);
        is_full = lease->lease.n >= lease->lease.max;
        if (filter_apply(loop, lease) == 0 || lease->lease.n > 0)
            break;
        lease->r = STORE_MORE;
    }
    mem_free(before);
    return is_full;
}

bool remote_lease(RemoteLoop *loop, StoreOp *lease, bool *wanted, bool registers)
{
    lease->r = STORE_EMPTY;
    lease->lease.n = 0;
    return lease_filtered(loop, lease, wanted, registers);
}

/* ---- together -------------------------------------------------------------------------------- */

/* The share that the lease rides on: that of the partition which had jobs last. */
static Share *share_for_lease(RemoteLoop *loop, Share *shares, size_t *n)
{
    for (size_t i = 0; i < *n; i++) {
        if (shares[i].ask.part->index == loop->rich)
            return &shares[i];
    }
    shares[*n] = (Share){ .ask.part = &loop->parts[loop->rich] };
    return &shares[(*n)++];
}

SUSPENDS static void lease_rest(RemoteLoop *loop, StoreOp *lease, uint32_t asked)
{
    uint32_t n_parts = loop->remote->n_parts;
    bool *wanted;

    bool was_refused = filter_apply(loop, lease) > 0 && lease->lease.n == 0;

    lease_end(lease);
    if (lease->r < 0 || lease->lease.n >= lease->lease.max || is_heavy(lease) ||
        (n_parts == 1 && !was_refused))
        return;
    wanted = mem_new_array(bool, n_parts);
    for (uint32_t i = 0; i < n_parts; i++)
        wanted[i] = i != asked || was_refused;
    if (lease->r == 0 && lease->lease.n == 0)
        lease->r = STORE_EMPTY;
    (void) lease_filtered(loop, lease, wanted, false);
    mem_free(wanted);
}

void remote_work(RemoteLoop *loop, StoreOp *move, StoreOp *lease, StoreOp *get)
{
    uint32_t n_parts = loop->remote->n_parts, asked = loop->rich;
    size_t most = (move ? MIN(move->move.n, (size_t) n_parts) : 0) + (lease ? 1 : 0) +
                  (get ? 1 : 0);
    Share *shares = mem_new_array(Share, most), *share;
    StoreMove **sorted = mem_new_array(StoreMove *, move ? move->move.n : 0);
    size_t n = move ? share_moves(loop, move, shares, sorted) : 0, n_work;

    if (lease) {
        lease->r = STORE_EMPTY;
        lease->lease.n = 0;
        lease_share(share_for_lease(loop, shares, &n), lease, lease->lease.max);
    }
    n_work = n;
    if (get) {
        share = &shares[n++];
        *share = (Share){ .ask.part = &loop->parts[partition_of_id(&get->get.id, n_parts)],
                          .is_get = true,
                          .lease = *get };
    }
    if (n > 0)
        shares_run(loop, shares, n, false);
    if (move)
        merge_moves(loop, move, shares, n_work);
    for (size_t i = 0; i < n_work && lease; i++)
        lease_merge(lease, &shares[i]);
    if (get) {
        get->r = shares[n_work].lease.r;
        get->out = shares[n_work].lease.out;
        memcpy(get->why, shares[n_work].lease.why, sizeof(get->why));
    }
    mem_free(shares);
    mem_free(sorted);
    if (lease)
        lease_rest(loop, lease, asked);
}

/* ---- heartbeats ------------------------------------------------------------------------------ */

/* The beats of one partition. */
typedef struct BeatShare {
    Ask ask;
    StoreBeat **beats;
    size_t n;
    int r;
} BeatShare;

/* BEATS by partition, one share for each that has some. How many. Another beat follows, so none may
 * hold up those of the partitions whose servers answer. */
static size_t beat_shares(RemoteLoop *loop, StoreOp *op, BeatShare *shares, StoreBeat **beats)
{
    uint32_t n_parts = loop->remote->n_parts;
    size_t n_shares = 0, at = 0;

    for (uint32_t p = 0; p < n_parts; p++) {
        BeatShare *share = &shares[n_shares];

        share->beats = beats + at;
        for (size_t i = 0; i < op->extend.n; i++) {
            if (partition_of_id(&op->extend.beats[i].id, n_parts) == p)
                beats[at++] = &op->extend.beats[i];
        }
        share->n = (size_t) (beats + at - share->beats);
        if (share->n == 0)
            continue;
        ask_begin(&share->ask, &loop->parts[p], SCRIPT_BEAT);
        share->ask.patience_ms = LIMIT_REDIS_BEAT_MS;
        share->r = request_beat(&share->ask.arena, &share->ask.head, loop->remote->has_functions,
                                op, share->beats, share->n, &share->ask.request);
        n_shares++;
    }
    return n_shares;
}

static void beat_take(BeatShare *share, StoreOp *op)
{
    Ask *ask = &share->ask;

    if (share->r == 0)
        share->r = ask->r < 0 ? fail(ask->r, "%s", ask->why)
                              : answer_beat(&ask->reply, share->beats, share->n);
    if (share->r < 0)
        op_take_error(op, share->r);
    ask_end(ask);
}

void remote_beat(RemoteLoop *loop, StoreOp *op)
{
    size_t most = MIN(op->extend.n, (size_t) loop->remote->n_parts), n, n_asks = 0;
    StoreBeat **beats = mem_new_array(StoreBeat *, op->extend.n);
    BeatShare *shares = mem_new_array(BeatShare, most + 1);
    Ask **asks = mem_new_array(Ask *, most);

    op->r = 0;
    n = beat_shares(loop, op, shares, beats);
    for (size_t i = 0; i < n; i++) {
        if (shares[i].r == 0)
            asks[n_asks++] = &shares[i].ask;
    }
    if (n_asks > 0)
        asks_run(loop, asks, n_asks);
    for (size_t i = 0; i < n; i++)
        beat_take(&shares[i], op);
    mem_free(asks);
    mem_free(shares);
    mem_free(beats);
}
