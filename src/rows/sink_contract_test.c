/*
 * The contract of a sink (S1–S6 in sink.h), run against every sink the build finds.
 *
 * Each rule is a body that runs once for each sink. What others would see is read by programs of
 * the test's own: a CSV reader, the JSON parser, SQLite's and PostgreSQL's own libraries. Where a
 * sink cannot be tried here (no server), the test says so and counts as skipped.
 */
#include "base/arena.h"
#include "base/rand.h"
#include "base/test.h"
#include "codec/json.h"
#include "gen/sinks.h"
#include "rows/pg_cluster_test.h"
#include "rows/sink.h"

#include <sluice/rt.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#if SL_HAVE_SQLITE
#include <sqlite3.h>
#endif

enum { ROWS = 2500, ROWS_PER_BATCH = 400, ROWS_PER_MARK = 250 };

static const RowColumn columns[] = {
    { .name = STR("id"), .kind = ROW_INT },
    { .name = STR("name"), .kind = ROW_TEXT },
};

typedef struct Place {
    const SinkDriver *driver;
    char text[400]; /* of the sink */
    char path[64];  /* of a file; empty for a server */
    char table[32];
} Place;

typedef void (*Body)(const Place *place);

static PgCluster cluster = { .why_not = "not started" };
static unsigned n_places;

/* ---- what others see ------------------------------------------------------------------------- */

/* Every row as "id,name\n" in the order of the sink, or "(none)" when there is nothing. */
static char seen[1 << 20];

static char *read_text(const char *path)
{
    int fd = open(path, O_RDONLY);
    size_t len = 0;
    char *text;
    ssize_t n;

    if (fd < 0)
        return NULL;
    text = mem_zalloc(8 << 20);
    while ((n = read(fd, text + len, (8 << 20) - 1 - len)) > 0)
        len += (size_t) n;
    (void) close(fd);
    return text;
}

static void see(const char *id, size_t id_len, const char *name, size_t name_len)
{
    size_t at = strlen(seen);

    if (at + id_len + name_len + 3 < sizeof(seen))
        (void) snprintf(seen + at, sizeof(seen) - at, "%.*s,%.*s\n", (int) id_len, id,
                        (int) name_len, name);
}

static void see_csv(char *text)
{
    char *line = strstr(text, "\r\n");

    while (line && line[2]) {
        char *comma = strchr(line += 2, ','), *end = strstr(line, "\r\n");

        REQUIRE(comma && end);
        see(line, (size_t) (comma - line), comma + 1, (size_t) (end - comma) - 1);
        line = end;
    }
}

static void see_object(Json object)
{
    AUTO(buf_deinit) Buf id = { 0 };
    Str name = json_str_or(json_find(object, "name"), (Str){ 0 });

    buf_add_i64(&id, (int64_t) json_real_or(json_find(object, "id"), -1));
    see(id.data, id.len, name.data, name.len);
}

static void see_json(Str text, bool is_lines)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc;

    while (text.len > 0) {
        Str line = is_lines ? str_cut(text, '\n', &text) : text;

        REQUIRE(json_parse(&arena, line, &doc) == 0);
        if (is_lines)
            see_object(doc.root);
        for (JsonIter it = json_iter(is_lines ? 0 : doc.root); json_next(&it);)
            see_object(it.value);
        if (!is_lines)
            break;
    }
}

/* Lines of words: a table, with LEAD columns before the id and lines above the rows. */
static void see_words(Str text, size_t head, const char *separators)
{
    for (size_t line = 0; text.len > 0; line++) {
        Str row = str_cut(text, '\n', &text);
        char copy[200], *id, *name;

        if (line < head)
            continue;
        (void) snprintf(copy, sizeof(copy), "%.*s", (int) row.len, row.data);
        id = copy + strspn(copy, separators);
        name = id + strcspn(id, separators);
        name += strspn(name, separators);
        REQUIRE(*name);
        see(id, strcspn(id, separators), name, strcspn(name, separators));
    }
}

#if SL_HAVE_SQLITE
static int on_sqlite_row(void *ctx, int n, char **values, char **names)
{
    (void) ctx;
    (void) n;
    (void) names;
    see(values[0], strlen(values[0]), values[1], strlen(values[1]));
    return 0;
}

