/*
 * The MQTT client over TLS, against a real Mosquitto that speaks nothing else.
 */
#include "net/mqtt.h"

#include "base/test_port.h"
#include "net/dial.h"
#include "net/tls_world_int.h"

#include <stdlib.h>
#include <unistd.h>

#define MOSQUITTO "/usr/sbin/mosquitto"

typedef struct World {
    uint16_t port;
    sl_process *process;
    sl_event up;
    Mqtt *mqtt;
} World;

SUSPENDS static int launch(World *world)
{
    const char *argv[] = { MOSQUITTO, "-c", "tls.conf", NULL };
    FILE *file = fopen("tls.conf", "w");
    Stream *stream = NULL;
    int r;

    world->port = test_port();
    fprintf(file,
            "user root\nlistener %u 127.0.0.1\nallow_anonymous true\nlog_dest none\n"
            "cafile root.pem\ncertfile server.pem\nkeyfile server.key\n"
            "require_certificate true\n",
            world->port);
    (void) fclose(file);
    r = sl_process_start(&world->process, argv, .stderr_as = SL_STDIO_NULL);
    for (int i = 0; i < 6000 && r == 0; i++) {
        if (dial_host(&(DialOpts){ .host = "127.0.0.1", .port = world->port }, &stream) == 0) {
            stream_close(stream);
            return 0;
        }
        r = sl_sleep_ms(10);
    }
    return r < 0 ? r : fail(-ERR_UNAVAILABLE, "mosquitto does not come up");
}

static void on_state(void *ctx, bool is_up, const char *words)
{
    World *world = ctx;

    (void) words;
    if (is_up)
        sl_event_set(&world->up);
}

SUSPENDS static int next(void *arg)
{
    World *world = arg;
    MqttMessage message = { .ticket = 0 };
    int r = mqtt_next(world->mqtt, &message);

    sl_event_set(&world->up);
    return r;
}

/* Connect with OPTS: 0 when that went well, or what ends the client. */
SUSPENDS static int connect_with(World *world, MqttOpts opts)
{
    static const Str filters[] = { STR("a") };
    sl_nursery *nursery;
    int r;

    opts.port = world->port;
    opts.is_tls = true;
    opts.client_id = str_from_c("tls");
    opts.filters = filters;
    opts.n_filters = 1;
    opts.on_state = on_state;
    opts.ctx = world;
    sl_event_clear(&world->up);
    r = mqtt_start(&opts, &world->mqtt);
    if (r < 0)
        return r;
    nursery = sl_nursery_open(.name = "next");
    r = sl_spawn(nursery, next, world, .name = "next", .stack_bytes = 128 << 10);
    if (r == 0)
        r = sl_event_wait(&world->up);
    sl_nursery_cancel(nursery);
    if (r == 0)
        r = sl_nursery_join(nursery);
    sl_nursery_close(nursery);
    mqtt_stop(world->mqtt, 1000);
    return r;
}

SUSPENDS static void check(World *world)
{
    MqttOpts opts = { .host = STR("127.0.0.1"),
                      .ca = STR("root.pem"),
                      .cert = STR("client.pem"),
                      .key = STR("client.key") };

    EXPECT_OK(connect_with(world, opts));
    opts.host = str_from_c("localhost"); /* not what the certificate says */
    EXPECT_ERR(connect_with(world, opts), -ERR_TLS, "");
    opts.is_insecure = true;
    EXPECT_OK(connect_with(world, opts));
    opts.is_insecure = false;
    opts.host = str_from_c("127.0.0.1");
    opts.ca = str_from_c("client.pem"); /* no authority of the server's */
    EXPECT_ERR(connect_with(world, opts), -ERR_TLS, "");
    opts.ca = str_from_c("none.pem");
    EXPECT_ERR(connect_with(world, opts), -ERR_TLS, "none.pem");
}

SUSPENDS static int world_run(void *arg)
{
    World *world = arg;
    int r = launch(world);

    if (r == 0)
        check(world);
    sl_process_close(world->process);
    return r;
}

TEST(tls)
{
    TestCert root = test_cert_make(&(TestCertOpts){ .file = "root" });
    TestCert server = test_cert_make(
        &(TestCertOpts){ .file = "server", .names = "IP:127.0.0.1", .issuer = &root });
    TestCert client = test_cert_make(
        &(TestCertOpts){ .file = "client", .names = "DNS:client.test", .issuer = &root });
    World world = { .port = 0 };

    if (access(MOSQUITTO, X_OK) != 0)
        test_skip("there is no mosquitto");
    else
        EXPECT_OK(sl_run(world_run, &world));
    test_cert_free(&root);
    test_cert_free(&server);
    test_cert_free(&client);
}

TEST_MAIN()
