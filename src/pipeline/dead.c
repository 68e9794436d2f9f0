/*
 * Dead letters: what was refused, with its bytes and the reason, kept where people find it and
 * where `sluice ingest replay` reads it back.
 *
 * One row for each refused row, written to a sink like any other (JSON lines beside the state
 * unless the configuration says otherwise), which is opened with the first one. A lot is tried
 * again until it is durable: nothing that was refused is acknowledged before, and a position never
 * passes it. Dead letters are therefore written at least once.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "codec/base64.h"
#include "pipeline/pipeline_int.h"

#define DEAD_PARCELS 64 /* whose dead letters are written at once */

/* X(NAME, "column", KIND) */
#define DEAD_COLUMNS(X)              \
    X(AT, "at", TIME)                \
    X(PIPELINE, "pipeline", TEXT)    \
    X(SOURCE, "source", TEXT)        \
    X(ORIGIN, "origin", TEXT)        \
    X(TABLE, "table", TEXT)          \
    X(LINE, "line", INT)             \
    X(POSITION, "position", INT)     \
    X(STAGE, "stage", TEXT)          \
    X(CODE, "code", TEXT)            \
    X(MESSAGE, "message", TEXT)      \
    X(ATTEMPTS, "attempts", INT)     \
    X(RECEIVED, "received_at", TIME) \
    X(FORMAT, "format", TEXT)        \
    X(HEAD, "head", TEXT)            \
    X(ENCODING, "encoding", TEXT)    \
    X(BYTES, "bytes", TEXT)

enum {
#define DEAD_ENUM_(name, column, kind) DEAD_##name,
    DEAD_COLUMNS(DEAD_ENUM_)
#undef DEAD_ENUM_
        DEAD_WIDTH
};

static const RowColumn dead_columns[] = {
#define DEAD_COLUMN_(name_, column, kind_) { .name = STR(column), .kind = ROW_##kind_ },
    DEAD_COLUMNS(DEAD_COLUMN_)
#undef DEAD_COLUMN_
};

static const char *const format_words[] = {
#define FORMAT_WORD_(name, word) word,
    DECODE_FORMATS(FORMAT_WORD_)
#undef FORMAT_WORD_
};

/* A parcel in the line; it may be in others too. */
typedef struct DeadEntry {
    ListLink link;
    Parcel *parcel; /* owed an answer */
} DeadEntry;

struct Dead {
    Pipeline *pipeline;
    Arena arena;
    Str run_id; /* names its marks */
    Feed *feed; /* NULL before the first dead letter */
    uint64_t mark;
    List line; /* DeadEntry */
    bool is_closed;
    bool is_busy;
    bool has_ended;  /* its fiber has */
    size_t writes;   /* of sinks, under way */
    bool is_leaving; /* for others in a reload: sinks wait for those */
    Plan *plan;      /* that its feed was opened by: a reference */
    sl_cond item;
    sl_mutex writing;
    FeedVerdict verdict;
    Obstacle away;
};

/* ---- rows of dead letters -------------------------------------------------------------------- */

/* The bytes of DEAD as text, in ENCODING. */
static Str bytes_of(Arena *arena, const Parcel *parcel, const DeadRow *dead, Str *ret_encoding)
{
    Str bytes = parcel->payload && dead->place.len > 0
                    ? str_sub(buf_str(&parcel->payload->bytes), dead->place.offset, dead->place.len)
                    : buf_str(&dead->values);
    AUTO(buf_deinit) Buf text = { .max_bytes = 2 * bytes.len + 8 };

    *ret_encoding = str_from_c("utf-8");
    if (str_is_utf8(bytes) && !str_contains(bytes, str_from("", 1)))
        return bytes;
    *ret_encoding = str_from_c("base64");
    base64_encode(&text, bytes, BASE64_STANDARD);
    return arena_copy(arena, buf_str(&text));
}

static void fill(Arena *arena, const Pipeline *pipeline, const Parcel *parcel, const DeadRow *dead,
                 RowValue *row)
{
    const Receipt *receipt = parcel->receipt;
    const Spring *spring = receipt ? spring_find(pipeline, receipt->source) : NULL;
    const Source *source = spring ? &spring->source : NULL;
    bool has_bytes = parcel->payload && dead->place.len > 0;
    DecodeFormat format = has_bytes ? (DecodeFormat) parcel->payload->format : DECODE_NDJSON;
    Str encoding, bytes = bytes_of(arena, parcel, dead, &encoding);

    row[DEAD_AT] = row_time_ns(sl_wall_ms() * NS_PER_MS);
    /* Copies: a reload may exchange plan and sources while this is written. */
    row[DEAD_PIPELINE] = row_text(arena_copy(arena, pipeline->plan->name));
    row[DEAD_SOURCE] = source ? row_text(arena_copy(arena, source->name)) : row_null();
    if (receipt && receipt->first_source.len > 0)
        row[DEAD_SOURCE] = row_text(receipt->first_source);
    row[DEAD_ORIGIN] = receipt ? row_text(receipt->origin) : row_null();
    row[DEAD_TABLE] = row_text(shape_name(parcel->shape));
    row[DEAD_LINE] = dead->place.line > 0 ? row_integer((int64_t) dead->place.line) : row_null();
    row[DEAD_POSITION] = dead->place.position > 0 ? row_integer((int64_t) dead->place.position)
                                                  : row_null();
    row[DEAD_STAGE] = row_text(str_from_c(dead->why.stage));
    row[DEAD_CODE] = row_text(str_from_c(dead->why.code));
    row[DEAD_MESSAGE] = row_text(str_from_c(dead->why.text));
    row[DEAD_ATTEMPTS] = row_integer(dead->attempts + (receipt ? receipt->attempts : 0));
    row[DEAD_RECEIVED] = row_time_ns(parcel->received_ns);
    if (format == DECODE_AUTO && source)
        format = source->decode.format;
    row[DEAD_FORMAT] = row_text(str_from_c(format_words[format]));
    row[DEAD_HEAD] = has_bytes && parcel->payload->head.len > 0
                         ? row_text(buf_str(&parcel->payload->head))
                         : row_null();
    row[DEAD_ENCODING] = row_text(encoding);
    row[DEAD_BYTES] = row_text(bytes);
}

