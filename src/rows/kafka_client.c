/*
 * A member of a consumer group; see the header.
 *
 * Messages of a partition would come through the queue of events; each partition's queue is
 * forwarded to ours before the partition is assigned, so that none of them does.
 */
#include "rows/kafka_client.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "net/address.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WAIT_MS       10000 /* for an answer of the brokers */
#define TAKE_MAX      256   /* messages in one call of the library */
#define LEAVE_POLL_MS 20    /* between looks at whether all partitions are given back */
#define LEAVE_POLLS   100   /* at most */
#define CLOSE_POLL_MS 200   /* between looks at whether the group is left */

STATIC_ASSERT(KAFKA_STORED == RD_KAFKA_OFFSET_STORED, "the library's number");
STATIC_ASSERT(KAFKA_NONE == RD_KAFKA_OFFSET_INVALID, "the library's number");

struct Kafka {
    rd_kafka_t *rk;
    rd_kafka_queue_t *events, *messages;
    int event_fd, message_fd;

    rd_kafka_topic_partition_list_t *asked; /* of the rebalance that waits for its answer; owned;
                                               NULL: none does */
    bool is_asked_assign;
    KafkaOffset *offsets; /* of the last event, over the texts of asked; owned */

    rd_kafka_message_t *fetched[TAKE_MAX]; /* [at - 1] is lent out; NULL: dropped */
    size_t n_fetched, at;
};

static int fail_kafka(const char *what, rd_kafka_resp_err_t err)
{
    return fail(-ERR_NETWORK, "%s: %s", what, rd_kafka_err2str(err));
}

static int fail_error(const char *what, rd_kafka_error_t *error)
{
    int r = fail(-ERR_NETWORK, "%s: %s", what, rd_kafka_error_string(error));

    rd_kafka_error_destroy(error);
    return r;
}

/* ---- configuration --------------------------------------------------------------------------- */

/* What is ours to say, or would run programs and load code. */
static const char *const refused[] = {
    "bootstrap.servers",       "metadata.broker.list",     "group.id",
    "enable.auto.commit",      "enable.auto.offset.store", "ssl.engine.location",
    "sasl.kerberos.kinit.cmd", "enable.partition.eof",     "log.queue",
};

static bool is_refused(Str name)
{
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (str_eq_c(name, refused[i]))
            return true;
    }
    return str_starts(name, (Str) STR("plugin.")); /* whatever loads code */
}

static int set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[300];

    if (!value || rd_kafka_conf_set(conf, name, value, why, sizeof(why)) == RD_KAFKA_CONF_OK)
        return 0;
    /* The library's words may repeat the value, which may be a secret. */
    return fail(-ERR_INVALID, "librdkafka does not take the property %s as it is", name);
}

static int set_property(rd_kafka_conf_t *conf, const SchemaPair *pair)
{
    AUTO(arena_deinit) Arena arena = { 0 };

    if (is_refused(pair->name))
        return fail(-ERR_INVALID, "the property %.*s is not for a pipeline to set",
                    (int) pair->name.len, pair->name.data);
    return set(conf, arena_copy_c(&arena, pair->name), arena_copy_c(&arena, pair->value));
}

static const char *protocol_of(const KafkaOpts *opts)
{
    if (opts->user)
        return opts->is_tls ? "sasl_ssl" : "sasl_plaintext";
    return opts->is_tls ? "ssl" : "plaintext";
}

