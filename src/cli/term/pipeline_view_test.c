/*
 * The view of a pipeline: what it shows, and that it fits whatever terminal there is.
 */
#include "cli/term/pipeline_view.h"

#include "base/arena.h"
#include "base/test.h"
#include "codec/json.h"
#include "codec/width.h"

#define SECOND INT64_C(1000000000)

static void take(PipelineView *view, const char *text, int64_t now_ns)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    JsonDoc doc;

    EXPECT_OK(json_parse(&arena, str_from_c(text), &doc));
    pipeline_view_take(view, doc.root, now_ns);
}

static const char first[] =
    "{\"name\":\"readings\",\"state\":\"running\",\"lag_s\":0,\"dead\":0,\"dropped\":0,"
    "\"channel\":{\"rows\":0,\"rows_max\":1000,\"bytes\":0,\"bytes_max\":1000},"
    "\"sources\":[{\"name\":\"sim\",\"up\":true,\"about\":\"at work\",\"rows_in\":0,"
    "\"rows_out\":0,\"errors\":0}],"
    "\"steps\":[{\"name\":\"validate\",\"up\":true,\"rows_in\":0,\"rows_out\":0,\"errors\":0}],"
    "\"sinks\":[{\"name\":\"sqlite\",\"up\":true,\"rows_in\":0,\"rows_out\":0,\"errors\":0}]}";
static const char second[] =
    "{\"name\":\"readings\",\"state\":\"waiting\",\"about\":\"sqlite: locked\",\"lag_s\":1.5,"
    "\"dead\":12,\"dropped\":1,"
    "\"channel\":{\"rows\":500,\"rows_max\":1000,\"bytes\":750,\"bytes_max\":1000},"
    "\"sources\":[{\"name\":\"sim\",\"up\":true,\"about\":\"at work\",\"rows_in\":2000,"
    "\"rows_out\":2000,\"errors\":0}],"
    "\"steps\":[{\"name\":\"validate\",\"up\":true,\"rows_in\":2000,\"rows_out\":1988,"
    "\"errors\":12}],"
    "\"sinks\":[{\"name\":\"sqlite\",\"up\":false,\"about\":\"locked by \\u001b[31msomebody\","
    "\"rows_in\":700,\"rows_out\":400,\"waiting\":300,\"errors\":3}]}";

static void expect_drawn(const PipelineView *view, size_t columns, size_t rows, const char *text)
{
    AUTO(buf_deinit) Buf out = { 0 };

    pipeline_view_draw(view, &(PipelineViewStyle){ .columns = columns, .rows = rows }, &out);
    EXPECT_STR(buf_str(&out), str_from_c(text));
}

/* Would catch a rate over the wrong time, a column that wanders, words of a sink that are lost, and
 * escape sequences that come through. */
TEST(it_shows_every_part)
{
    AUTO(pipeline_view_free) PipelineView *view = pipeline_view_new();

    expect_drawn(view, 80, 24, "");
    take(view, first, SECOND);
    take(view, second, 2 * SECOND);
    expect_drawn(view, 80, 24,
                 "readings: waiting, 1.0 s: sqlite: locked\n"
                 "                       rows/s                            rows  waiting   errors\n"
                 "source sim              2 000                ▁█         2 000                 0\n"
                 "channel                   75%                ▁█                    500         \n"
                 "step validate           2 000                ▁█         2 000                12\n"
                 "sink sqlite               400                ▁█           400      300        3\n"
                 "lag                     1.5 s                ▁█                                \n"
                 "dead letters               12                ▁█            12                  \n"
                 "dropped                   1.0                ▁█             1                  \n"
                 "sqlite: locked by somebody");
}

/* Would catch a view that is larger than the terminal, which would scroll away with each frame. */
TEST(it_fits_every_terminal)
{
    AUTO(pipeline_view_free) PipelineView *view = pipeline_view_new();

    take(view, first, SECOND);
    take(view, second, 2 * SECOND);
    expect_drawn(view, 30, 3,
                 "readings: waiting, 1.0 s, 7 …\n"
                 "channel                   75%\n"
                 "sink sqlite               400");
    for (size_t columns = 0; columns < 200; columns++) {
        for (size_t rows = 0; rows < 14; rows++) {
            AUTO(buf_deinit) Buf out = { 0 };
            PipelineViewStyle style = { .columns = columns, .rows = rows };
            Str rest, line;
            size_t n = 0;

            pipeline_view_draw(view, &style, &out);
            for (rest = buf_str(&out); rest.len > 0; n++) {
                line = str_cut(rest, '\n', &rest);
                EXPECT(width_of(line) < (columns > 2 ? columns : 2));
            }
            EXPECT(n <= (rows > 1 ? rows : 1));
        }
    }
}

/* Would catch numbers of one part that another takes over after a reload, and what is no state. */
TEST(parts_change)
{
    AUTO(pipeline_view_free) PipelineView *view = pipeline_view_new();

    take(view, second, SECOND);
    take(view, "{\"name\":\"readings\",\"state\":\"stopped\",\"sinks\":[{\"name\":\"csv\"}]}",
         2 * SECOND);
    expect_drawn(view, 64, 24,
                 "readings: stopped, 1.0 s\n"
                 "                       rows/s          rows  waiting   errors\n"
                 "channel                    0%                      0         \n"
                 "sink csv                    0             0        0        0\n"
                 "lag                      0 ms                                \n"
                 "dead letters                0             0                  ");
    take(view, "[1, {\"sinks\": 3}]", 3 * SECOND);
    take(view, "{\"sources\":{\"a\":\"b\"},\"channel\":[],\"lag_s\":\"x\"}", 3 * SECOND);
}

TEST_MAIN()
