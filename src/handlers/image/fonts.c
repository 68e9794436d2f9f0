/*
 * Fonts for the text of drawings: see fonts.h.
 *
 * Three libraries open a font's file, each for itself: FreeType for cairo, which is handed the open
 * face as part of fontconfig's pattern; HarfBuzz for Pango, which keeps what it has opened in a
 * table of the thread; and fontconfig, which reads its lists once.
 *
 * The libraries are those that libvips has brought along: they are looked up, never loaded.
 */
#include "handlers/image/fonts.h"

#include "base/macro.h"
#include "base/text.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#define FC_FILE         "file"
#define FC_INDEX        "index"
#define FC_FT_FACE      "ftface"
#define FC_SET_SYSTEM   0
#define FC_MATCH_FONT   0 /* FcMatchPattern */
#define FC_RESULT_MATCH 0

/* fontconfig's FcFontSet. */
typedef struct FontSet {
    int n, cap;
    void **patterns;
} FontSet;

/* fontconfig's FcConfig and FcPattern, FreeType's and Pango's objects are only handed on here. */
#define FONT_CALLS(X)                                                                            \
    X(void *, FcNameParse, (const unsigned char *name))                                          \
    X(int, FcConfigSubstitute, (void *config, void *pattern, int kind))                          \
    X(void, FcDefaultSubstitute, (void *pattern))                                                \
    X(void *, FcFontMatch, (void *config, void *pattern, int *ret_result))                       \
    X(int, FcPatternGetString, (void *pattern, const char *object, int n, unsigned char **ret))  \
    X(void, FcPatternDestroy, (void *pattern))                                                   \
    X(void *, FcInitLoadConfig, (void) )                                                         \
    X(int, FcConfigParseAndLoadFromMemory, (void *config, const unsigned char *text, int warns)) \
    X(int, FcConfigBuildFonts, (void *config))                                                   \
    X(FontSet *, FcConfigGetFonts, (void *config, int set))                                      \
    X(int, FcPatternGetInteger, (void *pattern, const char *object, int n, int *ret))            \
    X(void *, FcPatternDuplicate, (void *pattern))                                               \
    X(int, FcPatternAddFTFace, (void *pattern, const char *object, void *face))                  \
    X(int, FT_Init_FreeType, (void **ret_library))                                               \
    X(int, FT_New_Face, (void *library, const char *path, long index, void **ret_face))          \
    X(int, FcConfigSetCurrent, (void *config))                                                   \
    X(void *, pango_cairo_font_map_get_default, (void) )                                         \
    X(void *, pango_font_map_create_context, (void *map))                                        \
    X(void *, pango_font_description_from_string, (const char *text))                            \
    X(void, pango_font_description_free, (void *description))                                    \
    X(void *, pango_font_map_load_font, (void *map, void *context, void *description))           \
    X(void *, pango_cairo_font_get_scaled_font, (void *font))                                    \
    X(void *, pango_font_get_hb_font, (void *font))

typedef struct FontApi {
#define FONT_MEMBER(type, name, args) type(*name) args;
    FONT_CALLS(FONT_MEMBER)
#undef FONT_MEMBER
} FontApi;

static const struct {
    const char *name;
    size_t offset;
} calls[] = {
#define FONT_ROW(type, name, args) { #name, offsetof(FontApi, name) },
    FONT_CALLS(FONT_ROW)
#undef FONT_ROW
};

/* As fontconfig and as Pango call them. The last stands for writing that the others lack. */
static const struct {
    const char *pattern;
    const char *description;
} faces[] = {
    { "sans-serif", "sans-serif 16" },
    { "sans-serif:bold", "sans-serif bold 16" },
    { "sans-serif:italic", "sans-serif italic 16" },
    { "sans-serif:bold:italic", "sans-serif bold italic 16" },
    { "serif", "serif 16" },
    { "serif:bold", "serif bold 16" },
    { "serif:italic", "serif italic 16" },
    { "monospace", "monospace 16" },
    { "monospace:bold", "monospace bold 16" },
    { "sans-serif:lang=ja", NULL },
};

static bool api_open(FontApi *api)
{
    static const char *const names[] = { "libfontconfig.so.1", "libfreetype.so.6",
                                         "libpango-1.0.so.0", "libpangocairo-1.0.so.0" };
    void *libraries[ARRAY_LEN(names)];

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        libraries[i] = dlopen(names[i], RTLD_NOW | RTLD_NOLOAD);
        if (!libraries[i])
            return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        void *address = NULL;

        for (size_t k = 0; !address && k < ARRAY_LEN(names); k++)
            address = dlsym(libraries[k], calls[i].name);
        if (!address)
            return false;
        memcpy((char *) api + calls[i].offset, &address, sizeof(address));
    }
    return true;
}

