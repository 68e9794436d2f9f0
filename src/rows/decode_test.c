/*
 * Decoding: rows, columns and refusals of every format; parcels that are full, grow wider or take
 * turns; streams that come in pieces of every size.
 */
#include "rows/decode.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/test.h"
#include "codec/base64.h"

#if SL_HAVE_ZLIB
#include <zlib.h>
#endif

#define ARRIVED_NS (INT64_C(1700000000) * NS_PER_S)

/* What is decoded, and what came of it, in words. */
typedef struct World {
    Shapes *shapes;
    ParcelPool pool;
    Decoder *decoder;
    Receipt *receipt;
    Buf out; /* a line for each row */
    size_t parcels, rows, refused;
    uint64_t position; /* of the last row */
    int fail_after;    /* parcels until taking fails; 0: never */
    bool is_quiet;
} World;

static void open_world(World *world, const DecodeOpts *opts)
{
    *world = (World){ .shapes = shapes_new() };
    world->decoder = decoder_new(world->shapes, &world->pool, opts);
    world->receipt = receipt_new(0, STR_C("test"), STR_C("track"));
    world->receipt->received_ns = ARRIVED_NS;
}

static void close_world(World *world)
{
    receipt_seal(world->receipt);
    decoder_free(world->decoder);
    shapes_free(world->shapes);
    parcel_pool_deinit(&world->pool);
    buf_deinit(&world->out);
}

/* One row: `table{"a":1}`, or `!code line 3 at 17: bytes`. */
static void show_row(World *world, const Parcel *parcel, size_t index, size_t *dead)
{
    if (parcel->fates[index] == FATE_OPEN) {
        buf_add_str(&world->out, shape_name(parcel->shape));
        row_format_json(&world->out, &parcel->rows, index);
    } else {
        const DeadRow *row = &parcel->dead[(*dead)++];

        world->refused++;
        EXPECT(strlen(row->why.text) > 0);
        EXPECT_C(row->why.stage, "parse");
        buf_printf(&world->out, "!%s line %d at %d: ", row->why.code, (int) row->why.line,
                   (int) row->why.offset);
        buf_add_str(&world->out, parcel_bytes_of(parcel, index));
    }
    buf_add_char(&world->out, '\n');
}

static int take(void *ctx, Parcel *parcel)
{
    World *world = ctx;
    size_t dead = 0;

    world->parcels++;
    EXPECT(parcel_count(parcel) > 0 && parcel_count(parcel) <= LIMIT_ROW_BATCH);
    for (size_t i = 0; i < parcel_count(parcel); i++) {
        EXPECT(parcel->places[i].position > world->position);
        world->position = parcel->places[i].position;
        for (size_t c = 0; c < row_batch_width(&parcel->rows); c++) {
            const RowValue *value = &row_batch_row(&parcel->rows, i)[c];
            RowKind kind = row_batch_columns(&parcel->rows)[c].kind;

            EXPECT(value->kind == kind || value->kind == ROW_ANY || kind == ROW_ANY);
        }
        if (!world->is_quiet)
            show_row(world, parcel, i, &dead);
    }
    world->rows += parcel_count(parcel);
    parcel_free(&world->pool, parcel);
    return world->fail_after > 0 && --world->fail_after == 0 ? fail(-ERR_CLOSED, "full") : 0;
}

/* Decode TEXT; what came of it is in world->out. */
static int decode(World *world, Str text)
{
    Payload *payload = payload_copy(text);
    int r;

    buf_reset(&world->out);
    world->position = 0;
    r = decode_all(world->decoder, payload, world->receipt, 0, 0, take, world);
    payload_unref(payload);
    return r;
}

static void expect_decoded(const DecodeOpts *opts, const char *text, const char *want)
{
    World world;

    open_world(&world, opts);
    EXPECT_OK(decode(&world, str_from_c(text)));
    EXPECT_STR(buf_str(&world.out), str_from_c(want));
    close_world(&world);
}

