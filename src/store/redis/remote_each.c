/*
 * Operations of one partition, and those that are asked of each.
 *
 * Each partition gets a copy of the operation; the answers are added up: what was done is summed,
 * the earliest due time counts, and there is more when one partition says so. For a QUEUE_SET an
 * error of one partition is the operation's error, though the others have done their part: it does
 * no harm when it is done again.
 *
 * What time asks for (PROMOTE, EXPIRED, SWEEP) is done by one process in each partition, its ticker
 * there; PROMOTE says who it is, and the others leave the partition out until they hear otherwise.
 *
 * Time goes on while a server is away, and the jobs of the others are due: these operations have a
 * patience of LIMIT_REDIS_TICK_MS, what some partitions have answered counts, and a partition that
 * has failed is left out for as long again. Only when none has answered there is an error.
 */
#include "store/redis/remote_int.h"

#include "base/log.h"

#include <stdio.h>

typedef struct Piece {
    Ask ask;
    StoreOp op;
} Piece;

/* Who asks, where the script wants to know. */
static Str process_of(const RemoteLoop *loop, const StoreOp *op)
{
    bool wants = op->kind == STORE_PROMOTE || op->kind == STORE_EXPIRED || op->kind == STORE_SWEEP;

    return wants ? str_from_c(loop->client) : (Str){ 0 };
}

static int piece_request(RemoteLoop *loop, Piece *piece)
{
    return request_one(&piece->ask.arena, &piece->ask.head, loop->remote->has_functions, &piece->op,
                       process_of(loop, &piece->op), &piece->ask.request);
}

static void piece_take(Piece *piece, int r)
{
    if (r == 0 && ask_has_answer(&piece->ask, &piece->op))
        r = answer_one(&piece->ask.reply, &piece->op);
    if (r < 0)
        op_take_error(&piece->op, r);
}

void remote_one(RemoteLoop *loop, RemotePart *part, StoreOp *op, ScriptKind kind)
{
    Ask ask, *asks[1] = { &ask };
    int r;

    ask_begin(&ask, part, kind);
    r = request_one(&ask.arena, &ask.head, loop->remote->has_functions, op, process_of(loop, op),
                    &ask.request);
    if (r == 0) {
        asks_run(loop, asks, 1);
        if (ask_has_answer(&ask, op))
            r = answer_one(&ask.reply, op);
    }
    if (r < 0)
        op_take_error(op, r);
    ask_end(&ask);
}

/* ---- all at once ----------------------------------------------------------------------------- */

static Piece *pieces_new(RemoteLoop *loop, const StoreOp *op)
{
    uint32_t n = loop->remote->n_parts;
    Piece *pieces = mem_new_array(Piece, n);

    for (uint32_t p = 0; p < n; p++) {
        pieces[p].op = *op;
        pieces[p].op.out = (Buf){ 0 };
        pieces[p].op.r = 0;
        pieces[p].op.why[0] = '\0';
    }
    return pieces;
}

static void pieces_free(RemoteLoop *loop, Piece *pieces)
{
    for (uint32_t p = 0; p < loop->remote->n_parts; p++)
        store_op_deinit(&pieces[p].op);
    mem_free(pieces);
}

/* Ask the partitions that WANTED has (NULL: all), each for PATIENCE_MS (0: the client's). */
SUSPENDS static void pieces_run(RemoteLoop *loop, Piece *pieces, ScriptKind kind,
                                const bool *wanted, int64_t patience_ms)
{
    uint32_t n = loop->remote->n_parts;
    Ask **asks = mem_new_array(Ask *, n);
    int *rs = mem_new_array(int, n);
    size_t n_asks = 0;

    for (uint32_t p = 0; p < n; p++) {
        if (wanted && !wanted[p])
            continue;
        ask_begin(&pieces[p].ask, &loop->parts[p], kind);
        pieces[p].ask.patience_ms = patience_ms;
        rs[p] = piece_request(loop, &pieces[p]);
        if (rs[p] == 0)
            asks[n_asks++] = &pieces[p].ask;
    }
    if (n_asks > 0)
        asks_run(loop, asks, n_asks);
    for (uint32_t p = 0; p < n; p++) {
        if (wanted && !wanted[p])
            continue;
        piece_take(&pieces[p], rs[p]);
        ask_end(&pieces[p].ask);
    }
    mem_free(asks);
    mem_free(rs);
}

