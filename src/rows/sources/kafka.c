/*
 * Source kafka: topics of a Kafka cluster, as a member of a consumer group.
 *
 *   the source's fiber   takes messages, hands them on in groups of one partition
 *   kafka keeper         rebalances, errors, commits; keeps us in the group while the other waits
 *   kafka stop           ends the taking when the source is told to stop
 *
 * What a partition is done with is known by ranges of offsets, in order: a group that was handed on
 * is a range, and when the oldest ones are settled their end is what is committed. A partition that
 * is taken away is waited for a little while, so that its new member does not read again what is
 * under way. One of which something was given back is read again from there, and nothing of it is
 * handed on before.
 *
 * Exactly once: with a sink that keeps positions a partition begins where the sink stands, or where
 * the group stands when that is later, and rows of a message that the sink has are left out
 * (messages_skip_to). Offsets count from 0 and positions from 1, so that none is 0.
 */
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/broker_url.h"
#include "rows/kafka_client.h"
#include "rows/kafka_partitions.h"
#include "rows/messages.h"
#include "rows/source.h"

#define OFFSET_BITS 48 /* of a ticket; above them is the partition's index */
#define COMMIT_MS   500
#define REVOKE_MS   5000 /* that a partition which is taken away is waited for */

typedef struct KafkaArgs {
    Str server;
    SchemaList topics;
    Str group;
    bool from_end;
    Str username;
    Str password;
    SchemaPairs properties;
    int value;
    Str topic_column;
    Str pattern;
    bool tls;
    bool insecure;
    Str ca;
    Str cert;
    Str key;
} KafkaArgs;

static const SchemaField topic_item = ITEM(STR, .range = RANGE(1, 249));

static const SchemaField fields[] = {
    FIELD_STR(KafkaArgs, server, "brokers to begin with, commas between them", .is_required = true,
              .range = RANGE(1, LIMIT_BROKER_URL_BYTES), .holder = "HOST[:PORT],…"),
    FIELD_LIST(KafkaArgs, topics, &topic_item, "to read; one that begins with ^ is a pattern",
               .is_required = true, .range = RANGE(1, LIMIT_BROKER_TOPICS), .holder = "TOPIC"),
    FIELD_STR(KafkaArgs, group, "the consumer group; default: sluice-PIPELINE",
              .range = RANGE(1, 200)),
    FIELD_BOOL(KafkaArgs, from_end, "a new group begins with what comes from now on",
               .default_text = "false"),
    FIELD_STR(KafkaArgs, username, "to log in with (SASL PLAIN)", .range = RANGE(1, 1000)),
    FIELD_STR(KafkaArgs, password, "to log in with", .range = RANGE(1, 1000), .is_secret = true),
    FIELD_MAP(KafkaArgs, properties, "further properties, as librdkafka names them",
              .is_secret = true, .takes_values = true, .range = RANGE(0, 100)),
    FIELD_ENUM(KafkaArgs, value, message_value_words,
               "a message is read by its format, or is one number or text, called value",
               .default_text = "format"),
    FIELD_STR(KafkaArgs, topic_column, "column for the topic; - for none", .default_text = "topic",
              .range = RANGE(1, 100)),
    FIELD_STR(KafkaArgs, pattern, "parts of the topic as columns: sensors.{building}",
              .range = RANGE(1, 1000)),
    FIELD_BOOL(KafkaArgs, tls, "encrypt", .default_text = "false"),
    FIELD_BOOL(KafkaArgs, insecure, "do not check the brokers' certificates",
               .default_text = "false"),
    FIELD_STR(KafkaArgs, ca, "file of authorities to trust (PEM)", .holder = "FILE"),
    FIELD_STR(KafkaArgs, cert, "file of a certificate to show (PEM)", .holder = "FILE"),
    FIELD_STR(KafkaArgs, key, "file of its key (PEM)", .holder = "FILE"),
};
static const Schema args_schema = SCHEMA(KafkaArgs, fields, "Topics of a Kafka cluster");

