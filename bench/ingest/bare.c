/*
 * What the machine gives: rows of (ts, sensor, kind, value) into a database by a plain loop in C.
 *
 *   bare sqlite ROWS BATCH ROWS_A_STATEMENT [index]   into bare.db here, WAL, synchronous=NORMAL
 *   bare copy URL ROWS BATCH [index]                  PostgreSQL, COPY in its binary format
 *
 * One figure: rows/s. Nothing is validated, queued, or looked at twice.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STATEMENT_ROWS_MAX 1000
#define FIRST_NS           INT64_C(1767225600000000000)
#define SENSORS            1000

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static char names[SENSORS][16];

static void make_names(void)
{
    for (int i = 0; i < SENSORS; i++)
        snprintf(names[i], sizeof(names[i]), "sensor-%04d", i);
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bare: %s: %s\n", what, why);
    exit(1);
}

/* ---- SQLite ---------------------------------------------------------------------------------- */

#if SL_HAVE_SQLITE
#include <sqlite3.h>

static void run_sql(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        die(sql, sqlite3_errmsg(db));
}

static void bind_row(sqlite3_stmt *insert, int at, uint64_t i)
{
    sqlite3_bind_int64(insert, at + 1, FIRST_NS + (int64_t) i * 1000000);
    sqlite3_bind_text(insert, at + 2, names[i % SENSORS], 11, SQLITE_STATIC);
    sqlite3_bind_text(insert, at + 3, "temp", 4, SQLITE_STATIC);
    sqlite3_bind_double(insert, at + 4, 20 + (double) (i % 1000) / 100);
}

static sqlite3_stmt *prepare(sqlite3 *db, uint64_t n)
{
    size_t cap = 64 + n * 12, len;
    char *sql = malloc(cap);
    sqlite3_stmt *insert = NULL;

    len = (size_t) snprintf(sql, cap, "INSERT INTO readings VALUES ");
    for (uint64_t i = 0; i < n; i++)
        len += (size_t) snprintf(sql + len, cap - len, "%s(?,?,?,?)", i ? "," : "");
    if (sqlite3_prepare_v2(db, sql, -1, &insert, NULL) != SQLITE_OK)
        die("prepare", sqlite3_errmsg(db));
    free(sql);
    return insert;
}

