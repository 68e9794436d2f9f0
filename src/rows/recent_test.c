/*
 * The set of keys that were seen, against a plain list. Would catch a key that is forgotten too
 * early or kept too long, a slot that is lost when others are freed, growth without bound, and
 * state that comes back as another one.
 */
#include "rows/recent.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/test.h"

#include <stdlib.h>
#include <time.h>

static const uint64_t seed[2] = { 1, 2 };

/* ---- the plain list -------------------------------------------------------------------------- */

#define MODEL_KEYS 300

typedef struct Model {
    bool is_there[MODEL_KEYS];
    int64_t time_ns[MODEL_KEYS]; /* at which it went on the last time */
} Model;

static bool model_add(Model *model, size_t key, int64_t time_ns, int64_t within_ns)
{
    int64_t apart = llabs(time_ns - model->time_ns[key]);

    if (model->is_there[key] && apart < within_ns)
        return true;
    model->is_there[key] = true;
    model->time_ns[key] = time_ns;
    return false;
}

/* Hashes that fall into few slots. */
static uint64_t hash_of(size_t key, bool is_crowded)
{
    Rand rand;
    uint64_t hash;

    rand_init(&rand, key);
    hash = rand_u64(&rand);
    return is_crowded ? (hash & UINT32_MAX) | (uint64_t) (key % 5) << 32 : hash;
}

TEST(by_arrival_it_agrees_with_a_plain_list)
{
    for (int is_crowded = 0; is_crowded < 2; is_crowded++) {
        AUTO(recent_deinit) Recent recent = { 0 };
        Model model = { 0 };
        int64_t now = -1000;
        Rand rand;

        rand_init(&rand, 5);
        recent_init(&recent, 100, false, seed);
        for (int i = 0; i < 50000; i++) {
            size_t key = rand_below(&rand, MODEL_KEYS);
            int r;

            now += (int64_t) rand_below(&rand, 3);
            now += rand_below(&rand, 2000) == 0 ? 500 : 0;
            r = recent_add(&recent, hash_of(key, is_crowded), now, now);
            EXPECT_EQ(r, model_add(&model, key, now, 100));
        }
        EXPECT(recent.n <= 512);
    }
}

/* Where the newest time is `within` after a key, it may or may not be forgotten. */
TEST(by_event_time_it_agrees_where_nothing_is_forgotten)
{
    AUTO(recent_deinit) Recent recent = { 0 };
    Model model = { 0 };
    int64_t clock = 1000000, newest = INT64_MIN;
    Rand rand;
    int n_repeats = 0, n_new = 0;

    rand_init(&rand, 6);
    recent_init(&recent, 100, true, seed);
    for (int i = 0; i < 50000; i++) {
        size_t key = rand_below(&rand, MODEL_KEYS);
        int64_t time;
        bool is_repeat;
        int r;

        clock += (int64_t) rand_below(&rand, 3);
        time = clock - (int64_t) rand_below(&rand, 40);
        newest = MAX(newest, time);
        is_repeat = model.is_there[key] && llabs(time - model.time_ns[key]) < 100;
        r = recent_add(&recent, hash_of(key, false), time, clock + 10);
        if (!is_repeat)
            EXPECT_EQ(r, 0);
        else if (newest - model.time_ns[key] < 100)
            EXPECT_EQ(r, RECENT_BEFORE);
        n_repeats += r;
        n_new += r == 0;
        if (r == 0 && !(model.is_there[key] && time < model.time_ns[key]))
            (void) model_add(&model, key, time, 0);
    }
    EXPECT(n_repeats > 1000 && n_new > 1000);
    EXPECT(recent.n <= 512);
}

