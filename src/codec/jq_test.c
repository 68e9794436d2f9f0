/*
 * jq: what it gives, what it refuses, and that no program gets away with more than its bounds.
 */
#include "codec/jq.h"

#include "base/err.h"
#include "base/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static void expect_values(const char *program, const char *json, const char *want)
{
    AUTO(jq_free) Jq *jq = NULL;
    AUTO(buf_deinit) Buf out = { 0 };

    EXPECT_OK(jq_new(str_from_c(program), &jq));
    if (!jq)
        return;
    EXPECT_OK(jq_run(jq, str_from_c(json), NULL, &out));
    EXPECT_STR(buf_str(&out), str_from_c(want));
    if (test_has_failed())
        fprintf(stderr, "    %s\n", program);
}

static void expect_error(const char *program, const char *json, const char *words)
{
    AUTO(jq_free) Jq *jq = NULL;
    AUTO(buf_deinit) Buf out = { 0 };

    EXPECT_OK(jq_new(str_from_c(program), &jq));
    if (!jq)
        return;
    EXPECT_ERR(jq_run(jq, str_from_c(json), NULL, &out), -ERR_INVALID, words);
    if (test_has_failed())
        fprintf(stderr, "    %s\n", program);
}

TEST(gives_values)
{
    expect_values(".a", "{\"a\":[1,\"x\\u0000y\"]}", "[1,\"x\\u0000y\"]");
    expect_values(".[] | .x", "[{\"x\":1},{\"x\":null},{}]", "1,null,null");
    expect_values("empty", "1", "");
    expect_values("def f: . + 1; f # a comment", "1", "2");
    expect_values("to_entries | map(.key)", "{\"b\":1,\"a\":2}", "[\"b\",\"a\"]");
    expect_values(". as [$a, $b] | $a * $b", "[2, 3]", "6");
    expect_values(".s * 2", "{\"s\":\"ab\"}", "\"abab\"");
    expect_values("[65, 66] | implode", "null", "\"AB\"");
    expect_values("index(\"b\"), indices(\"b\"), rindex(\"b\")", "\"abcb\"", "1,[1,3],3");
    expect_values(".a = 1 | .b |= 5 | .c += 2 | setpath([\"d\"]; 3)", "{}",
                  "{\"a\":1,\"b\":5,\"c\":2,\"d\":3}");
    expect_values("test(\"^a\"), sub(\"a\"; \"b\")", "\"abc\"", "true,\"bbc\"");
}

/* Would catch state of one run that leaks into the next. */
TEST(runs_again)
{
    AUTO(jq_free) Jq *jq = NULL;
    AUTO(buf_deinit) Buf out = { 0 };

    REQUIRE(jq_new(STR_C(".a.b"), &jq) == 0);
    for (int i = 0; i < 3; i++) {
        EXPECT_ERR(jq_run(jq, STR_C("{\"a\":1}"), NULL, &out), -ERR_INVALID, "Cannot index number");
        buf_reset(&out);
        EXPECT_OK(jq_run(jq, STR_C("{\"a\":{\"b\":2}}"), NULL, &out));
        EXPECT_STR(buf_str(&out), STR_C("2"));
        buf_reset(&out);
    }
}

TEST(programs_that_do_not_compile)
{
    AUTO(jq_free) Jq *jq = NULL;

    EXPECT_ERR(jq_new(STR_C("foo"), &jq), -ERR_INVALID, "jq: foo/0 is not defined");
    EXPECT_ERR(jq_new(STR_C("("), &jq), -ERR_INVALID, "jq: syntax error");
    EXPECT_ERR(jq_new(STR_C(""), &jq), -ERR_INVALID, "jq: ");
    EXPECT_ERR(jq_new(STR_C("include \"a\"; 1"), &jq), -ERR_INVALID, "jq: ");
    EXPECT_ERR(jq_new(STR_C("import \"a\" as a; 1"), &jq), -ERR_INVALID, "jq: ");
    EXPECT_ERR(jq_new(str_from("a\0b", 3), &jq), -ERR_INVALID, "zero");
    EXPECT(jq == NULL);
}

