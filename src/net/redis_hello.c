/*
 * One connection to a server as bytes and frames, and what is said on it first.
 *
 *   HELLO 3 [AUTH user password] [SETNAME name]     everything at once, Redis 6 and later
 *   AUTH, CLIENT SETNAME                            when HELLO is refused: version 2
 *   SELECT db                                       when it is not 0
 *   INFO                                            version, mode, whether it is still loading
 *
 * Greetings are a handful of questions with one answer each, so they are asked one by one; what
 * follows belongs to the reader and the writer of redis_conn.c.
 */
#include "net/redis_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define IN_BYTES      (16 << 10)
#define IN_BYTES_KEPT (256 << 10) /* a larger buffer is given back once it is empty */
#define VERSION_MIN   0x060200u

int redis_unavailable(int r)
{
    Err err;

    if (r >= 0 || r == -ECANCELED)
        return r;
    err_take(r, &err);
    return fail(-ERR_UNAVAILABLE, "%.400s", err.text);
}

/* ---- frames --------------------------------------------------------------------------------- */

int redis_line_try_frame(RedisLine *line, Str *ret_frame)
{
    size_t len = 0;
    int r;

    if (line->in_from == line->in_to)
        return RESP_MORE;
    r = resp_scan(&line->scan, str_from(line->in + line->in_from, line->in_to - line->in_from),
                  &len);
    if (r != 0)
        return r;
    *ret_frame = str_from(line->in + line->in_from, len);
    line->in_from += len;
    return 0;
}

/* Room behind the bytes that are there. */
static int make_room(RedisLine *line)
{
    size_t have = line->in_to - line->in_from, cap;
    char *in;

    if (have == 0) {
        line->in_from = line->in_to = 0;
        if (line->in_cap <= IN_BYTES_KEPT && line->in)
            return 0;
        mem_free(line->in);
        line->in = NULL;
        line->in_cap = 0;
    } else if (line->in_cap - line->in_to >= line->in_cap / 4) {
        return 0;
    }
    if (line->in_from > line->in_cap / 2) {
        memmove(line->in, line->in + line->in_from, have);
        line->in_from = 0;
        line->in_to = have;
        return 0;
    }
    cap = line->in_cap ? line->in_cap * 2 : IN_BYTES;
    if (cap > 4 * (size_t) LIMIT_RESP_FRAME_BYTES)
        return fail(-ERR_NETWORK, "an answer is too large");
    in = mem_try(cap);
    if (!in)
        return fail(-ENOMEM, "no memory for an answer");
    if (have > 0)
        memcpy(in, line->in + line->in_from, have);
    mem_free(line->in);
    line->in = in;
    line->in_cap = cap;
    line->in_from = 0;
    line->in_to = have;
    return 0;
}

int redis_line_fill(RedisLine *line)
{
    ssize_t n;
    int r;

    r = make_room(line);
    if (r < 0)
        return r;
    n = stream_read(line->stream, line->in + line->in_to, line->in_cap - line->in_to);
    if (n < 0)
        return (int) n;
    if (n == 0)
        return fail(-ERR_CLOSED, "the server closed the connection");
    line->in_to += (size_t) n;
    return 0;
}

int redis_line_frame(RedisLine *line, Str *ret_frame)
{
    int r;

    for (;;) {
        r = redis_line_try_frame(line, ret_frame);
        if (r != RESP_MORE)
            return r;
        r = redis_line_fill(line);
        if (r < 0)
            return r;
    }
}

int redis_line_ask(RedisLine *line, Arena *arena, RespValue *ret_value, size_t argc,
                   const Str *argv)
{
    AUTO(buf_deinit) Buf out = { .max_bytes = 64 << 10 };
    Str frame;
    char *copy;
    int r;

    resp_add_command(&out, argv, argc);
    r = buf_check(&out);
    if (r == 0)
        r = stream_write_all(line->stream, out.data, out.len);
    do {
        if (r == 0)
            r = redis_line_frame(line, &frame);
    } while (r == 0 && frame.data[0] == '>');
    if (r < 0)
        return r;
    copy = arena_try(arena, frame.len);
    if (!copy)
        return fail(-ENOMEM, "no memory for an answer");
    memcpy(copy, frame.data, frame.len);
    return resp_decode(arena, str_from(copy, frame.len), ret_value);
}

