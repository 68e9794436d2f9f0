/*
 * The OpenAPI 3.1 document, made from the table of routes and the handlers' schemas.
 *
 * Nothing is written twice: a route says what it takes and answers, a schema says what a value
 * looks like, and this file only arranges them. Direct runs (`/v1/run/{type}`) are one route in
 * the router and one path for each handler in the document, so that a reader sees each type's own
 * arguments.
 */
#include "serve/serve.h"

#include "base/macro.h"
#include "base/map.h"
#include "gen/routes.h"
#include "serve/route.h"

#include <sluice/version.h>

#include <stdio.h>

#define RUN_PATH "/v1/run/{type}"

/* What every route may answer beside its own: status and what it means. */
static const RouteAnswer common_answers[] = {
    { 400, "The request is not valid; the message names the field.", "#/components/schemas/Error" },
    { 413, "The body is larger than its limit.", "#/components/schemas/Error" },
    { 503, "The engine cannot answer now.", "#/components/schemas/Error" },
};

static void write_schema(JsonWriter *out, const char *schema)
{
    if (!schema) {
        json_write_object(out);
        json_write_object_end(out);
    } else if (schema[0] == '#') {
        json_write_object(out);
        json_write_member_c(out, "$ref", schema);
        json_write_object_end(out);
    } else {
        json_write_raw(out, str_from_c(schema));
    }
}

static const char *content_type(const Route *route, int status)
{
    if (route->content_type && status < 400)
        return route->content_type;
    return strncmp(route->path, "/ojs/", 5) ? "application/json" : "application/openjobspec+json";
}

static void write_answer(JsonWriter *out, const Route *route, const RouteAnswer *answer)
{
    char status[8];
    int n = snprintf(status, sizeof(status), "%d", answer->status);

    json_write_key_str(out, str_from(status, (size_t) n));
    json_write_object(out);
    json_write_member_c(out, "description", answer->summary);
    if (answer->schema) {
        json_write_key(out, "content");
        json_write_object(out);
        json_write_key(out, content_type(route, answer->status));
        json_write_object(out);
        json_write_key(out, "schema");
        write_schema(out, answer->schema);
        json_write_object_end(out);
        json_write_object_end(out);
    }
    json_write_object_end(out);
}

static bool says_itself(const Route *route, int status)
{
    for (size_t i = 0; i < ROUTE_ANSWERS_MAX && route->answers[i].status; i++) {
        if (route->answers[i].status == status)
            return true;
    }
    return false;
}

static void write_answers(JsonWriter *out, const Route *route)
{
    json_write_key(out, "responses");
    json_write_object(out);
    for (size_t i = 0; i < ROUTE_ANSWERS_MAX && route->answers[i].status; i++)
        write_answer(out, route, &route->answers[i]);
    for (size_t i = 0; i < ARRAY_LEN(common_answers); i++) {
        if (!says_itself(route, common_answers[i].status))
            write_answer(out, route, &common_answers[i]);
    }
    json_write_object_end(out);
}

/* ---- what a route takes ---------------------------------------------------------------------- */

/* The schema of one field: the schema of a struct with that field alone, cut to the property. */
static void write_field_schema(JsonWriter *out, const SchemaField *field)
{
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter writer = JSON_WRITER(&text);
    SchemaField alone = *field;
    Schema schema = { .name = "One", .summary = "One.", .fields = &alone, .n_fields = 1 };
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc;

    if (!alone.name)
        alone.name = "value";
    schema_to_json_schema(&writer, &schema);
    if (json_parse(&arena, buf_str(&text), &doc) == 0)
        json_write_value(out, json_find(json_find(doc.root, "properties"), alone.name));
    else
        json_write_raw(out, str_from_c("{}"));
}

static void write_parameter(JsonWriter *out, const char *where, Str name, const char *summary,
                            bool is_required, const SchemaField *field)
{
    json_write_object(out);
    json_write_member_c(out, "in", where);
    json_write_member_str(out, "name", name);
    if (summary)
        json_write_member_c(out, "description", summary);
    json_write_member_bool(out, "required", is_required);
    json_write_key(out, "schema");
    if (field)
        write_field_schema(out, field);
    else
        json_write_raw(out, str_from_c("{\"type\":\"string\"}"));
    json_write_object_end(out);
}

