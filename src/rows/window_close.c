/*
 * Windows that end: which are due, what they come to, and the rows that go on.
 *
 * A tumbling window is its pane. One of several panes is merged first, pane by pane in order of
 * time, into a pane of its own; then the pane that no later window needs is let go. Both go in
 * pieces: a call hands on at most LIMIT_WINDOW_EMIT_ROWS rows and merges as many groups, and the
 * rest is due at once (next_tick_ns is 0), so that a million series neither hold the loop nor stand
 * in memory twice.
 */
#include "rows/window_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

/* ---- time and panes -------------------------------------------------------------------------- */

int64_t window_index_of(const WindowSpec *spec, int64_t time_ns)
{
    int64_t since = time_ns - spec->offset_ns, index = since / spec->every_ns;

    return since % spec->every_ns < 0 ? index - 1 : index;
}

int64_t window_start_of(const WindowSpec *spec, int64_t index)
{
    return index * spec->every_ns + spec->offset_ns;
}

void window_advance(Window *window, int64_t time_ns)
{
    const WindowSpec *spec = &window->spec;
    int64_t sealed;

    if (time_ns < window->next_seal_ns)
        return;
    sealed = window_start_of(spec, window_index_of(spec, time_ns - spec->lateness_ns));
    ASSERT(sealed >= window->sealed_ns);
    window->sealed_ns = sealed;
    window->next_seal_ns = sealed + spec->every_ns + spec->lateness_ns;
    window->pane = NULL; /* W1: it may be sealed */
}

