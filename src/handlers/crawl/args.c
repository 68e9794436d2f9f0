/*
 * The arguments of crawl: the table that flags, YAML files, requests and jobs are read by.
 *
 * How many pages of one host at once, and how far apart, is 0 and -1 when it is not given: the gate
 * then goes by the class of the host (gate.h), because what is rude to a stranger's server is right
 * for one's own machine.
 *
 * To add an argument: a member, a row here, and a line in docs/guide/crawl.md.
 */
#include "handlers/crawl/args.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/text.h"
#include "codec/robots.h"
#include "rows/outlet.h"

#include <sluice/version.h>

#include <arpa/inet.h>
#include <stdio.h>

#define LIST_MAX 1000
#define TEXT_MAX 4096

/* ---- the table ------------------------------------------------------------------------------- */

static const SchemaField url_item = ITEM(STR, .range = RANGE(1, 8192), .holder = "URL");
static const SchemaField glob_item = ITEM(STR, .range = RANGE(1, TEXT_MAX), .holder = "GLOB");
static const SchemaField domain_item = ITEM(STR, .range = RANGE(1, 255), .holder = "DOMAIN");
static const SchemaField name_item = ITEM(STR, .range = RANGE(1, 255), .holder = "NAME");
static const SchemaField agg_item = ITEM(STR, .range = RANGE(1, 1024), .holder = "COLUMN:FN,…");

static const char *const column_words[] = {
#define X(name, word) word,
    CRAWL_COLUMNS(X)
#undef X
        "none",
    NULL
};
static const SchemaField column_item = ITEM(ENUM, .names = column_words, .holder = "NAME");

static const char *const http_words[] = { "auto", "1.1", "2", NULL };

static const SchemaField nested_fields[] = {
    FIELD_STR(CrawlNested, name, "name of the column", .is_required = true, .range = RANGE(1, 255)),
    FIELD_STR(CrawlNested, each, "selector of its records", .is_required = true,
              .range = RANGE(1, TEXT_MAX)),
    FIELD_MAP(CrawlNested, select, "fields of a record", .is_required = true,
              .range = RANGE(1, LIMIT_CRAWL_SELECT)),
};
static const Schema nested_schema = SCHEMA(CrawlNested, nested_fields,
                                           "Records inside each record.");
static const SchemaField nested_item = ITEM(OBJECT, .schema = &nested_schema);

