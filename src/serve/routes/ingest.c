/*
 * Rows that programs post: to a pipeline by its name, and on the paths that InfluxDB has.
 *
 * The pipelines live on loop 0. A request of another loop goes there with its body, which stays
 * where it is: the fiber that has it waits. What a request means and how it is answered is said in
 * rows/ingest_http.h.
 */
#include "base/limits.h"
#include "base/macro.h"
#include "rows/ingest_influx.h"
#include "serve/serve_int.h"

/* ---- writes ---------------------------------------------------------------------------------- */

typedef struct Crossing {
    Doors *doors;
    IngestWrite write;
} Crossing;

SUSPENDS static int offer_there(void *arg)
{
    Crossing *crossing = arg;

    return ingest_write_offer(crossing->doors, &crossing->write);
}

SUSPENDS static int offer(Call *call, IngestFace face, Str named, Crossing *crossing)
{
    int r;

    crossing->doors = call->serve->opts.pipelines;
    r = ingest_write_read(face, named, call->request, &crossing->write);
    if (r < 0)
        return r;
    if (!crossing->doors)
        return fail(-ERR_NOT_FOUND, "%sthis engine runs no pipeline",
                    face == INGEST_INFLUX1 ? "database not found: " : "");
    return sl_call_on(0, offer_there, crossing, "ingest");
}

SUSPENDS static int write_rows(Call *call, IngestFace face, Str named)
{
    Crossing crossing = { 0 };
    int r = offer(call, face, named, &crossing);

    if (r == 0 || (face != INGEST_NATIVE && r != -ECANCELED)) {
        ingest_write_answer(&crossing.write, r, call->response);
        r = 0;
    }
    ingest_write_deinit(&crossing.write);
    return r;
}

SUSPENDS static int post_ingest(Call *call)
{
    return write_rows(call, INGEST_NATIVE, call->params[0]);
}

SUSPENDS static int post_write(Call *call)
{
    return write_rows(call, INGEST_INFLUX1, str_from(NULL, 0));
}

SUSPENDS static int post_write_v2(Call *call)
{
    return write_rows(call, INGEST_INFLUX2, str_from(NULL, 0));
}

/* ---- what else clients of InfluxDB ask ------------------------------------------------------- */

SUSPENDS static int get_ping(Call *call)
{
    ingest_ping(call->request, call->response);
    return 0;
}

SUSPENDS static int health_there(void *arg)
{
    const Call *call = arg;

    ingest_health(call->serve->opts.pipelines, call->response);
    return 0;
}

SUSPENDS static int get_health(Call *call)
{
    return sl_call_on(0, health_there, call, "ingest");
}

SUSPENDS static int query_there(void *arg)
{
    const Call *call = arg;

    return ingest_query(call->serve->opts.pipelines, call->request, call->response);
}

SUSPENDS static int run_query(Call *call)
{
    return sl_call_on(0, query_there, call, "ingest");
}

/* ---- the table ------------------------------------------------------------------------------- */

#define COUNTS_SCHEMA                                                               \
    "{\"type\":\"object\",\"required\":[\"accepted\",\"refused\"],\"properties\":{" \
    "\"accepted\":{\"type\":\"integer\"},\"refused\":{\"type\":\"integer\"},"       \
    "\"dropped\":{\"type\":\"integer\"}}}"

#define REFUSALS_SCHEMA(words)                                                       \
    "{\"type\":\"object\",\"required\":[\"accepted\",\"refused\",\"lines\"],"        \
    "\"properties\":{" words "\"accepted\":{\"type\":\"integer\"},"                  \
    "\"refused\":{\"type\":\"integer\"},\"dropped\":{\"type\":\"integer\"},"         \
    "\"lines\":{\"type\":\"array\",\"maxItems\":100,\"items\":{\"type\":\"object\"," \
    "\"required\":[\"offset\",\"stage\",\"code\",\"message\"],\"properties\":{"      \
    "\"line\":{\"type\":\"integer\"},\"offset\":{\"type\":\"integer\"},"             \
    "\"stage\":{\"type\":\"string\"},\"code\":{\"type\":\"string\"},"                \
    "\"message\":{\"type\":\"string\"}}}}}}"

#define INFLUX1_ERROR "{\"type\":\"object\",\"properties\":{\"error\":{\"type\":\"string\"}}}"
#define INFLUX2_ERROR                                                      \
    "{\"type\":\"object\",\"properties\":{\"code\":{\"type\":\"string\"}," \
    "\"message\":{\"type\":\"string\"}}}"

typedef struct IngestQuery {
    Str precision, table, db, bucket, org, q;
    bool wait;
} IngestQuery;

#define PRECISION                                                        \
    FIELD_STR(IngestQuery, precision,                                    \
              "unit of times that are plain numbers: ns, us, ms, s, m, " \
              "h; the source's unless given")
#define WAIT                                                                                       \
    FIELD_BOOL(IngestQuery, wait, "answer after the commit; false: as soon as the rows are taken", \
               .default_text = "true")

static const SchemaField native_query[] = {
    PRECISION,
    WAIT,
    FIELD_STR(IngestQuery, table, "name of rows that bring none; the source's unless given"),
};
static const SchemaField influx1_query[] = {
    FIELD_STR(IngestQuery, db, "the pipeline; where there is one alone it takes every name"),
    PRECISION,
    WAIT,
};
static const SchemaField influx2_query[] = {
    FIELD_STR(IngestQuery, bucket, "the pipeline; where there is one alone it takes every name"),
    FIELD_STR(IngestQuery, org, "read over"),
    PRECISION,
    WAIT,
};
static const SchemaField question_query[] = {
    FIELD_STR(IngestQuery, q, "statements of InfluxQL; may also be in a form"),
};
static const Schema native_query_schema = SCHEMA(IngestQuery, native_query, "Query.");
static const Schema influx1_query_schema = SCHEMA(IngestQuery, influx1_query, "Query.");
static const Schema influx2_query_schema = SCHEMA(IngestQuery, influx2_query, "Query.");
static const Schema question_query_schema = SCHEMA(IngestQuery, question_query, "Query.");

