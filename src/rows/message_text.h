/*
 * What the text of one message tells: its format, whether it may share a payload with others, a
 * number.
 */
#pragma once

#include "rows/decode.h"

/* JSON or line protocol, as the decoder of format auto sees TEXT, which is trimmed. */
DecodeFormat message_guess(Str text);

/*
 * Whether the quotes of a message of line protocol are surely closed: they come in pairs, of which
 * the first stands behind =, and the second neither behind = nor before a character of a text. What
 * is not so plain is decoded alone, because an open quote would take in the next message.
 */
bool message_has_closed_quotes(Str text);

/* TEXT as a decimal number: digits, sign, point, exponent; finite. */
bool message_number(Str text, double *ret_number);
