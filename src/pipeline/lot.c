/*
 * Lots: rows of many portions, taken from the front of a line into the sink's columns.
 *
 * A lot has the sink's columns: those of the shapes that came so far. Rows whose columns are just
 * these are delivered from where they lie; others are copied into order. A sink has at most
 * LIMIT_SHAPE_COLUMNS of them: a row with a value in a further one is kept apart (`n_outside`), and
 * becomes a dead letter before the lot is delivered; its neighbours go in. So does a row with a
 * value in a column, or for a table, of a name that the sink cannot have.
 *
 * With the rows of each lot goes a note of how far every track is, so that a sink that keeps marks
 * knows what it has (P5). Rows that it had before this process started are not written again. A
 * stretch, which is all that came of one parcel of a source, is in one lot of such a sink whole.
 */
#include "pipeline/lot.h"

#include "base/assert.h"
#include "base/macro.h"

/* ---- columns --------------------------------------------------------------------------------- */

/* How rows of a shape become rows of the sink. */
typedef struct ColumnMap {
    bool is_same;      /* nothing to do */
    bool has_conflict; /* a column is of another kind there */
    size_t width;      /* of the sink's shape, when it was made */
    size_t *from;      /* for each column of the sink: which, or SHAPE_NONE */
    size_t *outside;   /* columns of the rows that the sink has no room for */
    size_t n_outside;
    size_t from_storage[]; /* behind it, of both */
} ColumnMap;

/* Widen the sink's columns by those of PARCEL, as far as there is room. */
static void add_columns(Writer *writer, const Parcel *parcel)
{
    for (size_t c = 0; c < parcel->rows.n_columns; c++) {
        const RowColumn *column = &parcel->rows.columns[c];
        size_t index = shape_find(writer->shape, column->name, c);

        if (index != SHAPE_NONE || feed_column_fault(&writer->sink->spec, column->name))
            continue;
        if (shape_width(writer->shape) >= LIMIT_SHAPE_COLUMNS)
            return; /* make_map finds what is outside */
        if (shape_add(writer->shape, column->name, column->kind, column->unit, &index) < 0)
            UNREACHABLE("there is room, and no column of that name");
    }
}

static ColumnMap *make_map(const Writer *writer, const Parcel *parcel)
{
    size_t width = shape_width(writer->shape);
    const RowColumn *columns = shape_columns(writer->shape);
    size_t n = parcel->rows.n_columns;
    ColumnMap *map = mem_zalloc(sizeof(*map) + (width + n) * sizeof(size_t));

    map->width = width;
    map->from = map->from_storage;
    map->outside = map->from_storage + width;
    for (size_t c = 0; c < n; c++) {
        if (shape_find(writer->shape, parcel->rows.columns[c].name, c) == SHAPE_NONE)
            map->outside[map->n_outside++] = c;
    }
    map->is_same = width == n;
    for (size_t c = 0; c < width; c++) {
        size_t from = shape_find(parcel->shape, columns[c].name, c);

        map->from[c] = from < n ? from : SHAPE_NONE;
        map->is_same = map->is_same && from == c;
        if (map->from[c] != SHAPE_NONE && parcel->rows.columns[from].kind != columns[c].kind)
            map->has_conflict = true;
    }
    map->is_same = map->is_same && !map->has_conflict;
    return map;
}

static const ColumnMap *find_map(Writer *writer, const Parcel *parcel)
{
    ColumnMap *map = step_cache_find(writer->maps, WRITER_CACHES, parcel);

    if (!map || map->width != shape_width(writer->shape)) {
        add_columns(writer, parcel);
        map = make_map(writer, parcel);
        step_cache_put(writer->maps, WRITER_CACHES, parcel, map, mem_free);
    }
    return map;
}

/* Whether ROW has a value in a column that the sink has no room for, or no other columns. */
static bool is_outside(const ColumnMap *map, const RowValue *row)
{
    if (map->width == 0)
        return true;
    for (size_t i = 0; i < map->n_outside; i++) {
        if (row[map->outside[i]].kind != ROW_ANY)
            return true;
    }
    return false;
}

/* VALUE for a column of KIND, which is another than it came with: integers into numbers; anything
 * else goes as it is, and the sink says what it thinks of it. */
static RowValue cast(RowValue value, RowKind kind)
{
    if (kind == ROW_REAL && value.kind == ROW_INT)
        return row_real((double) value.integer, (Str){ 0 });
    return value;
}

