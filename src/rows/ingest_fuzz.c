/*
 * Fuzz: what a stranger may write into a request to ingest. The input is the query string, then
 * lines of headers, an empty line, and a body.
 *
 * Whatever it is, the answer to a query is JSON, and a write that was read names only bytes of the
 * request or of its arena.
 */
#include "rows/ingest_influx.h"

#include "base/arena.h"
#include "base/assert.h"
#include "base/mem.h"
#include "codec/json.h"

#define HEADERS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

SUSPENDS static int take(void *ctx, DoorCall *call)
{
    (void) ctx;
    (void) call;
    return 0;
}

static void end(int r)
{
    Err err;

    if (r < 0)
        err_take(r, &err);
}

static void check_query(const Doors *doors, HttpRequest *request)
{
    HttpResponse response = { .status = 200 };
    JsonDoc doc;
    int r = ingest_query(doors, request, &response);

    if (r == 0) {
        ASSERT(json_parse(request->arena, buf_str(&response.body), &doc) == 0);
        ASSERT(json_is_array(json_find(doc.root, "results")));
    }
    end(r);
    buf_deinit(&response.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static Doors *doors;
    static Door *door;
    AUTO(arena_deinit) Arena arena = { 0 };
    Str rest = str_from((const char *) data, len), line;
    HttpHeader headers[HEADERS_MAX];
    NetAddress peer = { 0 };
    HttpRequest request = { .arena = &arena, .headers = headers, .peer = &peer };
    Str name;

    if (!doors) {
        doors = doors_new();
        end(door_open(doors, str_from_c("readings"), take, NULL, &door));
    }
    arena_init(&arena, 0);
    request.query = str_cut(rest, '\n', &rest);
    while (rest.len > 0 && (line = str_cut(rest, '\n', &rest)).len > 0) {
        Str value, before = str_cut(line, ':', &value);

        if (request.n_headers < HEADERS_MAX)
            headers[request.n_headers++] = (HttpHeader){ before, str_trim(value) };
    }
    request.body = rest;
    for (int face = INGEST_NATIVE; face <= INGEST_INFLUX2; face++) {
        IngestWrite write = { 0 };

        end(ingest_write_read((IngestFace) face, (Str){ 0 }, &request, &write));
        (void) ingest_choose(doors, write.pipeline, face == INGEST_NATIVE, &name);
        ingest_write_deinit(&write);
    }
    check_query(doors, &request);
    check_query(NULL, &request);
    return 0;
}
