/*
 * The runner: arguments bound or refused, where handlers run, time-outs, cancellation, progress.
 *
 * Runs on the loop of this machine and on epoll; what needs time to pass also on the simulated one.
 */
#include "worker/runner.h"

#include "base/limits.h"
#include "base/test.h"
#include "base/text.h"

#include <sluice/rt.h>

#include <errno.h>
#include <math.h>
#include <stdatomic.h>

/* ---- handlers -------------------------------------------------------------------------------- */

typedef struct AddArgs {
    int64_t a;
    int64_t b;
} AddArgs;

static const SchemaField add_fields[] = {
    FIELD_INT(AddArgs, a, "one", .is_required = true, .range = RANGE(-100, 100)),
    FIELD_INT(AddArgs, b, "the other", .range = RANGE(-100, 100), .default_text = "40"),
};
static const Schema add_schema = SCHEMA(AddArgs, add_fields, "Arguments of add.");

static int add_run(Task *task, const void *args, JsonWriter *result)
{
    const AddArgs *add = args;

    EXPECT_EQ(task->attempt, 1);
    json_write_i64(result, add->a + add->b);
    return 0;
}

static const Handler add = {
    .type = "add", .summary = "Adds.", .args = &add_schema, .run = add_run
};
static const Handler add_on_pool = {
    .type = "add", .summary = "Adds.", .args = &add_schema, .cost = HANDLER_BURNS, .run = add_run
};

static int echo_run(Task *task, const void *args, JsonWriter *result)
{
    const SchemaJson *given = args;

    EXPECT_EQ(task->max_attempts, 1);
    json_write_raw(result, given->raw);
    return 0;
}

static const Handler echo = { .type = "echo", .summary = "Echoes.", .run = echo_run };

/* Says more than a log takes. */
static int talk_run(Task *task, const void *args, JsonWriter *result)
{
    char line[1024];

    (void) args;
    (void) memset(line, 'x', sizeof(line));
    for (size_t i = 0; i < 2 * LIMIT_JOB_LOG_BYTES / sizeof(line); i++)
        task_log(task, str_from(line, sizeof(line)));
    json_write_null(result);
    return 0;
}

static const Handler talk = { .type = "talk", .summary = "Talks.", .run = talk_run };

/* What the handlers below do, and what they saw. */
typedef struct Script {
    int r;            /* what to return */
    const char *code; /* of task_fail; NULL: return r */
    size_t writes;    /* bytes of a string result */
    bool waits;       /* until it is cancelled */
    bool ignores;     /* returns 0 after that */
    sl_event *open;   /* wait for this */
    atomic_bool has_begun;
    bool was_cancelled;
} Script;

static Script script;

static int act(Task *task, JsonWriter *result)
{
    AUTO(buf_deinit) Buf text = { 0 };

    for (size_t i = 0; i < script.writes; i++)
        buf_add_char(&text, 'x');
    if (script.writes)
        json_write_str(result, buf_str(&text));
    if (script.code)
        return task_fail(task, script.code, "said %d", 7);
    return script.r < 0 ? fail(script.r, "as told") : script.r;
}

SUSPENDS static int scripted_wait(Task *task, const void *args, JsonWriter *result)
{
    (void) args;
    atomic_store(&script.has_begun, true);
    if (script.waits) {
        int r = sl_sleep_forever();

        script.was_cancelled = task_is_cancelled(task);
        return script.ignores ? 0 : r;
    }
    if (script.open && sl_event_wait(script.open) < 0)
        return -ECANCELED;
    return act(task, result);
}

static int scripted_burn(Task *task, const void *args, JsonWriter *result)
{
    (void) args;
    task_progress(task, 0.25, STR_C("a quarter"));
    atomic_store(&script.has_begun, true);
    if (script.waits) {
        while (!task_is_cancelled(task)) {}
        script.was_cancelled = true;
        return script.ignores ? 0 : fail(-ECANCELED, "stopped");
    }
    return act(task, result);
}

static const Handler waits = { .type = "waits", .summary = "Waits.", .run = scripted_wait };
static const Handler burns = {
    .type = "burns", .summary = "Burns.", .cost = HANDLER_BURNS, .run = scripted_burn
};
static const Handler hasty = {
    .type = "hasty", .summary = "Waits.", .timeout_ms = 20, .run = scripted_wait
};

/* ---- running --------------------------------------------------------------------------------- */

static void on_loops(sl_fn fn, bool with_sim)
{
    EXPECT_OK(sl_run(fn, NULL, .stall_ms = -1));
    EXPECT_OK(sl_run(fn, NULL, .loop = SL_LOOP_EPOLL, .stall_ms = -1));
    if (with_sim)
        EXPECT_OK(sl_run(fn, NULL, .loop = SL_LOOP_SIM));
}

