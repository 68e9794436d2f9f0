/*
 * Writing packets, the names of what is subscribed to, and what codes mean.
 */
#include "codec/mqtt_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"

#define TEXT_BYTES_MAX 65535

enum { SESSION_EXPIRY = 0x11, RECEIVE_MAX = 0x21 };

static void add_u8(Buf *out, unsigned value)
{
    buf_add_char(out, (char) value);
}

static void add_u16(Buf *out, unsigned value)
{
    add_u8(out, value >> 8);
    add_u8(out, value & 0xff);
}

static void add_u32(Buf *out, uint32_t value)
{
    add_u16(out, value >> 16);
    add_u16(out, value & 0xffff);
}

static void add_varint(Buf *out, size_t value)
{
    for (; value > 0x7f; value >>= 7)
        add_u8(out, (unsigned) (value & 0x7f) | 0x80);
    add_u8(out, (unsigned) value);
}

static void add_text(Buf *out, Str text)
{
    ASSERT(text.len <= TEXT_BYTES_MAX);
    add_u16(out, (unsigned) text.len);
    buf_add_str(out, text);
}

static void add_head(Buf *out, MqttType type, unsigned flags, size_t len)
{
    add_u8(out, (unsigned) type << 4 | flags);
    add_varint(out, len);
}

void mqtt_add_connect(Buf *out, const MqttConnect *connect)
{
    bool has_user = connect->user.len > 0, has_password = connect->password.len > 0;
    bool is_5 = connect->version == MQTT_5;
    size_t properties = 5 + (connect->receive_max ? 3u : 0u);
    size_t len = 10 + (is_5 ? 1 + properties : 0) + 2 + connect->client_id.len;

    /* 3.1.1 has no password without a user. */
    has_user |= has_password && !is_5;
    len += (has_user ? 2 + connect->user.len : 0) + (has_password ? 2 + connect->password.len : 0);
    add_head(out, MQTT_CONNECT, 0, len);
    add_text(out, str_from_c("MQTT"));
    add_u8(out, connect->version);
    add_u8(out, (has_user ? 0x80u : 0) | (has_password ? 0x40u : 0) | (connect->is_clean ? 2u : 0));
    add_u16(out, connect->keep_alive_s);
    if (is_5) {
        add_varint(out, properties);
        add_u8(out, SESSION_EXPIRY);
        add_u32(out, connect->session_expiry_s);
        if (connect->receive_max) {
            add_u8(out, RECEIVE_MAX);
            add_u16(out, connect->receive_max);
        }
    }
    add_text(out, connect->client_id);
    if (has_user)
        add_text(out, connect->user);
    if (has_password)
        add_text(out, connect->password);
}

void mqtt_add_subscribe(Buf *out, const MqttSubscribe *subscribe)
{
    bool is_5 = subscribe->version == MQTT_5;
    bool is_shared = str_starts(subscribe->filter, (Str) STR("$share/"));
    unsigned options = subscribe->qos;

    ASSERT(subscribe->id > 0 && subscribe->qos <= 2);
    /* Retain handling (3.8.3.1): 1 when the subscription is new, 2 never; none for shared ones. */
    if (is_5 && !is_shared)
        options |= (subscribe->wants_retained ? 1u : 2u) << 4;
    add_head(out, MQTT_SUBSCRIBE, 2, 2 + (is_5 ? 1u : 0u) + 2 + subscribe->filter.len + 1);
    add_u16(out, subscribe->id);
    if (is_5)
        add_varint(out, 0);
    add_text(out, subscribe->filter);
    add_u8(out, options);
}

void mqtt_add_ack(Buf *out, MqttType type, uint16_t id)
{
    ASSERT(type >= MQTT_PUBACK && type <= MQTT_PUBCOMP && id > 0);
    add_head(out, type, type == MQTT_PUBREL ? 2 : 0, 2);
    add_u16(out, id);
}

void mqtt_add_publish(Buf *out, const MqttPublish *publish)
{
    bool is_5 = publish->version == MQTT_5;
    size_t len = 2 + publish->topic.len + (publish->qos > 0 ? 2u : 0u) + (is_5 ? 1u : 0u);

    ASSERT(publish->qos <= 2);
    add_head(out, MQTT_PUBLISH,
             (publish->is_repeat ? 8u : 0u) | (unsigned) publish->qos << 1 |
                 (publish->is_retained ? 1u : 0u),
             len + publish->payload.len);
    add_text(out, publish->topic);
    if (publish->qos > 0)
        add_u16(out, publish->id);
    if (is_5)
        add_varint(out, 0);
    buf_add_str(out, publish->payload);
}

