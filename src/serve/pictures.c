/*
 * Pictures by URL; see the header.
 *
 * A flight is a fiber of its own, so that whoever asked first may leave without taking the answer
 * from the others. It is in the table under its key from the first question until its work is done;
 * its record lives until the last one who waits has copied the answer.
 *
 * I1  A flight is in `flights` until its fiber ends, unless it was abandoned and another took its
 *     place; `waiters` counts who waits or is about to.
 * I2  A flight's fiber touches nothing after it has ended itself; the last waiter, or else the
 *     fiber, frees it.
 */
#include "serve/pictures.h"

#include "base/arena.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "codec/hex.h"
#include "codec/http_text.h"
#include "codec/image_url.h"
#include "serve/picture_cache.h"
#include "serve/picture_errors.h"
#include "serve/picture_source.h"
#include "worker/runner.h"

#include <sluice/rt.h>

#include <openssl/evp.h>
#include <stdio.h>

#define FLIGHT_STACK_BYTES (256 << 10)
#define STOP_GRACE_MS      2000

struct Pictures {
    PicturesOpts opts;
    PictureCache *cache;   /* NULL: nothing is kept */
    PictureErrors *errors; /* NULL: none are kept */
    sl_nursery *nursery;   /* of the flights */
    Map flights;           /* key -> Flight */
    size_t flying;         /* fibers of flights, those that nobody waits for counted */
    PicturesStats stats;
};

/* One picture on its way. */
typedef struct Flight {
    Pictures *pictures;
    Arena arena; /* of the texts */
    char key[PICTURE_KEY_BYTES + 1];
    Str args;
    Str source;
    ImageSourceKind kind;
    Str caller;
    size_t waiters;
    sl_scope scope; /* of the fiber, while it is in it */
    bool is_in_scope;
    bool is_abandoned; /* nobody waits any more */
    bool is_over;
    bool has_ended; /* the fiber has */
    sl_event over;

    int r; /* what came of it */
    Err err;
    int64_t wait_ms;
    Buf body;
    char type[PICTURE_TYPE_BYTES];
    char tag[PICTURE_TAG_BYTES];
    PictureKeep keep;
    int64_t fresh_s; /* for how long its source says so; -1: it says nothing */
    bool is_kept;
    int64_t began_ns;
} Flight;

static int64_t now_s(void)
{
    return sl_wall_ms() / MS_PER_S;
}

void picture_ask_deinit(PictureAsk *ask)
{
    buf_deinit(&ask->body);
}

/* ---- a flight -------------------------------------------------------------------------------- */

static void flight_free_if_done(Flight *flight)
{
    if (flight->waiters > 0 || !flight->has_ended)
        return;
    buf_deinit(&flight->body);
    arena_deinit(&flight->arena);
    mem_free(flight);
}

/* The answer is there: tell who waits. */
static void flight_land(Flight *flight, int r)
{
    if (flight->is_over)
        return;
    flight->is_over = true;
    flight->r = r;
    if (r < 0)
        err_take(r, &flight->err);
    if (!flight->is_kept)
        metrics_observe(METRIC_PICTURE_SECONDS, sl_now_ns() - flight->began_ns);
    sl_event_set(&flight->over);
}

static void set_answer(Flight *flight, Str type, Str etag, Str bytes)
{
    (void) snprintf(flight->type, sizeof(flight->type), "%.*s", (int) type.len, type.data);
    (void) snprintf(flight->tag, sizeof(flight->tag), "%.*s", (int) etag.len, etag.data);
    buf_init(&flight->body, LIMIT_SERVE_PICTURE_BYTES);
    buf_add_str(&flight->body, bytes);
}

/* Equal bytes have equal tags, whoever computes them when. */
static void make_tag(Str bytes, char out[static PICTURE_TAG_BYTES])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    ASSERT(EVP_Digest(bytes.data, bytes.len, digest, &len, EVP_sha256(), NULL));
    out[0] = '"';
    hex_encode(digest, 16, out + 1);
    out[33] = '"';
    out[34] = '\0';
}

