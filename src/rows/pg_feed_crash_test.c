/*
 * The feed of PostgreSQL when something is killed: the server, its session, our process. Every row
 * is there once at the end, whatever was under way.
 */
#include "rows/pg_feed_world_test.h"

#include <stdlib.h>

enum { LOTS = 200, LOT_ROWS = 300 };

static const RowColumn columns[] = { { .name = STR("lot"), .kind = ROW_INT },
                                     { .name = STR("row"), .kind = ROW_INT },
                                     { .name = STR("text"), .kind = ROW_TEXT } };

static RowValue values[LOT_ROWS][3];

/* The rows of lot MARK, one of which is refused in every tenth. */
static void fill(uint64_t mark)
{
    for (int i = 0; i < LOT_ROWS; i++) {
        values[i][0] = row_integer((int64_t) mark);
        values[i][1] = row_integer(mark % 10 == 0 && i == 7 ? -1 : i);
        values[i][2] = row_text(STR_C("a text of some length, so that there is something to send"));
    }
}

/* Deliver everything from the mark on, as a pipeline does: what is to be tried again is. */
SUSPENDS static int deliver_all(World *world)
{
    while (world->mark < LOTS) {
        uint64_t mark = world->mark;
        int r;

        fill(mark + 1);
        r = DELIVER(world, columns, values);
        if (r == FEED_REFUSED)
            r = feed_finish(world->feed, &world->verdict);
        if (r != 0)
            world->mark = mark;
        if (r == FEED_RETRY)
            r = sl_sleep_ms(5);
        if (r > 0)
            return fail(-ERR_DATABASE, "%d: %s", r, world->verdict.text);
        if (r < 0)
            return r;
    }
    return 0;
}

SUSPENDS static int open_patiently(World *world, const char *options)
{
    int r;

    while ((r = world_open(world, cluster.url, options)) == FEED_RETRY) {
        if (sl_sleep_ms(20) < 0)
            break;
    }
    return r;
}

static void expect_all(const char *table)
{
    char sql[300];

    (void) snprintf(sql, sizeof(sql),
                    "SELECT count(*), count(DISTINCT (lot, row)), max(lot), min(row) FROM %s",
                    table);
    EXPECT_C(ask_pg(sql), "59980|59980|200|0");
    (void) snprintf(sql, sizeof(sql), "SELECT mark, note FROM sluice_marks WHERE run = '%s'",
                    table);
    EXPECT_C(ask_pg(sql), "200|it's \\ 200");
}

TEST(server_starts)
{
    pg_cluster_start(&cluster);
    if (cluster.why_not)
        test_skip(cluster.why_not);
}

/* ---- the server ------------------------------------------------------------------------------ */

static int kill_main(UNUSED void *arg)
{
    pg_cluster_kill(&cluster);
    return 0;
}

static int await_main(UNUSED void *arg)
{
    return pg_cluster_await(&cluster) ? 0 : fail(-ERR_DATABASE, "the server did not start again");
}

static int end_sessions(UNUSED void *arg)
{
    (void) ask_pg("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                  "'sluice'");
    return 0;
}

/* Kill the server, or only our session, whenever some more lots are in. */
SUSPENDS static int trouble_main(void *arg)
{
    const World *world = arg;
    int r = 0;

    for (uint64_t mark = 30; mark < LOTS && r == 0; mark += 41) {
        while (world->mark < mark && r == 0)
            r = sl_sleep_ms(1);
        if (r == 0 && mark % 2 == 0)
            r = sl_offload(kill_main, NULL);
        else if (r == 0)
            r = sl_offload(end_sessions, NULL);
        if (r == 0 && mark % 2 == 0) {
            pg_cluster_spawn(&cluster); /* on this thread: the server dies with it */
            r = sl_offload(await_main, NULL);
        }
    }
    return r;
}

SUSPENDS static int server_main(UNUSED void *arg)
{
    World world = { 0 };
    int r = world_open(&world, cluster.url, "table=exact");

    if (r == 0) {
        AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "trouble");

        (void) sl_spawn(nursery, trouble_main, &world);
        r = deliver_all(&world);
        if (r == 0)
            r = sl_nursery_join(nursery);
    }
    world_close(&world);
    return r;
}

