/*
 * Text fields: what a line of text says, as names and values.
 *
 *   key_value  a=1 b="x y"        pairs, with a separator and a sign of one's own
 *   logfmt     level=info msg="x y" ok      the same; a name alone is true
 *   csv        1,"x y",3          cells, whose names are given
 *   regex      (?P<verb>[A-Z]+) (?P<path>[^ ]+)      the groups that have names
 *   pattern    {ip} - {user} [{time}] "{verb} {path}"   what stands between literal text
 *
 * In a pattern {} and {_} are passed over, {{ is a brace. Values are text, without their quotes; in
 * quotes \" \\ \n \t \r are what they are elsewhere. In csv an empty cell without quotes, elsewhere
 * an empty value without quotes is nothing.
 */
#pragma once

#include "rows/row.h"

typedef enum TextFormat {
    TEXT_KEY_VALUE,
    TEXT_LOGFMT,
    TEXT_CSV,
    TEXT_REGEX,
    TEXT_PATTERN
} TextFormat;

typedef struct TextFieldsOpts {
    TextFormat format;
    Str pattern;      /* REGEX, PATTERN */
    const Str *names; /* CSV: of the cells; an empty one is passed over */
    size_t n_names;
    char separator; /* KEY_VALUE, CSV; 0: a space, a comma */
    char assign;    /* KEY_VALUE; 0: "=" */
} TextFieldsOpts;

typedef struct TextFields TextFields;

/* Compile OPTS, whose texts are copied. 0 or -ERR_INVALID with words. */
MUST int text_fields_new(const TextFieldsOpts *opts, TextFields **ret_fields);
void text_fields_free(TextFields *fields);
DEFINE_AUTO(TextFields *, text_fields_free);

/* Whether lines are sure to have a value for NAME: a cell of CSV, a group, a field of the
 * pattern. */
bool text_fields_has_name(const TextFields *fields, Str name);

/* Takes a name and its value. IS_MADE: the text of VALUE is the reader's and is gone afterwards;
 * otherwise it is part of the line. 0, or an outcome that ends the reading. */
typedef int (*TextFieldsPut)(void *ctx, Str name, const RowValue *value, bool is_made);

enum { TEXT_FIELDS_WRONG = 1000 };

/* Read LINE. 0; TEXT_FIELDS_WRONG with *RET_WHY, static text; or what PUT returned. Not for several
 * threads at once. */
MUST int text_fields_read(TextFields *fields, Str line, TextFieldsPut put, void *ctx,
                          const char **ret_why);
