/*
 * Events, futures, mutexes, semaphores and conditions.
 */
/* loops: all */
#include "base/test.h"

#include <sluice/rt.h>

#include <errno.h>

static size_t count;

/* -- Event -- */

static int waits_for_event(void *arg)
{
    int r = sl_event_wait(arg);

    if (r == 0)
        count++;
    return r;
}

static int events(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    sl_event event = { .is_set = false };

    (void) arg;
    count = 0;
    for (int i = 0; i < 5; i++)
        sl_spawn(nursery, waits_for_event, &event);
    EXPECT_OK(sl_sleep_ms(1));
    EXPECT_EQ(count, 0);
    sl_event_set(&event);
    sl_event_clear(&event); /* those who waited were woken all the same */
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(count, 5);
    sl_event_set(&event);
    EXPECT_OK(sl_event_wait(&event)); /* set: no wait */
    return 0;
}

TEST(an_event_wakes_all)
{
    EXPECT_OK(sl_run(events, NULL));
}

/* -- Future -- */

static int waits_for_future(void *arg)
{
    void *value = NULL;
    int r = sl_future_wait(arg, &value);

    EXPECT_EQ(r, 7);
    EXPECT(value == arg);
    count++;
    return 0;
}

static int futures(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    sl_future future = { .r = 0 };

    (void) arg;
    count = 0;
    for (int i = 0; i < 3; i++)
        sl_spawn(nursery, waits_for_future, &future);
    EXPECT_OK(sl_sleep_ms(1));
    sl_future_set(&future, 7, &future);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(count, 3);
    EXPECT_EQ(sl_future_wait(&future, NULL), 7);
    return 0;
}

TEST(a_future_gives_its_result_to_all)
{
    EXPECT_OK(sl_run(futures, NULL));
}

/* -- Mutex -- */

static sl_mutex mutex;
static size_t inside;

static int locks_and_sleeps(void *arg)
{
    (void) arg;
    for (int i = 0; i < 5; i++) {
        EXPECT_OK(sl_mutex_lock(&mutex));
        EXPECT_EQ(inside, 0);
        inside++;
        EXPECT_OK(sl_yield());
        EXPECT_OK(sl_sleep_ms(1));
        inside--;
        sl_mutex_unlock(&mutex);
        count++;
    }
    return 0;
}

static int mutexes(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    count = 0;
    for (int i = 0; i < 4; i++)
        sl_spawn(nursery, locks_and_sleeps, NULL);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(count, 20);
    EXPECT_OK(sl_mutex_try_lock(&mutex));
    EXPECT_EQ(sl_mutex_try_lock(&mutex), SL_BUSY);
    sl_mutex_unlock(&mutex);
    return 0;
}

TEST(a_mutex_excludes_across_suspensions)
{
    EXPECT_OK(sl_run(mutexes, NULL));
}

static sl_event has_locked, may_unlock;

static int locks_for_long(void *arg)
{
    (void) arg;
    EXPECT_OK(sl_mutex_lock(&mutex));
    sl_event_set(&has_locked);
    EXPECT_OK(sl_event_wait(&may_unlock));
    sl_mutex_unlock(&mutex);
    return 0;
}

static int lock_only(void *arg)
{
    (void) arg;
    return sl_mutex_lock(&mutex);
}

static int lock_is_cancelled(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    has_locked = may_unlock = (sl_event){ 0 };
    sl_spawn(nursery, locks_for_long, NULL);
    EXPECT_OK(sl_event_wait(&has_locked));
    EXPECT_EQ(sl_with_timeout(2, lock_only, NULL), -ETIMEDOUT);
    sl_event_set(&may_unlock);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_OK(sl_mutex_try_lock(&mutex)); /* not given to who no longer waits */
    sl_mutex_unlock(&mutex);
    return 0;
}

TEST(waiting_for_a_mutex_can_be_cancelled)
{
    EXPECT_OK(sl_run(lock_is_cancelled, NULL));
}

/* -- Semaphore -- */

static sl_sem sem;

static int passes(void *arg)
{
    (void) arg;
    EXPECT_OK(sl_sem_acquire(&sem));
    inside++;
    EXPECT(inside <= 3);
    count = MAX(count, inside);
    EXPECT_OK(sl_sleep_ms(1));
    inside--;
    sl_sem_release(&sem);
    return 0;
}

static int semaphores(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    sem = (sl_sem){ .count = 3 };
    count = 0;
    inside = 0;
    for (int i = 0; i < 12; i++)
        sl_spawn(nursery, passes, NULL);
    EXPECT_OK(sl_nursery_join(nursery));
    EXPECT_EQ(count, 3);
    EXPECT_EQ(sem.count, 3);
    EXPECT_OK(sl_sem_try_acquire(&sem));
    EXPECT_OK(sl_sem_acquire(&sem));
    EXPECT_OK(sl_sem_acquire(&sem));
    EXPECT_EQ(sl_sem_try_acquire(&sem), SL_BUSY);
    return 0;
}

TEST(a_semaphore_lets_so_many_pass)
{
    EXPECT_OK(sl_run(semaphores, NULL));
}

static int acquires(void *arg)
{
    int r = sl_sem_acquire(&sem);

    (void) arg;
    if (r == 0)
        count++;
    return r;
}

static int permit_survives_cancellation(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *first = sl_nursery_open();
    AUTO(sl_nursery_close) sl_nursery *second = sl_nursery_open();

    (void) arg;
    sem = (sl_sem){ .count = 0 };
    count = 0;
    sl_spawn(first, acquires, NULL);
    EXPECT_OK(sl_sleep_ms(1));
    sl_spawn(second, acquires, NULL);
    EXPECT_OK(sl_sleep_ms(1));
    sl_nursery_cancel(first); /* it stood in front */
    sl_sem_release(&sem);
    EXPECT_OK(sl_nursery_join(second));
    EXPECT_EQ(count, 1);
    EXPECT_OK(sl_nursery_join(first));
    return 0;
}

TEST(a_permit_is_not_given_to_the_cancelled)
{
    EXPECT_OK(sl_run(permit_survives_cancellation, NULL));
}

/* -- Condition -- */

static sl_cond cond;
static int level;

static int waits_for_level(void *arg)
{
    while (level < (int) (intptr_t) arg) {
        int r = sl_cond_wait(&cond);

        if (r < 0)
            return r;
    }
    count++;
    return 0;
}

static int conditions(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();

    (void) arg;
    level = 0;
    count = 0;
    for (intptr_t i = 1; i <= 3; i++) {
        sl_spawn(nursery, waits_for_level, (void *) i);
        EXPECT_OK(sl_sleep_ms(1));
    }
    level = 1;
    sl_cond_wake_one(&cond); /* the first: its level is reached */
    EXPECT_OK(sl_sleep_ms(1));
    EXPECT_EQ(count, 1);
    level = 2;
    sl_cond_wake_all(&cond);
    EXPECT_OK(sl_sleep_ms(1));
    EXPECT_EQ(count, 2);
    level = 3;
    sl_cond_wake_all(&cond);
    EXPECT_OK(sl_nursery_join(nursery));
    sl_cond_wake_one(&cond); /* nobody: nothing */
    return 0;
}

TEST(a_condition_wakes_one_or_all)
{
    EXPECT_OK(sl_run(conditions, NULL));
}

TEST_MAIN()
