/*
 * Direct runs of handlers that take and give bytes: the body is the input, the query the arguments,
 * the outputs are the answer.
 *
 * A body counts as input unless it says that it is JSON; without a body the query decides. Of a
 * list in the arguments each element is a pair of the query of its own (`?sizes=100&sizes=200`);
 * objects and anything else are JSON text.
 *
 * A handler that has an argument `accept` gets the request's header Accept for it, if the query has
 * none and the header names a picture's type: what a browser or a proxy is used to say. Then the
 * answer varies by it.
 */
#include "base/limits.h"
#include "base/macro.h"
#include "base/map.h"
#include "codec/http_text.h"
#include "codec/url.h"
#include "serve/serve_int.h"
#include "worker/runner.h"

#include <stdio.h>

#define RESULT_BYTES 2048 /* of a result that still goes into a header */
#define ACCEPT_BYTES 1024 /* of a header Accept that still counts */

bool run_bytes_is_meant(const Call *call, const Handler *handler)
{
    Str type = http_request_header(call->request, "Content-Type");

    return handler->takes_body && handler->args && !http_media_is_json(type) &&
           (call->request->body.len > 0 || call->request->query.len > 0);
}

/* ---- arguments ------------------------------------------------------------------------------- */

/* The field's place in the schema; n_fields: there is none. */
static size_t find_field(const Schema *schema, Str name)
{
    size_t i = 0;

    while (i < schema->n_fields && !str_eq_c(name, schema->fields[i].name))
        i++;
    return i;
}

/* VALUE as JSON of KIND, if it can be; as a string otherwise, of which the schema complains. */
static void write_value(Arena *arena, JsonWriter *out, SchemaKind kind, Str value)
{
    bool is_text = kind == SCHEMA_STR || kind == SCHEMA_URL || kind == SCHEMA_ENUM ||
                   kind == SCHEMA_DURATION || kind == SCHEMA_TIME;
    JsonDoc doc;

    if (!is_text && json_parse(arena, value, &doc) == 0)
        json_write_raw(out, value);
    else
        json_write_str(out, value);
}

/* All values of NAME in the query, as an array. */
static int write_list(Call *call, JsonWriter *out, const SchemaField *field, Str name)
{
    Str rest = call->request->query;
    UrlPair pair;
    int r;

    json_write_array(out);
    while ((r = url_query_next(call->request->arena, &rest, &pair)) == 0) {
        if (str_eq(pair.name, name))
            write_value(call->request->arena, out, field->item->kind, pair.value);
    }
    json_write_array_end(out);
    return r < 0 ? r : 0;
}

/* The header Accept as an argument. One that takes anything says nothing. */
static void write_accept(Call *call, const Schema *schema, const bool *is_written, JsonWriter *out)
{
    Str accept = http_request_header(call->request, "Accept");
    size_t at = find_field(schema, str_from_c("accept"));

    if (at == schema->n_fields || is_written[at])
        return;
    http_response_header(call->response, "Vary", str_from_c("Accept"));
    if (accept.len <= ACCEPT_BYTES && str_contains(accept, str_from_c("image/")))
        json_write_member_str(out, "accept", accept);
}

static int query_to_args(Call *call, const Schema *schema, Buf *text)
{
    JsonWriter out = JSON_WRITER(text);
    bool *is_written = arena_zalloc(call->request->arena, schema->n_fields + 1);
    Str rest = call->request->query;
    UrlPair pair;
    int r;

    json_write_object(&out);
    while ((r = url_query_next(call->request->arena, &rest, &pair)) == 0) {
        size_t at = find_field(schema, pair.name);
        const SchemaField *field = at < schema->n_fields ? &schema->fields[at] : NULL;
        bool is_again = is_written[at];

        is_written[at] = true;
        if (field && field->kind == SCHEMA_LIST) {
            if (is_again)
                continue; /* with the first of them */
            json_write_key_str(&out, pair.name);
            r = write_list(call, &out, field, pair.name);
            if (r < 0)
                break;
            continue;
        }
        json_write_key_str(&out, pair.name);
        if (field && field->kind == SCHEMA_BOOL && !pair.has_value)
            json_write_raw(&out, str_from_c("true"));
        else
            write_value(call->request->arena, &out, field ? field->kind : SCHEMA_STR, pair.value);
    }
    write_accept(call, schema, is_written, &out);
    json_write_object_end(&out);
    return r < 0 ? wrap(r, "query") : buf_check(text);
}

