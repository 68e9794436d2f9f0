/*
 * `sluice image`; see the header.
 *
 *   list      files, folders and patterns become a list of sources (image_inputs.c)
 *   work      a fiber for each processor takes the next source, runs it, writes its outputs
 *
 * Listing is done with plain calls before anything runs. A source that fails gives its line on
 * stderr and the next one is taken. An output appears whole or not at all, and never over a file
 * that was there unless --force says so, nor over one that this run has written. ^C lets the
 * sources that have begun end and takes no further ones; after the next ^C, or some seconds, those
 * are stopped too, and after one more the process ends, whatever hangs (a FIFO that nobody writes).
 */
#define SL_MAY_BLOCK
#include "app/image_command.h"

#include "app/image_inputs.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/text.h"
#include "codec/width.h"
#include "worker/box.h"
#include "worker/runner.h"

#include <sluice/rt.h>

#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define STACK_BYTES     (256 << 10)
#define PROGRESS_MS     100
#define STOP_MS         5000 /* that what has begun gets after ^C */
#define BAR_COLUMNS     30
#define BAR_COLUMNS_MIN 5  /* with less room there is no bar */
#define COLUMNS         80 /* of a terminal that does not say */

typedef struct Batch {
    ImageRequest *request;
    Arena arena;
    ImageInputs inputs;
    size_t next;      /* not taken yet */
    bool out_is_dir;  /* outputs go below request->out */
    bool has_pattern; /* request->out has braces */
    Map written;      /* paths of outputs of this run */
    BoxPool *boxes;
    sl_scope scope; /* around the work; the second ^C cancels it */
    bool has_scope; /* it is there: a signal may come behind the work */
    bool is_bar_shown;
} Batch;

static const Str out_words[] = { STR("{dir}"), STR("{name}"), STR("{ext}") };

/* ---- talk ------------------------------------------------------------------------------------ */

static void clear_bar(Batch *batch)
{
    if (batch->is_bar_shown)
        (void) fputs("\r\033[K", stderr);
    batch->is_bar_shown = false;
}

/* JSON has no bytes that are not text; names of files may have them. */
static void write_path(JsonWriter *out, Str path)
{
    AUTO(buf_deinit) Buf clean = { 0 };

    if (!str_is_utf8(path)) {
        width_add_clean(&clean, path);
        path = buf_str(&clean);
    }
    json_write_str(out, path);
}

static void print_line(Batch *batch, const Buf *line)
{
    clear_bar(batch);
    (void) printf("%.*s\n", (int) line->len,
                  line->data); /* whether it went out, stdout remembers */
    (void) fflush(stdout);
}

static void tell_failed(void *ctx, const char *path, int r)
{
    AUTO(buf_deinit) Buf line = { 0 }, clean = { 0 };
    JsonWriter out = JSON_WRITER(&line);
    Batch *batch = ctx;
    Err err;

    err_take(r, &err);
    batch->request->n_failed++;
    if (batch->request->is_json) {
        json_write_object(&out);
        json_write_key(&out, "source");
        write_path(&out, str_from_c(path));
        json_write_key(&out, "error");
        write_path(&out, str_from_c(err.text));
        json_write_object_end(&out);
        return print_line(batch, &line);
    }
    clear_bar(batch);
    buf_printf(&line, "%s: %s", path, err.text);
    width_add_clean(&clean, buf_str(&line));
    (void) fprintf(stderr, "sluice: %.*s\n", (int) clean.len, clean.data);
}

static void tell_done(Batch *batch, const ImageInput *input, const Run *run, const Buf *paths)
{
    const ImageRequest *request = batch->request;
    AUTO(buf_deinit) Buf line = { 0 };
    JsonWriter out = JSON_WRITER(&line);
    Str result = buf_str(&run->result), rest = buf_str(paths);

    if (!request->is_json && !request->is_info)
        return;
    json_write_object(&out);
    json_write_key(&out, "source");
    write_path(&out, str_from_c(input->path));
    json_write_key(&out, "outputs");
    json_write_array(&out);
    while (rest.len > 0)
        write_path(&out, str_cut(rest, '\0', &rest));
    json_write_array_end(&out);
    json_write_member_raw(&out, "result", result.len ? result : str_from_c("null"));
    json_write_object_end(&out);
    print_line(batch, &line);
}

