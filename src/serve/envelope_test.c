/*
 * The job envelope: what is taken, what is refused with which words, what comes back unchanged.
 */
#include "serve/envelope.h"

#include "base/limits.h"
#include "base/test.h"
#include "codec/time_text.h"
#include "serve/serve_int.h"

#define NOW_MS INT64_C(1795230000000) /* 2026-11-21T03:00:00Z */

/* ---- a handler whose schema counts ----------------------------------------------------------- */

typedef struct SizedArgs {
    int64_t rounds;
} SizedArgs;

static const SchemaField sized_fields[] = {
    FIELD_INT(SizedArgs, rounds, "how often", .is_required = true, .range = RANGE(1, 10)),
};
static const Schema sized_args = SCHEMA(SizedArgs, sized_fields, "Arguments of sized.");
static const Handler sized = { .type = "sized", .summary = "Sized.", .args = &sized_args };
static const Handler *const handlers[] = { &sized };
static const Serve serve = { .opts = { .handlers = handlers, .n_handlers = 1 } };

/* ---- reading --------------------------------------------------------------------------------- */

static int parse_at(Arena *arena, const char *at, Str text, JobSpec *ret_spec,
                    const char **ret_field)
{
    JsonDoc *doc = arena_new(arena, JsonDoc);
    EnvelopeIn in = { .serve = &serve, .doc = doc, .now_ms = NOW_MS, .at = at };
    int r;

    r = json_parse(arena, text, doc);
    if (r < 0)
        return wrap(r, "the test's own JSON");
    in.value = doc->root;
    r = envelope_parse(arena, &in, ret_spec);
    *ret_field = in.field;
    return r;
}

static JobSpec parse(Arena *arena, const char *text)
{
    const char *field;
    JobSpec spec = { 0 };

    EXPECT_OK(parse_at(arena, "", str_from_c(text), &spec, &field));
    return spec;
}

typedef struct Bad {
    const char *text;
    int r;
    const char *words;
    const char *field;
} Bad;

/* The job's members around one under test. */
#define JOB(members)   "{\"type\":\"a\",\"args\":[]," members "}"
#define OPT(members)   JOB("\"options\":{" members "}")
#define RETRY(members) OPT("\"retry\":{" members "}")

