#include "rt/leaf.h"

int calls_unmarked(int n)
{
    return wait_leaf(n);
}

SUSPENDS int marked_for_nothing(int n)
{
    return n + 1;
}

static int inner(Ops *ops)
{
    return ops->read(3);
}

int cleans_up(void);
int cleans_up(void)
{
    AUTO(thing_close) int *thing = 0;
    return thing != 0;
}

SUSPENDS static int honest(Ops *ops)
{
    return wait_leaf(1);
}

int in_macro_and_argument(Ops *ops)
{
    return inner(ops) + (({ honest(ops); }));
}
