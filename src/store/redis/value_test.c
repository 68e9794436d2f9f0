/*
 * Jobs as text: what is written reads back to the same job, and what a stranger may have made of it
 * is refused with words.
 */
#include "store/redis/value.h"

#include "base/test.h"
#include "store/engine_int.h"

#define ID "01900000-0000-7000-8000-000000000001"

static JobId the_id(void)
{
    JobId id;

    EXPECT_OK(job_id_parse(str_from_c(ID), &id));
    return id;
}

/* The whole text, as the script `push` puts it together. */
static void text_of(Arena *arena, const JobSpec *spec, int64_t wall_ms, const char *line, Buf *text)
{
    AUTO(buf_deinit) Buf record = { 0 }, head = { 0 }, tail = { 0 };
    Str rest, state, queue, flags;

    record_encode(&record, spec, wall_ms);
    EXPECT_OK(value_add_new(arena, buf_str(&record), &head, &tail));
    state = str_cut(buf_str(&head), ' ', &rest);
    queue = str_cut(rest, ' ', &rest);
    (void) str_cut(rest, ' ', &rest);
    flags = str_cut(rest, ' ', &rest);
    buf_printf(text, "%.*s %.*s 0 %.*s - %.*s 0 0 0 0 0 %s%.*s", (int) state.len, state.data,
               (int) (str_eq_c(state, "scheduled") ? rest.len : 1),
               str_eq_c(state, "scheduled") ? rest.data : "0", (int) flags.len, flags.data,
               (int) queue.len, queue.data, line, (int) tail.len, tail.data);
}

static int read_text(Arena *arena, const char *text, Job *job, Str *holder)
{
    Buf out = { 0 };
    int r = value_to_record(arena, str_from_c(ID), str_from_c(text), -1, &out, holder);
    Str record = r == 0 ? arena_copy(arena, buf_str(&out)) : (Str){ 0 };

    buf_deinit(&out);
    return r < 0 ? r : record_decode(arena, record, job);
}

TEST(a_plain_job_is_short_and_readable)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };
    JobSpec spec = { .id = the_id(), .type = STR_C("noop"), .args = STR_C("[1,2]") };

    text_of(&arena, &spec, 1763735520123, "7", &text);
    EXPECT_STR(buf_str(&text), STR_C("available 0 0 - - default 0 0 0 0 0 7 = 1763735520123 3 0\n"
                                     "type 4 noop\nargs 5 [1,2]\n"));
}

TEST(everything_a_job_can_have_comes_back)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf text = { 0 }, record = { 0 };
    Str patterns[] = { STR_C("auth.*"), STR_C(""), STR_C("a 5:b\n") }, holder;
    JobRetry retry = { .max_attempts = 9,
                       .backoff = JOB_BACKOFF_POLYNOMIAL,
                       .coefficient = 1.1,
                       .initial_ms = 7,
                       .max_ms = INT64_C(1) << 50,
                       .has_jitter = true,
                       .on_exhaustion = JOB_EXHAUSTION_DEAD_LETTER,
                       .non_retryable = patterns,
                       .n_non_retryable = 3 };
    JobSpec spec = { .id = the_id(),
                     .type = STR_C("a type\nargs 3 no"),
                     .queue = STR_C("q *%\n\x7f\xc3\xa4"),
                     .args = STR_C("[\"\n\"]"),
                     .meta = STR_C("{}"),
                     .extra = STR_C("\"x\":1"),
                     .priority = -100,
                     .run_at_ms = 5000,
                     .expires_at_ms = 6000,
                     .timeout_ms = 70,
                     .lease_ms = 80,
                     .directive = JOB_DIRECTIVE_TERMINATE,
                     .retry = &retry };
    Job job, want;

    text_of(&arena, &spec, 1000, "0", &text);
    REQUIRE(buf_check(&text) == 0);
    EXPECT_OK(read_text(&arena, arena_copy_c(&arena, buf_str(&text)), &job, &holder));
    record_encode(&record, &spec, 1000);
    EXPECT_OK(record_decode(&arena, buf_str(&record), &want));
    EXPECT_STR(job.type, want.type);
    EXPECT_STR(job.queue, want.queue);
    EXPECT_STR(job.args, want.args);
    EXPECT_STR(job.meta, want.meta);
    EXPECT_STR(job.extra, want.extra);
    EXPECT_EQ(job.state, JOB_SCHEDULED);
    EXPECT_EQ(job.priority, -100);
    EXPECT_EQ(job.run_at_ms, 5000);
    EXPECT_EQ(job.expires_at_ms, 6000);
    EXPECT_EQ(job.timeout_ms, 70);
    EXPECT_EQ(job.lease_ms, 80);
    EXPECT_EQ(job.directive, JOB_DIRECTIVE_TERMINATE);
    EXPECT_EQ(job.retry.backoff, JOB_BACKOFF_POLYNOMIAL);
    EXPECT(job.retry.coefficient == 1.1);
    EXPECT_EQ(job.retry.initial_ms, 7);
    EXPECT_EQ(job.retry.max_ms, INT64_C(1) << 50);
    EXPECT(job.retry.has_jitter);
    EXPECT_EQ(job.retry.on_exhaustion, JOB_EXHAUSTION_DEAD_LETTER);
    EXPECT_EQ(job.retry.max_attempts, 9);
    REQUIRE(job.retry.n_non_retryable == 3);
    for (size_t i = 0; i < 3; i++)
        EXPECT_STR(job.retry.non_retryable[i], patterns[i]);
}

