/*
 * The HTTP server's life over real sockets and simulated ones: serving many at once, turning away
 * what is too many, running out of descriptors, watching clients that leave, draining and stopping.
 */
#include "net/http_server.h"

#include "net/sim_net.h"

#include "base/macro.h"
#include "base/mem.h"
#include "base/test.h"

#include <sluice/rt.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define ASK(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

typedef struct World {
    HttpServerOpts opts;
    SUSPENDS void (*check)(struct World *world);
    const char *listen; /* an address, or "sim" */

    sl_nursery *nursery;
    SimNet *net;
    Listener *listener;
    HttpServer *server;
    sl_event go;    /* "/hold" waits for it */
    size_t holding; /* requests that do */
    size_t gone;    /* watched clients that left */
    size_t cut;     /* handlers that were cancelled */
    size_t done;
} World;

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    World *world = ctx;
    int r = 0;

    if (str_eq_c(request->path, "/watch"))
        r = http_request_watch(request);
    if (r == 0 && (str_eq_c(request->path, "/watch") || str_eq_c(request->path, "/hold"))) {
        world->holding++;
        r = sl_event_wait(&world->go);
        world->holding--;
        world->gone += http_request_is_gone(request);
        world->cut += r == -ECANCELED;
    }
    if (str_eq_c(request->path, "/huge"))
        for (int i = 0; i < 100000; i++)
            buf_add_c(&response->body, "0123456789");
    buf_add_c(&response->body, "served");
    return r;
}

static void on_done(void *ctx, const HttpRequest *request, int status, uint64_t body_bytes,
                    int64_t took_ns)
{
    World *world = ctx;

    (void) request;
    (void) took_ns;
    world->done += status == 200 && body_bytes == 6;
}

SUSPENDS static int world_main(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    AUTO(sim_net_free) SimNet *net = sim_net_new(NULL);
    NetAddress address;
    int r;

    world->nursery = nursery;
    world->net = net;
    world->opts.ctx = world;
    world->opts.on_request = on_request;
    world->opts.on_done = on_done;
    if (strcmp(world->listen, "sim") == 0) {
        r = sim_net_listen(net, "sim", &world->listener);
    } else {
        r = net_address_parse(str_from_c(world->listen), &address);
        if (r == 0)
            r = listener_open(&address, NULL, &world->listener);
    }
    if (r == 0)
        r = http_server_start(&world->server, nursery, world->listener, &world->opts);
    if (r < 0)
        return r;
    world->check(world);
    http_server_stop(world->server, 1000);
    r = sl_nursery_join(nursery);
    listener_close(world->listener);
    return r;
}

static void run(SUSPENDS void (*check)(World *world), const char *listen,
                const HttpServerOpts *opts)
{
    static const enum sl_loop_kind loops[] = { SL_LOOP_EPOLL, SL_LOOP_URING, SL_LOOP_SIM };
    bool is_sim = strcmp(listen, "sim") == 0;

    for (size_t i = 0; i < ARRAY_LEN(loops); i++) {
        World world = { .check = check, .listen = listen };
        int r;

        if (is_sim != (loops[i] == SL_LOOP_SIM))
            continue;
        if (opts)
            world.opts = *opts;
        r = sl_run(world_main, &world, .loop = loops[i]);
        if (r == -ERR_UNSUPPORTED && loops[i] == SL_LOOP_URING)
            continue;
        EXPECT_OK(r);
    }
}

SUSPENDS static Stream *dial(World *world)
{
    Stream *stream = NULL;
    int r = strcmp(world->listen, "sim") == 0 ? sim_net_connect(world->net, "sim", &stream)
                                              : stream_connect(&world->listener->address, &stream);

    EXPECT_OK(r);
    return stream;
}

/* Send INPUT (NULL: nothing more) and read until "served" has come or the stream ends. */
SUSPENDS static Str ask(Stream *stream, const char *input, char out[static 1000])
{
    size_t len = 0;
    ssize_t n;

    if (input && stream_write_all(stream, input, strlen(input)) < 0)
        return str_from_c("(cannot write)");
    while (len < 999) {
        n = stream_read(stream, out + len, 999 - len);
        if (n <= 0)
            break;
        len += (size_t) n;
        if (str_ends(str_from(out, len), STR_C("served")))
            break;
    }
    out[len] = 0;
    return str_from(out, len);
}

