/*
 * JPEG to small pictures in one pass: see jpeg_scale.h.
 *
 * libjpeg reports a failure by not returning, so every call into it is made from a step that
 * `guarded` runs: the jump ends there, and whatever a step needs afterwards lives in the reader.
 *
 * Which fraction: what the decoder leaves out it leaves out as a plain mean of blocks, which blurs
 * and bends fine lines where little is left to Lanczos. A part that shrinks 12 times is decoded at
 * 1/8 and resampled by 1.5, or, where `careful` is asked for, at 1/4 and by 3. The measured
 * difference, in time and in decibels, is in docs/internals/image.md.
 */
#include "handlers/image/jpeg_scale.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/mem.h"
#include "handlers/image/resample.h"

#include <sluice/handler.h>

#include <jerror.h>
#include <jpeglib.h>
#include <setjmp.h>
#include <string.h>

#define FULL 8 /* eighths */

/* One picture that is made. */
typedef struct Target {
    Resampler *resampler;
    unsigned char *pixels; /* `kept` bytes for each */
    bool is_done;
} Target;

typedef struct Reader {
    struct jpeg_decompress_struct decoder;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    char words[JMSG_LENGTH_MAX]; /* why it ended */
    Task *task;
    const ImageSource *source;
    bool is_cancelled;
    bool is_done; /* every target is */
    int eighths;
    int channels; /* of a decoded pixel: 1 or 4 */
    int kept;     /* of a pixel that is made: 1, 3 or 4 */
    unsigned char *row;
    Target targets[LIMIT_IMAGE_OUTPUTS];
    size_t n_targets;
} Reader;

static Reader *reader_of(j_common_ptr decoder)
{
    return CONTAINER_OF(decoder, Reader, decoder);
}

static void on_error(j_common_ptr decoder)
{
    Reader *reader = reader_of(decoder);

    decoder->err->format_message(decoder, reader->words);
    longjmp(reader->escape, 1);
}

/* A warning (LEVEL -1): the decoder can go on with a guess. */
static void on_message(j_common_ptr decoder, int level)
{
    Reader *reader = reader_of(decoder);
    int code = decoder->err->msg_code;
    ImageFailOn grade = code == JWRN_JPEG_EOF     ? IMAGE_FAIL_TRUNCATED
                        : code == JWRN_HIT_MARKER ? IMAGE_FAIL_ERROR
                                                  : IMAGE_FAIL_WARNING;

    if (level < 0 && reader->source->fail_on >= grade)
        on_error(decoder);
}

static void stop(Reader *reader, const char *why)
{
    snprintf(reader->words, sizeof(reader->words), "%s", why);
    longjmp(reader->escape, 1);
}

/* Called for every row of blocks that is read: a file of many scans never gets to its pixels. */
static void on_progress(j_common_ptr decoder)
{
    Reader *reader = reader_of(decoder);

    if (reader->decoder.input_scan_number > LIMIT_IMAGE_SCANS)
        stop(reader, "it has more scans than are read");
    reader->is_cancelled = task_is_cancelled(reader->task);
    if (reader->is_cancelled)
        stop(reader, "stopped");
}

/* Run STEP; false when libjpeg gave up in it. */
static bool guarded(Reader *reader, void (*step)(Reader *reader))
{
    if (setjmp(reader->escape))
        return false;
    step(reader);
    return true;
}

static void reader_free(Reader *reader)
{
    jpeg_destroy_decompress(&reader->decoder);
    for (size_t i = 0; i < reader->n_targets; i++) {
        resampler_free(reader->targets[i].resampler);
        mem_free(reader->targets[i].pixels);
    }
    mem_free(reader->row);
    mem_free(reader);
}
DEFINE_AUTO(Reader *, reader_free);

