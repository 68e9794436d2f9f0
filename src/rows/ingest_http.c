/*
 * From an HTTP request to a door, and from what became of it to the answer.
 *
 * Most writers send small bodies again and again, so the way of a good request costs little: one
 * pass over query and headers, views into the request, an answer without a body where the face has
 * one.
 *
 * The list of refused lines, on every face:
 *
 *   {"accepted":8,"refused":2,"lines":[{"line":3,"offset":120,"stage":"parse","code":"bad_number",
 *    "message":"…"}, …]}
 *
 * with `code` and `message` (InfluxDB 2) or `error` (InfluxDB 1) in front of it. It names at most
 * RECEIPT_REFUSALS lines; `refused` counts all.
 */
#include "rows/ingest_http.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"
#include "codec/base64.h"
#include "codec/http_text.h"
#include "codec/url.h"

#include <stdio.h>

#define TOKEN_BYTES      4096 /* a header as large as this shows nothing */
#define NAMES_SHOWN      20
#define DEFAULT_RETRY_MS 1000

/* ---- what a request says --------------------------------------------------------------------- */

/* The password of "Basic …", in the request's arena; empty when it cannot be read. */
static Str basic_password(Arena *arena, Str encoded)
{
    char *out;
    ssize_t n;
    Str rest;

    if (encoded.len > TOKEN_BYTES)
        return (Str){ 0 };
    out = arena_zalloc(arena, base64_decoded_bytes_max(encoded.len) + 1);
    n = base64_decode(encoded, BASE64_STANDARD, out);
    if (n < 0) {
        Err err;

        err_take((int) n, &err);
        return (Str){ 0 };
    }
    (void) str_cut(str_from(out, (size_t) n), ':', &rest);
    return rest;
}

static Str token_of(Arena *arena, Str header)
{
    Str rest, scheme = str_cut(header, ' ', &rest);

    rest = str_trim(rest);
    if (str_eq_nocase(scheme, str_from_c("Token")) || str_eq_nocase(scheme, str_from_c("Bearer")))
        return rest;
    if (str_eq_nocase(scheme, str_from_c("Basic")))
        return basic_password(arena, rest);
    return (Str){ 0 };
}

static bool is_no(Str text)
{
    return str_eq_c(text, "false") || str_eq_c(text, "0") || str_eq_c(text, "no");
}

static void read_pair(IngestWrite *write, const UrlPair *pair)
{
    const char *names_pipeline = write->face == INGEST_INFLUX2 ? "bucket" : "db";

    if (str_eq_c(pair->name, "precision"))
        write->call.precision = pair->value;
    else if (str_eq_c(pair->name, "wait"))
        write->call.is_awaited = !is_no(pair->value);
    else if (str_eq_c(pair->name, "p") && !write->call.token.len)
        write->call.token = pair->value;
    else if (write->face == INGEST_NATIVE && str_eq_c(pair->name, "table"))
        write->call.measurement = pair->value;
    else if (write->face != INGEST_NATIVE && str_eq_c(pair->name, names_pipeline))
        write->pipeline = pair->value;
}

/* The format that a Content-Type says on our own path. 0 or -ERR_MEDIA. */
static int format_of(Str type, DecodeFormat *ret_format)
{
    static const struct {
        const char *type;
        DecodeFormat format;
    } known[] = {
        { "text/plain", DECODE_AUTO },
        { "application/octet-stream", DECODE_AUTO },
        { "application/x-www-form-urlencoded", DECODE_AUTO }, /* what curl says unasked */
        { "application/x-ndjson", DECODE_NDJSON },
        { "application/ndjson", DECODE_NDJSON },
        { "application/jsonl", DECODE_NDJSON },
        { "application/x-jsonlines", DECODE_NDJSON },
        { "application/stream+json", DECODE_NDJSON },
        { "text/csv", DECODE_CSV },
        { "application/csv", DECODE_CSV },
    };

    *ret_format = DECODE_AUTO;
    if (type.len == 0)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (http_media_is(type, known[i].type)) {
            *ret_format = known[i].format;
            return 0;
        }
    }
    if (!http_media_is_json(type))
        return fail(-ERR_MEDIA,
                    "Content-Type %.*s is not taken; there are text/plain (line protocol), "
                    "application/json, application/x-ndjson and text/csv",
                    (int) MIN(type.len, (size_t) 100), type.data);
    *ret_format = DECODE_JSON;
    return 0;
}

