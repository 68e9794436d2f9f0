/*
 * The bookkeeping behind gate.h.
 *
 * `next_ns` is the one place where G2 lives: entering moves it to begin + delay, leaving to end +
 * delay; it never goes back. The probe of a host of which nothing is known does not move it when it
 * begins: no other may begin before its end (G3), and then more is known about the delay.
 */
#include "handlers/crawl/gate.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"

#include <netinet/in.h>

#define CONCURRENCY_DEFAULT 16
#define HOST_AT_ONCE        2
#define HOST_DELAY_MS       250
#define ADDRESS_AT_ONCE     4
#define ADDRESS_DELAY_MS    100
#define SLACK_NS_MAX        (10 * NS_PER_MS) /* G2 */

struct Gate {
    GateOpts opts;
    Rand rand;
    Map addresses; /* text without port → GateAddress */
};

Gate *gate_new(const GateOpts *opts)
{
    Gate *gate = mem_new(Gate);

    gate->opts = *opts;
    if (!gate->opts.concurrency)
        gate->opts.concurrency = CONCURRENCY_DEFAULT;
    if (!gate->opts.crawl_delay_max_ms)
        gate->opts.crawl_delay_max_ms = LIMIT_GATE_CRAWL_DELAY_MS;
    rand_init(&gate->rand, opts->seed ? opts->seed : rand_entropy());
    map_init(&gate->addresses, rand_u64(&gate->rand), rand_u64(&gate->rand));
    return gate;
}

void gate_free(Gate *gate)
{
    size_t cursor = 0;
    void *address;
    Str key;

    if (!gate)
        return;
    while (map_next(&gate->addresses, &cursor, &key, &address))
        mem_free(address);
    map_deinit(&gate->addresses);
    mem_free(gate);
}

/* ---- what a key may do ------------------------------------------------------------------------*/

static size_t host_at_once(const GateOpts *opts, bool is_public)
{
    size_t n = opts->host_at_once;

    if (!n)
        n = is_public ? HOST_AT_ONCE : opts->concurrency;
    return MIN(n, opts->concurrency);
}

static int64_t host_delay_ms(const GateOpts *opts, bool is_public)
{
    if (opts->delay_ms >= 0)
        return opts->delay_ms;
    return is_public ? HOST_DELAY_MS : 0;
}

static size_t address_at_once(const GateOpts *opts, bool is_public)
{
    size_t n = opts->address_at_once;

    if (!n)
        n = is_public ? MAX(opts->host_at_once, (size_t) ADDRESS_AT_ONCE) : opts->concurrency;
    return MIN(n, opts->concurrency);
}

static int64_t address_delay_ms(const GateOpts *opts, bool is_public)
{
    int64_t delay_ms = is_public ? ADDRESS_DELAY_MS : 0;

    if (opts->address_delay_ms >= 0)
        return opts->address_delay_ms;
    return opts->delay_ms >= 0 ? MIN(delay_ms, opts->delay_ms) : delay_ms;
}

/* Work out at_once and delay_ns from the options, the class and robots.txt. */
static void settle_key(const Gate *gate, GateKey *key)
{
    const GateOpts *opts = &gate->opts;
    int64_t delay_ms = key->is_host ? host_delay_ms(opts, key->is_public)
                                    : address_delay_ms(opts, key->is_public);
    int64_t max_ns = opts->crawl_delay_max_ms * NS_PER_MS;

    key->delay_ns = delay_ms * NS_PER_MS;
    if (!key->is_known)
        key->at_once = 1; /* G3 */
    else
        key->at_once = (uint32_t) (key->is_host ? host_at_once(opts, key->is_public)
                                                : address_at_once(opts, key->is_public));
    if (key->crawl_delay_ns > 0 && max_ns >= 0) {
        key->is_capped = key->crawl_delay_ns > max_ns;
        key->delay_ns = MAX(key->delay_ns, MIN(key->crawl_delay_ns, max_ns));
    }
    ASSERT(key->at_once > 0 && key->delay_ns >= 0);
}

void gate_host_init(const Gate *gate, GateKey *key, Str host)
{
    NetAddress address;

    *key = (GateKey){ .is_host = true, .is_public = true, .crawl_delay_ns = -1 };
    if (!gate->opts.is_proxied) {
        char text[64];
        int len = snprintf(text, sizeof(text),
                           memchr(host.data, ':', host.len) ? "[%.*s]:1" : "%.*s:1",
                           (int) MIN(host.len, (size_t) 60), host.data);
        int r = net_address_parse(str_from(text, (size_t) len), &address);

        if (r == 0 && !net_address_is_unix(&address))
            return gate_host_known(gate, key, &address);
        if (r < 0)
            err_take(r, NULL);
    }
    settle_key(gate, key);
}

