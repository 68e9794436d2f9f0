/*
 * jq over libjq, with its teeth drawn.
 *
 * libjq has no switches for what a program may reach, but names in jq are lexical: a definition
 * before the program's text hides the one of the library. So each program is compiled behind a
 * prelude that defines anew what reads (`input`, `env`, `modulemeta`), what ends or prints
 * (`halt`, `debug`), and what libjq 1.6 does badly with: repeating a string beyond all memory, an
 * array of one index that is a thousand million, a search for the empty string that never ends.
 * `$ENV` is bound to an empty object; `import` is a syntax error, for it does not stand first.
 *
 * What remains is a program that does not end. libjq looks at its `halted` flag before each step,
 * which is what jq_stop sets. The flag is cleared when a run starts, so jq_run looks at one of our
 * own after the start; between the two no stop is lost.
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
#include <stdatomic.h>

struct Jq {
    jq_state *state;
    atomic_bool is_stopped;
    char words[256]; /* of the first error of the compiler */
};

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

/* A run ends without a value: at its end, with an error, or stopped. Takes LAST. */
static int end_run(Jq *jq, jv last)
{
    jv message, text;
    int r;

    if (atomic_load(&jq->is_stopped)) {
        jv_free(last);
        return fail(-ETIMEDOUT, "jq: the expression took too long");
    }
    if (!jv_invalid_has_msg(jv_copy(last))) {
        jv_free(last);
        return 0;
    }
    message = jv_invalid_get_msg(last);
    text = jv_get_kind(message) == JV_KIND_STRING ? jv_copy(message)
                                                  : jv_dump_string(jv_copy(message), 0);
    r = fail(-ERR_INVALID, "jq: %.*s", MIN(jv_string_length_bytes(jv_copy(text)), 300),
             jv_string_value(text));
    jv_free(text);
    jv_free(message);
    return r;
}

/* Append VALUE, which is taken, as JSON. */
static int add_value(jv value, const JqRunOpts *opts, size_t n, Buf *out)
{
    size_t values_max = opts && opts->values_max ? opts->values_max : LIMIT_JQ_VALUES;
    size_t bytes_max = opts && opts->bytes_max ? opts->bytes_max : LIMIT_JQ_BYTES;
    jv text;

    if (n >= values_max) {
        jv_free(value);
        return fail(-ERR_TOO_LARGE, "jq: the expression gives more than %zu values", values_max);
    }
    text = jv_dump_string(value, 0);
    if (n > 0)
        buf_add_char(out, ',');
    buf_add(out, jv_string_value(text), (size_t) jv_string_length_bytes(jv_copy(text)));
    jv_free(text);
    if (out->len > bytes_max)
        return fail(-ERR_TOO_LARGE, "jq: the expression gives more than %zu bytes", bytes_max);
    return buf_check(out);
}

int jq_run(Jq *jq, Str json, const JqRunOpts *opts, Buf *out)
{
    jv value;
    int r = 0;

    ASSERT(jq && out);
    if (json.len > INT32_MAX / 2)
        return fail(-ERR_TOO_LARGE, "jq: the input is too large");
    value = jv_parse_sized(json.data, (int) json.len);
    if (!jv_is_valid(value))
        return end_run(jq, value);
    jq_start(jq->state, value, 0);
    for (size_t n = 0; r == 0; n++) {
        if (atomic_load(&jq->is_stopped))
            return fail(-ETIMEDOUT, "jq: the expression took too long");
        value = jq_next(jq->state);
        if (!jv_is_valid(value))
            return end_run(jq, value);
        r = add_value(value, opts, n, out);
    }
    return r;
}

void jq_stop(Jq *jq)
{
    if (!atomic_exchange(&jq->is_stopped, true))
        jq_halt(jq->state, jv_invalid(), jv_invalid());
}
