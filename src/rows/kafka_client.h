/*
 * A member of a consumer group of Kafka, for fibers; over librdkafka.
 *
 * librdkafka has threads of its own, which fetch ahead. It tells of two queues here, each by a
 * descriptor that the loop waits for:
 *
 *   events     who gets which partitions, errors, results of commits: kafka_try_event
 *   messages   of all partitions that are assigned, up to LIMIT_KAFKA_QUEUE_KIB of each:
 *              kafka_try_next
 *
 * They are apart so that somebody can stay a member of the group, by asking for events, while
 * messages are not taken because the channel is full. What may wait in the library runs on a pool
 * thread.
 */
#pragma once

#include "base/text.h"

#include <sluice/rt.h>
#include <sluice/schema.h>

typedef struct Kafka Kafka;

/* Texts are NUL-terminated and are not needed afterwards. */
typedef struct KafkaOpts {
    const char *servers; /* "host:9092,host:9092" */
    const char *group;
    const char *const *topics;   /* NULL-terminated; ^ before a regular expression */
    const char *user, *password; /* NULL: none */
    bool is_tls;
    bool is_insecure;
    const char *ca, *cert, *key; /* NULL: the system's; none */
    bool is_from_end;            /* a group that is new begins with what comes from now on */
    bool is_public_only;
    const SchemaPair *properties; /* further ones, as librdkafka names them */
    size_t n_properties;
} KafkaOpts;

/* -ERR_INVALID for properties that are none. Nothing is connected yet: errors come as events. */
MUST SUSPENDS int kafka_open(const KafkaOpts *opts, Kafka **ret_kafka);

/* Leave the group. NULL is nothing. */
SUSPENDS void kafka_close(Kafka *kafka);
SUSPENDS static inline void kafka_close_auto_(Kafka **slot)
{
    kafka_close(*slot);
}

/* A partition and an offset: where to begin, or up to where it is done. */
typedef struct KafkaOffset {
    const char *topic;
    int32_t partition;
    int64_t offset; /* of the next message; KAFKA_STORED, KAFKA_NONE */
} KafkaOffset;

#define KAFKA_STORED (-1000) /* where the group stands, or by auto.offset.reset */
#define KAFKA_NONE   (-1001) /* the group has no offset */

/* Assigned and revoked partitions are borrowed until the next call. */
typedef enum KafkaEventType { KAFKA_ASSIGN, KAFKA_REVOKE, KAFKA_ERROR } KafkaEventType;
typedef struct KafkaEvent {
    KafkaEventType type;
    const KafkaOffset *offsets;
    size_t n;
    int r;           /* ERROR: a code; words are in text */
    bool is_final;   /* ERROR: it does not mend by itself */
    bool is_summary; /* ERROR: all brokers are down, each of which has said why */
    bool is_commit;  /* ERROR: of a commit that nobody waits for */
    char text[500];
} KafkaEvent;

/* The next event: 0, or KAFKA_NOTHING. Does not wait. ASSIGN and REVOKE must be answered by
 * kafka_assign and kafka_unassign, and come again until they are. An answer that the library
 * refuses is one. */
enum { KAFKA_NOTHING = 1 };
MUST int kafka_try_event(Kafka *kafka, KafkaEvent *ret_event);
MUST SUSPENDS int kafka_wait_event(Kafka *kafka);

typedef struct KafkaMessage {
    const char *topic;
    int32_t partition;
    int64_t offset;
    Str payload;
} KafkaMessage;

/* The next message that is there: 0, or KAFKA_NOTHING. Does not wait. Its texts are borrowed until
 * the next call. */
MUST int kafka_try_next(Kafka *kafka, KafkaMessage *ret_message);
MUST SUSPENDS int kafka_wait_messages(Kafka *kafka);

/* Fill in where the group stands. */
MUST SUSPENDS int kafka_committed(Kafka *kafka, KafkaOffset *offsets, size_t n);

/* Begin with these partitions, at their offsets; leave them. What was fetched of them and not taken
 * is dropped. */
MUST SUSPENDS int kafka_assign(Kafka *kafka, const KafkaOffset *offsets, size_t n);
MUST SUSPENDS int kafka_unassign(Kafka *kafka, const KafkaOffset *offsets, size_t n);

/* Read on from here; what was fetched is dropped. Nobody may ask for messages meanwhile: what comes
 * then is neither before nor behind it. */
MUST SUSPENDS int kafka_seek(Kafka *kafka, const KafkaOffset *offset);

/* The group has these. IS_WAITED: until the broker knows. */
MUST SUSPENDS int kafka_commit(Kafka *kafka, const KafkaOffset *offsets, size_t n, bool is_waited);
