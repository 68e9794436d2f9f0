/*
 * Notes: what stood in a crawl's way, and why, for the closing report.
 *
 * Outcomes count (outcome.h); a note says what a count cannot: which line of which robots.txt
 * turned pages away, why a robots.txt could not be had, which list was longer than what is read of
 * it. The same note is counted, not repeated. No more than LIMIT_CRAWL_NOTES different ones are
 * kept; of further ones is only known how many there were.
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(NAME, "word"): the word is in --stats-file and in the docs. */
#define CRAWL_NOTES(X)                          \
    X(ROBOTS_RULE, "robots_rule")               \
    X(ROBOTS_UNREACHABLE, "robots_unreachable") \
    X(ROBOTS_CUT, "robots_cut")                 \
    X(SITEMAP_CUT, "sitemap_cut")               \
    X(SITEMAP_SKIPPED, "sitemap_skipped")

typedef enum NoteKind {
#define X(name, word) NOTE_##name,
    CRAWL_NOTES(X)
#undef X
        NOTE_KIND_COUNT
} NoteKind;

typedef struct Note {
    NoteKind kind;
    Str subject;    /* an authority, "https://shop.test", or the URL of a sitemap */
    Str why;        /* "line 12: Disallow: /cart (of *)"; "Connection refused" */
    uint64_t count; /* of pages, or of entries that were skipped; what the kind is about */
} Note;

typedef struct Notes Notes;

Notes *notes_new(void);
void notes_free(Notes *notes);
DEFINE_AUTO(Notes *, notes_free);

/* Add COUNT to the note of KIND about SUBJECT with WHY; both are copied, and cut where they are
 * longer than LIMIT_CRAWL_NOTE_BYTES. NOTES may be NULL: nobody listens. */
void notes_add(Notes *notes, NoteKind kind, Str subject, Str why, uint64_t count);

/* AUTHORITY's robots.txt IS_TOO_LONG, or names too many sitemaps: what was read of it. */
void notes_add_robots_cut(Notes *notes, Str authority, bool is_too_long);

/* The N notes that say most: by kind, then by count, then in order of arrival. How many there are
 * in *ret_notes; their texts live as long as NOTES. *RET_MORE: how many there are beside them. */
size_t notes_top(const Notes *notes, Note *ret_notes, size_t n, uint64_t *ret_more);

/* "robots_rule"; static text. */
const char *note_word(NoteKind kind);
