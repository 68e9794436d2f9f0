/*
 * A lot as a table that SQLite reads; see the header.
 *
 * It is a virtual table without indexes: a scan from the first row to the last. Texts are handed
 * over as they lie in the lot, which is borrowed until the statement is done; only what has to be
 * made first (times as text, broken UTF-8, a number for a text column) is copied.
 */
#include "rows/sqlite_lot.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/rand.h"

#include <stdio.h>

typedef struct LotTable {
    sqlite3_vtab base;
    SqliteLot *lot;
} LotTable;

typedef struct LotCursor {
    sqlite3_vtab_cursor base;
    SqliteLot *lot;
    const RowValue *row; /* the one at lot->at */
} LotCursor;

/* ---- refusing -------------------------------------------------------------------------------- */

static int refuse(SqliteLot *lot, const char *code, const char *words)
{
    Str cut = str_cut_utf8(str_from_c(words), sizeof(lot->words) - 1);

    lot->is_refused = true;
    lot->code = code;
    memcpy(lot->words, cut.data, cut.len);
    lot->words[cut.len] = '\0';
    return SQLITE_ERROR;
}

COLD static int refuse_barred(SqliteLot *lot, size_t c)
{
    Str name = str_cut_utf8(lot->lot->columns[c].name, 60);
    char words[REFUSAL_TEXT_BYTES];

    (void) snprintf(words, sizeof(words),
                    "SQLite cannot have the column \"%.*s\" beside the others: its name is no "
                    "text, or differs from another one only by case",
                    (int) name.len, name.data);
    return refuse(lot, "column_name", words);
}

/* ---- the cursor ------------------------------------------------------------------------------ */

/* Take the row at lot->at; columns that cannot be in the table must be null in it. */
static int take_row(LotCursor *cursor)
{
    SqliteLot *lot = cursor->lot;

    if (lot->at >= lot->to)
        return SQLITE_OK;
    cursor->row = lot->lot->rows[lot->at];
    for (size_t i = 0; i < lot->columns->n_barred; i++) {
        size_t c = lot->columns->barred[i];

        if (c < lot->lot->n_columns && cursor->row[c].kind != ROW_ANY)
            return refuse_barred(lot, c);
    }
    return SQLITE_OK;
}

static int on_filter(sqlite3_vtab_cursor *base, int number, const char *text, int n,
                     sqlite3_value **values)
{
    LotCursor *cursor = (LotCursor *) base;

    (void) number;
    (void) text;
    (void) n;
    (void) values;
    cursor->lot->at = cursor->lot->from;
    return take_row(cursor);
}

static int on_next(sqlite3_vtab_cursor *base)
{
    LotCursor *cursor = (LotCursor *) base;

    cursor->lot->at++;
    return take_row(cursor);
}

static int on_eof(sqlite3_vtab_cursor *base)
{
    const SqliteLot *lot = ((LotCursor *) base)->lot;

    return lot->at >= lot->to;
}

static int on_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
    *ret_rowid = (sqlite3_int64) ((LotCursor *) base)->lot->at;
    return SQLITE_OK;
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool is_ascii(Str text)
{
    const uint64_t high = UINT64_C(0x8080808080808080);
    uint64_t eight, all = 0;
    size_t i = 0;

    for (; i + sizeof(eight) <= text.len; i += sizeof(eight)) {
        memcpy(&eight, text.data + i, sizeof(eight));
        all |= eight;
    }
    if (text.len >= sizeof(eight)) { /* the rest, with some bytes once more */
        memcpy(&eight, text.data + text.len - sizeof(eight), sizeof(eight));
        return ((all | eight) & high) == 0;
    }
    for (; i < text.len; i++)
        all |= (unsigned char) text.data[i];
    return (all & high) == 0;
}

static void give_text(SqliteLot *lot, sqlite3_context *context, Str text, bool is_made)
{
    if (!is_ascii(text) && !str_is_utf8(text)) {
        AUTO(buf_deinit) Buf made = { 0 };

        row_add_utf8(&made, text);
        buf_reset(&lot->scratch);
        buf_add_str(&lot->scratch, buf_str(&made));
        text = buf_str(&lot->scratch);
        is_made = true;
    }
    /* A null pointer would be NULL, where the text is empty. */
    sqlite3_result_text64(context, text.data ? text.data : "", text.len,
                          is_made ? SQLITE_TRANSIENT : SQLITE_STATIC, SQLITE_UTF8);
}

/* Rounded down, also before 1970. */
static int64_t floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

static void give_time(SqliteLot *lot, sqlite3_context *context, SqliteTime form, int64_t time_ns)
{
    switch (form) {
    case SQLITE_TIME_NS: sqlite3_result_int64(context, time_ns); return;
    case SQLITE_TIME_US: sqlite3_result_int64(context, floor_div(time_ns, 1000)); return;
    case SQLITE_TIME_MS: sqlite3_result_int64(context, floor_div(time_ns, 1000000)); return;
    case SQLITE_TIME_S: sqlite3_result_int64(context, floor_div(time_ns, NS_PER_S)); return;
    case SQLITE_TIME_TEXT:
        buf_reset(&lot->scratch);
        row_time_format_ms(&lot->scratch, time_ns);
        give_text(lot, context, buf_str(&lot->scratch), true);
        return;
    }
    UNREACHABLE("all forms are above");
}

