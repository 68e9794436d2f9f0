/*
 * The verbs of `sluice image`: pictures from files, and signed URLs.
 *
 *   sluice image in.jpg --width 320 -o out.webp
 *   sluice image photos/ --width 320 --format webp -o small/
 *
 * Words without a dash are files, folders and patterns; the flags are the handler's and those
 * below. What is done with the files is app/image_command.c's.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "cli/command.h"
#include "codec/base64.h"
#include "codec/hex.h"
#include "codec/image_url.h"
#include "codec/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAILED_MAX 63 /* codes from 64 on have meanings of their own */

typedef struct ImageFlags {
    bool quiet;
    bool force;
    Str out;
} ImageFlags;

static const SchemaField image_fields[] = {
    FIELD_BOOL(ImageFlags, quiet, "show no progress on a terminal"),
    FIELD_BOOL(ImageFlags, force, "write over files that are there"),
    FIELD_STR(
        ImageFlags, out,
        "where to: a file, a folder (with / at its end, or there already), a name with {dir}, "
        "{name} and {ext} in it, or - for stdout; -o is the same",
        .holder = "PATH"),
};
static const Schema image_flags = SCHEMA(ImageFlags, image_fields, "Flags of image.");

/* ---- the handler ----------------------------------------------------------------------------- */

/* Whether it says where a job's picture comes from and goes to, for which there are words here. */
static bool is_of_jobs(const SchemaField *field)
{
    return strcmp(field->name, "source") == 0 || strcmp(field->name, "destination") == 0;
}

const Handler *cli_image_handler(Arena *arena, const Handler *handler)
{
    Handler *copy = arena_new(arena, Handler);
    Schema *args = arena_new(arena, Schema);
    SchemaField *fields = arena_zalloc(arena, handler->args->n_fields * sizeof(*fields));

    *copy = *handler;
    *args = *handler->args;
    args->fields = fields;
    args->n_fields = 0;
    for (size_t i = 0; i < handler->args->n_fields; i++) {
        if (!is_of_jobs(&handler->args->fields[i]))
            fields[args->n_fields++] = handler->args->fields[i];
    }
    copy->args = args;
    return copy;
}

/* ---- words ----------------------------------------------------------------------------------- */

static const SchemaField *find_flag(const Schema *schema, Str word)
{
    for (size_t i = 0; i < schema->n_fields; i++) {
        const SchemaField *field = &schema->fields[i];
        const char *name = field->flag ? field->flag : field->name;
        size_t j = 0;

        while (j < word.len && name[j] &&
               (word.data[j] == name[j] || (word.data[j] == '-' && name[j] == '_')))
            j++;
        if (j == word.len && !name[j])
            return field;
    }
    return NULL;
}

/* Whether the flag WORD ("--width") has its value in the next word. */
static bool takes_next(const Handler *handler, Str word)
{
    Str name = str_sub(word, 2, word.len);
    const SchemaField *field = find_flag(&image_flags, name);

    if (str_find(word, '=') >= 0 || str_eq_c(word, "--json") || str_eq_c(word, "--help"))
        return false;
    if (!field)
        field = find_flag(handler->args, name);
    return !field || field->kind != SCHEMA_BOOL;
}

/* Part the words into flags and files. */
static void part_words(const CommandContext *context, const char **flags, size_t *n_flags,
                       const char **files, size_t *n_files)
{
    for (size_t i = 0; i < context->n_words; i++) {
        const char *word = context->words[i];
        bool has_next = i + 1 < context->n_words;

        if (strcmp(word, "--") == 0) {
            while (++i < context->n_words)
                files[(*n_files)++] = context->words[i];
        } else if (strcmp(word, "-o") == 0) {
            flags[(*n_flags)++] = "--out";
            if (has_next)
                flags[(*n_flags)++] = context->words[++i];
        } else if (word[0] != '-' || !word[1]) {
            files[(*n_files)++] = word;
        } else {
            flags[(*n_flags)++] = word;
            if (has_next && word[1] == '-' && takes_next(context->verb->handler, str_from_c(word)))
                flags[(*n_flags)++] = context->words[++i];
        }
    }
}

