/*
 * Pictures by URL, without a network: signatures, files below a folder, flights that are shared,
 * the cache on disk. A handler stands in for image that is no box and tells how often it ran.
 */
#include "serve/pictures_world_int.h"

#include "base/metrics.h"

#include <signal.h>
#include <sys/resource.h>

/* ---- tests ----------------------------------------------------------------------------------- */

WORLD_TEST(gives_what_the_handler_makes, false)
{
    AUTO(picture_ask_deinit) PictureAsk ask = { .accept = str_from_c("text/html,image/webp,*/*") };

    EXPECT_OK(get(world, "w:7", "a.jpg", &ask));
    EXPECT_STR(buf_str(&ask.body), str_from_c("7 image/webp apple"));
    EXPECT(ask.varies && !ask.is_kept);
    EXPECT_STR(str_from_c(ask.type), str_from_c("image/webp"));
    EXPECT_EQ(strlen(ask.tag), 34);
    EXPECT_OK(get(world, "w:7,f:jpg", "a.jpg", &ask));
    EXPECT_STR(buf_str(&ask.body), str_from_c("7  apple"));
    EXPECT(!ask.varies);
}

WORLD_TEST(refuses_what_is_not_signed, false)
{
    AUTO(picture_ask_deinit)
    PictureAsk ask = { .signature = str_from_c("unsigned"),
                       .options = str_from_c("w:7"),
                       .source = str_from_c("a.jpg"),
                       .signed_text = str_from_c("/w:7/a.jpg") };

    EXPECT_ERR(pictures_get(world->pictures, &ask), -ERR_FORBIDDEN, "signature");
    ask.signature = str_from_c("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    EXPECT_ERR(pictures_get(world->pictures, &ask), -ERR_FORBIDDEN, "signature");
    EXPECT_EQ(stats_of(world).loaded, 0);
}

WORLD_TEST(an_end_is_an_end, false)
{
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };
    char options[64];

    EXPECT_ERR(get(world, "exp:1000000000", "a.jpg", &ask), -ERR_FORBIDDEN, "was good until");
    (void) snprintf(options, sizeof(options), "exp:%lld", (long long) (sl_wall_ms() / 1000 + 20));
    EXPECT_OK(get(world, options, "a.jpg", &ask));
    EXPECT(ask.max_age_s > 0 && ask.max_age_s <= 20);
}

WORLD_TEST(nothing_leads_out_of_the_folder, false)
{
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };

    write_text("secret", "secret");
    ASSERT(symlink("../secret", in_folder(world, "link.jpg")) == 0);
    ASSERT(symlink("/etc", in_folder(world, "etc")) == 0);
    ASSERT(symlink("a.jpg", in_folder(world, "inner.jpg")) == 0);
    ASSERT(mkfifo(in_folder(world, "fifo"), 0600) == 0);
    EXPECT_ERR(get(world, "-", "link.jpg", &ask), -ERR_NOT_FOUND, "there is no file");
    EXPECT_ERR(get(world, "-", "etc/passwd", &ask), -ERR_NOT_FOUND, "there is no file");
    EXPECT_ERR(get(world, "-", "fifo", &ask), -ERR_NOT_FOUND, "there is no file");
    EXPECT_ERR(get(world, "-", ".", &ask), -ERR_INVALID, "source");
    EXPECT_ERR(get(world, "-", "../secret", &ask), -ERR_INVALID, "source");
    EXPECT_ERR(get(world, "-", "none.jpg", &ask), -ERR_NOT_FOUND, "there is no file");
    EXPECT_OK(get(world, "-", "inner.jpg", &ask));
}

/* The client's policy refuses after DNS; what is not among the rules does not get that far. */
WORLD_TEST(private_addresses_are_refused, false)
{
    static const char *const forbidden[] = {
        "http://127.0.0.1/",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[fe80::1%25lo]/",
        "http://169.254.169.254/latest/",
        "http://localhost/",
        "http://user@127.0.0.1/",
        "http://[::]/",
        "http://127.1/",
        "http://100.64.0.1/",
    };
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };
    Pictures *strict = world->pictures, *open;
    PicturesOpts opts = world->opts;

    opts.n_rules = 0; /* every URL that is signed: the address alone decides */
    EXPECT_OK(pictures_start(&open, world->nursery, &opts));
    world->pictures = open;
    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
        int r = get(world, "-", forbidden[i], &ask);

        if (r != -ERR_FORBIDDEN && r != -ERR_INVALID)
            test_fail(__FILE__, __LINE__, "%s: got %d: %s", forbidden[i], r,
                      r < 0 ? err_text(r) : "");
    }
    world->pictures = strict;
    pictures_stop(open);
    EXPECT_ERR(get(world, "-", "http://127.0.0.1/x.jpg", &ask), -ERR_FORBIDDEN, "not allowed");
    EXPECT_ERR(get(world, "-", "http://elsewhere.test/x.jpg", &ask), -ERR_FORBIDDEN,
               "images.sources");
}

