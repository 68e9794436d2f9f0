/*
 * The state of the window step as bytes.
 *
 *   version 2
 *   settings                 text: what must be the same for the state to be of use
 *   for each column of `by`, then for each measured one: is it known, its kind, its unit
 *   newest, sealed, next window, flags (1: the rows are at their end), rows of the current window
 *   that are handed on
 *   number of panes; for each: index, first window it counts for, flags (1: late), groups handed
 *   on, groups; for each of those: key, rows, cells
 *
 * Numbers are varints, what a cell sums up is eight bytes each. Where the hash table keeps a group
 * and what it guesses is no state: the results do not depend on it. Neither is when the last rows
 * arrived: while nothing ran, no source was silent.
 */
#include "rows/window_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "codec/varint.h"

#define VERSION     2
#define FLAG_ENDING 1
#define FLAG_LATE   1

/* One lane may have been given what many had. */
#define GROUPS_MAX  ((size_t) LIMIT_WINDOW_GROUPS * LIMIT_PIPELINE_LANES)
#define PANES_MAX   ((size_t) LIMIT_WINDOW_PANES * LIMIT_PIPELINE_LANES)

/* What must be the same: everything that says what the numbers in the state mean. */
static void write_settings(const Window *window, Buf *out)
{
    const WindowSpec *spec = &window->spec;

    buf_printf(out, "every %lld, size %lld, offset %lld, time %.*s; by", (long long) spec->every_ns,
               (long long) spec->size_ns, (long long) spec->offset_ns, (int) spec->time.len,
               spec->time.data);
    for (size_t i = 0; i < spec->n_by; i++)
        buf_printf(out, " %.*s", (int) spec->by[i].len, spec->by[i].data);
    buf_add_c(out, "; aggregate");
    for (size_t i = 0; i < spec->n_outputs; i++)
        buf_printf(out, " %.*s", (int) spec->outputs[i].name.len, spec->outputs[i].name.data);
}

/* ---- saving ---------------------------------------------------------------------------------- */

static void save_columns(const WindowColumn *columns, size_t n, Buf *out)
{
    for (size_t i = 0; i < n; i++) {
        buf_add_char(out, columns[i].is_known);
        buf_add_char(out, (char) columns[i].kind);
        varint_add_str(out, columns[i].unit);
    }
}

static void save_pane(const WindowSpec *spec, const WindowPane *pane, Buf *out)
{
    varint_add_signed(out, pane->index);
    varint_add_signed(out, pane->from);
    buf_add_char(out, pane->is_late ? FLAG_LATE : 0);
    varint_add(out, pane->n_done);
    varint_add(out, pane->n);
    for (uint32_t i = 0; i < pane->n; i++) {
        const WindowGroup *group = window_pane_group(spec, pane, i);

        varint_add_str(out, window_pane_key(pane, group));
        window_group_encode(spec, group, out);
    }
}

void window_save(const Window *window, Buf *out)
{
    AUTO(buf_deinit) Buf settings = { 0 };

    write_settings(window, &settings);
    buf_add_char(out, VERSION);
    varint_add_str(out, buf_str(&settings));
    save_columns(window->by, window->spec.n_by, out);
    save_columns(window->measured, window->spec.n_measures, out);
    varint_add_signed(out, window->newest_ns);
    varint_add_signed(out, window->sealed_ns);
    varint_add_signed(out, window->next_window);
    buf_add_char(out, window->is_ending ? FLAG_ENDING : 0);
    varint_add(out, window->merged ? window->merged->n_done : window->merged_skip);
    varint_add(out, window->n_panes);
    for (size_t i = 0; i < window->n_panes; i++)
        save_pane(&window->spec, window->panes[i], out);
}

/* ---- loading --------------------------------------------------------------------------------- */

static int fail_state(const char *what)
{
    return fail(-ERR_CONFLICT, "the state of the windows is damaged: %s", what);
}

static bool take_byte(Str *bytes, unsigned char *ret)
{
    if (bytes->len == 0)
        return false;
    *ret = (unsigned char) bytes->data[0];
    *bytes = str_sub(*bytes, 1, bytes->len);
    return true;
}

static int load_settings(const Window *window, Str *bytes)
{
    AUTO(buf_deinit) Buf settings = { 0 };
    unsigned char version;
    Str saved;

    write_settings(window, &settings);
    if (!take_byte(bytes, &version) || version != VERSION || !varint_take_str(bytes, &saved))
        return fail(-ERR_CONFLICT, "this is no state of a window step, or of another version");
    if (!str_eq(saved, buf_str(&settings)))
        return fail(-ERR_CONFLICT,
                    "the state is of windows with other settings (%.*s) than these (%.*s); begin "
                    "anew with --forget, or change them back",
                    (int) MIN(saved.len, (size_t) 300), saved.data ? saved.data : "",
                    (int) MIN(settings.len, (size_t) 300), settings.data);
    return 0;
}

