/* What the files of serve/ share: the record behind `Serve`, and the calls the routes make of it.
 */
#pragma once

#include "serve/envelope.h"
#include "serve/events.h"
#include "serve/route.h"
#include "serve/router.h"
#include "serve/serve.h"

#include "base/list.h"
#include "base/map.h"
#include "base/rand.h"
#include "codec/uuid.h"

/* What ping.c keeps. */
typedef struct ServePing {
    sl_event asked;
    sl_cond answered;
    sl_event ended;
    sl_scope scope; /* of the fiber, while is_on */
    bool is_on, is_over;
    uint64_t answers;
    int r; /* the last answer, and its words */
    char why[200];
} ServePing;

struct Serve {
    ServeOpts opts;
    Router *router;
    HttpServer *server;
    Rand rand;
    UuidMaker ids;       /* for request ids */
    int64_t started_ms;  /* wall clock */
    const char *unready; /* why /readyz says no; NULL when it says yes */
    bool is_retiring;    /* see serve_retire */
    ServePing ping;
    List waits;  /* ServeWait of the requests that wait */
    Map workers; /* name of a worker elsewhere -> WorkerSeen, as this loop has put it */
    size_t runs; /* direct runs under way */
    Buf openapi; /* made at the first request for it */
};

/* The handler of TYPE, or NULL. Borrowed. */
const Handler *serve_find_handler(const Serve *serve, Str type);

typedef struct Run Run;

/* Whether a further direct run may begin now: 0 or -ERR_BUSY. */
MUST int serve_may_run(const Serve *serve);

/* Whether the body of a direct run of HANDLER is its input, and the query its arguments. */
bool run_bytes_is_meant(const Call *call, const Handler *handler);

/* Fill in RUN's arguments and input from CALL. 0, or an error for the client. */
MUST int run_bytes_read(Call *call, const Handler *handler, Run *run);

/* Answer with what RUN gave. */
MUST int run_bytes_answer(Call *call, const Run *run);

/* Fill RESPONSE with the error page for R and its words. */
void serve_error_page(Serve *serve, const HttpRequest *request, HttpResponse *response, int status,
                      const Err *err);

/* Whether NAME may name a queue. */
bool serve_is_queue_name(Str name);

/* The job id in the path's first parameter. -ERR_NOT_FOUND when it is no id: no job can have it. */
MUST int serve_job_id(Call *call, JobId *ret_id);

/* What a wait asked for, "30s" or "PT30S" or milliseconds, cut to LIMIT_SERVE_WAIT_MS; 0 for none.
 * -ERR_INVALID. */
MUST int serve_wait_ms(Json value, const char *name, int64_t *ret_ms);

/* Write {"job": …} as the answer. */
void serve_write_job(Call *call, const Job *job, const EnvelopeOut *out_opts);

/* Put the job, and for a conflict the state it is in, into the details of the error R, which is
 * returned. */
SUSPENDS int serve_conflict(Call *call, int r, const JobId *id);

/* Names of the backoff strategies, by JobBackoff. */
extern const char *const envelope_backoff_names[JOB_BACKOFF_COUNT];

/*
 * Around something that a request waits for: it ends early when the process is about to leave. The
 * scope is ended by the caller; -ECANCELED inside becomes 0 when that was the cause.
 */
typedef struct ServeWait {
    ListLink link;
    sl_scope scope;
} ServeWait;

void serve_wait_begin(Serve *serve, ServeWait *wait);
MUST int serve_wait_end(Serve *serve, ServeWait *wait, int r);

/* Whether the store answers, known within LIMIT_SERVE_PING_MS: 0, or why it does not. */
MUST SUSPENDS int serve_ping(Serve *serve);
MUST SUSPENDS int serve_ping_start(Serve *serve, sl_nursery *nursery);
SUSPENDS void serve_ping_stop(Serve *serve);

/*
 * A worker elsewhere has shown itself: renew its card, now and then. It counts as gone when it is
 * not heard of again in LIMIT_SERVE_WORKER_MS and WAIT_MS. RUNNING below zero: it did not say.
 */
typedef struct WorkerSign {
    Str name;
    const Str *queues;
    size_t n_queues;
    ssize_t running;
    int64_t wait_ms;
} WorkerSign;

SUSPENDS void serve_note_worker(Call *call, const WorkerSign *sign);
void serve_forget_workers(Serve *serve);

/* Answer with a page of jobs. */
MUST SUSPENDS int serve_list(Call *call, const ListOpts *opts);

/* Run the job in the path again and answer with it; ONLY_DEAD_LETTER takes no other. */
MUST SUSPENDS int serve_retry(Call *call, bool only_dead_letter);
