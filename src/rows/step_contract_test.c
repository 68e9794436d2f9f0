/*
 * The contract of steps, run against every step of the build: no row without a fate, values of the
 * kinds of their columns, the same parcels give the same rows (T1), what was saved goes on as if it
 * had never stopped (T2), columns are found again when shapes change (T4), and no row, however
 * strange, is an error of the step.
 *
 * A new step needs a line in `cases`; without one this test fails and says so.
 */
#include "base/rand.h"
#include "gen/steps.h"
#include "rows/step_world_int.h"

#include <math.h>

typedef struct Case {
    const char *name, *settings;
} Case;

static const Case cases[] = {
    { "validate", "{\"columns\":{\"time\":{\"kind\":\"time\",\"max_age\":\"1h\"},"
                  "\"sensor\":{\"kind\":\"text\",\"max_length\":20,\"required\":true},"
                  "\"value\":{\"kind\":\"number\",\"unit\":\"degC\",\"from\":\"degF\",\"max\":99},"
                  "\"n\":{\"kind\":\"integer\",\"otherwise\":\"null\",\"default\":3},"
                  "\"note\":{\"kind\":\"json\"}}}" },
    { "validate", "{\"columns\":{\"sensor\":{\"kind\":\"text\",\"pattern\":\"^[a-z]\"},"
                  "\"value\":\"integer\",\"is_ok\":\"text\"},\"unknown\":\"drop\"}" },
    { "validate", "{\"columns\":{\"sensor\":\"any\",\"n\":\"boolean\"},\"unknown\":\"refuse\"}" },
    { "rename", "{\"columns\":{\"value\":\"sensor\",\"sensor\":\"value\",\"n\":\"later\"}}" },
    { "convert", "{\"columns\":{\"value\":\"value * 2 + n\",\"label\":\"sensor + '!'\","
                 "\"n\":{\"kind\":\"text\"},\"sensor\":\"upper(sensor)\","
                 "\"c\":{\"value\":\"value\",\"from\":\"degF\",\"unit\":\"K\"}}}" },
    { "convert", "{\"columns\":{\"n\":\"1 / n\",\"t\":\"time + 1\"},\"otherwise\":\"refuse\"}" },
    { "filter", "{\"expression\":\"value > 0 or sensor =~ '^s' or not is_ok\"}" },
    { "parse", "{\"as\":\"json\",\"column\":\"sensor\",\"prefix\":\"p.\"}" },
    { "parse", "{\"as\":\"logfmt\",\"column\":\"sensor\",\"keep\":true,\"otherwise\":\"keep\"}" },
    { "parse", "{\"as\":\"csv\",\"column\":\"sensor\",\"names\":[\"value\",\"x\"]}" },
    { "parse", "{\"as\":\"pattern\",\"column\":\"note\",\"pattern\":\"{a}:{b}\"}" },
    { "select", "{\"keep\":[\"value\",\"s*\"]}" },
    { "select", "{\"drop\":[\"*e*\"]}" },
    { "jq", "{\"program\":\".value = (.n // 0) + 1 | ., select(.n == 3)\"}" },
    { "join", "{\"on\":[\"sensor\"],\"rows\":[{\"sensor\":\"s1\",\"room\":\"a\",\"n\":\"b\"}]}" },
    { "join", "{\"on\":[\"n\"],\"rows\":[{\"n\":1,\"room\":1}],\"missing\":\"refuse\"}" },
    { "sample", "{\"every\":2}" },
    { "sample", "{\"share\":0.5,\"by\":[\"sensor\",\"none\"]}" },
    { "throttle", "{\"rate\":5,\"by\":[\"sensor\"]}" },
    { "throttle", "{\"rate\":5,\"over\":\"mark\",\"mark\":\"value\"}" },
    { "window", "{\"every\":\"10s\",\"by\":[\"sensor\"],\"lateness\":\"5s\"}" },
    { "window", "{\"every\":\"10s\",\"size\":\"30s\","
                "\"aggregate\":{\"value\":[\"count\",\"mean\",\"p99\",\"last\"]}}" },
    { "dedupe", "{\"within\":\"10s\",\"key\":[\"sensor\",\"n\"]}" },
    { "dedupe", "{\"within\":\"10s\",\"time\":\"time\"}" },
};

#define N_PARCELS 12
#define N_ROWS    40

/* ---- strange rows ---------------------------------------------------------------------------- */

