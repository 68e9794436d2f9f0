/*
 * What the command line asks of pipelines beside running one: is this configuration right, what
 * could stand in it, and try the dead letters again.
 */
#pragma once

#include "cli/command.h"

MUST int ingest_command_run(const IngestRequest *request);