static int set_all(rd_kafka_conf_t *conf, const KafkaOpts *opts)
{
    char kib[16];
    const struct {
        const char *name, *value;
    } ours[] = {
        { "bootstrap.servers", opts->servers },
        { "group.id", opts->group },
        { "client.id", "sluice" },
        { "enable.auto.commit", "false" },
        { "enable.auto.offset.store", "false" },
        { "auto.offset.reset", opts->is_from_end ? "latest" : "earliest" },
        { "queued.max.messages.kbytes", kib },
        { "security.protocol", protocol_of(opts) },
        { "sasl.mechanisms", opts->user ? "PLAIN" : NULL },
        { "sasl.username", opts->user },
        { "sasl.password", opts->password },
        { "ssl.ca.location", opts->ca },
        { "ssl.certificate.location", opts->cert },
        { "ssl.key.location", opts->key },
        { "enable.ssl.certificate.verification", opts->is_insecure ? "false" : NULL },
        { "socket.keepalive.enable", "true" },
    };
    int r = 0;

    (void) snprintf(kib, sizeof(kib), "%d", LIMIT_KAFKA_QUEUE_KIB);
    for (size_t i = 0; i < ARRAY_LEN(ours) && r == 0; i++)
        r = set(conf, ours[i].name, ours[i].value);
    for (size_t i = 0; i < opts->n_properties && r == 0; i++)
        r = set_property(conf, &opts->properties[i]);
    return r;
}

/* On a thread of the library: the socket is non-blocking. */
static int connect_public(int fd, const struct sockaddr *address, int len, const char *id,
                          void *opaque)
{
    (void) id;
    (void) opaque;
    if (net_address_is_private(address, (socklen_t) len))
        return EACCES;
    return connect(fd, address, (socklen_t) len) < 0 && errno != EINPROGRESS ? errno : 0;
}

static int make_conf(const KafkaOpts *opts, rd_kafka_conf_t **ret_conf)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int r = set_all(conf, opts);

    if (r < 0) {
        rd_kafka_conf_destroy(conf);
        return r;
    }
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_ERROR |
                                       RD_KAFKA_EVENT_OFFSET_COMMIT);
    rd_kafka_conf_set_log_cb(conf, NULL);
    if (opts->is_public_only)
        rd_kafka_conf_set_connect_cb(conf, connect_public);
    *ret_conf = conf;
    return 0;
}

/* ---- rebalances ------------------------------------------------------------------------------ */

static bool is_cooperative(const Kafka *kafka)
{
    const char *protocol = rd_kafka_rebalance_protocol(kafka->rk);

    return protocol && strcmp(protocol, "COOPERATIVE") == 0;
}

static void forget_asked(Kafka *kafka)
{
    if (kafka->asked)
        rd_kafka_topic_partition_list_destroy(kafka->asked);
    kafka->asked = NULL;
}

static void keep_asked(Kafka *kafka, rd_kafka_event_t *event)
{
    const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);

    forget_asked(kafka);
    kafka->asked = list ? rd_kafka_topic_partition_list_copy(list)
                        : rd_kafka_topic_partition_list_new(1);
    kafka->is_asked_assign = rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
}

