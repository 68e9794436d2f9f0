#pragma once
#define SUSPENDS __attribute__((annotate("suspends")))
#define AUTO(f) __attribute__((cleanup(f##_auto_)))
SUSPENDS int wait_leaf(int n);
SUSPENDS void thing_close(int *thing);
static inline void thing_close_auto_(int **slot)
{
    thing_close(*slot);
}
typedef struct Ops {
    SUSPENDS int (*read)(int n);
} Ops;
