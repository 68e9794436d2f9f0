/*
 * The text of one message: quotes that might reach into the next message, and what is a number.
 */
#include "rows/message_text.h"

#include "base/test.h"

TEST(tells_closed_quotes)
{
    static const char *const closed[] = { "m a=1", "m a=\"x\"", "m a=\"\",b=\"y\" 1",
                                          "m a=\"x\"\nm b=\"y\"", "m a=\"x y=z\" 5" };
    static const char *const open[] = { "m a=\"x",       "m a=x\"",
                                        "m a=\"x\\\"\"", "m,t=\" f=\"x",
                                        "m,t=\"a f=\"",  "m a=\"x\"y",
                                        "m a=\"b=\"",    "\"" };

    for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
        if (!message_has_closed_quotes(str_from_c(closed[i])))
            test_fail(__FILE__, __LINE__, "open: %s", closed[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(open); i++) {
        if (message_has_closed_quotes(str_from_c(open[i])))
            test_fail(__FILE__, __LINE__, "closed: %s", open[i]);
    }
}

TEST(tells_numbers)
{
    static const char *const bad[] = { "",      "x",   "0x10", "nan", "inf",
                                       "1e999", "1 2", "1,5",  "-",   "e" };
    double number = 0;

    EXPECT(message_number(STR_C("21.5"), &number) && number == 21.5);
    EXPECT(message_number(STR_C("-1e3"), &number) && number == -1000);
    EXPECT(message_number(STR_C("+7"), &number) && number == 7);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (message_number(str_from_c(bad[i]), &number))
            test_fail(__FILE__, __LINE__, "taken: %s", bad[i]);
    }
}

TEST(guesses_formats)
{
    EXPECT_EQ(message_guess(STR_C("{\"a\":1}")), DECODE_JSON);
    EXPECT_EQ(message_guess(STR_C("[1]")), DECODE_JSON);
    EXPECT_EQ(message_guess(STR_C("m a=1")), DECODE_INFLUX);
    EXPECT_EQ(message_guess(STR_C("")), DECODE_INFLUX);
}

TEST_MAIN()
