/*
 * The arguments of the handler as a table: see args.h.
 */
#include "handlers/image/args.h"

#include "base/limits.h"
#include "base/macro.h"

#define BASE64_BYTES_MAX (LIMIT_IMAGE_WATERMARK_BYTES / 3 * 4 + 4)

static const char *const fits[] = { "cover", "contain", "fill", "inside", "outside", NULL };
static const char *const gravities[] = { "northwest", "north",     "northeast", "west",
                                         "center",    "east",      "southwest", "south",
                                         "southeast", "attention", "entropy",   NULL };
static const char *const places[] = { "northwest", "north",     "northeast", "west",      "center",
                                      "east",      "southwest", "south",     "southeast", NULL };
static const char *const metadatas[] = { "none", "safe", "all", NULL };
static const char *const formats[] = { "auto", "jpeg", "png", "webp", "avif", NULL };
static const char *const damages[] = { "none", "truncated", "error", "warning", NULL };

/* A row of IMAGE_OPTION_FIELDS: MEMBER of ImageOptions, which stands at BASE in the struct. */
#define OPTION(Kind, type, base, member, text, ...)                                  \
    {                                                                                \
        .name = #member, .summary = (text), .kind = SCHEMA_##Kind,                   \
        .offset = (base) + SCHEMA_OFFSET_(ImageOptions, member, type), ##__VA_ARGS__ \
    }

#define IMAGE_OPTION_FIELDS(base)                                                                  \
    OPTION(INT, int64_t, base, width, "width in pixels; without it the height decides",            \
           .range = RANGE(1, LIMIT_IMAGE_OUT_SIDE)),                                               \
        OPTION(INT, int64_t, base, height, "height in pixels; without it the width decides",       \
               .range = RANGE(1, LIMIT_IMAGE_OUT_SIDE)),                                           \
        OPTION(REAL, double, base, dpr, "pixels of the screen for each pixel of width and height", \
               .real_range = REAL_RANGE(0.1, 8), .default_text = "1"),                             \
        OPTION(ENUM, int, base, fit,                                                               \
               "how it meets width and height: cover cuts, contain adds borders, fill distorts, "  \
               "inside and outside keep the shape and take the lesser or greater size",            \
               .names = fits, .default_text = "cover"),                                            \
        OPTION(ENUM, int, base, gravity,                                                           \
               "which part stays where cover cuts, and where contain puts it; attention and "      \
               "entropy look at the picture",                                                      \
               .names = gravities, .default_text = "center"),                                      \
        OPTION(STR, Str, base, crop,                                                               \
               "the part of the upright source to take first, in its pixels: left,top,width,"      \
               "height",                                                                           \
               .range = RANGE(0, 64), .holder = "L,T,W,H"),                                        \
        OPTION(BOOL, bool, base, enlarge, "make small pictures larger where the size asks it"),    \
        OPTION(INT, int64_t, base, rotate,                                                         \
               "degrees clockwise, after the source was put upright; what is not a right angle "   \
               "adds corners of background",                                                       \
               .range = RANGE(-359, 359), .default_text = "0"),                                    \
        OPTION(REAL, double, base, blur, "blur with this sigma, in pixels of the output",          \
               .real_range = REAL_RANGE(0, 100)),                                                  \
        OPTION(REAL, double, base, sharpen, "sharpen with this sigma, in pixels of the output",    \
               .real_range = REAL_RANGE(0, 10)),                                                   \
        OPTION(BOOL, bool, base, flatten, "put it on the background; JPEG always is"),             \
        OPTION(STR, Str, base, background, "the colour behind, in hexadecimal: rrggbb",            \
               .pattern = SCHEMA_HEX, .range = RANGE(6, 6), .default_text = "ffffff"),             \
        OPTION(STR, Str, base, watermark, "a picture to lay over it, as Base64",                   \
               .pattern = SCHEMA_BASE64, .range = RANGE(0, BASE64_BYTES_MAX)),                     \
        OPTION(ENUM, int, base, watermark_gravity, "where the watermark lies", .names = places,    \
               .default_text = "southeast"),                                                       \
        OPTION(REAL, double, base, watermark_opacity, "how much the watermark covers",             \
               .real_range = REAL_RANGE(0, 1), .default_text = "1"),                               \
        OPTION(ENUM, int, base, metadata,                                                          \
               "what is kept of EXIF and the like: none, safe (all but the place and what may "    \
               "hide it), or all",                                                                 \
               .names = metadatas, .default_text = "none"),                                        \
        OPTION(BOOL, bool, base, icc, "turn colours into sRGB; otherwise the profile goes along",  \
               .default_text = "true"),                                                            \
        OPTION(ENUM, int, base, format, "what to write; auto goes by accept and by the source",    \
               .names = formats, .default_text = "auto"),                                          \
        OPTION(INT, int64_t, base, quality,                                                        \
               "of JPEG, WebP and AVIF; without it 80, and 50 for AVIF", .range = RANGE(1, 100),   \
               .absent = -1),                                                                      \
        OPTION(                                                                                    \
            INT, int64_t, base, effort,                                                            \
            "time spent on a smaller file, from 0 to 10; without it what the format is used to",   \
            .range = RANGE(0, 10), .absent = -1),                                                  \
        OPTION(BOOL, bool, base, progressive, "JPEG in several scans, PNG interlaced"),            \
        OPTION(BOOL, bool, base, lossless, "WebP and AVIF without loss")

