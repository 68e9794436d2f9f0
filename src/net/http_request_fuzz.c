/*
 * Fuzz: bytes sent to a server over the simulated network.
 *
 * The first two bytes of an input say how the rest is cut. It is sent twice, whole and cut, and the
 * handler must see the same requests both times: what a request is may not depend on how its bytes
 * arrive. Everything that comes back is an answer of HTTP/1.1, and the server ends clean.
 */
#include "net/http_server.h"

#include "base/assert.h"
#include "base/map.h"
#include "net/sim_net.h"

#include <sluice/rt.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

typedef struct Trial {
    const char *data;
    size_t len;
    size_t step; /* 0: whole */
    HttpServer *server;
    Stream *near;
    Stream *far;
    size_t n_requests;
    uint64_t seen; /* a hash over all the handler saw */
} Trial;

static void see(Trial *trial, Str s)
{
    trial->seen = hash_bytes(s.data ? s.data : "", s.len, trial->seen, s.len);
}

SUSPENDS static int on_request(void *ctx, HttpRequest *request, HttpResponse *response)
{
    Trial *trial = ctx;
    char piece[64];
    ssize_t n;

    trial->n_requests++;
    see(trial, request->method_text);
    see(trial, request->path);
    see(trial, request->query);
    see(trial, request->host);
    ASSERT(request->path.len > 0 && (request->path.data[0] == '/' || request->path.data[0] == '*'));
    for (size_t i = 0; i < request->n_headers; i++) {
        ASSERT(request->headers[i].name.len > 0);
        see(trial, request->headers[i].name);
        see(trial, request->headers[i].value);
    }
    see(trial, request->body);
    buf_add_str(&response->body, request->body);
    while (request->is_body_streamed &&
           (n = http_request_read(request, piece, sizeof(piece))) != 0) {
        if (n < 0)
            return (int) n;
        buf_add(&response->body, piece, (size_t) n);
    }
    return 0;
}

static int on_head(void *ctx, HttpRequest *request)
{
    (void) ctx;
    request->is_body_streamed = request->path.len % 3 == 2;
    request->is_body_required = request->path.len % 5 == 4;
    return 0;
}

SUSPENDS static int serve(void *arg)
{
    Trial *trial = arg;

    return http_server_serve(trial->server, trial->far);
}

SUSPENDS static int send_all(void *arg)
{
    Trial *trial = arg;
    int r = 0;

    for (size_t at = 0; at < trial->len && r == 0;) {
        size_t piece = trial->step ? MIN(trial->step, trial->len - at) : trial->len;

        r = stream_write_all(trial->near, trial->data + at, piece);
        at += piece;
        if (r == 0)
            r = sl_yield();
    }
    if (r == 0)
        r = stream_shutdown(trial->near);
    (void) r; /* the server may have closed */
    return 0;
}

SUSPENDS static int run_trial(void *arg)
{
    Trial *trial = arg;
    AUTO(sim_net_free) SimNet *net = sim_net_new(NULL);
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open();
    HttpServerOpts opts = { .ctx = trial,
                            .on_request = on_request,
                            .on_head = on_head,
                            .header_bytes_max = 1024,
                            .headers_max = 16,
                            .body_bytes_max = 8192 };
    char buf[512];
    bool is_first = true;
    ssize_t n;
    int r;

    r = http_server_start(&trial->server, nursery, NULL, &opts);
    ASSERT(r == 0);
    sim_net_pair(net, &trial->near, &trial->far);
    (void) sl_spawn(nursery, serve, trial);
    (void) sl_spawn(nursery, send_all, trial);
    while ((n = stream_read(trial->near, buf, sizeof(buf))) > 0) {
        if (is_first)
            ASSERT(n >= 12 && memcmp(buf, "HTTP/1.1 ", 9) == 0);
        is_first = false;
    }
    http_server_stop(trial->server, 1000);
    r = sl_nursery_join(nursery);
    ASSERT(r == 0);
    stream_close(trial->near);
    return 0;
}

static Trial try_with(const uint8_t *data, size_t len, size_t step)
{
    Trial trial = { .data = (const char *) data, .len = len, .step = step };
    int r = sl_run(run_trial, &trial, .loop = SL_LOOP_SIM, .seed = 1);

    ASSERT(r == 0);
    return trial;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    Trial whole, cut;

    if (len < 2 || len > 32768)
        return 0;
    whole = try_with(data + 2, len - 2, 0);
    cut = try_with(data + 2, len - 2, 1 + (data[0] | (size_t) data[1] << 8) % 600);
    ASSERT(whole.n_requests == cut.n_requests && whole.seen == cut.seen);
    return 0;
}
