/*
 * What the playground saw, for each Host header.
 *
 * A request counts from the end of its head until its answer has been handed to the connection.
 * robots.txt and this page itself are counted apart: they are no visits.
 */
#include "demo/demo_int.h"

#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <stdio.h>

void demo_stats_init(DemoStats *stats, uint64_t n_products)
{
    *stats = (DemoStats){ .n_products = n_products };
    stats->product_hits = mem_zalloc(n_products + 1);
}

static void free_hosts(DemoStats *stats)
{
    while (stats->first) {
        DemoHost *host = stats->first;

        stats->first = host->next;
        mem_free(host);
    }
    map_deinit(&stats->hosts);
    stats->hosts = (Map){ 0 };
    stats->n_hosts = 0;
}

void demo_stats_deinit(DemoStats *stats)
{
    free_hosts(stats);
    mem_free(stats->product_hits);
    stats->product_hits = NULL;
}

/* The records stay, because requests in flight point to them. */
void demo_stats_reset(DemoStats *stats)
{
    for (DemoHost *host = stats->first; host; host = host->next) {
        host->agent[0] = '\0';
        host->requests = host->robots_requests = host->forbidden = 0;
        host->in_flight_max = host->in_flight;
        host->last_start_ns = host->last_end_ns = 0;
        host->gap_ns_min = host->pause_ns_min = INT64_MAX;
    }
    stats->unwanted = 0;
    memset(stats->product_hits, 0, stats->n_products + 1);
}

DemoHost *demo_stats_host(DemoStats *stats, Str name)
{
    DemoHost *host;

    name = str_sub(name, 0, DEMO_HOST_BYTES - 1);
    host = map_find(&stats->hosts, name);
    if (host || stats->n_hosts >= LIMIT_DEMO_HOSTS)
        return host;
    host = mem_new(DemoHost);
    (void) snprintf(host->name, sizeof(host->name), "%.*s", (int) name.len,
                    name.data ? name.data : "");
    host->gap_ns_min = host->pause_ns_min = INT64_MAX;
    host->next = stats->first;
    stats->first = host;
    stats->n_hosts++;
    (void) map_put(&stats->hosts, name, host);
    return host;
}

void demo_stats_begin(DemoHost *host, int64_t now_ns)
{
    host->requests++;
    host->in_flight++;
    host->in_flight_max = MAX(host->in_flight_max, host->in_flight);
    if (host->last_start_ns > 0)
        host->gap_ns_min = MIN(host->gap_ns_min, now_ns - host->last_start_ns);
    if (host->in_flight > 1)
        host->pause_ns_min = 0;
    else if (host->last_end_ns > 0)
        host->pause_ns_min = MIN(host->pause_ns_min, now_ns - host->last_end_ns);
    host->last_start_ns = now_ns;
}

void demo_stats_end(DemoHost *host, int64_t now_ns)
{
    host->in_flight--;
    host->last_end_ns = now_ns;
}

void demo_stats_product(DemoStats *stats, uint64_t id)
{
    if (stats->product_hits[id] < UINT8_MAX)
        stats->product_hits[id]++;
}

/* ---- the pages ------------------------------------------------------------------------------- */

static void write_us(JsonWriter *out, const char *name, int64_t ns)
{
    if (ns == INT64_MAX) {
        json_write_key(out, name);
        json_write_null(out);
    } else {
        json_write_member_i64(out, name, ns / NS_PER_US);
    }
}

static int answer_stats(DemoCall *call)
{
    const DemoStats *stats = &call->demo->stats;
    JsonWriter out = JSON_WRITER(call->out, .indent = 2);
    uint64_t seen = 0, repeated = 0;

    for (uint64_t id = 1; id <= stats->n_products; id++) {
        seen += stats->product_hits[id] > 0;
        repeated += stats->product_hits[id] > 1;
    }
    demo_is_json(call);
    json_write_object(&out);
    json_write_member_u64(&out, "products", stats->n_products);
    json_write_member_u64(&out, "products_seen", seen);
    json_write_member_u64(&out, "products_repeated", repeated);
    json_write_member_u64(&out, "unwanted", stats->unwanted);
    json_write_key(&out, "hosts");
    json_write_object(&out);
    for (const DemoHost *host = stats->first; host; host = host->next) {
        json_write_key(&out, host->name);
        json_write_object(&out);
        json_write_member_u64(&out, "requests", host->requests);
        json_write_member_u64(&out, "robots_requests", host->robots_requests);
        json_write_member_u64(&out, "forbidden", host->forbidden);
        json_write_member_u64(&out, "in_flight_max", host->in_flight_max);
        write_us(&out, "gap_us_min", host->gap_ns_min);
        write_us(&out, "pause_us_min", host->pause_ns_min);
        json_write_member_c(&out, "user_agent", host->agent);
        json_write_object_end(&out);
    }
    json_write_object_end(&out);
    json_write_object_end(&out);
    ADD(call->out, "\n");
    return 0;
}

static int answer_reset(DemoCall *call)
{
    if (call->request->method != HTTP_METHOD_POST) {
        http_response_header(call->response, "Allow", str_from_c("POST"));
        return demo_plain(call, 405, "POST here to begin to count anew.");
    }
    demo_stats_reset(&call->demo->stats);
    call->response->status = 204;
    return 0;
}

static const DemoPage pages[] = {
    { .path = "/stats.json",
      .kind = DEMO_PLAIN,
      .answer = answer_stats,
      .summary = "what each host was asked: how often, how much at once, how fast" },
    { .path = "/stats/reset",
      .kind = DEMO_PLAIN,
      .answer = answer_reset,
      .summary = "POST begins to count anew" },
};

const DemoPages demo_stats_pages = DEMO_PAGES("What was asked", pages);
