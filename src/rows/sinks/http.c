/*
 * http: lots of rows to a URL, one request for each.
 *
 *   https://host/path?token=x&sluice.format=influx&sluice.header=X-Site:%20north
 *
 * Options of ours begin with `sluice.`; everything else in the URL is the server's. It takes only
 * rows without end: a run's rows have to be whole at its end, and there is no taking back what was
 * sent. At least once: a request whose answer was lost is made again with the same Idempotency-Key.
 *
 * Rows that the server refuses (400, 413, 422) are found by what its answer says, if it answers as
 * Sluice's own /v1/ingest does (`lines`, each with an offset); otherwise by halving, so a server
 * that takes a part of a body it refuses gets that part again. Of 413 the same halving makes
 * requests that are small enough.
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/http_text.h"
#include "codec/json.h"
#include "rows/feed_post.h"
#include "rows/lot_text.h"

#include <stdio.h>
#include <zlib.h>

#define HTTP_OFFLOAD_VALUES 4096 /* in lots with more the body is made on a pool thread */
#define HTTP_HEADERS_MAX    (SINK_PAIRS_MAX + 3)
#define HTTP_TIMEOUT_MS     30000
#define HTTP_TABLE          "rows"

typedef enum BodyFormat { BODY_NDJSON, BODY_JSON, BODY_INFLUX } BodyFormat;

typedef struct HttpFeed {
    const SinkSpec *spec; /* borrowed from the feed */
    FeedPost post;
    BodyFormat format;
    bool is_gzip;
    LotPoint point;
    Str *tags; /* owned */
    HttpHeader headers[HTTP_HEADERS_MAX];
    size_t n_headers;
    Buf table;        /* of FeedOpts, where it has one */
    Buf body;         /* of one request */
    Buf packed;       /* the same with gzip */
    uint32_t *starts; /* of each row in body; owned, of as many as the largest lot has */
    size_t cap_starts;
    HttpAnswer answer;
} HttpFeed;

/* ---- a body ---------------------------------------------------------------------------------- */

typedef struct BodyJob {
    HttpFeed *feed;
    const FeedLot *lot;
    size_t from, to;
    size_t bad; /* a row that the format cannot say; SIZE_MAX: none */
    char words[REFUSAL_TEXT_BYTES];
} BodyJob;

/* Append a row in its format; one that the format cannot say is kept for the answer. */
static void add_row(BodyJob *job, size_t index)
{
    HttpFeed *feed = job->feed;
    int r;

    if (feed->format != BODY_INFLUX) {
        if (feed->format == BODY_JSON)
            buf_add_c(&feed->body, index == job->from ? "[" : ",\n");
        lot_add_json(&feed->body, job->lot, index, true);
        if (feed->format == BODY_NDJSON)
            buf_add_char(&feed->body, '\n');
        return;
    }
    r = lot_add_point(&feed->body, &feed->point, job->lot, index);
    if (r < 0) {
        Err err;

        err_take(r, &err);
        job->bad = index;
        (void) snprintf(job->words, sizeof(job->words), "%.*s", (int) sizeof(job->words) - 1,
                        err.text);
    }
}

static int pack(HttpFeed *feed)
{
    z_stream z = { 0 };
    size_t room;
    int done;

    if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return fail(-ENOMEM, "no memory for gzip");
    buf_reset(&feed->packed);
    room = deflateBound(&z, feed->body.len);
    z.next_in = (unsigned char *) feed->body.data;
    z.avail_in = (unsigned) feed->body.len;
    z.next_out = (unsigned char *) buf_reserve(&feed->packed, room);
    z.avail_out = (unsigned) room;
    done = z.next_out ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
    feed->packed.len = z.next_out ? z.total_out : 0;
    (void) deflateEnd(&z);
    return done == Z_STREAM_END ? 0 : fail(-ENOMEM, "no memory for gzip");
}

