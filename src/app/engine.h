/*
 * Engine: the running whole. Start order, stop order, and nothing else.
 */
#pragma once

#include "app/config.h"
#include "base/own.h"
#include "cli/command.h"

/*
 * Run an engine with FACE as CONFIG says until SIGTERM or SIGINT, or until another takes over.
 * Starts the runtime, so it blocks the thread. 0 after a polite stop; otherwise the error that kept
 * it from starting, or made it end.
 */
MUST int engine_run(const EngineConfig *config, EngineFace face);
