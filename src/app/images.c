/*
 * Pictures by URL, as the configuration has them; see the header.
 *
 * The HTTP client is one of its own, with its own policy: that jobs may reach private addresses
 * does not mean that whoever holds a URL may. Private ones are reached only where the operator says
 * so and names the sources too.
 *
 * Keys are read with plain calls: nothing runs yet when they are.
 */
#define SL_MAY_BLOCK
#include "app/images.h"

#include "app/config.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "base/text.h"
#include "codec/hex.h"
#include "codec/image_url.h"
#include "net/http_client.h"
#include "serve/pictures.h"

#include <sluice/version.h>

#include <stdio.h>

#define DAY_MS          INT64_C(86400000)
#define KEYS_FILE_BYTES 4096

static const SchemaField key_item = ITEM(STR, .pattern = SCHEMA_HEX, .range = RANGE(32, 512),
                                         .is_secret = true);
static const SchemaField source_item = ITEM(STR, .range = RANGE(1, LIMIT_IMAGE_RULE_BYTES));

static const SchemaField fields[] = {
    FIELD_LIST(ImagesConfig, keys, &key_item,
               "a key that URLs of pictures are signed with, in hexadecimal, of 16 bytes or more; "
               "with several, any of them",
               .range = RANGE(0, LIMIT_SERVE_PICTURE_KEYS), .holder = "HEX"),
    FIELD_STR(ImagesConfig, keys_file, "a file with such a key on each line", .holder = "FILE"),
    { .name = "unsigned",
      .summary = "take URLs with the word unsigned in place of a signature",
      .kind = SCHEMA_BOOL,
      .offset = SCHEMA_OFFSET_(ImagesConfig, is_unsigned, bool) },
    FIELD_LIST(ImagesConfig, sources, &source_item,
               "what the URLs of sources may begin with: https://img.example.com/shop/, "
               "https://*.example.com; without any, every public URL that is signed",
               .range = RANGE(0, 256), .flag = "source", .holder = "URL"),
    FIELD_STR(ImagesConfig, folder, "the folder of sources that are paths", .holder = "DIR"),
    FIELD_STR(ImagesConfig, jobs_folder,
              "the folder below which jobs of type image may read and write files",
              .holder = "DIR"),
    FIELD_BOOL(ImagesConfig, allow_private,
               "let the named sources have private, loopback and link-local addresses"),
    FIELD_STR(ImagesConfig, cache, "the folder where pictures are kept; without it they are not",
              .holder = "DIR"),
    FIELD_INT(ImagesConfig, cache_mib, "MiB of pictures kept; what was used longest ago goes",
              .range = RANGE(1, 1 << 24), .default_text = "1024"),
    FIELD_DURATION(ImagesConfig, max_age_ms, "max_age",
                   "how long readers may keep a picture, and the engine one from a URL, before "
                   "asking anew",
                   .range = RANGE(0, 3650 * DAY_MS), .default_text = "1d"),
    FIELD_BOOL(ImagesConfig, heed_source,
               "let the source's Cache-Control and Expires count: what is private or no-store is "
               "not kept, and nothing longer than it says, or than max_age",
               .default_text = "true"),
    FIELD_DURATION(ImagesConfig, source_timeout_ms, "source_timeout",
                   "how long fetching a source may take",
                   .range = RANGE(100, LIMIT_SERVE_PICTURE_MS), .default_text = "20s"),
    FIELD_DURATION(ImagesConfig, error_age_ms, "error_age",
                   "how long errors of a source or a picture are kept; 0: not at all",
                   .range = RANGE(0, DAY_MS), .default_text = "0s"),
    FIELD_BOOL(ImagesConfig, vector,
               "take SVG and PDF too: in URLs of pictures, and where an argument of image asks for "
               "them; a terminal always may"),
};

const Schema images_config_schema = SCHEMA(ImagesConfig, fields, "Pictures by URL.");

/* ---- settings -------------------------------------------------------------------------------- */

static int add_key(Arena *arena, ImagesConfig *config, Str *keys, Str hex)
{
    char *bytes = arena_zalloc(arena, hex.len / 2 + 1);

    if (config->n_keys == LIMIT_SERVE_PICTURE_KEYS)
        return fail(-ERR_CONFIG, "images: at most %d keys", LIMIT_SERVE_PICTURE_KEYS);
    if (hex.len % 2 > 0 || hex.len / 2 < IMAGE_URL_KEY_BYTES_MIN || hex_decode(hex, bytes) < 0)
        return fail(-ERR_CONFIG, "images: a key is %d or more hexadecimal digits",
                    IMAGE_URL_KEY_BYTES_MIN * 2);
    keys[config->n_keys++] = str_from(bytes, hex.len / 2);
    return 0;
}

