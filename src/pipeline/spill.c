/*
 * The spill at work: one fiber writes what was put, another hands on what is on the disk.
 *
 * Positions are bytes since the spill's very first record. `written` is the end of what is durable,
 * `handed` the end of what was handed on; opening sets both from the segments that are there and
 * from what is known to be settled.
 */
#include "pipeline/spill.h"

#include "base/assert.h"
#include "base/macro.h"
#include "pipeline/spill_int.h"
#include "rows/parcel_code.h"

#include <fcntl.h>
#include <unistd.h>

#define SPILL_RETRY_MS 1000
#define SPILL_READ     (1 << 20)

size_t spill_index(const Spill *spill)
{
    return spill->sink == SPILL_OF_CHANNEL ? LIMIT_PIPELINE_SINKS + 1 : spill->sink + 1;
}

bool spill_is_empty(const Spill *spill)
{
    return spill->pending.len == 0 && spill->writing.len == 0 && spill->handed == spill->written;
}

uint64_t spill_rows(const Spill *spill)
{
    return spill->rows_unread + spill->rows_pending + spill->rows_returned;
}

uint64_t spill_waiting(const Spill *spill)
{
    return spill_rows(spill) + spill->shadows;
}

bool spill_is_durable(const Spill *spill)
{
    return spill->pending.len == 0 && spill->writing.len == 0;
}

uint64_t spill_bytes(const Spill *spill)
{
    return spill->n_segments > 0 ? spill->written - spill->segments[0].start : 0;
}

void spill_return(Spill *spill, uint64_t n)
{
    spill->rows_returned += n;
}

/* ---- putting --------------------------------------------------------------------------------- */

static void encode(Spill *spill, const Parcel *parcel)
{
    Buf *out = &spill->pending;
    size_t head = out->len, body = head + SPILL_HEAD_BYTES;
    uint64_t hash;
    uint32_t len;

    if (!buf_reserve(out, SPILL_HEAD_BYTES))
        return;
    out->len = body;
    parcel_encode(parcel, out);
    if (out->is_failed)
        return;
    len = (uint32_t) (out->len - body);
    hash = spill_hash(out->data + body, len);
    memcpy(out->data + head, &len, sizeof(len));
    memcpy(out->data + head + sizeof(len), &hash, sizeof(hash));
}

static bool has_room(const Spill *spill)
{
    return spill->pending.len < LIMIT_SPILL_PENDING_BYTES &&
           spill_bytes(spill) + spill->pending.len < spill->bytes_max;
}

SUSPENDS int spill_wait_room(Spill *spill)
{
    int r = sl_checkpoint();

    while (r == 0 && !has_room(spill) && !spill->pipeline->is_failing)
        r = sl_cond_wait(&spill->changed);
    return r;
}

int spill_put(Spill *spill, TAKES Parcel *parcel)
{
    encode(spill, parcel);
    spill->rows_pending += parcel_count(parcel) - parcel->shadows;
    spill->shadows += parcel->shadows;
    list_push_back(&spill->parcels, &parcel->link);
    sl_cond_wake_all(&spill->changed);
    return buf_check(&spill->pending);
}

/* ---- to the disk ----------------------------------------------------------------------------- */

/* What is written next begins a segment. */
SUSPENDS static int begin_segment(Spill *spill)
{
    AUTO(buf_deinit) Buf path = { 0 };

    if (spill->write_fd >= 0)
        (void) sl_file_close(TAKE_FD(spill->write_fd)); /* it was synced where that counts */
    spill_path(spill, spill->written, &path);
    if (spill->n_segments == 0 || spill->segments[spill->n_segments - 1].start < spill->written)
        spill_add_segment(spill, spill->written);
    return sl_file_open(path.data, O_WRONLY | O_CREAT, 0600, &spill->write_fd);
}

SUSPENDS static int open_segment(Spill *spill)
{
    if (spill->n_segments > 0 && spill->write_fd >= 0 &&
        spill->written - spill->segments[spill->n_segments - 1].start < LIMIT_SPILL_SEGMENT_BYTES)
        return 0;
    return begin_segment(spill);
}

