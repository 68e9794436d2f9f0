/*
 * Lines: from the lanes to the sinks.
 *
 * Each sink has a line of portions: which rows of which parcel it shall have. A sink without a
 * condition shares the parcel as it is. A line holds about two lots; what happens when it is full
 * is the sink's policy: who brings more waits (block), so that a sink that is slow holds the
 * pipeline and not its memory; rows are lost for this sink alone, those that come (drop_new) or
 * those that wait longest (drop_old). With spill all that comes goes to disk for it first, and
 * from there into its line. With the last three the other sinks go on.
 *
 * The wait is before a stretch, which is all that came of one parcel of a source: in every line a
 * stretch is there whole or not at all, so that no lot ends within one (lot.c). Only lines that
 * get a row of it are waited for. A sink that keeps positions hears of parcels without a row for it
 * by a note beside its line (`passed`), which holds nothing.
 *
 * A row that a sink lost is settled for that sink. It is dropped in the books, under the name of
 * the sink, if no other one has it.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "pipeline/lot.h"
#include "pipeline/spill.h"

/* ---- the end of a parcel --------------------------------------------------------------------- */

/* Rows that end without a fate because the pipeline does: their producers hear of it, and those of
 * the spill are still there. */
static void give_rows_back(Pipeline *pipeline, const Parcel *parcel, uint64_t n)
{
    if (parcel->spill)
        spill_return(parcel->spill, n);
    else
        books_drop(&pipeline->books, "given back", n);
}

/* N rows that no sink has, and that the one at INDEX lost. */
static void settle_lost(Pipeline *pipeline, const Parcel *parcel, size_t index, uint64_t n)
{
    books_drop(&pipeline->books, pipeline->plan->sinks[index].full_word, n);
    if (parcel->receipt)
        parcel->receipt->dropped += n;
}

/* Of the rows with the fates N, those that the books have elsewhere: of the good fates first. */
static void leave_out_shadows(uint64_t n[static FATES], uint64_t shadows)
{
    for (size_t i = FATES; i-- > 0 && shadows > 0;) {
        uint64_t left_out = MIN(n[i], shadows);

        n[i] -= left_out;
        shadows -= left_out;
    }
}

static void settle(Pipeline *pipeline, Parcel *parcel)
{
    uint64_t n[FATES] = { 0 };

    for (size_t i = 0; i < parcel_count(parcel); i++)
        n[parcel->fates[i]]++;
    leave_out_shadows(n, parcel->shadows);
    books_write(&pipeline->books, n[FATE_WRITTEN]);
    books_bury(&pipeline->books, "write", n[FATE_DEAD]);
    books_drop(&pipeline->books, "already written", n[FATE_DROPPED]);
    pipeline->books.repeats += n[FATE_DROPPED];
    for (size_t i = 0; i < pipeline->plan->n_sinks; i++)
        settle_lost(pipeline, parcel, i, n[FATE_LOST(i)]);
    ASSERT(parcel->refused >= parcel->buried);
    if (pipeline->is_failing) {
        give_rows_back(pipeline, parcel, n[FATE_OPEN] + parcel->refused - parcel->buried);
    } else {
        books_filter(&pipeline->books, "no sink", n[FATE_OPEN]);
        books_bury(&pipeline->books, "parse", parcel->refused - parcel->buried);
    }
    voucher_cash(pipeline, parcel);
    parcel_free(&pipeline->pool, parcel);
}

void parcel_answer(Pipeline *pipeline, Parcel *parcel)
{
    ASSERT(parcel->owed > 0);
    if (--parcel->owed == 0)
        settle(pipeline, parcel);
}