#define RUNNER_TEST(name, with_sim)        \
    static int name##_main(void *arg);     \
    TEST(name)                             \
    {                                      \
        script = (Script){ 0 };            \
        on_loops(name##_main, (with_sim)); \
    }                                      \
    static int name##_main(void *arg UNUSED)

/* Run HANDLER with ARGS and expect the result TEXT. */
SUSPENDS static void expect_result(const Handler *handler, const char *args, bool is_direct,
                                   const char *text)
{
    AUTO(runner_deinit)
    Run run = { .handler = handler, .args = str_from_c(args), .is_direct = is_direct };

    EXPECT_OK(runner_run(&run));
    EXPECT_STR(buf_str(&run.result), str_from_c(text));
}

SUSPENDS static void expect_failure(const Handler *handler, const char *args, bool is_direct, int r,
                                    const char *words, const char *code, bool is_final)
{
    AUTO(runner_deinit)
    Run run = { .handler = handler, .args = str_from_c(args), .is_direct = is_direct };

    EXPECT_ERR(runner_run(&run), r, words);
    EXPECT_C(run.code, code);
    EXPECT_EQ(run.is_final, is_final);
}

static void count_bytes(void *ctx, Str line)
{
    *(size_t *) ctx += line.len;
}

/* Would catch a program that fills the engine's log. A person in front of it sees all. */
RUNNER_TEST(a_log_has_a_limit, true)
{
    size_t said = 0;
    RunDoors doors = { .ctx = &said, .log = count_bytes };
    Run run = { .handler = &talk, .args = STR("[]"), .doors = &doors };

    EXPECT_OK(runner_run(&run));
    EXPECT(said <= LIMIT_JOB_LOG_BYTES && said > LIMIT_JOB_LOG_BYTES / 2);
    runner_deinit(&run);
    said = 0;
    doors.is_foreground = true;
    EXPECT_OK(runner_run(&run));
    EXPECT_EQ(said, (size_t) 2 * LIMIT_JOB_LOG_BYTES);
    runner_deinit(&run);
    return 0;
}

/* Would catch arguments that are not bound, defaults left out, and a pool that loses the result. */
RUNNER_TEST(arguments_become_a_struct, true)
{
    expect_result(&add, "[{\"a\":2,\"b\":3}]", false, "5");
    expect_result(&add, "[{\"a\":2}]", false, "42");
    expect_result(&add, "{\"a\":2}", true, "42");
    expect_result(&add_on_pool, "[{\"a\":-2,\"b\":-3}]", false, "-5");
    return 0;
}

/* Would catch a complaint that does not say which argument is wrong, or one that is tried again. */
RUNNER_TEST(wrong_arguments_are_pointed_at, true)
{
    expect_failure(&add, "[{\"a\":101}]", false, -ERR_INVALID,
                   "args[0].a: must be between -100 and 100", "schema_validation", true);
    expect_failure(&add, "[{\"b\":1}]", false, -ERR_INVALID, "args[0].a", "schema_validation",
                   true);
    expect_failure(&add, "[]", false, -ERR_INVALID, "args[0]", "schema_validation", true);
    expect_failure(&add, "", false, -ERR_INVALID, "args[0]", "schema_validation", true);
    expect_failure(&add, "[{\"a\":1},{\"a\":2}]", false, -ERR_INVALID, "one object, got 2",
                   "schema_validation", true);
    expect_failure(&add, "[{\"a\":1,\"c\":2}]", false, -ERR_INVALID, "c", "schema_validation",
                   true);
    expect_failure(&add, "[7]", false, -ERR_INVALID, "args[0]", "schema_validation", true);
    expect_failure(&add, "{\"a\":101}", true, -ERR_INVALID, "a: must be", "schema_validation",
                   true);
    expect_failure(&add, "{", true, -ERR_INVALID, "args: line 1", "schema_validation", true);
    return 0;
}

/* Would catch a payload that is parsed and printed again. */
RUNNER_TEST(json_passes_byte_for_byte, true)
{
    static const char odd[] = "[ 1.0, 12345678901234567890123, {\"b\":1e2 , \"a\":\"\\u00e9\"} ]";

    expect_result(&echo, odd, false, odd);
    expect_result(&echo, "{\"z\":1.50}", true, "{\"z\":1.50}");
    expect_result(&echo, "", false, "[]");
    expect_result(&echo, "", true, "{}");
    return 0;
}

/*
 * Would catch a result that is lost, an outcome taken for success, and failures without their name.
 */
RUNNER_TEST(what_a_handler_returns_is_told, true)
{
    const Handler *both[] = { &waits, &burns };

    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        script = (Script){ 0 };
        expect_result(both[i], "", false, "");
        script.writes = 3;
        expect_result(both[i], "", false, "\"xxx\"");
        script = (Script){ .r = 3 };
        expect_failure(both[i], "", false, -ERR_HANDLER, "an outcome (3)", "handler_error", false);
        script = (Script){ .r = -ERR_NETWORK };
        expect_failure(both[i], "", false, -ERR_NETWORK, "as told", "handler_error", false);
        script = (Script){ .code = "no_such_page" };
        expect_failure(both[i], "", false, -ERR_HANDLER, "said 7", "no_such_page", true);
        script = (Script){ .r = -ETIMEDOUT };
        expect_failure(both[i], "", false, -ETIMEDOUT, "as told", "timeout", false);
    }
    return 0;
}

