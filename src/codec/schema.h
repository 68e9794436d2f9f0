/*
 * Schemas inside the engine: include/sluice/schema.h, and the types that it only names.
 */
#pragma once

#include "codec/json.h"
#include <sluice/schema.h>
