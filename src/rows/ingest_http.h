/*
 * Ingest over HTTP: what a request to write rows means, and how it is answered. Shared by the
 * routes of the engine and by a source with a listener of its own.
 *
 *   native    POST /v1/ingest/{pipeline}   any format, by Content-Type or by the first byte
 *   influx 1  POST /write?db=…             line protocol; what InfluxDB 1.x and Telegraf speak
 *   influx 2  POST /api/v2/write?bucket=…  line protocol; what InfluxDB 2 and its clients speak
 *
 * On the paths of InfluxDB db or bucket is the pipeline's name; when there is one pipeline alone it
 * takes everything, whatever the name. org, orgID, rp and consistency are read over.
 *
 *   what happened                    native              influx 1            influx 2
 *   every row is in                  200 and counts      204                 204
 *   ?wait=false: taken               202 and counts      204                 204
 *   some rows are refused            207, the lines      400, the lines      400, the lines
 *   every row is refused             400, the lines      400, the lines      400, the lines
 *   the body cannot be unpacked      400                 400                 400
 *   the token is wrong               401                 401                 401
 *   no such pipeline                 404                 404 "database not…" 404
 *   too large                        413                 413                 413
 *   a type or encoding we don't take 415                 415                 415
 *   the channel stays full           429, Retry-After    503, Retry-After    429, Retry-After
 *   the pipeline stops or stands     503, Retry-After    503, Retry-After    503, Retry-After
 *
 * A refusal of some rows is 400 on InfluxDB's paths, as InfluxDB has it: the other rows are in, and
 * its clients do not send them again. A full channel is 503 for writers of version 1, because
 * Telegraf throws away what a status of the four hundreds has answered.
 */
#pragma once

#include "net/address.h"
#include "net/http.h"
#include "rows/door.h"

#include <sluice/json.h>

typedef enum IngestFace { INGEST_NATIVE, INGEST_INFLUX1, INGEST_INFLUX2 } IngestFace;

/* A request to write, read. Borrowed from the HTTP request. */
typedef struct IngestWrite {
    IngestFace face;
    Str pipeline; /* that it names; empty: none */
    DoorCall call;
    char origin[NET_ADDRESS_TEXT_MAX];
} IngestWrite;

/*
 * Read REQUEST, whose body is whole. NAMED is the pipeline of the path, empty on the paths of
 * InfluxDB. 0; -ERR_INVALID for a query that cannot be read, -ERR_MEDIA for a Content-Type that is
 * not taken. RET_WRITE is to be freed by ingest_write_deinit, also after an error.
 */
MUST int ingest_write_read(IngestFace face, Str named, HttpRequest *request,
                           IngestWrite *ret_write);
void ingest_write_deinit(IngestWrite *write);

/* Choose the door and hand the body through it. As doors_offer; on the loop of the doors. */
MUST SUSPENDS int ingest_write_offer(Doors *doors, IngestWrite *write);

/* Fill RESPONSE with the answer to WRITE, of which R came. Ends the error that R may be. */
void ingest_write_answer(const IngestWrite *write, int r, HttpResponse *response);

/* The answer to an error on the paths of FACE. */
void ingest_error_answer(IngestFace face, int status, Str message, int64_t retry_ms, int code,
                         HttpResponse *response);

/* The name of the door for a request that names WANTED: that one, or the only one there is. False
 * when there is none. */
bool ingest_choose(const Doors *doors, Str wanted, bool is_exact, Str *ret_name);

/* "readings, sensors" or "none". */
void ingest_names(const Doors *doors, Buf *out);
