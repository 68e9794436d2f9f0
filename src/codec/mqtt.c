/*
 * Reading packets. A frame is cut into its fields by a reader that knows how much is left; every
 * field is checked where it is taken, and what is left over at the end is an error of the packet.
 *
 * The fixed header (2.1) is a byte of type and flags and a length of one to four bytes, seven bits
 * in each. The flags are given by the type everywhere but in PUBLISH.
 */
#include "codec/mqtt_int.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"

#define VARINT_BYTES_MAX 4

const char *mqtt_type_name(MqttType type)
{
    switch (type) {
#define NAME_(name, number) \
    case MQTT_##name: return #name;
        MQTT_TYPES(NAME_)
#undef NAME_
    }
    return "a packet";
}

/* ---- the reader ------------------------------------------------------------------------------ */

int mqtt_refuse(const MqttReader *reader, const char *what)
{
    return fail(-ERR_NETWORK, "%s of the MQTT server: %s", mqtt_type_name(reader->type), what);
}

static int take(MqttReader *reader, size_t n, const unsigned char **ret)
{
    if (reader->rest.len < n)
        return mqtt_refuse(reader, "it ends too early");
    *ret = (const unsigned char *) reader->rest.data;
    reader->rest = str_sub(reader->rest, n, reader->rest.len);
    return 0;
}

int mqtt_take_u8(MqttReader *reader, uint8_t *ret)
{
    const unsigned char *at;
    int r = take(reader, 1, &at);

    if (r < 0)
        return r;
    *ret = at[0];
    return 0;
}

int mqtt_take_u16(MqttReader *reader, uint16_t *ret)
{
    const unsigned char *at;
    int r = take(reader, 2, &at);

    if (r < 0)
        return r;
    *ret = (uint16_t) (at[0] << 8 | at[1]);
    return 0;
}

