/*
 * Charsets: which encoding a document is in, and the document as UTF-8.
 *
 * The rules are the WHATWG's (HTML, "determining the character encoding", and the Encoding
 * standard). The first of these that answers wins:
 *
 *   1. a byte order mark: UTF-8, UTF-16LE, UTF-16BE
 *   2. the charset of the Content-Type header
 *   3. for HTML, the first 1024 bytes: `<meta charset>`, `<meta http-equiv content>`
 *   4. an XML declaration, in UTF-16 or in ASCII
 *   5. for HTML, a meta element in the first LIMIT_CHARSET_BYTES that is not inside a script or
 *      another element of text: browsers meet it while they parse, and begin again
 *   6. the fallback: windows-1252
 *
 * The labels and tables are lexbor's, which are the standard's: "latin1" and "ascii" mean
 * windows-1252, "gb2312" means GBK, and so on. What is not valid becomes U+FFFD.
 */
#pragma once

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum CharsetSource {
    CHARSET_FROM_FALLBACK, /* nobody said anything */
    CHARSET_FROM_BOM,
    CHARSET_FROM_HTTP, /* the Content-Type header, or whoever calls */
    CHARSET_FROM_META,
    CHARSET_FROM_XML,
} CharsetSource;

/* An encoding, by value. Zeroed means UTF-8, nobody having said so. */
typedef struct Charset {
    const char *name; /* as the standard writes it, "windows-1252"; NULL means "UTF-8" */
    uint8_t id;       /* 0 for UTF-8, or the library's number */
    uint8_t bom_len;  /* bytes of the mark that the document begins with */
    CharsetSource source;
} Charset;

/* The encoding that LABEL names ("utf8", "Latin1", with white space around it); false: none. */
bool charset_find(Str label, Charset *ret_charset);

/*
 * The encoding of the document that begins with BYTES. HTTP_LABEL is the charset parameter of its
 * Content-Type (http_media_param), empty if there is none; a label that nobody knows counts as
 * none. Only the first LIMIT_CHARSET_BYTES are looked at. Always answers.
 */
Charset charset_detect(Str bytes, Str http_label);

/* Steps 3 and 4 alone; false when the document does not say. */
bool charset_prescan(Str bytes, Charset *ret_charset);

/*
 * BYTES as UTF-8 without its byte order mark. UTF-8 that is valid stays where it is (the result
 * is a view of BYTES); everything else is written to OUT, whose old content goes.
 *
 * Returns 0, or -ERR_TOO_LARGE and -ENOMEM as buf_check does.
 */
MUST int charset_decode(Charset charset, Str bytes, Buf *out, Str *ret_text);

/* As charset_decode; also tells how many characters had to be replaced by U+FFFD. */
MUST int charset_decode_counted(Charset charset, Str bytes, Buf *out, Str *ret_text,
                                size_t *ret_replaced);
