/*
 * Random numbers from a seed: xoshiro256** (Blackman and Vigna), seeded by splitmix64.
 *
 * For jitter, ids and the simulator: fast, repeatable, not for secrets. rand_entropy() asks the
 * kernel.
 */
#pragma once

#include <stdint.h>
#include <stddef.h>

typedef struct Rand {
    uint64_t state[4];
} Rand;

void rand_init(Rand *rand, uint64_t seed);
uint64_t rand_u64(Rand *rand);
uint64_t rand_below(Rand *rand, uint64_t bound); /* uniform in [0, bound); bound > 0 */
double rand_unit(Rand *rand);                    /* uniform in [0, 1) */
void rand_bytes(Rand *rand, void *data, size_t len);

/* 64 bits from the kernel (getrandom). Never fails on the systems we run on. */
uint64_t rand_entropy(void);
