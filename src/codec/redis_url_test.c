/*
 * Where a Redis is: each form and option, what is refused and with which words, no password in any
 * of them, and the slots that Redis Cluster gives to keys.
 */
#include "codec/redis_url.h"

#include "base/limits.h"
#include "base/test.h"

static void expect_url(int line, const char *text, const char *want)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf got = { 0 };
    RedisUrl url;
    int r = redis_url_parse(&arena, str_from_c(text), &url);

    if (r != 0)
        return test_fail(__FILE__, line, "%s: %s", text, err_text(r));
    redis_url_describe(&url, &got);
    if (!str_eq_c(buf_str(&got), want))
        test_fail(__FILE__, line, "%s: got %.*s, want %s", text, (int) got.len, got.data, want);
}

/* TEXT is refused with WORDS; nothing of what is written as "s3cret" gets out. */
static void expect_refused(int line, const char *text, const char *words)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    RedisUrl url;
    int r = redis_url_parse(&arena, str_from_c(text), &url);

    if (r != -ERR_USAGE)
        return test_fail(__FILE__, line, "%s: got %d", text, r);
    if (!strstr(err_text(r), words))
        test_fail(__FILE__, line, "%s: \"%s\" lacks \"%s\"", text, err_text(r), words);
    if (strstr(err_text(r), "s3c") || strstr(err_text(r), "ret"))
        test_fail(__FILE__, line, "%s: tells the secret: %s", text, err_text(r));
}

#define EXPECT_URL(text, want)      expect_url(__LINE__, text, want)
#define EXPECT_REFUSED(text, words) expect_refused(__LINE__, text, words)

TEST(reads_one_server)
{
    EXPECT_URL("redis://", "redis://localhost:6379");
    EXPECT_URL("redis://:6380", "redis://localhost:6380");
    EXPECT_URL("redis:///3", "redis://localhost:6379/3");
    EXPECT_URL("redis://10.0.0.1", "redis://10.0.0.1:6379");
    EXPECT_URL("redis://cache_1.example:7000/", "redis://cache_1.example:7000");
    EXPECT_URL("redis://h/15?prefix=x", "redis://h:6379/15");
    EXPECT_URL("redis://h?db=2", "redis://h:6379/2");
    EXPECT_URL("redis://[::1]:6380/1", "redis://[::1]:6380/1");
    EXPECT_URL("redis://[fe80::1]", "redis://[fe80::1]:6379");
    EXPECT_URL("rediss://u:p@h", "rediss://h:6379");
}

TEST(reads_clusters_sentinels_and_sockets)
{
    EXPECT_URL("redis://a,b:7001,[::2]:7002", "redis://a:6379,b:7001,[::2]:7002");
    EXPECT_URL("redis+sentinel://a,b:26380/mymaster", "redis+sentinel://a:26379,b:26380/mymaster");
    EXPECT_URL("rediss+sentinel:///m%20x/2", "rediss+sentinel://localhost:26379/m%20x/2");
    EXPECT_URL("redis+unix:///run/redis.sock", "redis+unix:///run/redis.sock");
    EXPECT_URL("redis+unix://u:p@/tmp/a%40b?db=4", "redis+unix:///tmp/a%40b?db=4");
}

TEST(reads_every_option)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    RedisUrl url;

    EXPECT_OK(
        redis_url_parse(&arena,
                        STR_C("rediss+sentinel://me:p%40ss%2Fword%3A@h:1/m?prefix=app:sl&"
                              "partitions=64&ca=/etc/ca+1.pem&cert=c.pem&key=k.pem&insecure=1&"
                              "server_name=redis.example&sentinel_user=su&"
                              "sentinel_password=s%26p&db=7"),
                        &url));
    EXPECT(url.is_tls && url.is_sentinel && url.is_insecure);
    EXPECT_STR(url.user, STR_C("me"));
    EXPECT_STR(url.password, STR_C("p@ss/word:"));
    EXPECT_STR(url.master, STR_C("m"));
    EXPECT_STR(url.prefix, STR_C("app:sl"));
    EXPECT_EQ(url.partitions, 64);
    EXPECT_STR(url.ca, STR_C("/etc/ca+1.pem"));
    EXPECT_STR(url.cert, STR_C("c.pem"));
    EXPECT_STR(url.key, STR_C("k.pem"));
    EXPECT_STR(url.server_name, STR_C("redis.example"));
    EXPECT_STR(url.sentinel_user, STR_C("su"));
    EXPECT_STR(url.sentinel_password, STR_C("s&p"));
    EXPECT_EQ(url.db, 7);

    EXPECT_OK(redis_url_parse(&arena, STR_C("redis://:pw@h"), &url));
    EXPECT(url.user.len == 0 && !url.is_tls && !url.is_insecure && url.partitions == 0);
    EXPECT_STR(url.password, STR_C("pw"));
    EXPECT_STR(url.prefix, STR_C("sl"));
}

