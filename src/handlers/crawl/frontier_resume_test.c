/*
 * Killed at any moment, a crawl that goes on writes every row once: child processes are killed at
 * seeded points, the next one goes on from the state file and from an outlet that holds what its
 * last checkpoint had, or one mark more than the state file knows of.
 */
#include "base/err.h"
#include "base/macro.h"
#include "base/rand.h"
#include "base/test.h"
#include "handlers/crawl/scheduler.h"

#include <sluice/rt.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define N_PAGES   400
#define N_HOSTS   5
#define N_LINKS   7
#define N_WORKERS 8
#define N_RUNS    200
#define STATE     "state.crawl"
#define ROWS      "rows.out"

/* An outlet: lines "PAGE", and behind each checkpoint a line "mark N". One that keeps its marks
 * itself goes back to the last of them; one that does not, to the position it is given. */
typedef struct Outlet {
    int fd;
    bool keeps_marks;
} Outlet;

typedef struct Crawl {
    Rand rand;
    uint64_t kill_at; /* points until the process kills itself; 0: it lives */
    uint64_t n_points;
    Outlet outlet;
    Scheduler *scheduler;
    sl_mutex writing;
    uint64_t n_written;
} Crawl;

/* A moment at which the process may die. */
static void point(Crawl *crawl)
{
    if (crawl->kill_at && ++crawl->n_points >= crawl->kill_at)
        (void) kill(getpid(), SIGKILL);
}

static void put_line(Outlet *outlet, const char *word, unsigned long long value)
{
    char line[60];
    int len = snprintf(line, sizeof(line), "%s%llu\n", word, value);

    if (write(outlet->fd, line, (size_t) len) != len)
        abort();
}

/* Open the rows as MARK and POSITION leave them: the mark that it holds. */
static uint64_t outlet_begin(Outlet *outlet, uint64_t mark, Str position)
{
    static char text[32 * N_PAGES];
    ssize_t len;
    size_t keep = 0;
    char *at = text;

    outlet->fd = open(ROWS, O_RDWR | O_CREAT, 0600);
    len = read(outlet->fd, text, sizeof(text) - 1);
    if (len < 0)
        abort();
    text[len] = '\0';
    if (outlet->keeps_marks) {
        while ((at = strstr(at, "mark "))) {
            uint64_t held = strtoull(at + 5, &at, 10);

            if (*at != '\n')
                break; /* cut in the middle */
            mark = held;
            keep = (size_t) (at + 1 - text);
        }
    } else if (position.len) {
        char number[30];

        (void) snprintf(number, sizeof(number), "%.*s", (int) position.len, position.data);
        keep = strtoull(number, NULL, 10);
    }
    if (ftruncate(outlet->fd, (off_t) keep) < 0 || lseek(outlet->fd, 0, SEEK_END) < 0)
        abort();
    return mark;
}

static Str url_of(size_t page, char out[static 100])
{
    int len = snprintf(out, 100, "http://h%zu.test/p/%zu", page % N_HOSTS, page);

    return str_from(out, (size_t) len);
}

static int add(Crawl *crawl, size_t page, int depth)
{
    char text[100];
    FrontierLink link = { .url = url_of(page, text), .depth = depth };
    int r = frontier_add(scheduler_frontier(crawl->scheduler), &link);

    return r < 0 ? r : 0;
}

SUSPENDS static int mark(Crawl *crawl)
{
    Frontier *frontier = scheduler_frontier(crawl->scheduler);
    char position[30];
    uint64_t n;
    int len, r = frontier_begin_mark(frontier, &n);

    if (r < 0)
        return r;
    point(crawl);
    put_line(&crawl->outlet, "mark ", n);
    point(crawl);
    len = snprintf(position, sizeof(position), "%lld",
                   (long long) lseek(crawl->outlet.fd, 0, SEEK_CUR));
    return frontier_end_mark(frontier, n, str_from(position, (size_t) len));
}

SUSPENDS static int write_and_finish(Crawl *crawl, Page *page, size_t n)
{
    int r;

    put_line(&crawl->outlet, "", n);
    point(crawl);
    r = frontier_finish(scheduler_frontier(crawl->scheduler), page,
                        &(PageEnd){ .outcome = CRAWL_DONE, .status = 200 });
    point(crawl);
    if (r == 0 && ++crawl->n_written % 13 == 0)
        r = mark(crawl);
    return r;
}

