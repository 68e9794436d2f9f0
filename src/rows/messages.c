/*
 * Messages of brokers on their way to rows; see the header.
 *
 * A group is gathered as copies of payloads and topics in two buffers. Flushing cuts it into runs:
 * messages of one format that may share a payload. Each run becomes a Payload, its messages parted
 * by line ends, and goes through the decoder; the parcels come back through take_parcel, which
 * finds the message of each row by where its bytes lie (rows come in order, so it walks along).
 *
 * The receipts of groups hold the Messages: it is freed when it was closed and the last one is
 * done.
 */
#include "rows/messages.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/message_text.h"
#include "rows/topic_pattern.h"

#define NUMBER_BYTES_MAX  63
#define COLUMNS_MAX       (1 + LIMIT_TOPIC_LEVELS)

#define WORD_(name, word) word,
const char *const message_value_words[] = { MESSAGE_VALUES(WORD_) NULL };
#undef WORD_

/* A message of the group that is being gathered. */
typedef struct Gathered {
    uint32_t at, len;             /* in payloads */
    uint32_t topic_at, topic_len; /* in topics */
    uint64_t base;
    uint64_t ticket;
    size_t run_end; /* where it ends in the payload of its run */
} Gathered;

/* What is out with one receipt. */
typedef struct Group {
    Messages *messages;
    size_t n;
    uint64_t tickets[];
} Group;

/* Where the columns of ours are in a shape. */
typedef struct Places {
    Shape *shape; /* borrowed from the pipeline's; NULL: none yet */
    size_t of[COLUMNS_MAX];
    bool is_conflict; /* one of them is there with another kind */
} Places;

struct Messages {
    Source *source;
    MessagesOpts opts;
    char *texts[3]; /* owned: origin, topic column, pattern */
    TopicPattern pattern;
    Str columns[COLUMNS_MAX];            /* names; empty: a level that makes none */
    size_t n_columns;                    /* 0: none is asked for */
    Decoder *decoders[DECODE_LINES + 1]; /* by format; NULL until it is needed */
    Places places;
    uint64_t skip_to;

    Gathered *gathered; /* LIMIT_MESSAGES_GROUP of them; owned */
    size_t n;
    bool is_repeat;
    Buf payloads, topics;

    size_t run_from, run_to, run_at; /* messages of the run that is decoded; the one of the row */
    uint64_t last_position;          /* of a row of the message at run_at */
    size_t last_message;

    size_t n_out; /* messages */
    size_t n_groups;
    bool is_given_up; /* what was out when it was cancelled has had its time */
    bool is_closed;
    sl_event settled; /* n_groups is 0 */
};

/* ---- columns --------------------------------------------------------------------------------- */

int topic_pattern_check(Str text, char separator)
{
    TopicPattern pattern;

    return topic_pattern_parse(&pattern, text, separator);
}

static Places find_places(const Messages *messages, Shape *shape)
{
    Places places = { .shape = shape };

    for (size_t i = 0; i < messages->n_columns; i++) {
        places.of[i] = SHAPE_NONE;
        if (messages->columns[i].len > 0 &&
            shape_add(shape, messages->columns[i], ROW_TEXT, str_from(NULL, 0), &places.of[i]) < 0)
            places.is_conflict = true;
    }
    return places;
}

/* Give a parcel that was made before our columns were known its width. */
static void widen(Parcel *parcel)
{
    size_t width = shape_width(parcel->shape);
    size_t *from = mem_new_array(size_t, width);

    for (size_t i = 0; i < width; i++)
        from[i] = i < parcel->rows.n_columns ? i : SHAPE_NONE;
    parcel_reshape(parcel, parcel->shape, from);
    mem_free(from);
}

static Str topic_of(const Messages *messages, size_t message)
{
    const Gathered *gathered = &messages->gathered[message];

    return str_sub(buf_str(&messages->topics), gathered->topic_at, gathered->topic_len);
}

