/*
 * A hop's request: what a call asks for, as options of its handle.
 *
 * Handles are prepared once and pooled with everything that is the same for each call. Numbers are
 * set for each call, which costs next to nothing; texts, which libcurl copies, only when they
 * differ from what the handle has (the has_ marks), and nothing is left over from the call before.
 * The header lines are built in one buffer, compared with those the handle has, and become the
 * nodes of libcurl's list in one array, so that calls that send the same headers send the same
 * list.
 */
#include "net/http_client_int.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/http_text.h"
#include "net/cookies_int.h"

#include <errno.h>
#include <unistd.h>

/* ---- header lines ---------------------------------------------------------------------------- */

static bool is_one_of(Str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(name, str_from_c(names[i])))
            return true;
    return false;
}

/* Whether a header of the call's goes with this hop: not everything follows a redirect. */
static bool goes_along(const ClientSlot *slot, Str name)
{
    static const char *const private[] = { "authorization", "cookie", "host",
                                           "proxy-authorization" };
    static const char *const of_body[] = { "content-type", "content-length", "content-encoding",
                                           "content-language", "content-location" };

    return !(slot->is_stranger && is_one_of(name, private, ARRAY_LEN(private))) &&
           !(slot->is_get && is_one_of(name, of_body, ARRAY_LEN(of_body)));
}

static void add_line(ClientSlot *slot, const char *line)
{
    buf_add(&slot->lines, line, strlen(line) + 1);
}

/* `Name;` is how libcurl wants a header without a value. */
static int add_header(ClientSlot *slot, const HttpHeader *header)
{
    if (!http_is_token(header->name) || !http_is_field_value(header->value))
        return fail(-ERR_INVALID, "header \"%.*s\" is not valid",
                    (int) MIN(header->name.len, (size_t) 80), header->name.data);
    if (!goes_along(slot, header->name))
        return 0;
    buf_add_str(&slot->lines, header->name);
    buf_add_c(&slot->lines, header->value.len > 0 ? ": " : ";");
    buf_add_str(&slot->lines, header->value);
    buf_add_char(&slot->lines, 0);
    return 0;
}

/* Which of the headers that the client would add are the call's own. */
typedef struct OwnHeaders {
    bool has_type, has_agent, has_encoding;
} OwnHeaders;

static int add_own_headers(ClientSlot *slot, OwnHeaders *own)
{
    const HttpCall *call = slot->call;
    int r = 0;

    for (size_t i = 0; i < call->n_headers && r == 0; i++) {
        Str name = call->headers[i].name;

        r = add_header(slot, &call->headers[i]);
        own->has_type |= str_eq_nocase(name, str_from_c("content-type"));
        own->has_agent |= str_eq_nocase(name, str_from_c("user-agent"));
        own->has_encoding |= str_eq_nocase(name, str_from_c("accept-encoding"));
    }
    for (size_t i = 0; i < call->n_secrets && r == 0 && !slot->is_stranger; i++)
        r = add_header(slot, &call->secrets[i]);
    if (r == 0 && call->accept)
        r = add_header(slot,
                       &(HttpHeader){ .name = STR("Accept"), .value = str_from_c(call->accept) });
    return r;
}

/* Make libcurl's list of the lines, unless it is what the handle has. */
static int use_lines(ClientSlot *slot)
{
    Buf lines = slot->lines;
    size_t n = 0;

    if (str_eq(buf_str(&slot->lines), buf_str(&slot->built)))
        return 0;
    slot->lines = slot->built;
    slot->built = lines;
    for (size_t i = 0; i < lines.len; i++)
        n += lines.data[i] == 0;
    if (n > slot->headers_cap) {
        slot->headers = mem_resize_array(slot->headers, n, sizeof(*slot->headers));
        slot->headers_cap = n;
    }
    for (size_t i = 0, at = 0; i < n; i++) {
        slot->headers[i] = (struct curl_slist){
            .data = lines.data + at,
            .next = i + 1 < n ? &slot->headers[i + 1] : NULL,
        };
        at += strlen(lines.data + at) + 1;
    }
    (void) curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, slot->headers);
    return 0;
}

