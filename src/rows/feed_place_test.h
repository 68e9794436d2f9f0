/*
 * Where the contract test of feeds writes to, and how it looks at what is there: with SQLite's own
 * library, with psql, and with readers of CSV and JSON lines that go through the files that were
 * closed, then the current one.
 */
#pragma once

#include "base/arena.h"
#include "base/test.h"
#include "codec/json.h"
#include "rows/feed.h"
#include "rows/pg_cluster_test.h"

#include <glob.h>
#if SL_HAVE_SQLITE
#include <sqlite3.h>
#endif

typedef struct FeedPlace {
    const SinkDriver *driver;
    char text[400]; /* of the sink */
    char path[64];  /* of a file; empty for a server */
    char table[32];
    bool can_lock; /* another program can keep its writers out */
} FeedPlace;

/* A row as it was found. */
typedef void (*FeedSeen)(void *ctx, Str id, Str name);

static PgCluster place_cluster = { .why_not = "not started" };
static unsigned n_places;

static inline void feed_places_start(void)
{
    pg_cluster_start(&place_cluster);
}

static inline void feed_places_stop(void)
{
    pg_cluster_stop(&place_cluster);
}

static inline const char *feed_place_why_not(const SinkDriver *driver)
{
    return strcmp(driver->name, "postgresql") == 0 ? place_cluster.why_not
                                                   : "the test has no reader for it";
}

/* A place of its own for DRIVER; false when it is no feed or cannot be tried here. */
static inline bool feed_place_make(FeedPlace *place, const SinkDriver *driver)
{
    bool is_server = strcmp(driver->name, "postgresql") == 0;
    bool is_file = strcmp(driver->name, "sqlite") == 0 || strcmp(driver->name, "csv") == 0 ||
                   strcmp(driver->name, "jsonl") == 0;

    if (!driver->feed || (is_server && place_cluster.why_not) || (!is_server && !is_file))
        return false;
    *place = (FeedPlace){ .driver = driver, .can_lock = strcmp(driver->name, "sqlite") == 0 };
    (void) snprintf(place->table, sizeof(place->table), "t%u", n_places);
    if (is_file)
        (void) snprintf(place->path, sizeof(place->path), "place%u.out", n_places);
    (void) snprintf(place->text, sizeof(place->text), "%s%s%s%s%s",
                    is_file ? driver->name : place_cluster.url, is_file ? ":" : "", place->path,
                    driver->has_table ? (is_file ? "?table=" : "&table=") : "",
                    driver->has_table ? place->table : "");
    n_places++;
    return true;
}

/* ---- databases ------------------------------------------------------------------------------- */

/* The answer of psql to SQL, columns with commas between. */
static inline bool feed_place_psql(const char *sql, Buf *out)
{
    AUTO(buf_deinit) Buf command = { 0 };
    char piece[4096];
    FILE *pipe;
    size_t n;

    buf_printf(&command, "%s/psql -h %s -U sluice -d postgres -qAt -F, 2>/dev/null <<'EOSQL'\n",
               place_cluster.bin, place_cluster.dir);
    buf_printf(&command, "\\set ON_ERROR_STOP 1\n%s\nEOSQL", sql);
    buf_add_char(&command, '\0');
    pipe = popen(command.data, "r");
    while (pipe && (n = fread(piece, 1, sizeof(piece), pipe)) > 0)
        buf_add(out, piece, n);
    return pipe && pclose(pipe) == 0;
}

#if SL_HAVE_SQLITE
static inline int feed_place_on_row(void *ctx, int n, char **values, char **names)
{
    Buf *out = ctx;

    (void) names;
    for (int i = 0; i < n; i++)
        buf_printf(out, "%s%s", i == 0 ? "" : ",", values[i] ? values[i] : "");
    buf_add_char(out, '\n');
    return 0;
}

static inline bool feed_place_sqlite(const FeedPlace *place, const char *sql, Buf *out)
{
    sqlite3 *db = NULL;
    int rc;

    (void) sqlite3_open(place->path, &db);
    rc = sqlite3_exec(db, sql, feed_place_on_row, out, NULL);
    (void) sqlite3_close(db);
    return rc == SQLITE_OK;
}
#else
static inline bool feed_place_sqlite(const FeedPlace *place, const char *sql, Buf *out)
{
    (void) place;
    (void) sql;
    (void) out;
    return false;
}
#endif

