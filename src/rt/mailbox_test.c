/*
 * Posting into a loop: nothing lost, order kept, from threads that are no loops.
 */
/* loops: all */
#include "base/test.h"

#include <sluice/rt.h>

#include <pthread.h>
#include <stdlib.h>

enum { THREADS = 4, POSTS = 2000, CHAIN = 3 };

typedef struct Post {
    sl_task task;
    size_t thread;
    size_t number;
} Post;

static struct {
    sl_loop *loop;
    sl_sem arrived;
    size_t next[THREADS]; /* the number each thread's next post must have */
    Post posts[THREADS][POSTS];
} world;

static void arrives(sl_task *task)
{
    Post *post = CONTAINER_OF(task, Post, task);

    EXPECT_EQ(post->number, world.next[post->thread]);
    world.next[post->thread]++;
    sl_sem_release(&world.arrived);
}

static void *posts(void *arg)
{
    size_t thread = (size_t) (uintptr_t) arg;

    for (size_t i = 0; i < POSTS;) {
        size_t n = MIN((size_t) CHAIN, POSTS - i);

        for (size_t j = 0; j < n; j++) {
            world.posts[thread][i + j] = (Post){
                .task = { .fn = arrives },
                .thread = thread,
                .number = i + j,
            };
            world.posts[thread][i + j].task.next = j + 1 < n ? &world.posts[thread][i + j + 1].task
                                                             : NULL;
        }
        sl_post(world.loop, &world.posts[thread][i].task);
        i += n;
    }
    return NULL;
}

static int takes_posts(void *arg)
{
    pthread_t threads[THREADS];

    (void) arg;
    world.loop = sl_loop_self();
    world.arrived = (sl_sem){ .count = 0 };
    for (uintptr_t i = 0; i < THREADS; i++) {
        world.next[i] = 0;
        EXPECT_EQ(pthread_create(&threads[i], NULL, posts, (void *) i), 0);
    }
    for (size_t i = 0; i < (size_t) THREADS * POSTS; i++)
        EXPECT_OK(sl_sem_acquire(&world.arrived)); /* sleeps whenever it is faster than they are */
    for (size_t i = 0; i < THREADS; i++) {
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
        EXPECT_EQ(world.next[i], POSTS);
    }
    return 0;
}

/* Would catch a lost wake-up: the test would hang. Under the simulated loop nobody may post from
 * outside. */
TEST(posts_of_threads_arrive_in_order)
{
    const char *loop = getenv("SLUICE_LOOP");

    if (loop && strcmp(loop, "sim") == 0) {
        test_skip("the simulated loop has no other threads");
        return;
    }
    EXPECT_OK(sl_run(takes_posts, NULL));
}

static void sets_event(sl_task *task)
{
    Post *post = CONTAINER_OF(task, Post, task);

    post->number = 7;
    sl_sem_release(&world.arrived);
}

static int posts_to_itself(void *arg)
{
    Post post = { .task = { .fn = sets_event } };

    (void) arg;
    world.arrived = (sl_sem){ .count = 0 };
    sl_post(sl_loop_self(), &post.task);
    EXPECT_EQ(post.number, 0);
    EXPECT_OK(sl_sem_acquire(&world.arrived));
    EXPECT_EQ(post.number, 7);
    return 0;
}

TEST(a_loop_may_post_to_itself)
{
    EXPECT_OK(sl_run(posts_to_itself, NULL));
}

TEST_MAIN()
