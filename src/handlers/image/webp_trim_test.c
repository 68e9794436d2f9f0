/* webp_trim: files made by hand, and what is no such file. */
#include "handlers/image/webp_trim.h"

#include "base/test.h"

#define RIFF(n) "RIFF" n "\0\0\0WEBP"
#define PIXELS  "VP8L\x05\0\0\0abcde\0"

static void expect_trimmed(Str from, Str to)
{
    unsigned char bytes[128];
    size_t len;

    memcpy(bytes, from.data, from.len);
    len = image_webp_trim(bytes, from.len);
    EXPECT_STR(str_from((char *) bytes, len), to);
}

/* Would catch an EXIF that stays, lengths that lie, and pixels that go with it. */
TEST(an_exif_is_taken_out)
{
    expect_trimmed(
        STR_C(RIFF("\x2e") "VP8X\x0a\0\0\0\x18\0\0\0\0\0\0\0\0\0" PIXELS "EXIF\x03\0\0\0xyz\0"),
        STR_C(RIFF("\x24") "VP8X\x0a\0\0\0\x10\0\0\0\0\0\0\0\0\0" PIXELS));
    expect_trimmed(
        STR_C(RIFF("\x2e") "VP8X\x0a\0\0\0\x08\0\0\0\0\0\0\0\0\0" PIXELS "EXIF\x03\0\0\0xyz\0"),
        STR_C(RIFF("\x12") PIXELS));
    expect_trimmed(STR_C(RIFF("\x12") PIXELS), STR_C(RIFF("\x12") PIXELS));
}

/* Would catch a read behind the end, and bytes of another kind that are changed. */
TEST(what_is_no_webp_stays_as_it_is)
{
    expect_trimmed(STR_C("RIFF"), STR_C("RIFF"));
    expect_trimmed(STR_C("RIFF\x12\0\0\0WAVEabcd"), STR_C("RIFF\x12\0\0\0WAVEabcd"));
    expect_trimmed(STR_C(RIFF("\x04")), STR_C(RIFF("\x04")));
}

TEST_MAIN()
