/*
 * The runtime: fibers, and everything a fiber may wait for.
 *
 * Code above it reads like synchronous code. `sl_run` starts the runtime and runs a function as its
 * first fiber; inside, every fiber belongs to a nursery, every wait obeys the deadlines and
 * cancellations around it, and every call marked SL_SUSPENDS is a checkpoint: it may let other
 * fibers run, and it returns -ECANCELED when the fiber is cancelled.
 *
 *   rt/run.h      start and stop, loops, the clock
 *   rt/fiber.h    nurseries and fibers
 *   rt/scope.h    deadlines, cancellation, shields
 *   rt/chan.h     channels and select
 *   rt/sync.h     events, futures, mutexes, semaphores, rate limiters
 *   rt/io.h       descriptors: wait, read, write, accept
 *   rt/offload.h  functions on the thread pool, other loops, posting
 *   rt/file.h     files
 *   rt/process.h  child processes and signals
 *   rt/inspect.h  what runs, what it waits for, who stalls
 *
 * Results: 0 done; above zero an outcome of enum sl_outcome that the call documents; below zero an
 * error, -errno or one of Sluice's own codes. The words of the last error of a fiber are
 * `sl_error_text()`.
 */
#pragma once

#include <sluice/rt/chan.h>
#include <sluice/rt/fiber.h>
#include <sluice/rt/file.h>
#include <sluice/rt/inspect.h>
#include <sluice/rt/io.h>
#include <sluice/rt/offload.h>
#include <sluice/rt/process.h>
#include <sluice/rt/run.h>
#include <sluice/rt/scope.h>
#include <sluice/rt/sync.h>