static Str strange_text(Rand *rand, Buf *room)
{
    static const Str texts[] = {
        STR(""),
        STR(" "),
        STR("s1"),
        STR("s2"),
        STR("12.5"),
        STR("-7"),
        STR("nan"),
        STR("1e999"),
        STR("a=1 b"),
        STR("{\"a\":1}"),
        STR("{\"a\":\"x\"}"),
        STR("{\"a\":{\"b\":[1]}}"),
        STR("x,y"),
        STR("\"x"),
        STR("a:b"),
        STR("a\0b"),
        STR("ä\xe2\x80\xa8"),
        STR("true"),
        STR("2026-11-21T03:15:00Z"),
        STR("[[[[[["),
    };
    uint64_t which = rand_below(rand, ARRAY_LEN(texts) + 1);

    if (which < ARRAY_LEN(texts))
        return texts[which];
    buf_reset(room);
    for (int i = 0; i < 20000; i++)
        buf_add_char(room, (char) ('a' + i % 26));
    return buf_str(room);
}

static RowValue strange_value(Rand *rand, RowKind kind, Parcel *parcel, Buf *room)
{
    static const double reals[] = { 0.0, -0.0, NAN, INFINITY, -INFINITY, 1e308, -1e-320, 21.5, 7 };
    static const int64_t integers[] = { 0, 1, -1, 3, INT64_MIN, INT64_MAX, 1700000000 };
    static const int64_t times[] = { INT64_MIN, INT64_MAX, 0, STEP_WORLD_NOW_NS,
                                     STEP_WORLD_NOW_NS - 30 * NS_PER_S };

    if (rand_below(rand, 5) == 0)
        return row_null();
    switch (kind) {
    case ROW_REAL: return row_real(reals[rand_below(rand, ARRAY_LEN(reals))], (Str){ 0 });
    case ROW_INT: return row_integer(integers[rand_below(rand, ARRAY_LEN(integers))]);
    case ROW_BOOL: return row_boolean(rand_below(rand, 2));
    case ROW_TIME: return row_time_ns(times[rand_below(rand, ARRAY_LEN(times))]);
    case ROW_JSON: return row_json(STR_C("{\"a\":[1,2]}"));
    case ROW_ANY:
    case ROW_TEXT: break;
    }
    return row_text(parcel_copy_text(parcel, strange_text(rand, room)));
}

/* The columns of parcel NUMBER: they grow, change their kinds, and go. */
static void choose_columns(StepWorld *world, int number)
{
    size_t index;

    switch (number % 6) {
    case 0:
        step_world_columns(world, "time:time sensor:text value:number n:integer is_ok:boolean");
        break;
    case 1: EXPECT_OK(shape_add(world->shape, STR_C("note"), ROW_TEXT, STR_C(""), &index)); break;
    case 2: step_world_columns(world, "n:text value:text sensor:text time:text"); break;
    case 3: step_world_columns(world, "note:json sensor:integer"); break;
    case 4:
        step_world_columns(world, "time:time sensor:text value:any n:number is_ok:boolean");
        shape_seal(world->shape);
        break;
    case 5: step_world_columns(world, "other:text"); break;
    }
}

static Parcel *strange_parcel(StepWorld *world, Rand *rand, int number, bool is_null)
{
    AUTO(buf_deinit) Buf room = { 0 };
    Parcel *parcel;

    choose_columns(world, number);
    parcel = parcel_new(&world->pool, world->shape, NULL, NULL);
    for (int i = 0; i < N_ROWS; i++) {
        RowPlace place = { .line = (uint64_t) i + 1 };
        RowValue *row = parcel_add(parcel, &place);

        for (size_t c = 0; row && !is_null && c < parcel->rows.n_columns; c++)
            row[c] = strange_value(rand, parcel->rows.columns[c].kind, parcel, &room);
    }
    return parcel;
}

/* ---- what every parcel must be --------------------------------------------------------------- */

static void check_parcel(const Parcel *parcel)
{
    const RowColumn *columns = parcel->rows.columns;

    EXPECT(parcel->rows.n_columns <= shape_width(parcel->shape));
    for (size_t c = 0; c < parcel->rows.n_columns; c++) {
        EXPECT_STR(columns[c].name, shape_columns(parcel->shape)[c].name);
        EXPECT_EQ(columns[c].kind, shape_columns(parcel->shape)[c].kind);
        for (size_t i = 0; i < parcel->rows.n_rows; i++) {
            RowKind kind = row_batch_row(&parcel->rows, i)[c].kind;

            if (kind != ROW_ANY && columns[c].kind != ROW_ANY && kind != columns[c].kind)
                test_fail(__FILE__, __LINE__, "column %.*s is %s, a value %s",
                          (int) columns[c].name.len, columns[c].name.data,
                          row_kind_name(columns[c].kind), row_kind_name(kind));
        }
    }
    for (size_t i = 0; i < parcel->n_dead; i++) {
        EXPECT(parcel->dead[i].why.code[0] != '\0' && parcel->dead[i].why.text[0] != '\0');
        EXPECT(str_is_utf8(str_from_c(parcel->dead[i].why.text)));
        EXPECT(parcel->dead[i].values.len > 0);
    }
}

