/*
 * For tests of TLS: certificates made here, as PEM files NAME.pem and NAME.key in the current
 * directory. Keys are P-256.
 */
#pragma once

#include "base/assert.h"

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
