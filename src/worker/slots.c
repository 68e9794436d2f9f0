/*
 * A number of slots and their line; see the header.
 */
#include "worker/slots.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"

#include <sluice/rt/run.h>
#include <sluice/rt/scope.h>
#include <sluice/rt/sync.h>

#define HELD_WEIGHT 8 /* the mean is that of about so many */

/* On the stack of the fiber that waits. */
typedef struct SlotWait {
    FairPlace place;
    sl_event called;
} SlotWait;

int64_t slots_wait_ms(const Slots *slots)
{
    double turns = (double) (slots->waiting.len + 1) / (double) slots->max;

    return slots->busy < slots->max ? 0 : (int64_t) (turns * slots->held_ns) / NS_PER_MS;
}

/* Whether ASK may stand in line. */
static int let_in(const Slots *slots, SlotAsk *ask)
{
    int64_t wait_ms = slots_wait_ms(slots);
    int64_t left_ms = slots->wait_max_ms;
    int64_t deadline_ns = sl_deadline_ns();

    if (ask->is_patient)
        return 0;
    if (deadline_ns != INT64_MAX)
        left_ms = MIN(left_ms, (deadline_ns - sl_now_ns()) / NS_PER_MS);
    if (slots->waiting.len < slots->waiting_max && wait_ms <= left_ms)
        return 0;
    ask->wait_ms = MAX(wait_ms, (int64_t) 1);
    return fail(-ERR_BUSY, "%zu runs wait for %s, which would take about %lld ms",
                slots->waiting.len, slots->what, (long long) wait_ms);
}

static void give_back(Slots *slots)
{
    FairPlace *next = fair_pop(&slots->waiting);

    ASSERT(slots->busy > 0);
    if (next)
        sl_event_set(&CONTAINER_OF(next, SlotWait, place)->called); /* I1 */
    else
        slots->busy--;
}

SUSPENDS static int stand_in_line(Slots *slots, SlotAsk *ask)
{
    SlotWait wait = { .called = { .is_set = false } };
    int64_t asked_ns = sl_clock_ns();
    int r;

    fair_push(&slots->waiting, &wait.place, ask->caller, ask->priority);
    r = sl_event_wait(&wait.called);
    ask->waited_ns += sl_clock_ns() - asked_ns;
    if (r < 0 && wait.called.is_set)
        give_back(slots); /* called and cancelled at once */
    else if (r < 0)
        fair_remove(&slots->waiting, &wait.place);
    return r;
}

int slots_enter(Slots *slots, SlotAsk *ask)
{
    int r = 0;

    if (slots->busy < slots->max) {
        slots->busy++;
    } else {
        r = let_in(slots, ask);
        if (r == 0)
            r = stand_in_line(slots, ask);
    }
    if (r == 0)
        ask->began_ns = sl_clock_ns();
    return r;
}

void slots_leave(Slots *slots, const SlotAsk *ask)
{
    double held_ns = (double) (sl_clock_ns() - ask->began_ns);

    slots->held_ns += slots->held_ns > 0 ? (held_ns - slots->held_ns) / HELD_WEIGHT : held_ns;
    give_back(slots);
}
