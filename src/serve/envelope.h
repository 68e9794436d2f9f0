/*
 * The job envelope of the Open Job Spec: from JSON to a JobSpec, and from a Job to JSON.
 *
 * Both forms of the request are read: the binding's (`options` inside) and the core envelope's
 * (queue, priority … at top level); `options` wins. What is not known is kept byte for byte and
 * given back. docs/internals/ojs.md has the rules.
 */
#pragma once

#include "base/arena.h"
#include "serve/serve.h"

#include <sluice/job.h>
#include <sluice/json.h>

typedef struct EnvelopeIn {
    const Serve *serve; /* for the handlers whose schema the arguments must fit */
    const JsonDoc *doc;
    Json value;
    int64_t now_ms;    /* wall clock: relative times start here */
    const char *at;    /* "" or "jobs[3].": put before the name of what is wrong */
    const char *field; /* answer: what was wrong; static text, NULL for none */
} EnvelopeIn;

/* Read one job. Texts point into the document or ARENA. -ERR_INVALID, -ERR_SCHEMA,
 * -ERR_RETRY_POLICY, -ERR_TOO_LARGE. */
MUST int envelope_parse(Arena *arena, EnvelopeIn *in, JobSpec *ret_spec);

/* What a job's answer has beside the job. */
typedef struct EnvelopeOut {
    bool has_lease_token;   /* an answer to fetch */
    const char *extra_name; /* one more time member: "re_enqueued_at"; NULL for none */
    int64_t extra_ms;
    const char *previous_state; /* NULL for none */
} EnvelopeOut;

/* Write the job as one JSON object. OUT_OPTS may be NULL. */
void envelope_write(JsonWriter *writer, const Job *job, const EnvelopeOut *out_opts);
