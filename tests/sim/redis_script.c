/*
 * Scripts and functions of the simulated Redis, run by Lua 5.1 as in the real one.
 *
 * What a script sees is what Redis 7.0 shows: KEYS and ARGV, the table `redis`, globals that can
 * be neither made nor read when they are not there, and replies changed into Lua's values by the
 * rules of the manual. An error that ends a script is written down (SimRedisStats.script_error):
 * nothing is rolled back, so a store's script may never end that way once it has changed something.
 */
#include "../sim/redis_call.h"

#include "base/assert.h"
#include "base/mem.h"

#if SL_HAVE_LUA

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

/* A script by its sum, or a function by its name. */
typedef struct Code {
    int ref; /* in Lua's registry */
    bool no_writes, allows_oom, has_flags;
    char library[64];
} Code;

struct ScriptHost {
    lua_State *lua;
    Map scripts;   /* sum -> Code */
    Map functions; /* name -> Code */
    Map libraries; /* name -> Str * */
    SimRedis *redis;
    Call *call; /* the one under way */
    const Code *code;
    bool is_read_only; /* by the command */
    bool is_dirty;     /* it has written */
    bool is_full;      /* maxmemory was reached when it began */
    bool is_resp3;
    char *loading; /* the library that registers now; NULL */
    bool has_registered;
};

static const char host_key = 0;

static ScriptHost *host_of(lua_State *lua)
{
    ScriptHost *host;

    lua_pushlightuserdata(lua, (void *) &host_key);
    lua_rawget(lua, LUA_REGISTRYINDEX);
    host = lua_touserdata(lua, -1);
    lua_pop(lua, 1);
    return host;
}

