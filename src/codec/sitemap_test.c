/*
 * Sitemaps: each kind of file, cut into pieces at every place, what generators get wrong, and what
 * is meant to hurt.
 */
#include "codec/sitemap.h"

#include "base/limits.h"
#include "base/test.h"
#include "codec/sitemap_int.h"
#include "codec/time_text.h"

/* What the callback has seen: "url lastmod\n" of each entry. */
typedef struct Seen {
    Buf text;
    int stop; /* what the callback answers */
} Seen;

static void seen_deinit(Seen *seen)
{
    buf_deinit(&seen->text);
}
DEFINE_AUTO_VALUE(Seen, seen_deinit);

static int on_entry(void *ctx, const SitemapEntry *entry)
{
    Seen *seen = ctx;
    char text[TIME_TEXT_BYTES];

    buf_add_str(&seen->text, entry->url);
    if (entry->lastmod.len > 0) {
        buf_add_char(&seen->text, ' ');
        buf_add_str(&seen->text,
                    entry->has_lastmod ? time_format_table(entry->lastmod_ms, text) : STR_C("?"));
    }
    buf_add_char(&seen->text, '\n');
    return seen->stop;
}

/* Read FILE in pieces of PIECE bytes. */
static int read_in_pieces(Str file, size_t piece, Seen *seen, SitemapKind *ret_kind)
{
    AUTO(sitemap_free) Sitemap *sitemap = sitemap_new(on_entry, seen);
    int r = 0;

    for (size_t i = 0; i < file.len && r == 0; i += piece)
        r = sitemap_feed(sitemap, str_sub(file, i, piece));
    r = sitemap_finish(sitemap);
    EXPECT_EQ(sitemap_finish(sitemap), r);
    *ret_kind = sitemap->kind;
    return r;
}

/* FILE, in one piece and byte by byte, is of KIND, ends with OUTCOME, and has ENTRIES. */
static void expect_entries(Str file, SitemapKind kind, int outcome, const char *entries)
{
    static const size_t pieces[] = { SIZE_MAX / 2, 1, 2, 7 };

    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        AUTO(seen_deinit) Seen seen = { 0 };
        SitemapKind got;
        int r = read_in_pieces(file, pieces[i], &seen, &got);

        EXPECT_EQ(r, outcome);
        EXPECT_EQ(got, kind);
        EXPECT_STR(buf_str(&seen.text), str_from_c(entries));
    }
}

static void expect_urlset(const char *file, const char *entries)
{
    expect_entries(str_from_c(file), SITEMAP_URLSET, 0, entries);
}

TEST(reads_urlsets)
{
    expect_urlset("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n"
                  "  <url>\n    <loc> https://a/1?x=1&amp;y=2 </loc>\n"
                  "    <lastmod>2026-11-21T04:15:00+01:00</lastmod>\n"
                  "    <changefreq>daily</changefreq><priority>0.8</priority>\n  </url>\n"
                  "  <url><lastmod>2026-11</lastmod><loc>https://a/2</loc></url>\n"
                  "</urlset>\n",
                  "https://a/1?x=1&y=2 2026-11-21 03:15:00\nhttps://a/2 2026-11-01 00:00:00\n");
    expect_urlset(
        "\xef\xbb\xbf\n <sm:urlset xmlns:sm='x'><sm:url><sm:loc>a</sm:loc></sm:url></sm:urlset>",
        "a\n");
    expect_urlset("<urlset/>", "");
    expect_urlset("<urlset></urlset>", "");
    expect_urlset(
        "<!DOCTYPE urlset><!-- <url> --><urlset a='>'><url b=\"/>\"><loc>a</loc></url></urlset>",
        "a\n");
    expect_urlset("<URLSET><Url><LOC>a</LOC></Url></URLSET>", "a\n");
}

TEST(tells_extensions_from_entries)
{
    expect_urlset("<urlset xmlns:image='i' xmlns:xhtml='h'><url><loc>https://a/1</loc>"
                  "<image:image><image:loc>https://a/i.png</image:loc></image:image>"
                  "<image:loc>no</image:loc>"
                  "<xhtml:link rel='alternate' href='https://a/de'/>"
                  "<video:video><loc>no</loc></video:video></url></urlset>",
                  "https://a/1\n");
    expect_urlset("<urlset><x:url><loc>no</loc></x:url><url><loc>a</loc></url></urlset>", "a\n");
    expect_urlset("<urlset><url><image:image><image:loc>no</image:loc></image:image></url>"
                  "<url><loc>a</loc><loc>b</loc></url><url><loc/></url><url/><loc>c</loc></urlset>",
                  "a\n");
}

