/*
 * join: further columns from a lookup table.
 *
 *   join: { file: sensors.csv, on: [sensor], columns: [room, floor] }
 *   join: { on: { id: sensor_id }, rows: [ { sensor_id: 7, room: hall } ], missing: refuse }
 *
 * The table is a file of CSV, JSON or JSON lines, or stands in the settings (rows/lookup_table).
 * `on` names the key: columns with the same name in rows and table, or an object of the rows' name
 * to the table's. Columns that the rows have already are replaced; a prefix keeps them apart. A row
 * whose key is not in the table keeps going with nulls, is filtered, or is refused ("not_found").
 *
 * The file is read when the step opens. At most once in LIMIT_JOIN_LOOK_MS of arrival the step
 * looks whether it is another one; if that cannot be read, the old table goes on. Looking and
 * reading block, so the parcel for which it is time to look is run on the pool (may_block).
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/mem.h"
#include "codec/json.h"
#include "rows/derive.h"
#include "rows/lookup_table.h"
#include "rows/step.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAGE         "join"
#define CACHED_SHAPES 16
#define KEYS_MAX      16

typedef enum Missing { MISSING_KEEP, MISSING_FILTER, MISSING_REFUSE } Missing;

typedef struct JoinArgs {
    SchemaJson on;
    Str file;
    int format; /* 0: by the file's name; else LookupFormat + 1 */
    SchemaJson rows;
    SchemaList columns; /* of Str */
    Str prefix;
    int missing;
} JoinArgs;

static const char *const format_words[] = { "auto", "csv", "json", "jsonl", NULL };
static const char *const missing_words[] = { "keep", "filter", "refuse", NULL };
static const SchemaField name_item = ITEM(STR, .range = RANGE(1, 256));
static const SchemaField join_fields[] = {
    FIELD_JSON(JoinArgs, on, "the key: a list of columns, or an object of the rows' to the table's",
               .is_required = true),
    FIELD_STR(JoinArgs, file, "the file of the table: CSV with a head line, JSON or JSON lines"),
    FIELD_ENUM(JoinArgs, format, format_words, "of the file; auto goes by its name",
               .default_text = "auto"),
    FIELD_JSON(JoinArgs, rows, "the table itself, as a list of objects"),
    FIELD_LIST(JoinArgs, columns, &name_item, "columns to take; all but the key otherwise",
               .range = RANGE(0, 256)),
    FIELD_STR(JoinArgs, prefix, "put before the names of the columns", .range = RANGE(0, 64)),
    FIELD_ENUM(JoinArgs, missing, missing_words, "what happens to a row that is not in the table",
               .default_text = "keep"),
};
static const Schema join_args = SCHEMA(JoinArgs, join_fields, "Settings of the step join.");

/* What is done with one shape. */
typedef struct JoinPlan {
    Derived derived;
    size_t keys[KEYS_MAX]; /* columns of the parcel as it will be; SHAPE_NONE */
    size_t *at;            /* where each column of the table goes */
} JoinPlan;

typedef struct Join {
    const JoinArgs *args;
    Str row_keys[KEYS_MAX], table_keys[KEYS_MAX];
    size_t n_keys;
    char *path; /* NULL: the table is in the settings */
    LookupTable table;
    struct stat seen; /* of the file that was read */
    int64_t look_ns;  /* when to look again */
    Shapes *made;
    StepCache plans[CACHED_SHAPES];
    Buf scratch;
} Join;

/* ---- the table ------------------------------------------------------------------------------- */

static LookupFormat format_of(const JoinArgs *args)
{
    Str name = args->file;

    if (args->format > 0)
        return (LookupFormat) (args->format - 1);
    if (name.len == 0 || str_ends(name, (Str) STR(".json")))
        return LOOKUP_JSON;
    return str_ends(name, (Str) STR(".jsonl")) || str_ends(name, (Str) STR(".ndjson"))
               ? LOOKUP_JSONL
               : LOOKUP_CSV;
}

