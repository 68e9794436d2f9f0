/*
 * Addresses: texts that parse and print back, texts that must not parse, and every private range at
 * both of its edges.
 */
#include "net/address.h"

#include "base/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static void expect_round(const char *text, const char *want)
{
    char out[NET_ADDRESS_TEXT_MAX];
    NetAddress address;

    EXPECT_OK(net_address_parse(str_from_c(text), &address));
    EXPECT_C(net_address_format(&address, out).data, want);
}

/* Catches a parser that loses the port, the brackets or the kind. */
TEST(parses_and_prints)
{
    expect_round("127.0.0.1:7584", "127.0.0.1:7584");
    expect_round(":80", "0.0.0.0:80");
    expect_round("*:0", "0.0.0.0:0");
    expect_round("localhost:1", "127.0.0.1:1");
    expect_round("[::1]:65535", "[::1]:65535");
    expect_round("[2001:4860:4860::8888]:53", "[2001:4860:4860::8888]:53");
    expect_round("unix:/run/x.sock", "unix:/run/x.sock");
    expect_round("unix:@hidden", "unix:@hidden");
}

/* Catches garbage that is taken for an address. */
TEST(refuses_what_is_none)
{
    static const char *const bad[] = {
        "",        "80",         "127.0.0.1",    "127.0.0.1:",    "127.0.0.1:65536", "1.2.3:80",
        "host:80", "::1:80",     "[::1]",        "[::1:80",       "[1.2.3.4]:1",     "[]:1",
        "unix:",   "1.2.3.4:-1", "1.2.3.4:0x10", "127.0.0.1 :80", "[::1%lo]:80"
    };
    char longest[300];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        NetAddress address;

        if (net_address_parse(str_from_c(bad[i]), &address) != -ERR_INVALID)
            test_fail(__FILE__, __LINE__, "\"%s\" passes for an address", bad[i]);
    }
    for (size_t i = 0; i < sizeof(longest); i++)
        longest[i] = '/';
    for (size_t i = 0; i < 5; i++)
        longest[i] = "unix:"[i];
    EXPECT_ERR(net_address_parse(str_from(longest, sizeof(longest)), &(NetAddress){ .len = 0 }),
               -ERR_INVALID, "must have 1 to 107 bytes");
}

static bool is_private(const char *text)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return net_address_is_private((struct sockaddr *) &in, sizeof(in));
    if (inet_pton(AF_INET6, text, &in6.sin6_addr) != 1)
        test_fail(__FILE__, __LINE__, "not an address: %s", text);
    return net_address_is_private((struct sockaddr *) &in6, sizeof(in6));
}

/* Catches a hole in the policy that keeps fetches away from the neighbourhood. */
TEST(knows_private_from_public)
{
    static const char *const hidden[] = {
        "0.0.0.0",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "2001:db8::1",
        "2001::1",
        "3fff::1",
        "::127.0.0.1",
        "100::1",
        "fec0::1",
    };
    static const char *const open[] = {
        "1.1.1.1",         "9.255.255.255",   "11.0.0.0",     "100.63.255.255", "100.128.0.0",
        "126.255.255.255", "128.0.0.1",       "169.253.0.1",  "172.15.255.255", "172.32.0.0",
        "192.0.1.1",       "192.167.255.255", "192.169.0.0",  "198.17.255.255", "198.20.0.0",
        "223.255.255.255", "2606:4700::1",    "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808",
        "2002:808:808::1", "2001:200::1",
    };
    struct sockaddr_un_like {
        sa_family_t family;
    } other = { AF_UNIX };

    for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
        if (!is_private(hidden[i]))
            test_fail(__FILE__, __LINE__, "%s passes for public", hidden[i]);
    for (size_t i = 0; i < ARRAY_LEN(open); i++)
        if (is_private(open[i]))
            test_fail(__FILE__, __LINE__, "%s passes for private", open[i]);
    EXPECT(net_address_is_private((struct sockaddr *) &other, sizeof(other)));
}

TEST_MAIN()
