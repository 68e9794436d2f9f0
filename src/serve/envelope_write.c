/*
 * Writing a job as the Open Job Spec's envelope.
 *
 * Members are present only when they mean something: a time when it has happened, a result when the
 * job completed with one, the retry policy when it is not the standard one. What the pusher sent
 * and we do not know stands at the end, byte for byte.
 */
#include "serve/envelope.h"

#include "base/macro.h"
#include "codec/time_text.h"
#include "serve/serve_int.h"

const char *const envelope_backoff_names[JOB_BACKOFF_COUNT] = {
    [JOB_BACKOFF_EXPONENTIAL] = "exponential",
    [JOB_BACKOFF_LINEAR] = "linear",
    [JOB_BACKOFF_CONSTANT] = "constant",
    [JOB_BACKOFF_POLYNOMIAL] = "polynomial",
    [JOB_BACKOFF_NONE] = "none",
};

static void write_time(JsonWriter *writer, const char *name, int64_t time_ms)
{
    if (time_ms)
        json_write_member_time_ms(writer, name, time_ms);
}

/* A time that the pusher gave: without a fraction where it had none. */
static void write_given_time(JsonWriter *writer, const char *name, int64_t time_ms)
{
    char text[TIME_TEXT_BYTES];
    Str formatted;

    if (!time_ms)
        return;
    formatted = time_format_rfc3339(time_ms, text);
    if (time_ms % MS_PER_S == 0 && formatted.len == 24) {
        text[19] = 'Z';
        formatted.len = 20;
    }
    json_write_member_str(writer, name, formatted);
}

static void write_retry(JsonWriter *writer, const JobRetry *retry)
{
    char text[TIME_TEXT_BYTES];

    json_write_key(writer, "retry");
    json_write_object(writer);
    json_write_member_u64(writer, "max_attempts", retry->max_attempts);
    json_write_member_str(writer, "initial_interval", duration_format_iso(retry->initial_ms, text));
    json_write_member_real(writer, "backoff_coefficient", retry->coefficient);
    json_write_member_c(writer, "backoff_strategy", envelope_backoff_names[retry->backoff]);
    json_write_member_str(writer, "max_interval", duration_format_iso(retry->max_ms, text));
    json_write_member_bool(writer, "jitter", retry->has_jitter);
    json_write_key(writer, "non_retryable_errors");
    json_write_array(writer);
    for (size_t i = 0; i < retry->n_non_retryable; i++)
        json_write_str(writer, retry->non_retryable[i]);
    json_write_array_end(writer);
    json_write_member_c(writer, "on_exhaustion",
                        retry->on_exhaustion == JOB_EXHAUSTION_DEAD_LETTER ? "dead_letter"
                                                                           : "discard");
    json_write_object_end(writer);
}

static bool is_standard_retry(const JobRetry *retry)
{
    static const JobRetry standard = JOB_RETRY_DEFAULT;

    return retry->max_attempts == standard.max_attempts && retry->backoff == standard.backoff &&
           retry->coefficient == standard.coefficient && retry->initial_ms == standard.initial_ms &&
           retry->max_ms == standard.max_ms && retry->has_jitter == standard.has_jitter &&
           retry->on_exhaustion == standard.on_exhaustion && retry->n_non_retryable == 0;
}

static void write_error(JsonWriter *writer, const JobError *error)
{
    json_write_object(writer);
    json_write_member_str(writer, "type", error->type);
    json_write_member_str(writer, "code", error->code);
    json_write_member_str(writer, "message", error->message);
    json_write_member_bool(writer, "retryable", !error->is_final);
    if (error->details.len)
        json_write_member_raw(writer, "details", error->details);
    if (error->backtrace.len)
        json_write_member_raw(writer, "backtrace", error->backtrace);
    json_write_member_u64(writer, "attempt", error->attempt);
    write_time(writer, "occurred_at", error->at_ms);
    json_write_object_end(writer);
}