static bool see_sqlite(const Place *place)
{
    char sql[100];
    sqlite3 *db = NULL;
    int rc;

    if (access(place->path, F_OK) < 0)
        return false;
    (void) snprintf(sql, sizeof(sql), "SELECT id, name FROM \"%s\" ORDER BY rowid", place->table);
    (void) sqlite3_open_v2(place->path, &db, SQLITE_OPEN_READWRITE, NULL);
    rc = sqlite3_exec(db, sql, on_sqlite_row, NULL, NULL);
    (void) sqlite3_close(db);
    return rc == SQLITE_OK;
}
#endif

static bool psql(const char *sql, char *out, size_t cap)
{
    char command[1200];
    FILE *pipe;
    size_t n;

    (void) snprintf(command, sizeof(command),
                    "psql -h %s -U sluice -d postgres -qAt -F, -c '%s' 2>&1", cluster.dir, sql);
    pipe = popen(command, "r");
    if (!pipe)
        return false;
    n = fread(out, 1, cap - 1, pipe);
    out[n] = '\0';
    return pclose(pipe) == 0;
}

static bool see_all(const Place *place)
{
    const char *name = place->driver->name;
    AUTO(mem_free) char *text = NULL;

    seen[0] = '\0';
    if (strcmp(name, "postgresql") == 0) {
        char sql[100];

        (void) snprintf(sql, sizeof(sql), "SELECT id, name FROM %s", place->table);
        return psql(sql, seen, sizeof(seen));
    }
#if SL_HAVE_SQLITE
    if (strcmp(name, "sqlite") == 0)
        return see_sqlite(place);
#endif
    text = read_text(place->path);
    if (!text)
        return false;
    if (strcmp(name, "csv") == 0)
        see_csv(text);
    else if (strcmp(name, "jsonl") == 0 || strcmp(name, "json") == 0)
        see_json(str_from_c(text), name[4] == 'l');
    else if (strcmp(name, "markdown") == 0)
        see_words(str_from_c(text), 2, "| ");
    else if (strcmp(name, "table") == 0)
        see_words(str_from_c(text), 2, " ");
    else
        test_fail(__FILE__, __LINE__, "the test cannot read what %s writes", name);
    return true;
}

/* Exactly the rows FROM … TO-1 are there; FROM == TO with HAS false: nothing at all. */
static void expect_rows(const Place *place, unsigned from, unsigned to)
{
    static char want[1 << 20];
    size_t len = 0;

    want[0] = '\0';
    for (unsigned i = from; i < to; i++)
        len += (size_t) snprintf(want + len, sizeof(want) - len, "%u,n%u\n", i, i);
    if (!see_all(place))
        test_fail(__FILE__, __LINE__, "%s: nothing is there: %.200s", place->text, seen);
    else if (strcmp(seen, want) != 0)
        test_fail(__FILE__, __LINE__, "%s: rows %u to %u wanted, got %zu bytes: %.60s … %.60s",
                  place->text, from, to, strlen(seen), seen,
                  seen + (strlen(seen) > 60 ? strlen(seen) - 60 : 0));
}

static void expect_nothing(const Place *place)
{
    if (see_all(place))
        test_fail(__FILE__, __LINE__, "%s: is there: %.60s", place->text, seen);
}

/* No file in the folder that begins with the place's name, but itself when IS_THERE. */
static void expect_no_leftover(const Place *place)
{
    DIR *dir = opendir(".");
    struct dirent *entry;

    while (dir && place->path[0] && (entry = readdir(dir))) {
        if (str_starts(str_from_c(entry->d_name), str_from_c(place->path)) &&
            strcmp(entry->d_name, place->path) != 0)
            test_fail(__FILE__, __LINE__, "%s: left %s", place->text, entry->d_name);
    }
    if (dir)
        (void) closedir(dir);
}

/* ---- writing --------------------------------------------------------------------------------- */

