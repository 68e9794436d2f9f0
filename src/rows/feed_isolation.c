/*
 * Isolating refused rows; see feed.h.
 *
 * The walk holds the range that is tried now and, on a stack, the ends of those that follow it
 * without a gap: the end of the last one is the lot's. A range that is good is left behind and the
 * next one is tried; one that is bad is halved, its second half going on the stack. Where the row
 * at fault is known the range is parted there: what is before it, then what is behind it, which
 * begins at the row and skips it.
 *
 *   lot      [0                                                   n)
 *   now      [from   to)
 *   stack           [to      ends[1])[ends[1]          ends[0])
 */
#include "rows/feed.h"

#include "base/assert.h"
#include "base/macro.h"
#include "base/mem.h"

#define REFUSALS_FIRST 16

void feed_isolation_begin(FeedIsolation *walk, size_t n_rows)
{
    *walk = (FeedIsolation){ .to = n_rows, .end = n_rows };
}

/* Go to the next range that is not empty, if there is one. */
static void leave_range(FeedIsolation *walk)
{
    walk->from = walk->to;
    while (walk->from == walk->to && walk->n_ends > 0) {
        walk->n_ends--;
        walk->to = walk->ends[walk->n_ends];
        walk->from += walk->skips[walk->n_ends];
    }
    ASSERT(walk->from <= walk->to && walk->to <= walk->end);
}

bool feed_isolation_next(FeedIsolation *walk, size_t *ret_from, size_t *ret_to)
{
    if (walk->from == walk->to || walk->is_overfull)
        return false;
    *ret_from = walk->from;
    *ret_to = walk->to;
    return true;
}

void feed_isolation_good(FeedIsolation *walk)
{
    ASSERT(walk->from < walk->to);
    leave_range(walk);
}

/* The range now ends at TO; what is cut off is tried later, its first row if IS_SKIPPED never. */
static void part_range(FeedIsolation *walk, size_t to, bool is_skipped)
{
    if (walk->n_ends == ARRAY_LEN(walk->ends)) {
        walk->is_overfull = true;
        return;
    }
    walk->ends[walk->n_ends] = walk->to;
    walk->skips[walk->n_ends] = is_skipped;
    walk->n_ends++;
    walk->to = to;
}

/* A place for a refusal of ROW among those of VERDICT, which are in order. */
static FeedRefusal *add_refusal(FeedVerdict *verdict, size_t row)
{
    size_t n = verdict->n_refused, at = n;

    if (!verdict->refused || (n >= REFUSALS_FIRST && (n & (n - 1)) == 0))
        verdict->refused = mem_resize_array(verdict->refused, MAX(2 * n, (size_t) REFUSALS_FIRST),
                                            sizeof(verdict->refused[0]));
    while (at > 0 && verdict->refused[at - 1].row > row)
        at--;
    memmove(&verdict->refused[at + 1], &verdict->refused[at], (n - at) * sizeof(FeedRefusal));
    verdict->n_refused++;
    verdict->refused[at] = (FeedRefusal){ .row = row };
    return &verdict->refused[at];
}

static void put_cut(char *out, size_t cap, const char *text)
{
    Str cut = str_cut_utf8(str_from_c(text), cap - 1);

    memcpy(out, cut.data, cut.len);
    out[cut.len] = '\0';
}

/* Whether CODE says that the row is there already. A producer that heard nothing sends a whole lot
 * once more, which tells nothing of the table. */
static bool is_repeat(const char *code)
{
    Str word = str_from_c(code);

    return str_eq_c(word, "23505") || str_eq_c(word, "unique") || str_eq_c(word, "primary_key");
}

void feed_isolation_bad(FeedIsolation *walk, size_t row, FeedVerdict *verdict, const char *code,
                        const char *text)
{
    bool is_known = row >= walk->from && row < walk->to;
    FeedRefusal *refusal;

    ASSERT(walk->from < walk->to);
    if (!is_known && walk->to - walk->from > 1) {
        part_range(walk, walk->from + (walk->to - walk->from) / 2, false);
        return;
    }
    if (!is_repeat(code) && ++walk->n_refused > FEED_REFUSALS) {
        walk->is_overfull = true;
        return;
    }
    if (!is_known)
        row = walk->from;
    refusal = add_refusal(verdict, row);
    put_cut(refusal->code, sizeof(refusal->code), code);
    put_cut(refusal->text, sizeof(refusal->text), text);
    part_range(walk, row, true);
    if (walk->from == walk->to)
        leave_range(walk);
}
