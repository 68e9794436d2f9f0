/*
 * The columns of a feed into SQLite; see the header.
 *
 * Types are settled once: declared ones, those of a table that is there, and otherwise those of the
 * first rows that have the column. A table that keeps its times as TEXT gets them as text.
 */
#include "rows/sqlite_columns.h"

#include "base/assert.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/sql_text.h"

#define MISSING_SHOWN_BYTES 200ul

void sqlite_columns_deinit(SqliteColumns *columns)
{
    row_types_deinit(&columns->types);
    mem_free(columns->columns);
    mem_free(columns->times);
    mem_free(columns->in_table);
    mem_free(columns->used);
    mem_free(columns->barred);
    arena_deinit(&columns->names);
    *columns = (SqliteColumns){ 0 };
}

/* ---- names ----------------------------------------------------------------------------------- */

const char *sqlite_table_fault(const SinkSpec *spec, Str table)
{
    static const Str marks = STR("sluice_marks"), prefix = STR("sqlite_");

    (void) spec;
    if (str_eq_nocase(table, marks))
        return "is the engine's own";
    if (str_eq_nocase(str_sub(table, 0, prefix.len), prefix))
        return "begins as the names that SQLite keeps for itself";
    return NULL;
}

/* Whether SQLite can have a column called NAME in the table beside those that are. */
static bool can_use(const SqliteColumns *all, Str name)
{
    if (name.len == 0 || memchr(name.data, '\0', name.len) || !str_is_utf8(name))
        return false;
    for (size_t i = 0; i < all->n_used; i++) {
        if (str_eq_nocase(all->in_table[i].name, name))
            return false;
    }
    return true;
}

static void make_room(SqliteColumns *all, size_t n)
{
    n = MAX(n, 2 * all->cap_columns);
    all->cap_columns = n;
    all->columns = mem_resize_array(all->columns, n, sizeof(all->columns[0]));
    all->times = mem_resize_array(all->times, n, sizeof(all->times[0]));
    all->in_table = mem_resize_array(all->in_table, n, sizeof(all->in_table[0]));
    all->used = mem_resize_array(all->used, n, sizeof(all->used[0]));
    all->barred = mem_resize_array(all->barred, n, sizeof(all->barred[0]));
}

bool sqlite_columns_take(SqliteColumns *all, const RowColumn *given, size_t n_given)
{
    if (n_given <= all->n_columns)
        return false;
    if (n_given > all->cap_columns)
        make_room(all, n_given);
    for (size_t c = all->n_columns; c < n_given; c++) {
        all->columns[c] = (RowColumn){ .name = arena_copy(&all->names, given[c].name),
                                       .kind = given[c].kind };
        all->times[c] = all->time >= 0 ? (SqliteTime) all->time : SQLITE_TIME_NS;
        if (!can_use(all, given[c].name)) {
            all->barred[all->n_barred++] = c;
            continue;
        }
        all->used[all->n_used] = c;
        all->in_table[all->n_used++] = all->columns[c];
    }
    all->n_columns = n_given;
    row_types_grow(&all->types, all->columns, n_given);
    return true;
}

/* ---- types ----------------------------------------------------------------------------------- */

/* What the table says of the columns it has. */
static void learn_types(SqliteColumns *all, const SqliteTable *table)
{
    for (size_t i = 0; i < all->n_used && table->is_there; i++) {
        size_t c = all->used[i];

        if (!table->is_found[i])
            continue;
        if (all->columns[c].kind == ROW_ANY)
            all->types.kinds[c] = table->kinds[i];
        if (all->time < 0 && table->kinds[i] == ROW_TEXT)
            all->times[c] = SQLITE_TIME_TEXT;
    }
}

/* Settle the types of columns that the table does not have yet. */
static void settle_types(SqliteColumns *all, const SqliteTable *table, const FeedLot *lot)
{
    AUTO(mem_free) RowKind *kept = mem_new_array(RowKind, all->n_columns);

    memcpy(kept, all->types.kinds, all->n_columns * sizeof(kept[0]));
    row_types_settle_rows(&all->types, lot->rows,
                          lot->n_columns >= all->n_columns ? lot->n_rows : 0);
    for (size_t i = 0; i < all->n_used; i++) {
        if (table->is_there && table->is_found[i])
            all->types.kinds[all->used[i]] = kept[all->used[i]];
    }
}

