/*
 * Codings: what zlib packs it unpacks, the bomb unpacks to exactly its size, and the brotli stream
 * is what RFC 7932 says of stored blocks.
 */
#include "demo/pack_int.h"

#include "base/test.h"

#include <stdlib.h>

/* ---- brotli ---------------------------------------------------------------------------------- */

typedef struct Bits {
    Str data;
    size_t at; /* in bits */
} Bits;

static unsigned take(Bits *from, unsigned n)
{
    unsigned value = 0;

    for (unsigned i = 0; i < n; i++, from->at++) {
        EXPECT(from->at / 8 < from->data.len);
        if (from->at / 8 < from->data.len)
            value |= ((unsigned char) from->data.data[from->at / 8] >> from->at % 8 & 1u) << i;
    }
    return value;
}

/* A decoder of streams that are nothing but stored meta-blocks. */
static void unpack_brotli(Str data, Buf *out)
{
    Bits from = { data, 0 };

    EXPECT_EQ(take(&from, 1), 0); /* WBITS 16 */
    while (take(&from, 1) == 0) { /* ISLAST */
        unsigned nibbles = take(&from, 2), len;

        EXPECT_EQ(nibbles, 0); /* four of them */
        len = take(&from, 16) + 1;
        EXPECT_EQ(take(&from, 1), 1); /* ISUNCOMPRESSED */
        while (from.at % 8 != 0)
            EXPECT_EQ(take(&from, 1), 0);
        EXPECT(from.at / 8 + len <= data.len);
        if (from.at / 8 + len > data.len)
            return;
        buf_add(out, data.data + from.at / 8, len);
        from.at += (size_t) len * 8;
    }
    EXPECT_EQ(take(&from, 1), 1); /* ISLASTEMPTY */
    while (from.at % 8 != 0)
        EXPECT_EQ(take(&from, 1), 0);
    EXPECT_EQ(from.at / 8, data.len);
}

/* Catches a length that is off by one, and a block over the window. */
TEST(brotli)
{
    static const size_t sizes[] = { 0, 1, 2, 255, 65535, 65536, 65537, 200000 };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        AUTO(buf_deinit) Buf in = { 0 }, packed = { 0 }, out = { 0 };

        for (size_t j = 0; j < sizes[i]; j++)
            buf_add_char(&in, (char) (j * 31 + j / 256));
        pack_brotli(buf_str(&in), &packed);
        unpack_brotli(buf_str(&packed), &out);
        EXPECT(str_eq(buf_str(&in), buf_str(&out)));
    }
}

/* ---- zlib ------------------------------------------------------------------------------------ */

#if SL_HAVE_ZLIB
#include <zlib.h>

/* Unpack DATA: the bytes that came, and whether all are zero. Fails unless it ended well. */
static uint64_t unpack(Str data, int window, bool *ret_is_zero)
{
    static unsigned char piece[1 << 16];
    z_stream z = { .next_in = (unsigned char *) (uintptr_t) data.data,
                   .avail_in = (unsigned) data.len };
    uint64_t total = 0;
    int r = inflateInit2(&z, window);

    *ret_is_zero = true;
    while (r == Z_OK) {
        z.next_out = piece;
        z.avail_out = sizeof(piece);
        r = inflate(&z, Z_NO_FLUSH);
        total += sizeof(piece) - z.avail_out;
        for (size_t i = 0; i < sizeof(piece) - z.avail_out && *ret_is_zero; i++)
            *ret_is_zero = piece[i] == 0;
    }
    EXPECT_EQ(r, Z_STREAM_END); /* the checksum and the length fitted */
    EXPECT_EQ(z.avail_in, 0);
    (void) inflateEnd(&z);
    return total;
}

/* Catches a head, an end or a checksum of the wrong kind. */
TEST(zlib)
{
    static const int windows[] = { [PACK_GZIP] = 31, [PACK_ZLIB] = 15, [PACK_DEFLATE] = -15 };
    AUTO(buf_deinit) Buf text = { 0 };
    bool is_zero;

    EXPECT(pack_is_available());
    for (int i = 0; i < 1000; i++)
        buf_printf(&text, "line %d\n", i);
    for (Pack how = PACK_GZIP; how <= PACK_DEFLATE; how++) {
        AUTO(buf_deinit) Buf packed = { 0 };

        EXPECT_OK(pack(how, buf_str(&text), &packed));
        EXPECT(packed.len < text.len / 2);
        EXPECT_EQ(unpack(buf_str(&packed), windows[how], &is_zero), text.len);
    }
}

/* Catches a bomb that is large already, or does not go off. */
TEST(bomb)
{
    AUTO(buf_deinit) Buf packed = { 0 }, giant = { 0 };
    bool is_zero;

    EXPECT_OK(pack_bomb(5, &packed));
    EXPECT_EQ(unpack(buf_str(&packed), 31, &is_zero), 5 << 20);
    EXPECT(is_zero);
    EXPECT_OK(pack_bomb(1024, &giant));
    EXPECT(giant.len < 1100 * 1024);
}
#endif

TEST_MAIN()
