/*
 * TLS over any stream: a layer that is a stream itself (net/stream.h) and holds the one it covers.
 *
 *   Redis, …     stream_read, stream_writev, stream_close
 *      |
 *   TlsStream    records: encrypt, decrypt, verify            one SSL of OpenSSL, no descriptor
 *      |
 *   under        try_read, wait_readable, writev              tcp, unix, sim
 *
 * OpenSSL never waits here: it takes ciphertext from `under` without waiting and puts ciphertext
 * into a buffer, and all waiting is the covered stream's. So scopes, deadlines, the simulated loop
 * and its faults hold for TLS as they do for TCP.
 *
 * TLS 1.2 at least. The peer's name is checked, as a host name or, when it is one, as an IP
 * address, and its certificate against the authorities of the context; words say what is wrong with
 * it. An end without TLS's own close is a cut, not an end: reading gives -ECONNRESET.
 *
 * What a write was given and said to have taken has been encrypted; when its scope is cancelled
 * while the carrier is full, the rest goes out with the next write or the close.
 *
 * Needs OpenSSL (tls.needs). A build without it lacks this file, and SL_HAVE_OPENSSL of the
 * generated features.h is 0: callers put their calls under #if and fail with -ERR_UNSUPPORTED and
 * words where TLS was asked for.
 */
#pragma once

#include "base/own.h"
#include "net/stream.h"

#include <stdbool.h>

/*
 * What connections share: the authorities, our own certificate, the rules. Files are read once,
 * when it is made. It is used by connections of any loop and must outlive them.
 */
typedef struct TlsContext TlsContext;

typedef struct TlsContextOpts {
    const char *ca_file;   /* authorities, PEM; NULL: the system's */
    const char *cert_file; /* our certificate and what leads to its authority, PEM; NULL: none */
    const char *key_file;  /* its key, PEM, not encrypted; NULL only without cert_file */
    bool is_insecure;      /* a server's certificate and name are not looked at */
    bool wants_client;     /* as a server: the client must show a certificate of ca_file */
} TlsContextOpts;

/* 0, or -ERR_TLS with the file's name and what is wrong with it. Waits for the pool. */
MUST SUSPENDS int tls_context_new(const TlsContextOpts *opts, TlsContext **ret_context);
void tls_context_free(TlsContext *context);
DEFINE_AUTO(TlsContext *, tls_context_free);

/*
 * Shake hands over UNDER, a connected stream, as a client: NAME is the server's, a host name (sent
 * to it, so that it can choose a certificate) or an IP address; NULL only where the context is
 * insecure. Returns 0 and a stream that owns UNDER; after an error UNDER is closed. Errors:
 * -ERR_TLS when the peers do not agree or do not trust each other, the carrier's when it failed,
 * -ECONNRESET when it ended, -ECANCELED. Uses up to 32 KiB of the fiber's stack.
 */
MUST SUSPENDS int tls_connect(TlsContext *context, TAKES Stream *under, const char *name,
                              Stream **ret_stream);

/* As tls_connect, as the server: the context has a certificate. */
MUST SUSPENDS int tls_accept(TlsContext *context, TAKES Stream *under, Stream **ret_stream);

/* The version that was agreed on, "TLSv1.3"; STREAM is one of tls_connect or tls_accept. */
const char *tls_version(const Stream *stream);
