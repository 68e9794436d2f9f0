/*
 * Fuzz: paths over documents. Whatever is read as a path can be followed, and what it leads to is a
 * piece of the document that is JSON itself.
 *
 * The input is a path and, behind a line end, a document.
 */
#include "handlers/fetch/path.h"

#include "base/assert.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

typedef struct Visit {
    Arena *arena;
    const JsonDoc *doc;
    size_t n;
} Visit;

static int check_place(void *ctx, PathPlace place)
{
    Visit *visit = ctx;
    JsonDoc doc;

    if (visit->n++ < 100)
        ASSERT(json_parse(visit->arena, path_raw(visit->arena, visit->doc, place), &doc) == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char fallback[] = "{\"a\":[{\"b\":1.50,\"c\":[[1],null]},\"x\"],\"d\":{\"e\":{}}}";
    AUTO(arena_deinit) Arena arena = { 0 };
    Str text, whole = str_from((const char *) data, len);
    Str path_text = str_cut(whole, '\n', &text);
    PathPlace root = { 0 }, place;
    Visit visit = { .arena = &arena };
    JsonDoc doc;
    PathEnd end;
    Path path;

    arena_init(&arena, 16 << 20);
    if (path_text.len > 4096 || !path_parse(&arena, path_text, &path))
        return 0;
    if (text.len == 0 || json_parse(&arena, text, &doc) < 0)
        ASSERT(json_parse(&arena, str_from_c(fallback), &doc) == 0);
    root.value = doc.root;
    visit.doc = &doc;
    ASSERT(path.len <= PATH_STEPS_MAX);
    ASSERT(path_each(&doc, &path, root, true, check_place, &visit, &end) == 0);
    ASSERT(path_each(&doc, &path, root, false, check_place, &visit, &end) == 0);
    if (!path.is_many && path_find(&doc, &path, root, &place) == PATH_FOUND)
        ASSERT(check_place(&visit, place) == 0);
    return 0;
}