static int take_outputs(Flight *flight, const Run *run)
{
    char tag[PICTURE_TAG_BYTES];
    Str result = buf_str(&run->result);

    if (run->n_outputs > 1)
        return fail(-ERR_INVALID, "options: a URL gives one picture");
    if (run->n_outputs == 1) {
        const TaskBlob *blob = &run->outputs[0];

        make_tag(blob->bytes, tag);
        set_answer(flight, str_from_c(blob->media_type ? blob->media_type : "image/unknown"),
                   str_from_c(tag), blob->bytes);
    } else {
        make_tag(result, tag);
        set_answer(flight, str_from_c("application/json"), str_from_c(tag), result);
    }
    return buf_check(&flight->body);
}

SUSPENDS static int make(Flight *flight, const PictureSource *source)
{
    AUTO(runner_deinit) Run run = { 0 };
    const PicturesOpts *opts = &flight->pictures->opts;
    int r;

    run.handler = opts->handler;
    run.args = flight->args;
    run.is_direct = true;
    run.job_id = "";
    run.attempt = run.max_attempts = 1;
    run.http = opts->http;
    run.doors = opts->doors;
    run.input.bytes = buf_str(&source->bytes);
    run.takes_outputs = true;
    run.caller = flight->caller;
    flight->pictures->stats.made++;
    r = runner_run(&run);
    flight->wait_ms = run.wait_ms;
    return r < 0 ? r : take_outputs(flight, &run);
}

SUSPENDS static void keep(Flight *flight, const PictureSource *source)
{
    PictureEntry entry = { .type = str_from_c(flight->type),
                           .etag = str_from_c(flight->tag),
                           .tag = buf_str(&source->tag),
                           .kept_s = now_s(),
                           .fresh_s = source->fresh_s,
                           .bytes = buf_str(&flight->body) };

    if (!flight->pictures->cache)
        return;
    if (source->keep == PICTURE_KEEP)
        picture_cache_put(flight->pictures->cache, flight->key, &entry);
    else
        picture_cache_remove(flight->pictures->cache, flight->key); /* what it allowed before */
}

SUSPENDS static int look_up(Flight *flight, PictureEntry *entry)
{
    PictureCache *cache = flight->pictures->cache;

    return cache ? picture_cache_get(cache, flight->key, entry) : PICTURE_CACHE_NONE;
}

/* Answer with ENTRY. */
static int take_kept(Flight *flight, const PictureEntry *entry)
{
    flight->is_kept = true;
    flight->pictures->stats.kept++;
    set_answer(flight, entry->type, entry->etag, entry->bytes);
    return buf_check(&flight->body);
}

/* For how many more seconds ENTRY, of a URL, counts without a question to its source. */
static int64_t left_s(const PicturesOpts *opts, const PictureEntry *entry)
{
    bool is_said = opts->heeds_source && entry->fresh_s >= 0;
    int64_t age_s = now_s() - entry->kept_s;

    if (age_s < 0) /* the clock went back */
        return 0;
    return (is_said ? MIN(entry->fresh_s, opts->max_age_s) : opts->max_age_s) - age_s;
}

/* Ask the source, and make the picture anew unless it is the one of ENTRY. */
SUSPENDS static int renew(Flight *flight, const PictureEntry *entry, PictureSource *source)
{
    int r = picture_source_load(&flight->pictures->opts, flight->kind, flight->source, entry->tag,
                                source);

    if (r < 0)
        return r;
    if (r != PICTURE_SOURCE_SAME) {
        flight->pictures->stats.loaded++;
        r = make(flight, source);
    } else {
        r = take_kept(flight, entry);
        if (source->tag.len == 0)
            buf_add_str(&source->tag, entry->tag);
        if (source->fresh_s < 0)
            source->fresh_s = entry->fresh_s;
    }
    flight->keep = source->keep;
    flight->fresh_s = source->fresh_s;
    return r;
}

/* From the cache, or from the source; then tell, then keep. */
SUSPENDS static int fly(Flight *flight)
{
    AUTO(picture_source_deinit) PictureSource source = { 0 };
    AUTO(picture_entry_deinit) PictureEntry entry = { 0 };
    const PicturesOpts *opts = &flight->pictures->opts;
    int r = look_up(flight, &entry);

    flight->fresh_s = -1;
    if (r < 0)
        return r;
    if (r == 0 && flight->kind == IMAGE_SOURCE_URL && left_s(opts, &entry) > 0) {
        if (opts->heeds_source && entry.fresh_s >= 0)
            flight->fresh_s = left_s(opts, &entry);
        return take_kept(flight, &entry);
    }
    r = renew(flight, &entry, &source);
    if (r < 0 || (flight->is_kept && flight->kind == IMAGE_SOURCE_PATH))
        return r;
    flight_land(flight, 0);
    keep(flight, &source);
    return 0;
}

