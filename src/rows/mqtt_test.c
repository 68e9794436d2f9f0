/*
 * Source mqtt against a real Mosquitto: what it makes of messages, that they are acknowledged after
 * the host has them and not before, and that none is lost when the server or the source goes away
 * in mid-stream.
 */
#include "codec/mqtt.h"
#include "rows/broker_world_test.h"

extern const SourceDriver source_mqtt;

typedef struct Broker {
    uint16_t port;
    char config[100];
    sl_process *process;
    const char *more; /* lines of its configuration */
    bool is_locked;   /* nobody may log in */
} Broker;

static void write_config(Broker *broker)
{
    FILE *file;

    (void) snprintf(broker->config, sizeof(broker->config), "mosquitto-%u.conf", broker->port);
    file = fopen(broker->config, "w");
    fprintf(file,
            "user root\nlistener %u 127.0.0.1\nallow_anonymous %s\npersistence true\n"
            "persistence_file mosquitto-%u.db\nmax_queued_messages 0\nlog_dest none\n%s",
            broker->port, broker->is_locked ? "false" : "true", broker->port,
            broker->more ? broker->more : "");
    (void) fclose(file);
}

SUSPENDS static void launch(Broker *broker)
{
    const char *argv[] = { "setpriv", "--pdeathsig=KILL", "/usr/sbin/mosquitto",
                           "-c",      broker->config,     NULL };

    if (!broker->port) {
        broker->port = test_port();
        write_config(broker);
    }
    EXPECT_OK(sl_process_start(&broker->process, argv, .stderr_as = SL_STDIO_NULL));
    EXPECT_OK(broker_await(broker->port));
}

/* Ask it to end, so that it writes down what it has. */
SUSPENDS static void stop_broker(Broker *broker)
{
    (void) sl_process_kill(broker->process, SIGTERM);
    EXPECT_OK(sl_process_wait(broker->process, NULL));
    sl_process_close(broker->process);
    broker->process = NULL;
}

/* ---- a publisher ----------------------------------------------------------------------------- */

#define ABREAST 100 /* messages that are on their way */

typedef struct Publisher {
    Broker *broker;
    Stream *stream;
    Buf in;
    const char *topic;
    uint8_t qos;
    bool is_retained;
    size_t next, to;    /* numbers to publish */
    SourceWorld *world; /* its rows are at most ABREAST behind; NULL: no matter */
    int r;
    sl_event done;
} Publisher;

SUSPENDS static int await_packet(Publisher *publisher, MqttPacket *packet)
{
    size_t len = 0;
    int r;

    for (;;) {
        char bytes[512];
        ssize_t n;

        if (mqtt_scan(buf_str(&publisher->in), &len) == 0) {
            r = mqtt_decode(MQTT_3_1_1, str_sub(buf_str(&publisher->in), 0, len), packet);
            buf_consume(&publisher->in, len);
            return r;
        }
        n = stream_read(publisher->stream, bytes, sizeof(bytes));
        if (n <= 0)
            return n < 0 ? (int) n : fail(-ERR_CLOSED, "closed");
        buf_add(&publisher->in, bytes, (size_t) n);
    }
}

SUSPENDS static int publisher_open(Publisher *publisher)
{
    AUTO(buf_deinit) Buf out = { 0 };
    MqttPacket packet;
    int r = broker_connect(publisher->broker->port, &publisher->stream);

    if (r < 0)
        return r;
    buf_reset(&publisher->in);
    mqtt_add_connect(&out, &(MqttConnect){ .version = MQTT_3_1_1,
                                           .client_id = STR("publisher"),
                                           .is_clean = true,
                                           .keep_alive_s = 60 });
    r = stream_write_all(publisher->stream, out.data, out.len);
    return r < 0 ? r : await_packet(publisher, &packet);
}

SUSPENDS static int publish_text(Publisher *publisher, const char *topic, const char *text)
{
    AUTO(buf_deinit) Buf out = { 0 };
    MqttPacket packet;
    int r;

    mqtt_add_publish(&out, &(MqttPublish){ .version = MQTT_3_1_1,
                                           .id = 1,
                                           .qos = publisher->qos,
                                           .is_retained = publisher->is_retained,
                                           .topic = str_from_c(topic),
                                           .payload = str_from_c(text) });
    r = stream_write_all(publisher->stream, out.data, out.len);
    if (r < 0 || publisher->qos == 0)
        return r;
    r = await_packet(publisher, &packet);
    if (r < 0 || publisher->qos == 1)
        return r;
    buf_reset(&out);
    mqtt_add_ack(&out, MQTT_PUBREL, 1);
    r = stream_write_all(publisher->stream, out.data, out.len);
    return r < 0 ? r : await_packet(publisher, &packet);
}

