/*
 * The command line: which command runs with which flags, what is said when the words make no sense,
 * and the exit codes.
 *
 * A host of the test's own stands in for the program; what is printed goes to files.
 */
#define SL_MAY_BLOCK
#include "cli/command.h"

#include "base/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- a host ---------------------------------------------------------------------------------- */

typedef struct TestFlags {
    Str listen;
    int64_t workers;
} TestFlags;

static const SchemaField engine_fields[] = {
    FIELD_STR(TestFlags, listen, "where", .default_text = "here"),
    FIELD_INT(TestFlags, workers, "how many", .range = RANGE(0, 10), .default_text = "4"),
};
static const Schema engine_flags = SCHEMA(TestFlags, engine_fields, "Settings.");

typedef struct EchoArgs {
    Str text;
    int64_t times;
} EchoArgs;

static const SchemaField echo_fields[] = {
    FIELD_STR(EchoArgs, text, "what to say", .is_required = true, .positional = 1),
    FIELD_INT(EchoArgs, times, "how often", .range = RANGE(1, 9), .default_text = "1"),
};
static const Schema echo_args = SCHEMA(EchoArgs, echo_fields, "Arguments of echo.");
static const Handler echo = { .type = "echo", .summary = "Says it again.", .args = &echo_args };
static const Handler parrot = { .type = "parrot",
                                .summary = "Says it as a command.",
                                .args = &echo_args,
                                .examples = "  $ sluice parrot hi\n",
                                .is_command = true };
static const Handler *const handlers[] = { &echo, &parrot };

/* What the host was asked for. */
static struct {
    char listen[40];
    char given[100];
    char args[200];
    int64_t workers;
    bool has_workers;
    int engines;
    int r;
    const char *type;
    const char *result;
    char rows_to[20];
    bool shows_rows;
    bool is_partial;
} asked;

static int run_engine(const void *flags, Str given, EngineFace face)
{
    const TestFlags *test = flags;

    asked.engines++;
    asked.workers = test->workers;
    asked.has_workers = face != ENGINE_API;
    (void) snprintf(asked.listen, sizeof(asked.listen), "%.*s", (int) test->listen.len,
                    test->listen.data);
    (void) snprintf(asked.given, sizeof(asked.given), "%.*s", (int) given.len,
                    given.data ? given.data : "");
    return asked.r < 0 ? fail(asked.r, "no engine today") : 0;
}

static int run_handler(HandlerRun *run)
{
    asked.type = run->handler->type;
    (void) snprintf(asked.args, sizeof(asked.args), "%.*s", (int) run->args.len,
                    run->args.data ? run->args.data : "");
    (void) snprintf(asked.rows_to, sizeof(asked.rows_to), "%.*s", (int) run->rows_to.len,
                    run->rows_to.data);
    buf_add_c(run->result, asked.result ? asked.result : "\"ok\"");
    run->has_rows = asked.shows_rows;
    run->is_partial = asked.is_partial;
    return asked.r < 0 ? fail(asked.r, "the handler said no") : 0;
}

static void list_features(void (*tell)(void *ctx, const char *name, bool is_in), void *ctx)
{
    tell(ctx, "LMDB", true);
    tell(ctx, "REDIS", false);
}

static const CommandHost host = { .handlers = handlers,
                                  .n_handlers = 2,
                                  .engine_flags = &engine_flags,
                                  .run_engine = run_engine,
                                  .run_handler = run_handler,
                                  .list_features = list_features };

/* ---- calling it ------------------------------------------------------------------------------ */

static char out_text[20000], err_text_said[20000];

static void read_whole(const char *path, char *out, size_t cap)
{
    FILE *file = fopen(path, "re");

    out[0] = '\0';
    if (!file)
        return;
    out[fread(out, 1, cap - 1, file)] = '\0';
    (void) fclose(file);
}

/* Send descriptor FD to a file; what stood there before. */
static int redirect(int fd, const char *path)
{
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), saved = dup(fd);

    (void) dup2(file, fd);
    (void) close(file);
    return saved;
}

static void restore(int fd, int saved)
{
    (void) dup2(saved, fd);
    (void) close(saved);
}

/* Run the command line WORDS; its exit code. */
static int run(const char *const *words, int n)
{
    char *argv[16] = { (char *) "sluice" };
    int out, err, code;

    for (int i = 0; i < n; i++)
        argv[i + 1] = (char *) words[i];
    (void) fflush(stdout);
    out = redirect(STDOUT_FILENO, "out");
    err = redirect(STDERR_FILENO, "err");
    code = cli_main(n + 1, argv, &host);
    (void) fflush(stdout);
    restore(STDOUT_FILENO, out);
    restore(STDERR_FILENO, err);
    read_whole("out", out_text, sizeof(out_text));
    read_whole("err", err_text_said, sizeof(err_text_said));
    return code;
}

#define RUN(...)                              \
    run((const char *const[]){ __VA_ARGS__ }, \
        (int) (sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)))

