/*
 * The simulated Redis against a real one: the same commands from a seed to both, and the same
 * answers.
 *
 * The simulated server is talked to over the simulated network, the real one (redis-server of this
 * machine; without it these tests are skipped) over a Unix socket, in RESP2 and RESP3. What Redis
 * leaves open is not compared: the order of hashes and sets, the words of an error behind its
 * script's name, what is left of a time to live.
 */
#include "../sim/redis.h"

#include "base/rand.h"
#include "base/test.h"
#include "codec/resp.h"
#include "net/address.h"

#include <sluice/rt.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

typedef struct Peer {
    Stream *stream;
    Buf in;
    RespScan scan;
} Peer;

typedef struct Duel {
    Peer real, sim;
    Arena arena;   /* of the questions */
    Arena answers; /* of one comparison */
    Rand rand;
    SimRedis *redis;
    char last[400]; /* the command, for reports */
    unsigned n_differences;
    uint64_t n_compared, n_errors;
} Duel;

static pid_t server_pid;

/* ---- the real server ------------------------------------------------------------------------- */

static bool server_start(void)
{
    if (system("command -v redis-server >/dev/null 2>&1") != 0)
        return false;
    server_pid = fork();
    if (server_pid == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 1);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", "real.sock", "--save",
               "", "--appendonly", "no", "--daemonize", "no", (char *) NULL);
        _exit(127);
    }
    return server_pid > 0;
}

