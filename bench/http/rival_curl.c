/*
 * libcurl's multi_socket driven by hand with epoll: what our client is measured against. The same
 * words and figure.
 *
 *   rival_curl URL N C
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

static int epoll;
static long timeout_ms = -1;

static size_t take(char *data, size_t size, size_t n, void *ctx)
{
    (void) data;
    *(long *) ctx += (long) (size * n);
    return size * n;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
    struct epoll_event event = { .data.fd = fd };
    CURLM *multi = ctx;

    (void) easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    epoll_ctl(epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    curl_multi_assign(multi, fd, (void *) 1);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *ctx)
{
    (void) multi;
    (void) ctx;
    timeout_ms = ms;
    return 0;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    const char *url = argc > 1 ? argv[1] : "";
    long n = argc > 2 ? atol(argv[2]) : 20000, c = argc > 3 ? atol(argv[3]) : 64;
    long started = 0, done = 0, bytes = 0;
    CURLM *multi;
    double began;
    int running;

    curl_global_init(CURL_GLOBAL_ALL);
    multi = curl_multi_init();
    epoll = epoll_create1(0);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, c);
    began = now();
    for (; started < c && started < n; started++) {
        CURL *easy = curl_easy_init();

        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &bytes);
        curl_multi_add_handle(multi, easy);
    }
    while (done < n) {
        struct epoll_event events[256];
        int k = epoll_wait(epoll, events, 256, (int) timeout_ms), left;
        CURLMsg *message;

        if (k == 0)
            curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
        for (int i = 0; i < k; i++)
            curl_multi_socket_action(multi, events[i].data.fd,
                                     (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                                         (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0),
                                     &running);
        while ((message = curl_multi_info_read(multi, &left))) {
            CURL *easy = message->easy_handle;

            if (message->msg != CURLMSG_DONE)
                continue;
            if (message->data.result != CURLE_OK) {
                fprintf(stderr, "curl: %s\n", curl_easy_strerror(message->data.result));
                return 1;
            }
            done++;
            curl_multi_remove_handle(multi, easy);
            if (started < n) {
                started++;
                curl_multi_add_handle(multi, easy);
            }
        }
    }
    printf("%.2f\n", (double) n / (now() - began) / 1000);
    return 0;
}
