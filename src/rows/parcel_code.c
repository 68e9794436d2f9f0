/*
 * Parcels to bytes and back; the form is drawn in the header.
 */
#include "rows/parcel_code.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#define CODE_VERSION 2
#define CODE_OLDEST  1 /* that is read */
#define KINDS        (ROW_JSON + 1)

/* ---- to bytes -------------------------------------------------------------------------------- */

static void add_u8(Buf *out, uint8_t value)
{
    buf_add(out, &value, sizeof(value));
}

static void add_u32(Buf *out, uint32_t value)
{
    buf_add(out, &value, sizeof(value));
}

static void add_u64(Buf *out, uint64_t value)
{
    buf_add(out, &value, sizeof(value));
}

static void add_text(Buf *out, Str text)
{
    add_u32(out, (uint32_t) text.len);
    buf_add(out, text.data, text.len);
}

static void add_value(Buf *out, const RowValue *value)
{
    add_u8(out, (uint8_t) value->kind);
    switch (value->kind) {
    case ROW_ANY: add_u8(out, (uint8_t) value->gap); return;
    case ROW_BOOL: add_u8(out, value->boolean); return;
    case ROW_INT:
    case ROW_TIME: add_u64(out, (uint64_t) value->integer); return;
    case ROW_REAL:
        buf_add(out, &value->real, sizeof(value->real));
        add_text(out, value->text);
        return;
    case ROW_TEXT:
    case ROW_JSON: add_text(out, value->text); return;
    }
    UNREACHABLE("all kinds are above");
}

static void add_row(Buf *out, const Parcel *parcel, size_t index)
{
    const RowValue *row = row_batch_row(&parcel->rows, index);
    const RowPlace *place = &parcel->places[index];

    ASSERT(parcel->fates[index] == FATE_OPEN);
    add_u64(out, place->line);
    add_u64(out, place->position);
    add_text(out, parcel_bytes_of(parcel, index));
    for (size_t c = 0; c < parcel->rows.n_columns; c++)
        add_value(out, &row[c]);
}

void parcel_encode(const Parcel *parcel, Buf *out)
{
    const Receipt *receipt = parcel->receipt;
    const Payload *payload = parcel->payload;

    add_u8(out, CODE_VERSION);
    add_u32(out, (uint32_t) parcel->rows.n_rows);
    add_u32(out, (uint32_t) parcel->rows.n_columns);
    add_u32(out, receipt ? receipt->source : 0);
    add_u64(out, (uint64_t) parcel->received_ns);
    add_u64(out, parcel->end_position);
    add_u8(out, payload ? payload->format : 0);
    add_u32(out, receipt ? receipt->attempts : 0);
    add_u32(out, parcel->shadows);
    add_text(out, payload ? buf_str(&payload->head) : (Str){ 0 });
    add_text(out, receipt ? receipt->first_source : (Str){ 0 });
    add_text(out, receipt ? receipt->track : (Str){ 0 });
    add_text(out, receipt ? receipt->origin : (Str){ 0 });
    add_text(out, shape_name(parcel->shape));
    for (size_t c = 0; c < parcel->rows.n_columns; c++) {
        add_u8(out, (uint8_t) parcel->rows.columns[c].kind);
        add_text(out, parcel->rows.columns[c].name);
        add_text(out, parcel->rows.columns[c].unit);
    }
    for (size_t i = 0; i < parcel->rows.n_rows; i++)
        add_row(out, parcel, i);
}

/* ---- from bytes ------------------------------------------------------------------------------ */

typedef struct Reader {
    const char *start; /* of the payload: offsets of places count from here */
    const char *at;
    const char *end;
    bool is_bad;
} Reader;

static void take(Reader *reader, void *out, size_t len)
{
    if (reader->is_bad || (size_t) (reader->end - reader->at) < len) {
        reader->is_bad = true;
        memset(out, 0, len);
        return;
    }
    memcpy(out, reader->at, len);
    reader->at += len;
}

