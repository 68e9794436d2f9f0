/*
 * Headlines: 137 of them, in each of the ways in which APIs hand out long lists.
 *
 *   /api/headlines?page=2&per_page=20         Link header with first, prev, next, last
 *   /api/headlines/cursor?cursor=…&limit=20   next_cursor in the body, null at the end
 *   /api/headlines/page?page=2                page and total_pages in the body
 *   /api/headlines/offset?offset=40&limit=20  offset, limit and total in the body
 *   /news/137                                 where their url leads
 */
#include "demo/api_int.h"

#include "base/macro.h"

#include <stdio.h>

#define HEADLINES   137
#define PER_PAGE    20
#define TITLE_BYTES 160
#define NEWEST_MS   INT64_C(1795269600000) /* 2026-11-21T14:00:00Z */

static const char *const who[] = { "City council",  "Researchers", "Railway",   "A quiet village",
                                   "The orchestra", "Fishermen",   "Engineers", "The museum" };
static const char *const did[] = { "opened",  "rediscovered", "postponed", "celebrated",
                                   "rebuilt", "doubted",      "sold",      "mapped" };
static const char *const what[] = { "an old bridge",       "its own archive",
                                    "the night train",     "a \u201cforgotten\u201d comet",
                                    "the town hall clock", "a record harvest",
                                    "the \"last\" ferry",  "a new library" };
static const char *const sections[] = { "local", "science", "travel", "culture", "economy" };

static uint64_t make_title(const DemoCall *call, uint64_t index, char out[static TITLE_BYTES])
{
    uint64_t mix = shop_mix(call->demo->shop.seed ^ 0x6e657773, index);

    (void) snprintf(out, TITLE_BYTES, "%s %s %s", who[mix % ARRAY_LEN(who)],
                    did[(mix >> 8) % ARRAY_LEN(did)], what[(mix >> 16) % ARRAY_LEN(what)]);
    return mix;
}

static void write_item(JsonWriter *json, const DemoCall *call, uint64_t index)
{
    char title[TITLE_BYTES];
    uint64_t mix = make_title(call, index, title);

    json_write_object(json);
    json_write_member_u64(json, "id", HEADLINES - index);
    json_write_member_c(json, "title", title);
    json_write_member_c(json, "section", sections[(mix >> 24) % ARRAY_LEN(sections)]);
    json_write_member_time_ms(json, "published_at",
                              NEWEST_MS - (int64_t) index * 37 * 60 * MS_PER_S);
    json_write_member_u64(json, "comments", mix >> 32 & 0x3ff);
    json_write_member_str(json, "url",
                          arena_printf(call->request->arena, "%.*s/news/%llu",
                                       (int) call->origin.len, call->origin.data,
                                       (unsigned long long) (HEADLINES - index)));
    json_write_object_end(json);
}

static void write_items(JsonWriter *json, const DemoCall *call, uint64_t from, uint64_t n)
{
    json_write_array(json);
    for (uint64_t i = from; i < from + n && i < HEADLINES; i++)
        write_item(json, call, i);
    json_write_array_end(json);
}

/* ---- Link header ----------------------------------------------------------------------------- */

static void add_link(DemoCall *call, Buf *links, uint64_t page, uint64_t per_page, const char *rel)
{
    buf_printf(links, "%s<%.*s/api/headlines?page=%llu&per_page=%llu>; rel=\"%s\"",
               links->len ? ", " : "", (int) call->origin.len, call->origin.data,
               (unsigned long long) page, (unsigned long long) per_page, rel);
}

SUSPENDS static int answer_by_link(DemoCall *call)
{
    AUTO(buf_deinit) Buf links = { 0 };
    JsonWriter json = JSON_WRITER(call->out);
    uint64_t page = (uint64_t) demo_query_i64(call, "page", 1, 1, 100000);
    uint64_t per_page = (uint64_t) demo_query_i64(call, "per_page", PER_PAGE, 1, 100);
    uint64_t last = (HEADLINES + per_page - 1) / per_page;
    int r = api_fault(call, "headlines");

    if (r != 0)
        return r < 0 ? r : 0;
    if (page < last) {
        add_link(call, &links, page + 1, per_page, "next");
        add_link(call, &links, last, per_page, "last");
    }
    if (page > 1) {
        add_link(call, &links, 1, per_page, "first");
        add_link(call, &links, page - 1, per_page, "prev");
    }
    if (links.len > 0)
        http_response_header(call->response, "Link", buf_str(&links));
    http_response_header(call->response, "X-Total-Count", str_from_c(STRINGIFY(HEADLINES)));
    demo_is_json(call);
    write_items(&json, call, (page - 1) * per_page, per_page);
    return api_end(call);
}

/* ---- cursor ---------------------------------------------------------------------------------- */

