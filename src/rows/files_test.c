/*
 * The source files: read once and followed, through rotation, truncation, removal and restarts.
 */
#include "rows/source_world_int.h"

#include "base/limits.h"
#include "base/rand.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#if SL_HAVE_ZLIB
#include <zlib.h>
#endif

extern const SourceDriver source_files;

/* ---- files ----------------------------------------------------------------------------------- */

static void put(const char *path, const char *mode, const char *text)
{
    FILE *file = fopen(path, mode);

    REQUIRE(file);
    EXPECT(fputs(text, file) >= 0);
    EXPECT(fclose(file) == 0);
}

static void fresh_folder(const char *path)
{
    char command[300];

    (void) snprintf(command, sizeof(command), "rm -rf '%s' && mkdir '%s'", path, path);
    EXPECT_EQ(system(command), 0);
}

/* What has come, without what the host writes around a line. */
static void expect_lines(SourceWorld *world, const char *want)
{
    AUTO(buf_deinit) Buf got = { 0 };
    Str rest = buf_str(&world->text);

    while (rest.len > 0) {
        Str line = str_cut(rest, '\n', &rest);

        if (str_starts(line, STR_C("rows {\"line\":\"")) && str_ends(line, STR_C("\"}")))
            line = str_sub(line, 14, line.len - 16);
        buf_add_str(&got, line);
        buf_add_char(&got, ' ');
    }
    EXPECT_STR(buf_str(&got), str_from_c(want));
    buf_reset(&world->text);
    world->rows = 0;
}

static void begin(SourceWorld *world)
{
    fresh_folder("d");
    world->source.decode.format = DECODE_LINES;
}

/* ---- once ------------------------------------------------------------------------------------ */

/* Catches a file that is left out, read twice, or not gone on with. */
SUSPENDS static void check_once(SourceWorld *world)
{
    static const char *const json = "{\"paths\":[\"d/*.x\",\"d/b*\"],\"exclude\":[\"*.skip\"]}";

    begin(world);
    put("d/b.x", "w", "three\nfour");
    put("d/a.x", "w", "one\ntwo\n");
    put("d/b.skip", "w", "no\n");
    put("d/empty.x", "w", "");
    source_world_start(world, &source_files, json);
    EXPECT_OK(source_world_join(world));
    expect_lines(world, "one two three four ");
    EXPECT_EQ(world->n_tracks, 2);
    EXPECT_EQ(world->tracks[0].position, 8);
    EXPECT_EQ(world->tracks[1].position, 10);
    source_world_start(world, &source_files, json);
    EXPECT_OK(source_world_join(world));
    expect_lines(world, "");
    put("d/b.x", "a", "\nfive\n");
    put("d/a.x", "w", "another file\n"); /* the same inode */
    source_world_start(world, &source_files, json);
    EXPECT_OK(source_world_join(world));
    expect_lines(world, "another file five ");
    EXPECT_EQ(world->n_tracks, 3);
}

TEST(once)
{
    source_world_run(check_once);
}

/* Catches a missing file that is taken for an empty one, and a folder for a file. */
SUSPENDS static void check_refusals(SourceWorld *world)
{
    begin(world);
    source_world_start(world, &source_files, "{\"paths\":[\"d/none\"]}");
    EXPECT_ERR(source_world_join(world), -ERR_NOT_FOUND, "no file is called d/none");
    source_world_start(world, &source_files, "{\"paths\":[\"d\"]}");
    EXPECT_ERR(source_world_join(world), -EISDIR, "d/*");
    put("d/with[bracket", "w", "one\n");
    source_world_start(world, &source_files, "{\"paths\":[\"d/with[bracket\"]}");
    EXPECT_OK(source_world_join(world));
    expect_lines(world, "one ");
}

TEST(refusals)
{
    source_world_run(check_refusals);
}

#if SL_HAVE_ZLIB
/* Catches packed files that are read as they stand, that are not gone on with, or whose damage
 * costs other files. */
SUSPENDS static void check_packed(SourceWorld *world)
{
    static const char *const json = "{\"paths\":[\"d/*\"]}";
    gzFile file;

    begin(world);
    file = gzopen("d/a.gz", "w");
    EXPECT(gzputs(file, "one\ntwo\nthree\n") > 0);
    EXPECT_EQ(gzclose(file), Z_OK);
    put("d/b.gz", "w", "\x1f\x8b nonsense");
    put("d/c", "w", "four\n");
    source_world_start(world, &source_files, json);
    EXPECT_ERR(source_world_join(world), -ERR_INVALID, "1 of 3 files could not be read; d/b.gz: ");
    expect_lines(world, "one two three four ");
    EXPECT_EQ(unlink("d/b.gz"), 0);
    world->tracks[0].position = 4;
    source_world_start(world, &source_files, json);
    EXPECT_OK(source_world_join(world));
    expect_lines(world, "two three ");
}