TEST(replaces_entities)
{
    expect_urlset(
        "<urlset><url><loc>&lt;&gt;&quot;&apos;&#38;&#x26;&#X41;&#233;&#x1F600;</loc></url>"
        "</urlset>",
        "<>\"'&&A\xc3\xa9\xf0\x9f\x98\x80\n");
    /* What is no entity stays. */
    expect_urlset(
        "<urlset><url><loc>/?a=1&b=2&copy;&;&#;&#x;&#0;&#xd800;&#x110000;&#99999999999;&#1;&</loc>"
        "</url></urlset>",
        "/?a=1&b=2&copy;&;&#;&#x;&#0;&#xd800;&#x110000;&#99999999999;&#1;&\n");
    expect_urlset("<urlset><url><loc>&amp;amp;</loc></url></urlset>", "&amp;\n");
    expect_urlset("<urlset><url><loc><![CDATA[https://a/?x&amp;y&z]]></loc></url></urlset>",
                  "https://a/?x&amp;y&z\n");
}

TEST(reads_cdata)
{
    expect_urlset("<urlset><url><loc>\n<![CDATA[ a]b]]c]>d]]]]]>e</loc></url></urlset>",
                  "a]b]]c]>d]]]e\n");
    expect_urlset("<urlset><url><loc>a<![CDATA[<loc>]]><!-- c ---><?pi ?\?>b</loc></url></urlset>",
                  "a<loc>b\n");
}

/* The end of an entry ends what is open in it. */
TEST(bears_missing_end_tags)
{
    expect_urlset(
        "<urlset><\xc3\xa9></\xc3\xa9><url><x>1 < 2 <= 3 <4</x><loc>a</loc></url></urlset>", "a\n");
    expect_urlset("<urlset><url><loc>a</url><url><loc>b<x><y></url><url><loc>c</loc></url>"
                  "</urlset>",
                  "a\nb\nc\n");
}

TEST(reads_indexes)
{
    expect_entries(
        STR_C("<sitemapindex><sitemap><loc>https://a/1.xml.gz</loc>"
              "<lastmod>2026-11-21</lastmod></sitemap><url><loc>no</loc></url></sitemapindex>"),
        SITEMAP_INDEX, 0, "https://a/1.xml.gz 2026-11-21 00:00:00\n");
}

TEST(reads_feeds)
{
    expect_entries(
        STR_C("<rss version='2.0'><channel><link>https://a/</link><atom:link href='no'/>"
              "<item><title>x</title><atom:link href='no'/><link>https://a/1</link>"
              "<pubDate>Sat, 21 Nov 2026 04:15:00 +0100</pubDate>"
              "<description><p>unclosed<br>text < 5</description></item>"
              "<item><link>https://a/2</link><pubDate>Sat, 21 Nov 2026 03:15:00 GMT</pubDate>"
              "</item><item><guid>no</guid></item></channel></rss>"),
        SITEMAP_RSS, 0, "https://a/1 2026-11-21 03:15:00\nhttps://a/2 2026-11-21 03:15:00\n");
    expect_entries(
        STR_C("<rdf:RDF xmlns='http://purl.org/rss/1.0/'><channel><link>no</link></channel>"
              "<item rdf:about='x'><link>https://a/1</link><dc:date>2026-11-21</dc:date></item>"
              "</rdf:RDF>"),
        SITEMAP_RSS, 0, "https://a/1 2026-11-21 00:00:00\n");
    expect_entries(STR_C("<feed><link href='no'/><entry><link rel=\"self\" href=\"no\"/>"
                         "<link rel='alternate' href='/1?a&amp;b'/><link href='late'/>"
                         "<updated>2026-11-21T03:15:00.5Z</updated></entry>"
                         "<entry><link title='a>b' href = \"/2\"></link></entry></feed>"),
                   SITEMAP_ATOM, 0, "/1?a&b 2026-11-21 03:15:00\n/2\n");
}

