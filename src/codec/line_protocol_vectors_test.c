/*
 * Line protocol: the cases that InfluxData publishes with its own library (6 615 to read, 115 to
 * write).
 *
 * tests/vectors has them condensed. SLUICE_LINE_VECTORS names the whole file instead: corpus.json
 * of the repository influxdata/line-protocol.
 *
 * Where we differ, on purpose:
 *
 *   \n \r \t in a string  that library reads them as control characters. InfluxDB's own servers,
 *                         its documentation and every older client have a backslash stand for
 *                         itself before all but " and \, or C:\new would not come back.
 *   1e+06                 is written as 1000000: the same number, other digits.
 *
 * That a tag is given twice is found by whoever has the columns (rows/decode_influx), and here by
 * the test itself.
 */
#include "codec/json.h"
#include "codec/line_protocol.h"
#include "codec/vectors_test.h"

#include "base/assert.h"
#include "codec/base64.h"

static Str read_vectors(Buf *out)
{
    const char *given = getenv("SLUICE_LINE_VECTORS");
    char path[4096];

    snprintf(path, sizeof(path), "%s/tests/vectors/influxdata-line-protocol.json", test_tree());
    EXPECT(vectors_read(given ? given : path, out));
    return buf_str(out);
}

/* VALUE as bytes: a string, or {"binary": base64}. */
static Str bytes_of(Arena *arena, Json value)
{
    Str text = json_str_or(json_is_object(value) ? json_find(value, "binary") : value, (Str){ 0 });
    char *out;
    ssize_t n;

    if (!json_is_object(value))
        return text;
    out = arena_try(arena, base64_decoded_bytes_max(text.len));
    ASSERT(out);
    n = base64_decode(text, BASE64_STANDARD, out);
    EXPECT(n >= 0);
    return str_from(out, n > 0 ? (size_t) n : 0);
}

static int64_t unit_of(Json input)
{
    Str precision = json_str_or(json_find(input, "precision"), (Str){ 0 });

    if (str_eq_c(precision, "1s"))
        return NS_PER_S;
    if (str_eq_c(precision, "1ms"))
        return NS_PER_MS;
    return str_eq_c(precision, "1ns") ? 1 : NS_PER_US;
}

/* TEXT of a point, without its escapes where it has any. */
static Str plain(Arena *arena, Str text, bool is_escaped, LinePlace place)
{
    char *out;

    if (!is_escaped)
        return text;
    out = arena_try(arena, text.len);
    ASSERT(out);
    return str_from(out, line_unescape(text, place, out));
}

static bool is_value(Arena *arena, const LineItem *item, Json want)
{
    int64_t integer;
    uint64_t natural;
    double real;
    bool boolean;

    switch ((LineKind) item->kind) {
    case LINE_TAG: return false;
    case LINE_REAL: return json_get_real(json_find(want, "float"), &real) && real == item->real;
    case LINE_INTEGER:
        return json_get_i64(json_find(want, "int"), &integer) && integer == item->integer;
    case LINE_UNSIGNED:
        return json_get_u64(json_find(want, "uint"), &natural) && natural == item->natural;
    case LINE_BOOLEAN:
        return json_get_bool(json_find(want, "bool"), &boolean) && boolean == item->boolean;
    case LINE_STRING:
        return str_eq(plain(arena, item->text, item->is_text_escaped, LINE_IN_STRING),
                      bytes_of(arena, json_find(want, "string")));
    }
    return false;
}

/* Whether the tags of POINT are those of WANT, which are sorted by their keys. */
static bool has_tags(Arena *arena, const LinePoint *point, Json want)
{
    size_t found = 0;

    for (JsonIter it = json_iter(want); json_next(&it);) {
        Str key = bytes_of(arena, json_find(it.value, "key"));
        Str value = bytes_of(arena, json_find(it.value, "value"));

        for (size_t i = 0; i < point->n_tags; i++) {
            const LineItem *tag = &point->items[i];

            found += str_eq(key, plain(arena, tag->key, tag->is_key_escaped, LINE_IN_KEY)) &&
                     str_eq(value, plain(arena, tag->text, tag->is_text_escaped, LINE_IN_KEY));
        }
    }
    return found == point->n_tags && found == json_len(want);
}

