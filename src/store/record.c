/*
 * Records: bytes to jobs and back. The format is drawn in record.h.
 *
 * What is read here may come from a damaged file, so `record_check` looks at every length before
 * anything else does; behind it the other functions only assert.
 */
#include "store/record.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"

#include <errno.h>

#define SECTIONS_MAX 64 /* of one record; more are refused */

/* ---- numbers --------------------------------------------------------------------------------- */

static void put_le(char *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (char) (unsigned char) (value >> (8 * i));
}

static uint64_t get_le(const char *at, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t) (unsigned char) at[i] << (8 * i);
    return value;
}

static int64_t get_time(const char *at)
{
    return (int64_t) get_le(at, 6);
}

static void put_time(char *at, int64_t ms)
{
    ASSERT(ms >= 0 && ms < (INT64_C(1) << 48));
    put_le(at, (uint64_t) ms, 6);
}

static void add_varint(Buf *out, uint64_t value)
{
    while (value >= 0x80) {
        buf_add_char(out, (char) (unsigned char) (value | 0x80));
        value >>= 7;
    }
    buf_add_char(out, (char) (unsigned char) value);
}

/* A length at *CURSOR of BYTES that what is left can hold; false when it is damaged. */
static bool take_len(Str bytes, size_t *cursor, size_t *ret_len)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 35; shift += 7) {
        if (*cursor >= bytes.len)
            return false;
        uint8_t byte = (uint8_t) bytes.data[(*cursor)++];
        value |= (uint64_t) (byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            if (value > bytes.len - *cursor)
                return false;
            *ret_len = (size_t) value;
            return true;
        }
    }
    return false;
}

static bool take_text(Str bytes, size_t *cursor, Str *ret_text)
{
    size_t len;

    if (!take_len(bytes, cursor, &len))
        return false;
    *ret_text = str_from(bytes.data + *cursor, len);
    *cursor += len;
    return true;
}

static void add_text(Buf *out, Str text)
{
    add_varint(out, text.len);
    buf_add_str(out, text);
}

static void add_i64(Buf *out, int64_t value)
{
    char bytes[8];

    put_le(bytes, (uint64_t) value, 8);
    buf_add(out, bytes, 8);
}

/* ---- the head -------------------------------------------------------------------------------- */

void record_head_get(Str body, RecordHead *ret_head)
{
    const char *b = body.data;

    ASSERT(body.len >= RECORD_HEAD_BYTES);
    ASSERT(b[0] == RECORD_VERSION);
    *ret_head = (RecordHead){
        .state = (JobState) (uint8_t) b[1],
        .flags = (uint8_t) b[2],
        .reason = (JobReason) (uint8_t) b[3],
        .queue = (uint32_t) get_le(b + 4, 4),
        .priority = (int16_t) (uint16_t) get_le(b + 8, 2),
        .attempt = (uint16_t) get_le(b + 10, 2),
        .lost = (uint16_t) get_le(b + 12, 2),
        .max_attempts = (uint16_t) get_le(b + 14, 2),
        .fence = (uint32_t) get_le(b + 16, 4),
        .lease_length_ms = (uint32_t) get_le(b + 20, 4),
        .retry_delay_ms = (uint32_t) get_le(b + 24, 4),
        .order = get_le(b + 28, 8),
        .due_ms = get_time(b + 36),
        .created_ms = get_time(b + 42),
        .enqueued_ms = get_time(b + 48),
        .started_ms = get_time(b + 54),
        .started_steady_ms = get_time(b + 60),
        .worker = get_le(b + 66, 8),
    };
}

