/*
 * Pipeline set: the pipelines that an engine runs beside its queue.
 *
 * Each comes from a file that whoever made the set knows how to read, so that it can be read again.
 * One that stops by an error stays in the set, with its words, until somebody starts it anew: it
 * needs a person. The set lives on one loop, which its calls are made on.
 */
#pragma once

#include "pipeline/pipeline.h"

typedef struct PipelineSet PipelineSet;

typedef struct PipelineSetOpts {
    PipelineOpts pipeline; /* for each of them */
    int64_t drain_ms;      /* what a stop waits at most, whatever a pipeline says itself */

    /* Read the configuration called FILE into *RET_CONFIG, whose texts live in ARENA. Suspends. */
    SUSPENDS int (*read)(void *ctx, Arena *arena, Str file, PipelineConfig *ret_config);
    void *ctx;
} PipelineSetOpts;

/* An empty set whose pipelines have their fibers in NURSERY. OPTS are copied. */
MUST PipelineSet *pipeline_set_new(sl_nursery *nursery, const PipelineSetOpts *opts);

/*
 * Read FILE and start its pipeline. 0; an error of the configuration, or -ERR_CONFLICT when one of
 * that name is there. A pipeline whose sink is away is in the set, waiting. Suspends.
 */
MUST SUSPENDS int pipeline_set_add(PipelineSet *set, Str file);

/* Stop all of them: they drain, at the same time, for at most drain_ms. The set stays, with nothing
 * that runs, and starts nothing any more. NULL is nothing. Suspends, also when cancelled. */
SUSPENDS void pipeline_set_stop(PipelineSet *set);
void pipeline_set_free(PipelineSet *set); /* in which nothing runs */

size_t pipeline_set_count(const PipelineSet *set);

/* One of a set, by its index or name. */
typedef struct PipelineEntry PipelineEntry;
PipelineEntry *pipeline_set_at(const PipelineSet *set, size_t index);
PipelineEntry *pipeline_set_find(const PipelineSet *set, Str name); /* or NULL */

Str pipeline_entry_name(const PipelineEntry *entry);

/* The pipeline; NULL when it could not be started, and then why is what pipeline_entry_why says. */
Pipeline *pipeline_entry_get(const PipelineEntry *entry);
const char *pipeline_entry_why(const PipelineEntry *entry);

const char *pipeline_entry_state(const PipelineEntry *entry); /* "running"; static text */

/* As pipeline_write_json, also for one that could not be started. */
void pipeline_entry_write_json(const PipelineEntry *entry, JsonWriter *out);

/* Stop it, read its file again, and start it. With an error it stays stopped, with the words; when
 * the file cannot be read or is wrong, the old one goes on. Suspends. */
MUST SUSPENDS int pipeline_set_restart(PipelineSet *set, PipelineEntry *entry);

/* Read its file again and go on by it, while its sources run (pipeline_reload); one that does not
 * run is started anew. With an error the old one goes on. Suspends. */
MUST SUSPENDS int pipeline_set_reload(PipelineSet *set, PipelineEntry *entry);
