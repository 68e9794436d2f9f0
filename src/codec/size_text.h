/*
 * Sizes in bytes as people write them: "100MiB", "64k", "1.5 GB", "4096". Pure.
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stdint.h>

/*
 * Parse a size: digits, perhaps a fraction, perhaps a unit. K, KiB, M, MiB, G, GiB, T, TiB count by
 * 1024, and kB, MB, GB, TB by 1000; case does not matter, B and nothing are bytes. A part of a byte
 * is cut. 0 or -ERR_INVALID with words.
 */
MUST int size_parse(Str text, int64_t *ret_bytes);
