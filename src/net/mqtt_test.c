/*
 * The MQTT client against a server inside the test: what it acknowledges, when and in what order;
 * what it does with repeats after a connection is lost; what ends it.
 *
 * A test writes the server's side of the conversation step by step. The server sees packets as
 * text: "PUBACK 1".
 */
#include "net/mqtt_int.h"

#include "base/macro.h"
#include "base/test.h"
#include "net/sim_net.h"

#include <sluice/rt.h>

typedef struct Server {
    Mqtt *mqtt;
    MqttOpts opts;
    SimNet *net;    /* on the simulated loop */
    Stream *theirs; /* the server's end of the last connection */
    sl_cond connected;
    size_t n_connects;
    size_t refuse; /* connects to refuse at first */
    Buf in;
    size_t in_from;
    char said[200];
    size_t ups, downs;
    SUSPENDS void (*check)(struct Server *server);
    sl_nursery *nursery;
    MqttMessage message; /* of the last take */
    char topic[64], payload[64];
    int r;
    sl_event has_message;
} Server;

SUSPENDS static int connect_pair(void *ctx, Stream **ret_stream)
{
    Server *server = ctx;
    int r = 0;

    if (server->refuse > 0) {
        server->refuse--;
        return fail(-ECONNREFUSED, "refused by the test");
    }
    if (server->theirs)
        stream_close(server->theirs);
    buf_reset(&server->in);
    server->in_from = 0;
    if (server->net)
        sim_net_pair(server->net, ret_stream, &server->theirs);
    else
        r = stream_pair(ret_stream, &server->theirs);
    server->n_connects++;
    sl_cond_wake_all(&server->connected);
    return r < 0 ? r : sl_checkpoint();
}

static void on_state(void *ctx, bool is_up, const char *words)
{
    Server *server = ctx;

    server->ups += is_up;
    server->downs += !is_up;
    (void) snprintf(server->said, sizeof(server->said), "%s", words);
}

/* ---- the server's side ----------------------------------------------------------------------- */

/* The next packet of the client as text; "closed". */
SUSPENDS static const char *hear(Server *server)
{
    static char text[64];
    size_t len = 0;
    uint8_t type;

    for (;;) {
        Str bytes = str_sub(buf_str(&server->in), server->in_from, server->in.len);
        ssize_t n;

        if (mqtt_scan(bytes, &len) == 0) {
            type = (uint8_t) bytes.data[0] >> 4;
            server->in_from += len;
            if (type == MQTT_CONNECT || type == MQTT_DISCONNECT || type == MQTT_PINGREQ)
                (void) snprintf(text, sizeof(text), "%s", mqtt_type_name(type));
            else
                (void) snprintf(text, sizeof(text), "%s %u", mqtt_type_name(type),
                                (unsigned) (uint8_t) bytes.data[2] << 8 | (uint8_t) bytes.data[3]);
            return text;
        }
        if (!buf_reserve(&server->in, 1024))
            return "no memory";
        n = stream_read(server->theirs, server->in.data + server->in.len, 1024);
        if (n <= 0)
            return "closed";
        server->in.len += (size_t) n;
    }
}
#define EXPECT_HEARS(server, want) EXPECT_STR(str_from_c(hear(server)), STR_C(want))

SUSPENDS static void say(Server *server, const void *bytes, size_t len)
{
    EXPECT_OK(stream_write_all(server->theirs, bytes, len));
}
#define SAY(server, bytes) say((server), (bytes), sizeof(bytes) - 1)

SUSPENDS static void publish(Server *server, uint16_t id, uint8_t qos, const char *payload,
                             bool is_repeat)
{
    AUTO(buf_deinit) Buf out = { 0 };

    mqtt_add_publish(&out, &(MqttPublish){ .version = server->mqtt->version,
                                           .id = id,
                                           .qos = qos,
                                           .is_repeat = is_repeat,
                                           .topic = STR("t"),
                                           .payload = str_from_c(payload) });
    say(server, out.data, out.len);
}

