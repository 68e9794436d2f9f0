/*
 * What a command must pass before it runs, and the commands that are about the server and the
 * connection.
 */
#include "../sim/redis_call.h"

#include <stdio.h>

static unsigned version(const SimRedis *redis)
{
    return redis->opts.version ? redis->opts.version : 0x07000f;
}

bool redis_is_full(const SimRedis *redis)
{
    return redis->full_until_ns > sl_now_ns();
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static void commands_fill(Map *map)
{
    static const Command *const tables[] = { redis_key_commands, redis_list_commands,
                                             redis_zset_commands, redis_server_commands,
                                             redis_script_commands };

    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        for (const Command *command = tables[t]; command->name; command++)
            (void) map_put(map, str_from_c(command->name), (void *) command);
    }
}

const Command *redis_command_find(SimRedis *redis, Str name)
{
    char small[32];

    if (redis->commands.len == 0)
        commands_fill(&redis->commands);
    if (name.len > sizeof(small))
        return NULL;
    for (size_t i = 0; i < name.len; i++)
        small[i] = name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] | 32 : name.data[i];
    return map_find(&redis->commands, str_from(small, name.len));
}

static void refuse_unknown(Call *call)
{
    if (call->is_script)
        return say_error(call, "ERR Unknown Redis command called from script");
    buf_printf(call->out,
               "-ERR unknown command '%.*s', with args beginning with: ", (int) call->argv[0].len,
               call->argv[0].data);
    for (size_t i = 1; i < call->argc && i < 10; i++)
        buf_printf(call->out, "'%.*s' ", (int) call->argv[i].len, call->argv[i].data);
    buf_add_c(call->out, "\r\n");
}

/* Whether the state of the server and the connection lets COMMAND run; if not, why is replied. */
static bool is_let(Call *call, const Command *command)
{
    SimRedis *redis = call->redis;

    if (command->flags & COMMAND_ALWAYS)
        return true;
    if (call->conn && redis->opts.password && !call->conn->is_known)
        say_error(call, "NOAUTH Authentication required.");
    else if (!call->is_script && redis->loading_until_ns > sl_now_ns())
        say_error(call, "LOADING Redis is loading the dataset in memory");
    else if ((command->flags & COMMAND_WRITE) && redis_is_read_only(redis, call->conn))
        say_error(call, "READONLY You can't write against a read only replica.");
    else if ((command->flags & COMMAND_GROWS) && !call->is_script && redis_is_full(redis))
        say_error(call, "OOM command not allowed when used memory > 'maxmemory'.");
    else
        return true;
    return false;
}

static void touch_keys(Call *call, const Command *command)
{
    size_t last = command->last < 0 ? call->argc - 1 : (size_t) command->last;

    for (size_t i = (size_t) command->first; i <= last && i < call->argc;
         i += (size_t) command->step)
        data_touch(call->data, call->argv[i]);
    if (call->conn)
        call->conn->last_write_ns = sl_now_ns();
}

bool redis_call_run(Call *call)
{
    const Command *command = redis_command_find(call->redis, call->argv[0]);
    size_t at = call->out->len;

    if (!command || (version(call->redis) < 0x070000 &&
                     (arg_is(call->argv[0], "function") || arg_is(call->argv[0], "fcall") ||
                      arg_is(call->argv[0], "fcall_ro")))) {
        refuse_unknown(call);
    } else if (command->arity > 0 ? call->argc != (size_t) command->arity
                                  : call->argc < (size_t) -command->arity) {
        if (call->is_script)
            say_error(call, "ERR Wrong number of args calling Redis command from script");
        else
            say_error(call, "ERR wrong number of arguments for '%s' command", command->name);
    } else if (call->is_script && (command->flags & COMMAND_NO_SCRIPT)) {
        say_error(call, "ERR This Redis command is not allowed from script");
    } else if (is_let(call, command)) {
        if (command->step > 0 && (command->flags & COMMAND_WRITE))
            touch_keys(call, command);
        command->run(call);
    }
    return call->out->len > at && call->out->data[at] != '-';
}

/* ---- the connection -------------------------------------------------------------------------- */

static void ping(Call *call)
{
    if (call->conn && !call->is_resp3 && conn_subscriptions(call->conn) > 0) {
        say_list(call, 2);
        say_c(call, "pong");
        say_text(call, call->argc > 1 ? call->argv[1] : (Str){ 0 });
        return;
    }
    if (call->argc > 1)
        say_text(call, call->argv[1]);
    else
        say_status(call, "PONG");
}

