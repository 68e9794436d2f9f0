/*
 * Bad pages: character sets, and content that is not what its type says.
 *
 * Each charset page is the same small page: what stands in its h1 is the test. `words` is what a
 * reader must see there, in UTF-8; `bytes` is how it is written; a NUL ends neither in UTF-16, so
 * that one is converted here.
 */
#include "demo/demo_int.h"

#include "base/macro.h"

#define FAR_BYTES 2000 /* beyond the first 1024, where a prescan ends */

typedef enum Wide { NARROW, WIDE_LITTLE, WIDE_BIG } Wide;

typedef struct Text {
    const char *type;  /* Content-Type; NULL: none is sent */
    const char *meta;  /* charset of the meta element; NULL: no element */
    const char *bytes; /* of the h1; of WIDE pages in UTF-8 */
    const char *mark;  /* before the page */
    Wide wide;
    bool is_far; /* the meta element stands behind the first 1024 bytes */
} Text;

#define JAPANESE      "\u65e5\u672c\u8a9e\u306e\u30da\u30fc\u30b8"
#define CHINESE       "\u7b80\u4f53\u4e2d\u6587\u7f51\u9875"
#define CAFE          "Caf\u00e9 \u201cna\u00efve\u201d \u2013 5 \u20ac"
#define CAFE_1252     "Caf\xe9 \x93na\xefve\x94 \x96 5 \x80"
#define JAPANESE_SJIS "\x93\xfa\x96\x7b\x8c\xea\x82\xcc\x83\x79\x81\x5b\x83\x57"

enum {
    TEXT_WRONG_LABEL,
    TEXT_META_ONLY,
    TEXT_META_FAR,
    TEXT_UNLABELLED,
    TEXT_LATIN1,
    TEXT_SHIFT_JIS,
    TEXT_EUC_JP,
    TEXT_ISO_2022_JP,
    TEXT_GB18030,
    TEXT_BIG5,
    TEXT_EUC_KR,
    TEXT_KOI8_R,
    TEXT_UTF16LE,
    TEXT_UTF16BE,
    TEXT_BOM_WINS,
    TEXT_HEADER_WINS,
    TEXT_INVALID,
    TEXT_UNKNOWN,
    TEXT_QUOTED,
};

static const Text texts[] = {
    [TEXT_WRONG_LABEL] = { "text/html; charset=iso-8859-1", "utf-8", CAFE, "", NARROW, false },
    [TEXT_META_ONLY] = { "text/html", "shift_jis", JAPANESE_SJIS, "", NARROW, false },
    [TEXT_META_FAR] = { "text/html", "utf-8", CAFE, "", NARROW, true },
    [TEXT_UNLABELLED] = { "text/html", NULL, CAFE_1252, "", NARROW, false },
    [TEXT_LATIN1] = { "text/html; charset=ISO-8859-1", NULL, CAFE_1252, "", NARROW, false },
    [TEXT_SHIFT_JIS] = { "text/html; charset=Shift_JIS", NULL, JAPANESE_SJIS, "", NARROW, false },
    [TEXT_EUC_JP] = { "text/html; charset=euc-jp", NULL,
                      "\xc6\xfc\xcb\xdc\xb8\xec\xa4\xce\xa5\xda\xa1\xbc\xa5\xb8", "", NARROW,
                      false },
    [TEXT_ISO_2022_JP] = { "text/html; charset=ISO-2022-JP", NULL, "\x1b$BF|K\\8l$N%Z!<%8\x1b(B",
                           "", NARROW, false },
    [TEXT_GB18030] = { "text/html; charset=GB18030", NULL,
                       "\xbc\xf2\xcc\xe5\xd6\xd0\xce\xc4\xcd\xf8\xd2\xb3\x95\x34\xb2\x35", "",
                       NARROW, false },
    [TEXT_BIG5] = { "text/html; charset=big5", NULL, "\xc1\x63\xc5\xe9\xa4\xa4\xa4\xe5", "", NARROW,
                    false },
    [TEXT_EUC_KR] = { "text/html; charset=euc-kr", NULL, "\xc7\xd1\xb1\xb9\xbe\xee", "", NARROW,
                      false },
    [TEXT_KOI8_R] = { "text/html; charset=koi8-r", NULL, "\xf0\xd2\xc9\xd7\xc5\xd4", "", NARROW,
                      false },
    [TEXT_UTF16LE] = { "text/html", NULL, JAPANESE, "\ufeff", WIDE_LITTLE, false },
    [TEXT_UTF16BE] = { "text/html; charset=utf-8", NULL, JAPANESE, "\ufeff", WIDE_BIG, false },
    [TEXT_BOM_WINS] = { "text/html; charset=windows-1252", NULL, CAFE, "\xef\xbb\xbf", NARROW,
                        false },
    [TEXT_HEADER_WINS] = { "text/html; charset=utf-8", "windows-1252", CAFE, "", NARROW, false },
    [TEXT_INVALID] = { "text/html; charset=utf-8", NULL, "Good \xff\xc3( bad \xed\xa0\x80 end", "",
                       NARROW, false },
    [TEXT_UNKNOWN] = { "text/html; charset=klingon", NULL, CAFE_1252, "", NARROW, false },
    [TEXT_QUOTED] = { "text/html; Charset='UTF-8'", "utf-8", CAFE, "", NARROW, false },
};

