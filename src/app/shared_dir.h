/*
 * A folder that all processes of this user on this machine share: where crawls agree on who may ask
 * a host next.
 *
 * $XDG_RUNTIME_DIR/sluice, or /tmp/sluice-UID where that is not set. Nobody else may look into it;
 * a folder of that name that is not ours alone is not used. It may be emptied at any time.
 */
#pragma once

#include "base/arena.h"

/* Make sure that the folder is there: its path in ARENA, or NULL when there can be none. Blocks. */
const char *shared_dir_make(Arena *arena);
