/*
 * Batches: how changes get into the database, and next pages out of it.
 *
 * Changes gather in a buffer on the loop. One fiber, the writer, takes all that is there, together
 * with the hosts whose windows are low, gives it to the pool as one transaction and puts what comes
 * back into the windows; meanwhile the next batch gathers. A batch goes when a window is low, when
 * there is enough to write, or, with a state file, when something has waited for
 * LIMIT_FRONTIER_SAVE_MS. Marks and closing flush by themselves, under the same mutex.
 *
 *   B1  At most one batch is under way; nobody touches its buffers meanwhile.
 *   B2  Pages that are in memory are put into a state file with the batch that comes next, in the
 *       state that they have then: a page fetched quickly is written once.
 *   B3  After an error nothing is written any more: a state file must not miss a batch and have the
 *       next one. Everybody is told by frontier_check.
 */
#include "handlers/crawl/frontier_state_int.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#define FLUSH_BYTES (256 << 10) /* enough to write */

/* ---- changes ----------------------------------------------------------------------------------*/

void frontier_put_change(Frontier *frontier, const DbRecord *record)
{
    db_record_put(&frontier->changes, record);
    if (frontier->path && !frontier->dirty_ns)
        frontier->dirty_ns = sl_now_ns();
    if (frontier->changes.len > FLUSH_BYTES || frontier->path)
        sl_cond_wake_one(&frontier->work);
}

DbRecord frontier_page_record(Frontier *frontier, const PageItem *item)
{
    const Page *page = &item->page;
    Host *host = item->host;

    if (!host->is_written)
        frontier_put_change(frontier, &(DbRecord){
                                          .kind = DB_HOST,
                                          .host = host->id,
                                          .text = { host_name(host) },
                                      });
    host->is_written = true;
    return (DbRecord){
        .kind = DB_PAGE_NEW,
        .id = page->id,
        .host = host->id,
        .place = item->place,
        .state = PAGE_QUEUED, /* D1 */
        .seen = item->seen,
        .depth = page->depth,
        .hops = page->hops,
        .attempts = page->attempts,
        .text = { [DB_URL] = page->url,
                  [DB_REQUESTED] = page->requested,
                  [DB_REFERRER] = page->referrer },
    };
}

void frontier_put_meta(Frontier *frontier, const char *name, Str value)
{
    frontier_put_change(frontier, &(DbRecord){
                                      .kind = DB_META,
                                      .text = { str_from_c(name), value },
                                  });
}

/* ---- making a batch ---------------------------------------------------------------------------*/

/* Whether anything may be read at all (F3). */
static bool has_room(const Frontier *frontier)
{
    return frontier->n_window < 2 * frontier->opts.window_urls;
}

bool frontier_wants_flush(const Frontier *frontier, int64_t now_ns)
{
    if (!list_is_empty(&frontier->hungry) && has_room(frontier))
        return true;
    if (frontier->changes.len > FLUSH_BYTES)
        return true;
    return frontier->dirty_ns && now_ns >= frontier->dirty_ns + LIMIT_FRONTIER_SAVE_MS * NS_PER_MS;
}

/* B2 */
static void put_unwritten(Frontier *frontier)
{
    ListLink *link;

    while ((link = list_pop_front(&frontier->unwritten))) {
        DbRecord record = frontier_page_record(frontier, LIST_ITEM(link, PageItem, unwritten));

        frontier_put_change(frontier, &record);
    }
}

static void want_refills(Frontier *frontier)
{
    FrontierBatch *batch = &frontier->batch;

    batch->n_refills = 0;
    batch->n_wanted = 0;
    while (batch->n_refills < LIMIT_FRONTIER_REFILLS && !list_is_empty(&frontier->hungry)) {
        Host *host = LIST_ITEM(frontier->hungry.first, Host, hungry);
        size_t n = MIN(frontier_window_room(frontier, host), host->in_db);

        ASSERT(!host->is_loading && host->in_db);
        if (!has_room(frontier))
            break;
        list_remove(&host->hungry);
        if (!n)
            continue; /* full by now: it is fed again when a page leaves it */
        host->is_loading = true;
        batch->hosts[batch->n_refills] = host;
        batch->refills[batch->n_refills++] =
            (DbRefill){ .host = host->id, .n = (uint32_t) n, .cursor = host->cursor };
        batch->n_wanted += n;
        frontier->n_window += n;
    }
}

/* Take what there is to do; false: there is nothing. */
static bool make_batch(Frontier *frontier, bool is_sync)
{
    FrontierBatch *batch = &frontier->batch;
    Buf empty = batch->changes;

    ASSERT(!batch->is_waiting); /* B1 */
    if (frontier->path)
        put_unwritten(frontier);
    want_refills(frontier);
    if (!frontier->changes.len && !batch->n_refills && !is_sync)
        return false;
    buf_reset(&empty);
    batch->changes = frontier->changes;
    frontier->changes = empty;
    frontier->dirty_ns = 0;
    buf_reset(&batch->rows);
    batch->is_sync = is_sync;
    batch->is_waiting = true;
    batch->n_made++;
    sl_cond_wake_all(&frontier->room);
    return true;
}

