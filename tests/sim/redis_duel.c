/*
 * Two servers that are asked the same: see redis_duel.h.
 */
#include "../sim/redis_duel.h"

#include "base/test.h"
#include "base/test_redis.h"
#include "net/address.h"

#include <sluice/rt.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

static pid_t server_pid;

/* ---- the real server ------------------------------------------------------------------------- */

static bool server_start(void)
{
    const char *program = test_redis_program();

    if (!program)
        return false;
    server_pid = fork();
    if (server_pid == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 1);
        execlp(program, program, "--port", "0", "--unixsocket", "real.sock", "--save", "",
               "--appendonly", "no", "--daemonize", "no", (char *) NULL);
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

int peer_ask(Peer *peer, const Str *argv, size_t argc, Buf *ret_frame)
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
                                        "Unknown command", /* these as Valkey says them, too */
                                        "Command arguments",
                                        "Lua redis lib command arguments",
                                        "Please specify at least one",
                                        "No matching script",
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

void duel_ask(Duel *duel, const Str *argv, size_t argc)
{
    AUTO(buf_deinit) Buf real = { 0 };
    AUTO(buf_deinit) Buf sim = { 0 };
    AUTO(buf_deinit) Buf words = { 0 };
    Str a, b;
    int r;

    for (size_t i = 0; i < argc; i++)
        buf_printf(&words, "%s%.*s", i ? " " : "", (int) argv[i].len, argv[i].data);
    snprintf(duel->last, sizeof(duel->last), "%.*s", (int) words.len, words.data);
    r = peer_ask(&duel->real, argv, argc, &real);
    if (r == 0)
        r = peer_ask(&duel->sim, argv, argc, &sim);
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

void duel_ask_c(Duel *duel, const char *a, const char *b, const char *c)
{
    Str argv[3] = { str_from_c(a), str_from_c(b), str_from_c(c) };

    duel_ask(duel, argv, c ? 3 : b ? 2 : 1);
}

/* ---- all there is ---------------------------------------------------------------------------- */

SUSPENDS static void compare_key(Duel *duel, const char *key)
{
    AUTO(buf_deinit) Buf type = { 0 };
    Str argv[] = { STR("type"), str_from_c(key), STR("0"), STR("-1"), STR("withscores") };

    duel_ask(duel, argv, 2);
    if (peer_ask(&duel->real, argv, 2, &type) < 0)
        return;
    switch (type.data[1]) {
    case 'l':
        argv[0] = STR_C("lrange");
        duel_ask(duel, argv, 4);
        break;
    case 'h':
        argv[0] = STR_C("hgetall");
        duel_ask(duel, argv, 2);
        break;
    case 'z':
        argv[0] = STR_C("zrange");
        duel_ask(duel, argv, 5);
        break;
    case 's':
        argv[0] = type.data[2] == 'e' ? STR_C("smembers") : STR_C("get");
        duel_ask(duel, argv, 2);
        break;
    default: break;
    }
}

void duel_compare_data(Duel *duel)
{
    AUTO(buf_deinit) Buf frame = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    Str scan[] = { STR("scan"), STR("0"), STR("count"), STR("1000000") };
    RespValue value;

    duel_ask(duel, scan, 4);
    arena_init(&arena, 0);
    if (peer_ask(&duel->real, scan, 4, &frame) < 0 ||
        resp_decode(&arena, buf_str(&frame), &value) < 0)
        return;
    for (size_t i = 0; i < resp_item(&value, 1)->n && duel->n_differences < 5; i++)
        compare_key(duel, arena_copy_c(&arena, resp_item(resp_item(&value, 1), i)->text));
}

/* ---- worlds ---------------------------------------------------------------------------------- */

SUSPENDS static bool is_old(Duel *duel)
{
    AUTO(buf_deinit) Buf frame = { 0 };
    Str list[] = { STR("function"), STR("list") };
    int r = peer_ask(&duel->real, list, 2, &frame);

    EXPECT_OK(r);
    return r == 0 && frame.data[0] == '-';
}

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
    if (is_old(duel))
        test_skip("this server is older than 7.0, which the simulated one imitates");
    else
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

void duel_run(void (*body)(Duel *))
{
    if (!server_start()) {
        test_skip(TEST_NO_REDIS);
        return;
    }
    EXPECT_OK(sl_run(duel_main, &body, .stack_bytes = 256 << 10));
    server_stop();
}
