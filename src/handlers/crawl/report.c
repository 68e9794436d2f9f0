/*
 * The report in words and as JSON. Numbers for people have their thousands parted by a space, as
 * in "1 240 pages".
 */
#include "handlers/crawl/report.h"

#include "base/macro.h"
#include "codec/http_text.h"

#include <stdio.h>

#define PAUSE_SHOWN_MS 10 /* a shorter one is nothing to speak of */

uint64_t report_pages(const CrawlReport *report)
{
    uint64_t n = 0;

    for (CrawlOutcome i = 0; i < CRAWL_OUTCOME_COUNT; i++)
        if (crawl_outcome_class(i) == CRAWL_CLASS_PAGE)
            n += report->outcomes[i];
    return n;
}

uint64_t report_errors(const CrawlReport *report)
{
    uint64_t n = 0;

    for (CrawlOutcome i = 0; i < CRAWL_OUTCOME_COUNT; i++)
        if (crawl_outcome_is_error(i))
            n += report->outcomes[i];
    return n;
}

/* ---- numbers for people ---------------------------------------------------------------------- */

static void add_number(Buf *out, uint64_t n)
{
    char digits[32];
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long) n);

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            buf_add_char(out, ' ');
        buf_add_char(out, digits[i]);
    }
}

static void add_count(Buf *out, uint64_t n, const char *one, const char *many)
{
    add_number(out, n);
    buf_printf(out, " %s", n == 1 ? one : many);
}

