/*
 * The arguments of a request while it is made, and what all answers have in common.
 */
#pragma once

#include "store/redis/request_int.h"

typedef struct Args {
    Arena *arena;
    Str *items;
    size_t n, cap;
    bool is_failed; /* no memory; stays */
} Args;

/* Begin a request of KIND: command, keys, head. */
void args_begin(Args *args, Arena *arena, ScriptKind kind, const RequestHead *head,
                bool has_functions, Request *ret);

/* Append a borrowed argument; a copy; the text of a number or an id; "%"-encoded. */
void args_add(Args *args, Str item);
void args_add_copy(Args *args, Str item);
void args_add_number(Args *args, int64_t number);
void args_add_id(Args *args, const JobId *id);
void args_add_name(Args *args, Str name);
void args_add_flag(Args *args, bool flag); /* "1" or empty */

/* 0 or -ENOMEM. */
MUST int args_end(const Args *args, Request *ret);

/* A list of at least N items that begins with a time; else -ERR_STORE with words. */
MUST int reply_check(const RespValue *reply, size_t n);

int64_t reply_number(const RespValue *reply, size_t i);

/*
 * Job (id, text) of a reply to OP->out, as op_add_record does; HAS_HOLDER: an active one's holder
 * behind it, as op_add_text does.
 */
MUST int reply_add_job(StoreOp *op, Str id, Str text, int64_t until_ms, bool has_holder);
/* The same for one of many, counted in *N: one that cannot be read is left out, and logged. */
MUST int reply_add_readable(StoreOp *op, Str id, Str text, int64_t until_ms, bool has_holder,
                            size_t *n);
