/*
 * Work on stores without an engine: move one into another, check, look.
 */
#pragma once

#include "base/own.h"
#include "cli/command.h"

/* Do what REQUEST says. Starts the runtime, so it blocks the thread. */
MUST int store_command_run(const StoreRequest *request);
