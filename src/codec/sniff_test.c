/*
 * Sniffing: what the header says, what the bytes say, and which of them counts.
 */
#include "codec/sniff.h"

#include "base/test.h"

static const char *const kinds[] = {
    [SNIFF_EMPTY] = "empty", [SNIFF_HTML] = "html", [SNIFF_XML] = "xml",
    [SNIFF_JSON] = "json",   [SNIFF_TEXT] = "text", [SNIFF_BINARY] = "binary",
};

static const char *kind_of(const char *type, const char *head)
{
    return kinds[sniff_bytes(str_from_c(type), false, str_from_c(head)).kind];
}

static const char *unsniffed_kind_of(const char *type, const char *head)
{
    return kinds[sniff_bytes(str_from_c(type), true, str_from_c(head)).kind];
}

TEST(believes_the_header)
{
    EXPECT_C(kind_of("text/html", "{\"a\": 1}"), "html");
    EXPECT_C(kind_of("TEXT/HTML; charset=utf-8", ""), "html");
    EXPECT_C(kind_of("text/html;charset=x", "\x89PNG\r\n\x1a\n"), "html");
    EXPECT_C(kind_of("application/xhtml+xml", "<?xml"), "html");
    EXPECT_C(kind_of("text/xml", "<html>"), "xml");
    EXPECT_C(kind_of("application/atom+xml; type=feed", ""), "xml");
    EXPECT_C(kind_of("image/svg+xml", "<svg>"), "xml");
    EXPECT_C(kind_of("application/json", "<html>"), "json");
    EXPECT_C(kind_of("application/vnd.api+json; ext=\"x\"", ""), "json");
    EXPECT_C(kind_of("text/json", ""), "json");
    EXPECT_C(kind_of("text/css", ""), "text");
    EXPECT_C(kind_of("text/plain; charset=utf-8", "\1\2"), "text"); /* none of the four */
    EXPECT_C(kind_of("application/javascript", ""), "text");
    EXPECT_C(kind_of("image/png", "<html>"), "binary");
    EXPECT_C(kind_of("application/octet-stream", "<html>"), "binary");
    EXPECT_C(kind_of("application/pdf", ""), "binary");
    EXPECT_C(kind_of("text/plain, text/html", ""), "html"); /* the last of several */
    EXPECT_C(kind_of("text/html, nonsense", ""), "html");
}

TEST(looks_where_the_header_says_nothing)
{
    static const char *const types[] = {
        "",    "nonsense", "unknown/unknown", "application/unknown",
        "*/*", "text/",    "/html",           "te xt/html"
    };

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        EXPECT_C(kind_of(types[i], " \t\r\n\f<!doctype html>"), "html");
        EXPECT_C(unsniffed_kind_of(types[i], "<!doctype html>"), "text");
        EXPECT_C(kind_of(types[i], "<?xml version='1.0'?>"), "xml");
        EXPECT_C(unsniffed_kind_of(types[i], "<?xml version='1.0'?>"), "text");
        EXPECT_C(kind_of(types[i], "<HtMl >"), "html");
        EXPECT_C(kind_of(types[i], "<!--"), "text"); /* cut too early to tell */
        EXPECT_C(kind_of(types[i], "<!-- x"), "html");
        EXPECT_C(kind_of(types[i], "<body\nclass"), "text");
        EXPECT_C(kind_of(types[i], "<p>"), "html");
        EXPECT_C(kind_of(types[i], "<pre>"), "text");
        EXPECT_C(kind_of(types[i], "{\"a\": 1}"), "text");
        EXPECT_C(kind_of(types[i], "hello\n"), "text");
        EXPECT_C(kind_of(types[i], "hello\1"), "binary");
        EXPECT_C(kind_of(types[i], "esc \x1b[0m"), "text");
        EXPECT_C(kind_of(types[i], "%PDF-1.7"), "binary");
        EXPECT_C(kind_of(types[i], "GIF89a"), "binary");
    }
    EXPECT_C(kind_of("", ""), "empty");
    EXPECT_C(kind_of("text/html", ""), "html");
}

static void expect_mime(Str head, const char *mime)
{
    Sniff sniff = sniff_bytes(str_from(NULL, 0), false, head);

    EXPECT_STR(sniff.mime, str_from_c(mime));
    EXPECT(sniff.is_by_content);
}

