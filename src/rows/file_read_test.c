/*
 * Reading files: growing, emptied, replaced, packed, damaged.
 */
#include "rows/file_read.h"

#include "base/limits.h"
#include "base/test.h"

#include <sys/stat.h>

static void write_file(const char *path, const char *mode, Str text)
{
    FILE *file = fopen(path, mode);

    REQUIRE(file);
    EXPECT(fwrite(text.data, 1, text.len, file) == text.len);
    EXPECT(fclose(file) == 0);
}

static void expect_piece(FileRead *file, const char *text)
{
    char room[1000];
    size_t n = 0;
    int r = file_read_piece(file, room, sizeof(room), &n);

    EXPECT_EQ(r, 0);
    EXPECT_STR(str_from(room, n), str_from_c(text));
}

static void expect_end(FileRead *file)
{
    char room[100];
    size_t n = 0;

    EXPECT_EQ(file_read_piece(file, room, sizeof(room), &n), FILE_END);
}

/* Catches bytes that are read twice or not at all while a file grows. */
TEST(a_file_that_grows)
{
    FileRead file = FILE_READ_CLOSED;
    uint64_t lines = 0;
    FileLook look;

    EXPECT_EQ(file_read_open(&file, "none"), FILE_GONE);
    write_file("a", "w", STR_C("one\n"));
    EXPECT_OK(file_read_open(&file, "a"));
    EXPECT_OK(file_read_look(&file, &look));
    EXPECT(look.size == 4 && look.head_len == 4 && look.is_regular && !look.is_unlinked);
    expect_piece(&file, "one\n");
    expect_end(&file);
    write_file("a", "a", STR_C("two\n"));
    EXPECT_EQ(unlink("a"), 0);
    expect_piece(&file, "two\n"); /* has no name and is read all the same */
    expect_end(&file);
    EXPECT_OK(file_read_look(&file, &look));
    EXPECT(look.is_unlinked);
    EXPECT_OK(file_read_seek(&file, 5, &lines));
    EXPECT_EQ(lines, 1);
    EXPECT_OK(file_read_seek(&file, 2, NULL));
    expect_piece(&file, "e\ntwo\n");
    file_read_close(&file);
    write_file("b", "w", STR_C("")); /* keeps the inode from coming back */
    write_file("a", "w", STR_C("three\n"));
    write_file("c", "w", STR_C("four\n"));
    file.inode = 0;
    EXPECT_OK(file_read_open(&file, "a"));
    file_read_close(&file);
    EXPECT_EQ(file_read_open(&file, "c"), FILE_OTHER);
    EXPECT_EQ(file_read_open(&file, "/dev/null/x"), FILE_GONE);
}

/* Catches the end of a line that is taken for an empty one, and an empty one that is left out. */
TEST(line_ends)
{
    FileRead file = FILE_READ_CLOSED;

    write_file("e", "w", STR_C("a\nb\r\n\nc"));
    EXPECT_OK(file_read_open(&file, "e"));
    for (size_t i = 0; i < 8; i++) {
        static const uint64_t want[] = { 0, 2, 2, 5, 5, 5, 6, 7 };

        EXPECT_OK(file_read_seek(&file, i, NULL));
        EXPECT_OK(file_read_skip_line_end(&file));
        EXPECT_EQ(file.offset, want[i]);
    }
    file_read_close(&file);
}

/* Catches a beginning of a line that is not one. */
TEST(beginnings)
{
    AUTO(buf_deinit) Buf text = { 0 }, row = { 0 };
    FileRead file = FILE_READ_CLOSED;
    uint64_t start = 0;

    buf_add_str(&text, STR_C("a,\"b\nc\"\n"));
    while (text.len < 200000)
        buf_add_char(&text, 'x');
    buf_add_str(&text, STR_C("\nlast"));
    write_file("d", "w", buf_str(&text));
    EXPECT_OK(file_read_open(&file, "d"));
    EXPECT_OK(file_read_line_start(&file, text.len, &start));
    EXPECT_EQ(start, text.len - 4);
    EXPECT_OK(file_read_line_start(&file, text.len - 4, &start));
    EXPECT_EQ(start, text.len - 4);
    EXPECT_OK(file_read_line_start(&file, text.len - 5, &start));
    EXPECT_EQ(start, 8);
    EXPECT_OK(file_read_line_start(&file, 3, &start));
    EXPECT_EQ(start, 0);
    EXPECT_OK(file_read_first_row(&file, &row));
    EXPECT_STR(buf_str(&row), STR_C("a,\"b\nc\"\n"));
    EXPECT_EQ(file.offset, 0);
    file_read_close(&file);
}

