/*
 * One connection to an MQTT server: made, greeted, read and written.
 *
 * The fiber that calls mqtt_next reads; a fiber of the client writes. What is to be written gathers
 * in `out` while `going` is on its way, so that a thousand acknowledgements are one write. The
 * writer also pings: nothing else tells a server that we are there. A server that has said nothing
 * for one and a half times the keep alive, while we read, is gone.
 *
 * Only the reader closes the stream, and not before the writer has let go of it.
 */
#include "net/mqtt_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "net/dial.h"

#include <stdio.h>

#if SL_HAVE_OPENSSL
#include "net/tls.h"
#endif

#define ERRNO_END (-1000) /* what the kernel said lies above: base/errors.def */

enum { REFUSED_VERSION_3 = 1, REFUSED_VERSION_5 = 0x84 };

/* ---- TLS ------------------------------------------------------------------------------------- */

#if SL_HAVE_OPENSSL

static const char *text_or_null(Str text)
{
    return text.len > 0 ? text.data : NULL;
}

int mqtt_tls_init(Mqtt *mqtt)
{
    const MqttOpts *opts = &mqtt->opts;

    if (!opts->is_tls || opts->connect)
        return sl_checkpoint();
    return tls_context_new(&(TlsContextOpts){ .ca_file = text_or_null(opts->ca),
                                              .cert_file = text_or_null(opts->cert),
                                              .key_file = text_or_null(opts->key),
                                              .is_insecure = opts->is_insecure },
                           &mqtt->tls);
}

void mqtt_tls_deinit(Mqtt *mqtt)
{
    tls_context_free(mqtt->tls);
}

SUSPENDS static int cover(Mqtt *mqtt, TAKES Stream *under, Stream **ret_stream)
{
    return tls_connect(mqtt->tls, under, mqtt->opts.host.data, ret_stream);
}

#else

int mqtt_tls_init(Mqtt *mqtt)
{
    if (mqtt->opts.is_tls && !mqtt->opts.connect)
        return fail(-ERR_UNSUPPORTED, "this build has no TLS: mqtts:// needs OpenSSL");
    return sl_checkpoint();
}

void mqtt_tls_deinit(Mqtt *mqtt)
{
    (void) mqtt;
}

SUSPENDS static int cover(Mqtt *mqtt, TAKES Stream *under, Stream **ret_stream)
{
    (void) mqtt;
    *ret_stream = under;
    return sl_checkpoint();
}

#endif

/* ---- bytes in -------------------------------------------------------------------------------- */

int mqtt_line_try_packet(Mqtt *mqtt, MqttPacket *ret_packet)
{
    Str bytes = str_sub(buf_str(&mqtt->in), mqtt->in_from, mqtt->in.len);
    size_t len = 0;
    int r = mqtt_scan(bytes, &len);

    if (r == MQTT_TOO_LARGE) {
        mqtt->is_mending = false;
        return fail(-ERR_TOO_LARGE, "a packet of the MQTT server has %zu bytes, the most is %d",
                    len, LIMIT_MQTT_PACKET_BYTES);
    }
    if (r != 0)
        return r;
    r = mqtt_decode(mqtt->version, str_sub(bytes, 0, len), ret_packet);
    if (r < 0)
        return r;
    mqtt->in_from += len;
    return 0;
}

/* Room behind what is there, for the rest of a packet or for many small ones. */
static int make_room(Mqtt *mqtt, size_t *ret_room)
{
    size_t len = 0, want = LIMIT_MQTT_BUFFER_BYTES / 4;

    buf_consume(&mqtt->in, mqtt->in_from);
    mqtt->in_from = 0;
    if (mqtt->in.len == 0 && mqtt->in.cap > LIMIT_MQTT_BUFFER_BYTES)
        buf_deinit(&mqtt->in);
    if (mqtt_scan(buf_str(&mqtt->in), &len) == MQTT_MORE && len > mqtt->in.len)
        want = MAX(want, len - mqtt->in.len);
    if (!buf_reserve(&mqtt->in, want))
        return buf_check(&mqtt->in);
    *ret_room = mqtt->in.cap - mqtt->in.len;
    return 0;
}

int mqtt_line_fill(Mqtt *mqtt)
{
    sl_scope silence;
    ssize_t n;
    size_t room = 0;
    int r = make_room(mqtt, &room);

    if (r < 0)
        return r;
    sl_scope_begin(&silence, .timeout_ms = mqtt->keep_alive_ms * 3 / 2);
    n = stream_read(mqtt->stream, mqtt->in.data + mqtt->in.len, room);
    r = sl_scope_end(&silence, n < 0 ? (int) n : 0);
    if (r == -ETIMEDOUT)
        return fail(-ERR_NETWORK, "the MQTT server has said nothing for %lld ms",
                    (long long) mqtt->keep_alive_ms * 3 / 2);
    if (r < 0)
        return r;
    if (n == 0)
        return fail(-ERR_CLOSED, "the MQTT server has closed the connection");
    mqtt->in.len += (size_t) n;
    return 0;
}