/* Waits for the library's main thread. */
static int answer(Kafka *kafka, bool is_assign, const rd_kafka_topic_partition_list_t *list)
{
    const char *what = is_assign ? "assign" : "unassign";
    rd_kafka_error_t *error = NULL;
    rd_kafka_resp_err_t err = 0;

    if (!is_cooperative(kafka))
        err = rd_kafka_assign(kafka->rk, is_assign ? list : NULL);
    else if (is_assign)
        error = rd_kafka_incremental_assign(kafka->rk, list);
    else
        error = rd_kafka_incremental_unassign(kafka->rk, list);
    if (error)
        return fail_error(what, error);
    return err ? fail_kafka(what, err) : 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int watch(rd_kafka_queue_t *queue, int *ret_fd)
{
    uint64_t one = 1;

    *ret_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (*ret_fd < 0)
        return fail_errno("eventfd");
    rd_kafka_queue_io_event_enable(queue, *ret_fd, &one, sizeof(one));
    return 0;
}

static int subscribe(Kafka *kafka, const char *const *topics)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_resp_err_t err;

    for (; *topics; topics++)
        (void) rd_kafka_topic_partition_list_add(list, *topics, RD_KAFKA_PARTITION_UA);
    err = rd_kafka_subscribe(kafka->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return err ? fail_kafka("subscribe", err) : 0;
}

typedef struct OpenArgs {
    const KafkaOpts *opts;
    Kafka *kafka;
} OpenArgs;

static int open_main(void *arg)
{
    OpenArgs *args = arg;
    Kafka *kafka = args->kafka;
    rd_kafka_conf_t *conf = NULL;
    char why[300];
    int r = make_conf(args->opts, &conf);

    if (r < 0)
        return r;
    kafka->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
    if (!kafka->rk) {
        rd_kafka_conf_destroy(conf);
        return fail(-ERR_INVALID, "%s", why);
    }
    (void) rd_kafka_poll_set_consumer(kafka->rk); /* fails for producers only */
    kafka->events = rd_kafka_queue_get_consumer(kafka->rk);
    kafka->messages = rd_kafka_queue_new(kafka->rk);
    r = watch(kafka->events, &kafka->event_fd);
    if (r == 0)
        r = watch(kafka->messages, &kafka->message_fd);
    return r < 0 ? r : subscribe(kafka, args->opts->topics);
}

int kafka_open(const KafkaOpts *opts, Kafka **ret_kafka)
{
    AUTO(kafka_close) Kafka *kafka = mem_new(Kafka);
    OpenArgs args = { opts, kafka };
    int r;

    kafka->event_fd = -1;
    kafka->message_fd = -1;
    r = sl_offload(open_main, &args, .name = "open kafka");
    if (r < 0)
        return r;
    *ret_kafka = TAKE(kafka);
    return 0;
}

static void drop(Kafka *kafka, size_t i)
{
    if (kafka->fetched[i])
        rd_kafka_message_destroy(kafka->fetched[i]);
    kafka->fetched[i] = NULL;
}

/* Whoever took the events has gone, and what waits for an answer gets one. */
static void answer_asked(Kafka *kafka)
{
    if (kafka->asked)
        (void) answer(kafka, kafka->is_asked_assign, kafka->asked); /* we are leaving */
    forget_asked(kafka);
}

/* Whether there is something to give back, or to be asked for. */
static bool is_anything_left(Kafka *kafka)
{
    rd_kafka_topic_partition_list_t *list = NULL;
    bool has_partitions = rd_kafka_assignment(kafka->rk, &list) == 0 && list->cnt > 0;

    if (list)
        rd_kafka_topic_partition_list_destroy(list);
    return has_partitions || rd_kafka_queue_length(kafka->events) > 0;
}

/* Wait for an event of QUEUE; true when it was a rebalance, which is kept then. */
static bool poll_asked(Kafka *kafka, rd_kafka_queue_t *queue, int timeout_ms)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms);
    bool is_asked = event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE;

    if (is_asked)
        keep_asked(kafka, event);
    if (event)
        rd_kafka_event_destroy(event);
    return is_asked;
}

/* Give the partitions back, while the library still listens to answers. */
static void leave(Kafka *kafka)
{
    answer_asked(kafka);
    (void) rd_kafka_unsubscribe(kafka->rk); /* closing does it, too */
    for (int i = 0; i < LEAVE_POLLS && is_anything_left(kafka); i++) {
        if (poll_asked(kafka, kafka->events, LEAVE_POLL_MS))
            answer_asked(kafka);
    }
}

/*
 * Until the group has no member of ours.
 *
 * An answer that nobody waits for any more is lost together with whoever waits for it to be taken:
 * rd_kafka_cgrp_terminated throws the library's queue away, with the call in it. Events may be left
 * over, so one is answered only when the library has not gone on without an answer. For the same
 * reason rd_kafka_consumer_close is not called, which answers each at once.
 */
