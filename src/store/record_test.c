/*
 * The stored form of a job: what goes in comes out, a newer program's sections survive, and nothing
 * that a damaged file may hold does harm.
 */
#include "store/record.h"

#include "base/limits.h"
#include "base/rand.h"
#include "base/test.h"

static const JobId some_id = { { 1, 2, 3, 4, 5, 6, 0x77, 8, 0x89, 10, 11, 12, 13, 14, 15, 16 } };

static void encode(Buf *out)
{
    static const Str patterns[] = { STR("A"), STR("b.*") };
    JobRetry retry = { .max_attempts = 9, .backoff = JOB_BACKOFF_POLYNOMIAL, .coefficient = 1.25 };
    JobSpec spec = { .id = some_id,
                     .type = STR_C("a.b"),
                     .queue = STR_C("q"),
                     .args = STR_C("[1]"),
                     .meta = STR_C("{}"),
                     .extra = STR_C("\"x\":1"),
                     .priority = -100,
                     .timeout_ms = 5,
                     .lease_ms = 6,
                     .expires_at_ms = 7,
                     .run_at_ms = 8000,
                     .directive = JOB_DIRECTIVE_QUIET,
                     .retry = &retry };

    retry.initial_ms = 100;
    retry.max_ms = 200;
    retry.non_retryable = patterns;
    retry.n_non_retryable = 2;
    record_encode(out, &spec, 7000);
}

TEST(a_record_is_drawn_as_the_header_says)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    const uint8_t *body;

    encode(&buf);
    EXPECT_EQ(memcmp(buf.data, some_id.bytes, 16), 0);
    body = (const uint8_t *) buf.data + 16;
    EXPECT_EQ(body[0], 1);
    EXPECT_EQ(body[1], JOB_SCHEDULED);
    EXPECT_EQ(body[2], RECORD_HAS_TIMEOUT | RECORD_HAS_LEASE | RECORD_HAS_EXPIRES | 1 << 4);
    EXPECT_EQ((int16_t) (body[8] | body[9] << 8), -100);
    EXPECT_EQ(body[14], 9);
    EXPECT_EQ(body[36] | body[37] << 8, 8000);
    EXPECT_EQ(body[42] | body[43] << 8, 7000);
    EXPECT_EQ(body[74], RECORD_TYPE);
    EXPECT_EQ(body[75], 3);
    EXPECT_EQ(body[76], 'a');
}

TEST(a_head_survives_with_every_field_at_its_end)
{
    RecordHead head = { .state = JOB_DISCARDED,
                        .flags = 0x3f,
                        .reason = JOB_REASON_REQUESTED,
                        .queue = UINT32_MAX,
                        .priority = INT16_MIN,
                        .attempt = UINT16_MAX,
                        .lost = UINT16_MAX - 1,
                        .max_attempts = UINT16_MAX - 2,
                        .fence = UINT32_MAX - 3,
                        .lease_length_ms = UINT32_MAX - 4,
                        .retry_delay_ms = UINT32_MAX - 5,
                        .order = UINT64_MAX - 6,
                        .due_ms = (INT64_C(1) << 48) - 1,
                        .created_ms = (INT64_C(1) << 48) - 2,
                        .enqueued_ms = (INT64_C(1) << 48) - 3,
                        .started_ms = (INT64_C(1) << 48) - 4,
                        .started_steady_ms = (INT64_C(1) << 48) - 5,
                        .worker = UINT64_MAX - 7 };
    char bytes[RECORD_HEAD_BYTES];
    RecordHead got;

    record_head_put(bytes, &head);
    record_head_get(str_from(bytes, sizeof(bytes)), &got);
    EXPECT_EQ(got.state, head.state);
    EXPECT_EQ(got.flags, head.flags);
    EXPECT_EQ(got.reason, head.reason);
    EXPECT_EQ(got.queue, head.queue);
    EXPECT_EQ(got.priority, head.priority);
    EXPECT_EQ(got.attempt, head.attempt);
    EXPECT_EQ(got.lost, head.lost);
    EXPECT_EQ(got.max_attempts, head.max_attempts);
    EXPECT_EQ(got.fence, head.fence);
    EXPECT_EQ(got.lease_length_ms, head.lease_length_ms);
    EXPECT_EQ(got.retry_delay_ms, head.retry_delay_ms);
    EXPECT(got.order == head.order);
    EXPECT_EQ(got.due_ms, head.due_ms);
    EXPECT_EQ(got.created_ms, head.created_ms);
    EXPECT_EQ(got.enqueued_ms, head.enqueued_ms);
    EXPECT_EQ(got.started_ms, head.started_ms);
    EXPECT_EQ(got.started_steady_ms, head.started_steady_ms);
    EXPECT(got.worker == head.worker);
}

