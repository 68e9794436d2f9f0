/*
 * What an SQLSTATE of PostgreSQL means for rows on their way into a table. Pure.
 */
#pragma once

typedef enum PgSense {
    PG_SENSE_STOP,  /* somebody must mend it: a table or column is missing, not allowed */
    PG_SENSE_LATER, /* the same again after a while: a lock, a conflict, a server that restarts */
    PG_SENSE_FULL,  /* no room on its disk */
    PG_SENSE_DATA,  /* the values of a row: it is the row's fault */
    PG_SENSE_STALE  /* the values do not fit the table as it was when it was looked at */
} PgSense;

/* STATE is not empty; what is not known stops. */
PgSense pg_sense_of(const char *state);
