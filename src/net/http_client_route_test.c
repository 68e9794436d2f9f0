/*
 * The way of a call: fixed addresses for names, proxies (HTTP, SOCKS), and the policy on each way.
 * The first site speaks HTTP and serves as forward proxy, the second SOCKS.
 */
#include "net/http_client_world_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

/* The bytes up to a NUL, which is read and not kept. */
SUSPENDS static int read_text(Stream *stream, char *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int r = stream_read_exact(stream, out + i, 1);

        if (r < 0 || out[i] == 0)
            return r;
    }
    return -1;
}

/* Take a CONNECT of SOCKS 4a or 5 by name or by address; its host goes to `seen`. */
SUSPENDS static int take_socks(Site *site, Stream *stream)
{
    unsigned char in[262];
    char host[256] = "";
    int r = stream_read_exact(stream, in, 2);

    if (r < 0)
        return r;
    if (in[0] == 4) {
        r = stream_read_exact(stream, in, 6);
        if (r == 0)
            r = read_text(stream, host, sizeof(host)); /* the user */
        if (r == 0)
            r = read_text(stream, host, sizeof(host));
        buf_printf(&site->seen, "socks4 %s\n", host);
        return r < 0 ? r : stream_write_all(stream, "\0\x5a\0\0\0\0\0\0", 8);
    }
    r = stream_read_exact(stream, in + 2, in[1]); /* the methods */
    if (r == 0)
        r = stream_write_all(stream, "\x05\x00", 2);
    if (r == 0)
        r = stream_read_exact(stream, in, 5); /* version, command, 0, kind, first of the address */
    if (r == 0 && in[3] == 3) {
        r = stream_read_exact(stream, host, in[4]);
        host[in[4]] = 0;
        buf_printf(&site->seen, "socks5 name %s\n", host);
    } else if (r == 0) {
        r = stream_read_exact(stream, in + 5, 3);
        buf_printf(&site->seen, "socks5 address %d.%d.%d.%d\n", in[4], in[5], in[6], in[7]);
    }
    if (r == 0)
        r = stream_read_exact(stream, in, 2); /* the port */
    return r < 0 ? r : stream_write_all(stream, "\x05\x00\x00\x01\0\0\0\0\0\0", 10);
}

SUSPENDS static int serve(Site *site, Stream *stream, Str head)
{
    char in[4096];
    size_t len = 0;
    int r;

    if (!site->is_raw)
        return site_answer(stream, "200 OK", "", STR_C("plain"));
    (void) head;
    r = take_socks(site, stream);
    while (r == 0 && len < sizeof(in) && !memmem(in, len, "\r\n\r\n", 4)) {
        ssize_t n = stream_read(stream, in + len, sizeof(in) - len);

        r = n <= 0 ? -1 : 0;
        len += n > 0 ? (size_t) n : 0;
    }
    return r < 0 ? r : site_answer(stream, "200 OK", "Connection: close\r\n", STR_C("socks"));
}

/* ---- fixed addresses ------------------------------------------------------------------------- */

static const HttpResolve table[] = {
    { "one.test", "127.0.0.1" },
    { "*.many.test", "127.0.0.1" },
    { "six.test", "::1" },
    { "private.example", "10.0.0.1" },
};

SUSPENDS static int get_host(World *world, const char *host, HttpPolicy policy)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];

    (void) snprintf(url, sizeof(url), "http://%s:%s/", host, world->sites[0].port);
    return http_client_call(world->client, &(HttpCall){ .url = str_from_c(url), .policy = policy },
                            &answer);
}

