/*
 * A hop's answer: what arrives, counted while it arrives, and what became of the call.
 *
 * Bytes are counted as they are delivered, after decompression, so that a small answer that unfolds
 * to gigabytes stops at the limit like a large one; and beyond the first megabyte also against what
 * was carried, so that it stops long before. A callback that stops a call leaves the words of why
 * in the slot; libcurl's own words count only when there are none.
 */
#include "net/http_client_int.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/http_text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#define HOP_BODY_BYTES_MAX \
    (64 << 10) /* read of a redirect's body, so that its connection is kept */
#define LOCATION_BYTES_MAX (16 << 10)
#define RESERVE_BYTES_MAX  (1 << 20) /* believed of a Content-Length */

/* The call is to end with R, whose words are kept until libcurl has let go of it. */
static void stop_call(ClientSlot *slot, int r)
{
    slot->stop_error = r;
    err_take(r, &slot->err);
}

/* ---- the head -------------------------------------------------------------------------------- */

bool client_answer_is_hop(const ClientSlot *slot)
{
    int status = slot->head.status;

    return slot->call->redirects_max >= 0 && slot->head.is_complete && slot->head.has_location &&
           ((status >= 301 && status <= 303) || status == 307 || status == 308);
}

/* "HTTP/1.1 200 OK": a new head begins, after a 100 for one. */
static void begin_head(ClientSlot *slot, Str line)
{
    Str rest, version = str_cut(line, ' ', &rest);
    HttpAnswer *answer = slot->answer;

    slot->head = (ClientHead){ .status = 0 };
    for (size_t i = 0; i < 3 && i < rest.len && rest.data[i] >= '0' && rest.data[i] <= '9'; i++)
        slot->head.status = slot->head.status * 10 + (rest.data[i] - '0');
    answer->http_version = version.len > 5 && version.data[5] == '2'   ? 20
                           : version.len > 7 && version.data[7] == '0' ? 10
                                                                       : 11;
    answer->content_type[0] = 0;
    buf_reset(&answer->head);
}

static void count_encodings(ClientSlot *slot, Str list)
{
    Str item;

    while (http_list_next(&list, &item)) {
        slot->head.is_chunked |= str_eq_nocase(item, str_from_c("chunked"));
        slot->head.n_encodings += item.len > 0 && !str_eq_nocase(item, str_from_c("chunked")) &&
                                  !str_eq_nocase(item, str_from_c("identity"));
    }
    if (slot->head.n_encodings > LIMIT_HTTP_CLIENT_ENCODINGS)
        stop_call(slot, fail(-ERR_HTTP, "the answer is encoded more than %d times over",
                             LIMIT_HTTP_CLIENT_ENCODINGS));
}

static void keep_content_type(HttpAnswer *answer, Str value)
{
    size_t len = MIN(value.len, sizeof(answer->content_type) - 1);

    if (len > 0)
        memcpy(answer->content_type, value.data, len);
    answer->content_type[len] = 0;
}

static void keep_location(ClientSlot *slot, Str value)
{
    if (slot->head.has_location || value.len > LOCATION_BYTES_MAX)
        return;
    buf_reset(&slot->location);
    buf_add_str(&slot->location, value);
    buf_add_char(&slot->location, 0);
    slot->head.has_location = !slot->location.is_failed;
}

/* What is no number is libcurl's to complain of. */
static uint64_t read_length(Str value)
{
    uint64_t length = 0;

    for (size_t i = 0; i < value.len && value.data[i] >= '0' && value.data[i] <= '9'; i++)
        length = length > UINT64_MAX / 16 ? length : length * 10 + (uint64_t) (value.data[i] - '0');
    return length;
}

/* Two lengths that differ end the page at two places: whoever sends them may not be believed. */
static void keep_length(ClientSlot *slot, Str value)
{
    ClientHead *head = &slot->head;
    uint64_t length = read_length(value);

    if (head->has_length && length != head->length)
        stop_call(slot, fail(-ERR_HTTP, "the answer has two Content-Length headers that differ"));
    head->has_length = true;
    head->length = length;
}

/* The head is there: refuse a body that says itself that it is too large. */
static void end_head(ClientSlot *slot)
{
    const ClientHead *head = &slot->head;
    uint64_t max = MIN((uint64_t) slot->body_bytes_max, slot->wire_bytes_max);

    slot->head.is_complete = true;
    if (head->length > max && !head->is_chunked && !slot->is_head && head->status >= 200 &&
        head->status != 204 && head->status != 304 && !client_answer_is_hop(slot))
        stop_call(slot, fail(-ERR_TOO_LARGE, "the answer is larger than %llu bytes",
                             (unsigned long long) max));
}

