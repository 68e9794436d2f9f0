/*
 * Words of HTTP: reasons, tokens, lists, media types and what a client accepts.
 */
#include "codec/http_text.h"

#include "base/test.h"

TEST(every_status_has_its_reason)
{
    EXPECT_C(http_reason(100), "Continue");
    EXPECT_C(http_reason(200), "OK");
    EXPECT_C(http_reason(413), "Content Too Large");
    EXPECT_C(http_reason(431), "Request Header Fields Too Large");
    EXPECT_C(http_reason(507), "Insufficient Storage");
    EXPECT_C(http_reason(511), "Network Authentication Required");
    EXPECT_C(http_reason(299), "Unknown");
    EXPECT_C(http_reason(-1), "Unknown");
    /* the table is searched by halves: each row must be where it is looked for */
    for (int status = 400; status <= 417; status++)
        EXPECT(strcmp(http_reason(status), "Unknown") != 0);
}

TEST(tokens_and_values)
{
    EXPECT(http_is_token(STR_C("X-Request_Id.1")));
    EXPECT(!http_is_token(STR_C("")));
    EXPECT(!http_is_token(STR_C("a b")));
    EXPECT(!http_is_token(STR_C("a:")));
    EXPECT(!http_is_token(STR_C("a\0")));
    EXPECT(!http_is_token(STR_C("\xc3\xa9")));
    EXPECT(http_is_field_value(STR_C("a b\tc \xc3\xa9")));
    EXPECT(http_is_field_value(STR_C("")));
    EXPECT(!http_is_field_value(STR_C("a\r\nX: y")));
    EXPECT(!http_is_field_value(STR_C("a\0b")));
    EXPECT(!http_is_field_value(STR_C(" a")));
    EXPECT(!http_is_field_value(STR_C("a\t")));
    EXPECT(!http_is_field_value(STR_C("a\x7f")));
}

TEST(lists)
{
    Str rest = STR_C(" keep-alive ,, \"a,b\\\",c\" , Upgrade"), item = { 0 };

    EXPECT(http_list_next(&rest, &item));
    EXPECT_STR(item, STR_C("keep-alive"));
    EXPECT(http_list_next(&rest, &item));
    EXPECT_STR(item, STR_C("\"a,b\\\",c\""));
    EXPECT(http_list_next(&rest, &item));
    EXPECT_STR(item, STR_C("Upgrade"));
    EXPECT(!http_list_next(&rest, &item));
    EXPECT(http_list_has(STR_C("Keep-Alive, CLOSE"), "close"));
    EXPECT(!http_list_has(STR_C("closed"), "close"));
    EXPECT(!http_list_has(STR_C(""), "close"));
    rest = STR_C("\"never closed, \\");
    EXPECT(http_list_next(&rest, &item));
    EXPECT(!http_list_next(&rest, &item));
}

TEST(media_types)
{
    Str value;

    EXPECT(http_media_is(STR_C("application/json"), "application/json"));
    EXPECT(http_media_is(STR_C("Application/JSON ; charset=utf-8"), "application/json"));
    EXPECT(!http_media_is(STR_C("application/jsonp"), "application/json"));
    EXPECT(!http_media_is(STR_C(""), "application/json"));
    EXPECT(http_media_is_json(STR_C("application/json;x=1")));
    EXPECT(http_media_is_json(STR_C("application/openjobspec+json")));
    EXPECT(http_media_is_json(STR_C("application/problem+JSON; a=b")));
    EXPECT(!http_media_is_json(STR_C("+json")));
    EXPECT(!http_media_is_json(STR_C("text/plain; a=+json")));
    EXPECT(!http_media_is_json(STR_C("application/x-www-form-urlencoded")));
    EXPECT(http_media_param(STR_C("text/plain; Charset=\"utf-8\"; q=0.5"), "charset", &value));
    EXPECT_STR(value, STR_C("utf-8"));
    EXPECT(http_media_param(STR_C("text/plain;q=0.5"), "q", &value));
    EXPECT_STR(value, STR_C("0.5"));
    EXPECT(!http_media_param(STR_C("q=0.5"), "q", &value));
}

TEST(what_a_client_accepts)
{
    static const char *const offered[] = { "application/json", "text/html", "text/plain" };

    EXPECT_EQ(http_accept_quality(STR_C(""), "text/html"), 1000);
    EXPECT_EQ(http_accept_quality(STR_C("text/html"), "text/html"), 1000);
    EXPECT_EQ(http_accept_quality(STR_C("text/html"), "text/plain"), 0);
    EXPECT_EQ(http_accept_quality(STR_C("text/*;q=0.3, text/html;q=0.7, */*;q=0.5"), "text/html"),
              700);
    EXPECT_EQ(http_accept_quality(STR_C("text/*;q=0.3, text/html;q=0.7, */*;q=0.5"), "text/plain"),
              300);
    EXPECT_EQ(http_accept_quality(STR_C("text/*;q=0.3, text/html;q=0.7, */*;q=0.5"), "image/png"),
              500);
    EXPECT_EQ(http_accept_quality(STR_C("*/*, text/html;q=0"), "text/html"), 0);
    EXPECT_EQ(http_accept_quality(STR_C("text/html;q=0.001"), "text/html"), 1);
    EXPECT_EQ(http_accept_quality(STR_C("text/html;q=1.000"), "text/html"), 1000);
    EXPECT_EQ(http_accept_quality(STR_C("text/html;q=1.9"), "text/html"), 1000);
    EXPECT_EQ(http_accept_quality(STR_C("text/html;q=x"), "text/html"), 0);
    EXPECT_EQ(http_accept_quality(STR_C("text/html;q=-1"), "text/html"), 0);
    EXPECT_EQ(http_accept_best(STR_C("text/html,application/json;q=0.9"), offered, 3), 1);
    EXPECT_EQ(http_accept_best(STR_C("*/*"), offered, 3), 0);
    EXPECT_EQ(http_accept_best(STR_C("text/*"), offered, 3), 1);
    EXPECT_EQ(http_accept_best(STR_C("image/png"), offered, 3), -1);
}

TEST_MAIN()
