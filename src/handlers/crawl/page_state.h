/*
 * The life of a URL in a crawl. How a visit ended, in words for people, is outcome.h.
 *
 *   (new) ──frontier_add──▶ QUEUED ──scheduler_next──▶ LEASED ──frontier_finish──▶ DONE
 *                              ▲ └─ frontier_end_next ─┐   │                        FAILED
 *                              │◀── frontier_finish ──────┘ (is_retry)             SKIPPED
 *                              │◀── a crash, or frontier_settle ───────────────────┘
 *                              │◀── --revisit ─────────────────────────────────────┘
 *
 * The numbers are kept in state files: rows may be added at the end and never change place.
 */
#pragma once

#include <stdbool.h>

/* X(NAME, "where such a URL is to be found") */
#define PAGE_STATES(X)                                                             \
    X(QUEUED, "waits for its turn: in its host's window, or in the database only") \
    X(LEASED, "a worker holds it; the database still says queued")                 \
    X(DONE, "fetched; only --revisit queues it again")                             \
    X(FAILED, "gave up after its attempts; only --revisit queues it again")        \
    X(SKIPPED, "not fetched, and will not be in this crawl: its outcome says why")

typedef enum PageState {
#define X(name, text) PAGE_##name,
    PAGE_STATES(X)
#undef X
        PAGE_STATE_COUNT
} PageState;

/* Whether a URL may go from one state to the other. */
bool page_state_may(PageState from, PageState to);
