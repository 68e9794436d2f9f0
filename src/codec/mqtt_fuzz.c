/*
 * Fuzz target: bytes of a server, in both versions. Whatever is taken lies within the frame and
 * has what the header promises; a message that is read and written again is the same.
 */
#include "codec/mqtt.h"

#include "base/assert.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_within(Str frame, Str part)
{
    if (part.len > 0)
        ASSERT(part.data >= frame.data && part.data + part.len <= frame.data + frame.len);
}

static void check_again(MqttVersion version, Str frame, const MqttPacket *packet)
{
    AUTO(buf_deinit) Buf out = { 0 };
    MqttPacket again;

    mqtt_add_publish(&out, &(MqttPublish){ .version = version,
                                           .id = packet->id,
                                           .qos = packet->qos,
                                           .is_repeat = packet->is_repeat,
                                           .is_retained = packet->is_retained,
                                           .topic = packet->topic,
                                           .payload = packet->payload });
    ASSERT(mqtt_decode(version, buf_str(&out), &again) == 0);
    ASSERT(again.id == packet->id && again.qos == packet->qos);
    ASSERT(str_eq(again.topic, packet->topic) && str_eq(again.payload, packet->payload));
    if (version == MQTT_3_1_1)
        ASSERT(str_eq(buf_str(&out), frame));
}

static void check_frame(MqttVersion version, Str frame)
{
    MqttPacket packet;

    if (mqtt_decode(version, frame, &packet) < 0)
        return;
    check_within(frame, packet.topic);
    check_within(frame, packet.payload);
    check_within(frame, packet.codes);
    check_within(frame, packet.properties.reason);
    check_within(frame, packet.properties.content_type);
    if (packet.type != MQTT_PUBLISH)
        return;
    ASSERT(packet.qos <= 2 && (packet.qos == 0) == (packet.id == 0));
    ASSERT(packet.topic.len > 0 && str_is_utf8(packet.topic));
    check_again(version, frame, &packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    Str bytes = str_from((const char *) data, len);
    size_t frame_len = 0;

    (void) mqtt_check_filter(bytes); /* any answer will do */
    while (mqtt_scan(bytes, &frame_len) == 0) {
        ASSERT(frame_len >= 2 && frame_len <= bytes.len);
        check_frame(MQTT_3_1_1, str_sub(bytes, 0, frame_len));
        check_frame(MQTT_5, str_sub(bytes, 0, frame_len));
        bytes = str_sub(bytes, frame_len, bytes.len);
    }
    return 0;
}