TEST(results_and_errors_are_put_behind_and_bounded)
{
    AUTO(buf_deinit) Buf buf = { 0 }, a = { 0 }, b = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    char *text = mem_zalloc(LIMIT_JOB_ERROR_BYTES + 10);
    Job job;

    arena_init(&arena, 0);
    memset(text, 'e', LIMIT_JOB_ERROR_BYTES + 10);
    memcpy(text + LIMIT_JOB_ERROR_BYTES - 1, "\xc3\xa4", 2); /* cut would go through a character */
    encode(&buf);
    buf_add_str(&a, str_from(buf.data + 16, buf.len - 16));
    for (uint32_t i = 0; i < LIMIT_JOB_ERRORS + 3; i++) {
        JobError error = { .type = STR_C("T"),
                           .message = str_from(text, LIMIT_JOB_ERROR_BYTES + 10),
                           .details = i % 2 ? STR_C("{}")
                                            : str_from(text, LIMIT_JOB_ERROR_BYTES + 1),
                           .attempt = i };
        RecordChange change = { .sets_result = true, .result = STR_C("42"), .error = &error };

        record_rewrite(buf_str(&a), &change, &b);
        EXPECT_OK(buf_check(&b));
        EXPECT_OK(record_check(buf_str(&b)));
        Buf swap = a;
        a = b;
        b = swap;
    }
    buf_reset(&b);
    buf_add(&b, some_id.bytes, 16);
    buf_add_str(&b, buf_str(&a));
    EXPECT_OK(record_decode(&arena, buf_str(&b), &job));
    EXPECT_EQ(job.n_errors, LIMIT_JOB_ERRORS);
    EXPECT_EQ(job.errors[0].attempt, 3);
    EXPECT_EQ(job.errors[0].message.len, LIMIT_JOB_ERROR_BYTES - 1);
    EXPECT_EQ(job.errors[0].details.len, 2);
    EXPECT_EQ(job.errors[1].details.len, 0); /* JSON that does not fit is left out whole */
    EXPECT_STR(job.result, STR_C("42"));
    EXPECT_STR(job.args, STR_C("[1]"));
    mem_free(text);
}

TEST(sections_of_a_newer_program_are_kept_or_refused)
{
    AUTO(buf_deinit) Buf buf = { 0 }, out = { 0 };
    RecordChange change = { .sets_result = true, .result = STR_C("1") };
    Str value;

    encode(&buf);
    record_add_section(&buf, (RecordTag) 77, STR_C("from the future"));
    EXPECT_OK(record_check(str_from(buf.data + 16, buf.len - 16)));
    record_rewrite(str_from(buf.data + 16, buf.len - 16), &change, &out);
    EXPECT(record_find(buf_str(&out), (RecordTag) 77, &value));
    EXPECT_STR(value, STR_C("from the future"));
    record_add_section(&buf, (RecordTag) 200, STR_C("you must know this"));
    EXPECT_ERR(record_check(str_from(buf.data + 16, buf.len - 16)), -ERR_STORE_FORMAT,
               "newer program");
    buf.data[16] = 2;
    EXPECT_ERR(record_check(str_from(buf.data + 16, buf.len - 16)), -ERR_STORE_FORMAT, "version 2");
}

TEST(a_damaged_record_is_refused_or_read_never_worse)
{
    AUTO(buf_deinit) Buf buf = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    Rand rand;
    Job job;

    rand_init(&rand, 3);
    arena_init(&arena, 0);
    encode(&buf);
    for (size_t len = 0; len < buf.len; len++) { /* cut at every place */
        char *copy = mem_try(len ? len : 1);
        memcpy(copy, buf.data, len);
        (void) (record_decode(&arena, str_from(copy, len), &job) == 0);
        arena_reset(&arena);
        mem_free(copy);
    }
    for (int i = 0; i < 20000; i++) { /* flip bits */
        char *copy = mem_try(buf.len);
        memcpy(copy, buf.data, buf.len);
        for (uint64_t n = 1 + rand_below(&rand, 3); n > 0; n--)
            copy[16 + rand_below(&rand, buf.len - 16)] ^= (char) (1 << rand_below(&rand, 8));
        (void) (record_decode(&arena, str_from(copy, buf.len), &job) == 0);
        arena_reset(&arena);
        mem_free(copy);
    }
}

TEST(memory_that_runs_out_is_an_error)
{
    AUTO(buf_deinit) Buf buf = { 0 };

    encode(&buf);
    FOR_EACH_FAULT {
        AUTO(arena_deinit) Arena arena = { 0 };
        Job job;
        int r;

        arena_init(&arena, 0);
        r = record_decode(&arena, buf_str(&buf), &job);
        EXPECT(r == 0 || mem_faults_hit() > 0);
    }
}

TEST(ids_are_version_7_in_lower_case)
{
    char text[JOB_ID_TEXT_BYTES];
    JobId id;

    EXPECT_OK(job_id_parse(STR_C("019461a8-1a2b-7c3d-8e4f-5a6b7c8d9e0f"), &id));
    EXPECT_STR(job_id_format(&id, text), STR_C("019461a8-1a2b-7c3d-8e4f-5a6b7c8d9e0f"));
    EXPECT_ERR(job_id_parse(STR_C("550e8400-e29b-41d4-a716-446655440000"), &id), -ERR_INVALID,
               "version 7");
    EXPECT_ERR(job_id_parse(STR_C("019461A8-1A2B-7C3D-8E4F-5A6B7C8D9E0F"), &id), -ERR_INVALID,
               "lower");
    EXPECT_EQ(job_id_parse(STR_C("not-a-uuid-at-all"), &id), -ERR_INVALID);
    EXPECT_EQ(job_id_parse(STR_C(""), &id), -ERR_INVALID);
}

TEST_MAIN()
