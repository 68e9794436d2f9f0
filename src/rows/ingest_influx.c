/*
 * The rest of InfluxDB's paths, and which path means what on a listener of its own.
 */
#include "rows/ingest_influx.h"

#include "base/err.h"
#include "base/macro.h"
#include "codec/http_text.h"
#include "codec/url.h"

#include <sluice/rt.h>

#define STATEMENTS_MAX 16 /* of one query; further ones are not looked at */

static void set_json(HttpResponse *response)
{
    response->status = 200;
    response->content_type = str_from_c("application/json");
}

/* ---- ping and health ------------------------------------------------------------------------- */

void ingest_ping(const HttpRequest *request, HttpResponse *response)
{
    Str verbose = { 0 };
    JsonWriter out = JSON_WRITER(&response->body);
    int r = url_query_find(request->arena, request->query, "verbose", &verbose);

    if (r < 0) {
        Err err;

        err_take(r, &err); /* a query that cannot be read asks for nothing */
    }
    http_response_header(response, "X-Influxdb-Version", str_from_c(INGEST_INFLUX_VERSION));
    http_response_header(response, "X-Influxdb-Build", str_from_c("sluice"));
    if (r != 0 || str_eq_c(verbose, "false")) {
        response->status = 204;
        response->content_type = (Str){ 0 };
        return;
    }
    set_json(response);
    json_write_object(&out);
    json_write_member_c(&out, "version", INGEST_INFLUX_VERSION);
    json_write_object_end(&out);
}

void ingest_health(const Doors *doors, HttpResponse *response)
{
    JsonWriter out = JSON_WRITER(&response->body);
    size_t cursor = 0;
    Str name;
    bool is_ready = doors && doors_next(doors, &cursor, &name);

    set_json(response);
    if (!is_ready)
        response->status = 503;
    json_write_object(&out);
    json_write_member_c(&out, "name", "sluice");
    json_write_member_c(&out, "message",
                        is_ready ? "takes rows for pipelines; queries are not answered"
                                 : "no pipeline takes rows over HTTP");
    json_write_member_c(&out, "status", is_ready ? "pass" : "fail");
    json_write_key(&out, "checks");
    json_write_array(&out);
    json_write_array_end(&out);
    json_write_member_c(&out, "version", INGEST_INFLUX_VERSION);
    json_write_object_end(&out);
}

/* ---- queries --------------------------------------------------------------------------------- */

static Str next_word(Str *rest)
{
    Str word;

    *rest = str_trim(*rest);
    word = *rest;
    for (size_t i = 0; i < rest->len; i++) {
        if (rest->data[i] == ' ' || rest->data[i] == '\t' || rest->data[i] == '\n') {
            word = str_sub(*rest, 0, i);
            break;
        }
    }
    *rest = str_sub(*rest, word.len, SIZE_MAX);
    return word;
}

static bool takes_word(Str *rest, const char *word)
{
    Str after = *rest;

    if (!str_eq_nocase(next_word(&after), str_from_c(word)))
        return false;
    *rest = after;
    return true;
}

/* The identifier that REST begins with, its quotes and their escapes off. */
static Str identifier(Arena *arena, Str rest)
{
    AUTO(buf_deinit) Buf name = { 0 };

    rest = str_trim(rest);
    if (rest.len == 0 || rest.data[0] != '"')
        return next_word(&rest);
    for (size_t i = 1; i < rest.len && rest.data[i] != '"'; i++) {
        if (rest.data[i] == '\\' && i + 1 < rest.len)
            i++;
        buf_add_char(&name, rest.data[i]);
    }
    return arena_copy(arena, buf_str(&name));
}

/* Take the next statement: up to a semicolon outside of quotes. */
static Str next_statement(Str *rest)
{
    Str all = *rest;
    char quote = 0;

    for (size_t i = 0; i < all.len; i++) {
        char c = all.data[i];

        if (quote && c == '\\') {
            i++;
        } else if (quote) {
            quote = c == quote ? 0 : quote;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == ';') {
            *rest = str_sub(all, i + 1, SIZE_MAX);
            return str_trim(str_sub(all, 0, i));
        }
    }
    *rest = (Str){ 0 };
    return str_trim(all);
}

