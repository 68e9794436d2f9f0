/*
 * Calls of the HTTP client: a call becomes the options of an easy handle, libcurl's result becomes
 * an answer or an error.
 *
 * Handles are prepared once and pooled with everything that is the same for each call; a call sets
 * what differs and nothing is left over from the one before. What arrives is counted as it is
 * delivered, after decompression, so that a small answer that unfolds to gigabytes stops at the
 * limit like a large one.
 */
#include "net/http_client.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/http_text.h"
#include "net/http_client_int.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define URL_BYTES_MAX (64 << 10)
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

/* ---- what arrives ---------------------------------------------------------------------------- */

static size_t on_write(char *data, size_t one, size_t len, void *ctx)
{
    ClientSlot *slot = ctx;

    (void) one;
    if (len > slot->body_bytes_max - slot->body_bytes) {
        slot->is_too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    slot->body_bytes += len;
    if (slot->call->on_body) {
        int r = slot->call->on_body(slot->call->ctx, str_from(data, len));

        if (r < 0) {
            slot->body_error = r;
            err_take(r, &slot->err);
            return CURL_WRITEFUNC_ERROR;
        }
        return len;
    }
    buf_add(&slot->answer->body, data, len);
    if (slot->answer->body.is_failed) {
        slot->is_too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return len;
}

static size_t on_header(char *data, size_t one, size_t len, void *ctx)
{
    ClientSlot *slot = ctx;
    Str line = str_from(data, len);

    (void) one;
    slot->header_bytes += len;
    if (slot->header_bytes > slot->header_bytes_max) {
        slot->is_too_large = true;
        return 0;
    }
    if (slot->call->keep_headers) {
        if (str_starts(line, str_from_c("HTTP/")))
            buf_reset(&slot->answer->head); /* of a redirect, or of 100 Continue, so far */
        else if (str_trim(line).len > 0)
            buf_add_str(&slot->answer->head, line);
    }
    return len;
}

/* ---- a call's options ------------------------------------------------------------------------ */

static ClientSlot *slot_new(HttpClient *client)
{
    ClientSlot *slot = mem_new(ClientSlot);
    CURL *easy = curl_easy_init();
    const HttpClientOpts *opts = &client->opts;

    if (!easy) {
        mem_free(slot);
        return NULL;
    }
    slot->client = client;
    slot->easy = easy;
    /* None of these can fail for the values given, but for want of memory, which the call shows. */
    (void) curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
    (void) curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void) curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* never wait for a resolver's thread */
    (void) curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    (void) curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
    (void) curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void) curl_easy_setopt(easy, CURLOPT_HEADERDATA, slot);
    (void) curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->words);
    (void) curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void) curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    (void) curl_easy_setopt(easy, CURLOPT_USERAGENT, opts->user_agent);
    (void) curl_easy_setopt(easy, CURLOPT_PROXY, opts->proxy ? opts->proxy : "");
    (void) curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
    (void) curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    if (opts->ca_file)
        (void) curl_easy_setopt(easy, CURLOPT_CAINFO, opts->ca_file);
    client_drive_set_easy(slot);
    return slot;
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
    curl_slist_free_all(slot->headers);
    slot->headers = NULL;
    slot->call = NULL;
    slot->answer = NULL;
    slot->next = client->pool;
    client->pool = slot;
}

static bool add_header(ClientSlot *slot, const char *line)
{
    struct curl_slist *list = curl_slist_append(slot->headers, line);

    if (list)
        slot->headers = list;
    return list != NULL;
}

/* The call's own headers; `Name;` is how libcurl wants one without a value. */
static int set_headers(ClientSlot *slot, bool has_body)
{
    const HttpCall *call = slot->call;
    AUTO(buf_deinit) Buf line = { 0 };
    bool has_type = false;

    for (size_t i = 0; i < call->n_headers; i++) {
        const HttpHeader *header = &call->headers[i];

        if (!http_is_token(header->name) || !http_is_field_value(header->value))
            return fail(-ERR_INVALID, "header \"%.*s\" is not valid",
                        (int) MIN(header->name.len, (size_t) 80), header->name.data);
        has_type = has_type || str_eq_nocase(header->name, str_from_c("content-type"));
        buf_reset(&line);
        buf_add_str(&line, header->name);
        buf_add_c(&line, header->value.len > 0 ? ": " : ";");
        buf_add_str(&line, header->value);
        buf_add_char(&line, 0);
        if (line.is_failed || !add_header(slot, line.data))
            return fail(-ENOMEM, "header \"%.*s\"", (int) header->name.len, header->name.data);
    }
    /* libcurl would call every body a form, and would wait for leave to send a large one. */
    if ((call->n_headers > 0 || has_body) &&
        (!add_header(slot, "Expect:") ||
         (has_body && !has_type && !add_header(slot, "Content-Type:"))))
        return fail(-ENOMEM, "headers");
    (void) curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER,
                            slot->headers ? slot->headers : slot->client->base_headers);
    return 0;
}

