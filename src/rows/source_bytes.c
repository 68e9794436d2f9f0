/*
 * From bytes to parcels; see the header.
 *
 * What is decoded becomes the payload of its parcels without being copied; the few bytes behind it
 * are. One piece at a time is held, so that what a source keeps is bounded by a piece and a row.
 */
#include "rows/source_bytes.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "rows/source_stop.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void source_bytes_init(SourceBytes *bytes, Source *source, Str name)
{
    *bytes = (SourceBytes){ .source = source, .name = name };
}

void source_bytes_deinit(SourceBytes *bytes)
{
    decoder_free(bytes->decoder);
    buf_deinit(&bytes->head);
    buf_deinit(&bytes->held);
    *bytes = (SourceBytes){ 0 };
}

void source_bytes_reset(SourceBytes *bytes, uint64_t position)
{
    decoder_free(TAKE(bytes->decoder));
    buf_reset(&bytes->head);
    buf_reset(&bytes->held);
    bytes->is_in_row = false;
    bytes->position = position;
    bytes->lines = 0;
}

char *source_bytes_room(SourceBytes *bytes)
{
    return buf_reserve(&bytes->held, LIMIT_SOURCE_PIECE_BYTES);
}

void source_bytes_add(SourceBytes *bytes, size_t n)
{
    ASSERT(n <= bytes->held.cap - bytes->held.len);
    bytes->held.len += n;
}

/* ---- the format ------------------------------------------------------------------------------ */

static DecodeFormat format_of_name(Str name)
{
    static const struct {
        const char *suffix;
        DecodeFormat format;
    } suffixes[] = {
        { ".csv", DECODE_CSV },     { ".jsonl", DECODE_NDJSON }, { ".ndjson", DECODE_NDJSON },
        { ".json", DECODE_JSON },   { ".lp", DECODE_INFLUX },    { ".influx", DECODE_INFLUX },
        { ".line", DECODE_INFLUX }, { ".log", DECODE_LINES },    { ".txt", DECODE_LINES },
    };

    if (str_ends(name, str_from_c(".gz")))
        name.len -= 3;
    while (name.len > 0 && strchr("0123456789.-", name.data[name.len - 1]))
        name.len--; /* of a rotation: readings.csv.1, readings.csv-20261121 */
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (str_ends(name, str_from_c(suffixes[i].suffix)))
            return suffixes[i].format;
    }
    return DECODE_AUTO;
}

/* The format of what begins with TEXT; DECODE_AUTO while that cannot be said. */
static DecodeFormat format_of_text(Str text, bool is_last)
{
    bool is_enough = is_last || text.len >= LIMIT_DECODE_LINE_BYTES, has_end = false;
    Str line = str_from(NULL, 0);

    while (line.len == 0 && text.len > 0) {
        has_end = str_find(text, '\n') >= 0;
        line = str_trim(str_cut(text, '\n', &text));
    }
    if (line.len == 0)
        return is_last ? DECODE_LINES : DECODE_AUTO;
    if (line.data[0] == '[')
        return DECODE_JSON;
    if (line.data[0] != '{')
        return DECODE_INFLUX;
    if (!is_enough && !has_end)
        return DECODE_AUTO;
    return line.data[line.len - 1] == '}' ? DECODE_NDJSON : DECODE_JSON;
}

/* Make the decoder once the format is known. False while it is not. */
static bool has_decoder(SourceBytes *bytes, bool is_last)
{
    DecodeOpts opts = bytes->source->decode;

    if (bytes->decoder)
        return true;
    if (opts.format == DECODE_AUTO)
        opts.format = format_of_name(bytes->name);
    if (opts.format == DECODE_AUTO)
        opts.format = format_of_text(buf_str(&bytes->held), is_last);
    if (opts.format == DECODE_AUTO)
        return false;
    bytes->decoder = decoder_new(bytes->source->shapes, bytes->source->pool, &opts);
    if (bytes->head.len > 0 && opts.format == DECODE_CSV)
        decoder_put_head(bytes->decoder, buf_str(&bytes->head));
    if (bytes->is_in_row && opts.format != DECODE_JSON)
        decoder_skip_row(bytes->decoder);
    return true;
}

/* ---- handing on ------------------------------------------------------------------------------ */

