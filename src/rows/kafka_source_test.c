/*
 * Source kafka over a cluster that the test plays: what meets in it only now and then with a real
 * one. This file stands in for rows/kafka_client.c.
 */
#include "base/err.h"
#include "base/macro.h"
#include "rows/kafka_client.h"
#include "rows/source_world_int.h"

#define TICK_MS 1000 /* more than between two looks of the keeper; on a virtual clock */

extern const SourceDriver source_kafka;

/* One topic with one partition. */
struct Kafka {
    bool is_asked; /* an assignment waits for its answer */
    int64_t n;     /* messages that there are; each is its offset */
    int64_t next;
    int64_t stands;                             /* what the group has */
    size_t bad_seeks, bad_commits, bad_reports; /* still to come */
    size_t seeks;
    bool is_reported; /* that a commit has failed */
    void (*on_seek)(bool is_over);
    sl_cond events, messages;
    char text[24];
};

static Kafka cluster;
static SourceWorld *the_world;

int kafka_open(const KafkaOpts *opts, Kafka **ret_kafka)
{
    (void) opts;
    cluster.is_asked = true;
    *ret_kafka = &cluster;
    return sl_checkpoint();
}

void kafka_close(Kafka *kafka)
{
    (void) kafka;
}

int kafka_try_event(Kafka *kafka, KafkaEvent *ret_event)
{
    static const KafkaOffset all = { .topic = "t", .offset = KAFKA_STORED };

    *ret_event = (KafkaEvent){ .type = KAFKA_ASSIGN, .offsets = &all, .n = 1 };
    if (kafka->is_asked)
        return 0;
    if (!kafka->is_reported)
        return KAFKA_NOTHING;
    kafka->is_reported = false;
    *ret_event = (KafkaEvent){ .type = KAFKA_ERROR, .r = -ERR_NETWORK, .is_commit = true };
    return 0;
}

int kafka_wait_event(Kafka *kafka)
{
    return sl_cond_wait(&kafka->events);
}

int kafka_try_next(Kafka *kafka, KafkaMessage *ret_message)
{
    if (kafka->is_asked || kafka->next >= kafka->n)
        return KAFKA_NOTHING;
    (void) snprintf(kafka->text, sizeof(kafka->text), "%lld", (long long) kafka->next);
    *ret_message =
        (KafkaMessage){ .topic = "t", .offset = kafka->next++, .payload = str_from_c(kafka->text) };
    return 0;
}

int kafka_wait_messages(Kafka *kafka)
{
    return sl_cond_wait(&kafka->messages);
}

int kafka_committed(Kafka *kafka, KafkaOffset *offsets, size_t n)
{
    EXPECT_EQ(n, 1);
    offsets[0].offset = kafka->stands < 0 ? KAFKA_NONE : kafka->stands;
    return sl_checkpoint();
}

int kafka_assign(Kafka *kafka, const KafkaOffset *offsets, size_t n)
{
    EXPECT_EQ(n, 1);
    kafka->next = MAX(offsets[0].offset, (int64_t) 0);
    kafka->is_asked = false;
    sl_cond_wake_all(&kafka->messages);
    return sl_checkpoint();
}

int kafka_unassign(Kafka *kafka, const KafkaOffset *offsets, size_t n)
{
    (void) kafka;
    (void) offsets;
    (void) n;
    return sl_checkpoint();
}

/* Others have their turn before it takes effect. */
int kafka_seek(Kafka *kafka, const KafkaOffset *offset)
{
    int r = 0;

    kafka->seeks++;
    if (kafka->on_seek)
        kafka->on_seek(false);
    for (int i = 0; i < 100 && r == 0; i++)
        r = sl_yield();
    if (r < 0)
        return r;
    if (kafka->bad_seeks > 0) {
        kafka->bad_seeks--;
        return fail(-ERR_NETWORK, "seek: the test does not want it");
    }
    kafka->next = offset->offset;
    if (kafka->on_seek)
        kafka->on_seek(true);
    sl_cond_wake_all(&kafka->messages);
    return 0;
}

