/*
 * Addresses as text, as the kernel wants them, and whether they are anybody's business.
 *
 * The list of private ranges follows the IANA special-purpose registries for IPv4 and IPv6.
 * Addresses of IPv4 that hide in IPv6 (mapped, NAT64, 6to4) are judged by what they hide, because a
 * resolver that hands out ::ffff:127.0.0.1 would otherwise walk around the policy.
 */
#include "net/address.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

/* ---- text -> address ------------------------------------------------------------------------- */

static int parse_unix(Str text, Str path, NetAddress *ret)
{
    NetAddress address = { .len = 0 };
    struct sockaddr_un *un = (struct sockaddr_un *) &address.storage;

    if (path.len == 0 || path.len >= sizeof(un->sun_path) || memchr(path.data, 0, path.len))
        return fail(-ERR_INVALID, "address \"%.*s\": the path must have 1 to %zu bytes",
                    (int) MIN(text.len, (size_t) 200), text.data, sizeof(un->sun_path) - 1);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.data, path.len);
    address.len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + path.len);
    if (path.data[0] == '@')
        un->sun_path[0] = 0; /* the abstract name space */
    else
        address.len++;
    *ret = address;
    return 0;
}

static void fill_ipv4(NetAddress *address, struct in_addr host, uint16_t port)
{
    *(struct sockaddr_in *) &address->storage =
        (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = host, .sin_port = htons(port) };
    address->len = sizeof(struct sockaddr_in);
}

static void fill_ipv6(NetAddress *address, struct in6_addr host, uint16_t port)
{
    *(struct sockaddr_in6 *) &address->storage = (struct sockaddr_in6){ .sin6_family = AF_INET6,
                                                                        .sin6_addr = host,
                                                                        .sin6_port = htons(port) };
    address->len = sizeof(struct sockaddr_in6);
}

int net_address_parse(Str text, NetAddress *ret_address)
{
    NetAddress address = { .len = 0 };
    char host[INET6_ADDRSTRLEN + 1];
    struct in_addr v4 = { .s_addr = htonl(INADDR_ANY) };
    struct in6_addr v6;
    uint64_t port;
    const char *colon;
    Str name;
    int shown = (int) MIN(text.len, (size_t) 200);
    bool has_brackets;

    ASSERT(ret_address);
    if (str_starts(text, str_from_c("unix:")))
        return parse_unix(text, str_sub(text, 5, text.len), ret_address);
    colon = text.len > 0 ? memrchr(text.data, ':', text.len) : NULL;
    if (!colon)
        return fail(-ERR_INVALID, "address \"%.*s\": expected ADDR:PORT or unix:PATH", shown,
                    text.data ? text.data : "");
    name = str_from(text.data, (size_t) (colon - text.data));
    if (str_to_u64(str_sub(text, name.len + 1, text.len), 65535, &port) < 0)
        return fail(-ERR_INVALID, "address \"%.*s\": the port must be between 0 and 65535", shown,
                    text.data);

    if (name.len == 0 || str_eq_c(name, "*")) {
        fill_ipv4(&address, v4, (uint16_t) port);
        *ret_address = address;
        return 0;
    }
    if (str_eq_nocase(name, str_from_c("localhost")))
        name = str_from_c("127.0.0.1");
    has_brackets = name.len > 2 && name.data[0] == '[' && name.data[name.len - 1] == ']';
    if (has_brackets)
        name = str_sub(name, 1, name.len - 2);
    if (name.len >= sizeof(host))
        name.len = 0; /* too long for any address */
    memcpy(host, name.data, name.len);
    host[name.len] = 0;

    if (has_brackets && inet_pton(AF_INET6, host, &v6) == 1)
        fill_ipv6(&address, v6, (uint16_t) port);
    else if (!has_brackets && inet_pton(AF_INET, host, &v4) == 1)
        fill_ipv4(&address, v4, (uint16_t) port);
    else
        return fail(-ERR_INVALID,
                    "address \"%.*s\": expected a numeric address such as 127.0.0.1 or [::1]",
                    shown, text.data);
    *ret_address = address;
    return 0;
}

/* ---- address -> text ------------------------------------------------------------------------- */

