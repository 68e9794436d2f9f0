/*
 * Source kafka against librdkafka's own mock cluster: offsets are committed after the host has the
 * messages, positions lead on where a sink stands, and none is lost when the source dies or the
 * brokers go away.
 *
 * Members of a group have to wait (kafka_cluster_test.h). So each check has a cluster and a world
 * of its own, they all wait at once, and what the group knows is asked for beside the source
 * instead of starting it again.
 */
#include "rows/broker_world_test.h"
#include "rows/kafka_cluster_test.h"
#include "rows/messages.h"

#define GROUP "sluice-readings" /* of the world's pipeline */

enum { API_OFFSET_COMMIT = 8, API_OFFSET_FETCH = 9 }; /* of Kafka's protocol */

extern const SourceDriver source_kafka;

/* ---- what the group knows -------------------------------------------------------------------- */

typedef struct Stand {
    const KafkaCluster *cluster;
    const char *topic;
    bool is_commit; /* of offset; else it is asked for until it is that */
    int64_t offset;
    int64_t found;
} Stand;

/* On the pool. One that is no member may commit while there is no group. */
static int stand_main(void *arg)
{
    Stand *stand = arg;
    const char *const settings[] = { "bootstrap.servers", stand->cluster->servers, "group.id",
                                     GROUP, NULL };
    rd_kafka_t *rk = kafka_client_new(RD_KAFKA_CONSUMER, settings);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *one = rd_kafka_topic_partition_list_add(list, stand->topic, 0);

    one->offset = stand->offset;
    if (stand->is_commit)
        EXPECT_EQ(rd_kafka_commit(rk, list, 0), 0);
    for (int i = 0; i < 10000 && !stand->is_commit; i++) {
        if (rd_kafka_committed(rk, list, 10000) == 0 && one->offset == stand->offset)
            break;
    }
    stand->found = one->offset;
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
    return 0;
}

/* The group comes to stand at OFFSET of partition 0. */
SUSPENDS static void await_stand(const KafkaCluster *cluster, const char *topic, int64_t offset)
{
    Stand stand = { .cluster = cluster, .topic = topic, .offset = offset };

    EXPECT_OK(sl_offload(stand_main, &stand));
    EXPECT_EQ(stand.found, offset);
}

SUSPENDS static void set_stand(const KafkaCluster *cluster, const char *topic, int64_t offset)
{
    Stand stand = { .cluster = cluster, .topic = topic, .offset = offset, .is_commit = true };

    EXPECT_OK(sl_offload(stand_main, &stand));
}

/* ---- the checks ------------------------------------------------------------------------------ */

static const char *settings(const KafkaCluster *cluster, const char *more)
{
    static char json[800];

    (void) snprintf(json, sizeof(json),
                    "{\"server\":\"%s\",%s,\"properties\":{\"session.timeout.ms\":3100,"
                    "\"heartbeat.interval.ms\":500,\"reconnect.backoff.max.ms\":200}}",
                    cluster->servers, more);
    return json;
}

static bool has(const SourceWorld *world, const char *part)
{
    return str_contains(buf_str(&world->text), str_from_c(part));
}

/* Messages in several formats; a row has its topic. Two rows of one message have two positions. */
SUSPENDS static void check_rows(SourceWorld *world)
{
    KafkaCluster cluster;

    kafka_cluster_open(&cluster, "s.b1");
    world->source.is_private_allowed = true;
    kafka_send_text(&cluster, "s.b1", "m value=1 1\nm value=2 2");
    kafka_send_text(&cluster, "s.b1", "{\"value\":3}");
    kafka_send_text(&cluster, "s.b1", "what is this");
    source_world_start(world, &source_kafka,
                       settings(&cluster, "\"topics\":[\"s.b1\"],\"pattern\":\"s.{building}\""));
    broker_wait_rows(world, 4);
    EXPECT(has(world, "\"topic\":\"s.b1\",\"building\":\"b1\""));
    EXPECT(has(world, "\"value\":2"));
    EXPECT(has(world, "\"value\":3"));
    EXPECT_EQ(world->refused, 1);
    EXPECT_OK(source_world_stop(world));
    kafka_cluster_close(&cluster);
}

/* A group that cannot say where it stands is asked again: its partitions are not forgotten. */
SUSPENDS static void check_asks_again(SourceWorld *world)
{
    KafkaCluster cluster;

    kafka_cluster_open(&cluster, "a");
    world->source.is_private_allowed = true;
    kafka_send_text(&cluster, "a", "1");
    rd_kafka_mock_push_request_errors(cluster.mock, API_OFFSET_FETCH, 2, RD_KAFKA_RESP_ERR_UNKNOWN,
                                      RD_KAFKA_RESP_ERR_UNKNOWN);
    source_world_start(world, &source_kafka,
                       settings(&cluster, "\"topics\":[\"a\"],\"value\":\"number\""));
    source_world_wait_said(world, "where the group stands");
    broker_wait_rows(world, 1);
    EXPECT_OK(source_world_stop(world));
    kafka_cluster_close(&cluster);
}

/* O1 without positions: the group gets what is settled, also while the source goes on, and nothing
 * of what is given back. */