static void echo(Call *call)
{
    say_text(call, call->argv[1]);
}

static void quit(Call *call)
{
    say_status(call, "OK");
    if (call->conn)
        call->conn->is_closing = true;
}

static bool knows_password(Call *call, Str user, Str password)
{
    const char *right = call->redis->opts.password;

    if (!right) {
        say_error(call, "ERR AUTH <password> called without any password configured for the "
                        "default user. Are you sure your configuration is correct?");
        return false;
    }
    if (str_eq_c(password, right) && (user.len == 0 || str_eq_c(user, "default"))) {
        if (call->conn)
            call->conn->is_known = true;
        return true;
    }
    say_error(call, "WRONGPASS invalid username-password pair or user is disabled.");
    return false;
}

static void auth(Call *call)
{
    if (call->argc > 3)
        return say_syntax(call);
    if (knows_password(call, call->argc == 3 ? call->argv[1] : (Str){ 0 },
                       call->argv[call->argc - 1]))
        say_status(call, "OK");
}

static void set_name(Call *call, Str name)
{
    if (!call->conn)
        return;
    text_drop(&call->conn->client);
    call->conn->client = text_own(name);
}

static void hello_reply(Call *call)
{
    unsigned v = version(call->redis);
    char text[24];

    snprintf(text, sizeof(text), "%u.%u.%u", v >> 16, (v >> 8) & 255, v & 255);
    say_map(call, 7);
    say_c(call, "server");
    say_c(call, "redis");
    say_c(call, "version");
    say_c(call, text);
    say_c(call, "proto");
    say_number(call, call->is_resp3 ? 3 : 2);
    say_c(call, "id");
    say_number(call, call->conn ? (int64_t) call->conn->id : 0);
    say_c(call, "mode");
    say_c(call, "standalone");
    say_c(call, "role");
    say_c(call, redis_is_read_only(call->redis, call->conn) ? "replica" : "master");
    say_c(call, "modules");
    say_list(call, 0);
}

static void hello(Call *call)
{
    int64_t protocol = call->is_resp3 ? 3 : 2;

    if (call->argc > 1 && str_to_i64(call->argv[1], 0, 1000, &protocol) < 0)
        return say_error(call, "ERR Protocol version is not an integer or out of range");
    if (protocol < 2 || protocol > 3)
        return say_error(call, "NOPROTO unsupported protocol version");
    for (size_t i = 2; i < call->argc; i++) {
        if (arg_is(call->argv[i], "auth") && i + 2 < call->argc) {
            if (!knows_password(call, call->argv[i + 1], call->argv[i + 2]))
                return;
            i += 2;
        } else if (arg_is(call->argv[i], "setname") && i + 1 < call->argc) {
            set_name(call, call->argv[++i]);
        } else {
            return say_error(call, "ERR Syntax error in HELLO option '%.*s'",
                             (int) call->argv[i].len, call->argv[i].data);
        }
    }
    if (call->redis->opts.password && call->conn && !call->conn->is_known)
        return say_error(call, "NOAUTH HELLO must be called with the client already "
                               "authenticated, otherwise the HELLO <proto> AUTH <user> <pass> "
                               "option can be used to authenticate the client and select the "
                               "RESP protocol version at the same time");
    call->is_resp3 = protocol == 3;
    if (call->conn)
        call->conn->is_resp3 = call->is_resp3;
    hello_reply(call);
}

static void select_db(Call *call)
{
    int64_t db;

    if (!arg_number(call, 1, &db))
        return;
    if (db != 0)
        return say_error(call, "ERR DB index is out of range");
    say_status(call, "OK");
}

static void client(Call *call)
{
    Str what = call->argv[1];

    if (arg_is(what, "setname") && call->argc != 3) {
        say_error(call, "ERR wrong number of arguments for 'client|setname' command");
    } else if (arg_is(what, "setname") && str_find(call->argv[2], ' ') >= 0) {
        say_error(call, "ERR Client names cannot contain spaces, newlines or special characters.");
    } else if (arg_is(what, "setname")) {
        set_name(call, call->argv[2]);
        say_status(call, "OK");
    } else if (arg_is(what, "getname")) {
        if (call->conn && call->conn->client.len > 0)
            say_text(call, call->conn->client);
        else
            say_null(call);
    } else if (arg_is(what, "id")) {
        say_number(call, call->conn ? (int64_t) call->conn->id : 0);
    } else if ((arg_is(what, "setinfo") && version(call->redis) >= 0x070200) ||
               arg_is(what, "no-evict") || arg_is(what, "no-touch")) {
        say_status(call, "OK");
    } else {
        say_error(call, "ERR unknown subcommand '%.*s'. Try CLIENT HELP.", (int) what.len,
                  what.data);
    }
}

