/*
 * Feeds: sinks for rows without end.
 *
 * A sink (sink.h) takes a run's rows and is whole at its end. A feed is never finished: what is
 * delivered is there for others when feed_deliver returns, and there is always more. The same text
 * names both (`sqlite:readings.db?table=readings`); a driver that can be a feed has a FeedDriver.
 *
 *   F1  feed_deliver is all or nothing: the rows of a lot, without those it refuses, become durable
 *       together with mark and note, or none of them does.
 *   F2  A lot whose fate is unknown (the connection was lost in the commit) may be delivered again
 *       with the same mark: where the feed keeps marks it finds it and writes nothing twice.
 *   F3  A row that the sink refuses for its values is isolated: by the position that the server
 *       names, otherwise by bisection under savepoints. The rest of the lot goes in. While rows are
 *       refused the transaction stays open (FEED_REFUSED) until feed_finish, so that the caller can
 *       make dead letters durable first.
 *   F4  Errors are told apart (see the outcomes); after FEED_RETRY and FEED_FULL nothing of the lot
 *       is in, or F2 holds. The feed connects again by itself at the next deliver.
 *   F5  One lot at a time; rows go in in the order of the lot.
 *
 * A note is a text that is stored with the mark in the same transaction: the positions of the
 * sources. That is what makes exactly once.
 */
#pragma once

#include "net/http_client.h"
#include "rows/parcel.h"
#include "rows/sink.h"

typedef struct Feed Feed;

enum FeedOutcome {
    FEED_REFUSED = 1, /* all but verdict->refused is written, and waits for feed_finish */
    FEED_RETRY = 2,   /* a lock, a lost connection, a server that starts: the same lot, later */
    FEED_FULL = 3,    /* the disk, or the quota: pause, then the same lot */
    FEED_STOP = 4     /* table or column missing, wrong type, not allowed: somebody must mend it */
};

/* Rows of one lot that are isolated; with more the lot is FEED_STOP. Those that are refused because
 * they are there already are not among them. */
#define FEED_REFUSALS 1024

typedef struct FeedRefusal {
    size_t row;    /* index in the lot */
    char code[16]; /* "23505", "SQLITE_MISMATCH" cut; NUL-terminated */
    char text[REFUSAL_TEXT_BYTES];
} FeedRefusal;

/* What a deliver says beside its outcome. */
typedef struct FeedVerdict {
    FeedRefusal *refused; /* by their row; owned, see feed_verdict_deinit */
    size_t n_refused;     /* of the last deliver */
    char code[16];        /* of FEED_RETRY, FEED_FULL, FEED_STOP */
    char text[512];       /* in words: what happened and what to do */
} FeedVerdict;

/* Rows that are delivered together. All borrowed until feed_deliver returns. */
typedef struct FeedLot {
    const RowColumn *columns; /* those of the feed, and maybe more behind (see can_grow) */
    size_t n_columns;
    const RowValue *const *rows; /* N_ROWS pointers to N_COLUMNS values each */
    size_t n_rows;
    uint64_t mark; /* larger than the last one */
    Str note;
} FeedLot;

typedef struct FeedOpts {
    Str table; /* instead of the spec's, where that has a placeholder; empty: the spec's */
    const RowColumn *columns; /* that are known at the start; copied */
    size_t n_columns;
    Str run_id;       /* names marks in databases */
    bool is_synced;   /* each deliver survives a loss of power; otherwise it survives kill -9 */
    bool can_grow;    /* a lot with further columns adds them to the table */
    HttpClient *http; /* of this loop; may be NULL */
    Str engine_url;   /* where this engine listens, for feeds that push jobs; empty: the default */
} FeedOpts;

/* Whether the sink of SPEC can be a feed: 0, or -ERR_INVALID with words that name those that can,
 * or the mode that it cannot have (a feed adds to what is there: no replace). */
MUST int feed_check(const SinkSpec *spec);

/*
 * Open. *RET_MARK is the last mark the feed holds, 0 for none, and feed_note what was stored with
 * it. 0; FEED_RETRY (the server is away), FEED_FULL, FEED_STOP with VERDICT; or an error. Suspends.
 */
MUST SUSPENDS int feed_open(Feed **ret_feed, const SinkSpec *spec, const FeedOpts *opts,
                            uint64_t *ret_mark, FeedVerdict *verdict);