int kafka_commit(Kafka *kafka, const KafkaOffset *offsets, size_t n, bool is_waited)
{
    EXPECT_EQ(n, 1);
    if (kafka->bad_commits > 0) {
        kafka->bad_commits--;
        return fail(-ERR_NETWORK, "commit: the test does not want it");
    }
    if (!is_waited && kafka->bad_reports > 0) {
        kafka->bad_reports--;
        kafka->is_reported = true;
        sl_cond_wake_all(&kafka->events);
        return sl_checkpoint();
    }
    kafka->stands = offsets[0].offset;
    return sl_checkpoint();
}

/* ---- the checks ------------------------------------------------------------------------------ */

static void produce(int64_t n)
{
    cluster.n += n;
    sl_cond_wake_all(&cluster.messages);
}

SUSPENDS static void start(SourceWorld *world)
{
    cluster = (Kafka){ .stands = -1 };
    the_world = world;
    world->is_holding = true;
    source_world_start(world, &source_kafka,
                       "{\"server\":\"x\",\"topics\":[\"t\"],\"value\":\"number\"}");
}

/* What was given back is read again, though it takes two tries. */
SUSPENDS static void check_bad_seek(SourceWorld *world)
{
    start(world);
    cluster.bad_seeks = 1;
    produce(1);
    source_world_wait_rows(world, 1);
    source_world_settle(world, -ERR_UNAVAILABLE);
    source_world_wait_rows(world, 2);
    EXPECT_EQ(cluster.seeks, 2);
    source_world_settle(world, 0);
    EXPECT_OK(source_world_stop(world));
    EXPECT_EQ(cluster.stands, 1);
}

/* What comes while it is sought would be settled at once, what comes then waits. */
static void produce_behind(bool is_over)
{
    the_world->is_holding = false;
    the_world->is_full = is_over;
    if (!is_over)
        produce(1);
}

/* What comes behind it while it is sought is not handed on, nor is the group told of it. */
SUSPENDS static void check_while_seeking(SourceWorld *world)
{
    start(world);
    produce(1);
    source_world_wait_rows(world, 1);
    cluster.on_seek = produce_behind;
    source_world_settle(world, -ERR_UNAVAILABLE);
    source_world_wait_full(world, 1);
    EXPECT_OK(sl_sleep_ms(3 * TICK_MS));
    EXPECT_EQ(world->rows, 1);
    EXPECT_EQ(cluster.stands, -1);
    source_world_set_full(world, false);
    source_world_wait_rows(world, 3);
    EXPECT_OK(source_world_stop(world));
    EXPECT_EQ(cluster.stands, 2);
}

/* What a commit did not bring to the group the next one does, though nothing has come meanwhile. */
SUSPENDS static void check_bad_commit(SourceWorld *world)
{
    for (int64_t round = 1; round <= 2; round++) {
        start(world);
        cluster.bad_commits = round == 1;
        cluster.bad_reports = round == 2;
        produce(1);
        source_world_wait_rows(world, (uint64_t) round);
        source_world_settle(world, 0);
        EXPECT_OK(sl_sleep_ms(4 * TICK_MS));
        EXPECT_EQ(cluster.bad_commits + cluster.bad_reports, 0);
        EXPECT_EQ(cluster.stands, 1);
        EXPECT_OK(source_world_stop(world));
        world->n_tracks = 0;
        world->source.positions = (Str) STR("{}");
    }
}

static void run(SUSPENDS void (*check)(SourceWorld *world))
{
    source_world_run_on(SL_LOOP_SIM, check, NULL);
}

/* Would catch: a loss of what the pipeline has given back. */
TEST(a_seek_that_fails_is_tried_again)
{
    run(check_bad_seek);
}

/* Would catch: offsets that are committed over a gap. */
TEST(nothing_is_taken_while_a_partition_is_set_back)
{
    run(check_while_seeking);
}

/* Would catch: a group that stands behind for as long as its topic is quiet. */
TEST(a_commit_that_fails_is_made_again)
{
    run(check_bad_commit);
}

TEST_MAIN()
