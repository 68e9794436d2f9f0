/*
 * The report's words and numbers, and that outcomes and errors fit together.
 */
#include "handlers/crawl/report.h"

#include "base/err.h"
#include "base/test.h"

static bool says(const Buf *text, const char *part)
{
    return str_contains(buf_str(text), str_from_c(part));
}

TEST(every_outcome_has_words_of_its_own)
{
    for (CrawlOutcome i = 0; i < CRAWL_OUTCOME_COUNT; i++) {
        EXPECT(crawl_outcome_word(i)[0] != '\0');
        EXPECT(crawl_outcome_text(i)[0] != '\0');
        for (CrawlOutcome k = 0; k < i; k++)
            EXPECT(strcmp(crawl_outcome_word(i), crawl_outcome_word(k)) != 0);
    }
}

/* Users read these words in rows and reports: the guide explains each of them. */
TEST(the_guide_knows_every_outcome)
{
    AUTO(buf_deinit) Buf path = { 0 };
    AUTO(buf_deinit) Buf guide = { 0 };
    char line[4000];
    FILE *file;

    buf_printf(&path, "%s/docs/guide/crawl.md%c", test_tree(), '\0');
    file = fopen(path.data, "r");
    REQUIRE(file);
    while (fgets(line, sizeof(line), file))
        buf_add_c(&guide, line);
    (void) fclose(file);
    for (CrawlOutcome i = 0; i < CRAWL_OUTCOME_COUNT; i++) {
        AUTO(buf_deinit) Buf word = { 0 };

        buf_printf(&word, "| `%s` |", crawl_outcome_word(i));
        EXPECT(str_contains(buf_str(&guide), buf_str(&word)));
    }
}

TEST(errors_and_statuses_have_an_outcome)
{
    EXPECT_EQ(crawl_outcome_of_error(-ERR_DNS), CRAWL_DNS);
    EXPECT_EQ(crawl_outcome_of_error(-ETIMEDOUT), CRAWL_TIMEOUT);
    EXPECT_EQ(crawl_outcome_of_error(-ERR_TOO_LARGE), CRAWL_TOO_LARGE);
    EXPECT_EQ(crawl_outcome_of_error(-ENOSPC), CRAWL_FAILED);
    EXPECT_EQ(crawl_outcome_of_status(200), CRAWL_DONE);
    EXPECT_EQ(crawl_outcome_of_status(304), CRAWL_NOT_MODIFIED);
    EXPECT_EQ(crawl_outcome_of_status(308), CRAWL_REDIRECTED);
    EXPECT_EQ(crawl_outcome_of_status(404), CRAWL_CLIENT_ERROR);
    EXPECT_EQ(crawl_outcome_of_status(429), CRAWL_RATE_LIMITED);
    EXPECT_EQ(crawl_outcome_of_status(599), CRAWL_SERVER_ERROR);
    EXPECT(crawl_outcome_is_retryable(CRAWL_SERVER_ERROR));
    EXPECT(!crawl_outcome_is_retryable(CRAWL_CLIENT_ERROR)); /* never on 4xx */
    EXPECT(!crawl_outcome_is_retryable(CRAWL_TLS));
}

TEST(progress_reads_well)
{
    AUTO(buf_deinit) Buf text = { 0 };
    CrawlReport report = { .started_ns = 0 };

    report.outcomes[CRAWL_DONE] = 1240;
    report.outcomes[CRAWL_NETWORK] = 3;
    report_progress(&report, 1531 * NS_PER_MS, 9744, &text);
    EXPECT_STR(buf_str(&text), STR_C("1 240 pages · 811/s · queue 9 744 · 3 errors · ETA 0:12"));
}

TEST(lines_name_what_was_left_out)
{
    AUTO(buf_deinit) Buf text = { 0 };
    CrawlReport report = { .took_ns = 2 * NS_PER_S, .rows = 1, .bytes_wire = 1500000 };

    report.outcomes[CRAWL_DONE] = 2000;
    report.outcomes[CRAWL_ROBOTS] = 12;
    report.outcomes[CRAWL_TIMEOUT] = 1;
    report.statuses[200] = 2000;
    report.queued = 7;
    report_write_text(&report, &text);
    EXPECT(says(&text, "2 000 pages in 2.00 s, 1 000/s · 1 row · 1.5 MB\n"));
    EXPECT(says(&text, "answers: 2 000 × 200 OK\n"));
    EXPECT(says(&text, "left out: 12 robots: robots.txt disallows it\n"));
    EXPECT(says(&text, "failed: 1 timeout: took longer than --timeout\n"));
    EXPECT(says(&text, "not fetched: 7 pages in the queue\n"));
}

TEST(json_has_only_what_happened)
{
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter writer = JSON_WRITER(&text);
    CrawlReport report = { .took_ns = NS_PER_S };

    report.outcomes[CRAWL_DONE] = 3;
    report.statuses[404] = 1;
    json_write_object(&writer);
    report_write_json(&report, &writer);
    json_write_object_end(&writer);
    EXPECT(says(&text, "\"page_outcomes\":{\"done\":3}"));
    EXPECT(says(&text, "\"error_outcomes\":{}"));
    EXPECT(says(&text, "\"statuses\":{\"404\":1}"));
}

/* What stood in the way is said with its reason. */
TEST(lines_say_why)
{
    AUTO(buf_deinit) Buf text = { 0 };
    AUTO(buf_deinit) Buf json = { 0 };
    JsonWriter writer = JSON_WRITER(&json);
    CrawlReport report = {
        .n_notes = 3,
        .notes = { { NOTE_ROBOTS_RULE, STR("http://a.test"), STR("line 2: Disallow: /x"), 1 },
                   { NOTE_ROBOTS_UNREACHABLE, STR("http://b.test"), STR("refused"), 1200 },
                   { NOTE_SITEMAP_CUT, STR("http://a.test/s.xml"), STR("50 000 URLs"), 1 } },
        .more_notes = 2,
    };

    report_write_text(&report, &text);
    EXPECT(says(&text, "  robots.txt of http://a.test: line 2: Disallow: /x: 1 page\n"));
    EXPECT(says(&text, "  robots.txt of http://b.test cannot be had: refused: 1 200 pages\n"));
    EXPECT(says(&text, "  sitemap http://a.test/s.xml was not read to its end: 50 000 URLs\n"));
    EXPECT(says(&text, "  and 2 other reasons like these\n"));
    json_write_object(&writer);
    report_write_json(&report, &writer);
    json_write_object_end(&writer);
    EXPECT(says(&json, "{\"kind\":\"robots_rule\",\"subject\":\"http://a.test\","
                       "\"why\":\"line 2: Disallow: /x\",\"count\":1}"));
    EXPECT(says(&json, "\"more_notes\":2"));
}

TEST_MAIN()