static const Route ingest_routes[] = {
    { .method = HTTP_METHOD_POST,
      .path = "/v1/ingest/{pipeline}",
      .operation = "ingest",
      .summary = "Write rows into a pipeline.",
      .details =
          "Answers when the rows are committed. The format is that of the Content-Type; for "
          "text/plain, application/octet-stream and none it is told by the first byte: JSON, "
          "NDJSON, or line protocol. A row that is refused does not keep the others out: the "
          "answer names the first hundred. Bodies may be compressed with gzip or deflate.",
      .query = &native_query_schema,
      .reads_query = true,
      .needs_body = true,
      .body_bytes_max = LIMIT_INGEST_BODY_BYTES,
      .body_types = { "text/plain", "application/json", "application/x-ndjson", "text/csv" },
      .answers = { { 200, "Every row is in.", COUNTS_SCHEMA },
                   { 202, "With wait=false: the rows are taken.", COUNTS_SCHEMA },
                   { 207, "Some rows are in, the others are named.", REFUSALS_SCHEMA("") },
                   { 400, "Every row was refused, or the body cannot be read.",
                     REFUSALS_SCHEMA("\"error\":{\"type\":\"object\"},") },
                   { 401, "The pipeline wants a token.", "#/components/schemas/Error" },
                   { 404, "There is no such pipeline.", "#/components/schemas/Error" },
                   { 415, "The type or encoding is not taken.", "#/components/schemas/Error" },
                   { 429, "The pipeline has no room; Retry-After says when to come again.",
                     "#/components/schemas/Error" } },
      .run = post_ingest },
    { .method = HTTP_METHOD_POST,
      .path = "/write",
      .operation = "writeInflux1",
      .summary = "Write line protocol as to InfluxDB 1.",
      .details =
          "For Telegraf and clients of InfluxDB 1.x. A full pipeline is answered 503 and not "
          "429, because Telegraf throws away what a status of the four hundreds answers.",
      .query = &influx1_query_schema,
      .reads_query = true,
      .needs_body = true,
      .body_bytes_max = LIMIT_INGEST_BODY_BYTES,
      .body_types = { "text/plain" },
      .answers = { { 204, "Every row is in." },
                   { 400, "Some or all rows were refused; the others are in.",
                     REFUSALS_SCHEMA("\"error\":{\"type\":\"string\"},") },
                   { 401, "The pipeline wants a token.", INFLUX1_ERROR },
                   { 404, "There is no such pipeline.", INFLUX1_ERROR },
                   { 503,
                     "The pipeline has no room, or is stopping; Retry-After says when to come "
                     "again.",
                     INFLUX1_ERROR } },
      .run = post_write },
    { .method = HTTP_METHOD_POST,
      .path = "/api/v2/write",
      .operation = "writeInflux2",
      .summary = "Write line protocol as to InfluxDB 2.",
      .details = "For Telegraf's influxdb_v2 output and the client libraries of InfluxDB 2.",
      .query = &influx2_query_schema,
      .reads_query = true,
      .needs_body = true,
      .body_bytes_max = LIMIT_INGEST_BODY_BYTES,
      .body_types = { "text/plain" },
      .answers = { { 204, "Every row is in." },
                   { 400, "Some or all rows were refused; the others are in.",
                     REFUSALS_SCHEMA("\"code\":{\"type\":\"string\"},\"message\":{\"type\":"
                                     "\"string\"},") },
                   { 401, "The pipeline wants a token.", INFLUX2_ERROR },
                   { 404, "There is no such pipeline.", INFLUX2_ERROR },
                   { 429, "The pipeline has no room; Retry-After says when to come again.",
                     INFLUX2_ERROR },
                   { 503, "The pipeline is stopping, or does not commit in time.",
                     INFLUX2_ERROR } },
      .run = post_write_v2 },
    { .method = HTTP_METHOD_GET,
      .path = "/ping",
      .operation = "ping",
      .summary = "That somebody is there, for clients of InfluxDB.",
      .answers = { { 200, "With verbose=true: the version." },
                   { 204, "The version is in X-Influxdb-Version." } },
      .run = get_ping },
    { .method = HTTP_METHOD_GET,
      .path = "/health",
      .operation = "getInfluxHealth",
      .summary = "Whether rows are taken, for clients of InfluxDB 2.",
      .answers = { { 200, "They are." }, { 503, "No pipeline takes rows over HTTP." } },
      .run = get_health },
    { .method = HTTP_METHOD_GET,
      .path = "/query",
      .operation = "query",
      .summary = "What clients of InfluxDB 1 ask when they start.",
      .details =
          "CREATE DATABASE succeeds where a pipeline would take writes to it, SHOW DATABASES "
          "names the pipelines; rows are queried where they are written, not here.",
      .query = &question_query_schema,
      .reads_query = true,
      .answers = { { 200, "A result for each statement, or its error." } },
      .run = run_query },
    { .method = HTTP_METHOD_POST,
      .path = "/query",
      .operation = "queryByPost",
      .summary = "The same, with the statements in a form.",
      .query = &question_query_schema,
      .reads_query = true,
      .body_types = { "application/x-www-form-urlencoded" },
      .answers = { { 200, "A result for each statement, or its error." } },
      .run = run_query },
};

extern const RouteGroup routes_ingest;
const RouteGroup routes_ingest = ROUTE_GROUP("Ingest", ingest_routes);