/* ---- writing --------------------------------------------------------------------------------- */

SUSPENDS static int open_feed(Dead *dead)
{
    Pipeline *pipeline = dead->pipeline;
    FeedOpts opts = { .columns = dead_columns,
                      .n_columns = DEAD_WIDTH,
                      .run_id = dead->run_id,
                      .is_synced = pipeline->is_synced,
                      .can_grow = true,
                      .http = pipeline->opts.http,
                      .engine_url = pipeline->opts.engine_url };

    if (!dead->plan)
        dead->plan = plan_ref(pipeline->plan);
    return feed_open(&dead->feed, &dead->plan->dead_letters.spec, &opts, &dead->mark,
                     &dead->verdict);
}

SUSPENDS static int deliver(Dead *dead, const FeedLot *lot)
{
    int r = dead->feed ? 0 : open_feed(dead);

    return r != 0 ? r : feed_deliver(dead->feed, lot, &dead->verdict);
}

/* Until it is durable. A sink that refuses dead letters for their values, or is not there at all,
 * ends the pipeline: better than to lose them. */
SUSPENDS static int deliver_patiently(Dead *dead, const FeedLot *lot)
{
    Pipeline *pipeline = dead->pipeline;
    int64_t pause_ms = LIMIT_FEED_RETRY_MS;
    int r;

    for (;;) {
        r = deliver(dead, lot);
        if (r == 0)
            obstacle_pass(pipeline, &dead->away);
        if (r <= 0)
            return wrap(r, "dead letters");
        if (r == FEED_REFUSED || r == FEED_STOP)
            return fail(-ERR_CONFLICT, "dead letters cannot be written: %s",
                        r == FEED_STOP ? dead->verdict.text : dead->verdict.refused[0].text);
        obstacle_meet(pipeline, &dead->away, r == FEED_FULL ? PIPELINE_PAUSED : PIPELINE_WAITING,
                      "dead letters: %s", dead->verdict.text);
        r = sl_sleep_ms(pause_ms);
        if (r < 0)
            return r;
        pause_ms = MIN(2 * pause_ms, pipeline->plan->config.retry_max_ms);
    }
}

SUSPENDS static int write_locked(Dead *dead, const DeadItem *items, size_t n)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(mem_free) RowValue *values = mem_new_array(RowValue, n * DEAD_WIDTH);
    AUTO(mem_free) const RowValue **pointers = mem_new_array(const RowValue *, n);
    FeedLot lot = { .columns = dead_columns,
                    .n_columns = DEAD_WIDTH,
                    .rows = pointers,
                    .n_rows = n,
                    .mark = dead->mark + 1 };
    int r;

    arena_init(&arena, (size_t) LIMIT_BUF_BYTES);
    for (size_t i = 0; i < n; i++) {
        fill(&arena, dead->pipeline, items[i].parcel, items[i].row, values + i * DEAD_WIDTH);
        pointers[i] = values + i * DEAD_WIDTH;
    }
    r = deliver_patiently(dead, &lot);
    dead->mark = MAX(dead->mark, lot.mark);
    return r;
}

SUSPENDS static int write_items(Dead *dead, const DeadItem *items, size_t n)
{
    int r;

    if (!dead->pipeline->plan->dead_letters.spec.driver || n == 0)
        return 0;
    r = sl_mutex_lock(&dead->writing);
    if (r < 0)
        return r;
    r = write_locked(dead, items, n);
    sl_mutex_unlock(&dead->writing);
    return r;
}

SUSPENDS int dead_write(Pipeline *pipeline, const DeadItem *items, size_t n)
{
    Dead *dead;
    int r = 0;

    while (r == 0 && pipeline->dead->is_leaving)
        r = sl_cond_wait(&pipeline->quiet);
    if (r < 0)
        return r;
    dead = pipeline->dead;
    dead->writes++;
    r = write_items(dead, items, n);
    dead->writes--;
    pipeline_wake(pipeline);
    return r;
}