/* ---- applying it ------------------------------------------------------------------------------*/

/* On the pool. */
static int apply_batch(void *arg)
{
    Frontier *frontier = arg;
    FrontierBatch *batch = &frontier->batch;
    bool is_new;
    int r = buf_check(&batch->changes);

    batch->is_waiting = false;
    if (r == 0 && !frontier->db)
        r = frontier_db_open(&frontier->db, NULL, NULL, 0, FRONTIER_CONTINUE, &is_new);
    if (r == 0)
        r = frontier_db_apply(frontier->db, buf_str(&batch->changes), batch->refills,
                              batch->n_refills, batch->is_sync, &batch->rows);
    return r;
}

static void take_row(Frontier *frontier, const DbRecord *record)
{
    Host *host = frontier->hosts[record->host];
    Page page = {
        .id = record->id,
        .url = record->text[DB_URL],
        .requested = record->text[DB_REQUESTED],
        .referrer = record->text[DB_REFERRER],
        .depth = record->depth,
        .hops = record->hops,
        .attempts = record->attempts,
        .etag = record->text[DB_ETAG],
        .last_modified = record->text[DB_LAST_MODIFIED],
        .content = record->content,
        .visited_ms = record->visited_ms,
        .state = PAGE_QUEUED,
    };
    PageItem *item = frontier_item_new(&page, host);

    ASSERT(host->in_db > 0 && record->place > host->cursor); /* F2 */
    item->place = record->place;
    item->seen = record->seen;
    host->in_db--;
    frontier_window_put(frontier, item);
}

static int take_rows(Frontier *frontier)
{
    FrontierBatch *batch = &frontier->batch;
    Str rest = buf_str(&batch->rows);
    DbRecord record;

    frontier->n_window -= batch->n_wanted;
    while (db_record_next(&rest, &record))
        take_row(frontier, &record);
    for (size_t i = 0; i < batch->n_refills; i++) {
        Host *host = batch->hosts[i];

        host->is_loading = false;
        if (host->cursor == batch->refills[i].cursor)
            return fail(-ERR_STORE_FORMAT, "%s: is damaged (%llu pages of %s are missing)",
                        frontier->path ? frontier->path : "the crawl's database",
                        (unsigned long long) host->in_db, host->name);
        frontier_feed(frontier, host);
    }
    return 0;
}

static void keep_error(Frontier *frontier, int r)
{
    if (!frontier->first_err.code)
        err_take(r, &frontier->first_err); /* B3 */
    sl_cond_wake_all(&frontier->room);
    frontier->watch.on_change(frontier->watch.ctx, NULL);
}

/* Apply the batch that was made. -ECANCELED: it waits for the next who comes; otherwise an error is
 * kept too. */
SUSPENDS static int run_batch(Frontier *frontier)
{
    FrontierBatch *batch = &frontier->batch;
    int64_t began_ns = sl_clock_ns();
    int r = sl_offload(apply_batch, frontier, .name = "frontier");

    if (batch->is_waiting)
        return r;
    frontier->db_busy_ns += (uint64_t) (sl_clock_ns() - began_ns);
    SL_NO_SUSPEND
    {
        if (r == 0)
            r = take_rows(frontier);
    }
    if (r < 0) {
        keep_error(frontier, r);
        return frontier_check(frontier);
    }
    return 0;
}

SUSPENDS static int flush_locked(Frontier *frontier, bool is_sync)
{
    int r = frontier_check(frontier);

    if (r == 0 && frontier->batch.is_waiting)
        r = run_batch(frontier);
    if (r == 0 && make_batch(frontier, is_sync))
        r = run_batch(frontier);
    return r;
}

int frontier_flush(Frontier *frontier, bool is_sync)
{
    int r = sl_mutex_lock(&frontier->flushing);

    if (r < 0)
        return r;
    r = flush_locked(frontier, is_sync);
    sl_mutex_unlock(&frontier->flushing);
    return r;
}

/* ---- the writer -------------------------------------------------------------------------------*/

/* Until there may be something to do. */
SUSPENDS static int wait_for_work(Frontier *frontier)
{
    sl_scope scope;
    int r;

    if (!frontier->dirty_ns)
        return sl_cond_wait(&frontier->work);
    sl_scope_begin(&scope, .deadline_ns = frontier->dirty_ns + LIMIT_FRONTIER_SAVE_MS * NS_PER_MS);
    r = sl_cond_wait(&frontier->work);
    r = sl_scope_end(&scope, r);
    return r == -ETIMEDOUT ? 0 : r;
}

int frontier_writer(void *arg)
{
    Frontier *frontier = arg;
    int r = 0;

    while (r == 0 && !frontier->is_closing) {
        if (frontier_wants_flush(frontier, sl_now_ns()))
            r = frontier_flush(frontier, false);
        else
            r = wait_for_work(frontier);
    }
    sl_event_set(&frontier->stopped);
    return 0; /* cancelled, or the error is kept for those whom it concerns */
}