SUSPENDS static void publisher_close(Publisher *publisher)
{
    stream_close(publisher->stream);
    publisher->stream = NULL;
    buf_deinit(&publisher->in);
}

/* Publish numbers one after the other, each until the broker has it. */
SUSPENDS static int publish_numbers(void *arg)
{
    Publisher *publisher = arg;
    char text[16];
    int r = publisher_open(publisher);

    while (publisher->next < publisher->to && !sl_is_cancelled()) {
        if (publisher->world && publisher->next > publisher->world->rows + ABREAST) {
            (void) sl_cond_wait(&publisher->world->changed); /* the loop looks */
            continue;
        }
        (void) snprintf(text, sizeof(text), "%zu", publisher->next);
        if (r == 0)
            r = publish_text(publisher, publisher->topic, text);
        if (r == 0) {
            publisher->next++;
            continue;
        }
        publisher_close(publisher);
        r = publisher_open(publisher);
        if (r < 0 && sl_is_cancelled())
            break;
    }
    publisher_close(publisher);
    sl_event_set(&publisher->done);
    return 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static const char *settings(const Broker *broker, const char *more)
{
    static char json[600];

    (void) snprintf(json, sizeof(json), "{\"server\":\"127.0.0.1:%u\"%s%s}", broker->port,
                    more[0] ? "," : "", more);
    return json;
}

static bool has(const SourceWorld *world, const char *part)
{
    return str_contains(buf_str(&world->text), str_from_c(part));
}

static void run(SUSPENDS void (*check)(SourceWorld *world))
{
    if (!broker_has("mosquitto") || !broker_has("setpriv"))
        return test_skip("there is no mosquitto, or no setpriv");
    source_world_run_on(SL_LOOP_EPOLL, check, NULL);
}

SUSPENDS static void allow_private(SourceWorld *world)
{
    world->source.is_private_allowed = true;
}

/* A message is a row: its number, its topic, and the levels that the pattern names. */
SUSPENDS static void check_values(SourceWorld *world)
{
    Broker broker = { 0 };
    Publisher publisher = { .broker = &broker, .qos = 1 };

    allow_private(world);
    launch(&broker);
    EXPECT_OK(publisher_open(&publisher));
    source_world_start(world, &source_mqtt,
                       settings(&broker, "\"topics\":[\"s/#\"],\"value\":\"number\","
                                         "\"pattern\":\"s/{building}/+/{sensor}\""));
    source_world_wait_said(world, "connected");
    EXPECT_OK(publish_text(&publisher, "s/b1/x/t7", "21.5"));
    EXPECT_OK(publish_text(&publisher, "s/b1/x/t7", "warm"));
    EXPECT_OK(publish_text(&publisher, "s/other", " 3 "));
    publisher.qos = 2;
    EXPECT_OK(publish_text(&publisher, "s/b1/x/t8", "-1e3"));
    source_world_wait_rows(world, 4);
    EXPECT(has(world, "\"topic\":\"s/b1/x/t7\""));
    EXPECT(has(world, "\"building\":\"b1\",\"sensor\":\"t7\""));
    EXPECT(has(world, "\"value\":21.5"));
    EXPECT(has(world, "bad_number: warm"));
    EXPECT(has(world, "\"building\":null"));
    EXPECT_EQ(world->rows, 3);
    EXPECT_OK(source_world_stop(world));
    publisher_close(&publisher);
    stop_broker(&broker);
}

TEST(makes_rows_of_messages)
{
    run(check_values);
}

/* Lines of several messages share a payload; one with an open quote costs no neighbour. */
SUSPENDS static void check_formats(SourceWorld *world)
{
    Broker broker = { 0 };
    Publisher publisher = { .broker = &broker, .qos = 1 };

    allow_private(world);
    launch(&broker);
    EXPECT_OK(publisher_open(&publisher));
    source_world_start(world, &source_mqtt, settings(&broker, "\"topics\":[\"f\"]"));
    source_world_wait_said(world, "connected");
    world->is_full = true;
    EXPECT_OK(publish_text(&publisher, "f", "m value=1 1"));
    source_world_wait_full(world, 1);
    EXPECT_OK(publish_text(&publisher, "f", "m text=\"open 2"));
    EXPECT_OK(publish_text(&publisher, "f", "m value=3 3"));
    EXPECT_OK(publish_text(&publisher, "f", "{\"value\": 4}"));
    EXPECT_OK(publish_text(&publisher, "f", "[{\"value\": 5},\n {\"value\": 6}]"));
    EXPECT_OK(publish_text(&publisher, "f", ""));
    EXPECT_OK(publish_text(&publisher, "f", "{\"value\":\n7}"));
    source_world_set_full(world, false);
    source_world_wait_rows(world, 7);
    EXPECT_EQ(world->rows, 6);
    EXPECT_EQ(world->refused, 1);
    for (int i = 1; i <= 7; i++) {
        char part[16];

        (void) snprintf(part, sizeof(part), "\"value\":%d", i);
        if (i != 2 && !has(world, part))
            test_fail(__FILE__, __LINE__, "%s is missing in %.*s", part, (int) world->text.len,
                      world->text.data);
    }
    EXPECT_OK(source_world_stop(world));
    publisher_close(&publisher);
    stop_broker(&broker);
}

TEST(decodes_messages_together)
{
    run(check_formats);
}

/* O1: what the host has not committed comes again, to the next client with this id. */
SUSPENDS static void check_acknowledge(SourceWorld *world)
{
    static const char *const versions[] = { "3.1.1", "5" };

    allow_private(world);
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        for (uint8_t qos = 1; qos <= 2; qos++) {
            Broker broker = { 0 };
            Publisher publisher = { .broker = &broker, .qos = qos };
            char more[200];
            uint64_t before = world->rows;

            (void) snprintf(more, sizeof(more),
                            "\"topics\":[\"a\"],\"value\":\"number\",\"qos\":\"%u\","
                            "\"version\":\"%s\"",
                            qos, versions[i]);
            launch(&broker);
            EXPECT_OK(publisher_open(&publisher));
            world->is_holding = true;
            world->said[0] = 0;
            source_world_start(world, &source_mqtt, settings(&broker, more));
            source_world_wait_said(world, "connected");
            EXPECT_OK(publish_text(&publisher, "a", "1"));
            EXPECT_OK(publish_text(&publisher, "a", "2"));
            source_world_wait_rows(world, before + 2);
            sl_event_set(&world->stopping);
            EXPECT_OK(sl_yield());
            EXPECT(!world->ended.is_set); /* O3: it waits for the receipts */
            source_world_settle(world, -ECANCELED);
            EXPECT_OK(source_world_stop(world));
            world->is_holding = false;
            source_world_start(world, &source_mqtt, settings(&broker, more));
            source_world_wait_rows(world, before + 4);
            EXPECT_OK(source_world_stop(world));
            source_world_start(world, &source_mqtt, settings(&broker, more));
            EXPECT_OK(publish_text(&publisher, "a", "3"));
            source_world_wait_rows(world, before + 5);
            EXPECT_EQ(world->rows, before + 5); /* nothing that was committed came again */
            EXPECT_OK(source_world_stop(world));
            publisher_close(&publisher);
            stop_broker(&broker);
        }
    }
}

