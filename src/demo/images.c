/*
 * Sample pictures: landscapes of nothing in particular, the same for the same size.
 *
 *   /images/         some sizes
 *   /images/W.png    W pixels wide, two thirds as high
 *
 * A sky that fades into hills of summed sines, and a sun: smooth areas, edges and a fine grain, as
 * a photograph has. Written as PNG (RFC 2083: signature, IHDR, one IDAT of RGB rows without filter,
 * IEND), drawn and packed on the pool.
 */
#include "demo/demo_int.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"

#include <sluice/rt/offload.h>

#include <math.h>

#if SL_HAVE_ZLIB
#include <zlib.h>
#endif

#define WIDTH_MIN 16
#define WIDTH_MAX 4096
#define CHANNELS  3

typedef struct Picture {
    size_t width, height;
    Buf *out;
} Picture;

#if SL_HAVE_ZLIB

static void put_u32(unsigned char *at, uint32_t value)
{
    at[0] = (unsigned char) (value >> 24);
    at[1] = (unsigned char) (value >> 16);
    at[2] = (unsigned char) (value >> 8);
    at[3] = (unsigned char) value;
}

/* Append a chunk of PNG: length, TYPE, DATA, CRC of both. */
static void add_chunk(Buf *out, const char *type, const unsigned char *data, size_t len)
{
    unsigned char word[4];
    uLong crc = crc32(crc32(0, (const Bytef *) type, 4), data, (uInt) len);

    put_u32(word, (uint32_t) len);
    buf_add(out, word, 4);
    buf_add(out, type, 4);
    buf_add(out, data, len);
    put_u32(word, (uint32_t) (len ? crc : crc32(0, (const Bytef *) type, 4)));
    buf_add(out, word, 4);
}

/* How high the hill of the layer is at X, as a share of the picture. */
static double hill(double x, int layer)
{
    double at = x * (3 + layer) + layer * 1.7;

    return 0.35 + 0.14 * layer + 0.05 * sin(at * 2) + 0.03 * sin(at * 5.1) + 0.01 * sin(at * 17);
}

static void draw_pixel(double x, double y, uint32_t *grain, unsigned char *rgb)
{
    static const unsigned char hills[3][CHANNELS] = { { 96, 124, 138 },
                                                      { 62, 96, 84 },
                                                      { 34, 58, 40 } };
    double far = hypot(x - 0.72, (y - 0.2) * 0.667);
    double colour[CHANNELS] = { 120 + 110 * y, 170 + 50 * y, 235 - 30 * y };

    if (far < 0.06)
        colour[0] = 255, colour[1] = 244, colour[2] = 200;
    for (int layer = 0; layer < 3; layer++) {
        if (y > hill(x, layer))
            for (int c = 0; c < CHANNELS; c++)
                colour[c] = hills[layer][c];
    }
    *grain = *grain * 1664525u + 1013904223u; /* Numerical Recipes' generator: it is only grain */
    for (int c = 0; c < CHANNELS; c++) {
        double value = colour[c] + (double) ((*grain >> (8 * c + 4)) & 15) - 8;

        rgb[c] = (unsigned char) (value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

/* The rows of the picture, each behind the byte that says "no filter". */
static void draw(const Picture *picture, unsigned char *rows)
{
    uint32_t grain = 1;

    for (size_t y = 0; y < picture->height; y++) {
        unsigned char *row = rows + y * (picture->width * CHANNELS + 1);

        *row = 0;
        for (size_t x = 0; x < picture->width; x++)
            draw_pixel((double) x / (double) picture->width, (double) y / (double) picture->height,
                       &grain, row + 1 + x * CHANNELS);
    }
}

static int make_picture(void *arg)
{
    static const unsigned char signature[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
    Picture *picture = arg;
    uLong bytes = picture->height * (picture->width * CHANNELS + 1);
    uLongf packed_len = compressBound(bytes);
    AUTO(mem_free) unsigned char *rows = mem_try(bytes);
    AUTO(mem_free) unsigned char *packed = mem_try(packed_len);
    unsigned char head[13] = { [8] = 8, [9] = 2 }; /* 8 bits, RGB */

    if (!rows || !packed)
        return fail(-ENOMEM, "a picture of %zu by %zu", picture->width, picture->height);
    draw(picture, rows);
    if (compress2(packed, &packed_len, rows, bytes, 1) != Z_OK)
        return fail(-ERR_INTERNAL, "zlib does not pack");
    put_u32(head, (uint32_t) picture->width);
    put_u32(head + 4, (uint32_t) picture->height);
    buf_add(picture->out, signature, sizeof(signature));
    add_chunk(picture->out, "IHDR", head, sizeof(head));
    add_chunk(picture->out, "IDAT", packed, packed_len);
    add_chunk(picture->out, "IEND", NULL, 0);
    return buf_check(picture->out);
}

#else

static int make_picture(void *arg)
{
    (void) arg;
    return fail(-ERR_UNSUPPORTED, "this build has no zlib");
}

#endif

SUSPENDS static int answer_picture(DemoCall *call)
{
    Str name = call->rest;
    int64_t width;
    Picture picture = { .out = call->out };

    if (!str_ends(name, (Str) STR(".png")) ||
        str_to_i64(str_sub(name, 0, name.len - 4), WIDTH_MIN, WIDTH_MAX, &width) < 0)
        return demo_plain(call, 404, "There is no such picture: /images/16.png to 4096.png.");
    picture.width = (size_t) width;
    picture.height = MAX(picture.width * 2 / 3, (size_t) 1);
    call->response->content_type = (Str) STR("image/png");
    return sl_offload(make_picture, &picture, .name = "picture");
}

static int answer_about(DemoCall *call)
{
    demo_html_begin(call, "Pictures");
    ADD(call->out, "<p>A picture of any width from 16 to 4096: ");
    for (int width = 320; width <= 2560; width *= 2)
        buf_printf(call->out, "<a href=\"/images/%d.png\">%d</a> ", width, width);
    ADD(call->out, "</p>\n<img src=\"/images/640.png\" alt=\"hills under a sun\">\n");
    demo_html_end(call);
    return 0;
}

static const DemoPage pages[] = {
    { .path = "/images/", .kind = DEMO_PAGE, .answer = answer_about, .summary = "sample pictures" },
    { .path = "/images/*",
      .example = "640.png",
      .kind = DEMO_PAGE,
      .answer = answer_picture,
      .summary = "a picture so many pixels wide" },
};

const DemoPages demo_images_pages = DEMO_PAGES("Pictures", pages);
