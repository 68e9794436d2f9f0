int counter;
static int *last = &counter;
int a_next(void)
{
    static int calls;
    last = &calls;
    return *last + ++calls;
}
