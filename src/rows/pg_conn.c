/*
 * A connection to PostgreSQL; see the header.
 *
 * Connecting runs on a pool thread, because libpq resolves names there and then; it is bounded by
 * LIMIT_SINK_CONNECT_S. Everything later is libpq's non-blocking way: what is to be sent is queued,
 * the fiber waits for the socket, results are taken when they are whole. A fiber that is cancelled
 * in the middle leaves a connection that can only be closed, which is all that happens to it.
 */
#include "rows/pg_conn.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#if __has_include(<libpq-fe.h>)
#include <libpq-fe.h>
#else
#include <postgresql/libpq-fe.h>
#endif

/* A server that went away without a word is noticed after a minute. */
#define PG_KEEPALIVE_IDLE_S "30"
#define PG_KEEPALIVE_STEP_S "10"
#define PG_KEEPALIVES       "3"

struct PgConn {
    PGconn *pg;
    char *url;     /* owned */
    int fd;        /* a duplicate of libpq's socket, which libpq closes when it likes; -1: none */
    char state[6]; /* of the last failure */
    Buf context;   /* of the last failure: what the server was about */
};

/* ---- errors ---------------------------------------------------------------------------------- */

/* What a failed connection says, as libpq and the server put it; there is no code to ask for. */
static const struct {
    const char *words;
    int code;
} connect_words[] = {
    { "could not translate host name", -ERR_DNS },
    { "certificate", -ERR_TLS },
    { "SSL", -ERR_TLS },
    { "password authentication failed", -ERR_FORBIDDEN },
    { "no password supplied", -ERR_FORBIDDEN },
    { "authentication failed", -ERR_FORBIDDEN },
    { "no pg_hba.conf entry", -ERR_FORBIDDEN },
    { "role \"", -ERR_FORBIDDEN },
    { "database \"", -ERR_NOT_FOUND },
    { "starting up", -ERR_UNAVAILABLE },
    { "shutting down", -ERR_UNAVAILABLE },
    { "too many", -ERR_UNAVAILABLE },
    { "remaining connection slots", -ERR_UNAVAILABLE },
    { "invalid URI", -ERR_INVALID },
    { "invalid connection option", -ERR_INVALID },
    { "invalid URI query parameter", -ERR_INVALID },
    { "invalid port number", -ERR_INVALID },
};

static int code_of_connect(const char *words)
{
    for (size_t i = 0; i < ARRAY_LEN(connect_words); i++) {
        if (strstr(words, connect_words[i].words))
            return connect_words[i].code;
    }
    return -ERR_NETWORK;
}

/* By the beginning of the SQLSTATE; the longer ones come first. */
static const struct {
    const char *state;
    int code;
} sql_states[] = {
    { "53100", -ENOSPC },        { "53", -ERR_UNAVAILABLE },  { "57P", -ERR_UNAVAILABLE },
    { "55P03", -ERR_BUSY },      { "40", -ERR_BUSY },         { "28", -ERR_FORBIDDEN },
    { "42501", -ERR_FORBIDDEN }, { "25006", -ERR_FORBIDDEN }, { "3D", -ERR_NOT_FOUND },
    { "3F", -ERR_NOT_FOUND },    { "22", -ERR_INVALID },      { "23", -ERR_CONFLICT },
    { "42", -ERR_CONFLICT },     { "08", -ERR_NETWORK },
};

static int code_of_state(const char *state)
{
    for (size_t i = 0; i < ARRAY_LEN(sql_states) && state; i++) {
        if (strncmp(state, sql_states[i].state, strlen(sql_states[i].state)) == 0)
            return sql_states[i].code;
    }
    return -ERR_DATABASE;
}

/* TEXT of libpq without its line breaks. */
static Str one_line(Buf *line, const char *text)
{
    Str rest = str_from_c(text);

    while (rest.len > 0) {
        Str part = str_trim(str_cut(rest, '\n', &rest));

        if (line->len > 0 && part.len > 0)
            buf_add_c(line, "; ");
        buf_add_str(line, part);
    }
    return buf_str(line);
}

static int fail_conn(PgConn *conn, const char *what)
{
    AUTO(buf_deinit) Buf line = { 0 };
    Str words = one_line(&line, PQerrorMessage(conn->pg));

    if (words.len == 0)
        words = str_from_c("the connection was lost");
    (void) snprintf(conn->state, sizeof(conn->state), "%s", PG_STATE_LOST);
    return fail(-ERR_NETWORK, "%s: %.*s", what, (int) words.len, words.data);
}

static int fail_result(PgConn *conn, const PGresult *result, const char *what)
{
    AUTO(buf_deinit) Buf line = { 0 };
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);

    if (!state || !primary)
        return fail_conn(conn, what);
    (void) snprintf(conn->state, sizeof(conn->state), "%s", state);
    buf_add_c(&conn->context, context ? context : "");
    buf_add_c(&line, primary);
    if (detail)
        buf_printf(&line, " (%s)", detail);
    if (context && strstr(context, "COPY"))
        buf_printf(&line, " (%s)", context);
    return fail(code_of_state(state), "%s: %.*s", what, (int) line.len, line.data);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void ignore_notice(void *ctx, const PGresult *result)
{
    (void) ctx;
    (void) result;
}

