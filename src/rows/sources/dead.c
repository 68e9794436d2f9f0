/*
 * dead: dead letters tried again; what `sluice ingest replay` runs.
 *
 * The file is read whole. Each letter's bytes are decoded as they were the first time, with the
 * time at which they were received then, and go through the pipeline as a delivery of their own;
 * what its receipt says is noted for that letter. At the end the letters that went in are written
 * to the journal (dead_letters.h), and whoever runs the pipeline settles the file when it has
 * ended.
 *
 * A letter stays where it is when the filter does not want it, when it was refused
 * LIMIT_REPLAY_ATTEMPTS times, when its line cannot be read, or when the pipeline gave it back.
 */
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "codec/schema.h"
#include "rows/dead_letters.h"
#include "rows/expr.h"
#include "rows/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define DEAD_FORMATS (DECODE_LINES + 1)

typedef struct DeadArgs {
    Str file;
    Str filter;
    int64_t limit;
    bool keep;
    SchemaJson as;
} DeadArgs;

static const SchemaField args_fields[] = {
    FIELD_STR(DeadArgs, file, "the file of JSON lines with the dead letters", .is_required = true,
              .positional = 1, .range = RANGE(1, 4096), .holder = "FILE"),
    FIELD_STR(DeadArgs, filter, "an expression that is true of the letters to try: code == \"x\"",
              .range = RANGE(1, 4096)),
    FIELD_INT(DeadArgs, limit, "so many letters at most; 0: all", .range = AT_LEAST(0)),
    FIELD_BOOL(DeadArgs, keep, "leave the letters in the file"),
    FIELD_JSON(DeadArgs, as,
               "how the bytes of each source were read: {source: {precision: ms, separator: ;}}"),
};
static const Schema args_schema = SCHEMA(DeadArgs, args_fields, "Settings of the source dead.");

/* What is out, until its last receipt is done; outlives the source when that was cancelled. */
typedef struct Replay {
    Source *source; /* NULL: it is gone */
    size_t n_out;
    sl_event settled; /* n_out is 0, and all is read */
    bool is_read;
    uint64_t *done; /* offsets; owned */
    size_t n_done, cap_done;

    Expr *filter;
    ExprPlan *plan;
    Arena arena; /* of one letter */
    Decoder *decoder;
    Buf decoded_as; /* what the decoder is for: source, format, head */
    uint64_t taken, skipped, worn, unreadable;
} Replay;

typedef struct Letter {
    Replay *replay;
    uint64_t offset;
    char source[64]; /* where it came from first */
} Letter;

static void replay_free(Replay *replay)
{
    decoder_free(replay->decoder);
    expr_plan_free(replay->plan);
    expr_free(replay->filter);
    arena_deinit(&replay->arena);
    buf_deinit(&replay->decoded_as);
    mem_free(replay->done);
    mem_free(replay);
}

/* ---- receipts -------------------------------------------------------------------------------- */

static void on_done(Receipt *receipt, void *ctx)
{
    Letter *letter = ctx;
    Replay *replay = letter->replay;

    if (receipt->r == 0 && replay->source) {
        if (replay->n_done == replay->cap_done) {
            replay->cap_done = MAX(2 * replay->cap_done, (size_t) 64);
            replay->done = mem_resize_array(replay->done, replay->cap_done,
                                            sizeof(replay->done[0]));
        }
        replay->done[replay->n_done++] = letter->offset;
    }
    mem_free(letter);
    receipt_free(receipt);
    replay->n_out--;
    if (replay->n_out > 0 || !replay->is_read)
        return;
    if (replay->source)
        sl_event_set(&replay->settled);
    else
        replay_free(replay);
}

/* ---- one letter ------------------------------------------------------------------------------ */

static DecodeFormat format_of(Str word)
{
    static const char *const words[] = {
#define FORMAT_WORD_(name, word) word,
        DECODE_FORMATS(FORMAT_WORD_)
#undef FORMAT_WORD_
    };

    for (int i = 0; i < DEAD_FORMATS; i++) {
        if (str_eq_c(word, words[i]))
            return (DecodeFormat) i;
    }
    return DECODE_AUTO;
}

