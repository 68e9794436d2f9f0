/*
 * MQTT 3.1.1 and 5.0: packets, as a client writes and reads them.
 *
 * Reading has two steps: a scan says how long the packet is that the bytes begin with, and decoding
 * gives its fields, which borrow their texts from it. Both are strict: what the standard forbids a
 * server to send (reserved bits, a property in the wrong packet or twice, text that is not UTF-8,
 * bytes behind the end) is refused with words, because a client that guesses loses messages.
 *
 *   PUBLISH   0011 d qq r | length | topic | id, if qq > 0 | properties, if 5.0 | payload
 *   PUBACK …  0100 0000   | length | id | reason and properties, if 5.0 and not "success"
 *
 * A server is not trusted: packets have at most LIMIT_MQTT_PACKET_BYTES. What only a server reads
 * (CONNECT, SUBSCRIBE) is written here and not decoded.
 *
 * Sources: OASIS "MQTT Version 3.1.1" and "MQTT Version 5.0"; section numbers in comments are of
 * the latter.
 */
#pragma once

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum MqttVersion {
    MQTT_3_1_1 = 4, /* the number in CONNECT */
    MQTT_5 = 5,
} MqttVersion;

/* X(NAME, number) */
#define MQTT_TYPES(X)  \
    X(CONNECT, 1)      \
    X(CONNACK, 2)      \
    X(PUBLISH, 3)      \
    X(PUBACK, 4)       \
    X(PUBREC, 5)       \
    X(PUBREL, 6)       \
    X(PUBCOMP, 7)      \
    X(SUBSCRIBE, 8)    \
    X(SUBACK, 9)       \
    X(UNSUBSCRIBE, 10) \
    X(UNSUBACK, 11)    \
    X(PINGREQ, 12)     \
    X(PINGRESP, 13)    \
    X(DISCONNECT, 14)  \
    X(AUTH, 15)

typedef enum MqttType {
#define MQTT_TYPE_ENUM_(name, number) MQTT_##name = (number),
    MQTT_TYPES(MQTT_TYPE_ENUM_)
#undef MQTT_TYPE_ENUM_
} MqttType;

/* "PUBLISH"; static text. */
const char *mqtt_type_name(MqttType type);

/* Of a packet of 5.0: what is of use to a client. What was not said has the standard's default. */
typedef struct MqttProperties {
    uint64_t seen; /* a bit for each identifier that was there */
    uint32_t session_expiry_s;
    uint32_t packet_bytes_max; /* 0: not said */
    uint16_t receive_max;      /* 65535 when not said */
    uint16_t keep_alive_s;     /* the server's; see seen */
    uint8_t qos_max;           /* 2 when not said */
    bool has_retained;         /* these three: true when not said */
    bool has_wildcards;
    bool has_shared;
    Str assigned_id;
    Str reason;       /* for people */
    Str content_type; /* of a message */
    Str server;       /* where else to go */
} MqttProperties;

/* A packet of a server. Texts borrow from the frame. */
typedef struct MqttPacket {
    MqttType type;
    uint16_t id;             /* PUBLISH with qos > 0, the four of its acknowledgement, SUBACK … */
    uint8_t reason;          /* CONNACK's code; the others' in 5.0; 0 is success */
    bool is_session_present; /* CONNACK */
    uint8_t qos;             /* PUBLISH, from here on */
    bool is_repeat;          /* DUP: it may have come before */
    bool is_retained;
    Str topic;
    Str payload;
    Str codes; /* SUBACK, UNSUBACK: one byte for each filter */
    MqttProperties properties;
} MqttPacket;

/* Outcomes of mqtt_scan: the packet goes on in bytes that are not there yet; it is too long. */
enum { MQTT_MORE = 1, MQTT_TOO_LARGE = 2 };

/*
 * How long is the packet that BYTES begins with? 0: *RET_LEN bytes, all there. MQTT_MORE: *RET_LEN
 * is what it needs, 0 when that is not known yet. MQTT_TOO_LARGE: so is *RET_LEN. -ERR_NETWORK for
 * what is no MQTT.
 */
MUST int mqtt_scan(Str bytes, size_t *ret_len);

/* A whole packet of a server. -ERR_NETWORK with words. */
MUST int mqtt_decode(MqttVersion version, Str frame, MqttPacket *ret_packet);

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct MqttConnect {
    MqttVersion version;
    Str client_id;
    Str user, password; /* empty: not sent */
    bool is_clean;      /* forget what the server keeps of us */
    uint16_t keep_alive_s;
    uint32_t session_expiry_s; /* 5.0: how long it keeps it when we are gone */
    uint16_t receive_max;      /* 5.0: messages not acknowledged at once; 0: as many as there are */
} MqttConnect;

/* Texts are at most 65535 bytes; asserted. */
void mqtt_add_connect(Buf *out, const MqttConnect *connect);

/* One filter. WANTS_RETAINED: what is retained comes when the subscription is new (5.0; in 3.1.1 it
 * always comes). */
typedef struct MqttSubscribe {
    MqttVersion version;
    uint16_t id; /* above zero */
    Str filter;  /* at most 65535 bytes */
    uint8_t qos;
    bool wants_retained;
} MqttSubscribe;
void mqtt_add_subscribe(Buf *out, const MqttSubscribe *subscribe);

/* PUBACK, PUBREC, PUBREL or PUBCOMP with success: four bytes, the same in both versions. */
void mqtt_add_ack(Buf *out, MqttType type, uint16_t id);

typedef struct MqttPublish {
    MqttVersion version;
    uint16_t id; /* with qos > 0 */
    uint8_t qos;
    bool is_repeat;
    bool is_retained;
    Str topic;
    Str payload;
} MqttPublish;
void mqtt_add_publish(Buf *out, const MqttPublish *publish);

void mqtt_add_ping(Buf *out);
void mqtt_add_disconnect(Buf *out, MqttVersion version);

/* ---- names ----------------------------------------------------------------------------------- */

/* Whether TEXT is a filter to subscribe to: + and # only as a whole level, # the last one, and
 * $share/GROUP/FILTER with a plain group. 0 or -ERR_INVALID with words. */
MUST int mqtt_check_filter(Str text);

/* What a CONNACK's code means, by version; or a reason of 5.0. Static text. */
const char *mqtt_connack_text(MqttVersion version, uint8_t code);
const char *mqtt_reason_text(uint8_t code);
