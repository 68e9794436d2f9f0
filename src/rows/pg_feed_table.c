/*
 * The table of a PostgreSQL feed; see pg_feed_int.h.
 *
 * It is looked at once, and again after an error that may come from a change to it. What is missing
 * is made under an advisory lock, so that several feeds may begin at once: the table, and with
 * can_grow a column that came later. A table that was there and is gone is not made again: whoever
 * dropped it must say what that means.
 *
 * Types of new columns: text, bigint, double precision, boolean, timestamptz, jsonb. (A run's sink
 * makes numeric where digits were written, for prices; readings are doubles.) A table made by
 * somebody else keeps its own types, numeric among them.
 *
 * The staging table of an upsert belongs to the connection and is emptied by each commit, so that
 * the catalogues do not grow with each lot. Its columns are made of the table's own, without their
 * constraints: those are the INSERT's to check. Hypertables of TimescaleDB are copied into and
 * upserted as any table; their unique index must hold the time column.
 */
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/pg_feed_int.h"

#define PG_DDL_LOCK   "7584" /* the class of our advisory locks around CREATE and ALTER */
#define PG_NAME_BYTES 63     /* of a name: the server would cut the rest off */

/* ---- names ----------------------------------------------------------------------------------- */

/* Whether what SPEC says of the table, before the part that comes with the rows, names a schema. */
static bool has_schema(const SinkSpec *spec)
{
    ssize_t dot = str_find(spec->table, '.'), place = str_find(spec->table, '{');

    return dot >= 0 && (place < 0 || dot < place);
}

Str pg_feed_add_table(Buf *out, const SinkSpec *spec, Str given)
{
    if (given.len == 0)
        return sql_add_table_name(out, spec->table);
    if (has_schema(spec))
        return sql_add_table_name(out, given);
    sql_add_name(out, given); /* net.if is a measurement, and net no schema */
    return given;
}

const char *pg_feed_table_fault(const SinkSpec *spec, Str table)
{
    static const Str prefix = STR("pg_");
    Str rest;

    if (has_schema(spec)) {
        (void) str_cut(table, '.', &rest);
        table = rest;
    }
    if (table.len > PG_NAME_BYTES)
        return "is longer than the 63 bytes that PostgreSQL has for a name";
    if (str_starts(table, prefix))
        return "begins as the names that PostgreSQL keeps for itself";
    if (str_eq_c(table, "sluice_marks") || str_eq_c(table, "sluice_staging"))
        return "is the engine's own";
    return table.len == 0 ? "is empty" : NULL;
}

const char *pg_feed_column_fault(Str column)
{
    static const char *const kept[] = { "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid" };

    if (column.len > PG_NAME_BYTES)
        return "is longer than the 63 bytes that PostgreSQL has for a name";
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        if (str_eq_c(column, kept[i]))
            return "is a column that PostgreSQL keeps for itself in every table";
    }
    return NULL;
}

/* ---- columns that are known ------------------------------------------------------------------ */

void pg_feed_forget_table(PgFeed *feed)
{
    for (size_t c = 0; c < feed->n_columns; c++)
        mem_free((char *) feed->columns[c].name.data);
    mem_free(feed->columns);
    mem_free(feed->types);
    feed->columns = NULL;
    feed->types = NULL;
    feed->n_columns = 0;
}

static void know_columns(PgFeed *feed, const FeedLot *lot, TAKES PgType *types)
{
    pg_feed_forget_table(feed);
    feed->columns = mem_new_array(RowColumn, lot->n_columns);
    feed->types = types;
    feed->n_columns = lot->n_columns;
    for (size_t c = 0; c < lot->n_columns; c++) {
        Str name = lot->columns[c].name;

        feed->columns[c] = lot->columns[c];
        feed->columns[c].name = str_from(mem_copy_c(name.data, name.len), name.len);
        feed->columns[c].unit = (Str){ 0 };
    }
}

/* Whether LOT has columns that were looked for, in this order. */
static bool knows_columns(const PgFeed *feed, const FeedLot *lot)
{
    if (lot->n_columns > feed->n_columns)
        return false;
    for (size_t c = 0; c < lot->n_columns; c++) {
        if (!str_eq(lot->columns[c].name, feed->columns[c].name))
            return false;
    }
    return true;
}

/* ---- looking --------------------------------------------------------------------------------- */

typedef struct PgLook {
    const FeedLot *lot;
    PgType *types;
    bool *is_found;
    bool is_there;
} PgLook;

