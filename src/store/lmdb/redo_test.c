/* The redo log: what was written comes back, and of what was torn or turned exactly the whole
 * records before it. */
#define SL_MAY_BLOCK
#include "store/lmdb/redo.h"

#include "base/rand.h"
#include "base/test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#define FILE_BYTES (256 << 10)

/* What a replay gave, as text: "0+key=value;1-key;" */
static int note(void *ctx, KvTree tree, Str key, Str value, bool is_removed)
{
    buf_printf(ctx, "%d%c%.*s", (int) tree, is_removed ? '-' : '+', (int) key.len, key.data);
    if (!is_removed)
        buf_printf(ctx, "=%.*s", (int) value.len, value.data);
    buf_add_char(ctx, ';');
    return 0;
}

static void open_new(Redo *redo)
{
    (void) unlink("redo");
    EXPECT_OK(redo_open(redo, "redo", FILE_BYTES));
    redo_begin(redo, 1);
}

/* Write record I: two changes that name it. */
static void write_record(Redo *redo, int i)
{
    char key[16], value[64];
    int k = snprintf(key, sizeof(key), "k%d", i),
        v = snprintf(value, sizeof(value), "v%0*d", i % 40 + 1, i);

    redo_gather(redo, KV_JOBS, str_from(key, (size_t) k), str_from(value, (size_t) v), false);
    redo_gather(redo, KV_INDEX, str_from(key, (size_t) k), str_from(NULL, 0), i % 2);
    EXPECT_OK(redo_write(redo, i % 3 == 0));
}

static uint64_t replay(uint64_t epoch, Buf *out)
{
    Redo redo = REDO_NULL;
    uint64_t records = 0;

    EXPECT_OK(redo_open(&redo, "redo", FILE_BYTES));
    EXPECT_OK(redo_replay(&redo, epoch, note, out, &records));
    redo_close(&redo);
    return records;
}

/* Would catch a layout that does not come back, removals taken for empty values, and order lost. */
TEST(what_was_written_comes_back)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Redo redo = REDO_NULL;

    open_new(&redo);
    write_record(&redo, 0);
    write_record(&redo, 1);
    redo_close(&redo);
    EXPECT_EQ(replay(1, &out), 2);
    EXPECT_STR(buf_str(&out), STR_C("0+k0=v0;1+k0=;0+k1=v01;1-k1;"));
}

/* Would catch records of an epoch that LMDB holds already being applied a second time. */
TEST(another_epoch_does_not_count)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Redo redo = REDO_NULL;

    open_new(&redo);
    write_record(&redo, 0);
    write_record(&redo, 1);
    write_record(&redo, 2);
    redo_begin(&redo, 2);
    write_record(&redo, 7);
    redo_close(&redo);
    EXPECT_EQ(replay(2, &out), 1);
    EXPECT_STR(buf_str(&out), STR_C("0+k7=v00000007;1-k7;"));
    EXPECT_EQ(replay(3, &out), 0);
}

/* Would catch a torn or turned record that is applied in part, or one behind it that is applied at
 * all. */
TEST(damage_leaves_a_prefix)
{
    Redo redo = REDO_NULL;
    Rand rand;
    uint64_t ends[21] = { 0 };

    rand_init(&rand, 7);
    for (int round = 0; round < 400; round++) {
        AUTO(buf_deinit) Buf out = { 0 };
        uint64_t at, want = 0, got;
        char c;
        int fd;

        open_new(&redo);
        for (int i = 0; i < 20; i++) {
            write_record(&redo, i);
            ends[i + 1] = redo.at;
        }
        redo_close(&redo);

        at = rand_below(&rand, ends[20]);
        while (want < 20 && ends[want + 1] <= at)
            want++;
        fd = open("redo", O_RDWR);
        EXPECT_EQ(pread(fd, &c, 1, (off_t) at), 1);
        c = (char) (c ^ (1 << rand_below(&rand, 8)));
        EXPECT_EQ(pwrite(fd, &c, 1, (off_t) at), 1);
        if (round % 2)
            EXPECT_EQ(ftruncate(fd, (off_t) at), 0);
        (void) close(fd);

        /* Damage in the padding behind a record harms nobody. */
        got = replay(1, &out);
        EXPECT(got == want || (got > want && ends[want + 1] - at < 8));
    }
}

/* Would catch a record written over the end of the file, and one that fits refused. */
TEST(knows_when_it_is_full)
{
    static char big[FILE_BYTES];
    Redo redo = REDO_NULL;

    open_new(&redo);
    EXPECT(!redo_is_long(&redo));
    redo_gather(&redo, KV_META, STR_C("k"), str_from(big, FILE_BYTES - 41), false);
    EXPECT(redo_fits(&redo));
    redo_gather(&redo, KV_META, STR_C("l"), STR_C(""), false);
    EXPECT(!redo_fits(&redo));
    redo_forget(&redo);
    redo_gather(&redo, KV_META, STR_C("k"), str_from(big, FILE_BYTES - 41), false);
    EXPECT_OK(redo_write(&redo, true));
    EXPECT(redo_is_long(&redo));
    redo_close(&redo);
}

/* Would catch a log that is passed over because it cannot become as long as it is wanted now: what
 * was answered is in it. */
TEST(a_log_that_cannot_grow_is_read_all_the_same)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Redo redo = REDO_NULL;
    struct rlimit before, tight;
    uint64_t records;

    open_new(&redo);
    write_record(&redo, 0);
    write_record(&redo, 1);
    redo_close(&redo);

    (void) signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = (struct rlimit){ .rlim_cur = FILE_BYTES + 4096, .rlim_max = before.rlim_max };
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
    EXPECT_OK(redo_open(&redo, "redo", 4 * FILE_BYTES));
    EXPECT_OK(redo_replay(&redo, 1, note, &out, &records));
    EXPECT_EQ(records, 2);
    EXPECT_EQ(redo.file_bytes, FILE_BYTES);
    redo_close(&redo);

    (void) unlink("redo"); /* and where there is none, none can be made */
    EXPECT_EQ(redo_open(&redo, "redo", 4 * FILE_BYTES), REDO_NO_ROOM);
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
}

/* Would catch a crash on a file that somebody else wrote. */
TEST(random_bytes_are_an_empty_log)
{
    static char noise[FILE_BYTES];
    AUTO(buf_deinit) Buf out = { 0 };
    Rand rand;
    int fd = open("redo", O_RDWR | O_CREAT | O_TRUNC, 0600);

    rand_init(&rand, 3);
    rand_bytes(&rand, noise, sizeof(noise));
    EXPECT_EQ(write(fd, noise, sizeof(noise)), (long long) sizeof(noise));
    (void) close(fd);
    EXPECT_EQ(replay(1, &out), 0);
}

TEST_MAIN()