/* The bytes of the open FILE. */
static int read_all(FILE *file, Buf *out)
{
    size_t got;

    do {
        char *room = buf_reserve(out, 64 << 10);

        if (!room)
            return fail(-ERR_TOO_LARGE, "it has more than %d bytes", LIMIT_JOIN_BYTES);
        got = fread(room, 1, 64 << 10, file);
        out->len += got;
    } while (got > 0);
    return ferror(file) ? fail(-EIO, "it cannot be read") : buf_check(out);
}

static int read_file(const char *path, Buf *out, struct stat *ret_stat)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r = 0; /* no fifo may hold us */
    FILE *file;

    if (fd < 0)
        return fail_errno("it cannot be opened");
    if (fstat(fd, ret_stat) < 0)
        r = fail_errno("it cannot be looked at");
    else if (!S_ISREG(ret_stat->st_mode))
        r = fail(-ERR_INVALID, "it is no file");
    file = fdopen(fd, "r");
    if (!file) {
        (void) close(fd);
        return fail(-ENOMEM, "no memory for a file");
    }
    if (r == 0)
        r = read_all(file, out);
    (void) fclose(file);
    return r;
}

/* A column of TABLE may not take the place of what it is found by. */
static int check_names(const Join *join, const LookupTable *table)
{
    Str prefix = join->args->prefix;

    for (size_t i = 0; i < join->n_keys; i++) {
        Str key = join->row_keys[i];

        if (!str_starts(key, prefix))
            continue;
        for (size_t k = 0; k < table->n_columns; k++) {
            if (str_eq(table->columns[k].name, str_sub(key, prefix.len, key.len)))
                return fail(-ERR_INVALID,
                            "column %.*s of the table would replace the key; give a prefix",
                            (int) key.len, key.data);
        }
    }
    return 0;
}

/* Read the table into *TABLE. */
static int load(Join *join, LookupTable *table)
{
    AUTO(buf_deinit) Buf text = { .max_bytes = LIMIT_JOIN_BYTES + (64 << 10) };
    AUTO(lookup_table_deinit) LookupTable fresh = { .columns = NULL };
    LookupOpts opts = { .format = format_of(join->args),
                        .keys = join->table_keys,
                        .n_keys = join->n_keys,
                        .take = join->args->columns.items,
                        .n_take = join->args->columns.len };
    struct stat seen = { 0 };
    int r = 0;

    if (join->path)
        r = read_file(join->path, &text, &seen);
    if (r == 0)
        r = lookup_table_init(&fresh, join->path ? buf_str(&text) : join->args->rows.raw, &opts);
    if (r == 0)
        r = check_names(join, &fresh);
    if (r < 0)
        return wrap(r, "%s", join->path ? join->path : "rows");
    *table = fresh;
    fresh = (LookupTable){ .columns = NULL };
    join->seen = seen;
    return 0;
}

