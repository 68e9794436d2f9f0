/*
 * What kind of bytes an answer is: the MIME Sniffing standard, section 7, as tables.
 *
 *   type given                      what decides
 *   none, unknown/unknown, any      the bytes: HTML, XML, PDF and the like by how they begin, then
 *                                   byte order marks, images, sound, archives; else text if no
 *                                   byte is a control character, else binary. With nosniff
 *                                   neither HTML nor XML comes out of it.
 *   another, with nosniff           the type
 *   the four texts that old         the bytes: text or binary
 *   Apaches send for everything
 *   text/html                       the type, unless it is a feed
 *   anything else                   the type
 *
 * Beyond the standard is what the kinds are for: they say which reader gets the bytes. So XHTML is
 * HTML, JavaScript is text. Several Content-Types in one header count as the last that is one.
 */
#include "codec/sniff.h"

#include "base/macro.h"
#include "base/text.h"
#include "codec/http_text.h"

/* ---- bytes ------------------------------------------------------------------------------------*/

static bool is_space(char c)
{
    return c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == ' ';
}

static Str skip_space(Str s)
{
    size_t n = 0;

    while (n < s.len && is_space(s.data[n]))
        n++;
    return str_sub(s, n, s.len);
}

/* A control character that no text has. */
static bool is_binary_byte(char c)
{
    unsigned char byte = (unsigned char) c;

    return byte <= 0x08 || byte == 0x0b || (byte >= 0x0e && byte <= 0x1a) ||
           (byte >= 0x1c && byte <= 0x1f);
}

static bool has_binary_byte(Str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (is_binary_byte(s.data[i]))
            return true;
    return false;
}

SniffBom sniff_bom(Str head, size_t *ret_bytes)
{
    static const struct {
        Str mark;
        SniffBom bom;
    } marks[] = {
        { STR("\xef\xbb\xbf"), SNIFF_BOM_UTF8 },
        { STR("\xff\xfe"), SNIFF_BOM_UTF16_LE },
        { STR("\xfe\xff"), SNIFF_BOM_UTF16_BE },
    };

    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        if (str_starts(head, marks[i].mark)) {
            *ret_bytes = marks[i].mark.len;
            return marks[i].bom;
        }
    }
    *ret_bytes = 0;
    return SNIFF_BOM_NONE;
}

/* ---- types ------------------------------------------------------------------------------------*/

/* TYPE without its parameters; empty when it is no type. */
static Str essence_of(Str type)
{
    Str parameters, subtype;
    Str essence = str_trim(str_cut(type, ';', &parameters));
    Str family = str_cut(essence, '/', &subtype);

    return http_is_token(family) && http_is_token(subtype) ? essence : str_from(NULL, 0);
}

/* The last type of a header that has one, or several with commas between. */
static Str supplied_type(Str header)
{
    Str item, essence, last = { 0 };

    while (http_list_next(&header, &item)) {
        essence = essence_of(item);
        if (essence.len > 0)
            last = essence;
    }
    return last;
}

static bool is_type(Str type, const char *name)
{
    return str_eq_nocase(type, str_from_c(name));
}

static bool has_suffix(Str type, const char *suffix)
{
    size_t n = strlen(suffix);

    return type.len > n && is_type(str_sub(type, type.len - n, n), suffix);
}

static SniffKind kind_of(Str type)
{
    static const char *const texts[] = {
        "application/javascript", "application/ecmascript", "application/x-javascript",
        "application/yaml",       "application/x-yaml",     "application/toml",
        "application/x-ndjson",   "application/jsonl",      "application/x-sh",
    };

    if (is_type(type, "text/html") || is_type(type, "application/xhtml+xml"))
        return SNIFF_HTML;
    if (is_type(type, "text/xml") || is_type(type, "application/xml") || has_suffix(type, "+xml"))
        return SNIFF_XML;
    if (is_type(type, "application/json") || is_type(type, "text/json") ||
        has_suffix(type, "+json"))
        return SNIFF_JSON;
    if (is_type(str_sub(type, 0, 5), "text/"))
        return SNIFF_TEXT;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (is_type(type, texts[i]))
            return SNIFF_TEXT;
    return SNIFF_BINARY;
}

