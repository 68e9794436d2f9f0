/*
 * Rows of a lot into PostgreSQL by COPY; see pg_feed_int.h.
 *
 * The whole of a lot's transaction is one message to the server, `BEGIN; COPY …; INSERT …; COMMIT`,
 * so that it takes two round trips however many rows there are: one until the server wants the
 * rows, and one until it has committed. While the first is under way the first piece is encoded,
 * small, so that the server has something to do early; while the server works on what is in the
 * socket, the next piece is encoded. Nothing waits for anything but the server's speed, and the
 * loop is never held for longer than a small piece takes.
 */
#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "codec/hex.h"
#include "rows/pg_copy.h"
#include "rows/pg_feed_int.h"

#define PG_FIRST_BYTES    (32 << 10) /* of the first piece */
#define PG_PIECE_BYTES    (64 << 10) /* of a further one in the binary format */
#define PG_OFFLOAD_VALUES 4096       /* as text, rows with fewer are encoded where we are */

/* A piece of a lot that is being encoded. */
typedef struct PgPiece {
    PgFeed *feed;
    const PgCopyPlan *plan;
    size_t at;    /* the next row */
    size_t bytes; /* to stop at */
} PgPiece;

/* ---- as text --------------------------------------------------------------------------------- */

/* VALUE as the text of a column of TYPE, where that is not its own text: in *ret. */
static void fit_text(PgFeed *feed, PgType type, const RowValue *value, RowValue *ret)
{
    Buf *scratch = &feed->scratch;

    *ret = *value;
    buf_reset(scratch);
    if (type == PG_BYTEA && value->kind == ROW_TEXT && str_find(value->text, '\\') < 0) {
        buf_add_c(scratch, "\\x");
        hex_encode_buf(scratch, value->text);
        *ret = row_text(buf_str(scratch));
    } else if ((type == PG_JSON || type == PG_JSONB) && value->kind != ROW_ANY &&
               value->kind != ROW_TEXT && value->kind != ROW_JSON) {
        row_value_format_json(scratch, value);
        *ret = row_json(buf_str(scratch));
    }
}

static int add_text_row(PgFeed *feed, const FeedLot *lot, size_t index)
{
    const RowValue *row = lot->rows[index];
    Buf *copy = &feed->copy;

    for (size_t c = 0; c < lot->n_columns; c++) {
        RowValue value;

        if (c > 0)
            buf_add_char(copy, '\t');
        fit_text(feed, feed->types[c], &row[c], &value);
        pg_copy_add(copy, &value);
        if (feed->scratch.is_failed)
            return buf_check(&feed->scratch);
    }
    if (pg_feed_is_upsert(feed)) {
        buf_add_char(copy, '\t');
        buf_add_u64(copy, index);
    }
    buf_add_char(copy, '\n');
    return 0;
}

static int encode_text(PgPiece *piece)
{
    PgFeed *feed = piece->feed;
    int r = 0;

    buf_reset(&feed->copy);
    while (piece->at < piece->plan->to && feed->copy.len < piece->bytes && r == 0)
        r = add_text_row(feed, piece->plan->lot, piece->at++);
    return r < 0 ? r : buf_check(&feed->copy);
}

/* ---- in the binary format -------------------------------------------------------------------- */

static int encode_binary(PgPiece *piece)
{
    const PgCopyPlan *plan = piece->plan;
    PgBinary *binary = &piece->feed->binary;
    int r = 0;

    buf_reset(&binary->out);
    if (piece->at == plan->from)
        pg_binary_begin(binary);
    while (piece->at < plan->to && binary->out.len < piece->bytes && r == 0) {
        r = pg_binary_add(binary, plan->lot->rows[piece->at], piece->at);
        piece->at++;
    }
    if (r == 0 && piece->at == plan->to)
        pg_binary_end(binary);
    return r != 0 ? r : buf_check(&binary->out);
}

static int encode_main(void *arg)
{
    PgPiece *piece = arg;

    return piece->plan->as_text ? encode_text(piece) : encode_binary(piece);
}

