/* The process that is a box. */
#pragma once

#include <sluice/handler.h>

#include <stdint.h>

typedef struct BoxInsideOpts {
    const Handler *const *handlers;
    size_t n_handlers;
    int socket; /* to the engine, keeps messages apart */
    int input, output;
    uint32_t missing; /* walls, as sandbox_enter gave them */
    uint64_t memory_bytes;
} BoxInsideOpts;

/* Prepare, shut the door, and run what comes until the engine has gone. Returns the exit code. */
int box_inside_main(const BoxInsideOpts *opts);