#if SL_HAVE_ZLIB
#include <zlib.h>

static void write_packed(const char *path, const char *mode, Str text)
{
    gzFile file = gzopen(path, mode);

    REQUIRE(file);
    EXPECT_EQ(gzwrite(file, text.data, (unsigned) text.len), (int) text.len);
    EXPECT_EQ(gzclose(file), Z_OK);
}

/* Catches a packed file that is cut at the end of a member, or of a piece. */
TEST(packed)
{
    AUTO(buf_deinit) Buf text = { 0 }, got = { 0 };
    FileRead file = FILE_READ_CLOSED;
    uint64_t lines = 0;
    FileLook look;
    int r = 0;

    for (int i = 0; i < 100000; i++)
        buf_printf(&text, "line %d\n", i);
    write_packed("p", "w", str_sub(buf_str(&text), 0, 500000));
    write_packed("p", "a", str_sub(buf_str(&text), 500000, SIZE_MAX));
    EXPECT_OK(file_read_open(&file, "p"));
    EXPECT_OK(file_read_look(&file, &look));
    EXPECT(file.is_gzip);
    while (r == 0) {
        size_t n = 0;

        r = file_read_piece(&file, buf_reserve(&got, 7777), 7777, &n);
        got.len += r == 0 ? n : 0;
    }
    EXPECT_EQ(r, FILE_END);
    EXPECT(file_read_is_whole(&file));
    EXPECT(str_eq(buf_str(&got), buf_str(&text)));
    EXPECT_EQ(file.offset, text.len);
    EXPECT_OK(file_read_seek(&file, text.len - 11, &lines));
    expect_piece(&file, "line 99999\n");
    EXPECT_EQ(lines, 99999);
    EXPECT_OK(file_read_seek(&file, 0, NULL));
    EXPECT_EQ(file_read_seek(&file, text.len + 1, &lines), FILE_CUT);
    buf_reset(&got);
    EXPECT_OK(file_read_first_row(&file, &got));
    EXPECT_STR(buf_str(&got), STR_C("line 0\n"));
    file_read_close(&file);
}

/* Catches a packed file that is being written and taken for whole, and one that is damaged. */
TEST(packed_in_parts)
{
    AUTO(mem_free) char *bytes = mem_zalloc(1000);
    FileRead file = FILE_READ_CLOSED;
    FileLook look;
    size_t n, got = 0, len;
    FILE *in;
    int r;

    write_packed("whole", "w", STR_C("some words in a packed file\n"));
    in = fopen("whole", "r");
    REQUIRE(in);
    n = fread(bytes, 1, 1000, in);
    EXPECT_EQ(fclose(in), 0);
    write_file("part", "w", str_from(bytes, n / 2));
    EXPECT_OK(file_read_open(&file, "part"));
    EXPECT_OK(file_read_look(&file, &look));
    while (file_read_piece(&file, bytes + 500 + got, 100, &n) == 0)
        got += n;
    EXPECT(!file_read_is_whole(&file));
    in = fopen("whole", "r");
    REQUIRE(in);
    len = fread(bytes, 1, 400, in);
    EXPECT_EQ(fclose(in), 0);
    write_file("part", "w", str_from(bytes, len));
    while (file_read_piece(&file, bytes + 500 + got, 100, &n) == 0)
        got += n;
    EXPECT(file_read_is_whole(&file));
    EXPECT_STR(str_from(bytes + 500, got), STR_C("some words in a packed file\n"));
    file_read_close(&file);
    bytes[12] ^= 0x55;
    write_file("bad", "w", str_from(bytes, len));
    file = (FileRead) FILE_READ_CLOSED;
    EXPECT_OK(file_read_open(&file, "bad"));
    EXPECT_OK(file_read_look(&file, &look));
    do {
        r = file_read_piece(&file, bytes + 500, 100, &n);
    } while (r == 0);
    EXPECT_ERR(r, -ERR_INVALID, "damaged");
    file_read_close(&file);
}
#endif

TEST_MAIN()
