/*
 * Reading a job from JSON.
 *
 * The members of the object are walked once; a table says which function takes which member, at
 * top level and in `options`. A member the table does not know goes into `extra`, as source text.
 * Later ones of the same name win, and `options` is read after everything else, so that it wins.
 *
 * System fields (state, attempt, …) are dropped: the engine sets them.
 */
#include "serve/envelope.h"

#include "base/limits.h"
#include "base/macro.h"
#include "codec/time_text.h"
#include "serve/serve_int.h"
#include "worker/runner.h"

#include <stdio.h>

#define TYPE_BYTES_MAX  255
#define QUEUE_BYTES_MAX 128
#define PRIORITY_MAX    100

/* A job on its way in. */
typedef struct Parse {
    Arena *arena;
    EnvelopeIn *in;
    JobSpec *spec;
    JobRetry *retry; /* NULL until the request has a policy */
    Json args;
    Json options;
    Buf extra; /* members without braces */
    bool has_type;
} Parse;

typedef struct Member {
    const char *name;
    int (*take)(Parse *parse, const char *name, Json value);
} Member;

/* Complain about the member called NAME. */
#define refuse(parse, name, ...) refuse_as(parse, -ERR_INVALID, name, __VA_ARGS__)

static int refuse_as(Parse *parse, int code, const char *name, const char *fmt, ...)
    SL_PRINTF(4, 5);

static int refuse_as(Parse *parse, int code, const char *name, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    parse->in->field = name;
    return fail(code, "%s%s: %s", parse->in->at, name, text);
}

static const char *kind_of(Json value)
{
    return json_kind_name(json_kind(value));
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Segments joined by dots, each a letter followed by letters, digits, _ and -. */
static bool is_type_name(Str s)
{
    bool at_start = true;

    if (s.len == 0 || s.len > TYPE_BYTES_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];

        if (at_start ? !is_lower(c)
                     : !is_lower(c) && !is_digit(c) && c != '_' && c != '-' && c != '.')
            return false;
        at_start = c == '.';
    }
    return !at_start;
}

static bool is_queue_name(Str s)
{
    if (s.len == 0 || s.len > QUEUE_BYTES_MAX || (!is_lower(s.data[0]) && !is_digit(s.data[0])))
        return false;
    for (size_t i = 1; i < s.len; i++) {
        char c = s.data[i];

        if (!is_lower(c) && !is_digit(c) && c != '-' && c != '.' && c != '_')
            return false;
    }
    return true;
}

bool serve_is_queue_name(Str name)
{
    return is_queue_name(name);
}

/* ---- members --------------------------------------------------------------------------------- */

static int take_type(Parse *parse, const char *name, Json value)
{
    if (!json_get_str(value, &parse->spec->type))
        return refuse(parse, name, "must be a string, got %s", kind_of(value));
    if (!is_type_name(parse->spec->type))
        return refuse(parse, name,
                      "must be lower-case words of letters, digits, _ and -, joined by dots, "
                      "at most %d bytes, got \"%.*s\"",
                      TYPE_BYTES_MAX, (int) MIN(parse->spec->type.len, (size_t) 60),
                      parse->spec->type.data);
    parse->has_type = true;
    return 0;
}

static int take_args(Parse *parse, const char *name, Json value)
{
    if (!json_is_array(value))
        return refuse(parse, name, "must be an array, got %s", kind_of(value));
    parse->args = value;
    parse->spec->args = json_raw(parse->in->doc, value);
    return 0;
}

static int take_id(Parse *parse, const char *name, Json value)
{
    Str text;

    if (!json_get_str(value, &text))
        return refuse(parse, name, "must be a string, got %s", kind_of(value));
    if (job_id_parse(text, &parse->spec->id) < 0)
        return refuse(parse, name, "must be a UUID version 7 in lower case, got \"%.*s\"",
                      (int) MIN(text.len, (size_t) 60), text.data);
    return 0;
}

static int take_queue(Parse *parse, const char *name, Json value)
{
    if (!json_get_str(value, &parse->spec->queue))
        return refuse(parse, name, "must be a string, got %s", kind_of(value));
    if (!is_queue_name(parse->spec->queue))
        return refuse(parse, name,
                      "must be lower-case letters, digits, dots and dashes, at most %d bytes, "
                      "got \"%.*s\"",
                      QUEUE_BYTES_MAX, (int) MIN(parse->spec->queue.len, (size_t) 60),
                      parse->spec->queue.data);
    return 0;
}

