/*
 * How many pages at once the process has descriptors for.
 */
#pragma once

#include "base/own.h"

#include <sluice/handler.h>

/*
 * CONCURRENCY, or as much of it as may be without running out of descriptors, at least 1. In front
 * of a terminal the soft limit is raised first, as far as the hard one allows. N_OUTS is how many
 * places the rows go to. Says on the task's log when it is less.
 */
int64_t crawl_descriptors_fit(Task *task, int64_t concurrency, size_t n_outs);
