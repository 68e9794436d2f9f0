/*
 * One body after the other, each on the fiber of its request.
 *
 *   N1  A receipt points to its call only while the call is on its fiber's stack: whoever leaves
 *       before the receipt is done cuts the line, and the receipt frees itself.
 *   N2  A decoder belongs to one call at a time. Idle ones are kept by what they were made for.
 *   N3  At most LIMIT_DOOR_UNPACKING bodies are held decompressed before there is room for them.
 */
#include "rows/intake.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <sluice/rt.h>

#define INLINE_UNPACK_BYTES 4096 /* smaller bodies are unpacked on the fiber */
#define RETRY_MS            1000

typedef struct IdleDecoder {
    Decoder *decoder;
    DecodeFormat format;
    TimeUnit unit;
    char *table; /* owned; NULL: the source's */
} IdleDecoder;

struct Intake {
    Source *source;
    IntakeOpts opts;
    bool is_stopping;
    List calls; /* IntakeCall */
    sl_cond left;
    sl_sem unpacking;
    IdleDecoder idle[LIMIT_DOOR_DECODERS]; /* the one that was used last is the last */
    size_t n_idle;
};

/* A call on its way; on the stack of its fiber. */
typedef struct IntakeCall {
    ListLink link;
    Intake *intake;
    DoorCall *call;
    sl_scope *scope; /* around what it waits for; NULL when it does not wait */
    bool is_taken;   /* rows of it are in the channel, or about to be */
    sl_event done;
    Receipt *receipt; /* NULL when it is done, or before */
    DecodeFormat format;
    TimeUnit unit;
    int r; /* the receipt's */
} IntakeCall;

Intake *intake_new(Source *source, const IntakeOpts *opts)
{
    Intake *intake = mem_new(Intake);

    intake->source = source;
    intake->opts = *opts;
    if (!intake->opts.body_bytes_max)
        intake->opts.body_bytes_max = LIMIT_INGEST_BODY_BYTES;
    if (!intake->opts.wait_ms)
        intake->opts.wait_ms = LIMIT_DOOR_WAIT_MS;
    if (!intake->opts.commit_ms)
        intake->opts.commit_ms = LIMIT_DOOR_COMMIT_MS;
    intake->unpacking.count = LIMIT_DOOR_UNPACKING;
    return intake;
}

static void idle_free(IdleDecoder *idle)
{
    decoder_free(idle->decoder);
    mem_free(idle->table);
}

void intake_free(Intake *intake)
{
    if (!intake)
        return;
    ASSERT(list_is_empty(&intake->calls));
    for (size_t i = 0; i < intake->n_idle; i++)
        idle_free(&intake->idle[i]);
    mem_free(intake);
}

/* ---- decoders -------------------------------------------------------------------------------- */

static bool is_for(const IdleDecoder *idle, const IntakeCall *call)
{
    if (idle->format != call->format || idle->unit != call->unit)
        return false;
    return str_eq(str_from_c(idle->table ? idle->table : ""), call->call->measurement);
}

static IdleDecoder decoder_take(Intake *intake, const IntakeCall *call)
{
    DecodeOpts opts = intake->source->decode;
    IdleDecoder made = { .format = call->format, .unit = call->unit };

    for (size_t i = intake->n_idle; i > 0; i--) {
        if (is_for(&intake->idle[i - 1], call)) {
            made = intake->idle[i - 1];
            intake->idle[i - 1] = intake->idle[--intake->n_idle];
            return made;
        }
    }
    opts.format = call->format;
    opts.unit = call->unit;
    if (call->call->measurement.len > 0) {
        opts.table = call->call->measurement;
        made.table = mem_copy_c(opts.table.data, opts.table.len);
    }
    made.decoder = decoder_new(intake->source->shapes, intake->source->pool, &opts);
    return made;
}

static void decoder_put(Intake *intake, IdleDecoder *idle)
{
    decoder_reset(idle->decoder);
    if (intake->n_idle == LIMIT_DOOR_DECODERS) {
        idle_free(&intake->idle[0]);
        intake->idle[0] = intake->idle[--intake->n_idle];
    }
    intake->idle[intake->n_idle++] = *idle;
}

