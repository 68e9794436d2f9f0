/*
 * Asking other processes: one fiber takes all hosts that want to go and need to ask, makes one
 * exchange of them, and puts each where the answer sends it.
 */
#include "handlers/crawl/scheduler_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#define KEY_BYTES 300

/* One host's claim with the texts of its keys. */
typedef struct Asked {
    Host *host;
    char host_key[KEY_BYTES];
    char address_key[KEY_BYTES];
} Asked;

static Str key_text(char *out, const char *prefix, const char *name)
{
    int len = snprintf(out, KEY_BYTES, "%s%s", prefix, name);

    return str_from(out, MIN((size_t) len, (size_t) KEY_BYTES - 1));
}

/* Others may begin its delay after this request has begun, which is up to SHARED_FRESH_MS later. */
static SharedKey key_of(const GateKey *gate, Str text)
{
    int64_t delay_ns = gate_delay_ns(gate);

    if (delay_ns)
        delay_ns += SHARED_FRESH_MS * NS_PER_MS;
    return (SharedKey){ .key = text, .delay_ns = delay_ns, .at_once = gate->at_once };
}

static SharedClaim claim_of(const Scheduler *scheduler, Asked *asked)
{
    Host *host = asked->host;
    GateAddress *address = host->address;
    SharedClaim claim = { 0 };

    claim.keys[0] = key_of(&host->gate, key_text(asked->host_key, "host:", host->name));
    if (address && gate_is_strict(scheduler->gate, &address->key))
        claim.keys[1] = key_of(&address->key, key_text(asked->address_key, "addr:", address->text));
    return claim;
}

static size_t take_claims(Scheduler *scheduler, Asked *asked, SharedClaim *claims)
{
    size_t n = 0;
    ListLink *link;

    while (n < LIMIT_GATE_SHARED_CLAIMS && (link = list_pop_front(&scheduler->claims))) {
        asked[n].host = LIST_ITEM(link, Host, link);
        claims[n] = claim_of(scheduler, &asked[n]);
        n++;
    }
    return n;
}

static void give_claims(Scheduler *scheduler, const Asked *asked, const SharedClaim *claims,
                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        Host *host = asked[i].host;

        ASSERT(host->state == HOST_CLAIM && !host->claim);
        if (claims[i].id) {
            host->claim = claims[i].id;
            host->claim_ns = claims[i].when_ns;
            scheduler_host_ready(scheduler, host);
        } else {
            scheduler_host_timed(scheduler, host, claims[i].when_ns);
        }
    }
}

SUSPENDS static int ask(Scheduler *scheduler, Asked *asked, SharedClaim *claims)
{
    size_t n = take_claims(scheduler, asked, claims);
    int r = gate_shared_exchange(scheduler->shared, claims, n);

    if (r < 0) {
        for (size_t i = 0; i < n; i++)
            list_push_back(&scheduler->claims, &asked[i].host->link);
        return r;
    }
    give_claims(scheduler, asked, claims, n);
    return 0;
}

int scheduler_claims(void *arg)
{
    Scheduler *scheduler = arg;
    Asked *asked = mem_new_array(Asked, LIMIT_GATE_SHARED_CLAIMS);
    SharedClaim *claims = mem_new_array(SharedClaim, LIMIT_GATE_SHARED_CLAIMS);
    int r = 0;

    while (r == 0 && !scheduler->is_closing) {
        if (list_is_empty(&scheduler->claims))
            r = gate_shared_wait(scheduler->shared);
        if (r == 0 && !scheduler->is_closing)
            r = ask(scheduler, asked, claims);
    }
    if (r < 0 && r != -ECANCELED) {
        err_take(r, &scheduler->claim_err);
        sl_cond_wake_all(&scheduler->workers);
    }
    mem_free(asked);
    mem_free(claims);
    sl_event_set(&scheduler->claims_stopped);
    return 0;
}
