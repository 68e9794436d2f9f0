/*
 * A Kafka cluster for tests: librdkafka's own mock of one, in a producer that fills it.
 *
 * It lets the first member of a group wait for three seconds, whatever it asks for, and the next
 * one after a member has left for the session's time without a second. A session that is shorter
 * than those three seconds ends while its member waits, and nobody answers it.
 */
#pragma once

#include "base/test.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <sluice/rt.h>

#define KAFKA_PARTITIONS 4 /* of a topic */

typedef struct KafkaCluster {
    rd_kafka_t *rk; /* a producer, in which the mock cluster lives */
    rd_kafka_mock_cluster_t *mock;
    const char *servers;
} KafkaCluster;

static inline rd_kafka_t *kafka_client_new(rd_kafka_type_t type, const char *const *settings)
{
    char why[300];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    rd_kafka_conf_set_log_cb(conf, NULL);
    for (; settings[0]; settings += 2)
        EXPECT_EQ(rd_kafka_conf_set(conf, settings[0], settings[1], why, sizeof(why)), 0);
    return rd_kafka_new(type, conf, why, sizeof(why));
}

/* TOPIC exists: the library waits for a second before it asks again for one that does not. */
static inline void kafka_cluster_open(KafkaCluster *cluster, const char *topic)
{
    const char *const settings[] = { "test.mock.num.brokers",    "1",   "linger.ms", "1",
                                     "reconnect.backoff.max.ms", "200", NULL };

    cluster->rk = kafka_client_new(RD_KAFKA_PRODUCER, settings);
    cluster->mock = rd_kafka_handle_mock_cluster(cluster->rk);
    cluster->servers = rd_kafka_mock_cluster_bootstraps(cluster->mock);
    EXPECT_EQ(rd_kafka_mock_topic_create(cluster->mock, topic, KAFKA_PARTITIONS, 1), 0);
}

static inline void kafka_cluster_close(KafkaCluster *cluster)
{
    rd_kafka_destroy(cluster->rk); /* and the mock cluster with it */
}

typedef struct KafkaProduce {
    const KafkaCluster *cluster;
    const char *topic;
    int partitions;
    const char *text; /* one message; NULL: the numbers from … to-1 */
    size_t from, to;
} KafkaProduce;

/* On the pool: until the brokers have them. */
static inline int kafka_produce_main(void *arg)
{
    const KafkaProduce *produce = arg;
    rd_kafka_t *rk = produce->cluster->rk;
    rd_kafka_resp_err_t err;
    char number[24];

    for (size_t i = produce->from; i < produce->to; i++) {
        const char *text = produce->text ? produce->text : number;

        (void) snprintf(number, sizeof(number), "%zu", i);
        while ((err = rd_kafka_producev(
                    rk, RD_KAFKA_V_TOPIC(produce->topic),
                    RD_KAFKA_V_PARTITION((int) (i % (size_t) MAX(produce->partitions, 1))),
                    RD_KAFKA_V_VALUE((void *) text, strlen(text)),
                    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END)) ==
               RD_KAFKA_RESP_ERR__QUEUE_FULL)
            rd_kafka_poll(rk, 10);
        EXPECT_EQ(err, 0);
    }
    (void) rd_kafka_flush(rk, 60000);
    return 0;
}

SUSPENDS static inline void kafka_send_text(const KafkaCluster *cluster, const char *topic,
                                            const char *text)
{
    KafkaProduce produce = { .cluster = cluster, .topic = topic, .text = text, .to = 1 };

    EXPECT_OK(sl_offload(kafka_produce_main, &produce));
}

SUSPENDS static inline void kafka_send_numbers(const KafkaCluster *cluster, const char *topic,
                                               size_t from, size_t to)
{
    KafkaProduce produce = {
        .cluster = cluster, .topic = topic, .partitions = KAFKA_PARTITIONS, .from = from, .to = to
    };

    EXPECT_OK(sl_offload(kafka_produce_main, &produce));
}
