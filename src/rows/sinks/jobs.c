/*
 * jobs: each row becomes a job.
 *
 *   jobs:resize?queue=images                 in the engine that runs the pipeline
 *   jobs:report.daily?url=http://10.0.0.7:7584
 *
 * The row is the job's argument: an object with a member for each column that has a value. Jobs are
 * pushed many at once; a push is all or nothing, and its Idempotency-Key makes one whose answer was
 * lost harmless when it comes again (for as long as the engine remembers keys, a day). A process
 * that was killed delivers its last lot again with another key: at least once.
 *
 * An argument that does not fit the handler's schema is that row's fault, and the engine names it.
 * Anything else that it refuses is the same for every row, and stops.
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/json.h"
#include "rows/feed_post.h"
#include "rows/lot_text.h"

#include <stdio.h>

#define JOBS_ENGINE     "http://127.0.0.1:7584"
#define JOBS_PATH       "/ojs/v1/jobs/batch"
#define JOBS_TIMEOUT_MS 30000

typedef struct JobsFeed {
    const SinkSpec *spec; /* borrowed from the feed */
    FeedPost post;
    Buf url;
    Buf head; /* of each job, to its argument */
    Buf tail; /* behind that */
    Buf body;
    HttpAnswer answer;
} JobsFeed;

/* ---- a push ---------------------------------------------------------------------------------- */

/* The body for the rows from FROM on, as many as one push takes: up to *RET_TO, at most TO. */
static int make_body(JobsFeed *feed, const FeedLot *lot, size_t from, size_t to, size_t *ret_to)
{
    size_t i = from;

    buf_reset(&feed->body);
    buf_add_c(&feed->body, "{\"jobs\":[");
    while (i < to && i - from < LIMIT_FEED_JOBS && feed->body.len < LIMIT_FEED_JOBS_BYTES) {
        if (i > from)
            buf_add_c(&feed->body, ",\n");
        buf_add_str(&feed->body, buf_str(&feed->head));
        lot_add_json(&feed->body, lot, i++, false);
        buf_add_str(&feed->body, buf_str(&feed->tail));
    }
    buf_add_c(&feed->body, "]}\n");
    *ret_to = i;
    return buf_check(&feed->body);
}

SUSPENDS static int push(JobsFeed *feed, size_t from, size_t to, FeedVerdict *verdict)
{
    HttpHeader headers[2] = { { STR("Content-Type"), STR("application/json") } };
    HttpCall call = { .method = str_from_c("POST"),
                      .url = buf_str(&feed->url),
                      .headers = headers,
                      .n_headers = 1,
                      .body = buf_str(&feed->body),
                      .timeout_ms = JOBS_TIMEOUT_MS };

    return feed_post(&feed->post, &call, from, to, &feed->answer, verdict);
}

typedef struct PushRefusal {
    size_t row; /* of the lot; SIZE_MAX: all are refused alike */
    char code[16];
    char text[REFUSAL_TEXT_BYTES];
} PushRefusal;

static void put_str(char *out, size_t cap, Str text)
{
    text = str_cut_utf8(text, cap - 1);
    if (text.len > 0)
        memcpy(out, text.data, text.len);
    out[text.len] = '\0';
}

/* What the engine says about the push of [FROM, TO) that it refused. */
static void read_refusal(const JobsFeed *feed, size_t from, size_t to, PushRefusal *ret)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Json error, details;
    int64_t index;
    JsonDoc doc;
    int r = json_parse(&arena, buf_str(&feed->answer.body), &doc);

    *ret = (PushRefusal){ .row = SIZE_MAX };
    (void) snprintf(ret->code, sizeof(ret->code), "HTTP_%d", feed->answer.status);
    if (r < 0) {
        err_take(r, NULL);
        feed_post_words(&feed->answer, ret->text, sizeof(ret->text));
        return;
    }
    error = json_find(doc.root, "error");
    details = json_find(error, "details");
    put_str(ret->text, sizeof(ret->text), json_str_or(json_find(error, "message"), (Str){ 0 }));
    if (str_eq_c(json_str_or(json_find(details, "field"), (Str){ 0 }), "args") &&
        json_get_i64(json_find(details, "index"), &index) && index >= 0 &&
        (uint64_t) index < to - from) {
        ret->row = from + (size_t) index;
        put_str(ret->code, sizeof(ret->code), str_from_c("args"));
    }
}

/* ---- a lot ----------------------------------------------------------------------------------- */

/* A push that the engine refused: 0 when a row of it is at fault, told to WALK; or FEED_STOP. */
static int refuse(JobsFeed *feed, FeedIsolation *walk, FeedVerdict *verdict)
{
    PushRefusal refusal;

    read_refusal(feed, walk->from, walk->to, &refusal);
    if (refusal.row == SIZE_MAX && feed->answer.status != 413) {
        feed_verdict_say(verdict, refusal.code, "the engine refuses the jobs: %s", refusal.text);
        return FEED_STOP;
    }
    feed_isolation_bad(walk, refusal.row, verdict, refusal.code, refusal.text);
    return 0;
}