typedef struct KafkaSource {
    Source *source;
    const KafkaArgs *args;
    Arena arena;
    Kafka *kafka;
    Messages *messages;
    sl_scope reading; /* cancelled to stop taking */
    bool is_reading;

    Partitions partitions;
    Partition *current; /* of the group that is gathered */
    uint32_t epoch;     /* of it, when the group was begun */
    int64_t first, last;

    sl_cond settled; /* something was settled or given back */
    sl_cond sought;  /* it is over with is_seeking */
    bool is_seeking; /* a partition is being set back: nothing is taken */
    int64_t commit_ns;
    bool is_up;
    Err final_err; /* code 0: none */
} KafkaSource;

static void on_settled(void *ctx, const uint64_t *tickets, size_t n, int r)
{
    KafkaSource *self = ctx;
    uint64_t mask = (UINT64_C(1) << OFFSET_BITS) - 1;

    partition_settle(self->partitions.items[tickets[0] >> OFFSET_BITS],
                     (int64_t) (tickets[0] & mask), (int64_t) (tickets[n - 1] & mask), r);
    sl_cond_wake_all(&self->settled);
}

/* ---- commits --------------------------------------------------------------------------------- */

/* A commit has failed, or may have: what we have goes into the next one again. */
static void forget_commits(KafkaSource *self)
{
    for (size_t i = 0; i < self->partitions.n; i++) {
        Partition *partition = self->partitions.items[i];

        if (partition->is_assigned)
            partition->committed = partition->stood;
    }
}

/* Commit what is settled, of all partitions. */
SUSPENDS static int commit(KafkaSource *self, bool is_waited)
{
    KafkaOffset *offsets = mem_new_array(KafkaOffset, MAX(self->partitions.n, (size_t) 1));
    size_t n = 0;
    int r;

    for (size_t i = 0; i < self->partitions.n; i++) {
        Partition *partition = self->partitions.items[i];

        if (partition->done < 0 || partition->done <= partition->committed)
            continue;
        offsets[n++] = (KafkaOffset){ .topic = partition->topic,
                                      .partition = partition->number,
                                      .offset = partition->done };
        partition->committed = partition->done;
    }
    r = n > 0 ? kafka_commit(self->kafka, offsets, n, is_waited) : sl_checkpoint();
    if (r < 0)
        forget_commits(self);
    mem_free(offsets);
    self->commit_ns = sl_now_ns();
    return r;
}

SUSPENDS static int commit_rest(void *arg)
{
    return commit(arg, true);
}

/* ---- the keeper ------------------------------------------------------------------------------ */

/* Where PARTITION begins, the group standing at STORED: the latest that anybody knows. */
static int64_t start_offset(KafkaSource *self, Partition *partition, int64_t stored)
{
    uint64_t position = 0;
    int64_t offset = MAX(stored, partition->done);

    if (self->source->is_exact)
        position = source_start_position(self->source, str_from_c(partition->track));
    partition->skip_to = position;
    if (position > 0)
        offset = MAX(offset, (int64_t) (position >> MESSAGES_BYTE_BITS) - 1);
    return offset >= 0 ? offset : KAFKA_STORED;
}

SUSPENDS static int take_assigned(KafkaSource *self, const KafkaEvent *event)
{
    size_t n = 0;
    KafkaOffset *offsets = mem_new_array(KafkaOffset, MAX(event->n, (size_t) 1));
    int r = 0;

    for (size_t i = 0; i < event->n; i++) {
        if (partitions_get(&self->partitions, event->offsets[i].topic, event->offsets[i].partition))
            offsets[n++] = event->offsets[i];
    }
    if (n < event->n)
        source_say(self->source, true, "too many partitions: some are not read");
    if (n > 0)
        r = kafka_committed(self->kafka, offsets, n);
    for (size_t i = 0; i < n && r == 0; i++) {
        Partition *partition = partitions_get(&self->partitions, offsets[i].topic,
                                              offsets[i].partition);

        offsets[i].offset = start_offset(self, partition, offsets[i].offset);
        partition_clear(partition);
        partition->is_assigned = true;
        partition->epoch++;
        partition->rewind = -1;
        partition->stood = partition->committed = offsets[i].offset;
    }
    if (r == 0)
        r = kafka_assign(self->kafka, offsets, n);
    mem_free(offsets);
    if (r == 0 && !self->is_up)
        source_say(self->source, true, "connected");
    self->is_up = self->is_up || r == 0;
    return r;
}

