/*
 * A fiber that waits for the stop, and the scopes that it cancels then.
 */
#include "rows/halt.h"

SUSPENDS static int halt_fiber(void *arg)
{
    Halt *halt = arg;
    int r = sl_event_wait(halt->source->stopping);

    if (r == 0)
        halt_now(halt);
    return r;
}

void halt_now(Halt *halt)
{
    halt->is_set = true;
    list_each(&halt->waits, link)
        sl_scope_cancel(&LIST_ITEM(link, HaltWait, link)->scope);
}

int halt_start(Halt *halt, Source *source, sl_nursery *nursery)
{
    *halt = (Halt){ .source = source, .is_set = source_is_stopping(source) };
    return sl_spawn(nursery, halt_fiber, halt, .name = "stop of a source");
}

void halt_begin(Halt *halt, HaltWait *wait, int64_t timeout_ms)
{
    *wait = (HaltWait){ 0 };
    sl_scope_begin(&wait->scope, .timeout_ms = timeout_ms);
    list_push_back(&halt->waits, &wait->link);
    if (halt->is_set)
        sl_scope_cancel(&wait->scope);
}

int halt_end(HaltWait *wait, int r)
{
    list_remove(&wait->link);
    return sl_scope_end(&wait->scope, r);
}

int halt_sleep(Halt *halt, int64_t ms)
{
    HaltWait wait;
    int r;

    halt_begin(halt, &wait, 0);
    r = sl_sleep_ms(ms);
    return halt_end(&wait, r);
}
