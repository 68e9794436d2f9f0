/*
 * Errors of pictures that are remembered: which ones, for how long, and how many.
 */
#include "serve/picture_errors.h"

#include "base/limits.h"
#include "base/macro.h"
#include "base/test.h"
#include "serve/picture_cache.h"

#include <stdio.h>
#include <string.h>

static const char *key_at(size_t i)
{
    static char key[PICTURE_KEY_BYTES + 1];

    (void) snprintf(key, sizeof(key), "%064zx", i);
    return key;
}

static Err error_of(int code)
{
    Err err;

    err_take(fail(code, "words"), &err);
    return err;
}

TEST(ends_with_its_time)
{
    PictureErrors *errors = picture_errors_new(10);
    Err err = error_of(-ERR_NOT_FOUND), got;

    picture_errors_put(errors, key_at(1), 100, &err);
    EXPECT_EQ(picture_errors_find(errors, key_at(1), 103, &got), 7);
    EXPECT_EQ(got.code, -ERR_NOT_FOUND);
    EXPECT(strcmp(got.text, "words") == 0);
    EXPECT_EQ(picture_errors_find(errors, key_at(2), 103, &got), 0);
    EXPECT_EQ(picture_errors_find(errors, key_at(1), 110, &got), 0);
    EXPECT_EQ(picture_errors_len(errors), 0);
    picture_errors_put(errors, key_at(1), 100, &err);
    EXPECT_EQ(picture_errors_find(errors, key_at(1), 99, &got), 0); /* the clock went back */
    picture_errors_free(errors);
}

/* Catches an engine that tells for minutes that it is busy. */
TEST(keeps_only_what_will_stay)
{
    static const int kept[] = { -ERR_NOT_FOUND, -ERR_UNREADABLE, -ERR_HTTP_STATUS, -ERR_TOO_LARGE,
                                -ERR_DNS,       -ERR_FORBIDDEN,  -ETIMEDOUT };
    static const int others[] = { -ERR_BUSY, -ERR_UNAVAILABLE, -ERR_BOX,
                                  -ENOMEM,   -ECANCELED,       -ERR_INVALID };
    PictureErrors *errors = picture_errors_new(10);
    Err err;

    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        err = error_of(others[i]);
        picture_errors_put(errors, key_at(i), 0, &err);
    }
    EXPECT_EQ(picture_errors_len(errors), 0);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        err = error_of(kept[i]);
        picture_errors_put(errors, key_at(i), 0, &err);
    }
    EXPECT_EQ(picture_errors_len(errors), ARRAY_LEN(kept));
    picture_errors_free(errors);
}

TEST(is_bounded)
{
    PictureErrors *errors = picture_errors_new(10);
    Err err = error_of(-ERR_NOT_FOUND), got;

    for (size_t i = 0; i < LIMIT_SERVE_PICTURE_ERRORS + 5; i++)
        picture_errors_put(errors, key_at(i), 0, &err);
    EXPECT_EQ(picture_errors_len(errors), LIMIT_SERVE_PICTURE_ERRORS);
    EXPECT_EQ(picture_errors_find(errors, key_at(4), 0, &got), 0);
    EXPECT(picture_errors_find(errors, key_at(5), 0, &got) > 0);
    picture_errors_put(errors, key_at(5), 8, &err); /* in place of itself */
    EXPECT_EQ(picture_errors_find(errors, key_at(5), 9, &got), 9);
    picture_errors_free(errors);
}

TEST_MAIN()
