/*
 * The contract of streams, run against every implementation: TCP (IPv4 and IPv6), Unix sockets by
 * path and by pair, the simulated network, perfect and bad, and TLS over some of them.
 */
#include "net/listener.h"
#include "net/sim_net.h"
#include "net/stream.h"

#include "base/macro.h"
#include "base/mem.h"
#include "base/test.h"
#if SL_HAVE_OPENSSL
#include "net/tls.h"
#include "net/tls_world_int.h"
#endif

#include <sluice/rt.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the implementations --------------------------------------------------------------------- */

typedef struct Pair {
    SimNet *net;
    Listener *listener;
    Stream *a;
    Stream *b;
} Pair;

SUSPENDS static int accept_one(void *arg)
{
    Pair *pair = arg;

    return listener_accept(pair->listener, &pair->b);
}

SUSPENDS static int open_by_listener(Pair *pair, const char *text)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    NetAddress address;
    int r;

    r = net_address_parse(str_from_c(text), &address);
    if (r == 0)
        r = listener_open(&address, NULL, &pair->listener);
    if (r < 0)
        return r;
    sl_spawn(nursery, accept_one, pair);
    r = stream_connect(&pair->listener->address, &pair->a);
    return r < 0 ? r : sl_nursery_join(nursery);
}

SUSPENDS static int open_tcp4(Pair *pair)
{
    return open_by_listener(pair, "127.0.0.1:0");
}

SUSPENDS static int open_tcp6(Pair *pair)
{
    return open_by_listener(pair, "[::1]:0");
}

SUSPENDS static int open_unix(Pair *pair)
{
    return open_by_listener(pair, "unix:contract.sock");
}

static int open_socketpair(Pair *pair)
{
    return stream_pair(&pair->a, &pair->b);
}

SUSPENDS static int accept_sim(void *arg)
{
    return accept_one(arg);
}

SUSPENDS static int open_sim_with(Pair *pair, const SimNetOpts *opts)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int r;

    pair->net = sim_net_new(opts);
    r = sim_net_listen(pair->net, "there", &pair->listener);
    if (r < 0)
        return r;
    sl_spawn(nursery, accept_sim, pair);
    r = sim_net_connect(pair->net, "there", &pair->a);
    return r < 0 ? r : sl_nursery_join(nursery);
}

SUSPENDS static int open_sim(Pair *pair)
{
    return open_sim_with(pair, NULL);
}

SUSPENDS static int open_sim_bad(Pair *pair)
{
    return open_sim_with(pair, &(SimNetOpts){ .latency_min_us = 10,
                                              .latency_max_us = 300,
                                              .window_bytes = 700,
                                              .short_read = 0.5,
                                              .short_write = 0.5 });
}

#if SL_HAVE_OPENSSL
static TlsContext *tls_client, *tls_server; /* made once, for all pairs */

SUSPENDS static int accept_tls(void *arg)
{
    Pair *pair = arg;

    return tls_accept(tls_server, TAKE(pair->b), &pair->b);
}

SUSPENDS static int make_contexts(void)
{
    TestCert cert;
    int r;

    if (tls_client)
        return 0;
    cert = test_cert_make(&(TestCertOpts){ .file = "here", .names = "DNS:here.test" });
    test_cert_free(&cert);
    r = tls_context_new(&(TlsContextOpts){ .cert_file = "here.pem", .key_file = "here.key" },
                        &tls_server);
    return r < 0 ? r : tls_context_new(&(TlsContextOpts){ .ca_file = "here.pem" }, &tls_client);
}

/* TLS on both ends of a pair that is open. */
SUSPENDS static int add_tls(Pair *pair)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int r = make_contexts();

    if (r < 0)
        return r;
    sl_spawn(nursery, accept_tls, pair);
    r = tls_connect(tls_client, TAKE(pair->a), "here.test", &pair->a);
    return r < 0 ? r : sl_nursery_join(nursery);
}

SUSPENDS static int open_tls_tcp(Pair *pair)
{
    int r = open_tcp4(pair);

    return r < 0 ? r : add_tls(pair);
}

SUSPENDS static int open_tls_pair(Pair *pair)
{
    int r = open_socketpair(pair);

    return r < 0 ? r : add_tls(pair);
}

SUSPENDS static int open_tls_sim(Pair *pair)
{
    int r = open_sim_bad(pair);

    return r < 0 ? r : add_tls(pair);
}
#endif

typedef struct Kind {
    const char *name;
    SUSPENDS int (*open)(Pair *pair);
    bool works_simulated; /* on the simulated loop */
} Kind;

static const Kind kinds[] = {
    { "tcp4", open_tcp4, false },
    { "tcp6", open_tcp6, false },
    { "unix", open_unix, false },
    { "socketpair", open_socketpair, false },
    { "sim", open_sim, true },
    { "sim, bad", open_sim_bad, true },
#if SL_HAVE_OPENSSL
    { "tls over tcp", open_tls_tcp, false },
    { "tls over socketpair", open_tls_pair, false },
    { "tls over sim, bad", open_tls_sim, true },
#endif
};

