/*
 * The limit: a ring of bare stacks switched by the fewest instructions that can do it, with no
 * scheduler, no cancellation and no clock. Prints nanoseconds a switch; what a runtime adds to it
 * is the runtime's price.
 *
 *   bare switch N
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define STACK_BYTES (64 << 10)

#if defined(__x86_64__)

static void **ring;
static long ring_len, at, left;
static void *home;

/* Save the callee-saved registers and the place to go on; go on where the other one stopped. */
__attribute__((naked, noinline)) static void bare_switch(__attribute__((unused)) void **save,
                                                         __attribute__((unused)) void *to)
{
    __asm__("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
            "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
            "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n"
            "popq %rcx\n jmp *%rcx\n");
}

static void turn(void)
{
    for (;;) {
        long mine = at;

        if (--left <= 0)
            bare_switch(&ring[mine], home);
        at = mine + 1 == ring_len ? 0 : mine + 1;
        bare_switch(&ring[mine], ring[at]);
    }
}

int main(int argc, char **argv)
{
    long n = argc > 2 ? atol(argv[2]) : 1000, switches = 20000000;
    struct timespec a, b;
    char *stacks;

    ring_len = n;
    ring = calloc((size_t) n, sizeof(void *));
    stacks = mmap(NULL, (size_t) n * STACK_BYTES, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!ring || stacks == MAP_FAILED)
        return 1;
    for (long i = 0; i < n; i++) {
        void **top = (void **) (void *) (stacks + (i + 1) * STACK_BYTES - 64 - (i % 8) * 64);

        *--top = (void *) (uintptr_t) turn;
        top -= 6;
        ring[i] = top;
    }
    left = n; /* once around, to touch every stack */
    bare_switch(&home, ring[0]);
    left = switches;
    clock_gettime(CLOCK_MONOTONIC, &a);
    bare_switch(&home, ring[at]);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.2f\n", (double) ((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec) /
                         (double) switches);
    return 0;
}

#else

int main(void)
{
    fprintf(stderr, "the bare switch is written for x86-64 only\n");
    return 1;
}

#endif