static int connect_main(void *arg)
{
    PgConn *conn = arg;
    AUTO(buf_deinit) Buf line = { 0 };
    char timeout[16];
    /* Those before dbname, which is the URL, are defaults that the URL may change. */
    const char *const names[] = { "connect_timeout",           "keepalives_idle",
                                  "keepalives_interval",       "keepalives_count",
                                  "fallback_application_name", "dbname",
                                  "client_encoding",           NULL };
    const char *const values[] = { timeout,
                                   PG_KEEPALIVE_IDLE_S,
                                   PG_KEEPALIVE_STEP_S,
                                   PG_KEEPALIVES,
                                   "sluice",
                                   conn->url,
                                   "UTF8",
                                   NULL };
    Str words;

    (void) snprintf(timeout, sizeof(timeout), "%d", LIMIT_SINK_CONNECT_S);
    conn->pg = PQconnectdbParams(names, values, 1);
    if (!conn->pg)
        return fail(-ENOMEM, "connect");
    if (PQstatus(conn->pg) != CONNECTION_OK) {
        words = one_line(&line, PQerrorMessage(conn->pg));
        return fail(code_of_connect(PQerrorMessage(conn->pg)), "%.*s", (int) words.len, words.data);
    }
    if (PQserverVersion(conn->pg) < 90500)
        return fail(-ERR_UNSUPPORTED, "PostgreSQL before 9.5 cannot upsert and is not supported");
    if (PQsetnonblocking(conn->pg, 1) != 0)
        return fail_conn(conn, "connect");
    (void) PQsetNoticeReceiver(conn->pg, ignore_notice, NULL);
    conn->fd = fcntl(PQsocket(conn->pg), F_DUPFD_CLOEXEC, 0);
    return conn->fd < 0 ? fail_errno("connect") : 0;
}

int pg_conn_open(PgConn **ret_conn, Str url)
{
    AUTO(pg_conn_close) PgConn *conn = mem_new(PgConn);
    int r;

    conn->url = mem_copy_c(url.data, url.len);
    conn->fd = -1;
    r = sl_offload(connect_main, conn, .name = "connect to postgresql");
    if (r < 0)
        return r;
    *ret_conn = TAKE(conn);
    return 0;
}

void pg_conn_close(PgConn *conn)
{
    if (!conn)
        return;
    PQfinish(conn->pg);
    sl_fd_close(conn->fd);
    buf_deinit(&conn->context);
    mem_free(conn->url);
    mem_free(conn);
}

bool pg_conn_is_alive(const PgConn *conn)
{
    return PQstatus(conn->pg) == CONNECTION_OK;
}

const char *pg_conn_state(const PgConn *conn)
{
    return conn->state;
}

/* The context has a line for each level: `PL/pgSQL function …`, `COPY readings, line 3, column b`;
 * in the language of the server. */
uint64_t pg_conn_copy_line(const PgConn *conn, Str relation)
{
    const Str copy = STR("COPY ");
    uint64_t line = 0;

    for (Str rest = buf_str(&conn->context); rest.len > 0;) {
        Str text = str_cut(rest, '\n', &rest);
        size_t from = 0, to;

        if (!str_starts(text, copy) || !str_starts(str_sub(text, copy.len, text.len), relation))
            continue;
        text = str_sub(text, copy.len + relation.len, text.len);
        if (!str_starts(text, str_from_c(", ")))
            continue;
        while (from < text.len && (text.data[from] < '0' || text.data[from] > '9'))
            from++;
        for (to = from; to < text.len && text.data[to] >= '0' && text.data[to] <= '9';)
            to++;
        if (to > from && str_to_u64(str_sub(text, from, to - from), UINT64_MAX, &line) == 0)
            return line;
    }
    return 0;
}

int pg_conn_add_literal(PgConn *conn, Buf *sql, Str text)
{
    char *literal = PQescapeLiteral(conn->pg, text.data ? text.data : "", text.len);

    if (!literal)
        return fail(-ERR_INVALID, "a text that is no UTF-8 does not go into a statement");
    buf_add_c(sql, literal);
    PQfreemem(literal);
    return 0;
}

/* ---- waiting --------------------------------------------------------------------------------- */

SUSPENDS static int wait_for(PgConn *conn, int events, int *ret_events)
{
    if (PQsocket(conn->pg) < 0)
        return fail_conn(conn, "wait");
    return sl_fd_wait(conn->fd, events, ret_events);
}

