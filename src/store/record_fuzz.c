/*
 * Fuzz: stored records. Whatever the bytes, they are refused or read; and what can be read can be
 * rewritten, and read again to the same job but for what was changed.
 */
#include "store/record.h"

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    static const Str result = STR("{\"r\":1}");
    JobError error = { .type = STR("T"), .message = STR("m"), .attempt = 3 };
    RecordChange change = { .sets_result = true, .result = result, .error = &error };
    Str record = str_from((const char *) data, len);
    Job before, after;

    arena_init(&arena, 0);
    if (record_decode(&arena, record, &before) < 0)
        return 0;
    buf_add(&out, record.data, RECORD_ID_BYTES);
    AUTO(buf_deinit) Buf body = { 0 };
    record_rewrite(record_body(record), &change, &body);
    buf_add_str(&out, buf_str(&body));
    ASSERT(buf_check(&out) == 0);
    if (record_decode(&arena, buf_str(&out), &after) < 0)
        return 0; /* it had as many sections as a record may have */
    ASSERT(str_eq(after.args, before.args) && str_eq(after.type, before.type));
    ASSERT(str_eq(after.result, result));
    ASSERT(after.n_errors >= 1 && after.errors[after.n_errors - 1].attempt == 3);
    ASSERT(after.created_ms == before.created_ms && after.fence == before.fence);
    return 0;
}
