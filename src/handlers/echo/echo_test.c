/* echo: what goes in comes out, byte for byte. */
#include "base/arena.h"
#include "base/test.h"

#include <sluice/handler.h>

extern const Handler handler_echo;

/* Would catch a value that is parsed and printed again. */
TEST(bytes_come_back)
{
    static const char *const values[] = { "[]", "{}", "null",
                                          "[1.0, 1e2,\t12345678901234567890123]",
                                          "{\"b\":1 ,\"a\":\"\\u00e9\\n\"}" };

    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf result = { 0 };
        JsonWriter writer = JSON_WRITER(&result);
        Task task = { .job_id = "", .type = "echo", .attempt = 1, .arena = &arena };
        JsonDoc doc;
        SchemaJson given;

        arena_init(&arena, 0);
        EXPECT_OK(json_parse(&arena, str_from_c(values[i]), &doc));
        given = (SchemaJson){ .value = doc.root, .raw = json_raw(&doc, doc.root) };
        EXPECT_OK(handler_echo.run(&task, &given, &writer));
        EXPECT_STR(buf_str(&result), str_from_c(values[i]));
    }
}

TEST_MAIN()
