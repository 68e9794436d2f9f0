/*
 * SQLite as a feed: see sqlite_feed.c.
 */
#pragma once

#include "rows/feed.h"

extern const FeedDriver sqlite_feed;
