/*
 * The folder of this user's processes; see the header.
 */
#define SL_MAY_BLOCK
#include "app/shared_dir.h"

#include "base/text.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether PATH is a folder, not a link to one, that only this user may enter. */
static bool is_ours_alone(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid() &&
           (info.st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

const char *shared_dir_make(Arena *arena)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    Str path = runtime && runtime[0] == '/'
                   ? arena_printf(arena, "%s/sluice", runtime)
                   : arena_printf(arena, "/tmp/sluice-%u", (unsigned) geteuid());
    const char *name = arena_copy_c(arena, path);

    (void) mkdir(name, S_IRWXU); /* it may be there; what counts is what it is */
    return is_ours_alone(name) ? name : NULL;
}