static bool says_nothing(Str type)
{
    return type.len == 0 || is_type(type, "unknown/unknown") ||
           is_type(type, "application/unknown") || is_type(type, "*/*");
}

/* What Apache sent for files of unknown kind, byte by byte. */
static bool is_apache_default(Str header)
{
    return str_eq_c(header, "text/plain") || str_eq_c(header, "text/plain; charset=ISO-8859-1") ||
           str_eq_c(header, "text/plain; charset=iso-8859-1") ||
           str_eq_c(header, "text/plain; charset=UTF-8");
}

/* ---- content ----------------------------------------------------------------------------------*/

/* Whether S begins with WORD in any case, and then a space or ">". */
static bool starts_tag(Str s, Str word)
{
    return s.len > word.len && str_eq_nocase(str_sub(s, 0, word.len), word) &&
           (s.data[word.len] == ' ' || s.data[word.len] == '>');
}

static bool begins_as_html(Str s)
{
    static const Str tags[] = {
        STR("<!DOCTYPE HTML"),
        STR("<HTML"),
        STR("<HEAD"),
        STR("<SCRIPT"),
        STR("<IFRAME"),
        STR("<H1"),
        STR("<DIV"),
        STR("<FONT"),
        STR("<TABLE"),
        STR("<A"),
        STR("<STYLE"),
        STR("<TITLE"),
        STR("<B"),
        STR("<BODY"),
        STR("<BR"),
        STR("<P"),
        STR("<!--"),
    };

    for (size_t i = 0; i < ARRAY_LEN(tags); i++)
        if (starts_tag(s, tags[i]))
            return true;
    return false;
}

/* Bytes at the beginning, perhaps a few that may be anything, and then others. */
typedef struct Signature {
    Str begin;
    size_t second_at;
    Str second; /* empty: none */
    const char *mime;
} Signature;

static const Signature signatures[] = {
    { STR("%PDF-"), 0, { 0 }, "application/pdf" },
    { STR("%!PS-Adobe-"), 0, { 0 }, "application/postscript" },
    { STR("\xfe\xff"), 0, { 0 }, "text/plain" },
    { STR("\xff\xfe"), 0, { 0 }, "text/plain" },
    { STR("\xef\xbb\xbf"), 0, { 0 }, "text/plain" },
    { STR("\0\0\1\0"), 0, { 0 }, "image/x-icon" },
    { STR("\0\0\2\0"), 0, { 0 }, "image/x-icon" },
    { STR("BM"), 0, { 0 }, "image/bmp" },
    { STR("GIF87a"), 0, { 0 }, "image/gif" },
    { STR("GIF89a"), 0, { 0 }, "image/gif" },
    { STR("RIFF"), 8, STR("WEBPVP"), "image/webp" },
    { STR("\x89PNG\r\n\x1a\n"), 0, { 0 }, "image/png" },
    { STR("\xff\xd8\xff"), 0, { 0 }, "image/jpeg" },
    { STR("FORM"), 8, STR("AIFF"), "audio/aiff" },
    { STR("ID3"), 0, { 0 }, "audio/mpeg" },
    { STR("OggS\0"), 0, { 0 }, "application/ogg" },
    { STR("MThd\0\0\0\6"), 0, { 0 }, "audio/midi" },
    { STR("RIFF"), 8, STR("AVI "), "video/avi" },
    { STR("RIFF"), 8, STR("WAVE"), "audio/wave" },
    { { 0 }, 4, STR("ftyp"), "video/mp4" },
    { STR("\x1a\x45\xdf\xa3"), 0, { 0 }, "video/webm" },
    { STR("\x1f\x8b\x08"), 0, { 0 }, "application/x-gzip" },
    { STR("PK\3\4"), 0, { 0 }, "application/zip" },
    { STR("Rar!\x1a\7\0"), 0, { 0 }, "application/x-rar-compressed" },
};

