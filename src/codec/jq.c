/*
 * jq over libjq, with its teeth drawn.
 *
 * libjq has no switches for what a program may reach, but names in jq are lexical: a definition
 * before the program's text hides the one of the library. So each program is compiled behind a
 * prelude that defines anew what reads (`input`, `env`, `modulemeta`), what ends or prints
 * (`halt`, `debug`), and what libjq 1.6 does badly with: a string that grows beyond all memory, an
 * array of one index that is a thousand million, a search for the empty string that never ends.
 * `$ENV` is bound to an empty object; `import` is a syntax error, for it does not stand first.
 *
 * Values share their parts: `reduce range(40) as $i (1; [., .])` is forty arrays in memory and a
 * million million numbers as text. So values are written here, where every step looks at the bound
 * and at the wish to stop, and not by libjq, whose texts end in an overflow; and what makes texts
 * inside a program (`tojson`, `tostring`, formats) weighs its input first.
 *
 * What remains is a program that does not end. libjq looks at its `halted` flag before each step,
 * which is what jq_stop and jq_interrupt set. The flag is cleared when a run starts, so jq_run
 * looks at one of our own after the start; between the two no stop is lost.
 *
 * libjq 1.7 works out `"x" * 1e9` while it compiles, where no prelude is heard and nothing can stop
 * it. So a program that multiplies a literal text is not compiled when its numbers together could
 * make that much: all of them, since an expression may be taken apart in many ways.
 *
 * The prelude is one line, so that the program begins on line 2: words about places are cut.
 */
#include "codec/jq.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <jq.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Of the run that is going on. Whoever ends it from outside holds it in RUN_ENDING, so that libjq
 * hears of the wish within this run and in no later one. */
typedef enum RunState { RUN_NONE, RUN_ON, RUN_ENDING, RUN_ENDED } RunState;

struct Jq {
    jq_state *state;
    atomic_bool is_stopped; /* for good */
    atomic_int run;         /* RunState */
    char words[256];        /* of the first error of the compiler */
};

#define TEXT_TIMES_MAX 1000000 /* as in the prelude */

#define NOT_HERE(name) "def " name ": error(\"" name " is not available here\"); "
#define FAR_INDEX                                                  \
    "any(path(paths)[]; type == \"number\" and . > 1000000) then " \
    "error(\"an index may not be beyond 1000000\") else "

