/*
 * Source mqtt: topics of an MQTT server.
 *
 * One fiber asks the client (net/mqtt.h) for messages and hands on whatever has arrived by then as
 * one group (rows/messages.h); a second one waits for the word to stop. PUBACK and PUBREC go out
 * when the sinks have the group. The client keeps what it needs to know repeats, so that quality 2
 * is exactly once while this process lives; after a crash the server sends again what was not
 * acknowledged, and a sink with a key drops it.
 */
#include "net/mqtt.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "rows/broker_url.h"
#include "rows/messages.h"
#include "rows/source.h"

#include <stdio.h>

/* X(NAME, "word") */
#define QUALITIES(X)      \
    X(AT_MOST_ONCE, "0")  \
    X(AT_LEAST_ONCE, "1") \
    X(EXACTLY_ONCE, "2")

#define WORD_(name, word) word,
static const char *const quality_words[] = { QUALITIES(WORD_) NULL };
#undef WORD_
static const char *const version_words[] = { "auto", "3.1.1", "5", NULL };
static const MqttVersion versions[] = { 0, MQTT_3_1_1, MQTT_5 };

typedef struct MqttArgs {
    Str server;
    SchemaList topics;
    int qos;
    Str group;
    Str client_id;
    Str username;
    Str password;
    int version;
    bool clean;
    bool retained;
    int64_t keep_alive_ms;
    int64_t session_ms;
    int64_t in_flight;
    int value;
    Str topic_column;
    Str pattern;
    bool tls;
    bool insecure;
    Str ca;
    Str cert;
    Str key;
} MqttArgs;

static const SchemaField topic_item = ITEM(STR, .range = RANGE(1, 65535));

static const SchemaField fields[] = {
    FIELD_STR(MqttArgs, server, "host and port, with mqtts:// before it for TLS",
              .is_required = true, .range = RANGE(1, LIMIT_BROKER_URL_BYTES),
              .holder = "HOST[:PORT]"),
    FIELD_LIST(MqttArgs, topics, &topic_item, "what to subscribe to; + and # as MQTT has them",
               .is_required = true, .range = RANGE(1, LIMIT_BROKER_TOPICS), .holder = "TOPIC"),
    FIELD_ENUM(MqttArgs, qos, quality_words,
               "quality of service: 0 may lose, 1 may double, 2 does neither", .default_text = "1"),
    FIELD_STR(MqttArgs, group, "subscribers of one group share the messages ($share/GROUP/TOPIC)",
              .range = RANGE(1, 200)),
    FIELD_STR(MqttArgs, client_id,
              "what the server's session is kept under; default: from the pipeline's name",
              .range = RANGE(1, 1000)),
    FIELD_STR(MqttArgs, username, "to log in with", .range = RANGE(1, 1000)),
    FIELD_STR(MqttArgs, password, "to log in with", .range = RANGE(1, 1000), .is_secret = true),
    FIELD_ENUM(MqttArgs, version, version_words, "of MQTT; auto: 5, else 3.1.1",
               .default_text = "auto"),
    FIELD_BOOL(MqttArgs, clean, "no session: what comes while nobody is connected is lost",
               .default_text = "false"),
    FIELD_BOOL(MqttArgs, retained, "take messages that the server has kept",
               .default_text = "true"),
    FIELD_DURATION(MqttArgs, keep_alive_ms, "keep_alive", "silence before a ping",
                   .default_text = "60s", .range = RANGE(1000, 65535000)),
    FIELD_DURATION(MqttArgs, session_ms, "session",
                   "how long a server of MQTT 5 keeps what comes while we are away",
                   .default_text = "24h", .range = RANGE(1000, INT64_C(4294967294000))),
    FIELD_INT(MqttArgs, in_flight, "messages not acknowledged at once (MQTT 5)",
              .default_text = "10000", .range = RANGE(1, 65535)),
    FIELD_ENUM(MqttArgs, value, message_value_words,
               "a message is read by its format, or is one number or text, called value",
               .default_text = "format"),
    FIELD_STR(MqttArgs, topic_column, "column for the topic; - for none", .default_text = "topic",
              .range = RANGE(1, 100)),
    FIELD_STR(MqttArgs, pattern, "levels of the topic as columns: sensors/{building}/{sensor}",
              .range = RANGE(1, 1000)),
    FIELD_BOOL(MqttArgs, tls, "encrypt", .default_text = "false"),
    FIELD_BOOL(MqttArgs, insecure, "do not check the server's certificate",
               .default_text = "false"),
    FIELD_STR(MqttArgs, ca, "file of authorities to trust (PEM)", .holder = "FILE"),
    FIELD_STR(MqttArgs, cert, "file of a certificate to show (PEM)", .holder = "FILE"),
    FIELD_STR(MqttArgs, key, "file of its key (PEM)", .holder = "FILE"),
};
static const Schema args_schema = SCHEMA(MqttArgs, fields, "Topics of an MQTT server");

