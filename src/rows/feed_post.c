/*
 * Lots by HTTP; see the header.
 *
 * Marks of a feed that keeps none begin anew with each process, so a key made of them alone would
 * be that of another lot of an earlier process, and the server would take new rows for old ones. A
 * random number of the process is in it, therefore: what is delivered again by this process is told
 * apart, what is delivered again by the next one is not.
 */
#include "rows/feed_post.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/rand.h"
#include "codec/http_wait.h"

#include <sluice/rt.h>

#include <stdio.h>

#define KEY_NAME_BYTES 80 /* of the run's id in a key */

int feed_post_init(FeedPost *post, const FeedOpts *opts)
{
    char name[KEY_NAME_BYTES + 1];
    Str run_id = opts->run_id;
    size_t len = 0;

    if (!opts->http)
        return fail(-ERR_UNSUPPORTED, "there is no HTTP client here");
    *post = (FeedPost){ .client = opts->http };
    if (run_id.len == 0)
        return 0;
    for (; len < run_id.len && len < KEY_NAME_BYTES; len++) {
        char c = run_id.data[len];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        name[len] = is_plain || c == '-' || c == '.' || c == '/' ? c : '_';
    }
    name[len] = '\0';
    (void) snprintf(post->key, sizeof(post->key), "%s-%016llx", name,
                    (unsigned long long) rand_entropy());
    return 0;
}

int feed_post_finish(void *state, FeedVerdict *verdict)
{
    (void) state;
    (void) verdict;
    return 0;
}

int feed_post_wait(FeedPost *post)
{
    int r = post->not_before_ns > sl_now_ns() ? sl_sleep_until_ns(post->not_before_ns) : 0;

    if (r == 0)
        post->not_before_ns = 0;
    return r;
}

void feed_post_words(const HttpAnswer *answer, char *out, size_t cap)
{
    AUTO(buf_deinit) Buf clean = { 0 };
    Str text;

    row_add_utf8(&clean, str_sub(buf_str(&answer->body), 0, cap));
    text = str_cut_utf8(str_trim(buf_str(&clean)), cap - 1);
    for (size_t i = 0; i < text.len; i++)
        out[i] = (unsigned char) text.data[i] < ' ' ? ' ' : text.data[i];
    out[text.len] = '\0';
}

static int say_status(const HttpAnswer *answer, FeedVerdict *verdict, int outcome)
{
    char code[16], words[300];

    (void) snprintf(code, sizeof(code), "HTTP_%d", answer->status);
    feed_post_words(answer, words, sizeof(words));
    if (answer->location)
        feed_verdict_say(verdict, code, "status %d: it has moved to %.200s; write that instead",
                         answer->status, answer->location);
    else
        feed_verdict_say(verdict, code, "status %d%s%s", answer->status, words[0] ? ": " : "",
                         words);
    return outcome;
}

/* Remember how long the server asks to be left alone. */
static void note_wait(FeedPost *post, const HttpAnswer *answer)
{
    int64_t wait_ms;

    if (retry_after_parse(http_answer_header(answer, "Retry-After"), sl_wall_ms(),
                          LIMIT_FEED_RETRY_MAX_MS, &wait_ms))
        post->not_before_ns = sl_now_ns() + wait_ms * NS_PER_MS;
}

static int judge(FeedPost *post, const HttpAnswer *answer, FeedVerdict *verdict)
{
    int status = answer->status;

    if (status >= 200 && status < 300)
        return 0;
    if (status == 400 || status == 409 || status == 413 || status == 422)
        return FEED_POST_REFUSED;
    if (status == 507)
        return say_status(answer, verdict, FEED_FULL);
    if (status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501)) {
        note_wait(post, answer);
        return say_status(answer, verdict, FEED_RETRY);
    }
    return say_status(answer, verdict, FEED_STOP);
}

/* The beginning of an answer is all that is looked at. */
static int keep_beginning(void *ctx, Str piece)
{
    HttpAnswer *answer = ctx;
    size_t len = answer->body.len;

    buf_add_str(
        &answer->body,
        str_sub(piece, 0, len < LIMIT_FEED_ANSWER_BYTES ? LIMIT_FEED_ANSWER_BYTES - len : 0));
    return 0;
}

int feed_post(FeedPost *post, HttpCall *call, size_t from, size_t to, HttpAnswer *answer,
              FeedVerdict *verdict)
{
    HttpHeader *headers = (HttpHeader *) call->headers;
    size_t n_headers = call->n_headers;
    char key[200];
    bool is_later;
    Err err;
    int r;

    (void) snprintf(key, sizeof(key), "%s-%llu-%zu-%zu", post->key, (unsigned long long) post->mark,
                    from, to);
    if (post->key[0])
        headers[call->n_headers++] = (HttpHeader){ str_from_c("Idempotency-Key"), str_from_c(key) };
    call->redirects_max = -1;
    call->keep_headers = true;
    call->on_body = keep_beginning;
    call->ctx = answer;
    http_answer_reset(answer);
    r = http_client_call(post->client, call, answer);
    call->n_headers = n_headers;
    if (r == 0)
        return judge(post, answer, verdict);
    if (r == -ECANCELED)
        return r;
    is_later = err_is_retryable(r);
    err_take(r, &err);
    feed_verdict_say(verdict, "HTTP", "%s", err.text);
    return is_later ? FEED_RETRY : FEED_STOP;
}