/* ---- what a call asks ------------------------------------------------------------------------ */

/* Compares every byte, however early they differ. */
static bool is_same_secret(Str shown, Str wanted)
{
    unsigned difference = shown.len == wanted.len ? 0 : 1;

    for (size_t i = 0; i < wanted.len; i++)
        difference |= (unsigned) (unsigned char) wanted.data[i] ^
                      (unsigned) (unsigned char) (i < shown.len ? shown.data[i] : 0);
    return difference == 0;
}

/* A token, or "user:token", as clients of InfluxDB 2 write for a server of version 1. */
static int check_token(const Intake *intake, Str shown)
{
    Str wanted = intake->opts.token, behind;
    bool is_whole, is_behind;

    if (wanted.len == 0)
        return 0;
    (void) str_cut(shown, ':', &behind);
    is_whole = is_same_secret(shown, wanted);
    is_behind = is_same_secret(behind, wanted);
    if (is_whole || is_behind)
        return 0;
    return fail(-ERR_UNAUTHORIZED, "%s",
                shown.len ? "the token is not the one this pipeline was given"
                          : "this pipeline wants a token: `Authorization: Token …`");
}

static const char *format_word(DecodeFormat format)
{
    switch (format) {
#define FORMAT_WORD_(name, word) \
    case DECODE_##name: return word;
        DECODE_FORMATS(FORMAT_WORD_)
#undef FORMAT_WORD_
    }
    UNREACHABLE("format");
}

static int check_format(const Intake *intake, IntakeCall *call)
{
    DecodeFormat ours = intake->source->decode.format, theirs = call->call->format;

    call->format = ours == DECODE_AUTO ? theirs : ours;
    if (ours == DECODE_AUTO || theirs == DECODE_AUTO || ours == theirs)
        return 0;
    return fail(-ERR_MEDIA, "this pipeline takes %s, the body is sent as %s", format_word(ours),
                format_word(theirs));
}

static int check_precision(const Intake *intake, IntakeCall *call)
{
    Str text = call->call->precision;
    int r;

    call->unit = intake->source->decode.unit;
    if (text.len == 0)
        return 0;
    r = time_unit_parse(str_eq_c(text, "n") ? str_from_c("ns") : text, &call->unit);
    return r < 0 ? wrap(r, "precision") : 0;
}

static int check_encoding(Str encoding)
{
    static const char *const known[] = { "gzip", "x-gzip", "deflate", "identity" };

    if (encoding.len == 0)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_eq_nocase(encoding, str_from_c(known[i])))
            return 0;
    }
    return fail(-ERR_MEDIA, "Content-Encoding %.*s is not taken; there are gzip and deflate",
                (int) MIN(encoding.len, (size_t) 40), encoding.data);
}

static int check(const Intake *intake, IntakeCall *call)
{
    int r = check_token(intake, call->call->token);

    if (r == 0)
        r = check_format(intake, call);
    if (r == 0)
        r = check_precision(intake, call);
    if (r == 0)
        r = check_encoding(call->call->encoding);
    if (r == 0 && call->call->body.len > intake->opts.body_bytes_max)
        r = fail(-ERR_TOO_LARGE, "the body has %zu bytes, the limit is %zu", call->call->body.len,
                 intake->opts.body_bytes_max);
    return r;
}

/* ---- room ------------------------------------------------------------------------------------ */

static int refuse_stopping(IntakeCall *call)
{
    call->call->retry_ms = RETRY_MS;
    return fail(-ERR_UNAVAILABLE, "the pipeline is stopping");
}

/* Wait for room for BYTES, at most until DEADLINE_NS. */
SUSPENDS static int wait_room(IntakeCall *call, size_t bytes, int64_t deadline_ns)
{
    Intake *intake = call->intake;
    sl_scope scope;
    int r;

    if (intake->is_stopping) /* told while this one waited for its turn, or was unpacked */
        return refuse_stopping(call);
    sl_scope_begin(&scope, .deadline_ns = deadline_ns);
    call->scope = &scope;
    r = source_wait_room(intake->source, bytes);
    call->scope = NULL;
    r = sl_scope_end(&scope, r);
    if ((intake->is_stopping || r == -ECANCELED) && !sl_is_cancelled())
        return refuse_stopping(call);
    if (r != -ETIMEDOUT)
        return r;
    call->call->retry_ms = RETRY_MS;
    return fail(-ERR_BUSY, "the pipeline has had no room for %lld ms; its sink is slow or away",
                (long long) intake->opts.wait_ms);
}

