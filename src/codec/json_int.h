/*
 * What a Json handle is underneath: a yyjson value.
 */
#pragma once

#include "codec/json.h"

#include <stdint.h>
#include <yyjson.h>

/* yyjson's own accessors take values without const; nobody writes through this one. */
static inline yyjson_val *json_val(Json value)
{
    return (yyjson_val *) (uintptr_t) value;
}

static inline Json json_of(const yyjson_val *val)
{
    return (Json) (const void *) val;
}

/* The bytes of a string, or the digits of a number that fits nothing. */
static inline Str json_text_of(yyjson_val *val)
{
    return str_from(val->uni.str, unsafe_yyjson_get_len(val));
}
