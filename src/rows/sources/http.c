/*
 * http: rows that programs post, through the engine's API or a listener of the source's own.
 *
 * Without `listen` the source opens a door under its pipeline's name, and the engine's routes lead
 * there: /v1/ingest/{pipeline}, /write and /api/v2/write. With `listen` it serves the same paths on
 * an address of its own, as a terminal needs it. Either way a writer is answered after the commit.
 *
 * The end: nothing more is taken, requests that are taken wait for their commit, and only then does
 * run return. When the pipeline cannot wait any longer they are told that nobody knows.
 */
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "net/http_server.h"
#include "rows/ingest_influx.h"
#include "rows/intake.h"
#include "rows/source.h"
#include "rows/source_tls.h"

#include <stdio.h>

extern const SourceDriver source_http;

#define FAREWELL_MS 2000 /* for answers that are on their way when the source ends */

typedef struct HttpArgs {
    Str listen;
    Str token;
    Str tls_cert;
    Str tls_key;
    Str tls_ca;
    int64_t max_body;
    int64_t wait_ms;
    int64_t commit_ms;
    int64_t connections;
} HttpArgs;

static const SchemaField http_fields[] = {
    FIELD_STR(HttpArgs, listen,
              "address of a listener of its own; without it the engine's API takes the rows",
              .holder = "ADDR:PORT"),
    FIELD_STR(
        HttpArgs, token,
        "what writers must show: as Authorization: Token or Bearer, as the password of Basic, "
        "or as ?p=",
        .is_secret = true, .range = RANGE(0, 512)),
    FIELD_INT(HttpArgs, max_body, "bytes of one body, decompressed; larger ones are answered 413",
              .range = RANGE(1024, 1 << 30), .default_text = "33554432"),
    FIELD_DURATION(HttpArgs, wait_ms, "wait",
                   "how long a body waits for room before the writer is told to come again",
                   .range = RANGE(1, 3600000), .default_text = "5s"),
    FIELD_DURATION(HttpArgs, commit_ms, "commit_wait",
                   "how long a writer waits for the commit before it is told that it takes longer",
                   .range = RANGE(1, 3600000), .default_text = "60s"),
    FIELD_INT(HttpArgs, connections, "connections of its own listener at once",
              .range = RANGE(1, 100000), .default_text = "1000"),
    FIELD_STR(HttpArgs, tls_cert, "file with the listener's certificate, PEM: it speaks HTTPS then",
              .holder = "FILE"),
    FIELD_STR(HttpArgs, tls_key, "file with its key, PEM", .holder = "FILE"),
    FIELD_STR(HttpArgs, tls_ca,
              "file with authorities, PEM: writers must show a certificate of one",
              .holder = "FILE"),
};

static SourceTls tls_of(const HttpArgs *args)
{
    return (SourceTls){ .cert = args->tls_cert, .key = args->tls_key, .ca = args->tls_ca };
}

static const char *check_http(const void *value)
{
    const HttpArgs *args = value;
    SourceTls tls = tls_of(args);

    if (args->tls_cert.len > 0 && args->listen.len == 0)
        return "tls_cert goes with listen";
    return source_tls_check(&tls);
}

static const Schema http_args = SCHEMA(HttpArgs, http_fields, "Settings of the source http",
                                       .check = check_http);

STATIC_ASSERT(LIMIT_INGEST_BODY_BYTES == 33554432, "the default of max_body says so");
STATIC_ASSERT(LIMIT_DOOR_WAIT_MS == 5000 && LIMIT_DOOR_COMMIT_MS == 60000,
              "the defaults of wait and commit_wait say so");

typedef struct HttpSource {
    Source *source;
    const HttpArgs *args;
    Intake *intake;
    Doors *doors; /* the engine's, or its own with a listener */
    Door *door;
    Listener *listener;
    TlsContext *tls;
    HttpServer *server;
    sl_nursery *nursery; /* of the server; NULL without one */
} HttpSource;

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    HttpSource *http = ctx;

    return ingest_serve(http->doors, request, response);
}

