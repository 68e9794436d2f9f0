/*
 * A screen: each frame stands where the one before stood.
 */
#include "cli/term/screen.h"

#include "base/test.h"

static void expect_drawn(Screen *screen, const char *frame, size_t columns, const char *bytes)
{
    AUTO(buf_deinit) Buf out = { 0 };

    screen_draw(screen, str_from_c(frame), columns, &out);
    EXPECT_STR(buf_str(&out), str_from_c(bytes));
}

/* Would catch a frame that climbs, or leaves lines of a longer one behind. */
TEST(frames_replace_each_other)
{
    Screen screen = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };

    expect_drawn(&screen, "a\nb", 80, "a\x1b[K\nb\x1b[K\x1b[J\r");
    expect_drawn(&screen, "c", 80, "\r\x1b[1Ac\x1b[K\x1b[J\r");
    expect_drawn(&screen, "d\ne\nf", 80, "\rd\x1b[K\ne\x1b[K\nf\x1b[K\x1b[J\r");
    screen_clear(&screen, 80, &out);
    EXPECT_STR(buf_str(&out), str_from_c("\r\x1b[2A\x1b[J"));
    buf_reset(&out);
    screen_clear(&screen, 80, &out);
    EXPECT_STR(buf_str(&out), str_from_c(""));
}

/* Would catch colours that count as columns: the terminal folded 12 columns at 5 into 3 lines. */
TEST(a_narrower_terminal_has_folded_them)
{
    Screen screen = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };

    expect_drawn(&screen, "\x1b[31m123456789012\x1b[0m\nx", 80,
                 "\x1b[31m123456789012\x1b[0m\x1b[K\nx\x1b[K\x1b[J\r");
    screen_clear(&screen, 5, &out);
    EXPECT_STR(buf_str(&out), str_from_c("\r\x1b[3A\x1b[J"));
}

TEST_MAIN()
