/*
 * What a URL goes through: added, leased, ended, tried again; and the frontier's own beginning and
 * end.
 *
 * The edges of page_state.h and who takes them:
 *
 *   (new) → QUEUED      frontier_add: into the host's window, or as a change to the database
 *   QUEUED → LEASED     frontier_lease
 *   QUEUED → SKIPPED, FAILED   frontier_end_next
 *   LEASED → QUEUED     again() of frontier_finish
 *   LEASED → an end     end() of frontier_finish
 *
 * Where pages are kept is in frontier_host.c, how they get to the disk in frontier_flush.c.
 */
#include "handlers/crawl/frontier_state_int.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

/* A place: priority (more first), depth (less first), arrival. */
#define PLACE_ID_BITS      40
#define PLACE_DEPTH_BITS   15
#define PLACE_PRIORITY_MAX 127

#define SMALL_SHARE        16 /* pages of a window: fewer, and it is given back when empty */

STATIC_ASSERT(LIMIT_FRONTIER_URLS < 1ll << PLACE_ID_BITS, "ids fit into places");

static int64_t place_of(const FrontierLink *link, uint64_t id)
{
    int64_t depth = MIN(MAX(link->depth, 0), (1 << PLACE_DEPTH_BITS) - 1);
    int64_t priority = MIN(MAX(link->priority, -PLACE_PRIORITY_MAX), PLACE_PRIORITY_MAX);

    return ((PLACE_PRIORITY_MAX - priority) << PLACE_DEPTH_BITS | depth) << PLACE_ID_BITS |
           (int64_t) id;
}

/* The place of page ID right behind all places of the same rank as PLACE. */
static int64_t place_behind(int64_t place, uint64_t id)
{
    return place >> PLACE_ID_BITS << PLACE_ID_BITS | (int64_t) id;
}

static void change_state(PageItem *item, PageState state)
{
    ASSERT(page_state_may(item->page.state, state));
    item->page.state = state;
}

/* ---- adding -----------------------------------------------------------------------------------*/

static void add_to_memory(Frontier *frontier, const Page *page, Host *host, int64_t place,
                          uint64_t seen)
{
    PageItem *item = frontier_item_new(page, host);

    item->place = place;
    item->seen = seen;
    if (frontier->path) {
        list_push_back(&frontier->unwritten, &item->unwritten);
        if (!frontier->dirty_ns) {
            frontier->dirty_ns = sl_now_ns();
            sl_cond_wake_one(&frontier->work);
        }
    }
    frontier_window_put(frontier, item);
}

static void add_to_db(Frontier *frontier, const Page *page, Host *host, int64_t place,
                      uint64_t seen)
{
    PageItem item = { .page = *page, .host = host, .seen = seen };
    DbRecord record;

    /* F2: behind the cursor, and while it moves, behind wherever it may get to. */
    if (place <= host->cursor)
        place = place_behind(host->cursor, page->id);
    if (host->is_loading && place <= host->place_max)
        place = place_behind(host->place_max, page->id);
    item.place = place;
    host->place_max = MAX(host->place_max, place);
    host->in_db++;
    record = frontier_page_record(frontier, &item);
    frontier_put_change(frontier, &record);
    frontier_feed(frontier, host);
}

int frontier_add(Frontier *frontier, const FrontierLink *link)
{
    Str key = link->key.len ? link->key : link->url;
    Str name = robots_host(link->url);
    Page page = {
        .url = link->url,
        .requested = link->requested,
        .referrer = link->referrer,
        .depth = link->depth,
        .hops = link->hops,
    };
    uint64_t seen = seen_fingerprint(&frontier->seen, key);
    int64_t place;
    Host *host;

    ASSERT(frontier->is_settled);
    if (seen_has(&frontier->seen, seen))
        return FRONTIER_SEEN;
    if (!name.len || link->url.len > LIMIT_CRAWL_URL_BYTES) {
        (void) frontier_skip(frontier, key, CRAWL_BAD_URL);
        return FRONTIER_REFUSED;
    }
    host = frontier->seen.len < LIMIT_FRONTIER_URLS ? frontier_host(frontier, name) : NULL;
    if (!host) {
        (void) frontier_skip(frontier, key, CRAWL_TOO_MANY);
        return FRONTIER_REFUSED;
    }
    page.requested = str_sub(page.requested, 0, LIMIT_CRAWL_URL_BYTES);
    page.referrer = str_sub(page.referrer, 0, LIMIT_CRAWL_URL_BYTES);
    (void) seen_add(&frontier->seen, seen);
    page.id = ++frontier->page_id;
    place = place_of(link, page.id);
    frontier->n_queued++;
    if (frontier_takes_page(frontier, host, place))
        add_to_memory(frontier, &page, host, place, seen);
    else
        add_to_db(frontier, &page, host, place, seen);
    return 0;
}

