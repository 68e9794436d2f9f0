/*
 * The spawner, and boxes that start and end.
 *
 * The engine makes everything that it will share with a box (a pair of sockets, two sealed pieces
 * of memory, a pipe for its last words), hands the box's ends to the spawner, and waits until the
 * box says that it is ready. A fiber listens to the spawner and tells each box's fiber how its
 * process ended. A spawner that ends takes its boxes along; the next box that is wanted starts
 * another.
 */
#include "worker/box_int.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "worker/box_sandbox_int.h"

#include <sluice/rt/io.h>
#include <sluice/rt/scope.h>

#include <fcntl.h>
#include <linux/memfd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PRELOAD_RUNS   100 /* of a box; below it the spawner keeps the libraries of boxes loaded */
#define CRASHED_STATUS SIGKILL   /* of boxes whose spawner has gone: they went with it */
#define HEARD_BYTES    (1 << 20) /* more than a pipe holds: what has ended says no more than that */

static Box *box_at(ListLink *link)
{
    return LIST_ITEM(link, Box, all_link);
}

const char **box_environment(void)
{
    static const char *const kept[] = { "PATH=", "HOME=",  "LANG=",       "LC_",    "TZ=",
                                        "LD_",   "VIPS_",  "FONTCONFIG_", "G_",     "ASAN_",
                                        "TSAN_", "UBSAN_", "LSAN_",       "MALLOC_" };
    const char **env;
    size_t n = 0, all = 0;

    while (environ[all])
        all++;
    env = mem_new_array(const char *, all + 1);
    for (size_t i = 0; i < all; i++) {
        bool is_kept = false;

        for (size_t k = 0; k < ARRAY_LEN(kept) && !is_kept; k++)
            is_kept = strncmp(environ[i], kept[k], strlen(kept[k])) == 0;
        if (is_kept)
            env[n++] = environ[i];
    }
    return env;
}

/* ---- the end of a box ------------------------------------------------------------------------ */

static void box_free(Box *box)
{
    sl_fd_close(box->socket);
    sl_fd_close(box->words);
    if (box->input)
        (void) munmap(box->input, LIMIT_BOX_INPUT_BYTES);
    if (box->output)
        (void) munmap(box->output, LIMIT_BOX_OUTPUT_BYTES);
    mem_free(box);
}

static void box_forget(BoxPool *pool, Box *box)
{
    list_remove(&box->link);
    list_remove(&box->all_link);
    box_free(box);
    if (list_is_empty(&pool->all))
        pool->empty_since_ns = sl_now_ns();
}

static void count_end(BoxPool *pool, BoxEnd why)
{
    static const char *const causes[] = {
        [BOX_END_CRASH] = "crash",       [BOX_END_RULES] = "rules", [BOX_END_KILLED] = "killed",
        [BOX_END_RECYCLED] = "recycled", [BOX_END_START] = "start", [BOX_END_IDLE] = "idle",
        [BOX_END_STOP] = "stop",
    };

    metrics_add_label(METRIC_BOX_ENDED, str_from_c(causes[why]), 1);
    if (why == BOX_END_RECYCLED)
        pool->stats.recycled++;
    else if (why == BOX_END_IDLE)
        pool->stats.retired++;
    else if (why == BOX_END_KILLED)
        pool->stats.killed++;
    else if (why != BOX_END_STOP)
        pool->stats.crashes++;
}