/* Push what one push takes, again and again without the rows that are refused. */
SUSPENDS static int push_slice(JobsFeed *feed, const FeedLot *lot, FeedIsolation *walk,
                               FeedVerdict *verdict)
{
    size_t from, to, end;

    while (feed_isolation_next(walk, &from, &to)) {
        int r = make_body(feed, lot, from, to, &end);

        if (r == 0)
            r = push(feed, from, to, verdict);
        if (r == 0)
            feed_isolation_good(walk);
        else if (r == FEED_POST_REFUSED)
            r = refuse(feed, walk, verdict);
        if (r != 0)
            return r;
    }
    return walk->is_overfull ? feed_verdict_overfull(verdict, lot->n_rows) : 0;
}

SUSPENDS static int jobs_deliver(void *state, const FeedLot *lot, FeedVerdict *verdict)
{
    JobsFeed *feed = state;
    int r = feed_post_wait(&feed->post);

    feed->post.mark = lot->mark;
    for (size_t from = 0, to; from < lot->n_rows && r == 0; from = to) {
        r = make_body(feed, lot, from, lot->n_rows, &to);
        if (r == 0) {
            FeedIsolation walk = {
                .from = from, .to = to, .end = to, .n_refused = verdict->n_refused
            };

            r = push_slice(feed, lot, &walk, verdict);
        }
    }
    return r == 0 && verdict->n_refused > 0 ? FEED_REFUSED : r;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void jobs_free(JobsFeed *feed)
{
    http_answer_deinit(&feed->answer);
    buf_deinit(&feed->url);
    buf_deinit(&feed->head);
    buf_deinit(&feed->tail);
    buf_deinit(&feed->body);
    mem_free(feed);
}
DEFINE_AUTO(JobsFeed *, jobs_free);

static void write_job(JobsFeed *feed)
{
    Str queue = sink_spec_text(feed->spec, "queue");
    int64_t priority = sink_spec_number(feed->spec, "priority", 0);
    JsonWriter head = JSON_WRITER(&feed->head), tail = JSON_WRITER(&feed->tail);

    buf_add_c(&feed->head, "{\"type\":");
    json_write_str(&head, feed->spec->target);
    buf_add_c(&feed->head, ",\"args\":[");
    buf_add_c(&feed->tail, "]");
    if (queue.len > 0 || priority > 0) {
        buf_add_c(&feed->tail, ",\"options\":");
        json_write_object(&tail);
        if (queue.len > 0)
            json_write_member_str(&tail, "queue", queue);
        if (priority > 0)
            json_write_member_i64(&tail, "priority", priority);
        json_write_object_end(&tail);
    }
    buf_add_char(&feed->tail, '}');
}

static int write_url(JobsFeed *feed, const FeedOpts *opts)
{
    Str url = sink_spec_text(feed->spec, "url");

    if (url.len == 0)
        url = opts->engine_url.len > 0 ? opts->engine_url : str_from_c(JOBS_ENGINE);
    if (!str_starts(url, str_from_c("http://")) && !str_starts(url, str_from_c("https://")))
        return fail(-ERR_INVALID, "option url: must begin with http:// or https://");
    while (str_ends(url, str_from_c("/")))
        url = str_sub(url, 0, url.len - 1);
    buf_add_str(&feed->url, url);
    buf_add_c(&feed->url, JOBS_PATH);
    return buf_check(&feed->url);
}

SUSPENDS static int jobs_open(const SinkSpec *spec, const FeedOpts *opts, void **ret_state,
                              uint64_t *ret_mark, FeedVerdict *verdict)
{
    AUTO(jobs_free) JobsFeed *feed = mem_new(JobsFeed);
    int r;

    (void) ret_mark; /* it keeps none */
    (void) verdict;
    feed->spec = spec;
    write_job(feed);
    r = feed_post_init(&feed->post, opts);
    if (r == 0)
        r = write_url(feed, opts);
    if (r < 0)
        return r;
    *ret_state = TAKE(feed);
    return 0;
}

SUSPENDS static void jobs_close(void *state)
{
    JobsFeed *feed = state;

    jobs_free(feed);
}

static const FeedDriver jobs_feed = {
    .open = jobs_open,
    .deliver = jobs_deliver,
    .finish = feed_post_finish,
    .close = jobs_close,
};

static const SinkOption jobs_options[] = {
    { .name = "queue",
      .kind = SINK_OPTION_TEXT,
      .summary = "where the jobs wait; default unless given",
      .is_for_feed = true },
    { .name = "priority",
      .kind = SINK_OPTION_COUNT,
      .summary = "of the jobs, up to 100; the higher runs first",
      .max = 100,
      .is_for_feed = true },
    { .name = "url",
      .kind = SINK_OPTION_TEXT,
      .summary = "another engine; that which runs the pipeline unless given",
      .is_for_feed = true },
    { 0 },
};

const SinkDriver sink_jobs = {
    .name = "jobs",
    .summary = "jobs of the type named, with the row as their argument",
    .modes = 1u << SINK_APPEND,
    .mode_default = SINK_APPEND,
    .options = jobs_options,
    .feed = &jobs_feed,
};