TEST(an_active_job_has_its_holder_and_its_errors)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf text = { 0 };
    JobError error = { .type = STR_C("E"),
                       .code = STR_C(""),
                       .message = STR_C("3:x \n"),
                       .is_final = true,
                       .attempt = 2,
                       .at_ms = 99 };
    Str holder;
    Job job;

    buf_add_c(&text, "active 500 3 - w%20%2A q 2 400 100 1 9 12 300 200 5 0\ntype 1 t\n");
    EXPECT_OK(value_add_error(&arena, &text, &error));
    value_add_result(&text, STR_C("{}"));
    EXPECT_OK(read_text(&arena, arena_copy_c(&arena, buf_str(&text)), &job, &holder));
    EXPECT_STR(holder, STR_C("w *"));
    EXPECT_EQ(job.fence, 3);
    EXPECT_EQ(job.attempt, 2);
    EXPECT_EQ(job.lost, 1);
    EXPECT_EQ(job.retry_delay_ms, 9);
    EXPECT_EQ(job.lease_until_ms, 500);
    EXPECT_EQ(job.enqueued_ms, 300);
    REQUIRE(job.n_errors == 1);
    EXPECT_STR(job.errors[0].message, error.message);
    EXPECT_EQ(job.errors[0].attempt, 2);
    EXPECT(job.errors[0].is_final);
    EXPECT_STR(job.result, STR_C("{}"));
}

TEST(names_become_fields_and_come_back)
{
    static const char *const names[] = { "", "-", "a", "a b", "%", "*", "\n\t", "x:y/z", "%41" };
    AUTO(arena_deinit) Arena arena = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO(buf_deinit) Buf text = { 0 };
        Str name;

        value_add_name(&text, str_from_c(names[i]));
        EXPECT(text.len > 0 && str_find(buf_str(&text), ' ') < 0 &&
               str_find(buf_str(&text), '\n') < 0);
        EXPECT(value_take_name(&arena, buf_str(&text), &name));
        EXPECT_C(names[i], arena_copy_c(&arena, name));
    }
}

TEST(what_a_stranger_wrote_is_refused_with_words)
{
    static const char *const texts[] = {
        "",
        "hello",
        "available 0 0 - - q 0 0 0 0 0 1 = 5 3 0",
        "available 0 0 - - q 0 0 0 0 0 1 = 5 3 0\n",
        "available 0 0 - - q 0 0 0 0 0 1 = 5 3\ntype 1 t\n",
        "availablE 0 0 - - q 0 0 0 0 0 1 = 5 3 0\ntype 1 t\n",
        "available x 0 - - q 0 0 0 0 0 1 = 5 3 0\ntype 1 t\n",
        "available 0 4294967296 - - q 0 0 0 0 0 1 = 5 3 0\ntype 1 t\n",
        "available 0 0 T - q 0 0 0 0 0 1 = 5 3 0\ntype 1 t\n",
        "available 0 0 R - q 0 0 0 0 0 1 = 5 3 0 why\ntype 1 t\n",
        "available 0 0 Z - q 0 0 0 0 0 1 = 5 3 0\ntype 1 t\n",
        "available 0 0 - - - 0 0 0 0 0 1 = 5 3 0\ntype 1 t\n",
        "available 0 0 - %4 q 0 0 0 0 0 1 = 5 3 0\ntype 1 t\n",
        "available 0 0 - - q 0 0 0 0 0 281474976710656 = 5 3 0\ntype 1 t\n",
        "available 0 0 - - q 0 0 0 0 0 1 = 5 3 40000\ntype 1 t\n",
        "available 0 0 - - q 0 0 0 0 0 1 = 5 3 0\ntype 2 t\n",
        "available 0 0 - - q 0 0 0 0 0 1 = 5 3 0\ntype 1 tx\n",
        "available 0 0 - - q 0 0 0 0 0 1 = 5 3 0\ntype 1 t\nnews 1 x\n",
        "available 0 0 - - q 0 0 0 0 0 1 = 5 3 0\nargs 2 []\n",
        "available 0 0 - - q 0 0 0 0 0 1 = 5 3 0\ntype 1 t\nretry 3 a b\n",
        "available 0 0 - - q 0 0 0 0 0 1 = 5 3 0\ntype 1 t\nretry 18 none nan 1 1 exact\n",
        "available 0 0 - - q 0 0 0 0 0 1 = 5 3 0\ntype 1 t\nerror 11 1 1 final 9:\n",
        "available 0 0 - - q 0 0 0 0 0 1 = 5 3 0\ntype 1 t\nrun_at 1 x\n",
        "available 0 0 - - q 0 0 0 0 0 1 = 5 3 0\ntype 1 t\nx200 1 x\n",
    };
    AUTO(arena_deinit) Arena arena = { 0 };
    Str holder;
    Job job;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        int r = read_text(&arena, texts[i], &job, &holder);
        if (r != -ERR_STORE_FORMAT)
            test_fail(__FILE__, __LINE__, "text %zu: %d", i, r);
        else
            EXPECT(strstr(err_text(r), "not as Sluice writes it") != NULL);
    }
}

TEST_MAIN()
