/*
 * RESP: the wire format of Redis, versions 2 and 3.
 *
 * Reading has two steps, so that bytes may arrive in any pieces: a scan walks frames and remembers
 * where it stopped (no byte is looked at twice), and once it says that a frame is whole, decoding
 * makes a tree of values that borrow their texts from it. Commands are written as arrays of bulk
 * strings, which both versions have.
 *
 * A server is not trusted: frames have at most LIMIT_RESP_FRAME_BYTES, LIMIT_RESP_DEPTH levels and
 * LIMIT_RESP_ITEMS values. Attributes (|) are read and dropped; streamed types are refused.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum RespType {
    RESP_NULL,   /* _ and the null forms of $ and * */
    RESP_TEXT,   /* + $ = (without its three letters) and ( */
    RESP_ERROR,  /* - and ! : the words, such as "MOVED 3999 10.0.0.1:6381" */
    RESP_NUMBER, /* : */
    RESP_REAL,   /* , */
    RESP_BOOL,   /* # : number is 0 or 1 */
    RESP_LIST,   /* * ~ > */
    RESP_MAP,    /* % : items are key, value, key, value … */
} RespType;

typedef struct RespValue RespValue;
struct RespValue {
    RespType type;
    bool is_push;           /* > : sent by the server by itself */
    Str text;               /* TEXT, ERROR: borrowed from the frame */
    int64_t number;         /* NUMBER, BOOL */
    double real;            /* REAL */
    size_t n;               /* LIST, MAP: number of items */
    const RespValue *items; /* in the arena */
};

/* Outcome of resp_scan: the frame goes on in bytes that are not there yet. */
enum { RESP_MORE = 1 };

#define RESP_DEPTH_MAX 16

/* Where a scan stands. Zero is the start of a frame. */
typedef struct RespScan {
    size_t at;      /* bytes of the frame looked at, or known to belong to a text */
    size_t line;    /* where the line begins whose end is looked for */
    bool is_text;   /* a text ends at `at`: its CRLF is next */
    size_t items;   /* values seen or announced */
    unsigned depth; /* levels that are open */
    uint64_t left[RESP_DEPTH_MAX + 1]; /* items missing on each; [0] is the frame itself */
} RespScan;

/*
 * Look for the end of the frame that BYTES begins with; the next call gets the same bytes and more
 * behind them. 0: it has *RET_LEN bytes, and SCAN is zero again; RESP_MORE; -ERR_NETWORK with words
 * for what is no RESP or is over a limit.
 */
MUST int resp_scan(RespScan *scan, Str bytes, size_t *ret_len);

/* A whole frame as values. -ERR_NETWORK or -ENOMEM. */
MUST int resp_decode(Arena *arena, Str frame, RespValue *ret_value);

/* Append a command. */
void resp_add_command(Buf *out, const Str *argv, size_t argc);

/*
 * The words of an error from its code on ("READONLY You can't …"). Servers before 7.0 put others
 * before them when a command of a script has met it.
 */
Str resp_error_words(Str words);

/* Whether VALUE is an error with the code CODE ("NOSCRIPT"), in a script or outside. */
bool resp_is_error(const RespValue *value, const char *code);

/* A number, also when it was sent as text. False when it is neither. */
bool resp_to_number(const RespValue *value, int64_t *ret_number);

/* Item I of a list, or a null value. */
const RespValue *resp_item(const RespValue *list, size_t i);
