/*
 * Where a Redis is: the URL of --store and what Redis Cluster knows of keys.
 *
 *   redis://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]…][/DB][?OPTIONS]     one server or a cluster
 *   rediss://…                                                              the same over TLS
 *   redis+unix://[USER[:PASSWORD]@]/PATH/TO/SOCKET[?OPTIONS]                a Unix socket
 *   redis+sentinel://HOST[:PORT],…/MASTER[/DB][?OPTIONS]  (rediss+sentinel) behind Sentinel
 *
 * Options: db, prefix (of every key; default "sl"), partitions (of a new store), ca, cert, key
 * (PEM files), insecure=1 (the server's certificate is not looked at), server_name, sentinel_user,
 * sentinel_password. Several hosts of redis:// are entrances to one cluster; whether the server is
 * a cluster it says itself. User, password and values are percent-decoded (a + stays one); an @
 * stands behind user and password only. An option that is not known is refused with the nearest
 * that is. Words never show the password.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDIS_SLOTS     16384
#define REDIS_PORT      6379
#define REDIS_SENTINEL  26379
#define REDIS_HOSTS_MAX 16

typedef struct RedisHost {
    Str name; /* host name, or address without brackets */
    uint16_t port;
} RedisHost;

typedef struct RedisUrl {
    bool is_tls;
    bool is_sentinel;
    Str socket_path; /* empty unless it is a Unix socket */
    RedisHost hosts[REDIS_HOSTS_MAX];
    size_t n_hosts;
    Str master; /* Sentinel's name for it */
    Str user, password;
    Str sentinel_user, sentinel_password;
    unsigned db;
    Str prefix;          /* default "sl" */
    uint32_t partitions; /* 0: not said */
    Str ca, cert, key;   /* empty: the system's; none; none */
    Str server_name;     /* empty: the host's */
    bool is_insecure;
} RedisUrl;

/* Read TEXT; texts of the result live in ARENA. -ERR_USAGE with words. */
MUST int redis_url_parse(Arena *arena, Str text, RedisUrl *ret_url);

/* The URL as words for logs and notes: without user, password and options. */
void redis_url_describe(const RedisUrl *url, Buf *out);

/* The slot of a key: CRC16 (XMODEM) of what stands in its first {…}, or of all of it. Source: the
 * Redis Cluster specification, "Key distribution model". */
uint16_t redis_slot(Str key);
