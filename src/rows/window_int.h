/*
 * The window step from the inside.
 *
 *   rows --> take (steps/window.c) --> panes --> close (window_close.c) --> rows of results
 *
 * Time is cut into panes of length `every`; pane k begins at k * every + offset. A window is the
 * panes k … k + N - 1 with N = size / every, so a row is counted once, in its pane, however many
 * windows it belongs to. With N = 1 (tumbling) a pane is a window. A pane holds a group for each
 * series that has rows in it, and a group a cell for each column that is asked about.
 *
 * `sealed_ns` is the end of the last pane that takes no more rows: the watermark (greatest event
 * time less lateness), rounded down to the end of a pane. A row before it is late.
 *
 *   W1  A pane that ends at or before sealed_ns gets no more rows, but for panes of late rows.
 *   W2  A window is handed on once, in order of time, when its last pane is sealed; its groups in
 *       the order in which their first rows came.
 *   W3  Panes stand in order of their index; those of late rows behind the one of the same index.
 *   W4  groups and bytes are the sums over all panes.
 *   W5  A group counts for no window before its pane's `from`. Lanes have each their watermark;
 *       when their groups are put together (window_deal.c), windows that one lane has handed on and
 *       another has not are still due, and have the rows of the latter alone.
 */
#pragma once

#include "codec/sketch.h"
#include "rows/row_key.h"
#include "rows/step.h"

#define WINDOW_BY_MAX      8

/* Times that are taken: those of 64 bits, less what size, lateness and offset may add to them. */
#define WINDOW_TIME_MIN    (INT64_MIN + 9 * 366 * 24 * 3600 * NS_PER_S)
#define WINDOW_TIME_MAX    (INT64_MAX - 9 * 366 * 24 * 3600 * NS_PER_S)
#define WINDOW_OUTPUTS_MAX 64

/* X(NAME, "word", parts of a cell that it needs) */
#define WINDOW_FUNCTIONS(X)                   \
    X(COUNT, "count", 0)                      \
    X(SUM, "sum", PART(SUM))                  \
    X(MIN, "min", PART(MIN))                  \
    X(MAX, "max", PART(MAX))                  \
    X(MEAN, "mean", PART(SUM))                \
    X(STDDEV, "stddev", PART(SPREAD))         \
    X(FIRST, "first", PART(FIRST))            \
    X(LAST, "last", PART(LAST))               \
    X(RATE, "rate", PART(FIRST) | PART(LAST)) \
    X(MEDIAN, "median", PART(SKETCH))

typedef enum WindowFunction {
#define WINDOW_FUNCTION_ENUM_(name, word, parts) WINDOW_##name,
    WINDOW_FUNCTIONS(WINDOW_FUNCTION_ENUM_)
#undef WINDOW_FUNCTION_ENUM_
        WINDOW_PERCENTILE
} WindowFunction;

/* What a cell may consist of, in this order: X(NAME, type). */
#define WINDOW_PARTS(X)     \
    X(COUNT, uint64_t)      \
    X(SUM, WindowSum)       \
    X(SPREAD, WindowSpread) \
    X(MIN, double)          \
    X(MAX, double)          \
    X(FIRST, WindowPoint)   \
    X(LAST, WindowPoint)    \
    X(SKETCH, Sketch)

typedef struct WindowSum {
    double sum;
    double lost; /* by rounding (Neumaier) */
} WindowSum;

typedef struct WindowSpread {
    double mean;
    double squares; /* of the distances from the mean (Welford) */
} WindowSpread;

typedef struct WindowPoint {
    int64_t time_ns;
    double value;
} WindowPoint;

typedef enum WindowPart {
#define WINDOW_PART_ENUM_(name, type) WINDOW_PART_##name,
    WINDOW_PARTS(WINDOW_PART_ENUM_)
#undef WINDOW_PART_ENUM_
        WINDOW_PART_COUNT_OF
} WindowPart;

#define PART(name) (1u << WINDOW_PART_##name)

/* A column that is asked about. */
typedef struct WindowMeasure {
    Str column;
    unsigned parts;                    /* PART(…) of its cell; COUNT is always there */
    uint16_t at[WINDOW_PART_COUNT_OF]; /* where each part is in a group */
} WindowMeasure;

#define WINDOW_NO_MEASURE SIZE_MAX

