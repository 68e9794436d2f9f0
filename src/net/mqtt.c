/*
 * The subscriber: what is done with each packet, and what is done when a connection is lost.
 *
 * Whoever calls mqtt_next drives the connection, so that nothing is read which nobody wants: a
 * program that does not ask leaves the bytes in the socket, and the server waits (Q4). Only
 * acknowledgements and pings go out by themselves.
 */
#include "net/mqtt_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <stdio.h>

#define KEEP_ALIVE_MS     (60 * MS_PER_S)
#define KEEP_ALIVE_MAX_MS (65535 * MS_PER_S)
#define SESSION_EXPIRY_MS (24 * 3600 * MS_PER_S)

enum { PORT = 1883, PORT_TLS = 8883, GRANT_REFUSED = 0x80 };

/* ---- packets --------------------------------------------------------------------------------- */

static void announce(Mqtt *mqtt, bool is_up, const char *words)
{
    if (is_up && (mqtt->is_announced || mqtt->n_acks_due > 0))
        return;
    mqtt->is_announced = is_up;
    if (is_up)
        mqtt->is_subscribed = true;
    if (mqtt->opts.on_state)
        mqtt->opts.on_state(mqtt->opts.ctx, is_up, words);
}

static int take_suback(Mqtt *mqtt, const MqttPacket *packet)
{
    uint8_t code = (uint8_t) packet->codes.data[0];

    if (packet->id > mqtt->opts.n_filters || packet->codes.len != 1 || mqtt->n_acks_due == 0)
        return fail(-ERR_NETWORK, "the MQTT server grants what was not asked for");
    if (code >= GRANT_REFUSED) {
        Str filter = mqtt->opts.filters[packet->id - 1];

        mqtt->is_mending = false;
        return fail(-ERR_FORBIDDEN, "the MQTT server refuses the topic \"%.*s\": %s",
                    (int) filter.len, filter.data,
                    mqtt->version == MQTT_5 ? mqtt_reason_text(code) : "not allowed");
    }
    mqtt->n_acks_due--;
    announce(mqtt, true, "connected");
    return 0;
}

static void pay(Mqtt *mqtt)
{
    size_t n = mqtt_debts_pay(&mqtt->debts, &mqtt->out);

    mqtt->counts.acknowledged += n;
    if (n > 0)
        mqtt_line_wake(mqtt);
}

/* 0: it is for the program; MQTT_MORE: it is not. */
static int take_publish(Mqtt *mqtt, const MqttPacket *packet, MqttMessage *ret_message)
{
    uint64_t ticket = 0;
    int r;

    if (packet->qos > 0) {
        r = mqtt_debts_take(&mqtt->debts, packet, &ticket);
        if (r < 0)
            return r;
        if (r == MQTT_DEBT_KNOWN || (packet->is_retained && !mqtt->opts.wants_retained)) {
            mqtt->counts.repeats += r == MQTT_DEBT_KNOWN;
            (void) mqtt_debts_settle(&mqtt->debts, ticket); /* nothing for what is known */
            pay(mqtt);
            return MQTT_MORE;
        }
    } else if (packet->is_retained && !mqtt->opts.wants_retained) {
        return MQTT_MORE;
    }
    mqtt->counts.messages++;
    *ret_message = (MqttMessage){ .topic = packet->topic,
                                  .payload = packet->payload,
                                  .content_type = packet->properties.content_type,
                                  .ticket = ticket,
                                  .is_repeat = packet->is_repeat,
                                  .is_retained = packet->is_retained };
    return 0;
}

static int fail_disconnect(Mqtt *mqtt, const MqttPacket *packet)
{
    Str why = packet->properties.reason;

    (void) mqtt;
    return fail(-ERR_CLOSED, "the MQTT server has closed the connection: %s%s%.*s",
                mqtt_reason_text(packet->reason), why.len > 0 ? ": " : "", (int) why.len,
                why.data ? why.data : "");
}