/* ---- what was asked for ---------------------------------------------------------------------- */

/* The bytes of the end of PATH's name, the dot counted. */
static size_t end_len(Str path)
{
    for (size_t i = path.len; i > 1 && path.data[i - 1] != '/'; i--) {
        if (path.data[i - 1] == '.' && path.data[i - 2] != '/')
            return path.len - i + 1;
    }
    return 0;
}

static int check_pattern(Str out)
{
    Str rest = out, before;

    while (str_contains(rest, str_from_c("{"))) {
        size_t i = 0;

        before = str_cut(rest, '{', &rest);
        rest = str_from(before.data + before.len, rest.len + 1);
        while (i < ARRAY_LEN(out_words) && !str_starts(rest, out_words[i]))
            i++;
        if (i == ARRAY_LEN(out_words))
            return fail(-ERR_USAGE, "--out: braces may hold dir, name and ext, as in {name}");
        rest = str_sub(rest, out_words[i].len, rest.len);
    }
    return 0;
}

/* With several pictures, OUT must differ among them. */
static int check_out(const Batch *batch)
{
    const ImageRequest *request = batch->request;
    Str out = request->out, end = str_sub(out, out.len - end_len(out), out.len);

    if (batch->has_pattern)
        return check_pattern(out);
    if (batch->out_is_dir || out.len == 0)
        return 0;
    if (batch->inputs.n > 1)
        return fail(-ERR_USAGE,
                    "there are %zu pictures: --out must be a folder (with / at its end) or have "
                    "{name} in it",
                    batch->inputs.n);
    if (str_eq_c(out, "-") && (request->is_json || request->is_info))
        return fail(-ERR_USAGE, "--out - leaves no room on stdout for what --json or --info say");
    if (end.len > 0 && !request->has_format)
        return fail(
            -ERR_USAGE,
            "--out: %.*s is not written; .jpg, .png, .webp and .avif are, and --format says "
            "what goes into a file of another name",
            (int) end.len, end.data);
    return 0;
}

static int settle(Batch *batch)
{
    const ImageRequest *request = batch->request;
    Str out = request->out;
    struct stat st;
    bool is_there = out.len > 0 && stat(arena_copy_c(&batch->arena, out), &st) == 0;
    int r = 0;

    batch->has_pattern = str_contains(out, str_from_c("{"));
    batch->out_is_dir = !batch->has_pattern && out.len > 0 &&
                        (out.data[out.len - 1] == '/' || (is_there && S_ISDIR(st.st_mode)));
    batch->inputs.arena = &batch->arena;
    batch->inputs.on_failed = tell_failed;
    batch->inputs.ctx = batch;
    if (batch->out_is_dir && is_there) {
        batch->inputs.skipped_dev = st.st_dev;
        batch->inputs.skipped_ino = st.st_ino;
    }
    for (size_t i = 0; r == 0 && i < request->n_inputs; i++)
        r = image_inputs_add(&batch->inputs, request->inputs[i]);
    if (r == 0 && batch->inputs.n == 0 && request->n_failed == 0)
        r = fail(-ERR_USAGE, "there are no pictures in what was named");
    return r < 0 ? r : check_out(batch);
}

/* ---- names of outputs ------------------------------------------------------------------------ */

static Str ending_of(const char *media_type)
{
    Str kind, type = str_from_c(media_type ? media_type : "image/bin");

    (void) str_cut(type, '/', &kind);
    return str_eq_c(kind, "jpeg") ? str_from_c("jpg") : kind;
}

