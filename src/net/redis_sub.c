#include "net/redis_int.h"
void redis_subs_start(Redis *redis)
{
    (void) redis;
}
void redis_subs_moved(Redis *redis)
{
    (void) redis;
}
void redis_subs_free(Redis *redis)
{
    (void) redis;
}