/* As step_world_run_parcel, with the parcel looked at. */
static void run_parcel(StepWorld *world, TAKES Parcel *parcel, int number)
{
    Parcel *kept = parcel_ref(parcel);

    world->now_ns = STEP_WORLD_NOW_NS + number * NS_PER_S;
    EXPECT_OK(step_world_run_parcel(world, parcel));
    check_parcel(kept);
    parcel_free(&world->pool, kept);
}

static void tick(StepWorld *world, bool is_last)
{
    List made = { 0 };
    StepRun run = { .now_ns = STEP_WORLD_NOW_NS + 3600 * NS_PER_S,
                    .pool = &world->pool,
                    .made = &made,
                    .late = &world->late };
    ListLink *link;

    if (!world->driver->tick)
        return;
    EXPECT_OK(world->driver->tick(world->state, &run, is_last));
    while ((link = list_pop_front(&made)) != NULL) {
        Parcel *parcel = LIST_ITEM(link, Parcel, link);

        check_parcel(parcel);
        world->n_made += parcel_count(parcel);
        step_world_show(world, parcel);
        step_world_let_go(world, parcel);
    }
}

static bool open_case(StepWorld *world, const Case *item)
{
    return step_world_open(world, item->name, item->settings);
}

/* ---- the tests ------------------------------------------------------------------------------- */

/* CHECK of each case of the build. */
static void for_each_case(void (*check)(const Case *item))
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool had_failed = test_has_failed();

        if (step_driver_find(str_from_c(cases[i].name)))
            check(&cases[i]);
        if (!had_failed && test_has_failed())
            printf("first failure with %s %s\n", cases[i].name, cases[i].settings);
    }
}

TEST(every_step_is_here)
{
    for (size_t i = 0; i < steps_count; i++) {
        const StepDriver *driver = steps_table[i];
        bool is_here = false;

        for (size_t k = 0; k < ARRAY_LEN(cases); k++)
            is_here |= strcmp(cases[k].name, driver->name) == 0;
        if (!is_here)
            test_fail(__FILE__, __LINE__, "step %s has no line in `cases`", driver->name);
        EXPECT(driver->summary && driver->open && driver->close && driver->run);
        EXPECT(!driver->is_stateful || (driver->save && driver->load));
        if (driver->args)
            EXPECT_OK(schema_check(driver->args));
    }
}

static void check_empty_and_null(const Case *item)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    Rand rand;

    if (!open_case(&world, item))
        return;
    rand_init(&rand, 1);
    for (int number = 0; number < 6; number++) {
        choose_columns(&world, number);
        run_parcel(&world, parcel_new(&world.pool, world.shape, NULL, NULL), number);
        run_parcel(&world, strange_parcel(&world, &rand, number, true), number);
    }
    tick(&world, true);
}

TEST(empty_parcels_and_rows_of_nulls)
{
    for_each_case(check_empty_and_null);
}

/* Run the parcels FROM to TO of SEED. */
static void run_strange(StepWorld *world, Rand *rand, int from, int to)
{
    for (int number = from; number < to; number++)
        run_parcel(world, strange_parcel(world, rand, number, false), number);
}

static void check_same_twice(const Case *item)
{
    AUTO(buf_deinit) Buf first = { 0 };

    for (int seed = 1; seed <= 3; seed++) {
        for (int turn = 0; turn < 2; turn++) {
            AUTO(step_world_deinit) StepWorld world = { 0 };
            Rand rand;

            if (!open_case(&world, item))
                return;
            rand_init(&rand, (uint64_t) seed);
            run_strange(&world, &rand, 0, N_PARCELS);
            tick(&world, true);
            if (turn == 1)
                EXPECT(str_eq(buf_str(&world.text), buf_str(&first)));
            buf_reset(&first);
            buf_add_str(&first, buf_str(&world.text));
        }
    }
}

TEST(strange_rows_twice_the_same)
{
    for_each_case(check_same_twice);
}