static int set_method(ClientSlot *slot)
{
    const HttpCall *call = slot->call;
    CURL *easy = slot->easy;
    bool has_body = call->body.data != NULL;
    Str method = call->method;
    char name[32];

    (void) curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L); /* forgets what the last call was */
    (void) curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
    if (method.len == 0)
        method = str_from_c(has_body ? "POST" : "GET");
    if (method.len >= sizeof(name) || !http_is_token(method))
        return fail(-ERR_INVALID, "the method is not valid");
    memcpy(name, method.data, method.len);
    name[method.len] = 0;
    if (has_body || str_eq_c(method, "POST")) {
        has_body = true;
        (void) curl_easy_setopt(easy, CURLOPT_POST, 1L);
        (void) curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) call->body.len);
        (void) curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                                call->body.len > 0 ? call->body.data : "");
    } else if (str_eq_c(method, "HEAD")) {
        (void) curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    }
    if (!str_eq_c(method, "GET") && !str_eq_c(method, "HEAD") && !str_eq_c(method, "POST"))
        (void) curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, name); /* copied */
    return set_headers(slot, has_body);
}

static int set_call(ClientSlot *slot)
{
    const HttpCall *call = slot->call;
    CURL *easy = slot->easy;
    int redirects = call->redirects_max ? call->redirects_max : LIMIT_HTTP_CLIENT_REDIRECTS;
    CURLcode code;

    if (call->url.len == 0 || call->url.len > URL_BYTES_MAX ||
        memchr(call->url.data, 0, call->url.len))
        return fail(-ERR_INVALID, "the URL must have 1 to %d bytes", URL_BYTES_MAX);
    buf_reset(&slot->url);
    buf_add_str(&slot->url, call->url);
    buf_add_char(&slot->url, 0);
    if (slot->url.is_failed)
        return buf_check(&slot->url);
    code = curl_easy_setopt(easy, CURLOPT_URL, slot->url.data);
    if (code != CURLE_OK)
        return fail(-ENOMEM, "the URL");
    (void) curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, redirects > 0 ? 1L : 0L);
    (void) curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long) MAX(redirects, 0));
    (void) curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, call->is_raw ? NULL : "");
    (void) curl_easy_setopt(
        easy, CURLOPT_CONNECTTIMEOUT_MS,
        (long) (call->connect_ms ? call->connect_ms : LIMIT_HTTP_CLIENT_CONNECT_MS));
    (void) curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) call->timeout_ms);
    (void) curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) slot->body_bytes_max);
    return set_method(slot);
}

static void slot_begin(ClientSlot *slot, const HttpCall *call, HttpAnswer *answer)
{
    HttpClient *client = slot->client;

    slot->call = call;
    slot->answer = answer;
    slot->policy = MAX(call->policy, client->opts.policy);
    slot->body_bytes_max = call->body_bytes_max ? call->body_bytes_max
                                                : LIMIT_HTTP_CLIENT_BODY_BYTES;
    slot->header_bytes_max = call->header_bytes_max ? call->header_bytes_max
                                                    : LIMIT_HTTP_CLIENT_HEADER_BYTES;
    slot->body_bytes = 0;
    slot->header_bytes = 0;
    slot->result = CURLE_OK;
    slot->is_aborted = false;
    slot->is_too_large = false;
    slot->is_denied = false;
    slot->body_error = 0;
    slot->words[0] = 0;
    sl_event_clear(&slot->done);
    if (answer->body.max_bytes == 0 && answer->body.cap == 0)
        buf_init(&answer->body, slot->body_bytes_max);
}

/* ---- a call's end ---------------------------------------------------------------------------- */

/* Which of our codes a failure of libcurl is. */
static int code_of_result(CURLcode result, bool was_redirected)
{
    switch ((int) result) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return -ERR_DNS;
    case CURLE_COULDNT_CONNECT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_INTERFACE_FAILED:
    case CURLE_NO_CONNECTION_AVAILABLE:
    case CURLE_PROXY: return -ERR_NETWORK;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_USE_SSL_FAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_SHUTDOWN_FAILED:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT: return -ERR_TLS;
    case CURLE_OPERATION_TIMEDOUT: return -ETIMEDOUT;
    case CURLE_FILESIZE_EXCEEDED: return -ERR_TOO_LARGE;
    case CURLE_OUT_OF_MEMORY: return -ENOMEM;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return was_redirected ? -ERR_HTTP : -ERR_INVALID;
    default: return -ERR_HTTP;
    }
}

