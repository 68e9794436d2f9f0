/*
 * YAML as JSON: configuration files read into the tree that schemas check, with line numbers.
 *
 * One document of YAML 1.2, core schema: mappings with scalar keys, sequences, strings, numbers,
 * booleans, null. Anchors and aliases work and are counted against the size of the result, so
 * that a billion laughs are refused. Refused with a line number: tags of other types, keys that
 * are no scalars, merge keys (<<), .inf and .nan, a second document, nesting beyond
 * LIMIT_JSON_DEPTH, text beyond LIMIT_YAML_BYTES. Keys that are given twice are refused by the
 * schema, as in JSON.
 */
#pragma once

#include "codec/json.h"
#include "codec/schema.h"

/* A document. Zeroed means none. Memory is the arena's. */
typedef struct YamlDoc {
    JsonDoc json;
    const char *name;      /* for messages: the file */
    const uint32_t *lines; /* of each value and key of the tree in document order, from 1 */
    size_t n_lines;
} YamlDoc;

/*
 * Parse TEXT; NAME is borrowed. An empty document has the root null.
 *
 * Returns 0, -ERR_INVALID ("sluice.yaml:12: …"), -ERR_TOO_LARGE, -ENOMEM, or -ERR_UNSUPPORTED in
 * a build without libfyaml.
 */
MUST int yaml_parse(Arena *arena, Str text, const char *name, YamlDoc *ret_doc);

/* The line of VALUE (a value or a key of DOC), from 1; 0 when it is not of DOC. */
unsigned yaml_line(const YamlDoc *doc, Json value);

/*
 * schema_decode of VALUE of DOC, the messages of which say where: "sluice.yaml:12: server.listn:
 * unknown key; did you mean "listen"?". ERRORS may be NULL. -ERR_CONFIG instead of -ERR_INVALID.
 */
MUST int yaml_decode(Arena *arena, const YamlDoc *doc, const Schema *schema, Json value, void *out,
                     SchemaErrors *errors);
