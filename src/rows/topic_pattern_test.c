/*
 * Patterns of topics, and addresses of brokers: what they take, and what they refuse in words that
 * tell no password.
 */
#include "rows/topic_pattern.h"

#include "base/test.h"
#include "rows/broker_url.h"

/* The names and values that PATTERN finds in TOPIC: "building=b1 sensor=t7"; "no" when it does not
 * fit. */
static const char *match(const char *pattern, const char *topic)
{
    static char out[300];
    Str values[LIMIT_TOPIC_LEVELS];
    TopicPattern parsed;
    size_t len = 0;

    if (topic_pattern_parse(&parsed, str_from_c(pattern), '/') < 0)
        return "refused";
    if (!topic_pattern_match(&parsed, str_from_c(topic), values))
        return "no";
    out[0] = 0;
    for (size_t i = 0; i < parsed.n; i++) {
        if (parsed.names[i].len > 0)
            len += (size_t) snprintf(out + len, sizeof(out) - len, "%s%.*s=%.*s",
                                     len > 0 ? " " : "", (int) parsed.names[i].len,
                                     parsed.names[i].data, (int) values[i].len, values[i].data);
    }
    return out;
}
#define EXPECT_MATCH(pattern, topic, want) \
    EXPECT_STR(str_from_c(match((pattern), (topic))), STR_C(want))

TEST(patterns_find_levels)
{
    EXPECT_MATCH("sensors/{building}/{sensor}", "sensors/b1/t7", "building=b1 sensor=t7");
    EXPECT_MATCH("sensors/{building}/{sensor}", "sensors/b1", "no");
    EXPECT_MATCH("sensors/{building}/{sensor}", "sensors/b1/t7/x", "no");
    EXPECT_MATCH("sensors/{building}/{sensor}", "other/b1/t7", "no");
    EXPECT_MATCH("{a}/+/{}/{b}", "1/2/3/4", "a=1 b=4");
    EXPECT_MATCH("{a}/#", "1/2/3/4", "a=1");
    EXPECT_MATCH("{a}/#", "1", "a=1");
    EXPECT_MATCH("/{a}", "/x", "a=x");
    EXPECT_MATCH("{a}/", "x/", "a=x");
    EXPECT_MATCH("{a}/{b}", "x/", "a=x b=");
    EXPECT_MATCH("#", "x/y", "");
}

TEST(patterns_are_refused)
{
    static const char *const bad[] = { "",        "{a",    "a}", "x{a}",     "{a}x",
                                       "{a}/{a}", "{{a}}", "a+", "#/{a}/#b", "\xff" };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (strcmp(match(bad[i], "x"), "refused") != 0)
            test_fail(__FILE__, __LINE__, "taken: %s", bad[i]);
    }
}

TEST(addresses_are_cut)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    BrokerUrl url;

    EXPECT_OK(broker_url_parse(&arena, STR_C("mqtts://me:p%40s%2Fs@[::1]:8884/a/b"), "mqtt", &url));
    EXPECT(url.is_tls && url.has_path);
    EXPECT_STR(url.user, STR_C("me"));
    EXPECT_STR(url.password, STR_C("p@s/s"));
    EXPECT_STR(url.host, STR_C("::1"));
    EXPECT_EQ(url.port, 8884);
    EXPECT_STR(url.path, STR_C("a/b"));
    EXPECT_OK(broker_url_parse(&arena, STR_C("broker.example"), "mqtt", &url));
    EXPECT_STR(url.host, STR_C("broker.example"));
    EXPECT_EQ(url.port, 0);
    EXPECT(!url.is_tls && !url.has_path);
    EXPECT_OK(broker_url_parse(&arena, STR_C("a:9092,b:9092"), "kafka", &url));
    EXPECT_STR(url.host, STR_C("a:9092,b:9092"));
    EXPECT_OK(broker_url_parse(&arena, STR_C("host:1"), "amqp", &url));
    EXPECT_EQ(url.port, 1);
}

TEST(addresses_are_refused_without_their_password)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    static const char *const bad[] = { "http://host",         "mqtt://",
                                       "mqtt://u:secret@",    "mqtt://u:secret%@host",
                                       "u:secret@host:99999", "mqttx://secret" };
    BrokerUrl url;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int r = broker_url_parse(&arena, str_from_c(bad[i]), "mqtt", &url);

        if (r != -ERR_INVALID || strstr(err_text(r), "secret"))
            test_fail(__FILE__, __LINE__, "%s: %d %s", bad[i], r, r < 0 ? err_text(r) : "taken");
    }
}

TEST_MAIN()
