/*
 * The engine's rule of where rows may go: below one folder, and to listed databases.
 */
#include "app/rows_rule.h"

#include "base/test.h"

static const char *url = "";

static int allow(const EngineConfig *config, const char *out, char *placed)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    Str text;
    RowsRule rule = { .config = config, .url = url };
    int r = rows_rule_allow(&rule, &arena, str_from_c(out), &text);

    if (r == 0)
        (void) snprintf(placed, 200, "%.*s", (int) text.len, text.data);
    return r;
}

TEST(without_settings_nothing_is_written)
{
    EngineConfig config = { 0 };
    char placed[200] = "";

    EXPECT_ERR(allow(&config, "prices.csv", placed), -ERR_FORBIDDEN, "rows_dir");
#if SL_HAVE_SQLITE
    EXPECT_ERR(allow(&config, "sqlite:shop.db?table=prices", placed), -ERR_FORBIDDEN, "rows_dir");
#endif
#if SL_HAVE_PQ
    EXPECT_ERR(allow(&config, "postgresql://db/shop", placed), -ERR_FORBIDDEN, "rows_databases");
#endif
}

TEST(files_stay_below_the_folder)
{
    EngineConfig config = { .rows_dir = STR("/srv/rows") };
    char placed[200] = "";

    EXPECT_OK(allow(&config, "prices.csv", placed));
    EXPECT_C(placed, "/srv/rows/prices.csv");
    EXPECT_OK(allow(&config, "csv:csv", placed));
    EXPECT_C(placed, "csv:/srv/rows/csv");
    EXPECT_OK(allow(&config, "a/b.jsonl", placed));
    EXPECT_C(placed, "/srv/rows/a/b.jsonl");
#if SL_HAVE_SQLITE
    EXPECT_OK(allow(&config, "sqlite:shop.db?table=prices", placed));
    EXPECT_C(placed, "sqlite:/srv/rows/shop.db?table=prices");
#endif
    EXPECT_ERR(allow(&config, "../prices.csv", placed), -ERR_FORBIDDEN, "..");
    EXPECT_ERR(allow(&config, "a/../../prices.csv", placed), -ERR_FORBIDDEN, "..");
    EXPECT_ERR(allow(&config, "/etc/prices.csv", placed), -ERR_FORBIDDEN, "below");
    EXPECT_ERR(allow(&config, "csv:-", placed), -ERR_FORBIDDEN, "");
}

/* Would catch a job that makes the engine talk to another one, and a type taken for a file. */
TEST(rows_become_jobs_of_the_same_engine)
{
    EngineConfig config = { .rows_dir = STR("/srv/rows") };
    char placed[200] = "";

    EXPECT_ERR(allow(&config, "jobs:echo", placed), -ERR_FORBIDDEN, "no API of its own");
    url = "http://127.0.0.1:7584";
    EXPECT_OK(allow(&config, "jobs:echo", placed));
    EXPECT_C(placed, "jobs:echo?url=http://127.0.0.1:7584");
    EXPECT_OK(allow(&config, "jobs:echo?queue=low", placed));
    EXPECT_C(placed, "jobs:echo?queue=low&url=http://127.0.0.1:7584");
    EXPECT_ERR(allow(&config, "jobs:echo?url=http://10.0.0.7:7584", placed), -ERR_FORBIDDEN,
               "leave url= out");
    url = "";
}

#if SL_HAVE_PQ
TEST(databases_are_listed)
{
    Str listed[] = { STR("postgresql://db.internal/shop") };
    EngineConfig config = { .rows_databases = { .items = listed, .len = 1 } };
    char placed[200] = "";

    EXPECT_OK(allow(&config, "postgresql://db.internal/shop?table=prices", placed));
    EXPECT_C(placed, "postgresql://db.internal/shop?table=prices");
    EXPECT_ERR(allow(&config, "postgresql://db.internal/staff", placed), -ERR_FORBIDDEN, "lists");
    EXPECT_ERR(allow(&config, "postgresql://db.internal/shop?host=elsewhere", placed),
               -ERR_FORBIDDEN, "lists");
}
#endif

TEST_MAIN()
