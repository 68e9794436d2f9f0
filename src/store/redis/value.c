/*
 * Jobs as text. Fields of the first line, in order:
 *
 *   state when fence flags worker queue attempt started length lost delay line enqueued created
 *   attempts priority [T] [L] [X] [R]
 *
 * then sections `NAME LENGTH BYTES\n`. Times of one attempt, of a lease and of the end of a job's
 * use are in the first line (T, L, X) because scripts need them; as sections they are in the
 * record.
 */
#include "store/redis/value.h"

#include "base/err.h"
#include "base/limits.h"
#include "codec/uuid.h"
#include "store/engine_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TIME_MAX ((INT64_C(1) << 48) - 1)

static const struct {
    const char *name;
    RecordTag tag;
} section_names[] = {
    { "type", RECORD_TYPE },     { "args", RECORD_ARGS },   { "meta", RECORD_META },
    { "extra", RECORD_EXTRA },   { "retry", RECORD_RETRY }, { "run_at", RECORD_RUN_AT },
    { "result", RECORD_RESULT }, { "error", RECORD_ERROR },
};

static const char *const backoff_names[JOB_BACKOFF_COUNT] = {
    [JOB_BACKOFF_EXPONENTIAL] = "exponential",
    [JOB_BACKOFF_LINEAR] = "linear",
    [JOB_BACKOFF_CONSTANT] = "constant",
    [JOB_BACKOFF_POLYNOMIAL] = "polynomial",
    [JOB_BACKOFF_NONE] = "none",
};

/* ---- names ----------------------------------------------------------------------------------- */

static bool is_plain(unsigned char c)
{
    return c > ' ' && c != '%' && c != '*' && c != 0x7f;
}

