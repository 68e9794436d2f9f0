/* image: bytes in, bytes out, through the handler as it is declared. */
#include "base/arena.h"
#include "base/limits.h"
#include "base/test.h"
#include "codec/base64.h"
#include "handlers/image/format.h"
#include "handlers/image/vips_api.h"

#include <sluice/handler.h>

extern const Handler handler_image;

/* fontconfig keeps patterns for the life of the process where LeakSanitizer does not see them. */
SL_API const char *__lsan_default_suppressions(void);
SL_API const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig";
}

/* A run as a test makes it, with everything that a run can leave. */
typedef struct World {
    Task task;
    Arena arena;
    Buf result;
    int64_t reserved_bytes;
    int questions; /* whether it was cancelled */
    int cancel_at; /* the question that is answered with yes; 0: none */
    bool allows_vector;
} World;

static bool world_is_cancelled(Task *task)
{
    World *world = CONTAINER_OF(task, World, task);

    return ++world->questions == world->cancel_at;
}

static int world_output(Task *task, size_t bytes, unsigned char **ret_room)
{
    *ret_room = arena_zalloc(task->arena, bytes);
    return 0;
}

static int world_reserve(Task *task, int64_t bytes)
{
    World *world = CONTAINER_OF(task, World, task);

    world->reserved_bytes += bytes;
    return 0;
}

static const TaskOps world_ops = { .is_cancelled = world_is_cancelled,
                                   .output = world_output,
                                   .reserve = world_reserve };

static void world_deinit(World *world)
{
    buf_deinit(&world->result);
    arena_deinit(&world->arena);
}
DEFINE_AUTO_VALUE(World, world_deinit);

static int run(World *world, Str input, const char *args)
{
    JsonWriter writer = JSON_WRITER(&world->result);
    void *bound;
    int r;

    world_deinit(world);
    arena_init(&world->arena, 0);
    world->task = (Task){ .ops = &world_ops,
                          .job_id = "",
                          .type = "image",
                          .attempt = 1,
                          .arena = &world->arena,
                          .is_vector_allowed = world->allows_vector,
                          .input.bytes = input };
    world->reserved_bytes = 0;
    world->questions = 0;
    bound = arena_zalloc(&world->arena, handler_image.args->struct_bytes);
    r = schema_decode_text(&world->arena, handler_image.args, str_from_c(args), bound, NULL);
    return r < 0 ? r : handler_image.run(&world->task, bound, &writer);
}

/* What a test says of its picture. */
typedef struct Drawn {
    int width, height;
    ImageFormat format; /* 0: JPEG */
    int channels;       /* 0: 3 */
    int orientation;
    int frames; /* below each other; 0: 1 */
    bool is_progressive;
} Drawn;

/* Red grows to the right, green downwards, blue is a square in the top left corner. */
static VipsImage *draw(const Drawn *drawn)
{
    int channels = drawn->channels ? drawn->channels : 3;
    size_t n = (size_t) drawn->width * (size_t) drawn->height;
    unsigned char *pixels = mem_zalloc(n * (size_t) channels);
    VipsImage *plain, *image;

    for (int y = 0; y < drawn->height; y++)
        for (int x = 0; x < drawn->width; x++) {
            unsigned char *p = pixels + ((size_t) y * (size_t) drawn->width + (size_t) x) *
                                            (size_t) channels;
            bool is_corner = 4 * x < drawn->width && 4 * y < drawn->height;

            p[0] = (unsigned char) (255 * x / drawn->width);
            if (channels >= 3) {
                p[1] = (unsigned char) (255 * y / drawn->height);
                p[2] = is_corner ? 255 : 0;
            }
            if (channels == 2 || channels == 4)
                p[channels - 1] = 2 * x < drawn->width ? 255 : 0;
        }
    plain = V(vips_image_new_from_memory_copy)(pixels, n * (size_t) channels, drawn->width,
                                               drawn->height, channels, VIPS_FORMAT_UCHAR);
    mem_free(pixels);
    if (V(vips_copy)(plain, &image, "interpretation",
                     channels < 3 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB, NULL))
        abort();
    image_unref(plain);
    return image;
}

