/*
 * The frontier's beginning and end: a new crawl, one that goes on, one that looks again.
 *
 * A crawl that goes on is opened in two steps. The first reads what the outlet must be told (run
 * id, mark, positions). Then the outlet says which mark it holds, and the second, settling, queues
 * again what that mark does not cover, and only then reads all rows into memory.
 */
#include "handlers/crawl/frontier_state_int.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#define ATTEMPTS_DEFAULT 3
#define RETRY_MS_DEFAULT 1000
#define CLOSE_GRACE_MS   30000
#define RUN_ID_WORDS     2

/* ---- what happens on the pool -----------------------------------------------------------------*/

/* Arguments and results of a call on the pool. */
typedef struct Opening {
    Frontier *frontier;
    const FrontierParts *parts;
    Buf run_id; /* for a new run */
    uint64_t mark;
} Opening;

static int put_meta(FrontierDb *db, const char *name, Str value)
{
    AUTO(buf_deinit) Buf change = { 0 };
    AUTO(buf_deinit) Buf rows = { 0 };

    db_record_put(&change, &(DbRecord){ .kind = DB_META, .text = { str_from_c(name), value } });
    return frontier_db_apply(db, buf_str(&change), NULL, 0, false, &rows);
}

static int put_meta_u64(FrontierDb *db, const char *name, uint64_t value)
{
    AUTO(buf_deinit) Buf text = { 0 };

    buf_add_u64(&text, value);
    return put_meta(db, name, buf_str(&text));
}

/* A run of its own: nothing written so far counts for it. */
static int begin_run(const Opening *opening)
{
    FrontierDb *db = opening->frontier->db;
    int r = put_meta(db, "run", buf_str(&opening->run_id));

    if (r == 0)
        r = put_meta_u64(db, "mark", 0);
    if (r == 0)
        r = put_meta(db, "positions", (Str){ 0 });
    return r == 0 ? put_meta(db, "complete", (Str) STR("0")) : r;
}

static int begin_file(const Opening *opening)
{
    const Frontier *frontier = opening->frontier;
    int r = put_meta_u64(frontier->db, "seed0", frontier->seen.seed[0]);

    if (r == 0)
        r = put_meta_u64(frontier->db, "seed1", frontier->seen.seed[1]);
    return r == 0 ? begin_run(opening) : r;
}

static int read_seed(Frontier *frontier)
{
    uint64_t seed0 = 0, seed1 = 0;
    int r = frontier_db_meta_u64(frontier->db, "seed0", &seed0);

    if (r == 0)
        r = frontier_db_meta_u64(frontier->db, "seed1", &seed1);
    if (r == FRONTIER_DB_NONE)
        r = fail(-ERR_STORE_FORMAT, "%s: is damaged (no seed); remove it to start anew",
                 frontier->path);
    if (r < 0)
        return r;
    seen_deinit(&frontier->seen);
    seen_init(&frontier->seen, seed0, seed1);
    return 0;
}

static int read_text(Frontier *frontier, const char *name, Str *ret_text)
{
    AUTO(buf_deinit) Buf text = { 0 };
    int r = frontier_db_meta(frontier->db, name, &text);

    if (r >= 0)
        *ret_text = arena_copy(&frontier->arena, buf_str(&text));
    return r < 0 ? r : 0;
}

static int read_resume(Frontier *frontier)
{
    FrontierResume *resume = &frontier->resume;
    Str complete = { 0 };
    int r = read_text(frontier, "run", &resume->run_id);

    if (r == 0)
        r = read_text(frontier, "positions", &resume->positions);
    if (r == 0)
        r = read_text(frontier, "complete", &complete);
    if (r == 0)
        r = frontier_db_meta_u64(frontier->db, "mark", &resume->mark);
    if (r == 0)
        r = frontier_db_count(frontier->db, &resume->n_done, &resume->n_queued);
    resume->is_complete = str_eq_c(complete, "1");
    return r < 0 ? r : 0;
}

/* What a new visit has of the last one, too. */
static int read_cookies(Frontier *frontier)
{
    FrontierResume *resume = &frontier->resume;
    int r = read_text(frontier, "cookies", &resume->cookies);

    if (r == 0)
        r = frontier_db_meta_u64(frontier->db, "cookie_file", &resume->cookie_file);
    return r < 0 ? r : 0;
}

