/*
 * The sources tcp, udp and unix: rows cut into pieces anywhere, a full channel, limits, the end.
 */
#include "rows/source.h"

#include "net/listener.h"
#include "net/stream.h"
#include "net/tls.h"
#if SL_HAVE_OPENSSL
#include "rows/certificate_int.h"
#endif
#include "rows/source_world_int.h"

#include <sluice/rt.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>

extern const SourceDriver source_tcp, source_udp, source_unix;

#define FLOOD_LINES 60000 /* more than the buffers of two sockets hold */
#define TCP_HERE    "{\"listen\":\"127.0.0.1:0\"}"

/* ---- producers ------------------------------------------------------------------------------- */

static NetAddress address_said(const SourceWorld *world)
{
    const char *at = strstr(world->said, " on ");
    NetAddress address = { 0 };

    EXPECT(at != NULL);
    if (at)
        EXPECT_OK(net_address_parse(str_from_c(at + 4), &address));
    return address;
}

SUSPENDS static Stream *dial(const SourceWorld *world)
{
    NetAddress address = address_said(world);
    Stream *stream = NULL;

    EXPECT_OK(stream_connect(&address, &stream));
    return stream;
}

SUSPENDS static void say(Stream *stream, const char *text)
{
    EXPECT_OK(stream_write_all(stream, text, strlen(text)));
}

SUSPENDS static void start(SourceWorld *world, const SourceDriver *driver, const char *settings,
                           const char *said)
{
    world->source.decode.format = DECODE_LINES;
    source_world_start(world, driver, settings);
    source_world_wait_said(world, said);
}

/* ---- connections ----------------------------------------------------------------------------- */

/* Would catch a line that is cut where a piece ends, or one that is handed on twice. */
SUSPENDS static void check_pieces(SourceWorld *world)
{
    static const char text[] = "alpha\nbeta\r\ngamma\ndelta";
    Stream *stream;

    start(world, &source_tcp, TCP_HERE, "listens on");
    stream = dial(world);
    for (size_t i = 0; text[i]; i++) {
        EXPECT_OK(stream_write_all(stream, text + i, 1));
        EXPECT_OK(sl_yield());
    }
    source_world_wait_rows(world, 3);
    EXPECT_STR(buf_str(&world->text), STR_C("rows {\"line\":\"alpha\"}\nrows {\"line\":\"beta\"}\n"
                                            "rows {\"line\":\"gamma\"}\n"));
    stream_close(stream);
    source_world_wait_rows(world, 4); /* the end of the connection ends the last line */
    EXPECT(str_ends(buf_str(&world->text), STR_C("rows {\"line\":\"delta\"}\n")));
    EXPECT_OK(source_world_stop(world));
    EXPECT_EQ(world->lost, 0);
    EXPECT_EQ(world->rows, 4);
}

TEST(lines_come_in_pieces)
{
    source_world_run(check_pieces);
}

typedef struct Flood {
    Stream *stream;
    size_t written;
    bool is_over;
} Flood;

SUSPENDS static int flood_fiber(void *arg)
{
    Flood *flood = arg;
    char line[100];
    int r = 0;

    for (int i = 0; r == 0 && i < FLOOD_LINES; i++) {
        int n = snprintf(line, sizeof(line), "line %d of a flood that nobody takes\n", i);

        r = stream_write_all(flood->stream, line, (size_t) n);
        if (r == 0 && i % 100 == 0)
            r = sl_yield();
        flood->written++;
    }
    flood->is_over = true;
    stream_close(flood->stream);
    return 0;
}

