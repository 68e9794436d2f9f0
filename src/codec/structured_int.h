/*
 * Inside structured: Microdata.
 */
#pragma once

#include "codec/html_int.h"
#include "codec/structured.h"

/* Append the top items below ROOT to an array that is open in WRITER. What is over a limit adds to
 * *n_cut. */
void structured_write_items(Arena *scratch, JsonWriter *writer, lxb_dom_node_t *root,
                            size_t *n_cut);