static int open_place(Sink **ret_sink, const Place *place, const char *options, SinkOpts opts,
                      uint64_t *ret_mark)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    static SinkSpec spec;
    static Arena kept;
    char text[600];
    int r;

    (void) snprintf(text, sizeof(text), "%s%s%s", place->text,
                    options[0] == '\0'         ? ""
                    : strchr(place->text, '?') ? "&"
                                               : "?",
                    options);
    arena_deinit(&kept);
    r = sink_spec_parse(&kept, str_from_c(text), &spec);
    opts.columns = columns;
    opts.n_columns = ARRAY_LEN(columns);
    return r < 0 ? r : sink_open(ret_sink, &spec, &opts, ret_mark);
}

static int write_rows(Sink *sink, unsigned from, unsigned to)
{
    AUTO(row_batch_deinit) RowBatch batch = { 0 };
    int r = 0;

    row_batch_init(&batch, columns, ARRAY_LEN(columns));
    for (unsigned i = from; i < to && r == 0;) {
        row_batch_reset(&batch);
        for (unsigned k = 0; k < ROWS_PER_BATCH && i < to; k++, i++) {
            RowValue *row = row_batch_add(&batch);
            char name[20];

            (void) snprintf(name, sizeof(name), "n%u", i);
            row[0] = row_integer(i);
            row[1] = row_text(row_batch_copy(&batch, str_from_c(name)));
        }
        r = sink_write(sink, &batch);
    }
    return r;
}

/* Write rows FROM … TO-1 and commit. */
static void write_all(const Place *place, const char *options, unsigned from, unsigned to)
{
    Sink *sink = NULL;

    EXPECT_OK(open_place(&sink, place, options, (SinkOpts){ 0 }, NULL));
    if (!sink)
        return;
    EXPECT_OK(write_rows(sink, from, to));
    EXPECT_OK(sink_commit(sink));
    sink_close(sink);
}

/* ---- running a body for each sink ------------------------------------------------------------ */

static void name_place(Place *place, const SinkDriver *driver)
{
    *place = (Place){ .driver = driver };
    (void) snprintf(place->table, sizeof(place->table), "t%u", n_places);
    if (driver->schemes[0])
        (void) snprintf(place->text, sizeof(place->text), "%s&table=%s", cluster.url, place->table);
    else {
        (void) snprintf(place->path, sizeof(place->path), "place%u.out", n_places);
        (void) snprintf(place->text, sizeof(place->text), "%s:%s%s%s", driver->name, place->path,
                        driver->has_table ? "?table=" : "", driver->has_table ? place->table : "");
    }
    n_places++;
}

typedef struct Round {
    Body body;
    Place place;
} Round;

static int run_body(void *arg)
{
    Round *round = arg;

    round->body(&round->place);
    return 0;
}

static bool is_here(const SinkDriver *driver)
{
    return driver->open && (!driver->schemes[0] || !cluster.why_not);
}

static void for_each_sink(Body body)
{
    for (size_t i = 0; i < sinks_count; i++) {
        Round round = { .body = body };

        if (!is_here(sinks_table[i]))
            continue;
        name_place(&round.place, sinks_table[i]);
        EXPECT_OK(sl_run(run_body, &round, .loop = SL_LOOP_EPOLL, .stall_ms = -1));
    }
}

/* ---- the rules ------------------------------------------------------------------------------- */

TEST(server_for_the_tests)
{
    if (chdir(test_dir()) < 0)
        test_skip("no folder");
    pg_cluster_start(&cluster);
    if (cluster.why_not)
        test_skip(cluster.why_not);
}

static void s1_body(const Place *place)
{
    write_all(place, "", 0, ROWS);
    expect_rows(place, 0, ROWS);
    expect_no_leftover(place);
}

TEST(s1_rows_come_out_in_order_each_once)
{
    for_each_sink(s1_body);
}

static void s2_body(const Place *place)
{
    Sink *sink = NULL;

    REQUIRE(open_place(&sink, place, "", (SinkOpts){ 0 }, NULL) == 0);
    EXPECT_OK(write_rows(sink, 0, ROWS));
    expect_nothing(place);
    EXPECT_OK(sink_commit(sink));
    expect_rows(place, 0, ROWS);
    sink_close(sink);
    expect_rows(place, 0, ROWS);
}

TEST(s2_nothing_is_seen_before_the_commit)
{
    for_each_sink(s2_body);
}

