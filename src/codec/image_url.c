/*
 * Image URLs; see the header.
 *
 * The options become the JSON of the handler's arguments with each value written as its field's
 * kind wants it, and the schema has the last word when it is decoded. A value that cannot be of the
 * kind is written as a string, of which the schema then complains by name.
 */
#include "codec/image_url.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/text.h"
#include "codec/base64.h"
#include "codec/hex.h"
#include "codec/url.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

/* ---- options --------------------------------------------------------------------------------- */

static const struct {
    const char *word;
    const char *name;
} short_names[] = {
    { "w", "width" },        { "h", "height" },      { "c", "crop" },     { "g", "gravity" },
    { "f", "format" },       { "ext", "format" },    { "q", "quality" },  { "bl", "blur" },
    { "sh", "sharpen" },     { "bg", "background" }, { "el", "enlarge" }, { "rot", "rotate" },
    { "pr", "progressive" }, { "ar", "orient" },     { "pg", "page" },
};

/* What the door or the operator says, and what makes other answers than one picture. */
static const char *const kept_names[] = { "accept", "name",        "outputs",  "vector",
                                          "source", "destination", "watermark" };

static const SchemaField *find_field(const Schema *schema, Str word)
{
    for (size_t i = 0; i < ARRAY_LEN(short_names); i++) {
        if (str_eq_c(word, short_names[i].word))
            word = str_from_c(short_names[i].name);
    }
    for (size_t i = 0; i < ARRAY_LEN(kept_names); i++) {
        if (str_eq_c(word, kept_names[i]))
            return NULL;
    }
    for (size_t i = 0; i < schema->n_fields; i++) {
        const SchemaField *field = &schema->fields[i];

        if (str_eq_c(word, field->name))
            return field;
    }
    return NULL;
}

/* "f:jpg" is what people write. */
static Str value_of(const SchemaField *field, Str value)
{
    bool has_jpeg = false;

    for (size_t i = 0; field->names && field->names[i]; i++)
        has_jpeg = has_jpeg || strcmp(field->names[i], "jpeg") == 0;
    return has_jpeg && str_eq_c(value, "jpg") ? str_from_c("jpeg") : value;
}

static void write_text(Arena *arena, JsonWriter *out, Str value)
{
    char *text = arena_copy_c(arena, value);

    for (size_t i = 0; i < value.len; i++) {
        if (text[i] == ':')
            text[i] = ',';
    }
    json_write_str(out, str_from(text, value.len));
}

static int write_value(Arena *arena, JsonWriter *out, const SchemaField *field, Str value,
                       bool has_value)
{
    bool is_true = !has_value || str_eq_c(value, "1") || str_eq_c(value, "true");
    JsonDoc doc;

    switch (field->kind) {
    case SCHEMA_BOOL:
        if (is_true || str_eq_c(value, "0") || str_eq_c(value, "false"))
            json_write_bool(out, is_true);
        else
            json_write_str(out, value);
        return 0;
    case SCHEMA_INT:
    case SCHEMA_REAL:
        if (value.len < 32 && json_parse(arena, value, &doc) == 0)
            json_write_raw(out, value);
        else
            json_write_str(out, value);
        return 0;
    case SCHEMA_STR:
    case SCHEMA_ENUM:
    case SCHEMA_DURATION:
    case SCHEMA_TIME:
    case SCHEMA_URL: write_text(arena, out, value_of(field, value)); return 0;
    case SCHEMA_LIST:
    case SCHEMA_MAP:
    case SCHEMA_OBJECT:
    case SCHEMA_JSON: break;
    }
    return fail(-ERR_INVALID, "options: %s cannot be said in a URL", field->name);
}

static int read_option(Arena *arena, const Schema *schema, Str option, JsonWriter *out,
                       uint64_t *seen, ImageUrl *url)
{
    Str value, word = str_cut(option, ':', &value);
    bool has_value = word.len < option.len;
    const SchemaField *field;
    uint64_t bit;

    if (str_eq_c(word, "exp")) {
        if (url->expires_s > 0 || str_to_i64(value, 1, INT64_MAX / 1000, &url->expires_s) < 0)
            return fail(-ERR_INVALID, "options: exp is one time in seconds since 1970");
        return 0;
    }
    field = find_field(schema, word);
    if (!field)
        return fail(-ERR_INVALID, "options: there is no option \"%.*s\" in a URL",
                    (int) MIN(word.len, (size_t) 40), word.data);
    bit = UINT64_C(1) << (field - schema->fields);
    if (*seen & bit)
        return fail(-ERR_INVALID, "options: %s stands there twice", field->name);
    *seen |= bit;
    json_write_key(out, field->name);
    return write_value(arena, out, field, value, has_value);
}

