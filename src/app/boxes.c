/*
 * The engine's pool of boxes; see the header.
 *
 * The spawner knows the handlers that are built in. Those that a configuration declares are
 * programs, which are processes of their own already.
 */
#include "app/boxes.h"

#include "gen/handlers.h"
#include "worker/box.h"

#include <string.h>

int boxes_start(BoxPool **ret_pool, sl_nursery *nursery, const EngineConfig *config)
{
    BoxPoolOpts opts = { .boxes_max = (size_t) config->boxes,
                         .boxes_ready = (size_t) config->boxes_ready,
                         .memory_bytes = (uint64_t) config->box_memory_mib << 20,
                         .waiting_max = (size_t) config->box_waiting,
                         .wait_max_ms = config->box_wait_ms,
                         .runs_max = (uint64_t) config->box_runs,
                         .walls = (BoxWalls) config->box_walls };
    int r = box_pool_start(ret_pool, nursery, &opts);

    if (r == 0 &&
        opts.walls == BOX_WALLS_ALL) /* else the first run is early enough to hear of it */
        r = box_pool_check(*ret_pool);
    return r;
}

int boxes_spawner(int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], BOX_SPAWNER_VERB) != 0)
        return -1;
    return box_spawner_main(handlers_table, handlers_count);
}