typedef struct MqttSource {
    Source *source;
    const MqttArgs *args;
    Arena arena;
    Mqtt *mqtt;
    Messages *messages;
    sl_scope reading; /* cancelled to stop taking, while is_reading */
    bool is_reading;
} MqttSource;

/* ---- settings -------------------------------------------------------------------------------- */

/* The filters as they are subscribed to, with the group before them. */
static int make_filters(MqttSource *self, Str **ret_filters)
{
    const Str *topics = self->args->topics.items;
    Str *filters = arena_zalloc(&self->arena, self->args->topics.len * sizeof(Str));
    int r;

    for (size_t i = 0; i < self->args->topics.len; i++) {
        filters[i] = topics[i];
        if (self->args->group.len > 0)
            filters[i] = arena_printf(&self->arena, "$share/%.*s/%.*s", (int) self->args->group.len,
                                      self->args->group.data, (int) topics[i].len, topics[i].data);
        r = mqtt_check_filter(filters[i]);
        if (r < 0)
            return r;
    }
    *ret_filters = filters;
    return 0;
}

static void on_state(void *ctx, bool is_up, const char *words)
{
    MqttSource *self = ctx;

    source_say(self->source, is_up, words);
}

static Str client_id_of(MqttSource *self)
{
    const Source *source = self->source;

    if (self->args->client_id.len > 0)
        return self->args->client_id;
    return arena_printf(&self->arena, "sluice-%.*s-%.*s", (int) source->pipeline.len,
                        source->pipeline.data, (int) source->name.len, source->name.data);
}

SUSPENDS static int start_client(MqttSource *self, const BrokerUrl *url)
{
    const MqttArgs *args = self->args;
    Str *filters = NULL;
    int r = make_filters(self, &filters);

    if (r < 0)
        return r;
    return mqtt_start(
        &(MqttOpts){ .host = url->host,
                     .port = url->port,
                     .is_tls = args->tls || url->is_tls,
                     .is_insecure = args->insecure,
                     .ca = args->ca,
                     .cert = args->cert,
                     .key = args->key,
                     .is_public_only = !self->source->is_private_allowed,
                     .version = versions[args->version],
                     .client_id = client_id_of(self),
                     .user = args->username.len > 0 ? args->username : url->user,
                     .password = args->password.len > 0 ? args->password : url->password,
                     .is_clean = args->clean,
                     .keep_alive_ms = args->keep_alive_ms,
                     .session_expiry_ms = args->session_ms,
                     .in_flight = (uint16_t) args->in_flight,
                     .filters = filters,
                     .n_filters = args->topics.len,
                     .qos = (uint8_t) args->qos,
                     .wants_retained = args->retained,
                     .on_state = on_state,
                     .ctx = self },
        &self->mqtt);
}

