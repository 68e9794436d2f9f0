/*
 * The engine's settings; see the header.
 *
 * The file is read with plain calls: nothing runs yet when it is.
 */
#define SL_MAY_BLOCK
#include "app/config.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "codec/yaml.h"

#include <stdio.h>

#define DAY_MS INT64_C(86400000)

static const char *const durability_names[] = { "sync", "async", NULL };
static const char *const level_names[] = { "debug", "info", "warn", "error", "off", NULL };
static const char *const format_names[] = { "auto", "logfmt", "json", NULL };
static const SchemaField queue_item = ITEM(STR, .pattern = SCHEMA_QUEUE_NAME,
                                           .range = RANGE(1, 128));

static const SchemaField database_item = ITEM(STR, .range = RANGE(1, 1024));

static const SchemaField config_fields[] = {
    FIELD_STR(EngineConfig, listen, "address and port to serve on; port 0 takes a free one",
              .default_text = "127.0.0.1:7584", .holder = "ADDR:PORT"),
    FIELD_STR(EngineConfig, store, "where jobs live: lmdb:DIR, or memory: (lost at the end)",
              .default_text = "lmdb:sluice-data", .holder = "STORE"),
    FIELD_INT(EngineConfig, workers, "jobs that run at once; 0 takes jobs and runs none",
              .range = RANGE(0, 100000), .default_text = "64"),
    FIELD_LIST(EngineConfig, queues, &queue_item,
               "a queue the workers serve, in order of preference; default: all, in turn",
               .range = RANGE(0, LIMIT_LEASE_QUEUES), .flag = "queue"),
    FIELD_INT(EngineConfig, loops, "loop threads; 0 is one for every two processors",
              .range = RANGE(0, 256), .default_text = "0"),
    FIELD_ENUM(EngineConfig, durability, durability_names,
               "sync answers when the disk has a job; async may lose the last 50 ms",
               .default_text = "sync"),
    FIELD_STR(EngineConfig, config, "a YAML file with the same settings", .holder = "FILE"),
    FIELD_ENUM(EngineConfig, log_level, level_names, "the least that is logged",
               .default_text = "info"),
    FIELD_ENUM(EngineConfig, log_format, format_names,
               "auto is logfmt on a terminal and JSON elsewhere", .default_text = "auto"),
    FIELD_STR(EngineConfig, port_file, "write the port to this file once it is open",
              .holder = "FILE"),
    FIELD_DURATION(EngineConfig, drain_ms, "drain", "how long a stop waits for running jobs",
                   .range = RANGE(0, DAY_MS), .default_text = "30s"),
    FIELD_DURATION(EngineConfig, lease_ms, "lease", "how long a worker may be silent",
                   .range = RANGE(100, DAY_MS), .default_text = "30s"),
    FIELD_DURATION(EngineConfig, keep_completed_ms, "keep_completed",
                   "how long completed and cancelled jobs are kept", .default_text = "24h"),
    FIELD_INT(EngineConfig, keep_completed_max, "completed jobs kept in each queue",
              .range = AT_LEAST(0), .default_text = "100000"),
    FIELD_DURATION(EngineConfig, keep_discarded_ms, "keep_discarded",
                   "how long discarded jobs and dead letters are kept", .default_text = "90d"),
    FIELD_INT(EngineConfig, keep_discarded_max, "discarded jobs kept in each queue",
              .range = AT_LEAST(0), .default_text = "100000"),
    FIELD_INT(EngineConfig, store_max_mib, "size of the store in MiB; beyond it submits get 507",
              .range = RANGE(64, 1 << 24), .default_text = "65536"),
    FIELD_INT(EngineConfig, connections, "connections at once on each loop",
              .range = RANGE(1, 1000000), .default_text = "20000"),
    FIELD_BOOL(EngineConfig, allow_private,
               "let jobs reach private, loopback and link-local addresses"),
    FIELD_STR(EngineConfig, rows_dir, "the folder below which jobs may write files of rows",
              .holder = "DIR"),
    FIELD_LIST(EngineConfig, rows_databases, &database_item,
               "the URL of a database that jobs may write rows to", .range = RANGE(0, 64),
               .flag = "rows-database"),
};

const Schema engine_config_schema = SCHEMA(EngineConfig, config_fields, "Settings of an engine.");

static int read_file(Arena *arena, Str path, Str *ret_text)
{
    char *name = arena_copy_c(arena, path);
    char *text = arena_zalloc(arena, LIMIT_YAML_BYTES + 1);
    FILE *file = fopen(name, "rbe");
    size_t len;

    if (!file)
        return fail_errno("config: %s", name);
    len = fread(text, 1, LIMIT_YAML_BYTES + 1, file);
    if (ferror(file)) {
        (void) fclose(file);
        return fail(-ERR_CONFIG, "config: %s cannot be read; it must be a file", name);
    }
    (void) fclose(file);
    if (len > LIMIT_YAML_BYTES)
        return fail(-ERR_CONFIG, "config: %s is larger than %d bytes", name, LIMIT_YAML_BYTES);
    *ret_text = str_from(text, len);
    return 0;
}

/* The file's settings and over them those of the command line, as the text of one JSON object. */
static void merge(JsonWriter *out, Json file, Json given)
{
    json_write_object(out);
    for (JsonIter it = json_iter(file); json_next(&it);) {
        if (json_find_str(given, it.key))
            continue;
        json_write_key_str(out, it.key);
        json_write_value(out, it.value);
    }
    for (JsonIter it = json_iter(given); json_next(&it);) {
        json_write_key_str(out, it.key);
        json_write_value(out, it.value);
    }
    json_write_object_end(out);
}

int config_settle(Arena *arena, const EngineConfig *flags, Str given, EngineConfig *ret_config)
{
    AUTO(buf_deinit) Buf merged = { 0 };
    JsonWriter out = JSON_WRITER(&merged);
    JsonDoc given_doc;
    YamlDoc yaml;
    Str text;
    int r;

    *ret_config = *flags;
    if (!flags->config.len)
        return 0;
    r = read_file(arena, flags->config, &text);
    if (r == 0)
        r = yaml_parse(arena, text, arena_copy_c(arena, flags->config), &yaml);
    if (r == 0 && json_is_null(yaml.json.root))
        return 0;
    if (r == 0)
        r = yaml_decode(arena, &yaml, &engine_config_schema, yaml.json.root, ret_config, NULL);
    if (r == 0)
        r = json_parse(arena, given.len ? given : str_from_c("{}"), &given_doc);
    if (r < 0)
        return r;
    merge(&out, yaml.json.root, given_doc.root);
    return schema_decode_text(arena, &engine_config_schema, arena_copy(arena, buf_str(&merged)),
                              ret_config, NULL);
}