static const Bad bad[] = {
    { "[]", -ERR_INVALID, "job: must be an object, got array", NULL },
    { "{\"args\":[]}", -ERR_INVALID, "type: is required", "type" },
    { "{\"type\":\"a\"}", -ERR_INVALID, "args: is required", "args" },
    { "{\"type\":7,\"args\":[]}", -ERR_INVALID, "type: must be a string, got number", "type" },
    { "{\"type\":\"\",\"args\":[]}", -ERR_INVALID, "type: must be lower-case", "type" },
    { "{\"type\":\"A\",\"args\":[]}", -ERR_INVALID, "got \"A\"", "type" },
    { "{\"type\":\"a b\",\"args\":[]}", -ERR_INVALID, "type: must be", "type" },
    { "{\"type\":\"1a\",\"args\":[]}", -ERR_INVALID, "type: must be", "type" },
    { "{\"type\":\"a.1\",\"args\":[]}", -ERR_INVALID, "type: must be", "type" },
    { "{\"type\":\"a@b\",\"args\":[]}", -ERR_INVALID, "type: must be", "type" },
    { "{\"type\":\"a!\",\"args\":[]}", -ERR_INVALID, "type: must be", "type" },
    { "{\"type\":\".a\",\"args\":[]}", -ERR_INVALID, "type: must be", "type" },
    { "{\"type\":\"a.\",\"args\":[]}", -ERR_INVALID, "type: must be", "type" },
    { "{\"type\":\"a..b\",\"args\":[]}", -ERR_INVALID, "type: must be", "type" },
    { "{\"type\":\"-a\",\"args\":[]}", -ERR_INVALID, "type: must be", "type" },
    { "{\"type\":\"a\\u0000\",\"args\":[]}", -ERR_INVALID, "type: must be", "type" },
    { "{\"type\":null,\"args\":[]}", -ERR_INVALID, "type: must be a string, got null", "type" },
    { "{\"type\":\"a\",\"args\":{}}", -ERR_INVALID, "args: must be an array, got object", "args" },
    { "{\"type\":\"a\",\"args\":\"x\"}", -ERR_INVALID, "args: must be an array, got string",
      "args" },
    { "{\"type\":\"a\",\"args\":1}", -ERR_INVALID, "args: must be an array, got number", "args" },
    { "{\"type\":\"a\",\"args\":true}", -ERR_INVALID, "args: must be an array, got boolean",
      "args" },
    { "{\"type\":\"a\",\"args\":null}", -ERR_INVALID, "args: must be an array, got null", "args" },
    { JOB("\"id\":7"), -ERR_INVALID, "id: must be a string", "id" },
    { JOB("\"id\":\"\""), -ERR_INVALID, "id: must be a UUID version 7", "id" },
    { JOB("\"id\":\"01a1fc57-b35c-40a5-926b-5c2c90f975ad\""), -ERR_INVALID, "version 7", "id" },
    { JOB("\"id\":\"01A1FC57-b35c-70a5-926b-5c2c90f975ad\""), -ERR_INVALID, "lower case", "id" },
    { JOB("\"id\":\"01a1fc57-b35c-70a5-c26b-5c2c90f975ad\""), -ERR_INVALID, "id: must", "id" },
    { JOB("\"id\":\"01a1fc57-b35c-70a5-926b-5c2c90f975adx\""), -ERR_INVALID, "id: must", "id" },
    { JOB("\"meta\":[]"), -ERR_INVALID, "meta: must be an object, got array", "meta" },
    { JOB("\"schema\":7"), -ERR_INVALID, "schema: must be a string, got number", "schema" },
    { JOB("\"options\":[]"), -ERR_INVALID, "options: must be an object, got array", "options" },
    { JOB("\"timeout\":-1"), -ERR_INVALID, "timeout: must be a number of seconds", "timeout" },
    { JOB("\"visibility_timeout\":\"x\""), -ERR_INVALID, "number of seconds",
      "visibility_timeout" },
    { OPT("\"queue\":7"), -ERR_INVALID, "queue: must be a string, got number", "queue" },
    { OPT("\"queue\":\"\""), -ERR_INVALID, "queue: must be", "queue" },
    { OPT("\"queue\":\"Default\""), -ERR_INVALID, "got \"Default\"", "queue" },
    { OPT("\"queue\":\"my_queue!\""), -ERR_INVALID, "queue: must be", "queue" },
    { OPT("\"queue\":\"-x\""), -ERR_INVALID, "queue: must be", "queue" },
    { OPT("\"queue\":\"my queue\""), -ERR_INVALID, "queue: must be", "queue" },
    { OPT("\"priority\":101"), -ERR_INVALID, "priority: must be between -100 and 100, got 101",
      "priority" },
    { OPT("\"priority\":-101"), -ERR_INVALID, "got -101", "priority" },
    { OPT("\"priority\":1.5"), -ERR_INVALID, "priority: must be an integer", "priority" },
    { OPT("\"priority\":\"1\""), -ERR_INVALID, "must be an integer, got string", "priority" },
    { OPT("\"delay_until\":7"), -ERR_INVALID, "delay_until: must be a time", "delay_until" },
    { OPT("\"delay_until\":\"2026-11-21T03:15:00\""), -ERR_INVALID, "with a zone", "delay_until" },
    { OPT("\"delay_until\":\"soon\""), -ERR_INVALID, "got \"soon\"", "delay_until" },
    { OPT("\"delay_until\":\"\""), -ERR_INVALID, "with a zone", "delay_until" },
    { OPT("\"scheduled_at\":\"PT2S\""), -ERR_INVALID, "with a zone", "scheduled_at" },
    { OPT("\"scheduled_at\":\"+P1Y\""), -ERR_INVALID, "scheduled_at: must", "scheduled_at" },
    { OPT("\"scheduled_at\":\"+P1M\""), -ERR_INVALID, "scheduled_at: must", "scheduled_at" },
    { OPT("\"scheduled_at\":\"+PT\""), -ERR_INVALID, "scheduled_at: must", "scheduled_at" },
    { OPT("\"scheduled_at\":\"+P\""), -ERR_INVALID, "scheduled_at: must", "scheduled_at" },
    { OPT("\"scheduled_at\":\"+-PT1S\""), -ERR_INVALID, "scheduled_at: must", "scheduled_at" },
    { OPT("\"expires_at\":\"never\""), -ERR_INVALID, "expires_at: must be a time", "expires_at" },
    { OPT("\"timeout_ms\":-1"), -ERR_INVALID, "timeout_ms: must be a number of milliseconds",
      "timeout_ms" },
    { OPT("\"timeout_ms\":1.5"), -ERR_INVALID, "timeout_ms: must be", "timeout_ms" },
    { OPT("\"timeout_ms\":99999999999999999"), -ERR_INVALID, "timeout_ms: must", "timeout_ms" },
    { OPT("\"visibility_timeout_ms\":\"x\""), -ERR_INVALID, "must be a number",
      "visibility_timeout_ms" },
    { OPT("\"visibility_timeout_ms\":86400001"), -ERR_INVALID, "at most 86400000",
      "visibility_timeout_ms" },
    { OPT("\"pending\":1"), -ERR_INVALID, "pending: must be true or false, got number", "pending" },
    { OPT("\"unique\":7"), -ERR_INVALID, "unique: must be an object", "unique" },
    { OPT("\"tags\":\"x\""), -ERR_INVALID, "tags: must be an array of strings, got string",
      "tags" },
    { OPT("\"tags\":[\"a\",7]"), -ERR_INVALID, "element 1 is number", "tags" },
    { OPT("\"metadata\":[]"), -ERR_INVALID, "metadata: must be an object", "metadata" },
    { OPT("\"retry\":7"), -ERR_RETRY_POLICY, "retry: must be an object", "retry" },
    { RETRY("\"max_attempts\":-1"), -ERR_RETRY_POLICY, "max_attempts: must be an integer between 0",
      "max_attempts" },
    { RETRY("\"max_attempts\":\"3\""), -ERR_RETRY_POLICY, "max_attempts", "max_attempts" },
    { RETRY("\"max_attempts\":1.5"), -ERR_RETRY_POLICY, "max_attempts", "max_attempts" },
    { RETRY("\"max_attempts\":10001"), -ERR_RETRY_POLICY, "max_attempts", "max_attempts" },
    { RETRY("\"initial_interval\":\"1S\""), -ERR_RETRY_POLICY,
      "initial_interval: must be a duration", "initial_interval" },
    { RETRY("\"initial_interval\":\"PT0S\""), -ERR_RETRY_POLICY, "above zero", "initial_interval" },
    { RETRY("\"initial_interval\":7"), -ERR_RETRY_POLICY, "initial_interval", "initial_interval" },
    { RETRY("\"initial_interval_ms\":0"), -ERR_RETRY_POLICY, "above zero", "initial_interval_ms" },
    { RETRY("\"max_interval\":\"\""), -ERR_RETRY_POLICY, "max_interval", "max_interval" },
    { RETRY("\"max_interval\":\"PT0.5S\""), -ERR_RETRY_POLICY,
      "not be shorter than initial_interval", "max_interval" },
    { RETRY("\"max_interval_ms\":500"), -ERR_RETRY_POLICY, "not be shorter", "max_interval" },
    { RETRY("\"backoff_coefficient\":0.5"), -ERR_RETRY_POLICY,
      "backoff_coefficient: must be a number", "backoff_coefficient" },
    { RETRY("\"backoff_coefficient\":\"2\""), -ERR_RETRY_POLICY, "backoff_coefficient",
      "backoff_coefficient" },
    { RETRY("\"jitter\":\"yes\""), -ERR_RETRY_POLICY, "jitter: must be true or false", "jitter" },
    { RETRY("\"non_retryable_errors\":\"x\""), -ERR_RETRY_POLICY, "must be an array",
      "non_retryable_errors" },
    { RETRY("\"non_retryable_errors\":[1]"), -ERR_RETRY_POLICY, "element 0 is number",
      "non_retryable_errors" },
    { RETRY("\"on_exhaustion\":\"explode\""), -ERR_RETRY_POLICY, "\"discard\" or \"dead_letter\"",
      "on_exhaustion" },
    { RETRY("\"backoff_strategy\":\"quadratic\""), -ERR_RETRY_POLICY, "got \"quadratic\"",
      "backoff_strategy" },
    { "{\"type\":\"sized\",\"args\":[{\"rounds\":11}]}", -ERR_SCHEMA,
      "args[0].rounds: must be between 1 and 10, got 11", "args" },
    { "{\"type\":\"sized\",\"args\":[]}", -ERR_SCHEMA, "args[0]", "args" },
    { "{\"type\":\"sized\",\"args\":[{\"rounds\":1},2]}", -ERR_SCHEMA, "one object, got 2",
      "args" },
};