static void on_settled(void *ctx, const uint64_t *tickets, size_t n, int r)
{
    MqttSource *self = ctx;

    for (size_t i = 0; i < n; i++) {
        if (r < 0)
            mqtt_give_back(self->mqtt, tickets[i]);
        else
            mqtt_settle(self->mqtt, tickets[i]);
    }
}

static int make_messages(MqttSource *self, const BrokerUrl *url)
{
    const MqttArgs *args = self->args;

    return messages_new(self->source,
                        &(MessagesOpts){ .origin = url->host,
                                         .topic_column = args->topic_column,
                                         .pattern = args->pattern,
                                         .separator = '/',
                                         .value = args->value,
                                         .on_settled = on_settled,
                                         .ctx = self },
                        &self->messages);
}

/* ---- running --------------------------------------------------------------------------------- */

/* Hand on MESSAGE, and all that has arrived behind it. */
SUSPENDS static int take_messages(MqttSource *self, MqttMessage *message)
{
    Str no_track = { 0 };
    int r;

    do {
        Message one = { .topic = message->topic,
                        .payload = message->payload,
                        .ticket = message->ticket,
                        .is_repeat = message->is_repeat };

        if (!messages_fits(self->messages, &one)) {
            r = messages_flush(self->messages, no_track, 0);
            if (r < 0)
                return r;
        }
        messages_add(self->messages, &one);
        r = mqtt_try_next(self->mqtt, message);
    } while (r == 0);
    return messages_flush(self->messages, no_track, 0);
}

SUSPENDS static int read_messages(MqttSource *self)
{
    MqttMessage message = { 0 };
    int r;

    for (;;) {
        r = mqtt_next(self->mqtt, &message);
        if (r == 0)
            r = take_messages(self, &message);
        if (r < 0)
            return r;
    }
}

SUSPENDS static int await_stop(void *arg)
{
    MqttSource *self = arg;
    int r = sl_event_wait(self->source->stopping);

    if (r == 0 && self->is_reading)
        sl_scope_cancel(&self->reading);
    return r;
}

/* Until it is told to stop, or something cannot mend. */
SUSPENDS static int read_until_stop(MqttSource *self)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "mqtt source");
    int r;

    sl_scope_begin(&self->reading);
    self->is_reading = true;
    r = sl_spawn(nursery, await_stop, self, .name = "mqtt stop");
    if (r == 0)
        r = read_messages(self);
    self->is_reading = false;
    r = sl_scope_end(&self->reading, r);
    sl_nursery_cancel(nursery);
    return r;
}

/* O3: the end of taking is no error, whoever asked for it. */
SUSPENDS static int run_client(MqttSource *self)
{
    int r = read_until_stop(self);

    messages_drain(self->messages);
    return r == -ECANCELED ? 0 : r;
}

SUSPENDS static int run(Source *source)
{
    MqttSource self = { .source = source, .args = source->args };
    BrokerUrl url;
    int r = broker_url_parse(&self.arena, self.args->server, "mqtt", &url);

    if (r == 0)
        r = start_client(&self, &url);
    if (r == 0)
        r = make_messages(&self, &url);
    if (r == 0)
        r = run_client(&self);
    messages_close(self.messages);
    mqtt_stop(self.mqtt, LIMIT_BROKER_CONNECT_MS);
    arena_deinit(&self.arena);
    return r;
}

extern const SourceDriver source_mqtt;

static int from_text(Str text, Buf *out)
{
    return broker_url_to_settings(&source_mqtt, "mqtt", "topics", text, out);
}

const SourceDriver source_mqtt = {
    .name = "mqtt",
    .summary = "topics of an MQTT server, each message acknowledged when the sink has it",
    .schemes = { "mqtt://", "mqtts://" },
    .args = &args_schema,
    .from_text = from_text,
    .format = DECODE_AUTO,
    .is_acknowledged = true,
    .is_endless = true,
    .run = run,
};
