/*
 * What the parts of the MQTT client share.
 *
 *   mqtt.c        the loop of a subscriber: connect, read, hand out, connect again
 *   mqtt_line.c   one connection: dial, TLS, greeting, bytes in and out
 *   mqtt_debts.c  what the server must hear of, by identifier and in order
 */
#pragma once

#include "net/mqtt.h"

#include "base/arena.h"
#include "base/err.h"

#include <sluice/rt.h>

/* X(NAME, "where it stands") */
#define MQTT_DEBT_STATES(X)                                                                      \
    X(FREE, "the identifier is not in use")                                                      \
    X(OUT, "given to the program, which has not settled it")                                     \
    X(SETTLED, "settled; PUBACK or PUBREC waits for its turn, or for the message to come again") \
    X(RELEASABLE, "quality 2, PUBREC is sent; PUBREL is next")

typedef enum MqttDebtState {
#define MQTT_DEBT_ENUM_(name, text) MQTT_DEBT_##name,
    MQTT_DEBT_STATES(MQTT_DEBT_ENUM_)
#undef MQTT_DEBT_ENUM_
} MqttDebtState;

/* A message that came with an identifier. */
typedef struct MqttDebt {
    uint64_t hash;       /* of topic and payload: whether it is the same that comes again */
    uint32_t serial;     /* of its ticket */
    uint16_t connection; /* on which it came last, counted */
    uint8_t state;       /* MqttDebtState */
    uint8_t qos;
} MqttDebt;

typedef struct MqttDebts {
    MqttDebt *of;      /* by identifier, 65536; owned */
    uint16_t *order;   /* a ring of identifiers as they came on this connection; owned */
    size_t first, len; /* of the ring */
    uint32_t serial;
    uint16_t connection;
    bool
        is_stuck; /* one was given back: nothing behind it may be acknowledged on this connection */
} MqttDebts;

#define MQTT_IDS 65536

void mqtt_debts_init(MqttDebts *debts);
void mqtt_debts_deinit(MqttDebts *debts);

/* The connection is lost: nothing is acknowledged until it has come again on another one. */
void mqtt_debts_disconnect(MqttDebts *debts);

/* The server has no session of us: it has forgotten everything, and so do we. */
void mqtt_debts_forget(MqttDebts *debts);

/* A message with an identifier has come. MQTT_DEBT_NEW and its ticket: give it to the program.
 * MQTT_DEBT_KNOWN: it is a repeat that the program has or had. -ERR_NETWORK: it must not be. */
enum { MQTT_DEBT_NEW = 0, MQTT_DEBT_KNOWN = 1 };
MUST int mqtt_debts_take(MqttDebts *debts, const MqttPacket *packet, uint64_t *ret_ticket);

/* The ticket is settled, or given back. False when it means nothing any more. */
bool mqtt_debts_settle(MqttDebts *debts, uint64_t ticket);
bool mqtt_debts_give_back(MqttDebts *debts, uint64_t ticket);

/* Append the acknowledgements whose turn it is: how many. */
size_t mqtt_debts_pay(MqttDebts *debts, Buf *out);

/* PUBREL for ID has come: append PUBCOMP. */
void mqtt_debts_release(MqttDebts *debts, uint16_t id, Buf *out);

/* ---- one connection -------------------------------------------------------------------------- */

struct Mqtt {
    MqttOpts opts;
    Arena arena; /* texts of opts */
    struct TlsContext *tls;
    sl_nursery *fibers;

    /* the connection */
    Stream *stream;      /* NULL: none */
    MqttVersion version; /* that is spoken */
    bool is_older;       /* the server does not speak 5 */
    bool is_greeted;     /* the writer may write */
    bool has_session;    /* it knew us */
    bool is_subscribed;  /* once, since the server had no session */
    bool is_announced;   /* on_state was told that it is up */
    size_t n_acks_due;   /* of subscriptions */
    int64_t keep_alive_ms;
    Buf in; /* bytes in_from … are not consumed */
    size_t in_from;
    Buf out, going; /* to be written; being written */
    bool is_writing;
    bool is_stopping;
    int64_t pinged_ns; /* or greeted */
    sl_cond can_write, written;
    char words[300]; /* why a writer broke it; empty: it did not */

    int failed; /* what mqtt_try_next met, for the next call of next; 0: nothing */
    Err failed_err;
    bool is_mending; /* failed may mend by itself */
    unsigned failures;

    MqttDebts debts;
    MqttCounts counts;
};

/* Connect, greet, subscribe: mqtt->stream is there. *RET_CAN_MEND: whether to try again. */
MUST SUSPENDS int mqtt_line_open(Mqtt *mqtt, bool *ret_can_mend);
SUSPENDS void mqtt_line_close(Mqtt *mqtt);

/* The next whole packet that is there: 0, MQTT_MORE or an error; is_mending falls when the error
 * would come again. */
MUST int mqtt_line_try_packet(Mqtt *mqtt, MqttPacket *ret_packet);
MUST SUSPENDS int mqtt_line_fill(Mqtt *mqtt);

/* Something is in mqtt->out. */
void mqtt_line_wake(Mqtt *mqtt);

/* The fiber that writes, and pings. ARG is the Mqtt. */
SUSPENDS int mqtt_line_writer(void *arg);

MUST SUSPENDS int mqtt_tls_init(Mqtt *mqtt);
void mqtt_tls_deinit(Mqtt *mqtt);