/* Would catch a job that is taken although it is wrong, and words that do not say what is. */
TEST(wrong_jobs_are_refused_with_words)
{
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        const char *field = "";
        JobSpec spec;
        int r;

        arena_init(&arena, 0);
        r = parse_at(&arena, "", str_from_c(bad[i].text), &spec, &field);
        if (r != bad[i].r || !strstr(err_text(r), bad[i].words) ||
            !str_eq_c(str_from_c(field ? field : "-"), bad[i].field ? bad[i].field : "-"))
            test_fail(__FILE__, __LINE__, "%s: got %d \"%s\" (%s)", bad[i].text, r,
                      r < 0 ? err_text(r) : "", field ? field : "no field");
    }
}

/* Would catch a batch's complaint that does not say which job. */
TEST(the_place_in_a_batch_is_named)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    const char *field;
    JobSpec spec;

    arena_init(&arena, 0);
    EXPECT_ERR(parse_at(&arena, "jobs[3].", STR_C("{\"args\":[]}"), &spec, &field), -ERR_INVALID,
               "jobs[3].type: is required");
    EXPECT_ERR(
        parse_at(&arena, "jobs[3].", STR_C("{\"type\":\"sized\",\"args\":[{}]}"), &spec, &field),
        -ERR_SCHEMA, "jobs[3].args[0].rounds");
}

