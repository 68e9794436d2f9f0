/*
 * A spill opened: what an earlier process left is found, counted and made whole; and trimmed, when
 * segments are done with.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "codec/hex.h"
#include "pipeline/spill_int.h"
#include "rows/parcel_code.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPILL_SUFFIX      ".spill"
#define SPILL_NAME_CHARS  16
#define SPILL_SEED        UINT64_C(0x5111ce5111ce)

/* From milliseconds to a byte's position: a spill would have to take a gigabyte a second, for ever,
 * to get ahead of the clock. */
#define SPILL_FIRST_SHIFT 20

uint64_t spill_hash(const void *data, size_t len)
{
    return hash_bytes(data, len, SPILL_SEED, len);
}

void spill_path(const Spill *spill, uint64_t start, Buf *out)
{
    buf_printf(out, "%s/%016" PRIx64 SPILL_SUFFIX, spill->dir, start);
    buf_add_char(out, '\0');
}

void spill_add_segment(Spill *spill, uint64_t start)
{
    ASSERT(spill->n_segments == 0 || spill->segments[spill->n_segments - 1].start < start);
    if (spill->n_segments == spill->cap_segments) {
        spill->cap_segments = MAX(2 * spill->cap_segments, (size_t) 16);
        spill->segments = mem_resize_array(spill->segments, spill->cap_segments,
                                           sizeof(spill->segments[0]));
    }
    spill->segments[spill->n_segments++] = (SpillSegment){ .start = start };
}

const SpillSegment *spill_segment_of(const Spill *spill, uint64_t position)
{
    size_t i = spill->n_segments;

    ASSERT(i > 0 && spill->segments[0].start <= position);
    while (spill->segments[i - 1].start > position)
        i--;
    return &spill->segments[i - 1];
}

/* ---- the folder ------------------------------------------------------------------------------ */

static int by_start(const void *a, const void *b)
{
    const SpillSegment *left = a, *right = b;

    return (left->start > right->start) - (left->start < right->start);
}

static bool read_name(const char *name, uint64_t *ret_start)
{
    char *end;

    if (strlen(name) != SPILL_NAME_CHARS + sizeof(SPILL_SUFFIX) - 1 ||
        strcmp(name + SPILL_NAME_CHARS, SPILL_SUFFIX) != 0)
        return false;
    *ret_start = strtoull(name, &end, 16);
    return end == name + SPILL_NAME_CHARS;
}

static int list_segments(Spill *spill)
{
    const struct dirent *entry;
    uint64_t start;
    DIR *dir;

    if (mkdir(spill->dir, 0700) < 0 && errno != EEXIST)
        return fail_errno("make the folder %s", spill->dir);
    dir = opendir(spill->dir);
    if (!dir)
        return fail_errno("%s", spill->dir);
    while ((entry = readdir(dir)) != NULL) {
        if (!read_name(entry->d_name, &start))
            continue;
        if (spill->n_segments == spill->cap_segments) {
            spill->cap_segments = MAX(2 * spill->cap_segments, (size_t) 16);
            spill->segments = mem_resize_array(spill->segments, spill->cap_segments,
                                               sizeof(spill->segments[0]));
        }
        spill->segments[spill->n_segments++] = (SpillSegment){ .start = start };
    }
    (void) closedir(dir); /* only read from */
    if (spill->n_segments > 1)
        qsort(spill->segments, spill->n_segments, sizeof(spill->segments[0]), by_start);
    return 0;
}

/* ---- what is in a segment -------------------------------------------------------------------- */

/* Read the record at OFFSET of FD, which has FILE_BYTES, into BYTES. False when it is not whole. */
static bool read_whole(int fd, int64_t offset, int64_t file_bytes, Buf *bytes)
{
    char head[SPILL_HEAD_BYTES];
    uint64_t hash;
    uint32_t len;

    buf_reset(bytes);
    if (pread(fd, head, sizeof(head), offset) != (ssize_t) sizeof(head))
        return false;
    memcpy(&len, head, sizeof(len));
    memcpy(&hash, head + sizeof(len), sizeof(hash));
    if (len > file_bytes - offset - SPILL_HEAD_BYTES || !buf_reserve(bytes, len))
        return false;
    bytes->len = len;
    return pread(fd, bytes->data, len, offset + (int64_t) sizeof(head)) == (ssize_t) len &&
           spill_hash(bytes->data, len) == hash;
}

