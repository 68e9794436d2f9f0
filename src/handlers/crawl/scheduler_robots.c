/*
 * Fetching a robots.txt: by the worker that was about to fetch a page, with the host's turn.
 *
 * Redirects are followed hop by hop, up to LIMIT_ROBOTS_REDIRECTS and across hosts, and each hop
 * waits for the gate of the host that it goes to. The rules count for the authority that was asked
 * first. Of a longer file only the first LIMIT_ROBOTS_BYTES are read.
 */
#include "handlers/crawl/scheduler_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

/* One robots.txt being fetched. */
typedef struct Fetch {
    Scheduler *scheduler;
    Host *host;           /* whose gate is entered now; NULL: none (over LIMIT_CRAWL_HOSTS) */
    GateAddress *address; /* the same */
    uint64_t claim;
    int64_t began_ns;
    Buf url;
    Buf body;
    bool is_cut; /* body is full: the rest was not read */
    Err error;   /* why the last hop had no answer; code 0: it had one */
    HttpAnswer answer;
} Fetch;

static int on_body(void *ctx, Str piece)
{
    Fetch *fetch = ctx;

    buf_add_str(&fetch->body, str_sub(piece, 0, LIMIT_ROBOTS_BYTES - fetch->body.len));
    if (fetch->body.len < LIMIT_ROBOTS_BYTES)
        return 0;
    fetch->is_cut = true;
    return fail(-ERR_TOO_LARGE, "robots.txt is longer than what is read of it");
}

/* Wait for the turn of the host that a redirect leads to, and enter. */
SUSPENDS static int enter(Fetch *fetch)
{
    Scheduler *scheduler = fetch->scheduler;
    Host *host = frontier_host(scheduler->frontier, robots_host(buf_str(&fetch->url)));
    int64_t when_ns, now_ns;
    int r;

    fetch->host = NULL;
    for (;;) {
        if (!host)
            return 0;
        now_ns = sl_clock_ns();
        r = gate_may(&host->gate, now_ns, &when_ns);
        if (r == 0 && host->address)
            r = gate_may(&host->address->key, now_ns, &when_ns);
        if (r == 0)
            break;
        r = r == GATE_LATER ? sl_sleep_until_ns(when_ns) : sl_cond_wait(&scheduler->left);
        if (r < 0)
            return r;
    }
    gate_enter(scheduler->gate, &host->gate, now_ns);
    if (host->address)
        gate_enter(scheduler->gate, &host->address->key, now_ns);
    scheduler->n_requests++;
    fetch->host = host;
    fetch->address = host->address;
    fetch->claim = 0;
    fetch->began_ns = now_ns;
    return 0;
}

static void leave(Fetch *fetch, int r)
{
    int64_t now_ns = sl_clock_ns();
    GateAnswer learn;
    bool has_learnt;

    if (!fetch->host)
        return;
    has_learnt = scheduler_note(fetch->scheduler, fetch->host, r, &fetch->answer, fetch->began_ns,
                                &learn);
    scheduler_leave(fetch->scheduler, fetch->host, fetch->address, fetch->claim,
                    has_learnt ? &learn : NULL, now_ns);
    fetch->host = NULL;
}

/* One hop: 0, also when there was no answer (then answer.status is 0), or -ECANCELED. */
SUSPENDS static int hop(Fetch *fetch, CrawlOutcome *ret_outcome)
{
    const RobotsCacheOpts *opts = robots_cache_opts(fetch->scheduler->robots);
    HttpCall call = {
        .url = buf_str(&fetch->url),
        .redirects_max = -1,
        .timeout_ms = opts->timeout_ms,
        .keep_headers = true,
        .accept = "text/plain, */*;q=0.5",
        .proxy = opts->proxy,
        .on_body = on_body,
        .ctx = fetch,
    };
    int r;

    http_answer_reset(&fetch->answer);
    buf_reset(&fetch->body);
    fetch->is_cut = false;
    fetch->error.code = 0;
    r = http_client_call(fetch->scheduler->opts.client, &call, &fetch->answer);
    if (fetch->is_cut && r < 0) {
        err_take(r, NULL);
        r = 0;
    }
    leave(fetch, r);
    if (r == -ECANCELED)
        return r;
    *ret_outcome = CRAWL_DONE;
    if (r < 0) {
        *ret_outcome = crawl_outcome_of_error(r);
        fetch->answer.status = ROBOTS_UNREACHABLE;
        err_take(r, &fetch->error);
    }
    return 0;
}

