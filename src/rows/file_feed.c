/*
 * Files of text as feeds; see the header.
 *
 *   deliver   the rows are formatted and written at once, on a pool thread: all of them or none;
 *             with `sync` they are on the disk when it returns
 *   roll      before a lot that would make the file larger than `rotate`, or when the time that
 *             `rotate_every` counts has come, or when the rows have columns that its head lacks
 *
 * A file keeps no marks: a lot whose fate is unknown is written again, so that rows arrive at least
 * once. A process that was killed while it wrote may leave whole rows of a lot; the torn one is cut
 * at the next start.
 *
 * A head of names (CSV) must be that of the rows, or begin with it: rows from before a column was
 * known have nothing in the columns behind theirs. Any other head begins a new file.
 *
 * What is no regular file (standard output, a pipe) is written straight and never rolled.
 */
#include "rows/file_feed.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"
#include "rows/out_file.h"
#include "rows/roll_file.h"

#include <sluice/rt.h>

#include <fcntl.h>
#include <unistd.h>

#define FILE_FEED_GRACE_MS   60000
#define FILE_FEED_HEAD_BYTES (1 << 20)

enum { SYNC_AUTO, SYNC_FULL, SYNC_NORMAL };                        /* the words of sync= */
enum { TIME_NS, TIME_US, TIME_MS, TIME_S, TIME_TEXT, TIME_FORMS }; /* the words of time= */
enum { COMPRESS_NONE, COMPRESS_GZIP };

const SinkOption file_feed_options[] = {
    { .name = "rotate",
      .kind = SINK_OPTION_SIZE,
      .min = 1024,
      .summary = "close the file before it would be larger than this, and begin a new one",
      .is_for_feed = true },
    { .name = "rotate_every",
      .kind = SINK_OPTION_DURATION,
      .min = 1000,
      .summary = "close the file at every whole multiple of this time (UTC): 1h, 1d",
      .is_for_feed = true },
    { .name = "keep",
      .kind = SINK_OPTION_COUNT,
      .min = 1,
      .summary = "closed files that stay; older ones are removed",
      .is_for_feed = true },
    { .name = "compress",
      .kind = SINK_OPTION_WORD,
      .words = "none|gzip",
      .summary = "what becomes of closed files",
      .is_for_feed = true },
    { .name = "sync",
      .kind = SINK_OPTION_WORD,
      .words = "auto|full|normal",
      .summary = "full: each batch survives a loss of power; normal: it survives kill -9",
      .is_for_feed = true },
    { .name = "time",
      .kind = SINK_OPTION_WORD,
      .words = "ns|us|ms|s|text",
      .summary = "how times are written: whole numbers since 1970 in this unit, or RFC 3339 text",
      .is_for_feed = true },
    { 0 },
};

typedef struct FileFeed {
    const TextForm *form;
    const SinkSpec *spec; /* borrowed */
    bool is_synced;
    int64_t time; /* TIME_… */
    RollOpts opts;
    RollFile roll;
    OutFile *stream; /* instead of the file; NULL */
    bool is_begun;   /* the stream has its head */
    bool is_held;    /* rows of a lot that it did not take: the lot comes again */

    Buf head; /* for rows as wide as head_columns, with its line end */
    size_t head_columns;
    Buf file_head;        /* of the file that is open, without its line end */
    unsigned file_number; /* of the file it was read from */
    size_t n_extra;       /* columns of the file behind those of the rows */

    RowValue *values;   /* of a row that is made to fit; owned */
    RowColumn *columns; /* nameless, as many; owned */
    size_t cap_values;
    Buf out;
} FileFeed;

/* ---- rows ------------------------------------------------------------------------------------ */

static int64_t floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

/* ROW as it is written: N values, times in the wanted unit, nothing in extra columns. */
static const RowValue *fit_row(FileFeed *feed, const RowValue *row, size_t n)
{
    static const int64_t units[TIME_FORMS] = { 1, 1000, 1000000, NS_PER_S, 0 };

    memcpy(feed->values, row, n * sizeof(*row));
    for (size_t c = 0; c < n && feed->time != TIME_TEXT; c++) {
        if (row[c].kind == ROW_TIME)
            feed->values[c] = row_integer(floor_div(row[c].time_ns, units[feed->time]));
    }
    return feed->values;
}