static int body_main(void *arg)
{
    BodyJob *job = arg;
    HttpFeed *feed = job->feed;
    int r;

    buf_reset(&feed->body);
    for (size_t i = job->from; i < job->to && job->bad == SIZE_MAX; i++) {
        feed->starts[i] = (uint32_t) feed->body.len;
        add_row(job, i);
    }
    if (feed->format == BODY_JSON)
        buf_add_c(&feed->body, "]\n");
    r = buf_check(&feed->body);
    return r < 0 || !feed->is_gzip || job->bad < SIZE_MAX ? r : pack(feed);
}

SUSPENDS static int make_body(BodyJob *job)
{
    job->bad = SIZE_MAX;
    if ((job->to - job->from) * job->lot->n_columns < HTTP_OFFLOAD_VALUES)
        return body_main(job);
    return sl_offload(body_main, job, .name = "write rows");
}

/* ---- a request ------------------------------------------------------------------------------- */

SUSPENDS static int post(HttpFeed *feed, size_t from, size_t to, FeedVerdict *verdict)
{
    HttpCall call = { .method = sink_spec_text(feed->spec, "sluice.method"),
                      .url = feed->spec->target,
                      .headers = feed->headers,
                      .n_headers = feed->n_headers,
                      .body = buf_str(feed->is_gzip ? &feed->packed : &feed->body),
                      .timeout_ms = sink_spec_number(feed->spec, "sluice.timeout",
                                                     HTTP_TIMEOUT_MS) };

    if (call.method.len == 0)
        call.method = str_from_c("POST");
    return feed_post(&feed->post, &call, from, to, &feed->answer, verdict);
}

/* Refuse row ROW, which is part of nothing that is still to be tried. */
static bool refuse_row(FeedVerdict *verdict, size_t row, const char *code, const char *text)
{
    FeedIsolation one = {
        .from = row, .to = row + 1, .end = row + 1, .n_refused = verdict->n_refused
    };

    feed_isolation_bad(&one, row, verdict, code, text);
    return !one.is_overfull;
}

/* The row of [FROM, TO) whose text holds byte OFFSET of the body; SIZE_MAX for none. */
static size_t row_at(const HttpFeed *feed, size_t from, size_t to, int64_t offset)
{
    if (offset < 0 || (uint64_t) offset >= feed->body.len || from == to)
        return SIZE_MAX;
    while (to - from > 1) {
        size_t middle = from + (to - from) / 2;

        if (feed->starts[middle] <= offset)
            from = middle;
        else
            to = middle;
    }
    return from;
}

/*
 * The answer names refused rows as ours does: refuse them. *RET_NEXT is the first row of which it
 * does not say what became of it: TO, or behind the last one named when it names not all. False: it
 * does not answer like that, or makes no sense.
 */
static bool read_refusals(HttpFeed *feed, size_t from, size_t to, FeedVerdict *verdict,
                          size_t *ret_next)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    size_t named = 0, next = from;
    int64_t refused;
    JsonDoc doc;
    Json lines;
    int r = json_parse(&arena, buf_str(&feed->answer.body), &doc);

    if (r < 0) {
        err_take(r, NULL);
        return false;
    }
    lines = json_find(doc.root, "lines");
    if (!json_is_array(lines) || !json_get_i64(json_find(doc.root, "refused"), &refused))
        return false;
    for (JsonIter it = json_iter(lines); json_next(&it); named++) {
        size_t row = row_at(feed, from, to, json_i64_or(json_find(it.value, "offset"), -1));
        char code[16], text[REFUSAL_TEXT_BYTES];
        Str words = json_str_or(json_find(it.value, "message"), (Str){ 0 });
        Str name = json_str_or(json_find(it.value, "code"), (Str){ 0 });

        if (row == SIZE_MAX || row < next)
            return false;
        (void) snprintf(code, sizeof(code), "%.*s", (int) MIN(name.len, (size_t) 15), name.data);
        (void) snprintf(text, sizeof(text), "%.*s", (int) MIN(words.len, sizeof(text) - 1),
                        words.data);
        if (!refuse_row(verdict, row, code, text))
            return true;
        next = row + 1;
    }
    *ret_next = refused > (int64_t) named && named > 0 ? next : to;
    return named > 0;
}