static int set_headers(ClientSlot *slot, bool has_body)
{
    const HttpCall *call = slot->call;
    OwnHeaders own = { .has_type = false };
    int r;

    buf_reset(&slot->lines);
    r = add_own_headers(slot, &own);
    if (r < 0)
        return r;
    if (slot->credentials.len > 0 && !slot->is_stranger)
        buf_add_str(&slot->lines, buf_str(&slot->credentials));
    /* Lines cost libcurl less than the options for the same. */
    if (!own.has_agent)
        add_line(slot, slot->client->agent_line.data);
    if (!own.has_encoding && !call->is_raw && !call->accept_encoding)
        add_line(slot, slot->client->encoding_line.data);
    /* libcurl would call every body a form, and would wait for leave to send a large one. */
    add_line(slot, "Expect:");
    if (has_body && !own.has_type)
        add_line(slot, "Content-Type:");
    return slot->lines.is_failed ? buf_check(&slot->lines) : use_lines(slot);
}

/* ---- method and body ------------------------------------------------------------------------- */

/* What the handle is to forget of its last call. */
static void forget_method(ClientSlot *slot)
{
    if (slot->has_method || slot->has_body) {
        (void) curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, NULL); /* makes it a POST */
        (void) curl_easy_setopt(slot->easy, CURLOPT_CUSTOMREQUEST, NULL);
        (void) curl_easy_setopt(slot->easy, CURLOPT_HTTPGET, 1L);
        slot->has_method = slot->has_body = false;
    }
}

static void set_body(ClientSlot *slot)
{
    Str body = slot->call->body;

    slot->has_body = true;
    (void) curl_easy_setopt(slot->easy, CURLOPT_POST, 1L);
    (void) curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) body.len);
    (void) curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, body.len > 0 ? body.data : "");
}

static int set_method(ClientSlot *slot)
{
    const HttpCall *call = slot->call;
    CURL *easy = slot->easy;
    bool has_body = call->body.data != NULL && !slot->is_get;
    Str method = call->method;
    char name[32];

    forget_method(slot);
    if (method.len == 0)
        method = str_from_c(has_body ? "POST" : "GET");
    if (method.len >= sizeof(name) || !http_is_token(method))
        return fail(-ERR_INVALID, "the method is not valid");
    slot->is_head = str_eq_c(method, "HEAD");
    if (slot->is_get && !slot->is_head)
        method = str_from_c("GET");
    memcpy(name, method.data, method.len);
    name[method.len] = 0;
    has_body = has_body || str_eq_c(method, "POST");
    if (has_body) {
        set_body(slot);
    } else if (slot->is_head) {
        slot->has_method = true;
        (void) curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    }
    if (!str_eq_c(method, "GET") && !slot->is_head && !str_eq_c(method, "POST")) {
        slot->has_method = true;
        (void) curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, name); /* copied */
    }
    return set_headers(slot, has_body);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void set_encoding(ClientSlot *slot)
{
    const HttpCall *call = slot->call;
    bool is_own = call->is_raw || call->accept_encoding;

    if (!is_own && !slot->has_encoding)
        return;
    slot->has_encoding = is_own;
    (void) curl_easy_setopt(slot->easy, CURLOPT_ACCEPT_ENCODING,
                            call->is_raw ? NULL
                                         : (call->accept_encoding ? call->accept_encoding : ""));
}

static long version_of(HttpVersion version)
{
    switch (version) {
    case HTTP_VERSION_BEST: return CURL_HTTP_VERSION_2TLS;
    case HTTP_VERSION_1_0: return CURL_HTTP_VERSION_1_0;
    case HTTP_VERSION_1_1: return CURL_HTTP_VERSION_1_1;
    case HTTP_VERSION_2_DIRECT: return CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
    }
    UNREACHABLE("an HTTP version");
}