/* The format that the end of the name OUT asks for; NULL: none. */
static const char *format_of_name(Str out)
{
    static const char *const formats[][2] = {
        { ".jpg", "jpeg" },  { ".jpeg", "jpeg" }, { ".png", "png" },
        { ".webp", "webp" }, { ".avif", "avif" },
    };

    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        Str suffix = str_from_c(formats[i][0]);

        if (out.len > suffix.len &&
            str_eq_nocase(str_sub(out, out.len - suffix.len, suffix.len), suffix))
            return formats[i][1];
    }
    return NULL;
}

/* REQUEST's arguments: ARGS, with the format that the name of the output asks for where none is
 * given. */
static int settle_args(CommandContext *context, Str args, ImageRequest *request)
{
    const char *format = format_of_name(request->out);
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter writer = JSON_WRITER(&text);
    JsonDoc doc;
    int r = json_parse(context->arena, args, &doc);

    if (r < 0)
        return r;
    request->args = args;
    request->is_info = json_bool_or(json_find(doc.root, "info"), false);
    request->has_format = format || json_find(doc.root, "format");
    if (!format || json_find(doc.root, "format"))
        return 0;
    json_write_object(&writer);
    json_write_member_c(&writer, "format", format);
    for (JsonIter it = json_iter(doc.root); json_next(&it);) {
        json_write_key_str(&writer, it.key);
        json_write_value(&writer, it.value);
    }
    json_write_object_end(&writer);
    request->args = arena_copy(context->arena, buf_str(&text));
    return 0;
}

static int check_args(CommandContext *context, Str args)
{
    const Schema *schema = context->verb->handler->args;
    void *bound = arena_zalloc(context->arena, schema->struct_bytes);
    SchemaDecodeOpts opts = { .is_flags = true };

    return schema_decode_text(context->arena, schema, args, bound, &opts);
}

/* Whether a bar can be drawn, and somebody is there to look at it. */
static bool has_terminal(void)
{
    const char *term = getenv("TERM");

    return isatty(STDERR_FILENO) == 1 && term && strcmp(term, "dumb") != 0;
}

static int run_image(CommandContext *context)
{
    size_t n_words = context->n_words + 1;
    const char **flag_words = arena_zalloc(context->arena, (n_words + 1) * sizeof(char *));
    const char **files = arena_zalloc(context->arena, n_words * sizeof(char *));
    size_t n_flags = 0, n_files = 0;
    ImageRequest request = { .handler = context->verb->handler };
    ImageFlags flags = { 0 };
    Str args = str_from_c("{}");
    int r;

    part_words(context, flag_words, &n_flags, files, &n_files);
    r = cli_parse_flags(context, &image_flags, &flags, context->verb->handler->args, &args,
                        flag_words, n_flags);
    if (r < 0)
        return r;
    request.out = flags.out;
    r = settle_args(context, args.len ? args : str_from_c("{}"), &request);
    if (r == 0)
        r = check_args(context, request.args);
    if (r == 0 && n_files == 0)
        r = fail(-ERR_USAGE, "image needs a picture, for example `sluice image in.jpg --width 320 "
                             "-o out.webp`; - is stdin");
    if (r == 0 && !flags.out.len && !request.is_info)
        r = fail(-ERR_USAGE,
                 "image needs to know where to: -o FILE, -o FOLDER/, or -o - for stdout");
    if (r < 0)
        return r;
    request.inputs = files;
    request.n_inputs = n_files;
    request.is_forced = flags.force;
    request.is_json = context->common->json;
    request.shows_progress = !flags.quiet && has_terminal();
    r = context->host->run_images(&request);
    context->exit_code = request.stopped_by ? 128 + request.stopped_by
                                            : (int) MIN(request.n_failed, (size_t) FAILED_MAX);
    return r;
}

/* ---- signed URLs ----------------------------------------------------------------------------- */

typedef struct UrlFlags {
    Str options;
    Str source;
    Str key;
    Str base;
} UrlFlags;