/* How letters that came from the source NAME are read. */
static int options_of(Replay *replay, Str name, DecodeOpts *ret)
{
    const DeadArgs *args = replay->source->args;
    Json settings = json_is_object(args->as.value) ? json_find_str(args->as.value, name) : NULL;
    SourceCommonArgs common;
    int r;

    *ret = replay->source->decode;
    if (!settings)
        return 0;
    r = schema_decode(&replay->arena, &source_common_schema, settings, &common, NULL);
    if (r < 0)
        return wrap(r, "as.%.*s", (int) name.len, name.data);
    ret->time_column = common.time_column;
    ret->by_measurement = common.by_measurement;
    ret->has_arrival_time = common.arrival_time;
    ret->separator = common.separator.len > 0 ? common.separator.data[0] : ',';
    if (common.table.len > 0)
        ret->table = common.table;
    return time_unit_parse(common.precision, &ret->unit);
}

/* The decoder for LETTER: the last one, when it was for the same. */
static int choose_decoder(Replay *replay, const RowValue *letter)
{
    AUTO(buf_deinit) Buf wanted = { 0 };
    Str head = letter[DEAD_LETTER_HEAD].text;
    DecodeOpts opts;
    int r;

    buf_printf(&wanted, "%.*s\n%.*s\n%.*s", (int) letter[DEAD_LETTER_SOURCE].text.len,
               letter[DEAD_LETTER_SOURCE].text.data, (int) letter[DEAD_LETTER_FORMAT].text.len,
               letter[DEAD_LETTER_FORMAT].text.data, (int) head.len, head.data);
    if (replay->decoder && str_eq(buf_str(&wanted), buf_str(&replay->decoded_as)))
        return 0;
    r = options_of(replay, letter[DEAD_LETTER_SOURCE].text, &opts);
    if (r < 0)
        return r;
    opts.format = format_of(letter[DEAD_LETTER_FORMAT].text);
    decoder_free(replay->decoder);
    replay->decoder = decoder_new(replay->source->shapes, replay->source->pool, &opts);
    if (opts.format == DECODE_CSV && head.len > 0)
        decoder_put_head(replay->decoder, head);
    buf_reset(&replay->decoded_as);
    buf_add_str(&replay->decoded_as, buf_str(&wanted));
    return 0;
}

/* The bytes as they came, with a line end behind them; NULL when they cannot be read. */
static Payload *payload_of(const RowValue *letter)
{
    Str text = letter[DEAD_LETTER_BYTES].text;
    Buf bytes = { 0 };
    ssize_t len;

    if (!str_eq_c(letter[DEAD_LETTER_ENCODING].text, "base64")) {
        buf_add_str(&bytes, text);
    } else {
        char *room = buf_reserve(&bytes, base64_decoded_bytes_max(text.len));

        len = room ? base64_decode(text, BASE64_STANDARD, room) : -1;
        if (len < 0) {
            Err err;

            if (room)
                err_take((int) len, &err);
            buf_deinit(&bytes);
            return NULL;
        }
        bytes.len += (size_t) len;
    }
    buf_add_char(&bytes, '\n');
    return payload_take(&bytes);
}

SUSPENDS static int put(void *ctx, TAKES Parcel *parcel)
{
    parcel->is_replay = true;
    return source_take(ctx, parcel);
}

SUSPENDS static int hand_on(Replay *replay, const RowValue *letter, uint64_t offset)
{
    AUTO(payload_unref) Payload *payload = payload_of(letter);
    Letter *out;
    Receipt *receipt;
    int r;

    if (!payload) {
        replay->unreadable++;
        return 0;
    }
    r = choose_decoder(replay, letter);
    if (r < 0)
        return r;
    out = mem_new(Letter);
    *out = (Letter){ .replay = replay, .offset = offset };
    (void) snprintf(out->source, sizeof(out->source), "%.*s",
                    (int) letter[DEAD_LETTER_SOURCE].text.len,
                    letter[DEAD_LETTER_SOURCE].text.data);
    receipt = receipt_new(replay->source->index, letter[DEAD_LETTER_ORIGIN].text,
                          str_from(NULL, 0));
    receipt->received_ns = letter[DEAD_LETTER_RECEIVED].kind == ROW_TIME
                               ? letter[DEAD_LETTER_RECEIVED].integer
                               : sl_wall_ms() * NS_PER_MS;
    receipt->arrived_ns = sl_now_ns();
    receipt->attempts = (uint32_t) MAX(letter[DEAD_LETTER_ATTEMPTS].integer, INT64_C(1));
    receipt->first_source = str_from_c(out->source);
    receipt->on_done = on_done;
    receipt->ctx = out;
    replay->n_out++;
    replay->taken++;
    r = decode_all(replay->decoder, payload, receipt, 0,
                   (uint64_t) MAX(letter[DEAD_LETTER_LINE].integer - 1, INT64_C(0)), put,
                   replay->source);
    if (r < 0)
        receipt->r = r;
    receipt_seal(receipt);
    return r;
}

