/*
 * TLS: who is trusted, and with which words not; and somebody else's TLS, a Redis server's.
 */
#include "net/tls.h"

#include "base/macro.h"
#include "base/test.h"
#include "base/test_port.h"
#include "base/test_redis.h"
#include "net/listener.h"
#include "net/tls_world_int.h"

#include <sluice/rt.h>

#include <errno.h>
#include <stdlib.h>

/* ---- trust ----------------------------------------------------------------------------------- */

/* WORDS of the client's error, NULL for none; the server's too. */
SUSPENDS static void expect_hands(int line, const char *name, TlsContextOpts client,
                                  TlsContextOpts server, const char *words, const char *servers)
{
    const char *wants[] = { words, servers };
    Ends ends;

    if (!ends_open(&ends, name, client, server))
        return;
    shake(&ends);
    for (size_t i = 0; i < 2; i++) {
        const Err *err = i == 0 ? &ends.client.err : &ends.server.err;

        if (!wants[i] ? err->code != 0 : (err->code != -ERR_TLS || !strstr(err->text, wants[i])))
            test_fail(__FILE__, line, "%s: got %d (%s), want %s", i == 0 ? "client" : "server",
                      err->code, err->text, wants[i] ? wants[i] : "none");
    }
    ends_close(&ends);
}

#define EXPECT_HANDS(...) expect_hands(__LINE__, __VA_ARGS__)

SUSPENDS static int check_trust(void *arg)
{
    TlsContextOpts insecure = { .is_insecure = true };

    (void) arg;
    EXPECT_HANDS("shop.test", trusting, SERVER("shop"), NULL, NULL);
    EXPECT_HANDS("a.shop.test", trusting, SERVER("shop"), NULL, NULL);
    EXPECT_HANDS("127.0.0.1", trusting, SERVER("shop"), NULL, NULL);
    EXPECT_HANDS("else.test", trusting, SERVER("shop"),
                 "is for shop.test, *.shop.test, an address, not for else.test",
                 "refuses our certificate");
    EXPECT_HANDS("127.0.0.2", trusting, SERVER("shop"), "not for 127.0.0.2", "refuses");
    EXPECT_HANDS("a.b.shop.test", trusting, SERVER("shop"), "not for a.b.shop.test", "refuses");
    EXPECT_HANDS("shop.test", trusting, SERVER("old"), "certificate of shop.test expired on 20",
                 "has expired");
    EXPECT_HANDS("shop.test", trusting, SERVER("young"), "is valid from 20", "refuses");
    EXPECT_HANDS("shop.test", trusting, SERVER("foreign"),
                 "was signed by an authority that is not trusted", "not know the authority");
    EXPECT_HANDS("shop.test", trusting, SERVER("alone"), "self-signed and not trusted",
                 "not know the authority");
    EXPECT_HANDS("shop.test", (TlsContextOpts){ 0 }, SERVER("shop"), "not trusted", "authority");
    EXPECT_HANDS("else.test", insecure, SERVER("old"), NULL, NULL);
    EXPECT_HANDS(NULL, insecure, SERVER("alone"), NULL, NULL);
    EXPECT_HANDS("shop.test", (TlsContextOpts){ .ca_file = "alone.pem" }, SERVER("alone"), NULL,
                 NULL);
    return 0;
}

/* Catches a certificate that is not the server's, not valid, or nobody's. */
TEST(trusts_whom_it_should)
{
    run(check_trust);
}

SUSPENDS static int check_client_certificate(void *arg)
{
    TlsContextOpts strict = SERVER("shop"), foreign = SERVER("foreign");
    Ends ends;
    char byte;

    (void) arg;
    strict.wants_client = true;
    EXPECT_HANDS("shop.test", SERVER("client"), strict, NULL, NULL);
    EXPECT_HANDS("shop.test", foreign, strict, NULL, "not trusted");

    /* In TLS 1.3 a client hears only by reading that it was refused. */
    if (!ends_open(&ends, "shop.test", trusting, strict))
        return 0;
    shake(&ends);
    EXPECT_EQ(ends.client.err.code, 0);
    EXPECT(strstr(ends.server.err.text, "showed no certificate"));
    if (ends.client.stream) {
        EXPECT_ERR((int) stream_read(ends.client.stream, &byte, 1), -ERR_TLS,
                   "wants a certificate of ours");
        EXPECT_ERR((int) stream_read(ends.client.stream, &byte, 1), -ERR_TLS,
                   "wants a certificate of ours"); /* and so it stays */
    }
    ends_close(&ends);
    return 0;
}

/* Catches a client that is let in without its certificate, and one that is not told why not. */
TEST(shows_a_client_certificate)
{
    run(check_client_certificate);
}