/* What is left of timeout_ms; an error when it is nothing. */
static int set_times(ClientSlot *slot)
{
    const HttpCall *call = slot->call;
    int64_t connect_ms = call->connect_ms ? call->connect_ms : LIMIT_HTTP_CLIENT_CONNECT_MS;
    int64_t low_ms = call->low_speed_ms ? call->low_speed_ms : LIMIT_HTTP_CLIENT_LOW_SPEED_MS;
    int64_t left_ms = call->timeout_ms;

    if (left_ms > 0 && slot->hops > 0) {
        left_ms -= (sl_now_ns() - slot->turn_ns) / NS_PER_MS;
        if (left_ms <= 0)
            return fail(-ETIMEDOUT, "timed out after %lld ms and %d redirects",
                        (long long) call->timeout_ms, slot->hops);
    }
    (void) curl_easy_setopt(slot->easy, CURLOPT_CONNECTTIMEOUT_MS, (long) connect_ms);
    (void) curl_easy_setopt(slot->easy, CURLOPT_TIMEOUT_MS, (long) left_ms);
    (void) curl_easy_setopt(slot->easy, CURLOPT_LOW_SPEED_LIMIT,
                            (long) MIN(call->low_speed, (uint64_t) INT32_MAX));
    (void) curl_easy_setopt(slot->easy, CURLOPT_LOW_SPEED_TIME,
                            call->low_speed > 0 ? (long) ((low_ms + 999) / 1000) : 0L);
    return 0;
}

int client_request_set(ClientSlot *slot)
{
    const HttpCall *call = slot->call;
    int r;

    if (curl_easy_setopt(slot->easy, CURLOPT_URL, slot->url.data) != CURLE_OK)
        return fail(-ENOMEM, "the URL");
    r = client_route_set(slot);
    if (r == 0)
        r = set_times(slot);
    if (r == 0)
        r = set_method(slot);
    if (r < 0)
        return r;
    set_encoding(slot);
    (void) curl_easy_setopt(slot->easy, CURLOPT_HTTP_VERSION, version_of(call->version));
    if (call->cookies && !slot->has_cookies) {
        cookies_lend(call->cookies, slot->easy);
        slot->has_cookies = true;
    }
    return 0;
}

void client_request_clear(ClientSlot *slot)
{
    if (slot->has_cookies)
        cookies_return(slot->call->cookies, slot->easy);
    slot->has_cookies = false;
    if (slot->has_body) /* the call's memory */
        forget_method(slot);
    buf_reset(&slot->credentials);
}

int client_request_start(HttpClient *client)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    Buf *agent = &client->agent_line, *encoding = &client->encoding_line;

    if (!http_is_field_value(str_from_c(client->opts.user_agent)))
        return fail(-ERR_INVALID, "the user agent cannot stand in a header");
    buf_printf(agent, "User-Agent: %s", client->opts.user_agent);
    buf_add_char(agent, 0);
    buf_add_c(encoding, info->features & CURL_VERSION_LIBZ ? "Accept-Encoding: gzip, deflate"
                                                           : "Accept-Encoding: identity");
    buf_add_c(encoding, info->features & CURL_VERSION_BROTLI ? ", br" : "");
    buf_add_c(encoding, info->features & CURL_VERSION_ZSTD ? ", zstd" : "");
    buf_add_char(encoding, 0);
    return agent->is_failed ? buf_check(agent) : buf_check(encoding);
}

/*
 * One file of certificates, and no folder beside it: libcurl keeps what it has read for all
 * connections of a client only then, and reading takes longer than many a page.
 */
static void set_trust(ClientSlot *slot)
{
    const char *own = slot->client->opts.ca_file;
    const char *systems = curl_version_info(CURLVERSION_NOW)->cainfo;
    CURL *easy = slot->easy;

    if (own) {
        (void) curl_easy_setopt(easy, CURLOPT_CAINFO, own);
        (void) curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, own);
    }
    if (own || (systems && access(systems, R_OK) == 0)) {
        (void) curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        (void) curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
    }
}

void client_request_init(ClientSlot *slot)
{
    const HttpClientOpts *opts = &slot->client->opts;
    CURL *easy = slot->easy;

    /* None of these can fail for the values given, but for want of memory, which the call shows. */
    (void) curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
    (void) curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void) curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* never wait for a resolver's thread */
    (void) curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->words);
    (void) curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void) curl_easy_setopt(easy, CURLOPT_PROXY, opts->proxy ? opts->proxy : "");
    (void) curl_easy_setopt(easy, CURLOPT_NOPROXY, ""); /* NULL would ask the environment */
    (void) curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    (void) curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    (void) curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long) CLIENT_RECEIVE_BYTES);
    (void) curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    set_trust(slot);
}
