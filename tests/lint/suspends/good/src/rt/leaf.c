#include "rt/leaf.h"

SUSPENDS int in_header(int n);

int in_header(int n)
{
    return wait_leaf(n);
}

SUSPENDS static int table_entry(int n)
{
    return n + 1;
}

const Ops ops_memory = { .read = table_entry };

SUSPENDS int cleans_up(const Ops *ops)
{
    AUTO(thing_close) int *thing = 0;
    return ops->read(3) + (thing != 0);
}

int takes_the_address(int (*fn)(int));
int spawns(void)
{
    return takes_the_address(in_header);
}
