/*
 * Charsets: who wins, the prescan's corners, and decoding of what is right, cut and wrong.
 */
#include "codec/charset.h"

#include "base/rand.h"
#include "base/test.h"

/* What detection says of TEXT with the header's LABEL: "windows-1252" and so on. */
static const char *detect(Str text, const char *label)
{
    Charset charset = charset_detect(text, str_from_c(label));

    return charset.name ? charset.name : "UTF-8";
}

#define EXPECT_CHARSET(text, label, want) \
    EXPECT_STR(str_from_c(detect(STR_C(text), label)), STR_C(want))

TEST(the_order_of_witnesses)
{
    EXPECT_CHARSET("\xef\xbb\xbf<meta charset=latin1>", "koi8-r", "UTF-8");
    EXPECT_CHARSET("\xff\xfe<", "koi8-r", "UTF-16LE");
    EXPECT_CHARSET("\xfe\xff<", "", "UTF-16BE");
    EXPECT_CHARSET("<meta charset=latin1>", " KOI8-R ", "KOI8-R");
    EXPECT_CHARSET("<meta charset=utf-8>", "no-such", "UTF-8");
    EXPECT_CHARSET("<meta charset=utf-8>", "", "UTF-8");
    EXPECT_CHARSET("plain", "", "windows-1252");
    EXPECT_CHARSET("", "", "windows-1252");
    EXPECT_CHARSET("x", "utf-16", "UTF-16LE");
    EXPECT_CHARSET("x", "x-user-defined", "x-user-defined");
    EXPECT_CHARSET("x", "iso-8859-1", "windows-1252");
    EXPECT_CHARSET("x", "gb2312", "GBK");
    EXPECT_CHARSET("x", "shift_jis", "Shift_JIS");
    EXPECT_EQ(charset_detect(STR_C("\xef\xbb\xbfx"), (Str){ 0 }).bom_len, 3);
    EXPECT_EQ(charset_detect(STR_C("\xff\xfex"), (Str){ 0 }).source, CHARSET_FROM_BOM);
}

TEST(meta_elements)
{
    EXPECT_CHARSET("<meta charset=utf-16>", "", "UTF-8");
    EXPECT_CHARSET("<meta charset=x-user-defined>", "", "windows-1252");
    EXPECT_CHARSET("<META CHARSET='KOI8-R'>", "", "KOI8-R");
    EXPECT_CHARSET("<meta/charset=koi8-r>", "", "KOI8-R");
    EXPECT_CHARSET("<meta\fcharset = \"koi8-r\" >", "", "KOI8-R");
    EXPECT_CHARSET("<metacharset=koi8-r>", "", "windows-1252");
    EXPECT_CHARSET("<meta charset=koi8-r", "", "windows-1252");
    EXPECT_CHARSET("<meta charset=nope><meta charset=koi8-r>", "", "KOI8-R");
    EXPECT_CHARSET("<meta charset=nope charset=koi8-r>", "", "windows-1252");
    EXPECT_CHARSET("<meta http-equiv=Content-Type content='text/html; charset=koi8-r'>", "",
                   "KOI8-R");
    EXPECT_CHARSET("<meta content='text/html; charset=koi8-r' http-equiv=content-type>", "",
                   "KOI8-R");
    EXPECT_CHARSET("<meta content='text/html; charset=koi8-r'>", "", "windows-1252");
    EXPECT_CHARSET("<meta http-equiv=refresh content='charset=koi8-r'>", "", "windows-1252");
    EXPECT_CHARSET("<meta http-equiv=content-type content='charset=koi8-r' charset=big5>", "",
                   "Big5");
    EXPECT_CHARSET("<meta http-equiv=content-type content='charset charset = \"koi8-r\"'>", "",
                   "KOI8-R");
    EXPECT_CHARSET("<meta http-equiv=content-type content='charset=\"koi8-r'>", "", "windows-1252");
    EXPECT_CHARSET("<meta http-equiv=content-type content='charset=koi8-r;x'>", "", "KOI8-R");
    EXPECT_CHARSET("<meta http-equiv=content-type content='xcharset='>", "", "windows-1252");
}

TEST(what_hides_a_meta)
{
    EXPECT_CHARSET("<!-- <meta charset=big5> --><meta charset=koi8-r>", "", "KOI8-R");
    EXPECT_CHARSET("<!--><meta charset=koi8-r>", "", "KOI8-R");
    EXPECT_CHARSET("<!-- <meta charset=big5>", "", "windows-1252");
    EXPECT_CHARSET("<a title='<meta charset=big5>'><meta charset=koi8-r>", "", "KOI8-R");
    EXPECT_CHARSET("</a title='<meta charset=big5>'><meta charset=koi8-r>", "", "KOI8-R");
    EXPECT_CHARSET("<!x '<meta charset=big5>'", "", "windows-1252");
    EXPECT_CHARSET("<? <meta charset=big5>", "", "windows-1252");
    EXPECT_CHARSET("<a =\"<meta charset=big5>\"><meta charset=koi8-r>", "", "KOI8-R");
    EXPECT_CHARSET("<script>'<meta charset=big5>'</script>", "", "Big5");
}

