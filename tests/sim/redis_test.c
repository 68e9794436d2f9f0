/*
 * The simulated Redis against a real one: the same commands from a seed to both, and the same
 * answers.
 *
 * The simulated server is talked to over the simulated network, the real one (redis-server of this
 * machine; without it these tests are skipped) over a Unix socket, in RESP2 and RESP3. What Redis
 * leaves open is not compared: the order of hashes and sets, the words of an error behind its
 * script's name, what is left of a time to live.
 */
#include "../sim/redis_duel.h"

#include "base/test.h"

/* ---- commands from a seed -------------------------------------------------------------------- */

/*
 * A template's words: S L H T Z a key that should hold a string, list, hash, set, sorted set; F a
 * field or member; V a value; I a number; R a score; B a bound of scores; X a bound of names; Y a
 * sorted set with equal scores; N a count; E a far time. Anything else is itself.
 */
static const char *const templates[] = {
    "get S",
    "set S V",
    "set S V nx",
    "set S V xx",
    "set S V px 100000000",
    "set S V exat E",
    "set S V xx get",
    "set S V keepttl",
    "set S I",
    "setnx S V",
    "getset S V",
    "getdel S",
    "setex S 100000 V",
    "mget S S L",
    "mset S V S V",
    "msetnx S V S V",
    "incr S",
    "decr S",
    "incrby S I",
    "decrby S I",
    "append S V",
    "strlen S",
    "getrange S I I",
    "setrange S N V",
    "del S L",
    "del H T Z",
    "unlink S",
    "exists S L S",
    "type S",
    "type Z",
    "expire S 1000000",
    "pexpire L 100000000 nx",
    "expireat H E gt",
    "pexpireat S 99999999999999 lt",
    "expiretime S",
    "pexpiretime H",
    "ttl S",
    "pttl L",
    "persist S",
    "rename S S",
    "dbsize",
    "expire S -1",
    "lpush L V",
    "rpush L V V V",
    "lpush L F F",
    "lpushx L V",
    "rpushx L V",
    "lpop L",
    "rpop L",
    "lpop L N",
    "rpop L N",
    "llen L",
    "lrange L I I",
    "lrange L 0 -1",
    "lindex L I",
    "lset L I V",
    "ltrim L I I",
    "lrem L I F",
    "hset H F V",
    "hset H F V F V",
    "hmset H F V",
    "hset H F I",
    "hsetnx H F V",
    "hget H F",
    "hmget H F F",
    "hdel H F F",
    "hlen H",
    "hexists H F",
    "hstrlen H F",
    "hincrby H F I",
    "hgetall H",
    "hkeys H",
    "hvals H",
    "hscan H 0 count 1000",
    "sadd T F F",
    "srem T F F",
    "scard T",
    "sismember T F",
    "smismember T F F",
    "smembers T",
    "sscan T 0 match a* count 1000",
    "zadd Z R F",
    "zadd Z R F R F R F",
    "zadd Z nx R F",
    "zadd Z xx ch R F R F",
    "zadd Z gt R F",
    "zadd Z lt ch R F",
    "zadd Z incr R F",
    "zadd Z xx gt incr R F",
    "zincrby Z R F",
    "zrem Z F F",
    "zcard Z",
    "zscore Z F",
    "zmscore Z F F",
    "zrank Z F",
    "zrevrank Z F",
    "zcount Z B B",
    "zlexcount Y X X",
    "zadd Y 0 F 0 F",
    "zrem Y F",
    "zrange Z I I",
    "zrange Z I I withscores",
    "zrange Z I I rev withscores",
    "zrange Z B B byscore",
    "zrange Z B B byscore rev limit N N",
    "zrange Z B B byscore limit 0 N",
    "zrange Y X X bylex",
    "zrange Y X X bylex rev limit N N",
    "zrevrange Z I I withscores",
    "zrangebyscore Z B B",
    "zrangebyscore Z B B withscores limit N N",
    "zrangebyscore Z B B limit 0 1",
    "zrevrangebyscore Z B B limit N -1",
    "zrangebylex Y X X limit N N",
    "zrevrangebylex Y X X",
    "zpopmin Z",
    "zpopmin Z N",
    "zpopmax Z N",
    "zremrangebyrank Z I I",
    "zremrangebyscore Z B B",
    "zremrangebylex Y X X",
    "zscan Z 0 count 1000",
    "scan 0 count 1000",
    "ping",
    "ping V",
    "echo V",
    "nonsense F V",
    "select 0",
    "client getname",
    "client setname a",
    "config get maxmemory-policy",

    "publish F V",
    "sadd S F",
    "hget L F",
    "zadd H R F",
    "lpush Z V",
    "incr T",
};