static uint64_t count_lines(Str text)
{
    const char *at = text.data, *end = text.data + text.len;
    uint64_t n = 0;

    while (at < end && (at = memchr(at, '\n', (size_t) (end - at))) != NULL) {
        at++;
        n++;
    }
    return n;
}

/* The first LEN held bytes as a payload; the others stay held. */
static Payload *take_payload(SourceBytes *bytes, size_t len)
{
    Buf rest = { .max_bytes = bytes->held.max_bytes };
    Payload *payload;

    buf_add(&rest, bytes->held.data + len, bytes->held.len - len);
    bytes->held.len = len;
    payload = payload_take(&bytes->held);
    bytes->held = rest;
    return payload;
}

int source_bytes_hand_on(SourceBytes *bytes, Str origin, Str track, bool is_last)
{
    AUTO(payload_unref) Payload *payload = NULL;
    uint64_t base = bytes->position, base_line = bytes->lines;
    Receipt *receipt;
    size_t len;
    int r = buf_check(&bytes->held);

    if (r < 0 || bytes->held.len == 0 || !has_decoder(bytes, is_last))
        return r;
    len = decoder_whole_bytes(bytes->decoder, buf_str(&bytes->held), is_last);
    if (len == 0)
        return 0;
    payload = take_payload(bytes, len);
    receipt = receipt_new(bytes->source->index, origin, track);
    receipt->received_ns = sl_wall_ms() * NS_PER_MS;
    receipt->arrived_ns = sl_now_ns();
    receipt->position = base + len;
    bytes->position += len;
    bytes->lines += count_lines(buf_str(&payload->bytes));
    r = decode_all(bytes->decoder, payload, receipt, base, base_line, source_take, bytes->source);
    receipt_seal(receipt);
    return r;
}

/* ---- streams --------------------------------------------------------------------------------- */

typedef struct StreamRead {
    int fd;
    char *room;
    ssize_t n;
} StreamRead;

/* 0; READ_AGAIN when somebody else was faster; or an error. */
enum { READ_AGAIN = 2 };
static int read_main(void *arg)
{
    StreamRead *op = arg;

    do {
        op->n = read(op->fd, op->room, LIMIT_SOURCE_PIECE_BYTES);
    } while (op->n < 0 && errno == EINTR);
    if (op->n < 0 && errno == EAGAIN)
        return READ_AGAIN;
    return op->n < 0 ? fail_errno("read") : 0;
}

/* Whether a read of FD returns at once when it can be read, whoever else uses it. */
static bool is_waited_for(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || isatty(fd));
}

/* Read once into BYTES. 0 and *ret_n, which is 0 at the end; STOP_PASSED when it shall stop. */
SUSPENDS static int read_some(SourceBytes *bytes, SourceStop *stop, int fd, bool is_waited,
                              size_t *ret_n)
{
    StreamRead op = { .fd = fd, .room = source_bytes_room(bytes) };
    int r = source_is_stopping(bytes->source) ? STOP_PASSED : 0;

    if (!op.room)
        return buf_check(&bytes->held);
    do {
        if (r == 0 && is_waited)
            r = source_stop_wait(stop, fd, INT64_MAX);
        if (r == 0)
            r = is_waited ? read_main(&op) : sl_offload(read_main, &op, .name = "read");
    } while (r == READ_AGAIN && (r = 0, true));
    if (r == 0)
        *ret_n = (size_t) op.n;
    return r;
}

int source_bytes_read_all(Source *source, int fd, Str origin)
{
    AUTO(source_bytes_deinit) SourceBytes bytes = { 0 };
    bool is_waited = is_waited_for(fd);
    Str none = str_from(NULL, 0);
    SourceStop stop;
    size_t n = 1;
    int r = 0;

    source_bytes_init(&bytes, source, none);
    source_stop_begin(&stop, source);
    source_say(source, true, "reading");
    while (r == 0 && n > 0) {
        r = read_some(&bytes, &stop, fd, is_waited, &n);
        source_bytes_add(&bytes, r == 0 ? n : 0);
        if (r == 0)
            r = source_bytes_hand_on(&bytes, origin, none, n == 0);
    }
    sl_fd_forget(fd);
    source_stop_end(&stop);
    if (r == STOP_PASSED && bytes.held.len > 0)
        source_count_lost(source, "unfinished", 1); /* half a row, and the pipe has no more of it */
    return r == STOP_PASSED ? 0 : wrap(r, "%.*s", (int) origin.len, origin.data);
}
