/*
 * Hashes of contents, and gzip files.
 */
#include "handlers/crawl/content.h"
#include "handlers/crawl/unpack.h"

#include "base/err.h"
#include "base/test.h"

#if SL_HAVE_ZLIB
#include <zlib.h>
#endif

/* Contents that differ in one byte anywhere, or in length, must not be one. */
TEST(contents_that_differ_have_other_hashes)
{
    char body[100] = { 0 };
    uint64_t seen[200];
    size_t n = 0;

    for (size_t len = 0; len <= sizeof(body); len++)
        seen[n++] = content_hash(str_from(body, len));
    for (size_t i = 0; i < sizeof(body) - 1; i++) {
        body[i] = 'x';
        seen[n++] = content_hash(str_from(body, sizeof(body)));
        body[i] = '\0';
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            EXPECT(seen[i] != seen[k]);
}

/* State files keep hashes: they may never change from one version to the next. */
TEST(hashes_are_the_same_for_ever)
{
    EXPECT_EQ(content_hash(STR_C("The same page.")), content_hash(STR_C("The same page.")));
    EXPECT(content_hash((Str){ 0 }) != 0);
}

TEST(what_is_no_gzip_stays)
{
    AUTO(buf_deinit) Buf out = { 0 };
    Str body;

    EXPECT_OK(unpack_gzip(STR_C("<urlset>"), 100, &out, &body));
    EXPECT_STR(body, STR_C("<urlset>"));
    EXPECT_OK(unpack_gzip(STR_C("\x1f"), 100, &out, &body));
    EXPECT_EQ(body.len, 1);
}

#if SL_HAVE_ZLIB

static Str gzip(const void *data, size_t len, void *out, size_t cap)
{
    z_stream stream = {
        .next_in = (Bytef *) data, .avail_in = (uInt) len, .next_out = out, .avail_out = (uInt) cap
    };

    EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    EXPECT_EQ(deflateEnd(&stream), Z_OK);
    return str_from(out, cap - stream.avail_out);
}

TEST(gzip_files_are_unpacked)
{
    AUTO(buf_deinit) Buf out = { 0 };
    char packed[200];
    Str body, file = gzip("<urlset>", 8, packed, sizeof(packed));

    EXPECT_OK(unpack_gzip(file, 100, &out, &body));
    EXPECT_STR(body, STR_C("<urlset>"));
    EXPECT_ERR(unpack_gzip(str_sub(file, 0, file.len - 9), 100, &out, &body), -ERR_INVALID,
               "broken");
}

/* A bomb ends at the limit, not at its end. */
TEST(bombs_are_refused)
{
    AUTO(buf_deinit) Buf out = { 0 };
    size_t len = 8 << 20;
    AUTO(mem_free) char *zeros = mem_zalloc(len);
    AUTO(mem_free) char *packed = mem_zalloc(64 << 10);
    Str body;

    EXPECT_ERR(unpack_gzip(gzip(zeros, len, packed, 64 << 10), 1 << 20, &out, &body),
               -ERR_TOO_LARGE, "");
    EXPECT(out.cap <= 2 << 20);
}

#endif

TEST_MAIN()