static void s2_replace_body(const Place *place)
{
    Sink *sink = NULL;

    write_all(place, "mode=replace", 0, 100);
    REQUIRE(open_place(&sink, place, "mode=replace", (SinkOpts){ 0 }, NULL) == 0);
    EXPECT_OK(write_rows(sink, 100, ROWS));
    expect_rows(place, 0, 100);
    EXPECT_OK(sink_commit(sink));
    sink_close(sink);
    expect_rows(place, 100, ROWS);
    expect_no_leftover(place);
}

TEST(s2_the_old_rows_stay_until_the_commit)
{
    for_each_sink(s2_replace_body);
}

static void s5_body(const Place *place)
{
    Sink *sink = NULL;

    REQUIRE(open_place(&sink, place, "", (SinkOpts){ 0 }, NULL) == 0);
    EXPECT_OK(write_rows(sink, 0, ROWS));
    sink_close(sink);
    expect_nothing(place);
    expect_no_leftover(place);

    write_all(place, "", 0, 10);
    REQUIRE(open_place(&sink, place, "mode=replace", (SinkOpts){ 0 }, NULL) == 0);
    EXPECT_OK(write_rows(sink, 10, ROWS));
    sink_close(sink);
    expect_rows(place, 0, 10);
    expect_no_leftover(place);
}

TEST(s5_closing_without_commit_undoes)
{
    for_each_sink(s5_body);
}

static void empty_body(const Place *place)
{
    write_all(place, "mode=replace", 0, 10);
    write_all(place, "mode=replace", 0, 0);
    expect_rows(place, 0, 0);
}

TEST(no_rows_are_an_empty_answer_not_a_missing_one)
{
    for_each_sink(empty_body);
}

static void s6_body(const Place *place)
{
    unsigned modes = place->driver->modes;
    Sink *sink = NULL;

    if (modes & 1u << SINK_APPEND) {
        write_all(place, "mode=append", 0, 100);
        write_all(place, "mode=append", 100, 200);
        expect_rows(place, 0, 200);
    } else {
        EXPECT_ERR(open_place(&sink, place, "mode=append", (SinkOpts){ 0 }, NULL), -ERR_INVALID,
                   "has no mode append");
    }
    if (!(modes & 1u << SINK_UPSERT))
        EXPECT_ERR(open_place(&sink, place, "mode=upsert", (SinkOpts){ 0 }, NULL), -ERR_INVALID,
                   "has no mode upsert");
    EXPECT(!sink);
}

TEST(s6_append_where_it_is_offered)
{
    for_each_sink(s6_body);
}

static void upsert_body(const Place *place)
{
    Sink *sink = NULL;

    if (!(place->driver->modes & 1u << SINK_UPSERT))
        return;
    write_all(place, "mode=upsert&key=id", 0, 50);
    write_all(place, "mode=upsert&key=id", 20, 90);
    REQUIRE(open_place(&sink, place, "mode=upsert&key=id", (SinkOpts){ 0 }, NULL) == 0);
    EXPECT_OK(write_rows(sink, 90, 100));
    EXPECT_OK(write_rows(sink, 90, 110)); /* a key twice in one run: the last one counts */
    EXPECT_OK(sink_commit(sink));
    sink_close(sink);
    see_all(place);
    EXPECT_EQ(strlen(seen) > 0, true);
    {
        unsigned n = 0;

        for (const char *c = seen; *c; c++)
            n += *c == '\n';
        EXPECT_EQ(n, 110);
    }
    EXPECT_ERR(open_place(&sink, place, "mode=upsert&key=nix", (SinkOpts){ 0 }, NULL), -ERR_INVALID,
               "no such column");
}

TEST(s6_upsert_keeps_one_row_for_each_key)
{
    for_each_sink(upsert_body);
}

/* ---- resuming -------------------------------------------------------------------------------- */

/* Write up to row TO with a mark after each ROWS_PER_MARK, from what RESUME holds; the position
 * after each mark goes to POSITION. */
