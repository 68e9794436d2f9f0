/*
 * Log lines: made in a buffer of the thread, written with one write(2), remembered in a ring.
 *
 *   logfmt  time=2026-11-21T03:00:00.123Z level=info msg="job leased" job=0193… waited=12ms
 *   JSON    {"time":"2026-11-21T03:00:00.123Z","level":"info","msg":"job leased","waited_ms":12}
 *
 * Context fields come first, outermost first; a field whose key comes again nearer to the event is
 * left out. Values are hostile: they are cut to LIMIT_LOG_FIELD_BYTES, and whatever could end a
 * line, move a terminal's cursor, reorder text or break a parser is escaped, so that one event is
 * one line whatever the field holds. A line is at most LIMIT_LOG_LINE_BYTES, which is what a pipe
 * takes in one piece, so lines of several threads never mix.
 *
 * A line that the descriptor does not take at once (a full pipe that must not block) is counted,
 * and the next line says how many are missing. The ring is guarded by a spin lock that the panic
 * report only tries: a torn last line is better than no report.
 */
#include "base/log.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

_Thread_local LogContext *log_context;

int log_threshold = LOG_INFO;

/* Where lines go. */
static struct {
    atomic_int fd;
    atomic_int format; /* a LogFormat */
    _Atomic(int64_t (*)(void)) clock;
    atomic_llong dropped; /* lines not taken since the last that was */
} log_sink = { .fd = STDERR_FILENO, .format = LOG_FORMAT_AUTO };

static _Thread_local char log_line[LIMIT_LOG_LINE_BYTES];

/* What is kept free behind the fields, for " cut=true", the closing brace and the end of line. */
enum { TAIL_BYTES = 24, RING_SPINS = 100 };

STATIC_ASSERT(LIMIT_LOG_FIELD_BYTES * 6 + 256 < LIMIT_LOG_LINE_BYTES,
              "one field fits a line, however it is escaped");

/* ---- the ring ---- */

typedef struct RingLine {
    size_t len;
    char text[LIMIT_LOG_RING_LINE_BYTES];
} RingLine;

static struct {
    RingLine lines[LIMIT_LOG_RING_LINES];
    uint64_t count; /* lines ever put; under the lock */
    atomic_flag lock;
} log_ring = { .lock = ATOMIC_FLAG_INIT };

static void ring_put(const char *line, size_t len)
{
    RingLine *slot;

    for (unsigned spins = 0;
         atomic_flag_test_and_set_explicit(&log_ring.lock, memory_order_acquire); spins++) {
        if (spins > RING_SPINS)
            sched_yield();
    }
    slot = &log_ring.lines[log_ring.count++ % LIMIT_LOG_RING_LINES];
    slot->len = MIN(len, sizeof slot->text);
    memcpy(slot->text, line, slot->len);
    slot->text[slot->len - 1] = '\n';
    atomic_flag_clear_explicit(&log_ring.lock, memory_order_release);
}

void log_dump_ring(int fd)
{
    bool is_held = false;
    uint64_t first;

    for (unsigned spins = 0; !is_held && spins < RING_SPINS * RING_SPINS; spins++)
        is_held = !atomic_flag_test_and_set_explicit(&log_ring.lock, memory_order_acquire);

    first = log_ring.count > LIMIT_LOG_RING_LINES ? log_ring.count - LIMIT_LOG_RING_LINES : 0;
    for (uint64_t i = first; i < log_ring.count; i++) {
        const RingLine *slot = &log_ring.lines[i % LIMIT_LOG_RING_LINES];
        ssize_t n = write(fd, slot->text, MIN(slot->len, sizeof slot->text));

        (void) n; /* a report that cannot be written has no reader */
    }
    if (is_held)
        atomic_flag_clear_explicit(&log_ring.lock, memory_order_release);
}

/* ---- a line in the making ---- */

typedef struct Line {
    char *at;
    char *end; /* of what fields may use */
    bool is_json;
    bool is_full; /* the piece being added did not fit */
    bool is_cut;  /* a field was left out */
} Line;

static void add(Line *line, const char *data, size_t len)
{
    if (line->is_full || len > (size_t) (line->end - line->at)) {
        line->is_full = true;
        return;
    }
    memcpy(line->at, data, len);
    line->at += len;
}

static void add_c(Line *line, const char *text)
{
    add(line, text, strlen(text));
}

