/*
 * The switch from one stack to another, in the place where it is needed.
 *
 * Inline, so that the compiler saves only the registers that are alive there: the assembly keeps
 * stack pointer, frame pointer and resume address, and says that it destroys all other registers.
 * It ends in an indirect jump and not in a return, because a return to an address that no call has
 * pushed is mispredicted each time. The floating-point control words (mxcsr, x87, fpcr) are not
 * switched: a fiber that changes the rounding mode changes it for its whole loop.
 *
 * Nothing may be kept across the switch, or the compiler keeps it in memory from the start:
 * switch_stack gives the resumed fiber itself back, since whoever resumes it holds it in the
 * register of TO.
 *
 * The first three fields of struct sl_fiber are what the assembly stores to and loads from. A new
 * fiber has a stack pointer as a function finds it at its entry, a zero frame pointer and a zero
 * return address, at which unwinders stop.
 */
#pragma once

#include "rt/rt_int.h"

STATIC_ASSERT(offsetof(struct sl_fiber, sp) == 0, "the switch stores the stack pointer at 0");
STATIC_ASSERT(offsetof(struct sl_fiber, fp) == 8, "the switch stores the frame pointer at 8");
STATIC_ASSERT(offsetof(struct sl_fiber, pc) == 16, "the switch stores the resume address at 16");

#if defined(__x86_64__)

#if defined(__AVX512F__)
#define SWITCH_MORE_                                                                              \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",   \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", \
        "k7"
#else
#define SWITCH_MORE_
#endif

#if defined(__CET__)
#define SWITCH_LANDING_ "endbr64\n\t"
#else
#define SWITCH_LANDING_
#endif

/* Go from FROM to TO. Returns FROM, when somebody has gone to it again. */
static inline __attribute__((always_inline)) sl_fiber *switch_stack(sl_fiber *from, sl_fiber *to)
{
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
                     "movq %%rsp, 0(%%rdi)\n\t"
                     "movq %%rbp, 8(%%rdi)\n\t"
                     "movq %%rax, 16(%%rdi)\n\t"
                     "movq 0(%%rsi), %%rsp\n\t"
                     "movq 8(%%rsi), %%rbp\n\t"
                     "jmpq *16(%%rsi)\n\t"
                     "1:\n\t" SWITCH_LANDING_
                     : "+D"(from), "+S"(to)
                     :
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                       "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "st",
                       "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "memory",
                       "cc" SWITCH_MORE_);
    return to;
}

/* Where a new fiber's stack pointer stands below TOP (aligned to 16): a return address of zero has
 * been pushed. */
static inline void *switch_first_sp(void *top)
{
    void **sp = (void **) top - 1;

    *sp = NULL;
    return sp;
}

#elif defined(__aarch64__)

static inline __attribute__((always_inline)) sl_fiber *switch_stack(sl_fiber *from, sl_fiber *to)
{
    register sl_fiber *x0 __asm__("x0") = from;
    register sl_fiber *x1 __asm__("x1") = to;

    __asm__ volatile("adr x16, 1f\n\t"
                     "mov x17, sp\n\t"
                     "stp x17, x29, [x0]\n\t"
                     "str x16, [x0, #16]\n\t"
                     "ldp x17, x29, [x1]\n\t"
                     "ldr x16, [x1, #16]\n\t"
                     "mov sp, x17\n\t"
                     "mov x30, xzr\n\t"
                     "br x16\n\t"
                     "1: hint #36\n\t" /* bti j, where branch targets are checked */
                     : "+r"(x0), "+r"(x1)
                     :
                     : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
                       "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24",
                       "x25", "x26", "x27", "x28", "x30", "v0", "v1", "v2", "v3", "v4", "v5", "v6",
                       "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17",
                       "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28",
                       "v29", "v30", "v31", "memory", "cc");
    return x1;
}

/* Where a new fiber's stack pointer stands below TOP (aligned to 16). The switch leaves a return
 * address of zero. */
static inline void *switch_first_sp(void *top)
{
    return top;
}

#else
#error "the switch is written for x86-64 and aarch64"
#endif
