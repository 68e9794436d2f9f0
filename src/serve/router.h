/*
 * Router: from method and path to the route.
 *
 * A tree over path segments, built once from the groups and read by all loops. A literal segment
 * wins over a parameter. The walk looks at each byte of the path once and allocates nothing.
 */
#pragma once

#include "serve/route.h"

typedef struct Router Router;

typedef struct RouteMatch {
    const Route *route;           /* NULL when the path is known but not the method */
    Str params[ROUTE_PARAMS_MAX]; /* as they stand in the path, not decoded */
    size_t n_params;
    uint32_t methods; /* a bit (1 << HttpMethod) for each method that the path offers */
} RouteMatch;

/* Build from GROUPS. Two routes of one method and path are an assertion failure. The caller owns
 * it. */
Router *router_new(const RouteGroup *const *groups, size_t n_groups);
void router_free(Router *router);
DEFINE_AUTO(Router *, router_free);

/*
 * Find the route of METHOD and PATH (HEAD is served by GET). 0 and a match; ROUTER_NO_PATH when
 * nothing has this path, ROUTER_NO_METHOD when only other methods have: match->methods says which.
 */
enum { ROUTER_NO_PATH = 1, ROUTER_NO_METHOD = 2 };
MUST int router_find(const Router *router, HttpMethod method, Str path, RouteMatch *match);

/* "GET, HEAD, POST" for a bit mask of methods, into OUT. */
Str router_methods_text(uint32_t methods, char *out, size_t cap);