/* The prescan sees no tag that ends later. */
TEST(only_the_first_1024_bytes_are_prescanned)
{
    Charset charset;
    char text[1100];
    static const char meta[] = "<meta charset=koi8-r>";

    for (size_t start = 1024 - sizeof(meta) - 2; start < 1024; start++) {
        bool fits = start + sizeof(meta) - 1 <= 1024;

        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = ' ';
        memcpy(text + start, meta, sizeof(meta) - 1);
        EXPECT_EQ(charset_prescan(str_from(text, sizeof(text)), &charset), fits);
        EXPECT_STR(str_from_c(detect(str_from(text, sizeof(text)), "")), STR_C("KOI8-R"));
    }
}

TEST(a_late_meta_counts_outside_of_text)
{
    AUTO(buf_deinit) Buf html = { 0 };

    for (int i = 0; i < 200; i++)
        buf_add_c(&html, "<p>0123456789");
    buf_add_c(&html, "<script>'<meta charset=big5>'</script><!-- <meta charset=big5> -->");
    EXPECT_STR(str_from_c(detect(buf_str(&html), "")), STR_C("windows-1252"));
    buf_add_c(&html, "<meta charset=koi8-r>");
    EXPECT_STR(str_from_c(detect(buf_str(&html), "")), STR_C("KOI8-R"));
    EXPECT_STR(str_from_c(detect(buf_str(&html), "utf-8")), STR_C("UTF-8"));
}

TEST(xml_declarations)
{
    EXPECT_CHARSET("<?xml version='1.0' encoding='koi8-r'?>", "", "KOI8-R");
    EXPECT_CHARSET("<?xml encoding = \"big5\"?>", "", "Big5");
    EXPECT_CHARSET("<?xml encoding='utf-16'?>", "", "UTF-8");
    EXPECT_CHARSET("<?xml encoding='koi8-r'?><meta charset=big5>", "", "Big5");
    EXPECT_CHARSET(" <?xml encoding='koi8-r'?>", "", "windows-1252");
    EXPECT_CHARSET("<?xml encoding='koi8 r'?>", "", "windows-1252");
    EXPECT_CHARSET("<?xml encoding=koi8-r?>", "", "windows-1252");
    EXPECT_CHARSET("<?xml encoding", "", "windows-1252");
    EXPECT_CHARSET("<\0?\0x\0m\0l\0", "", "UTF-16LE");
    EXPECT_CHARSET("\0<\0?\0x\0m\0l", "", "UTF-16BE");
}

static void expect_decoded(const char *label, Str bytes, const char *want, size_t n_replaced)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Charset charset = { 0 };
    size_t n = 99;
    Str text;

    REQUIRE(charset_find(str_from_c(label), &charset));
    REQUIRE(charset_decode_counted(charset, bytes, &out, &text, &n) == 0);
    EXPECT_STR(text, str_from_c(want));
    EXPECT_EQ(n, n_replaced);
}

TEST(decodes_every_family)
{
    expect_decoded("latin1", STR_C("caf\xe9 \x80\x93"), "caf\xc3\xa9 \xe2\x82\xac\xe2\x80\x9c", 0);
    expect_decoded("windows-1251", STR_C("\xcf\xf0\xe8"), "\xd0\x9f\xd1\x80\xd0\xb8", 0);
    expect_decoded("shift_jis", STR_C("\x93\xfa\x96\x7b\xb1"),
                   "\xe6\x97\xa5\xe6\x9c\xac\xef\xbd\xb1", 0);
    expect_decoded("euc-jp", STR_C("\xc6\xfc\xcb\xdc"), "\xe6\x97\xa5\xe6\x9c\xac", 0);
    expect_decoded("iso-2022-jp", STR_C("a\x1b$BF|K\\\x1b(Bb"),
                   "a\xe6\x97\xa5\xe6\x9c\xac"
                   "b",
                   0);
    expect_decoded("gb18030", STR_C("\xd6\xd0\x81\x30\x81\x30"), "\xe4\xb8\xad\xc2\x80", 0);
    expect_decoded("big5", STR_C("\xa4\xa4"), "\xe4\xb8\xad", 0);
    expect_decoded("euc-kr", STR_C("\xc7\xd1"), "\xed\x95\x9c", 0);
    expect_decoded("utf-16le", STR_C("a\0\x3d\xd8\x00\xde"), "a\xf0\x9f\x98\x80", 0);
    expect_decoded("utf-16be", STR_C("\0a\xd8\x3d\xde\x00"), "a\xf0\x9f\x98\x80", 0);
    expect_decoded("x-user-defined", STR_C("a\x80\xff"), "a\xef\x9e\x80\xef\x9f\xbf", 0);
}

