/*
 * Lots that are delivered by HTTP: what an answer means for them.
 *
 *   2xx                      in
 *   400 409 413 422          the rows are refused
 *   408 425 429 5xx          later; not before Retry-After
 *   507                      no room there
 *   others, redirects too    somebody must mend it
 *
 * A connection that fails is "later". What was sent may have arrived all the same: each request has
 * an Idempotency-Key, which is the same when the same rows come again from the same process.
 */
#pragma once

#include "rows/feed.h"

typedef struct FeedPost {
    HttpClient *client;    /* borrowed */
    char key[128];         /* what the keys of this feed begin with; "": it sends none */
    uint64_t mark;         /* of the lot */
    int64_t not_before_ns; /* of sl_now_ns, by Retry-After */
} FeedPost;

/* For a feed that was opened with OPTS: its keys are its own, and those of no process before it.
 * -ERR_UNSUPPORTED without an HTTP client. */
MUST int feed_post_init(FeedPost *post, const FeedOpts *opts);

/* The `finish` of these feeds: what was not refused is there already. */
MUST SUSPENDS int feed_post_finish(void *state, FeedVerdict *verdict);

/* Wait as the last answer asked. 0 or -ECANCELED. Suspends. */
MUST SUSPENDS int feed_post_wait(FeedPost *post);

#define FEED_POST_REFUSED 16 /* 400, 409, 413 or 422: ANSWER says why */

/*
 * Make CALL (headers with room for one more: the key of the rows [FROM, TO)) and judge its answer:
 * 0, FEED_POST_REFUSED, FEED_RETRY, FEED_FULL or FEED_STOP with words in VERDICT; or an error.
 * ANSWER is reset before. Suspends.
 */
MUST SUSPENDS int feed_post(FeedPost *post, HttpCall *call, size_t from, size_t to,
                            HttpAnswer *answer, FeedVerdict *verdict);

/* The first words of an answer's body, on one line, into OUT. */
void feed_post_words(const HttpAnswer *answer, char *out, size_t cap);