/* The type of times in a table of ours. */
static const char *time_type(const SqliteColumns *all)
{
    return all->time == SQLITE_TIME_TEXT ? "TEXT" : "INTEGER";
}

/* ---- the table ------------------------------------------------------------------------------- */

static int make_table(SqliteColumns *all, SqliteFit *fit)
{
    AUTO(mem_free) RowKind *kinds = mem_new_array(RowKind, all->n_used);

    for (size_t i = 0; i < all->n_used; i++)
        kinds[i] = all->types.kinds[all->used[i]];
    fit->has_made = true;
    return sqlite_table_make(fit->db, fit->spec, all->in_table, kinds, all->n_used, time_type(all));
}

static int add_column(SqliteColumns *all, SqliteFit *fit, size_t c)
{
    AUTO(buf_deinit) Buf sql = { 0 };

    buf_add_c(&sql, "ALTER TABLE ");
    sql_add_name(&sql, fit->spec->table);
    buf_add_c(&sql, " ADD COLUMN ");
    sql_add_name(&sql, all->columns[c].name);
    buf_printf(&sql, " %s", sqlite_type_of(all->types.kinds[c], time_type(all)));
    fit->has_made = true;
    return sqlite_db_run_buf(fit->db, "add a column", &sql);
}

static int refuse_missing(const SinkSpec *spec, Str missing, FeedVerdict *verdict)
{
    missing = str_cut_utf8(missing, MISSING_SHOWN_BYTES);
    feed_verdict_say(verdict, "no_column",
                     "the table %.*s has no column %.*s: add it with ALTER TABLE, take it out of "
                     "the rows, or let the sink grow",
                     (int) spec->table.len, spec->table.data, (int) missing.len, missing.data);
    return FEED_STOP;
}

/* The table that is there gets what it lacks. */
static int widen_table(SqliteColumns *all, const SqliteTable *table, SqliteFit *fit,
                       FeedVerdict *verdict)
{
    AUTO(buf_deinit) Buf missing = { 0 };
    int r = 0;

    for (size_t i = 0; i < all->n_used && r == 0; i++) {
        if (table->is_found[i])
            continue;
        if (fit->can_grow && fit->lot) {
            r = add_column(all, fit, all->used[i]);
            continue;
        }
        buf_add_c(&missing, missing.len > 0 ? ", " : "");
        sql_add_name(&missing, all->in_table[i].name);
    }
    return r == 0 && missing.len > 0 && !fit->can_grow
               ? refuse_missing(fit->spec, buf_str(&missing), verdict)
               : r;
}

static int refuse_dropped(const SinkSpec *spec, FeedVerdict *verdict)
{
    feed_verdict_say(verdict, "no_table",
                     "the table %.*s was dropped while rows were written to it: make it again, or "
                     "start anew to have it made",
                     (int) spec->table.len, spec->table.data);
    return FEED_STOP;
}

int sqlite_columns_fit(SqliteColumns *all, SqliteFit *fit, FeedVerdict *verdict)
{
    AUTO(sqlite_table_deinit) SqliteTable table = { 0 };
    int r;

    if (all->n_used == 0 && fit->lot) {
        feed_verdict_say(verdict, "column_name",
                         "no column of the rows has a name that SQLite "
                         "takes");
        return FEED_STOP;
    }
    r = sqlite_table_look(fit->db, fit->spec->table, all->in_table, all->n_used, &table);
    if (r < 0)
        return r;
    if (!table.is_there && fit->was_there)
        return refuse_dropped(fit->spec, verdict);
    learn_types(all, &table);
    if (fit->lot)
        settle_types(all, &table, fit->lot);
    if (table.is_there)
        return widen_table(all, &table, fit, verdict);
    return fit->lot ? make_table(all, fit) : 0;
}