static void step_start(Reader *reader)
{
    struct jpeg_decompress_struct *decoder = &reader->decoder;

    jpeg_create_decompress(decoder);
    decoder->progress = &reader->progress;
    jpeg_mem_src(decoder, (const unsigned char *) reader->source->bytes.data,
                 reader->source->bytes.len);
    jpeg_read_header(decoder, TRUE);
    decoder->scale_num = (unsigned) reader->eighths;
    decoder->scale_denom = FULL;
    if (decoder->jpeg_color_space == JCS_GRAYSCALE)
        decoder->out_color_space = JCS_GRAYSCALE;
    else if (decoder->num_components == 4)
        decoder->out_color_space = JCS_CMYK;
    else
        decoder->out_color_space = JCS_EXT_RGBX;
    reader->channels = decoder->jpeg_color_space == JCS_GRAYSCALE ? 1 : 4;
    reader->kept = decoder->out_color_space == JCS_EXT_RGBX ? 3 : reader->channels;
    jpeg_start_decompress(decoder);
}

static void step_rows(Reader *reader)
{
    struct jpeg_decompress_struct *decoder = &reader->decoder;
    JSAMPROW rows[1] = { reader->row };

    while (!reader->is_done && decoder->output_scanline < decoder->output_height) {
        if (decoder->output_scanline % LIMIT_IMAGE_ROWS == 0)
            on_progress((j_common_ptr) decoder);
        jpeg_read_scanlines(decoder, rows, 1);
        reader->is_done = true;
        for (size_t i = 0; i < reader->n_targets; i++) {
            Target *target = &reader->targets[i];

            target->is_done = target->is_done ||
                              resampler_push(target->resampler, reader->row, target->pixels);
            reader->is_done = reader->is_done && target->is_done;
        }
    }
}

/* A picture that is read to its end may still turn out to be cut off. */
static void step_finish(Reader *reader)
{
    if (reader->decoder.output_scanline == reader->decoder.output_height)
        jpeg_finish_decompress(&reader->decoder);
}

static int gave_up(const Reader *reader)
{
    if (reader->is_cancelled)
        return fail(-ECANCELED, "stopped while the picture was read");
    return fail(-ERR_UNREADABLE, "the picture cannot be read: %s", reader->words);
}

static int target_open(Reader *reader, const ImagePlan *plan)
{
    double scale = (double) reader->eighths / FULL;
    Target *target = &reader->targets[reader->n_targets++];
    ResampleSpec spec = {
        .source_width = (int) reader->decoder.output_width,
        .source_height = (int) reader->decoder.output_height,
        .left = plan->left * scale,
        .top = plan->top * scale,
        .width = plan->width * scale,
        .height = plan->height * scale,
        .out_width = plan->scaled_width,
        .out_height = plan->scaled_height,
        .channels = reader->channels,
        .kept = reader->kept,
    };
    size_t pixels = (size_t) plan->scaled_width * (size_t) plan->scaled_height;

    target->pixels = mem_try(pixels * (size_t) reader->kept);
    if (!target->pixels)
        return fail(-ENOMEM, "no memory for %d by %d pixels", plan->scaled_width,
                    plan->scaled_height);
    return resampler_new(&spec, &target->resampler);
}

/* Adobe's inks are stored the other way round. */
static void settle_inks(const Reader *reader, unsigned char *pixels, size_t n)
{
    if (reader->decoder.num_components != 4 || !reader->decoder.saw_Adobe_marker)
        return;
    for (size_t i = 0; i < 4 * n; i++)
        pixels[i] = (unsigned char) (255 - pixels[i]);
}

/* An image ends after everything that is made of it. */
static void on_end(VipsImage *image, void *pixels)
{
    (void) image;
    mem_free(pixels);
}

/* Give the image what later steps ask of the source: its profile. */
static void copy_profile(VipsImage *header, VipsImage *image)
{
    const void *bytes;
    size_t len;

    if (V(vips_image_get_typeof)(header, VIPS_META_ICC_NAME) &&
        !V(vips_image_get_blob)(header, VIPS_META_ICC_NAME, &bytes, &len))
        V(vips_image_set_blob_copy)(image, VIPS_META_ICC_NAME, bytes, len);
}

