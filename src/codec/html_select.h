/*
 * CSS selectors: compiled once, matched against any number of pages.
 *
 * lexbor reads the selector; the matching is ours, because lexbor's has no bound: a chain of `a b
 * c d` or `x ~ x ~ x` tries every combination of ancestors or siblings. Here every comparison is a
 * step, and the search has so many of them.
 *
 * What is not known (`:hover`, `::before`, namespaces, `:dir()`) is refused when the selector is
 * compiled. Known are type, `*`, #id, .class, all attribute forms with i and s, the combinators
 * (space) > + ~, `:is() :where() :not() :has()`, `:nth-child(An+B of S)` and its three kin,
 * `:first-child` and its five kin, `:root :empty :blank :any-link :link :checked :disabled :enabled
 * :required :optional :read-only :read-write :placeholder-shown`, and
 * `:lexbor-contains("text" i)`. `:scope` may stand at the beginning, as may a combinator.
 */
#pragma once

#include "codec/html.h"

typedef struct HtmlSelector HtmlSelector; /* immutable: any number of threads may use it */

/* Compile TEXT. 0 or -ERR_INVALID: "at 5: …", characters counted from 1. */
MUST int html_selector_new(Str text, HtmlSelector **ret_selector);
void html_selector_free(HtmlSelector *selector);
DEFINE_AUTO(HtmlSelector *, html_selector_free);

/* A search on one page. `steps_left` bounds it, and may be shared by going on with the same. */
typedef struct HtmlSearch {
    size_t steps_left;
    bool is_cut; /* the steps ran out: what was not found may be there */

    /* What nth-child counted last. */
    const void *counted_by;
    const HtmlNode *counted;
    int64_t count;
} HtmlSearch;

/*
 * The first match inside SCOPE that comes after AFTER in the page (NULL: from the beginning). NULL
 * when there is none, or the search was cut. As in the browser's querySelector, only the match
 * itself has to be inside SCOPE, unless the selector begins with a combinator or `:scope`; one that
 * begins with + or ~ finds what stands behind SCOPE.
 */
HtmlNode *html_selector_next(const HtmlSelector *selector, HtmlSearch *search,
                             const HtmlNode *scope, HtmlNode *after);
