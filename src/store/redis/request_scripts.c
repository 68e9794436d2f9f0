/*
 * The texts of the scripts, put together from the pieces that tools/gen-lua has made of the .lua
 * files: for servers with functions one library of all, for the others a text for each.
 */
#include "store/redis/request_int.h"

#include "base/assert.h"

extern const char scripts_prelude[], scripts_register[];
extern const char *const scripts_pieces[];

const char *scripts_library;

static const char *take_text(Buf *buf)
{
    char *text = buf_take_c(buf);

    ASSERT(text); /* some ten thousand bytes at start */
    return text;
}

static void make_library(void)
{
    Buf buf = { 0 };

    buf_printf(&buf, "#!lua name=%s\n%s\n", scripts_name, scripts_prelude);
    for (size_t i = 0; scripts_pieces[i]; i++)
        buf_add_c(&buf, scripts_pieces[i]);
    buf_add_c(&buf, scripts_register);
    scripts_library = take_text(&buf);
}

void scripts_init(void)
{
    if (scripts_library)
        return;
    for (size_t i = 0; i < SCRIPT_COUNT; i++) {
        Script *script = &scripts_table[i];
        Buf buf = { 0 };

        ASSERT(script->name); /* a row for each kind */
        buf_printf(&buf, "%s%s", scripts_prelude, script->piece);
        if (script->may_oom) /* without room a script may go on writing once it has written */
            buf_add_c(&buf, "redis.call('DEL', KEYS[2])\n");
        buf_printf(&buf, "return %s(KEYS, ARGV)\n", script->name);
        script->text = take_text(&buf);
    }
    make_library();
}