/* What the client itself wants to know of a header line. */
static void read_header(ClientSlot *slot, Str line)
{
    Str value, name = str_cut(line, ':', &value);

    value = str_trim(value);
    switch (name.len > 0 ? name.data[0] | 0x20 : 0) {
    case 'c':
        if (str_eq_nocase(name, str_from_c("content-type")))
            keep_content_type(slot->answer, value);
        else if (str_eq_nocase(name, str_from_c("content-length")))
            keep_length(slot, value);
        else if (!slot->call->is_raw && str_eq_nocase(name, str_from_c("content-encoding")))
            count_encodings(slot, value);
        break;
    case 'l':
        if (str_eq_nocase(name, str_from_c("location")))
            keep_location(slot, value);
        break;
    case 's': slot->n_set_cookies += str_eq_nocase(name, str_from_c("set-cookie")); break;
    case 't':
        if (str_eq_nocase(name, str_from_c("transfer-encoding")))
            count_encodings(slot, value);
        break;
    default: break;
    }
}

static size_t on_header(char *data, size_t one, size_t len, void *ctx)
{
    ClientSlot *slot = ctx;
    ClientHead *head = &slot->head;
    Str line = str_from(data, len);

    (void) one;
    slot->header_bytes += len;
    if (slot->header_bytes > slot->header_bytes_max) {
        stop_call(slot, fail(-ERR_TOO_LARGE, "the headers of the answer are larger than %zu bytes",
                             slot->header_bytes_max));
        return 0;
    }
    if (str_starts(line, str_from_c("HTTP/")) &&
        (head->status == 0 || (head->is_complete && head->status < 200)))
        begin_head(slot, line);
    else if (str_trim(line).len == 0)
        end_head(slot);
    else if (!head->is_complete)
        read_header(slot, line);
    if (head->bytes > 0 && slot->call->keep_headers && str_trim(line).len > 0)
        buf_add_str(&slot->answer->head, line);
    head->bytes += len;
    return slot->stop_error < 0 ? 0 : len;
}

/* ---- the body -------------------------------------------------------------------------------- */

/* Bytes of the body carried so far. libcurl counts chunks only after they were delivered. */
static uint64_t count_wire_bytes(const ClientSlot *slot)
{
    curl_off_t bytes = 0;

    (void) curl_easy_getinfo(slot->easy, CURLINFO_SIZE_DOWNLOAD_T, &bytes);
    return (uint64_t) bytes + CLIENT_RECEIVE_BYTES;
}

/* Whether LEN more bytes keep to the call's limits. */
static int check_bytes(ClientSlot *slot, size_t len)
{
    uint64_t ratio = slot->call->ratio_max ? slot->call->ratio_max : LIMIT_HTTP_CLIENT_RATIO;
    uint64_t total = slot->body_bytes + len;

    if (len > slot->body_bytes_max - slot->body_bytes)
        return fail(-ERR_TOO_LARGE, "the answer is larger than %zu bytes", slot->body_bytes_max);
    if (slot->head.n_encodings > 0 && total > LIMIT_HTTP_CLIENT_RATIO_FREE_BYTES &&
        total / ratio > count_wire_bytes(slot))
        return fail(-ERR_TOO_LARGE,
                    "the answer unpacks to more than %llu times what was sent: refused as a "
                    "decompression bomb after %llu bytes",
                    (unsigned long long) ratio, (unsigned long long) slot->body_bytes);
    return 0;
}

/* Keep a piece, or hand it on. */
static int deliver(ClientSlot *slot, Str piece)
{
    Buf *body = &slot->answer->body;
    uint64_t length = slot->head.length;

    if (slot->call->on_body)
        return slot->call->on_body(slot->call->ctx, piece);
    if (body->len == 0 && length > piece.len && length <= RESERVE_BYTES_MAX)
        (void) buf_reserve(body, (size_t) length);
    buf_add_str(body, piece);
    if (body->is_failed && !body->is_oom)
        return fail(-ERR_TOO_LARGE, "the answer is larger than %zu bytes", body->max_bytes);
    return body->is_failed ? buf_check(body) : 0;
}

static size_t on_write(char *data, size_t one, size_t len, void *ctx)
{
    ClientSlot *slot = ctx;
    int r;

    (void) one;
    if (client_answer_is_hop(slot)) {
        slot->body_bytes += len;
        slot->is_enough = slot->body_bytes > HOP_BODY_BYTES_MAX;
        return slot->is_enough ? CURL_WRITEFUNC_ERROR : len;
    }
    r = check_bytes(slot, len);
    if (r == 0)
        r = deliver(slot, str_from(data, len));
    if (r < 0) {
        stop_call(slot, r);
        return CURL_WRITEFUNC_ERROR;
    }
    slot->body_bytes += len;
    return len;
}