static bool is_other(const struct stat *a, const struct stat *b)
{
    return a->st_ino != b->st_ino || a->st_dev != b->st_dev || a->st_size != b->st_size ||
           a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

static void free_plan(void *ptr)
{
    JoinPlan *plan = ptr;

    derived_deinit(&plan->derived);
    mem_free(plan->at);
    mem_free(plan);
}

static bool join_may_block(const void *state, int64_t now_ns)
{
    const Join *join = state;

    return join->path && now_ns >= join->look_ns;
}

/* Take the file's new table, if it has one. */
static void look_again(Join *join, int64_t now_ns)
{
    LookupTable fresh = { .columns = NULL };
    struct stat now;
    Err err;
    int r;

    if (!join_may_block(join, now_ns))
        return;
    join->look_ns = now_ns + LIMIT_JOIN_LOOK_MS * NS_PER_MS;
    if (stat(join->path, &now) < 0 || !is_other(&now, &join->seen))
        return;
    r = load(join, &fresh);
    if (r < 0) {
        err_take(r, &err);
        log_debug("lookup table not taken", L_C("why", err.text));
        join->seen = now; /* not again until it changes */
        return;
    }
    lookup_table_deinit(&join->table);
    join->table = fresh;
    step_cache_deinit(join->plans, CACHED_SHAPES, free_plan);
}

/* ---- open and close -------------------------------------------------------------------------- */

static void join_close(void *state)
{
    Join *join = state;

    if (!join)
        return;
    step_cache_deinit(join->plans, CACHED_SHAPES, free_plan);
    lookup_table_deinit(&join->table);
    shapes_free(join->made);
    buf_deinit(&join->scratch);
    mem_free(join->path);
    mem_free(join);
}

static void close_state(Join *join)
{
    join_close(join);
}
DEFINE_AUTO(Join *, close_state);

static int read_keys(Join *join, Json on)
{
    bool is_object = json_is_object(on);

    if ((!is_object && !json_is_array(on)) || json_len(on) == 0 || json_len(on) > KEYS_MAX)
        return fail(-ERR_INVALID, "on: must be a list or an object of 1 to %d columns", KEYS_MAX);
    for (JsonIter it = json_iter(on); json_next(&it);) {
        Str name;

        if (!json_get_str(it.value, &name) || name.len == 0)
            return fail(-ERR_INVALID, "on: must name columns");
        join->row_keys[join->n_keys] = is_object ? it.key : name;
        join->table_keys[join->n_keys++] = name;
    }
    return 0;
}

static int join_open(const StepOpts *opts, void **ret_state)
{
    const JoinArgs *args = opts->args;
    AUTO(close_state) Join *join = mem_new(Join);
    int r = read_keys(join, args->on.value);

    if (r < 0)
        return r;
    if ((args->file.len > 0) == (args->rows.value != NULL))
        return fail(-ERR_INVALID, "give either file or rows");
    join->args = args;
    join->made = shapes_new();
    join->path = args->file.len > 0 ? mem_copy_c(args->file.data, args->file.len) : NULL;
    r = load(join, &join->table);
    if (r < 0)
        return r;
    *ret_state = TAKE(join);
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The columns of PARCEL, and behind them those of the table. */
static int derive_columns(Join *join, const Parcel *parcel, Derived *ret)
{
    AUTO(arena_deinit) Arena names = { 0 };
    size_t n = parcel->rows.n_columns, most = n + join->table.n_columns;
    DeriveColumn *columns = mem_new_array(DeriveColumn, most);
    Str prefix = join->args->prefix;
    int r;

    arena_init(&names, 0);
    for (size_t c = 0; c < n; c++)
        columns[c] = (DeriveColumn){ parcel->rows.columns[c].name, parcel->rows.columns[c].kind,
                                     parcel->rows.columns[c].unit, c };
    for (size_t k = 0; k < join->table.n_columns; k++) {
        const RowColumn *taken = &join->table.columns[k];
        Str name = arena_printf(&names, "%.*s%.*s", (int) prefix.len,
                                prefix.data ? prefix.data : "", (int) taken->name.len,
                                taken->name.data);
        size_t at = shape_find(parcel->shape, name, 0);

        at = at < parcel->rows.n_columns ? at : n++;
        columns[at] = (DeriveColumn){ name, taken->kind, { 0 }, SHAPE_NONE };
    }
    r = derive(join->made, parcel, columns, n, DERIVE_AS_BEFORE, ret);
    mem_free(columns);
    return r;
}

static int make_plan(Join *join, const Parcel *parcel, JoinPlan **ret_plan)
{
    AUTO(buf_deinit) Buf name = { 0 };
    JoinPlan *plan = mem_new(JoinPlan);
    int r = derive_columns(join, parcel, &plan->derived);

    if (r < 0) {
        mem_free(plan);
        return r;
    }
    for (size_t i = 0; i < join->n_keys; i++) {
        size_t at = shape_find(parcel->shape, join->row_keys[i], 0);

        plan->keys[i] = at < parcel->rows.n_columns
                            ? shape_find(plan->derived.shape, join->row_keys[i], at)
                            : SHAPE_NONE;
    }
    plan->at = mem_new_array(size_t, join->table.n_columns);
    for (size_t k = 0; k < join->table.n_columns; k++) {
        buf_reset(&name);
        buf_add_str(&name, join->args->prefix);
        buf_add_str(&name, join->table.columns[k].name);
        plan->at[k] = shape_find(plan->derived.shape, buf_str(&name), 0);
    }
    *ret_plan = plan;
    return 0;
}

static void end_missing(const Join *join, Parcel *parcel, size_t index)
{
    switch ((Missing) join->args->missing) {
    case MISSING_KEEP: return;
    case MISSING_FILTER: parcel_end_row(parcel, index, FATE_FILTERED); return;
    case MISSING_REFUSE:
        parcel_refuse(parcel, index, STAGE, "not_found",
                      "the lookup table has no row with its %.*s",
                      (int) MIN(join->row_keys[0].len, (size_t) 100), join->row_keys[0].data);
        return;
    }
}

static void join_row(Join *join, Parcel *parcel, const JoinPlan *plan, size_t index)
{
    static const RowValue nothing = { .kind = ROW_ANY };
    RowValue *row = parcel_row(parcel, index);
    const RowValue *keys[KEYS_MAX], *found;

    for (size_t i = 0; i < join->n_keys; i++)
        keys[i] = plan->keys[i] == SHAPE_NONE ? &nothing : &row[plan->keys[i]];
    found = lookup_table_find(&join->table, keys, join->n_keys, &join->scratch);
    if (!found) {
        end_missing(join, parcel, index);
        return;
    }
    for (size_t k = 0; k < join->table.n_columns; k++) {
        RowValue *value = &row[plan->at[k]];

        *value = found[k];
        if (value->text.len > 0) /* the parcel outlives the table */
            value->text = parcel_copy_text(parcel, value->text);
    }
}

static int join_run(void *state, StepRun *run)
{
    Join *join = state;
    Parcel *parcel = run->parcel;
    JoinPlan *plan;
    int r;

    look_again(join, run->now_ns);
    plan = step_cache_find(join->plans, CACHED_SHAPES, parcel);
    if (!plan) {
        r = make_plan(join, parcel, &plan);
        if (r < 0)
            return r;
        step_cache_put(join->plans, CACHED_SHAPES, parcel, plan, free_plan);
    }
    derived_apply(&plan->derived, parcel);
    for (size_t i = 0; i < parcel_count(parcel); i++) {
        if (parcel->fates[i] == FATE_OPEN)
            join_row(join, parcel, plan, i);
    }
    parcel_compact(parcel);
    return 0;
}

static bool is_local(const void *args)
{
    const JoinArgs *join = args;

    return join->file.len > 0;
}

/* A file may be another one tomorrow, with other columns; all of them have the prefix. */
static Str join_column_after(const void *state, Str name)
{
    const Join *join = state;
    const JoinArgs *args = join->args;
    const Str *columns = args->columns.items;

    for (size_t i = 0; i < join->n_keys; i++) {
        if (str_eq(join->row_keys[i], name))
            return name; /* a table that would replace its key is refused */
    }
    if (!str_starts(name, args->prefix))
        return name;
    if (args->columns.len == 0)
        return (Str){ 0 };
    for (size_t i = 0; i < args->columns.len; i++) {
        if (str_eq(columns[i], str_sub(name, args->prefix.len, name.len)))
            return (Str){ 0 };
    }
    return name;
}

extern const StepDriver step_join;
const StepDriver step_join = {
    .name = "join",
    .summary = "Adds columns from a lookup table",
    .args = &join_args,
    .is_local = is_local,
    .open = join_open,
    .close = join_close,
    .run = join_run,
    .column_after = join_column_after,
    .may_block = join_may_block,
};
