/*
 * `sluice image`: pictures of many files, in parallel through boxes, without an engine.
 */
#pragma once

#include "base/own.h"
#include "cli/command.h"

/* Do REQUEST and count in it what failed, each with its line on stderr. 0; or an error that kept it
 * from beginning. */
MUST int image_command_run(ImageRequest *request);