/* 0, FEED_REFUSED, FEED_RETRY, FEED_FULL, FEED_STOP, or an error (-ECANCELED: then F2).
 * Suspends. */
MUST SUSPENDS int feed_deliver(Feed *feed, const FeedLot *lot, FeedVerdict *verdict);

/* After FEED_REFUSED: commit. 0, FEED_RETRY (deliver the lot again), FEED_FULL, or an error. */
MUST SUSPENDS int feed_finish(Feed *feed, FeedVerdict *verdict);

Str feed_note(const Feed *feed); /* borrowed; of the last mark */

/* Whether the feed keeps marks itself, in the transaction of the rows: a database with a run id. */
bool feed_is_exact(const Feed *feed);

/* Why the sink of SPEC cannot have a table, or a column, of a name that came with the rows: words
 * that follow the name; NULL: it can. A stranger chooses such names, so they cost their rows and
 * never stop a pipeline. Pure. */
const char *feed_table_fault(const SinkSpec *spec, Str table);
const char *feed_column_fault(const SinkSpec *spec, Str column);

/* Let go; what is open is undone. NULL is nothing. Suspends, also when cancelled. */
SUSPENDS void feed_close(Feed *feed);
DEFINE_AUTO(Feed *, feed_close);

typedef struct FeedDriver {
    bool is_exact;                                               /* marks are in the transaction */
    const char *(*table_fault)(const SinkSpec *spec, Str table); /* NULL: it takes all names */
    const char *(*column_fault)(Str column);                     /* the same */
    SUSPENDS int (*open)(const SinkSpec *spec, const FeedOpts *opts, void **ret_state,
                         uint64_t *ret_mark, FeedVerdict *verdict);
    SUSPENDS int (*deliver)(void *state, const FeedLot *lot, FeedVerdict *verdict);
    SUSPENDS int (*finish)(void *state, FeedVerdict *verdict);
    Str (*note)(const void *state);
    SUSPENDS void (*close)(void *state);
} FeedDriver;

/* ---- for drivers ----------------------------------------------------------------------------- */

/*
 * Isolate refused rows: a walk over a lot that says which rows to try next. The driver writes the
 * rows [from, to) under a savepoint, all or none, and tells how it went; ranges come in the order
 * of the lot, and at the end every row that was not refused is in once.
 *
 *   feed_isolation_begin(&walk, lot->n_rows);
 *   while (feed_isolation_next(&walk, &from, &to)) {
 *       r = put(from, to, &row, …);
 *       if (r == 0)                  feed_isolation_good(&walk);
 *       else if (it is the values)   feed_isolation_bad(&walk, row, verdict, code, text);
 *       else                         return r;
 *   }
 *
 * ROW is the index in the lot that is at fault, or SIZE_MAX: then the range is halved. A range of
 * one row that is bad is refused. Pure; at most 2 n log2 n rows are tried for n refused ones, and
 * with the index of the first bad row each good one is tried twice.
 */
typedef struct FeedIsolation {
    size_t from, to; /* the range that is tried now */
    size_t end;      /* of the lot */
    size_t n_refused;
    bool is_overfull; /* more than FEED_REFUSALS: next is false, the lot is FEED_STOP */
    size_t ends[64];  /* of the ranges that come behind this one, the nearest last */
    bool skips[64];   /* the first row of that range is refused already */
    size_t n_ends;
} FeedIsolation;

void feed_isolation_begin(FeedIsolation *walk, size_t n_rows);
bool feed_isolation_next(FeedIsolation *walk, size_t *ret_from, size_t *ret_to);
void feed_isolation_good(FeedIsolation *walk);
void feed_isolation_bad(FeedIsolation *walk, size_t row, FeedVerdict *verdict, const char *code,
                        const char *text);

/* Set the verdict: CODE (cut) and words. Forgets the refused rows. */
void feed_verdict_say(FeedVerdict *verdict, const char *code, const char *fmt, ...) SL_PRINTF(3, 4);
/* The outcome for a lot of which more than FEED_REFUSALS rows are refused: FEED_STOP, said with the
 * words of the first one. */
int feed_verdict_overfull(FeedVerdict *verdict, size_t n_rows);

/* What an errno of a file or a folder means: FEED_RETRY, FEED_FULL or FEED_STOP. */
int feed_outcome_of_errno(int number);

void feed_verdict_deinit(FeedVerdict *verdict);
DEFINE_AUTO_VALUE(FeedVerdict, feed_verdict_deinit);