static int fail_call(ClientSlot *slot)
{
    long redirects = 0;

    if (slot->is_denied)
        return fail(-ERR_FORBIDDEN, "the address %s is not allowed", slot->denied);
    if (slot->body_error < 0)
        return err_put(&slot->err);
    if (slot->is_too_large && slot->header_bytes > slot->header_bytes_max)
        return fail(-ERR_TOO_LARGE, "the headers of the answer are larger than %zu bytes",
                    slot->header_bytes_max);
    if (slot->is_too_large || slot->result == CURLE_FILESIZE_EXCEEDED)
        return fail(-ERR_TOO_LARGE, "the answer is larger than %zu bytes", slot->body_bytes_max);
    (void) curl_easy_getinfo(slot->easy, CURLINFO_REDIRECT_COUNT, &redirects);
    return fail(code_of_result(slot->result, redirects > 0), "%s",
                slot->words[0] ? slot->words : curl_easy_strerror(slot->result));
}

static void fill_answer(ClientSlot *slot)
{
    HttpAnswer *answer = slot->answer;
    CURL *easy = slot->easy;
    long status = 0, redirects = 0, connects = 0;
    curl_off_t bytes = 0, took_us = 0;
    const char *text = NULL;

    (void) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    (void) curl_easy_getinfo(easy, CURLINFO_REDIRECT_COUNT, &redirects);
    (void) curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects);
    (void) curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &bytes);
    (void) curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &took_us);
    (void) curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &text);
    answer->status = (int) status;
    answer->redirects = (int) redirects;
    answer->is_reused = connects == 0;
    answer->bytes_down = (uint64_t) bytes;
    answer->took_ns = took_us * NS_PER_US;
    answer->content_type[0] = 0;
    if (text) {
        size_t len = MIN(strlen(text), sizeof(answer->content_type) - 1);

        memcpy(answer->content_type, text, len);
        answer->content_type[len] = 0;
    }
    if (redirects > 0 && curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &text) == CURLE_OK &&
        text) {
        mem_free(answer->url);
        answer->url = mem_copy_c(text, strlen(text));
    }
    slot->client->counts.reused += answer->is_reused;
}

/* ---- the call -------------------------------------------------------------------------------- */

SUSPENDS static int perform(ClientSlot *slot)
{
    HttpClient *client = slot->client;
    int r;

    r = set_call(slot);
    if (r < 0)
        return r;
    if (curl_multi_add_handle(client->multi, slot->easy) != CURLM_OK)
        return fail(-ENOMEM, "begin the call");
    slot->is_added = true;
    list_push_back(&client->active, &slot->link);
    client->counts.calls++;
    r = sl_event_wait(&slot->done);
    list_remove(&slot->link);
    if (slot->is_added) { /* cancelled, or the client stops */
        (void) curl_multi_remove_handle(client->multi, slot->easy);
        slot->is_added = false;
    }
    if (r < 0)
        return r;
    if (slot->is_aborted)
        return fail(-ECANCELED, "the http client was stopped");
    fill_answer(slot);
    return slot->result == CURLE_OK ? 0 : fail_call(slot);
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
        client->counts.active++;
        r = perform(slot);
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
    Str url;
    int r;

    ASSERT(client && client->tag == HTTP_CLIENT_TAG && call && answer);
    if (client->is_simulated)
        return fail(-ERR_UNSUPPORTED, "the simulated loop has no network of the machine's");
    client->callers++;
    r = take_turn(client, call, answer);
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

/* ---- answers --------------------------------------------------------------------------------- */

void http_answer_deinit(HttpAnswer *answer)
{
    buf_deinit(&answer->body);
    buf_deinit(&answer->head);
    mem_free(answer->url);
    *answer = (HttpAnswer){ .status = 0 };
}

void http_answer_reset(HttpAnswer *answer)
{
    Buf body = answer->body, head = answer->head;

    buf_reset(&body);
    buf_reset(&head);
    mem_free(answer->url);
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
    r = client_drive_init(client);
    if (r == 0) {
        client->base_headers = curl_slist_append(NULL, "Expect:");
        r = sl_spawn(nursery, client_drive, client, .name = "http client",
                     .stack_bytes = 256 << 10);
        if (r < 0) {
            (void) curl_multi_cleanup(client->multi); /* nothing in it yet */
            curl_slist_free_all(client->base_headers);
        }
    }
    if (r < 0) {
        mem_free(client);
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
    client->tag = 0;
    mem_free(client);
}

void http_client_stats(const HttpClient *client, HttpClientStats *ret_stats)
{
    ASSERT(client && client->tag == HTTP_CLIENT_TAG && ret_stats);
    *ret_stats = client->counts;
}
