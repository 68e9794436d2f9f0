/*
 * The memory that runs in boxes may use together.
 *
 * A part of it, the spare, is for small runs, those that want no more than that. So however long a
 * large run holds what it has, small ones go on beside it; and however many of them come, a large
 * run that waits gets what they give back.
 *
 *   I1  used is the sum of what charges hold, and never above total; what charges that are not
 *       small hold together is never above total less the spare.
 *   I2  Whoever waits behind another of the same kind and priority is served after it, however
 *       little it asks for.
 *   I3  While one that is not small waits, small ones get memory only as long as all of them
 *       together hold no more than the spare: a large run is not starved by small ones.
 *   I4  At most one charge that holds some waits for more, and it is served before all others of
 *       its kind. So somebody who holds memory and does not wait always exists while anybody waits,
 *       and comes to an end.
 */
#include "worker/box_int.h"

#include "base/assert.h"
#include "base/metrics.h"

static BoxCharge *charge_at(ListLink *link)
{
    return LIST_ITEM(link, BoxCharge, link);
}

void budget_init(BoxBudget *budget, int64_t total)
{
    *budget = (BoxBudget){ .total = total, .spare = total / LIMIT_BOX_MEMORY_PARTS };
    metrics_set(METRIC_BOX_MEMORY_MOST, total);
}

static void publish(const BoxBudget *budget)
{
    metrics_set(METRIC_BOX_MEMORY, budget->used);
    metrics_set(METRIC_BOX_MEMORY_WAITING,
                (int64_t) (budget->small.len + budget->large.len + (budget->upgrader ? 1 : 0)));
}

/* ---- what is held ---------------------------------------------------------------------------- */

static bool is_small(const BoxBudget *budget, int64_t bytes)
{
    return bytes <= budget->spare;
}

static void set_held(BoxBudget *budget, BoxCharge *charge, int64_t held)
{
    if (is_small(budget, charge->held))
        budget->small_used -= charge->held;
    if (is_small(budget, held))
        budget->small_used += held;
    budget->used += held - charge->held;
    charge->held = held;
    ASSERT(budget->small_used >= 0 && budget->small_used <= budget->used);
    ASSERT(budget->used <= budget->total);                                      /* I1 */
    ASSERT(budget->used - budget->small_used <= budget->total - budget->spare); /* I1 */
    publish(budget);
}

static void grant(BoxBudget *budget, BoxCharge *charge)
{
    int64_t held = charge->held + charge->asked;

    charge->asked = 0;
    set_held(budget, charge, held);
}

/* ---- who may have more ----------------------------------------------------------------------- */

/* Whether CHARGE is small with what it asks for. */
static bool asks_little(const BoxBudget *budget, const BoxCharge *charge)
{
    return is_small(budget, charge->held + charge->asked);
}

static bool upgrades_much(const BoxBudget *budget)
{
    return budget->upgrader && !asks_little(budget, budget->upgrader);
}

static bool fits(const BoxBudget *budget, const BoxCharge *charge)
{
    int64_t large = budget->used - budget->small_used + charge->asked;

    if (charge->asked > budget->total - budget->used)
        return false;
    if (!asks_little(budget, charge)) {
        large += is_small(budget, charge->held) ? charge->held : 0; /* it joins them */
        return large <= budget->total - budget->spare;
    }
    if (list_is_empty(&budget->large) && !upgrades_much(budget))
        return true;
    return budget->small_used + charge->asked <= budget->spare; /* I3 */
}

/* Whether one that holds nothing may have something now, if nobody stands before it. */
static bool may_begin(const BoxBudget *budget, const BoxCharge *charge)
{
    if (budget->upgrader && !(upgrades_much(budget) && asks_little(budget, charge)))
        return false; /* I4 */
    return fits(budget, charge);
}

static void serve(BoxBudget *budget, List *line)
{
    while (!list_is_empty(line) && may_begin(budget, charge_at(line->first))) {
        BoxCharge *charge = charge_at(list_pop_front(line));

        grant(budget, charge);
        sl_event_set(&charge->granted);
    }
}

/* Let in whoever is next and fits. */
static void serve_lines(BoxBudget *budget)
{
    BoxCharge *upgrader = budget->upgrader;

    if (upgrader && fits(budget, upgrader)) {
        budget->upgrader = NULL;
        grant(budget, upgrader);
        sl_event_set(&upgrader->granted);
    }
    serve(budget, &budget->large);
    serve(budget, &budget->small);
    publish(budget);
}

/* In its line, behind those of its priority (I2). */
static void stand_in_line(List *line, BoxCharge *charge)
{
    List later = { 0 };

    while (!list_is_empty(line) && charge_at(line->last)->priority < charge->priority) {
        ListLink *link = line->last;

        list_remove(link);
        list_push_front(&later, link);
    }
    list_push_back(line, &charge->link);
    while (!list_is_empty(&later))
        list_push_back(line, list_pop_front(&later));
}

static void leave_line(BoxBudget *budget, BoxCharge *charge)
{
    if (budget->upgrader == charge)
        budget->upgrader = NULL;
    list_remove(&charge->link);
    charge->asked = 0;
    serve_lines(budget); /* whoever stood behind may fit */
}

SUSPENDS static int wait_for_grant(BoxBudget *budget, BoxCharge *charge)
{
    int64_t asked_ns = sl_clock_ns();
    int r;

    sl_event_clear(&charge->granted);
    publish(budget);
    r = sl_event_wait(&charge->granted);
    charge->waited_ns += sl_clock_ns() - asked_ns;
    if (r < 0)
        leave_line(budget, charge);
    return r;
}

int budget_take(BoxBudget *budget, BoxCharge *charge, int64_t bytes)
{
    bool is_upgrade = charge->held > 0;
    List *line;

    if (bytes <= 0)
        return 0;
    if (bytes > budget->total - budget->spare - charge->held)
        return fail(-ERR_TOO_LARGE, "more memory than one run may have");
    if (is_upgrade && budget->upgrader)
        return fail(-ERR_BUSY, "another run waits for more memory already");
    charge->asked = bytes;
    line = asks_little(budget, charge) ? &budget->small : &budget->large;
    if (is_upgrade ? fits(budget, charge) : list_is_empty(line) && may_begin(budget, charge)) {
        grant(budget, charge);
        return 0;
    }
    if (is_upgrade)
        budget->upgrader = charge; /* I4 */
    else
        stand_in_line(line, charge);
    return wait_for_grant(budget, charge);
}

void budget_give(BoxBudget *budget, BoxCharge *charge, int64_t bytes)
{
    ASSERT(bytes >= 0 && bytes <= charge->held);
    if (bytes == 0)
        return;
    set_held(budget, charge, charge->held - bytes);
    serve_lines(budget);
}
