/*
 * The gate: how many requests a host and an address see at once, and how far apart.
 *
 * A key is a host name ("shop.test", without port: all ports and schemes of a name count as one
 * host) or an address ("192.0.2.7"). A request passes the gates of both:
 *
 *   G1  At most `at_once` requests of a key are between gate_enter and gate_leave.
 *   G2  Two requests of a key begin at least its delay apart, and the next one begins at least its
 *       delay after the end of an answer. Where several may be under way, they begin a little
 *       (at most a tenth, and 10 ms) further apart: what is sent later may be faster on its way,
 *       and the promise is about what the server sees.
 *   G3  Before its first answer a host has one request at most: nobody knows yet whose it is.
 *   G4  Jitter makes a delay longer, never shorter. So does throttling (throttle.h).
 *
 * What counts as the delay of a host: what the user asked for, else the default of its class; then
 * the Crawl-delay of its robots.txt, up to crawl_delay_max_ms, where that is more; then what
 * throttling makes of it, where that is more.
 *
 *   class              at once   delay    an address: at once   delay
 *   public                2      250 ms                   4     100 ms
 *   private, loopback    all     none                    all    none
 *
 * An address's own numbers follow the explicit ones of the host: --per-host 8 without --per-address
 * makes it at least 8, --delay 0 makes its delay 0. Behind a proxy nobody knows addresses: all
 * hosts count as public, and only hosts have gates.
 *
 * Pure bookkeeping: the time is an argument (nanoseconds of one steady clock), nothing suspends.
 * gate_shared.h carries the same promises across processes.
 */
#pragma once

#include "base/heap.h"
#include "base/list.h"
#include "handlers/crawl/throttle.h"
#include "net/address.h"

typedef struct GateOpts {
    size_t concurrency;         /* of the whole crawl; 0 means 16 */
    size_t host_at_once;        /* 0: by class */
    size_t address_at_once;     /* 0: by class */
    int64_t delay_ms;           /* between requests of a host; -1: by class. 0 is none! */
    int64_t address_delay_ms;   /* -1: by class, or delay_ms where that is given and less */
    double jitter;              /* up to this part of the delay is added: 0.5 is half. 0: none */
    int64_t crawl_delay_max_ms; /* 0 means LIMIT_GATE_CRAWL_DELAY_MS; -1: it is not looked at */
    bool no_throttle;           /* latency does not count; 429 and 503 do all the same */
    bool is_proxied;
    uint64_t seed;           /* of the jitter; 0: any */
    const char *shared_path; /* SQLite file for all processes of this user or engine; NULL: none */
} GateOpts;

/* The gate of one host or address. */
typedef struct GateKey {
    int64_t next_ns;        /* not before */
    int64_t last_ns;        /* when a request last began or ended; 0: never */
    int64_t delay_ns;       /* its own, without throttling */
    int64_t crawl_delay_ns; /* what robots.txt asks, not cut; -1: nothing */
    uint32_t n_active;      /* requests between enter and leave */
    uint32_t at_once;       /* at least 1 */
    bool is_host;           /* else an address */
    bool is_known;          /* its class is; otherwise it has one request at once (G3) */
    bool is_public;         /* once known */
    bool is_capped;         /* its Crawl-delay is more than the cap */
    Throttle throttle;      /* of a host */
} GateKey;

/* An address, and the hosts that wait for it in turn; the scheduler's lists. */
typedef struct GateAddress {
    GateKey key;
    List waiting;
    HeapNode timed; /* while its waiting hosts wait for its delay */
    char text[];    /* "192.0.2.7", "2001:db8::1" */
} GateAddress;

typedef struct Gate Gate;

MUST Gate *gate_new(const GateOpts *opts);
void gate_free(Gate *gate);
DEFINE_AUTO(Gate *, gate_free);

/* Begin with a host: its class is known at once when HOST is a number or "localhost". */
void gate_host_init(const Gate *gate, GateKey *key, Str host);

/* The gate of an address, the same for all who ask. Borrowed; NULL when addresses do not count
 * (behind a proxy, no address, more than LIMIT_GATE_ADDRESSES). */
GateAddress *gate_address(Gate *gate, const NetAddress *address);

/* The host's first answer came from ADDRESS (or from nobody knows whom): its class is known. */
void gate_host_known(const Gate *gate, GateKey *host, const NetAddress *address);

/* What its robots.txt asks; -1: nothing. The greatest of several counts. */
void gate_host_crawl_delay(const Gate *gate, GateKey *host, int64_t delay_ms);

enum {
    GATE_LATER = 1, /* not before *ret_when_ns */
    GATE_FULL = 2,  /* as many as may be are under way: ask again after a gate_leave */
};

/* Whether a request of KEY may begin at NOW: 0, GATE_LATER, GATE_FULL. Changes nothing. */
MUST int gate_may(const GateKey *key, int64_t now_ns, int64_t *ret_when_ns);

/* It begins; asserted that it may. */
void gate_enter(Gate *gate, GateKey *key, int64_t now_ns);

/* What is known of an answer, for throttle.h. */
typedef struct GateAnswer {
    int status; /* 0: none came */
    int64_t began_ns;
    int64_t latency_ns;
    int64_t retry_after_ms; /* -1: none */
} GateAnswer;

/* The request has ended. ANSWER is NULL for addresses, and when nothing is to be learnt from it. */
void gate_leave(Gate *gate, GateKey *key, const GateAnswer *answer, int64_t now_ns);

/* A request that went through other gates has ended at KEY, as it turned out: the next one there
 * comes its delay later. */
void gate_follow(Gate *gate, GateKey *key, int64_t now_ns);

/* What lies between two requests of KEY at this moment, throttling included, without jitter. */
int64_t gate_delay_ns(const GateKey *key);

/* Whether other processes must be asked too: it has a delay, or fewer at once than the crawl. */
bool gate_is_strict(const Gate *gate, const GateKey *key);
