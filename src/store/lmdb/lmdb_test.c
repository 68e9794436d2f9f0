/*
 * What only lmdb has: a directory, a disk that fills, a process that is killed.
 *
 * Would catch an acknowledged job that a kill loses, a store that opens what is not its own or what
 * somebody else has open, a full disk that stops the finishing of jobs or that the store never
 * recovers from, a damaged file that is read as if it were whole.
 */
#include "base/rand.h"
#include "base/test.h"
#include "gen/stores.h"
#include "store/record.h"
#include "store/store.h"

#include <sluice/rt.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern const StoreDriver store_lmdb;

static JobId id_of(uint32_t n)
{
    JobId id = { { 1, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80 } };

    for (int i = 0; i < 4; i++)
        id.bytes[12 + i] = (uint8_t) (n >> (24 - 8 * i));
    return id;
}

static int push(Store *store, uint32_t n, Str args)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    JobSpec spec = { .id = id_of(n), .type = STR_C("t"), .args = args };
    Str record;
    int r;

    record_encode(&buf, &spec, store_now(store).wall_ms);
    record = buf_str(&buf);
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_PUSH, .push = { .records = &record, .n = 1 } };
    r = store_run(store, &op);
    return r < 0 ? r : op.r;
}

static JobState state_of(Store *store, uint32_t n, bool *ret_is_there)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_GET, .get.id = id_of(n) };
    RecordHead head = { 0 };
    size_t cursor = 0;
    Str record;

    EXPECT_OK(store_run(store, &op));
    *ret_is_there = store_out_next(&op.out, &cursor, &record);
    if (*ret_is_there)
        record_head_get(record_body(record), &head);
    return head.state;
}

/* Lease one and complete it: its number, -1 when there is none, or the error of the completion. */
static int64_t work_one(Store *store)
{
    static const Str queue = STR("default");
    AUTO(store_op_deinit)
    StoreOp lease = { .kind = STORE_LEASE,
                      .lease = { .queues = &queue, .n_queues = 1, .max = 1, .default_ms = 60000 } };
    size_t cursor = 0;
    Str record;

    EXPECT_OK(store_run(store, &lease));
    if (lease.r < 0)
        return lease.r;
    if (!store_out_next(&lease.out, &cursor, &record))
        return -1;
    StoreMove done = { .id = record_id(record), .from = JOB_IN(ACTIVE), .to = JOB_COMPLETED };
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_MOVE, .move = { .moves = &done, .n = 1 } };
    EXPECT_OK(store_run(store, &op));
    if (op.r < 0 || done.r < 0)
        return op.r < 0 ? op.r : done.r;
    return (int64_t) done.id.bytes[12] << 24 | done.id.bytes[13] << 16 | done.id.bytes[14] << 8 |
           done.id.bytes[15];
}

static void check(Store *store)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_CHECK };

    EXPECT_OK(store_run(store, &op));
    EXPECT_C(op.check.why, "");
}

static int open_at(const char *path, Store **ret_store)
{
    StoreOpts opts = { .driver = &store_lmdb,
                       .config = { .path = str_from_c(path), .max_bytes = 64 << 20 } };

    return store_open(&opts, ret_store);
}

/* ---- kill -9 --------------------------------------------------------------------------------- */

/* What the victim tells through the pipe, after the store has said yes. */
typedef struct Fact {
    uint32_t n;
    uint32_t is_completed; /* else acknowledged */
} Fact;

typedef struct Victim {
    uint32_t first;
    int fd;
} Victim;

static int live(void *arg)
{
    const Victim *victim = arg;
    Store *store;

    if (open_at("killed", &store) < 0)
        return 1;
    for (uint32_t n = victim->first;; n++) {
        Fact fact = { .n = n };
        int64_t done;

        if (push(store, n, STR_C("[\"some arguments\"]")) != 0 ||
            write(victim->fd, &fact, sizeof(fact)) < 0)
            return 1;
        done = n % 3 ? work_one(store) : -1;
        fact = (Fact){ .n = (uint32_t) done, .is_completed = 1 };
        if (done >= 0 && write(victim->fd, &fact, sizeof(fact)) < 0)
            return 1;
    }
}

enum { ROUNDS = 25, NUMBERS = ROUNDS * 20000 };

typedef struct Facts {
    uint8_t of[NUMBERS]; /* 1 acknowledged, 2 completed */
    uint32_t n;          /* numbers used */
} Facts;

static int verify(void *arg)
{
    const Facts *facts = arg;
    Store *store;

    EXPECT_OK(open_at("killed", &store));
    for (uint32_t n = 0; n < facts->n; n++) {
        bool is_there;
        JobState state;

        if (facts->of[n] == 0)
            continue;
        state = state_of(store, n, &is_there);
        EXPECT(is_there);
        if (facts->of[n] == 2)
            EXPECT_EQ(state, JOB_COMPLETED);
    }
    check(store);
    store_close(store);
    return 0;
}

