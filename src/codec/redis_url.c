/*
 * Where a Redis is. The text is cut first and decoded then, piece by piece:
 *
 *   scheme://  user:password @ host:port,host:port /path ?name=value&name=value
 *              '---- the authority --------------'
 *
 * Nothing is guessed. An @ behind the authority means that a slash or a question mark of a password
 * was not percent-encoded; what was cut then is part of a secret, so such a text is refused before
 * any of it is looked at. For the same reason words never repeat a port, which is where a password
 * stands when its @ was forgotten, nor the value of an option that is a secret or is not known.
 *
 * An option is a row of `options`.
 */
#include "codec/redis_url.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "codec/hex.h"
#include "codec/suggest.h"
#include "codec/url.h"

#include <string.h>

#define HOST_BYTES_MAX 253 /* of a name: RFC 1035 */
#define PATH_BYTES_MAX 107 /* of a Unix socket: sun_path and its NUL */
#define DB_MAX         INT32_MAX

typedef struct Scheme {
    const char *name;
    bool is_tls, is_unix, is_sentinel;
} Scheme;

static const Scheme schemes[] = {
    { .name = "redis" },
    { .name = "rediss", .is_tls = true },
    { .name = "redis+unix", .is_unix = true },
    { .name = "redis+sentinel", .is_sentinel = true },
    { .name = "rediss+sentinel", .is_tls = true, .is_sentinel = true },
};

/* A text being read, and what its scheme allows. */
typedef struct Reader {
    Arena *arena;
    const Scheme *scheme;
    RedisUrl *url;
    bool has_db;
} Reader;

#define NAMED(s) (int) (s).len, (s).len > 0 ? (s).data : ""

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* -- the scheme -- */

static int fail_scheme(Str name)
{
    Suggest suggest = { .word = name };

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        suggest_consider(&suggest, str_from_c(schemes[i].name));
    if (suggest.best.len > 0)
        return fail(-ERR_USAGE,
                    "no address of a Redis begins with \"%.*s://\"; did you mean %.*s://?",
                    NAMED(name), NAMED(suggest.best));
    return fail(-ERR_USAGE,
                "the address of a Redis begins with redis://, rediss://, redis+unix://, "
                "redis+sentinel:// or rediss+sentinel://");
}

/* Take the scheme that TEXT begins with. */
static int read_scheme(Str *text, const Scheme **ret_scheme)
{
    size_t n = 0;
    Str name;

    while (n < text->len && n < 20 && (is_alnum(text->data[n]) || text->data[n] == '+'))
        n++;
    name = str_sub(*text, 0, n);
    if (!str_starts(str_sub(*text, n, text->len), (Str) STR("://")))
        return fail_scheme(str_from(NULL, 0));
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (str_eq_c(name, schemes[i].name)) {
            *text = str_sub(*text, n + 3, text->len);
            *ret_scheme = &schemes[i];
            return 0;
        }
    }
    return fail_scheme(name);
}

/* TEXT decoded, WHAT being its name in words. */
static int decode(Reader *reader, Str text, const char *what, Str *ret_text)
{
    Str decoded;
    int r = url_decode(reader->arena, text, false, &decoded);

    if (r < 0) {
        Err why;

        err_take(r, &why);
        return fail(-ERR_USAGE, "%s in the address of a Redis: %s", what, why.text);
    }
    if (str_find(decoded, '\0') >= 0)
        return fail(-ERR_USAGE, "%s in the address of a Redis holds a zero byte", what);
    *ret_text = decoded;
    return 0;
}

/* -- user, password and hosts -- */

static int read_userinfo(Reader *reader, Str text)
{
    Str password, user = str_cut(text, ':', &password);
    int r;

    if (str_find(password, ':') >= 0)
        return fail(-ERR_USAGE, "a ':' in the password of a Redis is written as %%3A");
    r = decode(reader, user, "the user", &reader->url->user);
    return r < 0 ? r : decode(reader, password, "the password", &reader->url->password);
}

