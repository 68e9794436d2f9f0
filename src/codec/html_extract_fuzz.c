/*
 * Fuzz: expressions of fields. Whatever the text, it is compiled or refused with words; what is
 * compiled runs on a page within its steps and gives values that can be written.
 */
#include "codec/html_extract.h"

#include "base/assert.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char page[] =
    "<title>t</title><script type=application/ld+json>{\"@type\":\"P\",\"a\":[1,{\"b\":2}]}</script>"
    "<meta property=og:title content=o><div class='a b' id=c><p>1.234,5 <b>x</b><p>2026-11-21</div>"
    "<ul><li>1<li class=a>2<li>3</ul><a href=/x>l</a>";

static void run(const HtmlPlan *plan)
{
    AUTO(html_parser_free) HtmlParser *parser = html_parser_new();
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    HtmlRecords records;
    WebUrl base;

    if (web_url_resolve(&arena, NULL, str_from_c("http://h/"), &base) != 0 ||
        html_parse(parser, str_from_c(page)) != 0 ||
        html_plan_run(plan, &arena, parser, &base, NULL, &records) < 0)
        return;
    for (size_t i = 0; i < records.n * records.n_fields; i++) {
        buf_reset(&out);
        value_write_json(&records.values[i], &out);
        ASSERT(out.len > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(html_plan_free) HtmlPlan *plan = html_plan_new();
    Str text = str_from((const char *) data, len);
    Err err;
    int r = html_plan_add_field(plan, str_from_c("f"), text);

    if (r < 0) {
        err_take(r, &err);
        ASSERT(err.len > 0);
        return 0;
    }
    ASSERT(html_plan_len(plan) == 1);
    run(plan);
    r = html_plan_each(plan, text);
    if (r < 0)
        err_take(r, &err);
    else
        run(plan);
    return 0;
}