int redis_line_ask_timed(Redis *redis, RedisLine *line, Arena *arena, RespValue *ret_value,
                         size_t argc, const Str *argv)
{
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .timeout_ms = redis->opts.answer_ms);
    r = redis_line_ask(line, arena, ret_value, argc, argv);
    r = sl_scope_end(&scope, r);
    if (r == -ETIMEDOUT)
        return fail(-ERR_UNAVAILABLE, "no answer for %lld ms", (long long) redis->opts.answer_ms);
    return redis_unavailable(r);
}

void redis_line_close(RedisLine *line)
{
    stream_close(line->stream);
    mem_free(line->in);
    *line = (RedisLine){ .stream = NULL };
}

/* ---- the greeting --------------------------------------------------------------------------- */

typedef struct Talk {
    Redis *redis;
    RedisLine *line;
    RedisGreeting *greeting;
    Arena *arena;
    Str user, password;
} Talk;

/* Ask, where a connection that fails means that the server is not available. */
SUSPENDS static int ask(Talk *talk, RespValue *ret_value, size_t argc, const Str *argv)
{
    return redis_unavailable(redis_line_ask(talk->line, talk->arena, ret_value, argc, argv));
}

/* What the server's refusal of a greeting means. */
static int refused(const Talk *talk, const RespValue *value, const char *what)
{
    static const char *const forbidden[] = { "WRONGPASS", "NOAUTH", "NOPERM" };
    Str user = talk->user.len > 0 ? str_sub(talk->user, 0, 64) : str_from_c("default");
    Str words = str_sub(value->text, 0, 100);
    bool is_forbidden = str_contains(words, str_from_c("invalid password")) ||
                        str_contains(words, str_from_c("without any password"));

    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
        is_forbidden |= resp_is_error(value, forbidden[i]);
    if (is_forbidden)
        return fail(-ERR_FORBIDDEN, "redis refuses user %.*s: %.*s", (int) user.len, user.data,
                    (int) words.len, words.data);
    return fail(-ERR_UNAVAILABLE, "%s: %.*s", what, (int) words.len, words.data);
}

static unsigned read_version(Str text)
{
    unsigned version = 0;

    for (int i = 0; i < 3; i++) {
        Str part = str_cut(text, '.', &text);
        uint64_t number = 0;

        if (str_to_u64(part, 255, &number) < 0)
            number = 0;
        version = version << 8 | (unsigned) number;
    }
    return version;
}

SUSPENDS static int say_hello(Talk *talk, bool *ret_is_old)
{
    Str argv[8];
    size_t n = 0;
    RespValue value;
    int r;

    argv[n++] = str_from_c("HELLO");
    argv[n++] = str_from_c("3");
    if (talk->password.len > 0) {
        argv[n++] = str_from_c("AUTH");
        argv[n++] = talk->user.len > 0 ? talk->user : str_from_c("default");
        argv[n++] = talk->password;
    }
    if (talk->redis->opts.client_name) {
        argv[n++] = str_from_c("SETNAME");
        argv[n++] = str_from_c(talk->redis->opts.client_name);
    }
    r = ask(talk, &value, n, argv);
    if (r < 0)
        return r;
    *ret_is_old = resp_is_error(&value, "NOPROTO") ||
                  (resp_is_error(&value, "ERR") &&
                   (str_contains(value.text, str_from_c("unknown command")) ||
                    str_contains(value.text, str_from_c("unknown sub"))));
    if (*ret_is_old || value.type != RESP_ERROR)
        return 0;
    return refused(talk, &value, "HELLO");
}

SUSPENDS static int say_auth(Talk *talk)
{
    Str argv[3] = { STR("AUTH") };
    size_t n = 1;
    RespValue value;
    int r;

    if (talk->password.len > 0) {
        if (talk->user.len > 0)
            argv[n++] = talk->user;
        argv[n++] = talk->password;
        r = ask(talk, &value, n, argv);
        if (r < 0)
            return r;
        if (value.type == RESP_ERROR)
            return refused(talk, &value, "AUTH");
    }
    if (!talk->redis->opts.client_name)
        return 0;
    r = ask(talk, &value, 3,
            (Str[]){ STR("CLIENT"), STR("SETNAME"), str_from_c(talk->redis->opts.client_name) });
    return r; /* a server that knows no names is as good */
}

