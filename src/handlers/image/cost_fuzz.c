/* Fuzz: what decoding costs, by headers that lie. */
#include "handlers/image/source.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ImageFormat formats[] = { IMAGE_JPEG, IMAGE_WEBP };
    ImageSource source = { .bytes = str_from((const char *) data, size),
                           .width = 640,
                           .height = 480,
                           .frames = 1,
                           .channels = 3,
                           .channel_bytes = 1,
                           .is_interlaced = true };

    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        source.format = formats[i];
        if (image_source_cost(&source, 4.0) <= 0 ||
            image_source_cost(&source, 4.0) > INT64_C(100) * 640 * 480 + (1 << 24))
            abort();
    }
    return 0;
}