TEST(packed)
{
    source_world_run(check_packed);
}

/* Catches a packed file that is still being written, whose last line is handed on in two parts. */
SUSPENDS static void check_packed_half(SourceWorld *world)
{
    gzFile file;

    begin(world);
    file = gzopen("d/a.gz", "wb0"); /* as it is, so that a cut is within a line */
    EXPECT(gzputs(file, "one\ntwo\nthree\n") > 0);
    EXPECT_EQ(gzclose(file), Z_OK);
    EXPECT_EQ(rename("d/a.gz", "d/whole"), 0);
    EXPECT_EQ(system("head -c 26 d/whole > d/a.gz"), 0); /* up to "thr" */
    source_world_start(world, &source_files, "{\"paths\":[\"d/a.gz\"]}");
    EXPECT_ERR(source_world_join(world), -ERR_INVALID, "ends too early");
    expect_lines(world, "one two ");
    EXPECT_EQ(system("cat d/whole > d/a.gz"), 0);
    source_world_start(world, &source_files, "{\"paths\":[\"d/a.gz\"]}");
    EXPECT_OK(source_world_join(world));
    expect_lines(world, "three ");
}

TEST(packed_half)
{
    source_world_run(check_packed_half);
}
#endif

/* Catches a file that is gone before it was opened, and that nobody hears of. */
SUSPENDS static void check_gone_unread(SourceWorld *world)
{
    begin(world);
    put("d/a.x", "w", "one\n");
    put("d/b.x", "w", "two\n");
    put("d/c.x", "w", "three\n");
    source_world_set_full(world, true); /* a.x is read, and nothing else */
    source_world_start(world, &source_files, "{\"paths\":[\"d/*.x\"]}");
    source_world_wait_full(world, 1);
    EXPECT_EQ(rename("d/b.x", "d/d.x"), 0);
    source_world_set_full(world, false);
    EXPECT_ERR(source_world_join(world), -ERR_INVALID,
               "1 of 3 files could not be read; d/b.x was ");
    expect_lines(world, "one three ");
}

TEST(gone_unread)
{
    source_world_run(check_gone_unread);
}

/* Catches a pipe among the paths that is not read, or not to its end. */
SUSPENDS static void check_pipe(SourceWorld *world)
{
    int fd;

    begin(world);
    EXPECT_EQ(mkfifo("d/pipe", 0600), 0);
    source_world_start(world, &source_files, "{\"paths\":[\"d/pipe\"]}");
    while ((fd = open("d/pipe", O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
        EXPECT_OK(sl_sleep_ms(1));
    EXPECT(write(fd, "one\ntwo", 7) == 7);
    EXPECT(close(fd) == 0);
    EXPECT_OK(source_world_join(world));
    expect_lines(world, "one two ");
}

TEST(pipes)
{
    source_world_run(check_pipe);
}

/* ---- followed -------------------------------------------------------------------------------- */

static const char *const follow_json = "{\"paths\":[\"d/*.log\"],\"follow\":true}";

/* Catches half a line that does not wait for its end, a file that comes late, and one that comes
 * before there is any. */
SUSPENDS static void check_growing(SourceWorld *world)
{
    begin(world);
    source_world_start(world, &source_files, follow_json);
    source_world_wait_said(world, "0 files");
    put("d/a.log", "w", "one\ntw");
    source_world_wait_rows(world, 1);
    expect_lines(world, "one ");
    put("d/a.log", "a", "o");
    put("d/b.log", "w", "other\n");
    source_world_wait_rows(world, 1);
    expect_lines(world, "other ");
    put("d/a.log", "a", "!\nthree\n");
    source_world_wait_rows(world, 2);
    expect_lines(world, "two! three ");
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "");
    put("d/a.log", "a", "four\n");
    source_world_start(world, &source_files, follow_json);
    source_world_wait_rows(world, 1);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "four ");
}

TEST(growing)
{
    source_world_run(check_growing);
}

/* Catches a rotation that loses what the writer still writes to the renamed file, or reads the new
 * file from the old position. */
SUSPENDS static void check_rotation(SourceWorld *world)
{
    FILE *writer;

    begin(world);
    writer = fopen("d/a.log", "w");
    REQUIRE(writer);
    EXPECT(fputs("one\ntwo\n", writer) >= 0 && fflush(writer) == 0);
    source_world_start(world, &source_files, follow_json);
    source_world_wait_rows(world, 2);
    EXPECT_EQ(rename("d/a.log", "d/a.log.1"), 0); /* does not match any more */
    EXPECT(fputs("three\n", writer) >= 0 && fflush(writer) == 0);
    source_world_wait_rows(world, 3);
    put("d/a.log", "w", "four\n");
    source_world_wait_rows(world, 4);
    EXPECT(fputs("five\n", writer) >= 0 && fclose(writer) == 0);
    source_world_wait_rows(world, 5);
    expect_lines(world, "one two three four five ");
    EXPECT_EQ(rename("d/a.log", "d/b.log"), 0); /* still matches: its position stays */
    put("d/b.log", "a", "six\n");
    source_world_wait_rows(world, 1);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "six ");
    EXPECT_EQ(world->n_tracks, 2);
    EXPECT_EQ(rename("d/b.log", "d/c.log"), 0); /* while nobody looks */
    put("d/c.log", "a", "seven\n");
    source_world_start(world, &source_files, follow_json);
    source_world_wait_rows(world, 1);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "seven ");
}

