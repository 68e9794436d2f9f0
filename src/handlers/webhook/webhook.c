/*
 * webhook: one signed POST to a URL; an answer of 2xx is done.
 *
 * The signature follows the Standard Webhooks specification (standardwebhooks.com, 1.0): the
 * receiver gets `webhook-id` (the job's id: the same for every attempt, so that it can drop a
 * repeat), `webhook-timestamp` (seconds) and `webhook-signature: v1,BASE64`, the HMAC-SHA256 over
 * "ID.TIMESTAMP.BODY". A secret that begins with `whsec_` is base64, any other is taken as bytes.
 *
 * What counts as failure: no answer is tried again; 408, 425, 429 and 5xx are tried again; any
 * other status is final, because the same request will not be liked better later. Whether private
 * addresses may be reached is the client's policy, not this handler's.
 */
#include "base/arena.h"
#include "base/err.h"
#include "base/macro.h"
#include "base/text.h"
#include "codec/base64.h"
#include "net/http_client.h"

#include <sluice/handler.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define WEBHOOK_ANSWER_BYTES  (64 << 10) /* read of the answer's body */
#define WEBHOOK_EXCERPT_BYTES 200        /* of it shown in an error */
#define WEBHOOK_HEADERS_MAX   32
#define WEBHOOK_SIGN_BYTES    32

typedef struct WebhookArgs {
    Str url;
    SchemaJson body;
    SchemaPairs headers;
    Str secret;
    int64_t timeout_ms;
} WebhookArgs;

static const SchemaField webhook_fields[] = {
    FIELD_URL(WebhookArgs, url, "where to send it", .is_required = true, .positional = 1),
    FIELD_JSON(WebhookArgs, body, "what to send, as JSON"),
    FIELD_MAP(WebhookArgs, headers, "further headers", .range = RANGE(0, WEBHOOK_HEADERS_MAX),
              .pattern = SCHEMA_HEADER_NAME, .flag = "header"),
    FIELD_STR(WebhookArgs, secret, "the key it is signed with", .range = RANGE(1, 512),
              .is_secret = true),
    FIELD_DURATION(WebhookArgs, timeout_ms, "timeout", "how long to wait for the answer",
                   .range = RANGE(1, 600000), .default_text = "30s"),
};
static const Schema webhook_args = SCHEMA(WebhookArgs, webhook_fields, "Arguments of webhook.");

typedef struct WebhookResult {
    int64_t status;
    int64_t took_ms;
} WebhookResult;

static const SchemaField webhook_result_fields[] = {
    FIELD_INT(WebhookResult, status, "status of the answer", .is_required = true),
    FIELD_INT(WebhookResult, took_ms, "milliseconds until the answer", .is_required = true),
};
static const Schema webhook_result_schema = SCHEMA(WebhookResult, webhook_result_fields,
                                                   "What a webhook was answered.");
static const SchemaField webhook_result = ITEM(OBJECT, .schema = &webhook_result_schema,
                                               .summary = "the answer");

typedef struct WebhookHeaders {
    HttpHeader items[WEBHOOK_HEADERS_MAX + 4];
    size_t len;
} WebhookHeaders;

static void add_header(WebhookHeaders *headers, Str name, Str value)
{
    headers->items[headers->len++] = (HttpHeader){ name, value };
}

/* The bytes of the key: what `whsec_` stands before in base64, or the secret as it stands. */
static int secret_key(Arena *arena, Str secret, Str *ret_key)
{
    static const Str prefix = STR("whsec_");
    Str text = str_sub(secret, prefix.len, secret.len);
    char *bytes;
    ssize_t n;

    *ret_key = secret;
    if (!str_starts(secret, prefix))
        return 0;
    bytes = arena_zalloc(arena, base64_decoded_bytes_max(text.len) + 1);
    n = base64_decode(text, BASE64_STANDARD, bytes);
    if (n < 0)
        return wrap((int) n, "secret");
    *ret_key = str_from(bytes, (size_t) n);
    return 0;
}