static void make_room(FileFeed *feed, size_t n)
{
    if (n <= feed->cap_values)
        return;
    mem_free(feed->values);
    mem_free(feed->columns);
    feed->values = mem_new_array(RowValue, n);
    feed->columns = mem_new_array(RowColumn, n);
    feed->cap_values = n;
}

static void add_rows(FileFeed *feed, const FeedLot *lot, Buf *out)
{
    size_t n = lot->n_columns + feed->n_extra;
    bool is_as_it_is = feed->n_extra == 0 && feed->time == TIME_TEXT;
    RowBatch one = { .columns = lot->columns, .n_columns = lot->n_columns, .n_rows = 1 };

    if (!is_as_it_is) {
        make_room(feed, n);
        for (size_t c = 0; c < n; c++) {
            feed->columns[c] = c < lot->n_columns ? lot->columns[c] : (RowColumn){ 0 };
            feed->values[c] = row_null();
        }
    }
    if (feed->n_extra > 0) {
        one.columns = feed->columns;
        one.n_columns = n;
    }
    for (size_t i = 0; i < lot->n_rows; i++) {
        const RowValue *row = is_as_it_is ? lot->rows[i]
                                          : fit_row(feed, lot->rows[i], lot->n_columns);

        one.values = (RowValue *) row; /* is only read */
        feed->form->row(out, feed->spec, &one, 0, i);
    }
}

/* ---- the head -------------------------------------------------------------------------------- */

static void make_head(FileFeed *feed, const FeedLot *lot)
{
    if (!feed->form->head || feed->head_columns == lot->n_columns)
        return;
    buf_reset(&feed->head);
    feed->form->head(&feed->head, feed->spec, lot->columns, lot->n_columns);
    feed->head_columns = lot->n_columns;
}

static Str without_end(Str line)
{
    while (line.len > 0 && (line.data[line.len - 1] == '\n' || line.data[line.len - 1] == '\r'))
        line.len--;
    return line;
}

/* Cells of a line that follow the one that ends before TEXT; each begins with SEPARATOR. */
static size_t count_cells(Str text, char separator)
{
    bool is_inside = false;
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        is_inside ^= text.data[i] == '"';
        n += !is_inside && text.data[i] == separator;
    }
    return n;
}

/* Whether the rows fit the head of the file that is open; then n_extra is right. */
static int match_head(FileFeed *feed, bool *ret_is_right)
{
    char separator = feed->spec->separator ? feed->spec->separator : ',';
    Str want = without_end(buf_str(&feed->head)), have;

    *ret_is_right = true;
    feed->n_extra = 0;
    if (!feed->form->head || feed->roll.bytes == 0)
        return 0;
    if (feed->file_number != feed->roll.opened) {
        int r;

        buf_reset(&feed->file_head);
        r = roll_read_head(&feed->roll, FILE_FEED_HEAD_BYTES, &feed->file_head);
        if (r < 0)
            return r;
        feed->file_number = feed->roll.opened;
    }
    have = buf_str(&feed->file_head);
    if (str_starts(have, str_from_c("\xef\xbb\xbf")))
        have = str_sub(have, 3, have.len);
    *ret_is_right = str_starts(have, want) &&
                    (have.len == want.len || have.data[want.len] == separator);
    if (*ret_is_right)
        feed->n_extra = count_cells(str_sub(have, want.len, have.len), separator);
    return 0;
}

static void put_head_before(FileFeed *feed)
{
    size_t len = feed->out.len;

    if (feed->head.len == 0 || !buf_reserve(&feed->out, feed->head.len))
        return; /* the buffer has failed, which is looked at */
    memmove(feed->out.data + feed->head.len, feed->out.data, len);
    memcpy(feed->out.data, feed->head.data, feed->head.len);
    feed->out.len = len + feed->head.len;
}

