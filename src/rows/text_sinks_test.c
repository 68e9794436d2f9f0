/*
 * What each text sink writes, byte for byte; standard output, devices, appending.
 */
#include "base/test.h"
#include "rows/sink.h"

#include <sluice/rt.h>

#include <fcntl.h>
#include <sys/stat.h>

static const RowColumn columns[] = {
    { .name = STR("name"), .kind = ROW_TEXT },
    { .name = STR("price"), .kind = ROW_REAL, .unit = STR("EUR") },
    { .name = STR("stock"), .kind = ROW_INT, .is_needed = true },
    { .name = STR("empty"), .kind = ROW_TEXT },
    { .name = STR("any") },
};

static Arena arena;
static SinkSpec spec;

static int open_sink(Sink **ret_sink, const char *text, SinkOpts opts)
{
    int r;

    arena_reset(&arena);
    r = sink_spec_parse(&arena, str_from_c(text), &spec);
    if (!opts.columns) {
        opts.columns = columns;
        opts.n_columns = ARRAY_LEN(columns);
    }
    return r < 0 ? r : sink_open(ret_sink, &spec, &opts, NULL);
}

static void fill(RowBatch *batch)
{
    RowValue *row;

    row_batch_init(batch, columns, ARRAY_LEN(columns));
    row = row_batch_add(batch);
    row[0] = row_text(STR_C("Kettle, \"big\""));
    row[1] = row_real(19.9, STR_C("19.90"));
    row[4] = row_json(STR_C("[1,\n2]"));
    row = row_batch_add(batch);
    row[0] = row_text(STR_C("日本|\x1b[31m<b>\nx"));
    row[2] = row_integer(-3);
    row[4] = row_text(STR_C(""));
}

/* The bytes that the sink TEXT writes to descriptor 1's stand-in. */
static void write_two(const char *text, SinkOpts opts, char *out, size_t cap)
{
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    Sink *sink = NULL;
    ssize_t n = 0;
    int fds[2];

    out[0] = '\0';
    REQUIRE(pipe(fds) == 0);
    opts.fd = fds[1];
    fill(&batch);
    EXPECT_OK(open_sink(&sink, text, opts));
    if (sink) {
        EXPECT_OK(sink_write(sink, &batch));
        EXPECT_OK(sink_commit(sink));
        sink_close(sink);
        n = read(fds[0], out, cap - 1);
    }
    out[n > 0 ? n : 0] = '\0';
    (void) close(fds[0]);
    (void) close(fds[1]);
}

static void expect_out(const char *text, SinkOpts opts, const char *want)
{
    static char out[4096];

    write_two(text, opts, out, sizeof(out));
    EXPECT_C(out, want);
}

static int forms_main(void *arg)
{
    (void) arg;
    expect_out("csv:-", (SinkOpts){ 0 },
               "name,price,stock,empty,any\r\n\"Kettle, \"\"big\"\"\",19.90,,,\"[1,\n2]\"\r\n"
               "\"日本|\x1b[31m<b>\nx\",,-3,,\"\"\r\n");
    expect_out("csv:-?sep=tab&eol=lf", (SinkOpts){ 0 },
               "name\tprice\tstock\tempty\tany\n\"Kettle, \"\"big\"\"\"\t19.90\t\t\t\"[1,\n2]\"\n"
               "\"日本|\x1b[31m<b>\nx\"\t\t-3\t\t\"\"\n");
    expect_out("-", (SinkOpts){ 0 },
               "{\"name\":\"Kettle, \\\"big\\\"\",\"price\":19.90,\"stock\":null,\"empty\":null,"
               "\"any\":[1, 2]}\n{\"name\":\"日本|\\u001b[31m<b>\\nx\",\"price\":null,\"stock\":-3,"
               "\"empty\":null,\"any\":\"\"}\n");
    expect_out("json:-", (SinkOpts){ 0 },
               "[\n{\"name\":\"Kettle, \\\"big\\\"\",\"price\":19.90,\"stock\":null,\"empty\":null,"
               "\"any\":[1, 2]},\n{\"name\":\"日本|\\u001b[31m<b>\\nx\",\"price\":null,"
               "\"stock\":-3,\"empty\":null,\"any\":\"\"}\n]\n");
    expect_out("markdown:-", (SinkOpts){ 0 },
               "| name | price (EUR) | stock | empty | any |\n"
               "| --- | ---: | ---: | --- | --- |\n"
               "| Kettle, \"big\" | 19.90 |  |  | \\[1,<br>2\\] |\n"
               "| 日本\\|&lt;b><br>x |  | -3 |  |  |\n");
    return 0;
}

TEST(enter_the_folder)
{
    EXPECT_EQ(chdir(test_dir()), 0);
}

TEST(forms)
{
    EXPECT_OK(sl_run(forms_main, NULL));
}

static int table_main(void *arg)
{
    (void) arg;
    /* In a pipe: whole. The column without values is left out, the needed one would stay. */
    expect_out("table:-", (SinkOpts){ 0 },
               "name           price EUR  stock  any\n"
               "─────────────  ─────────  ─────  ──────\n"
               "Kettle, \"big\"      19.90      –  [1, 2]\n"
               "日本|<b> x             –     -3  \n");
    /* On a terminal: cut to its width, the widest first. */
    expect_out("table:-", (SinkOpts){ .columns_wide = 34 },
               "name      price EUR  stock  any\n"
               "────────  ─────────  ─────  ──────\n"
               "Kettle,…      19.90      –  [1, 2]\n"
               "日本|<b…          –     -3  \n");
    return 0;
}

TEST(tables)
{
    EXPECT_OK(sl_run(table_main, NULL));
}

