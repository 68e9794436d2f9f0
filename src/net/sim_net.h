/*
 * The simulated network: streams and listeners in memory, as bad as a seed says.
 *
 * Latency, short reads and writes, bounded windows, connections that are cut (reset) or go silent
 * (half-open: bytes vanish, no end ever comes). It uses the loop's timers and random numbers only,
 * so it works on every loop; on the simulated one a seed repeats a run exactly. One loop owns a
 * network; it must outlive its streams.
 */
#pragma once

#include "net/listener.h"
#include "net/stream.h"

typedef struct SimNet SimNet;

typedef struct SimNetOpts {
    int64_t latency_min_us; /* of each segment */
    int64_t latency_max_us; /* drawn evenly between the two; 0 and 0 mean none */
    size_t window_bytes;    /* in flight one way before writes wait; 0 means 256 KiB */
    double short_read;      /* chance that a read gives less than is there */
    double short_write;     /* chance that a write takes less than is given */
    double cut;             /* chance, for each write, that the connection is reset */
    double silence;         /* chance, for each write, that the connection goes half-open */
    double refuse;          /* chance that a connect is refused */
} SimNetOpts;

/* A network that is perfect where OPTS (may be NULL) says nothing. */
SimNet *sim_net_new(const SimNetOpts *opts);
void sim_net_free(SimNet *net);
DEFINE_AUTO(SimNet *, sim_net_free);

/* Two connected ends. */
void sim_net_pair(SimNet *net, Stream **ret_a, Stream **ret_b);

/* Listen under NAME. 0, or -EADDRINUSE. */
MUST int sim_net_listen(SimNet *net, const char *name, Listener **ret_listener);

/* Connect to the listener called NAME. 0, -ECONNREFUSED. */
MUST SUSPENDS int sim_net_connect(SimNet *net, const char *name, Stream **ret_stream);

/* Change what happens from here on. */
void sim_net_set(SimNet *net, const SimNetOpts *opts);

/* Reset the connection under STREAM, as a pulled router would: both ends get -ECONNRESET. */
void sim_stream_cut(Stream *stream);

/* From here on nothing arrives either way, and nobody is told. */
void sim_stream_silence(Stream *stream);
