/*
 * Running a function as a fiber of another loop.
 *
 *     caller's loop                                  target loop
 *     sl_call_on parks       --- call.start --->     a fiber of the root runs fn in a scope of its
 *                                                    own
 *     hook on cancellation   --- call.cancel -->     the scope is cancelled, if fn still runs
 *                            <-- call.cancelled ---
 *     woken                  <-- call.done -----     result, and its error by value
 *
 * The call lives on the caller's stack. The caller leaves only when everything it has sent has come
 * back: the end of the fiber, and the answer to a cancellation that was sent. Each field belongs to
 * the side that is named in its comment; the mailbox orders the hand-over.
 */
#include "rt/loop_int.h"
#include "rt/sched_int.h"

#include <sluice/rt/offload.h>
#include <sluice/rt/scope.h>

typedef struct RemoteCall {
    /* Set by the caller before it posts. */
    sl_fn fn;
    void *arg;
    const char *name;
    void *local;
    sl_loop *from;
    sl_loop *to;
    sl_fiber *caller;
    int64_t deadline_ns;

    /* Tasks, each in one mailbox at a time. */
    sl_task start;
    sl_task done;
    sl_task cancel;
    sl_task cancelled;

    /* The caller's loop. */
    bool is_done;
    bool is_cancel_sent;
    bool is_cancel_answered;

    /* The target's loop; read by the caller after done. */
    sl_scope *scope;         /* while fn runs */
    bool is_cancel_received; /* perhaps before the fiber began */
    int r;
    Err err;
} RemoteCall;

/* -- On the target's loop -- */

SUSPENDS static int remote_main(void *arg)
{
    RemoteCall *call = arg;
    sl_scope scope;
    int r;

    sl_local_set(call->local);
    sl_scope_begin(&scope);
    ((Region *) (void *) &scope)->deadline_ns =
        call->deadline_ns; /* to be seen; the caller's side enforces it */
    call->scope = &scope;
    if (call->is_cancel_received)
        sl_scope_cancel(&scope);
    r = call->fn(call->arg);
    call->scope = NULL;
    ((Region *) (void *) &scope)->deadline_ns = INT64_MAX;
    call->r = r;
    if (r < 0)
        err_take(r, &call->err);
    (void) !sl_scope_end(&scope, 0); /* the caller's own scopes judge the result */
    sl_post(call->from, &call->done);
    return 0;
}

static void remote_start(sl_task *task)
{
    RemoteCall *call = CONTAINER_OF(task, RemoteCall, start);
    sl_fiber *fiber;

    call->r = fiber_start(call->to, call->to->root, remote_main, call, call->name, 0, &fiber);
    if (call->r < 0) {
        err_take(call->r, &call->err);
        sl_post(call->from, &call->done);
    }
}

static void remote_cancel(sl_task *task)
{
    RemoteCall *call = CONTAINER_OF(task, RemoteCall, cancel);

    call->is_cancel_received = true;
    if (call->scope)
        sl_scope_cancel(call->scope);
    sl_post(call->from, &call->cancelled);
}

/* -- On the caller's loop -- */

static void wake_caller(RemoteCall *call)
{
    if (call->is_done && call->is_cancel_sent == call->is_cancel_answered)
        rt_unpark(call->caller, 0);
}

static void caller_done(sl_task *task)
{
    RemoteCall *call = CONTAINER_OF(task, RemoteCall, done);

    call->is_done = true;
    wake_caller(call);
}

static void caller_cancelled(sl_task *task)
{
    RemoteCall *call = CONTAINER_OF(task, RemoteCall, cancelled);

    call->is_cancel_answered = true;
    wake_caller(call);
}

/* The caller is cancelled: pass it on, and go on waiting for the end. */
static bool call_on_cancelled(sl_fiber *fiber)
{
    RemoteCall *call = fiber->wait_ctx;

    if (!call->is_done) {
        call->is_cancel_sent = true;
        sl_post(call->to, &call->cancel);
    }
    return false;
}

static const WaitKind wait_call = { "call on another loop", WAIT_TARGET_NAME, call_on_cancelled };

int sl_call_on(size_t index, sl_fn fn, void *arg, const char *name)
{
    sl_loop *loop = rt_loop;
    RemoteCall call;
    int r;

    ASSERT(fn && index < loop->runtime->n_loops);
    r = rt_checkpoint(loop);
    if (r < 0)
        return r;
    if (index == loop->index)
        return fn(arg);
    call = (RemoteCall){
        .fn = fn,
        .arg = arg,
        .name = name ? name : "call",
        .local = loop->current->local,
        .from = loop,
        .to = loop->runtime->loops[index],
        .caller = loop->current,
        .deadline_ns = sl_deadline_ns(),
        .start = { .fn = remote_start },
        .done = { .fn = caller_done },
        .cancel = { .fn = remote_cancel },
        .cancelled = { .fn = caller_cancelled },
    };
    sl_post(call.to, &call.start);
    r = rt_park(&wait_call, (intptr_t) call.name, &call);
    ASSERT(r == 0 && call.is_done);
    return call.r < 0 ? err_put(&call.err) : call.r;
}