/* ---- bytes out ------------------------------------------------------------------------------- */

void mqtt_line_wake(Mqtt *mqtt)
{
    sl_cond_wake_one(&mqtt->can_write);
}

/* A ping each half of the keep alive, whatever else is written: acknowledgements show the server
 * that we are there, and only its answer to a ping shows us the same of it. */
static void ping_if_due(Mqtt *mqtt)
{
    if (!mqtt->is_greeted || mqtt->keep_alive_ms == 0 ||
        sl_now_ns() - mqtt->pinged_ns < mqtt->keep_alive_ms / 2 * NS_PER_MS)
        return;
    mqtt_add_ping(&mqtt->out);
    mqtt->pinged_ns = sl_now_ns();
}

/* Wait for something to write, no longer than half the keep alive. */
SUSPENDS static int wait_for_work(Mqtt *mqtt)
{
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .timeout_ms = mqtt->keep_alive_ms / 2);
    r = sl_scope_end(&scope, sl_cond_wait(&mqtt->can_write));
    return r == -ETIMEDOUT ? 0 : r;
}

SUSPENDS static int write_some(Mqtt *mqtt)
{
    Buf swap = mqtt->going;
    int r;

    mqtt->going = mqtt->out;
    mqtt->out = swap;
    mqtt->is_writing = true;
    r = stream_write_all(mqtt->stream, mqtt->going.data, mqtt->going.len);
    mqtt->is_writing = false;
    buf_reset(&mqtt->going);
    sl_cond_wake_all(&mqtt->written);
    return r;
}

int mqtt_line_writer(void *arg)
{
    Mqtt *mqtt = arg;
    int r = 0;

    for (;;) {
        ping_if_due(mqtt);
        if (!mqtt->is_greeted || mqtt->out.len == 0) {
            r = wait_for_work(mqtt);
            if (r < 0)
                return r;
            continue;
        }
        r = write_some(mqtt);
        if (r == -ECANCELED)
            return r;
        if (r < 0) {
            (void) snprintf(mqtt->words, sizeof(mqtt->words), "%s", err_text(r));
            mqtt->is_greeted = false;
            stream_abort(mqtt->stream);
        }
    }
}

/* ---- up and down ----------------------------------------------------------------------------- */

SUSPENDS static int dial(Mqtt *mqtt, Stream **ret_stream)
{
    const MqttOpts *opts = &mqtt->opts;
    Stream *under = NULL;
    int r;

    if (opts->connect)
        return opts->connect(opts->connect_ctx, ret_stream);
    r = dial_host(&(DialOpts){ .host = opts->host.data,
                               .port = opts->port,
                               .silence_ms = opts->keep_alive_ms * 2,
                               .is_public_only = opts->is_public_only },
                  &under);
    if (r < 0 || !opts->is_tls) {
        *ret_stream = under;
        return r;
    }
    return cover(mqtt, under, ret_stream);
}

/* Without a session to keep, one of 5.0 is still kept for as long as we need to come back. */
static void add_greeting(Mqtt *mqtt, Buf *out)
{
    const MqttOpts *opts = &mqtt->opts;
    int64_t expiry_ms = opts->is_clean ? LIMIT_BROKER_BACKOFF_MAX_MS * 2 : opts->session_expiry_ms;
    MqttConnect connect = { .client_id = opts->client_id,
                            .user = opts->user,
                            .password = opts->password,
                            .is_clean = opts->is_clean,
                            .keep_alive_s = (uint16_t) (opts->keep_alive_ms / MS_PER_S),
                            .session_expiry_s = (uint32_t) (expiry_ms / MS_PER_S),
                            .receive_max = opts->in_flight };

    mqtt->version = opts->version ? opts->version : mqtt->is_older ? MQTT_3_1_1 : MQTT_5;
    mqtt->keep_alive_ms = opts->keep_alive_ms;
    connect.version = mqtt->version;
    if (mqtt->version == MQTT_5 && mqtt->counts.connects > 0)
        connect.is_clean = false;
    mqtt_add_connect(out, &connect);
}

/* A login that is refused stays refused; everything else may mend. */
static int fail_greeting(Mqtt *mqtt, const MqttPacket *packet, bool *ret_can_mend)
{
    const char *text = mqtt_connack_text(mqtt->version, packet->reason);
    Str why = packet->properties.reason;
    bool is_version = packet->reason == REFUSED_VERSION_5 || packet->reason == REFUSED_VERSION_3;

    if (is_version && mqtt->version == MQTT_5 && mqtt->opts.version == 0) {
        mqtt->is_older = true;
        *ret_can_mend = true;
        return fail(-ERR_UNSUPPORTED, "%s", text);
    }
    *ret_can_mend = false;
    switch (packet->reason) {
    case 2:
    case 4:
    case 5:
    case 0x85:
    case 0x86:
    case 0x87:
    case 0x8a:
    case 0x8c:
        return fail(-ERR_FORBIDDEN, "the MQTT server refuses the login: %s%s%.*s", text,
                    why.len > 0 ? ": " : "", (int) why.len, why.data ? why.data : "");
    case REFUSED_VERSION_3:
    case REFUSED_VERSION_5: return fail(-ERR_UNSUPPORTED, "%s", text);
    default: *ret_can_mend = true;
    }
    return fail(-ERR_UNAVAILABLE, "the MQTT server refuses us: %s", text);
}

