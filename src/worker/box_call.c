/*
 * One run in a box: what is said to it, and what is believed of its answer.
 *
 *   B1  Nothing that a box can still change is looked at twice: a message is in the engine's own
 *       memory before it is checked, and so are outputs and result before they are used.
 *   B2  Every offset and length of a box is checked against the size of the memory they point into,
 *       every text for its end and its characters.
 *   B3  Whatever it says, a box costs the run its answer and nothing else.
 *   B4  Nothing that a box says outside of a run is heard in one: a box that has spoken meanwhile
 *       is replaced before it is given the next, and an answer is for the run whose number it has.
 */
#include "worker/box_int.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/metrics.h"

#include <sluice/json.h>
#include <sluice/rt/fiber.h>
#include <sluice/rt/io.h>
#include <sluice/rt/scope.h>

#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define CPU_SPARE 2  /* seconds of processor time for each of the time-out: several threads */
#define TIDY_RUNS 64 /* after so many, output memory is given back whatever the box says */

static int fail_rules(const char *what)
{
    return fail(-ERR_BOX, "the box does not keep to the rules: %s", what);
}

/* ---- to the box ------------------------------------------------------------------------------ */

static int set_text(char *to, size_t size, const char *from, const char *what)
{
    int n = snprintf(to, size, "%s", from ? from : "");

    return n >= 0 && (size_t) n < size
               ? 0
               : fail(-ERR_INVALID, "%s: must have at most %zu characters", what, size - 1);
}

static int fill_message(const BoxRun *run, uint64_t number, BoxRunMessage *message)
{
    int r;

    *message = (BoxRunMessage){ .kind = BOX_RUN,
                                .attempt = run->attempt,
                                .max_attempts = run->max_attempts,
                                .is_direct = run->is_direct,
                                .is_foreground = run->is_foreground,
                                .is_vector_allowed = run->is_vector_allowed,
                                .has_media_type = run->input.media_type != NULL,
                                .number = number,
                                .cpu_seconds = (run->timeout_ms / MS_PER_S + 1) * CPU_SPARE,
                                .args_len = run->args.len,
                                .input_len = run->input.bytes.len };
    r = set_text(message->type, sizeof(message->type), run->handler->type, "type");
    if (r == 0)
        r = set_text(message->job_id, sizeof(message->job_id), run->job_id, "job id");
    if (r == 0)
        r = set_text(message->media_type, sizeof(message->media_type), run->input.media_type,
                     "media type of the input");
    return r;
}

/* Copy between the box's memory and the engine's. The loop has its turn between two pieces: memory
 * that is touched for the first time takes milliseconds for the largest. */
SUSPENDS static int copy_in_turns(void *to, const void *from, size_t len)
{
    for (size_t at = 0; at < len; at += LIMIT_BOX_COPY_BYTES) {
        int r = at > 0 ? sl_yield() : 0;

        if (r < 0)
            return r;
        memcpy((char *) to + at, (const char *) from + at,
               MIN(len - at, (size_t) LIMIT_BOX_COPY_BYTES));
    }
    return 0;
}

SUSPENDS static int say_run(Box *box, const BoxRun *run, const BoxRunMessage *message)
{
    ssize_t n;
    int r;

    if (run->args.len)
        memcpy(box->input, run->args.data, run->args.len);
    r = copy_in_turns(box->input + run->args.len, run->input.bytes.data, run->input.bytes.len);
    if (r < 0)
        return r;
    n = sl_fd_send(box->socket, message, sizeof(*message));
    return n < 0 ? (int) n : 0;
}

/* Whether BOX has said nothing since its last run (B4). 0; BOX_CALL_GONE: it has ended, or has said
 * something, which *RET_WHY tells. */
static int check_silence(const Box *box, BoxEnd *ret_why)
{
    char byte;
    ssize_t n = recv(box->socket, &byte, sizeof(byte), MSG_DONTWAIT | MSG_PEEK);

    if (n < 0 && errno == EAGAIN)
        return 0;
    *ret_why = n > 0 ? BOX_END_RULES : BOX_END_CRASH;
    return BOX_CALL_GONE;
}

/* ---- from the box ---------------------------------------------------------------------------- */

/* Visible ASCII and spaces that may stand in a header, with an end within SIZE. */
static bool is_text(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\0')
            return true;
        if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
            return false;
    }
    return false;
}

static bool is_within(uint64_t offset, uint64_t len)
{
    return offset <= LIMIT_BOX_OUTPUT_BYTES && len <= LIMIT_BOX_OUTPUT_BYTES - offset;
}

/* Whether outputs and text fit into the memory side by side: a box that says that its outputs lie
 * on top of each other would have the engine copy the same bytes as often as it likes (B3). */
