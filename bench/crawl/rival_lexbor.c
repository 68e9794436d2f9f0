/*
 * The rival of `sluice crawl` that a C programmer would write in an afternoon: libcurl's multi
 * interface, one lexbor document that is used again for each page, one thread.
 *
 *   rival-crawl URLS CONCURRENCY OUT.csv
 */
#include <curl/curl.h>
#include <lexbor/css/css.h>
#include <lexbor/html/html.h>
#include <lexbor/selectors/selectors.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARGETS_MAX 4096

typedef struct Page {
    CURL *easy;
    char *body;
    size_t len;
    size_t cap;
    char url[512];
} Page;

static lxb_html_document_t *document;
static lxb_css_parser_t *css;
static lxb_selectors_t *selectors;
static lxb_css_selector_list_t *title_selector, *price_selector;
static FILE *out;
static long written;

static size_t on_write(char *data, size_t one, size_t len, void *ctx)
{
    Page *page = ctx;

    (void) one;
    if (page->len + len > page->cap) {
        page->cap = (page->len + len) * 2;
        page->body = realloc(page->body, page->cap);
        if (!page->body)
            return 0;
    }
    memcpy(page->body + page->len, data, len);
    page->len += len;
    return len;
}

static lxb_status_t on_title(lxb_dom_node_t *node, lxb_css_selector_specificity_t spec, void *ctx)
{
    size_t len;
    lxb_char_t *text = lxb_dom_node_text_content(node, &len);

    (void) spec;
    (void) ctx;
    (void) fprintf(out, ",\"%.*s\"", (int) len, (char *) text);
    return LXB_STATUS_STOP;
}

static lxb_status_t on_price(lxb_dom_node_t *node, lxb_css_selector_specificity_t spec, void *ctx)
{
    size_t len;
    const lxb_char_t *text = lxb_dom_element_get_attribute(
        lxb_dom_interface_element(node), (const lxb_char_t *) "data-price", 10, &len);

    (void) spec;
    (void) ctx;
    (void) fprintf(out, ",%.*s", text ? (int) len : 0, text ? (const char *) text : "");
    return LXB_STATUS_STOP;
}

static void take_page(Page *page)
{
    lxb_html_document_clean(document);
    if (lxb_html_document_parse(document, (lxb_char_t *) page->body, page->len) != LXB_STATUS_OK)
        exit(1);
    (void) fputs(page->url, out);
    (void) lxb_selectors_find(selectors, lxb_dom_interface_node(document), title_selector, on_title,
                              NULL);
    (void) lxb_selectors_find(selectors, lxb_dom_interface_node(document), price_selector, on_price,
                              NULL);
    (void) fputc('\n', out);
    written++;
}

static int next_url(FILE *urls, Page *page)
{
    if (!fgets(page->url, sizeof(page->url), urls))
        return 0;
    page->url[strcspn(page->url, "\n")] = '\0';
    page->len = 0;
    (void) curl_easy_setopt(page->easy, CURLOPT_URL, page->url);
    return 1;
}

static void begin(CURLM *multi, Page *page)
{
    page->easy = curl_easy_init();
    (void) curl_easy_setopt(page->easy, CURLOPT_WRITEFUNCTION, on_write);
    (void) curl_easy_setopt(page->easy, CURLOPT_WRITEDATA, page);
    (void) curl_easy_setopt(page->easy, CURLOPT_PRIVATE, page);
    (void) curl_easy_setopt(page->easy, CURLOPT_ACCEPT_ENCODING, "");
    (void) multi;
}

static lxb_css_selector_list_t *compile(const char *text)
{
    return lxb_css_selectors_parse(css, (const lxb_char_t *) text, strlen(text));
}

int main(int argc, char **argv)
{
    FILE *urls = argc == 4 ? fopen(argv[1], "re") : NULL;
    int concurrency = argc == 4 ? atoi(argv[2]) : 0, running = 0;
    Page *pages = calloc((size_t) concurrency + 1, sizeof(*pages));
    CURLM *multi;

    out = argc == 4 ? fopen(argv[3], "we") : NULL;
    if (!urls || !out || !pages || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return 1;
    multi = curl_multi_init();
    document = lxb_html_document_create();
    css = lxb_css_parser_create();
    selectors = lxb_selectors_create();
    if (!document || lxb_css_parser_init(css, NULL) != LXB_STATUS_OK ||
        lxb_selectors_init(selectors) != LXB_STATUS_OK)
        return 1;
    title_selector = compile("h1");
    price_selector = compile(".product .price .amount");
    for (int i = 0; i < concurrency; i++) {
        begin(multi, &pages[i]);
        if (next_url(urls, &pages[i]))
            (void) curl_multi_add_handle(multi, pages[i].easy);
    }
    do {
        CURLMsg *message;
        int left;

        (void) curl_multi_perform(multi, &running);
        while ((message = curl_multi_info_read(multi, &left)) != NULL) {
            Page *page;

            if (message->msg != CURLMSG_DONE)
                continue;
            (void) curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &page);
            if (message->data.result != CURLE_OK)
                return 1;
            (void) curl_multi_remove_handle(multi, page->easy);
            take_page(page);
            if (next_url(urls, page)) {
                (void) curl_multi_add_handle(multi, page->easy);
                running = 1;
            }
        }
        if (running)
            (void) curl_multi_poll(multi, NULL, 0, 1000, NULL);
    } while (running);
    (void) fclose(out);
    (void) printf("%ld\n", written);
    return written > 0 ? 0 : 1;
}
