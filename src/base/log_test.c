/*
 * Catches: a value that ends a line, breaks a parser or moves a terminal's cursor, a line that is
 * torn or lost without a word, context that leaks or hides, and a wrong date.
 */
#include "base/log.h"

#include "base/limits.h"
#include "base/rand.h"
#include "base/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <time.h>

static int64_t fixed_ms;

static int64_t clock_fixed(void)
{
    return fixed_ms;
}

/* Log to a fresh file; said() reads what is in it. */
static int capture(LogLevel level, LogFormat format)
{
    int fd = open("log", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);

    log_set_clock(clock_fixed);
    log_setup(level, format, fd);
    return fd;
}

static Str said(int fd)
{
    static char text[1 << 20];
    ssize_t n = pread(fd, text, sizeof text, 0);

    return str_from(text, n > 0 ? (size_t) n : 0);
}

static void done(int fd)
{
    log_setup(LOG_OFF, LOG_FORMAT_LOGFMT, STDERR_FILENO);
    log_set_clock(NULL);
    close(fd);
}

TEST(logfmt)
{
    int fd = capture(LOG_DEBUG, LOG_FORMAT_LOGFMT);

    fixed_ms = 1795230897123; /* 2026-11-21T03:14:57.123Z */
    log_info("job leased", L_STR("job", STR_C("0193-a")), L_MS("waited", 12),
             L_C("note", "two words"));
    log_debug("bare");
    log_warn("kinds", L_INT("i", -5), L_UINT("u", UINT64_MAX), L_REAL("r", 0.25), L_BOOL("b", true),
             L_C("e", ""), L_C("n", NULL), L_C("q", "a=\"b\\"));
    EXPECT_STR(
        said(fd),
        STR_C(
            "time=2026-11-21T03:14:57.123Z level=info msg=\"job leased\" job=0193-a waited=12ms note=\"two words\"\n"
            "time=2026-11-21T03:14:57.123Z level=debug msg=bare\n"
            "time=2026-11-21T03:14:57.123Z level=warn msg=kinds i=-5 u=18446744073709551615 r=0.25 b=true e=\"\" "
            "n=\"\" q=\"a=\\\"b\\\\\"\n"));
    done(fd);
}

TEST(json)
{
    int fd = capture(LOG_DEBUG, LOG_FORMAT_JSON);

    fixed_ms = 0;
    log_error("failed", L_C("why", "a\"b\\c\nd\x1b[2J\xff\xe2\x82\xac"), L_MS("waited", -3),
              L_REAL("nan", 0.0 / 0.0), L_BOOL("b", false));
    EXPECT_STR(
        said(fd),
        STR_C(
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"error\",\"msg\":\"failed\","
            "\"why\":\"a\\\"b\\\\c\\nd\\u001b[2J\\ufffd\xe2\x82\xac\",\"waited_ms\":-3,\"nan\":null,"
            "\"b\":false}\n"));
    done(fd);
}

/* Days at the edges of months, leap years and centuries, and some at random, against the C library.
 */
TEST(dates_agree_with_the_library)
{
    static const time_t edges[] = { 0,          -1,         951782399,  951782400,
                                    951868800,  4107542399, 4107542400, 1735689599,
                                    1735689600, 68169600,   -86400,     -86401 };
    Rand rand;

    rand_init(&rand, 1);
    for (size_t i = 0; i < 100; i++) {
        int fd = capture(LOG_INFO, LOG_FORMAT_LOGFMT);
        time_t when = i < ARRAY_LEN(edges)
                          ? edges[i]
                          : (time_t) rand_below(&rand, UINT64_C(8000000000)) - 2000000000;
        struct tm tm;
        char want[64];

        fixed_ms = (int64_t) when * 1000 + 7;
        log_info("x");
        gmtime_r(&when, &tm);
        strftime(want, sizeof want, "time=%Y-%m-%dT%H:%M:%S.007Z level", &tm);
        EXPECT(str_starts(said(fd), str_from_c(want)));
        done(fd);
    }
}

