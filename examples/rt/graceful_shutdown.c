/*
 * Graceful shutdown: on SIGTERM take no more, finish what was taken, then end.
 *
 *     loop.add_signal_handler(signal.SIGTERM, stop.set)
 *
 * The signal is something the first fiber waits for. It closes the channel: the workers finish what
 * is in it and end by themselves. A deadline around the drain makes sure that it does end.
 */
#include <sluice/rt.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { WORKERS = 2 };

typedef struct Service {
    sl_chan *jobs;
    int taken;
    int finished;
} Service;

/* Takes jobs in until it is told that there is no place for them. */
SL_SUSPENDS static int take_jobs(void *arg)
{
    Service *service = arg;
    int r;

    while ((r = sl_chan_send(service->jobs, &service->taken)) == 0) {
        service->taken++;
        if (service->taken == 10)
            (void) kill(getpid(), SIGTERM); /* somebody types `systemctl stop` */
    }
    return r == SL_CLOSED ? 0 : r;
}

SL_SUSPENDS static int work(void *arg)
{
    Service *service = arg;
    int job, r;

    sl_chan_each(r, service->jobs, job) {
        r = sl_sleep_ms(2);
        if (r < 0)
            break;
        service->finished++;
    }
    return r == SL_CLOSED ? 0 : r;
}

SL_SUSPENDS static int drain(sl_nursery *nursery)
{
    sl_scope grace;

    sl_scope_begin(&grace, .timeout_ms = 10000);
    return sl_scope_end(&grace, sl_nursery_join(nursery));
}

SL_SUSPENDS static int service_main(void *arg)
{
    Service service = { .jobs = sl_chan_new(sizeof(int), 4, .name = "jobs") };
    sl_nursery *nursery = sl_nursery_open(.name = "service");
    int signal = 0, r;

    (void) arg;
    for (int i = 0; i < WORKERS; i++)
        sl_spawn(nursery, work, &service, .name = "worker");
    sl_spawn(nursery, take_jobs, &service, .name = "intake");
    r = sl_signal_wait(UINT64_C(1) << SIGTERM | UINT64_C(1) << SIGINT, &signal);
    printf("%s: no more jobs\n", signal == SIGTERM ? "SIGTERM" : "SIGINT");

    sl_chan_close(service.jobs);
    if (r == 0)
        r = drain(nursery);
    sl_nursery_close(nursery);
    sl_chan_free(service.jobs);
    printf("drained: %s\n", r == 0 ? "yes" : sl_error_text(r));
    printf("every job that was taken is finished: %s\n",
           service.finished == service.taken ? "yes" : "no");
    return r;
}

int main(void)
{
    return sl_run(service_main, NULL) < 0;
}