/* Would catch a source that reads on while nobody takes: memory without end, or lines lost. */
SUSPENDS static void check_full(SourceWorld *world)
{
    Flood flood = { 0 };
    size_t before = 0;
    int small = 16 << 10;

    start(world, &source_tcp, TCP_HERE, "listens on");
    source_world_set_full(world, true);
    flood.stream = dial(world);
    EXPECT_EQ(setsockopt(flood.stream->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    sl_spawn(world->nursery, flood_fiber, &flood, .name = "flood");
    source_world_wait_full(world, 1);
    do {
        before = flood.written;
        EXPECT_OK(sl_sleep_ms(20));
    } while (flood.written > before); /* until the sockets are full */
    EXPECT(!flood.is_over);
    EXPECT_EQ(world->rows, 0);
    source_world_set_full(world, false);
    source_world_wait_rows(world, FLOOD_LINES);
    EXPECT_EQ(world->rows, FLOOD_LINES);
    EXPECT_OK(source_world_stop(world));
}

TEST(a_full_channel_stops_the_reading)
{
    source_world_run(check_full);
}

/* Would catch a row without end that fills the memory, or that takes its neighbours with it. */
SUSPENDS static void check_long(SourceWorld *world)
{
    static char piece[64 << 10];
    Stream *stream;

    memset(piece, 'x', sizeof(piece));
    start(world, &source_tcp, TCP_HERE, "listens on");
    stream = dial(world);
    say(stream, "before\n");
    for (int i = 0; i < 48; i++) /* 3 MiB */
        EXPECT_OK(stream_write_all(stream, piece, sizeof(piece)));
    say(stream, "\nafter\n");
    source_world_wait_rows(world, 3);
    EXPECT_EQ(world->rows, 2);
    EXPECT_EQ(world->refused, 1);
    EXPECT(str_contains(buf_str(&world->text), STR_C("! 2 parse line_too_long: xxxx")));
    EXPECT(str_ends(buf_str(&world->text), STR_C("rows {\"line\":\"after\"}\n")));
    stream_close(stream);
    EXPECT_OK(source_world_stop(world));
}

TEST(a_row_without_end_is_refused)
{
    source_world_run(check_long);
}

/* Would catch what has arrived being forgotten at the stop, or half a line being taken for one. */
SUSPENDS static void check_stop(SourceWorld *world)
{
    Stream *one, *two;
    char byte;

    start(world, &source_tcp, TCP_HERE, "listens on");
    one = dial(world);
    two = dial(world);
    say(one, "first\n");
    source_world_wait_rows(world, 1);
    say(one, "whole\nhalf");
    say(two, "other\n");
    EXPECT_OK(sl_yield());
    EXPECT_OK(source_world_stop(world));
    EXPECT_EQ(world->rows, 3);
    EXPECT(!str_contains(buf_str(&world->text), STR_C("half")));
    EXPECT_EQ(world->lost, 1);
    EXPECT_STR(str_from_c(world->lost_cause ? world->lost_cause : ""), STR_C("cut_by_stop"));
    EXPECT(stream_read(one, &byte, 1) <= 0);
    stream_close(one);
    stream_close(two);
}

TEST(a_stop_takes_what_has_arrived)
{
    source_world_run(check_stop);
}

/* Would catch connections that nobody has accepted yet being forgotten at the stop: their peers
 * have said everything and gone. */
SUSPENDS static void check_stop_waiting(SourceWorld *world)
{
    NetAddress address;

    start(world, &source_tcp, TCP_HERE, "listens on");
    address = address_said(world);
    for (int i = 0; i < 5; i++) { /* without giving the source a turn */
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        EXPECT_EQ(connect(fd, (struct sockaddr *) &address.storage, address.len), 0);
        EXPECT_EQ(send(fd, "a\n", 2, 0), 2);
        close(fd);
    }
    EXPECT_OK(source_world_stop(world));
    EXPECT_EQ(world->rows, 5);
}

TEST(a_stop_takes_who_waits_to_be_accepted)
{
    source_world_run(check_stop_waiting);
}

SUSPENDS static void check_stop_full(SourceWorld *world)
{
    Stream *stream;

    start(world, &source_tcp, TCP_HERE, "listens on");
    source_world_set_full(world, true);
    stream = dial(world);
    say(stream, "a\nb\n");
    source_world_wait_full(world, 1);
    sl_event_set(&world->stopping);
    for (int i = 0; i < 50; i++)
        EXPECT_OK(sl_yield());
    EXPECT(!world->ended.is_set); /* it holds rows that nobody else has */
    source_world_set_full(world, false);
    EXPECT_OK(source_world_join(world));
    EXPECT_EQ(world->rows, 2);
    stream_close(stream);
}

TEST(a_stop_waits_for_room)
{
    source_world_run(check_stop_full);
}

SUSPENDS static void check_limits(SourceWorld *world)
{
    Stream *one, *two, *three;
    char byte;

    start(world, &source_tcp, "{\"listen\":\"127.0.0.1:0\",\"connections\":1,\"idle\":\"60ms\"}",
          "listens on");
    one = dial(world);
    two = dial(world);
    EXPECT(stream_read(two, &byte, 1) <= 0);
    source_world_wait_said(world, "1 connections, which is the limit");
    EXPECT(stream_read(one, &byte, 1) <= 0); /* after its idle time */
    world->said[0] = '\0';
    stream_close(one);
    stream_close(two);
    (void) snprintf(world->said, sizeof(world->said), "%s", "");
    EXPECT_OK(source_world_stop(world));
    start(world, &source_tcp, "{\"listen\":\"127.0.0.1:0\"}", "listens on");
    three = dial(world);
    say(three, "x\n");
    source_world_wait_rows(world, 1);
    stream_abort(three); /* a reset ends a connection like another end */
    stream_close(three);
    EXPECT_OK(source_world_stop(world));
}

TEST(connections_have_limits)
{
    source_world_run(check_limits);
}

/* Would catch a source that gives up, or that comes again without a pause. */
SUSPENDS static void check_connect(SourceWorld *world)
{
    char settings[200], where[NET_ADDRESS_TEXT_MAX];
    Listener *listener = NULL;
    Stream *stream = NULL;
    NetAddress address;

    EXPECT_OK(net_address_parse(STR_C("127.0.0.1:0"), &address));
    EXPECT_OK(listener_open(&address, NULL, &listener));
    address = listener->address;
    (void) snprintf(settings, sizeof(settings), "{\"connect\":\"%s\"}",
                    listener_address(listener, where).data);
    start(world, &source_tcp, settings, "connected");
    EXPECT_OK(listener_accept(listener, &stream));
    say(stream, "a\nb");
    stream_close(stream);
    source_world_wait_rows(world, 2);
    listener_close(listener);
    source_world_wait_said(world, "again in");
    EXPECT(!world->is_up);
    source_world_wait_said(world, "refused");
    EXPECT_OK(listener_open(&address, NULL, &listener));
    EXPECT_OK(listener_accept(listener, &stream));
    say(stream, "c\n");
    source_world_wait_rows(world, 3);
    EXPECT_OK(source_world_stop(world));
    stream_close(stream);
    listener_close(listener);
}

TEST(it_connects_again_and_again)
{
    source_world_run(check_connect);
}

SUSPENDS static void check_cancel(SourceWorld *world)
{
    Stream *stream;

    start(world, &source_tcp, TCP_HERE, "listens on");
    source_world_set_full(world, true);
    stream = dial(world);
    say(stream, "a\n");
    source_world_wait_full(world, 1);
    sl_nursery_cancel(world->nursery);
    EXPECT_OK(source_world_join(world));
    stream_close(stream);
}

TEST(cancelling_ends_it_at_once)
{
    source_world_run(check_cancel);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

#if SL_HAVE_OPENSSL
/* Would catch a handshake that blocks others, and a stranger who ends the source. */
SUSPENDS static void check_tls(SourceWorld *world)
{
    TlsContext *context = NULL;
    Stream *plain, *stream = NULL;

    EXPECT_OK(tls_context_new(&(TlsContextOpts){ .is_insecure = true }, &context));
    start(world, &source_tcp,
          "{\"listen\":\"127.0.0.1:0\",\"tls_cert\":\"cert.pem\",\"tls_key\":\"key.pem\"}",
          "listens on");
    plain = dial(world);
    EXPECT_OK(tls_connect(context, dial(world), NULL, &stream));
    say(plain, "this is no handshake\n");
    say(stream, "secret\n");
    source_world_wait_rows(world, 1);
    EXPECT_STR(buf_str(&world->text), STR_C("rows {\"line\":\"secret\"}\n"));
    source_world_wait_said(world, "tls");
    EXPECT(!world->ended.is_set);
    stream_close(stream);
    stream_close(plain);
    EXPECT_OK(source_world_stop(world));
    tls_context_free(context);
}

TEST(connections_may_be_encrypted)
{
    EXPECT(make_certificate());
    source_world_run(check_tls);
}
#endif

/* ---- Unix sockets ---------------------------------------------------------------------------- */

SUSPENDS static void check_unix(SourceWorld *world)
{
    struct stat info;
    Stream *stream;

    start(world, &source_unix, "{\"path\":\"in.sock\",\"mode\":\"0622\"}", "listens on");
    EXPECT_EQ(stat("in.sock", &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0622);
    stream = dial(world);
    say(stream, "a\n\xff\n");
    source_world_wait_rows(world, 2);
    EXPECT_STR(buf_str(&world->text), STR_C("rows {\"line\":\"a\"}\n! 2 parse bad_utf8: \xff\n"));
    stream_close(stream);
    EXPECT_OK(source_world_stop(world));
    EXPECT(stat("in.sock", &info) < 0 && errno == ENOENT);
}

TEST(unix_streams_have_a_mode)
{
    source_world_run(check_unix);
}

static int unix_sender(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void) snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    EXPECT_EQ(connect(fd, (struct sockaddr *) &un, sizeof(un)), 0);
    return fd;
}

SUSPENDS static void check_unix_datagrams(SourceWorld *world)
{
    static char huge[100000];
    struct stat info;
    int fd;

    memset(huge, 'x', sizeof(huge));
    start(world, &source_unix, "{\"path\":\"in.dgram\",\"kind\":\"datagram\"}", "receives on");
    EXPECT_EQ(stat("in.dgram", &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600);
    fd = unix_sender("in.dgram");
    EXPECT_EQ(send(fd, "a\nb", 3, 0), 3);
    EXPECT_EQ(send(fd, "c\n", 2, 0), 2);
    EXPECT_EQ(send(fd, huge, sizeof(huge), 0), (ssize_t) sizeof(huge));
    EXPECT_EQ(send(fd, "d", 1, 0), 1);
    source_world_wait_rows(world, 5);
    EXPECT_EQ(world->rows, 4);
    EXPECT_EQ(world->refused, 1);
    EXPECT(str_contains(buf_str(&world->text), STR_C("! 1 parse datagram_too_long: xxx")));
    EXPECT(str_ends(buf_str(&world->text), STR_C("rows {\"line\":\"d\"}\n")));
    EXPECT_OK(source_world_stop(world));
    EXPECT(stat("in.dgram", &info) < 0);
    close(fd);
}

TEST(unix_datagrams_are_whole_rows)
{
    source_world_run(check_unix_datagrams);
}

/* Would catch a source that takes the name of its socket away from who has it now. */
SUSPENDS static void check_unix_replaced(SourceWorld *world)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "in.dgram" };
    struct stat info;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    start(world, &source_unix, "{\"path\":\"in.dgram\",\"kind\":\"datagram\"}", "receives on");
    EXPECT_EQ(unlink("in.dgram"), 0);
    EXPECT_EQ(bind(fd, (struct sockaddr *) &un, sizeof(un)), 0);
    EXPECT_OK(source_world_stop(world));
    EXPECT_EQ(stat("in.dgram", &info), 0);
    EXPECT_EQ(unlink("in.dgram"), 0);
    close(fd);
}

TEST(a_unix_socket_of_another_stays)
{
    source_world_run(check_unix_replaced);
}

/* ---- UDP ------------------------------------------------------------------------------------- */

static int udp_sender(const SourceWorld *world)
{
    NetAddress address = address_said(world);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    EXPECT_EQ(connect(fd, (struct sockaddr *) &address.storage, address.len), 0);
    return fd;
}

SUSPENDS static void check_udp(SourceWorld *world)
{
    int one, two;

    start(world, &source_udp, TCP_HERE, "receives on");
    one = udp_sender(world);
    two = udp_sender(world);
    EXPECT_EQ(send(one, "a\nb", 3, 0), 3);
    EXPECT_EQ(send(one, "c", 1, 0), 1);
    EXPECT_EQ(send(two, "d\n", 2, 0), 2);
    EXPECT_EQ(send(two, "", 0, 0), 0);
    source_world_wait_rows(world, 4);
    EXPECT_STR(buf_str(&world->text),
               STR_C("rows {\"line\":\"a\"}\nrows {\"line\":\"b\"}\nrows {\"line\":\"c\"}\n"
                     "rows {\"line\":\"d\"}\n"));
    EXPECT_EQ(send(one, "last", 4, 0), 4);
    EXPECT_OK(source_world_stop(world)); /* what is in the kernel's buffer comes first */
    EXPECT_EQ(world->rows, 5);
    close(one);
    close(two);
}

TEST(datagrams_are_whole_rows)
{
    source_world_run(check_udp);
}

/* Would catch rows that the kernel throws away and nobody counts. */
SUSPENDS static void check_overflow(SourceWorld *world)
{
    char text[1000];
    int fd;

    memset(text, 'x', sizeof(text));
    start(world, &source_udp, "{\"listen\":\"127.0.0.1:0\",\"buffer\":8192}", "receives on");
    source_world_set_full(world, true);
    fd = udp_sender(world);
    EXPECT_EQ(send(fd, text, sizeof(text), 0), (ssize_t) sizeof(text));
    source_world_wait_full(world, 1);
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(send(fd, text, sizeof(text), 0), (ssize_t) sizeof(text));
    source_world_set_full(world, false);
    source_world_wait_lost(world, 1);
    EXPECT_OK(source_world_stop(world));
    EXPECT_STR(str_from_c(world->lost_cause), STR_C("udp_kernel"));
    EXPECT_EQ(world->rows + world->lost, 101);
    close(fd);
}

TEST(datagrams_that_the_kernel_drops_are_counted)
{
    source_world_run(check_overflow);
}

/* ---- settings -------------------------------------------------------------------------------- */

SUSPENDS static void check_wrong(SourceWorld *world)
{
    AUTO(buf_deinit) Buf json = { 0 };

    source_world_start(world, &source_tcp, "{\"listen\":\"host:7\"}");
    EXPECT_ERR(source_world_join(world), -ERR_INVALID, "numeric address");
    source_world_start(world, &source_udp, "{\"listen\":\"127.0.0.1:0\",\"group\":\"1.2.3.4.5\"}");
    EXPECT_ERR(source_world_join(world), -ERR_INVALID, "multicast");
    EXPECT_OK(
        source_from_text(&source_tcp, STR_C("tcp://127.0.0.1:9?idle=5s&format=lines"), &json));
    EXPECT_STR(buf_str(&json),
               STR_C("{\"listen\":\"127.0.0.1:9\",\"idle\":\"5s\",\"format\":\"lines\"}"));
    EXPECT(source_driver_find(STR_C("unix:///run/x")) == &source_unix);
}

TEST(settings_are_checked)
{
    source_world_run(check_wrong);
}

TEST_MAIN()
