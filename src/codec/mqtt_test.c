/*
 * MQTT packets: written as the standard's examples are, read from any pieces, and refused where a
 * server breaks the rules. A lenient reader would lose or double messages later on.
 */
#include "codec/mqtt.h"

#include "base/limits.h"
#include "base/test.h"
#include "codec/hex.h"

/* The bytes that HEX names, spaces between them as one likes. */
static Str bytes_of(const char *hex, char *out)
{
    size_t n = 0;

    for (; hex[0]; hex++) {
        if (hex[0] == ' ')
            continue;
        out[n++] = (char) (hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
        hex++;
    }
    return str_from(out, n);
}

static void expect_hex(const char *file, int line, Buf *got, const char *want)
{
    char out[512];
    Str bytes = bytes_of(want, out);

    if (!str_eq(buf_str(got), bytes)) {
        AUTO(buf_deinit) Buf text = { 0 };

        for (size_t i = 0; i < got->len; i++)
            buf_printf(&text, "%02x ", (unsigned char) got->data[i]);
        test_fail(file, line, "got %.*s", (int) text.len, text.data);
    }
    buf_reset(got);
}
#define EXPECT_HEX(buf, want) expect_hex(__FILE__, __LINE__, (buf), (want))

static int decode_hex(MqttVersion version, const char *hex, char *out, MqttPacket *packet)
{
    return mqtt_decode(version, bytes_of(hex, out), packet);
}

TEST(writes_connect)
{
    AUTO(buf_deinit) Buf out = { 0 };
    MqttConnect connect = {
        .version = MQTT_3_1_1, .client_id = STR("ab"), .is_clean = true, .keep_alive_s = 60
    };

    mqtt_add_connect(&out, &connect);
    EXPECT_HEX(&out, "10 0e 0004 4d515454 04 02 003c 0002 6162");
    connect.user = str_from_c("u");
    connect.password = str_from_c("pw");
    connect.is_clean = false;
    mqtt_add_connect(&out, &connect);
    EXPECT_HEX(&out, "10 15 0004 4d515454 04 c0 003c 0002 6162 0001 75 0002 7077");
    connect.user = str_from(NULL, 0);
    mqtt_add_connect(&out, &connect);
    EXPECT_HEX(&out, "10 14 0004 4d515454 04 c0 003c 0002 6162 0000 0002 7077");
    connect.version = MQTT_5;
    connect.session_expiry_s = 256;
    connect.receive_max = 10;
    mqtt_add_connect(&out, &connect);
    EXPECT_HEX(&out, "10 1b 0004 4d515454 05 40 003c 08 11 00000100 21 000a 0002 6162 0002 7077");
}

TEST(writes_the_others)
{
    AUTO(buf_deinit) Buf out = { 0 };

    mqtt_add_subscribe(
        &out, &(MqttSubscribe){ .version = MQTT_3_1_1, .id = 10, .filter = STR("a/#"), .qos = 1 });
    EXPECT_HEX(&out, "82 08 000a 0003 612f23 01");
    mqtt_add_subscribe(
        &out,
        &(MqttSubscribe){
            .version = MQTT_5, .id = 10, .filter = STR("a"), .qos = 2, .wants_retained = true });
    EXPECT_HEX(&out, "82 07 000a 00 0001 61 12");
    mqtt_add_subscribe(
        &out,
        &(MqttSubscribe){ .version = MQTT_5, .id = 10, .filter = STR("$share/g/a"), .qos = 2 });
    EXPECT_HEX(&out, "82 10 000a 00 000a 2473686172652f672f61 02");
    mqtt_add_ack(&out, MQTT_PUBACK, 258);
    mqtt_add_ack(&out, MQTT_PUBREL, 1);
    EXPECT_HEX(&out, "40 02 0102 62 02 0001");
    mqtt_add_ping(&out);
    mqtt_add_disconnect(&out, MQTT_5);
    EXPECT_HEX(&out, "c0 00 e0 00");
    mqtt_add_publish(&out, &(MqttPublish){ .version = MQTT_5,
                                           .qos = 1,
                                           .id = 7,
                                           .is_retained = true,
                                           .topic = STR("t"),
                                           .payload = STR("x") });
    EXPECT_HEX(&out, "33 07 0001 74 0007 00 78");
}

/* Each piece of a packet asks for more; nothing is decided before the length is there. */
TEST(scans_pieces)
{
    AUTO(buf_deinit) Buf out = { 0 }, payload = { 0 };
    size_t len = 0;

    for (int i = 0; i < 200; i++)
        buf_add_char(&payload, 'x');
    mqtt_add_publish(&out, &(MqttPublish){ .version = MQTT_3_1_1,
                                           .topic = STR("topic"),
                                           .payload = buf_str(&payload) });
    for (size_t n = 0; n < out.len; n++) {
        EXPECT_EQ(mqtt_scan(str_sub(buf_str(&out), 0, n), &len), MQTT_MORE);
        EXPECT_EQ(len, n < 3 ? 0 : out.len);
    }
    EXPECT_OK(mqtt_scan(buf_str(&out), &len));
    EXPECT_EQ(len, out.len);
    EXPECT_EQ(mqtt_scan(str_from("\x0f\x00", 2), &len), -ERR_NETWORK);
    EXPECT_EQ(mqtt_scan(str_from("\x30\xff\xff\xff\xff\x01", 6), &len), -ERR_NETWORK);
    EXPECT_EQ(mqtt_scan(str_from("\x30\xff\xff\xff\x7f", 5), &len), MQTT_TOO_LARGE);
}

TEST(reads_publish)
{
    char out[512];
    MqttPacket packet;

    EXPECT_OK(decode_hex(MQTT_3_1_1, "30 04 0002 612f", out, &packet));
    EXPECT_EQ(packet.qos, 0);
    EXPECT_STR(packet.topic, STR_C("a/"));
    EXPECT_EQ(packet.payload.len, 0);
    EXPECT_OK(decode_hex(MQTT_3_1_1, "3d 07 0001 61 ffff 6869", out, &packet));
    EXPECT_EQ(packet.qos, 2);
    EXPECT_EQ(packet.id, 65535);
    EXPECT(packet.is_repeat && packet.is_retained);
    EXPECT_STR(packet.payload, STR_C("hi"));
    /* Content type, two user properties, two subscription identifiers, expiry. */
    EXPECT_OK(decode_hex(MQTT_5,
                         "32 1e 0001 61 0001 17 03 0003 612f62 26 0001 61 0000 26 0001 61 0000 0b "
                         "01 0b 8001 78",
                         out, &packet));
    EXPECT_STR(packet.properties.content_type, STR_C("a/b"));
    EXPECT_STR(packet.payload, STR_C("x"));
}

TEST(reads_connack_and_suback)
{
    char out[512];
    MqttPacket packet;

    EXPECT_OK(decode_hex(MQTT_3_1_1, "20 02 01 00", out, &packet));
    EXPECT(packet.is_session_present);
    EXPECT_OK(decode_hex(MQTT_5, "20 03 00 00 00", out, &packet));
    EXPECT_EQ(packet.properties.receive_max, 65535);
    EXPECT_EQ(packet.properties.qos_max, 2);
    EXPECT(packet.properties.has_shared && packet.properties.has_wildcards);
    EXPECT_OK(decode_hex(MQTT_5, "20 14 00 00 11 21 0014 24 01 2a 00 13 000a 1f 0002 6869 28 00",
                         out, &packet));
    EXPECT_EQ(packet.properties.receive_max, 20);
    EXPECT_EQ(packet.properties.qos_max, 1);
    EXPECT_EQ(packet.properties.keep_alive_s, 10);
    EXPECT(!packet.properties.has_shared && !packet.properties.has_wildcards);
    EXPECT_STR(packet.properties.reason, STR_C("hi"));
    /* What a server of 3.1.1 says to a client of 5.0. */
    EXPECT_OK(decode_hex(MQTT_5, "20 02 00 01", out, &packet));
    EXPECT_EQ(packet.reason, 1);
    EXPECT_OK(decode_hex(MQTT_5, "90 05 0001 00 0187", out, &packet));
    EXPECT_EQ(packet.codes.len, 2);
    EXPECT_OK(decode_hex(MQTT_3_1_1, "90 03 0001 80", out, &packet));
    EXPECT_OK(decode_hex(MQTT_5, "e0 01 8e", out, &packet));
    EXPECT(strstr(mqtt_reason_text(packet.reason), "taken over") != NULL);
    EXPECT_OK(decode_hex(MQTT_3_1_1, "62 02 0009", out, &packet));
    EXPECT_EQ(packet.type, MQTT_PUBREL);
    EXPECT_EQ(packet.id, 9);
}

/* What no server may send. */
TEST(refuses)
{
    static const struct {
        MqttVersion version;
        const char *hex;
    } bad[] = {
        { MQTT_3_1_1, "" },
        { MQTT_3_1_1, "30" },
        { MQTT_3_1_1, "36 05 0001 61 0001" },     /* quality of service 3 */
        { MQTT_3_1_1, "38 03 0001 61" },          /* a repeat of 0 */
        { MQTT_3_1_1, "30 02 0000" },             /* no topic */
        { MQTT_3_1_1, "30 03 0001 2b" },          /* topic "+" */
        { MQTT_3_1_1, "30 03 0001 00" },          /* a zero byte */
        { MQTT_3_1_1, "30 03 0001 ff" },          /* not UTF-8 */
        { MQTT_3_1_1, "30 03 0002 61" },          /* cut */
        { MQTT_3_1_1, "32 05 0001 61 0000" },     /* identifier 0 */
        { MQTT_3_1_1, "30 83 00 0001 61" },       /* a length longer than needed */
        { MQTT_3_1_1, "30 04 0001 61" },          /* a length that is none */
        { MQTT_3_1_1, "20 02 02 00" },            /* reserved bits */
        { MQTT_3_1_1, "21 02 00 00" },            /* flags */
        { MQTT_3_1_1, "20 02 01 05" },            /* refused with a session */
        { MQTT_3_1_1, "20 03 00 00 00" },         /* bytes behind */
        { MQTT_3_1_1, "60 02 0001" },             /* PUBREL without its flags */
        { MQTT_3_1_1, "90 02 0001" },             /* no code */
        { MQTT_3_1_1, "10 00" },                  /* of clients */
        { MQTT_3_1_1, "c0 00" },                  /* of clients */
        { MQTT_3_1_1, "e0 00" },                  /* of clients in this version */
        { MQTT_3_1_1, "d0 01 00" },               /* a ping's answer with bytes */
        { MQTT_5, "30 06 0001 61 03 0101" },      /* properties end too early */
        { MQTT_5, "30 06 0001 61 02 0102" },      /* a flag of 2 */
        { MQTT_5, "30 08 0001 61 04 0101 0100" }, /* twice */
        { MQTT_5, "30 07 0001 61 03 23 0001" },   /* an alias */
        { MQTT_5, "30 07 0001 61 03 21 0001" },   /* of CONNACK */
        { MQTT_5, "30 06 0001 61 02 7f 00" },     /* not known */
        { MQTT_5, "20 06 00 00 03 21 0000" },     /* a receive maximum of 0 */
        { MQTT_5, "20 02 00 00" },                /* no properties */
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char out[512];
        MqttPacket packet;

        if (decode_hex(bad[i].version, bad[i].hex, out, &packet) != -ERR_NETWORK)
            test_fail(__FILE__, __LINE__, "taken: %s", bad[i].hex);
    }
}

TEST(checks_filters)
{
    static const char *const good[] = {
        "a", "/", "a/b/+", "+/+", "#", "a/#", "$share/g/a/+", "$SYS/x", "a b", "$share/gruppe/#"
    };
    static const char *const bad[] = { "",         "a+",        "a/+b",       "#/a",  "a#",
                                       "$share/g", "$share//a", "$share/+/a", "\xff", "a/#/b" };

    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        EXPECT_OK(mqtt_check_filter(str_from_c(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (mqtt_check_filter(str_from_c(bad[i])) != -ERR_INVALID)
            test_fail(__FILE__, __LINE__, "taken: %s", bad[i]);
    }
    EXPECT_EQ(mqtt_check_filter(str_from_c("$share/g/")), -ERR_INVALID);
}

TEST_MAIN()
