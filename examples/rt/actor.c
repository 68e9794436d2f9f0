/*
 * An actor: a fiber that owns some state, and a mailbox that is the only way to it.
 *
 * Requests carry a future for the answer. The account needs no lock, because only its own fiber
 * touches the balance; and it ends when its mailbox is closed, like any other child of a nursery.
 */
#include <sluice/rt.h>

#include <stdio.h>

typedef struct Request {
    const char *who;
    int64_t amount;    /* below zero: take out */
    sl_future *answer; /* gets the new balance, or an error */
} Request;

typedef struct Account {
    sl_chan *mailbox;
    int64_t balance;
} Account;

SL_SUSPENDS static int account_main(void *arg)
{
    Account *account = arg;
    Request request;
    int r;

    sl_chan_each(r, account->mailbox, request) {
        if (account->balance + request.amount < 0) {
            sl_future_set(request.answer, SL_EMPTY, NULL);
            continue;
        }
        account->balance += request.amount;
        sl_future_set(request.answer, 0, &account->balance);
    }
    printf("the account is closed with %lld\n", (long long) account->balance);
    return r == SL_CLOSED ? 0 : r;
}

/* Ask the account and wait for its answer. 0, SL_EMPTY when there is not enough, or an error. */
SL_SUSPENDS static int move_money(Account *account, const char *who, int64_t amount)
{
    sl_future answer = { 0 };
    Request request = { who, amount, &answer };
    void *balance = NULL;
    int r = sl_chan_send(account->mailbox, &request);

    if (r == 0)
        r = sl_future_wait(&answer, &balance);
    if (r == 0)
        printf("%s: %+lld makes %lld\n", who, (long long) amount, (long long) *(int64_t *) balance);
    if (r == SL_EMPTY)
        printf("%s: %+lld is too much\n", who, (long long) amount);
    return r;
}

SL_SUSPENDS static int actor_main(void *arg)
{
    Account account = { .mailbox = sl_chan_new(sizeof(Request), 8, .name = "account") };
    sl_nursery *nursery = sl_nursery_open(.name = "actors");
    int r;

    (void) arg;
    sl_spawn(nursery, account_main, &account, .name = "account");
    r = move_money(&account, "ada", 100);
    if (r == 0)
        r = move_money(&account, "bob", -30);
    if (r == 0)
        r = move_money(&account, "eve", -500);

    sl_chan_close(account.mailbox);
    if (r >= 0)
        r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    sl_chan_free(account.mailbox);
    return r;
}

int main(void)
{
    return sl_run(actor_main, NULL) < 0;
}
