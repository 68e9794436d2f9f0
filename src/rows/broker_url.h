/*
 * Addresses of brokers: what stands in a source's `server`, and the short form of its settings.
 *
 *   [SCHEME://][USER[:PASSWORD]@]HOST[:PORT][/PATH]
 *
 * A scheme that ends in s means TLS. User, password and path are percent-decoded (a + stays one). A
 * password has no place in a setting that is shown: the short form moves it into the setting of its
 * own.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"
#include "rows/source.h"

typedef struct BrokerUrl {
    bool is_tls;
    bool has_path;
    uint16_t port; /* 0: none is given */
    Str user, password;
    Str host; /* without brackets; of "a:1,b:2" all of it, and no port */
    Str path; /* without the slash before it */
} BrokerUrl;

/* Cut TEXT; a scheme must be SCHEME or SCHEME with an s. Texts live in ARENA, with a NUL behind
 * them. -ERR_INVALID with words that never show the password. */
MUST int broker_url_parse(Arena *arena, Str text, const char *scheme, BrokerUrl *ret_url);

/*
 * The settings that SCHEME://… ?name=value&… says, as JSON appended to OUT: server, username,
 * password, tls, the path as PATH_NAME, and what stands behind the question mark. -ERR_INVALID.
 */
MUST int broker_url_to_settings(const SourceDriver *driver, const char *scheme,
                                const char *path_name, Str text, Buf *out);
