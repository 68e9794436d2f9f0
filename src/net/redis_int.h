/*
 * Inside net/redis: a client, its nodes, its calls.
 *
 *   redis.c           the face: start, stop, about; the fiber that keeps all others
 *   redis_calls.c     calls of fibers: handed over, waited for, ended
 *   redis_answers.c   answers, redirections, what a lost connection leaves behind
 *   redis_clock.c     silence, patience, calls that are tried later
 *   redis_queue.c     the bytes of commands until they are answered
 *   redis_conn.c      one node's connection: reader, writer, reconnect
 *   redis_hello.c     one connection as bytes and frames; the greeting
 *   redis_dial.c      how a host is reached: name, TCP, TLS, Unix socket
 *   redis_topology.c  Sentinel and the map of a Cluster
 *   redis_sub.c       subscriptions
 *
 * A call that was handed over is a Pending. It is in exactly one queue at a time:
 *
 *   node->unsent ---writer---> node->sent ---answer---> (held until its barrier) ---> free
 *        ^                        |  lost connection: back, in front
 *        '---- redis->later <-----'  TRYAGAIN, no node for its slot, …: after a while
 *
 *   R1  The bytes of a Pending lie in one chunk, which it holds a count of until it is free.
 *   R2  sent is in the order of the answers that are due; held comes before it in time.
 *   R3  The caller of a Pending may leave (call is NULL then); its place in sent stays.
 *   R4  A waiter's `left` is the number of Pendings that point to it.
 */
#pragma once

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "net/redis.h"

#include <sluice/rt.h>

#define REDIS_NAME_BYTES  288
#define REDIS_WORDS_BYTES 200

/* Write words for people, cut to what fits. */
void redis_say(char out[static REDIS_WORDS_BYTES], const char *fmt, ...) SL_PRINTF(2, 3);

/* ---- calls --------------------------------------------------------------------------------- */

typedef struct RedisNode RedisNode;
typedef struct RedisSubLine RedisSubLine;

/* A fiber inside redis_call or redis_call_many; on its stack. */
typedef struct RedisWaiter {
    size_t left;
    sl_event done;
    bool has_words;
    char words[REDIS_WORDS_BYTES]; /* of the first error of ours; NUL-terminated */
} RedisWaiter;

/* Bytes of commands; refs counts the Pendings in it and a writer that is writing it. */
typedef struct RedisChunk {
    struct RedisChunk *next; /* among the free ones */
    size_t refs;
    size_t len, cap;
    char data[];
} RedisChunk;

typedef struct Pending {
    struct Pending *next;
    RedisCall *call;     /* NULL: nobody waits any more, or a barrier */
    RedisWaiter *waiter; /* NULL together with call */
    int *ret_r;
    int64_t deadline_ns; /* of its patience */
    int64_t due_ns;      /* in later: when it is tried again */
    RedisChunk *chunk;
    size_t at, len;  /* its bytes in the chunk */
    size_t again_at; /* from AT; SIZE_MAX for none */
    int32_t slot;
    unsigned sends;
    unsigned redirects;
    unsigned waits;  /* times it was put into later */
    int r;           /* held: what it will be answered with */
    uint8_t skip;    /* answers that come before its own: ASKING's */
    bool is_asking;  /* its bytes begin with ASKING */
    bool is_barrier; /* WAIT or WAITAOF */
    bool is_write, is_once;
} Pending;

typedef struct PendingQueue {
    Pending *first, *last;
} PendingQueue;

static inline void queue_push(PendingQueue *queue, Pending *pending)
{
    pending->next = NULL;
    if (queue->last)
        queue->last->next = pending;
    else
        queue->first = pending;
    queue->last = pending;
}

static inline Pending *queue_pop(PendingQueue *queue)
{
    Pending *pending = queue->first;

    if (pending) {
        queue->first = pending->next;
        if (!queue->first)
            queue->last = NULL;
    }
    return pending;
}

/* Move all of FROM behind what TO has. */
void queue_append(PendingQueue *to, PendingQueue *from);

/* ---- one connection as bytes ---------------------------------------------------------------- */

typedef struct RedisLine {
    Stream *stream;
    char *in;
    size_t in_cap, in_from, in_to; /* bytes from..to are there and not consumed */
    RespScan scan;
} RedisLine;

/* What a greeting found. */
typedef struct RedisGreeting {
    unsigned protocol, version;
    bool is_valkey, is_cluster, is_sentinel, is_loading;
} RedisGreeting;

