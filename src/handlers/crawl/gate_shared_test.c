/*
 * The gate across processes: handles of one file stand for processes where that is enough; real
 * ones, children that crawl the same host, are watched through a log that they all write.
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/rand.h"
#include "base/test.h"
#include "handlers/crawl/gate_shared.h"
#include "handlers/crawl/scheduler.h"

#include <sluice/rt.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/wait.h>

#define SHARED "pace.db"
#define LOG    "log.txt"
#define MS     NS_PER_MS

static void remove_files(void)
{
    (void) unlink(SHARED);
    (void) unlink(SHARED "-wal");
    (void) unlink(SHARED "-shm");
    (void) unlink(LOG);
}

static SharedClaim claim_of(int64_t delay_ms, uint32_t at_once)
{
    return (SharedClaim){
        .keys = { { .key = STR("host:shop.test"), .delay_ns = delay_ms * MS, .at_once = at_once } }
    };
}

static void run_sim(sl_fn main_fn)
{
    remove_files();
    EXPECT_OK(sl_run(main_fn, NULL, .loop = SL_LOOP_SIM, .seed = 1, .stall_ms = -1));
}

SUSPENDS static int two_take_turns(void *arg)
{
    GateShared *a = NULL, *b = NULL;
    SharedClaim first = claim_of(500, 4), second = claim_of(500, 4);
    int64_t began_ns;

    (void) arg;
    EXPECT_OK(gate_shared_open(&a, SHARED));
    EXPECT_OK(gate_shared_open(&b, SHARED));
    began_ns = sl_clock_ns();
    EXPECT_OK(gate_shared_exchange(a, &first, 1));
    EXPECT(first.id);
    EXPECT_OK(gate_shared_exchange(b, &second, 1));
    EXPECT(!second.id);
    EXPECT(second.when_ns >= began_ns + 500 * MS);
    EXPECT_OK(sl_sleep_until_ns(second.when_ns));
    EXPECT_OK(gate_shared_exchange(b, &second, 1));
    EXPECT(second.id);

    /* the delay counts from the end, and a pause goes along */
    gate_shared_leave(b, second.id, sl_clock_ns() + 3000 * MS);
    EXPECT_OK(gate_shared_exchange(b, NULL, 0));
    EXPECT_OK(sl_sleep_ms(600));
    gate_shared_leave(a, first.id, 0);
    EXPECT_OK(gate_shared_exchange(a, &first, 1));
    EXPECT(!first.id && first.when_ns > sl_clock_ns() + 2000 * MS);
    gate_shared_close(a);
    gate_shared_close(b);
    return 0;
}

TEST(two_processes_keep_one_delay)
{
    run_sim(two_take_turns);
}

SUSPENDS static int slots(void *arg)
{
    GateShared *a = NULL, *b = NULL;
    SharedClaim claims[3] = { claim_of(0, 2), claim_of(0, 2), claim_of(0, 2) };

    (void) arg;
    EXPECT_OK(gate_shared_open(&a, SHARED));
    EXPECT_OK(gate_shared_open(&b, SHARED));
    EXPECT_OK(gate_shared_exchange(a, claims, 2));
    EXPECT(claims[0].id && claims[1].id);
    EXPECT_OK(gate_shared_exchange(b, &claims[2], 1));
    EXPECT(!claims[2].id);
    gate_shared_leave(a, claims[0].id, 0);
    EXPECT_OK(gate_shared_exchange(a, NULL, 0));
    EXPECT_OK(gate_shared_exchange(b, &claims[2], 1));
    EXPECT(claims[2].id);

    /* P2: what is prolonged stays, what nobody prolongs goes */
    for (int i = 0; i < 4; i++) {
        EXPECT_OK(sl_sleep_ms(LIMIT_GATE_SHARED_SLOT_MS / 2));
        EXPECT_OK(gate_shared_exchange(b, NULL, 0));
    }
    EXPECT_OK(gate_shared_exchange(b, claims, 2));
    EXPECT(claims[0].id); /* that of A's second, who is silent */
    EXPECT(!claims[1].id);
    gate_shared_close(a);
    gate_shared_close(b);
    return 0;
}

TEST(slots_are_shared_and_those_of_the_dead_expire)
{
    run_sim(slots);
}

