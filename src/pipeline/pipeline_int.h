/*
 * The inside of a pipeline: who hands a parcel to whom, and who counts.
 *
 *   channel.c  sources -> channel: bounded, waits or drops
 *   springs.c  the sources, and what comes of them
 *   router.c   channel -> lanes, by key, and back into one order
 *   lane.c     the steps, over one parcel after another
 *   line.c     lanes -> the line of each sink: bounded, waits
 *   writer.c   line -> lots -> feed, with patience
 *   lot.c      rows of a line in the sink's columns; lot_fates.c: what becomes of them
 *   dead.c     refused rows -> dead letters
 *   books.c    every count, and the balance
 *   save.c     positions and state
 *   deal.c     state into lanes, which may be others
 *   crew.c     who works between channel and sinks: comes and goes
 *   reload.c   another plan while the sources run
 *   pipeline.c start, stop, wait
 *
 * A parcel on its way is in exactly one queue, or in one fiber's hands, or shared by the sinks that
 * still owe an answer (`owed`); when nobody owes one any more, parcel_settle counts its rows' fates
 * and lets it go, which is when its receipt hears of it.
 */
#pragma once

#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "pipeline/pipeline.h"
#include "rows/expr.h"

#include <stdio.h>

typedef struct Lane Lane;
typedef struct Writer Writer;
typedef struct Dead Dead;
typedef struct Spill Spill;

/* ---- the channel ----------------------------------------------------------------------------- */

typedef struct Channel {
    List parcels;
    size_t rows, bytes;
    size_t rows_max, bytes_max;
    bool is_closed;         /* no more puts: takes drain what is there */
    bool is_held;           /* takes wait: a save or a reload wants silence */
    bool is_left;           /* who takes shall go; what is inside stays for others */
    uint64_t pushed, taken; /* parcels so far */
    sl_cond room;
    sl_cond item;
} Channel;

void channel_init(Channel *channel, size_t rows_max, size_t bytes_max);
bool channel_is_full(const Channel *channel);

/* Wait until there is room for BYTES, or nothing at all is inside. 0 or -ECANCELED. */
MUST SUSPENDS int channel_wait_room(Channel *channel, size_t bytes);

/* Put without waiting. */
void channel_push(Channel *channel, Parcel *parcel);
Parcel *channel_drop_oldest(Channel *channel); /* NULL when it is empty */

#define CHANNEL_LEFT 3 /* beside SL_CLOSED and SL_EMPTY */

/* The next parcel. 0; SL_CLOSED when it is closed and empty; SL_EMPTY when DEADLINE_NS (of
 * sl_now_ns; INT64_MAX: none) came first; CHANNEL_LEFT: go, though there may be more for others;
 * -ECANCELED. */
MUST SUSPENDS int channel_take(Channel *channel, int64_t deadline_ns, Parcel **ret_parcel);
void channel_close(Channel *channel);
void channel_hold(Channel *channel, bool is_held);
void channel_leave(Channel *channel);

/* ---- books ----------------------------------------------------------------------------------- */

typedef struct Books {
    uint64_t received, made, written, filtered, dead, dropped, repeats;
    uint64_t in_flight;
    PipelineCauses filtered_by, dead_by, dropped_by;
} Books;

void books_deinit(Books *books);

/* N rows under WORD, which is copied. */
void causes_add(PipelineCauses *causes, const char *word, uint64_t n);
void books_receive(Books *books, uint64_t n, bool is_made);
void books_write(Books *books, uint64_t n);
void books_filter(Books *books, const char *word, uint64_t n);
void books_bury(Books *books, const char *stage, uint64_t n);
void books_drop(Books *books, const char *cause, uint64_t n);

/* ---- tracks ---------------------------------------------------------------------------------- */

/* How far each track is: "data.csv#7f" -> 81920. */
typedef struct Tracks {
    Map by_name;    /* -> Track, owned; at most LIMIT_TRACKS */
    uint64_t moves; /* raises so far */
} Tracks;

void tracks_deinit(Tracks *tracks);
uint64_t tracks_get(const Tracks *tracks, Str name);
void tracks_raise(Tracks *tracks, Str name, uint64_t position); /* never lowers */
void tracks_raise_all(Tracks *tracks, const Tracks *other);
void tracks_lower_to(Tracks *tracks, const Tracks *other); /* the lesser of both */
void tracks_learn(Tracks *tracks, const Tracks *other);    /* at 0, what is only there */
size_t tracks_count(const Tracks *tracks);
void tracks_format(const Tracks *tracks, Buf *out); /* a JSON object */
MUST int tracks_parse(Tracks *tracks, Str json);

