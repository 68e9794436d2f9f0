/*
 * The contract of a source (source.h), as far as it can be checked for all: run against every
 * source the build finds.
 *
 * What a driver says of itself is checked for each. To be run, a source needs settings under which
 * it begins here, a way to bring it rows, or at least a producer that is away: that is its row in
 * `places`. A driver without a row is checked as far as its tables go.
 */
#include "rows/source.h"

#include "codec/json.h"
#include "codec/schema.h"
#include "gen/sources.h"
#include "net/stream.h"
#include "rows/source_world_int.h"

#include <sluice/rt.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/un.h>

typedef struct Place {
    const char *driver;
    const char *settings;
    const char *said; /* part of what it says when it runs; NULL: it says nothing */
    const char *text; /* a text that names it, as on the command line */
    bool is_away;     /* its producer is not there: it tries again and again */
    bool is_written;  /* a file "lines.txt" with a line must be there */
    bool has_end;     /* it ends by itself */
    SUSPENDS void (*feed)(SourceWorld *world); /* brings one line, "fed"; NULL: it has rows */
} Place;

/* ---- producers ------------------------------------------------------------------------------- */

static bool address_said(const SourceWorld *world, NetAddress *ret_address)
{
    const char *at = strstr(world->said, " on ");
    int r = at ? net_address_parse(str_from_c(at + 4), ret_address) : -ERR_INVALID;

    EXPECT_EQ(r, 0);
    return r == 0;
}

SUSPENDS static void feed_stream(SourceWorld *world)
{
    AUTO(stream_close) Stream *stream = NULL;
    NetAddress address;

    if (!address_said(world, &address))
        return;
    EXPECT_OK(stream_connect(&address, &stream));
    EXPECT_OK(stream_write_all(stream, "fed\n", 4));
}

SUSPENDS static void feed_udp(SourceWorld *world)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    NetAddress address;

    if (address_said(world, &address))
        EXPECT_EQ(sendto(fd, "fed", 3, 0, (struct sockaddr *) &address.storage, address.len), 3);
    close(fd);
}

SUSPENDS static void feed_http(SourceWorld *world)
{
    static const char request[] = "POST /?wait=false HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                                  "Connection: close\r\n\r\nfed\n";
    AUTO(stream_close) Stream *stream = NULL;
    NetAddress address;
    char answer[1000];

    if (!address_said(world, &address))
        return;
    EXPECT_OK(stream_connect(&address, &stream));
    EXPECT_OK(stream_write_all(stream, request, sizeof(request) - 1));
    EXPECT(stream_read(stream, answer, sizeof(answer)) > 0);
}

static const Place places[] = {
    { .driver = "http",
      .settings = "{\"listen\":\"127.0.0.1:0\"}",
      .said = "listens on",
      .text = "http://127.0.0.1:0?token=a%20b",
      .feed = feed_http },
    { .driver = "tcp",
      .settings = "{\"listen\":\"127.0.0.1:0\"}",
      .said = "listens on",
      .text = "tcp:listen=127.0.0.1:0,idle=5s",
      .feed = feed_stream },
    { .driver = "udp",
      .settings = "{\"listen\":\"127.0.0.1:0\"}",
      .said = "receives on",
      .text = "udp://:9000?buffer=8192&precision=ms",
      .feed = feed_udp },
    { .driver = "unix",
      .settings = "{\"path\":\"contract.sock\"}",
      .said = "listens on",
      .text = "unix:///run/x.sock?mode=0660",
      .feed = feed_stream },
    { .driver = "sim", .settings = "{\"sensors\":3}", .text = "sim:sensors=3,count=10" },
    { .driver = "files",
      .settings = "{\"paths\":[\"lines.txt\"]}",
      .text = "lines.txt",
      .is_written = true,
      .has_end = true },
    { .driver = "mqtt",
      .settings = "{\"server\":\"127.0.0.1:1\",\"topics\":[\"a\"]}",
      .text = "mqtt://127.0.0.1/a",
      .is_away = true },
    { .driver = "amqp",
      .settings = "{\"server\":\"127.0.0.1:1\",\"queue\":\"a\"}",
      .text = "amqp://127.0.0.1/a",
      .is_away = true },
};