/* The picture as a file, in the arena. */
static Str picture(Arena *arena, const Drawn *drawn)
{
    VipsImage *image;
    void *bytes = NULL;
    size_t len = 0;
    Str copy;
    int r;

    if (image_vips_open() < 0)
        return str_from(NULL, 0);
    image = draw(drawn);
    if (drawn->orientation)
        V(vips_image_set_int)(image, VIPS_META_ORIENTATION, drawn->orientation);
    if (drawn->frames > 1)
        V(vips_image_set_int)(image, VIPS_META_PAGE_HEIGHT, drawn->height / drawn->frames);
    if (drawn->format == IMAGE_PNG)
        r = V(vips_pngsave_buffer)(image, &bytes, &len, "interlace", drawn->is_progressive, NULL);
    else if (drawn->format == IMAGE_WEBP)
        r = V(vips_webpsave_buffer)(image, &bytes, &len, "lossless", 1, NULL);
    else if (drawn->format == IMAGE_AVIF)
        r = V(vips_heifsave_buffer)(image, &bytes, &len, "compression",
                                    VIPS_FOREIGN_HEIF_COMPRESSION_AV1, "effort", 0, NULL);
    else
        r = V(vips_jpegsave_buffer)(image, &bytes, &len, "Q", 95, "interlace",
                                    drawn->is_progressive, NULL);
    if (r && drawn->format != IMAGE_AVIF) /* which not every libvips can write */
        abort();
    copy = arena_copy(arena, str_from(bytes, len));
    V(g_free)(bytes);
    image_unref(image);
    return copy;
}

#define PICTURE(arena, ...) picture((arena), &(Drawn){ __VA_ARGS__ })

/* Whether the first output has these sizes and, at (x, y), about this colour. */
static void expect_size(const World *world, ImageFormat format, int width, int height)
{
    char want[96];

    (void) snprintf(want, sizeof(want), "\"format\":\"%s\",\"width\":%d,\"height\":%d,",
                    image_format_name(format), width, height);
    EXPECT_EQ(image_sniff(world->task.outputs[0].bytes), format);
    EXPECT_C(world->task.outputs[0].media_type, image_media_type(format));
    if (!strstr(strstr(world->result.data, "outputs"), want))
        test_fail(__FILE__, __LINE__, "%.*s lacks %s", (int) world->result.len, world->result.data,
                  want);
}

/* The pixel of OUTPUT at (X, Y), as up to four channels. */
static void pixel_at(Str output, int x, int y, int channels, unsigned char pixel[4])
{
    VipsImage *image = NULL;
    unsigned char *pixels;
    size_t bytes;
    int r = image_sniff(output) == IMAGE_PNG
                ? V(vips_pngload_buffer)((void *) output.data, output.len, &image, NULL)
            : image_sniff(output) == IMAGE_WEBP
                ? V(vips_webpload_buffer)((void *) output.data, output.len, &image, "n", -1, NULL)
                : V(vips_jpegload_buffer)((void *) output.data, output.len, &image, NULL);

    memset(pixel, 0, 4);
    if (r) {
        test_fail(__FILE__, __LINE__, "the output cannot be read: %s", V(vips_error_buffer)());
        return;
    }
    EXPECT_EQ(V(vips_image_get_bands)(image), channels);
    pixels = V(vips_image_write_to_memory)(image, &bytes);
    memcpy(pixel,
           pixels + ((size_t) y * (size_t) V(vips_image_get_width)(image) + (size_t) x) *
                        (size_t) V(vips_image_get_bands)(image),
           (size_t) MIN(channels, V(vips_image_get_bands)(image)));
    V(g_free)(pixels);
    image_unref(image);
}

static void expect_pixel(const World *world, int x, int y, int channels, const int want[4])
{
    unsigned char got[4];

    pixel_at(world->task.outputs[0].bytes, x, y, channels, got);
    for (int c = 0; c < channels; c++)
        if (abs(got[c] - want[c]) > 12)
            test_fail(__FILE__, __LINE__, "pixel %d,%d channel %d: got %d, want %d", x, y, c,
                      got[c], want[c]);
}
#define COLOUR(...) ((const int[4]){ __VA_ARGS__ })

/* Would catch a wrong ratio, a decoder that is asked for too little, and colours that change. */
TEST(a_jpeg_becomes_smaller)
{
    AUTO(world_deinit) World world = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    Str big = PICTURE(&arena, .width = 1600, .height = 1200);

    EXPECT_OK(run(&world, big, "{\"width\":160}"));
    EXPECT_EQ(world.task.n_outputs, 1);
    expect_size(&world, IMAGE_JPEG, 160, 120);
    expect_pixel(&world, 10, 10, 3, COLOUR(16, 21, 255));
    expect_pixel(&world, 150, 110, 3, COLOUR(240, 235, 0));
    EXPECT(world.reserved_bytes > 0);
    EXPECT_OK(run(&world, big, "{\"height\":30}"));
    expect_size(&world, IMAGE_JPEG, 40, 30);
    EXPECT_OK(run(&world, big, "{\"width\":10,\"height\":10,\"fit\":\"fill\"}"));
    expect_size(&world, IMAGE_JPEG, 10, 10);
    EXPECT_OK(run(&world, big, "{\"width\":5000}"));
    expect_size(&world, IMAGE_JPEG, 1600, 1200);
    EXPECT_OK(run(&world, big, "{\"width\":3200,\"enlarge\":true}"));
    expect_size(&world, IMAGE_JPEG, 3200, 2400);
    expect_pixel(&world, 3000, 2200, 3, COLOUR(239, 234, 0));
}

