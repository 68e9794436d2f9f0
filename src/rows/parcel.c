/*
 * Parcels, payloads and receipts: who keeps what alive, and who hears of the end.
 *
 *   receipt <--counts-- parcel --holds--> payload (bytes), shape (columns), mother (texts)
 *
 * A parcel that is let go by its last holder reports to its receipt, and the last parcel of a
 * sealed receipt makes it done. A parcel that was split among lanes (parcel_move_row) is the mother
 * of the pieces: they hold it, because their texts may lie in its batch.
 *
 * Invariants:
 *   I1  A row has one fate; the rows that parcel_compact takes out are counted under it.
 *   I2  receipt->parcels counts the parcels alive with it, and one more until it is sealed.
 *   I3  A receipt is done once, when parcels is 0.
 *   I4  What counts holders of payloads and receipts is atomic: a step that burns makes parcels of
 *       a delivery on the pool, while others of it end on the loop.
 */
#include "rows/parcel.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <stdio.h>

#define SMALL_VALUES 1024 /* 32 KiB */

/* ---- payloads -------------------------------------------------------------------------------- */

Payload *payload_take(Buf *buf)
{
    Payload *payload = mem_new(Payload);

    payload->refs = 1;
    payload->bytes = *buf;
    *buf = (Buf){ .max_bytes = buf->max_bytes };
    return payload;
}

Payload *payload_copy(Str bytes)
{
    Buf buf = { .max_bytes = bytes.len };

    buf_add_str(&buf, bytes);
    return payload_take(&buf);
}

Payload *payload_ref(Payload *payload)
{
    ASSERT(__atomic_fetch_add(&payload->refs, 1, __ATOMIC_RELAXED) > 0);
    return payload;
}

void payload_unref(Payload *payload)
{
    uint32_t left;

    if (!payload)
        return;
    left = __atomic_sub_fetch(&payload->refs, 1, __ATOMIC_ACQ_REL);
    ASSERT(left != UINT32_MAX);
    if (left > 0)
        return;
    buf_deinit(&payload->bytes);
    buf_deinit(&payload->head);
    mem_free(payload);
}

/* ---- receipts -------------------------------------------------------------------------------- */

Receipt *receipt_new(uint32_t source, Str origin, Str track)
{
    char *texts = mem_zalloc(sizeof(Receipt) + origin.len + track.len + 1);
    Receipt *receipt = (Receipt *) texts;

    texts += sizeof(Receipt);
    receipt->parcels = 1;
    receipt->source = source;
    if (origin.len > 0)
        memcpy(texts, origin.data, origin.len);
    receipt->origin = str_from(texts, origin.len);
    if (track.len > 0)
        memcpy(texts + origin.len, track.data, track.len);
    receipt->track = str_from(texts + origin.len, track.len);
    return receipt;
}

void receipt_free(Receipt *receipt)
{
    if (!receipt)
        return;
    ASSERT(receipt->parcels == 0); /* I2 */
    mem_free(receipt->refusals);
    mem_free(receipt);
}

static void receipt_count_down(Receipt *receipt)
{
    uint32_t left = __atomic_sub_fetch(&receipt->parcels, 1, __ATOMIC_ACQ_REL);

    ASSERT(left != UINT32_MAX); /* I2 */
    if (left > 0)
        return;
    if (receipt->on_done)
        receipt->on_done(receipt, receipt->ctx); /* I3; may have freed it */
    else
        receipt_free(receipt);
}

void receipt_seal(Receipt *receipt)
{
    receipt_count_down(receipt);
}

void receipt_hold(Receipt *receipt)
{
    ASSERT(__atomic_fetch_add(&receipt->parcels, 1, __ATOMIC_RELAXED) > 0);
}

void receipt_release(Receipt *receipt)
{
    receipt_count_down(receipt);
}

void receipt_refuse(Receipt *receipt, const Refusal *refusal)
{
    receipt->refused++;
    if (receipt->n_refusals == RECEIPT_REFUSALS)
        return;
    if (receipt->n_refusals % 8 == 0)
        receipt->refusals = mem_resize_array(receipt->refusals, receipt->n_refusals + 8,
                                             sizeof(receipt->refusals[0]));
    receipt->refusals[receipt->n_refusals++] = *refusal;
}