/* Let the others run until *COUNT is WANT. */
SUSPENDS static void wait_count(const size_t *count, size_t want)
{
    for (int i = 0; i < 5000 && *count != want; i++)
        (void) sl_sleep_ms(1);
    EXPECT_EQ(*count, want);
}

/* ---- many ------------------------------------------------------------------------------------ */

SUSPENDS static int ask_often(void *arg)
{
    World *world = arg;
    SL_CLEANUP(stream_close_auto_) Stream *stream = dial(world);
    char out[1000];

    for (int i = 0; i < 20; i++)
        EXPECT(str_starts(ask(stream, ASK("/"), out), STR_C("HTTP/1.1 200 OK")));
    return 0;
}

SUSPENDS static void check_many(World *world)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    HttpServerStats stats;

    for (int i = 0; i < 50; i++)
        sl_spawn(nursery, ask_often, world);
    EXPECT_OK(sl_nursery_join(nursery));
    wait_count(&world->done, 1000);
    http_server_stats(world->server, &stats);
    EXPECT_EQ(stats.accepted, 50);
    EXPECT_EQ(stats.requests, 1000);
    EXPECT(stats.working_sets <= 50);
}

/* Catches connections that get in each other's way, on every carrier. */
TEST(serves_many)
{
    run(check_many, "127.0.0.1:0", NULL);
    run(check_many, "[::1]:0", NULL);
    run(check_many, "unix:life.sock", NULL);
    run(check_many, "sim", NULL);
    EXPECT(access("life.sock", F_OK) < 0); /* the file goes with its listener */
}

SUSPENDS static void check_too_many(World *world)
{
    SL_CLEANUP(stream_close_auto_) Stream *a = dial(world);
    SL_CLEANUP(stream_close_auto_) Stream *b = dial(world);
    SL_CLEANUP(stream_close_auto_) Stream *c = NULL;
    HttpServerStats stats;
    char out[1000];

    EXPECT(str_starts(ask(a, ASK("/"), out), STR_C("HTTP/1.1 200 OK")));
    EXPECT(str_starts(ask(b, ASK("/"), out), STR_C("HTTP/1.1 200 OK")));
    c = dial(world);
    EXPECT(str_starts(ask(c, NULL, out), STR_C("HTTP/1.1 503 Service Unavailable")));
    EXPECT(
        str_starts(ask(a, ASK("/"), out), STR_C("HTTP/1.1 200 OK"))); /* the others do not notice */
    http_server_stats(world->server, &stats);
    EXPECT_EQ(stats.refused, 1);
    EXPECT_EQ(stats.connections, 2);
}

/* Catches a limit that is none. */
TEST(turns_away_what_is_too_many)
{
    run(check_too_many, "127.0.0.1:0", &(HttpServerOpts){ .connections_max = 2 });
    run(check_too_many, "sim", &(HttpServerOpts){ .connections_max = 2 });
}