static int run_marked(const Place *place, bool is_resume, uint64_t *mark, Buf *position,
                      unsigned to, Sink **ret_sink)
{
    SinkOpts opts = { .run_id = STR_C("run-1"),
                      .is_resume = is_resume,
                      .mark = *mark,
                      .position = buf_str(position) };
    Sink *sink = NULL;
    int r = open_place(&sink, place, "", opts, mark);

    for (unsigned i = (unsigned) *mark * ROWS_PER_MARK; i + ROWS_PER_MARK <= to && r == 0;
         i += ROWS_PER_MARK) {
        r = write_rows(sink, i, i + ROWS_PER_MARK);
        buf_reset(position);
        if (r == 0)
            r = sink_checkpoint(sink, i / ROWS_PER_MARK + 1, position);
        *mark = i / ROWS_PER_MARK + 1;
    }
    *ret_sink = sink;
    return r;
}

/* Leave a partial file of three bytes, as a copy that was cut short does. */
static void begin_partial(const Place *place)
{
    char partial[80];
    FILE *file;

    (void) snprintf(partial, sizeof(partial), "%s.partial", place->path);
    file = fopen(partial, "w");
    REQUIRE(file);
    (void) fputs("id,", file);
    (void) fclose(file);
}

static void s3_body(const Place *place)
{
    AUTO(buf_deinit) Buf position = { 0 };
    uint64_t mark = 0;
    Sink *sink = NULL;

    EXPECT_OK(run_marked(place, false, &mark, &position, 1000, &sink));
    REQUIRE(sink);
    EXPECT_OK(write_rows(sink, 7000, 7100)); /* behind the mark: must be gone after the resume */
    sink_close(sink);
    if (!place->driver->has_table)
        expect_nothing(place);
    EXPECT_OK(run_marked(place, true, &mark, &position, 2000, &sink));
    REQUIRE(sink);
    EXPECT_EQ(mark, 8);
    EXPECT_OK(sink_commit(sink));
    sink_close(sink);
    expect_rows(place, 0, 2000);
    expect_no_leftover(place);

    /* Again and again, for processes that died between their commit and their note of it; the
     * last of them died while it copied the file back. */
    for (unsigned i = 0; i < 3; i++) {
        if (i == 2 && !place->driver->has_table)
            begin_partial(place);
        EXPECT_OK(run_marked(place, true, &mark, &position, 2000, &sink));
        REQUIRE(sink);
        EXPECT_OK(sink_commit(sink));
        sink_close(sink);
        expect_rows(place, 0, 2000);
        expect_no_leftover(place);
    }
}

TEST(s3_a_resumed_run_goes_on_at_its_mark)
{
    for_each_sink(s3_body);
}

static void s3_gone_body(const Place *place)
{
    AUTO(buf_deinit) Buf position = { 0 };
    uint64_t mark = 0;
    Sink *sink = NULL;

    EXPECT_OK(run_marked(place, false, &mark, &position, 500, &sink));
    REQUIRE(sink);
    sink_close(sink);
    if (place->path[0]) {
        char partial[80];

        (void) snprintf(partial, sizeof(partial), "%s.partial", place->path);
        (void) unlink(partial);
        (void) unlink(place->path);
    } else {
        char out[100];

        EXPECT(psql("DROP TABLE sluice_marks", out, sizeof(out)));
    }
    sink = NULL;
    EXPECT(run_marked(place, true, &mark, &position, 1000, &sink) < 0);
    EXPECT(!sink);
}

TEST(s3_what_a_run_cannot_go_on_with_is_refused)
{
    for_each_sink(s3_gone_body);
}

/* -- kill -9 -- */

typedef struct Life {
    const Place *place;
    unsigned steps_left; /* until it kills itself; 0: never */
} Life;

static void step(Life *life)
{
    if (life->steps_left > 0 && --life->steps_left == 0)
        (void) kill(getpid(), SIGKILL);
}

/* The caller's own note of its mark, as a program would keep it: written beside and renamed. */
static void note_mark(uint64_t mark, Str position)
{
    FILE *file = fopen("note.tmp", "w");

    (void) fprintf(file, "%llu\n%.*s", (unsigned long long) mark, (int) position.len,
                   position.data ? position.data : "");
    (void) fclose(file);
    (void) rename("note.tmp", "note");
}

