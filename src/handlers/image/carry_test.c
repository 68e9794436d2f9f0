/*
 * Where a job's picture comes from and where its outputs go: paths below a folder and URLs, and
 * what is left behind when something on the way fails.
 */
#include "handlers/image/carry.h"

#include "base/arena.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/test.h"
#include "handlers/image/args.h"
#include "net/http_client.h"
#include "net/http_server.h"

#include <sluice/handler.h>
#include <sluice/rt.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGE "large enough for a limit on files"

/* ---- a world --------------------------------------------------------------------------------- */

typedef struct World {
    Task task; /* of the last call */
    void (*check)(struct World *world);
    Arena arena;
    HttpServer *server;
    HttpClient *client;
    char base[100];
    size_t calls;
    char put[200]; /* "PATH TYPE BODY" of the last PUT */
    char folder[200];
} World;

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    World *world = ctx;
    Str type = http_request_header(request, "Content-Type");
    int64_t status = 200;

    world->calls++;
    if (request->method == HTTP_METHOD_PUT)
        (void) snprintf(world->put, sizeof(world->put), "%.*s %.*s %.*s", (int) request->path.len,
                        request->path.data, (int) type.len, type.data, (int) request->body.len,
                        request->body.data);
    if (str_to_i64(str_sub(request->path, 1, 3), 200, 599, &status) < 0)
        status = 200;
    response->status = (int) status;
    if (status == 302)
        http_response_header(response, "Location", STR_C("/200/moved"));
    buf_add_c(&response->body, "a pear");
    return 0;
}

static const char *in_folder(const World *world, const char *name)
{
    static char path[400];

    (void) snprintf(path, sizeof(path), "%s/%s", world->folder, name);
    return path;
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    ASSERT(file);
    (void) fputs(text, file);
    (void) fclose(file);
}

static bool holds(const char *path, const char *text)
{
    char got[200] = "";
    FILE *file = fopen(path, "r");

    if (!file)
        return false;
    (void) !fread(got, 1, sizeof(got) - 1, file);
    (void) fclose(file);
    return strcmp(got, text) == 0;
}

/* How many names the folder has, hidden ones counted. */
static int count_names(const char *path)
{
    DIR *dir = opendir(path);
    int n = -2; /* the folder itself and the one above */

    ASSERT(dir);
    while (readdir(dir))
        n++;
    (void) closedir(dir);
    return n;
}

SUSPENDS static int world_main(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Listener *listener = NULL;
    NetAddress address;
    char text[NET_ADDRESS_TEXT_MAX];

    EXPECT_OK(http_client_global_init());
    EXPECT_OK(net_address_parse(STR_C("127.0.0.1:0"), &address));
    EXPECT_OK(listener_open(&address, NULL, &listener));
    EXPECT_OK(http_server_start(&world->server, nursery, listener,
                                &(HttpServerOpts){ .ctx = world, .on_request = on_request }));
    EXPECT_OK(http_client_start(&world->client, nursery, NULL));
    (void) snprintf(world->base, sizeof(world->base), "http://%s",
                    listener_address(listener, text).data);
    world->check(world);
    http_client_stop(world->client);
    http_server_stop(world->server, 0);
    listener_close(listener);
    arena_deinit(&world->arena);
    return 0;
}

static void run_world(void (*check)(World *))
{
    static int count;
    World world = { .check = check };

    (void) snprintf(world.folder, sizeof(world.folder), "%s/jobs%d", test_dir(), ++count);
    ASSERT(mkdir(world.folder, 0700) == 0);
    ASSERT(mkdir(in_folder(&world, "small"), 0700) == 0);
    write_text(in_folder(&world, "a.jpg"), "an apple");
    write_text("outside", "a secret");
    ASSERT(symlink("../outside", in_folder(&world, "link.jpg")) == 0);
    ASSERT(symlink("..", in_folder(&world, "up")) == 0);
    ASSERT(symlink("a.jpg", in_folder(&world, "inner.jpg")) == 0);
    ASSERT(mkfifo(in_folder(&world, "fifo"), 0600) == 0);
    EXPECT_OK(sl_run(world_main, &world, .stall_ms = -1));
    (void) unlink(in_folder(&world, "link.jpg"));
    (void) unlink("outside");
}