/* ---- life ------------------------------------------------------------------------------------ */

void parcel_pool_deinit(ParcelPool *pool)
{
    ListLink *link;

    while ((link = list_pop_front(&pool->free)) != NULL) {
        Parcel *parcel = LIST_ITEM(link, Parcel, link);

        row_batch_deinit(&parcel->rows);
        mem_free(parcel->places);
        mem_free(parcel->fates);
        mem_free(parcel->dead);
        mem_free(parcel);
    }
}

/* A parcel from the pool with its memory, or a new one, for rows of COLUMNS. */
static Parcel *take_or_make(ParcelPool *pool, const RowColumn *columns, size_t n_columns)
{
    ListLink *link = pool ? list_pop_front(&pool->free) : NULL;
    Parcel *parcel = link ? LIST_ITEM(link, Parcel, link) : mem_new(Parcel);

    if (parcel->rows.values && parcel->rows.n_columns == n_columns) {
        parcel->rows.columns = columns;
    } else {
        row_batch_deinit(&parcel->rows);
        row_batch_init(&parcel->rows, columns, n_columns);
    }
    return parcel;
}

static Parcel *begin(TAKES Parcel *parcel, Shape *shape, Receipt *receipt, Payload *payload)
{
    parcel->refs = 1;
    parcel->shape = shape_ref(shape);
    parcel->payload = payload ? payload_ref(payload) : NULL;
    parcel->receipt = receipt;
    if (receipt) {
        receipt_hold(receipt);
        parcel->arrived_ns = receipt->arrived_ns;
        parcel->received_ns = receipt->received_ns;
    }
    return parcel;
}

Parcel *parcel_new(ParcelPool *pool, Shape *shape, Receipt *receipt, Payload *payload)
{
    return begin(take_or_make(pool, shape_columns(shape), shape_width(shape)), shape, receipt,
                 payload);
}

Parcel *parcel_new_piece(ParcelPool *pool, Parcel *mother)
{
    Parcel *piece = begin(take_or_make(pool, mother->rows.columns, mother->rows.n_columns),
                          mother->shape, mother->receipt, mother->payload);

    piece->mother = parcel_ref(mother);
    piece->arrived_ns = mother->arrived_ns;
    piece->received_ns = mother->received_ns;
    piece->is_replay = mother->is_replay;
    piece->spill = mother->spill;
    return piece;
}

Parcel *parcel_ref(Parcel *parcel)
{
    ASSERT(parcel->refs > 0);
    parcel->refs++;
    return parcel;
}

/* Let go of what it holds; memory that can be used again stays. */
static void parcel_empty(ParcelPool *pool, Parcel *parcel)
{
    for (size_t i = 0; i < parcel->n_dead; i++)
        buf_deinit(&parcel->dead[i].values);
    row_batch_reset(&parcel->rows);
    payload_unref(parcel->payload);
    shape_unref(parcel->shape);
    if (parcel->mother)
        parcel_free(pool, parcel->mother);
}

/* Small parcels, which come by the hundred when each request brings a row, are kept in larger
 * numbers. */
static bool is_kept(const ParcelPool *pool, const Parcel *parcel)
{
    size_t most = parcel->rows.cap_rows * parcel->rows.n_columns <= SMALL_VALUES
                      ? LIMIT_PARCELS_SMALL_KEPT
                      : LIMIT_PARCELS_KEPT;

    return pool && pool->free.len < most;
}