SUSPENDS static int flight_fiber(void *arg)
{
    Flight *flight = arg;
    Pictures *pictures = flight->pictures;
    Str key = str_from(flight->key, PICTURE_KEY_BYTES);
    bool is_late;
    int r;

    sl_scope_begin(&flight->scope, .timeout_ms = LIMIT_SERVE_PICTURE_MS);
    flight->is_in_scope = true;
    if (flight->is_abandoned)
        sl_scope_cancel(&flight->scope);
    r = fly(flight);
    is_late = r == -ECANCELED; /* it may be the engine that took too long */
    flight->is_in_scope = false;
    r = sl_scope_end(&flight->scope, r);
    if (r == 0 && flight->is_abandoned && !flight->body.data)
        r = fail(-ECANCELED, "nobody waited for the picture");
    flight_land(flight, r);
    if (pictures->errors && flight->r < 0 && !is_late)
        picture_errors_put(pictures->errors, flight->key, now_s(), &flight->err);
    if (map_find(&pictures->flights, key) == flight)
        (void) map_remove(&pictures->flights, key);
    pictures->flying--;
    flight->has_ended = true;
    flight_free_if_done(flight); /* I2 */
    return 0;
}

/* ---- questions ------------------------------------------------------------------------------- */

static bool wants(Str accept, const char *type)
{
    Str range, params;

    while (http_list_next(&accept, &range)) {
        if (str_eq_nocase(str_trim(str_cut(range, ';', &params)), str_from_c(type)))
            return http_accept_quality(range, type) > 0;
    }
    return false;
}

/* ARGS with what only the door can say: the formats that the reader takes, where they count. */
static int add_args(Arena *arena, const Pictures *pictures, PictureAsk *ask, Str *args)
{
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter out = JSON_WRITER(&text);
    bool avif = wants(ask->accept, "image/avif"), webp = wants(ask->accept, "image/webp");
    JsonDoc doc;
    Str format;
    int r = json_parse(arena, *args, &doc);

    if (r < 0)
        return r;
    format = json_str_or(json_find(doc.root, "format"), str_from_c("auto"));
    ask->varies = str_eq_c(format, "auto");
    json_write_object(&out);
    for (JsonIter it = json_iter(doc.root); json_next(&it);) {
        json_write_key_str(&out, it.key);
        json_write_value(&out, it.value);
    }
    if (ask->varies && (avif || webp))
        json_write_member_c(&out, "accept",
                            avif && webp ? "image/avif,image/webp"
                            : avif       ? "image/avif"
                                         : "image/webp");
    if (pictures->opts.takes_vector)
        json_write_member_bool(&out, "vector", true);
    json_write_object_end(&out);
    *args = arena_copy(arena, buf_str(&text));
    return buf_check(&text);
}

static int check_signature(const PicturesOpts *opts, const PictureAsk *ask)
{
    bool is_signed = false;

    for (size_t i = 0; i < opts->n_keys; i++) /* all of them: how long it takes tells nothing */
        is_signed |= image_url_is_signed(opts->keys[i], ask->signed_text, ask->signature);
    if (is_signed || (opts->is_unsigned && str_eq_c(ask->signature, "unsigned")))
        return 0;
    return fail(-ERR_FORBIDDEN, "the signature does not fit this URL");
}

/* Whether ASK is good for anything: who signed it, until when, and what it asks for. */
static int judge_url(Pictures *pictures, PictureAsk *ask, Flight *flight, ImageUrl *ret_url)
{
    const PicturesOpts *opts = &pictures->opts;
    int64_t left;
    int r = check_signature(opts, ask); /* P1 */

    ask->refused = "signature";
    if (r < 0)
        return r;
    ask->refused = "options";
    r = image_url_options(&flight->arena, opts->handler->args, ask->options, ret_url);
    if (r < 0)
        return r;
    ask->refused = "expired";
    left = ret_url->expires_s - now_s();
    if (ret_url->expires_s > 0 && left <= 0)
        return fail(-ERR_FORBIDDEN, "this URL was good until %lld seconds ago", (long long) -left);
    ask->max_age_s = ret_url->expires_s > 0 ? MIN(left, opts->max_age_s) : opts->max_age_s;
    ask->refused = "source";
    r = image_url_source(&flight->arena, ask->source, &flight->kind, &flight->source);
    if (r == 0)
        r = picture_source_allow(opts, flight->kind, flight->source); /* P2 */
    return r;
}