TEST(rotation)
{
    source_world_run(check_rotation);
}

/* Catches a truncated file that is read from where it was, now or after a restart. */
SUSPENDS static void check_truncation(SourceWorld *world)
{
    begin(world);
    put("d/a.log", "w", "one\ntwo\nhalf");
    source_world_start(world, &source_files, follow_json);
    source_world_wait_rows(world, 2);
    expect_lines(world, "one two ");
    put("d/a.log", "w", "1\n");
    source_world_wait_said(world, "d/a.log has begun anew; its last line had no end");
    source_world_wait_rows(world, 1);
    EXPECT_EQ(world->lost, 1);
    put("d/a.log", "w", "one\ntwo again and longer than before\n"); /* not shorter, but another */
    source_world_wait_rows(world, 3);
    expect_lines(world, "1 one two again and longer than before ");
    EXPECT_OK(source_world_stop(world));
    put("d/a.log", "w", "one\n");
    source_world_start(world, &source_files, follow_json);
    source_world_wait_rows(world, 1);
    put("d/a.log", "a", "two\n");
    source_world_wait_rows(world, 2);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "one two ");
    source_world_start(world, &source_files, follow_json);
    put("d/a.log", "a", "three\n");
    source_world_wait_rows(world, 1);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "three ");
}

TEST(truncation)
{
    source_world_run(check_truncation);
}

/* Catches a file that was emptied and grew again beyond its old length while nobody looked. */
SUSPENDS static void check_replaced(SourceWorld *world)
{
    begin(world);
    put("d/a.log", "w", "one\n");
    source_world_set_full(world, true);
    source_world_start(world, &source_files, follow_json);
    source_world_wait_full(world, 1);
    put("d/a.log", "w", "two\nthree\n");
    source_world_set_full(world, false);
    source_world_wait_rows(world, 3);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "one two three ");
}

TEST(replaced)
{
    source_world_run(check_replaced);
}

/* Catches a removed file whose end is lost. */
SUSPENDS static void check_removal(SourceWorld *world)
{
    FILE *writer;

    begin(world);
    source_world_set_full(world, true); /* nothing is read before it is gone */
    writer = fopen("d/a.log", "w");
    REQUIRE(writer);
    EXPECT(fputs("one\n", writer) >= 0 && fflush(writer) == 0);
    source_world_start(world, &source_files, follow_json);
    source_world_wait_full(world, 1);
    EXPECT(fputs("two\nthree\n", writer) >= 0 && fclose(writer) == 0);
    EXPECT_EQ(unlink("d/a.log"), 0);
    source_world_set_full(world, false);
    source_world_wait_rows(world, 3);
    put("d/a.log", "w", "four\n"); /* perhaps with the same inode */
    source_world_wait_rows(world, 4);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "one two three four ");
}

TEST(removal)
{
    source_world_run(check_removal);
}

/* Catches a file that is renamed between the scan that found it and its first byte, and is given
 * up: by a name that is gone, and by one that is another file's. */
