/*
 * The policies, rule by rule: each row would catch a rule that is wrong, missing or out of order.
 */
#include "queue/policy_int.h"

#include "base/limits.h"
#include "base/test.h"

static JobRetry retry_of(JobBackoff backoff, double coefficient, int64_t initial, int64_t max)
{
    JobRetry retry = JOB_RETRY_DEFAULT;

    retry.backoff = backoff;
    retry.coefficient = coefficient;
    retry.initial_ms = initial;
    retry.max_ms = max;
    retry.has_jitter = false;
    return retry;
}

TEST(delays_grow_as_their_strategy_says)
{
    static const struct {
        JobBackoff backoff;
        double coefficient;
        int64_t initial, max;
        int64_t want[5];
    } rows[] = {
        { JOB_BACKOFF_EXPONENTIAL, 2, 1000, 300000, { 1000, 2000, 4000, 8000, 16000 } },
        { JOB_BACKOFF_EXPONENTIAL, 1, 1000, 300000, { 1000, 1000, 1000, 1000, 1000 } },
        { JOB_BACKOFF_EXPONENTIAL, 10, 1000, 2000, { 1000, 2000, 2000, 2000, 2000 } },
        { JOB_BACKOFF_EXPONENTIAL,
          1e6,
          1000,
          1 << 30,
          { 1000, 1000000000, 1 << 30, 1 << 30, 1 << 30 } },
        { JOB_BACKOFF_LINEAR, 1, 1000, 30000, { 1000, 2000, 3000, 4000, 5000 } },
        { JOB_BACKOFF_LINEAR, 1, 1000, 2500, { 1000, 2000, 2500, 2500, 2500 } },
        { JOB_BACKOFF_CONSTANT, 9, 700, 30000, { 700, 700, 700, 700, 700 } },
        { JOB_BACKOFF_POLYNOMIAL, 2, 100, 30000, { 100, 400, 900, 1600, 2500 } },
        { JOB_BACKOFF_POLYNOMIAL, 3, 100, 1000, { 100, 800, 1000, 1000, 1000 } },
        { JOB_BACKOFF_NONE, 2, 1000, 30000, { 0, 0, 0, 0, 0 } },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        JobRetry retry = retry_of(rows[i].backoff, rows[i].coefficient, rows[i].initial,
                                  rows[i].max);
        for (uint32_t n = 1; n <= 5; n++)
            EXPECT_EQ(policy_retry_delay(&retry, n, 0.9), rows[i].want[n - 1]);
        EXPECT(policy_retry_delay(&retry, UINT32_MAX, 0) <= rows[i].max);
        EXPECT(policy_retry_delay(&retry, UINT32_MAX, 0) >= 0);
    }
}

TEST(jitter_is_between_half_and_one_and_a_half_and_never_above_the_longest)
{
    JobRetry retry = retry_of(JOB_BACKOFF_CONSTANT, 1, 2000, 300000);

    retry.has_jitter = true;
    EXPECT_EQ(policy_retry_delay(&retry, 1, 0), 1000);
    EXPECT_EQ(policy_retry_delay(&retry, 1, 0.5), 2000);
    EXPECT_EQ(policy_retry_delay(&retry, 1, 0.999999999), 3000);
    retry.max_ms = 2500;
    EXPECT_EQ(policy_retry_delay(&retry, 1, 0.999999999), 2500);
}

TEST(patterns_match_types_and_codes_exactly_or_by_prefix)
{
    static const Str patterns[] = { STR("ValidationError"), STR("auth.*"), STR("E42") };
    JobRetry retry = JOB_RETRY_DEFAULT;
    static const struct {
        const char *type, *code;
        bool want;
    } rows[] = {
        { "ValidationError", "", true },
        { "ValidationErrors", "", false },
        { "auth.expired", "x", true },
        { "auth", "", false },
        { "auth.", "", true },
        { "authx.y", "", false },
        { "Other", "E42", true },
        { "Other", "e42", false },
        { "", "", false },
        { "validationerror", "", false },
    };

    retry.non_retryable = patterns;
    retry.n_non_retryable = ARRAY_LEN(patterns);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        JobError error = { .type = str_from_c(rows[i].type), .code = str_from_c(rows[i].code) };
        EXPECT_EQ(policy_is_non_retryable(&retry, &error), rows[i].want);
    }
}