/* Connect to HOST and greet; within opts.connect_ms. For Sentinel with its own user. */
typedef enum RedisLineKind { REDIS_LINE_NODE, REDIS_LINE_SENTINEL } RedisLineKind;
MUST SUSPENDS int redis_line_open(Redis *redis, const RedisHost *host, RedisLineKind kind,
                                  RedisLine *ret_line, RedisGreeting *ret_greeting);
SUSPENDS void redis_line_close(RedisLine *line);

/* The next frame, good until the next call for one. try_frame: 0, RESP_MORE or an error. */
MUST int redis_line_try_frame(RedisLine *line, Str *ret_frame);
MUST SUSPENDS int redis_line_fill(RedisLine *line); /* read more; -ERR_CLOSED at the end */
MUST SUSPENDS int redis_line_frame(RedisLine *line, Str *ret_frame);

/* Ask and wait, on a line that nobody else uses. */
MUST SUSPENDS int redis_line_ask(RedisLine *line, Arena *arena, RespValue *ret_value, size_t argc,
                                 const Str *argv);

/* The same, for at most opts.answer_ms. */
MUST SUSPENDS int redis_line_ask_timed(Redis *redis, RedisLine *line, Arena *arena,
                                       RespValue *ret_value, size_t argc, const Str *argv);

/* An error of a connection as -ERR_UNAVAILABLE with its words; what is no error, and a
 * cancellation, as it is. */
MUST int redis_unavailable(int r);

/* How a host is reached when the opts say nothing: redis_dial.c. */
MUST SUSPENDS int redis_dial(Redis *redis, const RedisHost *host, Stream **ret_stream);

/* What all connections of a client with TLS share. */
MUST SUSPENDS int redis_tls_init(Redis *redis);
void redis_tls_deinit(Redis *redis);

/* ---- nodes ---------------------------------------------------------------------------------- */

struct RedisNode {
    Redis *redis;
    RedisHost host; /* name points to host_name */
    char host_name[256];
    char name[REDIS_NAME_BYTES]; /* "host:port", or the socket's path */
    bool is_master;              /* in redis->masters: calls may be routed to it */
    bool is_running;             /* has its fiber */
    bool is_wanted;              /* shall have it */
    int64_t made_ns;
    RedisGreeting greeting; /* of the last connect */

    /* the connection */
    RedisLine line;
    bool is_up;
    bool was_up;
    int64_t up_ns; /* since when */
    bool is_tried; /* the first connect has ended, in first_r and first_err */
    int first_r;
    Err first_err;
    sl_cond tried;
    unsigned failures; /* connects and short lives in a row */
    sl_scope *backoff; /* the wait before the next connect, to be cut short; or NULL */
    bool is_broken;    /* aborted by us, for the reason in words */
    char words[REDIS_WORDS_BYTES];

    RedisSubLine *sub; /* its connection for messages; NULL until one is needed */

    /* calls */
    PendingQueue unsent, sent, held;
    RedisChunk *tail; /* where commands are added; NULL or holds a count */
    size_t unsent_bytes;
    bool is_barrier_due;
    int64_t waiting_since_ns; /* since when an answer is due and nothing has come; 0: none is due */
    sl_cond can_write;
    sl_cond room;
};

/* Make sure that the node's fiber runs: soon, or at once for all that are wanted. */
void redis_node_want(RedisNode *node);
SUSPENDS void redis_nodes_spawn(Redis *redis);

/* End its connection, for a reason, and make it anew. */
void redis_node_break(RedisNode *node, const char *words);

/* Before the next connect: grows with FAILURES, and is never the same for two clients. */
int64_t redis_backoff_ms(unsigned failures);

/* Hand PENDING over to NODE. Its bytes are in a chunk already. */
void redis_node_push(RedisNode *node, Pending *pending);

/* ---- the client ----------------------------------------------------------------------------- */

typedef struct RedisSubs RedisSubs;

struct Redis {
    RedisOpts opts;
    RedisUrl url;
    Arena arena;            /* texts of opts and url */
    struct TlsContext *tls; /* NULL without TLS */
    sl_nursery *fibers;
    bool is_started, is_stopping;
    sl_event ready, stop, ended;
    size_t n_inside; /* fibers in redis_call */
    sl_cond outside;