TEST(reads_units_and_media)
{
    TimeUnit unit;

    EXPECT(time_unit_parse(STR_C("ms"), &unit) == 0 && unit == TIME_MS);
    EXPECT(time_unit_parse(STR_C("u"), &unit) == 0 && unit == TIME_US);
    EXPECT(time_unit_parse(STR_C("m"), &unit) == 0 && unit == TIME_MIN);
    EXPECT_ERR(time_unit_parse(STR_C("y"), &unit), -ERR_INVALID, "precision");
    EXPECT_EQ(decode_format_of_media(STR_C("application/json; charset=utf-8")), DECODE_JSON);
    EXPECT_EQ(decode_format_of_media(STR_C("Text/CSV")), DECODE_CSV);
    EXPECT_EQ(decode_format_of_media(STR_C("text/plain")), DECODE_AUTO);
}

TEST(decodes_influx)
{
    static const DecodeOpts plain = { .format = DECODE_INFLUX, .unit = TIME_S };
    static const DecodeOpts split = { .format = DECODE_INFLUX, .by_measurement = true };
    static const DecodeOpts arrival = { .format = DECODE_INFLUX, .has_arrival_time = true };

    expect_decoded(&plain,
                   "cpu,host=a load=1.50,n=4i,big=18446744073709551615u,ok=t 1600000000\n"
                   "cpu,host=b load=2,n=5u,big=1u,ok=f -1\n",
                   "rows{\"time\":\"2020-09-13T12:26:40Z\",\"measurement\":\"cpu\",\"host\":\"a\","
                   "\"load\":1.50,\"n\":4,\"big\":18446744073709551615,\"ok\":true}\n"
                   "rows{\"time\":\"1969-12-31T23:59:59Z\",\"measurement\":\"cpu\",\"host\":\"b\","
                   "\"load\":2,\"n\":5,\"big\":1.0,\"ok\":false}\n");
    expect_decoded(&split, "a\\ b,t\\==x\\,y f=\"say \\\"no\\\"\\n\"\nc v=1i\n",
                   "a b{\"time\":null,\"t=\":\"x,y\",\"f\":\"say \\\"no\\\"\\\\n\"}\n"
                   "c{\"time\":null,\"v\":1}\n");
    expect_decoded(
        &arrival, "m v=1i\nm v=2i 1\n",
        "rows{\"time\":\"2023-11-14T22:13:20Z\",\"measurement\":\"m\",\"v\":1}\n"
        "rows{\"time\":\"1970-01-01T00:00:00.000000001Z\",\"measurement\":\"m\",\"v\":2}\n");
}

/* A refused line never costs its neighbours; each says where it stood. */
TEST(refuses_lines_of_influx)
{
    static const DecodeOpts opts = { .format = DECODE_INFLUX, .unit = TIME_S };

    expect_decoded(&opts,
                   "bad\n"
                   "m v=1i\n"
                   "m v=1.5\n"
                   "m v=3.0\n"
                   "m v=\"x\"\n"
                   "m,a=1,a=2 v=1i\n"
                   "m,v=1 v=1i\n"
                   "m time=1i\n"
                   "m v=1i 9300000000\n"
                   "m v=9300000000000000000u\n"
                   "m v=2i",
                   "!no_fields line 1 at 0: bad\n"
                   "rows{\"time\":null,\"measurement\":\"m\",\"v\":1}\n"
                   "!field_type_conflict line 3 at 11: m v=1.5\n"
                   "rows{\"time\":null,\"measurement\":\"m\",\"v\":3}\n"
                   "!field_type_conflict line 5 at 27: m v=\"x\"\n"
                   "!duplicate_key line 6 at 35: m,a=1,a=2 v=1i\n"
                   "!duplicate_key line 7 at 50: m,v=1 v=1i\n"
                   "!duplicate_key line 8 at 61: m time=1i\n"
                   "!time_out_of_range line 9 at 71: m v=1i 9300000000\n"
                   "!field_type_conflict line 10 at 89: m v=9300000000000000000u\n"
                   "rows{\"time\":null,\"measurement\":\"m\",\"v\":2}\n");
}