static void write_series_head(JsonWriter *out, const char *name, const char *const *columns,
                              size_t n)
{
    json_write_key(out, "series");
    json_write_array(out);
    json_write_object(out);
    if (name)
        json_write_member_c(out, "name", name);
    json_write_key(out, "columns");
    json_write_array(out);
    for (size_t i = 0; i < n; i++)
        json_write_str(out, str_from_c(columns[i]));
    json_write_array_end(out);
    json_write_key(out, "values");
    json_write_array(out);
}

static void write_series_end(JsonWriter *out)
{
    json_write_array_end(out);
    json_write_object_end(out);
    json_write_array_end(out);
}

static void show_databases(const Doors *doors, JsonWriter *out)
{
    static const char *const columns[] = { "name" };
    size_t cursor = 0;
    Str name;

    write_series_head(out, "databases", columns, ARRAY_LEN(columns));
    while (doors && doors_next(doors, &cursor, &name)) {
        json_write_array(out);
        json_write_str(out, name);
        json_write_array_end(out);
    }
    write_series_end(out);
}

/* Rows are kept as long as the sink keeps them, which is for ever as far as we know: "0s". */
static void show_policies(JsonWriter *out)
{
    static const char *const columns[] = { "name", "duration", "shardGroupDuration", "replicaN",
                                           "default" };

    write_series_head(out, NULL, columns, ARRAY_LEN(columns));
    json_write_raw(out, str_from_c("[\"autogen\",\"0s\",\"0s\",1,true]"));
    write_series_end(out);
}

static void write_error(JsonWriter *out, Arena *arena, const char *words, Str text)
{
    json_write_member_str(
        out, "error",
        arena_printf(arena, "%s: %.*s", words, (int) str_cut_utf8(text, 200).len, text.data));
}

static void create_database(const Doors *doors, Arena *arena, Str name, JsonWriter *out)
{
    AUTO(buf_deinit) Buf names = { 0 };
    Str chosen;

    if (doors && ingest_choose(doors, name, false, &chosen))
        return;
    if (doors)
        ingest_names(doors, &names);
    write_error(out, arena, "a pipeline cannot be made here; those that take rows over HTTP",
                doors ? buf_str(&names) : str_from_c("none"));
}

static void answer_statement(const Doors *doors, Arena *arena, Str statement, JsonWriter *out)
{
    Str rest = statement;

    if (takes_word(&rest, "CREATE") && takes_word(&rest, "DATABASE")) {
        create_database(doors, arena, identifier(arena, rest), out);
        return;
    }
    rest = statement;
    if (takes_word(&rest, "SHOW") && takes_word(&rest, "DATABASES")) {
        show_databases(doors, out);
        return;
    }
    rest = statement;
    if (takes_word(&rest, "SHOW") && takes_word(&rest, "RETENTION") &&
        takes_word(&rest, "POLICIES")) {
        show_policies(out);
        return;
    }
    write_error(out, arena, "this takes rows in and answers no queries; ask where they are written",
                statement);
}

/* ?q=, or q in a form. */
static int find_query(HttpRequest *request, Str *ret_query)
{
    Str type = http_request_header(request, "Content-Type");
    int r = url_query_find(request->arena, request->query, "q", ret_query);

    if (r == URL_QUERY_END && http_media_is(type, "application/x-www-form-urlencoded"))
        r = url_query_find(request->arena, request->body, "q", ret_query);
    if (r < 0)
        return wrap(r, "query");
    if (r == URL_QUERY_END)
        return fail(-ERR_INVALID, "missing required parameter \"q\"");
    return 0;
}

int ingest_query(const Doors *doors, HttpRequest *request, HttpResponse *response)
{
    JsonWriter out = JSON_WRITER(&response->body);
    Str rest;
    int r = find_query(request, &rest);

    if (r < 0)
        return r;
    set_json(response);
    json_write_object(&out);
    json_write_key(&out, "results");
    json_write_array(&out);
    for (int64_t i = 0; rest.len > 0 && i < STATEMENTS_MAX; i++) {
        Str statement = next_statement(&rest);

        if (statement.len == 0)
            continue;
        json_write_object(&out);
        json_write_member_i64(&out, "statement_id", i);
        answer_statement(doors, request->arena, statement, &out);
        json_write_object_end(&out);
    }
    json_write_array_end(&out);
    json_write_object_end(&out);
    return 0;
}

