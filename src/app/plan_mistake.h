/*
 * Where a mistake of a plan stands.
 *
 * Words about a mistake begin with the place in the configuration, "steps[1].window.every: …".
 * Where that came from a file, its name and the line belong before them.
 */
#pragma once

#include "base/arena.h"

/*
 * The error R of a plan that was read from FILE, with "FILE:LINE: " before its words; "FILE: " where
 * the place is in no line of it. R itself when FILE is NULL: it came from flags. Reads the file:
 * not for a loop's thread.
 */
MUST int plan_mistake_place(Arena *arena, const char *file, int r);

/* Compile the configuration JSON, read from FILE, and throw the plan away: 0 when it is right,
 * otherwise the mistake with its place. Not for a loop's thread. */
MUST int plan_mistake_find(Arena *arena, const char *file, Str json);
