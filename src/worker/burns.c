/*
 * Turns on the offload pool; see the header.
 */
#include "worker/burns.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/metrics.h"

#include <sluice/rt/run.h>

#include <unistd.h>

struct Burns {
    size_t n_lanes;
    Slots *lanes; /* by the loop's index, which alone touches it */
};

Burns *burns_new(size_t loops, size_t slots)
{
    Burns *burns = mem_new(Burns);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    if (!slots)
        slots = processors > 0 ? (size_t) processors : 1;
    burns->n_lanes = loops;
    burns->lanes = mem_new_array(Slots, loops);
    for (size_t i = 0; i < loops; i++)
        burns->lanes[i] = (Slots){ .what = "a processor",
                                   .max = (slots + loops - 1) / loops,
                                   .waiting_max = LIMIT_BURN_WAITING,
                                   .wait_max_ms = LIMIT_BURN_WAIT_MS };
    metrics_set(METRIC_BURN_SLOTS, (int64_t) (burns->lanes[0].max * loops));
    return burns;
}

void burns_free(Burns *burns)
{
    if (!burns)
        return;
    for (size_t i = 0; i < burns->n_lanes; i++)
        ASSERT(burns->lanes[i].busy == 0);
    mem_free(burns->lanes);
    mem_free(burns);
}

static Slots *lane_here(Burns *burns)
{
    ASSERT(sl_loop_index() < burns->n_lanes);
    return &burns->lanes[sl_loop_index()];
}

int burns_enter(Burns *burns, Str type, SlotAsk *ask)
{
    int64_t before_ns = ask->waited_ns;
    int r;

    metrics_add(METRIC_BURN_WAITING, 1);
    r = slots_enter(lane_here(burns), ask);
    metrics_add(METRIC_BURN_WAITING, -1);
    if (r == 0) {
        metrics_add(METRIC_BURNS, 1);
        metrics_observe_label(METRIC_BURN_WAIT, type, ask->waited_ns - before_ns);
    } else if (ask->wait_ms > 0) {
        metrics_add_label(METRIC_BURN_REFUSED, type, 1);
    }
    return r;
}

void burns_leave(Burns *burns, Str type, const SlotAsk *ask)
{
    metrics_add(METRIC_BURNS, -1);
    metrics_observe_label(METRIC_BURN_RUN, type, sl_clock_ns() - ask->began_ns);
    slots_leave(lane_here(burns), ask);
}