/* Would catch a limit on meta that is not kept. */
TEST(meta_has_a_limit)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };
    const char *field;
    JobSpec spec;

    arena_init(&arena, 0);
    buf_add_c(&text, "{\"type\":\"a\",\"args\":[],\"meta\":{\"m\":\"");
    for (size_t i = 0; i < LIMIT_JOB_META_BYTES; i++)
        buf_add_char(&text, 'm');
    buf_add_c(&text, "\"}}");
    EXPECT_ERR(parse_at(&arena, "", buf_str(&text), &spec, &field), -ERR_TOO_LARGE,
               "meta: must be at most");
}

/* Would catch names that the cases use and we refuse. */
TEST(good_names_are_taken)
{
    static const char *const types[] = { "a", "email.send", "retry.test.attempt-counter",
                                         "a1_b.c-d2" };
    static const char *const queues[] = { "default", "0", "a.b-c", "9lives" };

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        JobSpec spec;

        arena_init(&arena, 0);
        spec = parse(&arena, arena_printf(&arena, "{\"type\":\"%s\",\"args\":[],\"queue\":\"%s\"}",
                                          types[i], queues[i])
                                 .data);
        EXPECT_STR(spec.type, str_from_c(types[i]));
        EXPECT_STR(spec.queue, str_from_c(queues[i]));
    }
}

/* Would catch a payload that is not kept as it came. */
TEST(payloads_are_kept_byte_for_byte)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JobSpec spec;

    arena_init(&arena, 0);
    spec = parse(&arena,
                 "{ \"args\" : [42, 3.140, 1e2,null,{\"z\":1 ,\"a\":12345678901234567890123}], "
                 "\"type\":\"a\",\"meta\":{ \"k\":1.0 },\"x_one\": [1.0, 2] ,\"schema\":\"s\","
                 "\"options\":{\"x_two\":0.10,\"tags\":[\"t\"],\"unique\":{\"keys\":[\"a\"]}}}");
    EXPECT_STR(spec.args, STR_C("[42, 3.140, 1e2,null,{\"z\":1 ,\"a\":12345678901234567890123}]"));
    EXPECT_STR(spec.meta, STR_C("{ \"k\":1.0 }"));
    EXPECT_STR(spec.extra, STR_C("\"x_one\":[1.0, 2],\"schema\":\"s\",\"tags\":[\"t\"],"
                                 "\"unique\":{\"keys\":[\"a\"]},\"options\":{\"x_two\":0.10}"));
}