SUSPENDS static void check_renamed_unread(SourceWorld *world)
{
    begin(world);
    put("d/a.log", "w", "one\n");
    put("d/b.log", "w", "two\n");
    put("d/c.log", "w", "three\n");
    source_world_set_full(world, true); /* a.log is read, and nothing else */
    source_world_start(world, &source_files, follow_json);
    source_world_wait_full(world, 1);
    EXPECT_EQ(rename("d/b.log", "d/b.1.log"), 0);
    EXPECT_EQ(rename("d/c.log", "d/c.1.log"), 0);
    put("d/c.log", "w", "four\n");
    source_world_set_full(world, false);
    source_world_wait_rows(world, 4);
    EXPECT_OK(source_world_stop(world));
    EXPECT_EQ(world->rows, 4);
    EXPECT_EQ(world->n_tracks, 4);
}

TEST(renamed_unread)
{
    source_world_run(check_renamed_unread);
}

/* Catches a file that is taken away, forgotten, brought back, and read from the beginning. */
SUSPENDS static void check_brought_back(SourceWorld *world)
{
    char path[32];

    begin(world);
    for (int i = 0; i < LIMIT_FILES_OPEN + 2; i++) { /* the first two do not stay open */
        (void) snprintf(path, sizeof(path), "d/%d.log", 1000 + i);
        put(path, "w", "old\n");
    }
    source_world_start(world, &source_files, follow_json);
    source_world_wait_rows(world, LIMIT_FILES_OPEN + 2);
    source_world_set_full(world, true);
    put("d/1000.log", "a", "one\n");
    source_world_wait_full(world, 1);
    put("d/1001.log", "a", "two\n");
    EXPECT_EQ(rename("d/1001.log", "d/away"), 0);
    put("d/new.log", "w", "three\n");
    buf_reset(&world->text);
    world->rows = 0;
    source_world_set_full(world, false);
    source_world_wait_rows(world, 2); /* behind the scan that did not find it */
    EXPECT_EQ(rename("d/away", "d/1001.log"), 0);
    source_world_wait_rows(world, 3);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "one three two ");
}

TEST(brought_back)
{
    source_world_run(check_brought_back);
}

/* Catches a file that is never looked at again because it could not be opened at first. */
SUSPENDS static void check_shut(SourceWorld *world)
{
    bool is_root = geteuid() == 0;

    begin(world);
    put("d/a.log", "w", "one\n");
    EXPECT_OK(chmod("d/a.log", 0));
    EXPECT_OK(chmod(".", 0755)); /* the other user looks into it, too */
    EXPECT(!is_root || seteuid(65534) == 0);
    source_world_start(world, &source_files, follow_json);
    source_world_wait_said(world, "Permission denied");
    EXPECT(!is_root || seteuid(0) == 0);
    EXPECT_OK(chmod("d/a.log", 0600));
    put("d/a.log", "a", "two\n");
    source_world_wait_rows(world, 2);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "one two ");
}

TEST(shut)
{
    source_world_run(check_shut);
}

static struct rlimit no_more_files(void)
{
    struct rlimit before, none;
    int next = dup(0); /* the one that the next file would get */

    EXPECT_EQ(close(next), 0);
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){ .rlim_cur = (rlim_t) next, .rlim_max = before.rlim_max };
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    return before;
}

/* Catches a file that is given up because there was no descriptor for it, or whose mode was not
 * right yet: neither grows afterwards. */
SUSPENDS static void check_shut_for_a_while(SourceWorld *world)
{
    static const char *const json = "{\"paths\":[\"d/a.log\",\"d/b.log\"],\"follow\":true}";
    bool is_root = geteuid() == 0;
    struct rlimit before;

    begin(world);
    put("d/a", "w", "one\n");
    source_world_start(world, &source_files, json);
    source_world_wait_said(world, "0 files");
    before = no_more_files();
    EXPECT_EQ(rename("d/a", "d/a.log"), 0);
    source_world_wait_said(world, "Too many open files");
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    put("d/other", "w", ""); /* a cause to look */
    source_world_wait_rows(world, 1);
    EXPECT(world->is_up);
    EXPECT_OK(source_world_stop(world));
    put("d/b.log", "w", "two\n");
    EXPECT_EQ(chmod("d/b.log", 0), 0);
    EXPECT_EQ(chmod(".", 0755), 0); /* the other user looks into it, too */
    EXPECT(!is_root || seteuid(65534) == 0);
    source_world_start(world, &source_files, json);
    source_world_wait_said(world, "Permission denied");
    EXPECT(!is_root || seteuid(0) == 0);
    EXPECT_EQ(chmod("d/b.log", 0600), 0);
    put("d/another", "w", "");
    source_world_wait_rows(world, 2);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "one two ");
}

TEST(shut_for_a_while)
{
    source_world_run(check_shut_for_a_while);
}

