/*
 * Parcels as bytes: what comes back is what was put in, and damaged bytes are refused.
 */
#include "rows/parcel_code.h"

#include "base/rand.h"
#include "base/test.h"

/* A parcel of N rows of every kind, with original bytes for each second one. */
static Parcel *make(Shapes *shapes, Receipt *receipt, size_t n)
{
    AUTO(payload_unref) Payload *payload = payload_copy(STR_C("first line\nsecond line\n"));
    Shape *shape = NULL;
    size_t column;
    Parcel *parcel;

    EXPECT_OK(shapes_get(shapes, STR_C("readings"), &shape));
    EXPECT_OK(shape_add(shape, STR_C("time"), ROW_TIME, (Str){ 0 }, &column));
    EXPECT_OK(shape_add(shape, STR_C("value"), ROW_REAL, STR_C("°C"), &column));
    EXPECT_OK(shape_add(shape, STR_C("name"), ROW_TEXT, (Str){ 0 }, &column));
    EXPECT_OK(shape_add(shape, STR_C("ok"), ROW_BOOL, (Str){ 0 }, &column));
    EXPECT_OK(shape_add(shape, STR_C("n"), ROW_INT, (Str){ 0 }, &column));
    EXPECT_OK(shape_add(shape, STR_C("more"), ROW_JSON, (Str){ 0 }, &column));
    parcel = parcel_new(NULL, shape, receipt, payload);
    for (size_t i = 0; i < n; i++) {
        RowPlace place = {
            .position = 100 + i, .line = i + 1, .offset = i % 2 ? 0 : 11, .len = i % 2 ? 0 : 11
        };
        RowValue *row = parcel_add(parcel, &place);

        row[0] = row_time_ns(INT64_MIN + (int64_t) i);
        row[1] = row_real(19.9, STR_C("19.90"));
        row[2] = i % 3 ? row_text(parcel_copy_text(parcel, STR_C("kettle")))
                       : row_gap(ROW_GAP_NULL);
        row[3] = row_boolean(i % 2);
        row[4] = row_integer(-7);
        row[5] = row_json(STR_C("{\"a\":1}"));
    }
    return parcel;
}

static void expect_same(const Parcel *a, const Parcel *b)
{
    EXPECT_EQ(parcel_count(a), parcel_count(b));
    for (size_t i = 0; i < parcel_count(a) && i < parcel_count(b); i++) {
        AUTO(buf_deinit) Buf left = { 0 };
        AUTO(buf_deinit) Buf right = { 0 };

        row_format_json(&left, &a->rows, i);
        row_format_json(&right, &b->rows, i);
        EXPECT_STR(buf_str(&right), buf_str(&left));
        EXPECT_EQ(a->places[i].line, b->places[i].line);
        EXPECT_EQ(a->places[i].position, b->places[i].position);
        EXPECT_STR(parcel_bytes_of(b, i), parcel_bytes_of(a, i));
    }
}

TEST(comes_back_as_it_was)
{
    AUTO(shapes_free) Shapes *shapes = shapes_new();
    AUTO(shapes_free) Shapes *others = shapes_new();
    Receipt *receipt = receipt_new(3, STR_C("10.0.0.7"), STR_C("file#1"));
    AUTO(buf_deinit) Buf bytes = { 0 };
    Parcel *parcel = make(shapes, receipt, 50), *back = NULL;
    Payload *payload;
    ParcelHead head;

    parcel->received_ns = 12345;
    parcel->payload->format = 4;
    buf_add_c(&parcel->payload->head, "time,value");
    receipt->attempts = 7;
    parcel->shadows = 3;
    receipt->first_source = STR_C("mqtt");
    parcel_encode(parcel, &bytes);
    EXPECT_OK(parcel_peek(buf_str(&bytes), &head));
    EXPECT_EQ(head.rows, 50);
    EXPECT_EQ(head.source, 3);
    EXPECT_EQ(head.position, 149);
    EXPECT_STR(head.track, STR_C("file#1"));
    EXPECT_STR(head.origin, STR_C("10.0.0.7"));
    EXPECT_EQ(head.attempts, 7);
    EXPECT_EQ(head.shadows, 3);
    EXPECT_STR(head.first_source, STR_C("mqtt"));
    payload = payload_copy(buf_str(&bytes));
    EXPECT_OK(parcel_decode(others, NULL, NULL, payload, 0, bytes.len, &back));
    payload_unref(payload);
    REQUIRE(back);
    EXPECT_EQ(back->received_ns, 12345);
    EXPECT_EQ(back->payload->format, 4);
    EXPECT_STR(buf_str(&back->payload->head), STR_C("time,value"));
    expect_same(parcel, back);
    parcel_free(NULL, back);
    parcel_free(NULL, parcel);
    receipt_seal(receipt);
}