typedef struct WindowOutput {
    WindowFunction function;
    size_t measure;  /* or WINDOW_NO_MEASURE: of the rows themselves */
    double quantile; /* of PERCENTILE and MEDIAN: 0 to 1 */
    Str name;        /* of the column: "value_p99" */
} WindowOutput;

typedef enum WindowLate { WINDOW_LATE_DROP, WINDOW_LATE_REFUSE, WINDOW_LATE_EMIT } WindowLate;

/* The settings as they are written. */
typedef struct WindowArgs {
    int64_t every_ms;
    int64_t size_ms;
    int64_t offset_ms;
    Str time;
    SchemaList by; /* of Str */
    SchemaJson aggregate;
    int64_t lateness_ms;
    int late; /* WindowLate */
    int64_t idle_ms;
    int64_t max_ahead_ms;
} WindowArgs;

extern const Schema window_args_schema;

/* The settings compiled. Texts live in the arena. */
typedef struct WindowSpec {
    int64_t every_ns;
    int64_t size_ns;
    int64_t offset_ns; /* less than every_ns */
    int64_t lateness_ns;
    int64_t idle_ns; /* 0: never idle */
    int64_t max_ahead_ns;
    int64_t n_panes; /* of a window */
    WindowLate late;
    Str time;
    Str by[WINDOW_BY_MAX];
    size_t n_by;
    WindowMeasure measures[WINDOW_OUTPUTS_MAX];
    size_t n_measures;
    WindowOutput outputs[WINDOW_OUTPUTS_MAX];
    size_t n_outputs;
    size_t group_bytes; /* of a group with its cells */
    bool has_sketches;
    Arena arena;
} WindowSpec;

/* 0 or -ERR_INVALID with words that name the setting. */
MUST int window_spec_init(WindowSpec *spec, const WindowArgs *args);
void window_spec_deinit(WindowSpec *spec);

/* ---- groups and their cells ------------------------------------------------------------------ */

/* The cells follow it, each part where its measure says. */
typedef struct WindowGroup {
    uint32_t key_at; /* in the pane's keys */
    uint32_t next;   /* the group that came after this one the last time: a guess */
    uint64_t rows;
} WindowGroup;

/* Count VALUE, which is finite, of a row of TIME_NS; *BYTES is charged for what grows. 0 or
 * -ENOMEM. */
MUST int window_cell_add(const WindowMeasure *measure, WindowGroup *group, double value,
                         int64_t time_ns, size_t *bytes);

/* Count what FROM has counted in all of its cells, and its rows. 0 or -ENOMEM. */
MUST int window_group_merge(const WindowSpec *spec, WindowGroup *group, const WindowGroup *from,
                            size_t *bytes);

/* Free what the cells own. */
void window_group_deinit(const WindowSpec *spec, WindowGroup *group, size_t *bytes);

/* One result; null when there is none. */
RowValue window_group_result(const WindowSpec *spec, const WindowGroup *group,
                             const WindowOutput *output);

void window_group_encode(const WindowSpec *spec, const WindowGroup *group, Buf *out);

#define WINDOW_DAMAGED 1 /* the bytes are no group */

/* Into a new group. 0, WINDOW_DAMAGED or -ENOMEM. */
MUST int window_group_decode(const WindowSpec *spec, WindowGroup *group, Str *bytes,
                             size_t *bytes_used);

/* ---- panes ----------------------------------------------------------------------------------- */

/* A piece of time, and the groups that have rows in it: a hash table with open addressing over
 * groups that stand one behind the other in the order in which they came. */
typedef struct WindowPane {
    int64_t index;
    int64_t from;    /* of several panes: windows before this one have its rows already, or never */
    bool is_late;    /* of rows that came when it was sealed */
    uint32_t n_done; /* groups that are handed on */
    uint32_t n;      /* groups */
    uint32_t cap;
    uint32_t last;      /* the group that was found last */
    uint32_t cap_slots; /* a power of two */
    uint64_t *slots;    /* index of a group + 1, or 0; above it 32 bits of the hash; owned */
    char *groups;       /* owned */
    char *keys;         /* each with two bytes of length before it; owned */
    size_t keys_len;
    size_t keys_cap;
} WindowPane;

WindowPane *window_pane_new(int64_t index);

/* *GROUPS and *BYTES are uncharged. NULL is nothing. */
void window_pane_free(const WindowSpec *spec, WindowPane *pane, size_t *groups, size_t *bytes);

