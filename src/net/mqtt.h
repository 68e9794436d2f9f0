/*
 * A subscriber of MQTT whose messages are acknowledged by its program, not by the client.
 *
 *   r = mqtt_start(&opts, &mqtt);
 *   while ((r = mqtt_next(mqtt, &message)) == 0)      connects, and connects again
 *       … keep message.ticket …
 *   mqtt_settle(mqtt, ticket);                        later, in any order: PUBACK or PUBREC
 *   mqtt_stop(mqtt);
 *
 * What it promises:
 *
 *   Q1  PUBACK (quality 1) and PUBREC (quality 2) are sent after mqtt_settle and never before: what
 *       was not settled the server still has, and sends again to whoever comes with the session.
 *   Q2  They are sent in the order in which the messages came, as the standard asks.
 *   Q3  A message that is sent again after a reconnect while its ticket is out, or after it was
 *       settled, is not given twice. With quality 2 no message is given twice while the client
 *       lives; with quality 1 one may be whose PUBACK was lost, and `is_repeat` is set.
 *   Q4  No more than opts.in_flight messages are out with a server of version 5; one of 3.1.1
 *       decides by itself (Mosquitto: max_inflight_messages, 20).
 *
 * The server's session is as old as the client id. A client id in use twice makes the server throw
 * out one after the other.
 */
#pragma once

#include "codec/mqtt.h"
#include "net/stream.h"

typedef struct Mqtt Mqtt;

/* One message; its texts are good until the next call for one. */
typedef struct MqttMessage {
    Str topic;
    Str payload;
    Str content_type; /* version 5; mostly empty */
    uint64_t ticket;  /* for mqtt_settle; 0 with quality 0, which nobody acknowledges */
    bool is_repeat;   /* it may have been given before */
    bool is_retained;
} MqttMessage;

/* Copied where they are texts; zero means the default that is named. */
typedef struct MqttOpts {
    Str host;
    uint16_t port; /* 1883, with TLS 8883 */
    bool is_tls;
    bool is_insecure; /* the server's certificate is not looked at */
    Str ca, cert, key;
    bool is_public_only; /* private addresses are refused */
    MqttVersion version; /* 0: 5, and 3.1.1 with a server that does not speak it */
    Str client_id;
    Str user, password;
    bool is_clean;             /* keep no session: what comes while we are away is not for us */
    int64_t keep_alive_ms;     /* 0: 60 s */
    int64_t session_expiry_ms; /* version 5; 0: a day */
    uint16_t in_flight;        /* 0: 65535 */
    const Str *filters;        /* checked by mqtt_check_filter */
    size_t n_filters;
    uint8_t qos;
    bool wants_retained;

    /* Called when a connection is there with all subscriptions, and when one is lost or could not
     * be made. Must not suspend. */
    void (*on_state)(void *ctx, bool is_up, const char *words);
    void *ctx;
    /* Instead of dialling: for tests. */
    SUSPENDS int (*connect)(void *connect_ctx, Stream **ret_stream);
    void *connect_ctx;
} MqttOpts;

/* Nothing is connected yet. Errors are those of files with certificates, and -ERR_UNSUPPORTED. */
MUST SUSPENDS int mqtt_start(const MqttOpts *opts, Mqtt **ret_mqtt);

/*
 * The next message; connects where there is no connection, waits between two tries. 0; -ECANCELED;
 * or what cannot mend by itself: -ERR_FORBIDDEN (login or topic refused), -ERR_TOO_LARGE.
 */
MUST SUSPENDS int mqtt_next(Mqtt *mqtt, MqttMessage *ret_message);

/* As next, without waiting: MQTT_NONE when none is there. Errors show in the next call of next. */
enum { MQTT_NONE = 1 };
MUST int mqtt_try_next(Mqtt *mqtt, MqttMessage *ret_message);

/* The message with TICKET is done with: it is acknowledged. Does not suspend. */
void mqtt_settle(Mqtt *mqtt, uint64_t ticket);

/* It is not, and shall come again: the connection is made anew, so that the server sends it. */
void mqtt_give_back(Mqtt *mqtt, uint64_t ticket);

/* Take no more; send what is to be acknowledged and say goodbye, for at most GRACE_MS. Tickets may
 * be settled until then, and must not be behind it. NULL is nothing. */
SUSPENDS void mqtt_stop(Mqtt *mqtt, int64_t grace_ms);

typedef struct MqttCounts {
    uint64_t messages;
    uint64_t acknowledged; /* PUBACK and PUBREC */
    uint64_t repeats;      /* that were not given, by Q3 */
    uint64_t connects;
} MqttCounts;
MqttCounts mqtt_counts(const Mqtt *mqtt);
