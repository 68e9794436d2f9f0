/*
 * Routes: the HTTP API as data.
 *
 * Each file of serve/routes/ defines one group of routes, `const RouteGroup routes_<file>`, and the
 * build makes the table of groups. From that table come the router, the OpenAPI document, the
 * documentation and the labels of the metrics, so that a route is described exactly once: method,
 * path, what it takes, what it answers, and the function.
 *
 *   static const Route health_routes[] = {
 *       { .method = HTTP_METHOD_GET, .path = "/healthz", .operation = "getHealth",
 *         .summary = "Whether the process is alive.", .answers = { { 200, "It is." } },
 *         .run = get_health },
 *   };
 *   const RouteGroup routes_health = ROUTE_GROUP("System", health_routes);
 *
 * A route's function gets a `Call`. It writes JSON to `call->out` and returns 0, or returns an
 * error, whose status, code and hint base/errors.def gives. Below zero nothing that was written is
 * sent.
 */
#pragma once

#include "base/err.h"
#include "net/http.h"

#include <sluice/json.h>
#include <sluice/schema.h>

#define ROUTE_PARAMS_MAX      4
#define ROUTE_ANSWERS_MAX     12
#define ROUTE_BODY_TYPES_MAX  4
#define CALL_REQUEST_ID_BYTES 136

typedef struct Call Call;
typedef struct Serve Serve;

/* One status a route answers with, for the documentation. */
typedef struct RouteAnswer {
    int status;
    const char *summary;
    const char *schema; /* JSON Schema text of the body, or "#/components/schemas/NAME"; NULL for
                           any or none */
} RouteAnswer;

typedef struct Route {
    HttpMethod method;
    const char *path;      /* "/ojs/v1/jobs/{id}": a segment in braces is a parameter */
    const char *operation; /* operationId of OpenAPI: "getJob" */
    const char *summary;   /* a sentence */
    const char *details;   /* more, in Markdown; NULL for none */
    const Schema *query;   /* query parameters, bound into call->query; NULL: none are read */
    const Schema *body;    /* the body, for the documentation; NULL: see body_schema */
    bool reads_query;      /* by itself: `query` is for the documentation alone */
    const char *body_types[ROUTE_BODY_TYPES_MAX]; /* media types it takes; none: JSON */
    const char *body_schema; /* JSON Schema text of the body where no Schema says it; NULL: none */
    bool takes_input;        /* the body may be the input of the handler that the path names */
    bool needs_body;         /* a request without a length is answered 411 */
    size_t body_bytes_max;   /* 0 means the server's limit */
    const char
        *content_type; /* of the answer; NULL means JSON, of the Open Job Spec's kind under /ojs */
    bool is_internal;  /* left out of the documentation */
    bool is_probe;     /* answered also by a process that has no API (`sluice work --listen`) */
    RouteAnswer
        answers[ROUTE_ANSWERS_MAX]; /* ends with status 0; errors every route can give are added */

    /* Answer. SUSPENDS. */
    int (*run)(Call *call);
} Route;

typedef struct RouteGroup {
    const char *name; /* the tag in OpenAPI */
    const Route *routes;
    size_t n_routes;
} RouteGroup;

#define ROUTE_GROUP(title, table)                            \
    {                                                        \
        (title), (table), sizeof(table) / sizeof((table)[0]) \
    }

/* What is known of a request beside what it says; in the request's arena, so that the error page
 * finds it. */
typedef struct CallNotes {
    char request_id[CALL_REQUEST_ID_BYTES]; /* the client's, or ours; NUL-terminated */
    uint32_t methods;  /* that the path offers, when the method was not among them */
    int64_t retry_s;   /* for Retry-After, where one is sent; 0: a second */
    Str cache_control; /* of an error's answer; empty: none is sent */
    Str details;       /* JSON object for the error's `details`; empty for none */
    const Route *route;
    Str params[ROUTE_PARAMS_MAX]; /* as they stand in the path */
    size_t n_params;
} CallNotes;

/* One request on its way through a route. Lives on the connection's fiber. */
struct Call {
    HttpRequest *request;
    HttpResponse *response;
    Serve *serve; /* this loop's part of the API */
    const Route *route;
    CallNotes *notes;
    Str params[ROUTE_PARAMS_MAX]; /* in the order of the path, percent-decoded */
    const void *query;            /* the struct of route->query */
    JsonWriter out;               /* to the response's body */
    JsonDoc body;                 /* after call_read_object */
};

/*
 * Parse the request's body, which must be a JSON object, into call->body. -ERR_PAYLOAD when it is
 * not, -ERR_INVALID when its Content-Type is not JSON. MAY_BE_EMPTY takes an empty body as {}.
 */
MUST int call_read_object(Call *call, bool may_be_empty);

/* Begin the `details` of the error the route is about to return: write one JSON object to it, then
 * end. */
JsonWriter call_details_begin(Call *call, Buf *buf);
void call_details_end(Call *call, Buf *buf);
