/*
 * Help for flags: one line each, in two columns.
 *
 *   DATA, --data TEXT    what to hash (required)
 *   --rounds N           how often (1 to 1000000; default 1)
 *   --no-follow          without it: go where redirects lead
 *
 * The left column is written once to measure it and once for good; a flag that is longer than
 * LEFT_MAX keeps its line and pushes its summary to the right.
 */
#include "codec/schema.h"

#include "base/assert.h"
#include "codec/schema_int.h"
#include "codec/time_text.h"

#include <stdio.h>

#define LEFT_MAX   36
#define FLAG_BYTES 64

/* ---- the left column ------------------------------------------------------------------------- */

static const char *holder_of(const SchemaField *field)
{
    if (field->holder)
        return field->holder;
    switch (field->kind) {
    case SCHEMA_STR: return "TEXT";
    case SCHEMA_INT: return "N";
    case SCHEMA_REAL: return "X";
    case SCHEMA_BOOL: return "";
    case SCHEMA_DURATION: return "DURATION";
    case SCHEMA_TIME: return "TIME";
    case SCHEMA_URL: return "URL";
    case SCHEMA_ENUM: return "WORD";
    case SCHEMA_LIST: return holder_of(field->item);
    case SCHEMA_MAP: return "NAME=VALUE";
    case SCHEMA_OBJECT:
    case SCHEMA_JSON: return "JSON";
    }
    UNREACHABLE("a kind without a holder");
}

static bool is_on_by_default(const SchemaField *field)
{
    return field->kind == SCHEMA_BOOL && field->default_text &&
           strcmp(field->default_text, "true") == 0;
}

static void add_left(Buf *out, const SchemaField *field, const char *prefix)
{
    char flag[FLAG_BYTES];
    const char *holder = holder_of(field);

    (void) schema_flag_name(field, flag, sizeof(flag));
    if (field->positional > 0) {
        for (const char *c = flag; *c; c++)
            buf_add_char(out, *c >= 'a' && *c <= 'z' ? (char) (*c - 32) : *c);
        buf_add_c(out, ", ");
    }
    buf_printf(out, "--%s%s%s", is_on_by_default(field) ? "no-" : "", prefix, flag);
    if (holder[0] != '\0')
        buf_printf(out, " %s", holder);
}

/* ---- the right column ------------------------------------------------------------------------ */

/* Notes are put in one pair of brackets, with semicolons between. */
typedef struct Notes {
    Buf *out;
    bool is_open;
} Notes;

static void note(Notes *notes)
{
    buf_add_c(notes->out, notes->is_open ? "; " : " (");
    notes->is_open = true;
}

static void note_range(Notes *notes, const SchemaField *field)
{
    const SchemaRange *range = &field->range;
    char low[TIME_TEXT_BYTES], high[TIME_TEXT_BYTES];

    if (!range->is_set || (field->kind != SCHEMA_INT && field->kind != SCHEMA_DURATION))
        return;
    if (field->kind == SCHEMA_DURATION) {
        (void) duration_format(range->min, low);
        (void) duration_format(MIN(range->max, (int64_t) DURATION_MS_MAX), high);
    } else {
        snprintf(low, sizeof(low), "%lld", (long long) range->min);
        snprintf(high, sizeof(high), "%lld", (long long) range->max);
    }
    note(notes);
    if (range->max == INT64_MAX)
        buf_printf(notes->out, "at least %s", low);
    else if (range->min == INT64_MIN)
        buf_printf(notes->out, "at most %s", high);
    else
        buf_printf(notes->out, "%s to %s", low, high);
}

static void note_names(Notes *notes, const SchemaField *field)
{
    note(notes);
    for (int i = 0; field->names[i]; i++)
        buf_printf(notes->out, "%s%s", i > 0 ? ", " : "", field->names[i]);
}

static void add_right(Buf *out, const SchemaField *field)
{
    const SchemaField *value = field->kind == SCHEMA_LIST ? field->item : field;
    Notes notes = { .out = out };

    if (is_on_by_default(field)) /* the summary tells what is so then */
        buf_add_c(out, "without it: ");
    buf_add_c(out, field->summary ? field->summary : "");
    if (value->kind == SCHEMA_ENUM)
        note_names(&notes, value);
    note_range(&notes, value);
    if (value->kind == SCHEMA_REAL && value->real_range.is_set) {
        note(&notes);
        buf_printf(out, "%g to %g", value->real_range.min, value->real_range.max);
    }
    if (field->kind == SCHEMA_LIST || field->kind == SCHEMA_MAP) {
        note(&notes);
        buf_add_c(out, "may be repeated");
    }
    if (field->is_required) {
        note(&notes);
        buf_add_c(out, "required");
    } else if (field->default_text && field->kind != SCHEMA_BOOL && !field->is_secret) {
        note(&notes);
        buf_printf(out, "default %s", field->default_text);
    }
    if (notes.is_open)
        buf_add_char(out, ')');
    buf_add_char(out, '\n');
}

/* ---- all lines ------------------------------------------------------------------------------- */

/* Whether the fields of an object have flags of their own: "--retry.max 3". */
static bool has_inner_flags(const SchemaField *field)
{
    return field->kind == SCHEMA_OBJECT;
}

static void inner_prefix(const SchemaField *field, const char *prefix, char *out, size_t cap)
{
    char flag[FLAG_BYTES];
    int len;

    (void) schema_flag_name(field, flag, sizeof(flag));
    len = snprintf(out, cap, "%s%s.", prefix, flag);
    ASSERT((size_t) len < cap);
}

static size_t measure(Buf *scratch, const Schema *schema, const char *prefix)
{
    size_t widest = 0;

    for (size_t i = 0; i < schema->n_fields; i++) {
        const SchemaField *field = &schema->fields[i];
        char inner[FLAG_BYTES];
        size_t width;

        if (has_inner_flags(field)) {
            inner_prefix(field, prefix, inner, sizeof(inner));
            width = measure(scratch, field->schema, inner);
        } else {
            buf_reset(scratch);
            add_left(scratch, field, prefix);
            width = scratch->len;
        }
        if (width <= LEFT_MAX)
            widest = MAX(widest, width);
    }
    return widest;
}

static void add_lines(Buf *out, const Schema *schema, const char *prefix, size_t width)
{
    for (size_t i = 0; i < schema->n_fields; i++) {
        const SchemaField *field = &schema->fields[i];
        char inner[FLAG_BYTES];
        size_t begin;

        if (has_inner_flags(field)) {
            inner_prefix(field, prefix, inner, sizeof(inner));
            add_lines(out, field->schema, inner, width);
            continue;
        }
        buf_add_c(out, "  ");
        begin = out->len;
        add_left(out, field, prefix);
        do
            buf_add_char(out, ' ');
        while (!out->is_failed && out->len - begin < width + 2);
        add_right(out, field);
    }
}

void schema_flags_help(Buf *out, const Schema *schema)
{
    AUTO(buf_deinit) Buf scratch = { 0 };

    add_lines(out, schema, "", measure(&scratch, schema, ""));
}
