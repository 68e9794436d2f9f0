static const char *const names[] = { "one", "two" };
const char *const *a_names(void)
{
    return names;
}
_Thread_local int current;
