/*
 * Names whose addresses change between one question and the next: what is looked at must be what
 * is connected to.
 *
 * The test brings its own getaddrinfo, which libcurl's resolver takes in place of the C library's,
 * unless it has been built with another one.
 */
#define SL_MAY_BLOCK
#include "net/http_client_world_int.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>

/* ---- a resolver ------------------------------------------------------------------------------ */

#define ANSWERS 4

/* What the n-th question gives: addresses with spaces between them. */
static const char *answers[ANSWERS];
static atomic_int questions;

typedef struct Found {
    struct addrinfo info;
    struct sockaddr_in address;
} Found;

__attribute__((visibility("default"))) int getaddrinfo(const char *host, const char *port,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **ret_list)
{
    char text[200], *rest = text, *word;
    struct addrinfo **tail = ret_list;
    int n = atomic_fetch_add(&questions, 1);

    (void) host;
    *ret_list = NULL;
    (void) snprintf(text, sizeof(text), "%s", n < ANSWERS && answers[n] ? answers[n] : "");
    while ((word = strsep(&rest, " "))) {
        Found *found = word[0] ? calloc(1, sizeof(*found)) : NULL;

        if (!found)
            continue;
        found->address.sin_family = AF_INET;
        found->address.sin_port = htons((uint16_t) atoi(port ? port : "0"));
        (void) inet_pton(AF_INET, word, &found->address.sin_addr);
        found->info = (struct addrinfo){ .ai_family = AF_INET,
                                         .ai_socktype = hints ? hints->ai_socktype : SOCK_STREAM,
                                         .ai_protocol = IPPROTO_TCP,
                                         .ai_addrlen = sizeof(found->address),
                                         .ai_addr = (struct sockaddr *) &found->address };
        *tail = &found->info;
        tail = &found->info.ai_next;
    }
    return *ret_list ? 0 : EAI_NONAME;
}

__attribute__((visibility("default"))) void freeaddrinfo(struct addrinfo *list)
{
    while (list) {
        struct addrinfo *next = list->ai_next;

        free(list); /* the first member of its Found */
        list = next;
    }
}

/* Whether it is asked at all. */
static bool is_asked(void)
{
    bool has_other = curl_version_info(CURLVERSION_NOW)->ares_num > 0;

    if (has_other)
        test_skip("this libcurl has a resolver of its own");
    return !has_other;
}

/* ---- tests ----------------------------------------------------------------------------------- */

SUSPENDS static int serve(Site *site, Stream *stream, Str head)
{
    (void) site;
    (void) head;
    return site_answer(stream, "200 OK", "Connection: close\r\n", STR_C("inside")) + 1;
}

SUSPENDS static int get_name(World *world, HttpPolicy policy, HttpAnswer *answer)
{
    char url[200];

    http_answer_reset(answer);
    (void) snprintf(url, sizeof(url), "http://pictures.example:%s/", world->sites[0].port);
    return http_client_call(world->client, &(HttpCall){ .url = str_from_c(url), .policy = policy },
                            answer);
}

/* Only one address of this machine stands for what is public. */
static bool allow_first(void *ctx, const struct sockaddr *address, socklen_t len)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *) address;

    (void) ctx;
    (void) len;
    return ntohl(in->sin_addr.s_addr) == INADDR_LOOPBACK;
}

SUSPENDS static void check_private(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };

    atomic_store(&questions, 0);
    answers[0] = "10.0.0.1 127.0.0.1 169.254.169.254";
    EXPECT_ERR(get_name(world, HTTP_POLICY_DENY_PRIVATE, &answer), -ERR_FORBIDDEN, "not allowed");
    EXPECT_EQ(world->sites[0].n_connections, 0);
}

/* Catches a name that is public by its looks and private by its addresses. */
TEST(looks_at_each_address_of_a_name)
{
    if (is_asked())
        world_run(check_private, serve, NULL);
}

SUSPENDS static void check_several(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };
    char text[NET_ADDRESS_TEXT_MAX];

    atomic_store(&questions, 0);
    answers[0] = "127.0.0.2 127.0.0.1";
    EXPECT_OK(get_name(world, HTTP_POLICY_ALLOW_ALL, &answer));
    EXPECT(str_starts(net_address_format(&answer.peer, text), STR_C("127.0.0.1:")));
    EXPECT_EQ(atomic_load(&questions), 1); /* there is no second one that could answer otherwise */
}

/* Catches a call that connects to the neighbour of the address that was looked at. */
TEST(connects_to_what_was_looked_at)
{
    if (is_asked())
        world_run(check_several, serve, &(HttpClientOpts){ .allow = allow_first });
}

/* Begin again: a client remembers for a while what it was told. */
SUSPENDS static void forget_names(World *world)
{
    http_client_stop(world->client);
    EXPECT_OK(http_client_start(&world->client, world->nursery, &world->opts));
}

SUSPENDS static void check_change(World *world)
{
    AUTO(http_answer_deinit) HttpAnswer answer = { 0 };

    atomic_store(&questions, 0);
    answers[0] = "127.0.0.1";
    answers[1] = "127.0.0.2";
    answers[2] = "127.0.0.1";
    EXPECT_OK(get_name(world, HTTP_POLICY_ALLOW_ALL, &answer));
    EXPECT_OK(get_name(world, HTTP_POLICY_ALLOW_ALL, &answer)); /* as it was told */
    EXPECT_EQ(atomic_load(&questions), 1);
    forget_names(world);
    EXPECT_ERR(get_name(world, HTTP_POLICY_ALLOW_ALL, &answer), -ERR_FORBIDDEN, "127.0.0.2");
    EXPECT_EQ(world->sites[0].n_connections, 2);
    forget_names(world);
    EXPECT_OK(get_name(world, HTTP_POLICY_ALLOW_ALL, &answer));
}

/* Catches trust in a name that was good once. */
TEST(looks_again_when_a_name_moves)
{
    if (is_asked())
        world_run(check_change, serve, &(HttpClientOpts){ .allow = allow_first });
}

TEST_MAIN()
