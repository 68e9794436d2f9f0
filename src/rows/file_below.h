/*
 * Files below a folder that somebody from outside may name: the kernel itself (openat2) refuses
 * whatever leads out of it, symbolic links and dots alike.
 *
 * All of these block: for the offload pool.
 */
#pragma once

#include "base/own.h"
#include "base/text.h"

#include <stddef.h>
#include <sys/stat.h>

/* Open the plain file PATH below FOLDER for reading; a FIFO there does not hold anybody up. 0, the
 * descriptor (the caller's) and what it is; -ERR_NOT_FOUND (also for what is outside),
 * -ERR_UNAVAILABLE (the folder), -ERR_UNSUPPORTED. */
MUST int file_below_open(const char *folder, const char *path, int *ret_fd, struct stat *ret_stat);

/* Read the plain file PATH below FOLDER, at most MAX bytes, into OUT, whose bytes go. 0,
 * -ERR_NOT_FOUND (also for what is outside), -ERR_TOO_LARGE, -ERR_UNAVAILABLE, -ERR_UNSUPPORTED. */
MUST int file_below_read(const char *folder, const char *path, size_t max, Buf *out);

/* Write BYTES to PATH below FOLDER, so that it appears whole or not at all. Missing folders between
 * them are made. 0, -ERR_FORBIDDEN (where it leads), or an error of the disk. */
MUST int file_below_write(const char *folder, const char *path, Str bytes);