static int take_greeting(Mqtt *mqtt, const MqttPacket *packet, bool *ret_can_mend)
{
    const MqttProperties *properties = &packet->properties;

    if (packet->type != MQTT_CONNACK)
        return fail(-ERR_NETWORK, "the MQTT server answers CONNECT with %s",
                    mqtt_type_name(packet->type));
    if (packet->reason)
        return fail_greeting(mqtt, packet, ret_can_mend);
    if (properties->seen & UINT64_C(1) << 0x13)
        mqtt->keep_alive_ms = properties->keep_alive_s * MS_PER_S;
    if (properties->qos_max < mqtt->opts.qos) {
        *ret_can_mend = false;
        return fail(-ERR_UNSUPPORTED, "the MQTT server offers a quality of service of %u at most",
                    properties->qos_max);
    }
    mqtt->has_session = packet->is_session_present;
    return 0;
}

SUSPENDS static int greet(Mqtt *mqtt, bool *ret_can_mend)
{
    AUTO(buf_deinit) Buf out = { 0 };
    MqttPacket packet = { 0 };
    int r;

    add_greeting(mqtt, &out);
    r = stream_write_all(mqtt->stream, out.data, out.len);
    if (r < 0)
        return r;
    while ((r = mqtt_line_try_packet(mqtt, &packet)) == MQTT_MORE) {
        r = mqtt_line_fill(mqtt);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : take_greeting(mqtt, &packet, ret_can_mend);
}

/* In a session that has them already they are asked for again, because another version of our
 * settings may have made it; but not on each reconnect, which in 3.1.1 would bring everything
 * that is retained once more. */
static void subscribe(Mqtt *mqtt)
{
    mqtt->n_acks_due = 0;
    if (mqtt->has_session && mqtt->is_subscribed)
        return;
    for (size_t i = 0; i < mqtt->opts.n_filters; i++)
        mqtt_add_subscribe(&mqtt->out,
                           &(MqttSubscribe){ .version = mqtt->version,
                                             .id = (uint16_t) (i + 1),
                                             .filter = mqtt->opts.filters[i],
                                             .qos = mqtt->opts.qos,
                                             .wants_retained = mqtt->opts.wants_retained });
    mqtt->n_acks_due = mqtt->opts.n_filters;
    mqtt->is_subscribed = false;
}

SUSPENDS static int open_in_time(Mqtt *mqtt, bool *ret_can_mend)
{
    Stream *stream = NULL;
    int r = dial(mqtt, &stream);

    if (r < 0) {
        if (sl_is_cancelled())
            return r;
        *ret_can_mend = err_is_retryable(r) || r > ERRNO_END;
        return r;
    }
    mqtt->stream = stream;
    buf_reset(&mqtt->in);
    buf_reset(&mqtt->out);
    mqtt->in_from = 0;
    mqtt->words[0] = 0;
    mqtt->is_announced = false;
    return greet(mqtt, ret_can_mend);
}

int mqtt_line_open(Mqtt *mqtt, bool *ret_can_mend)
{
    sl_scope scope;
    int r;

    *ret_can_mend = true;
    sl_scope_begin(&scope, .timeout_ms = LIMIT_BROKER_CONNECT_MS);
    r = sl_scope_end(&scope, open_in_time(mqtt, ret_can_mend));
    if (r == -ETIMEDOUT)
        r = fail(-ERR_NETWORK, "no MQTT server answers within %d ms", LIMIT_BROKER_CONNECT_MS);
    if (r < 0)
        return r;
    if (!mqtt->has_session)
        mqtt_debts_forget(&mqtt->debts);
    subscribe(mqtt);
    mqtt->is_greeted = true;
    mqtt->pinged_ns = sl_now_ns();
    mqtt->counts.connects++;
    mqtt_line_wake(mqtt);
    return 0;
}

void mqtt_line_close(Mqtt *mqtt)
{
    sl_scope shield;
    Stream *stream = mqtt->stream;

    if (!stream)
        return;
    mqtt->is_greeted = false;
    mqtt_debts_disconnect(&mqtt->debts);
    stream_abort(stream);
    sl_scope_begin(&shield, .is_shield = true, .timeout_ms = LIMIT_BROKER_CONNECT_MS);
    while (mqtt->is_writing && sl_cond_wait(&mqtt->written) == 0)
        ;
    (void) sl_scope_end(&shield, 0); /* an aborted stream lets its writer go */
    ASSERT(!mqtt->is_writing);
    mqtt->stream = NULL;
    buf_reset(&mqtt->out);
    stream_close(stream);
}
