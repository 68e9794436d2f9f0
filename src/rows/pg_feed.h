/*
 * The feed of PostgreSQL: rows without end into a table, by COPY in its binary format.
 */
#pragma once

#include "rows/feed.h"

extern const FeedDriver pg_feed_driver;
