/*
 * Our HTTP client: N requests of URL, at most C at once. Prints thousands of pages a second.
 *
 *   client_ours URL N C
 */
#include "net/http_client.h"

#include <sluice/rt.h>

#include <stdio.h>
#include <stdlib.h>

typedef struct Work {
    HttpClient *client;
    const char *url;
    long left;
    long bytes;
} Work;

static int fetch(void *arg)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    Work *work = arg;

    while (work->left-- > 0) {
        int r = http_client_get(work->client, str_from_c(work->url), &answer);

        if (r < 0)
            return r;
        if (answer.status != 200)
            return -1;
        work->bytes += (long) answer.body.len;
        http_answer_reset(&answer);
    }
    return 0;
}

typedef struct Args {
    const char *url;
    long n;
    long c;
} Args;

static int run(void *arg)
{
    Args *args = arg;
    Work work = { .url = args->url, .left = args->n };
    HttpClientOpts opts = { .connections_per_host = (size_t) args->c };
    sl_nursery *nursery = sl_nursery_open(.name = "client");
    sl_nursery *fetchers;
    int64_t began;
    int r;

    r = http_client_global_init();
    if (r == 0)
        r = http_client_start(&work.client, nursery, &opts);
    if (r < 0)
        return r;
    began = sl_clock_ns();
    fetchers = sl_nursery_open(.name = "fetchers");
    for (long i = 0; i < args->c; i++)
        (void) sl_spawn(fetchers, fetch, &work, .name = "fetch");
    r = sl_nursery_join(fetchers);
    sl_nursery_close(fetchers);
    printf("%.2f\n", (double) args->n * 1e6 / (double) (sl_clock_ns() - began));
    http_client_stop(work.client);
    sl_nursery_close(nursery);
    return r;
}

int main(int argc, char **argv)
{
    Args args = { argc > 1 ? argv[1] : "", argc > 2 ? atol(argv[2]) : 20000,
                  argc > 3 ? atol(argv[3]) : 64 };
    int r = sl_run(run, &args);

    if (r < 0)
        fprintf(stderr, "client: %s\n", sl_error_text(r));
    return r == 0 ? 0 : 1;
}
