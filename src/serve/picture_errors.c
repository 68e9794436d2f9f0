/*
 * Errors of pictures that are remembered; see the header.
 *
 * All of them live equally long, so the order of their arrival is that of their ends.
 */
#include "serve/picture_errors.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "serve/picture_cache.h"

#include <sluice/rt.h>

#include <string.h>

typedef struct Failure {
    ListLink link; /* in by_time */
    char key[PICTURE_KEY_BYTES + 1];
    int64_t since_s;
    Err err;
} Failure;

struct PictureErrors {
    int64_t age_s;
    Map kept; /* key -> Failure */
    List by_time;
};

PictureErrors *picture_errors_new(int64_t age_s)
{
    PictureErrors *errors = mem_new(PictureErrors);

    ASSERT(age_s > 0);
    errors->age_s = age_s;
    map_init(&errors->kept, sl_random(), sl_random());
    return errors;
}

static void forget(PictureErrors *errors, Failure *failure)
{
    list_remove(&failure->link);
    (void) map_remove(&errors->kept, str_from(failure->key, PICTURE_KEY_BYTES));
    mem_free(failure);
}

void picture_errors_free(PictureErrors *errors)
{
    if (!errors)
        return;
    while (!list_is_empty(&errors->by_time))
        forget(errors, LIST_ITEM(errors->by_time.first, Failure, link));
    map_deinit(&errors->kept);
    mem_free(errors);
}

/* Of the source or the picture, by the status that it is answered with. */
static bool is_kept(int code)
{
    int status = err_http_status(code);

    return status == 403 || status == 404 || status == 413 || status == 422 || status == 502 ||
           status == 504;
}

int64_t picture_errors_find(PictureErrors *errors, const char *key, int64_t now_s, Err *ret_err)
{
    Failure *failure = map_find(&errors->kept, str_from(key, PICTURE_KEY_BYTES));
    int64_t age_s;

    if (!failure)
        return 0;
    age_s = now_s - failure->since_s;
    if (age_s < 0 || age_s >= errors->age_s) {
        forget(errors, failure);
        return 0;
    }
    *ret_err = failure->err;
    return errors->age_s - age_s;
}

void picture_errors_put(PictureErrors *errors, const char *key, int64_t now_s, const Err *err)
{
    Str name = str_from(key, PICTURE_KEY_BYTES);
    Failure *failure = map_find(&errors->kept, name);

    if (!is_kept(err->code))
        return;
    if (failure)
        forget(errors, failure);
    if (errors->kept.len >= LIMIT_SERVE_PICTURE_ERRORS)
        forget(errors, LIST_ITEM(errors->by_time.first, Failure, link));
    failure = mem_new(Failure);
    memcpy(failure->key, key, PICTURE_KEY_BYTES);
    failure->since_s = now_s;
    failure->err = *err;
    list_push_back(&errors->by_time, &failure->link);
    (void) map_put(&errors->kept, name, failure);
}

size_t picture_errors_len(const PictureErrors *errors)
{
    return errors->kept.len;
}
