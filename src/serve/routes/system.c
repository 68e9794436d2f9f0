/*
 * The engine itself: alive, ready and why not, metrics, what it offers.
 */
#include "base/limits.h"
#include "base/macro.h"
#include "base/metrics.h"
#include "pipeline/pipeline_set.h"
#include "serve/serve_int.h"
#include "worker/box.h"
#include "worker/runner.h"

#include <sluice/version.h>

static int get_healthz(Call *call)
{
    static const Str alive = STR("{\"status\":\"ok\"}");

    call->response->body_view = alive;
    return 0;
}

/* ---- readiness ------------------------------------------------------------------------------- */

/* One line of the answer. */
static bool write_check(JsonWriter *out, const char *name, bool is_ok, const char *why)
{
    json_write_object(out);
    json_write_member_c(out, "name", name);
    json_write_member_bool(out, "ok", is_ok);
    if (!is_ok)
        json_write_member_c(out, "reason", why);
    json_write_object_end(out);
    return is_ok;
}

/* What an operator should know of the store; false when something of it is broken. */
static bool write_notes(JsonWriter *out, const StoreNote *notes, size_t n)
{
    static const char *const kinds[] = {
        [STORE_NOTE_FACT] = "fact", [STORE_NOTE_WARNING] = "warning", [STORE_NOTE_BROKEN] = "broken"
    };
    bool is_ok = true;

    json_write_key(out, "notes");
    json_write_array(out);
    for (size_t i = 0; i < n; i++) {
        json_write_object(out);
        json_write_member_c(out, "kind", kinds[notes[i].kind]);
        json_write_member_c(out, "name", notes[i].name);
        json_write_member_c(out, "text", notes[i].text);
        json_write_object_end(out);
        is_ok = is_ok && notes[i].kind != STORE_NOTE_BROKEN;
    }
    json_write_array_end(out);
    return is_ok;
}

static const char *first_broken(const StoreNote *notes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (notes[i].kind == STORE_NOTE_BROKEN)
            return notes[i].text;
    }
    return "";
}

/* How the pipelines go, for people: one that waits for its sink does not make the engine unready.
 * On loop 0, where they are. */
SUSPENDS static int write_pipelines(void *arg)
{
    Call *call = arg;
    const PipelineSet *set = call->serve->opts.pipeline_set;

    json_write_key(&call->out, "pipelines");
    json_write_object(&call->out);
    for (size_t i = 0; i < pipeline_set_count(set); i++) {
        const PipelineEntry *entry = pipeline_set_at(set, i);

        json_write_key_str(&call->out, pipeline_entry_name(entry));
        json_write_str(&call->out, str_from_c(pipeline_entry_state(entry)));
    }
    json_write_object_end(&call->out);
    return 0;
}

/* The boxes, for people: which walls the kernel does not offer, and why none starts. */
SUSPENDS static int write_boxes(Call *call)
{
    const RunDoors *doors = call->serve->opts.doors;
    JsonWriter *out = &call->out;
    BoxPoolStats stats;
    int r;

    if (!doors || !doors->boxes)
        return 0;
    r = box_pool_stats(doors->boxes, &stats);
    if (r < 0)
        return r;
    json_write_key(out, "boxes");
    json_write_object(out);
    json_write_member_i64(out, "alive", (int64_t) stats.boxes);
    json_write_member_i64(out, "most", (int64_t) stats.boxes_max);
    json_write_member_i64(out, "busy", (int64_t) stats.busy);
    json_write_member_i64(out, "waiting", (int64_t) stats.waiting);
    if (stats.is_known) {
        json_write_key(out, "missing_walls");
        json_write_array(out);
        for (unsigned i = 0; box_wall_name(i); i++)
            if (stats.missing & UINT32_C(1) << i)
                json_write_str(out, str_from_c(box_wall_name(i)));
        json_write_array_end(out);
    }
    if (stats.trouble[0])
        json_write_member_c(out, "trouble", stats.trouble);
    json_write_object_end(out);
    return 0;
}

