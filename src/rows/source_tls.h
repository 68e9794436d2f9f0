/*
 * TLS of sources that listen: three settings, and the context that they make.
 */
#pragma once

#include "base/text.h"
#include "net/tls.h"

typedef struct SourceTls {
    Str cert; /* file with the certificate, PEM; empty: no TLS */
    Str key;  /* file with its key, PEM */
    Str ca;   /* file with authorities of clients, PEM; empty: any client */
} SourceTls;

/* What is wrong with the settings together, or NULL. */
const char *source_tls_check(const SourceTls *tls);

/* The context for connections that are accepted; NULL without a certificate. 0; -ERR_TLS with the
 * file's name; -ERR_UNSUPPORTED in a build without TLS. */
MUST SUSPENDS int source_tls_open(const SourceTls *tls, TlsContext **ret_context);
void source_tls_close(TlsContext *context); /* NULL is nothing */
