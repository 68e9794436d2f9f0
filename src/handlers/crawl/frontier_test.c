/*
 * State files: whose they are, what is in them, and what is said when they cannot be used.
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/test.h"
#include "handlers/crawl/frontier_db_int.h"
#include "handlers/crawl/frontier_state_int.h"
#include "handlers/crawl/scheduler.h"

#include <sluice/rt.h>

#include <fcntl.h>

#define STATE "state.crawl"

static const FrontierSetting settings[] = {
    { "--start", STR("http://shop.test/") },
    { "--select", STR("price=.price") },
};

typedef struct World {
    void (*run)(struct World *world);
    SchedulerOpts opts;
    sl_nursery *nursery;
    Scheduler *scheduler;
    Frontier *frontier;
} World;

SUSPENDS static int world_main(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    world->nursery = nursery;
    world->opts = (SchedulerOpts){
        .frontier = { .path = STATE, .settings = settings, .n_settings = ARRAY_LEN(settings) },
        .gate = { .delay_ms = 0, .address_delay_ms = 0, .host_at_once = 4 },
        .robots = { .is_ignored = true },
    };
    world->run(world);
    return 0;
}

static void remove_state(void)
{
    (void) unlink(STATE);
    (void) unlink(STATE "-wal");
}

static void run_world(void (*run)(World *world))
{
    static const enum sl_loop_kind loops[] = { SL_LOOP_SIM, SL_LOOP_EPOLL };

    for (size_t i = 0; i < ARRAY_LEN(loops); i++) {
        World world = { .run = run };

        remove_state();
        EXPECT_OK(sl_run(world_main, &world, .loop = loops[i], .stall_ms = -1));
    }
}

#define STATE_TEST(name)                  \
    static void name##_run(World *world); \
    TEST(name)                            \
    {                                     \
        run_world(name##_run);            \
    }                                     \
    SUSPENDS static void name##_run(World *world)

SUSPENDS static int open_world(World *world)
{
    int r = scheduler_open(&world->scheduler, world->nursery, &world->opts);

    if (r == 0)
        world->frontier = scheduler_frontier(world->scheduler);
    return r;
}

SUSPENDS static void close_world(World *world)
{
    EXPECT_OK(scheduler_close(world->scheduler));
    world->scheduler = NULL;
}

static void add(World *world, const char *url)
{
    EXPECT_OK(frontier_add(world->frontier, &(FrontierLink){ .url = str_from_c(url) }));
}

/* Visit the next page and end it. */
SUSPENDS static void visit(World *world, const PageEnd *end)
{
    Page *page = NULL;

    EXPECT_OK(scheduler_next(world->scheduler, &page));
    REQUIRE(page);
    scheduler_answered(world->scheduler, page, 0, &(HttpAnswer){ .status = end->status });
    EXPECT_OK(frontier_finish(world->frontier, page, end));
}

static FrontierStats stats_of(const World *world)
{
    FrontierStats stats;

    frontier_stats(world->frontier, &stats);
    return stats;
}

static const PageEnd done = { .outcome = CRAWL_DONE, .status = 200 };

STATE_TEST(what_was_done_stays_done)
{
    char run_id[60];
    uint64_t mark = 0;

    EXPECT_OK(open_world(world));
    EXPECT(!frontier_resume(world->frontier)->is_resumed);
    (void) snprintf(run_id, sizeof(run_id), "%.*s",
                    (int) frontier_resume(world->frontier)->run_id.len,
                    frontier_resume(world->frontier)->run_id.data);
    add(world, "http://a.test/1");
    add(world, "http://b.test/2");
    add(world, "http://a.test/3");
    visit(world, &done);
    EXPECT_EQ(frontier_unmarked(world->frontier), 1);
    EXPECT_OK(frontier_begin_mark(world->frontier, &mark));
    EXPECT_EQ(mark, 1);
    EXPECT_OK(frontier_end_mark(world->frontier, mark, STR_C("{\"at\":17}")));
    visit(world, &done); /* behind the mark: its row is lost with the process */
    close_world(world);

    EXPECT_OK(open_world(world));
    EXPECT(frontier_resume(world->frontier)->is_resumed);
    EXPECT(!frontier_resume(world->frontier)->is_complete);
    EXPECT_STR(frontier_resume(world->frontier)->run_id, str_from_c(run_id));
    EXPECT_STR(frontier_resume(world->frontier)->positions, STR_C("{\"at\":17}"));
    EXPECT_EQ(frontier_resume(world->frontier)->mark, 1);
    EXPECT_EQ(frontier_resume(world->frontier)->n_done, 2);
    EXPECT_OK(frontier_settle(world->frontier, 1));
    EXPECT_EQ(stats_of(world).by_state[PAGE_DONE], 1);
    EXPECT_EQ(stats_of(world).by_state[PAGE_QUEUED], 2);
    EXPECT_EQ(frontier_add(world->frontier, &(FrontierLink){ .url = STR("http://a.test/1") }),
              FRONTIER_SEEN);
    add(world, "http://a.test/4");
    for (int i = 0; i < 3; i++)
        visit(world, &done);
    EXPECT_OK(frontier_begin_mark(world->frontier, &mark));
    EXPECT(mark > 1);
    EXPECT(scheduler_is_complete(world->scheduler));
    close_world(world);
}

