/*
 * image: a picture in other sizes, shapes and formats.
 *
 * Bytes in, bytes out: the input of the task is the picture, its outputs are what was asked for.
 * Nothing is read from or written to anywhere else, so it runs in a box, where hostile bytes can
 * do no more than end that box.
 *
 *   source.h       what the bytes are, by their header; limits, before anything is decoded
 *   plan.h         which part, how large, cut and placed how: numbers only
 *   stock.h        decoding once for all outputs, at the least size that is enough
 *     jpeg_scale.h     the road of JPEG, in one pass over its rows
 *   finish.h       colours, turning, cutting, effects
 *   encode.h       writing
 *
 * docs/internals/image.md has the measurements behind the roads.
 */
#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/macro.h"
#include "codec/base64.h"
#include "handlers/image/carry.h"
#include "handlers/image/encode.h"
#include "handlers/image/finish.h"
#include "handlers/image/outcome.h"
#include "handlers/image/stock.h"
#include "handlers/image/warm.h"

#include <sluice/handler.h>

/* Bytes of memory for a pixel of an output while it is encoded, by format. */
#define OUT_COST      12
#define OUT_COST_AVIF 40

/* Everything of one run. */
typedef struct Run {
    Task *task;
    const ImageArgs *args;
    ImageSource source;
    size_t n;
    const ImageOptions *options[LIMIT_IMAGE_OUTPUTS];
    ImagePlan plans[LIMIT_IMAGE_OUTPUTS];
    ImageFormat formats[LIMIT_IMAGE_OUTPUTS];
    ImageWritten written[LIMIT_IMAGE_OUTPUTS];
} Run;

static ImageFormat format_of(const Run *run, const ImageOptions *options)
{
    static const ImageFormat words[] = {
        [IMAGE_WANT_JPEG] = IMAGE_JPEG,
        [IMAGE_WANT_PNG] = IMAGE_PNG,
        [IMAGE_WANT_WEBP] = IMAGE_WEBP,
        [IMAGE_WANT_AVIF] = IMAGE_AVIF,
    };
    bool has_alpha = run->source.has_alpha && !options->flatten;
    ImageFormat format;

    if (options->format != IMAGE_WANT_AUTO)
        return words[options->format];
    if (image_format_of_place(run->args->destination, &format))
        return format;
    return image_format_choose(run->source.format, run->args->accept, has_alpha,
                               run->source.frames > 1);
}

/* Plan every output, and ask for the memory that all of it takes. */
static int plan_all(Run *run)
{
    int64_t cost, frames = run->source.frames;
    double shrink = 1e9;
    bool is_vector = run->source.format == IMAGE_SVG || run->source.format == IMAGE_PDF;
    int64_t outputs = 0;
    int orientation = run->args->orient ? run->source.orientation : 1, r;

    for (size_t i = 0; i < run->n; i++) {
        ImagePlan *plan = &run->plans[i];
        int64_t pixels;

        r = image_plan(run->options[i], run->source.width, run->source.height, orientation,
                       is_vector, plan);
        if (r < 0)
            return r;
        run->formats[i] = format_of(run, run->options[i]);
        pixels = (int64_t) plan->canvas_width * plan->canvas_height * frames;
        if (frames > 1 && run->formats[i] != IMAGE_WEBP)
            return fail(-ERR_INVALID, "animated: frames can be kept in webp only, not in %s",
                        image_format_name(run->formats[i]));
        if (pixels > LIMIT_IMAGE_OUT_PIXELS)
            return fail(-ERR_UNREADABLE,
                        "the result would have %lld frames of %d by %d pixels; it may have %d "
                        "million pixels in all",
                        (long long) frames, plan->canvas_width, plan->canvas_height,
                        LIMIT_IMAGE_OUT_PIXELS / 1000000);
        outputs = MAX(outputs, pixels * (run->formats[i] == IMAGE_AVIF ? OUT_COST_AVIF : OUT_COST));
        shrink = MIN(shrink, image_plan_shrink(plan));
    }
    cost = image_source_cost(&run->source, shrink) + outputs;
    if (run->n > 1 && run->source.format != IMAGE_JPEG)
        cost += (int64_t) run->source.width * run->source.height * run->source.channels *
                run->source.channel_bytes;
    return task_reserve(run->task, cost);
}

