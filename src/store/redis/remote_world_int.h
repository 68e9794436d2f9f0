/*
 * For the tests of the store in Redis: a server, stores on it as several machines would have them,
 * the few operations that tests need, and a network that loses answers.
 */
#pragma once

#include "base/test.h"
#include "net/redis.h"
#include "store/record.h"
#include "store/redis/seams.h"
#include "store/redis_server_test.h"
#include "store/store.h"

#include <sluice/rt.h>

#include <errno.h>

/* ---- stores ---------------------------------------------------------------------------------- */

typedef struct World {
    RedisServer server;
    char url[200];
    sl_nursery *nursery;
    StoreSeams seams;
} World;

SUSPENDS static inline int world_open_with(World *world, Str durability, bool allow_eviction,
                                           Store **ret)
{
    StoreOpts opts = { .config = { .nursery = world->nursery,
                                   .durability = durability,
                                   .allow_eviction = allow_eviction,
                                   .seams = &world->seams } };

    EXPECT_OK(store_find_driver(str_from_c(world->url), &opts.driver, &opts.config.path));
    return store_open(&opts, ret);
}

SUSPENDS static inline Store *world_open(World *world)
{
    Store *store = NULL;

    EXPECT_OK(world_open_with(world, (Str){ 0 }, false, &store));
    return store;
}

/* BODY on a server with OPTIONS, as a store of PARTITIONS. Skipped where there is no server. */
typedef struct WorldRun {
    World world;
    void (*body)(World *world);
} WorldRun;

SUSPENDS static inline int world_main(void *arg)
{
    WorldRun *run = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "world");

    run->world.nursery = nursery;
    run->body(&run->world);
    return 0;
}

static inline void world_run(void (*body)(World *world), unsigned partitions,
                             const char *const *options)
{
    WorldRun run = { .body = body };

    if (!redis_server_start(&run.world.server, "redis", options)) {
        test_skip(TEST_NO_REDIS);
        return;
    }
    redis_server_url(&run.world.server, partitions, run.world.url, sizeof(run.world.url));
    EXPECT_OK(sl_run(world_main, &run, .stall_ms = -1));
    redis_server_stop(&run.world.server);
}

/* One command to the server, words separated by spaces; its answer if it is a number. */
SUSPENDS static inline int64_t world_command(World *world, const char *words)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Redis *redis = NULL;
    RedisUrl url;
    Str argv[8], rest = str_from_c(words);
    RedisCall call = { .argv = argv, .slot = REDIS_ANY, .arena = &arena };
    int64_t number = 0;

    arena_init(&arena, 0);
    EXPECT_OK(redis_url_parse(&arena, str_from_c(world->url), &url));
    EXPECT_OK(redis_start(&redis, world->nursery, &(RedisOpts){ .url = &url }));
    while (rest.len > 0) {
        Str text = rest;
        argv[call.argc++] = str_cut(text, ' ', &rest);
    }
    EXPECT_OK(redis_call(redis, &call));
    (void) resp_to_number(&call.reply, &number); /* most are none */
    redis_stop(redis);
    return number;
}

/* ---- operations ------------------------------------------------------------------------------ */

static inline JobId job_id(unsigned n)
{
    JobId id = { { 1, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80 } };

    id.bytes[14] = (uint8_t) (n >> 8);
    id.bytes[15] = (uint8_t) n;
    return id;
}

static inline unsigned job_number(Str record)
{
    JobId id = record_id(record);

    return (unsigned) id.bytes[14] << 8 | id.bytes[15];
}

SUSPENDS static inline int job_push(Store *store, unsigned n, const char *queue, const char *type)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    JobSpec spec = { .id = job_id(n), .type = str_from_c(type), .queue = str_from_c(queue) };
    Str record;
    int r;

    record_encode(&buf, &spec, store_now(store).wall_ms);
    record = buf_str(&buf);
    AUTO(store_op_deinit)
    StoreOp op = { .kind = STORE_PUSH, .push = { .records = &record, .n = 1 } };
    r = store_run(store, &op);
    if (r == 0 && op.r < 0)
        r = store_op_fail(&op);
    return r < 0 ? r : op.r;
}

static inline void lease_init(StoreOp *op, const Str *queue, size_t max, bool waits)
{
    *op = (StoreOp){ .kind = STORE_LEASE,
                     .lease = { .queues = queue,
                                .n_queues = 1,
                                .max = max,
                                .default_ms = 60000,
                                .waits = waits,
                                .worker = STR_C("w") } };
}

/* Lease up to MAX into IDS; how many. */
SUSPENDS static inline size_t jobs_lease(Store *store, const char *queue, size_t max, unsigned *ids)
{
    Str name = str_from_c(queue), record;
    size_t cursor = 0, n = 0;
    AUTO(store_op_deinit) StoreOp op = { 0 };

    lease_init(&op, &name, max, false);
    EXPECT_OK(store_run(store, &op));
    EXPECT(op.r == 0 || op.r == STORE_EMPTY);
    while (store_out_next(&op.out, &cursor, &record))
        ids[n++] = job_number(record);
    EXPECT_EQ(n, op.lease.n);
    return n;
}

