/*
 * For tests of sources: a host that stands for the pipeline.
 *
 * It takes the parcels that a source hands on, writes down what is in them, and settles them at
 * once or when the test says so; it can be full. What came is in `text`, a line for each row and
 * for each refusal:
 *
 *   readings {"time":"…","value":21.5}
 *   ! 2 parse bad_number: t value=abc
 *
 *   SUSPENDS static void check(SourceWorld *world)
 *   {
 *       source_world_start(world, &source_tcp, "{\"listen\":\"127.0.0.1:0\"}");
 *       … the producer …
 *       source_world_wait_rows(world, 2);
 *       EXPECT_STR(buf_str(&world->text), STR_C("rows {\"line\":\"a\"}\nrows {\"line\":\"b\"}\n"));
 *       EXPECT_OK(source_world_stop(world));
 *   }
 *   TEST(takes_lines) { source_world_run(check); }
 *
 * Waits that take longer than WORLD_WAIT_MS fail the test instead of hanging it.
 */
#pragma once

#include "base/arena.h"
#include "base/macro.h"
#include "base/test.h"
#include "rows/source.h"

#include <sluice/rt.h>

#include <stdio.h>

#define WORLD_WAIT_MS 80000
#define WORLD_TRACKS  16

typedef struct WorldTrack {
    char name[256];
    uint64_t position;
} WorldTrack;

typedef struct SourceWorld SourceWorld;
struct SourceWorld {
    Source source; /* decode, doors, positions may be set before source_world_start */
    Arena arena;
    ParcelPool pool;
    sl_nursery *nursery;
    sl_event stopping;
    sl_event ended;
    sl_cond changed; /* something came, was said, or the source has ended */
    sl_cond room;
    List held; /* parcels that wait for source_world_settle */

    bool is_full;    /* puts and waits for room wait */
    bool is_holding; /* parcels are kept until they are settled */
    Buf text;
    uint64_t rows; /* that came, without the refused */
    uint64_t refused;
    uint64_t n_parcels;
    uint64_t n_waits; /* puts and waits for room that had to wait */
    uint64_t lost;
    const char *lost_cause; /* the last one */
    bool is_up;             /* by the last source_say */
    char said[300];
    size_t n_said;
    int r; /* what run returned, once it has ended */
    char why[300];
    WorldTrack tracks[WORLD_TRACKS]; /* positions of what is settled */
    size_t n_tracks;

    SUSPENDS void (*check)(SourceWorld *world);
    void *ctx; /* the test's */
};

/* ---- the host -------------------------------------------------------------------------------- */

static inline SourceWorld *source_world_of(Source *source)
{
    return source->owner;
}

SUSPENDS static inline int source_world_wait_room(Source *source, size_t bytes)
{
    SourceWorld *world = source_world_of(source);
    int r = sl_checkpoint();

    (void) bytes;
    world->n_waits += world->is_full;
    sl_cond_wake_all(&world->changed);
    while (r == 0 && world->is_full)
        r = sl_cond_wait(&world->room);
    return r;
}

static inline void source_world_note_position(SourceWorld *world, const Parcel *parcel)
{
    const Receipt *receipt = parcel->receipt;
    uint64_t position = receipt ? receipt->position : 0;
    size_t i = 0;

    if (!receipt || !receipt->track.len)
        return;
    for (size_t row = 0; row < parcel_count(parcel); row++)
        position = MAX(position, parcel->places[row].position);
    while (i < world->n_tracks && !str_eq_c(receipt->track, world->tracks[i].name))
        i++;
    if (i == WORLD_TRACKS)
        return;
    if (i == world->n_tracks) {
        world->n_tracks++;
        (void) snprintf(world->tracks[i].name, sizeof(world->tracks[i].name), "%.*s",
                        (int) receipt->track.len, receipt->track.data);
    }
    world->tracks[i].position = MAX(world->tracks[i].position, position);
}

/* Give PARCEL its end: written, or with R below zero given back to the producer. */
static inline void source_world_settle_one(SourceWorld *world, TAKES Parcel *parcel, int r)
{
    if (r < 0 && parcel->receipt)
        parcel->receipt->r = r;
    if (r == 0) {
        source_world_note_position(world, parcel);
        parcel_report(parcel);
    }
    for (size_t i = 0; i < parcel_count(parcel); i++) {
        if (parcel->fates[i] == FATE_OPEN)
            parcel->fates[i] = FATE_WRITTEN;
    }
    parcel_free(&world->pool, parcel);
}

static inline void source_world_write_down(SourceWorld *world, Parcel *parcel)
{
    Str name = shape_name(parcel->shape);

    for (size_t i = 0; i < parcel_count(parcel); i++) {
        if (parcel->fates[i] != FATE_OPEN)
            continue;
        world->rows++;
        buf_printf(&world->text, "%.*s ", (int) name.len, name.data);
        row_format_json(&world->text, &parcel->rows, i);
        buf_add_char(&world->text, '\n');
    }
    for (size_t i = 0; i < parcel->n_dead; i++) {
        const DeadRow *dead = &parcel->dead[i];
        Str bytes = parcel->payload ? buf_str(&parcel->payload->bytes) : str_from("", 0);

        world->refused++;
        bytes = str_sub(bytes, dead->place.offset, dead->place.len);
        buf_printf(&world->text, "! %llu %s %s: %.*s\n", (unsigned long long) dead->why.line,
                   dead->why.stage, dead->why.code, (int) bytes.len, bytes.data);
    }
}

