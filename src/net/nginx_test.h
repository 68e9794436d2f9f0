/*
 * An nginx of the test's own, with TLS and HTTP/2, on free ports of the loopback, in the test's
 * folder, with a certificate made for the occasion (cert.pem, for shop.test and below). Tests that
 * need it are skipped with a word where nginx or openssl is missing.
 *
 * Behind TLS are: / and anything else, which say how they were asked; /post, which says what was
 * sent, as text of the form "PROTOCOL METHOD LENGTH LENGTH BODY"; /json, the same as JSON; /upload,
 * without the body; /again, a 307 to /post; /set, two cookies and a redirect to /cookies, which
 * says those that came; /down, a redirect to plain_port, where HTTP/2 is spoken without TLS.
 */
#pragma once

#include "base/err.h"
#include "base/macro.h"
#include "base/test.h"
#include "net/listener.h"
#include "net/stream.h"

#include <sluice/rt.h>
#include <sluice/rt/process.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct Nginx {
    sl_process *process;
    char tls_port[8];
    char plain_port[8];
} Nginx;

static const char nginx_config[] =
    "daemon off; master_process off; pid nginx.pid; error_log error.log;\n"
    "events { worker_connections 256; }\n"
    "http { access_log off;\n"
    "  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;\n"
    "  uwsgi_temp_path t4; scgi_temp_path t5; gzip on; gzip_min_length 1;\n"
    "  gzip_types text/plain; client_max_body_size 8m; client_body_buffer_size 8m;\n"
    "  server { listen 127.0.0.1:%s ssl http2; ssl_certificate cert.pem;\n"
    "    ssl_certificate_key key.pem; default_type text/plain;\n"
    "    proxy_set_header X-Protocol $server_protocol;\n"
    "    location / { return 200 \"$server_protocol $host $request_method\"; }\n"
    "    location /post { proxy_pass http://unix:back.sock:/; include seen.conf; }\n"
    "    location /json { proxy_pass http://unix:back.sock:/json; include seen.conf; }\n"
    "    location /upload { proxy_pass http://unix:back.sock:/; }\n"
    "    location /again { return 307 /post; }\n"
    "    location /set { add_header Set-Cookie \"in=yes; Path=/; Secure\";\n"
    "      add_header Set-Cookie \"two=2; Path=/\"; return 302 /cookies; }\n"
    "    location /cookies { return 200 \"$server_protocol $http_cookie\"; }\n"
    "    location /down { return 302 http://shop.test:%s/; } }\n"
    "  server { listen unix:back.sock; default_type text/plain;\n"
    "    location / { return 200 \"$http_x_protocol $request_method $http_x_length "
    "$content_length $http_x_body\"; }\n"
    "    location /json { default_type application/json; return 200 "
    "'{\"protocol\":\"$http_x_protocol\",\"method\":\"$request_method\","
    "\"type\":\"$content_type\",\"sent\":$http_x_body}'; } }\n"
    "  server { listen 127.0.0.1:%s http2; default_type text/plain;\n"
    "    location / { return 200 \"$server_protocol\"; } } }\n";

/* Sent on: what only the first server knows, which has read the body by then. */
static const char nginx_seen_config[] = "proxy_set_header X-Body $request_body;\n"
                                        "proxy_set_header X-Protocol $server_protocol;\n"
                                        "proxy_set_header X-Length $content_length;\n";

static inline bool nginx_has_program(const char *name)
{
    char command[100];

    (void) snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", name);
    return system(command) == 0;
}

/* Whether the test can run here; makes the certificate. */
static inline bool nginx_can_run(void)
{
    if (!nginx_has_program("nginx") || !nginx_has_program("openssl")) {
        test_skip("nginx or openssl is not installed");
        return false;
    }
    if (access("cert.pem", R_OK) == 0)
        return true;
    return system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
                  "-keyout key.pem -out cert.pem -days 2 -subj /CN=shop.test "
                  "-addext subjectAltName=DNS:shop.test,DNS:*.shop.test >/dev/null 2>&1") == 0;
}

/* A port that was free a moment ago. */
SUSPENDS static inline int nginx_find_port(char port[static 8])
{
    AUTO(listener_close) Listener *listener = NULL;
    char text[NET_ADDRESS_TEXT_MAX];
    NetAddress address;
    int r = net_address_parse(STR_C("127.0.0.1:0"), &address);

    if (r == 0)
        r = listener_open(&address, NULL, &listener);
    if (r == 0)
        (void) snprintf(port, 8, "%s", strrchr(listener_address(listener, text).data, ':') + 1);
    return r;
}

static inline bool nginx_write_config(const Nginx *nginx)
{
    FILE *file = fopen("nginx.conf", "w"), *seen = fopen("seen.conf", "w");

    if (!file || !seen)
        return false;
    fprintf(file, nginx_config, nginx->tls_port, nginx->plain_port, nginx->plain_port);
    fputs(nginx_seen_config, seen);
    return (fclose(file) == 0) & (fclose(seen) == 0);
}

/* Wait until it listens. */
SUSPENDS static inline int nginx_wait(const Nginx *nginx)
{
    char text[40];
    NetAddress address;
    int r;

    (void) snprintf(text, sizeof(text), "127.0.0.1:%s", nginx->tls_port);
    r = net_address_parse(str_from_c(text), &address);
    for (int i = 0; i < 500 && r == 0; i++) {
        Stream *stream;

        if (stream_connect(&address, &stream) == 0) {
            stream_close(stream);
            return 0;
        }
        r = sl_sleep_ms(10);
    }
    return r < 0 ? r : fail(-ETIMEDOUT, "nginx does not listen");
}

/* Start one; sl_process_close(nginx->process) ends it, also after an error. */
SUSPENDS static inline int nginx_start(Nginx *nginx)
{
    char prefix[600];
    const char *const argv[] = {
        "nginx", "-p", prefix, "-e", "error.log", "-c", "nginx.conf", NULL
    };
    int r;

    (void) snprintf(prefix, sizeof(prefix), "%s/", test_dir());
    (void) unlink("back.sock"); /* of the one before, which was killed */
    r = nginx_find_port(nginx->tls_port);
    if (r == 0)
        r = nginx_find_port(nginx->plain_port);
    if (r == 0 && !nginx_write_config(nginx))
        r = fail_errno("write nginx.conf");
    if (r == 0)
        r = sl_process_start(&nginx->process, argv);
    return r < 0 ? r : nginx_wait(nginx);
}
