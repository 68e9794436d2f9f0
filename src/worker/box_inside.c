/*
 * The process that is a box: prepare, shut the door, run what comes.
 *
 * Its one thread reads a message, runs the handler it names, and answers. Arguments and input are
 * read where the engine put them; outputs are written where the engine finds them, one behind the
 * other, and the result's text behind them. Memory is given back after a run that used much, and
 * the engine is told how much is left, so that it can replace a box that has grown. What a run had
 * asked for stays for HOLD_MS, up to HOLD_BYTES: pictures of one kind come in rows, and pages that
 * are fetched anew for each cost a sixth of its time.
 */
#include "worker/box_inside_int.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/text.h"
#include "worker/box_sandbox_int.h"
#include "worker/box_wire_int.h"
#include "worker/runner.h"

#include <sluice/json.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PROGRESS_NS  (50 * NS_PER_MS) /* between two of them; the last one counts */
#define TRIM_BYTES   (8 << 20)        /* more of its own memory than after its start: give back */
#define HOLD_BYTES   (64 << 20)
#define HOLD_MS      100
#define OUTPUT_ALIGN 64

typedef struct Inside {
    const BoxInsideOpts *opts;
    const char *input; /* the engine's */
    unsigned char *output;
    size_t output_used;
    int statm;            /* /proc/self/statm, opened while there was one; -1: not */
    uint64_t start_bytes; /* of its own memory when it was shut */
    uint64_t asked_bytes; /* by the run under way */
    bool is_holding;      /* memory that the next run may want */
    Arena arena;
    Buf result_text;
    Task task;
    uint64_t number;     /* of the run */
    int64_t progress_ns; /* when it last told */
    uint32_t lines;      /* of log in this run */
    BoxResult result;
    unsigned char frame[LIMIT_BOX_FRAME_BYTES];
} Inside;

static Inside *inside_of(Task *task)
{
    return CONTAINER_OF(task, Inside, task);
}

/* Memory that is nobody else's. */
static uint64_t own_bytes(const Inside *inside)
{
    unsigned long resident = 0, shared = 0;
    char text[96] = "";

    if (inside->statm < 0 || pread(inside->statm, text, sizeof(text) - 1, 0) <= 0 ||
        sscanf(text, "%*u %lu %lu", &resident, &shared) != 2 || resident < shared)
        return 0;
    return (uint64_t) (resident - shared) * (uint64_t) sysconf(_SC_PAGESIZE);
}