static int take_priority(Parse *parse, const char *name, Json value)
{
    int64_t priority;

    if (!json_get_i64(value, &priority))
        return refuse(parse, name, "must be an integer, got %s", kind_of(value));
    if (priority < -PRIORITY_MAX || priority > PRIORITY_MAX)
        return refuse(parse, name, "must be between %d and %d, got %lld", -PRIORITY_MAX,
                      PRIORITY_MAX, (long long) priority);
    parse->spec->priority = (int) priority;
    return 0;
}

static int take_meta(Parse *parse, const char *name, Json value)
{
    if (json_is_null(value))
        return 0;
    if (!json_is_object(value))
        return refuse(parse, name, "must be an object, got %s", kind_of(value));
    parse->spec->meta = json_raw(parse->in->doc, value);
    if (parse->spec->meta.len > LIMIT_JOB_META_BYTES) {
        parse->in->field = name;
        return fail(-ERR_TOO_LARGE, "%s%s: must be at most %d bytes, got %zu", parse->in->at, name,
                    LIMIT_JOB_META_BYTES, parse->spec->meta.len);
    }
    return 0;
}

/* A time: RFC 3339 with a zone, or "+" and a duration from now. */
static int take_time(Parse *parse, const char *name, Json value, int64_t *ret_ms)
{
    Str text;
    int64_t delta;
    int r;

    if (json_is_null(value))
        return 0;
    if (!json_get_str(value, &text))
        return refuse(parse, name,
                      "must be a time such as \"2026-11-21T03:15:00Z\" or \"+PT2S\", got %s",
                      kind_of(value));
    if (text.len && text.data[0] == '+') {
        r = duration_parse(str_sub(text, 1, text.len), &delta);
        *ret_ms = parse->in->now_ms + delta;
    } else {
        r = time_parse_rfc3339(text, ret_ms);
    }
    if (r < 0)
        return refuse(parse, name,
                      "must be a time with a zone such as \"2026-11-21T03:15:00Z\", or \"+PT2S\", "
                      "got \"%.*s\"",
                      (int) MIN(text.len, (size_t) 60), text.data);
    return 0;
}

static int take_run_at(Parse *parse, const char *name, Json value)
{
    return take_time(parse, name, value, &parse->spec->run_at_ms);
}

static int take_expires_at(Parse *parse, const char *name, Json value)
{
    return take_time(parse, name, value, &parse->spec->expires_at_ms);
}

static int take_scaled(Parse *parse, const char *name, Json value, int64_t scale, int64_t *ret_ms)
{
    int64_t n;

    if (json_is_null(value))
        return 0;
    if (!json_get_i64(value, &n) || n < 0 || n > DURATION_MS_MAX / scale)
        return refuse(parse, name, "must be a number of %s that is not negative",
                      scale == 1 ? "milliseconds" : "seconds");
    *ret_ms = n * scale;
    return 0;
}

static int take_timeout_ms(Parse *parse, const char *name, Json value)
{
    return take_scaled(parse, name, value, 1, &parse->spec->timeout_ms);
}

static int take_timeout_s(Parse *parse, const char *name, Json value)
{
    return take_scaled(parse, name, value, MS_PER_S, &parse->spec->timeout_ms);
}

static int take_lease(Parse *parse, const char *name, Json value, int64_t scale)
{
    int r = take_scaled(parse, name, value, scale, &parse->spec->lease_ms);

    if (r == 0 && parse->spec->lease_ms > LIMIT_LEASE_MAX_MS)
        return refuse(parse, name, "must be at most %lld",
                      (long long) (LIMIT_LEASE_MAX_MS / scale));
    return r;
}

static int take_lease_ms(Parse *parse, const char *name, Json value)
{
    return take_lease(parse, name, value, 1);
}

static int take_lease_s(Parse *parse, const char *name, Json value)
{
    return take_lease(parse, name, value, MS_PER_S);
}

static int take_pending(Parse *parse, const char *name, Json value)
{
    if (!json_get_bool(value, &parse->spec->is_pending))
        return refuse(parse, name, "must be true or false, got %s", kind_of(value));
    return 0;
}