SUSPENDS static void check_commit(SourceWorld *world)
{
    KafkaCluster cluster;

    kafka_cluster_open(&cluster, "n");
    world->source.is_private_allowed = true;
    world->is_holding = true;
    kafka_send_text(&cluster, "n", "1");
    kafka_send_text(&cluster, "n", "2");
    source_world_start(world, &source_kafka,
                       settings(&cluster, "\"topics\":[\"n\"],\"value\":\"number\""));
    broker_wait_rows(world, 2);
    await_stand(&cluster, "n", RD_KAFKA_OFFSET_INVALID);
    source_world_settle(world, 0);
    await_stand(&cluster, "n", 2);
    kafka_send_text(&cluster, "n", "3");
    broker_wait_rows(world, 3);
    source_world_settle(world, 0);
    kafka_send_text(&cluster, "n", "4");
    broker_wait_rows(world, 4);
    sl_event_set(&world->stopping);
    source_world_settle(world, -ECANCELED);
    EXPECT_OK(source_world_stop(world));
    await_stand(&cluster, "n", 3);
    kafka_cluster_close(&cluster);
}

/* A commit that the brokers refuse is made again, though nothing new comes. */
SUSPENDS static void check_commits_again(SourceWorld *world)
{
    KafkaCluster cluster;

    kafka_cluster_open(&cluster, "c");
    world->source.is_private_allowed = true;
    kafka_send_text(&cluster, "c", "1");
    rd_kafka_mock_push_request_errors(cluster.mock, API_OFFSET_COMMIT, 1,
                                      RD_KAFKA_RESP_ERR_UNKNOWN);
    source_world_start(world, &source_kafka,
                       settings(&cluster, "\"topics\":[\"c\"],\"value\":\"number\""));
    broker_wait_rows(world, 1);
    await_stand(&cluster, "c", 1);
    EXPECT_OK(source_world_stop(world));
    kafka_cluster_close(&cluster);
}

/* Without positions it begins where the group stands. */
SUSPENDS static void check_group(SourceWorld *world)
{
    KafkaCluster cluster;

    kafka_cluster_open(&cluster, "o");
    world->source.is_private_allowed = true;
    kafka_send_text(&cluster, "o", "1");
    kafka_send_text(&cluster, "o", "2");
    kafka_send_text(&cluster, "o", "3");
    set_stand(&cluster, "o", 2);
    source_world_start(world, &source_kafka,
                       settings(&cluster, "\"topics\":[\"o\"],\"value\":\"number\""));
    broker_wait_rows(world, 1);
    EXPECT_OK(source_world_stop(world));
    EXPECT_EQ(world->rows, 1);
    EXPECT(has(world, "\"value\":3"));
    kafka_cluster_close(&cluster);
}

/* O2: a sink that stands in the middle of a message gets the rest of it, and nothing twice. */
SUSPENDS static void check_positions(SourceWorld *world)
{
    KafkaCluster cluster;
    char positions[100];

    kafka_cluster_open(&cluster, "p");
    world->source.is_private_allowed = true;
    kafka_send_text(&cluster, "p", "m value=1 1");
    kafka_send_text(&cluster, "p", "m value=2 2\nm value=3 3\nm value=4 4");
    kafka_send_text(&cluster, "p", "m value=5 5");
    /* Behind the first row of the second message, which has 11 bytes. */
    (void) snprintf(positions, sizeof(positions), "{\"p/0\":%llu}",
                    (unsigned long long) ((UINT64_C(2) << MESSAGES_BYTE_BITS) + 12));
    world->source.positions = arena_copy(&world->arena, str_from_c(positions));
    source_world_start(world, &source_kafka, settings(&cluster, "\"topics\":[\"p\"]"));
    broker_wait_rows(world, 3);
    EXPECT_OK(source_world_stop(world));
    EXPECT(!has(world, "\"value\":1") && !has(world, "\"value\":2"));
    EXPECT(has(world, "\"value\":3") && has(world, "\"value\":4") && has(world, "\"value\":5"));
    EXPECT_EQ(world->rows, 3);
    kafka_cluster_close(&cluster);
}

/* The source is stopped while it waits for room, which gives back what it waits with, and begins
 * again in its group: with positions nothing is lost and nothing comes twice. */
SUSPENDS static void check_deaths(SourceWorld *world)
{
    enum { N = 3000 };
    static BrokerTally tally;
    const char *more = "\"topics\":[\"d\"],\"value\":\"number\"";
    KafkaCluster cluster;

    kafka_cluster_open(&cluster, "d");
    world->source.is_private_allowed = true;
    kafka_send_numbers(&cluster, "d", 0, N / 2);
    source_world_start(world, &source_kafka, settings(&cluster, more));
    broker_wait_rows(world, N / 2);
    source_world_set_full(world, true);
    kafka_send_numbers(&cluster, "d", N / 2, N);
    source_world_wait_full(world, 1);
    EXPECT_OK(source_world_stop(world));
    EXPECT_EQ(world->rows, N / 2);
    source_world_set_full(world, false);
    source_world_start(world, &source_kafka, settings(&cluster, more));
    broker_wait_rows(world, N);
    EXPECT_OK(source_world_stop(world));
    broker_tally(world, N, &tally);
    EXPECT_EQ(tally.missing, 0);
    EXPECT_EQ(tally.doubled, 0);
    kafka_cluster_close(&cluster);
}

