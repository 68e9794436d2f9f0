/*
 * Link headers: RFC 8288's own examples, what real APIs send, and what is malformed.
 */
#include "codec/link_header.h"

#include "base/test.h"

static const char *find(const char *header, const char *rel)
{
    static char found[200];
    Str target;

    if (!link_header_find(str_from_c(header), rel, &target))
        return NULL;
    snprintf(found, sizeof(found), "%.*s", (int) target.len, target.data ? target.data : "");
    return found;
}

#define EXPECT_LINK(header, rel, target)                                            \
    do {                                                                            \
        const char *got_ = find(header, rel), *want_ = target;                      \
        if (!got_ != !want_ || (got_ && strcmp(got_, want_) != 0))                  \
            test_fail(__FILE__, __LINE__, "%s of %s: got %s, want %s", rel, header, \
                      got_ ? got_ : "none", want_ ? want_ : "none");                \
    } while (0)

TEST(finds_the_next_page)
{
    static const char github[] =
        "<https://api.github.com/repositories/1/issues?page=2>; rel=\"next\", "
        "<https://api.github.com/repositories/1/issues?page=7>; rel=\"last\"";

    EXPECT_LINK(github, "next", "https://api.github.com/repositories/1/issues?page=2");
    EXPECT_LINK(github, "last", "https://api.github.com/repositories/1/issues?page=7");
    EXPECT_LINK(github, "prev", NULL);
    EXPECT_LINK("</TheBook/chapter2>; rel=\"previous\"; title*=UTF-8'de'letztes%20Kapitel, "
                "</TheBook/chapter4>; rel=\"next\"; title*=UTF-8'de'n%c3%a4chstes%20Kapitel",
                "next", "/TheBook/chapter4");
    EXPECT_LINK("<http://example.org/>; rel=\"start http://example.net/relation/other\"",
                "http://example.net/RELATION/other", "http://example.org/");
    EXPECT_LINK("<?page=2>;rel=next", "next", "?page=2");
    EXPECT_LINK("<?page=2>;rel=next", "NEXT", "?page=2");
    EXPECT_LINK("<?page=2>\t; \tREL =\t\"last  Next\"", "next", "?page=2");
    EXPECT_LINK("<a>; rel=prev; rel=next", "next", NULL); /* the first rel counts */
    EXPECT_LINK("<a>; rel; rel=next", "next", NULL);
    EXPECT_LINK("<a>; rel=nextpage", "next", NULL);
    EXPECT_LINK("<a>; rev=next", "next", NULL);
    EXPECT_LINK("<a>; anchor=\"#foo\"; rel=next, <b>; rel=next", "next", "b");
    EXPECT_LINK("<>; rel=self", "self", "");
    EXPECT_LINK("< /a >; rel=self", "self", "/a");
    EXPECT_LINK("</a,b;c>; rel=self", "self", "/a,b;c");
}

TEST(keeps_strings_whole)
{
    EXPECT_LINK("<a>; title=\"x, <b>; rel=next\"; rel=prev, <c>; rel=next", "next", "c");
    EXPECT_LINK("<a>; title=\"x\\\", <b>; rel=next\"; rel=prev", "next", NULL);
    EXPECT_LINK("<a>; title=\"x\\\\\"; rel=next", "next", "a");
    EXPECT_LINK("<a>; title=it\"s; rel=prev, <b>; rel=next", "next", "b"); /* a stray quote */
    EXPECT_LINK("<a>; title=\"open, <b>; rel=next", "next", NULL);
    EXPECT_LINK("<a>; title=\"x\"junk; rel=next", "next", "a");
}

TEST(passes_over_what_is_malformed)
{
    EXPECT_LINK("", "next", NULL);
    EXPECT_LINK(" , ,,", "next", NULL);
    EXPECT_LINK("a; rel=next", "next", NULL);
    EXPECT_LINK("a; rel=next, <b>; rel=next", "next", "b");
    EXPECT_LINK("<a; rel=next", "next", NULL);
    EXPECT_LINK("<a> rel=next", "next", "a"); /* the semicolon is forgotten */
    EXPECT_LINK("<a>;;; ; rel=next;", "next", "a");
    EXPECT_LINK("<a>; =x; rel=next", "next", "a");
    EXPECT_LINK("<a>; rel=", "next", NULL);
    EXPECT_LINK("<a>, <b>; rel=next", "next", "b");
    EXPECT_LINK("<a>;rel=next,", "next", "a");
}

TEST(gives_all_of_a_link)
{
    Str rest = STR("<a>; rel=\"x y\"; type=\"text/html\"; title=T; n, <b>; hreflang=de"), name,
        value;
    LinkItem item;

    EXPECT(link_header_next(&rest, &item));
    EXPECT_STR(item.target, STR_C("a"));
    EXPECT_STR(item.rel, STR_C("x y"));
    EXPECT_STR(item.type, STR_C("text/html"));
    EXPECT_STR(item.title, STR_C("T"));
    EXPECT(!item.has_anchor);
    EXPECT_STR(item.params, STR_C("; rel=\"x y\"; type=\"text/html\"; title=T; n"));
    EXPECT(link_has_rel(&item, "y") && link_has_rel(&item, "X") && !link_has_rel(&item, "x y"));
    for (int i = 0; i < 4; i++)
        EXPECT(link_param_next(&item.params, &name, &value));
    EXPECT_STR(name, STR_C("n"));
    EXPECT(value.data == NULL);
    EXPECT(!link_param_next(&item.params, &name, &value));

    EXPECT(link_header_next(&rest, &item));
    EXPECT_STR(item.target, STR_C("b"));
    EXPECT_EQ(item.rel.len, 0);
    EXPECT(link_param_next(&item.params, &name, &value));
    EXPECT_STR(name, STR_C("hreflang"));
    EXPECT_STR(value, STR_C("de"));
    EXPECT(!link_header_next(&rest, &item));
}

TEST_MAIN()
