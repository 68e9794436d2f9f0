/*
 * What the parts of the schema code share: the facts of kinds and patterns.
 */
#pragma once

#include "codec/schema.h"

/* What a pattern is called, how JSON Schema says it, and how it is checked. */
typedef struct SchemaPatternInfo {
    const char *regex; /* ECMA-262 */
    const char *words; /* "must …" */
    bool (*matches)(Str text);
} SchemaPatternInfo;

/* NULL for SCHEMA_ANY_TEXT. */
const SchemaPatternInfo *schema_pattern_info(SchemaPattern pattern);

/* Bytes of FIELD's member in its struct. */
size_t schema_member_bytes(const SchemaField *field);

/* The index of WORD in the names of FIELD, or -1. */
int schema_name_index(const SchemaField *field, Str word);

/*
 * Write TEXT, given on the command line (or as a default) for FIELD, as the JSON that decodes to
 * it. What cannot be read as FIELD's kind is written as a string, for the decoder to complain of.
 * LIST, MAP, OBJECT and JSON take the text of JSON itself, which must be valid.
 */
void schema_write_text(JsonWriter *writer, const SchemaField *field, Str text);

/* Whether TEXT is a number as JSON spells it. */
bool schema_is_json_number(Str text);

/* ---- the decoder and its complaints ---------------------------------------------------------- */

#define SCHEMA_SHOWN_BYTES 80
#define SCHEMA_FLAG_BYTES  64

typedef struct SchemaDecoder {
    Arena *arena;
    const SchemaDecodeOpts *opts;
    const JsonDoc *doc; /* NULL: JSON fields get no source text */
    SchemaErrors *errors;
    Json object;       /* the one that is walked */
    Json beside;       /* whose members count for what the next one leaves out; NULL: none */
    bool lacks_memory; /* nothing else is to be trusted */
} SchemaDecoder;

/* Add a complaint on AT, which stands at PATH. */
void schema_complain(SchemaDecoder *decoder, const JsonPath *path, Json at, const char *fmt, ...)
    SL_PRINTF(4, 5);

/* What was given, for "got …"; OUT has SCHEMA_SHOWN_BYTES, and may not be what is returned. */
const char *schema_show(const SchemaField *field, Json value, char *out);

/* "must be an integer, got true" */
void schema_complain_kind(SchemaDecoder *decoder, const SchemaField *field, Json value,
                          const JsonPath *path);

bool schema_is_outside(const SchemaRange *range, int64_t value);

/* "must be between 1 and 9, got 12": VERB is "be" or "have", UNIT " characters" or empty. */
void schema_complain_range(SchemaDecoder *decoder, const SchemaRange *range, Json value,
                           const char *verb, const char *unit, const char *got,
                           const JsonPath *path);

/* Complain if COUNT characters, entries or bytes are outside of FIELD's range. */
void schema_check_count(SchemaDecoder *decoder, const SchemaField *field, Json value, size_t count,
                        const char *unit, const JsonPath *path);