/* Would catch what a library adds by itself where nothing was to be kept. */
TEST(an_output_has_no_metadata_unless_it_is_asked_for)
{
    static const char *const formats[] = { "jpeg", "png", "webp" };
    AUTO(world_deinit) World world = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    Str big = PICTURE(&arena, .width = 400, .height = 300);

    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        char args[64];
        Str bytes;

        (void) snprintf(args, sizeof(args), "{\"width\":160,\"format\":\"%s\"}", formats[i]);
        EXPECT_OK(run(&world, big, args));
        bytes = world.task.outputs[0].bytes;
        EXPECT(!str_contains(bytes, STR_C("Exif")) && !str_contains(bytes, STR_C("eXIf")) &&
               !str_contains(bytes, STR_C("EXIF")));
    }
}

/* Would catch any of the eight turned or mirrored the wrong way, and crops that forget it. */
TEST(every_orientation_comes_out_upright)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    /* Where the blue corner of the stored picture lies in the upright one: right, bottom. */
    static const bool corners[9][2] = {
        [1] = { 0, 0 }, [2] = { 1, 0 }, [3] = { 1, 1 }, [4] = { 0, 1 },
        [5] = { 0, 0 }, [6] = { 1, 0 }, [7] = { 1, 1 }, [8] = { 0, 1 }
    };

    for (int orientation = 1; orientation <= 8; orientation++) {
        for (int metadata = 0; metadata < 2; metadata++) {
            AUTO(world_deinit) World world = { 0 };
            int w = orientation >= 5 ? 60 : 80, h = orientation >= 5 ? 80 : 60;
            unsigned char pixel[4];

            EXPECT_OK(run(&world,
                          PICTURE(&arena, .width = 320, .height = 240, .orientation = orientation),
                          metadata ? "{\"width\":80,\"height\":80,\"fit\":\"inside\","
                                     "\"metadata\":\"all\"}"
                                   : "{\"width\":80,\"height\":80,\"fit\":\"inside\"}"));
            expect_size(&world, IMAGE_JPEG, w, h);
            pixel_at(world.task.outputs[0].bytes, corners[orientation][0] ? w - 6 : 5,
                     corners[orientation][1] ? h - 6 : 5, 3, pixel);
            if (pixel[2] < 200)
                test_fail(__FILE__, __LINE__, "orientation %d: the corner is elsewhere",
                          orientation);
        }
    }
}

/* Would catch a fit that takes another's size, and a cut at the wrong side. */
TEST(each_fit_has_its_size)
{
    static const struct {
        const char *args;
        int width, height;
    } rows[] = {
        { "{\"width\":100,\"height\":100}", 100, 100 },
        { "{\"width\":100,\"height\":100,\"fit\":\"contain\"}", 100, 100 },
        { "{\"width\":100,\"height\":100,\"fit\":\"inside\"}", 100, 50 },
        { "{\"width\":100,\"height\":100,\"fit\":\"outside\"}", 200, 100 },
        { "{\"width\":100,\"height\":100,\"fit\":\"fill\"}", 100, 100 },
        { "{\"width\":100,\"height\":60,\"dpr\":2}", 200, 120 },
        { "{\"crop\":\"10,20,300,100\"}", 300, 100 },
        { "{\"crop\":\"10,20,300,100\",\"width\":30}", 30, 10 },
        { "{\"width\":100,\"rotate\":90}", 100, 200 },
        { "{\"width\":100,\"rotate\":-90}", 100, 200 },
        { "{\"width\":100,\"height\":100,\"gravity\":\"attention\"}", 100, 100 },
        { "{\"width\":100,\"height\":100,\"gravity\":\"entropy\"}", 100, 100 },
        { "{\"width\":1000,\"height\":600}", 800, 400 },
    };
    AUTO(arena_deinit) Arena arena = { 0 };
    Str wide = PICTURE(&arena, .width = 800, .height = 400);

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(world_deinit) World world = { 0 };

        EXPECT_OK(run(&world, wide, rows[i].args));
        expect_size(&world, IMAGE_JPEG, rows[i].width, rows[i].height);
    }
}