static void add_bytes(Buf *out, uint64_t bytes)
{
    static const char *const units[] = { "bytes", "kB", "MB", "GB", "TB" };
    double value = (double) bytes;
    size_t unit = 0;

    while (value >= 1000 && unit + 1 < ARRAY_LEN(units)) {
        value /= 1000;
        unit++;
    }
    buf_printf(out, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void add_seconds(Buf *out, int64_t ns)
{
    double s = (double) ns / NS_PER_S;

    if (s < 60)
        buf_printf(out, s < 10 ? "%.2f s" : "%.1f s", s);
    else
        buf_printf(out, "%lld:%02lld min", (long long) (s / 60), (long long) s % 60);
}

static double rate_of(uint64_t pages, int64_t ns)
{
    return ns > 0 ? (double) pages * NS_PER_S / (double) ns : 0;
}

static void add_rate(Buf *out, double rate)
{
    if (rate < 10)
        buf_printf(out, "%.1f", rate);
    else
        add_number(out, (uint64_t) rate);
    buf_add_c(out, "/s");
}

void report_progress(const CrawlReport *report, int64_t now_ns, uint64_t queued, Buf *out)
{
    uint64_t pages = report_pages(report);
    uint64_t ended = pages + report_errors(report);
    double rate = rate_of(ended, now_ns - report->started_ns);

    add_count(out, pages, "page", "pages");
    buf_add_c(out, " · ");
    add_rate(out, rate);
    buf_add_c(out, " · queue ");
    add_number(out, queued);
    buf_add_c(out, " · ");
    add_count(out, report_errors(report), "error", "errors");
    if (rate > 0 && queued) {
        uint64_t left_s = (uint64_t) ((double) queued / rate + 0.5);

        buf_printf(out, " · ETA %llu:%02llu", (unsigned long long) left_s / 60,
                   (unsigned long long) left_s % 60);
    }
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void write_sum(const CrawlReport *report, Buf *out)
{
    uint64_t pages = report_pages(report);

    add_count(out, pages, "page", "pages");
    buf_add_c(out, " in ");
    add_seconds(out, report->took_ns);
    buf_add_c(out, ", ");
    add_rate(out, rate_of(pages, report->took_ns));
    buf_add_c(out, " · ");
    add_count(out, report->rows, "row", "rows");
    buf_add_c(out, " · ");
    add_bytes(out, report->bytes_wire);
    if (report->bytes_body > report->bytes_wire) {
        buf_add_c(out, " (unpacked ");
        add_bytes(out, report->bytes_body);
        buf_add_c(out, ")");
    }
    buf_add_c(out, "\n");
    if (report->done_before) {
        buf_add_c(out, "  before this run: ");
        add_count(out, report->done_before, "page", "pages");
        buf_add_c(out, "\n");
    }
}

static void write_statuses(const CrawlReport *report, Buf *out)
{
    bool is_first = true;

    for (int i = 0; i < REPORT_STATUSES; i++) {
        if (!report->statuses[i])
            continue;
        buf_add_c(out, is_first ? "  answers: " : ", ");
        add_number(out, report->statuses[i]);
        buf_printf(out, " × %d %s", i, http_reason(i));
        is_first = false;
    }
    if (!is_first)
        buf_add_c(out, "\n");
    if (report->retries) {
        buf_add_c(out, "  tried again: ");
        add_number(out, report->retries);
        buf_add_c(out, "\n");
    }
}

static void write_class(const CrawlReport *report, CrawlOutcomeClass class, const char *title,
                        Buf *out)
{
    for (CrawlOutcome i = 0; i < CRAWL_OUTCOME_COUNT; i++) {
        if (crawl_outcome_class(i) != class || !report->outcomes[i] || i == CRAWL_DONE ||
            i == CRAWL_SEEN)
            continue;
        buf_printf(out, "  %s: ", title);
        add_number(out, report->outcomes[i]);
        buf_printf(out, " %s: %s\n", crawl_outcome_word(i), crawl_outcome_text(i));
    }
}

static void write_fields(const CrawlReport *report, Buf *out)
{
    for (size_t i = 0; report->plan && i < html_plan_len(report->plan); i++) {
        const HtmlFieldCounts *field = &report->fields[i];
        uint64_t all = field->found + field->missing + field->mismatch + field->cut;
        Str name = html_plan_name(report->plan, i);

        if (field->missing) {
            buf_printf(out, "  %.*s: missing in ", (int) name.len, name.data);
            add_number(out, field->missing);
            buf_add_c(out, " of ");
            add_count(out, all, "record", "records");
            buf_add_c(out, "\n");
        }
        if (field->mismatch) {
            buf_printf(out, "  %.*s: not what its filters want in ", (int) name.len, name.data);
            add_number(out, field->mismatch);
            buf_add_c(out, " of ");
            add_count(out, all, "record", "records");
            buf_add_c(out, "\n");
        }
    }
}

static void write_hosts(const CrawlReport *report, Buf *out)
{
    for (size_t i = 0; i < report->n_slowest; i++) {
        const HostReport *host = &report->slowest[i];

        buf_printf(out, "  %s %.*s: ", report->n_slowest > 1 ? "slowest" : "host",
                   (int) host->host.len, host->host.data);
        add_count(out, host->requests, "request", "requests");
        buf_printf(out, ", %.1f ms on average, %.1f ms at most",
                   host->requests
                       ? (double) host->latency_sum_ns / NS_PER_MS / (double) host->requests
                       : 0.0,
                   (double) host->latency_max_ns / NS_PER_MS);
        if (host->is_delay_capped)
            buf_printf(out, "; its robots.txt asks for a pause of %.1f s, which was cut to %.1f s",
                       (double) host->crawl_delay_ms / 1000, (double) host->delay_ms / 1000);
        else if (host->delay_ms >= PAUSE_SHOWN_MS)
            buf_printf(out, "; paused %.2f s between pages", (double) host->delay_ms / 1000);
        if (host->throttled)
            buf_printf(out, "; asked us to slow down %u times", host->throttled);
        buf_add_c(out, "\n");
    }
}

/* "  robots.txt of https://shop.test: line 12: Disallow: /cart (group of *): 20 pages" */
static void write_note(const Note *note, Buf *out)
{
    static const struct {
        const char *before, *between, *one, *many; /* one NULL: its count says nothing */
    } words[] = {
        [NOTE_ROBOTS_RULE] = { "robots.txt of ", ": ", "page", "pages" },
        [NOTE_ROBOTS_UNREACHABLE] = { "robots.txt of ", " cannot be had: ", "page", "pages" },
        [NOTE_ROBOTS_CUT] = { "robots.txt of ", " is too long: ", NULL, NULL },
        [NOTE_SITEMAP_CUT] = { "sitemap ", " was not read to its end: ", NULL, NULL },
        [NOTE_SITEMAP_SKIPPED] = { "sitemap ", ": ", "entry", "entries" },
    };

    STATIC_ASSERT(ARRAY_LEN(words) == NOTE_KIND_COUNT, "words for each kind");
    buf_printf(out, "  %s%.*s%s%.*s", words[note->kind].before, (int) note->subject.len,
               note->subject.data, words[note->kind].between, (int) note->why.len, note->why.data);
    if (words[note->kind].one) {
        buf_add_c(out, ": ");
        add_count(out, note->count, words[note->kind].one, words[note->kind].many);
    }
    buf_add_c(out, "\n");
}

static void write_notes(const CrawlReport *report, Buf *out)
{
    for (size_t i = 0; i < report->n_notes; i++)
        write_note(&report->notes[i], out);
    if (report->more_notes) {
        buf_add_c(out, "  and ");
        add_count(out, report->more_notes, "other reason", "other reasons");
        buf_add_c(out, " like these\n");
    }
}

void report_write_text(const CrawlReport *report, Buf *out)
{
    write_sum(report, out);
    write_statuses(report, out);
    write_class(report, CRAWL_CLASS_PAGE, "pages", out);
    write_class(report, CRAWL_CLASS_ERROR, "failed", out);
    write_class(report, CRAWL_CLASS_LINK, "left out", out);
    if (report->duplicates > report->outcomes[CRAWL_DUPLICATE])
        buf_printf(out, "  the same content as another page, kept: %llu\n",
                   (unsigned long long) (report->duplicates - report->outcomes[CRAWL_DUPLICATE]));
    if (report->cut)
        buf_printf(out, "  read in part, being longer than is read: %llu\n",
                   (unsigned long long) report->cut);
    write_notes(report, out);
    write_fields(report, out);
    write_hosts(report, out);
    if (report->ignored_robots)
        buf_add_c(out, "  robots.txt was NOT asked (--ignore-robots)\n");
    if (report->queued) {
        buf_add_c(out, "  not fetched: ");
        add_count(out, report->queued, "page", "pages");
        buf_add_c(out, " in the queue\n");
    }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_class(const CrawlReport *report, CrawlOutcomeClass class, const char *name,
                       JsonWriter *writer)
{
    json_write_key(writer, name);
    json_write_object(writer);
    for (CrawlOutcome i = 0; i < CRAWL_OUTCOME_COUNT; i++)
        if (crawl_outcome_class(i) == class && report->outcomes[i])
            json_write_member_u64(writer, crawl_outcome_word(i), report->outcomes[i]);
    json_write_object_end(writer);
}

static void json_statuses(const CrawlReport *report, JsonWriter *writer)
{
    char status[16];

    json_write_key(writer, "statuses");
    json_write_object(writer);
    for (int i = 0; i < REPORT_STATUSES; i++) {
        if (!report->statuses[i])
            continue;
        (void) snprintf(status, sizeof(status), "%d", i);
        json_write_member_u64(writer, status, report->statuses[i]);
    }
    json_write_object_end(writer);
}

static void json_fields(const CrawlReport *report, JsonWriter *writer)
{
    json_write_key(writer, "fields");
    json_write_object(writer);
    for (size_t i = 0; report->plan && i < html_plan_len(report->plan); i++) {
        json_write_key_str(writer, html_plan_name(report->plan, i));
        json_write_object(writer);
        json_write_member_u64(writer, "found", report->fields[i].found);
        json_write_member_u64(writer, "missing", report->fields[i].missing);
        json_write_member_u64(writer, "mismatch", report->fields[i].mismatch);
        json_write_member_u64(writer, "cut", report->fields[i].cut);
        json_write_object_end(writer);
    }
    json_write_object_end(writer);
}

static void json_hosts(const CrawlReport *report, JsonWriter *writer)
{
    json_write_key(writer, "slowest_hosts");
    json_write_array(writer);
    for (size_t i = 0; i < report->n_slowest; i++) {
        const HostReport *host = &report->slowest[i];

        json_write_object(writer);
        json_write_member_str(writer, "host", host->host);
        json_write_member_u64(writer, "requests", host->requests);
        json_write_member_u64(writer, "errors", host->errors);
        json_write_member_u64(writer, "bytes", host->bytes);
        json_write_member_real(writer, "latency_mean_ms",
                               host->requests ? (double) host->latency_sum_ns / NS_PER_MS /
                                                    (double) host->requests
                                              : 0.0);
        json_write_member_real(writer, "latency_max_ms", (double) host->latency_max_ns / NS_PER_MS);
        json_write_member_i64(writer, "delay_ms", host->delay_ms);
        json_write_member_u64(writer, "throttled", host->throttled);
        json_write_object_end(writer);
    }
    json_write_array_end(writer);
}

static void json_notes(const CrawlReport *report, JsonWriter *writer)
{
    json_write_key(writer, "notes");
    json_write_array(writer);
    for (size_t i = 0; i < report->n_notes; i++) {
        const Note *note = &report->notes[i];

        json_write_object(writer);
        json_write_member_str(writer, "kind", str_from_c(note_word(note->kind)));
        json_write_member_str(writer, "subject", note->subject);
        json_write_member_str(writer, "why", note->why);
        json_write_member_u64(writer, "count", note->count);
        json_write_object_end(writer);
    }
    json_write_array_end(writer);
    json_write_member_u64(writer, "more_notes", report->more_notes);
}

void report_write_json(const CrawlReport *report, JsonWriter *writer)
{
    json_write_member_u64(writer, "pages", report_pages(report));
    json_write_member_u64(writer, "rows", report->rows);
    json_write_member_u64(writer, "errors", report_errors(report));
    json_write_member_bool(writer, "stopped", report->was_stopped);
    json_write_member_u64(writer, "queued", report->queued);
    json_write_member_u64(writer, "done_before", report->done_before);
    json_write_member_time_ms(writer, "started_at", report->started_ms);
    json_write_member_real(writer, "seconds", (double) (report->took_ns / NS_PER_US) / 1e6);
    json_write_member_real(
        writer, "pages_per_second",
        (double) (int64_t) (rate_of(report_pages(report), report->took_ns) * 10) / 10);
    json_write_member_u64(writer, "bytes_wire", report->bytes_wire);
    json_write_member_u64(writer, "bytes_body", report->bytes_body);
    json_write_member_u64(writer, "answers", report->answers);
    json_write_member_u64(writer, "retries", report->retries);
    json_write_member_u64(writer, "links", report->links);
    json_write_member_u64(writer, "duplicates", report->duplicates);
    json_write_member_u64(writer, "cut", report->cut);
    json_write_member_u64(writer, "robots_fetched", report->robots_fetched);
    json_write_member_bool(writer, "ignored_robots", report->ignored_robots);
    json_write_member_u64(writer, "cookies", report->cookies);
    json_class(report, CRAWL_CLASS_PAGE, "page_outcomes", writer);
    json_class(report, CRAWL_CLASS_ERROR, "error_outcomes", writer);
    json_class(report, CRAWL_CLASS_LINK, "left_out", writer);
    json_notes(report, writer);
    json_statuses(report, writer);
    json_fields(report, writer);
    json_hosts(report, writer);
}
