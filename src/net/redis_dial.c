/*
 * How a host is reached when nobody says otherwise: a Unix socket, or TCP, with TLS on top.
 *
 * What the kernel finds out of a dead peer (net/dial.h) only helps what the client finds out by
 * itself when answers are due.
 */
#include "net/redis_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"
#include "net/dial.h"

#if SL_HAVE_OPENSSL
#include "net/tls.h"
#endif

#include <stdio.h>
#include <string.h>

/* With a NUL, cut to what fits. */
static void copy_text(char *out, size_t bytes, Str text)
{
    size_t len = MIN(text.len, bytes - 1);

    memcpy(out, text.data, len);
    out[len] = 0;
}

SUSPENDS static int dial_tcp(Redis *redis, const RedisHost *host, Stream **ret_stream)
{
    char name[256];

    if (host->name.len >= sizeof(name))
        return fail(-ERR_UNAVAILABLE, "the host's name is too long");
    copy_text(name, sizeof(name), host->name);
    return redis_unavailable(dial_host(
        &(DialOpts){ .host = name, .port = host->port, .silence_ms = redis->opts.answer_ms * 2 },
        ret_stream));
}

SUSPENDS static int dial_unix(Redis *redis, Stream **ret_stream)
{
    char text[NET_ADDRESS_TEXT_MAX];
    Str path = redis->url.socket_path;
    NetAddress address;
    int r;

    if (path.len + sizeof("unix:") > sizeof(text))
        return fail(-ERR_USAGE, "the socket's path is too long");
    (void) snprintf(text, sizeof(text), "unix:%.*s", (int) path.len, path.data);
    r = net_address_parse(str_from_c(text), &address);
    if (r < 0)
        return r;
    return redis_unavailable(stream_connect(&address, ret_stream));
}

/* ---- TLS ------------------------------------------------------------------------------------ */

#if SL_HAVE_OPENSSL

/* NULL for the empty text; the texts of a client's URL end in NUL. */
static const char *text_or_null(Str text)
{
    return text.len > 0 ? text.data : NULL;
}

int redis_tls_init(Redis *redis)
{
    const RedisUrl *url = &redis->url;

    if (!url->is_tls || redis->opts.connect)
        return 0;
    return tls_context_new(&(TlsContextOpts){ .ca_file = text_or_null(url->ca),
                                              .cert_file = text_or_null(url->cert),
                                              .key_file = text_or_null(url->key),
                                              .is_insecure = url->is_insecure },
                           &redis->tls);
}

void redis_tls_deinit(Redis *redis)
{
    tls_context_free(redis->tls);
}

/* STREAM is covered with TLS, or closed. */
SUSPENDS static int cover(Redis *redis, const RedisHost *host, TAKES Stream *stream,
                          Stream **ret_stream)
{
    char name[256];
    Str wanted = redis->url.server_name.len > 0 ? redis->url.server_name : host->name;

    copy_text(name, sizeof(name), wanted);
    return tls_connect(redis->tls, stream, name, ret_stream);
}

#else

int redis_tls_init(Redis *redis)
{
    if (!redis->url.is_tls || redis->opts.connect)
        return 0;
    return fail(-ERR_UNSUPPORTED, "this build has no TLS: rediss:// needs OpenSSL");
}

void redis_tls_deinit(Redis *redis)
{
    (void) redis;
}

SUSPENDS static int cover(Redis *redis, const RedisHost *host, TAKES Stream *stream,
                          Stream **ret_stream)
{
    (void) redis;
    (void) host;
    *ret_stream = stream;
    return sl_checkpoint();
}

#endif

int redis_dial(Redis *redis, const RedisHost *host, Stream **ret_stream)
{
    Stream *stream = NULL;
    int r;

    if (redis->opts.connect)
        return redis_unavailable(redis->opts.connect(redis->opts.connect_ctx, host, ret_stream));
    if (redis->url.socket_path.len > 0)
        return dial_unix(redis, ret_stream);
    r = dial_tcp(redis, host, &stream);
    if (r < 0 || !redis->url.is_tls) {
        *ret_stream = stream;
        return r;
    }
    return cover(redis, host, stream, ret_stream);
}
