/*
 * tcp: rows over TCP connections that others make, or that it makes itself. What happens on a
 * connection is said in rows/line_stream.h.
 */
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "rows/line_stream.h"
#include "rows/source.h"
#include "rows/source_tls.h"

#include <stdio.h>

extern const SourceDriver source_tcp;

typedef struct TcpArgs {
    Str listen;
    Str connect;
    int64_t connections;
    int64_t idle_ms;
    Str tls_cert;
    Str tls_key;
    Str tls_ca;
} TcpArgs;

static const SchemaField tcp_fields[] = {
    FIELD_STR(TcpArgs, listen, "address to take connections on", .holder = "ADDR:PORT"),
    FIELD_STR(TcpArgs, connect, "address to connect to instead, again and again",
              .holder = "ADDR:PORT"),
    FIELD_INT(TcpArgs, connections, "at once; further ones are closed", .range = RANGE(1, 100000),
              .default_text = "1000"),
    FIELD_DURATION(TcpArgs, idle_ms, "idle",
                   "without a byte, after which a connection is closed; 0: never",
                   .range = RANGE(0, 86400000)),
    FIELD_STR(TcpArgs, tls_cert, "file with the certificate, PEM: connections are TLS then",
              .holder = "FILE"),
    FIELD_STR(TcpArgs, tls_key, "file with its key, PEM", .holder = "FILE"),
    FIELD_STR(TcpArgs, tls_ca, "file with authorities, PEM: clients must show a certificate of one",
              .holder = "FILE"),
};

static SourceTls tls_of(const TcpArgs *args)
{
    return (SourceTls){ .cert = args->tls_cert, .key = args->tls_key, .ca = args->tls_ca };
}

static const char *check_tcp(const void *value)
{
    const TcpArgs *args = value;
    SourceTls tls = tls_of(args);

    if ((args->listen.len > 0) == (args->connect.len > 0))
        return "either listen or connect must be given";
    if (args->connect.len > 0 && args->tls_cert.len > 0)
        return "tls_cert goes with listen";
    return source_tls_check(&tls);
}

static const Schema tcp_args = SCHEMA(TcpArgs, tcp_fields, "Settings of the source tcp",
                                      .check = check_tcp);

STATIC_ASSERT(LIMIT_LINE_CONNECTIONS == 1000, "the default of connections says so");

SUSPENDS static int listen_on(Source *source, const NetAddress *address, const LineStreamOpts *opts)
{
    char where[NET_ADDRESS_TEXT_MAX], text[NET_ADDRESS_TEXT_MAX + 32];
    AUTO(listener_close) Listener *listener = NULL;
    int r = listener_open(address, NULL, &listener);

    if (r < 0)
        return r;
    (void) snprintf(text, sizeof(text), "listens on %s", listener_address(listener, where).data);
    source_say(source, true, text);
    return line_stream_listen(source, listener, opts);
}

SUSPENDS static int tcp_run(Source *source)
{
    const TcpArgs *args = source->args;
    LineStreamOpts opts = { .connections_max = (size_t) args->connections,
                            .idle_ms = args->idle_ms };
    SourceTls tls = tls_of(args);
    bool is_client = args->connect.len > 0;
    NetAddress address;
    int r = net_address_parse(is_client ? args->connect : args->listen, &address);

    if (r == 0 && net_address_is_unix(&address))
        r = fail(-ERR_INVALID, "a path is for the source unix");
    if (r == 0)
        r = source_tls_open(&tls, &opts.tls);
    if (r == 0)
        r = is_client ? line_stream_connect(source, &address, &opts)
                      : listen_on(source, &address, &opts);
    source_tls_close(opts.tls);
    if (r == -ECANCELED)
        return 0;
    return r < 0 ? wrap(r, "tcp") : 0;
}

static int tcp_from_text(Str text, Buf *out)
{
    return source_from_url(&source_tcp, "listen", text, out);
}

const SourceDriver source_tcp = {
    .name = "tcp",
    .summary = "lines over TCP: line protocol unless format says otherwise",
    .schemes = { "tcp://" },
    .args = &tcp_args,
    .from_text = tcp_from_text,
    .format = DECODE_INFLUX,
    .is_endless = true,
    .is_local = true, /* it listens on this machine */
    .run = tcp_run,
};
