/*
 * From an HTTP request to a route, and from an error to its answer.
 *
 *   on_head     finds the route before the body is read: its body limit counts
 *   on_request  decodes parameters and query, calls the route, sets the headers all answers have
 *   on_error    turns any error, also of a request that never became one, into the error object
 *   on_done     counts
 *
 * What is known of a request on the way (its id, its route, details of an error) is in a CallNotes
 * in the request's arena, hung on `request->route`, so that the error page has it too.
 *
 * To add a resource, add a file to serve/routes/.
 */
#include "serve/serve.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "codec/http_text.h"
#include "codec/url.h"
#include "gen/routes.h"
#include "serve/serve_int.h"
#include "worker/box.h"
#include "worker/runner.h"

#define OJS_VERSION       "1.0"
#define OJS_CONTENT_TYPE  "application/openjobspec+json"
#define JSON_CONTENT_TYPE "application/json"

/* A larger body is refused before it is read where it would be refused behind it; for a smaller one
 * that would cost the connection more than the body. */
#define BODY_WORTH_BYTES  (64 << 10)

/* ---- notes ----------------------------------------------------------------------------------- */

static bool is_request_id(Str text)
{
    if (text.len == 0 || text.len >= CALL_REQUEST_ID_BYTES - 8)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == '"')
            return false;
    }
    return true;
}

static void set_request_id(Serve *serve, const HttpRequest *request, char *out)
{
    Str given = http_request_header(request, "X-Request-Id");
    Uuid id;

    if (is_request_id(given)) {
        memcpy(out, given.data, given.len);
        out[given.len] = '\0';
        return;
    }
    memcpy(out, "req_", 4);
    id = uuid_make_v7(&serve->ids, sl_wall_ms());
    (void) uuid_format(&id, out + 4);
}

static CallNotes *notes_of(const HttpRequest *request)
{
    return request->route;
}

/* Whether the line for boxes would be closed to a run of HANDLER. */
static int ask_boxes(const Serve *serve, const Handler *handler, CallNotes *notes)
{
    const RunDoors *doors = serve->opts.doors;
    int64_t wait_ms;

    if (handler->cost != HANDLER_BOX || !doors || !doors->boxes)
        return 0;
    wait_ms = box_pool_refuses_ms(doors->boxes);
    if (wait_ms == 0)
        return 0;
    notes->retry_s = (wait_ms + 999) / MS_PER_S;
    metrics_add_label(METRIC_BOX_REFUSED, str_from_c(handler->type), 1);
    return fail(-ERR_BUSY, "too many runs wait for boxes; it would take about %lld ms",
                (long long) wait_ms);
}

/* A run whose body is still to come: how large it may be, and whether it is worth sending. */
static int judge_input(Serve *serve, HttpRequest *request, CallNotes *notes)
{
    const Handler *handler = serve_find_handler(serve, notes->params[0]);
    int r;

    if (!handler || !handler->takes_body)
        return 0;
    request->body_bytes_max = LIMIT_SERVE_INPUT_BYTES;
    if (request->body_left <= BODY_WORTH_BYTES)
        return 0;
    r = serve_may_run(serve);
    return r < 0 ? r : ask_boxes(serve, handler, notes);
}

