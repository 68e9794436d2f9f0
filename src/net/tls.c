/*
 * TLS over any stream; see the header.
 *
 * The one BIO of a session is the carrier: reading tries the covered stream, without waiting, and
 * says "again later"; writing appends to `out`. Whoever called OpenSSL then waits, or flushes:
 *
 *   read    SSL_read --again--> wait until `under` is readable --> SSL_read …
 *   write   flush; SSL_write -> out; flush          out -> sending -> under
 *
 * T1  Only the fiber that writes flushes (and the close, when nobody does). A reader's answers (a
 *     change of keys, an alert) wait in `out` for it: they may stand before any record.
 * T2  While the covered stream has the bytes of `sending`, nothing is added to them: a reader may
 *     append to `out` meanwhile.
 * T3  The first error ends the session and is kept: every later call ends with it.
 * T4  Each call that suspends holds a reference, for the stream may be closed under it; behind a
 *     suspension nothing is touched before is_closed was looked at.
 * T5  OpenSSL's queue of errors belongs to the thread: it is emptied before each call and read
 *     behind it, before anything suspends.
 */
#include "net/tls_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/text.h"

#include <sluice/rt.h>

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#define RECORD_BYTES SSL3_RT_MAX_PLAIN_LENGTH    /* the most that one record holds */
#define BATCH_BYTES  ((size_t) 4 * RECORD_BYTES) /* of one write: the records leave together */

typedef struct TlsStream {
    Stream stream;
    Stream *under; /* owned; gone when is_closed */
    SSL *ssl;
    size_t refs;
    const char *name; /* borrowed, during the handshake: whose certificate it must be */
    Buf out;          /* ciphertext that OpenSSL has made */
    Buf sending;      /* ciphertext on its way to the covered stream */
    size_t sent;      /* of `sending` */
    char *plain;      /* RECORD_BYTES, made by the first write of several pieces */
    int under_r;      /* the error that the last try at the covered stream gave, or 0 */
    bool is_under_ended;
    bool is_flushing; /* a fiber is in flush() */
    bool is_shaken;   /* the handshake is over */
    bool is_ended;    /* close_notify has been written */
    bool is_aborted;
    bool is_closed;
    char why[TLS_WHY_BYTES]; /* what is wrong with the peer's certificate */
    Err first_err;           /* T3; its code is 0 while all is well */
} TlsStream;

/* Outcomes of what OpenSSL did. */
enum { TLS_WAIT = 1, TLS_END = 2 };

static TlsStream *tls_cast(Stream *stream)
{
    return CONTAINER_OF(stream, TlsStream, stream);
}

static TlsStream *tls_ref(Stream *stream)
{
    TlsStream *self = tls_cast(stream);

    self->refs++;
    return self;
}

static void tls_unref(TlsStream *self)
{
    ASSERT(self->refs > 0);
    if (--self->refs > 0)
        return;
    SSL_free(self->ssl);
    buf_deinit(&self->out);
    buf_deinit(&self->sending);
    mem_free(self->plain);
    mem_free(self);
}
DEFINE_AUTO(TlsStream *, tls_unref);

/* ---- the carrier ----------------------------------------------------------------------------- */

static int carrier_read(BIO *bio, char *buf, size_t len, size_t *ret_n)
{
    TlsStream *self = BIO_get_data(bio);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    ASSERT(!self->is_closed); /* T4 */
    n = stream_try_read(self->under, buf, len);
    if (n > 0) {
        *ret_n = (size_t) n;
        return 1;
    }
    if (n == -EAGAIN)
        BIO_set_retry_read(bio);
    else if (n < 0)
        self->under_r = (int) n;
    else
        self->is_under_ended = true;
    return 0;
}

static int carrier_write(BIO *bio, const char *data, size_t len, size_t *ret_n)
{
    TlsStream *self = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    buf_add(&self->out, data, len);
    if (self->out.is_failed)
        return 0;
    *ret_n = len;
    return 1;
}

static long carrier_ctrl(BIO *bio, int command, long number, void *ptr)
{
    const TlsStream *self = BIO_get_data(bio);

    (void) number;
    (void) ptr;
    switch (command) {
    case BIO_CTRL_FLUSH: return 1;
    case BIO_CTRL_EOF: return self->is_under_ended;
    }
    return 0;
}

BIO_METHOD *tls_carrier_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "stream");

    if (!method)
        return NULL;
    BIO_meth_set_read_ex(method, carrier_read);
    BIO_meth_set_write_ex(method, carrier_write);
    BIO_meth_set_ctrl(method, carrier_ctrl);
    return method;
}