/* The outlet holds a mark that the state file was not told of. */
STATE_TEST(the_outlets_word_counts)
{
    uint64_t mark = 0;

    EXPECT_OK(open_world(world));
    add(world, "http://a.test/1");
    visit(world, &done);
    EXPECT_OK(frontier_begin_mark(world->frontier, &mark));
    close_world(world);
    EXPECT_OK(open_world(world));
    EXPECT_EQ(frontier_resume(world->frontier)->mark, 0);
    EXPECT_OK(frontier_settle(world->frontier, mark));
    EXPECT(scheduler_is_complete(world->scheduler));
    close_world(world);
}

STATE_TEST(another_crawls_state_is_refused)
{
    static const FrontierSetting others[] = {
        { "--start", STR("http://other.test/") },
        { "--select", STR("name=h1") },
    };

    EXPECT_OK(open_world(world));
    close_world(world);
    world->opts.frontier.settings = others;
    EXPECT_ERR(open_world(world), -ERR_CONFLICT,
               "--start was \"http://shop.test/\" and is \"http://other.test/\", --select");
    world->opts.frontier.mode = FRONTIER_RESTART;
    EXPECT_OK(open_world(world));
    EXPECT(!frontier_resume(world->frontier)->is_resumed);
    close_world(world);
    world->opts.frontier.mode = FRONTIER_CONTINUE;
    EXPECT_OK(open_world(world));
    EXPECT(frontier_resume(world->frontier)->is_resumed);
    close_world(world);
}

STATE_TEST(a_running_crawls_state_is_refused)
{
    Scheduler *first;

    EXPECT_OK(open_world(world));
    first = world->scheduler;
    EXPECT_ERR(open_world(world), -ERR_STORE_LOCKED, "a running crawl has it");
    EXPECT_OK(scheduler_close(first));
    EXPECT_OK(open_world(world));
    close_world(world);
}

static void write_file(const void *data, size_t len, int flags, off_t at)
{
    int fd = open(STATE, O_WRONLY | O_CREAT | flags, 0600);

    EXPECT(fd >= 0);
    EXPECT_EQ(pwrite(fd, data, len, at), (ssize_t) len);
    EXPECT_EQ(close(fd), 0);
}

STATE_TEST(a_foreign_file_is_refused_and_left_alone)
{
    static const char text[] = "name,price\nthis is somebody's table of results,12.50\n";
    sqlite3 *sqlite = NULL;
    char back[sizeof(text)];
    int fd;

    write_file(text, sizeof(text), O_TRUNC, 0);
    EXPECT_ERR(open_world(world), -ERR_STORE_FORMAT, "is no state file of a crawl");
    fd = open(STATE, O_RDONLY);
    EXPECT_EQ(read(fd, back, sizeof(back)), (ssize_t) sizeof(back));
    EXPECT(memcmp(text, back, sizeof(back)) == 0);
    EXPECT_EQ(close(fd), 0);

    remove_state();
    EXPECT_EQ(sqlite3_open(STATE, &sqlite), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(sqlite, "CREATE TABLE rows(price)", NULL, NULL, NULL), SQLITE_OK);
    EXPECT_EQ(sqlite3_close(sqlite), SQLITE_OK);
    EXPECT_ERR(open_world(world), -ERR_STORE_FORMAT, "no state file of a crawl");
    world->opts.frontier.mode = FRONTIER_RESTART;
    EXPECT_ERR(open_world(world), -ERR_STORE_FORMAT, "no state file of a crawl");
}

STATE_TEST(another_version_is_refused)
{
    sqlite3 *sqlite = NULL;

    EXPECT_OK(open_world(world));
    close_world(world);
    EXPECT_EQ(sqlite3_open(STATE, &sqlite), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(sqlite, "PRAGMA user_version=7", NULL, NULL, NULL), SQLITE_OK);
    EXPECT_EQ(sqlite3_close(sqlite), SQLITE_OK);
    EXPECT_ERR(open_world(world), -ERR_STORE_FORMAT, "another version (7");
}

