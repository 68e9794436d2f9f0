/*
 * TLS between two of our own ends: what a cut or a changed bit does at any byte, what is one
 * record, and that a cancelled write loses and doubles nothing. That a TLS stream is a stream is
 * net/stream_contract_test.c; who is trusted is tls_trust_test.c.
 */
#include "net/tls.h"

#include "base/macro.h"
#include "base/test.h"
#include "net/listener.h"
#include "net/sim_net.h"
#include "net/tls_world_int.h"

#include <sluice/rt.h>

#include <errno.h>

/* ---- a wire that can be cut ------------------------------------------------------------------ */

/* Copies from one stream to another: PASS_BYTES of it, then ends; turns over a bit of byte
 * FLIP_AT. */
typedef struct Wire {
    Stream *from, *to;
    size_t pass_bytes, flip_at;
    size_t passed;
} Wire;

SUSPENDS static int carry(void *arg)
{
    Wire *wire = arg;
    char piece[512];
    ssize_t n;

    while (wire->passed < wire->pass_bytes &&
           (n = stream_read(wire->from, piece, sizeof(piece))) > 0) {
        size_t len = MIN((size_t) n, wire->pass_bytes - wire->passed);

        if (wire->flip_at >= wire->passed && wire->flip_at < wire->passed + len)
            piece[wire->flip_at - wire->passed] ^= 4;
        if (stream_write_all(wire->to, piece, len) < 0)
            break;
        wire->passed += len;
    }
    (void) stream_shutdown(wire->to); /* the other side may have gone */
    return 0;
}

/* Ends whose bytes go over wires: DOWN carries what the server says. */
typedef struct Wired {
    Ends ends;
    Wire up, down;
} Wired;

SUSPENDS static bool wired_open(Wired *wired, size_t pass_bytes, size_t flip_at)
{
    Stream *near_, *far_;

    if (!ends_open(&wired->ends, "shop.test", trusting, SERVER("shop")))
        return false;
    /* client.under - x    wires    y - server.under */
    far_ = TAKE(wired->ends.server.under);
    EXPECT_OK(stream_pair(&near_, &wired->ends.server.under));
    wired->up = (Wire){ .from = far_, .to = near_, .pass_bytes = SIZE_MAX, .flip_at = SIZE_MAX };
    wired->down = (Wire){ .from = near_, .to = far_, .pass_bytes = pass_bytes, .flip_at = flip_at };
    return true;
}

SUSPENDS static void wired_close(Wired *wired)
{
    ends_close(&wired->ends);
    stream_close(wired->up.from);
    stream_close(wired->up.to);
}

/* The server says "hello" and closes; what the client gets: its bytes, and how it ended. */
SUSPENDS static ssize_t hear(Wired *wired, size_t *ret_heard)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.keep_going = true);
    char buf[64];
    ssize_t n = 0;

    *ret_heard = 0;
    sl_spawn(nursery, carry, &wired->up, .name = "up");
    sl_spawn(nursery, carry, &wired->down, .name = "down");
    shake(&wired->ends);
    if (wired->ends.server.stream) {
        (void) stream_write_all(wired->ends.server.stream, "hello", 5); /* it may be cut */
        stream_close(TAKE(wired->ends.server.stream));
    }
    if (wired->ends.client.stream) {
        while ((n = stream_read(wired->ends.client.stream, buf, sizeof(buf))) > 0)
            *ret_heard += (size_t) n;
        stream_close(TAKE(wired->ends.client.stream));
    }
    sl_nursery_cancel(nursery);
    (void) sl_nursery_join(nursery); /* the wires end as they are cancelled */
    return n;
}

/* Cut behind every N-th byte of what the server says, and every third at its end: always an error.
 * The length differs by some bytes each time, as signatures do. */
