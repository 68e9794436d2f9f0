/*
 * Aggregates: exact results with sensible digits, what is left out, and errors in words.
 */
#include "rows/aggregate.h"

#include "base/test.h"
#include "rows/bar.h"

#include <stdlib.h>

static const RowColumn columns[] = {
    { .name = STR("category"), .kind = ROW_TEXT },
    { .name = STR("price"), .kind = ROW_REAL, .unit = STR("EUR") },
    { .name = STR("any") },
};

static void add(Aggregate *aggregate, const char *category, RowValue price, RowValue any)
{
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    RowValue *row;

    row_batch_init(&batch, columns, ARRAY_LEN(columns));
    row = row_batch_add(&batch);
    row[0] = category ? row_text(row_batch_copy(&batch, str_from_c(category))) : row_null();
    row[1] = price;
    row[2] = any;
    EXPECT_OK(aggregate_add(aggregate, &batch));
}

static void add_price(Aggregate *aggregate, const char *category, const char *digits)
{
    add(aggregate, category, row_real(strtod(digits, NULL), str_from_c(digits)), row_null());
}

static Aggregate *make(const char *group_by, const char *spec)
{
    Aggregate *aggregate = NULL;

    EXPECT_OK(aggregate_new(&aggregate, &(AggregateOpts){ str_from_c(group_by), str_from_c(spec),
                                                          columns, ARRAY_LEN(columns) }));
    return aggregate;
}

/* All result rows as JSON, a line each. */
static void expect_result(Aggregate *aggregate, const char *want)
{
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    size_t n;
    const RowColumn *result = aggregate_columns(aggregate, &n);

    row_batch_init(&batch, result, n);
    aggregate_finish(aggregate);
    while (aggregate_next(aggregate, &batch)) {
        for (size_t i = 0; i < row_batch_count(&batch); i++) {
            row_format_json(&out, &batch, i);
            buf_add_char(&out, '\n');
        }
    }
    EXPECT_STR(buf_str(&out), str_from_c(want));
}

TEST(groups_and_functions)
{
    AUTO(aggregate_free)
    Aggregate *aggregate = make("category", "price:min,median,mean,max,count,sum,stddev,p90;count");

    add_price(aggregate, "mugs", "7.00");
    add_price(aggregate, "kettles", "19.90");
    add_price(aggregate, "mugs", "8.50");
    add_price(aggregate, "mugs", "12.00");
    add(aggregate, "mugs", row_null(), row_null());
    expect_result(aggregate,
                  "{\"category\":\"kettles\",\"price_min\":19.90,\"price_median\":19.90,"
                  "\"price_mean\":19.90,\"price_max\":19.90,\"price_count\":1,\"price_sum\":19.90,"
                  "\"price_stddev\":null,\"price_p90\":19.90,\"count\":1}\n"
                  "{\"category\":\"mugs\",\"price_min\":7.00,\"price_median\":8.50,"
                  "\"price_mean\":9.1667,\"price_max\":12.00,\"price_count\":3,"
                  "\"price_sum\":27.50,\"price_stddev\":2.5658,\"price_p90\":11.30,\"count\":4}\n");
    EXPECT_EQ(aggregate_left_out(aggregate), 1);
}

/* A sum that rounds at each step would be 99999.99999998 or the like. */
TEST(sums_do_not_drift)
{
    AUTO(aggregate_free) Aggregate *aggregate = make("", "price:sum,mean");
    AUTO(row_batch_deinit) RowBatch batch = { 0 };

    row_batch_init(&batch, columns, ARRAY_LEN(columns));
    for (int i = 0; i < 1000000; i++) {
        RowValue *row = row_batch_add(&batch);

        if (!row) {
            EXPECT_OK(aggregate_add(aggregate, &batch));
            row_batch_reset(&batch);
            row = row_batch_add(&batch);
        }
        row[1] = row_real(0.10, STR_C("0.10"));
    }
    EXPECT_OK(aggregate_add(aggregate, &batch));
    expect_result(aggregate, "{\"price_sum\":100000.00,\"price_mean\":0.10}\n");
}

