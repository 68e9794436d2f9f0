/*
 * What tests of feeds share: lots made of tables of values, psql, and a feed inside a runtime.
 */
#pragma once

#include "base/test.h"
#include "rows/feed.h"
#include "rows/pg_cluster_test.h"

#include <sluice/rt.h>

static PgCluster cluster = { .why_not = "not started" };
static char answer[1 << 16];

/* What psql says to SQL, columns with | between. */
static inline const char *ask_pg(const char *sql)
{
    AUTO(buf_deinit) Buf command = { 0 };
    FILE *pipe;
    size_t n;

    buf_printf(&command,
               "%s/psql -h %s -U sluice -d postgres -qAt -P null=NULL 2>&1 <<'EOSQL'\n%s\nEOSQL",
               cluster.bin, cluster.dir, sql);
    buf_add_char(&command, '\0');
    pipe = popen(command.data, "r");
    n = pipe ? fread(answer, 1, sizeof(answer) - 1, pipe) : 0;
    answer[n] = '\0';
    while (n > 0 && answer[n - 1] == '\n')
        answer[--n] = '\0';
    if (pipe)
        (void) pclose(pipe);
    return answer;
}

/* A feed, and what its last call gave. */
typedef struct World {
    Arena arena;
    SinkSpec spec;
    FeedOpts opts;
    Feed *feed;
    FeedVerdict verdict;
    uint64_t mark;
} World;

SUSPENDS static inline int world_open(World *world, const char *url, const char *options)
{
    char text[600];
    int r;

    (void) snprintf(text, sizeof(text), "%s&%s", url, options);
    r = sink_spec_parse(&world->arena, str_from_c(text), &world->spec);
    if (r < 0)
        return r;
    if (world->opts.run_id.len == 0)
        world->opts.run_id = world->spec.table;
    return feed_open(&world->feed, &world->spec, &world->opts, &world->mark, &world->verdict);
}

SUSPENDS static inline void world_close(World *world)
{
    feed_close(world->feed);
    feed_verdict_deinit(&world->verdict);
    arena_deinit(&world->arena);
    *world = (World){ 0 };
}

/* Deliver N_ROWS rows of N_COLUMNS values each, which stand in a row at VALUES. */
SUSPENDS static inline int world_deliver(World *world, const RowColumn *columns, size_t n_columns,
                                         const RowValue *values, size_t n_rows)
{
    AUTO(mem_free) const RowValue **rows = mem_new_array(const RowValue *, n_rows);
    char note[40];
    FeedLot lot = { .columns = columns,
                    .n_columns = n_columns,
                    .rows = rows,
                    .n_rows = n_rows,
                    .mark = world->mark + 1 };
    int r;

    (void) snprintf(note, sizeof(note), "it's \\ %llu", (unsigned long long) lot.mark);
    lot.note = str_from_c(note);
    for (size_t i = 0; i < n_rows; i++)
        rows[i] = &values[i * n_columns];
    r = feed_deliver(world->feed, &lot, &world->verdict);
    if (r == 0 || r == FEED_REFUSED)
        world->mark = lot.mark;
    return r;
}

#define DELIVER(world, columns, values)                                    \
    world_deliver((world), (columns), ARRAY_LEN(columns), &(values)[0][0], \
                  sizeof(values) / sizeof((values)[0]))
