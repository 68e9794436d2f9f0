/*
 * WebP files without EXIF: see webp_trim.h.
 *
 *    0  "RIFF"
 *    4  bytes that follow, 32 bits, little-endian
 *    8  "WEBP"
 *   12  chunks: a name of four bytes, the length of its content as above, the content, and a byte
 *       more where that is odd
 *
 * The first chunk of a file with more than pixels is VP8X; the first byte of its content has a bit
 * for each of the others. Without any it is left out.
 */
#include "handlers/image/webp_trim.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define HEADER_BYTES  12
#define CHUNK_BYTES   8 /* name and length */
#define VP8X_HAS_EXIF 0x08

static uint32_t read_u32(const unsigned char *at)
{
    return at[0] | (uint32_t) at[1] << 8 | (uint32_t) at[2] << 16 | (uint32_t) at[3] << 24;
}

static void write_u32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char) (value >> 8 * i);
}

/* The bytes of the chunk at AT, of LEN that are left; 0 where there is none. */
static size_t chunk_bytes(const unsigned char *at, size_t len)
{
    size_t bytes;

    if (len < CHUNK_BYTES)
        return 0;
    bytes = CHUNK_BYTES + (size_t) read_u32(at + 4);
    bytes += bytes % 2;
    return bytes <= len ? bytes : 0;
}

static bool is_named(const unsigned char *chunk, const char *name)
{
    return memcmp(chunk, name, 4) == 0;
}

/* Whether the chunk of BYTES at AT is left out; the bit of EXIF is cleared on the way. */
static bool is_left_out(unsigned char *at, size_t bytes)
{
    if (is_named(at, "EXIF"))
        return true;
    if (!is_named(at, "VP8X") || bytes == CHUNK_BYTES)
        return false;
    at[CHUNK_BYTES] = (unsigned char) (at[CHUNK_BYTES] & ~VP8X_HAS_EXIF);
    return at[CHUNK_BYTES] == 0;
}

size_t image_webp_trim(unsigned char *bytes, size_t len)
{
    size_t from = HEADER_BYTES, to = HEADER_BYTES, n;

    if (len < HEADER_BYTES || !is_named(bytes, "RIFF") || !is_named(bytes + 8, "WEBP"))
        return len;
    for (; (n = chunk_bytes(bytes + from, len - from)) > 0; from += n) {
        if (is_left_out(bytes + from, n))
            continue;
        memmove(bytes + to, bytes + from, n);
        to += n;
    }
    write_u32(bytes + 4, (uint32_t) (to - 8));
    return to;
}
