/*
 * Limits of types; see the header.
 *
 *   I1  A slot that was taken for a run on another loop is given back by a task that is posted to
 *       this one. It comes before the word that the other loop has ended, so that nothing is on its
 *       way when the limits are freed.
 */
#include "worker/type_limits.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/metrics.h"

#include <sluice/rt/offload.h>
#include <sluice/rt/run.h>

typedef struct TypeLine {
    Str type;
    Slots slots;
} TypeLine;

struct TypeLimits {
    size_t loop;
    size_t n;
    TypeLine *lines; /* found on any loop; their slots belong to LOOP */
};

/* A run that asks from another loop, on its stack. */
typedef struct Asked {
    TypeLine *line;
    SlotAsk *ask;
    bool is_in;
} Asked;

/* A slot on its way back. */
typedef struct Leaving {
    sl_task task;
    TypeLine *line;
    SlotAsk ask;
} Leaving;

TypeLimits *type_limits_new(const TypeLimit *items, size_t n)
{
    TypeLimits *limits = mem_new(TypeLimits);

    limits->loop = sl_loop_index();
    limits->n = n;
    limits->lines = mem_new_array(TypeLine, n + 1);
    for (size_t i = 0; i < n; i++) {
        ASSERT(items[i].runs_max > 0);
        limits->lines[i] = (TypeLine){
            .type = str_from_c(items[i].type),
            .slots = { .what = "the limit of their type",
                       .max = items[i].runs_max,
                       .waiting_max = LIMIT_TYPE_WAITING,
                       .wait_max_ms = LIMIT_TYPE_WAIT_MS },
        };
        metrics_set_label(METRIC_TYPE_LIMIT, limits->lines[i].type, (int64_t) items[i].runs_max);
    }
    return limits;
}

void type_limits_free(TypeLimits *limits)
{
    if (!limits)
        return;
    for (size_t i = 0; i < limits->n; i++)
        ASSERT(limits->lines[i].slots.busy == 0); /* I1 */
    mem_free(limits->lines);
    mem_free(limits);
}

static TypeLine *find_line(const TypeLimits *limits, Str type)
{
    for (size_t i = 0; i < limits->n; i++) {
        if (str_eq(limits->lines[i].type, type))
            return &limits->lines[i];
    }
    return NULL;
}

static void publish(const TypeLine *line)
{
    metrics_set_label(METRIC_TYPE_RUNNING, line->type, (int64_t) line->slots.busy);
    metrics_set_label(METRIC_TYPE_WAITING, line->type, (int64_t) line->slots.waiting.len);
}

static void leave_here(TypeLine *line, const SlotAsk *ask)
{
    slots_leave(&line->slots, ask);
    publish(line);
}

SUSPENDS static int enter_here(void *arg)
{
    Asked *asked = arg;
    TypeLine *line = asked->line;
    int64_t before_ns = asked->ask->waited_ns;
    int r;

    metrics_add_label(METRIC_TYPE_WAITING, line->type, 1);
    r = slots_enter(&line->slots, asked->ask);
    asked->is_in = r == 0;
    if (r == 0)
        metrics_observe_label(METRIC_TYPE_WAIT, line->type, asked->ask->waited_ns - before_ns);
    else if (asked->ask->wait_ms > 0)
        metrics_add_label(METRIC_TYPE_REFUSED, line->type, 1);
    publish(line);
    return r;
}

int type_limits_enter(TypeLimits *limits, Str type, SlotAsk *ask)
{
    Asked asked = { .line = find_line(limits, type), .ask = ask };
    int r;

    if (!asked.line)
        return 0;
    r = sl_call_on(limits->loop, enter_here, &asked, "type limit");
    ASSERT(asked.is_in == (r == 0));
    return r;
}

static void arrive(sl_task *task)
{
    Leaving *leaving = CONTAINER_OF(task, Leaving, task);

    leave_here(leaving->line, &leaving->ask);
    mem_free(leaving);
}

void type_limits_leave(TypeLimits *limits, Str type, const SlotAsk *ask)
{
    TypeLine *line = find_line(limits, type);
    Leaving *leaving;

    if (!line)
        return;
    if (sl_loop_index() == limits->loop)
        return leave_here(line, ask);
    leaving = mem_new(Leaving);
    *leaving = (Leaving){ .task = { .fn = arrive }, .line = line, .ask = *ask };
    sl_post(sl_loop_at(limits->loop), &leaving->task); /* I1 */
}
