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
    call->notes->retry_s = (run->wait_ms + 999) / MS_PER_S;
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

int serve_may_run(const Serve *serve)
{
    if (serve->runs < serve->opts.runs_max)
        return 0;
    return fail(-ERR_BUSY, "%zu runs are under way on this loop, which is the limit", serve->runs);
}

SUSPENDS static int run_guarded(Call *call, Run *run)
{
    Serve *serve = call->serve;
    int r = serve_may_run(serve);

    if (r < 0)
        return r;
    serve->runs++;
    r = http_request_watch(call->request);
    if (r == 0)
        r = runner_run(run);
    serve->runs--;
    return r;
}

/* What the run is about: bytes with a query, or a JSON object. */
static int read_request(Call *call, Run *run)
{
    int r;

    if (run_bytes_is_meant(call, run->handler))
        return run_bytes_read(call, run->handler, run);
    r = call_read_object(call, true);
    run->args = call->body.text;
    return r;
}

/* Who asks: all connections of one peer take turns as one. */
static Str caller_of(const Call *call, char text[NET_ADDRESS_TEXT_MAX])
{
    Str address = net_address_format(call->request->peer, text);

    while (address.len > 0 && address.data[address.len - 1] != ':')
        address.len--;
    return address;
}

SUSPENDS static int run_type(Call *call)
{
    AUTO(runner_deinit) Run run = { 0 };
    char id[UUID_TEXT_BYTES], peer[NET_ADDRESS_TEXT_MAX];
    Uuid uuid = uuid_make_v7(&call->serve->ids, sl_wall_ms());
    Str type = call->params[0];
    int r;

    run.handler = serve_find_handler(call->serve, type);
    if (!run.handler)
        return fail(-ERR_NOT_FOUND, "there is no handler for \"%.*s\"", (int) type.len, type.data);
    r = read_request(call, &run);
    if (r < 0)
        return r;
    run.is_direct = true;
    run.caller = caller_of(call, peer);
    run.job_id = uuid_format(&uuid, id).data;
    run.attempt = 1;
    run.max_attempts = 1;
    run.http = call->serve->opts.http;
    run.doors = call->serve->opts.doors;

    r = run_guarded(call, &run);
    if (r < 0)
        return run_failed(call, &run, r);
    if (run.takes_outputs && run.n_outputs > 0)
        return run_bytes_answer(call, &run);
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
      .takes_input = true,
      .operation = "run",
      .summary = "Run a handler and answer with its result.",
      .details = "A handler that takes bytes, such as a picture, has them as the body, of any type "
                 "but JSON, and its arguments in the query. The answer is what it gives, with its "
                 "Content-Type, an ETag, the time in line and in work in Server-Timing, and the "
                 "result in Sluice-Result; several outputs are the parts of multipart/mixed.",
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
