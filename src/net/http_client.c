/*
 * Calls of the HTTP client: a call waits for its turn, takes a handle from the pool, and makes one
 * transfer after the other until there is an answer or an error. And the life of a client.
 */
#include "net/http_client.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "net/cookies_int.h"
#include "net/http_client_int.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define URL_SHOWN_MAX 200

/* ---- the process ----------------------------------------------------------------------------- */

int http_client_global_init(void)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    CURLcode code;

    /* OpenSSL writes with write(2): without this a peer that has gone would end the process. */
    (void) sigaction(SIGPIPE, &ignore, NULL);
    code = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (code != CURLE_OK)
        return fail(-ERR_INTERNAL, "start libcurl: %s", curl_easy_strerror(code));
    return 0;
}

void http_client_global_deinit(void)
{
    curl_global_cleanup();
}

/* ---- handles --------------------------------------------------------------------------------- */

static ClientSlot *slot_new(HttpClient *client)
{
    CURL *easy = curl_easy_init();
    ClientSlot *slot;

    if (!easy)
        return NULL;
    slot = mem_new(ClientSlot);
    slot->client = client;
    slot->easy = easy;
    client_request_init(slot);
    client_answer_init(slot);
    client_drive_set_easy(slot);
    return slot;
}

void client_slot_free(ClientSlot *slot)
{
    curl_easy_cleanup(slot->easy);
    buf_deinit(&slot->credentials);
    buf_deinit(&slot->origin);
    buf_deinit(&slot->url);
    buf_deinit(&slot->location);
    buf_deinit(&slot->lines);
    buf_deinit(&slot->built);
    buf_deinit(&slot->resolve_line);
    mem_free(slot->headers);
    mem_free(slot);
}

static ClientSlot *slot_take(HttpClient *client)
{
    ClientSlot *slot = client->pool;

    if (!slot)
        return slot_new(client);
    client->pool = slot->next;
    slot->next = NULL;
    return slot;
}

static void slot_put(ClientSlot *slot)
{
    HttpClient *client = slot->client;

    ASSERT(!slot->is_added && !list_is_linked(&slot->link));
    client_request_clear(slot);
    slot->call = NULL;
    slot->answer = NULL;
    slot->next = client->pool;
    client->pool = slot;
}

static void slot_begin(ClientSlot *slot, const HttpCall *call, HttpAnswer *answer)
{
    HttpClient *client = slot->client;

    slot->call = call;
    slot->answer = answer;
    slot->policy = MAX(call->policy, client->opts.policy);
    slot->body_bytes_max = call->body_bytes_max ? call->body_bytes_max
                                                : LIMIT_HTTP_CLIENT_BODY_BYTES;
    slot->wire_bytes_max = call->wire_bytes_max ? call->wire_bytes_max : slot->body_bytes_max;
    slot->header_bytes_max = call->header_bytes_max ? call->header_bytes_max
                                                    : LIMIT_HTTP_CLIENT_HEADER_BYTES;
    slot->header_bytes = 0;
    slot->turn_ns = sl_now_ns();
    if (answer->body.max_bytes == 0 && answer->body.cap == 0)
        buf_init(&answer->body, slot->body_bytes_max);
    else if (call->body_bytes_max)
        answer->body.max_bytes = call->body_bytes_max; /* not that of the call before */
}

/* ---- the call -------------------------------------------------------------------------------- */

/* One transfer. 0 when an answer came that is whole, or a redirect that is to be followed. */
SUSPENDS static int perform(ClientSlot *slot)
{
    HttpClient *client = slot->client;
    int r;

    client_answer_begin(slot);
    r = client_request_set(slot);
    if (r < 0)
        return r;
    if (curl_multi_add_handle(client->multi, slot->easy) != CURLM_OK)
        return fail(-ENOMEM, "begin the call");
    slot->is_added = true;
    list_push_back(&client->active, &slot->link);
    r = sl_event_wait(&slot->done);
    list_remove(&slot->link);
    if (slot->is_added) { /* cancelled, or the client stops */
        (void) curl_multi_remove_handle(client->multi, slot->easy);
        slot->is_added = false;
    }
    client_answer_fill(slot);
    if (slot->n_set_cookies > 0 && slot->call->cookies)
        cookies_look(slot->call->cookies, slot->n_set_cookies);
    if (r < 0)
        return r;
    if (slot->is_aborted)
        return fail(-ECANCELED, "the http client was stopped");
    return slot->answer->phase == HTTP_PHASE_DONE ? 0 : client_answer_fail(slot);
}

