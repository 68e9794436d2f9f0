/*
 * The consumer of an AMQP queue against a broker that the test plays, byte by byte: what a real one
 * does only now and then.
 */
#include "rows/amqp_conn.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/test.h"

#include <arpa/inet.h>
#include <endian.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PREFETCH = 8, METHOD = 1, HEADER = 2, BODY = 3, HEAD_BYTES = 7 };

typedef struct Broker {
    int listener, fd;
    uint16_t port;
    AmqpConn *conn;
    uint64_t sent;           /* deliveries */
    uint64_t n_acknowledged; /* of them */
    bool is_acknowledged[1000];
    size_t turns;
    bool is_mute; /* takes a connection and says nothing */
    int r;        /* of an open that is given up */
    char why[200];
    SUSPENDS void (*check)(struct Broker *broker);
} Broker;

/* ---- bytes ----------------------------------------------------------------------------------- */

static void add_frame(Buf *out, int type, uint16_t channel, const void *payload, uint32_t len)
{
    uint16_t channel_be = htobe16(channel);
    uint32_t len_be = htobe32(len);

    buf_add_char(out, (char) type);
    buf_add(out, (char *) &channel_be, sizeof(channel_be));
    buf_add(out, (char *) &len_be, sizeof(len_be));
    buf_add(out, payload, len);
    buf_add_char(out, (char) 0xce);
}
#define ADD(out, type, channel, payload) \
    add_frame((out), (type), (channel), (payload), sizeof(payload) - 1)

/* All answers up to that to basic.consume. */
static void add_greeting(Buf *out)
{
    ADD(out, METHOD, 0, "\0\12\0\12\0\11\0\0\0\0\0\0\0\5PLAIN\0\0\0\5en_US");
    ADD(out, METHOD, 0, "\0\12\0\36\0\0\0\2\0\0\0\0");
    ADD(out, METHOD, 0, "\0\12\0\51\0");
    ADD(out, METHOD, 1, "\0\24\0\13\0\0\0\0");
    ADD(out, METHOD, 1, "\0\74\0\13");
    ADD(out, METHOD, 1, "\0\74\0\25\1c");
}

static void add_delivery(Buf *out, uint64_t tag)
{
    char method[] = "\0\74\0\74\1cTAGTAGTA\0\0\1q";
    uint64_t tag_be = htobe64(tag);

    memcpy(method + 6, &tag_be, sizeof(tag_be));
    ADD(out, METHOD, 1, method);
    ADD(out, HEADER, 1, "\0\74\0\0\0\0\0\0\0\0\0\1\0\0");
    ADD(out, BODY, 1, "x");
}

SUSPENDS static void say(Broker *broker, const Buf *bytes)
{
    EXPECT_OK(sl_fd_write_all(broker->fd, bytes->data, bytes->len));
}

/* ---- the broker ------------------------------------------------------------------------------ */

SUSPENDS static int greet(void *arg)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Broker *broker = arg;

    EXPECT_OK(sl_fd_accept(broker->listener, &broker->fd, NULL, NULL));
    add_greeting(&out);
    say(broker, &out);
    return 0;
}

static void acknowledge(Broker *broker, uint64_t tag)
{
    REQUIRE(tag > 0 && tag <= broker->sent);
    broker->n_acknowledged += !broker->is_acknowledged[tag];
    broker->is_acknowledged[tag] = true;
}

/* Hear the acknowledgements that are there whole; other frames say nothing new. */
static void hear(Broker *broker)
{
    static unsigned char bytes[4096];
    uint32_t len = 0;
    uint64_t tag;
    ssize_t n;

    while ((n = recv(broker->fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK)) >= HEAD_BYTES) {
        memcpy(&len, bytes + 3, sizeof(len));
        len = memcmp(bytes, "AMQP", 4) == 0 ? 8 : HEAD_BYTES + be32toh(len) + 1; /* the greeting */
        REQUIRE(len <= sizeof(bytes));
        if (n < (ssize_t) len)
            return;
        EXPECT_EQ(recv(broker->fd, bytes, len, 0), (ssize_t) len);
        if (bytes[0] != METHOD || memcmp(bytes + HEAD_BYTES, "\0\74\0\120", 4) != 0)
            continue;
        memcpy(&tag, bytes + HEAD_BYTES + 4, sizeof(tag));
        tag = be64toh(tag);
        for (uint64_t i = bytes[HEAD_BYTES + 12] & 1 ? 1 : tag; i <= tag; i++)
            acknowledge(broker, i);
    }
}

/* Hear all that the consumer has acknowledged of N deliveries. */
SUSPENDS static void hear_all(Broker *broker, uint64_t n)
{
    hear(broker);
    while (broker->n_acknowledged < n - amqp_conn_owed(broker->conn) && !test_has_failed()) {
        EXPECT_OK(sl_fd_wait(broker->fd, SL_FD_READ, NULL));
        hear(broker);
    }
}

/* As many further messages as it may send. */
SUSPENDS static uint64_t deliver(Broker *broker)
{
    AUTO(buf_deinit) Buf out = { 0 };
    uint64_t n = 0;

    for (; broker->sent - broker->n_acknowledged < PREFETCH; n++)
        add_delivery(&out, ++broker->sent);
    if (n > 0)
        say(broker, &out);
    return n;
}