/* ---- obstacles ------------------------------------------------------------------------------- */

/* What keeps rows from going on: a sink that is away, a disk that is full. There may be several at
 * once; the pipeline's state tells of the one that was met last, until none is left. */
typedef struct Obstacle {
    ListLink link; /* of the pipeline's; in none: there is nothing */
    PipelineState state;
    char about[512];
} Obstacle;

void obstacle_meet(Pipeline *pipeline, Obstacle *obstacle, PipelineState state, const char *fmt,
                   ...) SL_PRINTF(4, 5);
void obstacle_pass(Pipeline *pipeline, Obstacle *obstacle); /* it is over, if it was there */

/* Whether error R of a file may be over in a while: no room, no descriptor, a disk that is away. */
bool obstacle_is_passing(int r);

/* ---- sinks ----------------------------------------------------------------------------------- */

/* Rows of a parcel that a sink shall have. */
typedef struct Portion {
    ListLink link;
    Parcel *parcel;  /* owed an answer */
    uint32_t *picks; /* indexes of rows; NULL: all. Owned */
    uint32_t n;      /* rows */
    uint32_t next;   /* of them in lots already */
    int64_t at_ns;   /* of sl_now_ns, when it joined the line */
} Portion;

/* What waits for a sink. */
typedef struct Line {
    List portions;
    size_t rows, bytes;
    size_t awaited; /* portions somebody waits for */
    size_t fresh;   /* portions that lie in no spill of the sink; those of the lot, too */
    bool is_closed;
    bool is_urgent; /* write what there is: a save, a stop */
    sl_cond room;
    sl_cond item;
} Line;

#define WRITER_CACHES 4

/* A sink at work; one for each table where the sink's name has a placeholder. */
struct Writer {
    Writer *next; /* of the same sink, for other tables */
    Pipeline *pipeline;
    Plan *plan;           /* that it was opened by: its feed knows texts of it. A reference */
    const PlanSink *sink; /* of the pipeline's plan */
    uint32_t index;       /* of the sink */
    Str table;            /* in the arena; empty: the spec's */
    Str run_id;           /* names its marks */
    Str feed_table;       /* the spec's with the placeholder replaced; empty: the spec's */
    const char *fault;    /* why the sink cannot have such a table: its rows are refused, nothing is
                             opened. NULL: it can */
    Arena arena;
    Line line;
    Feed *feed;       /* NULL until it could be opened */
    bool is_open;     /* it is, or nothing is to be opened */
    bool is_busy;     /* a lot is under way */
    bool has_ended;   /* its fiber has */
    bool has_opening; /* the scope below is there */
    sl_scope opening; /* around the tries to open the feed */
    Shape *shape;     /* the columns of its lots */
    StepCache maps[WRITER_CACHES];
    StepCache conditions[WRITER_CACHES];
    Expr *where;     /* NULL: every row */
    Tracks tracks;   /* what is committed, or goes with the lot under way */
    Tracks before;   /* what the feed held when it was opened: rows up to there are repeats */
    bool has_before; /* something is in it */
    Tracks passed;   /* parcels without a row for it, behind everything in its line */
    uint64_t mark;

    /* The lot under way. */
    const RowValue **run_rows; /* as taken from the line; NULL: not to be written */
    const RowValue **rows;     /* those that are written, in order */
    uint32_t *lot_index;       /* of rows: where they stand in run_rows */
    uint32_t *outside;         /* rows with too many columns: where they stand in run_rows */
    size_t n_outside;
    RowValue *copies; /* rows that had to be put into the lot's columns */
    size_t cap_copy_values, cap_copies, n_copies;
    struct LotRun *runs;
    size_t lot_rows; /* at most, of the lot that is being taken */
    size_t n_runs, cap_runs;
    FeedVerdict verdict;

    uint64_t rows_in, rows_out, errors, batches;
    uint64_t lost; /* of rows_in, by the policy for a line that is full */
    char about[512];
    Obstacle away;
    bool is_up;
    bool is_tried; /* to open it has been tried at least once */
};

/* Fates beyond RowFate: no sink has the row, and the sink with INDEX lost it. */
#define FATE_LOST(index) ((uint8_t) (FATE_WRITTEN + 1 + (index)))
/* No sink has the row in its line, and the spill of one has it: it is counted with that one. */
#define FATE_MOVED       FATE_LOST(LIMIT_PIPELINE_SINKS)
#define FATES            (FATE_WRITTEN + 1 + LIMIT_PIPELINE_SINKS + 1)