static const SchemaField crawl_fields[] = {
    FIELD_LIST(CrawlArgs, start, &url_item, "pages to begin with", .range = RANGE(0, LIST_MAX),
               .positional = 1),
    FIELD_STR(CrawlArgs, urls, "file with a URL on each line; - is standard input",
              .range = RANGE(1, TEXT_MAX), .holder = "FILE"),
    FIELD_LIST(CrawlArgs, sitemap, &url_item,
               "sitemap whose pages to begin with; `robots` means those that robots.txt names",
               .range = RANGE(0, 100)),

    FIELD_BOOL(CrawlArgs, follow, "follow links to the hosts of the first pages"),
    FIELD_LIST(CrawlArgs, domains, &domain_item,
               "follow links to these domains and what is below them", .range = RANGE(0, 1000),
               .flag = "domain"),
    FIELD_LIST(CrawlArgs, include, &glob_item,
               "follow only links whose path (or, with ://, URL) fits one of these; * is any run",
               .range = RANGE(0, 1000)),
    FIELD_LIST(CrawlArgs, exclude, &glob_item, "never fetch what fits one of these",
               .range = RANGE(0, 1000)),
    FIELD_INT(CrawlArgs, depth, "links to go from the first pages", .range = RANGE(0, 10000),
              .default_text = "100"),
    FIELD_INT(CrawlArgs, count, "pages to fetch at most; 0: no limit", .range = AT_LEAST(0),
              .default_text = "0"),
    FIELD_INT(CrawlArgs, per_host_count, "pages to fetch of one host at most; 0: no limit",
              .range = AT_LEAST(0), .default_text = "0"),
    FIELD_BOOL(CrawlArgs, obey_nofollow, "do not follow links that say nofollow",
               .default_text = "true"),
    FIELD_BOOL(CrawlArgs, meta_refresh, "follow <meta http-equiv=refresh>"),
    FIELD_BOOL(CrawlArgs, canonical, "take one page for each rel=canonical"),
    FIELD_BOOL(CrawlArgs, drop_tracking, "URLs that differ in utm_*, gclid and the like are one"),
    FIELD_LIST(CrawlArgs, drop_params, &name_item,
               "URLs that differ in this query parameter are one", .range = RANGE(0, 100),
               .flag = "drop-param"),
    FIELD_DURATION(CrawlArgs, max_time_ms, "max_time", "begin no more pages after this long",
                   .range = AT_LEAST(1)),

    FIELD_STR(CrawlArgs, each, "selector: each match is a row", .range = RANGE(1, TEXT_MAX),
              .holder = "SELECTOR"),
    FIELD_MAP(CrawlArgs, select, "a column: selector and filters, or jsonld:…, og:…",
              .range = RANGE(0, LIMIT_CRAWL_SELECT), .holder = "NAME=EXPRESSION"),
    FIELD_LIST(CrawlArgs, nested, &nested_item, "columns that hold records of their own",
               .range = RANGE(0, 16)),
    FIELD_LIST(CrawlArgs, columns, &column_item,
               "columns of the crawl itself, before the selected (default url, and with nothing "
               "selected status and title too)",
               .range = RANGE(0, CRAWL_COLUMN_COUNT), .flag = "column"),
    FIELD_LIST(CrawlArgs, rows_from, &glob_item, "only pages that fit one of these give rows",
               .range = RANGE(0, 1000)),
    FIELD_BOOL(CrawlArgs, error_rows, "give a row for each page that failed too"),
    FIELD_BOOL(CrawlArgs, soft_404, "pages that look like \"not found\" count as errors"),
    FIELD_BOOL(CrawlArgs, keep_duplicates, "rows of pages with the same content as another too"),

    FIELD_INT(CrawlArgs, concurrency, "pages at once", .default_text = "16",
              .range = RANGE(1, LIMIT_CRAWL_CONCURRENCY)),
    FIELD_INT(CrawlArgs, per_host,
              "of one host at once; without it 2 of a public one, all of a private or local one",
              .range = RANGE(1, LIMIT_CRAWL_CONCURRENCY)),
    FIELD_INT(CrawlArgs, per_address, "of one address at once, whatever its hosts; without it 4",
              .range = RANGE(1, LIMIT_CRAWL_CONCURRENCY)),
    FIELD_DURATION(CrawlArgs, delay_ms, "delay",
                   "pause after each page of a host; without it 250ms, none for a private or local "
                   "one",
                   .range = RANGE(0, 3600000), .absent = -1),
    FIELD_REAL(CrawlArgs, jitter, "vary the delay by this part of it, 0 to 1",
               .real_range = REAL_RANGE(0, 1), .default_text = "0"),
    FIELD_DURATION(CrawlArgs, crawl_delay_max_ms, "crawl_delay_max",
                   "a longer Crawl-delay of a robots.txt is cut to this",
                   .range = RANGE(0, 3600000), .default_text = "30s"),
    FIELD_BOOL(CrawlArgs, throttle, "slow down for hosts that answer slowly or refuse",
               .default_text = "true"),
    FIELD_BOOL(CrawlArgs, ignore_robots,
               "ask no robots.txt and no meta robots: only where you may"),
    FIELD_STR(CrawlArgs, user_agent, "the whole User-Agent", .range = RANGE(1, 512),
              .pattern = SCHEMA_HEADER_TEXT),
    FIELD_STR(CrawlArgs, contact, "URL or address of who is asking, put into the User-Agent",
              .range = RANGE(1, 256), .pattern = SCHEMA_HEADER_TEXT),
    FIELD_STR(CrawlArgs, robots_token,
              "the name robots.txt knows us by (default of the User-Agent)", .range = RANGE(1, 64)),

    FIELD_DURATION(CrawlArgs, timeout_ms, "timeout", "for one page", .range = RANGE(1, 3600000),
                   .default_text = "30s"),
    FIELD_INT(CrawlArgs, retries, "further tries after 5xx, 429 and network errors",
              .range = RANGE(0, 20), .default_text = "2"),
    FIELD_INT(CrawlArgs, max_body, "bytes of a page, as sent and unpacked",
              .range = RANGE(1, LIMIT_CRAWL_BODY_BYTES), .default_text = "8388608",
              .holder = "BYTES"),
    FIELD_MAP(CrawlArgs, headers,
              "further headers; Authorization and Cookie go to the hosts of the "
              "first pages only",
              .range = RANGE(0, LIMIT_CRAWL_HEADERS), .pattern = SCHEMA_HEADER_NAME,
              .flag = "header", .is_secret = true),
    FIELD_BOOL(CrawlArgs, cookies, "keep cookies and send them back"),
    FIELD_STR(CrawlArgs, cookie_file, "cookies to begin with (Netscape's format)",
              .range = RANGE(1, TEXT_MAX), .holder = "FILE"),
    FIELD_STR(CrawlArgs, proxy, "http://, https://, socks4:// or socks5:// proxy",
              .range = RANGE(1, 1024), .holder = "URL", .is_secret = true),
    FIELD_ENUM(CrawlArgs, http, http_words, "version of HTTP: auto, 1.1 or 2",
               .default_text = "auto"),
    FIELD_MAP(CrawlArgs, resolve, "address of a host, instead of asking DNS",
              .range = RANGE(0, 100), .holder = "HOST=ADDRESS"),

    FIELD_STR(CrawlArgs, state,
              "file in which the crawl is kept, to go on after a stop; without it OUT.crawl beside "
              "an output that is a file of text, until the crawl is complete",
              .range = RANGE(1, TEXT_MAX), .holder = "FILE"),
    FIELD_BOOL(CrawlArgs, fresh, "begin anew, whatever an earlier run left in the state file"),
    FIELD_BOOL(CrawlArgs, revisit, "with --state: ask again for what was fetched, if it changed"),

    FIELD_OUT(CrawlArgs, out),
    FIELD_STR(CrawlArgs, stats_file, "where the report goes as JSON", .range = RANGE(1, TEXT_MAX),
              .holder = "FILE"),
    FIELD_LIST(CrawlArgs, group_by, &name_item, "columns whose equal values make a group",
               .range = RANGE(0, 16), .holder = "COLUMN"),
    FIELD_LIST(CrawlArgs, agg, &agg_item,
               "what to print of each group: price:min,median,mean,max,count",
               .range = RANGE(0, 64)),
    FIELD_BOOL(CrawlArgs, compare,
               "crawl one page at a time, then concurrently (default 100), and compare"),
};
STATIC_ASSERT(ARRAY_LEN(crawl_fields) <= SCHEMA_FIELDS_MAX, "fields of crawl");

