/* Sample pictures: of the size that is asked for, and refused in words otherwise. */
#include "demo/talk_int.h"

TEST(a_picture_has_the_size_that_its_name_says)
{
    static const char *const requests[] = { "GET /images/48.png", NULL };
    Talk talk = { 0 };

    talk_run(&talk, requests);
    EXPECT_EQ(talk.status, 200);
    EXPECT(str_contains(talk.head, STR_C("Content-Type: image/png")));
    EXPECT(str_starts(talk.body, str_from("\x89PNG\r\n\x1a\n", 8)));
    EXPECT_EQ((unsigned char) talk.body.data[19], 48);
    EXPECT_EQ((unsigned char) talk.body.data[23], 32);
    EXPECT(str_contains(talk.body, STR_C("IEND")));
    talk_end(&talk);
}

TEST(other_names_are_not_there)
{
    static const char *const names[] = { "GET /images/15.png", "GET /images/4097.png",
                                         "GET /images/a.png", "GET /images/48.jpg" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *const requests[] = { names[i], NULL };
        Talk talk = { 0 };

        talk_run(&talk, requests);
        EXPECT_EQ(talk.status, 404);
        talk_end(&talk);
    }
}

TEST_MAIN()
