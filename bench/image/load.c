/*
 * Requests over kept connections, and how long they took.
 *
 *   load PORT PATH FILE CONNECTIONS SECONDS [RATE]
 *
 * FILE is the body of a POST ("-": a GET). Without RATE each connection asks again as soon as it
 * has its answer; with it all of them together ask so many times a second, at moments that do not
 * wait for answers that are late: what a late answer costs the next request counts. Prints answers
 * a second, and the median and the 99th percentile in milliseconds.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256
#define SAMPLES_MAX     (1 << 20)
#define HEAD_BYTES      8192
#define NS_PER_S        1000000000LL

typedef struct Load {
    int port;
    int connections;
    double rate;
    long long begin_ns, end_ns;
    char *request;
    size_t request_len;
    pthread_mutex_t lock;
    double *took_ms;
    size_t n;
    long failed;
} Load;

typedef struct Caller {
    Load *load;
    int index;
    int fd;
    char head[HEAD_BYTES];
} Caller;

static long long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void sleep_until(long long at_ns)
{
    struct timespec at = { .tv_sec = at_ns / NS_PER_S, .tv_nsec = at_ns % NS_PER_S };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) {}
}

static void make_request(Load *load, const char *path, const char *file)
{
    FILE *in = strcmp(file, "-") == 0 ? NULL : fopen(file, "rbe");
    const char *type = strstr(path, "/run/") && !strstr(path, "image") ? "application/json"
                                                                       : "image/jpeg";
    size_t len = 0;
    int head;

    load->request = malloc((64 << 20) + HEAD_BYTES);
    if (!in) {
        head = snprintf(load->request, HEAD_BYTES, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                        path);
        load->request_len = (size_t) head;
        return;
    }
    fseek(in, 0, SEEK_END);
    len = (size_t) ftell(in);
    rewind(in);
    head = snprintf(load->request, HEAD_BYTES,
                    "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nContent-Length: "
                    "%zu\r\n\r\n",
                    path, type, len);
    if (fread(load->request + head, 1, len, in) != len)
        exit(2);
    fclose(in);
    load->request_len = (size_t) head + len;
}

static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        data += n;
        len -= (size_t) n;
    }
    return true;
}

/* Read one answer with a Content-Length; whether it was a 200. */
static bool read_answer(Caller *caller)
{
    size_t have = 0, length;
    char *end, *field;

    do {
        ssize_t n = recv(caller->fd, caller->head + have, HEAD_BYTES - 1 - have, 0);

        if (n <= 0)
            return false;
        have += (size_t) n;
        caller->head[have] = '\0';
    } while (!(end = strstr(caller->head, "\r\n\r\n")) && have < HEAD_BYTES - 1);
    field = strcasestr(caller->head, "\r\ncontent-length:");
    if (!end || !field)
        return false;
    length = (size_t) strtoul(field + 17, NULL, 10);
    have -= (size_t) (end + 4 - caller->head);
    while (have < length) {
        char rest[65536];
        size_t want = length - have < sizeof(rest) ? length - have : sizeof(rest);
        ssize_t n = recv(caller->fd, rest, want, 0);

        if (n <= 0)
            return false;
        have += (size_t) n;
    }
    return strncmp(caller->head + 9, "200", 3) == 0;
}

static void ask(Caller *caller, long long from_ns)
{
    Load *load = caller->load;
    bool is_ok = send_all(caller->fd, load->request, load->request_len) && read_answer(caller);
    double took = (double) (now_ns() - from_ns) / 1e6;

    pthread_mutex_lock(&load->lock);
    if (!is_ok)
        load->failed++;
    else if (load->n < SAMPLES_MAX)
        load->took_ms[load->n++] = took;
    pthread_mutex_unlock(&load->lock);
}

static void *call(void *arg)
{
    Caller *caller = arg;
    Load *load = caller->load;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t) load->port) };
    long long step_ns = load->rate > 0 ? (long long) ((double) load->connections / load->rate * 1e9)
                                       : 0;
    long long next_ns = load->begin_ns + step_ns * caller->index / load->connections;
    int one = 1;

    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    caller->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(caller->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(caller->fd, (struct sockaddr *) &at, sizeof(at)) != 0)
        return NULL;
    while (now_ns() < load->end_ns) {
        if (step_ns) {
            sleep_until(next_ns);
            ask(caller, next_ns);
            next_ns += step_ns;
        } else {
            ask(caller, now_ns());
        }
        if (load->failed > 100)
            break;
    }
    close(caller->fd);
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static Caller callers[CONNECTIONS_MAX];
    pthread_t threads[CONNECTIONS_MAX];
    Load load = { .lock = PTHREAD_MUTEX_INITIALIZER };
    double seconds;

    if (argc < 6) {
        fprintf(stderr, "load PORT PATH FILE CONNECTIONS SECONDS [RATE]\n");
        return 2;
    }
    load.port = atoi(argv[1]);
    load.connections = atoi(argv[4]);
    seconds = atof(argv[5]);
    load.rate = argc > 6 ? atof(argv[6]) : 0;
    if (load.connections < 1 || load.connections > CONNECTIONS_MAX)
        return 2;
    make_request(&load, argv[2], argv[3]);
    load.took_ms = malloc(SAMPLES_MAX * sizeof(double));
    load.begin_ns = now_ns();
    load.end_ns = load.begin_ns + (long long) (seconds * 1e9);
    for (int i = 0; i < load.connections; i++) {
        callers[i].load = &load;
        callers[i].index = i;
        pthread_create(&threads[i], NULL, call, &callers[i]);
    }
    for (int i = 0; i < load.connections; i++)
        pthread_join(threads[i], NULL);
    if (load.n == 0 || load.failed > 0) {
        fprintf(stderr, "%ld of %zu requests failed\n", load.failed, load.n + (size_t) load.failed);
        return 1;
    }
    seconds = (double) (now_ns() - load.begin_ns) / 1e9;
    qsort(load.took_ms, load.n, sizeof(double), by_value);
    printf("%.2f %.4f %.4f\n", (double) load.n / seconds, load.took_ms[load.n / 2],
           load.took_ms[load.n * 99 / 100]);
    return 0;
}