const Schema crawl_args_schema = SCHEMA(CrawlArgs, crawl_fields, "Arguments of crawl.");

/* ---- what they mean together ----------------------------------------------------------------- */

Str crawl_column_name(CrawlColumn column)
{
    return str_from_c(column_words[column]);
}

bool crawl_args_follows(const CrawlArgs *args)
{
    return args->follow || args->domains.len > 0 || args->include.len > 0;
}

Str crawl_args_user_agent(Task *task, const CrawlArgs *args)
{
    if (args->user_agent.len)
        return arena_copy(task->arena, args->user_agent);
    if (args->contact.len)
        return arena_printf(task->arena, "sluice/" SLUICE_VERSION " (+%.*s)",
                            (int) args->contact.len, args->contact.data);
    return str_from_c("sluice/" SLUICE_VERSION);
}

Str crawl_args_robots_token(const CrawlArgs *args)
{
    Str token = args->robots_token;

    if (!token.len && args->user_agent.len)
        token = robots_product_token(args->user_agent);
    return token.len ? token : str_from_c("sluice");
}

/* Files are for the person in front of the machine: a caller of the API names none. */
int crawl_args_allow(const Task *task, const CrawlArgs *args)
{
    const struct {
        const char *name;
        Str path;
    } files[] = { { "urls", args->urls },
                  { "state", args->state },
                  { "stats_file", args->stats_file },
                  { "cookie_file", args->cookie_file } };

    for (size_t i = 0; i < ARRAY_LEN(files) && !task->is_foreground; i++)
        if (files[i].path.len)
            return fail(-ERR_FORBIDDEN, "%s: files can be named in a terminal only", files[i].name);
    if (args->resolve.len && !task->is_foreground)
        return fail(-ERR_FORBIDDEN, "resolve: addresses can be named in a terminal only");
    return 0;
}

static int check_proxy(const CrawlArgs *args)
{
    static const char *const schemes[] = { "http://",    "https://",  "socks4://",
                                           "socks4a://", "socks5://", "socks5h://" };

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (str_starts(args->proxy, str_from_c(schemes[i])))
            return 0;
    if (!args->proxy.len)
        return 0;
    return fail(-ERR_INVALID, "--proxy: begins with http://, https://, socks4:// or socks5://");
}

static bool is_address(Str text)
{
    struct in6_addr address; /* room for both kinds */
    char copy[INET6_ADDRSTRLEN];

    if (text.len >= sizeof(copy))
        return false;
    (void) snprintf(copy, sizeof(copy), "%.*s", (int) text.len, text.data);
    return inet_pton(AF_INET, copy, &address) == 1 || inet_pton(AF_INET6, copy, &address) == 1;
}

static int check_resolve(const CrawlArgs *args)
{
    for (size_t i = 0; i < args->resolve.len; i++) {
        const SchemaPair *pair = &args->resolve.items[i];

        if (!is_address(pair->value))
            return fail(-ERR_INVALID, "--resolve %.*s: \"%.*s\" is no numeric address",
                        (int) pair->name.len, pair->name.data, (int) pair->value.len,
                        pair->value.data);
    }
    return 0;
}

int crawl_args_check(const CrawlArgs *args)
{
    int r = check_proxy(args);

    if (!args->start.len && !args->urls.len && !args->sitemap.len)
        return fail(-ERR_INVALID, "there is nothing to begin with: give a URL, --urls FILE or "
                                  "--sitemap URL");
    if (args->revisit && !args->state.len)
        return fail(-ERR_INVALID, "--revisit needs --state, where the last visit is kept");
    if (args->agg.len && !args->group_by.len)
        return fail(-ERR_INVALID, "--agg needs --group-by COLUMN");
    if (args->each.len && !args->select.len && !args->nested.len)
        return fail(-ERR_INVALID, "--each needs at least one --select NAME=EXPRESSION");
    if (args->compare && args->state.len)
        return fail(-ERR_INVALID, "--compare fetches everything twice, and keeps no --state");
    if (args->compare && str_eq_c(args->urls, "-"))
        return fail(-ERR_INVALID, "--compare reads its list twice: give a file instead of -");
    return r < 0 ? r : check_resolve(args);
}