SUSPENDS static int say_select(Talk *talk)
{
    char text[16];
    RespValue value;
    int r;

    if (talk->redis->url.db == 0)
        return 0;
    (void) snprintf(text, sizeof(text), "%u", talk->redis->url.db);
    r = ask(talk, &value, 2, (Str[]){ STR("SELECT"), str_from_c(text) });
    if (r == 0 && value.type == RESP_ERROR)
        return fail(-ERR_USAGE, "database %s: %.*s", text, (int) MIN(value.text.len, (size_t) 200),
                    value.text.data);
    return r;
}

static void read_info(Str info, RedisGreeting *greeting)
{
    while (info.len > 0) {
        Str line = str_trim(str_cut(info, '\n', &info)), value;
        Str name = str_cut(line, ':', &value);

        if (str_eq_c(name, "redis_version"))
            greeting->version = read_version(value);
        else if (str_eq_c(name, "valkey_version"))
            greeting->is_valkey = true;
        else if (str_eq_c(name, "redis_mode") || str_eq_c(name, "server_mode"))
            greeting->is_cluster |= str_eq_c(value, "cluster");
        else if (str_eq_c(name, "loading"))
            greeting->is_loading = str_eq_c(value, "1");
    }
}

/* INFO SECTION into the greeting. */
SUSPENDS static int ask_info(Talk *talk, const char *section)
{
    RespValue value;
    int r;

    r = ask(talk, &value, 2, (Str[]){ STR("INFO"), str_from_c(section) });
    if (r < 0)
        return r;
    if (value.type == RESP_ERROR)
        return refused(talk, &value, "INFO");
    read_info(value.text, talk->greeting);
    return 0;
}

SUSPENDS static int greet(Talk *talk, RedisLineKind kind)
{
    RedisGreeting *greeting = talk->greeting;
    bool is_old = false;
    int r;

    r = say_hello(talk, &is_old);
    if (r == 0 && is_old)
        r = say_auth(talk);
    greeting->protocol = is_old ? 2 : 3;
    if (r < 0 || kind == REDIS_LINE_SENTINEL)
        return r;
    r = say_select(talk);
    if (r == 0)
        r = ask_info(talk, "server");
    if (r == 0)
        r = ask_info(talk, "persistence");
    if (r < 0)
        return r;
    if (greeting->version == 0)
        return fail(-ERR_UNSUPPORTED, "what answers there says no version: no Redis");
    if (greeting->version < VERSION_MIN)
        return fail(-ERR_UNSUPPORTED, "redis %u.%u is too old: 6.2 is needed",
                    greeting->version >> 16, greeting->version >> 8 & 0xff);
    if (greeting->is_loading)
        return fail(-ERR_UNAVAILABLE, "the server is still loading its data");
    return 0;
}

SUSPENDS static int open_and_greet(Redis *redis, const RedisHost *host, RedisLineKind kind,
                                   RedisLine *line, RedisGreeting *greeting)
{
    AUTO(arena_deinit) Arena arena = { .max_bytes = 1 << 20 };
    bool is_sentinel = kind == REDIS_LINE_SENTINEL;
    Talk talk = { .redis = redis,
                  .line = line,
                  .greeting = greeting,
                  .arena = &arena,
                  .user = is_sentinel ? redis->url.sentinel_user : redis->url.user,
                  .password = is_sentinel ? redis->url.sentinel_password : redis->url.password };
    int r;

    r = redis_dial(redis, host, &line->stream);
    return r < 0 ? r : greet(&talk, kind);
}

int redis_line_open(Redis *redis, const RedisHost *host, RedisLineKind kind, RedisLine *ret_line,
                    RedisGreeting *ret_greeting)
{
    RedisLine line = { .stream = NULL };
    RedisGreeting greeting = { .protocol = 0 };
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .timeout_ms = redis->opts.connect_ms);
    r = open_and_greet(redis, host, kind, &line, &greeting);
    r = sl_scope_end(&scope, r);
    if (r == -ETIMEDOUT)
        r = fail(-ERR_UNAVAILABLE, "no connection within %lld ms",
                 (long long) redis->opts.connect_ms);
    if (r < 0) {
        redis_line_close(&line);
        return r;
    }
    *ret_line = line;
    *ret_greeting = greeting;
    return 0;
}
