/*
 * For the client's tests: a client, and sites that answer byte by byte what a test says.
 *
 * Our own server sends proper HTTP; what a client must survive is the other kind. A site reads a
 * request's head and hands it with the connection to the test's function, which writes what it
 * likes. Each check runs on every loop that has descriptors.
 */
#pragma once

#include "base/macro.h"
#include "base/test.h"
#include "net/http_client.h"
#include "net/listener.h"

#include <sluice/rt.h>

#include <stdio.h>

#define SITES 2

typedef struct Site Site;

/* Answer a request, whose head (with the empty line) is HEAD. 0: read the next, else: close. */
typedef SUSPENDS int (*SiteServe)(Site *site, Stream *stream, Str head);

struct Site {
    Listener *listener;
    sl_nursery *nursery;
    SiteServe serve;
    char base[NET_ADDRESS_TEXT_MAX + 8]; /* "http://127.0.0.1:1234" */
    char port[8];
    size_t n_connections;
    size_t n_requests;
    size_t n_open;    /* connections now */
    size_t most_open; /* … at once */
    Buf seen;         /* all heads */
    bool is_raw;      /* `serve` gets each new connection at once, with an empty head */
    struct World *world;
};

typedef struct World {
    Site sites[SITES];
    sl_nursery *nursery;
    HttpClient *client;
    HttpClientOpts opts;
    SiteServe serve;
    bool is_started;
    bool has_raw; /* the second site is */
    SUSPENDS void (*check)(struct World *world);
} World;

typedef struct SiteConn {
    Site *site;
    Stream *stream;
} SiteConn;

SUSPENDS static inline int site_conn(void *arg)
{
    SiteConn conn = *(SiteConn *) arg;
    Site *site = conn.site;
    AUTO(buf_deinit) Buf in = { 0 };
    int r = 0;

    mem_free(arg);
    site->n_connections++;
    site->n_open++;
    site->most_open = MAX(site->most_open, site->n_open);
    if (site->is_raw)
        r = site->serve(site, conn.stream, str_from("", 0)) + 1;
    while (r == 0) {
        char *end = in.len > 0 ? memmem(in.data, in.len, "\r\n\r\n", 4) : NULL;
        ssize_t n;

        if (end) {
            size_t len = (size_t) (end - in.data) + 4;

            site->n_requests++;
            buf_add(&site->seen, in.data, len);
            r = site->serve(site, conn.stream, str_from(in.data, len));
            buf_consume(&in, len);
            continue;
        }
        n = stream_read(conn.stream, buf_reserve(&in, 4096), 4096);
        if (n <= 0)
            break;
        in.len += (size_t) n;
    }
    site->n_open--;
    stream_close(conn.stream);
    return 0;
}

SUSPENDS static inline int site_accept(void *arg)
{
    Site *site = arg;
    Stream *stream;
    int r;

    while ((r = listener_accept(site->listener, &stream)) == 0) {
        SiteConn *conn = mem_new(SiteConn);

        *conn = (SiteConn){ .site = site, .stream = stream };
        sl_spawn(site->nursery, site_conn, conn, .name = "site connection");
    }
    return r;
}

SUSPENDS static inline int site_open(Site *site, SiteServe serve)
{
    char text[NET_ADDRESS_TEXT_MAX];
    NetAddress address;
    int r = net_address_parse(STR_C("127.0.0.1:0"), &address);

    site->serve = serve;
    if (r == 0)
        r = listener_open(&address, NULL, &site->listener);
    if (r < 0)
        return r;
    (void) snprintf(site->base, sizeof(site->base), "http://%s",
                    listener_address(site->listener, text).data);
    (void) snprintf(site->port, sizeof(site->port), "%s", strrchr(site->base, ':') + 1);
    site->nursery = sl_nursery_open(.name = "site", .keep_going = true);
    return sl_spawn(site->nursery, site_accept, site, .name = "site");
}

SUSPENDS static inline void site_close(Site *site)
{
    sl_nursery_cancel(site->nursery);
    sl_nursery_close(site->nursery);
    listener_close(site->listener);
    buf_deinit(&site->seen);
}

SUSPENDS static inline int world_main(void *arg)
{
    World *world = arg;
    int r;

    world->is_started = true;
    for (size_t i = 0; i < SITES; i++) {
        world->sites[i].world = world;
        world->sites[i].is_raw = world->has_raw && i == 1;
        EXPECT_OK(site_open(&world->sites[i], world->serve));
    }
    world->nursery = sl_nursery_open(.name = "world");
    r = http_client_start(&world->client, world->nursery, &world->opts);
    EXPECT_OK(r);
    if (r == 0) {
        world->check(world);
        http_client_stop(world->client);
    }
    sl_nursery_close(world->nursery);
    for (size_t i = SITES; i > 0; i--)
        site_close(&world->sites[i - 1]);
    return 0;
}

static inline void world_run_with(World template, const HttpClientOpts *opts)
{
    static const enum sl_loop_kind loops[] = { SL_LOOP_EPOLL, SL_LOOP_URING };

    for (size_t i = 0; i < ARRAY_LEN(loops); i++) {
        World world = template;
        int r;

        if (opts)
            world.opts = *opts;
        r = sl_run(world_main, &world, .loop = loops[i]);
        if (!world.is_started && loops[i] == SL_LOOP_URING)
            continue; /* the machine has none */
        EXPECT_OK(r);
    }
}

static inline void world_run(void (*check)(World *world), SiteServe serve,
                             const HttpClientOpts *opts)
{
    world_run_with((World){ .check = check, .serve = serve }, opts);
}

/* The path in a request's head. */
static inline Str head_path(Str head)
{
    Str rest, path;

    (void) str_cut(head, ' ', &rest);
    path = str_cut(rest, ' ', &rest);
    return path;
}

static inline bool head_has(Str head, const char *part)
{
    return str_contains(head, str_from_c(part));
}

SUSPENDS static inline int site_say(Stream *stream, const char *text)
{
    return stream_write_all(stream, text, strlen(text));
}

/* A plain answer with BODY, and "Name: value\r\n" lines in HEADERS. */
SUSPENDS static inline int site_answer(Stream *stream, const char *status, const char *headers,
                                       Str body)
{
    AUTO(buf_deinit) Buf out = { 0 };

    buf_printf(&out, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status, headers, body.len);
    buf_add_str(&out, body);
    return stream_write_all(stream, out.data, out.len);
}

/* BASE and PATH as a URL in OUT. */
static inline Str url_at(const char *base, const char *path, char out[static 300])
{
    return str_from(out, (size_t) snprintf(out, 300, "%s%s", base, path));
}