static const SchemaField url_fields[] = {
    FIELD_STR(UrlFlags, options, "what to make: w:320,f:webp; - for nothing", .positional = 1,
              .is_required = true),
    FIELD_STR(UrlFlags, source, "an http or https URL, or a path below the engine's folder",
              .positional = 2, .is_required = true),
    FIELD_STR(UrlFlags, key,
              "the key, in hexadecimal; without it the first line of the variable SLUICE_IMAGE_KEY",
              .pattern = SCHEMA_HEX, .range = RANGE(32, 512), .is_secret = true, .holder = "HEX"),
    FIELD_STR(UrlFlags, base, "what to put before it: https://img.example.com"),
};
static const Schema url_flags = SCHEMA(UrlFlags, url_fields, "Flags of image url.");

static const Schema *image_schema(const CommandContext *context)
{
    for (size_t i = 0; i < context->host->n_handlers; i++) {
        if (strcmp(context->host->handlers[i]->type, "image") == 0)
            return context->host->handlers[i]->args;
    }
    UNREACHABLE("the verbs of image are there without it");
}

static int sign_and_print(CommandContext *context, const UrlFlags *flags, Str key)
{
    AUTO(buf_deinit) Buf path = { 0 };
    AUTO(buf_deinit) Buf signature = { 0 };
    unsigned char mac[IMAGE_URL_MAC_BYTES];
    ImageSourceKind kind;
    ImageUrl url;
    Str source;
    int r = image_url_options(context->arena, image_schema(context), flags->options, &url);

    if (r == 0)
        r = image_url_source(context->arena, flags->source, &kind, &source);
    if (r < 0)
        return r;
    buf_add_char(&path, '/');
    url_encode(&path, flags->options, URL_PATH_SEGMENT);
    buf_add_char(&path, '/');
    if (kind == IMAGE_SOURCE_URL)
        base64_encode(&path, source, BASE64_URL);
    else
        url_encode(&path, source, URL_PATH_SEGMENT);
    image_url_mac(key, buf_str(&path), mac);
    base64_encode(&signature, str_from((char *) mac, sizeof(mac)), BASE64_URL);
    r = buf_check(&path);
    if (r == 0)
        (void) printf("%.*s/v1/images/%.*s%.*s\n", (int) flags->base.len, flags->base.data,
                      (int) signature.len, signature.data, (int) path.len, path.data);
    return r;
}

static int run_url(CommandContext *context)
{
    const UrlFlags *flags = context->flags;
    Str rest, hex = flags->key;
    char *key;

    if (!hex.len)
        hex = str_trim(str_cut(str_from_c(getenv("SLUICE_IMAGE_KEY")), '\n', &rest));
    if (hex.len < (size_t) IMAGE_URL_KEY_BYTES_MIN * 2)
        return fail(-ERR_USAGE, "image url needs the engine's key: --key, or SLUICE_IMAGE_KEY");
    key = arena_zalloc(context->arena, hex.len / 2 + 1);
    if (hex.len % 2 > 0 || hex_decode(hex, key) < 0)
        return fail(-ERR_USAGE, "the key is not hexadecimal");
    return sign_and_print(context, flags, str_from(key, hex.len / 2));
}

const CommandVerb image_verbs[] = {
    { .usage = "FILE... -o PATH [FLAGS]",
      .flags = &image_flags,
      .reads_words = true,
      .examples = "  $ sluice image in.jpg --width 320 -o out.webp\n"
                  "  $ sluice image photos/ --width 320 --format webp -o small/\n"
                  "  $ sluice image *.jpg --width 320 -o '{dir}/{name}-small.{ext}'\n"
                  "  $ sluice image --info in.jpg\n",
      .run = run_image },
    { .name = "url",
      .usage = "OPTIONS SOURCE [FLAGS]",
      .summary = "Prints the signed URL of a picture.",
      .details = "For engines whose settings have `images`; nothing is asked or fetched.",
      .examples = "  $ sluice image url w:320,f:webp https://img.example.com/cat.jpg\n",
      .flags = &url_flags,
      .run = run_url },
};
const size_t n_image_verbs = ARRAY_LEN(image_verbs) - 1;