/* The signature of "ID.TIMESTAMP.BODY" under KEY, as the header's value. */
static int sign(Arena *arena, Str key, Str id, Str timestamp, Str body, Str *ret_value)
{
    AUTO(buf_deinit) Buf text = { 0 };
    AUTO(buf_deinit) Buf value = { 0 };
    unsigned char mac[WEBHOOK_SIGN_BYTES];
    unsigned len = 0;
    int r;

    buf_add_str(&text, id);
    buf_add_char(&text, '.');
    buf_add_str(&text, timestamp);
    buf_add_char(&text, '.');
    buf_add_str(&text, body);
    r = buf_check(&text);
    if (r < 0)
        return wrap(r, "sign");
    if (!HMAC(EVP_sha256(), key.data, (int) key.len, (unsigned char *) text.data, text.len, mac,
              &len) ||
        len != WEBHOOK_SIGN_BYTES)
        return fail(-ERR_HANDLER, "the crypto library refused HMAC-SHA256");

    buf_add_c(&value, "v1,");
    base64_encode(&value, str_from((char *) mac, len), BASE64_STANDARD);
    *ret_value = arena_copy(arena, buf_str(&value));
    return 0;
}

static int add_signature(WebhookHeaders *headers, Task *task, const WebhookArgs *args, Str body)
{
    Str id = str_from_c(task->job_id);
    Str timestamp = arena_printf(task->arena, "%lld", (long long) (sl_wall_ms() / 1000));
    Str key, signature;
    int r;

    add_header(headers, str_from_c("webhook-id"), id);
    add_header(headers, str_from_c("webhook-timestamp"), timestamp);
    if (!args->secret.len)
        return 0;
    r = secret_key(task->arena, args->secret, &key);
    if (r < 0) {
        (void) task_mark_final(task, "schema_validation"); /* it will not get any better */
        return r;
    }
    r = sign(task->arena, key, id, timestamp, body, &signature);
    if (r == 0)
        add_header(headers, str_from_c("webhook-signature"), signature);
    return r;
}

static bool is_worth_a_retry(int status)
{
    return status >= 500 || status == 408 || status == 425 || status == 429;
}

/* What the answer means: 0 for 2xx, a failure that may or may not be tried again otherwise. */
static int judge(Task *task, const WebhookArgs *args, const HttpAnswer *answer)
{
    Str excerpt = str_sub(buf_str(&answer->body), 0, WEBHOOK_EXCERPT_BYTES);

    if (answer->status >= 200 && answer->status < 300)
        return 0;
    if (is_worth_a_retry(answer->status))
        return fail(-ERR_HTTP_STATUS, "POST %.*s: answered %d: %.*s", (int) args->url.len,
                    args->url.data, answer->status, (int) excerpt.len, excerpt.data);
    return task_fail(task, "webhook_refused", "POST %.*s: answered %d: %.*s", (int) args->url.len,
                     args->url.data, answer->status, (int) excerpt.len, excerpt.data);
}

SUSPENDS static int webhook_run(Task *task, const void *args, JsonWriter *result)
{
    const WebhookArgs *webhook = args;
    Str body = webhook->body.raw.len ? webhook->body.raw : str_from_c("{}");
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    WebhookHeaders *headers = arena_new(task->arena, WebhookHeaders);
    HttpClient *client = task_http(task);
    HttpCall call = { 0 };
    int r;

    if (!client)
        return fail(-ERR_UNSUPPORTED, "there is no HTTP client here");
    add_header(headers, str_from_c("Content-Type"), str_from_c("application/json"));
    for (size_t i = 0; i < webhook->headers.len; i++)
        add_header(headers, webhook->headers.items[i].name, webhook->headers.items[i].value);
    r = add_signature(headers, task, webhook, body);
    if (r < 0)
        return r;

    call = (HttpCall){
        .method = STR("POST"),
        .url = webhook->url,
        .headers = headers->items,
        .n_headers = headers->len,
        .body = body,
        .body_bytes_max = WEBHOOK_ANSWER_BYTES,
        .redirects_max = -1, /* a signed request goes where it was signed for */
        .timeout_ms = webhook->timeout_ms,
    };
    r = http_client_call(client, &call, &answer);
    if (r < 0 && r != -ECANCELED && !err_is_retryable(r))
        (void) task_mark_final(task, "webhook_refused");
    if (r < 0)
        return r;
    r = judge(task, webhook, &answer);
    if (r < 0)
        return r;

    schema_encode(
        result, &webhook_result_schema,
        &(WebhookResult){ .status = answer.status, .took_ms = answer.took_ns / NS_PER_MS });
    return 0;
}

extern const Handler handler_webhook;
const Handler handler_webhook = {
    .type = "webhook",
    .summary = "Sends one signed POST to a URL; an answer of 2xx is done.",
    .details = "Signed as the Standard Webhooks specification says. Statuses 408, 425, 429 and 5xx "
               "are tried again, other refusals are final. Private addresses are refused unless "
               "the configuration allows them.",
    .args = &webhook_args,
    .result = &webhook_result,
    .cost = HANDLER_WAITS,
    .run = webhook_run,
};