SUSPENDS static int all_or_nothing(void *arg)
{
    GateShared *a = NULL;
    SharedClaim both = claim_of(100, 4), other = both;

    (void) arg;
    both.keys[1] = (SharedKey){ .key = STR("addr:192.0.2.7"), .delay_ns = 100 * MS, .at_once = 1 };
    other.keys[0].key = (Str) STR("host:other.test");
    other.keys[1] = both.keys[1];
    EXPECT_OK(gate_shared_open(&a, SHARED));
    EXPECT_OK(gate_shared_exchange(a, &both, 1));
    EXPECT(both.id);
    EXPECT_OK(gate_shared_exchange(a, &other, 1));
    EXPECT(!other.id);
    other.keys[1].key = (Str){ 0 };
    EXPECT_OK(gate_shared_exchange(a, &other, 1));
    EXPECT(other.id); /* its host was not charged before */
    gate_shared_close(a);
    return 0;
}

TEST(a_claim_takes_all_of_its_keys_or_none)
{
    run_sim(all_or_nothing);
}

static void exec(const char *sql)
{
    sqlite3 *sqlite = NULL;

    EXPECT_EQ(sqlite3_open(SHARED, &sqlite), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(sqlite, sql, NULL, NULL, NULL), SQLITE_OK);
    EXPECT_EQ(sqlite3_close(sqlite), SQLITE_OK);
}

/* P1 and P3: nothing that is written there may keep anybody away for ever. */
SUSPENDS static int nonsense(void *arg)
{
    GateShared *a = NULL;
    SharedClaim claim = claim_of(100, 1);

    (void) arg;
    EXPECT_OK(gate_shared_open(&a, SHARED));
    EXPECT_OK(gate_shared_exchange(a, &claim, 1));
    gate_shared_leave(a, claim.id, 0);
    gate_shared_close(a);
    exec("INSERT OR REPLACE INTO keys VALUES('host:shop.test', 9000000000000000000)");
    exec("INSERT INTO slots VALUES(5, 'host:shop.test', 6, 9000000000000000000, 0)");
    EXPECT_OK(gate_shared_open(&a, SHARED));
    EXPECT_OK(gate_shared_exchange(a, &claim, 1));
    EXPECT(claim.id);
    gate_shared_close(a);
    exec("UPDATE boot SET id = 'another boot'");
    exec("INSERT INTO slots VALUES(5, 'host:shop.test', 6, 1000000000000, 0)");
    EXPECT_OK(gate_shared_open(&a, SHARED));
    EXPECT_OK(gate_shared_exchange(a, &claim, 1));
    EXPECT(claim.id);
    gate_shared_close(a);
    return 0;
}

TEST(nonsense_and_earlier_boots_do_not_count)
{
    run_sim(nonsense);
}

SUSPENDS static int foreign(void *arg)
{
    static const char text[] = "this is somebody's table of results, and quite a long one at that";
    GateShared *a = NULL;
    int fd = open(SHARED, O_WRONLY | O_CREAT, 0600);

    (void) arg;
    EXPECT_EQ(write(fd, text, sizeof(text)), (ssize_t) sizeof(text));
    EXPECT_EQ(close(fd), 0);
    EXPECT_ERR(gate_shared_open(&a, SHARED), -ERR_STORE_FORMAT, "not the file in which crawls");
    EXPECT_ERR(gate_shared_open(&a, "no/such/folder/pace.db"), -ERR_STORE, "no/such/folder");
    return 0;
}

TEST(a_foreign_file_is_an_error)
{
    run_sim(foreign);
}

/* ---- whole crawls -----------------------------------------------------------------------------*/

#define N_CRAWLS 3
#define N_PAGES  12

typedef struct Crawl {
    SchedulerOpts opts;
    Scheduler *scheduler;
    int log;
    int64_t latency_ns;
    int index;
    int n_pages;
} Crawl;

static void put_event(Crawl *crawl, char what)
{
    char line[60];
    int len = snprintf(line, sizeof(line), "%lld %c\n", (long long) sl_clock_ns(), what);

    if (write(crawl->log, line, (size_t) len) != len)
        abort();
}

SUSPENDS static int work(void *arg)
{
    Crawl *crawl = arg;
    HttpAnswer answer = { .status = 200 };
    Page *page;
    int r = net_address_parse(STR_C("8.8.8.8:80"), &answer.peer);

    while (r == 0 && (r = scheduler_next(crawl->scheduler, &page)) == 0) {
        put_event(crawl, 'b');
        r = sl_sleep_ns(crawl->latency_ns);
        put_event(crawl, 'e');
        scheduler_answered(crawl->scheduler, page, r, &answer);
        r = frontier_finish(scheduler_frontier(crawl->scheduler), page,
                            &(PageEnd){ .outcome = CRAWL_DONE });
    }
    return r == SCHEDULER_END ? 0 : r;
}

