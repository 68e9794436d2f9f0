/*
 * Saving: positions and the state of steps, in one file that appears whole.
 *
 *   NAME.state   a line of JSON: version, positions, lanes, seed of the keys, and for each step its
 *                name, settings, lane and how many bytes its state has; then those bytes
 *
 * A pipeline whose steps keep state is brought to silence first: nothing is taken from the channel
 * until every row before it has its fate, so that state and positions are those of one moment (P6).
 * That costs a pause of some milliseconds; when saving takes long, because the state is large, it
 * is done more rarely, so that it never takes more than a twentieth of the time. What it waits for,
 * a sink that is away or a disk that is full, is not counted.
 *
 * Receipts of such a pipeline are held until the file is on the disk.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "codec/json.h"
#include "codec/schema.h"
#include "pipeline/spill.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/stat.h>

#define SAVE_RETRY_MS 1000
#define TEMP_DIGITS   16 /* in the name of a file that sl_file_write_all writes */
#define SAVE_SHARE    20 /* saving takes at most one part in so many of the time */

/* ---- silence --------------------------------------------------------------------------------- */

static bool is_quiet(const Pipeline *pipeline)
{
    if (pipeline->is_routing || !list_is_empty(&pipeline->batches) || !dead_is_idle(pipeline->dead))
        return false;
    for (size_t i = 0; i < pipeline->n_lanes; i++) {
        if (pipeline->lanes[i].is_busy)
            return false;
    }
    for (size_t i = 0; i < pipeline->n_writers; i++) {
        for (const Writer *writer = pipeline->writers[i]; writer; writer = writer->next) {
            if (!writer_is_quiet(writer))
                return false;
        }
    }
    return spills_are_durable(pipeline);
}

static bool is_one_left_behind(const Pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->n_writers; i++) {
        for (const Writer *writer = pipeline->writers[i]; writer; writer = writer->next) {
            if (writer_is_left_behind(writer))
                return true;
        }
    }
    return false;
}

static void set_urgent(Pipeline *pipeline, bool is_urgent)
{
    pipeline->is_urgent = is_urgent; /* for writers that come meanwhile */
    for (size_t i = 0; i < pipeline->n_writers; i++) {
        for (Writer *writer = pipeline->writers[i]; writer; writer = writer->next) {
            writer->line.is_urgent = is_urgent;
            sl_cond_wake_all(&writer->line.item);
        }
    }
}

void pipeline_wake(Pipeline *pipeline)
{
    sl_cond_wake_all(&pipeline->quiet);
}

SUSPENDS int pipeline_quiet(Pipeline *pipeline)
{
    int r = 0;

    channel_hold(&pipeline->channel, true);
    set_urgent(pipeline, true);
    while (r == 0 && !is_quiet(pipeline) && !pipeline->is_failing)
        r = is_one_left_behind(pipeline) && pipeline->n_held < LIMIT_PIPELINE_HELD
                ? PIPELINE_RESTLESS
                : sl_cond_wait(&pipeline->quiet);
    set_urgent(pipeline, false);
    return pipeline->is_failing ? err_put(&pipeline->end_err) : r;
}

/* ---- writing --------------------------------------------------------------------------------- */

void save_hold_receipt(Pipeline *pipeline, const Parcel *parcel)
{
    Receipt *receipt = parcel->receipt;

    if (!receipt || !pipeline->plan->is_stateful || !pipeline->has_state)
        return;
    if (pipeline->n_held > 0 && pipeline->held[pipeline->n_held - 1] == receipt)
        return;
    if (pipeline->n_held == pipeline->cap_held) {
        pipeline->cap_held = MAX(2 * pipeline->cap_held, (size_t) 64);
        pipeline->held = mem_resize_array(pipeline->held, pipeline->cap_held,
                                          sizeof(pipeline->held[0]));
    }
    receipt_hold(receipt);
    pipeline->held[pipeline->n_held++] = receipt;
}

void save_release_receipts(Pipeline *pipeline, size_t n, int r)
{
    ASSERT(n <= pipeline->n_held);
    for (size_t i = 0; i < n; i++) {
        if (r < 0)
            pipeline->held[i]->r = r;
        receipt_release(pipeline->held[i]);
    }
    pipeline->n_held -= n;
    if (pipeline->n_held > 0)
        memmove(pipeline->held, pipeline->held + n, pipeline->n_held * sizeof(pipeline->held[0]));
}

/* Whether the state of STEP in LANE can be saved now. That by arrival is saved without silence, so
 * the lane may just be at it, on the pool: then it is not in this file. */
static bool can_be_saved(const Lane *lane, const StepDriver *driver)
{
    return driver->is_stateful && !(driver->is_by_arrival && lane->is_elsewhere);
}

