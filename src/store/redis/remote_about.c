/*
 * What the server is and what it promises, looked at before anything is stored there; and what the
 * store is, agreed on by all processes that share it.
 *
 *   version        at least 6.2
 *   eviction       maxmemory-policy is noeviction, or there is no maxmemory; else refused
 *   persistence    notes in plain words: what a crash of Redis may lose
 *   durability     WAIT needs replicas, WAITAOF needs 7.2
 *   sl:about       made once: the first process writes it, the others read what it wrote
 *   P:epoch        made once in each partition, and anew when the server was emptied
 *
 * Functions may be forbidden or renamed: then scripts are used, as with a server before 7.0.
 * CONFIG may be forbidden or renamed; INFO says enough for the eviction policy then, and of the
 * persistence it is said that it could not be looked at.
 */
#include "store/redis/remote_int.h"

#include "base/log.h"

#include <stdio.h>

#define REMOTE_FORMAT 1

/* ---- durability ------------------------------------------------------------------------------ */

int remote_durability(Str text, RedisDurability *ret_durability, unsigned *ret_replicas)
{
    uint64_t n;

    *ret_replicas = 0;
    *ret_durability = REDIS_NONE;
    if (text.len == 0 || str_eq_c(text, "none"))
        return 0;
    if (str_eq_c(text, "waitaof")) {
        *ret_durability = REDIS_WAITAOF;
        return 0;
    }
    if (str_starts(text, str_from_c("wait(")) && str_ends(text, str_from_c(")")) &&
        str_to_u64(str_sub(text, 5, text.len - 6), 100, &n) == 0 && n > 0) {
        *ret_durability = REDIS_WAIT;
        *ret_replicas = (unsigned) n;
        return 0;
    }
    return fail(-ERR_USAGE, "durability: \"%.*s\" is none of none, wait(N), waitaof",
                (int) MIN(text.len, (size_t) 60), text.data);
}

/* ---- what the server says -------------------------------------------------------------------- */

/* The value of a field in what INFO answers: "name:value". */
static bool info_field(Str info, const char *name, Str *ret_value)
{
    while (info.len > 0) {
        Str rest, line = str_cut(info, '\n', &rest), value, key = str_cut(line, ':', &value);

        if (str_eq_c(key, name)) {
            *ret_value = str_trim(value);
            return true;
        }
        info = rest;
    }
    return false;
}

int64_t info_number(Str info, const char *name)
{
    int64_t number = 0;
    Str value;
    Err err;
    int r;

    if (!info_field(info, name, &value))
        return 0;
    r = str_to_i64(value, INT64_MIN, INT64_MAX, &number);
    if (r < 0)
        err_take(r, &err);
    return number;
}

int info_read(RemoteLoop *loop, Arena *arena, int32_t slot, const char *section, Str *ret_info)
{
    const char *argv[] = { "INFO", section };
    RespValue reply;
    int r = remote_command(loop, arena, slot, argv, 2, &reply);

    if (r < 0)
        return r;
    *ret_info = reply.text;
    return 0;
}

/* A setting, or false when CONFIG is not to be had. */
SUSPENDS static bool config_read(RemoteLoop *loop, Arena *arena, int32_t slot, const char *name,
                                 Str *ret_value)
{
    const char *argv[] = { "CONFIG", "GET", name };
    RespValue reply;
    Err err;
    int r = remote_command(loop, arena, slot, argv, 3, &reply);

    if (r < 0) {
        err_take(r, &err);
        return false;
    }
    if (reply.n < 2)
        return false;
    *ret_value = resp_item(&reply, 1)->text;
    return true;
}

/* ---- eviction -------------------------------------------------------------------------------- */