TEST(refuses_with_words)
{
    EXPECT_REFUSED("", "begins with redis://");
    EXPECT_REFUSED("localhost:6379", "begins with redis://");
    EXPECT_REFUSED("http://h", "begins with redis://");
    EXPECT_REFUSED("redi://h", "did you mean redis://?");
    EXPECT_REFUSED("redis+sentinal://h/m", "did you mean redis+sentinel://?");
    EXPECT_REFUSED("redis:/h", "begins with redis://");
    EXPECT_REFUSED("redis://h:0", "port of \"h\"");
    EXPECT_REFUSED("redis://h:65536", "port of \"h\"");
    EXPECT_REFUSED("redis://h:", "port of \"h\"");
    EXPECT_REFUSED("redis://::1", "stands in brackets");
    EXPECT_REFUSED("redis://[::1", "without its ']'");
    EXPECT_REFUSED("redis://[]", "no name and no IP");
    EXPECT_REFUSED("redis://[1]", "no name and no IP");
    EXPECT_REFUSED("redis://[::1]6379", "port of");
    EXPECT_REFUSED("redis://a b", "space or a control");
    EXPECT_REFUSED("redis://a%20b", "no name and no IP");
    EXPECT_REFUSED("redis://a,,b", "missing beside a ','");
    EXPECT_REFUSED("redis://a,", "missing beside a ','");
    EXPECT_REFUSED("redis://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "more than 16 hosts");
    EXPECT_REFUSED("redis://h/x", "is a number");
    EXPECT_REFUSED("redis://h/-1", "is a number");
    EXPECT_REFUSED("redis://h/4294967296", "is a number");
    EXPECT_REFUSED("redis://h/1/2", "nothing behind");
    EXPECT_REFUSED("redis://h//", "is a number");
    EXPECT_REFUSED("redis://h/1?db=1", "twice");
    EXPECT_REFUSED("redis://h#1", "'#'");
    EXPECT_REFUSED("redis+sentinel://h", "needs the name");
    EXPECT_REFUSED("redis+sentinel://h//1", "needs the name");
    EXPECT_REFUSED("redis+unix://run/redis.sock", "third '/'");
    EXPECT_REFUSED("redis+unix://", "needs the path");
    EXPECT_REFUSED("redis+unix:///a%00b", "zero byte");
    EXPECT_REFUSED(
        "redis+unix:///aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "at most 107");
}

TEST(refuses_options_with_words)
{
    EXPECT_REFUSED("redis://h?prefx=a", "did you mean prefix?");
    EXPECT_REFUSED("redis://h?partition=4", "did you mean partitions?");
    EXPECT_REFUSED("redis://h?zzz=1", "not known; there are db, prefix");
    EXPECT_REFUSED("redis://h?username=x", "before the host");
    EXPECT_REFUSED("redis://h?prefix=", "prefix= has no value");
    EXPECT_REFUSED("redis://h?prefix", "prefix= has no value");
    EXPECT_REFUSED("redis://h?prefix=a{b}", "letters, digits");
    EXPECT_REFUSED("redis://h?prefix="
                   "0123456789012345678901234567890123456789012345678901234567890123456789",
                   "at most 64");
    EXPECT_REFUSED("redis://h?partitions=0", "from 1 to 1024");
    EXPECT_REFUSED("redis://h?partitions=1025", "from 1 to 1024");
    EXPECT_REFUSED("redis://h?partitions=1x", "from 1 to 1024");
    EXPECT_REFUSED("redis://h?db=1&db=1", "db= is given twice");
    EXPECT_REFUSED("redis://h?ca=x", "for TLS only");
    EXPECT_REFUSED("redis+unix:///s?insecure=1", "for TLS only");
    EXPECT_REFUSED("rediss://h?insecure=yes", "1 or 0");
    EXPECT_REFUSED("rediss://h?cert=c.pem", "belong together");
    EXPECT_REFUSED("redis://h?sentinel_user=x", "for redis+sentinel://");
    EXPECT_REFUSED("redis://h?prefix=%zz", "without two hexadecimal");
}

/* However a secret got into the wrong place, it stays there. */
TEST(keeps_secrets)
{
    EXPECT_REFUSED("s3cret@h", "begins with");
    EXPECT_REFUSED("redis:s3cret@h", "begins with");
    EXPECT_REFUSED("redsi://:s3cret@h", "did you mean redis://?");
    EXPECT_REFUSED("redis://:s3c/ret@h", "%2F");
    EXPECT_REFUSED("redis://:s3c?ret@h", "%3F");
    EXPECT_REFUSED("redis://:s3c#ret@h", "%23");
    EXPECT_REFUSED("redis://:s3c@ret@h", "%40");
    EXPECT_REFUSED("redis://me:s3c:ret@h", "%3A");
    EXPECT_REFUSED("redis://:s3c%zzret@h", "two hexadecimal");
    EXPECT_REFUSED("redis://:s3c%ffret@h", "UTF-8");
    EXPECT_REFUSED("redis://:s3c ret@h", "space");
    EXPECT_REFUSED("redis://me:s3cret", "goes before an '@'");
    EXPECT_REFUSED("redis://:s3cret", "goes before an '@'");
    EXPECT_REFUSED("redis://:s3cret@h:port", "port of \"h\"");
    EXPECT_REFUSED("redis://:s3cret@h/x", "is a number");
    EXPECT_REFUSED("redis://h?password=s3cret", "before the host");
    EXPECT_REFUSED("redis://h?sentinel_password=s3cret", "for redis+sentinel://");
    EXPECT_REFUSED("redis+sentinel://h/m?sentinel_pasword=s3cret",
                   "did you mean sentinel_password?");
    EXPECT_REFUSED("redis+sentinel://h/m?sentinel_password=s3c%ret", "two hexadecimal");
}

TEST(describes_without_secrets)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    RedisUrl url;

    EXPECT_OK(redis_url_parse(&arena,
                              STR_C("rediss+sentinel://me:s3cret@h/m/1?sentinel_user=su&"
                                    "sentinel_password=s4cret&ca=c.pem"),
                              &url));
    redis_url_describe(&url, &out);
    EXPECT_STR(buf_str(&out), STR_C("rediss+sentinel://h:26379/m/1"));
}

/* The vector of CRC16/XMODEM; the others are what a Redis 7.0 says to CLUSTER KEYSLOT. */
TEST(gives_slots)
{
    EXPECT_EQ(redis_slot(STR_C("123456789")), 0x31c3);
    EXPECT_EQ(redis_slot(STR_C("")), 0);
    EXPECT_EQ(redis_slot(STR_C("foo")), 12182);
    EXPECT_EQ(redis_slot(STR_C("bar")), 5061);
    EXPECT_EQ(redis_slot(STR_C("{user1000}.following")), 3443);
    EXPECT_EQ(redis_slot(STR_C("{user1000}.followers")), 3443);
    EXPECT_EQ(redis_slot(STR_C("foo{}{bar}")), 8363);
    EXPECT_EQ(redis_slot(STR_C("foo{{bar}}zap")), 4015);
    EXPECT_EQ(redis_slot(STR_C("foo{bar}{zap}")), 5061);
    EXPECT_EQ(redis_slot(STR_C("a}b{c}d")), 7365);
    EXPECT_EQ(redis_slot(STR_C("a{")), 14311);
    EXPECT_EQ(redis_slot(STR_C("{}")), 15257);
    EXPECT_EQ(redis_slot(STR_C("sl{7}:x")), 1716);
}

TEST_MAIN()
