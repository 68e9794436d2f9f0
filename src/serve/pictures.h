/*
 * Pictures by URL: fetched, made by the handler `image`, kept, and answered again.
 *
 *   /v1/images/SIGNATURE/OPTIONS/SOURCE        (the forms are in codec/image_url.h)
 *
 *   signature, expiry, source allowed?  ->  one flight for each picture, however many ask
 *        flight:  cache on disk  ->  source (folder or HTTP)  ->  handler in a box  ->  cache
 *
 * What the server of a source says of keeping (Cache-Control, Expires) bounds what is kept here and
 * what readers are told, unless the operator says that it does not count.
 *
 * All of it lives on loop 0; requests of other loops come over by sl_call_on.
 *
 *   P1  Nothing is fetched, read or made before the signature has been found to fit.
 *   P2  A URL is fetched only if a rule fits it, each redirect too; without rules any URL that is
 *       signed. Which addresses may be connected to is the HTTP client's policy, after DNS.
 *   P3  A file is read only below the folder, whatever links and dots its path has.
 *   P4  Those who ask for one picture at once share one flight. It ends early when nobody waits.
 *   P5  The cache holds at most its bytes; what is torn or damaged in it is not there.
 */
#pragma once

#include "base/own.h"
#include "base/text.h"
#include "net/http_client.h"

#include <sluice/handler.h>
#include <sluice/rt/fiber.h>

typedef struct Pictures Pictures;
typedef struct RunDoors RunDoors;

typedef struct PicturesOpts {
    const Str *keys; /* bytes, of at least IMAGE_URL_KEY_BYTES_MIN; any of them may have signed */
    size_t n_keys;
    bool is_unsigned; /* the word "unsigned" in place of a signature is taken */
    const Str *rules; /* see image_url_fits; none: any URL that is signed */
    size_t n_rules;
    const char *folder;    /* of sources that are paths; NULL: there are none */
    const char *cache_dir; /* made if it is not there; NULL: nothing is kept */
    uint64_t cache_bytes;
    int64_t max_age_s;      /* how long an answer, and what is kept of a URL, counts as fresh */
    bool heeds_source;      /* what the source's server says of keeping counts too */
    int64_t source_ms;      /* for fetching a source; 0: as long as a picture may take */
    int64_t error_age_s;    /* how long errors are kept; 0: not at all */
    bool takes_vector;      /* SVG and PDF too */
    const Handler *handler; /* borrowed, as is all else */
    HttpClient *http;
    const RunDoors *doors;
} PicturesOpts;

#define PICTURE_TYPE_BYTES 64
#define PICTURE_TAG_BYTES  40

/* What a source lets be done with what is made of it. */
typedef enum PictureKeep {
    PICTURE_KEEP,         /* all may keep it */
    PICTURE_KEEP_PRIVATE, /* who asked may keep it, we may not */
    PICTURE_KEEP_NONE,    /* nobody may */
} PictureKeep;

/* A question, and its answer. */
typedef struct PictureAsk {
    Str signature; /* percent-decoded, as are the next two */
    Str options;
    Str source;
    Str signed_text; /* "/OPTIONS/SOURCE" as they stand in the path */
    Str accept;      /* the header; empty: none */
    Str caller;      /* takes turns with others */

    Buf body;
    char type[PICTURE_TYPE_BYTES]; /* media type */
    char tag[PICTURE_TAG_BYTES];   /* strong ETag, in quotes */
    bool varies;                   /* by Accept */
    bool is_kept;                  /* it came from the cache */
    bool is_shared;                /* with others who asked at the same time */
    PictureKeep keep;              /* who may keep it */
    int64_t max_age_s;             /* how long the answer is fresh, the URL's end counted */
    int64_t wait_ms;               /* after -ERR_BUSY: how long the line is */
    int64_t error_age_s;           /* after an error: how long it will stay; 0: it may not */
    const char *refused;           /* after an error before anything was fetched: why, in a word */
} PictureAsk;

/* On the calling loop, which must be loop 0, with fibers in NURSERY. Reads the cache's folder. */
MUST SUSPENDS int pictures_start(Pictures **ret_pictures, sl_nursery *nursery,
                                 const PicturesOpts *opts);

/* Nobody may be in pictures_get any more. NULL is nothing. */
SUSPENDS void pictures_stop(Pictures *pictures);

/*
 * Answer ASK; from any loop. 0; -ERR_FORBIDDEN (signature, expiry, source); -ERR_INVALID;
 * -ERR_NOT_FOUND (the source); -ERR_BUSY; -ETIMEDOUT; or what the client or the handler says.
 */
MUST SUSPENDS int pictures_get(Pictures *pictures, PictureAsk *ask);

/* Frees the body. */
void picture_ask_deinit(PictureAsk *ask);
DEFINE_AUTO_VALUE(PictureAsk, picture_ask_deinit);

/* What has happened since the start, for tests and readiness. */
typedef struct PicturesStats {
    uint64_t made;   /* runs of the handler */
    uint64_t loaded; /* sources read whole */
    uint64_t kept;   /* answers from the cache */
    uint64_t shared; /* requests that joined another's flight */
    size_t errors;   /* kept */
    size_t entries;  /* in the cache */
    uint64_t bytes;
} PicturesStats;

void pictures_stats(const Pictures *pictures, PicturesStats *ret_stats);
