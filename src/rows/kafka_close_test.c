/*
 * Leaving a group of Kafka comes to its end at whatever point of the group's life it begins, and
 * the loop goes on meanwhile. Members have to wait for their group (kafka_cluster_test.h), so all
 * are there at once, each in a cluster of its own.
 */
#include "base/macro.h"
#include "base/mem.h"
#include "rows/kafka_client.h"
#include "rows/kafka_cluster_test.h"

#define TOPIC         "numbers"
#define MESSAGES      1000
#define API_HEARTBEAT 12 /* of Kafka's protocol */
#define ROUNDS        3  /* members of each stage */

/* What a member that is closed has come to. */
typedef enum Stage {
    OPENED,
    ASSIGN_WAITS,
    ASSIGN_TAKEN,
    ASSIGNED,
    READING, /* the last one that other protocols of assignment have, too */
    REVOKE_WAITS,
    REVOKE_TAKEN,
    LOST_WAITS, /* its partitions are somebody else's */
    LOST_TAKEN,
    FENCED,     /* another has its name: a fatal error */
    THROWN_OUT, /* for not having asked for events */
    STAGES
} Stage;

typedef struct Member {
    Stage stage;
    bool is_cooperative;
    KafkaCluster cluster;
    Kafka *kafka;
    size_t turns; /* of the loop, while it is closed */
} Member;

/* The coordinator says that the group is being made anew, or that it knows nobody of this name, or
 * another one. */
static void disturb(Member *member)
{
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS;

    if (member->stage == FENCED)
        err = RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
    else if (member->stage >= LOST_WAITS)
        err = RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    rd_kafka_mock_push_request_errors(member->cluster.mock, API_HEARTBEAT, 1, err);
}

SUSPENDS static int open_member(Member *member)
{
    const char *const topics[] = { TOPIC, NULL };
    bool is_hasty = member->stage == THROWN_OUT; /* others may be as slow as their machine */
    bool has_own = member->is_cooperative || member->stage == FENCED; /* the last property */
    const SchemaPair properties[] = {
        { STR("session.timeout.ms"), is_hasty ? (Str) STR("6000") : (Str) STR("60000") },
        { STR("heartbeat.interval.ms"), STR("100") },
        { STR("max.poll.interval.ms"), is_hasty ? (Str) STR("6000") : (Str) STR("60000") },
        member->is_cooperative
            ? (SchemaPair){ STR("partition.assignment.strategy"), STR("cooperative-sticky") }
            : (SchemaPair){ STR("group.instance.id"), STR("one") },
    };

    return kafka_open(&(KafkaOpts){ .servers = member->cluster.servers,
                                    .group = "group",
                                    .topics = topics,
                                    .properties = properties,
                                    .n_properties = ARRAY_LEN(properties) - !has_own },
                      &member->kafka);
}

/* The next event that is no error. */
SUSPENDS static int await_event(Member *member, KafkaEvent *event)
{
    int r = 0;

    while (r == 0) {
        while (kafka_try_event(member->kafka, event) == 0) {
            if (event->type != KAFKA_ERROR)
                return 0;
        }
        r = kafka_wait_event(member->kafka);
    }
    return r;
}

SUSPENDS static int read_one(Member *member)
{
    KafkaMessage message;
    int r = 0;

    while (r == 0 && kafka_try_next(member->kafka, &message) != 0)
        r = kafka_wait_messages(member->kafka);
    return r;
}

SUSPENDS static int reach_stage(Member *member)
{
    KafkaEvent event;
    int r;

    if (member->stage == OPENED)
        return sl_checkpoint();
    if (member->stage == ASSIGN_WAITS)
        return kafka_wait_event(member->kafka);
    r = await_event(member, &event);
    EXPECT_EQ(event.type, KAFKA_ASSIGN);
    if (r == 0 && member->stage > ASSIGN_TAKEN)
        r = kafka_assign(member->kafka, event.offsets, event.n);
    if (r == 0 && member->stage > ASSIGNED && member->stage != THROWN_OUT)
        r = read_one(member);
    if (r < 0 || member->stage <= READING)
        return r;
    if (member->stage != THROWN_OUT)
        disturb(member);
    if (member->stage != REVOKE_TAKEN && member->stage != LOST_TAKEN)
        return kafka_wait_event(member->kafka);
    r = await_event(member, &event);
    EXPECT_EQ(event.type, KAFKA_REVOKE);
    return r;
}

SUSPENDS static int count_turns(void *arg)
{
    Member *member = arg;
    int r = 0;

    for (; r == 0; r = sl_checkpoint())
        member->turns++;
    return r;
}

/* The counter runs for the first time when closing lets it. */
SUSPENDS static int live(void *arg)
{
    Member *member = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "turns");

    kafka_cluster_open(&member->cluster, TOPIC);
    kafka_send_numbers(&member->cluster, TOPIC, 0, MESSAGES);
    EXPECT_OK(open_member(member));
    EXPECT_OK(reach_stage(member));
    EXPECT_OK(sl_spawn(nursery, count_turns, member));
    EXPECT_EQ(member->turns, 0);
    kafka_close(member->kafka);
    EXPECT(member->turns > 0);
    sl_nursery_cancel(nursery);
    kafka_cluster_close(&member->cluster);
    return 0;
}

SUSPENDS static int live_all(void *arg)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "members");
    Member *members = arg;
    int r = 0;

    for (size_t i = 0; i < ROUNDS * STAGES && r == 0; i++) {
        members[i].stage = (Stage) (i % STAGES);
        members[i].is_cooperative = i < STAGES && members[i].stage <= READING;
        r = sl_spawn(nursery, live, &members[i], .name = "member");
    }
    return r < 0 ? r : sl_nursery_join(nursery);
}

TEST(leaves_at_any_moment)
{
#if defined(__SANITIZE_THREAD__)
    test_skip("ThreadSanitizer does not know the threads of librdkafka");
    (void) live_all;
#else
    Member *members = mem_new_array(Member, ROUNDS * STAGES);

    EXPECT_OK(sl_run(live_all, members, .pool_threads = 32));
    mem_free(members);
#endif
}

TEST_MAIN()