/* A stretch of a lot: rows [from, from + n) of a portion, in the order of its picks. */
typedef struct LotRun {
    Portion *portion;
    uint32_t from;
    uint32_t n;
    bool ends; /* the portion's last rows */
} LotRun;

#define LANE_STACK_BYTES (128 << 10) /* a step's regular expression may take 32 KiB of it */
#define ROUTER_KEYS_MAX  16          /* columns of a key */

/* ---- lanes ----------------------------------------------------------------------------------- */

typedef struct LaneStep {
    const PlanStep *plan;
    void *state;
    bool ends_here; /* in a reload: what it holds is handed on, nobody takes it over */
    uint64_t rows_in, rows_out, refused, late;
    uint64_t filtered, dropped, made; /* not yet in the books */
} LaneStep;

struct Lane {
    Pipeline *pipeline;
    uint32_t index;
    Channel in; /* pieces; unused with one lane */
    LaneStep *steps;
    size_t n_steps;
    bool is_busy;
    bool is_elsewhere; /* its steps are at work on the pool */
    bool is_offloaded;
    bool is_watched; /* a step of it may hang */
};

/* What of another plan goes on as it is. */
typedef struct Reload Reload;

/* A parcel that was cut in pieces for the lanes, until all of them are back. */
typedef struct Batch {
    ListLink link;
    uint32_t pieces;
    List results; /* parcels */
} Batch;

/* What the metrics know already. */
typedef struct Published {
    uint64_t sources[LIMIT_PIPELINE_SOURCES];
    uint64_t sinks[LIMIT_PIPELINE_SINKS], lots[LIMIT_PIPELINE_SINKS], errors[LIMIT_PIPELINE_SINKS];
    uint64_t filtered[PIPELINE_CAUSES_MAX], dead[PIPELINE_CAUSES_MAX], dropped[PIPELINE_CAUSES_MAX];
} Published;

/* ---- the whole ------------------------------------------------------------------------------- */

/* A source at work. */
typedef struct Spring {
    Source source; /* first: the driver's handle leads here */
    Pipeline *pipeline;
    Plan *plan;      /* that its settings live in. A reference */
    char *positions; /* where it began; owned */
    sl_event stopping;
    sl_scope work; /* around its run */
    bool has_work;
    bool has_ended;
    bool is_up;
    uint64_t errors;
    char about[256];
} Spring;

struct Pipeline {
    Plan *plan;
    PipelineOpts opts;
    PipelineState state;
    char about[512];
    List obstacles;      /* Obstacle; the one that was met last at the end */
    Obstacle full_disk;  /* of the state's file */
    sl_nursery *nursery; /* of whoever started it */
    sl_event opened;     /* the sinks have been tried, or it failed */
    sl_event stopping;   /* for the sources */
    sl_event ended;
    int end_r;
    Err end_err;
    sl_scope work; /* around everything: the second ^C, the end of the grace */
    bool has_work;
    sl_nursery *sources_nursery; /* while sources run */
    bool is_pausing;             /* by request */
    sl_cond resumed;

    bool has_begun;   /* rows are taken */
    bool is_draining; /* nothing new is taken */
    bool is_synced;   /* commits survive a loss of power */
    bool is_failing;  /* what is in flight goes back */

    Shapes *shapes;
    ParcelPool pool;
    Channel channel;
    Books books;

    Spring **springs; /* in the order of the plan's sources */
    size_t n_springs;
    uint32_t next_source; /* number of the next spring */
    Lane *lanes;
    size_t n_lanes;
    uint64_t key_seed;
    uint64_t step_seed[2]; /* of hashes in steps, the same in all lanes */
    bool has_crew;         /* the router, or the only lane, runs */
    bool is_routing;       /* the router has a parcel in its hands */
    bool are_lanes_done;   /* no more batches come */
    List batches;          /* in the order of the channel; with several lanes */
    sl_cond batches_done;
    Writer **writers;         /* of each sink, the first of its tables */
    sl_nursery *crew;         /* lanes, or the router */
    sl_nursery *crew_writers; /* writers, dead letters */
    size_t n_writers;
    PipelinePart *steps_before, *sinks_before; /* what was counted under other plans */
    Dead *dead;
    Spill *spill;                             /* NULL: the channel does not spill */
    Spill *sink_spills[LIMIT_PIPELINE_SINKS]; /* of each sink; NULL: the same */
    sl_nursery *spillers;                     /* two fibers of each */

