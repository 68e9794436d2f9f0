/*
 * Fuzz: sniffing. Any type and any bytes have a kind; with nosniff no page comes out of bytes
 * alone.
 *
 * The input is a type and, behind a newline, the bytes.
 */
#include "codec/sniff.h"

#include "base/assert.h"
#include "base/text.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    Str head, type = str_cut(str_from((const char *) data, len), '\n', &head);
    Sniff sniff = sniff_bytes(type, false, head), careful = sniff_bytes(type, true, head);

    ASSERT(sniff.kind <= SNIFF_BINARY && careful.kind <= SNIFF_BINARY);
    ASSERT((sniff.kind == SNIFF_EMPTY) == (sniff.mime.len == 0));
    if (careful.is_by_content)
        ASSERT(careful.kind == SNIFF_TEXT || careful.kind == SNIFF_BINARY);
    if (!sniff.is_by_content)
        ASSERT(careful.kind == sniff.kind);
    return 0;
}