SUSPENDS static void wait_connects(Server *server, size_t n)
{
    int r = 0;

    while (r == 0 && server->n_connects < n)
        r = sl_cond_wait(&server->connected);
}

/* Greet the N-th connection, with or without a session; subscriptions are granted. */
SUSPENDS static void greet(Server *server, size_t n, bool has_session, bool is_asked)
{
    wait_connects(server, n);
    EXPECT_HEARS(server, "CONNECT");
    if (has_session)
        SAY(server, "\x20\x03\x01\x00\x00");
    else
        SAY(server, "\x20\x03\x00\x00\x00");
    if (!is_asked)
        return;
    EXPECT_HEARS(server, "SUBSCRIBE 1");
    SAY(server, "\x90\x04\x00\x01\x00\x01");
}

/* ---- the program's side ---------------------------------------------------------------------- */

SUSPENDS static int next_fiber(void *arg)
{
    Server *server = arg;

    server->r = mqtt_next(server->mqtt, &server->message);
    if (server->r == 0) {
        (void) snprintf(server->payload, sizeof(server->payload), "%.*s",
                        (int) server->message.payload.len, server->message.payload.data);
    } else {
        (void) snprintf(server->payload, sizeof(server->payload), "error");
        (void) snprintf(server->said, sizeof(server->said), "%s", sl_error_text(server->r));
    }
    sl_event_set(&server->has_message);
    return 0;
}

SUSPENDS static void ask(Server *server)
{
    sl_event_clear(&server->has_message);
    EXPECT_OK(sl_spawn(server->nursery, next_fiber, server, .name = "next"));
}

/* What a call of next gives: the payload; its ticket in *RET_TICKET. */
SUSPENDS static const char *take(Server *server, uint64_t *ret_ticket)
{
    ask(server);
    EXPECT_OK(sl_event_wait(&server->has_message));
    if (ret_ticket)
        *ret_ticket = server->message.ticket;
    return server->payload;
}

SUSPENDS static int run_main(void *arg)
{
    Server *server = arg;
    static const Str filters[] = { STR("t/#") };

    server->opts.connect = connect_pair;
    server->opts.connect_ctx = server;
    server->opts.on_state = on_state;
    server->opts.ctx = server;
    server->opts.client_id = str_from_c("test");
    server->opts.filters = filters;
    server->opts.n_filters = 1;
    if (!server->opts.qos)
        server->opts.qos = 1;
    EXPECT_OK(mqtt_start(&server->opts, &server->mqtt));
    server->nursery = sl_nursery_open(.name = "test");
    server->check(server);
    sl_nursery_close(server->nursery);
    mqtt_stop(server->mqtt, 0);
    if (server->theirs)
        stream_close(server->theirs);
    buf_deinit(&server->in);
    return 0;
}

