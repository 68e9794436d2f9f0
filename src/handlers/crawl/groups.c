/*
 * Groups: the rows of the crawl in, the table of their groups out, through an outlet of its own
 * that leads to whoever runs the task.
 */
#include "handlers/crawl/groups.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/aggregate.h"
#include "rows/outlet.h"

#include <sluice/rt.h>

struct Groups {
    Aggregate *aggregate;
    Outlet *outlet; /* opened at the end */
    Arena arena;    /* of the two texts */
};

static Str join(Arena *arena, SchemaList list, char by)
{
    AUTO(buf_deinit) Buf text = { 0 };
    const Str *items = list.items;

    for (size_t i = 0; i < list.len; i++) {
        if (i > 0)
            buf_add_char(&text, by);
        buf_add_str(&text, items[i]);
    }
    return arena_copy(arena, buf_str(&text));
}

int groups_open(Groups **ret_groups, const CrawlArgs *args, const CrawlPlan *plan)
{
    AUTO(groups_close) Groups *groups = mem_new(Groups);
    AggregateOpts opts = { .columns = crawl_plan_columns(plan),
                           .n_columns = crawl_plan_n_columns(plan) };
    int r;

    arena_init(&groups->arena, 0);
    opts.group_by = join(&groups->arena, args->group_by, ',');
    opts.spec = args->agg.len ? join(&groups->arena, args->agg, ';') : str_from_c("count");
    r = aggregate_new(&groups->aggregate, &opts);
    if (r < 0)
        return r;
    *ret_groups = TAKE(groups);
    return 0;
}

void groups_close(Groups *groups)
{
    if (!groups)
        return;
    outlet_close(groups->outlet);
    aggregate_free(groups->aggregate);
    arena_deinit(&groups->arena);
    mem_free(groups);
}

int groups_add(Groups *groups, const RowBatch *rows)
{
    return aggregate_add(groups->aggregate, rows);
}

static int finish_aggregate(void *aggregate)
{
    aggregate_finish(aggregate);
    return 0;
}

SUSPENDS static int write_groups(Groups *groups, const OutletOpts *opts)
{
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    int r = 0;

    row_batch_init(&batch, opts->columns, opts->n_columns);
    while (r == 0 && aggregate_next(groups->aggregate, &batch)) {
        r = outlet_write(groups->outlet, &batch);
        row_batch_reset(&batch);
    }
    return r < 0 ? r : outlet_commit(groups->outlet);
}

int groups_print(Groups *groups, Task *task)
{
    OutletOpts opts = { 0 };
    uint64_t left_out;
    int r;

    opts.columns = aggregate_columns(groups->aggregate, &opts.n_columns);
    r = sl_offload(finish_aggregate, groups->aggregate, .name = "aggregate");
    if (r == 0)
        r = outlet_open(&groups->outlet, task, &opts, NULL);
    if (r == 0)
        r = write_groups(groups, &opts);
    left_out = aggregate_left_out(groups->aggregate);
    if (r == 0 && left_out)
        task_log(task, arena_printf(task->arena,
                                    "--agg: %llu values are no numbers and were left "
                                    "out",
                                    (unsigned long long) left_out));
    return r;
}

Str groups_result_rows(const Groups *groups)
{
    return groups->outlet ? outlet_result_rows(groups->outlet) : (Str){ 0 };
}
