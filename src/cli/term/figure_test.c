/*
 * Figures: what a person reads is what was counted, and fits where it stands.
 */
#include "cli/term/figure.h"

#include "base/test.h"

static void expect_text(Buf *out, const char *text)
{
    EXPECT_STR(buf_str(out), str_from_c(text));
    buf_reset(out);
}

/* Would catch groups that begin on the wrong side, and digits that are cut away. */
TEST(counts)
{
    AUTO(buf_deinit) Buf out = { 0 };

    figure_count(&out, 0);
    expect_text(&out, "0");
    figure_count(&out, 999);
    expect_text(&out, "999");
    figure_count(&out, 1000);
    expect_text(&out, "1 000");
    figure_count(&out, UINT64_MAX);
    expect_text(&out, "18 446 744 073 709 551 615");
    figure_count_in(&out, 1234567, 9);
    expect_text(&out, "1 234 567");
    figure_count_in(&out, 1234567, 8);
    expect_text(&out, "1 234k");
    figure_count_in(&out, UINT64_MAX, 3);
    expect_text(&out, "18E");
}

TEST(rates_and_spans)
{
    AUTO(buf_deinit) Buf out = { 0 };

    figure_rate(&out, 0, 9);
    expect_text(&out, "0");
    figure_rate(&out, 0.44, 9);
    expect_text(&out, "0.4");
    figure_rate(&out, 45600.2, 9);
    expect_text(&out, "45 600");
    figure_rate(&out, 1e300, 9);
    expect_text(&out, "1 000P");
    figure_span(&out, 0);
    expect_text(&out, "0 ms");
    figure_span(&out, 0.0123);
    expect_text(&out, "12 ms");
    figure_span(&out, 12);
    expect_text(&out, "12.0 s");
    figure_span(&out, 720);
    expect_text(&out, "12 min");
    figure_span(&out, 5 * 3600);
    expect_text(&out, "5 h");
    figure_span(&out, 1e300);
    expect_text(&out, "1000000 d");
}

/* Would catch a value that points behind the last block, and a little that looks like nothing. */
TEST(sparklines)
{
    static const double values[] = { 0, 0.001, 50, 100 };
    AUTO(buf_deinit) Buf out = { 0 };

    figure_spark(&out, values, 4);
    expect_text(&out, "▁▂▅█");
    figure_spark(&out, values, 1);
    expect_text(&out, "▁");
}

TEST_MAIN()
