/*
 * Parcels: rows on their way from a source to the sinks, with what must not be forgotten of them.
 *
 * A parcel holds up to LIMIT_ROW_BATCH rows of one shape, the bytes they were read from, and where
 * each row stood in them. Steps change it in place; what they take out they give a fate, so that
 * no row ends without one:
 *
 *   FATE_OPEN      still on its way
 *   FATE_FILTERED  a step took it out, as it was told to
 *   FATE_DEAD      refused; a dead letter has it
 *   FATE_DROPPED   lost where losing is allowed (full channel, too late, a rate that was exceeded)
 *   FATE_WRITTEN   at least one sink has it, and no sink still owes an answer
 *
 * Texts of values lie in the payload (the bytes as they came, shared by all parcels made of them)
 * or in the parcel's batch; so a parcel that is alive keeps its payload alive.
 *
 * A receipt is what the source gets back: it counts the parcels of one delivery (a request, a
 * message, a piece of a file), keeps the first refusals, and when the last parcel is done it tells
 * the source, which then answers, acknowledges or moves its position. A parcel without receipt
 * (rows that a window made) tells nobody.
 *
 * All of it belongs to one loop. Sinks read rows on other threads while the parcel is held, and
 * steps that burn change one on the pool while its fiber waits: the functions over rows touch
 * nothing that another parcel shares but the count of its shape, which is atomic.
 */
#pragma once

#include "base/list.h"
#include "rows/row.h"
#include "rows/shape.h"

typedef struct Payload Payload;
typedef struct Parcel Parcel;
typedef struct Receipt Receipt;

/* X(NAME, "word") */
#define ROW_FATES(X)        \
    X(OPEN, "in flight")    \
    X(FILTERED, "filtered") \
    X(DEAD, "dead")         \
    X(DROPPED, "dropped")   \
    X(WRITTEN, "written")

typedef enum RowFate {
#define ROW_FATE_ENUM_(name, word) FATE_##name,
    ROW_FATES(ROW_FATE_ENUM_)
#undef ROW_FATE_ENUM_
} RowFate;

/* ---- payloads -------------------------------------------------------------------------------- */

/* Bytes that rows were read from; never changed once a row points into them. */
struct Payload {
    uint32_t refs;
    uint8_t format; /* DecodeFormat that they were decoded as; 0: not known */
    Buf bytes;
    Buf head; /* CSV: a line with the names of the columns, without its end; empty: not known */
};

/* A payload that owns the bytes of BUF, which is left empty. One reference. */
MUST Payload *payload_take(Buf *buf);
MUST Payload *payload_copy(Str bytes);
Payload *payload_ref(Payload *payload);
void payload_unref(Payload *payload); /* NULL is nothing */
DEFINE_AUTO(Payload *, payload_unref);

/* ---- receipts -------------------------------------------------------------------------------- */

#define REFUSAL_CODE_BYTES 32
#define REFUSAL_TEXT_BYTES 200
#define RECEIPT_REFUSALS   100 /* kept and named; further ones are counted */

/* Why a row was refused. */
typedef struct Refusal {
    uint64_t line;                 /* in the payload, from 1; 0: not known */
    uint64_t offset;               /* of the row's first byte in the payload */
    const char *stage;             /* "parse", "validate", "write", or a step's name; static */
    char code[REFUSAL_CODE_BYTES]; /* "bad_number", "out_of_range", "23505", NUL-terminated */
    char text[REFUSAL_TEXT_BYTES]; /* a sentence for people, UTF-8, NUL-terminated */
} Refusal;

/* What a source delivered at once, until all of its rows have their fate. */
struct Receipt {
    ListLink link;    /* for its source; not linked at first */
    uint32_t parcels; /* alive, and 1 until receipt_seal */
    bool is_awaited;  /* somebody waits for the end: do not hold it for company */
    bool is_repeat;   /* it came before, or may have: redelivered by a broker */
    int r;            /* 0; below zero when the pipeline gave it up: it may come again */
    uint64_t rows;    /* in it, refused ones included */
    uint64_t refused;
    uint64_t dropped;
    Refusal *refusals; /* the first RECEIPT_REFUSALS; NULL when there are none */
    size_t n_refusals;
    Str origin;          /* who sent it: "10.0.0.7:5123", "data.csv"; copied */
    Str track;           /* what its positions count: "data.csv#inode"; empty: no positions */
    uint64_t position;   /* of the end of what it delivers, on its track */
    int64_t received_ns; /* since 1970 */
    int64_t arrived_ns;  /* of sl_now_ns, for the lag */
    uint32_t source;     /* index of the source in its pipeline */
    Str first_source;    /* of the same: the name of the source they came from; borrowed */
    uint32_t attempts;   /* that its rows were refused before: dead letters that are tried again */
    void (*on_done)(Receipt *receipt, void *ctx); /* once; must not suspend; may free it */
    void *ctx;
};

/* A receipt of the source with INDEX. ORIGIN and TRACK are copied. It lives until its on_done
 * returns, which frees it by receipt_free or keeps it for later. */
MUST Receipt *receipt_new(uint32_t source, Str origin, Str track);
void receipt_free(Receipt *receipt);

/* Everything of the delivery has been put into parcels: from here on it may be done, and is at once
 * when nothing of it is alive. */
void receipt_seal(Receipt *receipt);

/* Keep it from being done, though no parcel of it is alive; and let it go. */
void receipt_hold(Receipt *receipt);
void receipt_release(Receipt *receipt);

/* Keep a refusal, or count it when there are enough. */
void receipt_refuse(Receipt *receipt, const Refusal *refusal);

