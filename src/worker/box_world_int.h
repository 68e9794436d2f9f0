/*
 * For the tests of boxes: a pool on a loop of its own, and runs of `rogue` in it, with what came of
 * them.
 */
#pragma once

#include "base/limits.h"
#include "base/macro.h"
#include "base/test.h"
#include "worker/box_int.h"
#include "worker/box_sandbox_int.h"

#include <sluice/rt.h>

#include <stdlib.h>
#include <string.h>

extern const Handler handler_rogue;

typedef struct World {
    BoxPool *pool;
    sl_nursery *nursery;
    void (*body)(struct World *world);
    BoxPoolOpts opts;
} World;

SUSPENDS static inline int world_main(void *arg)
{
    World *world = arg;

    world->nursery = sl_nursery_open(.name = "world", .keep_going = true);
    EXPECT_OK(box_pool_start(&world->pool, world->nursery, &world->opts));
    world->body(world);
    box_pool_stop(world->pool);
    sl_nursery_close(world->nursery);
    return 0;
}

static inline void in_world(void (*body)(World *world), BoxPoolOpts opts)
{
    World world = { .body = body, .opts = opts };

    EXPECT_OK(sl_run(world_main, &world, .stall_ms = -1));
}

typedef struct Try {
    BoxRun run;
    Arena arena;
    Buf result;
    BoxPool *pool;
    int64_t timeout_ms;
    int r;
    Err err;
    int lines;
    double fraction;
} Try;

static inline void on_log(void *ctx, Str line)
{
    Try *try = ctx;

    EXPECT_C("a line", "a line");
    EXPECT(line.len == 6);
    try->lines++;
}

static inline void on_progress(void *ctx, double fraction, Str message)
{
    Try *try = ctx;

    (void) message;
    try->fraction = fraction;
}

SUSPENDS static inline int run_try(void *arg)
{
    Try *try = arg;
    sl_scope scope;

    arena_init(&try->arena, 0);
    buf_init(&try->result, 0);
    try->run.ctx = try;
    try->run.log = on_log;
    try->run.progress = on_progress;
    try->run.arena = &try->arena;
    try->run.result = &try->result;
    try->run.is_direct = true;
    try->run.timeout_ms = 10000;
    if (!try->run.handler)
        try->run.handler = &handler_rogue;
    sl_scope_begin(&scope, .timeout_ms = try->timeout_ms ? try->timeout_ms : 60000);
    try->r = box_pool_run(try->pool, &try->run);
    try->r = sl_scope_end(&scope, try->r);
    if (try->r < 0)
        err_take(try->r, &try->err);
    return 0;
}

static inline void end_try(Try *try)
{
    box_run_deinit(&try->run);
    arena_deinit(&try->arena);
    buf_deinit(&try->result);
}

/* Run ARGS and expect RESULT. */
SUSPENDS static inline void expect_result(World *world, const char *args, const char *result)
{
    Try try = { .pool = world->pool, .run.args = str_from_c(args) };

    run_try(&try);
    if (try.r < 0)
        test_fail(__FILE__, __LINE__, "%s: %d %s", args, try.r, try.err.text);
    EXPECT_STR(buf_str(&try.result), str_from_c(result));
    end_try(&try);
}

SUSPENDS static inline void expect_error(World *world, const char *args, int code,
                                         const char *words)
{
    Try try = { .pool = world->pool, .run.args = str_from_c(args) };

    run_try(&try);
    EXPECT_EQ(try.r, code);
    if (!strstr(try.err.text, words))
        test_fail(__FILE__, __LINE__, "%s: \"%s\" lacks \"%s\"", args, try.err.text, words);
    end_try(&try);
}
