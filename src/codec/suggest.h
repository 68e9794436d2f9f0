/*
 * Did you mean: the known word nearest to a mistyped one.
 */
#pragma once

#include <sluice/str.h>

#include <stddef.h>

/* The search so far. Zeroed it is ready, with `word` set. */
typedef struct Suggest {
    Str word;        /* what was typed */
    Str best;        /* the nearest candidate so far; empty when none is near enough */
    size_t distance; /* of best */
} Suggest;

/* Consider CANDIDATE, which must outlive the search. */
void suggest_consider(Suggest *suggest, Str candidate);

/* Edits (insert, remove, replace, swap neighbours) from A to B; at most LIMIT + 1 is told. */
size_t suggest_distance(Str a, Str b, size_t limit);