/* The values of our columns for one message, in the parcel's memory. */
static void make_values(const Messages *messages, Parcel *parcel, size_t message,
                        RowValue values[static COLUMNS_MAX])
{
    Str levels[LIMIT_TOPIC_LEVELS];
    Str topic = parcel_copy_text(parcel, topic_of(messages, message));
    bool fits = messages->n_columns > 1 && topic_pattern_match(&messages->pattern, topic, levels);

    values[0] = row_text(topic);
    for (size_t i = 1; i < messages->n_columns; i++)
        values[i] = fits ? row_text(levels[i - 1]) : row_null();
}

/* The message in whose bytes a row lies that begins at OFFSET of the run's payload. Rows come in
 * order. */
static size_t message_at(Messages *messages, size_t offset)
{
    while (messages->run_at + 1 < messages->run_to &&
           messages->gathered[messages->run_at].run_end <= offset)
        messages->run_at++;
    return messages->run_at;
}

/* ---- positions ------------------------------------------------------------------------------- */

static uint64_t position_of(Messages *messages, size_t message, const RowPlace *place)
{
    const Gathered *gathered = &messages->gathered[message];
    size_t begin = gathered->run_end - gathered->len - 1; /* behind it is a line end */
    uint64_t end = (uint64_t) place->offset + place->len - begin;
    uint64_t most = (UINT64_C(1) << MESSAGES_BYTE_BITS) - 1;
    uint64_t position = (gathered->base << MESSAGES_BYTE_BITS) + MIN(MAX(end, UINT64_C(1)), most);

    /* Rows of one array may lie at one place: they still follow each other. */
    if (message == messages->last_message && position <= messages->last_position)
        position = messages->last_position + 1;
    messages->last_message = message;
    messages->last_position = position;
    return position;
}

/* Set the positions of all rows, the refused ones among them, and leave out what the sink has. What
 * the decoder has set are places in the run's payload. */
static void place_rows(Messages *messages, Parcel *parcel)
{
    size_t first = messages->run_at, n_dead = 0;

    if (messages->gathered[messages->run_from].base == 0)
        return;
    parcel->end_position = 0;
    for (size_t i = 0; i < parcel_count(parcel); i++) {
        RowPlace *place = &parcel->places[i];

        place->position = position_of(messages, message_at(messages, place->offset), place);
        parcel->end_position = MAX(parcel->end_position, place->position);
        if (parcel->fates[i] == FATE_DEAD && n_dead < parcel->n_dead)
            parcel->dead[n_dead++].place.position = place->position;
        else if (parcel->fates[i] == FATE_OPEN && place->position <= messages->skip_to)
            parcel_end_row(parcel, i, FATE_FILTERED);
    }
    messages->run_at = first; /* the columns walk once more */
}

/* ---- parcels --------------------------------------------------------------------------------- */

static void fill_columns(Messages *messages, Parcel *parcel)
{
    RowValue values[COLUMNS_MAX];
    size_t last = SIZE_MAX;

    for (size_t i = 0; i < parcel_count(parcel); i++) {
        RowValue *row = parcel_row(parcel, i);
        size_t message = message_at(messages, parcel->places[i].offset);

        if (message != last)
            make_values(messages, parcel, message, values);
        last = message;
        for (size_t c = 0; c < messages->n_columns; c++) {
            if (messages->places.of[c] != SHAPE_NONE)
                row[messages->places.of[c]] = values[c];
        }
    }
}

static void refuse_all(Parcel *parcel)
{
    for (size_t i = 0; i < parcel_count(parcel); i++)
        parcel_refuse(parcel, i, "parse", "column_conflict",
                      "a column for the topic is there already, and is no text");
    parcel_compact(parcel);
}