static void SL_PRINTF(2, 3) add_f(Line *line, const char *fmt, ...)
{
    char piece[64];
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(piece, sizeof piece, fmt, args);
    va_end(args);
    if (len > 0)
        add(line, piece, MIN((size_t) len, sizeof piece - 1));
}

static uint32_t utf8_value(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *) text;
    uint32_t value = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));

    for (size_t i = 1; i < n; i++)
        value = value << 6 | (p[i] & 0x3fu);
    return value;
}

/* Characters that act on a terminal or a reader instead of showing: controls, line separators,
 * direction overrides. */
static bool acts(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

/* S between double quotes, with the escapes of JSON. */
static void add_quoted(Line *line, Str s)
{
    add(line, "\"", 1);
    for (size_t i = 0; i < s.len;) {
        size_t n = str_utf8_len(str_from(s.data + i, s.len - i));
        uint32_t c = n ? utf8_value(s.data + i, n) : 0xfffd;

        if (c == '"' || c == '\\')
            add_f(line, "\\%c", (char) c);
        else if (c == '\n')
            add(line, "\\n", 2);
        else if (n == 0 || acts(c))
            add_f(line, "\\u%04" PRIx32, c);
        else
            add(line, s.data + i, n);
        i += n ? n : 1;
    }
    add(line, "\"", 1);
}

/* Whether logfmt may show S without quotes. */
static bool is_plain(Str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];

        if (c <= ' ' || c > '~' || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return s.len > 0;
}

static void add_text(Line *line, Str s)
{
    if (!line->is_json && s.len <= LIMIT_LOG_FIELD_BYTES && is_plain(s)) {
        add(line, s.data, s.len);
        return;
    }
    if (s.len <= LIMIT_LOG_FIELD_BYTES) {
        add_quoted(line, s);
        return;
    }
    add_quoted(line, str_cut_utf8(s, LIMIT_LOG_FIELD_BYTES));
    if (!line->is_full) {
        line->at--;
        add_c(line, "\xe2\x80\xa6\"");
    }
}

static void add_real(Line *line, double value)
{
    if (line->is_json && !isfinite(value))
        add_c(line, "null");
    else
        add_f(line, "%.6g", value);
}

static void add_value(Line *line, const LogField *field)
{
    switch (field->kind) {
    case LOG_KIND_STR: add_text(line, field->str); break;
    case LOG_KIND_INT: add_f(line, "%" PRId64, field->i64); break;
    case LOG_KIND_UINT: add_f(line, "%" PRIu64, field->u64); break;
    case LOG_KIND_REAL: add_real(line, field->real); break;
    case LOG_KIND_BOOL: add_c(line, field->is_true ? "true" : "false"); break;
    case LOG_KIND_MS: add_f(line, line->is_json ? "%" PRId64 : "%" PRId64 "ms", field->i64); break;
    }
}

static void add_key(Line *line, const char *key, const char *suffix)
{
    add_f(line, line->is_json ? ",\"%.40s%s\":" : " %.40s%s=", key, suffix);
}

/* The whole field or, when it does not fit, nothing. */
static void add_field(Line *line, const LogField *field)
{
    char *start = line->at;

    ASSERT(field->key);
    add_key(line, field->key, line->is_json && field->kind == LOG_KIND_MS ? "_ms" : "");
    add_value(line, field);
    if (line->is_full) {
        line->at = start;
        line->is_full = false;
        line->is_cut = true;
    }
}

/* Whether KEY comes again: in a context inside UNTIL, or among the fields of the event. */
static bool is_hidden(const char *key, const LogContext *until, const LogField *fields, size_t n)
{
    for (const LogContext *inner = log_context; inner != until; inner = inner->outer) {
        if (strcmp(inner->field.key, key) == 0)
            return true;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(fields[i].key, key) == 0)
            return true;
    }
    return false;
}

static void add_context(Line *line, const LogField *fields, size_t n)
{
    const LogContext *layers[LIMIT_LOG_CONTEXT];
    size_t depth = 0;

    for (const LogContext *c = log_context; c && depth < ARRAY_LEN(layers); c = c->outer)
        layers[depth++] = c;
    while (depth-- > 0) {
        if (!is_hidden(layers[depth]->field.key, layers[depth], fields, n))
            add_field(line, &layers[depth]->field);
    }
}

