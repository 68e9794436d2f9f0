/*
 * Which picture the bytes are: see format.h.
 *
 * SVG has no magic number: it is text whose first element is svg, after a byte order mark, white
 * space, comments, a declaration and a doctype. Only the first SVG_HEAD bytes are looked at.
 */
#include "handlers/image/format.h"

#include "base/macro.h"
#include "base/text.h"

#define SVG_HEAD 2048

static const struct {
    const char *name;
    const char *media_type;
} formats[] = {
    [IMAGE_UNKNOWN] = { "unknown", "application/octet-stream" },
    [IMAGE_JPEG] = { "jpeg", "image/jpeg" },
    [IMAGE_PNG] = { "png", "image/png" },
    [IMAGE_WEBP] = { "webp", "image/webp" },
    [IMAGE_AVIF] = { "avif", "image/avif" },
    [IMAGE_HEIC] = { "heic", "image/heic" },
    [IMAGE_GIF] = { "gif", "image/gif" },
    [IMAGE_TIFF] = { "tiff", "image/tiff" },
    [IMAGE_SVG] = { "svg", "image/svg+xml" },
    [IMAGE_PDF] = { "pdf", "application/pdf" },
};

/* X(offset, bytes, format): the first that fits. */
#define MAGICS(X)                        \
    X(0, "\xff\xd8\xff", IMAGE_JPEG)     \
    X(0, "\x89PNG\r\n\x1a\n", IMAGE_PNG) \
    X(0, "GIF87a", IMAGE_GIF)            \
    X(0, "GIF89a", IMAGE_GIF)            \
    X(0, "II*\0", IMAGE_TIFF)            \
    X(0, "MM\0*", IMAGE_TIFF)            \
    X(0, "II+\0", IMAGE_TIFF)            \
    X(0, "MM\0+", IMAGE_TIFF)            \
    X(0, "%PDF-", IMAGE_PDF)             \
    X(8, "WEBPVP8", IMAGE_WEBP)          \
    X(4, "ftypavif", IMAGE_AVIF)         \
    X(4, "ftypavis", IMAGE_AVIF)         \
    X(4, "ftypheic", IMAGE_HEIC)         \
    X(4, "ftypheix", IMAGE_HEIC)         \
    X(4, "ftyphevc", IMAGE_HEIC)         \
    X(4, "ftypheim", IMAGE_HEIC)         \
    X(4, "ftypheis", IMAGE_HEIC)         \
    X(4, "ftypmsf1", IMAGE_HEIC)

static const struct {
    size_t offset;
    Str magic;
    ImageFormat format;
} magics[] = {
#define MAGIC_ROW(at, text, what) { (at), STR(text), (what) },
    MAGICS(MAGIC_ROW)
#undef MAGIC_ROW
};

/* The generic brand of HEIF says nothing of the codec; the brands that follow do. */
static ImageFormat sniff_mif1(Str bytes)
{
    static const Str generic = STR("ftypmif1");
    static const Str avif = STR("avif");

    if (!str_eq(str_sub(bytes, 4, generic.len), generic))
        return IMAGE_UNKNOWN;
    return str_contains(str_sub(bytes, 16, 32), avif) ? IMAGE_AVIF : IMAGE_HEIC;
}

/* S behind the END that closes what it begins with; empty where there is none. */
static Str skip_past(Str s, Str end)
{
    for (size_t i = 0; i + end.len <= s.len; i++)
        if (str_eq(str_sub(s, i, end.len), end))
            return str_sub(s, i + end.len, s.len);
    return str_from(NULL, 0);
}

/* S behind the doctype that it begins with, whose own part stands in brackets. */
static Str skip_doctype(Str s)
{
    static const Str end = STR(">"), inner_end = STR("]>");
    size_t i = 0;

    while (i < s.len && s.data[i] != '>' && s.data[i] != '[')
        i++;
    return i < s.len && s.data[i] == '[' ? skip_past(s, inner_end) : skip_past(s, end);
}

static bool is_svg(Str bytes)
{
    static const Str bom = STR("\xef\xbb\xbf");
    static const Str comment = STR("<!--"), comment_end = STR("-->");
    static const Str mark = STR("<?"), doctype = STR("<!"), end = STR(">"), svg = STR("<svg");
    Str s = str_sub(bytes, 0, SVG_HEAD);

    if (str_starts(s, bom))
        s = str_sub(s, bom.len, s.len);
    for (;;) {
        s = str_trim(s);
        if (str_starts(s, comment))
            s = skip_past(str_sub(s, comment.len, s.len), comment_end);
        else if (str_starts(s, mark))
            s = skip_past(s, end);
        else if (str_starts(s, doctype))
            s = skip_doctype(s);
        else
            return str_starts(s, svg);
    }
}

ImageFormat image_sniff(Str bytes)
{
    ImageFormat format;

    for (size_t i = 0; i < ARRAY_LEN(magics); i++)
        if (str_eq(str_sub(bytes, magics[i].offset, magics[i].magic.len), magics[i].magic))
            return magics[i].format;
    format = sniff_mif1(bytes);
    if (format != IMAGE_UNKNOWN)
        return format;
    return is_svg(bytes) ? IMAGE_SVG : IMAGE_UNKNOWN;
}

const char *image_format_name(ImageFormat format)
{
    return formats[format].name;
}

const char *image_media_type(ImageFormat format)
{
    return formats[format].media_type;
}

bool image_format_of_place(Str place, ImageFormat *ret_format)
{
    static const struct {
        const char *end;
        ImageFormat format;
    } ends[] = { { ".jpg", IMAGE_JPEG },
                 { ".jpeg", IMAGE_JPEG },
                 { ".png", IMAGE_PNG },
                 { ".webp", IMAGE_WEBP },
                 { ".avif", IMAGE_AVIF } };
    Str rest, path = str_cut(place, '?', &rest);

    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        Str end = str_from_c(ends[i].end);

        if (path.len > end.len && str_eq_nocase(str_sub(path, path.len - end.len, end.len), end)) {
            *ret_format = ends[i].format;
            return true;
        }
    }
    return false;
}

/* Whether PARAMS of a media range give it the weight nought: "q=0", "q=0.000". */
static bool is_refused(Str params)
{
    while (params.len > 0) {
        Str param = str_trim(str_cut(params, ';', &params));

        if (param.len < 3 || (param.data[0] | 32) != 'q' || param.data[1] != '=')
            continue;
        for (size_t i = 2; i < param.len; i++)
            if (param.data[i] != '0' && param.data[i] != '.')
                return false;
        return true;
    }
    return false;
}

/* Whether ACCEPT names FORMAT. */
static bool accepts(Str accept, ImageFormat format)
{
    while (accept.len > 0) {
        Str params = { 0 };
        Str range = str_trim(str_cut(str_cut(accept, ',', &accept), ';', &params));

        if (str_eq_nocase(range, str_from_c(image_media_type(format))))
            return !is_refused(params);
    }
    return false;
}

ImageFormat image_format_choose(ImageFormat source, Str accept, bool has_alpha, bool moves)
{
    bool is_written = source == IMAGE_JPEG || source == IMAGE_PNG || source == IMAGE_WEBP ||
                      source == IMAGE_AVIF;

    if (moves || accepts(accept, IMAGE_WEBP))
        return IMAGE_WEBP;
    if (accepts(accept, IMAGE_AVIF))
        return IMAGE_AVIF;
    if (is_written && (accept.len == 0 || source == IMAGE_JPEG || source == IMAGE_PNG))
        return source;
    return has_alpha || source == IMAGE_GIF || source == IMAGE_SVG ? IMAGE_PNG : IMAGE_JPEG;
}