void parcel_give_back(Pipeline *pipeline, Parcel *parcel)
{
    ASSERT(pipeline->is_failing);
    if (parcel->receipt)
        parcel->receipt->r = pipeline->end_r < 0 ? pipeline->end_r : -ECANCELED;
    parcel->owed++;
    parcel_answer(pipeline, parcel);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static bool line_is_full(const Writer *writer)
{
    const Line *line = &writer->line;
    const BatchConfig *batch = &writer->sink->batch;

    return line->rows >= 2 * (size_t) batch->rows || line->bytes >= 2 * (size_t) batch->bytes;
}

static void line_put(Writer *writer, TAKES Portion *portion)
{
    Line *line = &writer->line;
    Parcel *parcel = portion->parcel;

    parcel->owed++;
    list_push_back(&line->portions, &portion->link);
    line->rows += portion->n;
    line->bytes += parcel->bytes;
    line->fresh += !is_of_spill(writer, parcel);
    line->awaited += parcel->receipt && parcel->receipt->is_awaited;
    sl_cond_wake_one(&line->item);
}

/* Whether what comes for the writer goes to disk: always, where it spills. A row in its line that
 * is nowhere else would hold back the positions of all sources while the sink is away. */
static bool is_spilling(const Writer *writer)
{
    return writer->pipeline->sink_spills[writer->index] != NULL;
}

/* Whether the sink has to hear of PARCEL's positions though it gets no row of it. */
static bool wants_position(const Writer *writer, const Parcel *parcel)
{
    return parcel->end_position > 0 && parcel->receipt && parcel->receipt->track.len > 0 &&
           writer->sink->spec.driver->feed->is_exact && !is_spilling(writer);
}

/* Which rows of PARCEL the sink shall have: how many, and in *RET_PICKS (owned by the caller) which
 * they are; NULL there: all. */
static uint32_t choose(Writer *writer, Parcel *parcel, uint32_t **ret_picks)
{
    uint32_t n = (uint32_t) parcel_count(parcel);

    *ret_picks = NULL;
    if (writer->sink->where.len == 0 || n == 0)
        return n;
    *ret_picks = mem_new_array(uint32_t, n);
    return writer_choose(writer, parcel, *ret_picks);
}

/* ---- room ------------------------------------------------------------------------------------ */

/* The writer of SINK that rows of PARCEL go to; NULL where it is to be made. */
static Writer *writer_of(const Pipeline *pipeline, uint32_t sink, const Parcel *parcel)
{
    Writer *writer = pipeline->writers[sink];
    Str table = shape_name(parcel->shape);

    if (!pipeline->plan->sinks[sink].is_by_table)
        return writer;
    while (writer && !str_eq(writer->table, table))
        writer = writer->next;
    return writer;
}

/* Whether PARCEL brings a portion into the writer's line. */
static bool is_concerned(Writer *writer, Parcel *parcel)
{
    AUTO(mem_free) uint32_t *picks = NULL;

    if (choose(writer, parcel, &picks) > 0)
        return true;
    return parcel->n_dead > 0 && wants_position(writer, parcel);
}

SUSPENDS static int wait_room(Writer *writer, Parcel *parcel)
{
    int r = 0;

    if (is_spilling(writer) && is_concerned(writer, parcel))
        return spill_wait_room(writer->pipeline->sink_spills[writer->index]);
    if (writer->sink->overflow != SINK_BLOCK || !line_is_full(writer) ||
        !is_concerned(writer, parcel))
        return 0;
    while (r == 0 && line_is_full(writer))
        r = sl_cond_wait(&writer->line.room);
    return r;
}

SUSPENDS int line_wait_room(Pipeline *pipeline, uint32_t sink, const Parcel *parcel)
{
    Writer *writer = writer_of(pipeline, sink, parcel);
    int r = sl_checkpoint();

    while (r == 0 && writer && line_is_full(writer))
        r = sl_cond_wait(&writer->line.room);
    return r;
}

SUSPENDS int lines_wait_room(Pipeline *pipeline, const List *parcels)
{
    int r = 0;

    list_each(parcels, link) {
        Parcel *parcel = LIST_ITEM(link, Parcel, link);

        for (uint32_t i = 0; i < pipeline->plan->n_sinks && r == 0; i++) {
            Writer *writer = writer_of(pipeline, i, parcel);

            if (writer)
                r = wait_room(writer, parcel);
        }
    }
    return r;
}

/* ---- what is lost ---------------------------------------------------------------------------- */

/* The rows of PORTION are lost for its sink. */
static void lose(Writer *writer, const Portion *portion)
{
    Parcel *parcel = portion->parcel;

    for (uint32_t i = 0; i < portion->n; i++) {
        uint8_t *fate = &parcel->fates[portion_row(portion, i)];

        if (*fate == FATE_OPEN)
            *fate = FATE_LOST(writer->index);
    }
    writer->lost += portion->n;
}

/* Lose what waits longest until there is room. A portion that is in a lot in part stays. */
static void lose_oldest(Writer *writer)
{
    list_each(&writer->line.portions, link) {
        Portion *portion = LIST_ITEM(link, Portion, link);

        if (!line_is_full(writer))
            return;
        if (portion->next > 0 || portion->n == 0)
            continue;
        list_remove(link);
        lose(writer, portion);
        portion_end(writer, portion);
    }
}

/* ---- portions -------------------------------------------------------------------------------- */

/* Which rows of a parcel go into a line: told apart only where a sink spills. */
typedef struct Taken {
    bool *rows; /* owned; NULL: nobody asks */
} Taken;

static void take(const Taken *taken, const Portion *portion)
{
    for (uint32_t i = 0; taken->rows && i < portion->n; i++)
        taken->rows[portion_row(portion, i)] = true;
}

static void put_portion(Writer *writer, Parcel *parcel, TAKES uint32_t *picks, uint32_t n,
                        const Taken *taken)
{
    Portion *portion = mem_new(Portion);

    *portion = (Portion){ .parcel = parcel, .picks = picks, .n = n, .at_ns = sl_now_ns() };
    if (writer->sink->overflow == SINK_DROP_OLD)
        lose_oldest(writer);
    if (writer->sink->overflow == SINK_DROP_NEW && line_is_full(writer)) {
        lose(writer, portion);
        portion_free(portion);
        return;
    }
    take(taken, portion);
    line_put(writer, portion);
}

/* The N rows of PARCEL with the indexes PICKS (NULL: the first ones, which are all) go to disk for
 * the writer, as a parcel of their own: PARCEL is done with without waiting for them. */
static int spill_rows_of(Writer *writer, Parcel *parcel, const uint32_t *picks, uint32_t n,
                         const Taken *taken)
{
    Pipeline *pipeline = writer->pipeline;
    Parcel *piece = parcel_new_piece(&pipeline->pool, parcel);

    voucher_share(piece, parcel);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = picks ? picks[i] : i;
        bool fits = parcel_copy_row(piece, parcel, row);

        ASSERT(fits); /* a piece is never larger than what it is cut from */
        piece->shadows += taken->rows[row];
        if (!taken->rows[row])
            parcel->fates[row] = FATE_MOVED;
        taken->rows[row] = true;
    }
    return spill_put(pipeline->sink_spills[writer->index], piece);
}