/* HANDLER: of a direct run, whose path names it. Beside a body of bytes the query has its
 * arguments. */
static void write_parameters(JsonWriter *out, const Route *route, const Handler *handler)
{
    const Schema *query = handler && handler->takes_body ? handler->args : route->query;
    Str rest = str_from_c(route->path);

    json_write_key(out, "parameters");
    json_write_array(out);
    while (rest.len) {
        Str segment = str_cut(rest, '/', &rest);

        if (segment.len > 2 && segment.data[0] == '{' && !handler)
            write_parameter(out, "path", str_sub(segment, 1, segment.len - 2), NULL, true, NULL);
    }
    for (size_t i = 0; query && i < query->n_fields; i++) {
        const SchemaField *field = &query->fields[i];

        write_parameter(out, "query", str_from_c(field->name), field->summary,
                        field->is_required && !handler, field);
    }
    json_write_array_end(out);
}

static void write_body_type(JsonWriter *out, const Route *route, const char *type,
                            const Schema *schema)
{
    json_write_key(out, type);
    json_write_object(out);
    json_write_key(out, "schema");
    if (schema)
        schema_to_json_schema(out, schema);
    else
        write_schema(out, route->body_schema);
    json_write_object_end(out);
}

static void write_bytes_type(JsonWriter *out)
{
    json_write_key(out, "application/octet-stream");
    json_write_raw(out, str_from_c("{\"schema\":{}}"));
}

static void write_body(JsonWriter *out, const Route *route, const Schema *schema,
                       const Handler *handler)
{
    bool is_any = handler != NULL;
    bool has_types = route->body_types[0] != NULL;

    if (!schema && !route->body_schema && !is_any && !has_types)
        return;
    json_write_key(out, "requestBody");
    json_write_object(out);
    json_write_key(out, "content");
    json_write_object(out);
    if (!has_types)
        write_body_type(out, route, content_type(route, 400), schema);
    for (size_t i = 0; i < ROUTE_BODY_TYPES_MAX && route->body_types[i]; i++)
        write_body_type(out, route, route->body_types[i], schema);
    if (handler && handler->takes_body)
        write_bytes_type(out);
    json_write_object_end(out);
    json_write_object_end(out);
}

static void write_operation(JsonWriter *out, const RouteGroup *group, const Route *route,
                            const Handler *handler)
{
    char method[16];
    const char *name = http_method_name(route->method);
    size_t len = 0;

    for (; name[len] && len < sizeof(method) - 1; len++)
        method[len] = (char) (name[len] | 0x20);
    json_write_key_str(out, str_from(method, len));
    json_write_object(out);
    json_write_key(out, "tags");
    json_write_array(out);
    json_write_str(out, str_from_c(group->name));
    json_write_array_end(out);
    json_write_member_c(out, "summary", handler ? handler->summary : route->summary);
    if (handler ? handler->details : route->details)
        json_write_member_c(out, "description", handler ? handler->details : route->details);
    json_write_key(out, "operationId");
    if (handler) {
        AUTO(buf_deinit) Buf id = { 0 };

        buf_printf(&id, "%s-%s", route->operation, handler->type);
        json_write_str(out, buf_str(&id));
    } else {
        json_write_str(out, str_from_c(route->operation));
    }
    write_parameters(out, route, handler);
    write_body(out, route, handler ? handler->args : route->body, handler);
    write_answers(out, route);
    json_write_object_end(out);
}

/* ---- the document ---------------------------------------------------------------------------- */

/* One path: the operations of all routes that have it. */
static void write_path(JsonWriter *out, const char *path)
{
    json_write_key(out, path);
    json_write_object(out);
    for (size_t g = 0; g < routes_count; g++) {
        for (size_t i = 0; i < routes_table[g]->n_routes; i++) {
            const Route *route = &routes_table[g]->routes[i];

            if (!strcmp(route->path, path) && !route->is_internal)
                write_operation(out, routes_table[g], route, NULL);
        }
    }
    json_write_object_end(out);
}

static void write_run_paths(JsonWriter *out, const RouteGroup *group, const Route *route,
                            const Handler *const *handlers, size_t n_handlers)
{
    for (size_t i = 0; i < n_handlers; i++) {
        AUTO(buf_deinit) Buf path = { 0 };

        if (handlers[i]->is_for_tests)
            continue;
        buf_printf(&path, "/v1/run/%s", handlers[i]->type);
        json_write_key_str(out, buf_str(&path));
        json_write_object(out);
        write_operation(out, group, route, handlers[i]);
        json_write_object_end(out);
    }
}