/* Would catch a result that grows without bound. */
RUNNER_TEST(a_result_has_a_limit, false)
{
    script = (Script){ .writes = LIMIT_JOB_RESULT_BYTES };
    expect_failure(&burns, "", false, -ERR_TOO_LARGE, "", "handler_error", false);
    return 0;
}

/* Would catch a time-out that is not kept, on a fiber and on the pool, and one that counts although
 * the handler came through. */
RUNNER_TEST(time_runs_out, false)
{
    AUTO(runner_deinit) Run run = { .handler = &waits, .timeout_ms = 10 };

    script = (Script){ .waits = true };
    EXPECT_ERR(runner_run(&run), -ETIMEDOUT, "timed out after 10 ms");
    EXPECT_C(run.code, "timeout");
    EXPECT(!run.is_final);
    EXPECT(script.was_cancelled);
    EXPECT(run.ran_ns > 0); /* no more exact: a deadline counts from the turn of the loop */

    runner_reset(&run);
    run.handler = &burns;
    script = (Script){ .waits = true };
    EXPECT_ERR(runner_run(&run), -ETIMEDOUT, "timed out after 10 ms");
    EXPECT(script.was_cancelled);

    runner_reset(&run);
    script = (Script){ .waits = true, .ignores = true };
    EXPECT_OK(runner_run(&run));

    runner_reset(&run);
    run.handler = &hasty;
    run.timeout_ms = 0;
    script = (Script){ .waits = true };
    EXPECT_ERR(runner_run(&run), -ETIMEDOUT, "timed out after 20 ms");
    return 0;
}

typedef struct Bystander {
    Run run;
    sl_scope scope;
    int r;
} Bystander;

SUSPENDS static int run_in_scope(void *arg)
{
    Bystander *bystander = arg;

    sl_scope_begin(&bystander->scope);
    bystander->r = runner_run(&bystander->run);
    (void) sl_scope_end(&bystander->scope, 0);
    return 0;
}

/* Run HANDLER in a fiber, cancel it once it has begun. */
SUSPENDS static void cancel_one(const Handler *handler)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Bystander bystander = { .run = { .handler = handler } };

    script = (Script){ .waits = true };
    (void) sl_spawn(nursery, run_in_scope, &bystander);
    while (!atomic_load(&script.has_begun))
        EXPECT_OK(sl_yield());
    sl_scope_cancel(&bystander.scope);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(bystander.r, -ECANCELED);
    EXPECT_C(bystander.run.code, "cancelled");
    EXPECT(script.was_cancelled);
    runner_deinit(&bystander.run);
}

/* Would catch a cancellation that reaches neither a fiber nor a thread. */
RUNNER_TEST(cancellation_reaches_the_handler, false)
{
    cancel_one(&waits);
    cancel_one(&burns);
    return 0;
}

/* Would catch progress that does not cross threads, torn texts and a fraction that is none. */
RUNNER_TEST(progress_is_seen_while_it_runs, false)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    Bystander bystander = { .run = { .handler = &burns } };
    RunProgress progress;

    EXPECT(!runner_progress(&bystander.run, &progress));
    script = (Script){ .waits = true };
    (void) sl_spawn(nursery, run_in_scope, &bystander);
    while (!runner_progress(&bystander.run, &progress))
        EXPECT_OK(sl_yield());
    EXPECT(progress.fraction == 0.25);
    EXPECT_C(progress.message, "a quarter");
    sl_scope_cancel(&bystander.scope);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT(runner_progress(&bystander.run, &progress));
    runner_deinit(&bystander.run);
    return 0;
}

static int odd_progress(Task *task, const void *args, JsonWriter *result)
{
    char longer[300];

    (void) args;
    memset(longer, 'm', sizeof(longer));
    task_progress(task, NAN, str_from(longer, sizeof(longer)));
    json_write_null(result);
    return 0;
}

