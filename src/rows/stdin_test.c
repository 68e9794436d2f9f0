/*
 * The source stdin with pipes, files and half lines in the place of descriptor 0.
 */
#include "rows/source_world_int.h"

#include <fcntl.h>

extern const SourceDriver source_stdin;

typedef struct Input {
    int saved;
    int writer; /* of the pipe; -1 for a file */
} Input;

static void input_is_pipe(Input *input)
{
    int fds[2];

    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    input->saved = dup(0);
    input->writer = fds[1];
    EXPECT(dup2(fds[0], 0) == 0);
    EXPECT(close(fds[0]) == 0);
}

static void input_end(Input *input)
{
    if (input->writer >= 0)
        EXPECT(close(input->writer) == 0);
    EXPECT(dup2(input->saved, 0) == 0);
    EXPECT(close(input->saved) == 0);
}

static void say(const Input *input, const char *text)
{
    EXPECT(write(input->writer, text, strlen(text)) == (ssize_t) strlen(text));
}

/* Catches a row that waits for company, half a row that does not wait for its end, and an end that
 * is not noticed. */
SUSPENDS static void check_pipe(SourceWorld *world)
{
    Input input;

    input_is_pipe(&input);
    world->source.decode.format = DECODE_LINES;
    source_world_start(world, &source_stdin, "{}");
    say(&input, "one\ntw");
    source_world_wait_rows(world, 1);
    EXPECT_STR(buf_str(&world->text), STR_C("rows {\"line\":\"one\"}\n"));
    say(&input, "o\nthree");
    EXPECT(close(input.writer) == 0);
    input.writer = -1;
    EXPECT_OK(source_world_join(world));
    EXPECT_STR(buf_str(&world->text), STR_C("rows {\"line\":\"one\"}\nrows {\"line\":\"two\"}\n"
                                            "rows {\"line\":\"three\"}\n"));
    EXPECT_EQ(world->lost, 0);
    input_end(&input);
}

TEST(pipe)
{
    source_world_run(check_pipe);
}

/* Catches a source that goes on reading while nobody takes what it has read. */
SUSPENDS static void check_backpressure(SourceWorld *world)
{
    char line[1000];
    size_t total = 0;
    Input input;
    ssize_t n;

    input_is_pipe(&input);
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    EXPECT_OK(sl_fd_adopt(input.writer));
    world->source.decode.format = DECODE_LINES;
    source_world_set_full(world, true);
    source_world_start(world, &source_stdin, "{}");
    EXPECT(write(input.writer, line, sizeof(line)) == sizeof(line));
    source_world_wait_full(world, 1);
    while ((n = write(input.writer, line, sizeof(line))) > 0)
        total += (size_t) n;
    EXPECT(n < 0 && errno == EAGAIN && total < 1 << 20);
    EXPECT_EQ(world->rows, 0);
    source_world_set_full(world, false);
    source_world_wait_rows(world, 1 + total / sizeof(line));
    EXPECT_OK(source_world_stop(world));
    input_end(&input);
}

TEST(backpressure)
{
    source_world_run(check_backpressure);
}

/* Catches half a row that is lost without a count when the source must stop. */
SUSPENDS static void check_stop(SourceWorld *world)
{
    Input input;

    input_is_pipe(&input);
    world->source.decode.format = DECODE_LINES;
    source_world_start(world, &source_stdin, "{}");
    say(&input, "one\nhalf a ro");
    source_world_wait_rows(world, 1);
    EXPECT_OK(source_world_stop(world));
    EXPECT_EQ(world->rows, 1);
    EXPECT_EQ(world->lost, 1);
    input_end(&input);
}

TEST(stop)
{
    source_world_run(check_stop);
}

/* Catches a file as the input, which no loop can wait for, and formats that are not found out. */
SUSPENDS static void check_file(SourceWorld *world)
{
    static const char *const text = "\n{\"a\":1}\n{\"a\":2}\n";
    Input input = { .saved = dup(0), .writer = -1 };
    int fd = open("input", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    EXPECT(write(fd, text, strlen(text)) == (ssize_t) strlen(text));
    EXPECT(lseek(fd, 0, SEEK_SET) == 0 && dup2(fd, 0) == 0 && close(fd) == 0);
    source_world_start(world, &source_stdin, "{}");
    EXPECT_OK(source_world_join(world));
    EXPECT_EQ(world->rows + world->refused, 2);
    EXPECT(source_driver_find(STR_C("-")) == &source_stdin);
    EXPECT(source_driver_find(STR_C("stdin:format=csv")) == &source_stdin);
    input_end(&input);
}

TEST(file)
{
    source_world_run(check_file);
}

/* Catches a text that is not taken. */
TEST(texts)
{
    AUTO(buf_deinit) Buf json = { 0 };

    EXPECT_OK(source_from_text(&source_stdin, STR_C("-"), &json));
    EXPECT_STR(buf_str(&json), STR_C("{}"));
    buf_reset(&json);
    EXPECT_OK(source_from_text(&source_stdin, STR_C("stdin:format=csv"), &json));
    EXPECT_STR(buf_str(&json), STR_C("{\"format\":\"csv\"}"));
}

TEST_MAIN()