size_t window_place_of(const Window *window, int64_t index)
{
    size_t low = 0, high = window->n_panes;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (window->panes[middle]->index <= index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void window_put_pane(Window *window, WindowPane *pane)
{
    size_t at = window_place_of(window, pane->index);

    if (window->n_panes == window->cap_panes) {
        window->cap_panes = MAX(2 * window->cap_panes, (size_t) 8);
        window->panes = mem_resize_array(window->panes, window->cap_panes,
                                         sizeof(window->panes[0]));
    }
    memmove(window->panes + at + 1, window->panes + at,
            (window->n_panes - at) * sizeof(window->panes[0]));
    window->panes[at] = pane;
    window->n_panes++;
}

/* Let the first N panes go. */
static void drop_panes(Window *window, size_t n)
{
    for (size_t i = 0; i < n; i++)
        window_pane_free(&window->spec, window->panes[i], &window->groups, &window->bytes);
    window->n_panes -= n;
    memmove(window->panes, window->panes + n, window->n_panes * sizeof(window->panes[0]));
    window->pane = NULL;
}

/* The window that is to be handed on next; there is a pane. */
static int64_t next_window(const Window *window)
{
    int64_t index = window->panes[0]->index - window->spec.n_panes + 1;

    return window->spec.n_panes == 1 ? index : MAX(index, window->next_window);
}

static int64_t end_of(const Window *window, int64_t index)
{
    return window_start_of(&window->spec, index + window->spec.n_panes);
}

bool window_is_due(const Window *window)
{
    if (window->merged)
        return true;
    return window->n_panes > 0 &&
           (window->is_ending || end_of(window, next_window(window)) <= window->sealed_ns);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Rows on their way out. */
typedef struct Exit {
    Window *window;
    StepRun *run;
    Parcel *parcel; /* being filled; owned */
    size_t left;    /* rows and merged groups that this call may still do */
} Exit;

static int make_shape(Window *window)
{
    const WindowSpec *spec = &window->spec;
    Shape *shape = shape_new(window->table, 0);
    size_t index;
    int r = 0;

    window->shape = shape;
    for (size_t i = 0; r == 0 && i < spec->n_by; i++) {
        window->by[i].is_known = true;
        r = shape_add(shape, spec->by[i], window->by[i].kind, window->by[i].unit, &index);
    }
    if (r == 0)
        r = shape_add(shape, str_from_c("window_start"), ROW_TIME, (Str){ 0 }, &index);
    if (r == 0)
        r = shape_add(shape, str_from_c("window_end"), ROW_TIME, (Str){ 0 }, &index);
    for (size_t i = 0; i < spec->n_measures; i++)
        window->measured[i].is_known = true;
    for (size_t i = 0; r == 0 && i < spec->n_outputs; i++) {
        const WindowOutput *output = &spec->outputs[i];
        bool has_unit = output->measure != WINDOW_NO_MEASURE && output->function != WINDOW_COUNT &&
                        output->function != WINDOW_RATE;

        r = shape_add(shape, output->name, output->function == WINDOW_COUNT ? ROW_INT : ROW_REAL,
                      has_unit ? window->measured[output->measure].unit : (Str){ 0 }, &index);
    }
    if (r == 0 && spec->late == WINDOW_LATE_EMIT)
        r = shape_add(shape, str_from_c("late"), ROW_BOOL, (Str){ 0 }, &index);
    return r;
}

/* A row to fill; the parcel that is full goes on. */
static RowValue *next_row(Exit *way_out)
{
    static const RowPlace nowhere = { 0 };
    Window *window = way_out->window;
    RowValue *row = way_out->parcel ? parcel_add(way_out->parcel, &nowhere) : NULL;

    if (row)
        return row;
    if (way_out->parcel)
        step_emit(way_out->run, TAKE(way_out->parcel));
    way_out->parcel = parcel_new(way_out->run->pool, window->shape, NULL, NULL);
    way_out->parcel->received_ns = way_out->run->now_ns;
    if (way_out->run->parcel)
        way_out->parcel->arrived_ns = way_out->run->parcel->arrived_ns;
    return parcel_add(way_out->parcel, &nowhere);
}

/* Hand on group INDEX of PANE, a row of the window with WINDOW_INDEX. */
static void emit_group(Exit *way_out, const WindowPane *pane, uint32_t index, int64_t window_index)
{
    const Window *window = way_out->window;
    const WindowSpec *spec = &window->spec;
    const WindowGroup *group = window_pane_group(spec, pane, index);
    Str key = window_pane_key(pane, group);
    RowValue *row = next_row(way_out);
    int64_t start = window_start_of(spec, window_index);

    for (size_t i = 0; i < spec->n_by; i++) {
        bool is_there = row_key_take(&key, row);

        ASSERT(is_there);
        if (row->text.len > 0)
            row->text = parcel_copy_text(way_out->parcel, row->text);
        row++;
    }
    *row++ = row_time_ns(start);
    *row++ = row_time_ns(start + spec->size_ns);
    for (size_t i = 0; i < spec->n_outputs; i++)
        *row++ = window_group_result(spec, group, &spec->outputs[i]);
    if (spec->late == WINDOW_LATE_EMIT)
        *row = row_boolean(pane->is_late);
}

/* Hand on groups of PANE. Whether it is done. */
static bool emit_pane(Exit *way_out, WindowPane *pane, int64_t window_index)
{
    for (; pane->n_done < pane->n && way_out->left > 0; way_out->left--)
        emit_group(way_out, pane, pane->n_done++, window_index);
    return pane->n_done == pane->n;
}

/* ---- windows of several panes ---------------------------------------------------------------- */

static int merge_group(Window *window, const WindowPane *pane, uint32_t index)
{
    const WindowGroup *from = window_pane_group(&window->spec, pane, index);
    Str key = window_pane_key(pane, from);
    WindowGroup *group;
    uint64_t hash;

    group = window_pane_find(&window->spec, window->merged, key, window->seed, &hash);
    if (!group) {
        group = window_pane_add(&window->spec, window->merged, key, hash, &window->merged_bytes);
        if (!group)
            return fail(-ENOMEM, "a window of %u series", window->merged->n);
    }
    return window_group_merge(&window->spec, group, from, &window->merged_bytes);
}

/* Whether the panes of the window are merged. */
static bool is_merged(const Window *window)
{
    return window->merge_pane == window->n_panes ||
           window->panes[window->merge_pane]->index >= window->window + window->spec.n_panes;
}

/* Merge groups; at most as many as the call may do. */
static int merge_some(Exit *way_out)
{
    Window *window = way_out->window;
    int r = 0;

    while (r == 0 && !is_merged(window) && way_out->left > 0) {
        const WindowPane *pane = window->panes[window->merge_pane];

        if (window->merge_group < pane->n && pane->from <= window->window) { /* W5 */
            r = merge_group(window, pane, window->merge_group++);
            way_out->left--;
            continue;
        }
        window->merge_pane++;
        window->merge_group = 0;
    }
    return r;
}

void window_drop_merged(Window *window)
{
    size_t groups = 0;

    if (!window->merged)
        return;
    groups = window->merged->n;
    window_pane_free(&window->spec, window->merged, &groups, &window->merged_bytes);
    ASSERT(window->merged_bytes == 0);
    window->merged = NULL;
}

static void begin_merge(Window *window)
{
    window->window = next_window(window);
    window->merged = window_pane_new(window->window);
    window->merge_pane = 0;
    window->merge_group = 0;
}

int window_merge_all(Window *window)
{
    Exit way_out = { .window = window, .left = SIZE_MAX };

    if (!window->merged)
        begin_merge(window);
    return merge_some(&way_out);
}

/* The window is handed on: let go of it and of the panes that no later one needs. */
static void end_merge(Window *window)
{
    window_drop_merged(window);
    window->merged_skip = 0;
    window->next_window = window->window + 1;
    drop_panes(window, window_place_of(window, window->window));
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* What is handed on at the end of the rows is closed for rows that come after all. */
static void seal_to(Window *window, int64_t end_ns)
{
    if (end_ns <= window->sealed_ns)
        return;
    window->sealed_ns = end_ns;
    window->next_seal_ns = MAX(window->next_seal_ns,
                               end_ns + window->spec.every_ns + window->spec.lateness_ns);
    window->pane = NULL;
}

static int close_tumbling(Exit *way_out)
{
    Window *window = way_out->window;
    WindowPane *pane = window->panes[0];

    if (window->pane == pane)
        window->pane = NULL;
    seal_to(window, window_start_of(&window->spec, pane->index + 1));
    if (emit_pane(way_out, pane, pane->index))
        drop_panes(window, 1);
    return 0;
}

static int close_overlapping(Exit *way_out)
{
    Window *window = way_out->window;
    int r;

    if (!window->merged)
        begin_merge(window);
    seal_to(window,
            MIN(end_of(window, window->window),
                window_start_of(&window->spec, window->panes[window->n_panes - 1]->index + 1)));
    r = merge_some(way_out);
    if (r < 0 || !is_merged(window))
        return r;
    if (window->merged_skip > 0) {
        window->merged->n_done = MIN(window->merged_skip, window->merged->n);
        window->merged_skip = 0;
    }
    if (emit_pane(way_out, window->merged, window->window))
        end_merge(window);
    return 0;
}

int window_close_due(Window *window, StepRun *run)
{
    Exit way_out = { .window = window, .run = run, .left = LIMIT_WINDOW_EMIT_ROWS };
    int r = 0;

    if (!window_is_due(window))
        return 0;
    if (!window->shape)
        r = make_shape(window);
    while (r == 0 && way_out.left > 0 && window_is_due(window))
        r = window->spec.n_panes == 1 ? close_tumbling(&way_out) : close_overlapping(&way_out);
    if (way_out.parcel)
        step_emit(run, TAKE(way_out.parcel));
    return r;
}