/* Would catch a gravity at the wrong side, and a border of another colour or in the wrong place. */
TEST(gravity_says_what_stays_and_where_it_lies)
{
    AUTO(world_deinit) World world = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    Str wide = PICTURE(&arena, .width = 800, .height = 400);

    EXPECT_OK(run(&world, wide, "{\"width\":100,\"height\":100,\"gravity\":\"west\"}"));
    expect_pixel(&world, 4, 95, 3, COLOUR(6, 243, 0));
    EXPECT_OK(run(&world, wide, "{\"width\":100,\"height\":100,\"gravity\":\"east\"}"));
    expect_pixel(&world, 95, 95, 3, COLOUR(249, 243, 0));
    EXPECT_OK(run(&world, wide,
                  "{\"width\":100,\"height\":100,\"fit\":\"contain\",\"background\":\"203040\"}"));
    expect_pixel(&world, 50, 10, 3, COLOUR(32, 48, 64));
    expect_pixel(&world, 50, 50, 3, COLOUR(128, 128, 0));
    EXPECT_OK(run(&world, wide,
                  "{\"width\":100,\"height\":100,\"fit\":\"contain\",\"gravity\":\"south\"}"));
    expect_pixel(&world, 50, 10, 3, COLOUR(255, 255, 255));
    expect_pixel(&world, 50, 95, 3, COLOUR(128, 230, 0));
    EXPECT_OK(run(&world, wide, "{\"width\":100,\"rotate\":45,\"background\":\"000000\"}"));
    expect_pixel(&world, 2, 2, 3, COLOUR(0, 0, 0));
}

/* Would catch a format that cannot be read or written, and one that goes by anything but bytes. */
TEST(formats_become_each_other)
{
    static const ImageFormat from[] = { IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP, IMAGE_AVIF };
    static const ImageFormat to[] = { IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP };
    AUTO(arena_deinit) Arena arena = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        Str source = PICTURE(&arena, .width = 200, .height = 160, .format = from[i]);

        if (source.len == 0) {
            test_skip("this libvips writes no AVIF");
            return;
        }
        for (size_t k = 0; k < ARRAY_LEN(to); k++) {
            AUTO(world_deinit) World world = { 0 };
            char args[64];

            (void) snprintf(args, sizeof(args), "{\"width\":50,\"format\":\"%s\"}",
                            image_format_name(to[k]));
            EXPECT_OK(run(&world, source, args));
            expect_size(&world, to[k], 50, 40);
            expect_pixel(&world, 40, 30, 3, COLOUR(206, 194, 0));
        }
    }
}

/* Would catch alpha that is lost, shines through, or darkens the edge it blends at. */
TEST(alpha_stays_or_is_put_on_the_background)
{
    AUTO(world_deinit) World world = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    Str png = PICTURE(&arena, .width = 400, .height = 200, .format = IMAGE_PNG, .channels = 4);

    EXPECT_OK(run(&world, png, "{\"width\":100}"));
    expect_size(&world, IMAGE_PNG, 100, 50);
    expect_pixel(&world, 25, 25, 4, COLOUR(64, 128, 0, 255));
    expect_pixel(&world, 90, 25, 4, COLOUR(0, 0, 0, 0));
    EXPECT_OK(run(&world, png, "{\"width\":100,\"format\":\"jpeg\",\"background\":\"ff0000\"}"));
    expect_pixel(&world, 25, 25, 3, COLOUR(64, 128, 0));
    expect_pixel(&world, 90, 25, 3, COLOUR(255, 0, 0));
    EXPECT_OK(run(&world, png, "{\"width\":100,\"flatten\":true}"));
    expect_pixel(&world, 90, 25, 3, COLOUR(255, 255, 255));
    png = PICTURE(&arena, .width = 400, .height = 200, .format = IMAGE_PNG, .channels = 2);
    EXPECT_OK(run(&world, png, "{\"width\":100,\"format\":\"jpeg\",\"background\":\"ffffff\"}"));
    expect_pixel(&world, 25, 25, 1, COLOUR(64));
    expect_pixel(&world, 90, 25, 1, COLOUR(255));
}

/* Would catch an answer in a format that the reader cannot show. */
TEST(the_format_goes_by_what_is_accepted)
{
    static const Str none = { 0 };

    EXPECT_EQ(image_format_choose(IMAGE_JPEG, none, false, false), IMAGE_JPEG);
    EXPECT_EQ(image_format_choose(IMAGE_TIFF, none, false, false), IMAGE_JPEG);
    EXPECT_EQ(image_format_choose(IMAGE_TIFF, none, true, false), IMAGE_PNG);
    EXPECT_EQ(image_format_choose(IMAGE_AVIF, none, false, false), IMAGE_AVIF);
    EXPECT_EQ(image_format_choose(IMAGE_GIF, none, false, true), IMAGE_WEBP);
    EXPECT_EQ(image_format_choose(IMAGE_AVIF, STR_C("image/png,*/*"), false, false), IMAGE_JPEG);
    EXPECT_EQ(
        image_format_choose(IMAGE_JPEG, STR_C("image/avif, image/webp;q=0.8, */*"), false, false),
        IMAGE_WEBP);
    EXPECT_EQ(image_format_choose(IMAGE_JPEG, STR_C("image/avif,image/webp ; q=0.0"), false, false),
              IMAGE_AVIF);
    EXPECT_EQ(image_format_choose(IMAGE_JPEG, STR_C("image/*"), true, false), IMAGE_JPEG);
}

