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
#include "base/macro.h"
#include "base/text.h"
#include "codec/suggest.h"
#include "codec/url.h"
#include "codec/yaml.h"
#include "gen/handlers.h"

#include <stdio.h>
#include <stdlib.h>

#define DAY_MS        INT64_C(86400000)
#define TYPE_RUNS_MAX 100000 /* as many as workers */

static const char *const level_names[] = { "debug", "info", "warn", "error", "off", NULL };
static const char *const format_names[] = { "auto", "logfmt", "json", NULL };
static const char *const wall_names[] = { "filter", "all", "any", NULL }; /* BoxWalls */
static const SchemaField queue_item = ITEM(STR, .pattern = SCHEMA_QUEUE_NAME,
                                           .range = RANGE(1, 128));

static const SchemaField pipeline_item = ITEM(STR, .range = RANGE(1, 4096));
static const SchemaField database_item = ITEM(STR, .range = RANGE(1, 1024));

static const SchemaField config_fields[] = {
    FIELD_STR(EngineConfig, listen,
              "address and port to serve on; port 0 takes a free one; default " CONFIG_LISTEN
              ", and none for `work`",
              .holder = "ADDR:PORT"),
    FIELD_STR(EngineConfig, store,
              "where jobs live: lmdb:DIR, redis://HOST/, memory: (lost at the end); ${NAME} is a "
              "variable of the environment",
              .default_text = "lmdb:sluice-data", .holder = "STORE"),
    FIELD_STR(EngineConfig, store_file, "a file whose first line is the store, for passwords",
              .holder = "FILE"),
    FIELD_INT(EngineConfig, workers, "jobs that run at once; 0 takes jobs and runs none",
              .range = RANGE(0, 100000), .default_text = "64"),
    FIELD_INT(EngineConfig, concurrency, "another name for --workers, which it overrules",
              .range = RANGE(0, 100000), .absent = -1),
    FIELD_LIST(EngineConfig, queues, &queue_item,
               "a queue the workers serve, in order of preference; default: all, in turn",
               .range = RANGE(0, LIMIT_LEASE_QUEUES), .flag = "queue"),
    FIELD_STR(EngineConfig, queue_weights,
              "queues with weights: of a,b:2 b is asked first twice as often as a; without any "
              "weight, in order of preference",
              .range = RANGE(1, 8192), .flag = "queues", .holder = "NAME[:N],..."),
    FIELD_INT(EngineConfig, loops, "loop threads; 0 is one for every two processors",
              .range = RANGE(0, 256), .default_text = "0"),
    FIELD_STR(EngineConfig, durability,
              "lmdb: sync answers when the disk has a job, async may lose the last 50 ms; redis: "
              "none, wait(N) replicas, waitaof",
              .range = RANGE(1, 32), .holder = "WORD"),
    FIELD_BOOL(EngineConfig, allow_eviction,
               "take a Redis that may drop keys when its memory is full"),
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
    FIELD_LIST(EngineConfig, pipelines, &pipeline_item,
               "a file with a pipeline to run beside the queue; see `sluice ingest`",
               .range = RANGE(0, LIMIT_ENGINE_PIPELINES), .flag = "pipeline", .holder = "FILE"),
    FIELD_JSON(EngineConfig, handlers,
               "programs as handlers, by type; in the file only: see docs/guide/any-language.md",
               .range = RANGE(0, LIMIT_YAML_BYTES), .holder = "..."),
    FIELD_BOOL(EngineConfig, reuse_port, "share the port with other processes (SO_REUSEPORT)"),
    FIELD_STR(EngineConfig, handover,
              "a Unix socket: the next engine that is started with it takes over the port, and "
              "this one stops",
              .holder = "FILE"),
    FIELD_DURATION(EngineConfig, wait_for_store_ms, "wait_for_store",
                   "how long to wait for a store that another process has open, or that is away",
                   .range = RANGE(0, DAY_MS), .default_text = "0s"),
    FIELD_MAP(EngineConfig, type_limits,
              "runs of a type at once in this process; further ones wait without holding back "
              "other types",
              .flag = "type-limit", .holder = "TYPE=N", .takes_values = true,
              .range = RANGE(0, LIMIT_TYPE_LIMITS)),
    FIELD_INT(EngineConfig, boxes,
              "boxes (processes for hostile input) at once; 0 is one for every processor",
              .range = RANGE(0, 256), .default_text = "0"),
    FIELD_INT(EngineConfig, boxes_ready,
              "boxes that are started beforehand and kept while there is nothing to do",
              .range = RANGE(0, 256), .default_text = "0"),
    FIELD_INT(EngineConfig, box_memory_mib,
              "MiB of memory that all runs in boxes may reserve together",
              .range = RANGE(16, 1 << 20), .default_text = "512"),
    FIELD_INT(EngineConfig, box_waiting, "runs that may wait for a box; beyond it 429",
              .range = RANGE(1, 100000), .default_text = "1024"),
    FIELD_DURATION(EngineConfig, box_wait_ms, "box_wait",
                   "the longest wait for a box that a direct run is let in for; beyond it 429",
                   .range = RANGE(1, DAY_MS), .default_text = "30s"),
    FIELD_INT(EngineConfig, box_runs,
              "runs in one box, which is replaced then; 1 gives each run its own",
              .range = RANGE(1, 1000000000), .default_text = "10000"),
    FIELD_ENUM(EngineConfig, box_walls, wall_names,
               "what the kernel must offer for a box to be used: the filter of system calls, all "
               "walls (else the engine does not start), or whatever there is",
               .default_text = "filter"),
    FIELD_OBJECT(EngineConfig, images, &images_config_schema, "pictures by signed URLs"),
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

/* ---- the store ------------------------------------------------------------------------------- */

static int add_variable(Arena *arena, Buf *out, Str name, bool encodes)
{
    const char *value = name.len ? getenv(arena_copy_c(arena, name)) : NULL;

    if (!value)
        return fail(-ERR_CONFIG, "store: the variable %.*s of the environment is not set",
                    (int) MIN(name.len, (size_t) 64), name.data);
    if (encodes)
        url_encode(out, str_from_c(value), URL_QUERY);
    else
        buf_add_c(out, value);
    return 0;
}

int config_store_url(Arena *arena, Str text, Str *ret_url)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Str rest = text;

    while (rest.len > 0) {
        Str head, tail, name;
        ssize_t end;
        int r;

        head = str_cut(rest, '$', &tail);
        buf_add_str(&out, head);
        if (head.len == rest.len)
            break;
        if (tail.len > 0 && tail.data[0] == '$') {
            buf_add_char(&out, '$');
            rest = str_sub(tail, 1, tail.len);
            continue;
        }
        end = tail.len > 0 && tail.data[0] == '{' ? str_find(tail, '}') : -1;
        if (end < 0)
            return fail(-ERR_CONFIG, "store: write ${NAME} for a variable of the environment, $$ "
                                     "for a dollar sign");
        name = str_sub(tail, 1, (size_t) end - 1);
        rest = str_sub(tail, (size_t) end + 1, tail.len);
        r = add_variable(arena, &out, name, str_contains(buf_str(&out), str_from_c("://")));
        if (r < 0)
            return r;
    }
    *ret_url = arena_copy(arena, buf_str(&out));
    return buf_check(&out);
}