/* Hop after hop, until an answer is no redirect that is to be followed. */
SUSPENDS static int perform_all(ClientSlot *slot)
{
    HttpAnswer *answer = slot->answer;
    int r = client_first_url(slot);

    while (r == 0) {
        r = perform(slot);
        if (r < 0 || !client_answer_is_hop(slot))
            break;
        r = client_next_url(slot);
    }
    if (r >= 0)
        client_fill_location(slot);
    if (slot->hops > 0) {
        mem_free(answer->url);
        answer->url = mem_copy_c(slot->url.data, slot->url.len - 1);
        r = wrap(r, "redirected to %.*s", (int) MIN(slot->url.len - 1, (size_t) URL_SHOWN_MAX),
                 slot->url.data);
    }
    return r == HTTP_REDIRECT_STOP ? 0 : r;
}

/* URL without user and password, cut, for words. */
static Str public_url(Str url, char out[static URL_SHOWN_MAX + 1])
{
    Str rest = url, authority;
    size_t len = 0;
    ssize_t at;

    for (size_t i = 0; i + 3 <= url.len && i < 16; i++)
        if (memcmp(url.data + i, "://", 3) == 0) {
            len = i + 3;
            break;
        }
    memcpy(out, url.data, len);
    rest = str_sub(url, len, url.len);
    authority = rest;
    for (size_t i = 0; i < rest.len; i++)
        if (rest.data[i] == '/' || rest.data[i] == '?' || rest.data[i] == '#') {
            authority.len = i;
            break;
        }
    while ((at = str_find(authority, '@')) >= 0) {
        authority = str_sub(authority, (size_t) at + 1, authority.len);
        rest = str_sub(rest, (size_t) at + 1, rest.len);
    }
    for (size_t i = 0; i < rest.len && len < URL_SHOWN_MAX; i++)
        out[len++] = rest.data[i];
    return str_from(out, len);
}

/* Wait for a turn among calls_max, take a handle, perform. */
SUSPENDS static int take_turn(HttpClient *client, const HttpCall *call, HttpAnswer *answer)
{
    ClientSlot *slot;
    int r;

    r = sl_sem_acquire(&client->free_calls);
    if (r < 0)
        return r;
    if (client->is_stopping) {
        r = fail(-ERR_UNAVAILABLE, "the http client is stopping");
    } else if ((slot = slot_take(client))) {
        slot_begin(slot, call, answer);
        slot->serial = ++client->counts.calls;
        client->counts.active++;
        r = perform_all(slot);
        client->counts.active--;
        slot_put(slot);
    } else {
        r = fail(-ENOMEM, "an easy handle");
    }
    sl_sem_release(&client->free_calls);
    return r;
}

int http_client_call(HttpClient *client, const HttpCall *call, HttpAnswer *answer)
{
    char shown[URL_SHOWN_MAX + 1];
    int64_t began_ns = sl_now_ns();
    Str url;
    int r;

    ASSERT(client && client->tag == HTTP_CLIENT_TAG && call && answer);
    answer->phase = HTTP_PHASE_TURN;
    if (client->is_simulated)
        return fail(-ERR_UNSUPPORTED, "the simulated loop has no network of the machine's");
    client->callers++;
    r = take_turn(client, call, answer);
    answer->took_ns = sl_now_ns() - began_ns;
    client->callers--;
    sl_cond_wake_all(&client->idle);
    if (r == 0 || r == -ECANCELED)
        return r;
    url = public_url(call->url, shown);
    return wrap(r, "%.*s %.*s", call->method.len > 0 ? (int) MIN(call->method.len, (size_t) 16) : 3,
                call->method.len > 0 ? call->method.data : "GET", (int) url.len, url.data);
}

