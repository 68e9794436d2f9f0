/*
 * unix: rows over a Unix socket, as a stream (rows/line_stream.h) or as datagrams
 * (rows/datagrams.h). Who may write is what the mode of the socket's file says.
 */
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "rows/datagrams.h"
#include "rows/line_stream.h"
#include "rows/source.h"

#include <stdio.h>

extern const SourceDriver source_unix;

enum { KIND_STREAM, KIND_DATAGRAM };

static const char *const kind_names[] = { "stream", "datagram", NULL };

typedef struct UnixArgs {
    Str path;
    int kind;
    Str mode;
    int64_t connections;
    int64_t idle_ms;
} UnixArgs;

static const SchemaField unix_fields[] = {
    FIELD_STR(UnixArgs, path, "of the socket's file; one that nobody serves is replaced",
              .is_required = true, .range = RANGE(1, 107), .holder = "PATH"),
    FIELD_ENUM(UnixArgs, kind, kind_names, "of the socket", .default_text = "stream"),
    FIELD_STR(UnixArgs, mode, "of its file, octal: who may write", .default_text = "0600",
              .range = RANGE(3, 4), .holder = "MODE"),
    FIELD_INT(UnixArgs, connections, "at once; further ones are closed", .range = RANGE(1, 100000),
              .default_text = "1000"),
    FIELD_DURATION(UnixArgs, idle_ms, "idle",
                   "without a byte, after which a connection is closed; 0: never",
                   .range = RANGE(0, 86400000)),
};

/* An octal mode; 0 when it is none. */
static unsigned mode_of(Str text)
{
    unsigned mode = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '7')
            return 0;
        mode = mode * 8 + (unsigned) (text.data[i] - '0');
    }
    return mode <= 0777 ? mode : 0;
}

static const char *check_unix(const void *value)
{
    const UnixArgs *args = value;

    return mode_of(args->mode) ? NULL : "mode must be octal, such as 0660";
}

static const Schema unix_args = SCHEMA(UnixArgs, unix_fields, "Settings of the source unix",
                                       .check = check_unix);

SUSPENDS static int run_stream(Source *source, const NetAddress *address, Str where)
{
    const UnixArgs *args = source->args;
    LineStreamOpts opts = { .connections_max = (size_t) args->connections,
                            .idle_ms = args->idle_ms,
                            .origin = where };
    AUTO(listener_close) Listener *listener = NULL;
    char text[NET_ADDRESS_TEXT_MAX + 32];
    int r = listener_open(address, &(ListenerOpts){ .mode = mode_of(args->mode) }, &listener);

    if (r < 0)
        return r;
    (void) snprintf(text, sizeof(text), "listens on %s", where.data);
    source_say(source, true, text);
    return line_stream_listen(source, listener, &opts);
}

SUSPENDS static int run_datagrams(Source *source, NetAddress *address, Str where)
{
    const UnixArgs *args = source->args;
    bool is_file = args->path.data[0] != '@';
    DatagramOpts opts = { .mode = mode_of(args->mode),
                          .file = is_file ? where.data + strlen("unix:") : NULL,
                          .origin = where };
    char text[NET_ADDRESS_TEXT_MAX + 32];
    int fd = -1;
    int r = datagrams_open(address, &opts, &fd);

    if (r < 0)
        return r;
    (void) snprintf(text, sizeof(text), "receives on %s", where.data);
    source_say(source, true, text);
    return datagrams_run(source, fd, &opts);
}

SUSPENDS static int unix_run(Source *source)
{
    const UnixArgs *args = source->args;
    char given[NET_ADDRESS_TEXT_MAX + 8], text[NET_ADDRESS_TEXT_MAX];
    NetAddress address;
    Str where;
    int r;

    (void) snprintf(given, sizeof(given), "unix:%.*s", (int) args->path.len, args->path.data);
    r = net_address_parse(str_from_c(given), &address);
    if (r < 0)
        return wrap(r, "unix");
    where = net_address_format(&address, text);
    r = args->kind == KIND_STREAM ? run_stream(source, &address, where)
                                  : run_datagrams(source, &address, where);
    if (r == -ECANCELED)
        return 0;
    return r < 0 ? wrap(r, "unix") : 0;
}

static int unix_from_text(Str text, Buf *out)
{
    return source_from_url(&source_unix, "path", text, out);
}

const SourceDriver source_unix = {
    .name = "unix",
    .summary = "lines over a Unix socket: line protocol unless format says otherwise",
    .schemes = { "unix://" },
    .args = &unix_args,
    .from_text = unix_from_text,
    .format = DECODE_INFLUX,
    .is_endless = true,
    .is_local = true,
    .run = unix_run,
};
