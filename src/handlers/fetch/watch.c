/*
 * Watching: rounds of the same questions, and what is different from the round before.
 *
 * The first round shows every row. After it a row is shown when the round before had none like it,
 * with the time and with what changed in words ("temperature: 21.5 → 21.7"). To find out what a row
 * was before, rows of one source are matched by their first field, which names things in most
 * lists; the only row of a source matches the only row it had. What matches none is "new".
 *
 * Sinks named by `out` get every row of every round: a file always has the newest table, whole.
 *
 * Two rounds of rows are held as text, each in an arena of its own; the older one's is used again.
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/mem.h"
#include "handlers/fetch/fetch_int.h"

/* A row of a round. */
typedef struct WatchRow {
    Str *cells; /* as text, one for each column */
} WatchRow;

typedef struct WatchRound {
    Arena arena;
    Map by_text;   /* the whole row -> WatchRow */
    Map by_name;   /* source and first field -> WatchRow */
    Map by_source; /* source -> its last WatchRow */
    size_t n_rows;
} WatchRound;

struct FetchWatch {
    const FetchRun *run;
    WatchRound rounds[2];
    size_t current;
    size_t n_shown; /* rows of this round */
    bool is_first;
};

static void round_deinit(WatchRound *round)
{
    map_deinit(&round->by_text);
    map_deinit(&round->by_name);
    map_deinit(&round->by_source);
    arena_deinit(&round->arena);
    *round = (WatchRound){ 0 };
}

FetchWatch *fetch_watch_new(const FetchRun *run)
{
    FetchWatch *watch = mem_new(FetchWatch);

    watch->run = run;
    watch->is_first = true;
    return watch;
}

void fetch_watch_free(FetchWatch *watch)
{
    if (!watch)
        return;
    round_deinit(&watch->rounds[0]);
    round_deinit(&watch->rounds[1]);
    mem_free(watch);
}

bool fetch_watch_has_news(const FetchWatch *watch)
{
    return watch->n_shown > 0;
}

void fetch_watch_turn(FetchWatch *watch)
{
    watch->is_first = false;
    watch->n_shown = 0;
    watch->current = 1 - watch->current;
    round_deinit(&watch->rounds[watch->current]);
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* Whether a difference in column I counts. */
static bool is_compared(const FetchRun *run, size_t i)
{
    return i != run->time_column && i != run->changed_column && i != run->source_column;
}

/* The row as text, in the arena of ROUND; NULL when there is no room. */
static WatchRow *keep_row(const FetchRun *run, WatchRound *round, const RowValue *row)
{
    AUTO(buf_deinit) Buf text = { 0 };
    WatchRow *kept = arena_try(&round->arena, sizeof(*kept));
    Str *cells = arena_try(&round->arena, run->n_columns * sizeof(Str));

    if (!kept || !cells)
        return NULL;
    for (size_t i = 0; i < run->n_columns; i++) {
        char *copy;

        buf_reset(&text);
        row_value_format(&text, &row[i]);
        copy = arena_try(&round->arena, text.len + 1);
        if (!copy)
            return NULL;
        if (text.len > 0)
            memcpy(copy, text.data, text.len);
        cells[i] = str_from(copy, text.len);
    }
    kept->cells = cells;
    return kept;
}

/* The texts that a row is found by: SOURCE, then the first N cells that are compared. */
static void name_row(const FetchRun *run, const FetchSource *source, const WatchRow *row, size_t n,
                     Buf *out)
{
    buf_reset(out);
    buf_printf(out, "%zu", source->index);
    for (size_t i = 0; i < run->n_columns && n > 0; i++) {
        if (!is_compared(run, i) ||
            (n == 1 && source->n_fields > 0 && i != source->fields[0].column))
            continue;
        buf_add_char(out, '\x1f');
        buf_add_str(out, row->cells[i]);
        n--;
    }
}

static const WatchRow *find_before(FetchWatch *watch, const FetchSource *source, Str name)
{
    WatchRound *before = &watch->rounds[1 - watch->current];
    const WatchRow *found = map_find(&before->by_name, name);
    char key[24];

    if (found || source->n_rows != 1)
        return found;
    (void) snprintf(key, sizeof(key), "%zu", source->index);
    return map_find(&before->by_source, str_from_c(key));
}

/* "temperature: 21.5 → 21.7, wind: 3 → 4" */
static void describe_change(const FetchRun *run, const WatchRow *before, const WatchRow *now,
                            Buf *out)
{
    for (size_t i = 0; i < run->n_columns; i++) {
        Str old = before->cells[i], new = now->cells[i];

        if (!is_compared(run, i) || str_eq(old, new))
            continue;
        buf_printf(out, "%s%.*s: ", out->len > 0 ? ", " : "", (int) run->columns[i].name.len,
                   run->columns[i].name.data);
        buf_add_str(out, old.len > 0 ? str_cut_utf8(old, 60) : (Str) STR("–"));
        buf_add_c(out, " → ");
        buf_add_str(out, new.len > 0 ? str_cut_utf8(new, 60) : (Str) STR("–"));
    }
}

/* Whether ROW is worth showing; its time and what changed are filled in. */
static bool mark_row(FetchWatch *watch, const FetchSource *source, RowBatch *batch, RowValue *row,
                     int *r)
{
    const FetchRun *run = watch->run;
    WatchRound *now = &watch->rounds[watch->current];
    WatchRound *before = &watch->rounds[1 - watch->current];
    AUTO(buf_deinit) Buf name = { 0 };
    AUTO(buf_deinit) Buf changed = { 0 };
    WatchRow *kept = now->n_rows < LIMIT_FETCH_WATCH_ROWS ? keep_row(run, now, row) : NULL;
    const WatchRow *old;
    bool is_same;

    row[run->time_column] = row_time_ns(sl_wall_ms() * NS_PER_MS);
    if (!kept) {
        *r = fail(-ERR_TOO_LARGE, "watch compares at most %d rows", LIMIT_FETCH_WATCH_ROWS);
        return false;
    }
    now->n_rows++;
    name_row(run, source, kept, 0, &name);
    (void) map_put(&now->by_source, buf_str(&name), kept);
    name_row(run, source, kept, 1, &name);
    (void) map_put(&now->by_name, buf_str(&name), kept);
    old = find_before(watch, source, buf_str(&name));
    name_row(run, source, kept, SIZE_MAX, &name);
    (void) map_put(&now->by_text, buf_str(&name), kept);
    is_same = map_find(&before->by_text, buf_str(&name)) != NULL;
    if (is_same || watch->is_first)
        return watch->is_first;
    if (old)
        describe_change(run, old, kept, &changed);
    else
        buf_add_c(&changed, "new");
    row[run->changed_column] = row_text(row_batch_copy(batch, buf_str(&changed)));
    return true;
}

int fetch_watch_mark(FetchWatch *watch, const FetchSource *source, RowBatch *batch)
{
    size_t width = batch->n_columns, n_kept = 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < batch->n_rows; i++) {
        RowValue *row = &batch->values[i * width];
        bool is_shown = mark_row(watch, source, batch, row, &r);

        watch->n_shown += is_shown;
        if (!is_shown && watch->run->args->out.len == 0)
            continue;
        if (n_kept != i)
            memcpy(&batch->values[n_kept * width], row, width * sizeof(*row));
        n_kept++;
    }
    batch->n_rows = n_kept;
    return r;
}
