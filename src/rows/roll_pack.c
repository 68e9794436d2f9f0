/*
 * Packing closed files; see the header.
 *
 * PATH.gz grows as PATH.gz.part, piece by piece on the disk, and is renamed when it is whole; then
 * PATH goes. A process that dies in between leaves both, and the next one packs PATH again.
 */
#include "rows/roll_pack.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"

#if SL_HAVE_ZLIB

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

#define PACK_PIECE_BYTES (64 << 10)
#define PACK_SYNC_BYTES  (256 << 10) /* that are put on the disk at once */
#define PACK_LEVEL       4           /* a third of the default's time, a tenth more bytes */

typedef struct RollPackRun {
    char *path;
    char *path_part;
    int fd;
    gzFile out;
    char *piece;
} RollPackRun;

bool roll_pack_is_there(void)
{
    return true;
}

static char *join(const char *a, const char *b)
{
    size_t len = strlen(a);
    char *both = mem_zalloc(len + strlen(b) + 1);

    memcpy(both, a, len);
    memcpy(both + len, b, strlen(b));
    return both;
}

static void end_run(RollPack *pack)
{
    RollPackRun *run = pack->run;

    if (run->fd >= 0)
        (void) close(run->fd); /* was only read */
    if (run->out) {
        (void) gzclose(run->out); /* given up */
        (void) unlink(run->path_part);
    }
    mem_free(run->path);
    mem_free(run->path_part);
    mem_free(run->piece);
    mem_free(run);
    pack->run = NULL;
}

int roll_pack_begin(RollPack *pack, const char *path)
{
    RollPackRun *run;
    int fd;

    if (pack->run)
        return 0;
    run = mem_new(RollPackRun);
    run->path = join(path, "");
    run->path_part = join(path, ".gz.part");
    run->piece = mem_zalloc(PACK_PIECE_BYTES);
    run->fd = open(path, O_RDONLY | O_CLOEXEC);
    pack->run = run;
    fd = run->fd < 0
             ? -1
             : open(run->path_part, O_WRONLY | O_CREAT | O_TRUNC | O_DSYNC | O_CLOEXEC, 0666);
    if (fd >= 0)
        run->out = gzdopen(fd, "wb");
    if (!run->out) {
        int r = fail_errno("pack %s", path);

        if (fd >= 0)
            (void) close(fd); /* empty */
        end_run(pack);
        return r;
    }
    (void) gzbuffer(run->out, PACK_SYNC_BYTES);                   /* or less, then */
    (void) gzsetparams(run->out, PACK_LEVEL, Z_DEFAULT_STRATEGY); /* or the default, then */
    return 0;
}

bool roll_pack_is_busy(const RollPack *pack)
{
    return pack->run != NULL;
}

/* All is read: the packed file takes the place of the other. */
static int finish(RollPack *pack)
{
    RollPackRun *run = pack->run;
    AUTO(mem_free) char *path_gz = join(run->path, ".gz");
    int r = 0, z = gzclose(run->out);

    run->out = NULL;
    if (z != Z_OK)
        r = z == Z_ERRNO ? fail_errno("pack %s", run->path) : fail(-EIO, "pack %s", run->path);
    else if (rename(run->path_part, path_gz) < 0)
        r = fail_errno("rename %s", run->path_part);
    else if (unlink(run->path) < 0 && errno != ENOENT)
        r = fail_errno("remove %s", run->path);
    if (r < 0)
        (void) unlink(run->path_part); /* half a file, or none */
    end_run(pack);
    return r;
}

int roll_pack_step(RollPack *pack, size_t bytes)
{
    RollPackRun *run = pack->run;

    for (size_t done = 0; run && done < bytes;) {
        ssize_t n = read(run->fd, run->piece, PACK_PIECE_BYTES);
        int r;

        if (n == 0)
            return finish(pack);
        if (n > 0 && gzwrite(run->out, run->piece, (unsigned) n) == (int) n) {
            done += (size_t) n;
            continue;
        }
        r = fail_errno("pack %s", run->path);
        end_run(pack);
        return r;
    }
    return 0;
}

void roll_pack_deinit(RollPack *pack)
{
    if (pack->run)
        end_run(pack);
}

#else

bool roll_pack_is_there(void)
{
    return false;
}

int roll_pack_begin(RollPack *pack, const char *path)
{
    (void) pack;
    return fail(-ERR_UNSUPPORTED, "pack %s: zlib was not there when this was built", path);
}

bool roll_pack_is_busy(const RollPack *pack)
{
    (void) pack;
    return false;
}

int roll_pack_step(RollPack *pack, size_t bytes)
{
    (void) pack;
    (void) bytes;
    return 0;
}

void roll_pack_deinit(RollPack *pack)
{
    (void) pack;
}

#endif