/* Ask the database of PLACE; %s in SQL is the table. */
static inline bool feed_place_ask(const FeedPlace *place, const char *sql, Buf *out)
{
    AUTO(buf_deinit) Buf text = { 0 };

    for (; *sql; sql++) {
        if (sql[0] == '%' && sql[1] == 's') {
            buf_add_c(&text, place->table);
            sql++;
        } else {
            buf_add_char(&text, *sql);
        }
    }
    buf_add_char(&text, '\0');
    return place->path[0] ? feed_place_sqlite(place, text.data, out)
                          : feed_place_psql(text.data, out);
}

static inline void feed_place_sql(const FeedPlace *place, const char *sql)
{
    AUTO(buf_deinit) Buf out = { 0 };

    if (!feed_place_ask(place, sql, &out))
        test_fail(__FILE__, __LINE__, "%s: %s failed", place->text, sql);
}

/* A table that takes every name but "bad". False where there are no rules. */
static inline bool feed_place_make_picky(const FeedPlace *place)
{
    if (!place->driver->has_table)
        return false;
    feed_place_sql(place, "CREATE TABLE %s (id BIGINT, name TEXT CHECK (name <> 'bad'))");
    return true;
}

/* Keep other writers out, or let them in again. */
static inline void feed_place_lock(const FeedPlace *place, bool is_locked)
{
#if SL_HAVE_SQLITE
    static sqlite3 *locker;

    if (is_locked) {
        (void) sqlite3_open(place->path, &locker);
        EXPECT_EQ(sqlite3_exec(locker, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        return;
    }
    EXPECT_EQ(sqlite3_exec(locker, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    (void) sqlite3_close(locker);
#else
    (void) place;
    (void) is_locked;
#endif
}

/* ---- files ----------------------------------------------------------------------------------- */

static inline char *feed_place_read(const char *path)
{
    AUTO(buf_deinit) Buf text = { .max_bytes = 64 << 20 };
    char piece[4096];
    bool is_packed = str_ends(str_from_c(path), STR_C(".gz"));
    FILE *file;
    size_t n;

    if (is_packed) {
        AUTO(buf_deinit) Buf command = { 0 };

        buf_printf(&command, "gzip -dc %s", path);
        buf_add_char(&command, '\0');
        file = popen(command.data, "r");
    } else {
        file = fopen(path, "r");
    }
    if (!file)
        return NULL;
    while ((n = fread(piece, 1, sizeof(piece), file)) > 0)
        buf_add(&text, piece, n);
    (void) (is_packed ? pclose(file) : fclose(file));
    return buf_take_c(&text);
}

/* One cell at the front of *TEXT, unquoted into CELL. The character behind it, 0 at the end. */
static inline char feed_place_cell(char **text, Buf *cell)
{
    char *c = *text;

    buf_reset(cell);
    if (*c == '"') {
        for (c++; *c && !(c[0] == '"' && c[1] != '"'); c++) {
            c += c[0] == '"';
            buf_add_char(cell, *c);
        }
        c += *c == '"';
    }
    for (; *c && *c != ',' && *c != '\r' && *c != '\n'; c++)
        buf_add_char(cell, *c);
    *text = c;
    if (*c == '\r' && c[1] == '\n')
        *text = ++c;
    if (*c)
        (*text)++;
    return *c;
}

static inline void feed_place_read_csv(char *text, FeedSeen on_row, void *ctx)
{
    AUTO(buf_deinit) Buf first = { 0 };
    AUTO(buf_deinit) Buf second = { 0 };
    AUTO(buf_deinit) Buf third = { 0 };
    bool is_head = true;

    while (*text) {
        size_t n = 0;
        char end = ',';

        for (; end == ','; n++)
            end = feed_place_cell(&text, n == 0 ? &first : n == 1 ? &second : &third);
        if (!is_head)
            on_row(ctx, buf_str(&first), buf_str(&second));
        is_head = false;
    }
}

static inline void feed_place_read_jsonl(Str text, FeedSeen on_row, void *ctx)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc;

    while (text.len > 0) {
        Str line = str_cut(text, '\n', &text);
        AUTO(buf_deinit) Buf id = { 0 };

        arena_reset(&arena);
        if (json_parse(&arena, line, &doc) < 0) {
            test_fail(__FILE__, __LINE__, "no JSON: %.*s", (int) line.len, line.data);
            return;
        }
        buf_add_i64(&id, (int64_t) json_real_or(json_find(doc.root, "id"), -1));
        on_row(ctx, buf_str(&id), json_str_or(json_find(doc.root, "name"), (Str){ 0 }));
    }
}

/* The names of the files of PLACE, the oldest first and the current one last. */
static inline size_t feed_place_files(const FeedPlace *place, glob_t *files)
{
    char pattern[100];

    (void) snprintf(pattern, sizeof(pattern), "%.*s-*", (int) strlen(place->path) - 4, place->path);
    (void) glob(pattern, 0, NULL, files);
    (void) glob(place->path, GLOB_APPEND, NULL, files);
    return files->gl_pathc;
}

static inline bool feed_place_each(const FeedPlace *place, FeedSeen on_row, void *ctx)
{
    glob_t files = { 0 };
    size_t n = feed_place_files(place, &files);

    for (size_t i = 0; i < n; i++) {
        AUTO(mem_free) char *text = feed_place_read(files.gl_pathv[i]);

        if (text && strcmp(place->driver->name, "csv") == 0)
            feed_place_read_csv(text, on_row, ctx);
        else if (text)
            feed_place_read_jsonl(str_from_c(text), on_row, ctx);
    }
    globfree(&files);
    return n > 0;
}

/* ---- what there is --------------------------------------------------------------------------- */

static inline void feed_place_on_seen(void *ctx, Str id, Str name)
{
    buf_printf(ctx, "%.*s,%.*s\n", (int) id.len, id.data, (int) name.len,
               name.len ? name.data : "");
}

/* Every row as "id,name\n", in order; false when there is no such table or file. */
static inline bool feed_place_see(const FeedPlace *place, Buf *out)
{
    if (!place->driver->has_table)
        return feed_place_each(place, feed_place_on_seen, out);
    return feed_place_ask(
        place,
        place->path[0] ? "SELECT id, name FROM %s ORDER BY rowid" : "SELECT id, name FROM %s", out);
}

typedef struct FeedPlaceText {
    Str id;
    Str name; /* what is looked for */
    size_t n; /* rows found */
    size_t n_all;
} FeedPlaceText;

static inline void feed_place_on_text(void *ctx, Str id, Str name)
{
    FeedPlaceText *text = ctx;

    text->n_all++;
    text->n += str_eq(id, text->id) && str_eq(name, text->name);
}

static inline size_t feed_place_count(const FeedPlace *place)
{
    FeedPlaceText text = { .id = STR_C("none") };
    AUTO(buf_deinit) Buf out = { 0 };

    if (!place->driver->has_table) {
        (void) feed_place_each(place, feed_place_on_text, &text);
        return text.n_all;
    }
    (void) feed_place_ask(place, "SELECT count(*) FROM %s", &out);
    buf_add_char(&out, '\0');
    return strtoul(out.data, NULL, 10);
}

/* Row ID has the name WANT. */
static inline void feed_place_expect_text(const FeedPlace *place, unsigned id, const char *want)
{
    char number[20], sql[400] = "SELECT count(*) FROM %s WHERE id = ";
    FeedPlaceText text = { .name = str_from_c(want) };
    AUTO(buf_deinit) Buf out = { 0 };

    (void) snprintf(number, sizeof(number), "%u", id);
    text.id = str_from_c(number);
    if (place->driver->has_table) {
        size_t at = strlen(sql);

        at += (size_t) snprintf(sql + at, sizeof(sql) - at, "%s AND name = '", number);
        for (const char *c = want; *c && at + 8 < sizeof(sql); c++) {
            if (*c == '\'')
                sql[at++] = '\'';
            sql[at++] = *c;
        }
        sql[at++] = '\'';
        (void) feed_place_ask(place, sql, &out);
        text.n = out.len > 0 && out.data[0] == '1';
    } else {
        (void) feed_place_each(place, feed_place_on_text, &text);
    }
    if (text.n != 1)
        test_fail(__FILE__, __LINE__, "%s: row %u is not %s", place->text, id, want);
}

/* The table, or the head of the current file, has N columns. */
static inline void feed_place_expect_columns(const FeedPlace *place, size_t n)
{
    AUTO(buf_deinit) Buf out = { 0 };
    AUTO(mem_free) char *text = NULL;
    size_t found = 0;

    if (strcmp(place->driver->name, "jsonl") == 0)
        return;
    if (place->driver->has_table) {
        (void) feed_place_ask(place,
                              place->path[0]
                                  ? "SELECT count(*) FROM pragma_table_info('%s')"
                                  : "SELECT count(*) FROM information_schema.columns WHERE "
                                    "table_name = '%s'",
                              &out);
        buf_add_char(&out, '\0');
        found = strtoul(out.data, NULL, 10);
    } else {
        char *at = text = feed_place_read(place->path);
        AUTO(buf_deinit) Buf cell = { 0 };

        for (char end = ','; at && end == ','; found++)
            end = feed_place_cell(&at, &cell);
    }
    if (found != n)
        test_fail(__FILE__, __LINE__, "%s: %zu columns, not %zu", place->text, found, n);
}