SUSPENDS static int check_eviction(RemoteLoop *loop, Arena *arena, size_t node)
{
    Remote *remote = loop->remote;
    int32_t slot = REDIS_NODE(node);
    Str policy, info;
    int64_t max_bytes;
    int r = info_read(loop, arena, slot, "memory", &info);

    if (r < 0)
        return wrap(r, "INFO memory");
    max_bytes = info_number(info, "maxmemory");
    if (!config_read(loop, arena, slot, "maxmemory-policy", &policy) &&
        !info_field(info, "maxmemory_policy", &policy))
        return fail(-ERR_CONFIG, "Redis does not say what its maxmemory-policy is");
    if (str_eq_c(policy, "noeviction") || max_bytes == 0)
        return 0;
    if (!remote->allow_eviction)
        return fail(-ERR_CONFIG,
                    "Redis drops keys when its memory is full (maxmemory-policy %.*s), and jobs "
                    "with them; type: redis-cli CONFIG SET maxmemory-policy noeviction (or start "
                    "with --allow-eviction)",
                    (int) policy.len, policy.data);
    note_put(remote, STORE_NOTE_WARNING, "eviction",
             "maxmemory-policy is %.*s: when its memory is full Redis drops jobs, also unfinished "
             "ones, without a word",
             (int) policy.len, policy.data);
    return 0;
}

/* Every node must have the file that is waited for. */
SUSPENDS static int check_aof(RemoteLoop *loop, Arena *arena, size_t node)
{
    Str info;
    int r;

    if (loop->remote->durability != REDIS_WAITAOF)
        return 0;
    r = info_read(loop, arena, REDIS_NODE(node), "persistence", &info);
    if (r < 0)
        return wrap(r, "INFO persistence");
    if (info_number(info, "aof_enabled"))
        return 0;
    return fail(-ERR_CONFIG, "durability waitaof waits for an append-only file, and Redis keeps "
                             "none; type: redis-cli CONFIG SET appendonly yes");
}

/* ---- persistence ----------------------------------------------------------------------------- */

static void note_aof(Remote *remote, Str fsync)
{
    if (remote->durability == REDIS_WAITAOF)
        note_put(remote, STORE_NOTE_FACT, "persistence",
                 "appendonly yes, appendfsync %.*s, durability waitaof: what was accepted is on "
                 "the disk of Redis; an answer waits for its next sync",
                 (int) MIN(fsync.len, (size_t) 20), fsync.data);
    else if (str_eq_c(fsync, "always"))
        note_put(remote, STORE_NOTE_FACT, "persistence",
                 "appendonly yes, appendfsync always: what was accepted is on the disk of Redis");
    else if (str_eq_c(fsync, "no"))
        note_put(remote, STORE_NOTE_WARNING, "persistence",
                 "appendonly yes, appendfsync no: a crash of the machine of Redis may lose what "
                 "its kernel had not written, some 30 seconds; a crash of Redis alone loses "
                 "nothing");
    else
        note_put(remote, STORE_NOTE_FACT, "persistence",
                 "appendonly yes, appendfsync everysec: a crash of the machine of Redis may lose "
                 "the last second or two; a crash of Redis alone loses next to nothing");
}

static void note_rdb(Remote *remote, Str save)
{
    if (save.len > 0)
        note_put(remote, STORE_NOTE_WARNING, "persistence",
                 "snapshots only (save %.*s): a crash of Redis loses all jobs since the last one; "
                 "appendonly yes keeps them",
                 (int) MIN(save.len, (size_t) 60), save.data);
    else
        note_put(remote, STORE_NOTE_WARNING, "persistence",
                 "no persistence (appendonly no, save \"\"): a crash or restart of Redis loses "
                 "all jobs; appendonly yes keeps them");
}