int image_url_options(Arena *arena, const Schema *schema, Str options, ImageUrl *ret_url)
{
    AUTO(buf_deinit) Buf text = { 0 };
    JsonWriter out = JSON_WRITER(&text);
    uint64_t seen = 0;
    Str rest = str_eq_c(options, "-") ? str_from(NULL, 0) : options;

    ASSERT(schema->n_fields <= SCHEMA_FIELDS_MAX);
    *ret_url = (ImageUrl){ 0 };
    if (options.len > LIMIT_IMAGE_URL_BYTES)
        return fail(-ERR_INVALID, "options: longer than %d bytes", LIMIT_IMAGE_URL_BYTES);
    json_write_object(&out);
    while (rest.len > 0) {
        Str option = str_cut(rest, ',', &rest);
        int r = option.len ? read_option(arena, schema, option, &out, &seen, ret_url) : 0;

        if (r < 0)
            return r;
    }
    json_write_object_end(&out);
    ret_url->args = arena_copy(arena, buf_str(&text));
    return buf_check(&text);
}

/* ---- sources --------------------------------------------------------------------------------- */

static bool is_clean(Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char) text.data[i];

        if (c <= ' ' || c == 0x7f || c == '\\')
            return false;
    }
    return true;
}

static bool is_http(Str text)
{
    return str_starts(text, str_from_c("http://")) || str_starts(text, str_from_c("https://"));
}

/* The URL behind base64url, or nothing. */
static bool unwrap_url(Arena *arena, Str text, Str *ret_url)
{
    size_t room = base64_decoded_bytes_max(text.len);
    char *bytes = arena_try(arena, room + 1);
    ssize_t n;

    if (!bytes)
        return false;
    while (text.len > 0 && text.data[text.len - 1] == '=')
        text.len--;
    n = base64_decode(text, BASE64_URL, bytes);
    if (n <= 0 || !is_http(str_from(bytes, (size_t) n)))
        return false;
    *ret_url = str_from(bytes, (size_t) n);
    return true;
}

/* Hidden files are nobody's pictures; ".." begins with a dot too. */
static bool is_path(Str text)
{
    Str rest = text, segment;

    if (text.len == 0 || text.data[0] == '/' || text.data[text.len - 1] == '/')
        return false;
    while (rest.len > 0) {
        segment = str_cut(rest, '/', &rest);
        if (segment.len == 0 || segment.data[0] == '.')
            return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char) text.data[i] < ' ' || text.data[i] == '\\')
            return false;
    }
    return true;
}