/* ---- delivering ------------------------------------------------------------------------------ */

/* The error R as an outcome. */
static int judge(int r, FeedVerdict *verdict)
{
    int outcome;
    Err err;

    if (r >= 0 || r == -ECANCELED)
        return r;
    err_take(r, &err);
    outcome = -r < ERR_INVALID ? feed_outcome_of_errno(-r) : FEED_STOP;
    feed_verdict_say(verdict, err_name(r), "%.480s", err.text);
    return outcome;
}

typedef struct FileDelivery {
    FileFeed *feed;
    const FeedLot *lot;
    int64_t now_ms;
} FileDelivery;

/* The file is rolled over, and the rows are formatted once more if they were made for its head. */
static int roll(FileDelivery *delivery)
{
    FileFeed *feed = delivery->feed;
    bool is_other = feed->n_extra > 0;
    int r = roll_over(&feed->roll, delivery->now_ms);

    feed->n_extra = 0;
    if (r < 0 || !is_other)
        return r;
    buf_reset(&feed->out);
    add_rows(feed, delivery->lot, &feed->out);
    return 0;
}

enum { NAME_UNSYNCED = 1 }; /* of the file that the rows would be written to */

/* 0, NAME_UNSYNCED with nothing written, or an error. */
static int write_lot(FileDelivery *delivery)
{
    FileFeed *feed = delivery->feed;
    bool is_right = true;
    int r = roll_follow(&feed->roll);

    if (r == 0)
        r = match_head(feed, &is_right);
    if (r < 0)
        return r;
    add_rows(feed, delivery->lot, &feed->out);
    if (!is_right || roll_is_due(&feed->roll, feed->out.len, delivery->now_ms))
        r = roll(delivery);
    if (r == 0 && feed->roll.bytes == 0) {
        put_head_before(feed);
        feed->file_number = 0;
    }
    if (r == 0)
        r = buf_check(&feed->out);
    if (r == 0 && feed->is_synced && feed->roll.is_new)
        return NAME_UNSYNCED;
    return r < 0 ? r
                 : roll_write(&feed->roll, buf_str(&feed->out), feed->is_synced, delivery->now_ms);
}

static int deliver_main(void *arg)
{
    FileDelivery *delivery = arg;
    FileFeed *feed = delivery->feed;

    make_head(feed, delivery->lot);
    if (!feed->stream) {
        buf_reset(&feed->out);
        return write_lot(delivery);
    }
    if (!feed->is_begun)
        buf_add_str(out_file_buf(feed->stream), buf_str(&feed->head));
    feed->is_begun = true;
    if (!feed->is_held)
        add_rows(feed, delivery->lot, out_file_buf(feed->stream));
    feed->is_held = true;
    return 0;
}

/* The rows that wait for it go into the stream; those that it does not take stay, so that no row is
 * there in part. */
SUSPENDS static int push(FileFeed *feed)
{
    int r = out_file_push(feed->stream);

    feed->is_held = r < 0;
    return r;
}

typedef struct FolderOpen {
    const char *path; /* of a file */
    int fd;           /* of its folder */
} FolderOpen;

static int open_folder_main(void *arg)
{
    FolderOpen *op = arg;
    const char *slash = strrchr(op->path, '/');
    size_t len = slash ? MAX((size_t) (slash - op->path), 1ul) : 1;
    AUTO(mem_free) char *folder = mem_copy_c(slash ? op->path : ".", len);

    op->fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return op->fd < 0 ? fail_errno("open folder %s", folder) : 0;
}

/* The name of a new file is on the disk, before its first rows are. */
SUSPENDS static int sync_name(FileFeed *feed)
{
    FolderOpen op = { .path = feed->roll.path };
    int r = sl_offload(open_folder_main, &op, .name = "open folder"), r_close;

    if (r < 0)
        return r;
    r = sl_file_sync(op.fd);
    r_close = sl_file_close(op.fd);
    feed->roll.is_new = r < 0;
    return r < 0 ? r : r_close;
}

