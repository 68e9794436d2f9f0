/*
 * The pipelines of an engine, while somebody stops them all: whoever restarts or reloads one in
 * that moment must not bring it back.
 */
#include "pipeline/pipeline_set.h"

#include "base/list.h"
#include "base/test.h"
#include "codec/schema.h"

#include <unistd.h>

#define PIPELINE                                                                   \
    "{\"name\":\"p\",\"source\":[\"sim:rate=1000\"],\"dead_letters\":\"d.jsonl\"," \
    "\"drain\":\"1s\",\"out\":[\"jsonl:set.jsonl\"]}"

SUSPENDS static int read_config(void *ctx, Arena *arena, Str file, PipelineConfig *ret_config)
{
    int r = sl_yield(); /* a file takes its time */

    (void) ctx;
    (void) file;
    if (r == 0)
        r = sl_yield();
    return r < 0 ? r
                 : schema_decode_text(arena, &pipeline_config_schema, str_from_c(PIPELINE),
                                      ret_config, NULL);
}

typedef struct Asking {
    PipelineSet *set;
    SUSPENDS int (*what)(PipelineSet *set, PipelineEntry *entry);
    int turns; /* to let pass before */
    int r;
} Asking;

SUSPENDS static int ask(void *arg)
{
    Asking *asking = arg;
    int r = 0;

    for (int i = 0; r == 0 && i < asking->turns; i++)
        r = sl_yield();
    if (r == 0)
        r = asking->what(asking->set, pipeline_set_at(asking->set, 0));
    asking->r = r;
    if (r < 0)
        err_take(r, NULL);
    return 0;
}

SUSPENDS static int stop_while_asked(void *arg)
{
    Asking *asking = arg;
    sl_nursery *nursery = sl_nursery_open(.name = "set", .keep_going = true);
    sl_nursery *other = sl_nursery_open(.name = "ask");
    PipelineSetOpts opts = { .pipeline = { .is_local_allowed = true },
                             .drain_ms = 1000,
                             .read = read_config };

    asking->set = pipeline_set_new(nursery, &opts);
    EXPECT_OK(pipeline_set_add(asking->set, str_from_c("file")));
    EXPECT_OK(sl_spawn(other, ask, asking, .name = "ask"));
    EXPECT_OK(sl_yield());
    pipeline_set_stop(asking->set);
    EXPECT_OK(sl_nursery_join(other));
    sl_nursery_close(other);
    EXPECT(!pipeline_entry_get(pipeline_set_at(asking->set, 0)));
    pipeline_set_stop(asking->set);
    sl_nursery_close(nursery);
    pipeline_set_free(asking->set);
    return 0;
}

static void expect_stopped(int (*what)(PipelineSet *set, PipelineEntry *entry))
{
    for (int turns = 0; turns < 6; turns++) {
        Asking asking = { .what = what, .turns = turns };

        (void) unlink("set.jsonl");
        EXPECT_OK(sl_run(stop_while_asked, &asking, .loop = SL_LOOP_EPOLL));
    }
}

TEST(a_restart_brings_nothing_back_that_is_stopped)
{
    expect_stopped(pipeline_set_restart);
}

TEST(a_reload_brings_nothing_back_that_is_stopped)
{
    expect_stopped(pipeline_set_reload);
}

TEST_MAIN()