/* A cursor says nothing to its reader: "c" and the hexadecimal digits of the offset, mixed. */
static Str format_cursor(DemoCall *call, uint64_t from)
{
    return arena_printf(call->request->arena, "c%llx", (unsigned long long) (from * 7919 + 4242));
}

static bool parse_cursor(DemoCall *call, Str cursor, uint64_t *ret_from)
{
    for (uint64_t from = 0; from <= HEADLINES; from++) {
        if (str_eq(cursor, format_cursor(call, from))) {
            *ret_from = from;
            return true;
        }
    }
    return false;
}

SUSPENDS static int answer_by_cursor(DemoCall *call)
{
    JsonWriter json = JSON_WRITER(call->out);
    uint64_t limit = (uint64_t) demo_query_i64(call, "limit", PER_PAGE, 1, 100), from = 0;
    Str cursor = demo_query(call, "cursor");
    int r = api_fault(call, "headlines");

    if (r != 0)
        return r < 0 ? r : 0;
    if (cursor.len > 0 && !parse_cursor(call, cursor, &from))
        return api_error(call, 400, "this cursor is not one of ours");
    demo_is_json(call);
    json_write_object(&json);
    json_write_key(&json, "items");
    write_items(&json, call, from, limit);
    json_write_key(&json, "next_cursor");
    if (from + limit < HEADLINES)
        json_write_str(&json, format_cursor(call, from + limit));
    else
        json_write_null(&json);
    json_write_object_end(&json);
    return api_end(call);
}

/* ---- page number, offset --------------------------------------------------------------------- */

SUSPENDS static int answer_by_page(DemoCall *call)
{
    JsonWriter json = JSON_WRITER(call->out);
    uint64_t page = (uint64_t) demo_query_i64(call, "page", 1, 1, 100000);
    int r = api_fault(call, "headlines");

    if (r != 0)
        return r < 0 ? r : 0;
    demo_is_json(call);
    json_write_object(&json);
    json_write_member_u64(&json, "page", page);
    json_write_member_u64(&json, "total_pages", (HEADLINES + PER_PAGE - 1) / PER_PAGE);
    json_write_member_u64(&json, "total", HEADLINES);
    json_write_key(&json, "items");
    write_items(&json, call, (page - 1) * PER_PAGE, PER_PAGE);
    json_write_object_end(&json);
    return api_end(call);
}

SUSPENDS static int answer_by_offset(DemoCall *call)
{
    JsonWriter json = JSON_WRITER(call->out);
    uint64_t offset = (uint64_t) demo_query_i64(call, "offset", 0, 0, 1000000);
    uint64_t limit = (uint64_t) demo_query_i64(call, "limit", PER_PAGE, 1, 100);
    int r = api_fault(call, "headlines");

    if (r != 0)
        return r < 0 ? r : 0;
    demo_is_json(call);
    json_write_object(&json);
    json_write_member_u64(&json, "offset", offset);
    json_write_member_u64(&json, "limit", limit);
    json_write_member_u64(&json, "total", HEADLINES);
    json_write_key(&json, "items");
    write_items(&json, call, offset, limit);
    json_write_object_end(&json);
    return api_end(call);
}

/* ---- the news themselves --------------------------------------------------------------------- */

static int answer_news(DemoCall *call)
{
    char title[TITLE_BYTES];
    uint64_t id = 0;

    if (str_to_u64(call->rest, HEADLINES, &id) < 0 || id == 0)
        return demo_plain(call, 404, "There is no such news.");
    (void) make_title(call, HEADLINES - id, title);
    demo_html_begin(call, title);
    ADD(call->out, "<p>That is all there is to say.</p>\n");
    demo_html_end(call);
    return 0;
}

static const DemoPage pages[] = {
    { .path = "/api/headlines",
      .example = "?page=2",
      .kind = DEMO_API,
      .answer = answer_by_link,
      .summary = "137 headlines; further pages by the Link header" },
    { .path = "/api/headlines/cursor",
      .kind = DEMO_API,
      .answer = answer_by_cursor,
      .summary = "the same; further ones by next_cursor in the body" },
    { .path = "/api/headlines/page",
      .example = "?page=2",
      .kind = DEMO_API,
      .answer = answer_by_page,
      .summary = "the same; page and total_pages in the body" },
    { .path = "/api/headlines/offset",
      .example = "?offset=40&limit=20",
      .kind = DEMO_API,
      .answer = answer_by_offset,
      .summary = "the same; offset, limit and total in the body" },
    { .path = "/news/*",
      .example = "137",
      .kind = DEMO_PAGE,
      .answer = answer_news,
      .summary = "a page that a headline leads to" },
};

const DemoPages demo_headlines_pages = DEMO_PAGES("Headlines", pages);
