/*
 * Fuzz: where a Redis is. What is accepted has what its form needs, its description is accepted too
 * and says the same; slots lie in range.
 */
#include "codec/redis_url.h"

#include "base/assert.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_url(const RedisUrl *url)
{
    ASSERT(url->n_hosts <= REDIS_HOSTS_MAX);
    ASSERT((url->n_hosts == 0) == (url->socket_path.len > 0));
    ASSERT(url->is_sentinel == (url->master.len > 0));
    ASSERT(url->prefix.len > 0 && url->prefix.len <= LIMIT_REDIS_PREFIX_BYTES);
    ASSERT(url->partitions <= LIMIT_REDIS_PARTITIONS);
    ASSERT((url->cert.len > 0) == (url->key.len > 0));
    for (size_t i = 0; i < url->n_hosts; i++)
        ASSERT(url->hosts[i].name.len > 0 && url->hosts[i].port > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };
    AUTO(buf_deinit) Buf again = { 0 };
    RedisUrl url, same;

    ASSERT(redis_slot(str_from((const char *) data, len)) < REDIS_SLOTS);
    if (redis_url_parse(&arena, str_from((const char *) data, len), &url) < 0)
        return 0;
    check_url(&url);
    redis_url_describe(&url, &text);
    ASSERT(redis_url_parse(&arena, buf_str(&text), &same) == 0);
    ASSERT(same.n_hosts == url.n_hosts && same.db == url.db && same.is_tls == url.is_tls);
    ASSERT(str_eq(same.master, url.master) && str_eq(same.socket_path, url.socket_path));
    ASSERT(same.user.len == 0 && same.password.len == 0);
    redis_url_describe(&same, &again);
    ASSERT(str_eq(buf_str(&text), buf_str(&again)));
    return 0;
}