SUSPENDS static int open_conn(Broker *broker)
{
    bool can_mend;

    return amqp_conn_open(&(AmqpOpts){ .host = "127.0.0.1",
                                       .port = broker->port,
                                       .vhost = "/",
                                       .user = "guest",
                                       .password = "guest",
                                       .queue = "q",
                                       .declare = AMQP_DECLARE_NONE,
                                       .prefetch = PREFETCH },
                          &broker->conn, &can_mend);
}

SUSPENDS static void open_and_check(Broker *broker)
{
    sl_nursery *nursery = sl_nursery_open(.name = "broker");

    EXPECT_OK(sl_spawn(nursery, greet, broker, .name = "greet"));
    EXPECT_OK(open_conn(broker));
    EXPECT_OK(sl_nursery_join(nursery));
    sl_nursery_close(nursery);
    if (broker->conn)
        broker->check(broker);
}

SUSPENDS static int broker_main(void *arg)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(address);
    Broker *broker = arg;

    broker->fd = -1;
    broker->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    EXPECT_EQ(bind(broker->listener, (struct sockaddr *) &address, len), 0);
    EXPECT_EQ(listen(broker->listener, 1), 0);
    EXPECT_EQ(getsockname(broker->listener, (struct sockaddr *) &address, &len), 0);
    broker->port = ntohs(address.sin_port);
    if (broker->is_mute)
        broker->check(broker);
    else
        open_and_check(broker);
    sl_fd_close(broker->fd);
    sl_fd_close(broker->listener);
    return 0;
}

static void run(SUSPENDS void (*check)(Broker *broker), bool is_mute)
{
    Broker *broker = mem_new(Broker);

    broker->check = check;
    broker->is_mute = is_mute;
    EXPECT_OK(sl_run(broker_main, broker, .loop = SL_LOOP_EPOLL));
    mem_free(broker);
}

/* ---- the checks ------------------------------------------------------------------------------ */

/* N messages, none of them settled. */
SUSPENDS static void take(Broker *broker, uint64_t n)
{
    AmqpMessage message;

    while (n > 0) {
        int r = amqp_conn_try_next(broker->conn, &message);

        EXPECT_OK(r < 0 ? r : 0);
        if (r < 0)
            return;
        if (r == 0)
            n--;
        else
            EXPECT_OK(amqp_conn_wait(broker->conn));
    }
}

/* Many messages go by one that takes its time, and then the broker has to wait for it: it never
 * sends more than there is a place for. */
SUSPENDS static void check_held(Broker *broker)
{
    uint64_t settled = 1, n;

    while ((n = deliver(broker)) > 0 && !test_has_failed()) {
        take(broker, n);
        while (settled < broker->sent)
            amqp_conn_settle(broker->conn, ++settled, false);
        EXPECT_OK(amqp_conn_pay(broker->conn, false));
        hear_all(broker, broker->sent - 1);
        REQUIRE(broker->sent < ARRAY_LEN(broker->is_acknowledged) - PREFETCH);
    }
    EXPECT(broker->sent > 2 * PREFETCH);
    amqp_conn_settle(broker->conn, 1, false);
    EXPECT_OK(amqp_conn_pay(broker->conn, false));
    EXPECT_EQ(amqp_conn_owed(broker->conn), 0);
    hear_all(broker, broker->sent);
    EXPECT_EQ(broker->n_acknowledged, broker->sent);
    EXPECT_EQ(deliver(broker), PREFETCH);
    sl_fd_close(broker->fd);
    broker->fd = -1;
    amqp_conn_close(broker->conn);
}

TEST(one_message_holds_the_others_up_in_the_end)
{
    run(check_held, false);
}

SUSPENDS static int count_turns(void *arg)
{
    Broker *broker = arg;
    int r = 0;

    for (; r == 0; r = sl_checkpoint())
        broker->turns++;
    return r;
}

/* The counter runs for the first time when closing lets it. */
SUSPENDS static void check_close(Broker *broker)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "turns");

    EXPECT_OK(sl_spawn(nursery, count_turns, broker));
    EXPECT_EQ(broker->turns, 0);
    amqp_conn_close(broker->conn);
    EXPECT(broker->turns > 0);
    sl_nursery_cancel(nursery);
}

TEST(a_broker_that_answers_no_goodbye_holds_no_loop)
{
    run(check_close, false);
}

SUSPENDS static int open_in_vain(void *arg)
{
    Broker *broker = arg;

    broker->r = open_conn(broker);
    (void) snprintf(broker->why, sizeof(broker->why), "%s", sl_error_text(broker->r));
    return 0;
}

/* The library is torn out of its wait, which would have its time else. */
SUSPENDS static void check_given_up(Broker *broker)
{
    sl_nursery *nursery = sl_nursery_open(.name = "open");
    char greeting[8];

    EXPECT_OK(sl_spawn(nursery, open_in_vain, broker));
    EXPECT_OK(sl_fd_accept(broker->listener, &broker->fd, NULL, NULL));
    EXPECT_EQ(sl_fd_recv(broker->fd, greeting, sizeof(greeting)), sizeof(greeting));
    sl_nursery_close(nursery);
    EXPECT(broker->r < 0);
    EXPECT(!strstr(broker->why, "timed out"));
}

TEST(a_broker_that_does_not_greet_is_given_up)
{
    run(check_given_up, true);
}

TEST_MAIN()