static uint8_t take_u8(Reader *reader)
{
    uint8_t value;

    take(reader, &value, sizeof(value));
    return value;
}

static uint32_t take_u32(Reader *reader)
{
    uint32_t value;

    take(reader, &value, sizeof(value));
    return value;
}

static uint64_t take_u64(Reader *reader)
{
    uint64_t value;

    take(reader, &value, sizeof(value));
    return value;
}

static Str take_text(Reader *reader)
{
    uint32_t len = take_u32(reader);
    Str text;

    if (reader->is_bad || (size_t) (reader->end - reader->at) < len) {
        reader->is_bad = true;
        return (Str){ 0 };
    }
    text = str_from(reader->at, len);
    reader->at += len;
    return text;
}

static RowValue take_value(Reader *reader)
{
    uint8_t kind = take_u8(reader);
    RowValue value = row_value_of(kind < KINDS ? kind : ROW_ANY);

    reader->is_bad = reader->is_bad || kind >= KINDS;
    switch (value.kind) {
    case ROW_ANY: value.gap = take_u8(reader) % (ROW_GAP_WRONG + 1); break;
    case ROW_BOOL: value.boolean = take_u8(reader) != 0; break;
    case ROW_INT:
    case ROW_TIME: value.integer = (int64_t) take_u64(reader); break;
    case ROW_REAL:
        take(reader, &value.real, sizeof(value.real));
        value.text = take_text(reader);
        break;
    case ROW_TEXT:
    case ROW_JSON: value.text = take_text(reader); break;
    }
    return value;
}

/* What stands before the columns. */
typedef struct Preface {
    ParcelHead head;
    uint32_t columns;
    uint8_t format;
    Str table;
    Str line; /* the payload's head */
} Preface;

static int read_preface(Reader *reader, Preface *preface)
{
    uint8_t version = take_u8(reader);

    *preface = (Preface){ 0 };
    preface->head.rows = take_u32(reader);
    preface->columns = take_u32(reader);
    preface->head.source = take_u32(reader);
    preface->head.received_ns = (int64_t) take_u64(reader);
    preface->head.position = take_u64(reader);
    if (version > CODE_OLDEST) {
        preface->format = take_u8(reader);
        preface->head.attempts = take_u32(reader);
        preface->head.shadows = MIN(take_u32(reader), preface->head.rows);
        preface->line = take_text(reader);
        preface->head.first_source = take_text(reader);
    }
    preface->head.track = take_text(reader);
    preface->head.origin = take_text(reader);
    preface->table = take_text(reader);
    if (version < CODE_OLDEST || version > CODE_VERSION)
        return fail(-ERR_CONFLICT, "version %u of buffered rows is not known here", version);
    if (reader->is_bad || preface->head.rows > LIMIT_ROW_BATCH || preface->columns == 0 ||
        preface->columns > LIMIT_SHAPE_COLUMNS)
        return fail(-ERR_CONFLICT, "buffered rows are damaged");
    return 0;
}

int parcel_peek(Str bytes, ParcelHead *ret_head)
{
    Reader reader = { .start = bytes.data, .at = bytes.data, .end = bytes.data + bytes.len };
    Preface preface;
    int r = read_preface(&reader, &preface);

    if (r < 0)
        return r;
    for (uint32_t c = 0; c < preface.columns && !reader.is_bad; c++) {
        (void) take_u8(&reader);
        (void) take_text(&reader);
        (void) take_text(&reader);
    }
    if (preface.head.rows > 0) {
        (void) take_u64(&reader); /* its line */
        preface.head.first_position = take_u64(&reader);
    }
    if (reader.is_bad)
        return fail(-ERR_CONFLICT, "buffered rows are damaged");
    *ret_head = preface.head;
    return 0;
}

static int read_columns(Reader *reader, const Preface *preface, Shape *shape)
{
    int r = 0;

    for (uint32_t c = 0; c < preface->columns && r == 0; c++) {
        uint8_t kind = take_u8(reader);
        Str name = take_text(reader), unit = take_text(reader);
        size_t index;

        reader->is_bad = reader->is_bad || kind >= KINDS;
        if (reader->is_bad)
            return fail(-ERR_CONFLICT, "buffered rows are damaged");
        r = shape_add(shape, name, kind, unit, &index);
    }
    return r;
}

