/*
 * Fuzz: line protocol. Reading ends, every byte belongs to one line, what was read is written and
 * read again the same; and where lines of a stream end does not depend on how it comes in pieces.
 */
#include "codec/line_protocol.h"

#include "base/assert.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* TEXT without its escapes, in memory of its own. */
static Str plain(Str text, bool is_escaped, LinePlace place, char *room)
{
    if (!is_escaped)
        return text;
    return str_from(room, line_unescape(text, place, room));
}

static int write_item(LineWriter *writer, const LineItem *item, char *room)
{
    Str key = plain(item->key, item->is_key_escaped, LINE_IN_KEY, room);
    LinePlace place = item->kind == LINE_TAG ? LINE_IN_KEY : LINE_IN_STRING;
    Str text = plain(item->text, item->is_text_escaped, place, room + item->key.len);

    switch ((LineKind) item->kind) {
    case LINE_TAG: return line_write_tag(writer, key, text);
    case LINE_REAL: return line_write_real(writer, key, item->real);
    case LINE_INTEGER: return line_write_i64(writer, key, item->integer);
    case LINE_UNSIGNED: return line_write_u64(writer, key, item->natural);
    case LINE_BOOLEAN: return line_write_bool(writer, key, item->boolean);
    case LINE_STRING: return line_write_string(writer, key, text);
    }
    return 0;
}

/* POINT as our own line; false when a name of it could not be read back, such as one that ends in a
 * backslash. */
static bool write_point(const LinePoint *point, Buf *out, char *room)
{
    LineWriter writer;

    (void) line_write_begin(
        &writer, out,
        plain(point->measurement, point->is_measurement_escaped, LINE_IN_MEASUREMENT, room));
    for (size_t i = 0; i < point->n_items; i++)
        (void) write_item(&writer, &point->items[i], room);
    return line_write_end(&writer, point->has_time ? &point->time : NULL) == 0;
}

static void check_again(const LinePoint *point, char *room)
{
    AUTO(line_reader_deinit) LineReader reader;
    AUTO(buf_deinit) Buf first = { 0 };
    AUTO(buf_deinit) Buf second = { 0 };
    LinePoint again;

    if (!write_point(point, &first, room))
        return;
    line_reader_init(&reader);
    line_reader_begin(&reader, buf_str(&first), 1);
    ASSERT(line_reader_next(&reader, &again) == 0);
    ASSERT(again.n_items == point->n_items && again.n_tags == point->n_tags);
    ASSERT(again.has_time == point->has_time && again.time == point->time);
    room = mem_new_array(char, 2 * first.len + 1);
    ASSERT(write_point(&again, &second, room));
    mem_free(room);
    ASSERT(str_eq(buf_str(&first), buf_str(&second)));
    ASSERT(line_reader_next(&reader, &again) == LINE_END);
}

static void check_lines(Str text, char *room)
{
    AUTO(line_reader_deinit) LineReader reader;
    uint64_t line = 1;
    size_t behind = 0;
    LinePoint point;
    char words[160];
    int r;

    line_reader_init(&reader);
    line_reader_begin(&reader, text, 1);
    while ((r = line_reader_next(&reader, &point)) != LINE_END) {
        ASSERT(point.begin >= behind && point.end >= point.begin && reader.at >= point.end);
        for (; behind < point.begin; behind++)
            line += text.data[behind] == '\n';
        ASSERT(point.line == line);
        for (; behind < reader.at; behind++)
            line += text.data[behind] == '\n';
        if (r == LINE_BAD)
            line_fault_format(&reader, &point, words, sizeof(words));
        else
            check_again(&point, room);
    }
    ASSERT(reader.at == text.len);
}

static void check_stream(Str text)
{
    LineScan all = { 0 }, grown = { 0 };
    size_t whole = line_scan_whole(&all, text), last = 0;

    for (size_t len = 0; len <= text.len; len++) {
        size_t n = line_scan_whole(&grown, str_sub(text, 0, len));

        ASSERT(n >= last && n <= len);
        ASSERT(n == 0 || text.data[n - 1] == '\n');
        last = n;
    }
    ASSERT(last == whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    Str text = str_from((const char *) data, len);
    char *room = mem_new_array(char, 2 * len + 1);

    check_lines(text, room);
    if (len < 4096)
        check_stream(text);
    mem_free(room);
    return 0;
}