SUSPENDS static int visit(Crawl *crawl, Page *page)
{
    size_t n = strtoul(strrchr(page->url.data, '/') + 1, NULL, 10);
    int r = sl_sleep_ns((int64_t) rand_below(&crawl->rand, NS_PER_MS));

    scheduler_answered(crawl->scheduler, page, r, &(HttpAnswer){ .status = 200 });
    point(crawl);
    for (size_t i = 1; r == 0 && i <= N_LINKS; i++)
        r = add(crawl, (n * N_LINKS + i) % N_PAGES, page->depth + 1);
    point(crawl);
    if (r == 0)
        r = sl_mutex_lock(&crawl->writing);
    if (r < 0)
        return r;
    r = write_and_finish(crawl, page, n);
    sl_mutex_unlock(&crawl->writing);
    return r;
}

SUSPENDS static int work(void *arg)
{
    Crawl *crawl = arg;
    Page *page;
    int r;

    while ((r = scheduler_next(crawl->scheduler, &page)) == 0) {
        r = visit(crawl, page);
        if (r < 0)
            return r;
    }
    return r == SCHEDULER_END ? 0 : r;
}

SUSPENDS static int work_all(Crawl *crawl)
{
    AUTO(sl_nursery_close) sl_nursery *workers = sl_nursery_open();

    for (size_t i = 0; i < N_WORKERS; i++)
        (void) sl_spawn(workers, work, crawl);
    return sl_nursery_join(workers);
}

SUSPENDS static int crawl_main(void *arg)
{
    Crawl *crawl = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    SchedulerOpts opts = {
        .frontier = { .path = STATE, .window_urls = 16 },
        .gate = { .concurrency = N_WORKERS,
                  .host_at_once = N_WORKERS,
                  .delay_ms = 0,
                  .address_delay_ms = 0 },
        .robots = { .is_ignored = true },
    };
    const FrontierResume *resume;
    uint64_t held;
    int r = scheduler_open(&crawl->scheduler, nursery, &opts);

    if (r < 0)
        return r;
    point(crawl);
    resume = frontier_resume(scheduler_frontier(crawl->scheduler));
    held = outlet_begin(&crawl->outlet, resume->mark, resume->positions);
    r = frontier_settle(scheduler_frontier(crawl->scheduler), held);
    point(crawl);
    if (r == 0)
        r = add(crawl, 0, 0);
    if (r == 0)
        r = work_all(crawl);
    if (r == 0)
        r = mark(crawl);
    point(crawl);
    return r < 0 ? r : scheduler_close(crawl->scheduler);
}

/* Run once in a child: true when it came to its end. */
static bool run_child(uint64_t seed, enum sl_loop_kind loop, bool keeps_marks)
{
    Crawl crawl = { .outlet = { .keeps_marks = keeps_marks } };
    int status = 0;
    pid_t pid;

    rand_init(&crawl.rand, seed);
    crawl.kill_at = 1 + rand_below(&crawl.rand, 400);
    if (seed % N_RUNS > N_RUNS / 2)
        crawl.kill_at = 0; /* enough of it */
    pid = fork();
    if (pid == 0)
        _exit(sl_run(crawl_main, &crawl, .loop = loop, .seed = seed, .stall_ms = -1) == 0 ? 0 : 1);
    EXPECT(waitpid(pid, &status, 0) == pid);
    if (WIFSIGNALED(status)) {
        EXPECT_EQ(WTERMSIG(status), SIGKILL);
        return false;
    }
    EXPECT_EQ(WEXITSTATUS(status), 0);
    return true;
}

static void expect_each_once(void)
{
    unsigned counts[N_PAGES] = { 0 }, n_wrong = 0;
    FILE *file = fopen(ROWS, "r");
    char line[60];

    REQUIRE(file);
    while (fgets(line, sizeof(line), file)) {
        unsigned long n = strtoul(line, NULL, 10);

        if (line[0] != 'm' && n < N_PAGES)
            counts[n]++;
    }
    (void) fclose(file);
    for (size_t i = 0; i < N_PAGES; i++)
        n_wrong += counts[i] != 1;
    EXPECT_EQ(n_wrong, 0);
}

static void kill_until_done(uint64_t seed, enum sl_loop_kind loop, bool keeps_marks)
{
    uint64_t run = 0;

    (void) unlink(STATE);
    (void) unlink(STATE "-wal");
    (void) unlink(ROWS);
    while (!run_child(seed * N_RUNS + run, loop, keeps_marks))
        REQUIRE(++run < N_RUNS);
    expect_each_once();
}

TEST(an_outlet_with_marks_of_its_own_gets_each_row_once)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        kill_until_done(seed, SL_LOOP_SIM, true);
}

TEST(an_outlet_that_is_cut_back_gets_each_row_once)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        kill_until_done(seed, SL_LOOP_SIM, false);
}

/* On a real loop the pool may be in the middle of a transaction. */
TEST(with_threads_each_row_comes_once)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        kill_until_done(seed, SL_LOOP_EPOLL, seed % 2);
}

TEST_MAIN()
