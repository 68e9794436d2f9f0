/*
 * One request, and its retries.
 *
 * Tried again is what may go better later: no connection, 408, 425, 429, 5xx, and a 403 that says
 * that a rate limit is used up. Between attempts it waits as long as the server asks (Retry-After,
 * or until the limit is reset), and otherwise a random part of 200 ms, 400 ms, 800 ms … ("full
 * jitter", so that many who failed together do not come back together). A wait that is longer than
 * `retry_after_max`, or than the time the source has left, is not begun: it fails at once and says
 * so. POST and PATCH are only tried again when nothing can have arrived, or when the arguments say
 * that twice does no harm.
 *
 * Requests to one host share its slots, its rate, and its wish to be left alone.
 */
#include "base/limits.h"
#include "base/macro.h"
#include "codec/http_text.h"
#include "codec/http_wait.h"
#include "codec/time_text.h"
#include "handlers/fetch/fetch_int.h"

/* What to do after an attempt that gave no usable answer. */
typedef struct Verdict {
    bool is_retry;
    int64_t wait_ms; /* what the server asks for */
} Verdict;

/* ---- kinds of failure ------------------------------------------------------------------------ */

const char *fetch_failure_word(FetchFailureKind kind)
{
    static const char *const words[] = {
#define X(name, word) word,
        FETCH_FAILURES(X)
#undef X
    };

    return words[kind];
}

/* Which kind the error R of the client is. */
static FetchFailureKind kind_of(int r, const HttpAnswer *answer)
{
    static const struct {
        const char *name;
        FetchFailureKind kind;
    } kinds[] = {
        { "DNS", FETCH_FAILURE_DNS },
        { "TLS", FETCH_FAILURE_TLS },
        { "HTTP", FETCH_FAILURE_HTTP },
        { "TOO_LARGE", FETCH_FAILURE_TOO_LARGE },
        { "FORBIDDEN", FETCH_FAILURE_FORBIDDEN },
        { "NETWORK", FETCH_FAILURE_NETWORK },
    };

    if (r == -ETIMEDOUT)
        return FETCH_FAILURE_TIMEOUT;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(err_name(r), kinds[i].name) != 0)
            continue;
        if (kinds[i].kind == FETCH_FAILURE_NETWORK && answer->phase <= HTTP_PHASE_CONNECT)
            return FETCH_FAILURE_REFUSED;
        return kinds[i].kind;
    }
    return FETCH_FAILURE_OTHER;
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static bool is_safe_twice(const FetchSource *source)
{
    static const char *const methods[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE" };

    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_eq_c(source->method, methods[i]))
            return true;
    return source->args->retry_unsafe;
}

/* No answer came; R has the words. */
static void judge_error(FetchSource *source, const HttpAnswer *answer, int r, Verdict *verdict)
{
    bool is_loop = answer->redirects >= LIMIT_HTTP_CLIENT_REDIRECTS;

    source->failure = kind_of(r, answer);
    verdict->is_retry = (r == -ETIMEDOUT || err_is_retryable(r)) && !is_loop &&
                        (is_safe_twice(source) || answer->phase < HTTP_PHASE_ANSWER);
}

static int fail_status(FetchSource *source, FetchPage *page)
{
    Str excerpt = str_sub(buf_str(&page->answer.body), 0, LIMIT_FETCH_EXCERPT_BYTES);

    excerpt = str_trim(fetch_scrub(&page->arena, source, str_cut_utf8(excerpt, excerpt.len)));
    return fetch_fail(source, FETCH_FAILURE_STATUS, "answered %d %s%s%.*s", page->answer.status,
                      http_reason(page->answer.status), excerpt.len > 0 ? ": " : "",
                      (int) excerpt.len, excerpt.data);
}

/* The kept answer still holds. */
static bool is_renewal(const FetchPage *page)
{
    return page->answer.status == 304 && page->stored.is_there &&
           page->stored.use == HTTP_CACHE_REVALIDATE;
}

/* An answer came; 0 when it is to be read. */
static int judge_status(FetchSource *source, FetchPage *page, Verdict *verdict)
{
    int status = page->answer.status;
    FetchHost *host = source->host;
    HttpWait wait = http_wait(status, buf_str(&page->answer.head), sl_wall_ms(),
                              source->run->args->retry_after_max_ms);
    int r;

    source->status = status;
    if (wait.reason != HTTP_WAIT_NONE && !wait.is_capped)
        host->not_before_ns = MAX(host->not_before_ns, sl_now_ns() + wait.wait_ms * NS_PER_MS);
    if ((status >= 200 && status < 300 && status != 206) || is_renewal(page))
        return 0;
    r = fail_status(source, page);
    verdict->is_retry = (status >= 500 || status == 408 || status == 425 || wait.is_limited) &&
                        is_safe_twice(source);
    verdict->wait_ms = wait.wait_ms;
    if (verdict->is_retry && wait.is_capped) {
        verdict->is_retry = false;
        r = wrap(r, "asks to wait longer than retry_after_max allows");
    }
    return r;
}

