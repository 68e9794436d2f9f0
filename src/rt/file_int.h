/* One operation on a file, as file.c gives it to io_uring or to a pool thread. */
#pragma once

#include "base/own.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum FileKind { FILE_OPEN, FILE_READ, FILE_WRITE, FILE_SYNC, FILE_CLOSE } FileKind;

typedef struct FileOp {
    FileKind kind;
    int fd;           /* all but FILE_OPEN */
    const char *path; /* FILE_OPEN */
    int flags;        /* FILE_OPEN; O_CLOEXEC is added */
    mode_t mode;      /* FILE_OPEN */
    void *buf;        /* FILE_READ; FILE_WRITE only reads it */
    size_t len;       /* FILE_READ, FILE_WRITE */
    int64_t offset;   /* FILE_READ, FILE_WRITE */
    ssize_t result;   /* of the system call: below zero is -errno */
} FileOp;

/* Do OP with ordinary system calls, blocking the thread; fills op->result. */
void file_op_blocking(FileOp *op);
