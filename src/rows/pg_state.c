/*
 * SQLSTATEs; see the header.
 *
 * Data: classes 22 and 23, what a trigger or a function of the user raises (P0, 38, 39), a value
 * too large for an index (54000), a view's check option (44). Later: 08, 40, 53, 57, 58 and the
 * locks of 55, and a server that takes no writes for now (25006: the old primary in a fail-over).
 */
#include "rows/pg_state.h"

#include "base/macro.h"

#include <string.h>

/* By the beginning of the state; the longer ones come first. */
static const struct {
    const char *state;
    PgSense sense;
} senses[] = {
    { "22P03", PG_SENSE_STALE }, /* a column has another type than it had */
    { "22P04", PG_SENSE_STALE }, { "42804", PG_SENSE_STALE }, { "22", PG_SENSE_DATA },
    { "23", PG_SENSE_DATA },     { "P0", PG_SENSE_DATA },     { "38", PG_SENSE_DATA },
    { "39", PG_SENSE_DATA },     { "44", PG_SENSE_DATA },     { "54000", PG_SENSE_DATA },
    { "53100", PG_SENSE_FULL },  { "53", PG_SENSE_LATER },    { "08", PG_SENSE_LATER },
    { "40", PG_SENSE_LATER },    { "55P03", PG_SENSE_LATER }, { "55006", PG_SENSE_LATER },
    { "25006", PG_SENSE_LATER }, { "25P03", PG_SENSE_LATER }, /* idle in a transaction for too long: it was ended */
    { "57P04", PG_SENSE_STOP },                               /* the database was dropped */
    { "57", PG_SENSE_LATER },    { "58", PG_SENSE_LATER },
};

PgSense pg_sense_of(const char *state)
{
    for (size_t i = 0; i < ARRAY_LEN(senses); i++) {
        if (strncmp(state, senses[i].state, strlen(senses[i].state)) == 0)
            return senses[i].sense;
    }
    return PG_SENSE_STOP;
}