int image_url_source(Arena *arena, Str text, ImageSourceKind *ret_kind, Str *ret_source)
{
    Url url;

    *ret_source = text;
    *ret_kind = IMAGE_SOURCE_URL;
    if (text.len > LIMIT_IMAGE_URL_BYTES)
        return fail(-ERR_INVALID, "source: longer than %d bytes", LIMIT_IMAGE_URL_BYTES);
    if (is_http(text) || unwrap_url(arena, text, ret_source)) {
        if (!is_clean(*ret_source) || !str_is_utf8(*ret_source) || url_parse(*ret_source, &url) < 0)
            return fail(-ERR_INVALID, "source: not a valid URL");
        return 0;
    }
    *ret_kind = IMAGE_SOURCE_PATH;
    if (!is_path(text))
        return fail(-ERR_INVALID, "source: neither an absolute http or https URL (percent-encoded "
                                  "or in base64url) nor a path below the folder");
    return 0;
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* Take the next byte of PATH, percent-decoded. */
static char next_byte(Str *path)
{
    int high, low;
    char c = path->data[0];

    if (c == '%' && path->len >= 3) {
        high = hex_digit(path->data[1]);
        low = hex_digit(path->data[2]);
        if (high >= 0 && low >= 0) {
            *path = str_sub(*path, 3, path->len);
            return (char) (high << 4 | low);
        }
    }
    *path = str_sub(*path, 1, path->len);
    return c;
}

/* Whether a segment of PATH is "." or "..", however it and its slashes are written. */
static bool leads_up(Str path)
{
    bool is_dots = true;
    size_t len = 0;

    while (path.len > 0) {
        char c = next_byte(&path);

        if (c == '/' || c == '\\') {
            if (is_dots && (len == 1 || len == 2))
                return true;
            is_dots = true;
            len = 0;
            continue;
        }
        is_dots = is_dots && c == '.';
        len++;
    }
    return is_dots && (len == 1 || len == 2);
}

static bool host_fits(Str rule, Str host)
{
    if (str_starts(rule, str_from_c("*."))) {
        Str suffix = str_sub(rule, 1, rule.len);

        return host.len > suffix.len &&
               str_eq_nocase(str_sub(host, host.len - suffix.len, suffix.len), suffix);
    }
    return str_eq_nocase(rule, host);
}

static bool path_fits(Str rule, Str path)
{
    if (rule.len > 0 && rule.data[rule.len - 1] == '/')
        rule.len--;
    return rule.len == 0 ||
           (str_starts(path, rule) && (path.len == rule.len || path.data[rule.len] == '/'));
}

/* A rule as a URL, of which the scheme counts where HAS_SCHEME says so. */
static int rule_parse(Str rule, char room[static LIMIT_IMAGE_RULE_BYTES + 8], bool *has_scheme,
                      Url *ret_url)
{
    if (rule.len == 0 || rule.len > LIMIT_IMAGE_RULE_BYTES || !is_clean(rule))
        return fail(-ERR_INVALID, "a source is the beginning of a URL of at most %d bytes",
                    LIMIT_IMAGE_RULE_BYTES);
    *has_scheme = str_contains(rule, str_from_c("://"));
    memcpy(room, "http://", 7);
    memcpy(room + 7, rule.data, rule.len);
    return url_parse(*has_scheme ? rule : str_from(room, rule.len + 7), ret_url);
}

bool image_url_fits(Str rule, Str text)
{
    char room[LIMIT_IMAGE_RULE_BYTES + 8];
    bool has_scheme;
    Url want, url;

    if (!is_clean(text) || rule_parse(rule, room, &has_scheme, &want) < 0 ||
        url_parse(text, &url) < 0)
        return false;
    if (url.userinfo.len > 0 || leads_up(url.path))
        return false;
    if (has_scheme && want.is_https != url.is_https)
        return false;
    if (has_scheme || want.has_port ? want.port != url.port : url.has_port)
        return false;
    return host_fits(want.host, url.host) && path_fits(want.path, url.path);
}

int image_url_rule_check(Str rule)
{
    char room[LIMIT_IMAGE_RULE_BYTES + 8];
    bool has_scheme;
    Url url;
    int r = rule_parse(rule, room, &has_scheme, &url);

    if (r < 0)
        return r;
    if (url.userinfo.len > 0 || url.query.len > 0 || leads_up(url.path))
        return fail(-ERR_INVALID, "a source has neither user nor query, and no way up");
    return 0;
}

/* ---- signatures ------------------------------------------------------------------------------ */

void image_url_mac(Str key, Str text, unsigned char out[static IMAGE_URL_MAC_BYTES])
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    ASSERT(HMAC(EVP_sha256(), key.data, (int) key.len, (const unsigned char *) text.data, text.len,
                mac, &len) != NULL);
    ASSERT(len == IMAGE_URL_MAC_BYTES);
    memcpy(out, mac, IMAGE_URL_MAC_BYTES);
}

bool image_url_is_signed(Str key, Str text, Str signature)
{
    unsigned char mac[IMAGE_URL_MAC_BYTES], given[48] = { 0 };
    ssize_t n;

    while (signature.len > 0 && signature.data[signature.len - 1] == '=')
        signature.len--;
    if (base64_decoded_bytes_max(signature.len) > sizeof(given))
        return false;
    n = base64_decode(signature, BASE64_URL, given);
    if (n < IMAGE_URL_MAC_BYTES_MIN || n > IMAGE_URL_MAC_BYTES)
        return false;
    image_url_mac(key, text, mac);
    return CRYPTO_memcmp(mac, given, (size_t) n) == 0;
}