/* Also while nothing is delivered: bytes that unpack to nothing are counted too. */
static int on_progress(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    ClientSlot *slot = ctx;

    (void) down_total;
    (void) up_total;
    (void) up;
    if ((uint64_t) down <= slot->wire_bytes_max || slot->stop_error < 0)
        return 0;
    stop_call(slot, fail(-ERR_TOO_LARGE, "the answer is larger than %llu bytes as sent",
                         (unsigned long long) slot->wire_bytes_max));
    return 1;
}

void client_answer_init(ClientSlot *slot)
{
    CURL *easy = slot->easy;

    /* None of these can fail for the values given. */
    (void) curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    (void) curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
    (void) curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void) curl_easy_setopt(easy, CURLOPT_HEADERDATA, slot);
    (void) curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void) curl_easy_setopt(easy, CURLOPT_XFERINFODATA, slot);
    (void) curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
}

void client_answer_begin(ClientSlot *slot)
{
    slot->head = (ClientHead){ .status = 0 };
    slot->body_bytes = 0;
    slot->n_set_cookies = 0;
    slot->is_started = false;
    slot->result = CURLE_OK;
    slot->is_denied = slot->is_opened = slot->is_connected = slot->is_enough = false;
    slot->stop_error = 0;
    slot->words[0] = 0;
    sl_event_clear(&slot->done);
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool is_tls_failure(CURLcode result)
{
    switch ((int) result) {
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
    case CURLE_SSL_CLIENTCERT: return true;
    default: return false;
    }
}

static bool is_network_failure(CURLcode result)
{
    switch ((int) result) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_INTERFACE_FAILED:
    case CURLE_NO_CONNECTION_AVAILABLE:
    case CURLE_PROXY: return true;
    default: return false;
    }
}

/* What libcurl says of a header that it has no room for; the number is that of CURLE_TOO_LARGE,
 * which versions before 8.6 do not have. */
static bool is_too_large(CURLcode result)
{
    return result == CURLE_OUT_OF_MEMORY || (int) result == 100;
}

/* Which of our codes a failure of libcurl is. */
static int code_of_result(CURLcode result, HttpPhase phase)
{
    if (is_tls_failure(result))
        return -ERR_TLS;
    if (is_network_failure(result))
        return -ERR_NETWORK;
    switch ((int) result) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return -ERR_DNS;
    case CURLE_OPERATION_TIMEDOUT: return -ETIMEDOUT;
    case CURLE_OUT_OF_MEMORY: return -ENOMEM;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: /* of our URL, or of what came */
        return phase < HTTP_PHASE_ANSWER ? -ERR_INVALID : -ERR_HTTP;
    default: return -ERR_HTTP;
    }
}

static int64_t time_of(const ClientSlot *slot, CURLINFO info)
{
    curl_off_t us = 0;

    (void) curl_easy_getinfo(slot->easy, info, &us);
    return us * NS_PER_US;
}

/* libcurl's times are all since the start; ours are of each phase. */
static void fill_timings(ClientSlot *slot)
{
    HttpTimings *timings = &slot->answer->timings;
    int64_t name = time_of(slot, CURLINFO_NAMELOOKUP_TIME_T);
    int64_t connect = time_of(slot, CURLINFO_CONNECT_TIME_T);
    int64_t tls = time_of(slot, CURLINFO_APPCONNECT_TIME_T);
    int64_t ready = time_of(slot, CURLINFO_PRETRANSFER_TIME_T);
    int64_t first = time_of(slot, CURLINFO_STARTTRANSFER_TIME_T);
    int64_t total = time_of(slot, CURLINFO_TOTAL_TIME_T);

    *timings = (HttpTimings){
        .name_ns = name,
        .connect_ns = MAX(connect - name, (int64_t) 0),
        .tls_ns = tls > 0 ? MAX(tls - connect, (int64_t) 0) : 0,
        .first_byte_ns = first > 0 ? MAX(first - ready, (int64_t) 0) : 0,
        .body_ns = first > 0 ? MAX(total - first, (int64_t) 0) : 0,
        .total_ns = total,
    };
}

/* Where a hop that did not end well has come to. */
static HttpPhase find_phase(const ClientSlot *slot)
{
    bool is_tls = str_starts(buf_str(&slot->url), str_from_c("https:"));

    if (slot->head.is_complete && slot->head.status >= 200)
        return HTTP_PHASE_BODY;
    if (time_of(slot, CURLINFO_PRETRANSFER_TIME_T) > 0)
        return HTTP_PHASE_ANSWER;
    if (time_of(slot, CURLINFO_NAMELOOKUP_TIME_T) == 0)
        return slot->is_started ? HTTP_PHASE_NAME : HTTP_PHASE_TURN;
    if (!is_tls)
        return HTTP_PHASE_CONNECT;
    if (is_tls_failure(slot->result) || time_of(slot, CURLINFO_CONNECT_TIME_T) > 0)
        return HTTP_PHASE_TLS;
    return slot->is_connected && !slot->is_proxied ? HTTP_PHASE_TLS : HTTP_PHASE_CONNECT;
}