static const char *signed_type(Str head)
{
    for (size_t i = 0; i < ARRAY_LEN(signatures); i++) {
        const Signature *s = &signatures[i];

        if (str_starts(head, s->begin) &&
            str_eq(str_sub(head, s->second_at, s->second.len), s->second))
            return s->mime;
    }
    return NULL;
}

static const char *text_or_binary(Str head)
{
    size_t mark;

    if (sniff_bom(head, &mark) != SNIFF_BOM_NONE || !has_binary_byte(head))
        return "text/plain";
    return "application/octet-stream";
}

static const char *type_by_content(Str head, bool may_be_page)
{
    Str text = skip_space(head);
    const char *type;

    if (may_be_page && begins_as_html(text))
        return "text/html";
    if (may_be_page && str_starts(text, (Str) STR("<?xml")))
        return "text/xml";
    type = signed_type(head);
    return type ? type : text_or_binary(head);
}

/* ---- feeds that say they are HTML -------------------------------------------------------------*/

static const char *find(Str s, const char *part)
{
    return s.len > 0 ? memmem(s.data, s.len, part, strlen(part)) : NULL;
}

/* S behind END; empty when END is not in it. */
static Str skip_past(Str s, const char *end)
{
    const char *found = find(s, end);

    return found ? str_sub(s, (size_t) (found - s.data) + strlen(end), s.len) : str_sub(s, 0, 0);
}

/* HEAD from its first element on: without mark, space, comments, declarations. */
static Str first_element(Str head)
{
    size_t mark;

    (void) sniff_bom(head, &mark);
    head = skip_space(str_sub(head, mark, head.len));
    while (head.len > 0) {
        if (str_starts(head, (Str) STR("<!--")))
            head = skip_past(str_sub(head, 4, head.len), "-->");
        else if (str_starts(head, (Str) STR("<!")))
            head = skip_past(head, ">");
        else if (str_starts(head, (Str) STR("<?")))
            head = skip_past(head, "?>");
        else
            break;
        head = skip_space(head);
    }
    return head;
}

/* The type of the feed that HEAD is; NULL: it is none. */
static const char *feed_type(Str head)
{
    Str element = first_element(head);

    if (str_starts(element, (Str) STR("<rss")))
        return "application/rss+xml";
    if (str_starts(element, (Str) STR("<feed")))
        return "application/atom+xml";
    if (str_starts(element, (Str) STR("<rdf:RDF")) && find(element, "http://purl.org/rss/1.0/") &&
        find(element, "http://www.w3.org/1999/02/22-rdf-syntax-ns#"))
        return "application/rss+xml";
    return NULL;
}

/* ---- the decision -----------------------------------------------------------------------------*/

/* The type that the bytes have, where they are asked; NULL where the header decides. */
static const char *computed_type(Str header, Str supplied, bool no_sniff, Str head)
{
    if (says_nothing(supplied))
        return type_by_content(head, !no_sniff);
    if (no_sniff)
        return NULL;
    if (is_apache_default(header))
        return text_or_binary(head);
    return is_type(supplied, "text/html") ? feed_type(head) : NULL;
}

Sniff sniff_bytes(Str content_type, bool no_sniff, Str head)
{
    Str supplied = supplied_type(content_type);
    const char *computed;
    Sniff sniff = { 0 };
    size_t mark;

    head = str_sub(head, 0, SNIFF_BYTES);
    sniff.bom = sniff_bom(head, &mark);
    if (head.len == 0 && says_nothing(supplied))
        return sniff;
    computed = computed_type(content_type, supplied, no_sniff, head);
    sniff.is_by_content = computed != NULL;
    sniff.mime = computed ? str_from_c(computed) : supplied;
    sniff.kind = kind_of(sniff.mime);
    return sniff;
}