/* Would catch system fields that a client may set, or that come back from what it sent. */
TEST(system_fields_are_dropped)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JobSpec spec;

    arena_init(&arena, 0);
    spec = parse(
        &arena,
        JOB("\"state\":\"completed\",\"attempt\":9,\"created_at\":1,\"enqueued_at\":1,\"started_at\":1,"
            "\"completed_at\":1,\"cancelled_at\":1,\"discarded_at\":1,\"next_attempt_at\":1,"
            "\"next_retry_at\":1,\"retry_delay_ms\":1,\"lease_token\":1,\"error\":{},\"errors\":[],"
            "\"result\":1,\"max_attempts\":7,\"specversion\":\"1.0\",\"lost\":9,\"reason\":\"x\","
            "\"lease_expires_at\":1,\"previous_state\":\"x\",\"activated_at\":1,\"re_enqueued_at\":1"));
    EXPECT_EQ(spec.extra.len, 0);
}

/* Would catch a form of the request that is not read, and options that lose against the top. */
TEST(both_forms_are_read_and_options_win)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JobSpec spec;

    arena_init(&arena, 0);
    spec = parse(
        &arena,
        JOB("\"queue\":\"top\",\"priority\":-100,\"timeout\":2,\"visibility_timeout\":3,"
            "\"scheduled_at\":\"+PT2S\",\"expires_at\":\"+PT1M\",\"retry\":{\"max_attempts\":0}"));
    EXPECT_STR(spec.queue, STR_C("top"));
    EXPECT_EQ(spec.priority, -100);
    EXPECT_EQ(spec.timeout_ms, 2000);
    EXPECT_EQ(spec.lease_ms, 3000);
    EXPECT_EQ(spec.run_at_ms, NOW_MS + 2000);
    EXPECT_EQ(spec.expires_at_ms, NOW_MS + 60000);
    EXPECT_EQ(spec.retry->max_attempts, 0);

    spec = parse(
        &arena,
        "{\"options\":{\"queue\":\"in\",\"priority\":100,\"timeout_ms\":5,\"pending\":true},"
        "\"type\":\"a\",\"args\":[],\"queue\":\"top\",\"priority\":1,\"timeout\":9}");
    EXPECT_STR(spec.queue, STR_C("in"));
    EXPECT_EQ(spec.priority, 100);
    EXPECT_EQ(spec.timeout_ms, 5);
    EXPECT(spec.is_pending);

    spec = parse(&arena, JOB("\"meta\":null,\"schema\":null,\"options\":null"));
    EXPECT_EQ(spec.meta.len, 0);
    spec = parse(&arena, "{\"type\":\"a\",\"type\":\"b\",\"args\":[1],\"args\":[2]}");
    EXPECT_STR(spec.type, STR_C("b"));
    EXPECT_STR(spec.args, STR_C("[2]"));
}

/* Would catch times that are off. */
TEST(times_are_read)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        { "2026-11-21T03:00:01Z", NOW_MS + 1000 },
        { "2026-11-21T04:00:01.250+01:00", NOW_MS + 1250 },
        { "2020-01-01T00:00:00Z", INT64_C(1577836800000) },
        { "+PT0.5S", NOW_MS + 500 },
        { "+P1DT1H", NOW_MS + 25 * 3600000 },
        { "+P2W", NOW_MS + INT64_C(14) * 86400000 },
        { "+PT0S", NOW_MS },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        JobSpec spec;

        arena_init(&arena, 0);
        spec = parse(&arena,
                     arena_printf(&arena, OPT("\"delay_until\":\"%s\""), rows[i].text).data);
        EXPECT_EQ(spec.run_at_ms, rows[i].ms);
    }
}

/*
 * Would catch a policy that does not start from the standard one, or is refused where it need not.
 */
