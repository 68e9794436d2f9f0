/*
 * Inside value_filter: the filters by kind, each a function of a value.
 */
#pragma once

#include "codec/regex.h"
#include "codec/value_filter.h"

typedef struct Filter Filter;

/* What a filter runs with. */
typedef struct FilterRun {
    Arena *arena;
    const FilterContext *context;
} FilterRun;

/* Change VALUE. 0, VALUE_MISMATCH (VALUE may be anything) or -ENOMEM. */
typedef int FilterFn(const Filter *filter, const FilterRun *run, Value *value);

/* Read the arguments when the chain is compiled. 0 or -ERR_INVALID with words. */
typedef int FilterInit(Filter *filter);

typedef struct FilterKind {
    const char *name;
    FilterFn *run;
    FilterInit *init; /* NULL: nothing to prepare */
    ValueKind gives;  /* VALUE_NULL: it depends */
    uint8_t min_args, max_args;
    bool is_of_list;    /* wants a JSON array */
    bool takes_nothing; /* sees missing and null values too */
} FilterKind;

#define FILTER_ARGS_MAX 2

struct Filter {
    const FilterKind *kind;
    char *args_c[FILTER_ARGS_MAX]; /* NUL-terminated, owned */
    Str args[FILTER_ARGS_MAX];
    size_t n_args;
    Regex *regex;   /* of regex and replace; owned */
    char decimal;   /* of number: '.', ',' or 0 for "by its shape" */
    int64_t number; /* of at and slice */
    int64_t number_2;
};

/* The text of VALUE, whatever its kind, in the arena where it must be made. */
int value_to_text(const FilterRun *run, const Value *value, Str *ret_text);

/* Room in the arena, or -ENOMEM. */
int value_room(const FilterRun *run, size_t bytes, char **ret_out);

/* Copy BUF to the arena as a value of KIND. */
int value_from_buf(const FilterRun *run, const Buf *buf, ValueKind kind, Value *value);

FilterFn filter_number, filter_integer, filter_date, filter_regex, filter_replace;
FilterFn filter_split, filter_join, filter_first, filter_last, filter_count, filter_unique;
FilterFn filter_at, filter_json;
FilterInit filter_init_number, filter_init_regex, filter_init_at, filter_init_date;
