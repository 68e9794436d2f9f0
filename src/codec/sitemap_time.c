/*
 * Sitemaps: the times that they and feeds are written with.
 *
 * Whatever is there is brought into a form that time_text.h reads: 2026-11 becomes
 * 2026-11-01T00:00:00Z; "Sat, 21 Nov 2026 03:15:00 +0100" is read as GMT, and an hour less is what
 * was meant.
 */
#include "codec/sitemap_int.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/text.h"
#include "codec/time_text.h"

#include <stdio.h>

#define TEXT_BYTES (2 * SITEMAP_LASTMOD_BYTES) /* of a time and what is added to it */

static bool read_time(Str text, int64_t *ret_ms)
{
    int r = time_parse_rfc3339(text, ret_ms);

    if (r < 0)
        err_take(r, NULL); /* a time that cannot be read is none */
    return r == 0;
}

/* The forms of W3C's note on RFC 3339: from the year alone to the fraction of a second. */
static bool read_w3c(Str text, int64_t *ret_ms)
{
    char full[TEXT_BYTES];
    Str zone, clock;
    int n;

    if (text.len == 4 || text.len == 7 || text.len == 10) {
        n = snprintf(full, sizeof(full), "%.*s%sT00:00:00Z", (int) text.len, text.data,
                     &"-01-01"[text.len - 4]);
        return read_time(str_from(full, (size_t) n), ret_ms);
    }
    if (text.len < 16)
        return false;
    clock = str_sub(text, 11, text.len);
    zone = clock;
    while (zone.len > 0 && ((zone.data[0] >= '0' && zone.data[0] <= ':') || zone.data[0] == '.'))
        zone = str_sub(zone, 1, zone.len);
    clock.len -= zone.len;
    n = snprintf(full, sizeof(full), "%.*s%.*s%s", 11, text.data, (int) clock.len, clock.data,
                 clock.len == 5 ? ":00" : "");
    if (zone.len == 5) /* "+0100" */
        n += snprintf(full + n, sizeof(full) - (size_t) n, "%.3s:%.2s", zone.data, zone.data + 3);
    else
        n += snprintf(full + n, sizeof(full) - (size_t) n, "%.*s", zone.len ? (int) zone.len : 1,
                      zone.len ? zone.data : "Z");
    return read_time(str_from(full, (size_t) n), ret_ms);
}

static bool is_gmt(Str zone)
{
    return str_eq_c(zone, "GMT") || str_eq_c(zone, "UT") || str_eq_c(zone, "UTC") ||
           str_eq_c(zone, "Z");
}

/* "Sun, 06 Nov 1994 08:49:37 +0100", as mail and RSS write it. */
static bool read_mail(Str text, int64_t *ret_ms)
{
    char gmt[TEXT_BYTES];
    int64_t offset_ms = 0;
    Str zone = text;
    int n, r;

    while (str_find(zone, ' ') >= 0)
        (void) str_cut(zone, ' ', &zone); /* up to the last word */
    if (zone.len == 5 && (zone.data[0] == '+' || zone.data[0] == '-')) {
        int64_t number;

        r = str_to_i64(str_sub(zone, 1, 4), 0, 2359, &number);
        if (r < 0) {
            err_take(r, NULL); /* a time that cannot be read is none */
            return false;
        }
        offset_ms = (number / 100 * 60 + number % 100) * 60 * MS_PER_S;
        offset_ms = zone.data[0] == '-' ? -offset_ms : offset_ms;
    } else if (!is_gmt(zone)) {
        return false;
    }
    n = snprintf(gmt, sizeof(gmt), "%.*sGMT", (int) (text.len - zone.len), text.data);
    r = time_parse_http(str_from(gmt, (size_t) n), ret_ms);
    if (r < 0) {
        err_take(r, NULL); /* a time that cannot be read is none */
        return false;
    }
    *ret_ms -= offset_ms;
    return true;
}

bool sitemap_time_parse(Str text, int64_t *ret_ms)
{
    if (text.len == 0 || text.len > SITEMAP_LASTMOD_BYTES)
        return false;
    return read_w3c(text, ret_ms) || read_mail(text, ret_ms);
}
