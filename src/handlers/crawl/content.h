/*
 * The hash of a page's content, by which duplicates are known. Fast rather than strong: a site that
 * makes two of its own pages collide hides one of them, and nothing else.
 */
#pragma once

#include <sluice/str.h>

#include <stdint.h>

/* Never 0. The same for the same bytes in every process: it is kept in state files. */
uint64_t content_hash(Str body);