static bool is_name(Str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!is_alnum(name.data[i]) && !strchr("-._", name.data[i]))
            return false;
    return name.len > 0 && name.len <= HOST_BYTES_MAX;
}

static bool is_ipv6(Str address)
{
    size_t n_colons = 0;

    for (size_t i = 0; i < address.len; i++) {
        if (address.data[i] == ':')
            n_colons++;
        else if (hex_digit(address.data[i]) < 0 && address.data[i] != '.')
            return false;
    }
    return n_colons >= 2 && address.len <= 45;
}

static bool digits_parse(Str text, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (text.len == 0 || text.len > 10)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        number = number * 10 + (uint64_t) (text.data[i] - '0');
    }
    *ret_number = number;
    return number <= max;
}

/* TEXT is "HOST", "HOST:PORT", ":PORT" or "", an IPv6 address in brackets. */
static int read_host(Str text, uint16_t default_port, RedisHost *ret_host)
{
    bool is_bracketed = text.len > 0 && text.data[0] == '[';
    ssize_t close = is_bracketed ? str_find(text, ']') : -1;
    uint64_t port = default_port;
    Str name, behind;

    if (is_bracketed && close < 0)
        return fail(-ERR_USAGE, "the address of a Redis: a '[' without its ']'");
    if (is_bracketed) {
        name = str_sub(text, 1, (size_t) close - 1);
        behind = str_sub(text, (size_t) close + 1, text.len);
    } else {
        ssize_t colon = str_find(text, ':');

        name = str_sub(text, 0, colon < 0 ? text.len : (size_t) colon);
        behind = str_sub(text, name.len, text.len);
    }
    if (name.len == 0 && !is_bracketed)
        name = (Str) STR("localhost");
    if (!is_bracketed && str_find(str_sub(behind, 1, behind.len), ':') >= 0)
        return fail(-ERR_USAGE, "the address of a Redis: an IPv6 address stands in brackets, as in "
                                "redis://[::1]:6379");
    if (is_bracketed ? !is_ipv6(name) : !is_name(name))
        return fail(-ERR_USAGE, "the address of a Redis: its host is no name and no IP address");
    if (behind.len > 0 &&
        (behind.data[0] != ':' || !digits_parse(str_sub(behind, 1, behind.len), UINT16_MAX, &port)))
        port = 0;
    if (port == 0)
        return fail(-ERR_USAGE,
                    "the address of a Redis: the port of \"%.*s\" is no number from 1 to "
                    "65535 (a user or password goes before an '@')",
                    NAMED(name));
    *ret_host = (RedisHost){ .name = name, .port = (uint16_t) port };
    return 0;
}

static int read_hosts(Reader *reader, Str text)
{
    uint16_t port = reader->scheme->is_sentinel ? REDIS_SENTINEL : REDIS_PORT;
    bool is_many = str_find(text, ',') >= 0;
    RedisUrl *url = reader->url;
    ssize_t comma;

    do {
        Str host;

        comma = str_find(text, ',');
        host = str_sub(text, 0, comma < 0 ? text.len : (size_t) comma);
        text = str_sub(text, host.len + 1, text.len);
        if (is_many && host.len == 0)
            return fail(-ERR_USAGE, "the address of a Redis: a host is missing beside a ','");
        if (url->n_hosts == REDIS_HOSTS_MAX)
            return fail(-ERR_USAGE,
                        "the address of a Redis: more than %d hosts; a few of a cluster "
                        "are enough",
                        REDIS_HOSTS_MAX);
        if (read_host(host, port, &url->hosts[url->n_hosts]) < 0)
            return -ERR_USAGE;
        url->n_hosts++;
    } while (comma >= 0);
    return 0;
}

