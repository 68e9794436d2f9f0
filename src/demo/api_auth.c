/*
 * APIs that ask who you are, and one that tells you what you sent.
 *
 *   /api/auth/basic    user "ada", password "lovelace"
 *   /api/auth/bearer   Authorization: Bearer playground-token
 *   /api/auth/key      X-Api-Key: playground-key, or ?api_key=playground-key
 *   /api/echo          method, path, query, headers and body of the request
 *   /api/              the list of APIs
 */
#include "demo/api_int.h"

#include "base/macro.h"
#include "codec/base64.h"

#define API_USER  "ada:lovelace"
#define API_TOKEN "playground-token"
#define API_KEY   "playground-key"

static int welcome(DemoCall *call, const char *how)
{
    JsonWriter json = JSON_WRITER(call->out);

    demo_is_json(call);
    json_write_object(&json);
    json_write_member_bool(&json, "authenticated", true);
    json_write_member_c(&json, "how", how);
    json_write_member_c(&json, "user", "ada");
    json_write_object_end(&json);
    return api_end(call);
}

static int turn_away(DemoCall *call, const char *challenge)
{
    if (challenge)
        http_response_header(call->response, "WWW-Authenticate", str_from_c(challenge));
    return api_error(call, 401, "who are you? /api/ says what to send");
}

/* What stands behind SCHEME in the Authorization header; empty when it is another one. */
static Str credentials(const DemoCall *call, const char *scheme)
{
    Str rest, value = http_request_header(call->request, "Authorization");
    Str word = str_cut(value, ' ', &rest);

    return str_eq_nocase(word, str_from_c(scheme)) ? str_trim(rest) : str_from(NULL, 0);
}

static int answer_basic(DemoCall *call)
{
    AUTO(buf_deinit) Buf want = { 0 };

    base64_encode(&want, str_from_c(API_USER), BASE64_STANDARD);
    if (!str_eq(credentials(call, "Basic"), buf_str(&want)))
        return turn_away(call, "Basic realm=\"playground\", charset=\"UTF-8\"");
    return welcome(call, "basic");
}

static int answer_bearer(DemoCall *call)
{
    if (!str_eq_c(credentials(call, "Bearer"), API_TOKEN))
        return turn_away(call, "Bearer realm=\"playground\"");
    return welcome(call, "bearer");
}

static int answer_key(DemoCall *call)
{
    if (!str_eq_c(http_request_header(call->request, "X-Api-Key"), API_KEY) &&
        !str_eq_c(demo_query(call, "api_key"), API_KEY))
        return turn_away(call, NULL);
    return welcome(call, "key");
}

static int answer_echo(DemoCall *call)
{
    const HttpRequest *request = call->request;
    JsonWriter json = JSON_WRITER(call->out);

    demo_is_json(call);
    json_write_object(&json);
    json_write_member_str(&json, "method", request->method_text);
    json_write_member_str(&json, "path", request->path);
    json_write_member_str(&json, "query", request->query);
    json_write_key(&json, "headers");
    json_write_object(&json);
    for (size_t i = 0; i < request->n_headers; i++) {
        json_write_key_str(&json, request->headers[i].name);
        json_write_str(&json, request->headers[i].value);
    }
    json_write_object_end(&json);
    json_write_member_u64(&json, "body_bytes", request->body.len);
    json_write_member_str(&json, "body", request->body);
    json_write_object_end(&json);
    return api_end(call);
}

static int answer_index(DemoCall *call)
{
    JsonWriter json = JSON_WRITER(call->out, .indent = 2);

    demo_is_json(call);
    json_write_object(&json);
    json_write_member_str(&json, "weather",
                          arena_printf(call->request->arena, "%.*s/api/weather{?city}",
                                       (int) call->origin.len, call->origin.data));
    json_write_member_str(&json, "cities",
                          arena_printf(call->request->arena, "%.*s/api/weather/cities",
                                       (int) call->origin.len, call->origin.data));
    json_write_member_str(&json, "headlines",
                          arena_printf(call->request->arena, "%.*s/api/headlines{?page,per_page}",
                                       (int) call->origin.len, call->origin.data));
    json_write_member_str(&json, "rates",
                          arena_printf(call->request->arena, "%.*s/api/rates{?base}",
                                       (int) call->origin.len, call->origin.data));
    json_write_key(&json, "credentials");
    json_write_object(&json);
    json_write_member_c(&json, "/api/auth/basic", API_USER);
    json_write_member_c(&json, "/api/auth/bearer", API_TOKEN);
    json_write_member_c(&json, "/api/auth/key", "X-Api-Key: " API_KEY);
    json_write_object_end(&json);
    json_write_key(&json, "faults");
    json_write_object(&json);
#define X(name, word, text) json_write_member_c(&json, word, text);
    API_FAULTS(X)
#undef X
    json_write_object_end(&json);
    json_write_object_end(&json);
    return api_end(call);
}

static const DemoPage pages[] = {
    { .path = "/api/",
      .kind = DEMO_API,
      .answer = answer_index,
      .summary = "the APIs, their credentials and their faults (?fault=slow)" },
    { .path = "/api/auth/basic",
      .kind = DEMO_API,
      .answer = answer_basic,
      .summary = "wants user ada with password lovelace" },
    { .path = "/api/auth/bearer",
      .kind = DEMO_API,
      .answer = answer_bearer,
      .summary = "wants Authorization: Bearer playground-token" },
    { .path = "/api/auth/key",
      .example = "?api_key=playground-key",
      .kind = DEMO_API,
      .answer = answer_key,
      .summary = "wants X-Api-Key: playground-key" },
    { .path = "/api/echo",
      .kind = DEMO_API,
      .answer = answer_echo,
      .summary = "tells what was sent" },
};

const DemoPages demo_auth_pages = DEMO_PAGES("Who you are, and what you sent", pages);
