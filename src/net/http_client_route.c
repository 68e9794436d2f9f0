/*
 * The way to a hop's host: fixed addresses and proxies, and what the policy has to say of them.
 *
 * Without a proxy the policy looks at addresses: every one before it is connected to, and the
 * peer's again before each request (http_client_drive.c). Through a proxy all that can be seen is
 * the proxy. So under DENY_PRIVATE a call may use a proxy only if the operator vouches for it (the
 * client's own, or is_proxy_trusted), and even then hosts that are private on their face do not
 * get that far: numbers of private ranges, in whatever spelling, and names that no public resolver
 * knows.
 *
 * A fixed address is told to libcurl's cache of names for the host and port in question, so that
 * connections are kept and counted by host as those of other names are.
 */
#include "net/http_client_int.h"

#include "base/macro.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

DEFINE_AUTO(CURLU *, curl_url_cleanup);

/* The host of a hop's URL, as libcurl understands it. Numbers are in their plain form. */
typedef struct Host {
    char *text; /* without brackets; owned by libcurl's allocator */
    char *port;
    bool is_numeric;
    struct sockaddr_storage address; /* when it is */
} Host;

static void host_deinit(Host *host)
{
    curl_free(host->text);
    curl_free(host->port);
}
DEFINE_AUTO_VALUE(Host, host_deinit);

/* What is no URL is left to libcurl's words: then there is no host, and 0. */
static void find_host(const ClientSlot *slot, Host *host)
{
    AUTO(curl_url_cleanup) CURLU *url = curl_url();
    struct sockaddr_in *in = (struct sockaddr_in *) &host->address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) &host->address;
    size_t len;

    if (!url || curl_url_set(url, CURLUPART_URL, slot->url.data, CURLU_GUESS_SCHEME) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &host->text, CURLU_URLDECODE) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_PORT, &host->port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        return;
    len = strlen(host->text);
    if (len > 2 && host->text[0] == '[') {
        memmove(host->text, host->text + 1, len - 2);
        host->text[len - 2] = 0;
    }
    if (inet_pton(AF_INET, host->text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        host->is_numeric = true;
    } else if (inet_pton(AF_INET6, host->text, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        host->is_numeric = true;
    }
}

/* ---- fixed addresses ------------------------------------------------------------------------- */

static bool fits(const char *pattern, Str host)
{
    Str wanted = str_from_c(pattern);

    if (str_eq_c(wanted, "*"))
        return true;
    if (!str_starts(wanted, str_from_c("*.")))
        return str_eq_nocase(wanted, host);
    wanted = str_sub(wanted, 1, wanted.len); /* ".test" */
    return host.len > wanted.len &&
           str_eq_nocase(str_sub(host, host.len - wanted.len, wanted.len), wanted);
}

static void set_resolve(ClientSlot *slot, const char *address, const Host *host)
{
    bool is_ipv6 = strchr(address, ':') != NULL;

    buf_reset(&slot->resolve_line);
    buf_printf(&slot->resolve_line, "+%s:%s:%s%s%s", host->text, host->port, is_ipv6 ? "[" : "",
               address, is_ipv6 ? "]" : "");
    buf_add_char(&slot->resolve_line, 0);
    slot->resolve = (struct curl_slist){ .data = slot->resolve_line.data };
    slot->has_resolve = true;
    (void) curl_easy_setopt(slot->easy, CURLOPT_RESOLVE, &slot->resolve);
}

static int use_fixed_address(ClientSlot *slot, const Host *host)
{
    const HttpClientOpts *opts = &slot->client->opts;
    Str name = str_from_c(host->text);

    if (str_ends(name, str_from_c(".")))
        name.len--;
    for (size_t i = 0; i < opts->n_resolve && host->text && !host->is_numeric; i++)
        if (fits(opts->resolve[i].host, name)) {
            set_resolve(slot, opts->resolve[i].address, host);
            return buf_check(&slot->resolve_line);
        }
    if (slot->has_resolve)
        (void) curl_easy_setopt(slot->easy, CURLOPT_RESOLVE, NULL);
    slot->has_resolve = false;
    return 0;
}

/* ---- proxies --------------------------------------------------------------------------------- */

static int check_proxy(const char *proxy)
{
    static const char *const schemes[] = { "http://",    "https://",  "socks4://",
                                           "socks4a://", "socks5://", "socks5h://" };

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (strncasecmp(proxy, schemes[i], strlen(schemes[i])) == 0)
            return 0;
    return fail(-ERR_INVALID,
                "the proxy must be a URL of http, https, socks4, socks4a, socks5 or socks5h");
}

/* Names that mean this machine or its neighbourhood wherever they are asked for. */
static bool is_private_name(Str name)
{
    static const char *const ends[] = { ".localhost", ".local", ".internal",
                                        ".home.arpa", ".lan",   ".localdomain",
                                        ".intranet",  ".corp",  ".home" };

    if (str_ends(name, str_from_c(".")))
        name.len--;
    if (str_find(name, '.') < 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        Str end = str_from_c(ends[i]);

        if (name.len > end.len && str_eq_nocase(str_sub(name, name.len - end.len, end.len), end))
            return true;
    }
    return false;
}

/* DENY_PRIVATE through a proxy: by what the URL shows. */
static int check_host_behind_proxy(const ClientSlot *slot, const Host *host, bool is_own)
{
    bool is_private;

    if (is_own && !slot->client->opts.is_proxy_trusted)
        return fail(-ERR_FORBIDDEN, "a proxy of the call's own is not allowed: it could reach "
                                    "private addresses");
    if (!host->text)
        return 0;
    is_private = host->is_numeric ? net_address_is_private((const struct sockaddr *) &host->address,
                                                           sizeof(host->address))
                                  : is_private_name(str_from_c(host->text));
    return is_private ? fail(-ERR_FORBIDDEN, "the host %.100s is not allowed", host->text) : 0;
}

static int use_proxy(ClientSlot *slot, const Host *host)
{
    const char *own = slot->call->proxy, *clients = slot->client->opts.proxy;
    const char *proxy = own ? own : clients;
    int r;

    slot->is_proxied = proxy && proxy[0];
    if (slot->is_proxied) {
        r = check_proxy(proxy);
        if (r == 0 && slot->policy == HTTP_POLICY_DENY_PRIVATE)
            r = check_host_behind_proxy(slot, host, own != NULL);
        if (r < 0)
            return r;
    }
    if (own || slot->has_proxy)
        (void) curl_easy_setopt(slot->easy, CURLOPT_PROXY, proxy ? proxy : "");
    slot->has_proxy = own != NULL;
    return 0;
}

int client_route_set(ClientSlot *slot)
{
    const HttpClientOpts *opts = &slot->client->opts;
    bool is_proxied = slot->call->proxy ? slot->call->proxy[0] != 0 : opts->proxy != NULL;
    AUTO(host_deinit) Host host = { .text = NULL };
    int r;

    if (opts->n_resolve > 0 || (is_proxied && slot->policy == HTTP_POLICY_DENY_PRIVATE))
        find_host(slot, &host);
    r = use_proxy(slot, &host);
    if (r == 0 && (opts->n_resolve > 0 || slot->has_resolve))
        r = use_fixed_address(slot, &host);
    return r;
}
