/*
 * Hexadecimal text.
 */
#pragma once

#include "base/text.h"

#include <stddef.h>
#include <stdint.h>

/* LEN bytes as 2 * LEN lower-case digits into OUT; no NUL. */
void hex_encode(const void *data, size_t len, char *out);
void hex_encode_buf(Buf *out, Str data);

/* The value of one digit, or -1. */
int hex_digit(char c);

/* TEXT, an even number of digits of either case, into OUT (TEXT.len / 2 bytes). -ERR_INVALID. */
MUST int hex_decode(Str text, void *out);
