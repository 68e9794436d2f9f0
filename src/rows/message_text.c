/*
 * What the text of one message tells; see the header.
 */
#include "rows/message_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BYTES_MAX 63

DecodeFormat message_guess(Str text)
{
    return text.len > 0 && (text.data[0] == '{' || text.data[0] == '[') ? DECODE_JSON
                                                                        : DECODE_INFLUX;
}

bool message_has_closed_quotes(Str text)
{
    bool is_open = false;
    size_t opened = 0;

    for (size_t i = 0; i < text.len; i++) {
        char before = i > 0 ? text.data[i - 1] : 0, after = i + 1 < text.len ? text.data[i + 1] : 0;

        if (text.data[i] == '\\')
            return false;
        if (text.data[i] != '"')
            continue;
        if (!is_open && before != '=')
            return false;
        if (is_open && ((before == '=' && opened + 1 < i) || (after && !strchr(", \n\r", after))))
            return false;
        opened = i;
        is_open = !is_open;
    }
    return !is_open;
}

bool message_number(Str text, double *ret_number)
{
    char copy[NUMBER_BYTES_MAX + 1];
    char *end;

    if (text.len == 0 || text.len > NUMBER_BYTES_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!strchr("0123456789+-.eE", text.data[i]))
            return false;
        copy[i] = text.data[i];
    }
    copy[text.len] = 0;
    *ret_number = strtod(copy, &end);
    return *end == 0 && isfinite(*ret_number);
}
