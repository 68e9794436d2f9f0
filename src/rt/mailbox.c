/*
 * Posting into a loop from any thread.
 *
 * The mailbox is one atomic pointer to a chain, newest first. A poster turns its chain round and
 * swings the pointer; the loop takes everything at once and turns it round again, so that tasks run
 * in the order in which each poster gave them. There is no ABA: nobody takes a single element.
 *
 * Whether to wake the loop: the poster reads is_asleep after it has posted, the loop reads the
 * mailbox after it has set is_asleep (sched.c). Of several posters that find it asleep, the one
 * that clears the flag wakes.
 */
#include "rt/loop_int.h"
#include "rt/sched_int.h"

#include <sluice/rt/offload.h>

static sl_task *chain_reverse(sl_task *chain)
{
    sl_task *reversed = NULL;

    while (chain) {
        sl_task *next = chain->next;

        chain->next = reversed;
        reversed = chain;
        chain = next;
    }
    return reversed;
}

void sl_post(sl_loop *loop, sl_task *chain)
{
    sl_task *oldest = chain;
    sl_task *newest;
    sl_task *head;

    ASSERT(loop && loop->tag == LOOP_TAG && chain);
    newest = chain_reverse(chain); /* OLDEST is its last */
    head = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);
    do {
        oldest->next = head;
    } while (!atomic_compare_exchange_weak(&loop->mailbox, &head, newest));
    if (atomic_load(&loop->is_asleep) && atomic_exchange(&loop->is_asleep, 0))
        loop->ops->wake(loop);
}

bool mailbox_is_empty(sl_loop *loop)
{
    return !atomic_load(&loop->mailbox);
}

bool mailbox_run(sl_loop *loop)
{
    sl_task *chain;

    if (!atomic_load_explicit(&loop->mailbox, memory_order_relaxed))
        return false;
    chain = chain_reverse(atomic_exchange(&loop->mailbox, NULL));
    while (chain) {
        sl_task *task = chain;

        chain = chain->next; /* the task may free itself */
        task->fn(task);
    }
    return true;
}

sl_loop *sl_loop_self(void)
{
    return rt_loop;
}

sl_loop *sl_loop_at(size_t index)
{
    ASSERT(rt_runtime && index < rt_runtime->n_loops);
    return rt_runtime->loops[index];
}
