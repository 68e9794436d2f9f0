/*
 * Inside html_select: the compiled form.
 *
 *   list      a, b        any of them
 *   complex   a > b c     compounds, each with the combinator before it
 *   compound  a.x[y]:z    simples, all of which must hold
 */
#pragma once

#include "codec/html_select.h"

#include "base/arena.h"

typedef enum SimpleKind {
    SIMPLE_ANY,
    SIMPLE_TYPE,     /* name */
    SIMPLE_ID,       /* value */
    SIMPLE_CLASS,    /* value */
    SIMPLE_ATTR,     /* name; op and value unless op is OP_PRESENT */
    SIMPLE_STATE,    /* name: ":checked" without its colon, one of html_states */
    SIMPLE_IS,       /* list: one of them holds */
    SIMPLE_NOT,      /* list: none of them holds */
    SIMPLE_HAS,      /* list, relative to the node */
    SIMPLE_NTH,      /* a, b; list: "of", or NULL */
    SIMPLE_CONTAINS, /* value, in the raw text */
} SimpleKind;

typedef enum AttrOp {
    OP_PRESENT,
    OP_EQUAL,
    OP_WORD,   /* ~= */
    OP_DASH,   /* |= */
    OP_PREFIX, /* ^= */
    OP_SUFFIX, /* $= */
    OP_PART,   /* *= */
} AttrOp;

/* States in their order in html_states. */
typedef enum State {
    STATE_ROOT,
    STATE_EMPTY,
    STATE_BLANK,
    STATE_LINK,
    STATE_CHECKED,
    STATE_DISABLED,
    STATE_ENABLED,
    STATE_REQUIRED,
    STATE_OPTIONAL,
    STATE_READ_ONLY,
    STATE_READ_WRITE,
    STATE_PLACEHOLDER,
    STATE_ONLY_CHILD,
    STATE_ONLY_OF_TYPE,
} State;

typedef struct SelectorList SelectorList;

typedef struct Simple {
    SimpleKind kind;
    AttrOp op;
    State state;
    bool is_nocase;
    bool is_of_type, is_from_end; /* of SIMPLE_NTH */
    Str name;
    Str value;
    int64_t a, b;
    const SelectorList *list;
} Simple;

typedef enum Combinator {
    COMBINATOR_INSIDE, /* (space) */
    COMBINATOR_CHILD,  /* > */
    COMBINATOR_NEXT,   /* + */
    COMBINATOR_AFTER,  /* ~ */
} Combinator;

typedef struct Compound {
    Combinator before; /* of the first: how it stands to the scope */
    const Simple *simples;
    size_t n;
} Compound;

typedef struct Complex {
    const Compound *compounds;
    size_t n;
    bool is_anchored; /* the first compound is relative to the scope */
} Complex;

struct SelectorList {
    const Complex *items;
    size_t n;
};

struct HtmlSelector {
    Arena arena;
    const SelectorList *list;
    bool is_sideways; /* begins with + or ~: matches stand behind the scope */
};