TEST(decodes_json)
{
    static const DecodeOpts opts = { .format = DECODE_JSON, .unit = TIME_MS };

    expect_decoded(
        &opts, " {\"time\": 1600000000123, \"a\": \"x\\ny\", \"b\": 1.50, \"c\": true} ",
        "rows{\"time\":\"2020-09-13T12:26:40.123Z\",\"a\":\"x\\ny\",\"b\":1.50,\"c\":true}\n");
    expect_decoded(
        &opts,
        "[\n {\"a\": 1, \"n\": null}, {\"a\": 12345678901234567890,\"o\":{\"k\":[1]}},\n"
        "{\"timestamp\":\"2020-09-13T12:26:40.123456789Z\"}]",
        "rows{\"a\":1}\n"
        "rows{\"a\":12345678901234567890,\"o\":{\"k\":[1]}}\n"
        "rows{\"a\":null,\"o\":null,\"timestamp\":\"2020-09-13T12:26:40.123456789Z\"}\n");
    expect_decoded(&opts, "[]", "");
    expect_decoded(&opts, "  ", "");
}

TEST(refuses_pieces_of_json)
{
    static const DecodeOpts opts = { .format = DECODE_JSON };

    expect_decoded(
        &opts,
        "[{\"a\":1},\n{\"a\":\"x\"},3,{\"a\":},{\"a\":1,\"a\":2}, {}, {\"time\":\"noon\"}\n,"
        "{\"a\":2}] x",
        "rows{\"a\":1}\n"
        "!field_type_conflict line 2 at 10: {\"a\":\"x\"}\n"
        "!not_an_object line 2 at 20: 3\n"
        "!bad_json line 2 at 22: {\"a\":}\n"
        "!duplicate_key line 2 at 29: {\"a\":1,\"a\":2}\n"
        "!no_fields line 2 at 44: {}\n"
        "!bad_time line 2 at 48: {\"time\":\"noon\"}\n"
        "rows{\"a\":2,\"time\":null}\n"
        "!bad_json line 3 at 74: x\n");
    expect_decoded(&opts, "[{\"a\":1},{\"a\":2",
                   "rows{\"a\":1}\n!bad_json line 1 at 9: {\"a\":2\n");
    expect_decoded(&opts, "[{\"a\":1}", "rows{\"a\":1}\n!bad_json line 1 at 0: [\n");
    expect_decoded(&opts, "[{\"a\":1} {\"a\":2}]", "rows{\"a\":1}\nrows{\"a\":2}\n");
    expect_decoded(&opts, "[,{\"a\":1},]", "!bad_json line 1 at 1: ,\nrows{\"a\":1}\n");
    expect_decoded(&opts, "{\"a\\u0000\":1}", "!bad_name line 1 at 0: {\"a\\u0000\":1}\n");
    expect_decoded(&opts, "17", "!not_an_object line 1 at 0: 17\n");
}

TEST(decodes_ndjson)
{
    static const DecodeOpts opts = { .format = DECODE_NDJSON };

    expect_decoded(&opts, "{\"a\":1}\r\n\n{\"b\":2\n  {\"b\":\"\xc3\xa9\"}",
                   "rows{\"a\":1}\n"
                   "!bad_json line 3 at 10: {\"b\":2\n"
                   "rows{\"a\":null,\"b\":\"\xc3\xa9\"}\n");
}

/* An identifier has more digits than a double: it is an integer, exact to the last one; a number
 * that was there first takes what it has room for. */
