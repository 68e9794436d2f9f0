/*
 * For tests of TLS: certificates made here, as PEM files NAME.pem and NAME.key in the current
 * directory (keys are P-256), and two ends that shake hands.
 */
#pragma once

#include "base/assert.h"
#include "base/macro.h"
#include "base/test.h"
#include "net/sim_net.h"
#include "net/tls.h"

#include <sluice/rt.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>

typedef struct TestCert {
    EVP_PKEY *key;
    X509 *cert;
} TestCert;

typedef struct TestCertOpts {
    const char *file;       /* NAME */
    const char *names;      /* "DNS:shop.test,IP:127.0.0.1"; NULL for an authority */
    const TestCert *issuer; /* NULL: itself */
    long from_s, to_s;      /* of its validity, from now; both 0: a day each way */
} TestCertOpts;

static inline void test_cert_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ASSERT(extension && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static inline void test_cert_write(const TestCert *made, const char *name)
{
    char path[100];
    FILE *file;

    (void) snprintf(path, sizeof(path), "%s.pem", name);
    file = fopen(path, "w");
    ASSERT(file && PEM_write_X509(file, made->cert) == 1 && fclose(file) == 0);
    (void) snprintf(path, sizeof(path), "%s.key", name);
    file = fopen(path, "w");
    ASSERT(file && PEM_write_PrivateKey(file, made->key, NULL, NULL, 0, NULL, NULL) == 1 &&
           fclose(file) == 0);
}

static inline TestCert test_cert_make(const TestCertOpts *opts)
{
    TestCert made = { EVP_EC_gen("P-256"), X509_new() };
    X509 *issuer = opts->issuer ? opts->issuer->cert : made.cert;
    bool has_times = opts->from_s != 0 || opts->to_s != 0;

    ASSERT(made.key && made.cert);
    X509_set_version(made.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.cert), 1 + (long) (uint8_t) opts->file[0]);
    X509_gmtime_adj(X509_getm_notBefore(made.cert), has_times ? opts->from_s : -86400);
    X509_gmtime_adj(X509_getm_notAfter(made.cert), has_times ? opts->to_s : 86400);
    X509_set_pubkey(made.cert, made.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made.cert), "CN", MBSTRING_ASC,
                               (const unsigned char *) opts->file, -1, -1, 0);
    X509_set_issuer_name(made.cert, X509_get_subject_name(issuer));
    test_cert_extend(made.cert, issuer, NID_basic_constraints,
                     opts->names ? "CA:FALSE" : "critical,CA:TRUE");
    if (opts->names)
        test_cert_extend(made.cert, issuer, NID_subject_alt_name, opts->names);
    ASSERT(X509_sign(made.cert, opts->issuer ? opts->issuer->key : made.key, EVP_sha256()) > 0);
    test_cert_write(&made, opts->file);
    return made;
}

static inline void test_cert_free(TestCert *made)
{
    EVP_PKEY_free(made->key);
    X509_free(made->cert);
}

/* ---- the files of the tests ------------------------------------------------------------------ */

/* Makes all the files, once; they lie in the test's directory. */
static inline void make_files(void)
{
    static bool is_made;
    TestCert ca, other, made[8];
    size_t n = 0;

    if (is_made)
        return;
    is_made = true;
    ca = test_cert_make(&(TestCertOpts){ .file = "authority" });
    other = test_cert_make(&(TestCertOpts){ .file = "stranger" });
#define MAKE(...) made[n++] = test_cert_make(&(TestCertOpts){ __VA_ARGS__ })
    MAKE(.file = "shop", .names = "DNS:shop.test,DNS:*.shop.test,IP:127.0.0.1", .issuer = &ca);
    MAKE(.file = "old", .names = "DNS:shop.test", .issuer = &ca, .from_s = -9000, .to_s = -4000);
    MAKE(.file = "young", .names = "DNS:shop.test", .issuer = &ca, .from_s = 4000, .to_s = 9000);
    MAKE(.file = "foreign", .names = "DNS:shop.test", .issuer = &other);
    MAKE(.file = "alone", .names = "DNS:shop.test");
    MAKE(.file = "client", .names = "DNS:client.test", .issuer = &ca);
#undef MAKE
    while (n > 0)
        test_cert_free(&made[--n]);
    test_cert_free(&ca);
    test_cert_free(&other);
}

static inline TlsContextOpts server_of(const char *pem, const char *key)
{
    return (TlsContextOpts){ .ca_file = "authority.pem", .cert_file = pem, .key_file = key };
}

#define SERVER(name) server_of(name ".pem", name ".key")

static const TlsContextOpts trusting = { .ca_file = "authority.pem" };

/* ---- two ends -------------------------------------------------------------------------------- */

typedef struct End {
    TlsContext *context;
    Stream *under;
    Stream *stream;
    Err err; /* of the handshake; code 0 when it worked */
} End;

typedef struct Ends {
    End client, server;
    const char *name;
    SimNet *net;
} Ends;

SUSPENDS static inline int serve(void *arg)
{
    End *end = arg;
    int r = tls_accept(end->context, TAKE(end->under), &end->stream);

    if (r < 0)
        err_take(r, &end->err);
    return 0;
}

/* Shake hands over what `under` of both ends is. */
SUSPENDS static inline void shake(Ends *ends)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int r;

    sl_spawn(nursery, serve, &ends->server, .name = "server");
    r = tls_connect(ends->client.context, TAKE(ends->client.under), ends->name,
                    &ends->client.stream);
    if (r < 0)
        err_take(r, &ends->client.err);
    EXPECT_OK(sl_nursery_join(nursery));
}

/* Contexts, and two streams over a socket pair. */
SUSPENDS static inline bool ends_open(Ends *ends, const char *name, TlsContextOpts client,
                                      TlsContextOpts server)
{
    int r;

    *ends = (Ends){ .name = name };
    r = tls_context_new(&client, &ends->client.context);
    if (r == 0)
        r = tls_context_new(&server, &ends->server.context);
    if (r == 0)
        r = stream_pair(&ends->client.under, &ends->server.under);
    EXPECT_OK(r);
    return r == 0;
}

SUSPENDS static inline void ends_close(Ends *ends)
{
    stream_close(TAKE(ends->client.stream));
    stream_close(TAKE(ends->server.stream));
    stream_close(TAKE(ends->client.under));
    stream_close(TAKE(ends->server.under));
    tls_context_free(TAKE(ends->client.context));
    tls_context_free(TAKE(ends->server.context));
    sim_net_free(TAKE(ends->net));
}

static inline void run(sl_fn fn)
{
    static const enum sl_loop_kind loops[] = { SL_LOOP_EPOLL, SL_LOOP_URING };

    make_files();
    for (size_t i = 0; i < ARRAY_LEN(loops); i++) {
        int r = sl_run(fn, NULL, .loop = loops[i]);

        if (r < 0 && str_eq_c(str_from_c(err_name(r)), "UNSUPPORTED"))
            continue; /* this machine has no io_uring */
        EXPECT_OK(r);
    }
}