/* The parts of where a picture lies. */
typedef struct Place {
    Str dir;  /* without the last slash; "." for none */
    Str name; /* without its end */
} Place;

static Place place_of(const char *path)
{
    size_t at = image_path_name_at(path);
    Str name = str_from_c(path + at);
    Place place = { .dir = at == 0   ? str_from_c(".")
                           : at == 1 ? str_from_c("/")
                                     : str_from(path, at - 1) };

    place.name = str_sub(name, 0, name.len - end_len(name));
    return place;
}

static void fill_pattern(Str pattern, const Place *place, Str ending, Buf *out)
{
    const Str values[] = { place->dir, place->name, ending };

    while (pattern.len > 0) {
        size_t i = 0;

        while (i < ARRAY_LEN(out_words) && !str_starts(pattern, out_words[i]))
            i++;
        if (i < ARRAY_LEN(out_words))
            buf_add_str(out, values[i]);
        else
            buf_add_char(out, pattern.data[0]);
        pattern = str_sub(pattern, i < ARRAY_LEN(out_words) ? out_words[i].len : 1, pattern.len);
    }
}

/* Where output BLOB of INPUT goes, NUL-terminated in OUT; several outputs have their names in it.
 */
static int name_output(const Batch *batch, const ImageInput *input, const TaskBlob *blob, Buf *out)
{
    Str pattern = batch->request->out, ending = ending_of(blob->media_type);
    Place place = place_of(input->path), tail = place_of(input->tail);
    AUTO(buf_deinit) Buf name = { 0 };

    buf_add_str(&name, strcmp(input->path, "-") == 0 ? str_from_c("stdin") : place.name);
    if (blob->name)
        buf_printf(&name, "-%s", blob->name);
    place.name = buf_str(&name);
    if (batch->has_pattern) {
        fill_pattern(pattern, &place, ending, out);
    } else if (batch->out_is_dir) {
        while (pattern.len > 1 && pattern.data[pattern.len - 1] == '/')
            pattern.len--;
        buf_printf(out, "%.*s%s", (int) pattern.len, pattern.data,
                   pattern.data[pattern.len - 1] == '/' ? "" : "/");
        if (!str_eq_c(tail.dir, "."))
            buf_printf(out, "%.*s/", (int) tail.dir.len, tail.dir.data);
        buf_printf(out, "%.*s.%.*s", (int) name.len, name.data, (int) ending.len, ending.data);
    } else {
        Str head = str_sub(pattern, 0, pattern.len - end_len(pattern));

        buf_add_str(out, head);
        if (blob->name)
            buf_printf(out, "-%s", blob->name);
        buf_add_str(out, str_sub(pattern, head.len, pattern.len));
    }
    buf_add_char(out, '\0');
    return buf_check(out);
}

/* ---- one picture ----------------------------------------------------------------------------- */

static int make_parents(void *arg)
{
    char *path = arg;

    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        int r;

        *slash = '\0';
        r = mkdir(path, 0777);
        *slash = '/';
        if (r < 0 && errno != EEXIST)
            return fail_errno("%s", path);
    }
    return 0;
}

SUSPENDS static int write_output(Batch *batch, const ImageInput *input, const TaskBlob *blob,
                                 Buf *path)
{
    Str name;
    int r;

    if (str_eq_c(batch->request->out, "-")) {
        buf_add(path, "-", 2);
        if (fwrite(blob->bytes.data, 1, blob->bytes.len, stdout) != blob->bytes.len ||
            fflush(stdout) != 0)
            return fail_errno("stdout");
        return 0;
    }
    r = name_output(batch, input, blob, path);
    if (r < 0)
        return r;
    name = str_from_c(path->data);
    if (map_find(&batch->written, name))
        return fail(-ERR_CONFLICT, "%s has been written for another picture already", path->data);
    if (!batch->request->is_forced && access(path->data, F_OK) == 0)
        return fail(-ERR_CONFLICT, "%s is there already; --force writes over it", path->data);
    (void) map_put(&batch->written, name, batch);
    if (image_path_name_at(path->data) > 1)
        r = sl_offload(make_parents, path->data, .name = "folders");
    return r < 0 ? r : sl_file_write_all(path->data, blob->bytes.data, blob->bytes.len, 0666);
}