static void expect_mistake(int code, int want, const char *words)
{
    EXPECT_EQ(code, want);
    EXPECT_C(out_text, "");
    if (!strstr(err_text_said, words))
        test_fail(__FILE__, __LINE__, "stderr \"%s\" lacks \"%s\"", err_text_said, words);
    EXPECT(strncmp(err_text_said, "sluice: ", 8) == 0);
    EXPECT(strchr(err_text_said, '\n') == err_text_said + strlen(err_text_said) - 1); /* one line */
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* Would catch a word that is taken for another, and words that do not help. */
TEST(unknown_words_are_named)
{
    expect_mistake(RUN("pusch"), 64, "there is no command \"pusch\"; did you mean \"push\"?");
    expect_mistake(RUN("zzzzzz"), 64, "`sluice help` lists");
    expect_mistake(RUN("job"), 64, "job needs a verb");
    expect_mistake(RUN("job", "shwo"), 64, "did you mean \"show\"?");
    expect_mistake(RUN("up", "--workres", "3"), 64, "--workers");
    expect_mistake(RUN("up", "--workers"), 64, "workers");
    expect_mistake(RUN("up", "--workers", "11"), 64, "between 0 and 10");
    expect_mistake(RUN("up", "more"), 64, "more");
    expect_mistake(RUN("run"), 64, "run needs a type");
    expect_mistake(RUN("run", "ecko"), 64, "did you mean \"echo\"?");
    expect_mistake(RUN("push"), 64, "push needs a type");
    expect_mistake(RUN("job", "show"), 64, "id");
}

/* Would catch flags that do not arrive, and written ones that are not told from defaults. */
TEST(an_engine_gets_its_flags)
{
    asked.r = 0;
    EXPECT_EQ(RUN("up", "--workers=3"), 0);
    EXPECT_EQ(asked.workers, 3);
    EXPECT(asked.has_workers);
    EXPECT_C(asked.listen, "here");
    EXPECT_C(asked.given, "{\"workers\":3}");
    EXPECT_EQ(RUN("serve", "--listen", "there"), 0);
    EXPECT(!asked.has_workers);
    EXPECT_C(asked.listen, "there");
    asked.r = -ERR_STORE_LOCKED;
    EXPECT_EQ(RUN("up"), 73);
    EXPECT_C(err_text_said, "sluice: no engine today\n");
    asked.r = 0;
}

/* Would catch an argument that arrives other than it was written, as flags and as JSON. */
TEST(a_handler_gets_its_argument)
{
    EXPECT_EQ(RUN("run", "echo", "--text", "hi", "--times", "2"), 0);
    EXPECT_C(asked.args, "{\"text\":\"hi\",\"times\":2}");
    EXPECT_C(out_text, "ok\n");
    EXPECT_EQ(RUN("run", "echo", "hi"), 0);
    EXPECT_C(asked.args, "{\"text\":\"hi\"}");
    EXPECT_EQ(RUN("run", "echo", "{\"text\": \"hi\"}", "--json"), 0);
    EXPECT_C(asked.args, "{\"text\": \"hi\"}");
    EXPECT_C(out_text, "\"ok\"\n");
    asked.result = "{\"a\":1.0}";
    EXPECT_EQ(RUN("run", "echo", "hi"), 0);
    EXPECT_C(out_text, "{\"a\":1.0}\n");
    asked.result = NULL;

    expect_mistake(RUN("run", "echo", "{\"text\":"), 65, "the argument is not JSON");
    asked.r = -ERR_HANDLER;
    EXPECT_EQ(RUN("run", "echo", "hi"), 70);
    EXPECT_C(err_text_said, "sluice: the handler said no\n");
    asked.r = 0;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    EXPECT(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* Would catch files that are not read as arguments, flags that do not win over them, and errors
 * that do not say where. */
TEST(an_argument_comes_from_a_file)
{
    write_file("say.yaml", "text: hello\ntimes: 3\n");
    EXPECT_EQ(RUN("run", "echo", "say.yaml"), 0);
    EXPECT_C(asked.args, "{\"text\":\"hello\",\"times\":3}");
    EXPECT_EQ(RUN("run", "echo", "say.yaml", "--times", "5"), 0);
    EXPECT_C(asked.args, "{\"text\":\"hello\",\"times\":5}");
    write_file("say.json", "{\"text\": \"hello\"}");
    EXPECT_EQ(RUN("run", "echo", "say.json"), 0);
    EXPECT_C(asked.args, "{\"text\":\"hello\"}");

    expect_mistake(RUN("run", "echo", "none.yaml"), 69, "none.yaml");
    write_file("bad.yaml", "text: hello\ntims: 3\n");
    expect_mistake(RUN("run", "echo", "bad.yaml"), 78,
                   "bad.yaml:2: tims: unknown key; did you mean \"times\"?");
    write_file("bad.yaml", "text: [\n");
    expect_mistake(RUN("run", "echo", "bad.yaml"), 65, "bad.yaml:");
    write_file("bad.yaml", "just a text\n");
    expect_mistake(RUN("run", "echo", "bad.yaml"), 78, "must hold keys and values");
}

/* Would catch variables that are not expanded, expanded twice, or missing without a word. */
TEST(a_file_is_expanded)
{
    EXPECT(setenv("SLUICE_TEST_WORD", "${HOME}", 1) == 0);
    write_file("secret.txt", "s3cret\n");
    write_file("say.yaml", "text: 'a ${SLUICE_TEST_WORD} $$ ${SLUICE_TEST_NONE:-b} c'\n");
    EXPECT_EQ(RUN("run", "echo", "say.yaml"), 0);
    EXPECT_C(asked.args, "{\"text\":\"a ${HOME} $ b c\"}");
    write_file("say.yaml", "text: '${file:secret.txt}'\n");
    EXPECT_EQ(RUN("run", "echo", "say.yaml"), 0);
    EXPECT_C(asked.args, "{\"text\":\"s3cret\"}");
    write_file("say.yaml", "times: 2\ntext: '${SLUICE_TEST_NONE}'\n");
    expect_mistake(RUN("run", "echo", "say.yaml"), 78, "say.yaml:2: ${SLUICE_TEST_NONE} is not");
    write_file("say.yaml", "text: '${SLUICE_TEST_WORD'\n");
    expect_mistake(RUN("run", "echo", "say.yaml"), 78, "without }");
}

/* Would catch a handler that is no command, rows that go to the wrong kind of place, and exit codes
 * that do not tell some from all. */
TEST(a_handler_is_a_command)
{
    EXPECT_EQ(RUN("parrot", "hi", "--times", "2"), 0);
    EXPECT_C(asked.type, "parrot");
    EXPECT_C(asked.args, "{\"text\":\"hi\",\"times\":2}");
    EXPECT_C(asked.rows_to, "csv:-");
    EXPECT_C(out_text, "");
    EXPECT_EQ(RUN("parrot", "hi", "--json"), 0);
    EXPECT_C(asked.rows_to, "json:-");
    EXPECT_C(out_text, "\"ok\"\n");
    asked.shows_rows = true;
    EXPECT_EQ(RUN("parrot", "hi", "--json"), 0);
    EXPECT_C(out_text, "");
    asked.is_partial = true;
    EXPECT_EQ(RUN("parrot", "hi"), 2);
    asked.shows_rows = asked.is_partial = false;
    expect_mistake(RUN("parot"), 64, "did you mean \"parrot\"?");
    EXPECT_EQ(RUN("parrot", "--help"), 0);
    EXPECT(strstr(out_text, "--times") && strstr(out_text, "sluice parrot hi"));
    EXPECT_EQ(RUN("help"), 0);
    EXPECT(strstr(out_text, "Says it as a command.") != NULL);
    EXPECT_EQ(RUN("help", "parrot", "--man"), 0);
    EXPECT(strstr(out_text, "--times") != NULL);
    expect_mistake(RUN("echo"), 64,
                   "there is no command \"echo\" in this build, which lacks REDIS");
}

/* Would catch help that runs the command, or goes to the wrong place. */
TEST(help_is_an_answer)
{
    static const char *const commands[] = {
        "up", "serve", "run", "push", "job", "version", "help"
    };
    int engines = asked.engines;

    EXPECT_EQ(run(NULL, 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        EXPECT(strstr(out_text, commands[i]) != NULL);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        EXPECT_EQ(RUN("help", commands[i]), 0);
        EXPECT(strstr(out_text, commands[i]) != NULL);
        EXPECT_C(err_text_said, "");
        EXPECT_EQ(RUN(commands[i], "--help"), 0);
        EXPECT(strlen(out_text) > 20);
    }
    EXPECT_EQ(asked.engines, engines);
    EXPECT_EQ(RUN("up", "--help"), 0);
    EXPECT(strstr(out_text, "--workers") != NULL);
    EXPECT_EQ(RUN("run", "echo", "--help"), 0);
    EXPECT(strstr(out_text, "--times") != NULL);
    EXPECT(strstr(out_text, "Says it again.") != NULL);
    EXPECT_EQ(RUN("push", "echo", "--help"), 0);
    EXPECT(strstr(out_text, "--times") != NULL && strstr(out_text, "--priority") != NULL);
    EXPECT_EQ(RUN("job", "list", "--help"), 0);
    EXPECT(strstr(out_text, "--state") != NULL);
    expect_mistake(RUN("help", "nothing"), 64, "nothing");
}

TEST(the_version_is_told)
{
    EXPECT_EQ(RUN("version"), 0);
    EXPECT(strstr(out_text, "sluice") != NULL);
    EXPECT_EQ(RUN("--version"), 0);
    EXPECT_EQ(RUN("version", "--json"), 0);
    EXPECT(out_text[0] == '{');
}

/* Would catch a client that hangs, or does not say where it looked. */
TEST(no_engine_is_said)
{
    expect_mistake(RUN("job", "list", "--server", "http://127.0.0.1:1"), 75,
                   "no engine answers at http://127.0.0.1:1");
    expect_mistake(RUN("push", "echo", "--text", "x", "--server", "http://127.0.0.1:1"), 75,
                   "start one with `sluice up`");
    expect_mistake(RUN("job", "show", "x", "--server", "nonsense"), 65, "server");
    expect_mistake(RUN("job", "cancel", "x"), 64, "--yes");
}

TEST_MAIN()