static bool is_any_out(const KafkaSource *self)
{
    for (size_t i = 0; i < self->partitions.n; i++) {
        if (!self->partitions.items[i]->is_assigned && self->partitions.items[i]->ranges.first)
            return true;
    }
    return false;
}

SUSPENDS static int await_revoked(KafkaSource *self)
{
    sl_scope scope;
    int r = 0;

    sl_scope_begin(&scope, .timeout_ms = REVOKE_MS);
    while (r == 0 && is_any_out(self))
        r = sl_cond_wait(&self->settled);
    r = sl_scope_end(&scope, r);
    return r == -ETIMEDOUT ? 0 : r;
}

SUSPENDS static int take_revoked(KafkaSource *self, const KafkaEvent *event)
{
    int r;

    for (size_t i = 0; i < event->n; i++) {
        Partition *partition = partitions_find(&self->partitions, event->offsets[i].topic,
                                               event->offsets[i].partition);

        if (!partition)
            continue;
        partition->is_assigned = false;
        partition->epoch++;
    }
    r = await_revoked(self);
    if (r == 0)
        r = commit(self, true);
    if (r < 0 && sl_is_cancelled())
        return r;
    r = kafka_unassign(self->kafka, event->offsets, event->n);
    for (size_t i = 0; i < self->partitions.n; i++) {
        if (!self->partitions.items[i]->is_assigned)
            partition_clear(self->partitions.items[i]);
    }
    return r;
}

static void take_error(KafkaSource *self, const KafkaEvent *event)
{
    if (event->is_commit)
        forget_commits(self);
    if (event->is_summary && !self->is_up)
        return; /* better words have been said */
    if (!event->is_final) {
        self->is_up = false;
        source_say(self->source, false, event->text);
        return;
    }
    err_take(fail(event->r, "kafka: %s", event->text), &self->final_err);
    if (self->is_reading)
        sl_scope_cancel(&self->reading);
}

SUSPENDS static int take_events(KafkaSource *self)
{
    KafkaEvent event;
    int r = 0;

    while (r == 0 && kafka_try_event(self->kafka, &event) == 0) {
        switch (event.type) {
        case KAFKA_ASSIGN: r = take_assigned(self, &event); break;
        case KAFKA_REVOKE: r = take_revoked(self, &event); break;
        case KAFKA_ERROR: take_error(self, &event); break;
        }
    }
    return r;
}

/* What was given back is read again. */
SUSPENDS static int rewind_partitions(KafkaSource *self)
{
    int r = 0;

    for (size_t i = 0; i < self->partitions.n && r == 0; i++) {
        Partition *partition = self->partitions.items[i];
        KafkaOffset offset = { .topic = partition->topic, .partition = partition->number };

        if (partition->rewind < 0 || !partition->is_assigned)
            continue;
        partition->epoch++;
        partition_rewind(partition);
        offset.offset = partition->rewind;
        self->is_seeking = true;
        r = kafka_seek(self->kafka, &offset);
        self->is_seeking = false;
        if (r == 0)
            partition->rewind = -1; /* else it is tried again */
        sl_cond_wake_all(&self->sought);
    }
    return r;
}

SUSPENDS static int await_event(KafkaSource *self)
{
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .timeout_ms = COMMIT_MS);
    r = sl_scope_end(&scope, kafka_wait_event(self->kafka));
    return r == -ETIMEDOUT ? 0 : r;
}

