/*
 * Content codings.
 *
 * The bomb: one MiB of zeros, deflated and ended with a full flush, begins and ends at a byte and
 * refers to nothing before it, so that its thousand bytes may be repeated as often as one likes. An
 * empty last block, the combined CRC and the length follow. Nothing large is ever in memory but the
 * compressed file.
 *
 * Brotli without an encoder, least significant bit first:
 *
 *   0                       WBITS 16 (one bit)
 *   for each piece of at most 64 KiB:
 *   0                       ISLAST
 *   00  16 bits             MNIBBLES 4, MLEN - 1
 *   1                       ISUNCOMPRESSED, then zeros to the next byte, then the bytes
 *   at the end:
 *   1 1                     ISLAST, ISLASTEMPTY
 */
#include "demo/pack_int.h"

#include "base/err.h"
#include "base/macro.h"

#if SL_HAVE_ZLIB
#include <zlib.h>
#endif

#define MIB          (1 << 20)
#define BROTLI_PIECE (64 << 10)
#define GZIP_WINDOW  (15 + 16) /* zlib's word for "with a gzip head" */
#define BOMB_PIECE   (8 << 10) /* room for one MiB of zeros, deflated */

/* ---- brotli ---------------------------------------------------------------------------------- */

typedef struct Bits {
    Buf *out;
    uint32_t bits;
    unsigned n;
} Bits;

static void put_bits(Bits *to, uint32_t value, unsigned n)
{
    to->bits |= value << to->n;
    to->n += n;
    while (to->n >= 8) {
        buf_add_char(to->out, (char) (to->bits & 0xff));
        to->bits >>= 8;
        to->n -= 8;
    }
}

static void put_padding(Bits *to)
{
    if (to->n > 0)
        put_bits(to, 0, 8 - to->n);
}

void pack_brotli(Str data, Buf *out)
{
    Bits to = { .out = out };

    put_bits(&to, 0, 1);
    while (data.len > 0) {
        size_t n = MIN(data.len, (size_t) BROTLI_PIECE);

        put_bits(&to, 0, 1);
        put_bits(&to, 0, 2);
        put_bits(&to, (uint32_t) n - 1, 16);
        put_bits(&to, 1, 1);
        put_padding(&to);
        buf_add(out, data.data, n);
        data = str_sub(data, n, data.len);
    }
    put_bits(&to, 3, 2);
    put_padding(&to);
}

/* ---- zlib ------------------------------------------------------------------------------------ */

#if SL_HAVE_ZLIB

bool pack_is_available(void)
{
    return true;
}

int pack(Pack how, Str data, Buf *out)
{
    int window = how == PACK_GZIP ? GZIP_WINDOW : how == PACK_ZLIB ? 15 : -15;
    z_stream z = { .next_in = (unsigned char *) (uintptr_t) data.data,
                   .avail_in = (unsigned) data.len };
    size_t room;

    if (deflateInit2(&z, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return fail(-ENOMEM, "zlib has no memory");
    room = deflateBound(&z, data.len);
    z.next_out = (unsigned char *) buf_reserve(out, room);
    z.avail_out = (unsigned) room;
    if (z.next_out && deflate(&z, Z_FINISH) == Z_STREAM_END)
        out->len += z.total_out;
    (void) deflateEnd(&z); /* frees; says Z_DATA_ERROR when something is left, which is no news */
    return buf_check(out);
}

static void add_u32(Buf *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        buf_add_char(out, (char) (value >> 8 * i & 0xff));
}

int pack_bomb(uint64_t mib, Buf *out)
{
    static const unsigned char zeros[64 << 10];
    static const unsigned char head[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3 };
    static const unsigned char tail[] = { 3, 0 };
    AUTO(buf_deinit) Buf piece = { 0 };
    z_stream z = { 0 };
    unsigned long crc = crc32(0, NULL, 0), piece_crc = crc;

    if (deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return fail(-ENOMEM, "zlib has no memory");
    z.next_out = (unsigned char *) buf_reserve(&piece, BOMB_PIECE);
    z.avail_out = BOMB_PIECE;
    for (size_t at = 0; at < MIB && z.next_out; at += sizeof(zeros)) {
        z.next_in = (unsigned char *) (uintptr_t) zeros;
        z.avail_in = sizeof(zeros);
        (void) deflate(&z, at + sizeof(zeros) < MIB ? Z_NO_FLUSH : Z_FULL_FLUSH);
        piece_crc = crc32(piece_crc, zeros, sizeof(zeros));
    }
    piece.len = z.total_out;
    (void) deflateEnd(&z); /* frees; the stream was not ended */

    buf_add(out, head, sizeof(head));
    for (uint64_t i = 0; i < mib; i++) {
        buf_add_str(out, buf_str(&piece));
        crc = crc32_combine(crc, piece_crc, MIB);
    }
    buf_add(out, tail, sizeof(tail));
    add_u32(out, (uint32_t) crc);
    add_u32(out, (uint32_t) (mib * MIB));
    return buf_check(out);
}

#else

bool pack_is_available(void)
{
    return false;
}

int pack(Pack how, Str data, Buf *out)
{
    (void) how, (void) data, (void) out;
    return fail(-ERR_UNSUPPORTED, "this build has no zlib: nothing can be compressed");
}

int pack_bomb(uint64_t mib, Buf *out)
{
    (void) mib, (void) out;
    return fail(-ERR_UNSUPPORTED, "this build has no zlib: nothing can be compressed");
}

#endif