static bool is_together(const BoxResult *result)
{
    uint64_t left = LIMIT_BOX_OUTPUT_BYTES;

    if (result->len > left)
        return false;
    left -= result->len;
    for (uint32_t i = 0; i < result->n_outputs; i++) {
        if (result->outputs[i].len > left)
            return false;
        left -= result->outputs[i].len;
    }
    return true;
}

SUSPENDS static int take_output(const Box *box, BoxRun *run, const BoxOutput *output)
{
    TaskBlob *blob = &run->outputs[run->n_outputs];
    char *bytes;

    if (!is_within(output->offset, output->len) || !is_text(output->name, sizeof(output->name)) ||
        !is_text(output->media_type, sizeof(output->media_type)))
        return fail_rules("an output that cannot be"); /* B2 */
    bytes = mem_try(MAX(output->len, (uint64_t) 1));
    if (!bytes)
        return fail(-ENOMEM, "no memory for an output of %llu bytes",
                    (unsigned long long) output->len);
    run->n_outputs++;
    *blob = (TaskBlob){ .bytes = str_from(bytes, output->len) };
    if (output->name[0])
        blob->name = arena_copy_c(run->arena, str_from_c(output->name));
    if (output->media_type[0])
        blob->media_type = arena_copy_c(run->arena, str_from_c(output->media_type));
    return copy_in_turns(bytes, box->output + output->offset, output->len); /* B1 */
}

static int take_result_text(const Box *box, BoxRun *run, const BoxResult *result)
{
    JsonDoc doc;
    int r;

    if (!is_within(result->offset, result->len))
        return fail_rules("a result outside of its memory");
    if (result->len == 0)
        return 0;
    buf_add(run->result, box->output + result->offset, result->len); /* B1 */
    r = buf_check(run->result);
    if (r == 0)
        r = json_parse(run->arena, buf_str(run->result), &doc);
    return r < 0 ? fail_rules("a result that is no JSON") : 0;
}

/* The handler's own error. What only the engine may say is taken for the handler's failure. */
static int take_error(const BoxResult *result)
{
    int r = result->r;

    if (r < -4095 || r == -ECANCELED || r == -ETIMEDOUT)
        r = -ERR_HANDLER;
    return fail(r, "%.*s", (int) strnlen(result->words, sizeof(result->words)), result->words);
}

SUSPENDS static int take_result(Box *box, BoxRun *run, const BoxResult *result, size_t len,
                                bool *ret_usable)
{
    int r = 0;

    if (len < offsetof(BoxResult, outputs) || result->n_outputs > TASK_OUTPUTS ||
        len != offsetof(BoxResult, outputs[result->n_outputs]) || result->r > 0)
        return fail_rules("an answer that is none");
    if (result->number != box->number) /* B4 */
        return fail_rules("an answer to another run");
    if (!is_text(result->code, sizeof(result->code)))
        return fail_rules("a code with characters that no code has");
    if (!is_together(result))
        return fail_rules("more outputs than its memory holds");
    box->own_bytes = result->own_bytes;
    run->is_final = result->is_final != 0;
    run->is_partial = result->is_partial != 0;
    if (result->code[0])
        run->error_code = arena_copy_c(run->arena, str_from_c(result->code));
    if (result->r < 0) {
        *ret_usable = true;
        return take_error(result);
    }
    r = take_result_text(box, run, result);
    for (uint32_t i = 0; i < result->n_outputs && r == 0; i++) {
        r = take_output(box, run, &result->outputs[i]);
        box->output_used = MAX(box->output_used,
                               result->outputs[i].offset + result->outputs[i].len);
    }
    *ret_usable = r == 0;
    return r;
}

/* ---- in between ------------------------------------------------------------------------------ */

/* A line of log or a word of progress; false when it is neither. */
static bool take_text(const BoxRun *run, const BoxText *text, size_t len, uint32_t *lines)
{
    Str said;

    if (len < offsetof(BoxText, text) || len > sizeof(BoxText))
        return false;
    said = str_from(text->text, len - offsetof(BoxText, text));
    if (!str_is_utf8(said))
        return false;
    if (text->kind == BOX_PROGRESS && run->progress)
        run->progress(run->ctx, text->fraction, said);
    if (text->kind == BOX_LOG && run->log && (*lines)++ < LIMIT_BOX_LINES)
        run->log(run->ctx, said);
    return true;
}

SUSPENDS static int take_wish(BoxPool *pool, Box *box, const BoxRun *run, BoxCharge *charge,
                              int64_t bytes)
{
    BoxWord answer = { .kind = BOX_GRANT };
    int64_t before_ns = charge->waited_ns;
    ssize_t n;
    int r = budget_take(&pool->budget, charge, bytes);

    if (charge->waited_ns > before_ns)
        metrics_observe_label(METRIC_BOX_MEMORY_WAIT, str_from_c(run->handler->type),
                              charge->waited_ns - before_ns);
    if (r == -ECANCELED)
        return r;
    if (r < 0)
        err_take(r, NULL); /* the run hears of it, in its own words */
    answer.value = r;
    n = sl_fd_send(box->socket, &answer, sizeof(answer));
    if (n < 0 && n != -ECANCELED)
        return box_post_mortem(pool, box);
    return n < 0 ? (int) n : 0;
}