int config_store_file(Arena *arena, Str path, Str *ret_url)
{
    Str text, rest;
    int r = read_file(arena, path, &text);

    if (r < 0)
        return r;
    text = str_trim(str_cut(text, '\n', &rest));
    if (!text.len)
        return fail(-ERR_CONFIG, "store_file: %.*s must have a store in its first line",
                    (int) path.len, path.data);
    return config_store_url(arena, text, ret_url);
}

/* ---- queues ---------------------------------------------------------------------------------- */

static int read_weight(Str word, Str *ret_name, uint32_t *ret_weight, bool *is_weighted)
{
    uint64_t weight = 1;
    Str after;

    *ret_name = str_cut(word, ':', &after);
    if (ret_name->len < word.len) {
        *is_weighted = true;
        if (str_to_u64(after, LIMIT_QUEUE_WEIGHT, &weight) < 0 || weight == 0)
            return fail(-ERR_CONFIG, "queues: the weight in \"%.*s\" must be a number from 1 to %d",
                        (int) MIN(word.len, (size_t) 160), word.data, LIMIT_QUEUE_WEIGHT);
    }
    *ret_weight = (uint32_t) weight;
    if (!ret_name->len || ret_name->len > 128)
        return fail(-ERR_CONFIG, "queues: \"%.*s\" has no name of a queue",
                    (int) MIN(word.len, (size_t) 160), word.data);
    for (size_t i = 0; i < ret_name->len; i++) {
        char c = ret_name->data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              (i > 0 && (c == '.' || c == '_' || c == '-'))))
            return fail(-ERR_CONFIG, "queues: \"%.*s\" is no name of a queue", (int) ret_name->len,
                        ret_name->data);
    }
    return 0;
}

