/*
 * One run of a handler in front of a person: `sluice run digest …`, `sluice crawl …`.
 *
 * stdout gets the rows; stderr the handler's log lines and, on a terminal, its progress, which is
 * drawn anew: one line, or a picture of a pipeline. The first ^C asks the handler to stop politely,
 * the second to hurry, if it can; the next ends the process.
 */
#pragma once

#include "cli/command.h"

/* Run it; starts the runtime. 0, -EINTR when it was interrupted, or the handler's error. */
MUST int foreground_run(HandlerRun *run);
