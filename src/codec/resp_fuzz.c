/*
 * Fuzz: RESP. Whatever a server sends and however it is cut into pieces, the scan finds the same
 * frames, decoding reads nothing outside of them, and what it makes stays within the frame.
 *
 * The first byte is the size of the pieces, the rest is what the server sends.
 */
#include "codec/resp.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_value(Str frame, const RespValue *value, unsigned depth)
{
    ASSERT(depth <= RESP_DEPTH_MAX);
    if (value->text.len > 0)
        ASSERT(value->text.data > frame.data &&
               value->text.data + value->text.len + 2 <= frame.data + frame.len);
    ASSERT(!value->is_push || (value->type == RESP_LIST && depth == 0));
    ASSERT(value->n == 0 || value->type == RESP_LIST || value->type == RESP_MAP);
    for (size_t i = 0; i < value->n; i++)
        check_value(frame, resp_item(value, i), depth + 1);
}

static void check_frame(Str frame)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    char *copy = mem_try(frame.len);
    RespValue value;

    if (!copy)
        return;
    memcpy(copy, frame.data, frame.len);
    if (resp_decode(&arena, str_from(copy, frame.len), &value) == 0)
        check_value(str_from(copy, frame.len), &value, 0);
    mem_free(copy);
}

/* As the scan of all the bytes at once goes, so goes the one by pieces. */
static int scan_pieces(Str bytes, size_t piece, size_t *ret_len)
{
    RespScan scan = { 0 };
    size_t there = 0;
    int r;

    do {
        there = there + piece < bytes.len ? there + piece : bytes.len;
        r = resp_scan(&scan, str_sub(bytes, 0, there), ret_len);
    } while (r == RESP_MORE && there < bytes.len);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    Str bytes = str_from((const char *) data, len);
    size_t frame_len = 0, again_len = 0, piece;
    int r;

    if (len == 0)
        return 0;
    piece = data[0] + (size_t) 1;
    for (bytes = str_sub(bytes, 1, len); bytes.len > 0;
         bytes = str_sub(bytes, frame_len, bytes.len)) {
        RespScan scan = { 0 };

        check_frame(bytes);
        r = resp_scan(&scan, bytes, &frame_len);
        ASSERT(scan_pieces(bytes, piece, &again_len) == r);
        if (r != 0)
            break;
        ASSERT(frame_len > 0 && frame_len <= bytes.len && again_len == frame_len);
        check_frame(str_sub(bytes, 0, frame_len));
    }
    return 0;
}
