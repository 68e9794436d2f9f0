/*
 * The test harness: each foo_test.c is a program of its own.
 *
 *   TEST(adds) { EXPECT_EQ(add(2, 2), 4); }
 *   TEST_MAIN()
 *
 * Tests run in file order in one process with a temporary directory of its own as working
 * directory. A failed EXPECT prints both values and goes on; a failed REQUIRE ends the test.
 * Output: a line `ok NAME` or `FAIL NAME` for each test and `N passed, N failed` at the end; exit
 * code 1 if any failed. `prog NAME` runs the tests whose name contains NAME. Leaks are found by the
 * sanitizer builds; FOR_EACH_FAULT repeats its body with the n-th mem_try failing, n = 1, 2, …
 */
#pragma once

#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct TestCase {
    const char *name;
    void (*run)(void);
    int line; /* of the source: tests run in this order, whatever order constructors have */
    struct TestCase *next;
} TestCase;

void test_register(TestCase *test);
int test_main(int argc, char **argv);
void test_fail(const char *file, int line, const char *fmt, ...) SL_PRINTF(3, 4);
void test_skip(const char *why); /* the current test counts as skipped; return after it */
bool test_has_failed(void);      /* the current test */
const char *test_dir(void);      /* the temporary directory, absolute */
const char *test_tree(void);     /* where it was started: the root of the sources, absolute */

/* For EXPECT_ABORT: fork (true in the child, whose stderr goes to a pipe), and judge how the child
 * ended. */
bool test_fork_(void);
void test_reap_(const char *file, int line, const char *part);

#define TEST(test_name)                                                                    \
    static void test_name##_test_(void);                                                   \
    static TestCase test_name##_case_ = { #test_name, test_name##_test_, __LINE__, NULL }; \
    __attribute__((constructor)) static void test_name##_register_(void)                   \
    {                                                                                      \
        test_register(&test_name##_case_);                                                 \
    }                                                                                      \
    static void test_name##_test_(void)

#define TEST_MAIN()                   \
    int main(int argc, char **argv)   \
    {                                 \
        return test_main(argc, argv); \
    }

#define STR_C(literal) str_from("" literal, sizeof(literal) - 1)

#define EXPECT(cond)                                              \
    do {                                                          \
        if (!(cond))                                              \
            test_fail(__FILE__, __LINE__, "expected: %s", #cond); \
    } while (0)

#define REQUIRE(cond)                                             \
    do {                                                          \
        if (!(cond)) {                                            \
            test_fail(__FILE__, __LINE__, "required: %s", #cond); \
            return;                                               \
        }                                                         \
    } while (0)

#define EXPECT_EQ(got, want)                                                             \
    do {                                                                                 \
        long long got_ = (long long) (got), want_ = (long long) (want);                  \
        if (got_ != want_)                                                               \
            test_fail(__FILE__, __LINE__, "%s: got %lld, want %lld", #got, got_, want_); \
    } while (0)

#define EXPECT_STR(got, want)                                                              \
    do {                                                                                   \
        Str got_s_ = (got), want_s_ = (want);                                              \
        if (!str_eq(got_s_, want_s_))                                                      \
            test_fail(__FILE__, __LINE__, "%s: got \"%.*s\", want \"%.*s\"", #got,         \
                      (int) got_s_.len, got_s_.data ? got_s_.data : "", (int) want_s_.len, \
                      want_s_.data ? want_s_.data : "");                                   \
    } while (0)

#define EXPECT_C(got, want) EXPECT_STR(str_from_c(got), str_from_c(want))

/* R is 0; the words of the error are printed otherwise. */
#define EXPECT_OK(call)                                                 \
    do {                                                                \
        int r_ = (call);                                                \
        if (r_ != 0)                                                    \
            test_fail(__FILE__, __LINE__, "%s: got %d (%s)", #call, r_, \
                      r_ < 0 ? err_text(r_) : "outcome");               \
    } while (0)

/* R is the given negative code and its words contain PART. */
#define EXPECT_ERR(call, code, part)                                                               \
    do {                                                                                           \
        int r_ = (call);                                                                           \
        if (r_ != (code))                                                                          \
            test_fail(__FILE__, __LINE__, "%s: got %d, want %d", #call, r_, (code));               \
        else if (!strstr(err_text(r_), (part)))                                                    \
            test_fail(__FILE__, __LINE__, "%s: \"%s\" lacks \"%s\"", #call, err_text(r_), (part)); \
    } while (0)

/* STATEMENT, in a child process, fails an assertion whose report contains PART. */
#define EXPECT_ABORT(statement, part)           \
    do {                                        \
        if (test_fork_()) {                     \
            statement;                          \
            _exit(0);                           \
        }                                       \
        test_reap_(__FILE__, __LINE__, (part)); \
    } while (0)

/* Repeat the body with the n-th mem_try failing, until a run meets no fault. */
#define FOR_EACH_FAULT                                                   \
    for (size_t fault_n_ = 1, fault_go_ = 1;                             \
         fault_go_ && fault_n_ < 10000 && (mem_fail_at(fault_n_), true); \
         fault_go_ = mem_faults_hit(), mem_fail_at(0), fault_n_++)
