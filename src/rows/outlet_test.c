/*
 * The outlet: where rows go when nobody, somebody or several sinks take them, and that sinks of one
 * run come back into step.
 */
#include "rows/outlet.h"

#include "base/test.h"

#include <sluice/rt.h>

static const RowColumn columns[] = { { .name = STR("id"), .kind = ROW_INT } };

static size_t n_emitted, n_answers;

static int emit(Task *task, const RowBatch *batch)
{
    (void) task;
    if (batch)
        n_emitted += row_batch_count(batch);
    else
        n_answers++;
    return 0;
}

static int allow_out(Task *task, Str out, Str *ret_out)
{
    if (str_starts(out, STR_C("forbidden")))
        return fail(-ERR_FORBIDDEN, "not there");
    *ret_out = arena_printf(task->arena, "placed-%.*s", (int) out.len, out.data);
    return 0;
}

static const TaskOps plain_ops = { 0 }, watched_ops = { .emit = emit },
                     ruled_ops = { .allow_out = allow_out };

static Arena arena;

static Outlet *open_outlet(const TaskOps *ops, Str *out, size_t n, OutletOpts opts,
                           uint64_t *ret_mark)
{
    static Task task;
    Outlet *outlet = NULL;

    task = (Task){ .ops = ops, .arena = &arena };
    opts.columns = columns;
    opts.n_columns = 1;
    opts.out = (SchemaList){ out, n };
    EXPECT_OK(outlet_open(&outlet, &task, &opts, ret_mark));
    return outlet;
}

static int write_ids(Outlet *outlet, int from, int to)
{
    AUTO(row_batch_deinit) RowBatch batch = { 0 };

    row_batch_init(&batch, columns, 1);
    for (int i = from; i < to; i++)
        row_batch_add(&batch)[0] = row_integer(i);
    return outlet_write(outlet, &batch);
}

static int result_main(void *arg)
{
    Outlet *outlet = open_outlet(&plain_ops, NULL, 0, (OutletOpts){ 0 }, NULL);
    AUTO(buf_deinit) Buf words = { 0 };
    int r = 0;

    (void) arg;
    EXPECT_STR(outlet_result_rows(outlet), STR_C("[]"));
    EXPECT_OK(write_ids(outlet, 0, 2));
    EXPECT_OK(write_ids(outlet, 2, 3));
    EXPECT_STR(outlet_result_rows(outlet), STR_C("[{\"id\":0},{\"id\":1},{\"id\":2}]"));
    EXPECT_OK(outlet_commit(outlet));
    outlet_describe(outlet, &words);
    EXPECT_EQ(words.len, 0);
    for (int i = 0; i < 200 && r == 0; i++)
        r = write_ids(outlet, 0, 1000);
    EXPECT_ERR(r, -ERR_TOO_LARGE, "--out");
    outlet_close(outlet);
    return 0;
}

TEST(without_a_sink_rows_are_the_result_up_to_its_limit)
{
    EXPECT_EQ(chdir(test_dir()), 0);
    EXPECT_OK(sl_run(result_main, NULL));
}

static int watched_main(void *arg)
{
    Outlet *outlet = open_outlet(&watched_ops, NULL, 0, (OutletOpts){ 0 }, NULL);

    (void) arg;
    EXPECT_OK(write_ids(outlet, 0, 5));
    EXPECT_OK(outlet_commit(outlet));
    EXPECT_EQ(n_emitted, 5);
    EXPECT_EQ(n_answers, 1);
    EXPECT_EQ(outlet_result_rows(outlet).len, 0);
    outlet_close(outlet);
    return 0;
}

TEST(who_watches_gets_the_rows)
{
    EXPECT_OK(sl_run(watched_main, NULL));
}

static void expect_file(const char *path, const char *want)
{
    char text[4096] = "";
    FILE *file = fopen(path, "r");

    if (!file) {
        test_fail(__FILE__, __LINE__, "no %s", path);
        return;
    }
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    (void) fclose(file);
    EXPECT_C(text, want);
}

static int sinks_main(void *arg)
{
    Str out[] = { STR("a.csv?eol=lf"), STR("b.jsonl") }, bad[] = { STR("forbidden.csv") };
    Outlet *outlet = open_outlet(&ruled_ops, out, 2, (OutletOpts){ 0 }, NULL);
    AUTO(buf_deinit) Buf words = { 0 };
    Outlet *none = NULL;
    Task task = { .ops = &ruled_ops, .arena = &arena };

    (void) arg;
    EXPECT_OK(write_ids(outlet, 0, 2));
    EXPECT_OK(outlet_commit(outlet));
    outlet_describe(outlet, &words);
    EXPECT_STR(buf_str(&words), STR_C("wrote 2 rows to placed-a.csv?eol=lf and placed-b.jsonl"));
    outlet_close(outlet);
    expect_file("placed-a.csv", "id\n0\n1\n");
    expect_file("placed-b.jsonl", "{\"id\":0}\n{\"id\":1}\n");
    EXPECT_ERR(outlet_open(&none, &task,
                           &(OutletOpts){ .columns = columns, .n_columns = 1, .out = { bad, 1 } },
                           NULL),
               -ERR_FORBIDDEN, "not there");
    return 0;
}

TEST(sinks_are_shown_to_the_task_first)
{
    EXPECT_OK(sl_run(sinks_main, NULL));
}

/* A process dies after the database took mark 2 and before the caller noted it: the file has to go
 * on at mark 2, too, though the caller speaks of mark 1. */
static int step_main(void *arg)
{
    Str out[] = { STR("s.csv?eol=lf"), STR("s.db") }, two[] = { STR("a.db"), STR("b.db") };
    OutletOpts opts = { .run_id = STR_C("run-7") };
    AUTO(buf_deinit) Buf first = { 0 };
    AUTO(buf_deinit) Buf second = { 0 };
    Outlet *outlet = open_outlet(&plain_ops, out, 2, opts, NULL), *none = NULL;
    Task task = { .ops = &plain_ops, .arena = &arena };
    uint64_t mark = 0;

    (void) arg;
    EXPECT_OK(write_ids(outlet, 0, 2));
    EXPECT_OK(outlet_checkpoint(outlet, 1, &first));
    EXPECT_OK(write_ids(outlet, 2, 4));
    EXPECT_OK(outlet_checkpoint(outlet, 2, &second));
    EXPECT_OK(write_ids(outlet, 90, 99));
    outlet_close(outlet);

    opts.is_resume = true;
    opts.mark = 1;
    opts.positions = buf_str(&first);
    outlet = open_outlet(&plain_ops, out, 2, opts, &mark);
    EXPECT_EQ(mark, 2);
    EXPECT_OK(write_ids(outlet, 4, 5));
    EXPECT_OK(outlet_commit(outlet));
    outlet_close(outlet);
    expect_file("s.csv", "id\n0\n1\n2\n3\n4\n");

    EXPECT_ERR(outlet_open(&none, &task,
                           &(OutletOpts){ .columns = columns,
                                          .n_columns = 1,
                                          .run_id = STR_C("r"),
                                          .out = { two, 2 } },
                           NULL),
               -ERR_INVALID, "one database at most");
    return 0;
}

TEST(sinks_of_one_run_come_back_into_step)
{
#if SL_HAVE_SQLITE
    EXPECT_OK(sl_run(step_main, NULL));
#else
    (void) step_main;
    test_skip("no sqlite");
#endif
}

TEST(frees)
{
    arena_deinit(&arena);
}

TEST_MAIN()
