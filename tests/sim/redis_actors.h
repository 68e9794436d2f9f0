/*
 * Who acts in a world on the simulated Redis: producers, workers, cancellers, each in a process.
 */
#pragma once

#include "../sim/fleet.h"

enum { WORLD_QUEUES = 3 };

typedef struct RedisWorld {
    Fleet fleet;
    Ledger ledger;
    Rand rand;
    int64_t lease_ms;
    bool is_end;      /* no mischief any more: workers do their work */
    bool is_over;     /* producers stop */
    bool is_patient;  /* workers wait for as long as it takes, and live long */
    unsigned n_push;  /* jobs that each producer pushes */
    int64_t pause_ms; /* of a producer between two pushes, at most */
    uint64_t next_id;
    uint64_t pushed; /* accepted */
    unsigned burst;  /* jobs that come at once, now and then; 0: never */
    double later;    /* chance that a job is scheduled */
    int64_t later_ms;
} RedisWorld;

/* What a fiber is told: who it is. Freed by the fiber. */
typedef struct Actor {
    RedisWorld *world;
    Process *process;
} Actor;

uint64_t world_below(RedisWorld *world, uint64_t bound);
bool world_chance(RedisWorld *world, double p);
Str world_queue(uint64_t n);

/* Fibers: their argument is a world's process, by actor_new. */
Actor *actor_new(RedisWorld *world, Process *process);
int actor_producer(void *arg);
int actor_worker(void *arg); /* many lives, one after the other */
int actor_canceller(void *arg);

/* Whether every job in the store is final; false also when it cannot be asked. */
SUSPENDS bool world_all_final(Queues *queues);