/* ---- the server ------------------------------------------------------------------------------ */

static const char *sync_word(const SimRedis *redis)
{
    return redis->opts.sync == SIM_REDIS_ALWAYS ? "always" : "everysec";
}

static void info(Call *call)
{
    AUTO(buf_deinit) Buf text = { 0 };
    const SimRedis *redis = call->redis;
    unsigned v = version(redis);
    bool is_replica = redis_is_read_only(redis, call->conn);

    buf_printf(&text,
               "# Server\r\nredis_version:%u.%u.%u\r\nredis_mode:standalone\r\nos:Linux\r\n"
               "run_id:%040u\r\n# Clients\r\nconnected_clients:%zu\r\n",
               v >> 16, (v >> 8) & 255, v & 255, 1u, redis->conns.len);
    buf_printf(&text,
               "# Memory\r\nused_memory:%llu\r\nmaxmemory:0\r\nmaxmemory_policy:%s\r\n"
               "# Persistence\r\nloading:%d\r\naof_enabled:%d\r\nrdb_last_bgsave_status:ok\r\n"
               "aof_last_write_status:ok\r\n",
               (unsigned long long) data_bytes(call->data),
               redis->opts.policy ? redis->opts.policy : "noeviction",
               redis->loading_until_ns > sl_now_ns(), redis->opts.sync != SIM_REDIS_NONE);
    buf_printf(&text,
               "# Replication\r\nrole:%s\r\nconnected_slaves:%d\r\n# Cluster\r\n"
               "cluster_enabled:0\r\n# Keyspace\r\ndb0:keys=%zu,expires=0,avg_ttl=0\r\n",
               is_replica ? "slave" : "master", redis->opts.lag_ms > 0 && !is_replica,
               call->data->keys.len);
    say_text(call, buf_str(&text));
}

static void config(Call *call)
{
    const SimRedis *redis = call->redis;
    const struct {
        const char *name, *value;
    } rows[] = {
        { "maxmemory", redis_is_full(redis) ? "1" : "0" },
        { "maxmemory-policy", redis->opts.policy ? redis->opts.policy : "noeviction" },
        { "appendonly", redis->opts.sync == SIM_REDIS_NONE ? "no" : "yes" },
        { "appendfsync", sync_word(redis) },
        { "save", "" },
        { "min-replicas-to-write", "0" },
        { "cluster-enabled", "no" },
        { "notify-keyspace-events", "" },
    };
    bool is_wanted[ARRAY_LEN(rows)] = { 0 };
    size_t n = 0;

    if (!arg_is(call->argv[1], "get") || call->argc < 3)
        return arg_is(call->argv[1], "set") ? say_status(call, "OK") : say_syntax(call);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t a = 2; a < call->argc; a++)
            is_wanted[i] |= arg_is(call->argv[a], rows[i].name);
        n += is_wanted[i];
    }
    say_map(call, n);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!is_wanted[i])
            continue;
        say_c(call, rows[i].name);
        say_c(call, rows[i].value);
    }
}

static void time_now(Call *call)
{
    char text[24];

    say_list(call, 2);
    snprintf(text, sizeof(text), "%lld", (long long) (call->now_ms / 1000));
    say_c(call, text);
    snprintf(text, sizeof(text), "%lld", (long long) (call->now_ms % 1000) * 1000);
    say_c(call, text);
}

/* WAIT is done by the connection's fiber before it comes here: see redis_serve.c. */
static void wait_replicas(Call *call)
{
    SimRedis *redis = call->redis;
    bool is_followed = redis->opts.lag_ms > 0 && !(call->conn && call->conn->is_old);
    int64_t last = call->conn ? call->conn->last_write_ns : 0;

    say_number(call, is_followed && sl_now_ns() - last >= redis->opts.lag_ms * NS_PER_MS);
}

static void role(Call *call)
{
    if (redis_is_read_only(call->redis, call->conn)) {
        say_list(call, 5);
        say_c(call, "slave");
        say_c(call, "127.0.0.1");
        say_number(call, 6379);
        say_c(call, "connected");
        say_number(call, 0);
        return;
    }
    say_list(call, 3);
    say_c(call, "master");
    say_number(call, 0);
    say_list(call, 0);
}

