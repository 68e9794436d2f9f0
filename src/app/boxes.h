/* The engine's pool of boxes, as the configuration has it. */
#pragma once

#include "app/config.h"
#include "base/own.h"

#include <sluice/rt/fiber.h>

typedef struct BoxPool BoxPool;

/* Start the pool of an engine on the calling loop. */
MUST SUSPENDS int boxes_start(BoxPool **ret_pool, sl_nursery *nursery, const EngineConfig *config);

/* What this program does when it is started as the spawner of its boxes: the exit code, or -1 when
 * the command line says something else. */
int boxes_spawner(int argc, char **argv);
