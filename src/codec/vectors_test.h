/*
 * Published test data: read, taken apart and counted.
 *
 * None of it is part of the tree. tests/conformance/web.sh finds it in a folder and runs the tests
 * whose names end in _vectors_test; a variable tells each where its data is, and one that has none
 * is skipped. Each prints one line for that script, "vectors NAME: 9 passed, 0 failed, …".
 */
#pragma once

#include "base/test.h"

#include <glob.h>
#include <stdlib.h>

#define VECTORS_BYTES_MAX (8 << 20)

typedef struct VectorCounts {
    unsigned passed;
    unsigned failed;
    unsigned known;    /* differ, for a reason that the test names */
    unsigned left_out; /* ask for what is not offered */
} VectorCounts;

static inline bool vectors_read(const char *path, Buf *out)
{
    FILE *file = fopen(path, "rb");
    size_t n = 0;
    char *into;

    buf_reset(out);
    if (!file)
        return false;
    into = buf_reserve(out, VECTORS_BYTES_MAX);
    if (into)
        n = fread(into, 1, VECTORS_BYTES_MAX, file);
    out->len += n;
    fclose(file);
    return n > 0;
}

/* The files in the folder that VARIABLE names which match PATTERN; false, and skipped: none. */
static inline bool vectors_list(const char *variable, const char *pattern, glob_t *ret_files)
{
    const char *folder = getenv(variable);
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", folder ? folder : "", pattern);
    if (folder && glob(path, 0, NULL, ret_files) == 0)
        return true;
    test_skip("its data is no part of the tree: see tests/conformance/web.sh");
    return false;
}

static inline void vectors_print(const char *name, const VectorCounts *counts, const char *left_out)
{
    printf("vectors %s: %u passed, %u failed", name, counts->passed, counts->failed);
    if (counts->known > 0)
        printf(", %u known to differ", counts->known);
    if (counts->left_out > 0)
        printf(", %u left out (%s)", counts->left_out, left_out);
    printf("\n");
    fflush(stdout);
}

/* Cut TEXT at the line MARK, given with its line feeds ("\n#errors\n"); false: it is not there. */
static inline bool vectors_cut(Str text, const char *mark, Str *ret_before, Str *ret_behind)
{
    const char *at = text.len ? memmem(text.data, text.len, mark, strlen(mark)) : NULL;
    size_t before = at ? (size_t) (at - text.data) : 0;

    if (!at)
        return false;
    *ret_before = str_sub(text, 0, before);
    *ret_behind = str_sub(text, before + strlen(mark), text.len);
    return true;
}

/*
 * The next test of a file as html5lib's project writes them: what is behind a line "#data", up to
 * the next. It begins with a line feed, so that an empty section can be cut off as the others.
 */
static inline bool vectors_next(Str *rest, Str *ret_test)
{
    static const Str first = { "#data\n", 6 };
    Str text, behind;

    if (!str_starts(*rest, first))
        return false;
    text = str_sub(*rest, first.len - 1, rest->len);
    if (!vectors_cut(text, "\n#data\n", ret_test, &behind))
        *ret_test = text;
    *rest = str_sub(text, ret_test->len + 1, text.len);
    return true;
}
