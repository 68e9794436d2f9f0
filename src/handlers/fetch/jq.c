/*
 * Expressions of jq for a source: its `each`, and its fields in one program.
 *
 * libjq takes 20 to 40 ms to compile anything at all, because it reads its own library first. So
 * all fields of a source make one program, which gives an array with the values or the error of
 * each field, and the pool compiles it while the request is on its way. Nothing of this runs, and
 * libjq is not even started, for a source whose expressions are all paths.
 */
#include "handlers/fetch/fetch_int.h"

#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#if SL_HAVE_JQ

#include "codec/jq.h"

struct FetchJq {
    const FetchSource *source;
    Jq *each;
    Jq *fields;
    sl_event is_ready;
    bool is_spent; /* stopped, which is for good: another round compiles anew */
    int r;         /* of compiling */
    Err err;
};

/* One visit to the pool. */
typedef struct JqWork {
    Jq *program;
    const Str *items;
    size_t n_items;
    Buf *out; /* an array with the values for each item, or all values of the one */
    bool is_each;
} JqWork;

/* ---- compiling ------------------------------------------------------------------------------- */

/* The expression may end in a comment: its bracket stands on the next line. */
static void add_program(Buf *out, Str expression)
{
    buf_add_c(out, "(try ({v:[");
    buf_add_str(out, expression);
    buf_add_c(out, "\n]}) catch ({e:(if type==\"string\" then . else tojson end)}))");
}

/* Say which field it is that does not compile, by compiling each alone. */
static int blame(const FetchSource *source, int r)
{
    for (size_t i = 0; i < source->n_fields; i++) {
        const FetchField *field = &source->fields[i];
        AUTO(jq_free) Jq *alone = NULL;
        int own;

        if (!field->expr.is_jq)
            continue;
        own = jq_new(field->expr.text, &alone);
        if (own < 0)
            return wrap(own, "fields.%.*s", (int) field->name.len, field->name.data);
    }
    return r;
}

/* On the pool. */
static int compile(void *arg)
{
    FetchJq *jq = arg;
    const FetchSource *source = jq->source;
    AUTO(buf_deinit) Buf text = { 0 };
    bool is_first = true;
    int r = 0;

    if (source->has_each && source->each.is_jq)
        r = wrap(jq_new(source->each.text, &jq->each), "each");
    if (r < 0 || source->n_jq == 0)
        return r;
    buf_add_char(&text, '[');
    for (size_t i = 0; i < source->n_fields; i++) {
        if (!source->fields[i].expr.is_jq)
            continue;
        if (!is_first)
            buf_add_char(&text, ',');
        is_first = false;
        add_program(&text, source->fields[i].expr.text);
    }
    buf_add_char(&text, ']');
    r = buf_check(&text);
    if (r == 0)
        r = jq_new(buf_str(&text), &jq->fields);
    return r < 0 ? blame(source, r) : 0;
}

/* A fiber beside the request. */
SUSPENDS static int compile_beside(void *arg)
{
    FetchJq *jq = arg;

    jq->r = sl_offload(compile, jq, .name = "jq");
    if (jq->r < 0)
        err_take(jq->r, &jq->err);
    jq->is_spent = jq->r < 0;
    sl_event_set(&jq->is_ready);
    return 0;
}

int fetch_jq_open(FetchSource *source, sl_nursery *nursery)
{
    FetchJq *jq;

    if (source->n_jq == 0 && !(source->has_each && source->each.is_jq))
        return 0;
    if (source->jq && !source->jq->is_spent)
        return 0;
    if (source->jq)
        fetch_jq_close(TAKE(source->jq));
    jq = mem_new(FetchJq);
    jq->source = source;
    source->jq = jq;
    return sl_spawn(nursery, compile_beside, jq, .name = "jq");
}

void fetch_jq_close(FetchJq *jq)
{
    jq_free(jq->each);
    jq_free(jq->fields);
    mem_free(jq);
}