int http_client_get(HttpClient *client, Str url, HttpAnswer *answer)
{
    return http_client_call(client, &(HttpCall){ .url = url }, answer);
}

const char *http_phase_text(HttpPhase phase)
{
    static const char *const texts[] = {
#define X(name, text) [HTTP_PHASE_##name] = text,
        HTTP_PHASES(X)
#undef X
    };

    ASSERT((size_t) phase < ARRAY_LEN(texts));
    return texts[phase];
}

/* ---- answers --------------------------------------------------------------------------------- */

void http_answer_deinit(HttpAnswer *answer)
{
    buf_deinit(&answer->body);
    buf_deinit(&answer->head);
    mem_free(answer->url);
    mem_free(answer->location);
    *answer = (HttpAnswer){ .status = 0 };
}

void http_answer_reset(HttpAnswer *answer)
{
    Buf body = answer->body, head = answer->head;

    buf_reset(&body);
    buf_reset(&head);
    mem_free(answer->url);
    mem_free(answer->location);
    *answer = (HttpAnswer){ .body = body, .head = head };
}

Str http_answer_header(const HttpAnswer *answer, const char *name)
{
    Str rest = buf_str(&answer->head), wanted = str_from_c(name);

    while (rest.len > 0) {
        Str value, line = str_cut(rest, '\n', &rest);
        Str field = str_cut(line, ':', &value);

        if (str_eq_nocase(field, wanted))
            return str_trim(value);
    }
    return (Str){ NULL, 0 };
}

/* ---- life ------------------------------------------------------------------------------------ */

static void client_free(HttpClient *client)
{
    buf_deinit(&client->agent_line);
    buf_deinit(&client->encoding_line);
    client->tag = 0;
    mem_free(client);
}

int http_client_start(HttpClient **ret_client, sl_nursery *nursery, const HttpClientOpts *opts)
{
    HttpClient *client;
    int r;

    ASSERT(ret_client && nursery);
    client = mem_new(HttpClient);
    client->tag = HTTP_CLIENT_TAG;
    if (opts)
        client->opts = *opts;
    if (!client->opts.connections_per_host)
        client->opts.connections_per_host = LIMIT_HTTP_CLIENT_PER_HOST;
    if (!client->opts.connections_max)
        client->opts.connections_max = LIMIT_HTTP_CLIENT_CONNECTIONS;
    if (!client->opts.calls_max)
        client->opts.calls_max = LIMIT_HTTP_CLIENT_CALLS;
    if (!client->opts.user_agent)
        client->opts.user_agent = "sluice";
    client->is_simulated = strcmp(sl_loop_name(), "sim") == 0;
    client->free_calls.count = client->opts.calls_max;
    r = client_request_start(client);
    if (r == 0)
        r = client_drive_init(client);
    if (r == 0) {
        r = sl_spawn(nursery, client_drive, client, .name = "http client",
                     .stack_bytes = 256 << 10);
        if (r < 0)
            (void) curl_multi_cleanup(client->multi); /* nothing in it yet */
    }
    if (r < 0) {
        client_free(client);
        return wrap(r, "start the http client");
    }
    *ret_client = client;
    return 0;
}

void http_client_stop(HttpClient *client)
{
    if (!client)
        return;
    ASSERT(client->tag == HTTP_CLIENT_TAG);
    client->is_stopping = true;
    while (!client->ended.is_set || client->callers > 0) {
        sl_scope shield;
        int r;

        sl_cond_wake_all(&client->work);
        sl_scope_begin(&shield, .is_shield = true, .timeout_ms = 1000);
        r = sl_cond_wait(&client->idle);
        r = sl_scope_end(&shield, r);
        (void) r; /* the loop looks for itself */
    }
    client_free(client);
}

void http_client_stats(const HttpClient *client, HttpClientStats *ret_stats)
{
    ASSERT(client && client->tag == HTTP_CLIENT_TAG && ret_stats);
    *ret_stats = client->counts;
}