TEST(reads_lists)
{
    expect_entries(
        STR_C("https://a/1\r\nHTTP://a/2  \n\n\thttps://a/?x&amp;y\nnot a url\nhttps://a/4"),
        SITEMAP_TEXT, 0, "https://a/1\nHTTP://a/2\nhttps://a/?x&amp;y\nhttps://a/4\n");
    expect_entries(STR_C("\xef\xbb\xbfhttps://a/1"), SITEMAP_TEXT, 0, "https://a/1\n");
    expect_entries(STR_C("{\"error\": 1}\nx"), SITEMAP_TEXT, -ERR_INVALID, "");
}

TEST(refuses_what_is_none)
{
    expect_entries(STR_C("<!doctype html><html><body>x"), SITEMAP_UNKNOWN, -ERR_INVALID, "");
    EXPECT(strstr(err_text(-ERR_INVALID), "root element is <html>"));
    expect_entries(STR_C("\xff\xfe<\0u\0"), SITEMAP_UNKNOWN, -ERR_INVALID, "");
    expect_entries(STR_C("\0\0"), SITEMAP_UNKNOWN, -ERR_INVALID, "");
    expect_entries(STR_C(""), SITEMAP_UNKNOWN, 0, "");
    expect_entries(STR_C(" \n"), SITEMAP_UNKNOWN, 0, "");
}

TEST(says_when_it_is_cut)
{
    static const Str whole = STR(
        "<urlset><url><loc>a</loc></url><!-- x --><url><loc>b</loc></url></urlset>");

    for (size_t n = 1; n < whole.len; n++) {
        AUTO(seen_deinit) Seen seen = { 0 };
        SitemapKind kind;

        EXPECT_EQ(read_in_pieces(str_sub(whole, 0, n), 5, &seen, &kind), SITEMAP_CUT);
        EXPECT(str_starts(STR_C("a\nb\n"), buf_str(&seen.text)));
    }
}

