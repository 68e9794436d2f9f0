/*
 * Catches: a report that lacks what one needs to find the fault, and a report that hangs or loops
 * when it fails itself.
 */
#include "base/assert.h"

#include "base/log.h"
#include "base/test.h"

#include <fcntl.h>

typedef struct Tagged {
    uint32_t tag;
    int value;
} Tagged;

enum { TAG_GOOD = TAG_OF('g', 'o', 'o', 'd') };

static void reporter_speaks(void)
{
    ssize_t n = write(STDERR_FILENO, "fiber: crawl#7\n", 15);

    (void) n;
}

static void reporter_fails(void)
{
    UNREACHABLE("inside the report");
}

/* The state a worker's fiber would be in, then a failure. */
static void fail_in_context(void)
{
    LogContext context;

    log_push(&context, L_C("job", "0193"));
    log_setup(LOG_INFO, LOG_FORMAT_LOGFMT, open("/dev/null", O_WRONLY | O_CLOEXEC));
    log_info("the last line");
    (void) wrap(fail(-ERR_STORE, "disk on fire"), "commit");
    assert_set_reporter(reporter_speaks);
    ASSERT(1 + 1 == 3);
}

TEST(the_report_says_what_where_and_in_which_state)
{
    EXPECT_ABORT(fail_in_context(), "assertion failed: 1 + 1 == 3\n");
    EXPECT_ABORT(fail_in_context(), "assert_test.c:");
    EXPECT_ABORT(fail_in_context(), "in fail_in_context");
    EXPECT_ABORT(fail_in_context(), "context: job=0193\n");
    EXPECT_ABORT(fail_in_context(), "error record: STORE: commit: disk on fire\n");
    EXPECT_ABORT(fail_in_context(), "fiber: crawl#7\n");
    EXPECT_ABORT(fail_in_context(), "backtrace:\n");
    EXPECT_ABORT(fail_in_context(), "level=info msg=\"the last line\" job=0193\n");
}

static void fail_in_report(void)
{
    assert_set_reporter(reporter_fails);
    UNREACHABLE("the first");
}

TEST(a_failure_while_reporting_ends_it)
{
    EXPECT_ABORT(fail_in_report(), "unreachable: the first");
}

TEST(true_conditions_are_evaluated_once)
{
    int n = 0;

    ASSERT(++n == 1);
    EXPECT_EQ(n, 1);
    ASSERT_SLOW(++n > 0);
}

TEST(cast_checks_the_tag)
{
    Tagged good = { .tag = TAG_GOOD, .value = 5 };
    Tagged bad = { 0 };

    EXPECT_EQ(CAST(Tagged, TAG_GOOD, (void *) &good)->value, 5);
    EXPECT_ABORT((void) CAST(Tagged, TAG_GOOD, (void *) &bad), "tag ==");
    EXPECT_ABORT((void) CAST(Tagged, TAG_GOOD, (void *) NULL), "cast_ptr_ &&");
}

TEST_MAIN()