SUSPENDS static int check_cuts(void *arg)
{
    Wired wired;
    size_t heard, all, in_handshake = 0, behind = 0;

    (void) arg;
    if (!wired_open(&wired, SIZE_MAX, SIZE_MAX))
        return 0;
    EXPECT_EQ(hear(&wired, &heard), 0);
    EXPECT_EQ(heard, 5);
    all = wired.down.passed;
    wired_close(&wired);
    EXPECT(all > 500);
    for (size_t cut = 0; cut < all - 12; cut += cut + 80 < all ? 61 : 3) {
        ssize_t n;

        if (!wired_open(&wired, cut, SIZE_MAX))
            return 0;
        n = hear(&wired, &heard);
        if (wired.ends.client.err.code != 0) {
            EXPECT_EQ(wired.ends.client.err.code, -ECONNRESET);
            EXPECT(strstr(wired.ends.client.err.text, "closed the connection in the handshake"));
            in_handshake++;
        } else {
            EXPECT_ERR((int) n, -ECONNRESET, "it ended without TLS's own close");
            behind++;
        }
        wired_close(&wired);
        if (test_has_failed())
            return 0;
    }
    EXPECT(in_handshake > 5 && behind > 5);
    return 0;
}

/* Catches a cut that passes for the end, anywhere. */
TEST(tells_a_cut_from_the_end)
{
    run(check_cuts);
}

SUSPENDS static int check_flips(void *arg)
{
    size_t heard, all;
    Wired wired;

    (void) arg;
    if (!wired_open(&wired, SIZE_MAX, SIZE_MAX))
        return 0;
    EXPECT_EQ(hear(&wired, &heard), 0);
    all = wired.down.passed;
    wired_close(&wired);
    for (size_t at = all - 40; at < all - 12; at += 7) {
        if (!wired_open(&wired, SIZE_MAX, at))
            return 0;
        EXPECT(hear(&wired, &heard) < 0);
        wired_close(&wired);
    }
    return 0;
}

/* Catches bytes that were changed on the way and are believed. */
TEST(notices_a_changed_bit)
{
    run(check_flips);
}

/* ---- records --------------------------------------------------------------------------------- */

SUSPENDS static int check_records(void *arg)
{
    static char big[100 * 1000];
    char text[] = "one two three";
    struct iovec iov[] = { { text, 4 }, { text, 0 }, { text + 4, 4 }, { text + 8, 5 } };
    uint64_t before, writes;
    Ends ends;
    char buf[64];
    size_t got = 0;
    ssize_t n = 0;

    (void) arg;
    if (!ends_open(&ends, "shop.test", trusting, SERVER("shop")))
        return 0;
    shake(&ends);
    if (!ends.client.stream || !ends.server.stream)
        return fail(-ERR_TLS, "no hands");
    EXPECT_C(tls_version(ends.client.stream), "TLSv1.3");
    EXPECT_C(ends.client.stream->ops->kind, "tls");
    writes = ends.client.stream->writes;
    EXPECT_EQ(stream_writev(ends.client.stream, iov, 4), 13);
    EXPECT_EQ(ends.client.stream->writes, writes + 1);
    EXPECT_EQ(stream_read(ends.server.stream, buf, sizeof(buf)), 13); /* one record */
    EXPECT_STR(str_from(buf, 13), STR_C("one two three"));

    before = ends.client.stream->bytes_written;
    n = stream_write(ends.client.stream, big, sizeof(big));
    EXPECT_EQ(n, 65536); /* four records, then it is somebody else's turn */
    EXPECT_EQ(ends.client.stream->bytes_written, before + 65536);
    while (got < 65536 && (n = stream_read(ends.server.stream, buf, sizeof(buf))) > 0)
        got += (size_t) n;
    EXPECT_EQ(got, 65536);
    ends_close(&ends);
    return 0;
}

/* Catches a record, or a system call, for each piece of a write. */
TEST(puts_pieces_into_one_record)
{
    run(check_records);
}

/* ---- cancellation ---------------------------------------------------------------------------- */

#define TOTAL ((size_t) 200 * 1000)

static char byte_at(size_t i)
{
    return (char) (i * 31 >> 3);
}