SUSPENDS static int work_all(Crawl *crawl)
{
    AUTO(sl_nursery_close) sl_nursery *workers = sl_nursery_open();

    for (int i = 0; i < 4; i++)
        (void) sl_spawn(workers, work, crawl);
    return sl_nursery_join(workers);
}

SUSPENDS static int crawl_main(void *arg)
{
    Crawl *crawl = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    char text[100];
    int r = scheduler_open(&crawl->scheduler, nursery, &crawl->opts);

    for (int i = 0; r == 0 && i < crawl->n_pages; i++) {
        int len = snprintf(text, sizeof(text), "http://shop.test/%d/%d", crawl->index, i);

        r = frontier_add(scheduler_frontier(crawl->scheduler),
                         &(FrontierLink){ .url = str_from(text, (size_t) len) });
    }
    if (r == 0)
        r = work_all(crawl);
    return r < 0 ? r : scheduler_close(crawl->scheduler);
}

static Crawl crawl_new(int index, int n_pages, size_t at_once, int64_t delay_ms)
{
    return (Crawl){
        .opts = { .robots = { .is_ignored = true },
                  .gate = { .host_at_once = at_once,
                            .delay_ms = delay_ms,
                            .address_delay_ms = 0,
                            .address_at_once = 16,
                            .shared_path = SHARED,
                            .no_throttle = true } },
        .log = open(LOG, O_WRONLY | O_CREAT | O_APPEND, 0600),
        .latency_ns = 7 * MS,
        .index = index,
        .n_pages = n_pages,
    };
}

typedef struct Event {
    long long at_ns;
    char what;
} Event;

static int compare_events(const void *a, const void *b)
{
    const Event *one = a, *other = b;

    return one->at_ns < other->at_ns ? -1 : one->at_ns > other->at_ns;
}

/* What the host saw of all crawls together. */
static void check_log(size_t n_pages, size_t at_once, int64_t delay_ms)
{
    static Event events[4 * N_CRAWLS * N_PAGES];
    size_t n = 0, n_active = 0, n_begun = 0;
    long long last_ns = 0;
    FILE *file = fopen(LOG, "r");

    REQUIRE(file);
    while (n < ARRAY_LEN(events) && fscanf(file, "%lld %c", &events[n].at_ns, &events[n].what) == 2)
        n++;
    (void) fclose(file);
    EXPECT_EQ(n, 2 * n_pages);
    qsort(events, n, sizeof(*events), compare_events);
    for (size_t i = 0; i < n; i++) {
        if (events[i].what == 'e') {
            n_active--;
            continue;
        }
        EXPECT(++n_active <= at_once);
        EXPECT(!n_begun++ || events[i].at_ns - last_ns >= delay_ms * MS);
        last_ns = events[i].at_ns;
    }
}

SUSPENDS static int crawl_together(void *arg)
{
    Crawl *crawls = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    for (int i = 0; i < N_CRAWLS; i++)
        (void) sl_spawn(nursery, crawl_main, &crawls[i]);
    return sl_nursery_join(nursery);
}

TEST(crawls_beside_each_other_are_one_to_the_host)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        size_t at_once = 1 + seed % 2;
        int64_t delay_ms = seed % 3 ? 300 : 0;
        Crawl crawls[N_CRAWLS];

        remove_files();
        for (int i = 0; i < N_CRAWLS; i++)
            crawls[i] = crawl_new(i, N_PAGES, at_once, delay_ms);
        EXPECT_OK(
            sl_run(crawl_together, crawls, .loop = SL_LOOP_SIM, .seed = seed, .stall_ms = -1));
        for (int i = 0; i < N_CRAWLS; i++)
            EXPECT_EQ(close(crawls[i].log), 0);
        check_log(N_CRAWLS * N_PAGES, at_once, delay_ms);
    }
}

TEST(so_are_processes)
{
    pid_t pids[N_CRAWLS];

    remove_files();
    for (int i = 0; i < N_CRAWLS; i++) {
        Crawl crawl = crawl_new(i, N_PAGES / 3, 2, 100);

        pids[i] = fork();
        if (pids[i] == 0)
            _exit(sl_run(crawl_main, &crawl, .loop = SL_LOOP_EPOLL, .stall_ms = -1) == 0 ? 0 : 1);
        EXPECT_EQ(close(crawl.log), 0);
    }
    for (int i = 0; i < N_CRAWLS; i++) {
        int status = 0;

        EXPECT_EQ(waitpid(pids[i], &status, 0), pids[i]);
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    check_log(N_PAGES, 2, 50); /* a child may be held up between its turn and its line */
}

TEST_MAIN()