TEST(server_that_is_killed)
{
    if (cluster.why_not) {
        test_skip(cluster.why_not);
        return;
    }
    (void) ask_pg("CREATE TABLE exact (lot bigint, row bigint CHECK (row >= 0), text text)");
    EXPECT_OK(sl_run(server_main, NULL, .loop = SL_LOOP_EPOLL, .stall_ms = -1));
    expect_all("exact");
}

/* ---- the process ----------------------------------------------------------------------------- */

SUSPENDS static int process_main(void *arg)
{
    World world = { 0 };
    int r = open_patiently(&world, arg);

    if (r == 0)
        r = deliver_all(&world);
    world_close(&world);
    return r;
}

/* Run the stream in a process that is killed after PAUSE_US; whether it came to its end. */
static bool run_killed(char *options, useconds_t pause_us)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0)
        _exit(sl_run(process_main, options, .loop = SL_LOOP_EPOLL, .stall_ms = -1) == 0 ? 0 : 1);
    if (pid < 0)
        return false;
    for (useconds_t waited = 0; waited < pause_us; waited += 1000) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFEXITED(status) && WEXITSTATUS(status) == 0;
        (void) usleep(1000);
    }
    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
    return false;
}

static void kill_until_done(const char *table, const char *options)
{
    char text[200];
    bool is_done = false;

    (void) snprintf(text, sizeof(text), "table=%s%s", table, options);
    srandom(7);
    for (int i = 0; i < 300 && !is_done; i++) {
        useconds_t pause_us = 20000 + (useconds_t) (random() % 150000);

        is_done = run_killed(text, i < 40 ? pause_us : 60000000);
    }
    EXPECT(is_done);
    expect_all(table);
}

TEST(process_that_is_killed)
{
    if (cluster.why_not) {
        test_skip(cluster.why_not);
        return;
    }
    (void) ask_pg("CREATE TABLE killed (lot bigint, row bigint CHECK (row >= 0), text text)");
    kill_until_done("killed", "");
    (void) ask_pg(
        "CREATE TABLE upserted (lot bigint, row bigint CHECK (row >= 0), text text, PRIMARY "
        "KEY (lot, row))");
    kill_until_done("upserted", "&mode=upsert&key=lot,row");
}

/* ---- cancellation ---------------------------------------------------------------------------- */

/* A delivery that is cancelled in the middle has an unknown fate, and the same lot follows it. */
SUSPENDS static int cancel_main(UNUSED void *arg)
{
    World world = { 0 };
    int r = world_open(&world, cluster.url, "table=cancelled");

    for (int64_t after_us = 50; r == 0 && world.mark < LOTS; after_us = after_us * 3 / 2) {
        sl_scope scope;

        sl_scope_begin(&scope, .deadline_ns = sl_now_ns() + after_us * 1000);
        r = sl_scope_end(&scope, deliver_all(&world));
        if (r == -ETIMEDOUT) {
            err_take(r, NULL);
            r = 0;
        }
    }
    world_close(&world);
    return r;
}

TEST(deliveries_that_are_cancelled)
{
    if (cluster.why_not) {
        test_skip(cluster.why_not);
        return;
    }
    (void) ask_pg("CREATE TABLE cancelled (lot bigint, row bigint CHECK (row >= 0), text text)");
    EXPECT_OK(sl_run(cancel_main, NULL, .loop = SL_LOOP_EPOLL, .stall_ms = -1));
    expect_all("cancelled");
}

TEST(server_ends)
{
    pg_cluster_stop(&cluster);
}

TEST_MAIN()