SUSPENDS static void check_descriptors(World *world)
{
    SL_CLEANUP(stream_close_auto_) Stream *before = dial(world);
    SL_CLEANUP(stream_close_auto_) Stream *refused = NULL;
    SL_CLEANUP(stream_close_auto_) Stream *after = NULL;
    int hogs[256];
    size_t n_hogs = 0;
    struct rlimit old, low;
    char out[1000];

    EXPECT(str_starts(ask(before, ASK("/"), out), STR_C("HTTP/1.1 200 OK")));
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = 128;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n_hogs < ARRAY_LEN(hogs) &&
           (hogs[n_hogs] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n_hogs++;
    close(hogs[--n_hogs]); /* one for the client's own end */
    refused = dial(world);
    EXPECT_EQ(ask(refused, NULL, out).len, 0);
    EXPECT_EQ(world->listener->refused, 1);
    EXPECT(str_starts(ask(before, ASK("/"), out), STR_C("HTTP/1.1 200 OK")));
    while (n_hogs > 0)
        close(hogs[--n_hogs]);
    after = dial(world);
    EXPECT(str_starts(ask(after, ASK("/"), out), STR_C("HTTP/1.1 200 OK")));
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
}

/* Catches a server that spins, dies or forgets to accept when descriptors have run out. */
TEST(survives_without_descriptors)
{
    run(check_descriptors, "127.0.0.1:0", NULL);
}

/* ---- watching -------------------------------------------------------------------------------- */

SUSPENDS static void check_watch(World *world)
{
    SL_CLEANUP(stream_close_auto_) Stream *stays = dial(world);
    SL_CLEANUP(stream_close_auto_) Stream *sends = dial(world);
    Stream *leaves = dial(world);
    char out[1000];

    EXPECT_OK(stream_write_all(leaves, ASK("/watch"), strlen(ASK("/watch"))));
    EXPECT_OK(stream_write_all(stays, ASK("/") ASK("/watch"), strlen(ASK("/") ASK("/watch"))));
    EXPECT_OK(stream_write_all(sends, ASK("/watch"), strlen(ASK("/watch"))));
    /* The answer before the one that waits is not held back by it. */
    EXPECT(str_starts(ask(stays, NULL, out), STR_C("HTTP/1.1 200 OK")));
    wait_count(&world->holding, 3);
    stream_close(leaves);
    wait_count(&world->gone, 1);
    wait_count(&world->holding, 2);
    EXPECT_OK(
        stream_write_all(sends, ASK("/"), strlen(ASK("/")))); /* ends the watch, not the wait */
    (void) sl_sleep_ms(2);
    sl_event_set(&world->go);
    EXPECT(str_starts(ask(stays, NULL, out), STR_C("HTTP/1.1 200 OK")));
    EXPECT(str_starts(ask(sends, NULL, out), STR_C("HTTP/1.1 200 OK")));
    wait_count(&world->done, 4);
    EXPECT(str_starts(ask(stays, ASK("/"), out), STR_C("HTTP/1.1 200 OK")));
    EXPECT_EQ(world->gone, 1);
}

/* Catches a long poll that outlives its client, and one that is cut because it pipelines. */
TEST(watches_clients)
{
    run(check_watch, "127.0.0.1:0", NULL);
    run(check_watch, "sim", NULL);
}

SUSPENDS static void check_lazy(World *world)
{
    SL_CLEANUP(stream_close_auto_) Stream *stream = dial(world);
    HttpServerStats stats;

    EXPECT_OK(stream_write_all(stream, ASK("/huge"), strlen(ASK("/huge"))));
    (void) sl_sleep_ms(29000);
    http_server_stats(world->server, &stats);
    EXPECT_EQ(stats.connections, 1);
    (void) sl_sleep_ms(2000);
    http_server_stats(world->server, &stats);
    EXPECT_EQ(stats.connections, 0);
}

/* Catches an answer that is held for ever for a client that does not read it. */
TEST(cuts_clients_that_do_not_read)
{
    run(check_lazy, "sim", NULL);
}

/* ---- the end --------------------------------------------------------------------------------- */

SUSPENDS static void check_drain(World *world)
{
    SL_CLEANUP(stream_close_auto_) Stream *idle = dial(world);
    SL_CLEANUP(stream_close_auto_) Stream *busy = dial(world);
    Stream *late = NULL;
    char out[1000];
    Str answer;
    int r;

    EXPECT(str_starts(ask(idle, ASK("/"), out), STR_C("HTTP/1.1 200 OK")));
    EXPECT_OK(stream_write_all(busy, ASK("/hold"), strlen(ASK("/hold"))));
    wait_count(&world->holding, 1);
    http_server_drain(world->server);
    EXPECT(http_server_is_draining(world->server));
    EXPECT_EQ(ask(idle, NULL, out).len, 0); /* closed */
    sl_event_set(&world->go);
    answer = ask(busy, NULL, out);
    EXPECT(str_starts(answer, STR_C("HTTP/1.1 200 OK")));
    EXPECT(strstr(out, "Connection: close\r\n"));
    EXPECT_EQ(ask(busy, NULL, out).len, 0);
    if (strcmp(world->listen, "sim") != 0) {
        /* The kernel's queue may still take a connection; nobody serves it. */
        r = stream_connect(&world->listener->address, &late);
        if (r == 0)
            EXPECT_EQ(stream_try_read(late, out, 1), -EAGAIN);
        stream_close(late);
    }
}

/* Catches a drain that cuts answers, or waits for idle clients. */
TEST(drains)
{
    run(check_drain, "127.0.0.1:0", NULL);
    run(check_drain, "sim", NULL);
}

SUSPENDS static int stop_now(void *arg)
{
    World *world = arg;

    http_server_stop(TAKE(world->server), 5);
    return 0;
}

SUSPENDS static void check_stop(World *world)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    SL_CLEANUP(stream_close_auto_) Stream *busy = dial(world);
    SL_CLEANUP(stream_close_auto_) Stream *watched = dial(world);
    SL_CLEANUP(stream_close_auto_) Stream *half = dial(world);
    char out[1000];

    EXPECT_OK(stream_write_all(busy, ASK("/hold"), strlen(ASK("/hold"))));
    EXPECT_OK(stream_write_all(watched, ASK("/watch"), strlen(ASK("/watch"))));
    EXPECT_OK(stream_write_all(half, "GET / HT", 8));
    wait_count(&world->holding, 2);
    sl_spawn(nursery, stop_now, world);
    EXPECT(str_starts(ask(busy, NULL, out), STR_C("HTTP/1.1 503 Service Unavailable")));
    EXPECT(strstr(out, "Connection: close\r\n"));
    EXPECT(str_starts(ask(watched, NULL, out), STR_C("HTTP/1.1 503 Service Unavailable")));
    EXPECT_EQ(ask(half, NULL, out).len, 0);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(world->cut, 2);
    EXPECT_EQ(world->gone, 0);
}

