/*
 * gate: the numbers of each class and of each flag, and over random schedules on a clock of our own
 * that no key ever has more requests than it may, or two closer than its delay.
 */
#include "base/limits.h"
#include "base/macro.h"
#include "base/rand.h"
#include "base/test.h"
#include "handlers/crawl/gate.h"

#define MS NS_PER_MS

static NetAddress address_of(const char *text)
{
    NetAddress address = { 0 };

    EXPECT_OK(net_address_parse(str_from_c(text), &address));
    return address;
}

static GateKey host_at(const Gate *gate, const char *name, const char *address_text)
{
    NetAddress address = address_of(address_text);
    GateKey key;

    gate_host_init(gate, &key, str_from_c(name));
    gate_host_known(gate, &key, &address);
    return key;
}

TEST(public_hosts_are_spared_and_private_ones_are_not)
{
    AUTO(gate_free)
    Gate *gate = gate_new(&(GateOpts){ .concurrency = 50, .delay_ms = -1, .address_delay_ms = -1 });
    GateKey key = host_at(gate, "shop.test", "8.8.8.8:80");
    NetAddress address = address_of("8.8.8.8:80");

    EXPECT_EQ(key.at_once, 2);
    EXPECT_EQ(key.delay_ns, 250 * MS);
    EXPECT_EQ(gate_address(gate, &address)->key.at_once, 4);
    EXPECT_EQ(gate_address(gate, &address)->key.delay_ns, 100 * MS);
    EXPECT(gate_is_strict(gate, &key));

    key = host_at(gate, "shop.test", "127.0.0.1:80");
    address = address_of("10.0.0.1:80");
    EXPECT_EQ(key.at_once, 50);
    EXPECT_EQ(key.delay_ns, 0);
    EXPECT_EQ(gate_address(gate, &address)->key.at_once, 50);
    EXPECT_EQ(gate_address(gate, &address)->key.delay_ns, 0);
    EXPECT(!gate_is_strict(gate, &key));
}

/* A host of which nothing is known might be anybody's: one request, and the public delay. */
TEST(a_host_is_probed_with_one_request)
{
    AUTO(gate_free)
    Gate *gate = gate_new(&(GateOpts){ .concurrency = 50, .delay_ms = -1, .address_delay_ms = -1 });
    GateKey key;

    gate_host_init(gate, &key, STR_C("shop.test"));
    EXPECT(!key.is_known);
    EXPECT_EQ(key.at_once, 1);
    gate_host_init(gate, &key, STR_C("127.0.0.1"));
    EXPECT(key.is_known && !key.is_public);
    gate_host_init(gate, &key, STR_C("localhost"));
    EXPECT(key.is_known && !key.is_public);
    gate_host_init(gate, &key, STR_C("::1"));
    EXPECT(key.is_known && !key.is_public);
    EXPECT_EQ(key.at_once, 50);
    gate_host_init(gate, &key, STR_C("8.8.8.8"));
    EXPECT(key.is_known && key.is_public);
    gate_host_init(gate, &key, STR_C("unix"));
    EXPECT(!key.is_known);
}

TEST(explicit_numbers_win_over_the_class)
{
    AUTO(gate_free)
    Gate *gate = gate_new(
        &(GateOpts){ .concurrency = 50, .host_at_once = 8, .delay_ms = 0, .address_delay_ms = -1 });
    NetAddress address = address_of("8.8.8.8:80");
    GateKey key = host_at(gate, "shop.test", "8.8.8.8:80");

    EXPECT_EQ(key.at_once, 8);
    EXPECT_EQ(key.delay_ns, 0);
    EXPECT_EQ(gate_address(gate, &address)->key.at_once, 8);
    EXPECT_EQ(gate_address(gate, &address)->key.delay_ns, 0);
    key = host_at(gate, "a.test", "127.0.0.1:80");
    EXPECT_EQ(key.at_once, 8);
}

TEST(behind_a_proxy_everybody_is_public)
{
    AUTO(gate_free)
    Gate *gate = gate_new(&(GateOpts){
        .concurrency = 50, .delay_ms = -1, .address_delay_ms = -1, .is_proxied = true });
    NetAddress address = address_of("127.0.0.1:3128");
    GateKey key = host_at(gate, "shop.test", "127.0.0.1:3128");

    EXPECT_EQ(key.at_once, 2);
    EXPECT_EQ(key.delay_ns, 250 * MS);
    EXPECT(!gate_address(gate, &address));
}

TEST(crawl_delay_raises_the_delay_up_to_a_cap)
{
    AUTO(gate_free)
    Gate *gate = gate_new(&(GateOpts){
        .concurrency = 50, .delay_ms = 500, .address_delay_ms = -1, .crawl_delay_max_ms = 10000 });
    AUTO(gate_free)
    Gate *deaf = gate_new(
        &(GateOpts){ .delay_ms = 500, .address_delay_ms = -1, .crawl_delay_max_ms = -1 });
    GateKey key = host_at(gate, "shop.test", "127.0.0.1:80");

    gate_host_crawl_delay(gate, &key, 100);
    EXPECT_EQ(key.delay_ns, 500 * MS);
    gate_host_crawl_delay(gate, &key, 3000);
    EXPECT_EQ(key.delay_ns, 3000 * MS);
    EXPECT(!key.is_capped);
    gate_host_crawl_delay(gate, &key, INT64_MAX);
    EXPECT_EQ(key.delay_ns, 10000 * MS);
    EXPECT(key.is_capped);

    key = host_at(deaf, "shop.test", "127.0.0.1:80");
    gate_host_crawl_delay(deaf, &key, 3000);
    EXPECT_EQ(key.delay_ns, 500 * MS);
}

