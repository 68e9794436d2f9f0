/*
 * files: rows that stand in files, read once to their end or followed as they grow.
 *
 *   scan     which files match, and who they are (device, inode)
 *   read     a piece of each file that may have more, in turn; without follow, file after file
 *   wait     until the kernel tells of a change, or the next scan is due
 *
 * A file is known by what it is and not by its name (file_tracks.h), so that rotation by renaming
 * changes nothing: the renamed file is read to its end, and the new one of the old name is another
 * file. One that is emptied (copytruncate) begins anew. One that has lost its last name is read on
 * for LIMIT_FILES_GONE_MS, because its writer may have it open.
 *
 * The position of a row is the byte behind it, so that each line is handed on exactly once where
 * the sinks keep positions, whatever is killed when.
 */
#include "rows/source.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/file_tail.h"
#include "rows/file_watch.h"
#include "rows/source_stop.h"

#include <fcntl.h>
#include <stdio.h>

#define SCAN_GAP_NS    (5 * NS_PER_MS) /* between two scans that something has caused, at least */
#define SCAN_SHARE     10              /* of the time may go into them: one part of so many */
#define CLOSE_GRACE_MS 5000

typedef struct FilesArgs {
    SchemaList paths;
    SchemaList exclude;
    bool follow;
    int start;
    int64_t poll_ms;
} FilesArgs;

enum { START_BEGINNING, START_END };

static const char *const start_names[] = { "beginning", "end", NULL };
static const SchemaField path_item = ITEM(STR, .range = RANGE(1, 4095));

static const SchemaField fields[] = {
    FIELD_LIST(FilesArgs, paths, &path_item, "files, with * ? [abc] {a,b} where there are several",
               .is_required = true, .range = RANGE(1, 64), .positional = 1, .holder = "PATH"),
    FIELD_LIST(FilesArgs, exclude, &path_item,
               "files that are not meant, by path or by name: *.gz, old-*", .range = RANGE(0, 64)),
    FIELD_BOOL(
        FilesArgs, follow,
        "go on when files grow, are rotated or come new, for ever; otherwise each is read to "
        "its end once"),
    FIELD_ENUM(FilesArgs, start, start_names,
               "where files are begun that were there before the first run",
               .default_text = "beginning"),
    FIELD_DURATION(
        FilesArgs, poll_ms, "poll",
        "look at the files so often instead of being told by the kernel; by itself so on "
        "network file systems",
        .range = AT_LEAST(0)),
};

static const Schema args_schema = SCHEMA(FilesArgs, fields, "Rows that stand in files.");

typedef struct Files {
    FileTails tails;
    Source *source;
    const FilesArgs *args;
    FileWatch watch;
    SourceStop stop;
    List list;   /* of FileTail, in the order in which they were found */
    Map by_file; /* device and inode -> FileTail */
    Map by_path; /* as of the last scan */
    size_t n_open;
    bool is_scan_due; /* names have come or gone */
    bool has_strays;  /* something was written to what no scan has found */
    bool was_blind;   /* at the last scan */
    bool has_scanned;
    int64_t scanned_ns, scan_cost_ns;
    size_t n_failed;
    char failure[256]; /* the first */
} Files;

static Str key_of(uint64_t *numbers)
{
    return str_from((const char *) numbers, 2 * sizeof(numbers[0]));
}

/* ---- scans ----------------------------------------------------------------------------------- */

static int scan_main(void *arg)
{
    return file_watch_scan(arg);
}

/* Whether FOUND is to be looked at again though TAIL was read to its end, or could not be. One that
 * could not be opened is: for want of the right to it when that may have changed, for want of
 * descriptors at every scan. */
static bool is_worth_a_look(const FileTail *tail, const FileFound *found)
{
    if (tail->is_shut && (!tail->read.is_denied || found->changed_ns != tail->changed_ns))
        return true;
    return found->size != tail->size || found->written_ns != tail->written_ns;
}

static void note_found(Files *files, const FileFound *found)
{
    uint64_t numbers[2] = { found->device, found->inode };
    FileTail *tail = map_find(&files->by_file, key_of(numbers));

    if (!tail) {
        tail = file_tail_new(&files->tails, found->path, found->device, found->inode);
        tail->begins_now = files->has_scanned;
        tail->first_size = found->size;
        (void) map_put(&files->by_file, key_of(numbers), tail);
        list_push_back(&files->list, &tail->link);
    } else if (!tail->is_seen) {
        bool is_new = is_worth_a_look(tail, found);

        file_tail_rename(tail, found->path);
        tail->is_dirty = tail->is_dirty || is_new || tail->gone_ns != 0;
        tail->is_done = tail->is_done && !is_new;
    }
    tail->is_dirty = tail->is_dirty || tail->is_sought;
    tail->is_sought = false;
    tail->is_seen = true;
    tail->gone_ns = 0;
    tail->size = found->size;
    tail->written_ns = found->written_ns;
    tail->changed_ns = found->changed_ns;
    (void) map_put(&files->by_path, str_from_c(found->path), tail);
}