static bool is_point(Arena *arena, const LinePoint *point, Json want, Json input)
{
    int64_t unit = unit_of(input), time = json_i64_or(json_find(input, "defaultTime"), 0);
    Json fields = json_find(want, "fields");

    time = point->has_time ? point->time * unit : time - (time % unit + unit) % unit;
    if (!str_eq(
            plain(arena, point->measurement, point->is_measurement_escaped, LINE_IN_MEASUREMENT),
            bytes_of(arena, json_find(want, "name"))) ||
        !has_tags(arena, point, json_find(want, "tags")) ||
        json_len(fields) != point->n_items - point->n_tags ||
        time != json_i64_or(json_find(want, "time"), 0))
        return false;
    for (JsonIter it = json_iter(fields); json_next(&it);) {
        const LineItem *field = &point->items[point->n_tags + it.index];

        if (!str_eq(bytes_of(arena, json_find(it.value, "key")),
                    plain(arena, field->key, field->is_key_escaped, LINE_IN_KEY)) ||
            !is_value(arena, field, json_find(it.value, "value")))
            return false;
    }
    return true;
}

static bool has_tag_twice(Arena *arena, const LinePoint *point)
{
    for (size_t i = 0; i < point->n_tags; i++)
        for (size_t k = 0; k < i; k++) {
            const LineItem *a = &point->items[i], *b = &point->items[k];

            if (str_eq(plain(arena, a->key, a->is_key_escaped, LINE_IN_KEY),
                       plain(arena, b->key, b->is_key_escaped, LINE_IN_KEY)))
                return true;
        }
    return false;
}

/* Whether TEXT is read as RESULT, an array of points, or refused where there is none. */
static bool is_read_as(Arena *arena, Str text, Json input, Json result)
{
    AUTO(line_reader_deinit) LineReader reader;
    LinePoint point;
    bool is_right = true;
    size_t n = 0;
    int r;

    line_reader_init(&reader);
    line_reader_begin(&reader, text, 1);
    for (;;) {
        r = line_reader_next(&reader, &point);
        if (r == LINE_END)
            return json_is_array(result) && is_right && n == json_len(result);
        if (r == LINE_BAD || has_tag_twice(arena, &point))
            return json_kind(result) == JSON_NONE;
        is_right = is_right && json_is_array(result) &&
                   is_point(arena, &point, json_at(result, n), input);
        n++;
    }
}

/* The differences that the essay names. */
static bool is_known(Str text)
{
    return str_eq_c(text, "m v=\"\\n\"") || str_eq_c(text, "m v=\"\\r\"") ||
           str_eq_c(text, "m v=\"\\t\"");
}

TEST(reads_as_influxdata_does)
{
    AUTO(arena_deinit) Arena arena = { .max_bytes = 512 << 20 };
    AUTO(buf_deinit) Buf file = { .max_bytes = 64 << 20 };
    VectorCounts counts = { 0 };
    JsonDoc doc;

    REQUIRE(json_parse(&arena, read_vectors(&file), &doc) == 0);
    REQUIRE(json_len(json_find(doc.root, "decode")) > 800);
    for (JsonIter it = json_iter(json_find(doc.root, "decode")); json_next(&it);) {
        Json input = json_find(it.value, "input"), output = json_find(it.value, "output");
        Str text = bytes_of(&arena, json_find(input, "text"));
        bool is_right = is_read_as(&arena, text, input, json_find(output, "result"));

        counts.passed += is_right;
        counts.known += !is_right && is_known(text);
        counts.failed += !is_right && !is_known(text);
        if (!is_right && !is_known(text))
            test_fail(__FILE__, __LINE__, "case %.*s: \"%.*s\"", (int) it.key.len, it.key.data,
                      (int) text.len, text.data);
    }
    vectors_print("line protocol, read", &counts, "");
}

