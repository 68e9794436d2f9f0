/*
 * Fibers and the nurseries that own them.
 *
 *   AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "fetch", .limit = 16);
 *   for (size_t i = 0; i < n; i++)
 *       sl_spawn(nursery, fetch_one, &sources[i], .name = sources[i].name);
 *   return sl_nursery_join(nursery);
 *
 * There is no detached fiber. A nursery belongs to the fiber that opened it and ends before the
 * block it was opened in (sl_nursery_close waits). The first child that fails cancels the others;
 * join returns that error, with its words. Fibers stay on their loop.
 *
 * A nursery is a cancel scope for its children: they lie inside the scopes that were begun before
 * it was opened, whoever calls sl_spawn, and inside the nursery itself. Its owner is outside: a
 * child's failure does not cancel the owner, who hears of it in join. So wait in join, and not on
 * something that only a child could give, such as a channel a failed child will never send to (or
 * have the child close it). When the owner is cancelled while it waits in join, for whatever
 * reason, the children are cancelled too, and join returns once they have ended.
 */
#pragma once

#include <sluice/rt/run.h>

#include <stdbool.h>

SL_BEGIN_DECLS

typedef struct sl_nursery sl_nursery;
typedef struct sl_fiber sl_fiber;

typedef struct sl_nursery_opts {
    size_t size;      /* filled by the macro */
    const char *name; /* shown in dumps; must outlive the nursery; default "nursery" */
    size_t limit;     /* children at once; sl_spawn waits above it; 0 means no limit */
    bool keep_going;  /* a child's failure does not cancel the others; join still returns the first
                         error */
} sl_nursery_opts;

typedef struct sl_spawn_opts {
    size_t size;        /* filled by the macro */
    const char *name;   /* shown in dumps and logs; must outlive the fiber; default "fiber" */
    size_t stack_bytes; /* 0 means the runtime's default; rounded up to a size class */
} sl_spawn_opts;

/* Open a nursery in the calling fiber. Never fails. End it with sl_nursery_close, in the reverse
 * order of opening. */
#define sl_nursery_open(...) \
    sl_nursery_open_with(&(sl_nursery_opts){ .size = sizeof(sl_nursery_opts), ##__VA_ARGS__ })
SL_API sl_nursery *sl_nursery_open_with(const sl_nursery_opts *opts);

/*
 * Start FN(ARG) as a child of NURSERY. It is put behind the fibers that are ready now, and runs
 * when the caller next suspends. Waits while the nursery is at its limit. 0; -ECANCELED when the
 * caller or the nursery is cancelled; -ENOMEM when no stack can be had, which is also kept as the
 * nursery's first error. So ignoring the result is safe: join tells. Any fiber of the same loop
 * may spawn into it while its owner has not closed it.
 *
 * A child's result below zero is a failure of the nursery; what is above zero counts as done. The
 * -ECANCELED of a child that was cancelled together with its nursery is no failure.
 */
#define sl_spawn(nursery, fn, arg, ...)   \
    sl_spawn_with((nursery), (fn), (arg), \
                  &(sl_spawn_opts){ .size = sizeof(sl_spawn_opts), ##__VA_ARGS__ })
SL_API SL_SUSPENDS int sl_spawn_with(sl_nursery *nursery, sl_fn fn, void *arg,
                                     const sl_spawn_opts *opts);

/*
 * Wait until all children have ended. 0; the first child's error, with its words; or -ECANCELED
 * when the caller is cancelled (the children then are, too). After sl_nursery_cancel alone it is
 * 0. By the owner.
 */
SL_API SL_MUST SL_SUSPENDS int sl_nursery_join(sl_nursery *nursery);

/* Cancel all children; returns at once. More may not be spawned. */
SL_API void sl_nursery_cancel(sl_nursery *nursery);

/* Children alive. */
SL_API size_t sl_nursery_count(const sl_nursery *nursery);

/* End the nursery: cancel what still runs, wait for it, free. NULL is nothing. Waits even when
 * cancelled. */
SL_API SL_SUSPENDS void sl_nursery_close(sl_nursery *nursery);

/* For the cleanup attribute: SL_CLEANUP(sl_nursery_close_auto) sl_nursery *n = sl_nursery_open();
 */
SL_SUSPENDS static inline void sl_nursery_close_auto(sl_nursery **slot)
{
    sl_nursery_close(*slot);
}
/* The name that AUTO(sl_nursery_close) expands to inside Sluice. */
SL_SUSPENDS static inline void sl_nursery_close_auto_(sl_nursery **slot)
{
    sl_nursery_close(*slot);
}

/* Let other fibers run; a checkpoint. 0 or -ECANCELED. */
SL_API SL_MUST SL_SUSPENDS int sl_yield(void);

/* A checkpoint that yields only after a bounded number of calls: for long loops that rarely wait. 0
 * or -ECANCELED. */
SL_API SL_MUST SL_SUSPENDS int sl_checkpoint(void);

/* Sleep. 0 or -ECANCELED. Zero or less is a yield. */
SL_API SL_MUST SL_SUSPENDS int sl_sleep_ms(int64_t ms);
SL_API SL_MUST SL_SUSPENDS int sl_sleep_ns(int64_t ns);
SL_API SL_MUST SL_SUSPENDS int sl_sleep_until_ns(
    int64_t deadline_ns); /* on the clock of sl_now_ns */

/* Wait for ever, that is until cancelled: always -ECANCELED. */
SL_API SL_SUSPENDS int sl_sleep_forever(void);

/* The running fiber, its id (unique in the process) and name; the name must outlive the fiber or
 * the next set. */
SL_API sl_fiber *sl_self(void);
SL_API uint64_t sl_self_id(void);
SL_API const char *sl_self_name(void);
SL_API void sl_set_name(const char *name);

/* One pointer a fiber carries for its program (a request, a job); children start with their
 * parent's. */
SL_API void *sl_local_get(void);
SL_API void sl_local_set(void *value);

/* Whether the fiber is cancelled now: the next checkpoint will say so. */
SL_API bool sl_is_cancelled(void);

/* Between the two, suspending is an assertion failure: put them around a change that nobody may see
 * half done. */
SL_API void sl_no_suspend_enter(void);
SL_API void sl_no_suspend_leave(void);
#define SL_NO_SUSPEND \
    for (int sl_once_ = (sl_no_suspend_enter(), 1); sl_once_; sl_once_ = (sl_no_suspend_leave(), 0))

SL_END_DECLS
