/*
 * Messages of brokers on their way to rows: what the sources mqtt, amqp and kafka have in common.
 *
 * A message is a few rows, often one, so messages are handed on in groups: all that have arrived by
 * now, up to LIMIT_MESSAGES_GROUP. A group has one receipt; when the sinks have committed its rows,
 * the source hears so for all of its messages at once, and acknowledges them (O1).
 *
 *   messages_add  ×n        copies a message into the group that is being gathered
 *   messages_flush          decodes it and puts its parcels; may wait (backpressure)
 *   on_settled              later, in any order: the tickets of the messages of one group
 *
 * Formats in which each line is a row (influx, ndjson, lines) are decoded for many messages at
 * once; a message that could reach into its neighbour (a quote that is not closed, JSON of several
 * lines, CSV with its head) is decoded by itself. With `value` there is no format: the payload is
 * one number or text.
 *
 * Beside its own columns a row gets the topic, and levels of it by a pattern:
 *
 *   sensors/{building}/{sensor}     sensors/b1/t7 has building=b1, sensor=t7
 *   {}, + and # match without making a column; # only at the end
 *
 * A topic that does not fit the pattern leaves these columns null.
 *
 * Positions: with is_exact a row's position is (base << MESSAGES_BYTE_BITS) + the end of its bytes
 * in the message, so that a message whose rows were committed only in part is read again and its
 * first rows are left out (messages_skip_to).
 */
#pragma once

#include "rows/source.h"

#define MESSAGES_BYTE_BITS 24 /* of a position; a message has fewer bytes than 2^24 */

/* X(NAME, "word") */
#define MESSAGE_VALUES(X) \
    X(FORMAT, "format")   \
    X(NUMBER, "number")   \
    X(TEXT, "text")

typedef enum MessageValue {
#define MESSAGE_VALUE_ENUM_(name, word) MESSAGE_##name,
    MESSAGE_VALUES(MESSAGE_VALUE_ENUM_)
#undef MESSAGE_VALUE_ENUM_
} MessageValue;

extern const char *const message_value_words[]; /* for FIELD_ENUM; NULL-terminated */

/* Borrowed until messages_add returns. */
typedef struct Message {
    Str topic;
    Str payload;
    uint64_t ticket; /* comes back in on_settled */
    uint64_t base;   /* of its position; 0: none */
    bool is_repeat;
} Message;

typedef struct MessagesOpts {
    Str origin;       /* of all: "mqtt://host:1883" */
    Str topic_column; /* empty or "-": none */
    Str pattern;      /* empty: none */
    char separator;   /* of levels: '/' or '.' */
    MessageValue value;

    /* The sinks have TICKETS (r == 0), or the pipeline gave them up and they may come again (below
     * zero). Must not suspend. */
    void (*on_settled)(void *ctx, const uint64_t *tickets, size_t n, int r);
    void *ctx;
} MessagesOpts;

typedef struct Messages Messages;

/* SOURCE must outlive it. -ERR_INVALID for a pattern that is none. */
MUST int messages_new(Source *source, const MessagesOpts *opts, Messages **ret_messages);

/* Whether MESSAGE can join the group, or a flush is due before. */
bool messages_fits(const Messages *messages, const Message *message);
void messages_add(Messages *messages, const Message *message);
size_t messages_gathered(const Messages *messages);

/* Hand the group on. TRACK and END, its position behind the last message, go into the receipt; an
 * empty TRACK means no positions. 0, or what source_put returned. */
MUST SUSPENDS int messages_flush(Messages *messages, Str track, uint64_t end);

/* Drop what is gathered and not handed on: its producer gives it again. */
void messages_forget(Messages *messages);

/* Rows at positions up to this one are left out, as the sink has them. */
void messages_skip_to(Messages *messages, uint64_t position);

/* How many messages are out. */
size_t messages_out(const Messages *messages);

/* Wait until none is out, for at most LIMIT_MESSAGES_DRAIN_MS when the fiber is cancelled. */
SUSPENDS void messages_drain(Messages *messages);

/* on_settled is not called any more. Frees it, at once or when the last receipt is done. NULL is
 * nothing. */
void messages_close(Messages *messages);
DEFINE_AUTO(Messages *, messages_close);

/* -ERR_INVALID with words unless TEXT is a pattern of topics. */
MUST int topic_pattern_check(Str text, char separator);
