/*
 * Inside web_url: what lexbor does.
 */
#pragma once

#include "codec/web_url.h"

/* TEXT, a host of http as it was written (no userinfo, no port), serialised: punycode, IPv4 and
 * IPv6 addresses. 0, WEB_URL_INVALID or -ENOMEM. */
MUST int web_url_read_host(Arena *arena, Str text, Str *ret_host);

/* QUERY, which is UTF-8, escaped after it was encoded in the charset of this Charset.id. 0 or
 * -ENOMEM. */
MUST int web_url_encode_query(Arena *arena, uint8_t charset, Str query, Str *ret_query);