typedef struct Unpacking {
    Str body;
    Str encoding;
    size_t max;
    Buf out;
} Unpacking;

static int unpack(void *arg)
{
    Unpacking *unpacking = arg;

    return decode_encoding(unpacking->body, unpacking->encoding, unpacking->max, &unpacking->out);
}

SUSPENDS static int unpack_and_wait(IntakeCall *call, int64_t deadline_ns, Payload **ret_payload)
{
    Intake *intake = call->intake;
    Unpacking unpacking = { .body = call->call->body,
                            .encoding = call->call->encoding,
                            .max = intake->opts.body_bytes_max };
    int r = sl_sem_acquire(&intake->unpacking); /* N3 */

    if (r < 0)
        return r;
    if (str_eq_nocase(unpacking.encoding, str_from_c("x-gzip")))
        unpacking.encoding = str_from_c("gzip");
    if (unpacking.body.len <= INLINE_UNPACK_BYTES)
        r = unpack(&unpacking);
    else
        r = sl_offload(unpack, &unpacking, .name = "unpack a body");
    if (r < 0)
        r = wrap(r, "Content-Encoding");
    else
        r = wait_room(call, unpacking.out.len, deadline_ns);
    sl_sem_release(&intake->unpacking);
    if (r == 0)
        *ret_payload = payload_take(&unpacking.out);
    buf_deinit(&unpacking.out);
    return r;
}

/* Room, and the body as a payload of ours. */
SUSPENDS static int admit(IntakeCall *call, Payload **ret_payload)
{
    int64_t deadline_ns = sl_now_ns() + call->intake->opts.wait_ms * NS_PER_MS;
    Str encoding = call->call->encoding;
    int r = wait_room(call, call->call->body.len, deadline_ns);

    if (r < 0)
        return r;
    if (encoding.len > 0 && !str_eq_nocase(encoding, str_from_c("identity")))
        return unpack_and_wait(call, deadline_ns, ret_payload);
    *ret_payload = payload_copy(call->call->body);
    return buf_check(&(*ret_payload)->bytes);
}

/* ---- receipts -------------------------------------------------------------------------------- */

static void note_result(DoorCall *call, Receipt *receipt)
{
    uint64_t gone = receipt->refused + receipt->dropped;

    call->refused = receipt->refused;
    call->dropped = receipt->dropped;
    call->accepted = receipt->rows > gone ? receipt->rows - gone : 0;
    call->n_refusals = receipt->n_refusals;
    call->refusals = TAKE(receipt->refusals);
    receipt->n_refusals = 0;
}

static void on_done(Receipt *receipt, void *ctx)
{
    IntakeCall *call = ctx;

    call->r = receipt->r;
    call->receipt = NULL;
    note_result(call->call, receipt);
    receipt_free(receipt);
    sl_event_set(&call->done);
}

/* Leave before the receipt is done. */
static void cut_line(IntakeCall *call)
{
    if (!call->receipt)
        return;
    call->receipt->on_done = NULL; /* N1: it frees itself */
    call->receipt->ctx = NULL;
    call->receipt = NULL;
}

static int refuse_unsure(IntakeCall *call, const char *why)
{
    call->call->retry_ms = RETRY_MS;
    return fail(-ERR_UNAVAILABLE,
                "%s before it was known that the rows are written; sent again they may be in twice",
                why);
}

static int judge(IntakeCall *call, int r)
{
    if (call->done.is_set)
        return call->r < 0 ? refuse_unsure(call, "the pipeline has stopped") : 0;
    if (r == -ETIMEDOUT)
        return refuse_unsure(call, "the sink is slow or away and the time was up");
    if (r == 0 && call->call->is_awaited) /* its scope was cancelled: intake_give_up */
        return refuse_unsure(call, "the pipeline has stopped");
    if (r == -ECANCELED && !sl_is_cancelled()) /* the pipeline's word for the same */
        return refuse_unsure(call, "the pipeline has stopped");
    return r;
}

