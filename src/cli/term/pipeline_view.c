/*
 * How a pipeline goes, as lines; see the header.
 *
 * Three steps: take keeps a row of numbers for each part of the pipeline, with a ring of points for
 * its sparkline; compose makes a line of each; and choose leaves out lines until the rest fits.
 */
#include "cli/term/pipeline_view.h"

#include "base/arena.h"
#include "base/macro.h"
#include "base/mem.h"
#include "cli/term/figure.h"
#include "cli/term/screen.h"
#include "codec/width.h"

#include <stdio.h>

#define POINTS          60  /* of a sparkline */
#define RATE_POINTS     2   /* that the rate shown is a mean of */
#define ROWS_MAX        160 /* sources, steps and sinks of the largest pipeline, and the rest */
#define NAME_BYTES      64
#define ABOUT_BYTES     200

#define LABEL_COLUMNS   18
#define VALUE_COLUMNS   9
#define TOTAL_COLUMNS   12
#define WAITING_COLUMNS 7
#define ERRORS_COLUMNS  7
#define GAP             2
#define SPARK_MIN       6

#define GREEN           "32"
#define YELLOW          "33"
#define RED             "31"
#define CYAN            "36"
#define BOLD            "1"
#define DIM             "2"

/* What a line shows, and how dear it is when there is no room for all. */
typedef enum RowRole {
    ROW_SOURCE,
    ROW_CHANNEL,
    ROW_STEP,
    ROW_SINK,
    ROW_LAG,
    ROW_DEAD,
    ROW_DROPPED
} RowRole;

typedef struct ViewRow {
    RowRole role;
    char name[NAME_BYTES];   /* clean */
    char about[ABOUT_BYTES]; /* clean; empty when it goes well */
    uint64_t total, errors, waiting;
    double share;          /* of the channel that is full */
    double points[POINTS]; /* a ring: rows a second, depth, seconds of lag */
    bool has_total, has_waiting, has_errors;
} ViewRow;

struct PipelineView {
    char name[NAME_BYTES], state[NAME_BYTES], about[ABOUT_BYTES];
    ViewRow *rows; /* owned; ROWS_MAX of them */
    size_t n_rows;
    size_t n_points; /* taken so far */
    int64_t first_ns, last_ns;
    double lag_s;
};

PipelineView *pipeline_view_new(void)
{
    PipelineView *view = mem_new(PipelineView);

    view->rows = mem_new_array(ViewRow, ROWS_MAX);
    return view;
}