TEST(acknowledges_after_the_commit)
{
    run(check_acknowledge);
}

/* The server is stopped and started in mid-stream, parcels being held now and then. (A Mosquitto
 * 2.0.11 that comes back heeds no receive maximum, and beyond its own max_inflight_messages it
 * sends again what was released already: the publisher takes care that no more than that are on
 * their way.) */
SUSPENDS static void check_restarts(SourceWorld *world)
{
    enum { N = 3000 };
    static BrokerTally tally;
    Broker broker = { .more = "max_inflight_messages 200\n" };
    Publisher publisher = { .broker = &broker, .topic = "n", .qos = 2, .to = N, .world = world };
    char more[] = "\"topics\":[\"n\"],\"value\":\"number\",\"qos\":\"2\",\"client_id\":\"c\"";

    allow_private(world);
    launch(&broker);
    source_world_start(world, &source_mqtt, settings(&broker, more));
    source_world_wait_said(world, "connected");
    EXPECT_OK(sl_spawn(world->nursery, publish_numbers, &publisher, .name = "publisher"));
    for (uint64_t at = N / 5; at < N; at += N / 5) {
        source_world_wait_rows(world, at);
        world->is_holding = true;
        source_world_wait_rows(world, at + 50);
        stop_broker(&broker);
        launch(&broker);
        world->is_holding = false;
        source_world_settle(world, 0);
    }
    EXPECT_OK(sl_event_wait(&publisher.done));
    source_world_wait_rows(world, N);
    EXPECT_OK(source_world_stop(world));
    stop_broker(&broker);
    broker_tally(world, N, &tally);
    EXPECT_EQ(tally.missing, 0);
    EXPECT_EQ(tally.doubled, 0); /* quality 2, and the source lived */
}

