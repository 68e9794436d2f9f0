/*
 * Load for the queue's HTTP API: N connections that push jobs and read the answers.
 *
 *   load PORT [--connections 64] [--batch 1] [--seconds 5] [--jobs N] [--rate R] [--type T]
 *        [--bytes 100] [--calm 1] [--args JSON]
 *
 * Closed loop: each connection sends its next request when it has the answer to the last. With
 * --rate the whole sends R requests a second instead, evenly spaced, and each job's argument is the
 * monotonic time it was sent at; it spins in between, unless it is told to be calm because somebody
 * else needs the processor. With --batch above one a request carries that many jobs. Every answer
 * must be 201; anything else ends the run with what came.
 *
 * Prints thousands of jobs a second, and the number of jobs.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define ANSWER_BYTES    (32 << 20)
#define BYTES_MAX       65536
#define ARGS_MAX        256

typedef struct Connection {
    int fd;
    size_t got;  /* bytes of the answer so far */
    size_t want; /* of the whole answer; 0 while its head is not complete */
    int is_busy;
    char *answer;
} Connection;

typedef struct Load {
    int port;
    long connections;
    long batch;
    double seconds;
    long jobs;
    double rate;
    const char *type;
    long bytes;
    const char *args; /* instead of BYTES of text; or NULL */
    long is_calm;
    char *request;
    size_t request_len;
    long done;
} Load;

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

static int connect_to(int port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons((unsigned short) port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *) &addr, sizeof(addr)) < 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* The text of one job; with a rate its argument is the time. */
static size_t job_text(const Load *load, char *out, size_t cap)
{
    size_t len;

    if (load->rate > 0)
        return (size_t) snprintf(out, cap, "{\"type\":\"%s\",\"args\":[%.0f]}", load->type,
                                 now() * 1e9);
    if (load->args)
        return (size_t) snprintf(out, cap, "{\"type\":\"%s\",\"args\":%s}", load->type, load->args);
    len = (size_t) snprintf(out, cap, "{\"type\":\"%s\",\"args\":[\"", load->type);
    memset(out + len, 'x', (size_t) load->bytes);
    len += (size_t) load->bytes;
    return len + (size_t) snprintf(out + len, cap - len, "\"]}");
}

static void make_request(Load *load)
{
    size_t cap = 4096 + (size_t) load->batch * (512 + (size_t) load->bytes), len = 0;
    char *body = malloc(cap), *request = load->request ? load->request : malloc(cap + 512);

    if (!body || !request)
        die("malloc");
    if (load->batch > 1)
        len += (size_t) snprintf(body + len, cap - len, "{\"jobs\":[");
    for (long i = 0; i < load->batch; i++) {
        if (i)
            body[len++] = ',';
        len += job_text(load, body + len, cap - len);
    }
    if (load->batch > 1)
        len += (size_t) snprintf(body + len, cap - len, "]}");
    load->request_len = (size_t) snprintf(
        request, cap + 512,
        "POST /ojs/v1/jobs%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        "Content-Length: %zu\r\n\r\n",
        load->batch > 1 ? "/batch" : "", len);
    memcpy(request + load->request_len, body, len);
    load->request_len += len;
    load->request = request;
    free(body);
}

static void send_request(Load *load, Connection *connection)
{
    size_t sent = 0;

    if (load->rate > 0)
        make_request(load);
    while (sent < load->request_len) {
        ssize_t n = send(connection->fd, load->request + sent, load->request_len - sent,
                         MSG_NOSIGNAL);

        if (n <= 0)
            die("send");
        sent += (size_t) n;
    }
    connection->is_busy = 1;
    connection->got = connection->want = 0;
}