static int on_head(void *ctx, HttpRequest *request)
{
    Serve *serve = ctx;
    CallNotes *notes = arena_new(request->arena, CallNotes);
    RouteMatch match;
    int r = router_find(serve->router, request->method, request->path, &match);

    set_request_id(serve, request, notes->request_id);
    request->route = notes;
    notes->methods = match.methods;
    notes->n_params = match.n_params;
    notes->route = r == 0 ? match.route : NULL;
    memcpy(notes->params, match.params, sizeof(match.params));
    if (notes->route && notes->route->body_bytes_max)
        request->body_bytes_max = notes->route->body_bytes_max;
    request->is_body_required = notes->route && notes->route->needs_body;
    return notes->route && notes->route->takes_input ? judge_input(serve, request, notes) : 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

static bool is_ojs(const HttpRequest *request)
{
    return str_starts(request->path, str_from_c("/ojs/"));
}

static Str content_type_of(const HttpRequest *request, const Route *route)
{
    if (route && route->content_type)
        return str_from_c(route->content_type);
    return str_from_c(is_ojs(request) ? OJS_CONTENT_TYPE : JSON_CONTENT_TYPE);
}

static void common_headers(const HttpRequest *request, HttpResponse *response, const char *id)
{
    http_response_header(response, "X-Request-Id", str_from_c(id));
    if (is_ojs(request))
        http_response_header(response, "OJS-Version", str_from_c(OJS_VERSION));
}

/* The headers that go with a status: Allow, Retry-After, and how long it counts. */
static void status_headers(HttpResponse *response, int status, const CallNotes *notes)
{
    char methods[96], seconds[24];
    int n;

    if (status == 405 && notes)
        http_response_header(response, "Allow",
                             router_methods_text(notes->methods, methods, sizeof(methods)));
    if (status == 401)
        http_response_header(response, "WWW-Authenticate", str_from_c("Token realm=\"sluice\""));
    if (notes && notes->cache_control.len > 0)
        http_response_header(response, "Cache-Control", notes->cache_control);
    if (status == 429 || status == 503 || status == 507) {
        n = snprintf(seconds, sizeof(seconds), "%lld",
                     (long long) MAX(notes ? notes->retry_s : 1, INT64_C(1)));
        http_response_header(response, "Retry-After", str_from(seconds, (size_t) n));
    }
}

void serve_error_page(Serve *serve, const HttpRequest *request, HttpResponse *response, int status,
                      const Err *err)
{
    const CallNotes *notes = notes_of(request);
    JsonWriter out = JSON_WRITER(&response->body);
    const char *code = err_wire_name(err->code);
    char fresh_id[CALL_REQUEST_ID_BYTES];
    const char *id = fresh_id;
    bool is_validation = status == 400 || status == 422;

    if (notes)
        id = notes->request_id;
    else
        set_request_id(serve, request, fresh_id);

    response->status = status;
    response->content_type = content_type_of(request, NULL);
    common_headers(request, response, id);
    status_headers(response, status, notes);

    json_write_object(&out);
    json_write_key(&out, "error");
    json_write_object(&out);
    json_write_member_c(&out, "code", code);
    json_write_member_c(&out, "type", is_validation ? "validation_error" : code);
    json_write_member_str(&out, "message", str_from(err->text, (size_t) err->len));
    json_write_member_bool(&out, "retryable", err_is_retryable(err->code));
    json_write_member_c(&out, "hint", err_hint(err->code));
    json_write_key(&out, "docs_url");
    json_write_str(&out, arena_printf(request->arena, "/openapi.json#%s", code));
    if (notes && notes->details.len)
        json_write_member_raw(&out, "details", notes->details);
    json_write_member_c(&out, "request_id", id);
    json_write_object_end(&out);
    json_write_object_end(&out);
}

static void on_error(void *ctx, const HttpRequest *request, HttpResponse *response, int status,
                     const Err *err)
{
    serve_error_page(ctx, request, response, status, err);
    if (status >= 500)
        log_warn("request failed", L_INT("status", status), L_STR("path", request->path),
                 L_STR("error", str_from(err->text, (size_t) err->len)));
}

static void on_done(void *ctx, const HttpRequest *request, int status, uint64_t body_bytes,
                    int64_t took_ns)
{
    char text[3] = { (char) ('0' + status / 100 % 10), (char) ('0' + status / 10 % 10),
                     (char) ('0' + status % 10) };

    (void) ctx;
    metrics_add_label(METRIC_HTTP_REQUESTS, str_from(text, sizeof(text)), 1);
    metrics_observe(METRIC_HTTP_SECONDS, took_ns);
    log_debug("request", L_STR("method", request->method_text), L_STR("path", request->path),
              L_INT("status", status), L_UINT("bytes", body_bytes),
              L_MS("took", took_ns / NS_PER_MS));
}

/* ---- calls ----------------------------------------------------------------------------------- */

int call_read_object(Call *call, bool may_be_empty)
{
    Str type = http_request_header(call->request, "Content-Type");
    Str body = call->request->body;
    int r;

    if (body.len == 0 && may_be_empty)
        body = str_from_c("{}");
    else if (type.len && !http_media_is_json(type))
        return fail(-ERR_INVALID,
                    "Content-Type: must be application/openjobspec+json or application/json");
    if (body.len == 0)
        return fail(-ERR_PAYLOAD, "the body is empty, a JSON object belongs there");

    r = json_parse_opts(call->request->arena, body,
                        &(JsonParseOpts){ .max_depth = LIMIT_SERVE_JSON_DEPTH }, &call->body);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        Err err;

        err_take(r, &err);
        return fail(-ERR_PAYLOAD, "body: %s", err.text);
    }
    if (!json_is_object(call->body.root))
        return fail(-ERR_PAYLOAD, "body: must be a JSON object, got %s",
                    json_kind_name(json_kind(call->body.root)));
    return 0;
}

