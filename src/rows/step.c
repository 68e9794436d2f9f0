/*
 * Steps: their table, and what they share.
 */
#include "rows/step.h"

#include "base/assert.h"
#include "gen/steps.h"

const StepDriver *step_driver_find(Str name)
{
    for (size_t i = 0; i < steps_count; i++) {
        if (str_eq_c(name, steps_table[i]->name))
            return steps_table[i];
    }
    return NULL;
}

void step_emit(StepRun *run, TAKES Parcel *parcel)
{
    list_push_back(run->made, &parcel->link);
}

/* ---- plans for shapes ------------------------------------------------------------------------ */

void *step_cache_find(StepCache *caches, size_t n, const Parcel *parcel)
{
    for (size_t i = 0; i < n; i++) {
        if (caches[i].shape == parcel->shape && caches[i].width == parcel->rows.n_columns)
            return caches[i].plan;
    }
    return NULL;
}

static void forget(StepCache *cache, void (*free_plan)(void *plan))
{
    if (!cache->shape)
        return;
    free_plan(cache->plan);
    shape_unref(cache->shape);
    *cache = (StepCache){ 0 };
}

void step_cache_put(StepCache *caches, size_t n, const Parcel *parcel, void *plan,
                    void (*free_plan)(void *plan))
{
    ASSERT(n > 0 && plan);
    forget(&caches[n - 1], free_plan);
    memmove(caches + 1, caches, (n - 1) * sizeof(caches[0]));
    caches[0] = (StepCache){ .shape = shape_ref(parcel->shape),
                             .width = parcel->rows.n_columns,
                             .plan = plan };
}

void step_cache_deinit(StepCache *caches, size_t n, void (*free_plan)(void *plan))
{
    for (size_t i = 0; i < n; i++)
        forget(&caches[i], free_plan);
}