TEST(loses_nothing_when_the_server_restarts)
{
    run(check_restarts);
}

/* The source gives up what it holds, as a process that dies does, and begins again. */
SUSPENDS static void check_deaths(SourceWorld *world)
{
    enum { N = 2000 };
    static BrokerTally tally;
    Broker broker = { 0 };
    Publisher publisher = { .broker = &broker, .topic = "n", .qos = 1, .to = N };
    char more[] = "\"topics\":[\"n\"],\"value\":\"number\",\"client_id\":\"d\"";

    allow_private(world);
    launch(&broker);
    source_world_start(world, &source_mqtt, settings(&broker, more));
    source_world_wait_said(world, "connected");
    EXPECT_OK(sl_spawn(world->nursery, publish_numbers, &publisher, .name = "publisher"));
    for (uint64_t at = N / 5; at < N; at += N / 5) {
        source_world_wait_rows(world, at);
        world->is_holding = true;
        source_world_wait_rows(world, at + 10);
        sl_event_set(&world->stopping);
        source_world_settle(world, -ECANCELED);
        world->is_holding = false;
        EXPECT_OK(source_world_stop(world));
        source_world_start(world, &source_mqtt, settings(&broker, more));
    }
    EXPECT_OK(sl_event_wait(&publisher.done));
    source_world_wait_rows(world, N);
    do {
        broker_tally(world, N, &tally);
    } while (tally.missing > 0 && sl_sleep_ms(20) == 0 && !test_has_failed() &&
             world->rows < 20 * N);
    EXPECT_EQ(tally.missing, 0);
    EXPECT_OK(source_world_stop(world));
    stop_broker(&broker);
}

TEST(loses_nothing_when_the_source_dies)
{
    run(check_deaths);
}

/* What is retained comes to a new subscription, unless it is not wanted. */
SUSPENDS static void check_retained(SourceWorld *world)
{
    Broker broker = { 0 };
    Publisher publisher = { .broker = &broker, .qos = 1, .is_retained = true };

    allow_private(world);
    launch(&broker);
    EXPECT_OK(publisher_open(&publisher));
    EXPECT_OK(publish_text(&publisher, "r", "1"));
    source_world_start(world, &source_mqtt,
                       settings(&broker, "\"topics\":[\"r\"],\"value\":\"number\","
                                         "\"topic_column\":\"-\""));
    source_world_wait_rows(world, 1);
    EXPECT(!has(world, "topic") && !has(world, "\"-\""));
    EXPECT_OK(source_world_stop(world));
    world->said[0] = 0;
    source_world_start(world, &source_mqtt,
                       settings(&broker, "\"topics\":[\"r\"],\"value\":\"number\","
                                         "\"version\":\"3.1.1\",\"retained\":false,"
                                         "\"client_id\":\"other\""));
    source_world_wait_said(world, "connected");
    publisher.is_retained = false;
    EXPECT_OK(publish_text(&publisher, "r", "2"));
    source_world_wait_rows(world, 2);
    EXPECT(has(world, "\"value\":2"));
    EXPECT_OK(source_world_stop(world));
    publisher_close(&publisher);
    stop_broker(&broker);
}

TEST(takes_what_is_retained)
{
    run(check_retained);
}