int file_feed_deliver(void *state, const FeedLot *lot, FeedVerdict *verdict)
{
    FileFeed *feed = state;
    FileDelivery delivery = { feed, lot, sl_wall_ms() };
    int r;

    while ((r = sl_offload(deliver_main, &delivery, .name = "write rows")) == NAME_UNSYNCED) {
        r = sync_name(feed);
        if (r < 0)
            break;
    }
    if (r == 0 && feed->stream)
        r = push(feed);
    return judge(r, verdict);
}

int file_feed_finish(void *state, FeedVerdict *verdict)
{
    (void) state;
    (void) verdict;
    UNREACHABLE("a file refuses no row");
}

/* ---- opening and closing --------------------------------------------------------------------- */

static int open_main(void *arg)
{
    FileFeed *feed = arg;

    return roll_open(&feed->roll, feed->spec->target, &feed->opts);
}

static int close_main(void *arg)
{
    FileFeed *feed = arg;

    roll_close(&feed->roll);
    return 0;
}

SUSPENDS static int close_on_pool(void *arg)
{
    return sl_offload(close_main, arg, .name = "close file");
}

void file_feed_close(void *state)
{
    FileFeed *feed = state;

    (void) sl_shielded(FILE_FEED_GRACE_MS, close_on_pool, feed); /* the path tells whether it ran */
    if (feed->roll.path)
        (void) close_main(feed);
    out_file_close(feed->stream);
    buf_deinit(&feed->head);
    buf_deinit(&feed->file_head);
    buf_deinit(&feed->out);
    mem_free(feed->values);
    mem_free(feed->columns);
    mem_free(feed);
}

static int read_options(FileFeed *feed, const FeedOpts *opts)
{
    const SinkSpec *spec = feed->spec;
    int64_t sync = sink_spec_number(spec, "sync", SYNC_AUTO);

    feed->opts = (RollOpts){
        .rotate_bytes = sink_spec_number(spec, "rotate", 0),
        .every_ms = sink_spec_number(spec, "rotate_every", 0),
        .keep = sink_spec_number(spec, "keep", 0),
        .is_packed = sink_spec_number(spec, "compress", COMPRESS_NONE) == COMPRESS_GZIP,
        .has_quotes = feed->form->head != NULL,
    };
    feed->is_synced = sync == SYNC_FULL || (sync == SYNC_AUTO && opts->is_synced);
    feed->time = sink_spec_number(spec, "time", TIME_TEXT);
    if (feed->opts.is_packed && !roll_pack_is_there())
        return fail(-ERR_UNSUPPORTED, "compress=gzip: zlib was not there when this was built");
    return 0;
}

/* No file: what is written there cannot be rolled. */
SUSPENDS static int open_stream(FileFeed *feed)
{
    uint64_t bytes;

    if (feed->opts.rotate_bytes > 0 || feed->opts.every_ms > 0)
        return fail(-ERR_INVALID, "rotate is for files: %.*s is none", (int) feed->spec->target.len,
                    feed->spec->target.data);
    return out_file_open(&feed->stream, &(OutFileOpts){ .path = feed->spec->target }, &bytes);
}

int file_feed_open(const TextForm *form, const SinkSpec *spec, const FeedOpts *opts,
                   void **ret_state, uint64_t *ret_mark, FeedVerdict *verdict)
{
    FileFeed *feed = mem_new(FileFeed);
    int r;

    *feed = (FileFeed){ .form = form, .spec = spec, .roll = { .fd = -1 } };
    r = read_options(feed, opts);
    if (r == 0)
        r = str_eq_c(spec->target, "-") ? (int) ROLL_STREAM
                                        : sl_offload(open_main, feed, .name = "open file");
    if (r == ROLL_STREAM)
        r = open_stream(feed);
    if (r == 0) {
        *ret_mark = 0;
        *ret_state = feed;
        return 0;
    }
    r = -r < ERR_INVALID ? judge(r, verdict) : r;
    if (r < 0) {
        Err err;

        err_take(r, &err);
        file_feed_close(feed);
        return err_put(&err);
    }
    file_feed_close(feed);
    return r;
}