/* Everything that can be known without reading anything. */
static int judge(Pictures *pictures, PictureAsk *ask, Flight *flight)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    ImageUrl url;
    Str text;
    int r = judge_url(pictures, ask, flight, &url);

    if (r == 0)
        r = add_args(&flight->arena, pictures, ask, &url.args);
    if (r < 0)
        return r;
    ask->refused = NULL;
    flight->source = arena_copy(&flight->arena, flight->source);
    flight->caller = arena_copy(&flight->arena, ask->caller);
    flight->args = url.args;
    text = arena_printf(&flight->arena, "%d\n%.*s\n%.*s", (int) flight->kind,
                        (int) flight->source.len, flight->source.data, (int) url.args.len,
                        url.args.data);
    ASSERT(EVP_Digest(text.data, text.len, digest, &len, EVP_sha256(), NULL));
    hex_encode(digest, PICTURE_KEY_BYTES / 2, flight->key);
    return 0;
}

/* An error that is still remembered, or 0. */
static int find_error(Pictures *pictures, PictureAsk *ask, const Flight *flight)
{
    Err err;

    if (!pictures->errors)
        return 0;
    ask->error_age_s = picture_errors_find(pictures->errors, flight->key, now_s(), &err);
    return ask->error_age_s > 0 ? err_put(&err) : 0;
}

/* Begin FLIGHT, for one who waits. */
SUSPENDS static int take_off(Pictures *pictures, PictureAsk *ask, Flight *flight)
{
    Str key = str_from(flight->key, PICTURE_KEY_BYTES);
    int r;

    if (pictures->flying >= LIMIT_SERVE_PICTURES) {
        ask->refused = "busy";
        return fail(-ERR_BUSY, "%d pictures are being made, which is the limit",
                    LIMIT_SERVE_PICTURES);
    }
    flight->pictures = pictures;
    flight->began_ns = sl_now_ns();
    flight->has_ended = false;
    pictures->flying++;
    (void) map_put(&pictures->flights, key, flight);
    r = sl_spawn(pictures->nursery, flight_fiber, flight, .name = "picture",
                 .stack_bytes = FLIGHT_STACK_BYTES);
    if (r < 0) {
        if (map_find(&pictures->flights, key) == flight)
            (void) map_remove(&pictures->flights, key);
        pictures->flying--;
        flight->has_ended = true;
        flight_land(flight, r);
    }
    return 0;
}

/* The flight that ASK is to wait for, which is counted among its waiters: the one there is, or a
 * new one. */
SUSPENDS static int find_flight(Pictures *pictures, PictureAsk *ask, Flight **ret_flight)
{
    Flight *flight = mem_new(Flight), *other;
    int r = judge(pictures, ask, flight);

    flight->has_ended = true; /* it has not begun */
    other = r == 0 ? map_find(&pictures->flights, str_from(flight->key, PICTURE_KEY_BYTES)) : NULL;
    if (r == 0 && other && !other->is_abandoned) {
        flight_free_if_done(flight);
        pictures->stats.shared++;
        ask->is_shared = true;
        other->waiters++;
        *ret_flight = other;
        return 0;
    }
    flight->waiters = 1;
    if (r == 0)
        r = find_error(pictures, ask, flight);
    if (r == 0)
        r = take_off(pictures, ask, flight);
    *ret_flight = flight;
    if (r < 0) {
        flight->waiters = 0;
        flight_free_if_done(flight);
    }
    return r;
}

