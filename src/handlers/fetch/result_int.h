/*
 * The result of fetch, as its schema writes it.
 */
#pragma once

#include "codec/schema.h"

typedef struct FetchErrorResult {
    Str source;
    Str kind;
    Str message;
    int64_t status;
    int64_t attempts;
} FetchErrorResult;

typedef struct FetchWarningResult {
    Str source;
    Str message;
} FetchWarningResult;

typedef struct FetchResult {
    int64_t sources;
    int64_t ok;
    int64_t failed;
    int64_t row_count;
    SchemaJson rows;
    SchemaList errors;
    SchemaList warnings;
    int64_t cached;
    int64_t elapsed_ms;
    int64_t sequential_ms;
    Str summary;
} FetchResult;
