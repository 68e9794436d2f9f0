/*
 * Source amqp: one queue of an AMQP 0-9-1 broker (RabbitMQ).
 *
 *   the source's fiber   connects, reads, hands on; connects again
 *   amqp keeper          acknowledges what is settled, and beats while the reader waits for room
 *   amqp stop            ends the reading when the source is told to stop
 *
 * A delivery is acknowledged when the sinks have it. One that is delivered again, because a
 * connection was lost before, is a repeat and says so.
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "rows/amqp_conn.h"
#include "rows/broker_url.h"
#include "rows/messages.h"
#include "rows/source.h"

#define WORD_(name, word) word,
static const char *const declare_words[] = { AMQP_DECLARES(WORD_) NULL };
#undef WORD_

#define TAG_BITS 48 /* of a ticket; above them is the connection's number */

typedef struct AmqpArgs {
    Str server;
    Str queue;
    Str vhost;
    Str username;
    Str password;
    int declare;
    Str exchange;
    Str binding;
    int64_t prefetch;
    int64_t heartbeat_ms;
    int value;
    Str topic_column;
    Str pattern;
    bool tls;
    bool insecure;
    Str ca;
    Str cert;
    Str key;
} AmqpArgs;

static const SchemaField fields[] = {
    FIELD_STR(AmqpArgs, server, "host and port, with amqps:// before it for TLS",
              .is_required = true, .range = RANGE(1, LIMIT_BROKER_URL_BYTES),
              .holder = "HOST[:PORT]"),
    FIELD_STR(AmqpArgs, queue, "to consume", .is_required = true, .range = RANGE(1, 255)),
    FIELD_STR(AmqpArgs, vhost, "virtual host", .default_text = "/", .range = RANGE(1, 255)),
    FIELD_STR(AmqpArgs, username, "to log in with", .default_text = "guest",
              .range = RANGE(1, 1000)),
    FIELD_STR(AmqpArgs, password, "to log in with", .range = RANGE(1, 1000), .is_secret = true),
    FIELD_ENUM(AmqpArgs, declare, declare_words,
               "passive: the queue must be there; durable: it is made; none: do not ask",
               .default_text = "passive"),
    FIELD_STR(AmqpArgs, exchange, "bind the queue to this exchange", .range = RANGE(1, 255)),
    FIELD_STR(AmqpArgs, binding, "the routing key to bind it with", .range = RANGE(1, 255)),
    FIELD_INT(AmqpArgs, prefetch, "messages not acknowledged at once", .default_text = "5000",
              .range = RANGE(1, LIMIT_AMQP_PREFETCH)),
    FIELD_DURATION(AmqpArgs, heartbeat_ms, "heartbeat", "silence after which either side is gone",
                   .default_text = "30s", .range = RANGE(2000, 3600000)),
    FIELD_ENUM(AmqpArgs, value, message_value_words,
               "a message is read by its format, or is one number or text, called value",
               .default_text = "format"),
    FIELD_STR(AmqpArgs, topic_column, "column for the routing key; - for none",
              .default_text = "routing_key", .range = RANGE(1, 100)),
    FIELD_STR(AmqpArgs, pattern, "parts of the routing key as columns: {building}.{sensor}",
              .range = RANGE(1, 1000)),
    FIELD_BOOL(AmqpArgs, tls, "encrypt", .default_text = "false"),
    FIELD_BOOL(AmqpArgs, insecure, "do not check the broker's certificate",
               .default_text = "false"),
    FIELD_STR(AmqpArgs, ca, "file of authorities to trust (PEM)", .holder = "FILE"),
    FIELD_STR(AmqpArgs, cert, "file of a certificate to show (PEM)", .holder = "FILE"),
    FIELD_STR(AmqpArgs, key, "file of its key (PEM)", .holder = "FILE"),
};
static const Schema args_schema = SCHEMA(AmqpArgs, fields, "A queue of an AMQP 0-9-1 broker");

typedef struct AmqpSource {
    Source *source;
    const AmqpArgs *args;
    Arena arena;
    AmqpOpts opts;
    Messages *messages;
    sl_scope reading; /* cancelled to stop taking */

    AmqpConn *conn;  /* NULL: none */
    uint64_t number; /* of the connection */
    sl_cond work;    /* something is settled, or the connection ends */
    bool is_ending;  /* the keeper pays everything and ends */
    bool is_reading; /* the scope is begun */
    bool can_mend;   /* what ended the last try to connect */
    bool was_up;
    unsigned failures;
} AmqpSource;

/* ---- settings -------------------------------------------------------------------------------- */

static const char *text_or_null(AmqpSource *self, Str text)
{
    return text.len > 0 ? arena_copy_c(&self->arena, text) : NULL;
}