/* What the box in FRAME says of its memory. */
SUSPENDS static int take_memory(BoxPool *pool, Box *box, const BoxRun *run, BoxCharge *charge,
                                size_t len)
{
    BoxWord word;

    memcpy(&word, box->frame, sizeof(word)); /* B1 */
    if (len != sizeof(word) || word.value < 0)
        return fail_rules("a wish for memory that is none");
    if (word.kind == BOX_RESERVE)
        return take_wish(pool, box, run, charge, word.value);
    if (word.value > charge->held)
        return fail_rules("memory given back that it has not");
    budget_give(&pool->budget, charge, word.value);
    return sl_checkpoint();
}

/* Hear BOX until its run has ended. */
SUSPENDS static int hear_out(BoxPool *pool, Box *box, BoxRun *run, BoxCharge *charge,
                             bool *ret_usable)
{
    uint32_t lines = 0;

    for (;;) {
        ssize_t n = sl_fd_recv(box->socket, box->frame, sizeof(box->frame));
        uint32_t kind = 0;
        int r = 0;

        if (n == -ECANCELED)
            return (int) n;
        if (n <= 0)
            return box_post_mortem(pool, box);
        if ((size_t) n >= sizeof(kind))
            memcpy(&kind, box->frame, sizeof(kind));
        if (kind == BOX_RESULT) {
            BoxResult *result = (BoxResult *) (void *) box->frame;

            return take_result(box, run, result, (size_t) n, ret_usable);
        }
        if (kind == BOX_PROGRESS || kind == BOX_LOG) {
            if (!take_text(run, (BoxText *) (void *) box->frame, (size_t) n, &lines))
                return fail_rules("a text that is none");
            r = sl_checkpoint();
        } else if (kind == BOX_RESERVE || kind == BOX_GIVE_BACK) {
            r = take_memory(pool, box, run, charge, (size_t) n);
        } else {
            return fail_rules("a message of no known kind");
        }
        if (r < 0)
            return r;
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Give back what a large run has used of the shared memory; what is left is used again. */
static void tidy(Box *box, size_t input_used)
{
    bool is_due = box->runs % TIDY_RUNS == 0;

    if (input_used > LIMIT_BOX_KEPT_BYTES)
        (void) madvise(box->input + LIMIT_BOX_KEPT_BYTES,
                       LIMIT_BOX_INPUT_BYTES - LIMIT_BOX_KEPT_BYTES, MADV_REMOVE);
    if (is_due || box->output_used > LIMIT_BOX_KEPT_BYTES)
        (void) madvise(box->output + LIMIT_BOX_KEPT_BYTES,
                       LIMIT_BOX_OUTPUT_BYTES - LIMIT_BOX_KEPT_BYTES, MADV_REMOVE);
    box->output_used = 0;
}

int box_call(BoxPool *pool, Box *box, BoxRun *run, bool *ret_usable, BoxEnd *ret_why)
{
    BoxCharge charge = { .priority = run->priority };
    size_t input_used = run->args.len + run->input.bytes.len;
    BoxRunMessage message;
    int r;

    ASSERT(box->place == BOX_BUSY); /* P1 */
    *ret_usable = false;
    r = check_silence(box, ret_why);
    if (r > 0)
        return r;
    box->number = ++pool->runs_begun;
    r = fill_message(run, box->number, &message);
    *ret_usable = r < 0;
    if (r < 0)
        return r;
    box->runs++;
    r = say_run(box, run, &message);
    if (r < 0 && r != -ECANCELED) {
        err_take(r, NULL); /* it ended while nobody held it: nothing has run */
        *ret_why = BOX_END_CRASH;
        return BOX_CALL_GONE;
    }
    if (r == 0)
        r = hear_out(pool, box, run, &charge, ret_usable);
    budget_give(&pool->budget, &charge, charge.held);
    if (*ret_usable) {
        tidy(box, input_used);
        box_hear_words(box);
        box->last_words_len = 0; /* of a run that ended well */
    }
    *ret_why = r == -ECANCELED ? BOX_END_KILLED : box->ended.is_set ? BOX_END_CRASH : BOX_END_RULES;
    return r;
}

void box_run_deinit(BoxRun *run)
{
    for (uint32_t i = 0; i < run->n_outputs; i++)
        mem_free((void *) (uintptr_t) run->outputs[i].bytes.data);
    run->n_outputs = 0;
}