static void reconcile(Files *files)
{
    list_each(&files->list, link)
        LIST_ITEM(link, FileTail, link)->is_seen = false;
    map_deinit(&files->by_path);
    files->by_path = (Map){ 0 };
    for (size_t i = 0; i < files->watch.n_found; i++) {
        if (files->watch.found[i].is_regular)
            note_found(files, &files->watch.found[i]);
    }
    list_each(&files->list, link) {
        FileTail *tail = LIST_ITEM(link, FileTail, link);

        if (tail->is_seen || files->watch.blind_errno != 0)
            continue;
        tail->gone_ns = tail->gone_ns ? tail->gone_ns : sl_now_ns();
        tail->is_sought = false;
        tail->is_dirty = true;
    }
}

SUSPENDS static int scan(Files *files)
{
    int64_t began_ns = sl_clock_ns();
    char text[100];
    int r = sl_offload(scan_main, &files->watch, .name = "list files");

    if (r < 0)
        return r;
    files->is_scan_due = false;
    reconcile(files);
    if (files->watch.n_over > 0 || !files->has_scanned || files->was_blind) {
        (void) snprintf(text, sizeof(text), "%zu files%s", files->list.len,
                        files->watch.n_over > 0 ? "; more are left out" : "");
        source_say(files->source, files->list.len > 0, text);
    }
    if (files->watch.blind_errno != 0) {
        (void) snprintf(text, sizeof(text), "not all files could be looked for: %s",
                        strerrordesc_np(files->watch.blind_errno));
        source_say(files->source, false, text);
    }
    files->was_blind = files->watch.blind_errno != 0;
    files->has_scanned = true;
    files->scanned_ns = sl_clock_ns();
    files->scan_cost_ns = files->scanned_ns - began_ns;
    return 0;
}

