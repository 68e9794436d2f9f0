/*
 * robots.txt: lines to rules.
 *
 * The grammar is RFC 9309's with what Google's library forgives, so that a site is understood the
 * way its owner has seen it understood for years:
 *
 *   lines      end in CR, LF or CRLF; a NUL ends what is read of one, # a comment; no more than
 *              LIMIT_ROBOTS_LINE_BYTES of one are read. A byte order mark is skipped, or as much
 *              of one as there is.
 *   keys       are known by their beginning in any case ("Disallow-all: /x" is a Disallow), with
 *              the misspellings that are often seen. A line of two words may lack its colon.
 *   groups     User-agent lines in a row name one group, up to the next User-agent behind a rule.
 *              Lines other than Allow and Disallow do not end the row. Rules before any group
 *              belong to nobody. All groups that name our token are one; if there is any, those
 *              of "*" do not count. The name ends at the first byte outside of [A-Za-z_-].
 *   patterns   are escaped (see robots_escape). Allow of /a/index.html is Allow of /a/ as well.
 *
 * Where the RFC's text and Google's library differ, the library is followed: %62 in a pattern is
 * not the letter b, for instance. Crawl-delay is in neither. It belongs to the agents that are
 * named right before it: a file that gives each agent its delay and no rules would otherwise be one
 * group, and the delay for a bot that is not wanted would be everybody's.
 *
 * Rules are sorted by the length of their pattern, longest first, Allow before Disallow, then by
 * line: the first that matches decides (robots_match.c). Everything is gathered in buffers and
 * copied into one block of exact size, since a crawl keeps thousands of these.
 */
#include "codec/robots.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/robots_int.h"
#include "codec/time_text.h"

#include <stdlib.h>

STATIC_ASSERT(3 * LIMIT_ROBOTS_LINE_BYTES <= UINT16_MAX, "the length of a pattern fits");

/* What a group asks, while it is read. */
typedef struct Asked {
    Buf rules;        /* RobotsRule each */
    int64_t delay_ms; /* -1: none */
} Asked;

typedef struct Parser {
    Str agent;
    Asked any, own; /* of "*" and of our token */
    Buf text;       /* patterns of both, and sitemaps */
    Buf sitemaps;   /* RobotsSpan each */
    size_t n_sitemaps;
    unsigned line;
    bool in_any, in_own;       /* the group that is being read names them */
    bool has_rules;            /* it has rules already: the next User-agent begins another */
    bool paces_any, paces_own; /* a Crawl-delay is for them */
    bool has_delay;            /* there was one: the next User-agent is of others */
    bool has_any, has_own;
    bool is_cut;
} Parser;

static void parser_deinit(Parser *parser)
{
    buf_deinit(&parser->any.rules);
    buf_deinit(&parser->own.rules);
    buf_deinit(&parser->text);
    buf_deinit(&parser->sitemaps);
}
DEFINE_AUTO_VALUE(Parser, parser_deinit);

/* ---- escapes ----------------------------------------------------------------------------------*/

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static char to_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char) (c - 'a' + 'A') : c;
}

size_t robots_escape(char *out, Str in)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;

    for (size_t i = 0; i < in.len; i++) {
        unsigned char c = (unsigned char) in.data[i];

        if (c == '%' && i + 2 < in.len && is_hex(in.data[i + 1]) && is_hex(in.data[i + 2])) {
            out[n++] = '%';
            out[n++] = to_upper(in.data[++i]);
            out[n++] = to_upper(in.data[++i]);
        } else if (c >= 0x80) {
            out[n++] = '%';
            out[n++] = digits[c >> 4];
            out[n++] = digits[c & 0xf];
        } else {
            out[n++] = (char) c;
        }
    }
    return n;
}

/* ---- keys -------------------------------------------------------------------------------------*/

typedef enum Key { KEY_UNKNOWN, KEY_AGENT, KEY_ALLOW, KEY_DISALLOW, KEY_SITEMAP, KEY_DELAY } Key;