static void flush_all(Call *call)
{
    data_clear(call->data);
    say_status(call, "OK");
}

static void cluster(Call *call)
{
    say_error(call, "ERR This instance has cluster support disabled");
}

static void command_list(Call *call)
{
    say_list(call, 0);
}

static void ok(Call *call)
{
    say_status(call, "OK");
}

/* SENTINEL GET-MASTER-ADDR-BY-NAME: whoever listens under the one name. */
static void sentinel(Call *call)
{
    Str name = str_from_c(call->redis->opts.name), port;
    Str host = str_cut(name, ':', &port);

    if (!arg_is(call->argv[1], "get-master-addr-by-name"))
        return say_error(call, "ERR Unknown sentinel subcommand");
    say_list(call, 2);
    say_text(call, host);
    say_text(call, port);
}

/* ---- messages -------------------------------------------------------------------------------- */

static void publish(Call *call)
{
    say_number(call, (int64_t) conn_publish(call->redis, call->argv[1], call->argv[2]));
}

static void subscribe_to(Call *call, bool is_on)
{
    bool is_shard = call->argv[0].len > 0 && (call->argv[0].data[0] | 32) == 's' &&
                    (call->argv[0].data[1] | 32) == 's';

    if (!call->conn)
        return say_error(call, "ERR no connection");
    while (!is_on && call->argc == 1 && call->conn->channels)
        (void) conn_subscribe(call->conn, call->conn->channels->name, false);
    for (size_t i = 1; i < call->argc; i++) {
        (void) conn_subscribe(call->conn, call->argv[i], is_on);
        say_push(call, 3);
        say_c(call, is_shard ? (is_on ? "ssubscribe" : "sunsubscribe")
                             : (is_on ? "subscribe" : "unsubscribe"));
        say_text(call, call->argv[i]);
        say_number(call, (int64_t) conn_subscriptions(call->conn));
    }
    if (call->argc > 1)
        return;
    say_push(call, 3);
    say_c(call, "unsubscribe");
    say_null(call);
    say_number(call, 0);
}

static void subscribe(Call *call)
{
    subscribe_to(call, true);
}

static void unsubscribe(Call *call)
{
    subscribe_to(call, false);
}

enum { A = COMMAND_ALWAYS | COMMAND_NO_SCRIPT, N = COMMAND_NO_SCRIPT };

const Command redis_server_commands[] = {
    { "ping", ping, -1, 0, 0, 0, 0 },
    { "echo", echo, 2, 0, 0, 0, 0 },
    { "quit", quit, -1, A, 0, 0, 0 },
    { "auth", auth, -2, A, 0, 0, 0 },
    { "hello", hello, -1, A, 0, 0, 0 },
    { "select", select_db, 2, 0, 0, 0, 0 },
    { "client", client, -2, N, 0, 0, 0 },
    { "info", info, -1, COMMAND_ALWAYS, 0, 0, 0 },
    { "config", config, -2, N, 0, 0, 0 },
    { "time", time_now, 1, 0, 0, 0, 0 },
    { "wait", wait_replicas, 3, N, 0, 0, 0 },
    { "role", role, 1, A, 0, 0, 0 },
    { "flushall", flush_all, -1, COMMAND_WRITE, 0, 0, 0 },
    { "flushdb", flush_all, -1, COMMAND_WRITE, 0, 0, 0 },
    { "cluster", cluster, -2, 0, 0, 0, 0 },
    { "command", command_list, -1, 0, 0, 0, 0 },
    { "readonly", ok, 1, 0, 0, 0, 0 },
    { "readwrite", ok, 1, 0, 0, 0, 0 },
    { "asking", ok, 1, 0, 0, 0, 0 },
    { "sentinel", sentinel, -2, A, 0, 0, 0 },
    { "publish", publish, 3, 0, 0, 0, 0 },
    { "spublish", publish, 3, 0, 0, 0, 0 },
    { "subscribe", subscribe, -2, N, 0, 0, 0 },
    { "unsubscribe", unsubscribe, -1, N, 0, 0, 0 },
    { "ssubscribe", subscribe, -2, N, 0, 0, 0 },
    { "sunsubscribe", unsubscribe, -1, N, 0, 0, 0 },
    { 0 },
};