static uint64_t read_note(Buf *position)
{
    AUTO(mem_free) char *text = read_text("note");
    char *line = text ? strchr(text, '\n') : NULL;

    if (!line)
        return 0;
    buf_add_c(position, line + 1);
    return strtoull(text, NULL, 10);
}

static int life_main(void *arg)
{
    Life *life = arg;
    AUTO(buf_deinit) Buf position = { 0 };
    uint64_t mark = read_note(&position);
    SinkOpts opts = { .run_id = STR_C("run-kill"),
                      .is_resume = access("note", F_OK) == 0,
                      .mark = mark,
                      .position = buf_str(&position) };
    Sink *sink = NULL;
    int r = open_place(&sink, life->place, "", opts, &mark);

    if (r == 0 && !opts.is_resume)
        note_mark(0, (Str){ 0 });
    for (unsigned i = (unsigned) mark; i < ROWS / ROWS_PER_MARK && r == 0; i++) {
        step(life);
        r = write_rows(sink, i * ROWS_PER_MARK, (i + 1) * ROWS_PER_MARK);
        step(life);
        buf_reset(&position);
        if (r == 0)
            r = sink_checkpoint(sink, i + 1, &position);
        step(life);
        note_mark(i + 1, buf_str(&position));
        step(life);
    }
    if (r == 0)
        r = sink_commit(sink);
    step(life);
    if (r < 0)
        (void) fprintf(stderr, "%s: %s\n", life->place->text, err_text(r));
    sink_close(sink);
    return r;
}

/* A child that lives until it is done or killed: by itself after STEPS, or by us after
 * MICROSECONDS. Whether it got to its end. */
static bool live(const Place *place, unsigned steps, unsigned microseconds)
{
    Life life = { place, steps };
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        int r = sl_run(life_main, &life, .loop = SL_LOOP_EPOLL, .stall_ms = -1);

        _exit(r == 0 ? 0 : 3);
    }
    if (microseconds > 0) {
        (void) usleep(microseconds);
        (void) kill(pid, SIGKILL);
    }
    (void) waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        test_fail(__FILE__, __LINE__, "%s: the run failed", place->text);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(s3_kill_9_at_any_moment_loses_and_repeats_nothing)
{
    uint64_t seed = 42;

    for (size_t i = 0; i < sinks_count; i++) {
        Place place;

        for (unsigned round = 0; round < 6 && is_here(sinks_table[i]); round++) {
            bool is_done = false;

            name_place(&place, sinks_table[i]);
            (void) unlink("note");
            for (unsigned kills = 0; kills < 5 && !is_done; kills++) {
                seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
                if (round % 2 == 0)
                    is_done = live(&place, 1 + (unsigned) (seed >> 33) % 15, 0);
                else
                    is_done = live(&place, 0, 500 + (unsigned) (seed >> 33) % 20000);
            }
            if (!is_done)
                EXPECT(live(&place, 0, 0));
            expect_rows(&place, 0, ROWS);
            expect_no_leftover(&place);
        }
    }
}

/* ---- what goes wrong ------------------------------------------------------------------------- */

static void places_body(const Place *place)
{
    Place bad = *place;
    Sink *sink = NULL;

    if (!place->path[0])
        return;
    (void) snprintf(bad.text, sizeof(bad.text), "%s:not/there/x.out", place->driver->name);
    EXPECT_EQ(open_place(&sink, &bad, "", (SinkOpts){ 0 }, NULL) < 0, true);
    (void) mkdir("folder.out", 0755);
    (void) snprintf(bad.text, sizeof(bad.text), "%s:folder.out", place->driver->name);
    EXPECT_EQ(open_place(&sink, &bad, "", (SinkOpts){ 0 }, NULL) < 0, true);
    (void) snprintf(bad.text, sizeof(bad.text), "%s:/dev/null/x", place->driver->name);
    EXPECT_EQ(open_place(&sink, &bad, "", (SinkOpts){ 0 }, NULL) < 0, true);
    EXPECT(!sink);
}

TEST(places_that_cannot_be_written_are_refused_at_once)
{
    for_each_sink(places_body);
}

