/*
 * Sinks: what takes rows. One file of rows/sinks/ for each, one contract for all.
 *
 * A sink is named by a text, which is also what people write behind --out:
 *
 *   prices.csv                              by the suffix of a file name
 *   csv:prices.txt                          by its name
 *   sqlite:shop.db?table=prices&mode=upsert&key=url
 *   postgresql://host/db?table=prices       by the URL's scheme
 *   jsonl:-                                 to standard output
 *
 * What every sink promises:
 *
 *   S1  Rows come out in the order written, each exactly once, with the values given.
 *   S2  Nothing is there for others to see before sink_commit: files are written beside their place
 *       under a name of their own (`prices.csv.partial`) and renamed, databases are written in
 *       transactions. A file that has its own name is whole. Exception, said in the docs: standard
 *       output, and databases in resumable runs, where each checkpoint commits.
 *   S3  sink_checkpoint(mark) makes all rows written so far durable, together with the mark. After
 *       a crash at any moment the sink can be opened with .resume, says which mark it holds, and
 *       holds exactly the rows of the marks up to it; later ones are gone.
 *   S4  An error says what was written so far ("12 400 rows of prices.csv were written and kept in
 *       prices.csv.partial"). After an error only sink_close is allowed.
 *   S5  Closing without commit leaves no file of the final name and no half transaction. A
 *       resumable run keeps what its last checkpoint had; others leave nothing behind.
 *   S6  Modes: replace (the default of files), append, upsert with key columns (databases only).
 *       A mode that a sink does not have is refused when its text is parsed.
 *
 * To add one: a file in rows/sinks/ that defines `const SinkDriver sink_<file>`; the contract test
 * takes it up.
 */
#pragma once

#include "rows/row.h"

#include <sluice/rt.h>

typedef struct Sink Sink;

typedef enum SinkMode { SINK_REPLACE, SINK_APPEND, SINK_UPSERT } SinkMode;

#define SINK_KEYS_MAX  16
#define SINK_PAIRS_MAX 16

/* What the value of a driver's own option may be; its number is given in brackets. */
typedef enum SinkOptionKind {
    SINK_OPTION_TEXT,     /* anything */
    SINK_OPTION_WORD,     /* one of `words` [its index] */
    SINK_OPTION_SIZE,     /* "100MiB" [bytes] */
    SINK_OPTION_DURATION, /* "1h30m" [milliseconds] */
    SINK_OPTION_COUNT,    /* a whole number, not negative [itself] */
    SINK_OPTION_FLAG      /* 1 or 0, true or false [1 or 0] */
} SinkOptionKind;

/* An option of a driver's own, beside those that all sinks of its sort know. */
typedef struct SinkOption {
    const char *name; /* "rotate" */
    SinkOptionKind kind;
    const char *words;   /* of SINK_OPTION_WORD: "auto|full|normal" */
    const char *summary; /* one line for help and docs */
    int64_t min, max;    /* of the number; 0 means no such bound */
    bool is_for_feed;    /* only for rows without end (feed.h); sink_open refuses it */
    bool is_list;        /* may be given several times */
} SinkOption;

/* One that was given. */
typedef struct SinkPair {
    const SinkOption *option;
    Str text;
    int64_t number; /* see SinkOptionKind */
} SinkPair;

/* A sink's text, cut in pieces; all borrowed from the arena given to the parser. */
typedef struct SinkSpec {
    const struct SinkDriver *driver;
    Str text;                /* as written, passwords replaced by ***: for messages */
    Str target;              /* path, connection URL without our parameters, or "-" */
    Str table;               /* databases; default "rows" */
    SinkMode mode;           /* default: the driver's */
    Str keys[SINK_KEYS_MAX]; /* upsert: the columns that identify a row */
    size_t n_keys;
    const SinkPair *pairs; /* options of the driver's own, in the order given */
    size_t n_pairs;
    bool has_mode;  /* the text says it */
    bool is_safe;   /* ?safe=1: no cell that a spreadsheet takes for a formula */
    bool is_eol_lf; /* ?eol=lf: lines end in LF where the form says CRLF */
    char separator; /* ?sep=: between cells; 0: the form's own */
} SinkSpec;