static void give_value(SqliteLot *lot, sqlite3_context *context, size_t c, const RowValue *value,
                       bool is_made)
{
    switch (value->kind) {
    case ROW_ANY: return; /* NULL unless something is given */
    case ROW_INT: sqlite3_result_int64(context, value->integer); return;
    case ROW_REAL: sqlite3_result_double(context, value->real); return;
    case ROW_BOOL: sqlite3_result_int(context, value->boolean); return;
    case ROW_TIME: give_time(lot, context, lot->columns->times[c], value->time_ns); return;
    case ROW_TEXT:
    case ROW_JSON: give_text(lot, context, value->text, is_made); return;
    }
    UNREACHABLE("all kinds are above");
}

/* A value of another kind than its column's. Whole numbers are how SQLite has times, booleans. */
COLD static int give_misfit(SqliteLot *lot, sqlite3_context *context, size_t c,
                            const RowValue *value)
{
    RowKind kind = lot->columns->types.kinds[c];
    RowValue fitted;
    int r;

    if (kind == ROW_INT && (value->kind == ROW_TIME || value->kind == ROW_BOOL)) {
        give_value(lot, context, c, value, false);
        return SQLITE_OK;
    }
    buf_reset(&lot->scratch);
    r = row_types_fit(&lot->columns->types, c, value, lot->at, &lot->scratch, &fitted);
    if (r < 0) {
        Err err;

        err_take(r, &err);
        (void) refuse(lot, "mismatch", err.text);
        sqlite3_result_error(context, lot->words, -1);
        return SQLITE_ERROR;
    }
    give_value(lot, context, c, &fitted, true);
    return SQLITE_OK;
}

static int on_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int index)
{
    LotCursor *cursor = (LotCursor *) base;
    SqliteLot *lot = cursor->lot;
    const RowValue *value;
    size_t c;

    if ((size_t) index >= lot->columns->n_used)
        return SQLITE_OK;
    c = lot->columns->used[index];
    if (c >= lot->lot->n_columns)
        return SQLITE_OK; /* a lot that is narrower: NULL */
    value = &cursor->row[c];
    if (UNLIKELY(value->kind != lot->columns->types.kinds[c] && value->kind != ROW_ANY))
        return give_misfit(lot, context, c, value);
    give_value(lot, context, c, value, false);
    return SQLITE_OK;
}

/* ---- the table ------------------------------------------------------------------------------- */

static int on_connect(sqlite3 *handle, void *arg, int argc, const char *const *argv,
                      sqlite3_vtab **ret_table, char **ret_error)
{
    AUTO(buf_deinit) Buf sql = { 0 };
    LotTable *table;
    int rc;

    (void) argc;
    (void) argv;
    (void) ret_error;
    buf_add_c(&sql, "CREATE TABLE lot (c0");
    for (int c = 1; c < LIMIT_ROW_COLUMNS; c++)
        buf_printf(&sql, ",c%d", c);
    buf_add(&sql, ")", 2);
    if (sql.is_failed)
        return SQLITE_NOMEM;
    rc = sqlite3_declare_vtab(handle, sql.data);
    if (rc != SQLITE_OK)
        return rc;
    (void) sqlite3_vtab_config(handle, SQLITE_VTAB_DIRECTONLY); /* older ones do without */
    table = mem_new(LotTable);
    table->lot = arg;
    *ret_table = &table->base;
    return SQLITE_OK;
}

static int on_disconnect(sqlite3_vtab *table)
{
    mem_free(table);
    return SQLITE_OK;
}

static int on_best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
    (void) table;
    info->estimatedCost = 1000;
    return SQLITE_OK;
}

static int on_open(sqlite3_vtab *table, sqlite3_vtab_cursor **ret_cursor)
{
    LotCursor *cursor = mem_new(LotCursor);

    cursor->lot = ((LotTable *) table)->lot;
    *ret_cursor = &cursor->base;
    return SQLITE_OK;
}

static int on_close(sqlite3_vtab_cursor *cursor)
{
    mem_free(cursor);
    return SQLITE_OK;
}

/* Without xCreate: it is there under the module's own name, and nowhere else. */
static const sqlite3_module lot_module = {
    .xConnect = on_connect,
    .xBestIndex = on_best_index,
    .xDisconnect = on_disconnect,
    .xOpen = on_open,
    .xClose = on_close,
    .xFilter = on_filter,
    .xNext = on_next,
    .xEof = on_eof,
    .xColumn = on_column,
    .xRowid = on_rowid,
};

int sqlite_lot_register(SqliteLot *lot, sqlite3 *handle)
{
    (void) snprintf(lot->name, sizeof(lot->name), "sluice_lot_%016llx",
                    (unsigned long long) rand_entropy());
    return sqlite3_create_module_v2(handle, lot->name, &lot_module, lot, NULL);
}

void sqlite_lot_deinit(SqliteLot *lot)
{
    buf_deinit(&lot->scratch);
}

void sqlite_lot_set(SqliteLot *lot, const FeedLot *rows, size_t from, size_t to)
{
    ASSERT(from <= to && to <= rows->n_rows);
    lot->lot = rows;
    lot->from = from;
    lot->to = to;
    lot->at = from;
    lot->is_refused = false;
}

size_t sqlite_lot_row(const SqliteLot *lot)
{
    return lot->at < lot->to ? lot->at : SIZE_MAX;
}