void gate_host_known(const Gate *gate, GateKey *host, const NetAddress *address)
{
    ASSERT(host->is_host);
    if (host->is_known)
        return;
    host->is_known = true;
    if (!gate->opts.is_proxied && address->storage.ss_family != AF_UNSPEC)
        host->is_public = !net_address_is_private((const struct sockaddr *) &address->storage,
                                                  address->len);
    settle_key(gate, host);
}

void gate_host_crawl_delay(const Gate *gate, GateKey *host, int64_t delay_ms)
{
    ASSERT(host->is_host);
    if (delay_ms < 0)
        return;
    host->crawl_delay_ns = MAX(host->crawl_delay_ns,
                               MIN(delay_ms, INT64_MAX / NS_PER_MS) * NS_PER_MS);
    settle_key(gate, host);
    if (host->last_ns) /* the request that brought it counts */
        host->next_ns = MAX(host->next_ns, host->last_ns + host->delay_ns);
}

/* ADDRESS without its port: one server has many. */
static Str address_text(const NetAddress *address, char out[static NET_ADDRESS_TEXT_MAX])
{
    NetAddress plain = *address;

    if (plain.storage.ss_family == AF_INET)
        ((struct sockaddr_in *) &plain.storage)->sin_port = 0;
    else if (plain.storage.ss_family == AF_INET6)
        ((struct sockaddr_in6 *) &plain.storage)->sin6_port = 0;
    return net_address_format(&plain, out);
}

GateAddress *gate_address(Gate *gate, const NetAddress *address)
{
    char buf[NET_ADDRESS_TEXT_MAX];
    GateAddress *found;
    Str text;

    if (gate->opts.is_proxied ||
        (address->storage.ss_family != AF_INET && address->storage.ss_family != AF_INET6))
        return NULL;
    text = address_text(address, buf);
    found = map_find(&gate->addresses, text);
    if (found || gate->addresses.len >= LIMIT_GATE_ADDRESSES)
        return found;
    found = mem_zalloc(sizeof(*found) + text.len + 1);
    memcpy(found->text, text.data, text.len);
    found->key = (GateKey){ .is_known = true, .crawl_delay_ns = -1 };
    found->key.is_public = !net_address_is_private((const struct sockaddr *) &address->storage,
                                                   address->len);
    settle_key(gate, &found->key);
    (void) map_put(&gate->addresses, text, found);
    return found;
}

/* ---- passing ----------------------------------------------------------------------------------*/

int64_t gate_delay_ns(const GateKey *key)
{
    return throttle_delay_ns(&key->throttle, key->delay_ns);
}

/* The delay with its jitter (G4). */
static int64_t next_delay_ns(Gate *gate, const GateKey *key)
{
    int64_t delay_ns = gate_delay_ns(key);

    if (delay_ns && gate->opts.jitter > 0)
        delay_ns += (int64_t) ((double) delay_ns * gate->opts.jitter * rand_unit(&gate->rand));
    return delay_ns;
}

int gate_may(const GateKey *key, int64_t now_ns, int64_t *ret_when_ns)
{
    int64_t next_ns = MAX(key->next_ns, key->throttle.pause_ns);

    if (key->n_active >= key->at_once)
        return GATE_FULL;
    if (now_ns >= next_ns)
        return 0;
    *ret_when_ns = next_ns;
    return GATE_LATER;
}

static int64_t slack_ns(const GateKey *key)
{
    return key->at_once > 1 ? MIN(gate_delay_ns(key) / 10, SLACK_NS_MAX) : 0;
}

void gate_enter(Gate *gate, GateKey *key, int64_t now_ns)
{
    ASSERT(key->n_active < key->at_once);                        /* G1, G3 */
    ASSERT(now_ns >= MAX(key->next_ns, key->throttle.pause_ns)); /* G2 */
    key->n_active++;
    key->last_ns = now_ns;
    if (key->is_known)
        key->next_ns = MAX(key->next_ns, now_ns + next_delay_ns(gate, key) + slack_ns(key));
}

void gate_leave(Gate *gate, GateKey *key, const GateAnswer *answer, int64_t now_ns)
{
    ASSERT(key->n_active > 0);
    key->n_active--;
    if (answer) {
        ASSERT(key->is_host);
        throttle_learn(&key->throttle,
                       &(ThrottleEvent){
                           .status = answer->status,
                           .began_ns = answer->began_ns,
                           .latency_ns = answer->latency_ns,
                           .retry_after_ms = answer->retry_after_ms,
                           .is_adaptive = !gate->opts.no_throttle,
                           .own_delay_ns = key->delay_ns,
                           .at_once = key->at_once,
                       },
                       now_ns);
    }
    key->last_ns = now_ns;
    key->next_ns = MAX(key->next_ns, now_ns + next_delay_ns(gate, key));
}

void gate_follow(Gate *gate, GateKey *key, int64_t now_ns)
{
    key->next_ns = MAX(key->next_ns, now_ns + next_delay_ns(gate, key));
}

bool gate_is_strict(const Gate *gate, const GateKey *key)
{
    return key->at_once < gate->opts.concurrency || gate_delay_ns(key) > 0;
}