/* Would catch a message written past its end. */
RUNNER_TEST(progress_is_bounded, true)
{
    static const Handler odd = { .type = "odd", .summary = "Odd.", .run = odd_progress };
    AUTO(runner_deinit) Run run = { .handler = &odd };
    RunProgress progress;

    EXPECT_OK(runner_run(&run));
    EXPECT(runner_progress(&run, &progress));
    EXPECT(progress.fraction == 0);
    EXPECT_EQ(strlen(progress.message), RUNNER_PROGRESS_MESSAGE);
    return 0;
}

static int cut_progress(Task *task, const void *args, JsonWriter *result)
{
    char longer[2 * RUNNER_PROGRESS_MESSAGE + 1];

    (void) args;
    (void) result;
    longer[0] = 'x'; /* so that the end falls into a character */
    for (size_t i = 1; i < sizeof(longer); i++)
        longer[i] = i % 2 ? '\xc3' : '\xa9';
    task_progress(task, 0.5, str_from(longer, sizeof(longer)));
    return 0;
}

/* Would catch half a character, which would make invalid JSON of the job that shows it. */
RUNNER_TEST(progress_is_cut_between_characters, true)
{
    static const Handler cut = { .type = "cut", .summary = "Cut.", .run = cut_progress };
    AUTO(runner_deinit) Run run = { .handler = &cut };
    RunProgress progress;

    EXPECT_OK(runner_run(&run));
    EXPECT(runner_progress(&run, &progress));
    EXPECT(str_is_utf8(str_from_c(progress.message)));
    EXPECT_EQ(strlen(progress.message), RUNNER_PROGRESS_MESSAGE - 1);
    return 0;
}

/* Would catch state that survives from one run to the next in the same record. */
RUNNER_TEST(a_run_can_be_used_again, true)
{
    AUTO(runner_deinit) Run run = { .handler = &waits };

    script = (Script){ .code = "first" };
    EXPECT_ERR(runner_run(&run), -ERR_HANDLER, "said");
    runner_reset(&run);
    script = (Script){ .writes = 2 };
    EXPECT_OK(runner_run(&run));
    EXPECT_C(run.code, "");
    EXPECT(!run.is_final);
    EXPECT_STR(buf_str(&run.result), STR_C("\"xx\""));
    runner_reset(&run);
    EXPECT_EQ(run.result.len, 0);
    return 0;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static int load_run(Task *task, const void *args)
{
    (void) args;
    task->input.bytes = STR_C("fetched");
    return 0;
}

static int upper_run(Task *task, const void *args, JsonWriter *result)
{
    unsigned char *room;
    int r = task_output(task, "upper", "text/plain", task->input.bytes.len, &room);

    (void) args;
    for (size_t i = 0; r == 0 && i < task->input.bytes.len; i++)
        room[i] = (unsigned char) (task->input.bytes.data[i] - 32);
    json_write_bool(result, true);
    return r;
}

static int deliver_run(Task *task, const void *args)
{
    (void) args;
    task->is_partial = task->n_outputs == 1 && str_eq_c(task->outputs[0].bytes, "FETCHED");
    return 0;
}

static const Handler upper = { .type = "upper",
                               .summary = "Shouts.",
                               .run = upper_run,
                               .load = load_run,
                               .deliver = deliver_run };

/* Would catch: bytes that are fetched although they came with the run, and outputs that are
 * delivered although the caller takes them. */
RUNNER_TEST(bytes_come_and_go, true)
{
    AUTO(runner_deinit) Run run = { .handler = &upper };

    EXPECT_OK(runner_run(&run));
    EXPECT(run.is_partial); /* it was delivered */
    runner_reset(&run);
    run.takes_outputs = true;
    run.input.bytes = STR_C("given");
    EXPECT_OK(runner_run(&run));
    EXPECT(!run.is_partial);
    EXPECT_EQ(run.n_outputs, 1);
    EXPECT_STR(run.outputs[0].bytes, STR_C("GIVEN"));
    EXPECT_C(run.outputs[0].media_type, "text/plain");
    return 0;
}

/* Would catch: a handler that needs a box and runs without one. */
RUNNER_TEST(without_boxes_nothing_runs_in_one, true)
{
    static const Handler boxed = {
        .type = "boxed", .summary = "Boxed.", .cost = HANDLER_BOX, .run = upper_run
    };
    AUTO(runner_deinit) Run run = { .handler = &boxed };

    EXPECT_ERR(runner_run(&run), -ERR_UNSUPPORTED, "there are none here");
    return 0;
}

TEST_MAIN()
