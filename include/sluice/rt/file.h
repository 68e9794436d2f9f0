/*
 * Files: operations that may block on a disk, done by io_uring where that is the loop, on the
 * offload pool otherwise.
 *
 * An operation that has begun is finished even when the fiber is cancelled; its result is then
 * returned as it is.
 */
#pragma once

#include <sluice/rt/run.h>

#include <sys/types.h>

SL_BEGIN_DECLS

/* As open(2), with O_CLOEXEC. 0 and *ret_fd, or an error. */
SL_API SL_MUST SL_SUSPENDS int sl_file_open(const char *path, int flags, mode_t mode, int *ret_fd);

/* Bytes read or written at OFFSET; 0 is the end of the file. */
SL_API SL_MUST SL_SUSPENDS ssize_t sl_file_read(int fd, void *buf, size_t len, int64_t offset);
SL_API SL_MUST SL_SUSPENDS ssize_t sl_file_write(int fd, const void *buf, size_t len,
                                                 int64_t offset);

/* fdatasync(2). */
SL_API SL_MUST SL_SUSPENDS int sl_file_sync(int fd);

/* Close. An error of a delayed write shows here. */
SL_API SL_MUST SL_SUSPENDS int sl_file_close(int fd);

/* The whole file, at most MAX bytes, NUL-terminated, in memory the caller frees with free(3).
 * -ERR_TOO_LARGE above MAX. */
SL_API SL_MUST SL_SUSPENDS int sl_file_read_all(const char *path, size_t max, char **ret_data,
                                                size_t *ret_len);

/* Write DATA to PATH so that it appears whole or not at all: temporary file, sync, rename, sync of
 * the folder. */
SL_API SL_MUST SL_SUSPENDS int sl_file_write_all(const char *path, const void *data, size_t len,
                                                 mode_t mode);

SL_END_DECLS