WORLD_TEST(errors_are_told_and_not_kept, true)
{
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };

    EXPECT_ERR(get(world, "-", "b.jpg", &ask), -ERR_UNREADABLE, "no picture");
    EXPECT_ERR(get(world, "w:1000", "a.jpg", &ask), -ERR_INVALID, "width");
    EXPECT_ERR(get(world, "wide:3", "a.jpg", &ask), -ERR_INVALID, "no option");
    EXPECT_EQ(stats_of(world).entries, 0);
}

/* ---- the cache ------------------------------------------------------------------------------- */

WORLD_TEST(keeps_what_was_made_until_the_file_changes, true)
{
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };
    char tag[PICTURE_TAG_BYTES];

    EXPECT_OK(get(world, "w:3", "a.jpg", &ask));
    EXPECT(!ask.is_kept);
    memcpy(tag, ask.tag, sizeof(tag));
    while (stats_of(world).entries == 0) /* it is kept after it has been answered */
        EXPECT_OK(sl_yield());
    EXPECT_OK(get(world, "w:3", "a.jpg", &ask));
    EXPECT(ask.is_kept);
    EXPECT_STR(str_from_c(ask.tag), str_from_c(tag));
    EXPECT_STR(buf_str(&ask.body), str_from_c("3  apple"));
    EXPECT_EQ(stats_of(world).made, 1);
    write_text(in_folder(world, "a.jpg"), "another apple");
    EXPECT_OK(get(world, "w:3", "a.jpg", &ask));
    EXPECT(!ask.is_kept);
    EXPECT_STR(buf_str(&ask.body), str_from_c("3  another apple"));
}

WORLD_TEST(the_cache_survives_a_restart_and_damage, true)
{
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };

    EXPECT_OK(get(world, "w:4", "a.jpg", &ask));
    while (stats_of(world).entries == 0)
        EXPECT_OK(sl_yield());
    pictures_stop(world->pictures);
    EXPECT_OK(pictures_start(&world->pictures, world->nursery, &world->opts));
    EXPECT_EQ(stats_of(world).entries, 1);
    EXPECT_OK(get(world, "w:4", "a.jpg", &ask));
    EXPECT(ask.is_kept);
}

static const char key_of[] = "00000000000000000000000000000000000000000000000000000000000000a0";

static void make_key(int i, char out[static PICTURE_KEY_BYTES + 1])
{
    memcpy(out, key_of, sizeof(key_of));
    out[0] = (char) ('0' + i);
}

WORLD_TEST(the_cache_is_bounded_and_forgets_the_oldest_use, true)
{
    char bytes[1000] = { 'x' }, key[PICTURE_KEY_BYTES + 1], path[400];
    PictureEntry entry = { .type = str_from_c("image/webp"),
                           .etag = str_from_c("\"t\""),
                           .tag = str_from_c("a b\n\xff"),
                           .kept_s = 5,
                           .bytes = str_from(bytes, sizeof(bytes)) };
    PictureEntry got;
    PictureCache *cache;

    EXPECT_OK(picture_cache_open(&cache, world->cache, 3500));
    for (int i = 0; i < 3; i++) {
        make_key(i, key);
        picture_cache_put(cache, key, &entry);
    }
    EXPECT_EQ(picture_cache_len(cache), 3);
    make_key(0, key);
    EXPECT_OK(picture_cache_get(cache, key, &got));
    EXPECT_STR(got.tag, entry.tag);
    EXPECT_STR(got.bytes, entry.bytes);
    EXPECT_EQ(got.kept_s, 5);
    picture_entry_deinit(&got);
    make_key(3, key);
    picture_cache_put(cache, key, &entry);
    EXPECT_EQ(picture_cache_len(cache), 3);
    EXPECT(picture_cache_bytes(cache) <= 3500);
    make_key(1, key); /* 0 has been used since */
    EXPECT_EQ(picture_cache_get(cache, key, &got), PICTURE_CACHE_NONE);

    make_key(3, key);
    (void) snprintf(path, sizeof(path), "%s/%.2s/%s", world->cache, key, key + 2);
    EXPECT_EQ(truncate(path, 900), 0); /* as after a loss of power */
    EXPECT_EQ(picture_cache_get(cache, key, &got), PICTURE_CACHE_NONE);
    EXPECT_EQ(picture_cache_len(cache), 2);
    picture_cache_free(cache);
    EXPECT_OK(picture_cache_open(&cache, world->cache, 1500));
    EXPECT_EQ(picture_cache_len(cache), 1);
    picture_cache_free(cache);
}