/* Rows that make no sense, and pages of noise, are an error and never a crash. */
STATE_TEST(a_damaged_file_says_so)
{
    static const char *const damages[] = {
        "UPDATE pages SET host = -5",
        "UPDATE pages SET host = 99999999",
        "UPDATE pages SET state = 77",
        "UPDATE pages SET seen = 0",
        "DELETE FROM hosts WHERE id = 0",
        "DELETE FROM meta WHERE name = 'seed0'",
        "UPDATE meta SET value = 'x' WHERE name = 'seed1'",
    };
    char noise[4096];

    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        sqlite3 *sqlite = NULL;
        int r;

        remove_state();
        EXPECT_OK(open_world(world));
        add(world, "http://a.test/1");
        add(world, "http://b.test/2");
        close_world(world);
        EXPECT_EQ(sqlite3_open(STATE, &sqlite), SQLITE_OK);
        EXPECT_EQ(sqlite3_exec(sqlite, damages[i], NULL, NULL, NULL), SQLITE_OK);
        EXPECT_EQ(sqlite3_close(sqlite), SQLITE_OK);
        r = open_world(world);
        if (r == 0) {
            EXPECT_ERR(frontier_settle(world->frontier, 0), -ERR_STORE_FORMAT, "damaged");
            close_world(world);
        } else {
            EXPECT_ERR(r, -ERR_STORE_FORMAT, "damaged");
        }
    }
    memset(noise, 0xa5, sizeof(noise));
    for (off_t at = 4096; at < 7 * 4096; at += 4096)
        write_file(noise, sizeof(noise), 0, at);
    EXPECT_ERR(open_world(world), -ERR_STORE_FORMAT, "damaged");
}

STATE_TEST(a_file_that_cannot_be_made_says_so)
{
    world->opts.frontier.path = "no/such/folder/state.crawl";
    EXPECT_ERR(open_world(world), -ERR_STORE, "no/such/folder/state.crawl");
}

/* A revisit asks for everything again, and knows what to ask with. */
STATE_TEST(a_revisit_has_the_validators)
{
    Page *page = NULL;
    uint64_t mark;

    EXPECT_OK(open_world(world));
    add(world, "http://a.test/1");
    visit(world, &(PageEnd){ .outcome = CRAWL_DONE,
                             .status = 200,
                             .etag = STR("\"e1\""),
                             .last_modified = STR("Sat, 21 Nov 2026 03:15:00 GMT"),
                             .content = 0xffffffffffffffff });
    EXPECT(frontier_has_content(world->frontier, 5) == false);
    EXPECT_OK(frontier_begin_mark(world->frontier, &mark));
    EXPECT_OK(frontier_complete(world->frontier));
    close_world(world);

    EXPECT_OK(open_world(world));
    EXPECT(frontier_resume(world->frontier)->is_complete);
    EXPECT_OK(frontier_settle(world->frontier, mark));
    EXPECT(frontier_has_content(world->frontier, 0xffffffffffffffff));
    close_world(world);

    world->opts.frontier.mode = FRONTIER_REVISIT;
    EXPECT_OK(open_world(world));
    EXPECT(!frontier_resume(world->frontier)->is_resumed);
    EXPECT_EQ(stats_of(world).by_state[PAGE_QUEUED], 1);
    EXPECT_EQ(frontier_add(world->frontier, &(FrontierLink){ .url = STR("http://a.test/1") }),
              FRONTIER_SEEN);
    EXPECT_OK(scheduler_next(world->scheduler, &page));
    REQUIRE(page);
    EXPECT_STR(page->etag, STR_C("\"e1\""));
    EXPECT_STR(page->last_modified, STR_C("Sat, 21 Nov 2026 03:15:00 GMT"));
    EXPECT(page->content == 0xffffffffffffffff);
    EXPECT(page->visited_ms > 0);
    scheduler_answered(world->scheduler, page, 0, &(HttpAnswer){ .status = 304 });
    EXPECT_OK(frontier_finish(world->frontier, page,
                              &(PageEnd){ .outcome = CRAWL_NOT_MODIFIED,
                                          .status = 304,
                                          .etag = page->etag,
                                          .last_modified = page->last_modified }));
    EXPECT_EQ(stats_of(world).by_state[PAGE_DONE], 1);
    close_world(world);
}

STATE_TEST(a_temporary_file_goes_when_all_is_done)
{
    world->opts.frontier.is_temporary = true;
    EXPECT_OK(open_world(world));
    add(world, "http://a.test/1");
    close_world(world);
    EXPECT_EQ(access(STATE, F_OK), 0);
    EXPECT_OK(open_world(world));
    EXPECT_OK(frontier_settle(world->frontier, 0));
    visit(world, &done);
    EXPECT_OK(frontier_complete(world->frontier));
    close_world(world);
    EXPECT(access(STATE, F_OK) < 0);
}

