/*
 * The inside of a pool of boxes, on the engine's side.
 *
 *   box_pool.c    who runs where: turns, the life of the pool, its numbers
 *   box_start.c   the spawner, and boxes that start and end
 *   box_idle.c    boxes and spawner that end because there is nothing to do
 *   box_call.c    one run: what is said to the box, what is believed of its answer
 *   box_budget.c  memory that runs reserve
 *
 * Everything here belongs to the loop that the pool was started on.
 */
#pragma once

#include "base/err.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/macro.h"
#include "worker/box.h"
#include "worker/box_wire_int.h"
#include "worker/fair.h"

#include <sluice/rt/process.h>
#include <sluice/rt/run.h>
#include <sluice/rt/sync.h>

#include <stdatomic.h>

/* Where a box is: a list of the pool for each but BUSY and STARTING, which their fiber holds. */
typedef enum BoxPlace { BOX_STARTING, BOX_IDLE, BOX_BUSY, BOX_ENDING } BoxPlace;

/* Why a box ended. */
typedef enum BoxEnd {
    BOX_END_CRASH,    /* by itself */
    BOX_END_RULES,    /* it said what no box says */
    BOX_END_KILLED,   /* its run was cancelled or took too long */
    BOX_END_RECYCLED, /* after many runs, or grown */
    BOX_END_START,    /* while it started */
    BOX_END_IDLE,     /* it had nothing to do for a while */
    BOX_END_STOP      /* with the pool */
} BoxEnd;

typedef struct Box {
    ListLink link;     /* in pool->idle or pool->ending */
    ListLink all_link; /* in pool->all */
    BoxPlace place;
    uint32_t id;
    int socket;
    int words; /* what it writes to stderr */
    unsigned char *input;
    unsigned char *output;
    int64_t idle_since_ns; /* in pool->idle; on the clock of sl_now_ns */
    uint64_t runs;
    bool is_last;         /* while it is busy: the run is its last */
    uint64_t number;      /* of the run under way */
    uint64_t own_bytes;   /* as it says */
    uint64_t output_used; /* in the run under way */
    bool is_asked;        /* the spawner has been asked for it */
    sl_event ended;       /* the spawner told how, or ended itself */
    bool is_orphan;       /* it ended with the spawner */
    int status;           /* as waitpid has it */
    char last_words[LIMIT_BOX_WORDS_BYTES + 1];
    size_t last_words_len;
    unsigned char frame[LIMIT_BOX_FRAME_BYTES];
} Box;

/* Memory that a run has reserved or waits for; on the stack of its fiber. */
typedef struct BoxCharge {
    ListLink link; /* in the budget's line, while it waits */
    int64_t held;
    int64_t asked;
    int64_t waited_ns;
    int priority;
    sl_event granted;
} BoxCharge;

typedef struct BoxBudget {
    int64_t total;
    int64_t spare; /* of it, for runs that want no more than that: small ones */
    int64_t used;
    int64_t small_used;  /* of it, by small runs */
    List small;          /* of BoxCharge: higher priorities first, within one by arrival */
    List large;          /* the same, of those that want more than the spare */
    BoxCharge *upgrader; /* the one that holds some and waits for more; NULL: none */
} BoxBudget;

typedef struct BoxSpawner {
    BoxPool *pool;
    sl_process *process;
    int socket; /* its process's */
} BoxSpawner;

struct BoxPool {
    BoxPoolOpts opts;
    const char **env; /* of the spawner */
    size_t loop;
    sl_nursery *nursery; /* of its own fibers; NULL before and after */
    BoxSpawner *spawner; /* NULL: none runs */
    List all;            /* of Box, by all_link */
    List idle;           /* the one used last is first: its memory is warm */
    List ending;
    size_t busy;
    size_t last; /* of the busy ones, those that are replaced afterwards */
    size_t starting;
    uint32_t next_id;
    Fair waiting;
    int64_t empty_since_ns; /* while there is no box; on the clock of sl_now_ns */
    sl_cond wants;          /* the keeper may have to start a box */
    sl_cond begun;          /* a box has been started, or nearly: box_idle.c looks again */
    sl_event stop;
    sl_event ended;
    bool is_stopping;
    _Atomic int64_t refuses_ms; /* see box_pool_refuses_ms */
    BoxBudget budget;
    uint64_t runs_begun;  /* numbers them */
    double run_ns;        /* moving mean of a run in a box */
    bool lacks_walls;     /* that the options ask for: no use in trying again and again */
    uint32_t start_tries; /* in a row that failed */
    Err trouble;          /* of the last of them */
    BoxPoolStats stats;
};

/* ---- box_pool.c ------------------------------------------------------------------------------ */

/* Boxes that are there: idle, busy, starting. */
size_t box_pool_alive(const BoxPool *pool);

/* Show the pool's numbers to who reads metrics, and to other threads. */
void box_pool_publish(BoxPool *pool);

/* ---- box_budget.c ---------------------------------------------------------------------------- */

void budget_init(BoxBudget *budget, int64_t total);

/* Wait until BYTES more may be used. 0, -ERR_TOO_LARGE, -ERR_BUSY (others wait for more already,
 * and both would wait for ever), or -ECANCELED. */
MUST SUSPENDS int budget_take(BoxBudget *budget, BoxCharge *charge, int64_t bytes);

/* Give back BYTES of what CHARGE holds, and let others go on. */
void budget_give(BoxBudget *budget, BoxCharge *charge, int64_t bytes);

/* ---- box_start.c ----------------------------------------------------------------------------- */

/* Start a box. 0 and one that nobody holds (BUSY until it is put somewhere), or an error. */
MUST SUSPENDS int box_start(BoxPool *pool, Box **ret_box);

/* End BOX, for which nobody else waits: kill it, give its memory back, forget it once its process
 * has ended. */
void box_end(BoxPool *pool, Box *box, BoxEnd why);

/* After its socket has ended: wait to hear how the process did. The words for it are in the error
 * -ERR_BOX that is returned. */
MUST SUSPENDS int box_post_mortem(BoxPool *pool, Box *box);

/* Keep the end of what BOX has written to stderr. */
void box_hear_words(Box *box);

/* End the spawner, which has no box; the next box that is wanted starts another. */
void box_dismiss_spawner(BoxPool *pool);

/* What libraries and sanitizers read of the environment, nothing else. Owned by the caller. */
const char **box_environment(void);

/* ---- box_idle.c ------------------------------------------------------------------------------ */

/* Fiber: end what has had nothing to do for a while. ARG is the pool. */
SUSPENDS int box_retire_idle(void *arg);

/* ---- box_call.c ------------------------------------------------------------------------------ */

#define BOX_CALL_GONE 1

/*
 * Run it in BOX. 0; BOX_CALL_GONE: the box had ended already and nothing has run; or an error.
 * *RET_USABLE tells whether the box may be used again, and *RET_WHY, if not, what became of it. A
 * cancelled call leaves a box that must be ended.
 */
MUST SUSPENDS int box_call(BoxPool *pool, Box *box, BoxRun *run, bool *ret_usable, BoxEnd *ret_why);
