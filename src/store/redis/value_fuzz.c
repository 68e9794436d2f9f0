/*
 * Fuzz: the text of a job in Redis, which anybody may edit. It is refused, or it is a record that
 * can be read and that the engine could take.
 */
#include "store/redis/value.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const Str id = STR("01900000-0000-7000-8000-000000000001");
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    Str holder;
    Job job;

    arena_init(&arena, 0);
    if (value_to_record(&arena, id, str_from((const char *) data, len), -1, &out, &holder) < 0)
        return 0;
    ASSERT(record_decode(&arena, buf_str(&out), &job) == 0);
    ASSERT(job.type.data && job.queue.len > 0);
    return 0;
}