void pipeline_view_free(PipelineView *view)
{
    if (!view)
        return;
    mem_free(view->rows);
    mem_free(view);
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* A state while it is taken. */
typedef struct Taking {
    PipelineView *view;
    double took_s; /* since the last one; 0: there is none */
    size_t n;      /* rows so far */
} Taking;

static void copy_clean(char *to, size_t bytes, Str text)
{
    AUTO(buf_deinit) Buf clean = { 0 };
    Str kept;

    width_add_clean(&clean, text);
    kept = str_cut_utf8(buf_str(&clean), bytes - 1);
    if (kept.len > 0)
        memcpy(to, kept.data, kept.len);
    to[kept.len] = '\0';
}

/* The next row, which is called NAME; one that stood for another part begins anew. NULL: too many.
 * */
static ViewRow *next_row(Taking *taking, RowRole role, Str name)
{
    ViewRow *row = taking->n < ROWS_MAX ? &taking->view->rows[taking->n] : NULL;
    char clean[NAME_BYTES];

    if (!row)
        return NULL;
    taking->n++;
    copy_clean(clean, sizeof(clean), name);
    if (taking->n > taking->view->n_rows || row->role != role || strcmp(row->name, clean) != 0)
        *row = (ViewRow){ .role = role };
    (void) snprintf(row->name, sizeof(row->name), "%s", clean);
    row->about[0] = '\0';
    return row;
}

static void add_point(const Taking *taking, ViewRow *row, double value)
{
    row->points[taking->view->n_points % POINTS] = value > 0 ? value : 0;
}

/* TOTAL rows up to now: the point is how many came in a second since the last one. */
static void count_up(const Taking *taking, ViewRow *row, uint64_t total)
{
    double more = total > row->total && taking->took_s > 0 ? (double) (total - row->total) : 0;

    add_point(taking, row, more > 0 ? more / taking->took_s : 0);
    row->total = total;
    row->has_total = true;
}

static uint64_t count_of(Json object, const char *name)
{
    uint64_t n;

    return json_get_u64(json_find(object, name), &n) ? n : 0;
}

static void take_parts(Taking *taking, Json parts, RowRole role, const char *total)
{
    for (JsonIter it = json_iter(parts); json_next(&it);) {
        Str none = str_from(NULL, 0);
        bool is_up = json_bool_or(json_find(it.value, "up"), true);
        ViewRow *row = next_row(taking, role, json_str_or(json_find(it.value, "name"), none));

        if (!row)
            return;
        count_up(taking, row, count_of(it.value, total));
        row->errors = count_of(it.value, "errors");
        row->has_errors = true;
        row->waiting = count_of(it.value, "waiting");
        row->has_waiting = role == ROW_SINK;
        copy_clean(row->about, sizeof(row->about),
                   is_up ? none : json_str_or(json_find(it.value, "about"), none));
    }
}

static void take_channel(Taking *taking, Json channel)
{
    ViewRow *row = next_row(taking, ROW_CHANNEL, str_from_c("channel"));
    uint64_t rows = count_of(channel, "rows"), spilled = count_of(channel, "spilled_rows");
    double by_rows, by_bytes;

    if (!row)
        return;
    by_rows = (double) rows / (double) MAX(count_of(channel, "rows_max"), (uint64_t) 1);
    by_bytes = (double) count_of(channel, "bytes") /
               (double) MAX(count_of(channel, "bytes_max"), (uint64_t) 1);
    row->share = MIN(MAX(by_rows, by_bytes), 1.0);
    row->waiting = rows + spilled;
    row->has_waiting = true;
    add_point(taking, row, (double) row->waiting);
}

static void take_loss(Taking *taking, RowRole role, const char *name, uint64_t total)
{
    ViewRow *row = next_row(taking, role, str_from_c(name));

    if (row)
        count_up(taking, row, total);
}

void pipeline_view_take(PipelineView *view, Json state, int64_t now_ns)
{
    Taking taking = { .view = view };
    Str none = str_from(NULL, 0);
    ViewRow *row;

    if (view->n_points > 0)
        taking.took_s = (double) (now_ns - view->last_ns) / 1e9;
    else
        view->first_ns = now_ns;
    view->last_ns = now_ns;
    copy_clean(view->name, sizeof(view->name), json_str_or(json_find(state, "name"), none));
    copy_clean(view->state, sizeof(view->state), json_str_or(json_find(state, "state"), none));
    copy_clean(view->about, sizeof(view->about), json_str_or(json_find(state, "about"), none));
    view->lag_s = json_real_or(json_find(state, "lag_s"), 0);
    take_parts(&taking, json_find(state, "sources"), ROW_SOURCE, "rows_in");
    take_channel(&taking, json_find(state, "channel"));
    take_parts(&taking, json_find(state, "steps"), ROW_STEP, "rows_in");
    take_parts(&taking, json_find(state, "sinks"), ROW_SINK, "rows_out");
    row = next_row(&taking, ROW_LAG, str_from_c("lag"));
    if (row)
        add_point(&taking, row, view->lag_s);
    take_loss(&taking, ROW_DEAD, "dead letters", count_of(state, "dead"));
    take_loss(&taking, ROW_DROPPED, "dropped", count_of(state, "dropped"));
    view->n_rows = taking.n;
    view->n_points++;
}

/* ---- composing ------------------------------------------------------------------------------- */

/* A frame while it is made. */
typedef struct Frame {
    const PipelineView *view;
    const PipelineViewStyle *style;
    size_t label; /* columns of a row's name */
    size_t spark; /* columns of a sparkline; 0: none */
    bool has_value, has_total, has_waiting, has_errors;
} Frame;

static void paint(const Frame *frame, Buf *out, const char *colour, Str text)
{
    if (frame->style->has_colour && colour && text.len > 0)
        buf_printf(out, "\x1b[%sm%.*s\x1b[0m", colour, (int) text.len, text.data);
    else
        buf_add_str(out, text);
}

static void pad(Buf *out, size_t n)
{
    while (n-- > 0)
        buf_add_char(out, ' ');
}

static void paint_right(const Frame *frame, Buf *out, const char *colour, Str text, size_t columns)
{
    pad(out, GAP + columns - MIN(width_of(text), columns));
    paint(frame, out, colour, width_cut(text, columns));
}

/* Whether COLUMNS more are there, which are taken then. */
static bool take_room(size_t *room, size_t columns)
{
    bool is_there = *room >= GAP + columns;

    *room -= is_there ? GAP + columns : 0;
    return is_there;
}

/* Which columns there is room for, the dearest first; what is left is the sparkline's. */
static void lay_out(Frame *frame)
{
    size_t room = frame->style->columns - 1;

    frame->label = MIN(room, (size_t) LABEL_COLUMNS);
    room -= frame->label;
    frame->has_value = take_room(&room, VALUE_COLUMNS);
    frame->has_errors = take_room(&room, ERRORS_COLUMNS);
    frame->has_waiting = take_room(&room, WAITING_COLUMNS);
    frame->has_total = take_room(&room, TOTAL_COLUMNS);
    frame->spark = room >= GAP + SPARK_MIN ? MIN(room - GAP, (size_t) POINTS) : 0;
}

/* The newest points of ROW, oldest first, behind blanks where there was none yet. */
static void add_spark(const Frame *frame, const ViewRow *row, Buf *out)
{
    AUTO(buf_deinit) Buf spark = { 0 };
    size_t n = MIN(frame->view->n_points, frame->spark);
    double values[POINTS];

    if (frame->spark == 0)
        return;
    for (size_t i = 0; i < n; i++)
        values[i] = row->points[(frame->view->n_points - n + i) % POINTS];
    figure_spark(&spark, values, n);
    pad(out, GAP + frame->spark - n);
    paint(frame, out, CYAN, buf_str(&spark));
}

static double rate_of(const PipelineView *view, const ViewRow *row)
{
    size_t n = MIN(view->n_points - MIN(view->n_points, (size_t) 1), (size_t) RATE_POINTS);
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += row->points[(view->n_points - 1 - i) % POINTS];
    return n > 0 ? sum / (double) n : 0;
}

static void add_value(const Frame *frame, const ViewRow *row, Buf *out)
{
    AUTO(buf_deinit) Buf value = { 0 };

    if (row->role == ROW_CHANNEL)
        buf_printf(&value, "%.0f%%", row->share * 100);
    else if (row->role == ROW_LAG)
        figure_span(&value, frame->view->lag_s);
    else
        figure_rate(&value, rate_of(frame->view, row), VALUE_COLUMNS);
    paint_right(frame, out, NULL, buf_str(&value), VALUE_COLUMNS);
}

static void add_count(const Frame *frame, Buf *out, bool is_there, uint64_t n, size_t columns,
                      const char *colour)
{
    AUTO(buf_deinit) Buf count = { 0 };

    if (is_there)
        figure_count_in(&count, n, columns);
    paint_right(frame, out, n > 0 ? colour : NULL, buf_str(&count), columns);
}

static void add_label(const Frame *frame, const ViewRow *row, Buf *out)
{
    static const char *const roles[] = {
        [ROW_SOURCE] = "source ", [ROW_STEP] = "step ", [ROW_SINK] = "sink ", [ROW_CHANNEL] = "",
        [ROW_LAG] = "",           [ROW_DEAD] = "",      [ROW_DROPPED] = ""
    };
    AUTO(buf_deinit) Buf label = { 0 };

    buf_printf(&label, "%s%s", roles[row->role], row->name);
    width_add_cut(out, buf_str(&label), frame->label);
    pad(out, frame->label - MIN(width_of(buf_str(&label)), frame->label));
}

static void compose_row(const Frame *frame, const ViewRow *row, Buf *out)
{
    const char *loss = row->role == ROW_DEAD || row->role == ROW_DROPPED ? RED : NULL;

    add_label(frame, row, out);
    if (frame->has_value)
        add_value(frame, row, out);
    add_spark(frame, row, out);
    if (frame->has_total)
        add_count(frame, out, row->has_total, row->total, TOTAL_COLUMNS, loss);
    if (frame->has_waiting)
        add_count(frame, out, row->has_waiting, row->waiting, WAITING_COLUMNS, NULL);
    if (frame->has_errors)
        add_count(frame, out, row->has_errors, row->errors, ERRORS_COLUMNS, RED);
}

static void compose_names(const Frame *frame, Buf *out)
{
    AUTO(buf_deinit) Buf names = { 0 };

    pad(&names, frame->label);
    if (frame->has_value)
        buf_printf(&names, "%*s", GAP + VALUE_COLUMNS, "rows/s");
    pad(&names, frame->spark > 0 ? GAP + frame->spark : 0);
    if (frame->has_total)
        buf_printf(&names, "%*s", GAP + TOTAL_COLUMNS, "rows");
    if (frame->has_waiting)
        buf_printf(&names, "%*s", GAP + WAITING_COLUMNS, "waiting");
    if (frame->has_errors)
        buf_printf(&names, "%*s", GAP + ERRORS_COLUMNS, "errors");
    paint(frame, out, DIM, buf_str(&names));
}

static const char *colour_of_state(const char *state)
{
    if (strcmp(state, "running") == 0 || strcmp(state, "ended") == 0)
        return GREEN;
    return strcmp(state, "stopped") == 0 ? RED : YELLOW;
}

/* "readings: waiting, 12.0 s, lag 3.0 s, 4 lines not shown: sink pg: connection refused" */
static void compose_head(const Frame *frame, size_t n_hidden, Buf *out)
{
    AUTO(buf_deinit) Buf rest = { 0 };
    const PipelineView *view = frame->view;
    size_t room = frame->style->columns - 1;
    Str name = width_cut(str_from_c(view->name), room), state;

    paint(frame, out, BOLD, name);
    room -= MIN(room, width_of(name));
    state = width_cut(str_from_c(view->state), room > 2 ? room - 2 : 0);
    if (state.len == 0)
        return;
    buf_add_c(out, ": ");
    paint(frame, out, colour_of_state(view->state), state);
    room -= 2 + width_of(state);
    buf_add_c(&rest, ", ");
    figure_span(&rest, (double) (view->last_ns - view->first_ns) / 1e9);
    if (n_hidden > 0)
        buf_printf(&rest, ", %zu lines not shown", n_hidden);
    if (view->about[0] != '\0')
        buf_printf(&rest, ": %s", view->about);
    width_add_cut(out, buf_str(&rest), room);
}

/* What a part has to say. */
static void compose_about(const Frame *frame, const ViewRow *row, Buf *out)
{
    AUTO(buf_deinit) Buf text = { 0 }, cut = { 0 };

    buf_printf(&text, "%s: %s", row->name, row->about);
    width_add_cut(&cut, buf_str(&text), frame->style->columns - 1);
    paint(frame, out, YELLOW, buf_str(&cut));
}

/* ---- choosing -------------------------------------------------------------------------------- */

/* Lines below the first one, in the order shown: 0 are the names of the columns, then the rows,
 * then what they have to say. */
typedef struct Choice {
    const Frame *frame;
    bool shown[1 + 2 * ROWS_MAX];
    size_t room, n_hidden;
} Choice;

static bool is_wanted(const PipelineView *view, size_t line)
{
    const ViewRow *row = &view->rows[line == 0 ? 0 : (line - 1) % ROWS_MAX];

    if (line == 0)
        return true;
    if ((line - 1) % ROWS_MAX >= view->n_rows)
        return false;
    if (line > ROWS_MAX) /* the pipeline's own words may be the same */
        return row->about[0] != '\0' && !strstr(view->about, row->about);
    return row->role != ROW_DROPPED || row->total > 0;
}

/* How dear LINE is: 0 goes last. */
static int dearness(const PipelineView *view, size_t line)
{
    static const int of_roles[] = {
        [ROW_SINK] = 0,    [ROW_CHANNEL] = 1, [ROW_DEAD] = 1, [ROW_LAG] = 1,
        [ROW_DROPPED] = 1, [ROW_SOURCE] = 3,  [ROW_STEP] = 4
    };

    if (line == 0)
        return 2;
    return line > ROWS_MAX ? 1 : of_roles[view->rows[line - 1].role];
}

static void choose(Choice *choice)
{
    const PipelineView *view = choice->frame->view;
    size_t n_wanted = 0, n_shown = 0;

    for (int level = 0; level <= 4; level++) {
        for (size_t line = 0; line < ARRAY_LEN(choice->shown); line++) {
            if (!is_wanted(view, line) || dearness(view, line) != level)
                continue;
            n_wanted++;
            choice->shown[line] = n_shown < choice->room;
            n_shown += choice->shown[line];
        }
    }
    choice->n_hidden = n_wanted - n_shown;
}

static void draw_lines(const Choice *choice, Buf *out)
{
    const Frame *frame = choice->frame;

    compose_head(frame, choice->n_hidden, out);
    for (size_t line = 0; line < ARRAY_LEN(choice->shown); line++) {
        if (!choice->shown[line])
            continue;
        buf_add_char(out, '\n');
        if (line == 0)
            compose_names(frame, out);
        else if (line <= ROWS_MAX)
            compose_row(frame, &frame->view->rows[line - 1], out);
        else
            compose_about(frame, &frame->view->rows[line - 1 - ROWS_MAX], out);
    }
}

void pipeline_view_draw(const PipelineView *view, const PipelineViewStyle *style, Buf *out)
{
    PipelineViewStyle asked = *style;
    Frame frame = { .view = view, .style = &asked };
    Choice choice = { .frame = &frame };

    if (view->n_points == 0)
        return;
    asked.columns = MAX(style->columns, (size_t) 2);
    choice.room = MIN(MAX(style->rows, (size_t) 1), (size_t) SCREEN_LINES_MAX) - 1;
    lay_out(&frame);
    choose(&choice);
    draw_lines(&choice, out);
}
