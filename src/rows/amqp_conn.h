/*
 * A consumer of one queue of an AMQP 0-9-1 broker, for fibers; over librabbitmq.
 *
 * Opening and closing run on a pool thread, because the library waits there. In between nothing
 * does: the fiber waits for the socket, and the library is asked only for frames that are there.
 * Messages are put together here, because the library's own call for whole ones would wait in their
 * middle.
 *
 * Deliveries are numbered by the broker, from 1 on each connection. What is settled is acknowledged
 * by amqp_conn_pay: all that is settled from the oldest on with one frame (multiple), and what is
 * settled behind a gap one by one once a quarter of the prefetch waits there; so much of it that
 * the broker stops sending when the gap stays.
 */
#pragma once

#include "base/text.h"
#include "net/address.h"

#include <sluice/rt.h>

typedef struct AmqpConn AmqpConn;

/* X(NAME, "word") */
#define AMQP_DECLARES(X)  \
    X(PASSIVE, "passive") \
    X(DURABLE, "durable") \
    X(NONE, "none")

typedef enum AmqpDeclare {
#define AMQP_DECLARE_ENUM_(name, word) AMQP_DECLARE_##name,
    AMQP_DECLARES(AMQP_DECLARE_ENUM_)
#undef AMQP_DECLARE_ENUM_
} AmqpDeclare;

/* Texts are NUL-terminated and outlive the connection. */
typedef struct AmqpOpts {
    const char *host;
    uint16_t port; /* 0: 5672, with TLS 5671 */
    bool is_tls;
    bool is_insecure;
    bool is_public_only;
    const char *ca, *cert, *key; /* NULL: the system's; none */
    const char *vhost;
    const char *user, *password;
    const char *queue;
    AmqpDeclare declare;
    const char *exchange, *binding; /* the queue is bound to it; NULL: not */
    uint16_t prefetch;
    int heartbeat_s; /* 0: none */
} AmqpOpts;

/* 0; *RET_CAN_MEND says whether an error may go away: a refused login and a queue that may not be
 * used do not. */
MUST SUSPENDS int amqp_conn_open(const AmqpOpts *opts, AmqpConn **ret_conn, bool *ret_can_mend);

/* What is not acknowledged the broker gives to another. NULL is nothing. */
SUSPENDS void amqp_conn_close(AmqpConn *conn);
SUSPENDS static inline void amqp_conn_close_auto_(AmqpConn **slot)
{
    amqp_conn_close(*slot);
}

/* Borrowed until the next call. */
typedef struct AmqpMessage {
    uint64_t tag;
    Str routing_key;
    Str body;
    bool is_repeat;
} AmqpMessage;

/* The next message that is there: 0; AMQP_NOTHING; AMQP_OVERSIZE: one that was rejected; or why
 * the connection is lost. Does not wait. */
enum { AMQP_NOTHING = 1, AMQP_OVERSIZE = 2 };
MUST int amqp_conn_try_next(AmqpConn *conn, AmqpMessage *ret_message);

/* Wait until bytes are there. */
MUST SUSPENDS int amqp_conn_wait(AmqpConn *conn);

/* The delivery is done with: ASK it to come again, or not. Nothing is sent before amqp_conn_pay. */
void amqp_conn_settle(AmqpConn *conn, uint64_t tag, bool shall_come_again);

/* Deliveries that are settled and not acknowledged. */
size_t amqp_conn_owed(const AmqpConn *conn);

/* Acknowledge; waits while the socket is full. IS_LAST: everything, gaps or not. */
MUST SUSPENDS int amqp_conn_pay(AmqpConn *conn, bool is_last);

/*
 * Say that we are there, and ask whether the queue is (a passive declare, unless nothing is to be
 * declared): brokers have been seen that delete a queue and do not tell its consumers.
 */
MUST SUSPENDS int amqp_conn_beat(AmqpConn *conn);

/* Whoever waits returns with an error. */
void amqp_conn_abort(AmqpConn *conn);