/* Who does not wait hears of what could not be read, and of nothing that comes later. */
static void note_unread(DoorCall *call, const Parcel *parcel)
{
    for (size_t i = 0; i < parcel->n_dead; i++) {
        call->refused++;
        if (call->n_refusals == RECEIPT_REFUSALS)
            continue;
        if (!call->refusals)
            call->refusals = mem_resize_array(NULL, RECEIPT_REFUSALS, sizeof(call->refusals[0]));
        call->refusals[call->n_refusals++] = parcel->dead[i].why;
    }
}

SUSPENDS static int hand_on(void *ctx, TAKES Parcel *parcel)
{
    IntakeCall *call = ctx;

    if (!call->call->is_awaited)
        note_unread(call->call, parcel);
    return source_put(call->intake->source, parcel);
}

/* ---- the way of a body ----------------------------------------------------------------------- */

/* Decode and put; then, where the writer waits, until the receipt is done. */
SUSPENDS static int take(IntakeCall *call, Payload *payload)
{
    Intake *intake = call->intake;
    Receipt *receipt = receipt_new(intake->source->index, call->call->origin, str_from(NULL, 0));
    IdleDecoder idle = decoder_take(intake, call);
    int r;

    call->receipt = receipt;
    receipt->is_awaited = call->call->is_awaited;
    receipt->received_ns = sl_wall_ms() * NS_PER_MS;
    receipt->arrived_ns = sl_now_ns();
    receipt->on_done = on_done;
    receipt->ctx = call;
    r = decode_all(idle.decoder, payload, receipt, 0, 0, hand_on, call);
    if (r < 0)
        idle_free(&idle);
    else
        decoder_put(intake, &idle);
    if (r == 0 && !call->call->is_awaited)
        call->call->accepted = receipt->rows - call->call->refused;
    if (r < 0 || !call->call->is_awaited)
        cut_line(call);
    receipt_seal(receipt); /* may be done with this, and gone */
    if (r == 0 && call->call->is_awaited)
        r = sl_event_wait(&call->done);
    cut_line(call);
    return r;
}

SUSPENDS static int take_in_time(IntakeCall *call, Payload *payload)
{
    Intake *intake = call->intake;
    sl_scope scope;
    int r;

    call->is_taken = true;
    sl_scope_begin(&scope, .timeout_ms = intake->opts.commit_ms);
    call->scope = &scope;
    r = take(call, payload);
    call->scope = NULL;
    return judge(call, sl_scope_end(&scope, r));
}

int intake_offer(void *ctx, DoorCall *door_call)
{
    Intake *intake = ctx;
    IntakeCall call = { .intake = intake, .call = door_call };
    AUTO(payload_unref) Payload *payload = NULL;
    int r;

    if (intake->is_stopping || source_is_stopping(intake->source))
        return refuse_stopping(&call);
    r = check(intake, &call);
    if (r < 0)
        return r;
    list_push_back(&intake->calls, &call.link);
    r = admit(&call, &payload);
    if (r == 0)
        r = take_in_time(&call, payload);
    list_remove(&call.link);
    if (list_is_empty(&intake->calls))
        sl_cond_wake_all(&intake->left);
    return r;
}

/* ---- the end --------------------------------------------------------------------------------- */

void intake_stop(Intake *intake)
{
    intake->is_stopping = true;
    list_each(&intake->calls, link) {
        IntakeCall *call = LIST_ITEM(link, IntakeCall, link);

        if (!call->is_taken && call->scope)
            sl_scope_cancel(call->scope);
    }
}

int intake_drain(Intake *intake)
{
    int r = 0;

    while (r == 0 && !list_is_empty(&intake->calls))
        r = sl_cond_wait(&intake->left);
    return r;
}

void intake_give_up(Intake *intake)
{
    intake->is_stopping = true;
    list_each(&intake->calls, link) {
        IntakeCall *call = LIST_ITEM(link, IntakeCall, link);

        if (call->scope)
            sl_scope_cancel(call->scope);
    }
}
