/*
 * Jobs: names of states and reasons, the table of moves, ids as text.
 *
 * The edges, and the call that makes each:
 *
 *   (new)      -> available scheduled pending     queue_push
 *   scheduled  -> available                       the ticker, or queue_retry ahead of time
 *   pending    -> available                       queue_activate
 *   available  -> active                          queue_lease
 *   available  -> discarded                       queue_lease, of a job past its expires_at
 *   active     -> completed                       queue_finish, FINISH_COMPLETE
 *   active     -> retryable discarded             queue_finish, FINISH_FAIL; the ticker
 *   active     -> available                       queue_finish, FINISH_RELEASE; the ticker
 *   retryable  -> available                       the ticker, or queue_retry ahead of time
 *   discarded  -> available                       queue_retry
 *   scheduled available pending active retryable -> cancelled     queue_cancel
 */
#include <sluice/job.h>

#include "base/assert.h"
#include "base/err.h"
#include "codec/uuid.h"

#define TO(name) (1u << JOB_##name)

static const uint8_t job_edges[] = {
    [JOB_SCHEDULED] = TO(AVAILABLE) | TO(CANCELLED),
    [JOB_AVAILABLE] = TO(ACTIVE) | TO(CANCELLED) | TO(DISCARDED),
    [JOB_PENDING] = TO(AVAILABLE) | TO(CANCELLED),
    [JOB_ACTIVE] = TO(COMPLETED) | TO(RETRYABLE) | TO(DISCARDED) | TO(CANCELLED) | TO(AVAILABLE),
    [JOB_COMPLETED] = 0,
    [JOB_RETRYABLE] = TO(AVAILABLE) | TO(CANCELLED),
    [JOB_CANCELLED] = 0,
    [JOB_DISCARDED] = TO(AVAILABLE),
};

static const struct {
    const char *name;
    const char *where;
} job_states[] = {
#define ROW(name_, text, where_) [JOB_##name_] = { text, where_ },
    JOB_STATES(ROW)
#undef ROW
};

static const char *const job_reasons[] = {
#define ROW(name_, text) [JOB_REASON_##name_] = text,
    JOB_REASONS(ROW)
#undef ROW
};

STATIC_ASSERT(ARRAY_LEN(job_edges) == JOB_STATE_COUNT, "a row of edges for each state");
STATIC_ASSERT(ARRAY_LEN(job_states) == JOB_STATE_COUNT, "a name for each state");
STATIC_ASSERT(ARRAY_LEN(job_reasons) == JOB_REASON_COUNT, "a name for each reason");

const char *job_state_name(JobState state)
{
    ASSERT((unsigned) state < JOB_STATE_COUNT);
    return job_states[state].name;
}

const char *job_state_where(JobState state)
{
    ASSERT((unsigned) state < JOB_STATE_COUNT);
    return job_states[state].where;
}

bool job_state_parse(Str name, JobState *ret_state)
{
    for (unsigned i = 0; i < JOB_STATE_COUNT; i++) {
        if (str_eq_c(name, job_states[i].name)) {
            *ret_state = (JobState) i;
            return true;
        }
    }
    return false;
}

bool job_edge_is_allowed(JobState from, JobState to)
{
    ASSERT((unsigned) from < JOB_STATE_COUNT);
    ASSERT((unsigned) to < JOB_STATE_COUNT);
    return (job_edges[from] & (1u << to)) != 0;
}

const char *job_reason_name(JobReason reason)
{
    ASSERT((unsigned) reason < JOB_REASON_COUNT);
    return job_reasons[reason];
}

STATIC_ASSERT(sizeof(JobId) == sizeof(Uuid), "a job's id is a UUID");

int job_id_parse(Str text, JobId *ret_id)
{
    Uuid uuid;
    int r;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] >= 'A' && text.data[i] <= 'Z')
            return fail(-ERR_INVALID, "must be written in lower case");
    }
    r = uuid_parse(text, &uuid);
    if (r < 0)
        return r;
    if (!uuid_is_v7(&uuid))
        return fail(-ERR_INVALID, "must be a UUID of version 7");
    memcpy(ret_id->bytes, uuid.bytes, sizeof(ret_id->bytes));
    return 0;
}

Str job_id_format(const JobId *id, char *out)
{
    Uuid uuid;

    memcpy(uuid.bytes, id->bytes, sizeof(uuid.bytes));
    return uuid_format(&uuid, out);
}