/* When the next scan is due: soon when something has happened, sometime otherwise. */
static int64_t next_scan_ns(const Files *files)
{
    int64_t wait_ns = LIMIT_FILES_SCAN_MS * NS_PER_MS;

    if (files->is_scan_due)
        wait_ns = SCAN_GAP_NS;
    else if (files->args->poll_ms > 0)
        wait_ns = files->args->poll_ms * NS_PER_MS;
    else if (files->watch.fd < 0 || files->watch.is_remote)
        wait_ns = LIMIT_FILES_POLL_MS * NS_PER_MS;
    return files->scanned_ns + MAX(wait_ns, SCAN_SHARE * files->scan_cost_ns);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void close_file(Files *files, FileTail *tail)
{
    files->n_open -= tail->read.fd >= 0;
    file_tail_close(tail);
}

static void forget(Files *files, FileTail *tail)
{
    uint64_t numbers[2] = { tail->read.device, tail->read.inode };

    close_file(files, tail);
    (void) map_remove(&files->by_file, key_of(numbers));
    if (map_find(&files->by_path, str_from_c(tail->path)) == tail)
        (void) map_remove(&files->by_path, str_from_c(tail->path));
    list_remove(&tail->link);
    file_tail_free(tail);
}

/* Close the files that were read longest ago, down to the limit. What has no name could not be
 * opened again. */
static void keep_few_open(Files *files)
{
    while (files->n_open > LIMIT_FILES_OPEN) {
        FileTail *oldest = NULL;

        list_each(&files->list, link) {
            FileTail *tail = LIST_ITEM(link, FileTail, link);

            if (tail->read.fd >= 0 && tail->gone_ns == 0 &&
                (!oldest || tail->used_ns < oldest->used_ns))
                oldest = tail;
        }
        if (!oldest)
            return;
        close_file(files, oldest);
    }
}

/* TAIL cannot be read: the others are, and people hear of it. */
static void note_failure(Files *files, FileTail *tail, int r)
{
    bool is_known = tail->is_shut;
    Err err;

    err_take(r, &err);
    tail->is_done = true;
    tail->is_shut = -r < ERR_INVALID; /* the kernel's word, and no damage */
    close_file(files, tail);
    if (is_known && tail->is_shut)
        return;
    if (files->n_failed++ == 0)
        (void) snprintf(files->failure, sizeof(files->failure), "%.*s",
                        (int) sizeof(files->failure) - 1, err.text);
    source_say(files->source, false, err.text);
}

/* TAIL is at its end, for now or for good. 0 or an error that ends the source. */
SUSPENDS static int at_end(Files *files, FileTail *tail)
{
    bool is_over = tail->gone_ns != 0 &&
                   sl_now_ns() - tail->gone_ns >= LIMIT_FILES_GONE_MS * NS_PER_MS;
    bool is_packed = tail->read.is_gzip && tail->track && file_tail_is_whole(tail);
    int r = file_tail_mark(tail);

    if (r < 0 || (files->args->follow && !is_over && !is_packed))
        return r;
    r = file_tail_hand_on(tail, is_over || file_tail_is_whole(tail));
    if (r == 0 && !file_tail_is_whole(tail))
        note_failure(files, tail,
                     fail(-ERR_INVALID, "%s: the gzip file ends too early", tail->path));
    tail->is_done = true;
    close_file(files, tail);
    return r;
}

/* Its name leads elsewhere, and it is not open. While files are followed the next scan may find it
 * by another name; when that has not, what was not read of it is out of reach. */
static void lose(Files *files, FileTail *tail)
{
    char text[300];

    if (!files->args->follow) {
        note_failure(files, tail,
                     fail(-ERR_INVALID, "%s was removed before it was read", tail->path));
        return;
    }
    if (tail->gone_ns == 0) {
        tail->is_sought = true;
        files->is_scan_due = true;
        return;
    }
    if (tail->size > tail->bytes.position && !tail->read.is_gzip) {
        (void) snprintf(text, sizeof(text), "%s was removed before all of it was read", tail->path);
        source_say(files->source, false, text);
    }
    tail->is_done = true;
}

/* TAIL could not be opened or read, and now it can; or it is gone. */
static void note_mended(Files *files, FileTail *tail)
{
    char text[300];

    tail->is_shut = false;
    if (tail->read.fd < 0)
        return;
    (void) snprintf(text, sizeof(text), "%s can be read again", tail->path);
    source_say(files->source, true, text);
}

SUSPENDS static int hand_on(FileTail *tail)
{
    int r = file_tail_mark(tail);

    return r < 0 ? r : file_tail_hand_on(tail, false);
}

/* Read a piece of TAIL; with IS_LOOK only find out where it begins. 0 or an error that ends the
 * source. */
SUSPENDS static int read_piece(Files *files, FileTail *tail, bool is_look)
{
    bool was_open = tail->read.fd >= 0;
    int r = file_tail_read(tail);

    files->n_open += (size_t) (tail->read.fd >= 0) - was_open;
    tail->is_dirty = r == 0;
    if (tail->is_shut && r >= 0)
        note_mended(files, tail);
    if (r < 0 && !sl_is_cancelled()) {
        note_failure(files, tail, r);
        r = 0;
    } else if (r == 0 && is_look) {
        close_file(files, tail); /* what was read comes again */
        r = file_tail_mark(tail);
    } else if (r == 0) {
        r = hand_on(tail);
    } else if (r == FILE_END) {
        r = at_end(files, tail);
    } else if (r == FILE_GONE || r == FILE_OTHER) {
        lose(files, tail);
        r = 0;
    }
    keep_few_open(files);
    return r;
}

/* A piece of each file that may have more. *RET_IS_IDLE when there was none. */
SUSPENDS static int read_round(Files *files, bool *ret_is_idle)
{
    int r = 0;

    *ret_is_idle = true;
    list_each(&files->list, link) {
        FileTail *tail = LIST_ITEM(link, FileTail, link);

        if (r != 0 || source_is_stopping(files->source))
            break;
        if (tail->is_done || tail->is_sought || !tail->is_dirty)
            continue;
        *ret_is_idle = false;
        r = read_piece(files, tail, false);
    }
    return r;
}

/* ---- once, and for ever ---------------------------------------------------------------------- */

/* What a pattern leads to that is no file: a pipe is read to its end, as stdin is. */
SUSPENDS static int read_other(Files *files, const FileFound *found)
{
    AUTO(mem_free) char *path = mem_copy_c(found->path, strlen(found->path));
    int fd, r;

    if (found->is_folder)
        return fail(-EISDIR, "%s is a folder; its files are %s/*", path, path);
    r = sl_file_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd);
    if (r < 0)
        return r;
    r = source_bytes_read_all(files->source, fd, str_from_c(path));
    sl_fd_close(fd);
    return r;
}

SUSPENDS static int read_once(Files *files)
{
    int r = 0;

    if (files->watch.blind_errno != 0)
        return fail(-files->watch.blind_errno, "not all files could be looked for");
    if (files->watch.n_found == 0) {
        const Str *paths = files->args->paths.items;

        return fail(-ERR_NOT_FOUND, "no file is called %.*s", (int) paths[0].len, paths[0].data);
    }
    for (size_t i = 0; r == 0 && i < files->watch.n_found; i++) {
        if (!files->watch.found[i].is_regular)
            r = read_other(files, &files->watch.found[i]);
    }
    list_each(&files->list, link) {
        FileTail *tail = LIST_ITEM(link, FileTail, link);

        while (r == 0 && tail->is_dirty && !tail->is_done && !source_is_stopping(files->source))
            r = read_piece(files, tail, false);
    }
    if (r == 0 && files->n_failed > 0)
        r = fail(-ERR_INVALID, "%zu of %zu files could not be read; %s", files->n_failed,
                 files->list.len, files->failure);
    return r;
}

