/*
 * Doors: how bytes that came to the engine's HTTP API reach a pipeline.
 *
 * A source of kind http opens a door under its pipeline's name; a route looks the door up and hands
 * a body through it. The door's owner decodes, puts and waits for the commit, on the fiber of the
 * request. All doors belong to loop 0; requests of other loops come over by sl_call_on.
 */
#pragma once

#include "rows/decode.h"

typedef struct Doors Doors;
typedef struct Door Door;

/* One body, and then what became of it. */
typedef struct DoorCall {
    Str body;            /* as it came; borrowed */
    Str encoding;        /* Content-Encoding; empty: none */
    Str type;            /* Content-Type; empty: none */
    Str token;           /* what the request shows of who asks; empty: nothing */
    DecodeFormat format; /* of the body; DECODE_AUTO: the door's, or by its first byte */
    Str precision;       /* ?precision=; empty: the door's */
    Str measurement;     /* of rows that name none themselves; empty: the pipeline's table */
    Str origin;          /* who asks */
    bool is_awaited;     /* answer after the commit; otherwise once it is in the channel */

    uint64_t accepted; /* rows that are in, or at least taken */
    uint64_t refused;
    uint64_t dropped;  /* lost where the pipeline is told to lose rather than to wait */
    Refusal *refusals; /* the first of them, owned: door_call_deinit */
    size_t n_refusals;
    int64_t retry_ms; /* with -ERR_BUSY and -ERR_UNAVAILABLE: when to come again */
} DoorCall;

void door_call_deinit(DoorCall *call);

MUST Doors *doors_new(void);
void doors_free(Doors *doors);

/*
 * Open a door called NAME; OFFER answers its calls. -ERR_CONFLICT when there is one. A name that
 * was open before is remembered while it is closed: a pipeline that starts again is "not now" to
 * its writers, who would throw away what a door that never was has refused. At most LIMIT_DOORS.
 */
MUST int door_open(Doors *doors, Str name, SUSPENDS int (*offer)(void *ctx, DoorCall *call),
                   void *ctx, Door **ret_door);

/* No more calls: those that come are refused, those that are inside go on. */
void door_shut(Door *door);
size_t door_inside(const Door *door); /* calls that have not been answered */

/* Shut, and wait until nobody is inside, also when cancelled: so the owner sees to it that calls
 * end. NULL is nothing. Suspends. */
SUSPENDS void door_close(Door *door);

/*
 * Hand CALL through the door called NAME. 0 (some rows may be refused); -ERR_NOT_FOUND; -ERR_BUSY
 * (429) when the channel has been full for LIMIT_DOOR_WAIT_MS; -ERR_UNAVAILABLE (503) when the
 * pipeline is stopping or stopped, or does not commit within LIMIT_DOOR_COMMIT_MS; -ERR_TOO_LARGE;
 * -ERR_UNAUTHORIZED; -ERR_MEDIA for a format or an encoding that is not taken; -ERR_INVALID for
 * bytes that cannot be read at all. Suspends.
 */
MUST SUSPENDS int doors_offer(Doors *doors, Str name, DoorCall *call);

/* The names in the order of their opening, those that are closed for the moment too; *cursor 0 at
 * first. False at the end. */
bool doors_next(const Doors *doors, size_t *cursor, Str *ret_name);