TEST(retry_policies_are_merged)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JobSpec spec;

    arena_init(&arena, 0);
    EXPECT(!parse(&arena, JOB("\"queue\":\"a\"")).retry);
    spec = parse(&arena, RETRY("\"max_attempts\":5,\"jitter\":null"));
    EXPECT_EQ(spec.retry->max_attempts, 5);
    EXPECT_EQ(spec.retry->initial_ms, 1000);
    EXPECT_EQ(spec.retry->max_ms, 300000);
    EXPECT(spec.retry->has_jitter);
    EXPECT_EQ(spec.retry->on_exhaustion, JOB_EXHAUSTION_DISCARD);

    spec = parse(&arena, RETRY("\"initial_interval\":\"PT10M\""));
    EXPECT_EQ(spec.retry->initial_ms, 600000);
    EXPECT_EQ(spec.retry->max_ms, 600000);
    spec = parse(
        &arena,
        RETRY("\"initial_interval_ms\":20,\"max_interval_ms\":40,\"backoff\":\"linear\","
              "\"backoff_coefficient\":1,\"jitter\":false,\"on_exhaustion\":\"dead_letter\","
              "\"non_retryable_errors\":[\"auth.*\",\"x\"],\"unheard_of\":1"));
    EXPECT_EQ(spec.retry->initial_ms, 20);
    EXPECT_EQ(spec.retry->max_ms, 40);
    EXPECT_EQ(spec.retry->backoff, JOB_BACKOFF_LINEAR);
    EXPECT(!spec.retry->has_jitter);
    EXPECT_EQ(spec.retry->on_exhaustion, JOB_EXHAUSTION_DEAD_LETTER);
    REQUIRE(spec.retry->n_non_retryable == 2);
    EXPECT_STR(spec.retry->non_retryable[0], STR_C("auth.*"));
    for (int i = 0; i < JOB_BACKOFF_COUNT; i++) {
        spec = parse(&arena, arena_printf(&arena, RETRY("\"backoff_strategy\":\"%s\""),
                                          envelope_backoff_names[i])
                                 .data);
        EXPECT_EQ(spec.retry->backoff, i);
    }
}

/* Would catch a directive that workers are to be tried with and that is not found. */
TEST(directives_are_found)
{
    AUTO(arena_deinit) Arena arena = { 0 };

    arena_init(&arena, 0);
    EXPECT_EQ(parse(&arena, OPT("\"metadata\":{\"test_directive\":\"quiet\"}")).directive,
              JOB_DIRECTIVE_QUIET);
    EXPECT_EQ(parse(&arena, JOB("\"meta\":{\"test_directive\":\"terminate\"}")).directive,
              JOB_DIRECTIVE_TERMINATE);
    EXPECT_EQ(parse(&arena, JOB("\"meta\":{\"test_directive\":7}")).directive, JOB_DIRECTIVE_NONE);
}

/* ---- writing --------------------------------------------------------------------------------- */

static Job sample(JobState state)
{
    return (Job){ .id = { { 1, 2, 3, 4, 5, 6, 0x70, 0, 0x80 } },
                  .state = state,
                  .type = STR_C("a"),
                  .queue = STR_C("default"),
                  .args = STR_C("[1.0]"),
                  .max_attempts = 3,
                  .created_ms = NOW_MS,
                  .retry = JOB_RETRY_DEFAULT };
}

static void expect_written(const Job *job, const EnvelopeOut *out, const char *text)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf buf = { 0 };
    JsonWriter writer = JSON_WRITER(&buf);
    JsonDoc doc;

    arena_init(&arena, 0);
    envelope_write(&writer, job, out);
    EXPECT_STR(buf_str(&buf), str_from_c(text));
    EXPECT_OK(json_parse(&arena, buf_str(&buf), &doc));
}

#define HEAD(state)                                                                            \
    "{\"specversion\":\"1.0\",\"id\":\"01020304-0506-7000-8000-000000000000\",\"type\":\"a\"," \
    "\"queue\":\"default\",\"args\":[1.0],\"priority\":0,\"state\":\"" state "\","
#define FIRST \
    HEAD("available") "\"attempt\":0,\"max_attempts\":3,\"created_at\":\"2026-11-21T03:00:00.000Z\""