static Str word(Duel *duel, char kind)
{
    static const char *const fields[] = { "a", "b", "c", "d", "aa", "ab", "field", "x y" };
    static const char *const scores[] = { "0",   "1",    "-1", "2.5", "100", "1763735520123",
                                          "inf", "-inf", "3" };
    static const char *const bounds[] = { "-inf", "+inf", "0",    "(0",           "(1",
                                          "2",    "100",  "(100", "1763735520123" };
    static const char *const names[] = { "-", "+", "[a", "(a", "[b", "(c", "[field" };
    static const char keys[] = "SLHTZ";
    Rand *rand = &duel->rand;

    switch (kind) {
    case 'F': return str_from_c(fields[rand_below(rand, ARRAY_LEN(fields))]);
    case 'R': return str_from_c(scores[rand_below(rand, ARRAY_LEN(scores))]);
    case 'B': return str_from_c(bounds[rand_below(rand, ARRAY_LEN(bounds))]);
    case 'X': return str_from_c(names[rand_below(rand, ARRAY_LEN(names))]);
    case 'N': return arena_printf(&duel->arena, "%d", (int) rand_below(rand, 5));
    case 'I': return arena_printf(&duel->arena, "%d", (int) rand_below(rand, 13) - 6);
    case 'E': return STR_C("9999999999");
    case 'V':
        return rand_below(rand, 4) == 0
                   ? str_from("\0\r\n\xff", rand_below(rand, 5))
                   : arena_printf(&duel->arena, "v%d", (int) rand_below(rand, 100));
    default:
        if (kind != 'Y' && rand_below(rand, 40) == 0)
            kind = keys[rand_below(rand, 5)];
        return arena_printf(&duel->arena, "%c%d", kind, (int) rand_below(rand, 3));
    }
}

SUSPENDS static void one_command(Duel *duel)
{
    Str rest = str_from_c(templates[rand_below(&duel->rand, ARRAY_LEN(templates))]);
    Str argv[16];
    size_t argc = 0;

    arena_reset(&duel->arena);
    while (rest.len > 0) {
        Str token = str_cut(rest, ' ', &rest);
        bool is_kind = token.len == 1 && strchr("SLHTZYFVIRBXNE", token.data[0]);

        argv[argc++] = is_kind ? word(duel, token.data[0]) : token;
    }
    if (!str_eq_c(argv[0], "client") && !str_eq_c(argv[0], "config")) {
        if (argc > 1 && rand_below(&duel->rand, 60) == 0)
            argc--;
        else if (argc > 1 && rand_below(&duel->rand, 60) == 0)
            argv[rand_below(&duel->rand, argc - 1) + 1] = word(duel, 'F');
    }
    for (size_t i = 0; i < argc; i++)
        argv[i] = arena_copy(&duel->arena, argv[i]);
    duel_ask(duel, argv, argc);
}

SUSPENDS static void random_commands(Duel *duel, uint64_t seed, unsigned n)
{
    rand_init(&duel->rand, seed);
    duel_ask_c(duel, "flushall", NULL, NULL);
    for (unsigned i = 0; i < n && duel->n_differences < 5; i++)
        one_command(duel);
    if (duel->n_differences > 0)
        printf("  (seed %llu)\n", (unsigned long long) seed);
}

static void with_resp2(Duel *duel)
{
    for (uint64_t seed = 1; seed <= 12; seed++)
        random_commands(duel, seed, 1500);
}

