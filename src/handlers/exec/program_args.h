/*
 * The argument of a declared handler, as its declaration says it:
 *
 *   args:
 *     image: {type: string, summary: the picture's path, required: true}
 *     width: {type: integer, min: 1, max: 4000, default: 320}
 *
 * It becomes a Schema like any other, so that a job is checked when it is pushed, and help,
 * completion, OpenAPI and the dashboard's form know the fields.
 */
#pragma once

#include "codec/yaml.h"

/* Read FIELDS, a value of DOC, as the argument of TYPE; it lives in ARENA. 0 or -ERR_CONFIG with
 * the line. */
MUST int program_args_read(Arena *arena, const YamlDoc *doc, Json fields, const char *type,
                           const Schema **ret_schema);
