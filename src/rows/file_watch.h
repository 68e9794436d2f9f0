/*
 * Which files there are, and that something has happened to them.
 *
 * A scan lists the files that match the patterns, with who they are. Between scans the kernel tells
 * of their folders (inotify), where it can: not on network file systems, and not of folders that
 * come to match a pattern. So there are scans without cause too, at an interval of the caller.
 */
#pragma once

#include "base/arena.h"
#include "base/map.h"

#include <sluice/schema.h>

typedef struct FileFound {
    const char *path; /* in the scan's arena */
    uint64_t device, inode, size;
    int64_t written_ns; /* of the kernel's clock: what is in it was changed last */
    int64_t changed_ns; /* the same, or its mode or name */
    bool is_regular;
    bool is_folder;
} FileFound;

typedef struct FileWatch {
    const SchemaList *patterns; /* of Str */
    const SchemaList *excludes; /* of Str */
    int fd;                     /* of inotify; -1: none */
    bool is_remote;             /* something is where changes are not told */
    Map folders;                /* path -> FileFolder; owned */
    Arena arena;                /* of the last scan */
    FileFound *found;           /* in the order of the patterns, and of names */
    size_t n_found, cap_found;
    size_t n_over;   /* files beyond LIMIT_FILES */
    int blind_errno; /* why a folder or file could not be looked at, though it may be there; 0 */
} FileWatch;

/* Both lists are borrowed. Without IS_TOLD there is no inotify. */
void file_watch_init(FileWatch *watch, const SchemaList *patterns, const SchemaList *excludes,
                     bool is_told);
void file_watch_deinit(FileWatch *watch);

/* List the files and watch their folders. With blind_errno set afterwards not all of them are in
 * the list. Blocks: for a thread of the pool. 0 or an error. */
MUST int file_watch_scan(FileWatch *watch);

/* Take what the kernel has told: ON_CHANGE for each file that was written to, by the path that a
 * scan gave. True when names have come or gone, so that a scan is due. Does not block. */
bool file_watch_take(FileWatch *watch, void (*on_change)(void *ctx, Str path), void *ctx);