static int read_authority(Reader *reader, Str text)
{
    ssize_t at = str_find(text, '@');
    int r = 0;

    if (at >= 0) {
        r = read_userinfo(reader, str_sub(text, 0, (size_t) at));
        text = str_sub(text, (size_t) at + 1, text.len);
    }
    if (r < 0)
        return r;
    if (!reader->scheme->is_unix)
        return read_hosts(reader, text);
    if (text.len > 0)
        return fail(-ERR_USAGE,
                    "redis+unix:// has no host: its path begins with a third '/', as in "
                    "redis+unix:///run/redis.sock");
    return 0;
}

/* -- the path -- */

static int read_db(Reader *reader, Str text)
{
    uint64_t db;

    if (!digits_parse(text, DB_MAX, &db))
        return fail(-ERR_USAGE, "the database of a Redis is a number, as in redis://host/0");
    if (reader->has_db)
        return fail(-ERR_USAGE, "the database of a Redis is given twice, in the path and as db=");
    reader->has_db = true;
    reader->url->db = (unsigned) db;
    return 0;
}

static int read_socket_path(Reader *reader, Str path)
{
    RedisUrl *url = reader->url;
    int r = decode(reader, path, "the path", &url->socket_path);

    if (r < 0)
        return r;
    if (url->socket_path.len < 2 || url->socket_path.data[url->socket_path.len - 1] == '/')
        return fail(-ERR_USAGE, "redis+unix:// needs the path of a socket, as in "
                                "redis+unix:///run/redis.sock");
    if (url->socket_path.len > PATH_BYTES_MAX)
        return fail(-ERR_USAGE, "the path of a Unix socket has at most %d bytes", PATH_BYTES_MAX);
    return 0;
}

/* PATH is empty or begins with '/'. */
static int read_path(Reader *reader, Str path)
{
    Str segment;
    int r = 0;

    if (reader->scheme->is_unix)
        return read_socket_path(reader, path);
    if (reader->scheme->is_sentinel) {
        if (url_path_next(&path, &segment))
            r = decode(reader, segment, "the name of the master", &reader->url->master);
        if (r == 0 && reader->url->master.len == 0)
            r = fail(-ERR_USAGE,
                     "redis+sentinel:// needs the name that Sentinel has for the master, "
                     "as in redis+sentinel://host:26379/mymaster");
    }
    if (r == 0 && url_path_next(&path, &segment) && (segment.len > 0 || path.len > 0))
        r = read_db(reader, segment);
    if (r == 0 && path.len > 0)
        r = fail(-ERR_USAGE, "the address of a Redis has nothing behind its database but ?options");
    return r;
}

/* -- options -- */

typedef enum Needs { NEEDS_NOTHING, NEEDS_TLS, NEEDS_SENTINEL } Needs;

typedef struct Option {
    const char *name;
    Needs needs;
    bool is_text;                           /* FIELD is a Str */
    size_t field;                           /* of RedisUrl */
    int (*read)(Reader *reader, Str value); /* in place of FIELD */
} Option;

static int read_prefix(Reader *reader, Str value)
{
    for (size_t i = 0; i < value.len; i++)
        if (!is_alnum(value.data[i]) && !strchr("-._:/", value.data[i]))
            return fail(-ERR_USAGE, "prefix= of a Redis: letters, digits and - . _ : / only");
    if (value.len > LIMIT_REDIS_PREFIX_BYTES)
        return fail(-ERR_USAGE, "prefix= of a Redis: at most %d bytes", LIMIT_REDIS_PREFIX_BYTES);
    reader->url->prefix = value;
    return 0;
}

static int read_partitions(Reader *reader, Str value)
{
    uint64_t partitions;

    if (!digits_parse(value, LIMIT_REDIS_PARTITIONS, &partitions) || partitions == 0)
        return fail(-ERR_USAGE, "partitions= of a Redis: a number from 1 to %d",
                    LIMIT_REDIS_PARTITIONS);
    reader->url->partitions = (uint32_t) partitions;
    return 0;
}

