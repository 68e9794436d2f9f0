/*
 * Files of a plan: two sinks that write one file, and folders that cannot be written to.
 *
 * A file has one writer: the second sink of it would find it locked when the pipeline starts. That
 * is a mistake in the plan, and told as one.
 *
 * Whether a folder can be written to is no matter of the plan, which may be checked on another
 * machine than it runs on; so that is a note, and only who asks for it looks.
 */
#include "base/err.h"
#include "base/mem.h"
#include "pipeline/plan.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- one writer ------------------------------------------------------------------------------ */

/* The file that SINK writes, in one spelling; empty: it writes none, or one that many may. */
static Str file_of(const PlanSink *sink)
{
    Str path = sink->spec.target, here = str_from_c("./");
    const SinkDriver *driver = sink->spec.driver;

    if (!driver || (strcmp(driver->name, "csv") != 0 && strcmp(driver->name, "jsonl") != 0))
        return (Str){ 0 };
    while (str_starts(path, here))
        path = str_sub(path, here.len, path.len);
    return str_eq_c(path, "-") || str_starts(path, str_from_c("/dev/")) ? (Str){ 0 } : path;
}

static int refuse(const PlanSink *sink, Str other, Str file)
{
    return fail(-ERR_CONFIG,
                "%.*s: %.*s writes %.*s already, and a file has one writer; give it another name",
                (int) sink->name.len, sink->name.data, (int) other.len, other.data, (int) file.len,
                file.data);
}

int plan_check_files(const Plan *plan)
{
    Str letters = file_of(&plan->dead_letters);

    for (size_t i = 0; i < plan->n_sinks; i++) {
        Str file = file_of(&plan->sinks[i]);

        if (file.len == 0)
            continue;
        for (size_t k = 0; k < i; k++) {
            if (str_eq(file_of(&plan->sinks[k]), file))
                return wrap(refuse(&plan->sinks[i], plan->sinks[k].name, file), "sinks");
        }
        if (str_eq(letters, file))
            return wrap(refuse(&plan->dead_letters, plan->sinks[i].name, file), "dead_letters");
    }
    return 0;
}

/* ---- folders --------------------------------------------------------------------------------- */

/* Why a folder PATH cannot be made or written to: 0, or what errno would be. */
static int trouble_with(char *path)
{
    struct stat st;
    char *end = path + strlen(path);

    while (stat(path, &st) < 0) { /* go up to what is there */
        if (errno != ENOENT && errno != ENOTDIR)
            return errno;
        while (end > path && *end != '/')
            end--;
        if (end == path)
            return access(*path == '/' ? "/" : ".", W_OK) < 0 ? errno : 0;
        *end = '\0';
    }
    if (!S_ISDIR(st.st_mode))
        return ENOTDIR;
    return access(path, W_OK | X_OK) < 0 ? errno : 0;
}

static void note_folder(const char *setting, Str folder, void (*tell)(void *ctx, Str note),
                        void *ctx)
{
    AUTO(buf_deinit) Buf note = { 0 };
    AUTO(mem_free) char *path = mem_copy_c(folder.data, folder.len);
    int trouble = folder.len > 0 ? trouble_with(path) : 0;

    if (trouble == 0)
        return;
    buf_printf(&note,
               "%s: the folder %.*s cannot be written to here (%s: %s); a run would not start. "
               "Give another one, or make it and let this user write to it",
               setting, (int) folder.len, folder.data, path, err_sentence(-trouble));
    tell(ctx, buf_str(&note));
}

void plan_folder_notes(const Plan *plan, void (*tell)(void *ctx, Str note), void *ctx)
{
    note_folder("state", plan->config.state, tell, ctx);
    note_folder("channel.spill_dir", plan->config.channel.spill_dir, tell, ctx);
}
