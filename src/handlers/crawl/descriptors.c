/*
 * A page under way costs two descriptors at most: its connection, and while a name is looked up or
 * two addresses are tried, one more. Beside the pages there are the state file with its log, the
 * pace that crawls of a user share, the output and its folder, and what looking up names opens.
 *
 *   limit − open now − RESERVED − OUT for each output  =  2 · (pages at once + connections kept)
 */
#include "handlers/crawl/descriptors.h"

#include "base/macro.h"
#include "handlers/crawl/crawl_int.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#define RESERVED      20
#define OUT           3
#define PAGE          2
#define COUNTED_UP_TO 8192 /* a limit above it leaves room enough to guess */

/* Descriptors below LIMIT that are open. */
static int64_t count_open(int64_t limit)
{
    int64_t n = 0;

    for (int64_t fd = 0; fd < MIN(limit, (int64_t) COUNTED_UP_TO); fd++)
        n += fcntl((int) fd, F_GETFD) >= 0;
    return n;
}

static int64_t limit_of(rlim_t limit)
{
    return limit == RLIM_INFINITY || limit > INT32_MAX ? INT32_MAX : (int64_t) limit;
}

int64_t crawl_descriptors_fit(Task *task, int64_t concurrency, size_t n_outs)
{
    int64_t beside = RESERVED + OUT * (int64_t) n_outs + PAGE * CRAWL_EXTRA_CONNECTIONS;
    int64_t wanted = beside + PAGE * concurrency, limit, fit;
    struct rlimit now;

    if (getrlimit(RLIMIT_NOFILE, &now) < 0)
        return concurrency;
    limit = limit_of(now.rlim_cur);
    if (limit >= COUNTED_UP_TO && limit / 2 >= wanted)
        return concurrency;
    wanted += count_open(limit);
    if (limit < wanted && task->is_foreground) {
        struct rlimit more = now;

        more.rlim_cur = MIN(now.rlim_max, (rlim_t) wanted);
        if (more.rlim_cur > now.rlim_cur && setrlimit(RLIMIT_NOFILE, &more) == 0)
            limit = limit_of(more.rlim_cur);
    }
    if (limit >= wanted)
        return concurrency;
    fit = MAX(concurrency - (wanted - limit + PAGE - 1) / PAGE, (int64_t) 1);
    task_log(task, arena_printf(task->arena,
                                "No more than %lld pages at once instead of %lld: this process may "
                                "have %lld files and connections open (ulimit -n).",
                                (long long) fit, (long long) concurrency, (long long) limit));
    return fit;
}
