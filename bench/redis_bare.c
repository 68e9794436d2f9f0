/*
 * A queue on Redis by hand: lists and hashes, plain sockets, nothing that a queue needs for safety.
 *
 *   redis_bare submit PORT SECONDS [CONNECTIONS [BATCH]]   thousands of jobs a second
 *   redis_bare drain PORT JOBS [BATCH]                     thousands of jobs a second
 *   redis_bare fill PORT JOBS                              put JOBS jobs there
 *   redis_bare latency PORT RATE SECONDS                   median and 99th percentile, ms
 *
 * It is the measure of what a server gives to a C program: a job is HSET bare:job:N (type, args,
 * state, created) and LPUSH bare:ready; a worker takes many with one RPOP, reads their hashes,
 * writes that they are done and removes the hashes' payload, all of one batch in two writes. A job
 * that was taken by a worker which dies is lost: there are no leases here, no retries, no fences.
 *
 * Answers are only counted: each is one line, or a bulk or an array that is walked.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1024
#define BATCH_MAX       10000
#define IN_BYTES        (8 << 20)
#define SAMPLES_MAX     1000000
#define SAMPLES_WARM    50 /* left out: the first ones */
#define PAYLOAD                                                       \
    "[\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"]"

typedef struct Wire {
    int fd;
    char *in;
    size_t at, len; /* read so far, of what has come */
    char *out;
    size_t out_len, out_cap;
    size_t due; /* answers that have not come */
} Wire;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void wire_open(Wire *wire, int port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons((unsigned short) port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1;

    *wire = (Wire){ .fd = socket(AF_INET, SOCK_STREAM, 0), .in = malloc(IN_BYTES) };
    if (wire->fd < 0 || !wire->in || connect(wire->fd, (struct sockaddr *) &addr, sizeof(addr)) < 0)
        die("connect");
    setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* Add one command. */
static void put(Wire *wire, int argc, const char *const *argv)
{
    size_t need = 32;

    for (int i = 0; i < argc; i++)
        need += strlen(argv[i]) + 32;
    if (wire->out_len + need > wire->out_cap) {
        wire->out_cap = (wire->out_cap + need) * 2;
        wire->out = realloc(wire->out, wire->out_cap);
        if (!wire->out)
            die("realloc");
    }
    wire->out_len += (size_t) snprintf(wire->out + wire->out_len, 32, "*%d\r\n", argc);
    for (int i = 0; i < argc; i++)
        wire->out_len += (size_t) snprintf(wire->out + wire->out_len, strlen(argv[i]) + 32,
                                           "$%zu\r\n%s\r\n", strlen(argv[i]), argv[i]);
    wire->due++;
}

#define PUT(wire, ...)                                                    \
    put((wire), sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), \
        (const char *[]){ __VA_ARGS__ })

static void flush_out(Wire *wire)
{
    size_t sent = 0;

    while (sent < wire->out_len) {
        ssize_t n = send(wire->fd, wire->out + sent, wire->out_len - sent, MSG_NOSIGNAL);

        if (n <= 0)
            die("send");
        sent += (size_t) n;
    }
    wire->out_len = 0;
}

static void fill_in(Wire *wire)
{
    ssize_t n;

    if (wire->at == wire->len)
        wire->at = wire->len = 0;
    if (wire->len == IN_BYTES) {
        memmove(wire->in, wire->in + wire->at, wire->len - wire->at);
        wire->len -= wire->at;
        wire->at = 0;
    }
    n = recv(wire->fd, wire->in + wire->len, IN_BYTES - wire->len, 0);
    if (n <= 0)
        die("recv");
    wire->len += (size_t) n;
}

/* A line of the answer that has come whole, NUL-terminated in place; NULL: not yet. */
static char *try_line(Wire *wire)
{
    char *line = wire->in + wire->at;
    char *end = memchr(line, '\n', wire->len - wire->at);

    if (!end)
        return NULL;
    end[-1] = '\0';
    wire->at += (size_t) (end + 1 - line);
    if (line[0] == '-') {
        fprintf(stderr, "redis_bare: %s\n", line);
        exit(1);
    }
    return line;
}

static char *line_of(Wire *wire)
{
    char *line;

    while (!(line = try_line(wire)))
        fill_in(wire);
    return line;
}

/* Walk one answer; the last bulk's first bytes are copied to TEXT when there is room for them. */
static long walk(Wire *wire, char *text, size_t cap)
{
    char *line = line_of(wire), kind = line[0];
    long n = atol(line + 1);

    if (kind == '*') {
        for (long i = 0; i < n; i++)
            (void) walk(wire, text, cap);
        return n;
    }
    if (kind != '$')
        return n;
    if (n < 0)
        return -1;
    while (wire->len - wire->at < (size_t) n + 2)
        fill_in(wire);
    if (text && (size_t) n < cap) {
        memcpy(text, wire->in + wire->at, (size_t) n);
        text[n] = '\0';
    }
    wire->at += (size_t) n + 2;
    return n;
}

static void settle(Wire *wire)
{
    flush_out(wire);
    for (; wire->due > 0; wire->due--)
        (void) walk(wire, NULL, 0);
}

static void put_job(Wire *wire, long number, const char *args)
{
    char key[48], id[32], created[32];

    snprintf(id, sizeof(id), "%ld", number);
    snprintf(key, sizeof(key), "bare:job:%ld", number);
    snprintf(created, sizeof(created), "%.6f", now());
    PUT(wire, "HSET", key, "type", "noop", "args", args, "state", "available", "created", created);
    PUT(wire, "LPUSH", "bare:ready", id);
}

/* ---- the parts ------------------------------------------------------------------------------- */

static int submit(int port, double seconds, long connections, long batch)
{
    static Wire wires[CONNECTIONS_MAX];
    struct epoll_event events[256];
    int epoll = epoll_create1(0);
    long number = 0, done = 0;
    double began;

    for (long i = 0; i < connections; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = (unsigned long) i };

        wire_open(&wires[i], port);
        epoll_ctl(epoll, EPOLL_CTL_ADD, wires[i].fd, &event);
    }
    began = now();
    for (long i = 0; i < connections; i++) {
        for (long k = 0; k < batch; k++)
            put_job(&wires[i], ++number, PAYLOAD);
        flush_out(&wires[i]);
    }
    while (now() - began < seconds) {
        int n = epoll_wait(epoll, events, 256, 1000);

        for (int i = 0; i < n; i++) {
            Wire *wire = &wires[events[i].data.u64];

            fill_in(wire);
            while (wire->due > 0 && try_line(wire)) /* all are integers */
                wire->due--;
            if (wire->due > 0)
                continue;
            done += batch;
            for (long k = 0; k < batch; k++)
                put_job(wire, ++number, PAYLOAD);
            flush_out(wire);
        }
    }
    printf("%.2f %ld\n", (double) done / (now() - began) / 1000, done);
    return 0;
}