static void make_opts(AmqpSource *self, const BrokerUrl *url)
{
    const AmqpArgs *args = self->args;
    Str user = url->user.len > 0 ? url->user : args->username;
    Str password = args->password.len > 0 ? args->password : url->password;

    if (args->password.len == 0 && url->password.len == 0 && str_eq_c(user, "guest"))
        password = str_from_c("guest");
    self->opts = (AmqpOpts){ .host = arena_copy_c(&self->arena, url->host),
                             .port = url->port,
                             .is_tls = args->tls || url->is_tls,
                             .is_insecure = args->insecure,
                             .is_public_only = !self->source->is_private_allowed,
                             .ca = text_or_null(self, args->ca),
                             .cert = text_or_null(self, args->cert),
                             .key = text_or_null(self, args->key),
                             .vhost = arena_copy_c(&self->arena,
                                                   url->path.len > 0 ? url->path : args->vhost),
                             .user = arena_copy_c(&self->arena, user),
                             .password = arena_copy_c(&self->arena, password),
                             .queue = arena_copy_c(&self->arena, args->queue),
                             .declare = args->declare,
                             .exchange = text_or_null(self, args->exchange),
                             .binding = text_or_null(self, args->binding),
                             .prefetch = (uint16_t) args->prefetch,
                             .heartbeat_s = (int) (args->heartbeat_ms / MS_PER_S) };
}

static void on_settled(void *ctx, const uint64_t *tickets, size_t n, int r)
{
    AmqpSource *self = ctx;

    if (!self->conn || tickets[0] >> TAG_BITS != self->number)
        return; /* of a connection that is gone: the broker delivers it again */
    for (size_t i = 0; i < n; i++)
        amqp_conn_settle(self->conn, tickets[i] & ((UINT64_C(1) << TAG_BITS) - 1), r < 0);
    sl_cond_wake_all(&self->work);
}

static int make_messages(AmqpSource *self)
{
    const AmqpArgs *args = self->args;

    return messages_new(self->source,
                        &(MessagesOpts){ .origin = args->queue,
                                         .topic_column = args->topic_column,
                                         .pattern = args->pattern,
                                         .separator = '.',
                                         .value = args->value,
                                         .on_settled = on_settled,
                                         .ctx = self },
                        &self->messages);
}

/* ---- the keeper ------------------------------------------------------------------------------ */

/* Wait for work; a beat when there is none for a third of the heartbeat. */
SUSPENDS static int await_work(AmqpSource *self)
{
    sl_scope scope;
    int r;

    sl_scope_begin(&scope, .timeout_ms = self->args->heartbeat_ms / 3);
    r = sl_scope_end(&scope, sl_cond_wait(&self->work));
    return r == -ETIMEDOUT ? amqp_conn_beat(self->conn) : r;
}

SUSPENDS static int keep(void *arg)
{
    AmqpSource *self = arg;
    int r = 0;

    while (r == 0 && (!self->is_ending || amqp_conn_owed(self->conn) > 0)) {
        if (amqp_conn_owed(self->conn) > 0)
            r = amqp_conn_pay(self->conn, self->is_ending);
        if (r == 0 && !self->is_ending)
            r = await_work(self);
    }
    if (r < 0 && !sl_is_cancelled())
        amqp_conn_abort(self->conn); /* the reader says why */
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

SUSPENDS static int hand_on(AmqpSource *self)
{
    return messages_flush(self->messages, str_from(NULL, 0), 0);
}

/* All that is there. */
SUSPENDS static int take_messages(AmqpSource *self)
{
    AmqpMessage message = { 0 };
    int r, put;

    while ((r = amqp_conn_try_next(self->conn, &message)) != AMQP_NOTHING) {
        Message one = { .topic = message.routing_key,
                        .payload = message.body,
                        .ticket = self->number << TAG_BITS | message.tag,
                        .is_repeat = message.is_repeat };

        if (r < 0)
            break;
        if (r == AMQP_OVERSIZE) {
            source_count_lost(self->source, "too_large", 1);
            continue;
        }
        if (!messages_fits(self->messages, &one)) {
            /* The message borrows from the connection, which nobody else reads. */
            put = hand_on(self);
            if (put < 0)
                return put;
        }
        messages_add(self->messages, &one);
        self->failures = 0;
    }
    put = r < 0 ? 0 : hand_on(self);
    return r < 0 ? r : put;
}

SUSPENDS static int read_messages(AmqpSource *self)
{
    int r = 0;

    while (r == 0) {
        r = take_messages(self);
        if (r == 0)
            r = amqp_conn_wait(self->conn);
    }
    return r;
}

/* ---- connections ----------------------------------------------------------------------------- */

/* Run FN until it ends or the source is told to stop, which is no error. */
SUSPENDS static int until_stop(AmqpSource *self, SUSPENDS int (*fn)(AmqpSource *self))
{
    int r;

    sl_scope_begin(&self->reading);
    self->is_reading = true;
    if (source_is_stopping(self->source))
        sl_scope_cancel(&self->reading);
    r = fn(self);
    self->is_reading = false;
    return sl_scope_end(&self->reading, r);
}

SUSPENDS static int pay_rest(void *arg)
{
    AmqpSource *self = arg;

    return amqp_conn_owed(self->conn) > 0 ? amqp_conn_pay(self->conn, true) : sl_checkpoint();
}

/* Use the connection until it breaks or the reading is stopped; then what is out is waited for,
 * unless the connection is lost. */
SUSPENDS static int use_connection(AmqpSource *self)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "amqp connection");
    int r = sl_spawn(nursery, keep, self, .name = "amqp keeper", .stack_bytes = 128 << 10);

    if (r == 0)
        r = until_stop(self, read_messages);
    if (r < 0 && !sl_is_cancelled()) {
        sl_nursery_cancel(nursery);
        return r;
    }
    messages_drain(self->messages);
    self->is_ending = true;
    sl_cond_wake_all(&self->work);
    (void) sl_nursery_join(nursery);                             /* nothing that is not known */
    (void) sl_shielded(LIMIT_BROKER_CONNECT_MS, pay_rest, self); /* else it comes again */
    return r;
}

