/*
 * Halt: waits of a source that end when the source is told to stop, while what it is doing with
 * bytes that it has goes on.
 *
 *   halt_begin(&halt, &wait, idle_ms);
 *   r = stream_wait_readable(stream);
 *   r = halt_end(&halt, &wait, r);        0 also when it was the stop: look at halt.is_set
 */
#pragma once

#include "base/list.h"
#include "rows/source.h"

#include <sluice/rt.h>

typedef struct Halt {
    Source *source;
    List waits; /* HaltWait */
    bool is_set;
} Halt;

typedef struct HaltWait {
    ListLink link;
    sl_scope scope;
} HaltWait;

/* Hear of SOURCE's stopping, by a fiber in NURSERY. HALT stays where it is until that has ended. 0
 * or an error of sl_spawn. */
MUST SUSPENDS int halt_start(Halt *halt, Source *source, sl_nursery *nursery);

/* As if the source were told to stop: something has failed. */
void halt_now(Halt *halt);

/* Around a wait, for at most TIMEOUT_MS (0: no limit). */
void halt_begin(Halt *halt, HaltWait *wait, int64_t timeout_ms);

/* R; 0 when the stop ended it; -ETIMEDOUT when the time did. */
MUST int halt_end(HaltWait *wait, int r);

/* Sleep, or until the stop: 0 or -ECANCELED. */
MUST SUSPENDS int halt_sleep(Halt *halt, int64_t ms);
