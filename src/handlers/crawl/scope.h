/*
 * Scope: which URLs a crawl may go to.
 *
 * The rules are asked for each link before it is queued, and again for each hop of a redirect:
 *
 *   hosts    with --follow those of the first pages (and of where their redirects led), with
 *            --domain the domains named and what is below them; no host counts otherwise
 *   globs    --include and --exclude: "*" is any run of characters, everything else is itself; a
 *            glob with "://" is held against the whole URL, any other against path and query
 *   shape    --depth, and what looks like a trap (web_url_trap)
 */
#pragma once

#include "codec/web_url.h"
#include "handlers/crawl/args.h"
#include "handlers/crawl/outcome.h"

typedef struct Scope Scope;

/* A scope by the rules of ARGS, which are borrowed. 0 or -ERR_INVALID with words. */
MUST int scope_new(const CrawlArgs *args, Scope **ret_scope);
void scope_free(Scope *scope);
DEFINE_AUTO(Scope *, scope_free);

/* URL is one to begin with: its host counts as followed, and its origin as one that secrets may go
 * to. */
void scope_add_start(Scope *scope, const WebUrl *url);

/* URL is where a page to begin with led: its host counts as followed, and that is all. */
void scope_add_host(Scope *scope, const WebUrl *url);

/* Whether URL has the origin (scheme, host, port) of a page to begin with: what secrets of the
 * arguments may go to. */
bool scope_is_start_origin(const Scope *scope, const WebUrl *url);

/* Whether a link to URL at DEPTH is to be followed: CRAWL_DONE, or why it is not. */
CrawlOutcome scope_judge_link(const Scope *scope, const WebUrl *url, int64_t depth);

/* Whether a redirect to URL of a page at DEPTH is to be followed: CRAWL_DONE, or why it is not. */
CrawlOutcome scope_judge_redirect(const Scope *scope, const WebUrl *url, int64_t depth);

/* Whether a page at URL gives rows, by --rows-from. */
bool scope_gives_rows(const Scope *scope, const WebUrl *url);

/* Whether TEXT fits GLOB as a whole. */
bool scope_glob_fits(Str glob, Str text);