/* What the pipeline saves of a parcel is behind all of its rows, on its own track. */
static inline void source_world_check_end(const Parcel *parcel)
{
    uint64_t last = 0;

    for (size_t i = 0; i < parcel_count(parcel); i++)
        last = MAX(last, parcel->places[i].position);
    for (size_t i = 0; i < parcel->n_dead; i++)
        last = MAX(last, parcel->dead[i].place.position);
    if (parcel->filtered == 0 && parcel_count(parcel) + parcel->n_dead > 0)
        EXPECT_EQ(parcel->end_position, last);
    EXPECT(parcel->end_position >= last);
}

SUSPENDS static inline int source_world_put(Source *source, TAKES Parcel *parcel)
{
    SourceWorld *world = source_world_of(source);
    int r = world->is_full ? source_world_wait_room(source, parcel->bytes) : sl_checkpoint();

    if (r < 0) {
        source_world_settle_one(world, parcel, r);
        return r;
    }
    source_world_check_end(parcel);
    source->rows += parcel_count(parcel) + parcel->n_dead;
    world->n_parcels++;
    source_world_write_down(world, parcel);
    if (world->is_holding)
        list_push_back(&world->held, &parcel->link);
    else
        source_world_settle_one(world, parcel, 0);
    sl_cond_wake_all(&world->changed);
    return 0;
}

static inline void source_world_say(Source *source, bool is_up, const char *text)
{
    SourceWorld *world = source_world_of(source);

    world->is_up = is_up;
    world->n_said++;
    (void) snprintf(world->said, sizeof(world->said), "%s", text);
    sl_cond_wake_all(&world->changed);
}

static inline void source_world_lost(Source *source, const char *cause, uint64_t rows)
{
    SourceWorld *world = source_world_of(source);

    world->lost += rows;
    world->lost_cause = cause;
    sl_cond_wake_all(&world->changed);
}

static const SourceHost source_world_host = { .put = source_world_put,
                                              .wait_room = source_world_wait_room,
                                              .say = source_world_say,
                                              .lost = source_world_lost };

/* ---- what a test says ------------------------------------------------------------------------ */

SUSPENDS static inline int source_world_fiber(void *arg)
{
    SourceWorld *world = arg;

    world->r = world->source.driver->run(&world->source);
    if (world->r < 0)
        (void) snprintf(world->why, sizeof(world->why), "%s", sl_error_text(world->r));
    sl_event_set(&world->ended);
    sl_cond_wake_all(&world->changed);
    return 0;
}

/* Run DRIVER with the settings JSON ("{}" for none). May be called again after a stop: then
 * positions that were settled are where the source begins. */
SUSPENDS static inline void source_world_start(SourceWorld *world, const SourceDriver *driver,
                                               const char *json)
{
    Source *source = &world->source;
    void *args = driver->args ? arena_zalloc(&world->arena, driver->args->struct_bytes) : NULL;

    source->driver = driver;
    source->host = &source_world_host;
    source->owner = world;
    source->args = args;
    source->pool = &world->pool;
    source->stopping = &world->stopping;
    source->is_exact = driver->has_position;
    if (!source->name.len)
        source->name = str_from_c(driver->name);
    if (!source->pipeline.len)
        source->pipeline = str_from_c("readings");
    if (!source->shapes)
        source->shapes = shapes_new();
    if (source->decode.format == DECODE_AUTO)
        source->decode.format = driver->format;
    if (world->n_tracks > 0 || !source->positions.len) {
        AUTO(buf_deinit) Buf out = { 0 };

        buf_add_char(&out, '{');
        for (size_t i = 0; i < world->n_tracks; i++)
            buf_printf(&out, "%s\"%s\":%llu", i > 0 ? "," : "", world->tracks[i].name,
                       (unsigned long long) world->tracks[i].position);
        buf_add_char(&out, '}');
        source->positions = arena_copy(&world->arena, buf_str(&out));
    }
    if (args)
        EXPECT_OK(schema_decode_text(&world->arena, driver->args,
                                     arena_copy(&world->arena, str_from_c(json)), args,
                                     &(SchemaDecodeOpts){ .source = driver->name }));
    sl_event_clear(&world->stopping);
    sl_event_clear(&world->ended);
    sl_spawn(world->nursery, source_world_fiber, world, .name = driver->name);
}

typedef struct WorldWait {
    SourceWorld *world;
    bool (*is_true)(const SourceWorld *world, uint64_t number, const char *text);
    uint64_t number;
    const char *text;
} WorldWait;

