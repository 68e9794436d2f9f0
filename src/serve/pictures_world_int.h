/*
 * For the tests of pictures by URL: an engine's part of them, with a folder of two files, a cache,
 * an HTTP client, and a handler that stands in for image. It is no box, and it tells what it got.
 */
#pragma once

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/test.h"
#include "codec/base64.h"
#include "codec/image_url.h"
#include "net/http_client.h"
#include "serve/picture_cache.h"
#include "serve/pictures.h"

#include <sluice/rt.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a handler ------------------------------------------------------------------------------- */

typedef struct CopyArgs {
    int64_t width;
    int format;
    Str accept;
} CopyArgs;

static const char *const formats[] = { "auto", "jpeg", "webp", NULL };
static const SchemaField copy_fields[] = {
    FIELD_INT(CopyArgs, width, "w", .range = RANGE(1, 100)),
    FIELD_ENUM(CopyArgs, format, formats, "f", .default_text = "auto"),
    FIELD_STR(CopyArgs, accept, "a"),
};
static const Schema copy_schema = SCHEMA(CopyArgs, copy_fields, "Copy.");

/* Gives "WIDTH ACCEPT BYTES". */
static inline int copy_run(Task *task, const void *args, JsonWriter *result)
{
    const CopyArgs *copy = args;
    unsigned char *room;
    char text[512];
    int r, n = snprintf(text, sizeof(text), "%lld %.*s %.*s", (long long) copy->width,
                        (int) copy->accept.len, copy->accept.data, (int) task->input.bytes.len,
                        task->input.bytes.data);

    (void) result;
    if (str_eq_c(task->input.bytes, "broken"))
        return fail(-ERR_UNREADABLE, "no picture");
    r = task_output(task, NULL, "image/webp", (size_t) n, &room);
    if (r == 0)
        memcpy(room, text, (size_t) n);
    return r;
}

static const Handler copier = { .type = "image",
                                .summary = "Copies.",
                                .args = &copy_schema,
                                .cost = HANDLER_BURNS,
                                .takes_body = true,
                                .run = copy_run };

/* ---- a world --------------------------------------------------------------------------------- */

static const Str keys[] = { STR("0123456789abcdef"), STR("another key of 24 bytes!") };
static const Str rules[] = { STR("http://127.0.0.1/"), STR("http://pictures.test/") };

typedef struct World {
    void (*body)(struct World *world);
    char folder[200];
    char cache[200];
    sl_nursery *nursery;
    HttpClient *http;
    PicturesOpts opts;
    Pictures *pictures;
} World;

static inline void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    ASSERT(file);
    (void) fputs(text, file);
    (void) fclose(file);
}

static inline const char *in_folder(World *world, const char *name)
{
    static char path[256];

    (void) snprintf(path, sizeof(path), "%s/%s", world->folder, name);
    return path;
}

SUSPENDS static inline int world_main(void *arg)
{
    World *world = arg;

    log_setup(LOG_OFF, LOG_FORMAT_AUTO, STDERR_FILENO);
    world->nursery = sl_nursery_open(.name = "world");
    EXPECT_OK(http_client_global_init());
    EXPECT_OK(http_client_start(&world->http, world->nursery,
                                &(HttpClientOpts){ .policy = HTTP_POLICY_DENY_PRIVATE }));
    world->opts.http = world->http;
    EXPECT_OK(pictures_start(&world->pictures, world->nursery, &world->opts));
    world->body(world);
    pictures_stop(world->pictures);
    http_client_stop(world->http);
    sl_nursery_close(world->nursery);
    return 0;
}

static inline void run_world(void (*body)(World *), bool keeps)
{
    static int count;
    World world = { .body = body };

    (void) snprintf(world.folder, sizeof(world.folder), "%s/in%d", test_dir(), ++count);
    (void) snprintf(world.cache, sizeof(world.cache), "%s/cache%d", test_dir(), count);
    ASSERT(mkdir(world.folder, 0700) == 0);
    world.opts = (PicturesOpts){ .keys = keys,
                                 .n_keys = ARRAY_LEN(keys),
                                 .rules = rules,
                                 .n_rules = ARRAY_LEN(rules),
                                 .folder = world.folder,
                                 .cache_dir = keeps ? world.cache : NULL,
                                 .cache_bytes = 1 << 20,
                                 .max_age_s = 60,
                                 .handler = &copier };
    write_text(in_folder(&world, "a.jpg"), "apple");
    write_text(in_folder(&world, "b.jpg"), "broken");
    EXPECT_OK(sl_run(world_main, &world, .stall_ms = -1));
}

/* Ask for OPTIONS and SOURCE with a good signature. */
SUSPENDS static inline int get(World *world, const char *options, const char *source,
                               PictureAsk *ask)
{
    AUTO(buf_deinit) Buf text = { 0 };
    AUTO(buf_deinit) Buf signature = { 0 };
    unsigned char mac[IMAGE_URL_MAC_BYTES];
    int r;

    buf_printf(&text, "/%s/%s", options, source);
    image_url_mac(keys[1], buf_str(&text), mac);
    base64_encode(&signature, str_from((char *) mac, sizeof(mac)), BASE64_URL);
    picture_ask_deinit(ask);
    ask->body = (Buf){ 0 };
    ask->options = str_from_c(options);
    ask->source = str_from_c(source);
    ask->signed_text = buf_str(&text);
    ask->signature = buf_str(&signature);
    r = pictures_get(world->pictures, ask);
    ask->signature = ask->signed_text = str_from(NULL, 0);
    return r;
}

#define WORLD_TEST(name, keeps)            \
    static void name##_body(World *world); \
    TEST(name)                             \
    {                                      \
        run_world(name##_body, (keeps));   \
    }                                      \
    SUSPENDS static void name##_body(World *world)

static inline PicturesStats stats_of(const World *world)
{
    PicturesStats stats;

    pictures_stats(world->pictures, &stats);
    return stats;
}