/* Catches a stop that hangs on a handler, or tells its client nothing. */
TEST(stops_within_its_grace)
{
    run(check_stop, "127.0.0.1:0", NULL);
    run(check_stop, "sim", NULL);
}

/* ---- listeners ------------------------------------------------------------------------------- */

SUSPENDS static int check_listeners(void *arg)
{
    AUTO(listener_close) Listener *first = NULL;
    AUTO(listener_close) Listener *second = NULL;
    AUTO(listener_close) Listener *third = NULL;
    AUTO(listener_close) Listener *path = NULL;
    NetAddress address, unix_address;
    char text[NET_ADDRESS_TEXT_MAX], want[64];

    (void) arg;
    EXPECT_OK(net_address_parse(STR_C("127.0.0.1:0"), &address));
    EXPECT_OK(listener_open(&address, NULL, &first));
    EXPECT(net_address_port(&first->address) != 0);
    (void) snprintf(want, sizeof(want), "127.0.0.1:%u", net_address_port(&first->address));
    EXPECT_C(listener_address(first, text).data, want);
    EXPECT_OK(listener_open(&first->address, NULL, &second)); /* SO_REUSEPORT: one for each loop */
    EXPECT_ERR(listener_open(&first->address, &(ListenerOpts){ .is_exclusive = true }, &third),
               -EADDRINUSE, want);

    EXPECT_OK(net_address_parse(STR_C("unix:twice.sock"), &unix_address));
    EXPECT_OK(listener_open(&unix_address, NULL, &path));
    EXPECT_ERR(listener_open(&unix_address, NULL, &third), -EADDRINUSE,
               "listen on unix:twice.sock");
    EXPECT_OK(listener_clone(path, &third));
    listener_close(TAKE(third));
    EXPECT_EQ(access("twice.sock", F_OK), 0); /* a clone leaves the file */
    close(path->fd);                          /* as a crash would */
    path->fd = -1;
    EXPECT_OK(listener_open(&unix_address, NULL, &third)); /* a dead socket's file is replaced */
    listener_close(TAKE(path));
    EXPECT_EQ(access("twice.sock", F_OK), 0); /* it is another's file by now */
    EXPECT_OK(net_address_parse(STR_C("unix:/no/such/folder/x"), &unix_address));
    EXPECT_ERR(listener_open(&unix_address, NULL, &path), -ENOENT,
               "listen on unix:/no/such/folder/x");
    return 0;
}

/* Catches listeners that take each other's place, or leave their files behind. */
TEST(listens)
{
    EXPECT_OK(sl_run(check_listeners, NULL, .loop = SL_LOOP_EPOLL));
}

TEST_MAIN()