/* Two subscribers of one group share the messages: together they have each once. */
SUSPENDS static void check_shared(SourceWorld *world)
{
    static const char *const ids[] = { "one", "two" };
    enum { N = 40 };
    Broker broker = { 0 };
    Publisher publisher = { .broker = &broker, .topic = "g/x", .qos = 1, .to = N };
    static BrokerTally tally;
    char more[200];

    allow_private(world);
    launch(&broker);
    for (size_t round = 0; round < 2; round++) {
        /* Both have a session; the first round makes them, the second takes what they hold. */
        for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
            (void) snprintf(more, sizeof(more),
                            "\"topics\":[\"g/+\"],\"value\":\"number\",\"group\":\"crew\","
                            "\"client_id\":\"%s\"",
                            ids[i]);
            world->said[0] = 0;
            source_world_start(world, &source_mqtt, settings(&broker, more));
            source_world_wait_said(world, "connected");
            if (round == 1 && i == 1)
                source_world_wait_rows(world, N);
            else if (round == 1)
                source_world_wait_rows(world, N / 2); /* Mosquitto takes turns */
            EXPECT_OK(source_world_stop(world));
        }
        if (round == 0) {
            EXPECT_OK(publish_numbers(&publisher));
            world->text.len = 0;
        }
    }
    broker_tally(world, N, &tally);
    EXPECT_EQ(tally.missing, 0);
    EXPECT_EQ(tally.doubled, 0);
    stop_broker(&broker);
}

TEST(shares_with_its_group)
{
    run(check_shared);
}

/* A login that is refused ends the source, and says why. */
SUSPENDS static void check_refused(SourceWorld *world)
{
    Broker broker = { .is_locked = true };

    allow_private(world);
    launch(&broker);
    source_world_start(world, &source_mqtt,
                       settings(&broker, "\"topics\":[\"r\"],\"username\":\"u\","
                                         "\"password\":\"secret\""));
    EXPECT_ERR(source_world_join(world), -ERR_FORBIDDEN, "refuses the login");
    world->source.is_private_allowed = false;
    source_world_start(world, &source_mqtt, settings(&broker, "\"topics\":[\"r\"]"));
    EXPECT_ERR(source_world_join(world), -ERR_FORBIDDEN, "private");
    source_world_start(world, &source_mqtt, settings(&broker, "\"topics\":[\"r/#/x\"]"));
    EXPECT_ERR(source_world_join(world), -ERR_INVALID, "r/#/x");
    stop_broker(&broker);
}

/* The pipeline fails, and says so to a source that hands on just then. */
SUSPENDS static int put_and_stop(Source *source, TAKES Parcel *parcel)
{
    SourceWorld *world = source->owner;

    sl_event_set(source->stopping);
    source_world_settle_one(world, parcel, -ERR_UNAVAILABLE);
    return fail(-ERR_UNAVAILABLE, "the pipeline has failed");
}

/* Would catch a stop that reaches for a reading which has just ended by itself. */
SUSPENDS static void check_failed(SourceWorld *world)
{
    Broker broker = { 0 };
    Publisher publisher = { .broker = &broker, .qos = 1, .is_retained = true };
    SourceHost host = source_world_host;

    host.put = put_and_stop;
    allow_private(world);
    launch(&broker);
    EXPECT_OK(publisher_open(&publisher));
    EXPECT_OK(publish_text(&publisher, "r", "1"));
    source_world_start(world, &source_mqtt,
                       settings(&broker, "\"topics\":[\"r\"],\"value\":\"number\""));
    world->source.host = &host; /* it has not run yet */
    EXPECT_EQ(source_world_join(world), -ERR_UNAVAILABLE);
    publisher_close(&publisher);
    stop_broker(&broker);
}

TEST(ends_while_it_is_stopped)
{
    run(check_failed);
}

TEST(ends_when_it_may_not)
{
    run(check_refused);
}

TEST(reads_its_short_form)
{
    AUTO(buf_deinit) Buf json = { 0 };

    EXPECT_OK(source_from_text(
        &source_mqtt, STR_C("mqtts://me:p%40ss@host:8884/a/+/#?qos=2&keep_alive=5s"), &json));
    EXPECT_STR(buf_str(&json),
               STR_C("{\"server\":\"host:8884\",\"topics\":[\"a/+/#\"],\"qos\":\"2\","
                     "\"username\":\"me\",\"password\":\"p@ss\",\"keep_alive\":\"5s\","
                     "\"tls\":true}"));
}

TEST_MAIN()