/* Would catch a JPEG in a file that is called x.webp. */
TEST(the_format_goes_by_the_destinations_name)
{
    AUTO(world_deinit) World world = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    Str film = PICTURE(&arena, .width = 40, .height = 20, .format = IMAGE_JPEG);

    EXPECT_OK(run(&world, film, "{\"width\":10,\"destination\":\"small/{name}.PNG\"}"));
    expect_size(&world, IMAGE_PNG, 10, 5);
    EXPECT_OK(run(&world, film, "{\"width\":10,\"destination\":\"https://a.b/c.webp?d=e.png\"}"));
    expect_size(&world, IMAGE_WEBP, 10, 5);
    EXPECT_OK(run(&world, film, "{\"width\":10,\"destination\":\"x.png\",\"format\":\"webp\"}"));
    expect_size(&world, IMAGE_WEBP, 10, 5);
    EXPECT_OK(run(&world, film, "{\"width\":10,\"destination\":\"small.png/x\"}"));
    expect_size(&world, IMAGE_JPEG, 10, 5);
}

/* Would catch frames that are lost, mixed, or let through where nobody asked for them. */
TEST(an_animation_keeps_its_frames_where_asked)
{
    AUTO(world_deinit) World world = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    Str film = PICTURE(&arena, .width = 200, .height = 600, .format = IMAGE_WEBP, .frames = 3);

    EXPECT_OK(run(&world, film, "{\"width\":50}"));
    expect_size(&world, IMAGE_WEBP, 50, 50);
    EXPECT_OK(run(&world, film, "{\"width\":50,\"page\":2,\"format\":\"png\"}"));
    expect_size(&world, IMAGE_PNG, 50, 50);
    expect_pixel(&world, 40, 40, 3, COLOUR(206, 238, 0));
    EXPECT_OK(run(&world, film, "{\"width\":50,\"animated\":true}"));
    expect_size(&world, IMAGE_WEBP, 50, 50);
    EXPECT(strstr(world.result.data, "\"frames\":3"));
    expect_pixel(&world, 40, 140, 3, COLOUR(206, 238, 0));
    EXPECT_ERR(run(&world, film, "{\"animated\":true,\"format\":\"jpeg\"}"), -ERR_INVALID,
               "webp only");
    EXPECT_ERR(run(&world, film, "{\"page\":9}"), -ERR_UNREADABLE, "");
}

/* Would catch outputs that are mixed up, or decoded at the size of the smallest. */
TEST(several_outputs_come_from_one_source)
{
    AUTO(world_deinit) World world = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    static const ImageFormat formats[] = { IMAGE_JPEG, IMAGE_PNG };

    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        Str source = PICTURE(&arena, .width = 800, .height = 600, .format = formats[i]);

        EXPECT_OK(run(&world, source,
                      "{\"outputs\":[{\"name\":\"large\",\"width\":400,\"format\":\"jpeg\"},"
                      "{\"name\":\"small\",\"width\":40,\"format\":\"webp\"},"
                      "{\"name\":\"turned\",\"width\":60,\"rotate\":90,\"format\":\"png\"}]}"));
        EXPECT_EQ(world.task.n_outputs, 3);
        expect_size(&world, IMAGE_JPEG, 400, 300);
        expect_pixel(&world, 350, 250, 3, COLOUR(223, 213, 0));
        EXPECT_C(world.task.outputs[1].name, "small");
        EXPECT_EQ(image_sniff(world.task.outputs[1].bytes), IMAGE_WEBP);
        EXPECT_EQ(image_sniff(world.task.outputs[2].bytes), IMAGE_PNG);
        EXPECT(strstr(world.result.data, "\"name\":\"turned\",\"format\":\"png\",\"width\":60,"
                                         "\"height\":80"));
    }
}