/* ---- what OpenSSL did ------------------------------------------------------------------------ */

/* R ends the session; its words are kept. */
static int end_session(TlsStream *self, int r)
{
    if (self->first_err.code == 0)
        err_take(r, &self->first_err);
    return err_put(&self->first_err);
}

static int why_failed(TlsStream *self)
{
    if (self->out.is_failed)
        return wrap(buf_check(&self->out), "tls: too much to send");
    if (self->under_r < 0)
        return wrap(self->under_r, "tls");
    if (self->is_under_ended && !self->is_shaken)
        return fail(-ECONNRESET, "tls: the peer closed the connection in the handshake");
    if (self->is_under_ended)
        return fail(-ECONNRESET, "tls: the connection was cut: it ended without TLS's own close");
    if (self->why[0])
        return fail(-ERR_TLS, "tls: %s", self->why);
    return tls_fail(self->is_shaken ? "" : "handshake");
}

/* What a call of OpenSSL that returned OK, not above zero, came to. */
static int judge(TlsStream *self, int ok)
{
    switch (SSL_get_error(self->ssl, ok)) {
    case SSL_ERROR_WANT_READ: return TLS_WAIT;
    case SSL_ERROR_ZERO_RETURN: return TLS_END;
    }
    return end_session(self, why_failed(self));
}

/* Whether SELF may be used: 0, or why not. */
static int check(const TlsStream *self)
{
    if (self->is_closed)
        return fail(-EBADF, "stream closed");
    return self->first_err.code ? err_put(&self->first_err) : 0;
}

/* Decrypt into BUF, or only look whether something is there: 0, TLS_WAIT, TLS_END or an error. */
static int take(TlsStream *self, void *buf, size_t len, bool is_look, size_t *ret_n)
{
    int ok, r = check(self);

    if (r < 0)
        return r;
    ERR_clear_error(); /* T5 */
    self->under_r = 0;
    ok = is_look ? SSL_peek_ex(self->ssl, buf, len, ret_n)
                 : SSL_read_ex(self->ssl, buf, len, ret_n);
    return ok > 0 ? 0 : judge(self, ok);
}

