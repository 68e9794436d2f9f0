/*
 * Properties of MQTT 5.0 packets (2.2.2): a length, then identifiers with values.
 *
 * Which packets may have one, of what kind its value is and whether it may come again is a row of
 * `kinds`. All of them are walked and checked; those that a client has use for are kept. As the
 * identifiers are below 64, the set of those that were there is a word.
 */
#include "codec/mqtt_int.h"

#include "base/macro.h"

typedef enum ValueKind { NOTHING, FLAG, BYTE, TWO, FOUR, VARINT, TEXT, BYTES, PAIR } ValueKind;

#define IN(name) (1u << MQTT_##name)
#define IN_ACKS  (IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP))

/* By identifier; of the packets that a server sends. */
static const struct {
    uint8_t kind; /* ValueKind */
    bool can_repeat;
    uint16_t packets;
} kinds[] = {
    [0x01] = { .kind = FLAG, .packets = IN(PUBLISH) },                       /* payload is text */
    [0x02] = { .kind = FOUR, .packets = IN(PUBLISH) },                       /* message expiry */
    [0x03] = { .kind = TEXT, .packets = IN(PUBLISH) },                       /* content type */
    [0x08] = { .kind = TEXT, .packets = IN(PUBLISH) },                       /* response topic */
    [0x09] = { .kind = BYTES, .packets = IN(PUBLISH) },                      /* correlation data */
    [0x0b] = { .kind = VARINT, .can_repeat = true, .packets = IN(PUBLISH) }, /* subscription */
    [0x11] = { .kind = FOUR, .packets = IN(CONNACK) },                       /* session expiry */
    [0x12] = { .kind = TEXT, .packets = IN(CONNACK) },                  /* assigned client id */
    [0x13] = { .kind = TWO, .packets = IN(CONNACK) },                   /* keep alive */
    [0x15] = { .kind = TEXT, .packets = IN(CONNACK) | IN(AUTH) },       /* method */
    [0x16] = { .kind = BYTES, .packets = IN(CONNACK) | IN(AUTH) },      /* data for it */
    [0x1a] = { .kind = TEXT, .packets = IN(CONNACK) },                  /* response information */
    [0x1c] = { .kind = TEXT, .packets = IN(CONNACK) | IN(DISCONNECT) }, /* another server */
    [0x1f] = { .kind = TEXT,
               .packets = IN(CONNACK) | IN_ACKS | IN(SUBACK) | IN(UNSUBACK) | IN(DISCONNECT) |
                          IN(AUTH) },                  /* reason */
    [0x21] = { .kind = TWO, .packets = IN(CONNACK) },  /* receive maximum */
    [0x22] = { .kind = TWO, .packets = IN(CONNACK) },  /* topic aliases */
    [0x23] = { .kind = TWO, .packets = IN(PUBLISH) },  /* topic alias */
    [0x24] = { .kind = FLAG, .packets = IN(CONNACK) }, /* greatest qos */
    [0x25] = { .kind = FLAG, .packets = IN(CONNACK) }, /* retain is there */
    [0x26] = { .kind = PAIR,
               .can_repeat = true,
               .packets = IN(CONNACK) | IN(PUBLISH) | IN_ACKS | IN(SUBACK) | IN(UNSUBACK) |
                          IN(DISCONNECT) | IN(AUTH) }, /* user's own */
    [0x27] = { .kind = FOUR, .packets = IN(CONNACK) }, /* packet size */
    [0x28] = { .kind = FLAG, .packets = IN(CONNACK) }, /* wildcards are there */
    [0x29] = { .kind = FLAG, .packets = IN(CONNACK) }, /* identifiers are there */
    [0x2a] = { .kind = FLAG, .packets = IN(CONNACK) }, /* shared ones are there */
};

STATIC_ASSERT(ARRAY_LEN(kinds) <= 64, "the set of those that were there is a word");

/* A value; a pair is only checked. */
static int take_value(MqttReader *reader, ValueKind kind, uint32_t *number, Str *text)
{
    uint16_t two = 0;
    uint8_t one = 0;
    Str name;
    int r;

    switch (kind) {
    case FLAG:
    case BYTE:
        r = mqtt_take_u8(reader, &one);
        *number = one;
        return r == 0 && kind == FLAG && one > 1 ? mqtt_refuse(reader, "a flag above 1") : r;
    case TWO:
        r = mqtt_take_u16(reader, &two);
        *number = two;
        return r;
    case FOUR: return mqtt_take_u32(reader, number);
    case VARINT: return mqtt_take_varint(reader, number);
    case TEXT: return mqtt_take_text(reader, text);
    case BYTES: return mqtt_take_bytes(reader, text);
    case PAIR: r = mqtt_take_text(reader, &name); return r < 0 ? r : mqtt_take_text(reader, text);
    case NOTHING: break;
    }
    return mqtt_refuse(reader, "a property that is not known");
}

static int keep(MqttReader *reader, uint32_t id, uint32_t number, Str text, MqttProperties *ret)
{
    switch (id) {
    case 0x03: ret->content_type = text; break;
    case 0x11: ret->session_expiry_s = number; break;
    case 0x12: ret->assigned_id = text; break;
    case 0x13: ret->keep_alive_s = (uint16_t) number; break;
    case 0x1c: ret->server = text; break;
    case 0x1f: ret->reason = text; break;
    case 0x21:
        ret->receive_max = (uint16_t) number;
        return number == 0 ? mqtt_refuse(reader, "a receive maximum of zero") : 0;
    case 0x23: return mqtt_refuse(reader, "a topic alias, which was not allowed");
    case 0x24: ret->qos_max = (uint8_t) number; break;
    case 0x25: ret->has_retained = number; break;
    case 0x27:
        ret->packet_bytes_max = number;
        return number == 0 ? mqtt_refuse(reader, "a packet size of zero") : 0;
    case 0x28: ret->has_wildcards = number; break;
    case 0x2a: ret->has_shared = number; break;
    default: break;
    }
    return 0;
}

static int take_property(MqttReader *reader, MqttProperties *ret)
{
    uint32_t id = 0, number = 0;
    Str text = { 0 };
    int r = mqtt_take_varint(reader, &id);

    if (r < 0)
        return r;
    if (id >= ARRAY_LEN(kinds) || kinds[id].kind == NOTHING)
        return mqtt_refuse(reader, "a property that is not known");
    if (!(kinds[id].packets & 1u << reader->type))
        return mqtt_refuse(reader, "a property that belongs to other packets");
    if (ret->seen & UINT64_C(1) << id && !kinds[id].can_repeat)
        return mqtt_refuse(reader, "a property that comes twice");
    ret->seen |= UINT64_C(1) << id;
    r = take_value(reader, kinds[id].kind, &number, &text);
    return r < 0 ? r : keep(reader, id, number, text, ret);
}

int mqtt_take_properties(MqttReader *reader, MqttProperties *ret)
{
    MqttReader inner = *reader;
    uint32_t len = 0;
    int r = mqtt_take_varint(reader, &len);

    if (r < 0)
        return r;
    if (len > reader->rest.len)
        return mqtt_refuse(reader, "its properties end too early");
    inner.rest = str_sub(reader->rest, 0, len);
    reader->rest = str_sub(reader->rest, len, reader->rest.len);
    while (inner.rest.len > 0) {
        r = take_property(&inner, ret);
        if (r < 0)
            return r;
    }
    return 0;
}
