/*
 * Decoding: bodies that come compressed.
 *
 * The body is inflated in pieces, so that a bomb is noticed at its limit and not behind it. The
 * limit is MAX, or LIMIT_DECODE_RATIO bytes for each one that came, whichever is less; a small body
 * may always become FLOOR_BYTES. A gzip file may have several members, as `cat a.gz b.gz` makes
 * them; what ends before its last checksum is refused, because rows would be missing that nobody
 * hears of. "deflate" is zlib's format, and the bare one that some clients send in its place.
 */
#include "rows/decode.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"

#if SL_HAVE_ZLIB

#include <zlib.h>

#define WINDOW_GZIP (15 + 16) /* zlib's word for "with a gzip head" */
#define WINDOW_ZLIB 15
#define WINDOW_BARE (-15)
#define PIECE_BYTES (64 << 10)
#define FLOOR_BYTES (64 << 10)

typedef struct Inflate {
    z_stream stream;
    Buf *out;
    size_t bytes_max; /* of `out`, with what is in it already */
} Inflate;

/* Inflate one member. */
static int inflate_member(Inflate *inflating)
{
    z_stream *stream = &inflating->stream;
    Buf *out = inflating->out;
    int z = Z_OK;

    while (z == Z_OK) {
        size_t room = MIN((size_t) PIECE_BYTES, inflating->bytes_max - out->len + 1);
        char *at = buf_reserve(out, room);

        if (!at)
            return buf_check(out);
        stream->next_out = (Bytef *) at;
        stream->avail_out = (uInt) room;
        z = inflate(stream, Z_NO_FLUSH);
        out->len += room - stream->avail_out;
        if (out->len > inflating->bytes_max)
            return fail(-ERR_TOO_LARGE, "the body unpacks to more than %zu bytes",
                        inflating->bytes_max);
    }
    if (z == Z_STREAM_END)
        return 0;
    if (z == Z_MEM_ERROR)
        return fail(-ENOMEM, "zlib has no memory");
    return z == Z_BUF_ERROR ? fail(-ERR_INVALID, "the compressed body is cut short")
                            : fail(-ERR_INVALID, "the compressed body is damaged");
}

static int inflate_body(Str body, int window, size_t bytes_max, Buf *out)
{
    Inflate inflating = { .stream = { .next_in = (Bytef *) body.data, .avail_in = (uInt) body.len },
                          .out = out,
                          .bytes_max = out->len + bytes_max };
    int r;

    if (inflateInit2(&inflating.stream, window) != Z_OK)
        return fail(-ENOMEM, "zlib has no memory");
    r = inflate_member(&inflating);
    while (r == 0 && inflating.stream.avail_in > 0) {
        if (window != WINDOW_GZIP || inflateReset(&inflating.stream) != Z_OK)
            r = fail(-ERR_INVALID, "something stands behind the compressed body");
        else
            r = inflate_member(&inflating);
    }
    (void) inflateEnd(&inflating.stream); /* nothing to learn from it */
    return r;
}

/* Whether BODY begins as zlib's format does; else it is the bare one. */
static bool is_zlib(Str body)
{
    return body.len >= 2 && (body.data[0] & 0x0f) == 8 &&
           ((unsigned char) body.data[0] << 8 | (unsigned char) body.data[1]) % 31 == 0;
}

static int inflate_bounded(Str body, int window, size_t max, Buf *out)
{
    size_t by_ratio = MAX(body.len * LIMIT_DECODE_RATIO, (size_t) FLOOR_BYTES), was = out->len;
    int r;

    if (body.len > UINT32_MAX)
        return fail(-ERR_TOO_LARGE, "the compressed body is too large");
    if (body.len == 0)
        return fail(-ERR_INVALID, "the compressed body is empty");
    r = inflate_body(body, window, MIN(max, by_ratio), out);
    if (r < 0)
        out->len = was;
    return r;
}

#endif

int decode_encoding(Str body, Str encoding, size_t max, Buf *out)
{
    bool is_gzip = str_eq_nocase(encoding, str_from_c("gzip")) ||
                   str_eq_nocase(encoding, str_from_c("x-gzip"));
    bool is_deflate = str_eq_nocase(encoding, str_from_c("deflate"));

    if (encoding.len == 0 || str_eq_nocase(encoding, str_from_c("identity"))) {
        if (body.len > max)
            return fail(-ERR_TOO_LARGE, "the body has more than %zu bytes", max);
        buf_add_str(out, body);
        return buf_check(out);
    }
    if (!is_gzip && !is_deflate)
        return fail(-ERR_UNSUPPORTED, "the encoding \"%.*s\" is not known: gzip or deflate",
                    (int) MIN(encoding.len, (size_t) 40), encoding.data);
#if SL_HAVE_ZLIB
    return inflate_bounded(body,
                           is_gzip         ? WINDOW_GZIP
                           : is_zlib(body) ? WINDOW_ZLIB
                                           : WINDOW_BARE,
                           max, out);
#else
    return fail(-ERR_UNSUPPORTED, "this build has no zlib: compressed bodies cannot be read");
#endif
}
