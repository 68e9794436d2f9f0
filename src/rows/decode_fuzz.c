/*
 * Fuzz: decoding. Whatever comes, every row has values of its columns' kinds and valid UTF-8, has
 * its place in the payload, and positions grow; whether it comes whole or in pieces, nothing is
 * left over.
 *
 * The first byte chooses the format and the options, the second the size of the pieces.
 */
#include "rows/decode.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/macro.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

typedef struct World {
    ParcelPool pool;
    Decoder *decoder;
    Receipt *receipt;
    uint64_t position;
    size_t bytes; /* of the payload */
} World;

static void check_value(const RowValue *value, RowKind kind)
{
    ASSERT(value->kind == ROW_ANY || value->kind == kind || kind == ROW_ANY);
    if (value->kind == ROW_TEXT || value->kind == ROW_JSON)
        ASSERT(str_is_utf8(value->text));
}

static int take(void *ctx, Parcel *parcel)
{
    AUTO(buf_deinit) Buf json = { 0 };
    World *world = ctx;
    size_t dead = 0;

    ASSERT(parcel_count(parcel) > 0);
    for (size_t i = 0; i < parcel_count(parcel); i++) {
        const RowPlace *place = &parcel->places[i];

        ASSERT((size_t) place->offset + place->len <= world->bytes && place->line > 0);
        ASSERT(place->position > world->position);
        world->position = place->position;
        dead += parcel->fates[i] == FATE_DEAD;
        for (size_t c = 0; c < row_batch_width(&parcel->rows); c++)
            check_value(&row_batch_row(&parcel->rows, i)[c],
                        row_batch_columns(&parcel->rows)[c].kind);
        row_format_json(&json, &parcel->rows, i);
    }
    ASSERT(dead == parcel->n_dead);
    for (size_t i = 0; i < dead; i++)
        ASSERT(str_is_utf8(str_from_c(parcel->dead[i].why.text)));
    parcel_free(&world->pool, parcel);
    return 0;
}

static void decode(World *world, Str text, uint64_t base)
{
    Payload *payload = payload_copy(text);
    int r;

    world->bytes = text.len;
    r = decode_all(world->decoder, payload, world->receipt, base, 0, take, world);
    ASSERT(r == 0);
    payload_unref(payload);
}

static void feed(World *world, Str text, size_t piece)
{
    size_t from = 0;

    world->position = 0;
    for (size_t to = MIN(piece, text.len);; to = MIN(to + piece, text.len)) {
        size_t whole;

        while ((whole = decoder_whole_bytes(world->decoder, str_sub(text, from, to - from),
                                            to == text.len)) > 0) {
            ASSERT(whole <= to - from);
            decode(world, str_sub(text, from, whole), from);
            from += whole;
        }
        if (to == text.len)
            break;
    }
    ASSERT(from == text.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    World world = { 0 };
    DecodeOpts opts = { 0 };
    Shapes *shapes;
    Str text;

    if (len < 2)
        return 0;
    text = str_from((const char *) data + 2, len - 2);
    opts.format = (DecodeFormat) (data[0] % 6);
    opts.by_measurement = data[0] & 0x40;
    opts.has_arrival_time = data[0] & 0x80;
    opts.unit = data[1] & 0x80 ? TIME_H : TIME_NS;
    shapes = shapes_new();
    world.receipt = receipt_new(0, (Str){ 0 }, str_from_c("track"));
    world.decoder = decoder_new(shapes, &world.pool, &opts);
    decode(&world, text, 0);
    decoder_reset(world.decoder);
    if (len < 4096)
        feed(&world, text, 1 + (data[1] & 0x3f));
    decoder_free(world.decoder);
    receipt_seal(world.receipt);
    shapes_free(shapes);
    parcel_pool_deinit(&world.pool);
    return 0;
}