SUSPENDS static inline int source_world_wait_fiber(void *arg)
{
    const WorldWait *wait = arg;
    int r = 0;

    while (r == 0 && !wait->is_true(wait->world, wait->number, wait->text))
        r = sl_cond_wait(&wait->world->changed);
    return r;
}

SUSPENDS static inline void source_world_wait(WorldWait wait)
{
    int r = sl_with_timeout(WORLD_WAIT_MS, source_world_wait_fiber, &wait);

    if (r < 0)
        test_fail(__FILE__, __LINE__, "waited in vain (%llu rows, %llu refused, said \"%s\")",
                  (unsigned long long) wait.world->rows, (unsigned long long) wait.world->refused,
                  wait.world->said);
}

static inline bool source_world_has_rows(const SourceWorld *world, uint64_t n, const char *text)
{
    (void) text;
    return world->rows + world->refused >= n || world->ended.is_set;
}

static inline bool source_world_has_said(const SourceWorld *world, uint64_t n, const char *text)
{
    (void) n;
    return strstr(world->said, text) != NULL;
}

static inline bool source_world_has_waits(const SourceWorld *world, uint64_t n, const char *text)
{
    (void) text;
    return world->n_waits >= n;
}

static inline bool source_world_has_lost(const SourceWorld *world, uint64_t n, const char *text)
{
    (void) text;
    return world->lost >= n;
}

/* Wait until N rows have come, refused ones counted, or the source has ended. */
SUSPENDS static inline void source_world_wait_rows(SourceWorld *world, uint64_t n)
{
    source_world_wait((WorldWait){ world, source_world_has_rows, n, NULL });
}

/* Wait until the source says something with PART in it. */
SUSPENDS static inline void source_world_wait_said(SourceWorld *world, const char *part)
{
    source_world_wait((WorldWait){ world, source_world_has_said, 0, part });
}

/* Wait until N puts or waits for room have had to wait. */
SUSPENDS static inline void source_world_wait_full(SourceWorld *world, uint64_t n)
{
    source_world_wait((WorldWait){ world, source_world_has_waits, n, NULL });
}

SUSPENDS static inline void source_world_wait_lost(SourceWorld *world, uint64_t n)
{
    source_world_wait((WorldWait){ world, source_world_has_lost, n, NULL });
}

/* Settle everything that is held; R below zero gives it back. */
static inline void source_world_settle(SourceWorld *world, int r)
{
    ListLink *link;

    while ((link = list_pop_front(&world->held)) != NULL)
        source_world_settle_one(world, LIST_ITEM(link, Parcel, link), r);
}

static inline void source_world_set_full(SourceWorld *world, bool is_full)
{
    world->is_full = is_full;
    if (!is_full)
        sl_cond_wake_all(&world->room);
}

static inline bool source_world_has_ended(const SourceWorld *world, uint64_t n, const char *text)
{
    (void) n;
    (void) text;
    return world->ended.is_set;
}

/* Wait until the source ends by itself: what run returned. */
MUST SUSPENDS static inline int source_world_join(SourceWorld *world)
{
    source_world_wait((WorldWait){ world, source_world_has_ended, 0, NULL });
    if (world->ended.is_set && world->r < 0)
        return fail(world->r, "%s", world->why);
    return world->ended.is_set ? world->r : -ETIMEDOUT;
}

/* Stop politely (O3) and wait: what run returned. */
MUST SUSPENDS static inline int source_world_stop(SourceWorld *world)
{
    sl_event_set(&world->stopping);
    return source_world_join(world);
}

/* ---- life ------------------------------------------------------------------------------------ */

SUSPENDS static inline int source_world_main(void *arg)
{
    SourceWorld *world = arg;

    world->nursery = sl_nursery_open(.name = "source world");
    world->check(world);
    sl_event_set(&world->stopping);
    source_world_set_full(world, false);
    sl_nursery_cancel(world->nursery);
    source_world_settle(world, -ECANCELED);
    sl_nursery_close(world->nursery);
    source_world_settle(world, -ECANCELED);
    if (world->source.shapes)
        shapes_free(world->source.shapes);
    parcel_pool_deinit(&world->pool);
    buf_deinit(&world->text);
    arena_deinit(&world->arena);
    return 0;
}

static inline void source_world_run_on(enum sl_loop_kind loop,
                                       SUSPENDS void (*check)(SourceWorld *world), void *ctx)
{
    SourceWorld world = { .check = check, .ctx = ctx };
    int r;

    arena_init(&world.arena, 0);
    r = sl_run(source_world_main, &world, .loop = loop);
    if (!world.nursery && loop == SL_LOOP_URING)
        return; /* the machine has none */
    EXPECT_OK(r);
}

/* Run CHECK on each kind of loop that has descriptors. */
static inline void source_world_run(SUSPENDS void (*check)(SourceWorld *world))
{
    source_world_run_on(SL_LOOP_EPOLL, check, NULL);
    source_world_run_on(SL_LOOP_URING, check, NULL);
}