TEST(levels)
{
    LogLevel level = LOG_OFF;
    int fd = capture(LOG_WARN, LOG_FORMAT_LOGFMT);

    log_info("no");
    log_debug("no");
    EXPECT_EQ(said(fd).len, 0);
    EXPECT(!log_is_on(LOG_INFO) && log_is_on(LOG_WARN) && log_is_on(LOG_ERROR));
    log_error("yes");
    EXPECT(str_contains(said(fd), STR_C("msg=yes")));
    done(fd);
    EXPECT(!log_is_on(LOG_ERROR));
    EXPECT(log_level_parse(STR_C("debug"), &level) && level == LOG_DEBUG);
    EXPECT(log_level_parse(STR_C("off"), &level) && level == LOG_OFF);
    EXPECT(!log_level_parse(STR_C("INFO"), &level) && !log_level_parse(STR_C(""), &level));
}

TEST(context_goes_before_and_inner_wins)
{
    LogContext request, job, again;
    int fd = capture(LOG_INFO, LOG_FORMAT_LOGFMT);
    char text[64];
    char tiny[6];

    fixed_ms = 0;
    log_push(&request, L_C("request", "r1"));
    log_push(&job, L_C("job", "j1"));
    log_info("a");
    log_push(&again, L_C("request", "r2"));
    log_info("b", L_C("job", "j2"));
    log_format_context(text, sizeof text);
    EXPECT_C(text, "job=j1 request=r2");
    log_format_context(tiny, sizeof tiny);
    EXPECT_C(tiny, "");
    log_pop(&again);
    EXPECT_ABORT(log_pop(&request), "log_context == context");
    log_pop(&job);
    log_pop(&request);
    log_info("c");
    log_format_context(text, sizeof text);
    EXPECT_C(text, "");
    EXPECT(str_contains(said(fd), STR_C("msg=a request=r1 job=j1\n")));
    EXPECT(str_contains(said(fd), STR_C("msg=b request=r2 job=j2\n")));
    EXPECT(str_contains(said(fd), STR_C("msg=c\n")));
    done(fd);
}

TEST(deep_context_is_bounded)
{
    static LogContext layers[100];
    static char key[100][16];
    int fd = capture(LOG_INFO, LOG_FORMAT_LOGFMT);

    for (int i = 0; i < 100; i++) {
        snprintf(key[i], sizeof key[i], "k%d", i);
        log_push(&layers[i], L_INT(key[i], i));
    }
    log_info("deep");
    for (int i = 99; i >= 0; i--)
        log_pop(&layers[i]);
    EXPECT(str_contains(said(fd), STR_C(" k99=99\n")));
    EXPECT(str_contains(said(fd), STR_C("msg=deep k84=84 ")));
    done(fd);
}

/* A line of JSON as a strict reader sees it: one line, no control byte, UTF-8, quotes that pair up.
 */
static bool is_sound_line(Str line)
{
    bool in_text = false;

    if (line.len == 0 || line.len > LIMIT_LOG_LINE_BYTES || line.data[line.len - 1] != '\n' ||
        !str_is_utf8(line))
        return false;
    for (size_t i = 0; i + 1 < line.len; i++) {
        if ((unsigned char) line.data[i] < 0x20 || line.data[i] == 0x7f)
            return false;
        if (in_text && line.data[i] == '\\')
            i++;
        else if (line.data[i] == '"')
            in_text = !in_text;
    }
    return !in_text && (line.data[0] != '{' || line.data[line.len - 2] == '}');
}

TEST(hostile_values_stay_in_their_line)
{
    Rand rand;

    rand_init(&rand, 9);
    for (int i = 0; i < 400; i++) {
        int fd = capture(LOG_INFO, i % 2 ? LOG_FORMAT_JSON : LOG_FORMAT_LOGFMT);
        char value[600];
        size_t len = rand_below(&rand, sizeof value);

        rand_bytes(&rand, value, len);
        for (size_t k = 0; i % 4 > 1 && k < len; k++)
            value[k] = "\n\"\\\x1b\x00=,{}\xe2\x82\xac"[(unsigned char) value[k] % 12];
        log_info("hostile", L_STR("value", str_from(value, len)), L_INT("after", 1));
        EXPECT(is_sound_line(said(fd)));
        EXPECT(str_contains(said(fd), i % 2 ? STR_C(",\"after\":1}") : STR_C(" after=1\n")));
        done(fd);
    }
}

TEST(text_that_reorders_or_moves_is_escaped)
{
    int fd = capture(LOG_INFO, LOG_FORMAT_LOGFMT);

    log_info("x", L_C("v", "a\xe2\x80\xae"
                           "b\xc2\x9b"
                           "c\xe2\x80\xa8"
                           "d\x7f"));
    EXPECT(str_contains(said(fd), STR_C(" v=\"a\\u202eb\\u009bc\\u2028d\\u007f\"\n")));
    done(fd);
}

