/*
 * Catches: an exposition that Prometheus would refuse, label values that break out of their quotes
 * or grow without bound, histogram counts that do not agree, and additions lost between threads.
 */
#include "base/metrics.h"

#include "base/limits.h"
#include "base/rand.h"
#include "base/test.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>

/* A copy of the exposition that the caller frees. */
static char *exposition(void)
{
    AUTO(buf_deinit) Buf out = { 0 };

    metrics_format(&out);
    EXPECT_OK(buf_check(&out));
    return buf_take_c(&out);
}

static const char *name_end(const char *at)
{
    if (!isalpha((unsigned char) *at) && *at != '_')
        return NULL;
    while (isalnum((unsigned char) *at) || *at == '_')
        at++;
    return at;
}

/* Behind `{name="value",…}`, or NULL when it is not well formed. */
static const char *labels_end(const char *at)
{
    do {
        at = name_end(at + 1);
        if (!at || at[0] != '=' || at[1] != '"')
            return NULL;
        for (at += 2; *at != '"'; at++) {
            if (*at == '\0' || *at == '\n')
                return NULL;
            if (*at == '\\' && !strchr("\\\"n", *++at))
                return NULL;
        }
        at++;
    } while (*at == ',');
    return *at == '}' ? at + 1 : NULL;
}

/* One line by the grammar of text format 0.0.4. */
static bool is_sound_line(const char *line)
{
    char *end;

    if (strncmp(line, "# HELP ", 7) == 0 || strncmp(line, "# TYPE ", 7) == 0) {
        const char *at = name_end(line + 7);

        return at && at[0] == ' ' && at[1] != '\0';
    }
    line = name_end(line);
    if (line && *line == '{')
        line = labels_end(line);
    if (!line || *line != ' ')
        return false;
    (void) strtod(line + 1, &end);
    return end > line + 1 && *end == '\0';
}

static void expect_sound(char *text)
{
    EXPECT(str_is_utf8(str_from_c(text)));
    EXPECT(text[0] && text[strlen(text) - 1] == '\n');
    for (char *line = text, *next; *line; line = next) {
        next = strchr(line, '\n');
        *next++ = '\0';
        if (!is_sound_line(line))
            test_fail(__FILE__, __LINE__, "not a line of the format: %s", line);
    }
}

static bool has_line(const char *text, const char *line)
{
    size_t len = strlen(line);

    for (const char *at = text; (at = strstr(at, line)); at++) {
        if ((at == text || at[-1] == '\n') && at[len] == '\n')
            return true;
    }
    return false;
}

TEST(all_of_it_is_sound_even_when_hostile)
{
    AUTO(mem_free) char *text = NULL;
    Rand rand;

    metrics_reset();
    rand_init(&rand, 1);
    for (int i = 0; i < 500; i++) {
        char value[200];
        size_t len = rand_below(&rand, sizeof value);

        rand_bytes(&rand, value, len);
        for (size_t k = 0; i % 2 && k < len; k++)
            value[k] = "a\"\\\n{}=,\t "[(unsigned char) value[k] % 10];
        metrics_add_label(METRIC_JOBS_PUSHED, str_from(value, len), 1);
        metrics_observe_label(METRIC_JOB_RUN, str_from(value, len),
                              (int64_t) rand_u64(&rand) >> 20);
    }
    text = exposition();
    expect_sound(text);
    EXPECT_EQ(metrics_value(METRIC_JOBS_PUSHED), 500);
    EXPECT_EQ(metrics_value(METRIC_JOB_RUN), 500);
    metrics_reset();
}

TEST(values_are_shown)
{
    AUTO(mem_free) char *text = NULL;

    metrics_reset();
    metrics_add(METRIC_STORE_COMMITS, 2);
    metrics_add(METRIC_STORE_COMMITS, 3);
    metrics_set(METRIC_FIBERS, 41);
    metrics_add(METRIC_FIBERS, -1);
    metrics_add_label(METRIC_JOBS_PUSHED, STR_C("default"), 7);
    metrics_add_label(METRIC_JOBS_PUSHED, STR_C("a\"b\\c\nd"), 1);
    metrics_add_label(METRIC_JOBS_PUSHED, STR_C(""), 1);
    metrics_set_label(METRIC_HTTP_REQUESTS, STR_C("200"), 9);
    text = exposition();
    EXPECT(has_line(text, "# TYPE sluice_store_commits_total counter"));
    EXPECT(has_line(text, "sluice_store_commits_total 5"));
    EXPECT(has_line(text, "# TYPE sluice_fibers gauge"));
    EXPECT(has_line(text, "sluice_fibers 40"));
    EXPECT(has_line(text, "sluice_jobs_pushed_total{queue=\"default\"} 7"));
    EXPECT(has_line(text, "sluice_jobs_pushed_total{queue=\"a\\\"b\\\\c\\nd\"} 1"));
    EXPECT(has_line(text, "sluice_jobs_pushed_total{queue=\"\"} 1"));
    EXPECT(has_line(text, "sluice_http_requests_total{status=\"200\"} 9"));
    EXPECT_EQ(metrics_value(METRIC_JOBS_PUSHED), 9);
    expect_sound(text);
    metrics_reset();
    EXPECT_EQ(metrics_value(METRIC_JOBS_PUSHED), 0);
    EXPECT_EQ(metrics_value(METRIC_STORE_COMMITS), 0);
}

