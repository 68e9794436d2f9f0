/*
 * From hop to hop: where a redirect leads, whether it is followed, and what goes along.
 *
 * libcurl follows no redirect itself. Each hop is a transfer of its own, so that the policy, the
 * limits and the caller's veto see it like a first one. What may be seen by the first origin only
 * (credentials, secret headers) stays behind as soon as a hop leaves it, and comes back with a hop
 * that returns. A user and password in a URL count for the first URL; in a Location they are
 * dropped, because whoever redirects has no say in who asks.
 *
 * Methods change as browsers change them: 303 makes everything but HEAD a GET, 301 and 302 make a
 * POST a GET; 307 and 308 keep method and body.
 */
#include "net/http_client_int.h"

#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "codec/http_text.h"

#include <errno.h>

#define URL_BYTES_MAX (64 << 10)

DEFINE_AUTO(CURLU *, curl_url_cleanup);
typedef char CurlText;
DEFINE_AUTO(CurlText *, curl_free);

/* ---- the first URL --------------------------------------------------------------------------- */

static int set_url(ClientSlot *slot, Str url)
{
    buf_reset(&slot->url);
    buf_add_str(&slot->url, url);
    buf_add_char(&slot->url, 0);
    return slot->url.is_failed ? buf_check(&slot->url) : 0;
}

/* Whether the authority has a user: what is before an '@'. */
static bool has_user(Str url)
{
    Str rest = url;

    for (size_t i = 0; i + 3 <= url.len && i < 16; i++)
        if (memcmp(url.data + i, "://", 3) == 0)
            rest = str_sub(url, i + 3, url.len);
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.data[i] == '@')
            return true;
        if (rest.data[i] == '/' || rest.data[i] == '?' || rest.data[i] == '#')
            return false;
    }
    return false;
}

static int set_basic(ClientSlot *slot, Str user, Str password)
{
    AUTO(buf_deinit) Buf pair = { 0 };

    if (str_find(user, ':') >= 0)
        return fail(-ERR_INVALID, "a user's name cannot have ':' in it");
    buf_add_str(&pair, user);
    buf_add_char(&pair, ':');
    buf_add_str(&pair, password);
    if (pair.is_failed)
        return buf_check(&pair);
    buf_add_c(&slot->credentials, "Authorization: Basic ");
    base64_encode(&slot->credentials, buf_str(&pair), BASE64_STANDARD);
    buf_add_char(&slot->credentials, 0);
    return buf_check(&slot->credentials);
}

/* Take user and password out of the URL. */
static int take_user(ClientSlot *slot)
{
    AUTO(curl_url_cleanup) CURLU *url = curl_url();
    AUTO(curl_free) CurlText *user = NULL;
    AUTO(curl_free) CurlText *password = NULL;
    AUTO(curl_free) CurlText *bare = NULL;
    CURLUcode code;
    int r;

    if (!url)
        return fail(-ENOMEM, "the URL");
    code = curl_url_set(url, CURLUPART_URL, slot->url.data, CURLU_NON_SUPPORT_SCHEME);
    if (code != CURLUE_OK)
        return fail(-ERR_INVALID, "%s", curl_url_strerror(code));
    (void) curl_url_get(url, CURLUPART_USER, &user, CURLU_URLDECODE);
    (void) curl_url_get(url, CURLUPART_PASSWORD, &password, CURLU_URLDECODE);
    r = set_basic(slot, str_from_c(user), str_from_c(password));
    if (r < 0)
        return r;
    (void) curl_url_set(url, CURLUPART_USER, NULL, 0);
    (void) curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
    if (curl_url_get(url, CURLUPART_URL, &bare, 0) != CURLUE_OK)
        return fail(-ENOMEM, "the URL");
    return set_url(slot, str_from_c(bare));
}

static int set_credentials(ClientSlot *slot)
{
    const HttpCredentials *credentials = &slot->call->credentials;

    if (slot->credentials.len > 0)
        return 0;
    if (credentials->bearer.len == 0)
        return credentials->user.len + credentials->password.len > 0
                   ? set_basic(slot, credentials->user, credentials->password)
                   : 0;
    if (!http_is_field_value(credentials->bearer))
        return fail(-ERR_INVALID, "the bearer token cannot stand in a header");
    buf_add_c(&slot->credentials, "Authorization: Bearer ");
    buf_add_str(&slot->credentials, credentials->bearer);
    buf_add_char(&slot->credentials, 0);
    return buf_check(&slot->credentials);
}

int client_first_url(ClientSlot *slot)
{
    Str url = slot->call->url;
    int r;

    if (url.len == 0 || url.len > URL_BYTES_MAX || memchr(url.data, 0, url.len))
        return fail(-ERR_INVALID, "the URL must have 1 to %d bytes", URL_BYTES_MAX);
    slot->hops = 0;
    slot->is_stranger = slot->is_get = false;
    buf_reset(&slot->origin);
    buf_reset(&slot->credentials);
    r = set_url(slot, url);
    if (r == 0 && has_user(url))
        r = take_user(slot);
    return r == 0 ? set_credentials(slot) : r;
}