TEST(long_values_are_cut_and_long_lines_say_so)
{
    static char long_text[5000];
    int fd = capture(LOG_INFO, LOG_FORMAT_LOGFMT);

    memset(long_text, 'v', sizeof long_text);
    memcpy(long_text + 254, "\xe2\x82\xac", 3); /* the cut is inside this character */
    log_info("x", L_STR("v", str_from(long_text, sizeof long_text)));
    EXPECT_EQ(said(fd).len,
              strlen("time=1970-01-01T00:00:00.000Z level=info msg=x v=\"\"\n") + 254 + 3);
    EXPECT(str_ends(said(fd), STR_C("vvv\xe2\x80\xa6\"\n")));
    done(fd);

    fd = capture(LOG_INFO, LOG_FORMAT_JSON);
    memset(long_text, 1, sizeof long_text);
    log_info("x", L_STR("a", str_from(long_text, 256)), L_STR("b", str_from(long_text, 256)),
             L_STR("c", str_from(long_text, 256)), L_INT("d", 4));
    EXPECT(is_sound_line(said(fd)));
    EXPECT(str_contains(said(fd), STR_C("\"a\":\"\\u0001")) &&
           str_contains(said(fd), STR_C("\"b\":\"\\u0001")));
    EXPECT(!str_contains(said(fd), STR_C("\"c\":")));
    EXPECT(str_ends(said(fd), STR_C(",\"d\":4,\"cut\":true}\n")));
    done(fd);
}

TEST(lost_lines_are_counted)
{
    int fds[2];
    int fd = capture(LOG_INFO, LOG_FORMAT_LOGFMT);
    static char page[4096];

    REQUIRE(pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);
    memset(page, 0, sizeof page);
    while (write(fds[1], page, sizeof page) > 0)
        continue;
    log_setup(LOG_INFO, LOG_FORMAT_LOGFMT, fds[1]);
    for (int i = 0; i < 3; i++)
        log_info("lost");
    log_setup(LOG_INFO, LOG_FORMAT_LOGFMT, fd);
    log_info("found");
    log_info("next");
    EXPECT(str_contains(said(fd), STR_C("msg=found lines_dropped=3\n")));
    EXPECT(str_contains(said(fd), STR_C("msg=next\n")));
    close(fds[0]);
    close(fds[1]);
    done(fd);
}

TEST(the_ring_keeps_the_last_lines)
{
    static char text[1 << 18];
    int fd = capture(LOG_INFO, LOG_FORMAT_LOGFMT);
    int dump = open("dump", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n;
    Str rest;

    for (int i = 0; i < 200; i++)
        log_info("line", L_INT("i", i));
    log_dump_ring(dump);
    n = pread(dump, text, sizeof text, 0);
    REQUIRE(n > 0);
    rest = str_from(text, (size_t) n);
    for (int i = 200 - LIMIT_LOG_RING_LINES; i < 200; i++) {
        char want[32];

        snprintf(want, sizeof want, " i=%d", i);
        EXPECT(str_ends(str_cut(rest, '\n', &rest), str_from_c(want)));
    }
    EXPECT_EQ(rest.len, 0);
    close(dump);
    done(fd);
}

static void *log_many(void *arg)
{
    LogContext context;

    log_push(&context, L_INT("thread", (intptr_t) arg));
    for (int i = 0; i < 500; i++)
        log_info("from a thread", L_INT("i", i),
                 L_C("pad", "................................................"));
    log_pop(&context);
    return NULL;
}

TEST(threads_do_not_mix_lines)
{
    int fd = capture(LOG_INFO, LOG_FORMAT_JSON);
    pthread_t threads[4];
    Str rest;
    size_t lines = 0;

    for (intptr_t i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, log_many, (void *) i) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (rest = said(fd); rest.len > 0; lines++) {
        Str line = str_cut(rest, '\n', &rest);

        EXPECT(is_sound_line(str_from(line.data, line.len + 1)));
        EXPECT(str_starts(line, STR_C("{\"time\":")) && str_ends(line, STR_C("....\"}")));
    }
    EXPECT_EQ(lines, 2000);
    done(fd);
}

TEST_MAIN()