static int target_take(Reader *reader, const ImagePlan *plan, Target *target, VipsImage **ret_image)
{
    AUTO(image_unref) VipsImage *plain = NULL;
    size_t n = (size_t) plan->scaled_width * (size_t) plan->scaled_height;
    int channels = reader->kept;
    VipsInterpretation meaning = channels == 1   ? VIPS_INTERPRETATION_B_W
                                 : channels == 3 ? VIPS_INTERPRETATION_sRGB
                                                 : VIPS_INTERPRETATION_CMYK;
    VipsImage *image;

    settle_inks(reader, target->pixels, n);
    plain = V(vips_image_new_from_memory)(target->pixels, n * (size_t) channels, plan->scaled_width,
                                          plan->scaled_height, channels, VIPS_FORMAT_UCHAR);
    if (!plain)
        return image_vips_fail(-ENOMEM, "the picture");
    V(g_signal_connect_data)
    (plain, "postclose", (GCallback) on_end, TAKE(target->pixels), NULL, 0);
    if (V(vips_copy)(plain, &image, "interpretation", meaning, NULL))
        return image_vips_fail(-ENOMEM, "the picture");
    copy_profile(reader->source->header, image);
    *ret_image = image;
    return 0;
}

/* How much a part must shrink at least to be decoded at 1/FRACTION: something is left to Lanczos,
 * and the more the larger the output, whose edges show it. */
static double least_shrink(int fraction, bool is_careful)
{
    return is_careful ? 2.0 * fraction : fraction + 1.0;
}

/* The least fraction, in eighths, that leaves each of the PLANS enough. */
static int eighths_for(const ImagePlan *plans, size_t n, bool is_careful)
{
    double shrink = image_plan_shrink(&plans[0]);
    int fraction = 1;

    for (size_t i = 1; i < n; i++)
        shrink = MIN(shrink, image_plan_shrink(&plans[i]));
    while (fraction < FULL && least_shrink(2 * fraction, is_careful) <= shrink)
        fraction *= 2;
    return FULL / fraction;
}

bool image_jpeg_fits(const ImageSource *source)
{
    return source->format == IMAGE_JPEG && !source->is_linear && !source->keeps_metadata &&
           source->channel_bytes == 1 &&
           (source->channels == 1 || source->channels == 3 || source->channels == 4);
}

static int read_all(Reader *reader, const ImagePlan *plans, size_t n)
{
    int r;

    if (!guarded(reader, step_start))
        return gave_up(reader);
    reader->row = mem_try((size_t) reader->decoder.output_width * (size_t) reader->channels);
    if (!reader->row)
        return fail(-ENOMEM, "no memory for a row of %u pixels", reader->decoder.output_width);
    for (size_t i = 0; i < n; i++) {
        r = target_open(reader, &plans[i]);
        if (r < 0)
            return r;
    }
    if (!guarded(reader, step_rows) || !guarded(reader, step_finish))
        return gave_up(reader);
    return 0;
}

int image_jpeg_scale(Task *task, const ImageSource *source, const ImagePlan *plans, size_t n,
                     VipsImage **ret_images)
{
    AUTO(reader_free) Reader *reader = mem_new(Reader);
    int r;

    reader->task = task;
    reader->source = source;
    reader->eighths = eighths_for(plans, n, source->is_careful);
    reader->decoder.err = jpeg_std_error(&reader->errors);
    reader->errors.error_exit = on_error;
    reader->errors.emit_message = on_message;
    reader->progress.progress_monitor = on_progress;
    r = read_all(reader, plans, n);
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = target_take(reader, &plans[i], &reader->targets[i], &ret_images[i]);
        for (size_t k = 0; r < 0 && k < i; k++)
            image_replace(&ret_images[k], NULL);
    }
    return r;
}