/* TEXT, which is UTF-8 of the basic plane, as UTF-16. */
static void add_wide(Buf *out, Str text, Wide wide)
{
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char) text.data[i];
        size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : 3;
        unsigned unit = n == 1 ? c : n == 2 ? c & 0x1f : c & 0x0f;

        for (size_t j = 1; j < n; j++)
            unit = unit << 6 | ((unsigned char) text.data[i + j] & 0x3f);
        buf_add_char(out, (char) (wide == WIDE_BIG ? unit >> 8 : unit & 0xff));
        buf_add_char(out, (char) (wide == WIDE_BIG ? unit & 0xff : unit >> 8));
        i += n;
    }
}

static int answer_text(DemoCall *call)
{
    const Text *text = &texts[call->page->number];
    AUTO(buf_deinit) Buf page = { 0 };

    buf_add_c(&page, text->mark);
    ADD(&page, "<!DOCTYPE html>\n<html><head>\n");
    if (text->is_far) {
        ADD(&page, "<!-- ");
        for (int i = 0; i < FAR_BYTES; i++)
            buf_add_char(&page, '.');
        ADD(&page, " -->\n");
    }
    if (text->meta)
        buf_printf(&page, "<meta charset=\"%s\">\n", text->meta);
    ADD(&page, "<title>Charset</title></head>\n<body><h1>");
    buf_add_c(&page, text->bytes);
    ADD(&page, "</h1>\n<p class=\"price\" data-price=\"9.99\">$9.99</p>\n</body></html>\n");
    call->response->content_type = str_from_c(text->type);
    if (text->wide == NARROW)
        buf_add_str(call->out, buf_str(&page));
    else
        add_wide(call->out, buf_str(&page), text->wide);
    return 0;
}

/* ---- types ----------------------------------------------------------------------------------- */

static const char html_body[] = "<!DOCTYPE html>\n<html><head><title>Typed</title></head>\n"
                                "<body><h1>Typed</h1><p class=\"price\" data-price=\"9.99\">$9.99"
                                "</p></body></html>\n";
static const char pdf_body[] = "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\n"
                               "endobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n";
static const char png_body[] = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00"
                               "\x01\x08\x02\x00\x00\x00";
static const char json_body[] = "{\"name\": \"Typed\", \"price\": \"9.99\"}\n";
static const char text_body[] = "Plain text, and <h1>this is no heading</h1>.\n";
static const char zeros[4096];

static int say(DemoCall *call, const char *body, size_t len)
{
    call->response->content_type = str_from_c(call->page->text);
    buf_add(call->out, body, len);
    return 0;
}

static int answer_html_as(DemoCall *call)
{
    return say(call, html_body, sizeof(html_body) - 1);
}

static int answer_json_as(DemoCall *call)
{
    return say(call, json_body, sizeof(json_body) - 1);
}

static int answer_pdf_as(DemoCall *call)
{
    return say(call, pdf_body, sizeof(pdf_body) - 1);
}

static int answer_png_as(DemoCall *call)
{
    return say(call, png_body, sizeof(png_body) - 1);
}

static int answer_text_as(DemoCall *call)
{
    return say(call, text_body, sizeof(text_body) - 1);
}

static int answer_zeros(DemoCall *call)
{
    return say(call, zeros, sizeof(zeros));
}

#define CHARSET(name, index, text, words)                                                          \
    {                                                                                              \
        .path = "/bad/charset/" name, .number = (index), .answer = answer_text, .summary = (text), \
        .outcome = "h1 is " words                                                                  \
    }