/* ---- parcels --------------------------------------------------------------------------------- */

/* Where a row came from. */
typedef struct RowPlace {
    uint64_t position; /* on its track, behind the row; 0: none */
    uint64_t line;     /* from 1; 0: not known */
    uint32_t offset;   /* of its bytes in the payload */
    uint32_t len;      /* of its bytes; 0: it has none, its values stand for it */
} RowPlace;

/* A row that was taken out with a refusal, until its dead letter is written. */
typedef struct DeadRow {
    RowPlace place;
    Refusal why;
    uint32_t attempts;
    Buf values; /* the row as JSON when it has no bytes of its own; owned */
} DeadRow;

struct Parcel {
    ListLink link;         /* in a queue of the pipeline */
    uint32_t refs;         /* who still needs it: parcel_ref, parcel_free */
    struct Parcel *mother; /* whose rows were moved here; held, because texts lie in it */
    Shape *shape;          /* owned reference */
    RowBatch rows;         /* its columns are the shape's, as many as there were */
    RowPlace *places;      /* one for each row, of the capacity of the batch; owned */
    uint8_t *fates;        /* RowFate of each row; owned */
    Payload *payload;      /* owned reference; NULL: the rows were made here */
    Receipt *receipt;      /* counted; NULL: nobody asks */
    DeadRow *dead;         /* refused and not yet written; owned */
    size_t n_dead;
    size_t cap_dead;
    size_t cap_places; /* of places and fates */
    uint64_t filtered; /* rows that parcel_compact took out, by fate */
    uint64_t refused;
    uint64_t dropped;
    size_t bytes;          /* what it is charged for: payload, texts, values */
    int64_t arrived_ns;    /* of sl_now_ns */
    int64_t received_ns;   /* since 1970 */
    uint32_t owed;         /* the pipeline's: sinks that owe an answer */
    void *voucher;         /* the pipeline's: for the position of its track */
    void *batch;           /* the pipeline's: the pieces it belongs to */
    uint64_t buried;       /* the pipeline's: of refused, those that are in its books */
    uint64_t end_position; /* the largest of its rows' positions, also of those that are gone */
    bool is_replay;        /* dead letters that are tried again */
    void *spill;           /* the pipeline's: in which its rows lie until they have their fate */
    uint32_t shadows;      /* the pipeline's: of its rows, those that its books have elsewhere */
};

/* Parcels kept for reuse, with their memory; one for each pipeline. Zeroed it is empty. */
typedef struct ParcelPool {
    List free; /* at most LIMIT_PARCELS_KEPT */
} ParcelPool;

void parcel_pool_deinit(ParcelPool *pool);

/* An empty parcel for rows of SHAPE, as wide as it is now. RECEIPT (may be NULL) counts it from
 * here on, PAYLOAD (may be NULL) gets a reference. POOL may be NULL. */
MUST Parcel *parcel_new(ParcelPool *pool, Shape *shape, Receipt *receipt, Payload *payload);

/* An empty parcel for rows of MOTHER (parcel_move_row), which it holds: as wide as that one is,
 * though the shape may have grown since. */
MUST Parcel *parcel_new_piece(ParcelPool *pool, Parcel *mother);

/* One more holder. */
Parcel *parcel_ref(Parcel *parcel);

/* Let go of one hold. With the last one its receipt counts it no more, and is done if it was the
 * last parcel. POOL may be NULL: freed. */
void parcel_free(ParcelPool *pool, Parcel *parcel);

/* Add a row of nulls with its place; NULL when the parcel is full. */
RowValue *parcel_add(Parcel *parcel, const RowPlace *place);

size_t parcel_count(const Parcel *parcel);
RowValue *parcel_row(Parcel *parcel, size_t index);

/* The bytes of row INDEX as they came; empty when it has none. Borrowed from the payload. */
Str parcel_bytes_of(const Parcel *parcel, size_t index);

/*
 * Refuse row INDEX: its bytes, CODE and the words (as for printf) go to the dead letters. It keeps
 * its index until parcel_compact. STAGE is static text.
 */
void parcel_refuse(Parcel *parcel, size_t index, const char *stage, const char *code,
                   const char *fmt, ...) SL_PRINTF(5, 6);

/* The same with a refusal that is made already. */
void parcel_refuse_as(Parcel *parcel, size_t index, const Refusal *why);

/* The dead letters are written: tell the receipt of the refusals, and forget them. On the loop. */
void parcel_report(Parcel *parcel);

/* Give row INDEX a fate without words: FATE_FILTERED or FATE_DROPPED. */
void parcel_end_row(Parcel *parcel, size_t index, RowFate fate);

/* Take out every row that is no longer FATE_OPEN; the others move up and stay in order. Does
 * nothing, fast, when all are open. */
void parcel_compact(Parcel *parcel);

/*
 * Give the rows another shape: column c of the new rows is column FROM[c] of the old ones, or null
 * for SHAPE_NONE. FROM has as many entries as SHAPE is wide now. Takes a reference of SHAPE. The
 * values are moved, texts stay where they are.
 */
void parcel_reshape(Parcel *parcel, Shape *shape, const size_t *from);

/* Move row INDEX of FROM into TO, whose mother is FROM, with the same shape and width; the caller
 * lets the rows of FROM go. False when TO is full. */
bool parcel_move_row(Parcel *to, Parcel *from, size_t index);

/* The same, and FROM keeps its row, whatever fate that has. */
bool parcel_copy_row(Parcel *to, Parcel *from, size_t index);

/* A text that lives as long as the parcel's rows. */
Str parcel_copy_text(Parcel *parcel, Str text);
