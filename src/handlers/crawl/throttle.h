/*
 * Throttling: how a host's answers change the pace at which it is asked.
 *
 *   good answer   the delay moves half-way up to latency / at_once, the pace at which a server that
 *                 takes that long has at_once requests to chew on (Scrapy's AutoThrottle), or down
 *                 by a tenth; it never falls below the host's own delay. Hosts whose own delay is 0
 *                 are not slowed by latency.
 *   429, 503      half the rate: the delay doubles, and the host pauses for Retry-After, cut to
 *                 LIMIT_THROTTLE_RETRY_AFTER_MS, or for as long as the delay.
 *   no answer     from the third in a row on the host pauses, twice as long each time.
 *   5xx, 4xx      errors are quick to send: they never make the delay shorter.
 *
 * Answers to requests that began before the last push-back say nothing new: twenty of them at once
 * halve the rate once.
 *
 * Pure functions of (state, event, now). A zeroed Throttle is a host of which nothing is known.
 */
#pragma once

#include "base/text.h"

typedef struct Throttle {
    int64_t delay_ns;      /* the delay is the greater of it and the host's own */
    int64_t pause_ns;      /* not before this time, on the clock of the events */
    int64_t pushed_ns;     /* when it last was pushed back or gave no answer */
    int64_t latency_ns;    /* moving mean of good answers */
    uint32_t n_pushed;     /* 429 and 503 so far */
    uint32_t n_failed_row; /* answers missing in a row */
} Throttle;

typedef struct ThrottleEvent {
    int status;             /* 0: no answer */
    int64_t began_ns;       /* when the request began */
    int64_t latency_ns;     /* until the first byte of the answer */
    int64_t retry_after_ms; /* as it asked; -1: it did not */
    bool is_adaptive;       /* latency counts; otherwise only 429, 503 and missing answers do */
    int64_t own_delay_ns;   /* of the host, without throttling */
    size_t at_once;         /* of the host, at least 1 */
} ThrottleEvent;

/* Learn from EVENT, which ended at NOW. */
void throttle_learn(Throttle *throttle, const ThrottleEvent *event, int64_t now_ns);

/* The delay between two requests, at least OWN_DELAY_NS. */
int64_t throttle_delay_ns(const Throttle *throttle, int64_t own_delay_ns);