SUSPENDS static int get_readyz(Call *call)
{
    Serve *serve = call->serve;
    JsonWriter *out = &call->out;
    StoreNote *notes = arena_zalloc(call->request->arena, STORE_NOTES_MAX * sizeof(StoreNote));
    StoreStats stats;
    const char *why;
    bool is_ready;
    size_t n;
    int r = serve_ping(serve);

    if (r == -ECANCELED)
        return r;
    why = r < 0 ? arena_copy_c(call->request->arena, str_from_c(err_text(r))) : "";
    queue_store_stats(serve->opts.queues, &stats);
    n = queue_store_notes(serve->opts.queues, notes, STORE_NOTES_MAX);
    json_write_object(out);
    json_write_key(out, "checks");
    json_write_array(out);
    is_ready = write_check(out, "store", r == 0, why);
    is_ready &= write_check(out, "room", !stats.is_full, "the store has no room: submits get 507");
    is_ready &= write_check(out, "accepting", !serve->unready, serve->unready);
    is_ready &= write_check(out, "settings", !*first_broken(notes, n), first_broken(notes, n));
    json_write_array_end(out);
    json_write_member_c(out, "store", queue_store_name(serve->opts.queues));
    is_ready &= write_notes(out, notes, n);
    if (serve->opts.pipeline_set) {
        r = sl_call_on(0, write_pipelines, call, "pipelines");
        if (r < 0)
            return r;
    }
    r = write_boxes(call);
    if (r < 0)
        return r;
    json_write_member_c(out, "status", is_ready ? "ready" : "not ready");
    json_write_object_end(out);
    if (!is_ready)
        call->response->status = 503;
    return 0;
}

/* The Open Job Spec's own form of health. */
SUSPENDS static int get_ojs_health(Call *call)
{
    Serve *serve = call->serve;
    int64_t began_ns = sl_clock_ns();
    int r = serve_ping(serve);
    bool is_ok = r == 0 && !serve->unready;

    if (r == -ECANCELED)
        return r;

    json_write_object(&call->out);
    json_write_member_c(&call->out, "status", is_ok ? "ok" : "degraded");
    json_write_member_c(&call->out, "version", "1.0");
    json_write_member_i64(&call->out, "uptime_seconds",
                          (sl_wall_ms() - serve->started_ms) / MS_PER_S);
    json_write_key(&call->out, "backend");
    json_write_object(&call->out);
    json_write_member_c(&call->out, "type", queue_store_name(serve->opts.queues));
    json_write_member_c(&call->out, "status", r == 0 ? "connected" : "failing");
    json_write_member_i64(&call->out, "latency_ms", (sl_clock_ns() - began_ns) / NS_PER_MS);
    if (r < 0)
        json_write_member_c(&call->out, "error", err_text(r));
    json_write_object_end(&call->out);
    json_write_object_end(&call->out);
    if (!is_ok)
        call->response->status = 503;
    return 0;
}

/* ---- metrics, documents ---------------------------------------------------------------------- */

static int get_metrics(Call *call)
{
    HttpServerStats http;
    sl_stats stats;

    http_server_stats(call->serve->server, &http);
    sl_stats_get(&stats);
    metrics_set(METRIC_HTTP_CONNECTIONS, (int64_t) http.connections);
    metrics_set(METRIC_FIBERS, (int64_t) stats.fibers);
    metrics_format(&call->response->body);
    return 0;
}

static int get_openapi(Call *call)
{
    Serve *serve = call->serve;

    if (!serve->openapi.len)
        serve_openapi(&serve->openapi, serve->opts.handlers, serve->opts.n_handlers);
    if (buf_check(&serve->openapi) < 0) {
        buf_reset(&serve->openapi);
        return fail(-ENOMEM, "no memory for the document");
    }
    call->response->body_view = buf_str(&serve->openapi);
    return 0;
}

static void write_flags(JsonWriter *out)
{
    static const struct {
        const char *name;
        bool is_offered;
    } flags[] = {
        { "batch_enqueue", true },  { "cron_jobs", false },        { "dead_letter", true },
        { "delayed_jobs", true },   { "job_ttl", true },           { "priority_queues", true },
        { "rate_limiting", false }, { "schema_validation", true }, { "unique_jobs", false },
        { "workflows", false },     { "pause_resume", false },
    };

    json_write_key(out, "capabilities");
    json_write_object(out);
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        json_write_member_bool(out, flags[i].name, flags[i].is_offered);
    json_write_object_end(out);
}

