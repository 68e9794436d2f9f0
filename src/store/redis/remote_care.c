/*
 * What a fiber on each loop does now and then, and the server's clock.
 *
 * The care fiber sleeps until there is something to pass on (see remote_park.c, W2), and wakes up
 * every LIMIT_STORE_ASK_MS, give or take, so that many processes do not ask in step: the first
 * parked lease of each line asks again. That of the first loop also looks at memory and counts.
 *
 * The clock: each answer carries the server's time. It was that late when the answer was made, so
 * (their time) - (our time when it came) is never more than the true difference; the largest one
 * seen is the best. Two windows of LIMIT_STORE_CLOCK_MS, so that a server whose clock was set back
 * is believed in the end. What is shown never goes back (R6).
 */
#include "store/redis/remote_int.h"

#include "base/log.h"

/* ---- the clock ------------------------------------------------------------------------------- */

void clock_init(RemoteClock *clock)
{
    *clock = (RemoteClock){ .best_ns = { INT64_MIN, INT64_MIN } };
}

void clock_hear(RemoteLoop *loop, int64_t server_ms)
{
    RemoteClock *clock = &loop->clock;
    int64_t now_ns = sl_clock_ns(), ahead_ns = server_ms * NS_PER_MS - now_ns;

    if (server_ms <= 0)
        return;
    if (now_ns - clock->since_ns > LIMIT_STORE_CLOCK_MS * NS_PER_MS) {
        clock->best_ns[1] = clock->best_ns[0];
        clock->best_ns[0] = INT64_MIN;
        clock->since_ns = now_ns;
    }
    clock->best_ns[0] = MAX(clock->best_ns[0], ahead_ns);
}

int64_t remote_wall_ms(RemoteLoop *loop)
{
    const StoreSeams *seams = loop->remote->seams;
    RemoteClock *clock = &loop->clock;
    int64_t ahead_ns = MAX(clock->best_ns[0], clock->best_ns[1]), now_ms;

    if (seams && seams->now_ms)
        now_ms = seams->now_ms(seams->now_ctx);
    else if (ahead_ns == INT64_MIN)
        now_ms = sl_wall_ms();
    else
        now_ms = (sl_now_ns() + ahead_ns) / NS_PER_MS;
    clock->last_ms = MAX(clock->last_ms, now_ms);
    return clock->last_ms;
}

StoreNow remote_now(const void *ctx)
{
    const Remote *remote = ctx;
    int64_t now_ms = remote_wall_ms(&remote->loops[sl_loop_index()]);

    return (StoreNow){ now_ms, now_ms };
}

/* ---- passing on ------------------------------------------------------------------------------ */

struct CarePass {
    CarePass *next;
    RemotePart *part;
    size_t len;
    char queue[];
};

static bool has_pass(const CarePass *pass, const RemotePart *part, Str queue)
{
    for (; pass; pass = pass->next) {
        if (pass->part == part && str_eq(str_from(pass->queue, pass->len), queue))
            return true; /* one call finds all that may be there */
    }
    return false;
}

static void put_pass(CarePass **list, RemotePart *part, Str queue)
{
    CarePass *pass;

    if (has_pass(*list, part, queue))
        return;
    pass = mem_zalloc(sizeof(CarePass) + queue.len);
    pass->part = part;
    pass->len = queue.len;
    memcpy(pass->queue, queue.data, queue.len);
    pass->next = *list;
    *list = pass;
}

void care_pass(RemotePart *part, Str queue)
{
    put_pass(&part->loop->passes, part, queue);
    sl_event_set(&part->loop->care);
}

void care_pass_later(RemotePart *part, Str queue)
{
    put_pass(&part->loop->later, part, queue);
    sl_event_set(&part->loop->care);
}

static CarePass *take_pass(CarePass **list)
{
    CarePass *pass = *list;

    if (pass)
        *list = pass->next;
    return pass;
}

/* Whoever comes back from here knows that all of LIST have been asked for, unless cancelled. */
SUSPENDS static void pass_list(RemoteLoop *loop, CarePass **list)
{
    if (sl_mutex_lock(&loop->passing) < 0)
        return;
    while (*list && !sl_is_cancelled()) {
        CarePass *pass = take_pass(list);

        remote_pass(pass->part, str_from(pass->queue, pass->len));
        mem_free(pass);
    }
    sl_mutex_unlock(&loop->passing);
}

void care_pass_all(RemoteLoop *loop)
{
    pass_list(loop, &loop->passes);
    pass_list(loop, &loop->later);
}

void care_forget(RemoteLoop *loop)
{
    CarePass *pass;

    while ((pass = take_pass(&loop->passes)) || (pass = take_pass(&loop->later)))
        mem_free(pass);
}