int mqtt_take_u32(MqttReader *reader, uint32_t *ret)
{
    const unsigned char *at;
    int r = take(reader, 4, &at);

    if (r < 0)
        return r;
    *ret = (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
    return 0;
}

int mqtt_take_varint(MqttReader *reader, uint32_t *ret)
{
    uint32_t value = 0;
    uint8_t byte = 0;
    int r;

    for (unsigned i = 0; i < VARINT_BYTES_MAX; i++) {
        r = mqtt_take_u8(reader, &byte);
        if (r < 0)
            return r;
        value |= (uint32_t) (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            if (i > 0 && byte == 0)
                return mqtt_refuse(reader, "a number has more bytes than it needs");
            *ret = value;
            return 0;
        }
    }
    return mqtt_refuse(reader, "a number has more than four bytes");
}

int mqtt_take_bytes(MqttReader *reader, Str *ret)
{
    const unsigned char *at;
    uint16_t len;
    int r = mqtt_take_u16(reader, &len);

    if (r < 0)
        return r;
    r = take(reader, len, &at);
    if (r < 0)
        return r;
    *ret = str_from((const char *) at, len);
    return 0;
}

int mqtt_take_text(MqttReader *reader, Str *ret)
{
    int r = mqtt_take_bytes(reader, ret);

    if (r < 0)
        return r;
    if (str_find(*ret, '\0') >= 0 || !str_is_utf8(*ret))
        return mqtt_refuse(reader, "a text is not UTF-8");
    return 0;
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* The type, and flags that go with it: tells a server of another protocol by its first byte. */
static bool is_head(uint8_t head)
{
    MqttType type = head >> 4;
    bool is_special = type == MQTT_PUBREL || type == MQTT_SUBSCRIBE || type == MQTT_UNSUBSCRIBE;

    if (type == MQTT_PUBLISH)
        return true;
    return head >> 4 > 0 && (head & 15) == (is_special ? 2 : 0);
}

int mqtt_scan(Str bytes, size_t *ret_len)
{
    size_t n = 0, len = 0, whole;

    *ret_len = 0;
    if (bytes.len == 0)
        return MQTT_MORE;
    if (!is_head((uint8_t) bytes.data[0]))
        return fail(-ERR_NETWORK, "the server does not speak MQTT");
    do {
        if (n == VARINT_BYTES_MAX)
            return fail(-ERR_NETWORK, "the server does not speak MQTT: a length of five bytes");
        if (n + 1 >= bytes.len)
            return MQTT_MORE;
        len |= (size_t) (bytes.data[n + 1] & 0x7f) << (7 * n);
        n++;
    } while (bytes.data[n] & 0x80);
    whole = 1 + n + len;
    *ret_len = whole;
    if (whole > LIMIT_MQTT_PACKET_BYTES)
        return MQTT_TOO_LARGE;
    return bytes.len < whole ? MQTT_MORE : 0;
}

/* ---- packets --------------------------------------------------------------------------------- */

static int decode_connack(MqttVersion version, MqttReader *reader, MqttPacket *packet)
{
    uint8_t flags;
    int r = mqtt_take_u8(reader, &flags);

    if (r < 0)
        return r;
    if (flags > 1)
        return mqtt_refuse(reader, "reserved bits are set");
    r = mqtt_take_u8(reader, &packet->reason);
    if (r < 0)
        return r;
    if (flags && packet->reason)
        return mqtt_refuse(reader, "it refuses, and has a session");
    packet->is_session_present = flags;
    /* A server of the older standard answers a client of the newer one without properties. */
    if (version == MQTT_5 && (reader->rest.len > 0 || packet->reason == 0))
        return mqtt_take_properties(reader, &packet->properties);
    return 0;
}

static int decode_publish(MqttVersion version, uint8_t flags, MqttReader *reader,
                          MqttPacket *packet)
{
    int r;

    packet->is_repeat = flags & 8;
    packet->qos = flags >> 1 & 3;
    packet->is_retained = flags & 1;
    if (packet->qos == 3)
        return mqtt_refuse(reader, "its quality of service is 3");
    if (packet->qos == 0 && packet->is_repeat)
        return mqtt_refuse(reader, "a repeat of quality of service 0");
    r = mqtt_take_text(reader, &packet->topic);
    if (r < 0)
        return r;
    /* 3.3.2.1, and 3.3.2.3.4: we allow no aliases, so that a topic is never empty. */
    if (packet->topic.len == 0 || str_find(packet->topic, '+') >= 0 ||
        str_find(packet->topic, '#') >= 0)
        return mqtt_refuse(reader, "its topic is none");
    if (packet->qos > 0) {
        r = mqtt_take_u16(reader, &packet->id);
        if (r < 0)
            return r;
        if (packet->id == 0)
            return mqtt_refuse(reader, "its identifier is zero");
    }
    if (version == MQTT_5) {
        r = mqtt_take_properties(reader, &packet->properties);
        if (r < 0)
            return r;
    }
    packet->payload = reader->rest;
    reader->rest = str_from(NULL, 0);
    return 0;
}

/* PUBACK, PUBREC, PUBREL, PUBCOMP: 3.4. */
static int decode_ack(MqttVersion version, MqttReader *reader, MqttPacket *packet)
{
    int r = mqtt_take_u16(reader, &packet->id);

    if (r < 0)
        return r;
    if (packet->id == 0)
        return mqtt_refuse(reader, "its identifier is zero");
    if (version != MQTT_5 || reader->rest.len == 0)
        return 0;
    r = mqtt_take_u8(reader, &packet->reason);
    if (r < 0 || reader->rest.len == 0)
        return r;
    return mqtt_take_properties(reader, &packet->properties);
}

/* SUBACK and UNSUBACK: 3.9. */
static int decode_suback(MqttVersion version, MqttReader *reader, MqttPacket *packet)
{
    int r = mqtt_take_u16(reader, &packet->id);

    if (r < 0)
        return r;
    if (version == MQTT_5) {
        r = mqtt_take_properties(reader, &packet->properties);
        if (r < 0)
            return r;
    }
    if (packet->type == MQTT_UNSUBACK && version != MQTT_5)
        return 0;
    if (reader->rest.len == 0)
        return mqtt_refuse(reader, "it has no code");
    packet->codes = reader->rest;
    reader->rest = str_from(NULL, 0);
    return 0;
}

/* DISCONNECT and AUTH: 3.14. */
static int decode_reason(MqttVersion version, MqttReader *reader, MqttPacket *packet)
{
    int r;

    if (version != MQTT_5)
        return mqtt_refuse(reader, "a server of this version does not send it");
    if (reader->rest.len == 0)
        return 0;
    r = mqtt_take_u8(reader, &packet->reason);
    if (r < 0 || reader->rest.len == 0)
        return r;
    return mqtt_take_properties(reader, &packet->properties);
}

static int decode_body(MqttVersion version, uint8_t flags, MqttReader *reader, MqttPacket *packet)
{
    if (!is_head((uint8_t) (packet->type << 4 | flags)))
        return mqtt_refuse(reader, "reserved bits are set");
    switch (packet->type) {
    case MQTT_CONNACK: return decode_connack(version, reader, packet);
    case MQTT_PUBLISH: return decode_publish(version, flags, reader, packet);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP: return decode_ack(version, reader, packet);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK: return decode_suback(version, reader, packet);
    case MQTT_PINGRESP: return 0;
    case MQTT_DISCONNECT:
    case MQTT_AUTH: return decode_reason(version, reader, packet);
    case MQTT_CONNECT:
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
    case MQTT_PINGREQ: break;
    }
    return mqtt_refuse(reader, "only clients send it");
}

int mqtt_decode(MqttVersion version, Str frame, MqttPacket *ret_packet)
{
    uint8_t head = frame.len > 0 ? (uint8_t) frame.data[0] : 0;
    MqttPacket packet = { .type = head >> 4, .properties = { .receive_max = UINT16_MAX } };
    MqttReader reader = { .rest = str_sub(frame, 1, frame.len), .type = packet.type };
    uint32_t len = 0;
    int r = mqtt_take_varint(&reader, &len);

    if (r < 0)
        return r;
    if (len != reader.rest.len)
        return mqtt_refuse(&reader, "its length is not what it has");
    packet.properties.qos_max = 2;
    packet.properties.has_retained = true;
    packet.properties.has_wildcards = true;
    packet.properties.has_shared = true;
    r = decode_body(version, head & 15, &reader, &packet);
    if (r < 0)
        return r;
    if (reader.rest.len > 0)
        return mqtt_refuse(&reader, "there are bytes behind its end");
    *ret_packet = packet;
    return 0;
}