/* ---- a lot ----------------------------------------------------------------------------------- */

enum { PUT_BAD = 17 };

/* Send the rows [FROM, TO). 0; PUT_BAD with *RET_ROW (or SIZE_MAX) and its words: none of them is
 * in; an outcome; or an error. */
SUSPENDS static int put(HttpFeed *feed, const FeedLot *lot, size_t from, size_t to,
                        FeedVerdict *verdict, BodyJob *job)
{
    while (from < to) {
        size_t next = to;
        int r;

        *job = (BodyJob){ .feed = feed, .lot = lot, .from = from, .to = to };
        r = make_body(job);
        if (r < 0)
            return r;
        if (job->bad < SIZE_MAX)
            return PUT_BAD;
        r = post(feed, from, to, verdict);
        if (r < 0 || (r > 0 && r != FEED_POST_REFUSED))
            return r;
        if (r == 0 && feed->answer.status != 207)
            return 0;
        if (!read_refusals(feed, from, to, verdict, &next)) {
            feed_post_words(&feed->answer, job->words, sizeof(job->words));
            return r == 0 ? 0 : PUT_BAD;
        }
        from = next;
    }
    return 0;
}

SUSPENDS static int deliver_ranges(HttpFeed *feed, const FeedLot *lot, FeedVerdict *verdict)
{
    FeedIsolation walk;
    size_t from, to;

    feed_isolation_begin(&walk, lot->n_rows);
    while (feed_isolation_next(&walk, &from, &to)) {
        char code[16];
        BodyJob job;
        int r = put(feed, lot, from, to, verdict, &job);

        walk.n_refused = verdict->n_refused;
        if (walk.n_refused >= FEED_REFUSALS)
            return feed_verdict_overfull(verdict, lot->n_rows);
        if (r == 0) {
            feed_isolation_good(&walk);
            continue;
        }
        if (r != PUT_BAD)
            return r;
        (void) snprintf(code, sizeof(code), job.bad < SIZE_MAX ? "influx" : "HTTP_%d",
                        feed->answer.status);
        feed_isolation_bad(&walk, job.bad, verdict, code, job.words);
    }
    if (walk.is_overfull)
        return feed_verdict_overfull(verdict, lot->n_rows);
    return verdict->n_refused > 0 ? FEED_REFUSED : 0;
}