/*
 * Parse the text of a sink. 0 or -ERR_INVALID with words: `--out prices.xls: no sink takes ".xls";
 * there are csv, json, jsonl, md, sqlite, postgresql, table`. What the build lacks says so.
 */
MUST int sink_spec_parse(Arena *arena, Str text, SinkSpec *ret_spec);

/* The value of the driver's own option NAME, the last one given; empty, or FALLBACK, when it was
 * not. NAME must be one of the driver's. */
Str sink_spec_text(const SinkSpec *spec, const char *name);
int64_t sink_spec_number(const SinkSpec *spec, const char *name, int64_t fallback);

/* How to open; zero means the default. */
typedef struct SinkOpts {
    const RowColumn *columns; /* borrowed while the sink is open */
    size_t n_columns;
    Str run_id;     /* of a resumable run: names its marks in databases; empty: not resumable */
    bool is_resume; /* go on where an earlier process of this run stopped */
    uint64_t mark;  /* with is_resume: the last mark the caller knows to be durable */
    Str position;   /* with is_resume: what sink_checkpoint gave for that mark */
    size_t columns_wide; /* of the terminal; 0: not a terminal */
    bool has_colour;
    int fd; /* where "-" goes; 0 means standard output */
} SinkOpts;

/* Open. On resume *RET_MARK (may be NULL otherwise) is the mark that the sink really holds, at
 * least opts->mark. Suspends. */
MUST SUSPENDS int sink_open(Sink **ret_sink, const SinkSpec *spec, const SinkOpts *opts,
                            uint64_t *ret_mark);

/* Write all rows of BATCH, whose columns are those of the opening. Borrowed. Suspends. */
MUST SUSPENDS int sink_write(Sink *sink, const RowBatch *batch);

/* Make everything written so far durable under MARK, which is larger than the last. POSITION gets
 * what .position wants when the run is resumed. Only for resumable runs. Suspends. */
MUST SUSPENDS int sink_checkpoint(Sink *sink, uint64_t mark, Buf *position);

/* Finish: the rows are durable and under their own name. Then only sink_close. Suspends. */
MUST SUSPENDS int sink_commit(Sink *sink);

/* Let go; without a commit before, undo (S5). Nothing for NULL. Suspends, also when cancelled. */
SUSPENDS void sink_close(Sink *sink);

/* A database keeps a text of the caller's with its mark, in the same transaction: the positions of
 * files that belong to the same run. Borrowed. Nothing, and empty, for sinks that are files. */
void sink_put_note(Sink *sink, Str note);
Str sink_get_note(const Sink *sink);

/* Whether TEXT alone, or a prefix of it, names this sink (`csv:`, `.csv`, `postgresql://`). A
 * driver without `open` takes only rows without end, one without `feed` only those of a run. */
typedef struct SinkDriver {
    const char *name;        /* "csv" */
    const char *summary;     /* one line for the docs */
    const char *suffixes[4]; /* ".csv", NULL-terminated */
    const char *schemes[3];  /* "postgresql://", "postgres://"; the target keeps them */
    unsigned modes;          /* 1 << SINK_… */
    SinkMode mode_default;
    bool has_table;                /* a database: understands ?table= and keeps marks itself */
    bool is_stdout;                /* may be "-" */
    bool is_csv_like;              /* understands ?safe=, ?eol= and ?sep= */
    const SinkOption *options;     /* of its own, the last one nameless; NULL: none */
    const struct FeedDriver *feed; /* see feed.h; NULL: it takes no rows without end */

    /* As the functions above; STATE is the driver's own. open fills *ret_mark on resume. */
    SUSPENDS int (*open)(const SinkSpec *spec, const SinkOpts *opts, void **ret_state,
                         uint64_t *ret_mark);
    SUSPENDS int (*write)(void *state, const RowBatch *batch);
    SUSPENDS int (*checkpoint)(void *state, uint64_t mark, Buf *position);
    SUSPENDS int (*commit)(void *state);
    SUSPENDS void (*close)(void *state); /* frees; undoes what was not committed */

    /* Databases: a text that is stored with every further mark, and the one found on resume. NULL
     * elsewhere. */
    void (*put_note)(void *state, Str note);
    Str (*get_note)(const void *state);

    /* Where the rows of the last checkpoint are, for messages; NULL when nothing keeps them. */
    const char *(*get_place)(const void *state);
} SinkDriver;
