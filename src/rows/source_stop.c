/*
 * Waiting that ends when the source shall stop; see the header.
 */
#include "rows/source_stop.h"

#include "base/assert.h"

#include <errno.h>

SUSPENDS static int wait_for_stop(void *arg)
{
    SourceStop *stop = arg;
    int r = sl_event_wait(stop->source->stopping);

    if (r == 0 && stop->inside)
        sl_scope_cancel(stop->inside);
    return r;
}

void source_stop_begin(SourceStop *stop, Source *source)
{
    *stop = (SourceStop){ .source = source, .nursery = sl_nursery_open(.name = "stop") };
    sl_spawn(stop->nursery, wait_for_stop, stop, .name = "stop");
}

void source_stop_end(SourceStop *stop)
{
    ASSERT(!stop->inside);
    sl_nursery_close(stop->nursery);
}

int source_stop_wait(SourceStop *stop, int fd, int64_t deadline_ns)
{
    bool is_ready = false;
    sl_scope scope;
    int r;

    if (source_is_stopping(stop->source))
        return STOP_PASSED;
    sl_scope_begin(&scope, .deadline_ns = deadline_ns == INT64_MAX ? 0 : deadline_ns);
    stop->inside = &scope;
    r = fd >= 0 ? sl_fd_wait(fd, SL_FD_READ, NULL) : sl_sleep_forever();
    is_ready = r == 0;
    stop->inside = NULL;
    r = sl_scope_end(&scope, r);
    if (r == -ETIMEDOUT)
        return STOP_PASSED;
    return r < 0 || is_ready ? r : STOP_PASSED;
}