/* Would catch a program that reads the environment or ends the process. */
TEST(nothing_is_reached)
{
    setenv("JQ_TEST_SECRET", "hush", 1);
    expect_values("$ENV", "1", "{}");
    expect_values("[$ENV.JQ_TEST_SECRET]", "1", "[null]");
    expect_values("debug, stderr", "1", "1,1");
    expect_error("env", "1", "env is not available here");
    expect_error("input", "1", "input is not available here");
    expect_error("[inputs]", "1", "inputs is not available here");
    expect_error("halt", "1", "halt is not available here");
    expect_error("halt_error", "1", "halt_error is not available here");
    expect_error("halt_error(1)", "1", "halt_error is not available here");
    expect_error("\"a\" | modulemeta", "1", "modulemeta is not available here");
    expect_error("get_search_list", "1", "not available here");
    expect_error("input_filename", "1", "not available here");
}

/* Would catch what makes libjq 1.6 eat the machine or stand still. */
TEST(what_hurts_is_refused)
{
    expect_error(". * 1000000000", "\"x\"", "may not be repeated beyond");
    expect_error("1000000000 * .", "\"x\"", "may not be repeated beyond");
    expect_error(". as $s | $s * 2e9", "\"ab\"", "may not be repeated beyond");
    expect_error(".[1000000000] = 1", "null", "an index may not be beyond");
    expect_error(".a[1000000000] |= 1", "null", "an index may not be beyond");
    expect_error("setpath([1000000000]; 1)", "null", "an index may not be beyond");
    expect_error(".[1000000000] += 1", "null", "an index may not be beyond");
    expect_error("[-1] | implode", "null", "implode needs");
    expect_error("[1114112] | implode", "null", "implode needs");
    expect_values("indices(\"\"), index(\"\"), rindex(\"\")", "\"abc\"", "null,null,null");
}

/* Would catch a compiler that works out a thousand million characters. */
TEST(long_literals_are_not_compiled)
{
    static const char *const refused[] = {
        "\"x\" * 1000000000",           "1e9 * \"x\"",
        "(\"x\" * 1000) * 1000 * 1000", "((\"x\") ) * (2e9)",
        "2e9 * ( \"x\" + \"y\")",       "\"x\" # a comment\n * 1e9",
        "\"x\" * (1 / 0.000000001)",    "1e9 * @json \"x\"",
    };
    static const char *const compiled[] = { "\"-\" * 10", ".a * 1000000000 | \"x\"",
                                            "{\"a\": (.n * 3e9)}", "\"2000000000\"" };

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        AUTO(jq_free) Jq *jq = NULL;

        EXPECT_ERR(jq_new(str_from_c(refused[i]), &jq), -ERR_INVALID,
                   "may not be repeated beyond 1000000");
    }
    for (size_t i = 0; i < ARRAY_LEN(compiled); i++) {
        AUTO(jq_free) Jq *jq = NULL;

        EXPECT_OK(jq_new(str_from_c(compiled[i]), &jq));
    }
}

/* Would catch a text of libjq's that outgrows all bounds, which ends the process or never ends. */
TEST(small_values_with_endless_texts)
{
    AUTO(jq_free) Jq *jq = NULL;
    AUTO(buf_deinit) Buf out = { 0 };

    REQUIRE(jq_new(STR_C("reduce range(40) as $i (1; [., .])"), &jq) == 0);
    EXPECT_ERR(jq_run(jq, STR_C("1"), &(JqRunOpts){ .bytes_max = 100000 }, &out), -ERR_TOO_LARGE,
               "more than 100000 bytes");
    expect_error("error(reduce range(40) as $i (1; [., .]))", "1", "jq: [[[[");
#define BOMB "reduce range(40) as $i (1; [., .]) | "
    expect_error(BOMB "tojson", "1", "too large to be written");
    expect_error(BOMB "\"\\(.)\"", "1", "too large to be written");
#define LONG "(\"a\" | . * 1000000) as $s | "
    expect_error(LONG "reduce range(100) as $i (\"\"; . + $s) | length", "1", "may not be longer");
    expect_error(LONG "[range(100) | $s] | add | length", "1", "may not be longer");
    expect_error(LONG "[range(100) | $s] | join(\"\") | length", "1", "may not be longer");
    expect_error(LONG "[range(100) | $s] | tojson | length", "1", "too large to be written");
    expect_values("[1, \"a\"] | tojson, tostring, @json, \"\\(.)\"", "1",
                  "\"[1,\\\"a\\\"]\",\"[1,\\\"a\\\"]\",\"[1,\\\"a\\\"]\",\"[1,\\\"a\\\"]\"");
    expect_values("(.a | add), (.a | join(\"-\")), @csv \"\\([1, .b])\"",
                  "{\"a\":[\"x\",\"y\"],\"b\":\"q\"}", "\"xy\",\"x-y\",\"1,\\\"q\\\"\"");
    expect_error("def f($n): if $n == 0 then 1 else [f($n - 1)] end; error(f(300))", "1",
                 "jq: [[[[");
}