static int read_insecure(Reader *reader, Str value)
{
    reader->url->is_insecure = str_eq_c(value, "1");
    if (!reader->url->is_insecure && !str_eq_c(value, "0"))
        return fail(-ERR_USAGE, "insecure= of a Redis: 1 or 0");
    return 0;
}

#define TEXT_OPTION(option, what)                                                              \
    {                                                                                          \
        .name = #option, .needs = (what), .is_text = true, .field = offsetof(RedisUrl, option) \
    }

static const Option options[] = {
    { .name = "db", .read = read_db },
    { .name = "prefix", .read = read_prefix },
    { .name = "partitions", .read = read_partitions },
    { .name = "insecure", .needs = NEEDS_TLS, .read = read_insecure },
    TEXT_OPTION(ca, NEEDS_TLS),
    TEXT_OPTION(cert, NEEDS_TLS),
    TEXT_OPTION(key, NEEDS_TLS),
    TEXT_OPTION(server_name, NEEDS_TLS),
    TEXT_OPTION(sentinel_user, NEEDS_SENTINEL),
    TEXT_OPTION(sentinel_password, NEEDS_SENTINEL),
};

STATIC_ASSERT(ARRAY_LEN(options) <= 32, "a bit for each option");

static int fail_option(Str name)
{
    Suggest suggest = { .word = name };

    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        suggest_consider(&suggest, str_from_c(options[i].name));
    if (str_eq_c(name, "password") || str_eq_c(name, "user") || str_eq_c(name, "username"))
        return fail(-ERR_USAGE, "user and password of a Redis go before the host, as in "
                                "redis://user:password@host");
    if (suggest.best.len > 0)
        return fail(-ERR_USAGE, "\"%.*s\": no option of a Redis; did you mean %.*s?", NAMED(name),
                    NAMED(suggest.best));
    return fail(-ERR_USAGE,
                "an option of a Redis that is not known; there are db, prefix, partitions, "
                "ca, cert, key, insecure, server_name, sentinel_user and "
                "sentinel_password");
}

static int read_option(Reader *reader, const Option *option, Str value)
{
    if (option->needs == NEEDS_TLS && !reader->scheme->is_tls)
        return fail(-ERR_USAGE, "%s= is for TLS only: rediss://", option->name);
    if (option->needs == NEEDS_SENTINEL && !reader->scheme->is_sentinel)
        return fail(-ERR_USAGE, "%s= is for redis+sentinel:// only", option->name);
    if (value.len == 0)
        return fail(-ERR_USAGE, "%s= has no value", option->name);
    if (option->read)
        return option->read(reader, value);
    *(Str *) (void *) ((char *) reader->url + option->field) = value;
    return 0;
}

/* One pair of the query; SEEN has a bit for each option met. */
static int read_pair(Reader *reader, Str pair, uint32_t *seen)
{
    Str raw, value, name = str_cut(pair, '=', &raw);
    int r = decode(reader, name, "the name of an option", &name);

    for (size_t i = 0; r == 0 && i < ARRAY_LEN(options); i++) {
        if (!str_eq_c(name, options[i].name))
            continue;
        if (*seen & 1u << i)
            return fail(-ERR_USAGE, "%s= is given twice", options[i].name);
        *seen |= 1u << i;
        r = decode(reader, raw, "the value of an option", &value);
        return r < 0 ? r : read_option(reader, &options[i], value);
    }
    return r < 0 ? r : fail_option(name);
}

static int read_query(Reader *reader, Str query)
{
    const RedisUrl *url = reader->url;
    uint32_t seen = 0;

    while (query.len > 0) {
        Str pair = str_cut(query, '&', &query);
        int r = pair.len > 0 ? read_pair(reader, pair, &seen) : 0;

        if (r < 0)
            return r;
    }
    if ((url->cert.len > 0) != (url->key.len > 0))
        return fail(-ERR_USAGE, "cert= and key= of a Redis belong together");
    return 0;
}

/* -- all of it -- */

