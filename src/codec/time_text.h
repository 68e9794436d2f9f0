/*
 * Times and durations as text. Pure: nothing here knows what time it is.
 *
 * A time is int64_t milliseconds since 1970-01-01T00:00:00Z, between the years 0001 and 9999. A
 * duration is int64_t milliseconds, not negative, at most DURATION_MS_MAX.
 */
#pragma once

#include "base/own.h"
#include <sluice/str.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIME_MS_MIN     (-62135596800000LL) /* 0001-01-01T00:00:00Z */
#define TIME_MS_MAX     253402300799999LL   /* 9999-12-31T23:59:59.999Z */
#define DURATION_MS_MAX (100LL * 365 * 86400 * 1000)
#define TIME_TEXT_BYTES 40

/* A calendar day of the proleptic Gregorian calendar, and back; days are counted from 1970. */
int64_t time_days_from_civil(int64_t year, unsigned month, unsigned day);
void time_civil_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day);

/*
 * Parse RFC 3339: "2026-11-21T03:15:00Z", with a fraction of any length (cut to ms) and with an
 * offset; "t", "z" and a space for the T are taken as the RFC allows; a leap second counts as the
 * second after it. 0 or -ERR_INVALID with words.
 */
MUST int time_parse_rfc3339(Str text, int64_t *ret_ms);

/* "2026-11-21T03:15:00.250Z" into OUT (TIME_TEXT_BYTES); 24 bytes always. */
Str time_format_rfc3339(int64_t time_ms, char *out);

/* "2026-11-21 03:15:00" for tables, in UTC. */
Str time_format_table(int64_t time_ms, char *out);

/* "Sat, 21 Nov 2026 03:15:00 GMT", the form HTTP sends, into OUT (TIME_TEXT_BYTES). */
Str time_format_http(int64_t time_ms, char *out);

/* The forms HTTP must read: the one above, RFC 850's and asctime's. 0 or -ERR_INVALID. */
MUST int time_parse_http(Str text, int64_t *ret_ms);

/*
 * Parse a duration: "250ms", "2s", "1h30m", "1.5h", "2d", "1w" (us and ns are cut to ms, never to
 * zero), or ISO 8601: "PT1S", "P1DT2H", "PT0.5S", "P2W". Years and months are refused, having no
 * fixed length. A number without a unit is refused, except 0. 0 or -ERR_INVALID with words.
 */
MUST int duration_parse(Str text, int64_t *ret_ms);

/* As duration_parse, and a plain number is in seconds: for the command line. */
MUST int duration_parse_flag(Str text, int64_t *ret_ms);

/* SECONDS as it comes from a JSON number. 0 or -ERR_INVALID with words. */
MUST int duration_from_seconds(double seconds, int64_t *ret_ms);

/* "1h30m", "2.5s", "250ms", "0s", exact, parses back to the same; into OUT (TIME_TEXT_BYTES). */
Str duration_format(int64_t duration_ms, char *out);

/* ISO 8601: "PT1H30M", "PT2.5S", "PT0S"; into OUT (TIME_TEXT_BYTES). */
Str duration_format_iso(int64_t duration_ms, char *out);

/* For tables, two units at most: "3d4h", "12m", "4.2s", "250ms"; negative ones with a minus. */
Str duration_format_table(int64_t duration_ms, char *out);