TEST(histograms_count_up)
{
    AUTO(mem_free) char *text = NULL;

    metrics_reset();
    metrics_observe(METRIC_JOB_WAIT, 100000); /* on the edge: in the first bucket */
    metrics_observe(METRIC_JOB_WAIT, 100001);
    metrics_observe(METRIC_JOB_WAIT, -5); /* a clock that went back counts as 0 */
    metrics_observe(METRIC_JOB_WAIT, 400000000000);
    metrics_observe_label(METRIC_JOB_RUN, STR_C("crawl"), 1500000000);
    text = exposition();
    EXPECT(has_line(text, "sluice_job_wait_seconds_bucket{le=\"0.0001\"} 2"));
    EXPECT(has_line(text, "sluice_job_wait_seconds_bucket{le=\"0.00025\"} 3"));
    EXPECT(has_line(text, "sluice_job_wait_seconds_bucket{le=\"300\"} 3"));
    EXPECT(has_line(text, "sluice_job_wait_seconds_bucket{le=\"+Inf\"} 4"));
    EXPECT(has_line(text, "sluice_job_wait_seconds_sum 400.000200001"));
    EXPECT(has_line(text, "sluice_job_wait_seconds_count 4"));
    EXPECT(has_line(text, "sluice_job_run_seconds_bucket{type=\"crawl\",le=\"1\"} 0"));
    EXPECT(has_line(text, "sluice_job_run_seconds_bucket{type=\"crawl\",le=\"2.5\"} 1"));
    EXPECT(has_line(text, "sluice_job_run_seconds_sum{type=\"crawl\"} 1.500000000"));
    EXPECT(has_line(text, "sluice_job_run_seconds_count{type=\"crawl\"} 1"));
    EXPECT_EQ(metrics_value(METRIC_JOB_WAIT), 4);
    metrics_reset();
}

TEST(label_values_are_capped)
{
    AUTO(mem_free) char *text = NULL;
    char long_value[LIMIT_METRICS_LABEL_BYTES + 1];
    char want[128];

    metrics_reset();
    memset(long_value, 'x', sizeof long_value);
    metrics_add_label(METRIC_JOBS_PUSHED, str_from(long_value, sizeof long_value), 1);
    metrics_add_label(METRIC_JOBS_PUSHED, STR_C("bad\xff"), 1);
    for (int i = 0; i < 1000; i++) {
        char value[16];
        int len = snprintf(value, sizeof value, "queue%d", i);

        metrics_add_label(METRIC_JOBS_PUSHED, str_from(value, (size_t) len), 1);
        metrics_add_label(METRIC_JOBS_PUSHED, str_from(value, (size_t) len), 1);
    }
    text = exposition();
    snprintf(want, sizeof want, "sluice_jobs_pushed_total{queue=\"other\"} %d",
             2 + 2 * (1000 - (LIMIT_METRICS_LABELS - 1)));
    EXPECT(has_line(text, want));
    EXPECT(has_line(text, "sluice_jobs_pushed_total{queue=\"queue0\"} 2"));
    EXPECT(!strstr(text, "xxxx") && !strstr(text, "bad"));
    EXPECT_EQ(metrics_value(METRIC_JOBS_PUSHED), 2002);
    metrics_reset();
}

enum { THREADS = 4, ROUNDS = 5000 };

static void *add_many(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        char value[16];
        int len = snprintf(value, sizeof value, "q%d", (i + (int) (intptr_t) arg) % 150);

        metrics_add(METRIC_STORE_OPS, 1);
        metrics_add_label(METRIC_JOBS_PUSHED, str_from(value, (size_t) len), 1);
        metrics_observe(METRIC_HTTP_SECONDS, i);
    }
    return NULL;
}

TEST(threads_lose_nothing)
{
    pthread_t threads[THREADS];
    AUTO(mem_free) char *text = NULL;

    metrics_reset();
    for (intptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, add_many, (void *) i) == 0);
    text = exposition();
    expect_sound(text);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    EXPECT_EQ(metrics_value(METRIC_STORE_OPS), THREADS * ROUNDS);
    EXPECT_EQ(metrics_value(METRIC_JOBS_PUSHED), THREADS * ROUNDS);
    EXPECT_EQ(metrics_value(METRIC_HTTP_SECONDS), THREADS * ROUNDS);
    metrics_reset();
}

TEST_MAIN()
