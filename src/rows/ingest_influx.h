/*
 * What clients of InfluxDB ask beside writing: is somebody there, in what version, and that a
 * database be made. And the paths of all of it, for a listener that has nothing else.
 *
 * Answers are the least that lets such a client start, and true: a pipeline is not a database that
 * can be made or queried. CREATE DATABASE succeeds when writes that name this database would be
 * taken; SHOW DATABASES names the pipelines; everything else is answered with an error inside a
 * 200, as InfluxDB does.
 */
#pragma once

#include "base/err.h"
#include "rows/ingest_http.h"

/* The version of InfluxDB whose API this is, for clients that look. */
#define INGEST_INFLUX_VERSION "1.8.10-sluice"

/* GET or HEAD /ping: 204 with the version; 200 with a JSON body for ?verbose=true. */
void ingest_ping(const HttpRequest *request, HttpResponse *response);

/* GET /health: what clients of InfluxDB 2 ask first. On the loop of DOORS, which may be NULL. */
void ingest_health(const Doors *doors, HttpResponse *response);

/* GET or POST /query. On the loop of DOORS, which may be NULL. 0 or -ERR_INVALID. */
MUST int ingest_query(const Doors *doors, HttpRequest *request, HttpResponse *response);

/*
 * Answer REQUEST, whatever its path: for a listener of a source, whose DOORS has one door. Paths
 * are those of the engine, and "/" and "/v1/ingest" for writes of any format. 0 or an error.
 */
MUST SUSPENDS int ingest_serve(Doors *doors, HttpRequest *request, HttpResponse *response);

/* The page for an error outside of ingest_serve: in the words of the face that the path has. */
void ingest_serve_error(const HttpRequest *request, HttpResponse *response, int status,
                        const Err *err);