/* Would catch an output that takes the place of another one. */
TEST(outputs_have_names_of_their_own)
{
    AUTO(world_deinit) World world = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    Str film = PICTURE(&arena, .width = 40, .height = 20, .format = IMAGE_JPEG);

    EXPECT_ERR(run(&world, film,
                   "{\"outputs\":[{\"name\":\"a\",\"width\":9},{\"name\":\"b\",\"width\":9},"
                   "{\"name\":\"a\",\"width\":5}]}"),
               -ERR_INVALID, "two have the name \"a\"");
    EXPECT(world.task.is_final);
}

/* Would catch an output that forgets what all have in common, and one that cannot differ. */
TEST(outputs_take_what_they_leave_out_from_beside_them)
{
    AUTO(world_deinit) World world = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    Str source = PICTURE(&arena, .width = 800, .height = 600);

    EXPECT_OK(run(&world, source,
                  "{\"outputs\":[{\"name\":\"a\"},{\"name\":\"b\",\"width\":40},"
                  "{\"name\":\"c\",\"format\":\"webp\",\"rotate\":0}],"
                  "\"width\":80,\"format\":\"png\",\"rotate\":90}"));
    EXPECT(strstr(world.result.data,
                  "[{\"name\":\"a\",\"format\":\"png\",\"width\":80,\"height\":107,"));
    EXPECT(strstr(world.result.data,
                  "{\"name\":\"b\",\"format\":\"png\",\"width\":40,\"height\":53,"));
    EXPECT(strstr(world.result.data,
                  "{\"name\":\"c\",\"format\":\"webp\",\"width\":80,\"height\":60,"));
    EXPECT_ERR(run(&world, source, "{\"outputs\":[{\"name\":\"a\"}],\"width\":0}"), -ERR_INVALID,
               "width");
}

/* Would catch drawings that are let in by who sends them. */
TEST(drawings_need_the_operator)
{
    AUTO(world_deinit) World world = { 0 };
    Str drawing = STR_C("<svg xmlns='http://www.w3.org/2000/svg' width='40' height='20'>"
                        "<rect width='40' height='20' fill='#f00'/></svg>");

    EXPECT_EQ(image_sniff(STR_C("<!DOCTYPE svg [<!ENTITY a 'b>'>]>\n<svg/>")), IMAGE_SVG);
    EXPECT_EQ(image_sniff(STR_C("<!DOCTYPE svg [<!ENTITY a 'b>'>\n<svg/>")), IMAGE_UNKNOWN);
    EXPECT_ERR(run(&world, drawing, "{\"vector\":true}"), -ERR_FORBIDDEN, "images.vector");
    EXPECT(world.task.is_final);
    world.allows_vector = true;
    EXPECT_ERR(run(&world, drawing, "{}"), -ERR_UNREADABLE, "vector");
    EXPECT_OK(run(&world, drawing, "{\"vector\":true,\"width\":80,\"format\":\"png\"}"));
    expect_size(&world, IMAGE_PNG, 80, 40);
    expect_pixel(&world, 70, 30, 4, COLOUR(255, 0, 0, 255));
}

/* Would catch light that is added up as it is written down: half of black and white is 188. */
TEST(light_is_scaled_where_it_is_asked_for)
{
    AUTO(world_deinit) World world = { 0 };
    Str drawing = STR_C(
        "<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'>"
        "<rect width='64' height='64' fill='#fff'/><path d='M0 .5h64M0 2.5h64M0 4.5"
        "h64M0 6.5h64M0 8.5h64M0 10.5h64M0 12.5h64M0 14.5h64' stroke='#000'/></svg>");
    AUTO(arena_deinit) Arena arena = { 0 };
    Str lines;

    world.allows_vector = true;
    EXPECT_OK(run(&world, drawing, "{\"vector\":true,\"format\":\"png\",\"flatten\":true}"));
    lines = arena_copy(&arena, world.task.outputs[0].bytes);
    EXPECT_OK(run(&world, lines, "{\"width\":8}"));
    expect_pixel(&world, 4, 0, 3, COLOUR(128, 128, 128));
    EXPECT_OK(run(&world, lines, "{\"width\":8,\"linear\":true}"));
    expect_pixel(&world, 4, 0, 3, COLOUR(188, 188, 188));
}

