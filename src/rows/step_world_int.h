/*
 * For tests of steps: a step, the parcels that are put into it, and what comes out as text.
 *
 *   AUTO(step_world_deinit) StepWorld world = { 0 };
 *
 *   step_world_open(&world, "filter", "{\"expression\": \"value > 0\"}");
 *   step_world_columns(&world, "sensor:text value:number");
 *   step_world_row(&world, "[\"a\", 1.5]");
 *   step_world_run(&world);
 *   EXPECT_STR(buf_str(&world.text), STR_C("readings {\"sensor\":\"a\",\"value\":1.5}\n"));
 *
 * A line of the text is a row that goes on, with the name of its shape; "! STAGE CODE: words" a row
 * that was refused; "- filtered N" and "- dropped N" those that have ended. That no row is lost is
 * checked at every run.
 */
#pragma once

#include "base/macro.h"
#include "base/test.h"
#include "codec/json.h"
#include "codec/schema.h"
#include "rows/row_cast.h"
#include "rows/step.h"

#define STEP_WORLD_NOW_NS INT64_C(1700000000000000000)

typedef struct StepWorld {
    Arena arena;
    const StepDriver *driver;
    void *args;
    void *state;
    ParcelPool pool;
    Shape *shape; /* of the rows that are put in */
    Parcel *parcel;
    Payload *payload; /* of the rows to come; NULL: they have no bytes */
    int64_t now_ns;   /* 0: STEP_WORLD_NOW_NS */
    uint64_t late;
    Buf text;
    uint64_t n_in, n_out, n_dead, n_filtered, n_dropped, n_made; /* rows, of all runs */
} StepWorld;

/* Decode SETTINGS (JSON) and open the step. 0 or what either said. */
static inline int step_world_try_open(StepWorld *world, const char *name, const char *settings)
{
    SchemaDecodeOpts opts = { 0 };
    StepOpts step = { .name = str_from_c(name), .table = str_from_c("made") };
    Str text = arena_copy(&world->arena, str_from_c(settings));
    int r = 0;

    world->driver = step_driver_find(str_from_c(name));
    if (!world->driver)
        return fail(-ERR_NOT_FOUND, "there is no step %s", name);
    if (world->driver->args) {
        world->args = arena_zalloc(&world->arena, world->driver->args->struct_bytes);
        r = schema_decode_text(&world->arena, world->driver->args, text, world->args, &opts);
    }
    step.args = world->args;
    return r < 0 ? r : world->driver->open(&step, &world->state);
}

static inline bool step_world_open(StepWorld *world, const char *name, const char *settings)
{
    int r = step_world_try_open(world, name, settings);

    if (r < 0)
        test_fail(__FILE__, __LINE__, "%s does not open: %s", name, err_text(r));
    return r == 0;
}

static inline RowKind step_world_kind(Str word)
{
    for (int kind = ROW_ANY; kind <= ROW_JSON; kind++) {
        if (str_eq_c(word, row_kind_name((RowKind) kind)))
            return (RowKind) kind;
    }
    test_fail(__FILE__, __LINE__, "no kind %.*s", (int) word.len, word.data);
    return ROW_ANY;
}

/* Rows to come are of a new shape with these columns, "name:kind name:kind". */
static inline void step_world_columns(StepWorld *world, const char *columns)
{
    Str rest = str_from_c(columns);
    size_t index;

    shape_unref(world->shape);
    world->shape = shape_new((Str) STR("readings"), 0);
    while (rest.len > 0) {
        Str kind, name = str_cut(str_cut(rest, ' ', &rest), ':', &kind);

        EXPECT_OK(shape_add(world->shape, name, step_world_kind(kind), (Str){ 0 }, &index));
    }
}

static inline RowValue step_world_value(StepWorld *world, Json json, RowKind kind)
{
    AUTO(buf_deinit) Buf scratch = { 0 };
    RowValue value = row_null();
    Str text;

    if (json_get_str(json, &text))
        value = row_text(text);
    else if (json_get_bool(json, &value.boolean))
        value = row_boolean(value.boolean);
    else if (json_get_i64(json, &value.integer))
        value = row_integer(value.integer);
    else if (json_get_real(json, &value.real))
        value = row_real(value.real, (Str){ 0 });
    EXPECT_EQ(row_cast(&value, kind, NS_PER_S, &scratch, &value), 0);
    if (value.text.len > 0)
        value.text = parcel_copy_text(world->parcel, value.text);
    return value;
}