TEST(reads_times)
{
    static const struct {
        const char *text, *time;
    } cases[] = {
        { "2026", "2026-01-01 00:00:00" },
        { "2026-11", "2026-11-01 00:00:00" },
        { "2026-11-21", "2026-11-21 00:00:00" },
        { "2026-11-21T03:15Z", "2026-11-21 03:15:00" },
        { "2026-11-21T03:15+01:00", "2026-11-21 02:15:00" },
        { "2026-11-21T03:15:09-0130", "2026-11-21 04:45:09" },
        { "2026-11-21T03:15:09.123456789Z", "2026-11-21 03:15:09" },
        { "2026-11-21T03:15:09", "2026-11-21 03:15:09" },
        { "2026-11-21 03:15:09", "2026-11-21 03:15:09" },
        { "Sat, 21 Nov 2026 03:15:09 UT", "2026-11-21 03:15:09" },
        { "Sat, 21 Nov 2026 03:15:09 -0130", "2026-11-21 04:45:09" },
        { "Sat, 21 Nov 2026 03:15:09 +01x0", "?" },
        { "Sat, 21 Nov 2026 03:15:09 PST", "?" },
        { "2026-13", "?" },
        { "20261121", "?" },
        { "2026-11-21T99:15Z", "?" },
        { "2026-11-21T03:15Zulu", "?" },
        { "yesterday", "?" },
        { "yesterday at a quarter past three", "?" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char file[300], entry[100];

        snprintf(file, sizeof(file),
                 "<urlset><url><loc>a</loc><lastmod>%s</lastmod></url></urlset>", cases[i].text);
        snprintf(entry, sizeof(entry), "a %s\n", cases[i].time);
        expect_urlset(file, entry);
    }
}

/* ---- what is meant to hurt --------------------------------------------------------------------*/

TEST(knows_no_entities_of_others)
{
    expect_urlset("<?xml version='1.0'?><!DOCTYPE urlset [<!ENTITY lol 'lol'>"
                  "<!ENTITY lol2 \"&lol;&lol;]>\"><!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
                  "<urlset><url><loc>&lol2;&x;</loc></url></urlset>",
                  "&lol2;&x;\n");
}

static void add_n(Buf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_add_c(out, text);
}

TEST(skips_urls_that_are_too_long)
{
    AUTO(buf_deinit) Buf file = { 0 };
    AUTO(buf_deinit) Buf expected = { 0 };

    buf_add_c(&file, "<urlset><url><loc>");
    add_n(&file, "x", LIMIT_SITEMAP_URL_BYTES + 1);
    buf_add_c(&file, "</loc></url><url><loc>");
    add_n(&file, "x", 20 * LIMIT_SITEMAP_URL_BYTES);
    buf_add_c(&file, "</loc></url><url a='");
    add_n(&file, "x", 20 * LIMIT_SITEMAP_URL_BYTES);
    buf_add_c(&file, "'><loc>\n");
    add_n(&file, " ", 20 * LIMIT_SITEMAP_URL_BYTES);
    add_n(&file, "y", LIMIT_SITEMAP_URL_BYTES);
    buf_add_c(&file, "</loc></url></urlset>");
    add_n(&expected, "y", LIMIT_SITEMAP_URL_BYTES);
    buf_add_c(&expected, "\n");
    buf_add_char(&expected, '\0');
    expect_entries(buf_str(&file), SITEMAP_URLSET, 0, expected.data);
}

TEST(bears_any_depth)
{
    AUTO(buf_deinit) Buf file = { 0 };

    buf_add_c(&file, "<urlset><url>");
    add_n(&file, "<a>", 100000);
    add_n(&file, "</a>", 100000);
    buf_add_c(&file, "<loc>x</loc></url></urlset></a></a>");
    buf_add_char(&file, '\0');
    expect_urlset(file.data, "x\n");
}

static int count_entry(void *ctx, const SitemapEntry *entry)
{
    (void) entry;
    ++*(size_t *) ctx;
    return 0;
}

TEST(stops_at_the_limits)
{
    AUTO(sitemap_free) Sitemap *urls = NULL, *bytes = NULL;
    AUTO(buf_deinit) Buf piece = { 0 };
    size_t n = 0, fed = 0;
    int r = 0;

    urls = sitemap_new(count_entry, &n);
    EXPECT_OK(sitemap_feed(urls, STR_C("<urlset>")));
    for (int i = 0; i <= LIMIT_SITEMAP_URLS && r == 0; i++)
        r = sitemap_feed(urls, STR_C("<url><loc>a</loc></url>"));
    EXPECT_EQ(r, SITEMAP_FULL);
    EXPECT_EQ(n, LIMIT_SITEMAP_URLS);
    EXPECT_EQ(sitemap_n_entries(urls), LIMIT_SITEMAP_URLS);
    EXPECT_EQ(sitemap_feed(urls, STR_C("<url><loc>a</loc></url>")), SITEMAP_FULL);
    EXPECT_EQ(sitemap_finish(urls), SITEMAP_FULL);
    EXPECT_EQ(n, LIMIT_SITEMAP_URLS);

    n = 0;
    add_n(&piece, " ", 1 << 20);
    bytes = sitemap_new(count_entry, &n);
    EXPECT_OK(sitemap_feed(bytes, STR_C("<urlset>")));
    for (r = 0; r == 0; fed += piece.len)
        r = sitemap_feed(bytes, buf_str(&piece));
    EXPECT_EQ(r, SITEMAP_FULL);
    EXPECT(fed <= (size_t) LIMIT_SITEMAP_BYTES + piece.len);
    EXPECT_EQ(n, 0);
}

TEST(stops_when_told)
{
    AUTO(seen_deinit) Seen seen = { .stop = -ERR_STORE_FULL };
    AUTO(sitemap_free) Sitemap *sitemap = sitemap_new(on_entry, &seen);

    EXPECT_EQ(sitemap_feed(sitemap, STR_C("https://a/1\nhttps://a/2\n")), -ERR_STORE_FULL);
    EXPECT_EQ(sitemap_feed(sitemap, STR_C("https://a/3\n")), -ERR_STORE_FULL);
    EXPECT_EQ(sitemap_finish(sitemap), -ERR_STORE_FULL);
    EXPECT_STR(buf_str(&seen.text), STR_C("https://a/1\n"));
}

TEST(counts_what_it_skips)
{
    AUTO(seen_deinit) Seen seen = { 0 };
    AUTO(sitemap_free) Sitemap *sitemap = sitemap_new(on_entry, &seen);

    EXPECT_OK(sitemap_feed(sitemap, STR_C("<urlset><url><loc> </loc></url><url></url>"
                                          "<url><loc>a</loc></url></urlset>")));
    EXPECT_EQ(sitemap_n_entries(sitemap), 1);
    EXPECT_EQ(sitemap_n_skipped(sitemap), 2);
    sitemap_free(NULL);
}

TEST_MAIN()