SUSPENDS static int wait_for(Flight *flight, PictureAsk *ask)
{
    int r = flight->is_over ? 0 : sl_event_wait(&flight->over);

    if (r == 0 && flight->r < 0) {
        ask->wait_ms = flight->wait_ms;
        r = flight->r == -ECANCELED ? fail(-ERR_UNAVAILABLE, "the picture was given up")
                                    : err_put(&flight->err);
    } else if (r == 0) {
        memcpy(ask->type, flight->type, sizeof(ask->type));
        memcpy(ask->tag, flight->tag, sizeof(ask->tag));
        ask->is_kept = flight->is_kept;
        ask->keep = flight->keep;
        if (flight->fresh_s >= 0)
            ask->max_age_s = MIN(ask->max_age_s, flight->fresh_s);
        buf_init(&ask->body, LIMIT_SERVE_PICTURE_BYTES);
        buf_add_str(&ask->body, buf_str(&flight->body));
        r = buf_check(&ask->body);
    }
    flight->waiters--;
    if (flight->waiters == 0 && !flight->is_over) { /* P4 */
        flight->is_abandoned = true;
        if (flight->is_in_scope)
            sl_scope_cancel(&flight->scope);
    }
    flight_free_if_done(flight);
    return r;
}

static void count(const PictureAsk *ask, int r)
{
    const char *outcome = r == 0         ? (ask->is_shared ? "shared"
                                            : ask->is_kept ? "hit"
                                                           : "made")
                          : ask->refused ? "refused"
                                         : "failed";

    metrics_add_label(METRIC_PICTURES, str_from_c(outcome), 1);
    if (r < 0 && ask->refused)
        metrics_add_label(METRIC_PICTURES_REFUSED, str_from_c(ask->refused), 1);
}

typedef struct Visit {
    Pictures *pictures;
    PictureAsk *ask;
} Visit;

SUSPENDS static int visit(void *arg)
{
    Visit *task = arg;
    Flight *flight = NULL;
    int r = find_flight(task->pictures, task->ask, &flight);

    if (r == 0)
        r = wait_for(flight, task->ask);
    count(task->ask, r);
    return r;
}

int pictures_get(Pictures *pictures, PictureAsk *ask)
{
    Visit task = { .pictures = pictures, .ask = ask };

    return sl_call_on(0, visit, &task, "picture");
}

/* ---- life ------------------------------------------------------------------------------------ */

int pictures_start(Pictures **ret_pictures, sl_nursery *nursery, const PicturesOpts *opts)
{
    Pictures *pictures = mem_new(Pictures);
    int r = 0;

    ASSERT(opts->handler && opts->handler->args && opts->http);
    pictures->opts = *opts;
    pictures->nursery = nursery;
    map_init(&pictures->flights, sl_random(), sl_random());
    if (opts->error_age_s > 0)
        pictures->errors = picture_errors_new(opts->error_age_s);
    if (opts->cache_dir)
        r = picture_cache_open(&pictures->cache, opts->cache_dir, opts->cache_bytes);
    if (r < 0) {
        pictures_stop(pictures);
        return r;
    }
    *ret_pictures = pictures;
    return 0;
}

SUSPENDS static int end_flights(void *arg)
{
    Pictures *pictures = arg;
    size_t cursor = 0;
    void *value;
    int r = 0;
    Str key;

    while (map_next(&pictures->flights, &cursor, &key, &value)) {
        Flight *flight = value;

        flight->is_abandoned = true;
        if (flight->is_in_scope)
            sl_scope_cancel(&flight->scope);
    }
    while (r == 0 && pictures->flying > 0)
        r = sl_sleep_ms(1);
    return r;
}

void pictures_stop(Pictures *pictures)
{
    if (!pictures)
        return;
    if (pictures->flying > 0 && sl_shielded(STOP_GRACE_MS, end_flights, pictures) < 0)
        return; /* a flight still has it; the process is about to end */
    picture_cache_free(pictures->cache);
    picture_errors_free(pictures->errors);
    map_deinit(&pictures->flights);
    mem_free(pictures);
}

void pictures_stats(const Pictures *pictures, PicturesStats *ret_stats)
{
    *ret_stats = pictures->stats;
    ret_stats->errors = pictures->errors ? picture_errors_len(pictures->errors) : 0;
    ret_stats->entries = pictures->cache ? picture_cache_len(pictures->cache) : 0;
    ret_stats->bytes = pictures->cache ? picture_cache_bytes(pictures->cache) : 0;
}