/* ---- a listener of its own ------------------------------------------------------------------- */

typedef enum Path { PATH_NONE, PATH_WRITE, PATH_PING, PATH_HEALTH, PATH_QUERY } Path;

static IngestFace face_of(Str path)
{
    if (str_eq_c(path, "/write") || str_eq_c(path, "/query"))
        return INGEST_INFLUX1;
    return str_eq_c(path, "/api/v2/write") ? INGEST_INFLUX2 : INGEST_NATIVE;
}

/* What PATH is, and of a path with a pipeline in it that name. */
static Path path_of(Str path, Str *ret_named)
{
    static const char ingest[] = "/v1/ingest/";

    *ret_named = (Str){ 0 };
    if (face_of(path) != INGEST_NATIVE && !str_eq_c(path, "/query"))
        return PATH_WRITE;
    if (str_eq_c(path, "/") || str_eq_c(path, "/v1/ingest"))
        return PATH_WRITE;
    if (str_starts(path, str_from_c(ingest))) {
        *ret_named = str_sub(path, sizeof(ingest) - 1, SIZE_MAX);
        return PATH_WRITE;
    }
    if (str_eq_c(path, "/ping"))
        return PATH_PING;
    if (str_eq_c(path, "/health"))
        return PATH_HEALTH;
    return str_eq_c(path, "/query") ? PATH_QUERY : PATH_NONE;
}

SUSPENDS static int serve_write(Doors *doors, Str named, HttpRequest *request,
                                HttpResponse *response)
{
    IngestFace face = face_of(request->path);
    IngestWrite write = { 0 };
    size_t cursor = 0;
    int r = 0;

    if (named.len > 0)
        r = url_decode(request->arena, named, false, &named);
    else if (face == INGEST_NATIVE)
        (void) doors_next(doors, &cursor, &named); /* the one it has */
    if (r == 0)
        r = ingest_write_read(face, named, request, &write);
    if (r == 0)
        r = ingest_write_offer(doors, &write);
    if (r == -ECANCELED && sl_is_cancelled()) {
        ingest_write_deinit(&write);
        return r;
    }
    write.face = face;
    ingest_write_answer(&write, r, response);
    ingest_write_deinit(&write);
    return 0;
}

static int wants_method(const HttpRequest *request, bool is_right, const char *right)
{
    if (is_right)
        return 0;
    return fail(-ERR_METHOD, "%.*s does not take %.*s; it takes %s",
                (int) MIN(request->path.len, (size_t) 200), request->path.data,
                (int) MIN(request->method_text.len, (size_t) 20), request->method_text.data, right);
}

int ingest_serve(Doors *doors, HttpRequest *request, HttpResponse *response)
{
    bool is_post = request->method == HTTP_METHOD_POST;
    bool is_get = request->method == HTTP_METHOD_GET || request->method == HTTP_METHOD_HEAD;
    Str named;
    int r;

    switch (path_of(request->path, &named)) {
    case PATH_WRITE:
        r = wants_method(request, is_post, "POST");
        return r < 0 ? r : serve_write(doors, named, request, response);
    case PATH_PING:
        r = wants_method(request, is_get || is_post, "GET and HEAD");
        if (r == 0)
            ingest_ping(request, response);
        return r;
    case PATH_HEALTH:
        r = wants_method(request, is_get, "GET and HEAD");
        if (r == 0)
            ingest_health(doors, response);
        return r;
    case PATH_QUERY:
        r = wants_method(request, is_get || is_post, "GET and POST");
        return r < 0 ? r : ingest_query(doors, request, response);
    case PATH_NONE: break;
    }
    return fail(-ERR_NOT_FOUND,
                "there is nothing at %.*s; rows are taken at /write, "
                "/api/v2/write and /v1/ingest",
                (int) MIN(request->path.len, (size_t) 200), request->path.data);
}

void ingest_serve_error(const HttpRequest *request, HttpResponse *response, int status,
                        const Err *err)
{
    ingest_error_answer(face_of(request->path), status, str_from(err->text, (size_t) err->len), 0,
                        err->code, response);
}
