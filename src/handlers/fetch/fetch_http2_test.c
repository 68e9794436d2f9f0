/*
 * fetch over TLS and HTTP/2, against an nginx of its own: a GraphQL-like API, which is asked with
 * POST.
 */
#include "handlers/fetch/fetch_world_int.h"

#include "net/nginx_test.h"

SUSPENDS static void fetch_from(World *world, HttpClient *client)
{
    AUTO(outcome_deinit) Outcome outcome;

    outcome_init(world, &outcome);
    outcome.fake.client = client;
    EXPECT_OK(
        run_task(world,
                 "{'sources':[{'name':'q','url':'%s/json','body':{'query':'{ shop }','n':[1,2]},"
                 "'fields':{'protocol':'protocol','method':'method','type':'type',"
                 "'query':'sent.query','n':'sent.n[1]'}},"
                 "{'name':'p','url':'%s/json','method':'PUT','body':{'a':1},"
                 "'fields':{'protocol':'protocol','method':'method','query':'sent.a'}}]}",
                 &outcome));
    EXPECT_CELL(&outcome, 0, "protocol", "\"HTTP/2.0\"");
    EXPECT_CELL(&outcome, 0, "method", "\"POST\"");
    EXPECT_CELL(&outcome, 0, "type", "\"application/json\"");
    EXPECT_CELL(&outcome, 0, "query", "\"{ shop }\"");
    EXPECT_CELL(&outcome, 0, "n", "2");
    EXPECT_CELL(&outcome, 1, "protocol", "\"HTTP/2.0\"");
    EXPECT_CELL(&outcome, 1, "method", "\"PUT\"");
    EXPECT_CELL(&outcome, 1, "query", "1");
}

SUSPENDS static int with_nginx(World *world)
{
    static const HttpResolve here[] = { { "*.test", "127.0.0.1" } };
    HttpClientOpts opts = { .ca_file = "cert.pem", .resolve = here, .n_resolve = 1 };
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    HttpClient *client = NULL;
    Nginx nginx = { 0 };
    int r = nginx_start(&nginx);

    if (r == 0)
        r = http_client_start(&client, nursery, &opts);
    (void) snprintf(world->base, sizeof(world->base), "https://shop.test:%s", nginx.tls_port);
    if (r == 0)
        fetch_from(world, client);
    http_client_stop(client);
    sl_process_close(nginx.process);
    return r;
}

/* Catches a body, a method or a type that is lost on the way through HTTP/2. */
FETCH_TEST(posts_over_http_2)
{
    if (nginx_can_run())
        EXPECT_OK(with_nginx(world));
}

TEST_MAIN()
