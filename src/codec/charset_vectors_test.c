/*
 * Charsets: html5lib's encoding data. $SLUICE_CHARSET_VECTORS names the folder; its part for which
 * scripts have to run lies in a folder further down and is not read.
 */
#include "codec/charset.h"
#include "codec/vectors_test.h"

static void run_vector(const char *path, Str test, VectorCounts *counts)
{
    Str data, encoding, rest;
    Charset want = { 0 }, got;

    if (!vectors_cut(test, "\n#encoding\n", &data, &encoding))
        return (void) counts->left_out++;
    data = str_sub(data, 1, data.len);
    encoding = str_cut(encoding, '\n', &rest);
    got = charset_detect(data, (Str){ 0 });
    if (charset_find(encoding, &want) && want.id == got.id)
        return (void) counts->passed++;
    counts->failed++;
    test_fail(__FILE__, __LINE__, "%s: got %s, want %.*s for:\n%.*s", path,
              got.name ? got.name : "UTF-8", (int) encoding.len, encoding.data, (int) data.len,
              data.data);
}

TEST(tells_charsets_as_browsers_do)
{
    VectorCounts counts = { 0 };
    glob_t files;

    if (!vectors_list("SLUICE_CHARSET_VECTORS", "*.dat", &files))
        return;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        AUTO(buf_deinit) Buf text = { 0 };
        Str rest, test;

        REQUIRE(vectors_read(files.gl_pathv[i], &text));
        rest = buf_str(&text);
        while (vectors_next(&rest, &test))
            run_vector(files.gl_pathv[i], test, &counts);
    }
    globfree(&files);
    vectors_print("charsets", &counts, "no encoding is named");
}

TEST_MAIN()