static Str format_unix(const NetAddress *address, char *out)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *) &address->storage;
    size_t len = address->len - offsetof(struct sockaddr_un, sun_path);
    int n;

    if (address->len <= offsetof(struct sockaddr_un, sun_path))
        n = snprintf(out, NET_ADDRESS_TEXT_MAX, "unix:");
    else if (un->sun_path[0] == 0)
        n = snprintf(out, NET_ADDRESS_TEXT_MAX, "unix:@%.*s", (int) len - 1, un->sun_path + 1);
    else
        n = snprintf(out, NET_ADDRESS_TEXT_MAX, "unix:%.*s", (int) strnlen(un->sun_path, len),
                     un->sun_path);
    return str_from(out, MIN((size_t) n, (size_t) NET_ADDRESS_TEXT_MAX - 1));
}

Str net_address_format(const NetAddress *address, char out[static NET_ADDRESS_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN];
    int n;

    ASSERT(address);
    if (address->storage.ss_family == AF_UNIX)
        return format_unix(address, out);
    if (address->storage.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *) &address->storage;

        (void) inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        n = snprintf(out, NET_ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(in->sin_port));
    } else if (address->storage.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) &address->storage;

        (void) inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        n = snprintf(out, NET_ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        n = snprintf(out, NET_ADDRESS_TEXT_MAX, "-");
    }
    return str_from(out, (size_t) n);
}

uint16_t net_address_port(const NetAddress *address)
{
    ASSERT(address);
    if (address->storage.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *) &address->storage)->sin_port);
    if (address->storage.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *) &address->storage)->sin6_port);
    return 0;
}

bool net_address_is_unix(const NetAddress *address)
{
    ASSERT(address);
    return address->storage.ss_family == AF_UNIX;
}

/* ---- private ranges -------------------------------------------------------------------------- */

static bool is_private_ipv4(uint32_t host)
{
    static const struct {
        uint32_t net;
        int bits;
    } ranges[] = {
        { 0x00000000, 8 },  /* 0.0.0.0       this network */
        { 0x0a000000, 8 },  /* 10.0.0.0      private */
        { 0x64400000, 10 }, /* 100.64.0.0    shared */
        { 0x7f000000, 8 },  /* 127.0.0.0     loopback */
        { 0xa9fe0000, 16 }, /* 169.254.0.0   link-local */
        { 0xac100000, 12 }, /* 172.16.0.0    private */
        { 0xc0000000, 24 }, /* 192.0.0.0     protocol assignments */
        { 0xc0000200, 24 }, /* 192.0.2.0     documentation */
        { 0xc0586300, 24 }, /* 192.88.99.0   6to4 relays */
        { 0xc0a80000, 16 }, /* 192.168.0.0   private */
        { 0xc6120000, 15 }, /* 198.18.0.0    benchmarking */
        { 0xc6336400, 24 }, /* 198.51.100.0  documentation */
        { 0xcb007100, 24 }, /* 203.0.113.0   documentation */
        { 0xe0000000, 3 },  /* 224.0.0.0 and up: multicast, reserved, broadcast */
    };

    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        if (host >> (32 - ranges[i].bits) == ranges[i].net >> (32 - ranges[i].bits))
            return true;
    return false;
}

static uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
}

static bool is_private_ipv6(const uint8_t a[static 16])
{
    static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
        return is_private_ipv4(read_u32(a + 12));
    if (a[0] == 0x20 && a[1] == 0x02)
        return is_private_ipv4(read_u32(a + 2)); /* 6to4 */
    if ((a[0] & 0xe0) != 0x20)
        return true; /* only 2000::/3 is public unicast */
    if (a[0] == 0x20 && a[1] == 0x01 && a[2] < 0x02)
        return true; /* 2001::/23 protocol assignments, Teredo */
    if (a[0] == 0x20 && a[1] == 0x01 && a[2] == 0x0d && a[3] == 0xb8)
        return true;                                    /* 2001:db8::/32 documentation */
    return a[0] == 0x3f && a[1] == 0xff && a[2] < 0x10; /* 3fff::/20 documentation */
}

bool net_address_is_private(const struct sockaddr *address, socklen_t len)
{
    ASSERT(address);
    if (address->sa_family == AF_INET && len >= sizeof(struct sockaddr_in))
        return is_private_ipv4(ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr));
    if (address->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6))
        return is_private_ipv6(((const struct sockaddr_in6 *) address)->sin6_addr.s6_addr);
    return true;
}
