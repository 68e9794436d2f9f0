/*
 * Where rows of jobs and direct runs may go: the engine's rule.
 *
 * Whoever may push a job must not thereby write files of the engine's machine or log in to its
 * databases. Files are written below `rows_dir` alone, named relative to it; databases only where
 * `rows_databases` lists their URL (without ?table= and what else is ours). Rows may become jobs of
 * this engine, for who pushes one job may push others. Without these settings rows belong into the
 * result and nowhere else.
 */
#pragma once

#include "app/config.h"
#include "worker/runner.h"

typedef struct RowsRule {
    const EngineConfig *config;
    const char *url; /* of the engine's API; "" until it listens, and where it has none */
} RowsRule;

/* RunDoors.allow_out; CTX is a RowsRule. -ERR_FORBIDDEN with words. */
MUST int rows_rule_allow(void *ctx, Arena *arena, Str out, Str *ret_out);