/* 0: a message; MQTT_MORE: nothing for the program; or what ends the connection. */
static int take_packet(Mqtt *mqtt, const MqttPacket *packet, MqttMessage *ret_message)
{
    switch (packet->type) {
    case MQTT_PUBLISH: return take_publish(mqtt, packet, ret_message);
    case MQTT_PUBREL:
        mqtt_debts_release(&mqtt->debts, packet->id, &mqtt->out);
        mqtt_line_wake(mqtt);
        return MQTT_MORE;
    case MQTT_SUBACK: {
        int r = take_suback(mqtt, packet);

        return r < 0 ? r : MQTT_MORE;
    }
    case MQTT_PINGRESP: return MQTT_MORE;
    case MQTT_DISCONNECT: return fail_disconnect(mqtt, packet);
    case MQTT_CONNACK:
    case MQTT_CONNECT:
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBCOMP:
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
    case MQTT_UNSUBACK:
    case MQTT_PINGREQ:
    case MQTT_AUTH: break;
    }
    return fail(-ERR_NETWORK, "the MQTT server sends %s, which nothing asked for",
                mqtt_type_name(packet->type));
}

/* What is there already: a message, MQTT_NONE, or what ends the connection. */
static int take_packets(Mqtt *mqtt, MqttMessage *ret_message)
{
    MqttPacket packet;
    int r;

    while ((r = mqtt_line_try_packet(mqtt, &packet)) == 0) {
        r = take_packet(mqtt, &packet, ret_message);
        if (r <= 0)
            return r;
    }
    return r < 0 ? r : MQTT_NONE;
}

/* ---- connections ----------------------------------------------------------------------------- */

SUSPENDS static int wait_before_next(Mqtt *mqtt)
{
    int64_t most = LIMIT_BROKER_BACKOFF_MIN_MS;

    for (unsigned i = 0; i < mqtt->failures && most < LIMIT_BROKER_BACKOFF_MAX_MS; i++)
        most *= 2;
    most = MIN(most, (int64_t) LIMIT_BROKER_BACKOFF_MAX_MS);
    mqtt->failures++;
    return sl_sleep_ms(most / 2 + (int64_t) (sl_random() % (uint64_t) (most / 2 + 1)));
}

/* The connection has ended with R: 0 when it may be made again, after a while. */
SUSPENDS static int lose(Mqtt *mqtt, int r, bool can_mend)
{
    Err err;

    err_take(r, &err);
    mqtt_line_close(mqtt);
    if (!can_mend)
        return err_put(&err);
    announce(mqtt, false, mqtt->words[0] ? mqtt->words : err.text);
    return wait_before_next(mqtt);
}

SUSPENDS static int connect_once(Mqtt *mqtt)
{
    bool was_older = mqtt->is_older, can_mend = true;
    int r = mqtt_line_open(mqtt, &can_mend);

    if (r == 0) {
        announce(mqtt, true, "connected");
        return 0;
    }
    if (sl_is_cancelled())
        return r;
    if (mqtt->is_older != was_older) {
        mqtt_line_close(mqtt);
        return 0; /* at once, in the older version */
    }
    return lose(mqtt, r, can_mend);
}

int mqtt_try_next(Mqtt *mqtt, MqttMessage *ret_message)
{
    int r;

    if (!mqtt->stream || mqtt->failed < 0)
        return MQTT_NONE;
    r = take_packets(mqtt, ret_message);
    if (r < 0) {
        mqtt->failed = r;
        err_take(r, &mqtt->failed_err);
        return MQTT_NONE;
    }
    return r;
}

/* Read until there is a message, or the connection is lost. */
SUSPENDS static int read_message(Mqtt *mqtt, MqttMessage *ret_message)
{
    int r = mqtt->failed;

    mqtt->failed = 0;
    if (r < 0)
        return err_put(&mqtt->failed_err);
    mqtt->is_mending = true;
    while ((r = take_packets(mqtt, ret_message)) == MQTT_NONE) {
        r = mqtt_line_fill(mqtt);
        if (r < 0)
            return r;
        mqtt->failures = 0;
    }
    return r;
}

int mqtt_next(Mqtt *mqtt, MqttMessage *ret_message)
{
    int r = sl_checkpoint();

    while (r == 0) {
        if (!mqtt->stream) {
            r = connect_once(mqtt);
            continue;
        }
        r = read_message(mqtt, ret_message);
        if (r == 0 || sl_is_cancelled())
            return r;
        r = lose(mqtt, r, mqtt->is_mending);
    }
    return r;
}

/* ---- settling -------------------------------------------------------------------------------- */

void mqtt_settle(Mqtt *mqtt, uint64_t ticket)
{
    if (ticket > 0 && mqtt_debts_settle(&mqtt->debts, ticket) && mqtt->stream)
        pay(mqtt);
}