SUSPENDS static int look_at_persistence(RemoteLoop *loop, Arena *arena)
{
    Remote *remote = loop->remote;
    int32_t slot = REDIS_NODE(0);
    Str aof, fsync = { 0 }, save = { 0 }, info;
    int r;

    if (config_read(loop, arena, slot, "appendonly", &aof) &&
        config_read(loop, arena, slot, "appendfsync", &fsync) &&
        config_read(loop, arena, slot, "save", &save)) {
        if (str_eq_c(aof, "yes"))
            note_aof(remote, fsync);
        else
            note_rdb(remote, save);
        return 0;
    }
    r = info_read(loop, arena, slot, "persistence", &info);
    if (r < 0)
        return wrap(r, "INFO persistence");
    if (info_number(info, "aof_enabled"))
        note_put(remote, STORE_NOTE_FACT, "persistence",
                 "appendonly yes; CONFIG is forbidden, so how often it is synced is not known");
    else
        note_put(remote, STORE_NOTE_WARNING, "persistence",
                 "no append-only file: a crash of Redis loses jobs, those since the last snapshot "
                 "at least");
    return 0;
}

SUSPENDS static int look_at_replicas(RemoteLoop *loop, Arena *arena)
{
    Remote *remote = loop->remote;
    int64_t n;
    Str info;
    int r = info_read(loop, arena, REDIS_NODE(0), "replication", &info);

    if (r < 0)
        return wrap(r, "INFO replication");
    n = info_number(info, "connected_slaves");
    if (remote->durability == REDIS_WAIT && n < (int64_t) remote->replicas)
        note_put(remote, STORE_NOTE_WARNING, "replicas",
                 "durability wait(%u), but %lld replicas are connected: what is pushed now is "
                 "answered with an error, though it is stored on the master",
                 remote->replicas, (long long) n);
    else if (n > 0 && remote->durability == REDIS_NONE)
        note_put(remote, STORE_NOTE_FACT, "replicas",
                 "%lld replicas: a failover may lose what had not reached the one that takes "
                 "over; durability wait(1) waits for it",
                 (long long) n);
    else
        note_put(remote, STORE_NOTE_FACT, "replicas", "%lld replicas", (long long) n);
    return 0;
}

int remote_look(RemoteLoop *loop)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    int r;

    arena_init(&arena, 0);
    r = look_at_persistence(loop, &arena);
    return r == 0 ? look_at_replicas(loop, &arena) : r;
}

/* Whether this user may load functions and call them: an ACL or a provider may forbid it. Who does
 * not answer has not forbidden it. */
SUSPENDS static bool may_use_functions(RemoteLoop *loop, Arena *arena)
{
    Str load[] = { str_from_c("FUNCTION"), str_from_c("LOAD"), str_from_c("REPLACE"),
                   str_from_c(scripts_library) };
    Str probe[] = { str_from_c("FCALL"), arena_printf(arena, "%s_get", scripts_name),
                    str_from_c("0") };
    RedisCall call = { .argv = load,
                       .argc = ARRAY_LEN(load),
                       .slot = REDIS_NODE(0),
                       .patience_ms = LIMIT_REDIS_CONNECT_MS,
                       .arena = arena };
    Err err;
    int r = redis_call(loop->redis, &call);

    if (r == 0) { /* without keys it is an error at any rate: which one says enough */
        call.argv = probe;
        call.argc = ARRAY_LEN(probe);
        r = redis_call(loop->redis, &call);
        if (r < 0)
            err_take(r, &err);
        return r != REDIS_REFUSED ||
               (!resp_is_error(&call.reply, "NOPERM") &&
                !str_contains(call.reply.text, str_from_c("unknown command")));
    }
    if (r < 0)
        err_take(r, &err);
    return r != REDIS_REFUSED;
}

/* A replica takes no writes, and whoever was given its address by mistake shall hear it at once. */
SUSPENDS static int check_role(RemoteLoop *loop, Arena *arena)
{
    Str info, role, host = { 0 };
    int r = info_read(loop, arena, REDIS_NODE(0), "replication", &info);

    if (r < 0)
        return wrap(r, "INFO replication");
    if (!info_field(info, "role", &role) || !str_eq_c(role, "slave"))
        return 0;
    (void) info_field(info, "master_host", &host); /* for the words */
    return fail(-ERR_CONFIG,
                "it is a replica of %.*s and takes no writes: name its master, or its "
                "sentinels with redis+sentinel://",
                (int) MIN(host.len, (size_t) 80), host.data ? host.data : "");
}