static void on_change(void *ctx, Str path)
{
    FileTail *tail = map_find(&((Files *) ctx)->by_path, path);

    if (tail)
        tail->is_dirty = true;
    else
        ((Files *) ctx)->has_strays = true;
}

/* Take what the kernel tells. What is written to an unknown name may be a file that was renamed. */
static void hear(Files *files)
{
    if (file_watch_take(&files->watch, on_change, files))
        files->is_scan_due = true;
    if (!files->has_strays)
        return;
    files->has_strays = false;
    list_each(&files->list, link) {
        FileTail *tail = LIST_ITEM(link, FileTail, link);

        tail->is_dirty = tail->is_dirty || tail->gone_ns != 0;
    }
}

/* Files without a name that have been read to their end. */
static void forget_gone(Files *files)
{
    list_each(&files->list, link) {
        FileTail *tail = LIST_ITEM(link, FileTail, link);

        if (tail->is_done && tail->gone_ns != 0)
            forget(files, tail);
    }
}

/* Find where all files end before a row of one is handed on, also when it shall stop: a start that
 * finds positions of some takes the others from their beginning. */
SUSPENDS static int find_ends(Files *files)
{
    int r = 0;

    list_each(&files->list, link) {
        if (r == 0)
            r = read_piece(files, LIST_ITEM(link, FileTail, link), true);
    }
    return r;
}

SUSPENDS static int follow(Files *files)
{
    bool is_idle;
    int r = files->tails.begins_at_end ? find_ends(files) : 0;

    while (r == 0 && !source_is_stopping(files->source)) {
        r = read_round(files, &is_idle);
        forget_gone(files);
        if (r == 0 && is_idle)
            r = source_stop_wait(&files->stop, files->watch.fd, next_scan_ns(files));
        else if (r == 0)
            r = sl_checkpoint();
        if (r >= 0)
            hear(files);
        r = r == STOP_PASSED ? 0 : r;
        if (r == 0 && sl_now_ns() >= next_scan_ns(files))
            r = scan(files);
    }
    return r;
}

static int deinit_main(void *arg)
{
    Files *files = arg;
    ListLink *link;

    while ((link = list_pop_front(&files->list)) != NULL)
        file_tail_free(LIST_ITEM(link, FileTail, link));
    file_watch_deinit(&files->watch);
    return 0;
}

/* On the pool: the kernel takes some milliseconds to end its watches. */
SUSPENDS static void files_free(Files *files)
{
    sl_scope scope;
    int r;

    if (files->watch.fd >= 0)
        sl_fd_forget(files->watch.fd);
    sl_scope_begin(&scope, .timeout_ms = CLOSE_GRACE_MS, .is_shield = true);
    r = sl_offload(deinit_main, files, .name = "close files");
    r = sl_scope_end(&scope, r);
    if (r < 0)
        r = deinit_main(files); /* no thread was free in time */
    map_deinit(&files->by_file);
    map_deinit(&files->by_path);
    file_tails_deinit(&files->tails);
    mem_free(files);
}

SUSPENDS static int files_run(Source *source)
{
    const FilesArgs *args = source->args;
    Files *files = mem_new(Files);
    int r;

    files->source = source;
    files->args = args;
    files->tails.source = source;
    files->tails.is_followed = args->follow;
    file_tracks_init(&files->tails.tracks, source->name, source->positions);
    files->tails.begins_at_end = args->start == START_END && !files->tails.tracks.is_resumed;
    file_watch_init(&files->watch, &args->paths, &args->exclude,
                    args->follow && args->poll_ms == 0);
    source_stop_begin(&files->stop, source);
    r = scan(files);
    if (r == 0)
        r = args->follow ? follow(files) : read_once(files);
    source_stop_end(&files->stop);
    files_free(files);
    return r;
}

extern const SourceDriver source_files;

/* "data/a.csv?format=csv", with or without a scheme before it. */
static int files_from_text(Str text, Buf *out)
{
    return source_from_url(&source_files, "paths", text, out);
}

const SourceDriver source_files = {
    .name = "files",
    .summary = "files, read to their end or followed as they grow and rotate",
    .schemes = { "file://", "file:", "files:" },
    .args = &args_schema,
    .from_text = files_from_text,
    .has_position = true,
    .is_local = true,
    .run = files_run,
};
