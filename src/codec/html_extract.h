/*
 * Extraction: from a page to rows. A plan is compiled once and run on many pages.
 *
 * A field is `NAME=EXPRESSION`, an expression a selector and filters:
 *
 *   name=h1                               the text of the first h1 in one line
 *   price=.price|number(de)               its filters: see value_filter.h
 *   image=img.main::attr(src)|url         an attribute; `::attr(src, data-src)` the first there is
 *   body=article::html                    what is inside it, as HTML; ::outer-html with itself
 *   text=article::lines                   text with its line breaks; ::raw as it stands
 *   found=.sold-out::exists               a boolean, never missing
 *   tags[]=.tag                           all matches, a JSON array; filters act on each of them
 *   tags=.tag|join(, )                    all matches as text: a filter of lists asks for all
 *   n=.review|count                       likewise
 *   sku=::attr(data-sku)                  no selector: the record's own node
 *   next=> a::attr(href)                  begins with a combinator: from the record's node
 *   price=jsonld:Product.offers.price     structured data: see structured.h; also microdata:,
 *                                         og: and meta:
 *
 * "|" ends the selector, unless it is inside brackets, parentheses or quotes, or is followed by
 * "|" or "=" as CSS has it. Of several matches the first in the page counts. Without `each` a page
 * is one record; with it every match of `each` is one, in which the fields are looked for;
 * structured data belongs to the page, and is the same in each of its records.
 *
 * What lexbor does not know (`:visited`, `::before`, `:nth-child(` without end) is refused when the
 * plan is made, with the position and what is wrong. `:has()`, `:not()`, `:is()` and sibling
 * combinators make a selector slower; a page costs at most LIMIT_EXTRACT_STEPS, then the field is
 * missing and counted as cut.
 *
 * A plan is immutable once it runs, and may be run by any number of threads, each with its parser.
 */
#pragma once

#include "codec/html.h"
#include "codec/value_filter.h"
#include "codec/web_url.h"

typedef struct HtmlPlan HtmlPlan;

HtmlPlan *html_plan_new(void);
void html_plan_free(HtmlPlan *plan);
DEFINE_AUTO(HtmlPlan *, html_plan_free);

/* Records are the matches of SELECTOR. 0 or -ERR_INVALID: "--each: at 5: …" is for the caller to
 * put before it. */
MUST int html_plan_each(HtmlPlan *plan, Str selector);

/* Add a field; NAME may end in []. 0 or -ERR_INVALID with words, also for a name that is taken. */
MUST int html_plan_add_field(HtmlPlan *plan, Str name, Str expression);

/* Add a field whose value is the records of INNER inside this record: a JSON array of objects. */
MUST int html_plan_add_records(HtmlPlan *plan, Str name, TAKES HtmlPlan *inner);

size_t html_plan_len(const HtmlPlan *plan); /* fields */
Str html_plan_name(const HtmlPlan *plan, size_t field);

/* What the field gives when all is well; VALUE_NULL when only the page can tell. */
ValueKind html_plan_kind(const HtmlPlan *plan, size_t field);

/* What became of one field on all pages so far; the caller's, added to by each run. */
typedef struct HtmlFieldCounts {
    uint64_t found;    /* values */
    uint64_t missing;  /* nothing matched, and no default */
    uint64_t mismatch; /* something did, but a filter made no sense of it */
    uint64_t cut;      /* the search was ended by a limit */
} HtmlFieldCounts;

/* The records of one page; the arena's. Value F of record I is values[I * n_fields + F]. */
typedef struct HtmlRecords {
    Value *values;
    size_t n;
    size_t n_fields;
    bool is_cut; /* there were more than LIMIT_EXTRACT_RECORDS */
} HtmlRecords;

/*
 * Take the records of the page that PARSER holds. BASE resolves the filter `url` (it should have
 * been resolved with HtmlPage.base_href); COUNTS has html_plan_len entries, or is NULL.
 *
 * Values point into the arena, never into the page; `is_cut` is also set when the steps ran out.
 * Returns 0, -ENOMEM, or -ERR_TOO_LARGE.
 */
MUST int html_plan_run(const HtmlPlan *plan, Arena *arena, HtmlParser *parser, const WebUrl *base,
                       HtmlFieldCounts *counts, HtmlRecords *ret_records);
