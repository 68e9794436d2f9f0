/*
 * Image URLs: what a URL says of a picture, and who may have said it.
 *
 *   /v1/images/SIGNATURE/OPTIONS/SOURCE
 *
 *   OPTIONS    w:320,h:240,fit:inside,f:webp,q:80,dpr:2,exp:1795000000    "-" for none
 *   SOURCE     an absolute URL in base64url or percent-encoded, or a path below the operator's
 *              folder, percent-encoded
 *   SIGNATURE  HMAC-SHA256 over "/OPTIONS/SOURCE" as they stand in the path, in base64url
 *
 * Each option is the name of a field of the handler's schema or one of the short names below, which
 * are those people know from imgproxy; a value of several parts has colons between them, which
 * become commas. So the schema says what there is: nothing here knows a single option's meaning
 * but `exp`, the time in seconds since 1970 from which the URL is void.
 */
#pragma once

#include "base/arena.h"
#include "base/own.h"

#include <sluice/schema.h>
#include <sluice/str.h>

#define IMAGE_URL_MAC_BYTES     32
#define IMAGE_URL_MAC_BYTES_MIN 16 /* a signature may be cut to this many bytes */
#define IMAGE_URL_KEY_BYTES_MIN 16

typedef struct ImageUrl {
    Str args;          /* of the handler, the text of a JSON object, in the arena */
    int64_t expires_s; /* since 1970; 0: never */
} ImageUrl;

/* Read OPTIONS (percent-decoded) by SCHEMA. 0, or -ERR_INVALID with words that name the option. */
MUST int image_url_options(Arena *arena, const Schema *schema, Str options, ImageUrl *ret_url);

typedef enum ImageSourceKind {
    IMAGE_SOURCE_URL, /* http or https */
    IMAGE_SOURCE_PATH /* relative, without a segment that leads up or is hidden */
} ImageSourceKind;

/* What TEXT (percent-decoded) names: *RET_SOURCE, in ARENA or TEXT itself. 0 or -ERR_INVALID. */
MUST int image_url_source(Arena *arena, Str text, ImageSourceKind *ret_kind, Str *ret_source);

/*
 * Whether URL may be fetched by RULE: "https://img.example.com/shop/", "https://(star).example.com"
 * with an asterisk for all names below, or without a scheme for both. Scheme, host and port must be
 * equal, and the path begin with the rule's, up to a slash. A URL with user, control characters,
 * backslashes or segments that lead up fits no rule.
 */
bool image_url_fits(Str rule, Str url);

/* Whether RULE can be one. 0 or -ERR_INVALID. */
MUST int image_url_rule_check(Str rule);

/* Sign TEXT with KEY. */
void image_url_mac(Str key, Str text, unsigned char out[static IMAGE_URL_MAC_BYTES]);

/* Whether SIGNATURE (base64url) is one of TEXT with KEY; takes as long whatever is wrong. */
bool image_url_is_signed(Str key, Str text, Str signature);
