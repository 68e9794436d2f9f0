/*
 * What a failed assertion leaves behind.
 *
 * A report on stderr, written piece by piece so that a crash in the middle of it loses only the
 * rest: the expression and its place, the log context of the fiber, its error record, whatever the
 * runtime's reporter adds (the fiber's name and job, the tree), the backtrace, and the last log
 * lines. Then abort(), so that the system keeps a core.
 *
 * Nothing here allocates or takes a lock, once assert_set_reporter has been called. A failure while
 * reporting aborts at once; a failure in a second thread waits for the first one's report, which
 * ends the process.
 */
#include "base/assert.h"

#include "base/err.h"
#include "base/log.h"

#include <execinfo.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TRACE_DEPTH = 64, PIECE_BYTES = 1024 };

static struct {
    _Atomic(void (*)(void)) reporter;
    atomic_flag is_reporting;
} assert_state = { .is_reporting = ATOMIC_FLAG_INIT };

static _Thread_local bool assert_is_mine; /* this thread writes the report */

static void put(const char *text)
{
    size_t len = strlen(text);

    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, text, len);

        if (n <= 0)
            return;
        text += n;
        len -= (size_t) n;
    }
}

void assert_set_reporter(void (*reporter)(void))
{
    void *frame;

    atomic_store(&assert_state.reporter, reporter);
    (void) backtrace(&frame, 1); /* the first call loads the unwinder, which allocates */
}

static void put_context_and_error(void)
{
    char piece[PIECE_BYTES];
    const Err *err = err_peek();

    log_format_context(piece, sizeof piece);
    if (piece[0]) {
        put("  context: ");
        put(piece);
        put("\n");
    }
    if (err->code) {
        put("  error record: ");
        put(err_name(err->code));
        put(": ");
        put(err->text);
        put("\n");
    }
}

static void put_backtrace(void)
{
    void *frames[TRACE_DEPTH];
    int n = backtrace(frames, TRACE_DEPTH);

    put("  backtrace:\n");
    backtrace_symbols_fd(frames, n, STDERR_FILENO);
}

/* The place, by itself, so that its buffer is not on the stack while the rest runs. */
static void put_head(const char *expr, const char *file, int line, const char *func)
{
    char piece[PIECE_BYTES];

    snprintf(piece, sizeof piece, "sluice: assertion failed: %s\n  at %s:%d in %s, process %d\n",
             expr, file, line, func, (int) getpid());
    put(piece);
}

void assert_fail(const char *expr, const char *file, int line, const char *func)
{
    void (*reporter)(void);

    if (assert_is_mine)
        abort();
    if (atomic_flag_test_and_set(&assert_state.is_reporting)) {
        for (;;)
            pause();
    }
    assert_is_mine = true;

    put_head(expr, file, line, func);
    put_context_and_error();
    reporter = atomic_load(&assert_state.reporter);
    if (reporter)
        reporter();
    put_backtrace();
    put("  last log lines:\n");
    log_dump_ring(STDERR_FILENO);
    abort();
}