/* ROW in the sink's columns. */
static const RowValue *copy_row(Writer *writer, const ColumnMap *map, const RowValue *row)
{
    RowValue *copy = writer->copies + writer->n_copies * map->width;
    const RowColumn *columns = shape_columns(writer->shape);

    ASSERT(writer->n_copies < writer->cap_copies);
    writer->n_copies++;
    for (size_t c = 0; c < map->width; c++) {
        copy[c] = map->from[c] == SHAPE_NONE ? row_null() : row[map->from[c]];
        if (map->has_conflict)
            copy[c] = cast(copy[c], columns[c].kind);
    }
    return copy;
}

/* ---- a lot ----------------------------------------------------------------------------------- */

static bool is_repeat(const Writer *writer, const Parcel *parcel, size_t index)
{
    uint64_t position = parcel->places[index].position;

    if (!writer->has_before || position == 0 || !parcel->receipt)
        return false;
    return position <= tracks_get(&writer->before, parcel->receipt->track);
}

static uint64_t position_of(const Portion *portion, uint32_t i)
{
    return portion->parcel->places[portion_row(portion, i)].position;
}

/* How many of the next N rows of PORTION may end a lot: rows that a step made of one have one
 * position, and the note of a lot may not lie between them. */
static size_t cut_between_positions(const Portion *portion, size_t n)
{
    uint32_t end = portion->next + (uint32_t) n;

    while (end > portion->next && end < portion->n && position_of(portion, end) > 0 &&
           position_of(portion, end) == position_of(portion, end - 1))
        end--;
    return end > portion->next ? end - portion->next : n;
}

/* Where the row at INDEX of PARCEL lies for the lot; NULL when the sink has it already. */
static const RowValue *take_row(Writer *writer, const ColumnMap *map, Parcel *parcel, size_t index,
                                size_t in_lot)
{
    const RowValue *row = parcel_row(parcel, index);

    if (is_repeat(writer, parcel, index)) {
        if (parcel->fates[index] == FATE_OPEN || parcel->fates[index] > FATE_WRITTEN)
            parcel->fates[index] = FATE_DROPPED;
        return NULL;
    }
    if (writer->fault || (map->n_outside > 0 && is_outside(map, row))) {
        writer->outside[writer->n_outside++] = (uint32_t) in_lot;
        return row;
    }
    return map->is_same ? row : copy_row(writer, map, row);
}

/* Put rows of PORTION into the lot, as many as fit. */
static void add_portion(Writer *writer, Portion *portion, FeedLot *lot, size_t *bytes)
{
    Parcel *parcel = portion->parcel;
    LotRun *run = &writer->runs[writer->n_runs++];
    size_t room = writer->lot_rows - lot->n_rows;
    size_t n = cut_between_positions(portion, MIN(room, (size_t) (portion->n - portion->next)));
    const ColumnMap *map = portion->n > 0 ? find_map(writer, parcel) : NULL;

    *run = (LotRun){ .portion = portion, .from = portion->next, .n = (uint32_t) n };
    for (size_t i = 0; i < n; i++) {
        size_t index = portion_row(portion, portion->next + (uint32_t) i);

        writer->run_rows[lot->n_rows + i] = take_row(writer, map, parcel, index, lot->n_rows + i);
    }
    portion->next += (uint32_t) n;
    run->ends = portion->next == portion->n;
    lot->n_rows += n;
    *bytes += portion->n > 0 ? parcel->bytes * n / portion->n : 0;
}

/* Widen the sink's columns by those of everything that waits for this lot, so that its rows have
 * one width. */
static void prepare_columns(Writer *writer)
{
    size_t rows = 0;

    list_each(&writer->line.portions, link) {
        Portion *portion = LIST_ITEM(link, Portion, link);

        if (rows >= writer->lot_rows)
            break;
        if (portion->n > 0)
            (void) find_map(writer, portion->parcel); /* it is kept */
        rows += portion->n - portion->next;
    }
}

static void reserve_copies(Writer *writer)
{
    size_t width = shape_width(writer->shape);
    size_t need = writer->lot_rows * MAX(width, (size_t) 1);

    if (need > writer->cap_copy_values) {
        writer->copies = mem_resize_array(writer->copies, need, sizeof(writer->copies[0]));
        writer->cap_copy_values = need;
    }
    writer->cap_copies = writer->lot_rows;
    writer->n_copies = 0;
}

void lot_pack(Writer *writer, FeedLot *lot)
{
    size_t n = 0;

    for (size_t i = 0; i < lot->n_rows; i++) {
        if (!writer->run_rows[i])
            continue;
        writer->rows[n] = writer->run_rows[i];
        writer->lot_index[n] = (uint32_t) i;
        n++;
    }
    lot->n_rows = n;
}

/* How far the tracks are with this lot. Parcels that had no row for the sink are passed when
 * nothing is left in the line that came before them. */
