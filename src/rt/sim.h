/*
 * The simulated loop, for tests above the runtime: a virtual clock, an order decided by a seed,
 * faults on request.
 *
 * Under SL_LOOP_SIM everything that happens follows from the seed. The clock stands still while
 * fibers run (but for a hair, so that a loop that waits for it ends) and jumps to the next timer
 * when nobody can run. Code under test places fault points: `if (sl_sim_chance("lmdb.short_write"))
 * …`; each is on for about half of the seeds, and then strikes at the rate that the test has set.
 * Outside the simulated loop all of these are cheap and say no.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Whether the calling thread runs a simulated loop. */
bool sl_sim_is_on(void);

/* The seed of this run; 0 when not simulated. */
uint64_t sl_sim_seed(void);

/* Whether the fault point POINT (a fixed text, unique to the place) strikes now. */
bool sl_sim_chance(const char *point);

/*
 * How often fault points strike, 0 … 1; at the start 0. The runtime has points of its own:
 * rt.time_jump (the clock jumps ahead by up to 10 s), rt.slow_offload (a pool thread takes up to a
 * second), rt.short_read and rt.short_write (sl_file_* does half).
 */
void sl_sim_set_fault(double rate);

/* A random duration in [MIN_NS, MAX_NS]; MIN_NS when not simulated. */
int64_t sl_sim_delay_ns(int64_t min_ns, int64_t max_ns);

/* Step the wall clock by MS, forward or back. The monotonic clock is not touched. */
void sl_sim_step_wall(int64_t ms);

/* A number that differs, as good as always, when anything was picked or timed differently since the
 * start. */
uint64_t sl_sim_trace(void);

/*
 * Say that DELTA more (or fewer) answers are on their way from outside the simulation: a thread, a
 * signal. While there are any, a loop with nothing to do waits for them instead of reporting a
 * deadlock. What they bring is not repeatable.
 */
void sl_sim_expect(int delta);
