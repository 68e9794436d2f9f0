/*
 * Fuzz: image URLs. What is accepted is JSON that the same schema can judge, a path that leads
 * nowhere else, or a URL that a rule of its own host fits.
 */
#include "codec/image_url.h"

#include "base/assert.h"
#include "base/text.h"

typedef struct Wanted {
    int64_t width;
    double dpr;
    bool enlarge;
    Str crop;
} Wanted;

static const SchemaField fields[] = {
    FIELD_INT(Wanted, width, "w"),
    FIELD_REAL(Wanted, dpr, "d"),
    FIELD_BOOL(Wanted, enlarge, "e"),
    FIELD_STR(Wanted, crop, "c"),
};
static const Schema schema = SCHEMA(Wanted, fields, "Wanted.");

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str behind, text = str_from((const char *) data, len), head = str_cut(text, '\n', &behind);
    ImageSourceKind kind;
    ImageUrl url;
    JsonDoc doc;
    Str source, rest;

    if (str_is_utf8(text) && image_url_options(&arena, &schema, text, &url) == 0)
        ASSERT(json_parse(&arena, url.args, &doc) == 0 && json_is_object(doc.root));
    if (image_url_source(&arena, text, &kind, &source) == 0 && kind == IMAGE_SOURCE_PATH)
        ASSERT(source.len > 0 && source.data[0] != '/' && source.data[0] != '.' &&
               !str_contains(source, str_from_c("/.")));
    if (image_url_fits(head, behind))
        ASSERT(!str_contains(str_cut(behind, '?', &rest), str_from_c("/../")) &&
               !str_contains(behind, str_from_c("\\")));
    ASSERT(!image_url_is_signed(str_from_c("0123456789abcdef"), str_from_c("/-/a"), text));
    return 0;
}
