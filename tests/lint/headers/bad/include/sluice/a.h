#pragma once
struct options {
    int class;
};
static inline int *as_int(void *p)
{
    return p;
}