void record_head_put(char *b, const RecordHead *head)
{
    ASSERT((unsigned) head->state < JOB_STATE_COUNT);
    b[0] = RECORD_VERSION;
    b[1] = (char) head->state;
    b[2] = (char) head->flags;
    b[3] = (char) head->reason;
    put_le(b + 4, head->queue, 4);
    put_le(b + 8, (uint16_t) head->priority, 2);
    put_le(b + 10, head->attempt, 2);
    put_le(b + 12, head->lost, 2);
    put_le(b + 14, head->max_attempts, 2);
    put_le(b + 16, head->fence, 4);
    put_le(b + 20, head->lease_length_ms, 4);
    put_le(b + 24, head->retry_delay_ms, 4);
    put_le(b + 28, head->order, 8);
    put_time(b + 36, head->due_ms);
    put_time(b + 42, head->created_ms);
    put_time(b + 48, head->enqueued_ms);
    put_time(b + 54, head->started_ms);
    put_time(b + 60, head->started_steady_ms);
    put_le(b + 66, head->worker, 8);
}

/* ---- sections -------------------------------------------------------------------------------- */

static bool take_section(Str body, size_t *cursor, uint8_t *ret_tag, Str *ret_value)
{
    *ret_tag = (uint8_t) body.data[(*cursor)++];
    return take_text(body, cursor, ret_value);
}

static bool is_known(uint8_t tag)
{
    return tag < RECORD_MUST_KNOW;
}

/* Whether the inside of a section of ours has the shape its reader relies on. */
static bool section_is_sound(uint8_t tag, Str value)
{
    size_t at;
    Str text;

    switch (tag) {
    case RECORD_TIMEOUT:
    case RECORD_LEASE:
    case RECORD_EXPIRES:
    case RECORD_RUN_AT: return value.len == 8;
    case RECORD_RETRY:
        if (value.len < 26)
            return false;
        if ((uint8_t) value.data[0] >= JOB_BACKOFF_COUNT)
            return false;
        at = 26;
        break;
    case RECORD_ERROR:
        if (value.len < 13)
            return false;
        at = 13;
        for (int i = 0; i < 5; i++) {
            if (!take_text(value, &at, &text))
                return false;
        }
        return at == value.len;
    default: return true;
    }
    for (size_t n = 0; at < value.len; n++) {
        if (n == JOB_NON_RETRYABLE_MAX || !take_text(value, &at, &text))
            return false;
    }
    return true;
}

int record_check(Str body)
{
    size_t cursor = RECORD_HEAD_BYTES;
    uint8_t tag;
    Str value;

    if (body.len < RECORD_HEAD_BYTES)
        return fail(-ERR_STORE_FORMAT, "a job's record is cut short");
    if (body.data[0] != RECORD_VERSION)
        return fail(-ERR_STORE_FORMAT, "a job's record has version %u, this program knows %u",
                    (unsigned) (uint8_t) body.data[0], RECORD_VERSION);
    if ((uint8_t) body.data[1] >= JOB_STATE_COUNT || (uint8_t) body.data[3] >= JOB_REASON_COUNT)
        return fail(-ERR_STORE_FORMAT, "a job's record has a state or reason that is none");
    for (size_t n = 0; cursor < body.len; n++) {
        if (n == SECTIONS_MAX || !take_section(body, &cursor, &tag, &value) ||
            !section_is_sound(tag, value))
            return fail(-ERR_STORE_FORMAT, "a job's record is damaged");
        if (!is_known(tag))
            return fail(-ERR_STORE_FORMAT, "a job's record needs a newer program (section %u)",
                        tag);
    }
    return 0;
}

bool record_next(Str body, size_t *cursor, uint8_t *ret_tag, Str *ret_value)
{
    if (*cursor < RECORD_HEAD_BYTES)
        *cursor = RECORD_HEAD_BYTES;
    if (*cursor >= body.len)
        return false;
    bool is_sound = take_section(body, cursor, ret_tag, ret_value);
    ASSERT(is_sound);
    return true;
}

bool record_find(Str body, RecordTag tag, Str *ret_value)
{
    size_t cursor = 0;
    uint8_t found;

    while (record_next(body, &cursor, &found, ret_value)) {
        if (found == tag)
            return true;
    }
    return false;
}

int64_t record_find_i64(Str body, RecordTag tag)
{
    Str value;

    if (!record_find(body, tag, &value))
        return 0;
    ASSERT(value.len == 8);
    return (int64_t) get_le(value.data, 8);
}

void record_add_section(Buf *out, RecordTag tag, Str value)
{
    buf_add_char(out, (char) tag);
    add_text(out, value);
}