static void server_stop(void)
{
    if (server_pid <= 0)
        return;
    kill(server_pid, SIGKILL);
    waitpid(server_pid, NULL, 0);
    server_pid = 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

SUSPENDS static int ask(Peer *peer, const Str *argv, size_t argc, Buf *ret_frame)
{
    AUTO(buf_deinit) Buf out = { 0 };
    size_t len = 0;
    int r;

    resp_add_command(&out, argv, argc);
    r = stream_write_all(peer->stream, out.data, out.len);
    while (r == 0 && (peer->in.len == 0 ||
                      (r = resp_scan(&peer->scan, buf_str(&peer->in), &len)) == RESP_MORE)) {
        char *room = buf_reserve(&peer->in, 65536);
        ssize_t n = stream_read(peer->stream, room, 65536);

        if (n <= 0)
            return n < 0 ? (int) n : -ERR_CLOSED;
        peer->in.len += (size_t) n;
        r = 0;
    }
    if (r == 0) {
        buf_add(ret_frame, peer->in.data, len);
        buf_consume(&peer->in, len);
    }
    return r;
}

static int line_cmp(const void *a, const void *b)
{
    return str_cmp(*(const Str *) a, *(const Str *) b);
}

/* The lines of a reply in order, for replies whose order is not defined. */
static void sort_lines(Arena *arena, Str frame, Buf *out)
{
    size_t n = 0;
    Str *lines = arena_zalloc(arena, (frame.len + 1) * sizeof(Str)), rest = frame;

    while (rest.len > 0)
        lines[n++] = str_cut(rest, '\n', &rest);
    qsort(lines, n, sizeof(*lines), line_cmp);
    for (size_t i = 0; i < n; i++)
        buf_add_str(out, lines[i]);
}

static bool has_order(Str name)
{
    static const char *const unordered[] = { "hgetall", "hkeys", "hvals", "smembers",
                                             "hscan",   "sscan", "zscan", "scan" };

    for (size_t i = 0; i < ARRAY_LEN(unordered); i++) {
        if (str_eq_nocase(name, str_from_c(unordered[i])))
            return false;
    }
    return true;
}

/* What is compared of a reply. */
static Str essence(Arena *arena, Str name, Str frame)
{
    static const char *const cuts[] = { " script: ",
                                        ", with args",
                                        "user_script",
                                        "user_function",
                                        "Wrong number of args",
                                        "Unknown Redis command",
                                        "This Redis command is not allowed",
                                        "nonexistent global",
                                        "Error compiling" };
    Buf sorted = { 0 };
    Str copy;

    if (frame.len > 0 && frame.data[0] == '-') {
        for (size_t c = 0; c < ARRAY_LEN(cuts); c++) {
            for (size_t i = 0; i + 1 < frame.len; i++) {
                if (str_starts(str_sub(frame, i, SIZE_MAX), str_from_c(cuts[c])))
                    frame.len = i;
            }
        }
        return frame;
    }
    if (str_ends(name, STR_C("ttl")) || str_ends(name, STR_C("expiretime")))
        return frame.len > 1 && frame.data[1] == '-' ? frame : STR_C(":"); /* ms pass */
    if (has_order(name))
        return frame;
    sort_lines(arena, frame, &sorted);
    copy = arena_copy(arena, buf_str(&sorted));
    buf_deinit(&sorted);
    return copy;
}

SUSPENDS static void both(Duel *duel, const Str *argv, size_t argc)
{
    AUTO(buf_deinit) Buf real = { 0 };
    AUTO(buf_deinit) Buf sim = { 0 };
    AUTO(buf_deinit) Buf words = { 0 };
    Str a, b;
    int r;

    for (size_t i = 0; i < argc; i++)
        buf_printf(&words, "%s%.*s", i ? " " : "", (int) argv[i].len, argv[i].data);
    snprintf(duel->last, sizeof(duel->last), "%.*s", (int) words.len, words.data);
    r = ask(&duel->real, argv, argc, &real);
    if (r == 0)
        r = ask(&duel->sim, argv, argc, &sim);
    if (r != 0) {
        test_fail(__FILE__, __LINE__, "%s: %s", duel->last, r < 0 ? err_text(r) : "no answer");
        duel->n_differences = 100;
        return;
    }
    arena_reset(&duel->answers);
    a = essence(&duel->answers, argv[0], buf_str(&real));
    b = essence(&duel->answers, argv[0], buf_str(&sim));
    duel->n_compared++;
    duel->n_errors += real.data[0] == '-';
    if (str_eq(a, b))
        return;
    duel->n_differences++;
    test_fail(__FILE__, __LINE__, "%s\n  real %.*s\n  sim  %.*s", duel->last, (int) real.len,
              real.data, (int) sim.len, sim.data);
}

static void both_c(Duel *duel, const char *a, const char *b, const char *c)
{
    Str argv[3] = { str_from_c(a), str_from_c(b), str_from_c(c) };

    both(duel, argv, c ? 3 : b ? 2 : 1);
}

/* ---- commands from a seed -------------------------------------------------------------------- */

/*
 * A template's words: S L H T Z a key that should hold a string, list, hash, set, sorted set; F a
 * field or member; V a value; I a number; R a score; B a bound of scores; X a bound of names; Y a sorted set with equal scores; N a
 * count; E a far time. Anything else is itself.
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
    both(duel, argv, argc);
}

SUSPENDS static void random_commands(Duel *duel, uint64_t seed, unsigned n)
{
    rand_init(&duel->rand, seed);
    both_c(duel, "flushall", NULL, NULL);
    for (unsigned i = 0; i < n && duel->n_differences < 5; i++)
        one_command(duel);
    if (duel->n_differences > 0)
        printf("  (seed %llu)\n", (unsigned long long) seed);
}

/* ---- worlds ---------------------------------------------------------------------------------- */

static int talk(Duel *duel, sl_nursery *nursery, SimNet *net, void (*body)(Duel *))
{
    SimRedisOpts opts = { .net = net, .nursery = nursery, .name = "redis:6379" };
    NetAddress address;
    int r = -1;

    EXPECT_OK(net_address_parse(STR_C("unix:real.sock"), &address));
    for (int i = 0; i < 500 && r < 0; i++) {
        r = stream_connect(&address, &duel->real.stream);
        if (r < 0 && sl_sleep_ms(10) < 0)
            return -ECANCELED;
    }
    EXPECT_OK(r);
    if (r < 0)
        return 0;
    EXPECT_OK(sim_redis_start(&opts, &duel->redis));
    EXPECT_OK(sim_net_connect(net, "redis:6379", &duel->sim.stream));
    body(duel);
    if (duel->n_compared > 0)
        printf("  %llu answers compared, %llu of them errors\n",
               (unsigned long long) duel->n_compared, (unsigned long long) duel->n_errors);
    stream_close(duel->real.stream);
    stream_close(duel->sim.stream);
    buf_deinit(&duel->real.in);
    buf_deinit(&duel->sim.in);
    sim_redis_stop(duel->redis);
    return 0;
}

static int duel_main(void *arg)
{
    AUTO(sl_nursery_close)
    sl_nursery *nursery = sl_nursery_open(.name = "redis", .keep_going = true);
    Duel *duel = mem_new(Duel);
    SimNet *net = sim_net_new(NULL);
    int r;

    r = talk(duel, nursery, net, *(void (**)(Duel *)) arg);
    arena_deinit(&duel->arena);
    arena_deinit(&duel->answers);
    mem_free(duel);
    sl_nursery_close(TAKE(nursery));
    sim_net_free(net);
    return r;
}

static void duel_run(void (*body)(Duel *))
{
    if (!server_start()) {
        test_skip("no redis-server on this machine");
        return;
    }
    EXPECT_OK(sl_run(duel_main, &body, .stack_bytes = 256 << 10));
    server_stop();
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

    EXPECT_OK(ask(&duel->real, hello, 2, &ignored));
    EXPECT_OK(ask(&duel->sim, hello, 2, &ignored));
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
    "return redis.call('set', 'n', 0.1)",
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

    both_c(duel, "flushall", NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        argv[1] = str_from_c(scripts[i]);
        both(duel, argv, ARRAY_LEN(argv));
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

    both_c(duel, "flushall", NULL, NULL);
    both_c(duel, "function", "flush", NULL);
    both_c(duel, "script", "flush", NULL);
    both(duel, say, 5);
    both_c(duel, "function", "load", library);
    both_c(duel, "function", "load", library);
    both(duel, again, 4);
    both(duel, say, 5);
    both(duel, read, 4);
    both(duel, cheat, 4);
    both_c(duel, "function", "load", "no shebang");
    both_c(duel, "function", "load", "#!lua name=x\nreturn 1");
    both(duel, sum, 3);
    both_c(duel, "script", "load", "return 1");
    both_c(duel, "script", "exists", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    both(duel, sum, 3);
    both_c(duel, "script", "flush", NULL);
    both(duel, sum, 3);
    both_c(duel, "function", "delete", "lib_1");
    both(duel, say, 5);
}

static void scripts_in_both_protocols(Duel *duel)
{
    Str hello[2] = { STR("hello"), STR("3") };
    AUTO(buf_deinit) Buf ignored = { 0 };

    the_scripts(duel);
    the_functions(duel);
    EXPECT_OK(ask(&duel->real, hello, 2, &ignored));
    EXPECT_OK(ask(&duel->sim, hello, 2, &ignored));
    the_scripts(duel);
    the_functions(duel);
}

TEST(scripts_see_and_say_the_same)
{
    duel_run(scripts_in_both_protocols);
}

#endif

TEST_MAIN()