static const Place *place_of(const SourceDriver *driver)
{
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (strcmp(places[i].driver, driver->name) == 0)
            return &places[i];
    }
    return NULL;
}

/* ---- what a driver says of itself ------------------------------------------------------------ */

static bool has_field(const Schema *schema, const char *name)
{
    for (size_t i = 0; schema && i < schema->n_fields; i++) {
        if (strcmp(schema->fields[i].name, name) == 0)
            return true;
    }
    return false;
}

static void check_tables(const SourceDriver *driver)
{
    EXPECT(driver->name && driver->name[0] && driver->run != NULL);
    EXPECT(driver->summary && driver->summary[0] &&
           !str_ends(str_from_c(driver->summary), STR_C(".")));
    if (driver->args)
        EXPECT_OK(schema_check(driver->args));
    for (size_t i = 0; driver->args && i < driver->args->n_fields; i++) {
        if (has_field(&source_common_schema, driver->args->fields[i].name))
            test_fail(__FILE__, __LINE__, "%s: %s is a setting that every source has", driver->name,
                      driver->args->fields[i].name);
    }
    EXPECT(source_driver_find(str_from_c(driver->name)) == driver);
    for (size_t i = 0; i < ARRAY_LEN(driver->schemes) && driver->schemes[i]; i++)
        EXPECT(driver->from_text != NULL);
}

TEST(drivers_say_what_they_are)
{
    EXPECT_OK(schema_check(&source_common_schema));
    for (size_t i = 0; i < sources_count; i++)
        check_tables(sources_table[i]);
}

/* Would catch a text that becomes settings which the driver does not have. */
static void check_text(const SourceDriver *driver, const char *text)
{
    AUTO(arena_deinit) Arena arena = { 0 };
    AUTO(buf_deinit) Buf out = { 0 };
    JsonDoc doc;
    JsonIter it;

    EXPECT(source_driver_find(str_from_c(text)) == driver);
    EXPECT_OK(source_from_text(driver, str_from_c(text), &out));
    EXPECT_OK(json_parse(&arena, buf_str(&out), &doc));
    it = json_iter(doc.root);
    while (json_next(&it)) {
        const char *name = arena_copy_c(&arena, it.key);

        if (!has_field(driver->args, name) && !has_field(&source_common_schema, name))
            test_fail(__FILE__, __LINE__, "%s: %s is no setting of %s", text, name, driver->name);
    }
}

/* Would catch a colon behind a name that is taken for the beginning of settings, whatever
 * follows. */
TEST(a_place_may_stand_behind_the_name)
{
    static const struct {
        const char *text, *json;
    } table[] = {
        { "unix:x.sock", "{\"path\":\"x.sock\"}" },
        { "unix:./a=b.sock?mode=0660", "{\"path\":\"./a=b.sock\",\"mode\":\"0660\"}" },
        { "unix:/run/x.sock", "{\"path\":\"/run/x.sock\"}" },
        { "unix:path=x.sock", "{\"path\":\"x.sock\"}" },
        { "tcp:127.0.0.1:9", "{\"listen\":\"127.0.0.1:9\"}" },
        { "http:[::1]:8086?wait=1s", "{\"listen\":\"[::1]:8086\",\"wait\":\"1s\"}" },
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        AUTO(buf_deinit) Buf out = { 0 };
        Str text = str_from_c(table[i].text);

        EXPECT_OK(source_from_text(source_driver_find(text), text, &out));
        EXPECT_STR(buf_str(&out), str_from_c(table[i].json));
    }
}

TEST(texts_become_settings)
{
    for (size_t i = 0; i < sources_count; i++) {
        const Place *its = place_of(sources_table[i]);
        AUTO(arena_deinit) Arena arena = { 0 };
        AUTO(buf_deinit) Buf out = { 0 };

        if (its && its->text)
            check_text(sources_table[i], its->text);
        if (strcmp(sources_table[i]->name, "files") == 0)
            continue; /* any text behind its name is a path */
        EXPECT_ERR(
            source_from_text(
                sources_table[i],
                str_from_c(
                    arena_printf(&arena, "%s:no_such_setting=1", sources_table[i]->name).data),
                &out),
            -ERR_USAGE, "no-such-setting");
    }
}

/* ---- running --------------------------------------------------------------------------------- */

static const SourceDriver *driver; /* of the body that runs */
static const Place *place;