/* What no address may hold, wherever it stands. */
static int check_text(Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char) text.data[i];

        if (c <= 0x20 || c == 0x7f)
            return fail(-ERR_USAGE,
                        "the address of a Redis holds a space or a control character; it "
                        "is written as %%XX");
    }
    return 0;
}

/* Cut what follows the scheme; see the head of this file. */
static int cut_text(Str text, Str *ret_authority, Str *ret_path, Str *ret_query)
{
    size_t n = 0, n_at = 0;
    Str behind;

    while (n < text.len && !strchr("/?#", text.data[n]))
        n_at += text.data[n++] == '@';
    behind = str_sub(text, n, text.len);
    if (n_at > 1 || str_find(behind, '@') >= 0)
        return fail(-ERR_USAGE,
                    "the address of a Redis: '/', '?', '#' and '@' in a user or password "
                    "are written as %%2F, %%3F, %%23 and %%40 (elsewhere, '@' is %%40)");
    if (str_find(behind, '#') >= 0)
        return fail(-ERR_USAGE, "the address of a Redis: '#' is written as %%23");
    *ret_authority = str_sub(text, 0, n);
    *ret_path = str_cut(behind, '?', ret_query);
    return 0;
}

int redis_url_parse(Arena *arena, Str text, RedisUrl *ret_url)
{
    RedisUrl url = { .prefix = STR("sl") };
    Reader reader = { .arena = arena, .url = &url };
    Str authority, path, query;
    int r;

    r = read_scheme(&text, &reader.scheme);
    if (r == 0)
        r = check_text(text);
    if (r == 0)
        r = cut_text(text, &authority, &path, &query);
    if (r < 0)
        return r;
    url.is_tls = reader.scheme->is_tls;
    url.is_sentinel = reader.scheme->is_sentinel;
    r = read_authority(&reader, authority);
    if (r == 0)
        r = read_path(&reader, path);
    if (r == 0)
        r = read_query(&reader, query);
    if (r < 0)
        return r;
    *ret_url = url;
    return 0;
}

void redis_url_describe(const RedisUrl *url, Buf *out)
{
    Str path = url->socket_path, segment;

    buf_printf(out, "redis%s%s://", url->is_tls ? "s" : "",
               url->socket_path.len > 0 ? "+unix" : (url->is_sentinel ? "+sentinel" : ""));
    while (url_path_next(&path, &segment)) {
        buf_add_char(out, '/');
        url_encode(out, segment, URL_QUERY);
    }
    for (size_t i = 0; i < url->n_hosts; i++) {
        const RedisHost *host = &url->hosts[i];
        bool is_bracketed = str_find(host->name, ':') >= 0;

        buf_printf(out, "%s%s%.*s%s:%u", i > 0 ? "," : "", is_bracketed ? "[" : "",
                   NAMED(host->name), is_bracketed ? "]" : "", host->port);
    }
    if (url->is_sentinel) {
        buf_add_char(out, '/');
        url_encode(out, url->master, URL_QUERY);
    }
    if (url->db > 0)
        buf_printf(out, url->socket_path.len > 0 ? "?db=%u" : "/%u", url->db);
}

/* -- slots -- */

/* CRC16, polynomial 0x1021, beginning with 0, no reflection; four bits a step. */
static uint16_t crc16(Str text)
{
    static const uint16_t table[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
        0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
    };
    unsigned crc = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned byte = (unsigned char) text.data[i];

        crc = (crc << 4 & 0xffff) ^ table[crc >> 12 ^ byte >> 4];
        crc = (crc << 4 & 0xffff) ^ table[crc >> 12 ^ (byte & 15)];
    }
    return (uint16_t) crc;
}

uint16_t redis_slot(Str key)
{
    ssize_t open = str_find(key, '{');

    if (open >= 0) {
        Str behind = str_sub(key, (size_t) open + 1, key.len);
        ssize_t close = str_find(behind, '}');

        if (close > 0)
            key = str_sub(behind, 0, (size_t) close);
    }
    return crc16(key) % REDIS_SLOTS;
}