TEST(times_at_their_ends_do_no_harm)
{
    static const int64_t times[] = { INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX };

    for (int is_by_event = 0; is_by_event < 2; is_by_event++) {
        AUTO(recent_deinit) Recent recent = { 0 };

        recent_init(&recent, 1000, is_by_event, seed);
        for (size_t i = 0; i < 49 * 49; i++) {
            int64_t time = times[i % 7], now = is_by_event ? times[i / 7 % 7] : time;

            EXPECT(recent_add(&recent, i % 11, time, now) >= 0);
        }
        EXPECT(recent.n <= 64);
    }
}

TEST(a_row_from_the_future_makes_it_forget_nothing)
{
    AUTO(recent_deinit) Recent recent = { 0 };

    recent_init(&recent, 100, true, seed);
    EXPECT_EQ(recent_add(&recent, 1, 1000, 1000), 0);
    EXPECT_EQ(recent_add(&recent, 2, INT64_MAX, 1001), 0);
    EXPECT_EQ(recent_add(&recent, 1, 1000, 1002), RECENT_BEFORE);
    EXPECT_EQ(recent_add(&recent, 2, INT64_MAX, 1003), RECENT_BEFORE);
}

TEST(a_clock_that_is_set_does_no_harm_for_long)
{
    AUTO(recent_deinit) Recent recent = { 0 };

    recent_init(&recent, 100, false, seed);
    EXPECT_EQ(recent_add(&recent, 1, 1000000, 1000000), 0);
    EXPECT_EQ(recent_add(&recent, 1, 1000, 1000),
              0); /* set back: it was not seen within the time */
    EXPECT_EQ(recent_add(&recent, 1, 1099, 1099), RECENT_BEFORE);
    EXPECT_EQ(recent_add(&recent, 1, 1100, 1100), 0);
    EXPECT_EQ(recent.n, 1);
}

TEST(beyond_the_limit_the_oldest_go)
{
    AUTO(recent_deinit) Recent recent = { 0 };

    recent_init(&recent, 1000000, false, seed);
    recent.keys_max = 1024;
    for (uint64_t i = 0; i < 5000; i++)
        EXPECT_EQ(recent_add(&recent, hash_of(i, false), (int64_t) i, (int64_t) i), 0);
    EXPECT_EQ(recent.n, 1024);
    EXPECT_EQ(recent.forgotten, 5000 - 1024);
    EXPECT_EQ(recent_bytes(&recent), 1024 * 32);
    for (uint64_t i = 5000 - 1024; i < 5000; i++)
        EXPECT_EQ(recent_add(&recent, hash_of(i, false), 5000, 5000), RECENT_BEFORE);
    EXPECT_EQ(recent_add(&recent, hash_of(5000 - 1025, false), 5000, 5000), 0);
}

TEST(memory_is_given_back)
{
    AUTO(recent_deinit) Recent recent = { 0 };

    recent_init(&recent, 1000, false, seed);
    for (uint64_t i = 0; i < 100000; i++)
        EXPECT_EQ(recent_add(&recent, hash_of(i, false), 0, 0), 0);
    EXPECT_EQ(recent_bytes(&recent), 131072 * 32);
    for (uint64_t i = 0; i < 100000; i++)
        EXPECT(recent_add(&recent, hash_of(i % 10, false), 2000 + (int64_t) i,
                          2000 + (int64_t) i) >= 0);
    EXPECT(recent_bytes(&recent) <= 1024 * 32);
}

TEST(saved_and_loaded_anywhere_it_goes_on_as_if_it_had_never_stopped)
{
    for (int is_by_event = 0; is_by_event < 2; is_by_event++) {
        AUTO(recent_deinit) Recent uncut = { 0 };
        AUTO(recent_deinit) Recent stopped = { 0 };
        int64_t clock = 0;
        Rand rand;

        rand_init(&rand, 8);
        recent_init(&uncut, 300, is_by_event, seed);
        recent_init(&stopped, 300, is_by_event, seed);
        uncut.keys_max = stopped.keys_max = 128;
        for (int i = 0; i < 20000; i++) {
            uint64_t hash = hash_of(rand_below(&rand, 400), false);
            int64_t time;

            clock += (int64_t) rand_below(&rand, 4);
            time = is_by_event ? clock - (int64_t) rand_below(&rand, 400) : clock;
            EXPECT_EQ(recent_add(&uncut, hash, time, clock),
                      recent_add(&stopped, hash, time, clock));
            if (rand_below(&rand, 50) == 0) {
                AUTO(buf_deinit) Buf bytes = { 0 };

                recent_save(&stopped, &bytes);
                recent_deinit(&stopped);
                recent_init(&stopped, 300, is_by_event, (uint64_t[2]){ 7, 7 });
                stopped.keys_max = 128;
                EXPECT_OK(recent_load(&stopped, buf_str(&bytes)));
                EXPECT_EQ(stopped.seed[0], seed[0]);
            }
        }
    }
}

