/*
 * The cookies of a crawl.
 *
 * A crawl that goes on is the same visit: what the state file has is loaded, session cookies too,
 * and --cookie-file is not read again, lest what the server has replaced since come back. Only when
 * the file is another one than at the beginning its cookies go on top. A --revisit is a visit of
 * its own: session cookies are gone then, as after closing a browser, and the file is read again.
 *
 * The jar is put into the state file whole, whenever a mark is due and something was set.
 */
#include "base/err.h"
#include "base/mem.h"
#include "handlers/crawl/content.h"
#include "handlers/crawl/crawl_int.h"

#include <sluice/rt/file.h>

#define COOKIE_FILE_BYTES (16 << 20)

/* Those of the state file. */
static int load_kept(Crawl *crawl)
{
    const FrontierResume *resume = frontier_resume(crawl->frontier);
    int r = http_cookies_load(crawl->cookies, resume->cookies);

    if (r < 0)
        return wrap(r, "the cookies in %s", frontier_path(crawl->frontier));
    if (resume->is_resumed)
        crawl->cookie_changes = http_cookies_changes(crawl->cookies);
    else
        http_cookies_end_session(crawl->cookies);
    return 0;
}

/* Those of --cookie-file, unless it is what the kept ones began with. */
SUSPENDS static int load_file(Crawl *crawl)
{
    const FrontierResume *resume = frontier_resume(crawl->frontier);
    AUTO(mem_free) char *text = NULL;
    char *path = arena_copy_c(crawl->task->arena, crawl->args->cookie_file);
    size_t len = 0;
    int r = sl_file_read_all(path, COOKIE_FILE_BYTES, &text, &len);

    if (r == 0) {
        crawl->cookie_file = content_hash(str_from(text, len));
        if (resume->is_resumed && crawl->cookie_file == resume->cookie_file)
            return 0;
        r = http_cookies_load(crawl->cookies, str_from(text, len));
    }
    return wrap(r, "--cookie-file %s", path);
}

int crawl_cookies_open(Crawl *crawl)
{
    const CrawlArgs *args = crawl->args;
    int r;

    if (!args->cookies && !args->cookie_file.len)
        return 0;
    crawl->cookies = http_cookies_new(NULL);
    if (!crawl->cookies)
        return fail(-ENOMEM, "no memory for cookies");
    crawl->cookie_file = frontier_resume(crawl->frontier)->cookie_file;
    r = load_kept(crawl);
    if (r == 0 && args->cookie_file.len)
        r = load_file(crawl);
    return r;
}

void crawl_cookies_keep(Crawl *crawl)
{
    AUTO(buf_deinit) Buf text = { 0 };
    uint64_t changes;

    if (!crawl->cookies || !frontier_is_durable(crawl->frontier))
        return;
    changes = http_cookies_changes(crawl->cookies);
    if (changes == crawl->cookie_changes)
        return;
    http_cookies_save(crawl->cookies, &text);
    if (text.is_failed)
        return; /* the next one may have the memory */
    frontier_keep_cookies(crawl->frontier, buf_str(&text), crawl->cookie_file);
    crawl->cookie_changes = changes;
}