int run_bytes_read(Call *call, const Handler *handler, Run *run)
{
    Str type = http_request_header(call->request, "Content-Type");
    AUTO(buf_deinit) Buf text = { 0 };
    int r;

    if (http_media_is(type, "multipart/form-data"))
        return fail(-ERR_MEDIA, "a form is not taken: send the bytes themselves as the body, for "
                                "example with `curl --data-binary @FILE`, and the arguments in the "
                                "query");
    r = query_to_args(call, handler->args, &text);
    if (r < 0)
        return r;
    run->args = arena_copy(call->request->arena, buf_str(&text));
    run->takes_outputs = true;
    if (call->request->body.len > 0) {
        run->input.bytes = call->request->body;
        run->input.media_type = type.len > 0 && type.len < 100
                                    ? arena_copy_c(call->request->arena, type)
                                    : NULL;
    }
    return 0;
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* In hexadecimal. Equal bytes have equal sums, whoever computes them when. */
static Str sum_of(Call *call, const Run *run)
{
    uint64_t one = 0x736c75696365, two = 0x6574616767;

    for (uint32_t i = 0; i < run->n_outputs; i++) {
        Str bytes = run->outputs[i].bytes;
        uint64_t next = hash_bytes(bytes.data, bytes.len, one, two);

        two = hash_bytes(bytes.data, bytes.len, two, one + 1);
        one = next;
    }
    return arena_printf(call->request->arena, "%016llx%016llx", (unsigned long long) one,
                        (unsigned long long) two);
}

static void add_timing(Call *call, const Run *run)
{
    double queue_ms = (double) (run->waited_ns / NS_PER_US) / 1000.0;
    double run_ms = (double) (run->ran_ns / NS_PER_US) / 1000.0 - queue_ms;
    char text[80];
    int n = snprintf(text, sizeof(text), "queue;dur=%.3f, run;dur=%.3f", queue_ms,
                     MAX(run_ms, 0.0));

    http_response_header(call->response, "Server-Timing", str_from(text, (size_t) n));
}

static Str media_type_of(const TaskBlob *blob)
{
    return str_from_c(blob->media_type ? blob->media_type : "application/octet-stream");
}

static void write_parts(Call *call, const Run *run, const char *boundary)
{
    Buf *body = &call->response->body;

    for (uint32_t i = 0; i < run->n_outputs; i++) {
        const TaskBlob *blob = &run->outputs[i];
        Str type = media_type_of(blob);

        buf_printf(body, "--%s\r\nContent-Type: %.*s\r\n", boundary, (int) type.len, type.data);
        if (blob->name)
            buf_printf(body, "Content-Disposition: attachment; name=\"%s\"\r\n", blob->name);
        buf_printf(body, "Content-Length: %zu\r\n\r\n", blob->bytes.len);
        buf_add_str(body, blob->bytes);
        buf_add_c(body, "\r\n");
    }
    buf_printf(body, "--%s--\r\n", boundary);
}

int run_bytes_answer(Call *call, const Run *run)
{
    HttpResponse *response = call->response;
    Arena *arena = call->request->arena;
    Str result = buf_str(&run->result), sum = sum_of(call, run);

    http_response_header(response, "ETag",
                         arena_printf(arena, "\"%.*s\"", (int) sum.len, sum.data));
    add_timing(call, run);
    if (result.len > 0 && result.len <= RESULT_BYTES)
        http_response_header(response, "Sluice-Result", result);
    if (run->n_outputs == 1) {
        response->content_type = arena_copy(arena, media_type_of(&run->outputs[0]));
        buf_add_str(&response->body, run->outputs[0].bytes);
    } else {
        Str boundary = arena_printf(arena, "part-%.*s", (int) sum.len, sum.data);

        response->content_type = arena_printf(arena, "multipart/mixed; boundary=%.*s",
                                              (int) boundary.len, boundary.data);
        write_parts(call, run, boundary.data);
    }
    return buf_check(&response->body);
}
