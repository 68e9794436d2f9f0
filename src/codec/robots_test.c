/*
 * robots.txt: each corner of RFC 9309, what Google's library forgives, and hostile files.
 *
 * robots_vectors_test.c runs the vectors that Google publishes; these here name the cases one by
 * one, and what those do not have: escapes of targets, delays, sitemaps, limits, explanations.
 */
#include "codec/robots.h"

#include "base/limits.h"
#include "base/test.h"
#include "codec/robots_int.h"

/* Whether BODY lets agent TOKEN have TARGET. */
static bool allows_as(const char *body, const char *token, const char *target)
{
    AUTO(robots_free) Robots *robots = NULL;
    int r = robots_parse(str_from_c(body), str_from_c(token), &robots);

    if (r < 0) {
        test_fail(__FILE__, __LINE__, "parse: %s", err_text(r));
        return false;
    }
    return robots_allows(robots, str_from_c(target));
}

static bool allows(const char *body, const char *target)
{
    return allows_as(body, "sluice", target);
}

/* Whether the pattern of a lone Disallow keeps TARGET away. */
static bool matches(const char *pattern, const char *target)
{
    AUTO(buf_deinit) Buf body = { 0 };
    AUTO(mem_free) char *text = NULL;

    buf_printf(&body, "User-agent: *\nDisallow: %s\n", pattern);
    text = buf_take_c(&body);
    return !allows(text, target);
}

TEST(picks_the_group)
{
    static const char body[] = "User-agent: *\n"
                               "Disallow: /any\n"
                               "User-agent: other\n"
                               "Disallow: /other\n"
                               "User-agent: Sluice\n"
                               "Disallow: /own\n"
                               "User-agent: another\n"
                               "User-agent: sluice/2.0 beta\n"
                               "Disallow: /merged\n";

    EXPECT(allows(body, "/any")); /* a group of our own replaces that of * */
    EXPECT(allows(body, "/other"));
    EXPECT(!allows(body, "/own"));
    EXPECT(!allows(body, "/merged"));
    EXPECT(!allows_as(body, "third", "/any"));
    EXPECT(allows_as(body, "third", "/own"));
    EXPECT(!allows_as(body, "ANOTHER", "/merged"));
    EXPECT(allows_as(body, "sluic", "/own")); /* the whole token, no beginning of it */
    EXPECT(allows_as(body, "sluices", "/own"));
}

TEST(knows_where_groups_end)
{
    /* Lines that are no rules do not end the row of agents; a rule does. */
    EXPECT(!allows("User-agent: sluice\nSitemap: http://x/\nCrawl-delay: 3\nFoo: bar\n\n"
                   "User-agent: b\nDisallow: /",
                   "/x"));
    EXPECT(allows("User-agent: sluice\nAllow: /a\nUser-agent: b\nDisallow: /", "/x"));
    EXPECT(allows("User-agent: sluice\nDisallow:\nUser-agent: b\nDisallow: /", "/x"));
    EXPECT(allows("Disallow: /\nUser-agent: sluice\nAllow: /a", "/x")); /* before any group */
    EXPECT(!allows("User-agent: *\nUser-agent: sluice\nDisallow: /", "/x"));
    EXPECT(!allows("User-agent: * and more\nDisallow: /", "/x"));
    EXPECT(allows("User-agent: *more\nDisallow: /", "/x"));
    EXPECT(allows("User-agent: sluice\n\nUser-agent: *\nDisallow: /\nUser-agent: sluice\nAllow: /",
                  "/x"));
}

TEST(compares_by_length)
{
    EXPECT(!allows("User-agent: *\nAllow: /p\nDisallow: /page", "/page"));
    EXPECT(allows("User-agent: *\nDisallow: /p\nAllow: /page", "/page"));
    EXPECT(allows("User-agent: *\nDisallow: /page\nAllow: /page", "/page")); /* Allow wins ties */
    EXPECT(allows("User-agent: *\nAllow: /\nDisallow: /c\nAllow: /c.html", "/c.html"));
    EXPECT(!allows("User-agent: *\nAllow: /\nDisallow: /c\nAllow: /c.html", "/c/d"));
    EXPECT(!allows("User-agent: *\nAllow: /x\nDisallow: /*.html", "/x.html"));
    EXPECT(
        !allows("User-agent: *\nDisallow: /x/%C3%A9\nAllow: /x/*****", "/x/%C3%A9")); /* octets */
    EXPECT(!allows("User-agent: *\nDisallow: /\xc3\xa9\nAllow: /%C3*", "/%C3%A9"));
    EXPECT(allows("", "/x"));
    EXPECT(allows("User-agent: *", "/x"));
    EXPECT(allows("User-agent: *\nDisallow:", "/x"));
}

