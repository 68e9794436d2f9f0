/*
 * Base64 (RFC 4648), the standard alphabet and the one for URLs. Decoding is strict: no white
 * space, no stray bits, padding as the variant says.
 */
#pragma once

#include "base/text.h"

#include <stddef.h>
#include <sys/types.h>

typedef enum Base64Variant {
    BASE64_STANDARD, /* + and /, padded */
    BASE64_URL,      /* - and _, not padded */
} Base64Variant;

/* Bytes of text for LEN bytes of data, and at most of data for LEN bytes of text. */
size_t base64_encoded_bytes(size_t len, Base64Variant variant);
size_t base64_decoded_bytes_max(size_t len);

void base64_encode(Buf *out, Str data, Base64Variant variant);

/* TEXT into OUT (base64_decoded_bytes_max bytes). Returns the bytes written or -ERR_INVALID. */
MUST ssize_t base64_decode(Str text, Base64Variant variant, void *out);