static void note_tracks(Writer *writer)
{
    for (size_t i = 0; i < writer->n_runs; i++) {
        const LotRun *run = &writer->runs[i];
        const Parcel *parcel = run->portion->parcel;
        uint64_t position = parcel->end_position;

        if (position == 0 || !parcel->receipt || parcel->receipt->track.len == 0)
            continue;
        if (!run->ends && run->n > 0)
            position = parcel->places[portion_row(run->portion, run->from + run->n - 1)].position;
        tracks_raise(&writer->tracks, parcel->receipt->track, position);
    }
    if (list_is_empty(&writer->line.portions)) {
        tracks_raise_all(&writer->tracks, &writer->passed);
        tracks_deinit(&writer->passed);
    }
}

/* ---- stretches ------------------------------------------------------------------------------- */

/* The portions at the front of the line that came of one parcel of a source: they share a voucher,
 * and their rows are not in the order of their positions. A sink without marks does not mind. */
static size_t measure_stretch(const Writer *writer, size_t *ret_rows)
{
    bool is_exact = writer->feed && feed_is_exact(writer->feed);
    const Voucher *voucher = NULL;
    size_t n = 0;

    *ret_rows = 0;
    list_each(&writer->line.portions, link) {
        const Portion *portion = LIST_ITEM(link, Portion, link);

        if (n > 0 && (!is_exact || !voucher || portion->parcel->voucher != voucher))
            break;
        voucher = portion->parcel->voucher;
        *ret_rows += portion->n - portion->next;
        n++;
    }
    return n;
}

static void reserve_rows(Writer *writer, size_t rows)
{
    if (rows <= writer->cap_runs)
        return;
    writer->rows = mem_resize_array(writer->rows, rows, sizeof(writer->rows[0]));
    writer->run_rows = mem_resize_array(writer->run_rows, rows, sizeof(writer->run_rows[0]));
    writer->lot_index = mem_resize_array(writer->lot_index, rows, sizeof(writer->lot_index[0]));
    writer->outside = mem_resize_array(writer->outside, rows, sizeof(writer->outside[0]));
    writer->runs = mem_resize_array(writer->runs, rows, sizeof(writer->runs[0]));
    writer->cap_runs = rows;
}

/* A lot is as large as the sink wants it, or as the stretch that it begins with. */
static void choose_lot_rows(Writer *writer)
{
    size_t rows, portions = measure_stretch(writer, &rows);

    writer->lot_rows = (size_t) writer->sink->batch.rows;
    if (portions > 1)
        writer->lot_rows = MAX(writer->lot_rows, rows);
    reserve_rows(writer, MAX(writer->lot_rows, portions));
}

/* Whether what is at the front of the line goes into the lot: all of a stretch of several parcels,
 * or nothing. Its note is one position, and their rows would lie on both sides of it. */
static bool fits_lot(const Writer *writer, const FeedLot *lot, size_t bytes)
{
    const Portion *first = LIST_ITEM(writer->line.portions.first, Portion, link);
    const Voucher *voucher = first->parcel->voucher;
    size_t rows, portions;

    if (writer->n_runs > 0 && voucher && writer->feed && feed_is_exact(writer->feed) &&
        writer->runs[writer->n_runs - 1].portion->parcel->voucher == voucher)
        return true;
    if (lot->n_rows >= writer->lot_rows || bytes >= (size_t) writer->sink->batch.bytes)
        return false;
    portions = measure_stretch(writer, &rows);
    return writer->n_runs + portions <= writer->cap_runs &&
           (portions == 1 || lot->n_rows + rows <= writer->lot_rows);
}

int lot_take(Writer *writer, FeedLot *lot, Buf *note)
{
    size_t bytes = 0;

    *lot = (FeedLot){ 0 };
    writer->n_runs = writer->n_outside = 0;
    choose_lot_rows(writer);
    prepare_columns(writer);
    reserve_copies(writer);
    while (writer->line.portions.first && fits_lot(writer, lot, bytes)) {
        Portion *portion = LIST_ITEM(writer->line.portions.first, Portion, link);

        add_portion(writer, portion, lot, &bytes);
        if (portion->next < portion->n)
            break; /* it ends here */
        list_remove(&portion->link);
    }
    note_tracks(writer);
    if (tracks_count(&writer->tracks) > 0)
        tracks_format(&writer->tracks, note);
    lot->columns = shape_columns(writer->shape);
    lot->n_columns = shape_width(writer->shape);
    lot->rows = writer->rows;
    lot->mark = writer->mark + 1;
    lot->note = buf_str(note);
    return buf_check(note);
}
