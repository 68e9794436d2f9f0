/*
 * jq: expressions of libjq, run over JSON text within bounds.
 *
 * A program is compiled once and run any number of times, by one thread at a time. What an
 * expression could reach beside its input is taken away: `input`, `env`, `$ENV`, modules, `halt`,
 * messages to stderr. What it could do to the process is bounded: the values it gives and their
 * bytes, the bytes of a string it repeats, and its time, by a call of jq_interrupt or jq_stop from
 * another thread.
 *
 * libjq computes with doubles: a number of more than 17 digits loses some, and 19.90 comes out as
 * 19.9. Who wants digits kept takes the value without jq.
 *
 * Compiling takes some milliseconds and a run may take long: not on a loop's thread.
 */
#pragma once

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct Jq Jq;

/* Compile TEXT. 0, or -ERR_INVALID with jq's own words. */
MUST int jq_new(Str text, Jq **ret_jq);
void jq_free(Jq *jq);
DEFINE_AUTO(Jq *, jq_free);

/* Bounds of one run; zero means the default. */
typedef struct JqRunOpts {
    size_t values_max; /* 0 means LIMIT_JQ_VALUES */
    size_t bytes_max;  /* of all values as JSON; 0 means LIMIT_JQ_BYTES */
} JqRunOpts;

/*
 * Run it over JSON, one value that is known to be valid, and append the values it gives to OUT as
 * JSON with commas between them. 0; -ERR_INVALID with the words of the program's error;
 * -ERR_TOO_LARGE for a bound; -ETIMEDOUT after jq_interrupt or jq_stop.
 */
MUST int jq_run(Jq *jq, Str json, const JqRunOpts *opts, Buf *out);

/* End the run that is going on, at the program's next step; the next run is a run like any other.
 * Nothing when none is going on. From any thread. */
void jq_interrupt(Jq *jq);

/* The same for good: no run goes on after it. */
void jq_stop(Jq *jq);
