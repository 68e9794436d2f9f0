/*
 * The tree of path segments.
 *
 *   ""  ── ojs ── v1 ── jobs ─┬─ (GET, POST)
 *                             ├─ batch (POST)
 *                             └─ {} (GET, DELETE) ── activate (POST)
 *
 * A node has literal children, sorted by text, and at most one parameter child. Finding walks
 * down, a literal before the parameter, and comes back to the parameter if the literal's branch
 * has no route for the rest. Depth is bounded by ROUTER_DEPTH, so that the recursion is.
 *
 * I1  The children of a node are sorted and their texts differ.
 * I2  A node has at most one route for each method.
 */
#include "serve/router.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>

#define ROUTER_DEPTH   12
#define ROUTER_METHODS (HTTP_METHOD_OTHER + 1)

typedef struct Node Node;
struct Node {
    Str text;        /* the segment; empty for the root and for a parameter */
    Node **children; /* literal ones (I1) */
    size_t n_children;
    Node *param;
    const Route *routes[ROUTER_METHODS];
    uint32_t methods;
};

struct Router {
    Node root;
};

/* ---- building -------------------------------------------------------------------------------- */

static Node *node_child(Node *node, Str text)
{
    size_t at = 0;
    Node **grown;
    Node *child;

    while (at < node->n_children && str_cmp(node->children[at]->text, text) < 0)
        at++;
    if (at < node->n_children && str_eq(node->children[at]->text, text))
        return node->children[at];

    child = mem_new(Node);
    child->text = text;
    grown = mem_new_array(Node *, node->n_children + 1);
    for (size_t i = 0; i < at; i++)
        grown[i] = node->children[i];
    grown[at] = child;
    for (size_t i = at; i < node->n_children; i++)
        grown[i + 1] = node->children[i];
    mem_free(node->children);
    node->children = grown;
    node->n_children++;
    return child;
}

static Node *node_param(Node *node)
{
    if (!node->param)
        node->param = mem_new(Node);
    return node->param;
}

static void router_add(Router *router, const Route *route)
{
    Str rest = str_from_c(route->path);
    Node *node = &router->root;
    size_t depth = 0;

    ASSERT(rest.len && rest.data[0] == '/');
    rest = str_sub(rest, 1, rest.len);
    while (rest.len) {
        Str segment = str_cut(rest, '/', &rest);

        ASSERT(depth++ < ROUTER_DEPTH);
        node = segment.len && segment.data[0] == '{' ? node_param(node) : node_child(node, segment);
    }
    ASSERT(!node->routes[route->method]); /* I2 */
    node->routes[route->method] = route;
    node->methods |= 1u << route->method;
}

Router *router_new(const RouteGroup *const *groups, size_t n_groups)
{
    Router *router = mem_new(Router);

    for (size_t i = 0; i < n_groups; i++) {
        for (size_t k = 0; k < groups[i]->n_routes; k++)
            router_add(router, &groups[i]->routes[k]);
    }
    return router;
}

static void node_deinit(Node *node)
{
    for (size_t i = 0; i < node->n_children; i++) {
        node_deinit(node->children[i]);
        mem_free(node->children[i]);
    }
    mem_free(node->children);
    if (node->param)
        node_deinit(node->param);
    mem_free(node->param);
}

void router_free(Router *router)
{
    if (!router)
        return;
    node_deinit(&router->root);
    mem_free(router);
}

/* ---- finding --------------------------------------------------------------------------------- */

static const Node *node_find(const Node *node, Str text)
{
    size_t low = 0, high = node->n_children;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_cmp(node->children[middle]->text, text);

        if (order == 0)
            return node->children[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* The node that REST leads to from NODE and that has routes, or NULL. Fills the parameters. */
static const Node *walk(const Node *node, Str rest, bool is_end, RouteMatch *match)
{
    Str segment, behind;
    const Node *child, *found;
    bool is_last;

    if (is_end)
        return node->methods ? node : NULL;

    segment = str_cut(rest, '/', &behind);
    is_last = segment.len == rest.len;
    child = node_find(node, segment);
    if (child) {
        found = walk(child, behind, is_last, match);
        if (found)
            return found;
    }
    if (!node->param || !segment.len || match->n_params == ROUTE_PARAMS_MAX)
        return NULL;
    match->params[match->n_params++] = segment;
    found = walk(node->param, behind, is_last, match);
    if (!found)
        match->n_params--;
    return found;
}

int router_find(const Router *router, HttpMethod method, Str path, RouteMatch *match)
{
    const Node *node;

    *match = (RouteMatch){ 0 };
    if (!path.len || path.data[0] != '/')
        return ROUTER_NO_PATH;
    node = walk(&router->root, str_sub(path, 1, path.len), path.len == 1, match);
    if (!node)
        return ROUTER_NO_PATH;

    match->methods = node->methods;
    match->route = node->routes[method];
    if (!match->route && method == HTTP_METHOD_HEAD)
        match->route = node->routes[HTTP_METHOD_GET];
    return match->route ? 0 : ROUTER_NO_METHOD;
}

Str router_methods_text(uint32_t methods, char *out, size_t cap)
{
    size_t len = 0;

    if (methods & 1u << HTTP_METHOD_GET)
        methods |= 1u << HTTP_METHOD_HEAD;
    for (unsigned i = 0; i < HTTP_METHOD_OTHER; i++) {
        int n;

        if (!(methods & 1u << i))
            continue;
        n = snprintf(out + len, cap - len, "%s%s", len ? ", " : "",
                     http_method_name((HttpMethod) i));
        if (n < 0 || (size_t) n >= cap - len)
            break;
        len += (size_t) n;
    }
    return str_from(out, len);
}
