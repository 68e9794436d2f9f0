/*
 * Which files there are; see the header.
 *
 * Folders are watched and not files: one watch tells of every file in it, of new ones, and of a
 * file that is written to after it was renamed. A folder is watched when a file of it was found, or
 * when a pattern names it without a wildcard.
 */
#include "rows/file_watch.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define EVENT_BYTES 16384 /* read at once */
#define NAME_EVENTS                                                                        \
    (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | \
     IN_Q_OVERFLOW | IN_UNMOUNT)

typedef struct FileFolder {
    int wd; /* -1: not watched */
    Str path;
} FileFolder;

void file_watch_init(FileWatch *watch, const SchemaList *patterns, const SchemaList *excludes,
                     bool is_told)
{
    *watch = (FileWatch){ .patterns = patterns, .excludes = excludes, .fd = -1 };
    arena_init(&watch->arena, LIMIT_FILES_SCAN_BYTES);
    if (is_told)
        watch->fd = inotify_init1(IN_NONBLOCK |
                                  IN_CLOEXEC); /* below zero: as if it was not asked */
}

void file_watch_deinit(FileWatch *watch)
{
    size_t cursor = 0;
    void *folder;
    Str key;

    while (map_next(&watch->folders, &cursor, &key, &folder))
        mem_free(folder);
    map_deinit(&watch->folders);
    arena_deinit(&watch->arena);
    mem_free(watch->found);
    if (watch->fd >= 0)
        (void) close(watch->fd); /* was only read */
}

/* ---- folders --------------------------------------------------------------------------------- */

/* Whether changes there are told only to the machine that makes them. */
static bool is_remote_folder(const char *path)
{
    static const uint32_t types[] = { 0x6969 /* NFS */,      0x517b /* SMB */,
                                      0xff534d42 /* CIFS */, 0xfe534d42 /* SMB2 */,
                                      0x65735546 /* FUSE */, 0x01021997 /* 9P */,
                                      0x00c36400 /* Ceph */, 0x5346414f /* AFS */ };
    struct statfs fs;

    if (statfs(path, &fs) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if ((uint32_t) fs.f_type == types[i])
            return true;
    }
    return false;
}