static void add_i64_section(Buf *out, RecordTag tag, int64_t value)
{
    buf_add_char(out, (char) tag);
    add_varint(out, 8);
    add_i64(out, value);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static Str cut_text(Str text)
{
    size_t len = MIN(text.len, (size_t) LIMIT_JOB_ERROR_BYTES);

    while (len < text.len && len > 0 && ((uint8_t) text.data[len] & 0xc0) == 0x80)
        len--; /* not through the middle of a character */
    return str_from(text.data, len);
}

/* JSON that is cut is no JSON any more. */
static Str whole_or_none(Str json)
{
    return json.len <= LIMIT_JOB_ERROR_BYTES ? json : (Str){ 0 };
}

static void add_error(Buf *out, const JobError *error)
{
    const Str texts[] = { cut_text(error->type), cut_text(error->code), cut_text(error->message),
                          whole_or_none(error->details), whole_or_none(error->backtrace) };
    size_t len = 13;
    char attempt[4];

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        len += texts[i].len + (texts[i].len >= 0x80 ? 2 : 1);
    STATIC_ASSERT(LIMIT_JOB_ERROR_BYTES < 1 << 14, "lengths of errors take two bytes at most");
    buf_add_char(out, (char) RECORD_ERROR);
    add_varint(out, len);
    add_i64(out, error->at_ms);
    put_le(attempt, error->attempt, 4);
    buf_add(out, attempt, 4);
    buf_add_char(out, error->is_final ? 1 : 0);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        add_text(out, texts[i]);
}

static void get_error(Str value, JobError *ret_error)
{
    size_t at = 13;

    *ret_error = (JobError){ .at_ms = (int64_t) get_le(value.data, 8),
                             .attempt = (uint32_t) get_le(value.data + 8, 4),
                             .is_final = value.data[12] & 1 };
    bool is_sound = take_text(value, &at, &ret_error->type) &&
                    take_text(value, &at, &ret_error->code) &&
                    take_text(value, &at, &ret_error->message) &&
                    take_text(value, &at, &ret_error->details) &&
                    take_text(value, &at, &ret_error->backtrace);
    ASSERT(is_sound);
}

void record_rewrite(Str body, const RecordChange *change, Buf *out)
{
    size_t cursor = 0, n_errors = 0, n_drop;
    uint8_t tag;
    Str value;

    while (record_next(body, &cursor, &tag, &value))
        n_errors += tag == RECORD_ERROR;
    n_drop = change->error && n_errors >= LIMIT_JOB_ERRORS ? n_errors - LIMIT_JOB_ERRORS + 1 : 0;

    buf_reset(out);
    buf_add(out, body.data, RECORD_HEAD_BYTES);
    cursor = 0;
    while (record_next(body, &cursor, &tag, &value)) {
        if (tag == RECORD_RESULT && change->sets_result)
            continue;
        if (tag == RECORD_ERROR && n_drop > 0) {
            n_drop--;
            continue;
        }
        record_add_section(out, (RecordTag) tag, value);
    }
    if (change->sets_result && change->result.len > 0)
        record_add_section(out, RECORD_RESULT, change->result);
    if (change->error)
        add_error(out, change->error);
}

/* ---- new jobs -------------------------------------------------------------------------------- */

static const JobRetry retry_default = JOB_RETRY_DEFAULT;

static bool retry_is_default(const JobRetry *retry)
{
    return retry->backoff == retry_default.backoff &&
           retry->coefficient == retry_default.coefficient &&
           retry->initial_ms == retry_default.initial_ms && retry->max_ms == retry_default.max_ms &&
           retry->has_jitter == retry_default.has_jitter &&
           retry->on_exhaustion == retry_default.on_exhaustion && retry->n_non_retryable == 0;
}

static void add_retry(Buf *out, const JobRetry *retry)
{
    uint64_t bits;
    size_t len = 26;

    STATIC_ASSERT(sizeof(bits) == sizeof(retry->coefficient), "a double has 64 bits");
    memcpy(&bits, &retry->coefficient, sizeof(bits));
    for (size_t i = 0; i < retry->n_non_retryable; i++) {
        size_t pattern_len = retry->non_retryable[i].len;
        ASSERT(pattern_len < 1 << 14);
        len += pattern_len + (pattern_len >= 0x80 ? 2 : 1);
    }
    buf_add_char(out, (char) RECORD_RETRY);
    add_varint(out, len);
    buf_add_char(out, (char) retry->backoff);
    buf_add_char(out, (char) ((retry->has_jitter ? 1 : 0) |
                              (retry->on_exhaustion == JOB_EXHAUSTION_DEAD_LETTER ? 2 : 0)));
    add_i64(out, (int64_t) bits);
    add_i64(out, retry->initial_ms);
    add_i64(out, retry->max_ms);
    for (size_t i = 0; i < retry->n_non_retryable; i++)
        add_text(out, retry->non_retryable[i]);
}

static int get_retry(Arena *arena, Str value, JobRetry *retry)
{
    uint64_t bits = get_le(value.data + 2, 8);
    size_t at = 26, n = 0;
    Str pattern;
    Str *patterns;

    retry->backoff = (JobBackoff) (uint8_t) value.data[0];
    retry->has_jitter = (value.data[1] & 1) != 0;
    retry->on_exhaustion = value.data[1] & 2 ? JOB_EXHAUSTION_DEAD_LETTER : JOB_EXHAUSTION_DISCARD;
    memcpy(&retry->coefficient, &bits, sizeof(bits));
    retry->initial_ms = (int64_t) get_le(value.data + 10, 8);
    retry->max_ms = (int64_t) get_le(value.data + 18, 8);
    if (at == value.len)
        return 0;
    patterns = arena_try(arena, JOB_NON_RETRYABLE_MAX * sizeof(Str));
    if (!patterns)
        return fail(-ENOMEM, "no memory for a job's retry policy");
    while (at < value.len) {
        bool is_sound = take_text(value, &at, &pattern);
        ASSERT(is_sound);
        patterns[n++] = pattern;
    }
    retry->non_retryable = patterns;
    retry->n_non_retryable = n;
    return 0;
}

static void new_head(RecordHead *head, const JobSpec *spec, const JobRetry *retry, int64_t wall_ms)
{
    bool is_later = spec->run_at_ms > wall_ms;

    *head = (RecordHead){
        .state = spec->is_pending ? JOB_PENDING
                 : is_later       ? JOB_SCHEDULED
                                  : JOB_AVAILABLE,
        .flags = (uint8_t) ((spec->timeout_ms > 0 ? RECORD_HAS_TIMEOUT : 0) |
                            (spec->lease_ms > 0 ? RECORD_HAS_LEASE : 0) |
                            (spec->expires_at_ms > 0 ? RECORD_HAS_EXPIRES : 0) |
                            (unsigned) spec->directive << RECORD_DIRECTIVE_SHIFT),
        .priority = (int16_t) spec->priority,
        .max_attempts = (uint16_t) MIN(MAX(retry->max_attempts, 1u), (uint32_t) UINT16_MAX),
        .created_ms = wall_ms,
    };
    if (head->state == JOB_AVAILABLE)
        head->enqueued_ms = wall_ms;
    if (head->state == JOB_SCHEDULED)
        head->due_ms = spec->run_at_ms;
}

void record_encode(Buf *out, const JobSpec *spec, int64_t wall_ms)
{
    static const Str default_queue = STR("default"), no_args = STR("[]");
    const JobRetry *retry = spec->retry ? spec->retry : &retry_default;
    RecordHead head;
    char head_bytes[RECORD_HEAD_BYTES];

    ASSERT(!job_id_is_nil(&spec->id));
    ASSERT(spec->type.len > 0);
    ASSERT(spec->priority >= INT16_MIN && spec->priority <= INT16_MAX);
    new_head(&head, spec, retry, wall_ms);
    record_head_put(head_bytes, &head);
    buf_add(out, spec->id.bytes, RECORD_ID_BYTES);
    buf_add(out, head_bytes, sizeof(head_bytes));
    record_add_section(out, RECORD_TYPE, spec->type);
    record_add_section(out, RECORD_QUEUE, spec->queue.len ? spec->queue : default_queue);
    record_add_section(out, RECORD_ARGS, spec->args.len ? spec->args : no_args);
    if (spec->meta.len > 0)
        record_add_section(out, RECORD_META, spec->meta);
    if (spec->extra.len > 0)
        record_add_section(out, RECORD_EXTRA, spec->extra);
    if (!retry_is_default(retry))
        add_retry(out, retry);
    if (spec->timeout_ms > 0)
        add_i64_section(out, RECORD_TIMEOUT, spec->timeout_ms);
    if (spec->lease_ms > 0)
        add_i64_section(out, RECORD_LEASE, spec->lease_ms);
    if (spec->expires_at_ms > 0)
        add_i64_section(out, RECORD_EXPIRES, spec->expires_at_ms);
    if (spec->run_at_ms > 0)
        add_i64_section(out, RECORD_RUN_AT, spec->run_at_ms);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void job_from_head(const RecordHead *head, Job *job)
{
    job->state = head->state;
    job->reason = head->reason;
    job->is_dead_letter = (head->flags & RECORD_DEAD_LETTER) != 0;
    job->directive = (JobDirective) (head->flags >> RECORD_DIRECTIVE_SHIFT & 3);
    job->priority = head->priority;
    job->attempt = head->attempt;
    job->max_attempts = head->max_attempts;
    job->lost = head->lost;
    job->fence = head->fence;
    job->created_ms = head->created_ms;
    job->enqueued_ms = head->enqueued_ms;
    job->started_ms = head->started_ms;
    job->retry_delay_ms = head->retry_delay_ms;
    if (job_state_is_final(head->state))
        job->finished_ms = head->due_ms;
    if (head->state == JOB_RETRYABLE)
        job->next_attempt_ms = head->due_ms;
    if (head->state == JOB_ACTIVE) {
        job->lease_until_ms = head->due_ms;
        job->lease_length_ms = head->lease_length_ms;
        job->started_steady_ms = head->started_steady_ms;
    }
}

int record_decode(Arena *arena, Str record, Job *ret_job)
{
    Str body, value;
    RecordHead head;
    Job job = { .retry = JOB_RETRY_DEFAULT };
    JobError *errors = NULL;
    size_t cursor = 0;
    uint8_t tag;
    int r;

    if (record.len < RECORD_ID_BYTES)
        return fail(-ERR_STORE_FORMAT, "a job's record is cut short");
    body = record_body(record);
    r = record_check(body);
    if (r < 0)
        return r;
    record_head_get(body, &head);
    job.id = record_id(record);
    job_from_head(&head, &job);
    while (record_next(body, &cursor, &tag, &value)) {
        switch (tag) {
        case RECORD_TYPE: job.type = value; break;
        case RECORD_QUEUE: job.queue = value; break;
        case RECORD_ARGS: job.args = value; break;
        case RECORD_META: job.meta = value; break;
        case RECORD_EXTRA: job.extra = value; break;
        case RECORD_RETRY:
            r = get_retry(arena, value, &job.retry);
            if (r < 0)
                return r;
            break;
        case RECORD_TIMEOUT: job.timeout_ms = (int64_t) get_le(value.data, 8); break;
        case RECORD_LEASE: job.lease_ms = (int64_t) get_le(value.data, 8); break;
        case RECORD_EXPIRES: job.expires_at_ms = (int64_t) get_le(value.data, 8); break;
        case RECORD_RUN_AT: job.run_at_ms = (int64_t) get_le(value.data, 8); break;
        case RECORD_RESULT: job.result = value; break;
        case RECORD_ERROR:
            if (!errors)
                errors = arena_try(arena, SECTIONS_MAX * sizeof(JobError));
            if (!errors)
                return fail(-ENOMEM, "no memory for a job's errors");
            get_error(value, &errors[job.n_errors++]);
            break;
        default: break; /* of a newer program */
        }
    }
    job.errors = errors;
    job.retry.max_attempts = head.max_attempts;
    *ret_job = job;
    return 0;
}