/* ---- a COPY ---------------------------------------------------------------------------------- */

static int add_copy(PgFeed *feed, const PgCopyPlan *plan)
{
    Buf *sql = &feed->sql;

    buf_reset(sql);
    buf_add_c(sql, plan->before);
    buf_printf(sql, "COPY ");
    if (pg_feed_is_upsert(feed))
        buf_add_c(sql, PG_STAGING);
    else
        buf_add_c(sql, feed->table.data);
    buf_add_c(sql, " (");
    sql_add_columns(sql, plan->lot->columns, plan->lot->n_columns);
    buf_printf(sql, "%s) FROM STDIN%s", pg_feed_is_upsert(feed) ? ", " PG_ORDER : "",
               plan->as_text ? "" : " (FORMAT binary)");
    if (pg_feed_is_upsert(feed)) {
        buf_add_c(sql, "; ");
        pg_feed_add_move(feed, plan->lot->n_columns);
    }
    buf_add_str(sql, plan->after);
    buf_add_char(sql, '\0');
    return buf_check(sql);
}

/* Encode the next piece. In the binary format that is a tenth of a millisecond, and the way to a
 * pool thread and back would keep the server waiting; text goes that way. */
SUSPENDS static int encode(PgPiece *piece)
{
    size_t rows = piece->plan->to - piece->at;

    if (!piece->plan->as_text || piece->bytes == PG_FIRST_BYTES ||
        rows * piece->plan->lot->n_columns < PG_OFFLOAD_VALUES)
        return encode_main(piece);
    return sl_offload(encode_main, piece, .name = "encode rows");
}

/* Whatever R was, end the COPY that is under way, so that the connection can be spoken to. */
SUSPENDS static int give_up(PgFeed *feed, int r)
{
    Err err = { 0 };
    int ended;

    if (r == -ECANCELED)
        return r;
    if (r < 0)
        err_take(r, &err);
    ended = pg_conn_copy_abort(feed->conn);
    if (ended == -ECANCELED || !pg_conn_is_alive(feed->conn))
        return ended;
    err_take(ended, NULL);
    return r < 0 ? err_put(&err) : r;
}

/* Wait until the server wants rows; the first piece is encoded meanwhile. */
SUSPENDS static int begin(PgFeed *feed, PgPiece *piece)
{
    int encoded = encode(piece), r;
    Err err = { 0 };

    if (encoded == -ECANCELED)
        return encoded;
    if (encoded < 0)
        err_take(encoded, &err);
    r = pg_conn_copy_begin_wait(feed->conn);
    if (r < 0)
        return r;
    if (encoded < 0)
        encoded = err_put(&err);
    return encoded != 0 ? give_up(feed, encoded) : 0;
}

int pg_feed_copy(PgFeed *feed, const PgCopyPlan *plan)
{
    PgPiece piece = { .feed = feed, .plan = plan, .at = plan->from, .bytes = PG_FIRST_BYTES };
    const Buf *bytes = plan->as_text ? &feed->copy : &feed->binary.out;
    int r;

    ASSERT(plan->from < plan->to && plan->lot->n_columns <= feed->n_columns);
    feed->binary.types = feed->types;
    feed->binary.n_columns = plan->lot->n_columns;
    feed->binary.has_number = pg_feed_is_upsert(feed);
    r = add_copy(feed, plan);
    if (r == 0)
        r = pg_conn_copy_send(feed->conn, feed->sql.data);
    if (r == 0)
        r = begin(feed, &piece);
    piece.bytes = plan->as_text ? LIMIT_SINK_BUFFER_BYTES : PG_PIECE_BYTES;
    while (r == 0) {
        r = pg_conn_copy_put(feed->conn, buf_str(bytes));
        if (r < 0)
            return r;
        if (piece.at == plan->to)
            return pg_conn_copy_end(feed->conn);
        r = encode(&piece);
        if (r != 0)
            return give_up(feed, r);
    }
    return r;
}