void mqtt_add_ping(Buf *out)
{
    add_head(out, MQTT_PINGREQ, 0, 0);
}

void mqtt_add_disconnect(Buf *out, MqttVersion version)
{
    (void) version; /* without a reason both are the same */
    add_head(out, MQTT_DISCONNECT, 0, 0);
}

/* ---- names ----------------------------------------------------------------------------------- */

static int check_levels(Str whole, Str rest)
{
    bool is_last;

    if (rest.len == 0)
        return fail(-ERR_INVALID, "the topic \"%.*s\" is empty", (int) whole.len, whole.data);
    do {
        ssize_t slash = str_find(rest, '/');
        Str level = str_cut(rest, '/', &rest);

        is_last = slash < 0;
        if (str_eq_c(level, "+") || (str_eq_c(level, "#") && is_last))
            continue;
        if (str_find(level, '+') >= 0 || str_find(level, '#') >= 0)
            return fail(-ERR_INVALID,
                        "the topic \"%.*s\": + stands for a whole level, # for all that follow at "
                        "the end",
                        (int) whole.len, whole.data);
    } while (!is_last);
    return 0;
}

int mqtt_check_filter(Str text)
{
    Str rest = text, group;

    if (text.len == 0 || text.len > TEXT_BYTES_MAX)
        return fail(-ERR_INVALID, "a topic has 1 to 65535 bytes");
    if (str_find(text, '\0') >= 0 || !str_is_utf8(text))
        return fail(-ERR_INVALID, "a topic is UTF-8 without zero bytes");
    if (!str_starts(text, (Str) STR("$share/")))
        return check_levels(text, text);
    rest = str_sub(text, 7, text.len);
    group = str_cut(rest, '/', &rest);
    if (group.len == 0 || str_find(group, '+') >= 0 || str_find(group, '#') >= 0)
        return fail(-ERR_INVALID, "\"%.*s\": a shared subscription is $share/GROUP/TOPIC",
                    (int) text.len, text.data);
    return check_levels(text, rest);
}

/* ---- codes ----------------------------------------------------------------------------------- */

static const char *const connack_texts[] = {
    "accepted",
    "the server does not speak this version of MQTT",
    "the server refuses the client id",
    "the server is not available",
    "the user or the password is wrong",
    "not authorised",
};

static const struct {
    uint8_t code;
    const char *text;
} reasons[] = {
    { 0x00, "success" },
    { 0x80, "unspecified error" },
    { 0x81, "malformed packet" },
    { 0x82, "protocol error" },
    { 0x83, "the server does not do that" },
    { 0x84, "the server does not speak this version of MQTT" },
    { 0x85, "the server refuses the client id" },
    { 0x86, "the user or the password is wrong" },
    { 0x87, "not authorised" },
    { 0x88, "the server is not available" },
    { 0x89, "the server is busy" },
    { 0x8a, "banned" },
    { 0x8b, "the server is shutting down" },
    { 0x8c, "another way to log in is wanted" },
    { 0x8d, "nothing was heard for too long" },
    { 0x8e, "another client has taken over the session: the client id is in use twice" },
    { 0x8f, "the topic filter is not valid" },
    { 0x90, "the topic is not valid" },
    { 0x91, "the identifier is in use" },
    { 0x92, "the identifier is not known" },
    { 0x93, "more messages than may be on their way" },
    { 0x95, "the packet is too large" },
    { 0x96, "too many messages" },
    { 0x97, "a quota is exceeded" },
    { 0x98, "an administrator has closed it" },
    { 0x99, "the payload is not of its format" },
    { 0x9a, "retained messages are not offered" },
    { 0x9b, "this quality of service is not offered" },
    { 0x9c, "use another server" },
    { 0x9d, "the server has moved" },
    { 0x9e, "shared subscriptions are not offered" },
    { 0x9f, "too many connections" },
    { 0xa0, "the connection has lasted long enough" },
    { 0xa1, "subscription identifiers are not offered" },
    { 0xa2, "wildcards are not offered" },
};

const char *mqtt_reason_text(uint8_t code)
{
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        if (reasons[i].code == code)
            return reasons[i].text;
    }
    return "a reason that is not known";
}

const char *mqtt_connack_text(MqttVersion version, uint8_t code)
{
    if (version == MQTT_5 && code >= 0x80)
        return mqtt_reason_text(code);
    return code < ARRAY_LEN(connack_texts) ? connack_texts[code] : "a reason that is not known";
}
