/*
 * Dialling: look up, refuse what is not allowed, connect to one address after the other.
 *
 * A connection that carries nothing is watched by the kernel (keepalive), and one whose bytes are
 * not acknowledged is given up by it (TCP_USER_TIMEOUT): both only help what the protocol above
 * finds out by itself.
 */
#include "net/dial.h"

#include "base/err.h"
#include "base/macro.h"

#include <sluice/rt.h>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#define HOST_BYTES 256

typedef struct Lookup {
    char host[HOST_BYTES], port[8];
    NetAddress addresses[DIAL_ADDRESSES_MAX];
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
    for (const struct addrinfo *at = list; at && lookup->n < DIAL_ADDRESSES_MAX; at = at->ai_next) {
        NetAddress *address = &lookup->addresses[lookup->n++];

        address->len = at->ai_addrlen;
        memcpy(&address->storage, at->ai_addr, at->ai_addrlen);
    }
    freeaddrinfo(list);
    return lookup->n > 0 ? 0 : fail(-ERR_DNS, "host %s has no address", lookup->host);
}

/* HOST when it is a number, which needs no looking up. */
static bool address_from_number(const DialOpts *opts, NetAddress *ret_address)
{
    bool is_ipv6 = strchr(opts->host, ':') != NULL;
    char text[HOST_BYTES + 16];

    (void) snprintf(text, sizeof(text), "%s%s%s:%u", is_ipv6 ? "[" : "", opts->host,
                    is_ipv6 ? "]" : "", opts->port);
    return net_address_parse(str_from_c(text), ret_address) == 0;
}

static int check_address(const DialOpts *opts, const NetAddress *address)
{
    if (opts->is_public_only &&
        net_address_is_private((const struct sockaddr *) &address->storage, address->len))
        return fail(-ERR_FORBIDDEN, "host %s is a private address, which is not allowed here",
                    opts->host);
    return 0;
}

int dial_look_up(const DialOpts *opts, NetAddress *addresses, size_t max, size_t *ret_n)
{
    Lookup lookup = { .n = 0 };
    int r;

    if (strlen(opts->host) >= sizeof(lookup.host))
        return fail(-ERR_DNS, "the host's name is too long");
    if (address_from_number(opts, &lookup.addresses[0])) {
        lookup.n = 1;
    } else {
        (void) snprintf(lookup.host, sizeof(lookup.host), "%s", opts->host);
        (void) snprintf(lookup.port, sizeof(lookup.port), "%u", opts->port);
        r = sl_offload(look_up, &lookup, .name = "look up a host");
        if (r < 0)
            return r;
    }
    *ret_n = MIN(lookup.n, max);
    for (size_t i = 0; i < *ret_n; i++) {
        r = check_address(opts, &lookup.addresses[i]);
        if (r < 0)
            return r;
        addresses[i] = lookup.addresses[i];
    }
    return sl_checkpoint();
}

static void guard_socket(int fd, int64_t silence_ms)
{
    int on = 1, idle_s = 15, interval_s = 5, count = 3;
    unsigned ms = (unsigned) MIN(silence_ms, (int64_t) INT32_MAX);

    /* Each only makes a dead peer known sooner. */
    (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    if (silence_ms > 0)
        (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

int dial_host(const DialOpts *opts, Stream **ret_stream)
{
    NetAddress addresses[DIAL_ADDRESSES_MAX];
    size_t n = 0;
    int r = dial_look_up(opts, addresses, ARRAY_LEN(addresses), &n);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        r = stream_connect(&addresses[i], ret_stream);
        if (r == 0)
            guard_socket((*ret_stream)->fd, opts->silence_ms);
        if (r == 0 || sl_is_cancelled())
            break;
    }
    return r;
}