static const PictureEntry small = { .type = STR("image/webp"),
                                    .etag = STR("\"t\""),
                                    .kept_s = 5,
                                    .fresh_s = -1,
                                    .bytes = STR("a picture") };

static bool has(PictureCache *cache, const char *key)
{
    AUTO(picture_entry_deinit) PictureEntry got = { 0 };

    return picture_cache_get(cache, key, &got) == 0 && str_eq(got.bytes, small.bytes);
}

static const char *in_cache(const World *world, const char *name)
{
    static char path[400];

    (void) snprintf(path, sizeof(path), "%s/%s", world->cache, name);
    return path;
}

/* Catches a cache that takes what somebody else has put into its folder for its own, or for litter;
 * and one that leaves its own litter. */
WORLD_TEST(the_cache_leaves_what_is_not_its_own, true)
{
    static const char *const foreign[] = { "notes.txt", "a0/notes.txt", "a0/half.tmp", "a0/.x",
                                           "30/0123" };
    static const struct timespec long_ago[2] = { { 1000, 0 }, { 1000, 0 } };
    char key[PICTURE_KEY_BYTES + 1], litter[100], young[100];
    PictureCache *cache;

    EXPECT_OK(picture_cache_open(&cache, world->cache, 3500));
    ASSERT(mkdir(in_cache(world, "a0"), 0700) == 0 && mkdir(in_cache(world, "30"), 0700) == 0);
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
        write_text(in_cache(world, foreign[i]), "mine");
    ASSERT(mkdir(in_cache(world, "30/folder"), 0700) == 0);
    make_key(0, key);
    (void) snprintf(litter, sizeof(litter), "30/%s.1a2b.tmp", key + 2);
    (void) snprintf(young, sizeof(young), "30/%s.3c4d.tmp", key + 2);
    write_text(in_cache(world, litter), "half");
    write_text(in_cache(world, young), "half");
    EXPECT_EQ(utimensat(AT_FDCWD, in_cache(world, litter), long_ago, 0), 0);
    picture_cache_put(cache, key, &small);
    picture_cache_free(cache);

    EXPECT_OK(picture_cache_open(&cache, world->cache, 3500));
    EXPECT_EQ(picture_cache_len(cache), 1);
    EXPECT(has(cache, key));
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
        EXPECT_EQ(access(in_cache(world, foreign[i]), F_OK), 0);
    EXPECT(access(in_cache(world, litter), F_OK) != 0);
    EXPECT_EQ(access(in_cache(world, young), F_OK), 0); /* another engine may be writing it */
    picture_cache_free(cache);
}

/* Catches pictures that are never kept again, or bytes that are counted for ever, after somebody
 * has emptied the folder. */
WORLD_TEST(the_cache_survives_the_loss_of_its_folder, true)
{
    char key[PICTURE_KEY_BYTES + 1], aside[300];
    PictureCache *cache;

    EXPECT_OK(picture_cache_open(&cache, world->cache, 3500));
    make_key(0, key);
    picture_cache_put(cache, key, &small);
    EXPECT(has(cache, key));
    (void) snprintf(aside, sizeof(aside), "%s.aside", world->cache);
    ASSERT(rename(world->cache, aside) == 0);
    EXPECT(!has(cache, key));
    EXPECT_EQ(picture_cache_bytes(cache), 0);
    picture_cache_put(cache, key, &small);
    EXPECT(has(cache, key));
    picture_cache_free(cache);
}

