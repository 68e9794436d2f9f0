/*
 * The command line over schemas: words become the text of a JSON object, which is then decoded
 * like any other, so that a flag and a field of a request obey the same rules and fail in the
 * same words.
 *
 *   --rounds 5 --header a=b --header c=d --retry.max 3 file
 *     -> [rounds]"5" [header]"a=b" [header]"c=d" [retry,max]"3" [path]"file"      collected
 *     -> {"path":"file","rounds":5,"header":{"a":"b","c":"d"},"retry":{"max":3}}  written
 *     -> the struct                                                               decoded
 *
 * First every word is given its field (a chain of fields where objects nest), then the object is
 * written in the order of the table. The values at this point are only as good as their spelling:
 * "--rounds x" is written as the string "x", and decoding says what is wrong with it.
 */
#include "codec/schema.h"

#include "base/assert.h"
#include "base/err.h"
#include "codec/schema_int.h"
#include "codec/suggest.h"

#include <stdio.h>

#define FLAG_BYTES 64

/* The way to a field: one more for each object around it. */
typedef struct Chain {
    const SchemaField *fields[SCHEMA_DEPTH_MAX];
    unsigned len;
} Chain;

/* A value that was given, and for which field. */
typedef struct Given {
    Chain chain;
    size_t set;
    Str text;
} Given;

typedef struct FlagReader {
    Arena *arena;
    SchemaFlags *sets;
    size_t n_sets;
    const char *const *args;
    size_t n_args;
    size_t next; /* index of the next word */
    int n_words; /* positional words so far */
    bool is_past_dashes;
    Given *given; /* room for n_args */
    size_t n_given;
} FlagReader;

/* ---- finding a flag -------------------------------------------------------------------------- */

static const SchemaField *find_flag(const Schema *schema, Str name)
{
    char flag[FLAG_BYTES];

    for (size_t i = 0; i < schema->n_fields; i++)
        if (str_eq(schema_flag_name(&schema->fields[i], flag, sizeof(flag)), name))
            return &schema->fields[i];
    return NULL;
}

/* Follow "retry.max" from SCHEMA; false when there is no such flag. */
static bool find_chain(const Schema *schema, Str name, Chain *ret_chain)
{
    Chain chain = { .len = 0 };
    Str rest = name;

    while (chain.len < SCHEMA_DEPTH_MAX) {
        const SchemaField *field = find_flag(schema, str_cut(rest, '.', &rest));

        if (!field)
            return false;
        chain.fields[chain.len++] = field;
        if (rest.len == 0) {
            *ret_chain = chain;
            return true;
        }
        if (field->kind != SCHEMA_OBJECT)
            return false;
        schema = field->schema;
    }
    return false;
}

static bool find_in_sets(const FlagReader *reader, Str name, Given *given)
{
    for (given->set = 0; given->set < reader->n_sets; given->set++)
        if (find_chain(reader->sets[given->set].schema, name, &given->chain))
            return true;
    return false;
}

static const SchemaField *last_of(const Chain *chain)
{
    return chain->fields[chain->len - 1];
}

static bool is_same_chain(const Chain *a, const Chain *b)
{
    return a->len == b->len && memcmp(a->fields, b->fields, a->len * sizeof(a->fields[0])) == 0;
}

static int fail_unknown(const FlagReader *reader, Str name)
{
    char flag[FLAG_BYTES], best[FLAG_BYTES] = "";
    Suggest suggest = { .word = name };

    for (size_t s = 0; s < reader->n_sets; s++) {
        const Schema *schema = reader->sets[s].schema;

        for (size_t i = 0; i < schema->n_fields; i++) {
            Str candidate = schema_flag_name(&schema->fields[i], flag, sizeof(flag));
            Str before = suggest.best;

            suggest_consider(&suggest, candidate);
            if (suggest.best.data == before.data)
                continue;
            memcpy(best, flag, sizeof(best));
            suggest.best.data = best;
        }
    }
    if (suggest.best.len > 0)
        return fail(-ERR_USAGE, "--%.*s: unknown flag; did you mean --%s?", (int) name.len,
                    name.data, best);
    return fail(-ERR_USAGE, "--%.*s: unknown flag", (int) name.len, name.data);
}