/* The picture that is laid over output I, ready to be; NULL where none is wanted. */
static int watermark_open(const Run *run, size_t i, VipsImage **ret_image)
{
    AUTO(image_source_free) ImageSource source = { 0 };
    AUTO(image_unref) VipsImage *image = NULL;
    const ImageArgs plain = { .fail_on = IMAGE_FAIL_TRUNCATED };
    Str text = run->options[i]->watermark;
    unsigned char *bytes;
    VipsImage *out;
    ssize_t len;
    int r;

    if (text.len == 0)
        return 0;
    bytes = arena_try(run->task->arena, base64_decoded_bytes_max(text.len));
    if (!bytes)
        return fail(-ENOMEM, "no memory for the watermark");
    len = base64_decode(text, BASE64_STANDARD, bytes);
    if (len < 0)
        return wrap((int) len, "watermark");
    r = image_source_open(str_from((char *) bytes, (size_t) len), &plain, &source);
    if (r < 0)
        return wrap(r, "watermark");
    if ((int64_t) source.width * source.height > LIMIT_IMAGE_WATERMARK_PIXELS)
        return fail(-ERR_UNREADABLE, "watermark: it has %d by %d pixels; it may have %d million",
                    source.width, source.height, LIMIT_IMAGE_WATERMARK_PIXELS / 1000000);
    r = image_source_load(&source, 1.0, &image);
    if (r == 0)
        r = image_to_srgb(true, &image);
    if (r < 0)
        return wrap(r, "watermark");
    if (V(vips_image_get_bands)(image) < 3) {
        if (V(vips_colourspace)(image, &out, VIPS_INTERPRETATION_sRGB, NULL))
            return image_vips_fail(-ERR_UNREADABLE, "watermark");
        image_replace(&image, out);
    }
    if (!V(vips_image_hasalpha)(image)) {
        if (V(vips_addalpha)(image, &out, NULL))
            return image_vips_fail(-ERR_UNREADABLE, "watermark");
        image_replace(&image, out);
    }
    *ret_image = V(vips_image_copy_memory)(image);
    return *ret_image ? 0 : image_vips_fail(-ERR_UNREADABLE, "watermark");
}

/* libvips asks now and then while pixels are made. */
static void on_eval(VipsImage *image, VipsProgress *progress, void *task)
{
    (void) progress;
    if (task_is_cancelled(task))
        V(vips_image_set_kill)(image, TRUE);
}

/* Frame K of output I. Of several each is made before the next, so that what it takes to make one
 * is taken once. */
static int frame_make(Run *run, ImageStock *stock, size_t i, int k, const ImageFinish *finish,
                      VipsImage **ret_image)
{
    AUTO(image_unref) VipsImage *image = NULL;
    int r = image_stock_take(stock, i, k, &image);

    if (r == 0)
        r = image_finish(finish, &image);
    if (r == 0 && run->source.frames > 1) {
        VipsImage *held = V(vips_image_copy_memory)(image);

        if (!held)
            return image_vips_fail(-ERR_UNREADABLE, "frames");
        image_replace(&image, held);
    }
    if (r < 0)
        return r;
    *ret_image = TAKE(image);
    return 0;
}

/* The frames of output I, one below the other where there are several. */
static int frames_make(Run *run, ImageStock *stock, size_t i, const ImageFinish *finish,
                       VipsImage **ret_image)
{
    size_t n = (size_t) run->source.frames;
    VipsImage **frames = arena_try(run->task->arena, n * sizeof(*frames));
    size_t made = 0;
    int r = 0;

    if (!frames)
        return fail(-ENOMEM, "no memory for %zu frames", n);
    for (; r == 0 && made < n; made++) {
        frames[made] = NULL;
        r = frame_make(run, stock, i, (int) made, finish, &frames[made]);
        if (r == 0 && task_is_cancelled(run->task))
            r = fail(-ECANCELED, "stopped at frame %zu of %zu", made, n);
    }
    if (r == 0 && n == 1)
        *ret_image = TAKE(frames[0]);
    else if (r == 0 && V(vips_arrayjoin)(frames, ret_image, (int) n, "across", 1, NULL))
        r = image_vips_fail(-ERR_UNREADABLE, "frames");
    for (size_t k = 0; k < made; k++)
        image_replace(&frames[k], NULL);
    return r;
}

static int deliver_output(Run *run, size_t i, VipsImage *image, const ImageEncoded *encoded)
{
    const ImageOptions *options = run->options[i];
    const char *name = options->name.len > 0 ? arena_copy_c(run->task->arena, options->name) : NULL;
    unsigned char *room;
    int r = task_output(run->task, name, image_media_type(run->formats[i]), encoded->len, &room);

    if (r < 0)
        return r;
    memcpy(room, encoded->bytes, encoded->len);
    run->written[i] = (ImageWritten){
        .name = options->name,
        .format = str_from_c(image_format_name(run->formats[i])),
        .width = V(vips_image_get_width)(image),
        .height = V(vips_image_get_height)(image) / run->source.frames,
        .frames = run->source.frames,
        .bytes = (int64_t) encoded->len,
    };
    return 0;
}