void box_end(BoxPool *pool, Box *box, BoxEnd why)
{
    SpawnMessage message = { .kind = SPAWN_KILL, .id = box->id };

    count_end(pool, why);
    list_remove(&box->link);
    if (box->ended.is_set || !box->is_asked || !pool->spawner)
        return box_forget(pool, box);
    box->place = BOX_ENDING;
    list_push_back(&pool->ending, &box->link);
    /* A full socket means a spawner that does nothing: then the box ends with it. */
    if (send(pool->spawner->socket, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        (void) sl_process_kill_group(pool->spawner->process, SIGKILL);
    sl_fd_close(box->socket);
    box->socket = -1;
}

void box_hear_words(Box *box)
{
    char text[1024];
    size_t heard = 0;
    ssize_t n;

    /* One that goes on may say more as quickly as it is read. */
    for (; heard < HEARD_BYTES && (n = read(box->words, text, sizeof(text))) > 0;
         heard += (size_t) n) {
        size_t len = MIN((size_t) n, (size_t) LIMIT_BOX_WORDS_BYTES);
        size_t kept = MIN(box->last_words_len, LIMIT_BOX_WORDS_BYTES - len);

        memmove(box->last_words, box->last_words + box->last_words_len - kept, kept);
        memcpy(box->last_words + kept, text + (size_t) n - len, len);
        box->last_words_len = kept + len;
    }
}

static int fail_ended(const Box *box)
{
    Str words = str_trim(str_from(box->last_words, box->last_words_len));
    const char *said = words.len ? "; its last words: " : "";
    int status = box->status;

    if (box->is_orphan)
        return fail(-ERR_BOX, "the box ended with the process that all boxes come from%s%.*s", said,
                    (int) words.len, words.data);
    if (WIFEXITED(status))
        return fail(-ERR_BOX, "the box ended with exit code %d%s%.*s", WEXITSTATUS(status), said,
                    (int) words.len, words.data);
    if (WTERMSIG(status) == SIGXCPU)
        return fail(-ERR_BOX, "the box used up its processor time%s%.*s", said, (int) words.len,
                    words.data);
    return fail(-ERR_BOX, "the box was ended by signal %d (%s)%s%s%.*s", WTERMSIG(status),
                strsignal(WTERMSIG(status)),
                WTERMSIG(status) == SIGKILL ? ", perhaps for want of memory" : "", said,
                (int) words.len, words.data);
}

int box_post_mortem(BoxPool *pool, Box *box)
{
    sl_scope scope;
    int r;

    (void) pool;
    sl_scope_begin(&scope, .is_shield = true, .timeout_ms = LIMIT_BOX_END_MS);
    r = sl_event_wait(&box->ended);
    r = sl_scope_end(&scope, r);
    box_hear_words(box);
    if (r < 0)
        return fail(-ERR_BOX, "the box has closed its door and goes on");
    return fail_ended(box);
}

/* ---- the spawner ----------------------------------------------------------------------------- */

/* BOX's process has ended. Whoever holds the box hears of it; a box that nobody holds goes. */
static void note_end(BoxPool *pool, Box *box, int status)
{
    box->status = status;
    sl_event_set(&box->ended);
    if (box->place == BOX_ENDING) {
        box_forget(pool, box);
    } else if (box->place == BOX_IDLE) {
        box_hear_words(box);
        log_debug("an idle box ended", L_INT("status", status));
        count_end(pool, BOX_END_CRASH);
        box_forget(pool, box);
        box_pool_publish(pool);
        sl_cond_wake_one(&pool->wants); /* it may have been one that is to be ready */
    }
}

static void hear_spawner(BoxPool *pool, const SpawnMessage *message)
{
    list_each(&pool->all, link) {
        Box *box = box_at(link);

        if (box->id != message->id)
            continue;
        if (message->kind == SPAWN_FAILED)
            box->is_asked = false;
        note_end(pool, box, message->kind == SPAWN_ENDED ? message->status : CRASHED_STATUS);
        return;
    }
}

/* Fiber: listen to one spawner until it ends. */
SUSPENDS static int listen_to_spawner(void *arg)
{
    BoxSpawner *spawner = arg;
    BoxPool *pool = spawner->pool;
    SpawnMessage message;
    ssize_t n;

    while ((n = sl_fd_recv(spawner->socket, &message, sizeof(message))) ==
           (ssize_t) sizeof(message))
        hear_spawner(pool, &message);
    if (pool->spawner == spawner) { /* else it was dismissed, and all boxes are another's */
        pool->spawner = NULL;
        list_each(&pool->all, link) {
            box_at(link)->is_orphan = true;
            note_end(pool, box_at(link), CRASHED_STATUS);
        }
    }
    sl_process_close(spawner->process);
    mem_free(spawner);
    sl_cond_wake_all(&pool->wants);
    return n == -ECANCELED ? -ECANCELED : 0;
}

void box_dismiss_spawner(BoxPool *pool)
{
    BoxSpawner *spawner = pool->spawner;

    ASSERT(spawner && list_is_empty(&pool->all));
    pool->spawner = NULL;
    /* The fiber that listens to it hears it end, and frees it. */
    (void) sl_process_kill_group(spawner->process, SIGKILL);
}

SUSPENDS static int start_spawner(BoxPool *pool)
{
    static const char *const argv[] = { "/proc/self/exe", BOX_SPAWNER_VERB, NULL };
    BoxSpawner *spawner;
    sl_process *process;
    int r;

    r = sl_process_start(&process, pool->opts.argv ? pool->opts.argv : argv, .env = pool->env,
                         .cwd = "/", .stdin_as = SL_STDIO_SOCKET, .stderr_as = SL_STDIO_INHERIT);
    if (r < 0)
        return r;
    spawner = mem_new(BoxSpawner);
    *spawner = (BoxSpawner){ pool, process, sl_process_stdin(process) };
    r = sl_spawn(pool->nursery, listen_to_spawner, spawner, .name = "box spawner");
    if (r < 0) {
        sl_process_close(process);
        mem_free(spawner);
        return r;
    }
    pool->spawner = spawner;
    return 0;
}

/* ---- the start of a box ---------------------------------------------------------------------- */

/* Memory of fixed size, shared with a box: its descriptor, mapped at *RET_AT. */
static int make_memory(size_t bytes, int *ret_fd, unsigned char **ret_at)
{
    int fd = memfd_create("sluice-box", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *at;

    if (fd < 0)
        return fail_errno("shared memory");
    *ret_fd = fd;
    if (ftruncate(fd, (off_t) bytes) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return fail_errno("shared memory");
    at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return fail_errno("map shared memory");
    *ret_at = at;
    return 0;
}

static int make_ends(Box *box, int theirs[SPAWN_FDS])
{
    int ends[2];
    int r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return fail_errno("socket of a box");
    box->socket = ends[0];
    theirs[SPAWN_FD_SOCKET] = ends[1];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return fail_errno("pipe of a box");
    box->words = ends[0];
    theirs[SPAWN_FD_WORDS] = ends[1];
    r = sl_fd_adopt(box->socket);
    if (r == 0)
        r = make_memory(LIMIT_BOX_INPUT_BYTES, &theirs[SPAWN_FD_INPUT], &box->input);
    if (r == 0)
        r = make_memory(LIMIT_BOX_OUTPUT_BYTES, &theirs[SPAWN_FD_OUTPUT], &box->output);
    return r;
}

/* Ask the spawner for a process for BOX, with its ends of everything. */
SUSPENDS static int ask_for(BoxPool *pool, Box *box, const int theirs[SPAWN_FDS])
{
    SpawnMessage body = { .kind = SPAWN_START,
                          .id = box->id,
                          .memory_bytes = pool->opts.memory_bytes,
                          .does_preload = pool->opts.runs_max < PRELOAD_RUNS };
    struct iovec bytes = { &body, sizeof(body) };
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(SPAWN_FDS * sizeof(int))];
    } control = { .room = { 0 } };
    struct msghdr message = { .msg_iov = &bytes,
                              .msg_iovlen = 1,
                              .msg_control = control.room,
                              .msg_controllen = sizeof(control.room) };
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    int r = 0;

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(SPAWN_FDS * sizeof(int));
    memcpy(CMSG_DATA(head), theirs, SPAWN_FDS * sizeof(int));
    while (r == 0 && pool->spawner) {
        if (sendmsg(pool->spawner->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) {
            box->is_asked = true;
            return 0;
        }
        if (errno != EAGAIN)
            return fail_errno("ask for a box");
        r = sl_fd_wait(pool->spawner->socket, SL_FD_WRITE, NULL);
    }
    return r < 0 ? r : fail(-ERR_BOX, "the spawner of boxes has ended");
}

/* The names of the walls in SET, one after the other. */
static void list_walls(uint32_t set, char *out, size_t cap)
{
    size_t len = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < BOX_WALL_COUNT; i++)
        if (set & UINT32_C(1) << i && len < cap)
            len += (size_t) snprintf(out + len, cap - len, "%s%s", len ? ", " : "",
                                     box_wall_name(i));
}

/* For who runs the engine; once. */
static void tell_walls(uint32_t missing)
{
    char lacks[256], keeps[256];

    list_walls(missing, lacks, sizeof(lacks));
    list_walls(~missing, keeps, sizeof(keeps));
    log_info("the kernel does not give boxes all their walls here", L_C("missing", lacks),
             L_C("standing", keeps));
}

/* Whether the walls that BOX has are enough. */
static int judge_walls(BoxPool *pool, uint32_t missing)
{
    const char *name = NULL;

    if (!pool->stats.is_known && missing)
        tell_walls(missing);
    pool->stats.missing = missing;
    pool->stats.is_known = true;
    if (pool->opts.walls == BOX_WALLS_FILTER)
        missing &= BOX_WALL_BIT(FILTER);
    if (pool->opts.walls == BOX_WALLS_ANY || missing == 0)
        return 0;
    for (unsigned i = 0; i < BOX_WALL_COUNT && !name; i++)
        name = missing & UINT32_C(1) << i ? box_wall_name(i) : NULL;
    pool->lacks_walls = true;
    return fail(-ERR_UNAVAILABLE, "the kernel gives boxes no %s here, and --box-walls wants %s",
                name, pool->opts.walls == BOX_WALLS_ALL ? "all walls" : "it");
}

SUSPENDS static int wait_until_ready(BoxPool *pool, Box *box)
{
    BoxWord word;
    sl_scope scope;
    ssize_t n;
    int r;

    sl_scope_begin(&scope, .timeout_ms = LIMIT_BOX_START_MS);
    n = sl_fd_recv(box->socket, &word, sizeof(word));
    r = sl_scope_end(&scope, n < 0 ? (int) n : 0);
    if (r == -ETIMEDOUT)
        return fail(-ERR_BOX, "a box takes longer than %d ms to start", LIMIT_BOX_START_MS);
    if (r == -ECANCELED)
        return r;
    if (r < 0 || n == 0)
        return box_post_mortem(pool, box);
    if (n != (ssize_t) sizeof(word) || word.kind != BOX_READY)
        return fail(-ERR_BOX, "a box does not start as boxes do");
    return judge_walls(pool, word.missing);
}

static void close_theirs(int theirs[SPAWN_FDS])
{
    for (size_t i = 0; i < SPAWN_FDS; i++) {
        if (theirs[i] >= 0)
            (void) close(theirs[i]);
    }
}

int box_start(BoxPool *pool, Box **ret_box)
{
    int theirs[SPAWN_FDS] = { -1, -1, -1, -1 };
    Box *box;
    int r = pool->spawner ? 0 : start_spawner(pool);

    if (r < 0)
        return wrap(r, "start a box");
    box = mem_new(Box);
    box->id = ++pool->next_id;
    box->place = BOX_STARTING;
    box->socket = box->words = -1;
    list_push_back(&pool->all, &box->all_link);
    pool->starting++;
    r = make_ends(box, theirs);
    if (r == 0)
        r = ask_for(pool, box, theirs);
    close_theirs(theirs);
    if (r == 0)
        r = wait_until_ready(pool, box);
    if (r == 0 && box->ended.is_set)
        r = box_post_mortem(pool, box); /* that was its last word */
    pool->starting--;
    if (r < 0) {
        box_end(pool, box, BOX_END_START);
        return wrap(r, "start a box");
    }
    box->place = BOX_BUSY;
    *ret_box = box;
    return 0;
}