typedef struct Reading {
    const char *path;
    Buf *out;
} Reading;

static int read_source(void *arg)
{
    Reading *reading = arg;
    bool is_stdin = strcmp(reading->path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(reading->path, "rbe");
    size_t n;
    int r = 0;

    if (!file)
        return fail_errno("cannot be read");
    buf_init(reading->out, LIMIT_IMAGE_BYTES);
    do {
        char *room = buf_reserve(reading->out, 256 << 10);

        n = room ? fread(room, 1, 256 << 10, file) : 0;
        reading->out->len += n;
    } while (n > 0);
    if (ferror(file))
        r = fail_errno("cannot be read");
    else if (reading->out->is_failed)
        r = fail(-ERR_TOO_LARGE, "has more than the %d bytes that a picture may have",
                 LIMIT_IMAGE_BYTES);
    if (!is_stdin)
        (void) fclose(file);
    return r;
}

SUSPENDS static int do_picture(Batch *batch, const ImageInput *input)
{
    AUTO(runner_deinit) Run run = { 0 };
    AUTO(buf_deinit) Buf bytes = { 0 }, paths = { 0 };
    const RunDoors doors = { .is_foreground = true, .boxes = batch->boxes };
    Reading reading = { .path = input->path, .out = &bytes };
    int r = sl_offload(read_source, &reading, .name = "read picture");

    if (r < 0)
        return r;
    run.handler = batch->request->handler;
    run.args = batch->request->args;
    run.is_direct = true;
    run.job_id = "";
    run.attempt = run.max_attempts = 1;
    run.doors = &doors;
    run.input.bytes = buf_str(&bytes);
    run.takes_outputs = true;
    r = runner_run(&run);
    if (r == 0 && run.n_outputs > 1 && str_eq_c(batch->request->out, "-"))
        return fail(-ERR_USAGE, "--out - has room for one output");
    for (uint32_t i = 0; r == 0 && i < run.n_outputs; i++) {
        AUTO(buf_deinit) Buf path = { 0 };

        r = write_output(batch, input, &run.outputs[i], &path);
        buf_add_str(&paths, buf_str(&path));
    }
    if (r == 0)
        tell_done(batch, input, &run, &paths);
    return r;
}

/* ---- all of them ----------------------------------------------------------------------------- */

SUSPENDS static int work(void *arg)
{
    Batch *batch = arg;

    while (batch->next < batch->inputs.n) {
        const ImageInput *input = &batch->inputs.items[batch->next++];
        int r = do_picture(batch, input);

        if (r < 0 && sl_is_cancelled())
            return r;
        if (r < 0)
            tell_failed(batch, input->path, r);
        batch->request->n_done++;
    }
    return 0;
}

static void draw_bar(Batch *batch)
{
    struct winsize size = { 0 };
    size_t done = batch->request->n_done, all = batch->inputs.n, columns, len, full;
    char words[48], bar[BAR_COLUMNS + 4];

    (void) ioctl(STDERR_FILENO, TIOCGWINSZ, &size); /* it stays 0 */
    columns = size.ws_col ? size.ws_col : COLUMNS;
    len = (size_t) snprintf(words, sizeof(words), "%zu of %zu", done, all) + sizeof("[] ");
    len = columns > len + BAR_COLUMNS_MIN ? MIN(columns - len, (size_t) BAR_COLUMNS) : 0;
    full = done * len / all;
    for (size_t i = 0; i < len; i++)
        bar[i] = i < full ? '#' : '.';
    bar[len] = '\0';
    (void) fprintf(stderr, len ? "\r\033[K[%s] %s" : "\r\033[K%s%s", bar, words);
    (void) fflush(stderr);
    batch->is_bar_shown = true;
}

SUSPENDS static int show_bar(void *arg)
{
    int r;

    while ((r = sl_sleep_ms(PROGRESS_MS)) == 0)
        draw_bar(arg);
    return r;
}

/* The next signal that ends us; with TIMEOUT_MS none within that time is as good. */
SUSPENDS static int wait_for_signal(int64_t timeout_ms, int *ret_which)
{
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .timeout_ms = timeout_ms);
    r = sl_signal_wait(1ULL << SIGINT | 1ULL << SIGTERM, ret_which);
    r = sl_scope_end(&scope, r);
    if (r != -ETIMEDOUT)
        return r;
    err_take(r, NULL);
    return 0;
}