static bool load_columns(Window *window, WindowColumn *columns, size_t n, Str *bytes)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char is_known, kind;
        Str unit;

        if (!take_byte(bytes, &is_known) || !take_byte(bytes, &kind) || is_known > 1 ||
            kind > ROW_JSON || !varint_take_str(bytes, &unit) || unit.len > LIMIT_ROW_KEY_BYTES)
            return false;
        columns[i] = (WindowColumn){ .is_known = is_known,
                                     .kind = (RowKind) kind,
                                     .unit = arena_copy(&window->spec.arena, unit) };
    }
    return true;
}

/* Whether KEY is one of this step: N_BY values, and nothing behind them. */
static bool is_key(const WindowSpec *spec, Str key)
{
    RowValue value;

    if (key.len > LIMIT_ROW_KEY_BYTES)
        return false;
    for (size_t i = 0; i < spec->n_by; i++) {
        if (!row_key_take(&key, &value))
            return false;
    }
    return key.len == 0;
}

static int load_group(Window *window, WindowPane *pane, Str *bytes)
{
    WindowGroup *group;
    uint64_t hash;
    Str key;
    int r;

    if (!varint_take_str(bytes, &key) || !is_key(&window->spec, key))
        return fail_state("a key");
    if (window->groups == GROUPS_MAX)
        return fail_state("more series than there may be");
    if (window_pane_find(&window->spec, pane, key, window->seed, &hash))
        return fail_state("a key that is there twice");
    group = window_pane_add(&window->spec, pane, key, hash, &window->bytes);
    if (!group)
        return fail(-ENOMEM, "the state of %zu series", window->groups);
    window->groups++;
    r = window_group_decode(&window->spec, group, bytes, &window->bytes);
    return r == WINDOW_DAMAGED ? fail_state("a cell") : r;
}

static bool is_index(const WindowSpec *spec, int64_t index)
{
    return index >= window_index_of(spec, WINDOW_TIME_MIN) &&
           index <= window_index_of(spec, WINDOW_TIME_MAX);
}

/* One whose panes are within the times that are taken, or none. */
static bool is_window(const WindowSpec *spec, int64_t index)
{
    return index == INT64_MIN || (index >= window_index_of(spec, WINDOW_TIME_MIN) - spec->n_panes &&
                                  index <= window_index_of(spec, WINDOW_TIME_MAX) + 1);
}

static int load_pane(Window *window, Str *bytes)
{
    uint64_t n_done, n;
    unsigned char flags;
    WindowPane *pane;
    int64_t index, from;
    int r = 0;

    if (!varint_take_signed(bytes, &index) || !varint_take_signed(bytes, &from) ||
        !take_byte(bytes, &flags) || flags > FLAG_LATE || !varint_take(bytes, &n_done) ||
        !varint_take(bytes, &n) || n_done > n || !is_index(&window->spec, index) ||
        !is_window(&window->spec, from) ||
        (window->n_panes > 0 && window->panes[window->n_panes - 1]->index > index))
        return fail_state("a window");
    pane = window_pane_new(index);
    pane->from = from;
    pane->is_late = flags & FLAG_LATE;
    window_put_pane(window, pane);
    for (uint64_t i = 0; r == 0 && i < n; i++)
        r = load_group(window, pane, bytes);
    pane->n_done = r == 0 ? (uint32_t) n_done : 0;
    return r;
}

static bool is_time(int64_t time_ns)
{
    return time_ns == INT64_MIN || (time_ns >= WINDOW_TIME_MIN && time_ns <= WINDOW_TIME_MAX);
}

static bool load_times(Window *window, Str *bytes, uint64_t *ret_panes)
{
    const WindowSpec *spec = &window->spec;
    unsigned char flags;
    uint64_t skip;

    if (!varint_take_signed(bytes, &window->newest_ns) ||
        !varint_take_signed(bytes, &window->sealed_ns) ||
        !varint_take_signed(bytes, &window->next_window) || !take_byte(bytes, &flags) ||
        !varint_take(bytes, &skip) || !varint_take(bytes, ret_panes))
        return false;
    if (!is_time(window->newest_ns) || !is_time(window->sealed_ns) || flags > FLAG_ENDING ||
        skip > GROUPS_MAX || *ret_panes > PANES_MAX || !is_window(spec, window->next_window))
        return false;
    window->is_ending = flags & FLAG_ENDING;
    window->merged_skip = (uint32_t) skip;
    if (window->sealed_ns != INT64_MIN)
        window->next_seal_ns = window->sealed_ns + spec->every_ns + spec->lateness_ns;
    return true;
}

int window_load(Window *window, Str bytes)
{
    uint64_t n_panes;
    int r = load_settings(window, &bytes);

    ASSERT(window->n_panes == 0);
    if (r < 0)
        return r;
    if (!load_columns(window, window->by, window->spec.n_by, &bytes) ||
        !load_columns(window, window->measured, window->spec.n_measures, &bytes) ||
        !load_times(window, &bytes, &n_panes))
        return fail_state("its head");
    for (uint64_t i = 0; r == 0 && i < n_panes; i++)
        r = load_pane(window, &bytes);
    if (r == 0 && bytes.len > 0)
        return fail_state("bytes at its end");
    return r;
}