TEST(what_is_wrong_is_replaced)
{
    expect_decoded("utf-8",
                   STR_C("a\xff"
                         "b\xc3"),
                   "a\xef\xbf\xbd"
                   "b\xef\xbf\xbd",
                   2);
    expect_decoded("utf-8", STR_C("\xf0\x9f\x98"), "\xef\xbf\xbd", 1);
    expect_decoded("utf-8", STR_C("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 3);
    expect_decoded("shift_jis", STR_C("\x93"), "\xef\xbf\xbd", 1);
    expect_decoded("utf-16le", STR_C("\x3d\xd8"), "\xef\xbf\xbd", 1);
    expect_decoded("utf-16le", STR_C("a"), "\xef\xbf\xbd", 1);
    expect_decoded("iso-2022-kr", STR_C("anything <b>"), "\xef\xbf\xbd", 1);
}

/* Pieces must not show: a text longer than several of them, in a charset of two bytes, at each
 * shift. */
TEST(long_texts_are_decoded_across_pieces)
{
    AUTO(buf_deinit) Buf in = { 0 };
    AUTO(buf_deinit) Buf want = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    Charset charset = { 0 };
    Str text;

    REQUIRE(charset_find(STR_C("shift_jis"), &charset));
    for (size_t shift = 0; shift < 2; shift++) {
        buf_reset(&in);
        buf_reset(&want);
        buf_add(&in, "x", shift);
        buf_add(&want, "x", shift);
        for (size_t i = 0; i < 20000; i++) {
            buf_add_c(&in, "\x93\xfa");
            buf_add_c(&want, "\xe6\x97\xa5");
        }
        REQUIRE(charset_decode(charset, buf_str(&in), &out, &text) == 0);
        EXPECT_STR(text, buf_str(&want));
    }
}

TEST(valid_utf8_stays_where_it_is)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Str bytes = STR_C("\xef\xbb\xbf\xc3\xa4"), text;

    REQUIRE(charset_decode(charset_detect(bytes, (Str){ 0 }), bytes, &out, &text) == 0);
    EXPECT(text.data == bytes.data + 3);
    EXPECT_EQ(text.len, 2);
    EXPECT_EQ(out.cap, 0);
}

TEST(a_result_over_the_limit_is_refused)
{
    AUTO(buf_deinit) Buf out = { .max_bytes = 64 };
    Charset charset = { 0 };
    char bytes[100];
    Str text;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = '\xe4';
    REQUIRE(charset_find(STR_C("latin1"), &charset));
    EXPECT_ERR(charset_decode(charset, str_from(bytes, sizeof(bytes)), &out, &text), -ERR_TOO_LARGE,
               "");
}

/* Random bytes at the border of two pieces decode as they do in the middle of one. */
TEST(no_border_shows_in_any_charset)
{
    AUTO(buf_deinit) Buf in = { 0 };
    AUTO(buf_deinit) Buf at_border = { 0 };
    AUTO(buf_deinit) Buf alone = { 0 };
    Rand rand;

    rand_init(&rand, 8);
    for (uint8_t id = 3; id < 0x2b; id++) {
        Charset charset = { .id = id };
        char bytes[24], spaces[4084];
        Str whole, part;

        if (id == 0x19 || id == 0x1a || id == 0x1e)
            continue; /* UTF-16 and the replacement encoding have no ASCII to pad with */
        for (int i = 0; i < 20; i++) {
            for (size_t k = 0; k < sizeof(bytes); k++)
                bytes[k] = (char) (rand_below(&rand, 2) ? 0x80 + rand_below(&rand, 128)
                                                        : 0x21 + rand_below(&rand, 94));
            for (size_t k = 0; k < sizeof(spaces); k++)
                spaces[k] = ' ';
            buf_reset(&in);
            buf_add(&in, spaces, sizeof(spaces));
            buf_add(&in, bytes, sizeof(bytes));
            REQUIRE(charset_decode(charset, buf_str(&in), &at_border, &whole) == 0);
            buf_reset(&in);
            buf_add(&in, " ", 1);
            buf_add(&in, bytes, sizeof(bytes));
            REQUIRE(charset_decode(charset, buf_str(&in), &alone, &part) == 0);
            EXPECT_STR(str_sub(whole, sizeof(spaces) - 1, whole.len), part);
        }
    }
}

/* Whatever the bytes and the charset, the result is UTF-8. */
TEST(random_bytes_become_utf8)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Rand rand;

    rand_init(&rand, 7);
    for (int i = 0; i < 3000; i++) {
        Charset charset = { .id = (uint8_t) (3 + rand_below(&rand, 0x2b - 3)) };
        char bytes[64];
        Str text;

        for (size_t k = 0; k < sizeof(bytes); k++)
            bytes[k] = (char) rand_below(&rand, 256);
        REQUIRE(charset_decode(charset, str_from(bytes, rand_below(&rand, 65)), &out, &text) == 0);
        EXPECT(str_is_utf8(text));
    }
}

TEST_MAIN()