TEST(knows_signatures)
{
    expect_mime(STR_C("\x89PNG\r\n\x1a\n"), "image/png");
    expect_mime(STR_C("\xff\xd8\xff\xe0"), "image/jpeg");
    expect_mime(STR_C("RIFF....WEBPVP8 "), "image/webp");
    expect_mime(STR_C("RIFF....WAVE"), "audio/wave");
    expect_mime(STR_C("RIFF....AVI "), "video/avi");
    expect_mime(STR_C("RIFF....WEB"), "text/plain");
    expect_mime(STR_C("\0\0\1\0\1"), "image/x-icon");
    expect_mime(STR_C("\0\0\0\x18"
                      "ftypmp42"),
                "video/mp4");
    expect_mime(STR_C("OggS\0"), "application/ogg");
    expect_mime(STR_C("PK\3\4"), "application/zip");
    expect_mime(STR_C("\x1f\x8b\x08\0"), "application/x-gzip");
    expect_mime(STR_C("%!PS-Adobe-3.0"), "application/postscript");
    expect_mime(STR_C("\xff\xfe<\0h\0"), "text/plain");
    expect_mime(STR_C("\0"), "application/octet-stream");
}

TEST(doubts_old_apaches)
{
    static const char *const types[] = { "text/plain", "text/plain; charset=ISO-8859-1",
                                         "text/plain; charset=iso-8859-1",
                                         "text/plain; charset=UTF-8" };

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        EXPECT_C(kind_of(types[i], "<html>"), "text"); /* never a page */
        EXPECT_C(kind_of(types[i], "PK\3\4"), "binary");
        EXPECT_C(unsniffed_kind_of(types[i], "PK\3\4"), "text");
        EXPECT_C(kind_of(types[i], "\xfe\xff\1"), "text");
    }
}

TEST(finds_feeds_in_html)
{
    EXPECT_C(
        kind_of("text/html", "\xef\xbb\xbf <?xml version='1.0'?>\n<!-- <html> --><rss version"),
        "xml");
    EXPECT_C(kind_of("text/html", "<!DOCTYPE x><feed xmlns"), "xml");
    EXPECT_C(kind_of("text/html", "<rdf:RDF xmlns='http://purl.org/rss/1.0/' "
                                  "xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"),
             "xml");
    EXPECT_C(kind_of("text/html", "<rdf:RDF>"), "html");
    EXPECT_C(kind_of("text/html", "<html><rss"), "html");
    EXPECT_C(kind_of("text/html", "<!-- <rss"), "html");
    EXPECT_C(kind_of("text/html", "<?"), "html");
    EXPECT_C(kind_of("text/html", "<!--"), "html"); /* nothing is behind it */
    EXPECT_C(unsniffed_kind_of("text/html", "<rss"), "html");
}

TEST(finds_byte_order_marks)
{
    size_t n;

    EXPECT_EQ(sniff_bom(STR_C("\xef\xbb\xbfx"), &n), SNIFF_BOM_UTF8);
    EXPECT_EQ(n, 3);
    EXPECT_EQ(sniff_bom(STR_C("\xff\xfe"), &n), SNIFF_BOM_UTF16_LE);
    EXPECT_EQ(n, 2);
    EXPECT_EQ(sniff_bom(STR_C("\xfe\xff"), &n), SNIFF_BOM_UTF16_BE);
    EXPECT_EQ(sniff_bom(STR_C("\xef\xbb"), &n), SNIFF_BOM_NONE);
    EXPECT_EQ(n, 0);
    EXPECT_EQ(sniff_bom(STR_C(""), &n), SNIFF_BOM_NONE);
    EXPECT_EQ(sniff_bytes(STR_C("text/html"), false, STR_C("\xff\xfe<\0")).bom, SNIFF_BOM_UTF16_LE);
}

/* No byte behind SNIFF_BYTES counts. */
TEST(looks_at_the_beginning_only)
{
    char head[SNIFF_BYTES + 1];

    memset(head, ' ', sizeof(head));
    head[SNIFF_BYTES] = '\1';
    EXPECT_EQ(sniff_bytes(str_from(NULL, 0), false, str_from(head, sizeof(head))).kind, SNIFF_TEXT);
    head[SNIFF_BYTES - 1] = '\1';
    EXPECT_EQ(sniff_bytes(str_from(NULL, 0), false, str_from(head, sizeof(head))).kind,
              SNIFF_BINARY);
}

TEST_MAIN()
