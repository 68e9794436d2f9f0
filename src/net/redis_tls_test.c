/*
 * The client of Redis over TLS, against a real server that speaks nothing else.
 */
#include "net/redis_world_int.h"

#include "net/tls_world_int.h"

typedef struct World {
    Server server;
    sl_nursery *nursery;
    char tls_port[8];
} World;

SUSPENDS static int launch(World *world)
{
    Server *server = &world->server;

    server_init(server, "tls"); /* its plain port is there to wait for it */
    (void) snprintf(world->tls_port, sizeof(world->tls_port), "%u", test_port());
    server_arg(server, "--tls-port");
    server_arg(server, world->tls_port);
    server_arg(server, "--tls-cert-file");
    server_arg(server, "../server.pem");
    server_arg(server, "--tls-key-file");
    server_arg(server, "../server.key");
    server_arg(server, "--tls-ca-cert-file");
    server_arg(server, "../root.pem");
    server_arg(server, "--tls-auth-clients");
    server_arg(server, "optional");
    return server_launch(server);
}

static RedisUrl tls_url(const World *world)
{
    RedisUrl url = { .is_tls = true, .n_hosts = 1, .ca = STR("root.pem") };

    url.hosts[0] = (RedisHost){ .name = STR("127.0.0.1"),
                                .port = (uint16_t) strtoul(world->tls_port, NULL, 10) };
    return url;
}

SUSPENDS static int start(World *world, const RedisUrl *url)
{
    Redis *redis = NULL;
    int r = redis_start(&redis, world->nursery, &(RedisOpts){ .url = url });

    if (r == 0) {
        EXPECT_ANSWER(redis, "SET a 1", "OK");
        EXPECT_ANSWER(redis, "CLIENT KILL TYPE normal SKIPME no", "1");
        EXPECT_ANSWER(redis, "GET a", "1");
    }
    redis_stop(redis);
    return r;
}

SUSPENDS static void check(World *world)
{
    RedisUrl url = tls_url(world);

    EXPECT_OK(start(world, &url));
    url.cert = str_from_c("client.pem");
    url.key = str_from_c("client.key");
    EXPECT_OK(start(world, &url));
    url.server_name = str_from_c("elsewhere.test");
    EXPECT_ERR(start(world, &url), -ERR_TLS, "");
    url.is_insecure = true;
    EXPECT_OK(start(world, &url));
    url = tls_url(world);
    url.ca = str_from_c("client.pem"); /* no authority of the server's */
    EXPECT_ERR(start(world, &url), -ERR_TLS, "");
    url.ca = str_from_c("none.pem");
    EXPECT_ERR(start(world, &url), -ERR_TLS, "none.pem");
}

SUSPENDS static int world_run(void *arg)
{
    World *world = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    int r;

    world->nursery = nursery;
    r = launch(world);
    if (r == 0)
        check(world);
    server_kill(&world->server);
    return r < 0 ? r : sl_nursery_join(nursery);
}

TEST(tls)
{
    static const enum sl_loop_kind kinds[] = { SL_LOOP_EPOLL, SL_LOOP_URING };
    TestCert root = test_cert_make(&(TestCertOpts){ .file = "root" });
    TestCert server = test_cert_make(
        &(TestCertOpts){ .file = "server", .names = "IP:127.0.0.1", .issuer = &root });
    TestCert client = test_cert_make(
        &(TestCertOpts){ .file = "client", .names = "DNS:client.test", .issuer = &root });

    for (size_t i = 0; i < ARRAY_LEN(kinds) && test_redis_has_tls(); i++) {
        World world = { .nursery = NULL };
        int r = sl_run(world_run, &world, .loop = kinds[i]);

        if (r != -ERR_UNSUPPORTED)
            EXPECT_OK(r);
    }
    if (!test_redis_has_tls())
        test_skip(TEST_NO_REDIS_TLS);
    test_cert_free(&root);
    test_cert_free(&server);
    test_cert_free(&client);
}

TEST_MAIN()
