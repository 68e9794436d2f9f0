/*
 * Sorted sets of the simulated Redis.
 *
 * Ranges of every kind (by place, by score, by name) are found as an interval of places first;
 * what a command does with it (read, count, remove) comes behind.
 */
#include "../sim/redis_call.h"

#include <math.h>

typedef struct Span {
    size_t from, to; /* places, TO not included */
} Span;

/* ---- adding ---------------------------------------------------------------------------------- */

typedef struct AddOptions {
    bool is_nx, is_xx, is_gt, is_lt, is_ch, is_incr;
} AddOptions;

static size_t add_options(Call *call, AddOptions *options)
{
    size_t i = 2;

    for (; i < call->argc; i++) {
        bool *option = arg_is(call->argv[i], "nx")     ? &options->is_nx
                       : arg_is(call->argv[i], "xx")   ? &options->is_xx
                       : arg_is(call->argv[i], "gt")   ? &options->is_gt
                       : arg_is(call->argv[i], "lt")   ? &options->is_lt
                       : arg_is(call->argv[i], "ch")   ? &options->is_ch
                       : arg_is(call->argv[i], "incr") ? &options->is_incr
                                                       : NULL;

        if (!option)
            break;
        *option = true;
    }
    return i;
}

/* 0: left alone; 1: changed; 2: added; -1: the sum is no number. */
static int add_one(DataValue *zset, Str name, double *score, const AddOptions *options)
{
    const DataItem *item = item_find(zset, name);

    if (item ? options->is_nx : options->is_xx)
        return 0;
    if (item && options->is_incr)
        *score += item->score;
    if (isnan(*score))
        return -1;
    if (item &&
        ((options->is_gt && *score <= item->score) || (options->is_lt && *score >= item->score)))
        return 0;
    if (item && *score == item->score)
        return options->is_incr ? 1 : 0;
    return item_put(zset, name, (Str){ 0 }, *score) ? 2 : 1;
}

static void add(Call *call, size_t at, const AddOptions *options)
{
    int64_t added = 0, changed = 0;
    double score = 0;
    DataKey *key;
    int r = 0;

    for (size_t i = at; i < call->argc; i += 2) {
        if (!arg_real(call, i, &score))
            return;
    }
    if (!arg_key_made(call, 1, DATA_ZSET, &key))
        return;
    for (size_t i = at; i < call->argc; i += 2) {
        (void) text_to_real(call->argv[i], &score);
        r = add_one(key->value, call->argv[i + 1], &score, options);
        if (r < 0)
            return say_error(call, "ERR resulting score is not a number (NaN)");
        added += r == 2;
        changed += r > 0;
    }
    if (!options->is_incr)
        say_number(call, options->is_ch ? changed : added);
    else if (r == 0)
        say_null(call);
    else
        say_real(call, score);
    key_tidy(call, key);
}

static void zadd(Call *call)
{
    AddOptions options = { 0 };
    size_t at = add_options(call, &options), n = call->argc - at;

    if (n == 0 || n % 2 == 1)
        return say_syntax(call);
    if (options.is_nx && options.is_xx)
        return say_error(call, "ERR XX and NX options at the same time are not compatible");
    if ((options.is_gt && options.is_nx) || (options.is_lt && options.is_nx) ||
        (options.is_gt && options.is_lt))
        return say_error(call, "ERR GT, LT, and/or NX options at the same time are not compatible");
    if (options.is_incr && n > 2)
        return say_error(call, "ERR INCR option supports a single increment-element pair");
    add(call, at, &options);
}

