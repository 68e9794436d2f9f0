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

/* Run SQL, any number of statements without results. WHAT begins an error's words. Suspends. */
MUST SUSPENDS int pg_conn_run(PgConn *conn, const char *what, const char *sql);

/* Run one statement with PARAMS and collect its rows: their values one by one, for each call of
 * ON_ROW those of a row; NULL for SQL's null. Suspends. */
typedef void (*PgOnRow)(void *ctx, const char *const *values, int n_values);
#define PG_PARAMS_MAX 4
MUST SUSPENDS int pg_conn_ask(PgConn *conn, const char *what, const char *sql,
                              const char *const *params, int n_params, PgOnRow on_row, void *ctx);

/* COPY … FROM STDIN: begin with its SQL, put bytes, end. An error of the rows may come with any
 * later put, and comes with the end at the latest. Suspends. */
MUST SUSPENDS int pg_conn_copy_begin(PgConn *conn, const char *sql);
MUST SUSPENDS int pg_conn_copy_put(PgConn *conn, Str bytes);
MUST SUSPENDS int pg_conn_copy_end(PgConn *conn);
