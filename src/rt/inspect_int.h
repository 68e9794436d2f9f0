/* What inspection offers to the rest of the runtime. */
#pragma once

#include "rt/rt_int.h"

/* Print the running fiber and the tree of this thread's loop to stderr, bounded; for
 * assert_set_reporter(). */
void rt_report_assertion(void);
