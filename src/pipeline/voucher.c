/*
 * Vouchers: how far a track is done, though its rows end in any order.
 *
 * Each parcel that comes with positions gets a voucher for its end, in the order of the channel.
 * The voucher is cashed when the last parcel with rows of that stretch is settled; the track's
 * settled position moves to it once every earlier voucher is cashed too.
 *
 * Parcels that come back from a spill have a line of their own: those that wait to get into it,
 * on a disk that is full, would hold up the news that all before them is done with.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "pipeline/spill.h"

void voucher_attach(Pipeline *pipeline, Parcel *parcel)
{
    Voucher *voucher;

    if (!parcel->receipt || parcel->receipt->track.len == 0 || parcel->end_position == 0)
        return;
    voucher = mem_zalloc(sizeof(*voucher) + parcel->receipt->track.len);
    voucher->refs = 1;
    voucher->position = parcel->end_position;
    memcpy(voucher + 1, parcel->receipt->track.data, parcel->receipt->track.len);
    voucher->track = str_from((const char *) (voucher + 1), parcel->receipt->track.len);
    list_push_back(&pipeline->vouchers[parcel->spill ? spill_index(parcel->spill) : 0],
                   &voucher->link);
    parcel->voucher = voucher;
}

void voucher_share(Parcel *parcel, const Parcel *mother)
{
    Voucher *voucher = mother->voucher;

    if (!voucher || parcel->voucher)
        return;
    /* Atomic: on the pool, while another parcel of the stretch ends on the loop. */
    ASSERT(__atomic_fetch_add(&voucher->refs, 1, __ATOMIC_RELAXED) > 0);
    parcel->voucher = voucher;
}

/* Those of LINE that are cashed, up to the first that is not. */
static void settle(Pipeline *pipeline, List *line)
{
    while (line->first) {
        Voucher *voucher = LIST_ITEM(line->first, Voucher, link);

        if (__atomic_load_n(&voucher->refs, __ATOMIC_ACQUIRE) > 0)
            return;
        if (!pipeline->is_failing) { /* otherwise its rows may have been given back */
            tracks_raise(&pipeline->settled, voucher->track, voucher->position);
            pipeline->is_dirty = true;
        }
        list_remove(&voucher->link);
        mem_free(voucher);
    }
}

void voucher_cash(Pipeline *pipeline, Parcel *parcel)
{
    Voucher *voucher = TAKE(parcel->voucher);

    if (!voucher)
        return;
    ASSERT(__atomic_fetch_sub(&voucher->refs, 1, __ATOMIC_ACQ_REL) > 0);
    settle(pipeline, voucher->link.list);
}

void vouchers_deinit(Pipeline *pipeline)
{
    ListLink *link;

    for (size_t i = 0; i < ARRAY_LEN(pipeline->vouchers); i++) {
        while ((link = list_pop_front(&pipeline->vouchers[i])) != NULL)
            mem_free(LIST_ITEM(link, Voucher, link));
    }
}

void vouchers_format(const Pipeline *pipeline, Buf *out)
{
    AUTO(buf_deinit) Buf settled = { 0 };
    Tracks ahead = { 0 };

    tracks_format(&pipeline->settled, &settled);
    (void) tracks_parse(&ahead, buf_str(&settled)); /* it was formatted just now */
    list_each(&pipeline->vouchers[0], link) {
        const Voucher *voucher = LIST_ITEM(link, Voucher, link);

        tracks_raise(&ahead, voucher->track, voucher->position);
    }
    tracks_format(&ahead, out);
    tracks_deinit(&ahead);
}
