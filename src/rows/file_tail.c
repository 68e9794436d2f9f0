/*
 * One file that a source reads; see the header.
 *
 * A step is one crossing to the pool, whatever must be done: open, look, settle on a track, read.
 */
#include "rows/file_tail.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <stdio.h>

void file_tails_deinit(FileTails *tails)
{
    shape_unref(tails->nothing);
    file_tracks_deinit(&tails->tracks);
}

FileTail *file_tail_new(FileTails *tails, const char *path, uint64_t device, uint64_t inode)
{
    FileTail *tail = mem_new(FileTail);

    tail->tails = tails;
    tail->name = mem_copy_c(path, strlen(path));
    tail->path = mem_copy_c(path, strlen(path));
    tail->read = (FileRead){ .fd = -1, .device = device, .inode = inode };
    tail->is_dirty = true;
    source_bytes_init(&tail->bytes, tails->source, str_from_c(tail->name));
    return tail;
}

void file_tail_free(FileTail *tail)
{
    if (!tail)
        return;
    ASSERT(!list_is_linked(&tail->link));
    if (tail->track)
        tail->track->position = tail->bytes.position; /* it may be found again */
    file_read_close(&tail->read);
    source_bytes_deinit(&tail->bytes);
    mem_free(tail->name);
    mem_free(tail->path);
    mem_free(tail);
}

void file_tail_rename(FileTail *tail, const char *path)
{
    if (strcmp(tail->path, path) == 0)
        return;
    mem_free(tail->path);
    tail->path = mem_copy_c(path, strlen(path));
}

void file_tail_close(FileTail *tail)
{
    uint64_t lines = tail->bytes.lines;

    if (tail->read.fd < 0)
        return;
    file_read_close(&tail->read);
    source_bytes_reset(&tail->bytes, tail->bytes.position);
    tail->bytes.lines = lines;
}

/* ---- on the pool ----------------------------------------------------------------------------- */

typedef struct TailStep {
    FileTail *tail;
    char *room;
    size_t n;
} TailStep;

static bool is_csv(const FileTail *tail)
{
    DecodeFormat format = tail->tails->source->decode.format;

    return format == DECODE_CSV || format == DECODE_AUTO;
}

/* Go on in the middle of the file, at POSITION. 0, FILE_CUT, or an error. */
static int take_up(FileTail *tail, uint64_t position)
{
    int r = file_read_seek(&tail->read, position, &tail->bytes.lines);

    tail->bytes.position = position; /* also when it is not reached: a position never goes back */
    if (r == 0 && !tail->read.is_gzip)
        r = file_read_skip_line_end(&tail->read);
    if (r != 0)
        return r;
    tail->bytes.lines += tail->read.offset != position;
    tail->bytes.position = tail->read.offset;
    if (!tail->read.is_gzip)
        r = file_read_is_in_long_row(&tail->read, tail->read.offset, &tail->bytes.is_in_row);
    if (r == 0 && position > 0 && is_csv(tail))
        r = file_read_first_row(&tail->read, &tail->bytes.head);
    return r;
}

/* Whether LOOK shows enough of a file to know it by. */
static bool has_beginning(const FileTail *tail, const FileLook *look)
{
    if (!tail->tails->is_followed || look->head_len == FILE_HEAD_BYTES || tail->read.is_gzip)
        return look->head_len > 0;
    return look->head_len > 0 && memchr(look->head, '\n', look->head_len);
}

/* Where a file begins that was there before the source: at its end, as it was when it was found. */
static int find_end(FileTail *tail, uint64_t *ret_position)
{
    FileRead *read = &tail->read;

    if (read->is_gzip)
        return file_read_last_line(read, ret_position);
    return file_read_line_start(read, MIN(tail->tails->look.size, tail->first_size), ret_position);
}

/* Find the track of the file and go to its position. 0, FILE_END when there is too little of it, or
 * an error. */
static int settle(FileTail *tail)
{
    FileTails *tails = tail->tails;
    const FileLook *look = &tails->look;
    Str head = str_from(look->head, look->head_len);
    FileRead *read = &tail->read;
    uint64_t position = 0;
    int r = FILE_CUT;

    if (!has_beginning(tail, look)) {
        tail->begins_now = true; /* there is nothing to leave out */
        return FILE_END;
    }
    tail->track = file_tracks_find(&tails->tracks, read->device, read->inode, head);
    if (tail->track && (read->is_gzip || tail->track->position <= look->size))
        r = take_up(tail, tail->track->position);
    if (r != FILE_CUT)
        return r;
    if (tails->begins_at_end && !tail->begins_now && !tail->track) {
        r = find_end(tail, &position);
        if (r < 0)
            return r;
        tail->is_unsaid = position > 0;
    }
    tail->track = file_tracks_add(&tails->tracks, read->device, read->inode, head);
    return take_up(tail, position);
}