static void run(SUSPENDS void (*check)(Server *server), MqttOpts opts)
{
    Server server = { .check = check, .opts = opts };

    EXPECT_OK(sl_run(run_main, &server));
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* Nothing is acknowledged before it is settled, and what is settled early waits for its turn. */
SUSPENDS static void check_order(Server *server)
{
    uint64_t one, two, three;

    ask(server);
    greet(server, 1, false, true);
    publish(server, 1, 1, "a", false);
    EXPECT_OK(sl_event_wait(&server->has_message));
    EXPECT_STR(str_from_c(server->payload), STR_C("a"));
    one = server->message.ticket;
    publish(server, 2, 2, "b", false);
    publish(server, 3, 1, "c", false);
    publish(server, 0, 0, "d", false);
    EXPECT_STR(str_from_c(take(server, &two)), STR_C("b"));
    EXPECT_STR(str_from_c(take(server, &three)), STR_C("c"));
    EXPECT_STR(str_from_c(take(server, NULL)), STR_C("d"));
    EXPECT_EQ(server->message.ticket, 0);
    EXPECT_EQ(server->ups, 1);
    mqtt_settle(server->mqtt, three);
    mqtt_settle(server->mqtt, two);
    mqtt_settle(server->mqtt, two);
    EXPECT_EQ(mqtt_counts(server->mqtt).acknowledged, 0);
    mqtt_settle(server->mqtt, one);
    EXPECT_HEARS(server, "PUBACK 1");
    EXPECT_HEARS(server, "PUBREC 2");
    EXPECT_HEARS(server, "PUBACK 3");
    SAY(server, "\x62\x02\x00\x02");
    publish(server, 2, 1, "e", false);
    EXPECT_STR(str_from_c(take(server, &two)), STR_C("e"));
    EXPECT_HEARS(server, "PUBCOMP 2");
    mqtt_settle(server->mqtt, two);
    EXPECT_HEARS(server, "PUBACK 2");
}

TEST(acknowledges_what_is_settled_in_order)
{
    run(check_order, (MqttOpts){ 0 });
}

/* Q3: a message that is out, or settled while the connection was away, is not given twice. */
SUSPENDS static void check_repeats(Server *server)
{
    uint64_t one, two, three;

    ask(server);
    greet(server, 1, false, true);
    publish(server, 1, 1, "a", false);
    publish(server, 2, 2, "b", false);
    publish(server, 3, 2, "c", false);
    EXPECT_OK(sl_event_wait(&server->has_message));
    one = server->message.ticket;
    (void) take(server, &two);
    (void) take(server, &three);
    stream_abort(server->theirs);
    ask(server);
    greet(server, 2, true, false);
    EXPECT_EQ(server->downs, 1);
    mqtt_settle(server->mqtt, two); /* before it has come again: no PUBREC yet */
    publish(server, 1, 1, "a", true);
    publish(server, 2, 2, "b", true);
    publish(server, 3, 2, "c", true);
    publish(server, 4, 1, "new", false);
    EXPECT_OK(sl_event_wait(&server->has_message));
    EXPECT_STR(str_from_c(server->payload), STR_C("new"));
    EXPECT_EQ(mqtt_counts(server->mqtt).repeats, 3);
    mqtt_settle(server->mqtt, one);
    EXPECT_HEARS(server, "PUBACK 1");
    EXPECT_HEARS(server, "PUBREC 2");
    mqtt_settle(server->mqtt, three);
    EXPECT_HEARS(server, "PUBREC 3");
    /* The server has heard none of it. Quality 2 is still not given twice, 1 is, and says so. */
    stream_abort(server->theirs);
    ask(server);
    greet(server, 3, true, false);
    publish(server, 2, 2, "b", true);
    publish(server, 1, 1, "a", true);
    EXPECT_HEARS(server, "PUBREC 2");
    EXPECT_OK(sl_event_wait(&server->has_message));
    EXPECT_STR(str_from_c(server->payload), STR_C("a"));
    EXPECT(server->message.is_repeat);
}

TEST(knows_repeats_after_a_reconnect)
{
    run(check_repeats, (MqttOpts){ 0 });
}

/* A server without our session has other messages under the same identifiers; so has one that
 * dropped a message meanwhile. Old tickets mean nothing then. */
SUSPENDS static void check_forgotten(Server *server)
{
    uint64_t old, next;

    ask(server);
    greet(server, 1, false, true);
    publish(server, 1, 1, "a", false);
    EXPECT_OK(sl_event_wait(&server->has_message));
    old = server->message.ticket;
    stream_abort(server->theirs);
    ask(server);
    greet(server, 2, false, true);
    publish(server, 1, 1, "a", true);
    EXPECT_OK(sl_event_wait(&server->has_message));
    next = server->message.ticket;
    mqtt_settle(server->mqtt, old);
    EXPECT_EQ(mqtt_counts(server->mqtt).acknowledged, 0);
    stream_abort(server->theirs);
    ask(server);
    greet(server, 3, true, false);
    publish(server, 1, 1, "other", true);
    EXPECT_OK(sl_event_wait(&server->has_message));
    EXPECT_STR(str_from_c(server->payload), STR_C("other"));
    mqtt_settle(server->mqtt, next);
    EXPECT_EQ(mqtt_counts(server->mqtt).acknowledged, 0);
    mqtt_settle(server->mqtt, server->message.ticket);
    EXPECT_HEARS(server, "PUBACK 1");
}

TEST(old_tickets_mean_nothing_in_a_new_session)
{
    run(check_forgotten, (MqttOpts){ 0 });
}

/* What is given back comes again, and nothing behind it is acknowledged before. */
SUSPENDS static void check_give_back(Server *server)
{
    uint64_t one, two;

    ask(server);
    greet(server, 1, false, true);
    publish(server, 1, 1, "a", false);
    publish(server, 2, 1, "b", false);
    EXPECT_OK(sl_event_wait(&server->has_message));
    one = server->message.ticket;
    (void) take(server, &two);
    ask(server);
    mqtt_give_back(server->mqtt, one);
    mqtt_settle(server->mqtt, two);
    EXPECT_EQ(mqtt_counts(server->mqtt).acknowledged, 0);
    greet(server, 2, true, false);
    publish(server, 1, 1, "a", true);
    publish(server, 2, 1, "b", true);
    EXPECT_OK(sl_event_wait(&server->has_message));
    EXPECT_STR(str_from_c(server->payload), STR_C("a"));
    mqtt_settle(server->mqtt, server->message.ticket);
    EXPECT_HEARS(server, "PUBACK 1");
    ask(server);
    EXPECT_HEARS(server, "PUBACK 2");
}

TEST(what_is_given_back_comes_again)
{
    run(check_give_back, (MqttOpts){ 0 });
}

/* A server of 3.1.1 is spoken to in its version; a refused connection is tried again. */
SUSPENDS static void check_older(Server *server)
{
    server->refuse = 2;
    ask(server);
    wait_connects(server, 1);
    EXPECT_EQ(server->downs, 2);
    EXPECT_HEARS(server, "CONNECT");
    SAY(server, "\x20\x02\x00\x01");
    wait_connects(server, 2);
    EXPECT_HEARS(server, "CONNECT");
    SAY(server, "\x20\x02\x00\x00");
    EXPECT_HEARS(server, "SUBSCRIBE 1");
    SAY(server, "\x90\x03\x00\x01\x01");
    EXPECT_EQ(server->mqtt->version, MQTT_3_1_1);
    publish(server, 1, 1, "old", false);
    EXPECT_OK(sl_event_wait(&server->has_message));
    EXPECT_STR(str_from_c(server->payload), STR_C("old"));
}

TEST(speaks_the_older_version)
{
    run(check_older, (MqttOpts){ 0 });
}

SUSPENDS static void check_login(Server *server)
{
    ask(server);
    wait_connects(server, 1);
    EXPECT_HEARS(server, "CONNECT");
    SAY(server, "\x20\x03\x00\x86\x00");
    EXPECT_OK(sl_event_wait(&server->has_message));
    EXPECT_EQ(server->r, -ERR_FORBIDDEN);
    EXPECT(strstr(server->said, "password") != NULL);
}

SUSPENDS static void check_topic(Server *server)
{
    ask(server);
    wait_connects(server, 1);
    EXPECT_HEARS(server, "CONNECT");
    SAY(server, "\x20\x03\x00\x00\x00");
    EXPECT_HEARS(server, "SUBSCRIBE 1");
    SAY(server, "\x90\x04\x00\x01\x00\x87");
    EXPECT_OK(sl_event_wait(&server->has_message));
    EXPECT_EQ(server->r, -ERR_FORBIDDEN);
    EXPECT(strstr(server->said, "t/#") != NULL);
}

SUSPENDS static void check_too_large(Server *server)
{
    ask(server);
    greet(server, 1, false, true);
    SAY(server, "\x30\xff\xff\xff\x7f");
    EXPECT_OK(sl_event_wait(&server->has_message));
    EXPECT_EQ(server->r, -ERR_TOO_LARGE);
}

TEST(ends_with_what_cannot_mend)
{
    run(check_login, (MqttOpts){ 0 });
    run(check_topic, (MqttOpts){ 0 });
    run(check_too_large, (MqttOpts){ 0 });
}

/* A server that breaks the rules is left, and tried again. */
SUSPENDS static void check_hostile(Server *server)
{
    ask(server);
    greet(server, 1, false, true);
    publish(server, 1, 1, "a", false);
    EXPECT_OK(sl_event_wait(&server->has_message));
    publish(server, 1, 1, "b", false);
    ask(server);
    greet(server, 2, true, false);
    EXPECT_EQ(server->downs, 1);
    SAY(server, "\x30\x02\x00\x00");
    greet(server, 3, true, false);
    SAY(server, "GET / HTTP/1.1\r\n\r\n");
    greet(server, 4, true, false);
    publish(server, 2, 1, "c", false);
    EXPECT_OK(sl_event_wait(&server->has_message));
    EXPECT_STR(str_from_c(server->payload), STR_C("c"));
}

TEST(leaves_a_server_that_breaks_the_rules)
{
    run(check_hostile, (MqttOpts){ 0 });
}

/* What is settled before the stop is acknowledged by it; then comes the goodbye. */
SUSPENDS static void check_stop(Server *server)
{
    ask(server);
    greet(server, 1, false, true);
    publish(server, 1, 1, "a", false);
    EXPECT_OK(sl_event_wait(&server->has_message));
    mqtt_settle(server->mqtt, server->message.ticket);
    sl_nursery_close(server->nursery);
    server->nursery = NULL;
    mqtt_stop(server->mqtt, 1000);
    server->mqtt = NULL;
    EXPECT_HEARS(server, "PUBACK 1");
    EXPECT_HEARS(server, "DISCONNECT");
    EXPECT_HEARS(server, "closed");
}

TEST(says_goodbye)
{
    run(check_stop, (MqttOpts){ 0 });
}

/* A server that has not even greeted is owed no goodbye, and is not waited for. */
SUSPENDS static void check_early_stop(Server *server)
{
    ask(server);
    wait_connects(server, 1);
    EXPECT_HEARS(server, "CONNECT");
    sl_nursery_close(server->nursery);
    server->nursery = NULL;
    EXPECT_EQ(server->r, -ECANCELED);
    mqtt_stop(server->mqtt, INT32_MAX);
    server->mqtt = NULL;
    EXPECT_HEARS(server, "closed");
}

TEST(waits_for_no_server_that_has_not_greeted)
{
    run(check_early_stop, (MqttOpts){ 0 });
}

/* Acknowledgements that go out often do not stand for pings: a server that has nothing to say but
 * its answers to them is there. */
SUSPENDS static void check_pings(Server *server)
{
    enum { N = 20 };
    uint64_t tickets[N];
    size_t acks = 0, pings = 0;

    ask(server);
    greet(server, 1, false, true);
    for (uint16_t i = 0; i < N; i++) {
        publish(server, i + 1, 1, "x", false);
        if (i == 0)
            EXPECT_OK(sl_event_wait(&server->has_message));
        else
            (void) take(server, &tickets[i]);
        tickets[i] = server->message.ticket;
    }
    ask(server);
    for (size_t i = 0; i < N && server->n_connects == 1; i++) {
        const char *said = "PINGREQ";

        EXPECT_OK(sl_sleep_ms(400));
        mqtt_settle(server->mqtt, tickets[i]);
        while (strcmp(said, "PINGREQ") == 0 && server->n_connects == 1) {
            said = hear(server);
            if (strcmp(said, "PINGREQ") == 0)
                SAY(server, "\xd0\x00");
            pings += strcmp(said, "PINGREQ") == 0;
        }
        acks += strncmp(said, "PUBACK", 6) == 0;
    }
    EXPECT_EQ(server->n_connects, 1);
    EXPECT_EQ(server->downs, 0);
    EXPECT_EQ(acks, N);
    EXPECT(pings >= 6); /* in eight seconds */
    sl_nursery_cancel(server->nursery);
}

TEST(pings_though_it_acknowledges)
{
    Server server = { .check = check_pings, .opts = { .keep_alive_ms = 1000 } };

    server.net = sim_net_new(NULL);
    EXPECT_OK(sl_run(run_main, &server, .loop = SL_LOOP_SIM, .seed = 1));
    sim_net_free(server.net);
}

TEST_MAIN()