static void read_headers(const HttpRequest *request, DoorCall *call)
{
    for (size_t i = 0; i < request->n_headers; i++) {
        const HttpHeader *header = &request->headers[i];

        switch (header->name.len) {
        case sizeof("Content-Type") - 1:
            if (str_eq_nocase(header->name, str_from_c("Content-Type")))
                call->type = header->value;
            break;
        case sizeof("Authorization") - 1:
            if (str_eq_nocase(header->name, str_from_c("Authorization")))
                call->token = token_of(request->arena, header->value);
            break;
        case sizeof("Content-Encoding") - 1:
            if (str_eq_nocase(header->name, str_from_c("Content-Encoding")))
                call->encoding = header->value;
            break;
        default: break;
        }
    }
}

int ingest_write_read(IngestFace face, Str named, HttpRequest *request, IngestWrite *ret_write)
{
    Str rest = request->query;
    UrlPair pair;
    int r = 0;

    ret_write->face = face;
    ret_write->pipeline = named;
    ret_write->call = (DoorCall){ .body = request->body, .is_awaited = true };
    ret_write->call.origin = net_address_format(request->peer, ret_write->origin);
    read_headers(request, &ret_write->call);
    while (rest.len > 0 && (r = url_query_next(request->arena, &rest, &pair)) == 0)
        read_pair(ret_write, &pair);
    if (r < 0)
        return wrap(r, "query");
    if (face == INGEST_NATIVE)
        return format_of(ret_write->call.type, &ret_write->call.format);
    ret_write->call.format = DECODE_INFLUX;
    return 0;
}

void ingest_write_deinit(IngestWrite *write)
{
    door_call_deinit(&write->call);
}

/* ---- which pipeline -------------------------------------------------------------------------- */

bool ingest_choose(const Doors *doors, Str wanted, bool is_exact, Str *ret_name)
{
    size_t cursor = 0;
    Str name;

    while (doors_next(doors, &cursor, &name)) {
        if (str_eq(name, wanted)) {
            *ret_name = name;
            return true;
        }
    }
    if (is_exact || cursor != 1)
        return false;
    *ret_name = name;
    return true;
}

void ingest_names(const Doors *doors, Buf *out)
{
    size_t cursor = 0;
    Str name;

    while (doors_next(doors, &cursor, &name)) {
        if (cursor > NAMES_SHOWN) {
            buf_add_c(out, ", …");
            return;
        }
        if (cursor > 1)
            buf_add_c(out, ", ");
        buf_add_str(out, name);
    }
    if (cursor == 0)
        buf_add_c(out, "none");
}

static int no_such_pipeline(const Doors *doors, const IngestWrite *write)
{
    AUTO(buf_deinit) Buf names = { 0 };
    const char *what = write->face == INGEST_INFLUX1   ? "database not found: "
                       : write->face == INGEST_INFLUX2 ? "bucket not found: "
                                                       : "";

    ingest_names(doors, &names);
    if (write->pipeline.len == 0)
        return fail(-ERR_NOT_FOUND, "%snone is named; pipelines that take rows over HTTP: %.*s",
                    what, (int) names.len, names.data);
    return fail(-ERR_NOT_FOUND,
                "%sthere is no pipeline \"%.*s\" that takes rows over HTTP; there are: %.*s", what,
                (int) MIN(write->pipeline.len, (size_t) 100), write->pipeline.data, (int) names.len,
                names.data);
}

int ingest_write_offer(Doors *doors, IngestWrite *write)
{
    Str name;

    if (!ingest_choose(doors, write->pipeline, write->face == INGEST_NATIVE, &name))
        return no_such_pipeline(doors, write);
    return doors_offer(doors, name, &write->call);
}

/* ---- answers --------------------------------------------------------------------------------- */

/* InfluxDB's word for a status. */
static const char *influx_code(int status)
{
    switch (status) {
    case 401: return "unauthorized";
    case 403: return "forbidden";
    case 404: return "not found";
    case 413: return "request too large";
    case 429: return "too many requests";
    case 503:
    case 504: return "unavailable";
    default: return status < 500 ? "invalid" : "internal error";
    }
}

static void set_json(HttpResponse *response, int status)
{
    response->status = status;
    response->content_type = str_from_c("application/json");
}

static void status_headers(HttpResponse *response, int status, int64_t retry_ms)
{
    char text[24];
    int n;

    if (status == 401)
        http_response_header(response, "WWW-Authenticate", str_from_c("Token realm=\"sluice\""));
    if (status != 429 && status != 503)
        return;
    n = snprintf(text, sizeof(text), "%lld",
                 (long long) MAX((retry_ms ? retry_ms : DEFAULT_RETRY_MS) + 999, (int64_t) 1000) /
                     1000);
    http_response_header(response, "Retry-After", str_from(text, (size_t) n));
}