/* Catches a folder that cannot be looked into for a moment, and whose files are taken for gone. */
SUSPENDS static void check_blind(SourceWorld *world)
{
    struct rlimit before;

    begin(world);
    put("d/a.log", "w", "one\nha");
    put("d/b", "w", "two\n");
    source_world_start(world, &source_files, follow_json);
    source_world_wait_rows(world, 1);
    before = no_more_files();
    EXPECT_EQ(rename("d/b", "d/b.log"), 0);
    source_world_wait_said(world, "not all files could be looked for: Too many open files");
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    put("d/a.log", "a", "lf\n");
    source_world_wait_rows(world, 3);
    EXPECT_OK(source_world_stop(world));
    EXPECT_EQ(world->rows, 3);
    EXPECT_EQ(world->lost, 0);
    EXPECT(world->is_up);
}

TEST(blind)
{
    source_world_run(check_blind);
}

#if SL_HAVE_ZLIB
static void put_packed(const char *path, const char *mode, const char *text)
{
    gzFile file = gzopen(path, mode);

    REQUIRE(file);
    EXPECT(gzputs(file, text) > 0);
    EXPECT_EQ(gzclose(file), Z_OK);
}

/* Catches a packed file that was read to its end and then grows by a member, or is another one by
 * the same name or with the same inode. */
SUSPENDS static void check_packed_again(SourceWorld *world)
{
    static const char *const json = "{\"paths\":[\"d/*.gz\"],\"follow\":true}";

    begin(world);
    put_packed("d/a.gz", "w", "one\ntwo\n");
    source_world_start(world, &source_files, json);
    source_world_wait_rows(world, 2);
    put_packed("d/a.gz", "a", "three\n");
    source_world_wait_rows(world, 3);
    EXPECT_EQ(rename("d/a.gz", "d/b.gz"), 0);
    put_packed("d/b.gz", "w", "another\nfile\n");
    source_world_wait_rows(world, 5);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "one two three another file ");
}

TEST(packed_again)
{
    source_world_run(check_packed_again);
}

#define DAMAGE_LINES 30000 /* some blocks of 65535 bytes */

/* Where the head of the third block of a gzip file stands that is stored as it is. */
static long third_block(FILE *file)
{
    unsigned char head[5];
    long at = 10;

    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(fseek(file, at, SEEK_SET), 0);
        EXPECT_EQ(fread(head, 1, sizeof(head), file), sizeof(head));
        at += 5 + head[1] + 256 * head[2];
    }
    return at;
}

static void flip_third_block(const char *path)
{
    FILE *file = fopen(path, "r+");
    long at;
    int c;

    REQUIRE(file);
    at = third_block(file) + 3;
    EXPECT_EQ(fseek(file, at, SEEK_SET), 0);
    c = fgetc(file);
    EXPECT_EQ(fseek(file, at, SEEK_SET), 0);
    EXPECT(fputc(c ^ 0xff, file) != EOF);
    EXPECT_EQ(fclose(file), 0);
}

/* Catches damage before the position that lowers it: what comes when it is mended came already. */
SUSPENDS static void check_damage_before(SourceWorld *world)
{
    static const char *const json = "{\"paths\":[\"d/*.gz\"],\"follow\":true}";
    AUTO(buf_deinit) Buf text = { 0 };

    begin(world);
    for (int i = 0; i < DAMAGE_LINES; i++)
        buf_printf(&text, "line %d\n", i);
    buf_add_char(&text, '\0');
    put_packed("d/a.gz", "wb0", text.data);
    source_world_start(world, &source_files, json);
    source_world_wait_rows(world, DAMAGE_LINES);
    EXPECT_OK(source_world_stop(world));
    flip_third_block("d/a.gz");
    source_world_start(world, &source_files, json);
    source_world_wait_said(world, "damaged");
    flip_third_block("d/a.gz");
    buf_reset(&world->text);
    world->rows = 0;
    put_packed("d/a.gz", "a", "last\n");
    source_world_wait_rows(world, 1);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "last ");
}

TEST(damage_before)
{
    source_world_run(check_damage_before);
}
#endif

/* Catches the end of a row that is too long and was cut, taken for a row of its own after a
 * restart. */
SUSPENDS static void check_long_row(SourceWorld *world)
{
    AUTO(buf_deinit) Buf text = { 0 };

    begin(world);
    buf_add_c(&text, "one\n");
    for (size_t i = 0; i <= LIMIT_DECODE_LINE_BYTES; i += 16)
        buf_add_c(&text, "0123456789abcdef");
    buf_add_char(&text, '\0');
    put("d/a.log", "w", text.data);
    source_world_start(world, &source_files, follow_json);
    source_world_wait_rows(world, 2);
    EXPECT_EQ(world->refused, 1);
    EXPECT_OK(source_world_stop(world));
    buf_reset(&world->text);
    put("d/a.log", "a", "its end\ntwo\n");
    source_world_start(world, &source_files, follow_json);
    source_world_wait_rows(world, 3);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "two ");
}