SUSPENDS static int write_pending(Spill *spill)
{
    uint64_t start;
    size_t done = 0;
    int r = open_segment(spill);

    if (r < 0)
        return r;
    start = spill->written - spill->segments[spill->n_segments - 1].start;
    while (done < spill->writing.len) {
        ssize_t n = sl_file_write(spill->write_fd, spill->writing.data + done,
                                  spill->writing.len - done, (int64_t) (start + done));

        if (n < 0)
            return (int) n;
        done += (size_t) n;
    }
    return spill->pipeline->is_synced ? sl_file_sync(spill->write_fd) : 0;
}

static int cut_main(void *arg)
{
    const Spill *spill = arg;
    uint64_t start = spill->segments[spill->n_segments - 1].start;

    if (spill->write_fd >= 0)
        (void) ftruncate(spill->write_fd, (off_t) (spill->written - start)); /* is written over */
    return 0;
}

/* A segment that begins behind all there is. */
SUSPENDS static int keep_position(Spill *spill)
{
    bool is_there = spill->write_fd >= 0 && spill->n_segments > 0 &&
                    spill->segments[spill->n_segments - 1].start == spill->written;

    return is_there ? 0 : begin_segment(spill);
}

/* A save of steps' state waits until all is in the spills of sinks, so it cannot be what makes room
 * in them: what has its fate goes, as if that were saved. The position of what follows is kept by
 * the name of the segment that begins there. */
SUSPENDS static int make_room(Spill *spill)
{
    uint64_t settled = spill_settled(spill);
    int r = 0;

    if (spill->sink == SPILL_OF_CHANNEL || !spill->pipeline->plan->is_stateful) {
        spill_trim(spill, spill->saved);
        return 0;
    }
    if (spill->handed == spill->written && settled >= spill->written)
        r = keep_position(spill);
    if (r == 0)
        spill_trim(spill, settled);
    if (r < 0 && r != -ECANCELED)
        err_take(r, NULL); /* it is tried again */
    return r == -ECANCELED ? r : 0;
}

/* The disk is full: what was half written makes room for the state's file, which says what of the
 * spill is done with; and that makes room for the rest. */
SUSPENDS static int wait_for_disk(Spill *spill)
{
    int r;

    (void) sl_offload(cut_main, spill, .name = "cut spill"); /* as good without */
    spill->is_stuck = true;
    r = sl_sleep_ms(SPILL_RETRY_MS);
    if (r == 0)
        r = make_room(spill);
    spill->is_stuck = false;
    return r;
}

/* The parcels whose records are durable: rows are in the spill, producers hear of it. */
static void answer_parcels(Spill *spill, List *parcels)
{
    Pipeline *pipeline = spill->pipeline;
    ListLink *link;

    while ((link = list_pop_front(parcels)) != NULL) {
        Parcel *parcel = LIST_ITEM(link, Parcel, link);

        spill->rows_pending -= parcel_count(parcel) - parcel->shadows;
        spill->rows_unread += parcel_count(parcel) - parcel->shadows;
        parcel->rows.n_rows = 0;
        parcel->shadows = 0;
        parcel->owed = 1;
        if (parcel->n_dead > 0) {
            parcel->owed++;
            dead_put(pipeline->dead, parcel);
        }
        parcel_answer(pipeline, parcel);
    }
}

/* Until it is on the disk: a full one is waited for, with the sources behind it. */
SUSPENDS static int write_patiently(Spill *spill)
{
    Pipeline *pipeline = spill->pipeline;
    int r;

    for (;;) {
        Err err;

        r = write_pending(spill);
        if (r == 0)
            obstacle_pass(pipeline, &spill->full_disk);
        if (r == 0 || r == -ECANCELED)
            return r;
        err_take(r, &err);
        obstacle_meet(pipeline, &spill->full_disk, PIPELINE_PAUSED, "spill %s: %s", spill->dir,
                      err.text);
        r = wait_for_disk(spill);
        if (r < 0)
            return r;
    }
}