SUSPENDS static int http_deliver(void *state, const FeedLot *lot, FeedVerdict *verdict)
{
    HttpFeed *feed = state;
    int r = feed_post_wait(&feed->post);

    if (r < 0)
        return r;
    feed->post.mark = lot->mark;
    if (lot->n_rows > feed->cap_starts) {
        feed->starts = mem_resize_array(feed->starts, lot->n_rows, sizeof(feed->starts[0]));
        feed->cap_starts = lot->n_rows;
    }
    return deliver_ranges(feed, lot, verdict);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void http_free(HttpFeed *feed)
{
    http_answer_deinit(&feed->answer);
    buf_deinit(&feed->table);
    buf_deinit(&feed->body);
    buf_deinit(&feed->packed);
    mem_free(feed->starts);
    mem_free(feed->tags);
    mem_free(feed);
}
DEFINE_AUTO(HttpFeed *, http_free);

static void add_header(HttpFeed *feed, const char *name, const char *value)
{
    feed->headers[feed->n_headers++] = (HttpHeader){ str_from_c(name), str_from_c(value) };
}

static int add_own_headers(HttpFeed *feed)
{
    static const char *const types[] = { "application/x-ndjson", "application/json",
                                         "text/plain; charset=utf-8" };

    add_header(feed, "Content-Type", types[feed->format]);
    if (feed->is_gzip)
        add_header(feed, "Content-Encoding", "gzip");
    for (size_t i = 0; i < feed->spec->n_pairs; i++) {
        const SinkPair *pair = &feed->spec->pairs[i];
        Str value, name = str_trim(str_cut(pair->text, ':', &value));

        if (strcmp(pair->option->name, "sluice.header") != 0)
            continue;
        if (name.len == 0 || name.len == pair->text.len || !http_is_token(name) ||
            str_find(value, '\n') >= 0 || str_find(value, '\r') >= 0)
            return fail(-ERR_INVALID, "sluice.header: must be NAME: VALUE");
        feed->headers[feed->n_headers++] = (HttpHeader){ name, str_trim(value) };
    }
    return 0;
}

static void read_point(HttpFeed *feed, const FeedOpts *opts)
{
    Str list = sink_spec_text(feed->spec, "sluice.tags");
    Str table = sink_spec_text(feed->spec, "sluice.table");

    buf_add_str(&feed->table, opts->table.len > 0 ? opts->table
                              : table.len > 0     ? table
                                                  : str_from_c(HTTP_TABLE));
    feed->point.measurement = buf_str(&feed->table);
    feed->point.time = sink_spec_text(feed->spec, "sluice.time");
    if (list.len == 0)
        return;
    feed->point.tags = feed->tags = mem_new_array(Str, list.len);
    while (list.len > 0)
        feed->tags[feed->point.n_tags++] = str_trim(str_cut(list, ',', &list));
}

SUSPENDS static int http_open(const SinkSpec *spec, const FeedOpts *opts, void **ret_state,
                              uint64_t *ret_mark, FeedVerdict *verdict)
{
    AUTO(http_free) HttpFeed *feed = mem_new(HttpFeed);
    int r;

    (void) ret_mark; /* it keeps none */
    (void) verdict;
    feed->spec = spec;
    feed->format = (BodyFormat) sink_spec_number(spec, "sluice.format", BODY_NDJSON);
    feed->is_gzip = sink_spec_number(spec, "sluice.gzip", 0) != 0;
    r = feed_post_init(&feed->post, opts);
    if (r < 0)
        return r;
    read_point(feed, opts);
    r = add_own_headers(feed);
    if (r < 0)
        return r;
    *ret_state = TAKE(feed);
    return 0;
}

SUSPENDS static void http_close(void *state)
{
    HttpFeed *feed = state;

    http_free(feed);
}

static const FeedDriver http_feed = {
    .open = http_open,
    .deliver = http_deliver,
    .finish = feed_post_finish,
    .close = http_close,
};

static const SinkOption http_options[] = {
    { .name = "sluice.format",
      .kind = SINK_OPTION_WORD,
      .words = "ndjson|json|influx",
      .summary = "what a body is: an object a line, one array, or line protocol",
      .is_for_feed = true },
    { .name = "sluice.method",
      .kind = SINK_OPTION_TEXT,
      .summary = "POST unless given",
      .is_for_feed = true },
    { .name = "sluice.header",
      .kind = SINK_OPTION_TEXT,
      .summary = "a header to send, NAME: VALUE; may be given several times",
      .is_for_feed = true,
      .is_list = true },
    { .name = "sluice.gzip",
      .kind = SINK_OPTION_FLAG,
      .summary = "compress bodies",
      .is_for_feed = true },
    { .name = "sluice.timeout",
      .kind = SINK_OPTION_DURATION,
      .summary = "for one request; 30s unless given",
      .min = 1,
      .is_for_feed = true },
    { .name = "sluice.table",
      .kind = SINK_OPTION_TEXT,
      .summary = "influx: the measurement; rows unless given",
      .is_for_feed = true },
    { .name = "sluice.tags",
      .kind = SINK_OPTION_TEXT,
      .summary = "influx: columns that are tags, with commas between; those of text unless given",
      .is_for_feed = true },
    { .name = "sluice.time",
      .kind = SINK_OPTION_TEXT,
      .summary = "influx: the column of a point's time; time, or the first that is one",
      .is_for_feed = true },
    { 0 },
};

const SinkDriver sink_http = {
    .name = "http",
    .summary = "requests to a URL, with the rows as JSON or line protocol",
    .schemes = { "http://", "https://" },
    .modes = 1u << SINK_APPEND,
    .mode_default = SINK_APPEND,
    .options = http_options,
    .feed = &http_feed,
};