int remote_check_server(RemoteLoop *loop)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Remote *remote = loop->remote;
    RedisAbout about;
    int r = 0;

    arena_init(&arena, 0);
    redis_about(loop->redis, &about);
    if (about.version < 0x060200)
        return fail(-ERR_UNSUPPORTED, "Redis is %u.%u.%u; 6.2 or later is needed",
                    about.version >> 16, about.version >> 8 & 0xff, about.version & 0xff);
    if (remote->durability == REDIS_WAITAOF && !about.has_waitaof)
        return fail(-ERR_CONFIG, "durability waitaof needs Redis 7.2; this is %u.%u",
                    about.version >> 16, about.version >> 8 & 0xff);
    remote->has_functions = about.has_functions && !(remote->seams && remote->seams->is_old) &&
                            may_use_functions(loop, &arena);
    remote->publish = !about.is_cluster        ? PUBLISH_PLAIN
                      : about.has_shard_pubsub ? PUBLISH_SHARD
                                               : PUBLISH_BLIND;
    if (remote->n_parts == 0 && about.is_cluster)
        remote->n_parts = LIMIT_STORE_CLUSTER_PARTITIONS;
    if (!about.is_cluster)
        r = check_role(loop, &arena);
    for (size_t node = 0; node < redis_n_nodes(loop->redis) && r == 0; node++)
        r = check_eviction(loop, &arena, node);
    for (size_t node = 0; node < redis_n_nodes(loop->redis) && r == 0; node++)
        r = check_aof(loop, &arena, node);
    note_put(remote, STORE_NOTE_FACT, "server", "%s %u.%u.%u%s, RESP%u",
             about.is_valkey ? "Valkey" : "Redis", about.version >> 16, about.version >> 8 & 0xff,
             about.version & 0xff, about.is_cluster ? ", cluster" : "", about.protocol);
    return r < 0 ? r : remote_look(loop);
}

/* ---- what the store is ----------------------------------------------------------------------- */

static void new_epoch(char *out)
{
    Uuid uuid;
    UuidMaker maker;
    Rand rand;

    rand_init(&rand, sl_random());
    uuid_maker_init(&maker, &rand);
    uuid = uuid_make_v7(&maker, sl_wall_ms());
    (void) uuid_format(&uuid, out);
}

/* Make sl:about unless it is there, and read it: one script, so that all agree. */
SUSPENDS static int agree_on_store(RemoteLoop *loop, Arena *arena, uint32_t *ret_parts)
{
    static const char script[] =
        "if redis.call('EXISTS',KEYS[1])==0 then redis.call('HSET',KEYS[1],'format',ARGV[1],"
        "'epoch',ARGV[2],'partitions',ARGV[3],'created',ARGV[4],'by',ARGV[5]) end "
        "return redis.call('HMGET',KEYS[1],'format','partitions')";
    Remote *remote = loop->remote;
    char epoch[UUID_TEXT_BYTES];
    Str key = arena_printf(arena, "%.*s:about", (int) remote->url.prefix.len,
                           remote->url.prefix.data);
    Str parts = arena_printf(arena, "%u", MAX(remote->n_parts, 1u));
    Str created = arena_printf(arena, "%lld", (long long) sl_wall_ms());
    const char *argv[] = { "EVAL", script,     "1",          key.data,    "1",
                           epoch,  parts.data, created.data, loop->client };
    int64_t format, n_parts;
    RespValue reply;
    int r;

    new_epoch(epoch);
    r = remote_command(loop, arena, redis_slot(key), argv, ARRAY_LEN(argv), &reply);
    if (r < 0)
        return r;
    if (!resp_to_number(resp_item(&reply, 0), &format) ||
        !resp_to_number(resp_item(&reply, 1), &n_parts) || n_parts < 1 ||
        n_parts > LIMIT_REDIS_PARTITIONS)
        return fail(-ERR_STORE_FORMAT, "%s in Redis is not what a store has there", key.data);
    if (format != REMOTE_FORMAT)
        return fail(-ERR_STORE_FORMAT,
                    "the store in Redis has format %lld; this version knows format %d",
                    (long long) format, REMOTE_FORMAT);
    *ret_parts = (uint32_t) n_parts;
    return 0;
}

