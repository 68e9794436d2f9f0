/*
 * The result of a run: see outcome.h.
 */
#include "handlers/image/outcome.h"

typedef struct ImageFacts {
    Str format;
    int64_t width, height;
    int64_t pages;
    int64_t orientation;
    int64_t channels;
    bool alpha;
    bool profile;
    bool interlaced;
    int64_t bytes;
    int64_t memory_bytes;
} ImageFacts;

typedef struct ImageResult {
    ImageFacts source;
    SchemaList outputs;
} ImageResult;

static const SchemaField facts_fields[] = {
    FIELD_STR(ImageFacts, format, "by its first bytes: jpeg, png, webp …", .is_required = true),
    FIELD_INT(ImageFacts, width, "pixels of the upright picture", .is_required = true),
    FIELD_INT(ImageFacts, height, "pixels of the upright picture", .is_required = true),
    FIELD_INT(ImageFacts, pages, "pages or frames", .is_required = true),
    FIELD_INT(ImageFacts, orientation, "EXIF's, 1 to 8; 1 is upright", .is_required = true),
    FIELD_INT(ImageFacts, channels, "channels of a pixel, alpha counted", .is_required = true),
    FIELD_BOOL(ImageFacts, alpha, "whether it can be transparent", .is_required = true),
    FIELD_BOOL(ImageFacts, profile, "whether it has a colour profile", .is_required = true),
    FIELD_BOOL(ImageFacts, interlaced, "whether it is progressive or interlaced",
               .is_required = true),
    FIELD_INT(ImageFacts, bytes, "bytes of the file", .is_required = true),
    FIELD_INT(ImageFacts, memory_bytes, "memory that decoding it at full size takes",
              .is_required = true),
};
static const Schema facts_schema = SCHEMA(ImageFacts, facts_fields, "What the source is.");

static const SchemaField written_fields[] = {
    FIELD_STR(ImageWritten, name, "as it was asked for, where there are several"),
    FIELD_STR(ImageWritten, format, "jpeg, png, webp or avif", .is_required = true),
    FIELD_INT(ImageWritten, width, "pixels", .is_required = true),
    FIELD_INT(ImageWritten, height, "pixels", .is_required = true),
    FIELD_INT(ImageWritten, frames, "frames, 1 for a still picture", .is_required = true),
    FIELD_INT(ImageWritten, bytes, "bytes of the file", .is_required = true),
};
static const Schema written_schema = SCHEMA(ImageWritten, written_fields, "An output.");
static const SchemaField written_item = ITEM(OBJECT, .schema = &written_schema);

static const SchemaField result_fields[] = {
    FIELD_OBJECT(ImageResult, source, &facts_schema, "what the source is", .is_required = true),
    FIELD_LIST(ImageResult, outputs, &written_item, "what was written, in the order asked for"),
};
static const Schema result_schema = SCHEMA(ImageResult, result_fields, "The result of image.");

const SchemaField image_result = ITEM(OBJECT, .schema = &result_schema,
                                      .summary = "what the source is, and what was written");

void image_outcome_write(JsonWriter *result, const ImageSource *source, int64_t cost_bytes,
                         const ImageWritten *written, size_t n)
{
    bool is_lying = source->orientation >= 5;
    ImageResult outcome = {
        .source = {
            .format = str_from_c(image_format_name(source->format)),
            .width = is_lying ? source->height : source->width,
            .height = is_lying ? source->width : source->height,
            .pages = source->pages,
            .orientation = source->orientation,
            .channels = source->channels,
            .alpha = source->has_alpha,
            .profile = source->has_profile,
            .interlaced = source->is_interlaced,
            .bytes = (int64_t) source->bytes.len,
            .memory_bytes = cost_bytes,
        },
        .outputs = { .items = (void *) written, .len = n },
    };

    schema_encode(result, &result_schema, &outcome);
}
