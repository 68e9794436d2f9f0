/*
 * Options that a sink's driver declares itself (SinkDriver.options): read, kept, refused.
 */
#pragma once

#include "base/arena.h"
#include "rows/sink.h"

/* Take option NAME with VALUE into SPEC, whose driver is chosen. 0, SINK_OPTION_UNKNOWN when the
 * driver has none of this name, or -ERR_INVALID with words. */
enum { SINK_OPTION_UNKNOWN = 1 };
MUST int sink_option_take(Arena *arena, SinkSpec *spec, Str name, Str value);

/* The words for an option that the sink does not have, with the nearest it has and all there are.
 * NAME as it may be shown. */
MUST int sink_option_refuse(const SinkSpec *spec, Str name);

/* 0, or -ERR_INVALID when SPEC has options that are for feeds only. */
MUST int sink_option_check_run(const SinkSpec *spec);