TEST(keeps_long_integers)
{
    static const DecodeOpts opts = { .format = DECODE_NDJSON };

    expect_decoded(&opts, "{\"id\":9007199254740993}\n{\"id\":1}\n{\"id\":1.5}\n",
                   "rows{\"id\":9007199254740993}\nrows{\"id\":1}\n"
                   "!field_type_conflict line 3 at 33: {\"id\":1.5}\n");
    expect_decoded(&opts, "{\"v\":1.5}\n{\"v\":9007199254740993}\n{\"v\":9007199254740994}\n",
                   "rows{\"v\":1.5}\n"
                   "!field_type_conflict line 2 at 10: {\"v\":9007199254740993}\n"
                   "rows{\"v\":9007199254740994.0}\n");
    expect_decoded(&opts, "{\"v\":1e18}\n{\"v\":1e300}\n{\"v\":9223372036854775807}\n",
                   "rows{\"v\":1e18}\nrows{\"v\":1e300}\n"
                   "!field_type_conflict line 3 at 23: {\"v\":9223372036854775807}\n");
}

TEST(decodes_csv)
{
    static const DecodeOpts opts = { .format = DECODE_CSV, .unit = TIME_S };
    static const DecodeOpts other = {
        .format = DECODE_CSV, .separator = ';', .time_column = STR("t"), .table = STR("prices")
    };

    expect_decoded(&opts,
                   "time,a,,a\r\n1600000000,\"x \"\"y\"\"\",,\"\"\n,b\n1,2,3,4,5\nnoon\n\"x\"y\n",
                   "rows{\"time\":\"2020-09-13T12:26:40Z\",\"a\":\"x \\\"y\\\"\",\"column_3\":null,"
                   "\"a_4\":\"\"}\n"
                   "rows{\"time\":null,\"a\":\"b\",\"column_3\":null,\"a_4\":null}\n"
                   "!too_many_cells line 4 at 39: 1,2,3,4,5\n"
                   "!bad_time line 5 at 49: noon\n"
                   "!bad_quote line 6 at 54: \"x\"y\n");
    expect_decoded(&other, "t;time\n2026-11-21T00:00:00Z;17\n",
                   "prices{\"t\":\"2026-11-21T00:00:00Z\",\"time\":\"17\"}\n");
    expect_decoded(&opts, "\"a\n1\n", "!open_quote line 1 at 0: \"a\n!no_head line 2 at 3: 1\n");
    expect_decoded(&opts, "a,b\n", "");
}

TEST(decodes_lines)
{
    static const DecodeOpts opts = { .format = DECODE_LINES };
    static const DecodeOpts arrival = { .format = DECODE_LINES, .has_arrival_time = true };

    expect_decoded(&opts, "one\r\n\n\xff\ntwo",
                   "rows{\"line\":\"one\"}\nrows{\"line\":\"\"}\n!bad_utf8 line 3 at 6: \xff\n"
                   "rows{\"line\":\"two\"}\n");
    expect_decoded(&arrival, "one\n", "rows{\"time\":\"2023-11-14T22:13:20Z\",\"line\":\"one\"}\n");
}

TEST(tells_formats_by_the_first_byte)
{
    static const DecodeOpts opts = { .format = DECODE_AUTO };

    expect_decoded(&opts, " {\"a\":1}", "rows{\"a\":1}\n");
    expect_decoded(&opts, "{\"a\":1}\n{\"a\":2}\n", "rows{\"a\":1}\nrows{\"a\":2}\n");
    expect_decoded(&opts, "\xef\xbb\xbf[{\"a\":1}]", "rows{\"a\":1}\n");
    expect_decoded(&opts, "\xef\xbb\xbfm a=1i",
                   "rows{\"time\":null,\"measurement\":\"m\",\"a\":1}\n");
    expect_decoded(&opts, "m a=1i", "rows{\"time\":null,\"measurement\":\"m\",\"a\":1}\n");
    expect_decoded(&opts, "\n \n", "");
}

