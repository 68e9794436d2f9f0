/*
 * Fuzz: the state of the window step. Whatever the bytes are, they are loaded or refused; what is
 * loaded is saved as a state that loads again and is saved as the same, takes rows, hands all of
 * its windows on, and owns nothing afterwards.
 *
 * The first byte chooses the settings, the rest is the state.
 */
#include "rows/window_int.h"

#include "base/assert.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

extern const StepDriver step_window;

static const char *const settings[] = {
    "{\"every\": \"10s\", \"by\": [\"sensor\"], \"late\": \"emit\", \"aggregate\": "
    "\"value:count,sum,stddev,min,max,p99,first,last,rate;count\"}",
    "{\"every\": \"10s\", \"size\": \"1m\", \"by\": [\"sensor\"], \"aggregate\": "
    "\"value:p50,mean\"}",
};

static Window *open_window(Arena *arena, const char *text)
{
    WindowArgs *args = arena_new(arena, WindowArgs);
    void *state = NULL;

    ASSERT(schema_decode_text(arena, &window_args_schema, str_from_c(text), args, NULL) == 0);
    ASSERT(step_window.open(&(StepOpts){ .args = args }, &state) == 0);
    return state;
}

static void drop_made(ParcelPool *pool, List *made)
{
    ListLink *link;

    while ((link = list_pop_front(made)) != NULL) {
        Parcel *parcel = LIST_ITEM(link, Parcel, link);

        parcel->rows.n_rows = 0;
        parcel_free(pool, parcel);
    }
}

/* Rows around the newest time of the state. */
static Parcel *some_rows(ParcelPool *pool, Shape *shape, int64_t newest_ns)
{
    static const RowPlace nowhere = { 0 };
    Parcel *parcel = parcel_new(pool, shape, NULL, NULL);
    int64_t base = MIN(MAX(newest_ns, WINDOW_TIME_MIN), WINDOW_TIME_MAX - 200 * NS_PER_S);

    for (int i = 0; i < 20; i++) {
        RowValue *row = parcel_add(parcel, &nowhere);

        row[0] = row_time_ns(base + (i * 7 % 20 - 5) * 5 * NS_PER_S);
        row[1] = row_text(i % 2 ? str_from_c("a") : str_from_c("b"));
        row[2] = row_real(i, (Str){ 0 });
    }
    return parcel;
}

static void check_again(const Window *window, Arena *arena, const char *text)
{
    AUTO(buf_deinit) Buf bytes = { 0 }, again = { 0 };
    Window *second = open_window(arena, text);

    window_save(window, &bytes);
    ASSERT(window_load(second, buf_str(&bytes)) == 0);
    window_save(second, &again);
    ASSERT(str_eq(buf_str(&bytes), buf_str(&again)));
    ASSERT(second->groups == window->groups && second->bytes == window->bytes);
    step_window.close(second);
}

static void use(Window *window)
{
    AUTO(shape_unref) Shape *shape = shape_new(str_from_c("rows"), 0);
    ParcelPool pool = { 0 };
    List made = { 0 };
    StepRun run = { .pool = &pool, .made = &made, .now_ns = window->newest_ns };
    size_t index;

    ASSERT(shape_add(shape, str_from_c("time"), ROW_TIME, (Str){ 0 }, &index) == 0);
    ASSERT(shape_add(shape, str_from_c("sensor"), ROW_TEXT, (Str){ 0 }, &index) == 0);
    ASSERT(shape_add(shape, str_from_c("value"), ROW_REAL, (Str){ 0 }, &index) == 0);
    run.parcel = some_rows(&pool, shape, window->newest_ns);
    ASSERT(step_window.run(window, &run) == 0);
    parcel_free(&pool, run.parcel);
    run.parcel = NULL;
    do {
        drop_made(&pool, &made);
        ASSERT(step_window.tick(window, &run, true) == 0);
    } while (step_window.next_tick_ns(window) == 0);
    drop_made(&pool, &made);
    ASSERT(window->n_panes == 0 && window->groups == 0 && window->bytes == 0);
    parcel_pool_deinit(&pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    const char *text;
    Window *window;

    if (len == 0)
        return 0;
    text = settings[data[0] % ARRAY_LEN(settings)];
    window = open_window(&arena, text);
    if (window_load(window, str_from((const char *) data + 1, len - 1)) == 0) {
        check_again(window, &arena, text);
        use(window);
    }
    step_window.close(window);
    return 0;
}
