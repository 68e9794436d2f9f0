/*
 * Fuzz: the texts of sinks. What is taken has a driver that offers its mode and a target; what is
 * shown holds no password.
 */
#include "base/assert.h"
#include "base/err.h"
#include "rows/aggregate_spec.h"
#include "rows/sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The same text with a password put in, where it is one of a connection: never shown. */
static void check_password(Arena *arena, Str text)
{
    static const Str secret = STR("GeHeIm99");
    Str rest = text, scheme = str_cut(text, ':', &rest);
    SinkSpec spec;

    if (!str_starts(rest, str_from_c("//")) || str_contains(text, secret))
        return;
    text = arena_printf(arena, "%.*s://u:%.*s@%.*s", (int) scheme.len, scheme.data,
                        (int) secret.len, secret.data, (int) rest.len - 2, rest.data + 2);
    if (sink_spec_parse(arena, text, &spec) == 0)
        ASSERT(!str_contains(spec.text, secret));
    else
        ASSERT(!str_contains(str_from_c(err_peek()->text), secret));
}

static void check_aggregates(Str text)
{
    static const RowColumn columns[] = { { .name = STR("a") }, { .name = STR("b") } };
    AggregateSpec spec;
    Str rest, first = str_cut(text, '\n', &rest);

    if (aggregate_spec_parse(first, rest, columns, 2, &spec) < 0)
        return;
    ASSERT(spec.n_groups <= 2 && spec.n_outputs > 0);
    for (size_t i = 0; i < spec.n_outputs; i++)
        ASSERT(spec.outputs[i].column < 2 && spec.outputs[i].percentile <= 100);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str text = str_from((const char *) data, len);
    SinkSpec spec;

    check_aggregates(text);
    if (sink_spec_parse(&arena, text, &spec) == 0) {
        ASSERT(spec.driver && spec.target.len > 0 && spec.text.len > 0);
        ASSERT(spec.driver->modes & 1u << spec.mode);
        ASSERT((spec.mode == SINK_UPSERT) == (spec.n_keys > 0));
        ASSERT(spec.n_pairs <= SINK_PAIRS_MAX);
        for (size_t i = 0; i < spec.n_pairs; i++)
            ASSERT(spec.pairs[i].option->max == 0 ||
                   spec.pairs[i].number <= spec.pairs[i].option->max);
    }
    if (len > 0 && str_is_utf8(text) && !memchr(text.data, '\0', len))
        check_password(&arena, text);
    return 0;
}