static int offer(Writer *writer, Parcel *parcel, bool to_disk, const Taken *taken)
{
    AUTO(mem_free) uint32_t *picks = NULL;
    uint32_t n = choose(writer, parcel, &picks);

    if (n == 0 && !wants_position(writer, parcel))
        return 0;
    if (n == 0 && parcel->n_dead == 0) {
        tracks_raise(&writer->passed, parcel->receipt->track, parcel->end_position);
        return 0;
    }
    if (n == 0 && writer->sink->overflow != SINK_BLOCK && line_is_full(writer))
        return 0; /* nobody waited for room, and the next row says as much */
    writer->rows_in += n;
    if (to_disk && n > 0)
        return spill_rows_of(writer, parcel, picks, n, taken);
    put_portion(writer, parcel, TAKE(picks), n, taken);
    return 0;
}

/* The writer of SINK for the rows of PARCEL: where the table has a placeholder, the one of its
 * shape, made when it is the first. */
SUSPENDS static int find_writer(Pipeline *pipeline, uint32_t sink, const Parcel *parcel,
                                Writer **ret_writer)
{
    Writer *writer = writer_of(pipeline, sink, parcel);
    int r;

    if (!writer) {
        r = writer_new(pipeline, sink, shape_name(parcel->shape), &writer);
        if (r < 0)
            return r;
        (void) sl_spawn(pipeline->crew_writers, writer_run, writer,
                        .name = "writer"); /* join tells */
    }
    *ret_writer = writer;
    return 0;
}

/* Which sinks put PARCEL on their disk: a bit for each. */
static uint32_t find_spilling(const Pipeline *pipeline, const Parcel *parcel)
{
    uint32_t bits = 0;

    STATIC_ASSERT(LIMIT_PIPELINE_SINKS <= 32, "a bit for each sink");
    for (uint32_t i = 0; i < pipeline->plan->n_sinks; i++) {
        const Writer *writer = writer_of(pipeline, i, parcel);

        if (writer && is_spilling(writer))
            bits |= 1u << i;
    }
    return bits;
}

/* Offer PARCEL to the sinks with a bit in SINKS. */
SUSPENDS static int offer_to(Pipeline *pipeline, uint32_t sinks, Parcel *parcel, bool to_disk,
                             const Taken *taken)
{
    Writer *writer;
    int r = 0;

    for (uint32_t i = 0; i < pipeline->plan->n_sinks && r == 0; i++) {
        if ((sinks & 1u << i) == 0)
            continue;
        r = find_writer(pipeline, i, parcel, &writer);
        if (r == 0)
            r = offer(writer, parcel, to_disk, taken);
    }
    return r;
}

/* To the lines first: a row is counted where it is in one, and with a spill only otherwise. */
SUSPENDS static int offer_to_all(Pipeline *pipeline, Parcel *parcel)
{
    uint32_t spilling = find_spilling(pipeline, parcel);
    Taken taken = { 0 };
    int r;

    if (spilling)
        taken.rows = mem_new_array(bool, MAX(parcel_count(parcel), (size_t) 1));
    r = offer_to(pipeline, ~spilling, parcel, false, &taken);
    if (r == 0 && spilling)
        r = offer_to(pipeline, spilling, parcel, true, &taken);
    mem_free(taken.rows);
    return r;
}

SUSPENDS int lines_put(Pipeline *pipeline, TAKES Parcel *parcel)
{
    int r;

    parcel->owed = 1;
    r = offer_to_all(pipeline, parcel);
    if (r == 0 && parcel->n_dead > 0) {
        parcel->owed++;
        dead_put(pipeline->dead, parcel);
    }
    if (r < 0 && parcel->receipt)
        parcel->receipt->r = r;
    parcel_answer(pipeline, parcel);
    return r;
}

SUSPENDS int line_put_spilled(Pipeline *pipeline, uint32_t sink, TAKES Parcel *parcel)
{
    Taken taken = { 0 };
    Writer *writer;
    int r;

    parcel->owed = 1;
    r = find_writer(pipeline, sink, parcel, &writer);
    if (r == 0)
        put_portion(writer, parcel, NULL, (uint32_t) parcel_count(parcel), &taken);
    parcel_answer(pipeline, parcel);
    return r;
}