/* Who waits for the spill hears of a failure, of it or of the pipeline, when its fibers end. */
static int end_of_fiber(Spill *spill, int r)
{
    if (r < 0 && r != -ECANCELED) /* the end of the nursery is no failure */
        pipeline_fail(spill->pipeline, r);
    sl_cond_wake_all(&spill->changed);
    return r;
}

SUSPENDS int spill_write_run(void *arg)
{
    Spill *spill = arg;
    int r = 0;

    while (r == 0) {
        List *parcels = &spill->parcels_writing;
        ListLink *link;

        if (spill->pending.len == 0) {
            r = sl_cond_wait(&spill->changed);
            continue;
        }
        SWAP(spill->pending, spill->writing);
        while ((link = list_pop_front(&spill->parcels)) != NULL)
            list_push_back(parcels, link);
        r = write_patiently(spill);
        if (r < 0)
            break;
        spill->written += spill->writing.len;
        buf_reset(&spill->writing);
        answer_parcels(spill, parcels);
        sl_cond_wake_all(&spill->changed);
        pipeline_wake(spill->pipeline);
    }
    return end_of_fiber(spill, r);
}

/* ---- from the disk --------------------------------------------------------------------------- */

SUSPENDS static int read_at(Spill *spill, uint64_t position, void *out, size_t len)
{
    const uint64_t start = spill_segment_of(spill, position)->start; /* they move meanwhile */
    AUTO(buf_deinit) Buf path = { 0 };
    size_t done = 0;
    int r = 0;

    if (spill->read_fd < 0 || spill->read_start != start) {
        if (spill->read_fd >= 0)
            (void) sl_file_close(TAKE_FD(spill->read_fd)); /* only read from */
        spill_path(spill, start, &path);
        spill->read_start = start;
        r = sl_file_open(path.data, O_RDONLY, 0, &spill->read_fd);
    }
    while (r == 0 && done < len) {
        ssize_t n = sl_file_read(spill->read_fd, (char *) out + done, len - done,
                                 (int64_t) (position - start + done));

        if (n <= 0)
            return n < 0 ? (int) n
                         : fail(-ERR_CONFLICT, "spill %s: a record ends too early", spill->dir);
        done += (size_t) n;
    }
    return r;
}

/* The record at POSITION as a payload; a segment's record never crosses into the next. */
SUSPENDS static int read_record(Spill *spill, uint64_t position, Payload **ret_payload)
{
    char head[SPILL_HEAD_BYTES];
    AUTO(buf_deinit) Buf bytes = { .max_bytes = SPILL_RECORD_BYTES };
    uint64_t hash;
    uint32_t len;
    int r = read_at(spill, position, head, sizeof(head));

    if (r < 0)
        return r;
    memcpy(&len, head, sizeof(len));
    memcpy(&hash, head + sizeof(len), sizeof(hash));
    if (len > spill->written - position - sizeof(head) || !buf_reserve(&bytes, len))
        return fail(-ERR_CONFLICT, "spill %s: a record is damaged", spill->dir);
    r = read_at(spill, position + sizeof(head), bytes.data, len);
    if (r < 0)
        return r;
    bytes.len = len;
    if (spill_hash(bytes.data, len) != hash)
        return fail(-ERR_CONFLICT, "spill %s: a record is damaged", spill->dir);
    *ret_payload = payload_take(&bytes);
    return 0;
}

/* The next record as a payload, as soon as it can be read. */
SUSPENDS static int read_patiently(Spill *spill, Payload **ret_payload)
{
    int r;

    while ((r = read_record(spill, spill->handed, ret_payload)) < 0 && obstacle_is_passing(r)) {
        Err err;

        err_take(r, &err);
        obstacle_meet(spill->pipeline, &spill->unread, PIPELINE_PAUSED, "spill %s: %s", spill->dir,
                      err.text);
        r = sl_sleep_ms(SPILL_RETRY_MS);
        if (r < 0)
            return r;
    }
    if (r == 0)
        obstacle_pass(spill->pipeline, &spill->unread);
    return r;
}