void ingest_error_answer(IngestFace face, int status, Str message, int64_t retry_ms, int code,
                         HttpResponse *response)
{
    JsonWriter out = JSON_WRITER(&response->body);

    if (face == INGEST_INFLUX1 && status == 429)
        status = 503;
    set_json(response, status);
    status_headers(response, status, retry_ms);
    json_write_object(&out);
    switch (face) {
    case INGEST_NATIVE:
        json_write_key(&out, "error");
        json_write_object(&out);
        json_write_member_c(&out, "code", err_wire_name(code));
        json_write_member_str(&out, "message", message);
        json_write_member_bool(&out, "retryable", err_is_retryable(code));
        json_write_member_c(&out, "hint", err_hint(code));
        json_write_object_end(&out);
        break;
    case INGEST_INFLUX1:
        http_response_header(response, "X-Influxdb-Error", message);
        json_write_member_str(&out, "error", message);
        break;
    case INGEST_INFLUX2:
        json_write_member_c(&out, "code", influx_code(status));
        json_write_member_str(&out, "message", message);
        break;
    }
    json_write_object_end(&out);
}

static void write_counts(JsonWriter *out, const DoorCall *call)
{
    json_write_member_u64(out, "accepted", call->accepted);
    json_write_member_u64(out, "refused", call->refused);
    if (call->dropped > 0)
        json_write_member_u64(out, "dropped", call->dropped);
}

static void write_lines(JsonWriter *out, const DoorCall *call)
{
    json_write_key(out, "lines");
    json_write_array(out);
    for (size_t i = 0; i < call->n_refusals; i++) {
        const Refusal *why = &call->refusals[i];

        json_write_object(out);
        if (why->line > 0)
            json_write_member_u64(out, "line", why->line);
        json_write_member_u64(out, "offset", why->offset);
        json_write_member_c(out, "stage", why->stage);
        json_write_member_c(out, "code", why->code);
        json_write_member_c(out, "message", why->text);
        json_write_object_end(out);
    }
    json_write_array_end(out);
}

/* "partial write: 2 of 10 rows were refused, the others are in; line 3: …" */
static void describe_refusals(const IngestWrite *write, Buf *out)
{
    const DoorCall *call = &write->call;
    const Refusal *first = call->n_refusals > 0 ? &call->refusals[0] : NULL;
    unsigned long long refused = call->refused;

    if (call->accepted > 0)
        buf_printf(out, "partial write: %llu of %llu rows were refused, the others are in", refused,
                   refused + (unsigned long long) call->accepted);
    else
        buf_printf(out, "unable to parse or write: all %llu rows were refused", refused);
    if (first && first->line > 0)
        buf_printf(out, "; line %llu: %s", (unsigned long long) first->line, first->text);
    else if (first)
        buf_printf(out, "; %s", first->text);
    if (write->face == INGEST_INFLUX1) /* as its clients know it */
        buf_printf(out, " dropped=%llu", refused);
}

static void answer_refusals(const IngestWrite *write, HttpResponse *response)
{
    const DoorCall *call = &write->call;
    bool is_native = write->face == INGEST_NATIVE;
    JsonWriter out = JSON_WRITER(&response->body);
    AUTO(buf_deinit) Buf words = { 0 };

    describe_refusals(write, &words);
    set_json(response, is_native && call->accepted > 0 ? 207 : 400);
    json_write_object(&out);
    if (write->face == INGEST_INFLUX1) {
        json_write_member_str(&out, "error", buf_str(&words));
        http_response_header(response, "X-Influxdb-Error", buf_str(&words));
    } else if (write->face == INGEST_INFLUX2) {
        json_write_member_c(&out, "code", "invalid");
        json_write_member_str(&out, "message", buf_str(&words));
    }
    write_counts(&out, call);
    write_lines(&out, call);
    json_write_object_end(&out);
}

void ingest_write_answer(const IngestWrite *write, int r, HttpResponse *response)
{
    JsonWriter out = JSON_WRITER(&response->body);

    ASSERT(r <= 0);
    if (UNLIKELY(r < 0)) {
        int status = err_http_status(r);
        Err err;

        err_take(r, &err);
        ingest_error_answer(write->face, status, str_from(err.text, (size_t) err.len),
                            write->call.retry_ms, err.code, response);
        return;
    }
    if (UNLIKELY(write->call.refused > 0)) {
        answer_refusals(write, response);
        return;
    }
    if (write->face != INGEST_NATIVE) {
        response->status = 204;
        response->content_type = (Str){ 0 };
        return;
    }
    set_json(response, write->call.is_awaited ? 200 : 202);
    json_write_object(&out);
    write_counts(&out, &write->call);
    json_write_object_end(&out);
}
