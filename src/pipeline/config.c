/*
 * The configuration's tables.
 */
#include "pipeline/config.h"

#include "base/limits.h"
#include "codec/schema.h"

#define NAME_CHARS_MAX 64

static const char *const overflow_words[] = { "block", "drop_new", "drop_old", "spill", NULL };
static const char *const sync_words[] = { "auto", "always", "never", NULL };

static const SchemaField text_item = ITEM(STR, .range = RANGE(1, 4096));

static const SchemaField channel_fields[] = {
    FIELD_INT(ChannelConfig, rows, "rows between sources and steps, at most",
              .range = RANGE(1, 100000000), .default_text = "100000"),
    FIELD_INT(ChannelConfig, bytes, "bytes between sources and steps, at most",
              .range = RANGE(1024, INT64_C(1) << 36), .default_text = "67108864"),
    { .name = "overflow",
      .summary = "when it is full: wait, drop what comes, drop what is oldest, or spill to disk",
      .kind = SCHEMA_ENUM,
      .offset = offsetof(ChannelConfig, overflow),
      .names = overflow_words,
      .default_text = "block" },
    FIELD_INT(ChannelConfig, spill_bytes, "bytes of the spill on disk, at most",
              .range = RANGE(1 << 20, INT64_C(1) << 44), .default_text = "1073741824"),
    FIELD_STR(ChannelConfig, spill_dir, "folder of the spill; below the state's unless given",
              .holder = "DIR"),
};
static const Schema channel_schema = SCHEMA(ChannelConfig, channel_fields,
                                            "The bounded channel between sources and steps");

static const SchemaField consumers_fields[] = {
    FIELD_INT(ConsumersConfig, count, "how many work through the steps at once",
              .range = RANGE(1, LIMIT_PIPELINE_LANES), .default_text = "1"),
    FIELD_LIST(ConsumersConfig, key, &text_item,
               "columns whose rows stay in order; without one those of each source do",
               .range = RANGE(0, 16), .holder = "COLUMN"),
};
static const Schema consumers_schema = SCHEMA(ConsumersConfig, consumers_fields,
                                              "What works through the steps");

static const SchemaField batch_fields[] = {
    FIELD_INT(BatchConfig, rows, "rows delivered to a sink at once, at most",
              .range = RANGE(1, 1000000), .default_text = "5000"),
    FIELD_INT(BatchConfig, bytes, "bytes delivered to a sink at once, at most",
              .range = RANGE(1, INT64_C(1) << 30), .default_text = "8388608"),
    FIELD_DURATION(BatchConfig, age_ms, "age", "how long a row waits for company",
                   .range = RANGE(0, 3600 * 1000), .default_text = "10ms"),
};
const Schema batch_config_schema = SCHEMA(BatchConfig, batch_fields, "Lots of a sink");

static const SchemaField config_fields[] = {
    FIELD_STR(PipelineConfig, name, "what it is called: in messages, metrics, URLs and marks",
              .range = RANGE(1, NAME_CHARS_MAX), .pattern = SCHEMA_QUEUE_NAME,
              .default_text = "ingest"),
    FIELD_JSON(PipelineConfig, sources, "where rows come from: a list of drivers with settings"),
    FIELD_JSON(PipelineConfig, steps, "what happens to them: a list of steps with settings"),
    FIELD_JSON(PipelineConfig, sinks,
               "where they go: a list of sinks, each a text or {to, name, where, batch, overflow}"),
    FIELD_LIST(PipelineConfig, source, &text_item,
               "a source as a text: 'sim:sensors=10,count=1000', mqtt://…, FILE, -",
               .range = RANGE(0, LIMIT_PIPELINE_SOURCES), .holder = "SOURCE"),
    FIELD_LIST(PipelineConfig, step, &text_item,
               "a step as YAML: 'filter: value > 0', 'rename: {t: temperature}'",
               .range = RANGE(0, LIMIT_PIPELINE_STEPS), .holder = "STEP"),
    FIELD_LIST(PipelineConfig, out, &text_item,
               "a sink as a text: sqlite:FILE?table=T, postgresql://…, FILE.jsonl, jobs:TYPE",
               .range = RANGE(0, LIMIT_PIPELINE_SINKS), .holder = "SINK"),
    FIELD_OBJECT(PipelineConfig, channel, &channel_schema, "the channel"),
    FIELD_OBJECT(PipelineConfig, consumers, &consumers_schema, "what works through the steps"),
    FIELD_OBJECT(PipelineConfig, batch, &batch_config_schema,
                 "lots of sinks that say nothing else"),
    FIELD_STR(PipelineConfig, dead_letters,
              "a sink for what is refused; NAME.dead.jsonl beside the state unless given",
              .holder = "SINK"),
    FIELD_STR(PipelineConfig, state,
              "folder for positions, the state of steps, and the spill; without it none is kept",
              .holder = "DIR"),
    FIELD_BOOL(PipelineConfig, forget, "begin anew: what state and sinks remember does not count"),
    FIELD_BOOL(PipelineConfig, grow, "columns that are new are added to the sink's table",
               .default_text = "true"),
    { .name = "sync",
      .summary = "whether commits survive a loss of power: auto does where a producer is told of "
                 "them and would not send its rows again",
      .kind = SCHEMA_ENUM,
      .offset = offsetof(PipelineConfig, sync),
      .names = sync_words,
      .default_text = "auto" },
    FIELD_DURATION(PipelineConfig, drain_ms, "drain", "what a stop waits for rows in flight",
                   .range = RANGE(0, 3600 * 1000), .default_text = "30s"),
    FIELD_INT(PipelineConfig, dry_run,
              "take so many rows, show what would be written, and write nothing",
              .range = RANGE(0, 1000000)),
    FIELD_DURATION(PipelineConfig, save_ms, "save", "between two saves of positions and state",
                   .range = RANGE(10, 3600 * 1000), .default_text = "1s"),
    FIELD_DURATION(PipelineConfig, retry_max_ms, "retry_max",
                   "between two tries of a sink that is away, at most",
                   .range = RANGE(100, 3600 * 1000), .default_text = "30s"),
};

const Schema pipeline_config_schema = SCHEMA(PipelineConfig, config_fields,
                                             "A pipeline: sources, steps, sinks");