/* Would catch members that stand there without meaning anything, and zeros that are left out. */
TEST(a_fresh_job_has_what_it_has)
{
    Job job = sample(JOB_AVAILABLE);

    expect_written(&job, NULL, FIRST "}");
    job.extra = STR_C("\"x\":1.0,\"tags\":[]");
    job.meta = STR_C("{}");
    job.fence = 7;
    job.enqueued_ms = NOW_MS + 5;
    expect_written(
        &job, &(EnvelopeOut){ .has_lease_token = true, .previous_state = "pending" },
        "{\"specversion\":\"1.0\",\"id\":\"01020304-0506-7000-8000-000000000000\",\"type\":\"a\","
        "\"queue\":\"default\",\"args\":[1.0],\"meta\":{},\"priority\":0,\"state\":\"available\","
        "\"attempt\":0,\"max_attempts\":3,\"created_at\":\"2026-11-21T03:00:00.000Z\","
        "\"enqueued_at\":\"2026-11-21T03:00:00.005Z\",\"lease_token\":7,\"previous_state\":\"pending\","
        "\"x\":1.0,\"tags\":[]}");
}

/* What a job in STATE is written as must, or must not, contain. */
static bool is_in(const Job *job, const char *part)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    JsonWriter writer = JSON_WRITER(&buf);

    envelope_write(&writer, job, NULL);
    return str_contains(buf_str(&buf), str_from_c(part));
}

/* Would catch times in states that must not have them. */
TEST(times_belong_to_states)
{
    static const JobError failure = {
        .type = STR("T"), .code = STR("c"), .message = STR("m"), .attempt = 1, .at_ms = NOW_MS
    };

    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        Job job = sample((JobState) state);

        job.finished_ms = NOW_MS + 1;
        job.next_attempt_ms = NOW_MS + 2;
        job.result = STR_C("{\"r\":1.0}");
        job.errors = &failure;
        job.n_errors = 1;
        EXPECT_EQ(is_in(&job, "\"completed_at\""),
                  state == JOB_COMPLETED || state == JOB_DISCARDED);
        EXPECT_EQ(is_in(&job, "\"discarded_at\""), state == JOB_DISCARDED);
        EXPECT_EQ(is_in(&job, "\"cancelled_at\""), state == JOB_CANCELLED);
        EXPECT_EQ(is_in(&job, "\"next_attempt_at\""), state == JOB_RETRYABLE);
        EXPECT_EQ(is_in(&job, "\"next_retry_at\""), state == JOB_RETRYABLE);
        EXPECT_EQ(is_in(&job, "\"result\":{\"r\":1.0}"), state == JOB_COMPLETED);
        EXPECT_EQ(is_in(&job, "\"error\":"), state != JOB_COMPLETED);
        EXPECT(is_in(
            &job, "\"errors\":[{\"type\":\"T\",\"code\":\"c\",\"message\":\"m\",\"retryable\":true,"
                  "\"attempt\":1,\"occurred_at\":\"2026-11-21T03:00:00.000Z\"}]"));
    }
    {
        Job expired = sample(JOB_DISCARDED);

        expired.reason = JOB_REASON_EXPIRED;
        expired.finished_ms = NOW_MS;
        EXPECT(!is_in(&expired, "\"completed_at\""));
        EXPECT(is_in(&expired, "\"reason\":\"expired\""));
    }
}

/* Would catch a time that is given back other than it was written, and a null result. */
TEST(given_values_come_back)
{
    Job job = sample(JOB_COMPLETED);

    job.expires_at_ms = NOW_MS;
    job.run_at_ms = NOW_MS + 250;
    job.result = STR_C("null");
    job.retry.max_attempts = 5;
    EXPECT(is_in(&job, "\"expires_at\":\"2026-11-21T03:00:00Z\""));
    EXPECT(is_in(&job, "\"scheduled_at\":\"2026-11-21T03:00:00.250Z\""));
    EXPECT(!is_in(&job, "\"result\""));
    EXPECT(is_in(
        &job,
        "\"retry\":{\"max_attempts\":5,\"initial_interval\":\"PT1S\",\"backoff_coefficient\":2"));
}

TEST_MAIN()
