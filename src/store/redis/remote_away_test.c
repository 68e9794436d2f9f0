/*
 * The store in a cluster one of whose servers stands still: what time asks for goes on in the
 * partitions of the others.
 *
 * Would catch leases that have ended and that nobody ends, because the answer of a healthy server
 * was dropped for the silence of another.
 */
#include "base/test_port.h"
#include "store/redis/remote_world_int.h"
#include "store/redis/request_int.h"

enum { NODES = 3, PARTITIONS = 6, JOBS = 48, SLOTS_EACH = 5462, BUS_BESIDE = 10000 };

typedef struct Node {
    RedisServer server;
    char port[8], file[16];
} Node;

typedef struct Nodes {
    Node nodes[NODES];
    World world;
} Nodes;

/* ---- the cluster ----------------------------------------------------------------------------- */

static bool node_start(Node *node, unsigned index)
{
    char name[16];
    const char *options[] = { "--port",
                              node->port,
                              "--bind",
                              "127.0.0.1",
                              "--dir",
                              test_dir(),
                              "--cluster-enabled",
                              "yes",
                              "--cluster-config-file",
                              node->file,
                              "--cluster-node-timeout",
                              "60000",
                              NULL };

    snprintf(name, sizeof(name), "node%u", index);
    snprintf(node->file, sizeof(node->file), "node%u.conf", index);
    for (unsigned tries = 0; tries < 5; tries++) { /* the port may have been taken since */
        snprintf(node->port, sizeof(node->port), "%u", test_port_pair(BUS_BESIDE));
        if (redis_server_start(&node->server, name, options))
            return true;
    }
    node->server.pid = 0;
    return false;
}

/* Say WORDS to NODE; whether PART is in its answer. */
static bool node_says(const Node *node, const char *words, const char *part)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char line[100], answer[4096];
    ssize_t n = -1;
    int len = snprintf(line, sizeof(line), "%s\r\n", words);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", node->server.socket);
    if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) == 0 &&
        write(fd, line, (size_t) len) == len)
        n = read(fd, answer, sizeof(answer) - 1);
    close(fd);
    answer[MAX(n, (ssize_t) 0)] = '\0';
    return strstr(answer, part) != NULL;
}

/* Each has a third of the slots, and knows of the others. False where servers cannot do that. */
static bool nodes_join(Nodes *nodes)
{
    char words[80];

    for (unsigned i = 0; i < NODES; i++) {
        unsigned from = i * SLOTS_EACH, to = MIN(from + SLOTS_EACH, 16384U) - 1;

        snprintf(words, sizeof(words), "CLUSTER ADDSLOTSRANGE %u %u", from, to);
        if (!node_says(&nodes->nodes[i], words, "+OK"))
            return false;
        snprintf(words, sizeof(words), "CLUSTER MEET 127.0.0.1 %s", nodes->nodes[0].port);
        if (i > 0 && !node_says(&nodes->nodes[i], words, "+OK"))
            return false;
    }
    for (unsigned i = 0; i < NODES; i++) {
        while (!node_says(&nodes->nodes[i], "CLUSTER INFO", "cluster_state:ok"))
            (void) usleep(10000);
    }
    return true;
}

static void nodes_signal(const Nodes *nodes, unsigned from, int number)
{
    for (unsigned i = from; i < NODES; i++)
        EXPECT_OK(kill(nodes->nodes[i].server.pid, number));
}

/* ---- what is due ----------------------------------------------------------------------------- */

/* How many of the jobs lie on the last node. */
static size_t jobs_on_last(void)
{
    size_t n = 0;

    for (unsigned i = 0; i < JOBS; i++) {
        JobId id = job_id(i);
        char key[32];

        snprintf(key, sizeof(key),
                 "sl{%u}:", partition_tag(partition_of_id(&id, PARTITIONS), PARTITIONS));
        n += redis_slot(str_from_c(key)) >= (NODES - 1) * SLOTS_EACH;
    }
    return n;
}