TEST(the_same_commands_get_the_same_answers)
{
    duel_run(with_resp2);
}

static void with_resp3(Duel *duel)
{
    Str hello[2] = { STR("hello"), STR("3") };
    AUTO(buf_deinit) Buf ignored = { 0 };

    EXPECT_OK(peer_ask(&duel->real, hello, 2, &ignored));
    EXPECT_OK(peer_ask(&duel->sim, hello, 2, &ignored));
    for (uint64_t seed = 100; seed <= 106; seed++)
        random_commands(duel, seed, 1500);
}

TEST(in_the_third_protocol_too)
{
    duel_run(with_resp3);
}

#if SL_HAVE_LUA

static const char *const scripts[] = {
    "return 1",
    "return 3.99",
    "return -3.99",
    "return 'text'",
    "return true",
    "return false",
    "return nil",
    "return {1, 2, 'three', {4, {5}}, nil, 6}",
    "return {}",
    "return {ok='FINE'}",
    "return {err='BAD thing'}",
    "return redis.error_reply('BAD thing')",
    "return redis.error_reply('-BAD thing')",
    "return redis.status_reply('FINE')",
    "return {KEYS[1], KEYS[2], ARGV[1], #KEYS, #ARGV, ARGV[9]}",
    "return redis.call('set', KEYS[1], ARGV[1])",
    "return redis.call('get', KEYS[1])",
    "return redis.call('get', 'nothing')",
    "return {redis.call('get', 'nothing')}",
    "return redis.call('get', 'nothing') == false",
    "return redis.call('incrby', 'n', 3)",
    "return redis.call('set', 'n', 1763735520123)",
    "return redis.call('get', 'n')",
    "return redis.call('set', 'n', 0.5)", /* 0.1 has more digits before Redis 8 */
    "return redis.call('get', 'n')",
    "return tostring(1763735520123)",
    "return tostring(2^53)",
    "return 2^53",
    "return redis.call('rpush', 'l', 1, 2, 3.5, '4')",
    "return redis.call('lrange', 'l', 0, -1)",
    "return #redis.call('lrange', 'l', 0, -1)",
    "return redis.call('hset', 'h', 'f', 1, 'g', 2)",
    "return redis.call('hgetall', 'h')",
    "return redis.call('hmget', 'h', 'f', 'no', 'g')",
    "return redis.call('zadd', 'z', 1763735520123, 'a', 2, 'b')",
    "return redis.call('zrangebyscore', 'z', '-inf', '+inf', 'withscores')",
    "return redis.call('zscore', 'z', 'a')",
    "return type(redis.call('zscore', 'z', 'a'))",
    "return redis.call('zpopmin', 'z')",
    "return redis.pcall('incr', 'h')",
    "return redis.pcall('incr', 'h').err",
    "return redis.call('incr', 'h')",
    "return redis.call('nonsense')",
    "return redis.call('get')",
    "return redis.call('subscribe', 'x')",
    "return redis.call()",
    "return redis.call({})",
    "return pcall(redis.call, 'incr', 'h')",
    "local ok, e = pcall(redis.call, 'incr', 'h') return type(e)",
    "local ok, e = pcall(redis.call, 'incr', 'h') return e",
    "local ok, e = pcall(error, {err='MINE x'}) return e",
    "local ok, e = pcall(error, {1}) return type(e)",
    "return {pcall(function() return 1, 2 end)}",
    "return error('oops')",
    "return error({err='MINE oops'})",
    "return nosuchglobal",
    "aglobal = 1",
    "local t = redis.call('time') return #t",
    "return redis.sha1hex('')",
    "return redis.sha1hex('abc')",
    "return redis.call('set', 'bin', 'a\\0b\\r\\n')",
    "return redis.call('get', 'bin')",
    "return string.format('%d %s %5.2f', 12, 'x', 1.5)",
    "return {string.find('job 12 x', '(%d+)')}",
    "return table.concat({1, 2, 3}, ',')",
    "return {tonumber('12'), tonumber('x'), tonumber('0x10')}",
    "return redis.call('ping')",
    "return redis.call('ping').ok",
    "return redis.call('type', 'h').ok",
    "return redis.call('exists', 'h', 'l')",
    "return redis.call('expire', 'h', 1000)",
    "return redis.call('sadd', 's', 'x')",
    "return redis.call('smembers', 's')",
    "return redis.call('del', 'h', 'l', 's', 'z')",
    "return redis.call('echo', '')",
    "return {1, false, 2}",
    "return {1, true, 2}",
    "redis.setresp(3) return redis.call('hgetall', 'no')",
    "local x = {} for i = 1, 3 do x[i] = i end return x",
    "return math.floor(3.7)",
    "return unpack({7, 8})",
    "return select('#', 1, 2, 3)",
    "return redis.call('publish', 'c', 'm')",
    "this is no Lua",
};