/* ---- collecting ------------------------------------------------------------------------------ */

static bool may_repeat(const SchemaField *field)
{
    return field->kind == SCHEMA_LIST || field->kind == SCHEMA_MAP;
}

/* Whether the value of a flag is the text of JSON itself. */
static bool is_json_text(const SchemaField *field)
{
    return field->kind == SCHEMA_JSON || field->kind == SCHEMA_OBJECT ||
           field->kind == SCHEMA_MAP || field->kind == SCHEMA_LIST;
}

/* Keep GIVEN, whose flag the user wrote as NAME. */
static int add_given(FlagReader *reader, const Given *given, Str name)
{
    const SchemaField *field = last_of(&given->chain);
    JsonDoc doc;

    for (size_t i = 0; !may_repeat(field) && i < reader->n_given; i++)
        if (reader->given[i].set == given->set &&
            is_same_chain(&reader->given[i].chain, &given->chain))
            return fail(-ERR_USAGE, "%.*s: given twice", (int) name.len, name.data);
    if (field->kind == SCHEMA_MAP && str_find(given->text, '=') <= 0)
        return fail(-ERR_USAGE, "%.*s: must be name=value, got \"%.*s\"", (int) name.len, name.data,
                    (int) MIN(given->text.len, 40ul), given->text.data);
    if (field->kind != SCHEMA_MAP &&
        is_json_text(field->kind == SCHEMA_LIST ? field->item : field) &&
        json_parse(reader->arena, given->text, &doc) < 0)
        return fail(-ERR_USAGE, "%.*s: must be JSON, got \"%.*s\"", (int) name.len, name.data,
                    (int) MIN(given->text.len, 40ul), given->text.data);
    ASSERT(reader->n_given < reader->n_args);
    reader->given[reader->n_given++] = *given;
    return 0;
}

/* "--no-follow" for the flag follow. */
static bool find_negated(const FlagReader *reader, Str name, Given *given)
{
    return str_starts(name, (Str) STR("no-")) &&
           find_in_sets(reader, str_sub(name, 3, name.len), given) &&
           last_of(&given->chain)->kind == SCHEMA_BOOL;
}

/* WORD begins with two dashes. */
static int read_flag(FlagReader *reader, Str word)
{
    Str value, name = str_cut(str_sub(word, 2, word.len), '=', &value);
    bool has_value = str_find(word, '=') >= 0;
    Given given = { .set = 0 };

    if (!find_in_sets(reader, name, &given)) {
        if (has_value || !find_negated(reader, name, &given))
            return fail_unknown(reader, name);
        given.text = (Str) STR("false");
        return add_given(reader, &given, word);
    }
    if (has_value)
        given.text = value;
    else if (last_of(&given.chain)->kind == SCHEMA_BOOL)
        given.text = (Str) STR("true");
    else if (reader->next < reader->n_args)
        given.text = str_from_c(reader->args[reader->next++]);
    else
        return fail(-ERR_USAGE, "--%.*s: its value is missing", (int) name.len, name.data);
    return add_given(reader, &given, str_sub(word, 0, name.len + 2));
}

/* The field that takes the N-th word, or a list that takes all words from an earlier one on. */
static bool find_positional(const FlagReader *reader, int n, Given *given)
{
    for (size_t s = 0; s < reader->n_sets; s++) {
        const Schema *schema = reader->sets[s].schema;

        for (size_t i = 0; i < schema->n_fields; i++) {
            const SchemaField *field = &schema->fields[i];

            if (field->positional != n &&
                !(may_repeat(field) && field->positional > 0 && field->positional < n))
                continue;
            given->set = s;
            given->chain = (Chain){ .fields = { field }, .len = 1 };
            return true;
        }
    }
    return false;
}

static int read_positional(FlagReader *reader, Str word)
{
    Given given = { .text = word };

    if (!find_positional(reader, ++reader->n_words, &given))
        return fail(-ERR_USAGE, "\"%.*s\": unexpected word", (int) MIN(word.len, 60ul), word.data);
    return add_given(reader, &given, word);
}