/* Keep a member as it came. */
static int keep(Parse *parse, const char *name, Json value)
{
    JsonWriter writer = JSON_WRITER(&parse->extra);

    if (parse->extra.len)
        buf_add_char(&parse->extra, ',');
    json_write_str(&writer, str_from_c(name));
    buf_add_char(&parse->extra, ':');
    buf_add_str(&parse->extra, json_raw(parse->in->doc, value));
    return 0;
}

static int keep_string(Parse *parse, const char *name, Json value)
{
    if (!json_is_string(value) && !json_is_null(value))
        return refuse(parse, name, "must be a string, got %s", kind_of(value));
    return keep(parse, name, value);
}

static int keep_object(Parse *parse, const char *name, Json value)
{
    if (!json_is_object(value) && !json_is_null(value))
        return refuse(parse, name, "must be an object, got %s", kind_of(value));
    return keep(parse, name, value);
}

static int keep_tags(Parse *parse, const char *name, Json value)
{
    if (!json_is_array(value) && !json_is_null(value))
        return refuse(parse, name, "must be an array of strings, got %s", kind_of(value));
    for (JsonIter it = json_iter(value); json_next(&it);) {
        if (!json_is_string(it.value))
            return refuse(parse, name, "must be an array of strings, element %zu is %s", it.index,
                          kind_of(it.value));
    }
    return keep(parse, name, value);
}

static void look_for_directive(Parse *parse, Json value)
{
    Str directive = json_str_or(json_find(value, "test_directive"), str_from(NULL, 0));

    if (str_eq_c(directive, "quiet"))
        parse->spec->directive = JOB_DIRECTIVE_QUIET;
    else if (str_eq_c(directive, "terminate"))
        parse->spec->directive = JOB_DIRECTIVE_TERMINATE;
}

static int take_metadata(Parse *parse, const char *name, Json value)
{
    look_for_directive(parse, value);
    return keep_object(parse, name, value);
}

static int take_options(Parse *parse, const char *name, Json value)
{
    if (json_is_null(value))
        return 0;
    if (!json_is_object(value))
        return refuse(parse, name, "must be an object, got %s", kind_of(value));
    parse->options = value;
    return 0;
}

static int drop(Parse *parse, const char *name, Json value)
{
    (void) parse;
    (void) name;
    (void) value;
    return 0;
}

/* ---- the retry policy ------------------------------------------------------------------------ */

#define refuse_retry(parse, name, ...) refuse_as(parse, -ERR_RETRY_POLICY, name, __VA_ARGS__)

static int retry_interval(Parse *parse, const char *name, Json value, int64_t *ret_ms)
{
    Str text;

    if (!json_get_str(value, &text) || duration_parse(text, ret_ms) < 0 || *ret_ms <= 0)
        return refuse_retry(parse, name, "must be a duration above zero such as \"PT1S\"");
    return 0;
}

static int retry_interval_ms(Parse *parse, const char *name, Json value, int64_t *ret_ms)
{
    if (!json_get_i64(value, ret_ms) || *ret_ms <= 0 || *ret_ms > DURATION_MS_MAX)
        return refuse_retry(parse, name, "must be a number of milliseconds above zero");
    return 0;
}

static int retry_max_attempts(Parse *parse, const char *name, Json value)
{
    int64_t n;

    if (!json_get_i64(value, &n) || n < 0 || n > LIMIT_JOB_ATTEMPTS)
        return refuse_retry(parse, name, "must be an integer between 0 and %d", LIMIT_JOB_ATTEMPTS);
    parse->retry->max_attempts = (uint32_t) n;
    return 0;
}

static int retry_initial(Parse *parse, const char *name, Json value)
{
    return retry_interval(parse, name, value, &parse->retry->initial_ms);
}

static int retry_max(Parse *parse, const char *name, Json value)
{
    return retry_interval(parse, name, value, &parse->retry->max_ms);
}

static int retry_initial_ms(Parse *parse, const char *name, Json value)
{
    return retry_interval_ms(parse, name, value, &parse->retry->initial_ms);
}

static int retry_max_ms(Parse *parse, const char *name, Json value)
{
    return retry_interval_ms(parse, name, value, &parse->retry->max_ms);
}

static int retry_coefficient(Parse *parse, const char *name, Json value)
{
    double c;

    if (!json_get_real(value, &c) || !(c >= 1.0) || c > 1e6)
        return refuse_retry(parse, name, "must be a number between 1 and 1000000");
    parse->retry->coefficient = c;
    return 0;
}