STATE_TEST(odd_urls_are_counted_and_not_queued)
{
    AUTO(buf_deinit) Buf url = { 0 };

    world->opts.frontier.path = NULL;
    EXPECT_OK(open_world(world));
    EXPECT_EQ(frontier_add(world->frontier, &(FrontierLink){ .url = STR("mailto:me@shop.test") }),
              FRONTIER_REFUSED);
    EXPECT_EQ(frontier_add(world->frontier, &(FrontierLink){ .url = STR("mailto:me@shop.test") }),
              FRONTIER_SEEN);
    buf_add_c(&url, "http://a.test/");
    for (size_t i = 0; i < LIMIT_CRAWL_URL_BYTES; i++)
        buf_add_char(&url, 'x');
    EXPECT_EQ(frontier_add(world->frontier, &(FrontierLink){ .url = buf_str(&url) }),
              FRONTIER_REFUSED);
    EXPECT_EQ(stats_of(world).by_outcome[CRAWL_BAD_URL], 2);
    EXPECT_EQ(frontier_skip(world->frontier, STR_C("http://b.test/"), CRAWL_OTHER_HOST), 0);
    EXPECT_EQ(frontier_skip(world->frontier, STR_C("http://b.test/"), CRAWL_OTHER_HOST),
              FRONTIER_SEEN);
    EXPECT_EQ(frontier_add(world->frontier, &(FrontierLink){ .url = STR("http://a.test/1?utm=1"),
                                                             .key = STR("http://a.test/1") }),
              0);
    EXPECT_EQ(frontier_add(world->frontier, &(FrontierLink){ .url = STR("http://a.test/1") }),
              FRONTIER_SEEN);
    close_world(world);
}

/* A full disk ends the work with words, keeps what was whole, and the next crawl goes on. */
TEST(a_full_disk_is_said_and_nothing_is_broken)
{
    AUTO(buf_deinit) Buf changes = { 0 };
    AUTO(buf_deinit) Buf rows = { 0 };
    FrontierDb *db = NULL;
    bool is_new;
    uint64_t n_ended, n_queued;
    int r = 0;

    remove_state();
    REQUIRE(frontier_db_open(&db, STATE, NULL, 0, FRONTIER_CONTINUE, &is_new) == 0);
    EXPECT_OK(db_exec(db, "PRAGMA max_page_count=30"));
    for (uint64_t id = 1; r == 0 && id < 10000; id++) {
        buf_reset(&changes);
        db_record_put(&changes, &(DbRecord){ .kind = DB_PAGE_NEW,
                                             .id = id,
                                             .seen = id,
                                             .text = { STR("http://a.test/a/page/with/a/name") } });
        r = frontier_db_apply(db, buf_str(&changes), NULL, 0, false, &rows);
    }
    EXPECT_ERR(r, -ERR_STORE_FULL, "no room left on its disk");
    EXPECT_OK(frontier_db_count(db, &n_ended, &n_queued));
    EXPECT(n_queued > 100);
    frontier_db_close(db, false);
    REQUIRE(frontier_db_open(&db, STATE, NULL, 0, FRONTIER_CONTINUE, &is_new) == 0);
    EXPECT_OK(frontier_db_count(db, &n_ended, &n_queued));
    EXPECT(n_queued > 100 && !is_new);
    frontier_db_close(db, true);
    EXPECT(access(STATE, F_OK) < 0);
}

/* The same in the middle of a crawl: whoever waits is told, and closing says it again. */
STATE_TEST(a_disk_that_fills_up_ends_the_crawl)
{
    char text[100];
    Page *page = NULL;
    int r = 0;

    world->opts.frontier.window_urls = 4;
    EXPECT_OK(open_world(world));
    EXPECT_OK(db_exec(world->frontier->db, "PRAGMA max_page_count=100"));
    for (int i = 0; r == 0 && i < 100000; i++) {
        int len = snprintf(text, sizeof(text), "http://a.test/a/page/with/a/name/%d", i);

        r = frontier_add(world->frontier, &(FrontierLink){ .url = str_from(text, (size_t) len) });
        if (r == 0)
            r = frontier_wait_room(world->frontier);
    }
    EXPECT_ERR(r, -ERR_STORE_FULL, "no room left");
    EXPECT_ERR(scheduler_next(world->scheduler, &page), -ERR_STORE_FULL, "no room left");
    EXPECT_ERR(scheduler_close(world->scheduler), -ERR_STORE_FULL, "no room left");
}

TEST_MAIN()