SUSPENDS static int watch_interrupt(void *arg)
{
    Batch *batch = arg;
    int which, r = wait_for_signal(0, &which);

    if (r < 0)
        return r;
    batch->request->stopped_by = which;
    batch->next = batch->inputs.n;
    if (isatty(STDERR_FILENO) == 1) {
        (void) fputs("\r\033[Kstopping: what has begun is finished; ^C again stops at once\n",
                     stderr);
        batch->is_bar_shown = false;
    }
    r = wait_for_signal(STOP_MS, &which);
    if (r < 0)
        return r;
    if (batch->has_scope)
        sl_scope_cancel(&batch->scope);
    r = wait_for_signal(STOP_MS, &which);
    if (r == 0)
        _exit(128 + which);
    return r;
}

SUSPENDS static int run_workers(Batch *batch, size_t n)
{
    AUTO(sl_nursery_close) sl_nursery *workers = sl_nursery_open(.name = "pictures");
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++)
        r = sl_spawn(workers, work, batch, .name = "picture", .stack_bytes = STACK_BYTES);
    return r < 0 ? r : sl_nursery_join(workers);
}

SUSPENDS static int run_beside_watchers(Batch *batch, size_t n)
{
    AUTO(sl_nursery_close) sl_nursery *watchers = sl_nursery_open(.name = "watchers");
    int r = sl_spawn(watchers, watch_interrupt, batch, .name = "signals");

    if (r == 0 && batch->request->shows_progress && batch->inputs.n > 1)
        r = sl_spawn(watchers, show_bar, batch, .name = "progress");
    sl_scope_begin(&batch->scope);
    batch->has_scope = true;
    if (r == 0)
        r = run_workers(batch, n);
    batch->has_scope = false;
    r = sl_scope_end(&batch->scope, r);
    clear_bar(batch);
    return r;
}

SUSPENDS static int command_main(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "boxes");
    Batch *batch = arg;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = MIN(batch->inputs.n, (size_t) MAX(processors, 1L));
    BoxPoolOpts opts = { .boxes_max = n };
    int r = box_pool_start(&batch->boxes, nursery, &opts);

    if (r == 0)
        r = run_beside_watchers(batch, n);
    box_pool_stop(batch->boxes);
    return r;
}

static void tell_end(const Batch *batch)
{
    const ImageRequest *request = batch->request;

    if (request->stopped_by)
        (void) fprintf(stderr, "sluice: interrupted; %zu of %zu pictures are done\n",
                       request->n_done, batch->inputs.n);
    else if (request->shows_progress && batch->inputs.n > 1)
        (void) fprintf(stderr, "%zu pictures, %zu failed\n", request->n_done, request->n_failed);
}

int image_command_run(ImageRequest *request)
{
    Batch batch = { .request = request };
    int r = settle(&batch);

    if (r == 0 && batch.inputs.n > 0)
        r = sl_run(command_main, &batch, .stall_ms = -1);
    if (r == 0)
        tell_end(&batch);
    image_inputs_deinit(&batch.inputs);
    map_deinit(&batch.written);
    arena_deinit(&batch.arena);
    return r;
}
