/*
 * Inside the simulated Redis: a call of a command, its reply, and the table of commands.
 */
#pragma once

#include "../sim/redis.h"
#include "../sim/redis_data.h"

#include "base/rand.h"

typedef struct RedisConn RedisConn;
typedef struct ScriptHost ScriptHost;

struct SimRedis {
    SimRedisOpts opts;
    SimRedisFaults faults;
    SimRedisStats stats;
    Data data;
    ScriptHost *scripts; /* NULL until the first */
    Listener *listener;
    List conns;
    Map commands;            /* name in small letters -> Command */
    int64_t step_ms;         /* of its clock, against the loop's */
    int64_t synced_ns;       /* the last sync */
    int64_t frozen_until_ns; /* SIGSTOP */
    int64_t loading_until_ns;
    int64_t full_until_ns; /* INT64_MAX: until told */
    int64_t down_until_ns;
    bool is_for_old;     /* the command under way came from one of the old master's clients */
    sl_scope *accepting; /* NULL when nobody accepts */
    uint64_t lives;      /* grows with each crash */
    uint64_t next_conn;
    Data *split; /* of the old master, while it serves; or NULL */
    int64_t split_until_ns;
    size_t late; /* commands on their way without a connection */
    SimRedisHeard heard;
    void *heard_ctx;
};

/* One command under way. */
typedef struct Call {
    SimRedis *redis;
    Data *data;
    RedisConn *conn; /* NULL in scripts and for sim_redis_do */
    Buf *out;
    bool is_resp3;
    bool is_script;
    int64_t now_ms;
    const Str *argv;
    size_t argc;
} Call;

enum {
    COMMAND_WRITE = 1,
    COMMAND_GROWS = 2,     /* refused when maxmemory is reached */
    COMMAND_NO_SCRIPT = 4, /* not from scripts */
    COMMAND_ALWAYS = 8,    /* also while loading, and before AUTH */
};

typedef struct Command {
    const char *name; /* in small letters */
    void (*run)(Call *call);
    int arity; /* as Redis counts: the name too; below zero: at least */
    unsigned flags;
    int first, last, step; /* of the keys; 0: none; LAST -1: to the end */
} Command;

extern const Command redis_key_commands[], redis_list_commands[], redis_zset_commands[],
    redis_server_commands[], redis_script_commands[]; /* each ends with a row without a name */

const Command *redis_command_find(SimRedis *redis, Str name);

/* Check and run; the reply is in call->out. Whether it was refused or answered an error. */
bool redis_call_run(Call *call);

/* ---- replies ---- */

void say_status(Call *call, const char *text);
void say_error(Call *call, const char *fmt, ...) SL_PRINTF(2, 3); /* with its code */
void say_number(Call *call, int64_t number);
void say_real(Call *call, double number);
void say_text(Call *call, Str text);
void say_c(Call *call, const char *text);
void say_null(Call *call);
void say_null_list(Call *call);
void say_list(Call *call, size_t n);
void say_map(Call *call, size_t pairs);
void say_set(Call *call, size_t n);
void say_push(Call *call, size_t n); /* what the server says by itself */
void say_syntax(Call *call);
void say_not_integer(Call *call);
void say_wrong_type(Call *call);

/* ---- arguments ---- */

bool arg_is(Str arg, const char *word);              /* without regard to case */
bool arg_number(Call *call, size_t i, int64_t *ret); /* replies the error */
bool arg_real(Call *call, size_t i, double *ret);
bool text_to_real(Str text, double *ret);
size_t real_to_text(double number, char out[static 40]);

/* The key of argument I if it exists and is of KIND. False: an error was replied. */
bool arg_key(Call *call, size_t i, DataKind kind, DataKey **ret_key);
/* The same, made when it does not exist. */
bool arg_key_made(Call *call, size_t i, DataKind kind, DataKey **ret_key);
/* Remove it when nothing is left in it. */
void key_tidy(Call *call, DataKey *key);

/* START and STOP as Redis counts, over N items: false when none. */
bool range_clip(int64_t *start, int64_t *stop, size_t n);

/* SCAN and its kin: a page of NAMES behind a cursor. KEY_AT: where the options begin. */
typedef struct ScanItem {
    uint64_t hash;
    Str name, value;
} ScanItem;
void say_scan(Call *call, size_t cursor_arg, ScanItem *items, size_t n, bool has_values);

/* ---- scripts ---- */

void script_host_free(ScriptHost *host);
void script_forget(SimRedis *redis); /* SCRIPT FLUSH */
void function_forget(SimRedis *redis);

/* ---- connections ---- */

typedef struct Channel {
    struct Channel *next;
    Str name; /* owned */
} Channel;

struct RedisConn {
    ListLink link;
    SimRedis *redis;
    Stream *stream;
    uint64_t id;
    const void *owner; /* who connected, for sim_redis_sever; or NULL */
    Str client;        /* of CLIENT SETNAME; owned */
    bool is_resp3;
    bool is_known; /* has said the password */
    bool is_closing;
    bool is_old;          /* was connected to the master before the failover */
    bool is_reset;        /* close by a reset */
    size_t write_at_most; /* then close; SIZE_MAX: no limit */
    Buf in, out;
    sl_cond has_output;
    Channel *channels;
    int64_t last_write_ns; /* of its last write, for WAIT */
};

size_t conn_publish(SimRedis *redis, Str channel, Str message);
bool conn_subscribe(RedisConn *conn, Str channel, bool is_on);
size_t conn_subscriptions(const RedisConn *conn);

/* The dataset that CONN talks to, and whether it may write there. */
Data *redis_data_of(SimRedis *redis, const RedisConn *conn);
bool redis_is_read_only(const SimRedis *redis, const RedisConn *conn);
bool redis_is_full(const SimRedis *redis);
