/*
 * Fuzz: text for a terminal. What is clean holds no control character, is UTF-8 and stays as it is
 * when it is cleaned again; cuts are no wider than asked and lie in the text.
 */
#include "codec/width.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(buf_deinit) Buf clean = { 0 };
    AUTO(buf_deinit) Buf again = { 0 };
    AUTO(buf_deinit) Buf cut = { 0 };
    size_t columns = len > 0 ? data[0] % 40 : 0;
    Str part;

    width_add_clean(&clean, str_from((const char *) data, len));
    ASSERT(str_is_utf8(buf_str(&clean)));
    for (size_t i = 0; i < clean.len; i++) {
        unsigned char c = (unsigned char) clean.data[i];

        ASSERT(c >= 0x20 && c != 0x7f);
        if (c == 0xc2 && i + 1 < clean.len)
            ASSERT((unsigned char) clean.data[i + 1] >= 0xa0);
    }
    width_add_clean(&again, buf_str(&clean));
    ASSERT(str_eq(buf_str(&clean), buf_str(&again)));
    part = width_cut(buf_str(&clean), columns);
    ASSERT(width_of(part) <= columns && part.len <= clean.len);
    width_add_cut(&cut, buf_str(&clean), columns);
    ASSERT(width_of(buf_str(&cut)) <= columns);
    return 0;
}