/* Two engines use one folder: each finds what is gone, and what the other has put there anew. */
WORLD_TEST(the_cache_may_be_shared, true)
{
    char key[PICTURE_KEY_BYTES + 1];
    PictureCache *one, *two;

    EXPECT_OK(picture_cache_open(&one, world->cache, 3500));
    make_key(0, key);
    picture_cache_put(one, key, &small);
    EXPECT_OK(picture_cache_open(&two, world->cache, 500));
    EXPECT(has(two, key));
    picture_cache_put(two, key, &small);
    EXPECT(has(one, key));
    for (int i = 1; i < 10; i++) { /* the first one leaves to make room */
        make_key(i, key);
        picture_cache_put(two, key, &small);
    }
    make_key(0, key);
    EXPECT(!has(one, key));
    EXPECT_EQ(picture_cache_bytes(one), 0);
    EXPECT(picture_cache_bytes(two) <= 500);
    picture_cache_free(one);
    picture_cache_free(two);
}

/* Catches an answer that fails because it cannot be kept, and bytes that are counted though they
 * are not there. A limit on the size of files stands in for a full disk. */
WORLD_TEST(the_cache_may_have_no_room, true)
{
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };
    struct rlimit limit = { .rlim_cur = 10, .rlim_max = RLIM_INFINITY }, before;
    int64_t not_kept = metrics_value(METRIC_PICTURES_NOT_KEPT);

    ASSERT(getrlimit(RLIMIT_FSIZE, &before) == 0);
    (void) signal(SIGXFSZ, SIG_IGN);
    limit.rlim_max = before.rlim_max;
    ASSERT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    EXPECT_OK(get(world, "w:3", "a.jpg", &ask));
    while (metrics_value(METRIC_PICTURES_NOT_KEPT) == not_kept)
        EXPECT_OK(sl_yield());
    ASSERT(setrlimit(RLIMIT_FSIZE, &before) == 0);
    EXPECT_EQ(stats_of(world).entries, 0);
    EXPECT_EQ(stats_of(world).bytes, 0);
    EXPECT_OK(get(world, "w:3", "a.jpg", &ask));
    EXPECT(!ask.is_kept);
}

WORLD_TEST(the_cache_needs_a_folder, true)
{
    PictureCache *cache;

    write_text(in_folder(world, "file"), "x");
    EXPECT_ERR(picture_cache_open(&cache, in_folder(world, "file"), 100), -ENOTDIR, "file");
    EXPECT_ERR(picture_cache_open(&cache, in_folder(world, "none/deep"), 100), -ENOENT, "deep");
}

/* ---- flights --------------------------------------------------------------------------------- */

typedef struct Asker {
    World *world;
    int r;
    bool is_done;
} Asker;

SUSPENDS static int ask_once(void *arg)
{
    AUTO(picture_ask_deinit) PictureAsk ask = { 0 };
    Asker *asker = arg;

    asker->r = get(asker->world, "w:9", "a.jpg", &ask);
    asker->is_done = asker->r == 0 && str_eq_c(buf_str(&ask.body), "9  apple");
    return 0;
}

WORLD_TEST(who_asks_for_the_same_shares_one_run, false)
{
    sl_nursery *nursery = sl_nursery_open(.name = "askers");
    Asker askers[20];

    for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
        askers[i] = (Asker){ .world = world };
        EXPECT_OK(sl_spawn(nursery, ask_once, &askers[i]));
    }
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++)
        EXPECT(askers[i].is_done);
    EXPECT_EQ(stats_of(world).made, 1);
    EXPECT_EQ(stats_of(world).shared, 19);
}

/* Those who leave take nothing from the others, and when all have left nothing goes on. */
WORLD_TEST(who_leaves_does_not_matter_to_others, false)
{
    sl_nursery *leaving = sl_nursery_open(.name = "leaving");
    sl_nursery *staying = sl_nursery_open(.name = "staying");
    Asker gone = { .world = world }, here = { .world = world };

    EXPECT_OK(sl_spawn(leaving, ask_once, &gone));
    EXPECT_OK(sl_spawn(staying, ask_once, &here));
    EXPECT_OK(sl_yield());
    sl_nursery_cancel(leaving);
    EXPECT_OK(sl_nursery_join(staying));
    EXPECT(here.is_done && gone.r == -ECANCELED);
    sl_nursery_close(staying);
    sl_nursery_close(leaving);

    leaving = sl_nursery_open(.name = "leaving");
    EXPECT_OK(sl_spawn(leaving, ask_once, &gone));
    EXPECT_OK(sl_yield());
    sl_nursery_cancel(leaving);
    sl_nursery_close(leaving);
    EXPECT_EQ(gone.r, -ECANCELED);
}

TEST_MAIN()
