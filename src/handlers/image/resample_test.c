/* Resampling: what stays as it is, what adds up, and where things lie. */
#include "handlers/image/resample.h"

#include "base/test.h"

#include <stdlib.h>

/* Resample the WIDTH x HEIGHT picture at PIXELS into OUT. Returns the rows it took. */
static int resample(const ResampleSpec *spec, const unsigned char *pixels, unsigned char *out)
{
    AUTO(resampler_free) Resampler *resampler = NULL;
    int rows = 0;
    bool is_done = false;

    EXPECT_OK(resampler_new(spec, &resampler));
    while (!is_done && rows < spec->source_height) {
        is_done = resampler_push(
            resampler, pixels + (size_t) rows * (size_t) (spec->source_width * spec->channels),
            out);
        rows++;
    }
    EXPECT(is_done);
    return rows;
}

/* Would catch weights that do not add up to one, at the borders above all, for every size. */
TEST(one_colour_stays_that_colour)
{
    static unsigned char pixels[40 * 30 * 4], out[90 * 90 * 4];

    for (int channels = 1; channels <= 4; channels += 3) {
        memset(pixels, 201, sizeof(pixels));
        for (int size = 1; size <= 90; size += 7) {
            ResampleSpec spec = { .source_width = 40,
                                  .source_height = 30,
                                  .width = 40,
                                  .height = 30,
                                  .out_width = size,
                                  .out_height = 91 - size,
                                  .channels = channels };

            memset(out, 0, sizeof(out));
            resample(&spec, pixels, out);
            for (int i = 0; i < size * (91 - size) * channels; i++)
                if (out[i] != 201)
                    test_fail(__FILE__, __LINE__, "size %d, value %d: %d", size, i, out[i]);
        }
    }
}

/* Would catch a picture that moves by part of a pixel, and channels that mix. */
TEST(the_same_size_is_the_same_picture)
{
    unsigned char pixels[17 * 13 * 4], out[17 * 13 * 4];
    ResampleSpec spec = { .source_width = 17,
                          .source_height = 13,
                          .width = 17,
                          .height = 13,
                          .out_width = 17,
                          .out_height = 13,
                          .channels = 4 };

    for (size_t i = 0; i < sizeof(pixels); i++)
        pixels[i] = (unsigned char) (i * 37 + i / 9);
    resample(&spec, pixels, out);
    EXPECT(memcmp(pixels, out, sizeof(out)) == 0);
}

/* Would catch a part that is taken from elsewhere, and rows that are read though nobody needs
 * them. */
TEST(a_part_is_taken_where_it_lies)
{
    unsigned char pixels[64 * 64], out[8 * 8];
    ResampleSpec spec = { .source_width = 64,
                          .source_height = 64,
                          .left = 32,
                          .top = 8,
                          .width = 16,
                          .height = 16,
                          .out_width = 8,
                          .out_height = 8,
                          .channels = 1 };
    int rows;

    for (int y = 0; y < 64; y++)
        for (int x = 0; x < 64; x++)
            pixels[64 * y + x] = (unsigned char) (2 * x + y);
    rows = resample(&spec, pixels, out);
    EXPECT(rows < 40);
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 8; x++) {
            int want = (int) (2 * (32 + 2 * x + 0.5) + (8 + 2 * y + 0.5) + 0.5);

            if (abs(out[8 * y + x] - want) > 2)
                test_fail(__FILE__, __LINE__, "%d,%d: got %d, want %d", x, y, out[8 * y + x], want);
        }
}

/* Would catch loops of which one kind of processor gets other bytes than another, a pixel that
 * loses a channel, and rows whose length is no multiple of what a loop takes at once. */
TEST(every_processor_makes_the_same_bytes)
{
    static unsigned char pixels[150 * 70 * 4], one[64 * 32 * 4], other[64 * 32 * 4];
    unsigned seed = 1;

    for (size_t i = 0; i < sizeof(pixels); i++)
        pixels[i] = (unsigned char) ((seed = seed * 1664525 + 1013904223) >> 24);
    for (int width = 97; width < 150; width += 13)
        for (int kept = 0; kept <= 4; kept++) {
            ResampleSpec spec = { .source_width = width,
                                  .source_height = 70,
                                  .left = 3.5,
                                  .width = width - 7,
                                  .height = 70,
                                  .out_width = 61,
                                  .out_height = 29,
                                  .channels = kept == 1 ? 1 : 4,
                                  .kept = kept == 2 ? 3 : kept };

            memset(one, 0, sizeof(one));
            memset(other, 1, sizeof(other));
            resample(&spec, pixels, one);
            spec.is_plain = true;
            resample(&spec, pixels, other);
            EXPECT(memcmp(one, other, 61 * 29 * (size_t) (spec.kept ? spec.kept : 4)) == 0);
        }
}

/* Would catch a channel that ends in its neighbour's place when the fourth is left out. */
TEST(the_fourth_channel_can_be_left_out)
{
    unsigned char pixels[19 * 11 * 4], out[19 * 11 * 3];
    ResampleSpec spec = { .source_width = 19,
                          .source_height = 11,
                          .width = 19,
                          .height = 11,
                          .out_width = 19,
                          .out_height = 11,
                          .channels = 4,
                          .kept = 3 };

    for (size_t i = 0; i < sizeof(pixels); i++)
        pixels[i] = (unsigned char) (i * 53 + i / 7);
    resample(&spec, pixels, out);
    for (size_t i = 0; i < sizeof(out); i++)
        EXPECT_EQ(out[i], pixels[i / 3 * 4 + i % 3]);
}

/* Would catch values beyond the borders of a byte that turn over: Lanczos overshoots at edges. */
TEST(edges_do_not_turn_over)
{
    unsigned char pixels[64], out[256];
    ResampleSpec spec = { .source_width = 64,
                          .source_height = 1,
                          .width = 64,
                          .height = 1,
                          .out_width = 256,
                          .out_height = 1,
                          .channels = 1 };

    for (int x = 0; x < 64; x++)
        pixels[x] = x < 32 ? 0 : 255;
    resample(&spec, pixels, out);
    for (int x = 0; x < 110; x++)
        EXPECT(out[x] < 30);
    for (int x = 146; x < 256; x++)
        EXPECT(out[x] > 225);
}

/* Would catch a leak, or a crash, where there is no memory. */
TEST(no_memory_is_an_error)
{
    ResampleSpec spec = { .source_width = 64,
                          .source_height = 64,
                          .width = 64,
                          .height = 64,
                          .out_width = 16,
                          .out_height = 16,
                          .channels = 4 };

    FOR_EACH_FAULT {
        AUTO(resampler_free) Resampler *resampler = NULL;
        int r = resampler_new(&spec, &resampler);

        if (r < 0)
            EXPECT_EQ(r, -ENOMEM);
    }
}

TEST_MAIN()