/* The record's rows as a parcel, with positions of the spill (L3). */
static int make_parcel(Spill *spill, uint64_t position, Payload *payload, Parcel **ret_parcel)
{
    Pipeline *pipeline = spill->pipeline;
    size_t len = payload->bytes.len;
    ParcelHead head;
    Receipt *receipt;
    Parcel *parcel;
    int r = parcel_peek(buf_str(&payload->bytes), &head);

    if (r < 0)
        return r;
    receipt = receipt_new(MIN(head.source, (uint32_t) pipeline->plan->n_sources - 1), head.origin,
                          str_from_c(spill->track));
    receipt->arrived_ns = sl_now_ns();
    receipt->received_ns = head.received_ns;
    r = parcel_decode(pipeline->shapes, &pipeline->pool, receipt, payload, 0, len, &parcel);
    receipt_seal(receipt);
    if (r < 0)
        return r;
    for (size_t i = 0; i < parcel_count(parcel); i++)
        parcel->places[i].position = position + i + 1;
    parcel->end_position = position + SPILL_HEAD_BYTES + len;
    parcel->spill = spill;
    parcel->shadows = position >= spill->began ? head.shadows : 0;
    *ret_parcel = parcel;
    return 0;
}

/* PARCEL goes to whoever it is for, who has room. */
SUSPENDS static int push(Spill *spill, TAKES Parcel *parcel)
{
    Pipeline *pipeline = spill->pipeline;

    ASSERT(spill->rows_unread >= parcel_count(parcel) - parcel->shadows); /* L1 */
    ASSERT(spill->shadows >= parcel->shadows);
    spill->rows_unread -= parcel_count(parcel) - parcel->shadows;
    spill->shadows -= parcel->shadows;
    voucher_attach(pipeline, parcel);
    if (spill->sink != SPILL_OF_CHANNEL)
        return line_put_spilled(pipeline, spill->sink, parcel);
    channel_push(&pipeline->channel, parcel);
    return 0;
}

SUSPENDS static int wait_for_room(Spill *spill, const Parcel *parcel)
{
    if (spill->sink != SPILL_OF_CHANNEL)
        return line_wait_room(spill->pipeline, spill->sink, parcel);
    return channel_wait_room(&spill->pipeline->channel, parcel->bytes);
}

SUSPENDS static int hand_on_next(Spill *spill)
{
    AUTO(payload_unref) Payload *payload = NULL;
    Pipeline *pipeline = spill->pipeline;
    Parcel *parcel = NULL;
    uint64_t end;
    int r = read_patiently(spill, &payload);

    if (r == 0)
        r = make_parcel(spill, spill->handed, payload, &parcel);
    if (r < 0)
        return r;
    r = wait_for_room(spill, parcel);
    if (r < 0) {
        parcel->rows.n_rows = 0; /* they are still in the spill */
        parcel_free(&pipeline->pool, parcel);
        return r;
    }
    end = parcel->end_position;
    r = push(spill, parcel);
    spill->handed = end; /* not before: until then the spill is not empty */
    sl_cond_wake_all(&spill->changed);
    return r;
}

SUSPENDS int spill_read_run(void *arg)
{
    Spill *spill = arg;
    int r = 0;

    while (r == 0) {
        if (spill->handed < spill->written)
            r = hand_on_next(spill);
        else
            r = sl_cond_wait(&spill->changed);
    }
    return end_of_fiber(spill, r);
}

SUSPENDS int spill_wait_empty(Spill *spill)
{
    int r = 0;

    while (r == 0 && !spill_is_empty(spill) && !spill->pipeline->is_failing)
        r = sl_cond_wait(&spill->changed);
    return r;
}

void spill_abort(Spill *spill)
{
    Pipeline *pipeline = spill->pipeline;
    List *lists[] = { &spill->parcels_writing, &spill->parcels };
    ListLink *link;

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        while ((link = list_pop_front(lists[i])) != NULL)
            parcel_give_back(pipeline, LIST_ITEM(link, Parcel, link));
    }
    spill->rows_pending = 0;
    buf_reset(&spill->pending);
    buf_reset(&spill->writing);
}