/* The shape of the rows; a reference for the caller. It has their columns, and maybe others. */
static int read_shape(Reader *reader, Shapes *shapes, const Preface *preface, Shape **ret_shape)
{
    AUTO(shape_unref) Shape *own = NULL;
    const Reader start = *reader;
    Shape *shape;
    int r = shapes_get(shapes, preface->table, &shape);
    Err err;

    if (r == 0)
        r = read_columns(reader, preface, shape);
    if (r == 0)
        *ret_shape = shape_ref(shape);
    if (r == 0 || reader->is_bad)
        return r;
    err_take(r, &err); /* what came since has other columns */
    *reader = start;
    own = shape_new(preface->table, 0);
    r = read_columns(reader, preface, own);
    if (r == 0)
        *ret_shape = TAKE(own);
    return r;
}

/* Where each column of the bytes stands in the shape, which may have begun in another order. */
static void find_columns(Reader columns, const Preface *preface, const Shape *shape, size_t *places)
{
    for (uint32_t c = 0; c < preface->columns; c++) {
        Str name;

        (void) take_u8(&columns);
        name = take_text(&columns);
        (void) take_text(&columns);
        places[c] = shape_find(shape, name, c);
        ASSERT(places[c] != SHAPE_NONE); /* it was added just now */
    }
}

static void read_rows(Reader *reader, const Preface *preface, const size_t *places, Parcel *parcel)
{
    for (uint32_t i = 0; i < preface->head.rows && !reader->is_bad; i++) {
        RowPlace place = { .line = take_u64(reader) };
        RowValue *row;
        Str bytes;

        place.position = take_u64(reader);
        bytes = take_text(reader);
        place.len = (uint32_t) bytes.len;
        place.offset = bytes.len > 0 ? (uint32_t) (bytes.data - reader->start) : 0;
        row = parcel_add(parcel, &place);
        if (!row) {
            reader->is_bad = true;
            return;
        }
        for (uint32_t c = 0; c < preface->columns; c++)
            row[places[c]] = take_value(reader);
    }
}

/* What dead letters of the rows will say. */
static void note_origin(Payload *payload, Receipt *receipt, const Preface *preface)
{
    payload->format = preface->format;
    buf_reset(&payload->head);
    buf_add_str(&payload->head, preface->line);
    if (!receipt)
        return;
    receipt->attempts = preface->head.attempts;
    receipt->first_source = preface->head.first_source;
}

int parcel_decode(Shapes *shapes, ParcelPool *pool, Receipt *receipt, Payload *payload, size_t from,
                  size_t len, Parcel **ret_parcel)
{
    Str all = buf_str(&payload->bytes);
    Reader reader = { .start = all.data, .at = all.data + from, .end = all.data + from + len };
    AUTO(mem_free) size_t *places = NULL;
    Preface preface;
    Reader columns;
    Parcel *parcel;
    AUTO(shape_unref) Shape *shape = NULL;
    int r;

    ASSERT(from + len <= all.len);
    r = read_preface(&reader, &preface);
    if (r < 0)
        return r;
    columns = reader;
    r = read_shape(&reader, shapes, &preface, &shape);
    if (r < 0)
        return r;
    places = mem_new_array(size_t, preface.columns);
    find_columns(columns, &preface, shape, places);
    parcel = parcel_new(pool, shape, receipt, payload);
    parcel->received_ns = preface.head.received_ns;
    note_origin(payload, receipt, &preface);
    read_rows(&reader, &preface, places, parcel);
    if (reader.is_bad || reader.at != reader.end) {
        parcel->rows.n_rows = 0;
        parcel_free(pool, parcel);
        return fail(-ERR_CONFLICT, "buffered rows are damaged");
    }
    *ret_parcel = parcel;
    return 0;
}