/* ---- running --------------------------------------------------------------------------------- */

static int run_items(void *arg)
{
    JqWork *work = arg;
    int r = 0;

    buf_add_char(work->out, '[');
    for (size_t i = 0; r == 0 && i < work->n_items; i++) {
        if (i > 0)
            buf_add_char(work->out, ',');
        r = jq_run(work->program, work->items[i],
                   work->is_each ? NULL : &(JqRunOpts){ .values_max = 1 }, work->out);
    }
    buf_add_char(work->out, ']');
    return r < 0 ? r : buf_check(work->out);
}

static void hurry(void *arg)
{
    JqWork *work = arg;

    jq_stop(work->program);
}

/* WORK on the pool, with a time of its own; its output goes to ARENA. */
SUSPENDS static int run_bounded(FetchSource *source, Arena *arena, JqWork *work, Str *ret_text)
{
    AUTO(buf_deinit) Buf out = { 0 };
    sl_scope scope;
    char *copy;
    int r;

    buf_init(&out, LIMIT_JQ_BYTES + (1 << 20));
    work->out = &out;
    sl_scope_begin(&scope, .timeout_ms = LIMIT_FETCH_JQ_MS);
    r = sl_offload(run_items, work, .name = "jq", .on_cancel = hurry);
    source->jq->is_spent |= r < 0;
    if (r == -ETIMEDOUT && sl_is_cancelled())
        r = -ECANCELED; /* it was stopped: whose time it was the scopes know */
    r = sl_scope_end(&scope, r);
    if (r == -ETIMEDOUT)
        r = fail(r, "jq took longer than %d ms", LIMIT_FETCH_JQ_MS);
    if (r < 0 && r != -ECANCELED)
        (void) fetch_mark(source, FETCH_FAILURE_EXPRESSION);
    if (r < 0)
        return r;
    copy = arena_try(arena, out.len + 1);
    if (!copy)
        return fetch_fail(source, FETCH_FAILURE_TOO_LARGE, "what jq gives is too large");
    memcpy(copy, out.data, out.len);
    *ret_text = str_from(copy, out.len);
    return 0;
}

SUSPENDS static int wait_ready(FetchSource *source)
{
    FetchJq *jq = source->jq;
    int r = sl_event_wait(&jq->is_ready);

    if (r < 0)
        return r;
    if (jq->r < 0) {
        (void) fetch_mark(source, FETCH_FAILURE_EXPRESSION);
        return err_put(&jq->err);
    }
    return 0;
}

int fetch_jq_each(FetchSource *source, Arena *arena, Str json, Str *ret_array)
{
    int r = wait_ready(source);
    JqWork work = { .items = &json, .n_items = 1, .is_each = true };

    if (r < 0)
        return r;
    work.program = source->jq->each;
    return run_bounded(source, arena, &work, ret_array);
}

int fetch_jq_fields(FetchSource *source, Arena *arena, const Str *items, size_t n, Str *ret_arrays)
{
    int r = wait_ready(source);
    JqWork work = { .items = items, .n_items = n };

    if (r < 0)
        return r;
    work.program = source->jq->fields;
    return run_bounded(source, arena, &work, ret_arrays);
}

#else

/* The plan refuses what would need these. */

int fetch_jq_open(FetchSource *source, sl_nursery *nursery)
{
    (void) source;
    (void) nursery;
    return 0;
}

void fetch_jq_close(FetchJq *jq)
{
    (void) jq;
}

int fetch_jq_each(FetchSource *source, Arena *arena, Str json, Str *ret_array)
{
    (void) arena;
    (void) json;
    (void) ret_array;
    return fetch_fail(source, FETCH_FAILURE_EXPRESSION, "this build has no libjq");
}

int fetch_jq_fields(FetchSource *source, Arena *arena, const Str *items, size_t n, Str *ret_arrays)
{
    (void) items;
    (void) n;
    return fetch_jq_each(source, arena, (Str){ 0 }, ret_arrays);
}

#endif