TEST(long_row)
{
    source_world_run(check_long_row);
}

/* Catches an emptied file that begins as before and goes on on the old track, where sinks have its
 * positions already. */
SUSPENDS static void check_emptied_alike(SourceWorld *world)
{
    begin(world);
    put("d/a.log", "w", "start\n");
    source_world_start(world, &source_files, follow_json);
    source_world_wait_rows(world, 1);
    put("d/a.log", "a", "one\n");
    source_world_wait_rows(world, 2);
    put("d/a.log", "w", "start\n");
    source_world_wait_rows(world, 3);
    put("d/a.log", "a", "two\n");
    source_world_wait_rows(world, 4);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "start one start two ");
    EXPECT_EQ(world->n_tracks, 2);
    source_world_start(world, &source_files, follow_json);
    put("d/a.log", "a", "three\n");
    source_world_wait_rows(world, 1);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "three ");
}

TEST(emptied_alike)
{
    source_world_run(check_emptied_alike);
}

/* Catches a file that is emptied, begins as it did two turns ago, before the last start, and goes
 * on where that turn was. */
SUSPENDS static void check_emptied_again(SourceWorld *world)
{
    begin(world);
    put("d/a.log", "w", "start\none\n");
    source_world_start(world, &source_files, follow_json);
    source_world_wait_rows(world, 2);
    put("d/a.log", "w", "other\n");
    source_world_wait_rows(world, 3);
    EXPECT_OK(source_world_stop(world));
    source_world_start(world, &source_files, follow_json);
    put("d/a.log", "a", "more\n");
    source_world_wait_rows(world, 4);
    put("d/a.log", "w", "start\none\ntwo\n");
    source_world_wait_said(world, "d/a.log has begun anew");
    put("d/b.log", "w", "last\n");
    source_world_wait_rows(world, 8);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "start one other more start one two last ");
}

TEST(emptied_again)
{
    source_world_run(check_emptied_again);
}

/* Catches a source that notices nothing where the kernel tells nothing. */
SUSPENDS static void check_polling(SourceWorld *world)
{
    static const char *const json = "{\"paths\":[\"d/*.log\"],\"follow\":true,\"poll\":\"10ms\"}";

    begin(world);
    put("d/a.log", "w", "one\n");
    source_world_start(world, &source_files, json);
    source_world_wait_rows(world, 1);
    put("d/a.log", "a", "two\n");
    source_world_wait_rows(world, 2);
    put("d/b.log", "w", "three\n");
    source_world_wait_rows(world, 3);
    put("d/b.log", "w", "4\n");
    source_world_wait_rows(world, 4);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "one two three 4 ");
}

TEST(polling)
{
    source_world_run(check_polling);
}

/* Catches a start at the end that is in the middle of a line, or that leaves out new files. */
SUSPENDS static void check_start_at_end(SourceWorld *world)
{
    static const char *const json = "{\"paths\":[\"d/*.log\"],\"follow\":true,\"start\":\"end\"}";

    begin(world);
    put("d/a.log", "w", "old\nhal");
    source_world_start(world, &source_files, json);
    source_world_wait_said(world, "1 files");
    put("d/b.log", "w", "new\n");
    source_world_wait_rows(world, 1);
    put("d/a.log", "a", "f\nmore\n");
    source_world_wait_rows(world, 3);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "new half more ");
    put("d/a.log", "a", "while away\n");
    put("d/c.log", "w", "also\n");
    source_world_start(world, &source_files, json);
    source_world_wait_rows(world, 2);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "while away also ");
}

TEST(start_at_end)
{
    source_world_run(check_start_at_end);
}

/* Catches rows that are left out because the file was empty when it was found, or was written to
 * before it was opened. */
SUSPENDS static void check_start_at_end_of_nothing(SourceWorld *world)
{
    static const char *const json = "{\"paths\":[\"d/*.log\"],\"follow\":true,\"start\":\"end\"}";

    begin(world);
    put("d/a.log", "w", "");
    put("d/b.log", "w", "old\n");
    source_world_start(world, &source_files, json);
    source_world_wait_said(world, "2 files");
    put("d/a.log", "a", "one\n");
    put("d/b.log", "a", "two\n");
    source_world_wait_rows(world, 2);
    EXPECT_OK(source_world_stop(world));
    EXPECT_EQ(world->rows, 2);
    EXPECT(!str_contains(buf_str(&world->text), STR_C("old")));
}

