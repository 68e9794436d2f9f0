/*
 * Hosts and their windows.
 *
 * A window is the heap of a host's queued pages that are in memory, by place. A place is one number
 * that sorts: priority, depth, arrival. Pages are in the window or in the database only:
 *
 *   F1  A queued page is in its host's window or among the retries, or counted in in_db.
 *   F2  Every queued row of the database whose place is behind the host's cursor is in in_db; every
 *       one up to the cursor is in memory (queued, leased, or with its back-off running).
 *   F3  A window is filled up to its host's share: window_urls shared among the hosts that there
 *       are, but a quarter at most. What early hosts have taken when the shares were larger keeps
 *       nobody else from his own, up to twice window_urls in all. (Pages that come back from a
 *       lease are not refused.)
 *
 * F2 is what makes reading safe without writing: a refill reads behind the cursor and moves it, and
 * needs to mark no row as taken. A page that must go to the database though it belongs before the
 * cursor (a late one with priority, and no room) is put right behind the cursor instead.
 */
#include "handlers/crawl/frontier_state_int.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

/* ---- hosts ------------------------------------------------------------------------------------*/

Host *frontier_host_new(Frontier *frontier, uint32_t id, Str name)
{
    Host *host = mem_zalloc(sizeof(*host) + name.len + 1);

    ASSERT(id == frontier->n_hosts);
    host->id = id;
    host->cursor = -1;
    host->name_len = (uint32_t) name.len;
    memcpy(host->name, name.data, name.len);
    gate_host_init(frontier->gate, &host->gate, name);
    if (frontier->n_hosts == frontier->hosts_cap) {
        frontier->hosts_cap = MAX(frontier->hosts_cap * 2, (size_t) 16);
        frontier->hosts = mem_resize_array(frontier->hosts, frontier->hosts_cap,
                                           sizeof(*frontier->hosts));
    }
    frontier->hosts[frontier->n_hosts++] = host;
    (void) map_put(&frontier->by_name, name, host);
    return host;
}

Host *frontier_host(Frontier *frontier, Str name)
{
    Host *host = map_find(&frontier->by_name, name);

    if (host || frontier->n_hosts >= LIMIT_CRAWL_HOSTS)
        return host;
    return frontier_host_new(frontier, (uint32_t) frontier->n_hosts, name);
}

Host *const *frontier_hosts(const Frontier *frontier, size_t *ret_n)
{
    *ret_n = frontier->n_hosts;
    return frontier->hosts;
}

void frontier_hosts_deinit(Frontier *frontier)
{
    for (size_t i = 0; i < frontier->n_hosts; i++) {
        Host *host = frontier->hosts[i];
        HeapNode *node;

        while ((node = heap_pop(&host->window)))
            frontier_item_free(frontier, HEAP_ITEM(node, PageItem, node));
        heap_deinit(&host->window);
        list_remove(&host->hungry);
        mem_free(host);
    }
    mem_free(frontier->hosts);
    map_deinit(&frontier->by_name);
}

/* ---- pages in memory --------------------------------------------------------------------------*/

static Str place_text(char **at, Str text)
{
    char *copy = *at;

    if (!text.len)
        return (Str){ 0 };
    memcpy(copy, text.data, text.len);
    *at += text.len;
    return str_from(copy, text.len);
}

PageItem *frontier_item_new(const Page *page, Host *host)
{
    size_t bytes = page->url.len + page->requested.len + page->referrer.len + page->etag.len +
                   page->last_modified.len;
    PageItem *item = mem_zalloc(sizeof(*item) + bytes);
    char *at = item->text;

    item->page = *page;
    item->host = host;
    item->page.url = place_text(&at, page->url);
    item->page.requested = place_text(&at, page->requested);
    item->page.referrer = place_text(&at, page->referrer);
    item->page.etag = place_text(&at, page->etag);
    item->page.last_modified = place_text(&at, page->last_modified);
    return item;
}

void frontier_item_free(Frontier *frontier, PageItem *item)
{
    (void) frontier;
    list_remove(&item->unwritten);
    mem_free(item);
}

/* ---- windows ----------------------------------------------------------------------------------*/

size_t frontier_window_share(const Frontier *frontier)
{
    size_t all = frontier->opts.window_urls;

    return MAX(all / MAX(frontier->n_hosts, (size_t) 4), (size_t) 1);
}

size_t frontier_window_room(const Frontier *frontier, const Host *host)
{
    size_t share = frontier_window_share(frontier), most = 2 * frontier->opts.window_urls;

    if (host->window.len >= share || frontier->n_window >= most)
        return 0;
    return MIN(share - host->window.len, most - frontier->n_window);
}

/* Whether more should be read before the window is empty. */
static bool is_low(const Frontier *frontier, const Host *host)
{
    return host->window.len <= frontier_window_share(frontier) / 2;
}

bool frontier_takes_page(const Frontier *frontier, const Host *host, int64_t place)
{
    return frontier_window_room(frontier, host) && (!host->in_db || place < host->cursor);
}

/* See to it that HOST's window is refilled, where there is something to refill it from. */
void frontier_feed(Frontier *frontier, Host *host)
{
    if (!host->in_db || host->is_loading || !is_low(frontier, host))
        return;
    if (!list_is_linked(&host->hungry))
        list_push_back(&frontier->hungry, &host->hungry);
    sl_cond_wake_one(&frontier->work);
}

/* Put a queued page into its host's window; its place counts as read (F2). */
void frontier_window_put(Frontier *frontier, PageItem *item)
{
    Host *host = item->host;

    ASSERT(item->page.state == PAGE_QUEUED);
    host->cursor = MAX(host->cursor, item->place);
    heap_push(&host->window, &item->node, item->place);
    frontier->n_window++;
    frontier->watch.on_window(frontier->watch.ctx, host);
}

PageItem *frontier_peek(const Host *host)
{
    HeapNode *node = heap_peek(&host->window, NULL);

    return node ? HEAP_ITEM(node, PageItem, node) : NULL;
}