static void fill_peer(ClientSlot *slot)
{
    NetAddress *peer = &slot->answer->peer;
    struct sockaddr_in *in = (struct sockaddr_in *) &peer->storage;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) &peer->storage;
    const char *text = NULL;
    long port = 0;

    peer->storage.ss_family = AF_UNSPEC;
    peer->len = 0;
    (void) curl_easy_getinfo(slot->easy, CURLINFO_PRIMARY_IP, &text);
    (void) curl_easy_getinfo(slot->easy, CURLINFO_PRIMARY_PORT, &port);
    if (!text || !text[0])
        return;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t) port);
        peer->len = sizeof(*in);
    } else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t) port);
        peer->len = sizeof(*in6);
    }
}

void client_answer_fill(ClientSlot *slot)
{
    HttpAnswer *answer = slot->answer;
    bool has_all = slot->done.is_set && !slot->is_aborted && slot->stop_error == 0 &&
                   slot->head.is_complete &&
                   (slot->result == CURLE_OK || client_answer_is_hop(slot));
    curl_off_t bytes = 0;
    long connects = 0;

    (void) curl_easy_getinfo(slot->easy, CURLINFO_NUM_CONNECTS, &connects);
    (void) curl_easy_getinfo(slot->easy, CURLINFO_SIZE_DOWNLOAD_T, &bytes);
    answer->status = slot->head.status;
    answer->redirects = slot->hops;
    answer->bytes_down = (uint64_t) bytes;
    answer->body_bytes = slot->body_bytes;
    answer->head_bytes = slot->head.bytes;
    answer->phase = has_all ? HTTP_PHASE_DONE : find_phase(slot);
    answer->is_cut_short = answer->phase == HTTP_PHASE_BODY;
    answer->is_reused = connects == 0 && answer->phase >= HTTP_PHASE_ANSWER;
    fill_timings(slot);
    fill_peer(slot);
    slot->client->counts.reused += answer->is_reused;
}

/* ---- what became of it ----------------------------------------------------------------------- */

static int fail_timeout(const ClientSlot *slot)
{
    const HttpAnswer *answer = slot->answer;
    const char *phase = http_phase_text(answer->phase);

    if (strncmp(slot->words, "Operation too slow", 18) == 0)
        return fail(-ETIMEDOUT, "slower than %llu bytes/s while %s (%llu bytes so far)",
                    (unsigned long long) slot->call->low_speed, phase,
                    (unsigned long long) answer->body_bytes);
    if (answer->phase == HTTP_PHASE_BODY)
        return fail(-ETIMEDOUT, "timed out after %lld ms while %s (%llu bytes so far)",
                    (long long) (answer->timings.total_ns / NS_PER_MS), phase,
                    (unsigned long long) answer->body_bytes);
    return fail(-ETIMEDOUT, "timed out after %lld ms while %s",
                (long long) (answer->timings.total_ns / NS_PER_MS), phase);
}

/* libcurl says that it could not; the system says why. */
static int fail_connect(const ClientSlot *slot, int code, const char *words)
{
    const char *reason;
    long number = 0;

    (void) curl_easy_getinfo(slot->easy, CURLINFO_OS_ERRNO, &number);
    reason = number > 0 ? strerrordesc_np((int) number) : NULL;
    return reason ? fail(code, "%s (%s)", words, reason) : fail(code, "%s", words);
}

int client_answer_fail(ClientSlot *slot)
{
    const HttpAnswer *answer = slot->answer;
    const char *words = slot->words[0] ? slot->words : curl_easy_strerror(slot->result);
    int code = code_of_result(slot->result, answer->phase);

    if (slot->is_denied && !slot->is_opened)
        return fail(-ERR_FORBIDDEN, "the address %s is not allowed", slot->denied);
    if (slot->stop_error < 0)
        return err_put(&slot->err);
    if (slot->result == CURLE_OPERATION_TIMEDOUT)
        return fail_timeout(slot);
    if (slot->result == CURLE_OK) /* libcurl takes what has come for the whole head */
        return fail(-ERR_NETWORK, "the answer was cut short in its headers");
    if (is_too_large(slot->result) && answer->phase == HTTP_PHASE_ANSWER)
        return fail(-ERR_TOO_LARGE, "a header of the answer is larger than the client takes");
    if (answer->is_cut_short && is_network_failure(slot->result))
        return fail(code, "the answer was cut short after %llu bytes: %s",
                    (unsigned long long) answer->bytes_down, words);
    if (slot->result == CURLE_COULDNT_CONNECT)
        return fail_connect(slot, code, words);
    return fail(code, "%s", words);
}
