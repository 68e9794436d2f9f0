/*
 * Sources: where rows come from. One file of rows/sources/ for each, one contract for all.
 *
 * A source is a fiber of its pipeline that reads and hands on, until there is no more or it is told
 * to stop. It never drops anything: when the channel is full `source_put` waits, and the source's
 * own way of waiting (a socket that is not read, a request that is not answered, a message that is
 * not acknowledged) carries that to the producer. What happens when waiting is not wanted is the
 * pipeline's policy, behind source_put.
 *
 * What every source promises:
 *
 *   O1  What was handed on is acknowledged to the producer (answer, PUBACK, basic.ack, offset)
 *       only by the receipt's on_done with r == 0: then the sinks have committed it.
 *   O2  A source with a position begins where source_start_position says: nothing before it is
 *       handed on again, nothing behind it is left out.
 *   O3  When its nursery is cancelled, or `source_is_stopping`, it takes nothing more from the
 *       producer, waits for the receipts it has out where the producer must hear of them, and
 *       returns 0.
 *   O4  A producer that goes away is waited for and connected again, with backoff, and source_say
 *       tells people; run returns an error only for what cannot mend by itself (a refused login, a
 *       topic that is forbidden, a file that does not exist and is not awaited).
 *   O5  Everything it holds is bounded by named limits and charged to the channel.
 *
 * To add one: a file in rows/sources/ that defines `const SourceDriver source_<file>`; the contract
 * test takes it up, and `sluice ingest --help` and the docs list it.
 */
#pragma once

#include "net/http_client.h"
#include "rows/decode.h"
#include "rows/door.h"

#include <sluice/rt.h>
#include <sluice/schema.h>

typedef struct Source Source;

/* What a pipeline offers to its sources; SOURCE is the handle it gave. */
typedef struct SourceHost {
    SUSPENDS int (*put)(Source *source, TAKES Parcel *parcel);
    SUSPENDS int (*wait_room)(Source *source, size_t bytes);
    void (*say)(Source *source, bool is_up, const char *text);
    void (*lost)(Source *source, const char *cause, uint64_t rows);
} SourceHost;

/* The head of what a pipeline keeps for a source; the driver sees only this. */
struct Source {
    const struct SourceDriver *driver;
    const SourceHost *host;
    void *owner;        /* the pipeline's */
    uint32_t index;     /* in the pipeline: for receipts */
    Str name;           /* unique in the pipeline: "sim", "mqtt-2" */
    const void *args;   /* the struct of driver->args */
    DecodeOpts decode;  /* how its bytes are read */
    Shapes *shapes;     /* the pipeline's */
    ParcelPool *pool;   /* the pipeline's */
    Doors *doors;       /* of the engine; NULL in a terminal */
    Str pipeline;       /* the pipeline's name */
    Str positions;      /* JSON object: track -> position that is committed; "{}" at first */
    sl_event *stopping; /* set when the source shall come to its end politely */
    bool is_private_allowed;
    bool is_exact; /* the pipeline keeps positions: give them */
    uint64_t rows; /* handed on; the pipeline counts */
    uint64_t bytes;
};

/* Hand on; waits while the channel is full. 0, or an error that ends the source. */
MUST SUSPENDS static inline int source_put(Source *source, TAKES Parcel *parcel)
{
    return source->host->put(source, parcel);
}

/* The same for decode_all: CTX is the Source. */
MUST SUSPENDS int source_take(void *ctx, TAKES Parcel *parcel);

/* Wait until the channel would take BYTES at once, so that puts which follow, up to those bytes,
 * do not wait. For a producer that can be told to come again instead: begin a scope around it. */
MUST SUSPENDS static inline int source_wait_room(Source *source, size_t bytes)
{
    return source->host->wait_room(source, bytes);
}

/* Tell people how it goes: connected, or why not ("connection refused; again in 2 s"). */
static inline void source_say(Source *source, bool is_up, const char *text)
{
    source->host->say(source, is_up, text);
}

/* Rows that were lost before they could be handed on (the kernel's buffer of a UDP socket). CAUSE
 * is static text: a label. */
static inline void source_count_lost(Source *source, const char *cause, uint64_t rows)
{
    source->host->lost(source, cause, rows);
}

static inline bool source_is_stopping(const Source *source)
{
    return source->stopping->is_set;
}

/* Where to begin on TRACK: what was committed, 0 for nothing. */
uint64_t source_start_position(const Source *source, Str track);

typedef struct SourceDriver {
    const char *name;       /* "mqtt" */
    const char *summary;    /* one line for help and docs */
    const char *schemes[4]; /* "mqtt://", "mqtts://": a text that begins so names it; NULL-ended */
    const Schema *args;     /* of its settings, without those of the format; NULL: none */
    /* A text `mqtt://host/topic?qos=1` or `sim:sensors=5` in the settings' JSON, appended to OUT;
     * NULL: `name:key=value,…` alone. */
    int (*from_text)(Str text, Buf *out);
    DecodeFormat format;  /* unless the settings say otherwise */
    bool has_position;    /* it can begin at a position (O2) */
    bool is_acknowledged; /* the producer hears of the commit (O1) */
    bool is_endless;      /* does not end by itself, unless its settings say so */
    bool is_local;        /* reads what is this machine's: not for jobs of strangers */
    SUSPENDS int (*run)(Source *source);
} SourceDriver;

/* The driver that TEXT names: "sim", "sim:sensors=5", "mqtt://host/topic", a file's name for files,
 * "-" for stdin; or NULL. */
const SourceDriver *source_driver_find(Str text);

/* TEXT as the settings' JSON of DRIVER, appended to OUT: by its from_text, or `name:key=value,…`.
 * 0 or -ERR_INVALID with words. */
MUST int source_from_text(const SourceDriver *driver, Str text, Buf *out);

/* For a driver's from_text: `SCHEME://TARGET?key=value&…`, where TARGET, as it stands, is the
 * setting called NAME and the pairs are the others. 0 or -ERR_INVALID with words. */
MUST int source_from_url(const SourceDriver *driver, const char *name, Str text, Buf *out);

/* The schema of what every source takes beside its own settings: name, format, precision,
 * time_column, table, by_measurement, arrival_time, separator. */
typedef struct SourceCommonArgs {
    Str name;      /* in the pipeline; empty: the driver's, with a number where there are several */
    int format;    /* DecodeFormat; -1: the driver's */
    Str precision; /* "ns" … */
    Str time_column;
    Str table;
    bool by_measurement;
    bool arrival_time;
    Str separator;
} SourceCommonArgs;
extern const Schema source_common_schema;