JsonWriter call_details_begin(Call *call, Buf *buf)
{
    (void) call;
    buf_init(buf, 0);
    return JSON_WRITER(buf);
}

void call_details_end(Call *call, Buf *buf)
{
    if (!buf->is_failed)
        call->notes->details = arena_copy(call->request->arena, buf_str(buf));
    buf_deinit(buf);
}

/* Whether TEXT may stand in JSON as it is, where a number or a truth value is wanted. */
static bool is_literal(Str text)
{
    size_t i = text.len && text.data[0] == '-' ? 1 : 0;
    size_t digits = i;

    if (str_eq_c(text, "true") || str_eq_c(text, "false"))
        return true;
    while (i < text.len && text.data[i] >= '0' && text.data[i] <= '9')
        i++;
    return i == text.len && i > digits && (text.data[digits] != '0' || i == digits + 1);
}

static bool wants_literal(const Schema *schema, Str name)
{
    for (size_t i = 0; i < schema->n_fields; i++) {
        SchemaKind kind = schema->fields[i].kind;

        if (str_eq_c(name, schema->fields[i].name))
            return kind == SCHEMA_INT || kind == SCHEMA_REAL || kind == SCHEMA_BOOL;
    }
    return false;
}

/* The query as the text of a JSON object, by the kinds of the schema's fields. */
static int query_to_json(Call *call, const Schema *schema, Buf *out)
{
    JsonWriter writer = JSON_WRITER(out);
    Str rest = call->request->query;
    UrlPair pair;
    int r;

    json_write_object(&writer);
    while ((r = url_query_next(call->request->arena, &rest, &pair)) == 0) {
        json_write_key_str(&writer, pair.name);
        if (wants_literal(schema, pair.name) && is_literal(pair.value))
            json_write_raw(&writer, pair.value);
        else
            json_write_str(&writer, pair.value);
    }
    json_write_object_end(&writer);
    return r < 0 ? wrap(r, "query") : buf_check(out);
}

static int bind_query(Call *call)
{
    const Schema *schema = call->route->reads_query ? NULL : call->route->query;
    SchemaDecodeOpts opts = { .source = "query" };
    AUTO(buf_deinit) Buf text = { 0 };
    void *bound;
    int r;

    if (!schema)
        return 0;
    bound = arena_zalloc(call->request->arena, schema->struct_bytes);
    call->query = bound;
    if (!call->request->query.len)
        return schema_defaults(call->request->arena, schema, bound);
    r = query_to_json(call, schema, &text);
    if (r < 0)
        return r;
    return schema_decode_text(call->request->arena, schema,
                              arena_copy(call->request->arena, buf_str(&text)), bound, &opts);
}

static int bind_params(Call *call)
{
    for (size_t i = 0; i < call->notes->n_params; i++) {
        int r = url_decode(call->request->arena, call->notes->params[i], false, &call->params[i]);

        if (r < 0)
            return wrap(r, "path");
    }
    return 0;
}