uint64_t spill_leave_out(Spill *spill, Parcel *parcel)
{
    uint64_t dropped = parcel->dropped, n;
    Str track = parcel->receipt ? parcel->receipt->track : (Str){ 0 };
    const TrackRanges *there = spill_ranges_find(&spill->ranges, track);
    size_t guess = 0;

    if (!there || track.len == 0)
        return 0;
    for (size_t i = 0; i < parcel_count(parcel); i++) {
        if (track_ranges_has(there, parcel->places[i].position, &guess) &&
            parcel->fates[i] == FATE_OPEN)
            parcel_end_row(parcel, i, FATE_DROPPED);
    }
    parcel_compact(parcel);
    n = parcel->dropped - dropped;
    parcel->dropped = dropped; /* they are counted by themselves */
    return n;
}

/* Count the rows of one segment's records that end behind SETTLED, which may lie within one,
 * because sinks note rows; `handed` is the end of the last record before. Note which rows of their
 * sources they are (L4). What is behind the last whole record is cut off. */
static int scan_segment(Spill *spill, const SpillSegment *segment, uint64_t settled)
{
    AUTO(buf_deinit) Buf path = { 0 };
    AUTO(buf_deinit) Buf bytes = { .max_bytes = SPILL_RECORD_BYTES };
    int64_t offset = 0;
    struct stat st;
    int fd, r = 0;

    spill_path(spill, segment->start, &path);
    fd = open(path.data, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return fail_errno("%s", path.data);
    if (fstat(fd, &st) < 0)
        r = fail_errno("%s", path.data);
    while (r == 0 && read_whole(fd, offset, st.st_size, &bytes)) {
        ParcelHead head;

        r = parcel_peek(buf_str(&bytes), &head);
        if (r < 0)
            break;
        if (segment->start + (uint64_t) offset + SPILL_HEAD_BYTES + bytes.len > settled)
            spill->rows_unread += head.rows;
        else
            spill->handed = segment->start + (uint64_t) offset + SPILL_HEAD_BYTES + bytes.len;
        if (spill->sink == SPILL_OF_CHANNEL && head.track.len > 0 && head.first_position > 0)
            spill_ranges_add(&spill->ranges, head.track, head.first_position, head.position);
        offset += SPILL_HEAD_BYTES + (int64_t) bytes.len;
    }
    if (r == 0 && ftruncate(fd, offset) < 0)
        r = fail_errno("%s: cut a torn record", path.data);
    (void) close(fd); /* what was changed is a cut, which may be done again */
    spill->written = segment->start + (uint64_t) offset;
    return wrap(r, "%s", path.data);
}

static int open_main(void *arg)
{
    Spill *spill = arg;
    uint64_t settled = spill->handed;
    int r = list_segments(spill);

    if (spill->n_segments > 0)
        spill->handed = spill->segments[0].start;
    for (size_t i = 0; i < spill->n_segments && r == 0; i++) {
        /* One that was done with may be left before others that were deleted. */
        if (i > 0 && spill->written != spill->segments[i].start &&
            spill->segments[i].start > settled)
            return fail(-ERR_CONFLICT, "spill %s: a piece is missing before %016" PRIx64,
                        spill->dir, spill->segments[i].start);
        r = scan_segment(spill, &spill->segments[i], settled);
    }
    spill_ranges_seal(&spill->ranges);
    if (settled >= spill->written)
        spill->written = spill->handed = settled;
    return r;
}

/* How far rows of the spill are known to be done with: saved, or in the note of a sink. A new
 * position must be above all of them (L3). */
static uint64_t settled_position(const Spill *spill, bool is_highest)
{
    const Pipeline *pipeline = spill->pipeline;
    Str track = str_from_c(spill->track);
    uint64_t position = tracks_get(&pipeline->settled, track);

    for (size_t i = 0; i < pipeline->n_writers && is_highest; i++) {
        for (const Writer *writer = pipeline->writers[i]; writer; writer = writer->next)
            position = MAX(position, tracks_get(&writer->before, track));
    }
    return position;
}

static char *folder_of(const Spill *spill)
{
    const Plan *plan = spill->pipeline->plan;
    Str dir = plan->config.channel.spill_dir;
    AUTO(buf_deinit) Buf path = { 0 };

    if (dir.len > 0)
        buf_add_str(&path, dir);
    else
        buf_printf(&path, "%.*s/%.*s.spill", (int) plan->config.state.len, plan->config.state.data,
                   (int) plan->name.len, plan->name.data);
    if (spill->sink != SPILL_OF_CHANNEL)
        buf_printf(&path, ".%.*s", (int) plan->sinks[spill->sink].name.len,
                   plan->sinks[spill->sink].name.data);
    return mem_copy_c(path.data, path.len);
}

static char *track_of(const Spill *spill)
{
    AUTO(buf_deinit) Buf name = { 0 };

    buf_add_c(&name, "spill");
    if (spill->sink != SPILL_OF_CHANNEL) {
        buf_add_char(&name, '/');
        buf_add_str(&name, spill->pipeline->plan->sinks[spill->sink].name);
    }
    return mem_copy_c(name.data, name.len);
}

/* Where a spill begins of which nothing is known. A sink that is not open yet may remember one that
 * was lost with its folder, so the first position is above all that could have been (L3). */
static uint64_t first_position(const Spill *spill)
{
    return spill->sink == SPILL_OF_CHANNEL ? 0 : (uint64_t) sl_wall_ms() << SPILL_FIRST_SHIFT;
}

SUSPENDS int spill_open(Pipeline *pipeline, uint32_t sink, Spill **ret_spill)
{
    Spill *spill = mem_new(Spill);
    int r;

    spill->pipeline = pipeline;
    spill->sink = sink;
    spill->dir = folder_of(spill);
    spill->track = track_of(spill);
    spill->bytes_max = (uint64_t) pipeline->plan->config.channel.spill_bytes;
    spill->write_fd = spill->read_fd = -1;
    buf_init(&spill->pending, SPILL_RECORD_BYTES); /* spill_wait_room bounds them, but for what */
    buf_init(&spill->writing, SPILL_RECORD_BYTES); /* comes of one parcel */
    spill->handed = settled_position(spill, false);
    r = sl_offload(open_main, spill, .name = "open spill");
    if (r < 0) {
        spill_free(spill);
        return wrap(r, "spill");
    }
    spill->written = MAX(spill->written, settled_position(spill, true));
    if (spill->written == 0)
        spill->written = first_position(spill);
    if (spill_rows(spill) == 0)
        spill->handed = spill->written;
    spill->began = spill->written;
    books_receive(&pipeline->books, spill->rows_unread, false);
    *ret_spill = spill;
    return 0;
}

void spill_free(Spill *spill)
{
    if (!spill)
        return;
    ASSERT(list_is_empty(&spill->parcels) && list_is_empty(&spill->parcels_writing));
    list_remove(&spill->full_disk.link);
    list_remove(&spill->unread.link);
    if (spill->write_fd >= 0)
        (void) close(spill->write_fd); /* synced where that counts */
    if (spill->read_fd >= 0)
        (void) close(spill->read_fd);
    buf_deinit(&spill->pending);
    buf_deinit(&spill->writing);
    mem_free(spill->segments);
    spill_ranges_deinit(&spill->ranges);
    mem_free(spill->dir);
    mem_free(spill->track);
    mem_free(spill);
}

/* ---- trimming -------------------------------------------------------------------------------- */

SUSPENDS static int unlink_main(void *arg)
{
    (void) unlink(arg); /* one that stays is found done with at the next start */
    return 0;
}

uint64_t spill_settled(const Spill *spill)
{
    return tracks_get(&spill->pipeline->settled, str_from_c(spill->track));
}

/* Whether the first segment is done with: the next one begins before SETTLED, or it is the last one
 * and nothing of it is to come. A spill smaller than a segment would be full for ever otherwise. */
static bool is_done_with(const Spill *spill, uint64_t settled)
{
    if (spill->n_segments > 1)
        return spill->segments[1].start <= settled;
    return spill->n_segments == 1 && settled >= spill->written &&
           (spill->is_stuck || spill_is_empty(spill)) && spill->handed == spill->written &&
           spill->written > spill->segments[0].start;
}

SUSPENDS void spill_trim(Spill *spill, uint64_t settled)
{
    spill->saved = MAX(spill->saved, settled);
    while (is_done_with(spill, settled)) {
        AUTO(buf_deinit) Buf path = { 0 };
        int fd = spill->n_segments == 1 ? TAKE_FD(spill->write_fd) : -1;
        bool is_read_from = spill->read_fd >= 0 && spill->read_start == spill->segments[0].start;
        int read_fd = is_read_from ? TAKE_FD(spill->read_fd) : -1; /* to its end, before SETTLED */

        spill_path(spill, spill->segments[0].start, &path);
        spill->n_segments--;
        memmove(spill->segments, spill->segments + 1,
                spill->n_segments * sizeof(spill->segments[0]));
        if (read_fd >= 0)
            (void) sl_file_close(read_fd); /* open, it would keep its room on the disk */
        if (fd >= 0)
            (void) sl_file_close(fd);                                    /* it is deleted now */
        (void) sl_offload(unlink_main, path.data, .name = "trim spill"); /* see unlink_main */
        sl_cond_wake_all(&spill->changed);
    }
}
