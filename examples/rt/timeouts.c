/*
 * Timeouts: a deadline is a region of code, not an argument of every call.
 *
 *     with trio.move_on_after(0.02):          async with asyncio.timeout(0.02):
 *
 * Whatever waits inside is cut short, however deep; the owner of the scope alone hears -ETIMEDOUT.
 * Scopes nest, the nearest deadline counts, and a shield gives clean-up the time it needs.
 */
#include <sluice/rt.h>

#include <errno.h>
#include <stdio.h>

/* Answers after the time that ARG says, in milliseconds. */
SL_SUSPENDS static int slow_answer(void *arg)
{
    return sl_sleep_ms(*(int64_t *) arg);
}

SL_SUSPENDS static int say_goodbye(void *arg)
{
    (void) arg;
    return sl_sleep_ms(5);
}

/* Talks to a peer; a goodbye is due even when it is cut short. */
SL_SUSPENDS static int converse(void *arg)
{
    int r = slow_answer(arg);
    int goodbye = sl_shielded(1000, say_goodbye, NULL); /* not cancelled, for a second at most */

    printf("  goodbye was %s\n", goodbye == 0 ? "said" : "lost");
    return r;
}

static void report(const char *what, int r)
{
    printf("%s: %s\n", what, r == 0 ? "done" : r == -ETIMEDOUT ? "timed out" : "cancelled");
}

SL_SUSPENDS static int timeouts_main(void *arg)
{
    int64_t quick_ms = 1, slow_ms = 60000;
    sl_scope outer, inner;
    int r;

    (void) arg;
    report("quick answer", sl_with_timeout(5000, slow_answer, &quick_ms));
    report("slow answer", sl_with_timeout(20, slow_answer, &slow_ms));
    report("conversation", sl_with_timeout(20, converse, &slow_ms));

    /* The outer deadline is the nearer one: the inner scope is not to blame and says so. */
    sl_scope_begin(&outer, .timeout_ms = 20);
    sl_scope_begin(&inner, .timeout_ms = 50000);
    r = sl_scope_end(&inner, slow_answer(&slow_ms));
    report("inner scope", r);
    r = sl_scope_end(&outer, r);
    report("outer scope", r);

    /* A deadline that moves: each sign of life gives the peer more time. */
    sl_scope_begin(&outer, .timeout_ms = 30000);
    for (int i = 0; i < 3; i++)
        sl_scope_set_deadline(&outer, sl_now_ns() + 30000000000);
    report("lively peer", sl_scope_end(&outer, slow_answer(&quick_ms)));
    return 0;
}

int main(void)
{
    return sl_run(timeouts_main, NULL) < 0;
}