/* The state of the steps behind the head that names them. */
static int write_steps(const Pipeline *pipeline, JsonWriter *head, Buf *blobs)
{
    json_write_key(head, "steps");
    json_write_array(head);
    for (size_t i = 0; i < pipeline->n_lanes; i++) {
        for (size_t k = 0; k < pipeline->lanes[i].n_steps; k++) {
            const PlanStep *step = &pipeline->plan->steps[k];
            size_t from = blobs->len;
            int r;

            if (!can_be_saved(&pipeline->lanes[i], step->driver))
                continue;
            r = step->driver->save(pipeline->lanes[i].steps[k].state, blobs);
            if (r < 0)
                return wrap(r, "state of step %.*s", (int) step->name.len, step->name.data);
            json_write_object(head);
            json_write_member_str(head, "name", step->name);
            json_write_member_str(head, "settings", step->json);
            json_write_member_u64(head, "lane", i);
            json_write_member_u64(head, "bytes", blobs->len - from);
            if (step->driver->is_by_arrival)
                json_write_member_bool(head, "by_arrival", true);
            json_write_object_end(head);
        }
    }
    json_write_array_end(head);
    return buf_check(blobs);
}

int save_format(const Pipeline *pipeline, Buf *out)
{
    AUTO(buf_deinit) Buf positions = { 0 };
    AUTO(buf_deinit) Buf blobs = { .max_bytes = LIMIT_STATE_BYTES };
    AUTO(buf_deinit) Buf key = { 0 };
    JsonWriter head = JSON_WRITER(out);
    int r;

    tracks_format(&pipeline->settled, &positions);
    json_write_object(&head);
    json_write_member_i64(&head, "version", SAVE_VERSION);
    json_write_member_str(&head, "pipeline", pipeline->plan->name);
    json_write_member_raw(&head, "positions", buf_str(&positions));
    json_write_member_u64(&head, "lanes", pipeline->n_lanes);
    deal_format_key(pipeline->plan, &key);
    json_write_member_str(&head, "key", buf_str(&key));
    json_write_member_u64(&head, "seed", pipeline->key_seed);
    r = write_steps(pipeline, &head, &blobs);
    if (r < 0)
        return r;
    json_write_object_end(&head);
    buf_add_char(out, '\n');
    buf_add_str(out, buf_str(&blobs));
    return buf_check(out);
}

static char *path_of(const Pipeline *pipeline, Buf *buf)
{
    const Plan *plan = pipeline->plan;

    buf_printf(buf, "%.*s/%.*s.state", (int) plan->config.state.len, plan->config.state.data,
               (int) plan->name.len, plan->name.data);
    buf_add_char(buf, '\0');
    return buf->data;
}

/* Put what is to be saved into TEXT; with steps that keep state, at a moment of silence. */
SUSPENDS static int capture(Pipeline *pipeline, Buf *text)
{
    int r = pipeline->plan->is_stateful ? pipeline_quiet(pipeline) : 0;

    pipeline->save_began_ns = sl_clock_ns();
    if (r == 0)
        r = save_format(pipeline, text);
    if (pipeline->plan->is_stateful)
        channel_hold(&pipeline->channel, false);
    return r;
}

/* Until it is on the disk: meanwhile nothing more is taken, or receipts would pile up. */
SUSPENDS static int write_patiently(Pipeline *pipeline, const char *path, const Buf *text)
{
    bool was_held = pipeline->channel.is_held; /* by a reload */
    Err err;
    int r;

    for (;;) {
        r = sl_file_write_all(path, text->data, text->len, 0600);
        if (r >= 0 || !obstacle_is_passing(r))
            break;
        err_take(r, &err);
        obstacle_meet(pipeline, &pipeline->full_disk, PIPELINE_PAUSED, "state: %s", err.text);
        channel_hold(&pipeline->channel, was_held || pipeline->plan->is_stateful);
        r = sl_sleep_ms(MIN(SAVE_RETRY_MS, pipeline->plan->config.retry_max_ms));
        if (r < 0)
            break;
        pipeline->save_began_ns = sl_clock_ns();
    }
    channel_hold(&pipeline->channel, was_held);
    if (r == 0)
        obstacle_pass(pipeline, &pipeline->full_disk);
    return r;
}

SUSPENDS int save_write(Pipeline *pipeline, const Buf *text)
{
    AUTO(buf_deinit) Buf path = { 0 };
    size_t held = pipeline->n_held; /* as captured, not later */
    uint64_t spilled[SPILLS_MAX];   /* the same */
    int r = 0;

    if (!pipeline->has_state)
        return 0;
    spills_settled(pipeline, spilled);
    if (pipeline->is_failing) /* steps may have taken up rows that were given back */
        return fail(-ECANCELED, "save state: the pipeline has failed");
    r = write_patiently(pipeline, path_of(pipeline, &path), text);
    if (r < 0)
        return wrap(r, "save state");
    save_release_receipts(pipeline, held, 0);
    spills_trim(pipeline, spilled);
    return 0;
}