TEST(start_at_end_of_nothing)
{
    source_world_run(check_start_at_end_of_nothing);
}

/* Catches files that were there before the first run, had nothing new in it, and are read from
 * their beginning by the next one. */
SUSPENDS static void check_start_at_end_again(SourceWorld *world)
{
    static const char *const json = "{\"paths\":[\"d/*\"],\"follow\":true,\"start\":\"end\"}";

    begin(world);
    put("d/a.log", "w", "old\n");
    put("d/b.log", "w", "old too\n");
#if SL_HAVE_ZLIB
    put_packed("d/b.log.1.gz", "w", "older\n");
#endif
    source_world_start(world, &source_files, json);
    source_world_wait_said(world, "files");
    put("d/a.log", "a", "new\n");
    source_world_wait_rows(world, 1);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "new ");
    put("d/b.log", "a", "more\n");
    source_world_start(world, &source_files, json);
    source_world_wait_rows(world, 1);
    put("d/c.log", "w", "also\n");
    source_world_wait_rows(world, 2);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "more also ");
}

TEST(start_at_end_again)
{
    source_world_run(check_start_at_end_again);
}

/* Catches CSV that has lost the names of its columns, by a restart or because its beginning is
 * another one. */
SUSPENDS static void check_csv(SourceWorld *world)
{
    static const char *const json = "{\"paths\":[\"d/*.csv\"],\"follow\":true}";

    begin(world);
    world->source.decode.format = DECODE_AUTO;
    put("d/a.csv", "w", "a,\"b\nc\"\n1,x\n2,");
    source_world_start(world, &source_files, json);
    source_world_wait_rows(world, 1);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "rows {\"a\":\"1\",\"b\\nc\":\"x\"} ");
    put("d/a.csv", "a", "y\n3,z,too many\n");
    source_world_start(world, &source_files, json);
    source_world_wait_rows(world, 2);
    expect_lines(world, "rows {\"a\":\"2\",\"b\\nc\":\"y\"} "
                        "! 5 parse too_many_cells: 3,z,too many ");
    world->refused = 0;
    put("d/a.csv", "w", "a\n4\n");
    source_world_wait_rows(world, 1);
    EXPECT_OK(source_world_stop(world));
    expect_lines(world, "rows {\"a\":\"4\",\"b\\nc\":null} ");
}

TEST(csv)
{
    source_world_run(check_csv);
}

/* Catches formats that are not found out by name or by the first row. */
SUSPENDS static void check_formats(SourceWorld *world)
{
    begin(world);
    world->source.decode.format = DECODE_AUTO;
    put("d/a.jsonl", "w", "{\"n\":1}\n{\"n\":2}\n");
    put("d/b.json", "w", "[{\"n\":3},\n{\"n\":4}]");
    put("d/c.csv.1", "w", "n\n5\n");
    put("d/d", "w", "\n  \n{\"n\":6}\n{\"n\":7}");
    put("d/e", "w", "{\n\"n\":8}");
    put("d/f", "w", "rows n=9i 1\n");
    put("d/g.log", "w", "{\n");
    source_world_start(world, &source_files, "{\"paths\":[\"d/*\"]}");
    EXPECT_OK(source_world_join(world));
    EXPECT_EQ(world->rows, 10);
    EXPECT_EQ(world->refused, 0);
}

TEST(formats)
{
    source_world_run(check_formats);
}

/* Catches more open files than allowed, and files that are forgotten because they were closed. */
SUSPENDS static void check_many(SourceWorld *world)
{
    size_t n = LIMIT_FILES_OPEN + 50;
    char path[40];

    begin(world);
    for (size_t i = 0; i < n; i++) {
        (void) snprintf(path, sizeof(path), "d/%04zu.log", i);
        put(path, "w", "one\nhalf");
    }
    source_world_start(world, &source_files, follow_json);
    source_world_wait_rows(world, n);
    for (size_t i = 0; i < n; i++) {
        (void) snprintf(path, sizeof(path), "d/%04zu.log", i);
        put(path, "a", " done\n");
    }
    source_world_wait_rows(world, 2 * n);
    EXPECT_OK(source_world_stop(world));
    EXPECT_EQ(world->rows, 2 * n);
    EXPECT(str_contains(buf_str(&world->text), STR_C("half done")));
    EXPECT(!str_contains(buf_str(&world->text), STR_C("\"half\"")));
}