int frontier_skip(Frontier *frontier, Str key, CrawlOutcome outcome)
{
    uint64_t seen = seen_fingerprint(&frontier->seen, key);

    if (frontier->seen.len < LIMIT_FRONTIER_URLS && !seen_add(&frontier->seen, seen))
        return FRONTIER_SEEN;
    frontier->by_outcome[outcome]++;
    return 0;
}

bool frontier_has_content(Frontier *frontier, uint64_t content)
{
    if (!content)
        return false;
    if (frontier->contents.len >= LIMIT_CRAWL_HASHES)
        return seen_has(&frontier->contents, content);
    return !seen_add(&frontier->contents, content);
}

int frontier_wait_room(Frontier *frontier)
{
    int r = frontier_check(frontier);

    while (r == 0 && frontier->changes.len > LIMIT_FRONTIER_UNWRITTEN_BYTES) {
        sl_cond_wake_one(&frontier->work);
        r = sl_cond_wait(&frontier->room);
        if (r == 0)
            r = frontier_check(frontier);
    }
    return r == 0 ? sl_checkpoint() : r;
}

/* ---- leasing ----------------------------------------------------------------------------------*/

/* A page has left its window: others may want the room. */
static void leave_window(Frontier *frontier, Host *host)
{
    frontier->n_window--;
    if (!host->window.len && frontier_window_share(frontier) < SMALL_SHARE)
        heap_deinit(&host->window); /* so many hosts that their empty windows are worth something */
    frontier_feed(frontier, host);
    if (!list_is_empty(&frontier->hungry))
        sl_cond_wake_one(&frontier->work);
}

PageItem *frontier_lease(Frontier *frontier, Host *host)
{
    PageItem *item = frontier_peek(host);

    ASSERT(item && frontier->is_settled);
    (void) heap_pop(&host->window);
    change_state(item, PAGE_LEASED);
    frontier->n_queued--;
    frontier->n_leased++;
    host->n_leased++;
    list_push_back(&frontier->leased, &item->leased);
    leave_window(frontier, host);
    return item;
}

static void leave_lease(Frontier *frontier, PageItem *item)
{
    Host *host = item->host;

    ASSERT(host->n_leased > 0 && frontier->n_leased > 0);
    host->n_leased--;
    frontier->n_leased--;
    list_remove(&item->leased);
}

/* ---- ending -----------------------------------------------------------------------------------*/

static PageState state_of(CrawlOutcome outcome)
{
    switch (crawl_outcome_class(outcome)) {
    case CRAWL_CLASS_PAGE: return PAGE_DONE;
    case CRAWL_CLASS_LINK: return PAGE_SKIPPED;
    case CRAWL_CLASS_ERROR: return PAGE_FAILED;
    }
    UNREACHABLE("an outcome of no class");
}

/* Put the end of ITEM into the state file: as an update, or as its first and only row (B2). */
static void write_end(Frontier *frontier, PageItem *item, const PageEnd *page_end)
{
    const Page *page = &item->page;
    DbRecord record = { .kind = DB_PAGE_END, .id = page->id, .attempts = page->attempts };

    if (list_is_linked(&item->unwritten)) {
        list_remove(&item->unwritten);
        record = frontier_page_record(frontier, item);
    }
    record.state = page->state;
    record.mark = frontier->mark_open; /* D2 */
    record.status = page_end->status;
    record.content = page_end->content;
    record.visited_ms = page_end->status ? sl_wall_ms() : page->visited_ms;
    record.text[DB_ETAG] = str_sub(page_end->etag, 0, LIMIT_CRAWL_URL_BYTES);
    record.text[DB_LAST_MODIFIED] = str_sub(page_end->last_modified, 0, LIMIT_CRAWL_URL_BYTES);
    record.text[DB_OUTCOME] = str_from_c(crawl_outcome_word(page_end->outcome));
    frontier_put_change(frontier, &record);
}