static void close_group(Kafka *kafka)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka->rk);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(kafka->rk, queue);

    while (!error && !rd_kafka_consumer_closed(kafka->rk)) {
        if (!poll_asked(kafka, queue, CLOSE_POLL_MS))
            answer_asked(kafka);
    }
    forget_asked(kafka);
    rd_kafka_error_destroy(error); /* it is closed, or a fatal error has closed it */
    rd_kafka_queue_destroy(queue);
}

static int close_main(void *arg)
{
    Kafka *kafka = arg;

    if (kafka->events)
        rd_kafka_queue_io_event_enable(kafka->events, -1, NULL, 0);
    if (kafka->messages)
        rd_kafka_queue_io_event_enable(kafka->messages, -1, NULL, 0);
    if (kafka->events) {
        leave(kafka);
        close_group(kafka);
        rd_kafka_queue_destroy(kafka->events);
    }
    if (kafka->messages)
        rd_kafka_queue_destroy(kafka->messages);
    rd_kafka_destroy(kafka->rk);
    return 0;
}

SUSPENDS static int close_all(void *arg)
{
    return sl_offload(close_main, arg, .name = "close kafka");
}

void kafka_close(Kafka *kafka)
{
    if (!kafka)
        return;
    for (size_t i = 0; i < kafka->n_fetched; i++)
        drop(kafka, i);
    if (kafka->rk)
        (void) sl_shielded(INT32_MAX, close_all, kafka); /* cannot fail */
    forget_asked(kafka);
    mem_free(kafka->offsets);
    sl_fd_close(kafka->event_fd);
    sl_fd_close(kafka->message_fd);
    mem_free(kafka);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Forget what woke us, before the queue is looked at: what comes later wakes again. */
SUSPENDS static int wait_fd(int fd)
{
    uint64_t count;
    int r = sl_fd_wait(fd, SL_FD_READ, NULL);

    if (r == 0 && read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return fail_errno("eventfd");
    return r;
}

int kafka_wait_event(Kafka *kafka)
{
    return wait_fd(kafka->event_fd);
}

int kafka_wait_messages(Kafka *kafka)
{
    return wait_fd(kafka->message_fd);
}

static bool is_final_error(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR__AUTHENTICATION || err == RD_KAFKA_RESP_ERR__FATAL ||
           err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
           err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
           err == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED;
}

static void take_error(rd_kafka_event_t *from, KafkaEvent *event)
{
    rd_kafka_resp_err_t err = rd_kafka_event_error(from);

    event->type = KAFKA_ERROR;
    event->is_final = is_final_error(err) || (rd_kafka_event_type(from) == RD_KAFKA_EVENT_ERROR &&
                                              rd_kafka_event_error_is_fatal(from));
    event->is_summary = err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
    event->r = event->is_final ? -ERR_FORBIDDEN : -ERR_NETWORK;
    (void) snprintf(event->text, sizeof(event->text), "%s", rd_kafka_event_error_string(from));
}

static void take_asked(Kafka *kafka, KafkaEvent *event)
{
    size_t n = (size_t) kafka->asked->cnt;

    mem_free(kafka->offsets);
    kafka->offsets = mem_new_array(KafkaOffset, MAX(n, (size_t) 1));
    for (size_t i = 0; i < n; i++)
        kafka->offsets[i] = (KafkaOffset){ .topic = kafka->asked->elems[i].topic,
                                           .partition = kafka->asked->elems[i].partition,
                                           .offset = KAFKA_STORED };
    event->type = kafka->is_asked_assign ? KAFKA_ASSIGN : KAFKA_REVOKE;
    event->offsets = kafka->offsets;
    event->n = n;
}

/* Whether FROM is one to tell of. */
static bool take_event(Kafka *kafka, rd_kafka_event_t *from, KafkaEvent *event)
{
    rd_kafka_resp_err_t err = rd_kafka_event_error(from);

    switch (rd_kafka_event_type(from)) {
    case RD_KAFKA_EVENT_REBALANCE:
        keep_asked(kafka, from);
        take_asked(kafka, event);
        return true;
    case RD_KAFKA_EVENT_OFFSET_COMMIT:
        if (!err || err == RD_KAFKA_RESP_ERR__NO_OFFSET)
            return false;
        event->is_commit = true;
        break;
    case RD_KAFKA_EVENT_ERROR: break;
    default: return false;
    }
    take_error(from, event);
    return true;
}

int kafka_try_event(Kafka *kafka, KafkaEvent *ret_event)
{
    rd_kafka_event_t *from;
    bool is_taken = false;

    *ret_event = (KafkaEvent){ .n = 0 };
    if (kafka->asked) {
        take_asked(kafka, ret_event);
        return 0;
    }
    while (!is_taken && (from = rd_kafka_queue_poll(kafka->events, 0)) != NULL) {
        is_taken = take_event(kafka, from, ret_event);
        rd_kafka_event_destroy(from);
    }
    return is_taken ? 0 : KAFKA_NOTHING;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* The next that is fetched, or fetched now; NULL when there is none. */
static const rd_kafka_message_t *next_fetched(Kafka *kafka)
{
    ssize_t n;

    for (;;) {
        if (kafka->at > 0)
            drop(kafka, kafka->at - 1);
        if (kafka->at == kafka->n_fetched) {
            n = rd_kafka_consume_batch_queue(kafka->messages, 0, kafka->fetched, TAKE_MAX);
            kafka->n_fetched = n > 0 ? (size_t) n : 0;
            kafka->at = 0;
            if (n <= 0)
                return NULL;
        }
        kafka->at++;
        if (kafka->fetched[kafka->at - 1] && !kafka->fetched[kafka->at - 1]->err)
            return kafka->fetched[kafka->at - 1];
    }
}

int kafka_try_next(Kafka *kafka, KafkaMessage *ret_message)
{
    const rd_kafka_message_t *from = next_fetched(kafka);

    if (!from)
        return KAFKA_NOTHING;
    *ret_message = (KafkaMessage){ .topic = rd_kafka_topic_name(from->rkt),
                                   .partition = from->partition,
                                   .offset = from->offset,
                                   .payload = str_from(from->payload, from->len) };
    return 0;
}

/* What is fetched of a partition and not lent out is of no use. */
static void drop_fetched(Kafka *kafka, const KafkaOffset *offset)
{
    for (size_t i = kafka->at; i < kafka->n_fetched; i++) {
        const rd_kafka_message_t *message = kafka->fetched[i];

        if (message && message->partition == offset->partition &&
            strcmp(rd_kafka_topic_name(message->rkt), offset->topic) == 0)
            drop(kafka, i);
    }
}

/* ---- partitions ------------------------------------------------------------------------------ */

typedef struct OffsetsArgs {
    Kafka *kafka;
    KafkaOffset *offsets;
    size_t n;
} OffsetsArgs;

static rd_kafka_topic_partition_list_t *list_of(const KafkaOffset *offsets, size_t n)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int) n);

    for (size_t i = 0; i < n; i++)
        rd_kafka_topic_partition_list_add(list, offsets[i].topic, offsets[i].partition)->offset =
            offsets[i].offset;
    return list;
}