/* Would catch a watermark that is missing, misplaced, or covers more than it may. */
TEST(a_watermark_lies_over_the_picture)
{
    AUTO(world_deinit) World world = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf args = { 0 };
    Str source = PICTURE(&arena, .width = 400, .height = 300);
    Str mark = PICTURE(&arena, .width = 20, .height = 20, .format = IMAGE_PNG);

    buf_add_c(&args, "{\"width\":200,\"format\":\"png\",\"watermark\":\"");
    base64_encode(&args, mark, BASE64_STANDARD);
    buf_add_c(&args, "\"}");
    buf_add_char(&args, '\0');
    EXPECT_OK(run(&world, source, args.data));
    expect_size(&world, IMAGE_PNG, 200, 150);
    expect_pixel(&world, 181, 131, 3, COLOUR(13, 13, 255));
    expect_pixel(&world, 170, 140, 3, COLOUR(217, 238, 0));
    args.len -= 2;
    buf_add_c(&args, ",\"watermark_opacity\":0,\"watermark_gravity\":\"center\"}");
    buf_add_char(&args, '\0');
    EXPECT_OK(run(&world, source, args.data));
    expect_pixel(&world, 100, 75, 3, COLOUR(128, 128, 0));
    EXPECT_ERR(run(&world, source, "{\"watermark\":\"aGVsbG8=\"}"), -ERR_UNREADABLE, "watermark");
}

/* Would catch effects that do nothing, and ones that fail on grey or transparent pictures. */
TEST(effects_work_on_every_kind_of_picture)
{
    AUTO(arena_deinit) Arena arena = { 0 };

    for (int channels = 1; channels <= 4; channels++) {
        Str source = PICTURE(&arena, .width = 100, .height = 80, .format = IMAGE_PNG,
                             .channels = channels);
        AUTO(world_deinit) World world = { 0 };

        EXPECT_OK(run(&world, source,
                      "{\"width\":50,\"height\":50,\"fit\":\"contain\",\"blur\":1.5,\"sharpen\":1,"
                      "\"rotate\":30}"));
        EXPECT_EQ(image_sniff(world.task.outputs[0].bytes), IMAGE_PNG);
        EXPECT_OK(run(&world, source, "{\"format\":\"webp\",\"lossless\":true,\"effort\":0}"));
        EXPECT_OK(run(&world, source, "{\"format\":\"jpeg\",\"progressive\":true,\"effort\":9}"));
        EXPECT_OK(run(&world, source, "{\"icc\":false,\"metadata\":\"safe\",\"quality\":95}"));
    }
}

/* Would catch facts that are guessed, and pixels that are decoded for them. */
TEST(facts_are_told_without_pixels)
{
    AUTO(world_deinit) World world = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };

    EXPECT_OK(
        run(&world,
            PICTURE(&arena, .width = 300, .height = 200, .orientation = 6, .is_progressive = true),
            "{\"info\":true}"));
    EXPECT_EQ(world.task.n_outputs, 0);
    EXPECT(strstr(world.result.data, "\"format\":\"jpeg\",\"width\":200,\"height\":300,\"pages\":1,"
                                     "\"orientation\":6,\"channels\":3,\"alpha\":false,"
                                     "\"profile\":false,\"interlaced\":true"));
    EXPECT_OK(run(&world, PICTURE(&arena, .width = 300, .height = 200), "{\"info\":true}"));
    EXPECT(strstr(world.result.data, "\"interlaced\":false"));
    EXPECT_OK(run(&world,
                  PICTURE(&arena, .width = 30, .height = 20, .format = IMAGE_PNG, .channels = 4,
                          .is_progressive = true),
                  "{\"info\":true}"));
    EXPECT(strstr(world.result.data, "\"channels\":4,\"alpha\":true"));
    EXPECT(strstr(world.result.data, "\"interlaced\":true"));
}

/* Would catch a picture that is handed on though half of it is missing, and one that is refused
 * though it was asked for as it is. */
TEST(what_is_cut_off_is_refused_with_the_reason)
{
    static const ImageFormat formats[] = { IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP };
    AUTO(arena_deinit) Arena arena = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        AUTO(world_deinit) World world = { 0 };
        Str whole = PICTURE(&arena, .width = 300, .height = 200, .format = formats[i]);
        Str half = str_sub(whole, 0, whole.len / 2);

        EXPECT_ERR(run(&world, half, "{\"width\":100}"), -ERR_UNREADABLE, "");
        EXPECT_EQ(world.task.n_outputs, 0);
        if (formats[i] == IMAGE_JPEG)
            EXPECT_OK(run(&world, half, "{\"width\":100,\"fail_on\":\"none\"}"));
    }
}

/* Would catch bytes that end the process, or that are taken for what they claim to be. */
TEST(what_is_no_picture_is_refused)
{
    static const Str junk[] = { STR(""),
                                STR("hello, world"),
                                STR("\xff\xd8\xff"),
                                STR("\xff\xd8\xff\xe0\0\x10JFIF\0"),
                                STR("\x89PNG\r\n\x1a\n"),
                                STR("GIF89a\xff\xff\xff\xff\0\0\0"),
                                STR("RIFF\x10\0\0\0WEBPVP8 "),
                                STR("\0\0\0\x18"
                                    "ftypavif\0\0\0\0avifmif1"),
                                STR("II*\0\x08\0\0\0"),
                                STR("<svg xmlns='http://www.w3.org/2000/svg' width='9'/>"),
                                STR("%PDF-1.4\n") };

    for (size_t i = 0; i < ARRAY_LEN(junk); i++) {
        AUTO(world_deinit) World world = { 0 };

        EXPECT_ERR(run(&world, junk[i], "{\"width\":10}"), -ERR_UNREADABLE, "");
    }
}