SUSPENDS static void pair_close(Pair *pair)
{
    stream_close(pair->a);
    stream_close(pair->b);
    listener_close(pair->listener);
    sim_net_free(pair->net);
}

/* ---- running a check on all of them ---------------------------------------------------------- */

typedef struct Run {
    const Kind *kind;
    SUSPENDS void (*check)(Pair *pair);
} Run;

SUSPENDS static int run_one(void *arg)
{
    const Run *run = arg;
    Pair pair = { .net = NULL };
    int r = run->kind->open(&pair);

    if (r != 0)
        test_fail(__FILE__, __LINE__, "open %s: %s", run->kind->name, err_text(r));
    else
        run->check(&pair);
    pair_close(&pair);
    if (test_has_failed())
        printf("  (on %s, %s loop)\n", run->kind->name, sl_loop_name());
    return 0;
}

static void run_all(SUSPENDS void (*check)(Pair *pair))
{
    static const enum sl_loop_kind loops[] = { SL_LOOP_EPOLL, SL_LOOP_URING, SL_LOOP_SIM };

    for (size_t l = 0; l < ARRAY_LEN(loops); l++)
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
            Run run = { &kinds[i], check };
            int r;

            if (loops[l] == SL_LOOP_SIM && !kinds[i].works_simulated)
                continue;
            r = sl_run(run_one, &run, .loop = loops[l], .seed = 7 + i);
            if (r == -ERR_UNSUPPORTED && loops[l] == SL_LOOP_URING)
                continue; /* this machine has no io_uring */
            EXPECT_OK(r);
            if (test_has_failed())
                return;
        }
}

/* ---- the contract ---------------------------------------------------------------------------- */

SUSPENDS static void check_bytes(Pair *pair)
{
    char buf[16];

    EXPECT_OK(stream_write_all(pair->a, "hello", 5));
    EXPECT_OK(stream_read_exact(pair->b, buf, 5));
    EXPECT_STR(str_from(buf, 5), STR_C("hello"));
    EXPECT_OK(stream_write_all(pair->b, "back", 4));
    EXPECT_OK(stream_read_exact(pair->a, buf, 4));
    EXPECT_STR(str_from(buf, 4), STR_C("back"));
    EXPECT_EQ(pair->a->bytes_written, 5);
    EXPECT_EQ(pair->a->bytes_read, 4);
}

/* Catches bytes that go astray, both ways. */
TEST(carries_bytes)
{
    run_all(check_bytes);
}

SUSPENDS static void check_try(Pair *pair)
{
    char buf[4];

    EXPECT_EQ(stream_try_read(pair->b, buf, 4), -EAGAIN);
    EXPECT_OK(stream_write_all(pair->a, "x", 1));
    EXPECT_OK(stream_wait_readable(pair->b));
    EXPECT_OK(stream_wait_readable(pair->b)); /* takes nothing away */
    EXPECT_EQ(stream_try_read(pair->b, buf, 4), 1);
    EXPECT_EQ(stream_try_read(pair->b, buf, 4), -EAGAIN);
}

/* Catches a try that waits and a wait that eats. */
TEST(tries_without_waiting)
{
    run_all(check_try);
}

#define BULK ((size_t) 1500 * 1000)

SUSPENDS static int write_bulk(void *arg)
{
    Stream *stream = arg;
    uint8_t piece[1500];
    size_t sent = 0;
    int r = 0;

    while (sent < BULK && r == 0) {
        struct iovec iov[3];
        size_t third = sizeof(piece) / 3;

        for (size_t i = 0; i < sizeof(piece); i++)
            piece[i] = (uint8_t) ((sent + i) * 31 >> 3);
        iov[0] = (struct iovec){ piece, third };
        iov[1] = (struct iovec){ piece + third, 0 };
        iov[2] = (struct iovec){ piece + third, sizeof(piece) - third };
        r = stream_writev_all(stream, iov, 3);
        sent += sizeof(piece);
    }
    return r < 0 ? r : stream_shutdown(stream);
}

SUSPENDS static void check_bulk(Pair *pair)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    uint8_t buf[1700];
    size_t got = 0;
    ssize_t n;
    bool same = true;

    sl_spawn(nursery, write_bulk, pair->a);
    while ((n = stream_read(pair->b, buf, sizeof(buf))) > 0) {
        for (size_t i = 0; i < (size_t) n; i++)
            same = same && buf[i] == (uint8_t) ((got + i) * 31 >> 3);
        got += (size_t) n;
    }
    EXPECT_EQ(n, 0);
    EXPECT_EQ(got, BULK);
    EXPECT(same);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(stream_read(pair->b, buf, 1), 0); /* the end stays the end */
}

/* Catches lost, doubled or reordered bytes when both sides outrun the carrier. */
TEST(carries_more_than_it_holds)
{
    run_all(check_bulk);
}

