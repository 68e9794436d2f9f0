/*
 * Shares; see the header.
 */
#include "rows/step_share.h"

#include "base/assert.h"
#include "base/map.h"
#include "rows/row_cast.h"

#include <math.h>

static uint64_t add_number(uint64_t share, double real)
{
    real = real == 0 ? 0 : isnan(real) ? (double) NAN : real; /* one zero, one that is none */
    return hash_bytes(&real, sizeof(real), share, ROW_REAL);
}

static uint64_t add_text(uint64_t share, Str text)
{
    RowValue number;

    if (!row_parse_number(text, &number))
        return hash_bytes(text.data, text.len, share, ROW_TEXT);
    return add_number(share, number.kind == ROW_INT ? (double) number.integer : number.real);
}

uint64_t step_share_add(uint64_t share, const RowValue *value)
{
    switch (value->kind) {
    case ROW_TEXT:
    case ROW_JSON: return add_text(share, value->text);
    case ROW_INT: return add_number(share, (double) value->integer);
    case ROW_REAL: return add_number(share, value->real);
    case ROW_BOOL: return add_text(share, str_from_c(value->boolean ? "true" : "false"));
    case ROW_TIME: return hash_bytes(&value->time_ns, sizeof(value->time_ns), share, ROW_TIME);
    case ROW_ANY: return hash_bytes("", 0, share, ROW_ANY);
    }
    UNREACHABLE("all kinds are above");
}
