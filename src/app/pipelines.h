/*
 * The pipelines of an engine: read from files, run beside the queue on loop 0.
 */
#pragma once

#include "app/config.h"
#include "pipeline/pipeline_set.h"

/* An empty set for an engine that answers at URL (borrowed, as are DOORS and HTTP). */
MUST PipelineSet *pipelines_new(sl_nursery *nursery, const EngineConfig *config, HttpClient *http,
                                Doors *doors, Str url);

/*
 * Start what the settings name. A file that cannot be read, or is wrong, keeps the engine from
 * starting; a pipeline whose sink must be mended is logged, and is in the set for people to see.
 */
MUST SUSPENDS int pipelines_start(PipelineSet *set, const EngineConfig *config);

/* Read all files again and let the pipelines go on by them; the log says how it went. */
SUSPENDS void pipelines_reload(PipelineSet *set);