SUSPENDS static void lease_all(Store *store)
{
    Str name = STR_C("a");
    AUTO(store_op_deinit) StoreOp op = { 0 };

    for (unsigned i = 0; i < JOBS; i++)
        EXPECT_OK(job_push(store, i, "a", "t"));
    lease_init(&op, &name, JOBS, false);
    op.lease.default_ms = 1;
    EXPECT_OK(store_run(store, &op));
    EXPECT_EQ(op.lease.n, JOBS);
}

/* The leases that are found to have ended are given back; how many. */
SUSPENDS static size_t rescue(Store *store)
{
    AUTO(store_op_deinit)
    StoreOp expired = { .kind = STORE_EXPIRED, .due.max = (size_t) JOBS * PARTITIONS };
    StoreMove moves[JOBS];
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_MOVE, .move.moves = moves };
    size_t cursor = 0;
    Str record, holder;

    EXPECT_OK(store_run(store, &expired));
    EXPECT_EQ(expired.r, 0);
    while (op.move.n < JOBS && store_out_next(&expired.out, &cursor, &record) &&
           store_out_next(&expired.out, &cursor, &holder))
        moves[op.move.n++] = (StoreMove){ .id = record_id(record),
                                          .from = JOB_IN(ACTIVE),
                                          .to = JOB_AVAILABLE,
                                          .only_expired = true };
    EXPECT_EQ(op.move.n, expired.due.n);
    if (op.move.n > 0)
        EXPECT_OK(store_run(store, &op));
    EXPECT_EQ(op.r, 0);
    for (size_t i = 0; i < op.move.n; i++)
        EXPECT_EQ(moves[i].r, 0);
    return op.move.n;
}

SUSPENDS static int promote(Store *store)
{
    AUTO(store_op_deinit) StoreOp op = { .kind = STORE_PROMOTE, .due.max = 100 };

    EXPECT_OK(store_run(store, &op));
    EXPECT(op.r < 0 || !op.due.is_elsewhere);
    return op.r;
}

SUSPENDS static int stand_still(void *arg)
{
    Nodes *nodes = arg;
    AUTO(sl_nursery_close) sl_nursery *nursery = sl_nursery_open(.name = "world");
    size_t n_last = jobs_on_last(), n = 0;
    Store *store;

    EXPECT(n_last > 0 && n_last < JOBS);
    nodes->world.nursery = nursery;
    store = world_open(&nodes->world);
    EXPECT_OK(promote(store)); /* this one keeps time everywhere */
    lease_all(store);
    nodes_signal(nodes, NODES - 1, SIGSTOP);
    EXPECT_OK(promote(store));
    EXPECT_EQ(rescue(store), JOBS - n_last);
    nodes_signal(nodes, 0, SIGSTOP);
    EXPECT(promote(store) < 0); /* nobody answers */
    nodes_signal(nodes, 0, SIGCONT);
    while (n < n_last && !test_has_failed()) /* the one that was away is asked again */
        n += rescue(store);
    EXPECT_OK(promote(store));
    store_check(store);
    store_close(store);
    return 0;
}

TEST(leases_end_on_the_servers_that_answer)
{
    Nodes nodes = { 0 };
    unsigned n = 0;

    while (n < NODES && node_start(&nodes.nodes[n], n))
        n++;
    if (n == NODES && nodes_join(&nodes)) {
        snprintf(nodes.world.url, sizeof(nodes.world.url), "redis://127.0.0.1:%s?partitions=%d",
                 nodes.nodes[0].port, (int) PARTITIONS);
        EXPECT_OK(sl_run(stand_still, &nodes, .stall_ms = -1));
    } else {
        test_skip(TEST_NO_REDIS ", or it is older than 7.0");
    }
    for (unsigned i = 0; i < NODES; i++)
        redis_server_stop(&nodes.nodes[i].server);
}

TEST_MAIN()