/* ---- the next -------------------------------------------------------------------------------- */

/* "https://host:443", for comparing. */
static int add_origin(CURLU *url, Buf *out)
{
    AUTO(curl_free) CurlText *scheme = NULL;
    AUTO(curl_free) CurlText *host = NULL;
    AUTO(curl_free) CurlText *port = NULL;

    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        return fail(-ERR_HTTP, "a URL without scheme or host");
    buf_printf(out, "%s://%s:%s", scheme, host, port);
    return buf_check(out);
}

/* Where LOCATION leads from URL, without user, password and fragment. */
static int resolve(ClientSlot *slot, CURLU *url, char **ret_text)
{
    AUTO(curl_free) CurlText *scheme = NULL;
    int shown = (int) MIN(slot->location.len, (size_t) 200);
    CURLUcode code;

    if (curl_url_set(url, CURLUPART_URL, slot->location.data,
                     CURLU_NON_SUPPORT_SCHEME | CURLU_URLENCODE) != CURLUE_OK)
        return fail(-ERR_HTTP, "a redirect to \"%.*s\", which is not a URL", shown,
                    slot->location.data);
    (void) curl_url_set(url, CURLUPART_USER, NULL, 0);
    (void) curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
    (void) curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
    code = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0);
    if (code != CURLUE_OK || (strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0))
        return fail(-ERR_HTTP, "a redirect to \"%.*s\", which is neither http nor https", shown,
                    slot->location.data);
    if (curl_url_get(url, CURLUPART_URL, ret_text, 0) != CURLUE_OK)
        return fail(-ENOMEM, "the URL of a redirect");
    if (strlen(*ret_text) > URL_BYTES_MAX)
        return fail(-ERR_HTTP, "a redirect to a URL of more than %d bytes", URL_BYTES_MAX);
    return 0;
}

/* The redirect as on_redirect sees it, and whether its target is of another origin. */
static int describe(ClientSlot *slot, CURLU *url, HttpRedirect *redirect)
{
    AUTO(buf_deinit) Buf origin = { 0 };
    int r = add_origin(url, &origin);

    redirect->is_cross_origin = !str_eq_nocase(buf_str(&origin), buf_str(&slot->origin));
    redirect->is_downgrade = str_starts(redirect->from, str_from_c("https:")) &&
                             !str_starts(redirect->to, str_from_c("https:"));
    return r;
}

static bool becomes_get(const ClientSlot *slot)
{
    Str method = slot->call->method;
    bool is_post = str_eq_c(method, "POST") || (method.len == 0 && slot->call->body.data);
    int status = slot->head.status;

    return status == 303 || (is_post && (status == 301 || status == 302));
}

int client_next_url(ClientSlot *slot)
{
    const HttpCall *call = slot->call;
    int max = call->redirects_max ? call->redirects_max : LIMIT_HTTP_CLIENT_REDIRECTS;
    AUTO(curl_url_cleanup) CURLU *url = curl_url();
    AUTO(curl_free) CurlText *text = NULL;
    HttpRedirect redirect;
    int r = 0;

    if (slot->hops >= max)
        return fail(-ERR_HTTP, "more than %d redirects", max);
    if (!url || curl_url_set(url, CURLUPART_URL, slot->url.data, CURLU_GUESS_SCHEME) != CURLUE_OK)
        return fail(-ENOMEM, "the URL of a redirect");
    if (slot->origin.len == 0)
        r = add_origin(url, &slot->origin);
    if (r == 0)
        r = resolve(slot, url, &text);
    if (r < 0)
        return r;
    redirect = (HttpRedirect){ .status = slot->head.status,
                               .hops = slot->hops + 1,
                               .from = str_from(slot->url.data, slot->url.len - 1),
                               .to = str_from_c(text) };
    r = describe(slot, url, &redirect);
    if (r == 0 && call->on_redirect)
        r = call->on_redirect(call->ctx, &redirect);
    if (r != 0)
        return r;
    slot->hops++;
    slot->is_stranger = redirect.is_cross_origin;
    slot->is_get = slot->is_get || becomes_get(slot);
    return set_url(slot, redirect.to);
}

void client_fill_location(ClientSlot *slot)
{
    AUTO(curl_url_cleanup) CURLU *url = NULL;
    AUTO(curl_free) CurlText *text = NULL;
    int r;

    if (!slot->head.has_location || slot->head.status < 300 || slot->head.status > 399)
        return;
    url = curl_url();
    if (!url || curl_url_set(url, CURLUPART_URL, slot->url.data, CURLU_GUESS_SCHEME) != CURLUE_OK)
        return;
    r = resolve(slot, url, &text);
    if (r < 0) {
        err_take(r, NULL); /* the answer is one all the same; its headers tell */
        return;
    }
    mem_free(slot->answer->location);
    slot->answer->location = mem_copy_c(text, strlen(text));
}
