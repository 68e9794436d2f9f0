/*
 * Traps: webs without an end, and the index of all that is bad.
 */
#include "demo/demo_int.h"

#include "base/macro.h"

#include <stdio.h>

#define TRAP_LINKS 10 /* on each page of /trap/links/ */

/* ---- traps ----------------------------------------------------------------------------------- */

static void add_month(Buf *out, int64_t month, const char *rel)
{
    buf_printf(out, "<a rel=\"%s\" href=\"/trap/calendar/%04lld/%02lld\">%s</a>\n", rel,
               (long long) (month / 12), (long long) (month % 12 + 1), rel);
}

/* /trap/calendar/YYYY/MM has a month before and a month after, always. */
static int answer_calendar(DemoCall *call)
{
    Str month_text, year_text = str_cut(call->rest, '/', &month_text);
    uint64_t year = 0, month = 0;
    char title[32];

    if (str_to_u64(year_text, 9998, &year) < 0 || str_to_u64(month_text, 12, &month) < 0 ||
        month == 0 || year == 0)
        return demo_plain(call, 404, "There is no such month.");
    (void) snprintf(title, sizeof(title), "%04u-%02u", (unsigned) year, (unsigned) month);
    demo_html_begin(call, title);
    add_month(call->out, (int64_t) (year * 12 + month - 1) - 1, "prev");
    add_month(call->out, (int64_t) (year * 12 + month - 1) + 1, "next");
    demo_html_end(call);
    return 0;
}

/* Every page has a folder in it that looks just like it: a/a/a/… */
static int answer_deep(DemoCall *call)
{
    demo_html_begin(call, "A folder");
    ADD(call->out, "<p><a href=\"");
    demo_add_html(call->out, call->request->path);
    if (!str_ends(call->request->path, str_from_c("/")))
        ADD(call->out, "/");
    ADD(call->out, "a/\">a</a></p>\n");
    demo_html_end(call);
    return 0;
}

/* A page of links to ten others of the same kind; N only says which. */
static int answer_links(DemoCall *call)
{
    uint64_t at = hash_bytes(call->rest.data, call->rest.len, call->demo->shop.seed, 3);

    demo_html_begin(call, "Links without end");
    for (uint64_t i = 0; i < TRAP_LINKS; i++)
        buf_printf(call->out, "<a href=\"/trap/links/%llu\">link</a>\n",
                   (unsigned long long) (shop_mix(at, i) >> 16));
    demo_html_end(call);
    return 0;
}

/* The parameters grow by one at each step, in every order. */
static int answer_filters(DemoCall *call)
{
    static const char *const names[] = { "colour", "size", "brand", "sort" };

    demo_html_begin(call, "Filters");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        ADD(call->out, "<a href=\"/trap/filters?");
        demo_add_html(call->out, call->request->query);
        buf_printf(call->out, "%s%s=%zu\">%s</a>\n", call->request->query.len ? "&amp;" : "",
                   names[i], i, names[i]);
    }
    demo_html_end(call);
    return 0;
}

/* ---- the index ------------------------------------------------------------------------------- */

/* A prefix without an example gets no link: nobody may be led there. */
static void add_row(Buf *out, const DemoPage *page)
{
    size_t len = strlen(page->path);
    bool is_prefix = page->path[len - 1] == '*', is_linked = !is_prefix || page->example;

    ADD(out, "<tr><td>");
    if (is_linked) {
        ADD(out, "<a href=\"");
        buf_add(out, page->path, is_prefix ? len - 1 : len);
        demo_add_html(out, str_from_c(page->example));
        ADD(out, "\">");
    }
    buf_add_c(out, page->path);
    buf_add_c(out, is_linked ? "</a></td><td>" : "</td><td>");
    demo_add_html(out, str_from_c(page->summary));
    ADD(out, "</td><td>");
    demo_add_html(out, str_from_c(page->outcome));
    ADD(out, "</td></tr>\n");
}

static int answer_index(DemoCall *call)
{
    demo_html_begin(call, "What can be bad");
    ADD(call->out, "<p>Each page does what its row says, always. The last column is what must come "
                   "of it.</p>\n");
    for (const DemoPages *const *at = demo_pages; *at; at++) {
        if (!str_starts(str_from_c((*at)->pages[0].path), str_from_c(call->page->text)))
            continue;
        buf_printf(call->out,
                   "<h2>%s</h2>\n<table>\n<tr><th>page</th><th>what it does</th><th>outcome</th>"
                   "</tr>\n",
                   (*at)->heading);
        for (size_t i = 0; i < (*at)->n_pages; i++)
            add_row(call->out, &(*at)->pages[i]);
        ADD(call->out, "</table>\n");
    }
    demo_html_end(call);
    return 0;
}

static const DemoPage trap_pages[] = {
    { .path = "/trap/calendar/*",
      .example = "2026/11",
      .answer = answer_calendar,
      .summary = "a month with a next and a previous one",
      .outcome = "ended by depth, by pages of a host, or by likeness" },
    { .path = "/trap/deep/*",
      .example = "a/",
      .answer = answer_deep,
      .summary = "a folder in a folder in a folder",
      .outcome = "ended by repeated segments of the path, or by depth" },
    { .path = "/trap/links/*",
      .example = "1",
      .answer = answer_links,
      .summary = "ten links to pages with ten links",
      .outcome = "ended by pages of a host, or by equal content" },
    { .path = "/trap/filters",
      .answer = answer_filters,
      .summary = "parameters that pile up",
      .outcome = "ended by depth or by pages of a host" },
};

static const DemoPage index_pages[] = {
    { .path = "/bad/", .text = "/bad/", .answer = answer_index, .summary = "this list" },
    { .path = "/bad", .text = "/bad/", .answer = answer_index, .summary = "this list" },
    { .path = "/trap/", .text = "/trap/", .answer = answer_index, .summary = "the traps" },
};

const DemoPages demo_trap_pages = DEMO_PAGES("Traps", trap_pages);
const DemoPages demo_index_pages = DEMO_PAGES("Lists", index_pages);