TEST(failures_are_judged_by_the_first_rule_that_fits)
{
    static const Str patterns[] = { STR("Bad") };
    static const struct {
        const char *type, *code;
        bool is_final;
        uint32_t attempt, max;
        JobExhaustion on_exhaustion;
        JobState to;
        JobReason reason;
        bool is_dead_letter;
    } rows[] = {
        { "X", "c", false, 1, 3, JOB_EXHAUSTION_DISCARD, JOB_RETRYABLE, JOB_REASON_NONE, false },
        { "X", "c", false, 2, 3, JOB_EXHAUSTION_DEAD_LETTER, JOB_RETRYABLE, JOB_REASON_NONE,
          false },
        { "X", "c", false, 3, 3, JOB_EXHAUSTION_DISCARD, JOB_DISCARDED, JOB_REASON_EXHAUSTED,
          false },
        { "X", "c", false, 3, 3, JOB_EXHAUSTION_DEAD_LETTER, JOB_DISCARDED, JOB_REASON_EXHAUSTED,
          true },
        { "X", "c", false, 9, 3, JOB_EXHAUSTION_DISCARD, JOB_DISCARDED, JOB_REASON_EXHAUSTED,
          false },
        { "X", "c", true, 1, 3, JOB_EXHAUSTION_DISCARD, JOB_DISCARDED, JOB_REASON_NOT_RETRYABLE,
          false },
        { "X", "c", true, 1, 3, JOB_EXHAUSTION_DEAD_LETTER, JOB_DISCARDED, JOB_REASON_NOT_RETRYABLE,
          true },
        { "Bad", "c", false, 1, 3, JOB_EXHAUSTION_DEAD_LETTER, JOB_DISCARDED,
          JOB_REASON_NOT_RETRYABLE, true },
        { "X", "DISCARD", false, 1, 3, JOB_EXHAUSTION_DEAD_LETTER, JOB_DISCARDED,
          JOB_REASON_DISCARD_ASKED, false },
        { "X", "FAIL", false, 1, 3, JOB_EXHAUSTION_DEAD_LETTER, JOB_DISCARDED,
          JOB_REASON_DISCARD_ASKED, false },
        { "X", "DEAD_LETTER", false, 1, 3, JOB_EXHAUSTION_DISCARD, JOB_DISCARDED,
          JOB_REASON_DISCARD_ASKED, true },
        { "X", "RETRY", false, 1, 3, JOB_EXHAUSTION_DISCARD, JOB_RETRYABLE, JOB_REASON_NONE,
          false },
        { "X", "c", false, 0, 1, JOB_EXHAUSTION_DISCARD, JOB_RETRYABLE, JOB_REASON_NONE, false },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Job job = { .state = JOB_ACTIVE,
                    .attempt = rows[i].attempt,
                    .max_attempts = rows[i].max,
                    .retry = JOB_RETRY_DEFAULT };
        JobError error = { .type = str_from_c(rows[i].type),
                           .code = str_from_c(rows[i].code),
                           .is_final = rows[i].is_final };
        Verdict verdict;

        job.retry.on_exhaustion = rows[i].on_exhaustion;
        job.retry.non_retryable = patterns;
        job.retry.n_non_retryable = 1;
        verdict = policy_failure(&job, &error, 0.5);
        EXPECT_EQ(verdict.to, rows[i].to);
        EXPECT_EQ(verdict.reason, rows[i].reason);
        EXPECT_EQ(verdict.is_dead_letter, rows[i].is_dead_letter);
        if (verdict.to == JOB_RETRYABLE)
            EXPECT_EQ(verdict.delay_ms, rows[i].attempt == 2 ? 2000 : 1000);
    }
}

TEST(losses_give_the_job_back_until_there_are_too_many)
{
    for (uint32_t lost = 0; lost < 5; lost++) {
        Job job = { .state = JOB_ACTIVE, .lost = lost };
        Verdict verdict = policy_loss(&job, 3);

        EXPECT_EQ(verdict.to, lost >= 2 ? JOB_DISCARDED : JOB_AVAILABLE);
        EXPECT_EQ(verdict.is_dead_letter, lost >= 2);
        EXPECT_EQ(verdict.reason, lost >= 2 ? JOB_REASON_WORKER_LOST : JOB_REASON_NONE);
    }
}

TEST(a_timeout_is_told_from_a_loss)
{
    Job job = { .state = JOB_ACTIVE, .timeout_ms = 100, .started_steady_ms = 1000 };

    EXPECT(!policy_is_timeout(&job, 1099));
    EXPECT(policy_is_timeout(&job, 1100));
    job.timeout_ms = 0;
    EXPECT(!policy_is_timeout(&job, 999999));
}

TEST(a_full_store_keeps_fewer_finished_jobs)
{
    StoreRetention configured = {
        .completed_ms = 5, .completed_max = 100000, .cancelled_max = 10, .discarded_max = 100000
    };
    StoreRetention keep = policy_retention(&configured, false);

    EXPECT_EQ(keep.completed_max, 100000);
    keep = policy_retention(&configured, true);
    EXPECT_EQ(keep.completed_max, LIMIT_RETENTION_FULL);
    EXPECT_EQ(keep.cancelled_max, 10);
    EXPECT_EQ(keep.discarded_max, 100000);
    EXPECT_EQ(keep.completed_ms, 5);
    configured.completed_max = 0;
    EXPECT_EQ(policy_retention(&configured, true).completed_max, LIMIT_RETENTION_FULL);
    EXPECT_EQ(policy_retention(&configured, false).completed_max, 0);
}

TEST(every_pair_of_states_is_decided)
{
    static const char *const allowed[] = {
        "scheduled available", "scheduled cancelled", "available active",    "available cancelled",
        "available discarded", "pending available",   "pending cancelled",   "active completed",
        "active retryable",    "active discarded",    "active cancelled",    "active available",
        "retryable available", "retryable cancelled", "discarded available",
    };
    size_t n = 0;

    for (unsigned from = 0; from < JOB_STATE_COUNT; from++) {
        for (unsigned to = 0; to < JOB_STATE_COUNT; to++) {
            char pair[64];
            bool want = false;

            snprintf(pair, sizeof(pair), "%s %s", job_state_name((JobState) from),
                     job_state_name((JobState) to));
            for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
                want |= strcmp(pair, allowed[i]) == 0;
            EXPECT_EQ(job_edge_is_allowed((JobState) from, (JobState) to), want);
            n += want;
        }
    }
    EXPECT_EQ(n, ARRAY_LEN(allowed));
}

TEST_MAIN()
