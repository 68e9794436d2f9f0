/*
 * Unpacking by zlib, in pieces, so that a bomb is noticed at the limit and not behind it.
 */
#include "handlers/crawl/unpack.h"

#include "base/err.h"
#include "base/macro.h"

#if SL_HAVE_ZLIB
#include <zlib.h>
#endif

static bool is_gzip(Str body)
{
    return body.len > 2 && body.data[0] == '\x1f' && body.data[1] == '\x8b';
}

#if SL_HAVE_ZLIB

#define GZIP_WINDOW (15 + 16) /* zlib's word for "with a gzip head" */
#define PIECE_BYTES (64 << 10)

static int inflate_all(z_stream *stream, Buf *out)
{
    int z = Z_OK;

    while (z == Z_OK) {
        size_t room = MIN((size_t) PIECE_BYTES, out->max_bytes - out->len);
        char *at = room ? buf_reserve(out, room) : NULL;

        if (!room)
            return fail(-ERR_TOO_LARGE, "the gzip file unpacks to more than %zu bytes",
                        out->max_bytes);
        if (!at)
            return buf_check(out);
        stream->next_out = (Bytef *) at;
        stream->avail_out = (uInt) room;
        z = inflate(stream, Z_NO_FLUSH);
        out->len += room - stream->avail_out;
    }
    return z == Z_STREAM_END ? 0 : fail(-ERR_INVALID, "the gzip file is broken");
}

int unpack_gzip(Str body, size_t bytes_max, Buf *out, Str *ret_body)
{
    z_stream stream = { .next_in = (Bytef *) body.data, .avail_in = (uInt) body.len };
    int r;

    *ret_body = body;
    if (!is_gzip(body))
        return 0;
    buf_reset(out);
    out->max_bytes = bytes_max;
    if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
        return fail(-ENOMEM, "zlib has no memory");
    r = inflate_all(&stream, out);
    (void) inflateEnd(&stream); /* nothing to learn from it */
    *ret_body = buf_str(out);
    return r;
}

#else

int unpack_gzip(Str body, size_t bytes_max, Buf *out, Str *ret_body)
{
    (void) bytes_max, (void) out;
    *ret_body = body;
    return is_gzip(body)
               ? fail(-ERR_UNSUPPORTED, "this build has no zlib: gzip files cannot be read")
               : 0;
}

#endif
