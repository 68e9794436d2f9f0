/*
 * Files of text as feeds: CSV and JSON lines, added to without end and rolled over. See
 * file_feed.c.
 */
#pragma once

#include "rows/feed.h"
#include "rows/text_sink.h"

/* The options of such a sink: rotate, rotate_every, keep, compress, sync, time. */
extern const SinkOption file_feed_options[];

MUST SUSPENDS int file_feed_open(const TextForm *form, const SinkSpec *spec, const FeedOpts *opts,
                                 void **ret_state, uint64_t *ret_mark, FeedVerdict *verdict);
MUST SUSPENDS int file_feed_deliver(void *state, const FeedLot *lot, FeedVerdict *verdict);
MUST SUSPENDS int file_feed_finish(void *state, FeedVerdict *verdict);
SUSPENDS void file_feed_close(void *state);

#define FILE_FEED_OPS \
    .deliver = file_feed_deliver, .finish = file_feed_finish, .close = file_feed_close
