/*
 * TLS of sources that listen; see the header.
 */
#include "rows/source_tls.h"

#include "base/arena.h"
#include "base/err.h"

const char *source_tls_check(const SourceTls *tls)
{
    if ((tls->cert.len > 0) != (tls->key.len > 0))
        return "tls_cert and tls_key go together";
    if (tls->ca.len > 0 && tls->cert.len == 0)
        return "tls_ca needs tls_cert";
    return NULL;
}

#if SL_HAVE_OPENSSL
int source_tls_open(const SourceTls *tls, TlsContext **ret_context)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    TlsContextOpts opts = { .cert_file = arena_copy_c(&arena, tls->cert),
                            .key_file = arena_copy_c(&arena, tls->key) };

    *ret_context = NULL;
    if (tls->cert.len == 0)
        return 0;
    if (tls->ca.len > 0) {
        opts.ca_file = arena_copy_c(&arena, tls->ca);
        opts.wants_client = true;
    }
    return tls_context_new(&opts, ret_context);
}

void source_tls_close(TlsContext *context)
{
    tls_context_free(context);
}
#else
int source_tls_open(const SourceTls *tls, TlsContext **ret_context)
{
    *ret_context = NULL;
    return tls->cert.len > 0 ? fail(-ERR_UNSUPPORTED, "this build has no TLS") : 0;
}

void source_tls_close(TlsContext *context)
{
    (void) context;
}
#endif