/* The pattern of the font that is best for NAME, or NULL; FcPatternDestroy frees it. */
static void *match(const FontApi *api, const char *name)
{
    void *wanted = api->FcNameParse((const unsigned char *) name), *found;
    int result;

    if (!wanted)
        return NULL;
    api->FcConfigSubstitute(NULL, wanted, FC_MATCH_FONT);
    api->FcDefaultSubstitute(wanted);
    found = api->FcFontMatch(NULL, wanted, &result);
    api->FcPatternDestroy(wanted);
    return found;
}

/* Text that stands for itself in XML and in fontconfig's patterns of file names. */
static bool is_plain(const char *path)
{
    return !strpbrk(path, "<>&*?[]\\");
}

/* Accept the file at PATH, and each folder on the way there. */
static void write_path(Buf *rule, Str path)
{
    for (size_t i = 1; i <= path.len; i++)
        if (i == path.len || path.data[i] == '/')
            buf_printf(rule, "<glob>%.*s</glob>", (int) i, path.data);
}

/* A configuration that takes no font but those of `faces`. False: there is none. */
static bool write_rule(const FontApi *api, Buf *rule)
{
    bool has_any = false;

    buf_add_c(rule, "<fontconfig><selectfont><rejectfont><glob>*</glob></rejectfont><acceptfont>");
    for (size_t i = 0; i < ARRAY_LEN(faces); i++) {
        void *found = match(api, faces[i].pattern);
        unsigned char *path;

        if (found && api->FcPatternGetString(found, FC_FILE, 0, &path) == FC_RESULT_MATCH &&
            is_plain((const char *) path)) {
            write_path(rule, str_from_c((const char *) path));
            has_any = true;
        }
        if (found)
            api->FcPatternDestroy(found);
    }
    buf_add_c(rule, "</acceptfont></selectfont></fontconfig>");
    buf_add_char(rule, '\0');
    return has_any && buf_check(rule) == 0;
}

/* Open the face of *PATTERN and make it part of it. */
static void open_face(const FontApi *api, void *library, void **pattern)
{
    unsigned char *path;
    int index = 0;
    void *face, *with_face;

    if (api->FcPatternGetString(*pattern, FC_FILE, 0, &path) != FC_RESULT_MATCH)
        return;
    (void) api->FcPatternGetInteger(*pattern, FC_INDEX, 0, &index);
    if (api->FT_New_Face(library, (const char *) path, index, &face))
        return;
    with_face = api->FcPatternDuplicate(*pattern);
    if (!with_face || !api->FcPatternAddFTFace(with_face, FC_FT_FACE, face))
        return;
    api->FcPatternDestroy(*pattern);
    *pattern = with_face;
}

/* Let the faces be all there are, and open. */
static bool reject_others(const FontApi *api)
{
    AUTO(buf_deinit) Buf rule = { 0 };
    void *config, *library;
    FontSet *set;

    if (!write_rule(api, &rule))
        return false;
    config = api->FcInitLoadConfig();
    if (!config ||
        !api->FcConfigParseAndLoadFromMemory(config, (const unsigned char *) rule.data, 0) ||
        !api->FcConfigBuildFonts(config) || api->FT_Init_FreeType(&library))
        return false;
    set = api->FcConfigGetFonts(config, FC_SET_SYSTEM);
    for (int i = 0; set && i < set->n; i++)
        open_face(api, library, &set->patterns[i]);
    return api->FcConfigSetCurrent(config);
}

/* What is loaded here stays for the life of the process. */
static void load_all(const FontApi *api)
{
    void *map = api->pango_cairo_font_map_get_default();
    void *context = map ? api->pango_font_map_create_context(map) : NULL;

    for (size_t i = 0; context && i < ARRAY_LEN(faces); i++) {
        void *description, *font;

        if (!faces[i].description)
            continue;
        description = api->pango_font_description_from_string(faces[i].description);
        font = api->pango_font_map_load_font(map, context, description);
        if (font) {
            (void) api->pango_cairo_font_get_scaled_font(font);
            (void) api->pango_font_get_hb_font(font);
        }
        api->pango_font_description_free(description);
    }
}

void image_fonts_hold(void)
{
    FontApi api;

    if (api_open(&api) && reject_others(&api))
        load_all(&api);
}