/* ---- attempts -------------------------------------------------------------------------------- */

/* A slot of the host, when its rate and its wishes allow. */
SUSPENDS static int enter_host(FetchSource *source)
{
    FetchHost *host = source->host;
    int64_t since_ns = sl_clock_ns();
    int r;

    r = sl_sem_acquire(&host->slots);
    if (r < 0)
        return r;
    while (r == 0 && host->not_before_ns > sl_now_ns())
        r = sl_sleep_until_ns(host->not_before_ns);
    if (source->attempts == 1) /* later, what it waits for is its own doing */
        source->waited_ns += sl_clock_ns() - since_ns;
    if (r == 0 && host->has_rate)
        r = sl_rate_take(&host->rate, 1);
    if (r < 0)
        sl_sem_release(&host->slots);
    return r;
}

SUSPENDS static int try_once(FetchSource *source, FetchPage *page, HttpCall *call, Verdict *verdict)
{
    int r;

    *verdict = (Verdict){ 0 };
    http_answer_reset(&page->answer);
    r = enter_host(source);
    if (r < 0)
        return r;
    r = http_client_call(source->run->http, call, &page->answer);
    sl_sem_release(&source->host->slots);
    if (r < 0 && r != -ECANCELED)
        judge_error(source, &page->answer, r, verdict);
    return r < 0 ? r : judge_status(source, page, verdict);
}

/* A random part of what doubles with each attempt, or what the server asks for. */
static int64_t backoff_ms(int64_t attempt, int64_t asked_ms)
{
    int64_t most_ms = (int64_t) LIMIT_FETCH_BACKOFF_MS << MIN(attempt - 1, (int64_t) 10);

    most_ms = MIN(most_ms, (int64_t) LIMIT_FETCH_BACKOFF_MAX_MS);
    return asked_ms + (int64_t) (sl_random() % (uint64_t) (most_ms + 1));
}

/* Wait before the next attempt; R and its words when there is no time for it. */
SUSPENDS static int wait_for_retry(FetchSource *source, int r, const Verdict *verdict)
{
    int64_t wait_ms = backoff_ms(source->attempts, verdict->wait_ms);
    int64_t deadline_ns = sl_deadline_ns();
    char text[TIME_TEXT_BYTES];
    Err err;
    int slept;

    if (deadline_ns != INT64_MAX && wait_ms * NS_PER_MS >= deadline_ns - sl_now_ns())
        return wrap(r, "no time is left to wait %s and try again",
                    duration_format(wait_ms, text).data);
    err_take(r, &err);
    slept = sl_sleep_ms(wait_ms);
    return slept < 0 ? slept : 0;
}

SUSPENDS static int try_until(FetchSource *source, FetchPage *page, HttpCall *call)
{
    Verdict verdict;
    int r;

    for (source->attempts = 1;; source->attempts++) {
        source->failure = FETCH_FAILURE_NONE;
        r = try_once(source, page, call, &verdict);
        if (r == 0 || !verdict.is_retry || source->attempts > source->retries)
            return r;
        r = wait_for_retry(source, r, &verdict);
        if (r < 0)
            return r;
    }
}

/* The server failed with R: the kept answer, if that may stand in for a new one. */
static int stand_in(FetchSource *source, FetchPage *page, int r)
{
    char age[TIME_TEXT_BYTES];

    if (r == -ECANCELED || !fetch_cache_may_stand_in(&page->stored))
        return r;
    (void) duration_format_table(sl_wall_ms() - page->stored.response_ms, age);
    fetch_note(source, "the answer is %s old, from the cache, because: %s", age, err_text(r));
    err_take(r, NULL);
    source->failure = FETCH_FAILURE_NONE;
    fetch_cache_use(source, &page->stored, page);
    return 0;
}

int fetch_ask(FetchSource *source, FetchPage *page)
{
    HttpCall call;
    int r;

    source->status = 0;
    source->attempts = 0;
    fetch_build_call(&page->arena, source, page->url, &call);
    r = fetch_cache_find(source, &page->arena, &call, &page->stored);
    if (r < 0)
        return r;
    if (page->stored.is_there && page->stored.use == HTTP_CACHE_FRESH) {
        fetch_cache_use(source, &page->stored, page);
        return 0;
    }
    fetch_cache_condition(&page->arena, &page->stored, &call);
    r = try_until(source, page, &call);
    if (r < 0)
        return stand_in(source, page, r);
    page->status = page->answer.status;
    page->body = buf_str(&page->answer.body);
    page->head = buf_str(&page->answer.head);
    page->type = str_from_c(page->answer.content_type);
    r = fetch_cache_keep(source, &call, &page->stored, page);
    if (r == 0 && is_renewal(page))
        fetch_cache_use(source, &page->stored, page);
    return r;
}
