/*
 * A rig for tests of steps: one step, rows pushed in, what comes out as lines of JSON.
 */
#pragma once

#include "base/test.h"
#include "rows/step.h"

typedef struct StepRig {
    const StepDriver *driver;
    Arena arena;
    void *state;
    ParcelPool pool;
    Shape *shape;
    Parcel *parcel; /* being filled */
    List made;
    uint64_t late;
    int64_t now_ns;
    uint64_t rows, filtered, dropped, refused, handed_on;
    Buf out;   /* rows that went on or were made, a line each */
    Buf codes; /* of refusals, a line each */
} StepRig;

static int rig_try_open(StepRig *rig, const StepDriver *driver, const char *settings)
{
    void *args;
    int r;

    *rig = (StepRig){ .driver = driver };
    rig->out.max_bytes = 1 << 30;
    arena_init(&rig->arena, 0);
    args = arena_zalloc(&rig->arena, driver->args->struct_bytes);
    r = schema_decode_text(&rig->arena, driver->args, str_from_c(settings), args, NULL);
    if (r == 0)
        r = driver->open(&(StepOpts){ .args = args, .table = STR_C("results") }, &rig->state);
    return r;
}

/* A column as "sensor:text". */
static void rig_column(Shape *shape, Str word)
{
    static const char *const kinds[] = {
#define RIG_KIND_(name, text) text,
        ROW_KINDS(RIG_KIND_)
#undef RIG_KIND_
    };
    Str kind, name = str_cut(word, ':', &kind);
    size_t index;

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (str_eq_c(kind, kinds[i]))
            EXPECT_OK(shape_add(shape, name, (RowKind) i, (Str){ 0 }, &index));
    }
}

/* Rows that follow are of a shape NAME with COLUMNS: "time:time sensor:text value:number". */
static void rig_shape(StepRig *rig, const char *name, const char *columns)
{
    Str rest = str_from_c(columns);

    shape_unref(rig->shape);
    rig->shape = shape_new(str_from_c(name), 0);
    while (rest.len > 0)
        rig_column(rig->shape, str_cut(rest, ' ', &rest));
}

static void rig_open(StepRig *rig, const StepDriver *driver, const char *settings,
                     const char *columns)
{
    EXPECT_OK(rig_try_open(rig, driver, settings));
    rig_shape(rig, "readings", columns);
}

static void rig_close(StepRig *rig)
{
    parcel_free(&rig->pool, rig->parcel);
    if (rig->state)
        rig->driver->close(rig->state);
    shape_unref(rig->shape);
    parcel_pool_deinit(&rig->pool);
    arena_deinit(&rig->arena);
    buf_deinit(&rig->out);
    buf_deinit(&rig->codes);
    *rig = (StepRig){ 0 };
}

DEFINE_AUTO_VALUE(StepRig, rig_close);

static void rig_write(StepRig *rig, const Parcel *parcel)
{
    for (size_t i = 0; i < parcel_count(parcel); i++) {
        row_format_json(&rig->out, &parcel->rows, i);
        buf_add_char(&rig->out, '\n');
    }
    rig->handed_on += parcel_count(parcel);
}

static void rig_take_made(StepRig *rig)
{
    ListLink *link;

    while ((link = list_pop_front(&rig->made)) != NULL) {
        Parcel *parcel = LIST_ITEM(link, Parcel, link);

        rig_write(rig, parcel);
        parcel_free(&rig->pool, parcel);
    }
}

static StepRun rig_run_of(StepRig *rig, Parcel *parcel)
{
    return (StepRun){ .parcel = parcel,
                      .now_ns = rig->now_ns,
                      .pool = &rig->pool,
                      .made = &rig->made,
                      .late = &rig->late };
}

/* Give the step what was gathered. */
static void rig_push(StepRig *rig)
{
    Parcel *parcel = rig->parcel ? rig->parcel : parcel_new(&rig->pool, rig->shape, NULL, NULL);
    StepRun run = rig_run_of(rig, parcel);

    rig->parcel = NULL;
    rig->rows += parcel_count(parcel);
    EXPECT_OK(rig->driver->run(rig->state, &run));
    parcel_compact(parcel);
    rig_take_made(rig);
    rig_write(rig, parcel);
    rig->filtered += parcel->filtered;
    rig->dropped += parcel->dropped;
    rig->refused += parcel->n_dead;
    for (size_t i = 0; i < parcel->n_dead; i++)
        buf_printf(&rig->codes, "%s\n", parcel->dead[i].why.code);
    parcel_free(&rig->pool, parcel);
}

/* A row of nulls to fill, of the shape of the rig. */
static RowValue *rig_row(StepRig *rig)
{
    static const RowPlace nowhere = { 0 };

    if (rig->parcel && (rig->parcel->shape != rig->shape || parcel_count(rig->parcel) == 1000))
        rig_push(rig);
    if (!rig->parcel)
        rig->parcel = parcel_new(&rig->pool, rig->shape, NULL, NULL);
    return parcel_add(rig->parcel, &nowhere);
}

UNUSED static Str rig_text(StepRig *rig, const char *text)
{
    return parcel_copy_text(rig->parcel, str_from_c(text));
}

/* Let time pass, until nothing is due at once. */
UNUSED static void rig_tick(StepRig *rig, bool is_last)
{
    do {
        StepRun run = rig_run_of(rig, NULL);

        EXPECT_OK(rig->driver->tick(rig->state, &run, is_last));
        rig_take_made(rig);
    } while (rig->driver->next_tick_ns(rig->state) == 0);
}

/* What came out since the last call, and nothing of it stays. */
UNUSED static void rig_expect(StepRig *rig, const char *file, int line, const char *want)
{
    if (!str_eq(buf_str(&rig->out), str_from_c(want)))
        test_fail(file, line, "got:\n%.*swant:\n%s", (int) rig->out.len,
                  rig->out.data ? rig->out.data : "", want);
    buf_reset(&rig->out);
}

#define RIG_EXPECT(rig, want) rig_expect((rig), __FILE__, __LINE__, (want))

/* Save the step and go on with a fresh one that has loaded it. */
UNUSED static void rig_restart(StepRig *rig, const char *settings)
{
    AUTO(buf_deinit) Buf bytes = { .max_bytes = 1 << 30 }, again = { .max_bytes = 1 << 30 };
    StepRig fresh;

    EXPECT_OK(rig->driver->save(rig->state, &bytes));
    EXPECT_OK(rig_try_open(&fresh, rig->driver, settings));
    EXPECT_OK(fresh.driver->load(fresh.state, buf_str(&bytes)));
    EXPECT_OK(fresh.driver->save(fresh.state, &again));
    EXPECT(str_eq(buf_str(&bytes), buf_str(&again)));
    rig->driver->close(rig->state);
    arena_deinit(&rig->arena);
    rig->state = fresh.state;
    rig->arena = fresh.arena;
}
