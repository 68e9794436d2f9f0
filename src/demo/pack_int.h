/*
 * Content codings: what zlib makes, and a brotli stream without an encoder.
 */
#pragma once

#include "base/text.h"

#include <stdint.h>

typedef enum Pack { PACK_GZIP, PACK_ZLIB, PACK_DEFLATE } Pack; /* HTTP's "deflate" is PACK_ZLIB */

/* Whether this build has zlib; without it pack and pack_bomb give -ERR_UNSUPPORTED. */
bool pack_is_available(void);

/* Append DATA, compressed. */
MUST int pack(Pack how, Str data, Buf *out);

/* Append a gzip file of MIB times 1 MiB of zeros: about a thousandth of that. */
MUST int pack_bomb(uint64_t mib, Buf *out);

/* Append DATA as a brotli stream of uncompressed meta-blocks (RFC 7932, section 9.2). */
void pack_brotli(Str data, Buf *out);