TEST(output_is_bounded)
{
    AUTO(jq_free) Jq *jq = NULL;
    AUTO(buf_deinit) Buf out = { 0 };

    REQUIRE(jq_new(STR_C("range(1000000000)"), &jq) == 0);
    EXPECT_ERR(jq_run(jq, STR_C("1"), &(JqRunOpts){ .values_max = 100 }, &out), -ERR_TOO_LARGE,
               "more than 100 values");
    buf_reset(&out);
    EXPECT_ERR(jq_run(jq, STR_C("1"), &(JqRunOpts){ .bytes_max = 1000 }, &out), -ERR_TOO_LARGE,
               "more than 1000 bytes");
    buf_reset(&out);
    EXPECT_ERR(jq_run(jq, STR_C("1"), &(JqRunOpts){ .values_max = 100 }, &out), -ERR_TOO_LARGE,
               "more than 100 values");
}

static void *stop_later(void *arg)
{
    (void) usleep(20000);
    jq_stop(arg);
    return NULL;
}

/* Would catch a loop that nobody can end. */
TEST(loops_are_stopped)
{
    static const char *const programs[] = { "def f: f; f", "last(range(1e15))",
                                            "[limit(1e15; repeat(1))] | length",
                                            "until(false; .)" };

    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        AUTO(jq_free) Jq *jq = NULL;
        AUTO(buf_deinit) Buf out = { 0 };
        pthread_t thread;

        REQUIRE(jq_new(str_from_c(programs[i]), &jq) == 0);
        REQUIRE(pthread_create(&thread, NULL, stop_later, jq) == 0);
        EXPECT_ERR(jq_run(jq, STR_C("1"), NULL, &out), -ETIMEDOUT, "took too long");
        (void) pthread_join(thread, NULL);
        EXPECT_ERR(jq_run(jq, STR_C("1"), NULL, &out), -ETIMEDOUT, "took too long");
    }
}

typedef struct Interrupter {
    Jq *jq;
    atomic_bool is_over;
} Interrupter;

static void *interrupt_often(void *arg)
{
    Interrupter *interrupter = arg;

    while (!atomic_load(&interrupter->is_over)) {
        jq_interrupt(interrupter->jq);
        (void) usleep(100);
    }
    return NULL;
}

/* Would catch an interrupt that reaches the run after the one it was for, or cuts values off
 * without a word. */
TEST(an_interrupt_ends_one_run)
{
    AUTO(jq_free) Jq *jq = NULL;
    AUTO(buf_deinit) Buf out = { 0 };
    Interrupter interrupter = { 0 };
    pthread_t thread;

    REQUIRE(jq_new(STR_C("if . == 0 then last(range(1e15)) else range(3) end"), &jq) == 0);
    interrupter.jq = jq;
    REQUIRE(pthread_create(&thread, NULL, interrupt_often, &interrupter) == 0);
    for (int i = 0; i < 50; i++) {
        int r;

        EXPECT_ERR(jq_run(jq, STR_C("0"), NULL, &out), -ETIMEDOUT, "took too long");
        buf_reset(&out);
        r = jq_run(jq, STR_C("1"), NULL, &out);
        if (r == 0)
            EXPECT_STR(buf_str(&out), STR_C("0,1,2"));
        else
            EXPECT_ERR(r, -ETIMEDOUT, "took too long");
    }
    atomic_store(&interrupter.is_over, true);
    (void) pthread_join(thread, NULL);
    buf_reset(&out);
    EXPECT_OK(jq_run(jq, STR_C("1"), NULL, &out));
    EXPECT_STR(buf_str(&out), STR_C("0,1,2"));
}

TEST_MAIN()
