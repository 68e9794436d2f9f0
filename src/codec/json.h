/*
 * JSON inside the engine: include/sluice/json.h, and the buffers and arenas that it only names.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"
#include <sluice/json.h>

/* Which value of DOC, keys counted, VALUE is in the order of the text, from 0. */
size_t json_index(const JsonDoc *doc, Json value);
