/*
 * Did you mean: the optimal string alignment distance, with words cut at SUGGEST_WORD_MAX.
 *
 * A candidate is near enough when a third of the typed word's letters (at least one) would have to
 * change. Three rows of the usual table are kept, for a swap of neighbours looks two rows back.
 */
#include "codec/suggest.h"

#include "base/macro.h"

#include <stdint.h>

#define SUGGEST_WORD_MAX 64

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c | 0x20) : c;
}

size_t suggest_distance(Str a, Str b, size_t limit)
{
    uint8_t rows[3][SUGGEST_WORD_MAX + 1];

    if (a.len > SUGGEST_WORD_MAX || b.len > SUGGEST_WORD_MAX)
        return limit + 1;
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = (uint8_t) j;
    for (size_t i = 1; i <= a.len; i++) {
        uint8_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

        row[0] = (uint8_t) i;
        for (size_t j = 1; j <= b.len; j++) {
            char x = lower(a.data[i - 1]), y = lower(b.data[j - 1]);
            unsigned best = MIN(MIN(above[j] + 1u, row[j - 1] + 1u),
                                above[j - 1] + (x != y ? 1u : 0u));

            if (i > 1 && j > 1 && x == lower(b.data[j - 2]) && lower(a.data[i - 2]) == y)
                best = MIN(best, above2[j - 2] + 1u);
            row[j] = (uint8_t) best;
        }
    }
    return MIN(rows[a.len % 3][b.len], limit + 1);
}

void suggest_consider(Suggest *suggest, Str candidate)
{
    size_t limit = MAX(suggest->word.len / 3, 1ul);
    size_t distance = suggest_distance(suggest->word, candidate, limit);

    if (distance > limit || (suggest->best.len > 0 && distance >= suggest->distance))
        return;
    suggest->best = candidate;
    suggest->distance = distance;
}