TEST(what_is_no_number_is_left_out_and_counted)
{
    AUTO(aggregate_free) Aggregate *aggregate = make("", "any:count,median,max");

    add(aggregate, NULL, row_null(), row_text(STR_C(" 12 ")));
    add(aggregate, NULL, row_null(), row_text(STR_C("12 EUR")));
    add(aggregate, NULL, row_null(), row_text(STR_C("0x10")));
    add(aggregate, NULL, row_null(), row_text(STR_C("nan")));
    add(aggregate, NULL, row_null(), row_boolean(true));
    add(aggregate, NULL, row_null(), row_real(1.0 / 0.0, (Str){ 0 }));
    add(aggregate, NULL, row_null(), row_integer(13));
    expect_result(aggregate, "{\"any_count\":2,\"any_median\":12.5,\"any_max\":13}\n");
    EXPECT_EQ(aggregate_left_out(aggregate), 5);
}

TEST(no_rows_no_groups_and_a_group_without_a_name_stands_last)
{
    AUTO(aggregate_free) Aggregate *nothing = make("category", "count");
    AUTO(aggregate_free) Aggregate *aggregate = make("category", "");

    expect_result(nothing, "");
    add_price(aggregate, NULL, "1");
    add_price(aggregate, "", "1");
    add_price(aggregate, "z", "1");
    expect_result(aggregate, "{\"category\":\"\",\"count\":1}\n{\"category\":\"z\",\"count\":1}\n"
                             "{\"category\":null,\"count\":1}\n");
}

TEST(many_groups_come_in_several_batches)
{
    AUTO(aggregate_free) Aggregate *aggregate = make("any", "count");
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    size_t n, rows = 0;
    const RowColumn *result = aggregate_columns(aggregate, &n);
    int64_t last = -1;

    for (int i = 2999; i >= 0; i--)
        add(aggregate, "x", row_null(), row_integer(i));
    aggregate_finish(aggregate);
    row_batch_init(&batch, result, n);
    while (aggregate_next(aggregate, &batch)) {
        for (size_t i = 0; i < row_batch_count(&batch); i++) {
            EXPECT_EQ(row_batch_row(&batch, i)[0].integer, last + 1);
            last = row_batch_row(&batch, i)[0].integer;
        }
        rows += row_batch_count(&batch);
    }
    EXPECT_EQ(rows, 3000);
}

static void expect_refused(const char *group_by, const char *spec, const char *words)
{
    Aggregate *aggregate = NULL;

    EXPECT_ERR(aggregate_new(&aggregate, &(AggregateOpts){ str_from_c(group_by), str_from_c(spec),
                                                           columns, ARRAY_LEN(columns) }),
               -ERR_INVALID, words);
    EXPECT(!aggregate);
}

TEST(specs_that_are_wrong_are_refused_in_words)
{
    expect_refused("categry", "count",
                   "--group-by: the rows have no column \"categry\"; did you "
                   "mean category?");
    expect_refused("category,category", "count", "named twice");
    expect_refused("", "price:medain", "unknown function \"medain\"; did you mean median?");
    expect_refused("", "price:p101", "unknown function");
    expect_refused("", "price:p", "unknown function");
    expect_refused("", "price", "names no function");
    expect_refused("", "price:", "names no function");
    expect_refused("", "prize:min", "--agg: the rows have no column \"prize\"");
    expect_refused("", "price:min,min", "asked for twice");
    expect_refused("", "count;count", "asked for twice");
    expect_refused("", ";", "names no function");
}

TEST(bars_are_in_proportion)
{
    static const Bar bars[] = {
        { STR("one at a time"), 6.0, STR("6.00 s") },
        { STR("20 at once"), 3.0, STR("3.00 s") },
        { STR("all"), 0.001, STR("1 ms") },
        { STR("none"), 0, STR("–") },
    };
    AUTO(buf_deinit) Buf out = { 0 };

    bar_print(&out, bars, 4, &(BarStyle){ .columns = 33 });
    EXPECT_STR(buf_str(&out), STR_C("one at a time  ██████████  6.00 s\n"
                                    "20 at once     █████       3.00 s\n"
                                    "all            ▏           1 ms\n"
                                    "none                       –\n"));
    buf_reset(&out);
    bar_print(&out, bars, 4, &(BarStyle){ .columns = 33, .is_ascii = true });
    EXPECT_STR(buf_str(&out), STR_C("one at a time  ##########  6.00 s\n"
                                    "20 at once     #####       3.00 s\n"
                                    "all            #           1 ms\n"
                                    "none                       –\n"));
}

TEST_MAIN()