static int committed_main(void *arg)
{
    OffsetsArgs *args = arg;
    rd_kafka_topic_partition_list_t *list = list_of(args->offsets, args->n);
    rd_kafka_resp_err_t err = rd_kafka_committed(args->kafka->rk, list, WAIT_MS);

    for (size_t i = 0; i < args->n && !err; i++)
        args->offsets[i].offset = list->elems[i].offset;
    rd_kafka_topic_partition_list_destroy(list);
    return err ? fail_kafka("where the group stands", err) : 0;
}

int kafka_committed(Kafka *kafka, KafkaOffset *offsets, size_t n)
{
    OffsetsArgs args = { kafka, offsets, n };

    return sl_offload(committed_main, &args, .name = "kafka offsets");
}

static void forward_messages(Kafka *kafka, const KafkaOffset *offset)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_get_partition(kafka->rk, offset->topic,
                                                           offset->partition);

    if (!queue)
        return;
    rd_kafka_queue_forward(queue, kafka->messages);
    rd_kafka_queue_destroy(queue);
}

static int assign_main(void *arg)
{
    OffsetsArgs *args = arg;
    rd_kafka_topic_partition_list_t *list = list_of(args->offsets, args->n);
    int r;

    for (size_t i = 0; i < args->n; i++)
        forward_messages(args->kafka, &args->offsets[i]);
    r = answer(args->kafka, true, list);
    rd_kafka_topic_partition_list_destroy(list);
    return r;
}

