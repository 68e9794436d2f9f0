/*
 * Two hundred processes that wait for the jobs of one queue.
 *
 *   one by one    a job wakes one process, or two when the first has just got another; and the
 *                 jobs are shared out evenly, because those who have waited longest are woken first
 *   all at once   a thousand jobs in one push wake no more than that either
 *
 * Every message that wakes somebody is counted at the server.
 */
#include "../sim/redis_actors.h"
#include "../sim/sim.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"

#include <stdio.h>

enum { HERD = 200, SINGLES = 2000, BURST = 1000 };

typedef struct Herd {
    RedisWorld world;
    uint64_t woken;
    unsigned done[HERD];
    unsigned n_done;
    unsigned n_ready;
    bool is_over;
    uint64_t woken_singles, woken_burst;
} Herd;

typedef struct Member {
    Herd *herd;
    size_t index;
} Member;

static void on_message(void *ctx, Str client, Str channel, Str message)
{
    Herd *herd = ctx;

    (void) client;
    if (str_contains(channel, str_from_c("wake:")) && !str_eq_c(message, "*"))
        herd->woken++;
}

SUSPENDS static void work(Member *member, Queues *queues)
{
    Herd *herd = member->herd;
    Str queue = str_from_c("q");
    LeaseOpts opts = { .queues = &queue,
                       .n_queues = 1,
                       .max = 1,
                       .lease_ms = 30000,
                       .wait_ms = 500,
                       .worker = str_from_c(herd->world.fleet.processes[member->index].name) };

    while (!herd->is_over) {
        AUTO(arena_deinit) Arena arena = { 0 };
        Finish finish = { .kind = FINISH_COMPLETE, .worker = opts.worker };
        size_t n = 0;
        Job job;

        arena_init(&arena, 0);
        opts.wait_ms = herd->n_done < SINGLES + BURST ? 60000 : 100;
        if (queue_lease(&arena, queues, &opts, &job, &n) != 0)
            continue;
        if (sl_sleep_ms(20 + (int64_t) world_below(&herd->world, 40)) < 0)
            return;
        finish.id = job.id;
        finish.fence = job.fence;
        if (queue_finish_many(queues, &finish, 1) == 0 && finish.r == 0) {
            herd->n_done++;
            herd->done[member->index]++;
        }
    }
}

static int member_main(void *arg)
{
    AUTO(mem_free) Member *member = arg;
    Process *process = &member->herd->world.fleet.processes[member->index];

    if (process_start(process, false) < 0) {
        ledger_violated(&member->herd->world.ledger, "a process does not start");
        return 0;
    }
    member->herd->n_ready++;
    work(member, process->queues);
    process_stop(process);
    return 0;
}

SUSPENDS static void push(Herd *herd, Queues *queues, size_t n)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JobSpec *specs = mem_new_array(JobSpec, n);
    size_t got;
    int r;

    arena_init(&arena, 0);
    for (size_t i = 0; i < n; i++)
        specs[i] = (JobSpec){ .type = str_from_c("t"), .queue = str_from_c("q") };
    r = queue_push_many(&arena, queues, specs, n, NULL, NULL, &got);
    if (r < 0)
        ledger_violated(&herd->world.ledger, "push: %s", err_text(r));
    mem_free(specs);
}

SUSPENDS static void wait_for_done(Herd *herd, unsigned n)
{
    for (int i = 0; i < 6000 && herd->n_done < n; i++)
        (void) sl_sleep_ms(10);
    if (herd->n_done < n)
        ledger_violated(&herd->world.ledger, "%u of %u jobs done", herd->n_done, n);
    (void) sl_sleep_ms(1000);
}

SUSPENDS static void drive(Herd *herd, Queues *queues)
{
    Ledger *ledger = &herd->world.ledger;
    unsigned least = UINT32_MAX, most = 0;

    while (herd->n_ready < HERD && !ledger->why[0])
        (void) sl_sleep_ms(10);
    (void) sl_sleep_ms(5000);
    herd->woken = 0;
    for (size_t i = 0; i < SINGLES; i++) {
        push(herd, queues, 1);
        (void) sl_sleep_ms((int64_t) world_below(&herd->world, 10));
    }
    wait_for_done(herd, SINGLES);
    herd->woken_singles = herd->woken;
    for (size_t i = 0; i < HERD; i++) {
        least = herd->done[i] < least ? herd->done[i] : least;
        most = herd->done[i] > most ? herd->done[i] : most;
    }
    herd->woken = 0;
    push(herd, queues, BURST);
    wait_for_done(herd, SINGLES + BURST);
    herd->woken_burst = herd->woken;
    if (herd->woken_singles > 2 * SINGLES || herd->woken_burst > 2 * BURST)
        ledger_violated(ledger, "a herd: %llu wake-ups for %d single jobs, %llu for %d at once",
                        (unsigned long long) herd->woken_singles, SINGLES,
                        (unsigned long long) herd->woken_burst, BURST);
    if (least < SINGLES / HERD / 2 || most > SINGLES / HERD * 2)
        ledger_violated(ledger, "unfair shares: between %u and %u jobs, %d would be even", least,
                        most, SINGLES / HERD);
    printf("%d processes: %.2f wake-ups for each of %d jobs one by one, %.2f for %d at once; "
           "shares between %u and %u\n",
           HERD, (double) herd->woken_singles / SINGLES, SINGLES,
           (double) herd->woken_burst / BURST, BURST, least, most);
}

SUSPENDS static void gather(Herd *herd)
{
    Process *producer = &herd->world.fleet.processes[HERD];
    sl_nursery *members = sl_nursery_open(.name = "members", .keep_going = true);

    for (size_t i = 0; i < HERD; i++) {
        Member *member = mem_new(Member);

        *member = (Member){ .herd = herd, .index = i };
        sl_spawn(members, member_main, member, .name = "member");
    }
    if (process_start(producer, false) < 0) {
        ledger_violated(&herd->world.ledger, "the producer does not start");
    } else {
        drive(herd, producer->queues);
        process_stop(producer);
    }
    herd->is_over = true;
    sl_nursery_close(members);
}

static int herd_main(void *arg)
{
    Herd *herd = arg;
    sl_nursery *nursery = sl_nursery_open(.name = "server", .keep_going = true);
    FleetOpts opts = { .net = { .latency_min_us = 50, .latency_max_us = 300 } };
    int r;

    rand_init(&herd->world.rand, sl_random());
    r = fleet_start(&herd->world.fleet, nursery, &opts);
    if (r == 0) {
        sim_redis_on_message(herd->world.fleet.redis, on_message, herd);
        gather(herd);
        fleet_stop(&herd->world.fleet);
    }
    sl_nursery_close(nursery);
    sim_net_free(herd->world.fleet.net);
    return r;
}

int redis_herd_run(uint64_t seed, bool is_loud)
{
    Herd *herd = mem_new(Herd);
    Ledger *ledger = &herd->world.ledger;
    int r;

    (void) is_loud;
    r = sl_run(herd_main, herd, .loop = SL_LOOP_SIM, .seed = seed, .stack_bytes = 128 << 10);
    if (r < 0)
        ledger_violated(ledger, "the run ended with %s", err_text(r));
    if (ledger->why[0])
        fprintf(stderr, "seed %llu: %s\n  make sim STORE=redis-herd SEED=%llu\n",
                (unsigned long long) seed, ledger->why, (unsigned long long) seed);
    r = ledger->why[0] ? 1 : 0;
    ledger_deinit(ledger);
    mem_free(herd);
    return r;
}
