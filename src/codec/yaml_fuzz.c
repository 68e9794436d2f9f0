/*
 * Fuzz: YAML. Whatever the bytes, the parser answers; for what it takes every value has a line of
 * the text, and the JSON it became is valid. The library underneath is fuzzed along with us.
 *
 * Several documents in one go are cheap: there is no state between two inputs.
 */
#include "codec/yaml.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/*
 * libfyaml 0.7 forgets a block of 4 KiB on some quoted strings that are never closed. A file is
 * read once at start, so that costs nothing; our own leaks are still found.
 */
SL_API const char *__lsan_default_suppressions(void);
SL_API const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml";
}

static void check_lines(const YamlDoc *doc, Json value, size_t n_lines)
{
    unsigned line = yaml_line(doc, value);

    ASSERT(line >= 1 && line <= n_lines);
    for (JsonIter it = json_iter(value); json_next(&it);)
        check_lines(doc, it.value, n_lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    size_t n_lines = 2;
    YamlDoc doc;

    for (size_t i = 0; i < len; i++)
        n_lines += data[i] == '\n' || data[i] == '\r' || data[i] >= 0x80; /* and U+0085, U+2028 */
    if (yaml_parse(&arena, str_from((const char *) data, len), "fuzz.yaml", &doc) == 0)
        check_lines(&doc, doc.json.root, n_lines);
    return 0;
}