SUSPENDS static int save_alone(Pipeline *pipeline)
{
    AUTO(buf_deinit) Buf text = { .max_bytes = 2 * (size_t) LIMIT_STATE_BYTES };
    int r;

    pipeline->is_dirty = false;
    r = capture(pipeline, &text);
    if (r == PIPELINE_RESTLESS) { /* the state of steps would be ahead of that sink's rows */
        pipeline->is_dirty = true;
        return 0;
    }
    if (r < 0)
        return wrap(r, "save state");
    r = save_write(pipeline, &text);
    pipeline->save_cost_ns = sl_clock_ns() - pipeline->save_began_ns;
    return r;
}

SUSPENDS int save_now(Pipeline *pipeline)
{
    int r;

    if (!pipeline->has_state)
        return 0;
    r = sl_mutex_lock(&pipeline->saving);
    if (r < 0)
        return r;
    r = save_alone(pipeline);
    sl_mutex_unlock(&pipeline->saving);
    return r;
}

SUSPENDS int save_run(void *arg)
{
    Pipeline *pipeline = arg;
    int r = 0;

    while (r == 0) {
        int64_t pause_ns = MAX(pipeline->plan->config.save_ms * NS_PER_MS,
                               SAVE_SHARE * pipeline->save_cost_ns);

        r = sl_sleep_ns(pause_ns);
        if (r == 0 && (pipeline->is_dirty || pipeline->n_held > 0))
            r = save_now(pipeline);
    }
    if (r < 0 && r != -ECANCELED) /* the end of the nursery is no failure */
        pipeline_fail(pipeline, r);
    return r;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int make_folder(char *path)
{
    for (char *at = path + 1;; at++) {
        char was = *at;

        if (was != '/' && was != '\0')
            continue;
        *at = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST && errno != EISDIR)
            return fail_errno("make the folder %s", path);
        *at = was;
        if (was == '\0')
            return 0;
    }
}

/* Where the state is kept. */
typedef struct StateFolder {
    char *path;
    Str name; /* of the pipeline */
} StateFolder;

/* Whether FILE is NAME.state as sl_file_write_all writes it, before it has its name. */
static bool is_half_written(Str file, Str name)
{
    static const Str middle = STR(".state."), end = STR(".tmp");
    Str digits;

    if (!str_starts(file, name) || !str_ends(file, end) ||
        !str_starts(str_sub(file, name.len, SIZE_MAX), middle) ||
        file.len != name.len + middle.len + TEMP_DIGITS + end.len)
        return false;
    digits = str_sub(file, name.len + middle.len, TEMP_DIGITS);
    for (size_t i = 0; i < digits.len; i++) {
        if (!strchr("0123456789abcdef", digits.data[i]))
            return false;
    }
    return true;
}

/* The folder is there, without what processes that were killed have left half written. */
static int prepare_folder(void *arg)
{
    const StateFolder *folder = arg;
    const struct dirent *entry;
    DIR *dir;
    int r = make_folder(folder->path);

    if (r < 0)
        return r;
    dir = opendir(folder->path);
    while (dir && (entry = readdir(dir)) != NULL) {
        if (is_half_written(str_from_c(entry->d_name), folder->name))
            (void) unlinkat(dirfd(dir), entry->d_name, 0); /* it does no harm but take room */
    }
    if (dir)
        (void) closedir(dir); /* only read from */
    return 0;
}

SUSPENDS int save_load(Pipeline *pipeline)
{
    const Str folder = pipeline->plan->config.state;
    const Deal deal = { .pipeline = pipeline, .plan = pipeline->plan, .lanes = pipeline->lanes };
    AUTO(buf_deinit) Buf path = { 0 };
    AUTO(mem_free) char *folder_c = mem_copy_c(folder.data, folder.len);
    StateFolder place = { .path = folder_c, .name = pipeline->plan->name };
    char *text = NULL;
    size_t len = 0;
    int r = sl_offload(prepare_folder, &place, .name = "state");

    if (r < 0)
        return r;
    if (pipeline->plan->config.forget || access(path_of(pipeline, &path), F_OK) < 0)
        return 0;
    r = sl_file_read_all(path.data, 2 * (size_t) LIMIT_STATE_BYTES, &text, &len);
    if (r == 0)
        r = deal_out(&deal, str_from(text, len));
    free(text); /* from sl_file_read_all */
    return wrap(r, "%s", path.data);
}
