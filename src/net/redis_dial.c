/*
 * How a host is reached when nobody says otherwise: a Unix socket, or TCP, with TLS on top.
 *
 * Names are resolved on the thread pool, because the C library's resolver blocks; the addresses are
 * tried in its order. A connection that carries nothing is watched by the kernel (keepalive), and
 * one whose bytes are not acknowledged is given up by it (TCP_USER_TIMEOUT): both only help what
 * the client finds out by itself when answers are due.
 */
#include "net/redis_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"

#if SL_HAVE_OPENSSL
#include "net/tls.h"
#endif

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#define ADDRESSES_MAX 8 /* of one name that are tried */

/* With a NUL, cut to what fits. */
static void copy_text(char *out, size_t bytes, Str text)
{
    size_t len = MIN(text.len, bytes - 1);

    memcpy(out, text.data, len);
    out[len] = 0;
}

typedef struct Lookup {
    char host[256], port[8];
    NetAddress addresses[ADDRESSES_MAX];
    size_t n;
} Lookup;

/* On the pool. */
static int look_up(void *arg)
{
    Lookup *lookup = arg;
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    int r = getaddrinfo(lookup->host, lookup->port, &hints, &list);

    if (r != 0)
        return fail(-ERR_DNS, "host %s: %s", lookup->host, gai_strerror(r));
    for (const struct addrinfo *at = list; at && lookup->n < ADDRESSES_MAX; at = at->ai_next) {
        NetAddress *address = &lookup->addresses[lookup->n++];

        address->len = at->ai_addrlen;
        memcpy(&address->storage, at->ai_addr, at->ai_addrlen);
    }
    freeaddrinfo(list);
    return lookup->n > 0 ? 0 : fail(-ERR_DNS, "host %s has no address", lookup->host);
}

static void guard_socket(int fd, int64_t answer_ms)
{
    int on = 1, idle_s = 15, interval_s = 5, count = 3;
    unsigned silence_ms = (unsigned) MIN(answer_ms * 2, (int64_t) INT32_MAX);

    /* Each only makes a dead peer known sooner. */
    (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof(silence_ms));
}

SUSPENDS static int dial_address(Redis *redis, const NetAddress *address, Stream **ret_stream)
{
    int r = stream_connect(address, ret_stream);

    if (r == 0)
        guard_socket((*ret_stream)->fd, redis->opts.answer_ms);
    return r;
}

/* Connect to HOST when it is a number, which needs no looking up: *ret_r is how that went. */
SUSPENDS static bool dial_number(Redis *redis, const char *host, uint16_t port, Stream **ret_stream,
                                 int *ret_r)
{
    bool is_ipv6 = strchr(host, ':') != NULL;
    char text[300];
    NetAddress address;

    (void) snprintf(text, sizeof(text), "%s%s%s:%u", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "",
                    port);
    if (net_address_parse(str_from_c(text), &address) < 0)
        return false;
    *ret_r = redis_unavailable(dial_address(redis, &address, ret_stream));
    return true;
}

SUSPENDS static int dial_tcp(Redis *redis, const RedisHost *host, Stream **ret_stream)
{
    Lookup lookup = { .n = 0 };
    int r;

    if (host->name.len >= sizeof(lookup.host))
        return fail(-ERR_UNAVAILABLE, "the host's name is too long");
    copy_text(lookup.host, sizeof(lookup.host), host->name);
    if (dial_number(redis, lookup.host, host->port, ret_stream, &r))
        return r;
    (void) snprintf(lookup.port, sizeof(lookup.port), "%u", host->port);
    r = sl_offload(look_up, &lookup, .name = "look up a redis host");
    if (r < 0)
        return redis_unavailable(r);
    for (size_t i = 0; i < lookup.n; i++) {
        r = dial_address(redis, &lookup.addresses[i], ret_stream);
        if (r == 0 || sl_is_cancelled())
            break;
    }
    return redis_unavailable(r);
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