/* Columns that are declared take what fits, and no others come when the shape is sealed. */
TEST(keeps_to_declared_columns)
{
    DecodeOpts opts = { .format = DECODE_CSV };
    Shape *shape;
    size_t column;
    World world;

    open_world(&world, &opts);
    REQUIRE(shapes_get(world.shapes, STR_C("rows"), &shape) == 0);
    EXPECT_OK(shape_add(shape, STR_C("n"), ROW_INT, (Str){ 0 }, &column));
    EXPECT_OK(shape_add(shape, STR_C("j"), ROW_JSON, (Str){ 0 }, &column));
    EXPECT_OK(decode(&world, STR_C("n,j\n17,[1]\nx,1\n")));
    EXPECT_STR(buf_str(&world.out),
               STR_C("rows{\"n\":17,\"j\":[1]}\n!field_type_conflict line 3 at 11: x,1\n"));
    decoder_free(world.decoder);
    opts.format = DECODE_NDJSON;
    world.decoder = decoder_new(world.shapes, &world.pool, &opts);
    shape_seal(shape);
    EXPECT_OK(decode(&world, STR_C("{\"n\":1e3,\"j\":2}\n{\"n\":1.5}\n{\"n\":1,\"x\":2}\n")));
    EXPECT_STR(buf_str(&world.out), STR_C("rows{\"n\":1000,\"j\":2}\n"
                                          "!field_type_conflict line 2 at 16: {\"n\":1.5}\n"
                                          "!unknown_column line 3 at 26: {\"n\":1,\"x\":2}\n"));
    close_world(&world);
}

static void add_lines(Buf *text, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        buf_printf(text, "m,s=s%zu v=%zui %zu\n", i % 10, i, i);
}

/* Full parcels, a wider one when a column comes, too many columns. */
TEST(closes_parcels)
{
    static const DecodeOpts opts = { .format = DECODE_INFLUX };
    AUTO(buf_deinit) Buf text = { 0 };
    World world;

    open_world(&world, &opts);
    world.is_quiet = true;
    add_lines(&text, 0, 2500);
    EXPECT_OK(decode(&world, buf_str(&text)));
    EXPECT_EQ(world.parcels, 3);
    EXPECT_EQ(world.rows, 2500);
    EXPECT_EQ(world.position, text.len);

    buf_reset(&text);
    world.parcels = 0;
    add_lines(&text, 0, 10);
    buf_add_c(&text, "m,s=x w=1\n");
    add_lines(&text, 0, 10);
    EXPECT_OK(decode(&world, buf_str(&text)));
    EXPECT_EQ(world.parcels, 2);

    buf_reset(&text);
    world.is_quiet = false;
    for (size_t i = 0; i < LIMIT_SHAPE_COLUMNS; i++)
        buf_printf(&text, "m f%zu=1\n", i);
    EXPECT_OK(decode(&world, buf_str(&text)));
    EXPECT_EQ(world.refused, 5); /* time, measurement, s, v and w are there already */
    EXPECT(str_contains(buf_str(&world.out), STR_C("!too_many_columns")));
    close_world(&world);
}

/* Measurements that take turns keep their order where positions count. */
TEST(keeps_the_order_of_positions)
{
    static const DecodeOpts opts = { .format = DECODE_INFLUX, .by_measurement = true };
    AUTO(buf_deinit) Buf text = { 0 };
    World world;

    open_world(&world, &opts);
    world.is_quiet = true;
    for (size_t i = 0; i < 100; i++)
        buf_printf(&text, "m%zu v=%zui\n", i % 4, i);
    EXPECT_OK(decode(&world, buf_str(&text)));
    EXPECT_EQ(world.parcels, 100);
    close_world(&world);
}

static int count(void *ctx, Parcel *parcel)
{
    World *world = ctx;

    world->parcels++;
    world->rows += parcel_count(parcel);
    for (size_t i = 0; i < parcel_count(parcel); i++)
        EXPECT_EQ(parcel->places[i].position, 0);
    parcel_free(&world->pool, parcel);
    return 0;
}