/* What a key begins with, and what it then is. */
static const struct {
    Str word;
    Key key;
} keys[] = {
    { STR("user-agent"), KEY_AGENT },  { STR("useragent"), KEY_AGENT },
    { STR("user agent"), KEY_AGENT },  { STR("allow"), KEY_ALLOW },
    { STR("disallow"), KEY_DISALLOW }, { STR("dissallow"), KEY_DISALLOW },
    { STR("dissalow"), KEY_DISALLOW }, { STR("disalow"), KEY_DISALLOW },
    { STR("diasllow"), KEY_DISALLOW }, { STR("disallaw"), KEY_DISALLOW },
    { STR("sitemap"), KEY_SITEMAP },   { STR("site-map"), KEY_SITEMAP },
    { STR("crawl-delay"), KEY_DELAY }, { STR("crawldelay"), KEY_DELAY },
    { STR("crawl delay"), KEY_DELAY },
};

static Key key_of(Str text)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (str_eq_nocase(str_sub(text, 0, keys[i].word.len), keys[i].word))
            return keys[i].key;
    return KEY_UNKNOWN;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool has_blank(Str s)
{
    return str_find(s, ' ') >= 0 || str_find(s, '\t') >= 0;
}

/* Cut a line without comment and outer space at its colon, or at the space between two words. */
static bool cut_line(Str line, Str *ret_key, Str *ret_value)
{
    size_t i = 0;

    if (str_find(line, ':') >= 0) {
        *ret_key = str_trim(str_cut(line, ':', ret_value));
        *ret_value = str_trim(*ret_value);
        return ret_key->len > 0;
    }
    while (i < line.len && !is_blank(line.data[i]))
        i++;
    *ret_key = str_trim(str_sub(line, 0, i));
    while (i < line.len && is_blank(line.data[i]))
        i++;
    *ret_value = str_trim(str_sub(line, i, line.len));
    return ret_key->len > 0 && ret_value->len > 0 && !has_blank(str_sub(line, i, line.len));
}

/* ---- groups -----------------------------------------------------------------------------------*/

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

Str robots_product_token(Str user_agent)
{
    size_t n = 0;

    while (n < user_agent.len && is_token_char(user_agent.data[n]))
        n++;
    return str_sub(user_agent, 0, n);
}

/* "*", or "*" and a space and whatever. */
static bool names_any(Str value)
{
    return value.len > 0 && value.data[0] == '*' &&
           (value.len == 1 || str_trim(str_sub(value, 1, 1)).len == 0);
}

static void take_agent(Parser *parser, Str value)
{
    if (parser->has_rules || parser->has_delay)
        parser->paces_any = parser->paces_own = parser->has_delay = false;
    if (parser->has_rules)
        parser->in_any = parser->in_own = parser->has_rules = false;
    if (names_any(value)) {
        parser->in_any = parser->has_any = parser->paces_any = true;
    } else if (str_eq_nocase(robots_product_token(value), parser->agent)) {
        parser->in_own = parser->has_own = parser->paces_own = true;
        buf_deinit(&parser->any.rules); /* they do not count any more */
    }
}

/* Whose lines are being read; NULL: neither ours nor anybody's. */
static Asked *asked_now(Parser *parser)
{
    if (parser->in_own)
        return &parser->own;
    return parser->in_any ? &parser->any : NULL;
}

static void add_rule(Parser *parser, Asked *asked, size_t at, bool is_allow)
{
    RobotsRule rule = {
        .at = (uint32_t) at,
        .len = (uint16_t) (parser->text.len - at),
        .line = parser->line,
        .is_allow = is_allow,
    };

    if (rule.len > 0)
        buf_add(&asked->rules, &rule, sizeof(rule));
}

/* Allow of ".../index.html" is Allow of ".../" as well, and of nothing below it. */
static void add_index_rule(Parser *parser, Asked *asked, size_t at)
{
    size_t end = parser->text.len, slash = end;

    while (slash > at && parser->text.data[slash - 1] != '/')
        slash--;
    if (slash == at ||
        !str_starts(str_from(parser->text.data + slash, end - slash), (Str) STR("index.htm")))
        return;
    if (!buf_reserve(&parser->text, slash - at + 1))
        return;
    memcpy(parser->text.data + end, parser->text.data + at, slash - at);
    parser->text.len += slash - at;
    buf_add_char(&parser->text, '$');
    add_rule(parser, asked, end, true);
}

