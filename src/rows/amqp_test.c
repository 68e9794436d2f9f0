/*
 * Source amqp against a real RabbitMQ: acknowledged after the commit, nothing lost when the broker
 * is killed and started in mid-stream, when its connection is cut, when the queue is deleted.
 *
 * The broker has a node name, ports and folders of its own; so has the epmd that Erlang wants.
 * Starting it takes seconds, so that all tests share one run of the world.
 */
#include "rows/amqp_library_int.h"
#include "rows/broker_world_test.h"

extern const SourceDriver source_amqp;

#define CHUNK  50 /* messages that are published at once */
#define RABBIT "/usr/lib/rabbitmq/bin/rabbitmq-server"

typedef struct Broker {
    uint16_t port, epmd_port;
    char env[8][300];
    sl_process *process, *epmd;
} Broker;

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");

    (void) fputs(text, file);
    (void) fclose(file);
}

static void prepare(Broker *broker)
{
    const char *dir = test_dir();
    char conf[200];

    broker->port = test_port();
    broker->epmd_port = test_port();
    (void) snprintf(conf, sizeof(conf),
                    "listeners.tcp.1 = 127.0.0.1:%u\nloopback_users = none\n"
                    "log.console = false\n",
                    broker->port);
    write_file("rabbit.conf", conf);
    write_file("plugins", "[].\n");
    (void) snprintf(broker->env[0], 300, "RABBITMQ_NODENAME=sluice%u@localhost", broker->port);
    (void) snprintf(broker->env[1], 300, "RABBITMQ_DIST_PORT=%u", test_port());
    (void) snprintf(broker->env[2], 300, "HOME=%s", dir);
    (void) snprintf(broker->env[3], 300, "RABBITMQ_CONFIG_FILE=%s/rabbit", dir);
    (void) snprintf(broker->env[4], 300, "RABBITMQ_ENABLED_PLUGINS_FILE=%s/plugins", dir);
    (void) snprintf(broker->env[5], 300, "RABBITMQ_LOG_BASE=%s/log", dir);
    (void) snprintf(broker->env[6], 300, "RABBITMQ_MNESIA_BASE=%s/mnesia", dir);
    (void) snprintf(broker->env[7], 300, "ERL_EPMD_PORT=%u", broker->epmd_port);
}

