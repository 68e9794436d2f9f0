/*
 * A connection to PostgreSQL that waits on the loop: connect, statements, COPY.
 *
 * Errors of the server become ours by their SQLSTATE: a full disk is -ENOSPC, a refused login
 * FORBIDDEN, a lost connection NETWORK, a lock that is not given BUSY.
 */
#pragma once

#include "base/text.h"

#include <sluice/rt.h>

typedef struct PgConn PgConn;

/* Connect as URL says, which is for libpq alone; TLS is whatever its sslmode says. Suspends. */
MUST SUSPENDS int pg_conn_open(PgConn **ret_conn, Str url);

/* Close; the server rolls back what is open. Does not wait. Nothing for NULL. */
void pg_conn_close(PgConn *conn);
DEFINE_AUTO(PgConn *, pg_conn_close);

/* Whether the server can still be spoken to. */
bool pg_conn_is_alive(const PgConn *conn);

/*
 * Of the last call that failed: the SQLSTATE that the server gave; PG_STATE_LOST when it was the
 * connection that failed; "" when it was neither (no memory, cancelled).
 */
#define PG_STATE_LOST "08006"
const char *pg_conn_state(const PgConn *conn);

/* Of the same, where it came in the middle of a COPY into the table called RELATION: the number of
 * the row, from 1; 0 when the server did not say. */
uint64_t pg_conn_copy_line(const PgConn *conn, Str relation);

/* TEXT as a literal of SQL. -ERR_INVALID when the server could not take it. */
MUST int pg_conn_add_literal(PgConn *conn, Buf *sql, Str text);

/* Run SQL, any number of statements without results. WHAT begins an error's words. Suspends. */
MUST SUSPENDS int pg_conn_run(PgConn *conn, const char *what, const char *sql);

/* Run one statement with PARAMS and collect its rows: their values one by one, for each call of
 * ON_ROW those of a row; NULL for SQL's null. Suspends. */
typedef void (*PgOnRow)(void *ctx, const char *const *values, int n_values);
#define PG_PARAMS_MAX 4
MUST SUSPENDS int pg_conn_ask(PgConn *conn, const char *what, const char *sql,
                              const char *const *params, int n_params, PgOnRow on_row, void *ctx);

/* COPY … FROM STDIN: begin with its SQL, put bytes, end. Other statements may stand before the COPY
 * and behind it: those are run at the end. An error of the rows may come with any later put, and
 * comes with the end at the latest. To send is to begin without waiting for the server, which
 * begin_wait does then. Suspends. */
MUST SUSPENDS int pg_conn_copy_begin(PgConn *conn, const char *sql);
MUST int pg_conn_copy_send(PgConn *conn, const char *sql);
MUST SUSPENDS int pg_conn_copy_begin_wait(PgConn *conn);
MUST SUSPENDS int pg_conn_copy_put(PgConn *conn, Str bytes);
MUST SUSPENDS int pg_conn_copy_end(PgConn *conn);

/* End it with a failure of ours: always an error. Suspends. */
MUST SUSPENDS int pg_conn_copy_abort(PgConn *conn);
