/*
 * Where a job's picture comes from and where its outputs go.
 *
 * An http or https URL is fetched with GET and answered with PUT, by the HTTP client of the loop,
 * whose policy says which addresses may be reached. Anything else is a path: below the folder that
 * the operator names for jobs, or anywhere where a person runs it. A job may run twice, so what is
 * there already is written over.
 */
#include "handlers/image/carry.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/text.h"
#include "handlers/image/args.h"
#include "net/http_client.h"
#include "rows/file_below.h"

#include <sluice/rt.h>

static const Str name_word = STR("{name}");

static bool is_url(Str place)
{
    return str_starts(place, str_from_c("http://")) || str_starts(place, str_from_c("https://"));
}

/* One file, for the pool. */
typedef struct Carrying {
    const char *folder;
    const char *path;
    Buf *in;
    Str out;
} Carrying;

static int read_file(void *arg)
{
    Carrying *carrying = arg;

    return file_below_read(carrying->folder, carrying->path, LIMIT_IMAGE_BYTES, carrying->in);
}

static int write_file(void *arg)
{
    Carrying *carrying = arg;

    return file_below_write(carrying->folder, carrying->path, carrying->out);
}

/* The folder that PATH is to be looked up below, and PATH as it stands there. */
static int find_folder(Task *task, Str path, Carrying *carrying)
{
    bool is_absolute = path.len > 0 && path.data[0] == '/';

    carrying->folder = task->is_foreground ? (is_absolute ? "/" : ".") : task->files_dir;
    carrying->path = arena_copy_c(task->arena,
                                  str_sub(path, task->is_foreground && is_absolute, path.len));
    if (!carrying->folder)
        return task_fail(task, "forbidden",
                         "%.*s: jobs may not use files here; see images.jobs_folder in the "
                         "settings",
                         (int) MIN(path.len, (size_t) 200), path.data);
    return 0;
}

/* Bytes that live as long as the task. */
static int take_input(Task *task, Buf *bytes)
{
    char *room = arena_try(task->arena, MAX(bytes->len, (size_t) 1));

    if (!room)
        return fail(-ERR_TOO_LARGE, "no room for a source of %zu bytes", bytes->len);
    if (bytes->len > 0)
        memcpy(room, bytes->data, bytes->len);
    task->input.bytes = str_from(room, bytes->len);
    return 0;
}

static int status_failed(Task *task, const char *what, int status)
{
    bool may_pass = status >= 500 || status == 408 || status == 429;

    if (may_pass)
        return fail(-ERR_HTTP_STATUS, "%s: status %d", what, status);
    return task_fail(task, "http_status", "%s: status %d", what, status);
}

SUSPENDS static int fetch(Task *task, Str url)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    HttpCall call = { .url = url, .body_bytes_max = LIMIT_IMAGE_BYTES, .accept = "image/*" };
    int r = http_client_call(task_http(task), &call, &answer);

    if (r < 0)
        return wrap(r, "source");
    if (answer.status != 200)
        return status_failed(task, "source", answer.status);
    return take_input(task, &answer.body);
}

int image_load(Task *task, const void *args)
{
    AUTO(buf_deinit) Buf bytes = { 0 };
    const ImageArgs *asked = args;
    Carrying carrying = { .in = &bytes };
    int r;

    if (!asked->source.len)
        return 0; /* the handler says what is missing */
    if (is_url(asked->source))
        return fetch(task, asked->source);
    r = find_folder(task, asked->source, &carrying);
    if (r == 0)
        r = sl_offload(read_file, &carrying, .name = "read picture");
    return r < 0 ? wrap(r, "source") : take_input(task, &bytes);
}

SUSPENDS static int put(Task *task, const TaskBlob *blob, Str url)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    HttpHeader type = { .name = str_from_c("Content-Type"),
                        .value = str_from_c(blob->media_type ? blob->media_type
                                                             : "application/octet-stream") };
    HttpCall call = { .method = str_from_c("PUT"),
                      .url = url,
                      .headers = &type,
                      .n_headers = 1,
                      .body = blob->bytes,
                      .redirects_max = -1 };
    int r = http_client_call(task_http(task), &call, &answer);

    if (r < 0)
        return wrap(r, "destination");
    return answer.status / 100 == 2 ? 0 : status_failed(task, "destination", answer.status);
}

SUSPENDS static int write_below(Task *task, const TaskBlob *blob, Str path)
{
    Carrying carrying = { .out = blob->bytes };
    int r = find_folder(task, path, &carrying);

    if (r == 0)
        r = sl_offload(write_file, &carrying, .name = "write picture");
    return wrap(r, "destination");
}

/* PLACE with the output's name in it. */
static Str fill_name(Task *task, Str place, const TaskBlob *blob)
{
    AUTO(buf_deinit) Buf text = { 0 };

    while (place.len > 0) {
        bool is_word = str_starts(place, name_word);

        if (is_word)
            buf_add_c(&text, blob->name ? blob->name : "");
        else
            buf_add_char(&text, place.data[0]);
        place = str_sub(place, is_word ? name_word.len : 1, place.len);
    }
    return arena_copy(task->arena, buf_str(&text));
}

int image_deliver(Task *task, const void *args)
{
    const ImageArgs *asked = args;
    Str place = asked->destination;
    int r = 0;

    if (!place.len)
        return 0;
    if (task->n_outputs > 1 && !str_contains(place, name_word))
        return task_fail(task, "arguments", "destination: several outputs need {name} in it");
    for (uint32_t i = 0; r == 0 && i < task->n_outputs; i++) {
        Str to = fill_name(task, place, &task->outputs[i]);

        r = is_url(to) ? put(task, &task->outputs[i], to)
                       : write_below(task, &task->outputs[i], to);
    }
    return r;
}
