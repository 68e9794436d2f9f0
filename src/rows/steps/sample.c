/*
 * sample: some of the rows, always the same ones of the same rows.
 *
 *   sample: { every: 10 }                    the first of each ten
 *   sample: { share: 0.1 }                   a tenth, spread evenly
 *   sample: { share: 0.1, by: [sensor] }     all rows of a tenth of the sensors
 *
 * By a key the choice is a hash of the key with a fixed seed: the same sensors after a restart, on
 * another machine, in another lane. Without one it goes by the number of the row, which is kept
 * over a restart.
 */
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/varint.h"
#include "rows/step.h"
#include "rows/step_key.h"

#define VERSION    1
#define HASH_SEED0 UINT64_C(0x736c75696365)
#define HASH_SEED1 UINT64_C(0x73616d706c65)

typedef struct SampleArgs {
    int64_t every;
    double share;
    SchemaList by; /* of Str */
} SampleArgs;

static const SchemaField name_item = ITEM(STR, .range = RANGE(1, 256));
static const SchemaField sample_fields[] = {
    FIELD_INT(SampleArgs, every, "keep one row in so many", .range = RANGE(1, INT64_MAX),
              .positional = 1),
    FIELD_REAL(SampleArgs, share, "keep this share of the rows", .real_range = REAL_RANGE(0, 1)),
    FIELD_LIST(SampleArgs, by, &name_item, "columns of the key: rows of one key go together",
               .range = RANGE(0, 16)),
};
static const Schema sample_args = SCHEMA(SampleArgs, sample_fields, "Settings of the step sample.");

typedef struct Sample {
    uint64_t every; /* 0: by share */
    uint64_t most;  /* a hash at most this is kept */
    bool keeps_all;
    uint64_t n_seen;
    StepKey key;
} Sample;

static void sample_close(void *state)
{
    Sample *sample = state;

    if (!sample)
        return;
    step_key_deinit(&sample->key);
    mem_free(sample);
}

static int sample_open(const StepOpts *opts, void **ret_state)
{
    const SampleArgs *args = opts->args;
    Sample *sample;

    if ((args->every > 0) == (args->share > 0))
        return fail(-ERR_INVALID, "give either every or a share above 0");
    if (args->every > 0 && args->by.len > 0)
        return fail(-ERR_INVALID, "by goes with share, not with every");
    sample = mem_new(Sample);
    sample->every = (uint64_t) args->every;
    sample->keeps_all = args->share >= 1;
    sample->most = sample->keeps_all ? UINT64_MAX : (uint64_t) (args->share * 0x1p64);
    step_key_init(&sample->key, args->by);
    *ret_state = sample;
    return 0;
}

static bool is_chosen(Sample *sample, const RowValue *row)
{
    uint64_t number = sample->n_seen++, hash;
    RowKey key;

    if (sample->every > 0)
        return number % sample->every == 0;
    if (sample->key.n == 0)
        hash = hash_bytes(&number, sizeof(number), HASH_SEED0, HASH_SEED1);
    else if (step_key_of(&sample->key, row, &key))
        hash = hash_bytes(key.bytes, key.len, HASH_SEED0, HASH_SEED1);
    else
        hash = UINT64_MAX;
    return sample->keeps_all || hash < sample->most;
}

static int sample_run(void *state, StepRun *run)
{
    Sample *sample = state;
    Parcel *parcel = run->parcel;

    step_key_bind(&sample->key, parcel);
    for (size_t i = 0; i < parcel_count(parcel); i++) {
        if (parcel->fates[i] == FATE_OPEN && !is_chosen(sample, parcel_row(parcel, i)))
            parcel_end_row(parcel, i, FATE_FILTERED);
    }
    parcel_compact(parcel);
    return 0;
}

/* ---- state ----------------------------------------------------------------------------------- */

static int sample_save(const void *state, Buf *out)
{
    const Sample *sample = state;

    buf_add_char(out, VERSION);
    varint_add(out, sample->n_seen);
    return buf_check(out);
}

static int sample_load(void *state, Str bytes)
{
    Sample *sample = state;
    uint64_t n;

    if (bytes.len == 0 || bytes.data[0] != VERSION)
        return fail(-ERR_CONFLICT, "this is no state of a sample step, or of another version");
    bytes = str_sub(bytes, 1, bytes.len);
    if (!varint_take(&bytes, &n) || bytes.len > 0)
        return fail(-ERR_CONFLICT, "the state of the sample step is damaged");
    sample->n_seen += n;
    return 0;
}

/* Each lane counts for itself; the first one goes on with what the lanes before have seen. */
static int sample_deal(void *const *states, const StepShare *share, Str bytes)
{
    (void) share;
    return sample_load(states[0], bytes);
}

extern const StepDriver step_sample;
const StepDriver step_sample = {
    .name = "sample",
    .summary = "Keeps one row in so many, or a share of them by a hash of their key",
    .args = &sample_args,
    .is_stateful = true,
    .is_by_arrival = true,
    .open = sample_open,
    .close = sample_close,
    .run = sample_run,
    .save = sample_save,
    .load = sample_load,
    .deal = sample_deal,
};
