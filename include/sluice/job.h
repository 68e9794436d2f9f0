/*
 * Jobs: the record of one piece of work, as everybody above the store sees it.
 *
 * A job is in exactly one of eight states (those of the Open Job Spec). The table below names them
 * and says where a job in that state is to be found; `job_edge_is_allowed` is the table of moves.
 * A `Job` is a decoded view of a stored record: its texts point into memory that somebody else
 * owns (an arena, usually), it is a copy, and changing it changes nothing.
 *
 * Texts that hold JSON (`args`, `meta`, `extra`, `result`, `details`) are kept byte for byte as
 * they came: nobody below the API parses them.
 *
 * Times are milliseconds since 1970 on the wall clock; 0 means "has not happened".
 */
#pragma once

#include <sluice/attr.h>
#include <sluice/str.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

SL_BEGIN_DECLS

/* X(NAME, "name", "where it is to be found") */
#define JOB_STATES(X)                                                            \
    X(SCHEDULED, "scheduled", "waits for its time; in the due index")            \
    X(AVAILABLE, "available", "may be leased; in the ready index of its queue")  \
    X(PENDING, "pending", "waits to be activated or for its workflow")           \
    X(ACTIVE, "active", "a worker holds it; in the lease index")                 \
    X(COMPLETED, "completed", "finished; kept for the retention time")           \
    X(RETRYABLE, "retryable", "failed, will run again; in the due index")        \
    X(CANCELLED, "cancelled", "stopped on request; kept for the retention time") \
    X(DISCARDED, "discarded", "gave up; kept for the retention time, perhaps as a dead letter")

typedef enum JobState {
#define JOB_STATE_ENUM(name, text, where) JOB_##name,
    JOB_STATES(JOB_STATE_ENUM)
#undef JOB_STATE_ENUM
} JobState;

#define JOB_STATE_COUNT 8

/* A set of states: JOB_IN(ACTIVE) | JOB_IN(PENDING). */
#define JOB_IN(name)    (1u << JOB_##name)
#define JOB_IN_FINAL    (JOB_IN(COMPLETED) | JOB_IN(CANCELLED) | JOB_IN(DISCARDED))
#define JOB_IN_LIVE     (JOB_IN_ALL & ~JOB_IN_FINAL)
#define JOB_IN_ALL      ((1u << JOB_STATE_COUNT) - 1)

/* "available" …; static text. And back: false when NAME is none of them. */
SL_API const char *job_state_name(JobState state);
SL_API const char *job_state_where(JobState state);
SL_API bool job_state_parse(Str name, JobState *ret_state);

/* Completed, cancelled, discarded: nothing happens to it by itself any more. */
static inline bool job_state_is_final(JobState state)
{
    return (1u << state & JOB_IN_FINAL) != 0;
}

/* Whether a job may go from FROM to TO in one step. */
SL_API bool job_edge_is_allowed(JobState from, JobState to);

/* Why a job is discarded or cancelled (the reason of its last end). */
#define JOB_REASONS(X)                \
    X(NONE, "none")                   \
    X(EXHAUSTED, "retries_exhausted") \
    X(NOT_RETRYABLE, "not_retryable") \
    X(DISCARD_ASKED, "discard_asked") \
    X(WORKER_LOST, "worker_lost")     \
    X(EXPIRED, "expired")             \
    X(REQUESTED, "requested")

typedef enum JobReason {
#define JOB_REASON_ENUM(name, text) JOB_REASON_##name,
    JOB_REASONS(JOB_REASON_ENUM)
#undef JOB_REASON_ENUM
} JobReason;

#define JOB_REASON_COUNT 7

SL_API const char *job_reason_name(JobReason reason); /* static text */

/* ---- ids ------------------------------------------------------------------------------------- */

/* A UUID version 7. */
typedef struct JobId {
    uint8_t bytes[16];
} JobId;

#define JOB_ID_TEXT_BYTES 37 /* with the NUL */

/* Lower-case canonical text of a version 7 UUID, and nothing else. 0 or -ERR_INVALID with words. */
SL_API SL_MUST int job_id_parse(Str text, JobId *ret_id);
SL_API Str job_id_format(const JobId *id, char *out); /* OUT has JOB_ID_TEXT_BYTES */