SUSPENDS static int keep_once(KafkaSource *self)
{
    int r = take_events(self);

    if (r == 0 && !source_is_stopping(self->source))
        r = rewind_partitions(self);
    if (r == 0 && sl_now_ns() - self->commit_ns >= COMMIT_MS * NS_PER_MS)
        r = commit(self, false);
    return r < 0 ? r : await_event(self);
}

SUSPENDS static int keep(void *arg)
{
    KafkaSource *self = arg;
    int r = 0;

    while (!sl_is_cancelled()) {
        r = keep_once(self);
        if (r < 0 && !sl_is_cancelled()) {
            self->is_up = false;
            source_say(self->source, false, err_text(r));
            r = sl_sleep_ms(COMMIT_MS);
        }
    }
    return r;
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* Whether messages of PARTITION that come now are of no use: it is another's, or is read again. */
static bool is_stale(const Partition *partition)
{
    return !partition->is_assigned || partition->rewind >= 0;
}

/* Hand on what is gathered, of one partition. */
SUSPENDS static int hand_on(KafkaSource *self)
{
    Partition *partition = self->current;

    if (messages_gathered(self->messages) == 0)
        return sl_checkpoint();
    if (partition->epoch != self->epoch || is_stale(partition)) {
        messages_forget(self->messages);
        return sl_checkpoint();
    }
    partition_add_range(partition, self->first, self->last);
    messages_skip_to(self->messages, partition->skip_to);
    return messages_flush(self->messages, str_from_c(partition->track), (uint64_t) self->last + 2);
}

SUSPENDS static int take_message(KafkaSource *self, const KafkaMessage *message)
{
    Partition *partition = partitions_find(&self->partitions, message->topic, message->partition);
    uint32_t epoch;
    Message one;
    int r;

    if (!partition || is_stale(partition))
        return sl_checkpoint();
    one = (Message){ .topic = str_from_c(partition->topic),
                     .payload = message->payload,
                     .ticket = (uint64_t) partition->index << OFFSET_BITS |
                               (uint64_t) message->offset,
                     .base = (uint64_t) message->offset + 1 };
    if (partition != self->current || partition->epoch != self->epoch ||
        !messages_fits(self->messages, &one)) {
        epoch = partition->epoch;
        r = hand_on(self);
        if (r < 0 || partition->epoch != epoch)
            return r; /* it was taken away meanwhile, or is read again */
    }
    if (messages_gathered(self->messages) == 0) {
        self->first = message->offset;
        self->epoch = partition->epoch;
    }
    self->current = partition;
    self->last = message->offset;
    messages_add(self->messages, &one);
    return 0;
}

/* The next message that is there, once none may be of before a seek: 0, KAFKA_NOTHING, or
 * -ECANCELED. */
SUSPENDS static int next_message(KafkaSource *self, KafkaMessage *message)
{
    int r = 0;

    while (r == 0 && self->is_seeking)
        r = sl_cond_wait(&self->sought);
    return r < 0 ? r : kafka_try_next(self->kafka, message);
}

SUSPENDS static int take_messages(KafkaSource *self)
{
    KafkaMessage message;
    int r;

    while ((r = next_message(self, &message)) == 0) {
        r = take_message(self, &message);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    if (!self->is_up && messages_gathered(self->messages) > 0) {
        self->is_up = true;
        source_say(self->source, true, "connected");
    }
    return hand_on(self);
}

SUSPENDS static int read_messages(KafkaSource *self)
{
    int r = 0;

    while (r == 0) {
        r = take_messages(self);
        if (r == 0)
            r = kafka_wait_messages(self->kafka);
    }
    return r;
}

/* ---- running --------------------------------------------------------------------------------- */

SUSPENDS static int await_stop(void *arg)
{
    KafkaSource *self = arg;
    int r = sl_event_wait(self->source->stopping);

    if (r == 0 && self->is_reading)
        sl_scope_cancel(&self->reading);
    return r;
}

/* Until it is told to stop, or something cannot mend; then what is out is waited for, while the
 * keeper keeps us in the group. */
SUSPENDS static int read_until_stop(KafkaSource *self)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "kafka source");
    int r = sl_spawn(nursery, keep, self, .name = "kafka keeper");

    if (r == 0)
        r = sl_spawn(nursery, await_stop, self, .name = "kafka stop");
    sl_scope_begin(&self->reading);
    self->is_reading = true;
    if (source_is_stopping(self->source))
        sl_scope_cancel(&self->reading);
    if (r == 0)
        r = read_messages(self);
    self->is_reading = false;
    r = sl_scope_end(&self->reading, r);
    messages_drain(self->messages);
    sl_nursery_cancel(nursery);
    return r;
}