/* ITEM, which is in no window, has ended. Frees it. */
static void end(Frontier *frontier, TAKES PageItem *item, const PageEnd *page_end)
{
    Host *host = item->host;
    bool is_counted = frontier_counts(page_end->outcome);

    change_state(item, state_of(page_end->outcome));
    frontier->by_end[item->page.state]++;
    frontier->by_outcome[page_end->outcome]++;
    frontier->n_counted += is_counted;
    host->n_counted += is_counted;
    frontier->n_unmarked++;
    if (frontier->path)
        write_end(frontier, item, page_end);
    frontier_item_free(frontier, item);
    frontier->watch.on_change(frontier->watch.ctx, host);
}

void frontier_end_next(Frontier *frontier, Host *host, CrawlOutcome outcome)
{
    PageItem *item = frontier_peek(host);

    ASSERT(item);
    (void) heap_pop(&host->window);
    frontier->n_queued--;
    end(frontier, item, &(PageEnd){ .outcome = outcome });
    leave_window(frontier, host);
}

bool frontier_has_attempts(const Frontier *frontier, const Page *page)
{
    return page->attempts + 1u < frontier->opts.attempts_max;
}

/* A leased page is queued again, and comes when its back-off is over. */
static void again(Frontier *frontier, PageItem *item, const PageEnd *page_end)
{
    int64_t wait_ms = page_end->retry_ms;

    if (!page_end->is_no_attempt)
        item->page.attempts++;
    if (!wait_ms)
        wait_ms = frontier->opts.retry_ms << MIN(item->page.attempts, (uint16_t) 10) >> 1;
    change_state(item, PAGE_QUEUED);
    frontier->n_queued++;
    frontier->n_retries++;
    if (frontier->path && !list_is_linked(&item->unwritten))
        frontier_put_change(frontier, &(DbRecord){
                                          .kind = DB_PAGE_AGAIN,
                                          .id = item->page.id,
                                          .attempts = item->page.attempts,
                                      });
    heap_push(&frontier->retries, &item->node, sl_clock_ns() + wait_ms * NS_PER_MS);
    frontier->watch.on_change(frontier->watch.ctx, item->host);
}

int frontier_finish(Frontier *frontier, Page *page, const PageEnd *page_end)
{
    PageItem *item = CONTAINER_OF(page, PageItem, page);
    bool is_again = page_end->is_retry &&
                    (page_end->is_no_attempt || frontier_has_attempts(frontier, page));
    int r;

    ASSERT(page->state == PAGE_LEASED && !item->is_entered);
    leave_lease(frontier, item);
    if (is_again)
        again(frontier, item, page_end);
    else
        end(frontier, item, page_end);
    r = frontier_wait_room(frontier);
    return r < 0 ? r : is_again ? FRONTIER_RETRY : 0;
}

void frontier_wake_retries(Frontier *frontier, int64_t now_ns, int64_t *ret_when_ns)
{
    HeapNode *node;

    *ret_when_ns = INT64_MAX;
    while ((node = heap_peek(&frontier->retries, ret_when_ns)) && *ret_when_ns <= now_ns) {
        (void) heap_pop(&frontier->retries);
        frontier_window_put(frontier, HEAP_ITEM(node, PageItem, node));
        *ret_when_ns = INT64_MAX;
    }
}

int64_t frontier_retry_ns(const Frontier *frontier)
{
    int64_t when_ns = INT64_MAX;

    (void) heap_peek(&frontier->retries, &when_ns);
    return when_ns;
}

/* ---- marks ------------------------------------------------------------------------------------*/

bool frontier_is_durable(const Frontier *frontier)
{
    return frontier->path != NULL;
}

