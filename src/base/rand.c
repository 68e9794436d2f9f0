/*
 * xoshiro256** seeded by splitmix64, and the kernel's entropy.
 *
 * The same seed gives the same numbers on every machine and in every version: the simulator's seeds
 * depend on it, and rand_test.c holds the first numbers of some seeds against the published
 * generators.
 */
#include "base/rand.h"

#include "base/assert.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, unsigned n)
{
    return (x << n) | (x >> (64 - n));
}

void rand_init(Rand *rand, uint64_t seed)
{
    for (size_t i = 0; i < ARRAY_LEN(rand->state); i++)
        rand->state[i] = splitmix(&seed);
}

uint64_t rand_u64(Rand *rand)
{
    uint64_t *s = rand->state;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    ASSERT(s[0] | s[1] | s[2] |
           s[3]); /* a state of zeros would give zeros for ever: rand_init was forgotten */
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

/* Lemire's method: the high half of a product is uniform once the few low halves that would favour
 * some are refused. */
uint64_t rand_below(Rand *rand, uint64_t bound)
{
    unsigned __int128 product;
    uint64_t refused;

    ASSERT(bound > 0);
    product = (unsigned __int128) rand_u64(rand) * bound;
    if ((uint64_t) product < bound) {
        refused = (0 - bound) % bound;
        while ((uint64_t) product < refused)
            product = (unsigned __int128) rand_u64(rand) * bound;
    }
    return (uint64_t) (product >> 64);
}

double rand_unit(Rand *rand)
{
    return (double) (rand_u64(rand) >> 11) * 0x1.0p-53;
}

void rand_bytes(Rand *rand, void *data, size_t len)
{
    char *out = data;

    while (len > 0) {
        uint64_t bits = rand_u64(rand);
        size_t n = MIN(len, sizeof bits);

        memcpy(out, &bits, n);
        out += n;
        len -= n;
    }
}

uint64_t rand_entropy(void)
{
    uint64_t bits = 0;
    ssize_t n;

    do {
        n = getrandom(&bits, sizeof bits, 0);
    } while (n < 0 && errno == EINTR);
    ASSERT(n == sizeof bits);
    return bits;
}