/* Say LEN bytes to the engine. Ends the process when it has gone. */
static void say(const Inside *inside, const void *message, size_t len)
{
    ssize_t n;

    do {
        n = send(inside->opts->socket, message, len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        _exit(0);
}

/* The engine's next message, in the frame: its length. Ends the process when it has gone. */
static size_t hear(Inside *inside)
{
    ssize_t n;

    do {
        n = recv(inside->opts->socket, inside->frame, sizeof(inside->frame), 0);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        _exit(0);
    return (size_t) n;
}

/* ---- the task its handler sees --------------------------------------------------------------- */

/* Nobody asks it to stop: it is killed. */
static bool inside_is_cancelled(Task *task)
{
    (void) task;
    return false;
}

static int64_t clock_ns(void)
{
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void say_text(const Inside *inside, BoxKind kind, double fraction, Str text)
{
    BoxText message = { .kind = kind, .fraction = fraction };
    Str cut = str_cut_utf8(text, BOX_TEXT_BYTES);

    if (cut.len)
        memcpy(message.text, cut.data, cut.len);
    say(inside, &message, offsetof(BoxText, text) + cut.len);
}

static void inside_progress(Task *task, double fraction, Str message)
{
    Inside *inside = inside_of(task);
    int64_t now_ns = clock_ns();

    if (now_ns - inside->progress_ns < PROGRESS_NS && fraction < 1)
        return;
    inside->progress_ns = now_ns;
    say_text(inside, BOX_PROGRESS, fraction, message);
}

static void inside_log(Task *task, Str line)
{
    Inside *inside = inside_of(task);

    if (inside->lines++ < LIMIT_BOX_LINES)
        say_text(inside, BOX_LOG, 0, line);
}

static HttpClient *inside_http(Task *task)
{
    (void) task;
    return NULL;
}

static int inside_allow_out(Task *task, Str out, Str *ret_out)
{
    (void) task;
    (void) out;
    (void) ret_out;
    return fail(-ERR_FORBIDDEN, "out: a box has no place to write rows to");
}

/* Room at the end of what is used; NULL when there is none. */
static unsigned char *take_room(Inside *inside, size_t bytes)
{
    size_t at = (inside->output_used + OUTPUT_ALIGN - 1) / OUTPUT_ALIGN * OUTPUT_ALIGN;

    if (at > LIMIT_BOX_OUTPUT_BYTES || bytes > LIMIT_BOX_OUTPUT_BYTES - at)
        return NULL;
    inside->output_used = at + bytes;
    return inside->output + at;
}

static int inside_output(Task *task, size_t bytes, unsigned char **ret_room)
{
    unsigned char *room = take_room(inside_of(task), bytes);

    if (!room)
        return fail(-ERR_TOO_LARGE, "the outputs are larger than %d bytes together",
                    LIMIT_BOX_OUTPUT_BYTES);
    *ret_room = room;
    return 0;
}

static int inside_reserve(Task *task, int64_t bytes)
{
    BoxWord message = { .kind = BOX_RESERVE, .value = bytes };
    Inside *inside = inside_of(task);
    BoxWord answer;

    say(inside, &message, sizeof(message));
    if (hear(inside) != sizeof(answer))
        _exit(1);
    memcpy(&answer, inside->frame, sizeof(answer));
    if (answer.kind != BOX_GRANT)
        _exit(1);
    if (answer.value == 0) {
        inside->asked_bytes += (uint64_t) MAX(bytes, INT64_C(0));
        return 0;
    }
    return fail((int) answer.value,
                "the run wants %lld MiB of memory (box_memory_mib says how much there is, and one "
                "run may have most of it): %s",
                (long long) (bytes >> 20), err_sentence((int) answer.value));
}

static void inside_give_back(Task *task, int64_t bytes)
{
    BoxWord message = { .kind = BOX_GIVE_BACK, .value = bytes };

    say(inside_of(task), &message, sizeof(message));
}

static const TaskOps inside_ops = {
    .is_cancelled = inside_is_cancelled,
    .progress = inside_progress,
    .log = inside_log,
    .http = inside_http,
    .allow_out = inside_allow_out,
    .output = inside_output,
    .reserve = inside_reserve,
    .give_back = inside_give_back,
};

/* ---- one run --------------------------------------------------------------------------------- */

static const Handler *find_handler(const Inside *inside, const char *type)
{
    for (size_t i = 0; i < inside->opts->n_handlers; i++) {
        const Handler *handler = inside->opts->handlers[i];

        if (handler->cost == HANDLER_BOX && strcmp(handler->type, type) == 0)
            return handler;
    }
    return NULL;
}

static void set_task(Inside *inside, const BoxRunMessage *run, const Handler *handler)
{
    inside->task = (Task){
        .ops = &inside_ops,
        .job_id = run->job_id,
        .type = run->type,
        .handler = handler,
        .attempt = run->attempt,
        .max_attempts = run->max_attempts,
        .arena = &inside->arena,
        .is_foreground = run->is_foreground,
        .is_vector_allowed = run->is_vector_allowed,
        .input = { .bytes = str_from(inside->input + run->args_len, run->input_len),
                   .media_type = run->has_media_type ? run->media_type : NULL },
    };
}

static int call(Inside *inside, const BoxRunMessage *run)
{
    const Handler *handler = find_handler(inside, run->type);
    JsonWriter writer = JSON_WRITER(&inside->result_text);
    void *args;
    JsonDoc doc;
    int r;

    set_task(inside, run, handler);
    if (!handler)
        return fail(-ERR_NOT_FOUND, "the box knows no handler for \"%s\"", run->type);
    r = json_parse(&inside->arena, str_from(inside->input, run->args_len), &doc);
    if (r == 0)
        r = runner_bind(&inside->arena, handler, &doc, doc.root, run->is_direct, NULL, &args);
    if (r < 0)
        return r;
    sandbox_allow_cpu(run->cpu_seconds);
    r = handler->run(&inside->task, args, &writer);
    if (r > 0)
        return fail(-ERR_HANDLER,
                    "the handler returned an outcome (%d) where 0 or an error "
                    "belongs",
                    r);
    if (r == 0) {
        r = buf_check(&inside->result_text);
        if (r < 0)
            return wrap(r, "the result");
    }
    return r;
}

static int place_result(Inside *inside, BoxResult *result)
{
    unsigned char *room = take_room(inside, inside->result_text.len);

    if (!room)
        return fail(-ERR_TOO_LARGE, "outputs and result are larger than %d bytes together",
                    LIMIT_BOX_OUTPUT_BYTES);
    result->offset = (uint64_t) (room - inside->output);
    result->len = inside->result_text.len;
    if (result->len)
        memcpy(room, inside->result_text.data, inside->result_text.len);
    return 0;
}

static void set_text(char *to, size_t size, const char *from)
{
    (void) snprintf(to, size, "%s", from ? from : "");
}

static void place_outputs(const Inside *inside, BoxResult *result)
{
    for (uint32_t i = 0; i < inside->task.n_outputs; i++) {
        const TaskBlob *blob = &inside->task.outputs[i];
        BoxOutput *output = &result->outputs[i];

        output->offset = (uint64_t) (blob->bytes.data - (const char *) inside->output);
        output->len = blob->bytes.len;
        set_text(output->name, sizeof(output->name), blob->name);
        set_text(output->media_type, sizeof(output->media_type), blob->media_type);
    }
    result->n_outputs = inside->task.n_outputs;
}

/* After a run: hold what it left, or give it back. Returns what is left. */
static uint64_t settle_memory(Inside *inside)
{
    uint64_t own = own_bytes(inside);
    uint64_t more = own - MIN(own, inside->start_bytes);

    inside->is_holding = more > TRIM_BYTES && more <= HOLD_BYTES && more <= inside->asked_bytes;
    if (more <= TRIM_BYTES || inside->is_holding)
        return own;
    (void) malloc_trim(0);
    return own_bytes(inside);
}

/* Between two runs: give back what is held, if the next one takes long to come. */
static void rest(Inside *inside)
{
    struct pollfd socket = { .fd = inside->opts->socket, .events = POLLIN };
    struct timespec hold = { .tv_nsec = HOLD_MS * NS_PER_MS };

    if (inside->is_holding && ppoll(&socket, 1, &hold, NULL) == 0)
        (void) malloc_trim(0);
    inside->is_holding = false;
}

static void answer(Inside *inside, int r)
{
    BoxResult *result = &inside->result;
    Err err;

    result->kind = BOX_RESULT;
    result->number = inside->number;
    result->n_outputs = 0;
    result->offset = result->len = 0;
    result->words[0] = '\0';
    if (r == 0)
        r = place_result(inside, result);
    if (r == 0)
        place_outputs(inside, result);
    if (r < 0) {
        err_take(r, &err);
        set_text(result->words, sizeof(result->words), err.text);
    }
    result->r = r;
    result->is_final = inside->task.is_final;
    result->is_partial = inside->task.is_partial;
    set_text(result->code, sizeof(result->code), inside->task.error_code);
    arena_reset(&inside->arena);
    if (inside->result_text.cap > LIMIT_ARENA_KEPT_BYTES)
        buf_deinit(&inside->result_text);
    result->own_bytes = settle_memory(inside);
    say(inside, result, offsetof(BoxResult, outputs[result->n_outputs]));
}

static void run_one(Inside *inside, const BoxRunMessage *run)
{
    inside->number = run->number;
    inside->output_used = 0;
    inside->asked_bytes = 0;
    inside->lines = 0;
    inside->progress_ns = 0;
    buf_reset(&inside->result_text);
    answer(inside, call(inside, run));
}

/* ---- its life -------------------------------------------------------------------------------- */

static int prepare_handlers(const BoxInsideOpts *opts)
{
    for (size_t i = 0; i < opts->n_handlers; i++) {
        const Handler *handler = opts->handlers[i];
        int r = handler->cost == HANDLER_BOX && handler->prepare ? handler->prepare() : 0;

        if (r < 0)
            return wrap(r, "%s", handler->type);
    }
    return 0;
}

static int map_memory(Inside *inside)
{
    const BoxInsideOpts *opts = inside->opts;
    void *input = mmap(NULL, LIMIT_BOX_INPUT_BYTES, PROT_READ, MAP_SHARED, opts->input, 0);
    void *output = mmap(NULL, LIMIT_BOX_OUTPUT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
                        opts->output, 0);

    if (input == MAP_FAILED || output == MAP_FAILED)
        return fail_errno("map the memory shared with the engine");
    inside->input = input;
    inside->output = output;
    (void) close(opts->input);
    (void) close(opts->output);
    return 0;
}

static int open_box(Inside *inside, uint32_t *ret_missing)
{
    const BoxInsideOpts *opts = inside->opts;
    uint32_t missing = sandbox_limit(opts->missing);
    int r;

    (void) mallopt(M_ARENA_MAX, 2); /* each thread's own heap would never shrink */
    inside->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    arena_init(&inside->arena, LIMIT_RUN_ARENA_BYTES);
    buf_init(&inside->result_text, LIMIT_JOB_RESULT_BYTES);
    r = map_memory(inside);
    if (r == 0)
        r = prepare_handlers(opts);
    if (r < 0)
        return r;
    *ret_missing = sandbox_close(missing, opts->memory_bytes);
    inside->start_bytes = own_bytes(inside);
    return 0;
}

int box_inside_main(const BoxInsideOpts *opts)
{
    Inside *inside = mem_new(Inside); /* as long as the process */
    BoxWord ready = { .kind = BOX_READY };
    int r;

    inside->opts = opts;
    r = open_box(inside, &ready.missing);
    if (r < 0) {
        (void) dprintf(STDERR_FILENO, "prepare: %s\n", err_text(r));
        return 1;
    }
    say(inside, &ready, sizeof(ready));
    for (;;) {
        BoxRunMessage run;

        rest(inside);
        if (hear(inside) != sizeof(run))
            return 1;
        memcpy(&run, inside->frame, sizeof(run));
        if (run.kind != BOX_RUN)
            return 1;
        run_one(inside, &run);
    }
}