    RedisNode *nodes[LIMIT_REDIS_NODES * 2]; /* all that were ever known, owned */
    size_t n_nodes;
    RedisNode *masters[LIMIT_REDIS_NODES];
    size_t n_masters;
    size_t next_any;   /* turns of REDIS_ANY */
    size_t next_asked; /* of who is asked for the map */
    RedisNode **slots; /* of a cluster: node by slot, NULL for none; NULL for one server */

    bool is_map_stale; /* the topology's fiber shall look again */
    sl_cond map_wanted;

    PendingQueue later;
    Pending *free_pendings;
    size_t n_pendings;
    RedisChunk *free_chunks;
    size_t n_free_chunks;

    int64_t watch_ns; /* when the clock's fiber looks next; INT64_MAX: nothing to look at */
    sl_cond watch_changed;

    RedisSubs *subs;

    uint64_t calls, writes, reconnects, resent;
    char last_error[REDIS_WORDS_BYTES];
};

/* ---- redis_queue.c -------------------------------------------------------------------------- */

Pending *redis_pending_new(Redis *redis);
void redis_pending_free(Redis *redis, Pending *pending);

/* Encode CALL into NODE's tail (or, with NULL, a chunk of its own). 0 or -ENOMEM. */
MUST int redis_encode(Redis *redis, RedisNode *node, Pending *pending, const RedisCall *call);

/* Move PENDING's bytes to NODE's tail; ASKING is put before them or taken away. 0 or -ENOMEM. */
MUST int redis_recode(Redis *redis, RedisNode *node, Pending *pending, bool is_asking);

void redis_chunk_ref(RedisChunk *chunk);
void redis_chunk_unref(Redis *redis, RedisChunk *chunk);

/* ---- redis_calls.c -------------------------------------------------------------------------- */

/* End PENDING with R; WORDS for what is below zero. Frees it. */
void redis_finish(Redis *redis, Pending *pending, int r, const char *words);

/* The caller of PENDING hears R; its place stays: R3. */
void redis_detach(Pending *pending, int r, const char *words);

/* All calls end with -ERR_CLOSED. */
void redis_fail_all(Redis *redis);

/* ---- redis_answers.c ------------------------------------------------------------------------ */

/* An answer for PENDING, which has left its queue: ends it, holds it, or sends it elsewhere. An
 * error is the connection's. */
MUST int redis_take_answer(RedisNode *node, Pending *pending, Str frame);

/* Route PENDING to NODE, or with NULL to where its slot is; into later when that is nowhere. */
void redis_route_pending(Redis *redis, Pending *pending, bool is_asking, RedisNode *node);

/* Try PENDING again after a little while. */
void redis_put_later(Redis *redis, Pending *pending);

/* The node's connection is lost: what was sent goes back in front, in order; what may not be sent
 * again, or is awaited by nobody, ends. */
void redis_take_back(RedisNode *node, const char *words);

int64_t redis_barrier_ms(const Redis *redis); /* what a write's confirmation may take */

/* ---- redis_clock.c -------------------------------------------------------------------------- */

/* The clock looks at AT_NS, if not before. */
void redis_watch(Redis *redis, int64_t at_ns);
SUSPENDS int redis_clock_run(void *redis);

/* ---- redis_topology.c ----------------------------------------------------------------------- */

/* Find the masters and set them. 0, or why not. */
MUST SUSPENDS int redis_topology_find(Redis *redis);
SUSPENDS int redis_topology_run(void *redis);
SUSPENDS int redis_sentinel_run(void *redis); /* ends at once where there is none */
void redis_topology_refresh(Redis *redis);    /* soon; asked twice is once */
void redis_topology_lost(RedisNode *node);    /* its connection is lost, or could not be made */

/* The node for a slot, REDIS_ANY or REDIS_NODE; NULL when there is none at present. */
RedisNode *redis_node_for(Redis *redis, int32_t slot);

/* Of the oldest master seen; 0 before. */
unsigned redis_version(const Redis *redis);

/* The node at HOST, made when it is not known; NULL over the limit. */
RedisNode *redis_node_at(Redis *redis, Str host, uint16_t port);

/* ---- redis_sub.c ---------------------------------------------------------------------------- */

void redis_subs_init(Redis *redis);
SUSPENDS int redis_subs_run(void *redis);
void redis_subs_moved(Redis *redis); /* the map has changed */
void redis_subs_free(Redis *redis);
