/*
 * What TLS connections share, made on the pool: OpenSSL reads its own settings and our files there,
 * and fetches its algorithms, which takes some milliseconds once.
 */
#include "net/tls_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

#include <sluice/rt.h>

#include <openssl/err.h>
#include <stdio.h>

typedef struct Load {
    const TlsContextOpts *opts;
    TlsContext *context;
} Load;

/* A key that wants a pass phrase must not ask the terminal for it. */
static int refuse_phrase(char *buf, int size, int is_write, void *ctx)
{
    (void) buf;
    (void) size;
    (void) is_write;
    (void) ctx;
    return -1;
}

static int fail_file(const char *what, const char *path)
{
    char words[300];

    (void) snprintf(words, sizeof(words), "%s %s", what, path);
    return tls_fail(words);
}

static void set_rules(SSL_CTX *ssl, const TlsContextOpts *opts)
{
    int verify = opts->wants_client ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                    : (opts->is_insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER);

    SSL_CTX_set_verify(ssl, verify, NULL);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(ssl, 1);
    SSL_CTX_set_default_passwd_cb(ssl, refuse_phrase);
}

static int load_files(SSL_CTX *ssl, const TlsContextOpts *opts)
{
    if (opts->ca_file && SSL_CTX_load_verify_file(ssl, opts->ca_file) != 1)
        return fail_file("the authorities of", opts->ca_file);
    if (!opts->ca_file && !opts->is_insecure && SSL_CTX_set_default_verify_paths(ssl) != 1)
        return tls_fail("the authorities of this system");
    if (!opts->cert_file)
        return 0;
    if (SSL_CTX_use_certificate_chain_file(ssl, opts->cert_file) != 1)
        return fail_file("the certificate of", opts->cert_file);
    if (SSL_CTX_use_PrivateKey_file(ssl, opts->key_file, SSL_FILETYPE_PEM) != 1)
        return fail_file("the key of", opts->key_file);
    return 0;
}

/* On the pool. */
static int load(void *arg)
{
    Load *load = arg;
    TlsContext *context = load->context;

    ERR_clear_error();
    context->carrier = tls_carrier_new();
    context->ssl = SSL_CTX_new(TLS_method());
    if (!context->ssl || !context->carrier)
        return tls_fail("no context");
    if (SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION) != 1)
        return tls_fail("TLS 1.2");
    set_rules(context->ssl, load->opts);
    return load_files(context->ssl, load->opts);
}

int tls_context_new(const TlsContextOpts *opts, TlsContext **ret_context)
{
    AUTO(tls_context_free) TlsContext *context = NULL;
    Load job = { .opts = opts };
    int r;

    ASSERT(opts && ret_context);
    ASSERT(!opts->cert_file == !opts->key_file);
    context = mem_new(TlsContext);
    context->is_insecure = opts->is_insecure;
    context->wants_client = opts->wants_client;
    job.context = context;
    r = sl_offload(load, &job, .name = "tls files");
    if (r < 0)
        return r;
    *ret_context = TAKE(context);
    return 0;
}

void tls_context_free(TlsContext *context)
{
    if (!context)
        return;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->carrier);
    mem_free(context);
}