void parcel_free(ParcelPool *pool, Parcel *parcel)
{
    Receipt *receipt;

    if (!parcel)
        return;
    ASSERT(parcel->refs > 0);
    if (--parcel->refs > 0)
        return;
    ASSERT(!list_is_linked(&parcel->link));
    receipt = parcel->receipt;
    if (receipt)
        receipt->dropped += parcel->dropped;
    parcel_empty(pool, parcel);
    if (is_kept(pool, parcel)) {
        *parcel = (Parcel){ .rows = parcel->rows,
                            .places = parcel->places,
                            .fates = parcel->fates,
                            .cap_places = parcel->cap_places,
                            .dead = parcel->dead,
                            .cap_dead = parcel->cap_dead };
        list_push_front(&pool->free, &parcel->link);
    } else {
        row_batch_deinit(&parcel->rows);
        mem_free(parcel->places);
        mem_free(parcel->fates);
        mem_free(parcel->dead);
        mem_free(parcel);
    }
    if (receipt)
        receipt_count_down(receipt);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void grow_places(Parcel *parcel)
{
    size_t cap = parcel->rows.cap_rows;

    parcel->places = mem_resize_array(parcel->places, cap, sizeof(parcel->places[0]));
    parcel->fates = mem_resize_array(parcel->fates, cap, sizeof(parcel->fates[0]));
    parcel->cap_places = cap;
}

RowValue *parcel_add(Parcel *parcel, const RowPlace *place)
{
    RowValue *row = row_batch_add(&parcel->rows);
    size_t index = parcel->rows.n_rows - 1;

    if (!row)
        return NULL;
    if (index >= parcel->cap_places)
        grow_places(parcel);
    parcel->places[index] = *place;
    parcel->fates[index] = FATE_OPEN;
    parcel->bytes += place->len + parcel->rows.n_columns * sizeof(RowValue);
    if (place->position > parcel->end_position)
        parcel->end_position = place->position;
    if (parcel->receipt)
        parcel->receipt->rows++;
    return row;
}

size_t parcel_count(const Parcel *parcel)
{
    return parcel->rows.n_rows;
}

RowValue *parcel_row(Parcel *parcel, size_t index)
{
    ASSERT(index < parcel->rows.n_rows);
    return parcel->rows.values + index * parcel->rows.n_columns;
}

Str parcel_bytes_of(const Parcel *parcel, size_t index)
{
    const RowPlace *place = &parcel->places[index];

    ASSERT(index < parcel->rows.n_rows);
    if (!parcel->payload || place->len == 0)
        return (Str){ 0 };
    return str_sub(buf_str(&parcel->payload->bytes), place->offset, place->len);
}

Str parcel_copy_text(Parcel *parcel, Str text)
{
    parcel->bytes += text.len;
    return row_batch_copy(&parcel->rows, text);
}

bool parcel_move_row(Parcel *to, Parcel *from, size_t index)
{
    ASSERT(from->fates[index] == FATE_OPEN);
    return parcel_copy_row(to, from, index);
}

bool parcel_copy_row(Parcel *to, Parcel *from, size_t index)
{
    RowValue *row;

    ASSERT(to->shape == from->shape && to->rows.n_columns == from->rows.n_columns);
    ASSERT(to->mother == from);
    row = parcel_add(to, &from->places[index]);
    if (!row)
        return false;
    if (to->receipt)
        to->receipt->rows--; /* it was counted with FROM */
    memcpy(row, parcel_row(from, index), from->rows.n_columns * sizeof(RowValue));
    return true;
}

/* ---- fates ----------------------------------------------------------------------------------- */

/* Note down row INDEX among the dead. What is over the limit is counted, and loses its bytes. */
static void keep_dead(Parcel *parcel, size_t index, const Refusal *why)
{
    DeadRow *dead;

    if (parcel->n_dead == LIMIT_PARCEL_DEAD_ROWS)
        return;
    if (parcel->n_dead == parcel->cap_dead) {
        parcel->cap_dead = MAX(2 * parcel->cap_dead, (size_t) 4);
        parcel->dead = mem_resize_array(parcel->dead, parcel->cap_dead, sizeof(parcel->dead[0]));
    }
    dead = &parcel->dead[parcel->n_dead++];
    *dead = (DeadRow){ .place = parcel->places[index], .why = *why, .attempts = 1 };
    if (parcel_bytes_of(parcel, index).len == 0)
        row_format_json(&dead->values, &parcel->rows, index);
}

void parcel_refuse_as(Parcel *parcel, size_t index, const Refusal *why)
{
    ASSERT(index < parcel->rows.n_rows && parcel->fates[index] == FATE_OPEN); /* I1 */
    parcel->fates[index] = FATE_DEAD;
    keep_dead(parcel, index, why);
}

void parcel_report(Parcel *parcel)
{
    for (size_t i = 0; parcel->receipt && i < parcel->n_dead; i++)
        receipt_refuse(parcel->receipt, &parcel->dead[i].why);
    for (size_t i = 0; i < parcel->n_dead; i++)
        buf_deinit(&parcel->dead[i].values);
    parcel->n_dead = 0;
}

void parcel_refuse(Parcel *parcel, size_t index, const char *stage, const char *code,
                   const char *fmt, ...)
{
    Refusal why = { .line = parcel->places[index].line,
                    .offset = parcel->places[index].offset,
                    .stage = stage };
    va_list args;

    (void) snprintf(why.code, sizeof(why.code), "%s", code);
    va_start(args, fmt);
    (void) vsnprintf(why.text, sizeof(why.text), fmt, args);
    va_end(args);
    why.text[str_cut_utf8(str_from_c(why.text), sizeof(why.text) - 1).len] = '\0';
    parcel_refuse_as(parcel, index, &why);
}

void parcel_end_row(Parcel *parcel, size_t index, RowFate fate)
{
    ASSERT(index < parcel->rows.n_rows && parcel->fates[index] == FATE_OPEN); /* I1 */
    ASSERT(fate == FATE_FILTERED || fate == FATE_DROPPED);
    parcel->fates[index] = (uint8_t) fate;
}

/* The first row that is not open; the number of rows when all are. */
static size_t first_ended(const Parcel *parcel)
{
    size_t n = parcel->rows.n_rows;

    for (size_t i = 0; i < n; i++) {
        if (parcel->fates[i] != FATE_OPEN)
            return i;
    }
    return n;
}

static void count_fate(Parcel *parcel, RowFate fate)
{
    switch (fate) {
    case FATE_FILTERED: parcel->filtered++; return;
    case FATE_DROPPED: parcel->dropped++; return;
    case FATE_DEAD: parcel->refused++; return;
    case FATE_OPEN:
    case FATE_WRITTEN: break;
    }
    UNREACHABLE("a row that is taken out has ended");
}

void parcel_compact(Parcel *parcel)
{
    size_t n = parcel->rows.n_rows, width = parcel->rows.n_columns;
    size_t to = first_ended(parcel);

    for (size_t from = to; from < n; from++) {
        if (parcel->fates[from] != FATE_OPEN) {
            count_fate(parcel, parcel->fates[from]);
            continue;
        }
        memcpy(parcel->rows.values + to * width, parcel->rows.values + from * width,
               width * sizeof(RowValue));
        parcel->places[to] = parcel->places[from];
        parcel->fates[to] = FATE_OPEN;
        to++;
    }
    parcel->rows.n_rows = to;
}

/* ---- other columns --------------------------------------------------------------------------- */

/* Put the values of row OLD, WAS of them, where WIDTH new ones stand. ROW is room for the old ones.
 * */
static void move_values(RowValue *to, const RowValue *old, size_t was, RowValue *row,
                        const size_t *from, size_t width)
{
    memcpy(row, old, was * sizeof(row[0]));
    for (size_t c = 0; c < width; c++)
        to[c] = from[c] == SHAPE_NONE ? row_null() : row[from[c]];
}

/* Rows that become wider move from the last on, others from the first: each is read before what is
 * written gets there. */
static void move_rows(RowBatch *rows, const size_t *from, size_t width)
{
    size_t was = rows->n_columns, n = rows->n_rows;
    RowValue *row = mem_new_array(RowValue, was);

    if (n * width > rows->cap_rows * was) {
        rows->values = mem_resize_array(rows->values, n * width, sizeof(row[0]));
        rows->cap_rows = n;
    } else {
        rows->cap_rows = rows->cap_rows * was / width;
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = width > was ? n - 1 - i : i;

        move_values(rows->values + at * width, rows->values + at * was, was, row, from, width);
    }
    mem_free(row);
}

/* Whether the rows stay as they are. */
static bool is_as_it_was(const size_t *from, size_t width, size_t was)
{
    for (size_t c = 0; c < width; c++) {
        if (from[c] != c)
            return false;
    }
    return width == was;
}

void parcel_reshape(Parcel *parcel, Shape *shape, const size_t *from)
{
    size_t width = shape_width(shape);

    ASSERT(width > 0);
    if (!is_as_it_was(from, width, parcel->rows.n_columns))
        move_rows(&parcel->rows, from, width);
    parcel->rows.n_columns = width;
    parcel->rows.columns = shape_columns(shape);
    (void) shape_ref(shape);
    shape_unref(parcel->shape);
    parcel->shape = shape;
}