SUSPENDS static void check_names(World *world)
{
    static const char *const fit[] = { "one.test", "ONE.test", "one.test.", "a.many.test",
                                       "b.c.Many.test" };
    static const char *const others[] = { "two.invalid", "many.test.invalid", "xone.test.invalid" };
    HttpClientStats stats;
    char host[100];

    for (size_t i = 0; i < ARRAY_LEN(fit); i++) {
        buf_reset(&world->sites[0].seen);
        EXPECT_OK(get_host(world, fit[i], HTTP_POLICY_ALLOW_ALL));
        (void) snprintf(host, sizeof(host), "Host: %s:%s\r\n", fit[i], world->sites[0].port);
        EXPECT(head_has(buf_str(&world->sites[0].seen), host));
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        EXPECT_ERR(get_host(world, others[i], HTTP_POLICY_ALLOW_ALL), -ERR_DNS, others[i]);
    EXPECT_ERR(get_host(world, "six.test", HTTP_POLICY_ALLOW_ALL), -ERR_NETWORK, "six.test");
    EXPECT_ERR(get_host(world, "one.test", HTTP_POLICY_DENY_PRIVATE), -ERR_FORBIDDEN, "127.0.0.1");
    EXPECT_ERR(get_host(world, "private.example", HTTP_POLICY_DENY_PRIVATE), -ERR_FORBIDDEN,
               "10.0.0.1");
    http_client_stats(world->client, &stats);
    EXPECT(stats.reused > 0); /* "one.test" and "ONE.test" */
}

/* Catches a name that goes to DNS, or to another's address, or around the policy. */
TEST(uses_fixed_addresses)
{
    world_run(check_names, serve,
              &(HttpClientOpts){ .resolve = table, .n_resolve = ARRAY_LEN(table) });
}

/* ---- the policy ------------------------------------------------------------------------------ */

SUSPENDS static void check_addresses(World *world)
{
    static const char *const denied[] = {
        "0.0.0.0",
        "0",
        "127.1",
        "0x7f.1",
        "2130706433",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "192.0.2.1",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2002:a00:1::1]",
        "[2001::1]",
        "[2001:db8::1]",
        "[fc00::1]",
        "[fd12:3456::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[100::1]",
        "localhost",
        "LOCALHOST",
    };

    for (size_t i = 0; i < ARRAY_LEN(denied); i++)
        EXPECT_ERR(get_host(world, denied[i], HTTP_POLICY_DENY_PRIVATE), -ERR_FORBIDDEN,
                   "not allowed");
    EXPECT_EQ(world->sites[0].n_connections, 0);
    EXPECT_OK(get_host(world, "127.1", HTTP_POLICY_ALLOW_ALL));
    EXPECT_ERR(get_host(world, "127.0.0.1", HTTP_POLICY_DENY_PRIVATE), -ERR_FORBIDDEN,
               "127.0.0.1"); /* over the connection that is kept */
    EXPECT_EQ(world->sites[0].n_requests, 1);
}

/* Catches an address of the neighbourhood, in whatever spelling, that a strict call reaches. */
TEST(denies_private_addresses)
{
    world_run(check_addresses, serve, NULL);
}

static bool allow_one(void *ctx, const struct sockaddr *address, socklen_t len)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *) address;

    (void) len;
    return ntohs(in->sin_port) == *(uint16_t *) ctx;
}

SUSPENDS static int serve_away(Site *site, Stream *stream, Str head)
{
    char headers[200];

    (void) head;
    if (site == &site->world->sites[1])
        return site_answer(stream, "200 OK", "", STR_C("inside"));
    *(uint16_t *) site->world->opts.ctx = (uint16_t) atoi(site->port);
    (void) snprintf(headers, sizeof(headers), "Location: %s/\r\n", site->world->sites[1].base);
    return site_answer(stream, "302 Found", headers, STR_C(""));
}

SUSPENDS static void check_redirect(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char url[300];

    *(uint16_t *) world->opts.ctx = (uint16_t) atoi(world->sites[0].port);
    EXPECT_ERR(http_client_get(world->client, url_at(world->sites[0].base, "/", url), &answer),
               -ERR_FORBIDDEN, "not allowed");
    EXPECT_EQ(world->sites[0].n_requests, 1);
    EXPECT_EQ(world->sites[1].n_connections, 0);
    EXPECT_EQ(answer.redirects, 1);
}

/* Catches a redirect that leads where a call may not go. */
TEST(checks_each_hop)
{
    uint16_t port = 0;

    world_run(check_redirect, serve_away, &(HttpClientOpts){ .allow = allow_one, .ctx = &port });
}

/* ---- proxies --------------------------------------------------------------------------------- */

SUSPENDS static int get_through(World *world, const char *proxy, const char *url, HttpPolicy policy,
                                HttpAnswer *answer)
{
    http_answer_reset(answer);
    buf_reset(&world->sites[0].seen);
    buf_reset(&world->sites[1].seen);
    return http_client_call(world->client,
                            &(HttpCall){ .url = str_from_c(url), .proxy = proxy, .policy = policy },
                            answer);
}

