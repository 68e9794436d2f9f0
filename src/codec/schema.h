/*
 * Schemas inside the engine: include/sluice/schema.h, and the types that it only names.
 */
#pragma once

#include "codec/json.h"
#include <sluice/schema.h>

/* Whether TEXT is what SCHEMA_NAME asks for, such as a type: "email.send". */
bool schema_is_name(Str text);