static int on_host(void *ctx, uint32_t id, Str name, const DbHost *counts)
{
    Frontier *frontier = ctx;
    Host *host;

    if (id != frontier->n_hosts || map_find(&frontier->by_name, name))
        return fail(-ERR_STORE_FORMAT, "%s: is damaged (its hosts); remove it to start anew",
                    frontier->path);
    host = frontier_host_new(frontier, id, name);
    host->is_written = true;
    host->in_db = counts->n_queued;
    host->n_counted = counts->n_counted;
    host->place_max = counts->place_max;
    frontier->n_counted += counts->n_counted;
    return 0;
}

static int on_robots(void *ctx, const RobotsRecord *record)
{
    Frontier *frontier = ctx;

    return robots_cache_restore(frontier->robots, record);
}

/* All rows into memory: what was seen, which hosts there are. */
static int load(Frontier *frontier)
{
    DbLoad loaded = {
        .seen = &frontier->seen,
        .contents = &frontier->contents,
        .on_host = on_host,
        .on_robots = on_robots,
        .ctx = frontier,
    };
    int r = frontier_db_load(frontier->db, &loaded);

    if (r < 0)
        return r;
    frontier->page_id = loaded.page_id_max;
    frontier->mark_open = MAX(loaded.mark_max, frontier->resume.mark) + 1;
    frontier->n_queued = loaded.by_state[PAGE_QUEUED];
    memcpy(frontier->by_end, loaded.by_state, sizeof(frontier->by_end));
    memcpy(frontier->by_outcome, loaded.by_outcome, sizeof(frontier->by_outcome));
    frontier->by_end[PAGE_QUEUED] = 0;
    return 0;
}

static int revisit(const Opening *opening)
{
    Frontier *frontier = opening->frontier;
    int r = frontier_db_revisit(frontier->db);

    if (r == 0)
        r = begin_run(opening);
    return r == 0 ? load(frontier) : r;
}

static int open_file(void *arg)
{
    const Opening *opening = arg;
    const FrontierOpts *opts = opening->parts->opts;
    Frontier *frontier = opening->frontier;
    bool is_new = false;
    int r = frontier_db_open(&frontier->db, frontier->path, opts->settings, opts->n_settings,
                             opts->mode, &is_new);

    if (r < 0)
        return r;
    if (is_new)
        return begin_file(opening);
    r = read_seed(frontier);
    if (r == 0)
        r = read_cookies(frontier);
    if (r == 0 && opts->mode == FRONTIER_REVISIT)
        return revisit(opening);
    frontier->resume.is_resumed = true;
    return r == 0 ? read_resume(frontier) : r;
}

static int settle_file(void *arg)
{
    const Opening *opening = arg;
    Frontier *frontier = opening->frontier;
    int r = frontier_db_settle(frontier->db, opening->mark);

    if (r == 0)
        r = put_meta_u64(frontier->db, "mark", opening->mark);
    return r == 0 ? load(frontier) : r;
}

static int close_file(void *arg)
{
    Frontier *frontier = arg;
    bool is_removed = frontier->opts.is_temporary && frontier->resume.is_complete;

    frontier_db_close(TAKE(frontier->db), is_removed);
    return 0;
}

SUSPENDS static int offload_close(void *arg)
{
    return sl_offload(close_file, arg, .name = "frontier");
}

/* ---- opening ----------------------------------------------------------------------------------*/

static void frontier_free(Frontier *frontier)
{
    ListLink *link;
    HeapNode *node;

    ASSERT(!frontier->db);
    while ((link = list_pop_front(&frontier->leased)))
        frontier_item_free(frontier, LIST_ITEM(link, PageItem, leased));
    while ((node = heap_pop(&frontier->retries)))
        frontier_item_free(frontier, HEAP_ITEM(node, PageItem, node));
    heap_deinit(&frontier->retries);
    frontier_hosts_deinit(frontier);
    seen_deinit(&frontier->seen);
    seen_deinit(&frontier->contents);
    buf_deinit(&frontier->changes);
    buf_deinit(&frontier->batch.changes);
    buf_deinit(&frontier->batch.rows);
    mem_free(frontier->batch.refills);
    mem_free(frontier->batch.hosts);
    arena_deinit(&frontier->arena);
    mem_free(frontier->path);
    mem_free(frontier);
}
DEFINE_AUTO(Frontier *, frontier_free);