TEST(fills_several_parcels_where_no_position_counts)
{
    static const DecodeOpts opts = { .format = DECODE_INFLUX, .by_measurement = true };
    AUTO(payload_unref) Payload *payload = NULL;
    AUTO(buf_deinit) Buf text = { 0 };
    Receipt *receipt = receipt_new(0, STR_C("test"), (Str){ 0 });
    World world;

    open_world(&world, &opts);
    for (size_t i = 0; i < 2000; i++)
        buf_printf(&text, "m%zu v=%zui\n", i % 4, i);
    payload = payload_take(&text);
    EXPECT_OK(decode_all(world.decoder, payload, receipt, 0, 0, count, &world));
    EXPECT_EQ(world.parcels, 4);
    EXPECT_EQ(world.rows, 2000);
    EXPECT_EQ(receipt->rows, 2000);
    receipt_seal(receipt);
    close_world(&world);
}

TEST(ends_when_taking_fails)
{
    static const DecodeOpts opts = { .format = DECODE_INFLUX };
    AUTO(buf_deinit) Buf text = { 0 };
    World world;

    open_world(&world, &opts);
    world.is_quiet = true;
    world.fail_after = 2;
    add_lines(&text, 0, 5000);
    EXPECT_ERR(decode(&world, buf_str(&text)), -ERR_CLOSED, "full");
    EXPECT_EQ(world.parcels, 2);
    close_world(&world);
}

/* Feed TEXT in pieces of PIECE bytes, as a socket would, into world->out. */
static void feed(World *world, Str text, size_t piece)
{
    AUTO(buf_deinit) Buf gathered = { 0 };
    AUTO(buf_deinit) Buf all = { 0 };
    uint64_t base = 0;

    world->position = 0;
    for (size_t at = 0; at <= text.len; at += piece) {
        bool is_last = at + piece > text.len;
        size_t whole;

        buf_add_str(&gathered, str_sub(text, at, piece));
        while ((whole = decoder_whole_bytes(world->decoder, buf_str(&gathered), is_last)) > 0) {
            Payload *payload = payload_copy(str_sub(buf_str(&gathered), 0, whole));

            EXPECT_OK(decode_all(world->decoder, payload, world->receipt, base, 0, take, world));
            payload_unref(payload);
            buf_consume(&gathered, whole);
            base += whole;
        }
    }
    EXPECT_EQ(gathered.len, 0);
    EXPECT_EQ(base, text.len);
}

/* WORLD's text without what depends on the pieces: lines and offsets. */
static void strip(Buf *out)
{
    AUTO(buf_deinit) Buf stripped = { 0 };
    Str rest = buf_str(out);

    while (rest.len > 0) {
        Str line = str_cut(rest, '\n', &rest), behind;

        buf_add_str(&stripped, line.data[0] == '!' ? str_cut(line, ' ', &behind) : line);
        buf_add_char(&stripped, '\n');
    }
    buf_reset(out);
    buf_add_str(out, buf_str(&stripped));
}

static void expect_fed(const DecodeOpts *opts, const char *text, const char *want)
{
    for (size_t piece = 1; piece < strlen(text) + 3; piece++) {
        World world;

        open_world(&world, opts);
        feed(&world, str_from_c(text), piece);
        strip(&world.out);
        EXPECT_STR(buf_str(&world.out), str_from_c(want));
        close_world(&world);
    }
}

TEST(decodes_streams)
{
    static const DecodeOpts influx = { .format = DECODE_AUTO };
    static const DecodeOpts json = { .format = DECODE_AUTO };
    static const DecodeOpts csv = { .format = DECODE_CSV };
    static const DecodeOpts lines = { .format = DECODE_LINES };

    expect_fed(&influx, "m v=\"a\nb\"\nbad\nm v=\"c\"\r\nm v=\"d\"",
               "rows{\"time\":null,\"measurement\":\"m\",\"v\":\"a\\nb\"}\n!no_fields\n"
               "rows{\"time\":null,\"measurement\":\"m\",\"v\":\"c\"}\n"
               "rows{\"time\":null,\"measurement\":\"m\",\"v\":\"d\"}\n");
    expect_fed(&json, "{\"a\":1}\n{\"a\n{\"a\":2}", "rows{\"a\":1}\n!bad_json\nrows{\"a\":2}\n");
    expect_fed(&csv, "a,b\n1,\"2\n3\"\n4,5\r\n6",
               "rows{\"a\":\"1\",\"b\":\"2\\n3\"}\nrows{\"a\":\"4\",\"b\":\"5\"}\n"
               "rows{\"a\":\"6\",\"b\":null}\n");
    expect_fed(&lines, "x\n\ny",
               "rows{\"line\":\"x\"}\nrows{\"line\":\"\"}\nrows{\"line\":\"y\"}\n");
}

