/* Fuzz: WebP files without EXIF; what was trimmed once is not changed by a second time. */
#include "handlers/image/webp_trim.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *bytes = malloc(size + 1);
    size_t once, twice;

    if (!bytes)
        abort();
    if (size > 0)
        memcpy(bytes, data, size);
    once = image_webp_trim(bytes, size);
    twice = image_webp_trim(bytes, once);
    if (once > size || twice != once)
        abort();
    free(bytes);
    return 0;
}