/* Make names and weights of "a,b:2". A weight makes all of them weighted, 1 where none is said. */
static int read_weights(Arena *arena, EngineConfig *config)
{
    Str rest = config->queue_weights, word;
    Str *names = arena_zalloc(arena, LIMIT_LEASE_QUEUES * sizeof(Str));
    uint32_t *weights = arena_zalloc(arena, LIMIT_LEASE_QUEUES * sizeof(uint32_t));
    bool is_weighted = false;
    size_t n = 0;

    while (rest.len > 0) {
        int r;

        word = str_trim(str_cut(rest, ',', &rest));
        if (n == LIMIT_LEASE_QUEUES)
            return fail(-ERR_CONFIG, "queues: at most %d can be served", LIMIT_LEASE_QUEUES);
        r = read_weight(word, &names[n], &weights[n], &is_weighted);
        if (r < 0)
            return r;
        for (size_t i = 0; i < n; i++) {
            if (str_eq(names[i], names[n]))
                return fail(-ERR_CONFIG, "queues: \"%.*s\" stands there twice", (int) names[n].len,
                            names[n].data);
        }
        n++;
    }
    config->queue_names = names;
    config->weights = is_weighted ? weights : NULL;
    config->n_queue_names = n;
    return 0;
}

/* ---- types and boxes ------------------------------------------------------------------------- */

static const Handler *find_handler(const ProgramTable *table, Str type)
{
    for (size_t i = 0; i < table->n_handlers; i++) {
        if (str_eq_c(type, table->handlers[i]->type))
            return table->handlers[i];
    }
    return NULL;
}

static int fail_type(const ProgramTable *table, Str type)
{
    Suggest suggest = { .word = type };
    const char *head = "";

    for (size_t i = 0; i < table->n_handlers; i++) {
        if (!table->handlers[i]->is_for_tests)
            suggest_consider(&suggest, str_from_c(table->handlers[i]->type));
    }
    if (suggest.best.len)
        head = "; did you mean ";
    return fail(-ERR_CONFIG, "type_limits: there is no handler \"%.*s\"%s%.*s",
                (int) MIN(type.len, (size_t) 128), type.data, head, (int) suggest.best.len,
                suggest.best.data);
}

