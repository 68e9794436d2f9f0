/*
 * The folder that a user's processes share: made, found again, refused when others may look in.
 */
#define SL_MAY_BLOCK
#include "app/shared_dir.h"

#include "base/test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

TEST(the_folder_is_made_and_found_again)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    const char *path;
    struct stat info;

    EXPECT(setenv("XDG_RUNTIME_DIR", test_dir(), 1) == 0);
    path = shared_dir_make(&arena);
    EXPECT(path && stat(path, &info) == 0 && S_ISDIR(info.st_mode));
    EXPECT_EQ(info.st_mode & 0777, 0700);
    EXPECT_C(shared_dir_make(&arena), path);
}

/* Would catch a folder of somebody else's making that is trusted because of its name. */
TEST(what_is_not_ours_alone_is_not_used)
{
    AUTO(arena_deinit) Arena arena = { 0 };

    EXPECT(mkdir("open", 0700) == 0 && mkdir("open/sluice", 0700) == 0);
    EXPECT(chmod("open/sluice", 0777) == 0);
    EXPECT(setenv("XDG_RUNTIME_DIR", "/dev/null", 1) == 0);
    EXPECT(shared_dir_make(&arena) == NULL);
    EXPECT(setenv("XDG_RUNTIME_DIR", arena_printf(&arena, "%s/open", test_dir()).data, 1) == 0);
    EXPECT(shared_dir_make(&arena) == NULL);
    EXPECT(rmdir("open/sluice") == 0 && mkdir("elsewhere", 0700) == 0);
    EXPECT(symlink("../elsewhere", "open/sluice") == 0);
    EXPECT(shared_dir_make(&arena) == NULL);
}

TEST_MAIN()