static void on_error(void *ctx, const HttpRequest *request, HttpResponse *response, int status,
                     const Err *err)
{
    (void) ctx;
    ingest_serve_error(request, response, status, err);
}

SUSPENDS static int listen_on(HttpSource *http)
{
    HttpServerOpts opts = { .ctx = http,
                            .on_request = on_request,
                            .on_error = on_error,
                            .connections_max = (size_t) http->args->connections,
                            .body_bytes_max = (size_t) http->args->max_body };
    SourceTls tls = tls_of(http->args);
    NetAddress address;
    int r = net_address_parse(http->args->listen, &address);

    if (r == 0)
        r = source_tls_open(&tls, &http->tls);
    if (r == 0)
        r = listener_open(&address, NULL, &http->listener);
    if (r < 0)
        return r;
    opts.tls = http->tls;
    http->nursery = sl_nursery_open(.name = "source http", .keep_going = true);
    return http_server_start(&http->server, http->nursery, http->listener, &opts);
}

static void say_where(const HttpSource *http)
{
    char address[NET_ADDRESS_TEXT_MAX], text[NET_ADDRESS_TEXT_MAX + 32];

    if (!http->listener) {
        source_say(http->source, true, "takes rows over the engine's API");
        return;
    }
    (void) snprintf(text, sizeof(text), "listens on %s",
                    listener_address(http->listener, address).data);
    source_say(http->source, true, text);
}

SUSPENDS static int http_open(HttpSource *http)
{
    Source *source = http->source;
    int r;

    if (http->args->listen.len > 0)
        http->doors = doors_new();
    else
        http->doors = source->doors;
    if (!http->doors)
        return fail(-ERR_INVALID, "http: give it an address to listen on; the engine's API is "
                                  "there only for pipelines of `sluice up`");
    r = door_open(http->doors, source->pipeline, intake_offer, http->intake, &http->door);
    if (r == 0 && http->args->listen.len > 0)
        r = listen_on(http);
    if (r < 0)
        return wrap(r, "http");
    say_where(http);
    return 0;
}

SUSPENDS static void http_close(HttpSource *http)
{
    if (http->server)
        http_server_drain(http->server);
    intake_give_up(http->intake);
    door_close(http->door);
    http_server_stop(http->server, FAREWELL_MS);
    sl_nursery_close(http->nursery);
    listener_close(http->listener);
    source_tls_close(http->tls);
    if (http->doors != http->source->doors)
        doors_free(http->doors);
    intake_free(http->intake);
}

SUSPENDS static int http_run(Source *source)
{
    const HttpArgs *args = source->args;
    IntakeOpts opts = { .token = args->token,
                        .body_bytes_max = (size_t) args->max_body,
                        .wait_ms = args->wait_ms,
                        .commit_ms = args->commit_ms };
    HttpSource http = { .source = source, .args = args, .intake = intake_new(source, &opts) };
    int r = http_open(&http);

    if (r == 0)
        r = sl_event_wait(source->stopping);
    if (r == 0) {
        door_shut(http.door);
        intake_stop(http.intake);
        r = intake_drain(http.intake);
    }
    http_close(&http);
    return r == -ECANCELED ? 0 : r;
}

static int http_from_text(Str text, Buf *out)
{
    return source_from_url(&source_http, "listen", text, out);
}

const SourceDriver source_http = {
    .name = "http",
    .summary = "rows that programs post: line protocol as InfluxDB takes it, JSON, NDJSON, CSV",
    .schemes = { "http://" },
    .args = &http_args,
    .from_text = http_from_text,
    .format = DECODE_AUTO,
    .is_acknowledged = true,
    .is_endless = true,
    .is_local = true, /* it listens on this machine */
    .run = http_run,
};