static const DemoPage text_pages[] = {
    CHARSET("wrong-label", TEXT_WRONG_LABEL, "UTF-8, labelled iso-8859-1",
            "\"Caf\u00c3\u00a9 \u2026\": the header wins over the truth, as in browsers"),
    CHARSET("meta", TEXT_META_ONLY, "Shift_JIS, said by the meta element only", JAPANESE),
    CHARSET("meta-far", TEXT_META_FAR, "UTF-8, said by a meta element behind 2000 bytes",
            CAFE " if the parser looks that far, else as windows-1252"),
    CHARSET("unlabelled", TEXT_UNLABELLED, "windows-1252, unlabelled", CAFE),
    CHARSET("latin1", TEXT_LATIN1, "windows-1252, labelled ISO-8859-1", CAFE),
    CHARSET("shift-jis", TEXT_SHIFT_JIS, "Shift_JIS", JAPANESE),
    CHARSET("euc-jp", TEXT_EUC_JP, "EUC-JP", JAPANESE),
    CHARSET("iso-2022-jp", TEXT_ISO_2022_JP, "ISO-2022-JP, with escapes", JAPANESE),
    CHARSET("gb18030", TEXT_GB18030, "GB18030, with a character of four bytes",
            CHINESE "\U00020bb7"),
    CHARSET("big5", TEXT_BIG5, "Big5", "\u7e41\u9ad4\u4e2d\u6587"),
    CHARSET("euc-kr", TEXT_EUC_KR, "EUC-KR", "\ud55c\uad6d\uc5b4"),
    CHARSET("koi8-r", TEXT_KOI8_R, "KOI8-R", "\u041f\u0440\u0438\u0432\u0435\u0442"),
    CHARSET("utf-16le", TEXT_UTF16LE, "UTF-16LE with a byte order mark, unlabelled", JAPANESE),
    CHARSET("utf-16be", TEXT_UTF16BE, "UTF-16BE with a byte order mark, labelled utf-8",
            JAPANESE ": the mark wins"),
    CHARSET("bom", TEXT_BOM_WINS, "UTF-8 with a byte order mark, labelled windows-1252",
            CAFE ": the mark wins"),
    CHARSET("header", TEXT_HEADER_WINS, "UTF-8, the header says so, the meta element does not",
            CAFE ": the header wins over the element"),
    CHARSET("invalid", TEXT_INVALID, "UTF-8 with bytes that are none",
            "\"Good \ufffd\ufffd( bad \ufffd\ufffd\ufffd end\""),
    CHARSET("unknown", TEXT_UNKNOWN, "windows-1252, labelled klingon",
            CAFE ": the label is ignored"),
    CHARSET("quoted", TEXT_QUOTED, "UTF-8, the label in single quotes",
            CAFE ": the header's label is none, the element's counts"),
};

static const DemoPage type_pages[] = {
    { .path = "/bad/json-as-html",
      .text = "text/html",
      .answer = answer_json_as,
      .summary = "JSON, labelled text/html",
      .outcome = "a page without fields" },
    { .path = "/bad/html-as-octets",
      .text = "application/octet-stream",
      .answer = answer_html_as,
      .summary = "HTML, labelled application/octet-stream",
      .outcome = "not a page: browsers download it" },
    { .path = "/bad/html-as-text",
      .text = "text/plain",
      .answer = answer_html_as,
      .summary = "HTML, labelled text/plain",
      .outcome = "not a page: it is text" },
    { .path = "/bad/html-untyped",
      .text = NULL,
      .answer = answer_html_as,
      .summary = "HTML without a Content-Type",
      .outcome = "a page: sniffed" },
    { .path = "/bad/html-as-nonsense",
      .text = "html",
      .answer = answer_html_as,
      .summary = "HTML, labelled \"html\"",
      .outcome = "a page: sniffed" },
    { .path = "/bad/xhtml",
      .text = "application/xhtml+xml",
      .answer = answer_html_as,
      .summary = "HTML, labelled application/xhtml+xml",
      .outcome = "a page" },
    { .path = "/bad/pdf-as-html",
      .text = "text/html",
      .answer = answer_pdf_as,
      .summary = "PDF, labelled text/html",
      .outcome = "a page without fields, or skipped" },
    { .path = "/bad/png-as-html",
      .text = "text/html",
      .answer = answer_png_as,
      .summary = "a picture, labelled text/html",
      .outcome = "a page without fields, or skipped" },
    { .path = "/bad/png-untyped",
      .text = NULL,
      .answer = answer_png_as,
      .summary = "a picture without a Content-Type",
      .outcome = "skipped: sniffed" },
    { .path = "/bad/text",
      .text = "text/plain; charset=utf-8",
      .answer = answer_text_as,
      .summary = "plain text with a tag in it",
      .outcome = "not a page" },
    { .path = "/bad/zeros",
      .text = "text/html",
      .answer = answer_zeros,
      .summary = "4096 NUL bytes, labelled text/html",
      .outcome = "a page without fields" },
};

const DemoPages demo_text_pages = DEMO_PAGES("Character sets", text_pages);
const DemoPages demo_type_pages = DEMO_PAGES("Types", type_pages);