static void write_paths(JsonWriter *out, const Handler *const *handlers, size_t n_handlers)
{
    AUTO(map_deinit) Map seen = { 0 };

    json_write_key(out, "paths");
    json_write_object(out);
    for (size_t g = 0; g < routes_count; g++) {
        for (size_t i = 0; i < routes_table[g]->n_routes; i++) {
            const Route *route = &routes_table[g]->routes[i];
            bool is_run = !strcmp(route->path, RUN_PATH);

            if (route->is_internal || map_put(&seen, str_from_c(route->path), &seen))
                continue;
            if (is_run)
                write_run_paths(out, routes_table[g], route, handlers, n_handlers);
            else
                write_path(out, route->path);
        }
    }
    json_write_object_end(out);
}

static const char components[] =
    "{\"schemas\":{"
    "\"Error\":{\"type\":\"object\",\"required\":[\"error\"],\"properties\":{\"error\":{\"type\":\"object\","
    "\"required\":[\"code\",\"message\",\"retryable\",\"request_id\"],\"properties\":{"
    "\"code\":{\"type\":\"string\"},\"type\":{\"type\":\"string\"},\"message\":{\"type\":\"string\"},"
    "\"retryable\":{\"type\":\"boolean\"},\"hint\":{\"type\":\"string\"},\"docs_url\":{\"type\":\"string\"},"
    "\"details\":{\"type\":\"object\"},\"request_id\":{\"type\":\"string\"}}}}},"
    "\"JobState\":{\"type\":\"string\",\"enum\":[\"scheduled\",\"available\",\"pending\",\"active\","
    "\"completed\",\"retryable\",\"cancelled\",\"discarded\"]},"
    "\"Job\":{\"type\":\"object\",\"required\":[\"specversion\",\"id\",\"type\",\"queue\",\"args\",\"state\","
    "\"priority\",\"attempt\",\"max_attempts\",\"created_at\"],\"properties\":{"
    "\"specversion\":{\"type\":\"string\"},\"id\":{\"type\":\"string\",\"format\":\"uuid\"},"
    "\"type\":{\"type\":\"string\"},\"queue\":{\"type\":\"string\"},\"args\":{\"type\":\"array\"},"
    "\"meta\":{\"type\":\"object\"},\"priority\":{\"type\":\"integer\",\"minimum\":-100,\"maximum\":100},"
    "\"state\":{\"$ref\":\"#/components/schemas/JobState\"},\"attempt\":{\"type\":\"integer\"},"
    "\"max_attempts\":{\"type\":\"integer\"},\"created_at\":{\"type\":\"string\",\"format\":\"date-time\"},"
    "\"result\":{},\"error\":{\"type\":\"object\"},\"errors\":{\"type\":\"array\"}}},"
    "\"JobEnvelope\":{\"type\":\"object\",\"required\":[\"job\"],\"properties\":{"
    "\"job\":{\"$ref\":\"#/components/schemas/Job\"}}},"
    "\"JobList\":{\"type\":\"object\",\"required\":[\"jobs\"],\"properties\":{\"jobs\":{\"type\":\"array\","
    "\"items\":{\"$ref\":\"#/components/schemas/Job\"}},\"pagination\":{\"type\":\"object\"}}}"
    "}}";

void serve_openapi(Buf *out, const Handler *const *handlers, size_t n_handlers)
{
    JsonWriter writer = JSON_WRITER(out);

    json_write_object(&writer);
    json_write_member_c(&writer, "openapi", "3.1.0");
    json_write_key(&writer, "info");
    json_write_object(&writer);
    json_write_member_c(&writer, "title", "Sluice");
    json_write_member_c(&writer, "version", SLUICE_VERSION);
    json_write_member_c(&writer, "description",
                        "A durable job queue, its workers, and direct runs of its handlers. Jobs "
                        "follow the Open Job Spec 1.0.");
    json_write_object_end(&writer);
    write_paths(&writer, handlers, n_handlers);
    json_write_member_raw(&writer, "components", str_from(components, sizeof(components) - 1));
    json_write_object_end(&writer);
}