TEST(fits_a_shape_whose_columns_stand_elsewhere)
{
    AUTO(shapes_free) Shapes *shapes = shapes_new();
    AUTO(shapes_free) Shapes *others = shapes_new();
    AUTO(buf_deinit) Buf bytes = { 0 };
    Parcel *parcel = make(shapes, NULL, 4), *back = NULL;
    Payload *payload;
    Shape *shape;
    size_t column;

    EXPECT_OK(shapes_get(others, STR_C("readings"), &shape));
    EXPECT_OK(shape_add(shape, STR_C("name"), ROW_TEXT, (Str){ 0 }, &column));
    EXPECT_OK(shape_add(shape, STR_C("new"), ROW_TEXT, (Str){ 0 }, &column));
    parcel_encode(parcel, &bytes);
    payload = payload_copy(buf_str(&bytes));
    EXPECT_OK(parcel_decode(others, NULL, NULL, payload, 0, bytes.len, &back));
    payload_unref(payload);
    REQUIRE(back);
    EXPECT_STR(parcel_row(back, 1)[0].text, STR_C("kettle"));
    EXPECT_EQ(parcel_row(back, 1)[1].kind, ROW_ANY);
    parcel_free(NULL, back);
    parcel_free(NULL, parcel);
}

/* Rows lie on the disk while others of their table come with a column of another kind: these must
 * not be in their way. */
TEST(has_a_shape_of_its_own_where_kinds_differ)
{
    AUTO(shapes_free) Shapes *shapes = shapes_new();
    AUTO(shapes_free) Shapes *others = shapes_new();
    AUTO(buf_deinit) Buf bytes = { 0 };
    Parcel *parcel = make(shapes, NULL, 4), *back = NULL;
    Payload *payload;
    Shape *shape;
    size_t column;

    EXPECT_OK(shapes_get(others, STR_C("readings"), &shape));
    EXPECT_OK(shape_add(shape, STR_C("value"), ROW_TEXT, (Str){ 0 }, &column));
    parcel_encode(parcel, &bytes);
    payload = payload_copy(buf_str(&bytes));
    EXPECT_OK(parcel_decode(others, NULL, NULL, payload, 0, bytes.len, &back));
    payload_unref(payload);
    REQUIRE(back);
    EXPECT(back->shape != shape);
    EXPECT_STR(shape_name(back->shape), STR_C("readings"));
    expect_same(parcel, back);
    parcel_free(NULL, back);
    parcel_free(NULL, parcel);
}

/* A spill of an older program is read. */
TEST(version_1_is_read)
{
    static const char bytes[] = "\x01\x01\0\0\0\x01\0\0\0\x02\0\0\0\x05\0\0\0\0\0\0\0"
                                "\x09\0\0\0\0\0\0\0\x01\0\0\0f\0\0\0\0\x01\0\0\0t"
                                "\x02\x01\0\0\0n\0\0\0\0"
                                "\x03\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0"
                                "\x02\x2a\0\0\0\0\0\0\0";
    AUTO(shapes_free) Shapes *shapes = shapes_new();
    AUTO(payload_unref) Payload *payload = payload_copy(str_from(bytes, sizeof(bytes) - 1));
    Parcel *parcel = NULL;

    STATIC_ASSERT(ROW_INT == 2, "the kind in the bytes above");
    EXPECT_OK(parcel_decode(shapes, NULL, NULL, payload, 0, sizeof(bytes) - 1, &parcel));
    REQUIRE(parcel);
    EXPECT_EQ(parcel_count(parcel), 1);
    EXPECT_EQ(parcel_row(parcel, 0)[0].integer, 42);
    EXPECT_EQ(parcel->places[0].position, 9);
    parcel_free(NULL, parcel);
}

/* A length that does not fit, a kind that is none, bytes that are missing: an error, no more. */
TEST(damaged_bytes_are_refused)
{
    AUTO(shapes_free) Shapes *shapes = shapes_new();
    AUTO(buf_deinit) Buf bytes = { 0 };
    Parcel *parcel = make(shapes, NULL, 5), *back;
    Rand rand;

    parcel_encode(parcel, &bytes);
    parcel_free(NULL, parcel);
    rand_init(&rand, 7);
    for (size_t i = 0; i < 4000; i++) {
        AUTO(shapes_free) Shapes *others = shapes_new();
        Payload *payload = payload_copy(buf_str(&bytes));
        size_t len = i < bytes.len ? i : bytes.len;
        int r;

        for (size_t k = 0; i >= bytes.len && k < 3; k++)
            payload->bytes.data[rand_below(&rand, bytes.len)] = (char) rand_u64(&rand);
        back = NULL;
        r = parcel_decode(others, NULL, NULL, payload, 0, len, &back);
        EXPECT(r <= 0 && (i >= bytes.len || r < 0));
        if (r == 0)
            parcel_free(NULL, back);
        else
            err_take(r, NULL);
        payload_unref(payload);
    }
}

TEST_MAIN()
