/*
 * What the parts of the YAML code share.
 */
#pragma once

#include "codec/json.h"

/*
 * Write one scalar as JSON: resolved by the core schema when it is plain or its tag says so, as a
 * string otherwise. TAG is empty or a whole tag. 0 or -ERR_INVALID with words.
 */
MUST int yaml_write_scalar(JsonWriter *writer, Str text, bool is_plain, Str tag);

/* Whether TAG is the one every mapping, or every sequence, has anyway. */
bool yaml_is_container_tag(Str tag, bool is_mapping);