void value_add_name(Buf *out, Str name)
{
    size_t plain = 0;

    if (name.len == 0)
        return buf_add_char(out, '-');
    if (str_eq_c(name, "-"))
        return buf_add_c(out, "%2D");
    while (plain < name.len && is_plain((unsigned char) name.data[plain]))
        plain++;
    buf_add(out, name.data, plain);
    for (size_t i = plain; i < name.len; i++) {
        unsigned char c = (unsigned char) name.data[i];

        if (is_plain(c))
            buf_add_char(out, (char) c);
        else
            buf_printf(out, "%%%02X", c);
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool value_take_name(Arena *arena, Str field, Str *ret_name)
{
    char *name;
    size_t len = 0;

    *ret_name = (Str){ 0 };
    if (str_eq_c(field, "-"))
        return true;
    *ret_name = field;
    if (field.len == 0 || str_find(field, '%') < 0)
        return field.len > 0;
    name = arena_try(arena, field.len);
    if (!name)
        return false;
    for (size_t i = 0; i < field.len; i++) {
        if (field.data[i] != '%') {
            name[len++] = field.data[i];
            continue;
        }
        if (i + 2 >= field.len || hex_digit(field.data[i + 1]) < 0 ||
            hex_digit(field.data[i + 2]) < 0)
            return false;
        name[len++] = (char) (hex_digit(field.data[i + 1]) * 16 + hex_digit(field.data[i + 2]));
        i += 2;
    }
    *ret_name = str_from(name, len);
    return true;
}

/* ---- record to text -------------------------------------------------------------------------- */

static void add_section(Buf *out, const char *name, Str bytes)
{
    buf_add_c(out, name);
    buf_add_char(out, ' ');
    buf_add_u64(out, bytes.len);
    buf_add_char(out, ' ');
    buf_add_str(out, bytes);
    buf_add_char(out, '\n');
}

/* LENGTH:BYTES behind a space. */
static void add_part(Buf *out, Str part)
{
    buf_add_char(out, ' ');
    buf_add_u64(out, part.len);
    buf_add_char(out, ':');
    buf_add_str(out, part);
}

static void add_retry(Buf *out, const JobRetry *retry)
{
    AUTO(buf_deinit) Buf text = { 0 };
    bool is_dead = retry->on_exhaustion == JOB_EXHAUSTION_DEAD_LETTER;

    buf_printf(&text, "%s %.17g ", backoff_names[retry->backoff], retry->coefficient);
    buf_add_i64(&text, retry->initial_ms);
    buf_add_char(&text, ' ');
    buf_add_i64(&text, retry->max_ms);
    buf_add_c(&text, retry->has_jitter ? " jitter" : " exact");
    buf_add_c(&text, is_dead ? ",dead_letter" : ",discard");
    for (size_t i = 0; i < retry->n_non_retryable; i++)
        add_part(&text, retry->non_retryable[i]);
    if (buf_check(&text) < 0)
        out->is_failed = true;
    else
        add_section(out, "retry", buf_str(&text));
}

static void add_error_section(Buf *out, const JobError *error)
{
    AUTO(buf_deinit) Buf text = { 0 };
    const Str parts[] = { error->type, error->code, error->message, error->details,
                          error->backtrace };

    buf_add_i64(&text, error->at_ms);
    buf_add_char(&text, ' ');
    buf_add_u64(&text, error->attempt);
    buf_add_c(&text, error->is_final ? " final" : " again");
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        add_part(&text, parts[i]);
    if (buf_check(&text) < 0)
        out->is_failed = true;
    else
        add_section(out, "error", buf_str(&text));
}

void value_add_result(Buf *out, Str result)
{
    add_section(out, "result", result);
}

int value_add_error(Arena *arena, Buf *out, const JobError *error)
{
    /* Through a record, so that its texts are cut as those of every store. */
    AUTO(buf_deinit) Buf record = { 0 }, body = { 0 };
    RecordHead head = { .max_attempts = 1 };
    RecordChange change = { .error = error };
    char bytes[RECORD_ID_BYTES + RECORD_HEAD_BYTES] = { 0 };
    Job job;
    int r;

    record_head_put(bytes + RECORD_ID_BYTES, &head);
    record_rewrite(str_from(bytes + RECORD_ID_BYTES, RECORD_HEAD_BYTES), &change, &body);
    buf_add(&record, bytes, RECORD_ID_BYTES);
    buf_add_str(&record, buf_str(&body));
    r = buf_check(&record);
    if (r == 0)
        r = record_decode(arena, buf_str(&record), &job);
    if (r < 0)
        return r;
    add_error_section(out, &job.errors[0]);
    return 0;
}

static void add_flags(Buf *out, const RecordHead *head)
{
    unsigned directive = (unsigned) head->flags >> RECORD_DIRECTIVE_SHIFT & 3;
    size_t before = out->len;

    if (directive == JOB_DIRECTIVE_QUIET)
        buf_add_char(out, 'q');
    if (directive == JOB_DIRECTIVE_TERMINATE)
        buf_add_char(out, 'k');
    if (head->flags & RECORD_HAS_TIMEOUT)
        buf_add_char(out, 'T');
    if (head->flags & RECORD_HAS_LEASE)
        buf_add_char(out, 'L');
    if (head->flags & RECORD_HAS_EXPIRES)
        buf_add_char(out, 'X');
    if (out->len == before)
        buf_add_char(out, '-');
}

static void add_field(Buf *out, int64_t value)
{
    buf_add_char(out, ' ');
    buf_add_i64(out, value);
}

static void add_record_section(Buf *out, uint8_t tag, Str value, const Job *job, size_t *n_errors)
{
    char name[8];

    switch (tag) {
    case RECORD_QUEUE:
    case RECORD_TIMEOUT:
    case RECORD_LEASE:
    case RECORD_EXPIRES: return; /* in the first line */
    case RECORD_RETRY: return add_retry(out, &job->retry);
    case RECORD_ERROR: return add_error_section(out, &job->errors[(*n_errors)++]);
    case RECORD_RUN_AT: {
        char text[24];
        int len = snprintf(text, sizeof(text), "%lld", (long long) job->run_at_ms);
        return add_section(out, "run_at", str_from(text, (size_t) len));
    }
    default: break;
    }
    for (size_t i = 0; i < ARRAY_LEN(section_names); i++) {
        if (section_names[i].tag == tag)
            return add_section(out, section_names[i].name, value);
    }
    snprintf(name, sizeof(name), "x%u", tag);
    add_section(out, name, value);
}

/* The first line behind the number in line, and the sections. */
static int add_tail(Arena *arena, Str record, const RecordHead *head, Buf *tail)
{
    Str body = record_body(record), value;
    size_t cursor = 0, n_errors = 0;
    uint8_t tag;
    Job job = { 0 };
    int r;

    if (head->enqueued_ms != 0 && head->enqueued_ms == head->created_ms)
        buf_add_c(tail, " =");
    else
        add_field(tail, head->enqueued_ms);
    add_field(tail, head->created_ms);
    add_field(tail, head->max_attempts);
    add_field(tail, head->priority);
    if (head->flags & RECORD_HAS_TIMEOUT)
        add_field(tail, record_find_i64(body, RECORD_TIMEOUT));
    if (head->flags & RECORD_HAS_LEASE)
        add_field(tail, record_find_i64(body, RECORD_LEASE));
    if (head->flags & RECORD_HAS_EXPIRES)
        add_field(tail, record_find_i64(body, RECORD_EXPIRES));
    if (head->reason != JOB_REASON_NONE) {
        buf_add_char(tail, ' ');
        buf_add_c(tail, job_reason_name(head->reason));
    }
    buf_add_char(tail, '\n');
    while (record_next(body, &cursor, &tag, &value)) {
        if ((tag == RECORD_RETRY || tag == RECORD_ERROR || tag == RECORD_RUN_AT) && !job.type.len) {
            r = record_decode(arena, record, &job);
            if (r < 0)
                return r;
        }
        add_record_section(tail, tag, value, &job, &n_errors);
    }
    return 0;
}

int value_add_new(Arena *arena, Str record, Buf *head_text, Buf *tail)
{
    Str body = record_body(record), queue;
    RecordHead head;

    record_head_get(body, &head);
    ASSERT(head.state == JOB_AVAILABLE || head.state == JOB_SCHEDULED || head.state == JOB_PENDING);
    bool has_queue = record_find(body, RECORD_QUEUE, &queue);
    ASSERT(has_queue);
    buf_add_c(head_text, job_state_name(head.state));
    buf_add_char(head_text, ' ');
    value_add_name(head_text, queue);
    add_field(head_text, head.priority);
    buf_add_char(head_text, ' ');
    add_flags(head_text, &head);
    add_field(head_text, head.state == JOB_PENDING ? head.created_ms : head.due_ms);

    return add_tail(arena, record, &head, tail);
}

/* What a final job's flags have beside those of its push. */
static void add_end_flags(Buf *out, const RecordHead *head)
{
    size_t before = out->len;

    if (head->flags & RECORD_DEAD_LETTER)
        buf_add_char(out, 'D');
    add_flags(out, head);
    if (out->len > before + 1 && out->data[out->len - 1] == '-')
        out->len--; /* there is a flag, so no sign that there is none */
    if (head->reason == JOB_REASON_NONE)
        return;
    if (out->len == before + 1 && out->data[before] == '-')
        out->len--;
    buf_add_char(out, 'R');
}

int value_add_any(Arena *arena, Str record, Str holder, Buf *head_text, Buf *front, Buf *tail)
{
    Str body = record_body(record), queue;
    RecordHead head;

    record_head_get(body, &head);
    if (!record_find(body, RECORD_QUEUE, &queue))
        return fail(-ERR_STORE_FORMAT, "a job has no queue");
    buf_add_c(head_text, job_state_name(head.state));
    add_field(head_text, head.fence);
    buf_add_char(head_text, ' ');
    value_add_name(head_text, queue);
    add_field(head_text, head.priority);
    add_field(head_text, head.state == JOB_PENDING ? head.created_ms : head.due_ms);
    buf_add_c(head_text, head.flags & RECORD_DEAD_LETTER ? " 1" : " 0");

    buf_add_c(front, job_state_name(head.state));
    add_field(front, head.state == JOB_PENDING || head.state == JOB_AVAILABLE ? 0 : head.due_ms);
    add_field(front, head.fence);
    buf_add_char(front, ' ');
    add_end_flags(front, &head);
    buf_add_char(front, ' ');
    value_add_name(front, head.state == JOB_ACTIVE ? holder : (Str){ 0 });
    buf_add_char(front, ' ');
    value_add_name(front, queue);
    add_field(front, head.attempt);
    add_field(front, head.started_ms);
    add_field(front, head.lease_length_ms);
    add_field(front, head.lost);
    add_field(front, head.retry_delay_ms);
    buf_add_char(front, ' ');
    return add_tail(arena, record, &head, tail);
}

/* ---- text to record -------------------------------------------------------------------------- */

/* What is left of a text. A take that fails leaves is_bad. */
typedef struct Reader {
    Str left;
    bool is_bad;
} Reader;

static Str take_field(Reader *reader)
{
    size_t len = 0;
    Str field;

    while (len < reader->left.len && reader->left.data[len] != ' ' &&
           reader->left.data[len] != '\n')
        len++;
    field = str_from(reader->left.data, len);
    reader->is_bad |= len == 0 || len == reader->left.len;
    reader->left = str_sub(reader->left, len, reader->left.len);
    if (reader->left.len > 0 && reader->left.data[0] == ' ')
        reader->left = str_sub(reader->left, 1, reader->left.len);
    return field;
}

/* Digits up to MAX, perhaps with a sign. */
static int64_t number_of(Reader *reader, Str digits, int64_t min, int64_t max)
{
    bool is_negative = digits.len > 0 && digits.data[0] == '-';
    int64_t value = 0;

    if (digits.len == is_negative || digits.len > 19) {
        reader->is_bad = true;
        return 0;
    }
    for (size_t i = is_negative; i < digits.len; i++) {
        int digit = digits.data[i] - '0';
        if (digit < 0 || digit > 9 || value > (INT64_MAX - digit) / 10) {
            reader->is_bad = true;
            return 0;
        }
        value = value * 10 + digit;
    }
    value = is_negative ? -value : value;
    if (value < min || value > max) {
        reader->is_bad = true;
        return 0;
    }
    return value;
}

static int64_t take_number(Reader *reader, int64_t min, int64_t max)
{
    return number_of(reader, take_field(reader), min, max);
}

/* The fields of the first line that become sections or need the queue's name. */
typedef struct FirstLine {
    RecordHead head;
    Str worker, queue;
    int64_t timeout_ms, lease_ms, expires_ms;
} FirstLine;

static JobReason take_reason(Reader *reader)
{
    Str word = take_field(reader);

    for (unsigned i = 0; i < JOB_REASON_COUNT; i++) {
        if (str_eq_c(word, job_reason_name((JobReason) i)))
            return (JobReason) i;
    }
    reader->is_bad = true;
    return JOB_REASON_NONE;
}

static void take_flags(Reader *reader, Str flags, FirstLine *line)
{
    RecordHead *head = &line->head;

    for (size_t i = 0; i < flags.len && !reader->is_bad; i++) {
        switch (flags.data[i]) {
        case '-':
        case 'W': break;
        case 'D': head->flags |= RECORD_DEAD_LETTER; break;
        case 'q': head->flags |= JOB_DIRECTIVE_QUIET << RECORD_DIRECTIVE_SHIFT; break;
        case 'k': head->flags |= JOB_DIRECTIVE_TERMINATE << RECORD_DIRECTIVE_SHIFT; break;
        case 'T':
            head->flags |= RECORD_HAS_TIMEOUT;
            line->timeout_ms = take_number(reader, 0, TIME_MAX);
            break;
        case 'L':
            head->flags |= RECORD_HAS_LEASE;
            line->lease_ms = take_number(reader, 0, TIME_MAX);
            break;
        case 'X':
            head->flags |= RECORD_HAS_EXPIRES;
            line->expires_ms = take_number(reader, 0, TIME_MAX);
            break;
        case 'R': head->reason = take_reason(reader); break;
        default: reader->is_bad = true;
        }
    }
}

static void take_first_line(Reader *reader, Arena *arena, FirstLine *line)
{
    RecordHead *head = &line->head;
    Str flags, word;
    uint64_t number;

    reader->is_bad |= !job_state_parse(take_field(reader), &head->state);
    head->due_ms = take_number(reader, 0, TIME_MAX);
    head->fence = (uint32_t) take_number(reader, 0, UINT32_MAX);
    flags = take_field(reader);
    reader->is_bad |= !value_take_name(arena, take_field(reader), &line->worker);
    reader->is_bad |= !value_take_name(arena, take_field(reader), &line->queue);
    reader->is_bad |= line->queue.len == 0 || line->queue.len > QUEUE_NAME_MAX;
    head->attempt = (uint16_t) take_number(reader, 0, UINT16_MAX);
    head->started_ms = head->started_steady_ms = take_number(reader, 0, TIME_MAX);
    head->lease_length_ms = (uint32_t) take_number(reader, 0, UINT32_MAX);
    head->lost = (uint16_t) take_number(reader, 0, UINT16_MAX);
    head->retry_delay_ms = (uint32_t) take_number(reader, 0, UINT32_MAX);
    number = (uint64_t) take_number(reader, 0, TIME_MAX);
    word = take_field(reader);
    head->created_ms = take_number(reader, 0, TIME_MAX);
    head->enqueued_ms = str_eq_c(word, "=") ? head->created_ms
                                            : number_of(reader, word, 0, TIME_MAX);
    head->max_attempts = (uint16_t) take_number(reader, 0, UINT16_MAX);
    head->priority = (int16_t) take_number(reader, INT16_MIN, INT16_MAX);
    take_flags(reader, flags, line);
    if (reader->left.len == 0 || reader->left.data[0] != '\n')
        reader->is_bad = true;
    if (reader->is_bad)
        return;
    reader->left = str_sub(reader->left, 1, reader->left.len);
    head->order = number > 0 ? line_order(head->priority, number) : 0;
    head->worker = head->state == JOB_ACTIVE ? worker_hash(line->worker) : 0;
}

/* LENGTH:BYTES behind what was taken, and the space behind it. */
static Str take_part(Reader *reader)
{
    ssize_t at = str_find(reader->left, ':');
    int64_t len = 0;
    Str part;

    if (at > 0)
        len = number_of(reader, str_sub(reader->left, 0, (size_t) at), 0, LIMIT_JOB_RECORD_BYTES);
    if (at <= 0 || reader->is_bad || (size_t) len > reader->left.len - (size_t) at - 1) {
        reader->is_bad = true;
        return (Str){ 0 };
    }
    part = str_sub(reader->left, (size_t) at + 1, (size_t) len);
    reader->left = str_sub(reader->left, (size_t) at + 1 + (size_t) len, reader->left.len);
    if (reader->left.len > 0 && reader->left.data[0] == ' ')
        reader->left = str_sub(reader->left, 1, reader->left.len);
    else if (reader->left.len > 0)
        reader->is_bad = true;
    return part;
}

static void add_le(Buf *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        buf_add_char(out, (char) (unsigned char) (value >> (8 * i)));
}

static void add_text(Buf *out, Str text)
{
    size_t len = text.len;

    for (; len >= 0x80; len >>= 7)
        buf_add_char(out, (char) (unsigned char) (len | 0x80));
    buf_add_char(out, (char) len);
    buf_add_str(out, text);
}

static double take_real(Reader *reader)
{
    Str word = take_field(reader);
    char text[40], *end;
    double value;

    if (word.len >= sizeof(text) || word.len == 0) {
        reader->is_bad = true;
        return 0;
    }
    memcpy(text, word.data, word.len);
    text[word.len] = '\0';
    value = strtod(text, &end);
    if (*end || !(value >= 0 && value < 1e300))
        reader->is_bad = true;
    return value;
}

static void retry_to_section(Reader *reader, Buf *out)
{
    Str word = take_field(reader);
    unsigned backoff = 0;
    double coefficient = take_real(reader);
    int64_t initial_ms = take_number(reader, 0, INT64_MAX);
    int64_t max_ms = take_number(reader, 0, INT64_MAX);
    uint64_t bits;
    size_t len = 0;

    while (backoff < JOB_BACKOFF_COUNT && !str_eq_c(word, backoff_names[backoff]))
        backoff++;
    while (len < reader->left.len && reader->left.data[len] != ' ')
        len++;
    word = str_sub(reader->left, 0, len);
    reader->left = str_sub(reader->left, len + 1, reader->left.len);
    memcpy(&bits, &coefficient, sizeof(bits));
    buf_add_char(out, (char) backoff);
    buf_add_char(out, (char) ((str_starts(word, (Str) STR("jitter")) ? 1 : 0) |
                              (str_ends(word, (Str) STR(",dead_letter")) ? 2 : 0)));
    add_le(out, bits, 8);
    add_le(out, (uint64_t) initial_ms, 8);
    add_le(out, (uint64_t) max_ms, 8);
    while (reader->left.len > 0 && !reader->is_bad)
        add_text(out, take_part(reader));
    reader->is_bad |= backoff == JOB_BACKOFF_COUNT;
}

static void error_to_section(Reader *reader, Buf *out)
{
    add_le(out, (uint64_t) take_number(reader, 0, TIME_MAX), 8);
    add_le(out, (uint64_t) take_number(reader, 0, UINT32_MAX), 4);
    buf_add_char(out, str_eq_c(take_field(reader), "final") ? 1 : 0);
    for (int i = 0; i < 5 && !reader->is_bad; i++)
        add_text(out, take_part(reader));
    reader->is_bad |= reader->left.len > 0;
}

/* The tag of section NAME; 0 for none. */
static uint8_t tag_of(Str name)
{
    int64_t number;

    for (size_t i = 0; i < ARRAY_LEN(section_names); i++) {
        if (str_eq_c(name, section_names[i].name))
            return (uint8_t) section_names[i].tag;
    }
    if (name.len > 1 && name.data[0] == 'x') {
        Reader digits = { 0 };
        number = number_of(&digits, str_sub(name, 1, name.len), 1, UINT8_MAX);
        if (!digits.is_bad && number != RECORD_QUEUE && number != RECORD_TIMEOUT &&
            number != RECORD_LEASE && number != RECORD_EXPIRES)
            return (uint8_t) number;
    }
    return 0;
}

static void add_i64_section(Buf *out, RecordTag tag, int64_t value)
{
    AUTO(buf_deinit) Buf bytes = { 0 };

    add_le(&bytes, (uint64_t) value, 8);
    record_add_section(out, tag, buf_str(&bytes));
}

static void add_section_of(Reader *reader, Buf *out, uint8_t tag, Str bytes)
{
    AUTO(buf_deinit) Buf value = { 0 };
    Reader inside = { .left = bytes };

    switch (tag) {
    case RECORD_RETRY: retry_to_section(&inside, &value); break;
    case RECORD_ERROR: error_to_section(&inside, &value); break;
    case RECORD_RUN_AT:
        add_i64_section(out, RECORD_RUN_AT, number_of(&inside, bytes, 0, INT64_MAX));
        reader->is_bad |= inside.is_bad;
        return;
    default: return record_add_section(out, (RecordTag) tag, bytes);
    }
    reader->is_bad |= inside.is_bad;
    record_add_section(out, (RecordTag) tag, buf_str(&value));
}

/* One section: the type is the first, and the queue's is put behind it. */
static void take_section(Reader *reader, Buf *out, const FirstLine *line, bool is_first)
{
    Str name = take_field(reader), bytes;
    uint8_t tag = tag_of(name);
    int64_t len = take_number(reader, 0, LIMIT_JOB_RECORD_BYTES);

    reader->is_bad |= tag == 0 || (size_t) len >= reader->left.len;
    reader->is_bad |= (tag == RECORD_TYPE) != is_first;
    if (reader->is_bad || reader->left.data[len] != '\n') {
        reader->is_bad = true;
        return;
    }
    bytes = str_sub(reader->left, 0, (size_t) len);
    reader->left = str_sub(reader->left, (size_t) len + 1, reader->left.len);
    add_section_of(reader, out, tag, bytes);
    if (tag == RECORD_TYPE)
        record_add_section(out, RECORD_QUEUE, line->queue);
}

static int damaged(Str id_text)
{
    return fail(-ERR_STORE_FORMAT, "job %.*s in Redis is not as Sluice writes it",
                (int) MIN(id_text.len, (size_t) 36), id_text.data);
}

int value_to_record(Arena *arena, Str id_text, Str text, int64_t until_ms, Buf *out,
                    Str *ret_holder)
{
    Reader reader = { .left = text };
    FirstLine line = { 0 };
    char head[RECORD_HEAD_BYTES];
    size_t before = out->len;
    Uuid id;

    *ret_holder = (Str){ 0 };
    if (uuid_parse(id_text, &id) < 0)
        return damaged(id_text);
    take_first_line(&reader, arena, &line);
    if (reader.is_bad)
        return damaged(id_text);
    if (line.head.state == JOB_ACTIVE) {
        *ret_holder = line.worker;
        if (until_ms >= 0 && until_ms <= TIME_MAX)
            line.head.due_ms = until_ms;
    }
    record_head_put(head, &line.head);
    buf_add(out, id.bytes, sizeof(id.bytes));
    buf_add(out, head, sizeof(head));
    for (bool is_first = true; (is_first || reader.left.len > 0) && !reader.is_bad;
         is_first = false)
        take_section(&reader, out, &line, is_first);
    if (line.head.flags & RECORD_HAS_TIMEOUT)
        add_i64_section(out, RECORD_TIMEOUT, line.timeout_ms);
    if (line.head.flags & RECORD_HAS_LEASE)
        add_i64_section(out, RECORD_LEASE, line.lease_ms);
    if (line.head.flags & RECORD_HAS_EXPIRES)
        add_i64_section(out, RECORD_EXPIRES, line.expires_ms);
    if (reader.is_bad)
        return damaged(id_text);
    if (buf_check(out) < 0)
        return wrap(buf_check(out), "read job %.*s", (int) id_text.len, id_text.data);
    return record_check(record_body(str_from(out->data + before, out->len - before))) < 0
               ? damaged(id_text)
               : 0;
}
