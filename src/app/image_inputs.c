/*
 * Words into pictures; see the header.
 *
 * A word that is there is a file or a folder, whatever signs it has in it; otherwise it may be a
 * pattern. What was named by itself is taken as it is, and what it is turns out when it is read.
 * Of a folder the files are taken that are called like pictures, by name, so that two runs do the
 * same; what begins with a dot is not, and links to folders are not followed, so that no ring of
 * them can be walked for ever.
 */
#define SL_MAY_BLOCK
#include "app/image_inputs.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/text.h"

#include <dirent.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>

static void add_input(ImageInputs *inputs, const char *path, size_t tail)
{
    if (inputs->n == inputs->cap) {
        inputs->cap = MAX(inputs->cap * 2, (size_t) 64);
        inputs->items = mem_resize_array(inputs->items, inputs->cap, sizeof(ImageInput));
    }
    path = arena_copy_c(inputs->arena, str_from_c(path));
    inputs->items[inputs->n++] = (ImageInput){ .path = path, .tail = path + tail };
}

static bool is_picture_name(Str name)
{
    static const char *const ends[] = { ".jpg",  ".jpeg", ".png", ".webp", ".avif",
                                        ".heic", ".heif", ".gif", ".tif",  ".tiff" };

    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        Str end = str_from_c(ends[i]);

        if (name.len > end.len && str_eq_nocase(str_sub(name, name.len - end.len, end.len), end))
            return true;
    }
    return false;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_skipped(const ImageInputs *inputs, const struct stat *st)
{
    return inputs->skipped_ino && st->st_ino == inputs->skipped_ino &&
           st->st_dev == inputs->skipped_dev;
}

static int add_folder(ImageInputs *inputs, const char *path, size_t tail, int depth);

/* PATH is below a folder that was named. */
static void add_below(ImageInputs *inputs, const char *path, Str name, size_t tail, int depth)
{
    struct stat st;
    int r = 0;

    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        if (!is_skipped(inputs, &st))
            r = add_folder(inputs, path, tail, depth + 1);
        if (r < 0)
            inputs->on_failed(inputs->ctx, path, r);
    } else if (is_picture_name(name) && stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        add_input(inputs, path, tail);
    }
}

/* All pictures below PATH; their tails begin at TAIL. */
static int add_folder(ImageInputs *inputs, const char *path, size_t tail, int depth)
{
    struct dirent **names = NULL;
    int n;

    if (depth > LIMIT_IMAGE_FOLDER_DEPTH)
        return fail(-ERR_TOO_LARGE, "folders lie more than %d deep", LIMIT_IMAGE_FOLDER_DEPTH);
    n = scandir(path, &names, NULL, by_name);
    if (n < 0)
        return fail_errno("cannot be read");
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        bool has_slash = path[strlen(path) - 1] == '/';

        if (name[0] != '.')
            add_below(inputs,
                      arena_copy_c(inputs->arena, arena_printf(inputs->arena, "%s%s%s", path,
                                                               has_slash ? "" : "/", name)),
                      str_from_c(name), tail, depth);
        free(names[i]);
    }
    free(names);
    return 0;
}

size_t image_path_name_at(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t) (slash + 1 - path) : 0;
}

static int add_stdin(ImageInputs *inputs)
{
    for (size_t i = 0; i < inputs->n; i++) {
        if (strcmp(inputs->items[i].path, "-") == 0)
            return fail(-ERR_USAGE, "stdin (-) can be read once");
    }
    add_input(inputs, "-", 0);
    return 0;
}

static int add_path(ImageInputs *inputs, const char *path)
{
    size_t len = strlen(path);
    struct stat st;
    int r;

    if (strcmp(path, "-") == 0)
        return add_stdin(inputs);
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        add_input(inputs, path, image_path_name_at(path));
        return 0;
    }
    while (len > 1 && path[len - 1] == '/')
        len--;
    r = add_folder(inputs, arena_copy_c(inputs->arena, str_from(path, len)),
                   len + (path[len - 1] != '/'), 0);
    return wrap(r, "%s", path);
}

int image_inputs_add(ImageInputs *inputs, const char *word)
{
    struct stat st;
    glob_t found;
    int r = 0;

    if (!*word)
        return fail(-ERR_USAGE, "a picture is named \"\"");
    if (!strpbrk(word, "*?[") || stat(word, &st) == 0)
        return add_path(inputs, word);
    if (glob(word, 0, NULL, &found) != 0)
        return fail(-ERR_USAGE, "nothing is called %s", word);
    for (size_t i = 0; r == 0 && i < found.gl_pathc; i++)
        r = add_path(inputs, found.gl_pathv[i]);
    globfree(&found);
    return r;
}

void image_inputs_deinit(ImageInputs *inputs)
{
    mem_free(inputs->items);
    *inputs = (ImageInputs){ 0 };
}