static void on_column(void *ctx, const char *const *values, int n_values)
{
    PgLook *look = ctx;

    look->is_there = true;
    for (size_t c = 0; c < look->lot->n_columns && n_values == 2 && values[0] && values[1]; c++) {
        if (!str_eq_c(look->lot->columns[c].name, values[0]))
            continue;
        look->is_found[c] = true;
        look->types[c] = pg_type_of(values[1]);
    }
}

/* A domain is read as what it is made of, and checked by the server; functions outside pg_catalog
 * may have any form. */
SUSPENDS static int look_at_table(PgFeed *feed, PgLook *look)
{
    static const char sql[] =
        "SELECT coalesce(a.attname, ''), CASE WHEN n.nspname = 'pg_catalog' THEN p.proname ELSE '' "
        "END FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND "
        "NOT a.attisdropped LEFT JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid "
        "= t.typbasetype AND t.typtype = 'd' LEFT JOIN pg_proc p ON p.oid = "
        "coalesce(b.typreceive, t.typreceive) LEFT JOIN pg_namespace n ON n.oid = p.pronamespace "
        "WHERE c.oid = to_regclass($1)";
    const char *const params[] = { feed->table.data };

    look->is_there = false;
    return pg_conn_ask(feed->conn, "look at the table", sql, params, 1, on_column, look);
}

/* ---- making ---------------------------------------------------------------------------------- */

/* The kind that takes all values of column C of LOT. */
static RowKind kind_of(const FeedLot *lot, size_t c)
{
    RowKind found = lot->columns[c].kind;

    for (size_t i = 0; i < lot->n_rows && lot->columns[c].kind == ROW_ANY; i++) {
        RowKind kind = lot->rows[i][c].kind;
        bool is_number = (kind == ROW_INT || kind == ROW_REAL) &&
                         (found == ROW_INT || found == ROW_REAL);

        if (kind == ROW_ANY || kind == found)
            continue;
        found = found == ROW_ANY ? kind : is_number ? ROW_REAL : ROW_TEXT;
    }
    return found;
}

static const char *type_for(RowKind kind)
{
    switch (kind) {
    case ROW_INT: return "bigint";
    case ROW_REAL: return "double precision";
    case ROW_BOOL: return "boolean";
    case ROW_TIME: return "timestamptz";
    case ROW_JSON: return "jsonb";
    case ROW_ANY:
    case ROW_TEXT: return "text";
    }
    UNREACHABLE("all kinds are above");
}

static void add_column(Buf *sql, const FeedLot *lot, size_t c)
{
    sql_add_name(sql, lot->columns[c].name);
    buf_printf(sql, " %s", type_for(kind_of(lot, c)));
}

static void add_create(Buf *sql, const PgFeed *feed, const FeedLot *lot)
{
    buf_printf(sql, "CREATE TABLE IF NOT EXISTS %s (", feed->table.data);
    for (size_t c = 0; c < lot->n_columns; c++) {
        buf_add_c(sql, c == 0 ? "" : ", ");
        add_column(sql, lot, c);
    }
    if (feed->spec->n_keys > 0) {
        buf_add_c(sql, ", PRIMARY KEY (");
        sql_add_keys(sql, feed->spec);
        buf_add_char(sql, ')');
    }
    buf_add_char(sql, ')');
}

static void add_widen(Buf *sql, const PgFeed *feed, const PgLook *look)
{
    bool is_first = true;

    buf_printf(sql, "ALTER TABLE %s", feed->table.data);
    for (size_t c = 0; c < look->lot->n_columns; c++) {
        if (look->is_found[c])
            continue;
        buf_add_c(sql, is_first ? " ADD COLUMN IF NOT EXISTS " : ", ADD COLUMN IF NOT EXISTS ");
        add_column(sql, look->lot, c);
        is_first = false;
    }
}

/* Make what LOOK has not found, in a transaction of its own. */
SUSPENDS static int make(PgFeed *feed, const PgLook *look)
{
    Buf *sql = &feed->sql;
    int r;

    buf_reset(sql);
    buf_add_c(sql, "BEGIN; SELECT pg_advisory_xact_lock(" PG_DDL_LOCK ", hashtext(");
    r = pg_conn_add_literal(feed->conn, sql, str_from_c(feed->table.data));
    if (r < 0)
        return r;
    buf_add_c(sql, ")); ");
    if (look->is_there)
        add_widen(sql, feed, look);
    else
        add_create(sql, feed, look->lot);
    buf_add_c(sql, "; COMMIT");
    return pg_feed_run_sql(feed, look->is_there ? "add a column to the table" : "make the table");
}