/* A disk that is full: files may not grow beyond what the rows need. */
static void full_body(const Place *place)
{
    struct rlimit old, small;
    AUTO(buf_deinit) Buf position = { 0 };
    uint64_t mark = 0;
    Sink *sink = NULL;
    int r;

    if (!place->path[0])
        return;
    (void) signal(SIGXFSZ, SIG_IGN);
    EXPECT_OK(run_marked(place, false, &mark, &position, 500, &sink));
    REQUIRE(sink);
    (void) getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){ .rlim_cur = 64 << 10, .rlim_max = old.rlim_max };
    (void) setrlimit(RLIMIT_FSIZE, &small);
    r = write_rows(sink, 500, 60000);
    if (r == 0)
        r = sink_commit(sink);
    (void) setrlimit(RLIMIT_FSIZE, &old);
    EXPECT(r < 0);
    if (r < 0 && !strstr(err_text(r), "500 of this run"))
        test_fail(__FILE__, __LINE__, "%s: %s", place->text, err_text(r));
    sink_close(sink);
    if (!place->driver->has_table)
        expect_nothing(place);
    EXPECT_OK(run_marked(place, true, &mark, &position, 1000, &sink));
    REQUIRE(sink);
    EXPECT_OK(sink_commit(sink));
    sink_close(sink);
    expect_rows(place, 0, 1000);
}

TEST(s4_a_full_disk_says_what_is_kept_and_the_run_goes_on_later)
{
    for_each_sink(full_body);
}

static void busy_body(const Place *place)
{
    Sink *first = NULL, *second = NULL;

    if (!place->path[0] || place->driver->has_table)
        return;
    REQUIRE(open_place(&first, place, "", (SinkOpts){ 0 }, NULL) == 0);
    EXPECT_ERR(open_place(&second, place, "", (SinkOpts){ 0 }, NULL), -ERR_BUSY,
               "being written by another process");
    EXPECT_OK(write_rows(first, 0, 10));
    EXPECT_OK(sink_commit(first));
    sink_close(first);
    expect_rows(place, 0, 10);
    EXPECT(!second);
}

TEST(two_runs_do_not_write_one_file)
{
    for_each_sink(busy_body);
}

static void cancel_body(const Place *place)
{
    Sink *sink = NULL;
    sl_scope scope;
    int r;

    REQUIRE(open_place(&sink, place, "", (SinkOpts){ 0 }, NULL) == 0);
    EXPECT_OK(write_rows(sink, 0, 1000));
    sl_scope_begin(&scope);
    sl_scope_cancel(&scope);
    r = write_rows(sink, 1000, 60000);
    sink_close(sink);
    r = sl_scope_end(&scope, r);
    EXPECT_EQ(r, 0);
    expect_nothing(place);
    expect_no_leftover(place);
}

TEST(s5_a_cancelled_fiber_leaves_nothing_behind)
{
    for_each_sink(cancel_body);
}

static void lost_body(const Place *place)
{
    AUTO(buf_deinit) Buf position = { 0 };
    uint64_t mark = 0;
    Sink *sink = NULL;
    int r;

    if (!place->driver->schemes[0])
        return;
    EXPECT_OK(run_marked(place, false, &mark, &position, 500, &sink));
    REQUIRE(sink);
    pg_cluster_kill(&cluster);
    r = write_rows(sink, 500, 60000);
    if (r == 0)
        r = sink_commit(sink);
    EXPECT(r < 0);
    if (r < 0 && !strstr(err_text(r), "(500 of this run) are kept in the table"))
        test_fail(__FILE__, __LINE__, "%s", err_text(r));
    sink_close(sink);
    sink = NULL;
    EXPECT_ERR(open_place(&sink, place, "", (SinkOpts){ 0 }, NULL), -ERR_NETWORK, "connection to");
    pg_cluster_spawn(&cluster);
    REQUIRE(pg_cluster_await(&cluster));
    EXPECT_OK(run_marked(place, true, &mark, &position, 1000, &sink));
    REQUIRE(sink);
    EXPECT_OK(sink_commit(sink));
    sink_close(sink);
    expect_rows(place, 0, 1000);
}

TEST(s4_a_lost_database_says_what_is_committed)
{
    for_each_sink(lost_body);
}

TEST(server_ends)
{
    pg_cluster_stop(&cluster);
}

TEST_MAIN()