static void fill(int port, long jobs)
{
    Wire wire;

    wire_open(&wire, port);
    for (long number = 1; number <= jobs; number++) {
        put_job(&wire, number, PAYLOAD);
        if (number % 1000 == 0)
            settle(&wire);
    }
    settle(&wire);
    close(wire.fd);
}

static int drain(int port, long jobs, long batch)
{
    static char ids[BATCH_MAX][32];
    struct rusage before, after;
    long left = jobs, n;
    char text[16], key[48];
    double began, cpu;
    Wire wire;

    fill(port, jobs);
    wire_open(&wire, port);
    snprintf(text, sizeof(text), "%ld", batch);
    getrusage(RUSAGE_SELF, &before);
    began = now();
    while (left > 0) {
        PUT(&wire, "RPOP", "bare:ready", text);
        flush_out(&wire);
        for (; wire.due > 1; wire.due--)
            (void) walk(&wire, NULL, 0); /* that those before are done */
        n = atol(line_of(&wire) + 1);
        wire.due = 0;
        for (long i = 0; i < n; i++)
            (void) walk(&wire, ids[i], sizeof(ids[i]));
        for (long i = 0; i < n; i++) {
            snprintf(key, sizeof(key), "bare:job:%s", ids[i]);
            PUT(&wire, "HMGET", key, "type", "args");
        }
        settle(&wire);
        for (long i = 0; i < n; i++) {
            snprintf(key, sizeof(key), "bare:job:%s", ids[i]);
            PUT(&wire, "HSET", key, "state", "completed", "result", "null");
        }
        left -= n;
    }
    settle(&wire);
    began = now() - began;
    getrusage(RUSAGE_SELF, &after);
    cpu = (double) (after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
          (double) (after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
          (double) (after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1e6 +
          (double) (after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
    printf("%.2f %.3f\n", (double) jobs / began / 1000, cpu * 1e6 / (double) jobs);
    return 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return x < y ? -1 : x > y;
}

/* The worker: one that waits, reads the job and says that it is done. */
static void serve_latency(int port, long jobs)
{
    double *samples = malloc(sizeof(double) * (size_t) jobs);
    char id[32], key[48], args[64];
    Wire wire;

    wire_open(&wire, port);
    for (long i = 0; i < jobs; i++) {
        PUT(&wire, "BRPOP", "bare:ready", "0");
        flush_out(&wire);
        (void) walk(&wire, id, sizeof(id));
        snprintf(key, sizeof(key), "bare:job:%s", id);
        wire.due = 0;
        PUT(&wire, "HGET", key, "args");
        flush_out(&wire);
        (void) walk(&wire, args, sizeof(args));
        wire.due = 0;
        samples[i] = (now() - strtod(args, NULL)) * 1000;
        PUT(&wire, "HSET", key, "state", "completed");
        settle(&wire);
    }
    qsort(samples + SAMPLES_WARM, (size_t) (jobs - SAMPLES_WARM), sizeof(double), by_value);
    jobs -= SAMPLES_WARM;
    printf("%.3f %.3f %ld\n", samples[SAMPLES_WARM + jobs / 2],
           samples[SAMPLES_WARM + jobs * 99 / 100], jobs);
}

static int latency(int port, double rate, double seconds)
{
    long jobs = (long) (rate * seconds);
    char text[64];
    double next;
    Wire wire;
    pid_t child;

    if (jobs <= SAMPLES_WARM || jobs > SAMPLES_MAX)
        return 64;
    child = fork();
    if (child == 0) {
        serve_latency(port, jobs);
        fflush(stdout);
        _exit(0);
    }
    wire_open(&wire, port);
    usleep(100000);
    next = now();
    for (long i = 1; i <= jobs; i++) {
        double left = next - now();

        if (left > 0)
            usleep((useconds_t) (left * 1e6));
        snprintf(text, sizeof(text), "%.9f", now());
        put_job(&wire, i, text);
        settle(&wire);
        next += 1 / rate;
    }
    waitpid(child, NULL, 0);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int port = argc > 2 ? atoi(argv[2]) : 0;
    double third = argc > 3 ? atof(argv[3]) : 0, fourth = argc > 4 ? atof(argv[4]) : 0;
    long batch = argc > 5 ? atol(argv[5]) : 1;

    if (port > 0 && third > 0 && fourth >= 0 && fourth <= BATCH_MAX && batch > 0 &&
        batch <= BATCH_MAX) {
        if (!strcmp(what, "submit") && fourth <= CONNECTIONS_MAX)
            return submit(port, third, fourth > 0 ? (long) fourth : 8, batch);
        if (!strcmp(what, "drain"))
            return drain(port, (long) third, fourth > 0 ? (long) fourth : 100);
        if (!strcmp(what, "latency") && fourth > 0)
            return latency(port, third, fourth);
        if (!strcmp(what, "fill")) {
            fill(port, (long) third);
            return 0;
        }
    }
    fprintf(stderr, "usage: redis_bare submit PORT SECONDS [CONNECTIONS [BATCH]] | drain PORT JOBS "
                    "[BATCH] | latency PORT RATE SECONDS | fill PORT JOBS\n");
    return 64;
}