/* Watch the folder of PATH, which is the part before its last slash. */
static void watch_folder_of(FileWatch *watch, const char *path)
{
    const char *slash = strrchr(path, '/');
    Str name = slash ? str_from(path, (size_t) (slash - path) + (slash == path)) : str_from_c("");
    FileFolder *folder = map_find(&watch->folders, name);
    const char *opened = slash ? arena_copy_c(&watch->arena, name) : ".";

    if (!opened)
        return;
    if (!folder) {
        if (watch->folders.len >= LIMIT_FILES_FOLDERS)
            return;
        folder = mem_zalloc(sizeof(FileFolder) + name.len + 1);
        memcpy(folder + 1, name.data, name.len);
        *folder = (FileFolder){ .wd = -1, .path = str_from((char *) (folder + 1), name.len) };
        (void) map_put(&watch->folders, name, folder);
        watch->is_remote = watch->is_remote || is_remote_folder(opened);
    }
    if (watch->fd >= 0)
        folder->wd = inotify_add_watch(watch->fd, opened,
                                       IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM |
                                           IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
}

/* ---- scans ----------------------------------------------------------------------------------- */

static bool is_excluded(const FileWatch *watch, const char *path)
{
    const Str *excludes = watch->excludes->items;
    const char *slash = strrchr(path, '/');

    for (size_t i = 0; i < watch->excludes->len; i++) {
        AUTO(mem_free) char *pattern = mem_copy_c(excludes[i].data, excludes[i].len);

        if (fnmatch(pattern, path, 0) == 0 || fnmatch(pattern, slash ? slash + 1 : path, 0) == 0)
            return true;
    }
    return false;
}

/* Whether the errno NUMBER says that there is no file for us, and not that we could not look: too
 * few descriptors, a server that is away. */
static bool says_none(int number)
{
    return number == ENOENT || number == ENOTDIR || number == EACCES || number == EPERM ||
           number == ELOOP || number == ENAMETOOLONG;
}

static int on_glob_error(const char *path, int number)
{
    (void) path;
    return !says_none(number);
}

static void note_blind(FileWatch *watch, int number)
{
    if (!says_none(number) && watch->blind_errno == 0)
        watch->blind_errno = number;
}

static int64_t ns_of(struct timespec time)
{
    return time.tv_sec * NS_PER_S + time.tv_nsec;
}

static int add_found(FileWatch *watch, const char *path)
{
    struct stat st;
    FileFound *found;

    if (stat(path, &st) < 0) {
        note_blind(watch, errno);
        return 0; /* gone meanwhile, or not to be read by us: no file for us */
    }
    if (is_excluded(watch, path))
        return 0;
    if (watch->n_found == LIMIT_FILES) {
        watch->n_over++;
        return 0;
    }
    if (watch->n_found == watch->cap_found) {
        watch->cap_found = MAX(2 * watch->cap_found, (size_t) 16);
        watch->found = mem_resize_array(watch->found, watch->cap_found, sizeof(watch->found[0]));
    }
    found = &watch->found[watch->n_found];
    *found = (FileFound){ .path = arena_copy_c(&watch->arena, str_from_c(path)),
                          .device = st.st_dev,
                          .inode = st.st_ino,
                          .size = (uint64_t) st.st_size,
                          .written_ns = ns_of(st.st_mtim),
                          .changed_ns = ns_of(st.st_ctim),
                          .is_regular = S_ISREG(st.st_mode),
                          .is_folder = S_ISDIR(st.st_mode) };
    if (!found->path)
        return fail(-ENOMEM, "no memory for the names of files");
    watch->n_found++;
    watch_folder_of(watch, path);
    return 0;
}

/* Watch the folder that PATTERN names, where that has no wildcard. */
static void watch_folder_of_pattern(FileWatch *watch, const char *pattern)
{
    const char *slash = strrchr(pattern, '/'), *wild = strpbrk(pattern, "*?[{");

    if (!slash || !wild || wild > slash)
        watch_folder_of(watch, pattern);
}

static int scan_pattern(FileWatch *watch, Str text)
{
    AUTO(mem_free) char *pattern = mem_copy_c(text.data, text.len);
    glob_t matches = { 0 };
    int r = 0, code, number;

    errno = 0;
    code = glob(pattern, GLOB_BRACE, on_glob_error, &matches);
    number = errno;
    watch_folder_of_pattern(watch, pattern);
    if (code == GLOB_ABORTED)
        note_blind(watch, number == 0 || says_none(number) ? EIO : number);
    if (code == GLOB_NOMATCH)
        r = add_found(watch, pattern); /* a name with a bracket in it */
    else if (code == GLOB_NOSPACE)
        r = fail(-ENOMEM, "%s: no memory for what matches", pattern);
    for (size_t i = 0; r == 0 && code == 0 && i < matches.gl_pathc; i++)
        r = add_found(watch, matches.gl_pathv[i]);
    globfree(&matches);
    return r;
}

int file_watch_scan(FileWatch *watch)
{
    const Str *patterns = watch->patterns->items;
    int r = 0;

    arena_reset(&watch->arena);
    watch->n_found = 0;
    watch->n_over = 0;
    watch->blind_errno = 0;
    for (size_t i = 0; r == 0 && i < watch->patterns->len; i++)
        r = scan_pattern(watch, patterns[i]);
    return r;
}

/* ---- events ---------------------------------------------------------------------------------- */

static const FileFolder *find_folder(const FileWatch *watch, int wd)
{
    size_t cursor = 0;
    void *value;
    Str key;

    while (map_next(&watch->folders, &cursor, &key, &value)) {
        if (((const FileFolder *) value)->wd == wd)
            return value;
    }
    return NULL;
}

static void tell(const FileWatch *watch, const struct inotify_event *event,
                 void (*on_change)(void *ctx, Str path), void *ctx)
{
    const FileFolder *folder = find_folder(watch, event->wd);
    AUTO(buf_deinit) Buf path = { 0 };

    if (!folder || event->len == 0)
        return;
    buf_add_str(&path, folder->path);
    if (folder->path.len > 0 && !str_eq_c(folder->path, "/"))
        buf_add_char(&path, '/');
    buf_add_c(&path, event->name);
    on_change(ctx, buf_str(&path));
}

bool file_watch_take(FileWatch *watch, void (*on_change)(void *ctx, Str path), void *ctx)
{
    AUTO(mem_free) char *events = mem_zalloc(EVENT_BYTES);
    bool is_due = false;
    ssize_t n;

    while (watch->fd >= 0 && (n = read(watch->fd, events, EVENT_BYTES)) > 0) {
        const struct inotify_event *event;

        for (ssize_t at = 0; at < n; at += (ssize_t) (sizeof(*event) + event->len)) {
            event = (const struct inotify_event *) (const void *) (events + at);
            is_due = is_due || (event->mask & NAME_EVENTS) != 0;
            if (event->mask & IN_MODIFY)
                tell(watch, event, on_change, ctx);
        }
    }
    return is_due;
}