/* Whether it is no longer the file whose bytes were read. */
static bool has_begun_anew(const FileTail *tail, const FileLook *look)
{
    if (!file_track_is_of(tail->track, str_from(look->head, look->head_len)))
        return true;
    return !tail->read.is_gzip && look->size < tail->read.offset;
}

static int step_main(void *arg)
{
    TailStep *step = arg;
    FileTail *tail = step->tail;
    FileLook *look = &tail->tails->look;
    bool was_closed = tail->read.fd < 0;
    int r = was_closed ? file_read_open(&tail->read, tail->path) : 0;

    if (r == 0)
        r = file_read_look(&tail->read, look);
    if (r != 0)
        return r < 0 ? wrap(r, "%s", tail->path) : r;
    if (!look->is_regular)
        return fail(-ERR_INVALID, "%s is not a file", tail->path);
    if (tail->track && has_begun_anew(tail, look))
        return FILE_CUT;
    if (!tail->track)
        r = settle(tail);
    else if (was_closed)
        r = take_up(tail, tail->bytes.position);
    if (r == 0)
        r = file_read_piece(&tail->read, step->room, LIMIT_SOURCE_PIECE_BYTES, &step->n);
    return r < 0 ? wrap(r, "%s", tail->path) : r;
}

/* ---- on the loop ----------------------------------------------------------------------------- */

/* The file was emptied or replaced: it is another one from here on. */
static void begin_anew(FileTail *tail)
{
    char text[300];

    (void) snprintf(text, sizeof(text), "%s has begun anew%s", tail->path,
                    tail->bytes.held.len > 0 ? "; its last line had no end" : "");
    source_say(tail->tails->source, true, text);
    if (tail->bytes.held.len > 0)
        source_count_lost(tail->tails->source, "unfinished", 1);
    source_bytes_reset(&tail->bytes, 0);
    tail->track->is_over = true;
    tail->track = NULL;
    tail->is_unsaid = false;
    tail->begins_now = true;
    tail->is_done = false;
}

int file_tail_read(FileTail *tail)
{
    TailStep step = { .tail = tail, .room = source_bytes_room(&tail->bytes) };
    int r;

    if (!step.room)
        return buf_check(&tail->bytes.held);
    r = sl_offload(step_main, &step, .name = "read file");
    tail->used_ns = sl_now_ns();
    if (r == FILE_CUT) {
        begin_anew(tail);
        return 0;
    }
    if (r == 0)
        source_bytes_add(&tail->bytes, step.n);
    return r;
}

/* The shape of what has no rows. */
static Shape *shape_of_nothing(FileTails *tails)
{
    Str table = tails->source->decode.table;
    size_t column;
    int r;

    if (!tails->nothing) {
        tails->nothing = shape_new(table.len > 0 ? table : str_from_c("rows"), 1);
        r = shape_add(tails->nothing, str_from_c("line"), ROW_TEXT, str_from(NULL, 0), &column);
        ASSERT(r == 0);
    }
    return tails->nothing;
}

int file_tail_mark(FileTail *tail)
{
    Source *source = tail->tails->source;
    Receipt *receipt;
    Parcel *parcel;
    int r;

    if (!tail->is_unsaid || !tail->track)
        return 0;
    tail->is_unsaid = false;
    receipt = receipt_new(source->index, str_from_c(tail->path), str_from_c(tail->track->name));
    receipt->received_ns = sl_wall_ms() * NS_PER_MS;
    receipt->arrived_ns = sl_now_ns();
    receipt->position = tail->bytes.position;
    parcel = parcel_new(source->pool, shape_of_nothing(tail->tails), receipt, NULL);
    parcel->end_position = receipt->position;
    r = source_put(source, parcel);
    receipt_seal(receipt);
    return r;
}

int file_tail_hand_on(FileTail *tail, bool is_last)
{
    if (!tail->track)
        return 0;
    return source_bytes_hand_on(&tail->bytes, str_from_c(tail->path), str_from_c(tail->track->name),
                                is_last);
}

bool file_tail_is_whole(const FileTail *tail)
{
    return file_read_is_whole(&tail->read);
}
