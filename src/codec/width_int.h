/*
 * The ranges of characters that take no column and two of them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct WidthRange {
    uint32_t first;
    uint32_t last; /* included */
} WidthRange;

extern const WidthRange width_zero_ranges[];
extern const size_t width_zero_count;
extern const WidthRange width_wide_ranges[];
extern const size_t width_wide_count;