static int output_make(Run *run, ImageStock *stock, size_t i)
{
    AUTO(image_unref) VipsImage *watermark = NULL;
    AUTO(image_unref) VipsImage *image = NULL;
    AUTO(image_encoded_free) ImageEncoded encoded = { 0 };
    ImageFinish finish = {
        .options = run->options[i],
        .plan = &run->plans[i],
        .is_flat = run->formats[i] == IMAGE_JPEG || run->options[i]->flatten,
    };
    int r = watermark_open(run, i, &watermark);

    finish.watermark = watermark;
    if (r == 0)
        r = frames_make(run, stock, i, &finish, &image);
    if (r == 0)
        r = image_metadata_trim(run->options[i], &image);
    if (r < 0)
        return r;
    if (run->source.frames > 1)
        V(vips_image_set_int)
    (image, VIPS_META_PAGE_HEIGHT, V(vips_image_get_height)(image) / run->source.frames);
    V(vips_image_set_progress)(image, TRUE);
    V(g_signal_connect_data)(image, "eval", (GCallback) on_eval, run->task, NULL, 0);
    r = image_encode(run->options[i], run->formats[i], image, &encoded);
    if (r < 0 && task_is_cancelled(run->task))
        return fail(-ECANCELED, "stopped while the picture was made");
    if (r < 0)
        return r;
    return deliver_output(run, i, image, &encoded);
}

static int outputs_make(Run *run)
{
    AUTO(image_stock_free) ImageStock stock = { 0 };
    int r;

    for (size_t i = 0; i < run->n; i++)
        run->source.keeps_metadata |= run->options[i]->metadata != IMAGE_KEEP_NONE;
    r = plan_all(run);
    if (r == 0 && task_is_cancelled(run->task))
        r = fail(-ECANCELED, "stopped before the picture was read");
    if (r == 0)
        r = image_stock_open(run->task, &run->source, run->plans, run->n, &stock);
    for (size_t i = 0; r == 0 && i < run->n; i++)
        r = output_make(run, &stock, i);
    return r;
}

/* A reader tells outputs apart by their names, and the files of a job have them in theirs. */
static int check_names(Run *run)
{
    for (size_t i = 1; i < run->n; i++) {
        Str name = run->options[i]->name;

        for (size_t k = 0; k < i; k++) {
            if (!str_eq(name, run->options[k]->name))
                continue;
            (void) task_mark_final(run->task, "arguments");
            return fail(-ERR_INVALID, "outputs: two have the name \"%.*s\"", (int) name.len,
                        name.data);
        }
    }
    return 0;
}

static int image_run(Task *task, const void *args, JsonWriter *result)
{
    Run *run = arena_try(task->arena, sizeof(*run));
    const ImageArgs *asked = args;
    const ImageOptions *several = asked->outputs.items;
    int64_t cost;
    int r;

    if (!run)
        return fail(-ENOMEM, "no memory for the run");
    if (asked->vector && !task->is_vector_allowed && !task->is_foreground) {
        (void) task_mark_final(task, "forbidden");
        return fail(-ERR_FORBIDDEN,
                    "vector: this engine takes no SVG and no PDF; see images.vector in its "
                    "settings");
    }
    *run = (Run){ .task = task, .args = args, .n = MAX(asked->outputs.len, (size_t) 1) };
    for (size_t i = 0; i < run->n; i++)
        run->options[i] = several && asked->outputs.len > 0 ? &several[i] : &asked->options;
    r = check_names(run);
    if (r == 0)
        r = image_source_open(task->input.bytes, args, &run->source);
    if (r < 0)
        return r;
    cost = image_source_cost(&run->source, 1.0);
    if (!asked->info)
        r = outputs_make(run);
    if (r == 0)
        image_outcome_write(result, &run->source, cost, run->written, asked->info ? 0 : run->n);
    image_source_free(&run->source);
    return r;
}

extern const Handler handler_image;
const Handler handler_image = {
    .type = "image",
    .summary = "Makes pictures smaller, cuts, turns and converts them.",
    .details = "Takes JPEG, PNG, WebP, AVIF, HEIC, GIF and TIFF, and SVG and PDF where they are "
               "asked for; writes JPEG, PNG, WebP and AVIF. What the bytes are is found in the "
               "bytes. Pictures come out upright, in sRGB and without metadata unless they are "
               "asked for otherwise, and never larger than they were unless `enlarge` is set.",
    .args = &image_args,
    .result = &image_result,
    .cost = HANDLER_BOX,
    .timeout_ms = 60000,
    .is_command = true,
    .takes_body = true,
    .run = image_run,
    .load = image_load,
    .deliver = image_deliver,
    .prepare = image_prepare,
    .preload = image_preload,
};