static int retry_jitter(Parse *parse, const char *name, Json value)
{
    if (!json_get_bool(value, &parse->retry->has_jitter))
        return refuse_retry(parse, name, "must be true or false, got %s", kind_of(value));
    return 0;
}

static int retry_non_retryable(Parse *parse, const char *name, Json value)
{
    size_t n = json_len(value);
    Str *patterns;

    if (!json_is_array(value) || n > JOB_NON_RETRYABLE_MAX)
        return refuse_retry(parse, name, "must be an array of at most %d strings",
                            JOB_NON_RETRYABLE_MAX);
    patterns = arena_zalloc(parse->arena, (n + 1) * sizeof(*patterns));
    for (JsonIter it = json_iter(value); json_next(&it);) {
        if (!json_get_str(it.value, &patterns[it.index]))
            return refuse_retry(parse, name, "must hold strings, element %zu is %s", it.index,
                                kind_of(it.value));
    }
    parse->retry->non_retryable = patterns;
    parse->retry->n_non_retryable = n;
    return 0;
}

static int retry_exhaustion(Parse *parse, const char *name, Json value)
{
    Str text = json_str_or(value, str_from(NULL, 0));

    if (str_eq_c(text, "discard"))
        parse->retry->on_exhaustion = JOB_EXHAUSTION_DISCARD;
    else if (str_eq_c(text, "dead_letter"))
        parse->retry->on_exhaustion = JOB_EXHAUSTION_DEAD_LETTER;
    else
        return refuse_retry(parse, name, "must be \"discard\" or \"dead_letter\"");
    return 0;
}

static int retry_backoff(Parse *parse, const char *name, Json value)
{
    Str text = json_str_or(value, str_from(NULL, 0));

    for (size_t i = 0; i < JOB_BACKOFF_COUNT; i++) {
        if (str_eq_c(text, envelope_backoff_names[i])) {
            parse->retry->backoff = (JobBackoff) i;
            return 0;
        }
    }
    return refuse_retry(parse, name,
                        "must be exponential, linear, constant, polynomial or none, got \"%.*s\"",
                        (int) MIN(text.len, (size_t) 40), text.data);
}

/* ---- the tables ------------------------------------------------------------------------------ */

static const Member retry_members[] = {
    { "max_attempts", retry_max_attempts },
    { "initial_interval", retry_initial },
    { "initial_interval_ms", retry_initial_ms },
    { "max_interval", retry_max },
    { "max_interval_ms", retry_max_ms },
    { "backoff_coefficient", retry_coefficient },
    { "backoff_strategy", retry_backoff },
    { "backoff", retry_backoff },
    { "jitter", retry_jitter },
    { "non_retryable_errors", retry_non_retryable },
    { "on_exhaustion", retry_exhaustion },
};

static const Member *find_member(const Member *members, size_t n, Str name)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq_c(name, members[i].name))
            return &members[i];
    }
    return NULL;
}

static int take_retry(Parse *parse, const char *name, Json value)
{
    static const JobRetry standard = JOB_RETRY_DEFAULT;
    int r = 0;

    if (json_is_null(value))
        return 0;
    if (!json_is_object(value))
        return refuse_retry(parse, name, "must be an object, got %s", kind_of(value));
    parse->retry = arena_new(parse->arena, JobRetry);
    *parse->retry = standard;
    for (JsonIter it = json_iter(value); r == 0 && json_next(&it);) {
        const Member *member = find_member(retry_members, ARRAY_LEN(retry_members), it.key);

        if (member && !json_is_null(it.value))
            r = member->take(parse, member->name, it.value);
    }
    if (r < 0)
        return r;
    if (parse->retry->max_ms < parse->retry->initial_ms) {
        if (json_find(value, "max_interval") || json_find(value, "max_interval_ms"))
            return refuse_retry(parse, "max_interval", "must not be shorter than initial_interval");
        parse->retry->max_ms = parse->retry->initial_ms;
    }
    parse->spec->retry = parse->retry;
    return 0;
}

/* What may stand in `options`, and at top level as well. */
static const Member option_members[] = {
    { "queue", take_queue },
    { "priority", take_priority },
    { "retry", take_retry },
    { "delay_until", take_run_at },
    { "scheduled_at", take_run_at },
    { "expires_at", take_expires_at },
    { "timeout_ms", take_timeout_ms },
    { "visibility_timeout_ms", take_lease_ms },
    { "pending", take_pending },
    { "unique", keep_object },
    { "tags", keep_tags },
    { "metadata", take_metadata },
};