TEST(matches_patterns)
{
    static const struct {
        const char *pattern, *target;
        bool is_match;
    } cases[] = {
        { "/", "/", true },
        { "/fish", "/fish.html", true },
        { "/fish", "/Fish", false },
        { "/fish", "/catfish", false },
        { "/fish/", "/fish", false },
        { "/fish*", "/fishheads", true },
        { "/*.php", "/folder/any.php.file.php?x", true },
        { "/*.php", "/windows.PHP", false },
        { "/*.php$", "/folder/filename.php", true },
        { "/*.php$", "/filename.php?parameters", false },
        { "/*.php$", "/filename.php/", false },
        { "/fish*.php", "/fishheads/catfish.php?x", true },
        { "*", "/anything", true },
        { "*b", "/aab", true },
        { "fish", "/fish", false },
        { "$", "/", false },
        { "/$", "/", true },
        { "/$", "/x", false },
        { "/a$b", "/a$bc", true },
        { "/a$b", "/a", false },
        { "/a*$", "/abc", true },
        { "/a**b", "/ab", true },
        { "/a*a$", "/a", false },
        { "/a*a$", "/aa", true },
        { "/*ab*b$", "/ab", false },
        { "/*ab*b$", "/abb", true },
        { "/*aab", "/aaab", true },
        { "/a*bc*d", "/abcbd", true },
        { "/?x=1", "/?x=1&y", true },
        { "/a%2fb", "/a%2Fb", true },
        { "/a%2fb", "/a/b", false },
        { "/a/b", "/a%2fb", false },
        { "/%aa", "/%AA", true },
        { "/%AA", "/%aa", true },
        { "/\xc3\xa9", "/%c3%a9", true },
        { "/%C3%A9", "/\xc3\xa9", true },
        { "/\xc3\xa9*x", "/\xc3\xa9/x", true },
        { "/100%", "/100%", true },
        { "/100%4", "/100%4", true },
        { "/100%zz", "/100%zz", true },
        { "/\xe2\x9c\xbc*t$", "/%E2%9C%BCtest", true },
        { "/\xe2\x9c\xbc*t$", "/%e2%9c%bctesting", false },
        { "/%a%a", "/%a%a/i", true },
        { "/http%3A%2F%2Fe", "/http%3a%2f%2fe/x", true },
        { "/http%3A%2F%2Fe", "/http://e", false },
        { "/%62ar", "/bar", false }, /* as the library has it, whatever the RFC says */
        { "/a", "a", true },         /* targets get the slash that they lack */
        { "/?q", "?q", true },
        { "/", "", true },
        { "/a", "/b#/a", false },
        { "/a#b", "/ab", true }, /* the rest is a comment */
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (matches(cases[i].pattern, cases[i].target) != cases[i].is_match)
            test_fail(__FILE__, __LINE__, "\"%s\" against \"%s\"", cases[i].pattern,
                      cases[i].target);
}

TEST(always_allows_itself)
{
    static const char body[] = "User-agent: *\nDisallow: /";

    EXPECT(allows(body, "/robots.txt"));
    EXPECT(allows(body, "/robots.txt?x"));
    EXPECT(allows(body, "/robots.txt#x"));
    EXPECT(!allows(body, "/robots.txtx"));
    EXPECT(!allows(body, "/a/robots.txt"));
    EXPECT(robots_allows(robots_disallow_all(), STR_C("/robots.txt")));
}

TEST(reads_lines)
{
    static const char *const refusals[] = {
        "User-agent: *\rDisallow: /\r",
        "User-agent: *\r\nDisallow: /\r\n",
        "User-agent: *\n\n\n\nDisallow: /",
        "\n\r\nUser-agent: *\n\rDisallow: /",
        "\xef\xbb\xbfUser-agent: *\nDisallow: /",
        "\xef\xbbUser-agent: *\nDisallow: /",
        "\xefUser-agent: *\nDisallow: /",
        "  user-AGENT \t :\t*  \n\tDISALLOW:/  # all of it",
        "User-agent *\nDisallow /",
        "User-agent\t\t*\nDisallow \t /",
        "Useragent: *\nDisalow: /",
        "User agent: *\nDissallow: /",
        "User-agents: *\nDissalow: /",
        "user-agent: *\ndiasllow: /",
        "user-agent: *\ndisallaw: /",
        "user-agent: *\ndisallowed: /",
        "user-agent: *\ndisallow: /\n<html>",
        "user-agent: *\v\f\ndisallow:\v/",
    };
    static const char *const nothings[] = {
        "\xef\xbb\xbf\xef\xbb\xbfUser-agent: *\nDisallow: /",
        "\xbbUser-agent: *\nDisallow: /",
        "User-agent: *\nDisallow / x",
        "User-agent: *\nDisallow/",
        "User-agent: *\n: /",
        "User-agent: *\n# Disallow: /",
        "User-agent: *\nxDisallow: /",
        "User-agent: *\ndisllow: /",
        "User-agent: *\nDisallow: \\",
        "<html><body>Disallow: /</body></html>",
        "{\"user-agent\": \"*\", \"disallow\": \"/\"}",
    };

    for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
        if (allows(refusals[i], "/x"))
            test_fail(__FILE__, __LINE__, "should refuse: %s", refusals[i]);
    for (size_t i = 0; i < ARRAY_LEN(nothings); i++)
        if (!allows(nothings[i], "/x"))
            test_fail(__FILE__, __LINE__, "should say nothing: %s", nothings[i]);
}

/* A NUL ends what is read of a line, and not the file. */
TEST(reads_over_nul)
{
    static const Str body = STR(
        "User-agent: *\nDisallow: /a\0bc\nDisallow: /x\0\n\0Disallow: /y\n");
    AUTO(robots_free) Robots *robots = NULL;

    EXPECT_OK(robots_parse(body, STR_C("sluice"), &robots));
    EXPECT(!robots_allows(robots, STR_C("/ab")));
    EXPECT(!robots_allows(robots, STR_C("/x")));
    EXPECT(robots_allows(robots, STR_C("/y")));
    EXPECT_EQ(robots->n_rules, 2);
}

TEST(takes_index_pages_for_their_folder)
{
    static const char body[] =
        "User-agent: *\nDisallow: /\nAllow: /a/index.html\nAllow: /b/index.htm";

    EXPECT(allows(body, "/a/index.html"));
    EXPECT(allows(body, "/a/index.html5"));
    EXPECT(allows(body, "/a/"));
    EXPECT(!allows(body, "/a/x"));
    EXPECT(!allows(body, "/a"));
    EXPECT(allows(body, "/b/"));
    EXPECT(!allows("User-agent: *\nDisallow: /\nAllow: /a/xindex.html", "/a/"));
    EXPECT(allows("User-agent: *\nDisallow: /a/index.html", "/a/")); /* not for Disallow */
}

/* ---- what else is in the file -----------------------------------------------------------------*/

static int64_t delay_of(const char *body)
{
    AUTO(robots_free) Robots *robots = NULL;

    EXPECT_OK(robots_parse(str_from_c(body), STR_C("sluice"), &robots));
    return robots_crawl_delay_ms(robots);
}

TEST(reads_delays)
{
    EXPECT_EQ(delay_of(""), -1);
    EXPECT_EQ(delay_of("Crawl-delay: 5"), -1);
    EXPECT_EQ(delay_of("User-agent: *\nCrawl-delay: 5"), 5000);
    EXPECT_EQ(delay_of("User-agent: *\ncrawl-delay 0.25"), 250);
    EXPECT_EQ(delay_of("User-agent: *\nCrawl-delay: .5"), 500);
    EXPECT_EQ(delay_of("User-agent: *\nCrawl-delay: 1.23456789s"), 1234);
    EXPECT_EQ(delay_of("User-agent: *\nCrawl-delay: 1.5.5"), 1500);
    EXPECT_EQ(delay_of("User-agent: *\nCrawl-delay: 0"), 0);
    EXPECT_EQ(delay_of("User-agent: *\nCrawl-delay: -1"), -1);
    EXPECT_EQ(delay_of("User-agent: *\nCrawl-delay: soon"), -1);
    EXPECT_EQ(delay_of("User-agent: *\nCrawl-delay:"), -1);
    EXPECT_EQ(delay_of("User-agent: *\nCrawl-delay: 99999999999999999999"), 3153600000000);
    EXPECT_EQ(delay_of("User-agent: *\nCrawl-delay: 2\nCrawl-delay: 7\nCrawl-delay: 3"), 7000);
    EXPECT_EQ(delay_of("User-agent: *\nCrawl-delay: 9\nUser-agent: sluice\nDisallow: /x"), -1);
    EXPECT_EQ(delay_of("User-agent: *\nCrawl-delay: 9\nDisallow:\nUser-agent: sluice\nAllow: /"),
              -1);
    EXPECT_EQ(delay_of("User-agent: sluice\nCrawl-delay: 2\nUser-agent: *\nCrawl-delay: 9"), 2000);
    /* Each agent has its own, although for rules all of this is one group. */
    EXPECT_EQ(delay_of("User-agent: *\nCrawl-delay: 1\n\nUser-agent: b\nCrawl-delay: 120"), 1000);
    EXPECT_EQ(delay_of("User-agent: b\nUser-agent: *\nCrawl-delay: 3\nDisallow: /"), 3000);
    EXPECT_EQ(delay_of("User-agent: *\nDisallow: /a\nCrawl-delay: 3"), 3000);
    EXPECT_EQ(delay_of("User-agent: *\nUser-agent: sluice\nCrawl-delay: 3"), 3000);
}

TEST(lists_sitemaps)
{
    AUTO(robots_free) Robots *robots = NULL;
    AUTO(buf_deinit) Buf body = { 0 };

    buf_add_c(&body, "Sitemap: https://a/%c3%a9.xml\nUser-agent: other\nsite-map: /rel\n"
                     "SITEMAP:\nSitemapX: https://b/#x\n");
    EXPECT_OK(robots_parse(buf_str(&body), STR_C("sluice"), &robots));
    EXPECT_EQ(robots_n_sitemaps(robots), 3);
    EXPECT_STR(robots_sitemap(robots, 0), STR_C("https://a/%c3%a9.xml")); /* as written */
    EXPECT_STR(robots_sitemap(robots, 1), STR_C("/rel"));
    EXPECT_STR(robots_sitemap(robots, 2), STR_C("https://b/"));
    EXPECT_EQ(robots->group, ROBOTS_GROUP_NONE);
    EXPECT(!robots_is_cut(robots));
    robots_free(TAKE(robots));

    for (int i = 0; i < LIMIT_ROBOTS_SITEMAPS + 5; i++)
        buf_printf(&body, "Sitemap: https://a/%d\n", i);
    EXPECT_OK(robots_parse(buf_str(&body), STR_C("sluice"), &robots));
    EXPECT_EQ(robots_n_sitemaps(robots), LIMIT_ROBOTS_SITEMAPS);
    EXPECT(robots_is_cut(robots));
    EXPECT_ABORT((void) robots_sitemap(robots, LIMIT_ROBOTS_SITEMAPS), "n_sitemaps");
}

static void expect_words(const Robots *robots, const char *target, const char *words)
{
    AUTO(buf_deinit) Buf out = { 0 };

    robots_explain(robots, str_from_c(target), &out);
    EXPECT_STR(buf_str(&out), str_from_c(words));
}

/* What a report shows is one line of text, however long the rule is and whatever is in it. */
TEST(explains_in_one_line)
{
    AUTO(robots_free) Robots *robots = NULL;
    AUTO(buf_deinit) Buf body = { 0 };
    AUTO(buf_deinit) Buf words = { 0 };

    buf_add_c(&body, "User-agent: Sluice\nDisallow: /a\x1b[2J*\nDisallow: /");
    for (int i = 0; i < 1000; i++)
        buf_add_c(&body, "x");
    EXPECT_OK(robots_parse(buf_str(&body), STR_C("sluice"), &robots));
    expect_words(robots, "/a\x1b[2Jb", "line 2: Disallow: /a%1B[2J* (group of our name)");
    robots_explain(robots, str_sub(buf_str(&body), body.len - 1001, body.len), &words);
    EXPECT(words.len < 300);
    EXPECT(str_ends(buf_str(&words), STR_C("xxx... (group of our name)")));
}

TEST(explains)
{
    static const Str body = STR("# hello\r\n\r\nUser-agent: *\r\n"
                                "Disallow: /private/\r\n"
                                "Allow: /private/open\r\n"
                                "Disallow: /caf\xc3\xa9\r\n"
                                "Disallow: /private/\r\n");
    AUTO(robots_free) Robots *robots = NULL;
    RobotsMatch match;

    EXPECT_OK(robots_parse(body, STR_C("sluice"), &robots));
    EXPECT_EQ(robots->group, ROBOTS_GROUP_ANY);
    EXPECT_EQ(robots->n_rules, 4);
    expect_words(robots, "/private/x", "line 4: Disallow: /private/ (group of *)");
    expect_words(robots, "/private/open", "line 5: Allow: /private/open (group of *)");
    expect_words(robots, "/caf%c3%a9", "line 6: Disallow: /caf%C3%A9 (group of *)");
    expect_words(robots, "/", "no rule matches");
    expect_words(robots, "/robots.txt", "/robots.txt itself is always allowed");
    expect_words(robots_allow_all(), "/x", "there is no robots.txt");
    expect_words(robots_disallow_all(), "/x", "robots.txt could not be read");
    match = robots_match(robots, STR_C("/private/open/x"));
    EXPECT(match.is_allowed && match.is_by_rule && match.is_allow_rule);
    EXPECT_EQ(match.line, 5);
    match = robots_match(robots, STR_C("/x"));
    EXPECT(match.is_allowed && !match.is_by_rule);
    EXPECT(robots_bytes(robots) < 400);
}

TEST(stands_in_for_a_file)
{
    EXPECT(robots_allows(robots_allow_all(), STR_C("/x")));
    EXPECT(!robots_allows(robots_disallow_all(), STR_C("/x")));
    EXPECT(!robots_allows(robots_disallow_all(), STR_C("")));
    EXPECT_EQ(robots_crawl_delay_ms(robots_disallow_all()), -1);
    robots_free(robots_allow_all());
    robots_free(robots_disallow_all());
    robots_free(NULL);
}

TEST(finds_tokens_and_targets)
{
    EXPECT_STR(robots_product_token(STR_C("Sluice/1.0 (+https://x)")), STR_C("Sluice"));
    EXPECT_STR(robots_product_token(STR_C("my-bot_x y")), STR_C("my-bot_x"));
    EXPECT_STR(robots_product_token(STR_C("1bot")), STR_C(""));
    EXPECT_STR(robots_target(STR_C("https://h:80/a/b?x#y")), STR_C("/a/b?x"));
    EXPECT_STR(robots_target(STR_C("https://h//a")), STR_C("//a"));
    EXPECT_STR(robots_target(STR_C("https://h?x=/")), STR_C("?x=/"));
    EXPECT_STR(robots_target(STR_C("https://h;p")), STR_C(";p"));
    EXPECT_STR(robots_target(STR_C("https://h")), STR_C(""));
    EXPECT_STR(robots_target(STR_C("https://h#/a")), STR_C(""));
    EXPECT_STR(robots_target(STR_C("//h/a")), STR_C("/a"));
    EXPECT_STR(robots_target(STR_C("/a?u=http://x/y")), STR_C("/a?u=http://x/y"));
    EXPECT_STR(robots_target(STR_C("")), STR_C(""));
}

/* ---- limits -----------------------------------------------------------------------------------*/

/* Rules within the first 500 KiB count, the line that is cut there does not. */
TEST(reads_500_kib)
{
    AUTO(buf_deinit) Buf body = { 0 };
    AUTO(robots_free) Robots *robots = NULL;

    buf_add_c(&body, "User-agent: *\n");
    while (body.len < LIMIT_ROBOTS_BYTES - 40)
        buf_add_c(&body, "# filled up\n");
    buf_add_c(&body, "Disallow: /in\n");
    buf_add_c(&body, "Disallow: /out/of/the/limit\n"); /* cut, it would forbid /out */
    buf_add_c(&body, "Disallow: /behind\n");
    REQUIRE(body.len > LIMIT_ROBOTS_BYTES);
    EXPECT_OK(robots_parse(buf_str(&body), STR_C("sluice"), &robots));
    EXPECT(!robots_allows(robots, STR_C("/in")));
    EXPECT(robots_allows(robots, STR_C("/out/of/the/limit")));
    EXPECT(robots_allows(robots, STR_C("/behind")));
    EXPECT_EQ(robots->n_rules, 1);
    EXPECT(robots_is_cut(robots));
}

TEST(cuts_long_lines)
{
    AUTO(buf_deinit) Buf body = { 0 };
    AUTO(buf_deinit) Buf target = { 0 };
    AUTO(robots_free) Robots *robots = NULL;
    size_t used;

    buf_add_c(&body, "user-agent: *\ndisallow: /");
    used = sizeof("disallow: /") - 1;
    for (size_t i = 0; i < 2 * LIMIT_ROBOTS_LINE_BYTES; i++)
        buf_add_char(&body, 'a');
    buf_add_c(&body, "\ndisallow: /x\n");
    EXPECT_OK(robots_parse(buf_str(&body), STR_C("sluice"), &robots));
    buf_add_char(&target, '/');
    while (target.len < LIMIT_ROBOTS_LINE_BYTES - used)
        buf_add_char(&target, 'a');
    EXPECT(robots_allows(robots, buf_str(&target)));
    buf_add_char(&target, 'a');
    EXPECT(!robots_allows(robots, buf_str(&target)));
    EXPECT(!robots_allows(robots, STR_C("/x")));
}

/* A file of the greatest size that is nothing but wildcards, and a target made for it: each rule
 * costs one walk over the target and no more. */
TEST(is_not_slowed_by_wildcards)
{
    AUTO(buf_deinit) Buf body = { 0 };
    AUTO(buf_deinit) Buf target = { 0 };
    AUTO(robots_free) Robots *robots = NULL;

    buf_add_c(&body, "User-agent: *\n");
    while (body.len < LIMIT_ROBOTS_BYTES - LIMIT_ROBOTS_LINE_BYTES) {
        buf_add_c(&body, "Disallow: /");
        for (int i = 0; i < 5000; i++)
            buf_add_c(&body, "*a");
        buf_add_c(&body, "*b$\n");
    }
    buf_add_char(&target, '/');
    for (int i = 0; i < 8000; i++)
        buf_add_char(&target, 'a');
    EXPECT_OK(robots_parse(buf_str(&body), STR_C("sluice"), &robots));
    EXPECT(robots->n_rules > 40);
    EXPECT(robots_allows(robots, buf_str(&target)));
    buf_add_char(&target, 'b');
    EXPECT(!robots_allows(robots, buf_str(&target)));
}

/* Many short wildcards: the answer comes after so many steps, and is no. */
TEST(gives_up_on_hostile_files)
{
    AUTO(buf_deinit) Buf body = { 0 };
    AUTO(buf_deinit) Buf target = { 0 };
    AUTO(robots_free) Robots *robots = NULL;

    buf_add_c(&body, "User-agent: *\n");
    for (int i = 0; body.len < LIMIT_ROBOTS_BYTES - 100; i++)
        buf_printf(&body, "Disallow: *aaa%db\n", i);
    buf_add_char(&target, '/');
    for (int i = 0; i < 2000; i++)
        buf_add_char(&target, 'a');
    buf_add_char(&target, '\0');
    target.len--;
    EXPECT_OK(robots_parse(buf_str(&body), STR_C("sluice"), &robots));
    EXPECT(robots_match(robots, buf_str(&target)).is_undecided);
    EXPECT(!robots_allows(robots, buf_str(&target)));
    EXPECT(robots_allows(robots, STR_C("/robots.txt")));
    EXPECT(robots_allows(robots, STR_C("/an/address/of/usual/length?and=a&few=parameters")));
    expect_words(robots, target.data, "the rules take too long to compare it with");
}

TEST(keeps_little)
{
    AUTO(buf_deinit) Buf body = { 0 };
    AUTO(robots_free) Robots *robots = NULL;

    for (int i = 0; body.len < LIMIT_ROBOTS_BYTES - 100; i++)
        buf_printf(&body, "User-agent: agent%c%c\nDisallow: /%d\n", 'a' + i % 26, 'a' + i / 26 % 26,
                   i);
    EXPECT_OK(robots_parse(buf_str(&body), STR_C("sluice"), &robots));
    EXPECT(robots_bytes(robots) < 200); /* groups of others are not kept */
    robots_free(TAKE(robots));
    buf_reset(&body);
    buf_add_c(&body, "User-agent: *\n");
    while (body.len < LIMIT_ROBOTS_BYTES - 100)
        buf_add_c(&body, "allow:\xff/index.htm\n");
    EXPECT_OK(robots_parse(buf_str(&body), STR_C("sluice"), &robots));
    EXPECT(robots_bytes(robots) < 8 * LIMIT_ROBOTS_BYTES); /* the worst that a file can do */
}

TEST(survives_want_of_memory)
{
    FOR_EACH_FAULT {
        AUTO(robots_free) Robots *robots = NULL;
        int r = robots_parse(STR_C("User-agent: *\nDisallow: /a\nSitemap: http://x/\n"),
                             STR_C("sluice"), &robots);

        EXPECT((r == 0) == (robots != NULL));
        if (r == 0) {
            char target[600] = "/\xc3";

            memset(target + 2, 'x', sizeof(target) - 2);
            if (!robots_allows(robots, str_from(target, sizeof(target)))) /* no memory: not now */
                EXPECT(robots_match(robots, str_from(target, sizeof(target))).is_allowed);
        }
    }
}

TEST_MAIN()