/* Take note of what the victim tells next. False when it tells nothing more. */
static bool hear(Facts *facts, int fd)
{
    Fact fact;

    if (read(fd, &fact, sizeof(fact)) != sizeof(fact) || fact.n >= NUMBERS)
        return false;
    facts->of[fact.n] = fact.is_completed ? 2 : 1;
    facts->n = MAX(facts->n, fact.n + 1);
    return true;
}

/* It dies some time after its start, or, since a start may take its time, after its first word. */
static void one_death(Facts *facts, uint32_t first, int64_t after_ms, bool is_heard)
{
    int fds[2], status;
    pid_t pid;

    REQUIRE(pipe(fds) == 0);
    pid = fork();
    if (pid == 0) {
        Victim victim = { first, fds[1] };

        close(fds[0]);
        _exit(sl_run(live, &victim, .stall_ms = -1) == 0 ? 0 : 1);
    }
    close(fds[1]);
    if (is_heard)
        EXPECT(hear(facts, fds[0]));
    usleep((useconds_t) after_ms * 1000);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    EXPECT(WIFSIGNALED(status));
    while (hear(facts, fds[0])) {}
    close(fds[0]);
}

TEST(a_killed_engine_loses_nothing_it_acknowledged)
{
    Facts *facts = mem_new(Facts);
    Rand rand;

    rand_init(&rand, 7);
    for (uint32_t i = 0; i < ROUNDS && !test_has_failed(); i++)
        one_death(facts, i * 20000, 5 + (int64_t) rand_below(&rand, 60), i % 2 == 0);
    EXPECT(facts->n > 0);
    EXPECT_OK(sl_run(verify, facts, .stall_ms = -1));
    mem_free(facts);
}

/* ---- directories ----------------------------------------------------------------------------- */

static void put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    REQUIRE(file != NULL);
    fputs(text, file);
    fclose(file);
}

static int refusals(void *arg)
{
    Store *store, *second;

    (void) arg;
    mkdir("foreign", 0700);
    put_file("foreign/thesis.txt", "years of work");
    EXPECT_ERR(open_at("foreign", &store), -ERR_STORE_FORMAT, "thesis.txt");
    EXPECT(access("foreign/lock", F_OK) != 0);
    put_file("afile", "x");
    EXPECT_ERR(open_at("afile", &store), -ENOTDIR, "afile");
    EXPECT_ERR(open_at("no/such/parent", &store), -ENOENT, "cannot be made");
    EXPECT_ERR(open_at("", &store), -ERR_USAGE, "directory");
    mkdir("newer", 0700);
    put_file("newer/sluice.store", "sluice store 99\n");
    EXPECT_ERR(open_at("newer", &store), -ERR_STORE_FORMAT, "format 99");
    put_file("newer/sluice.store", "bees");
    EXPECT_ERR(open_at("newer", &store), -ERR_STORE_FORMAT, "not Sluice's");
    mkdir("empty", 0700);
    EXPECT_OK(open_at("empty", &store));
    EXPECT_ERR(open_at("empty", &second), -ERR_STORE_LOCKED, "another engine (process");
    store_close(store);
    EXPECT_OK(open_at("empty", &store));
    store_close(store);
    return 0;
}

TEST(what_is_not_a_store_of_ours_is_refused)
{
    EXPECT_OK(sl_run(refusals, NULL, .stall_ms = -1));
}

static int fill_some(void *arg)
{
    Store *store;

    EXPECT_OK(open_at(arg, &store));
    for (uint32_t n = 0; n < 200; n++)
        EXPECT_OK(push(store, n, STR_C("[\"0123456789012345678901234567890123456789\"]")));
    store_close(store);
    return 0;
}

static void damage(const char *path, off_t at, size_t len)
{
    char junk[4096];
    int fd = open(path, O_RDWR);

    REQUIRE(fd >= 0);
    memset(junk, 0x5a, sizeof(junk));
    EXPECT_EQ(pwrite(fd, junk, len, at), (ssize_t) len);
    close(fd);
}

static int open_damaged(void *arg)
{
    Store *store;
    int r = open_at(arg, &store);

    EXPECT_EQ(r, -ERR_STORE_FORMAT);
    if (r == 0)
        store_close(store);
    return 0;
}