SUSPENDS static int read_slowly(void *arg)
{
    Stream *stream = arg;
    char buf[300];
    size_t got = 0;
    ssize_t n;

    while ((n = stream_read(stream, buf, sizeof(buf))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] != byte_at(got + (size_t) i))
                return fail(-ERR_INVALID, "byte %zu is wrong", got + (size_t) i);
        got += (size_t) n;
        if (sl_sleep_ns(200 * 1000) < 0)
            return -ECANCELED;
    }
    EXPECT_EQ(n, 0);
    EXPECT_EQ(got, TOTAL);
    return 0;
}

SUSPENDS static int accept_sim(void *arg)
{
    Ends *ends = arg;
    Listener *listener = NULL;
    int r = sim_net_listen(ends->net, "there", &listener);

    if (r == 0)
        r = listener_accept(listener, &ends->server.under);
    listener_close(listener);
    return r;
}

/* Both ends over a simulated wire of 700 bytes. */
SUSPENDS static bool sim_open(Ends *ends)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    if (!ends_open(ends, "shop.test", trusting, SERVER("shop")))
        return false;
    stream_close(TAKE(ends->client.under));
    stream_close(TAKE(ends->server.under));
    ends->net = sim_net_new(&(SimNetOpts){
        .latency_max_us = 300, .window_bytes = 700, .short_read = 0.3, .short_write = 0.3 });
    sl_spawn(nursery, accept_sim, ends);
    EXPECT_OK(sl_yield());
    EXPECT_OK(sim_net_connect(ends->net, "there", &ends->client.under));
    EXPECT_OK(sl_nursery_join(nursery));
    shake(ends);
    return ends->client.stream && ends->server.stream;
}

SUSPENDS static int check_cancelled(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = NULL;
    size_t sent = 0, n_cancelled = 0;
    Ends ends;

    (void) arg;
    if (!sim_open(&ends))
        return fail(-ERR_TLS, "no hands");
    nursery = sl_nursery_open();
    sl_spawn(nursery, read_slowly, ends.server.stream);
    while (sent < TOTAL && n_cancelled < 20000) {
        char piece[3000];
        size_t len = MIN(sizeof(piece), TOTAL - sent);
        sl_scope scope;
        ssize_t n;

        for (size_t i = 0; i < len; i++)
            piece[i] = byte_at(sent + i);
        sl_scope_begin(&scope, .timeout_ms = 1);
        n = stream_write(ends.client.stream, piece, len);
        if (sl_scope_end(&scope, n < 0 ? (int) n : 0) == -ETIMEDOUT)
            n_cancelled++;
        else if (n < 0)
            return (int) n;
        sent += n > 0 ? (size_t) n : 0;
    }
    EXPECT(sent == TOTAL && n_cancelled > 10);
    EXPECT_OK(stream_shutdown(ends.client.stream));
    EXPECT_OK(sl_nursery_join(nursery));
    ends_close(&ends);
    return 0;
}

/* Catches half a record that is lost, or sent again, when a write was cancelled in it. */
TEST(survives_cancelled_writes)
{
    make_files();
    for (uint64_t seed = 1; seed < 5; seed++)
        EXPECT_OK(sl_run(check_cancelled, NULL, .loop = SL_LOOP_SIM, .seed = seed));
}

SUSPENDS static int read_one(void *arg)
{
    char byte;

    return (int) stream_read(arg, &byte, 1);
}

SUSPENDS static int close_under(void *arg)
{
    Ends *ends = arg;

    if (sl_sleep_ms(1) == 0)
        stream_close(TAKE(ends->client.stream));
    return 0;
}

SUSPENDS static int check_close_under_reader(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = NULL;
    Ends ends;
    int r;

    (void) arg;
    if (!ends_open(&ends, "shop.test", trusting, SERVER("shop")))
        return 0;
    shake(&ends);
    nursery = sl_nursery_open();
    sl_spawn(nursery, close_under, &ends);
    r = read_one(ends.client.stream);
    EXPECT_EQ(r, -EBADF);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(read_one(ends.server.stream), 0); /* a close that said so */
    ends_close(&ends);
    return 0;
}

/* Catches a session that is freed under its reader. */
TEST(closes_under_a_reader)
{
    run(check_close_under_reader);
}

TEST_MAIN()
