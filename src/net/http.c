/*
 * What requests offer beyond their fields.
 */
#include "net/http.h"

#include "base/assert.h"
#include "base/macro.h"
#include "net/http_int.h"

const char *http_method_name(HttpMethod method)
{
    switch (method) {
#define X(name, text, has_body) \
    case HTTP_METHOD_##name: return text;
        HTTP_METHODS(X)
#undef X
    case HTTP_METHOD_OTHER: return "OTHER";
    }
    UNREACHABLE("method");
}

Str http_request_header(const HttpRequest *request, const char *name)
{
    Str wanted = str_from_c(name);

    ASSERT(request && name);
    for (size_t i = 0; i < request->n_headers; i++)
        if (str_eq_nocase(request->headers[i].name, wanted))
            return request->headers[i].value;
    return (Str){ NULL, 0 };
}

bool http_request_is_gone(const HttpRequest *request)
{
    ASSERT(request && request->exchange);
    return request->exchange->is_gone;
}