/* The partition's epoch as the server has it; made when there is none. */
SUSPENDS static int agree_on_epoch(RemotePart *part, char *ret_epoch)
{
    static const char script[] =
        "local e=redis.call('GET',KEYS[1]) if not e then e=ARGV[1] redis.call('SET',KEYS[1],e) "
        "end return e";
    AUTO(arena_deinit) Arena arena = { 0 };
    char fresh[UUID_TEXT_BYTES];
    RespValue reply;
    Str key;
    int r;

    arena_init(&arena, 0);
    new_epoch(fresh);
    key = arena_printf(&arena, "%.*sepoch", (int) part->prefix.len, part->prefix.data);
    const char *argv[] = { "EVAL", script, "1", key.data, fresh };
    r = remote_command(part->loop, &arena, part->slot, argv, ARRAY_LEN(argv), &reply);
    if (r < 0)
        return r;
    if (reply.text.len == 0 || reply.text.len >= UUID_TEXT_BYTES)
        return fail(-ERR_STORE_FORMAT, "%s in Redis is not what a store has there", key.data);
    memcpy(ret_epoch, reply.text.data, reply.text.len);
    ret_epoch[reply.text.len] = '\0';
    return 0;
}

int remote_agree_store(RemoteLoop *loop)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Remote *remote = loop->remote;
    uint32_t n_parts;
    int r;

    arena_init(&arena, 0);
    r = agree_on_store(loop, &arena, &n_parts);
    if (r < 0)
        return r;
    if (remote->url.partitions > 0 && remote->url.partitions != n_parts)
        return fail(-ERR_CONFIG,
                    "the store in Redis has %u partitions, and %u were asked for; the number is "
                    "fixed when a store is made: leave partitions= out, or migrate to a new store",
                    n_parts, remote->url.partitions);
    remote->n_parts = n_parts;
    return 0;
}

int remote_agree_epochs(RemoteLoop *loop)
{
    int r = 0;

    for (uint32_t p = 0; p < loop->remote->n_parts && r == 0; p++)
        r = agree_on_epoch(&loop->parts[p], loop->parts[p].epoch);
    return r;
}

/* ---- a server that lost everything ----------------------------------------------------------- */

static void note_emptied(Remote *remote)
{
    int64_t now_ms = sl_wall_ms();

    atomic_store(&remote->emptied_ms, now_ms);
    log_debug("the redis server lost what it held", L_C("store", "redis"));
    note_put(remote, STORE_NOTE_BROKEN, "emptied",
             "the Redis server lost what it held (FLUSHALL, or a restart without its data): all "
             "jobs of before are gone");
}

SUSPENDS static int renew(RemotePart *part)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    RemoteLoop *loop = part->loop;
    char epoch[UUID_TEXT_BYTES];
    uint32_t n_parts;
    int r;

    arena_init(&arena, 0);
    r = agree_on_store(loop, &arena, &n_parts);
    if (r == 0)
        r = agree_on_epoch(part, epoch);
    if (r < 0 || strcmp(epoch, part->epoch) == 0)
        return r;
    memcpy(part->epoch, epoch, sizeof(epoch));
    part->epoch_turn++;
    loop->lost_turn++;
    part->n_heard = 0;
    note_emptied(loop->remote);
    remote_ask_again(loop, part);
    watch_wake(loop);
    return 0;
}

int part_renew(RemotePart *part, unsigned turn)
{
    int r = sl_mutex_lock(&part->loop->renewing);

    if (r < 0)
        return r;
    if (part->epoch_turn == turn)
        r = renew(part);
    sl_mutex_unlock(&part->loop->renewing);
    return r;
}
