/*
 * Notes on a plan: what is right, and may surprise all the same.
 *
 * Steps that remember rows (window, dedupe, throttle) do so in each lane for itself. That is what
 * people expect only if all rows of one series go through the same lane, which they do when the
 * columns that name a series hold all those by which consumers share the rows.
 */
#include "base/macro.h"
#include "codec/json.h"
#include "pipeline/plan.h"

/* Steps that remember, and the setting that names their series. */
typedef struct Remembering {
    const char *step;
    const char *setting;
    bool is_whole_row; /* without it all columns name the series, otherwise none does */
    const char *what;  /* each lane has of its own */
} Remembering;

static const Remembering remembering[] = {
    { "window", "by", false, "windows" },
    { "dedupe", "key", true, "rows that it knows" },
    { "throttle", "by", false, "rate" },
};

static const Remembering *remembering_of(const PlanStep *step)
{
    for (size_t i = 0; i < ARRAY_LEN(remembering); i++) {
        if (strcmp(step->driver->name, remembering[i].step) == 0)
            return &remembering[i];
    }
    return NULL;
}

/* Whether COLUMNS, a list or one text, hold NAME. */
static bool has_column(Json columns, Str name)
{
    Str text;

    if (json_get_str(columns, &text))
        return str_eq(text, name);
    for (JsonIter it = json_iter(json_is_array(columns) ? columns : NULL); json_next(&it);) {
        if (json_get_str(it.value, &text) && str_eq(text, name))
            return true;
    }
    return false;
}

/* The first column of the consumers' key that does not name the series of STEP; empty: all do. */
static Str lacking_column(const Plan *plan, const PlanStep *step, const Remembering *kind)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    const SchemaList *key = &plan->config.consumers.key;
    const Str *names = key->items;
    JsonDoc doc = { 0 };
    Json columns;
    Str settings;

    (void) str_cut(step->json, ' ', &settings);
    if (settings.len > 0 && json_parse(&arena, settings, &doc) < 0)
        return str_from(NULL, 0);
    columns = json_find(doc.root, kind->setting);
    if (kind->is_whole_row && json_len(columns) == 0)
        return str_from(NULL, 0);
    for (size_t i = 0; i < key->len; i++) {
        if (!has_column(columns, names[i]))
            return names[i];
    }
    return str_from(NULL, 0);
}

static void note_of_step(const Plan *plan, const PlanStep *step, Buf *note)
{
    const Remembering *kind = remembering_of(step);
    Str column;

    if (!kind)
        return;
    if (plan->config.consumers.key.len == 0 && plan->n_sources > 1) {
        buf_printf(note,
                   "%.*s: without a consumers.key the consumers share the rows by their source, "
                   "and each of them has %s of its own; give the columns of `%s` as consumers.key",
                   (int) step->name.len, step->name.data, kind->what, kind->setting);
        return;
    }
    column = lacking_column(plan, step, kind);
    if (column.len > 0)
        buf_printf(note,
                   "%.*s: `%s` does not hold %.*s, by which the consumers share the rows; each of "
                   "them has %s of its own, so one series is seen several times. Add it to `%s`, "
                   "take it out of consumers.key, or take one consumer",
                   (int) step->name.len, step->name.data, kind->setting, (int) column.len,
                   column.data, kind->what, kind->setting);
}

static void tell_of_consumers(const Plan *plan, void (*tell)(void *ctx, Str note), void *ctx)
{
    AUTO(buf_deinit) Buf note = { 0 };

    if (plan->config.consumers.count < 2)
        return;
    if (plan->config.consumers.key.len == 0 && plan->n_sources == 1)
        tell(ctx, str_from_c("consumers: without a key they share the rows by their source, and "
                             "there is one: one of them works. Give consumers.key"));
    for (size_t i = 0; i < plan->n_steps; i++) {
        buf_reset(&note);
        note_of_step(plan, &plan->steps[i], &note);
        if (note.len > 0)
            tell(ctx, buf_str(&note));
    }
}

/* What is refused is kept anywhere, and can be fed back from where it is read. */
static void tell_of_letters(const Plan *plan, void (*tell)(void *ctx, Str note), void *ctx)
{
    const SinkDriver *driver = plan->dead_letters.spec.driver;
    AUTO(buf_deinit) Buf note = { 0 };

    if (!driver || strcmp(driver->name, "jsonl") == 0)
        return;
    buf_printf(&note,
               "dead_letters: `sluice ingest replay` reads files of JSON lines alone, so what goes "
               "to %s is kept and cannot be fed back; give a file (jsonl:NAME.dead.jsonl) if it "
               "is to be",
               driver->name);
    tell(ctx, buf_str(&note));
}

void plan_notes(const Plan *plan, void (*tell)(void *ctx, Str note), void *ctx)
{
    if (plan->is_stateful && plan->config.state.len == 0)
        tell(ctx, str_from_c("steps keep state, and no folder is given for it (state:): a restart "
                             "begins with empty windows"));
    tell_of_letters(plan, tell, ctx);
    tell_of_consumers(plan, tell, ctx);
}
