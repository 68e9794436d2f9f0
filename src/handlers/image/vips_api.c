/*
 * libvips, opened at run time: see vips_api.h.
 */
#include "handlers/image/vips_api.h"

#include "base/err.h"
#include "base/macro.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

#define SONAME    "libvips.so.42"
#define WORDS_MAX 400

/* What was asked for once, and what came of it. */
static struct {
    pthread_once_t once;
    int outcome;
    const char *missing; /* the function that this libvips does not have */
} opened = { .once = PTHREAD_ONCE_INIT };

VipsApi image_vips;

static const struct {
    const char *name;
    size_t offset;
} calls[] = {
#define CALL_ROW(call) { #call, offsetof(VipsApi, call) },
    IMAGE_VIPS_CALLS(CALL_ROW)
#undef CALL_ROW
};

/* libvips tells of damaged files on stderr; what matters of it is in the error of the run. */
static void on_log(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data)
{
    (void) domain;
    (void) level;
    (void) message;
    (void) data;
}

static void set_up(void)
{
    static const char *const quiet[] = { "VIPS", "GLib", "GLib-GObject", "librsvg", "Poppler" };

    for (size_t i = 0; i < ARRAY_LEN(quiet); i++)
        V(g_log_set_handler)
    (quiet[i], G_LOG_LEVEL_MASK | G_LOG_FLAG_RECURSION, on_log, NULL);
    V(vips_concurrency_set)(1);
    V(vips_cache_set_max)(0);
    V(vips_block_untrusted_set)(TRUE);
    V(vips_operation_block_set)("VipsForeignLoadSvg", FALSE);
    V(vips_operation_block_set)("VipsForeignLoadPdf", FALSE);
}

static void open_once(void)
{
    void *library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);

    opened.outcome = -ERR_UNSUPPORTED;
    opened.missing = SONAME;
    if (!library)
        return;
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        void *address = dlsym(library, calls[i].name);

        opened.missing = calls[i].name;
        if (!address)
            return;
        memcpy((char *) &image_vips + calls[i].offset, &address, sizeof(address));
    }
    opened.missing = "vips_init";
    if (V(vips_init)("sluice"))
        return;
    set_up();
    opened.outcome = 0;
}

int image_vips_open(void)
{
    pthread_once(&opened.once, open_once);
    if (opened.outcome < 0)
        return fail(opened.outcome,
                    "pictures need libvips 8.13 or later, and %s cannot be had here",
                    opened.missing);
    return 0;
}

int image_vips_fail(int code, const char *what)
{
    char words[WORDS_MAX];
    size_t len = 0;

    for (const char *c = V(vips_error_buffer)(); *c && len < sizeof(words) - 1; c++)
        words[len++] = *c;
    while (len > 0 && words[len - 1] == '\n')
        len--;
    words[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if (words[i] == '\n')
            words[i] = ';';
    V(vips_error_clear)();
    return fail(code, "%s: %s", what, len > 0 ? words : "no reason given");
}

void image_unref(VipsImage *image)
{
    V(g_object_unref)(image);
}

void image_replace(VipsImage **image, VipsImage *next)
{
    if (*image)
        image_unref(*image);
    *image = next;
}
