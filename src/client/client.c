/*
 * Calls of the engine's API; see the header.
 */
#include "client/client.h"

#include "base/err.h"
#include "base/mem.h"
#include "codec/url.h"

#define CLIENT_BODY_BYTES_MAX (256 << 20)

struct Client {
    HttpClient *http;
    Str server;
};

int client_start(Client **ret_client, sl_nursery *nursery, Str server)
{
    HttpClientOpts opts = { .user_agent = "sluice-cli" };
    Client *client;
    Url url;
    int r;

    r = url_parse(server, &url);
    if (r < 0)
        return wrap(r, "server");
    client = mem_new(Client);
    while (server.len && server.data[server.len - 1] == '/')
        server.len--;
    client->server = server;
    r = http_client_global_init();
    if (r == 0)
        r = http_client_start(&client->http, nursery, &opts);
    if (r < 0) {
        mem_free(client);
        return r;
    }
    *ret_client = client;
    return 0;
}

void client_stop(Client *client)
{
    if (!client)
        return;
    http_client_stop(client->http);
    mem_free(client);
}

/* The engine could not be reached, or did not speak HTTP: say where it was looked for. */
static int no_answer(const Client *client, int r)
{
    Err err;

    if (r == -ECANCELED || r == -ETIMEDOUT)
        return r;
    err_take(r, &err);
    return fail(
        -ERR_UNAVAILABLE,
        "no engine answers at %.*s (%s); start one with `sluice up`, or name it with --server",
        (int) client->server.len, client->server.data, err.text);
}

/* The error in an answer, as ours. */
static int answered_error(int status, const JsonDoc *doc)
{
    Str message = json_str_or(json_find(json_find(doc->root, "error"), "message"),
                              str_from(NULL, 0));
    int code = status == 404   ? -ERR_NOT_FOUND
               : status == 409 ? -ERR_CONFLICT
               : status == 413 ? -ERR_TOO_LARGE
               : status == 429 ? -ERR_BUSY
               : status == 503 ? -ERR_UNAVAILABLE
               : status == 507 ? -ERR_STORE_FULL
               : status < 500  ? -ERR_INVALID
                               : -ERR_HTTP_STATUS;

    if (message.len)
        return fail(code, "%.*s", (int) message.len, message.data);
    return fail(code, "the engine answered with status %d", status);
}

int client_call(Arena *arena, Client *client, const char *method, Str path, Str body,
                const HttpHeader *header, JsonDoc *ret_doc, int *ret_status)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    HttpHeader headers[2] = { { STR("Content-Type"), STR("application/json") } };
    HttpCall call = { .method = str_from_c(method), .headers = headers, .n_headers = 1 };
    int r;

    call.url = arena_printf(arena, "%.*s%.*s", (int) client->server.len, client->server.data,
                            (int) path.len, path.data);
    call.body_bytes_max = CLIENT_BODY_BYTES_MAX;
    if (body.len)
        call.body = body;
    if (header)
        headers[call.n_headers++] = *header;
    r = http_client_call(client->http, &call, &answer);
    if (r < 0)
        return no_answer(client, r);

    *ret_doc = (JsonDoc){ 0 };
    r = json_parse_opts(arena, arena_copy(arena, buf_str(&answer.body)),
                        &(JsonParseOpts){ .max_bytes = CLIENT_BODY_BYTES_MAX }, ret_doc);
    if (r < 0 && answer.status < 400)
        return wrap(r, "answer of %s %.*s", method, (int) path.len, path.data);
    if (ret_status)
        *ret_status = answer.status;
    else if (answer.status >= 400)
        return answered_error(answer.status, ret_doc);
    return 0;
}