/* Send everything that is queued. */
SUSPENDS static int flush(PgConn *conn)
{
    int left, r, events;

    while ((left = PQflush(conn->pg)) == 1) {
        r = wait_for(conn, SL_FD_READ | SL_FD_WRITE, &events);
        if (r < 0)
            return r;
        /* The server may have something to say before it reads on. */
        if (events & SL_FD_READ && PQconsumeInput(conn->pg) == 0)
            return fail_conn(conn, "read");
    }
    return left < 0 ? fail_conn(conn, "write") : 0;
}

/* The next result, NULL at the end. */
SUSPENDS static int next_result(PgConn *conn, PGresult **ret_result)
{
    int r;

    while (PQisBusy(conn->pg)) {
        r = wait_for(conn, SL_FD_READ, NULL);
        if (r < 0)
            return r;
        if (PQconsumeInput(conn->pg) == 0)
            return fail_conn(conn, "read");
    }
    *ret_result = PQgetResult(conn->pg);
    return 0;
}

static void give_rows(const PGresult *result, PgOnRow on_row, void *ctx)
{
    const char *values[8];
    int n = MIN(PQnfields(result), (int) ARRAY_LEN(values));

    for (int i = 0; i < PQntuples(result) && on_row; i++) {
        for (int k = 0; k < n; k++)
            values[k] = PQgetisnull(result, i, k) ? NULL : PQgetvalue(result, i, k);
        on_row(ctx, values, n);
    }
}

/* Forget the last failure. */
static void begin_call(PgConn *conn)
{
    conn->state[0] = '\0';
    buf_reset(&conn->context);
}

/* Take all results; the first error counts. */
SUSPENDS static int finish(PgConn *conn, const char *what, PgOnRow on_row, void *ctx)
{
    PGresult *result = NULL;
    int first = 0, r = flush(conn);
    Err err = { 0 };

    while (r == 0 && (r = next_result(conn, &result)) == 0 && result) {
        ExecStatusType status = PQresultStatus(result);

        if (status == PGRES_TUPLES_OK) {
            give_rows(result, on_row, ctx);
        } else if (status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY &&
                   status != PGRES_COPY_IN && first == 0) {
            first = fail_result(conn, result, what);
            err_take(first, &err);
        }
        PQclear(result);
        if (status == PGRES_COPY_IN || PQstatus(conn->pg) == CONNECTION_BAD)
            break;
    }
    return first < 0 ? err_put(&err) : wrap(r, "%s", what);
}

/* ---- statements ------------------------------------------------------------------------------ */

int pg_conn_run(PgConn *conn, const char *what, const char *sql)
{
    begin_call(conn);
    if (PQsendQuery(conn->pg, sql) == 0)
        return fail_conn(conn, what);
    return finish(conn, what, NULL, NULL);
}

int pg_conn_ask(PgConn *conn, const char *what, const char *sql, const char *const *params,
                int n_params, PgOnRow on_row, void *ctx)
{
    ASSERT(n_params <= PG_PARAMS_MAX);
    begin_call(conn);
    if (PQsendQueryParams(conn->pg, sql, n_params, NULL, params, NULL, NULL, 0) == 0)
        return fail_conn(conn, what);
    return finish(conn, what, on_row, ctx);
}

int pg_conn_copy_begin(PgConn *conn, const char *sql)
{
    return pg_conn_run(conn, "copy", sql);
}

int pg_conn_copy_send(PgConn *conn, const char *sql)
{
    begin_call(conn);
    if (PQsendQuery(conn->pg, sql) == 0 || PQflush(conn->pg) < 0)
        return fail_conn(conn, "copy");
    return 0;
}

int pg_conn_copy_begin_wait(PgConn *conn)
{
    return finish(conn, "copy", NULL, NULL);
}

int pg_conn_copy_put(PgConn *conn, Str bytes)
{
    int done, r;

    while (bytes.len > 0) {
        Str piece = str_sub(bytes, 0, LIMIT_SINK_BUFFER_BYTES);

        done = PQputCopyData(conn->pg, piece.data, (int) piece.len);
        if (done < 0) {
            /* The server has ended the COPY: its reason is the next result. */
            r = finish(conn, "copy", NULL, NULL);
            return r < 0 ? r : fail(-ERR_DATABASE, "copy: the server ended it without a reason");
        }
        if (done == 1)
            bytes = str_sub(bytes, piece.len, bytes.len);
        r = flush(conn);
        if (r < 0)
            return wrap(r, "copy");
    }
    return 0;
}

/* With WORDS the COPY fails. */
SUSPENDS static int copy_end(PgConn *conn, const char *words)
{
    int done, r;

    while ((done = PQputCopyEnd(conn->pg, words)) == 0) {
        r = flush(conn);
        if (r < 0)
            return wrap(r, "copy");
    }
    r = finish(conn, "copy", NULL, NULL);
    return r == 0 && done < 0 ? fail_conn(conn, "copy") : r;
}

int pg_conn_copy_end(PgConn *conn)
{
    return copy_end(conn, NULL);
}

int pg_conn_copy_abort(PgConn *conn)
{
    int r = copy_end(conn, "given up by the client");

    return r == 0 ? fail_conn(conn, "copy") : r;
}
