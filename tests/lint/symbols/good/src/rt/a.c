#include <sluice/a.h>
int a_one(int x)
{
    return x;
}
int a_two(const char *fmt, ...)
{
    return fmt != 0;
}
int hidden_one(int x)
{
    return x;
}
