/*
 * Client: the engine's HTTP API from C, for the commands.
 *
 * A client talks to one engine. An answer that is an error becomes an error here, with the words
 * the engine gave; an engine that cannot be reached becomes -ERR_UNAVAILABLE and says where it was
 * looked for.
 */
#pragma once

#include "base/arena.h"
#include "base/text.h"
#include "net/http_client.h"

#include <sluice/json.h>

typedef struct Client Client;

/* A client of the engine at SERVER ("http://127.0.0.1:7584"); its fibers live in NURSERY.
 * -ERR_INVALID, or 0. */
MUST SUSPENDS int client_start(Client **ret_client, sl_nursery *nursery, Str server);
SUSPENDS void client_stop(Client *client);

/*
 * Make a call: METHOD and PATH ("/ojs/v1/jobs"), BODY as JSON (empty for none), HEADERS besides
 * (may be NULL). The answer is parsed into RET_DOC, its text lives in ARENA. STATUS may be NULL;
 * where it is not, an error status is no error.
 */
MUST SUSPENDS int client_call(Arena *arena, Client *client, const char *method, Str path, Str body,
                              const HttpHeader *header, JsonDoc *ret_doc, int *ret_status);