    Tracks settled;                          /* how far every row has its fate, without a gap */
    List vouchers[LIMIT_PIPELINE_SINKS + 2]; /* of parcels with positions that are on their way, in
                                                the order of puts: of sources; of each spill */
    Receipt **held;                          /* receipts that wait for a save */
    size_t n_held, cap_held;
    bool has_state;   /* a folder, and something to keep in it */
    bool is_dirty;    /* something has moved since the last save */
    bool is_urgent;   /* lines write what there is: somebody waits for silence */
    sl_cond quiet;    /* something became idle */
    sl_mutex saving;  /* one save, or reload, at a time */
    Reload *reload;   /* under way; NULL: none */
    uint64_t reloads; /* done */
    char news[512];
    int64_t save_began_ns; /* of sl_clock_ns: when there was nothing more to wait for */
    int64_t save_cost_ns;
    int64_t started_ms;
    Published published;
};

/* The pipeline fails: everything is cancelled, receipts hear of it. R is below zero. */
void pipeline_fail(Pipeline *pipeline, int r);
void pipeline_set_state(Pipeline *pipeline, PipelineState state, const char *fmt, ...)
    SL_PRINTF(3, 4);

/* The state is that of the last obstacle, or without any that of a pipeline that goes on. */
void pipeline_show_state(Pipeline *pipeline);

bool pipeline_must_sync(const Plan *plan); /* whether its commits survive a loss of power */

/* springs.c: a parcel comes from a source. Consumes it. */
MUST SUSPENDS int pipeline_put(Pipeline *pipeline, TAKES Parcel *parcel, Spring *spring);

/* Run the sources until they have ended. */
MUST SUSPENDS int springs_run(Pipeline *pipeline);
void pipeline_stop_sources(Pipeline *pipeline); /* ask all of them to end */

/* Source INDEX of PLAN, which does not run yet. */
MUST Spring *spring_new(Pipeline *pipeline, Plan *plan, size_t index);
void spring_free(Spring *spring); /* that has ended */
SUSPENDS void spring_start(Spring *spring, Str positions);
MUST SUSPENDS int spring_stop(Spring *spring); /* and wait for its end: 0 or -ECANCELED */
const Spring *spring_find(const Pipeline *pipeline, uint32_t number); /* or NULL */

/* crew.c: start a writer for each sink that has none; then the lanes, which are open. */
MUST SUSPENDS int crew_start_writers(Pipeline *pipeline);
SUSPENDS void crew_start_lanes(Pipeline *pipeline);
MUST SUSPENDS int lanes_open(Lane *lanes, size_t n, Pipeline *pipeline, const Plan *plan);
void lanes_free(Lane *lanes, size_t n);

/* Let the lanes go, at a moment of silence, and wait until they have: what steps hold that end
 * here is handed on, the state of the others stays. 0 or -ECANCELED. */
MUST SUSPENDS int crew_leave(Pipeline *pipeline);

/* router.c */
SUSPENDS int router_run(void *arg); /* the pipeline; several lanes */
SUSPENDS int lane_run(void *arg);   /* the lane */
MUST SUSPENDS int lane_open(Lane *lane, Pipeline *pipeline, const Plan *plan, uint32_t index,
                            uint32_t n_lanes);
void lane_deinit(Lane *lane);

/* line.c: wait until the lines that get rows of PARCELS have room, where their sinks' policy is to
 * wait. Once for all that came of one parcel. */
MUST SUSPENDS int lines_wait_room(Pipeline *pipeline, const List *parcels);

/* Hand PARCEL, which has been through the steps, to the sinks. Consumes it. */
MUST SUSPENDS int lines_put(Pipeline *pipeline, TAKES Parcel *parcel);

/* For what comes from the spill of SINK: wait until its line has room, and put it there. */
MUST SUSPENDS int line_wait_room(Pipeline *pipeline, uint32_t sink, const Parcel *parcel);
MUST SUSPENDS int line_put_spilled(Pipeline *pipeline, uint32_t sink, TAKES Parcel *parcel);

/* Which rows of PARCEL the sink wants: their indexes in PICKS, how many. */
uint32_t writer_choose(Writer *writer, Parcel *parcel, uint32_t *picks);

/* One sink less owes PARCEL an answer; the last one settles it: its rows are counted under their
 * fates, its voucher is cashed, and it is let go. */
void parcel_answer(Pipeline *pipeline, Parcel *parcel);

/* PARCEL goes no further because the pipeline ends: its producer hears of it. Consumes it. */
void parcel_give_back(Pipeline *pipeline, Parcel *parcel);

/* ---- vouchers -------------------------------------------------------------------------------- */

/* A stretch of a track that is on its way, shared by the parcels that its rows are in. Cashed by
 * the last of them; the settled position moves when no earlier stretch is out. */