/* The broker goes away and comes back in mid-stream. */
SUSPENDS static void check_broker_down(SourceWorld *world)
{
    enum { N = 2000 };
    static BrokerTally tally;
    KafkaCluster cluster;

    kafka_cluster_open(&cluster, "b");
    world->source.is_private_allowed = true;
    kafka_send_numbers(&cluster, "b", 0, N / 2);
    source_world_start(world, &source_kafka,
                       settings(&cluster, "\"topics\":[\"b\"],\"value\":\"number\""));
    broker_wait_rows(world, N / 2);
    rd_kafka_mock_broker_set_down(cluster.mock, 1);
    broker_wait_down(world);
    rd_kafka_mock_broker_set_up(cluster.mock, 1);
    kafka_send_numbers(&cluster, "b", N / 2, N);
    broker_wait_rows(world, N);
    EXPECT(world->is_up);
    EXPECT_OK(source_world_stop(world));
    broker_tally(world, N, &tally);
    EXPECT_EQ(tally.missing, 0);
    EXPECT_EQ(tally.doubled, 0);
    kafka_cluster_close(&cluster);
}

/* What is given back while the source goes on is read again; a full channel keeps it waiting. */
SUSPENDS static void check_give_back(SourceWorld *world)
{
    KafkaCluster cluster;

    kafka_cluster_open(&cluster, "g");
    world->source.is_private_allowed = true;
    world->is_holding = true;
    kafka_send_text(&cluster, "g", "1");
    source_world_start(world, &source_kafka,
                       settings(&cluster, "\"topics\":[\"g\"],\"value\":\"number\""));
    broker_wait_rows(world, 1);
    world->is_holding = false;
    source_world_settle(world, -ERR_UNAVAILABLE);
    broker_wait_rows(world, 2);
    source_world_set_full(world, true);
    kafka_send_text(&cluster, "g", "2");
    source_world_wait_full(world, 1);
    EXPECT_EQ(world->rows, 2);
    source_world_set_full(world, false);
    broker_wait_rows(world, 3);
    EXPECT_OK(source_world_stop(world));
    kafka_cluster_close(&cluster);
}

static const char *with_property(const KafkaCluster *cluster, const char *property)
{
    static char json[400];

    (void) snprintf(json, sizeof(json),
                    "{\"server\":\"%s\",\"topics\":[\"x\"],\"properties\":{%s}}", cluster->servers,
                    property);
    return json;
}

/* The property by which librdkafka loads shared objects. */
#define CODE_LOADER \
    "plugin."       \
    "library.paths"

SUSPENDS static void check_refused(SourceWorld *world)
{
    KafkaCluster cluster;

    kafka_cluster_open(&cluster, "x");
    source_world_start(world, &source_kafka,
                       with_property(&cluster, "\"" CODE_LOADER "\":\"evil\""));
    EXPECT_ERR(source_world_join(world), -ERR_INVALID, CODE_LOADER " is not for a pipeline");
    source_world_start(world, &source_kafka, with_property(&cluster, "\"no.such\":\"secret\""));
    EXPECT_ERR(source_world_join(world), -ERR_INVALID, "no.such");
    EXPECT(strstr(world->why, "secret") == NULL);
    /* Private addresses are not for a stranger's pipeline. */
    source_world_start(world, &source_kafka, with_property(&cluster, ""));
    source_world_wait_said(world, "Permission denied");
    EXPECT_OK(source_world_stop(world));
    kafka_cluster_close(&cluster);
}

/* ---- all at once ----------------------------------------------------------------------------- */

static SUSPENDS void (*const checks[])(SourceWorld *world) = {
    check_rows,        check_commit,    check_group,   check_positions,  check_deaths,
    check_broker_down, check_give_back, check_refused, check_asks_again, check_commits_again,
};

SUSPENDS static int check_all(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "checks");
    SourceWorld *worlds = arg;
    int r = 0;

    for (size_t i = 0; i < ARRAY_LEN(checks) && r == 0; i++) {
        worlds[i].check = checks[i];
        arena_init(&worlds[i].arena, 0);
        r = sl_spawn(nursery, source_world_main, &worlds[i], .name = "check");
    }
    return r < 0 ? r : sl_nursery_join(nursery);
}

/* librdkafka makes its threads with thrd_create, which ThreadSanitizer does not see: it crashes in
 * the first of them, before any code of ours. */
TEST(loses_and_doubles_nothing)
{
#if defined(__SANITIZE_THREAD__)
    test_skip("ThreadSanitizer does not know the threads of librdkafka");
    (void) check_all;
#else
    SourceWorld *worlds = mem_new_array(SourceWorld, ARRAY_LEN(checks));

    EXPECT_OK(sl_run(check_all, worlds, .loop = SL_LOOP_EPOLL, .pool_threads = 32));
    mem_free(worlds);
#endif
}

TEST_MAIN()