static const char prelude[] = NOT_HERE("input") NOT_HERE("inputs") NOT_HERE("env") NOT_HERE(
    "halt") NOT_HERE("halt_error") NOT_HERE("modulemeta") NOT_HERE("get_search_list")
    NOT_HERE("input_filename") NOT_HERE(
        "input_line_number") "def halt_error($c): halt_error; def debug: .; def debug(m): .; def stderr: .; "
                             "def sl_times($a; $b): $a * $b; def sl_implode: implode; def sl_setpath(p; v): setpath(p; v); "
                             "def sl_indices($i): indices($i); def sl_index($i): index($i); def sl_rindex($i): rindex($i); "
                             "def sl_assign(p; $v): _assign(p; $v); def sl_modify(p; f): _modify(p; f); "
                             "def sl_is_long($a; $b): ($a | type) == \"string\" and ($b | type) == \"number\" and "
                             "  ($a | length) * $b > 1000000; "
                             "def _multiply($a; $b): if sl_is_long($a; $b) or sl_is_long($b; $a) "
                             "  then error(\"a string may not be repeated beyond 1000000 characters\") "
                             "  else sl_times($a; $b) end; "
                             "def implode: if type == \"array\" and all(.[]; type == \"number\" and . >= 0 and "
                             "  . < 1114112 and (. < 55296 or . > 57343)) then sl_implode "
                             "  else error(\"implode needs an array of code points\") end; "
                             "def indices($i): if $i == \"\" then null else sl_indices($i) end; "
                             "def index($i): if $i == \"\" then null else sl_index($i) end; "
                             "def rindex($i): if $i == \"\" then null else sl_rindex($i) end; "
                             "def setpath(p; v): p as $p | if ($p | type) == \"array\" and "
                             "  any($p[]; type == \"number\" and . > 1000000) "
                             "  then error(\"an index may not be beyond 1000000\") else sl_setpath($p; v) end; "
                             "def _assign(paths; $v): if " FAR_INDEX "sl_assign(paths; $v) end; "
                             "def _modify(paths; f): if " FAR_INDEX "sl_modify(paths; f) end; "
                             "def sl_plus($a; $b): $a + $b; def sl_tojson: tojson; def sl_tostring: tostring; "
                             "def sl_format($f): format($f); "
                             "def sl_is_large: (type == \"array\" or type == \"object\") and "
                             "  (reduce limit(250001; ..) as $v (0; . + 256 + ($v | "
                             "    if type == \"string\" then utf8bytelength elif type == \"object\" "
                             "    then reduce keys_unsorted[] as $k (0; . + ($k | utf8bytelength)) "
                             "    else 0 end))) > 64000000; "
                             "def sl_refuse: error(\"the value is too large to be written as a text\"); "
                             "def tojson: if sl_is_large then sl_refuse else sl_tojson end; "
                             "def tostring: if sl_is_large then sl_refuse else sl_tostring end; "
                             "def format($f): if sl_is_large then sl_refuse else sl_format($f) end; "
                             "def _plus($a; $b): if ($a | type) == \"string\" and ($b | type) == \"string\" and "
                             "  sl_plus($a | utf8bytelength; $b | utf8bytelength) > 64000000 "
                             "  then error(\"a string may not be longer than 64000000 bytes\") "
                             "  else sl_plus($a; $b) end; "
                             "def add: reduce .[] as $x (null; . + $x); "
                             "def join($x): reduce .[] as $i (null; (if . == null then \"\" else . + $x end) + "
                             "  ($i | if type == \"boolean\" or type == \"number\" then tojson "
                             "    else . // \"\" end)) // \"\"; "
                             "{} as $ENV |\n";

/* ---- compiling ------------------------------------------------------------------------------- */

/* Keep the first error, without "jq: error: " before and the place behind it. */
static void on_error(void *ctx, jv message)
{
    Jq *jq = ctx;
    jv formatted = jq_format_error(message);
    Str words = str_from_c(jv_string_value(formatted)), prefix = STR("jq: error: ");
    const char *place;

    if (jq->words[0] == '\0') {
        if (str_starts(words, prefix))
            words = str_sub(words, prefix.len, words.len);
        place = memmem(words.data, words.len, " at <top-level>", 15);
        if (place)
            words.len = (size_t) (place - words.data);
        place = memmem(words.data, words.len, " (Unix shell", 12);
        if (place)
            words.len = (size_t) (place - words.data);
        words = str_cut_utf8(words, sizeof(jq->words) - 1);
        memcpy(jq->words, words.data, words.len);
        jq->words[words.len] = '\0';
    }
    jv_free(formatted);
}

/* The product of all number literals of TEXT; one below 1 counts as what it divides by. */
static double product_of_numbers(const char *text)
{
    double product = 1;

    while (*text) {
        char *end = NULL;
        double number = *text >= '0' && *text <= '9' ? strtod(text, &end) : 0;

        if (number > 0)
            product *= number < 1 ? 1 / number : number;
        text = end ? end : text + 1;
    }
    return product;
}

/* Whether a "*" of TEXT, a string, has a literal text on one of its sides; a guess when there are
 * comments. */
static bool has_times_literal(const char *text)
{
    for (const char *star = strchr(text, '*'); star; star = strchr(star + 1, '*')) {
        const char *left = star, *right = star + 1;

        while (left > text && strchr(" \t\r\n)", left[-1]))
            left--;
        right += strspn(right, " \t\r\n(");
        if ((left > text && left[-1] == '"') || *right == '"' || *right == '@' || strchr(text, '#'))
            return true;
    }
    return false;
}

void jq_free(Jq *jq)
{
    if (!jq)
        return;
    if (jq->state)
        jq_teardown(&jq->state);
    mem_free(jq);
}