static int check_version(const HttpRequest *request)
{
    Str version = http_request_header(request, "OJS-Version");

    if (!version.len || !is_ojs(request) || str_eq_c(version, "1") ||
        str_eq_c(version, OJS_VERSION) || str_starts(version, str_from_c(OJS_VERSION ".")))
        return 0;
    return fail(-ERR_VERSION, "OJS-Version: this engine speaks " OJS_VERSION ", not %.*s",
                (int) version.len, version.data);
}

/* Why no route was found. */
static int no_route(const HttpRequest *request, const CallNotes *notes)
{
    char methods[96];
    Str text;

    if (!notes->methods)
        return fail(-ERR_NOT_FOUND, "there is nothing at %.*s", (int) request->path.len,
                    request->path.data);
    text = router_methods_text(notes->methods, methods, sizeof(methods));
    return fail(-ERR_METHOD, "%.*s does not take %.*s; it takes %.*s", (int) request->path.len,
                request->path.data, (int) request->method_text.len, request->method_text.data,
                (int) text.len, text.data);
}

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    Serve *serve = ctx;
    Call call = { .request = request, .response = response, .serve = serve };
    int r;

    call.notes = notes_of(request);
    ASSERT(call.notes);
    call.route = call.notes->route;
    call.out = JSON_WRITER(&response->body);
    if (call.route && serve->opts.only_probes && !call.route->is_probe)
        return fail(-ERR_NOT_FOUND, "this process has no API, only workers");
    if (!call.route)
        return no_route(request, call.notes);

    r = check_version(request);
    if (r == 0)
        r = bind_params(&call);
    if (r == 0)
        r = bind_query(&call);
    if (r < 0)
        return r;

    response->status = 200;
    response->content_type = content_type_of(request, call.route);
    r = call.route->run(&call); /* suspended: other requests may have changed everything shared */
    ASSERT(r <= 0);
    if (r == 0)
        common_headers(request, response, call.notes->request_id);
    return r;
}

/* ---- life ------------------------------------------------------------------------------------ */

const Handler *serve_find_handler(const Serve *serve, Str type)
{
    for (size_t i = 0; i < serve->opts.n_handlers; i++) {
        if (str_eq_c(type, serve->opts.handlers[i]->type))
            return serve->opts.handlers[i];
    }
    return NULL;
}

int serve_start(Serve **ret_serve, sl_nursery *nursery, Listener *listener, const ServeOpts *opts)
{
    Serve *serve = mem_new(Serve);
    HttpServerOpts http = opts->http_limits;
    int r;

    serve->opts = *opts;
    if (!serve->opts.runs_max)
        serve->opts.runs_max = LIMIT_SERVE_RUNS;
    serve->router = router_new(routes_table, routes_count);
    serve->started_ms = sl_wall_ms();
    rand_init(&serve->rand, sl_random());
    uuid_maker_init(&serve->ids, &serve->rand);
    map_init(&serve->workers, sl_random(), sl_random());

    http.ctx = serve;
    http.on_head = on_head;
    http.on_request = on_request;
    http.on_error = on_error;
    http.on_done = on_done;
    r = serve_ping_start(serve, nursery);
    if (r == 0)
        r = http_server_start(&serve->server, nursery, listener, &http);
    if (r < 0) {
        serve_stop(serve, 0);
        return wrap(r, "serve");
    }
    *ret_serve = serve;
    return 0;
}

void serve_set_unready(Serve *serve, const char *reason)
{
    serve->unready = reason;
}

void serve_stop(Serve *serve, int64_t grace_ms)
{
    if (!serve)
        return;
    http_server_stop(serve->server, grace_ms);
    serve_ping_stop(serve);
    serve_forget_workers(serve);
    map_deinit(&serve->workers);
    router_free(serve->router);
    buf_deinit(&serve->openapi);
    mem_free(serve);
}