/* ---- statistics ------------------------------------------------------------------------------ */

SUSPENDS static void look_at_memory(RemoteLoop *loop)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Remote *remote = loop->remote;
    int64_t used = 0, most = 0;
    int r = 0;

    arena_init(&arena, 0);
    for (size_t node = 0; node < redis_n_nodes(loop->redis) && r == 0; node++) {
        Str info;

        r = info_read(loop, &arena, REDIS_NODE(node), "memory", &info);
        if (r < 0) {
            Err err;

            err_take(r, &err);
            return;
        }
        used += info_number(info, "used_memory");
        most += info_number(info, "maxmemory");
    }
    atomic_store(&remote->bytes, (uint64_t) used);
    atomic_store(&remote->bytes_free, most > 0 ? (uint64_t) MAX(most - used, INT64_C(0)) : 0);
    atomic_store(&remote->is_full, most > 0 && used >= most);
}

SUSPENDS static void count_jobs(RemoteLoop *loop)
{
    StoreQueueInfo *infos = mem_new_array(StoreQueueInfo, LIMIT_STORE_COUNT_QUEUES);
    StoreOp op = { .kind = STORE_QUEUES,
                   .queues = { .infos = infos, .max = LIMIT_STORE_COUNT_QUEUES } };
    uint64_t jobs = 0;

    remote_queues(loop, &op);
    for (size_t i = 0; i < op.queues.n && op.r >= 0; i++) {
        for (size_t state = 0; state < JOB_STATE_COUNT; state++)
            jobs += infos[i].counts[state];
    }
    if (op.r >= 0)
        atomic_store(&loop->remote->jobs, jobs);
    store_op_deinit(&op);
    mem_free(infos);
}

SUSPENDS static void look_around(RemoteLoop *loop)
{
    Remote *remote = loop->remote;
    int64_t emptied_ms = atomic_load(&remote->emptied_ms);
    RedisAbout about;

    redis_about(loop->redis, &about);
    if (!about.is_connected) {
        note_put(remote, STORE_NOTE_BROKEN, "connection", "no connection to Redis: %s",
                 about.last_error);
        return;
    }
    note_drop(remote, "connection");
    if (emptied_ms > 0 && sl_wall_ms() - emptied_ms > LIMIT_STORE_EMPTIED_MS) {
        note_put(remote, STORE_NOTE_WARNING, "emptied",
                 "the Redis server lost what it held at %lld (ms since 1970): jobs of before are "
                 "gone",
                 (long long) emptied_ms);
    }
    if (!atomic_exchange(&remote->wants_stats, false))
        return; /* nobody has looked since the last time */
    look_at_memory(loop);
    count_jobs(loop);
}

/* ---- the fiber ------------------------------------------------------------------------------- */

static int64_t next_ask_ns(void)
{
    int64_t ms = LIMIT_STORE_ASK_MS / 2 + (int64_t) (sl_random() % LIMIT_STORE_ASK_MS);

    return sl_now_ns() + ms * NS_PER_MS;
}

/* Until there is something to do: 0, or -ECANCELED. */
SUSPENDS static int care_sleep(RemoteLoop *loop, int64_t ask_ns, int64_t later_ns)
{
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .deadline_ns = loop->later ? MIN(ask_ns, later_ns) : ask_ns);
    r = sl_scope_end(&scope, sl_event_wait(&loop->care));
    sl_event_clear(&loop->care);
    return r == -ETIMEDOUT ? 0 : r;
}

SUSPENDS static void care_now(RemoteLoop *loop, bool is_time)
{
    const StoreSeams *seams = loop->remote->seams;
    bool is_home = loop->index == loop->remote->home;

    pass_list(loop, &loop->passes);
    if (is_home)
        events_care(loop, is_time);
    if (is_time && !(seams && seams->never_asks))
        remote_ask_again(loop, NULL);
    if (is_time && is_home)
        look_around(loop);
}

int care_main(void *arg)
{
    RemoteLoop *loop = arg;
    int64_t ask_ns = next_ask_ns(), later_ns = 0;
    bool is_time;
    int r;

    care_now(loop, true);
    for (;;) {
        r = care_sleep(loop, ask_ns, later_ns);
        if (r < 0)
            return 0;
        is_time = sl_now_ns() >= ask_ns; /* asked once: care takes time, too */
        care_now(loop, is_time);
        if (is_time)
            ask_ns = next_ask_ns();
        if (loop->later && sl_now_ns() >= later_ns) {
            pass_list(loop, &loop->later);
            later_ns = sl_now_ns() + LIMIT_STORE_PASS_MS * NS_PER_MS;
        }
    }
}