int jq_new(Str text, Jq **ret_jq)
{
    AUTO(jq_free) Jq *jq = NULL;
    AUTO(buf_deinit) Buf whole = { 0 };
    int r;

    if (text.len > LIMIT_JQ_PROGRAM_BYTES || (text.len > 0 && memchr(text.data, '\0', text.len)))
        return fail(-ERR_INVALID, "an expression of jq has at most %d bytes, none of them zero",
                    LIMIT_JQ_PROGRAM_BYTES);
    buf_add_c(&whole, prelude);
    buf_add_str(&whole, text);
    buf_add_char(&whole, '\0');
    r = buf_check(&whole);
    if (r < 0)
        return r;
    if (product_of_numbers(whole.data + sizeof(prelude) - 1) > TEXT_TIMES_MAX &&
        has_times_literal(whole.data + sizeof(prelude) - 1))
        return fail(-ERR_INVALID, "jq: a string may not be repeated beyond %d characters",
                    TEXT_TIMES_MAX);
    jq = mem_new(Jq);
    jq->state = jq_init();
    if (!jq->state)
        return fail(-ENOMEM, "no memory for jq");
    jq_set_error_cb(jq->state, on_error, jq);
    if (!jq_compile(jq->state, whole.data))
        return fail(-ERR_INVALID, "jq: %s", jq->words[0] ? jq->words : "does not compile");
    *ret_jq = TAKE(jq);
    return 0;
}

/* ---- running --------------------------------------------------------------------------------- */

static bool is_ended(Jq *jq)
{
    return atomic_load(&jq->is_stopped) || atomic_load(&jq->run) != RUN_ON;
}

/* Values on their way to text. */
typedef struct Dump {
    Jq *jq;
    Buf *out;
    size_t bytes_max;
    int depth;
} Dump;

static int dump_value(Dump *dump, jv value);

/* A scalar, which is taken, as libjq writes it: keys, too. */
static void dump_scalar(Dump *dump, jv value)
{
    jv text = jv_dump_string(value, 0);

    buf_add(dump->out, jv_string_value(text), (size_t) jv_string_length_bytes(jv_copy(text)));
    jv_free(text);
}

static int dump_array(Dump *dump, jv value)
{
    int n = jv_array_length(jv_copy(value)), r = 0;

    buf_add_char(dump->out, '[');
    for (int i = 0; r == 0 && i < n; i++) {
        if (i > 0)
            buf_add_char(dump->out, ',');
        r = dump_value(dump, jv_array_get(jv_copy(value), i));
    }
    buf_add_char(dump->out, ']');
    return r;
}

static int dump_object(Dump *dump, jv value)
{
    bool is_first = true;
    int r = 0;

    buf_add_char(dump->out, '{');
    for (int at = jv_object_iter(value); r == 0 && jv_object_iter_valid(value, at);
         at = jv_object_iter_next(value, at)) {
        if (!is_first)
            buf_add_char(dump->out, ',');
        is_first = false;
        dump_scalar(dump, jv_object_iter_key(value, at));
        buf_add_char(dump->out, ':');
        r = dump_value(dump, jv_object_iter_value(value, at));
    }
    buf_add_char(dump->out, '}');
    return r;
}

/* VALUE, which is taken, as JSON within the bounds. */
static int dump_value(Dump *dump, jv value)
{
    jv_kind kind = jv_get_kind(value);
    int r = 0;

    if (kind != JV_KIND_ARRAY && kind != JV_KIND_OBJECT) {
        dump_scalar(dump, value);
    } else if (dump->depth == LIMIT_JQ_DEPTH) {
        jv_free(value);
        return fail(-ERR_TOO_LARGE, "jq: the expression gives more than %d levels of values",
                    LIMIT_JQ_DEPTH);
    } else {
        dump->depth++;
        r = kind == JV_KIND_ARRAY ? dump_array(dump, value) : dump_object(dump, value);
        dump->depth--;
        jv_free(value);
    }
    if (r == 0 && dump->out->len > dump->bytes_max)
        return fail(-ERR_TOO_LARGE, "jq: the expression gives more than %zu bytes",
                    dump->bytes_max);
    if (r == 0 && is_ended(dump->jq))
        return fail(-ETIMEDOUT, "jq: the expression took too long");
    return r < 0 ? r : buf_check(dump->out);
}

