/*
 * Plan: a configuration, checked and compiled. Nothing runs, nothing is opened, nothing suspends.
 */
#pragma once

#include "pipeline/config.h"
#include "rows/feed.h"
#include "rows/source.h"
#include "rows/step.h"

/* In a sink's table: a table for each shape of rows. */
#define PLAN_PLACEHOLDER "{measurement}"

typedef struct PlanSource {
    const SourceDriver *driver;
    Str name;
    const void *args;
    DecodeOpts decode;
    Str json; /* its settings, to compare */
} PlanSource;

typedef struct PlanStep {
    const StepDriver *driver;
    Str name;
    const void *args;
    Str json;
} PlanStep;

/* What happens when a sink's line is full. */
typedef enum SinkOverflow { SINK_BLOCK, SINK_DROP_NEW, SINK_DROP_OLD, SINK_SPILL } SinkOverflow;

const char *plan_overflow_word(int overflow);

typedef struct PlanSink {
    SinkSpec spec;
    Str name;
    Str where;        /* an expression; empty: every row */
    bool is_by_table; /* {measurement} stands in its table: one for each shape */
    BatchConfig batch;
    int overflow;          /* SinkOverflow */
    const char *full_word; /* "NAME full": the cause of what it loses, in the books */
    Str json;
} PlanSink;

/* All of it lives in the plan's arena. Shared by the parts that were made from it; on one loop. */
typedef struct Plan {
    uint32_t refs;
    Arena arena;
    Str name;
    PlanSource *sources;
    PlanStep *steps;
    PlanSink *sinks;
    size_t n_sources, n_steps, n_sinks;
    PlanSink dead_letters; /* spec.driver NULL: in memory, counted only (tests) */
    PipelineConfig config; /* with its defaults; texts in the arena */
    bool is_stateful;      /* a step is, and not by arrival (T7) */
} Plan;

/* Compile CONFIG (copied). 0; -ERR_CONFIG or -ERR_INVALID with words that name the place:
 * "steps[1].window.every: …". Steps read their tables meanwhile: not on a loop's thread that others
 * need. */
MUST int plan_new(const PipelineConfig *config, Plan **ret_plan);
Plan *plan_ref(Plan *plan);
void plan_unref(Plan *plan); /* NULL is nothing */
DEFINE_AUTO(Plan *, plan_unref);

/* Whether a part is set as another one is, so that one can go on in the place of the other. */
bool plan_source_is_same(const PlanSource *source, const PlanSource *other);
bool plan_step_is_same(const PlanStep *step, const PlanStep *other);
bool plan_sink_is_same(const PlanSink *sink, const PlanSink *other);

/* What it will do, for people: `sluice ingest check`. Sources, steps, sinks, what is promised for
 * each pair of source and sink (exactly once, at least once, and why), limits. */
void plan_describe(const Plan *plan, Buf *out);
void plan_write_json(const Plan *plan, JsonWriter *out);

/* Whether no file has two sinks of PLAN: 0, or -ERR_CONFIG with words. plan_new asks it. */
MUST int plan_check_files(const Plan *plan);

/* The folders that cannot be written to on this machine; as plan_notes. Reads the disk. */
void plan_folder_notes(const Plan *plan, void (*tell)(void *ctx, Str note), void *ctx);

/* What is right, and may surprise all the same: TELL is called with a sentence for each. */
void plan_notes(const Plan *plan, void (*tell)(void *ctx, Str note), void *ctx);