SUSPENDS static void check_proxies(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    const char *port = world->sites[1].port;
    char proxy[100];

    EXPECT_OK(get_through(world, world->sites[0].base, "http://far.example/page",
                          HTTP_POLICY_ALLOW_ALL, &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("plain"));
    EXPECT(head_has(buf_str(&world->sites[0].seen), "GET http://far.example/page HTTP/1.1\r\n"));
    EXPECT_EQ(net_address_port(&answer.peer), atoi(world->sites[0].port));
    (void) snprintf(proxy, sizeof(proxy), "http://ann:pw@127.0.0.1:%s", world->sites[0].port);
    EXPECT_OK(get_through(world, proxy, "http://far.example/", HTTP_POLICY_ALLOW_ALL, &answer));
    EXPECT(head_has(buf_str(&world->sites[0].seen), "Proxy-Authorization: Basic YW5uOnB3\r\n"));

    (void) snprintf(proxy, sizeof(proxy), "socks5h://127.0.0.1:%s", port);
    EXPECT_OK(get_through(world, proxy, "http://far.example/", HTTP_POLICY_ALLOW_ALL, &answer));
    EXPECT_STR(buf_str(&answer.body), STR_C("socks"));
    EXPECT_STR(buf_str(&world->sites[1].seen), STR_C("socks5 name far.example\n"));
    (void) snprintf(proxy, sizeof(proxy), "socks4a://127.0.0.1:%s", port);
    EXPECT_OK(get_through(world, proxy, "http://far.example/", HTTP_POLICY_ALLOW_ALL, &answer));
    EXPECT_STR(buf_str(&world->sites[1].seen), STR_C("socks4 far.example\n"));
    (void) snprintf(proxy, sizeof(proxy), "socks5://127.0.0.1:%s", port);
    EXPECT_OK(get_through(world, proxy, "http://127.0.0.9/", HTTP_POLICY_ALLOW_ALL, &answer));
    EXPECT_STR(buf_str(&world->sites[1].seen), STR_C("socks5 address 127.0.0.9\n"));

    /* The next call has none. */
    EXPECT_OK(get_through(world, NULL, world->sites[0].base, HTTP_POLICY_ALLOW_ALL, &answer));
    EXPECT(head_has(buf_str(&world->sites[0].seen), "GET / HTTP/1.1\r\n"));
    EXPECT_ERR(
        get_through(world, "gopher://x", "http://far.example/", HTTP_POLICY_ALLOW_ALL, &answer),
        -ERR_INVALID, "the proxy must be");
    EXPECT_ERR(get_through(world, "http://127.0.0.1:1", "http://far.example/",
                           HTTP_POLICY_ALLOW_ALL, &answer),
               -ERR_NETWORK, "far.example");
    EXPECT_ERR(get_through(world, world->sites[0].base, "http://far.example/",
                           HTTP_POLICY_DENY_PRIVATE, &answer),
               -ERR_FORBIDDEN, "proxy");
}

/* Catches a proxy that is not used, used for the next call too, or used to get around the policy.
 */
TEST(goes_through_proxies)
{
    (void) setenv("http_proxy", "http://127.0.0.1:1", 1); /* the environment is not asked … */
    (void) setenv("no_proxy", "*", 1);                    /* … either way */
    world_run_with((World){ .check = check_proxies, .serve = serve, .has_raw = true }, NULL);
}

SUSPENDS static void check_trusted(World *world)
{
    static const char *const denied[] = {
        "http://127.0.0.1/",         "http://2130706433/",      "http://[::1]/",
        "http://localhost/",         "http://printer/",         "http://nas.local/",
        "http://10.0.0.1",           "http://a.internal./",     "http://x.home.arpa/",
        "http://[::ffff:10.0.0.1]/", "http://169.254.169.254/", "http://%6cocalhost/",
    };
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };

    EXPECT_OK(get_through(world, world->sites[0].base, "http://far.example/",
                          HTTP_POLICY_DENY_PRIVATE, &answer));
    for (size_t i = 0; i < ARRAY_LEN(denied); i++)
        EXPECT_ERR(
            get_through(world, world->sites[0].base, denied[i], HTTP_POLICY_DENY_PRIVATE, &answer),
            -ERR_FORBIDDEN, "not allowed");
    EXPECT_EQ(world->sites[0].n_requests, 1);
    /* Without a proxy the policy sees addresses again. */
    EXPECT_ERR(get_through(world, "", world->sites[0].base, HTTP_POLICY_DENY_PRIVATE, &answer),
               -ERR_FORBIDDEN, "127.0.0.1");
}

/* Catches a host that is private on its face and gets as far as a trusted proxy. */
TEST(watches_trusted_proxies)
{
    world_run(check_trusted, serve, &(HttpClientOpts){ .is_proxy_trusted = true });
}

TEST_MAIN()
