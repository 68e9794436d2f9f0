/*
 * Paths into JSON: the short form of a field's expression.
 *
 *   current.temperature_2m     a member of a member; a dot before it is allowed: .current.x
 *   results[0].name            an element, from the end with [-1]
 *   ["odd name"].x             a member of any name
 *   items[]   items[*]         each element of an array, each value of an object
 *   rates{}                    each member of an object, as {"key": …, "value": …}
 *   /current/temperature_2m    the same as a JSON pointer (RFC 6901)
 *   $.items[*].name            the same as a plain JSONPath
 *   .                          the whole
 *
 * What is none of these is taken for an expression of jq. A path reads the parsed answer and
 * nothing else, so that a number keeps its digits; jq has doubles.
 *
 * A member that is there twice counts with its last value, as in jq and in browsers.
 */
#pragma once

#include "codec/json.h"

typedef enum PathStepKind {
    PATH_MEMBER,  /* by name */
    PATH_ELEMENT, /* by index; a member whose name is that number, in an object */
    PATH_ALL,     /* each value */
    PATH_ENTRIES, /* each member, with its name */
} PathStepKind;

typedef struct PathStep {
    PathStepKind kind;
    Str name;      /* MEMBER, and ELEMENT where it was written as a name */
    int64_t index; /* ELEMENT; below zero from the end */
} PathStep;

#define PATH_STEPS_MAX 32

typedef struct Path {
    PathStep *steps;
    size_t len;
    bool is_many; /* has ALL or ENTRIES: may give any number of values */
} Path;

/* A place in a document. */
typedef struct PathPlace {
    Json value;    /* NULL: there is none */
    Str raw;       /* its text, where it was found on the way; empty otherwise: see path_raw */
    Str key;       /* of an entry: the name */
    bool is_entry; /* stands for {"key": KEY, "value": VALUE} */
    bool is_key;   /* stands for the string KEY */
} PathPlace;

/* How a path ended. */
typedef enum PathEnd {
    PATH_FOUND,
    PATH_NULL,    /* led through null, or to it */
    PATH_MISSING, /* no such member or element */
    PATH_WRONG,   /* led into something that has no members or elements */
} PathEnd;

/* Read TEXT as a path into ARENA. False: it is no path (but perhaps jq). */
bool path_parse(Arena *arena, Str text, Path *ret_path);

/* Follow PATH, which is not for many, from FROM. */
PathEnd path_find(const JsonDoc *doc, const Path *path, PathPlace from, PathPlace *ret_place);

/* Takes a value of a path for many; below zero ends the walk with that error. */
typedef int PathVisit(void *ctx, PathPlace place);

/* Follow PATH from FROM and visit what it leads to; with IS_FLAT an array it ends at is visited
 * element by element. What is missing is not visited: *RET_END says of the last such thing. */
MUST int path_each(const JsonDoc *doc, const Path *path, PathPlace from, bool is_flat,
                   PathVisit *visit, void *ctx, PathEnd *ret_end);

/* The text of PLACE as it stands in the document. For an entry it is made in ARENA. */
Str path_raw(Arena *arena, const JsonDoc *doc, PathPlace place);