static void write_errors(JsonWriter *writer, const Job *job)
{
    if (!job->n_errors)
        return;
    if (job->state != JOB_COMPLETED) {
        json_write_key(writer, "error");
        write_error(writer, &job->errors[job->n_errors - 1]);
    }
    json_write_key(writer, "errors");
    json_write_array(writer);
    for (size_t i = 0; i < job->n_errors; i++)
        write_error(writer, &job->errors[i]);
    json_write_array_end(writer);
}

static void write_times(JsonWriter *writer, const Job *job)
{
    json_write_member_time_ms(writer, "created_at", job->created_ms);
    write_time(writer, "enqueued_at", job->enqueued_ms);
    write_time(writer, "started_at", job->started_ms);
    if (job->state == JOB_COMPLETED ||
        (job->state == JOB_DISCARDED && job->reason != JOB_REASON_EXPIRED))
        write_time(writer, "completed_at", job->finished_ms);
    if (job->state == JOB_DISCARDED)
        write_time(writer, "discarded_at", job->finished_ms);
    if (job->state == JOB_CANCELLED)
        write_time(writer, "cancelled_at", job->finished_ms);
    write_given_time(writer, "scheduled_at", job->run_at_ms);
    write_given_time(writer, "expires_at", job->expires_at_ms);
    if (job->state == JOB_RETRYABLE) {
        write_time(writer, "next_attempt_at", job->next_attempt_ms);
        write_time(writer, "next_retry_at", job->next_attempt_ms);
    }
    if (job->retry_delay_ms)
        json_write_member_i64(writer, "retry_delay_ms", job->retry_delay_ms);
}

void envelope_write(JsonWriter *writer, const Job *job, const EnvelopeOut *out_opts)
{
    char id[JOB_ID_TEXT_BYTES];

    json_write_object(writer);
    json_write_member_c(writer, "specversion", "1.0");
    json_write_member_str(writer, "id", job_id_format(&job->id, id));
    json_write_member_str(writer, "type", job->type);
    json_write_member_str(writer, "queue", job->queue);
    json_write_member_raw(writer, "args", job->args);
    if (job->meta.len)
        json_write_member_raw(writer, "meta", job->meta);
    json_write_member_i64(writer, "priority", job->priority);
    json_write_member_c(writer, "state", job_state_name(job->state));
    json_write_member_u64(writer, "attempt", job->attempt);
    json_write_member_u64(writer, "max_attempts", job->max_attempts);
    write_times(writer, job);
    if (job->timeout_ms)
        json_write_member_i64(writer, "timeout_ms", job->timeout_ms);
    if (job->lease_ms)
        json_write_member_i64(writer, "visibility_timeout_ms", job->lease_ms);
    if (!is_standard_retry(&job->retry))
        write_retry(writer, &job->retry);
    if (job->state == JOB_COMPLETED && job->result.len && !str_eq_c(job->result, "null"))
        json_write_member_raw(writer, "result", job->result);
    write_errors(writer, job);
    if (job->lost)
        json_write_member_u64(writer, "lost", job->lost);
    if (job->state == JOB_DISCARDED || job->state == JOB_CANCELLED)
        json_write_member_c(writer, "reason", job_reason_name(job->reason));
    if (out_opts && out_opts->has_lease_token) {
        json_write_key(writer, "lease_token");
        json_write_u64(writer, job->fence);
        write_time(writer, "lease_expires_at", job->lease_until_ms);
    }
    if (out_opts && out_opts->previous_state)
        json_write_member_c(writer, "previous_state", out_opts->previous_state);
    if (out_opts && out_opts->extra_name)
        json_write_member_time_ms(writer, out_opts->extra_name, out_opts->extra_ms);
    if (job->extra.len) {
        buf_add_char(writer->out, ',');
        buf_add_str(writer->out, job->extra);
    }
    json_write_object_end(writer);
}