SUSPENDS static inline int job_complete(Store *store, unsigned n)
{
    StoreMove move = { .id = job_id(n), .from = JOB_IN(ACTIVE), .to = JOB_COMPLETED };
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_MOVE, .move = { .moves = &move, .n = 1 } };
    int r = store_run(store, &op);

    if (r == 0 && op.r < 0)
        r = store_op_fail(&op);
    return r < 0 ? r : move.r;
}

SUSPENDS static inline bool job_head(Store *store, unsigned n, RecordHead *head)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_GET, .get.id = job_id(n) };
    size_t cursor = 0;
    Str record;

    EXPECT_OK(store_run(store, &op));
    if (op.r < 0 || !store_out_next(&op.out, &cursor, &record))
        return false;
    record_head_get(record_body(record), head);
    return true;
}

SUSPENDS static inline void store_check(Store *store)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_CHECK };

    EXPECT_OK(store_run(store, &op));
    EXPECT_C(op.check.why, "");
}

static inline bool has_note(Store *store, const char *name, int kind, const char *part)
{
    StoreNote notes[STORE_NOTES_MAX];
    size_t n = store_notes(store, notes, STORE_NOTES_MAX);

    for (size_t i = 0; i < n; i++) {
        if (strcmp(notes[i].name, name) == 0)
            return (int) notes[i].kind == kind && strstr(notes[i].text, part);
    }
    return false;
}

/* ---- a network that loses answers ------------------------------------------------------------ */

/* While `cuts` is above zero, the next answer that comes in is dropped and its connection ends. */
typedef struct Lossy {
    const char *path;
    unsigned cuts;
    unsigned lost;
} Lossy;

typedef struct LossyStream {
    Stream head;
    Stream *inner;
    Lossy *lossy;
    bool is_cut;
} LossyStream;

SUSPENDS static inline ssize_t lossy_read(Stream *head, void *buf, size_t len)
{
    LossyStream *stream = CONTAINER_OF(head, LossyStream, head);
    ssize_t n = stream->is_cut ? -ECONNRESET : stream_read(stream->inner, buf, len);

    if (n > 0 && stream->lossy->cuts > 0) {
        stream->lossy->cuts--;
        stream->lossy->lost++;
        stream->is_cut = true;
        n = -ECONNRESET;
    }
    return n;
}

static inline ssize_t lossy_try_read(Stream *head, void *buf, size_t len)
{
    LossyStream *stream = CONTAINER_OF(head, LossyStream, head);
    ssize_t n = stream->is_cut ? -ECONNRESET : stream_try_read(stream->inner, buf, len);

    if (n > 0 && stream->lossy->cuts > 0) {
        stream->lossy->cuts--;
        stream->lossy->lost++;
        stream->is_cut = true;
        n = -ECONNRESET;
    }
    return n;
}

SUSPENDS static inline int lossy_wait_readable(Stream *head)
{
    LossyStream *stream = CONTAINER_OF(head, LossyStream, head);

    return stream->is_cut ? 0 : stream_wait_readable(stream->inner);
}

SUSPENDS static inline int lossy_wait_close(Stream *head)
{
    return stream_wait_close(CONTAINER_OF(head, LossyStream, head)->inner);
}

SUSPENDS static inline ssize_t lossy_writev(Stream *head, const struct iovec *iov, int n)
{
    LossyStream *stream = CONTAINER_OF(head, LossyStream, head);

    return stream->is_cut ? -EPIPE : stream_writev(stream->inner, iov, n);
}

SUSPENDS static inline int lossy_shutdown(Stream *head)
{
    return stream_shutdown(CONTAINER_OF(head, LossyStream, head)->inner);
}

static inline void lossy_abort(Stream *head)
{
    stream_abort(CONTAINER_OF(head, LossyStream, head)->inner);
}

SUSPENDS static inline void lossy_close(Stream *head)
{
    LossyStream *stream = CONTAINER_OF(head, LossyStream, head);

    stream_close(stream->inner);
    mem_free(stream);
}

SUSPENDS static inline int lossy_connect(void *ctx, const RedisHost *host, Stream **ret_stream)
{
    static const StreamOps ops = { .kind = "lossy",
                                   .read = lossy_read,
                                   .try_read = lossy_try_read,
                                   .wait_readable = lossy_wait_readable,
                                   .wait_close = lossy_wait_close,
                                   .writev = lossy_writev,
                                   .shutdown = lossy_shutdown,
                                   .abort = lossy_abort,
                                   .close = lossy_close };
    Lossy *lossy = ctx;
    LossyStream *stream;
    NetAddress address;
    char text[128];
    Stream *inner;
    int r;

    (void) host;
    snprintf(text, sizeof(text), "unix:%s", lossy->path);
    r = net_address_parse(str_from_c(text), &address);
    if (r == 0)
        r = stream_connect(&address, &inner);
    if (r < 0)
        return r;
    stream = mem_new(LossyStream);
    stream->head = (Stream){ .tag = STREAM_TAG, .fd = inner->fd, .ops = &ops };
    stream->inner = inner;
    stream->lossy = lossy;
    *ret_stream = &stream->head;
    return 0;
}