#define CARRY_TEST(name)                    \
    static void name##_check(World *world); \
    TEST(name)                              \
    {                                       \
        run_world(name##_check);            \
    }                                       \
    SUSPENDS static void name##_check(World *world)

static HttpClient *world_http(Task *task)
{
    return CONTAINER_OF(task, World, task)->client;
}

static const TaskOps ops = { .http = world_http };

/* A task below the world's folder. */
static Task *begin(World *world)
{
    world->task = (Task){ .ops = &ops,
                          .job_id = "",
                          .type = "image",
                          .attempt = 1,
                          .files_dir = world->folder,
                          .arena = &world->arena };
    return &world->task;
}

/* PLACE; with a slash at its beginning, at the server. */
static Str place_at(World *world, const char *place)
{
    return arena_printf(&world->arena, "%s%s", place[0] == '/' ? world->base : "", place);
}

SUSPENDS static int load(World *world, const char *source)
{
    ImageArgs args = { .source = place_at(world, source) };

    return image_load(begin(world), &args);
}

/* Deliver N outputs, named "s" and "l". */
SUSPENDS static int deliver(World *world, uint32_t n, const char *destination)
{
    ImageArgs args = { .destination = place_at(world, destination) };
    Task *task = begin(world);

    task->n_outputs = n;
    task->outputs[0] = (TaskBlob){ .bytes = STR("small"), .name = "s", .media_type = "image/webp" };
    task->outputs[1] = (TaskBlob){ .bytes = STR(LARGE), .name = "l", .media_type = "image/png" };
    return image_deliver(task, &args);
}

/* ---- sources --------------------------------------------------------------------------------- */

CARRY_TEST(reads_below_its_folder_only)
{
    static const char *const outside[] = { "link.jpg", "up/outside", "../outside", "small/../../x",
                                           "none.jpg", "small",      "fifo",       "." };

    EXPECT_OK(load(world, "a.jpg"));
    EXPECT_STR(world->task.input.bytes, STR_C("an apple"));
    EXPECT_OK(load(world, "inner.jpg"));
    EXPECT_OK(load(world, "small/../a.jpg"));
    for (size_t i = 0; i < ARRAY_LEN(outside); i++) {
        EXPECT_ERR(load(world, outside[i]), -ERR_NOT_FOUND, "source: there is no file");
        EXPECT_EQ(world->task.input.bytes.len, 0);
    }
    EXPECT_OK(load(world, "")); /* the input is the picture */
}

/* Without a folder jobs use no files, and trying again does not help; a person names any file. */
CARRY_TEST(uses_files_where_it_may)
{
    ImageArgs args = { .source = STR("a.jpg"), .destination = STR("b.jpg") };
    Task *task = begin(world);

    task->files_dir = NULL;
    EXPECT_ERR(image_load(task, &args), -TASK_FAILED, "images.jobs_folder");
    EXPECT(task->is_final);
    task->n_outputs = 1;
    task->outputs[0].bytes = (Str) STR("x");
    EXPECT_ERR(image_deliver(task, &args), -TASK_FAILED, "images.jobs_folder");
    task = begin(world);
    task->files_dir = NULL;
    task->is_foreground = true;
    args.source = str_from_c(in_folder(world, "a.jpg"));
    EXPECT_OK(image_load(task, &args));
    EXPECT_STR(task->input.bytes, STR_C("an apple"));
    args.source = (Str) STR("outside");
    EXPECT_OK(image_load(task, &args));
    EXPECT_STR(task->input.bytes, STR_C("a secret"));
}

/* Catches a job that is given up although its source may come back, or the other way round. */
CARRY_TEST(fetches_sources)
{
    EXPECT_OK(load(world, "/200/a.jpg"));
    EXPECT_STR(world->task.input.bytes, STR_C("a pear"));
    EXPECT_OK(load(world, "/302/a.jpg"));
    EXPECT_ERR(load(world, "/404/a.jpg"), -TASK_FAILED, "source: status 404");
    EXPECT(world->task.is_final);
    EXPECT_ERR(load(world, "/204/a.jpg"), -TASK_FAILED, "source: status 204");
    EXPECT_ERR(load(world, "/503/a.jpg"), -ERR_HTTP_STATUS, "source: status 503");
    EXPECT(!world->task.is_final);
    EXPECT_ERR(load(world, "/429/a.jpg"), -ERR_HTTP_STATUS, "source: status 429");
    EXPECT_EQ(world->task.input.bytes.len, 0);
}

/* ---- destinations ---------------------------------------------------------------------------- */

CARRY_TEST(writes_below_its_folder_only)
{
    static const char *const outside[] = { "up/b.webp", "up/none/b.webp",
                                           "../b.webp", "small/../../b.webp",
                                           "small/",    ".hidden",
                                           "small/.." };
    int before = count_names(world->folder);

    for (size_t i = 0; i < ARRAY_LEN(outside); i++)
        EXPECT_ERR(deliver(world, 1, outside[i]), -ERR_FORBIDDEN, "destination: ");
    EXPECT_ERR(deliver(world, 1, "a.jpg/b.webp"), -ENOTDIR, "destination: ");
    EXPECT(access("b.webp", F_OK) != 0 && access("none", F_OK) != 0);
    EXPECT_EQ(count_names(world->folder), before);
    EXPECT_EQ(count_names(in_folder(world, "small")), 0);
    EXPECT_OK(deliver(world, 1, "small/b.webp"));
    EXPECT(holds(in_folder(world, "small/b.webp"), "small"));
    EXPECT_EQ(count_names(in_folder(world, "small")), 1);
    EXPECT_OK(deliver(world, 1, "new/deep/b.webp"));
    EXPECT(holds(in_folder(world, "new/deep/b.webp"), "small"));
    EXPECT_OK(deliver(world, 1, ""));
}

/* A job may run twice. A link at the destination is replaced, not followed. */
CARRY_TEST(writes_over_what_is_there)
{
    struct stat st;

    write_text(in_folder(world, "small/b.webp"), "what was there");
    EXPECT_OK(deliver(world, 1, "small/b.webp"));
    EXPECT_OK(deliver(world, 1, "small/b.webp"));
    EXPECT(holds(in_folder(world, "small/b.webp"), "small"));
    EXPECT_OK(deliver(world, 1, "link.jpg"));
    EXPECT(holds("outside", "a secret"));
    EXPECT(lstat(in_folder(world, "link.jpg"), &st) == 0 && S_ISREG(st.st_mode));
    EXPECT_ERR(deliver(world, 1, "small"), -EISDIR, "destination: ");
    EXPECT_EQ(count_names(in_folder(world, "small")), 1);
}

CARRY_TEST(names_several_outputs)
{
    EXPECT_OK(deliver(world, 2, "small/{name}-{name}.webp"));
    EXPECT(holds(in_folder(world, "small/s-s.webp"), "small"));
    EXPECT(holds(in_folder(world, "small/l-l.webp"), LARGE));
    EXPECT_ERR(deliver(world, 2, "small/b.webp"), -TASK_FAILED, "{name}");
    EXPECT(world->task.is_final);
    EXPECT_EQ(count_names(in_folder(world, "small")), 2);
}

/* Catches half a file, and litter, after the disk has failed in the middle. */
CARRY_TEST(leaves_no_half_file)
{
    struct rlimit limit, before;

    write_text(in_folder(world, "small/l"), "what was there");
    ASSERT(getrlimit(RLIMIT_FSIZE, &before) == 0);
    (void) signal(SIGXFSZ, SIG_IGN);
    limit = (struct rlimit){ .rlim_cur = sizeof(LARGE) / 2, .rlim_max = before.rlim_max };
    ASSERT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    EXPECT_ERR(deliver(world, 2, "small/{name}"), -EFBIG, "destination: ");
    ASSERT(setrlimit(RLIMIT_FSIZE, &before) == 0);
    EXPECT(holds(in_folder(world, "small/s"), "small"));
    EXPECT(holds(in_folder(world, "small/l"), "what was there"));
    EXPECT_EQ(count_names(in_folder(world, "small")), 2);
}

CARRY_TEST(puts_to_urls)
{
    size_t calls;

    EXPECT_OK(deliver(world, 1, "/201/b.webp"));
    EXPECT(strcmp(world->put, "/201/b.webp image/webp small") == 0);
    EXPECT_OK(deliver(world, 2, "/204/{name}.webp"));
    EXPECT(strcmp(world->put, "/204/l.webp image/png " LARGE) == 0);
    EXPECT_ERR(deliver(world, 1, "/403/b.webp"), -TASK_FAILED, "destination: status 403");
    EXPECT(world->task.is_final);
    calls = world->calls;
    EXPECT_ERR(deliver(world, 1, "/302/b.webp"), -TASK_FAILED, "status 302"); /* not followed */
    EXPECT_EQ(world->calls, calls + 1);
    EXPECT_ERR(deliver(world, 2, "/500/{name}"), -ERR_HTTP_STATUS, "destination: status 500");
    EXPECT(!world->task.is_final);
    EXPECT_EQ(world->calls, calls + 2); /* the second one is not tried */
}

TEST_MAIN()