/* Take out values that are null: columns that came before a step was saved are no state of it. */
static void drop_nulls(Buf *text)
{
    AUTO(buf_deinit) Buf out = { .max_bytes = 1 << 30 };
    Str rest = buf_str(text), line;

    while (rest.len > 0) {
        AUTO(arena_deinit) Arena arena = { 0 };
        const char *brace;
        JsonDoc doc;

        line = str_cut(rest, '\n', &rest);
        brace = memchr(line.data, '{', line.len);
        if (!brace ||
            json_parse(&arena, str_sub(line, (size_t) (brace - line.data), line.len), &doc) < 0) {
            buf_add_str(&out, line);
            buf_add_char(&out, '\n');
            continue;
        }
        buf_add_str(&out, str_from(line.data, (size_t) (brace - line.data)));
        for (JsonIter it = json_iter(doc.root); json_next(&it);) {
            if (!json_is_null(it.value))
                buf_printf(&out, " %.*s=%.*s", (int) it.key.len, it.key.data,
                           (int) json_raw(&doc, it.value).len, json_raw(&doc, it.value).data);
        }
        buf_add_char(&out, '\n');
    }
    buf_reset(text);
    buf_add_str(text, buf_str(&out));
}

/* Saved in the middle and loaded by another, beside one that goes on. */
static void check_saved(const Case *item)
{
    AUTO(step_world_deinit) StepWorld one = { 0 };
    AUTO(step_world_deinit) StepWorld other = { 0 };
    AUTO(buf_deinit) Buf state = { 0 };
    Rand rand, again;

    if (!open_case(&one, item) || !one.driver->is_stateful || !open_case(&other, item))
        return;
    rand_init(&rand, 5);
    run_strange(&one, &rand, 0, N_PARCELS / 2);
    EXPECT_OK(one.driver->save(one.state, &state));
    EXPECT_OK(other.driver->load(other.state, buf_str(&state)));
    buf_reset(&one.text);
    again = rand;
    run_strange(&one, &rand, N_PARCELS / 2, N_PARCELS);
    run_strange(&other, &again, N_PARCELS / 2, N_PARCELS);
    tick(&one, true);
    tick(&other, true);
    drop_nulls(&one.text);
    drop_nulls(&other.text);
    EXPECT_STR(buf_str(&other.text), buf_str(&one.text));
}

TEST(what_is_saved_goes_on)
{
    for_each_case(check_saved);
}

/* Bytes that are no state are refused in words, and nothing breaks. */
static void check_damaged(const Case *item)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    AUTO(buf_deinit) Buf state = { 0 };
    Rand rand;

    if (!open_case(&world, item) || !world.driver->is_stateful)
        return;
    rand_init(&rand, 6);
    run_strange(&world, &rand, 0, 6);
    EXPECT_OK(world.driver->save(world.state, &state));
    for (int i = 0; i < 300; i++) {
        AUTO(step_world_deinit) StepWorld fresh = { 0 };
        AUTO(buf_deinit) Buf bad = { 0 };
        int r;

        buf_add(&bad, state.data, i % 2 ? rand_below(&rand, state.len) : state.len);
        if (bad.len > 0)
            bad.data[rand_below(&rand, bad.len)] ^= (char) (1 << rand_below(&rand, 8));
        if (!open_case(&fresh, item))
            return;
        r = fresh.driver->load(fresh.state, buf_str(&bad));
        EXPECT(r == 0 || r == -ERR_CONFLICT);
        if (r == 0) /* a number was changed: it goes on with that */
            run_strange(&fresh, &rand, 0, 2);
    }
}

TEST(damaged_states)
{
    for_each_case(check_damaged);
}

/* A delivery is done once, when its last parcel is, and not before. */
static void on_done(Receipt *receipt, void *ctx)
{
    ++*(int *) ctx;
    receipt_free(receipt);
}

static void check_receipt(const Case *item)
{
    AUTO(step_world_deinit) StepWorld world = { 0 };
    Receipt *receipt = receipt_new(0, STR_C("test"), STR_C(""));
    int done = 0;
    Parcel *parcel;

    receipt->on_done = on_done;
    receipt->ctx = &done;
    if (!open_case(&world, item)) {
        receipt_seal(receipt);
        return;
    }
    step_world_columns(&world, "time:time sensor:text value:number n:integer");
    parcel = parcel_new(&world.pool, world.shape, receipt, NULL);
    for (int i = 0; i < 10; i++) {
        RowValue *row = parcel_add(parcel, &(RowPlace){ .line = (uint64_t) i + 1 });

        row[0] = row_time_ns(STEP_WORLD_NOW_NS);
        row[1] = row_text(STR_C("s1"));
        row[3] = row_integer(3);
    }
    receipt_seal(receipt);
    EXPECT_EQ(done, 0);
    run_parcel(&world, parcel, 0);
    EXPECT_EQ(done, 1);
    tick(&world, true);
}

TEST(deliveries_end_once)
{
    for_each_case(check_receipt);
}

TEST_MAIN()