TEST(many)
{
    source_world_run(check_many);
}

/* ---- exactly once ---------------------------------------------------------------------------- */

/* Settle what is held, and give back the rest: as if the process had died there. */
static void settle_some(SourceWorld *world, size_t n)
{
    ListLink *link;

    while (n-- > 0 && (link = list_pop_front(&world->held)) != NULL)
        source_world_settle_one(world, LIST_ITEM(link, Parcel, link), 0);
    source_world_settle(world, -ECANCELED);
}

/* Commit the first KEEP parcels: each line in them is new to SEEN. How many lines. */
static size_t check_lines(SourceWorld *world, uint8_t *seen, size_t n_written, size_t keep)
{
    size_t n = 0, n_lines = 0;
    Str rest;

    buf_reset(&world->text);
    list_each(&world->held, link) {
        if (n++ < keep)
            source_world_write_down(world, LIST_ITEM(link, Parcel, link));
    }
    for (rest = buf_str(&world->text); rest.len > 0; n_lines++) {
        Str number, after, line = str_cut(rest, '\n', &rest);
        uint64_t value = 0;

        (void) str_cut(line, '<', &number);
        EXPECT_OK(str_to_u64(str_cut(number, '>', &after), n_written - 1, &value));
        EXPECT_EQ(seen[value]++, 0);
    }
    settle_some(world, keep);
    return n_lines;
}

/* Catches a line that is handed on twice or never, wherever a run ends: lines are written by and
 * by, files are rotated, and at each round only some of what came is committed. */
SUSPENDS static void check_exactly_once(SourceWorld *world)
{
    AUTO(mem_free) uint8_t *seen = mem_zalloc(20000);
    size_t n_written = 0, n_seen = 0;
    Rand rand;

    begin(world);
    rand_init(&rand, 5);
    world->is_holding = true;
    for (int round = 0; round < 40; round++) {
        FILE *writer = fopen("d/a.log", "a");

        REQUIRE(writer);
        source_world_start(world, &source_files, follow_json);
        for (size_t n = rand_below(&rand, 300); n > 0; n--) {
            EXPECT(fprintf(writer, "<%zu>\n", n_written++) > 0);
            if (rand_below(&rand, 50) == 0)
                EXPECT(fflush(writer) == 0 && sl_yield() == 0);
        }
        EXPECT(fclose(writer) == 0);
        if (rand_below(&rand, 4) == 0) {
            char path[40];

            (void) snprintf(path, sizeof(path), "d/old-%d.log", round);
            EXPECT_EQ(rename("d/a.log", path), 0);
        }
        EXPECT_OK(sl_sleep_ms((int64_t) rand_below(&rand, 8)));
        EXPECT_OK(source_world_stop(world));
        n_seen += check_lines(world, seen, n_written, rand_below(&rand, world->held.len + 1));
    }
    world->is_holding = false;
    buf_reset(&world->text);
    world->rows = 0;
    source_world_start(world, &source_files, "{\"paths\":[\"d/*.log\"]}");
    EXPECT_OK(source_world_join(world));
    EXPECT_EQ(world->rows + n_seen, n_written);
}

TEST(exactly_once)
{
    source_world_run(check_exactly_once);
}

/* ---- settings -------------------------------------------------------------------------------- */

/* Catches a text that is not taken, or as another one. */
TEST(texts)
{
    AUTO(buf_deinit) Buf json = { 0 };

    EXPECT_OK(schema_check(source_files.args));
    EXPECT(source_driver_find(STR_C("data/a.csv")) == &source_files);
    EXPECT(source_driver_find(STR_C("*.jsonl")) == &source_files);
    EXPECT(source_driver_find(STR_C("file:///var/log/x")) == &source_files);
    EXPECT_OK(
        source_from_text(&source_files, STR_C("file:///var/log/x?follow=true&start=end"), &json));
    EXPECT_STR(buf_str(&json),
               STR_C("{\"paths\":[\"/var/log/x\"],\"follow\":true,\"start\":\"end\"}"));
    buf_reset(&json);
    EXPECT_OK(source_from_text(&source_files, STR_C("data/a.csv"), &json));
    EXPECT_STR(buf_str(&json), STR_C("{\"paths\":[\"data/a.csv\"]}"));
    buf_reset(&json);
    EXPECT_OK(source_from_text(&source_files, STR_C("files:b.csv?format=csv"), &json));
    EXPECT_STR(buf_str(&json), STR_C("{\"paths\":[\"b.csv\"],\"format\":\"csv\"}"));
}

TEST_MAIN()
