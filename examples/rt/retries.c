/*
 * Retries: a time limit for each attempt, a pause that doubles between them, a deadline for all.
 *
 *     @tenacity.retry(wait=wait_exponential(), stop=stop_after_attempt(5))
 *
 * Both limits are scopes, so the operation needs to know of neither. An error of the attempt's own
 * scope means "try again"; when the outer scope is over, the loop sees -ECANCELED and leaves.
 */
#include <sluice/rt.h>

#include <errno.h>
#include <stdio.h>

enum { ATTEMPTS_MAX = 5, ATTEMPT_MS = 400, FIRST_PAUSE_MS = 4 };

/* A peer that hangs the first time, refuses the second, and then is well; or is never well. */
typedef struct Peer {
    int calls;
    int well_after;
} Peer;

SL_SUSPENDS static int call(void *arg)
{
    Peer *peer = arg;

    peer->calls++;
    if (peer->calls > peer->well_after)
        return sl_sleep_ms(1);
    if (peer->calls == 1)
        return sl_sleep_ms(60000);
    return sl_fail(-ECONNREFUSED, "the peer refuses");
}

SL_SUSPENDS static int call_with_retries(void *arg)
{
    int64_t pause_ms = FIRST_PAUSE_MS;
    int r = 0;

    for (int attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
        r = sl_with_timeout(ATTEMPT_MS, call, arg);
        if (r == 0 || r == -ECANCELED)
            return r;
        printf("  attempt %d: %s", attempt,
               r == -ETIMEDOUT ? "no answer in time" : sl_error_text(r));
        if (attempt == ATTEMPTS_MAX)
            break;
        printf(", again in %lld ms\n", (long long) pause_ms);
        r = sl_sleep_ms(pause_ms);
        if (r < 0)
            return r;
        pause_ms *= 2;
    }
    printf(", giving up\n");
    return r;
}

SL_SUSPENDS static int retries_main(void *arg)
{
    Peer moody = { .well_after = 2 }, broken = { .well_after = 1000 };
    int r;

    (void) arg;
    r = sl_with_timeout(30000, call_with_retries, &moody);
    printf("moody peer: %s after %d calls\n", r == 0 ? "done" : "failed", moody.calls);
    r = sl_with_timeout(30000, call_with_retries, &broken);
    printf("broken peer: %s after %d calls\n", r == 0 ? "done" : "failed", broken.calls);
    return 0;
}

int main(void)
{
    return sl_run(retries_main, NULL) < 0;
}
