/*
 * The playground from its flags to its end: listen, greet, wait for a signal, stop.
 */
#include "demo/demo.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/listener.h"

#include <sluice/rt.h>

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

typedef struct DemoRun {
    const DemoOptions *options;
    Demo *demo;
} DemoRun;

static void warn_when_public(const NetAddress *address)
{
    const struct sockaddr *at = (const struct sockaddr *) &address->storage;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *) at;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) at;

    if (at->sa_family == AF_INET && ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET)
        return;
    if (at->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr))
        return;
    if (at->sa_family == AF_UNIX)
        return;
    (void) fprintf(stderr,
                   "sluice: WARNING: others can reach this address. The playground is a toy full "
                   "of traps, bombs and endless answers; whoever finds it can make this machine "
                   "work for nothing. Listen on 127.0.0.1 unless you mean it.\n");
}

SUSPENDS static int write_port_file(Str path, const NetAddress *address)
{
    char text[16];
    char *name;
    int n, r;

    if (!path.len)
        return 0;
    name = mem_copy_c(path.data, path.len);
    n = snprintf(text, sizeof(text), "%u\n", net_address_port(address));
    r = sl_file_write_all(name, text, (size_t) n, 0644);
    mem_free(name);
    return wrap(r, "port file");
}

static void add_greeting(Str address, Buf *out)
{
    buf_printf(out,
               "sluice: the playground is at http://%.*s\n"
               "  /              a shop: products, categories, sitemaps, robots.txt\n"
               "  /api/          three JSON APIs: weather, headlines, exchange rates\n"
               "  /sensors/      readings of a crowd of sensors: JSON lines, line protocol, CSV\n"
               "  /images/       sample pictures of any size\n"
               "  /bad/          every way in which a page can be bad\n"
               "  /stats.json    what was asked, how much at once, how fast\n"
               "try   curl http://%.*s/product/1\n"
               "^C stops it.\n",
               (int) address.len, address.data, (int) address.len, address.data);
}

static void greet(const Listener *listener)
{
    AUTO(buf_deinit) Buf text = { 0 };
    char address[NET_ADDRESS_TEXT_MAX];

    warn_when_public(&listener->address);
    add_greeting(listener_address(listener, address), &text);
    (void) fprintf(stderr, "%.*s", (int) text.len, text.data);
}

SUSPENDS static int serve(DemoRun *run, Listener *listener)
{
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "demo");
    int which, r;

    r = demo_start(run->demo, nursery, listener);
    if (r < 0)
        return r;
    greet(listener); /* before the port file: who waits for that has been warned */
    r = write_port_file(run->options->port_file, &listener->address);
    if (r == 0)
        r = sl_signal_wait(1ULL << SIGINT | 1ULL << SIGTERM | 1ULL << SIGHUP, &which);
    if (r == 0)
        (void) fprintf(stderr, "sluice: the playground stops\n");
    demo_stop(run->demo);
    return r;
}

SUSPENDS static int demo_main(void *arg)
{
    AUTO(listener_close) Listener *listener = NULL;
    ListenerOpts opts = { .is_exclusive = true };
    DemoRun *run = arg;
    NetAddress address;
    int r;

    r = net_address_parse(run->options->listen, &address);
    if (r < 0)
        return wrap(r, "--listen");
    r = listener_open(&address, &opts, &listener);
    if (r < 0)
        return wrap(r, "the playground cannot start; choose another address with --listen");
    return serve(run, listener);
}

static int print_expected(const DemoRun *run)
{
    AUTO(buf_deinit) Buf origin = { 0 }, text = { 0 };
    int r;

    buf_printf(&origin, "http://%.*s", (int) run->options->listen.len, run->options->listen.data);
    demo_write_expected(run->demo, buf_str(&origin), &text);
    r = buf_check(&text);
    if (r == 0 && fwrite(text.data, 1, text.len, stdout) != text.len)
        r = fail_errno("write to stdout");
    return r;
}

int demo_run(const void *flags)
{
    DemoRun run = { .options = flags };
    int r;

    r = demo_new(run.options, &run.demo);
    if (r < 0)
        return r;
    if (run.options->expected)
        r = print_expected(&run);
    else
        r = sl_run(demo_main, &run, .stall_ms = -1, .name = "demo", .pool_threads = 1);
    demo_free(run.demo);
    return r;
}