static int write_value(LineWriter *writer, Arena *arena, Str key, Json value)
{
    JsonIter it = json_iter(value);
    int64_t integer = 0;
    uint64_t natural = 0;
    double real = 0;
    bool boolean = false;

    EXPECT(json_next(&it));
    if (str_eq_c(it.key, "float") && json_get_real(it.value, &real))
        return line_write_real(writer, key, real);
    if (str_eq_c(it.key, "int") && json_get_i64(it.value, &integer))
        return line_write_i64(writer, key, integer);
    if (str_eq_c(it.key, "uint") && json_get_u64(it.value, &natural))
        return line_write_u64(writer, key, natural);
    if (str_eq_c(it.key, "bool") && json_get_bool(it.value, &boolean))
        return line_write_bool(writer, key, boolean);
    return line_write_string(writer, key, bytes_of(arena, it.value));
}

static int write_point(Arena *arena, Json point, int64_t unit, Buf *out)
{
    int64_t time = json_i64_or(json_find(point, "time"), 0) / unit;
    LineWriter writer;

    /* Every failure is told by line_write_end. */
    (void) line_write_begin(&writer, out, bytes_of(arena, json_find(point, "name")));
    for (JsonIter it = json_iter(json_find(point, "tags")); json_next(&it);)
        (void) line_write_tag(&writer, bytes_of(arena, json_find(it.value, "key")),
                              bytes_of(arena, json_find(it.value, "value")));
    for (JsonIter it = json_iter(json_find(point, "fields")); json_next(&it);)
        (void) write_value(&writer, arena, bytes_of(arena, json_find(it.value, "key")),
                           json_find(it.value, "value"));
    return line_write_end(&writer, &time);
}

/* Whether LINE, ours, is another spelling of POINT. */
static bool means(Arena *arena, Str line, Json point, Json input)
{
    AUTO(line_reader_deinit) LineReader reader;
    LinePoint read;

    line_reader_init(&reader);
    line_reader_begin(&reader, line, 1);
    return line_reader_next(&reader, &read) == 0 && is_point(arena, &read, point, input);
}

TEST(writes_as_influxdata_does)
{
    AUTO(arena_deinit) Arena arena = { .max_bytes = 512 << 20 };
    AUTO(buf_deinit) Buf file = { .max_bytes = 64 << 20 };
    AUTO(buf_deinit) Buf out = { 0 };
    VectorCounts counts = { 0 };
    JsonDoc doc;

    REQUIRE(json_parse(&arena, read_vectors(&file), &doc) == 0);
    REQUIRE(json_len(json_find(doc.root, "encode")) > 100);
    for (JsonIter it = json_iter(json_find(doc.root, "encode")); json_next(&it);) {
        Json input = json_find(it.value, "input"), point = json_find(input, "point");
        Json result = json_find(json_find(it.value, "output"), "result");
        Str want = bytes_of(&arena, result), got;
        int r;

        buf_reset(&out);
        r = write_point(&arena, point, unit_of(input), &out);
        got = str_sub(buf_str(&out), 0, out.len > 0 ? out.len - 1 : 0);
        if (json_kind(result) == JSON_NONE ? r < 0 && out.len == 0 : r == 0 && str_eq(got, want)) {
            counts.passed++;
        } else if (r == 0 && means(&arena, buf_str(&out), point, input)) {
            counts.known++;
        } else {
            counts.failed++;
            test_fail(__FILE__, __LINE__, "case %.*s: got \"%.*s\", want \"%.*s\"",
                      (int) it.key.len, it.key.data, (int) got.len, got.data, (int) want.len,
                      want.data);
        }
    }
    vectors_print("line protocol, written", &counts, "");
}

TEST_MAIN()