static void the_scripts(Duel *duel)
{
    Str argv[] = { STR("eval"), { 0 }, STR("2"), STR("k1"), STR("k2"), STR("value") };

    duel_ask_c(duel, "flushall", NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        argv[1] = str_from_c(scripts[i]);
        duel_ask(duel, argv, ARRAY_LEN(argv));
    }
}

static const char library[] =
    "#!lua name=lib_1\n"
    "local function helper(x) return x .. '!' end\n"
    "redis.register_function('say', function(keys, args) return {keys[1], helper(args[1])} end)\n"
    "redis.register_function{function_name='read', flags={'no-writes'},\n"
    "  callback=function(keys, args) return redis.call('get', keys[1]) end}\n"
    "redis.register_function{function_name='cheat', flags={'no-writes'},\n"
    "  callback=function(keys, args) return redis.call('set', keys[1], 'x') end}\n";

static void the_functions(Duel *duel)
{
    Str say[] = { STR("fcall"), STR("say"), STR("1"), STR("k"), STR("hello") };
    Str read[] = { STR("fcall_ro"), STR("read"), STR("1"), STR("k") };
    Str cheat[] = { STR("fcall"), STR("cheat"), STR("1"), STR("k") };
    Str again[] = { STR("function"), STR("load"), STR("replace"), str_from_c(library) };
    Str sum[] = { STR("evalsha"), STR("e0e1f9fabfc9d4800c877a703b823ac0578ff8db"), STR("0") };

    duel_ask_c(duel, "flushall", NULL, NULL);
    duel_ask_c(duel, "function", "flush", NULL);
    duel_ask_c(duel, "script", "flush", NULL);
    duel_ask(duel, say, 5);
    duel_ask_c(duel, "function", "load", library);
    duel_ask_c(duel, "function", "load", library);
    duel_ask(duel, again, 4);
    duel_ask(duel, say, 5);
    duel_ask(duel, read, 4);
    duel_ask(duel, cheat, 4);
    duel_ask_c(duel, "function", "load", "no shebang");
    duel_ask_c(duel, "function", "load", "#!lua name=x\nreturn 1");
    duel_ask(duel, sum, 3);
    duel_ask_c(duel, "script", "load", "return 1");
    duel_ask_c(duel, "script", "exists", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    duel_ask(duel, sum, 3);
    duel_ask_c(duel, "script", "flush", NULL);
    duel_ask(duel, sum, 3);
    duel_ask_c(duel, "function", "delete", "lib_1");
    duel_ask(duel, say, 5);
}

static void scripts_in_both_protocols(Duel *duel)
{
    Str hello[2] = { STR("hello"), STR("3") };
    AUTO(buf_deinit) Buf ignored = { 0 };

    the_scripts(duel);
    the_functions(duel);
    EXPECT_OK(peer_ask(&duel->real, hello, 2, &ignored));
    EXPECT_OK(peer_ask(&duel->sim, hello, 2, &ignored));
    the_scripts(duel);
    the_functions(duel);
}

TEST(scripts_see_and_say_the_same)
{
    duel_run(scripts_in_both_protocols);
}

#endif

TEST_MAIN()