/* Send what OpenSSL has written. Cancelled, the rest stays for the next flush. */
SUSPENDS static int flush(TlsStream *self)
{
    int r = 0;

    ASSERT(!self->is_flushing); /* T1 */
    self->is_flushing = true;
    while (r == 0) {
        ssize_t n;

        if (self->sent == self->sending.len) {
            Buf empty = self->sending;

            if (self->out.len == 0)
                break;
            buf_reset(&empty);
            self->sending = self->out;
            self->out = empty;
            self->sent = 0;
        }
        n = stream_write(self->under, self->sending.data + self->sent,
                         self->sending.len - self->sent); /* T2 */
        if (self->is_closed)
            r = fail(-EBADF, "stream closed");
        else if (n < 0)
            r = (int) n;
        else
            self->sent += (size_t) n;
        self->stream.writes++;
    }
    self->is_flushing = false;
    return r;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Wait until a look gives an outcome: 0, TLS_END or an error. */
SUSPENDS static int wait_for(TlsStream *self, void *buf, size_t len, bool is_look, size_t *ret_n)
{
    int r;

    r = sl_checkpoint();
    while (r == 0) {
        r = take(self, buf, len, is_look, ret_n);
        if (r != TLS_WAIT)
            return r;
        r = stream_wait_readable(self->under);
    }
    return self->is_closed ? check(self) : r;
}

SUSPENDS static ssize_t tls_read(Stream *stream, void *buf, size_t len)
{
    AUTO(tls_unref) TlsStream *self = tls_ref(stream);
    size_t n = 0;
    int r = wait_for(self, buf, len, false, &n);

    if (r < 0)
        return r;
    self->stream.bytes_read += n;
    return (ssize_t) n; /* 0: TLS_END */
}

static ssize_t tls_try_read(Stream *stream, void *buf, size_t len)
{
    TlsStream *self = tls_cast(stream);
    size_t n = 0;
    int r = take(self, buf, len, false, &n);

    if (r < 0 || r == TLS_WAIT)
        return r < 0 ? r : -EAGAIN;
    self->stream.bytes_read += n;
    return (ssize_t) n;
}

SUSPENDS static int tls_wait_readable(Stream *stream)
{
    AUTO(tls_unref) TlsStream *self = tls_ref(stream);
    size_t n;
    char byte;
    int r = wait_for(self, &byte, 1, true, &n);

    if (!self->is_closed && self->first_err.code)
        return 0; /* an error is something to read */
    return r < 0 ? r : 0;
}

SUSPENDS static int tls_wait_close(Stream *stream)
{
    AUTO(tls_unref) TlsStream *self = tls_ref(stream);
    size_t n;
    char byte;
    int r = wait_for(self, &byte, 1, true, &n);

    if (r == 0)
        return STREAM_HAS_DATA;
    if (r == TLS_END || (!self->is_closed && self->first_err.code))
        return 0;
    return r;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Where a write stands in its pieces. */
typedef struct Cursor {
    const struct iovec *iov;
    int n;
    size_t at; /* in iov[0] */
} Cursor;

/* The bytes that come next and lie together: how many; 0 at the end. */
static size_t cursor_look(Cursor *cursor, const char **ret_data)
{
    while (cursor->n > 0 && cursor->at == cursor->iov->iov_len) {
        cursor->iov++;
        cursor->n--;
        cursor->at = 0;
    }
    if (cursor->n == 0)
        return 0;
    *ret_data = (const char *) cursor->iov->iov_base + cursor->at;
    return cursor->iov->iov_len - cursor->at;
}

/* One record's worth: as it lies where it fills one or is the last, put together otherwise. */
static size_t cursor_take(TlsStream *self, Cursor *cursor, const char **ret_data)
{
    size_t len = MIN(cursor_look(cursor, ret_data), (size_t) RECORD_BYTES);
    const char *piece = *ret_data;
    size_t gathered = 0;

    if (len == RECORD_BYTES || cursor->n <= 1) {
        cursor->at += len;
        return len;
    }
    if (!self->plain)
        self->plain = mem_zalloc(RECORD_BYTES);
    for (; len > 0; len = MIN(cursor_look(cursor, &piece), RECORD_BYTES - gathered)) {
        memcpy(self->plain + gathered, piece, len);
        gathered += len;
        cursor->at += len;
    }
    *ret_data = self->plain;
    return gathered;
}

/* Encrypt up to BATCH_BYTES; *RET_TAKEN of the pieces are in `out` then. */
static int encrypt(TlsStream *self, const struct iovec *iov, int n, size_t *ret_taken)
{
    Cursor cursor = { iov, n, 0 };
    const char *data = NULL;
    size_t len, written, taken = 0;
    int ok;

    while (taken < BATCH_BYTES && (len = cursor_take(self, &cursor, &data)) > 0) {
        ERR_clear_error(); /* T5 */
        self->under_r = 0;
        ok = SSL_write_ex(self->ssl, data, len, &written);
        if (ok <= 0)
            return end_session(self, why_failed(self));
        taken += written;
    }
    *ret_taken = taken;
    return 0;
}

SUSPENDS static ssize_t tls_writev(Stream *stream, const struct iovec *iov, int n)
{
    AUTO(tls_unref) TlsStream *self = tls_ref(stream);
    size_t taken = 0;
    int r;

    r = sl_checkpoint();
    if (r == 0)
        r = check(self);
    if (r == 0 && self->is_ended)
        r = fail(-EPIPE, "the stream has been shut down");
    if (r == 0)
        r = flush(self); /* what an earlier write has left */
    if (r == 0)
        r = check(self);
    if (r == 0)
        r = encrypt(self, iov, n, &taken);
    if (r < 0)
        return r;
    r = flush(self);
    if (r == -ECANCELED)
        err_take(r, NULL); /* the bytes are taken; the next call is cancelled again */
    else if (r < 0)
        return r;
    self->stream.bytes_written += taken;
    return (ssize_t) taken;
}

/* Write TLS's own close, once. */
static void write_close(TlsStream *self)
{
    if (self->is_ended || self->first_err.code || !self->is_shaken)
        return;
    self->is_ended = true;
    ERR_clear_error();
    (void) SSL_shutdown(self->ssl); /* only writes; the peer's own is met by reading */
}

SUSPENDS static int tls_shutdown(Stream *stream)
{
    AUTO(tls_unref) TlsStream *self = tls_ref(stream);
    int r = sl_checkpoint();

    if (r == 0)
        r = check(self);
    if (r < 0)
        return r;
    write_close(self);
    return flush(self);
}

static void tls_abort(Stream *stream)
{
    TlsStream *self = tls_cast(stream);

    self->is_aborted = true;
    stream_abort(self->under);
}

SUSPENDS static void tls_close(Stream *stream)
{
    TlsStream *self = tls_cast(stream);
    Err outer = *err_peek(); /* the words of whoever closes because something failed */
    sl_scope scope;
    int r;

    write_close(self);
    if (!self->is_aborted && !self->is_flushing && self->under_r == 0) {
        sl_scope_begin(&scope, .timeout_ms = LIMIT_TLS_CLOSE_MS, .is_shield = true);
        r = flush(self);
        r = sl_scope_end(&scope, r);
        if (r < 0)
            err_take(r, NULL); /* a peer that does not take it has gone, or goes without */
        (void) err_put(&outer);
    }
    self->is_closed = true; /* T4 */
    stream_close(TAKE(self->under));
    tls_unref(self);
}

static const StreamOps tls_ops = {
    .kind = "tls",
    .read = tls_read,
    .try_read = tls_try_read,
    .wait_readable = tls_wait_readable,
    .wait_close = tls_wait_close,
    .writev = tls_writev,
    .shutdown = tls_shutdown,
    .abort = tls_abort,
    .close = tls_close,
};

/* ---- the handshake --------------------------------------------------------------------------- */

static int on_verify(int is_good, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    TlsStream *self = SSL_get_app_data(ssl);

    if (!is_good)
        tls_describe_certificate(store, self->name, self->why);
    return is_good;
}

/* Who the peer must be. */
static int expect_name(TlsStream *self)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(self->ssl);

    if (X509_VERIFY_PARAM_set1_ip_asc(param, self->name) == 1)
        return 0;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (SSL_set1_host(self->ssl, self->name) != 1 ||
        SSL_set_tlsext_host_name(self->ssl, self->name) != 1)
        return tls_fail("the server's name");
    return 0;
}

SUSPENDS static int shake_hands(TlsStream *self)
{
    for (;;) {
        int ok, r, flushed;

        ERR_clear_error(); /* T5 */
        self->under_r = 0;
        ok = SSL_do_handshake(self->ssl);
        r = ok > 0 ? 0 : judge(self, ok);
        flushed = flush(self); /* an alert, too */
        if (r < 0)
            return err_put(&self->first_err);
        if (r == TLS_END)
            return fail(-ECONNRESET, "tls: the peer ended the handshake");
        if (flushed < 0)
            return flushed;
        self->is_shaken = r == 0;
        if (r == 0)
            return 0;
        r = stream_wait_readable(self->under);
        if (r < 0)
            return r;
    }
}

static TlsStream *tls_new(TlsContext *context, TAKES Stream *under)
{
    TlsStream *self = mem_new(TlsStream);
    BIO *bio = BIO_new(context->carrier);

    self->stream = (Stream){ .tag = STREAM_TAG, .fd = -1, .ops = &tls_ops, .peer = under->peer };
    self->under = under;
    self->refs = 1;
    self->ssl = SSL_new(context->ssl);
    ASSERT(bio && self->ssl); /* small things: without memory there is no going on */
    buf_init(&self->out, LIMIT_TLS_UNSENT_BYTES);
    buf_init(&self->sending, LIMIT_TLS_UNSENT_BYTES);
    BIO_set_data(bio, self);
    BIO_set_init(bio, 1);
    SSL_set_bio(self->ssl, bio, bio);
    SSL_set_app_data(self->ssl, self);
    SSL_set_verify(self->ssl, SSL_get_verify_mode(self->ssl), on_verify);
    return self;
}

int tls_connect(TlsContext *context, TAKES Stream *under, const char *name, Stream **ret_stream)
{
    AUTO(stream_close) Stream *stream = NULL;
    TlsStream *self;
    int r = 0;

    ASSERT(context && under && ret_stream);
    ASSERT(name || context->is_insecure);
    self = tls_new(context, under);
    stream = &self->stream;
    self->name = name;
    SSL_set_connect_state(self->ssl);
    ERR_clear_error();
    if (name)
        r = expect_name(self);
    if (r == 0)
        r = shake_hands(self);
    if (r < 0)
        return r;
    self->name = NULL;
    *ret_stream = TAKE(stream);
    return 0;
}

int tls_accept(TlsContext *context, TAKES Stream *under, Stream **ret_stream)
{
    AUTO(stream_close) Stream *stream = NULL;
    TlsStream *self;
    int r;

    ASSERT(context && under && ret_stream);
    self = tls_new(context, under);
    stream = &self->stream;
    if (!context->wants_client)
        SSL_set_verify(self->ssl, SSL_VERIFY_NONE, NULL);
    SSL_set_accept_state(self->ssl);
    r = shake_hands(self);
    if (r < 0)
        return r;
    *ret_stream = TAKE(stream);
    return 0;
}

const char *tls_version(const Stream *stream)
{
    ASSERT(stream && stream->ops == &tls_ops);
    return SSL_get_version(CONTAINER_OF((Stream *) (uintptr_t) stream, TlsStream, stream)->ssl);
}
