/*
 * Fuzz: filters. A chain is compiled or refused with words; a number that was read is a JSON
 * number; a value can be written whatever the text was.
 *
 * The input is "CHAIN\nTEXT"; without a line feed it is a text for `number` and `date`.
 */
#include "codec/value_filter.h"

#include "base/assert.h"
#include "base/err.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void run(Str chain_text, Str text)
{
    AUTO(filter_chain_free) FilterChain *chain = NULL;
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    Value value = value_text(text);
    JsonDoc doc;
    Err err;
    int r = filter_chain_new(chain_text, &chain);

    if (r < 0) {
        err_take(r, &err);
        ASSERT(err.len > 0);
        return;
    }
    r = filter_chain_run(chain, &arena, NULL, &value);
    if (r < 0)
        return;
    value_write_json(&value, &out);
    ASSERT(out.len > 0 || value.kind == VALUE_JSON);
    if (value.kind == VALUE_INT || value.kind == VALUE_REAL) {
        r = json_parse(&arena, buf_str(&out), &doc);
        ASSERT(r == 0 && json_is_number(doc.root));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    Str text = str_from((const char *) data, len), rest;

    if (str_find(text, '\n') < 0) {
        run(str_from_c("number"), text);
        run(str_from_c("number(de)|integer"), text);
        run(str_from_c("date"), text);
        run(str_from_c("trim|upper|lower|split|unique|join(,)|length"), text);
        return 0;
    }
    text = str_cut(text, '\n', &rest);
    run(text, rest);
    return 0;
}
