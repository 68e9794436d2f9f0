/*
 * Fuzz: JSON. Whatever the bytes, the parser answers; and for what it takes,
 *
 *   - the source text of every value is a value with the same content,
 *   - writing the tree and parsing that again gives the same tree,
 *   - elements cut from the text of an array are those of the tree.
 */
#include "codec/json.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void write_to(Buf *out, Json value, unsigned indent)
{
    JsonWriter writer = JSON_WRITER(out, .indent = indent);

    json_write_value(&writer, value);
    ASSERT(buf_check(out) == 0);
}

static void check_same(Str text, Json value)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf a = { 0 }, b = { 0 };
    JsonDoc doc;

    ASSERT(json_parse(&arena, text, &doc) == 0);
    write_to(&a, doc.root, 0);
    write_to(&b, value, 0);
    ASSERT(str_eq(buf_str(&a), buf_str(&b)));
}

static void check_value(const JsonDoc *doc, Json value, int *left)
{
    Str raw = json_raw(doc, value), item;
    size_t cursor = 0;

    if (--*left < 0)
        return;
    check_same(raw, value);
    ASSERT(json_index(doc, value) < doc->n_values);
    for (JsonIter it = json_iter(value); json_next(&it);) {
        if (json_is_array(value)) {
            ASSERT(json_raw_next(raw, &cursor, &item));
            ASSERT(str_eq(item, json_raw(doc, it.value)));
        }
        check_value(doc, it.value, left);
    }
    if (json_is_array(value))
        ASSERT(!json_raw_next(raw, &cursor, &item));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf pretty = { 0 };
    int left = 64;
    JsonDoc doc;

    if (json_parse(&arena, str_from((const char *) data, len), &doc) < 0)
        return 0;
    check_value(&doc, doc.root, &left);
    write_to(&pretty, doc.root, 2);
    check_same(buf_str(&pretty), doc.root);
    return 0;
}
