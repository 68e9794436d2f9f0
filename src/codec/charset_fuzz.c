/*
 * Fuzz: charsets. Detection always answers, with an encoding that decodes; what comes out is UTF-8;
 * UTF-8 that is valid comes out as it is.
 *
 * The input is "LABEL\nDOCUMENT"; without a line feed there is no label.
 */
#include "codec/charset.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Str bytes = str_from((const char *) data, len), label = { 0 }, rest, text;
    Charset charset;
    size_t n_replaced;

    if (str_find(bytes, '\n') >= 0) {
        label = str_cut(bytes, '\n', &rest);
        bytes = rest;
    }
    charset = charset_detect(bytes, label);
    ASSERT(charset.bom_len <= bytes.len);
    if (charset_decode_counted(charset, bytes, &out, &text, &n_replaced) < 0)
        return 0;
    ASSERT(str_is_utf8(text));
    if (charset.id == 0 && n_replaced == 0)
        ASSERT(str_eq(text, str_sub(bytes, charset.bom_len, bytes.len)));
    return 0;
}