TEST(a_damaged_or_shortened_file_is_refused)
{
    char meta[] = "damaged", cut[] = "cut";

    EXPECT_OK(sl_run(fill_some, meta, .stall_ms = -1));
    damage("damaged/data.mdb", 0, 4096); /* both meta pages */
    damage("damaged/data.mdb", 4096, 4096);
    EXPECT_OK(sl_run(open_damaged, meta, .stall_ms = -1));
    EXPECT_OK(sl_run(fill_some, cut, .stall_ms = -1));
    EXPECT_EQ(truncate("cut/data.mdb", 5 * 4096), 0);
    EXPECT_OK(sl_run(open_damaged, cut, .stall_ms = -1));
}

/* The log may hold what was answered, so an engine that cannot read it must not begin without. */
static int open_without_log(void *arg)
{
    Store *store;

    EXPECT_OK(rename("logless/sluice.redo", "logless/kept"));
    EXPECT_EQ(mkdir("logless/sluice.redo", 0700), 0);
    EXPECT_ERR(open_at(arg, &store), -EISDIR, "sluice.redo");
    EXPECT_EQ(rmdir("logless/sluice.redo"), 0);
    EXPECT_OK(rename("logless/kept", "logless/sluice.redo"));
    EXPECT_OK(open_at(arg, &store));
    store_close(store);
    return 0;
}

TEST(a_log_that_cannot_be_opened_is_refused)
{
    char path[] = "logless";

    EXPECT_OK(sl_run(fill_some, path, .stall_ms = -1));
    EXPECT_OK(sl_run(open_without_log, path, .stall_ms = -1));
}

/* ---- a full disk ----------------------------------------------------------------------------- */

enum { SMALL_DISK = 24 << 20 };

/* Full again, and only a part of the jobs leaves: the file cannot grow and its end stays in use, so
 * the room for new jobs is what was freed inside. */
static void refill_part(Store *store, Str args)
{
    AUTO(store_op_deinit)
    StoreOp sweep = { .kind = STORE_SWEEP,
                      .sweep = { .keep = { .completed_max = 1 }, .max = 10000 } };
    uint32_t n = 3000000;
    int r;

    while ((r = push(store, n, args)) == 0)
        n++;
    EXPECT_EQ(r, -ERR_STORE_FULL);
    for (int i = 0; i < 150; i++)
        EXPECT(work_one(store) >= 0);
    do {
        EXPECT_OK(store_run(store, &sweep));
    } while (sweep.r == STORE_MORE);
    for (int i = 0; i < 60; i++) {
        r = push(store, 4000000 + (uint32_t) i, args);
        if (i >= 20) /* freed pages may be used from the next transaction on */
            EXPECT_EQ(r, 0);
    }
}

static int on_small_disk(void *arg)
{
    char *args = mem_zalloc(20000);
    AUTO(store_op_deinit)
    StoreOp sweep = { .kind = STORE_SWEEP,
                      .sweep = { .keep = { .completed_max = 1 }, .max = 10000 } };
    uint32_t n = 0, pushed, done = 0;
    StoreStats stats;
    Store *store;
    int64_t r;

    (void) arg;
    memset(args, '7', 20000);
    EXPECT_OK(open_at("disk/store", &store));
    while ((r = push(store, n, str_from(args, 20000))) == 0)
        n++;
    pushed = n;
    EXPECT_EQ(r, -ERR_STORE_FULL);
    EXPECT(pushed > 200);
    do { /* it is published behind the answer */
        EXPECT_OK(sl_sleep_ms(1));
        store_stats(store, &stats);
    } while (!stats.is_full);
    while ((r = work_one(store)) >= 0)
        done++;
    EXPECT_EQ(r, -1);
    EXPECT_EQ(done, pushed); /* every job that was taken could be finished */
    do {
        EXPECT_OK(store_run(store, &sweep));
    } while (sweep.r == STORE_MORE);
    EXPECT_EQ(sweep.r, 0);
    for (uint32_t i = 0; i < 100; i++) {
        r = push(store, 2000000 + i, str_from(args, 20000));
        if (r != 0 && i < 20) /* freed pages may be used from the next transaction on */
            continue;
        EXPECT_EQ(r, 0);
    }
    refill_part(store, str_from(args, 20000));
    check(store);
    store_close(store);
    EXPECT_OK(open_at("disk/store", &store));
    check(store);
    EXPECT_OK(push(store, 5000000, str_from(args, 20000))); /* a restart takes no room away */
    store_close(store);
    mem_free(args);
    return 0;
}

TEST(a_full_disk_refuses_pushes_and_lets_jobs_finish)
{
    char opts[40];

    mkdir("disk", 0700);
    snprintf(opts, sizeof(opts), "size=%d", SMALL_DISK);
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "disk", "tmpfs", 0, opts) < 0) {
        test_skip("no small file system can be mounted");
        return;
    }
    EXPECT_OK(sl_run(on_small_disk, NULL, .stall_ms = -1));
    umount("disk");
}

TEST_MAIN()