SUSPENDS static int check_files(void *arg)
{
    TlsContext *context = NULL;
    FILE *file = fopen("words.pem", "w");

    (void) arg;
    EXPECT(file && fputs("no certificate\n", file) > 0 && fclose(file) == 0);
    file = fopen("locked.key", "w");
    EXPECT(file &&
           fputs("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                 "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiJ0000000000ICCAAw\n"
                 "-----END ENCRYPTED PRIVATE KEY-----\n",
                 file) > 0 &&
           fclose(file) == 0);
#define REFUSED(words, ...) \
    EXPECT_ERR(tls_context_new(&(TlsContextOpts){ __VA_ARGS__ }, &context), -ERR_TLS, words)
    REFUSED("the authorities of none.pem: No such file", .ca_file = "none.pem");
    REFUSED("the authorities of words.pem", .ca_file = "words.pem");
    REFUSED("the certificate of none.pem: No such file", .cert_file = "none.pem",
            .key_file = "shop.key");
    REFUSED("the key of none.key: No such file", .cert_file = "shop.pem", .key_file = "none.key");
    REFUSED("the key of client.key: key values mismatch", .cert_file = "shop.pem",
            .key_file = "client.key");
    REFUSED("the key of locked.key", .cert_file = "shop.pem", .key_file = "locked.key");
#undef REFUSED
    EXPECT(!context);
    return 0;
}

/* Catches a file that cannot be used and is not named, and a question at the terminal. */
TEST(names_the_file_that_is_wrong)
{
    run(check_files);
}

/* ---- peers that are no TLS ------------------------------------------------------------------- */

/* Connect to a peer that says BYTES, whatever it hears; LEN 0: nothing, for ever. */
SUSPENDS static int meet(Ends *ends, const char *bytes, size_t len)
{
    sl_scope scope;
    int r;

    if (!ends_open(ends, "shop.test", trusting, SERVER("shop")))
        return 0;
    if (len > 0)
        EXPECT_OK(stream_write_all(ends->server.under, bytes, len));
    sl_scope_begin(&scope, .timeout_ms = len > 0 ? 60000 : 20);
    r = tls_connect(ends->client.context, TAKE(ends->client.under), "shop.test",
                    &ends->client.stream);
    return sl_scope_end(&scope, r);
}

SUSPENDS static int check_no_tls(void *arg)
{
    static const char redis[] = "-ERR Protocol error\r\n";
    static const char alert[] = "\x15\x03\x01\x00\x02\x02\x46"; /* fatal: protocol_version */
    Ends ends;

    (void) arg;
    EXPECT_ERR(meet(&ends, redis, sizeof(redis) - 1), -ERR_TLS, "does not speak TLS");
    ends_close(&ends);
    EXPECT_ERR(meet(&ends, alert, sizeof(alert) - 1), -ERR_TLS, "no common version");
    ends_close(&ends);
    EXPECT_EQ(meet(&ends, NULL, 0), -ETIMEDOUT);
    ends_close(&ends);
    return 0;
}

/* Catches a hand held out for ever, and words that help nobody. */
TEST(meets_what_is_no_tls)
{
    run(check_no_tls);
}

/* ---- somebody else's TLS --------------------------------------------------------------------- */

/* Connect to the address, again until the server listens. */
SUSPENDS static int connect_patiently(const NetAddress *address, Stream **ret_stream)
{
    int r = stream_connect(address, ret_stream);

    for (int i = 0; i < 3000 && r < 0; i++) {
        r = sl_sleep_ms(10);
        if (r == 0)
            r = stream_connect(address, ret_stream);
    }
    return r;
}

SUSPENDS static void ping(const NetAddress *address)
{
    static const char wanted[] = "$6\r\nsecret\r\n";
    AUTO(tls_context_free) TlsContext *context = NULL;
    AUTO(stream_close) Stream *stream = NULL;
    TlsContextOpts opts = SERVER("client");
    Stream *under = NULL;
    char buf[sizeof(wanted)];

    EXPECT_OK(tls_context_new(&opts, &context));
    EXPECT_OK(connect_patiently(address, &under));
    if (!context || !under)
        return;
    EXPECT_OK(tls_connect(context, under, "127.0.0.1", &stream));
    if (!stream)
        return;
    EXPECT_OK(stream_write_all(stream, "ECHO secret\r\n", 13));
    EXPECT_OK(stream_read_exact(stream, buf, sizeof(wanted) - 1));
    EXPECT_STR(str_from(buf, sizeof(wanted) - 1), str_from_c(wanted));
}

SUSPENDS static int check_redis(void *arg)
{
    char port[8], text[32];
    const char *const argv[] = { test_redis_program(),
                                 "--port",
                                 "0",
                                 "--tls-port",
                                 port,
                                 "--bind",
                                 "127.0.0.1",
                                 "--tls-cert-file",
                                 "shop.pem",
                                 "--tls-key-file",
                                 "shop.key",
                                 "--tls-ca-cert-file",
                                 "authority.pem",
                                 "--save",
                                 "",
                                 "--appendonly",
                                 "no",
                                 "--daemonize",
                                 "no",
                                 "--logfile",
                                 "redis.log",
                                 NULL };
    sl_process *process = NULL;
    NetAddress address;

    (void) arg;
    (void) snprintf(port, sizeof(port), "%u", test_port());
    (void) snprintf(text, sizeof(text), "127.0.0.1:%s", port);
    EXPECT_OK(net_address_parse(str_from_c(text), &address));
    EXPECT_OK(sl_process_start(&process, argv));
    if (process)
        ping(&address);
    sl_process_close(process);
    return 0;
}

/* Catches a dialect of TLS that only we speak. Redis wants a client's certificate by itself. */
TEST(speaks_with_redis)
{
    if (!test_redis_has_tls()) {
        test_skip(TEST_NO_REDIS_TLS);
        return;
    }
    run(check_redis);
}

TEST_MAIN()