TEST(the_delay_counts_from_the_end_of_the_answer)
{
    AUTO(gate_free)
    Gate *gate = gate_new(
        &(GateOpts){ .host_at_once = 2, .delay_ms = 100, .address_delay_ms = -1 });
    GateKey key = host_at(gate, "shop.test", "127.0.0.1:80");
    int64_t when = 0;

    gate_enter(gate, &key, 1000 * MS);
    EXPECT_EQ(gate_may(&key, 1050 * MS, &when), GATE_LATER);
    EXPECT_EQ(when, 1110 * MS); /* with what it may lose on its way */
    gate_leave(gate, &key, NULL, 5000 * MS);
    EXPECT_EQ(gate_may(&key, 5050 * MS, &when), GATE_LATER);
    EXPECT_EQ(when, 5100 * MS);
    EXPECT_EQ(gate_may(&key, 5100 * MS, &when), 0);
}

/* The request that fetched robots.txt is one of those that the delay lies between. */
TEST(a_crawl_delay_counts_from_the_request_that_brought_it)
{
    AUTO(gate_free) Gate *gate = gate_new(&(GateOpts){ .delay_ms = -1, .address_delay_ms = -1 });
    NetAddress address = address_of("127.0.0.1:80");
    GateKey key;
    int64_t when = 0;

    gate_host_init(gate, &key, STR_C("shop.test"));
    gate_enter(gate, &key, 1000 * MS);
    EXPECT_EQ(gate_may(&key, 5000 * MS, &when), GATE_FULL);
    gate_host_known(gate, &key, &address);
    gate_leave(gate, &key, NULL, 1010 * MS);
    EXPECT_EQ(gate_may(&key, 1010 * MS, &when), 0); /* it is not public after all */
    gate_host_crawl_delay(gate, &key, 200);
    EXPECT_EQ(gate_may(&key, 1011 * MS, &when), GATE_LATER);
    EXPECT_EQ(when, 1210 * MS);
}

/* Ports are not servers. */
TEST(an_address_is_one_whatever_the_port)
{
    AUTO(gate_free) Gate *gate = gate_new(&(GateOpts){ .delay_ms = -1, .address_delay_ms = -1 });
    NetAddress a = address_of("192.0.2.7:80"), b = address_of("192.0.2.7:8080"),
               c = address_of("[2001:db8::1]:80"), none = { 0 };

    EXPECT(gate_address(gate, &a) == gate_address(gate, &b));
    EXPECT(gate_address(gate, &a) != gate_address(gate, &c));
    EXPECT(!gate_address(gate, &none));
}

/* G1, G2 and G4 by a witness that only sees when requests begin and end. */
typedef struct Witness {
    size_t at_once;
    int64_t delay_ns, last_begin_ns, last_end_ns;
    size_t n_active;
} Witness;

static void see_begin(Witness *witness, int64_t now_ns)
{
    EXPECT(++witness->n_active <= witness->at_once);
    EXPECT(now_ns >= witness->last_begin_ns + witness->delay_ns);
    EXPECT(now_ns >= witness->last_end_ns + witness->delay_ns);
    witness->last_begin_ns = now_ns;
}

TEST(no_schedule_breaks_the_promises)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        Rand rand;
        int64_t ends[64], begins[64], now_ns = 1, when_ns;
        size_t n = 0;

        rand_init(&rand, seed);
        GateOpts opts = {
            .concurrency = 64,
            .host_at_once = 1 + rand_below(&rand, 8),
            .delay_ms = (int64_t) rand_below(&rand, 500),
            .address_delay_ms = -1,
            .jitter = rand_unit(&rand),
            .seed = seed,
        };
        AUTO(gate_free) Gate *gate = gate_new(&opts);
        GateKey key = host_at(gate, "shop.test", "8.8.8.8:80");
        Witness witness = { .at_once = opts.host_at_once,
                            .delay_ns = opts.delay_ms * MS,
                            .last_begin_ns = INT64_MIN / 2,
                            .last_end_ns = INT64_MIN / 2 };

        for (int step = 0; step < 500; step++) {
            now_ns += (int64_t) rand_below(&rand, 120) * MS;
            for (size_t i = 0; i < n; i++) {
                static const int statuses[] = { 200, 200, 200, 0, 429, 503, 404 };
                GateAnswer answer = { .status = statuses[rand_below(&rand, 7)],
                                      .began_ns = begins[i],
                                      .latency_ns = now_ns - begins[i],
                                      .retry_after_ms = (int64_t) rand_below(&rand, 300) - 200 };

                if (ends[i] > now_ns)
                    continue;
                answer.retry_after_ms = MAX(answer.retry_after_ms, (int64_t) -1);
                gate_leave(gate, &key, rand_below(&rand, 4) ? &answer : NULL, now_ns);
                witness.n_active--;
                witness.last_end_ns = now_ns;
                ends[i] = ends[--n];
                begins[i--] = begins[n];
            }
            if (gate_may(&key, now_ns, &when_ns) == 0) {
                see_begin(&witness, now_ns);
                gate_enter(gate, &key, now_ns);
                begins[n] = now_ns;
                ends[n++] = now_ns + (int64_t) rand_below(&rand, 800) * MS;
            }
            EXPECT_EQ(key.n_active, n);
        }
    }
}

TEST_MAIN()
