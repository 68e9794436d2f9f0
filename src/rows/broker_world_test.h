/*
 * For tests of sources of brokers: a program that runs beside the test, and what came, counted.
 */
#pragma once

#include "base/macro.h"
#include "base/test.h"
#include "base/test_port.h"
#include "net/address.h"
#include "net/stream.h"
#include "rows/source_world_int.h"

#include <sluice/rt.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#define BROKER_NUMBERS 20000
#define BROKER_WAIT_MS 80000 /* for one to come up: on a busy machine that takes its time */

static inline bool broker_has(const char *program)
{
    char command[200];

    (void) snprintf(command, sizeof(command),
                    "PATH=$PATH:/usr/sbin:/usr/lib/rabbitmq/bin command -v %s >/dev/null 2>&1",
                    program);
    return system(command) == 0;
}

static inline NetAddress broker_address(uint16_t port)
{
    NetAddress address = { .len = 0 };
    char text[64];

    (void) snprintf(text, sizeof(text), "127.0.0.1:%u", port);
    EXPECT_OK(net_address_parse(str_from_c(text), &address));
    return address;
}

/* Connect to PORT, again and again until somebody listens there. */
SUSPENDS static inline int broker_connect(uint16_t port, Stream **ret_stream)
{
    NetAddress address = broker_address(port);
    int r = 0;

    for (int i = 0; i < BROKER_WAIT_MS / 10; i++) {
        r = stream_connect(&address, ret_stream);
        if (r == 0 || sl_is_cancelled())
            return r;
        r = sl_sleep_ms(10);
        if (r < 0)
            return r;
    }
    return fail(-ERR_UNAVAILABLE, "the broker does not come up");
}

SUSPENDS static inline int broker_await(uint16_t port)
{
    Stream *stream = NULL;
    int r = broker_connect(port, &stream);

    if (r == 0)
        stream_close(stream);
    return r;
}

typedef struct BrokerWait {
    SourceWorld *world;
    uint64_t n;
} BrokerWait;

SUSPENDS static inline int broker_wait_fiber(void *arg)
{
    const BrokerWait *wait = arg;
    int r = 0;

    while (r == 0 && wait->world->rows + wait->world->refused < wait->n)
        r = sl_cond_wait(&wait->world->changed);
    return r;
}

/* As source_world_wait_rows, for as long as a broker may take to come up. */
SUSPENDS static inline void broker_wait_rows(SourceWorld *world, uint64_t n)
{
    BrokerWait wait = { world, n };

    EXPECT_OK(sl_with_timeout(BROKER_WAIT_MS, broker_wait_fiber, &wait));
}

/* Wait until the source has said that it is down. */
SUSPENDS static inline int broker_down_fiber(void *arg)
{
    SourceWorld *world = arg;
    int r = 0;

    while (r == 0 && world->is_up)
        r = sl_cond_wait(&world->changed);
    return r;
}

SUSPENDS static inline void broker_wait_down(SourceWorld *world)
{
    EXPECT_OK(sl_with_timeout(BROKER_WAIT_MS, broker_down_fiber, world));
}

/* Which of the numbers 0 … n-1 came as "value" in what the world wrote down, and how often. */
typedef struct BrokerTally {
    uint8_t seen[BROKER_NUMBERS];
    size_t missing, doubled;
} BrokerTally;

static inline void broker_tally(const SourceWorld *world, size_t n, BrokerTally *tally)
{
    Str rest = buf_str(&world->text), line;

    memset(tally, 0, sizeof(*tally));
    while (rest.len > 0) {
        static const char key[] = "\"value\":";
        char copy[32];
        const char *at;
        unsigned long number;
        Str digits;

        line = str_cut(rest, '\n', &rest);
        at = memmem(line.data, line.len, key, sizeof(key) - 1);
        if (!at)
            continue;
        digits = str_sub(line, (size_t) (at - line.data) + sizeof(key) - 1, sizeof(copy) - 1);
        memcpy(copy, digits.data, digits.len);
        copy[digits.len] = 0;
        number = strtoul(copy, NULL, 10);
        if (number < n && tally->seen[number] < 255)
            tally->seen[number]++;
    }
    for (size_t i = 0; i < n; i++) {
        tally->missing += tally->seen[i] == 0;
        tally->doubled += tally->seen[i] > 1;
    }
}