SUSPENDS static int take_parcel(void *ctx, TAKES Parcel *parcel)
{
    Messages *messages = ctx;

    place_rows(messages, parcel);
    parcel_compact(parcel); /* what is refused or left out is out of the way */
    if (messages->n_columns > 0 && parcel_count(parcel) > 0) {
        if (messages->places.shape != parcel->shape)
            messages->places = find_places(messages, parcel->shape);
        if (parcel->rows.n_columns < shape_width(parcel->shape))
            widen(parcel);
        if (messages->places.is_conflict)
            refuse_all(parcel);
        else
            fill_columns(messages, parcel);
    }
    return source_put(messages->source, parcel);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static Str payload_of(const Messages *messages, size_t message)
{
    const Gathered *gathered = &messages->gathered[message];

    return str_sub(buf_str(&messages->payloads), gathered->at, gathered->len);
}

static Decoder *decoder_for(Messages *messages, DecodeFormat format)
{
    DecodeOpts opts = messages->source->decode;

    opts.format = format;
    if (!messages->decoders[format])
        messages->decoders[format] = decoder_new(messages->source->shapes, messages->source->pool,
                                                 &opts);
    return messages->decoders[format];
}

/* How MESSAGE is decoded; *RET_ALONE when it shares a payload with no other. */
static DecodeFormat format_of(Messages *messages, size_t message, bool *ret_alone)
{
    Str payload = payload_of(messages, message), text = str_trim(payload);
    DecodeFormat format = messages->source->decode.format;

    if (format == DECODE_AUTO)
        format = message_guess(text);
    *ret_alone = false;
    switch (format) {
    case DECODE_JSON:
        if (text.len == 0 || (text.data[0] == '{' && str_find(text, '\n') < 0))
            return DECODE_NDJSON;
        *ret_alone = true;
        return format;
    case DECODE_INFLUX:
        *ret_alone = str_find(payload, '"') >= 0 && !message_has_closed_quotes(payload);
        return format;
    case DECODE_CSV: *ret_alone = true; return format;
    case DECODE_AUTO:
    case DECODE_NDJSON:
    case DECODE_LINES: return format;
    }
    return format;
}

/* Messages FROM … TO as one payload, each with a line end behind it. */
static Payload *join(Messages *messages, size_t from, size_t to)
{
    Buf bytes = { 0 };

    for (size_t i = from; i < to; i++) {
        buf_add_str(&bytes, payload_of(messages, i));
        buf_add_char(&bytes, '\n');
        messages->gathered[i].run_end = bytes.len;
    }
    messages->run_from = from;
    messages->run_to = to;
    messages->run_at = from;
    return payload_take(&bytes);
}

SUSPENDS static int decode_run(Messages *messages, Receipt *receipt, size_t from, size_t to,
                               DecodeFormat format)
{
    AUTO(payload_unref) Payload *payload = join(messages, from, to);

    return decode_all(decoder_for(messages, format), payload, receipt, 0, from, take_parcel,
                      messages);
}

SUSPENDS static int decode_group(Messages *messages, Receipt *receipt)
{
    size_t from = 0, to;
    int r = 0;

    while (r == 0 && from < messages->n) {
        bool is_alone, next_alone = false;
        DecodeFormat format = format_of(messages, from, &is_alone);

        to = from + 1;
        while (!is_alone && to < messages->n && format_of(messages, to, &next_alone) == format &&
               !next_alone)
            to++;
        r = decode_run(messages, receipt, from, to, format);
        from = to;
    }
    return r;
}

/* ---- plain values ---------------------------------------------------------------------------- */

static void add_value(Messages *messages, Parcel *parcel, size_t message, const size_t columns[2])
{
    Str payload = payload_of(messages, message);
    size_t end = messages->gathered[message].run_end, index = parcel_count(parcel);
    RowPlace place = { .line = message + 1,
                       .offset = (uint32_t) (end - payload.len - 1),
                       .len = (uint32_t) payload.len };
    Str bytes = str_from(parcel->payload->bytes.data + place.offset, payload.len);
    RowValue *row = parcel_add(parcel, &place);
    double number;

    row[columns[0]] = row_time_ns(parcel->received_ns);
    if (messages->opts.value == MESSAGE_TEXT && str_is_utf8(bytes)) {
        row[columns[1]] = row_text(bytes);
    } else if (messages->opts.value == MESSAGE_TEXT) {
        parcel_refuse(parcel, index, "parse", "bad_utf8", "the message is not UTF-8");
    } else if (message_number(str_trim(bytes), &number)) {
        row[columns[1]] = row_real(number, str_trim(bytes));
    } else {
        parcel_refuse(parcel, index, "parse", "bad_number", "the message is no number");
    }
}

static int find_value_columns(Messages *messages, Shape **ret_shape, size_t columns[2])
{
    Str table = messages->source->decode.table;
    RowKind kind = messages->opts.value == MESSAGE_TEXT ? ROW_TEXT : ROW_REAL;
    int r = shapes_get(messages->source->shapes, table.len > 0 ? table : str_from_c("rows"),
                       ret_shape);

    if (r == 0)
        r = shape_add(*ret_shape, str_from_c("time"), ROW_TIME, str_from(NULL, 0), &columns[0]);
    if (r == 0)
        r = shape_add(*ret_shape, str_from_c("value"), kind, str_from(NULL, 0), &columns[1]);
    if (r == 0 && messages->n_columns > 0 && messages->places.shape != *ret_shape)
        messages->places = find_places(messages, *ret_shape);
    return r;
}

SUSPENDS static int value_group(Messages *messages, Receipt *receipt)
{
    AUTO(payload_unref) Payload *payload = join(messages, 0, messages->n);
    size_t columns[2], i = 0;
    Shape *shape = NULL;
    int r = find_value_columns(messages, &shape, columns);

    while (r == 0 && i < messages->n) {
        Parcel *parcel = parcel_new(messages->source->pool, shape, receipt, payload);
        size_t to = MIN(messages->n, i + LIMIT_ROW_BATCH);

        for (; i < to; i++)
            add_value(messages, parcel, i, columns);
        r = take_parcel(messages, parcel);
    }
    return r;
}

/* ---- groups ---------------------------------------------------------------------------------- */

bool messages_fits(const Messages *messages, const Message *message)
{
    return messages->n == 0 || (messages->n < LIMIT_MESSAGES_GROUP &&
                                messages->payloads.len < LIMIT_MESSAGES_GROUP_BYTES &&
                                messages->topics.len < LIMIT_MESSAGES_GROUP_BYTES &&
                                messages->is_repeat == message->is_repeat);
}

void messages_add(Messages *messages, const Message *message)
{
    Gathered *gathered = &messages->gathered[messages->n];

    ASSERT(messages->n < LIMIT_MESSAGES_GROUP);
    *gathered = (Gathered){ .at = (uint32_t) messages->payloads.len,
                            .len = (uint32_t) message->payload.len,
                            .topic_at = (uint32_t) messages->topics.len,
                            .topic_len = (uint32_t) message->topic.len,
                            .base = message->base,
                            .ticket = message->ticket };
    buf_add_str(&messages->payloads, message->payload);
    buf_add_str(&messages->topics, message->topic);
    messages->is_repeat = message->is_repeat;
    messages->n++;
}

size_t messages_gathered(const Messages *messages)
{
    return messages->n;
}

static void free_messages(Messages *messages)
{
    for (size_t i = 0; i < ARRAY_LEN(messages->texts); i++)
        mem_free(messages->texts[i]);
    buf_deinit(&messages->payloads);
    buf_deinit(&messages->topics);
    mem_free(messages->gathered);
    mem_free(messages);
}

static void on_done(Receipt *receipt, void *ctx)
{
    Group *group = ctx;
    Messages *messages = group->messages;
    int r = receipt->r;

    receipt_free(receipt);
    ASSERT(messages->n_groups > 0 && messages->n_out >= group->n);
    messages->n_groups--;
    messages->n_out -= group->n;
    if (!messages->is_closed)
        messages->opts.on_settled(messages->opts.ctx, group->tickets, group->n, r);
    mem_free(group);
    if (messages->n_groups > 0)
        return;
    sl_event_set(&messages->settled);
    if (messages->is_closed)
        free_messages(messages);
}

static Receipt *make_receipt(Messages *messages, Str track, uint64_t end)
{
    Receipt *receipt = receipt_new(messages->source->index, messages->opts.origin, track);
    Group *group = mem_zalloc(sizeof(*group) + messages->n * sizeof(group->tickets[0]));

    group->messages = messages;
    group->n = messages->n;
    for (size_t i = 0; i < messages->n; i++)
        group->tickets[i] = messages->gathered[i].ticket;
    receipt->is_repeat = messages->is_repeat;
    receipt->position = end << MESSAGES_BYTE_BITS;
    receipt->received_ns = sl_wall_ms() * NS_PER_MS;
    receipt->arrived_ns = sl_now_ns();
    receipt->on_done = on_done;
    receipt->ctx = group;
    messages->n_groups++;
    messages->n_out += messages->n;
    sl_event_clear(&messages->settled);
    return receipt;
}

int messages_flush(Messages *messages, Str track, uint64_t end)
{
    Receipt *receipt;
    int r;

    if (messages->n == 0)
        return sl_checkpoint();
    r = buf_check(&messages->payloads);
    if (r < 0)
        return wrap(r, "messages");
    receipt = make_receipt(messages, track, end);
    messages->last_message = SIZE_MAX;
    if (messages->opts.value == MESSAGE_FORMAT)
        r = decode_group(messages, receipt);
    else
        r = value_group(messages, receipt);
    if (r < 0)
        receipt->r = r; /* not all of it was handed on: it shall come again */
    receipt_seal(receipt);
    messages_forget(messages);
    return r;
}

void messages_forget(Messages *messages)
{
    messages->n = 0;
    buf_reset(&messages->payloads);
    buf_reset(&messages->topics);
}

void messages_skip_to(Messages *messages, uint64_t position)
{
    messages->skip_to = position;
}

size_t messages_out(const Messages *messages)
{
    return messages->n_out;
}

SUSPENDS static int wait_settled(void *arg)
{
    Messages *messages = arg;

    return messages->n_groups > 0 ? sl_event_wait(&messages->settled) : sl_checkpoint();
}

void messages_drain(Messages *messages)
{
    if (messages->is_given_up || wait_settled(messages) == 0)
        return;
    (void) sl_shielded(LIMIT_MESSAGES_DRAIN_MS, wait_settled, messages); /* comes again */
    messages->is_given_up = true;
}

/* ---- life ------------------------------------------------------------------------------------ */

static Str keep_text(Messages *messages, size_t i, Str text)
{
    messages->texts[i] = mem_copy_c(text.data, text.len);
    return str_from(messages->texts[i], text.len);
}

/* Columns that are known beforehand are made beforehand: rows are then wide enough at once. */
static void prepare_shape(Messages *messages)
{
    const DecodeOpts *decode = &messages->source->decode;
    Str table = decode->table.len > 0 ? decode->table : str_from_c("rows");
    Shape *shape = NULL;

    if (messages->n_columns == 0 || decode->by_measurement)
        return;
    if (shapes_get(messages->source->shapes, table, &shape) == 0)
        messages->places = find_places(messages, shape);
}

int messages_new(Source *source, const MessagesOpts *opts, Messages **ret_messages)
{
    Str column = str_eq_c(opts->topic_column, "-") ? str_from(NULL, 0) : opts->topic_column;
    Messages *messages = mem_new(Messages);
    int r = 0;

    messages->source = source;
    messages->opts = *opts;
    messages->opts.origin = keep_text(messages, 0, opts->origin);
    messages->columns[0] = keep_text(messages, 1, column);
    messages->opts.pattern = keep_text(messages, 2, opts->pattern);
    messages->gathered = mem_new_array(Gathered, LIMIT_MESSAGES_GROUP);
    if (messages->columns[0].len > 0 || opts->pattern.len > 0)
        messages->n_columns = 1;
    if (opts->pattern.len > 0) {
        r = topic_pattern_parse(&messages->pattern, messages->opts.pattern, opts->separator);
        memcpy(&messages->columns[1], messages->pattern.names, sizeof(messages->pattern.names));
        messages->n_columns += messages->pattern.n;
    }
    if (r < 0) {
        messages_close(messages);
        return r;
    }
    prepare_shape(messages);
    *ret_messages = messages;
    return 0;
}

void messages_close(Messages *messages)
{
    if (!messages)
        return;
    for (size_t i = 0; i < ARRAY_LEN(messages->decoders); i++)
        decoder_free(messages->decoders[i]); /* they borrow from the source */
    messages->is_closed = true;
    if (messages->n_groups == 0)
        free_messages(messages);
}