/* ---- the line -------------------------------------------------------------------------------- */

void dead_put(Dead *dead, Parcel *parcel)
{
    DeadEntry *entry = mem_new(DeadEntry);

    entry->parcel = parcel;
    list_push_back(&dead->line, &entry->link);
    sl_cond_wake_one(&dead->item);
}

bool dead_is_idle(const Dead *dead)
{
    return list_is_empty(&dead->line) && !dead->is_busy;
}

bool dead_has_ended(const Dead *dead)
{
    return dead->has_ended;
}

void dead_inherit(Dead *dead, Dead *other)
{
    ListLink *link;

    ASSERT(other->has_ended && !other->is_busy);
    while ((link = list_pop_front(&other->line)) != NULL)
        list_push_back(&dead->line, link);
}

void dead_finish(Dead *dead)
{
    dead->is_closed = true;
    sl_cond_wake_all(&dead->item);
}

static void bury(Pipeline *pipeline, Parcel *parcel)
{
    for (size_t i = 0; i < parcel->n_dead; i++)
        books_bury(&pipeline->books, parcel->dead[i].why.stage, 1);
    parcel->buried += parcel->n_dead;
    parcel_report(parcel);
}

/* Take parcels from the line, as many as make one write. */
static size_t take_parcels(Dead *dead, Parcel **parcels, size_t *ret_rows)
{
    size_t n = 0, rows = 0;

    while (n < DEAD_PARCELS && rows < LIMIT_DEAD_LOT_ROWS && !list_is_empty(&dead->line)) {
        DeadEntry *entry = LIST_ITEM(list_pop_front(&dead->line), DeadEntry, link);

        parcels[n++] = entry->parcel;
        rows += entry->parcel->n_dead;
        mem_free(entry);
    }
    *ret_rows = rows;
    return n;
}

SUSPENDS static int write_parcels(Dead *dead, Parcel *const *parcels, size_t n, size_t rows)
{
    AUTO(mem_free) DeadItem *items = mem_new_array(DeadItem, MAX(rows, (size_t) 1));
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        for (size_t row = 0; row < parcels[i]->n_dead; row++)
            items[k++] = (DeadItem){ .parcel = parcels[i], .row = &parcels[i]->dead[row] };
    }
    ASSERT(k == rows);
    return write_items(dead, items, rows);
}

SUSPENDS static int dead_next(Dead *dead)
{
    Pipeline *pipeline = dead->pipeline;
    Parcel *parcels[DEAD_PARCELS];
    size_t rows, n = take_parcels(dead, parcels, &rows);
    int r;

    dead->is_busy = true;
    r = write_parcels(dead, parcels, n, rows);
    dead->is_busy = false;
    if (r < 0)
        pipeline_fail(pipeline, r);
    for (size_t i = 0; i < n; i++) {
        if (r == 0)
            bury(pipeline, parcels[i]);
        parcel_answer(pipeline, parcels[i]);
    }
    pipeline_wake(pipeline);
    return r;
}

SUSPENDS int dead_run(void *arg)
{
    Dead *dead = arg;
    int r = 0;

    while (r == 0) {
        if (!list_is_empty(&dead->line))
            r = dead_next(dead);
        else if (dead->is_closed)
            break;
        else
            r = sl_cond_wait(&dead->item);
    }
    dead->has_ended = true;
    pipeline_wake(dead->pipeline);
    return r;
}

/* ---- life ------------------------------------------------------------------------------------ */

Dead *dead_new(Pipeline *pipeline)
{
    Dead *dead = mem_new(Dead);

    dead->pipeline = pipeline;
    arena_init(&dead->arena, 0);
    dead->run_id = arena_printf(&dead->arena, "%.*s/dead letters", (int) pipeline->plan->name.len,
                                pipeline->plan->name.data);
    return dead;
}

SUSPENDS void dead_close(Dead *dead)
{
    feed_close(TAKE(dead->feed));
}

SUSPENDS int dead_leave(Dead *dead)
{
    Pipeline *pipeline = dead->pipeline;
    int r = 0;

    dead->is_leaving = true;
    dead_finish(dead);
    while (r == 0 && (!dead->has_ended || dead->writes > 0))
        r = sl_cond_wait(&pipeline->quiet);
    if (pipeline->is_failing)
        return err_put(&pipeline->end_err);
    if (r == 0)
        dead_close(dead);
    return r;
}

void dead_free(Dead *dead)
{
    ASSERT(list_is_empty(&dead->line) && !dead->feed);
    list_remove(&dead->away.link);
    feed_verdict_deinit(&dead->verdict);
    plan_unref(dead->plan);
    arena_deinit(&dead->arena);
    mem_free(dead);
}

void dead_abort(Dead *dead)
{
    while (!list_is_empty(&dead->line)) {
        DeadEntry *entry = LIST_ITEM(list_pop_front(&dead->line), DeadEntry, link);

        if (entry->parcel->receipt)
            entry->parcel->receipt->r = -ECANCELED;
        parcel_answer(dead->pipeline, entry->parcel);
        mem_free(entry);
    }
}