/* A row without end is refused once, and what follows it is read. */
TEST(skips_rows_that_are_too_long)
{
    static const char *const begins[] = { "m,t=", "{\"a\":\"", "m v=\"" };
    static const char *const ends[] = { "\nm v=2i\n", "\n{\"a\":1}\n", "\nm v=2i\n" };

    for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
        DecodeOpts opts = { .format = DECODE_AUTO };
        AUTO(buf_deinit) Buf text = { 0 };
        World world;

        buf_add_c(&text, begins[i]);
        for (size_t k = 0; k < 3 * LIMIT_DECODE_LINE_BYTES / 16; k++)
            buf_add_c(&text, "0123456789abcdef");
        buf_add_c(&text, ends[i]);
        open_world(&world, &opts);
        feed(&world, buf_str(&text), 64 << 10);
        EXPECT_EQ(world.rows, 2);
        EXPECT_EQ(world.refused, 1);
        EXPECT(str_contains(buf_str(&world.out), STR_C("!line_too_long")));
        close_world(&world);
    }
}

/* What stands behind such a row is not kept waiting for more to come. */
TEST(hands_on_what_follows_a_row_too_long)
{
    static const DecodeOpts opts = { .format = DECODE_INFLUX };

    for (int is_last = 0; is_last < 2; is_last++) {
        AUTO(buf_deinit) Buf text = { 0 };
        Str tail = STR_C("x\nm v=1i\nm v=2i\nm v");
        World world;

        for (size_t i = 0; i <= LIMIT_DECODE_LINE_BYTES; i++)
            buf_add_char(&text, 'm');
        open_world(&world, &opts);
        EXPECT_EQ(decoder_whole_bytes(world.decoder, buf_str(&text), false), text.len);
        EXPECT_OK(decode(&world, buf_str(&text)));
        EXPECT_EQ(decoder_whole_bytes(world.decoder, tail, is_last),
                  is_last ? tail.len : tail.len - 3);
        EXPECT_OK(decode(&world, str_sub(tail, 0, is_last ? tail.len : tail.len - 3)));
        EXPECT_EQ(world.rows, is_last ? 4 : 3);
        EXPECT_EQ(world.refused, is_last ? 2 : 1);
        close_world(&world);
    }
}

/* A CSV that is resumed in its middle knows its columns; another file begins with its own. */
TEST(resumes_csv)
{
    static const DecodeOpts opts = { .format = DECODE_CSV };
    World world;

    open_world(&world, &opts);
    decoder_put_head(world.decoder, STR_C("a,b\n"));
    feed(&world, STR_C("1,2\n"), 100);
    decoder_reset(world.decoder);
    feed(&world, STR_C("b\n3\n"), 100);
    EXPECT_STR(buf_str(&world.out),
               STR_C("rows{\"a\":\"1\",\"b\":\"2\"}\nrows{\"a\":null,\"b\":\"3\"}\n"));
    close_world(&world);
}

/* ---- encodings ------------------------------------------------------------------------------- */

#if SL_HAVE_ZLIB

/* TEXT unpacked, or the error; the base64 is what gzip and zlib make of it. */
static int unpack(const char *base64, const char *encoding, size_t max, Buf *out)
{
    char bytes[512];
    ssize_t n = base64_decode(str_from_c(base64), BASE64_STANDARD, bytes);

    EXPECT(n > 0);
    return decode_encoding(str_from(bytes, (size_t) n), str_from_c(encoding), max, out);
}

