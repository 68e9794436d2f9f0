/*
 * The parser of requests: llhttp, strict, plus what llhttp leaves to its user.
 *
 * Pure: bytes in, views out. It is fed the bytes of one request as they arrive, all of them in one
 * buffer that does not move, and tells when the head is whole, when the message is, or with what
 * status it must be refused. Bodies of a known length are not its business; chunks it decodes in
 * place.
 */
#pragma once

#include "net/http.h"

#include <llhttp.h>

typedef enum HttpParsed {
    HTTP_PARSED_MORE, /* everything was used, the head or body goes on */
    HTTP_PARSED_HEAD, /* the head is whole and a body follows: body_left says how long */
    HTTP_PARSED_DONE, /* the message is whole */
    HTTP_PARSED_BAD,  /* refuse with `status` and the words in `why` */
} HttpParsed;

typedef struct HttpParser {
    llhttp_t llhttp;

    /* Where things are. */
    const char *start;   /* the first byte of this request */
    HttpHeader *headers; /* room for headers_max */
    Str target;
    char *body_at; /* where decoded chunk bytes go next */
    size_t n_headers;

    /* What it found. */
    int status;
    const char *why;      /* static text */
    uint64_t body_left;   /* as HttpRequest.body_left */
    uint64_t extra_bytes; /* chunk extensions and trailers */
    bool in_field;        /* the last span was of a field name */
    bool is_head_done;    /* what comes is body, what headers come are trailers */
    bool is_done;
    bool has_length;     /* Content-Length or Transfer-Encoding was there */
    bool wants_continue; /* Expect: 100-continue */

    /* Bounds. */
    size_t headers_max;
} HttpParser;

/* Begin a request whose first byte will be at START; HEADERS has room for HEADERS_MAX. */
void http_parser_begin(HttpParser *parser, const char *start, HttpHeader *headers,
                       size_t headers_max);

/*
 * Feed LEN bytes at DATA, which follow what was fed before. *ret_used tells how many belong to this
 * request so far. In the body, decoded bytes go to parser->body_at, which has room for LEN.
 */
HttpParsed http_parser_feed(HttpParser *parser, const char *data, size_t len, size_t *ret_used);

/*
 * The head is whole (HEAD or DONE): check what llhttp does not and fill REQUEST's fields that come
 * from it. True, or false with status and why.
 */
bool http_parser_finish_head(HttpParser *parser, HttpRequest *request);