static bool is_redirect(const HttpAnswer *answer)
{
    return answer->location && answer->status >= 300 && answer->status <= 399 &&
           answer->status != 304;
}

/* All hops: *ret_status for robots_policy. */
SUSPENDS static int follow(Fetch *fetch, int *ret_status, CrawlOutcome *ret_outcome)
{
    int r;

    for (int hops = 0;; hops++) {
        r = hop(fetch, ret_outcome);
        if (r < 0)
            return r;
        *ret_status = fetch->answer.status;
        if (!is_redirect(&fetch->answer))
            return 0;
        *ret_status = ROBOTS_REDIRECTS;
        if (hops == LIMIT_ROBOTS_REDIRECTS)
            return 0;
        buf_reset(&fetch->url);
        buf_add_c(&fetch->url, fetch->answer.location);
        r = enter(fetch);
        if (r < 0)
            return r;
    }
}

/* How old the answer was when it came. */
static int64_t age_ms(const HttpAnswer *answer)
{
    uint64_t seconds = 0;
    Str age = str_trim(http_answer_header(answer, "Age"));
    int r = age.len ? str_to_u64(age, 1u << 30, &seconds) : 0;

    if (r < 0)
        err_take(r, NULL);
    return (int64_t) seconds * MS_PER_S;
}

/* Why there was no answer, without the request that everybody knows. */
static Str cause_of(const Fetch *fetch, Str authority)
{
    Str text = str_from_c(fetch->error.code ? fetch->error.text : NULL), rest = text;
    const Str parts[] = { STR("GET "), authority, STR("/robots.txt: ") };

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (!str_starts(rest, parts[i]))
            return text;
        rest = str_sub(rest, parts[i].len, rest.len);
    }
    return rest;
}

static int take_answer(Fetch *fetch, Host *host, Str authority, int status, CrawlOutcome outcome)
{
    Scheduler *scheduler = fetch->scheduler;
    RobotsRecord record = {
        .authority = authority,
        .status = status,
        .body = buf_str(&fetch->body),
        .cache_control = http_answer_header(&fetch->answer, "Cache-Control"),
        .age_ms = age_ms(&fetch->answer),
        .is_final = outcome == CRAWL_FORBIDDEN,
        .cause = cause_of(fetch, authority),
    };
    const Robots *robots;
    int r = robots_cache_take(scheduler->robots, &record, sl_wall_ms());

    if (r < 0)
        return r;
    scheduler->robots_fetched++;
    host->down = outcome == CRAWL_FORBIDDEN || outcome == CRAWL_DNS ? outcome : CRAWL_DONE;
    robots = robots_cache_find(scheduler->robots, authority);
    if (robots)
        gate_host_crawl_delay(scheduler->gate, &host->gate, robots_crawl_delay_ms(robots));
    if (robots && (fetch->is_cut || robots_is_cut(robots)))
        notes_add_robots_cut(scheduler->opts.notes, authority, fetch->is_cut);
    if (status < 200 || status > 299)
        record.body = (Str){ 0 };
    frontier_keep_robots(scheduler->frontier, &record);
    return 0;
}

SUSPENDS static int fetch_inside(Fetch *fetch, Host *host, Str authority)
{
    CrawlOutcome outcome = CRAWL_DONE;
    int status = ROBOTS_UNREACHABLE;
    int r;

    buf_add_str(&fetch->url, authority);
    buf_add_c(&fetch->url, "/robots.txt");
    r = buf_check(&fetch->url);
    if (r == 0)
        r = follow(fetch, &status, &outcome);
    leave(fetch, -ECANCELED); /* where no hop was made */
    return r < 0 ? r : take_answer(fetch, host, authority, status, outcome);
}

int scheduler_fetch_robots(Scheduler *scheduler, Host *host, Str url)
{
    AUTO(buf_deinit) Buf authority = { 0 };
    Fetch *fetch = mem_new(Fetch);
    int r;

    ASSERT(host->state == HOST_ROBOTS);
    buf_add_str(&authority, robots_authority(url));
    *fetch = (Fetch){ .scheduler = scheduler,
                      .host = host,
                      .address = host->address,
                      .claim = host->claim,
                      .began_ns = sl_clock_ns() };
    host->claim = 0;
    r = buf_check(&authority);
    if (r == 0)
        r = fetch_inside(fetch, host, buf_str(&authority));
    else
        leave(fetch, r);
    scheduler_host_ready(scheduler, host);
    http_answer_deinit(&fetch->answer);
    buf_deinit(&fetch->url);
    buf_deinit(&fetch->body);
    mem_free(fetch);
    return r;
}