static int read_type_limits(Arena *arena, EngineConfig *config)
{
    const SchemaPairs *given = &config->type_limits;
    TypeLimit *limits = arena_zalloc(arena, (given->len + 1) * sizeof(TypeLimit));

    for (size_t i = 0; i < given->len; i++) {
        const SchemaPair *pair = &given->items[i];
        const Handler *handler = find_handler(&config->programs, pair->name);
        uint64_t n = 0;

        if (!handler)
            return fail_type(&config->programs, pair->name);
        if (str_to_u64(pair->value, TYPE_RUNS_MAX, &n) < 0 || n == 0)
            return fail(-ERR_CONFIG, "type_limits: %s: must be a number from 1 to %d, got \"%.*s\"",
                        handler->type, TYPE_RUNS_MAX, (int) MIN(pair->value.len, (size_t) 64),
                        pair->value.data);
        for (size_t k = 0; k < i; k++) {
            if (str_eq(given->items[k].name, pair->name))
                return fail(-ERR_CONFIG, "type_limits: %s: stands there twice", handler->type);
        }
        limits[i] = (TypeLimit){ .type = handler->type, .runs_max = n };
    }
    config->limits = limits;
    config->n_limits = given->len;
    return 0;
}

static int check_boxes(const EngineConfig *config)
{
    if (config->boxes > 0 && config->boxes_ready > config->boxes)
        return fail(-ERR_CONFIG, "boxes_ready: %lld are more than there may be (boxes: %lld)",
                    (long long) config->boxes_ready, (long long) config->boxes);
    return 0;
}

/* ---- settling -------------------------------------------------------------------------------- */

/* What the settings mean, once all of them are known. */
static int digest_settings(Arena *arena, EngineConfig *config)
{
    int r = 0;

    if (config->concurrency >= 0)
        config->workers = config->concurrency;
    config->queue_names = config->queues.items;
    config->n_queue_names = config->queues.len;
    if (config->queue_weights.len && config->queues.len)
        return fail(-ERR_CONFIG, "queues: say either --queue for each, or --queues with all");
    if (config->queue_weights.len)
        r = read_weights(arena, config);
    if (r == 0)
        r = read_type_limits(arena, config);
    if (r == 0)
        r = check_boxes(config);
    if (r == 0)
        r = images_settle(arena, &config->images);
    if (r < 0)
        return r;
    return config->store_file.len ? config_store_file(arena, config->store_file, &config->store)
                                  : config_store_url(arena, config->store, &config->store);
}

/* The settings of the file, under those that were GIVEN on the command line. */
static int read_settings(Arena *arena, const EngineConfig *flags, Str given,
                         EngineConfig *ret_config)
{
    AUTO(buf_deinit) Buf merged = { 0 };
    JsonWriter out = JSON_WRITER(&merged);
    JsonDoc given_doc;
    YamlDoc yaml;
    Str text;
    int r;

    *ret_config = *flags;
    ret_config->programs = (ProgramTable){ .handlers = handlers_table,
                                           .n_handlers = handlers_count };
    if (flags->handlers.value)
        return fail(-ERR_USAGE, "--handlers: programs are declared in the file of --config");
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
    r = schema_decode_text(arena, &engine_config_schema, arena_copy(arena, buf_str(&merged)),
                           ret_config, NULL);
    if (r < 0)
        return r;
    return programs_read(arena, &yaml, json_find(yaml.json.root, "handlers"), handlers_table,
                         handlers_count, &ret_config->programs);
}

int config_settle(Arena *arena, const EngineConfig *flags, Str given, EngineConfig *ret_config)
{
    int r = read_settings(arena, flags, given, ret_config);

    return r < 0 ? r : digest_settings(arena, ret_config);
}

int config_read_programs(Arena *arena, const char *file, ProgramTable *ret_table)
{
    YamlDoc yaml;
    Str text;
    int r;

    r = read_file(arena, str_from_c(file), &text);
    if (r == 0)
        r = yaml_parse(arena, text, file, &yaml);
    return r < 0 ? r
                 : programs_read(arena, &yaml, json_find(yaml.json.root, "handlers"),
                                 handlers_table, handlers_count, ret_table);
}