/* Whether the letter is to be tried; counted when not. */
static bool is_wanted(Replay *replay, const RowValue *letter)
{
    ExprRun run = { .arena = &replay->arena };

    if (replay->plan && !expr_test(replay->plan, letter, &run)) {
        replay->skipped++;
        return false;
    }
    if (letter[DEAD_LETTER_ATTEMPTS].integer >= LIMIT_REPLAY_ATTEMPTS) {
        replay->worn++;
        return false;
    }
    return true;
}

/* ---- the file -------------------------------------------------------------------------------- */

static int open_filter(Replay *replay, const DeadArgs *args)
{
    int r;

    if (args->filter.len == 0)
        return 0;
    r = expr_parse(args->filter, &replay->filter);
    if (r == 0)
        r = expr_bind(replay->filter, dead_letter_columns, DEAD_LETTER_WIDTH, true, &replay->plan);
    return wrap(r, "filter");
}

SUSPENDS static int hand_on_all(Replay *replay, const DeadArgs *args, Str text)
{
    RowValue letter[DEAD_LETTER_WIDTH];
    Str rest = text;
    int r = 0;

    while (r == 0 && rest.len > 0 && !source_is_stopping(replay->source)) {
        uint64_t offset = (uint64_t) (rest.data - text.data);
        Str line = str_cut(rest, '\n', &rest);

        arena_reset(&replay->arena);
        if (args->limit > 0 && replay->taken >= (uint64_t) args->limit)
            break;
        if (str_trim(line).len == 0)
            continue;
        if (!dead_letter_parse(&replay->arena, line, letter))
            replay->unreadable++;
        else if (is_wanted(replay, letter))
            r = hand_on(replay, letter, offset);
    }
    return r;
}

static int compare_offsets(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return x < y ? -1 : x > y;
}

static void say_how_it_went(const Replay *replay)
{
    char text[200];

    (void) snprintf(text, sizeof(text),
                    "%llu letters tried; left where they are: %llu that the filter does not want, "
                    "%llu refused too often, %llu that cannot be read",
                    (unsigned long long) replay->taken, (unsigned long long) replay->skipped,
                    (unsigned long long) replay->worn, (unsigned long long) replay->unreadable);
    source_say(replay->source, true, text);
}

SUSPENDS static int replay_file(Replay *replay, const DeadArgs *args, const char *path)
{
    struct stat st;
    char *text = NULL;
    size_t len;
    int r = args->keep ? 0 : dead_letters_settle(path);

    if (r == 0)
        r = sl_file_read_all(path, LIMIT_REPLAY_BYTES, &text, &len);
    if (r < 0)
        return r;
    r = stat(path, &st) < 0 ? fail_errno("%s", path) : 0;
    if (r == 0)
        r = hand_on_all(replay, args, str_from(text, len));
    free(text);
    replay->is_read = true;
    if (replay->n_out > 0 && r == 0)
        r = sl_event_wait(&replay->settled);
    say_how_it_went(replay);
    if (r < 0 || args->keep || replay->n_done == 0)
        return r;
    qsort(replay->done, replay->n_done, sizeof(replay->done[0]), compare_offsets);
    return dead_letters_note(path, (uint64_t) st.st_ino, replay->done, replay->n_done);
}

SUSPENDS static int dead_run(Source *source)
{
    const DeadArgs *args = source->args;
    Replay *replay = mem_new(Replay);
    AUTO(buf_deinit) Buf path = { 0 };
    int r;

    replay->source = source;
    arena_init(&replay->arena, 0);
    buf_add_str(&path, args->file);
    buf_add_char(&path, '\0');
    r = open_filter(replay, args);
    if (r == 0)
        r = replay_file(replay, args, path.data);
    replay->is_read = true;
    replay->source = NULL;
    if (replay->n_out == 0)
        replay_free(replay);
    return r;
}

extern const SourceDriver source_dead;
const SourceDriver source_dead = {
    .name = "dead",
    .summary = "dead letters of another pipeline, tried again; see sluice ingest replay",
    .args = &args_schema,
    .is_acknowledged = true,
    .is_local = true,
    .run = dead_run,
};