/* Take what came; 1 when the answer is whole. */
static int read_answer(Connection *connection)
{
    ssize_t n = recv(connection->fd, connection->answer + connection->got,
                     ANSWER_BYTES - connection->got - 1, 0);
    char *head_end, *length;

    if (n <= 0)
        die("recv");
    connection->got += (size_t) n;
    connection->answer[connection->got] = '\0';
    if (!connection->want) {
        head_end = strstr(connection->answer, "\r\n\r\n");
        if (!head_end)
            return 0;
        if (strncmp(connection->answer, "HTTP/1.1 201", 12) != 0) {
            fprintf(stderr, "load: %.600s\n", connection->answer);
            exit(1);
        }
        length = strcasestr(connection->answer, "content-length:");
        connection->want = (size_t) (head_end + 4 - connection->answer) +
                           (length ? strtoul(length + 15, NULL, 10) : 0);
    }
    return connection->got >= connection->want;
}

static void run(Load *load)
{
    static Connection connections[CONNECTIONS_MAX];
    struct epoll_event events[256];
    int epoll = epoll_create1(0);
    double began, next;

    for (long i = 0; i < load->connections; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = (unsigned long) i };

        connections[i].fd = connect_to(load->port);
        connections[i].answer = malloc(load->batch > 1 ? ANSWER_BYTES : 16384);
        epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event);
    }
    make_request(load);
    began = next = now();
    for (long i = 0; load->rate == 0 && i < load->connections; i++)
        send_request(load, &connections[i]);

    for (;;) {
        double t = now(), wait = 1;
        struct timespec timeout;
        int n, busy = 0;
        int is_over = load->jobs ? load->done >= load->jobs : t - began >= load->seconds;

        if (is_over && load->rate == 0)
            break;
        if (load->rate > 0) {
            for (long i = 0; !is_over && t >= next && i < load->connections; i++) {
                if (connections[i].is_busy)
                    continue;
                send_request(load, &connections[i]);
                next += 1 / load->rate;
            }
            for (long i = 0; i < load->connections; i++)
                busy |= connections[i].is_busy;
            if (is_over && !busy)
                break;
            wait = 0; /* spin, so that sending is on time */
            if (load->is_calm)
                wait = is_over ? 0.01 : next > now() ? next - now() : 0;
        }
        timeout = (struct timespec){ (time_t) wait, (long) ((wait - (time_t) wait) * 1e9) };
        n = epoll_pwait2(epoll, events, 256, &timeout, NULL);
        for (int i = 0; i < n; i++) {
            Connection *connection = &connections[events[i].data.u64];

            if (!read_answer(connection))
                continue;
            connection->is_busy = 0;
            load->done += load->batch;
            if (load->rate == 0)
                send_request(load, connection);
        }
    }
    printf("%.2f %ld\n", (double) load->done / (now() - began) / 1000, load->done);
}

int main(int argc, char **argv)
{
    Load load = { .connections = 64, .batch = 1, .seconds = 5, .type = "noop", .bytes = 100 };

    if (argc < 2 || argc % 2) {
        fprintf(stderr, "usage: load PORT [--connections N] [--batch N] [--seconds S] [--jobs N] "
                        "[--rate R] [--type T] [--bytes N] [--calm 1]\n");
        return 64;
    }
    load.port = atoi(argv[1]);
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];

        if (!strcmp(name, "--connections"))
            load.connections = atol(value);
        else if (!strcmp(name, "--batch"))
            load.batch = atol(value);
        else if (!strcmp(name, "--seconds"))
            load.seconds = atof(value);
        else if (!strcmp(name, "--jobs"))
            load.jobs = atol(value);
        else if (!strcmp(name, "--rate"))
            load.rate = atof(value);
        else if (!strcmp(name, "--type"))
            load.type = value;
        else if (!strcmp(name, "--bytes"))
            load.bytes = atol(value);
        else if (!strcmp(name, "--args") && strlen(value) <= ARGS_MAX)
            load.args = value;
        else if (!strcmp(name, "--calm"))
            load.is_calm = atol(value);
    }
    if (load.connections < 1 || load.connections > CONNECTIONS_MAX || load.batch < 1 ||
        load.batch > 10000 || load.bytes < 0 || load.bytes > BYTES_MAX)
        return 64;
    run(&load);
    return 0;
}
