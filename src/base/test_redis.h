/*
 * For tests: which Redis there is.
 *
 * redis-server or, where that is not installed, valkey-server. The environment variable
 * SLUICE_TEST_REDIS names another (on the PATH, or its full path), so that the
 * same tests can be run on several; with a name that nothing has they are skipped.
 */
#pragma once

#include "base/mem.h"
#include "base/own.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEST_NO_REDIS     "there is no redis-server here, nor valkey-server"
#define TEST_NO_REDIS_TLS TEST_NO_REDIS ", or it has no TLS"

static inline bool test_has_program(const char *name)
{
    const char *folders = getenv("PATH") ?: "";
    AUTO(mem_free) char *path = mem_copy_c(folders, strlen(folders));
    char text[512];
    char *rest = NULL;

    if (strchr(name, '/'))
        return access(name, X_OK) == 0;
    for (char *dir = strtok_r(path, ":", &rest); dir; dir = strtok_r(NULL, ":", &rest)) {
        (void) snprintf(text, sizeof(text), "%s/%s", dir, name);
        if (access(text, X_OK) == 0)
            return true;
    }
    return false;
}

/* The server to start, or NULL when there is none. */
static inline const char *test_redis_program(void)
{
    const char *chosen = getenv("SLUICE_TEST_REDIS");

    if (chosen && chosen[0])
        return test_has_program(chosen) ? chosen : NULL;
    if (test_has_program("redis-server"))
        return "redis-server";
    return test_has_program("valkey-server") ? "valkey-server" : NULL;
}

/* Not every server is built with TLS. */
static inline bool test_redis_has_tls(void)
{
    const char *program = test_redis_program();
    char command[512];

    (void) snprintf(command, sizeof(command),
                    "ldd \"$(command -v '%s')\" 2>/dev/null | grep -q libssl", program ?: "");
    return program && system(command) == 0;
}