static Frontier *frontier_new(const FrontierParts *parts)
{
    Frontier *frontier = mem_new(Frontier);
    FrontierOpts *opts = &frontier->opts;

    *opts = *parts->opts;
    if (!opts->attempts_max)
        opts->attempts_max = ATTEMPTS_DEFAULT;
    if (!opts->retry_ms)
        opts->retry_ms = RETRY_MS_DEFAULT;
    if (!opts->window_urls)
        opts->window_urls = LIMIT_FRONTIER_WINDOW_URLS;
    frontier->watch = parts->watch;
    frontier->gate = parts->gate;
    frontier->robots = parts->robots;
    frontier->path = opts->path ? mem_copy_c(opts->path, strlen(opts->path)) : NULL;
    frontier->mark_open = 1;
    frontier->batch.refills = mem_new_array(DbRefill, LIMIT_FRONTIER_REFILLS);
    frontier->batch.hosts = mem_new_array(Host *, LIMIT_FRONTIER_REFILLS);
    seen_init(&frontier->seen, sl_random(), sl_random());
    seen_init(&frontier->contents, 0, 0);
    map_init(&frontier->by_name, sl_random(), sl_random());
    return frontier;
}

/* The hosts that were read from a state file want their windows filled. */
static void feed_all(Frontier *frontier)
{
    for (size_t i = 0; i < frontier->n_hosts; i++)
        frontier_feed(frontier, frontier->hosts[i]);
}

int frontier_open(Frontier **ret_frontier, sl_nursery *nursery, const FrontierParts *parts)
{
    AUTO(frontier_free) Frontier *frontier = frontier_new(parts);
    AUTO(buf_deinit) Buf run_id = { 0 };
    Opening opening = { .frontier = frontier, .parts = parts };
    int r = 0;

    for (int i = 0; i < RUN_ID_WORDS; i++)
        buf_printf(&run_id, "%016llx", (unsigned long long) sl_random());
    opening.run_id = run_id;
    frontier->resume.run_id = arena_copy(&frontier->arena, buf_str(&run_id));
    if (frontier->path)
        r = sl_offload(open_file, &opening, .name = "frontier");
    frontier->is_settled = !frontier->resume.is_resumed;
    if (r == 0)
        r = sl_spawn(nursery, frontier_writer, frontier, .name = "frontier");
    if (r < 0) {
        Err err;

        err_take(r, &err);
        if (frontier->db)
            (void) sl_shielded(CLOSE_GRACE_MS, offload_close,
                               frontier); /* the first error counts */
        return err_put(&err);
    }
    feed_all(frontier);
    *ret_frontier = TAKE(frontier);
    return 0;
}

int frontier_settle(Frontier *frontier, uint64_t mark)
{
    Opening opening = { .frontier = frontier, .mark = mark };
    int r;

    if (frontier->is_settled)
        return 0;
    r = sl_offload(settle_file, &opening, .name = "frontier");
    if (r < 0)
        return r;
    frontier->resume.mark = mark;
    frontier->is_settled = true;
    feed_all(frontier);
    return 0;
}

/* ---- closing ----------------------------------------------------------------------------------*/

SUSPENDS static int close_inside(void *arg)
{
    Frontier *frontier = arg;
    bool is_removed = frontier->opts.is_temporary && frontier->resume.is_complete;
    int r, closed;

    r = sl_event_wait(&frontier->stopped);
    if (r == 0 && frontier->path && frontier->is_settled && !is_removed)
        r = frontier_flush(frontier, true);
    if (frontier->db) {
        closed = offload_close(frontier);
        r = r < 0 ? r : closed;
    }
    return r;
}

int frontier_close(Frontier *frontier)
{
    int r;

    frontier->is_closing = true;
    sl_cond_wake_all(&frontier->work);
    r = sl_shielded(CLOSE_GRACE_MS, close_inside, frontier);
    if (frontier->db) /* the grace was over before the call began */
        (void) close_file(frontier);
    frontier_free(frontier);
    return r;
}