/* Put in a row: its values as a JSON array. */
static inline void step_world_row(StepWorld *world, const char *values)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    RowPlace place = { .line = world->n_in + 1 };
    RowValue *row;
    JsonDoc doc;
    size_t c = 0;

    arena_init(&arena, 0);
    if (!world->parcel)
        world->parcel = parcel_new(&world->pool, world->shape, NULL, world->payload);
    EXPECT_OK(json_parse(&arena, str_from_c(values), &doc));
    row = parcel_add(world->parcel, &place);
    for (JsonIter it = json_iter(doc.root); json_next(&it) && c < shape_width(world->shape); c++)
        row[c] = step_world_value(world, it.value, shape_columns(world->shape)[c].kind);
}

static inline void step_world_show(StepWorld *world, Parcel *parcel)
{
    parcel_compact(parcel);
    for (size_t i = 0; i < parcel_count(parcel); i++) {
        buf_add_str(&world->text, shape_name(parcel->shape));
        buf_add_char(&world->text, ' ');
        row_format_json(&world->text, &parcel->rows, i);
        buf_add_char(&world->text, '\n');
    }
    for (size_t i = 0; i < parcel->n_dead; i++)
        buf_printf(&world->text, "! %s %s: %s\n", parcel->dead[i].why.stage,
                   parcel->dead[i].why.code, parcel->dead[i].why.text);
    if (parcel->filtered > 0)
        buf_printf(&world->text, "- filtered %llu\n", (unsigned long long) parcel->filtered);
    if (parcel->dropped > 0)
        buf_printf(&world->text, "- dropped %llu\n", (unsigned long long) parcel->dropped);
    world->n_out += parcel_count(parcel);
    world->n_dead += parcel->n_dead;
    world->n_filtered += parcel->filtered;
    world->n_dropped += parcel->dropped;
}

/* As the pipeline does when all is written. */
static inline void step_world_let_go(StepWorld *world, Parcel *parcel)
{
    if (parcel_count(parcel) > 0)
        memset(parcel->fates, FATE_WRITTEN, parcel_count(parcel));
    parcel_free(&world->pool, parcel);
}

/* Run the step over PARCEL, show what comes out, let it go. What run returned. */
static inline int step_world_run_parcel(StepWorld *world, Parcel *parcel)
{
    List made = { 0 };
    StepRun run = { .parcel = parcel,
                    .now_ns = world->now_ns ? world->now_ns : STEP_WORLD_NOW_NS,
                    .pool = &world->pool,
                    .made = &made,
                    .late = &world->late };
    size_t before = parcel_count(parcel);
    ListLink *link;
    int r;

    world->n_in += before;
    r = world->driver->run(world->state, &run);
    step_world_show(world, parcel);
    if (world->driver->makes_rows) { /* in place, beside those that came */
        size_t after = parcel_count(parcel) + parcel->refused + parcel->filtered + parcel->dropped;

        EXPECT(after >= before);
        world->n_made += after - before;
    }
    EXPECT_EQ(world->n_in + world->n_made,
              world->n_out + world->n_dead + world->n_filtered + world->n_dropped);
    step_world_let_go(world, parcel);
    while ((link = list_pop_front(&made)) != NULL) {
        Parcel *item = LIST_ITEM(link, Parcel, link);

        world->n_made += parcel_count(item);
        step_world_show(world, item);
        step_world_let_go(world, item);
    }
    return r;
}

/* The same over the rows that were put in. */
static inline int step_world_try_run(StepWorld *world)
{
    return step_world_run_parcel(world, TAKE(world->parcel));
}

static inline void step_world_run(StepWorld *world)
{
    EXPECT_OK(step_world_try_run(world));
}

static inline void step_world_deinit(StepWorld *world)
{
    if (world->parcel)
        step_world_let_go(world, world->parcel);
    if (world->state)
        world->driver->close(world->state);
    parcel_pool_deinit(&world->pool);
    shape_unref(world->shape);
    payload_unref(world->payload);
    arena_deinit(&world->arena);
    buf_deinit(&world->text);
}
DEFINE_AUTO_VALUE(StepWorld, step_world_deinit);

/* What the runs so far gave; emptied. */
#define EXPECT_STEP(world, want)                          \
    do {                                                  \
        EXPECT_STR(buf_str(&(world)->text), STR_C(want)); \
        buf_reset(&(world)->text);                        \
    } while (0)
