int f(int r)
{
    if (r == -ECANCELED || r == -ETIMEDOUT || r == 3 - EAGAIN)
        return fail(-ERR_BUSY, "r == -ERR_INVALID");
    return r == QUEUE_EMPTY;
}