uint64_t frontier_unmarked(const Frontier *frontier)
{
    return frontier->n_unmarked;
}

int frontier_begin_mark(Frontier *frontier, uint64_t *ret_mark)
{
    AUTO(buf_deinit) Buf text = { 0 };
    uint64_t mark = frontier->mark_open++;
    int r = 0;

    frontier->n_unmarked = 0;
    buf_add_u64(&text, mark);
    if (frontier->path) {
        frontier_put_meta(frontier, "begun", buf_str(&text)); /* D4: a change to sync */
        r = frontier_flush(frontier, true);
    }
    if (r == 0)
        *ret_mark = mark;
    return r;
}

int frontier_end_mark(Frontier *frontier, uint64_t mark, Str positions)
{
    AUTO(buf_deinit) Buf text = { 0 };

    if (!frontier->path)
        return 0;
    ASSERT(mark < frontier->mark_open);
    buf_add_u64(&text, mark);
    frontier_put_meta(frontier, "mark", buf_str(&text));
    frontier_put_meta(frontier, "positions", positions);
    return frontier_wait_room(frontier);
}

int frontier_complete(Frontier *frontier)
{
    if (!frontier->path)
        return 0;
    frontier->resume.is_complete = true;
    if (frontier->opts.is_temporary)
        return 0; /* frontier_close removes the file */
    frontier_put_meta(frontier, "complete", (Str) STR("1"));
    return frontier_flush(frontier, true);
}

/* ---- what it knows ----------------------------------------------------------------------------*/

const FrontierResume *frontier_resume(const Frontier *frontier)
{
    return &frontier->resume;
}

const char *frontier_path(const Frontier *frontier)
{
    return frontier->path;
}

int frontier_check(const Frontier *frontier)
{
    return frontier->first_err.code ? err_put(&frontier->first_err) : 0;
}

uint64_t frontier_n_queued(const Frontier *frontier)
{
    return frontier->n_queued;
}

uint64_t frontier_n_leased(const Frontier *frontier)
{
    return frontier->n_leased;
}

uint64_t frontier_n_counted(const Frontier *frontier)
{
    return frontier->n_counted;
}

void frontier_stats(const Frontier *frontier, FrontierStats *ret_stats)
{
    size_t item_bytes = sizeof(PageItem) + 100;

    *ret_stats = (FrontierStats){
        .seen = frontier->seen.len,
        .hosts = frontier->n_hosts,
        .retries = frontier->n_retries,
        .in_memory = frontier->n_window,
        .unwritten = frontier->changes.len / sizeof(DbRecord),
        .db_calls = frontier->batch.n_made,
        .db_busy_ns = frontier->db_busy_ns,
        .memory_bytes = seen_bytes(&frontier->seen) + seen_bytes(&frontier->contents) +
                        frontier->n_window * item_bytes + frontier->n_hosts * (sizeof(Host) + 100) +
                        frontier->changes.cap + frontier->batch.changes.cap +
                        frontier->batch.rows.cap,
    };
    memcpy(ret_stats->by_state, frontier->by_end, sizeof(frontier->by_end));
    memcpy(ret_stats->by_outcome, frontier->by_outcome, sizeof(frontier->by_outcome));
    ret_stats->by_state[PAGE_QUEUED] = frontier->n_queued;
    ret_stats->by_state[PAGE_LEASED] = frontier->n_leased;
}

void frontier_keep_cookies(Frontier *frontier, Str cookies, uint64_t cookie_file)
{
    AUTO(buf_deinit) Buf number = { 0 };

    if (!frontier->path)
        return;
    buf_add_u64(&number, cookie_file);
    frontier_put_meta(frontier, "cookies", cookies);
    frontier_put_meta(frontier, "cookie_file", buf_str(&number));
}

void frontier_keep_robots(Frontier *frontier, const RobotsRecord *record)
{
    if (frontier->path)
        frontier_put_change(frontier, &(DbRecord){
                                          .kind = DB_ROBOTS,
                                          .status = record->status,
                                          .visited_ms = record->good_until_ms,
                                          .place = record->unreachable_since_ms,
                                          .text = { record->authority, record->body },
                                      });
}
