/*
 * Pages: where the next part of an answer is.
 *
 * Four ways that APIs have, and when each of them ends:
 *
 *   link     Link: <…>; rel="next"             no such link
 *   cursor   a text or a URL in the answer     null, missing, empty, false
 *   page     ?page=2 …                         a page with no items, or fewer than `size`
 *   offset   ?offset=200&limit=100             the same
 *
 * A page that points at itself, or at the one before, ends the source with a failure: it would go
 * on for ever. So does reaching the limit of pages while there is more, as a warning.
 */
#include "codec/http_cache.h"
#include "codec/link_header.h"
#include "handlers/fetch/fetch_int.h"

static int next_by_link(const FetchPage *page, Arena *arena, Str *ret_url)
{
    Str rest = page->head, name, value, target;

    while (http_head_next(&rest, &name, &value)) {
        if (!str_eq_nocase(name, (Str) STR("Link")) || !link_header_find(value, "next", &target))
            continue;
        *ret_url = fetch_resolve(arena, page->url, target);
        return 0;
    }
    return 0;
}

static bool is_url(Str text)
{
    return str_starts(text, (Str) STR("http://")) || str_starts(text, (Str) STR("https://")) ||
           (text.len > 0 && (text.data[0] == '/' || text.data[0] == '?'));
}

static int next_by_cursor(FetchSource *source, const FetchPage *page, Arena *arena, Str *ret_url)
{
    const FetchPagination *paging = &source->args->pagination;
    Str param = paging->param.len > 0 ? paging->param : (Str) STR("cursor");
    PathPlace place = { 0 };
    Path path;
    Str text;

    if (!path_parse(arena, paging->next, &path) || path.is_many)
        return fetch_fail(source, FETCH_FAILURE_EXPRESSION,
                          "pagination.next must be a plain path, got %.*s", (int) paging->next.len,
                          paging->next.data);
    if (path_find(&page->whole, &path, (PathPlace){ .value = page->whole.root }, &place) !=
        PATH_FOUND)
        return 0;
    if (!json_get_str(place.value, &text)) {
        if (!json_is_number(place.value))
            return 0;
        text = path_raw(arena, &page->whole, place);
    }
    if (text.len == 0)
        return 0;
    *ret_url = is_url(text) ? fetch_resolve(arena, page->url, text)
                            : fetch_build_url(arena, source, &(SchemaPair){ param, text }, 1);
    return 0;
}

/* The URL of page N (from 0) by number or offset. */
static Str url_by_number(FetchSource *source, Arena *arena, uint64_t n)
{
    const FetchPagination *paging = &source->args->pagination;
    bool is_page = paging->style == FETCH_PAGING_PAGE;
    int64_t start = paging->start >= 0 ? paging->start : is_page ? 1 : 0;
    int64_t number = start + (int64_t) n * (is_page ? 1 : paging->size);
    SchemaPair params[2] = {
        { paging->param, arena_printf(arena, "%lld", (long long) number) },
        { paging->size_param, arena_printf(arena, "%lld", (long long) paging->size) },
    };

    if (params[0].name.len == 0)
        params[0].name = is_page ? (Str) STR("page") : (Str) STR("offset");
    if (params[1].name.len == 0)
        params[1].name = is_page ? (Str) STR("per_page") : (Str) STR("limit");
    return fetch_build_url(arena, source, params, paging->size > 0 ? 2 : 1);
}

static bool is_last_by_number(const FetchSource *source, const FetchPage *page)
{
    int64_t size = source->args->pagination.size;

    return page->n_items == 0 || (size > 0 && page->n_items < (size_t) size);
}

Str fetch_first_url(FetchSource *source, Arena *arena)
{
    const FetchPagination *paging = &source->args->pagination;
    SchemaPair size = { paging->size_param, { 0 } };

    switch ((FetchPaging) paging->style) {
    case FETCH_PAGING_PAGE:
    case FETCH_PAGING_OFFSET: return url_by_number(source, arena, 0);
    case FETCH_PAGING_NONE:
    case FETCH_PAGING_LINK:
    case FETCH_PAGING_CURSOR: break;
    }
    if (paging->size == 0 || paging->style == FETCH_PAGING_NONE)
        return fetch_build_url(arena, source, NULL, 0);
    if (size.name.len == 0)
        size.name = (Str) STR("per_page");
    size.value = arena_printf(arena, "%lld", (long long) paging->size);
    return fetch_build_url(arena, source, &size, 1);
}

int fetch_next_url(FetchSource *source, const FetchPage *page, Arena *arena, Str *ret_url)
{
    int r = 0;

    *ret_url = (Str){ 0 };
    switch ((FetchPaging) source->args->pagination.style) {
    case FETCH_PAGING_NONE: return 0;
    case FETCH_PAGING_LINK: r = next_by_link(page, arena, ret_url); break;
    case FETCH_PAGING_CURSOR: r = next_by_cursor(source, page, arena, ret_url); break;
    case FETCH_PAGING_PAGE:
    case FETCH_PAGING_OFFSET:
        if (!is_last_by_number(source, page))
            *ret_url = url_by_number(source, arena, source->n_pages);
        break;
    }
    if (r == 0 && ret_url->len > 0 && str_eq(*ret_url, page->url))
        return fetch_fail(source, FETCH_FAILURE_PAGES, "page %llu points at itself as the next one",
                          (unsigned long long) source->n_pages);
    return r;
}
