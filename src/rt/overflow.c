/*
 * Stack overflow, told by name.
 *
 * A fiber that grows over its stack touches the guard page below it and gets SIGSEGV. The handler
 * runs on the thread's alternate stack, sees that the address lies in the guard of the fiber that
 * is running, writes one line and aborts. A fault anywhere else is not ours: the handler that was
 * there before is put back and the fault happens again.
 *
 * The handler calls only what a signal handler may: write, sigaction, abort.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rt/loop_choice_int.h"
#include "rt/stack_int.h"

enum { ALT_STACK_BYTES = 64 << 10, GUARD_REACH = 4096 };

/* What the process did on SIGSEGV before. One runtime at a time; written while no loop runs. */
static struct sigaction before;

static void put(const char *text)
{
    (void) !write(STDERR_FILENO, text, strlen(text)); /* there is no one to tell */
}

static void put_number(uint64_t n)
{
    char digits[24];
    char *p = digits + sizeof digits - 1;

    *p = '\0';
    do {
        *--p = (char) ('0' + n % 10);
        n /= 10;
    } while (n > 0);
    put(p);
}

static bool is_overflow(const sl_fiber *fiber, const char *address)
{
    return fiber->stack_low && address < fiber->stack_low &&
           address >= fiber->stack_low - GUARD_REACH;
}

static void on_segv(int number, siginfo_t *info, void *context)
{
    const sl_loop *loop = rt_loop;
    const sl_fiber *fiber = loop ? loop->current : NULL;

    (void) number;
    (void) context;
    if (!fiber || !is_overflow(fiber, info->si_addr)) {
        (void) sigaction(SIGSEGV, &before, NULL); /* and the instruction faults again */
        return;
    }
    put("stack overflow in fiber ");
    put(fiber->name);
    put(" (");
    put_number(fiber->id);
    put("), stack ");
    put_number(stack_slot_bytes(fiber) >> 10);
    put(" KiB: spawn it with a larger .stack_bytes\n");
    (void) signal(SIGABRT, SIG_DFL);
    abort();
}

void overflow_install(void)
{
    struct sigaction action = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    (void) sigemptyset(&action.sa_mask);
    if (sigaction(SIGSEGV, &action, &before) < 0)
        UNREACHABLE("SIGSEGV can be handled");
}

void overflow_uninstall(void)
{
    (void) sigaction(SIGSEGV, &before, NULL); /* what was there was accepted once */
}

int overflow_thread_start(void **ret_stack)
{
    stack_t old;
    stack_t alt = { .ss_size = ALT_STACK_BYTES };

    *ret_stack = NULL;
    if (sigaltstack(NULL, &old) == 0 && !(old.ss_flags & SS_DISABLE))
        return 0; /* a sanitizer or the program has set one */
    alt.ss_sp = mmap(NULL, ALT_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);
    if (alt.ss_sp == MAP_FAILED)
        return fail_errno("map a stack for signals");
    if (sigaltstack(&alt, NULL) < 0) {
        int r = fail_errno("set the stack for signals");

        (void) munmap(alt.ss_sp, ALT_STACK_BYTES); /* ours: cannot fail */
        return r;
    }
    *ret_stack = alt.ss_sp;
    return 0;
}

void overflow_thread_stop(void *stack)
{
    stack_t off = { .ss_flags = SS_DISABLE };

    if (!stack)
        return;
    (void) sigaltstack(&off, NULL);        /* it is ours and not in use */
    (void) munmap(stack, ALT_STACK_BYTES); /* ours: cannot fail */
}
