/*
 * Figures for people; see the header.
 */
#include "cli/term/figure.h"

#include "base/macro.h"

#include <inttypes.h>
#include <stdio.h>

void figure_count(Buf *out, uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            buf_add_char(out, ' ');
        buf_add_char(out, digits[i]);
    }
}

void figure_count_in(Buf *out, uint64_t n, size_t columns)
{
    static const char *const units[] = { "", "k", "M", "G", "T", "P", "E" };

    for (size_t i = 0; i < ARRAY_LEN(units); i++, n /= 1000) {
        AUTO(buf_deinit) Buf text = { 0 };

        figure_count(&text, n);
        buf_add_c(&text, units[i]);
        if (text.len <= columns || i + 1 == ARRAY_LEN(units)) {
            buf_add_str(out, buf_str(&text));
            return;
        }
    }
}

void figure_rate(Buf *out, double rate, size_t columns)
{
    if (!(rate > 0))
        buf_add_char(out, '0');
    else if (rate < 9.95)
        buf_printf(out, "%.1f", rate);
    else
        figure_count_in(out, rate < 1e18 ? (uint64_t) (rate + 0.5) : (uint64_t) 1e18, columns);
}

void figure_span(Buf *out, double seconds)
{
    if (!(seconds > 0))
        buf_add_c(out, "0 ms");
    else if (seconds < 0.9995)
        buf_printf(out, "%.0f ms", seconds * 1e3);
    else if (seconds < 99.95)
        buf_printf(out, "%.1f s", seconds);
    else if (seconds < 5970)
        buf_printf(out, "%.0f min", seconds / 60);
    else if (seconds < 2 * 86400.0)
        buf_printf(out, "%.0f h", seconds / 3600);
    else
        buf_printf(out, "%.0f d", MIN(seconds / 86400, 1e6));
}

void figure_spark(Buf *out, const double *values, size_t n)
{
    static const char *const blocks[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
    const size_t top = ARRAY_LEN(blocks) - 1;
    double most = 0;

    for (size_t i = 0; i < n; i++)
        most = MAX(most, values[i]);
    for (size_t i = 0; i < n; i++) {
        size_t level = most > 0 && values[i] > 0 ? 1 + (size_t) (values[i] / most * (double) top)
                                                 : 0;

        buf_add_c(out, blocks[MIN(level, top)]);
    }
}
