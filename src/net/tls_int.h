/*
 * What the files of TLS share.
 */
#pragma once

#include "net/tls.h"

#include <openssl/ssl.h>

struct TlsContext {
    SSL_CTX *ssl;
    BIO_METHOD *carrier; /* how OpenSSL reaches a covered stream */
    bool is_insecure;
    bool wants_client;
};

/* How OpenSSL reads and writes a TlsStream's covered stream; tls.c. NULL without memory. */
MUST BIO_METHOD *tls_carrier_new(void);

#define TLS_WHY_BYTES 320

/* Words for what is wrong with the certificate that STORE looks at, into OUT; NAME is whose it
 * should be, or NULL. */
void tls_describe_certificate(X509_STORE_CTX *store, const char *name, char out[TLS_WHY_BYTES]);

/* An error from OpenSSL's queue of this thread: -ERR_TLS. */
int tls_fail(const char *what);
