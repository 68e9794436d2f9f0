/*
 * Numbers as bytes, for state that is kept: appended to a buffer, taken from the front of a text.
 *
 *   varint   seven bits a byte, the lowest first, the top bit set on all but the last (LEB128)
 *   fixed    eight bytes, the lowest first
 *
 * Taking gives false when the bytes are at their end or no number that fits; the text is then as it
 * was.
 */
#pragma once

#include "base/text.h"

void varint_add(Buf *out, uint64_t value);
bool varint_take(Str *bytes, uint64_t *ret_value);

/* Signed: small magnitudes are short. */
void varint_add_signed(Buf *out, int64_t value);
bool varint_take_signed(Str *bytes, int64_t *ret_value);

void fixed_add_u64(Buf *out, uint64_t value);
bool fixed_take_u64(Str *bytes, uint64_t *ret_value);
void fixed_add_real(Buf *out, double value);
bool fixed_take_real(Str *bytes, double *ret_value);

/* A text with its length before it. What is taken is borrowed from BYTES. */
void varint_add_str(Buf *out, Str text);
bool varint_take_str(Str *bytes, Str *ret_text);
