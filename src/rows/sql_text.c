/*
 * Pieces of SQL; see the header.
 */
#include "rows/sql_text.h"

#include "base/err.h"

void sql_add_name(Buf *out, Str name)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '"')
            buf_add_char(out, '"');
        buf_add_char(out, name.data[i]);
    }
    buf_add_char(out, '"');
}

Str sql_add_table_name(Buf *out, Str table)
{
    Str rest, first = str_cut(table, '.', &rest);

    if (rest.len > 0) {
        sql_add_name(out, first);
        buf_add_char(out, '.');
        first = rest;
    }
    sql_add_name(out, first);
    return first;
}

void sql_add_columns(Buf *out, const RowColumn *columns, size_t n_columns)
{
    for (size_t c = 0; c < n_columns; c++) {
        if (c > 0)
            buf_add_c(out, ", ");
        sql_add_name(out, columns[c].name);
    }
}

void sql_add_keys(Buf *out, const SinkSpec *spec)
{
    for (size_t k = 0; k < spec->n_keys; k++) {
        if (k > 0)
            buf_add_c(out, ", ");
        sql_add_name(out, spec->keys[k]);
    }
}

bool sql_is_key(const SinkSpec *spec, Str name)
{
    for (size_t k = 0; k < spec->n_keys; k++) {
        if (str_eq(spec->keys[k], name))
            return true;
    }
    return false;
}

void sql_add_on_conflict(Buf *out, const SinkSpec *spec, const RowColumn *columns, size_t n_columns)
{
    bool is_first = true;

    buf_add_c(out, " ON CONFLICT (");
    sql_add_keys(out, spec);
    buf_add_c(out, ") DO ");
    for (size_t c = 0; c < n_columns; c++) {
        if (sql_is_key(spec, columns[c].name))
            continue;
        buf_add_c(out, is_first ? "UPDATE SET " : ", ");
        sql_add_name(out, columns[c].name);
        buf_add_c(out, " = excluded.");
        sql_add_name(out, columns[c].name);
        is_first = false;
    }
    if (is_first)
        buf_add_c(out, "NOTHING");
}

int sql_refuse_columns(const SinkSpec *spec, Str missing)
{
    return fail(-ERR_CONFLICT,
                "the table %.*s is there and has no column %.*s; add it with ALTER TABLE, write to "
                "another table, or use mode=replace",
                (int) spec->table.len, spec->table.data, (int) missing.len, missing.data);
}
