/*
 * Direct runs: a handler's result as the answer, without a queue.
 *
 * The body is the handler's argument, checked against the same schema a job's is. The run is on
 * this loop; when the client goes away it is cancelled. LIMIT_SERVE_RUNS bounds how many there are
 * at once.
 */
#include "base/macro.h"
#include "serve/serve_int.h"
#include "worker/runner.h"

/* Arguments that do not fit: the same error as for a job that is pushed with them. */
static int arguments_failed(Call *call, int r)
{
    JsonWriter writer;
    const char *colon;
    Err err;
    Buf buf;

    err_take(r, &err);
    colon = strchr(err.text, ':');
    writer = call_details_begin(call, &buf);
    json_write_object(&writer);
    if (colon)
        json_write_member_str(&writer, "pointer", str_from(err.text, (size_t) (colon - err.text)));
    json_write_object_end(&writer);
    call_details_end(call, &buf);
    return fail(-ERR_SCHEMA, "%s", err.text);
}

/* The handler's failure as the answer: its code, and whether another try is of use, in details. */
static int run_failed(Call *call, const Run *run, int r)
{
    JsonWriter writer;
    Buf buf;

    if (r == -ECANCELED)
        return r;
    if (str_eq_c(str_from_c(run->code), "schema_validation"))
        return arguments_failed(call, r);
    writer = call_details_begin(call, &buf);
    json_write_object(&writer);
    json_write_member_c(&writer, "code", run->code);
    json_write_member_bool(&writer, "final", run->is_final);
    json_write_object_end(&writer);
    call_details_end(call, &buf);
    return r;
}

SUSPENDS static int run_guarded(Call *call, Run *run)
{
    Serve *serve = call->serve;
    int r;

    if (serve->runs >= serve->opts.runs_max)
        return fail(-ERR_BUSY, "%zu runs are under way on this loop, which is the limit",
                    serve->runs);
    serve->runs++;
    r = http_request_watch(call->request);
    if (r == 0)
        r = runner_run(run);
    serve->runs--;
    return r;
}

SUSPENDS static int run_type(Call *call)
{
    AUTO(runner_deinit) Run run = { 0 };
    char id[UUID_TEXT_BYTES];
    Uuid uuid = uuid_make_v7(&call->serve->ids, sl_wall_ms());
    Str type = call->params[0];
    int r;

    run.handler = serve_find_handler(call->serve, type);
    if (!run.handler)
        return fail(-ERR_NOT_FOUND, "there is no handler for \"%.*s\"", (int) type.len, type.data);
    r = call_read_object(call, true);
    if (r < 0)
        return r;
    run.args = call->body.text;
    run.is_direct = true;
    run.job_id = uuid_format(&uuid, id).data;
    run.attempt = 1;
    run.max_attempts = 1;
    run.http = call->serve->opts.http;
    run.doors = call->serve->opts.doors;

    r = run_guarded(call, &run);
    if (r < 0)
        return run_failed(call, &run, r);
    json_write_object(&call->out);
    json_write_member_str(&call->out, "type", type);
    json_write_member_raw(&call->out, "result", buf_str(&run.result));
    if (run.is_partial)
        json_write_member_bool(&call->out, "partial", true);
    json_write_member_real(&call->out, "took_ms", (double) (run.ran_ns / NS_PER_US) / 1000.0);
    json_write_object_end(&call->out);
    return 0;
}

static const Route run_routes[] = {
    { .method = HTTP_METHOD_POST,
      .path = "/v1/run/{type}",
      .operation = "run",
      .summary = "Run a handler and answer with its result.",
      .answers = { { 200, "The handler's result.",
                     "{\"type\":\"object\",\"required\":[\"type\",\"result\"],\"properties\":{"
                     "\"type\":{\"type\":\"string\"},\"result\":{},\"partial\":{\"type\":"
                     "\"boolean\"},\"took_ms\":{\"type\":\"number\"}}}" },
                   { 404, "There is no such handler.", "#/components/schemas/Error" },
                   { 429, "Too many runs are under way.", "#/components/schemas/Error" },
                   { 500, "The handler failed.", "#/components/schemas/Error" },
                   { 504, "The handler took longer than its time-out.",
                     "#/components/schemas/Error" } },
      .run = run_type },
};

extern const RouteGroup routes_run;
const RouteGroup routes_run = ROUTE_GROUP("Direct runs", run_routes);
