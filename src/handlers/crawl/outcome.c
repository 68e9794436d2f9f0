/*
 * The words of outcomes, and what errors and statuses count as.
 */
#include "handlers/crawl/outcome.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"

static const struct {
    const char *word;
    const char *text;
    CrawlOutcomeClass class;
} outcomes[] = {
#define X(name, class, word, text) [CRAWL_##name] = { (word), (text), CRAWL_CLASS_##class },
    CRAWL_OUTCOMES(X)
#undef X
};
STATIC_ASSERT(ARRAY_LEN(outcomes) == CRAWL_OUTCOME_COUNT, "a row for each outcome");

const char *crawl_outcome_word(CrawlOutcome outcome)
{
    ASSERT(outcome < CRAWL_OUTCOME_COUNT);
    return outcomes[outcome].word;
}

const char *crawl_outcome_text(CrawlOutcome outcome)
{
    ASSERT(outcome < CRAWL_OUTCOME_COUNT);
    return outcomes[outcome].text;
}

CrawlOutcomeClass crawl_outcome_class(CrawlOutcome outcome)
{
    ASSERT(outcome < CRAWL_OUTCOME_COUNT);
    return outcomes[outcome].class;
}

CrawlOutcome crawl_outcome_of_error(int r)
{
    static const struct {
        int code;
        CrawlOutcome outcome;
    } map[] = {
        { ERR_DNS, CRAWL_DNS },
        { ERR_NETWORK, CRAWL_NETWORK },
        { ERR_TLS, CRAWL_TLS },
        { ETIMEDOUT, CRAWL_TIMEOUT },
        { ERR_TIMEOUT, CRAWL_TIMEOUT },
        { ERR_HTTP, CRAWL_BAD_HTTP },
        { ERR_TOO_LARGE, CRAWL_TOO_LARGE },
        { ERR_FORBIDDEN, CRAWL_FORBIDDEN },
        { ERR_INVALID, CRAWL_BAD_URL },
    };

    ASSERT(r < 0);
    for (size_t i = 0; i < ARRAY_LEN(map); i++)
        if (map[i].code == -r)
            return map[i].outcome;
    return CRAWL_FAILED;
}

CrawlOutcome crawl_outcome_of_status(int status)
{
    if (status == 304)
        return CRAWL_NOT_MODIFIED;
    if (status >= 300 && status < 400)
        return CRAWL_REDIRECTED;
    if (status == 429)
        return CRAWL_RATE_LIMITED;
    if (status >= 500)
        return CRAWL_SERVER_ERROR;
    if (status >= 400)
        return CRAWL_CLIENT_ERROR;
    return CRAWL_DONE;
}

bool crawl_outcome_is_retryable(CrawlOutcome outcome)
{
    return outcome == CRAWL_NETWORK || outcome == CRAWL_DNS || outcome == CRAWL_TIMEOUT ||
           outcome == CRAWL_SERVER_ERROR || outcome == CRAWL_RATE_LIMITED ||
           outcome == CRAWL_BAD_HTTP;
}