static void take_rule(Parser *parser, Str value, bool is_allow)
{
    Asked *asked = asked_now(parser);
    size_t at = parser->text.len;

    if (!asked)
        return;
    parser->has_rules = true;
    if (asked == &parser->any && parser->has_own)
        return; /* nobody will ask */
    if (value.len == 0 || !buf_reserve(&parser->text, 3 * value.len))
        return;
    parser->text.len += robots_escape(parser->text.data + at, value);
    add_rule(parser, asked, at, is_allow);
    if (is_allow)
        add_index_rule(parser, asked, at);
}

/* Seconds, perhaps with a fraction; what follows is ignored. -1: no number. */
static int64_t read_delay(Str text)
{
    int64_t ms = 0, unit = MS_PER_S;
    bool is_fraction = false, has_digit = false;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == '.' && !is_fraction) {
            is_fraction = true;
            continue;
        }
        if (c < '0' || c > '9')
            break;
        has_digit = true;
        if (is_fraction)
            unit /= 10;
        ms = is_fraction ? ms + (c - '0') * unit : ms * 10 + (c - '0') * unit;
        ms = MIN(ms, (int64_t) DURATION_MS_MAX);
    }
    return has_digit ? ms : -1;
}

static void take_delay(Parser *parser, Str value)
{
    int64_t delay_ms = read_delay(value);

    parser->has_delay = true;
    if (parser->paces_any)
        parser->any.delay_ms = MAX(parser->any.delay_ms, delay_ms);
    if (parser->paces_own)
        parser->own.delay_ms = MAX(parser->own.delay_ms, delay_ms);
}

static void take_sitemap(Parser *parser, Str value)
{
    RobotsSpan span = { (uint32_t) parser->text.len, (uint32_t) value.len };

    if (value.len == 0)
        return;
    if (parser->n_sitemaps == LIMIT_ROBOTS_SITEMAPS) {
        parser->is_cut = true;
        return;
    }
    parser->n_sitemaps++;
    buf_add_str(&parser->text, value);
    buf_add(&parser->sitemaps, &span, sizeof(span));
}

/* ---- lines ------------------------------------------------------------------------------------*/

static void take_line(Parser *parser, Str line)
{
    Str key, value, comment;

    parser->line++;
    line = str_sub(line, 0, LIMIT_ROBOTS_LINE_BYTES);
    line = str_cut(str_cut(line, '\0', &comment), '#', &comment);
    if (!cut_line(str_trim(line), &key, &value))
        return;
    switch (key_of(key)) {
    case KEY_AGENT: take_agent(parser, value); break;
    case KEY_ALLOW: take_rule(parser, value, true); break;
    case KEY_DISALLOW: take_rule(parser, value, false); break;
    case KEY_SITEMAP: take_sitemap(parser, value); break;
    case KEY_DELAY: take_delay(parser, value); break;
    case KEY_UNKNOWN: break;
    }
}

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

/* BODY without the byte order mark, or without the part of one, that it begins with. */
static Str skip_mark(Str body)
{
    static const Str mark = STR("\xef\xbb\xbf");
    size_t n = 0;

    while (n < mark.len && n < body.len && body.data[n] == mark.data[n])
        n++;
    return str_sub(body, n, body.len);
}

/* The lines of BODY that are whole within the limit. */
static Str cut_body(Str body)
{
    size_t n = LIMIT_ROBOTS_BYTES;

    if (body.len <= n)
        return body;
    if (!is_line_end(body.data[n]))
        while (n > 0 && !is_line_end(body.data[n - 1]))
            n--;
    return str_sub(body, 0, n);
}

static void take_body(Parser *parser, Str body)
{
    Str rest = skip_mark(cut_body(body));

    parser->is_cut = body.len > LIMIT_ROBOTS_BYTES;
    while (rest.len > 0) {
        size_t n = 0, end;

        while (n < rest.len && !is_line_end(rest.data[n]))
            n++;
        end = n + 1 + (str_starts(str_sub(rest, n, 2), (Str) STR("\r\n")) ? 1 : 0);
        take_line(parser, str_sub(rest, 0, n));
        rest = str_sub(rest, end, rest.len);
    }
}