void mqtt_give_back(Mqtt *mqtt, uint64_t ticket)
{
    if (ticket == 0 || !mqtt_debts_give_back(&mqtt->debts, ticket) || mqtt->is_stopping)
        return;
    (void) snprintf(mqtt->words, sizeof(mqtt->words), "a message was given back to the server");
    if (mqtt->stream)
        stream_abort(mqtt->stream);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void copy_opts(Mqtt *mqtt, const MqttOpts *from)
{
    MqttOpts *opts = &mqtt->opts;
    Str *texts[] = { &opts->host, &opts->ca,       &opts->cert,     &opts->key,
                     &opts->user, &opts->password, &opts->client_id };
    Str *filters = arena_zalloc(&mqtt->arena, MAX(from->n_filters, (size_t) 1) * sizeof(Str));

    *opts = *from;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = arena_copy(&mqtt->arena, *texts[i]);
    for (size_t i = 0; i < from->n_filters; i++)
        filters[i] = arena_copy(&mqtt->arena, from->filters[i]);
    opts->filters = filters;
    if (!opts->port)
        opts->port = opts->is_tls ? PORT_TLS : PORT;
    if (opts->keep_alive_ms <= 0)
        opts->keep_alive_ms = KEEP_ALIVE_MS;
    opts->keep_alive_ms = MIN(MAX(opts->keep_alive_ms, MS_PER_S), KEEP_ALIVE_MAX_MS);
    if (opts->session_expiry_ms <= 0)
        opts->session_expiry_ms = SESSION_EXPIRY_MS;
}

int mqtt_start(const MqttOpts *opts, Mqtt **ret_mqtt)
{
    Mqtt *mqtt = mem_new(Mqtt);
    int r;

    ASSERT(opts->n_filters > 0 && opts->n_filters <= LIMIT_BROKER_TOPICS && opts->qos <= 2);
    copy_opts(mqtt, opts);
    mqtt_debts_init(&mqtt->debts);
    mqtt->debts.connection = 1;
    buf_init(&mqtt->in, LIMIT_MQTT_PACKET_BYTES + LIMIT_MQTT_BUFFER_BYTES);
    mqtt->keep_alive_ms = mqtt->opts.keep_alive_ms;
    mqtt->fibers = sl_nursery_open(.name = "mqtt");
    r = mqtt_tls_init(mqtt);
    if (r == 0)
        r = sl_spawn(mqtt->fibers, mqtt_line_writer, mqtt, .name = "mqtt writer",
                     .stack_bytes = 128 << 10);
    if (r < 0) {
        mqtt_stop(mqtt, 0);
        return r;
    }
    *ret_mqtt = mqtt;
    return 0;
}

/* What is to be acknowledged goes out, and a goodbye. The server closes when it has read them: a
 * connection that is cut before may take them with it. */
SUSPENDS static int say_goodbye(void *arg)
{
    Mqtt *mqtt = arg;
    char rest[512];
    ssize_t n = 0;
    int r = 0;

    mqtt_add_disconnect(&mqtt->out, mqtt->version);
    mqtt_line_wake(mqtt);
    while (r == 0 && !mqtt->words[0] && (mqtt->out.len > 0 || mqtt->is_writing))
        r = sl_cond_wait(&mqtt->written);
    if (r == 0)
        r = stream_shutdown(mqtt->stream);
    while (r == 0 && (n = stream_read(mqtt->stream, rest, sizeof(rest))) > 0)
        ;
    return r < 0 ? r : (int) n;
}

void mqtt_stop(Mqtt *mqtt, int64_t grace_ms)
{
    if (!mqtt)
        return;
    mqtt->is_stopping = true;
    if (mqtt->stream && mqtt->is_greeted && grace_ms > 0)
        (void) sl_shielded(grace_ms, say_goodbye, mqtt); /* the server forgets us by itself */
    mqtt_line_close(mqtt);
    sl_nursery_close(mqtt->fibers);
    mqtt_tls_deinit(mqtt);
    mqtt_debts_deinit(&mqtt->debts);
    buf_deinit(&mqtt->in);
    buf_deinit(&mqtt->out);
    buf_deinit(&mqtt->going);
    arena_deinit(&mqtt->arena);
    mem_free(mqtt);
}

MqttCounts mqtt_counts(const Mqtt *mqtt)
{
    return mqtt->counts;
}
