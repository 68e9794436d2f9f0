/*
 * What the parts of the MQTT codec share: a reader of a packet's bytes.
 */
#pragma once

#include "codec/mqtt.h"

/* Bytes that are left. Taking more than there are is an error, and says so. */
typedef struct MqttReader {
    Str rest;
    MqttType type; /* of the packet, for words */
} MqttReader;

/* -ERR_NETWORK "PUBLISH of the server: WHAT". */
int mqtt_refuse(const MqttReader *reader, const char *what);

MUST int mqtt_take_u8(MqttReader *reader, uint8_t *ret);
MUST int mqtt_take_u16(MqttReader *reader, uint16_t *ret);
MUST int mqtt_take_u32(MqttReader *reader, uint32_t *ret);
MUST int mqtt_take_varint(MqttReader *reader, uint32_t *ret);
MUST int mqtt_take_bytes(MqttReader *reader, Str *ret); /* two bytes of length before them */
MUST int mqtt_take_text(MqttReader *reader, Str *ret);  /* the same; UTF-8 without NUL */

/* The properties that come next, with their length: 2.2.2. */
MUST int mqtt_take_properties(MqttReader *reader, MqttProperties *ret);
