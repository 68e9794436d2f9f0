/*
 * Scopes: regions of a fiber's code that have a deadline, can be cancelled, or are shielded.
 *
 *   sl_scope scope;
 *   sl_scope_begin(&scope, .timeout_ms = 500);
 *   r = fetch(url);
 *   r = sl_scope_end(&scope, r);          -ETIMEDOUT if this scope's own time ran out
 *
 * Scopes nest, and are inherited by the nurseries opened inside; nobody passes a deadline along.
 * Inside, code sees only -ECANCELED, at every checkpoint until it returns. The scope's owner turns
 * its own expiry into -ETIMEDOUT and leaves other people's cancellation alone. A shield hides outer
 * cancellation from what it encloses (clean-up that must talk to a peer), for at most its grace
 * time. Begin and end in the same function, in reverse order. A deadline costs some 10 ns.
 */
#pragma once

#include <sluice/rt/run.h>

#include <stdbool.h>

SL_BEGIN_DECLS

/* Storage for a scope, on the stack of the fiber that begins it. Its contents are the runtime's. */
typedef struct sl_scope {
    uint64_t opaque_[20];
} sl_scope;

typedef struct sl_scope_opts {
    size_t size;        /* filled by the macro */
    int64_t timeout_ms; /* from now; 0 means none; below zero means already over */
    int64_t
        deadline_ns; /* on the clock of sl_now_ns; 0 means none; the earlier of the two counts */
    bool is_shield;  /* outer cancellation is not seen inside; needs a timeout: the grace */
} sl_scope_opts;

/* Begin a scope in the calling fiber. Does not suspend. */
#define sl_scope_begin(scope, ...) \
    sl_scope_begin_with((scope), &(sl_scope_opts){ .size = sizeof(sl_scope_opts), ##__VA_ARGS__ })
SL_API void sl_scope_begin_with(sl_scope *scope, const sl_scope_opts *opts);

/*
 * End it; R is the result of what ran inside. Returns R, except: -ECANCELED becomes -ETIMEDOUT when
 * this scope's own deadline was the cause, and 0 when sl_scope_cancel on this scope was and nothing
 * outside is cancelled.
 */
SL_API SL_MUST int sl_scope_end(sl_scope *scope, int r);

/* Cancel everything inside. Any fiber of the same loop; no suspension. */
SL_API void sl_scope_cancel(sl_scope *scope);

/* Move the deadline (on the clock of sl_now_ns); 0 removes it. */
SL_API void sl_scope_set_deadline(sl_scope *scope, int64_t deadline_ns);

/* Whether the scope's own deadline has passed. */
SL_API bool sl_scope_is_expired(const sl_scope *scope);

/* The nearest deadline around the calling fiber, on the clock of sl_now_ns; INT64_MAX when there is
 * none. */
SL_API int64_t sl_deadline_ns(void);

/* Run FN(ARG) in a scope with a time-out: -ETIMEDOUT when it was cut short. */
SL_API SL_MUST SL_SUSPENDS int sl_with_timeout(int64_t timeout_ms, sl_fn fn, void *arg);

/* Run FN(ARG) shielded from outer cancellation for at most GRACE_MS. */
SL_API SL_MUST SL_SUSPENDS int sl_shielded(int64_t grace_ms, sl_fn fn, void *arg);

SL_END_DECLS