static int unassign_main(void *arg)
{
    OffsetsArgs *args = arg;
    rd_kafka_topic_partition_list_t *list = list_of(args->offsets, args->n);
    int r = answer(args->kafka, false, list);

    rd_kafka_topic_partition_list_destroy(list);
    return r;
}

/* The library only reads what it is given here. */
static OffsetsArgs args_of(Kafka *kafka, const KafkaOffset *offsets, size_t n)
{
    return (OffsetsArgs){ kafka, (KafkaOffset *) offsets, n };
}

int kafka_assign(Kafka *kafka, const KafkaOffset *offsets, size_t n)
{
    OffsetsArgs args = args_of(kafka, offsets, n);
    int r = sl_offload(assign_main, &args, .name = "kafka assign");

    if (r != -ECANCELED) /* otherwise nobody has been answered */
        forget_asked(kafka);
    return r;
}

int kafka_unassign(Kafka *kafka, const KafkaOffset *offsets, size_t n)
{
    OffsetsArgs args = args_of(kafka, offsets, n);
    int r = sl_offload(unassign_main, &args, .name = "kafka unassign");

    for (size_t i = 0; i < n; i++)
        drop_fetched(kafka, &offsets[i]);
    if (r != -ECANCELED) /* otherwise nobody has been answered */
        forget_asked(kafka);
    return r;
}

static int seek_main(void *arg)
{
    OffsetsArgs *args = arg;
    rd_kafka_topic_partition_list_t *list = list_of(args->offsets, args->n);
    rd_kafka_error_t *error = rd_kafka_seek_partitions(args->kafka->rk, list, WAIT_MS);
    rd_kafka_resp_err_t err = list->elems[0].err; /* the partition's own */

    rd_kafka_topic_partition_list_destroy(list);
    if (error)
        return fail_error("seek", error);
    return err ? fail_kafka("seek", err) : 0;
}

int kafka_seek(Kafka *kafka, const KafkaOffset *offset)
{
    OffsetsArgs args = args_of(kafka, offset, 1);
    int r = sl_offload(seek_main, &args, .name = "kafka seek");

    drop_fetched(kafka, offset);
    return r;
}

static int commit_main(void *arg)
{
    OffsetsArgs *args = arg;
    rd_kafka_topic_partition_list_t *list = list_of(args->offsets, args->n);
    rd_kafka_resp_err_t err = rd_kafka_commit(args->kafka->rk, list, 0);

    rd_kafka_topic_partition_list_destroy(list);
    return err && err != RD_KAFKA_RESP_ERR__NO_OFFSET ? fail_kafka("commit", err) : 0;
}

int kafka_commit(Kafka *kafka, const KafkaOffset *offsets, size_t n, bool is_waited)
{
    OffsetsArgs args = args_of(kafka, offsets, n);
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_resp_err_t err;

    if (is_waited)
        return sl_offload(commit_main, &args, .name = "kafka commit");
    list = list_of(offsets, n);
    /* Of one without a queue the library tells nobody how it has ended. */
    err = rd_kafka_commit_queue(kafka->rk, list, kafka->events, NULL, NULL);
    rd_kafka_topic_partition_list_destroy(list);
    return err ? fail_kafka("commit", err) : sl_checkpoint();
}