SUSPENDS static void begin(SourceWorld *world)
{
    if (place->is_written) {
        FILE *file = fopen("lines.txt", "w");

        REQUIRE(file != NULL);
        (void) fputs("fed\n", file);
        (void) fclose(file);
    }
    world->source.is_private_allowed = true;
    if (driver->format != DECODE_AUTO || !place->is_away)
        world->source.decode.format = DECODE_LINES;
    source_world_start(world, driver, place->settings);
    if (place->said)
        source_world_wait_said(world, place->said);
}

static void for_each(SUSPENDS void (*body)(SourceWorld *world))
{
    for (size_t i = 0; i < sources_count; i++) {
        driver = sources_table[i];
        place = place_of(driver);
        if (!place)
            continue;
        source_world_run(body);
        if (test_has_failed()) {
            fprintf(stderr, "    in the source %s\n", driver->name);
            return;
        }
    }
}

/* Would catch a source that does not end, ends with an error, or hands on after its end (O3). */
SUSPENDS static void stop_body(SourceWorld *world)
{
    uint64_t before;

    begin(world);
    if (place->feed)
        place->feed(world);
    if (!place->is_away)
        source_world_wait_rows(world, 1);
    if (place->feed)
        EXPECT_STR(buf_str(&world->text), STR_C("rows {\"line\":\"fed\"}\n"));
    EXPECT_OK(place->has_end ? source_world_join(world) : source_world_stop(world));
    before = world->n_parcels;
    for (int i = 0; i < 20; i++)
        EXPECT_OK(sl_yield());
    EXPECT_EQ(world->n_parcels, before);
    EXPECT_EQ(world->source.rows, world->rows + world->refused);
}

TEST(a_stop_ends_the_run)
{
    for_each(stop_body);
}

/* Would catch a stop that is heard only by those who wait already. */
SUSPENDS static void early_body(SourceWorld *world)
{
    if (place->has_end)
        return;
    world->source.is_private_allowed = true;
    world->source.decode.format = DECODE_LINES;
    source_world_start(world, driver, place->settings);
    EXPECT_OK(source_world_stop(world));
}

TEST(a_stop_before_the_beginning_is_heard)
{
    for_each(early_body);
}

/* Would catch a source that holds on to a full channel when everything is cancelled. */
SUSPENDS static void cancel_body(SourceWorld *world)
{
    source_world_set_full(world, true);
    begin(world);
    if (place->feed && strcmp(driver->name, "http") != 0)
        place->feed(world);
    if (!place->is_away && strcmp(driver->name, "http") != 0)
        source_world_wait_full(world, 1);
    sl_nursery_cancel(world->nursery);
    source_world_wait((WorldWait){ world, source_world_has_ended, 0, NULL });
    EXPECT(world->r == 0 || world->r == -ECANCELED);
    EXPECT_EQ(world->rows, 0);
}

TEST(cancelling_ends_the_run)
{
    for_each(cancel_body);
}

static bool has_spoken(const SourceWorld *world, uint64_t n, const char *text)
{
    (void) text;
    return world->n_said >= n;
}

/* Would catch a producer that is away and ends the source, or is not spoken of (O4). */
SUSPENDS static void away_body(SourceWorld *world)
{
    if (!place->is_away)
        return;
    begin(world);
    source_world_wait((WorldWait){ world, has_spoken, 1, NULL });
    EXPECT(!world->is_up && world->said[0]);
    EXPECT(!world->ended.is_set);
    EXPECT_OK(source_world_stop(world));
}

TEST(a_producer_that_is_away_is_waited_for)
{
    for_each(away_body);
}

/* Would catch a refusal of settings that names nothing. */
SUSPENDS static void closed_body(SourceWorld *world)
{
    if (strcmp(driver->name, "http") && strcmp(driver->name, "tcp") && strcmp(driver->name, "udp"))
        return;
    world->source.decode.format = DECODE_LINES;
    source_world_start(world, driver, "{\"listen\":\"192.0.2.1:7\"}"); /* not ours */
    EXPECT_ERR(source_world_join(world), -EADDRNOTAVAIL, "192.0.2.1:7");
}

TEST(an_address_that_is_not_ours_ends_the_run)
{
    for_each(closed_body);
}

TEST_MAIN()