static const SchemaField output_fields[] = {
    FIELD_STR(ImageOptions, name, "what the output is called", .range = RANGE(1, 64),
              .pattern = SCHEMA_QUEUE_NAME, .is_required = true),
    IMAGE_OPTION_FIELDS(0),
};
static const Schema output_schema = SCHEMA(ImageOptions, output_fields, "One output.");
static const SchemaField output_item = ITEM(OBJECT, .schema = &output_schema);

static const SchemaField args_fields[] = {
    IMAGE_OPTION_FIELDS(offsetof(ImageArgs, options)),
    FIELD_LIST(ImageArgs, outputs, &output_item,
               "several outputs of one source, each with its own options; what one leaves out it "
               "takes from what stands beside them",
               .inherits = true, .range = RANGE(0, LIMIT_IMAGE_OUTPUTS)),
    FIELD_STR(ImageArgs, accept, "the formats that the reader takes, as in the header Accept",
              .range = RANGE(0, 4096)),
    FIELD_BOOL(ImageArgs, orient, "put it upright, as its EXIF says", .default_text = "true"),
    FIELD_BOOL(ImageArgs, animated, "keep all frames; the output is WebP"),
    FIELD_INT(ImageArgs, page, "which page or frame, from 0", .range = RANGE(0, 100000),
              .default_text = "0"),
    FIELD_BOOL(ImageArgs, careful,
               "decode a JPEG at twice the wanted size or more before the last step: finer lines, "
               "a quarter more time"),
    FIELD_BOOL(ImageArgs, linear,
               "scale in linear light: fine patterns keep their brightness, more time"),
    FIELD_BOOL(ImageArgs, vector,
               "take SVG and PDF too, where the operator lets it: images.vector"),
    FIELD_ENUM(ImageArgs, fail_on, damages,
               "what a damaged source is refused for: nothing, being cut off, errors, or anything",
               .default_text = "truncated"),
    FIELD_BOOL(ImageArgs, info, "write nothing, only tell what it is"),
    FIELD_STR(ImageArgs, source,
              "of a job: the URL of the picture, or its path below the operator's folder for jobs",
              .range = RANGE(0, 8192), .holder = "PLACE"),
    FIELD_STR(
        ImageArgs, destination,
        "of a job: where outputs go, a URL that takes PUT or such a path; {name} in it is the "
        "output's name",
        .range = RANGE(0, 8192), .holder = "PLACE"),
};

const Schema image_args = SCHEMA(ImageArgs, args_fields, "Arguments of image.");