/* Would catch a refusal without a reason, which is all that libpng gives. */
TEST(a_png_for_iphones_is_refused_with_the_reason)
{
    AUTO(world_deinit) World world = { 0 };

    EXPECT_ERR(run(&world, STR_C("\x89PNG\r\n\x1a\n\0\0\0\4CgBI\x50\0\x20\2"), "{\"width\":10}"),
               -ERR_UNREADABLE, "CgBI");
}

/* Would catch a fuzzed file that kills the box: every eighth byte of small files, turned over. */
TEST(damaged_bytes_end_in_an_answer)
{
    static const ImageFormat formats[] = { IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP };
    AUTO(arena_deinit) Arena arena = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        Str whole = PICTURE(&arena, .width = 16, .height = 12, .format = formats[i]);

        for (size_t at = 12; at < whole.len; at += 1 + whole.len / 97) {
            AUTO(world_deinit) World world = { 0 };
            char *bytes = arena_copy_c(&arena, whole);
            int r;

            bytes[at] = (char) ~bytes[at];
            r = run(&world, str_from(bytes, whole.len), "{\"width\":5,\"fail_on\":\"none\"}");
            if (r != 0 && r != -ERR_UNREADABLE)
                test_fail(__FILE__, __LINE__, "byte %zu: %s", at, err_text(r));
        }
    }
}

/* Would catch a limit that nobody asks, and a refusal without the sizes. */
TEST(limits_are_asked_before_pixels_are)
{
    AUTO(world_deinit) World world = { 0 };
    AUTO(arena_deinit) Arena arena = { 0 };
    Str small = PICTURE(&arena, .width = 40, .height = 30, .format = IMAGE_PNG);
    char *bytes = arena_copy_c(&arena, small);

    EXPECT_ERR(run(&world, small, "{\"width\":16000,\"height\":12000,\"enlarge\":true}"),
               -ERR_UNREADABLE, "million");
    EXPECT_ERR(run(&world, small, "{\"crop\":\"30,0,20,20\"}"), -ERR_INVALID, "50,20");
    EXPECT_ERR(run(&world, small, "{\"crop\":\"a,0,20,20\"}"), -ERR_INVALID, "left,top");
    EXPECT_ERR(run(&world, small, "{\"width\":20000}"), -ERR_INVALID, "width");
    EXPECT_ERR(run(&world, small, "{\"background\":\"red\"}"), -ERR_INVALID, "background");
    memcpy(bytes + 16, "\0\0\x4e\x20\0\0\x4e\x20", 8);
    EXPECT_ERR(run(&world, str_from(bytes, small.len), "{\"fail_on\":\"none\"}"), -ERR_UNREADABLE,
               "");
}

/* Would catch a run that nobody can stop. */
TEST(a_cancelled_run_stops)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str sources[] = { PICTURE(&arena, .width = 600, .height = 900),
                      PICTURE(&arena, .width = 600, .height = 900, .format = IMAGE_PNG) };

    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        AUTO(world_deinit) World world = { .cancel_at = 2 };

        EXPECT_ERR(run(&world, sources[i], "{\"width\":300}"), -ECANCELED, "stopped");
        EXPECT_EQ(world.task.n_outputs, 0);
    }
}

/* Would catch bytes that depend on the moment. */
TEST(the_same_picture_gives_the_same_bytes)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(world_deinit) World one = { 0 };
    AUTO(world_deinit) World two = { 0 };
    Str source = PICTURE(&arena, .width = 500, .height = 300, .format = IMAGE_PNG, .channels = 4);

    EXPECT_OK(run(&one, source, "{\"width\":120,\"format\":\"webp\"}"));
    EXPECT_OK(run(&two, source, "{\"width\":120,\"format\":\"webp\"}"));
    EXPECT(str_eq(one.task.outputs[0].bytes, two.task.outputs[0].bytes));
}

/* Would catch a warm-up that fails. */
TEST(warming_up_works)
{
    EXPECT_OK(handler_image.prepare());
}

int main(int argc, char **argv)
{
#if defined(__SANITIZE_THREAD__)
    /* GLib's locks are futexes of its own, which ThreadSanitizer takes for races. */
    printf("0 passed, 0 failed, 1 skipped\n");
    return 0;
#endif
    return test_main(argc, argv);
}
