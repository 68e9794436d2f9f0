/*
 * The fates of a lot's rows: dead letters for those that the sink does not take, and the end of the
 * portions when it has the others.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "pipeline/lot.h"

#include <stdio.h>

#define NAME_SHOWN 64 /* bytes of a column's name in a message */

/* ---- fates ----------------------------------------------------------------------------------- */

/* The row at INDEX of all that was taken for the lot. */
static Parcel *row_of_lot(const Writer *writer, size_t index, size_t *ret_row)
{
    for (size_t i = 0; i < writer->n_runs; i++) {
        const LotRun *run = &writer->runs[i];

        if (index < run->n) {
            *ret_row = portion_row(run->portion, run->from + (uint32_t) index);
            return run->portion->parcel;
        }
        index -= run->n;
    }
    UNREACHABLE("a row of the lot is in one of its runs");
}

/* Rows of the lot that become dead letters. */
typedef struct Burial {
    DeadRow *dead;   /* owned, with what is in them */
    DeadItem *items; /* of these; owned */
    size_t *indexes; /* of the rows, among all that was taken; owned */
    size_t n;
} Burial;

static void burial_init(Burial *burial, size_t cap)
{
    burial->dead = mem_new_array(DeadRow, cap);
    burial->items = mem_new_array(DeadItem, cap);
    burial->indexes = mem_new_array(size_t, cap);
    burial->n = 0;
}

static void burial_deinit(Burial *burial)
{
    for (size_t i = 0; i < burial->n; i++)
        buf_deinit(&burial->dead[i].values);
    mem_free(burial->dead);
    mem_free(burial->items);
    mem_free(burial->indexes);
}

/* The row at INDEX of all that was taken is refused with CODE. Returns room for the words. */
static Refusal *burial_add(Burial *burial, const Writer *writer, size_t index, const char *code)
{
    DeadRow *dead = &burial->dead[burial->n];
    size_t row;
    Parcel *parcel = row_of_lot(writer, index, &row);

    *dead = (DeadRow){ .place = parcel->places[row], .attempts = 1 };
    dead->why =
        (Refusal){ .line = dead->place.line, .offset = dead->place.offset, .stage = "write" };
    (void) snprintf(dead->why.code, sizeof(dead->why.code), "%s", code);
    if (parcel_bytes_of(parcel, row).len == 0)
        row_format_json(&dead->values, &parcel->rows, row);
    burial->items[burial->n] = (DeadItem){ .parcel = parcel, .row = dead };
    burial->indexes[burial->n++] = index;
    return &dead->why;
}

/* The dead letter is durable: the row has its fate, the receipt hears of it. */
static void mark_dead(Writer *writer, size_t index, const DeadRow *dead)
{
    const RowValue **taken = &writer->run_rows[index];
    size_t row;
    Parcel *parcel = row_of_lot(writer, index, &row);
    bool is_told = parcel->fates[row] == FATE_DEAD; /* by another sink */

    if (!*taken) /* the commit is tried again */
        return;
    if (parcel->fates[row] != FATE_WRITTEN)
        parcel->fates[row] = FATE_DEAD;
    writer->errors++;
    *taken = NULL;
    if (parcel->receipt && !is_told)
        receipt_refuse(parcel->receipt, &dead->why);
}

SUSPENDS static int bury(Writer *writer, const Burial *burial)
{
    int r = dead_write(writer->pipeline, burial->items, burial->n);

    for (size_t i = 0; i < burial->n && r == 0; i++)
        mark_dead(writer, burial->indexes[i], &burial->dead[i]);
    return r;
}