static void write_lists(JsonWriter *out)
{
    static const char *const extensions[] = { "idempotency-key", "job-wait", "fetch-wait",
                                              "lease-token",     "job-list", "run" };

    json_write_key(out, "protocols");
    json_write_array(out);
    json_write_str(out, str_from_c("http"));
    json_write_array_end(out);
    json_write_key(out, "extensions");
    json_write_array(out);
    for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
        json_write_str(out, str_from_c(extensions[i]));
    json_write_array_end(out);
}

static int get_manifest(Call *call)
{
    JsonWriter *out = &call->out;

    json_write_object(out);
    json_write_member_c(out, "specversion", "1.0");
    json_write_member_c(out, "ojs_version", "1.0");
    json_write_key(out, "implementation");
    json_write_object(out);
    json_write_member_c(out, "name", "sluice");
    json_write_member_c(out, "version", SLUICE_VERSION);
    json_write_member_c(out, "language", "c");
    json_write_object_end(out);
    json_write_member_i64(out, "conformance_level", 1);
    json_write_member_c(out, "backend", queue_store_name(call->serve->opts.queues));
    write_lists(out);
    write_flags(out);
    json_write_key(out, "endpoints");
    json_write_object(out);
    json_write_member_c(out, "base_url", "/ojs/v1");
    json_write_member_c(out, "manifest", "/ojs/manifest");
    json_write_member_c(out, "health", "/ojs/v1/health");
    json_write_object_end(out);
    json_write_key(out, "payload_limits");
    json_write_object(out);
    json_write_member_i64(out, "max_envelope_bytes", LIMIT_SERVE_JOB_BYTES);
    json_write_member_i64(out, "max_batch_bytes", LIMIT_SERVE_BATCH_BYTES);
    json_write_member_i64(out, "max_batch_jobs", LIMIT_PUSH_JOBS);
    json_write_member_i64(out, "max_meta_bytes", LIMIT_JOB_META_BYTES);
    json_write_member_i64(out, "max_result_bytes", LIMIT_JOB_RESULT_BYTES);
    json_write_object_end(out);
    json_write_object_end(out);
    return 0;
}

static const Route system_routes[] = {
    { .method = HTTP_METHOD_GET,
      .path = "/healthz",
      .operation = "getHealth",
      .is_probe = true,
      .summary = "Whether the process is alive.",
      .answers = { { 200, "It is." } },
      .run = get_healthz },
    { .method = HTTP_METHOD_GET,
      .path = "/readyz",
      .operation = "getReadiness",
      .is_probe = true,
      .summary = "Whether the engine takes work, and why not.",
      .answers = { { 200, "It does." }, { 503, "It does not; the checks say why." } },
      .run = get_readyz },
    { .method = HTTP_METHOD_GET,
      .path = "/metrics",
      .operation = "getMetrics",
      .is_probe = true,
      .summary = "Metrics in Prometheus text format.",
      .content_type = "text/plain; version=0.0.4; charset=utf-8",
      .answers = { { 200, "The metrics.", "{\"type\":\"string\"}" } },
      .run = get_metrics },
    { .method = HTTP_METHOD_GET,
      .path = "/openapi.json",
      .operation = "getOpenApi",
      .summary = "This document.",
      .answers = { { 200, "OpenAPI 3.1." } },
      .run = get_openapi },
    { .method = HTTP_METHOD_GET,
      .path = "/ojs/manifest",
      .operation = "getManifest",
      .summary = "What this engine offers of the Open Job Spec.",
      .answers = { { 200, "The manifest." } },
      .run = get_manifest },
    { .method = HTTP_METHOD_GET,
      .path = "/ojs/v1/health",
      .operation = "getOjsHealth",
      .summary = "Health as the Open Job Spec has it.",
      .answers = { { 200, "All is well." }, { 503, "It is not." } },
      .run = get_ojs_health },
};

extern const RouteGroup routes_system;
const RouteGroup routes_system = ROUTE_GROUP("System", system_routes);