static void zincrby(Call *call)
{
    AddOptions options = { .is_incr = true };

    add(call, 2, &options);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

typedef struct Bound {
    double score;
    Str name; /* of a range by name */
    bool is_open;
    int end; /* -1 and 1: before and behind every name */
} Bound;

static bool bound_of_score(Str text, Bound *ret)
{
    *ret = (Bound){ .is_open = text.len > 0 && text.data[0] == '(' };
    if (ret->is_open)
        text = str_sub(text, 1, SIZE_MAX);
    return text_to_real(text, &ret->score);
}

static bool bound_of_name(Str text, Bound *ret)
{
    *ret = (Bound){ .name = str_sub(text, 1, SIZE_MAX) };
    if (text.len == 0)
        return false;
    ret->end = text.data[0] == '-' ? -1 : text.data[0] == '+' ? 1 : 0;
    ret->is_open = text.data[0] == '(';
    return ret->end != 0 ? text.len == 1 : (ret->is_open || text.data[0] == '[');
}

/* How many items are before BOUND; IS_BEHIND: those at it count too. */
static size_t before(const DataValue *zset, const Bound *bound, bool is_name, bool is_behind)
{
    size_t at = 0;

    if (!is_name) {
        at = zset_lower(zset, bound->score, (Str){ 0 });
        while (is_behind && at < zset->n && zset->ranks[at]->score == bound->score)
            at++;
        return at;
    }
    if (bound->end != 0)
        return bound->end < 0 ? 0 : zset->n;
    while (at < zset->n && str_cmp(zset->ranks[at]->name, bound->name) < (is_behind ? 1 : 0))
        at++;
    return at;
}

static Span span_between(const DataValue *zset, const Bound *low, const Bound *high, bool is_name)
{
    Span span = { before(zset, low, is_name, low->is_open),
                  before(zset, high, is_name, !high->is_open) };

    if (span.to < span.from)
        span.to = span.from;
    return span;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

typedef enum By { BY_PLACE, BY_SCORE, BY_NAME } By;

typedef struct Range {
    By by;
    bool is_reverse, has_scores;
    int64_t skip, most; /* LIMIT */
    bool has_limit;
} Range;

static bool range_options(Call *call, size_t i, bool is_old, Range *range)
{
    for (; i < call->argc; i++) {
        if (arg_is(call->argv[i], "withscores")) {
            range->has_scores = true;
        } else if (!is_old && arg_is(call->argv[i], "rev")) {
            range->is_reverse = true;
        } else if (!is_old && arg_is(call->argv[i], "byscore")) {
            range->by = BY_SCORE;
        } else if (!is_old && arg_is(call->argv[i], "bylex")) {
            range->by = BY_NAME;
        } else if (arg_is(call->argv[i], "limit") && i + 2 < call->argc) {
            if (!arg_number(call, i + 1, &range->skip) || !arg_number(call, i + 2, &range->most))
                return false;
            range->has_limit = true;
            i += 2;
        } else {
            say_syntax(call);
            return false;
        }
    }
    if (range->has_limit && range->by == BY_PLACE) {
        say_error(call, "ERR syntax error, LIMIT is only supported in combination with either "
                        "BYSCORE or BYLEX");
        return false;
    }
    if (range->has_scores && range->by == BY_NAME) {
        say_error(call, "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        return false;
    }
    return true;
}

/* The places that arguments 2 and 3 mean; an empty span when there is no key. */
static bool range_span(Call *call, const Range *range, const DataKey *key, Span *ret)
{
    size_t n = key ? key->value->n : 0;
    Bound low = { 0 }, high = { 0 };
    int64_t start, stop;

    *ret = (Span){ 0 };
    if (range->by == BY_PLACE) {
        if (!arg_number(call, 2, &start) || !arg_number(call, 3, &stop))
            return false;
        if (!range_clip(&start, &stop, n))
            return true;
        ret->from = range->is_reverse ? n - 1 - (size_t) stop : (size_t) start;
        ret->to = ret->from + (size_t) (stop - start + 1);
        return true;
    }
    bool (*read)(Str, Bound *) = range->by == BY_SCORE ? bound_of_score : bound_of_name;

    if (!read(call->argv[range->is_reverse ? 3 : 2], &low) ||
        !read(call->argv[range->is_reverse ? 2 : 3], &high)) {
        say_error(call, range->by == BY_SCORE ? "ERR min or max is not a float"
                                              : "ERR min or max not valid string range item");
        return false;
    }
    if (key)
        *ret = span_between(key->value, &low, &high, range->by == BY_NAME);
    return true;
}

/* The key and the places in it; the arguments are looked at before the key. */
static bool range_key(Call *call, const Range *range, DataKey **ret_key, Span *ret_span)
{
    return range_span(call, range, NULL, ret_span) && arg_key(call, 1, DATA_ZSET, ret_key) &&
           range_span(call, range, *ret_key, ret_span);
}

/* What LIMIT leaves of it. */
static Span span_limit(Span span, const Range *range)
{
    size_t n = span.to - span.from;
    size_t skip = (uint64_t) range->skip < n ? (size_t) range->skip : n;
    size_t most = n - skip;

    if (!range->has_limit)
        return span;
    if (range->skip < 0)
        return (Span){ 0 };
    if (range->most >= 0 && (uint64_t) range->most < most)
        most = (size_t) range->most;
    if (range->is_reverse)
        return (Span){ span.to - skip - most, span.to - skip };
    return (Span){ span.from + skip, span.from + skip + most };
}

/* Items as a reply; in RESP3 pairs are lists of their own when IS_PAIRS. */
static void say_items(Call *call, const DataKey *key, Span span, bool is_reverse, bool has_scores)
{
    size_t n = span.to - span.from;
    bool is_pairs = has_scores && call->is_resp3;

    say_list(call, has_scores && !is_pairs ? 2 * n : n);
    for (size_t i = 0; i < n; i++) {
        const DataItem *item = key->value->ranks[is_reverse ? span.to - 1 - i : span.from + i];

        if (is_pairs)
            say_list(call, 2);
        say_text(call, item->name);
        if (has_scores)
            say_real(call, item->score);
    }
}

static void range_reply(Call *call, Range *range, bool is_old)
{
    DataKey *key;
    Span span;

    if (!range_options(call, 4, is_old, range) || !range_key(call, range, &key, &span))
        return;
    say_items(call, key, span_limit(span, range), range->is_reverse, range->has_scores);
}

static void zrange(Call *call)
{
    Range range = { 0 };

    range_reply(call, &range, false);
}

static void zrevrange(Call *call)
{
    Range range = { .is_reverse = true };

    range_reply(call, &range, true);
}

static void zrangebyscore(Call *call)
{
    Range range = { .by = BY_SCORE };

    range_reply(call, &range, true);
}

static void zrevrangebyscore(Call *call)
{
    Range range = { .by = BY_SCORE, .is_reverse = true };

    range_reply(call, &range, true);
}

static void zrangebylex(Call *call)
{
    Range range = { .by = BY_NAME };

    range_reply(call, &range, true);
}

static void zrevrangebylex(Call *call)
{
    Range range = { .by = BY_NAME, .is_reverse = true };

    range_reply(call, &range, true);
}

static void count_span(Call *call, By by)
{
    Range range = { .by = by };
    DataKey *key;
    Span span;

    if (range_key(call, &range, &key, &span))
        say_number(call, (int64_t) (span.to - span.from));
}

static void zcount(Call *call)
{
    count_span(call, BY_SCORE);
}

static void zlexcount(Call *call)
{
    count_span(call, BY_NAME);
}

static void remove_span(Call *call, By by)
{
    Range range = { .by = by };
    DataKey *key;
    Span span;

    if (!range_key(call, &range, &key, &span))
        return;
    for (size_t i = span.from; i < span.to; i++)
        (void) item_remove(key->value, key->value->ranks[span.from]->name);
    say_number(call, (int64_t) (span.to - span.from));
    key_tidy(call, key);
}

static void zremrangebyrank(Call *call)
{
    remove_span(call, BY_PLACE);
}

static void zremrangebyscore(Call *call)
{
    remove_span(call, BY_SCORE);
}

static void zremrangebylex(Call *call)
{
    remove_span(call, BY_NAME);
}

/* ---- single items ---------------------------------------------------------------------------- */

static void zscore(Call *call)
{
    DataKey *key;
    const DataItem *item;

    if (!arg_key(call, 1, DATA_ZSET, &key))
        return;
    item = key ? item_find(key->value, call->argv[2]) : NULL;
    if (item)
        say_real(call, item->score);
    else
        say_null(call);
}

static void zmscore(Call *call)
{
    DataKey *key;

    if (!arg_key(call, 1, DATA_ZSET, &key))
        return;
    say_list(call, call->argc - 2);
    for (size_t i = 2; i < call->argc; i++) {
        const DataItem *item = key ? item_find(key->value, call->argv[i]) : NULL;

        if (item)
            say_real(call, item->score);
        else
            say_null(call);
    }
}

static void rank(Call *call, bool is_reverse)
{
    DataKey *key;
    const DataItem *item;
    size_t at;

    if (!arg_key(call, 1, DATA_ZSET, &key))
        return;
    item = key ? item_find(key->value, call->argv[2]) : NULL;
    if (!item)
        return say_null(call);
    at = item_rank(key->value, item);
    say_number(call, (int64_t) (is_reverse ? key->value->n - 1 - at : at));
}

static void zrank(Call *call)
{
    rank(call, false);
}

static void zrevrank(Call *call)
{
    rank(call, true);
}

static void pop(Call *call, bool is_max)
{
    DataKey *key;
    int64_t count = 1;

    if (call->argc > 3)
        return say_syntax(call);
    if (call->argc == 3 && str_to_i64(call->argv[2], 0, INT64_MAX, &count) < 0)
        return say_error(call, "ERR value is out of range, must be positive");
    if (!arg_key(call, 1, DATA_ZSET, &key))
        return;
    if (!key)
        return say_list(call, 0);
    if ((uint64_t) count > key->value->n)
        count = (int64_t) key->value->n;
    say_list(call, call->is_resp3 && call->argc == 3 ? (size_t) count : (size_t) count * 2);
    for (int64_t i = 0; i < count; i++) {
        DataItem *item = key->value->ranks[is_max ? key->value->n - 1 : 0];

        if (call->is_resp3 && call->argc == 3)
            say_list(call, 2);
        say_text(call, item->name);
        say_real(call, item->score);
        (void) item_remove(key->value, item->name);
    }
    key_tidy(call, key);
}

static void zpopmin(Call *call)
{
    pop(call, false);
}

static void zpopmax(Call *call)
{
    pop(call, true);
}

enum { W = COMMAND_WRITE, WG = COMMAND_WRITE | COMMAND_GROWS };

const Command redis_zset_commands[] = {
    { "zadd", zadd, -4, WG, 1, 1, 1 },
    { "zincrby", zincrby, 4, WG, 1, 1, 1 },
    { "zrange", zrange, -4, 0, 1, 1, 1 },
    { "zrevrange", zrevrange, -4, 0, 1, 1, 1 },
    { "zrangebyscore", zrangebyscore, -4, 0, 1, 1, 1 },
    { "zrevrangebyscore", zrevrangebyscore, -4, 0, 1, 1, 1 },
    { "zrangebylex", zrangebylex, -4, 0, 1, 1, 1 },
    { "zrevrangebylex", zrevrangebylex, -4, 0, 1, 1, 1 },
    { "zcount", zcount, 4, 0, 1, 1, 1 },
    { "zlexcount", zlexcount, 4, 0, 1, 1, 1 },
    { "zremrangebyrank", zremrangebyrank, 4, W, 1, 1, 1 },
    { "zremrangebyscore", zremrangebyscore, 4, W, 1, 1, 1 },
    { "zremrangebylex", zremrangebylex, 4, W, 1, 1, 1 },
    { "zscore", zscore, 3, 0, 1, 1, 1 },
    { "zmscore", zmscore, -3, 0, 1, 1, 1 },
    { "zrank", zrank, 3, 0, 1, 1, 1 },
    { "zrevrank", zrevrank, 3, 0, 1, 1, 1 },
    { "zpopmin", zpopmin, -2, W, 1, 1, 1 },
    { "zpopmax", zpopmax, -2, W, 1, 1, 1 },
    { 0 },
};