static const Member top_members[] = {
    { "type", take_type },
    { "args", take_args },
    { "id", take_id },
    { "meta", take_meta },
    { "schema", keep_string },
    { "options", take_options },
    { "timeout", take_timeout_s },
    { "visibility_timeout", take_lease_s },
    { "specversion", drop },
    { "state", drop },
    { "attempt", drop },
    { "max_attempts", drop },
    { "created_at", drop },
    { "enqueued_at", drop },
    { "started_at", drop },
    { "completed_at", drop },
    { "cancelled_at", drop },
    { "discarded_at", drop },
    { "next_attempt_at", drop },
    { "next_retry_at", drop },
    { "retry_delay_ms", drop },
    { "lease_token", drop },
    { "lease_expires_at", drop },
    { "previous_state", drop },
    { "activated_at", drop },
    { "re_enqueued_at", drop },
    { "lost", drop },
    { "reason", drop },
    { "error", drop },
    { "errors", drop },
    { "result", drop },
};

static int walk_top(Parse *parse)
{
    int r = 0;

    for (JsonIter it = json_iter(parse->in->value); r == 0 && json_next(&it);) {
        const Member *member = find_member(top_members, ARRAY_LEN(top_members), it.key);

        if (!member)
            member = find_member(option_members, ARRAY_LEN(option_members), it.key);
        if (member)
            r = member->take(parse, member->name, it.value);
        else
            r = keep(parse, arena_copy_c(parse->arena, it.key), it.value);
    }
    return r;
}

static int walk_options(Parse *parse)
{
    AUTO(buf_deinit) Buf unknown = { 0 };
    JsonWriter writer = JSON_WRITER(&unknown);
    int r = 0;

    json_write_object(&writer);
    for (JsonIter it = json_iter(parse->options); r == 0 && json_next(&it);) {
        const Member *member = find_member(option_members, ARRAY_LEN(option_members), it.key);

        if (member) {
            r = member->take(parse, member->name, it.value);
        } else {
            json_write_key_str(&writer, it.key);
            json_write_raw(&writer, json_raw(parse->in->doc, it.value));
        }
    }
    json_write_object_end(&writer);
    if (r == 0 && unknown.len > 2) {
        if (parse->extra.len)
            buf_add_char(&parse->extra, ',');
        buf_add_c(&parse->extra, "\"options\":");
        buf_add_str(&parse->extra, buf_str(&unknown));
    }
    return r;
}

static int check_whole(Parse *parse)
{
    if (!parse->has_type)
        return refuse(parse, "type", "is required");
    if (!parse->args)
        return refuse(parse, "args", "is required and must be an array");
    return 0;
}

/* Arguments of a type that has a handler here must fit its schema. */
static int check_args(Parse *parse)
{
    const Handler *handler = serve_find_handler(parse->in->serve, parse->spec->type);
    void *bound;
    Err err;
    int r;

    if (!handler || !handler->args)
        return 0;
    r = runner_bind(parse->arena, handler, parse->in->doc, parse->args, false, NULL, &bound);
    if (r == 0 || r == -ENOMEM)
        return r;
    err_take(r, &err);
    parse->in->field = "args";
    return fail(-ERR_SCHEMA, "%s%s", parse->in->at, err.text);
}

static int parse_all(Parse *parse)
{
    int r = walk_top(parse);

    if (r == 0)
        r = check_whole(parse);
    if (r == 0)
        r = walk_options(parse);
    if (r == 0)
        r = check_args(parse);
    if (r < 0)
        return r;
    if (parse->spec->directive == JOB_DIRECTIVE_NONE && parse->spec->meta.len)
        look_for_directive(parse, json_find(parse->in->value, "meta"));
    r = buf_check(&parse->extra);
    if (r == 0 && parse->extra.len)
        parse->spec->extra = arena_copy(parse->arena, buf_str(&parse->extra));
    return r;
}

int envelope_parse(Arena *arena, EnvelopeIn *in, JobSpec *ret_spec)
{
    Parse parse = { .arena = arena, .in = in, .spec = ret_spec };
    int r;

    *ret_spec = (JobSpec){ 0 };
    in->field = NULL;
    if (!json_is_object(in->value))
        return fail(-ERR_INVALID, "%sjob: must be an object, got %s", in->at, kind_of(in->value));
    r = parse_all(&parse);
    buf_deinit(&parse.extra);
    return r;
}