SUSPENDS static void launch(Broker *broker)
{
    const char *argv[] = { RABBIT, NULL };
    const char *env[] = { broker->env[0],
                          broker->env[1],
                          broker->env[2],
                          broker->env[3],
                          broker->env[4],
                          broker->env[5],
                          broker->env[6],
                          broker->env[7],
                          "LANG=C.UTF-8",
                          "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1",
                          "PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                          NULL };

    EXPECT_OK(sl_process_start(&broker->process, argv, .env = env));
    EXPECT_OK(broker_await(broker->port));
}

SUSPENDS static void launch_first(Broker *broker)
{
    char port[8];
    const char *argv[] = { "setpriv", "--pdeathsig=KILL", "epmd",      "-port",
                           port,      "-address",         "127.0.0.1", NULL };

    prepare(broker);
    (void) snprintf(port, sizeof(port), "%u", broker->epmd_port);
    EXPECT_OK(sl_process_start(&broker->epmd, argv));
    EXPECT_OK(broker_await(broker->epmd_port));
    launch(broker);
}

SUSPENDS static void kill_broker(Broker *broker)
{
    (void) sl_process_kill_group(broker->process, SIGKILL);
    sl_process_close(broker->process);
    broker->process = NULL;
}

/* ---- a publisher, on the pool ---------------------------------------------------------------- */

typedef struct Publisher {
    Broker *broker;
    const char *queue; /* declared durable */
    const char *text;  /* one message; NULL: numbers */
    size_t next, to;
    bool is_deleting; /* the queue, and nothing else */
    bool is_stopped;
    sl_event done;
} Publisher;

static amqp_connection_state_t publisher_open(Publisher *publisher, uint64_t *confirmed)
{
    amqp_connection_state_t state = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(state);
    struct timeval time = { .tv_sec = 10 };

    (void) amqp_set_rpc_timeout(state, &time);
    (void) amqp_set_handshake_timeout(state, &time);
    if (amqp_socket_open(socket, "127.0.0.1", publisher->broker->port) == AMQP_STATUS_OK &&
        amqp_login(state, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type ==
            AMQP_RESPONSE_NORMAL &&
        amqp_channel_open(state, 1) && amqp_confirm_select(state, 1) &&
        amqp_queue_declare(state, 1, amqp_cstring_bytes(publisher->queue), 0, 1, 0, 0,
                           amqp_empty_table)) {
        *confirmed = 0;
        return state;
    }
    (void) amqp_destroy_connection(state);
    return NULL;
}

/* Wait until the broker has COUNT messages more than *CONFIRMED. */
static bool await_confirms(amqp_connection_state_t state, uint64_t *confirmed, size_t count)
{
    uint64_t want = *confirmed + count;
    struct timeval time = { .tv_sec = 10 };
    amqp_frame_t frame;

    while (*confirmed < want) {
        const amqp_basic_ack_t *ack;

        if (amqp_simple_wait_frame_noblock(state, &frame, &time) != AMQP_STATUS_OK ||
            frame.frame_type != AMQP_FRAME_METHOD ||
            frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
            return false;
        ack = frame.payload.method.decoded;
        *confirmed = ack->multiple ? ack->delivery_tag : *confirmed + 1;
    }
    amqp_maybe_release_buffers(state);
    return true;
}

/* Publish up to CHUNK messages and wait until the broker has them. */
static bool publish(Publisher *publisher, amqp_connection_state_t state, uint64_t *confirmed)
{
    amqp_basic_properties_t properties = { ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                           .delivery_mode = 2 };
    size_t n = MIN(publisher->to - publisher->next, (size_t) CHUNK);
    char number[16];

    for (size_t i = 0; i < n; i++) {
        (void) snprintf(number, sizeof(number), "%zu", publisher->next + i);
        if (amqp_basic_publish(
                state, 1, amqp_empty_bytes, amqp_cstring_bytes(publisher->queue), 0, 0, &properties,
                amqp_cstring_bytes(publisher->text ? publisher->text : number)) != AMQP_STATUS_OK)
            return false;
    }
    if (!await_confirms(state, confirmed, n))
        return false;
    publisher->next += n;
    return true;
}

static int publisher_main(void *arg)
{
    Publisher *publisher = arg;
    amqp_connection_state_t state = NULL;
    uint64_t confirmed = 0;

    while (publisher->next < publisher->to && !publisher->is_stopped) {
        if (!state && !(state = publisher_open(publisher, &confirmed))) {
            (void) usleep(50000);
            continue;
        }
        if (publisher->is_deleting) {
            (void) amqp_queue_delete(state, 1, amqp_cstring_bytes(publisher->queue), 0, 0);
            publisher->next++;
        } else if (!publish(publisher, state, &confirmed)) {
            (void) amqp_destroy_connection(state);
            state = NULL;
        }
    }
    if (state)
        (void) amqp_destroy_connection(state);
    return 0;
}

SUSPENDS static int publisher_fiber(void *arg)
{
    Publisher *publisher = arg;
    int r = sl_offload(publisher_main, publisher, .name = "publisher");

    sl_event_set(&publisher->done);
    return r;
}

SUSPENDS static void send_text(Broker *broker, const char *queue, const char *text)
{
    Publisher publisher = { .broker = broker, .queue = queue, .text = text, .to = 1 };

    EXPECT_OK(sl_offload(publisher_main, &publisher));
}

/* ---- what is tested -------------------------------------------------------------------------- */

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

SUSPENDS static void check_rows(SourceWorld *world, Broker *broker)
{
    send_text(broker, "b1.t7", "m value=1 1");
    send_text(broker, "b1.t7", "{\"value\":2}");
    send_text(broker, "b1.t7", "what is this");
    source_world_start(world, &source_amqp,
                       settings(broker, "\"queue\":\"b1.t7\","
                                        "\"pattern\":\"{building}.{sensor}\""));
    source_world_wait_rows(world, 3);
    EXPECT(has(world, "\"routing_key\":\"b1.t7\",\"building\":\"b1\",\"sensor\":\"t7\""));
    EXPECT(has(world, "\"value\":1"));
    EXPECT(has(world, "\"value\":2"));
    EXPECT_EQ(world->refused, 1);
    EXPECT_OK(source_world_stop(world));
}

/* O1: what was not committed comes again, and says that it is a repeat; what was does not. */
SUSPENDS static void check_acknowledge(SourceWorld *world, Broker *broker)
{
    const char *more = "\"queue\":\"a\",\"value\":\"number\",\"declare\":\"durable\"";
    uint64_t before = world->rows;

    world->is_holding = true;
    source_world_start(world, &source_amqp, settings(broker, more));
    send_text(broker, "a", "1");
    send_text(broker, "a", "2");
    source_world_wait_rows(world, before + world->refused + 2);
    EXPECT(!LIST_ITEM(world->held.first, Parcel, link)->receipt->is_repeat);
    sl_event_set(&world->stopping);
    EXPECT_OK(sl_yield());
    EXPECT(!world->ended.is_set); /* O3 */
    source_world_settle(world, -ECANCELED);
    EXPECT_OK(source_world_stop(world));
    source_world_start(world, &source_amqp, settings(broker, more));
    source_world_wait_rows(world, before + world->refused + 4);
    EXPECT(LIST_ITEM(world->held.first, Parcel, link)->receipt->is_repeat);
    source_world_settle(world, 0);
    world->is_holding = false;
    EXPECT_OK(source_world_stop(world));
    send_text(broker, "a", "3");
    source_world_start(world, &source_amqp, settings(broker, more));
    source_world_wait_rows(world, before + world->refused + 5);
    EXPECT_OK(source_world_stop(world));
    EXPECT_EQ(world->rows, before + 5);
}

/* What is given back while the source goes on comes again. */
SUSPENDS static void check_give_back(SourceWorld *world, Broker *broker)
{
    uint64_t before = world->rows + world->refused;

    world->is_holding = true;
    source_world_start(world, &source_amqp,
                       settings(broker, "\"queue\":\"a\",\"value\":\"number\""));
    send_text(broker, "a", "7");
    source_world_wait_rows(world, before + 1);
    world->is_holding = false;
    source_world_settle(world, -ERR_UNAVAILABLE);
    source_world_wait_rows(world, before + 2);
    EXPECT_OK(source_world_stop(world));
}

/* A queue that is deleted is waited for. */
SUSPENDS static void check_cancelled(SourceWorld *world, Broker *broker)
{
    Publisher deleter = { .broker = broker, .queue = "gone", .to = 1, .is_deleting = true };
    uint64_t before = world->rows + world->refused;

    source_world_start(world, &source_amqp,
                       settings(broker, "\"queue\":\"gone\",\"value\":\"number\""));
    EXPECT_ERR(source_world_join(world), -ERR_NOT_FOUND, "gone");
    source_world_start(world, &source_amqp,
                       settings(broker, "\"queue\":\"gone\",\"value\":\"number\","
                                        "\"declare\":\"durable\",\"heartbeat\":\"2s\""));
    source_world_wait_said(world, "connected");
    send_text(broker, "gone", "0");
    source_world_wait_rows(world, before + 1);
    /* The source may be connected again before the one who deletes hears that it is done. */
    EXPECT_OK(sl_spawn(world->nursery, publisher_fiber, &deleter, .name = "deleter"));
    source_world_wait_said(world, "cancelled");
    EXPECT_OK(sl_event_wait(&deleter.done));
    send_text(broker, "gone", "1");
    source_world_wait_rows(world, before + 2);
    EXPECT_OK(source_world_stop(world));
}

SUSPENDS static void check_refused(SourceWorld *world, Broker *broker)
{
    source_world_start(world, &source_amqp,
                       settings(broker, "\"queue\":\"a\",\"password\":\"wrong\""));
    EXPECT_ERR(source_world_join(world), -ERR_FORBIDDEN, "log in");
    source_world_start(world, &source_amqp,
                       settings(broker, "\"queue\":\"a\",\"vhost\":\"elsewhere\""));
    EXPECT_ERR(source_world_join(world), -ERR_FORBIDDEN, "elsewhere");
    world->source.is_private_allowed = false;
    source_world_start(world, &source_amqp, settings(broker, "\"queue\":\"a\""));
    EXPECT_ERR(source_world_join(world), -ERR_FORBIDDEN, "private");
    world->source.is_private_allowed = true;
}

/* The broker is killed in mid-stream and the source stopped in mid-stream, parcels being held. */
SUSPENDS static void check_deaths(SourceWorld *world, Broker *broker)
{
    enum { N = 1000 };
    static BrokerTally tally;
    Publisher publisher = { .broker = broker, .queue = "n", .to = N };
    const char *more = "\"queue\":\"n\",\"value\":\"number\",\"declare\":\"durable\","
                       "\"prefetch\":200,\"heartbeat\":\"2s\"";
    uint64_t before = world->rows + world->refused;

    buf_reset(&world->text);
    EXPECT_OK(sl_spawn(world->nursery, publisher_fiber, &publisher, .name = "publisher"));
    source_world_start(world, &source_amqp, settings(broker, more));
    broker_wait_rows(world, before + N / 4);
    world->is_holding = true;
    broker_wait_rows(world, before + N / 4 + 20);
    kill_broker(broker);
    launch(broker);
    world->is_holding = false;
    source_world_settle(world, 0); /* of a connection that is gone */
    broker_wait_rows(world, before + N / 2);
    world->is_holding = true;
    broker_wait_rows(world, before + N / 2 + 20);
    sl_event_set(&world->stopping);
    source_world_settle(world, -ECANCELED);
    EXPECT_OK(source_world_stop(world));
    world->is_holding = false;
    source_world_start(world, &source_amqp, settings(broker, more));
    if (!test_has_failed())
        EXPECT_OK(sl_event_wait(&publisher.done));
    publisher.is_stopped = true;
    do {
        broker_tally(world, N, &tally);
    } while (tally.missing > 0 && sl_sleep_ms(20) == 0 && world->rows < 20 * N);
    EXPECT_EQ(tally.missing, 0);
    EXPECT_OK(source_world_stop(world));
}

SUSPENDS static void check_all(SourceWorld *world)
{
    Broker broker = { 0 };

    world->source.is_private_allowed = true;
    launch_first(&broker);
    check_rows(world, &broker);
    check_acknowledge(world, &broker);
    check_give_back(world, &broker);
    check_cancelled(world, &broker);
    check_refused(world, &broker);
    check_deaths(world, &broker);
    kill_broker(&broker);
    sl_process_close(broker.epmd);
}

TEST(against_a_real_broker)
{
    if (access(RABBIT, X_OK) != 0 || !broker_has("epmd") || !broker_has("setpriv"))
        return test_skip("there is no rabbitmq-server");
    source_world_run_on(SL_LOOP_EPOLL, check_all, NULL);
}

TEST_MAIN()
