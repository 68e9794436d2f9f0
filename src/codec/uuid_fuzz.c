/*
 * Fuzz: UUIDs, base64 and hexadecimal text. What is read is written as the same text again, but
 * for the case of letters; and any bytes that are written are read as the same bytes.
 *
 * The three share a target, being a few lines each.
 */
#include "codec/uuid.h"

#include "base/assert.h"
#include "base/text.h"
#include "codec/base64.h"
#include "codec/hex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_base64(Str text, Base64Variant variant)
{
    AUTO(buf_deinit) Buf bytes = { 0 }, again = { 0 };
    char *out = buf_reserve(&bytes, base64_decoded_bytes_max(text.len));
    ssize_t n = base64_decode(text, variant, out);

    if (n >= 0) {
        base64_encode(&again, str_from(out, (size_t) n), variant);
        ASSERT(str_eq(buf_str(&again), text));
    }
    buf_reset(&again);
    base64_encode(&again, text, variant);
    out = buf_reserve(&bytes, base64_decoded_bytes_max(again.len));
    n = base64_decode(buf_str(&again), variant, out);
    ASSERT(str_eq(str_from(out, (size_t) n), text));
}

static void fuzz_hex(Str text)
{
    AUTO(buf_deinit) Buf bytes = { 0 }, again = { 0 };
    char *out = buf_reserve(&bytes, text.len + 1);

    if (hex_decode(text, out) == 0) {
        hex_encode_buf(&again, str_from(out, text.len / 2));
        ASSERT(str_eq_nocase(buf_str(&again), text));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    Str text = str_from((const char *) data, len);
    char out[UUID_TEXT_BYTES];
    Uuid uuid;

    if (uuid_parse(text, &uuid) == 0)
        ASSERT(str_eq_nocase(uuid_format(&uuid, out), text));
    fuzz_base64(text, BASE64_STANDARD);
    fuzz_base64(text, BASE64_URL);
    fuzz_hex(text);
    return 0;
}