/* ---- both ------------------------------------------------------------------------------------ */

static size_t count_missing(const PgLook *look, Buf *names)
{
    size_t n = 0;

    for (size_t c = 0; c < look->lot->n_columns; c++) {
        if (look->is_found[c])
            continue;
        buf_add_c(names, n++ == 0 ? "" : ", ");
        sql_add_name(names, look->lot->columns[c].name);
    }
    return n;
}

static int refuse_table(PgFeed *feed, const PgLook *look, FeedVerdict *verdict)
{
    AUTO(buf_deinit) Buf names = { 0 };

    if (!look->is_there) {
        feed_verdict_say(verdict, "42P01",
                         "the table %s was there and is gone; make it again, or begin anew",
                         feed->table.data);
        return FEED_STOP;
    }
    (void) count_missing(look, &names);
    feed_verdict_say(
        verdict, "42703",
        "the table %s has no column %.*s; add it with ALTER TABLE, leave it out with a "
        "step (select), or allow the table to grow",
        feed->table.data, (int) names.len, names.data);
    return FEED_STOP;
}

SUSPENDS static int look_and_make(PgFeed *feed, PgLook *look, FeedVerdict *verdict)
{
    AUTO(buf_deinit) Buf names = { 0 };
    int r = look_at_table(feed, look);

    if (r < 0 || (look->is_there && count_missing(look, &names) == 0))
        return r;
    if (look->is_there ? !feed->can_grow : feed->was_there)
        return refuse_table(feed, look, verdict);
    r = make(feed, look);
    if (r == 0)
        r = look_at_table(feed, look);
    if (r < 0)
        return r;
    buf_reset(&names);
    return look->is_there && count_missing(look, &names) == 0 ? 0
                                                              : refuse_table(feed, look, verdict);
}

int pg_feed_ready_table(PgFeed *feed, const FeedLot *lot, FeedVerdict *verdict)
{
    AUTO(mem_free) PgType *types = NULL;
    AUTO(mem_free) bool *is_found = NULL;
    PgLook look = { .lot = lot };
    int r;

    if (knows_columns(feed, lot))
        return 0;
    ASSERT(lot->n_columns > 0 && lot->n_columns <= LIMIT_ROW_COLUMNS);
    look.types = types = mem_new_array(PgType, lot->n_columns);
    look.is_found = is_found = mem_new_array(bool, lot->n_columns);
    r = look_and_make(feed, &look, verdict);
    if (r != 0)
        return r;
    feed->was_there = true;
    feed->n_staged = 0; /* its types may be others */
    know_columns(feed, lot, TAKE(types));
    return 0;
}

/* ---- the temporary table --------------------------------------------------------------------- */

int pg_feed_ready_staging(PgFeed *feed, size_t n_columns)
{
    Buf *sql = &feed->sql;
    int r;

    if (!pg_feed_is_upsert(feed) || feed->n_staged >= n_columns)
        return 0;
    buf_reset(sql);
    buf_add_c(sql,
              "DROP TABLE IF EXISTS " PG_STAGING "; CREATE TEMP TABLE sluice_staging ON COMMIT "
              "DELETE ROWS AS SELECT ");
    sql_add_columns(sql, feed->columns, feed->n_columns);
    buf_printf(sql, ", 0::bigint AS " PG_ORDER " FROM %s WITH NO DATA", feed->table.data);
    r = pg_feed_run_sql(feed, "make the temporary table");
    if (r == 0)
        feed->n_staged = feed->n_columns;
    return r;
}

void pg_feed_add_move(PgFeed *feed, size_t n_columns)
{
    Buf *sql = &feed->sql;

    buf_printf(sql, "INSERT INTO %s (", feed->table.data);
    sql_add_columns(sql, feed->columns, n_columns);
    buf_add_c(sql, ") SELECT DISTINCT ON (");
    sql_add_keys(sql, feed->spec);
    buf_add_c(sql, ") ");
    sql_add_columns(sql, feed->columns, n_columns);
    buf_add_c(sql, " FROM " PG_STAGING " ORDER BY ");
    sql_add_keys(sql, feed->spec);
    buf_add_c(sql, ", " PG_ORDER " DESC");
    sql_add_on_conflict(sql, feed->spec, feed->columns, n_columns);
}
