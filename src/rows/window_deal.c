/*
 * What one lane's windows hold, dealt out among other lanes.
 *
 *   bytes of a lane --load--> panes of groups --by their key--> the lane where the rows will come
 *
 * A group names its series by the columns of `by`, and those by which the lanes share the rows are
 * among them (StepDriver.knows), so the lane of a group is the one that the router will choose for
 * its rows. Groups of one series that were in two lanes become one.
 *
 * Each lane had its watermark. The greatest one counts for all from here on, as if all rows had
 * come through one lane; what is behind it in a lane that was slower is due at once. Of windows of
 * several panes, the lanes may have handed on different ones: the least is next, and a pane says
 * from which on its rows count (W5). Rows to come are behind all that was handed on anywhere, so
 * they never bring back a window.
 *
 * A window that was being handed on is not begun again: the series that have gone out do not count
 * for it any more.
 */
#include "rows/window_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "rows/step_share.h"

/* How the columns of the share stand in a key. */
typedef struct Dealing {
    Window **windows;
    const StepShare *share;
    Window *old; /* what one lane had; owned */
    size_t at[WINDOW_BY_MAX];
    size_t n;
} Dealing;

static size_t find_by(const WindowSpec *spec, Str column)
{
    for (size_t i = 0; i < spec->n_by; i++) {
        if (str_eq(spec->by[i], column))
            return i;
    }
    return SHAPE_NONE;
}

bool window_knows(const WindowSpec *spec, Str column)
{
    /* a column "measurement" that rows do not have is the name of their shape */
    return find_by(spec, column) != SHAPE_NONE && !str_eq_c(column, "measurement");
}

/* ---- the lane of a key ----------------------------------------------------------------------- */

static int find_columns(Dealing *dealing)
{
    const StepShare *share = dealing->share;

    if (share->n_lanes == 1)
        return 0;
    if (share->n_columns > WINDOW_BY_MAX)
        return fail(-ERR_CONFLICT, "the windows cannot be dealt out by %zu columns",
                    share->n_columns);
    for (; dealing->n < share->n_columns; dealing->n++) {
        Str column = share->columns[dealing->n];

        dealing->at[dealing->n] = find_by(&dealing->old->spec, column);
        if (dealing->at[dealing->n] == SHAPE_NONE)
            return fail(-ERR_CONFLICT, "the windows do not know their %.*s", (int) column.len,
                        column.data);
    }
    return 0;
}

static size_t lane_of(const Dealing *dealing, Str key)
{
    const StepShare *share = dealing->share;
    uint64_t sum = share->seed;
    RowValue values[WINDOW_BY_MAX];
    bool has_value = false;

    if (share->n_lanes == 1)
        return 0;
    for (size_t i = 0; i < dealing->old->spec.n_by; i++) {
        bool is_there = row_key_take(&key, &values[i]);

        ASSERT(is_there); /* the load has looked */
    }
    for (size_t i = 0; i < dealing->n; i++) {
        has_value |= values[dealing->at[i]].kind != ROW_ANY;
        sum = step_share_add(sum, &values[dealing->at[i]]);
    }
    return has_value ? step_share_lane(sum, share->n_lanes) : share->lane_of_none;
}

/* ---- what all lanes get ---------------------------------------------------------------------- */

/* Of two kinds a column takes every kind. */
static void learn_columns(Window *window, WindowColumn *to, const WindowColumn *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!from[i].is_known)
            continue;
        if (to[i].is_known) {
            to[i].kind = to[i].kind == from[i].kind ? to[i].kind : ROW_ANY;
            continue;
        }
        to[i] = from[i];
        to[i].unit = arena_copy(&window->spec.arena, from[i].unit);
    }
}

static bool is_new(const Window *window)
{
    return window->newest_ns == INT64_MIN && window->n_panes == 0;
}