SUSPENDS static int wait_before_next(AmqpSource *self)
{
    int64_t most = LIMIT_BROKER_BACKOFF_MIN_MS;

    for (unsigned i = 0; i < self->failures && most < LIMIT_BROKER_BACKOFF_MAX_MS; i++)
        most *= 2;
    most = MIN(most, (int64_t) LIMIT_BROKER_BACKOFF_MAX_MS);
    self->failures++;
    return sl_sleep_ms(most / 2 + (int64_t) (sl_random() % (uint64_t) (most / 2 + 1)));
}

/* What was gathered and not handed on comes again. */
SUSPENDS static void leave_connection(AmqpSource *self)
{
    AmqpConn *conn = TAKE(self->conn);

    messages_forget(self->messages);
    amqp_conn_close(conn);
}

SUSPENDS static int open_connection(AmqpSource *self)
{
    int r = amqp_conn_open(&self->opts, &self->conn, &self->can_mend);

    /* A queue that was there may come back. */
    self->can_mend = self->can_mend || self->was_up;
    return r;
}

/* One connection's life, and the wait behind it. */
SUSPENDS static int live_once(AmqpSource *self)
{
    int r = until_stop(self, open_connection);

    if (r == 0 && !self->conn)
        return 0; /* told to stop */
    if (r == 0) {
        self->number = (self->number + 1) & 0xffff;
        self->was_up = true;
        self->is_ending = false;
        source_say(self->source, true, "connected");
        r = use_connection(self);
        leave_connection(self);
        self->can_mend = true;
    }
    if (r == 0 || sl_is_cancelled() || !self->can_mend)
        return r;
    source_say(self->source, false, err_text(r));
    return until_stop(self, wait_before_next);
}

SUSPENDS static int await_stop(void *arg)
{
    AmqpSource *self = arg;
    int r = sl_event_wait(self->source->stopping);

    if (r == 0 && self->is_reading)
        sl_scope_cancel(&self->reading);
    return r;
}

SUSPENDS static int read_until_stop(AmqpSource *self)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "amqp source");
    int r = sl_spawn(nursery, await_stop, self, .name = "amqp stop");

    while (r == 0 && !source_is_stopping(self->source))
        r = live_once(self);
    sl_nursery_cancel(nursery);
    return r;
}

SUSPENDS static int run(Source *source)
{
    AmqpSource self = { .source = source, .args = source->args };
    BrokerUrl url;
    int r = broker_url_parse(&self.arena, self.args->server, "amqp", &url);

    if (r == 0) {
        make_opts(&self, &url);
        r = make_messages(&self);
    }
    if (r == 0) {
        r = read_until_stop(&self);
        messages_drain(self.messages);
    }
    messages_close(self.messages);
    arena_deinit(&self.arena);
    return r == -ECANCELED ? 0 : r;
}

extern const SourceDriver source_amqp;

static int from_text(Str text, Buf *out)
{
    return broker_url_to_settings(&source_amqp, "amqp", "vhost", text, out);
}

const SourceDriver source_amqp = {
    .name = "amqp",
    .summary = "a queue of an AMQP broker, each message acknowledged when the sink has it",
    .schemes = { "amqp://", "amqps://" },
    .args = &args_schema,
    .from_text = from_text,
    .format = DECODE_AUTO,
    .is_acknowledged = true,
    .is_endless = true,
    .run = run,
};