static int read_keys(Arena *arena, ImagesConfig *config, Str *keys)
{
    char *name = arena_copy_c(arena, config->keys_file);
    char *text = arena_zalloc(arena, KEYS_FILE_BYTES + 1);
    FILE *file = fopen(name, "rbe");
    Str rest, line;
    size_t len;
    int r = 0;

    if (!file)
        return fail(-ERR_CONFIG, "images.keys_file: %s cannot be opened", name);
    len = fread(text, 1, KEYS_FILE_BYTES + 1, file);
    (void) fclose(file);
    if (len > KEYS_FILE_BYTES)
        return fail(-ERR_CONFIG, "images.keys_file: %s is larger than %d bytes", name,
                    KEYS_FILE_BYTES);
    rest = str_from(text, len);
    while (r == 0 && rest.len > 0) {
        line = str_trim(str_cut(rest, '\n', &rest));
        if (line.len > 0)
            r = add_key(arena, config, keys, line);
    }
    return r;
}

int images_settle(Arena *arena, ImagesConfig *config)
{
    Str *keys = arena_zalloc(arena, LIMIT_SERVE_PICTURE_KEYS * sizeof(Str));
    const Str *given = config->keys.items, *rules = config->sources.items;
    int r = 0;

    config->key_bytes = keys;
    config->n_keys = 0;
    for (size_t i = 0; r == 0 && i < config->keys.len; i++)
        r = add_key(arena, config, keys, given[i]);
    if (r == 0 && config->keys_file.len)
        r = read_keys(arena, config, keys);
    for (size_t i = 0; r == 0 && i < config->sources.len; i++) {
        if (image_url_rule_check(rules[i]) < 0)
            r = fail(-ERR_CONFIG, "images.sources: \"%.*s\" cannot be the beginning of a URL",
                     (int) rules[i].len, rules[i].data);
    }
    if (r == 0 && config->allow_private && config->sources.len == 0)
        r = fail(-ERR_CONFIG, "images.allow_private: name the sources that it is for");
    return r;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct Images {
    sl_nursery *nursery;
    HttpClient *http;
    Pictures *pictures;
    char *folder;
    char *cache;
};

static const Handler *find_image(const EngineConfig *config)
{
    for (size_t i = 0; i < config->programs.n_handlers; i++) {
        const Handler *handler = config->programs.handlers[i];

        if (strcmp(handler->type, "image") == 0 && handler->args)
            return handler;
    }
    return NULL;
}

static char *copy_or_null(Str text)
{
    return text.len ? mem_copy_c(text.data, text.len) : NULL;
}

int images_start(Images **ret_images, sl_nursery *nursery, const EngineConfig *config,
                 const RunDoors *doors)
{
    const ImagesConfig *settings = &config->images;
    HttpClientOpts http = { .user_agent = "sluice/" SLUICE_VERSION,
                            .policy = settings->allow_private ? HTTP_POLICY_ALLOW_ALL
                                                              : HTTP_POLICY_DENY_PRIVATE };
    PicturesOpts opts = { .keys = settings->key_bytes,
                          .n_keys = settings->n_keys,
                          .is_unsigned = settings->is_unsigned,
                          .rules = settings->sources.items,
                          .n_rules = settings->sources.len,
                          .cache_bytes = (uint64_t) settings->cache_mib << 20,
                          .max_age_s = settings->max_age_ms / MS_PER_S,
                          .heeds_source = settings->heed_source,
                          .source_ms = settings->source_timeout_ms,
                          .error_age_s = settings->error_age_ms / MS_PER_S,
                          .takes_vector = settings->vector,
                          .handler = find_image(config),
                          .doors = doors };
    Images *images;
    int r;

    *ret_images = NULL;
    if (settings->n_keys == 0 && !settings->is_unsigned)
        return 0;
    if (!opts.handler)
        return fail(-ERR_CONFIG, "images: this build has no handler image");
    images = mem_new(Images);
    images->folder = copy_or_null(settings->folder);
    images->cache = copy_or_null(settings->cache);
    opts.folder = images->folder;
    opts.cache_dir = images->cache;
    images->nursery = nursery;
    r = http_client_start(&images->http, nursery, &http);
    opts.http = images->http;
    if (r == 0)
        r = pictures_start(&images->pictures, nursery, &opts);
    if (r < 0) {
        images_stop(images);
        return r;
    }
    *ret_images = images;
    return 0;
}

Pictures *images_pictures(Images *images)
{
    return images ? images->pictures : NULL;
}

void images_stop(Images *images)
{
    if (!images)
        return;
    pictures_stop(images->pictures);
    http_client_stop(images->http);
    mem_free(images->folder);
    mem_free(images->cache);
    mem_free(images);
}
