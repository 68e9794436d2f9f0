/*
 * Fuzz target: a pattern, a line end, a topic. What is found are the topic's own levels, in order.
 * The same bytes as the address of a broker.
 */
#include "rows/topic_pattern.h"

#include "base/assert.h"
#include "rows/broker_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str topic, text = str_cut(str_from((const char *) data, len), '\n', &topic);
    Str values[LIMIT_TOPIC_LEVELS];
    TopicPattern pattern;
    BrokerUrl url;
    size_t at = 0;

    if (broker_url_parse(&arena, text, "mqtt", &url) == 0)
        ASSERT(url.host.len > 0 && str_find(url.host, '\0') < 0);
    if (topic_pattern_parse(&pattern, text, '/') < 0)
        return 0;
    ASSERT(pattern.n <= LIMIT_TOPIC_LEVELS);
    if (!topic_pattern_match(&pattern, topic, values))
        return 0;
    for (size_t i = 0; i < pattern.n; i++) {
        ASSERT(at + values[i].len <= topic.len);
        ASSERT(str_eq(values[i], str_sub(topic, at, values[i].len)));
        at += values[i].len + 1;
    }
    return 0;
}
