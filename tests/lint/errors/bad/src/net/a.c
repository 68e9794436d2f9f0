int f(int r)
{
    if (r == -ERR_INVALID)
        return fail(-ERR_UNHEARD_OF, "odd");
    switch (r) {
    case -ENOENT: return 1;
    }
    return -EPIPE != r;
}
