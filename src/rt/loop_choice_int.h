/*
 * Making loops, for sl_run.
 */
#pragma once

#include "rt/loop_int.h"

typedef struct LoopChoice {
    const LoopOps *ops;
    const char *reason; /* static, or TEXT: the choice must outlive the loops */
    char text[160];
} LoopChoice;

/*
 * The backend for KIND; ENV is the value of SLUICE_LOOP (NULL when unset), looked at when KIND is
 * SL_LOOP_AUTO. 0, -ERR_UNSUPPORTED when what was asked for does not work here, -ERR_INVALID when
 * ENV is no name.
 */
MUST int loop_choose(enum sl_loop_kind kind, const char *env, LoopChoice *ret_choice);

/* A loop of RUNTIME, not running. To be made on the thread that will run it. 0 or an error. */
MUST int loop_new(Runtime *runtime, uint32_t index, const LoopChoice *choice, sl_loop **ret_loop);
void loop_free(sl_loop *loop); /* NULL is nothing */

/* The alternate signal stack of this thread, and the handler that names the fiber whose stack
 * overflowed. */
MUST int overflow_thread_start(void **ret_stack);
void overflow_thread_stop(void *stack);
void overflow_install(void);
void overflow_uninstall(void);
