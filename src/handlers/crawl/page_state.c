/*
 * The table of a URL's life: which way it may go. Each edge is taken by one function of
 * frontier.c, but for those back to QUEUED after a crash, for a mark that did not hold, or for a
 * revisit: frontier_db.c takes them for all URLs at once.
 */
#include "handlers/crawl/page_state.h"

#include "base/assert.h"
#include "base/macro.h"

#include <stdint.h>

#define TO(state) (1u << PAGE_##state)

static const uint8_t edges[PAGE_STATE_COUNT] = {
    [PAGE_QUEUED] = TO(LEASED) | TO(SKIPPED) | TO(FAILED),
    [PAGE_LEASED] = TO(QUEUED) | TO(DONE) | TO(FAILED) | TO(SKIPPED),
    [PAGE_DONE] = TO(QUEUED),
    [PAGE_FAILED] = TO(QUEUED),
    [PAGE_SKIPPED] = TO(QUEUED),
};

bool page_state_may(PageState from, PageState to)
{
    ASSERT(from < PAGE_STATE_COUNT && to < PAGE_STATE_COUNT);
    return edges[from] & 1u << to;
}
