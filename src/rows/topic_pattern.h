/*
 * Patterns of topics: which levels of a topic become columns.
 *
 *   sensors/{building}/+/{sensor}     a level is a name in braces, a text that must be the same, or
 *   sensors/{building}/#              + or {} for any; # at the end for all that follow
 */
#pragma once

#include "base/limits.h"
#include "base/text.h"

typedef struct TopicPattern {
    Str levels[LIMIT_TOPIC_LEVELS]; /* as written; borrowed from the text */
    Str names[LIMIT_TOPIC_LEVELS];  /* of columns; empty: the level makes none */
    size_t n;                       /* levels, # not counted */
    bool is_open;                   /* # at the end */
    char separator;
} TopicPattern;

/* 0 or -ERR_INVALID with words. TEXT is borrowed. */
MUST int topic_pattern_parse(TopicPattern *pattern, Str text, char separator);

/* Whether TOPIC fits; then VALUES[i] is its level i, borrowed. */
bool topic_pattern_match(const TopicPattern *pattern, Str topic,
                         Str values[static LIMIT_TOPIC_LEVELS]);
