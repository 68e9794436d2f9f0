/*
 * Outcomes: every end that a URL can come to in a crawl, in one table.
 *
 * Each page that was asked for and each link that was found ends in exactly one of these, and the
 * report counts them: nothing is dropped without a word. The words are stable: they stand in the
 * report, in --stats-file, in the column `outcome` of --error-rows and in the docs.
 *
 * The classes: PAGE, it was fetched and is fine; LINK, it was found and not asked for; ERROR, it
 * was asked for in vain. To add one: a row here, and whoever finds it says it.
 */
#pragma once

#include "base/own.h"

#include <sluice/str.h>

#include <stdbool.h>

/* X(NAME, CLASS, "word", "sentence") */
#define CRAWL_OUTCOMES(X)                                                                       \
    X(DONE, PAGE, "done", "fetched and read")                                                   \
    X(NOT_MODIFIED, PAGE, "not_modified", "not changed since the last visit")                   \
    X(REDIRECTED, PAGE, "redirected", "leads to a page that has its own turn")                  \
    X(DUPLICATE, PAGE, "duplicate", "the same content as another page")                         \
    X(NOT_CANONICAL, PAGE, "not_canonical", "says that another URL stands for it")              \
    X(NOINDEX, PAGE, "noindex", "asks to be left out (noindex)")                                \
    X(NOT_HTML, PAGE, "not_html", "is not a page of HTML")                                      \
    X(SEEN, LINK, "seen", "known already")                                                      \
    X(OTHER_SCHEME, LINK, "other_scheme", "neither http nor https")                             \
    X(BAD_URL, LINK, "bad_url", "not a URL")                                                    \
    X(OTHER_HOST, LINK, "other_host", "on a host that is not followed")                         \
    X(NOT_INCLUDED, LINK, "not_included", "fits no --include")                                  \
    X(EXCLUDED, LINK, "excluded", "fits an --exclude")                                          \
    X(NOFOLLOW, LINK, "nofollow", "asks not to be followed (nofollow)")                         \
    X(TOO_DEEP, LINK, "too_deep", "deeper than --depth")                                        \
    X(TRAP, LINK, "trap", "looks like one of an endless series")                                \
    X(TOO_MANY, LINK, "too_many", "over --count, --per-host-count or --max-time")               \
    X(ROBOTS, LINK, "robots", "robots.txt disallows it")                                        \
    X(ROBOTS_UNREACHABLE, ERROR, "robots_unreachable", "robots.txt cannot be had: kept off")    \
    X(FORBIDDEN, ERROR, "forbidden", "at an address that may not be reached")                   \
    X(DNS, ERROR, "dns", "the name of the host is not known")                                   \
    X(NETWORK, ERROR, "network", "the connection failed")                                       \
    X(TLS, ERROR, "tls", "the TLS connection failed")                                           \
    X(TIMEOUT, ERROR, "timeout", "took longer than --timeout")                                  \
    X(BAD_HTTP, ERROR, "bad_http", "the answer is not HTTP, or its encoding is broken")         \
    X(TOO_LARGE, ERROR, "too_large", "larger than --max-body, or unpacks to too much")          \
    X(CLIENT_ERROR, ERROR, "client_error", "answered with a status of 400 to 499")              \
    X(RATE_LIMITED, ERROR, "rate_limited", "refused for asking too often")                      \
    X(SERVER_ERROR, ERROR, "server_error", "answered with a status of 500 or more")             \
    X(REDIRECT_LOOP, ERROR, "redirect_loop", "redirects lead in a circle")                      \
    X(TOO_MANY_REDIRECTS, ERROR, "too_many_redirects", "more redirects than a browser follows") \
    X(BAD_REDIRECT, ERROR, "bad_redirect", "redirects to nowhere")                              \
    X(SOFT_404, ERROR, "soft_404", "says \"not found\" with a status of 200")                   \
    X(UNREADABLE, ERROR, "unreadable", "cannot be parsed")                                      \
    X(FAILED, ERROR, "failed", "failed for another reason")

typedef enum CrawlOutcome {
#define X(name, class, word, text) CRAWL_##name,
    CRAWL_OUTCOMES(X)
#undef X
        CRAWL_OUTCOME_COUNT
} CrawlOutcome;

typedef enum CrawlOutcomeClass {
    CRAWL_CLASS_PAGE,
    CRAWL_CLASS_LINK,
    CRAWL_CLASS_ERROR,
} CrawlOutcomeClass;

/* "redirect_loop", and "redirects lead in a circle". Static text. */
const char *crawl_outcome_word(CrawlOutcome outcome);
const char *crawl_outcome_text(CrawlOutcome outcome);
CrawlOutcomeClass crawl_outcome_class(CrawlOutcome outcome);

static inline bool crawl_outcome_is_error(CrawlOutcome outcome)
{
    return crawl_outcome_class(outcome) == CRAWL_CLASS_ERROR;
}

/* What the error R (below zero) of an HTTP call counts as. */
CrawlOutcome crawl_outcome_of_error(int r);

/* What an answer with STATUS counts as: DONE for 2xx, NOT_MODIFIED for 304, REDIRECTED for other
 * 3xx, and the errors. */
CrawlOutcome crawl_outcome_of_status(int status);

/* Whether it is worth asking again: it may be better later. */
bool crawl_outcome_is_retryable(CrawlOutcome outcome);