static const char *text_or_null(KafkaSource *self, Str text)
{
    return text.len > 0 ? arena_copy_c(&self->arena, text) : NULL;
}

SUSPENDS static int open_client(KafkaSource *self, const BrokerUrl *url)
{
    const KafkaArgs *args = self->args;
    const Str *topics = args->topics.items;
    const char **names = arena_zalloc(&self->arena, (args->topics.len + 1) * sizeof(*names));
    const char *group = text_or_null(self, args->group);
    Str servers = url->host;

    for (size_t i = 0; i < args->topics.len; i++)
        names[i] = arena_copy_c(&self->arena, topics[i]);
    if (!group)
        group = arena_printf(&self->arena, "sluice-%.*s", (int) self->source->pipeline.len,
                             self->source->pipeline.data)
                    .data;
    if (url->port)
        servers = arena_printf(&self->arena, "%s:%u", url->host.data, url->port);
    return kafka_open(
        &(KafkaOpts){
            .servers = servers.data,
            .group = group,
            .topics = names,
            .user = text_or_null(self, args->username.len > 0 ? args->username : url->user),
            .password = text_or_null(self, args->password.len > 0 ? args->password : url->password),
            .is_tls = args->tls || url->is_tls,
            .is_insecure = args->insecure,
            .ca = text_or_null(self, args->ca),
            .cert = text_or_null(self, args->cert),
            .key = text_or_null(self, args->key),
            .is_from_end = args->from_end,
            .is_public_only = !self->source->is_private_allowed,
            .properties = args->properties.items,
            .n_properties = args->properties.len },
        &self->kafka);
}

static int make_messages(KafkaSource *self, const BrokerUrl *url)
{
    const KafkaArgs *args = self->args;

    return messages_new(self->source,
                        &(MessagesOpts){ .origin = url->host,
                                         .topic_column = args->topic_column,
                                         .pattern = args->pattern,
                                         .separator = '.',
                                         .value = args->value,
                                         .on_settled = on_settled,
                                         .ctx = self },
                        &self->messages);
}

SUSPENDS static int run(Source *source)
{
    KafkaSource *self = mem_new(KafkaSource);
    BrokerUrl url;
    int r;

    self->source = source;
    self->args = source->args;
    r = broker_url_parse(&self->arena, self->args->server, "kafka", &url);
    if (r == 0)
        r = make_messages(self, &url);
    if (r == 0)
        r = open_client(self, &url);
    if (r == 0) {
        r = read_until_stop(self);
        (void) sl_shielded(LIMIT_BROKER_CONNECT_MS, commit_rest, self); /* else it comes again */
    }
    messages_close(self->messages);
    kafka_close(self->kafka);
    if (self->final_err.code < 0)
        r = err_put(&self->final_err);
    partitions_deinit(&self->partitions);
    arena_deinit(&self->arena);
    mem_free(self);
    return r == -ECANCELED ? 0 : r;
}

extern const SourceDriver source_kafka;

static int from_text(Str text, Buf *out)
{
    return broker_url_to_settings(&source_kafka, "kafka", "topics", text, out);
}

const SourceDriver source_kafka = {
    .name = "kafka",
    .summary = "topics of a Kafka cluster, offsets committed when the sink has the messages",
    .schemes = { "kafka://", "kafkas://" },
    .args = &args_schema,
    .from_text = from_text,
    .format = DECODE_AUTO,
    .has_position = true,
    .is_acknowledged = true,
    .is_endless = true,
    .run = run,
};