#define WORDS_BYTES 300 /* of the error of a program */

/* The error MESSAGE, which is taken: a text as it is, and of anything else as much as is shown. */
static int fail_program(Jq *jq, jv message)
{
    AUTO(buf_deinit) Buf text = { 0 };
    Dump dump = { .jq = jq, .out = &text, .bytes_max = WORDS_BYTES };
    Str words;
    int r;

    if (jv_get_kind(message) == JV_KIND_STRING) {
        buf_add(&text, jv_string_value(message),
                MIN((size_t) jv_string_length_bytes(jv_copy(message)), (size_t) WORDS_BYTES));
        jv_free(message);
    } else {
        r = dump_value(&dump, message);
        if (r < 0)
            err_take(r, NULL); /* as much of it as there is */
    }
    words = str_cut_utf8(buf_str(&text), WORDS_BYTES);
    return fail(-ERR_INVALID, "jq: %.*s", (int) words.len, words.data);
}

/* There is no further value: the program is at its end, or has failed. Takes LAST. */
static int end_values(Jq *jq, jv last)
{
    if (!jv_invalid_has_msg(jv_copy(last))) {
        jv_free(last);
        return 0;
    }
    return fail_program(jq, jv_invalid_get_msg(last));
}

/* Append VALUE, which is taken, as JSON. */
static int add_value(Jq *jq, jv value, const JqRunOpts *opts, size_t n, Buf *out)
{
    size_t values_max = opts && opts->values_max ? opts->values_max : LIMIT_JQ_VALUES;
    size_t bytes_max = opts && opts->bytes_max ? opts->bytes_max : LIMIT_JQ_BYTES;
    Dump dump = { .jq = jq, .out = out, .bytes_max = bytes_max };

    if (n >= values_max) {
        jv_free(value);
        return fail(-ERR_TOO_LARGE, "jq: the expression gives more than %zu values", values_max);
    }
    if (n > 0)
        buf_add_char(out, ',');
    return dump_value(&dump, value);
}

/* The values of a run that is on. */
static int take_values(Jq *jq, const JqRunOpts *opts, Buf *out)
{
    jv value;
    int r = 0;

    for (size_t n = 0; r == 0; n++) {
        value = is_ended(jq) ? jv_invalid() : jq_next(jq->state);
        if (!jv_is_valid(value) && is_ended(jq)) {
            jv_free(value);
            return fail(-ETIMEDOUT, "jq: the expression took too long");
        }
        if (!jv_is_valid(value))
            return end_values(jq, value);
        r = add_value(jq, value, opts, n, out);
    }
    return r;
}

/* The run is over, and who was about to end it from outside has done so. */
static void leave_run(Jq *jq)
{
    int on = RUN_ON;

    if (atomic_compare_exchange_strong(&jq->run, &on, RUN_NONE))
        return;
    while (atomic_load(&jq->run) != RUN_ENDED) /* some instructions of another thread */
        (void) sched_yield();
    atomic_store(&jq->run, RUN_NONE);
}

int jq_run(Jq *jq, Str json, const JqRunOpts *opts, Buf *out)
{
    jv value;
    int r;

    ASSERT(jq && out);
    ASSERT(atomic_load(&jq->run) == RUN_NONE);
    if (json.len > INT32_MAX / 2)
        return fail(-ERR_TOO_LARGE, "jq: the input is too large");
    value = jv_parse_sized(json.data, (int) json.len);
    if (!jv_is_valid(value))
        return end_values(jq, value);
    jq_start(jq->state, value, 0);
    atomic_store(&jq->run, RUN_ON);
    r = take_values(jq, opts, out);
    leave_run(jq);
    return r;
}

void jq_interrupt(Jq *jq)
{
    int on = RUN_ON;

    if (!atomic_compare_exchange_strong(&jq->run, &on, RUN_ENDING))
        return;
    jq_halt(jq->state, jv_invalid(), jv_invalid());
    atomic_store(&jq->run, RUN_ENDED);
}

void jq_stop(Jq *jq)
{
    atomic_store(&jq->is_stopped, true);
    jq_interrupt(jq);
}