static inline bool job_id_eq(const JobId *a, const JobId *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static inline bool job_id_is_nil(const JobId *id)
{
    static const JobId nil = { { 0 } };
    return job_id_eq(id, &nil);
}

/* ---- retries --------------------------------------------------------------------------------- */

typedef enum JobBackoff {
    JOB_BACKOFF_EXPONENTIAL, /* initial * coefficient^(n-1) */
    JOB_BACKOFF_LINEAR,      /* initial * n */
    JOB_BACKOFF_CONSTANT,    /* initial */
    JOB_BACKOFF_POLYNOMIAL,  /* initial * n^coefficient */
    JOB_BACKOFF_NONE,        /* at once */
} JobBackoff;

#define JOB_BACKOFF_COUNT 5

typedef enum JobExhaustion {
    JOB_EXHAUSTION_DISCARD,     /* discarded, kept, and in no list of dead letters */
    JOB_EXHAUSTION_DEAD_LETTER, /* discarded, and a dead letter until a person decides */
} JobExhaustion;

#define JOB_NON_RETRYABLE_MAX 32 /* patterns in one policy */

/* What follows a failure. A zeroed policy is no default: start from JOB_RETRY_DEFAULT. */
typedef struct JobRetry {
    uint32_t max_attempts; /* runs in all; 0 acts as 1 */
    JobBackoff backoff;
    double coefficient; /* at least 1 */
    int64_t initial_ms; /* above zero */
    int64_t max_ms;     /* no delay is longer; at least initial_ms */
    bool has_jitter;    /* times a random number between 0.5 and 1.5 */
    JobExhaustion on_exhaustion;
    const Str *non_retryable; /* error types that are never tried again; `auth.*` is a prefix */
    size_t n_non_retryable;
} JobRetry;

#define JOB_RETRY_DEFAULT                                                          \
    {                                                                              \
        .max_attempts = 3, .backoff = JOB_BACKOFF_EXPONENTIAL, .coefficient = 2.0, \
        .initial_ms = 1000, .max_ms = 300000, .has_jitter = true                   \
    }

/* ---- errors ---------------------------------------------------------------------------------- */

/* One failure in a job's history. */
typedef struct JobError {
    Str type; /* class of the failure: "ConnectionTimeout" */
    Str code; /* "handler_error", "timeout" … */
    Str message;
    Str details;      /* JSON; empty for none */
    Str backtrace;    /* JSON; empty for none */
    bool is_final;    /* the handler said: do not try again */
    uint32_t attempt; /* which attempt failed, from 1 */
    int64_t at_ms;    /* when; filled in by the queue when 0 */
} JobError;

/* ---- the job --------------------------------------------------------------------------------- */

/* What a heartbeat answer tells the worker because of this job (for trying out workers). */
typedef enum JobDirective {
    JOB_DIRECTIVE_NONE,
    JOB_DIRECTIVE_QUIET,
    JOB_DIRECTIVE_TERMINATE
} JobDirective;

/* A new job, as the pusher describes it. Zero means default everywhere; texts are borrowed. */
typedef struct JobSpec {
    JobId id;              /* nil: the queue makes one */
    Str type;              /* needed */
    Str queue;             /* empty: "default" */
    Str args;              /* JSON array; empty: "[]" */
    Str meta;              /* JSON object; empty: none */
    Str extra;             /* JSON members without braces, given back with the job as they are:
                              `"tags":["a"],"x_mine":1` */
    int priority;          /* -100 … 100, higher first */
    int64_t run_at_ms;     /* wall time; now or past (or 0): at once */
    int64_t expires_at_ms; /* not run after this; 0: never */
    int64_t timeout_ms;    /* of one attempt; 0: none */
    int64_t lease_ms;      /* length of a lease whose taker names none; 0: the engine's default */
    bool is_pending;       /* waits until somebody activates it */
    JobDirective directive;
    const JobRetry *retry; /* NULL: JOB_RETRY_DEFAULT */
} JobSpec;

/* A job as it is stored. Texts and arrays are borrowed from whatever the job was read into. */
typedef struct Job {
    JobId id;
    JobState state;
    JobReason reason;    /* of a cancelled or discarded job */
    bool is_dead_letter; /* discarded, and in the list of dead letters */
    Str type;
    Str queue;
    Str args;
    Str meta;
    Str extra;
    Str result; /* JSON; empty when there is none */
    int priority;
    uint32_t attempt;      /* runs begun, from 1; those given back or lost do not count */
    uint32_t max_attempts; /* as the policy acts: at least 1 */
    uint32_t lost;         /* leases that ended without an answer */
    uint32_t fence;        /* grows with each lease; the token of the current one */
    JobDirective directive;
    int64_t created_ms;
    int64_t enqueued_ms;       /* when it last became available */
    int64_t started_ms;        /* when its last attempt began; kept afterwards */
    int64_t finished_ms;       /* when it became completed, cancelled or discarded */
    int64_t run_at_ms;         /* scheduled: when it becomes available; kept afterwards */
    int64_t next_attempt_ms;   /* retryable: when it runs again */
    int64_t lease_until_ms;    /* active: when the lease ends unless it is renewed */
    int64_t lease_length_ms;   /* active: for how long it was taken */
    int64_t started_steady_ms; /* active: when the attempt began, on the store's steady clock */
    Str worker;                /* active: who holds it; set by queue_get and queue_list alone */
    int64_t expires_at_ms;
    int64_t timeout_ms;
    int64_t lease_ms;       /* as in JobSpec */
    int64_t retry_delay_ms; /* of the last retry; 0 before the first */
    JobRetry retry;
    const JobError *errors; /* oldest first, the last LIMIT_JOB_ERRORS; kept after success */
    size_t n_errors;
} Job;

SL_END_DECLS