static void learn(Window *window, const Window *old)
{
    const WindowSpec *spec = &window->spec;

    learn_columns(window, window->by, old->by, spec->n_by);
    learn_columns(window, window->measured, old->measured, spec->n_measures);
    window->next_window = is_new(window) ? old->next_window
                                         : MIN(window->next_window, old->next_window);
    window->newest_ns = MAX(window->newest_ns, old->newest_ns);
    window->is_ending |= old->is_ending;
    if (old->sealed_ns <= window->sealed_ns)
        return;
    window->sealed_ns = old->sealed_ns;
    window->next_seal_ns = old->next_seal_ns;
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* The pane of WINDOW for groups of PANE that count from window FROM on. */
static WindowPane *pane_for(Window *window, const WindowPane *pane, int64_t from)
{
    WindowPane *found;

    for (size_t at = window_place_of(window, pane->index);
         at > 0 && window->panes[at - 1]->index == pane->index; at--) {
        found = window->panes[at - 1];
        if (found->from == from && found->is_late == pane->is_late && found->n_done == 0)
            return found;
    }
    found = window_pane_new(pane->index);
    found->from = from;
    found->is_late = pane->is_late;
    window_put_pane(window, found);
    return found;
}

/* From which window on what KEY has in PANE counts. */
static int64_t first_window(const Dealing *dealing, const WindowPane *pane, Str key)
{
    Window *old = dealing->old;
    const WindowGroup *group;
    int64_t from;
    uint64_t hash;

    if (old->spec.n_panes == 1)
        return INT64_MIN;
    from = MAX(pane->from, old->next_window);
    if (old->merged_skip == 0)
        return from;
    group = window_pane_find(&old->spec, old->merged, key, old->seed, &hash);
    if (group && (size_t) ((const char *) group - old->merged->groups) / old->spec.group_bytes <
                     old->merged_skip)
        return MAX(from, old->window + 1); /* it has gone out */
    return from;
}

static int deal_group(const Dealing *dealing, const WindowPane *pane, const WindowGroup *group)
{
    Str key = window_pane_key(pane, group);
    Window *window = dealing->windows[lane_of(dealing, key)];
    WindowPane *own = pane_for(window, pane, first_window(dealing, pane, key));
    WindowGroup *to;
    uint64_t hash;

    to = window_pane_find(&window->spec, own, key, window->seed, &hash);
    if (!to) {
        to = window_pane_add(&window->spec, own, key, hash, &window->bytes);
        if (!to)
            return fail(-ENOMEM, "the state of %zu series", window->groups);
        window->groups++;
    }
    return window_group_merge(&window->spec, to, group, &window->bytes);
}

static int deal_panes(const Dealing *dealing)
{
    const Window *old = dealing->old;
    int r = 0;

    for (size_t i = 0; r == 0 && i < old->n_panes; i++) {
        const WindowPane *pane = old->panes[i];

        for (uint32_t k = pane->n_done; r == 0 && k < pane->n; k++)
            r = deal_group(dealing, pane, window_pane_group(&old->spec, pane, k));
    }
    return r;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int deal(Dealing *dealing, Str bytes)
{
    Window *old = dealing->old;
    int r = window_load(old, bytes);

    if (r < 0 || is_new(old))
        return r;
    r = find_columns(dealing);
    if (r == 0 && old->merged_skip > 0 && old->n_panes > 0)
        r = window_merge_all(old);
    for (size_t i = 0; i < dealing->share->n_lanes && r == 0; i++)
        learn(dealing->windows[i], old);
    return r < 0 ? r : deal_panes(dealing);
}

int window_deal(void *const *states, const StepShare *share, Str bytes)
{
    Window *windows[LIMIT_PIPELINE_LANES];
    Dealing dealing = { .windows = windows, .share = share };
    int r;

    ASSERT(share->n_lanes > 0 && share->n_lanes <= LIMIT_PIPELINE_LANES);
    for (size_t i = 0; i < share->n_lanes; i++)
        windows[i] = CAST(Window, WINDOW_TAG, states[i]);
    r = window_new(windows[0]->args, windows[0]->table, &dealing.old);
    if (r == 0)
        r = deal(&dealing, bytes);
    window_free(dealing.old);
    return r;
}