WindowGroup *window_pane_group(const WindowSpec *spec, const WindowPane *pane, uint32_t index);
Str window_pane_key(const WindowPane *pane, const WindowGroup *group);

/* The group of KEY, or NULL; *RET_HASH is for window_pane_add then. Valid until the next add. */
WindowGroup *window_pane_find(const WindowSpec *spec, WindowPane *pane, Str key,
                              const uint64_t seed[2], uint64_t *ret_hash);

/* A new group for KEY, which is not there. NULL without memory. *BYTES is charged. */
WindowGroup *window_pane_add(const WindowSpec *spec, WindowPane *pane, Str key, uint64_t hash,
                             size_t *bytes);

/* ---- the step -------------------------------------------------------------------------------- */

#define WINDOW_TAG   TAG_OF('w', 'n', 'd', 'w')
#define WINDOW_PLANS 4

/* A grouping column, as far as it is known. */
typedef struct WindowColumn {
    bool is_known;
    RowKind kind;
    Str unit; /* in the arena of the spec */
} WindowColumn;

typedef struct Window {
    uint32_t tag;
    const WindowArgs *args;
    WindowSpec spec;
    uint64_t seed[2];
    Str table;
    StepCache plans[WINDOW_PLANS];
    WindowColumn by[WINDOW_BY_MAX];
    WindowColumn measured[WINDOW_OUTPUTS_MAX];
    Shape *shape; /* of the results; owned; NULL until the first one */

    WindowPane **panes; /* W3; owned */
    size_t n_panes;
    size_t cap_panes;
    WindowPane *pane;  /* the last one found, not sealed; NULL: none */
    int64_t pane_from; /* its bounds */
    int64_t pane_to;
    size_t groups; /* W4 */
    size_t bytes;
    size_t groups_max; /* LIMIT_WINDOW_GROUPS; tests have less */
    size_t bytes_max;  /* LIMIT_WINDOW_BYTES */

    int64_t newest_ns;    /* greatest event time; INT64_MIN: no row yet */
    int64_t sealed_ns;    /* INT64_MIN: nothing is sealed */
    int64_t next_seal_ns; /* an event time from here on seals a pane */
    int64_t arrived_ns;   /* of the last rows; INT64_MIN: not known */
    int64_t next_window;  /* of several panes: windows before it are handed on */
    bool is_ending;       /* the rows are at their end: every window is due */

    WindowPane *merged; /* of several panes: the window that is being handed on; NULL: none */
    size_t merged_bytes;
    int64_t window;    /* its index */
    size_t merge_pane; /* how far merging is: a pane and a group in it */
    uint32_t merge_group;
    uint32_t merged_skip; /* groups of it that were handed on before a load */

    RowKey key; /* scratch */
} Window;

/* floor((time_ns - offset) / every). */
int64_t window_index_of(const WindowSpec *spec, int64_t time_ns);

/* When pane or window INDEX begins. */
int64_t window_start_of(const WindowSpec *spec, int64_t index);

/* Let event time be TIME_NS at least: seal what lies behind the watermark. */
void window_advance(Window *window, int64_t time_ns);

/* Where nothing has come yet. */
MUST int window_new(const WindowArgs *args, Str table, Window **ret_window);
void window_free(Window *window); /* NULL is nothing */

/* Merge all panes of the window that is being handed on, or is next; there is a pane. */
MUST int window_merge_all(Window *window);

/* Put PANE, owned from here on, where it belongs. */
void window_put_pane(Window *window, WindowPane *pane);

/* Where pane INDEX stands, or would stand: behind all with a lower or the same index. */
size_t window_place_of(const Window *window, int64_t index);

/* Let go of a window that is being handed on. */
void window_drop_merged(Window *window);

/* Whether a window is sealed and not yet handed on. */
bool window_is_due(const Window *window);

/* Hand on windows that are due, at most LIMIT_WINDOW_EMIT_ROWS rows of them. 0 or -ENOMEM. */
MUST int window_close_due(Window *window, StepRun *run);

void window_save(const Window *window, Buf *out);

/* Into a window that is new. 0, -ERR_CONFLICT or -ENOMEM. */
MUST int window_load(Window *window, Str bytes);

/* The bytes of one lane dealt out among WINDOWS, as StepDriver.deal. */
MUST int window_deal(void *const *windows, const StepShare *share, Str bytes);

/* Whether COLUMN is among those that name a series. */
bool window_knows(const WindowSpec *spec, Str column);
