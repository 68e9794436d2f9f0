/* Fuzz: what bytes are, and what a header Accept takes; the first byte splits the input. */
#include "base/macro.h"
#include "base/text.h"
#include "handlers/image/format.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t split = size > 0 ? MIN((size_t) data[0], size - 1) : 0;
    Str all = str_from((const char *) data, size);
    ImageFormat format = image_sniff(str_sub(all, 1 + split, size));
    ImageFormat chosen = image_format_choose(format, str_sub(all, 1, split), split & 1, split & 2);

    if (chosen != IMAGE_JPEG && chosen != IMAGE_PNG && chosen != IMAGE_WEBP && chosen != IMAGE_AVIF)
        abort();
    return 0;
}