static double sqlite_rows(uint64_t rows, uint64_t batch, uint64_t in_one, int has_index)
{
    sqlite3_stmt *insert;
    sqlite3 *db;
    double began;

    unlink("bare.db");
    unlink("bare.db-wal");
    unlink("bare.db-shm");
    if (sqlite3_open("bare.db", &db) != SQLITE_OK)
        die("open", sqlite3_errmsg(db));
    run_sql(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL");
    run_sql(db, "CREATE TABLE readings (time INTEGER, sensor TEXT, kind TEXT, value REAL)");
    if (has_index)
        run_sql(db, "CREATE INDEX by_sensor ON readings (sensor, time)");
    insert = prepare(db, in_one);
    began = now_s();
    for (uint64_t i = 0; i < rows;) {
        run_sql(db, "BEGIN IMMEDIATE");
        for (uint64_t k = 0; k < batch && i < rows; k += in_one) {
            for (uint64_t n = 0; n < in_one; n++, i++)
                bind_row(insert, (int) n * 4, i);
            if (sqlite3_step(insert) != SQLITE_DONE)
                die("insert", sqlite3_errmsg(db));
            sqlite3_reset(insert);
        }
        run_sql(db, "COMMIT");
    }
    began = (double) rows / (now_s() - began);
    sqlite3_finalize(insert);
    sqlite3_close(db);
    return began;
}
#else
static double sqlite_rows(uint64_t rows, uint64_t batch, uint64_t in_one, int has_index)
{
    (void) rows, (void) batch, (void) in_one, (void) has_index;
    die("sqlite", "not in this build");
    return 0;
}
#endif

/* ---- PostgreSQL ------------------------------------------------------------------------------ */

#if SL_HAVE_PQ
#include <libpq-fe.h>

#define PG_EPOCH_US INT64_C(946684800000000) /* 2000-01-01, where its times begin */

static char *add(char *at, const void *data, size_t len)
{
    memcpy(at, data, len);
    return at + len;
}

static char *add_field(char *at, const void *data, uint32_t len)
{
    uint32_t size = htonl(len);

    return add(add(at, &size, sizeof(size)), data, len);
}

static char *add_row(char *at, uint64_t i)
{
    uint64_t time = htobe64((uint64_t) (FIRST_NS / 1000 + (int64_t) i * 1000 - PG_EPOCH_US));
    double value = 20 + (double) (i % 1000) / 100;
    uint16_t n = htons(4);
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    bits = htobe64(bits);
    at = add(at, &n, sizeof(n));
    at = add_field(at, &time, sizeof(time));
    at = add_field(at, names[i % SENSORS], 11);
    at = add_field(at, "temp", 4);
    return add_field(at, &bits, sizeof(bits));
}

static void run_pg(PGconn *conn, const char *sql, ExecStatusType want)
{
    PGresult *result = PQexec(conn, sql);

    if (PQresultStatus(result) != want)
        die(sql, PQerrorMessage(conn));
    PQclear(result);
}

static double copy_rows(const char *url, uint64_t rows, uint64_t batch, int has_index)
{
    static const char head[19] = "PGCOPY\n\377\r\n"; /* 11 bytes, then flags and no extension */
    char *buf = malloc(batch * 64 + 64);
    PGconn *conn = PQconnectdb(url);
    uint16_t end = htons(0xffff);
    double began;

    if (PQstatus(conn) != CONNECTION_OK)
        die("connect", PQerrorMessage(conn));
    run_pg(conn, "DROP TABLE IF EXISTS bare", PGRES_COMMAND_OK);
    run_pg(conn, "CREATE TABLE bare (time timestamptz, sensor text, kind text, value float8)",
           PGRES_COMMAND_OK);
    if (has_index)
        run_pg(conn, "CREATE INDEX ON bare (sensor, time)", PGRES_COMMAND_OK);
    began = now_s();
    for (uint64_t i = 0; i < rows;) {
        char *at = add(buf, head, sizeof(head));
        PGresult *result;

        run_pg(conn, "COPY bare FROM STDIN (FORMAT binary)", PGRES_COPY_IN);
        for (uint64_t k = 0; k < batch && i < rows; k++, i++)
            at = add_row(at, i);
        at = add(at, &end, sizeof(end));
        if (PQputCopyData(conn, buf, (int) (at - buf)) != 1 || PQputCopyEnd(conn, NULL) != 1)
            die("copy", PQerrorMessage(conn));
        while ((result = PQgetResult(conn)) != NULL) {
            if (PQresultStatus(result) != PGRES_COMMAND_OK)
                die("copy", PQerrorMessage(conn));
            PQclear(result);
        }
    }
    began = (double) rows / (now_s() - began);
    PQfinish(conn);
    free(buf);
    return began;
}
#else
static double copy_rows(const char *url, uint64_t rows, uint64_t batch, int has_index)
{
    (void) url, (void) rows, (void) batch, (void) has_index;
    die("copy", "not in this build");
    return 0;
}
#endif

static uint64_t number(int argc, char **argv, int at)
{
    uint64_t n = at < argc ? strtoull(argv[at], NULL, 10) : 0;

    if (n == 0)
        die("usage",
            "bare sqlite ROWS BATCH ROWS_A_STATEMENT [index] | copy URL ROWS BATCH [index]");
    return n;
}

int main(int argc, char **argv)
{
    make_names();
    if (argc > 1 && strcmp(argv[1], "sqlite") == 0) {
        uint64_t in_one = number(argc, argv, 4);

        if (in_one > STATEMENT_ROWS_MAX)
            die("usage", "at most 1000 rows a statement");
        printf("%.0f rows/s\n",
               sqlite_rows(number(argc, argv, 2), number(argc, argv, 3), in_one, argc > 5));
        return 0;
    }
    if (argc > 2 && strcmp(argv[1], "copy") == 0) {
        printf("%.0f rows/s\n",
               copy_rows(argv[2], number(argc, argv, 3), number(argc, argv, 4), argc > 5));
        return 0;
    }
    return (int) number(0, argv, 0);
}