static int one_column_main(void *arg)
{
    static const RowColumn one[] = { { .name = STR("a"), .kind = ROW_TEXT } };
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    char out[100] = "";
    Sink *sink = NULL;
    int fd;

    (void) arg;
    row_batch_init(&batch, one, 1);
    (void) row_batch_add(&batch);
    EXPECT_OK(open_sink(&sink, "one.csv", (SinkOpts){ .columns = one, .n_columns = 1 }));
    if (!sink)
        return 0;
    EXPECT_OK(sink_write(sink, &batch));
    EXPECT_OK(sink_commit(sink));
    sink_close(sink);
    fd = open("one.csv", O_RDONLY);
    EXPECT_EQ(read(fd, out, sizeof(out) - 1), 7);
    EXPECT_C(out, "a\r\n\"\"\r\n"); /* an empty line would be no row */
    (void) close(fd);
    return 0;
}

TEST(a_row_without_a_value_is_a_row)
{
    EXPECT_OK(sl_run(one_column_main, NULL));
}

static int device_main(void *arg)
{
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    Sink *sink = NULL;
    struct stat st;
    int r = 0;

    (void) arg;
    fill(&batch);
    EXPECT_OK(open_sink(&sink, "csv:/dev/null", (SinkOpts){ 0 }));
    EXPECT_OK(sink_write(sink, &batch));
    EXPECT_OK(sink_commit(sink));
    sink_close(sink);
    EXPECT(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));

    EXPECT_OK(open_sink(&sink, "csv:/dev/full", (SinkOpts){ 0 }));
    r = sink_write(sink, &batch);
    EXPECT_ERR(r, -ENOSPC, "csv:/dev/full: write: No space left on device; 0 rows were taken");
    sink_close(sink);
    return 0;
}

TEST(devices_are_written_to_and_never_replaced)
{
    EXPECT_OK(sl_run(device_main, NULL));
}

static int link_main(void *arg)
{
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    Sink *sink = NULL;
    struct stat st;
    int fd = open("real.csv", O_CREAT | O_WRONLY, 0600);

    (void) arg;
    (void) close(fd);
    EXPECT_EQ(symlink("real.csv", "link.csv"), 0);
    fill(&batch);
    EXPECT_OK(open_sink(&sink, "link.csv", (SinkOpts){ 0 }));
    EXPECT_OK(sink_write(sink, &batch));
    EXPECT_OK(sink_commit(sink));
    sink_close(sink);
    EXPECT(lstat("link.csv", &st) == 0 && S_ISLNK(st.st_mode));
    EXPECT(stat("real.csv", &st) == 0 && st.st_size > 0);
    EXPECT_EQ(st.st_mode & 07777, 0600); /* of the file that was there */

    EXPECT_EQ(mkdir("there", 0700), 0); /* a chain of links to what is not there yet */
    EXPECT_EQ(symlink("there/next.csv", "far.csv"), 0);
    EXPECT_EQ(symlink("new.csv", "there/next.csv"), 0);
    EXPECT_OK(open_sink(&sink, "far.csv", (SinkOpts){ 0 }));
    EXPECT_OK(sink_write(sink, &batch));
    EXPECT_OK(sink_commit(sink));
    sink_close(sink);
    EXPECT(lstat("far.csv", &st) == 0 && S_ISLNK(st.st_mode));
    EXPECT(lstat("there/new.csv", &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0);
    return 0;
}

TEST(a_link_is_followed_and_the_mode_kept)
{
    EXPECT_OK(sl_run(link_main, NULL));
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    (void) fputs(text, file);
    (void) fclose(file);
}

static int append_main(void *arg)
{
    static const RowColumn two[] = { { .name = STR("a") }, { .name = STR("b") } };
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    SinkOpts opts = { .columns = two, .n_columns = 2 };
    char out[100] = "";
    Sink *sink = NULL;
    int fd;

    (void) arg;
    row_batch_init(&batch, two, 2);
    row_batch_add(&batch)[0] = row_integer(1);
    write_file("other.csv", "a,c\n");
    EXPECT_ERR(open_sink(&sink, "other.csv?mode=append", opts), -ERR_CONFLICT,
               "the file has other columns: it must begin with a,b");
    write_file("longer.csv", "a,bc\n");
    EXPECT_ERR(open_sink(&sink, "longer.csv?mode=append", opts), -ERR_CONFLICT, "other columns");
    EXPECT(access("other.csv.partial", F_OK) < 0);

    write_file("mine.csv", "\xef\xbb\xbf"
                           "a,b\nx,y"); /* a mark of byte order, no last line end */
    EXPECT_OK(open_sink(&sink, "mine.csv?mode=append", opts));
    if (!sink)
        return 0;
    EXPECT_OK(sink_write(sink, &batch));
    EXPECT_OK(sink_commit(sink));
    sink_close(sink);
    fd = open("mine.csv", O_RDONLY);
    (void) !read(fd, out, sizeof(out) - 1);
    EXPECT_C(out, "\xef\xbb\xbf"
                  "a,b\nx,y\r\n1,\r\n");
    (void) close(fd);
    return 0;
}

TEST(appending_needs_the_same_columns)
{
    EXPECT_OK(sl_run(append_main, NULL));
}

TEST(columns_must_have_names_of_their_own)
{
    static const RowColumn twins[] = { { .name = STR("a") }, { .name = STR("a") } };
    Sink *sink = NULL;

    EXPECT_ERR(open_sink(&sink, "-", (SinkOpts){ .columns = twins, .n_columns = 2 }), -ERR_INVALID,
               "two columns are called a");
    arena_deinit(&arena);
}

TEST_MAIN()