static void sum_of(Str text, char out[static 41])
{
    unsigned char sum[SHA_DIGEST_LENGTH];

    SHA1((const unsigned char *) text.data, text.len, sum);
    for (size_t i = 0; i < sizeof(sum); i++)
        snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

/* ---- replies as Lua's values ----------------------------------------------------------------- */

static void push_field(lua_State *lua, const char *name, const char *text, size_t len)
{
    lua_newtable(lua);
    lua_pushstring(lua, name);
    lua_pushlstring(lua, text, len);
    lua_settable(lua, -3);
}

/* Push the value at AT; returns where the next begins. The reply is our own, so it is whole. */
static const char *push_reply(lua_State *lua, const char *at)
{
    const char *line = at + 1, *end = strstr(line, "\r\n"), *next = end + 2;
    long long number = strtoll(line, NULL, 10);

    luaL_checkstack(lua, 4, "too deep");
    switch (*at) {
    case ':': lua_pushnumber(lua, (lua_Number) number); return next;
    case '+': push_field(lua, "ok", line, (size_t) (end - line)); return next;
    case '-': push_field(lua, "err", line, (size_t) (end - line)); return next;
    case '_': lua_pushnil(lua); return next;
    case ',':
        lua_newtable(lua);
        lua_pushnumber(lua, strtod(line, NULL));
        lua_setfield(lua, -2, "double");
        return next;
    case '$':
        if (number < 0)
            return lua_pushboolean(lua, 0), next;
        lua_pushlstring(lua, next, (size_t) number);
        return next + number + 2;
    case '%':
        lua_newtable(lua);
        lua_newtable(lua);
        for (long long i = 0; i < number; i++) {
            next = push_reply(lua, next);
            next = push_reply(lua, next);
            lua_settable(lua, -3);
        }
        lua_setfield(lua, -2, "map");
        return next;
    default:
        if (number < 0)
            return lua_pushboolean(lua, 0), next;
        lua_newtable(lua);
        for (long long i = 1; i <= number; i++) {
            next = push_reply(lua, next);
            lua_rawseti(lua, -2, (int) i);
        }
        return next;
    }
}

/* ---- Lua's values as replies ----------------------------------------------------------------- */

static void say_value(Call *call, lua_State *lua);

/* A table with FIELD holding a text: replied as a line with MARK. */
static bool say_field(Call *call, lua_State *lua, const char *name, char mark)
{
    const char *text;
    bool is_it;

    lua_pushstring(lua, name);
    lua_rawget(lua, -2);
    is_it = lua_type(lua, -1) == LUA_TSTRING;
    if (is_it) {
        text = lua_tostring(lua, -1);
        buf_add_char(call->out, mark);
        for (; *text; text++)
            buf_add_char(call->out, *text == '\r' || *text == '\n' ? ' ' : *text);
        buf_add_c(call->out, "\r\n");
    }
    lua_pop(lua, 1);
    return is_it;
}

static bool say_double(Call *call, lua_State *lua)
{
    bool is_it;

    lua_pushstring(lua, "double");
    lua_rawget(lua, -2);
    is_it = lua_type(lua, -1) == LUA_TNUMBER;
    if (is_it)
        say_real(call, lua_tonumber(lua, -1));
    lua_pop(lua, 1);
    return is_it;
}

static bool say_dictionary(Call *call, lua_State *lua)
{
    size_t n = 0;

    lua_pushstring(lua, "map");
    lua_rawget(lua, -2);
    if (!lua_istable(lua, -1))
        return lua_pop(lua, 1), false;
    for (lua_pushnil(lua); lua_next(lua, -2); lua_pop(lua, 1))
        n++;
    say_map(call, n);
    for (lua_pushnil(lua); lua_next(lua, -2);) {
        lua_pushvalue(lua, -2);
        say_value(call, lua);
        say_value(call, lua);
    }
    lua_pop(lua, 1);
    return true;
}

/* The value on top, which is taken off. */
static void say_value(Call *call, lua_State *lua)
{
    size_t len, n = 0;
    const char *text;

    switch (lua_type(lua, -1)) {
    case LUA_TSTRING:
        text = lua_tolstring(lua, -1, &len);
        say_text(call, str_from(text, len));
        break;
    case LUA_TBOOLEAN:
        if (call->is_resp3 && host_of(lua)->is_resp3)
            buf_add_c(call->out, lua_toboolean(lua, -1) ? "#t\r\n" : "#f\r\n");
        else if (lua_toboolean(lua, -1))
            say_number(call, 1);
        else
            say_null(call);
        break;
    case LUA_TNUMBER: say_number(call, (int64_t) lua_tonumber(lua, -1)); break;
    case LUA_TTABLE:
        luaL_checkstack(lua, 8, "too deep");
        if (say_field(call, lua, "err", '-') || say_field(call, lua, "ok", '+') ||
            say_double(call, lua) || say_dictionary(call, lua))
            break;
        for (lua_rawgeti(lua, -1, 1); !lua_isnil(lua, -1); lua_rawgeti(lua, -1, (int) n + 1)) {
            n++;
            lua_pop(lua, 1);
        }
        lua_pop(lua, 1);
        say_list(call, n);
        for (size_t i = 1; i <= n; i++) {
            lua_rawgeti(lua, -1, (int) i);
            say_value(call, lua);
        }
        break;
    default: say_null(call); break;
    }
    lua_pop(lua, 1);
}

/* ---- the table `redis` ----------------------------------------------------------------------- */

/* The reasons why a script may not run COMMAND; NULL: it may. */
static const char *why_not(const ScriptHost *host, const Command *command)
{
    if (!command)
        return NULL; /* the dispatcher says it */
    if ((command->flags & COMMAND_WRITE) &&
        (host->is_read_only || (host->code && host->code->no_writes)))
        return "-ERR Write commands are not allowed from read-only scripts.\r\n";
    if ((command->flags & COMMAND_GROWS) && host->is_full && !host->is_dirty &&
        !(host->code && host->code->allows_oom))
        return "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    return NULL;
}

/* Run the command on the stack; its reply in OUT. Nothing here raises. */
static void run_command(ScriptHost *host, lua_State *lua, int n, Buf *out)
{
    Str *argv = mem_new_array(Str, (size_t) n);
    Call call = *host->call;
    const Command *command;
    const char *refusal;

    for (int i = 0; i < n; i++) {
        size_t len;
        const char *text = lua_tolstring(lua, i + 1, &len);

        argv[i] = str_from(text, len);
    }
    call.out = out;
    call.is_script = true;
    call.is_resp3 = host->is_resp3;
    call.argv = argv;
    call.argc = (size_t) n;
    command = redis_command_find(host->redis, argv[0]);
    refusal = why_not(host, command);
    if (refusal)
        buf_add_c(out, refusal);
    else if (redis_call_run(&call) && command && (command->flags & COMMAND_WRITE))
        host->is_dirty = true;
    buf_add_char(out, '\0');
    mem_free(argv);
}

static int raise(lua_State *lua, const char *words)
{
    push_field(lua, "err", words, strlen(words));
    return lua_error(lua);
}

static int call_command(lua_State *lua, bool raises)
{
    ScriptHost *host = host_of(lua);
    int n = lua_gettop(lua);
    bool is_error;
    Buf out = { 0 };

    if (!host->call)
        return raise(lua, "ERR redis.call can only be called inside a script invocation");
    if (n == 0)
        return raise(lua, "ERR Please specify at least one argument for this redis lib call");
    for (int i = 1; i <= n; i++) {
        char text[40];

        if (lua_type(lua, i) == LUA_TNUMBER) {
            lua_pushlstring(lua, text, real_to_text(lua_tonumber(lua, i), text));
            lua_replace(lua, i);
        } else if (lua_type(lua, i) != LUA_TSTRING) {
            return raise(lua, "ERR Lua redis lib command arguments must be strings or integers");
        }
    }
    run_command(host, lua, n, &out);
    is_error = out.data[0] == '-';
    (void) push_reply(lua, out.data);
    buf_deinit(&out);
    return is_error && raises ? lua_error(lua) : 1;
}

static int redis_call(lua_State *lua)
{
    return call_command(lua, true);
}

static int redis_pcall(lua_State *lua)
{
    return call_command(lua, false);
}

/* Lua's own pcall, as Redis has it: of an error that is a table with `err`, the text is given. */
static int plain_pcall(lua_State *lua)
{
    int r = lua_pcall(lua, lua_gettop(lua) - 1, LUA_MULTRET, 0);

    if (r != 0 && lua_istable(lua, -1)) {
        lua_getfield(lua, -1, "err");
        if (lua_type(lua, -1) == LUA_TSTRING)
            lua_replace(lua, -2);
        else
            lua_pop(lua, 1);
    }
    lua_pushboolean(lua, r == 0);
    lua_insert(lua, 1);
    return lua_gettop(lua);
}

static int redis_error_reply(lua_State *lua)
{
    const char *text = luaL_checkstring(lua, 1);

    if (*text == '-')
        text++;
    push_field(lua, "err", text, strlen(text));
    return 1;
}

static int redis_status_reply(lua_State *lua)
{
    const char *text = luaL_checkstring(lua, 1);

    push_field(lua, "ok", text, strlen(text));
    return 1;
}

static int redis_sha1hex(lua_State *lua)
{
    size_t len;
    const char *text = luaL_checklstring(lua, 1, &len);
    char sum[41];

    sum_of(str_from(text, len), sum);
    lua_pushstring(lua, sum);
    return 1;
}

static int redis_nothing(lua_State *lua)
{
    (void) lua;
    return 0;
}

static int redis_true(lua_State *lua)
{
    lua_pushboolean(lua, 1);
    return 1;
}

static int redis_setresp(lua_State *lua)
{
    host_of(lua)->is_resp3 = luaL_checknumber(lua, 1) == 3;
    return 0;
}

static void code_flag(Code *code, Str flag)
{
    code->has_flags = true;
    code->no_writes |= str_eq_c(flag, "no-writes");
    code->allows_oom |= str_eq_c(flag, "allow-oom") || str_eq_c(flag, "no-writes");
}

static void code_flags(lua_State *lua, Code *code, int table)
{
    lua_getfield(lua, table, "flags");
    for (int i = 1; lua_istable(lua, -1); i++) {
        lua_rawgeti(lua, -1, i);
        if (lua_isnil(lua, -1)) {
            lua_pop(lua, 1);
            break;
        }
        code_flag(code, str_from_c(lua_tostring(lua, -1)));
        lua_pop(lua, 1);
    }
    lua_pop(lua, 1);
}

/* redis.register_function(name, callback) or {function_name=, callback=, flags={}}. */
static int redis_register_function(lua_State *lua)
{
    ScriptHost *host = host_of(lua);
    Code *code;
    const char *name;

    if (!host->loading)
        return luaL_error(lua,
                          "redis.register_function can only be called on FUNCTION LOAD command");
    if (lua_gettop(lua) == 1 && lua_istable(lua, 1)) {
        lua_getfield(lua, 1, "function_name");
        lua_getfield(lua, 1, "callback");
    }
    name = lua_tostring(lua, -2);
    if (!name || !lua_isfunction(lua, -1))
        return luaL_error(lua, "wrong arguments of redis.register_function");
    if (map_find(&host->functions, str_from_c(name)))
        return luaL_error(lua, "Function %s already exists", name);
    code = mem_new(Code);
    if (lua_istable(lua, 1))
        code_flags(lua, code, 1);
    code->has_flags = true;
    snprintf(code->library, sizeof(code->library), "%s", host->loading);
    (void) map_put(&host->functions, str_from_c(name), code);
    host->has_registered = true;
    code->ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    return 0;
}

/* ---- the host -------------------------------------------------------------------------------- */

static const luaL_Reg redis_table[] = {
    { "call", redis_call },
    { "pcall", redis_pcall },
    { "error_reply", redis_error_reply },
    { "status_reply", redis_status_reply },
    { "sha1hex", redis_sha1hex },
    { "log", redis_nothing },
    { "setresp", redis_setresp },
    { "replicate_commands", redis_true },
    { "set_repl", redis_nothing },
    { "breakpoint", redis_nothing },
    { "register_function", redis_register_function },
    { NULL, NULL },
};

static const char guard[] =
    "local real = setmetatable\n"
    "for _, name in ipairs({'dofile', 'loadfile', 'print', 'newproxy', 'module', 'require'}) do\n"
    "  _G[name] = nil\n"
    "end\n"
    "real(_G, {\n"
    "  __index = function(_, name)\n"
    "    error(\"Script attempted to access nonexistent global variable '\" .. tostring(name) .. "
    "\"'\", 2)\n"
    "  end,\n"
    "  __newindex = function()\n"
    "    error('Attempt to modify a readonly table', 2)\n"
    "  end,\n"
    "})\n";

static void open_library(lua_State *lua, lua_CFunction open, const char *name)
{
    lua_pushcfunction(lua, open);
    lua_pushstring(lua, name);
    lua_call(lua, 1, 0);
}

static void set_number(lua_State *lua, const char *name, lua_Number number)
{
    lua_pushnumber(lua, number);
    lua_setfield(lua, -2, name);
}

static ScriptHost *host_get(SimRedis *redis)
{
    ScriptHost *host = redis->scripts;

    if (host)
        return host;
    host = redis->scripts = mem_new(ScriptHost);
    host->redis = redis;
    host->lua = luaL_newstate();
    ASSERT(host->lua);
    open_library(host->lua, luaopen_base, "");
    open_library(host->lua, luaopen_table, LUA_TABLIBNAME);
    open_library(host->lua, luaopen_string, LUA_STRLIBNAME);
    open_library(host->lua, luaopen_math, LUA_MATHLIBNAME);
    lua_pushlightuserdata(host->lua, (void *) &host_key);
    lua_pushlightuserdata(host->lua, host);
    lua_rawset(host->lua, LUA_REGISTRYINDEX);
    lua_register(host->lua, "pcall", plain_pcall);
    luaL_register(host->lua, "redis", redis_table);
    set_number(host->lua, "LOG_DEBUG", 0);
    set_number(host->lua, "LOG_VERBOSE", 1);
    set_number(host->lua, "LOG_NOTICE", 2);
    set_number(host->lua, "LOG_WARNING", 3);
    set_number(host->lua, "REDIS_VERSION_NUM",
               redis->opts.version ? redis->opts.version : 0x07000f);
    lua_settop(host->lua, 0);
    if (luaL_dostring(host->lua, guard) != 0)
        UNREACHABLE("the guard of globals does not load");
    return host;
}

static void codes_free(ScriptHost *host, Map *codes)
{
    size_t cursor = 0;
    Str name;
    void *slot;

    while (map_next(codes, &cursor, &name, &slot)) {
        Code *code = slot;

        luaL_unref(host->lua, LUA_REGISTRYINDEX, code->ref);
        mem_free(code);
    }
    map_deinit(codes);
    *codes = (Map){ 0 };
}

void script_forget(SimRedis *redis)
{
    if (redis->scripts)
        codes_free(redis->scripts, &redis->scripts->scripts);
}

void function_forget(SimRedis *redis)
{
    ScriptHost *host = redis->scripts;
    size_t cursor = 0;
    Str name;
    void *slot;

    if (!host)
        return;
    codes_free(host, &host->functions);
    while (map_next(&host->libraries, &cursor, &name, &slot)) {
        Str *text = slot;

        text_drop(text);
        mem_free(text);
    }
    map_deinit(&host->libraries);
    host->libraries = (Map){ 0 };
}

void script_host_free(ScriptHost *host)
{
    if (!host)
        return;
    codes_free(host, &host->scripts);
    lua_close(host->lua);
    mem_free(host);
}

/* ---- running --------------------------------------------------------------------------------- */

static void push_texts(lua_State *lua, const Str *texts, size_t n)
{
    lua_newtable(lua);
    for (size_t i = 0; i < n; i++) {
        lua_pushlstring(lua, texts[i].data, texts[i].len);
        lua_rawseti(lua, -2, (int) i + 1);
    }
}

static void set_global_texts(lua_State *lua, const char *name, const Str *texts, size_t n)
{
    lua_pushstring(lua, name);
    push_texts(lua, texts, n);
    lua_rawset(lua, LUA_GLOBALSINDEX);
}

/* The error on top of the stack, as a reply; it is written down unless it did no harm. */
static void say_raised(ScriptHost *host, Call *call, const char *what)
{
    lua_State *lua = host->lua;
    char words[256];

    if (lua_istable(lua, -1)) {
        lua_getfield(lua, -1, "err");
        snprintf(words, sizeof(words), "%s",
                 lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : "ERR unknown error");
        lua_pop(lua, 1);
    } else {
        snprintf(words, sizeof(words), "ERR %s",
                 lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : "unknown error");
    }
    for (char *at = words; *at; at++) {
        if (*at == '\r' || *at == '\n')
            *at = ' ';
    }
    say_error(call, "%s script: %s, on @user_script.", words, what);
    if ((host->is_dirty ||
         (strncmp(words, "OOM ", 4) != 0 && strncmp(words, "READONLY ", 9) != 0)) &&
        !host->redis->stats.script_error[0])
        snprintf(host->redis->stats.script_error, sizeof(host->redis->stats.script_error), "%s: %s",
                 what, words);
    lua_settop(lua, 0);
}

/* Call what is on the stack below its N_ARGS arguments. */
static void run_code(ScriptHost *host, Call *call, const Code *code, int n_args, const char *what)
{
    bool is_read_only = str_ends(call->argv[0], str_from_c("_ro")) ||
                        str_ends(call->argv[0], str_from_c("_RO"));

    host->code = code;
    host->call = call;
    host->is_dirty = false;
    host->is_read_only = is_read_only;
    host->is_full = redis_is_full(host->redis);
    host->is_resp3 = false;
    host->redis->stats.scripts++;
    if (code->has_flags && host->is_full && !code->allows_oom) {
        say_error(call,
                  "OOM allow-oom flag is not set on the %s, can not run it when used "
                  "memory > 'maxmemory'",
                  n_args > 0 ? "function" : "script");
        lua_settop(host->lua, 0);
    } else if (code->has_flags && !code->no_writes && redis_is_read_only(host->redis, call->conn)) {
        say_error(call, "READONLY Can not run script with write flag on readonly replica");
        lua_settop(host->lua, 0);
    } else if (lua_pcall(host->lua, n_args, 1, 0) != 0) {
        say_raised(host, call, what);
    } else {
        say_value(call, host->lua);
    }
    host->call = NULL;
    lua_gc(host->lua, LUA_GCSTEP, 8);
}

/* Compile TEXT and keep it: its code, or NULL with the error replied. */
static Code *script_load(ScriptHost *host, Call *call, Str text, const char sum[static 41])
{
    Code *code = map_find(&host->scripts, str_from_c(sum));
    Str body = text, line = { 0 };

    if (code)
        return code;
    if (str_starts(text, str_from_c("#!"))) {
        line = str_cut(text, '\n', &body);
        body = str_from(line.data + line.len, body.len + (line.len < text.len));
    }
    if (luaL_loadbuffer(host->lua, body.data ? body.data : "", body.len, "@user_script") != 0) {
        say_error(call, "ERR Error compiling script (new function): %s",
                  lua_tostring(host->lua, -1));
        lua_settop(host->lua, 0);
        return NULL;
    }
    code = mem_new(Code);
    for (code->has_flags = line.len > 0; line.len > 0;) {
        Str flags = str_cut(line, ' ', &line);

        if (!str_starts(flags, str_from_c("flags=")))
            continue;
        for (flags = str_sub(flags, 6, SIZE_MAX); flags.len > 0;)
            code_flag(code, str_cut(flags, ',', &flags));
    }
    code->ref = luaL_ref(host->lua, LUA_REGISTRYINDEX);
    (void) map_put(&host->scripts, str_from_c(sum), code);
    return code;
}

static bool keys_count(Call *call, size_t *ret_n)
{
    int64_t n;

    if (!arg_number(call, 2, &n))
        return false;
    if (n < 0)
        say_error(call, "ERR Number of keys can't be negative");
    else if ((uint64_t) n > call->argc - 3)
        say_error(call, "ERR Number of keys can't be greater than number of args");
    else
        return *ret_n = (size_t) n, true;
    return false;
}

static void eval(Call *call)
{
    ScriptHost *host = host_get(call->redis);
    bool is_sum = call->argv[0].len > 5 && (call->argv[0].data[4] | 32) == 's';
    char sum[41] = { 0 };
    Code *code;
    size_t n;

    if (!keys_count(call, &n))
        return;
    if (is_sum) {
        for (size_t i = 0; i < 40 && i < call->argv[1].len; i++)
            sum[i] = (char) (call->argv[1].data[i] | 32);
        code = map_find(&host->scripts, str_from_c(sum));
        if (!code)
            return say_error(call, "NOSCRIPT No matching script. Please use EVAL.");
    } else {
        sum_of(call->argv[1], sum);
        code = script_load(host, call, call->argv[1], sum);
        if (!code)
            return;
    }
    set_global_texts(host->lua, "KEYS", call->argv + 3, n);
    set_global_texts(host->lua, "ARGV", call->argv + 3 + n, call->argc - 3 - n);
    lua_rawgeti(host->lua, LUA_REGISTRYINDEX, code->ref);
    run_code(host, call, code, 0, sum);
}

static void fcall(Call *call)
{
    ScriptHost *host = host_get(call->redis);
    Code *code = map_find(&host->functions, call->argv[1]);
    char name[64];
    size_t n;

    if (!code)
        return say_error(call, "ERR Function not found");
    if (!keys_count(call, &n))
        return;
    snprintf(name, sizeof(name), "%.*s", (int) call->argv[1].len, call->argv[1].data);
    lua_rawgeti(host->lua, LUA_REGISTRYINDEX, code->ref);
    push_texts(host->lua, call->argv + 3, n);
    push_texts(host->lua, call->argv + 3 + n, call->argc - 3 - n);
    run_code(host, call, code, 2, name);
}

/* ---- SCRIPT and FUNCTION --------------------------------------------------------------------- */

static void script(Call *call)
{
    ScriptHost *host = host_get(call->redis);
    char sum[41];

    if (arg_is(call->argv[1], "load") && call->argc == 3) {
        sum_of(call->argv[2], sum);
        if (script_load(host, call, call->argv[2], sum))
            say_c(call, sum);
    } else if (arg_is(call->argv[1], "flush")) {
        script_forget(call->redis);
        say_status(call, "OK");
    } else if (arg_is(call->argv[1], "exists")) {
        say_list(call, call->argc - 2);
        for (size_t i = 2; i < call->argc; i++)
            say_number(call, map_find(&host->scripts, call->argv[i]) != NULL);
    } else {
        say_error(call, "ERR unknown subcommand '%.*s'. Try SCRIPT HELP.", (int) call->argv[1].len,
                  call->argv[1].data);
    }
}

static void library_remove(ScriptHost *host, Str name)
{
    Str *text = map_remove(&host->libraries, name);
    bool is_any = true;

    while (is_any) { /* a map may not change under its walk */
        size_t cursor = 0;
        Str function;
        void *slot;

        is_any = false;
        while (!is_any && map_next(&host->functions, &cursor, &function, &slot))
            is_any = str_eq_c(name, ((Code *) slot)->library);
        if (is_any) {
            Code *code = map_remove(&host->functions, function);

            luaL_unref(host->lua, LUA_REGISTRYINDEX, code->ref);
            mem_free(code);
        }
    }
    if (text)
        text_drop(text);
    mem_free(text);
}

static void function_load(Call *call)
{
    ScriptHost *host = host_get(call->redis);
    Str text = call->argv[call->argc - 1], body, name, line = str_cut(text, '\n', &body);
    bool is_replaced = call->argc == 4 && arg_is(call->argv[2], "replace");
    char library[64];
    int r;

    (void) str_cut(line, '=', &name);
    if (!str_starts(line, str_from_c("#!lua ")) || name.len == 0)
        return say_error(call, "ERR Missing library metadata");
    snprintf(library, sizeof(library), "%.*s", (int) name.len, name.data);
    if (map_find(&host->libraries, name) && !is_replaced)
        return say_error(call, "ERR Library '%s' already exists", library);
    library_remove(host, name);
    host->loading = library;
    host->has_registered = false;
    r = luaL_loadbuffer(host->lua, line.data + line.len, text.len - line.len, "@user_function");
    if (r == 0)
        r = lua_pcall(host->lua, 0, 0, 0);
    host->loading = NULL;
    if (r != 0) {
        say_error(call, "ERR Error compiling function: %s", lua_tostring(host->lua, -1));
        library_remove(host, str_from_c(library));
    } else if (!host->has_registered) {
        say_error(call, "ERR No functions registered");
    } else {
        Str *kept = mem_new(Str);

        *kept = text_own(text);
        (void) map_put(&host->libraries, str_from_c(library), kept);
        say_c(call, library);
    }
    lua_settop(host->lua, 0);
}

static void function_list(Call *call)
{
    ScriptHost *host = host_get(call->redis);
    Str only = { 0 }, name;
    bool has_code = false;
    size_t cursor = 0, n = 0;
    void *slot;

    for (size_t i = 2; i < call->argc; i++) {
        if (arg_is(call->argv[i], "withcode"))
            has_code = true;
        else if (arg_is(call->argv[i], "libraryname") && i + 1 < call->argc)
            only = call->argv[++i];
    }
    while (map_next(&host->libraries, &cursor, &name, &slot))
        n += only.len == 0 || str_eq(only, name);
    say_list(call, n);
    for (cursor = 0; map_next(&host->libraries, &cursor, &name, &slot);) {
        if (only.len > 0 && !str_eq(only, name))
            continue;
        say_map(call, has_code ? 4 : 3);
        say_c(call, "library_name");
        say_text(call, name);
        say_c(call, "engine");
        say_c(call, "LUA");
        say_c(call, "functions");
        say_list(call, 0);
        if (has_code) {
            say_c(call, "library_code");
            say_text(call, *(Str *) slot);
        }
    }
}

static void function(Call *call)
{
    if (arg_is(call->argv[1], "load") && call->argc >= 3) {
        function_load(call);
    } else if (arg_is(call->argv[1], "list")) {
        function_list(call);
    } else if (arg_is(call->argv[1], "flush")) {
        function_forget(call->redis);
        say_status(call, "OK");
    } else if (arg_is(call->argv[1], "delete") && call->argc == 3) {
        if (!map_find(&host_get(call->redis)->libraries, call->argv[2]))
            return say_error(call, "ERR Library not found");
        library_remove(call->redis->scripts, call->argv[2]);
        say_status(call, "OK");
    } else {
        say_error(call, "ERR unknown subcommand '%.*s'. Try FUNCTION HELP.",
                  (int) call->argv[1].len, call->argv[1].data);
    }
}

enum { N = COMMAND_NO_SCRIPT };

const Command redis_script_commands[] = {
    { "eval", eval, -3, N, 0, 0, 0 },
    { "evalsha", eval, -3, N, 0, 0, 0 },
    { "eval_ro", eval, -3, N, 0, 0, 0 },
    { "evalsha_ro", eval, -3, N, 0, 0, 0 },
    { "fcall", fcall, -3, N, 0, 0, 0 },
    { "fcall_ro", fcall, -3, N, 0, 0, 0 },
    { "script", script, -2, N, 0, 0, 0 },
    { "function", function, -2, N, 0, 0, 0 },
    { 0 },
};

#else /* without Lua the server knows no scripts */

const Command redis_script_commands[] = { { 0 } };

void script_host_free(ScriptHost *host)
{
    (void) host;
}

void script_forget(SimRedis *redis)
{
    (void) redis;
}

void function_forget(SimRedis *redis)
{
    (void) redis;
}

#endif
