/*
 * SIGHUP means two things: the terminal has gone away, or somebody wants files to be read again.
 */
#pragma once

#include "base/own.h"

#include <sluice/rt.h>

/* Whether this process belongs to a terminal. Ask once at the start. */
SUSPENDS bool hangup_has_terminal(void);

/* Whether SIGHUP, just come, says that the terminal is gone; HAD_TERMINAL: there was one. */
SUSPENDS bool hangup_is_real(bool had_terminal);

/* Whether the signal is to be left alone (nohup). */
bool hangup_is_ignored(void);