/* ---- the result -------------------------------------------------------------------------------*/

static int compare_rules(const void *left, const void *right)
{
    const RobotsRule *a = left, *b = right;

    if (a->len != b->len)
        return a->len > b->len ? -1 : 1;
    if (a->is_allow != b->is_allow)
        return a->is_allow ? -1 : 1;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

/* Copy the text of the rules and sitemaps that are kept; spans are set to where it lies now. */
static void copy_text(const Parser *parser, RobotsRule *rules, size_t n_rules, RobotsSpan *sitemaps,
                      char *text)
{
    uint32_t at = 0;

    for (size_t i = 0; i < n_rules; i++) {
        memcpy(text + at, parser->text.data + rules[i].at, rules[i].len);
        rules[i].at = at;
        at += rules[i].len;
    }
    for (size_t i = 0; i < parser->n_sitemaps; i++) {
        memcpy(text + at, parser->text.data + sitemaps[i].at, sitemaps[i].len);
        sitemaps[i].at = at;
        at += sitemaps[i].len;
    }
}

static size_t kept_text_bytes(const Buf *rules, const Buf *sitemaps)
{
    const RobotsRule *rule = (const void *) rules->data;
    const RobotsSpan *sitemap = (const void *) sitemaps->data;
    size_t bytes = 0;

    for (size_t i = 0; i < rules->len / sizeof(*rule); i++)
        bytes += rule[i].len;
    for (size_t i = 0; i < sitemaps->len / sizeof(*sitemap); i++)
        bytes += sitemap[i].len;
    return bytes;
}

static int make_robots(const Parser *parser, const Asked *asked, Robots **ret_robots)
{
    size_t n_rules = asked->rules.len / sizeof(RobotsRule);
    size_t bytes = sizeof(Robots) + asked->rules.len + parser->sitemaps.len +
                   kept_text_bytes(&asked->rules, &parser->sitemaps);
    Robots *robots = mem_try(bytes);
    RobotsRule *rules;
    RobotsSpan *sitemaps;
    char *text;

    if (!robots)
        return fail(-ENOMEM, "no memory for the rules of a robots.txt (%zu bytes)", bytes);
    rules = (void *) (robots + 1);
    sitemaps = (void *) (rules + n_rules);
    text = (void *) (sitemaps + parser->n_sitemaps);
    if (n_rules > 0) {
        memcpy(rules, asked->rules.data, asked->rules.len);
        qsort(rules, n_rules, sizeof(*rules), compare_rules);
    }
    if (parser->n_sitemaps > 0)
        memcpy(sitemaps, parser->sitemaps.data, parser->sitemaps.len);
    copy_text(parser, rules, n_rules, sitemaps, text);
    *robots = (Robots){
        .rules = rules,
        .sitemaps = sitemaps,
        .text = text,
        .n_rules = n_rules,
        .n_sitemaps = parser->n_sitemaps,
        .bytes = bytes,
        .delay_ms = asked->delay_ms,
        .group = parser->has_own   ? ROBOTS_GROUP_AGENT
                 : parser->has_any ? ROBOTS_GROUP_ANY
                                   : ROBOTS_GROUP_NONE,
        .is_cut = parser->is_cut,
    };
    *ret_robots = robots;
    return 0;
}

int robots_parse(Str body, Str product_token, Robots **ret_robots)
{
    AUTO(parser_deinit)
    Parser parser = {
        .agent = product_token,
        .any.delay_ms = -1,
        .own.delay_ms = -1,
    };
    const Asked *asked;
    int r;

    ASSERT(ret_robots);
    take_body(&parser, body);
    asked = parser.has_own ? &parser.own : &parser.any;
    r = buf_check(&parser.text);
    if (r == 0)
        r = buf_check(&asked->rules);
    if (r == 0)
        r = buf_check(&parser.sitemaps);
    if (r == 0)
        r = make_robots(&parser, asked, ret_robots);
    return wrap(r, "robots.txt");
}

void robots_free(Robots *robots)
{
    if (robots && !robots->standing)
        mem_free(robots);
}