SUSPENDS static void check_half_close(Pair *pair)
{
    char buf[8];

    EXPECT_OK(stream_write_all(pair->a, "ask", 3));
    EXPECT_OK(stream_shutdown(pair->a));
    EXPECT_OK(stream_read_exact(pair->b, buf, 3));
    EXPECT_EQ(stream_read(pair->b, buf, 8), 0);
    EXPECT_OK(stream_write_all(pair->b, "answer", 6));
    EXPECT_OK(stream_read_exact(pair->a, buf, 6));
    EXPECT_EQ(stream_write(pair->a, "x", 1), -EPIPE);
}

/* Catches a shutdown that ends both ways. */
TEST(ends_one_way)
{
    run_all(check_half_close);
}

SUSPENDS static void check_close(Pair *pair)
{
    char buf[8];
    ssize_t n = 0;

    EXPECT_OK(stream_write_all(pair->a, "bye", 3));
    stream_close(TAKE(pair->a));
    EXPECT_OK(stream_read_exact(pair->b, buf, 3));
    EXPECT_EQ(stream_read(pair->b, buf, 8), 0);
    for (int i = 0; i < 1000 && n >= 0;
         i++) { /* the first may go out before the other side answers */
        n = stream_write(pair->b, "x", 1);
        (void) sl_sleep_ms(1);
    }
    EXPECT(n == -EPIPE || n == -ECONNRESET);
}

/* Catches a signal, or a success without end, after the peer has gone. */
TEST(reports_a_peer_that_has_gone)
{
    run_all(check_close);
}

SUSPENDS static void check_abort(Pair *pair)
{
    char buf[8];
    ssize_t n;

    stream_abort(pair->a);
    n = stream_read(pair->b, buf, 8);
    EXPECT(n == 0 || n == -ECONNRESET);
    n = stream_write(pair->a, "x", 1);
    EXPECT(n < 0);
}

/* Catches an abort that the peer does not see. */
TEST(aborts)
{
    run_all(check_abort);
}

SUSPENDS static int wait_for_close(void *arg)
{
    return stream_wait_close(arg);
}

SUSPENDS static int close_later(void *arg)
{
    Pair *pair = arg;
    int r = sl_sleep_ms(1);

    stream_close(TAKE(pair->a));
    return r;
}

SUSPENDS static void check_wait_close(Pair *pair)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    char buf[2];

    EXPECT_OK(stream_write_all(pair->a, "xy", 2));
    EXPECT_EQ(wait_for_close(pair->b), STREAM_HAS_DATA);
    EXPECT_OK(stream_read_exact(pair->b, buf, 2));
    sl_spawn(nursery, close_later, pair);
    EXPECT_OK(wait_for_close(pair->b));
    EXPECT_OK(sl_nursery_join(nursery));
}

/* Catches a watch that misses the peer's leaving, or takes bytes. */
TEST(watches_for_the_close)
{
    run_all(check_wait_close);
}

SUSPENDS static void check_deadline(Pair *pair)
{
    sl_scope scope;
    char buf[4];
    ssize_t n;

    sl_scope_begin(&scope, .timeout_ms = 2);
    n = stream_read(pair->a, buf, 4);
    EXPECT_EQ(n, -ECANCELED);
    EXPECT_EQ(sl_scope_end(&scope, (int) n), -ETIMEDOUT);
    sl_scope_begin(&scope, .timeout_ms = 2);
    EXPECT_EQ(sl_scope_end(&scope, stream_wait_readable(pair->a)), -ETIMEDOUT);
    sl_scope_begin(&scope, .timeout_ms = 2);
    EXPECT_EQ(sl_scope_end(&scope, stream_wait_close(pair->a)), -ETIMEDOUT);

    /* A writer whose peer does not read. */
    sl_scope_begin(&scope, .timeout_ms = 5);
    do {
        static const char zeros[65536];

        n = stream_write(pair->a, zeros, sizeof(zeros));
    } while (n > 0);
    EXPECT_EQ(sl_scope_end(&scope, (int) n), -ETIMEDOUT);

    /* Cancelled already: no byte moves. */
    sl_scope_begin(&scope);
    sl_scope_cancel(&scope);
    EXPECT_EQ(stream_write(pair->b, "x", 1), -ECANCELED);
    EXPECT_OK(sl_scope_end(&scope, -ECANCELED));
    EXPECT_EQ(stream_try_read(pair->a, buf, 4), -EAGAIN);
    stream_abort(pair->a); /* what it still holds is for nobody */
}

/* Catches an operation that outlives its scope, or works without checking it. */
TEST(obeys_scopes)
{
    run_all(check_deadline);
}

SUSPENDS static void check_short(Pair *pair)
{
    char buf[8];

    EXPECT_OK(stream_write_all(pair->a, "abc", 3));
    EXPECT_OK(stream_shutdown(pair->a));
    EXPECT_ERR(stream_read_exact(pair->b, buf, 8), -ERR_CLOSED, "after 3 of 8 bytes");
}

/* Catches a short read passed off as a whole one. */
TEST(reads_exactly_or_not)
{
    run_all(check_short);
}

#if SL_HAVE_OPENSSL
/* The last: what all pairs shared. */
TEST(frees_what_is_shared)
{
    tls_context_free(TAKE(tls_client));
    tls_context_free(TAKE(tls_server));
}
#endif

TEST_MAIN()