SUSPENDS int lot_bury_refused(Writer *writer)
{
    const FeedVerdict *verdict = &writer->verdict;
    Burial burial;
    int r;

    burial_init(&burial, verdict->n_refused);
    for (size_t i = 0; i < verdict->n_refused; i++) {
        const FeedRefusal *refusal = &verdict->refused[i];
        Refusal *why = burial_add(&burial, writer, writer->lot_index[refusal->row], refusal->code);

        (void) snprintf(why->text, sizeof(why->text), "%s", refusal->text);
    }
    r = bury(writer, &burial);
    burial_deinit(&burial);
    return r;
}

/* The first column of the row at INDEX that the sink has no room for; without any, the first. */
static Str column_outside(const Writer *writer, size_t index)
{
    size_t row;
    Parcel *parcel = row_of_lot(writer, index, &row);
    const RowValue *values = parcel_row(parcel, row);

    for (size_t c = 0; c < parcel->rows.n_columns; c++) {
        Str name = parcel->rows.columns[c].name;

        if (values[c].kind != ROW_ANY && shape_find(writer->shape, name, c) == SHAPE_NONE)
            return name;
    }
    return parcel->rows.columns[0].name;
}

/* The row at INDEX, which is outside: why, for BURIAL. */
static void bury_outside(const Writer *writer, size_t index, Burial *burial)
{
    const char *table_fault = writer->fault, *fault = NULL, *code = "table_name";
    Str name = writer->feed_table;
    Refusal *why;

    if (!table_fault) {
        name = column_outside(writer, index);
        fault = feed_column_fault(&writer->sink->spec, name);
        code = fault ? "column_name" : "too_many_columns";
    }
    name = str_cut_utf8(name, NAME_SHOWN);
    why = burial_add(burial, writer, index, code);
    if (table_fault || fault)
        (void) snprintf(why->text, sizeof(why->text), "the %s %.*s cannot be made: its name %s",
                        table_fault ? "table" : "column", (int) name.len, name.data,
                        table_fault ? table_fault : fault);
    else
        (void) snprintf(why->text, sizeof(why->text),
                        "column %.*s would be one more than the %d that a sink may have",
                        (int) name.len, name.data, LIMIT_SHAPE_COLUMNS);
}

SUSPENDS int lot_bury_outside(Writer *writer)
{
    Burial burial;
    int r;

    if (LIKELY(writer->n_outside == 0))
        return 0;
    burial_init(&burial, writer->n_outside);
    for (size_t i = 0; i < writer->n_outside; i++)
        bury_outside(writer, writer->outside[i], &burial);
    r = bury(writer, &burial);
    burial_deinit(&burial);
    return r;
}

SUSPENDS int lot_wait_letters(Writer *writer)
{
    int r = 0;

    for (size_t i = 0; i < writer->n_runs && r == 0; i++) {
        while (r == 0 && writer->runs[i].portion->parcel->n_dead > 0)
            r = sl_cond_wait(&writer->pipeline->quiet);
    }
    return r;
}

void portion_free(Portion *portion)
{
    mem_free(portion->picks);
    mem_free(portion);
}

void portion_end(Writer *writer, Portion *portion)
{
    Parcel *parcel = portion->parcel;

    writer->line.rows -= portion->n;
    writer->line.bytes -= parcel->bytes;
    writer->line.fresh -= !is_of_spill(writer, parcel);
    writer->line.awaited -= parcel->receipt && parcel->receipt->is_awaited;
    portion_free(portion);
    parcel_answer(writer->pipeline, parcel);
}

void lot_account(Writer *writer)
{
    size_t index = 0;

    for (size_t i = 0; i < writer->n_runs; i++) {
        const LotRun *run = &writer->runs[i];
        Parcel *parcel = run->portion->parcel;

        for (uint32_t k = 0; k < run->n; k++, index++) {
            if (!writer->run_rows[index])
                continue;
            parcel->fates[portion_row(run->portion, run->from + k)] = FATE_WRITTEN;
            writer->rows_out++;
        }
        if (run->ends)
            portion_end(writer, run->portion);
    }
    writer->n_runs = 0;
    sl_cond_wake_all(&writer->line.room);
}
