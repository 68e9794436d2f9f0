/*
 * Gather: start several things at once, wait for all, use their results in the order asked.
 *
 *     temperatures = await asyncio.gather(*(ask(city) for city in cities))
 *
 * The nursery is the list of what runs. Leaving the function without waiting for it is impossible:
 * the cleanup waits. When one child fails, the others are cancelled and join returns its error.
 */
#include <sluice/rt.h>

#include <errno.h>
#include <stdio.h>

typedef struct City {
    const char *name;
    int64_t latency_ms;
    int degrees; /* the answer; -300 when there is no such city */
} City;

/* Stands for a request over the network. */
SL_SUSPENDS static int ask(void *arg)
{
    City *city = arg;
    int r = sl_sleep_ms(city->latency_ms);

    if (r < 0) {
        printf("  %s: not asked any more\n", city->name);
        return r;
    }
    if (city->degrees == -300)
        return sl_fail(-ENOENT, "there is no city called %s", city->name);
    printf("  %s has answered\n", city->name);
    return 0;
}

SL_SUSPENDS static int ask_all(City *cities, size_t n)
{
    SL_CLEANUP(sl_nursery_close_auto) sl_nursery *nursery = sl_nursery_open(.name = "cities");

    for (size_t i = 0; i < n; i++)
        sl_spawn(nursery, ask, &cities[i], .name = cities[i].name);
    return sl_nursery_join(nursery);
}

SL_SUSPENDS static int gather_main(void *arg)
{
    City north[] = { { "Tromso", 200, -7 }, { "Oslo", 10, 2 }, { "Bergen", 90, 4 } };
    City legends[] = { { "Avalon", 60000, 19 }, { "Atlantis", 10, -300 } };
    int r;

    (void) arg;
    r = ask_all(north, 3);
    if (r < 0)
        return r;
    for (int i = 0; i < 3; i++)
        printf("%s %d\n", north[i].name, north[i].degrees);

    r = ask_all(legends, 2);
    printf("failed: %s\n", sl_error_text(r));
    return 0;
}

int main(void)
{
    return sl_run(gather_main, NULL) < 0;
}