typedef struct Voucher {
    ListLink link;
    uint32_t refs;
    uint64_t position;
    Str track; /* copied */
} Voucher;

void voucher_attach(Pipeline *pipeline, Parcel *parcel);  /* a new one, when it has positions */
void voucher_share(Parcel *parcel, const Parcel *mother); /* the same */
void voucher_cash(Pipeline *pipeline, Parcel *parcel);
void vouchers_format(const Pipeline *pipeline, Buf *out); /* the positions that were handed on */
void vouchers_deinit(Pipeline *pipeline);

/* writer.c */
MUST int writer_new(Pipeline *pipeline, uint32_t sink, Str table, Writer **ret_writer);
void writer_free(Writer *writer); /* whose feed is closed */
SUSPENDS int writer_run(void *arg);
void writer_abort(Writer *writer); /* what it still holds goes back: the pipeline fails */
void writer_leave(Writer *writer); /* it has nothing: its fiber ends */
bool writer_is_idle(const Writer *writer);
bool writer_is_quiet(const Writer *writer);       /* what it has, if anything, is in its spill */
bool writer_is_left_behind(const Writer *writer); /* it is away, and the others do not wait */

/* dead.c */
MUST Dead *dead_new(Pipeline *pipeline);
void dead_abort(Dead *dead);          /* what waits goes back: the pipeline fails */
SUSPENDS void dead_close(Dead *dead); /* its sink; then only free */
void dead_free(Dead *dead);
SUSPENDS int dead_run(void *arg);
void dead_put(Dead *dead, Parcel *parcel); /* which has dead rows; owed an answer */
bool dead_is_idle(const Dead *dead);
bool dead_has_ended(const Dead *dead);      /* its fiber has */
void dead_inherit(Dead *dead, Dead *other); /* what was put after its fiber had ended */
void dead_finish(Dead *dead);               /* no more puts */
/* A dead row, and the parcel it is of. */
typedef struct DeadItem {
    const Parcel *parcel;
    const DeadRow *row;
} DeadItem;

/* Write N dead letters now and durably; keeps trying. 0, -ECANCELED, or what ends the pipeline. */
MUST SUSPENDS int dead_write(Pipeline *pipeline, const DeadItem *items, size_t n);

/* For a reload: close it when nobody writes to it; who comes then waits for the next one. 0,
 * -ECANCELED, or why the pipeline fails. */
MUST SUSPENDS int dead_leave(Dead *dead);

/* publish.c: the fiber that keeps the metrics; and its work, once. */
SUSPENDS int publish_run(void *arg);
void pipeline_publish(Pipeline *pipeline);
void pipeline_publish_from_here(Pipeline *pipeline); /* the parts are others: all is published */

/* save.c */
MUST SUSPENDS int save_load(Pipeline *pipeline);
SUSPENDS int save_run(void *arg);
MUST SUSPENDS int save_now(Pipeline *pipeline);

/* What is to be saved, at a moment of silence, into TEXT. */
#define SAVE_VERSION 2
MUST int save_format(const Pipeline *pipeline, Buf *text);
/* Put TEXT on the disk, and let the receipts go that were held for it. */
MUST SUSPENDS int save_write(Pipeline *pipeline, const Buf *text);
void save_release_receipts(Pipeline *pipeline, size_t n, int r); /* the first N, with R */
/* PARCEL leaves the channel: with steps that keep state its receipt waits for the next save. */
void save_hold_receipt(Pipeline *pipeline, const Parcel *parcel);
/* Wait until nothing is between the channel and the sinks; the channel is held meanwhile.
 * PIPELINE_RESTLESS: a sink that the others do not wait for is away, and holds rows; when very many
 * receipts wait for the silence, it is waited for all the same. */
#define PIPELINE_RESTLESS 1
MUST SUSPENDS int pipeline_quiet(Pipeline *pipeline);
void pipeline_wake(Pipeline *pipeline); /* something became idle */

/* deal.c: where state goes to. */
typedef struct Deal {
    Pipeline *pipeline;
    const Plan *plan;
    Lane *lanes;    /* open, and as many as PLAN says */
    bool is_reload; /* what nobody carries on was handed on; positions are known */
} Deal;

/* TEXT, as save_format has written it, into the lanes. */
MUST int deal_out(const Deal *deal, Str text);

/* Whether what the pipeline's lanes hold now can be dealt out: 0, or words that say what to do. */
MUST int deal_check(const Deal *deal);

/* The columns of the key of PLAN in one text. */
void deal_format_key(const Plan *plan, Buf *out);