static int read_words(FlagReader *reader)
{
    int r = 0;

    while (r == 0 && reader->next < reader->n_args) {
        Str word = str_from_c(reader->args[reader->next++]);

        if (!str_is_utf8(word))
            return fail(-ERR_USAGE, "word %zu of the command line is not UTF-8", reader->next);
        if (reader->is_past_dashes || word.len < 2 || word.data[0] != '-')
            r = read_positional(reader, word);
        else if (str_eq_c(word, "--"))
            reader->is_past_dashes = true;
        else if (word.data[1] == '-')
            r = read_flag(reader, word);
        else
            r = fail(-ERR_USAGE, "%.*s: unknown flag; flags begin with two dashes",
                     (int) MIN(word.len, 60ul), word.data);
    }
    return r;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The next given value at or behind *i whose chain begins with PREFIX; NULL: no more. */
static const Given *next_given(const FlagReader *reader, size_t set, const Chain *prefix, size_t *i)
{
    for (; *i < reader->n_given; ++*i) {
        const Given *given = &reader->given[*i];

        if (given->set == set && given->chain.len >= prefix->len &&
            memcmp(given->chain.fields, prefix->fields, prefix->len * sizeof(prefix->fields[0])) ==
                0) {
            ++*i;
            return given;
        }
    }
    return NULL;
}

static void write_object(JsonWriter *writer, const FlagReader *reader, size_t set,
                         const Schema *schema, const Chain *around);

static void write_field(JsonWriter *writer, const FlagReader *reader, size_t set,
                        const Chain *chain)
{
    const SchemaField *field = last_of(chain);
    size_t i = 0;
    const Given *given = next_given(reader, set, chain, &i);

    if (!given)
        return;
    json_write_key(writer, field->name);
    if (field->kind == SCHEMA_LIST) {
        json_write_array(writer);
        for (; given; given = next_given(reader, set, chain, &i))
            schema_write_text(writer, field->item, given->text);
        json_write_array_end(writer);
    } else if (field->kind == SCHEMA_MAP) {
        json_write_object(writer);
        for (; given; given = next_given(reader, set, chain, &i)) {
            Str value, name = str_cut(given->text, '=', &value);

            json_write_key_str(writer, name);
            json_write_str(writer, value);
        }
        json_write_object_end(writer);
    } else if (field->kind == SCHEMA_OBJECT && given->chain.len > chain->len) {
        write_object(writer, reader, set, field->schema, chain);
    } else {
        schema_write_text(writer, field, given->text);
    }
}

static void write_object(JsonWriter *writer, const FlagReader *reader, size_t set,
                         const Schema *schema, const Chain *around)
{
    Chain chain = *around;

    ASSERT(chain.len < SCHEMA_DEPTH_MAX);
    chain.len++;
    json_write_object(writer);
    for (size_t i = 0; i < schema->n_fields; i++) {
        chain.fields[chain.len - 1] = &schema->fields[i];
        write_field(writer, reader, set, &chain);
    }
    json_write_object_end(writer);
}

static int finish_set(const FlagReader *reader, size_t set)
{
    static const SchemaDecodeOpts opts = { .is_flags = true };
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter writer = JSON_WRITER(&text);
    SchemaFlags *flags = &reader->sets[set];
    char *copy;
    int r;

    write_object(&writer, reader, set, flags->schema, &(Chain){ .len = 0 });
    r = buf_check(&text);
    if (r < 0)
        return r;
    copy = arena_try(reader->arena, text.len);
    if (!copy)
        return fail(-ENOMEM, "no memory for the command line");
    memcpy(copy, text.data, text.len);
    flags->json = str_from(copy, text.len);
    if (!flags->out)
        return 0;
    return schema_decode_text(reader->arena, flags->schema, flags->json, flags->out, &opts);
}

int schema_from_flags(Arena *arena, SchemaFlags *sets, size_t n_sets, const char *const *args,
                      size_t n)
{
    FlagReader reader = {
        .arena = arena,
        .sets = sets,
        .n_sets = n_sets,
        .args = args,
        .n_args = n,
    };
    int r;

    reader.given = arena_try(arena, (n + 1) * sizeof(Given));
    if (!reader.given)
        return fail(-ENOMEM, "no memory for the command line");
    r = read_words(&reader);
    for (size_t set = 0; r == 0 && set < n_sets; set++)
        r = finish_set(&reader, set);
    return r;
}