/* The first error of the pieces as OP's; false without. */
static bool take_error(RemoteLoop *loop, const Piece *pieces, StoreOp *op)
{
    for (uint32_t p = 0; p < loop->remote->n_parts; p++) {
        if (pieces[p].op.r < 0) {
            op_set_error(op, pieces[p].op.r, pieces[p].op.why);
            return true;
        }
    }
    return false;
}

/* ---- what time asks for ---------------------------------------------------------------------- */

/*
 * The partitions to ask: of all, or of those whose ticker is not known to be another process, those
 * that have not failed a moment ago; or else those as well.
 */
static bool *parts_wanted(RemoteLoop *loop, bool of_all)
{
    uint32_t n = loop->remote->n_parts;
    bool *wanted = mem_new_array(bool, n), has_any = false;
    int64_t now_ns = sl_now_ns();

    for (uint32_t p = 0; p < n; p++) {
        const RemotePart *part = &loop->parts[p];

        wanted[p] = (of_all || !part->is_elsewhere) && now_ns >= part->away_until_ns;
        has_any |= wanted[p];
    }
    for (uint32_t p = 0; p < n && !has_any; p++)
        wanted[p] = of_all || !loop->parts[p].is_elsewhere;
    return wanted;
}

/* Ask the partitions WANTED for what is due; what they answered counts. */
SUSPENDS static void time_run(RemoteLoop *loop, Piece *pieces, StoreOp *op, ScriptKind kind,
                              const bool *wanted)
{
    uint32_t n_answered = 0;

    pieces_run(loop, pieces, kind, wanted, LIMIT_REDIS_TICK_MS);
    for (uint32_t p = 0; p < loop->remote->n_parts; p++) {
        if (!wanted[p])
            continue;
        if (pieces[p].op.r >= 0) {
            n_answered++;
            loop->parts[p].away_until_ns = 0;
            continue;
        }
        loop->parts[p].away_until_ns = sl_now_ns() + LIMIT_REDIS_TICK_MS * NS_PER_MS;
        log_debug("partition left out", L_UINT("partition", p), L_C("error", pieces[p].op.why));
    }
    op->r = 0;
    if (n_answered == 0)
        (void) take_error(loop, pieces, op);
}

static void merge_due(RemoteLoop *loop, const Piece *pieces, StoreOp *op)
{
    bool has_here = false;

    op->due.n = 0;
    op->due.next_wall_ms = op->due.next_steady_ms = INT64_MAX;
    for (uint32_t p = 0; p < loop->remote->n_parts; p++) {
        const StoreOp *from = &pieces[p].op;

        has_here |= !from->due.is_elsewhere;
        if (from->r < 0)
            continue;
        if (from->r == STORE_MORE && op->r == 0)
            op->r = STORE_MORE;
        op->due.n += from->due.n;
        op->due.next_wall_ms = MIN(op->due.next_wall_ms, from->due.next_wall_ms);
        op->due.next_steady_ms = MIN(op->due.next_steady_ms, from->due.next_steady_ms);
        buf_add_str(&op->out, buf_str(&from->out));
    }
    op->due.is_elsewhere = !has_here;
}

typedef typeof(((StoreOp *) NULL)->due) Due;

/* What one of N partitions is asked for. */
static Due due_share(const StoreOp *op, uint32_t n)
{
    return (Due){ .max = MAX(op->due.max / n, (size_t) 1),
                  .next_wall_ms = INT64_MAX,
                  .next_steady_ms = INT64_MAX };
}

