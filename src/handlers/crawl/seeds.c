/*
 * Where a crawl begins: URLs of the arguments, a list (a file, or standard input), sitemaps.
 *
 * A list is read piece by piece and never held whole. Empty lines and lines that begin with # are
 * passed over; a line that is no URL is counted and named once, and does not end the crawl.
 */
#include "handlers/crawl/crawl_int.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"

#include <sluice/rt/file.h>
#include <sluice/rt/io.h>

#include <fcntl.h>
#include <sys/stat.h>

#define PIECE_BYTES (64 << 10)
#define LINE_BYTES  (16 << 10)

typedef struct ListReader {
    Crawl *crawl;
    const char *path;
    int fd;
    bool is_stream; /* a pipe or a terminal, otherwise a file */
    int64_t offset;
    Buf line; /* the beginning of a line whose end has not come */
    uint64_t n_lines;
    uint64_t n_bad;
} ListReader;

/* ---- lists ----------------------------------------------------------------------------------- */

SUSPENDS static int take_line(ListReader *reader, Str line)
{
    int r;

    reader->n_lines++;
    line = str_trim(line);
    if (!line.len || line.data[0] == '#')
        return 0;
    r = follow_seed(reader->crawl, line, NULL);
    if (r >= 0 || r == -ECANCELED)
        return r < 0 ? r : 0;
    report_count(reader->crawl->report, CRAWL_BAD_URL);
    if (reader->n_bad++ == 0)
        task_log(reader->crawl->task,
                 arena_printf(reader->crawl->task->arena, "%s line %llu: %s", reader->path,
                              (unsigned long long) reader->n_lines, err_text(r)));
    return 0;
}

SUSPENDS static int take_piece(ListReader *reader, Str piece)
{
    int r = 0;

    while (r == 0 && piece.len) {
        ssize_t end = str_find(piece, '\n');

        if (end < 0) {
            buf_add_str(&reader->line, piece);
            return buf_check(&reader->line);
        }
        buf_add_str(&reader->line, str_sub(piece, 0, (size_t) end));
        r = buf_check(&reader->line);
        if (r == 0)
            r = take_line(reader, buf_str(&reader->line));
        buf_reset(&reader->line);
        piece = str_sub(piece, (size_t) end + 1, piece.len);
    }
    return r;
}

SUSPENDS static ssize_t read_piece(ListReader *reader, char *piece)
{
    return reader->is_stream ? sl_fd_read(reader->fd, piece, PIECE_BYTES)
                             : sl_file_read(reader->fd, piece, PIECE_BYTES, reader->offset);
}

SUSPENDS static int read_list(ListReader *reader)
{
    AUTO(mem_free) char *piece = mem_zalloc(PIECE_BYTES);
    ssize_t n;
    int r;

    while ((n = read_piece(reader, piece)) > 0) {
        reader->offset += n;
        if (reader->offset > LIMIT_CRAWL_LIST_BYTES)
            return fail(-ERR_TOO_LARGE, "more than %d bytes", LIMIT_CRAWL_LIST_BYTES);
        r = take_piece(reader, str_from(piece, (size_t) n));
        if (r < 0)
            return r;
    }
    if (n < 0)
        return (int) n;
    return reader->line.len ? take_line(reader, buf_str(&reader->line)) : 0;
}

/* Standard input is opened anew by its name, so that making it non-blocking stays with us. */
SUSPENDS static int seed_list(Crawl *crawl, Str path)
{
    bool is_stdin = str_eq_c(path, "-");
    ListReader reader = { .crawl = crawl };
    struct stat status;
    int r;

    reader.path = is_stdin ? "/dev/stdin" : arena_copy_c(crawl->task->arena, path);
    buf_init(&reader.line, LINE_BYTES);
    r = sl_file_open(reader.path, O_RDONLY | O_NONBLOCK, 0, &reader.fd);
    if (r < 0)
        return wrap(r, "--urls %s", reader.path);
    reader.is_stream = fstat(reader.fd, &status) == 0 && !S_ISREG(status.st_mode);
    r = read_list(&reader);
    buf_deinit(&reader.line);
    if (reader.is_stream)
        sl_fd_close(reader.fd);
    else
        (void) sl_file_close(reader.fd); /* it was read only */
    if (reader.n_bad > 1)
        task_log(crawl->task, arena_printf(crawl->task->arena, "%s: %llu lines are no URLs",
                                           reader.path, (unsigned long long) reader.n_bad));
    return wrap(r, "--urls %s", reader.path);
}

/* ---- sitemaps -------------------------------------------------------------------------------- */

/* The robots.txt of every first page is asked for its sitemaps, as a page of its own. */
SUSPENDS static int seed_robots(Crawl *crawl)
{
    const Str *start = crawl->args->start.items;
    int r = 0;

    for (size_t i = 0; r == 0 && i < crawl->args->start.len; i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        Str text, origin;
        WebUrl url;

        arena_init(&arena, 0);
        r = web_url_parse(&arena, start[i], &url);
        if (r < 0)
            return r;
        origin = web_url_origin(&url);
        text = arena_printf(&arena, "%.*s/robots.txt", (int) origin.len, origin.data);
        r = follow_seed(crawl, text, REFERRER_ROBOTS);
        if (r > 0)
            r = 0; /* known: another start of the same host */
    }
    return r;
}

SUSPENDS static int seed_sitemap(Crawl *crawl, Str text)
{
    int r;

    if (!str_eq_c(text, "robots"))
        r = follow_seed(crawl, text, REFERRER_SITEMAP);
    else if (crawl->args->start.len)
        r = seed_robots(crawl);
    else
        r = fail(-ERR_INVALID, "no URL was given whose robots.txt could be asked");
    return wrap(r, "--sitemap %.*s", (int) text.len, text.data);
}

/* With --sitemap robots and no links to follow, the start only says which site is meant. */
static bool are_starts_pages(const CrawlArgs *args)
{
    const Str *sitemaps = args->sitemap.items;

    for (size_t i = 0; i < args->sitemap.len; i++)
        if (str_eq_c(sitemaps[i], "robots"))
            return crawl_args_follows(args);
    return true;
}

int crawl_seed(Crawl *crawl)
{
    const CrawlArgs *args = crawl->args;
    const Str *start = args->start.items, *sitemap = args->sitemap.items;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < args->start.len && are_starts_pages(args); i++)
        r = follow_seed(crawl, start[i], NULL);
    for (size_t i = 0; r >= 0 && i < args->sitemap.len; i++)
        r = seed_sitemap(crawl, sitemap[i]);
    return r < 0 ? r : 0;
}

int crawl_seed_list(Crawl *crawl)
{
    return crawl->args->urls.len ? seed_list(crawl, crawl->args->urls) : 0;
}