TEST(unpacks_bodies)
{
    AUTO(buf_deinit) Buf out = { 0 };

    EXPECT_OK(unpack("H4sIAAAAAAAC/8tVKLM1zOQCACl0MXUHAAAA", "gzip", 100, &out));
    EXPECT_STR(buf_str(&out), STR_C("m v=1i\n"));
    EXPECT_OK(unpack("eJzLVSizNczkAgAIcwHl", "deflate", 100, &out));
    EXPECT_OK(unpack("y1UoszXM5AIA", "Deflate", 100, &out));
    EXPECT_STR(buf_str(&out), STR_C("m v=1i\nm v=1i\nm v=1i\n"));
    buf_reset(&out);
    EXPECT_OK(unpack("H4sIAAAAAAAC/8tVKLM1zOQCACl0MXUHAAAAH4sIAAAAAAAC/8tVKLM1yuQCAHDKd3cHAAAA",
                     "x-gzip", 14, &out));
    EXPECT_STR(buf_str(&out), STR_C("m v=1i\nm v=2i\n"));
}

/* Rows that would be missing are an error, and nothing of the body stays. */
TEST(refuses_damaged_bodies)
{
    AUTO(buf_deinit) Buf out = { 0 };

    buf_add_c(&out, "kept");
    EXPECT_ERR(unpack("H4sIAAAAAAAC/8tVKLM1zOQCACl0MXUH", "gzip", 100, &out), -ERR_INVALID, "cut");
    EXPECT_ERR(unpack("H4sIAAAAAAAC/8tV", "gzip", 100, &out), -ERR_INVALID, "cut");
    EXPECT_ERR(unpack("H4sIAAAAAAAC/8tVKLM1zOQCACl0MHUHAAAA", "gzip", 100, &out), -ERR_INVALID,
               "damaged");
    EXPECT_ERR(unpack("H4sIAAAAAAAC/8tVKLM1zOQCACl0MXUHAAAAanVuaw==", "gzip", 100, &out),
               -ERR_INVALID, "damaged");
    EXPECT_ERR(unpack("H4sIAAAAAAAC/8tVKLM1zOQCACl0MXUHAAAA", "gzip", 6, &out), -ERR_TOO_LARGE,
               "more than");
    EXPECT_ERR(decode_encoding(STR_C(""), STR_C("gzip"), 100, &out), -ERR_INVALID, "empty");
    EXPECT_STR(buf_str(&out), STR_C("kept"));
}

/* A megabyte of one letter in a kilobyte is a bomb; the same in ten kilobytes would not be. */
TEST(refuses_bombs)
{
    AUTO(buf_deinit) Buf out = { 0 };
    unsigned char packed[4096], *zeros = mem_new_array(unsigned char, 1 << 20);
    uLongf len = sizeof(packed);

    REQUIRE(compress(packed, &len, zeros, 1 << 20) == Z_OK);
    mem_free(zeros);
    EXPECT_ERR(decode_encoding(str_from((char *) packed, len), STR_C("deflate"), 2 << 20, &out),
               -ERR_TOO_LARGE, "unpacks");
    EXPECT_EQ(out.len, 0);
}

#endif

TEST(takes_bodies_as_they_are)
{
    AUTO(buf_deinit) Buf out = { 0 };

    EXPECT_OK(decode_encoding(STR_C("x"), (Str){ 0 }, 1, &out));
    EXPECT_OK(decode_encoding(STR_C("y"), STR_C("identity"), 1, &out));
    EXPECT_STR(buf_str(&out), STR_C("xy"));
    EXPECT_ERR(decode_encoding(STR_C("xx"), (Str){ 0 }, 1, &out), -ERR_TOO_LARGE, "1");
    EXPECT_ERR(decode_encoding(STR_C("x"), STR_C("br"), 1, &out), -ERR_UNSUPPORTED, "br");
}

TEST_MAIN()