SUSPENDS static void promote(RemoteLoop *loop, StoreOp *op)
{
    uint32_t n = loop->remote->n_parts;
    Piece *pieces = pieces_new(loop, op);
    bool *wanted = parts_wanted(loop, true);

    loop->has_news = false;
    for (uint32_t p = 0; p < n; p++)
        pieces[p].op.due = due_share(op, n);
    time_run(loop, pieces, op, SCRIPT_PROMOTE, wanted);
    for (uint32_t p = 0; p < n; p++) {
        if (!wanted[p] || pieces[p].op.r < 0)
            continue;
        loop->parts[p].is_elsewhere = pieces[p].op.due.is_elsewhere;
        loop->parts[p].keeps_time = !pieces[p].op.due.is_elsewhere;
    }
    merge_due(loop, pieces, op);
    mem_free(wanted);
    pieces_free(loop, pieces);
}

SUSPENDS static void expired(RemoteLoop *loop, StoreOp *op)
{
    uint32_t n = loop->remote->n_parts;
    Piece *pieces = pieces_new(loop, op);
    bool *wanted = parts_wanted(loop, false);

    for (uint32_t p = 0; p < n; p++) {
        pieces[p].op.due = due_share(op, n);
        pieces[p].op.due.is_elsewhere = loop->parts[p].is_elsewhere;
    }
    time_run(loop, pieces, op, SCRIPT_EXPIRED, wanted);
    merge_due(loop, pieces, op);
    mem_free(wanted);
    pieces_free(loop, pieces);
}

static uint64_t divided(uint64_t most, uint32_t n)
{
    return most / n + (most % n > 0 ? 1 : 0);
}

SUSPENDS static void sweep(RemoteLoop *loop, StoreOp *op)
{
    uint32_t n = loop->remote->n_parts;
    Piece *pieces = pieces_new(loop, op);
    bool *wanted = parts_wanted(loop, false);

    op->sweep.n = 0;
    for (uint32_t p = 0; p < n; p++) {
        StoreRetention *keep = &pieces[p].op.sweep.keep;

        keep->completed_max = divided(keep->completed_max, n);
        keep->cancelled_max = divided(keep->cancelled_max, n);
        keep->discarded_max = divided(keep->discarded_max, n);
        pieces[p].op.sweep.n = 0;
    }
    time_run(loop, pieces, op, SCRIPT_SWEEP, wanted);
    for (uint32_t p = 0; p < n; p++) {
        op->sweep.n += pieces[p].op.sweep.n;
        if (pieces[p].op.r == STORE_MORE && op->r == 0)
            op->r = STORE_MORE;
    }
    mem_free(wanted);
    pieces_free(loop, pieces);
}

/* ---- queues ---------------------------------------------------------------------------------- */

/*
 * A queue that is there in one partition is set in all of them: jobs may come to the others later.
 */
SUSPENDS static void queue_set(RemoteLoop *loop, StoreOp *op)
{
    uint32_t n = loop->remote->n_parts;
    Piece *pieces = pieces_new(loop, op);
    bool *missing = mem_new_array(bool, n);
    size_t n_missing = 0;

    op->r = 0;
    pieces_run(loop, pieces, SCRIPT_QUEUE_SET, NULL, 0);
    for (uint32_t p = 0; p < n; p++) {
        missing[p] = pieces[p].op.r == -ERR_NOT_FOUND;
        n_missing += missing[p];
    }
    if (n_missing > 0 && n_missing < n) {
        for (uint32_t p = 0; p < n; p++)
            pieces[p].op.queue_set.creates = true;
        pieces_run(loop, pieces, SCRIPT_QUEUE_SET, missing, 0);
    }
    (void) take_error(loop, pieces, op);
    mem_free(missing);
    pieces_free(loop, pieces);
}

/* ---- which ----------------------------------------------------------------------------------- */

void remote_each(RemoteLoop *loop, StoreOp *op)
{
    if (op->kind == STORE_PROMOTE)
        promote(loop, op);
    else if (op->kind == STORE_EXPIRED)
        expired(loop, op);
    else if (op->kind == STORE_SWEEP)
        sweep(loop, op);
    else
        queue_set(loop, op);
}
