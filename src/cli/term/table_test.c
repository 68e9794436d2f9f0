/* Tables: alignment, cutting to the terminal, hostile cells, and lines for pipes. */
#include "cli/term/table.h"

#include "base/test.h"

static const TableColumn columns[] = { { .name = "id", .is_fixed = true },
                                       { .name = "n", .is_right = true },
                                       { .name = "text" } };

static void print(const Str (*rows)[3], size_t n, const TableStyle *style, Buf *out)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Table table;

    table_init(&table, &arena, columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < n; i++)
        table_add(&table, rows[i]);
    table_print(&table, style, out);
}

/* Would catch columns that do not line up, and trailing spaces. */
TEST(aligns_on_a_terminal)
{
    static const Str rows[][3] = { { STR("a1"), STR("7"), STR("x") },
                                   { STR("b"), STR("1234"), STR("yy") } };
    AUTO(buf_deinit) Buf out = { 0 };

    print(rows, 2, &(TableStyle){ .is_terminal = true, .columns = 80 }, &out);
    EXPECT_STR(buf_str(&out), STR_C("id     n  text\na1     7  x\nb   1234  yy\n"));
}

/* Would catch a table wider than its terminal, or an id that was cut. */
TEST(cuts_the_widest_column_to_fit)
{
    static const Str rows[][3] = { { STR("0123456789"), STR("1"),
                                     STR("a long text that does not fit") } };
    AUTO(buf_deinit) Buf out = { 0 };

    print(rows, 1, &(TableStyle){ .is_terminal = true, .columns = 30 }, &out);
    EXPECT(str_contains(buf_str(&out), STR_C("0123456789  1  a long text th…\n")));
}

/* Would catch escape codes of a stranger on the operator's terminal, and a cell that breaks its
 * row. */
TEST(nothing_in_a_cell_steers_the_terminal)
{
    static const Str rows[][3] = { { STR("a"), STR("1"), STR("x\x1b[31m\ty\nz") } };
    AUTO(buf_deinit) Buf out = { 0 };

    print(rows, 1, &(TableStyle){ 0 }, &out);
    EXPECT_STR(buf_str(&out), STR_C("a\t1\tx y z\n"));
}

/* Would catch a header or cut cells in a pipe. */
TEST(a_pipe_gets_whole_cells_and_no_header)
{
    static const Str rows[][3] = { { STR("a"), STR("1"), STR("äöü") } };
    AUTO(buf_deinit) Buf out = { 0 };

    print(rows, 1, &(TableStyle){ .columns = 3 }, &out);
    EXPECT_STR(buf_str(&out), STR_C("a\t1\täöü\n"));
    EXPECT_EQ(table_width(STR_C("äöü")), 3);
}

/* Would catch columns that shift behind wide characters. */
TEST(wide_characters_count_as_two)
{
    static const Str rows[][3] = { { STR("日本"), STR("1"), STR("x") },
                                   { STR("abcd"), STR("2"), STR("🙂🙂🙂🙂🙂🙂") } };
    AUTO(buf_deinit) Buf out = { 0 };

    print(rows, 2, &(TableStyle){ .is_terminal = true, .columns = 18 }, &out);
    EXPECT_STR(buf_str(&out), STR_C("id    n  text\n日本  1  x\nabcd  2  🙂🙂🙂🙂…\n"));
}

TEST_MAIN()
