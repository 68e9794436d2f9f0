/* Plans: sizes and places, without a pixel. */
#include "handlers/image/plan.h"

#include "base/test.h"

static ImagePlan plan_of(ImageOptions options, int width, int height, int orientation)
{
    ImagePlan plan = { 0 };

    options.dpr = options.dpr > 0 ? options.dpr : 1;
    EXPECT_OK(image_plan(&options, width, height, orientation, false, &plan));
    return plan;
}

/* Would catch a part that lies outside of the source, for any orientation and turn. */
TEST(a_part_stays_inside_for_every_orientation)
{
    for (int orientation = 1; orientation <= 8; orientation++)
        for (int rotate = 0; rotate < 360; rotate += 90) {
            bool is_lying = orientation >= 5, is_turned = rotate % 180 != 0;
            ImageOptions options = { .crop = STR_C("3,5,11,7"), .rotate = rotate };
            ImagePlan plan = plan_of(options, is_lying ? 20 : 40, is_lying ? 40 : 20, orientation);

            EXPECT(plan.left >= 0 && plan.left + plan.width <= (is_lying ? 20 : 40));
            EXPECT(plan.top >= 0 && plan.top + plan.height <= (is_lying ? 40 : 20));
            EXPECT_EQ(plan.width, is_lying ? 7 : 11);
            EXPECT_EQ(plan.crop_width, is_turned ? 7 : 11);
            EXPECT_EQ(plan.crop_height, is_turned ? 11 : 7);
        }
}

/* Would catch a part that is taken of the picture as it is turned, not as it is upright. */
TEST(a_part_is_taken_before_the_turn)
{
    for (int rotate = 0; rotate < 360; rotate += 90) {
        ImageOptions options = { .crop = STR_C("30,0,10,5"), .rotate = rotate, .width = 5 };
        ImagePlan plan = plan_of(options, 40, 20, 1);

        EXPECT_EQ(plan.left, 30);
        EXPECT_EQ(plan.top, 0);
        EXPECT_EQ(plan.canvas_width, 5);
        EXPECT_EQ(plan.canvas_height, rotate % 180 ? 10 : 3);
    }
}

/* Would catch the wrong corner: a part at the top left of the upright picture. */
TEST(the_corner_of_each_orientation_is_known)
{
    static const int corners[9][2] = {
        [1] = { 0, 0 }, [2] = { 1, 0 }, [3] = { 1, 1 }, [4] = { 0, 1 },
        [5] = { 0, 0 }, [6] = { 0, 1 }, [7] = { 1, 1 }, [8] = { 1, 0 }
    };

    for (int orientation = 1; orientation <= 8; orientation++) {
        ImageOptions options = { .crop = STR_C("0,0,10,10") };
        ImagePlan plan = plan_of(options, 100, 60, orientation);

        EXPECT_EQ(plan.left, corners[orientation][0] ? 90 : 0);
        EXPECT_EQ(plan.top, corners[orientation][1] ? 50 : 0);
    }
}

/* Would catch sizes of nought, and ones that pass their limits by rounding. */
TEST(extreme_shapes_keep_a_pixel)
{
    ImagePlan plan = plan_of((ImageOptions){ .width = 10 }, 30000, 1, 1);

    EXPECT_EQ(plan.canvas_width, 10);
    EXPECT_EQ(plan.canvas_height, 1);
    plan = plan_of((ImageOptions){ .width = 10, .height = 10 }, 1, 30000, 1);
    EXPECT_EQ(plan.crop_width, 1);
    EXPECT_EQ(plan.crop_height, 10);
    plan = plan_of((ImageOptions){ .width = 33, .height = 33 }, 1000, 999, 1);
    EXPECT_EQ(plan.crop_width, 33);
    EXPECT_EQ(plan.crop_height, 33);
}

/* Would catch an overflow of a size that somebody asks for. */
TEST(a_result_over_the_limits_is_refused)
{
    ImageOptions options = { .width = 16000, .height = 16000, .dpr = 8, .enlarge = true };
    ImagePlan plan;

    EXPECT_ERR(image_plan(&options, 10, 32768, 1, false, &plan), -ERR_UNREADABLE, "a side may");
    options = (ImageOptions){ .dpr = 1, .crop = STR_C("1,2,3") };
    EXPECT_ERR(image_plan(&options, 10, 10, 1, false, &plan), -ERR_INVALID, "crop");
    options.crop = STR_C("1,2,3,4,5");
    EXPECT_ERR(image_plan(&options, 10, 10, 1, false, &plan), -ERR_INVALID, "four");
    options.crop = STR_C("0,0,0,4");
    EXPECT_ERR(image_plan(&options, 10, 10, 1, false, &plan), -ERR_INVALID, "crop");
}

TEST_MAIN()