/* Year, month and day of a day counted from 1970-01-01 (Hinnant's civil_from_days). */
static void add_time(Line *line, int64_t now_ms)
{
    int64_t days = (now_ms >= 0 ? now_ms : now_ms - 86399999) / 86400000;
    int64_t left = now_ms - days * 86400000;
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int day = (int) (doy - (153 * mp + 2) / 5 + 1);
    int month = (int) (mp < 10 ? mp + 3 : mp - 9);
    int year = (int) (yoe + era * 400 + (month <= 2));

    add_f(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", year, month, day, (int) (left / 3600000),
          (int) (left / 60000 % 60), (int) (left / 1000 % 60), (int) (left % 1000));
}

static int64_t clock_ms(void)
{
    int64_t (*clock)(void) = atomic_load_explicit(&log_sink.clock, memory_order_relaxed);
    struct timespec now;

    if (clock)
        return clock();
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const char *level_name(LogLevel level)
{
    switch (level) {
    case LOG_DEBUG: return "debug";
    case LOG_INFO: return "info";
    case LOG_WARN: return "warn";
    case LOG_ERROR: return "error";
    case LOG_OFF: return "off";
    }
    return "off";
}

static LogFormat format_in_use(void)
{
    LogFormat format = (LogFormat) atomic_load_explicit(&log_sink.format, memory_order_relaxed);

    if (format == LOG_FORMAT_AUTO) {
        format = isatty(atomic_load(&log_sink.fd)) ? LOG_FORMAT_LOGFMT : LOG_FORMAT_JSON;
        atomic_store_explicit(&log_sink.format, (int) format, memory_order_relaxed);
    }
    return format;
}

static void add_head(Line *line, LogLevel level, const char *message)
{
    add_c(line, line->is_json ? "{\"time\":\"" : "time=");
    add_time(line, clock_ms());
    add_c(line, line->is_json ? "\",\"level\":\"" : " level=");
    add_c(line, level_name(level));
    add_c(line, line->is_json ? "\",\"msg\":" : " msg=");
    add_text(line, str_from_c(message));
}

static void write_line(const char *line, size_t len, long long dropped)
{
    ssize_t n;

    do {
        n = write(atomic_load_explicit(&log_sink.fd, memory_order_relaxed), line, len);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        atomic_fetch_add(&log_sink.dropped, dropped + 1);
}

void log_event(LogLevel level, const char *message, const LogField *fields, size_t n)
{
    Line line = { .at = log_line, .end = log_line + sizeof log_line - TAIL_BYTES };
    int saved_errno = errno;
    long long dropped = atomic_exchange_explicit(&log_sink.dropped, 0, memory_order_relaxed);

    line.is_json = format_in_use() == LOG_FORMAT_JSON;
    add_head(&line, level, message);
    add_context(&line, fields, n);
    for (size_t i = 0; i < n; i++)
        add_field(&line, &fields[i]);
    if (dropped > 0)
        add_field(&line, &L_INT("lines_dropped", dropped));

    line.end += TAIL_BYTES;
    if (line.is_cut)
        add_c(&line, line.is_json ? ",\"cut\":true" : " cut=true");
    add_c(&line, line.is_json ? "}\n" : "\n");
    ASSERT(!line.is_full);

    ring_put(log_line, (size_t) (line.at - log_line));
    write_line(log_line, (size_t) (line.at - log_line), dropped);
    errno = saved_errno;
}

/* ---- context and setting up ---- */

void log_push(LogContext *context, LogField field)
{
    ASSERT(field.key);
    *context = (LogContext){ .outer = log_context, .field = field };
    log_context = context;
}

void log_pop(LogContext *context)
{
    ASSERT(log_context == context);
    log_context = context->outer;
}

void log_format_context(char *out, size_t bytes)
{
    Line line = { .at = out, .end = out + bytes - 1 };

    ASSERT(bytes > 0);
    add_context(&line, NULL, 0);
    *line.at = '\0';
    if (line.at > out)
        memmove(out, out + 1, (size_t) (line.at - out));
}

void log_set_clock(int64_t (*now_ms)(void))
{
    atomic_store(&log_sink.clock, now_ms);
}

void log_setup(LogLevel level, LogFormat format, int fd)
{
    atomic_store(&log_sink.fd, fd);
    atomic_store(&log_sink.format, (int) format);
    __atomic_store_n(&log_threshold, (int) level, __ATOMIC_RELAXED);
}

bool log_level_parse(Str text, LogLevel *ret_level)
{
    for (int level = LOG_DEBUG; level <= LOG_OFF; level++) {
        if (str_eq_c(text, level_name((LogLevel) level))) {
            *ret_level = (LogLevel) level;
            return true;
        }
    }
    return false;
}
