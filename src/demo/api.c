/*
 * What the APIs share: their faults and their errors.
 */
#include "demo/api_int.h"

#include "base/macro.h"
#include "codec/http_text.h"
#include "codec/time_text.h"

#include <stdio.h>

#define SLOW_MS    3000
#define FLAKY      2 /* refusals before an answer */
#define DEEP       100000
#define DATE_AHEAD 2000 /* ms */

static const char *const api_names[] = { "weather", "headlines", "rates" };

static const char *const fault_names[] = {
#define X(name, word, text) word,
    API_FAULTS(X)
#undef X
};

/* ---- choosing -------------------------------------------------------------------------------- */

static size_t find_name(const char *const *names, size_t n, Str name)
{
    size_t i = 0;

    while (i < n && !str_eq_c(name, names[i]))
        i++;
    return i;
}

static int unknown_fault(Str name)
{
    char list[400];
    size_t len = 0;

    for (size_t i = 0; i < ARRAY_LEN(fault_names); i++)
        len += (size_t) snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
                                 fault_names[i]);
    return fail(-ERR_USAGE, "--api-fault: there is no fault \"%.*s\"; there are %s", (int) name.len,
                name.data, list);
}

int api_check_faults(const SchemaPairs *faults)
{
    for (size_t i = 0; i < faults->len; i++) {
        Str api = faults->items[i].name, fault = faults->items[i].value;

        if (find_name(api_names, ARRAY_LEN(api_names), api) == ARRAY_LEN(api_names))
            return fail(-ERR_USAGE,
                        "--api-fault: there is no API \"%.*s\"; there are weather, headlines and "
                        "rates",
                        (int) api.len, api.data);
        if (find_name(fault_names, ARRAY_LEN(fault_names), fault) == ARRAY_LEN(fault_names))
            return unknown_fault(fault);
    }
    return 0;
}

/* The query wins over the flag. */
static Str chosen_fault(const DemoCall *call, const char *api)
{
    const SchemaPairs *faults = &call->demo->opts->api_fault;
    Str fault = demo_query(call, "fault");

    for (size_t i = 0; fault.len == 0 && i < faults->len; i++) {
        if (str_eq_c(faults->items[i].name, api))
            fault = faults->items[i].value;
    }
    return fault;
}

/* ---- failing --------------------------------------------------------------------------------- */

int api_error(DemoCall *call, int status, const char *why)
{
    JsonWriter json = JSON_WRITER(call->out);

    demo_is_json(call);
    call->response->status = status;
    json_write_object(&json);
    json_write_key(&json, "error");
    json_write_object(&json);
    json_write_member_i64(&json, "code", status);
    json_write_member_c(&json, "message", why);
    json_write_object_end(&json);
    json_write_object_end(&json);
    return api_end(call);
}

int api_end(DemoCall *call)
{
    ADD(call->out, "\n");
    return 0;
}

static int refuse(DemoCall *call, int status, const char *header, const char *value)
{
    http_response_header(call->response, header, str_from_c(value));
    (void) api_error(call, status, "you ask too often, or too early");
    return API_ANSWERED;
}

static int refuse_until(DemoCall *call)
{
    char text[TIME_TEXT_BYTES];
    Str when = time_format_http(sl_wall_ms() + DATE_AHEAD, text);

    http_response_header(call->response, "Retry-After", when);
    (void) api_error(call, 429, "you ask too often");
    return API_ANSWERED;
}

static int refuse_quota(DemoCall *call)
{
    http_response_header(call->response, "x-ratelimit-limit", str_from_c("60"));
    http_response_header(call->response, "x-ratelimit-remaining", str_from_c("0"));
    http_response_header(
        call->response, "x-ratelimit-reset",
        arena_printf(call->request->arena, "%lld", (long long) (sl_wall_ms() / MS_PER_S + 2)));
    (void) api_error(call, 403, "API rate limit exceeded");
    return API_ANSWERED;
}

static int say(DemoCall *call, const char *text)
{
    demo_is_json(call);
    buf_add_c(call->out, text);
    return API_ANSWERED;
}

static int say_html(DemoCall *call)
{
    demo_html_begin(call, "Welcome to the airport's network");
    ADD(call->out, "<p>Please accept our terms to go on.</p>\n");
    demo_html_end(call);
    return API_ANSWERED;
}

static int say_deep(DemoCall *call)
{
    demo_is_json(call);
    for (int i = 0; i < DEEP; i++)
        ADD(call->out, "[");
    for (int i = 0; i < DEEP; i++)
        ADD(call->out, "]");
    return API_ANSWERED;
}

static int fail_often(DemoCall *call)
{
    if (demo_count(call->demo, call->request->target) % (FLAKY + 1) == 0)
        return 0;
    return refuse(call, 503, "Retry-After", "0");
}

int api_fault(DemoCall *call, const char *api)
{
    Str name = chosen_fault(call, api);

    if (name.len == 0)
        return 0;
    switch ((ApiFault) find_name(fault_names, ARRAY_LEN(fault_names), name)) {
    case API_FAULT_NONE: return 0;
    case API_FAULT_SLOW: return demo_wait_ms(call, SLOW_MS);
    case API_FAULT_HANG: return demo_wait_ms(call, INT64_MAX);
    case API_FAULT_FAIL: return api_error(call, 500, "something broke"), API_ANSWERED;
    case API_FAULT_DOWN: return refuse(call, 503, "Retry-After", "1");
    case API_FAULT_FLAKY: return fail_often(call);
    case API_FAULT_RATE_LIMIT: return refuse(call, 429, "Retry-After", "1");
    case API_FAULT_RATE_DATE: return refuse_until(call);
    case API_FAULT_QUOTA: return refuse_quota(call);
    case API_FAULT_NONSENSE: return say(call, "%PDF-1.7 this was never JSON <oops> \x01\x02");
    case API_FAULT_HTML: return say_html(call);
    case API_FAULT_TRUNCATED: return say(call, "{\"city\":\"Berlin\",\"current\":{\"temper");
    case API_FAULT_GARBAGE:
        return say(call, "{\"city\":\"Berlin\"}\n{\"city\":\"Tokyo\"} and so on");
    case API_FAULT_NAN: return say(call, "{\"current\":{\"temperature_c\":NaN},\"rates\":NaN}\n");
    case API_FAULT_EMPTY: return say(call, "");
    case API_FAULT_NO_CONTENT: call->response->status = 204; return API_ANSWERED;
    case API_FAULT_BOM: ADD(call->out, "\xef\xbb\xbf"); return 0;
    case API_FAULT_NULLS:
        return say(call, "{\"city\":null,\"current\":null,\"items\":null,\"rates\":null}\n");
    case API_FAULT_MISSING: return say(call, "{}\n");
    case API_FAULT_DEEP: return say_deep(call);
    case API_FAULT_NOT_FOUND: return api_error(call, 404, "there is no such thing"), API_ANSWERED;
    }
    return api_error(call, 400, "there is no such fault"), API_ANSWERED;
}

/* ---- caching --------------------------------------------------------------------------------- */

bool api_is_fresh(DemoCall *call, Str etag)
{
    Str list = http_request_header(call->request, "If-None-Match"), item;

    http_response_header(call->response, "ETag", etag);
    while (http_list_next(&list, &item)) {
        if (str_starts(item, str_from_c("W/")))
            item = str_sub(item, 2, item.len);
        if (str_eq(item, etag) || str_eq_c(item, "*")) {
            call->response->status = 304;
            return true;
        }
    }
    return false;
}