TEST(damaged_bytes_are_refused)
{
    AUTO(buf_deinit) Buf bytes = { 0 };
    AUTO(recent_deinit) Recent recent = { 0 };

    recent_init(&recent, 300, false, seed);
    for (uint64_t i = 0; i < 20; i++)
        EXPECT_EQ(recent_add(&recent, hash_of(i, false), (int64_t) i, (int64_t) i), 0);
    recent_save(&recent, &bytes);
    for (size_t n = 0; n < bytes.len; n++) {
        AUTO(recent_deinit) Recent cut = { 0 };

        recent_init(&cut, 300, false, seed);
        EXPECT_EQ(recent_load(&cut, str_from(bytes.data, n)), RECENT_DAMAGED);
    }
    for (size_t i = 0; i < 8 * bytes.len; i++) {
        AUTO(recent_deinit) Recent damaged = { 0 };

        recent_init(&damaged, 300, false, seed);
        bytes.data[i / 8] = (char) (bytes.data[i / 8] ^ 1 << i % 8);
        if (recent_load(&damaged, buf_str(&bytes)) == 0)
            for (uint64_t k = 0; k < 100; k++)
                EXPECT(recent_add(&damaged, hash_of(k, true), (int64_t) k, (int64_t) k) >= 0);
        bytes.data[i / 8] = (char) (bytes.data[i / 8] ^ 1 << i % 8);
    }
}

TEST(without_memory_it_says_so_and_goes_on)
{
    AUTO(recent_deinit) Recent recent = { 0 };
    uint64_t key = 0;

    recent_init(&recent, 1000, false, seed);
    FOR_EACH_FAULT {
        for (int i = 0; i < 70; i++)
            (void) recent_add(&recent, hash_of(key++, false), 0, 0);
    }
    EXPECT_EQ(recent_add(&recent, hash_of(key - 1, false), 0, 0), RECENT_BEFORE);
}

/* With SLUICE_TEST_FIGURES set the test prints what it measures. */
TEST(a_million_keys_stream_through)
{
    static const uint64_t n = 1000000;
    AUTO(recent_deinit) Recent recent = { 0 };
    struct timespec begin, end;
    Rand rand;

    rand_init(&rand, 3);
    recent_init(&recent, (int64_t) n, false, seed);
    for (uint64_t i = 0; i < n; i++)
        EXPECT_EQ(recent_add(&recent, rand_u64(&rand), (int64_t) i, (int64_t) i), 0);
    EXPECT_EQ(recent.n, n);
    EXPECT_EQ(recent_bytes(&recent), 32ull << 20);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    for (uint64_t i = n; i < 2 * n; i++)
        EXPECT_EQ(recent_add(&recent, rand_u64(&rand), (int64_t) i, (int64_t) i), 0);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    EXPECT_EQ(recent.n, n);
    if (getenv("SLUICE_TEST_FIGURES"))
        printf("a million keys: %zu bytes each, %lld ns for one in and one out\n",
               recent_bytes(&recent) / n,
               (long long) ((end.tv_sec - begin.tv_sec) * NS_PER_S + end.tv_nsec - begin.tv_nsec) /
                   (long long) n);
}

TEST_MAIN()
